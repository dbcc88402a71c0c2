/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/page.h"

#include "base/buf.h"
#include "base/mem.h"
#include "codec/xml.h"

#include <errno.h>
#include <string.h>

bool page_params(struct s3_call *c, const char *max_name, struct page *p)
{
    const char *prefix = s3_req_param(c->req, "prefix");
    const char *delimiter = s3_req_param(c->req, "delimiter");
    const char *encoding = s3_req_param(c->req, "encoding-type");
    p->prefix = prefix != NULL ? prefix : "";
    p->delimiter = delimiter != NULL ? delimiter : "";
    p->after = "";
    p->url = encoding != NULL && strcmp(encoding, "url") == 0;
    if (encoding != NULL && encoding[0] != '\0' && !p->url) {
        s3_error_element(c->req, "ArgumentName", "encoding-type");
        (void)s3_reply_error(c->req, S3_ERR_INVALID_ARGUMENT,
                             "Invalid Encoding Method specified in Request");
        return false;
    }
    return param_number(c, max_name, PAGE_MAX, PAGE_MAX, &p->max);
}

void page_element(struct buf *xml, const char *name, const char *s, bool url)
{
    buf_addf(xml, "<%s>", name);
    if (url)
        buf_add_pct(xml, s, "/");
    else
        buf_add_xml(xml, s);
    buf_addf(xml, "</%s>", name);
}

void page_owner(struct buf *xml, const struct s3_bucket *b)
{
    buf_adds(xml, "<Owner><ID>");
    buf_add_xml(xml, b->owner);
    buf_adds(xml, "</ID><DisplayName>");
    buf_add_xml(xml, b->owner);
    buf_adds(xml, "</DisplayName></Owner>");
}

char *page_common(const char *key, const char *prefix, const char *delimiter)
{
    if (delimiter[0] == '\0')
        return NULL;
    const char *at = strstr(key + strlen(prefix), delimiter);
    return at != NULL ? xstrndup(key, (size_t)(at - key) + strlen(delimiter)) : NULL;
}

static void set_last(struct page *p, const char *s)
{
    char *copy = xstrdup(s);
    free(p->last);
    p->last = copy;
}

/* Shows the key of e, or the common prefix that it stands for. Returns 1 when it took a place, 0
 * when not (the object is gone, or lies in a prefix shown before), negative. */
static int show(struct s3_call *c, struct page *p, struct walk *w, const struct walk_entry *e,
                page_entry_fn add)
{
    auto_free char *common = page_common(e->key, p->prefix, p->delimiter);
    if (common != NULL) {
        bool inside = strncmp(p->after, common, strlen(common)) == 0;
        if (!inside && p->count < p->max) {
            buf_adds(&p->prefixes, "<CommonPrefixes>");
            page_element(&p->prefixes, "Prefix", common, p->url);
            buf_adds(&p->prefixes, "</CommonPrefixes>");
            set_last(p, common);
        }
        walk_skip(w, common);
        return inside ? 0 : 1;
    }
    if (p->count >= p->max)
        return 1;
    auto_object struct object o;
    object_init(&o);
    int rc = object_open_at(e->dirfd, e->leaf, e->is_dir, c->dir, OBJECT_NAME, &o, NULL);
    if (rc == -ENOENT || rc == -ENOTDIR)
        return 0;
    if (rc < 0)
        return rc;
    add(c, p, e->key, &o);
    set_last(p, e->key);
    return 1;
}

int page_fill(struct s3_call *c, struct page *p, page_entry_fn add, struct err *err)
{
    auto_walk struct walk *w = NULL;
    set_last(p, "");
    if (p->max == 0)
        return 0;
    int rc = walk_open(c->dir, p->prefix, p->after, &w);
    struct walk_entry e;
    while (rc >= 0 && !p->truncated) {
        rc = walk_next(w, &e);
        if (rc <= 0)
            break;
        rc = show(c, p, w, &e, add);
        if (rc == 1 && p->count == p->max)
            p->truncated = true;
        else if (rc == 1)
            p->count++;
    }
    return rc < 0 ? err_sys(err, -rc, "list bucket %s", c->bucket->name) : 0;
}

void page_fini(struct page *p)
{
    buf_fini(&p->contents);
    buf_fini(&p->prefixes);
    free(p->last);
    p->last = NULL;
}
