/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, configuration space, error policy and saved state of virtio-blk. */
#include "blk_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS    (DISK_BYTES / 512)
#define AT(sector) ((size_t)(sector)*512)

static uint8_t *
data_of(struct rig *rig)
{
    return th_ram(rig->th, DATA_GPA, 0x200000);
}

static void
start(struct rig *rig, const char *options)
{
    rig_plug(rig, options);
    bring_up(rig, offered(rig), 1, 128);
}

static void
test_read_and_write_move_data_in_place(void **state)
{
    struct rig rig;
    uint8_t *data;

    start(&rig, "");
    data = data_of(&rig);
    assert_int_equal(transfer(&rig, BLK_T_IN, 5, DATA_GPA, 4096, 1), BLK_S_OK);
    assert_memory_equal(data, th_block_data(rig.disk) + AT(5), 4096);
    memset(data, 0x5a, 1024);
    assert_int_equal(transfer(&rig, BLK_T_OUT, 9, DATA_GPA, 1024, 0), BLK_S_OK);
    assert_memory_equal(th_block_data(rig.disk) + AT(9), data, 1024);
    assert_int_equal(transfer(&rig, BLK_T_IN, SECTORS - 1, DATA_GPA, 512, 1), BLK_S_OK);
    rig_free(&rig);
}

static void
test_requests_past_the_end_and_of_half_sectors_fail(void **state)
{
    struct rig rig;

    start(&rig, "");
    assert_int_equal(transfer(&rig, BLK_T_IN, SECTORS, DATA_GPA, 512, 1), BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_IN, SECTORS - 1, DATA_GPA, 1024, 1), BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_OUT, UINT64_MAX, DATA_GPA, 512, 0), BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 511, 1), BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_OUT, UINT64_MAX / 512 + 1, DATA_GPA, 512, 0),
                     BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
    rig_free(&rig);
}

static void
test_unknown_requests_are_unsupported(void **state)
{
    static const uint32_t types[] = {2, 3, 5, 10, 12, 15, 16, 18, 20, 24, 26, 0x80000000u, 99};
    struct rig rig;

    start(&rig, "");
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(types); i++) {
        assert_int_equal(transfer(&rig, types[i], 0, DATA_GPA, 512, 1), BLK_S_UNSUPP);
    }
    assert_int_equal(transfer(&rig, BLK_T_SECURE_ERASE, 0, DATA_GPA, 16, 0), BLK_S_UNSUPP);
    rig_free(&rig);
}

static void
test_the_id_is_twenty_bytes(void **state)
{
    struct rig rig;
    static const char serial[] = "0123456789abcdefghij";

    start(&rig, "serial = \"0123456789abcdefghij\";");
    memset(data_of(&rig), 0xff, 32);
    assert_int_equal(transfer(&rig, BLK_T_GET_ID, 0, DATA_GPA, 32, 1), BLK_S_OK);
    assert_memory_equal(data_of(&rig), serial, 20);
    assert_int_equal(data_of(&rig)[20], 0);
    assert_int_equal(transfer(&rig, BLK_T_GET_ID, 0, DATA_GPA, 19, 1), BLK_S_IOERR);
    rig_free(&rig);
}

static void
test_without_a_flush_feature_each_write_is_stable(void **state)
{
    struct rig rig;

    rig_plug(&rig, "");
    bring_up(&rig, 0, 1, 128);
    memset(data_of(&rig), 0x11, 512);
    assert_int_equal(transfer(&rig, BLK_T_OUT, 3, DATA_GPA, 512, 0), BLK_S_OK);
    assert_memory_equal(th_block_durable(rig.disk) + AT(3), data_of(&rig), 512);
    bring_up(&rig, BLK_F_FLUSH, 1, 128);
    memset(data_of(&rig), 0x22, 512);
    assert_int_equal(transfer(&rig, BLK_T_OUT, 3, DATA_GPA, 512, 0), BLK_S_OK);
    assert_int_equal(th_block_durable(rig.disk)[AT(3)], 0x11);
    assert_int_equal(transfer(&rig, BLK_T_FLUSH, 0, 0, 0, 0), BLK_S_OK);
    assert_int_equal(th_block_durable(rig.disk)[AT(3)], 0x22);
    rig_free(&rig);
}

