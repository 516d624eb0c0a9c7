/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of block-file: depth, batches, cancelling, draining, several at once, order of writes that
 * share a block; and the list of ranges alone. */
#include "iov.h"
#include "test_rig.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1u << 20)

static const char *const engines[] = {"", "aio = \"threads\"; threads = 3;"};

static struct bp_block_request
request_of(uint64_t user, uint32_t op, uint64_t offset, const struct bp_iovec *iov)
{
    struct bp_block_request request = {.user = user,
                                       .op = op,
                                       .offset = offset,
                                       .length = iov->length,
                                       .iov = iov,
                                       .iov_count = 1};
    return request;
}

static void
test_depth_is_kept_and_comes_back(void **state)
{
    static const uint32_t depths[] = {1, 3, 64, 65, 4096};
    struct bp_block_request *requests = calloc(5000, sizeof(*requests));
    struct bp_iovec *iov = calloc(5000, sizeof(*iov));
    uint32_t engine, d, i, round;

    for (engine = 0; engine < 2; engine++) {
        struct rig rig;

        rig_open(&rig, MIB, engines[engine]);
        for (d = 0; d < BP_ARRAY_LENGTH(depths); d++) {
            struct th_queue *queue = th_queue_open(rig.instance, depths[d]);

            for (i = 0; i < 5000; i++) {
                iov[i].base = rig.arena + (uint64_t)i * 512;
                iov[i].length = 512;
                requests[i] = request_of(i, BP_BLOCK_READ, 512 * (i % 2048), &iov[i]);
            }
            for (round = 1; round <= 3; round++) {
                assert_int_equal(th_queue_submit(queue, requests, 5000), depths[d]);
                assert_int_equal(th_queue_submit(queue, requests, 1), 0);
                assert_true(th_queue_wait(queue, round * depths[d], 30000));
            }
            assert_true(th_queue_batches(queue) <= 3 * depths[d]);
            th_queue_close(queue);
        }
        rig_close(&rig, 1);
    }
    free(iov);
    free(requests);
}

static void
test_wrong_queue_arguments_are_refused(void **state)
{
    struct bp_block_client client = {.size = sizeof(client)};
    struct bp_block_queue_args args = {.size = sizeof(args), .depth = 1, .client = &client};
    const struct bp_block_ops *ops;
    void *queue = NULL;
    struct rig rig;

    rig_open(&rig, MIB, "");
    ops = th_table(rig.instance, BP_BLOCK_ID);
    assert_int_equal(ops->queue_open(th_self(rig.instance), &args, &queue), -EINVAL);
    assert_null(th_queue_open(rig.instance, 0));
    assert_null(th_queue_open(rig.instance, 4097));
    assert_int_equal(th_status(rig.th), -EINVAL);
    assert_null(queue);
    rig_close(&rig, 1);
}

static void
test_large_and_scattered_requests_are_whole(void **state)
{
    struct bp_iovec *iov = calloc(1024, sizeof(*iov));
    uint32_t engine, i;

    for (engine = 0; engine < 2; engine++) {
        struct bp_block_request request = {.op = BP_BLOCK_READ, .length = 1024 * 1024};
        struct rig rig;

        rig_open(&rig, 4 * MIB, engines[engine]);
        for (i = 0; i < 1024; i++) {
            iov[i].base = rig.arena + (uint64_t)(1023 - i) * 1024;
            iov[i].length = 1024;
        }
        request.iov = iov;
        request.iov_count = 1024;
        request.offset = 512;
        assert_int_equal(th_queue_submit(rig.queue, &request, 1), 1);
        assert_true(th_queue_wait(rig.queue, 1, 30000));
        assert_int_equal(th_queue_completion(rig.queue, 0)->status, 0);
        for (i = 0; i < 1024 * 1024; i++) {
            uint64_t place = (uint64_t)(1023 - i / 1024) * 1024 + i % 1024;
            assert_int_equal(rig.arena[place], rig_pattern(512 + i));
        }
        rig_close(&rig, 1);
    }
    free(iov);
}

