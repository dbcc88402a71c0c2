/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn lustre status: agents, queue and limits of the coordinator, where they can be read, and the
 * figures that a copytool of firn writes.
 */
#include "base/io.h"
#include "base/mem.h"
#include "cmd/lustre_impl.h"
#include "conf/conf.h"
#include "lustre/hsm_params.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_MAX (4u << 20)
#define CONFIG_DFLT "/etc/firn/firn.conf"

/* ---- the servers ---- */

static const char *number(int64_t v, char *out)
{
    (void)snprintf(out, CMD_NUMBER_MAX, "%" PRId64, v);
    return v >= 0 ? out : NULL;
}

static void print_limits(const struct hsm_mdts *mdts)
{
    static const char *const heading[] = {"Target", "Control", "Limit",   "Period",
                                          "Grace",  "Timeout", "Archive", "Policy"};
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 8, heading);
    for (size_t i = 0; i < mdts->n; i++) {
        const struct hsm_mdt *m = &mdts->v[i];
        char n[5][CMD_NUMBER_MAX];
        cmd_table_row(&t, (const char *const[]){m->name, m->control, number(m->max_requests, n[0]),
                                                number(m->loop_period_s, n[1]),
                                                number(m->grace_delay_s, n[2]),
                                                number(m->request_timeout_s, n[3]),
                                                number(m->default_archive_id, n[4]), m->policy});
    }
    cmd_table_print(&t, stdout);
    (void)putchar('\n');
}

static void print_agents(const struct hsm_mdts *mdts)
{
    static const char *const heading[] = {"Target",  "Agent", "Archives",
                                          "Current", "Done",  "Errors"};
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 6, heading);
    for (size_t i = 0; i < mdts->n; i++) {
        const struct hsm_mdt *m = &mdts->v[i];
        for (size_t j = 0; j < m->n_agents; j++) {
            const struct hsm_agent *a = &m->agents[j];
            char n[3][CMD_NUMBER_MAX];
            cmd_table_row(&t, (const char *const[]){
                                  m->name, a->uuid, a->archives, number((int64_t)a->current, n[0]),
                                  number((int64_t)a->ok, n[1]), number((int64_t)a->errors, n[2])});
        }
        if (m->has_agents && m->n_agents == 0)
            (void)printf("%s: no agent is registered: requests wait until a copytool runs\n",
                         m->name);
    }
    cmd_table_print(&t, stdout);
    (void)putchar('\n');
}

static void print_queue(const struct hsm_mdts *mdts)
{
    static const char *const heading[] = {"Target", "Action", "Waiting",  "Running",
                                          "Done",   "Failed", "Cancelled"};
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 7, heading);
    for (size_t i = 0; i < mdts->n; i++) {
        const struct hsm_mdt *m = &mdts->v[i];
        for (int k = 0; m->has_queue && k < HSM_KINDS; k++) {
            char n[HSM_STATUSES][CMD_NUMBER_MAX];
            const char *cells[7] = {m->name, hsm_kind_name(k)};
            for (int s = 0; s < HSM_STATUSES; s++)
                cells[2 + s] = number((int64_t)m->queue[k][s], n[s]);
            cmd_table_row(&t, cells);
        }
    }
    cmd_table_print(&t, stdout);
    (void)putchar('\n');
}

static cJSON *mdt_json(const struct hsm_mdt *m)
{
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "target", m->name);
    json_add_str(j, "control", m->control[0] != '\0' ? m->control : NULL);
    json_add_str(j, "policy", m->policy[0] != '\0' ? m->policy : NULL);
    json_add_int(j, "max_requests", m->max_requests);
    json_add_int(j, "loop_period", m->loop_period_s);
    json_add_int(j, "grace_delay", m->grace_delay_s);
    json_add_int(j, "active_request_timeout", m->request_timeout_s);
    json_add_int(j, "default_archive_id", m->default_archive_id);
    json_add_int(j, "archive_count", m->archive_count);
    json_add_int(j, "restore_count", m->restore_count);
    json_add_int(j, "remove_count", m->remove_count);
    cJSON *agents = cJSON_AddArrayToObject(j, "agents");
    for (size_t i = 0; i < m->n_agents; i++) {
        cJSON *a = cmd_object("uuid", m->agents[i].uuid, "archives", m->agents[i].archives);
        json_add_int(a, "current", (int64_t)m->agents[i].current);
        json_add_int(a, "ok", (int64_t)m->agents[i].ok);
        json_add_int(a, "errors", (int64_t)m->agents[i].errors);
        (void)cJSON_AddItemToArray(agents, a);
    }
    cJSON *queue = m->has_queue ? cJSON_AddObjectToObject(j, "queue") : NULL;
    for (int k = 0; queue != NULL && k < HSM_KINDS; k++) {
        cJSON *q = cJSON_AddObjectToObject(queue, hsm_kind_name(k));
        for (int s = 0; s < HSM_STATUSES; s++)
            json_add_int(q, hsm_status_name(s), (int64_t)m->queue[k][s]);
    }
    return j;
}

