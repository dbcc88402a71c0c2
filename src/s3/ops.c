/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch: one closed table picks the operation; what it does not know is refused. */
#include "s3/ops.h"

#include "base/mem.h"
#include "s3/metacache.h"
#include "s3/ops_impl.h"
#include "s3/sweep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const struct op table[] = {
#define S3_OP(name, method, level, sub, header, right, params, fn)                                 \
    {name, S3_METHOD_##method, level, sub, header, right, params, fn},
#define S3_OP_ABSENT(name, method, level, sub)                                                     \
    {name, S3_METHOD_##method, level, sub, "", "", "", NULL},
#include "s3/ops.def"
#undef S3_OP
#undef S3_OP_ABSENT
};

#define TABLE_ROWS (sizeof table / sizeof table[0])

/* Headers that ask for what is not here. A request with one of them is refused rather than served
 * without it. */
static const struct {
    const char *prefix;
    enum s3_error error;
} absent_headers[] = {
    {"x-amz-server-side-encryption", S3_ERR_NOT_IMPLEMENTED},
    {"x-amz-copy-source-server-side-encryption", S3_ERR_NOT_IMPLEMENTED},
    {"x-amz-object-lock-", S3_ERR_NOT_IMPLEMENTED},
    {"x-amz-bucket-object-lock-enabled", S3_ERR_NOT_IMPLEMENTED},
    {"x-amz-write-offset-bytes", S3_ERR_NOT_IMPLEMENTED},
    {"x-amz-rename-source", S3_ERR_NOT_IMPLEMENTED},
    {"x-amz-mfa", S3_ERR_NOT_IMPLEMENTED},
    {"x-amz-if-match-", S3_ERR_NOT_IMPLEMENTED},
    {"x-amz-grant-", S3_ERR_ACCESS_CONTROL_LIST_NOT_SUPPORTED},
};

int s3_ops_init(struct s3_site *site, struct err *err)
{
    (void)err;
    struct s3_ops *ops = xzalloc(sizeof *ops);
    keylock_init(&ops->locks);
    ops->sync = dirsync_new();
    ops->metas = metacache_new();
    (void)pthread_mutex_init(&ops->swept_lock, NULL);
    /* New objects have mode 0660 and new directories 0770, as NooBaa's. */
    (void)umask(0007);
    site->ops = ops;
    return 0;
}

void s3_ops_fini(struct s3_site *site)
{
    struct s3_ops *ops = site->ops;
    if (ops == NULL)
        return;
    keylock_fini(&ops->locks);
    dirsync_free(ops->sync);
    metacache_free(ops->metas);
    sweep_fini(ops);
    (void)pthread_mutex_destroy(&ops->swept_lock);
    free(ops);
    site->ops = NULL;
}

static const char *method_name(enum s3_method m)
{
    static const char *const names[] = {
        [S3_METHOD_GET] = "GET",   [S3_METHOD_HEAD] = "HEAD",     [S3_METHOD_PUT] = "PUT",
        [S3_METHOD_POST] = "POST", [S3_METHOD_DELETE] = "DELETE", [S3_METHOD_OPTIONS] = "OPTIONS",
    };
    return names[m];
}

bool s3_op_row(size_t i, struct s3_op_row *row)
{
    if (i >= TABLE_ROWS)
        return false;
    const struct op *op = &table[i];
    *row = (struct s3_op_row){.name = op->name,
                              .method = method_name(op->method),
                              .level = op->level,
                              .sub = op->sub[0] != '\0' ? op->sub : op->header,
                              .implemented = op->run != NULL};
    return true;
}

/* Is name a sub-resource that some row of the table knows? */
static bool is_sub(const char *name)
{
    for (size_t i = 0; i < TABLE_ROWS; i++)
        if (table[i].sub[0] != '\0' && strcmp(table[i].sub, name) == 0)
            return true;
    return false;
}

/* Parameters of a presigned URL, and the name of the operation that some SDKs add. */
static bool is_envelope(const char *name)
{
    return strncasecmp(name, "X-Amz-", 6) == 0 || strcmp(name, "x-id") == 0;
}

static bool in_list(const char *list, const char *name)
{
    char word[64];
    int n = snprintf(word, sizeof word, " %s ", name);
    return n > 0 && (size_t)n < sizeof word && strstr(list, word) != NULL;
}

/* The sub-resource of req, "" when it has none; NULL when it has two. */
static const char *sub_of(const struct s3_req *req)
{
    const char *sub = "";
    for (size_t i = 0; i < req->n_params; i++) {
        const char *name = req->params[i].name;
        if (is_envelope(name) || !is_sub(name) || strcmp(sub, name) == 0)
            continue;
        if (sub[0] != '\0')
            return NULL;
        sub = name;
    }
    return sub;
}

static const char *level_of(const struct s3_req *req)
{
    if (req->bucket[0] == '\0')
        return "service";
    return req->key[0] == '\0' ? "bucket" : "object";
}

static const struct op *find_op(const struct s3_req *req, const char *sub, bool *known)
{
    const char *level = level_of(req);
    *known = false;
    for (size_t i = 0; i < TABLE_ROWS; i++) {
        const struct op *op = &table[i];
        if (strcmp(op->level, level) != 0 || strcmp(op->sub, sub) != 0)
            continue;
        *known = true;
        if (op->method != req->method)
            continue;
        if (op->header[0] == '\0' || s3_req_header(req, op->header) != NULL)
            return op;
    }
    return NULL;
}

/* A parameter that nobody knows and that looks like a sub-resource (no value), or that comes with a
 * change, may mean something that the plain operation would get wrong. */
static bool params_ok(const struct s3_req *req, const struct op *op)
{
    bool changes = req->method != S3_METHOD_GET && req->method != S3_METHOD_HEAD;
    for (size_t i = 0; i < req->n_params; i++) {
        const char *name = req->params[i].name;
        if (is_envelope(name) || strcmp(name, op->sub) == 0 || in_list(op->params, name))
            continue;
        if (strncasecmp(name, "x-", 2) == 0) /* what clients add for their own logs */
            continue;
        if (changes || req->params[i].value[0] == '\0' || strcmp(name, "versionId") == 0 ||
            strcmp(name, "partNumber") == 0)
            return false;
    }
    return true;
}

static bool header_absent(const struct s3_req *req, enum s3_error *e, const char **name)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        *name = req->headers[i].name;
        for (size_t k = 0; k < sizeof absent_headers / sizeof absent_headers[0]; k++) {
            const char *prefix = absent_headers[k].prefix;
            if (strncmp(*name, prefix, strlen(prefix)) != 0)
                continue;
            *e = absent_headers[k].error;
            return true;
        }
    }
    return false;
}

