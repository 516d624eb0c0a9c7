/* SPDX-License-Identifier: Apache-2.0 */
/* Thousands of random operations, many in flight, against a model of the disk in memory: with both
 * engines, every cache mode, buffers at any address, and blocks of 512 and of 4096 bytes. */
#include "test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPERATIONS      10000u
#define SYNC_OPERATIONS 2500u /* where each write waits for the disk, four runs in all */
#define FILE_BYTES      ((2u << 20) - 300)
#define CAPACITY        (2u << 20)
#define SECTORS         (CAPACITY / 512)
#define SLOTS           48u
#define SLOT_BYTES      (144u << 10) /* of the arena */
#define MAX_BYTES       (64u << 10)
#define MAX_PIECES      8u

struct slot {
    struct bp_block_request request;
    struct bp_iovec iov[MAX_PIECES];
    uint8_t *memory;
    uint32_t busy;
};

struct model {
    struct rig rig;
    struct slot slots[SLOTS];
    uint8_t shadow[CAPACITY];
    uint8_t taken[SECTORS]; /* a request in flight covers it */
    uint32_t seen;          /* completions looked at */
    uint32_t in_flight;
    uint32_t started;
};

static uint32_t
roll(uint32_t sides)
{
    return (uint32_t)random() % sides;
}

/* Random pieces with gaps between them; odd addresses in one request of two. */
static void
scatter(struct slot *slot, uint64_t length)
{
    uint32_t pieces = 1 + roll(MAX_PIECES), i, odd = roll(2);
    uint8_t *place = slot->memory;

    for (i = 0; i < pieces; i++) {
        uint64_t piece = i + 1 == pieces ? length : (uint64_t)roll((uint32_t)length + 1);

        if (!odd) {
            piece = i + 1 == pieces ? length : piece / 512 * 512;
        }
        place += odd ? roll(600) : 512 * roll(3);
        slot->iov[i].base = place;
        slot->iov[i].length = piece;
        place += piece;
        length -= piece;
    }
    slot->request.iov = slot->iov;
    slot->request.iov_count = pieces;
}

static void
copy_model(struct model *model, struct slot *slot, int into_buffers)
{
    uint64_t position = slot->request.offset;
    uint32_t i;

    for (i = 0; i < slot->request.iov_count; i++) {
        const struct bp_iovec *piece = &slot->iov[i];

        if (into_buffers) {
            memcpy(piece->base, model->shadow + position, piece->length);
        } else {
            assert_memory_equal(piece->base, model->shadow + position, piece->length);
        }
        position += piece->length;
    }
}

static uint32_t
claim(struct model *model, uint64_t offset, uint64_t length, uint8_t value)
{
    uint64_t i;

    for (i = offset / 512; value != 0 && i < (offset + length) / 512; i++) {
        if (model->taken[i]) {
            return 0;
        }
    }
    memset(model->taken + offset / 512, value, length / 512);
    return 1;
}

/* A random request that touches nothing in flight. Returns 0 if none was found. */
static uint32_t
make_request(struct model *model, struct slot *slot)
{
    static const uint32_t operations[] = {
        BP_BLOCK_READ,  BP_BLOCK_READ,  BP_BLOCK_READ,  BP_BLOCK_READ,         BP_BLOCK_WRITE,
        BP_BLOCK_WRITE, BP_BLOCK_WRITE, BP_BLOCK_WRITE, BP_BLOCK_WRITE_ZEROES, BP_BLOCK_DISCARD};
    struct bp_block_request *request = &slot->request;
    uint64_t length = 512 * (uint64_t)(1 + (roll(4) != 0 ? roll(16) : roll(MAX_BYTES / 512)));
    uint64_t offset = 512 * (uint64_t)roll((uint32_t)(SECTORS - length / 512 + 1));

    memset(request, 0, sizeof(*request));
    request->op = roll(100) == 0 ? BP_BLOCK_FLUSH : operations[roll(10)];
    if (request->op == BP_BLOCK_FLUSH) {
        return 1;
    }
    if (!claim(model, offset, length, 1)) {
        return 0;
    }
    request->offset = offset;
    request->length = length;
    if (request->op == BP_BLOCK_READ || request->op == BP_BLOCK_WRITE) {
        scatter(slot, length);
    }
    if (request->op == BP_BLOCK_WRITE) {
        uint64_t i, zeroes = roll(8) == 0;

        for (i = offset; i < offset + length; i++) {
            model->shadow[i] = zeroes ? 0 : (uint8_t)random();
        }
        request->flags = roll(8) == 0 ? BP_BLOCK_FUA : 0;
        copy_model(model, slot, 1);
    } else if (request->op != BP_BLOCK_READ) {
        request->flags = request->op == BP_BLOCK_WRITE_ZEROES ? roll(4) : 0;
        memset(model->shadow + offset, 0, length);
    }
    return 1;
}

