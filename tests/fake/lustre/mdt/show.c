/* SPDX-License-Identifier: Apache-2.0 */
/* What the controls show. */
#include "mdt.h"

#include "base/mem.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

cJSON *show_request(const struct mdt_req *q)
{
    char fid[64];
    cJSON *o = cJSON_CreateObject();
    json_add_int(o, "cookie", (int64_t)q->cookie);
    json_add_str(o, "action", action_name(q->action));
    json_add_str(o, "fid", fid_text(&q->fid, fid));
    json_add_str(o, "dfid", fid_text(&q->dfid, fid));
    json_add_str(o, "status", status_name(q->status));
    json_add_int(o, "archive_id", q->archive_id);
    json_add_int(o, "flags", (int64_t)q->flags);
    json_add_int(o, "errno", q->errval);
    json_add_str(o, "client", q->client);
    (void)cJSON_AddBoolToObject(o, "running", q->running);
    (void)cJSON_AddBoolToObject(o, "canceled", q->canceled);
    auto_buf struct buf hex = {0};
    for (uint32_t i = 0; i < q->data_len; i++)
        buf_addf(&hex, "%02x", (unsigned char)q->data[i]);
    json_add_str(o, "data_hex", hex.len > 0 ? hex.data : "");
    auto_buf struct buf moved = {0};
    buf_addf(&moved, "%llu", (unsigned long long)q->moved);
    json_add_str(o, "moved", moved.data); /* may be 2^64 - 1 */
    json_add_int(o, "progresses", (int64_t)q->progresses);
    json_add_int(o, "heartbeats", (int64_t)q->heartbeats);
    json_add_int(o, "max_gap_ms", q->max_gap_ms);
    json_add_int(o, "sends", (int64_t)q->sends);
    return o;
}

/* Adds the records of a list that fit "fid" and "status" of cmd; newest cancels with their target.
 */
static void add_list(cJSON *array, const struct mdt_req *list, const cJSON *cmd)
{
    char text[64];
    const struct mdt_req *q;
    const char *fid = json_str(cmd, "fid", NULL), *status = json_str(cmd, "status", NULL);
    DL_FOREACH (list, q) {
        if (fid != NULL && strcmp(fid, fid_text(&q->fid, text)) != 0)
            continue;
        if (status != NULL && strcmp(status, status_name(q->status)) != 0)
            continue;
        (void)cJSON_AddItemToArray(array, show_request(q));
    }
}

static void add_sent_cancels(cJSON *array, const struct mdt_req *active)
{
    const struct mdt_req *q, *c;
    DL_FOREACH (active, q) {
        if (q->file == NULL)
            continue;
        DL_FOREACH2(q->file->reqs, c, fnext)
        if (c->action == HSMA_CANCEL && c->cookie == q->cookie && c->status == MDT_STARTED)
            (void)cJSON_AddItemToArray(array, show_request(c));
    }
}

cJSON *show_actions(const struct mdt *m, const cJSON *cmd)
{
    cJSON *out = ctl_result(0);
    json_add_int(out, "waiting", m->waiting_count);
    json_add_int(out, "active", m->active_count);
    cJSON *array = cJSON_AddArrayToObject(out, "actions");
    if (json_bool(cmd, "counts_only", false))
        return out;
    add_list(array, m->waiting, cmd);
    add_list(array, m->active, cmd);
    add_list(array, m->finished, cmd);
    add_sent_cancels(array, m->active);
    return out;
}

cJSON *show_agents(const struct mdt *m)
{
    cJSON *out = ctl_result(0), *array = cJSON_AddArrayToObject(out, "agents");
    const struct mdt_agent *a;
    DL_FOREACH (m->agents, a) {
        cJSON *o = cJSON_CreateObject();
        json_add_int(o, "id", a->id);
        json_add_int(o, "pid", a->pid);
        json_add_str(o, "client", a->client);
        (void)cJSON_AddBoolToObject(o, "forgotten", a->forgotten);
        (void)cJSON_AddBoolToObject(o, "pulls", a->pulls);
        cJSON *ids = cJSON_AddArrayToObject(o, "archives");
        for (int i = 0; i < a->count; i++)
            (void)cJSON_AddItemToArray(ids, cJSON_CreateNumber(a->ids[i]));
        (void)cJSON_AddItemToArray(array, o);
    }
    return out;
}

/* Descriptors of process pid on the fake's file system. */
static int64_t open_files(const struct mdt *m, int pid)
{
    char dir[64];
    int64_t n = 0;
    struct stat top, st;
    const struct dirent *e;
    (void)snprintf(dir, sizeof dir, "/proc/%d/fd", pid);
    DIR *d = opendir(dir);
    if (d == NULL || fstat(m->mntfd, &top) != 0)
        return 0;
    while ((e = readdir(d)) != NULL)
        n += fstatat(dirfd(d), e->d_name, &st, 0) == 0 && st.st_dev == top.st_dev &&
             S_ISREG(st.st_mode);
    (void)closedir(d);
    return n;
}

cJSON *show_counters(struct mdt *m)
{
    cJSON *out = ctl_result(0), *o = cJSON_AddObjectToObject(out, "counters");
    const struct mdt_counter *c;
    const struct mdt_agent *a;
    int64_t now_ms, max_ms, stalls, files = 0, agents = 0;
    for (c = m->counters; c != NULL; c = c->hh.next)
        json_add_int(o, c->name, c->value);
    kuc_stalls(m->kuc, m->set.stall_limit_ms, &now_ms, &max_ms, &stalls);
    json_add_int(o, "live_max", m->live_max);
    json_add_int(o, "stall_now_ms", now_ms);
    json_add_int(o, "stall_max_ms", max_ms);
    json_add_int(o, "stalls", stalls);
    DL_FOREACH (m->agents, a) {
        files += open_files(m, a->pid);
        agents += !a->forgotten;
    }
    json_add_int(o, "agent_open_files", files);
    json_add_int(o, "agents", agents);
    return out;
}

cJSON *show_state(struct mdt *m, struct mdt_file *f)
{
    char fid[64];
    struct hsm_user_state hus;
    file_state(m, f, &hus);
    cJSON *out = ctl_result(0);
    json_add_str(out, "fid", fid_text(&f->fid, fid));
    json_add_int(out, "states", hus.states);
    json_add_int(out, "archive_id", hus.archive_id);
    json_add_int(out, "in_progress_state", hus.in_progress_state);
    json_add_int(out, "in_progress_action", hus.in_progress_action);
    json_add_int(out, "data_version", (int64_t)file_version(f));
    json_add_int(out, "archived_version", (int64_t)f->arch_ver);
    (void)cJSON_AddBoolToObject(out, "alive", file_alive(m, f, NULL));
    return out;
}

cJSON *show_behaviours(void)
{
    static const struct {
        const char *name, *proof, *text;
        int item;
    } rows[] = {
#define BEHAVIOUR(name, item, proof, text) {#name, #proof, text, item},
#include "../behaviours.def"
#undef BEHAVIOUR
    };
    cJSON *out = ctl_result(0), *array = cJSON_AddArrayToObject(out, "behaviours");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cJSON *o = cJSON_CreateObject();
        json_add_str(o, "name", rows[i].name);
        json_add_int(o, "item", rows[i].item);
        json_add_str(o, "proof", rows[i].proof);
        json_add_str(o, "text", rows[i].text);
        (void)cJSON_AddItemToArray(array, o);
    }
    return out;
}
