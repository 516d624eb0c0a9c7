/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-scsi by its registers and rings, over real disks: addresses, commands, task management,
 * events, units that come and go, saved state. */
#include "vscsi.h"

#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const struct bp_plugin scsi_disk_plugin_v1;

#define DISK_BYTES (1u << 20)
#define SIZE       64u
#define QUEUES     4u

#define RING(n)      (0x100000u + (n)*0x4000u)
#define AVAIL        0x1000u
#define USED         0x2000u
#define SLOT_GPA(n)  (0x200000u + (n)*0x1000u)
#define ANSWER(n)    (SLOT_GPA(n) + 0x800u)
#define DATA_GPA(n)  (0x400000u + (n)*0x10000u)
#define COMMON(at)   (0x0000u + (at))
#define CONFIG(at)   (0x2000u + (at))
#define NOTIFY(n)    (0x3000u + 4u * (n))
#define ALL_FEATURES (BP_VIRTIO_F_VERSION_1 | VSCSI_F_INOUT | VSCSI_F_HOTPLUG | VSCSI_F_CHANGE)

struct rig {
    struct th_host *th;
    struct th_block *blocks[3];
    struct bp_instance *dev;
    uint32_t next; /* slot of the next request */
    uint16_t avail[QUEUES], used[QUEUES], desc[QUEUES];
    uint32_t cdb_size, sense_size;
};

/* --- a driver ----------------------------------------------------------------------------------
 */

static uint64_t
get(struct rig *rig, uint32_t at, uint32_t width)
{
    return th_bar_read(rig->dev, 1, at, width);
}

static void
put(struct rig *rig, uint32_t at, uint32_t width, uint64_t value)
{
    th_bar_write(rig->dev, 1, at, width, value);
}

static void
set_up_queue(struct rig *rig, uint32_t queue)
{
    memset(th_ram(rig->th, RING(queue), 0x4000), 0, 0x4000);
    rig->avail[queue] = rig->used[queue] = rig->desc[queue] = 0;
    put(rig, COMMON(0x16), 2, queue);
    put(rig, COMMON(0x18), 2, SIZE);
    put(rig, COMMON(0x20), 4, RING(queue));
    put(rig, COMMON(0x28), 4, RING(queue) + AVAIL);
    put(rig, COMMON(0x30), 4, RING(queue) + USED);
    put(rig, COMMON(0x1c), 2, 1);
}

static void
bring_up(struct rig *rig, uint64_t features)
{
    put(rig, COMMON(0x14), 1, 0);
    th_run(rig->th);
    put(rig, COMMON(0x14), 1, 3);
    put(rig, COMMON(8), 4, 0);
    put(rig, COMMON(12), 4, (uint32_t)features);
    put(rig, COMMON(8), 4, 1);
    put(rig, COMMON(12), 4, (uint32_t)(features >> 32));
    put(rig, COMMON(0x14), 1, 11);
    assert_int_equal(get(rig, COMMON(0x14), 1), 11);
    for (uint32_t i = 0; i < QUEUES; i++) {
        set_up_queue(rig, i);
    }
    put(rig, COMMON(0x14), 1, 15);
    th_run(rig->th);
    rig->cdb_size = 32;
    rig->sense_size = 96;
}

/* Disks at 0.0, 0.300 and 3.5, two request queues. */
static void
plug(struct rig *rig)
{
    static const char *const names[] = {"a", "b", "c"};

    memset(rig, 0, sizeof(*rig));
    rig->th = th_new();
    th_set_loops(rig->th, 2);
    for (uint32_t i = 0; i < 3; i++) {
        char id[] = "d0", options[] = "backend = \"a\";";

        rig->blocks[i] = th_block_new(rig->th, names[i], DISK_BYTES);
        memset(th_block_data(rig->blocks[i]), (int)(0x11 * (i + 1)), DISK_BYTES);
        id[1] = (char)('0' + i);
        options[11] = names[i][0];
        assert_non_null(th_plug(rig->th, &scsi_disk_plugin_v1, id, options));
    }
    rig->dev = th_plug(rig->th, &backplane_plugin_v1, "scsi0",
                       "queues = 2; cmd_per_lun = 4; queue_loops = (0, 1);"
                       "luns = ({target = 3; lun = 5; backend = \"d2\";}, {backend = \"d0\";},"
                       "        {lun = 300; backend = \"d1\";}, {target = 7;});");
    if (rig->dev == NULL) {
        fail_msg("cannot plug: %s", th_error_text(rig->th));
    }
    th_pci_place(rig->dev);
    bring_up(rig, ALL_FEATURES);
}

