/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_MAX (8 << 20)

static int check_list(struct call *c, struct transfer *t, struct err *err)
{
    return call_document(t, "ListBucketResult", c->check_arg, err);
}

/* One entry of a list is asked for: unlike a HEAD, its refusal says why. */
int store_bucket_check(struct store *s, const char *bucket, struct err *err)
{
    auto_xml struct xml *page = NULL;
    struct call c = {.store = s,
                     .what = "check",
                     .method = "GET",
                     .bucket = bucket,
                     .query = "list-type=2&max-keys=1",
                     .doc_max = DOCUMENT_MAX,
                     .check = check_list,
                     .check_arg = &page};
    struct transfer t = {0};
    int rc = call_run(&c, &t, err);
    transfer_fini(&t);
    return rc;
}

/* Stores with regions of their own naming refuse a LocationConstraint: once without it. */
static bool adapt_create(struct call *c, const struct transfer *t, const char *code)
{
    (void)t;
    if (c->body == NULL || c->size == 0 ||
        (strcmp(code, "InvalidLocationConstraint") != 0 && strcmp(code, "MalformedXML") != 0))
        return false;
    c->body = "";
    c->size = 0;
    c->payload[0] = '\0';
    return true;
}

int store_bucket_create(struct store *s, const char *bucket, struct err *err)
{
    auto_buf struct buf body = {0};
    if (strcmp(s->region, "us-east-1") != 0)
        buf_addf(&body,
                 S3_XML_DECL "<CreateBucketConfiguration xmlns=\"" S3_XML_NS
                             "\"><LocationConstraint>%s</LocationConstraint>"
                             "</CreateBucketConfiguration>",
                 s->region);
    struct call c = {.store = s,
                     .what = "creation",
                     .method = "PUT",
                     .bucket = bucket,
                     .query = "",
                     .body = body.len > 0 ? body.data : "",
                     .size = body.len,
                     .doc_max = DOCUMENT_MAX,
                     .adapt = adapt_create};
    if (body.len > 0)
        call_sha256(body.data, body.len, c.payload);
    struct transfer t = {0};
    int rc = call_run(&c, &t, err);
    if (rc < 0 && strcmp(t.head.reply.code, "BucketAlreadyOwnedByYou") == 0) {
        if (err != NULL)
            err_clear(err);
        rc = STORE_EXISTS;
    } else if (rc > 0) {
        rc = call_refused(&c, &t, err);
    }
    transfer_fini(&t);
    return rc;
}

static int check_buckets(struct call *c, struct transfer *t, struct err *err)
{
    return call_document(t, "ListAllMyBucketsResult", c->check_arg, err);
}

int store_bucket_list(struct store *s, int (*fn)(void *arg, const char *bucket, struct err *err),
                      void *arg, struct err *err)
{
    auto_xml struct xml *doc = NULL;
    struct call c = {.store = s,
                     .what = "LIST",
                     .method = "GET",
                     .query = "",
                     .doc_max = DOCUMENT_MAX,
                     .check = check_buckets,
                     .check_arg = &doc};
    struct transfer t = {0};
    int rc = call_run(&c, &t, err);
    if (rc > 0)
        rc = call_refused(&c, &t, err);
    transfer_fini(&t);
    if (rc != 0)
        return rc;
    const struct xml *x = xml_child(xml_child(doc, "Buckets"), "Bucket");
    for (; x != NULL && rc == 0; x = xml_again(x)) {
        const char *name = xml_text(x, "Name");
        if (name != NULL && name[0] != '\0')
            rc = fn(arg, name, err);
    }
    return rc;
}
