/* SPDX-License-Identifier: Apache-2.0 */
/* Control commands: one JSON object a line, {"cmd": ..., ...}, answered by {"rc": 0 or -errno,
 * ...}. */
#include "mdt.h"

#include "../lov.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>

/* A command: returns its answer, or NULL when it is answered later. */
typedef cJSON *(*ctl_fn)(struct mdt *m, uint64_t conn, const cJSON *cmd);

cJSON *ctl_result(int rc)
{
    cJSON *out = cJSON_CreateObject();
    json_add_int(out, "rc", rc);
    if (rc < 0)
        json_add_str(out, "error", strerror(-rc));
    return out;
}

/* The file of "path" or "fid" in cmd, NULL with *rc. */
static struct mdt_file *target(struct mdt *m, const cJSON *cmd, int *rc)
{
    const char *path = json_str(cmd, "path", NULL), *fid = json_str(cmd, "fid", NULL);
    struct lu_fid id;
    struct mdt_file *f = NULL;
    *rc = -EINVAL;
    if (path != NULL) {
        f = file_by_path(m, path);
        *rc = f == NULL ? -errno : 0;
    } else if (fid != NULL && fid_parse(fid, &id) == 0) {
        f = file_by_fid(m, &id);
        *rc = f == NULL ? -ENOENT : 0;
    }
    return f;
}

static uint32_t hua_of(const char *name)
{
    if (strcmp(name, "release") == 0)
        return HUA_RELEASE;
    switch (action_of_name(name)) {
    case HSMA_ARCHIVE:
        return HUA_ARCHIVE;
    case HSMA_RESTORE:
        return HUA_RESTORE;
    case HSMA_REMOVE:
        return HUA_REMOVE;
    case HSMA_CANCEL:
        return HUA_CANCEL;
    default:
        return 0;
    }
}

static int fill_items(struct mdt *m, const cJSON *list, const char *key,
                      struct hsm_user_request *hur)
{
    const cJSON *e;
    cJSON_ArrayForEach (e, list) {
        int rc;
        auto_json cJSON *one = cJSON_CreateObject();
        json_add_str(one, key, e->valuestring);
        const struct mdt_file *f = target(m, one, &rc);
        if (f == NULL)
            return rc;
        hur->items[hur->itemcount].fid = f->fid;
        hur->items[hur->itemcount++].extent = (struct hsm_extent){0, FAKE_NONE};
    }
    return 0;
}

/* Bytes of "data" (text) or "data_hex". */
static void data_of(const cJSON *cmd, struct buf *out)
{
    const char *text = json_str(cmd, "data", NULL), *hex = json_str(cmd, "data_hex", NULL);
    buf_reserve(out, 0);
    if (text != NULL)
        buf_adds(out, text);
    for (; hex != NULL && hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        char pair[3] = {hex[0], hex[1], '\0'};
        buf_addc(out, (char)strtoul(pair, NULL, 16));
    }
}

static cJSON *cmd_request(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    const cJSON *paths = cJSON_GetObjectItem(cmd, "paths"),
                *fids = cJSON_GetObjectItem(cmd, "fids");
    size_t max = (size_t)cJSON_GetArraySize(paths) + (size_t)cJSON_GetArraySize(fids);
    auto_buf struct buf data = {0};
    data_of(cmd, &data);
    auto_free struct hsm_user_request *hur =
        xzalloc(sizeof *hur + max * sizeof hur->items[0] + data.len + 1);
    hur->action = hua_of(json_str(cmd, "action", ""));
    hur->archive_id = (uint32_t)json_int(cmd, "archive_id", 0);
    hur->flags = (uint64_t)json_int(cmd, "flags", 0);
    hur->data_len = (uint32_t)data.len;
    int rc = fill_items(m, paths, "path", hur);
    if (rc == 0)
        rc = fill_items(m, fids, "fid", hur);
    if (data.len > 0)
        memcpy(&hur->items[hur->itemcount], data.data, data.len);
    cJSON *cookies = cJSON_CreateArray();
    if (rc == 0)
        rc = request_add(m, hur, (uint32_t)json_int(cmd, "uid", 0), cookies);
    cJSON *out = ctl_result(rc);
    (void)cJSON_AddItemToObject(out, "cookies", cookies);
    return out;
}

static cJSON *cmd_state(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    int rc;
    struct mdt_file *f = target(m, cmd, &rc);
    return f == NULL ? ctl_result(rc) : show_state(m, f);
}

static cJSON *cmd_set_state(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    int rc;
    struct mdt_file *f = target(m, cmd, &rc);
    if (f != NULL)
        rc = file_state_set(m, f, (uint64_t)json_int(cmd, "set", 0),
                            (uint64_t)json_int(cmd, "clear", 0),
                            (uint32_t)json_int(cmd, "archive_id", 0));
    return ctl_result(rc);
}