struct piece {
    uint64_t gpa;
    uint32_t length;
    uint32_t write;
};

static void
offer(struct rig *rig, uint32_t queue, const struct piece *pieces, uint32_t count)
{
    uint16_t head = rig->desc[queue];

    for (uint32_t i = 0; i < count; i++) {
        uint16_t at = rig->desc[queue];
        uint64_t gpa = RING(queue) + 16u * at;

        rig->desc[queue] = (uint16_t)((at + 1) % SIZE);
        th_write(rig->th, gpa, 8, pieces[i].gpa);
        th_write(rig->th, gpa + 8, 4, pieces[i].length);
        th_write(rig->th, gpa + 12, 2, pieces[i].write * 2 + (i + 1 < count));
        th_write(rig->th, gpa + 14, 2, rig->desc[queue]);
    }
    th_write(rig->th, RING(queue) + AVAIL + 4 + 2u * (rig->avail[queue]++ % SIZE), 2, head);
    th_write(rig->th, RING(queue) + AVAIL + 2, 2, rig->avail[queue]);
}

/* How many have been used since the last call. */
static uint32_t
used(struct rig *rig, uint32_t queue)
{
    uint16_t index = (uint16_t)th_read(rig->th, RING(queue) + USED + 2, 2);
    uint32_t count = (uint16_t)(index - rig->used[queue]);

    rig->used[queue] = index;
    return count;
}

static void
put_lun(struct rig *rig, uint64_t gpa, uint32_t target, uint32_t lun)
{
    const uint8_t field[8] = {1, (uint8_t)target, (uint8_t)(0x40 | lun >> 8), (uint8_t)lun};

    memcpy(th_ram(rig->th, gpa, 8), field, 8);
}

/* Offers a command with data in or out; its tag is 100 + its slot. Returns the slot. */
static uint32_t
send(struct rig *rig, uint32_t queue, uint32_t target, uint32_t lun, const uint8_t *cdb,
     uint32_t out, uint32_t in)
{
    uint32_t slot = rig->next++;
    uint64_t gpa = SLOT_GPA(slot);
    struct piece pieces[4] = {{gpa, 19 + rig->cdb_size, 0}};
    uint32_t count = 1;

    memset(th_ram(rig->th, gpa, 0x1000), 0, 0x800);
    memset(th_ram(rig->th, ANSWER(slot), 0x800), 0xee, 0x800);
    put_lun(rig, gpa, target, lun);
    th_write(rig->th, gpa + 8, 8, 100 + slot);
    memcpy(th_ram(rig->th, gpa + 19, 16), cdb, 16);
    if (out != 0) {
        pieces[count++] = (struct piece){DATA_GPA(slot), out, 0};
    }
    pieces[count++] = (struct piece){ANSWER(slot), 12 + rig->sense_size, 1};
    if (in != 0) {
        pieces[count++] = (struct piece){DATA_GPA(slot), in, 1};
    }
    offer(rig, queue, pieces, count);
    return slot;
}

static void
notify(struct rig *rig, uint32_t queue)
{
    put(rig, NOTIFY(queue), 2, queue);
    th_run(rig->th);
}

static uint32_t
response(struct rig *rig, uint32_t slot)
{
    return (uint32_t)th_read(rig->th, ANSWER(slot) + 11, 1);
}

static uint32_t
status(struct rig *rig, uint32_t slot)
{
    return (uint32_t)th_read(rig->th, ANSWER(slot) + 10, 1);
}

/* Key, ASC and ASCQ. */
static uint32_t
sense(struct rig *rig, uint32_t slot)
{
    const uint8_t *data = th_ram(rig->th, ANSWER(slot) + 12, 18);

    return (data[2] & 15u) << 16 | (uint32_t)data[12] << 8 | data[13];
}

static uint32_t
residual(struct rig *rig, uint32_t slot)
{
    return (uint32_t)th_read(rig->th, ANSWER(slot) + 4, 4);
}

