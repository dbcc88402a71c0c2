/* SPDX-License-Identifier: Apache-2.0 */
/* Where codes become S3 errors. */
#include "s3/ops_impl.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

static const struct {
    int code;
    enum s3_error error;
} rows[] = {
    {ENOENT, S3_ERR_NO_SUCH_KEY},
    {ENOTDIR, S3_ERR_NO_SUCH_KEY},
    {ELOOP, S3_ERR_NO_SUCH_KEY},
    {EISDIR, S3_ERR_EXISTING_OBJECT_IS_DIRECTORY},
    {EACCES, S3_ERR_ACCESS_DENIED},
    {EPERM, S3_ERR_ACCESS_DENIED},
    {EROFS, S3_ERR_ACCESS_DENIED},
    {ENOSPC, S3_ERR_INSUFFICIENT_STORAGE},
    {EDQUOT, S3_ERR_INSUFFICIENT_STORAGE},
    {EFBIG, S3_ERR_ENTITY_TOO_LARGE},
    {ENAMETOOLONG, S3_ERR_KEY_TOO_LONG},
    {EEXIST, S3_ERR_OPERATION_ABORTED},
    {ENOTEMPTY, S3_ERR_OPERATION_ABORTED},
    {EXDEV, S3_ERR_OPERATION_ABORTED},
    {EBUSY, S3_ERR_SLOW_DOWN},
    {EAGAIN, S3_ERR_SLOW_DOWN},
    {EMFILE, S3_ERR_SLOW_DOWN},
    {ENFILE, S3_ERR_SLOW_DOWN},
    {ENOMEM, S3_ERR_SLOW_DOWN},
    {ECONNREFUSED, S3_ERR_SERVICE_UNAVAILABLE},
    {ECONNRESET, S3_ERR_SERVICE_UNAVAILABLE},
    {ETIMEDOUT, S3_ERR_SERVICE_UNAVAILABLE},
};

void fault_reply(struct s3_call *c, int rc, const struct err *err)
{
    const char *text = err != NULL && err->text[0] != '\0' ? err->text : strerror(-rc);
    enum s3_error e = S3_ERR_INTERNAL_ERROR;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == -rc)
            e = rows[i].error;
    int status = s3_error_status(e);
    if (status == 503) {
        fault_retry(c, e, NULL);
        log_warn("%s %s: %s", c->op->name, c->req->target, text);
        return;
    }
    if (status >= 500)
        log_err("%s %s: %s", c->op->name, c->req->target, text);
    (void)s3_reply_error(c->req, e, NULL);
}

void fault_retry(struct s3_call *c, enum s3_error e, const char *text)
{
    s3_reply_header(c->req, "Retry-After", "%lld", (long long)c->req->site->conf->s3.retry_after_s);
    if (text != NULL)
        (void)s3_reply_error(c->req, e, "%s", text);
    else
        (void)s3_reply_error(c->req, e, NULL);
}

bool fault_check_key(struct s3_call *c, const char *key)
{
    size_t n = strlen(key);
    enum key_fault fault = key_check(key, n);
    enum s3_error e = S3_ERR_INVALID_ARGUMENT;
    if (fault == KEY_OK) {
        if (key_utf8_valid(key, n))
            return true;
        (void)s3_reply_error(c->req, S3_ERR_INVALID_URI, "The key is not UTF-8");
        return false;
    }
    if (fault == KEY_TOO_LONG || fault == KEY_COMPONENT)
        e = S3_ERR_KEY_TOO_LONG;
    (void)s3_reply_error(c->req, e, "Unusable key: %s", key_fault_text(fault));
    return false;
}
