/* SPDX-License-Identifier: Apache-2.0 */
/* Formats, drives, floppies that come and go, errors of the backend, and what the user may get
 * wrong. */
#include "floppy_test.h"

#include <errno.h>
#include <stdio.h>

/* --- formats ------------------------------------------------------------------------------------
 */

struct size {
    uint32_t kilobytes;
    uint8_t drive; /* "auto" makes it */
    uint8_t cylinders, heads, sectors;
    uint8_t rate; /* code for CCR */
};

static const struct size sizes[] = {
    {160, 1, 40, 1, 8, 2},   {180, 1, 40, 1, 9, 2},   {320, 1, 40, 2, 8, 2},
    {360, 1, 40, 2, 9, 2},   {410, 1, 41, 2, 10, 1},  {420, 1, 42, 2, 10, 1},
    {640, 4, 80, 2, 8, 2},   {720, 4, 80, 2, 9, 2},   {800, 4, 80, 2, 10, 2},
    {820, 4, 82, 2, 10, 2},  {830, 4, 83, 2, 10, 2},  {1040, 4, 80, 2, 13, 2},
    {1120, 4, 80, 2, 14, 2}, {1200, 2, 80, 2, 15, 0}, {1440, 4, 80, 2, 18, 0},
    {1476, 4, 82, 2, 18, 0}, {1494, 4, 83, 2, 18, 0}, {1600, 4, 80, 2, 20, 0},
    {1640, 4, 82, 2, 20, 0}, {1660, 4, 83, 2, 20, 0}, {1680, 4, 80, 2, 21, 0},
    {1722, 4, 82, 2, 21, 0}, {1743, 4, 83, 2, 21, 0}, {1760, 4, 80, 2, 22, 0},
    {1804, 4, 82, 2, 22, 0}, {1840, 4, 80, 2, 23, 0}, {1920, 4, 80, 2, 24, 0},
    {2880, 5, 80, 2, 36, 3}, {3120, 5, 80, 2, 39, 3}, {3200, 5, 80, 2, 40, 3},
    {3520, 5, 80, 2, 44, 3}, {3840, 5, 80, 2, 48, 3},
};

static void
read_one(struct rig *rig, uint8_t select, uint8_t c, uint8_t h, uint8_t r, uint8_t eot)
{
    dma_to_memory(rig, 512);
    transfer(rig, 0x46, select, c, h, r, eot);
    assert_int_equal(irq(rig), 1);
    result(rig, 7);
}

static void
test_every_size_has_its_first_and_last_sector_and_none_after(void **state)
{
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct size *s = &sizes[i];
        struct rig rig = rig_new_media(s->kilobytes * 1024, 0, NULL);
        uint8_t last_head = (uint8_t)(s->heads - 1), last = (uint8_t)(s->cylinders - 1);
        uint8_t select = (uint8_t)(last_head << 2);

        assert_int_equal(th_cmos(rig.th, 0x10), s->drive << 4 | 4);
        put(&rig, CCR, s->rate);
        read_one(&rig, 0, 0, 0, 1, s->sectors);
        assert_int_equal(rig.result[0], 0);
        check_pattern(data(&rig), 0, 1, SALT_A);
        seek(&rig, 0, last);
        read_one(&rig, select, last, last_head, s->sectors, s->sectors);
        assert_int_equal(rig.result[0], select);
        check_pattern(data(&rig), s->kilobytes * 2 - 1, 1, SALT_A);
        read_one(&rig, select, last, last_head, (uint8_t)(s->sectors + 1), s->sectors);
        assert_int_equal(rig.result[0], 0x40 | select);
        assert_int_equal(rig.result[1], 0x04);
        if (s->heads == 1) {
            read_one(&rig, 4, last, 1, 1, s->sectors);
            assert_int_equal(rig.result[1], 0x01);
        }
        seek(&rig, 0, s->cylinders);
        read_one(&rig, 0, s->cylinders, 0, 1, s->sectors);
        assert_int_equal(rig.result[0], 0x40);
        assert_true(rig.result[1] == 0x01 || rig.result[1] == 0x04); /* or the heads stop before */
        rig_free(&rig);
    }
}

