/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory, its shadow segment and the slots a KVM would be given,
 * and the physical bus on top. */
#include "bus/guest_memory.h"

#include "bus/physical.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)

#define FAKE_SLOTS 128

/* Stands in for KVM: refuses what KVM refuses, and keeps what it was given. */
typedef struct {
    struct {
        uint64_t gpa, length;
        uint8_t *hva;
        bool readonly;
    } slots[FAKE_SLOTS];
    GString *log; /* "-C0000 +C0000r4000 " */
    unsigned calls;
    int fail_with;
} FakeKvm;

static int
fake_set_slot(void *opaque, uint32_t slot, uint64_t gpa, uint64_t length, void *hva, bool readonly)
{
    FakeKvm *kvm = opaque;
    kvm->calls++;
    if (kvm->fail_with) {
        return kvm->fail_with;
    }
    assert_true(slot < FAKE_SLOTS);
    if (length == 0) {
        assert_true(kvm->slots[slot].length > 0); /* -EINVAL in KVM */
        g_string_append_printf(kvm->log, "-%X ", (unsigned)kvm->slots[slot].gpa);
        kvm->slots[slot].length = 0;
        return 0;
    }
    assert_int_equal(kvm->slots[slot].length, 0); /* neither resized nor made writable in place */
    assert_int_equal((gpa | length | (uintptr_t)hva) % 0x1000, 0);
    for (unsigned i = 0; i < FAKE_SLOTS; i++) {
        bool apart = kvm->slots[i].length == 0 || gpa >= kvm->slots[i].gpa + kvm->slots[i].length ||
                     kvm->slots[i].gpa >= gpa + length;
        assert_true(apart); /* -EEXIST in KVM */
    }
    kvm->slots[slot].gpa = gpa;
    kvm->slots[slot].length = length;
    kvm->slots[slot].hva = hva;
    kvm->slots[slot].readonly = readonly;
    g_string_append_printf(kvm->log, "+%X%c%X ", (unsigned)gpa, readonly ? 'r' : 'w',
                           (unsigned)length);
    return 0;
}

static const GuestMemoryBackend fake_backend = {fake_set_slot};

/* What the guest would read at gpa without an exit; -1 where it exits. */
static int
fake_fetch(const FakeKvm *kvm, uint64_t gpa)
{
    for (unsigned i = 0; i < FAKE_SLOTS; i++) {
        if (kvm->slots[i].length > 0 && gpa >= kvm->slots[i].gpa &&
            gpa - kvm->slots[i].gpa < kvm->slots[i].length) {
            return kvm->slots[i].hva[gpa - kvm->slots[i].gpa];
        }
    }
    return -1;
}

typedef struct {
    GuestMemory *memory;
    FakeKvm kvm;
} Fixture;

static int
setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    GuestMemoryArgs args = {.size_bytes = 4 * MIB};
    fixture->memory = guest_memory_new(&args, NULL);
    fixture->kvm.log = g_string_new(NULL);
    *state = fixture;
    return fixture->memory ? 0 : -1;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;
    guest_memory_free(fixture->memory);
    (void)g_string_free(fixture->kvm.log, TRUE);
    g_free(fixture);
    return 0;
}

static void
assert_calls(Fixture *fixture, const char *expected)
{
    assert_string_equal(fixture->kvm.log->str, expected);
    (void)g_string_truncate(fixture->kvm.log, 0);
}

/* A firmware of length bytes, all 'R'. */
static void
add_shadow_rom(Fixture *fixture, uint64_t length)
{
    g_autofree uint8_t *rom = g_malloc(length);
    memset(rom, 'R', length);
    assert_true(guest_memory_set_shadow_rom(fixture->memory, rom, length, NULL));
}

static void
bind_fake(Fixture *fixture)
{
    assert_true(guest_memory_bind(fixture->memory, &fake_backend, &fixture->kvm, NULL));
}

static PhysicalBus
bus_of(Fixture *fixture, AddressSpace *mmio)
{
    return (PhysicalBus){.memory = fixture->memory, .mmio = mmio};
}

/* ---- RAM ---- */

