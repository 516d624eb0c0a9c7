/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/address_space.h"

#include "base/device_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#define LIMIT UINT64_C(0x10000)

/* A device that answers with bytes made of its letter's number and the offset, and writes down each
 * call as "A:r0+1 ": device, direction, offset, size. */
typedef struct {
    char letter;
    GString *log; /* NULL: threads */
    uint64_t last_value;
    RegionOps ops;
    /* For the tests of nesting. */
    AddressSpace *space;
    uint64_t nested_address;
    uint64_t nested_value;
    GMutex lock;
} Device;

static uint8_t
byte_of(const Device *device, uint64_t offset)
{
    return (uint8_t)((device->letter - 'A' + 1) << 4 | (offset & 0xf));
}

static uint64_t
device_read(void *opaque, uint64_t offset, unsigned size)
{
    Device *device = opaque;
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)byte_of(device, offset + i) << (8 * i);
    }
    if (device->log) {
        g_string_append_printf(device->log, "%c:r%x+%u ", device->letter, (unsigned)offset, size);
    }
    return value;
}

static void
device_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Device *device = opaque;
    device->last_value = value;
    g_string_append_printf(device->log, "%c:w%x+%u=%x ", device->letter, (unsigned)offset, size,
                           (unsigned)value);
}

typedef struct {
    AddressSpace *space;
    GString *log;
    Device devices[4];
    Region *regions[4];
} Fixture;

static int
setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->space = address_space_new("port", LIMIT);
    fixture->log = g_string_new(NULL);
    for (unsigned i = 0; i < 4; i++) {
        Device *device = &fixture->devices[i];
        device->letter = (char)('A' + i);
        device->log = fixture->log;
        device->space = fixture->space;
        device->ops = (RegionOps){.read = device_read, .write = device_write, .widths = 1};
        g_mutex_init(&device->lock);
    }
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;
    for (unsigned i = 0; i < 4; i++) {
        region_free(fixture->regions[i]);
    }
    address_space_free(fixture->space);
    (void)g_string_free(fixture->log, TRUE);
    g_free(fixture);
    return 0;
}

static Region *
add(Fixture *fixture, unsigned device, uint64_t base, uint64_t length, int priority,
    uint32_t widths)
{
    char name[2] = {fixture->devices[device].letter, 0};
    fixture->devices[device].ops.widths = widths;
    RegionArgs args = {
        .name = name,
        .base = base,
        .length = length,
        .priority = priority,
        .ops = &fixture->devices[device].ops,
        .opaque = &fixture->devices[device],
        .lock = &fixture->devices[device].lock,
    };
    GError *error = NULL;
    Region *region = region_new(fixture->space, &args, &error);
    assert_null(error);
    assert_non_null(region);
    assert_false(region_is_enabled(region));
    region_set_enabled(region, true);
    fixture->regions[device] = region;
    return region;
}

static void
draw_range(uint64_t base, uint64_t length, const char *name, void *opaque)
{
    g_string_append_printf(opaque, "%x-%x:%s ", (unsigned)base, (unsigned)(base + length - 1),
                           name);
}

static void
assert_map(Fixture *fixture, const char *expected)
{
    g_autoptr(GString) map = g_string_new(NULL);
    address_space_foreach(fixture->space, draw_range, map);
    assert_string_equal(map->str, expected);
}

static void
assert_log(Fixture *fixture, const char *expected)
{
    assert_string_equal(fixture->log->str, expected);
    (void)g_string_truncate(fixture->log, 0);
}

/* ---- the map ---- */

static void
test_stronger_region_covers_the_weaker_and_the_older_the_newer(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x100, 0x100, REGION_PRIORITY_BAR, 1);
    add(fixture, 1, 0x180, 0x100, REGION_PRIORITY_BAR, 1);
    assert_map(fixture, "100-1ff:A 200-27f:B ");
    add(fixture, 2, 0x140, 0x10, REGION_PRIORITY_FIXED, 1);
    assert_map(fixture, "100-13f:A 140-14f:C 150-1ff:A 200-27f:B ");
    add(fixture, 3, 0, LIMIT, REGION_PRIORITY_DEFAULT, 1);
    assert_map(fixture, "0-ff:D 100-13f:A 140-14f:C 150-1ff:A 200-27f:B 280-ffff:D ");
    region_set_enabled(fixture->regions[0], false);
    assert_map(fixture, "0-13f:D 140-14f:C 150-17f:D 180-27f:B 280-ffff:D ");
    region_set_enabled(fixture->regions[0], true);
    assert_map(fixture, "0-ff:D 100-13f:A 140-14f:C 150-1ff:A 200-27f:B 280-ffff:D ");
}

