/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "ctl/client.h"
#include "ctl/client_impl.h"

#include <errno.h>

struct ctl_pool {
    char *path;
    pthread_mutex_t lock; /* over idle and n_idle */
    struct ctl_client **idle;
    size_t n_idle;
    size_t max_idle;
};

struct ctl_pool *ctl_pool_new(const char *socket_path, size_t max_idle)
{
    struct ctl_pool *p = xzalloc(sizeof(*p));
    p->path = xstrdup(socket_path);
    p->max_idle = max_idle;
    p->idle = xrealloc_array(NULL, max_idle + 1, sizeof(struct ctl_client *));
    (void)pthread_mutex_init(&p->lock, NULL);
    return p;
}

void ctl_pool_free(struct ctl_pool *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n_idle; i++)
        ctl_close(p->idle[i]);
    (void)pthread_mutex_destroy(&p->lock);
    free(p->idle);
    free(p->path);
    free(p);
}

static struct ctl_client *take_idle(struct ctl_pool *p)
{
    lock_scope(&p->lock);
    return p->n_idle > 0 ? p->idle[--p->n_idle] : NULL;
}

int ctl_pool_get(struct ctl_pool *p, struct ctl_client **client, struct err *err)
{
    for (;;) {
        struct ctl_client *c = take_idle(p);
        if (c == NULL)
            return ctl_connect(p->path, client, err);
        if (ctl_client_is_quiet(c)) {
            *client = c;
            return 0;
        }
        ctl_close(c); /* firnd went away while it rested */
    }
}

void ctl_pool_put(struct ctl_pool *p, struct ctl_client *c)
{
    if (c != NULL && !ctl_broken(c)) {
        lock_scope(&p->lock);
        if (p->n_idle < p->max_idle) {
            p->idle[p->n_idle++] = c;
            return;
        }
    }
    ctl_close(c);
}

int ctl_pool_call(struct ctl_pool *p, const char *op, cJSON *args, cJSON **result, cJSON **details,
                  int64_t timeout_ms, struct err *err)
{
    auto_json cJSON *keep = args;
    struct ctl_client *c = NULL;
    int rc = ctl_pool_get(p, &c, err);
    if (rc != 0)
        return rc;
    rc = ctl_call(c, op, take_ptr(keep), result, NULL, NULL, timeout_ms, err);
    if (rc != 0 && details != NULL && ctl_error_details(c) != NULL)
        *details = cJSON_Duplicate(ctl_error_details(c), 1);
    ctl_pool_put(p, c);
    return rc;
}
