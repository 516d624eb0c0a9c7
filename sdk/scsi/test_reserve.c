/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent reservations of a disk with several initiators, by the tables of SPC-4 and SBC-3. */
#include "reserve.h"
#include "test_rig.h"

#include "engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE     512u
#define CONFLICT BP_SCSI_RESERVATION_CONFLICT

static int
setup(void **state)
{
    struct rig *rig = rig_new(BP_SCSI_TYPE_DISK, 0, 1024, 0);

    for (uint32_t i = 0; i < RIG_NEXUS; i++) {
        rig->nexus[i].initiator = i + 1;
    }
    *state = rig;
    return 0;
}

static int
teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* PERSISTENT RESERVE OUT of initiator n. Returns the status. */
static uint32_t
out(struct rig *rig, uint32_t n, uint32_t service, uint32_t type, uint64_t key, uint64_t action)
{
    const uint8_t cdb[10] = {0x5f, (uint8_t)service, (uint8_t)type, 0, 0, 0, 0, 0, 24};

    memset(rig->data, 0, 24);
    put_be(rig->data, 8, key);
    put_be(rig->data + 8, 8, action);
    return rig_command(rig, n, cdb, 10, 0);
}

static uint32_t
in(struct rig *rig, uint32_t service)
{
    const uint8_t cdb[10] = {0x5e, (uint8_t)service, 0, 0, 0, 0, 0, 8, 0};

    memset(rig->data, 0xee, 256);
    return rig_command(rig, 0, cdb, 10, 0);
}

static uint32_t
test_ready(struct rig *rig, uint32_t n)
{
    return rig_command(rig, n, CDB(0, 0, 0, 0, 0, 0), 6, 0);
}

static uint32_t
read_one(struct rig *rig, uint32_t n)
{
    return rig_command(rig, n, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 10, 0);
}

static uint32_t
write_one(struct rig *rig, uint32_t n)
{
    return rig_command(rig, n, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 10, 0);
}

static void
expect_attention(struct rig *rig, uint32_t n, uint32_t code)
{
    assert_int_equal(test_ready(rig, n), BP_SCSI_CHECK_CONDITION);
    rig_expect(rig, 6, code);
    assert_int_equal(test_ready(rig, n), BP_SCSI_GOOD);
}

/* Initiators 0 .. count - 1 with the keys 0xa0, 0xa1 ... */
static void
enlist(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(out(rig, i, RESERVE_REGISTER, 0, 0, 0xa0 + i), BP_SCSI_GOOD);
    }
}

/* The reservation as READ RESERVATION tells it: type, 0: none. */
static uint32_t
reservation(struct rig *rig, uint64_t *key)
{
    assert_int_equal(in(rig, 1), BP_SCSI_GOOD);
    if (get_be(rig->data + 4, 4) == 0) {
        return 0;
    }
    assert_int_equal(get_be(rig->data + 4, 4), 16);
    assert_int_equal(rig->data[21] >> 4, 0);
    *key = get_be64(rig->data + 8);
    return rig->data[21];
}

/* --- registering -------------------------------------------------------------------------------
 */

static void
test_keys_are_registered_changed_and_taken_back(void **state)
{
    struct rig *rig = *state;

    in(rig, 0);
    assert_int_equal(rig->task.moved, 8);
    assert_memory_equal(rig->data, CDB(0, 0, 0, 0, 0, 0, 0, 0), 8);
    assert_int_equal(out(rig, 0, RESERVE_REGISTER, 0, 5, 0xa0), CONFLICT);
    enlist(rig, 2);
    assert_int_equal(out(rig, 0, RESERVE_REGISTER, 0, 0, 0xb0), CONFLICT);
    assert_int_equal(out(rig, 0, RESERVE_REGISTER, 0, 0xa0, 0xb0), BP_SCSI_GOOD);
    in(rig, 0);
    assert_memory_equal(rig->data, CDB(0, 0, 0, 3, 0, 0, 0, 16), 8);
    assert_int_equal(get_be64(rig->data + 8), 0xb0);
    assert_int_equal(get_be64(rig->data + 16), 0xa1);
    assert_int_equal(out(rig, 0, RESERVE_REGISTER_IGNORE, 0, 77, 0xc0), BP_SCSI_GOOD);
    assert_int_equal(out(rig, 1, RESERVE_REGISTER, 0, 0xa1, 0), BP_SCSI_GOOD);
    in(rig, 0);
    assert_memory_equal(rig->data, CDB(0, 0, 0, 5, 0, 0, 0, 8), 8);
    assert_int_equal(get_be64(rig->data + 8), 0xc0);
    /* nothing to take back: nothing changes */
    assert_int_equal(out(rig, 1, RESERVE_REGISTER, 0, 0, 0), BP_SCSI_GOOD);
    in(rig, 0);
    assert_int_equal(get_be(rig->data, 4), 5);
}