/* Stops the workers: holds a range that a partial write needs. */
static void
block_range(struct rig *rig, struct range *range)
{
    memset(range, 0, sizeof(*range));
    range->end = 4096;
    range->exclusive = 1;
    assert_true(range_try(&rig_image(rig)->ranges, range));
}

static void
test_cancelled_requests_still_complete_and_the_others_are_untouched(void **state)
{
    uint32_t engine, i;

    for (engine = 0; engine < 2; engine++) {
        struct bp_block_request requests[20];
        uint32_t statuses[20] = {0};
        const struct bp_block_ops *ops;
        struct bp_iovec iov;
        struct range range;
        struct rig rig;

        rig_open(&rig, MIB,
                 engine == 0 ? "cache = \"none\"; threads = 2;"
                             : "cache = \"none\"; aio = \"threads\"; threads = 2;");
        rig_image(&rig)->offset_align = 4096;
        ops = th_table(rig.instance, BP_BLOCK_ID);
        block_range(&rig, &range);
        iov.base = rig.arena;
        iov.length = 512;
        memset(rig.arena, 0x12, 512);
        /* Two workers take 0 and 1 and wait for the range; the rest waits for them. */
        for (i = 0; i < 20; i++) {
            requests[i] = request_of(i, BP_BLOCK_WRITE, 512 * (i % 8), &iov);
        }
        assert_int_equal(th_queue_submit(rig.queue, requests, 20), 20);
        ops->cancel(th_self(rig.instance), rig_file(&rig)->queues, 7);
        ops->cancel(th_self(rig.instance), rig_file(&rig)->queues, 11);
        ops->cancel(th_self(rig.instance), rig_file(&rig)->queues, 12345);
        assert_true(th_queue_wait(rig.queue, 2, 30000));
        range_drop(&rig_image(&rig)->ranges, &range);
        assert_true(th_queue_wait(rig.queue, 20, 30000));
        for (i = 0; i < 20; i++) {
            const struct bp_block_completion *completion = th_queue_completion(rig.queue, i);
            statuses[completion->user] += completion->status == -ECANCELED ? 1
                                          : completion->status == 0        ? 100
                                                                           : 10000;
        }
        for (i = 0; i < 20; i++) {
            assert_int_equal(statuses[i], i == 7 || i == 11 ? 1 : 100);
        }
        rig_close(&rig, 1);
    }
}

static void
test_cancelling_all_leaves_nothing_in_flight_and_nothing_broken(void **state)
{
    uint32_t engine, i, round;

    for (engine = 0; engine < 2; engine++) {
        struct bp_block_request requests[64];
        const struct bp_block_ops *ops;
        struct bp_iovec iov;
        uint8_t data[512];
        struct rig rig;

        rig_open(&rig, MIB, engines[engine]);
        ops = th_table(rig.instance, BP_BLOCK_ID);
        iov.base = rig.arena;
        iov.length = 4096;
        for (round = 0; round < 20; round++) {
            for (i = 0; i < 64; i++) {
                requests[i] = request_of(i, i % 3 == 0 ? BP_BLOCK_FLUSH : BP_BLOCK_WRITE,
                                         4096 * (uint64_t)i, &iov);
                requests[i].length = i % 3 == 0 ? 0 : 4096;
            }
            assert_int_equal(th_queue_submit(rig.queue, requests, 64), 64);
            ops->cancel(th_self(rig.instance), rig_file(&rig)->queues, UINT64_MAX);
            assert_true(th_queue_wait(rig.queue, (round + 1) * 64, 30000));
        }
        for (i = 0; i < 20 * 64; i++) {
            int32_t status = th_queue_completion(rig.queue, i)->status;
            assert_true(status == 0 || status == -ECANCELED);
        }
        th_queue_close(rig.queue);
        rig.queue = th_queue_open(rig.instance, 4);
        assert_int_equal(rig_read(&rig, 300 * 1024, data, 512), 0);
        assert_int_equal(data[5], rig_pattern(300 * 1024 + 5));
        rig_close(&rig, 1);
    }
}

