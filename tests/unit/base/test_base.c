/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/bufpool.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/notify.h"
#include "base/queue.h"
#include "base/timefmt.h"
#include "base/uuid.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static void err_wrap_keeps_the_code_and_adds_the_attempt(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_sys(&e, ENOSPC, "write %s", "a"), -ENOSPC);
    assert_int_equal(err_wrap(&e, -ENOSPC, "recall of %s", "b"), -ENOSPC);
    assert_string_equal(e.text, "recall of b: write a: No space left on device");
    assert_int_equal(err_wrap(NULL, -EIO, "x"), -EIO);
}

static void buf_escapes_xml_and_percent(void **state)
{
    (void)state;
    auto_buf struct buf b = {0};
    buf_add_xml(&b, "a<b>&\"'\r\x01");
    assert_string_equal(b.data, "a&lt;b&gt;&amp;&quot;&apos;&#13;?");
    buf_reset(&b);
    buf_add_xml(&b, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_string_equal(b.data, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    buf_reset(&b);
    buf_add_xml(&b, "\xef\xbf\xbe|\xef\xbf\xbf|\xed\xa0\x80|\xc0\xaf|\xff|\xc3");
    assert_string_equal(b.data, "???|???|???|??|?|?");
    buf_reset(&b);
    buf_add_pct(&b, "a/b c\xc3\xa9~", "/");
    assert_string_equal(b.data, "a/b%20c%C3%A9~");
}

static void iso_times_survive_a_round_trip(void **state)
{
    (void)state;
    char out[TIMEFMT_MAX];
    int64_t ns = 0;
    timefmt_iso_ns(1709205769304336128LL, out);
    assert_string_equal(out, "2024-02-29T11:22:49.304336128Z");
    assert_int_equal(timefmt_parse_iso(out, &ns), 0);
    assert_true(ns == 1709205769304336128LL);
    timefmt_http(ns, out);
    assert_string_equal(out, "Thu, 29 Feb 2024 11:22:49 GMT");
    timefmt_iso_s3(ns, out);
    assert_string_equal(out, "2024-02-29T11:22:49.000Z");
    timefmt_iso_ns(-1, out);
    assert_string_equal(out, "1969-12-31T23:59:59.999999999Z");
}

static void bad_times_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "2024",
                                      "2023-02-29",
                                      "2024-13-01",
                                      "2024-01-01T25:00:00Z",
                                      "2024-01-01x",
                                      "2024-01-01 10:00:00.",
                                      "2024-01-01 10:00"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t ns = 0;
        assert_int_equal(timefmt_parse_iso(bad[i], &ns), -EINVAL);
    }
}

static void uuid_text_survives_a_round_trip(void **state)
{
    (void)state;
    struct uuid a = uuid_new();
    struct uuid b;
    char text[UUID_TEXT];
    uuid_format(&a, text);
    assert_int_equal(uuid_parse(text, &b), 0);
    assert_memory_equal(a.b, b.b, UUID_BYTES);
    text[8] = 'x';
    assert_int_equal(uuid_parse(text, &b), -EINVAL);
    assert_int_equal(uuid_parse("", &b), -EINVAL);
}

static void queue_refuses_when_full_and_drains_when_closed(void **state)
{
    (void)state;
    int a = 1;
    int b = 2;
    struct queue *q = queue_new(1);
    assert_int_equal(queue_push(q, &a), 0);
    assert_int_equal(queue_try_push(q, &b), -EAGAIN);
    queue_close(q);
    assert_int_equal(queue_push(q, &b), -EPIPE);
    assert_ptr_equal(queue_pop(q), &a);
    assert_null(queue_pop(q));
    queue_free(q);
}

static void bufpool_says_busy_when_all_is_lent(void **state)
{
    (void)state;
    struct bufpool *p = bufpool_new(2, 5000);
    void *a = bufpool_get(p);
    void *b = bufpool_try_get(p);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(bufpool_try_get(p));
    assert_int_equal((uintptr_t)b % 4096, 0);
    bufpool_put(p, a);
    bufpool_put(p, b);
    bufpool_free(p);
}