static void
test_moved_region_leaves_its_place_and_is_cut_off_at_the_limit(void **state)
{
    Fixture *fixture = *state;
    Region *region = add(fixture, 0, 0x100, 0x10, REGION_PRIORITY_BAR, 1);
    region_move(region, 0xfff8);
    assert_map(fixture, "fff8-ffff:A ");
    assert_int_equal(region_base(region), 0xfff8);
    assert_int_equal(region_length(region), 0x10);
    region_move(region, UINT64_MAX - 3); /* wraps around: must not appear at 0 */
    assert_map(fixture, "");
    region_move(region, 0);
    assert_map(fixture, "0-f:A ");
    assert_true(address_space_is_mapped(fixture->space, 0xf));
    assert_false(address_space_is_mapped(fixture->space, 0x10));
}

static void
test_hole_tells_how_far_nobody_answers(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x100, 0x10, REGION_PRIORITY_BAR, 1);
    assert_int_equal(address_space_hole(fixture->space, 0xf0), 0x10);
    assert_int_equal(address_space_hole(fixture->space, 0x100), 0);
    assert_true(address_space_hole(fixture->space, 0x110) > LIMIT);
}

/* The flat table against the definition, on random maps. */
static void
test_random_maps_agree_with_a_search_through_all_regions(void **state)
{
    enum { REGIONS = 24, SPACE = 256 };
    Fixture *fixture = *state;
    g_autoptr(GRand) rand = g_rand_new_with_seed(20261122);
    AddressSpace *space = address_space_new("small", SPACE);
    Region *regions[REGIONS];
    Device devices[REGIONS];
    int priorities[REGIONS];
    for (unsigned i = 0; i < REGIONS; i++) {
        devices[i] = (Device){.letter = (char)('A' + i), .ops = fixture->devices[0].ops};
        priorities[i] = g_rand_int_range(rand, 0, 4);
        RegionArgs args = {
            .name = "r",
            .length = (uint64_t)g_rand_int_range(rand, 1, 80),
            .priority = priorities[i],
            .ops = &devices[i].ops,
            .opaque = &devices[i],
        };
        regions[i] = region_new(space, &args, NULL);
    }
    for (unsigned round = 0; round < 300; round++) {
        Region *changed = regions[g_rand_int_range(rand, 0, REGIONS)];
        region_move(changed, (uint64_t)g_rand_int_range(rand, 0, SPACE + 20));
        region_set_enabled(changed, g_rand_boolean(rand));
        for (uint64_t address = 0; address < SPACE; address++) {
            int best = -1;
            for (int i = 0; i < REGIONS; i++) {
                bool covers = region_is_enabled(regions[i]) && address >= region_base(regions[i]) &&
                              address - region_base(regions[i]) < region_length(regions[i]);
                if (covers && (best < 0 || priorities[i] > priorities[best])) {
                    best = i;
                }
            }
            uint64_t expected = 0xff;
            if (best >= 0) {
                expected = byte_of(&devices[best], address - region_base(regions[best]));
            }
            assert_int_equal(address_space_read(space, address, 1), expected);
        }
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        region_free(regions[i]);
    }
    address_space_free(space);
}

static void
test_exclusive_region_refuses_to_overlap_and_names_both(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x3f8, 8, REGION_PRIORITY_FIXED, 1);
    GError *error = NULL;
    RegionArgs args = {
        .name = "com9",
        .base = 0x3f0,
        .length = 9,
        .priority = REGION_PRIORITY_FIXED,
        .exclusive = true,
        .ops = &fixture->devices[1].ops,
    };
    assert_null(region_new(fixture->space, &args, &error));
    assert_string_equal(error->message, "com9: port 0x3f0-0x3f8 overlaps A at 0x3f8-0x3ff: give "
                                        "one of them another address");
    g_clear_error(&error);
    args.length = 8;
    fixture->regions[1] = region_new(fixture->space, &args, &error);
    assert_non_null(fixture->regions[1]);
    args.base = LIMIT - 4;
    assert_null(region_new(fixture->space, &args, &error));
    assert_non_null(strstr(error->message, "do not fit into the port space"));
    g_clear_error(&error);
}