/* A whole command. */
static uint32_t
command(struct rig *rig, uint32_t target, uint32_t lun, const uint8_t *cdb, uint32_t out,
        uint32_t in)
{
    uint32_t slot = send(rig, 2, target, lun, cdb, out, in);

    notify(rig, 2);
    assert_int_equal(used(rig, 2), 1);
    return slot;
}

static const uint8_t test_ready[16] = {0};
static const uint8_t read_one[16] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1};
static const uint8_t write_one[16] = {0x2a, 0, 0, 0, 0, 0, 0, 0, 1};
static const uint8_t inquiry[16] = {0x12, 0, 0, 0, 36};
static const uint8_t report_luns[16] = {0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64};

/* The attention after power-on goes to a command of its own. */
static void
attend(struct rig *rig, uint32_t target, uint32_t lun)
{
    uint32_t slot = command(rig, target, lun, test_ready, 0, 0);

    assert_int_equal(status(rig, slot), BP_SCSI_CHECK_CONDITION);
    assert_int_equal(sense(rig, slot), 0x062901);
}

static void
start(struct rig *rig)
{
    plug(rig);
    attend(rig, 0, 0);
    attend(rig, 0, 300);
    attend(rig, 3, 5);
}

/* Offers a function for tag; its response byte is at ANSWER(slot). */
static uint32_t
offer_tmf(struct rig *rig, uint32_t subtype, uint32_t target, uint32_t lun, uint64_t tag)
{
    uint32_t slot = rig->next++;
    const struct piece pieces[2] = {{SLOT_GPA(slot), 24, 0}, {ANSWER(slot), 1, 1}};

    th_write(rig->th, SLOT_GPA(slot), 4, 0);
    th_write(rig->th, SLOT_GPA(slot) + 4, 4, subtype);
    put_lun(rig, SLOT_GPA(slot) + 8, target, lun);
    th_write(rig->th, SLOT_GPA(slot) + 16, 8, tag);
    th_write(rig->th, ANSWER(slot), 1, 0xee);
    offer(rig, 0, pieces, 2);
    notify(rig, 0);
    return slot;
}

static uint32_t
tmf(struct rig *rig, uint32_t subtype, uint32_t target, uint32_t lun, uint64_t tag)
{
    uint32_t slot = offer_tmf(rig, subtype, target, lun, tag);

    assert_int_equal(used(rig, 0), 1);
    return (uint32_t)th_read(rig->th, ANSWER(slot), 1);
}

/* --- configuration and addresses -----------------------------------------------------------------
 */

static void
test_configuration_space_tells_the_limits(void **state)
{
    struct rig rig;

    plug(&rig);
    assert_int_equal(th_pci_read(rig.dev, 0, 4), 0x10041af4);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_NUM_QUEUES), 4), 2);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_SEG_MAX), 4), 126);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_CMD_PER_LUN), 4), 4);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_EVENT_SIZE), 4), 16);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_MAX_TARGET), 2), 255);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_MAX_LUN), 4), 16383);
    put(&rig, CONFIG(VSCSI_CFG_MAX_LUN), 4, 5);
    put(&rig, CONFIG(VSCSI_CFG_CDB_SIZE), 4, 0);
    put(&rig, CONFIG(VSCSI_CFG_SENSE_SIZE), 4, 253);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_MAX_LUN), 4), 16383);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_CDB_SIZE), 4), 32);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_SENSE_SIZE), 4), 96);
    th_free(rig.th);
}

static void
test_sense_and_cdb_size_are_the_drivers_until_it_resets(void **state)
{
    struct rig rig;
    uint32_t slot;

    plug(&rig);
    put(&rig, CONFIG(VSCSI_CFG_CDB_SIZE), 4, 40);
    put(&rig, CONFIG(VSCSI_CFG_SENSE_SIZE), 4, 4);
    rig.cdb_size = 40;
    rig.sense_size = 4;
    slot = command(&rig, 0, 0, test_ready, 0, 0);
    assert_int_equal(status(&rig, slot), BP_SCSI_CHECK_CONDITION);
    assert_int_equal(th_read(rig.th, ANSWER(slot), 4), 4);
    assert_int_equal(th_read(rig.th, ANSWER(slot) + 12, 1) & 0x7f, 0x70);
    assert_int_equal(th_read(rig.th, ANSWER(slot) + 16, 1), 0xee);
    bring_up(&rig, ALL_FEATURES);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_CDB_SIZE), 4), 32);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_SENSE_SIZE), 4), 96);
    th_free(rig.th);
}