static void
test_a_backend_without_fua_is_flushed_behind_stable_writes(void **state)
{
    struct rig rig;

    rig_plug(&rig, "");
    th_block_info(rig.disk)->flags &= ~BP_BLOCK_CAN_FUA;
    th_block_info(rig.disk)->flags |= BP_BLOCK_WRITE_CACHE;
    th_detach(rig.dev, 0, 0);
    assert_int_equal(th_attach(rig.dev, 0, 0, "sys"), 0);
    bring_up(&rig, 0, 1, 128);
    memset(data_of(&rig), 0x12, 512);
    assert_int_equal(transfer(&rig, BLK_T_OUT, 3, DATA_GPA, 512, 0), BLK_S_OK);
    assert_int_equal(th_block_durable(rig.disk)[AT(3)], 0x12);
    rig_free(&rig);
}

static void
test_the_guest_switches_the_write_cache(void **state)
{
    struct rig rig;

    start(&rig, "");
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_WRITEBACK), 1), 1);
    put(&rig, CONFIG(BLK_CFG_WRITEBACK), 1, 0);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_WRITEBACK), 1), 0);
    memset(data_of(&rig), 0x33, 512);
    assert_int_equal(transfer(&rig, BLK_T_OUT, 1, DATA_GPA, 512, 0), BLK_S_OK);
    assert_int_equal(th_block_durable(rig.disk)[512], 0x33);
    put(&rig, CONFIG(BLK_CFG_CAPACITY), 4, 0);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_CAPACITY), 4), SECTORS);
    bring_up(&rig, BLK_F_FLUSH, 1, 128);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_WRITEBACK), 1), 1);
    put(&rig, CONFIG(BLK_CFG_WRITEBACK), 1, 0);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_WRITEBACK), 1), 1);
    rig_free(&rig);
}

static void
put_range(struct rig *rig, uint32_t n, uint64_t sector, uint32_t count, uint32_t flags)
{
    uint8_t *at = data_of(rig) + (size_t)n * 16;

    bp_store_le(at, 8, sector);
    bp_store_le(at + 8, 4, count);
    bp_store_le(at + 12, 4, flags);
}

static void
test_ranges_are_discarded_zeroed_and_erased(void **state)
{
    struct rig rig;
    static const uint8_t zeroes[512];

    start(&rig, "secure_erase = true;");
    assert_true(offered(&rig) & BLK_F_DISCARD);
    put_range(&rig, 0, 10, 2, 0);
    put_range(&rig, 1, 20, 1, 0);
    put_range(&rig, 2, 30, 0, 0);
    assert_int_equal(transfer(&rig, BLK_T_DISCARD, 0, DATA_GPA, 48, 0), BLK_S_OK);
    put_range(&rig, 0, 40, 2, BLK_RANGE_UNMAP);
    assert_int_equal(transfer(&rig, BLK_T_WRITE_ZEROES, 0, DATA_GPA, 32, 0), BLK_S_OK);
    assert_memory_equal(th_block_data(rig.disk) + AT(41), zeroes, 512);
    assert_memory_equal(th_block_data(rig.disk) + AT(20), zeroes, 512);
    assert_memory_not_equal(th_block_data(rig.disk) + AT(42), zeroes, 512);
    put_range(&rig, 0, 50, 300, 0);
    assert_int_equal(transfer(&rig, BLK_T_SECURE_ERASE, 0, DATA_GPA, 16, 0), BLK_S_OK);
    for (uint32_t i = 50; i < 350; i++) {
        assert_memory_equal(th_block_durable(rig.disk) + (size_t)i * 512, zeroes, 512);
    }
    assert_memory_not_equal(th_block_data(rig.disk) + AT(350), zeroes, 512);
    rig_free(&rig);
}

static void
test_bad_ranges_are_refused(void **state)
{
    struct rig rig;

    start(&rig, "");
    put_range(&rig, 0, 10, 2, BLK_RANGE_UNMAP);
    assert_int_equal(transfer(&rig, BLK_T_DISCARD, 0, DATA_GPA, 16, 0), BLK_S_UNSUPP);
    put_range(&rig, 0, 10, 2, 2);
    assert_int_equal(transfer(&rig, BLK_T_WRITE_ZEROES, 0, DATA_GPA, 16, 0), BLK_S_UNSUPP);
    put_range(&rig, 0, SECTORS, 1, 0);
    assert_int_equal(transfer(&rig, BLK_T_DISCARD, 0, DATA_GPA, 16, 0), BLK_S_IOERR);
    put_range(&rig, 0, UINT64_MAX, UINT32_MAX, 0);
    assert_int_equal(transfer(&rig, BLK_T_WRITE_ZEROES, 0, DATA_GPA, 16, 0), BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_DISCARD, 0, DATA_GPA, 15, 0), BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_DISCARD, 0, DATA_GPA, 16 * 17, 0), BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_DISCARD, 0, 0, 0, 0), BLK_S_IOERR);
    rig_free(&rig);
}

