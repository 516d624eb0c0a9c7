/* SPDX-License-Identifier: Apache-2.0 */
/* Failing backends, the four policies, failing host calls. */
#include "ide_test.h"

#include <stdio.h>

/* Sector `bad` fails whenever a request covers it: the fake's scripts count requests, so the tests
 * say how many must fail until the disk has closed in on one sector. */
static void
fail_reads(struct rig *rig, uint32_t times)
{
    while (times-- > 0) {
        th_block_fail(rig->disk, BP_BLOCK_READ, 0, -EIO, 0);
    }
}

static void
test_a_bad_sector_ends_a_pio_read_after_the_good_ones(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[512];
    const char *json;

    /* 4 sectors at 100, the third is bad: 4 fail, 100-101 pass, 102-103 fail, 102 fails. */
    th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_READ, 2, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_READ, 3, -EIO, 0);
    command28(&rig, ATA_READ_SECTORS, 0, 100, 4);
    th_run(rig.th);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
        data_in(&rig, data, 512);
        check_pattern(data, 100 + i, 1);
    }
    expect_error(&rig, ATA_UNC);
    assert_int_equal(get(&rig, ATA_REG_LOW), 102);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 2);
    assert_string_equal(th_event(rig.th, 0, &json), "BLOCK_IO_ERROR");
    assert_non_null(strstr(json, "\"operation\":\"read\",\"action\":\"report\",\"nospace\":false"));
    assert_null(th_event(rig.th, 1, &json));
    rig_free(&rig);
}

static void
test_a_bad_sector_ends_a_dma_read_with_its_address(void **state)
{
    struct rig rig = rig_new(NULL);

    fail_reads(&rig, 4); /* 8, 4, 2, 1 sectors */
    prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
    bm_start(&rig, 1);
    command48(&rig, ATA_READ_DMA_EXT, 0x1234, 8);
    expect_error(&rig, ATA_UNC);
    assert_int_equal(get(&rig, ATA_REG_LOW), 0x34);
    assert_int_equal(get(&rig, ATA_REG_MID), 0x12);
    assert_int_equal(get(&rig, ATA_REG_COUNT), 8);
    assert_int_equal(bm_status(&rig), BM_ACTIVE | BM_INT);
    bm_stop(&rig);
    bm_start(&rig, 1);
    command48(&rig, ATA_READ_DMA_EXT, 0x1234, 8);
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_a_failed_write_is_reported(void **state)
{
    struct rig rig = rig_new(NULL);
    uint8_t data[1024] = {0};

    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 2, -EIO, 0); /* the second of two sectors */
    command28(&rig, ATA_WRITE_SECTORS, 0, 30, 2);
    data_out(&rig, data, 1024);
    expect_error(&rig, ATA_ABRT);
    assert_int_equal(get(&rig, ATA_REG_LOW), 31);
    assert_int_equal(th_take_request(rig.th), 0);
    rig_free(&rig);
}

static void
test_a_read_only_backend_refuses_writes(void **state)
{
    struct rig rig = rig_new(NULL);

    th_block_info(rig.disk)->flags |= BP_BLOCK_READONLY;
    prd(&rig, 0, BUFFER, 512 | PRD_EOT);
    bm_start(&rig, 0);
    command28(&rig, ATA_WRITE_DMA, 0, 3, 1);
    expect_error(&rig, ATA_ABRT);
    check_pattern(th_block_data(rig.disk) + (size_t)3 * 512, 3, 1);
    rig_free(&rig);
}

static void
test_no_space_stops_the_machine_and_the_write_is_retried(void **state)
{
    struct rig rig = rig_new(NULL);
    const char *json;

    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    fill_pattern(th_ram(rig.th, BUFFER, 4096), 600, 8);
    prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
    bm_start(&rig, 0);
    command28(&rig, ATA_WRITE_DMA, 0, 80, 8);
    for (uint32_t i = 0; i < 2; i++) {
        th_run(rig.th);
        assert_int_equal(th_take_request(rig.th), BP_REQUEST_STOP);
        assert_int_equal(irq(&rig), 0);
        assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
        assert_int_equal(bm_status(&rig), BM_ACTIVE);
        th_stop(rig.ide);
        th_start(rig.ide);
    }
    expect_success(&rig);
    check_pattern(th_block_data(rig.disk) + (size_t)80 * 512, 600, 8);
    assert_string_equal(th_event(rig.th, 1, &json), "BLOCK_IO_ERROR");
    assert_non_null(strstr(json, "\"action\":\"stop\",\"nospace\":true"));
    rig_free(&rig);
}