static void
note_moved(Region *region, void *opaque)
{
    g_string_append_printf(opaque, "%x:%d ", (unsigned)region_base(region),
                           region_is_enabled(region));
}

static void
test_mover_is_told_of_each_visible_change(void **state)
{
    Fixture *fixture = *state;
    Region *region = add(fixture, 0, 0x100, 0x10, REGION_PRIORITY_BAR, 1);
    region_set_moved(region, note_moved, fixture->log);
    region_move(region, 0x200);
    region_move(region, 0x200);
    region_set_enabled(region, false);
    region_move(region, 0x300); /* nobody sees it */
    region_set_enabled(region, true);
    region_free(region);
    fixture->regions[0] = NULL;
    assert_log(fixture, "200:1 200:0 300:1 300:0 ");
}

/* ---- sizes ---- */

static void
test_unmapped_address_reads_ones_and_ignores_writes(void **state)
{
    Fixture *fixture = *state;
    assert_int_equal(address_space_read(fixture->space, 0x80, 1), 0xff);
    assert_int_equal(address_space_read(fixture->space, 0x80, 2), 0xffff);
    assert_int_equal(address_space_read(fixture->space, 0x80, 4), 0xffffffff);
    assert_true(address_space_read(fixture->space, 0x80, 8) == UINT64_MAX);
    assert_true(address_space_read(fixture->space, UINT64_MAX, 1) == 0xff);
    assert_true(address_space_read(fixture->space, UINT64_MAX - 2, 8) == UINT64_MAX);
    address_space_write(fixture->space, UINT64_MAX - 2, 8, 0);
    address_space_write(fixture->space, 0x80, 4, 0);
    assert_log(fixture, "");
}

static void
test_wide_access_to_a_byte_device_is_split_little_endian(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x100, 0x10, REGION_PRIORITY_FIXED, 0);
    assert_int_equal(address_space_read(fixture->space, 0x102, 4), 0x15141312);
    assert_log(fixture, "A:r2+1 A:r3+1 A:r4+1 A:r5+1 ");
    address_space_write(fixture->space, 0x104, 2, 0xbeef);
    assert_log(fixture, "A:w4+1=ef A:w5+1=be ");
}

static void
test_implemented_width_is_one_call_when_aligned(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x100, 0x10, REGION_PRIORITY_FIXED, 1 | 2 | 4);
    (void)address_space_read(fixture->space, 0x104, 4);
    (void)address_space_read(fixture->space, 0x106, 2);
    (void)address_space_read(fixture->space, 0x108, 8);
    assert_log(fixture, "A:r4+4 A:r6+2 A:r8+4 A:rc+4 ");
    assert_int_equal(address_space_read(fixture->space, 0x101, 4), 0x14131211);
    assert_log(fixture, "A:r1+1 A:r2+2 A:r4+1 ");
    address_space_write(fixture->space, 0x103, 4, 0x44332211);
    assert_log(fixture, "A:w3+1=11 A:w4+2=3322 A:w6+1=44 ");
}

static void
test_narrow_read_of_a_wide_device_takes_its_bytes_out(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x100, 0x10, REGION_PRIORITY_FIXED, 4);
    assert_int_equal(address_space_read(fixture->space, 0x106, 1), 0x16);
    assert_log(fixture, "A:r4+4 ");
    assert_int_equal(address_space_read(fixture->space, 0x102, 4), 0x15141312);
    assert_log(fixture, "A:r0+4 A:r4+4 ");
}

static void
test_narrow_write_to_a_wide_device_is_lost(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x100, 0x10, REGION_PRIORITY_FIXED, 4);
    address_space_write(fixture->space, 0x104, 1, 0x55);
    address_space_write(fixture->space, 0x106, 2, 0x55);
    assert_log(fixture, "");
    address_space_write(fixture->space, 0x102, 8, 0x8877665544332211);
    assert_log(fixture, "A:w4+4=66554433 "); /* the ends are lost */
}

