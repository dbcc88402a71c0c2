/* SPDX-License-Identifier: Apache-2.0 */
/* A policy's text through macro stage, parser and evaluator, on a few fixed objects; whatever it
 * chooses goes through the chooser and the reports. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "policy/chooser.h"
#include "policy/list.h"
#include "policy/report.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {"/srv/fs1/docs/report 1.pdf", "/srv/b_1/x.dat", "/srv/d"};

static int get_path(void *ctx, const char **path, size_t *len)
{
    *path = paths[*(unsigned *)ctx];
    *len = strlen(*path);
    return 0;
}

static int get_stat(void *ctx, const struct statx **stx)
{
    static struct statx s;
    unsigned i = *(unsigned *)ctx;
    s.stx_mask = STATX_BASIC_STATS;
    s.stx_mode = i == 2 ? S_IFDIR | 0755 : S_IFREG | 0640;
    s.stx_ino = 1000 + i;
    s.stx_size = 5000000;
    s.stx_blocks = i == 1 ? 0 : 9000;
    s.stx_mtime.tv_sec = 1700000000;
    s.stx_atime.tv_sec = i == 0 ? INT64_MAX / 2000000 : -5;
    *stx = &s;
    return 0;
}

static ssize_t get_xattr(void *ctx, const char *name, char *buf, size_t cap)
{
    static const char value[] = "2024-03-13T00:00:00Z\0\xff";
    (void)ctx;
    if (strlen(name) % 2 == 1)
        return -ENODATA;
    if (cap < sizeof(value))
        return -ERANGE;
    memcpy(buf, value, sizeof(value));
    return sizeof(value);
}

static ssize_t list_xattr(void *ctx, char *buf, size_t cap)
{
    static const char names[] = "user.a\0user.bc";
    (void)ctx;
    if (cap < sizeof(names))
        return -ERANGE;
    memcpy(buf, names, sizeof(names));
    return sizeof(names);
}

static int get_state(void *ctx, enum policy_state *state, unsigned *flags)
{
    *state = (enum policy_state)(*(unsigned *)ctx);
    *flags = POLICY_FLAG_ACL;
    return 0;
}

static int set_xattr(void *ctx, const char *name, const char *value, size_t len)
{
    (void)ctx;
    return name != NULL && value != NULL && len < SIZE_MAX ? 0 : -EINVAL;
}

static const struct policy_facts_ops ops = {.path = get_path,
                                            .stat = get_stat,
                                            .xattr = get_xattr,
                                            .xattr_list = list_xattr,
                                            .state = get_state,
                                            .set_xattr = set_xattr};

static void evaluate(const struct policy *p)
{
    const struct policy_pool pools[] = {{"system", 90, 100}, {"slow", 10, 100}};
    const struct policy_chooser_config cfg = {.pools = pools, .n_pools = 2};
    struct policy_eval *ev = policy_eval_new(p, 1795348800000000000LL, pools, 2);
    struct policy_chooser *c = policy_chooser_new(p, &cfg);
    auto_buf struct buf out = {0};
    struct policy_chosen ch;
    for (unsigned i = 0; i < 3; i++) {
        const char *name = strrchr(paths[i], '/') + 1;
        struct policy_object obj = {name, strlen(name), i == 2 ? DT_DIR : DT_REG, 1 + i, &ops, &i};
        struct policy_candidate cand = {paths[i], strlen(paths[i]), 1 + i, 0};
        struct policy_decision d = {0};
        int rc = policy_eval_object(ev, &obj, POLICY_STAGE_NAME, false, &d);
        if (rc > 0)
            rc = policy_eval_object(ev, &obj, POLICY_STAGE_ENGINE, true, &d);
        if (rc != 0)
            continue;
        policy_report_object(&out, ev, &obj, paths[i], &d, POLICY_LEVEL_ALL);
        (void)policy_chooser_add(c, &cand, &d, NULL);
    }
    (void)policy_chooser_choose(c, NULL);
    while (policy_chooser_next(c, &ch))
        policy_report_chosen(&out, p, &ch);
    policy_report_policy(&out, p, "f", 0);
    policy_report_rules(&out, p, c);
    policy_report_totals(&out, c);
    policy_chooser_free(c);
    policy_eval_free(ev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const pools[] = {"system", "fast", "slow"};
    static const struct policy_macro macros[] = {
        {"TAPE", "T1"}, {"FSET", "proj"}, {"POOLOPT", "-p a"}};
    const struct policy_options opt = {
        .macros = macros, .n_macros = 3, .pools = pools, .n_pools = 3};
    struct policy *p = NULL;
    struct policy_diag diag;
    struct err err = {0};
    auto_buf struct buf out = {0};
    if (policy_compile((const char *)data, size, &opt, &p, &diag, &err) < 0)
        policy_diag_print(&diag, &out);
    else
        evaluate(p);
    policy_free(p);
    return 0;
}