static void
test_each_unit_is_reached_by_target_and_lun(void **state)
{
    static const uint32_t places[][2] = {{0, 0}, {0, 300}, {3, 5}};
    struct rig rig;

    start(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t slot = command(&rig, places[i][0], places[i][1], read_one, 0, 512);
        assert_int_equal(response(&rig, slot), VSCSI_S_OK);
        assert_int_equal(status(&rig, slot), BP_SCSI_GOOD);
        assert_int_equal(residual(&rig, slot), 0);
        assert_memory_equal(th_ram(rig.th, DATA_GPA(slot), 512), th_block_data(rig.blocks[i]), 512);
    }
    th_free(rig.th);
}

static void
test_targets_and_luns_that_are_absent_say_so(void **state)
{
    struct rig rig;
    uint32_t slot;

    start(&rig);
    slot = command(&rig, 1, 0, inquiry, 0, 36);
    assert_int_equal(response(&rig, slot), VSCSI_S_BAD_TARGET);
    slot = command(&rig, 7, 0, inquiry, 0, 36); /* its place is empty */
    assert_int_equal(response(&rig, slot), VSCSI_S_BAD_TARGET);
    slot = command(&rig, 3, 0, inquiry, 0, 36);
    assert_int_equal(response(&rig, slot), VSCSI_S_OK);
    assert_int_equal(th_read(rig.th, DATA_GPA(slot), 1), 0x7f);
    slot = command(&rig, 3, 0, test_ready, 0, 0);
    assert_int_equal(sense(&rig, slot), 0x052500);
    th_free(rig.th);
}

static void
test_report_luns_lists_what_is_there(void **state)
{
    static const uint8_t both[24] = {0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 0x2c};
    static const uint8_t five[16] = {0, 0, 0, 8, 0, 0, 0, 0, 0, 5};
    static const uint8_t short_list[16] = {0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15};
    struct rig rig;
    uint32_t slot;

    plug(&rig);
    slot = command(&rig, 0, 0, report_luns, 0, 64);
    assert_int_equal(status(&rig, slot), BP_SCSI_GOOD);
    assert_int_equal(residual(&rig, slot), 40);
    assert_memory_equal(th_ram(rig.th, DATA_GPA(slot), 24), both, 24);
    slot = command(&rig, 3, 0, report_luns, 0, 64);
    assert_memory_equal(th_ram(rig.th, DATA_GPA(slot), 16), five, 16);
    slot = command(&rig, 3, 0, report_luns, 0, 63);
    assert_int_equal(response(&rig, slot), VSCSI_S_OVERRUN);
    slot = command(&rig, 0, 0, short_list, 0, 64);
    assert_int_equal(sense(&rig, slot), 0x052400);
    th_free(rig.th);
}

/* --- commands ----------------------------------------------------------------------------------
 */

static void
test_buffers_too_small_overrun_and_too_large_leave_a_residual(void **state)
{
    struct rig rig;
    uint32_t slot;

    start(&rig);
    slot = command(&rig, 0, 0, read_one, 0, 511);
    assert_int_equal(response(&rig, slot), VSCSI_S_OVERRUN);
    slot = command(&rig, 0, 0, read_one, 0, 1000);
    assert_int_equal(response(&rig, slot), VSCSI_S_OK);
    assert_int_equal(residual(&rig, slot), 488);
    memset(th_ram(rig.th, DATA_GPA(rig.next), 512), 0x5a, 512);
    slot = command(&rig, 3, 5, write_one, 600, 0);
    assert_int_equal(status(&rig, slot), BP_SCSI_GOOD);
    assert_int_equal(residual(&rig, slot), 88);
    assert_int_equal(th_block_data(rig.blocks[2])[511], 0x5a);
    assert_int_equal(th_block_data(rig.blocks[2])[512], 0x33);
    th_free(rig.th);
}

