/* SPDX-License-Identifier: Apache-2.0 */
/* The rig: see test_rig.h. */
#include "test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- the backend -------------------------------------------------------------------------------
 */

static int32_t
rig_info(void *self, struct bp_block_info *info)
{
    struct rig *rig = self;

    *info = rig->info;
    info->capacity = rig->no_medium ? 0 : info->capacity;
    return rig->no_medium ? -ENOMEDIUM : 0;
}

static int32_t
rig_queue_open(void *self, const struct bp_block_queue_args *args, void **queue)
{
    struct rig *rig = self;

    rig->client = args->client;
    rig->client_opaque = args->opaque;
    *queue = rig;
    return 0;
}

static void
rig_queue_close(void *self, void *queue)
{
    struct rig *rig = self;

    assert_int_equal(rig->in_flight, 0);
}

static int32_t
rig_submit(void *self, void *queue, const struct bp_block_request *requests, uint32_t count)
{
    struct rig *rig = self;

    for (uint32_t i = 0; i < count; i++) {
        const struct bp_block_request *request = &requests[i];
        uint64_t sum = 0;

        assert_in_range(request->op, BP_BLOCK_READ, BP_BLOCK_WRITE_ZEROES);
        assert_true(rig->in_flight < RIG_SLOTS);
        if (request->op == BP_BLOCK_READ || request->op == BP_BLOCK_WRITE) {
            assert_in_range(request->iov_count, 1, rig->info.max_iov);
            assert_true(request->length <= rig->info.max_transfer);
            for (uint32_t k = 0; k < request->iov_count; k++) {
                sum += request->iov[k].length;
            }
            assert_int_equal(sum, request->length);
        }
        if (request->op != BP_BLOCK_FLUSH) {
            assert_int_equal(request->offset % rig->info.block_size, 0);
            assert_int_equal(request->length % rig->info.block_size, 0);
            assert_true(request->length > 0);
            assert_true(request->offset + request->length <= rig->info.capacity);
        }
        rig->requests[rig->in_flight++] = *request;
        rig->submitted[request->op]++;
        rig->fua += request->flags & BP_BLOCK_FUA;
        rig->largest = request->length > rig->largest ? request->length : rig->largest;
    }
    return (int32_t)count;
}

/* A medium that is large on paper is not all there. */
static uint64_t
image_bytes(uint64_t bytes)
{
    return bytes < 16u << 20 ? bytes : 16u << 20;
}

static int32_t
carry_out(struct rig *rig, const struct bp_block_request *request)
{
    uint8_t *at = rig->image + request->offset;

    if (rig->fail_count > 0 && rig->fail_op == request->op &&
        (rig->fail_to == 0 ||
         (request->offset < rig->fail_to && request->offset + request->length > rig->fail_from))) {
        rig->fail_count--;
        return rig->fail_status;
    }
    if (request->op != BP_BLOCK_FLUSH &&
        request->offset + request->length > image_bytes(rig->info.capacity)) {
        return 0;
    }
    for (uint32_t i = 0; i < request->iov_count; i++) {
        if (request->op == BP_BLOCK_READ) {
            memcpy(request->iov[i].base, at, request->iov[i].length);
        } else if (request->op == BP_BLOCK_WRITE) {
            memcpy(at, request->iov[i].base, request->iov[i].length);
        }
        at += request->iov[i].length;
    }
    if (request->op == BP_BLOCK_WRITE_ZEROES || request->op == BP_BLOCK_DISCARD) {
        memset(at, 0, request->length);
    }
    return 0;
}

void
rig_run(struct rig *rig)
{
    while (rig->in_flight > 0) {
        struct bp_block_request request = rig->requests[0];
        struct bp_block_completion completion = {.user = request.user};

        rig->in_flight--;
        memmove(rig->requests, rig->requests + 1, rig->in_flight * sizeof(request));
        completion.status = carry_out(rig, &request);
        rig->client->complete(rig->client_opaque, &completion, 1);
    }
}

static void
rig_cancel(void *self, void *queue, uint64_t user)
{
}

static void
rig_drain(void *self, void *queue)
{
    rig_run(self);
}

static const struct bp_block_ops ops = {
    .size = sizeof(ops),
    .info = rig_info,
    .queue_open = rig_queue_open,
    .queue_close = rig_queue_close,
    .submit = rig_submit,
    .cancel = rig_cancel,
    .drain = rig_drain,
};

/* --- the port ----------------------------------------------------------------------------------
 */

static void
rig_wake(void *opaque, struct bp_scsi_task *task)
{
    struct rig *rig = opaque;

    rig->woken++;
    rig->last_woken = task;
}

static uint32_t
rig_failed(void *opaque, struct bp_scsi_task *task, uint32_t op, int32_t status, uint32_t flags)
{
    const struct rig *rig = opaque;

    return rig->policy;
}

static void
rig_settled(void *opaque)
{
    struct rig *rig = opaque;

    rig->settled++;
}

static void
rig_tray(void *opaque)
{
    struct rig *rig = opaque;

    rig->tray_calls++;
}