static void
test_drive_decides_what_an_ambiguous_size_means(void **state)
{
    struct floppy_format format;

    assert_int_equal(floppy_format_find(360 * 1024, FLOPPY_DRIVE_1440K, &format), 1);
    assert_int_equal(format.cylinders, 80);
    assert_int_equal(format.heads, 1);
    assert_int_equal(floppy_format_find(1440 * 1024, FLOPPY_DRIVE_1200K, &format), 1);
    assert_int_equal(format.sectors, 18);
    assert_int_equal(floppy_format_find(720 * 1024, FLOPPY_DRIVE_1200K, &format), 1);
    assert_int_equal(format.rates, FLOPPY_RATE_250 | FLOPPY_RATE_300);
    assert_int_equal(floppy_format_find(1440 * 1024, FLOPPY_DRIVE_720K, &format), 0);
    assert_int_equal(floppy_format_find(1200 * 1024, FLOPPY_DRIVE_1440K, &format), 0);
    assert_int_equal(floppy_format_find(2880 * 1024, FLOPPY_DRIVE_1440K, &format), 0);
    assert_int_equal(floppy_format_find(SIZE_1440K, FLOPPY_DRIVE_NONE, &format), 0);
    assert_int_equal(floppy_format_find(511, FLOPPY_DRIVE_1440K, &format), 0);
}

static void
test_media_of_40_tracks_are_found_with_single_and_double_steps(void **state)
{
    struct th_host *th = th_new();
    struct rig rig = {.th = th, .a = th_block_new(th, "a", 360 * 1024)};

    fill_pattern(th_block_data(rig.a), 0, 720, SALT_A);
    rig.fdc = th_plug(th, &backplane_plugin_v1, "fdc0",
                      "drives = ( { unit = 0; disk = \"a\"; type = \"1.2M\"; } );");
    assert_non_null(rig.fdc);
    assert_int_equal(th_cmos(th, 0x10), 0x20);
    put(&rig, CCR, 1);
    seek(&rig, 0, 20); /* one step a cylinder */
    read_one(&rig, 0, 20, 0, 1, 9);
    assert_int_equal(rig.result[0], 0);
    check_pattern(data(&rig), 20 * 18, 1, SALT_A);
    seek(&rig, 0, 60); /* two */
    read_one(&rig, 0, 30, 0, 1, 9);
    assert_int_equal(rig.result[0], 0);
    check_pattern(data(&rig), 30 * 18, 1, SALT_A);
    read_one(&rig, 0, 31, 0, 1, 9);
    assert_int_equal(rig.result[2], 0x10);
    rig_free(&rig);
}

static void
test_image_cut_short_reads_as_zeroes_and_refuses_writes_there(void **state)
{
    struct rig rig = rig_new_media(5 * 512, 0, NULL);
    static const uint8_t zeroes[512];

    assert_int_equal(th_cmos(rig.th, 0x10), 0x44);
    memset(data(&rig), 0x55, 18 * 512);
    dma_to_memory(&rig, 18 * 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 1, 0, 1, 2);
    check_pattern(data(&rig), 0, 5, SALT_A);
    assert_memory_equal(data(&rig) + 5 * 512, zeroes, 512);
    assert_memory_equal(data(&rig) + 17 * 512, zeroes, 512);
    dma_from_memory(&rig, 3 * 512);
    transfer(&rig, 0x45, 0, 0, 0, 4, 18);
    expect_result(&rig, 0x40, 0x20, 0, 0, 0, 6, 2);
    check_pattern(th_block_data(rig.a), 0, 3, SALT_A);
    check_pattern(th_block_data(rig.a) + 3 * 512, 0, 2, SALT_A); /* those two were written */
    rig_free(&rig);
}

/* --- firmware's view ----------------------------------------------------------------------------
 */

static void
test_firmware_is_told_about_the_drives(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, 1200 * 1024, NULL);
    const struct bp_isa_resource *resource = th_isa_resource(rig.th, 0);

    assert_int_equal(th_cmos(rig.th, 0x10), 0x42);
    assert_int_equal(th_cmos(rig.th, 0x14) & 0xc1, 0x41);
    assert_int_equal(th_cmos(rig.th, 0x38) & 0x01, 0x00);
    assert_string_equal(th_boot_path(rig.fdc, "0"), "fdc@03f0/floppy@0");
    assert_string_equal(th_boot_path(rig.fdc, "1"), "fdc@03f0/floppy@1");
    assert_string_equal(resource->hid, "PNP0700");
    assert_int_equal(resource->irq, 6);
    assert_int_equal(resource->dma, 2);
    rig_free(&rig);
}

