/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/req.h"

#include "base/cleanup.h"
#include "ctl/client.h"
#include "s3/registry.h"
#include "s3/s3_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/fsuid.h>

#define NOBODY 65534

const char *s3_req_header(const struct s3_req *req, const char *name)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (strcmp(req->headers[i].name, name) == 0)
            return req->headers[i].value;
    }
    return NULL;
}

const char *s3_req_param(const struct s3_req *req, const char *name)
{
    for (size_t i = 0; i < req->n_params; i++) {
        if (strcmp(req->params[i].name, name) == 0)
            return req->params[i].value;
    }
    return NULL;
}

/* The newest snapshot, held by the request from now on. What older ones handed out stays valid. */
static const struct s3_snapshot *newest(struct s3_req *req)
{
    struct s3_active *a = req->conn->active;
    struct s3_snapshot *s = s3_registry_get(req->site->registry);
    if (a->n_snaps > 0 && (a->snaps[a->n_snaps - 1] == s || a->n_snaps == S3_SNAPS_MAX)) {
        s3_snapshot_unref(s);
        return a->snaps[a->n_snaps - 1];
    }
    a->snaps[a->n_snaps++] = s;
    return s;
}

const struct s3_bucket *s3_req_find_bucket(struct s3_req *req, const char *name)
{
    const struct s3_snapshot *seen = newest(req);
    const struct s3_bucket *b = s3_snapshot_bucket(seen, name);
    if (b != NULL)
        return b;
    s3_may_block(req);
    s3_creds_leave();
    bool newer = s3_registry_miss(req->site->registry, seen);
    if (s3_creds_enter(req->account, NULL) < 0)
        return NULL;
    return newer ? s3_snapshot_bucket(newest(req), name) : NULL;
}

const struct s3_bucket *s3_req_buckets(struct s3_req *req, size_t *n)
{
    return s3_snapshot_buckets(newest(req), n);
}

const struct s3_account *s3_req_find_account(struct s3_req *req, const char *name)
{
    return s3_snapshot_account(newest(req), name);
}

int s3_req_registry_changed(struct s3_req *req, struct err *err)
{
    s3_may_block(req);
    s3_creds_leave();
    int rc = s3_registry_refresh(req->site->registry, err);
    struct err ignored = {0};
    int back = s3_creds_enter(req->account, rc == 0 ? err : &ignored);
    return rc != 0 ? rc : back;
}

int s3_ctl_call(struct s3_req *req, const char *op, struct cJSON *args, int timeout_ms,
                struct cJSON **result, struct err *err)
{
    struct ctl_pool *pool = s3_registry_pool(req->site->registry);
    if (pool == NULL) {
        cJSON_Delete(args);
        return err_set(err, -ECONNREFUSED, "%s: there is no connection to firnd", op);
    }
    s3_may_block(req);
    s3_creds_leave();
    int rc = ctl_pool_call(pool, op, args, result, NULL, timeout_ms, err);
    struct err ignored = {0};
    int back = s3_creds_enter(req->account, rc == 0 ? err : &ignored);
    return rc != 0 ? rc : back;
}

void s3_may_block(struct s3_req *req)
{
    server_may_block(req->conn->server, req->conn->active);
}

int s3_wait_begin(struct s3_req *req)
{
    struct s3_active *a = req->conn->active;
    s3_may_block(req);
    if (server_wait_begin(req->conn->server) != 0)
        return 1;
    a->waiting = true;
    return 0;
}

void s3_wait_end(struct s3_req *req)
{
    struct s3_active *a = req->conn->active;
    if (!a->waiting)
        return;
    a->waiting = false;
    server_wait_end(req->conn->server);
}

/* The identity that this thread has taken; (uid_t)-1 stands for the process's own. The kernel is
 * asked to change it only when it differs: two system calls less for most requests. */
static _Thread_local uid_t now_uid = (uid_t)-1;
static _Thread_local gid_t now_gid = (gid_t)-1;

int s3_creds_enter(const struct s3_account *a, struct err *err)
{
    uid_t uid = a != NULL ? a->uid : NOBODY;
    gid_t gid = a != NULL ? a->gid : NOBODY;
    if (uid == now_uid && gid == now_gid)
        return 0;
    /* setfsgid first: afterwards the thread may lack the right. An invalid id changes nothing and
     * returns the current one, which is the only way to see what holds. */
    (void)setfsgid(gid);
    (void)setfsuid(uid);
    if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid) {
        s3_creds_leave();
        return err_set(err, -EPERM, "the kernel refused file system identity %u:%u", uid, gid);
    }
    now_uid = uid;
    now_gid = gid;
    return 0;
}

void s3_creds_leave(void)
{
    (void)setfsuid(geteuid());
    (void)setfsgid(getegid());
    now_uid = (uid_t)-1;
    now_gid = (gid_t)-1;
}
