/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer: CDBs, parameter lists and their windows, several tasks at once on a CD drive or a
 * disk, with aborts, failing requests, medium changes, holds and states that come back, whole or
 * damaged. */
#include "test_rig.h"

#include <stdlib.h>
#include <string.h>

#define TASKS       4u
#define MAX_STEPS   64u
#define CD_BLOCKS   16u
#define DISK_BLOCKS 64u
#define DATA        65536u

struct slot {
    struct bp_scsi_task task;
    struct bp_iovec iov[2];
    uint8_t page[BP_SCSI_PAGE_BYTES];
};

struct input {
    const uint8_t *data;
    size_t size;
};

struct fuzz {
    struct rig *rig;
    struct input in;
    struct slot slots[TASKS];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t
next(struct input *in)
{
    if (in->size == 0) {
        return 0;
    }
    in->size--;
    return *in->data++;
}

static void
take(struct input *in, uint8_t *to, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        to[i] = next(in);
    }
}

static uint32_t
is_active(const struct slot *slot)
{
    return slot->task.state != BP_SCSI_IDLE && slot->task.state != BP_SCSI_DONE;
}

static void
begin(struct fuzz *fuzz, struct slot *slot, uint32_t nexus)
{
    /* most inputs should reach a command: opcodes that exist, by number */
    static const uint8_t opcodes[] = {
        0x00, 0x03, 0x04, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x17, 0x1a, 0x1b, 0x1d, 0x1e, 0x23,
        0x25, 0x28, 0x2a, 0x2b, 0x2e, 0x2f, 0x34, 0x35, 0x41, 0x42, 0x43, 0x45, 0x46, 0x47,
        0x4a, 0x4b, 0x4d, 0x4e, 0x51, 0x52, 0x55, 0x56, 0x57, 0x5a, 0x5e, 0x5f, 0x88, 0x89,
        0x8a, 0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa5, 0xa6, 0xa8, 0xaa,
        0xac, 0xad, 0xae, 0xaf, 0xb6, 0xb9, 0xba, 0xbb, 0xbd, 0xbe};
    uint8_t cdb[16];
    uint8_t choice = next(&fuzz->in);

    take(&fuzz->in, cdb, sizeof(cdb));
    if (choice < sizeof(opcodes)) {
        cdb[0] = opcodes[choice];
    }
    bp_scsi_task_init(&slot->task, &fuzz->rig->nexus[nexus % RIG_NEXUS], cdb,
                      choice == 255 ? 1 + cdb[15] % 16 : 16);
    slot->task.page = slot->page;
    (void)!bp_scsi_start(&slot->task);
}

static void
give(struct fuzz *fuzz, struct slot *slot)
{
    struct bp_scsi_task *task = &slot->task;
    uint64_t left = task->length - task->moved;
    uint64_t bytes = ((uint64_t)next(&fuzz->in) << 8 | next(&fuzz->in)) + 1;
    uint64_t cut;

    if (task->state != BP_SCSI_IN && task->state != BP_SCSI_OUT) {
        return;
    }
    if (bytes >= 0x8000 || bytes > left) {
        bytes = left;
    } else if (bytes > task->grain) {
        bytes -= bytes % task->grain;
    }
    bytes = bytes < DATA ? bytes : DATA;
    cut = bytes / 2 + next(&fuzz->in) % 7;
    cut = cut < bytes ? cut : bytes;
    if (task->state == BP_SCSI_OUT) {
        take(&fuzz->in, fuzz->rig->data, bytes < 64 ? (uint32_t)bytes : 64);
    }
    slot->iov[0] = (struct bp_iovec){fuzz->rig->data, cut};
    slot->iov[1] = (struct bp_iovec){fuzz->rig->data + cut, bytes - cut};
    (void)!bp_scsi_move(task, slot->iov, 2, bytes);
}

/* --- states ------------------------------------------------------------------------------------
 */

struct saved {
    struct bp_state_sink sink;
    uint8_t data[12288];
    uint64_t length;
};

static int32_t
put(const struct bp_state_sink *sink, uint32_t tag, const void *data, uint64_t length)
{
    struct saved *saved = (struct saved *)(uintptr_t)sink;

    if (length > sizeof(saved->data)) {
        abort();
    }
    memcpy(saved->data, data, length);
    saved->length = length;
    return 0;
}

static void
end_task(struct fuzz *fuzz, struct slot *slot)
{
    if (is_active(slot)) {
        (void)!bp_scsi_abort(&slot->task);
        rig_run(fuzz->rig);
        if (is_active(slot)) {
            abort(); /* an abort has to end */
        }
    }
}

