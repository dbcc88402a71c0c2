/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page of a listing: keys and common prefixes in order, up to a number of them, for any
 * delimiter. The caller turns each into XML as it comes. One thread per page.
 */
#ifndef S3_PAGE_H
#define S3_PAGE_H

#include "s3/ops_impl.h"
#include "s3/walk.h"

struct page {
    /* what is asked for */
    const char *prefix;
    const char *delimiter; /* "": none */
    const char *after;     /* keys must be greater; "": from the start */
    int64_t max;
    bool url; /* encoding-type=url */
    /* what came */
    struct buf contents; /* filled by the caller's function */
    struct buf prefixes; /* CommonPrefixes elements */
    int64_t count;
    bool truncated;
    char *last; /* last key or common prefix shown; "" when none */
};

/* Adds the entry, opened as o, to p->contents. */
typedef void (*page_entry_fn)(struct s3_call *c, struct page *p, const char *key,
                              const struct object *o);

/* Reads prefix, delimiter, encoding-type and max (the parameter named max_name) from the request
 * into p. Returns true, or false having answered. */
bool page_params(struct s3_call *c, const char *max_name, struct page *p);

/* Fills the page from the bucket. Returns 0 or a negative code with err set. */
int page_fill(struct s3_call *c, struct page *p, page_entry_fn add, struct err *err);

/* Frees what p holds. */
void page_fini(struct page *p);
#define auto_page __attribute__((cleanup(page_fini)))

/* Appends <name>s</name>, percent-encoded when url. */
void page_element(struct buf *xml, const char *name, const char *s, bool url);

/* The common prefix of key: up to and with the first delimiter behind the prefix (the caller
 * frees), or NULL. */
char *page_common(const char *key, const char *prefix, const char *delimiter);

/* Appends Owner with the account that owns the bucket. */
void page_owner(struct buf *xml, const struct s3_bucket *b);

#endif
