/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-cd as an adapter sees it: what the engine's tests cannot see, the plugin around it. */
#include <backplane/testhost.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB  (1u << 20)
#define DATA 0x100000u

struct adapter {
    struct th_host *th;
    struct th_block *block;
    struct bp_instance *cd;
    const struct bp_scsi_ops *ops;
    void *self;
    void *queue;
    struct bp_scsi_completion last;
    uint32_t ended;
    uint32_t events;
    struct bp_iovec in;
    uint8_t sense[96];
};

static void
complete(void *opaque, const struct bp_scsi_completion *completions, uint32_t count)
{
    struct adapter *adapter = opaque;

    adapter->last = completions[count - 1];
    adapter->ended += count;
}

static void
managed(void *opaque, uint64_t user, int32_t result)
{
}

static void
event(void *opaque, uint32_t what, uint32_t detail)
{
    struct adapter *adapter = opaque;

    adapter->events++;
}

static const struct bp_scsi_client client = {
    .size = sizeof(client), .complete = complete, .managed = managed, .event = event};

static uint32_t
send(struct adapter *adapter, const uint8_t *cdb, uint32_t length, uint32_t in)
{
    struct bp_scsi_request request = {.cdb_length = length,
                                      .in_iov = &adapter->in,
                                      .in_count = 1,
                                      .in_length = in,
                                      .sense = adapter->sense,
                                      .sense_size = 96};

    adapter->in = (struct bp_iovec){th_ram(adapter->th, DATA, in), in};
    memcpy(request.cdb, cdb, length);
    adapter->ended = 0;
    assert_int_equal(adapter->ops->submit(adapter->self, adapter->queue, &request, 1), 1);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 1);
    return adapter->last.status;
}

