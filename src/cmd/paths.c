/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of files from operands and list files. A list is read line by line, so that its length
 * does not matter.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* path below the working directory, without leading "./"; the caller frees it. */
static char *below_cwd(const char *path)
{
    while (strncmp(path, "./", 2) == 0)
        path += 2 + strspn(path + 2, "/");
    auto_free char *cwd = getcwd(NULL, 0);
    const char *dir = cwd != NULL && strcmp(cwd, "/") != 0 ? cwd : "";
    if (*path == '\0' || strcmp(path, ".") == 0)
        return xstrdup(*dir != '\0' ? dir : "/");
    return xasprintf("%s/%s", dir, path);
}

static bool has_dotdot(const char *path)
{
    size_t n = strlen(path);
    return strstr(path, "/../") != NULL || (n >= 3 && strcmp(path + n - 3, "/..") == 0);
}

char *cmd_path_absolute(const char *path)
{
    if (path[0] == '/')
        return xstrdup(path);
    auto_free char *whole = below_cwd(path);
    if (!has_dotdot(whole)) {
        char *out = take_ptr(whole);
        return out;
    }
    /* With ".." in it the directory is resolved; the last name stays, it may be a link. */
    char *slash = strrchr(whole, '/');
    auto_free char *last = strcmp(slash, "/..") != 0 ? xstrdup(slash) : NULL;
    auto_free char *dir = NULL;
    if (last != NULL)
        *slash = '\0';
    dir = realpath(*whole != '\0' ? whole : "/", NULL);
    if (dir == NULL) /* firnd will say what is wrong with it */
        return last != NULL ? xasprintf("%s%s", whole, last) : take_ptr(whole);
    if (last == NULL)
        return take_ptr(dir);
    return xasprintf("%s%s", strcmp(dir, "/") == 0 ? "" : dir, last);
}

/* The end of a decimal number and the one blank behind it, or NULL. */
static const char *skip_number(const char *p)
{
    if (!isdigit((unsigned char)*p))
        return NULL;
    while (isdigit((unsigned char)*p))
        p++;
    return *p == ' ' ? p + 1 : NULL;
}

/* The path of a policy record, still escaped, or NULL when line is none. */
static const char *record_path(const char *line)
{
    const char *p = line;
    for (int i = 0; i < 3 && p != NULL; i++)
        p = skip_number(p);
    if (p == NULL)
        return NULL;
    p = strstr(p, " -- ");
    return p != NULL ? p + 4 : NULL;
}

char *cmd_path_of_line(const char *line)
{
    if (line[strspn(line, " \t")] == '\0')
        return NULL;
    const char *rec = record_path(line);
    if (rec == NULL)
        return xstrdup(line);
    char *out = xstrdup(rec);
    char *to = out;
    for (const char *p = rec; *p != '\0'; p++) {
        if (p[0] == '\\' && (p[1] == 'n' || p[1] == '\\')) {
            *to++ = p[1] == 'n' ? '\n' : '\\';
            p++;
        } else {
            *to++ = *p;
        }
    }
    *to = '\0';
    return out;
}

static int one_line(char *line, size_t n, bool nul, cmd_path_fn *fn, void *arg)
{
    char end = nul ? '\0' : '\n';
    if (n > 0 && line[n - 1] == end)
        line[n - 1] = '\0';
    auto_free char *path = nul ? (*line != '\0' ? xstrdup(line) : NULL) : cmd_path_of_line(line);
    if (path == NULL)
        return 0;
    auto_free char *absolute = cmd_path_absolute(path);
    return fn(arg, absolute);
}

static int each_of_list(const struct cmd_path_source *src, cmd_path_fn *fn, void *arg,
                        struct err *err)
{
    auto_fclose FILE *opened = NULL;
    FILE *in = stdin;
    const char *name = "standard input";
    if (strcmp(src->list, "-") != 0) {
        name = src->list;
        opened = fopen(src->list, "re");
        if (opened == NULL)
            return err_sys(err, errno, "list file %s", name);
        in = opened;
    }
    auto_free char *line = NULL;
    size_t cap = 0;
    for (;;) {
        errno = 0;
        ssize_t n = getdelim(&line, &cap, src->nul ? '\0' : '\n', in);
        if (n < 0)
            break;
        int rc = one_line(line, (size_t)n, src->nul, fn, arg);
        if (rc != 0)
            return rc;
    }
    if (ferror(in))
        return err_sys(err, errno, "list file %s", name);
    return 0;
}

int cmd_paths_each(const struct cmd_path_source *src, cmd_path_fn *fn, void *arg, struct err *err)
{
    for (int i = 0; i < src->npaths; i++) {
        auto_free char *absolute = cmd_path_absolute(src->paths[i]);
        int rc = fn(arg, absolute);
        if (rc != 0)
            return rc;
    }
    return src->list != NULL ? each_of_list(src, fn, arg, err) : 0;
}