static void
test_more_commands_than_a_unit_takes_end_with_task_set_full(void **state)
{
    struct rig rig;
    uint32_t slot[16];
    uint32_t full = 0;

    start(&rig);
    th_block_hold(rig.blocks[0], 1);
    for (uint32_t i = 0; i < 16; i++) {
        slot[i] = send(&rig, 2, 0, 0, read_one, 0, 512);
    }
    notify(&rig, 2);
    th_block_hold(rig.blocks[0], 0);
    th_run(rig.th);
    assert_int_equal(used(&rig, 2), 16);
    for (uint32_t i = 0; i < 16; i++) {
        assert_int_equal(response(&rig, slot[i]), VSCSI_S_OK);
        full += status(&rig, slot[i]) == BP_SCSI_TASK_SET_FULL;
    }
    assert_int_equal(full, 12);
    th_free(rig.th);
}

static void
test_a_chain_too_short_breaks_the_device(void **state)
{
    struct rig rig;
    const struct piece pieces[2] = {{SLOT_GPA(0), 50, 0}, {ANSWER(0), 108, 1}};

    start(&rig);
    offer(&rig, 2, pieces, 2);
    notify(&rig, 2);
    assert_true(get(&rig, COMMON(0x14), 1) & BP_VIRTIO_NEEDS_RESET);
    th_free(rig.th);
}

/* --- task management ---------------------------------------------------------------------------
 */

static void
test_an_aborted_command_ends_before_its_function(void **state)
{
    struct rig rig;
    uint32_t slot, function;

    start(&rig);
    th_block_hold(rig.blocks[0], 1);
    slot = send(&rig, 3, 0, 0, read_one, 0, 512); /* offered, but not notified */
    function = offer_tmf(&rig, 0, 0, 0, 100 + slot);
    th_block_hold(rig.blocks[0], 0);
    th_run(rig.th);
    assert_int_equal(used(&rig, 3), 1);
    assert_int_equal(response(&rig, slot), VSCSI_S_ABORTED);
    assert_int_equal(used(&rig, 0), 1);
    assert_int_equal(th_read(rig.th, ANSWER(function), 1), VSCSI_S_OK);
    th_free(rig.th);
}

static void
test_a_unit_reset_ends_commands_with_reset(void **state)
{
    struct rig rig;
    uint32_t slot, other;

    start(&rig);
    th_block_hold(rig.blocks[0], 1);
    th_block_hold(rig.blocks[1], 1);
    slot = send(&rig, 2, 0, 0, read_one, 0, 512);
    other = send(&rig, 2, 0, 300, read_one, 0, 512);
    notify(&rig, 2);
    (void)offer_tmf(&rig, 5, 0, 0, 0);
    th_block_hold(rig.blocks[0], 0);
    th_run(rig.th);
    assert_int_equal(used(&rig, 0), 1);
    assert_int_equal(used(&rig, 2), 1);
    assert_int_equal(response(&rig, slot), VSCSI_S_RESET);
    th_block_hold(rig.blocks[1], 0);
    th_run(rig.th);
    assert_int_equal(response(&rig, other), VSCSI_S_OK);
    assert_int_equal(used(&rig, 2), 1);
    slot = command(&rig, 0, 0, test_ready, 0, 0);
    assert_int_equal(sense(&rig, slot), 0x062903);
    th_free(rig.th);
}

static void
test_functions_answer_for_what_they_find(void **state)
{
    struct rig rig;
    uint32_t slot;

    start(&rig);
    assert_int_equal(tmf(&rig, 6, 0, 0, 99), VSCSI_S_OK);
    th_block_hold(rig.blocks[0], 1);
    slot = send(&rig, 2, 0, 0, read_one, 0, 512);
    assert_int_equal(tmf(&rig, 6, 0, 0, 100 + slot), VSCSI_S_SUCCEEDED);
    assert_int_equal(tmf(&rig, 7, 0, 0, 0), VSCSI_S_SUCCEEDED);
    assert_int_equal(tmf(&rig, 7, 3, 5, 0), VSCSI_S_OK);
    assert_int_equal(tmf(&rig, 2, 0, 0, 0), VSCSI_S_REJECTED);
    assert_int_equal(tmf(&rig, 8, 0, 0, 0), VSCSI_S_REJECTED);
    assert_int_equal(tmf(&rig, 5, 9, 0, 0), VSCSI_S_BAD_TARGET);
    assert_int_equal(tmf(&rig, 5, 3, 0, 0), VSCSI_S_INCORRECT_LUN);
    assert_int_equal(tmf(&rig, 4, 3, 0, 0), VSCSI_S_OK);
    th_block_hold(rig.blocks[0], 0);
    th_run(rig.th);
    assert_int_equal(used(&rig, 2), 1);
    assert_int_equal(response(&rig, slot), VSCSI_S_OK);
    slot = command(&rig, 3, 5, test_ready, 0, 0);
    assert_int_equal(sense(&rig, slot), 0x062907);
    th_free(rig.th);
}

