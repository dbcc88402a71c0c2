/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol's transport over real sockets, with a table of operations of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "ctl/client.h"
#include "ctl/proto.h"
#include "ctl/server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define NOBODY   65534u
#define LONG_MS  20000
#define SHORT_MS 300

struct fixture {
    char dir[64];
    char sock[96];
    struct ctl_server *server;
    atomic_int freed;    /* session data freed */
    atomic_int finished; /* handlers of "slow" that came to their end */
    atomic_bool release; /* lets "slow" end */
};

/* ---- the test's operations ---- */

static int op_echo(struct ctl_request *rq, struct err *err)
{
    (void)err;
    rq->result = cJSON_Duplicate(rq->args, 1);
    return 0;
}

static int op_fail(struct ctl_request *rq, struct err *err)
{
    rq->details = cJSON_CreateObject();
    json_add_str(rq->details, "owner", "user1");
    return err_set(err, -EEXIST, "bucket b1 exists");
}

static int op_events(struct ctl_request *rq, struct err *err)
{
    (void)err;
    for (int i = 0; i < 3; i++) {
        cJSON *e = cJSON_CreateObject();
        json_add_int(e, "done", i);
        (void)ctl_event(rq, e);
    }
    return 0;
}

static int op_slow(struct ctl_request *rq, struct err *err)
{
    (void)err;
    struct fixture *f = rq->app;
    while (!atomic_load(&f->release)) {
        (void)ctl_event(rq, cJSON_CreateObject());
        (void)usleep(2000);
    }
    atomic_fetch_add(&f->finished, 1);
    return 0;
}

static int op_big(struct ctl_request *rq, struct err *err)
{
    (void)err;
    size_t n = (size_t)json_int(rq->args, "bytes", 0);
    auto_free char *text = xzalloc(n + 1);
    memset(text, 'x', n);
    rq->result = cJSON_CreateObject();
    json_add_str(rq->result, "text", text);
    return 0;
}

static int op_keep(struct ctl_request *rq, struct err *err)
{
    (void)err;
    void **data = ctl_session_data(rq->session);
    if (*data == NULL)
        *data = xzalloc(sizeof(int));
    rq->result = cJSON_CreateObject();
    json_add_int(rq->result, "count", ++*(int *)*data);
    return 0;
}

static void free_data(void *app, void *data)
{
    struct fixture *f = app;
    free(data);
    atomic_fetch_add(&f->freed, 1);
}

static const struct ctl_op ops[] = {
    {"echo", CTL_WHO_S3, op_echo, "", "gives its arguments back"},
    {"fail", CTL_WHO_ROOT, op_fail, "", "fails"},
    {"events", CTL_WHO_ROOT, op_events, "", "sends three events"},
    {"slow", CTL_WHO_ROOT, op_slow, "", "waits for the test"},
    {"big", CTL_WHO_ROOT, op_big, "bytes", "a long answer"},
    {"keep", CTL_WHO_ROOT, op_keep, "", "counts on the connection"},
};

/* ---- fixture ---- */

static void start_with(struct fixture *f, struct ctl_server_config cfg)
{
    struct err e = {0};
    cfg.socket_path = f->sock;
    cfg.ops = ops;
    cfg.n_ops = sizeof(ops) / sizeof(ops[0]);
    cfg.app = f;
    cfg.session_free = free_data;
    if (ctl_server_start(&cfg, &f->server, &e) != 0)
        fail_msg("%s", e.text);
}

static const struct ctl_server_config root_only = {.s3_uid = (uid_t)-1, .s3_gid = (gid_t)-1};

