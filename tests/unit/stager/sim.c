/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sim sim;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over the files and counters of sim */

/* Carries out what has come to its end by now. */
static void settle(struct sim_file *f)
{
    if (f->action == 0 || clock_now_ns(sim.clock) < f->end_ns)
        return;
    if (f->fails > 0)
        f->fails--;
    else if (f->action == HUA_ARCHIVE)
        f->states = (f->states | HS_EXISTS | HS_ARCHIVED) & ~(uint32_t)HS_DIRTY;
    else if (f->action == HUA_RESTORE)
        f->states &= ~(uint32_t)HS_RELEASED;
    else if (f->action == HUA_REMOVE)
        f->states = 0;
    f->action = 0;
}

static size_t in_hand(void)
{
    size_t n = 0;
    for (size_t i = 0; i < sim.n; i++) {
        settle(&sim.files[i]);
        n += sim.files[i].action != 0;
    }
    return n;
}

struct sim_file *sim_find(const struct lu_fid *fid)
{
    for (size_t i = 0; i < sim.n; i++)
        if (memcmp(&sim.files[i].fid, fid, sizeof(*fid)) == 0)
            return &sim.files[i];
    return NULL;
}

static struct lu_fid fid_of_inode(uint64_t ino)
{
    return (struct lu_fid){0x200000401, (uint32_t)ino, 0};
}

static int api_fd2fid(int fd, struct lu_fid *fid)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    *fid = fid_of_inode(st.st_ino);
    return 0;
}

static int api_state_get_fd(int fd, struct hsm_user_state *st)
{
    struct lu_fid fid;
    lock_scope(&lock);
    int rc = api_fd2fid(fd, &fid);
    struct sim_file *f = rc == 0 ? sim_find(&fid) : NULL;
    if (f == NULL)
        return -ENODATA;
    settle(f);
    sim.states++;
    *st = (struct hsm_user_state){.states = f->states, .archive_id = f->archive_id};
    return 0;
}

static int api_open_by_fid(const char *mnt, const struct lu_fid *fid, int flags)
{
    const struct sim_file *f = sim_find(fid);
    (void)mnt;
    return f == NULL ? -ENOENT : open(f->path, flags);
}

static int api_fid2path(const char *mnt, const char *text, char *buf, int len, long long *recno,
                        int *linkno)
{
    (void)mnt;
    (void)text;
    (void)recno;
    (void)linkno;
    (void)snprintf(buf, (size_t)len, "found");
    return 0;
}

static int api_current_action(const char *path, struct hsm_current_action *out)
{
    struct stat st;
    uint64_t seq = 0;
    uint32_t oid = 0;
    struct lu_fid fid = {0};
    const char *slash = strrchr(path, '/');
    lock_scope(&lock);
    if (sscanf(slash + 1, "0x%" SCNx64 ":0x%" SCNx32, &seq, &oid) == 2)
        fid = fid_of_inode(oid);
    else if (stat(path, &st) == 0)
        fid = fid_of_inode(st.st_ino);
    struct sim_file *f = sim_find(&fid);
    if (f == NULL)
        return -ENOENT;
    settle(f);
    sim.actions++;
    f->asked++;
    *out = (struct hsm_current_action){.state = f->action != 0 ? HPS_RUNNING : HPS_NONE,
                                       .action = f->action != 0 ? f->action : HUA_NONE};
    return 0;
}

static int take(const struct hsm_user_request *r, struct sim_file *f)
{
    if (f->refusals > 0) {
        f->refusals--;
        return f->refuse_with;
    }
    if (r->action == HUA_RELEASE) {
        bool may = (f->states & (HS_ARCHIVED | HS_DIRTY)) == HS_ARCHIVED;
        f->states |= may ? HS_RELEASED : 0;
        f->requests += may;
        return may ? 0 : -EPERM;
    }
    f->requests++;
    f->wanted_id = r->archive_id;
    assert(r->data_len < sizeof(f->data));
    memcpy(f->data, (const char *)&r->items[r->itemcount], r->data_len);
    f->data[r->data_len] = '\0';
    if (r->action == HUA_CANCEL) {
        f->action = 0;
        return 0;
    }
    f->action = r->action;
    f->end_ns = clock_now_ns(sim.clock) + sim.took_ns;
    return 0;
}

static int api_request(const char *path, const struct hsm_user_request *r)
{
    lock_scope(&lock);
    size_t bytes = sizeof(*r) + r->itemcount * sizeof(r->items[0]) + r->data_len;
    (void)path;
    sim.calls++;
    if (bytes > sim.largest_request)
        sim.largest_request = bytes;
    if (bytes > HSM_REQUEST_MAX)
        return -E2BIG;
    if (clock_now_ns(sim.clock) < sim.off_until_ns)
        return -EAGAIN;
    for (uint32_t i = 0; i < r->itemcount; i++) {
        struct sim_file *f = sim_find(&r->items[i].fid);
        int rc = f == NULL ? (r->action == HUA_REMOVE ? 0 : -ENOENT) : take(r, f);
        if (rc < 0)
            return rc; /* those before it are queued, as in the MDT */
    }
    size_t n = in_hand();
    if (n > sim.in_hand_max)
        sim.in_hand_max = n;
    return sim.nonblocking && r->action == HUA_RESTORE ? -ENODATA : 0;
}