static void
rig_attention(void *opaque, struct bp_scsi_nexus *nexus, uint16_t code)
{
    struct rig *rig = opaque;

    rig->last_attention = code;
}

static const struct bp_scsi_port port = {
    .wake = rig_wake,
    .failed = rig_failed,
    .settled = rig_settled,
    .tray = rig_tray,
    .attention = rig_attention,
};

/* --- the rest ----------------------------------------------------------------------------------
 */

struct rig *
rig_new(uint32_t type, uint32_t flags, uint64_t blocks, uint32_t kept)
{
    return rig_new_sized(type, flags, blocks, kept, 1u << 20);
}

/* Without checks of each byte: a fuzzer makes many. */
__attribute__((no_sanitize("address"))) static void
fill_image(uint8_t *image, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++) {
        image[i] = (uint8_t)(i ^ i >> 8 ^ i >> 11 * 2);
    }
}

struct rig *
rig_new_sized(uint32_t type, uint32_t flags, uint64_t blocks, uint32_t kept, uint64_t data_bytes)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    uint32_t size = type == BP_SCSI_TYPE_CDROM ? 2048 : 512;
    struct bp_scsi_unit_args args = {
        .identity = {.type = type,
                     .flags = flags,
                     .vendor = "BACKPLN",
                     .product = "TEST UNIT",
                     .revision = "1.0",
                     .serial = "S123",
                     .wwn = 0x5000c500a1b2c3d4u,
                     .port_index = 1},
        .port = &port,
    };

    assert_non_null(rig);
    args.opaque = rig;
    rig->data = malloc(data_bytes);
    rig->data_bytes = data_bytes;
    assert_non_null(rig->data);
    rig->info = (struct bp_block_info){
        .size = sizeof(rig->info),
        .flags = BP_BLOCK_WRITE_CACHE | BP_BLOCK_CAN_DISCARD | BP_BLOCK_CAN_ZERO |
                 BP_BLOCK_CAN_ZERO_DISCARD | BP_BLOCK_CAN_FUA,
        .capacity = blocks * size,
        .block_size = 512,
        .physical_block_size = 4096,
        .max_transfer = 1u << 20,
        .max_iov = 128,
        .discard_granularity = 4096,
        .max_discard = 1u << 30,
        .generation = 1,
    };
    rig->image = malloc(image_bytes(blocks * size));
    assert_non_null(rig->image);
    fill_image(rig->image, image_bytes(blocks * size));
    rig->arena = aligned_alloc(4096, BP_SCSI_ARENA_BYTES);
    args.arena = rig->arena;
    bp_scsi_unit_init(&rig->unit, &args);
    for (uint32_t i = 0; i < RIG_NEXUS; i++) {
        bp_scsi_nexus_init(&rig->nexus[i], &rig->unit, kept);
        rig->nexus[i].initiator = 0x1000 + i;
    }
    assert_int_equal(bp_scsi_unit_attach(&rig->unit, &ops, rig, 0, RIG_SLOTS), 0);
    bp_scsi_unit_reset(&rig->unit, 0);
    return rig;
}

void
rig_free(struct rig *rig)
{
    assert_int_equal(rig->unit.in_flight, 0);
    assert_null(rig->unit.bounce_owner);
    assert_null(rig->unit.held_first);
    bp_scsi_unit_detach(&rig->unit);
    free(rig->image);
    free(rig->data);
    free(rig->arena);
    free(rig);
}

uint32_t
rig_command(struct rig *rig, uint32_t n, const uint8_t *cdb, uint32_t length, uint64_t window)
{
    struct bp_scsi_task *task = &rig->task;
    uint32_t state;

    bp_scsi_task_init(task, &rig->nexus[n], cdb, length);
    task->page = rig->page;
    memset(rig->page, 0xa5, sizeof(rig->page));
    state = bp_scsi_start(task);
    while (state != BP_SCSI_DONE) {
        uint64_t left = task->length - task->moved;
        struct bp_iovec iov[2];

        if (state == BP_SCSI_WAIT) {
            assert_true(rig->in_flight > 0);
            rig_run(rig);
            state = task->state;
            continue;
        }
        left = window != 0 && window < left ? window : left;
        assert_true(task->moved + left <= rig->data_bytes);
        /* two pieces that cut a block */
        iov[0] = (struct bp_iovec){rig->data + task->moved, left / 3};
        iov[1] = (struct bp_iovec){rig->data + task->moved + left / 3, left - left / 3};
        state = bp_scsi_move(task, iov, 2, left);
    }
    return task->status;
}

void
rig_expect(struct rig *rig, uint32_t key, uint32_t code)
{
    assert_int_equal(rig->task.status, BP_SCSI_CHECK_CONDITION);
    assert_int_equal(rig->task.sense[2] & 0x0f, key);
    assert_int_equal(rig->task.sense[12] << 8 | rig->task.sense[13], code);
}

void
rig_medium(struct rig *rig, uint32_t present)
{
    rig->no_medium = !present;
    rig->info.generation += present;
    rig->client->event(rig->client_opaque, BP_BLOCK_EVENT_MEDIA);
}