static void
test_memory_is_split_at_the_hole(void **state)
{
    GuestMemoryArgs args = {.size_bytes = 8 * MIB, .hole_start = 6 * MIB};
    g_autoptr(GuestMemory) memory = guest_memory_new(&args, NULL);
    unsigned count = 0;
    const RamRange *ranges = guest_memory_ranges(memory, &count);
    assert_int_equal(count, 2);
    assert_int_equal(ranges[0].length, 6 * MIB);
    assert_int_equal(ranges[1].gpa, 4 * GIB);
    assert_int_equal(ranges[1].length, 2 * MIB);
    assert_int_equal(guest_memory_low_top(memory), 6 * MIB);
    assert_int_equal(guest_memory_high_top(memory), 4 * GIB + 2 * MIB);
    assert_int_equal(guest_memory_size(memory), 8 * MIB);
    assert_int_equal(guest_memory_fd(memory), -1);
}

static void
test_shared_memory_is_one_file(void **state)
{
    GuestMemoryArgs args = {.size_bytes = 8 * MIB, .hole_start = 6 * MIB, .shared = true};
    g_autoptr(GuestMemory) memory = guest_memory_new(&args, NULL);
    char text[8] = "";
    strcpy(guest_memory_translate(memory, 4 * GIB, 16), "above");
    assert_int_equal(pread(guest_memory_fd(memory), text, sizeof text, 6 * MIB), sizeof text);
    assert_string_equal(text, "above"); /* the same bytes through the file */
}

static void
test_ram_can_have_huge_pages_where_the_guest_has(void **state)
{
    GuestMemoryArgs args = {.size_bytes = 4 * MIB};
    g_autoptr(GuestMemory) memory = guest_memory_new(&args, NULL);
    assert_int_equal((uintptr_t)guest_memory_translate(memory, 0, 1) % (2 * MIB), 0);
}

static void
test_translate_refuses_what_is_not_in_one_range(void **state)
{
    GuestMemoryArgs args = {.size_bytes = 8 * MIB, .hole_start = 6 * MIB};
    g_autoptr(GuestMemory) memory = guest_memory_new(&args, NULL);
    assert_non_null(guest_memory_translate(memory, 0, 6 * MIB));
    assert_null(guest_memory_translate(memory, 0, 6 * MIB + 1));
    assert_null(guest_memory_translate(memory, 6 * MIB - 1, 2));
    assert_null(guest_memory_translate(memory, 6 * MIB, 1));
    assert_non_null(guest_memory_translate(memory, 4 * GIB + 2 * MIB - 1, 1));
    assert_null(guest_memory_translate(memory, 4 * GIB + 2 * MIB, 1));
    assert_null(guest_memory_translate(memory, 4 * GIB - 1, 2));
    assert_null(guest_memory_translate(memory, UINT64_MAX, 2));
    assert_null(guest_memory_translate(memory, 1, UINT64_MAX));
}

static void
assert_refused(const GuestMemoryArgs *args, const char *text)
{
    GError *error = NULL;
    assert_null(guest_memory_new(args, &error));
    assert_non_null(error);
    if (!strstr(error->message, text)) {
        fail_msg("'%s' does not say '%s'", error->message, text);
    }
    g_error_free(error);
}

static void
test_impossible_sizes_are_refused_in_words(void **state)
{
    assert_refused(&(GuestMemoryArgs){.size_bytes = MIB}, "at least 2");
    assert_refused(&(GuestMemoryArgs){.size_bytes = 2 * MIB + 4096}, "whole number of MiB");
    assert_refused(&(GuestMemoryArgs){.size_bytes = UINT64_C(1) << 60}, "more than the");
    assert_refused(&(GuestMemoryArgs){.size_bytes = 4 * MIB, .hole_start = 5 * GIB}, "PCI hole");
    assert_refused(&(GuestMemoryArgs){.size_bytes = 4 * MIB, .hugepage_bytes = 4096},
                   "2 MiB or 1 GiB");
    assert_refused(&(GuestMemoryArgs){.size_bytes = 3 * MIB, .hugepage_bytes = 2 * MIB},
                   "whole number of 2 MiB hugepages");
}

