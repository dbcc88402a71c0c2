/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that take turns: what waits, announced or not, holds nobody up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http_client.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "s3/lanes.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SPARE   2  /* workers beyond the lanes */
#define GIVE_UP 20 /* seconds */

static sem_t entered, go_on;
static size_t n_lanes;

static void handle(struct s3_req *req)
{
    if (strcmp(req->key, "announced") == 0 || strcmp(req->key, "unannounced") == 0) {
        if (req->key[0] == 'a')
            s3_may_block(req);
        (void)sem_post(&entered);
        while (sem_wait(&go_on) != 0)
            continue;
    }
    if (strcmp(req->key, "wait") == 0 && s3_wait_begin(req) == 0) {
        (void)sem_post(&entered);
        while (sem_wait(&go_on) != 0)
            continue;
        s3_wait_end(req);
    }
    (void)s3_reply_empty(req, 204);
}

static int set_up(void **state)
{
    static struct fixture f;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    n_lanes = n > 2 ? (size_t)n : 2;
    log_init("test", LOG_LEVEL_WARN);
    (void)sem_init(&entered, 0, 0);
    (void)sem_init(&go_on, 0, 0);
    fixture_start(&f, handle, n_lanes + SPARE, 3, 64 + n_lanes, 60);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_stop(*state);
    return 0;
}

#define H "Host: s3.example\r\n\r\n"

/* Occupies as many workers as there are lanes by requests for key; then others must be served. */
static void others_are_served(void *f, const char *key)
{
    int *fds = calloc(n_lanes, sizeof *fds);
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GIVE_UP;
    for (size_t i = 0; i < n_lanes; i++) {
        char head[128];
        (void)snprintf(head, sizeof head, "GET /b/%s HTTP/1.1\r\n" H, key);
        fds[i] = client_open(f);
        client_send(fds[i], head);
        assert_int_equal(sem_timedwait(&entered, &until), 0);
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(client_once(f, "GET /b/x HTTP/1.1\r\n" H, NULL), 204);
    for (size_t i = 0; i < n_lanes; i++)
        (void)sem_post(&go_on);
    for (size_t i = 0; i < n_lanes; i++) {
        assert_int_equal(client_reply(fds[i], false, NULL, NULL), 204);
        (void)close(fds[i]);
    }
    free(fds);
    for (int i = 0; i < 20; i++)
        assert_int_equal(client_once(f, "GET /b/x HTTP/1.1\r\n" H, NULL), 204);
}

static void requests_that_may_block_give_their_lanes_away(void **state)
{
    for (int i = 0; i < 10; i++)
        others_are_served(*state, "announced");
}

static void requests_that_block_unannounced_are_noticed(void **state)
{
    others_are_served(*state, "unannounced");
    others_are_served(*state, "announced");
}

static void workers_that_come_back_together_do_not_all_leave(void **state)
{
    for (int round = 0; round < 100; round++) {
        int fds[3];
        for (int i = 0; i < 3; i++) {
            fds[i] = client_open(*state);
            client_send(fds[i], "GET /b/wait HTTP/1.1\r\n" H);
            while (sem_wait(&entered) != 0)
                continue;
        }
        for (int i = 0; i < 3; i++)
            (void)sem_post(&go_on);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(client_reply(fds[i], false, NULL, NULL), 204);
            (void)close(fds[i]);
        }
        assert_int_equal(client_once(*state, "GET /b/x HTTP/1.1\r\n" H, NULL), 204);
    }
}

static void a_client_that_does_not_read_holds_no_lane(void **state)
{
    /* As many as there are lanes send requests and read no answers, until their windows are full.
     */
    static const char one[] = "GET /b/x HTTP/1.1\r\n" H;
    int *fds = calloc(n_lanes, sizeof *fds);
    for (size_t i = 0; i < n_lanes; i++) {
        fds[i] = client_open(*state);
        struct pollfd p = {.fd = fds[i], .events = POLLOUT};
        while (poll(&p, 1, 500) > 0 &&
               send(fds[i], one, sizeof one - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            continue;
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(client_once(*state, one, NULL), 204);
    for (size_t i = 0; i < n_lanes; i++)
        (void)close(fds[i]);
    free(fds);
}

static void a_lane_is_taken_by_one_and_handed_on(void **state)
{
    (void)state;
    struct lanes l;
    lanes_init(&l, 1);
    lanes_enter(&l);
    assert_false(lanes_crowded(&l));
    lanes_relieve(&l); /* nobody has taken an event since the start: one more lane */
    lanes_enter(&l);
    lanes_rest(&l);
    lanes_relieve(&l); /* one waits for an event: nothing to do */
    assert_false(lanes_crowded(&l));
    lanes_rest(&l);
    lanes_relieve(&l); /* both do: back to one */
    assert_true(lanes_crowded(&l));
    lanes_leave(&l);
    assert_false(lanes_crowded(&l));
    lanes_open(&l);
    lanes_enter(&l); /* does not wait any more */
    lanes_leave(&l);
    lanes_leave(&l);
    lanes_fini(&l);
}

static void *enter(void *l)
{
    lanes_enter(l);
    return NULL;
}

static size_t parked(struct lanes *l, bool *called)
{
    lock_scope(&l->lock);
    *called = l->called;
    return l->parked;
}

static void nobody_is_called_while_another_waits_for_the_next_event(void **state)
{
    (void)state;
    struct lanes l;
    pthread_t t;
    bool called = false;
    lanes_init(&l, 2);
    lanes_enter(&l);
    lanes_enter(&l);
    assert_int_equal(pthread_create(&t, NULL, enter, &l), 0);
    while (parked(&l, &called) == 0)
        (void)poll(NULL, 0, 1);
    lanes_rest(&l);
    lanes_leave(&l); /* the other one waits for the next event */
    assert_int_equal(parked(&l, &called), 1);
    assert_false(called);
    lanes_go(&l); /* now nobody does */
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(parked(&l, &called), 0);
    lanes_leave(&l);
    lanes_leave(&l);
    lanes_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_that_may_block_give_their_lanes_away),
        cmocka_unit_test(requests_that_block_unannounced_are_noticed),
        cmocka_unit_test(workers_that_come_back_together_do_not_all_leave),
        cmocka_unit_test(a_client_that_does_not_read_holds_no_lane),
        cmocka_unit_test(a_lane_is_taken_by_one_and_handed_on),
        cmocka_unit_test(nobody_is_called_while_another_waits_for_the_next_event),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