static void
look_at_completions(struct model *model)
{
    uint32_t count = th_queue_completed(model->rig.queue);

    for (; model->seen < count; model->seen++) {
        const struct bp_block_completion *completion =
            th_queue_completion(model->rig.queue, model->seen);
        struct slot *slot = &model->slots[completion->user];

        assert_true(completion->user < SLOTS && slot->busy);
        if (completion->status != 0) {
            fail_msg("operation %u of %llu bytes at %llu: %d", slot->request.op,
                     (unsigned long long)slot->request.length,
                     (unsigned long long)slot->request.offset, completion->status);
        }
        if (slot->request.op == BP_BLOCK_READ) {
            copy_model(model, slot, 0);
        }
        claim(model, slot->request.offset, slot->request.length, 0);
        slot->busy = 0;
        model->in_flight--;
    }
}

static void
submit_some(struct model *model)
{
    struct bp_block_request batch[SLOTS];
    uint32_t i, count = 0, wanted = 1 + roll(SLOTS / 2);

    for (i = 0; i < SLOTS && count < wanted; i++) {
        struct slot *slot = &model->slots[i];

        if (!slot->busy && make_request(model, slot)) {
            slot->request.user = i;
            slot->busy = 1;
            batch[count++] = slot->request;
        }
    }
    if (count > 0) {
        assert_int_equal(th_queue_submit(model->rig.queue, batch, count), count);
        model->in_flight += count;
        model->started += count;
    }
}

static void
run_model(const char *options, uint32_t large_blocks, uint32_t operations)
{
    struct model *model = calloc(1, sizeof(*model));
    uint8_t *data = malloc(CAPACITY);
    uint32_t i;

    assert_non_null(model);
    srandom(operations + large_blocks);
    rig_open(&model->rig, FILE_BYTES, options);
    if (large_blocks) {
        rig_image(&model->rig)->offset_align = 4096;
    }
    for (i = 0; i < FILE_BYTES; i++) {
        model->shadow[i] = rig_pattern(i);
    }
    for (i = 0; i < SLOTS; i++) {
        model->slots[i].memory = model->rig.arena + (uint64_t)i * SLOT_BYTES;
    }
    while (model->started < operations) {
        submit_some(model);
        assert_true(
            th_queue_wait(model->rig.queue, model->seen + 1 + roll(model->in_flight), 60000));
        look_at_completions(model);
    }
    assert_true(th_queue_wait(model->rig.queue, model->seen + model->in_flight, 60000));
    look_at_completions(model);
    assert_int_equal(rig_read(&model->rig, 0, data, CAPACITY), 0);
    assert_memory_equal(data, model->shadow, CAPACITY);
    rig_close(&model->rig, 0);
    assert_true(rig_file_size(model->rig.path) <= CAPACITY);
    memset(data, 0, CAPACITY);
    rig_read_file(model->rig.path, 0, data, rig_file_size(model->rig.path));
    assert_memory_equal(data, model->shadow, CAPACITY);
    (void)remove(model->rig.path);
    free(data);
    free(model);
}

static const char *const engines[] = {"io_uring", "threads"};

static void
run_cache_mode(const char *cache, const char *more, uint32_t direct, uint32_t operations)
{
    uint32_t engine, large;

    for (engine = 0; engine < 2; engine++) {
        for (large = 0; large <= direct; large++) {
            char options[256];

            /* "auto": so that it runs where io_uring is refused, too. */
            (void)snprintf(options, sizeof(options), "cache = \"%s\"; aio = \"%s\"; %s", cache,
                           engine == 0 ? "auto" : engines[engine], more);
            run_model(options, large, operations + engine);
        }
    }
}

static void
test_writeback_agrees_with_the_model(void **state)
{
    run_cache_mode("writeback", "", 0, OPERATIONS);
}

static void
test_unsafe_agrees_with_the_model(void **state)
{
    run_cache_mode("unsafe", "", 0, OPERATIONS);
}

static void
test_detected_zeroes_agree_with_the_model(void **state)
{
    run_cache_mode("writeback", "detect_zeroes = \"unmap\";", 0, OPERATIONS);
    run_cache_mode("none", "detect_zeroes = \"on\";", 1, OPERATIONS);
}

static void
test_writethrough_agrees_with_the_model(void **state)
{
    run_cache_mode("writethrough", "", 0, SYNC_OPERATIONS);
}

static void
test_none_agrees_with_the_model(void **state)
{
    run_cache_mode("none", "", 1, OPERATIONS);
}

static void
test_directsync_agrees_with_the_model(void **state)
{
    run_cache_mode("directsync", "", 1, SYNC_OPERATIONS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writeback_agrees_with_the_model),
        cmocka_unit_test(test_unsafe_agrees_with_the_model),
        cmocka_unit_test(test_detected_zeroes_agree_with_the_model),
        cmocka_unit_test(test_writethrough_agrees_with_the_model),
        cmocka_unit_test(test_none_agrees_with_the_model),
        cmocka_unit_test(test_directsync_agrees_with_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
