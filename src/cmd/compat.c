/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn compat: links under the names of other products' commands, which this program answers to.
 */
#include "base/io.h"
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static const char *const names[] = {"eeadm", "mmapplypolicy", "mmlsattr"};
#define NAME_COUNT 3

enum place { PLACE_FREE, PLACE_OURS, PLACE_FOREIGN };

/* What is at path: nothing, a link to program (or to another file named firn), or something else.
 */
static enum place look(const char *path, const char *program)
{
    struct stat st;
    char target[PATH_MAX];
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? PLACE_FREE : PLACE_FOREIGN;
    if (!S_ISLNK(st.st_mode))
        return PLACE_FOREIGN;
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        return PLACE_FOREIGN;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    const char *base = slash != NULL ? slash + 1 : target;
    return strcmp(target, program) == 0 || strcmp(base, "firn") == 0 ? PLACE_OURS : PLACE_FOREIGN;
}

static int refuse(struct cmd_ctx *ctx, const char *dir, const char *name)
{
    return err_set(&ctx->err, -EEXIST,
                   "%s/%s exists and is not firn's: nothing was changed. Move it away, or choose "
                   "another directory with --dir",
                   dir, name);
}

static int own_program(struct cmd_ctx *ctx, char *out, size_t n)
{
    ssize_t len = readlink("/proc/self/exe", out, n - 1);
    if (len < 0)
        return err_sys(&ctx->err, errno, "/proc/self/exe");
    out[len] = '\0';
    return 0;
}

static int link_one(struct cmd_ctx *ctx, int dirfd, const char *name, const char *program)
{
    if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
        return err_sys(&ctx->err, errno, "%s: old link", name);
    if (symlinkat(program, dirfd, name) < 0)
        return err_sys(&ctx->err, errno, "%s: link to %s", name, program);
    return 0;
}

struct target {
    const char *dir;
    int dirfd;
    char program[PATH_MAX];
    enum place places[NAME_COUNT];
};

/* Opens the directory and looks at the names in it. t->dirfd is the caller's, also on failure. */
static int survey(struct cmd_ctx *ctx, const struct cmd_args *args, struct target *t)
{
    t->dir = cmd_has(args, "dir") ? cmd_value(args, "dir") : "/usr/local/bin";
    int rc = own_program(ctx, t->program, sizeof(t->program));
    if (rc < 0)
        return rc;
    t->dirfd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->dirfd < 0)
        return err_sys(&ctx->err, errno, "directory %s", t->dir);
    for (size_t i = 0; i < NAME_COUNT; i++) {
        auto_free char *path = xasprintf("%s/%s", t->dir, names[i]);
        t->places[i] = look(path, t->program);
    }
    return 0;
}

static int print_names(struct cmd_ctx *ctx)
{
    return ctx->json ? cmd_print_payload(cmd_strings((char *const *)names, NAME_COUNT)) : 0;
}

static int run_install(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct target t = {.dirfd = -1};
    int rc = survey(ctx, args, &t);
    auto_close int dirfd = t.dirfd;
    for (size_t i = 0; rc == 0 && i < NAME_COUNT; i++)
        if (t.places[i] == PLACE_FOREIGN)
            rc = refuse(ctx, t.dir, names[i]);
    for (size_t i = 0; rc == 0 && i < NAME_COUNT; i++) {
        rc = link_one(ctx, dirfd, names[i], t.program);
        if (rc == 0 && !ctx->json)
            (void)printf("%s/%s -> %s\n", t.dir, names[i], t.program);
    }
    return rc < 0 ? rc : print_names(ctx);
}

static int run_remove(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct target t = {.dirfd = -1};
    int rc = survey(ctx, args, &t);
    auto_close int dirfd = t.dirfd;
    for (size_t i = 0; rc == 0 && i < NAME_COUNT; i++) {
        if (t.places[i] != PLACE_OURS)
            continue;
        if (unlinkat(dirfd, names[i], 0) < 0)
            rc = err_sys(&ctx->err, errno, "%s/%s", t.dir, names[i]);
        else if (!ctx->json)
            (void)printf("removed %s/%s\n", t.dir, names[i]);
    }
    return rc < 0 ? rc : print_names(ctx);
}

static const struct cmd_opt opts[] = {
    {"dir", 0, "DIRECTORY", "where (/usr/local/bin)", 0},
    {0},
};

const struct cmd cmds_compat[] = {
    {"install", "", "link eeadm, mmapplypolicy and mmlsattr to this program", 0, 0, opts,
     run_install},
    {"remove", "", "remove those links", 0, 0, opts, run_remove},
    {0},
};
