/* SPDX-License-Identifier: Apache-2.0 */
/* Which bucket a request may use, and its directory. */
#include "s3/ops_impl.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

bool bucket_find(struct s3_call *c, const char *name, const struct s3_bucket **out)
{
    struct s3_req *req = c->req;
    if (!key_bucket_valid(name)) {
        (void)s3_reply_error(req, S3_ERR_INVALID_BUCKET_NAME, NULL);
        return false;
    }
    const struct s3_bucket *b = s3_req_find_bucket(req, name);
    if (b == NULL) {
        s3_error_element(req, "BucketName", "%s", name);
        (void)s3_reply_error(req, S3_ERR_NO_SUCH_BUCKET, NULL);
        return false;
    }
    if (strcmp(b->owner, req->account->name) != 0) {
        s3_reply_header(req, "x-amz-bucket-region", "%s", req->site->conf->s3.region);
        (void)s3_reply_error(req, S3_ERR_ACCESS_DENIED, NULL);
        return false;
    }
    *out = b;
    return true;
}

/* Is path the directory that a bucket called name has when S3 made it? */
static bool in_home(const char *home, const char *path, const char *name)
{
    size_t n = strlen(home);
    return strncmp(path, home, n) == 0 && path[n] == '/' && strcmp(path + n + 1, name) == 0;
}

int bucket_open(struct s3_call *c, const struct s3_bucket *b, struct err *err)
{
    const struct s3_site *site = c->req->site;
    int fd = -1;
    if (in_home(site->conf->s3.buckets, b->path, b->name)) {
        fd = beneath_open(site->buckets_fd, b->name, O_PATH | O_DIRECTORY, 0);
    } else { /* an administrator exported this directory: its path is his, symlinks included */
        fd = open(b->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            fd = -errno;
    }
    if (fd < 0)
        return err_sys(err, -fd, "open directory %s of bucket %s", b->path, b->name);
    return fd;
}

void bucket_open_fault(struct s3_call *c, int rc, const struct err *err)
{
    if (rc != -ENOENT && rc != -ENOTDIR) {
        fault_reply(c, rc, err);
        return;
    }
    /* The registry has the bucket, the file system has not: an administrator must look. */
    log_err("%s", err->text);
    (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_BUCKET, "The bucket's directory is missing");
}