#define CDB(...)                                                                                   \
    (const uint8_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define SEND(adapter, in, ...) send((adapter), CDB(__VA_ARGS__), sizeof(CDB(__VA_ARGS__)), (in))

static int
setup(void **state)
{
    struct adapter *adapter = calloc(1, sizeof(*adapter));
    struct bp_scsi_queue_args args = {
        .size = sizeof(args), .depth = 4, .client = &client, .opaque = adapter};

    adapter->th = th_new();
    adapter->block = th_block_new(adapter->th, "iso", MIB);
    adapter->cd = th_plug(adapter->th, &backplane_plugin_v1, "cd0", "backend = \"iso\";");
    assert_non_null(adapter->cd);
    adapter->ops = th_table(adapter->cd, BP_SCSI_ID);
    adapter->self = th_self(adapter->cd);
    assert_int_equal(adapter->ops->queue_open(adapter->self, &args, &adapter->queue), 0);
    assert_int_equal(SEND(adapter, 64, 0, 0, 0, 0, 0, 0), BP_SCSI_CHECK_CONDITION);
    *state = adapter;
    return 0;
}

static int
teardown(void **state)
{
    struct adapter *adapter = *state;

    adapter->ops->queue_close(adapter->self, adapter->queue);
    th_free(adapter->th);
    free(adapter);
    return 0;
}

static void
test_drive_reads_cooked_and_raw_sectors(void **state)
{
    struct adapter *adapter = *state;
    struct bp_scsi_info info = {.size = sizeof(info)};
    const uint8_t *image = th_block_data(adapter->block);

    assert_int_equal(adapter->ops->info(adapter->self, &info), 0);
    assert_int_equal(info.type, BP_SCSI_TYPE_CDROM);
    assert_int_equal(SEND(adapter, 4096, 0x28, 0, 0, 0, 0, 16, 0, 0, 2, 0), BP_SCSI_GOOD);
    assert_memory_equal(th_ram(adapter->th, DATA, 4096), image + 32768, 4096);
    assert_int_equal(SEND(adapter, 9408, 0xbe, 0, 0, 0, 0, 16, 0, 0, 4, 0xf8, 0, 0), BP_SCSI_GOOD);
    assert_memory_equal((uint8_t *)th_ram(adapter->th, DATA, 9408) + 2352 + 16, image + 34816,
                        2048);
}

static void
test_medium_leaves_and_comes_back(void **state)
{
    struct adapter *adapter = *state;

    assert_int_equal(SEND(adapter, 64, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
    th_block_set_medium(adapter->block, 0);
    th_run(adapter->th);
    assert_int_equal(SEND(adapter, 64, 0, 0, 0, 0, 0, 0), BP_SCSI_CHECK_CONDITION);
    assert_memory_equal(adapter->sense + 12, CDB(0x3a, 1), 2);
    adapter->events = 0;
    th_block_set_medium(adapter->block, 1);
    th_run(adapter->th);
    assert_int_equal(adapter->events, 1);
    assert_int_equal(SEND(adapter, 64, 0, 0, 0, 0, 0, 0), BP_SCSI_CHECK_CONDITION);
    assert_memory_equal(adapter->sense + 12, CDB(0x28, 0), 2);
    assert_int_equal(SEND(adapter, 64, 0, 0, 0, 0, 0, 0), BP_SCSI_GOOD);
}

static uint32_t
drive_flags(struct adapter *adapter)
{
    struct bp_media_drive drive = {.size = sizeof(drive)};

    assert_int_equal(th_drive(adapter->cd, 1, &drive), -ENOENT);
    assert_int_equal(th_drive(adapter->cd, 0, &drive), 0);
    return drive.flags;
}

static void
test_an_operator_changes_the_medium(void **state)
{
    struct adapter *adapter = *state;
    struct th_block *other = th_block_new(adapter->th, "other", MIB);
    const char *json;

    memset(th_block_data(other), 0x77, 2048);
    assert_int_equal(drive_flags(adapter),
                     BP_MEDIA_REMOVABLE | BP_MEDIA_TRAY | BP_MEDIA_READ_ONLY | BP_MEDIA_PRESENT);
    assert_int_equal(th_tray_open(adapter->cd, 0, 0), 0);
    assert_string_equal(th_event(adapter->th, 0, &json), "DEVICE_TRAY_MOVED");
    assert_int_equal(SEND(adapter, 64, 0, 0, 0, 0, 0, 0), BP_SCSI_CHECK_CONDITION);
    assert_memory_equal(adapter->sense + 12, CDB(0x3a, 2), 2);
    assert_int_equal(th_quiesce(adapter->cd), 0);
    th_detach(adapter->cd, 0, 0);
    assert_int_equal(th_attach(adapter->cd, 0, 0, "other"), 0);
    th_resume(adapter->cd);
    assert_int_equal(drive_flags(adapter) & (BP_MEDIA_OPEN | BP_MEDIA_PRESENT), BP_MEDIA_OPEN);
    assert_int_equal(th_tray_close(adapter->cd, 0), 0);
    assert_int_equal(SEND(adapter, 64, 0, 0, 0, 0, 0, 0), BP_SCSI_CHECK_CONDITION);
    assert_memory_equal(adapter->sense + 12, CDB(0x28, 0), 2);
    assert_int_equal(SEND(adapter, 2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
    assert_memory_equal(th_ram(adapter->th, DATA, 2048), th_block_data(other), 2048);
}

static void
test_a_locked_tray_stays_unless_it_is_forced(void **state)
{
    struct adapter *adapter = *state;

    assert_int_equal(SEND(adapter, 64, 0x1e, 0, 0, 0, 1, 0), BP_SCSI_GOOD);
    assert_int_equal(th_tray_open(adapter->cd, 0, 0), BP_MEDIA_REFUSED);
    assert_int_equal(drive_flags(adapter) & (BP_MEDIA_LOCKED | BP_MEDIA_EJECT_REQUESTED),
                     BP_MEDIA_LOCKED | BP_MEDIA_EJECT_REQUESTED);
    assert_int_equal(th_tray_open(adapter->cd, 0, BP_MEDIA_FORCE), 0);
    assert_int_equal(drive_flags(adapter) & (BP_MEDIA_LOCKED | BP_MEDIA_OPEN), BP_MEDIA_OPEN);
}

/* A command that is on its way keeps its place while the medium is exchanged. */
static void
test_a_command_waits_while_the_drive_is_quiet(void **state)
{
    struct adapter *adapter = *state;
    struct bp_scsi_request request = {.cdb = {0x28, 0, 0, 0, 0, 0, 0, 0, 1},
                                      .cdb_length = 10,
                                      .in_iov = &adapter->in,
                                      .in_count = 1,
                                      .in_length = 2048};

    (void)th_block_new(adapter->th, "other", MIB);
    adapter->in = (struct bp_iovec){th_ram(adapter->th, DATA, 2048), 2048};
    adapter->ended = 0;
    assert_int_equal(th_quiesce(adapter->cd), 0);
    assert_int_equal(adapter->ops->submit(adapter->self, adapter->queue, &request, 1), 1);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 0);
    th_detach(adapter->cd, 0, 0);
    assert_int_equal(th_attach(adapter->cd, 0, 0, "other"), 0);
    th_resume(adapter->cd);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 1);
    assert_int_equal(adapter->last.result, 0);
}

static void
test_an_empty_drive_waits_for_a_medium(void **state)
{
    struct th_host *th = th_new();
    struct bp_media_drive drive = {.size = sizeof(drive)};
    struct bp_instance *cd = th_plug(th, &backplane_plugin_v1, "cd0", "");

    (void)state;
    assert_non_null(cd);
    assert_int_equal(th_drive(cd, 0, &drive), 0);
    assert_int_equal(drive.flags & BP_MEDIA_PRESENT, 0);
    th_free(th);
}

static void
make_block(struct th_host *th, void *opaque)
{
    th_block_new(th, "iso", MIB);
}

static void
test_every_failing_host_call_leaves_nothing(void **state)
{
    assert_true(
        th_fail_each_call(&backplane_plugin_v1, NULL, "backend = \"iso\";", make_block, NULL) > 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_drive_reads_cooked_and_raw_sectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_medium_leaves_and_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_operator_changes_the_medium, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_locked_tray_stays_unless_it_is_forced, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_command_waits_while_the_drive_is_quiet, setup,
                                        teardown),
        cmocka_unit_test(test_an_empty_drive_waits_for_a_medium),
        cmocka_unit_test(test_every_failing_host_call_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