static void
test_a_reset_of_the_device_waits_for_commands(void **state)
{
    struct rig rig;
    uint32_t slot;

    start(&rig);
    th_block_hold(rig.blocks[0], 1);
    slot = send(&rig, 2, 0, 0, read_one, 0, 512);
    notify(&rig, 2);
    put(&rig, COMMON(0x14), 1, 0);
    assert_int_not_equal(get(&rig, COMMON(0x14), 1), 0);
    th_block_hold(rig.blocks[0], 0);
    th_run(rig.th);
    assert_int_equal(get(&rig, COMMON(0x14), 1), 0);
    assert_int_equal(response(&rig, slot), 0xee);
    bring_up(&rig, ALL_FEATURES);
    slot = command(&rig, 0, 0, read_one, 0, 512);
    assert_int_equal(status(&rig, slot), BP_SCSI_GOOD);
    th_free(rig.th);
}

/* --- events ------------------------------------------------------------------------------------
 */

static uint32_t
offer_event(struct rig *rig)
{
    uint32_t slot = rig->next++;
    const struct piece piece = {ANSWER(slot), 16, 1};

    memset(th_ram(rig->th, ANSWER(slot), 16), 0xee, 16);
    offer(rig, 1, &piece, 1);
    notify(rig, 1);
    return slot;
}

static void
test_units_that_come_and_go_are_told(void **state)
{
    static const uint8_t gone[16] = {1, 0, 0, 0, 1, 0, 0x41, 0x2c, 0, 0, 0, 0, 2, 0, 0, 0};
    static const uint8_t back[16] = {1, 0, 0, 0, 1, 0, 0x41, 0x2c, 0, 0, 0, 0, 1, 0, 0, 0};
    struct rig rig;
    uint32_t first, second, slot;

    start(&rig);
    first = offer_event(&rig);
    second = offer_event(&rig);
    th_detach(rig.dev, 0, 2);
    th_run(rig.th);
    assert_int_equal(used(&rig, 1), 1);
    assert_memory_equal(th_ram(rig.th, ANSWER(first), 16), gone, 16);
    slot = command(&rig, 0, 300, test_ready, 0, 0);
    assert_int_equal(sense(&rig, slot), 0x052500);
    slot = command(&rig, 0, 0, test_ready, 0, 0);
    assert_int_equal(sense(&rig, slot), 0x063f0e);
    slot = command(&rig, 0, 0, test_ready, 0, 0);
    assert_int_equal(status(&rig, slot), BP_SCSI_GOOD);
    assert_int_equal(th_attach(rig.dev, 0, 2, "d1"), 0);
    th_run(rig.th);
    assert_int_equal(used(&rig, 1), 1);
    assert_memory_equal(th_ram(rig.th, ANSWER(second), 16), back, 16);
    th_free(rig.th);
}

static void
test_events_without_a_buffer_are_told_as_missed(void **state)
{
    struct rig rig;
    uint32_t slot;

    start(&rig);
    th_detach(rig.dev, 0, 0);
    th_run(rig.th);
    assert_int_equal(used(&rig, 1), 0);
    slot = offer_event(&rig);
    assert_int_equal(used(&rig, 1), 1);
    assert_int_equal(th_read(rig.th, ANSWER(slot), 4), VSCSI_T_EVENTS_MISSED);
    (void)offer_event(&rig);
    assert_int_equal(used(&rig, 1), 0);
    th_free(rig.th);
}

static void
test_a_resized_disk_is_a_change_of_parameters(void **state)
{
    static const uint8_t resized[16] = {3, 0, 0, 0, 1, 3, 0, 5, 0, 0, 0, 0, 0x2a, 9, 0, 0};
    struct rig rig;
    uint32_t slot;

    start(&rig);
    slot = offer_event(&rig);
    th_block_info(rig.blocks[2])->capacity = DISK_BYTES / 2;
    th_block_send_event(rig.blocks[2], BP_BLOCK_EVENT_RESIZED);
    th_run(rig.th);
    assert_int_equal(used(&rig, 1), 1);
    assert_memory_equal(th_ram(rig.th, ANSWER(slot), 16), resized, 16);
    th_free(rig.th);
}

