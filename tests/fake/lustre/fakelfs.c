/* SPDX-License-Identifier: Apache-2.0 */
/* fakelfs: what lfs and a reading kernel do, against the fake MDT; see usage below. */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int usage(void)
{
    (void)fputs("usage: fakelfs hsm_archive|hsm_release|hsm_restore|hsm_remove|hsm_cancel\n"
                "               [-a ID] [-D DATA] FILE|FID...\n"
                "       fakelfs hsm_state FILE...\n"
                "       fakelfs hsm_set|hsm_clear [-a ID] exists|dirty|archived|lost|norelease|"
                "noarchive FILE...\n"
                "       fakelfs hsm_action|path2fid|fid2path|getstripe FILE|FID...\n"
                "       fakelfs read FILE            (waits for the data; ENODATA when it fails)\n"
                "       fakelfs write FILE OFFSET TEXT\n"
                "       fakelfs truncate FILE SIZE\n"
                "       fakelfs setstripe FILE COUNT\n"
                "       fakelfs unlink FILE\n"
                "       fakelfs actions|agents|counters|behaviours|wait_idle\n"
                "       fakelfs json OBJECT          (any control command)\n"
                "The fake is found by FAKE_LUSTRE_SOCKET.\n",
                stderr);
    return 2;
}

static int connect_ctl(void)
{
    const char *path = getenv("FAKE_LUSTRE_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (path == NULL || fd < 0 ||
        snprintf(addr.sun_path, sizeof addr.sun_path, "%s.ctl", path) >=
            (int)sizeof addr.sun_path ||
        connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        (void)fprintf(stderr, "fakelfs: no fake MDT at FAKE_LUSTRE_SOCKET\n");
        exit(1);
    }
    return fd;
}

/* Sends cmd (handed over) and returns the answer, owned by the caller. */
static cJSON *ask(cJSON *cmd)
{
    auto_json cJSON *owned = cmd;
    auto_close int fd = connect_ctl();
    auto_free char *text = cJSON_PrintUnformatted(owned);
    auto_free char *line = xasprintf("%s\n", text);
    size_t cap = 65536, len = 0;
    auto_free char *in = xrealloc_array(NULL, cap, 1);
    if (io_write_full(fd, line, strlen(line)) != 0)
        exit(1);
    for (;;) {
        ssize_t n = read(fd, in + len, cap - len);
        if (n <= 0) {
            (void)fprintf(stderr, "fakelfs: the fake MDT went away\n");
            exit(1);
        }
        len += (size_t)n;
        if (in[len - 1] == '\n')
            return cJSON_ParseWithLength(in, len);
        if (len == cap)
            in = xrealloc_array(in, cap *= 2, 1);
    }
}

static int failed(const cJSON *answer, const char *what)
{
    int rc = (int)json_int(answer, "rc", -EPROTO);
    if (rc < 0)
        (void)fprintf(stderr, "fakelfs: %s: %s\n", what, strerror(-rc));
    return -rc;
}

static cJSON *command(const char *name)
{
    cJSON *cmd = cJSON_CreateObject();
    json_add_str(cmd, "cmd", name);
    return cmd;
}

/* A FID in brackets or beginning with 0x, else a path made absolute. */
static void add_target(cJSON *cmd, const char *arg)
{
    bool fid = arg[0] == '[' || strncmp(arg, "0x", 2) == 0;
    auto_free char *real = fid ? NULL : realpath(arg, NULL);
    json_add_str(cmd, fid ? "fid" : "path", real != NULL ? real : arg);
}

static int do_request(const char *action, int argc, char **argv)
{
    cJSON *cmd = command("request");
    json_add_str(cmd, "action", action);
    int i = 1;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        if (strcmp(argv[i], "-a") == 0)
            json_add_int(cmd, "archive_id", strtol(argv[i + 1], NULL, 10));
        else
            json_add_str(cmd, "data", argv[i + 1]);
    }
    cJSON *paths = cJSON_AddArrayToObject(cmd, "paths"),
          *fids = cJSON_AddArrayToObject(cmd, "fids");
    for (; i < argc; i++) {
        auto_json cJSON *one = cJSON_CreateObject();
        add_target(one, argv[i]);
        const char *fid = json_str(one, "fid", NULL);
        (void)cJSON_AddItemToArray(
            fid != NULL ? fids : paths,
            cJSON_CreateString(fid != NULL ? fid : json_str(one, "path", "")));
    }
    auto_json cJSON *answer = ask(cmd);
    return failed(answer, argv[0]);
}

static const struct {
    const char *name;
    unsigned bit;
} bits[] = {{"released", 4},       {"exists", 1},         {"dirty", 2},         {"archived", 8},
            {"never_release", 16}, {"never_archive", 32}, {"lost_from_hsm", 64}};

/* In the form of lfs: "test: (0x00000009) exists archived, archive_id:1". */
static void print_state(const char *name, const cJSON *answer)
{
    unsigned states = (unsigned)json_int(answer, "states", 0);
    printf("%s: (0x%08x)", name, states);
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        if (states & bits[i].bit)
            printf(" %s", bits[i].name);
    if (json_int(answer, "archive_id", 0) != 0)
        printf(", archive_id:%d", (int)json_int(answer, "archive_id", 0));
    printf("\n");
}