static void
test_missing_hugepages_are_refused_with_the_way_to_get_them(void **state)
{
    g_autofree char *text = NULL;
    const char *path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    if (g_file_get_contents(path, &text, NULL, NULL) && strtoul(text, NULL, 10) > 0) {
        skip(); /* this host has some */
    }
    GuestMemoryArgs args = {.size_bytes = 4 * MIB, .hugepage_bytes = 2 * MIB};
    assert_refused(&args, "hugepages of 2 MiB");
}

static uint64_t
resident_bytes(const GuestMemory *memory)
{
    uint64_t size = guest_memory_size(memory);
    g_autofree unsigned char *pages = g_malloc0(size / 4096);
    uint64_t count = 0;
    assert_int_equal(mincore(guest_memory_translate(memory, 0, size), size, pages), 0);
    for (uint64_t i = 0; i < size / 4096; i++) {
        count += pages[i] & 1;
    }
    return count * 4096;
}

static void
test_memory_costs_nothing_until_used_unless_preallocated(void **state)
{
    for (unsigned shared = 0; shared < 2; shared++) {
        GuestMemoryArgs args = {.size_bytes = 16 * MIB, .shared = shared != 0};
        g_autoptr(GuestMemory) lazy = guest_memory_new(&args, NULL);
        assert_int_equal(resident_bytes(lazy), 0);
        args.prealloc = true;
        g_autoptr(GuestMemory) eager = guest_memory_new(&args, NULL);
        assert_int_equal(resident_bytes(eager), 16 * MIB);
    }
}

static void
test_zeroing_clears_what_was_written_and_takes_no_memory(void **state)
{
    for (unsigned shared = 0; shared < 2; shared++) {
        GuestMemoryArgs args = {.size_bytes = 16 * MIB, .shared = shared != 0};
        g_autoptr(GuestMemory) memory = guest_memory_new(&args, NULL);
        uint8_t *ram = guest_memory_translate(memory, 0, 16 * MIB);
        ram[8 * MIB - 1] = ram[8 * MIB] = ram[8 * MIB + 5000] = ram[8 * MIB + 5001] = 1;
        uint64_t before = resident_bytes(memory);
        assert_true(guest_memory_zero(memory, 8 * MIB, 5001));
        assert_int_equal(ram[8 * MIB - 1], 1);
        assert_int_equal(ram[8 * MIB], 0);
        assert_int_equal(ram[8 * MIB + 5000], 0);
        assert_int_equal(ram[8 * MIB + 5001], 1);
        assert_true(guest_memory_zero(memory, 0, 16 * MIB));
        assert_int_equal(ram[8 * MIB - 1], 0);
        assert_int_equal(ram[8 * MIB + 5001], 0);
        assert_int_equal(resident_bytes(memory), before);
        assert_false(guest_memory_zero(memory, 8 * MIB, 8 * MIB + 1));
    }
}

static void
test_size_of_the_memory_file_is_sealed(void **state)
{
    GuestMemoryArgs args = {.size_bytes = 4 * MIB, .shared = true};
    g_autoptr(GuestMemory) memory = guest_memory_new(&args, NULL);
    assert_int_equal(ftruncate(guest_memory_fd(memory), 4096), -1);
    assert_int_equal(errno, EPERM);
}

/* ---- ROM ---- */

static void
test_rom_is_read_and_cannot_be_written(void **state)
{
    Fixture *fixture = *state;
    uint8_t rom[8192];
    memset(rom, 0xc3, sizeof rom);
    uint64_t gpa = 4 * GIB - sizeof rom;
    assert_true(guest_memory_add_rom(fixture->memory, gpa, rom, sizeof rom, NULL));
    uint8_t *hva = NULL;
    assert_int_equal(guest_memory_lookup(fixture->memory, gpa + 8190, 16, false, &hva), 2);
    assert_int_equal(hva[0], 0xc3);
    assert_int_equal(guest_memory_lookup(fixture->memory, gpa, 16, true, &hva), 16);
    assert_null(hva);
    assert_int_equal(guest_memory_lookup(fixture->memory, gpa - 1, 16, false, &hva), 0);

    GError *error = NULL;
    assert_false(guest_memory_add_rom(fixture->memory, gpa + 4096, rom, 4096, &error));
    g_clear_error(&error);
    assert_false(guest_memory_add_rom(fixture->memory, 2 * MIB, rom, 4096, &error));
    g_clear_error(&error);
    assert_false(guest_memory_add_rom(fixture->memory, 3 * GIB, rom, 4095, &error));
    g_clear_error(&error);
    bind_fake(fixture);
    assert_calls(fixture, "+0wA0000 +100000w300000 +FFFFE000r2000 ");
}

