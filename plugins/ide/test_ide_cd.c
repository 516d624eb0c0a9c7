/* SPDX-License-Identifier: Apache-2.0 */
/* CD/DVD drives as such: errors, media, saved states, options. */
#include "ide_cd_test.h"

#include <stdio.h>
#include <stdlib.h>

/* --- errors ---------------------------------------------------------------------------------- */

static void
test_addresses_beyond_the_end_are_refused(void **state)
{
    struct rig rig = one_cd();

    read10(&rig, 0, 2048, CD_BLOCKS - 1, 2);
    expect_end(&rig, 0x50);
    assert_int_equal(sense(&rig), 0x052100);
    prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
    bm_start(&rig, 1);
    read10(&rig, 1, 0, CD_BLOCKS, 1);
    assert_int_equal(bm_status(&rig), BM_ACTIVE | BM_INT);
    expect_end(&rig, 0x50);
    rig_free(&rig);
}

static void
test_a_bad_block_is_reported_or_ignored(void **state)
{
    struct rig rig = one_cd();
    const char *json;

    th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    read10(&rig, 0, 2048, 7, 1);
    expect_end(&rig, 0x30);
    assert_int_equal(sense(&rig), 0x031100);
    assert_string_equal(th_event(rig.th, 0, &json), "BLOCK_IO_ERROR");
    assert_non_null(strstr(json, "\"device\":\"ide0:0.0\""));
    assert_non_null(strstr(json, "\"action\":\"report\""));
    rig_free(&rig);

    rig = cd_rig(
        "drives = ( { channel = 0; unit = 0; cdrom = \"cd\"; on_read_error = \"ignore\"; } );");
    prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
    memset(th_ram(rig.th, BUFFER, 4096), 0xaa, 4096);
    th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    bm_start(&rig, 1);
    read10(&rig, 1, 0, 7, 2);
    expect_end(&rig, 0);
    for (uint32_t i = 0; i < BLOCK; i++) {
        assert_int_equal(((uint8_t *)th_ram(rig.th, BUFFER, 4096))[i], 0);
    }
    check_pattern(th_ram(rig.th, BUFFER + BLOCK, BLOCK), 32, 4);
    rig_free(&rig);
}

static void
test_a_stopped_read_is_made_again_when_the_machine_goes_on(void **state)
{
    struct rig rig = cd_rig(
        "drives = ( { channel = 0; unit = 0; cdrom = \"cd\"; on_read_error = \"stop\"; } );");
    uint8_t data[2 * BLOCK];

    for (uint32_t dma = 0; dma < 2; dma++) {
        th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
        th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
        prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
        bm_start(&rig, 1);
        read10(&rig, (uint8_t)dma, 4096, 7, 2);
        assert_int_equal(alt_status(&rig) & ATA_BSY, ATA_BSY);
        assert_int_equal(th_take_request(rig.th), BP_REQUEST_STOP);
        th_stop(rig.ide);
        th_start(rig.ide);
        th_run(rig.th);
        if (dma) {
            memcpy(data, th_ram(rig.th, BUFFER, 4096), 4096);
        } else {
            take_burst(&rig, data, 4096);
        }
        expect_end(&rig, 0);
        check_pattern(data, 28, 8);
        bm_stop(&rig);
    }
    rig_free(&rig);
}

/* --- media ----------------------------------------------------------------------------------- */

static void
expect_tray_event(struct rig *rig, uint32_t number, uint32_t open)
{
    const char *json;
    const char *name = th_event(rig->th, number, &json);

    assert_non_null(name);
    assert_string_equal(name, "DEVICE_TRAY_MOVED");
    assert_non_null(strstr(json, open ? "true" : "false"));
}

static void
swap_medium(struct rig *rig, const char *backend)
{
    assert_int_equal(th_quiesce(rig->ide), 0);
    th_detach(rig->ide, 1, 0);
    if (backend != NULL) {
        assert_int_equal(th_attach(rig->ide, 1, 0, backend), 0);
    }
    th_resume(rig->ide);
}