static int setup(void **state)
{
    struct fixture *f = xzalloc(sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/test-ctl-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(chmod(f->dir, 0755), 0);
    (void)snprintf(f->sock, sizeof(f->sock), "%s/s", f->dir);
    start_with(f, root_only);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->release, true);
    ctl_server_free(f->server);
    assert_int_equal(access(f->sock, F_OK), -1);
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static void restart_with(struct fixture *f, struct ctl_server_config cfg)
{
    ctl_server_free(f->server);
    start_with(f, cfg);
}

static struct ctl_client *client_of(struct fixture *f)
{
    struct err e = {0};
    struct ctl_client *c = NULL;
    if (ctl_connect(f->sock, &c, &e) != 0)
        fail_msg("%s", e.text);
    return c;
}

static int raw_connect(struct fixture *f)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, f->sock, strlen(f->sock) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

/* As raw_ask of a literal. */
#define ASK(r, text) raw_ask(r, text, sizeof(text) - 1)

/* Sends n bytes and returns the next line as a tree. */
static cJSON *raw_ask(struct ctl_reader *r, const void *data, size_t n)
{
    char *line = NULL;
    size_t len = 0;
    cJSON *j = NULL;
    if (ctl_send(r->fd, data, n, LONG_MS) != 0)
        fail_msg("send");
    if (ctl_read_line(r, LONG_MS, &line, &len) != 0 || ctl_parse(line, len, &j, NULL) != 0)
        fail_msg("no answer");
    return j;
}

static const char *error_code(const cJSON *answer)
{
    return json_str(cJSON_GetObjectItemCaseSensitive(answer, "error"), "code", NULL);
}

static void wait_for_connections(struct fixture *f, size_t n)
{
    for (int i = 0; i < LONG_MS && ctl_server_connections(f->server) != n; i++)
        (void)usleep(1000);
    assert_int_equal(ctl_server_connections(f->server), n);
}

/* ---- tests ---- */

static void a_request_is_answered_with_its_result(void **state)
{
    auto_ctl struct ctl_client *c = client_of(*state);
    for (int i = 0; i < 3; i++) {
        auto_json cJSON *result = NULL;
        cJSON *args = cJSON_CreateObject();
        json_add_int(args, "n", i);
        json_add_int(args, "big", INT64_MAX);
        assert_int_equal(ctl_call(c, "echo", args, &result, NULL, NULL, LONG_MS, NULL), 0);
        assert_int_equal(json_int(result, "n", -1), i);
        assert_true(json_int(result, "big", -1) == INT64_MAX);
        assert_null(ctl_error_code(c));
    }
    assert_int_equal(ctl_call(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, NULL), 0);
}

static void an_error_has_code_text_and_details_and_the_connection_goes_on(void **state)
{
    struct err e = {0};
    auto_ctl struct ctl_client *c = client_of(*state);
    assert_int_equal(ctl_call(c, "fail", NULL, NULL, NULL, NULL, LONG_MS, &e), -EEXIST);
    assert_string_equal(e.text, "bucket b1 exists");
    assert_string_equal(ctl_error_code(c), "EEXIST");
    assert_string_equal(json_str(ctl_error_details(c), "owner", ""), "user1");
    assert_false(ctl_broken(c));
    assert_int_equal(ctl_call(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, &e), 0);
    assert_null(ctl_error_details(c));
}

static void an_unknown_operation_is_named(void **state)
{
    struct err e = {0};
    auto_ctl struct ctl_client *c = client_of(*state);
    assert_int_equal(ctl_call(c, "no.such", NULL, NULL, NULL, NULL, LONG_MS, &e), -ENOSYS);
    assert_non_null(strstr(e.text, "\"no.such\""));
}

struct seen {
    int events;
    int stop_after;
};

static int count_event(void *ctx, const cJSON *event)
{
    struct seen *s = ctx;
    if (cJSON_HasObjectItem(event, "done"))
        assert_int_equal(json_int(event, "done", -1), s->events);
    s->events++;
    return s->stop_after > 0 && s->events >= s->stop_after ? -EINTR : 0;
}

static void events_come_in_order_before_the_answer(void **state)
{
    struct seen s = {0};
    auto_ctl struct ctl_client *c = client_of(*state);
    assert_int_equal(ctl_call(c, "events", NULL, NULL, count_event, &s, LONG_MS, NULL), 0);
    assert_int_equal(s.events, 3);
    assert_int_equal(ctl_call(c, "events", NULL, NULL, NULL, NULL, LONG_MS, NULL), 0);
}

static void work_goes_on_when_its_client_leaves(void **state)
{
    struct fixture *f = *state;
    struct seen s = {.stop_after = 2};
    auto_ctl struct ctl_client *c = client_of(f);
    assert_int_equal(ctl_call(c, "slow", NULL, NULL, count_event, &s, LONG_MS, NULL), -EINTR);
    assert_true(ctl_broken(c));
    assert_null(ctl_error_code(c));
    assert_int_equal(ctl_call(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, NULL), -ECONNRESET);
    (void)usleep(20000); /* events now meet a closed socket */
    atomic_store(&f->release, true);
    wait_for_connections(f, 0);
    assert_int_equal(atomic_load(&f->finished), 1);
}

static void a_line_may_come_byte_by_byte_and_many_in_one_write(void **state)
{
    struct ctl_reader r = {.fd = raw_connect(*state)};
    const char *one = "{\"id\":\"a\",\"op\":\"echo\"}";
    for (const char *p = one; *p != '\0'; p++)
        assert_int_equal(ctl_send(r.fd, p, 1, LONG_MS), 0);
    auto_json cJSON *a = ASK(&r, "\n{\"id\":2,\"op\":\"echo\"}\n{\"id\":3,\"op\":\"fail\"}\n");
    auto_json cJSON *b = ASK(&r, "");
    auto_json cJSON *c = ASK(&r, "");
    assert_string_equal(json_str(a, "id", ""), "a");
    assert_int_equal(json_int(b, "id", 0), 2);
    assert_int_equal(json_int(c, "id", 0), 3);
    assert_string_equal(error_code(c), "EEXIST");
    (void)close(r.fd);
    ctl_reader_fini(&r);
}

#define B(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static void garbage_is_answered_with_eproto_and_hurts_nobody(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        B("\xff\xfe\x01\n"),
        B("\n"),
        B("[1]\n"),
        B("{\"id\":1,\"op\":\"echo\"} x\n"),
        B("{\"op\":\"echo\"}\n"),
        B("{\"id\":1,\"op\":\"e\\u0000cho\"}\n"),
        B("{\"id\":1,\0\"op\":\"echo\"}\n"),
        B("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n"),
    };
    struct ctl_reader r = {.fd = raw_connect(*state)};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        auto_json cJSON *j = raw_ask(&r, bad[i].bytes, bad[i].len);
        assert_string_equal(error_code(j), "EPROTO");
    }
    auto_json cJSON *no_op = ASK(&r, "{\"id\":1}\n");
    assert_string_equal(error_code(no_op), "EINVAL");
    auto_json cJSON *no_args = ASK(&r, "{\"id\":1,\"op\":\"echo\",\"args\":3}\n");
    assert_string_equal(error_code(no_args), "EINVAL");
    auto_json cJSON *ok = ASK(&r, "{\"id\":7,\"op\":\"echo\"}\n");
    assert_non_null(cJSON_GetObjectItemCaseSensitive(ok, "result"));
    (void)close(r.fd);
    ctl_reader_fini(&r);
}

