/* SPDX-License-Identifier: Apache-2.0 */
/* That a test in C gets a store and makes its faults: requests as bytes, answers by their status.
 */
#include "teststore.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* The status of an unsigned GET of / at endpoint; 0 when the connection ended without one. */
static int status_of(const char *endpoint)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    char answer[64] = "";
    ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL);
    close(fd);
    return n > 12 && strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

static void the_store_answers_past_the_proxy_as_through_it(void **state)
{
    (void)state;
    const struct teststore *s = teststore_get();
    int direct = status_of(s->direct);
    assert_in_range(direct, 200, 499);
    assert_int_equal(status_of(s->endpoint), direct);
}

static void a_fault_hits_as_often_as_it_was_told(void **state)
{
    (void)state;
    const struct teststore *s = teststore_get();
    int rule = teststore_fault("slow_down method=GET nth=2 count=2");
    assert_int_not_equal(status_of(s->endpoint), 503);
    assert_int_equal(status_of(s->endpoint), 503);
    assert_int_equal(status_of(s->endpoint), 503);
    assert_int_not_equal(status_of(s->endpoint), 503);
    assert_int_equal(teststore_hits(rule), 2);
}

static void a_cleared_proxy_does_nothing(void **state)
{
    (void)state;
    const struct teststore *s = teststore_get();
    (void)teststore_fault("cut_before_request");
    assert_int_equal(status_of(s->endpoint), 0);
    (void)teststore_tell("clear");
    assert_int_not_equal(status_of(s->endpoint), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_store_answers_past_the_proxy_as_through_it),
        cmocka_unit_test(a_fault_hits_as_often_as_it_was_told),
        cmocka_unit_test(a_cleared_proxy_does_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