static void
save_and_restore(struct fuzz *fuzz, struct slot *slot)
{
    struct bp_scsi_unit *unit = &fuzz->rig->unit;
    struct bp_scsi_nexus *nexus = slot->task.nexus;
    struct saved saved = {.sink = {.size = sizeof(saved.sink), .put = put}};
    uint32_t damage = next(&fuzz->in);

    rig_run(fuzz->rig);
    if (is_active(slot)) {
        if (bp_scsi_task_save(&slot->task, &saved.sink, 1) != 0) {
            abort();
        }
        end_task(fuzz, slot);
        for (uint32_t i = 0; i < damage % 4; i++) {
            uint32_t at = (uint32_t)next(&fuzz->in) << 8 | next(&fuzz->in);

            saved.data[at % saved.length] = next(&fuzz->in);
        }
        bp_scsi_task_init(&slot->task, nexus, saved.data, 1);
        slot->task.page = slot->page;
        (void)!bp_scsi_task_restore(&slot->task, saved.data, saved.length);
        return;
    }
    if (bp_scsi_unit_save(unit, &saved.sink, 1) != 0) {
        abort();
    }
    if (damage & 1) {
        saved.data[((uint32_t)next(&fuzz->in) << 8 | next(&fuzz->in)) % saved.length] =
            next(&fuzz->in);
    }
    (void)!bp_scsi_unit_restore(unit, saved.data, saved.length);
}

static void
change(struct fuzz *fuzz, uint32_t what)
{
    struct rig *rig = fuzz->rig;

    switch (what % 8) {
    case 0:
        rig->fail_op = 1 + next(&fuzz->in) % 5;
        rig->fail_status = -(int32_t)(next(&fuzz->in) % 64 + 1);
        rig->fail_count = next(&fuzz->in) % 4;
        rig->policy = next(&fuzz->in) % 3;
        break;
    case 1:
        rig_run(rig);
        rig_medium(rig, next(&fuzz->in) & 1);
        break;
    case 2:
        (void)!bp_scsi_unit_set_tray(&rig->unit, next(&fuzz->in) & 1, next(&fuzz->in) & 1);
        break;
    case 3:
        bp_scsi_unit_request_eject(&rig->unit);
        bp_scsi_nexus_attention(&rig->nexus[next(&fuzz->in) % RIG_NEXUS], 0x3f0e);
        break;
    case 4:
        bp_scsi_unit_hold(&rig->unit, next(&fuzz->in) & 1);
        break;
    case 5:
        bp_scsi_unit_retry(&rig->unit);
        break;
    case 6:
        rig->unit.max_iov = rig->info.max_iov = 1 + next(&fuzz->in) % 4;
        break;
    default:
        for (uint32_t i = 0; i < TASKS; i++) {
            end_task(fuzz, &fuzz->slots[i]);
        }
        bp_scsi_unit_reset(&rig->unit, next(&fuzz->in) & 1 ? 0x2903 : 0);
        break;
    }
}

static void
step(struct fuzz *fuzz, uint8_t action)
{
    struct slot *slot = &fuzz->slots[action >> 4 & 3];

    switch (action & 7) {
    case 0:
    case 1:
        if (!is_active(slot)) {
            begin(fuzz, slot, action >> 6);
        }
        break;
    case 2:
    case 3:
        give(fuzz, slot);
        break;
    case 4:
        rig_run(fuzz->rig);
        break;
    case 5:
        if (is_active(slot)) {
            (void)!bp_scsi_abort(&slot->task);
        }
        break;
    case 6:
        change(fuzz, action >> 4);
        break;
    default:
        if (slot->task.nexus != NULL) {
            save_and_restore(fuzz, slot);
        }
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz *fuzz = calloc(1, sizeof(*fuzz));
    uint32_t kind;

    fuzz->in = (struct input){data, size};
    kind = next(&fuzz->in);
    fuzz->rig = rig_new_sized(kind & 1 ? BP_SCSI_TYPE_CDROM : BP_SCSI_TYPE_DISK,
                              kind & 2 ? BP_SCSI_LENIENT : 0, kind & 1 ? CD_BLOCKS : DISK_BLOCKS,
                              kind & 4 ? BP_SCSI_KEEP_SENSE : 0, DATA);
    for (uint32_t i = 0; i < MAX_STEPS && fuzz->in.size > 0; i++) {
        step(fuzz, next(&fuzz->in));
    }
    fuzz->rig->policy = BP_SCSI_REPORT;
    for (uint32_t i = 0; i < TASKS; i++) {
        end_task(fuzz, &fuzz->slots[i]);
    }
    rig_run(fuzz->rig);
    rig_free(fuzz->rig);
    free(fuzz);
    return 0;
}
