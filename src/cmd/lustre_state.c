/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn lustre state: the HSM states of files, in the words of lfs hsm_state.
 */
#include "base/mem.h"
#include "cmd/lustre_impl.h"
#include "lustre/action.h"

#include <inttypes.h>
#include <string.h>

struct show {
    struct cmd_ctx *ctx;
    bool actions;
    uint64_t shown, failed;
};

static const char *action_word(uint32_t hua)
{
    static const struct {
        uint32_t hua;
        const char *word;
    } words[] = {
        {HUA_ARCHIVE, "archive"}, {HUA_RESTORE, "restore"}, {HUA_RELEASE, "release"},
        {HUA_REMOVE, "remove"},   {HUA_CANCEL, "cancel"},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i].hua == hua)
            return words[i].word;
    return NULL;
}

static const char *progress_word(uint32_t hps)
{
    return hps == HPS_WAITING ? "waiting" : hps == HPS_RUNNING ? "running" : "done";
}

static void print_text(const struct show *s, const struct stager_state *st, const char *name)
{
    char words[128];
    cmd_put_text(stdout, name);
    (void)stager_state_words(st->state.states, words);
    (void)printf(": (0x%08" PRIx32 ")%s%s", st->state.states, words[0] != '\0' ? " " : "", words);
    if (st->state.archive_id != 0)
        (void)printf(", archive_id:%" PRIu32, st->state.archive_id);
    const char *action = action_word(st->action.action);
    if (s->actions && action != NULL)
        (void)printf(", %s %s (%" PRIu64 " bytes done)", action, progress_word(st->action.state),
                     st->action.location.length == EXTENT_TO_END ? 0 : st->action.location.length);
    (void)putchar('\n');
}

static void print_json(const struct show *s, const struct stager_state *st, const char *fid)
{
    char words[128];
    auto_json cJSON *j = cJSON_CreateObject();
    json_add_str(j, "path", st->path);
    json_add_str(j, "fid", fid);
    if (st->error != 0) {
        json_add_int(j, "errno", st->error);
        json_add_str(j, "error", st->reason);
    } else {
        json_add_int(j, "states", st->state.states);
        json_add_str(j, "state", stager_state_words(st->state.states, words));
        json_add_int(j, "archive_id", st->state.archive_id);
        json_add_int(j, "size", (int64_t)st->size);
    }
    if (st->error == 0 && s->actions) {
        json_add_str(j, "action", action_word(st->action.action));
        json_add_str(j, "action_state",
                     action_word(st->action.action) != NULL ? progress_word(st->action.state)
                                                            : NULL);
    }
    auto_free char *text = cJSON_PrintUnformatted(j);
    (void)printf("%s%s", s->shown > 0 ? "," : "", text != NULL ? text : "{}");
}

static int show(void *arg, const struct stager_state *st)
{
    struct show *s = arg;
    char fid[FID_TEXT_MAX] = "";
    if (st->fid.seq != 0)
        (void)fid_text(&st->fid, fid);
    const char *name = st->path[0] != '\0' ? st->path : fid;
    s->failed += st->error != 0;
    if (s->ctx->json) {
        print_json(s, st, fid);
    } else if (st->error != 0) {
        (void)fprintf(stderr, "%s: ", s->ctx->program->name);
        cmd_put_text(stderr, name);
        (void)fprintf(stderr, ": %s: %s\n", st->reason, strerror(st->error));
    } else {
        print_text(s, st, name);
    }
    s->shown++;
    return 0;
}

int cmd_lustre_state(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct lustre_files f;
    atomic_bool *stop = NULL;
    int64_t threads = 0;
    struct show s = {.ctx = ctx, .actions = cmd_has(args, "actions")};
    int rc = cmd_number(args, "threads", 8, 1, 64, &threads);
    if (rc != 0)
        return rc;
    lustre_catch_signals(&stop);
    rc = lustre_files_open(&f, ctx, args);
    f.stop = stop;
    if (rc == 0)
        rc = lustre_files_choose(&f, STAGER_ARCHIVE, true);
    if (rc == 0) {
        const struct stager_config cfg = {.api = f.api,
                                          .clock = clock_real(),
                                          .mount = f.mount,
                                          .threads = (unsigned)threads,
                                          .names = true,
                                          .stop = stop};
        if (ctx->json)
            (void)fputs("{\"payload\":[", stdout);
        rc = stager_states(&cfg, &f.source, s.actions, show, &s, &ctx->err);
        if (ctx->json)
            (void)puts("]}");
    }
    lustre_files_fini(&f);
    return rc != 0 ? rc : s.failed > 0 ? CMD_EXIT_FAILED : 0;
}
