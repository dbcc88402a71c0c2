/* SPDX-License-Identifier: Apache-2.0 */
/* PutObject. */
#include "s3/ops_impl.h"

#include <string.h>

static void put(struct s3_call *c, struct store *s)
{
    struct s3_req *req = c->req;
    const char *key = req->key;
    struct err err = {0};
    struct cond_write w;
    cond_write_get(req, &w);
    if (req->content_length > BODY_MAX) {
        (void)s3_reply_error(req, S3_ERR_ENTITY_TOO_LARGE, NULL);
        return;
    }
    if (!headers_read(c, key, &s->meta))
        return;
    int rc = store_begin(c->dir, req->content_length, s, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return;
    }
    if (!store_body(c, s, BODY_MAX))
        return;
    rc = store_seal(c->dir, s, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return;
    }
    char etag[S3_ETAG_MAX];
    bool is_dir = key[strlen(key) - 1] == '/';
    if (is_dir ? !store_commit_dir(c, s, key, &w, etag)
               : !store_commit(c, s, key, &w, STORE_PUT, etag))
        return;
    store_tell(c, &s->meta);
    s3_reply_header(req, "ETag", "\"%s\"", etag);
    reply_checksum(c, &s->meta);
    (void)s3_reply_empty(req, 200);
}

void op_put_object(struct s3_call *c)
{
    struct store s;
    store_init(&s);
    put(c, &s);
    store_fini(&s, c->dir);
}
