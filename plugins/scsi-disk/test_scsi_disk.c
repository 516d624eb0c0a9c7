/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-disk as an adapter sees it: queues, buffers, sense, attributes, task management, states. */
#include <backplane/sdk/bits.h>
#include <backplane/testhost.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB      (1u << 20)
#define COMMANDS 64u
#define DATA     0x100000u /* guest memory */

struct adapter {
    struct th_host *th;
    struct th_block *block;
    struct bp_instance *disk;
    const struct bp_scsi_ops *ops;
    void *self;
    void *queue;
    uint64_t order[COMMANDS]; /* what ended, functions as 1000 + user */
    uint32_t ended;
    struct bp_scsi_completion last[COMMANDS]; /* by user */
    int32_t managed;
    uint32_t events;
    struct bp_iovec in[COMMANDS], out[COMMANDS];
    uint8_t sense[COMMANDS][96];
};

static void
complete(void *opaque, const struct bp_scsi_completion *completions, uint32_t count)
{
    struct adapter *adapter = opaque;

    for (uint32_t i = 0; i < count; i++) {
        adapter->order[adapter->ended++] = completions[i].user;
        adapter->last[completions[i].user] = completions[i];
    }
}

static void
managed(void *opaque, uint64_t user, int32_t result)
{
    struct adapter *adapter = opaque;

    adapter->order[adapter->ended++] = 1000 + user;
    adapter->managed = result;
}

static void
event(void *opaque, uint32_t what, uint32_t detail)
{
    struct adapter *adapter = opaque;

    adapter->events++;
}

static const struct bp_scsi_client client = {
    .size = sizeof(client), .complete = complete, .managed = managed, .event = event};

static void
open_queue(struct adapter *adapter, uint64_t initiator)
{
    struct bp_scsi_queue_args args = {.size = sizeof(args),
                                      .depth = 16,
                                      .client = &client,
                                      .opaque = adapter,
                                      .initiator = initiator};

    assert_int_equal(adapter->ops->queue_open(adapter->self, &args, &adapter->queue), 0);
}

static uint64_t
send(struct adapter *adapter, uint64_t user, const uint8_t *cdb, uint32_t length, uint32_t in,
     uint32_t out, uint32_t attribute)
{
    struct bp_scsi_request request = {.user = user,
                                      .cdb_length = length,
                                      .attribute = attribute,
                                      .in_length = in,
                                      .out_length = out,
                                      .sense = adapter->sense[user],
                                      .sense_size = 96};
    uint8_t *data = th_ram(adapter->th, DATA + 0x10000 * user, 0x10000);

    adapter->in[user] = (struct bp_iovec){data, in};
    adapter->out[user] = (struct bp_iovec){data, out};
    request.in_iov = in != 0 ? &adapter->in[user] : NULL;
    request.out_iov = out != 0 ? &adapter->out[user] : NULL;
    request.in_count = in != 0;
    request.out_count = out != 0;
    memcpy(request.cdb, cdb, length);
    assert_int_equal(adapter->ops->submit(adapter->self, adapter->queue, &request, 1), 1);
    return user;
}