/* ---- the shadow segment ---- */

/* What a CPU reads, through slots or exits; 0x100 when the bus is asked. */
static int
cpu_read(Fixture *fixture, uint64_t gpa)
{
    uint8_t *hva = NULL;
    int byte = 0x100;
    if (guest_memory_lookup(fixture->memory, gpa, 1, false, &hva) > 0) {
        byte = *hva;
    }
    int direct = fake_fetch(&fixture->kvm, gpa);
    if (direct >= 0) {
        assert_int_equal(direct, byte); /* no difference with and without an exit */
    }
    return byte;
}

/* 'r' it reached RAM, 'l' it is lost, 'b' it goes to the bus. */
static char
cpu_write(Fixture *fixture, uint64_t gpa, uint8_t value)
{
    uint8_t *hva = NULL;
    if (guest_memory_lookup(fixture->memory, gpa, 1, true, &hva) == 0) {
        return 'b';
    }
    if (!hva) {
        return 'l';
    }
    *hva = value;
    return 'r';
}

static void
test_each_mode_steers_reads_and_writes(void **state)
{
    Fixture *fixture = *state;
    const uint64_t gpa = 0xF0000;
    add_shadow_rom(fixture, 0x20000); /* E0000-FFFFF */
    bind_fake(fixture);
    memset(guest_memory_translate(fixture->memory, gpa, 1), '.', 1);

    assert_int_equal(cpu_read(fixture, gpa), 'R');
    assert_int_equal(cpu_write(fixture, gpa, 'x'), 'l');

    guest_memory_set_shadow(fixture->memory, gpa, 0x10000, SHADOW_WRITE);
    assert_int_equal(cpu_write(fixture, gpa, 'w'), 'r');
    assert_int_equal(cpu_read(fixture, gpa), 'R');

    guest_memory_set_shadow(fixture->memory, gpa, 0x10000, SHADOW_READ);
    assert_int_equal(cpu_read(fixture, gpa), 'w');
    assert_int_equal(cpu_write(fixture, gpa, 'x'), 'l');
    assert_int_equal(cpu_read(fixture, gpa), 'w');

    guest_memory_set_shadow(fixture->memory, gpa, 0x10000, SHADOW_READ_WRITE);
    assert_int_equal(cpu_write(fixture, gpa, 'y'), 'r');
    assert_int_equal(cpu_read(fixture, gpa), 'y');

    guest_memory_set_shadow(fixture->memory, gpa, 0x10000, SHADOW_NONE);
    assert_int_equal(cpu_read(fixture, gpa), 'R');
}

static void
test_segment_without_rom_belongs_to_the_bus(void **state)
{
    Fixture *fixture = *state;
    add_shadow_rom(fixture, 0x20000);
    bind_fake(fixture);
    for (uint64_t gpa = 0xA0000; gpa < 0xE0000; gpa += 0x4000) {
        assert_int_equal(cpu_read(fixture, gpa), 0x100);
        assert_int_equal(cpu_write(fixture, gpa, 'x'), 'b');
    }
    guest_memory_set_shadow(fixture->memory, 0xC8000, 0x4000, SHADOW_WRITE);
    assert_int_equal(cpu_write(fixture, 0xC8000, 'x'), 'r');
    assert_int_equal(cpu_read(fixture, 0xC8000), 0x100);
    assert_int_equal(cpu_write(fixture, 0xC7fff, 'x'), 'b');
    assert_int_equal(cpu_write(fixture, 0xCC000, 'x'), 'b');
}