static void
test_wide_register_that_sticks_out_of_its_region_reads_ones(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x102, 0x9, REGION_PRIORITY_FIXED, 4); /* 102-10a */
    assert_int_equal(address_space_read(fixture->space, 0x102, 2), 0xffff);
    assert_int_equal(address_space_read(fixture->space, 0x10a, 1), 0xff);
    assert_log(fixture, "");
    (void)address_space_read(fixture->space, 0x104, 4);
    assert_log(fixture, "A:r2+4 ");
}

static void
test_access_across_regions_reaches_each_with_its_part(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x100, 2, REGION_PRIORITY_FIXED, 1 | 2 | 4);
    add(fixture, 1, 0x103, 5, REGION_PRIORITY_FIXED, 1 | 2 | 4);
    assert_int_equal(address_space_read(fixture->space, 0x100, 4), 0x20ff1110);
    assert_log(fixture, "A:r0+2 B:r0+1 ");
    assert_true(address_space_read(fixture->space, 0x100, 8) == 0x2423222120ff1110);
    assert_log(fixture, "A:r0+2 B:r0+1 B:r1+4 ");
    address_space_write(fixture->space, 0x100, 4, 0xddccbbaa);
    assert_log(fixture, "A:w0+2=bbaa B:w0+1=dd ");
}

static uint64_t
read_too_much(void *opaque, uint64_t offset, unsigned size)
{
    return UINT64_MAX;
}

static void
test_bits_beyond_the_size_are_cut_off(void **state)
{
    Fixture *fixture = *state;
    fixture->devices[0].ops.read = read_too_much;
    add(fixture, 0, 0x100, 1, REGION_PRIORITY_FIXED, 1);
    fixture->devices[1].ops.read = NULL;
    fixture->devices[1].ops.write = NULL;
    add(fixture, 1, 0x101, 1, REGION_PRIORITY_FIXED, 1);
    assert_int_equal(address_space_read(fixture->space, 0x100, 1), 0xff);
    assert_int_equal(address_space_read(fixture->space, 0x101, 1), 0xff);
    address_space_write(fixture->space, 0x100, 2, 0x1234);
    assert_log(fixture, "A:w0+1=34 ");
}

/* ---- blocks ---- */

static void
block_read(void *opaque, uint64_t offset, unsigned size, uint32_t count, void *data)
{
    Device *device = opaque;
    g_string_append_printf(device->log, "R%x+%ux%u ", (unsigned)offset, size, count);
    memset(data, 0x77, (size_t)size * count);
}

static void
block_write(void *opaque, uint64_t offset, unsigned size, uint32_t count, const void *data)
{
    Device *device = opaque;
    const uint8_t *bytes = data;
    g_string_append_printf(device->log, "W%x+%ux%u:%x ", (unsigned)offset, size, count, bytes[0]);
}

static void
test_block_goes_as_one_call_or_as_single_accesses(void **state)
{
    Fixture *fixture = *state;
    uint16_t data[4] = {0x1111, 0x2222, 0x3333, 0x4444};
    fixture->devices[0].ops.read_block = block_read;
    fixture->devices[0].ops.write_block = block_write;
    add(fixture, 0, 0x1f0, 8, REGION_PRIORITY_FIXED, 1 | 2);
    add(fixture, 1, 0x200, 8, REGION_PRIORITY_FIXED, 1 | 2);
    address_space_write_block(fixture->space, 0x1f0, 2, 4, data);
    address_space_write_block(fixture->space, 0x200, 2, 2, data);
    assert_log(fixture, "W0+2x4:11 B:w0+2=1111 B:w0+2=2222 ");
    address_space_read_block(fixture->space, 0x1f0, 2, 4, data);
    assert_int_equal(data[3], 0x7777);
    address_space_read_block(fixture->space, 0x202, 2, 3, data);
    assert_int_equal(data[2], 0x2322);
    assert_int_equal(data[3], 0x7777);
    assert_log(fixture, "R0+2x4 B:r2+2 B:r2+2 B:r2+2 ");
    address_space_read_block(fixture->space, 0x1f1, 2, 1, data); /* unaligned: as bytes */
    assert_log(fixture, "A:r1+1 A:r2+1 ");
    address_space_read_block(fixture->space, 0x80, 2, 4, data);
    assert_int_equal(data[0] & data[3], 0xffff);
}

/* ---- nesting ---- */

static uint64_t
read_elsewhere(void *opaque, uint64_t offset, unsigned size)
{
    Device *device = opaque;
    device->nested_value = address_space_read(device->space, device->nested_address, 1);
    return 0x5a;
}

