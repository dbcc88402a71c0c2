/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of S3 in XML as a small tree, parsed by expat with bounds: no DOCTYPE, no entities but
 * the five. The gateway reads requests with it, the store client answers; documents are written
 * with buf_add_xml(). Any thread, one tree at a time.
 */
#ifndef CODEC_XML_H
#define CODEC_XML_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S3_XML_NS   "http://s3.amazonaws.com/doc/2006-03-01/"
#define S3_XML_DECL "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

/* An element: its children in order, and its text with the children's text left out. Attributes are
 * dropped (xsi:type of ACL grantees is nowhere needed). */
struct xml {
    const char *name; /* without prefix */
    const char *text; /* never NULL; NUL-terminated, UTF-8, blanks kept */
    struct xml *parent, *child, *next;
};

/*
 * Parses len bytes of data: at most max_elements elements, 32 levels, 20 attributes an element; an
 * element is in no namespace or in ns (NULL: in any). A
 * byte order mark and a declaration (UTF-8 only) may come first. Returns 0 with *root owned by the
 * caller (xml_free), or -EINVAL with err naming line and column. Never returns an empty tree:
 * an empty body is -EINVAL too.
 */
int xml_parse(const void *data, size_t len, size_t max_elements, const char *ns, struct xml **root,
              struct err *err);

/* Frees a tree by its root; NULL is allowed. */
void xml_free(struct xml *root);

static inline void cleanup_xml(struct xml **x)
{
    xml_free(*x);
}
#define auto_xml __attribute__((cleanup(cleanup_xml)))

/* Whether x is named name. */
bool xml_is(const struct xml *x, const char *name);

/* The first child of x named name, or NULL; x may be NULL. */
const struct xml *xml_child(const struct xml *x, const char *name);

/* The next sibling of x with x's own name, or NULL. */
const struct xml *xml_again(const struct xml *x);

/* The text of x's first child named name, or NULL when there is none. */
const char *xml_text(const struct xml *x, const char *name);

/* Parses the text of x's first child named name as a decimal int64 (blanks around it allowed).
 * Returns 0 with *out set, 1 when there is no such child, -EINVAL when it is no number. */
int xml_int(const struct xml *x, const char *name, int64_t *out);

#endif