static void
test_firmware_may_be_told_not_to_look_for_a_signature(void **state)
{
    struct rig rig = rig_new("check_signature = false;");

    assert_int_equal(th_cmos(rig.th, 0x38) & 0x01, 0x01);
    rig_free(&rig);
}

static void
test_controller_without_drives_says_so(void **state)
{
    struct th_host *th = th_new();

    assert_non_null(th_plug(th, &backplane_plugin_v1, "fdc0", NULL));
    assert_int_equal(th_cmos(th, 0x10), 0);
    assert_int_equal(th_cmos(th, 0x14) & 0xc1, 0);
    assert_true(th_port_claimed(th, 0x3f5));
    assert_false(th_port_claimed(th, 0x3f6));
    assert_true(th_port_claimed(th, 0x3f7));
    th_free(th);
}

/* --- floppies that come and go ------------------------------------------------------------------
 */

static void
test_change_line_stays_until_a_step_with_a_floppy_in(void **state)
{
    struct rig rig = rig_new(NULL);

    assert_int_equal(get(&rig, DIR), DIR_CHANGED); /* power-on */
    seek(&rig, 0, 0);
    assert_int_equal(get(&rig, DIR), DIR_CHANGED); /* no step was made */
    seek(&rig, 0, 1);
    assert_int_equal(get(&rig, DIR), 0);
    th_detach(rig.fdc, 0, 0);
    assert_int_equal(get(&rig, DIR), DIR_CHANGED);
    seek(&rig, 0, 0);
    seek(&rig, 0, 1);
    assert_int_equal(get(&rig, DIR), DIR_CHANGED); /* still empty */
    read_one(&rig, 0, 1, 0, 1, 18);
    assert_int_equal(rig.result[0], 0x40);
    assert_int_equal(rig.result[1], 0x01);
    assert_int_equal(th_attach(rig.fdc, 0, 0, "a"), 0);
    assert_int_equal(get(&rig, DIR), DIR_CHANGED);
    COMMAND(&rig, 0x07, 0);
    expect_seek_end(&rig, 0x20, 0);
    assert_int_equal(get(&rig, DIR), 0);
    put(&rig, DOR, 0x0d); /* the other drive is not there */
    assert_int_equal(get(&rig, DIR), 0);
    rig_free(&rig);
}

static void
test_other_floppy_has_its_own_format_and_marks(void **state)
{
    struct rig rig = rig_new(NULL);
    struct th_block *other = th_block_new(rig.th, "other", 720 * 1024);

    fill_pattern(th_block_data(other), 0, 1440, SALT_B);
    dma_from_memory(&rig, 512);
    transfer(&rig, 0x49, 0, 0, 0, 1, 18); /* deleted mark on the first one */
    result(&rig, 7);
    th_detach(rig.fdc, 0, 0);
    assert_int_equal(th_attach(rig.fdc, 0, 0, "other"), 0);
    read_one(&rig, 0, 0, 0, 1, 9);
    assert_int_equal(rig.result[1], 0x01); /* not at this rate */
    put(&rig, CCR, 2);
    read_one(&rig, 0, 0, 0, 1, 9);
    assert_int_equal(rig.result[0], 0);
    assert_int_equal(rig.result[2], 0);
    check_pattern(data(&rig), 0, 1, SALT_B);
    th_detach(rig.fdc, 0, 0);
    assert_int_equal(th_attach(rig.fdc, 0, 0, "a"), 0);
    put(&rig, CCR, 0);
    read_one(&rig, 0, 0, 0, 1, 18);
    assert_int_equal(rig.result[2], 0); /* the mark left with it */
    rig_free(&rig);
}

static void
test_empty_drive_takes_a_floppy_that_fits(void **state)
{
    struct rig rig = rig_new_media(SIZE_1440K, 0, NULL);

    (void)th_block_new(rig.th, "five", 1200 * 1024);
    (void)th_block_new(rig.th, "three", 1680 * 1024);
    assert_int_equal(th_attach(rig.fdc, 0, 1, "five"), -EINVAL);
    assert_string_equal(th_error_text(rig.th),
                        "backend 'five' cannot be in drive 1 (1.44M): its size is that of no "
                        "floppy which fits the drive");
    assert_int_equal(th_attach(rig.fdc, 0, 1, "three"), 0);
    COMMAND(&rig, 0x4a, 1);
    expect_result(&rig, 0x01, 0, 0, 0, 0, 1, 2);
    assert_int_equal(th_cmos(rig.th, 0x10), 0x44); /* the drive is what it was */
    rig_free(&rig);
}

