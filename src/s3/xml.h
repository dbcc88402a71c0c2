/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request bodies in XML as a small tree, parsed by expat with bounds: no DOCTYPE, no entities but
 * the five, namespace absent or S3's. Replies are written with buf_add_xml(). Any thread, one tree
 * at a time.
 */
#ifndef S3_XML_H
#define S3_XML_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S3_XML_NS   "http://s3.amazonaws.com/doc/2006-03-01/"
#define S3_XML_DECL "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

/* An element: its children in order, and its text with the children's text left out. Attributes are
 * dropped (xsi:type of ACL grantees is nowhere needed). */
struct s3_xml {
    const char *name; /* without prefix */
    const char *text; /* never NULL; NUL-terminated, UTF-8, blanks kept */
    struct s3_xml *parent, *child, *next;
};

/*
 * Parses len bytes of data: at most max_elements elements, 32 levels, 20 attributes an element. A
 * byte order mark and a declaration (UTF-8 only) may come first. Returns 0 with *root owned by the
 * caller (s3_xml_free), or -EINVAL with err naming line and column. Never returns an empty tree:
 * an empty body is -EINVAL too.
 */
int s3_xml_parse(const void *data, size_t len, size_t max_elements, struct s3_xml **root,
                 struct err *err);

/* Frees a tree by its root; NULL is allowed. */
void s3_xml_free(struct s3_xml *root);

static inline void cleanup_s3_xml(struct s3_xml **x)
{
    s3_xml_free(*x);
}
#define auto_s3_xml __attribute__((cleanup(cleanup_s3_xml)))

/* Whether x is named name. */
bool s3_xml_is(const struct s3_xml *x, const char *name);

/* The first child of x named name, or NULL; x may be NULL. */
const struct s3_xml *s3_xml_child(const struct s3_xml *x, const char *name);

/* The next sibling of x with x's own name, or NULL. */
const struct s3_xml *s3_xml_again(const struct s3_xml *x);

/* The text of x's first child named name, or NULL when there is none. */
const char *s3_xml_text(const struct s3_xml *x, const char *name);

/* Parses the text of x's first child named name as a decimal int64 (blanks around it allowed).
 * Returns 0 with *out set, 1 when there is no such child, -EINVAL when it is no number. */
int s3_xml_int(const struct s3_xml *x, const char *name, int64_t *out);

#endif