static void
test_device_that_reads_its_own_registers_gets_ones(void **state)
{
    Fixture *fixture = *state;
    Device *device = &fixture->devices[0];
    device->ops.read = read_elsewhere;
    device->nested_address = 0x101;
    add(fixture, 0, 0x100, 4, REGION_PRIORITY_FIXED, 1);
    assert_int_equal(address_space_read(fixture->space, 0x100, 1), 0x5a);
    assert_int_equal(device->nested_value, 0xff);
}

static void
test_device_may_read_another_device(void **state)
{
    Fixture *fixture = *state;
    fixture->devices[0].ops.read = read_elsewhere;
    fixture->devices[0].nested_address = 0x203;
    add(fixture, 0, 0x100, 4, REGION_PRIORITY_FIXED, 1);
    add(fixture, 1, 0x200, 4, REGION_PRIORITY_FIXED, 1);
    assert_int_equal(address_space_read(fixture->space, 0x100, 1), 0x5a);
    assert_int_equal(fixture->devices[0].nested_value, 0x23);
}

static void
test_device_that_holds_its_lock_elsewhere_gets_ones_from_itself(void **state)
{
    Fixture *fixture = *state;
    add(fixture, 0, 0x100, 4, REGION_PRIORITY_FIXED, 1);
    DeviceCall call; /* as a loop does around a callback */
    assert_true(device_call_enter(&call, &fixture->devices[0].lock, NULL));
    assert_int_equal(address_space_read(fixture->space, 0x100, 1), 0xff);
    device_call_leave(&call);
    assert_int_equal(address_space_read(fixture->space, 0x100, 1), 0x10);
}

typedef struct {
    AddressSpace *space;
    Region *region;
    uint64_t next; /* address to read from within */
    unsigned calls;
} Link;

static uint64_t
read_next_link(void *opaque, uint64_t offset, unsigned size)
{
    Link *link = opaque;
    link->calls++;
    return address_space_read(link->space, link->next, 1) == 0xff ? 1 : 2;
}

/* Sixteen devices without locks, each of which reads the next; the last one reads the first. */
static void
test_chain_of_nested_accesses_ends_at_the_eighth(void **state)
{
    enum { LINKS = 16 };
    static const RegionOps ops = {.read = read_next_link, .widths = 1};
    Fixture *fixture = *state;
    Link links[LINKS];
    for (unsigned i = 0; i < LINKS; i++) {
        links[i] = (Link){.space = fixture->space, .next = 0x100 + (i + 1) % LINKS};
        RegionArgs args = {
            .name = "link", .base = 0x100 + i, .length = 1, .ops = &ops, .opaque = &links[i]};
        links[i].region = region_new(fixture->space, &args, NULL);
        region_set_enabled(links[i].region, true);
    }
    assert_int_equal(address_space_read(fixture->space, 0x100, 1), 2);
    assert_int_equal(links[7].calls, 1);
    assert_int_equal(links[8].calls, 0);
    links[0].next = 0x100; /* itself */
    assert_int_equal(address_space_read(fixture->space, 0x100, 1), 1);
    for (unsigned i = 0; i < LINKS; i++) {
        region_free(links[i].region);
    }
}

typedef struct {
    AddressSpace *space;
    uint64_t address;
    unsigned rounds;
} Reader;

static void *
read_again_and_again(void *opaque)
{
    const Reader *reader = opaque;
    for (unsigned i = 0; i < reader->rounds; i++) {
        (void)address_space_read(reader->space, reader->address, 1);
    }
    return NULL;
}

static uint64_t
read_elsewhere_quietly(void *opaque, uint64_t offset, unsigned size)
{
    Device *device = opaque;
    return address_space_read(device->space, device->nested_address, 1);
}

/* A's registers make it read B's, and the other way round: two threads that hold one lock each and
 * want the other. */
