/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/mover_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define INSTANCE_FILE "instance"
#define RATE_SLICE_NS (NS_PER_SEC / 20)
#define ERRNO_MAX     126 /* the changelog has seven bits, 127 says "more" */

bool uuid_is_zero(const struct uuid *u)
{
    static const struct uuid zero;
    return uuid_same(u, &zero);
}

bool uuid_same(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

char *mover_label(const struct mover *m, const struct lu_fid *fid, char *out)
{
    return label_make(m->config.fsname, m->instance, fid, out);
}

int end_errno(const struct action *a, int rc)
{
    if (action_stopped(a))
        return ECANCELED;
    switch (-rc) {
    case EBADMSG:
    case ENOSYS:
    case ECANCELED: /* of a tier whose action was not cancelled */
        return EIO;
    default:
        return rc < 0 && -rc <= ERRNO_MAX ? -rc : EIO;
    }
}

void throttle(struct mover *m, const struct action *a, uint64_t n)
{
    if (m->config.bandwidth == 0)
        return;
    int64_t until;
    {
        lock_scope(&m->rate_lock);
        int64_t now = time_mono_ns();
        if (m->rate_next_ns < now)
            m->rate_next_ns = now;
        m->rate_next_ns += (int64_t)((double)n * (double)NS_PER_SEC / (double)m->config.bandwidth);
        until = m->rate_next_ns;
    }
    for (int64_t left; (left = until - time_mono_ns()) > 0 && !action_stopped(a);) {
        struct timespec ts = {0, left < RATE_SLICE_NS ? left : RATE_SLICE_NS};
        (void)nanosleep(&ts, NULL);
    }
}

/* ---- the file system's instance ---- */

static bool instance_valid(const char *text)
{
    return strlen(text) == INSTANCE_CHARS && strspn(text, "0123456789abcdef") == INSTANCE_CHARS;
}

static void instance_new(char *out)
{
    struct uuid u = uuid_new();
    encode_hex(u.b, INSTANCE_CHARS / 2, out);
}

/* What the state directory remembers: the instance, and whether the root had it. Returns 0,
 * -ENOENT, or another negative code. */
static int instance_read(const struct mover *m, int dirfd, char *out, bool *on_root,
                         struct err *err)
{
    auto_free char *text = NULL;
    int rc = io_read_file(dirfd, INSTANCE_FILE, 4096, &text, NULL, err);
    if (rc < 0)
        return rc;
    auto_json cJSON *j = cJSON_Parse(text);
    const char *fsname = json_str(j, "fsname", "");
    const char *instance = json_str(j, "instance", "");
    if (!instance_valid(instance))
        return err_set(err, -EBADMSG, "%s/%s: no instance of a file system", m->config.state_dir,
                       INSTANCE_FILE);
    if (strcmp(fsname, m->config.fsname) != 0)
        return err_set(err, -EINVAL,
                       "%s belongs to the file system %s, not to %s: give each its own state_dir",
                       m->config.state_dir, fsname, m->config.fsname);
    memcpy(out, instance, INSTANCE_CHARS + 1);
    *on_root = json_bool(j, "on_root", false);
    return 0;
}

static int instance_write(struct mover *m, int dirfd, bool on_root, struct err *err)
{
    auto_json cJSON *j = cJSON_CreateObject();
    json_add_str(j, "fsname", m->config.fsname);
    json_add_str(j, "instance", m->instance);
    (void)cJSON_AddBoolToObject(j, "on_root", on_root);
    auto_free char *text = cJSON_Print(j);
    return io_replace_durable(dirfd, INSTANCE_FILE, text, strlen(text), 0600, err);
}

/* The root's word counts. A root that has lost it is another file system of the same name, whose
 * FIDs mean other files: unless it never could keep it. */
static int instance_find(struct mover *m, struct err *err)
{
    char known[INSTANCE_CHARS + 1] = "";
    char root[INSTANCE_CHARS + 1] = "";
    bool was_on_root = false;
    auto_close int dirfd = open(m->config.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return err_sys(err, errno, "%s", m->config.state_dir);
    int rc = instance_read(m, dirfd, known, &was_on_root, err);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    ssize_t n = fgetxattr(m->config.mount_fd, INSTANCE_XATTR, root, INSTANCE_CHARS);
    if (n == INSTANCE_CHARS && instance_valid(root)) {
        if (*known != '\0' && strcmp(known, root) != 0)
            log_warn("%s: the file system is instance %s, this state directory knew %s: copies of "
                     "the other instance are not mixed with its own",
                     m->config.mount, root, known);
        memcpy(m->instance, root, sizeof(root));
    } else if (*known != '\0' && !was_on_root) {
        memcpy(m->instance, known, sizeof(known));
    } else {
        instance_new(m->instance);
    }
    bool on_root = n == INSTANCE_CHARS;
    if (!on_root && !m->config.dry_run)
        on_root =
            fsetxattr(m->config.mount_fd, INSTANCE_XATTR, m->instance, INSTANCE_CHARS, 0) == 0;
    if (strcmp(known, m->instance) == 0 && on_root == was_on_root)
        return 0;
    return instance_write(m, dirfd, on_root, err);
}

/* ---- opening ---- */

struct mover_lane *mover_lane_open(struct mover *m)
{
    struct err err;
    struct mover_lane *l = xzalloc(sizeof(*l));
    l->m = m;
    l->buf = xzalloc(LANE_BUFFER);
    l->digest = digest_new(DIGEST_XXH3_128);
    if (place_lane(m, &l->tier, &err) < 0)
        log_err("no way to the tier: %s", err.text); /* each action then fails with EIO */
    return l;
}

void mover_lane_close(struct mover_lane *l)
{
    struct err err;
    if (l == NULL)
        return;
    if (index_end_late(l->m->index, &err) < 0) /* while there is a journal to be told */
        log_err("copies that are not in the index are entered at the next start: %s", err.text);
    tier_free(l->tier);
    digest_free(l->digest);
    free(l->buf);
    free(l);
}

int mover_open(const struct mover_config *config, struct mover **out, struct err *err)
{
    struct mover *m = xzalloc(sizeof(*m));
    m->config = *config;
    (void)pthread_mutex_init(&m->own_lock, NULL);
    (void)pthread_mutex_init(&m->rate_lock, NULL);
    int rc = io_mkdirs(config->state_dir, 0700, err);
    if (rc == 0)
        rc = instance_find(m, err);
    auto_free char *dir = xasprintf("%s/catalog", config->state_dir);
    if (rc == 0)
        rc = index_open(dir, config->fsname, m->instance, &m->index, err);
    if (rc == 0)
        rc = place_open(m, err);
    if (rc < 0) {
        mover_close(m);
        return rc;
    }
    m->own = mover_lane_open(m);
    *out = m;
    return 0;
}

void mover_close(struct mover *m)
{
    if (m == NULL)
        return;
    mover_lane_close(m->own);
    place_close(m);
    index_close(m->index);
    (void)pthread_mutex_destroy(&m->own_lock);
    (void)pthread_mutex_destroy(&m->rate_lock);
    free(m);
}