static void print_action(const char *name, const cJSON *answer)
{
    static const char *const states[] = {"nothing", "waiting", "running", "done"};
    static const char *const actions[] = {"ARCHIVE", "RESTORE", "RELEASE", "REMOVE", "CANCEL"};
    unsigned state = (unsigned)json_int(answer, "in_progress_state", 0);
    int64_t action = json_int(answer, "in_progress_action", 1) - 10;
    if (state == 0 || state > 3 || action < 0 || action > 4)
        printf("%s: NOOP\n", name);
    else
        printf("%s: %s %s\n", name, actions[action], states[state]);
}

static void print_paths(const cJSON *answer)
{
    const cJSON *e;
    cJSON_ArrayForEach (e, cJSON_GetObjectItem(answer, "paths"))
        printf("%s\n", e->valuestring);
}

/* Commands that show something of each file. */
static int do_show(const char *what, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool state = strcmp(what, "fid2path") != 0 && strcmp(what, "getstripe") != 0;
        cJSON *cmd = command(state ? "state" : what);
        add_target(cmd, argv[i]);
        auto_json cJSON *answer = ask(cmd);
        int rc = failed(answer, argv[i]);
        if (rc != 0)
            return rc;
        if (strcmp(what, "hsm_state") == 0)
            print_state(argv[i], answer);
        else if (strcmp(what, "hsm_action") == 0)
            print_action(argv[i], answer);
        else if (strcmp(what, "path2fid") == 0)
            printf("[%s]\n", json_str(answer, "fid", ""));
        else if (strcmp(what, "getstripe") == 0)
            printf("%s\n", json_str(answer, "blob", ""));
        else
            print_paths(answer);
    }
    return 0;
}

static unsigned flag_of(const char *name)
{
    static const struct {
        const char *name;
        unsigned bit;
    } flags[] = {{"exists", 1}, {"dirty", 2},      {"archived", 8},
                 {"lost", 64},  {"norelease", 16}, {"noarchive", 32}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(name, flags[i].name) == 0)
            return flags[i].bit;
    return 0;
}

static int do_set(const char *member, int argc, char **argv)
{
    unsigned mask = 0;
    int i = 1;
    long id = 0;
    if (argc > 2 && strcmp(argv[1], "-a") == 0) {
        id = strtol(argv[2], NULL, 10);
        i = 3;
    }
    for (; i < argc && flag_of(argv[i]) != 0; i++)
        mask |= flag_of(argv[i]);
    for (; i < argc; i++) {
        cJSON *cmd = command("set_state");
        json_add_int(cmd, member, mask);
        json_add_int(cmd, "archive_id", id);
        add_target(cmd, argv[i]);
        auto_json cJSON *answer = ask(cmd);
        int rc = failed(answer, argv[i]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int do_read(const char *path)
{
    char buf[65536];
    ssize_t n;
    cJSON *cmd = command("open");
    add_target(cmd, path);
    auto_json cJSON *answer = ask(cmd);
    int rc = failed(answer, path);
    if (rc != 0)
        return rc;
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, buf, sizeof buf)) > 0)
        if (io_write_full(STDOUT_FILENO, buf, (size_t)n) != 0)
            return EIO;
    return fd < 0 ? errno : 0;
}

static int do_change(const char *what, int argc, char **argv)
{
    if (argc < 3 && strcmp(what, "unlink") != 0)
        return usage();
    cJSON *cmd = command(what);
    add_target(cmd, argv[1]);
    if (strcmp(what, "write") == 0) {
        json_add_int(cmd, "offset", strtoll(argv[2], NULL, 10));
        json_add_str(cmd, "data", argc > 3 ? argv[3] : "");
    } else if (argc > 2) {
        json_add_int(cmd, strcmp(what, "truncate") == 0 ? "size" : "count",
                     strtoll(argv[2], NULL, 10));
    }
    auto_json cJSON *answer = ask(cmd);
    return failed(answer, argv[1]);
}

static int do_json(cJSON *cmd)
{
    auto_json cJSON *answer = ask(cmd);
    auto_free char *text = cJSON_Print(answer);
    printf("%s\n", text);
    return failed(answer, "answer");
}

static int do_plain(const char *what)
{
    if (strcmp(what, "wait_idle") != 0)
        return do_json(command(what));
    cJSON *cmd = command("wait");
    json_add_str(cmd, "for", "idle");
    return do_json(cmd);
}

static bool one_of(const char *what, const char *const *names)
{
    while (*names != NULL && strcmp(*names, what) != 0)
        names++;
    return *names != NULL;
}

int main(int argc, char **argv)
{
    static const char *const shows[] = {"hsm_state", "hsm_action", "path2fid",
                                        "fid2path",  "getstripe",  NULL};
    static const char *const changes[] = {"write", "truncate", "setstripe", "unlink", NULL};
    if (argc < 2)
        return usage();
    const char *what = argv[1];
    if (one_of(what, shows))
        return do_show(what, argc - 1, argv + 1);
    if (argc > 2 && one_of(what, changes))
        return do_change(what, argc - 1, argv + 1);
    if (strcmp(what, "hsm_set") == 0 || strcmp(what, "hsm_clear") == 0)
        return do_set(what + 4, argc - 1, argv + 1);
    if (strncmp(what, "hsm_", 4) == 0 && argc > 2)
        return do_request(what + 4, argc - 1, argv + 1);
    if (strcmp(what, "read") == 0 && argc == 3)
        return do_read(argv[2]);
    if (strcmp(what, "json") == 0 && argc == 3)
        return do_json(cJSON_Parse(argv[2]));
    return argc == 2 ? do_plain(what) : usage();
}