static void
test_vga_hole_can_show_ram_for_system_management(void **state)
{
    Fixture *fixture = *state;
    bind_fake(fixture);
    assert_calls(fixture, "+0wA0000 +100000w300000 ");
    guest_memory_set_shadow(fixture->memory, 0xA0000, 0x20000, SHADOW_READ_WRITE);
    assert_calls(fixture, "+A0000w20000 ");
    assert_int_equal(cpu_write(fixture, 0xA8000, 's'), 'r');
    assert_int_equal(cpu_read(fixture, 0xA8000), 's');
    guest_memory_set_shadow(fixture->memory, 0xA0000, 0x20000, SHADOW_NONE);
    assert_calls(fixture, "-A0000 ");
    assert_int_equal(cpu_read(fixture, 0xA8000), 0x100);
}

static void
test_slots_end_at_the_pam_segments_and_unchanged_ones_stay(void **state)
{
    Fixture *fixture = *state;
    add_shadow_rom(fixture, 0x20000);
    bind_fake(fixture);
    assert_calls(fixture, "+0wA0000 +100000w300000 +E0000r4000 +E4000r4000 +E8000r4000 "
                          "+EC000r4000 +F0000r10000 ");
    guest_memory_set_shadow(fixture->memory, 0xE4000, 0x4000, SHADOW_READ_WRITE);
    assert_calls(fixture, "-E4000 +E4000w4000 ");
    guest_memory_set_shadow(fixture->memory, 0xE0000, 0x8000, SHADOW_READ_WRITE);
    assert_calls(fixture, "-E0000 +E0000w4000 "); /* E4000 was like that already */
    guest_memory_set_shadow(fixture->memory, 0xE0000, 0x8000, SHADOW_READ_WRITE);
    assert_calls(fixture, "");
    guest_memory_set_shadow(fixture->memory, 0xF0000, 0x10000, SHADOW_WRITE);
    assert_calls(fixture, ""); /* reads still show the ROM: the slot being run from stays */
    guest_memory_set_shadow(fixture->memory, 0xC0000, 0x8000, SHADOW_READ);
    assert_calls(fixture, "+C0000r4000 +C4000r4000 ");
    guest_memory_set_shadow(fixture->memory, 0xC0000, 0x8000, SHADOW_READ_WRITE);
    assert_calls(fixture, "-C0000 -C4000 +C0000w4000 +C4000w4000 ");
}

static void
test_pages_of_one_segment_may_differ(void **state)
{
    Fixture *fixture = *state;
    bind_fake(fixture);
    assert_calls(fixture, "+0wA0000 +100000w300000 ");
    guest_memory_set_shadow(fixture->memory, 0xC1000, 0x1000, SHADOW_READ_WRITE);
    assert_calls(fixture, "+C1000w1000 ");
    for (uint64_t gpa = 0xA0000; gpa < 0x100000; gpa += 0x2000) {
        guest_memory_set_shadow(fixture->memory, gpa, 0x1000, SHADOW_READ);
    }
    /* Every other page: as many slots as there can be. */
    assert_int_equal(cpu_read(fixture, 0xA0000), 0);
    assert_int_equal(cpu_read(fixture, 0xA1000), 0x100);
    guest_memory_set_shadow(fixture->memory, 0xA0000, 0x60000, SHADOW_READ_WRITE);
    (void)g_string_truncate(fixture->kvm.log, 0);
    guest_memory_set_shadow(fixture->memory, 0xC0000, 0x40000, SHADOW_NONE);
    assert_calls(fixture, "-C0000 -C4000 -C8000 -CC000 -D0000 -D4000 -D8000 -DC000 -E0000 -E4000 "
                          "-E8000 -EC000 -F0000 ");
}

static void
test_modes_set_before_a_backend_reach_it_when_it_comes(void **state)
{
    Fixture *fixture = *state;
    guest_memory_set_shadow(fixture->memory, 0xC0000, 0x4000, SHADOW_READ_WRITE);
    bind_fake(fixture);
    assert_calls(fixture, "+0wA0000 +100000w300000 +C0000w4000 ");
    assert_true(guest_memory_bind(fixture->memory, NULL, NULL, NULL));
    guest_memory_set_shadow(fixture->memory, 0xC0000, 0x4000, SHADOW_NONE);
    assert_calls(fixture, ""); /* nobody is told any more */
}