/* read, write and truncate need the data there first. */
static cJSON *cmd_open(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    int rc;
    struct mdt_file *f = target(m, cmd, &rc);
    if (f != NULL)
        rc = reader_open(m, f, conn, cJSON_Duplicate(cmd, true), json_int(cmd, "timeout_ms", 0));
    return rc < 0 ? ctl_result(rc) : NULL;
}

static int change(struct mdt *m, struct mdt_file *f, const cJSON *cmd)
{
    auto_buf struct buf data = {0};
    data_of(cmd, &data);
    auto_close int fd = file_open(m, f, O_RDWR);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (strcmp(json_str(cmd, "cmd", ""), "truncate") == 0)
        rc = ftruncate(fd, json_int(cmd, "size", 0)) == 0 ? 0 : -errno;
    else if (pwrite(fd, data.data, data.len, json_int(cmd, "offset", 0)) != (ssize_t)data.len)
        rc = -EIO;
    f->mtime_ns = -1; /* changed for certain, whatever the clock's grain */
    return rc != 0 ? rc : file_refresh(m, f);
}

void ctl_continue(struct mdt *m, uint64_t conn, cJSON *cmd)
{
    auto_json cJSON *owned = cmd;
    int rc;
    struct mdt_file *f = target(m, owned, &rc);
    if (f != NULL && strcmp(json_str(owned, "cmd", ""), "open") != 0)
        rc = change(m, f, owned);
    server_answer(m, conn, ctl_result(rc));
}

static cJSON *cmd_unlink(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    int rc;
    struct stat st;
    struct mdt_file *f = target(m, cmd, &rc);
    if (f == NULL)
        return ctl_result(rc);
    const char *path = json_str(cmd, "path", "");
    const char *name =
        strncmp(path, m->mount, strlen(m->mount)) == 0 ? path + strlen(m->mount) + 1 : path;
    bool last = file_alive(m, f, &st) && st.st_nlink == 1;
    if (unlinkat(m->mntfd, name, 0) != 0)
        return ctl_result(-errno);
    if (last && m->set.raolu && (f->states & HS_ARCHIVED))
        (void)request_new(m, HSMA_REMOVE, NULL, &f->fid, f->archive_id, 0, NULL, 0);
    return ctl_result(0);
}

static cJSON *cmd_fid2path(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    int rc;
    bool more = true;
    char path[PATH_MAX];
    struct mdt_file *f = target(m, cmd, &rc);
    cJSON *names = cJSON_CreateArray();
    for (int i = 0; f != NULL && rc == 0 && more; i++) {
        rc = file_name(m, f, i, path, &more);
        if (rc == 0)
            (void)cJSON_AddItemToArray(names, cJSON_CreateString(path));
    }
    cJSON *out = ctl_result(rc);
    (void)cJSON_AddItemToObject(out, "paths", names);
    return out;
}

static cJSON *cmd_getstripe(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    int rc;
    unsigned char blob[LOV_MAX];
    const struct mdt_file *f = target(m, cmd, &rc);
    auto_close int fd = f != NULL ? file_open(m, f, O_RDONLY) : rc;
    ssize_t n = fd >= 0 ? lov_get(fd, blob, sizeof blob) : fd;
    cJSON *out = ctl_result(n < 0 ? (int)n : 0);
    auto_buf struct buf hex = {0};
    for (ssize_t i = 0; i < n; i++)
        buf_addf(&hex, "%02x", blob[i]);
    json_add_str(out, "blob", hex.len > 0 ? hex.data : "");
    return out;
}

/* A new empty file (or a directory's default) with the layout "blob" (hex), or "count" stripes of
 * "size" bytes, with "pool" if given. */
static cJSON *cmd_setstripe(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    int rc;
    unsigned char made[LOV_MAX];
    const char *hex = json_str(cmd, "blob", NULL);
    auto_buf struct buf blob = {0};
    auto_json cJSON *data = cJSON_CreateObject();
    if (hex != NULL) {
        json_add_str(data, "data_hex", hex);
        data_of(data, &blob);
    } else {
        size_t n = lov_make(made, (unsigned)json_int(cmd, "count", 1),
                            (unsigned)json_int(cmd, "size", 1 << 20), json_str(cmd, "pool", NULL));
        buf_add(&blob, made, n);
    }
    const struct mdt_file *f = target(m, cmd, &rc);
    auto_close int fd = f != NULL ? file_open(m, f, O_RDONLY) : rc;
    if (fd < 0)
        return ctl_result(fd);
    rc = lov_begin(fd, m->mntfd, true);
    return ctl_result(rc != 0 ? rc : lov_set(fd, blob.data, blob.len));
}

static cJSON *cmd_actions(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    return show_actions(m, cmd);
}

static cJSON *cmd_agents(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn, (void)cmd;
    return show_agents(m);
}

