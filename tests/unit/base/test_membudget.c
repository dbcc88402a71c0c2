/* SPDX-License-Identifier: Apache-2.0 */
#include "base/membudget.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1UL << 20)

static void blocks_come_together_or_not_at_all(void **state)
{
    struct membudget *b = membudget_new(10 * MIB);
    const size_t sizes[] = {4 * MIB, 0, 5 * MIB};
    struct memblock m[3];
    struct memblock n[3];
    uint64_t used = 0;
    (void)state;
    assert_int_equal(membudget_get(b, 3, sizes, m, false, NULL), 0);
    assert_non_null(m[0].data);
    assert_null(m[1].data);
    assert_int_equal(membudget_get(b, 3, sizes, n, false, NULL), -EAGAIN);
    assert_null(n[0].data);
    membudget_usage(b, &used, NULL, NULL);
    assert_int_equal(used, 9 * MIB);
    for (int i = 0; i < 3; i++)
        membudget_put(b, &m[i]);
    membudget_usage(b, &used, NULL, NULL);
    assert_int_equal(used, 0);
    membudget_free(b);
}

static void what_can_never_fit_is_refused(void **state)
{
    struct membudget *b = membudget_new(MIB);
    const size_t size = MIB + 1;
    struct memblock m;
    (void)state;
    assert_int_equal(membudget_get(b, 1, &size, &m, true, NULL), -E2BIG);
    membudget_free(b);
}

static void a_large_block_is_lent_again(void **state)
{
    struct membudget *b = membudget_new(8 * MIB);
    size_t size = 4 * MIB;
    struct memblock m;
    uint64_t peak = 0;
    (void)state;
    assert_int_equal(membudget_get(b, 1, &size, &m, false, NULL), 0);
    void *first = m.data;
    memset(m.data, 7, size);
    membudget_put(b, &m);
    size = 4 * MIB - 70000;
    assert_int_equal(membudget_get(b, 1, &size, &m, false, NULL), 0);
    assert_ptr_equal(m.data, first);
    assert_int_equal(m.size, size);
    membudget_put(b, &m);
    size = 6 * MIB;
    assert_int_equal(membudget_get(b, 1, &size, &m, false, NULL), 0);
    membudget_put(b, &m);
    membudget_usage(b, NULL, &peak, NULL);
    assert_true(peak <= 8 * MIB);
    membudget_free(b);
}

struct waiting {
    struct membudget *b;
    size_t size;
    _Atomic bool stop;
    _Atomic int rc;
    pthread_t thread;
};

static void *wait_for_block(void *arg)
{
    struct waiting *w = arg;
    struct memblock m;
    w->rc = membudget_get(w->b, 1, &w->size, &m, true, &w->stop);
    membudget_put(w->b, &m);
    return NULL;
}

/* Waits until a request without waiting is refused because somebody waits. */
static void until_queued(struct membudget *b)
{
    const size_t one = 1;
    struct memblock m;
    while (membudget_get(b, 1, &one, &m, false, NULL) == 0) {
        membudget_put(b, &m);
        (void)sched_yield();
    }
}

static void a_large_request_is_not_overtaken(void **state)
{
    struct membudget *b = membudget_new(4 * MIB);
    const size_t size = MIB;
    struct memblock m;
    struct waiting w = {.b = b, .size = 4 * MIB, .rc = 1};
    (void)state;
    assert_int_equal(membudget_get(b, 1, &size, &m, false, NULL), 0);
    assert_int_equal(pthread_create(&w.thread, NULL, wait_for_block, &w), 0);
    until_queued(b);
    assert_int_equal(w.rc, 1);
    membudget_put(b, &m);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
    assert_int_equal(w.rc, 0);
    membudget_free(b);
}

static void a_waiter_that_is_stopped_leaves_at_once(void **state)
{
    struct membudget *b = membudget_new(4 * MIB);
    const size_t size = 4 * MIB;
    struct memblock m;
    struct waiting first = {.b = b, .size = 4 * MIB, .rc = 1};
    struct waiting second = {.b = b, .size = MIB, .rc = 1};
    (void)state;
    assert_int_equal(membudget_get(b, 1, &size, &m, false, NULL), 0);
    assert_int_equal(pthread_create(&first.thread, NULL, wait_for_block, &first), 0);
    assert_int_equal(pthread_create(&second.thread, NULL, wait_for_block, &second), 0);
    second.stop = true;
    membudget_wake(b);
    assert_int_equal(pthread_join(second.thread, NULL), 0);
    assert_int_equal(second.rc, -ECANCELED);
    assert_int_equal(first.rc, 1);
    membudget_put(b, &m);
    assert_int_equal(pthread_join(first.thread, NULL), 0);
    assert_int_equal(first.rc, 0);
    membudget_free(b);
}

static void *churn(void *arg)
{
    struct membudget *b = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    for (int i = 0; i < 300; i++) {
        struct memblock m[2];
        size_t sizes[2] = {(size_t)rand_r(&seed) % (3 * MIB), (size_t)rand_r(&seed) % (3 * MIB)};
        if (membudget_get(b, 2, sizes, m, true, NULL) != 0)
            return b;
        for (int k = 0; k < 2; k++) {
            if (m[k].data != NULL)
                memset(m[k].data, k, m[k].size < 100 ? m[k].size : 100);
        }
        membudget_put(b, &m[0]);
        membudget_put(b, &m[1]);
    }
    return NULL;
}

static void many_threads_stay_below_the_bound_and_all_get_through(void **state)
{
    struct membudget *b = membudget_new(8 * MIB);
    pthread_t threads[16];
    uint64_t used = 1;
    uint64_t peak = 0;
    (void)state;
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, b), 0);
    for (size_t i = 0; i < 16; i++) {
        void *failed = b;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    membudget_usage(b, &used, &peak, NULL);
    assert_int_equal(used, 0);
    assert_true(peak > 0 && peak <= 8 * MIB);
    membudget_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_together_or_not_at_all),
        cmocka_unit_test(what_can_never_fit_is_refused),
        cmocka_unit_test(a_large_block_is_lent_again),
        cmocka_unit_test(a_large_request_is_not_overtaken),
        cmocka_unit_test(a_waiter_that_is_stopped_leaves_at_once),
        cmocka_unit_test(many_threads_stay_below_the_bound_and_all_get_through),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