static void
test_drain_delivers_everything(void **state)
{
    uint32_t engine, i, round;

    for (engine = 0; engine < 2; engine++) {
        struct bp_block_request requests[64];
        struct bp_iovec iov[64];
        struct rig rig;

        rig_open(&rig, MIB, engines[engine]);
        for (i = 0; i < 64; i++) {
            iov[i].base = rig.arena + i * 8192;
            iov[i].length = 8192;
            requests[i] = request_of(i, i % 2 == 0 ? BP_BLOCK_WRITE : BP_BLOCK_READ,
                                     8192 * (uint64_t)i, &iov[i]);
        }
        for (round = 1; round <= 10; round++) {
            const struct bp_block_ops *ops = th_table(rig.instance, BP_BLOCK_ID);

            assert_int_equal(th_queue_submit(rig.queue, requests, 64), 64);
            ops->drain(th_self(rig.instance), rig_file(&rig)->queues);
            assert_int_equal(th_queue_completed(rig.queue), 64 * round);
        }
        rig_close(&rig, 1);
    }
}

static void
test_an_instance_that_goes_with_requests_in_flight_waits_for_the_kernel(void **state)
{
    uint32_t engine, i;

    for (engine = 0; engine < 2; engine++) {
        struct bp_block_client client = {.size = sizeof(client)};
        struct bp_block_request requests[64];
        struct bp_iovec iov[64];
        struct rig rig;

        rig_open(&rig, MIB, engines[engine]);
        for (i = 0; i < 64; i++) {
            iov[i].base = rig.arena + i * 8192;
            iov[i].length = 8192;
            requests[i] = request_of(i, BP_BLOCK_READ, 8192 * (uint64_t)i, &iov[i]);
        }
        assert_int_equal(th_queue_submit(rig.queue, requests, 64), 64);
        th_destroy(rig.instance); /* the queue is still open: its client must hear nothing more */
        assert_int_equal(th_queue_completed(rig.queue), 0);
        free(rig.queue); /* it cannot be closed any more */
        th_free(rig.th);
        (void)remove(rig.path);
    }
}

static void
test_queues_of_one_image_do_not_mix(void **state)
{
    uint32_t engine, i, q;

    for (engine = 0; engine < 2; engine++) {
        struct th_queue *queues[8];
        struct bp_iovec iov[8];
        struct rig rig;

        rig_open(&rig, MIB, engines[engine]);
        for (q = 0; q < 8; q++) {
            queues[q] = th_queue_open(rig.instance, 16);
            iov[q].base = rig.arena + q * 4096;
            iov[q].length = 4096;
        }
        for (i = 0; i < 16; i++) {
            for (q = 0; q < 8; q++) {
                struct bp_block_request request =
                    request_of(q * 100 + i, BP_BLOCK_READ, q * 65536, &iov[q]);
                assert_int_equal(th_queue_submit(queues[q], &request, 1), 1);
            }
        }
        for (q = 0; q < 8; q++) {
            assert_true(th_queue_wait(queues[q], 16, 30000));
            for (i = 0; i < 16; i++) {
                assert_int_equal(th_queue_completion(queues[q], i)->user / 100, q);
                assert_int_equal(th_queue_completion(queues[q], i)->status, 0);
            }
            assert_int_equal(rig.arena[q * 4096 + 9], rig_pattern(q * 65536 + 9));
            th_queue_close(queues[q]);
        }
        rig_close(&rig, 1);
    }
}

/* --- ranges alone ---------------------------------------------------------------------------- */