static void
test_drives_are_listed_with_what_is_in_them(void **state)
{
    struct rig rig = {.th = th_new()};
    struct bp_media_drive drive;

    rig.a = th_block_new(rig.th, "a", SIZE_1440K);
    (void)th_block_new(rig.th, "late", 720 * 1024);
    rig.fdc = th_plug(rig.th, &backplane_plugin_v1, "fdc0",
                      "drives = ( { unit = 0; readonly = true; name = \"floppy0\"; },"
                      " { unit = 1; disk = \"a\"; } );");
    assert_non_null(rig.fdc);
    assert_int_equal(th_drive(rig.fdc, 0, &drive), 0);
    assert_string_equal(drive.unit, "0");
    assert_string_equal(drive.name, "floppy0");
    assert_int_equal(drive.flags, BP_MEDIA_REMOVABLE | BP_MEDIA_READ_ONLY);
    assert_int_equal(drive.use, 1); /* after the ones with a floppy */
    assert_int_equal(th_attach(rig.fdc, drive.slot, drive.use, "late"), 0);
    assert_int_equal(th_drive(rig.fdc, 0, &drive), 0);
    assert_int_equal(drive.flags, BP_MEDIA_REMOVABLE | BP_MEDIA_READ_ONLY | BP_MEDIA_PRESENT);
    assert_int_equal(th_drive(rig.fdc, 1, &drive), 0);
    assert_string_equal(drive.unit, "1");
    assert_null(drive.name);
    assert_int_equal(drive.flags, BP_MEDIA_REMOVABLE | BP_MEDIA_PRESENT);
    assert_int_equal(drive.use, 0);
    assert_int_equal(th_drive(rig.fdc, 2, &drive), -ENOENT);
    assert_int_equal(th_tray_open(rig.fdc, 0, 0), -EOPNOTSUPP); /* there is none */
    rig_free(&rig);
}

static void
test_floppy_that_leaves_ends_the_command_that_waits_for_it(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t bytes[100];

    COMMAND(&rig, 0x03, 0xaf, 0x03);
    memset(bytes, 0x66, sizeof(bytes));
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    th_outs(rig.th, FIFO, 1, sizeof(bytes), bytes);
    assert_int_equal(th_quiesce(rig.fdc), 0);
    th_detach(rig.fdc, 0, 0);
    th_resume(rig.fdc);
    expect_result(&rig, 0x40, 0x01, 0, 0, 0, 1, 2);
    check_pattern(th_block_data(rig.a), 0, 1, SALT_A);
    rig_free(&rig);
}

static void
test_backend_that_changes_its_medium_is_a_changed_floppy(void **state)
{
    struct rig rig = rig_new(NULL);

    seek(&rig, 0, 1);
    assert_int_equal(get(&rig, DIR), 0);
    th_block_set_medium(rig.a, 0);
    th_run(rig.th);
    assert_int_equal(get(&rig, DIR), DIR_CHANGED);
    read_one(&rig, 0, 1, 0, 1, 18);
    assert_int_equal(rig.result[1], 0x01);
    th_block_set_medium(rig.a, 1);
    th_run(rig.th);
    assert_int_equal(get(&rig, DIR), DIR_CHANGED);
    seek(&rig, 0, 0);
    assert_int_equal(get(&rig, DIR), 0);
    read_one(&rig, 0, 0, 0, 1, 18);
    assert_int_equal(rig.result[0], 0);
    rig_free(&rig);
}

static void
test_medium_that_changes_under_a_request_loses_it(void **state)
{
    struct rig rig = rig_new(NULL);

    th_block_hold(rig.a, 1);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    th_block_send_event(rig.a, BP_BLOCK_EVENT_MEDIA);
    th_run(rig.th);
    assert_int_equal(irq(&rig), 0);
    th_block_hold(rig.a, 0);
    th_block_release(rig.a, 1, 0);
    expect_result(&rig, 0x40, 0x01, 0, 0, 0, 1, 2);
    assert_int_equal(th_dma_remaining(rig.th, 2), 512);
    rig_free(&rig);
}