static struct hsm_user_request *api_alloc(int items, int data_len)
{
    return xzalloc(sizeof(struct hsm_user_request) + (size_t)items * sizeof(struct hsm_user_item) +
                   (size_t)data_len);
}

static int api_search_fsname(const char *path, char *fsname)
{
    if (strncmp(path, sim.dir, strlen(sim.dir)) != 0)
        return -ENODEV;
    memcpy(fsname, "sim", 4);
    return 0;
}

struct llapi sim_api = {
    .fd2fid = api_fd2fid,
    .hsm_state_get_fd = api_state_get_fd,
    .open_by_fid = api_open_by_fid,
    .fid2path = api_fid2path,
    .hsm_current_action = api_current_action,
    .hsm_request = api_request,
    .hsm_user_request_alloc = api_alloc,
    .search_fsname = api_search_fsname,
    .version_text = "sim",
};

void sim_begin(size_t n, uint32_t states)
{
    memset(&sim, 0, sizeof(sim));
    (void)snprintf(sim.dir, sizeof(sim.dir), "/var/tmp/firn-stager-XXXXXX");
    assert(n <= SIM_FILES && mkdtemp(sim.dir) != NULL);
    sim.clock = clock_new_simulated();
    clock_sleep_ns(sim.clock, 1000 * NS_PER_SEC);
    sim.took_ns = 3 * NS_PER_SEC;
    sim.n = n;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        struct sim_file *f = &sim.files[i];
        (void)snprintf(f->path, sizeof(f->path), "%s/f%zu", sim.dir, i);
        int fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert(fd >= 0 && write(fd, "0123456789", 10) == 10 && fstat(fd, &st) == 0);
        (void)close(fd);
        f->fid = fid_of_inode(st.st_ino);
        f->states = states;
        f->archive_id = (states & HS_EXISTS) != 0 ? 1 : 0;
    }
}

void sim_end(void)
{
    for (size_t i = 0; i < sim.n; i++)
        (void)unlink(sim.files[i].path);
    (void)rmdir(sim.dir);
    clock_free(sim.clock);
}

static int next_file(void *arg, struct stager_file *out, struct err *err)
{
    struct sim_run *r = arg;
    (void)err;
    if (r->next == r->end)
        return 0;
    const struct sim_file *f = &sim.files[r->next];
    bool named = !r->as_fid && !r->as_ghost;
    *out = (struct stager_file){.path = named ? f->path : NULL,
                                .fid = r->as_ghost ? fid_of_inode(1) : f->fid,
                                .ordinal = r->next++,
                                .sent = r->sent};
    return 1;
}

static void on_outcome(void *arg, const struct stager_outcome *o)
{
    struct sim_run *r = arg;
    struct sim_told *t = &r->told[o->ordinal];
    t->times++;
    t->result = o->result;
    t->error = o->error;
    t->attempts = o->attempts;
    (void)snprintf(t->reason, sizeof(t->reason), "%s", o->reason);
    (void)snprintf(t->path, sizeof(t->path), "%s", o->path);
}

/* The names of files 0 and 1 change: what the run knows as the path of 0 is 1 then. */
static void swap_names(void)
{
    char aside[sizeof(sim.files[0].path) + 8];
    char path[sizeof(sim.files[0].path)];
    (void)snprintf(aside, sizeof(aside), "%s.aside", sim.files[1].path);
    memcpy(path, sim.files[0].path, sizeof(path));
    assert(rename(path, aside) == 0 && rename(sim.files[1].path, path) == 0);
    assert(link(aside, sim.files[1].path) == 0);
    memcpy(sim.files[0].path, sim.files[1].path, sizeof(path));
    memcpy(sim.files[1].path, path, sizeof(path));
}

static void on_sent(void *arg, const uint64_t *ordinals, size_t n)
{
    struct sim_run *r = arg;
    for (size_t i = 0; i < n && r->norder < SIM_FILES; i++)
        r->order[r->norder++] = ordinals[i];
    if (r->swap_after) {
        r->swap_after = false;
        swap_names();
    }
    if (r->stop_after > 0 && r->norder >= r->stop_after)
        atomic_store(&r->stop, true);
}

static int on_tick(void *arg, const struct stager_counts *c, struct err *err)
{
    struct sim_run *r = arg;
    (void)err;
    if (r->first_eta_s < 0)
        r->first_eta_s = c->eta_s;
    return 0;
}

void sim_prepare(struct sim_run *r, enum stager_action action)
{
    memset(r, 0, sizeof(*r));
    r->cfg = (struct stager_config){.api = &sim_api,
                                    .clock = sim.clock,
                                    .action = action,
                                    .mount = sim.dir,
                                    .retries = 3,
                                    .threads = 1,
                                    .wait = true,
                                    .stop = &r->stop};
    r->end = sim.n;
    r->first_eta_s = -1;
}

int sim_run(struct sim_run *r)
{
    const struct stager_source source = {next_file, r, r->end - r->next};
    const struct stager_sink sink = {on_outcome, on_sent, on_tick, r};
    return stager_run(&r->cfg, &source, &sink, &r->counts, &r->err);
}
