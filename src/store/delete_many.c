/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX     1000
#define DOCUMENT_MAX (8 << 20)

static int check_result(struct call *c, struct transfer *t, struct err *err)
{
    return call_document(t, "DeleteResult", c->check_arg, err);
}

/* Whether XML 1.0 can hold key: buf_add_xml would make another key of one that it cannot. */
static bool xml_holds(const char *key)
{
    auto_buf struct buf b = {0};
    auto_xml struct xml *x = NULL;
    buf_adds(&b, "<K>");
    buf_add_xml(&b, key);
    buf_adds(&b, "</K>");
    return xml_parse(b.data, b.len, 1, NULL, &x, NULL) == 0 && strcmp(x->text, key) == 0;
}

static int one_by_one(struct store *s, const char *bucket, const char *const *keys, size_t n,
                      struct store_cancel *cancel, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = store_delete(s, bucket, keys[i], cancel, err);
    return rc;
}

/* What the store says was not deleted is tried again, key by key, with the retries of a DELETE. */
static int settle(struct store *s, const char *bucket, const struct xml *result,
                  struct store_cancel *cancel, struct err *err)
{
    const struct xml *x = xml_child(result, "Error");
    int rc = 0;
    for (; x != NULL && rc == 0; x = xml_again(x)) {
        const char *key = xml_text(x, "Key");
        if (key == NULL || key[0] == '\0')
            return err_set(err, -EPROTO, "store %s: deletion in %s: the answer names no key",
                           s->name, bucket);
        rc = store_delete(s, bucket, key, cancel, err);
    }
    return rc;
}

static bool unknown_request(const struct transfer *t)
{
    const char *code = t->head.reply.code;
    int status = t->head.reply.status;
    return status == 501 || status == 405 || strcmp(code, "NotImplemented") == 0 ||
           strcmp(code, "MethodNotAllowed") == 0;
}

static int send_list(struct store *s, const char *bucket, const struct buf *body, bool *unknown,
                     struct xml **result, struct store_cancel *cancel, struct err *err)
{
    struct call c = {.store = s,
                     .what = "DELETE (many)",
                     .method = "POST",
                     .bucket = bucket,
                     .query = "delete=",
                     .body = body->data,
                     .size = body->len,
                     .doc_max = DOCUMENT_MAX,
                     .cancel = cancel,
                     .check = check_result,
                     .check_arg = result};
    uint8_t md5[DIGEST_MAX];
    char text[ENCODE_BASE64_SIZE(16)];
    (void)digest_of(DIGEST_MD5, c.body, c.size, md5);
    encode_base64(md5, 16, text);
    call_sha256(c.body, c.size, c.payload);
    call_field(&c, "content-md5", text);
    call_field(&c, "content-type", "application/xml");
    struct transfer t = {0};
    int rc = call_run(&c, &t, err);
    *unknown = rc < 0 && unknown_request(&t);
    if (rc > 0)
        rc = call_refused(&c, &t, err);
    transfer_fini(&t);
    return rc;
}

int store_delete_many(struct store *s, const char *bucket, const char *const *keys, size_t n,
                      struct store_cancel *cancel, struct err *err)
{
    if (n > KEYS_MAX)
        return err_set(err, -EINVAL, "at most %d keys are deleted at once", KEYS_MAX);
    if (n <= 1 || atomic_load(&s->no_multi))
        return one_by_one(s, bucket, keys, n, cancel, err);
    auto_buf struct buf body = {0};
    size_t odd = 0;
    int rc = 0;
    buf_adds(&body, S3_XML_DECL "<Delete xmlns=\"" S3_XML_NS "\"><Quiet>true</Quiet>");
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!xml_holds(keys[i])) {
            odd++;
            rc = store_delete(s, bucket, keys[i], cancel, err);
            continue;
        }
        buf_adds(&body, "<Object><Key>");
        buf_add_xml(&body, keys[i]);
        buf_adds(&body, "</Key></Object>");
    }
    buf_adds(&body, "</Delete>");
    if (rc < 0 || odd == n)
        return rc;
    auto_xml struct xml *result = NULL;
    bool unknown = false;
    rc = send_list(s, bucket, &body, &unknown, &result, cancel, err);
    if (unknown) {
        atomic_store(&s->no_multi, true);
        return one_by_one(s, bucket, keys, n, cancel, err);
    }
    return rc == 0 ? settle(s, bucket, result, cancel, err) : rc;
}
