/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that share an image and a file of reservations, as two machines have them; and two
 * initiators of one disk. */
#include <backplane/sdk/bits.h>
#include <backplane/testhost.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define IMAGE_BYTES 65536u
#define COMMANDS    16u
#define SLOT_BYTES  4096u /* of the file: two images of the state */

#define REGISTER      0u
#define RESERVE       1u
#define PREEMPT       4u
#define PREEMPT_ABORT 5u

/* One initiator's commands. */
struct initiator {
    struct th_host *th;
    const struct bp_scsi_ops *ops;
    void *disk;
    void *queue;
    uint8_t *data; /* COMMANDS x 512 bytes of arena */
    struct bp_iovec iov[COMMANDS];
    uint8_t sense[COMMANDS][96];
    struct bp_scsi_completion last[COMMANDS];
    uint32_t done[COMMANDS]; /* how many had ended before it, and it: 1, 2 ... */
    uint32_t ended;
    uint32_t managed;
};

static void
complete(void *opaque, const struct bp_scsi_completion *completions, uint32_t count)
{
    struct initiator *me = opaque;

    for (uint32_t i = 0; i < count; i++) {
        me->last[completions[i].user] = completions[i];
        me->done[completions[i].user] = ++me->ended;
    }
}

static void
managed(void *opaque, uint64_t user, int32_t result)
{
    ((struct initiator *)opaque)->managed++;
}

static const struct bp_scsi_client client = {
    .size = sizeof(client), .complete = complete, .managed = managed};

static void
connect_to(struct initiator *me, struct th_host *th, struct bp_instance *disk, uint32_t number)
{
    uint8_t id[24] = {0x06, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, (uint8_t)number};
    const struct bp_scsi_queue_args args = {.size = sizeof(args),
                                            .depth = COMMANDS,
                                            .client = &client,
                                            .opaque = me,
                                            .initiator = number,
                                            .transport_id = id,
                                            .transport_id_length = sizeof(id)};

    memset(me, 0, sizeof(*me));
    me->th = th;
    me->disk = th_self(disk);
    me->ops = th_table(disk, BP_SCSI_ID);
    me->data = th_arena(th, COMMANDS * 512);
    assert_int_equal(me->ops->queue_open(me->disk, &args, &me->queue), 0);
}

static void
disconnect(struct initiator *me)
{
    me->ops->drain(me->disk, me->queue);
    me->ops->queue_close(me->disk, me->queue);
}

/* Sends a command with `out` bytes of data or `in`. */
static void
send(struct initiator *me, uint32_t user, const uint8_t *cdb, uint32_t out, uint32_t in)
{
    struct bp_scsi_request request = {.user = user,
                                      .cdb_length = 16,
                                      .sense = me->sense[user],
                                      .sense_size = 96,
                                      .out_length = out,
                                      .in_length = in};

    memcpy(request.cdb, cdb, 16);
    me->iov[user] = (struct bp_iovec){me->data + (size_t)user * 512, out + in};
    request.out_iov = request.in_iov = &me->iov[user];
    request.out_count = out != 0;
    request.in_count = in != 0;
    me->done[user] = 0;
    assert_int_equal(me->ops->submit(me->disk, me->queue, &request, 1), 1);
}

static void
send_write(struct initiator *me, uint32_t user)
{
    static const uint8_t cdb[16] = {0x2a, 0, 0, 0, 0, 0, 0, 0, 1};

    send(me, user, cdb, 512, 0);
}

static void
send_change(struct initiator *me, uint32_t user, uint32_t service, uint8_t key, uint8_t action)
{
    const uint8_t cdb[16] = {0x5f, (uint8_t)service, service == REGISTER ? 0 : 1, 0, 0, 0, 0, 0,
                             24};
    uint8_t *list = me->data + (size_t)user * 512;

    memset(list, 0, 24);
    list[7] = key;
    list[15] = action;
    send(me, user, cdb, 24, 0);
}

struct wanted {
    struct initiator *me;
    uint32_t user;
};

static int
has_ended(void *opaque)
{
    struct wanted *wanted = opaque;

    return wanted->me->done[wanted->user] != 0;
}

/* Waits for the command's end: the thread of the gate is real. Returns its status. */
static uint32_t
wait_for(struct initiator *me, uint32_t user)
{
    struct wanted wanted = {me, user};

    if (!th_run_until(me->th, has_ended, &wanted, 20000)) {
        fail_msg("command %u has not ended", user);
    }
    assert_int_equal(me->last[user].result, 0);
    return me->last[user].status;
}