static void
test_devices_that_read_each_other_do_not_deadlock(void **state)
{
    Fixture *fixture = *state;
    for (unsigned i = 0; i < 2; i++) {
        fixture->devices[i].ops.read = read_elsewhere_quietly;
        fixture->devices[i].nested_address = i == 0 ? 0x200 : 0x100;
        add(fixture, i, i == 0 ? 0x100 : 0x200, 4, REGION_PRIORITY_FIXED, 1);
    }
    pthread_t threads[2];
    Reader readers[2] = {{fixture->space, 0x100, 20}, {fixture->space, 0x200, 20}};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_again_and_again, &readers[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

static void
move_myself(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Fixture *fixture = opaque;
    region_move(fixture->regions[0], value);
}

static void
test_device_may_move_its_region_from_within_an_access(void **state)
{
    Fixture *fixture = *state;
    fixture->devices[0].ops.write = move_myself;
    fixture->devices[0].ops.widths = 4;
    RegionArgs args = {
        .name = "bar",
        .base = 0x100,
        .length = 4,
        .ops = &fixture->devices[0].ops,
        .opaque = fixture,
        .lock = &fixture->devices[0].lock,
    };
    fixture->regions[0] = region_new(fixture->space, &args, NULL);
    region_set_enabled(fixture->regions[0], true);
    address_space_write(fixture->space, 0x100, 4, 0x300);
    assert_map(fixture, "300-303:bar ");
}

static void
free_other(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Fixture *fixture = opaque;
    region_free(fixture->regions[1]);
    fixture->regions[1] = NULL;
}

/* The second half of the access must not reach the region that the first half freed. */
static void
test_access_may_free_another_region(void **state)
{
    Fixture *fixture = *state;
    fixture->devices[0].ops.write = free_other;
    RegionArgs args = {
        .name = "eject",
        .base = 0x100,
        .length = 1,
        .ops = &fixture->devices[0].ops,
        .opaque = fixture,
    };
    fixture->regions[0] = region_new(fixture->space, &args, NULL);
    region_set_enabled(fixture->regions[0], true);
    add(fixture, 1, 0x101, 4, REGION_PRIORITY_FIXED, 1);
    address_space_write(fixture->space, 0x100, 2, 0x1234);
    assert_map(fixture, "100-100:eject ");
    assert_log(fixture, "");
}

/* ---- threads ---- */

typedef struct {
    AddressSpace *space;
    uint64_t bases[2];
    bool stop;
    bool failed;
} Hammer;

static void *
read_while_moving(void *opaque)
{
    Hammer *hammer = opaque;
    while (!__atomic_load_n(&hammer->stop, __ATOMIC_RELAXED)) {
        for (unsigned i = 0; i < 2; i++) {
            uint64_t value = address_space_read(hammer->space, hammer->bases[i] + 2, 2);
            /* The region may leave between the bytes; each byte is its own or nobody's. */
            bool first = (value & 0xff) == 0x12 || (value & 0xff) == 0xff;
            bool second = value >> 8 == 0x13 || value >> 8 == 0xff;
            if (!first || !second) {
                __atomic_store_n(&hammer->failed, true, __ATOMIC_RELAXED);
            }
        }
    }
    return NULL;
}

static void
test_readers_see_the_old_place_or_the_new_while_regions_move(void **state)
{
    Fixture *fixture = *state;
    Hammer hammer = {.space = fixture->space, .bases = {0x1000, 0x2000}};
    fixture->devices[0].log = NULL;
    Region *region = add(fixture, 0, 0x1000, 16, REGION_PRIORITY_BAR, 1);
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_while_moving, &hammer), 0);
    }
    for (unsigned i = 0; i < 2000; i++) {
        region_move(region, hammer.bases[i % 2]);
        if (i % 10 == 0) {
            region_set_enabled(region, false);
            region_set_enabled(region, true);
        }
    }
    __atomic_store_n(&hammer.stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 3; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_false(hammer.failed);
}

static void
test_freed_region_has_no_reader_left(void **state)
{
    Fixture *fixture = *state;
    Hammer hammer = {.space = fixture->space, .bases = {0x1000, 0x2000}};
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_while_moving, &hammer), 0);
    }
    for (unsigned i = 0; i < 500; i++) {
        Device *device = g_new0(Device, 1); /* freed: the sanitizers see a late reader */
        device->letter = 'A';
        device->ops = (RegionOps){.read = device_read, .widths = 1 | 2};
        RegionArgs args = {
            .name = "brief",
            .base = hammer.bases[i % 2],
            .length = 16,
            .ops = &device->ops,
            .opaque = device,
            .lock = i % 3 ? &device->lock : NULL,
        };
        Region *region = region_new(fixture->space, &args, NULL);
        region_set_enabled(region, true);
        region_free(region);
        g_free(device);
    }
    __atomic_store_n(&hammer.stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 3; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_false(hammer.failed);
}