static void
test_stop_holds_reads_and_flushes_too(void **state)
{
    struct rig rig = rig_new("on_read_error = \"stop\"; on_write_error = \"stop\";");
    uint8_t data[512];

    th_block_fail(rig.disk, 0, 0, -EIO, 0);
    command28(&rig, ATA_READ_SECTORS, 0, 9, 1);
    th_run(rig.th);
    assert_int_equal(th_take_request(rig.th), BP_REQUEST_STOP);
    th_start(rig.ide);
    th_run(rig.th);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_in(&rig, data, 512);
    check_pattern(data, 9, 1);
    th_block_fail(rig.disk, BP_BLOCK_FLUSH, 0, -EIO, 0);
    put(&rig, ATA_REG_STATUS, ATA_FLUSH_CACHE);
    th_run(rig.th);
    assert_int_equal(th_take_request(rig.th), BP_REQUEST_STOP);
    assert_int_equal(alt_status(&rig), ATA_BSY | ATA_DRDY | ATA_DSC);
    th_start(rig.ide);
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_a_reset_drops_what_was_held(void **state)
{
    struct rig rig = rig_new("on_write_error = \"stop\";");
    uint32_t count;

    th_block_fail(rig.disk, BP_BLOCK_FLUSH, 0, -EIO, 0);
    put(&rig, ATA_REG_STATUS, ATA_FLUSH_CACHE);
    th_run(rig.th);
    th_out(rig.th, rig.control, 1, ATA_CONTROL_SRST);
    th_out(rig.th, rig.control, 1, 0);
    assert_int_equal(status(&rig), ATA_DRDY | ATA_DSC);
    th_start(rig.ide);
    th_run(rig.th);
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 1);
    rig_free(&rig);
}

static void
test_ignored_errors_read_as_zeroes_and_lose_the_write(void **state)
{
    struct rig rig = rig_new("on_read_error = \"ignore\"; on_write_error = \"ignore\";");
    uint8_t *ram = th_ram(rig.th, BUFFER, 1024);

    memset(ram, 0xaa, 1024);
    fail_reads(&rig, 2); /* 2 sectors, then the first */
    prd(&rig, 0, BUFFER, 1024 | PRD_EOT);
    bm_start(&rig, 1);
    command28(&rig, ATA_READ_DMA, 0, 55, 2);
    expect_success(&rig);
    for (uint32_t i = 0; i < 512; i++) {
        assert_int_equal(ram[i], 0);
    }
    check_pattern(ram + 512, 56, 1);
    bm_stop(&rig);
    th_block_fail(rig.disk, BP_BLOCK_WRITE, 0, -EIO, 0);
    bm_start(&rig, 0);
    command28(&rig, ATA_WRITE_DMA, 0, 66, 1);
    expect_success(&rig);
    check_pattern(th_block_data(rig.disk) + (size_t)66 * 512, 66, 1);
    rig_free(&rig);
}

static void
test_a_backend_that_loses_its_medium_fails_requests(void **state)
{
    struct rig rig = rig_new(NULL);

    th_block_set_medium(rig.disk, 0);
    th_run(rig.th);
    command28(&rig, ATA_READ_SECTORS, 0, 0, 1);
    expect_error(&rig, ATA_UNC);
    put(&rig, ATA_REG_STATUS, ATA_READ_NATIVE_MAX);
    expect_success(&rig);
    assert_int_equal(get(&rig, ATA_REG_LOW), (DISK_SECTORS - 1) & 0xff);
    th_block_set_medium(rig.disk, 1);
    th_run(rig.th);
    command28(&rig, ATA_VERIFY, 0, 0, 1);
    expect_success(&rig);
    rig_free(&rig);
}

static void
test_verify_reports_the_bad_sector(void **state)
{
    struct rig rig = rig_new(NULL);

    fail_reads(&rig, 2);
    command28(&rig, ATA_VERIFY, 0, 70, 2);
    expect_error(&rig, ATA_UNC);
    assert_int_equal(get(&rig, ATA_REG_LOW), 70);
    rig_free(&rig);
}