static void
test_features_decide_what_is_told(void **state)
{
    struct rig rig;

    start(&rig);
    bring_up(&rig, BP_VIRTIO_F_VERSION_1);
    (void)offer_event(&rig);
    th_detach(rig.dev, 0, 0);
    th_run(rig.th);
    assert_int_equal(used(&rig, 1), 0);
    th_free(rig.th);
}

/* --- state, options ----------------------------------------------------------------------------
 */

static void
test_state_moves_to_a_second_adapter(void **state)
{
    struct rig rig;
    uint8_t *data = NULL;
    uint64_t length = 0;
    uint32_t slot;

    start(&rig);
    put(&rig, CONFIG(VSCSI_CFG_CDB_SIZE), 4, 16);
    rig.cdb_size = 16;
    assert_int_equal(th_quiesce(rig.dev), 0);
    assert_int_equal(th_save(rig.dev, &data, &length), 0);
    th_resume(rig.dev);
    put(&rig, COMMON(0x14), 1, 0);
    th_run(rig.th);
    for (uint64_t i = 0; i < length; i++) {
        assert_int_not_equal(th_validate(rig.dev, data, i), 0);
    }
    assert_int_equal(th_restore(rig.dev, data, length), 0);
    th_start(rig.dev);
    assert_int_equal(get(&rig, CONFIG(VSCSI_CFG_CDB_SIZE), 4), 16);
    slot = command(&rig, 3, 5, read_one, 0, 512);
    assert_int_equal(status(&rig, slot), BP_SCSI_GOOD);
    free(data);
    th_free(rig.th);
}

static void
test_a_place_described_twice_is_refused(void **state)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &backplane_plugin_v1, "scsi0", "luns = ({lun = 4;}, {lun = 4;});"));
    assert_string_equal(th_error_text(th), "target 0 LUN 4 is described twice");
    th_free(th);
}

static void
test_units_are_named_for_firmware(void **state)
{
    struct rig rig;

    plug(&rig);
    assert_string_equal(th_boot_path(rig.dev, "3.5"), "channel@0/disk@3,5");
    assert_string_equal(th_boot_path(rig.dev, "0.300"), "channel@0/disk@0,12c");
    assert_string_equal(th_boot_path(rig.dev, ""), "channel@0/disk@3,5");
    th_free(rig.th);
}

static void
test_create_leaves_nothing_when_a_call_fails(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, "queues = 2;", NULL, NULL) > 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration_space_tells_the_limits),
        cmocka_unit_test(test_sense_and_cdb_size_are_the_drivers_until_it_resets),
        cmocka_unit_test(test_each_unit_is_reached_by_target_and_lun),
        cmocka_unit_test(test_targets_and_luns_that_are_absent_say_so),
        cmocka_unit_test(test_report_luns_lists_what_is_there),
        cmocka_unit_test(test_buffers_too_small_overrun_and_too_large_leave_a_residual),
        cmocka_unit_test(test_more_commands_than_a_unit_takes_end_with_task_set_full),
        cmocka_unit_test(test_a_chain_too_short_breaks_the_device),
        cmocka_unit_test(test_an_aborted_command_ends_before_its_function),
        cmocka_unit_test(test_a_unit_reset_ends_commands_with_reset),
        cmocka_unit_test(test_functions_answer_for_what_they_find),
        cmocka_unit_test(test_a_reset_of_the_device_waits_for_commands),
        cmocka_unit_test(test_units_that_come_and_go_are_told),
        cmocka_unit_test(test_events_without_a_buffer_are_told_as_missed),
        cmocka_unit_test(test_a_resized_disk_is_a_change_of_parameters),
        cmocka_unit_test(test_features_decide_what_is_told),
        cmocka_unit_test(test_state_moves_to_a_second_adapter),
        cmocka_unit_test(test_a_place_described_twice_is_refused),
        cmocka_unit_test(test_units_are_named_for_firmware),
        cmocka_unit_test(test_create_leaves_nothing_when_a_call_fails),
    };

    return cmocka_run_group_tests_name("virtio-scsi", tests, NULL, NULL);
}
