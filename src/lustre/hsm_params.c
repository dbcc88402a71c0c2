/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/hsm_params.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "lustre/action.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const hsm_param_roots[] = {"/proc/fs/lustre", "/sys/fs/lustre",
                                       "/sys/kernel/debug/lustre", NULL};

static const char *const kinds[HSM_KINDS] = {"ARCHIVE", "RESTORE", "REMOVE", "CANCEL"};
static const char *const statuses[HSM_STATUSES] = {"WAITING", "STARTED", "SUCCEED", "FAILED",
                                                   "CANCELED"};

const char *hsm_kind_name(int kind)
{
    return kinds[kind];
}

const char *hsm_status_name(int status)
{
    return statuses[status];
}

/* The value of " KEY=value" up to the next blank, into out of cap bytes. */
static int value_of(const char *line, const char *key, char *out, size_t cap)
{
    size_t k = strlen(key);
    for (const char *p = line; p != NULL && *p != '\0'; p = strchr(p, ' ')) {
        p += strspn(p, " ");
        if (strncmp(p, key, k) != 0 || p[k] != '=')
            continue;
        p += k + 1;
        size_t n = strcspn(p, " \n");
        if (n >= cap)
            return -EINVAL;
        memcpy(out, p, n);
        out[n] = '\0';
        return 0;
    }
    return -EINVAL;
}