/* Gives it time in which it must not end. */
static void
expect_waiting(struct initiator *me, uint32_t user)
{
    struct wanted wanted = {me, user};

    assert_int_equal(th_run_until(me->th, has_ended, &wanted, 50), 0);
}

/* Takes the unit attention after power-on, and registers. */
static void
enlist(struct initiator *me, uint8_t key)
{
    static const uint8_t test_ready[16] = {0};

    send(me, 0, test_ready, 0, 0);
    assert_int_equal(wait_for(me, 0), BP_SCSI_CHECK_CONDITION);
    send_change(me, 0, REGISTER, 0, key);
    assert_int_equal(wait_for(me, 0), BP_SCSI_GOOD);
}

struct rig {
    char path[64];
    struct th_host *th;
    struct th_block *blocks[2];
    struct initiator one, two;
};

static struct bp_instance *
plug_disk(struct rig *rig, const char *id, const char *block, uint32_t shared)
{
    char options[128];

    (void)snprintf(options, sizeof(options), "backend = \"%s\"; %s%s%s", block,
                   shared ? "reservations = \"" : "", shared ? rig->path : "", shared ? "\";" : "");
    return th_plug(rig->th, &backplane_plugin_v1, id, options);
}

static int
setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    int fd;

    (void)snprintf(rig->path, sizeof(rig->path), "/tmp/backplane-reservations-XXXXXX");
    fd = mkstemp(rig->path);
    assert_true(fd >= 0);
    (void)close(fd);
    rig->th = th_new();
    rig->blocks[0] = th_block_new(rig->th, "a", IMAGE_BYTES);
    rig->blocks[1] = th_block_new(rig->th, "b", IMAGE_BYTES);
    *state = rig;
    return 0;
}

static int
teardown(void **state)
{
    struct rig *rig = *state;

    th_free(rig->th);
    (void)unlink(rig->path);
    free(rig);
    return 0;
}

/* Two disks that share, each with an initiator that is registered. */
static void
plug_two(struct rig *rig)
{
    connect_to(&rig->one, rig->th, plug_disk(rig, "d1", "a", 1), 1);
    connect_to(&rig->two, rig->th, plug_disk(rig, "d2", "b", 1), 2);
    enlist(&rig->one, 0xa1);
    enlist(&rig->two, 0xa2);
}

static void
unplug_two(struct rig *rig)
{
    disconnect(&rig->one);
    disconnect(&rig->two);
}

static void
test_who_preempts_knows_that_no_write_is_on_its_way(void **state)
{
    struct rig *rig = *state;

    plug_two(rig);
    send_change(&rig->one, 1, RESERVE, 0xa1, 0);
    assert_int_equal(wait_for(&rig->one, 1), BP_SCSI_GOOD);
    th_block_hold(rig->blocks[0], 1);
    send_write(&rig->one, 2);
    th_run(rig->th);
    send_change(&rig->two, 1, PREEMPT, 0xa2, 0xa1);
    expect_waiting(&rig->two, 1);
    /* nobody gets in meanwhile */
    th_block_release(rig->blocks[0], 1, 0);
    th_block_hold(rig->blocks[0], 0);
    assert_int_equal(wait_for(&rig->two, 1), BP_SCSI_GOOD);
    assert_int_equal(wait_for(&rig->one, 2), BP_SCSI_GOOD);
    send_write(&rig->one, 3);
    assert_int_equal(wait_for(&rig->one, 3), BP_SCSI_CHECK_CONDITION);
    assert_int_equal(rig->one.sense[3][12] << 8 | rig->one.sense[3][13], 0x2a05);
    send_write(&rig->one, 3);
    assert_int_equal(wait_for(&rig->one, 3), BP_SCSI_RESERVATION_CONFLICT);
    send_write(&rig->two, 3);
    assert_int_equal(wait_for(&rig->two, 3), BP_SCSI_GOOD);
    unplug_two(rig);
}

