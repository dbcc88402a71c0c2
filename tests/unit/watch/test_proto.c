/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between firnd and the front, over a real socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "watch/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int P[2];

static int up(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, P);
}

static int down(void **state)
{
    (void)state;
    (void)close(P[0]);
    (void)close(P[1]);
    return 0;
}

static bool same_file(int a, int b)
{
    struct stat sa, sb;
    return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_ino == sb.st_ino &&
           sa.st_dev == sb.st_dev;
}

static void a_message_arrives_as_it_was_sent(void **state)
{
    (void)state;
    const struct watch_msg m = {.type = WATCH_EVENT,
                                .seq = 7,
                                .flags = WATCH_OP_OPEN | WATCH_OP_AGAIN,
                                .code = -3,
                                .tid = 99,
                                .offset = 4096,
                                .count = 1,
                                .dev = 0x801,
                                .value = UINT64_MAX,
                                .name = "fs1"};
    struct watch_msg got;
    int fds[WATCH_GROUPS_MAX];
    size_t n = 9;
    assert_int_equal(watch_recv(P[1], &got, fds, &n), -EAGAIN);
    assert_int_equal(watch_send(P[0], &m, NULL, 0), 0);
    assert_int_equal(watch_recv(P[1], &got, fds, &n), 1);
    assert_int_equal(n, 0);
    assert_int_equal(got.version, WATCH_VERSION);
    got.version = 0;
    assert_memory_equal(&got, &m, sizeof(m));
}

static void descriptors_come_along_and_close_at_exec(void **state)
{
    (void)state;
    const struct watch_msg m = {.type = WATCH_ATTACH};
    struct watch_msg got;
    int fds[WATCH_GROUPS_MAX], mine[WATCH_GROUPS_MAX];
    size_t n = 0;
    for (int i = 0; i < WATCH_GROUPS_MAX; i++)
        mine[i] = i % 2 == 0 ? P[0] : P[1];
    assert_int_equal(watch_send(P[0], &m, mine, WATCH_GROUPS_MAX + 1), -EINVAL);
    assert_int_equal(watch_send(P[0], &m, mine, WATCH_GROUPS_MAX), 0);
    assert_int_equal(watch_recv(P[1], &got, fds, &n), 1);
    assert_int_equal(n, WATCH_GROUPS_MAX);
    for (int i = 0; i < WATCH_GROUPS_MAX; i++) {
        assert_true(same_file(fds[i], mine[i]));
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        (void)close(fds[i]);
    }
}

static int send_raw(const void *p, size_t n)
{
    struct watch_msg got;
    int fds[WATCH_GROUPS_MAX];
    size_t nfds = 5;
    assert_int_equal(send(P[0], p, n, 0), (int)n);
    int rc = watch_recv(P[1], &got, fds, &nfds);
    if (rc < 0)
        assert_int_equal(nfds, 0);
    return rc;
}

static void what_is_no_message_of_this_version_is_refused(void **state)
{
    (void)state;
    struct {
        struct watch_msg m;
        char more;
    } big = {.m = {.version = WATCH_VERSION, .type = WATCH_RETIRE}};
    struct watch_msg *m = &big.m;
    assert_int_equal(send_raw(m, sizeof(*m)), 1);
    assert_int_equal(send_raw(m, sizeof(*m) - 1), -EPROTO);
    assert_int_equal(send_raw(&big, sizeof(big)), -EPROTO);
    m->type = WATCH_RETIRE + 1;
    assert_int_equal(send_raw(m, sizeof(*m)), -EPROTO);
    m->type = 0;
    assert_int_equal(send_raw(m, sizeof(*m)), -EPROTO);
    m->type = WATCH_EVENT;
    m->version = WATCH_VERSION + 1;
    assert_int_equal(send_raw(m, sizeof(*m)), -EPROTO);
    m->version = WATCH_VERSION;
    memset(m->name, 'x', sizeof(m->name));
    assert_int_equal(send_raw(m, sizeof(*m)), -EPROTO);
    m->name[sizeof(m->name) - 1] = '\0';
    assert_int_equal(send_raw(m, sizeof(*m)), 1);
}

static int lowest_free(void)
{
    int fd = dup(P[0]);
    (void)close(fd);
    return fd;
}

static void a_refused_message_leaves_no_descriptor_behind(void **state)
{
    (void)state;
    struct watch_msg m = {.type = WATCH_RETIRE + 1}, got;
    int fds[WATCH_GROUPS_MAX], before = lowest_free();
    size_t n = 0;
    assert_int_equal(watch_send(P[0], &m, P, 2), 0);
    assert_int_equal(watch_recv(P[1], &got, fds, &n), -EPROTO);
    assert_int_equal(n, 0);
    assert_int_equal(lowest_free(), before);
}

static void without_room_for_its_descriptor_a_message_can_still_be_answered(void **state)
{
    (void)state;
    const struct watch_msg m = {.type = WATCH_EVENT, .seq = 12};
    struct watch_msg got;
    struct rlimit old, low;
    int fds[WATCH_GROUPS_MAX];
    size_t n = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)lowest_free();
    assert_int_equal(watch_send(P[0], &m, P, 1), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int rc = watch_recv(P[1], &got, fds, &n);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(rc, -EMFILE);
    assert_int_equal(n, 0);
    assert_int_equal(got.seq, 12);
}

static void the_end_of_the_connection_is_told(void **state)
{
    (void)state;
    const struct watch_msg m = {.type = WATCH_RETIRE};
    struct watch_msg got;
    int fds[WATCH_GROUPS_MAX];
    size_t n = 0;
    assert_int_equal(watch_send(P[0], &m, NULL, 0), 0);
    (void)close(P[0]);
    P[0] = -1;
    assert_int_equal(watch_recv(P[1], &got, fds, &n), 1);
    assert_int_equal(watch_recv(P[1], &got, fds, &n), 0);
    assert_int_equal(watch_send(P[1], &m, NULL, 0), -EPIPE);
}

static void a_full_socket_does_not_block(void **state)
{
    (void)state;
    const struct watch_msg m = {.type = WATCH_RETIRE};
    int rc = 0;
    for (int i = 0; i < 100000 && rc == 0; i++)
        rc = watch_send(P[0], &m, NULL, 0);
    assert_int_equal(rc, -EAGAIN);
}

static void operations_have_names(void **state)
{
    (void)state;
    assert_string_equal(watch_op_name(0), "none");
    assert_string_equal(watch_op_name(WATCH_OP_OPEN | WATCH_OP_AGAIN), "open");
    assert_string_equal(watch_op_name(WATCH_OP_ACCESS), "access");
    assert_string_equal(watch_op_name(WATCH_OP_ACCESS | WATCH_OP_OPEN), "open+access");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_arrives_as_it_was_sent, up, down),
        cmocka_unit_test_setup_teardown(descriptors_come_along_and_close_at_exec, up, down),
        cmocka_unit_test_setup_teardown(what_is_no_message_of_this_version_is_refused, up, down),
        cmocka_unit_test_setup_teardown(a_refused_message_leaves_no_descriptor_behind, up, down),
        cmocka_unit_test_setup_teardown(
            without_room_for_its_descriptor_a_message_can_still_be_answered, up, down),
        cmocka_unit_test_setup_teardown(the_end_of_the_connection_is_told, up, down),
        cmocka_unit_test_setup_teardown(a_full_socket_does_not_block, up, down),
        cmocka_unit_test(operations_have_names),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