/* --- options --------------------------------------------------------------------------------- */

static void
refuse(const char *options, const char *message)
{
    struct th_host *th = th_new();

    (void)th_block_new(th, "sys", 1 << 20);
    (void)th_block_new(th, "two", 1 << 20);
    assert_null(th_plug(th, &backplane_plugin_v1, "ide0", options));
    if (strstr(th_error_text(th), message) == NULL) {
        fail_msg("\"%s\" instead of \"%s\"", th_error_text(th), message);
    }
    th_free(th);
}

static void
test_bad_options_are_explained(void **state)
{
    refuse("drives = ( { channel = 0; disk = \"sys\"; }, { channel = 0; disk = \"two\"; } );",
           "channel 0 already has a unit 0");
    refuse("drives = ( { channel = 0; disk = \"sys\"; wwn = \"0x123\"; } );",
           "is not 16 hexadecimal digits");
    refuse("drives = ( { channel = 0; disk = \"sys\"; wwn = \"5000c500a1b2c3dx\"; } );",
           "is not 16 hexadecimal digits");
    refuse("drives = ( { channel = 0; disk = \"sys\"; heads = 4; } );", "must be given together");
    refuse("drives = ( { channel = 0; disk = \"sys\"; rotation_rate = 7; } );",
           "is not 0, 1 or at least 1025");
    refuse("drives = ( { channel = 0; disk = \"sys\"; physical_block_size = 3000; } );",
           "is not a power of two");
    refuse("drives = ( { channel = 0; disk = \"sys\"; serial = \"caf\xc3\xa9\"; } );",
           "printable ASCII");
}

static void
test_backends_that_are_no_disks_are_refused(void **state)
{
    struct th_host *th = th_new();
    struct th_block *block = th_block_new(th, "sys", 1 << 20);

    th_block_info(block)->block_size = 4096;
    assert_null(th_plug(th, &backplane_plugin_v1, "ide0",
                        "drives = ( { channel = 0; disk = \"sys\"; } );"));
    assert_non_null(strstr(th_error_text(th), "backend 'sys' cannot be used as a disk"));
    th_free(th);
}

static void
test_a_controller_without_drives_is_allowed(void **state)
{
    struct th_host *th = th_new();

    assert_non_null(th_plug(th, &backplane_plugin_v1, "ide0", NULL));
    assert_int_equal(th_in(th, 0x1f7, 1), 0);
    th_free(th);
}

static void
test_firmware_is_told_of_disks(void **state)
{
    struct rig rig = rig_new_two(1, 1);

    assert_string_equal(th_boot_path(rig.ide, "0.0"), "drive@0/disk@0");
    assert_string_equal(th_boot_path(rig.ide, "1.1"), "drive@1/disk@1");
    assert_null(th_boot_path(rig.ide, "0.1"));
    assert_int_equal(th_cmos(rig.th, 0x12), 0xf0);
    assert_int_equal(th_cmos(rig.th, 0x19), 47);
    assert_int_equal(th_cmos(rig.th, 0x1b), 20); /* cylinders */
    assert_int_equal(th_cmos(rig.th, 0x1d), 16);
    assert_int_equal(th_cmos(rig.th, 0x23), 63);
    assert_int_equal(th_cmos(rig.th, 0x39), 0);
    rig_free(&rig);
}

static const char *
geometry_file(struct rig *rig)
{
    uint64_t length = 0;
    const char *text = th_firmware_file(rig->th, "bios-geometry", &length);

    if (text != NULL) {
        assert_int_equal(text[length - 1], '\0');
    }
    return text;
}

static void
test_firmware_is_told_of_translations_and_logical_geometries(void **state)
{
    static const char *const choices[] = {"none", "lba", "large", "rechs"};
    struct rig rig = rig_new("logical_cylinders = 40; logical_heads = 8; logical_sectors = 32;");

    assert_string_equal(geometry_file(&rig), "/pci@i0cf8/ide@3,0/drive@0/disk@0 40 8 32\n");
    rig_free(&rig);
    for (uint32_t i = 0; i < 4; i++) {
        char options[64];
        (void)snprintf(options, sizeof(options), "translation = \"%s\";", choices[i]);
        rig = rig_new(options);
        assert_int_equal(th_cmos(rig.th, 0x39), i);
        assert_null(geometry_file(&rig));
        rig_free(&rig);
    }
}