static void a_line_over_the_limit_is_refused_and_its_connection_closed(void **state)
{
    struct ctl_reader r = {.fd = raw_connect(*state)};
    auto_free char *flood = xzalloc(CTL_LINE_MAX + 1);
    memset(flood, ' ', CTL_LINE_MAX + 1);
    auto_json cJSON *j = raw_ask(&r, flood, CTL_LINE_MAX + 1);
    assert_string_equal(error_code(j), "EMSGSIZE");
    char *line = NULL;
    size_t len = 0;
    int rc = ctl_read_line(&r, LONG_MS, &line, &len);
    assert_true(rc == -EPIPE || rc == -ECONNRESET);
    (void)close(r.fd);
    ctl_reader_fini(&r);
    auto_ctl struct ctl_client *c = client_of(*state);
    assert_int_equal(ctl_call(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, NULL), 0);
}

static void an_answer_over_the_limit_becomes_an_error(void **state)
{
    auto_ctl struct ctl_client *c = client_of(*state);
    auto_json cJSON *result = NULL;
    cJSON *fits = cJSON_CreateObject();
    json_add_int(fits, "bytes", 4000000);
    assert_int_equal(ctl_call(c, "big", fits, &result, NULL, NULL, LONG_MS, NULL), 0);
    assert_int_equal(strlen(json_str(result, "text", "")), 4000000);
    cJSON *over = cJSON_CreateObject();
    json_add_int(over, "bytes", CTL_LINE_MAX);
    assert_int_equal(ctl_call(c, "big", over, NULL, NULL, NULL, LONG_MS, NULL), -EMSGSIZE);
    assert_string_equal(ctl_error_code(c), "EMSGSIZE");
    assert_int_equal(ctl_call(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, NULL), 0);
}