static int word_in(const char *word, const char *const *words, int n, int *out)
{
    for (int i = 0; i < n; i++) {
        if (strcasecmp(word, words[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    return -EINVAL;
}

int hsm_action_parse(const char *line, struct lu_fid *fid, int *kind, int *status)
{
    char fid_word[64];
    char action[16];
    char state[16];
    if (value_of(line, "fid", fid_word, sizeof(fid_word)) != 0 ||
        value_of(line, "action", action, sizeof(action)) != 0 ||
        value_of(line, "status", state, sizeof(state)) != 0)
        return -EINVAL;
    if (fid_parse(fid_word, fid) != 0 || word_in(action, kinds, HSM_KINDS, kind) != 0)
        return -EINVAL;
    return word_in(state, statuses, HSM_STATUSES, status);
}

static int count_of(const char *line, const char *key, uint64_t *out)
{
    const char *p = strstr(line, key);
    char *end = NULL;
    if (p == NULL)
        return -EINVAL;
    p += strlen(key);
    *out = strtoull(p, &end, 10);
    return end == p ? -EINVAL : 0;
}

int hsm_agent_parse(const char *line, struct hsm_agent *out)
{
    if (value_of(line, "uuid", out->uuid, sizeof(out->uuid)) != 0 ||
        value_of(line, "archive_id", out->archives, sizeof(out->archives)) != 0)
        return -EINVAL;
    const char *requests = strstr(line, "requests=[");
    if (requests == NULL || count_of(requests, "current:", &out->current) != 0 ||
        count_of(requests, "ok:", &out->ok) != 0 ||
        count_of(requests, "errors:", &out->errors) != 0)
        return -EINVAL;
    return 0;
}

/* ---- reading ---- */

static FILE *open_param(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    FILE *f = fdopen(fd, "r");
    if (f == NULL)
        (void)close(fd);
    return f;
}

static void read_text(int dir, const char *name, char *out, size_t cap)
{
    auto_fclose FILE *f = open_param(dir, name);
    if (f == NULL || fgets(out, (int)cap, f) == NULL)
        return;
    out[strcspn(out, "\n")] = '\0';
}

static void read_number(int dir, const char *name, int64_t *out)
{
    char text[32] = "";
    char *end = NULL;
    read_text(dir, name, text, sizeof(text));
    long long v = strtoll(text, &end, 10);
    if (end != text)
        *out = v;
}

static void read_agents(int dir, struct hsm_mdt *m)
{
    auto_free char *line = NULL;
    size_t cap = 0;
    auto_fclose FILE *f = open_param(dir, "hsm/agents");
    if (f == NULL)
        return;
    m->has_agents = 1;
    while (getline(&line, &cap, f) > 0) {
        struct hsm_agent a = {0};
        if (hsm_agent_parse(line, &a) != 0)
            continue;
        m->agents = xrealloc_array(m->agents, m->n_agents + 1, sizeof(*m->agents));
        m->agents[m->n_agents++] = a;
    }
}

/* Calls fn for each record of one target. False when they cannot be read. */
static bool each_action(int dir,
                        void (*fn)(void *arg, const struct lu_fid *fid, int kind, int status),
                        void *arg)
{
    auto_free char *line = NULL;
    size_t cap = 0;
    auto_fclose FILE *f = open_param(dir, "hsm/actions");
    if (f == NULL)
        return false;
    while (getline(&line, &cap, f) > 0) {
        struct lu_fid fid;
        int kind = 0;
        int status = 0;
        if (hsm_action_parse(line, &fid, &kind, &status) == 0)
            fn(arg, &fid, kind, status);
    }
    return true;
}

static void count_action(void *arg, const struct lu_fid *fid, int kind, int status)
{
    struct hsm_mdt *m = arg;
    (void)fid;
    m->queue[kind][status]++;
}

static struct hsm_mdt *find_or_add(struct hsm_mdts *all, const char *name)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->v[i].name, name) == 0)
            return &all->v[i];
    all->v = xrealloc_array(all->v, all->n + 1, sizeof(*all->v));
    struct hsm_mdt *m = &all->v[all->n++];
    *m = (struct hsm_mdt){.max_requests = -1,
                          .loop_period_s = -1,
                          .grace_delay_s = -1,
                          .request_timeout_s = -1,
                          .default_archive_id = -1,
                          .archive_count = -1,
                          .restore_count = -1,
                          .remove_count = -1};
    (void)snprintf(m->name, sizeof(m->name), "%s", name);
    return m;
}

static void read_mdt(int dir, struct hsm_mdt *m)
{
    const struct {
        const char *name;
        int64_t *out;
    } numbers[] = {
        {"hsm/max_requests", &m->max_requests},
        {"hsm/loop_period", &m->loop_period_s},
        {"hsm/grace_delay", &m->grace_delay_s},
        {"hsm/active_request_timeout", &m->request_timeout_s},
        {"hsm/default_archive_id", &m->default_archive_id},
        {"hsm/archive_count", &m->archive_count},
        {"hsm/restore_count", &m->restore_count},
        {"hsm/remove_count", &m->remove_count},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        read_number(dir, numbers[i].name, numbers[i].out);
    read_text(dir, "hsm_control", m->control, sizeof(m->control));
    read_text(dir, "hsm/policy", m->policy, sizeof(m->policy));
    if (!m->has_agents)
        read_agents(dir, m);
    if (!m->has_queue)
        m->has_queue = each_action(dir, count_action, m);
}

/* The next target below dir, open; -1 behind the last. */
static int next_target(DIR *dir, const char **name)
{
    const struct dirent *d = NULL;
    while (dir != NULL && (d = readdir(dir)) != NULL) {
        if (d->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *name = d->d_name;
        if (fd >= 0)
            return fd;
    }
    return -1;
}

static DIR *open_targets(const char *root)
{
    auto_free char *path = xasprintf("%s/mdt", root);
    return opendir(path);
}

int hsm_actions_each(const char *const *roots,
                     void (*fn)(void *arg, const struct lu_fid *fid, int kind, int status),
                     void *arg)
{
    int n = 0;
    for (; *roots != NULL; roots++) {
        auto_closedir DIR *dir = open_targets(*roots);
        const char *name = NULL;
        for (int fd = next_target(dir, &name); fd >= 0; fd = next_target(dir, &name)) {
            n += each_action(fd, fn, arg);
            (void)close(fd);
        }
    }
    return n;
}

int hsm_params_read(const char *const *roots, struct hsm_mdts *out)
{
    *out = (struct hsm_mdts){0};
    for (; *roots != NULL; roots++) {
        auto_closedir DIR *dir = open_targets(*roots);
        const char *name = NULL;
        for (int fd = next_target(dir, &name); fd >= 0; fd = next_target(dir, &name)) {
            if (strlen(name) < sizeof(out->v->name))
                read_mdt(fd, find_or_add(out, name));
            (void)close(fd);
        }
    }
    return 0;
}

void hsm_mdts_fini(struct hsm_mdts *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->v[i].agents);
    free(m->v);
    *m = (struct hsm_mdts){0};
}
