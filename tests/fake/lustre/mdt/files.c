/* SPDX-License-Identifier: Apache-2.0 */
/* The table of files: FIDs over kernel file handles, data versions, HSM states. */
#include "mdt.h"

#include "../lov.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

union handle {
    struct file_handle h;
    char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static int64_t mtime_of(const struct stat *st)
{
    return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

char *fid_text(const struct lu_fid *fid, char *out)
{
    (void)snprintf(out, 64, "0x%llx:0x%x:0x%x", (unsigned long long)fid->seq, fid->oid, fid->ver);
    return out;
}

int fid_parse(const char *text, struct lu_fid *fid)
{
    unsigned long long seq;
    unsigned oid, ver;
    text += *text == '[';
    // NOLINTNEXTLINE(cert-err34-c): three numbers, and the fake knows every FID it made
    if (sscanf(text, "0x%llx:0x%x:0x%x", &seq, &oid, &ver) != 3)
        return -EINVAL;
    *fid = (struct lu_fid){seq, oid, ver};
    return 0;
}

bool fid_equal(const struct lu_fid *a, const struct lu_fid *b)
{
    return a->seq == b->seq && a->oid == b->oid && a->ver == b->ver;
}

/* FIDs of a sequence run to 0x1ffff, as those of a client do. */
static struct lu_fid new_fid(struct mdt *m)
{
    if (m->next_oid > 0x1ffff) {
        m->next_oid = 1;
        m->next_seq++;
    }
    return (struct lu_fid){m->next_seq, m->next_oid++, 0};
}

/* What of a key is hashed and compared when its handle has n bytes. */
static unsigned key_len(unsigned n)
{
    return (unsigned)offsetof(struct mdt_file, key.bytes) -
           (unsigned)offsetof(struct mdt_file, key) + n;
}

static struct mdt_file *enter(struct mdt *m, const union handle *h, const struct stat *st)
{
    struct mdt_file *f = xzalloc(sizeof *f);
    f->fid = new_fid(m);
    f->key.type = h->h.handle_type;
    f->handle_bytes = h->h.handle_bytes;
    memcpy(f->key.bytes, h->h.f_handle, f->handle_bytes);
    f->dv = ++m->next_dv;
    f->mtime_ns = mtime_of(st);
    f->size = st->st_size;
    HASH_ADD(by_fid, m->files_by_fid, fid, sizeof f->fid, f);
    HASH_ADD(by_key, m->files_by_key, key, key_len(f->handle_bytes), f);
    return f;
}

struct mdt_file *file_by_fd(struct mdt *m, int fd)
{
    union handle h = {.h = {.handle_bytes = MAX_HANDLE_SZ}};
    struct stat st;
    int mount_id;
    if (name_to_handle_at(fd, "", &h.h, &mount_id, AT_EMPTY_PATH) != 0 || mount_id != m->mount_id ||
        fstat(fd, &st) != 0) {
        errno = ENOTTY;
        return NULL;
    }
    struct mdt_file probe = {.key = {.type = h.h.handle_type}}, *f = NULL;
    memcpy(probe.key.bytes, h.h.f_handle, h.h.handle_bytes);
    HASH_FIND(by_key, m->files_by_key, &probe.key, key_len(h.h.handle_bytes), f);
    f = f != NULL ? f : enter(m, &h, &st);
    if (f->name == NULL && st.st_nlink > 0)
        file_learn_name(m, f, fd);
    return f;
}

struct mdt_file *file_by_path(struct mdt *m, const char *path)
{
    size_t n = strlen(m->mount);
    if (strncmp(path, m->mount, n) == 0 && (path[n] == '/' || path[n] == '\0'))
        path += n;
    while (*path == '/')
        path++;
    auto_close int fd =
        openat(m->mntfd, *path != '\0' ? path : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct mdt_file *f = file_by_fd(m, fd);
    if (f != NULL && (f->name == NULL || strcmp(f->name, path) != 0)) {
        free(f->name);
        f->name = xstrdup(path);
    }
    return f;
}

struct mdt_file *file_by_fid(struct mdt *m, const struct lu_fid *fid)
{
    struct mdt_file *f = NULL;
    HASH_FIND(by_fid, m->files_by_fid, fid, sizeof *fid, f);
    return f;
}

int file_open(struct mdt *m, const struct mdt_file *f, int flags)
{
    union handle h = {.h = {.handle_bytes = f->handle_bytes, .handle_type = f->key.type}};
    memcpy(h.h.f_handle, f->key.bytes, f->handle_bytes);
    int fd = open_by_handle_at(m->mntfd, &h.h, flags | O_CLOEXEC);
    if (fd < 0)
        return errno == ESTALE ? -ENOENT : -errno;
    return fd;
}

bool file_alive(struct mdt *m, struct mdt_file *f, struct stat *st)
{
    struct stat own;
    auto_close int fd = file_open(m, f, O_PATH);
    st = st != NULL ? st : &own;
    return fd >= 0 && fstat(fd, st) == 0 && st->st_nlink > 0;
}

int file_refresh(struct mdt *m, struct mdt_file *f)
{
    struct stat st;
    if (!file_alive(m, f, &st))
        return -ENOENT;
    if (mtime_of(&st) == f->mtime_ns && st.st_size == f->size)
        return 0;
    f->dv = ++m->next_dv;
    f->mtime_ns = mtime_of(&st);
    f->size = st.st_size;
    if (f->states & HS_ARCHIVED)
        f->states |= HS_DIRTY;
    return 0;
}

uint64_t file_version(const struct mdt_file *f)
{
    return f->states & HS_RELEASED ? 0 : f->dv;
}

void file_settle(struct mdt *m, struct mdt_file *f)
{
    struct stat st;
    f->dv = ++m->next_dv;
    if (!file_alive(m, f, &st))
        return;
    f->mtime_ns = mtime_of(&st);
    f->size = st.st_size;
}

int file_release(struct mdt *m, struct mdt_file *f)
{
    struct stat st;
    int rc = file_refresh(m, f);
    if (rc != 0)
        return rc;
    if (f->states & HS_RELEASED)
        return 0;
    if (!(f->states & HS_ARCHIVED) || (f->states & (HS_DIRTY | HS_NORELEASE | HS_LOST)) ||
        f->arch_ver != f->dv)
        return -EPERM;
    auto_close int fd = file_open(m, f, O_RDWR);
    if (fd < 0 || fstat(fd, &st) != 0)
        return fd < 0 ? fd : -errno;
    rc = lov_release(fd);
    if (rc != 0)
        return rc;
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    watch_add(m, fd); /* first, so that nobody sees it half done */
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, st.st_size) != 0 || futimens(fd, times) != 0)
        return -errno;
    f->states |= HS_RELEASED;
    return 0;
}

void file_state(struct mdt *m, struct mdt_file *f, struct hsm_user_state *hus)
{
    (void)file_refresh(m, f);
    *hus = (struct hsm_user_state){.states = f->states, .archive_id = f->archive_id};
    hus->in_progress_action = HUA_NONE;
    const struct mdt_req *q = request_live(f, 0);
    if (q == NULL)
        return;
    hus->in_progress_state = q->running ? HPS_RUNNING : HPS_WAITING;
    hus->in_progress_action = q->action == HSMA_ARCHIVE   ? HUA_ARCHIVE
                              : q->action == HSMA_RESTORE ? HUA_RESTORE
                                                          : HUA_REMOVE;
    hus->location.length = q->moved;
}

int file_state_set(struct mdt *m, struct mdt_file *f, uint64_t set, uint64_t clear, uint32_t id)
{
    (void)file_refresh(m, f);
    /* DIRTY, LOST, EXISTS, ARCHIVED are for root, who is the only one to call the fake. */
    const uint64_t known = HS_USER_MASK | HS_EXISTS | HS_ARCHIVED | HS_LOST | HS_DIRTY;
    if (((set | clear) & ~known) != 0)
        return -EINVAL;
    uint32_t states = (f->states & ~(uint32_t)clear) | (uint32_t)set;
    if ((states & HS_ARCHIVED) && !(states & HS_EXISTS))
        return -EINVAL;
    if ((f->states & HS_RELEASED) && !(states & HS_ARCHIVED))
        return -EPERM;
    if (set != 0 && id == 0 && f->archive_id == 0 && (states & HS_EXISTS))
        id = (uint32_t)m->set.default_archive;
    f->states = states;
    f->archive_id = id != 0 ? id : f->archive_id;
    return 0;
}

/* The directory that holds a name of f, or the root. */
static int open_parent(struct mdt *m, struct mdt_file *f)
{
    char path[PATH_MAX];
    bool more;
    if (file_name(m, f, 0, path, &more) != 0)
        return openat(m->mntfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        *slash = '\0';
    return openat(m->mntfd, slash != NULL ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int file_volatile(struct mdt *m, struct mdt_file *f, int open_flags, struct lu_fid *dfid)
{
    struct stat st;
    if (!file_alive(m, f, &st))
        return -ENOENT;
    auto_close int dir = open_parent(m, f);
    if (dir < 0)
        return -errno;
    auto_close int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return -errno;
    if (fchown(fd, st.st_uid, st.st_gid) != 0)
        return -errno;
    int rc = lov_begin(fd, dir, (open_flags & O_LOV_DELAY_CREATE) == O_LOV_DELAY_CREATE);
    if (rc != 0)
        return rc;
    struct mdt_file *v = file_by_fd(m, fd);
    if (v == NULL)
        return -EIO;
    *dfid = v->fid;
    return take_fd(fd);
}
