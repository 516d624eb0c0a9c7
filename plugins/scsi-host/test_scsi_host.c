/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-host over a device that the test makes instead of system.c: what goes to it and comes back,
 * which way, and what task management waits for. */
#include "host.h"

#include <backplane/testhost.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS   64u
#define BLOCK    512u
#define COMMANDS 64u
#define DATA     0x100000u /* guest memory */
#define WAIT_MS  20000u

/* The device. */
struct fake {
    pthread_mutex_t lock;
    pthread_cond_t change;
    uint8_t image[BLOCKS * BLOCK];
    uint8_t last_cdb[16];
    uint32_t last_length;
    uint8_t received[64];
    uint32_t sg_calls, transfers, stable, resets;
    uint32_t hangs;   /* commands do not end */
    uint32_t hanging; /* that many */
    /* what it answers */
    int32_t look_error, error, transfer_error;
    uint32_t is_char, status, transport;
    uint64_t residual;
    uint8_t qualifier;
    uint8_t sense[32];
    uint32_t sense_length;
};

static struct fake *
fake(void)
{
    static struct fake device = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                 .change = PTHREAD_COND_INITIALIZER};

    return &device;
}

static void
fake_clear(void)
{
    struct fake *device = fake();

    memset((uint8_t *)device + offsetof(struct fake, image), 0,
           sizeof(*device) - offsetof(struct fake, image));
    for (uint32_t i = 0; i < sizeof(device->image); i++) {
        device->image[i] = (uint8_t)(i / BLOCK);
    }
}

int32_t
host_look(struct host_device *device)
{
    device->max_bytes = HOST_MAX_BYTES;
    if (!fake()->is_char) {
        device->is_block = 1;
        device->block_size = BLOCK;
        device->blocks = BLOCKS;
    }
    return fake()->look_error;
}

static void
hang(struct fake *device)
{
    pthread_mutex_lock(&device->lock);
    if (device->hangs) {
        device->hanging++;
        (void)pthread_cond_broadcast(&device->change);
        while (device->hangs) {
            (void)pthread_cond_wait(&device->change, &device->lock);
        }
        device->hanging--;
    }
    pthread_mutex_unlock(&device->lock);
}

static void
let_go(void)
{
    struct fake *device = fake();

    pthread_mutex_lock(&device->lock);
    device->hangs = 0;
    (void)pthread_cond_broadcast(&device->change);
    pthread_mutex_unlock(&device->lock);
}

static void
wait_for_hanging(uint32_t count)
{
    struct fake *device = fake();

    pthread_mutex_lock(&device->lock);
    while (device->hanging < count) {
        (void)pthread_cond_wait(&device->change, &device->lock);
    }
    pthread_mutex_unlock(&device->lock);
}

int32_t
host_sg_io(const struct host_device *device, struct host_io *io)
{
    struct fake *to = fake();

    assert_true(io->timeout_ms == 30000);
    memset(to->last_cdb, 0xee, sizeof(to->last_cdb));
    memcpy(to->last_cdb, io->cdb, io->cdb_length);
    to->last_length = io->cdb_length;
    to->sg_calls++;
    hang(to);
    if (to->error != 0) {
        return to->error;
    }
    io->status = to->status;
    io->transport = to->transport;
    io->residual = to->residual;
    io->sense_length = to->sense_length;
    memcpy(io->sense, to->sense, to->sense_length);
    if (io->direction == HOST_IN) {
        memset(io->iov[0].base, 0x5a, io->iov[0].length);
        ((uint8_t *)io->iov[0].base)[0] = io->cdb[0] == 0x12 ? to->qualifier : 0x5a;
    } else if (io->direction == HOST_OUT) {
        memcpy(to->received, io->iov[0].base, sizeof(to->received));
    }
    return 0;
}

