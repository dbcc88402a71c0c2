/* SPDX-License-Identifier: Apache-2.0 */
#include "enginesite.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "tape/changer.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 60000

extern char **environ;

void site_exec(const char *const *argv)
{
    pid_t pid = 0;
    int status = 0;
    assert_int_equal(
        posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("%s %s ended with status %d", argv[0], argv[1], status);
}

static void make_filesystem(struct site *s)
{
    auto_free char *image = xasprintf("%s/fs.img", s->dir);
    const char *const truncate_argv[] = {"truncate", "-s", "512M", image, NULL};
    const char *const mkfs_argv[] = {"mkfs.ext4", "-q", "-F", image, NULL};
    const char *const mount_argv[] = {"mount", "-o", "loop", image, s->mount, NULL};
    assert_int_equal(mkdir(s->mount, 0755), 0);
    site_exec(truncate_argv);
    site_exec(mkfs_argv);
    site_exec(mount_argv);
}

static void write_conf(struct site *s, const char *path)
{
    auto_buf struct buf b = {0};
    buf_addf(&b, "site = \"test\"; state_dir = \"%s/state\"; run_dir = \"%s/run\";\n", s->dir,
             s->dir);
    buf_addf(&b, "filesystems = ( { name = \"fs1\"; path = \"%s\"; posix_readers = \"%s\"; } );\n",
             s->mount, s->spec.posix_readers != NULL ? s->spec.posix_readers : "none");
    buf_addf(&b, "libraries = ( { name = \"lib1\"; kind = \"dir\"; path = \"%s/lib1\"; %s } );\n",
             s->dir, s->spec.library != NULL ? s->spec.library : "");
    buf_adds(&b, "pools = ( { name = \"pool1\"; library = \"lib1\"; },"
                 "{ name = \"pool2\"; library = \"lib1\"; } );\n");
    buf_adds(&b, s->spec.extra != NULL ? s->spec.extra : "migrate = { min_age = 0; };\n");
    if (s->spec.extra == NULL || strstr(s->spec.extra, "recall = ") == NULL)
        buf_adds(&b, "recall = { batch_window = 0; };\n");
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(io_write_full(fd, b.data, b.len), 0);
}

static void start_engine(struct site *s)
{
    int rc = engine_start(s->conf, &s->engine, &s->err);
    if (rc != 0)
        fail_msg("%s", s->err.text);
}

struct site *site_new(const struct site_spec *spec)
{
    static const struct site_spec zero;
    struct site *s = xzalloc(sizeof(*s));
    s->spec = spec != NULL ? *spec : zero;
    (void)snprintf(s->dir, sizeof(s->dir), "/var/tmp/firn-engine-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->mount, sizeof(s->mount), "%s/fs1", s->dir);
    make_filesystem(s);
    auto_free char *conf = xasprintf("%s/firn.conf", s->dir);
    auto_free char *library = xasprintf("%s/lib1", s->dir);
    struct changer_dir_spec lib = {.drives = s->spec.drives != 0 ? s->spec.drives : 2,
                                   .cartridges = s->spec.cartridges != 0 ? s->spec.cartridges : 4,
                                   .capacity_bytes =
                                       s->spec.capacity != 0 ? s->spec.capacity : 128ULL << 20};
    assert_int_equal(changer_dir_create(library, &lib, &s->err), 0);
    write_conf(s, conf);
    if (conf_load(conf, &s->conf, &s->err) != 0)
        fail_msg("%s", s->err.text);
    if (s->spec.prepare != NULL)
        s->spec.prepare(s);
    start_engine(s);
    return s;
}

void site_free(struct site *s)
{
    const char *const umount_argv[] = {"umount", s->mount, NULL};
    const char *const rm_argv[] = {"rm", "-rf", s->dir, NULL};
    engine_stop(s->engine);
    conf_free(s->conf);
    site_exec(umount_argv);
    site_exec(rm_argv);
    free(s);
}

void site_restart(struct site *s, void (*between)(struct site *))
{
    engine_stop(s->engine);
    s->engine = NULL;
    if (between != NULL)
        between(s);
    start_engine(s);
}

int site_op(struct site *s, engine_op_fn *fn, cJSON **result, const char *args, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, args);
    (void)vsnprintf(text, sizeof(text), args, ap);
    va_end(ap);
    auto_json cJSON *j = cJSON_Parse(text);
    auto_json cJSON *out = NULL;
    assert_non_null(j);
    err_clear(&s->err);
    const struct engine_call call = {.args = j};
    int rc = fn(s->engine, &call, &out, &s->err);
    if (result != NULL)
        *result = take_ptr(out);
    return rc;
}

void site_assign(struct site *s, const char *pool, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        auto_json cJSON *j = NULL;
        assert_int_equal(site_op(s, engine_op_tape_assign, &j,
                                 "{\"barcodes\":[\"FIRN%02uL8\"],\"pool\":\"%s@lib1\"}", i + 1,
                                 pool),
                         0);
        cJSON *t = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "tapes"), 0);
        if (!json_bool(t, "ok", false))
            fail_msg("%s", json_str(t, "message", "?"));
    }
}

