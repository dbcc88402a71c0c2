/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked about files: identity, size, HSM state, current action; and the release, which this
 * client carries out itself. Jobs of the pool: they touch one item each.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "lustre/action.h"
#include "lustre/stager_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC)

static int fail(struct stager_item *it, int errnum, const char *problem)
{
    it->rc = errnum > 0 ? -errnum : -EIO;
    it->problem = problem;
    return it->rc;
}

/* Opening a device or a pipe has effects, so the type is asked for first. Sizes need not be fresh:
 * they are for people. */
static int check_type(struct stager *s, struct stager_item *it)
{
    struct statx stx;
    if (statx(AT_FDCWD, it->path, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE,
              &stx) != 0)
        return fail(it, errno, "it cannot be found");
    if (!S_ISREG(stx.stx_mode))
        return fail(it, EINVAL, "it is no regular file; only those have copies");
    if (makedev(stx.stx_dev_major, stx.stx_dev_minor) != s->dev)
        return fail(it, EXDEV,
                    "it lies on another file system than the first; give it a run of "
                    "its own");
    it->size = stx.stx_size;
    return 0;
}

static int open_by_fid(struct stager *s, struct stager_item *it)
{
    errno = 0;
    int fd = s->cfg->api->open_by_fid(s->cfg->mount, &it->fid, OPEN_FLAGS);
    if (fd >= 0)
        return fd;
    int e = fd == -1 && errno != 0 ? errno : -fd; /* of 2.12 it is -1 and errno */
    it->gone = e == ENOENT || e == ESTALE;
    return fail(it, e, it->gone ? "no file has this FID" : "it cannot be opened by its FID");
}

static int fid_of(struct stager *s, const char *path, int fd, struct lu_fid *fid)
{
    if (s->cfg->api->fd2fid != NULL)
        return s->cfg->api->fd2fid(fd, fid);
    if (s->cfg->api->path2fid != NULL)
        return s->cfg->api->path2fid(path, fid);
    return -ENOTSUP;
}

/* Opens it by its path, if that still is the file that was looked at first. -ESTALE: it is not. */
static int open_path(struct stager *s, struct stager_item *it)
{
    struct lu_fid fid;
    if (check_type(s, it) != 0)
        return it->rc;
    auto_close int fd = open(it->path, OPEN_FLAGS);
    if (fd < 0)
        return fail(it, errno, "it cannot be opened");
    int rc = fid_of(s, it->path, fd, &fid);
    if (rc < 0)
        return fail(it, -rc, "its FID cannot be found out");
    if (it->has_fid && memcmp(&fid, &it->fid, sizeof(fid)) != 0)
        return -ESTALE;
    it->fid = fid;
    it->has_fid = true;
    return take_fd(fd);
}

static int open_item(struct stager *s, struct stager_item *it)
{
    if (it->path == NULL)
        return open_by_fid(s, it);
    bool known = it->has_fid;
    int fd = open_path(s, it);
    if (fd < 0 && known) { /* renamed, or replaced: the file itself is meant */
        it->rc = 0;
        it->moved = true;
        fd = open_by_fid(s, it);
    }
    return fd;
}

static void find_name(struct stager *s, struct stager_item *it)
{
    char fid[FID_TEXT_MAX];
    char path[PATH_MAX];
    long long recno = -1;
    int linkno = 0;
    if (s->cfg->api->fid2path(s->cfg->mount, fid_text(&it->fid, fid), path, sizeof(path), &recno,
                              &linkno) == 0)
        it->name = xasprintf("%s/%s", s->cfg->mount, path[0] == '/' ? path + 1 : path);
}

static int check_fid_file(struct stager *s, struct stager_item *it, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(it, errno, "its attributes cannot be read");
    if (!S_ISREG(st.st_mode))
        return fail(it, EINVAL, "it is no regular file; only those have copies");
    it->size = (uint64_t)st.st_size;
    if (s->cfg->names && it->name == NULL)
        find_name(s, it);
    return 0;
}

int stager_ask_action(struct stager *s, struct stager_item *it)
{
    char fid[FID_TEXT_MAX];
    const char *path = it->moved ? NULL : it->path != NULL ? it->path : it->name;
    int rc = -ENOENT;
    it->action_known = false;
    it->asked_ns = s->now_ns;
    if (s->cfg->api->hsm_current_action == NULL)
        return -ENOTSUP;
    if (path != NULL)
        rc = s->cfg->api->hsm_current_action(path, &it->action);
    if (rc == -ENOENT) { /* renamed, or no path is known */
        (void)fid_text(&it->fid, fid);
        fid[strlen(fid) - 1] = '\0'; /* names below .lustre/fid have no brackets */
        auto_free char *by_fid = xasprintf("%s/.lustre/fid/%s", s->cfg->mount, fid + 1);
        rc = s->cfg->api->hsm_current_action(by_fid, &it->action);
    }
    it->action_known = rc == 0;
    return rc;
}

void stager_look(struct stager *s, struct stager_item *it)
{
    it->rc = 0;
    it->problem = NULL;
    it->gone = false;
    auto_close int fd = open_item(s, it);
    if (fd < 0)
        return;
    if (it->path == NULL && check_fid_file(s, it, fd) != 0)
        return;
    /* The action first: when it is over, the state that is read afterwards is its result. */
    it->action_known = false;
    if (it->ask_action)
        (void)stager_ask_action(s, it);
    int rc = s->cfg->api->hsm_state_get_fd(fd, &it->state);
    if (rc < 0)
        (void)fail(it, -rc, "its HSM state cannot be read");
}

void stager_release(struct stager *s, struct stager_item *it)
{
    struct hsm_user_request *r = s->cfg->api->hsm_user_request_alloc(1, 0);
    if (r == NULL) {
        (void)fail(it, ENOMEM, "no memory for a request");
        return;
    }
    r->action = HUA_RELEASE;
    r->itemcount = 1;
    r->items[0] = (struct hsm_user_item){it->fid, {0, EXTENT_TO_END}};
    int rc = s->cfg->api->hsm_request(s->cfg->mount, r);
    free(r);
    it->rc = 0;
    if (rc == -EPERM)
        (void)fail(it, EPERM,
                   "it is not archived as it is now, or is not to be released; \"firn lustre "
                   "state\" shows which, \"firn lustre archive\" archives it again");
    else if (rc == -EBUSY)
        (void)fail(it, EBUSY, "somebody has it open or mapped");
    else if (rc < 0)
        (void)fail(it, -rc, "it was not released");
}

void stager_item_free(struct stager_item *it)
{
    if (it == NULL)
        return;
    free(it->path);
    free(it->name);
    free(it);
}

size_t stager_read(struct stager *s, struct stager_item **items, size_t n)
{
    size_t got = 0;
    while (got < n && !s->ended) {
        struct stager_file f = {0};
        int rc = s->source->next(s->source->arg, &f, &s->give_up);
        if (rc <= 0) {
            s->ended = true;
            if (rc < 0 && s->give_up.code == 0)
                (void)err_set(&s->give_up, rc, "the list of files cannot be read");
            break;
        }
        struct stager_item *it = xzalloc(sizeof(*it));
        it->path = xstrdup(f.path);
        it->has_fid = f.path == NULL;
        it->fid = f.fid;
        it->ordinal = f.ordinal;
        it->maybe_sent = f.sent;
        it->hint = f.hint != NULL ? f.hint : &s->cfg->hint;
        it->step = s->cfg->action;
        items[got++] = it;
    }
    s->counts.read += got;
    return got;
}