static void
test_a_read_only_disk_says_so_and_refuses_writes(void **state)
{
    struct rig rig;

    start(&rig, "readonly = true;");
    assert_true(offered(&rig) & BLK_F_RO);
    assert_false(offered(&rig) & (BLK_F_DISCARD | BLK_F_WRITE_ZEROES | BLK_F_CONFIG_WCE));
    assert_int_equal(transfer(&rig, BLK_T_OUT, 0, DATA_GPA, 512, 0), BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
    rig_free(&rig);
}

static void
test_large_and_scattered_requests_go_in_steps(void **state)
{
    struct rig rig;
    struct buffer buffers[62];
    uint64_t gpa = DATA_GPA;
    uint32_t id, length;
    uint8_t *header;

    rig_plug(&rig, "");
    th_block_info(rig.disk)->max_transfer = 64 << 10;
    th_block_info(rig.disk)->max_iov = 7;
    th_detach(rig.dev, 0, 0);
    assert_int_equal(th_attach(rig.dev, 0, 0, "sys"), 0);
    bring_up(&rig, INDIRECT, 1, 128);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 1 << 20, 1), BLK_S_OK);
    assert_memory_equal(data_of(&rig), th_block_data(rig.disk), 1 << 20);
    header = th_ram(rig.th, HEADERS_GPA, 16);
    bp_store_le(header, 8, BLK_T_OUT);
    bp_store_le(header + 8, 8, 100);
    buffers[0] = (struct buffer){HEADERS_GPA, 16, 0};
    for (uint32_t i = 1; i < 61; i++) { /* 20 times 100 + 700 + 736 bytes: 60 blocks */
        buffers[i].gpa = gpa;
        buffers[i].length = i % 3 == 1 ? 100 : i % 3 == 2 ? 700 : 736;
        buffers[i].write = 0;
        gpa += buffers[i].length;
    }
    buffers[61] = (struct buffer){STATUS_GPA, 1, 1};
    for (uint32_t i = 0; i < AT(60); i++) {
        data_of(&rig)[i] = (uint8_t)(i * 31 >> 3);
    }
    rig.indirect = 1;
    (void)add(&rig, 0, buffers, 62);
    th_run(rig.th);
    assert_true(used(&rig, 0, &id, &length));
    assert_int_equal(status_of(&rig, 0), BLK_S_OK);
    assert_memory_equal(th_block_data(rig.disk) + AT(100), data_of(&rig), AT(60));
    rig_free(&rig);
}

static void
test_any_layout_is_understood(void **state)
{
    struct rig rig;
    struct buffer buffers[5] = {{HEADERS_GPA, 5, 0},
                                {HEADERS_GPA + 5, 11, 0},
                                {DATA_GPA, 300, 1},
                                {DATA_GPA + 300, 213, 1}};
    uint8_t *header;
    uint32_t id, length;

    start(&rig, "");
    header = th_ram(rig.th, HEADERS_GPA, 16);
    memset(header, 0, 16);
    bp_store_le(header + 8, 8, 7);
    data_of(&rig)[512] = 0xee;
    (void)add(&rig, 0, buffers, 4);
    th_run(rig.th);
    assert_true(used(&rig, 0, &id, &length));
    assert_int_equal(length, 513);
    assert_int_equal(data_of(&rig)[512], BLK_S_OK);
    assert_memory_equal(data_of(&rig), th_block_data(rig.disk) + AT(7), 512);
    /* header and data of a write in one buffer */
    bp_store_le(data_of(&rig), 8, BLK_T_OUT);
    bp_store_le(data_of(&rig) + 8, 8, 2);
    memset(data_of(&rig) + 16, 0x77, 512);
    buffers[0] = (struct buffer){DATA_GPA, 528, 0};
    buffers[1] = (struct buffer){STATUS_GPA, 1, 1};
    (void)add(&rig, 0, buffers, 2);
    th_run(rig.th);
    assert_true(used(&rig, 0, &id, &length));
    assert_int_equal(status_of(&rig, 0), BLK_S_OK);
    assert_int_equal(th_block_data(rig.disk)[AT(3) - 1], 0x77);
    rig_free(&rig);
}

