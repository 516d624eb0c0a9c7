/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: what is merged and what is not, and that merging shows in nothing but the speed. */
#include "run.h"
#include "test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB   (1u << 20)
#define PIECE 4096u
#define COUNT 48u

static struct request
transfer(uint32_t op, uint32_t flags, uint64_t offset, const struct bp_iovec *iov, uint32_t count)
{
    struct request request = {
        .op = op, .flags = flags, .offset = offset, .iov = iov, .iov_count = count};

    for (uint32_t i = 0; i < count; i++) {
        request.length += iov[i].length;
    }
    return request;
}

static void
test_what_follows_is_merged_and_nothing_else_is(void **state)
{
    static uint8_t memory[2];
    const struct bp_iovec iov[2] = {{.base = &memory[0], .length = PIECE},
                                    {.base = &memory[1], .length = PIECE}};
    struct request first = transfer(BP_BLOCK_WRITE, 0, PIECE, iov, 2);
    struct request next = transfer(BP_BLOCK_WRITE, 0, 3 * PIECE, iov, 1);
    struct request gap = transfer(BP_BLOCK_WRITE, 0, 5 * PIECE, iov, 1);
    struct request read = transfer(BP_BLOCK_READ, 0, 4 * PIECE, iov, 1);
    struct request durable = transfer(BP_BLOCK_WRITE, BP_BLOCK_FUA, 4 * PIECE, iov, 1);
    struct request flush = {.op = BP_BLOCK_FLUSH};
    struct run *run = calloc(1, sizeof(*run));
    const struct bp_iovec *all = NULL;
    uint32_t count = 0;

    run_init(run);
    assert_int_equal(run_extend(run, &first), 0);
    run_begin(run, &first);
    assert_int_equal(run_extend(run, &next), 1);
    assert_int_equal(run_extend(run, &gap), 0);
    assert_int_equal(run_extend(run, &read), 0);
    assert_int_equal(run_extend(run, &durable), 0);
    assert_ptr_equal(run_end(run, &all, &count), &first);
    assert_int_equal(count, 3);
    assert_ptr_equal(all[2].base, &memory[0]);
    assert_null(run_end(run, &all, &count));

    run_begin(run, &flush);
    assert_int_equal(run_extend(run, &first), 0);
    assert_ptr_equal(run_end(run, &all, &count), &flush);
    run_begin(run, &gap);
    assert_ptr_equal(run_end(run, &all, &count), &gap);
    assert_ptr_equal(all, iov); /* alone: its own buffers */
    free(run);
}

static void
test_a_run_ends_at_its_limits(void **state)
{
    static uint8_t memory;
    struct bp_iovec *iov = calloc(RUN_BUFFERS_MAX, sizeof(*iov));
    const struct bp_iovec large = {.base = &memory, .length = RUN_MAX_BYTES};
    struct run *run = calloc(1, sizeof(*run));
    const struct bp_iovec *all;
    uint32_t count;

    for (uint32_t i = 0; i < RUN_BUFFERS_MAX; i++) {
        iov[i] = (struct bp_iovec){.base = &memory, .length = 512};
    }
    struct request big = transfer(BP_BLOCK_READ, 0, 0, &large, 1);
    struct request behind_big = transfer(BP_BLOCK_READ, 0, RUN_MAX_BYTES, iov, 1);
    struct request half = transfer(BP_BLOCK_READ, 0, 0, iov, RUN_BUFFERS_MAX / 2);
    struct request rest = transfer(BP_BLOCK_READ, 0, half.length, iov, RUN_BUFFERS_MAX / 2);
    struct request one = transfer(BP_BLOCK_READ, 0, half.length + rest.length, iov, 1);

    run_init(run);
    run_begin(run, &big);
    assert_int_equal(run_extend(run, &behind_big), 0);
    (void)run_end(run, &all, &count);
    run_begin(run, &half);
    assert_int_equal(run_extend(run, &rest), 1);
    assert_int_equal(run_extend(run, &one), 0);
    (void)run_end(run, &all, &count);
    assert_int_equal(count, RUN_BUFFERS_MAX);
    run_begin(run, &big); /* no room for merged buffers is left: goes alone */
    assert_int_equal(run_extend(run, &behind_big), 0);
    assert_ptr_equal(run_end(run, &all, &count), &big);
    assert_ptr_equal(all, &large);
    free(iov);
    free(run);
}