static cJSON *cmd_counters(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn, (void)cmd;
    return show_counters(m);
}

static cJSON *cmd_behaviours(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)m, (void)conn, (void)cmd;
    return show_behaviours();
}

/* "for": idle; request with "cookie"; agents with "count". */
static cJSON *cmd_wait(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    const char *what = json_str(cmd, "for", "");
    enum mdt_wait kind = strcmp(what, "idle") == 0      ? MDT_WAIT_IDLE
                         : strcmp(what, "request") == 0 ? MDT_WAIT_REQUEST
                                                        : MDT_WAIT_AGENTS;
    if (kind == MDT_WAIT_AGENTS && strcmp(what, "agents") != 0)
        return ctl_result(-EINVAL);
    reader_wait(m, kind, conn, (uint64_t)json_int(cmd, "cookie", 0), json_int(cmd, "count", 1),
                json_int(cmd, "timeout_ms", 30000));
    return NULL;
}

static cJSON *cmd_control(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    return ctl_result(schedule_control(m, json_str(cmd, "word", "")));
}

/* The MDT goes down for "down_ms" and comes back with all records and agents. By reading. */
static cJSON *cmd_restart(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    m->control = MDT_INIT;
    m->init_until_ms = mdt_now_ms() + json_int(cmd, "down_ms", 100);
    knobs_count(m, "restarts", 1);
    return ctl_result(0);
}

/* Forgets all agents, as an eviction does, or takes them back, as the kernel's reconnection does.
 */
static cJSON *cmd_forget_agents(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    struct mdt_agent *a;
    DL_FOREACH (m->agents, a)
        a->forgotten = !json_bool(cmd, "back", false);
    m->want_pass = true;
    return ctl_result(0);
}

static cJSON *cmd_settings(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    int rc = 0;
    const cJSON *e, *set = cJSON_GetObjectItem(cmd, "set");
    /* The version first: it sets the features that the others may change. */
    const cJSON *version = cJSON_GetObjectItem(set, "version");
    if (version != NULL)
        rc = knobs_set(m, "version", version);
    cJSON_ArrayForEach (e, set)
        if (rc == 0 && e != version)
            rc = knobs_set(m, e->string, e);
    cJSON *out = ctl_result(rc);
    (void)cJSON_AddItemToObject(out, "settings", knobs_get(m));
    return out;
}

static cJSON *cmd_fail(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    knobs_arm(m, json_str(cmd, "call", ""), (int)json_int(cmd, "errno", EIO),
              json_int(cmd, "skip", 0), json_int(cmd, "count", 1));
    return ctl_result(0);
}

/* What happens to the next messages: how many are lost, come twice, come in two parts. */
static cJSON *cmd_mangle(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    m->mangle.lose = json_int(cmd, "lose", 0);
    m->mangle.duplicate = json_int(cmd, "duplicate", 0);
    m->mangle.split = json_int(cmd, "split", 0);
    m->mangle.split_at = json_int(cmd, "split_at", 4);
    m->mangle.split_delay_ms = json_int(cmd, "split_delay_ms", 20);
    return ctl_result(0);
}

static cJSON *cmd_inject(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn;
    return ctl_result(
        mangle_inject(m, json_str(cmd, "kind", ""), json_str(cmd, "client", "client0"), cmd));
}

static cJSON *cmd_quit(struct mdt *m, uint64_t conn, const cJSON *cmd)
{
    (void)conn, (void)cmd;
    m->quit = true;
    return ctl_result(0);
}

static const struct {
    const char *name;
    ctl_fn run;
} commands[] = {
    {"request", cmd_request},     {"state", cmd_state},
    {"set_state", cmd_set_state}, {"open", cmd_open},
    {"write", cmd_open},          {"truncate", cmd_open},
    {"unlink", cmd_unlink},       {"fid2path", cmd_fid2path},
    {"getstripe", cmd_getstripe}, {"setstripe", cmd_setstripe},
    {"actions", cmd_actions},     {"agents", cmd_agents},
    {"counters", cmd_counters},   {"behaviours", cmd_behaviours},
    {"wait", cmd_wait},           {"control", cmd_control},
    {"restart", cmd_restart},     {"forget_agents", cmd_forget_agents},
    {"settings", cmd_settings},   {"fail", cmd_fail},
    {"mangle", cmd_mangle},       {"inject", cmd_inject},
    {"quit", cmd_quit},
};

void ctl_run(struct mdt *m, uint64_t conn, cJSON *cmd)
{
    auto_json cJSON *owned = cmd;
    const char *name = json_str(owned, "cmd", "");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        cJSON *answer = commands[i].run(m, conn, owned);
        if (answer != NULL)
            server_answer(m, conn, answer);
        return;
    }
    server_answer(m, conn, ctl_result(-ENOSYS));
}