static void
test_configuration_space_describes_the_disk(void **state)
{
    struct rig rig;

    start(&rig, "queues = 4; size_max = 65536; seg_max = 60; physical_block_size = 4096; "
                "opt_io_size = 65536; cylinders = 33; heads = 7; sectors = 9;");
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_CAPACITY), 4), SECTORS);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_SIZE_MAX), 4), 65536);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_SEG_MAX), 4), 60);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_CYLINDERS), 2), 33);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_HEADS), 1), 7);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_SECTORS), 1), 9);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_BLK_SIZE), 4), 512);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_PHYSICAL_EXP), 1), 3);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_MIN_IO), 2), 8);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_OPT_IO), 4), 128);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_NUM_QUEUES), 2), 4);
    assert_true((offered(&rig) & (BLK_F_MQ | BLK_F_SIZE_MAX)) == (BLK_F_MQ | BLK_F_SIZE_MAX));
    rig_free(&rig);
}

static void
test_blocks_of_4096_bytes_are_kept(void **state)
{
    struct rig rig;

    start(&rig, "logical_block_size = 4096;");
    assert_true(th_logged(rig.th, "cannot boot"));
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_BLK_SIZE), 4), 4096);
    assert_int_equal(transfer(&rig, BLK_T_IN, 8, DATA_GPA, 4096, 1), BLK_S_OK);
    assert_int_equal(transfer(&rig, BLK_T_IN, 1, DATA_GPA, 4096, 1), BLK_S_IOERR);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_IOERR);
    rig_free(&rig);
}

static void
test_a_resize_interrupts_with_the_config_vector(void **state)
{
    struct rig rig;
    uint64_t generation;

    start(&rig, "");
    th_msix_enable(rig.dev);
    generation = get(&rig, COMMON(0x15), 1);
    th_irq_log_clear(rig.th);
    th_block_info(rig.disk)->capacity = DISK_BYTES / 2;
    th_block_send_event(rig.disk, BP_BLOCK_EVENT_RESIZED);
    th_run(rig.th);
    assert_int_equal(get(&rig, CONFIG(BLK_CFG_CAPACITY), 4), SECTORS / 2);
    assert_int_equal(th_message_count(rig.dev, 0), 1);
    assert_int_not_equal(get(&rig, COMMON(0x15), 1), generation);
    assert_int_equal(transfer(&rig, BLK_T_IN, SECTORS / 2, DATA_GPA, 512, 1), BLK_S_IOERR);
    rig_free(&rig);
}

static void
test_error_policies_report_ignore_and_stop(void **state)
{
    struct rig rig;
    uint32_t slot, id, length;

    start(&rig, "on_read_error = \"report\"; on_write_error = \"ignore\";");
    th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    memset(data_of(&rig), 0xff, 512);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_IOERR);
    assert_int_equal(data_of(&rig)[0], 0);
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -EIO, 0);
    assert_int_equal(transfer(&rig, BLK_T_OUT, 0, DATA_GPA, 512, 0), BLK_S_OK);
    rig_free(&rig);

    start(&rig, ""); /* write errors: enospc */
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -EIO, 0);
    assert_int_equal(transfer(&rig, BLK_T_OUT, 0, DATA_GPA, 512, 0), BLK_S_IOERR);
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    memset(data_of(&rig), 0x66, 512);
    slot = send(&rig, 0, BLK_T_OUT, 4, DATA_GPA, 512);
    th_run(rig.th);
    assert_int_equal(th_take_request(rig.th), BP_REQUEST_STOP);
    assert_false(used(&rig, 0, &id, &length));
    th_stop(rig.dev);
    th_run(rig.th);
    assert_int_equal(status_of(&rig, slot), 0xee);
    th_start(rig.dev);
    th_run(rig.th);
    assert_true(used(&rig, 0, &id, &length));
    assert_int_equal(status_of(&rig, slot), BLK_S_OK);
    assert_int_equal(th_block_data(rig.disk)[AT(4)], 0x66);
    rig_free(&rig);
}