/* A reader inside, held there until the test lets it go. */
typedef struct {
    GMutex lock;
    GCond cond;
    bool inside;
    bool leave;
    bool left;
    Region *region;
    bool freed;
} Gate;

static uint64_t
read_at_the_gate(void *opaque, uint64_t offset, unsigned size)
{
    Gate *gate = opaque;
    g_mutex_lock(&gate->lock);
    gate->inside = true;
    g_cond_broadcast(&gate->cond);
    while (!gate->leave) {
        g_cond_wait(&gate->cond, &gate->lock);
    }
    gate->left = true;
    g_mutex_unlock(&gate->lock);
    return 0;
}

static void *
free_the_region(void *opaque)
{
    Gate *gate = opaque;
    region_free(gate->region);
    g_mutex_lock(&gate->lock);
    assert_true(gate->left);
    gate->freed = true;
    g_mutex_unlock(&gate->lock);
    return NULL;
}

static void
test_free_waits_for_the_reader_but_moving_does_not(void **state)
{
    Fixture *fixture = *state;
    Gate gate = {0};
    RegionOps ops = {.read = read_at_the_gate, .widths = 1};
    RegionArgs args = {.name = "gate", .base = 0x100, .length = 1, .ops = &ops, .opaque = &gate};
    gate.region = region_new(fixture->space, &args, NULL);
    region_set_enabled(gate.region, true);
    pthread_t reader;
    pthread_t freer;
    Reader once = {fixture->space, 0x100, 1};
    assert_int_equal(pthread_create(&reader, NULL, read_again_and_again, &once), 0);
    g_mutex_lock(&gate.lock);
    while (!gate.inside) {
        g_cond_wait(&gate.cond, &gate.lock);
    }
    g_mutex_unlock(&gate.lock);
    region_move(gate.region, 0x200); /* returns although a reader is inside */
    region_set_enabled(gate.region, false);
    region_set_enabled(gate.region, true);
    assert_int_equal(pthread_create(&freer, NULL, free_the_region, &gate), 0);
    while (address_space_is_mapped(fixture->space, 0x200)) {
        g_usleep(100);
    }
    g_usleep(2000); /* a freer that does not wait would be through by now */
    g_mutex_lock(&gate.lock);
    assert_false(gate.freed);
    gate.leave = true;
    g_cond_broadcast(&gate.cond);
    g_mutex_unlock(&gate.lock);
    (void)pthread_join(reader, NULL);
    (void)pthread_join(freer, NULL);
    assert_true(gate.freed);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stronger_region_covers_the_weaker_and_the_older_the_newer),
        TEST(test_moved_region_leaves_its_place_and_is_cut_off_at_the_limit),
        TEST(test_hole_tells_how_far_nobody_answers),
        TEST(test_random_maps_agree_with_a_search_through_all_regions),
        TEST(test_exclusive_region_refuses_to_overlap_and_names_both),
        TEST(test_mover_is_told_of_each_visible_change),
        TEST(test_unmapped_address_reads_ones_and_ignores_writes),
        TEST(test_wide_access_to_a_byte_device_is_split_little_endian),
        TEST(test_implemented_width_is_one_call_when_aligned),
        TEST(test_narrow_read_of_a_wide_device_takes_its_bytes_out),
        TEST(test_narrow_write_to_a_wide_device_is_lost),
        TEST(test_wide_register_that_sticks_out_of_its_region_reads_ones),
        TEST(test_access_across_regions_reaches_each_with_its_part),
        TEST(test_bits_beyond_the_size_are_cut_off),
        TEST(test_block_goes_as_one_call_or_as_single_accesses),
        TEST(test_device_that_reads_its_own_registers_gets_ones),
        TEST(test_device_may_read_another_device),
        TEST(test_device_that_holds_its_lock_elsewhere_gets_ones_from_itself),
        TEST(test_chain_of_nested_accesses_ends_at_the_eighth),
        TEST(test_devices_that_read_each_other_do_not_deadlock),
        TEST(test_device_may_move_its_region_from_within_an_access),
        TEST(test_access_may_free_another_region),
        TEST(test_readers_see_the_old_place_or_the_new_while_regions_move),
        TEST(test_freed_region_has_no_reader_left),
        TEST(test_free_waits_for_the_reader_but_moving_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