static void
test_a_change_of_medium_is_noticed_in_two_steps(void **state)
{
    struct rig rig = one_cd();
    struct bp_media_drive drive;
    uint8_t data[8];

    PACKET(&rig, 0, 0, 0x00);
    expect_end(&rig, 0);
    assert_int_equal(th_tray_open(rig.ide, 0, 0), 0);
    expect_tray_event(&rig, 0, 1);
    assert_int_equal(th_drive(rig.ide, 0, &drive), 0);
    assert_int_equal(drive.flags,
                     BP_MEDIA_REMOVABLE | BP_MEDIA_TRAY | BP_MEDIA_READ_ONLY | BP_MEDIA_OPEN);
    assert_string_equal(drive.unit, "0.0");
    swap_medium(&rig, "two");
    assert_int_equal(th_drive(rig.ide, 0, &drive), 0);
    assert_int_equal(drive.flags & BP_MEDIA_OPEN, BP_MEDIA_OPEN); /* until it is pushed in */
    assert_int_equal(th_tray_close(rig.ide, 0), 0);
    expect_tray_event(&rig, 1, 0);
    assert_int_equal(th_drive(rig.ide, 0, &drive), 0);
    assert_int_equal(drive.flags & BP_MEDIA_PRESENT, BP_MEDIA_PRESENT);
    PACKET(&rig, 0, 0, 0x00);
    expect_end(&rig, 0x20);
    assert_int_equal(sense(&rig) >> 8, 0x023a);
    PACKET(&rig, 0, 0, 0x00);
    expect_end(&rig, 0x60);
    assert_int_equal(sense(&rig), 0x062800);
    PACKET(&rig, 0, 0, 0x00);
    expect_end(&rig, 0);
    PACKET(&rig, 0, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    take_burst(&rig, data, 8);
    expect_end(&rig, 0);
    assert_int_equal(data[2] << 8 | data[3], DISK_SECTORS / 4 - 1);
    rig_free(&rig);
}

static void
test_a_locked_tray_makes_a_request_of_an_eject(void **state)
{
    struct rig rig = one_cd();
    struct bp_media_drive drive;
    uint8_t data[8];

    PACKET(&rig, 0, 0, 0x1e, 0, 0, 0, 1, 0);
    expect_end(&rig, 0);
    assert_int_equal(th_tray_open(rig.ide, 0, 0), BP_MEDIA_REFUSED);
    assert_int_equal(th_drive(rig.ide, 0, &drive), 0);
    assert_int_equal(drive.flags & (BP_MEDIA_LOCKED | BP_MEDIA_EJECT_REQUESTED | BP_MEDIA_OPEN),
                     BP_MEDIA_LOCKED | BP_MEDIA_EJECT_REQUESTED);
    PACKET(&rig, 0, 8, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0); /* GET EVENT STATUS NOTIFICATION */
    take_burst(&rig, data, 8);
    expect_end(&rig, 0);
    assert_int_equal(data[2], 4);
    assert_int_equal(data[4] & 0xf, 1); /* eject request */
    PACKET(&rig, 0, 0, 0x1e, 0, 0, 0, 0, 0);
    expect_end(&rig, 0);
    assert_null(th_event(rig.th, 0, NULL));
    PACKET(&rig, 0, 0, 0x1b, 0, 0, 0, 2, 0); /* the guest ejects */
    expect_end(&rig, 0);
    expect_tray_event(&rig, 0, 1);
    PACKET(&rig, 0, 0, 0x1b, 0, 0, 0, 3, 0);
    expect_end(&rig, 0);
    expect_tray_event(&rig, 1, 0);
    PACKET(&rig, 0, 0, 0x00); /* whoever closed it still has to notice the medium */
    assert_int_equal(status(&rig), IDLE | ATA_ERR);
    rig_free(&rig);
}

static void
test_force_opens_a_locked_tray(void **state)
{
    struct rig rig = one_cd();
    struct bp_media_drive drive;

    PACKET(&rig, 0, 0, 0x1e, 0, 0, 0, 1, 0);
    expect_end(&rig, 0);
    assert_int_equal(th_tray_open(rig.ide, 0, BP_MEDIA_FORCE), 0);
    assert_int_equal(th_drive(rig.ide, 0, &drive), 0);
    assert_int_equal(drive.flags & (BP_MEDIA_LOCKED | BP_MEDIA_OPEN), BP_MEDIA_OPEN);
    rig_free(&rig);
}

static void
test_an_empty_drive_says_so_and_takes_a_medium(void **state)
{
    struct rig rig = cd_rig("drives = ( { channel = 0; unit = 0; kind = \"cdrom\"; },"
                            "{ channel = 0; unit = 1; cdrom = \"cd\"; } );");
    struct bp_media_drive drive;

    PACKET(&rig, 0, 0, 0x00);
    expect_end(&rig, 0x20);
    assert_int_equal(sense(&rig) >> 8, 0x023a);
    read10(&rig, 0, 2048, 0, 1);
    expect_end(&rig, 0x20);
    assert_int_equal(th_drive(rig.ide, 0, &drive), 0);
    assert_int_equal(drive.slot, 1);
    assert_int_equal(drive.use, 1); /* after the one that the description fills */
    assert_int_equal(th_drive(rig.ide, 1, &drive), 0);
    assert_int_equal(drive.use, 0);
    assert_int_equal(th_drive(rig.ide, 2, &drive), -ENOENT);
    assert_int_equal(th_tray_open(rig.ide, 0, 0), 0);
    assert_int_equal(th_quiesce(rig.ide), 0);
    assert_int_equal(th_attach(rig.ide, 1, 1, "two"), 0);
    th_resume(rig.ide);
    assert_int_equal(th_tray_close(rig.ide, 0), 0);
    PACKET(&rig, 0, 0, 0x00);
    expect_end(&rig, 0x60); /* its absence was told before */
    assert_int_equal(sense(&rig), 0x062800);
    PACKET(&rig, 0, 0, 0x00);
    expect_end(&rig, 0);
    rig_free(&rig);
}

/* --- states ---------------------------------------------------------------------------------- */

/* Saves, breaks everything, restores. */
static void
save_and_restore(struct rig *rig)
{
    uint8_t *data;
    uint64_t length;

    th_block_hold(rig->disk, 0);
    assert_int_equal(th_quiesce(rig->ide), 0);
    assert_int_equal(th_save(rig->ide, &data, &length), 0);
    th_resume(rig->ide);
    th_run(rig->th);
    th_reset(rig->ide, BP_RESET_SYSTEM);
    th_pci_place(rig->ide);
    assert_int_equal(th_validate(rig->ide, data, length), 0);
    assert_int_equal(th_restore(rig->ide, data, length), 0);
    th_run(rig->th);
    free(data);
}

static void
test_a_packet_survives_a_saved_state_at_each_step(void **state)
{
    static const uint8_t packet[12] = {0x28, 0, 0, 0, 0, 9, 0, 0, 100};
    struct rig rig = one_cd();
    uint8_t *data = malloc(100 * BLOCK);

    start_packet(&rig, 0, 60000);
    data_out(&rig, packet, 6);
    save_and_restore(&rig); /* half of the packet */
    data_out(&rig, packet + 6, 6);
    th_run(rig.th);
    assert_int_equal(irq(&rig), 1);
    (void)status(&rig);
    data_in(&rig, data, 1000);
    save_and_restore(&rig); /* amid a burst */
    assert_int_equal(irq(&rig), 0);
    data_in(&rig, data + 1000, 59000);
    th_run(rig.th);
    save_and_restore(&rig); /* between bursts; its interrupt is pending */
    for (uint32_t at = 60000; at < 100 * BLOCK; at += 60000) {
        uint32_t n = 100 * BLOCK - at < 60000 ? 100 * BLOCK - at : 60000;
        take_burst(&rig, data + at, n);
        save_and_restore(&rig);
    }
    expect_end(&rig, 0);
    check_pattern(data, 36, 400);
    free(data);
    rig_free(&rig);
}

static void
test_requests_that_were_held_survive_a_saved_state(void **state)
{
    struct rig rig = cd_rig(
        "drives = ( { channel = 0; unit = 0; cdrom = \"cd\"; on_read_error = \"stop\"; } );");
    uint8_t data[4096];

    for (uint32_t dma = 0; dma < 2; dma++) {
        prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
        bm_start(&rig, 1);
        th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
        th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
        read10(&rig, (uint8_t)dma, 4096, 7, 2);
        assert_int_equal(th_take_request(rig.th), BP_REQUEST_STOP);
        memset(th_ram(rig.th, BUFFER, 4096), 0, 4096);
        {
            uint8_t *saved;
            uint64_t length;
            assert_int_equal(th_quiesce(rig.ide), 0);
            assert_int_equal(th_save(rig.ide, &saved, &length), 0);
            th_reset(rig.ide, BP_RESET_SYSTEM);
            th_pci_place(rig.ide);
            assert_int_equal(th_restore(rig.ide, saved, length), 0);
            th_resume(rig.ide);
            th_run(rig.th);
            free(saved);
        }
        if (dma) {
            memcpy(data, th_ram(rig.th, BUFFER, 4096), 4096);
        } else {
            take_burst(&rig, data, 4096);
        }
        expect_end(&rig, 0);
        check_pattern(data, 28, 8);
        bm_stop(&rig);
    }
    rig_free(&rig);
}

/* Found by fuzzing: the held task stayed in the engine's list while its memory was used again. */
static void
test_a_state_is_restored_over_a_request_that_is_held(void **state)
{
    struct rig rig = cd_rig(
        "drives = ( { channel = 0; unit = 0; cdrom = \"cd\"; on_read_error = \"stop\"; } );");
    uint8_t *saved, data[BLOCK];
    uint64_t length;

    th_block_fail(rig.disk, BP_BLOCK_READ, 0, -EIO, 0);
    read10(&rig, 0, 4096, 7, 1);
    assert_int_equal(th_quiesce(rig.ide), 0);
    assert_int_equal(th_save(rig.ide, &saved, &length), 0);
    assert_int_equal(th_restore(rig.ide, saved, length), 0);
    th_block_hold(rig.disk, 1);
    th_resume(rig.ide);
    assert_int_equal(th_block_in_flight(rig.disk), 1);
    th_block_hold(rig.disk, 0);
    th_run(rig.th);
    take_burst(&rig, data, BLOCK);
    expect_end(&rig, 0);
    check_pattern(data, 28, 4);
    free(saved);
    rig_free(&rig);
}

static void
test_waiting_for_the_bus_master_survives_a_saved_state(void **state)
{
    struct rig rig = one_cd();

    prd(&rig, 0, BUFFER, 4096 | PRD_EOT);
    read10(&rig, 1, 0, 7, 2);
    put(&rig, ATA_REG_STATUS, ATA_PACKET); /* ignored: DRQ */
    save_and_restore(&rig);
    bm_start(&rig, 1);
    th_run(rig.th);
    expect_end(&rig, 0);
    check_pattern(th_ram(rig.th, BUFFER, 4096), 28, 8);
    rig_free(&rig);
}

/* --- options --------------------------------------------------------------------------------- */

static void
test_contradictions_are_explained(void **state)
{
    static const struct {
        const char *drive, *text;
    } wrong[] = {
        {"cdrom = \"cd\"; disk = \"two\";", "either"},
        {"kind = \"cdrom\"; disk = \"two\";", "either"},
        {"kind = \"disk\";", "which backend"},
        {"", "which backend"},
        {"cdrom = \"cd\"; rotation_rate = 1;", "is for disks"},
        {"cdrom = \"cd\"; heads = 16;", "is for disks"},
    };
    char text[256];

    for (uint32_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct th_host *th = th_new();
        (void)th_block_new(th, "cd", 1 << 20);
        (void)th_block_new(th, "two", 1 << 20);
        (void)snprintf(text, sizeof(text), "drives = ( { channel = 0; unit = 0; %s } );",
                       wrong[i].drive);
        assert_null(th_plug(th, &backplane_plugin_v1, "ide0", text));
        assert_non_null(strstr(th_error_text(th), wrong[i].text));
        th_free(th);
    }
}

static void
setup_backends(struct th_host *th, void *opaque)
{
    (void)th_block_new(th, "cd", 1 << 20);
}

static void
test_each_failing_call_of_creation_leaves_nothing(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL,
                                  "drives = ( { channel = 0; unit = 0; cdrom = \"cd\"; },"
                                  "{ channel = 1; unit = 1; kind = \"cdrom\"; } );",
                                  setup_backends, NULL) > 10);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_beyond_the_end_are_refused),
        cmocka_unit_test(test_a_bad_block_is_reported_or_ignored),
        cmocka_unit_test(test_a_stopped_read_is_made_again_when_the_machine_goes_on),
        cmocka_unit_test(test_a_change_of_medium_is_noticed_in_two_steps),
        cmocka_unit_test(test_a_locked_tray_makes_a_request_of_an_eject),
        cmocka_unit_test(test_force_opens_a_locked_tray),
        cmocka_unit_test(test_an_empty_drive_says_so_and_takes_a_medium),
        cmocka_unit_test(test_a_packet_survives_a_saved_state_at_each_step),
        cmocka_unit_test(test_requests_that_were_held_survive_a_saved_state),
        cmocka_unit_test(test_a_state_is_restored_over_a_request_that_is_held),
        cmocka_unit_test(test_waiting_for_the_bus_master_survives_a_saved_state),
        cmocka_unit_test(test_contradictions_are_explained),
        cmocka_unit_test(test_each_failing_call_of_creation_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
