/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/xml.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX      32
#define ATTRIBUTES_MAX 20
#define SEPARATOR      '\n' /* between namespace and name; no name can hold it */

/* What is known while a body is read. */
struct parse {
    XML_Parser parser;
    struct xml *root, *at;
    struct buf *texts; /* of the open elements, by depth */
    size_t depth, elements, max_elements;
    const char *ns;
    const char *why;
};

static void stop(struct parse *p, const char *why)
{
    if (p->why == NULL)
        p->why = why;
    (void)XML_StopParser(p->parser, XML_FALSE);
}

static void on_doctype(void *arg, const char *name, const char *sysid, const char *pubid,
                       int internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)internal;
    stop(arg, "a DOCTYPE is not allowed");
}

/* The name without an allowed namespace (ns NULL: any), or NULL. */
static const char *local_name(const char *name, const char *ns)
{
    const char *sep = strchr(name, SEPARATOR);
    if (sep == NULL)
        return name;
    size_t n = (size_t)(sep - name);
    if (ns != NULL && (n != strlen(ns) || strncmp(name, ns, n) != 0))
        return NULL;
    return sep + 1;
}

static void on_start(void *arg, const char *name, const char **attributes)
{
    struct parse *p = arg;
    size_t n = 0;
    while (attributes[n] != NULL)
        n++;
    const char *local = local_name(name, p->ns);
    if (local == NULL)
        stop(p, "an element is in a namespace that is not S3's");
    else if (p->depth == DEPTH_MAX)
        stop(p, "elements are nested too deeply");
    else if (++p->elements > p->max_elements)
        stop(p, "there are too many elements");
    else if (n / 2 > ATTRIBUTES_MAX)
        stop(p, "an element has too many attributes");
    if (p->why != NULL)
        return;
    struct xml *x = xzalloc(sizeof(*x));
    x->name = xstrdup(local);
    x->parent = p->at;
    if (p->at == NULL)
        p->root = x;
    /* While open, an element's "next" is free: it holds the last child, so that appending does not
     * walk the list. */
    if (p->at != NULL && p->at->next == NULL)
        p->at->child = x;
    else if (p->at != NULL)
        p->at->next->next = x;
    if (p->at != NULL)
        p->at->next = x;
    p->at = x;
    buf_reset(&p->texts[p->depth++]);
}

static void on_end(void *arg, const char *name)
{
    (void)name;
    struct parse *p = arg;
    if (p->why != NULL)
        return;
    struct xml *x = p->at;
    const struct buf *text = &p->texts[--p->depth];
    x->text = xstrdup(text->len > 0 ? text->data : "");
    x->next = NULL;
    p->at = x->parent;
}

static void on_text(void *arg, const char *s, int len)
{
    struct parse *p = arg;
    if (p->why == NULL && p->depth > 0)
        buf_add(&p->texts[p->depth - 1], s, (size_t)len);
}

static void on_decl(void *arg, const char *version, const char *encoding, int standalone)
{
    (void)version;
    (void)standalone;
    if (encoding != NULL && strcasecmp(encoding, "UTF-8") != 0)
        stop(arg, "the encoding must be UTF-8");
}

static int run(struct parse *p, const void *data, size_t len, struct err *err)
{
    XML_SetUserData(p->parser, p);
    XML_SetStartDoctypeDeclHandler(p->parser, on_doctype);
    XML_SetElementHandler(p->parser, on_start, on_end);
    XML_SetCharacterDataHandler(p->parser, on_text);
    XML_SetXmlDeclHandler(p->parser, on_decl);
    if (XML_Parse(p->parser, data, (int)len, 1) == XML_STATUS_OK && p->why == NULL)
        return 0;
    const char *why = p->why != NULL ? p->why : XML_ErrorString(XML_GetErrorCode(p->parser));
    return err_set(err, -EINVAL, "line %lu, column %lu: %s",
                   (unsigned long)XML_GetCurrentLineNumber(p->parser),
                   (unsigned long)XML_GetCurrentColumnNumber(p->parser) + 1, why);
}

/* Ends what a failed parse left open, so that the tree can be freed. */
static void close_open(struct parse *p)
{
    for (struct xml *x = p->at; x != NULL; x = x->parent)
        x->next = NULL;
}

int xml_parse(const void *data, size_t len, size_t max_elements, const char *ns, struct xml **root,
              struct err *err)
{
    if (len > INT32_MAX)
        return err_set(err, -EINVAL, "the document is too long");
    struct buf texts[DEPTH_MAX] = {{0}};
    struct parse p = {.texts = texts, .max_elements = max_elements, .ns = ns};
    p.parser = XML_ParserCreateNS("UTF-8", SEPARATOR);
    if (p.parser == NULL)
        return err_set(err, -ENOMEM, "no memory for the XML parser");
    int rc = run(&p, data, len, err);
    XML_ParserFree(p.parser);
    for (size_t i = 0; i < DEPTH_MAX; i++)
        buf_fini(&texts[i]);
    close_open(&p);
    if (rc < 0) {
        xml_free(p.root);
        return rc;
    }
    *root = p.root;
    return 0;
}

void xml_free(struct xml *root)
{
    struct xml *x = root;
    while (x != NULL) {
        if (x->child != NULL) { /* down first; the child is unhooked on the way */
            struct xml *child = x->child;
            x->child = NULL;
            x = child;
            continue;
        }
        struct xml *go = x->next != NULL ? x->next : x == root ? NULL : x->parent;
        free((char *)(uintptr_t)x->name);
        free((char *)(uintptr_t)x->text);
        free(x);
        x = go;
    }
}

bool xml_is(const struct xml *x, const char *name)
{
    return strcmp(x->name, name) == 0;
}

static const struct xml *find(const struct xml *x, const char *name)
{
    while (x != NULL && strcmp(x->name, name) != 0)
        x = x->next;
    return x;
}

const struct xml *xml_child(const struct xml *x, const char *name)
{
    return x == NULL ? NULL : find(x->child, name);
}

const struct xml *xml_again(const struct xml *x)
{
    return find(x->next, x->name);
}

const char *xml_text(const struct xml *x, const char *name)
{
    const struct xml *c = xml_child(x, name);
    return c != NULL ? c->text : NULL;
}

int xml_int(const struct xml *x, const char *name, int64_t *out)
{
    const char *s = xml_text(x, name);
    if (s == NULL)
        return 1;
    static const char blanks[] = " \t\r\n";
    s += strspn(s, blanks);
    char *end = NULL;
    if (*s != '-' && (*s < '0' || *s > '9'))
        return -EINVAL;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno != 0 || end == s || end[strspn(end, blanks)] != '\0')
        return -EINVAL;
    *out = v;
    return 0;
}