static void replace_durable_leaves_one_whole_file(void **state)
{
    (void)state;
    char dir[] = "/tmp/firn-unit-XXXXXX";
    assert_non_null(mkdtemp(dir));
    auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY);
    struct err e = {0};
    assert_int_equal(io_replace_durable(fd, "f", "old", 3, 0600, &e), 0);
    assert_int_equal(io_replace_durable(fd, "f", "new!", 4, 0640, &e), 0);
    auto_free char *data = NULL;
    size_t len = 0;
    assert_int_equal(io_read_file(fd, "f", 100, &data, &len, &e), 0);
    assert_string_equal(data, "new!");
    struct stat st;
    assert_int_equal(fstatat(fd, "f", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    auto_free char *none = NULL;
    assert_int_equal(io_read_file(fd, "f", 3, &none, NULL, &e), -EFBIG);
    assert_int_equal(unlinkat(fd, "f", 0), 0);
    assert_int_equal(rmdir(dir), 0); /* no temporary file stayed */
}

static void simulated_clock_moves_only_by_sleeping(void **state)
{
    (void)state;
    struct clock *c = clock_new_simulated();
    assert_true(clock_now_ns(c) == 0);
    clock_sleep_ns(c, 90 * NS_PER_SEC);
    assert_true(clock_now_ns(c) == 90 * NS_PER_SEC);
    clock_free(c);
}

static void json_keeps_64_bit_integers(void **state)
{
    (void)state;
    auto_json cJSON *j = cJSON_CreateObject();
    json_add_int(j, "big", INT64_MAX);
    json_add_int(j, "small", -5);
    assert_true(json_int(j, "big", 0) == INT64_MAX);
    assert_true(json_int(j, "small", 0) == -5);
    assert_true(json_int(j, "absent", 7) == 7);
    const char *s = NULL;
    struct err e = {0};
    assert_int_equal(json_need_str(j, "absent", &s, &e), -EINVAL);
    assert_non_null(strstr(e.text, "\"absent\""));
}

static void crash_point_kills_at_the_named_hit(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        (void)setenv("FIRN_CRASH_POINT", "put_synced:2", 1);
        crash_point(CRASH_put_named);
        crash_point(CRASH_put_synced);
        crash_point(CRASH_put_synced);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void the_service_manager_is_told(void **state)
{
    (void)state;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int n =
        snprintf(sa.sun_path + 1, sizeof(sa.sun_path) - 1, "firn-test-notify-%d", (int)getpid());
    auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(notify_send("READY=1"), 0);
    char name[64], got[32] = "";
    (void)snprintf(name, sizeof(name), "@firn-test-notify-%d", (int)getpid());
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    assert_int_equal(notify_send("READY=1"), 0);
    assert_int_equal(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), 7);
    assert_string_equal(got, "READY=1");
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

/* A socket at an abstract name, which NOTIFY_SOCKET names. */
static int service_manager(const char *tag)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char name[64];
    int n =
        snprintf(sa.sun_path + 1, sizeof(sa.sun_path) - 1, "firn-test-%s-%d", tag, (int)getpid());
    (void)snprintf(name, sizeof(name), "@firn-test-%s-%d", tag, (int)getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void the_service_manager_is_given_a_descriptor(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(notify_send_fd("FDSTORE=1", 0), 0);
    auto_close int sock = service_manager("store");
    int p[2], got = -1;
    assert_int_equal(pipe(p), 0);
    assert_int_equal(notify_send_fd("FDSTORE=1\nFDNAME=x", p[1]), 1);
    char text[32] = "";
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    assert_int_equal(recvmsg(sock, &h, MSG_DONTWAIT), 18);
    assert_string_equal(text, "FDSTORE=1\nFDNAME=x");
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(got));
    assert_int_equal(write(got, "a", 1), 1);
    assert_int_equal(read(p[0], text, 1), 1);
    (void)close(got);
    (void)close(p[0]);
    (void)close(p[1]);
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

/* In a child, whose descriptors from 3 on are what a service manager hands over. */
static int taken_by_child(const char *names, bool right_pid)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        char own[16];
        (void)snprintf(own, sizeof(own), "%d", right_pid ? (int)getpid() : 1);
        (void)dup2(0, 3);
        (void)dup2(0, 4);
        (void)dup2(0, 5);
        (void)setenv("LISTEN_PID", own, 1);
        (void)setenv("LISTEN_FDS", "3", 1);
        (void)setenv("LISTEN_FDNAMES", names, 1);
        int fd = notify_take_fd("group");
        int open_ones = 0;
        for (int i = 3; i < 6; i++)
            open_ones += fcntl(i, F_GETFD) >= 0;
        bool ok = fd < 0 || fcntl(fd, F_GETFD) == FD_CLOEXEC;
        _exit(ok && getenv("LISTEN_FDS") == NULL ? (fd + 1) * 10 + open_ones : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void a_kept_descriptor_is_found_by_its_name(void **state)
{
    (void)state;
    assert_int_equal(taken_by_child("group:a:b", true), 41);
    assert_int_equal(taken_by_child("a:group:b", true), 51);
    assert_int_equal(taken_by_child("a:groups:group", true), 61);
    assert_int_equal(taken_by_child("a:b", true), 0);
    assert_int_equal(taken_by_child("group:a:b", false), 3);
}

static void times_beyond_64_bits_of_nanoseconds_are_refused(void **state)
{
    (void)state;
    int64_t ns = 7;
    assert_int_equal(timefmt_parse_iso("9999-12-31T23:59:59Z", &ns), -EINVAL);
    assert_int_equal(timefmt_parse_iso("0001-01-01", &ns), -EINVAL);
    assert_int_equal(ns, 7);
    assert_int_equal(timefmt_parse_iso("2262-04-11T00:00:00Z", &ns), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_beyond_64_bits_of_nanoseconds_are_refused),
        cmocka_unit_test(the_service_manager_is_told),
        cmocka_unit_test(the_service_manager_is_given_a_descriptor),
        cmocka_unit_test(a_kept_descriptor_is_found_by_its_name),
        cmocka_unit_test(err_wrap_keeps_the_code_and_adds_the_attempt),
        cmocka_unit_test(buf_escapes_xml_and_percent),
        cmocka_unit_test(iso_times_survive_a_round_trip),
        cmocka_unit_test(bad_times_are_refused),
        cmocka_unit_test(uuid_text_survives_a_round_trip),
        cmocka_unit_test(queue_refuses_when_full_and_drains_when_closed),
        cmocka_unit_test(bufpool_says_busy_when_all_is_lent),
        cmocka_unit_test(replace_durable_leaves_one_whole_file),
        cmocka_unit_test(simulated_clock_moves_only_by_sleeping),
        cmocka_unit_test(json_keeps_64_bit_integers),
        cmocka_unit_test(crash_point_kills_at_the_named_hit),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
