/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfakesched.so, for LD_PRELOAD: what a user-space scheduler in front of a copytool does to it.
 * It replaces register, unregister, recv, begin and end, and nothing else: get_fd of the real
 * library sees a foreign handle. Work comes only to a thread inside recv, and only such a thread
 * tells the scheduler what is done. An end for what it did not hand out aborts. By reading.
 */
#include "lib/lib_impl.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct open_action {
    uint64_t cookie;
    struct lu_fid dfid; /* as received */
    const void *hcp;    /* between begin and end */
    struct open_action *next;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct open_action *actions;
static int in_recv, untold;

/* The next function of that name in the global scope. */
#define NEXT(name)                                                                                 \
    __extension__({                                                                                \
        void *sym_ = dlsym(RTLD_NEXT, #name);                                                      \
        __typeof__(&name) real_;                                                                   \
        memcpy(&real_, &sym_, sizeof real_);                                                       \
        real_;                                                                                     \
    })

static void die(const char *why)
{
    (void)fprintf(stderr, "fake scheduler: %s\n", why);
    lib_report("sched_abort");
    abort();
}

int llapi_hsm_copytool_register(void **priv, const char *mnt, int n, int *ids, int flags)
{
    struct wire_call c = {.op = WIRE_REGISTER, .num = 1}; /* pulls */
    struct wire_reply r;
    int ends[2]; /* tells the MDT of our death, nothing else */
    (void)flags;
    if (!lib_is_mount(mnt))
        return -ENOENT;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    struct lib_ct *ct = calloc(1, sizeof *ct);
    if (ct == NULL || (ct->buf = malloc(HSM_BUF_MAX)) == NULL)
        abort();
    ct->magic = LIB_FOREIGN_MAGIC;
    ct->rfd = ends[0];
    (void)snprintf(ct->mount, sizeof ct->mount, "%s", mnt);
    (void)snprintf(c.name, sizeof c.name, "scheduled");
    int rc = lib_call(&c, ids, (size_t)n * sizeof(int), ends[1], &r, NULL, 0, NULL);
    (void)close(ends[1]);
    if (rc != 0) {
        (void)close(ends[0]);
        free(ct->buf);
        free(ct);
        return rc;
    }
    ct->agent = r.num;
    *priv = ct;
    return 0;
}

int llapi_hsm_copytool_unregister(void **priv)
{
    struct lib_ct *ct = *priv;
    struct wire_call c = {.op = WIRE_UNREGISTER, .num = ct->agent};
    struct wire_reply r;
    int rc = lib_call(&c, NULL, 0, -1, &r, NULL, 0, NULL);
    for (; untold > 0; untold--)
        lib_report("sched_done_lost");
    (void)close(ct->rfd);
    free(ct->buf);
    free(ct);
    *priv = NULL;
    return rc;
}

/* Remembers the items of a message, but for cancels. */
static void note_items(const char *msg, size_t len)
{
    const struct hsm_action_list *list = (const struct hsm_action_list *)msg;
    const char *fsname = msg + sizeof *list;
    size_t at = hsm_first_item(fsname, strnlen(fsname, len - sizeof *list));
    for (uint32_t i = 0; i < list->count && at + sizeof(struct hsm_action_item) <= len; i++) {
        struct hsm_action_item item;
        memcpy(&item, msg + at, sizeof item);
        at += hsm_align8(item.len);
        if (item.action == HSMA_CANCEL)
            continue;
        struct open_action *a = calloc(1, sizeof *a);
        if (a == NULL)
            abort();
        a->cookie = item.cookie;
        a->dfid = item.dfid;
        a->next = actions;
        actions = a;
    }
}

int llapi_hsm_copytool_recv(void *priv, struct hsm_action_list **hal, int *msgsize)
{
    struct lib_ct *ct = priv;
    struct wire_call c = {.op = WIRE_PULL, .num = ct->agent};
    struct wire_reply r;
    (void)pthread_mutex_lock(&lock);
    in_recv++;
    for (; untold > 0; untold--)
        lib_report("sched_done");
    (void)pthread_mutex_unlock(&lock);
    int rc = lib_call(&c, NULL, 0, -1, &r, ct->buf, WIRE_DATA_MAX, NULL);
    (void)pthread_mutex_lock(&lock);
    in_recv--;
    size_t head = sizeof(struct kuc_hdr);
    if (rc == 0 && r.len > head) {
        note_items(ct->buf + head, r.len - head);
        *hal = (struct hsm_action_list *)(void *)(ct->buf + head);
        *msgsize = (int)(r.len - head);
    }
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

int llapi_hsm_action_begin(void **phcp, const void *ct, const struct hsm_action_item *hai,
                           int mdt_idx, int open_flags, bool is_error)
{
    int rc = NEXT(llapi_hsm_action_begin)(phcp, ct, hai, mdt_idx, open_flags, is_error);
    if (rc != 0)
        return rc;
    (void)pthread_mutex_lock(&lock);
    for (struct open_action *a = actions; a != NULL; a = a->next)
        if (a->cookie == hai->cookie && memcmp(&a->dfid, &hai->dfid, sizeof a->dfid) == 0)
            a->hcp = *phcp;
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

int llapi_hsm_action_end(void **phcp, const struct hsm_extent *ext, int hp_flags, int errval)
{
    if (phcp == NULL || *phcp == NULL)
        die("end of NULL");
    (void)pthread_mutex_lock(&lock);
    struct open_action **at = &actions;
    while (*at != NULL && (*at)->hcp != *phcp)
        at = &(*at)->next;
    struct open_action *a = *at;
    if (a == NULL)
        die("end of an action that was not handed out");
    *at = a->next;
    free(a);
    if (in_recv > 0)
        lib_report("sched_done");
    else
        untold++;
    (void)pthread_mutex_unlock(&lock);
    return NEXT(llapi_hsm_action_end)(phcp, ext, hp_flags, errval);
}