/* --- errors of the backend ----------------------------------------------------------------------
 */

static void
test_unreadable_sector_is_found_and_named(void **state)
{
    struct rig rig = rig_new(NULL);

    th_block_fail(rig.a, BP_BLOCK_READ, 0, -EIO, 0); /* all of it */
    th_block_fail(rig.a, BP_BLOCK_READ, 3, -EIO, 0); /* then the third alone */
    dma_to_memory(&rig, 18 * 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    assert_int_equal(irq(&rig), 1);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0x40);
    assert_int_equal(rig.result[1], 0x20);
    assert_int_equal(rig.result[2], 0x20);
    check_pattern(data(&rig), 0, rig.result[5] - 1u, SALT_A);
    assert_int_equal(th_dma_remaining(rig.th, 2), (18 - (rig.result[5] - 1u)) * 512);
    assert_non_null(strstr(th_event(rig.th, 0, NULL), "BLOCK_IO_ERROR"));
    rig_free(&rig);
}

static void
test_unwritable_sector_is_found_and_named(void **state)
{
    struct rig rig = rig_new(NULL);
    uint32_t written;

    th_block_fail(rig.a, BP_BLOCK_WRITE, 0, -EIO, 0);
    th_block_fail(rig.a, BP_BLOCK_WRITE, 3, -EIO, 0);
    fill_pattern(data(&rig), 100, 18, 1);
    dma_from_memory(&rig, 18 * 512);
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    assert_int_equal(irq(&rig), 1);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0x40);
    assert_int_equal(rig.result[1], 0x20);
    assert_int_equal(rig.result[2], 0);
    written = rig.result[5] - 1u;
    check_pattern(th_block_data(rig.a), 100, written, 1);
    check_pattern(th_block_data(rig.a) + (size_t)written * 512, written, 1, SALT_A);
    rig_free(&rig);
}

static struct rig
rig_with_policy(const char *policy)
{
    struct rig rig = {.th = th_new()};
    char text[256];

    rig.a = th_block_new(rig.th, "a", SIZE_1440K);
    fill_pattern(th_block_data(rig.a), 0, 2880, SALT_A);
    (void)snprintf(text, sizeof(text), "drives = ( { unit = 0; disk = \"a\"; %s } );", policy);
    rig.fdc = th_plug(rig.th, &backplane_plugin_v1, "fdc0", text);
    assert_non_null(rig.fdc);
    return rig;
}

static void
test_stopped_write_is_made_again_and_not_lost(void **state)
{
    struct rig rig = rig_with_policy("");

    th_block_fail(rig.a, BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    fill_pattern(data(&rig), 100, 1, 1);
    dma_from_memory(&rig, 512);
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    assert_int_equal(th_take_request(rig.th), BP_REQUEST_STOP);
    assert_int_equal(irq(&rig), 0);
    th_stop(rig.fdc);
    th_start(rig.fdc);
    th_run(rig.th);
    expect_result(&rig, 0, 0, 0, 0, 0, 2, 2);
    check_pattern(th_block_durable(rig.a), 100, 1, 1);
    rig_free(&rig);
}

static void
test_failing_flush_is_an_error_of_the_write(void **state)
{
    struct rig rig = rig_new(NULL);

    th_block_info(rig.a)->flags &= ~BP_BLOCK_CAN_FUA;
    th_block_send_event(rig.a, BP_BLOCK_EVENT_MEDIA);
    th_run(rig.th);
    dma_from_memory(&rig, 512);
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 0, 0, 2, 2);
    assert_memory_equal(th_block_durable(rig.a), data(&rig), 512);
    th_block_fail(rig.a, BP_BLOCK_FLUSH, 0, -EIO, 0);
    dma_from_memory(&rig, 512);
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    assert_int_equal(irq(&rig), 1);
    result(&rig, 7);
    assert_int_equal(rig.result[0], 0x40);
    assert_int_equal(rig.result[1], 0x20);
    rig_free(&rig);
}