/* ---- the copytool ---- */

/* The metrics file: --metrics, else what firn.conf says; NULL when there is none. */
static int metrics_place(struct cmd_ctx *ctx, const struct cmd_args *args, char **out)
{
    const char *given = cmd_value(args, "metrics");
    const char *env = getenv("FIRN_CONFIG");
    const char *config = ctx->config != NULL ? ctx->config : env;
    struct conf *conf = NULL;
    *out = given != NULL ? xstrdup(given) : NULL;
    if (given != NULL || (config == NULL && access(CONFIG_DFLT, R_OK) != 0))
        return 0;
    int rc = conf_load(config != NULL ? config : CONFIG_DFLT, &conf, &ctx->err);
    if (rc < 0)
        return rc;
    if (conf->lustre.metrics_file[0] != '\0')
        *out = xstrdup(conf->lustre.metrics_file);
    conf_free(conf);
    return 0;
}

/* Adds each sample of a Prometheus text to obj: the name with its labels, and the value. */
static void add_samples(cJSON *obj, char *text)
{
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *blank = strrchr(line, ' ');
        if (line[0] == '#' || blank == NULL || blank == line)
            continue;
        *blank = '\0';
        (void)cJSON_AddNumberToObject(obj, line, strtod(blank + 1, NULL));
    }
}

static int read_metrics(struct cmd_ctx *ctx, const char *path, cJSON *obj)
{
    auto_free char *text = NULL;
    int rc = io_read_file(AT_FDCWD, path, METRICS_MAX, &text, NULL, &ctx->err);
    if (rc < 0)
        return err_wrap(&ctx->err, rc, "metrics file (is the copytool running?)");
    add_samples(obj, text);
    return 0;
}

static void print_metrics(const char *path, const cJSON *obj)
{
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 2, NULL);
    const cJSON *m = NULL;
    (void)printf("Copytool (%s):\n", path);
    cJSON_ArrayForEach (m, obj) {
        char v[CMD_NUMBER_MAX];
        (void)snprintf(v, sizeof(v), "%.15g", m->valuedouble);
        cmd_table_row(&t, (const char *const[]){m->string, v});
    }
    cmd_table_print(&t, stdout);
}

/* ---- all ---- */

static void print_servers(const struct hsm_mdts *mdts)
{
    if (mdts->n == 0) {
        (void)puts("What metadata servers say cannot be read here: that is possible on them, or "
                   "with --params DIR.\n");
        return;
    }
    print_limits(mdts);
    print_agents(mdts);
    print_queue(mdts);
}

int cmd_lustre_status(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const char *dir = cmd_value(args, "params");
    const char *const own[] = {dir, NULL};
    struct hsm_mdts mdts;
    auto_free char *metrics = NULL;
    auto_json cJSON *samples = cJSON_CreateObject();
    int rc = metrics_place(ctx, args, &metrics);
    if (rc == 0 && metrics != NULL)
        rc = read_metrics(ctx, metrics, samples);
    if (rc < 0)
        return rc;
    (void)hsm_params_read(dir != NULL ? own : hsm_param_roots, &mdts);
    if (dir != NULL && mdts.n == 0)
        rc = err_set(&ctx->err, -ENOENT,
                     "%s holds no parameters: mdt/NAME/hsm/ is looked for in it", dir);
    if (rc == 0 && ctx->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON *list = cJSON_AddArrayToObject(j, "targets");
        for (size_t i = 0; i < mdts.n; i++)
            (void)cJSON_AddItemToArray(list, mdt_json(&mdts.v[i]));
        (void)cJSON_AddItemToObject(j, "metrics", take_ptr(samples));
        (void)cmd_print_payload(j);
    } else if (rc == 0) {
        print_servers(&mdts);
        if (metrics != NULL)
            print_metrics(metrics, samples);
    }
    hsm_mdts_fini(&mdts);
    return rc;
}