static void
test_lists_that_are_wrong_are_refused(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_command(rig, 0, CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 23, 0), 10, 0), 2);
    rig_expect(rig, 5, 0x1a00);
    assert_int_equal(rig_command(rig, 0, CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 28, 0), 10, 0), 2);
    rig_expect(rig, 5, 0x1a00);
    assert_int_equal(rig_command(rig, 0, CDB(0x5f, 7, 0, 0, 0, 0, 0, 0, 23, 0), 10, 0), 2);
    rig_expect(rig, 5, 0x1a00);
    memset(rig->data, 0, 24);
    rig->data[20] = 0x08; /* SPEC_I_PT */
    rig_command(rig, 0, CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0), 10, 0);
    rig_expect(rig, 5, 0x2600);
    assert_int_equal(get_be(rig->task.sense + 16, 2), 20);
    memset(rig->data, 0, 24);
    rig->data[20] = 0x01; /* APTPL */
    rig_command(rig, 0, CDB(0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0), 10, 0);
    rig_expect(rig, 5, 0x2600);
    assert_int_equal(rig_command(rig, 0, CDB(0x5f, 8, 0, 0, 0, 0, 0, 0, 24, 0), 10, 0), 2);
    rig_expect(rig, 5, 0x2400);
    enlist(rig, 1);
    out(rig, 0, RESERVE_RESERVE, 2, 0xa0, 0);
    rig_expect(rig, 5, 0x2400);
    out(rig, 0, RESERVE_RESERVE, 0x11, 0xa0, 0);
    rig_expect(rig, 5, 0x2400);
}

static void
test_more_registrants_than_there_is_room_for_are_refused(void **state)
{
    struct rig *rig = *state;

    for (uint32_t i = 0; i < BP_SCSI_REGISTRANTS; i++) {
        rig->nexus[1].initiator = 100 + i;
        assert_int_equal(out(rig, 1, RESERVE_REGISTER, 0, 0, 1 + i), BP_SCSI_GOOD);
    }
    rig->nexus[1].initiator = 2;
    out(rig, 1, RESERVE_REGISTER, 0, 0, 0xa1);
    rig_expect(rig, 5, 0x5504);
    in(rig, 3);
    assert_int_equal(rig->task.moved, 8 + BP_SCSI_REGISTRANTS * 48);
}

/* --- what reservations let pass ------------------------------------------------------------------
 */

static void
test_each_type_lets_pass_what_its_table_says(void **state)
{
    /* initiator 0 holds, 1 is registered, 2 is not; first as SPC-4 5.12.1 has them */
    static const struct {
        uint8_t type, other_reads, other_writes, stranger_reads;
    } expected[] = {{RESERVE_WRITE, 1, 0, 1},    {RESERVE_ALL, 0, 0, 0},
                    {RESERVE_WRITE_RO, 1, 1, 1}, {RESERVE_ALL_RO, 1, 1, 0},
                    {RESERVE_WRITE_AR, 1, 1, 1}, {RESERVE_ALL_AR, 1, 1, 0}};
    struct rig *rig = *state;

    enlist(rig, 2);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(expected); i++) {
        uint32_t type = expected[i].type;

        assert_int_equal(out(rig, 0, RESERVE_RESERVE, type, 0xa0, 0), BP_SCSI_GOOD);
        assert_int_equal(read_one(rig, 0), BP_SCSI_GOOD);
        assert_int_equal(write_one(rig, 0), BP_SCSI_GOOD);
        assert_int_equal(read_one(rig, 1), expected[i].other_reads ? BP_SCSI_GOOD : CONFLICT);
        assert_int_equal(write_one(rig, 1), expected[i].other_writes ? BP_SCSI_GOOD : CONFLICT);
        assert_int_equal(read_one(rig, 2), expected[i].stranger_reads ? BP_SCSI_GOOD : CONFLICT);
        assert_int_equal(write_one(rig, 2), CONFLICT);
        assert_int_equal(out(rig, 0, RESERVE_RELEASE, type, 0xa0, 0), BP_SCSI_GOOD);
        if (type >= RESERVE_WRITE_RO) {
            expect_attention(rig, 1, 0x2a04); /* reservations released */
        }
        assert_int_equal(write_one(rig, 1), BP_SCSI_GOOD);
        assert_int_equal(write_one(rig, 2), BP_SCSI_GOOD);
    }
}