static void
test_a_change_that_waits_can_be_aborted(void **state)
{
    const struct bp_scsi_management abort_it = {
        .user = 7, .function = BP_SCSI_ABORT_TASK, .request = 1};
    struct rig *rig = *state;
    struct wanted wanted = {&rig->two, 1};

    plug_two(rig);
    th_block_hold(rig->blocks[0], 1);
    send_write(&rig->one, 2);
    th_run(rig->th);
    send_change(&rig->two, 1, PREEMPT, 0xa2, 0xa1);
    expect_waiting(&rig->two, 1);
    assert_int_equal(rig->two.ops->manage(rig->two.disk, rig->two.queue, &abort_it), 0);
    assert_true(th_run_until(rig->th, has_ended, &wanted, 20000));
    th_run(rig->th);
    assert_int_equal(rig->two.last[1].result, -ECANCELED);
    assert_int_equal(rig->two.managed, 1);
    th_block_hold(rig->blocks[0], 0);
    assert_int_equal(wait_for(&rig->one, 2), BP_SCSI_GOOD);
    send_write(&rig->one, 3); /* it is registered as before */
    assert_int_equal(wait_for(&rig->one, 3), BP_SCSI_GOOD);
    unplug_two(rig);
}

static void
test_a_drain_gives_up_what_waits_for_another_machine(void **state)
{
    struct rig *rig = *state;

    plug_two(rig);
    th_block_hold(rig->blocks[0], 1);
    send_write(&rig->one, 2);
    th_run(rig->th);
    send_change(&rig->two, 1, PREEMPT, 0xa2, 0xa1);
    send_write(&rig->two, 2);
    rig->two.ops->drain(rig->two.disk, rig->two.queue);
    assert_int_equal(rig->two.last[1].status, BP_SCSI_TASK_ABORTED);
    assert_int_not_equal(rig->two.done[2], 0);
    th_block_hold(rig->blocks[0], 0);
    assert_int_equal(wait_for(&rig->one, 2), BP_SCSI_GOOD);
    unplug_two(rig);
}

static void
test_preempt_and_abort_ends_after_what_it_aborts(void **state)
{
    struct rig *rig = *state;
    struct bp_instance *disk = plug_disk(rig, "d1", "a", 0);

    connect_to(&rig->one, rig->th, disk, 1);
    connect_to(&rig->two, rig->th, disk, 2);
    enlist(&rig->one, 0xa1);
    enlist(&rig->two, 0xa2);
    th_block_hold(rig->blocks[0], 1);
    send_write(&rig->one, 2);
    send_change(&rig->two, 1, PREEMPT_ABORT, 0xa2, 0xa1);
    th_run(rig->th);
    assert_int_equal(rig->two.done[1], 0);
    th_block_hold(rig->blocks[0], 0);
    assert_int_equal(wait_for(&rig->two, 1), BP_SCSI_GOOD);
    assert_int_equal(wait_for(&rig->one, 2), BP_SCSI_TASK_ABORTED);
    unplug_two(rig);
}

static void
damage(const struct rig *rig, uint32_t slot)
{
    int fd = open(rig->path, O_WRONLY | O_CLOEXEC);

    assert_int_equal(pwrite(fd, "x", 1, slot * SLOT_BYTES + 20), 1);
    (void)close(fd);
}

static void
test_a_torn_change_leaves_the_one_before(void **state)
{
    struct rig *rig = *state;

    plug_two(rig); /* changes 1 and 2: images 1 and 0 */
    damage(rig, 0);
    th_block_new(rig->th, "c", IMAGE_BYTES);
    assert_non_null(plug_disk(rig, "d3", "c", 1));
    damage(rig, 1);
    unplug_two(rig);
    th_free(rig->th);
    rig->th = th_new();
    th_block_new(rig->th, "a", IMAGE_BYTES);
    assert_null(plug_disk(rig, "d4", "a", 1));
    assert_non_null(strstr(th_error_text(rig->th), "no state in it is whole"));
}

static void
make_block(struct th_host *th, void *opaque)
{
    th_block_new(th, "img", IMAGE_BYTES);
}

static void
test_every_failing_host_call_leaves_nothing(void **state)
{
    const struct rig *rig = *state;
    char options[128];

    (void)snprintf(options, sizeof(options), "backend = \"img\"; reservations = \"%s\";",
                   rig->path);
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, options, make_block, NULL) > 3);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_who_preempts_knows_that_no_write_is_on_its_way),
        T(test_a_change_that_waits_can_be_aborted),
        T(test_a_drain_gives_up_what_waits_for_another_machine),
        T(test_preempt_and_abort_ends_after_what_it_aborts),
        T(test_a_torn_change_leaves_the_one_before),
        T(test_every_failing_host_call_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
