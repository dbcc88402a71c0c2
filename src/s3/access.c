/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "s3/s3_impl.h"

static const char *const method_names[] = {
    [S3_METHOD_GET] = "GET",   [S3_METHOD_HEAD] = "HEAD",     [S3_METHOD_PUT] = "PUT",
    [S3_METHOD_POST] = "POST", [S3_METHOD_DELETE] = "DELETE", [S3_METHOD_OPTIONS] = "OPTIONS",
};

void access_log(const struct s3_req *req, const struct s3_conn *c, int64_t bytes_in,
                int64_t bytes_out)
{
    auto_buf struct buf name = {0};
    if (req->bucket != NULL && req->bucket[0] != '\0') {
        buf_add_pct(&name, req->bucket, "");
        buf_addc(&name, '/');
        buf_add_pct(&name, req->key, "/");
    }
    long long us = (long long)(time_mono_ns() - req->start_ns) / 1000;
    /* The query is left out: it may hold a signature. */
    log_info("%s %s %s %s %s %d in=%lld out=%lld ms=%lld.%02lld id=%s", c->peer,
             req->account != NULL ? req->account->name : "-", method_names[req->method],
             req->op != NULL ? req->op : "-", name.len > 0 ? name.data : "-", req->status,
             (long long)bytes_in, (long long)bytes_out, us / 1000, us % 1000 / 10, req->id);
}