int32_t
host_transfer(const struct host_device *device, const struct host_range *range,
              const struct bp_iovec *iov, uint32_t count)
{
    struct fake *to = fake();
    uint8_t *at = to->image + range->offset;

    if (to->transfer_error != 0) {
        return to->transfer_error;
    }
    assert_true(range->offset + range->length <= sizeof(to->image));
    for (uint32_t i = 0; i < count; i++, at += iov[i - 1].length) {
        memcpy(range->out ? at : iov[i].base, range->out ? iov[i].base : at, iov[i].length);
    }
    to->transfers++;
    to->stable += range->stable;
    return 0;
}

int32_t
host_reset(const struct host_device *device)
{
    fake()->resets++;
    let_go();
    return 0;
}

/* --- the adapter -------------------------------------------------------------------------------
 */

struct adapter {
    struct th_host *th;
    struct bp_instance *unit;
    const struct bp_scsi_ops *ops;
    void *self;
    void *queue;
    uint64_t order[COMMANDS]; /* what ended, functions as 1000 + user */
    uint32_t ended;
    uint32_t wanted;
    struct bp_scsi_completion last[COMMANDS]; /* by user */
    int32_t managed;
    uint32_t gone;
    struct bp_iovec iov[COMMANDS];
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

    adapter->gone += what == BP_SCSI_EVENT_GONE;
}

static const struct bp_scsi_client client = {
    .size = sizeof(client), .complete = complete, .managed = managed, .event = event};

static void
plug(struct adapter *adapter, const char *options)
{
    struct bp_scsi_queue_args args = {
        .size = sizeof(args), .depth = 16, .client = &client, .opaque = adapter, .initiator = 1};

    memset(adapter, 0, sizeof(*adapter));
    adapter->th = th_new();
    adapter->unit = th_plug(adapter->th, &backplane_plugin_v1, "lun0", options);
    if (adapter->unit == NULL) {
        fail_msg("cannot plug: %s", th_error_text(adapter->th));
    }
    adapter->ops = th_table(adapter->unit, BP_SCSI_ID);
    adapter->self = th_self(adapter->unit);
    assert_int_equal(adapter->ops->queue_open(adapter->self, &args, &adapter->queue), 0);
    fake()->sg_calls = 0; /* the INQUIRY at its start */
}

static void
unplug(struct adapter *adapter)
{
    adapter->ops->drain(adapter->self, adapter->queue);
    adapter->ops->queue_close(adapter->self, adapter->queue);
    th_free(adapter->th);
}

static uint8_t *
data_of(struct adapter *adapter, uint64_t user)
{
    return th_ram(adapter->th, DATA + 0x10000 * user, 0x10000);
}

static void
send(struct adapter *adapter, uint64_t user, const uint8_t *cdb, uint32_t length, uint32_t in,
     uint32_t out)
{
    struct bp_scsi_request request = {.user = user,
                                      .cdb_length = length,
                                      .in_length = in,
                                      .out_length = out,
                                      .sense = adapter->sense[user],
                                      .sense_size = 96};

    adapter->iov[user] = (struct bp_iovec){data_of(adapter, user), in + out};
    request.in_iov = in != 0 ? &adapter->iov[user] : NULL;
    request.out_iov = out != 0 ? &adapter->iov[user] : NULL;
    request.in_count = in != 0;
    request.out_count = out != 0;
    memcpy(request.cdb, cdb, length);
    assert_int_equal(adapter->ops->submit(adapter->self, adapter->queue, &request, 1), 1);
}

static int
has_ended(void *opaque)
{
    const struct adapter *adapter = opaque;

    return adapter->ended >= adapter->wanted;
}

static void
wait_for(struct adapter *adapter, uint32_t count)
{
    adapter->wanted = count;
    assert_true(th_run_until(adapter->th, has_ended, adapter, WAIT_MS));
    assert_int_equal(adapter->ended, count);
}