static void
test_a_reset_waits_for_requests_in_flight(void **state)
{
    struct rig rig;
    uint32_t slot;

    start(&rig, "");
    th_block_hold(rig.disk, 1);
    slot = send(&rig, 0, BLK_T_IN, 0, DATA_GPA, 512 | TO_GUEST);
    th_run(rig.th);
    assert_int_equal(th_block_in_flight(rig.disk), 1);
    put(&rig, COMMON(0x14), 1, 0);
    assert_int_not_equal(status(&rig), 0);
    th_block_release(rig.disk, 100, 0);
    th_block_hold(rig.disk, 0);
    th_run(rig.th);
    assert_int_equal(status(&rig), 0);
    assert_int_equal(status_of(&rig, slot), 0xee);
    bring_up(&rig, offered(&rig), 1, 64);
    assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
    rig_free(&rig);
}

static void
test_a_quiesce_waits_and_new_requests_wait_for_the_resume(void **state)
{
    struct rig rig;
    uint32_t id, length, slot;

    start(&rig, "");
    (void)send(&rig, 0, BLK_T_IN, 0, DATA_GPA, 512 | TO_GUEST);
    assert_int_equal(th_quiesce(rig.dev), 0);
    slot = send(&rig, 0, BLK_T_IN, 1, DATA_GPA, 512 | TO_GUEST);
    th_run(rig.th);
    assert_int_equal(status_of(&rig, slot), 0xee);
    th_resume(rig.dev);
    th_run(rig.th);
    assert_int_equal(status_of(&rig, slot), BLK_S_OK);
    assert_true(used(&rig, 0, &id, &length) && used(&rig, 0, &id, &length));
    rig_free(&rig);
}

/* The second device has the first one's memory and disk. */
static void
test_saved_state_goes_on_with_held_requests(void **state)
{
    static const uint64_t features[] = {0, PACKED, EVENT_IDX, PACKED | EVENT_IDX, IN_ORDER};
    struct rig rig;
    uint8_t *data;
    uint64_t bytes;
    uint32_t slot[2], id, length;

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(features); i++) {
        rig_plug(&rig, "on_write_error = \"stop\"; packed = true; in_order = true;");
        bring_up(&rig, features[i] | BLK_F_FLUSH, 1, 128);
        assert_int_equal(transfer(&rig, BLK_T_IN, 0, DATA_GPA, 512, 1), BLK_S_OK);
        th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -EIO, 0);
        memset(data_of(&rig), 0x44, 512);
        slot[0] = send(&rig, 0, BLK_T_OUT, 6, DATA_GPA, 512);
        slot[1] = send(&rig, 0, BLK_T_IN, 7, DATA_GPA + 4096, 512 | TO_GUEST);
        th_run(rig.th);
        th_stop(rig.dev);
        assert_int_equal(th_quiesce(rig.dev), 0);
        assert_int_equal(th_save(rig.dev, &data, &bytes), 0);
        assert_int_equal(th_validate(rig.dev, data, bytes), 0);
        for (uint64_t cut = 0; cut < bytes; cut += 8) {
            assert_int_not_equal(th_validate(rig.dev, data, cut), 0);
        }
        th_destroy(rig.dev);
        rig.dev = th_plug(rig.th, &backplane_plugin_v1, "blk0",
                          "backend = \"sys\"; on_write_error = \"stop\"; packed = true; "
                          "in_order = true;");
        th_pci_place(rig.dev);
        th_stop(rig.dev);
        assert_int_equal(th_restore(rig.dev, data, bytes), 0);
        th_start(rig.dev);
        th_run(rig.th);
        assert_int_equal(status_of(&rig, slot[0]), BLK_S_OK);
        assert_int_equal(status_of(&rig, slot[1]), BLK_S_OK);
        assert_int_equal(th_block_data(rig.disk)[AT(6)], 0x44);
        assert_true(used(&rig, 0, &id, &length) && used(&rig, 0, &id, &length));
        assert_int_equal(transfer(&rig, BLK_T_IN, 3, DATA_GPA, 512, 1), BLK_S_OK);
        free(data);
        rig_free(&rig);
    }
}