const char *site_path(struct site *s, const char *name)
{
    static char paths[8][256];
    static int next;
    char *p = paths[next++ % 8];
    (void)snprintf(p, sizeof(paths[0]), "%s/%s", s->mount, name);
    return p;
}

static void pattern(uint8_t *p, size_t n, size_t off, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(((off + i) * 2654435761U + seed * 40503U) >> 11);
}

void site_write(struct site *s, const char *name, size_t size, unsigned seed)
{
    uint8_t b[65536];
    int fd = open(site_path(s, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    for (size_t off = 0; off < size; off += sizeof(b)) {
        size_t n = size - off < sizeof(b) ? size - off : sizeof(b);
        pattern(b, n, off, seed);
        assert_int_equal(io_write_full(fd, b, n), 0);
    }
    (void)close(fd);
}

void site_check(struct site *s, const char *name, size_t size, unsigned seed)
{
    uint8_t is[65536];
    uint8_t want[65536];
    struct stat st;
    int fd = open(site_path(s, name), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, size);
    for (size_t off = 0; off < size; off += sizeof(is)) {
        size_t n = size - off < sizeof(is) ? size - off : sizeof(is);
        assert_int_equal(io_read_full(fd, is, n), n);
        pattern(want, n, off, seed);
        assert_memory_equal(is, want, n);
    }
    (void)close(fd);
}

int64_t site_submit(struct site *s, enum engine_task_type type, const char *pools,
                    const char *const *names)
{
    struct engine_task_spec spec = {.type = type, .parameters = "test"};
    struct engine_draft *d = NULL;
    struct engine_task_progress info;
    auto_free char *copy = xstrdup(pools);
    char *rest = copy;
    spec.resident = type == ENGINE_RECALL && strcmp(pools, "resident") == 0;
    for (char *p = strsep(&rest, ","); !spec.resident && p != NULL && *p != '\0';
         p = strsep(&rest, ","))
        spec.pools[spec.npools++] = p;
    if (engine_draft_new(s->engine, &spec, &d, &s->err) != 0)
        return -1;
    for (; *names != NULL; names++) {
        struct engine_file_ref ref = {.path = site_path(s, *names)};
        assert_int_equal(engine_draft_add(d, &ref, 1, &s->err), 0);
    }
    if (engine_draft_commit(d, &info, &s->err) != 0)
        return -1;
    return info.task_id;
}

struct engine_task_progress site_run(struct site *s, enum engine_task_type type, const char *pools,
                                     const char *const *names)
{
    struct engine_task_progress p = {0};
    int64_t id = site_submit(s, type, pools, names);
    if (id < 0)
        fail_msg("%s", s->err.text);
    assert_int_equal(engine_task_wait(s->engine, id, WAIT_MS, &p, &s->err), 0);
    assert_true(p.ended);
    return p;
}

struct engine_task_progress site_one(struct site *s, enum engine_task_type type, const char *pools,
                                     const char *name)
{
    const char *const names[] = {name, NULL};
    return site_run(s, type, pools, names);
}

static cJSON *state_of(struct site *s, const char *name)
{
    cJSON *j = NULL;
    assert_int_equal(
        site_op(s, engine_op_file_state, &j, "{\"paths\":[\"%s\"]}", site_path(s, name)), 0);
    return j;
}

const char *site_state(struct site *s, const char *name)
{
    static char state[32];
    auto_json cJSON *j = state_of(s, name);
    const cJSON *f = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "files"), 0);
    (void)snprintf(state, sizeof(state), "%s", json_str(f, "state", json_str(f, "error", "?")));
    return state;
}

int site_copies(struct site *s, const char *name, char (*barcodes)[40])
{
    auto_json cJSON *j = state_of(s, name);
    const cJSON *f = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "files"), 0);
    const cJSON *c = NULL;
    int n = 0;
    cJSON_ArrayForEach (c, cJSON_GetObjectItem(f, "copies")) {
        if (barcodes != NULL)
            (void)snprintf(barcodes[n], 40, "%s", json_str(c, "volume", "?"));
        n++;
    }
    return n;
}

int64_t site_count(struct site *s, int64_t id, const char *what)
{
    auto_json cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_task_show, &j, "{\"task_id\":%lld}", (long long)id), 0);
    return json_int(cJSON_GetObjectItem(j, "counts"), what, -1);
}

const char *site_failure(struct site *s, int64_t id, char *code)
{
    static char message[1024];
    auto_json cJSON *j = NULL;
    const cJSON *r = NULL;
    assert_int_equal(
        site_op(s, engine_op_task_show, &j, "{\"task_id\":%lld,\"files\":true}", (long long)id), 0);
    message[0] = '\0';
    cJSON_ArrayForEach (r, cJSON_GetObjectItem(j, "results")) {
        if (strcmp(json_str(r, "result", ""), "Fail") != 0)
            continue;
        (void)snprintf(message, sizeof(message), "%s", json_str(r, "message", ""));
        if (code != NULL)
            (void)snprintf(code, 16, "%s", json_str(r, "code", ""));
        break;
    }
    return message;
}

int64_t site_tape(struct site *s, const char *barcode, const char *member)
{
    auto_json cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_tape_show, &j, "{\"barcode\":\"%s\"}", barcode), 0);
    return json_int(j, member, -1);
}