#define CDB(...)                                                                                   \
    (const uint8_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define SEND(adapter, user, in, out, ...)                                                          \
    send((adapter), (user), CDB(__VA_ARGS__), sizeof(CDB(__VA_ARGS__)), (in), (out))

/* One command, until it has ended. */
#define DO(adapter, in, out, ...)                                                                  \
    (SEND(adapter, 0, in, out, __VA_ARGS__), wait_for(adapter, 1), (adapter)->ended = 0,           \
     &(adapter)->last[0])

static void
manage(struct adapter *adapter, uint32_t function, uint64_t user, uint64_t request)
{
    struct bp_scsi_management management = {.user = user, .function = function, .request = request};

    assert_int_equal(adapter->ops->manage(adapter->self, adapter->queue, &management), 0);
}

#define OPTIONS "path = \"/dev/null\";"

static int
setup(void **state)
{
    fake_clear();
    *state = calloc(1, sizeof(struct adapter));
    plug(*state, OPTIONS);
    return 0;
}

static int
teardown(void **state)
{
    let_go();
    unplug(*state);
    free(*state);
    return 0;
}

/* --- tests -------------------------------------------------------------------------------------
 */

static void
test_cdb_data_sense_and_residual_pass_as_they_are(void **state)
{
    struct adapter *adapter = *state;
    const struct bp_scsi_completion *last;

    fake()->residual = 10;
    last = DO(adapter, 96, 0, 0x5e, 0, 0, 0, 0, 0, 0, 0, 96, 0);
    assert_memory_equal(fake()->last_cdb, CDB(0x5e, 0, 0, 0, 0, 0, 0, 0, 96, 0), 10);
    assert_int_equal(last->result, 0);
    assert_int_equal(last->in_residual, 10);
    assert_int_equal(data_of(adapter, 0)[5], 0x5a);
    memset(data_of(adapter, 0), 0x77, 64);
    fake()->residual = 0;
    last = DO(adapter, 0, 64, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 64, 0);
    assert_int_equal(fake()->received[63], 0x77);
    assert_int_equal(last->out_residual, 0);
    /* sense data in any form: descriptors, with information */
    memcpy(fake()->sense, CDB(0x72, 0x0b, 0x44, 1, 0, 0, 0, 4, 9, 9, 9, 9), 12);
    fake()->sense_length = 12;
    fake()->status = BP_SCSI_CHECK_CONDITION;
    last = DO(adapter, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(last->status, BP_SCSI_CHECK_CONDITION);
    assert_int_equal(last->sense_length, 12);
    assert_memory_equal(adapter->sense[0], fake()->sense, 12);
    fake()->status = BP_SCSI_RESERVATION_CONFLICT;
    fake()->sense_length = 0;
    last = DO(adapter, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(last->status, BP_SCSI_RESERVATION_CONFLICT);
    assert_int_equal(fake()->transfers, 0);
}

/* An adapter gives 32 bytes; those that mean nothing are not the device's. */
static void
test_a_cdb_has_at_most_sixteen_bytes(void **state)
{
    struct adapter *adapter = *state;
    uint8_t cdb[32] = {0x9e, 0x10, [13] = 32};

    send(adapter, 1, cdb, 32, 32, 0);
    wait_for(adapter, 1);
    assert_int_equal(adapter->last[1].result, 0);
    assert_int_equal(fake()->last_length, 16);
    cdb[20] = 1;
    send(adapter, 2, cdb, 32, 32, 0);
    wait_for(adapter, 2);
    assert_int_equal(adapter->last[2].result, -EINVAL);
}

static void
test_reads_and_writes_take_the_block_path(void **state)
{
    struct adapter *adapter = *state;

    assert_int_equal(DO(adapter, 2 * BLOCK, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0)->in_residual, 0);
    assert_int_equal(data_of(adapter, 0)[BLOCK], 6);
    (void)DO(adapter, BLOCK, 0, 0x08, 0, 0, 7, 1, 0);
    assert_int_equal(data_of(adapter, 0)[0], 7);
    (void)DO(adapter, BLOCK, 0, 0xa8, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0);
    assert_int_equal(data_of(adapter, 0)[0], 8);
    (void)DO(adapter, BLOCK, 0, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 63, 0, 0, 0, 1, 0, 0);
    assert_int_equal(data_of(adapter, 0)[0], 63);
    memset(data_of(adapter, 0), 0xcc, BLOCK);
    (void)DO(adapter, 0, BLOCK, 0x2a, 0x08, 0, 0, 0, 9, 0, 0, 1, 0);
    (void)DO(adapter, 0, BLOCK, 0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0);
    assert_int_equal(fake()->image[9 * BLOCK], 0xcc);
    assert_int_equal(fake()->image[10 * BLOCK + 511], 0xcc);
    assert_int_equal(fake()->image[11 * BLOCK], 11);
    assert_int_equal(fake()->stable, 1); /* the one with FUA */
    assert_int_equal(fake()->transfers, 6);
    assert_int_equal(fake()->sg_calls, 0);
}

static void
test_what_is_odd_about_a_read_is_the_devices_to_say(void **state)
{
    struct adapter *adapter = *state;

    (void)DO(adapter, BLOCK, 0, 0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0); /* RDPROTECT */
    (void)DO(adapter, BLOCK, 0, 0x28, 0, 0, 0, 0, 64, 0, 0, 1, 0);   /* past the end */
    (void)DO(adapter, BLOCK, 0, 0x28, 0, 0, 0, 0, 63, 0, 0, 2, 0);
    (void)DO(adapter, BLOCK, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0); /* less room than data */
    (void)DO(adapter, 0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0);     /* nothing to read */
    (void)DO(adapter, 0, BLOCK, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* the wrong direction */
    (void)DO(adapter, BLOCK, 0, 0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1,
             0, 0);
    assert_int_equal(fake()->transfers, 0);
    assert_int_equal(fake()->sg_calls, 7);
}

static void
test_what_the_block_path_cannot_do_the_device_explains(void **state)
{
    struct adapter *adapter = *state;
    const struct bp_scsi_completion *last;

    fake()->transfer_error = -EIO;
    memcpy(fake()->sense, CDB(0x70, 0, 3, 0, 0, 0, 5, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0), 18);
    fake()->sense_length = 18;
    fake()->status = BP_SCSI_CHECK_CONDITION;
    last = DO(adapter, BLOCK, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0);
    assert_int_equal(last->status, BP_SCSI_CHECK_CONDITION);
    assert_int_equal(adapter->sense[0][12], 0x11);
    assert_int_equal(fake()->sg_calls, 1);
    fake()->status = BP_SCSI_GOOD; /* buffers that are badly aligned, for example */
    fake()->transfer_error = -EINVAL;
    last = DO(adapter, BLOCK, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0);
    assert_int_equal(last->status, BP_SCSI_GOOD);
    assert_int_equal(data_of(adapter, 0)[0], 0x5a);
}

static void
test_a_generic_node_has_no_block_path(void **state)
{
    struct adapter *adapter = *state;

    unplug(adapter);
    fake()->is_char = 1;
    plug(adapter, OPTIONS);
    (void)DO(adapter, BLOCK, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0);
    assert_int_equal(fake()->sg_calls, 1);
    assert_int_equal(fake()->transfers, 0);
}

static void
test_dangerous_commands_need_privilege(void **state)
{
    struct adapter *adapter = *state;
    static const uint8_t dangerous[] = {0x04, 0x3b, 0x48, 0x83, 0x85, 0xa1, 0xa4, 0xb5};

    for (uint32_t i = 0; i < sizeof(dangerous); i++) {
        (void)DO(adapter, 0, 0, dangerous[i], 0, 0, 0, 0, 0);
        assert_int_equal(adapter->last[0].status, BP_SCSI_CHECK_CONDITION);
        assert_memory_equal(adapter->sense[0] + 12, CDB(0x20, 0), 2);
    }
    assert_int_equal(fake()->sg_calls, 0);
    unplug(adapter);
    plug(adapter, OPTIONS "privileged = true;");
    for (uint32_t i = 0; i < sizeof(dangerous); i++) {
        assert_int_equal(DO(adapter, 0, 0, dangerous[i], 0, 0, 0, 0, 0)->status, BP_SCSI_GOOD);
    }
    assert_int_equal(fake()->sg_calls, sizeof(dangerous));
    unplug(adapter);
    fake()->qualifier = BP_SCSI_TYPE_CDROM;
    plug(adapter, OPTIONS);
    assert_int_equal(DO(adapter, 0, 0, 0xa1, 0, 0, 0, 0, 0)->status, BP_SCSI_GOOD); /* BLANK */
}

static void
test_what_the_host_refuses_has_an_answer(void **state)
{
    struct adapter *adapter = *state;
    static const struct {
        int32_t error;
        uint32_t transport, status;
        int32_t result;
        uint32_t code;
    } cases[] = {
        {-EPERM, 0, BP_SCSI_CHECK_CONDITION, 0, 0x2000},
        {-EINVAL, 0, BP_SCSI_CHECK_CONDITION, 0, 0x2400},
        {-ENOMEM, 0, BP_SCSI_BUSY, 0, 0},
        {-EAGAIN, 0, BP_SCSI_BUSY, 0, 0},
        {-EIO, 0, 0, -EIO, 0},
        {0, HOST_BUS_BUSY, BP_SCSI_BUSY, 0, 0},
        {0, HOST_REQUEUE, BP_SCSI_BUSY, 0, 0},
        {0, 3, 0, -EIO, 0}, /* it took too long */
    };

    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct bp_scsi_completion *last;

        fake()->error = cases[i].error;
        fake()->transport = cases[i].transport;
        last = DO(adapter, 0, 0, 0, 0, 0, 0, 0, 0);
        assert_int_equal(last->result, cases[i].result);
        assert_int_equal(last->status, cases[i].status);
        if (cases[i].code != 0) {
            assert_int_equal(adapter->sense[0][12] << 8 | adapter->sense[0][13], cases[i].code);
        }
    }
    assert_int_equal(adapter->gone, 0);
}

static void
test_a_device_that_is_lost_is_told_once(void **state)
{
    struct adapter *adapter = *state;

    fake()->transport = HOST_NO_CONNECT;
    assert_int_equal(DO(adapter, 0, 0, 0, 0, 0, 0, 0, 0)->result, -ENODEV);
    assert_int_equal(DO(adapter, 0, 0, 0, 0, 0, 0, 0, 0)->result, -ENODEV);
    assert_int_equal(fake()->sg_calls, 1); /* nobody asks it again */
    assert_int_equal(adapter->gone, 1);
}

/* Four threads have four commands; the fifth waits for one. */
static void
test_a_function_waits_for_what_the_host_has(void **state)
{
    struct adapter *adapter = *state;

    fake()->hangs = 1;
    for (uint32_t i = 0; i < 5; i++) {
        SEND(adapter, i, 0, 0, 0, 0, 0, 0, 0, 0);
        wait_for_hanging(i < 4 ? i + 1 : 4);
    }
    manage(adapter, BP_SCSI_QUERY_TASK, 1, 4);
    wait_for(adapter, 1);
    assert_int_equal(adapter->managed, 1);
    manage(adapter, BP_SCSI_ABORT_TASK, 2, 4); /* no thread has it */
    wait_for(adapter, 3);
    assert_int_equal(adapter->order[1], 4);
    assert_int_equal(adapter->order[2], 1002);
    assert_int_equal(adapter->last[4].result, -ECANCELED);
    manage(adapter, BP_SCSI_ABORT_TASK_SET, 3, 0);
    th_run(adapter->th);
    assert_int_equal(adapter->ended, 3); /* the host may still touch their memory */
    let_go();
    wait_for(adapter, 8);
    assert_int_equal(adapter->order[7], 1003);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(adapter->last[i].result, -ECANCELED);
    }
    assert_int_equal(fake()->sg_calls, 4);
    assert_int_equal(fake()->resets, 0);
}

static void
test_a_unit_reset_resets_the_device(void **state)
{
    struct adapter *adapter = *state;

    fake()->hangs = 1;
    for (uint32_t i = 0; i < 4; i++) {
        SEND(adapter, i, 0, 0, 0, 0, 0, 0, 0, 0);
    }
    wait_for_hanging(4);
    manage(adapter, BP_SCSI_UNIT_RESET, 9, 0);
    wait_for(adapter, 5);
    assert_int_equal(adapter->order[4], 1009);
    assert_int_equal(fake()->resets, 1);
}

static void
test_an_ordered_command_waits_and_is_waited_for(void **state)
{
    struct adapter *adapter = *state;
    struct bp_scsi_request request = {.user = 1, .cdb_length = 6, .attribute = BP_SCSI_ORDERED};

    fake()->hangs = 1;
    SEND(adapter, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(adapter->ops->submit(adapter->self, adapter->queue, &request, 1), 1);
    SEND(adapter, 2, 0, 0, 0, 0, 0, 0, 0, 0);
    wait_for_hanging(1);
    assert_int_equal(fake()->sg_calls, 1);
    let_go();
    wait_for(adapter, 3);
    assert_int_equal(adapter->order[0], 0);
    assert_int_equal(adapter->order[1], 1);
    assert_int_equal(adapter->order[2], 2);
}

static void
expect_refusal(const char *options, const char *text)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &backplane_plugin_v1, "lun0", options));
    if (strstr(th_error_text(th), text) == NULL) {
        fail_msg("'%s' got '%s'", options, th_error_text(th));
    }
    th_free(th);
}