/* One row a command: what one that is not registered may do under WRITE EXCLUSIVE and EXCLUSIVE
 * ACCESS. SPC-4 table 52, SBC-3 table 13. */
static const struct {
    uint8_t cdb[16];
    uint8_t write, all; /* 1: allowed */
} rows[] = {
    {{0x00}, 1, 1},
    {{0x03, 0, 0, 0, 18}, 1, 1},
    {{0x04}, 0, 0},
    {{0x08, 0, 0, 0, 1}, 1, 0},
    {{0x0a, 0, 0, 0, 1}, 0, 0},
    {{0x12, 0, 0, 0, 36}, 1, 1},
    {{0x15, 0x10}, 0, 0},
    {{0x16}, 0, 0},
    {{0x1a, 0, 0x3f, 0, 255}, 0, 0},
    {{0x1b, 0, 0, 0, 1}, 1, 1},
    {{0x1b, 0, 0, 0, 0}, 0, 0},
    {{0x1d, 4}, 0, 0},
    {{0x1e, 0, 0, 0, 0}, 1, 1},
    {{0x1e, 0, 0, 0, 1}, 0, 0},
    {{0x25}, 1, 1},
    {{0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 1, 0},
    {{0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0},
    {{0x2b}, 0, 0},
    {{0x2e, 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0},
    {{0x2f, 0, 0, 0, 0, 0, 0, 0, 1}, 1, 0},
    {{0x35}, 0, 0},
    {{0x41, 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0},
    {{0x42, 0, 0, 0, 0, 0, 0, 0, 24}, 0, 0},
    {{0x4d, 0, 0x40, 0, 0, 0, 0, 0, 64}, 1, 1},
    {{0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255}, 0, 0},
    {{0x5e, 0, 0, 0, 0, 0, 0, 0, 64}, 1, 1},
    {{0x5e, 3, 0, 0, 0, 0, 0, 0, 64}, 1, 1},
    {{0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 1, 0},
    {{0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0},
    {{0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0},
    {{0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0},
    {{0x8f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 1, 0},
    {{0x91}, 0, 0},
    {{0x93, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0},
    {{0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, 1, 1},
    {{0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, 1, 0},
    {{0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16}, 1, 1},
    {{0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 64}, 0, 0},
    {{0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 1, 0},
    {{0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 0, 0},
};

static void
test_strangers_get_a_conflict_by_the_table_of_commands(void **state)
{
    struct rig *rig = *state;

    enlist(rig, 1);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(rows); i++) {
        for (uint32_t all = 0; all < 2; all++) {
            uint32_t type = all ? RESERVE_ALL : RESERVE_WRITE;
            uint32_t status;

            assert_int_equal(out(rig, 0, RESERVE_RESERVE, type, 0xa0, 0), BP_SCSI_GOOD);
            memset(rig->data, 0, 1024);
            status = rig_command(rig, 2, rows[i].cdb, 16, 0);
            if ((status != CONFLICT) != (all ? rows[i].all : rows[i].write)) {
                fail_msg("opcode %02x, byte 4 %02x, type %u: status %02x", rows[i].cdb[0],
                         rows[i].cdb[4], type, status);
            }
            assert_int_equal(out(rig, 0, RESERVE_RELEASE, type, 0xa0, 0), BP_SCSI_GOOD);
        }
    }
}

static void
test_only_registrants_change_the_state(void **state)
{
    static const uint8_t services[] = {RESERVE_RESERVE,       RESERVE_RELEASE,
                                       RESERVE_CLEAR,         RESERVE_PREEMPT,
                                       RESERVE_PREEMPT_ABORT, RESERVE_REGISTER_MOVE};
    struct rig *rig = *state;

    enlist(rig, 1);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(services); i++) {
        assert_int_equal(out(rig, 1, services[i], RESERVE_WRITE, 0, 0xa0), CONFLICT);
        assert_int_equal(out(rig, 0, services[i], RESERVE_WRITE, 0xff, 0xa0), CONFLICT);
    }
}

/* --- reserving and releasing -------------------------------------------------------------------
 */

static void
test_a_reservation_has_one_holder_unless_all_registrants_hold_it(void **state)
{
    struct rig *rig = *state;
    uint64_t key = 1;

    enlist(rig, 2);
    assert_int_equal(reservation(rig, &key), 0);
    assert_int_equal(out(rig, 0, RESERVE_RESERVE, RESERVE_WRITE_RO, 0xa0, 0), BP_SCSI_GOOD);
    assert_int_equal(out(rig, 0, RESERVE_RESERVE, RESERVE_WRITE_RO, 0xa0, 0), BP_SCSI_GOOD);
    assert_int_equal(out(rig, 0, RESERVE_RESERVE, RESERVE_ALL_RO, 0xa0, 0), CONFLICT);
    assert_int_equal(out(rig, 1, RESERVE_RESERVE, RESERVE_WRITE_RO, 0xa1, 0), CONFLICT);
    assert_int_equal(reservation(rig, &key), RESERVE_WRITE_RO);
    assert_int_equal(key, 0xa0);
    assert_int_equal(out(rig, 1, RESERVE_RELEASE, RESERVE_WRITE_RO, 0xa1, 0), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), RESERVE_WRITE_RO);
    out(rig, 0, RESERVE_RELEASE, RESERVE_ALL_RO, 0xa0, 0);
    rig_expect(rig, 5, 0x2604);
    assert_int_equal(out(rig, 0, RESERVE_RELEASE, RESERVE_WRITE_RO, 0xa0, 0), BP_SCSI_GOOD);
    expect_attention(rig, 1, 0x2a04);
    assert_int_equal(out(rig, 0, RESERVE_RESERVE, RESERVE_ALL_AR, 0xa0, 0), BP_SCSI_GOOD);
    assert_int_equal(out(rig, 1, RESERVE_RESERVE, RESERVE_ALL_AR, 0xa1, 0), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), RESERVE_ALL_AR);
    assert_int_equal(key, 0);
    /* it stays while there is a registrant */
    assert_int_equal(out(rig, 0, RESERVE_REGISTER, 0, 0xa0, 0), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), RESERVE_ALL_AR);
    assert_int_equal(out(rig, 1, RESERVE_REGISTER, 0, 0xa1, 0), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), 0);
}

static void
test_a_holder_that_unregisters_releases(void **state)
{
    struct rig *rig = *state;
    uint64_t key = 0;

    enlist(rig, 2);
    out(rig, 0, RESERVE_RESERVE, RESERVE_ALL_RO, 0xa0, 0);
    assert_int_equal(out(rig, 0, RESERVE_REGISTER, 0, 0xa0, 0), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), 0);
    expect_attention(rig, 1, 0x2a04);
    out(rig, 1, RESERVE_RESERVE, RESERVE_ALL, 0xa1, 0);
    out(rig, 0, RESERVE_REGISTER, 0, 0, 0xa0);
    assert_int_equal(out(rig, 1, RESERVE_REGISTER, 0, 0xa1, 0), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), 0);
    assert_int_equal(test_ready(rig, 0), BP_SCSI_GOOD);
}

static void
test_clear_ends_everything_and_tells_the_others(void **state)
{
    struct rig *rig = *state;
    uint64_t key = 0;

    enlist(rig, 3);
    out(rig, 0, RESERVE_RESERVE, RESERVE_ALL, 0xa0, 0);
    assert_int_equal(out(rig, 1, RESERVE_CLEAR, 0, 0xa1, 0), BP_SCSI_GOOD);
    expect_attention(rig, 0, 0x2a03); /* reservations preempted */
    expect_attention(rig, 2, 0x2a03);
    assert_int_equal(test_ready(rig, 1), BP_SCSI_GOOD);
    assert_int_equal(test_ready(rig, 3), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), 0);
    in(rig, 0);
    assert_int_equal(get_be(rig->data + 4, 4), 0);
}

/* --- preempting --------------------------------------------------------------------------------
 */

static void
test_preempting_the_holder_takes_its_place(void **state)
{
    struct rig *rig = *state;
    uint64_t key = 0;

    enlist(rig, 3);
    out(rig, 0, RESERVE_RESERVE, RESERVE_WRITE_RO, 0xa0, 0);
    out(rig, 1, RESERVE_PREEMPT, 0x11, 0xa1, 0xa0);
    rig_expect(rig, 5, 0x2400);
    assert_int_equal(out(rig, 1, RESERVE_PREEMPT, RESERVE_ALL_RO, 0xa1, 0xa0), BP_SCSI_GOOD);
    expect_attention(rig, 0, 0x2a05); /* registrations preempted */
    expect_attention(rig, 2, 0x2a04); /* another type */
    assert_int_equal(test_ready(rig, 1), BP_SCSI_GOOD);
    assert_int_equal(write_one(rig, 0), CONFLICT);
    assert_int_equal(reservation(rig, &key), RESERVE_ALL_RO);
    assert_int_equal(key, 0xa1);
    /* of the same type: nobody but the preempted one hears of it */
    assert_int_equal(out(rig, 2, RESERVE_PREEMPT, RESERVE_ALL_RO, 0xa2, 0xa1), BP_SCSI_GOOD);
    expect_attention(rig, 1, 0x2a05);
    /* its own reservation, to change the type */
    assert_int_equal(out(rig, 2, RESERVE_PREEMPT, RESERVE_WRITE, 0xa2, 0xa2), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), RESERVE_WRITE);
    assert_int_equal(key, 0xa2);
}

static void
test_preempting_others_takes_their_registration_only(void **state)
{
    struct rig *rig = *state;
    uint64_t key = 0;

    enlist(rig, 3);
    assert_int_equal(out(rig, 1, RESERVE_PREEMPT, 0, 0xa1, 0xbb), CONFLICT);
    out(rig, 1, RESERVE_PREEMPT, 0, 0xa1, 0);
    rig_expect(rig, 5, 0x2600);
    assert_int_equal(out(rig, 1, RESERVE_PREEMPT, 0, 0xa1, 0xa2), BP_SCSI_GOOD);
    expect_attention(rig, 2, 0x2a05);
    out(rig, 0, RESERVE_RESERVE, RESERVE_WRITE, 0xa0, 0);
    out(rig, 2, RESERVE_REGISTER, 0, 0, 0xa2);
    assert_int_equal(out(rig, 0, RESERVE_PREEMPT, RESERVE_ALL, 0xa0, 0xa1), BP_SCSI_GOOD);
    expect_attention(rig, 1, 0x2a05);
    assert_int_equal(reservation(rig, &key), RESERVE_WRITE);
    assert_int_equal(test_ready(rig, 2), BP_SCSI_GOOD);
}

static void
test_preempting_all_registrants_needs_the_key_zero(void **state)
{
    struct rig *rig = *state;
    uint64_t key = 0;

    enlist(rig, 3);
    out(rig, 0, RESERVE_RESERVE, RESERVE_WRITE_AR, 0xa0, 0);
    assert_int_equal(out(rig, 1, RESERVE_PREEMPT, RESERVE_WRITE, 0xa1, 0xa2), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), RESERVE_WRITE_AR);
    expect_attention(rig, 2, 0x2a05);
    assert_int_equal(out(rig, 1, RESERVE_PREEMPT, RESERVE_WRITE, 0xa1, 0), BP_SCSI_GOOD);
    expect_attention(rig, 0, 0x2a05);
    assert_int_equal(reservation(rig, &key), RESERVE_WRITE);
    assert_int_equal(key, 0xa1);
}

/* --- moving ------------------------------------------------------------------------------------
 */

/* REGISTER AND MOVE of initiator n to the SAS port `address`. */
static uint32_t
move(struct rig *rig, uint32_t n, uint64_t key, uint64_t action, uint64_t address, uint32_t unreg)
{
    memset(rig->data, 0, 48);
    put_be(rig->data, 8, key);
    put_be(rig->data + 8, 8, action);
    rig->data[17] = unreg ? 2 : 0;
    rig->data[19] = 1;
    rig->data[23] = 24;
    rig->data[24] = 0x06;
    put_be(rig->data + 28, 8, address);
    return rig_command(rig, n, CDB(0x5f, 7, 0, 0, 0, 0, 0, 0, 48, 0), 10, 0);
}

static void
test_a_reservation_moves_to_another_port(void **state)
{
    const uint64_t second = UINT64_C(3) << 60 | 2;
    struct rig *rig = *state;
    uint64_t key = 0;

    enlist(rig, 1);
    assert_int_equal(move(rig, 0, 0xa0, 0xb1, second, 0), CONFLICT); /* there is none */
    out(rig, 0, RESERVE_RESERVE, RESERVE_ALL, 0xa0, 0);
    move(rig, 0, 0xa0, 0, second, 0);
    rig_expect(rig, 5, 0x2600);
    move(rig, 0, 0xa0, 0xb1, second - 1, 0); /* to itself */
    rig_expect(rig, 5, 0x2600);
    assert_int_equal(move(rig, 0, 0xa0, 0xb1, second, 1), BP_SCSI_GOOD);
    assert_int_equal(reservation(rig, &key), RESERVE_ALL);
    assert_int_equal(key, 0xb1);
    assert_int_equal(write_one(rig, 0), CONFLICT);
    assert_int_equal(write_one(rig, 1), BP_SCSI_GOOD);
    in(rig, 3);
    assert_int_equal(get_be(rig->data + 4, 4), 48);
    assert_int_equal(get_be64(rig->data + 8), 0xb1);
    assert_int_equal(rig->data[20], 1);
    assert_int_equal(rig->data[21], RESERVE_ALL);
    assert_int_equal(get_be(rig->data + 26, 2), 1);
    assert_int_equal(get_be64(rig->data + 36), second);
    assert_int_equal(out(rig, 1, RESERVE_RELEASE, RESERVE_ALL, 0xb1, 0), BP_SCSI_GOOD);
    out(rig, 1, RESERVE_RESERVE, RESERVE_ALL_AR, 0xb1, 0);
    assert_int_equal(move(rig, 1, 0xb1, 1, second - 1, 0), CONFLICT);
}

/* --- the rest ----------------------------------------------------------------------------------
 */

static void
test_capabilities_name_every_type(void **state)
{
    struct rig *rig = *state;

    in(rig, 2);
    assert_int_equal(rig->task.moved, 8);
    assert_memory_equal(rig->data, CDB(0, 8, 0x14, 0x80, 0xea, 0x01, 0, 0), 8);
    rig->unit.identity.shared = 1;
    in(rig, 2);
    assert_memory_equal(rig->data, CDB(0, 8, 0x05, 0x80, 0xea, 0x01, 0, 0), 8);
}

static void
test_reserve_and_persistent_reservations_exclude_each_other(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_command(rig, 0, CDB(0x16, 0, 0, 0, 0, 0), 6, 0), BP_SCSI_GOOD);
    assert_int_equal(out(rig, 0, RESERVE_REGISTER, 0, 0, 0xa0), CONFLICT);
    assert_int_equal(out(rig, 1, RESERVE_REGISTER, 0, 0, 0xa1), CONFLICT);
    assert_int_equal(test_ready(rig, 1), CONFLICT);
    assert_int_equal(rig_command(rig, 0, CDB(0x17, 0, 0, 0, 0, 0), 6, 0), BP_SCSI_GOOD);
    enlist(rig, 2);
    assert_int_equal(rig_command(rig, 0, CDB(0x16, 0, 0, 0, 0, 0), 6, 0), CONFLICT);
    out(rig, 0, RESERVE_RESERVE, RESERVE_ALL_RO, 0xa0, 0);
    /* CRH: to those who have access anyway it says what they want to hear */
    assert_int_equal(rig_command(rig, 0, CDB(0x16, 0, 0, 0, 0, 0), 6, 0), BP_SCSI_GOOD);
    assert_int_equal(rig_command(rig, 1, CDB(0x17, 0, 0, 0, 0, 0), 6, 0), BP_SCSI_GOOD);
    assert_int_equal(rig_command(rig, 2, CDB(0x16, 0, 0, 0, 0, 0), 6, 0), CONFLICT);
    rig->unit.identity.shared = 1;
    rig_command(rig, 0, CDB(0x16, 0, 0, 0, 0, 0), 6, 0);
    rig_expect(rig, 5, 0x2000);
}

static void
test_a_reset_leaves_persistent_reservations(void **state)
{
    struct rig *rig = *state;
    uint64_t key = 0;

    enlist(rig, 1);
    out(rig, 0, RESERVE_RESERVE, RESERVE_ALL, 0xa0, 0);
    bp_scsi_unit_reset(&rig->unit, 0);
    assert_int_equal(reservation(rig, &key), RESERVE_ALL);
    assert_int_equal(write_one(rig, 1), CONFLICT);
}

struct saved {
    struct bp_state_sink sink;
    uint8_t data[8192];
    uint64_t length;
};

static int32_t
put(const struct bp_state_sink *sink, uint32_t tag, const void *data, uint64_t length)
{
    struct saved *saved = (struct saved *)(uintptr_t)sink;

    assert_true(length <= sizeof(saved->data));
    memcpy(saved->data, data, length);
    saved->length = length;
    return 0;
}

static void
test_reservations_come_back_with_the_state(void **state)
{
    struct saved saved = {.sink = {.size = sizeof(saved.sink), .put = put}};
    struct rig *rig = *state;
    uint64_t key = 0;

    enlist(rig, 2);
    out(rig, 1, RESERVE_RESERVE, RESERVE_WRITE, 0xa1, 0);
    assert_int_equal(bp_scsi_unit_save(&rig->unit, &saved.sink, 1), 0);
    out(rig, 0, RESERVE_CLEAR, 0, 0xa0, 0);
    expect_attention(rig, 1, 0x2a03);
    assert_int_equal(bp_scsi_unit_restore(&rig->unit, saved.data, saved.length), 0);
    assert_int_equal(reservation(rig, &key), RESERVE_WRITE);
    assert_int_equal(key, 0xa1);
    assert_int_equal(write_one(rig, 0), CONFLICT);
}

static void
test_an_image_that_is_damaged_is_refused(void **state)
{
    struct bp_scsi_reservations full = {.sequence = 7, .type = RESERVE_ALL, .count = 2}, copy;
    uint8_t image[RESERVE_IMAGE_BYTES];

    full.holder = 1;
    for (uint32_t i = 0; i < 2; i++) {
        full.registrants[i] = (struct bp_scsi_registrant){.key = 1 + i, .id_length = 24};
        full.registrants[i].id[4] = (uint8_t)i;
    }
    reserve_encode(&full, image);
    assert_int_equal(reserve_decode(&copy, image), 0);
    assert_memory_equal(&copy, &full, sizeof(full));
    for (uint32_t i = 0; i < RESERVE_IMAGE_BYTES; i++) {
        image[i] ^= 0x40;
        assert_int_equal(reserve_decode(&copy, image), -EINVAL);
        image[i] ^= 0x40;
    }
    full.holder = 2; /* well-formed, but nobody */
    reserve_encode(&full, image);
    assert_int_equal(reserve_decode(&copy, image), -EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_keys_are_registered_changed_and_taken_back),
        T(test_lists_that_are_wrong_are_refused),
        T(test_more_registrants_than_there_is_room_for_are_refused),
        T(test_each_type_lets_pass_what_its_table_says),
        T(test_strangers_get_a_conflict_by_the_table_of_commands),
        T(test_only_registrants_change_the_state),
        T(test_a_reservation_has_one_holder_unless_all_registrants_hold_it),
        T(test_a_holder_that_unregisters_releases),
        T(test_clear_ends_everything_and_tells_the_others),
        T(test_preempting_the_holder_takes_its_place),
        T(test_preempting_others_takes_their_registration_only),
        T(test_preempting_all_registrants_needs_the_key_zero),
        T(test_a_reservation_moves_to_another_port),
        T(test_capabilities_name_every_type),
        T(test_reserve_and_persistent_reservations_exclude_each_other),
        T(test_a_reset_leaves_persistent_reservations),
        T(test_reservations_come_back_with_the_state),
        T(test_an_image_that_is_damaged_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