/* A held write, saved; the machine that restores it says that its memory is somewhere else. */
static void
restore_changed(uint64_t gpa, uint64_t length, int32_t expected)
{
    struct rig rig;
    uint8_t *data;
    uint64_t bytes;

    rig_plug(&rig, "on_write_error = \"stop\";");
    bring_up(&rig, BLK_F_FLUSH, 1, 128);
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -EIO, 0);
    (void)send(&rig, 0, BLK_T_OUT, 6, DATA_GPA, 512);
    th_run(rig.th);
    th_stop(rig.dev);
    assert_int_equal(th_quiesce(rig.dev), 0);
    assert_int_equal(th_save(rig.dev, &data, &bytes), 0);
    th_resume(rig.dev);
    for (uint64_t at = 0; at + 16 <= bytes; at++) {
        if (bp_load_le(data + at, 8) == DATA_GPA && bp_load_le(data + at + 8, 8) == 512) {
            bp_store_le(data + at, 8, gpa);
            bp_store_le(data + at + 8, 8, length);
        }
    }
    assert_int_equal(th_validate(rig.dev, data, bytes), expected);
    if (expected == 0) {
        assert_int_equal(th_restore(rig.dev, data, bytes), 0);
        th_start(rig.dev);
        th_run(rig.th);
        assert_true(status(&rig) & BP_VIRTIO_NEEDS_RESET);
        bring_up(&rig, 0, 1, 128);
        assert_int_equal(transfer(&rig, BLK_T_IN, 3, DATA_GPA, 512, 1), BLK_S_OK);
    }
    free(data);
    rig_free(&rig);
}

static void
test_a_held_request_whose_memory_is_gone_needs_a_reset(void **state)
{
    restore_changed(UINT64_C(1) << 50, 512, 0);
    restore_changed(TH_LOW_RAM_BYTES - 256, 512, 0);
    restore_changed(DATA_GPA, 0, -EINVAL);
    restore_changed(DATA_GPA, UINT64_C(1) << 32, -EINVAL);
}

static void
prepare(struct th_host *th, void *opaque)
{
    (void)th_block_new(th, "sys", DISK_BYTES);
}

static void
test_each_host_call_may_fail(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL,
                                  "backend = \"sys\"; queues = 2; secure_erase = true;", prepare,
                                  NULL) > 10);
}

static void
expect_refused(const char *option)
{
    struct th_host *th = th_new();
    char text[128];

    (void)th_block_new(th, "sys", DISK_BYTES);
    (void)snprintf(text, sizeof(text), "backend = \"sys\"; %s", option);
    if (th_plug(th, &backplane_plugin_v1, "blk0", text) != NULL) {
        fail_msg("taken: %s", option);
    }
    assert_string_not_equal(th_error_text(th), "");
    th_free(th);
}

static void
test_bad_options_are_explained(void **state)
{
    expect_refused("queue_size = 100;");
    expect_refused("logical_block_size = 3000;");
    expect_refused("logical_block_size = 4097;");
    expect_refused("physical_block_size = 1000;");
    expect_refused("cylinders = 3;");
    expect_refused("serial = \"a\tb\";");
    expect_refused("queue_loops = (0, 7);");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_and_write_move_data_in_place),
        cmocka_unit_test(test_requests_past_the_end_and_of_half_sectors_fail),
        cmocka_unit_test(test_unknown_requests_are_unsupported),
        cmocka_unit_test(test_the_id_is_twenty_bytes),
        cmocka_unit_test(test_without_a_flush_feature_each_write_is_stable),
        cmocka_unit_test(test_a_backend_without_fua_is_flushed_behind_stable_writes),
        cmocka_unit_test(test_the_guest_switches_the_write_cache),
        cmocka_unit_test(test_ranges_are_discarded_zeroed_and_erased),
        cmocka_unit_test(test_bad_ranges_are_refused),
        cmocka_unit_test(test_a_read_only_disk_says_so_and_refuses_writes),
        cmocka_unit_test(test_large_and_scattered_requests_go_in_steps),
        cmocka_unit_test(test_any_layout_is_understood),
        cmocka_unit_test(test_configuration_space_describes_the_disk),
        cmocka_unit_test(test_blocks_of_4096_bytes_are_kept),
        cmocka_unit_test(test_a_resize_interrupts_with_the_config_vector),
        cmocka_unit_test(test_error_policies_report_ignore_and_stop),
        cmocka_unit_test(test_a_reset_waits_for_requests_in_flight),
        cmocka_unit_test(test_a_quiesce_waits_and_new_requests_wait_for_the_resume),
        cmocka_unit_test(test_saved_state_goes_on_with_held_requests),
        cmocka_unit_test(test_a_held_request_whose_memory_is_gone_needs_a_reset),
        cmocka_unit_test(test_each_host_call_may_fail),
        cmocka_unit_test(test_bad_options_are_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