static void
test_devices_that_cannot_be_used_are_explained(void **state)
{
    expect_refusal("path = \"/nonexistent/sg0\";", "cannot open '/nonexistent/sg0': No such file");
    fake()->look_error = -ENOTTY;
    expect_refusal(OPTIONS, "'/dev/null' is no SCSI device");
    fake()->look_error = 0;
    fake()->qualifier = 0x20;
    expect_refusal(OPTIONS, "there is no logical unit behind '/dev/null'");
    fake()->qualifier = 0;
    fake()->error = -EIO;
    expect_refusal(OPTIONS, "'/dev/null' does not answer INQUIRY");
    fake()->error = 0;
}

static void
test_every_failing_host_call_leaves_nothing(void **state)
{
    struct bp_instance *unit = NULL;

    for (uint32_t n = 1; unit == NULL; n++) {
        struct th_host *th = th_new();

        th_fail_call(th, n, ENOMEM);
        unit = th_plug(th, &backplane_plugin_v1, "lun0", OPTIONS);
        assert_true(n < 32);
        th_free(th);
    }
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_cdb_data_sense_and_residual_pass_as_they_are),
        T(test_a_cdb_has_at_most_sixteen_bytes),
        T(test_reads_and_writes_take_the_block_path),
        T(test_what_is_odd_about_a_read_is_the_devices_to_say),
        T(test_what_the_block_path_cannot_do_the_device_explains),
        T(test_a_generic_node_has_no_block_path),
        T(test_dangerous_commands_need_privilege),
        T(test_what_the_host_refuses_has_an_answer),
        T(test_a_device_that_is_lost_is_told_once),
        T(test_a_function_waits_for_what_the_host_has),
        T(test_a_unit_reset_resets_the_device),
        T(test_an_ordered_command_waits_and_is_waited_for),
        T(test_devices_that_cannot_be_used_are_explained),
        T(test_every_failing_host_call_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
