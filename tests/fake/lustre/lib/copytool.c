/* SPDX-License-Identifier: Apache-2.0 */
/* register, recv, unregister: the copytool's end of the pipe. */
#include "lib_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check_register(const char *mnt, int n, const int *ids)
{
    char path[PATH_MAX + 16];
    if (mnt == NULL || n < 0 || (n > 0 && ids == NULL))
        return -EINVAL;
    for (int i = 0; i < n; i++)
        if (ids[i] < 0)
            return -EINVAL;
    if (!lib_is_mount(mnt))
        return -ENOENT;
    (void)snprintf(path, sizeof path, "%s/.lustre/fid", mnt);
    return access(path, F_OK) == 0 ? 0 : -ENOENT;
}

static struct lib_ct *new_ct(const char *mnt, int n, const int *ids)
{
    struct lib_ct *ct = calloc(1, sizeof *ct + (size_t)n * sizeof(int));
    if (ct == NULL)
        return NULL;
    ct->buf = malloc(HSM_BUF_MAX);
    if (ct->buf == NULL) {
        free(ct);
        return NULL;
    }
    ct->magic = LIB_CT_MAGIC;
    ct->rfd = -1;
    (void)snprintf(ct->mount, sizeof ct->mount, "%s", mnt);
    ct->count = n;
    for (int i = 0; i < n; i++) {
        ct->ids[i] = ids[i];
        if (ids[i] == 0)
            ct->count = 0; /* any archive */
    }
    return ct;
}

static void free_ct(struct lib_ct *ct)
{
    if (ct->rfd >= 0)
        (void)close(ct->rfd);
    free(ct->buf);
    ct->magic = LIB_POISON;
    free(ct);
}

int llapi_hsm_copytool_register(void **priv, const char *mnt, int n, int *ids, int flags)
{
    int pipefd[2];
    if (priv == NULL)
        return -EINVAL;
    int rc = check_register(mnt, n, ids);
    if (rc == 0)
        rc = lib_fault("register");
    if (rc != 0)
        return rc;
    struct lib_ct *ct = new_ct(mnt, n, ids);
    if (ct == NULL)
        return -ENOMEM;
    if (pipe2(pipefd, O_CLOEXEC) != 0) {
        rc = -errno;
        free_ct(ct);
        return rc;
    }
    ct->rfd = pipefd[0];
    if (flags & O_NONBLOCK)
        (void)fcntl(ct->rfd, F_SETFL, O_NONBLOCK);
    struct wire_call c = {.op = WIRE_REGISTER};
    struct wire_reply r;
    const char *client = getenv(WIRE_CLIENT_ENV);
    (void)snprintf(c.name, sizeof c.name, "%s", client != NULL ? client : "client0");
    rc = lib_call(&c, ct->ids, (size_t)ct->count * sizeof(int), pipefd[1], &r, NULL, 0, NULL);
    (void)close(pipefd[1]);
    if (rc != 0) {
        free_ct(ct);
        return rc;
    }
    ct->agent = r.num;
    lib_event_agent(ct, "REGISTER");
    *priv = ct;
    return 0;
}

int llapi_hsm_copytool_unregister(void **priv)
{
    if (priv == NULL || *priv == NULL)
        return -EINVAL;
    struct lib_ct *ct = *priv;
    if (ct->magic != LIB_CT_MAGIC)
        return -EINVAL;
    int rc = lib_fault("unregister");
    lib_event_agent(ct, "UNREGISTER");
    /* The pipe first, then the kernel: whoever writes meanwhile must not wait for a reader. */
    (void)close(ct->rfd);
    ct->rfd = -1;
    struct wire_call c = {.op = WIRE_UNREGISTER, .num = ct->agent};
    struct wire_reply r;
    (void)lib_call(&c, NULL, 0, -1, &r, NULL, 0, NULL);
    free_ct(ct);
    *priv = NULL;
    lib_fd_audit(2);
    return rc;
}

int llapi_hsm_copytool_get_fd(void *priv)
{
    struct lib_ct *ct = priv;
    if (ct == NULL || ct->magic != LIB_CT_MAGIC)
        return -EINVAL;
    return ct->rfd;
}

/* One read of the header or the payload, as the version does it: whole, or what comes. Returns
 * bytes, or -errno; the end of the pipe is 0. */
static ssize_t read_part(int fd, char *p, size_t n, bool whole)
{
    size_t have = 0;
    do {
        ssize_t got = read(fd, p + have, n - have);
        if (got < 0 && errno == EINTR && whole)
            continue;
        if (got < 0 && errno == EAGAIN && whole && have > 0)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return (ssize_t)have;
        have += (size_t)got;
    } while (whole && have < n);
    return (ssize_t)have;
}

/* A message into ct->buf. Up to 2.17.52 the end of the pipe gives a stale errno; 0 of that ends in
 * -EPROTO. By reading. */
static int read_message(struct lib_ct *ct, bool whole)
{
    struct kuc_hdr *hdr = (struct kuc_hdr *)ct->buf;
    errno = 0;
    ssize_t got = read_part(ct->rfd, ct->buf, sizeof *hdr, whole);
    if (got <= 0)
        return got < 0 ? (int)got : whole ? -EPIPE : -EPROTO;
    if ((size_t)got < sizeof *hdr || hdr->magic != KUC_MAGIC)
        return -EPROTO;
    if (hdr->msglen < sizeof *hdr)
        return -EPROTO;
    size_t rest = hdr->msglen - sizeof *hdr;
    if (rest > 0)
        got = read_part(ct->rfd, ct->buf + sizeof *hdr, rest, whole);
    if (rest > 0 && got < 0)
        return (int)got;
    ct->last_len = hdr->msglen;
    if (rest > 0 && (size_t)got < rest)
        return -EPROTO;
    return 0;
}

static int check_message(const struct kuc_hdr *hdr)
{
    if (hdr->transport == KUC_TRANSPORT_GENERIC && hdr->msgtype == KUC_MSG_SHUTDOWN)
        return -ESHUTDOWN;
    if (hdr->transport != KUC_TRANSPORT_HSM || hdr->msgtype != HMT_ACTION_LIST)
        return -EPROTO;
    return hdr->msglen < sizeof *hdr + sizeof(struct hsm_action_list) ? -EPROTO : 0;
}

static bool serves(const struct lib_ct *ct, uint32_t archive_id)
{
    for (int i = 0; i < ct->count; i++)
        if ((uint32_t)ct->ids[i] == archive_id)
            return true;
    return ct->count == 0;
}

int llapi_hsm_copytool_recv(void *priv, struct hsm_action_list **hal, int *msgsize)
{
    struct lib_ct *ct = priv;
    const struct lib_site *s = lib_site();
    if (ct == NULL || ct->magic != LIB_CT_MAGIC || hal == NULL || msgsize == NULL || s == NULL)
        return -EINVAL;
    for (;;) {
        int rc = lib_fault("recv");
        memset(ct->buf, 0xA5, ct->last_len); /* what was handed out before is gone */
        if (rc == 0)
            rc = read_message(ct, s->features & FEAT_RECV_WHOLE);
        const struct kuc_hdr *hdr = (const struct kuc_hdr *)ct->buf;
        if (rc == 0)
            rc = check_message(hdr);
        if (rc != 0)
            return rc;
        struct hsm_action_list *list = (struct hsm_action_list *)(ct->buf + sizeof *hdr);
        if (!serves(ct, list->archive_id))
            continue;
        *hal = list;
        *msgsize = hdr->msglen - (int)sizeof *hdr;
        return 0;
    }
}