static void a_peer_that_does_not_read_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct ctl_server_config cfg = root_only;
    cfg.send_timeout_ms = SHORT_MS;
    restart_with(f, cfg);
    int fd = raw_connect(f);
    static const char ask[] = "{\"id\":1,\"op\":\"big\",\"args\":{\"bytes\":4000000}}\n";
    assert_int_equal(ctl_send(fd, ask, sizeof(ask) - 1, LONG_MS), 0);
    (void)usleep(20000);
    wait_for_connections(f, 0);
    (void)close(fd);
}

static void a_line_that_is_begun_and_never_ended_is_dropped_but_rest_is_allowed(void **state)
{
    struct fixture *f = *state;
    struct ctl_server_config cfg = root_only;
    cfg.partial_timeout_ms = 50;
    restart_with(f, cfg);
    auto_ctl struct ctl_client *resting = client_of(f);
    int fd = raw_connect(f);
    wait_for_connections(f, 2);
    assert_int_equal(ctl_send(fd, "{\"id\":", 6, LONG_MS), 0);
    wait_for_connections(f, 1);
    (void)close(fd);
    assert_int_equal(ctl_call(resting, "echo", NULL, NULL, NULL, NULL, LONG_MS, NULL), 0);
}

static void connections_are_bounded_and_the_refusal_is_clear(void **state)
{
    struct fixture *f = *state;
    struct ctl_server_config cfg = root_only;
    cfg.max_connections = 4;
    restart_with(f, cfg);
    int fd[4];
    for (int i = 0; i < 4; i++)
        fd[i] = raw_connect(f);
    wait_for_connections(f, 4);
    struct err e = {0};
    auto_ctl struct ctl_client *c = client_of(f);
    assert_int_equal(ctl_call(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, &e), -EBUSY);
    assert_non_null(strstr(e.text, "as many control connections as it takes"));
    assert_true(ctl_broken(c));
    for (int i = 0; i < 4; i++)
        (void)close(fd[i]);
    wait_for_connections(f, 0);
    assert_int_equal(ctl_reconnect(c, 0, &e), 0);
    assert_int_equal(ctl_call(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, &e), 0);
}