static void
test_backend_that_refuses_makes_bind_fail(void **state)
{
    Fixture *fixture = *state;
    GError *error = NULL;
    fixture->kvm.fail_with = -ENOMEM;
    assert_false(guest_memory_bind(fixture->memory, &fake_backend, &fixture->kvm, &error));
    assert_non_null(error);
    g_error_free(error);
    assert_int_equal(fixture->kvm.calls, 1);
}

static void
test_shadow_rom_of_an_odd_size_is_refused(void **state)
{
    Fixture *fixture = *state;
    GError *error = NULL;
    uint8_t rom[100] = {0};
    assert_false(guest_memory_set_shadow_rom(fixture->memory, rom, sizeof rom, &error));
    g_clear_error(&error);
    assert_false(guest_memory_set_shadow_rom(fixture->memory, rom, 0x80000, &error));
    g_clear_error(&error);
}

/* ---- the physical bus ---- */

typedef struct {
    GString *log;
} Device;

static uint64_t
device_read(void *opaque, uint64_t offset, unsigned size)
{
    Device *device = opaque;
    g_string_append_printf(device->log, "r%x+%u ", (unsigned)offset, size);
    return 0x8877665544332211 >> (8 * (offset % 8));
}

static void
device_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Device *device = opaque;
    g_string_append_printf(device->log, "w%x+%u=%llx ", (unsigned)offset, size,
                           (unsigned long long)value);
}

static void
test_transfer_crosses_ram_rom_hole_and_device(void **state)
{
    static const RegionOps ops = {device_read, device_write, NULL, NULL, 1 | 2 | 4 | 8};
    Fixture *fixture = *state;
    Device device = {.log = g_string_new(NULL)};
    g_autoptr(AddressSpace) mmio = address_space_new("memory", UINT64_C(1) << 52);
    RegionArgs args = {
        .name = "device", .base = 4 * MIB + 0x1000, .length = 16, .ops = &ops, .opaque = &device};
    Region *region = region_new(mmio, &args, NULL);
    region_set_enabled(region, true);
    PhysicalBus bus = bus_of(fixture, mmio);

    g_autofree uint8_t *data = g_malloc(0x3000);
    memset(data, 0x42, 0x3000);
    physical_write(&bus, 4 * MIB - 8, data, 0x1018 + 8);
    assert_string_equal(device.log->str, "w0+8=4242424242424242 w8+8=4242424242424242 ");
    (void)g_string_truncate(device.log, 0);
    physical_read(&bus, 4 * MIB - 8, data, 0x1018 + 8);
    assert_int_equal(data[0], 0x42);
    assert_int_equal(data[7], 0x42);
    assert_int_equal(data[8], 0xff);
    assert_int_equal(data[0x1007], 0xff);
    assert_int_equal(data[0x1008], 0x11);
    assert_int_equal(data[0x100f], 0x88);
    assert_int_equal(data[0x1018], 0xff);
    assert_string_equal(device.log->str, "r0+8 r8+8 ");
    region_free(region);
    (void)g_string_free(device.log, TRUE);
}

static void
test_long_hole_ends_where_memory_begins(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(AddressSpace) mmio = address_space_new("memory", UINT64_C(1) << 52);
    PhysicalBus bus = bus_of(fixture, mmio);
    uint8_t rom[4096];
    memset(rom, 0xc3, sizeof rom);
    assert_true(guest_memory_add_rom(fixture->memory, 3 * GIB, rom, sizeof rom, NULL));
    g_autofree uint8_t *data = g_malloc0(0x4000);
    physical_read(&bus, 3 * GIB - 0x1800, data, 0x4000);
    assert_int_equal(data[0x17ff], 0xff);
    assert_int_equal(data[0x1800], 0xc3);
    assert_int_equal(data[0x27ff], 0xc3);
    assert_int_equal(data[0x2800], 0xff);
}