/* Submits COUNT neighbouring requests at once; the buffers lie in reverse order in the arena. */
static void
submit_neighbours(struct rig *rig, struct th_queue *queue, uint32_t op, uint64_t offset)
{
    static struct bp_block_request requests[COUNT];
    static struct bp_iovec iov[COUNT];

    for (uint32_t i = 0; i < COUNT; i++) {
        iov[i] = (struct bp_iovec){.base = rig->arena + (size_t)(COUNT - 1 - i) * PIECE,
                                   .length = PIECE};
        requests[i] = (struct bp_block_request){.user = i,
                                                .op = op,
                                                .offset = offset + (uint64_t)i * PIECE,
                                                .length = PIECE,
                                                .iov = &iov[i],
                                                .iov_count = 1};
    }
    assert_int_equal(th_queue_submit(queue, requests, COUNT), COUNT);
    assert_true(th_queue_wait(queue, th_queue_completed(queue) + COUNT, 30000));
}

static void
test_neighbours_arrive_each_in_its_own_buffer(void **state)
{
    static const char *const options[] = {"", "cache = \"none\";", "aio = \"threads\";"};
    uint8_t data[PIECE];

    for (uint32_t way = 0; way < BP_ARRAY_LENGTH(options); way++) {
        struct rig rig;

        rig_open(&rig, MIB, options[way]);
        struct th_queue *queue = th_queue_open(rig.instance, COUNT);
        submit_neighbours(&rig, queue, BP_BLOCK_READ, PIECE);
        for (uint32_t i = 0; i < COUNT; i++) {
            const uint8_t *at = rig.arena + (size_t)(COUNT - 1 - i) * PIECE;

            assert_int_equal(at[0], rig_pattern(PIECE * (i + 1u)));
            assert_int_equal(at[PIECE - 1], rig_pattern(PIECE * (i + 2u) - 1));
            memset(rig.arena + (size_t)(COUNT - 1 - i) * PIECE, (int)(0x80 | i), PIECE);
        }
        submit_neighbours(&rig, queue, BP_BLOCK_WRITE, 0);
        for (uint32_t i = 0; i < COUNT; i++) {
            rig_read_file(rig.path, (uint64_t)i * PIECE, data, PIECE);
            assert_int_equal(data[0], 0x80 | i);
            assert_int_equal(data[PIECE - 1], 0x80 | i);
        }
        th_queue_close(queue);
        rig_close(&rig, 1);
    }
}

/* The file is shorter than the disk it was: the run comes back short and is done again in pieces.
 */
static void
test_a_run_that_comes_back_short_is_completed_piece_by_piece(void **state)
{
    struct rig rig;

    rig_open(&rig, MIB, "");
    struct th_queue *queue = th_queue_open(rig.instance, COUNT);
    assert_int_equal(truncate(rig.path, (COUNT / 2) * PIECE + 512), 0);
    memset(rig.arena, 0xee, (size_t)COUNT * PIECE);
    submit_neighbours(&rig, queue, BP_BLOCK_READ, 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        const uint8_t *at = rig.arena + (size_t)(COUNT - 1 - i) * PIECE;

        assert_int_equal(at[0], i <= COUNT / 2 ? rig_pattern((uint64_t)i * PIECE) : 0);
        assert_int_equal(at[PIECE - 1], i < COUNT / 2 ? rig_pattern((i + 1ull) * PIECE - 1) : 0);
    }
    th_queue_close(queue);
    rig_close(&rig, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_follows_is_merged_and_nothing_else_is),
        cmocka_unit_test(test_a_run_ends_at_its_limits),
        cmocka_unit_test(test_neighbours_arrive_each_in_its_own_buffer),
        cmocka_unit_test(test_a_run_that_comes_back_short_is_completed_piece_by_piece),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