/* Runs op as user uid with gid in a child; the child's exit status is the errno of the outcome. */
static int call_as(struct fixture *f, uid_t uid, gid_t gid, const char *op)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct ctl_client *c = NULL;
        if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0)
            _exit(200);
        int rc = ctl_connect(f->sock, &c, NULL);
        if (rc == 0)
            rc = ctl_call(c, op, NULL, NULL, NULL, NULL, LONG_MS, NULL);
        _exit(-rc);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void only_root_and_the_s3_user_may_call_and_the_latter_only_its_operations(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->sock, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(call_as(f, NOBODY, NOBODY, "echo"), EACCES);
    restart_with(f, (struct ctl_server_config){.s3_uid = NOBODY, .s3_gid = NOBODY});
    assert_int_equal(stat(f->sock, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(call_as(f, NOBODY, NOBODY, "echo"), 0);
    assert_int_equal(call_as(f, NOBODY, NOBODY, "keep"), EPERM);
    /* of the group, so it can connect, but not the user */
    assert_int_equal(call_as(f, NOBODY - 1, NOBODY, "echo"), EACCES);
    assert_int_equal(call_as(f, 0, 0, "keep"), 0);
}

static void what_a_connection_keeps_is_freed_with_it(void **state)
{
    struct fixture *f = *state;
    auto_json cJSON *result = NULL;
    struct ctl_client *c = client_of(f);
    assert_int_equal(ctl_call(c, "keep", NULL, NULL, NULL, NULL, LONG_MS, NULL), 0);
    assert_int_equal(ctl_call(c, "keep", NULL, &result, NULL, NULL, LONG_MS, NULL), 0);
    assert_int_equal(json_int(result, "count", 0), 2);
    assert_int_equal(atomic_load(&f->freed), 0);
    ctl_close(c);
    wait_for_connections(f, 0);
    assert_int_equal(atomic_load(&f->freed), 1);
}

static void *call_slow(void *arg)
{
    auto_ctl struct ctl_client *c = client_of(arg);
    return (void *)(intptr_t)ctl_call(c, "slow", NULL, NULL, NULL, NULL, LONG_MS, NULL);
}

static void *release_later(void *arg)
{
    struct fixture *f = arg;
    (void)usleep(50000);
    atomic_store(&f->release, true);
    return NULL;
}

static void stopping_finishes_the_request_at_hand_and_takes_no_new_one(void **state)
{
    struct fixture *f = *state;
    pthread_t slow;
    pthread_t later;
    void *rc = NULL;
    auto_ctl struct ctl_client *c = client_of(f);
    assert_int_equal(pthread_create(&slow, NULL, call_slow, f), 0);
    wait_for_connections(f, 2);
    (void)usleep(20000);
    ctl_server_stop(f->server);
    int told = ctl_call(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, NULL);
    assert_true(told == -ECONNRESET || told == -ESHUTDOWN);
    assert_int_equal(pthread_create(&later, NULL, release_later, f), 0);
    ctl_server_free(f->server);
    assert_int_equal(atomic_load(&f->finished), 1);
    assert_int_equal(pthread_join(slow, &rc), 0);
    assert_int_equal(pthread_join(later, NULL), 0);
    assert_null(rc);
    start_with(f, root_only);
}

static void a_silent_server_runs_into_the_timeout(void **state)
{
    struct fixture *f = *state;
    ctl_server_free(f->server);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, f->sock, strlen(f->sock) + 1);
    auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 4), 0);
    auto_ctl struct ctl_client *c = client_of(f);
    assert_int_equal(ctl_call(c, "echo", NULL, NULL, NULL, NULL, 50, NULL), -ETIMEDOUT);
    assert_true(ctl_broken(c));
    start_with(f, root_only); /* the stale socket is replaced */
}

static void a_file_in_the_place_of_the_socket_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct err e = {0};
    struct ctl_server *s = NULL;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/file", f->dir);
    auto_close int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    struct ctl_server_config cfg = root_only;
    cfg.socket_path = path;
    assert_int_equal(ctl_server_start(&cfg, &s, &e), -EEXIST);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(unlink(path), 0);
}

static void nobody_at_the_socket_is_said_so(void **state)
{
    struct fixture *f = *state;
    struct err e = {0};
    struct ctl_client *c = NULL;
    ctl_server_free(f->server);
    assert_int_equal(ctl_connect(f->sock, &c, &e), -ECONNREFUSED);
    assert_non_null(strstr(e.text, "is firnd running?"));
    start_with(f, root_only);
}

static void *restart_later(void *arg)
{
    struct fixture *f = arg;
    (void)usleep(100000);
    start_with(f, root_only);
    return NULL;
}