/* A disk whose only partition ends at this head and sector. */
static struct rig
partitioned(uint8_t head, uint8_t sector, const char *options)
{
    struct rig rig = {.th = th_new()};
    char text[128];
    uint8_t *mbr;

    rig.disk = th_block_new(rig.th, "sys", (uint64_t)DISK_SECTORS * ATA_SECTOR);
    mbr = th_block_data(rig.disk);
    mbr[446 + 16 + 4] = 0x83; /* the second entry */
    mbr[446 + 16 + 5] = head;
    mbr[446 + 16 + 6] = (uint8_t)(0xc0 | sector);
    mbr[510] = 0x55;
    mbr[511] = 0xaa;
    (void)snprintf(text, sizeof(text),
                   "drives = ( { channel = 0; unit = 0; disk = \"sys\"; %s } );", options);
    rig.ide = th_plug(rig.th, &backplane_plugin_v1, "ide0", text);
    assert_non_null(rig.ide);
    th_pci_place(rig.ide);
    rig_channel(&rig, 0);
    return rig;
}

static void
test_geometry_is_guessed_from_partitions_when_asked_for(void **state)
{
    struct rig rig = partitioned(7, 32, "");
    uint16_t id[256];
    uint32_t count;

    identify(&rig, id);
    assert_int_equal(id[3], 16); /* not asked for, not read */
    (void)th_block_log(rig.disk, &count);
    assert_int_equal(count, 0);
    rig_free(&rig);
    rig = partitioned(7, 32, "guess_geometry = true;");
    identify(&rig, id);
    assert_int_equal(id[1], DISK_SECTORS / (8 * 32));
    assert_int_equal(id[3], 8);
    assert_int_equal(id[55], 8);
    assert_int_equal(id[6], 32);
    assert_int_equal(th_cmos(rig.th, 0x1d), 8);
    assert_null(geometry_file(&rig));
    rig_free(&rig);
    rig = partitioned(254, 63, "guess_geometry = true;");
    identify(&rig, id);
    assert_int_equal(id[3], 16); /* 255 heads are a translation */
    assert_string_equal(geometry_file(&rig), "/pci@i0cf8/ide@3,0/drive@0/disk@0 1 255 63\n");
    rig_free(&rig);
    rig = partitioned(7, 0, "guess_geometry = true;"); /* no sector 0 */
    identify(&rig, id);
    assert_int_equal(id[3], 16);
    rig_free(&rig);
}

static void
give_backends(struct th_host *th, void *opaque)
{
    (void)th_block_new(th, "sys", 1 << 20);
    (void)th_block_new(th, "two", 1 << 20);
}

static void
test_each_failing_host_call_leaves_nothing_behind(void **state)
{
    uint32_t calls = th_fail_each_call(
        &backplane_plugin_v1, NULL,
        "drives = ( { channel = 0; disk = \"sys\"; }, { channel = 1; disk = \"two\"; } );",
        give_backends, NULL);

    assert_in_range(calls, 12, 200);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bad_sector_ends_a_pio_read_after_the_good_ones),
        cmocka_unit_test(test_a_bad_sector_ends_a_dma_read_with_its_address),
        cmocka_unit_test(test_a_failed_write_is_reported),
        cmocka_unit_test(test_a_read_only_backend_refuses_writes),
        cmocka_unit_test(test_no_space_stops_the_machine_and_the_write_is_retried),
        cmocka_unit_test(test_stop_holds_reads_and_flushes_too),
        cmocka_unit_test(test_a_reset_drops_what_was_held),
        cmocka_unit_test(test_ignored_errors_read_as_zeroes_and_lose_the_write),
        cmocka_unit_test(test_a_backend_that_loses_its_medium_fails_requests),
        cmocka_unit_test(test_verify_reports_the_bad_sector),
        cmocka_unit_test(test_bad_options_are_explained),
        cmocka_unit_test(test_backends_that_are_no_disks_are_refused),
        cmocka_unit_test(test_a_controller_without_drives_is_allowed),
        cmocka_unit_test(test_firmware_is_told_of_disks),
        cmocka_unit_test(test_firmware_is_told_of_translations_and_logical_geometries),
        cmocka_unit_test(test_geometry_is_guessed_from_partitions_when_asked_for),
        cmocka_unit_test(test_each_failing_host_call_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