static void
test_ignored_errors_read_as_zeroes(void **state)
{
    struct rig rig = rig_with_policy("on_read_error = \"ignore\"; on_write_error = \"ignore\";");
    static const uint8_t zeroes[512];

    th_block_fail(rig.a, BP_BLOCK_READ, 0, -EIO, 0);
    dma_to_memory(&rig, 512);
    transfer(&rig, 0x46, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 0, 0, 2, 2);
    assert_memory_equal(data(&rig), zeroes, 512);
    th_block_fail(rig.a, BP_BLOCK_WRITE, 0, -EIO, 0);
    dma_from_memory(&rig, 512);
    transfer(&rig, 0x45, 0, 0, 0, 1, 18);
    expect_result(&rig, 0, 0, 0, 0, 0, 2, 2);
    check_pattern(th_block_data(rig.a), 0, 1, SALT_A);
    rig_free(&rig);
}

/* --- what the user may get wrong ----------------------------------------------------------------
 */

static void
refused(const char *options, uint32_t size, const char *text)
{
    struct th_host *th = th_new();

    (void)th_block_new(th, "a", size);
    (void)th_block_new(th, "b", SIZE_1440K);
    assert_null(th_plug(th, &backplane_plugin_v1, "fdc0", options));
    assert_string_equal(th_error_text(th), text);
    th_free(th);
}

static void
test_wrong_descriptions_are_refused_with_a_reason(void **state)
{
    refused("drives = ( { unit = 0; disk = \"a\"; }, { unit = 0; disk = \"b\"; } );", SIZE_1440K,
            "there is a drive with unit 0 already");
    refused("drives = ( { unit = 0; disk = \"a\"; type = \"none\"; } );", SIZE_1440K,
            "a drive of type \"none\" cannot have a floppy");
    refused("drives = ( { unit = 0; disk = \"a\"; } );", 8u << 20,
            "backend 'a' cannot be in drive 0 (2.88M): its size is that of no floppy which fits "
            "the drive");
    refused("drives = ( { unit = 0; disk = \"a\"; type = \"720K\"; } );", SIZE_1440K,
            "backend 'a' cannot be in drive 0 (720K): its size is that of no floppy which fits "
            "the drive");
}

static void
test_second_controller_finds_its_place_taken(void **state)
{
    struct rig rig = rig_new(NULL);

    assert_null(th_plug(rig.th, &backplane_plugin_v1, "fdc1", NULL));
    assert_string_equal(th_error_text(rig.th), "ports 3F0h-3F5h or 3F7h belong to another device");
    rig_free(&rig);
}

static void
prepare(struct th_host *th, void *opaque)
{
    (void)th_block_new(th, "a", SIZE_1440K);
    (void)th_block_new(th, "b", SIZE_1440K);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    uint32_t calls = th_fail_each_call(&backplane_plugin_v1, NULL,
                                       "drives = ( { unit = 0; disk = \"a\"; },"
                                       "{ unit = 1; disk = \"b\"; } );",
                                       prepare, NULL);

    assert_true(calls >= 13);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size_has_its_first_and_last_sector_and_none_after),
        cmocka_unit_test(test_drive_decides_what_an_ambiguous_size_means),
        cmocka_unit_test(test_media_of_40_tracks_are_found_with_single_and_double_steps),
        cmocka_unit_test(test_image_cut_short_reads_as_zeroes_and_refuses_writes_there),
        cmocka_unit_test(test_firmware_is_told_about_the_drives),
        cmocka_unit_test(test_firmware_may_be_told_not_to_look_for_a_signature),
        cmocka_unit_test(test_controller_without_drives_says_so),
        cmocka_unit_test(test_change_line_stays_until_a_step_with_a_floppy_in),
        cmocka_unit_test(test_other_floppy_has_its_own_format_and_marks),
        cmocka_unit_test(test_empty_drive_takes_a_floppy_that_fits),
        cmocka_unit_test(test_drives_are_listed_with_what_is_in_them),
        cmocka_unit_test(test_floppy_that_leaves_ends_the_command_that_waits_for_it),
        cmocka_unit_test(test_backend_that_changes_its_medium_is_a_changed_floppy),
        cmocka_unit_test(test_medium_that_changes_under_a_request_loses_it),
        cmocka_unit_test(test_unreadable_sector_is_found_and_named),
        cmocka_unit_test(test_unwritable_sector_is_found_and_named),
        cmocka_unit_test(test_stopped_write_is_made_again_and_not_lost),
        cmocka_unit_test(test_failing_flush_is_an_error_of_the_write),
        cmocka_unit_test(test_ignored_errors_read_as_zeroes),
        cmocka_unit_test(test_wrong_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_second_controller_finds_its_place_taken),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