static void
test_ranges_exclude_only_what_overlaps_and_is_exclusive(void **state)
{
    struct range_table table;
    struct range a = {.start = 0, .end = 4096, .exclusive = 1};
    struct range b = {.start = 4096, .end = 8192, .exclusive = 1};
    struct range c = {.start = 0, .end = 8192};
    struct range d = {.start = 8192, .end = 12288};
    struct range e = {.start = 8192, .end = 12288};

    range_table_init(&table);
    assert_true(range_try(&table, &a));
    assert_true(range_try(&table, &b));
    assert_false(range_try(&table, &c));
    assert_true(range_try(&table, &d));
    assert_true(range_try(&table, &e));
    range_drop(&table, &a);
    assert_false(range_try(&table, &c));
    range_drop(&table, &b);
    assert_true(range_try(&table, &c));
    assert_false(range_try(&table, &a));
    range_drop(&table, &d);
    range_drop(&table, &c);
    range_drop(&table, &e);
    assert_null(table.first);
    assert_null(table.last);
    range_table_done(&table);
}

struct waiter {
    struct range_table *table;
    struct range range;
};

static void *
wait_for_range(void *opaque)
{
    struct waiter *waiter = opaque;

    range_wait(waiter->table, &waiter->range);
    return NULL;
}

static void
test_nobody_overtakes_an_exclusive_range_that_waits(void **state)
{
    struct range_table table;
    struct range shared = {.start = 0, .end = 4096}, late = {.start = 0, .end = 4096};
    struct waiter waiter = {.table = &table, .range = {.start = 0, .end = 4096, .exclusive = 1}};
    pthread_t thread;
    uint32_t waiting = 0;

    range_table_init(&table);
    assert_true(range_try(&table, &shared));
    assert_int_equal(pthread_create(&thread, NULL, wait_for_range, &waiter), 0);
    while (!waiting) {
        pthread_mutex_lock(&table.lock);
        waiting = table.waiting;
        pthread_mutex_unlock(&table.lock);
    }
    assert_false(range_try(&table, &late));
    range_drop(&table, &shared);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(range_try(&table, &late));
    range_drop(&table, &waiter.range);
    assert_true(range_try(&table, &late));
    range_drop(&table, &late);
    range_table_done(&table);
}

static void
test_cursors_pass_over_empty_pieces(void **state)
{
    uint8_t memory[16] = {0};
    struct bp_iovec iov[5] = {
        {memory, 0}, {memory, 3}, {memory + 8, 0}, {memory + 8, 5}, {memory, 0}};
    struct iov_cursor cursor = {iov, 5, 0};
    struct iovec window[4];

    assert_int_equal(iov_window(&cursor, window, 4), 2);
    iov_put(&cursor, "abcd", 4);
    assert_memory_equal(memory, "abc", 3);
    assert_int_equal(memory[8], 'd');
    assert_int_equal(iov_window(&cursor, window, 4), 1);
    assert_ptr_equal(window[0].iov_base, memory + 9);
    assert_int_equal(window[0].iov_len, 4);
    iov_put(&cursor, "efghijk", 7); /* more than there is room for */
    assert_memory_equal(memory + 8, "defgh", 5);
    assert_int_equal(memory[13], 0);
    assert_int_equal(iov_window(&cursor, window, 4), 0);
    assert_false(iov_is_zero(iov, 5));
    memset(memory, 0, sizeof(memory));
    assert_true(iov_is_zero(iov, 5));
    memory[12] = 1;
    assert_false(iov_is_zero(iov, 5));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth_is_kept_and_comes_back),
        cmocka_unit_test(test_wrong_queue_arguments_are_refused),
        cmocka_unit_test(test_large_and_scattered_requests_are_whole),
        cmocka_unit_test(test_cancelled_requests_still_complete_and_the_others_are_untouched),
        cmocka_unit_test(test_cancelling_all_leaves_nothing_in_flight_and_nothing_broken),
        cmocka_unit_test(test_drain_delivers_everything),
        cmocka_unit_test(test_an_instance_that_goes_with_requests_in_flight_waits_for_the_kernel),
        cmocka_unit_test(test_queues_of_one_image_do_not_mix),
        cmocka_unit_test(test_ranges_exclude_only_what_overlaps_and_is_exclusive),
        cmocka_unit_test(test_nobody_overtakes_an_exclusive_range_that_waits),
        cmocka_unit_test(test_cursors_pass_over_empty_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