static void a_repeatable_call_survives_a_restart_of_the_server(void **state)
{
    struct fixture *f = *state;
    struct err e = {0};
    pthread_t t;
    auto_ctl struct ctl_client *c = client_of(f);
    assert_int_equal(ctl_call(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, &e), 0);
    ctl_server_free(f->server);
    f->server = NULL;
    assert_int_equal(ctl_call_again(c, "echo", NULL, NULL, NULL, NULL, LONG_MS, 50, &e),
                     -ECONNREFUSED);
    assert_int_equal(pthread_create(&t, NULL, restart_later, f), 0);
    cJSON *args = cJSON_CreateObject();
    json_add_int(args, "n", 5);
    auto_json cJSON *result = NULL;
    int rc = ctl_call_again(c, "echo", args, &result, NULL, NULL, LONG_MS, LONG_MS, &e);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(rc, 0);
    assert_int_equal(json_int(result, "n", 0), 5);
}

struct pool_job {
    struct ctl_pool *pool;
    int bad;
};

static void *use_pool(void *arg)
{
    struct pool_job *job = arg;
    for (int i = 0; i < 50; i++) {
        auto_json cJSON *result = NULL;
        auto_json cJSON *details = NULL;
        cJSON *args = cJSON_CreateObject();
        json_add_int(args, "n", i);
        if (ctl_pool_call(job->pool, "echo", args, &result, NULL, LONG_MS, NULL) != 0 ||
            json_int(result, "n", -1) != i)
            job->bad++;
        if (ctl_pool_call(job->pool, "fail", NULL, NULL, &details, LONG_MS, NULL) != -EEXIST ||
            strcmp(json_str(details, "owner", ""), "user1") != 0)
            job->bad++;
    }
    return NULL;
}

static void a_pool_serves_many_threads_and_forgets_dead_connections(void **state)
{
    struct fixture *f = *state;
    enum { THREADS = 6 };
    pthread_t t[THREADS];
    struct pool_job job[THREADS];
    struct ctl_pool *pool = ctl_pool_new(f->sock, 3);
    for (int i = 0; i < THREADS; i++) {
        job[i] = (struct pool_job){.pool = pool};
        assert_int_equal(pthread_create(&t[i], NULL, use_pool, &job[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_int_equal(job[i].bad, 0);
    }
    restart_with(f, root_only);
    assert_int_equal(ctl_pool_call(pool, "echo", NULL, NULL, NULL, LONG_MS, NULL), 0);
    ctl_pool_free(pool);
}

static void codes_have_names_both_ways(void **state)
{
    (void)state;
    assert_string_equal(ctl_errno_name(-ENOENT), "ENOENT");
    assert_string_equal(ctl_errno_name(ENOTEMPTY), "ENOTEMPTY");
    assert_string_equal(ctl_errno_name(-99999), "EIO");
    assert_int_equal(ctl_errno_value("ESTALE"), ESTALE);
    assert_int_equal(ctl_errno_value("ENOSUCHNAME"), EIO);
    assert_int_equal(ctl_errno_value(NULL), EIO);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(a_request_is_answered_with_its_result),
        T(an_error_has_code_text_and_details_and_the_connection_goes_on),
        T(an_unknown_operation_is_named),
        T(events_come_in_order_before_the_answer),
        T(work_goes_on_when_its_client_leaves),
        T(a_line_may_come_byte_by_byte_and_many_in_one_write),
        T(garbage_is_answered_with_eproto_and_hurts_nobody),
        T(a_line_over_the_limit_is_refused_and_its_connection_closed),
        T(an_answer_over_the_limit_becomes_an_error),
        T(a_peer_that_does_not_read_is_dropped),
        T(a_line_that_is_begun_and_never_ended_is_dropped_but_rest_is_allowed),
        T(connections_are_bounded_and_the_refusal_is_clear),
        T(only_root_and_the_s3_user_may_call_and_the_latter_only_its_operations),
        T(what_a_connection_keeps_is_freed_with_it),
        T(stopping_finishes_the_request_at_hand_and_takes_no_new_one),
        T(a_silent_server_runs_into_the_timeout),
        T(a_file_in_the_place_of_the_socket_is_left_alone),
        T(nobody_at_the_socket_is_said_so),
        T(a_repeatable_call_survives_a_restart_of_the_server),
        T(a_pool_serves_many_threads_and_forgets_dead_connections),
        cmocka_unit_test(codes_have_names_both_ways),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