static void
test_device_sees_accesses_of_its_widths_as_they_are(void **state)
{
    static const RegionOps ops = {device_read, device_write, NULL, NULL, 1 | 2 | 4 | 8};
    Fixture *fixture = *state;
    Device device = {.log = g_string_new(NULL)};
    g_autoptr(AddressSpace) mmio = address_space_new("memory", UINT64_C(1) << 52);
    RegionArgs args = {
        .name = "device", .base = 3 * GIB, .length = 64, .ops = &ops, .opaque = &device};
    Region *region = region_new(mmio, &args, NULL);
    region_set_enabled(region, true);
    PhysicalBus bus = bus_of(fixture, mmio);
    uint8_t data[32] = {1, 2, 3, 4, 5, 6, 7, 8};
    physical_write(&bus, 3 * GIB, data, 1);
    physical_write(&bus, 3 * GIB + 2, data, 2);
    physical_write(&bus, 3 * GIB + 4, data, 4);
    physical_write(&bus, 3 * GIB + 8, data, 8);
    assert_string_equal(device.log->str, "w0+1=1 w2+2=201 w4+4=4030201 w8+8=807060504030201 ");
    (void)g_string_truncate(device.log, 0);
    physical_read(&bus, 3 * GIB + 1, data, 15); /* the widest that are aligned */
    assert_string_equal(device.log->str, "r1+1 r2+2 r4+4 r8+8 ");
    region_free(region);
    (void)g_string_free(device.log, TRUE);
}

static void
test_transfer_at_the_top_of_the_address_space_ends(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(AddressSpace) mmio = address_space_new("memory", UINT64_C(1) << 52);
    PhysicalBus bus = bus_of(fixture, mmio);
    uint8_t data[16] = {0};
    physical_read(&bus, UINT64_MAX - 7, data, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(data[i], 0xff);
    }
    physical_write(&bus, UINT64_MAX - 7, data, 8);
    physical_read(&bus, 8 * GIB, data, 16);
    assert_int_equal(data[15], 0xff);
}

static void
test_write_to_rom_through_the_bus_is_lost(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(AddressSpace) mmio = address_space_new("memory", UINT64_C(1) << 52);
    PhysicalBus bus = bus_of(fixture, mmio);
    uint64_t value = 0x1122334455667788;
    add_shadow_rom(fixture, 0x10000);
    physical_write(&bus, 0xFFFF8, &value, sizeof value);
    value = 0;
    physical_read(&bus, 0xFFFF8, &value, sizeof value);
    assert_true(value == 0x5252525252525252);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_split_at_the_hole),
        cmocka_unit_test(test_shared_memory_is_one_file),
        cmocka_unit_test(test_ram_can_have_huge_pages_where_the_guest_has),
        cmocka_unit_test(test_zeroing_clears_what_was_written_and_takes_no_memory),
        cmocka_unit_test(test_translate_refuses_what_is_not_in_one_range),
        cmocka_unit_test(test_impossible_sizes_are_refused_in_words),
        cmocka_unit_test(test_missing_hugepages_are_refused_with_the_way_to_get_them),
        cmocka_unit_test(test_memory_costs_nothing_until_used_unless_preallocated),
        TEST(test_size_of_the_memory_file_is_sealed),
        TEST(test_rom_is_read_and_cannot_be_written),
        TEST(test_each_mode_steers_reads_and_writes),
        TEST(test_segment_without_rom_belongs_to_the_bus),
        TEST(test_vga_hole_can_show_ram_for_system_management),
        TEST(test_slots_end_at_the_pam_segments_and_unchanged_ones_stay),
        TEST(test_pages_of_one_segment_may_differ),
        TEST(test_modes_set_before_a_backend_reach_it_when_it_comes),
        TEST(test_backend_that_refuses_makes_bind_fail),
        TEST(test_shadow_rom_of_an_odd_size_is_refused),
        TEST(test_transfer_crosses_ram_rom_hole_and_device),
        TEST(test_long_hole_ends_where_memory_begins),
        TEST(test_device_sees_accesses_of_its_widths_as_they_are),
        TEST(test_transfer_at_the_top_of_the_address_space_ends),
        TEST(test_write_to_rom_through_the_bus_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