/* Canned ACLs: "private" is what everything is; the other is the same here. */
static bool acl_ok(const struct s3_req *req)
{
    const char *acl = s3_req_header(req, "x-amz-acl");
    return acl == NULL || strcmp(acl, "private") == 0 ||
           strcmp(acl, "bucket-owner-full-control") == 0;
}

static bool owner_expected(const struct s3_req *req, const char *header)
{
    const char *owner = s3_req_header(req, header);
    return owner == NULL || strcmp(owner, req->account->name) == 0;
}

/* What is refused whatever the operation. Returns true to go on, or false having answered. */
static bool admit(struct s3_call *c)
{
    struct s3_req *req = c->req;
    enum s3_error e = S3_ERR_NONE;
    const char *name = NULL;
    if (req->account == NULL || !owner_expected(req, "x-amz-expected-bucket-owner") ||
        !owner_expected(req, "x-amz-source-expected-bucket-owner")) {
        (void)s3_reply_error(req, S3_ERR_ACCESS_DENIED, NULL);
        return false;
    }
    if (c->op->run == NULL) {
        (void)s3_reply_error(req, S3_ERR_NOT_IMPLEMENTED, "%s is not implemented", c->op->name);
        return false;
    }
    if (header_absent(req, &e, &name)) {
        s3_error_element(req, "Header", "%s", name);
        (void)s3_reply_error(req, e, NULL);
        return false;
    }
    if (!acl_ok(req)) {
        (void)s3_reply_error(req, S3_ERR_ACCESS_CONTROL_LIST_NOT_SUPPORTED, NULL);
        return false;
    }
    return true;
}

/* Finds and opens the bucket for the operations that work in one. */
static bool enter_bucket(struct s3_call *c)
{
    if (c->req->bucket[0] == '\0' || c->op->run == op_create_bucket)
        return true;
    if (!bucket_find(c, c->req->bucket, &c->bucket))
        return false;
    if (c->req->key[0] != '\0' && !fault_check_key(c, c->req->key))
        return false;
    if (c->op->run == op_delete_bucket)
        return true;
    struct err err = {0};
    int fd = bucket_open(c, c->bucket, &err);
    if (fd < 0) {
        bucket_open_fault(c, fd, &err);
        return false;
    }
    c->dir = fd;
    sweep_once(c);
    return true;
}

static const struct op *pick(struct s3_call *c)
{
    struct s3_req *req = c->req;
    const char *sub = sub_of(req);
    if (sub == NULL) {
        (void)s3_reply_error(req, S3_ERR_INVALID_ARGUMENT,
                             "Conflicting query parameters: two sub-resources");
        return NULL;
    }
    bool known = false;
    const struct op *op = find_op(req, sub, &known);
    if (op == NULL) {
        enum s3_error e = S3_ERR_NOT_IMPLEMENTED;
        if (known)
            e = S3_ERR_METHOD_NOT_ALLOWED;
        (void)s3_reply_error(req, e, NULL);
        return NULL;
    }
    if (!params_ok(req, op)) {
        (void)s3_reply_error(req, S3_ERR_NOT_IMPLEMENTED,
                             "%s does not know one of the query parameters", op->name);
        return NULL;
    }
    return op;
}

void s3_handle(struct s3_req *req)
{
    struct s3_call c = {.req = req, .ops = req->site->ops, .dir = -1};
    req->op = "-";
    c.op = pick(&c);
    if (c.op == NULL)
        return;
    req->op = c.op->name;
    if (c.op->run != op_get_object)
        s3_may_block(req);
    if (admit(&c) && enter_bucket(&c))
        c.op->run(&c);
    if (c.dir >= 0)
        (void)close(c.dir);
}