#define CDB(...)                                                                                   \
    (const uint8_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define SEND(adapter, user, in, out, ...)                                                          \
    send((adapter), (user), CDB(__VA_ARGS__), sizeof(CDB(__VA_ARGS__)), (in), (out), BP_SCSI_SIMPLE)

static void
manage(struct adapter *adapter, uint32_t function, uint64_t user, uint64_t request)
{
    struct bp_scsi_management management = {.user = user, .function = function, .request = request};

    assert_int_equal(adapter->ops->manage(adapter->self, adapter->queue, &management), 0);
}

static uint8_t *
data_of(struct adapter *adapter, uint64_t user)
{
    return th_ram(adapter->th, DATA + 0x10000 * user, 0x10000);
}

static int
setup(void **state)
{
    struct adapter *adapter = calloc(1, sizeof(*adapter));

    adapter->th = th_new();
    adapter->block = th_block_new(adapter->th, "img", MIB);
    adapter->disk = th_plug(adapter->th, &backplane_plugin_v1, "lun0",
                            "backend = \"img\"; wwn = \"5000c50012345678\";");
    assert_non_null(adapter->disk);
    adapter->ops = th_table(adapter->disk, BP_SCSI_ID);
    adapter->self = th_self(adapter->disk);
    open_queue(adapter, 1);
    /* the first command is told of the power-on */
    SEND(adapter, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(adapter->ended, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 1);
    assert_int_equal(adapter->last[0].status, BP_SCSI_CHECK_CONDITION);
    assert_int_equal(adapter->last[0].sense_length, 18);
    assert_memory_equal(adapter->sense[0] + 12, CDB(0x29, 1), 2);
    adapter->ended = 0;
    *state = adapter;
    return 0;
}

static int
teardown(void **state)
{
    struct adapter *adapter = *state;

    adapter->ops->drain(adapter->self, adapter->queue);
    adapter->ops->queue_close(adapter->self, adapter->queue);
    th_free(adapter->th);
    free(adapter);
    return 0;
}

/* --- commands ----------------------------------------------------------------------------------
 */

static void
test_identity_comes_from_options_and_key(void **state)
{
    struct adapter *adapter = *state;

    SEND(adapter, 1, 255, 0, 0x12, 0, 0, 0, 255, 0);
    SEND(adapter, 2, 255, 0, 0x12, 1, 0x80, 0, 255, 0);
    SEND(adapter, 3, 255, 0, 0x12, 1, 0x83, 0, 255, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 3);
    assert_int_equal(adapter->last[1].in_residual, 255 - 96);
    assert_memory_equal(data_of(adapter, 1) + 8, "BACKPLN DISK            1.0 ", 28);
    assert_memory_equal(data_of(adapter, 2), CDB(0, 0x80, 0, 4, 'l', 'u', 'n', '0'), 8);
    assert_memory_equal(data_of(adapter, 3) + 36, CDB(1, 3, 0, 8, 0x50, 0, 0xc5, 0), 8);
}

static void
test_data_goes_both_ways_in_place(void **state)
{
    struct adapter *adapter = *state;

    memset(data_of(adapter, 1), 0x3c, 8192);
    SEND(adapter, 1, 0, 8192, 0x2a, 8, 0, 0, 0, 16, 0, 0, 16, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->last[1].status, BP_SCSI_GOOD);
    assert_int_equal(adapter->last[1].out_residual, 0);
    assert_int_equal(th_block_durable(adapter->block)[16 * 512], 0x3c);
    SEND(adapter, 2, 16384, 0, 0x28, 0, 0, 0, 0, 16, 0, 0, 16, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->last[2].in_residual, 8192);
    assert_memory_equal(data_of(adapter, 2), data_of(adapter, 1), 8192);
}

static void
test_too_little_room_is_an_overflow_and_nothing_is_done(void **state)
{
    struct adapter *adapter = *state;
    uint8_t before = th_block_data(adapter->block)[0];

    memset(data_of(adapter, 1), before ^ 0xff, 1024);
    SEND(adapter, 1, 0, 511, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    SEND(adapter, 2, 0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->last[1].result, -EOVERFLOW);
    assert_int_equal(adapter->last[2].result, -EOVERFLOW);
    assert_int_equal(th_block_data(adapter->block)[0], before);
}

static void
test_wrong_requests_end_with_einval(void **state)
{
    struct adapter *adapter = *state;
    struct bp_scsi_request requests[3] = {
        {.user = 1, .cdb_length = 0},
        {.user = 2, .cdb_length = 33},
        {.user = 3, .cdb_length = 6, .attribute = 9},
    };

    assert_int_equal(adapter->ops->submit(adapter->self, adapter->queue, requests, 3), 3);
    th_run(adapter->th);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(adapter->last[i].result, -EINVAL);
    }
}

static void
test_no_more_than_there_are_slots_for_are_taken(void **state)
{
    struct adapter *adapter = *state;
    struct bp_scsi_request requests[COMMANDS];
    int32_t taken;

    th_block_hold(adapter->block, 1);
    memset(requests, 0, sizeof(requests));
    for (uint32_t i = 0; i < COMMANDS; i++) {
        adapter->in[i] = (struct bp_iovec){data_of(adapter, i), 512};
        requests[i] = (struct bp_scsi_request){.user = i,
                                               .cdb = {0x28, [8] = 1},
                                               .cdb_length = 10,
                                               .in_iov = &adapter->in[i],
                                               .in_count = 1,
                                               .in_length = 512};
    }
    taken = adapter->ops->submit(adapter->self, adapter->queue, requests, COMMANDS);
    assert_in_range(taken, 16, COMMANDS - 1);
    th_block_hold(adapter->block, 0);
    th_block_release(adapter->block, COMMANDS, 1);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, taken);
}

/* --- attributes and task management ------------------------------------------------------------
 */

static void
test_ordered_commands_keep_their_place(void **state)
{
    struct adapter *adapter = *state;

    th_block_hold(adapter->block, 1);
    SEND(adapter, 1, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    send(adapter, 2, CDB(0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0), 10, 512, 0, BP_SCSI_ORDERED);
    SEND(adapter, 3, 512, 0, 0x28, 0, 0, 0, 0, 2, 0, 0, 1, 0);
    send(adapter, 4, CDB(0x12, 0, 0, 0, 36, 0), 6, 36, 0, BP_SCSI_HEAD_OF_QUEUE);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 1);
    assert_int_equal(adapter->order[0], 4);
    assert_int_equal(th_block_in_flight(adapter->block), 1);
    th_block_hold(adapter->block, 0);
    th_block_release(adapter->block, 1, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 4);
    assert_int_equal(adapter->order[1], 1);
    assert_int_equal(adapter->order[2], 2);
    assert_int_equal(adapter->order[3], 3);
}

static void
test_a_function_ends_after_the_commands_it_aborts(void **state)
{
    struct adapter *adapter = *state;
    static const uint32_t functions[] = {BP_SCSI_ABORT_TASK_SET, BP_SCSI_CLEAR_TASK_SET,
                                         BP_SCSI_UNIT_RESET, BP_SCSI_NEXUS_RESET};

    for (uint32_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        adapter->ended = 0;
        th_block_hold(adapter->block, 1);
        SEND(adapter, 1, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
        send(adapter, 2, CDB(0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0), 10, 512, 0, BP_SCSI_ORDERED);
        manage(adapter, functions[i], 7, 0);
        th_run(adapter->th);
        for (uint32_t n = 0; n < adapter->ended; n++) {
            assert_int_not_equal(adapter->order[n], 1007); /* 1 may still touch memory */
        }
        th_block_hold(adapter->block, 0);
        th_block_release(adapter->block, 8, 0);
        th_run(adapter->th);
        assert_int_equal(adapter->ended, 3);
        assert_int_equal(adapter->order[2], 1007);
        assert_int_equal(adapter->managed, 0);
        assert_int_equal(adapter->last[1].result, -ECANCELED);
        assert_int_equal(adapter->last[2].result, -ECANCELED);
        SEND(adapter, 3, 0, 0, 0, 0, 0, 0, 0, 0);
        th_run(adapter->th);
        assert_int_equal(adapter->last[3].status, i < 2 ? BP_SCSI_GOOD : BP_SCSI_CHECK_CONDITION);
        if (i >= 2) {
            assert_memory_equal(adapter->sense[3] + 12, i == 2 ? CDB(0x29, 3) : CDB(0x29, 7), 2);
        }
    }
}

static void
test_one_command_is_queried_and_aborted(void **state)
{
    struct adapter *adapter = *state;

    th_block_hold(adapter->block, 1);
    SEND(adapter, 1, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    SEND(adapter, 2, 512, 0, 0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0);
    manage(adapter, BP_SCSI_QUERY_TASK, 5, 1);
    th_run(adapter->th);
    assert_int_equal(adapter->order[0], 1005);
    assert_int_equal(adapter->managed, 1);
    manage(adapter, BP_SCSI_QUERY_TASK, 6, 9);
    th_run(adapter->th);
    assert_int_equal(adapter->managed, 0);
    manage(adapter, BP_SCSI_ABORT_TASK, 7, 1);
    th_block_hold(adapter->block, 0);
    th_block_release(adapter->block, 8, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->last[1].result, -ECANCELED);
    assert_int_equal(adapter->last[2].result, 0);
    assert_int_equal(adapter->last[2].status, BP_SCSI_GOOD);
    manage(adapter, BP_SCSI_QUERY_TASK_SET, 8, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->managed, 0);
}

static void
test_initiators_have_unit_attentions_of_their_own(void **state)
{
    struct adapter *adapter = *state;
    void *first = adapter->queue;
    void *second;

    open_queue(adapter, 2);
    second = adapter->queue;
    SEND(adapter, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    adapter->queue = first;
    SEND(adapter, 2, 0, 0, 0, 0, 0, 0, 0, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->last[1].status, BP_SCSI_CHECK_CONDITION);
    assert_int_equal(adapter->last[2].status, BP_SCSI_GOOD);
    adapter->events = 0;
    th_block_info(adapter->block)->capacity = MIB / 2;
    th_block_send_event(adapter->block, BP_BLOCK_EVENT_RESIZED);
    th_run(adapter->th);
    assert_int_equal(adapter->events, 2);
    SEND(adapter, 3, 8, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    SEND(adapter, 4, 8, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    th_run(adapter->th);
    assert_memory_equal(adapter->sense[3] + 12, CDB(0x2a, 9), 2);
    assert_memory_equal(data_of(adapter, 4), CDB(0, 0, 3, 0xff, 0, 0, 2, 0), 8);
    adapter->ops->queue_close(adapter->self, second);
}

/* --- life --------------------------------------------------------------------------------------
 */

static void
test_reset_ends_commands_and_is_announced(void **state)
{
    struct adapter *adapter = *state;

    th_block_hold(adapter->block, 1);
    SEND(adapter, 1, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    send(adapter, 2, CDB(0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0), 10, 512, 0, BP_SCSI_ORDERED);
    th_run(adapter->th);
    th_reset(adapter->disk, BP_RESET_SYSTEM);
    th_block_hold(adapter->block, 0);
    th_block_release(adapter->block, 8, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->last[1].result, -ECANCELED);
    assert_int_equal(adapter->last[2].result, -ECANCELED);
    SEND(adapter, 3, 0, 0, 0, 0, 0, 0, 0, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->last[3].status, BP_SCSI_CHECK_CONDITION);
    assert_memory_equal(adapter->sense[3] + 12, CDB(0x29, 2), 2);
}

static void
test_state_comes_back_and_is_checked(void **state)
{
    struct adapter *adapter = *state;
    uint8_t *data = NULL;
    uint64_t length = 0;

    memset(data_of(adapter, 1), 0, 24);
    memcpy(data_of(adapter, 1) + 4, CDB(8, 18), 2);
    SEND(adapter, 1, 0, 24, 0x15, 0x10, 0, 0, 24, 0); /* the write cache is switched off */
    th_run(adapter->th);
    assert_int_equal(adapter->last[1].status, BP_SCSI_GOOD);
    assert_int_equal(th_save(adapter->disk, &data, &length), 0);
    memcpy(data_of(adapter, 2) + 4, CDB(8, 18, 4), 3);
    SEND(adapter, 2, 0, 24, 0x15, 0x10, 0, 0, 24, 0);
    th_run(adapter->th);
    assert_int_equal(th_restore(adapter->disk, data, length), 0);
    SEND(adapter, 3, 24, 0, 0x1a, 8, 8, 0, 24, 0);
    th_run(adapter->th);
    assert_int_equal(data_of(adapter, 3)[6], 0);
    assert_int_not_equal(th_validate(adapter->disk, data, length - 8), 0);
    data[0] ^= 0xff;
    assert_int_not_equal(th_validate(adapter->disk, data, length), 0);
    free(data);
}

/* --- errors of the backend ---------------------------------------------------------------------
 */

/* A second disk, with a policy; the adapter's queue goes to it. */
static void
plug_with(struct adapter *adapter, const char *options)
{
    adapter->ops->queue_close(adapter->self, adapter->queue);
    adapter->block = th_block_new(adapter->th, "img2", MIB);
    adapter->disk = th_plug(adapter->th, &backplane_plugin_v1, "lun1", options);
    assert_non_null(adapter->disk);
    adapter->self = th_self(adapter->disk);
    open_queue(adapter, 1);
    SEND(adapter, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    th_run(adapter->th);
    adapter->ended = 0;
}

static void
test_a_stopped_machine_makes_the_write_again(void **state)
{
    struct adapter *adapter = *state;
    const char *json;

    plug_with(adapter, "backend = \"img2\"; on_write_error = \"enospc\";");
    th_block_fail(adapter->block, BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    memset(data_of(adapter, 1), 0x42, 512);
    SEND(adapter, 1, 0, 512, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 0);
    assert_int_equal(th_take_request(adapter->th), BP_REQUEST_STOP);
    assert_string_equal(th_event(adapter->th, 0, &json), "BLOCK_IO_ERROR");
    assert_non_null(strstr(json, "\"action\":\"stop\""));
    assert_non_null(strstr(json, "\"node-name\":\"img2\""));
    th_stop(adapter->disk);
    th_start(adapter->disk);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 1);
    assert_int_equal(adapter->last[1].status, BP_SCSI_GOOD);
    assert_int_equal(th_block_data(adapter->block)[0], 0x42);
}

static void
test_what_the_policy_holds_ends_when_it_is_drained(void **state)
{
    struct adapter *adapter = *state;

    plug_with(adapter, "backend = \"img2\"; on_read_error = \"stop\";");
    th_block_fail(adapter->block, BP_BLOCK_READ, 0, -ENOMEM, 0);
    SEND(adapter, 1, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 0);
    adapter->ops->drain(adapter->self, adapter->queue);
    assert_int_equal(adapter->ended, 1);
    assert_int_equal(adapter->last[1].result, -ECANCELED);
    th_take_request(adapter->th);
}

static void
test_errors_that_are_ignored_or_reported(void **state)
{
    struct adapter *adapter = *state;

    plug_with(adapter, "backend = \"img2\"; on_write_error = \"ignore\";");
    th_block_fail(adapter->block, BP_BLOCK_WRITE, 0, -ENOSPC, 0);
    SEND(adapter, 1, 0, 512, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->last[1].status, BP_SCSI_GOOD);
    th_block_fail(adapter->block, BP_BLOCK_READ, 0, -EIO, 0);
    SEND(adapter, 2, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->last[2].status, BP_SCSI_CHECK_CONDITION);
    assert_int_equal(th_take_request(adapter->th), 0);
}

static void
test_options_are_checked(void **state)
{
    struct th_host *th = th_new();

    (void)state;
    th_block_new(th, "img", MIB);
    assert_null(th_plug(th, &backplane_plugin_v1, "a", "backend = \"img\"; block_size = 1536;"));
    assert_non_null(strstr(th_error_text(th), "block_size"));
    assert_null(th_plug(th, &backplane_plugin_v1, "b", "backend = \"img\"; wwn = \"12\";"));
    assert_non_null(strstr(th_error_text(th), "wwn"));
    assert_null(th_plug(th, &backplane_plugin_v1, "c", "backend = \"img\"; serial = \"\\t\";"));
    th_free(th);
}

static void
make_block(struct th_host *th, void *opaque)
{
    th_block_new(th, "img", MIB);
}

static void
test_every_failing_host_call_leaves_nothing(void **state)
{
    assert_true(
        th_fail_each_call(&backplane_plugin_v1, NULL, "backend = \"img\";", make_block, NULL) > 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_identity_comes_from_options_and_key),
        T(test_data_goes_both_ways_in_place),
        T(test_too_little_room_is_an_overflow_and_nothing_is_done),
        T(test_wrong_requests_end_with_einval),
        T(test_no_more_than_there_are_slots_for_are_taken),
        T(test_ordered_commands_keep_their_place),
        T(test_a_function_ends_after_the_commands_it_aborts),
        T(test_one_command_is_queried_and_aborted),
        T(test_initiators_have_unit_attentions_of_their_own),
        T(test_reset_ends_commands_and_is_announced),
        T(test_state_comes_back_and_is_checked),
        T(test_a_stopped_machine_makes_the_write_again),
        T(test_what_the_policy_holds_ends_when_it_is_drained),
        T(test_errors_that_are_ignored_or_reported),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_every_failing_host_call_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
