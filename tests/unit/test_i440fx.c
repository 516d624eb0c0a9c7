/* SPDX-License-Identifier: Apache-2.0 */
/* 82441FX: configuration mechanism #1, PAM, SMRAM, registers. The memory behind it is real. */
#include "board_parts.h"

#include "board/i440fx.h"

#define CONFADD  0xCF8
#define CONFDATA 0xCFC
#define ENABLE   0x80000000u

typedef struct {
    Parts parts;
    PciBus *pci;
    Piix3 *isa;
    I440fx *bridge;
    unsigned resets;
} Fixture;

static void
set_pirq(void *opaque, unsigned pirq, bool level)
{
}

static void
request(void *opaque, BoardRequest what)
{
    Fixture *f = opaque;

    assert_int_equal(what, BOARD_REQUEST_RESET);
    i440fx_open_shadow(f->bridge); /* no lock of the chip is held */
    f->resets++;
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    PciBusArgs bus = {.set_pirq = set_pirq, .opaque = f};
    Piix3Args isa = {.request = request, .opaque = f};
    I440fxArgs host = {0};
    uint8_t rom[0x20000];

    parts_init(&f->parts);
    memset(rom, 0xEE, sizeof(rom));
    assert_true(guest_memory_set_shadow_rom(f->parts.bus.memory, rom, sizeof(rom), NULL));
    bus.pio = f->parts.bus.pio;
    bus.mmio = f->parts.bus.mmio;
    f->pci = pci_bus_new(&bus);
    isa.pci = f->pci;
    isa.bus = &f->parts.bus;
    isa.irqs = f->parts.irqs;
    f->isa = piix3_new(&isa, NULL);
    assert_non_null(f->isa);
    host.pci = f->pci;
    host.bus = &f->parts.bus;
    host.isa_bridge = f->isa;
    f->bridge = i440fx_new(&host, NULL);
    assert_non_null(f->bridge);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    i440fx_free(f->bridge);
    piix3_free(f->isa);
    pci_bus_free(f->pci);
    parts_done(&f->parts);
    g_free(f);
    return 0;
}

static void
reset(Fixture *f)
{
    pci_bus_reset(f->pci);
    i440fx_reset(f->bridge);
    piix3_reset(f->isa);
}

static uint32_t
cfg(Fixture *f, unsigned offset, unsigned size)
{
    parts_out32(&f->parts, CONFADD, ENABLE | (offset & 0xFC));
    return (uint32_t)address_space_read(f->parts.bus.pio, CONFDATA + (offset & 3), size);
}

static void
cfg_set(Fixture *f, unsigned offset, unsigned size, uint32_t value)
{
    parts_out32(&f->parts, CONFADD, ENABLE | (offset & 0xFC));
    address_space_write(f->parts.bus.pio, CONFDATA + (offset & 3), size, value);
}

static uint8_t
peek(Fixture *f, uint64_t gpa)
{
    uint8_t value;

    physical_read(&f->parts.bus, gpa, &value, 1);
    return value;
}

static void
poke(Fixture *f, uint64_t gpa, uint8_t value)
{
    physical_write(&f->parts.bus, gpa, &value, 1);
}

static void
test_registers_have_the_data_sheets_reset_values(void **state)
{
    Fixture *f = *state;

    assert_int_equal(cfg(f, 0x00, 4), 0x12378086);
    assert_int_equal(cfg(f, 0x04, 4), 0x02800006);
    assert_int_equal(cfg(f, 0x08, 4), 0x06000002);
    assert_int_equal(cfg(f, 0x0C, 4), 0);
    assert_int_equal(cfg(f, 0x2C, 4), 0x11001AF4);
    assert_int_equal(cfg(f, 0x3C, 4), 0);
    assert_int_equal(cfg(f, 0x53, 1), 0x80);
    assert_int_equal(cfg(f, 0x58, 4), 0x00000010);
    assert_int_equal(cfg(f, 0x60, 4), 0x01010101);
    assert_int_equal(cfg(f, 0x72, 1), 0x02);
}

static void
test_confadd_is_a_dword_register_with_reserved_bits(void **state)
{
    Fixture *f = *state;

    parts_out32(&f->parts, CONFADD, 0xFFFFFFFF);
    assert_int_equal(parts_in32(&f->parts, CONFADD), 0x80FFFFFC);
    parts_out32(&f->parts, CONFADD, 0x80000008);
    parts_out(&f->parts, CONFADD, 0x55);
    parts_out(&f->parts, CONFADD + 3, 0x01);
    parts_out16(&f->parts, CONFADD + 2, 0x1234);
    assert_int_equal(parts_in32(&f->parts, CONFADD), 0x80000008);
    assert_int_equal(parts_in(&f->parts, CONFADD), 0xFF);
}

static void
test_confdata_takes_any_width_and_offset(void **state)
{
    Fixture *f = *state;

    parts_out32(&f->parts, CONFADD, ENABLE);
    assert_int_equal(parts_in(&f->parts, CONFDATA + 1), 0x80);
    assert_int_equal(address_space_read(f->parts.bus.pio, CONFDATA + 2, 2), 0x1237);
    assert_int_equal(parts_in32(&f->parts, CONFDATA), 0x12378086);
    parts_out32(&f->parts, CONFADD, 0);
    assert_int_equal(parts_in32(&f->parts, CONFDATA), 0xFFFFFFFF);
    parts_out32(&f->parts, CONFADD, ENABLE | 31u << 11);
    assert_int_equal(parts_in32(&f->parts, CONFDATA), 0xFFFFFFFF);
}

static void
test_cf9_below_confadd_resets_on_the_rising_edge(void **state)
{
    Fixture *f = *state;

    parts_out(&f->parts, 0xCF9, 0x02);
    assert_int_equal(parts_in(&f->parts, 0xCF9), 0x02);
    assert_int_equal(f->resets, 0);
    parts_out(&f->parts, 0xCF9, 0x06);
    assert_int_equal(f->resets, 1);
    parts_out(&f->parts, 0xCF9, 0x06);
    assert_int_equal(f->resets, 1);
    reset(f);
    assert_int_equal(parts_in(&f->parts, 0xCF9), 0);
    parts_out(&f->parts, 0xCF9, 0xFF);
    assert_int_equal(f->resets, 2);
}

static void
test_trc_resets_too(void **state)
{
    Fixture *f = *state;

    cfg_set(f, 0x93, 1, 0x02);
    cfg_set(f, 0x93, 1, 0x06);
    assert_int_equal(f->resets, 1);
    cfg_set(f, 0x93, 1, 0x06);
    assert_int_equal(f->resets, 1);
}

typedef struct {
    uint8_t reg, shift;
    uint32_t first, last;
} Segment;

static const Segment segments[] = {
    {0x59, 4, 0xF0000, 0xFFFFF}, {0x5A, 0, 0xC0000, 0xC3FFF}, {0x5A, 4, 0xC4000, 0xC7FFF},
    {0x5B, 0, 0xC8000, 0xCBFFF}, {0x5B, 4, 0xCC000, 0xCFFFF}, {0x5C, 0, 0xD0000, 0xD3FFF},
    {0x5C, 4, 0xD4000, 0xD7FFF}, {0x5D, 0, 0xD8000, 0xDBFFF}, {0x5D, 4, 0xDC000, 0xDFFFF},
    {0x5E, 0, 0xE0000, 0xE3FFF}, {0x5E, 4, 0xE4000, 0xE7FFF}, {0x5F, 0, 0xE8000, 0xEBFFF},
    {0x5F, 4, 0xEC000, 0xEFFFF},
};

/* Writes to both ends of a segment, and says what each mode of its own must show. */
static void
check_segment(Fixture *f, const Segment *s)
{
    uint8_t behind = s->first >= 0xE0000 ? 0xEE : 0xFF; /* ROM, or nothing */
    uint32_t ends[] = {s->first, s->last};

    for (unsigned i = 0; i < 2; i++) {
        cfg_set(f, s->reg, 1, 3u << s->shift);
        poke(f, ends[i], 0x11);
        assert_int_equal(peek(f, ends[i]), 0x11);
        cfg_set(f, s->reg, 1, 1u << s->shift); /* reads RAM, writes go to the bus */
        poke(f, ends[i], 0x22);
        assert_int_equal(peek(f, ends[i]), 0x11);
        cfg_set(f, s->reg, 1, 2u << s->shift); /* writes RAM, reads the bus */
        poke(f, ends[i], 0x33);
        assert_int_equal(peek(f, ends[i]), behind);
        cfg_set(f, s->reg, 1, 0);
        poke(f, ends[i], 0x44);
        assert_int_equal(peek(f, ends[i]), behind);
        cfg_set(f, s->reg, 1, 1u << s->shift);
        assert_int_equal(peek(f, ends[i]), 0x33);
        cfg_set(f, s->reg, 1, 0);
    }
}

static void
test_each_pam_segment_is_steered_alone(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++) {
        check_segment(f, &segments[i]);
    }
    /* One nibble does not move its neighbour. */
    cfg_set(f, 0x5A, 1, 0x30);
    poke(f, 0xC4000, 0x77);
    poke(f, 0xC3FFF, 0x77);
    assert_int_equal(peek(f, 0xC4000), 0x77);
    assert_int_equal(peek(f, 0xC3FFF), 0xFF);
}

static void
test_pam_takes_dword_writes_and_keeps_reserved_bits_clear(void **state)
{
    Fixture *f = *state;

    cfg_set(f, 0x58, 4, 0xFFFFFF10);
    cfg_set(f, 0x5C, 4, 0xFFFFFFFF);
    assert_int_equal(cfg(f, 0x58, 4), 0x33333010);
    assert_int_equal(cfg(f, 0x5C, 4), 0x33333333);
    poke(f, 0xFFFFF, 0x66);
    assert_int_equal(peek(f, 0xFFFFF), 0x66);
}

static void
test_reset_closes_the_shadow(void **state)
{
    Fixture *f = *state;

    i440fx_open_shadow(f->bridge);
    poke(f, 0xF0000, 0x66);
    poke(f, 0xC0000, 0x66);
    assert_int_equal(peek(f, 0xF0000), 0x66);
    assert_int_equal(peek(f, 0xC0000), 0x66);
    cfg_set(f, 0x72, 1, 0x4A);
    reset(f);
    assert_int_equal(peek(f, 0xF0000), 0xEE);
    assert_int_equal(peek(f, 0xC0000), 0xFF);
    assert_int_equal(cfg(f, 0x59, 1), 0);
    assert_int_equal(cfg(f, 0x72, 1), 0x02);
    assert_int_equal(peek(f, 0xA0000), 0xFF);
}

static void
test_smram_opens_closes_and_locks(void **state)
{
    Fixture *f = *state;

    poke(f, 0xA0000, 1);
    assert_int_equal(peek(f, 0xA0000), 0xFF);
    cfg_set(f, 0x72, 1, 0x4A);
    assert_int_equal(cfg(f, 0x72, 1), 0x4A);
    poke(f, 0xA0000, 0x5A);
    poke(f, 0xBFFFF, 0x5B);
    assert_int_equal(peek(f, 0xA0000), 0x5A);
    assert_int_equal(peek(f, 0xBFFFF), 0x5B);
    cfg_set(f, 0x72, 1, 0x0A);
    assert_int_equal(peek(f, 0xA0000), 0xFF);
    cfg_set(f, 0x72, 1, 0x5A); /* D_OPEN with D_LCK: locked, not open */
    assert_int_equal(cfg(f, 0x72, 1), 0x1A);
    assert_int_equal(peek(f, 0xA0000), 0xFF);
    cfg_set(f, 0x72, 1, 0x40);
    assert_int_equal(cfg(f, 0x72, 1), 0x1A);
    cfg_set(f, 0x72, 1, 0x20); /* D_CLS alone can still be written */
    assert_int_equal(cfg(f, 0x72, 1), 0x3A);
    reset(f);
    cfg_set(f, 0x72, 1, 0x4A);
    assert_int_equal(peek(f, 0xA0000), 0x5A);
}

static void
test_other_registers_keep_what_can_be_written(void **state)
{
    Fixture *f = *state;

    cfg_set(f, 0x60, 4, 0x10080402);
    assert_int_equal(cfg(f, 0x60, 4), 0x10080402);
    cfg_set(f, 0x04, 2, 0xFFFF);
    assert_int_equal(cfg(f, 0x04, 2), 0x0146);
    cfg_set(f, 0x04, 2, 0);
    assert_int_equal(cfg(f, 0x04, 2), 0x0006);
    cfg_set(f, 0x0D, 1, 0xFF);
    assert_int_equal(cfg(f, 0x0D, 1), 0xF8);
    cfg_set(f, 0x3C, 1, 0x05);
    assert_int_equal(cfg(f, 0x3C, 1), 0);
    cfg_set(f, 0x10, 4, 0xFFFFFFFF);
    assert_int_equal(cfg(f, 0x10, 4), 0);
    reset(f);
    assert_int_equal(cfg(f, 0x60, 4), 0x01010101);
}

int
main(void)
{
#define HOST_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        HOST_TEST(test_registers_have_the_data_sheets_reset_values),
        HOST_TEST(test_confadd_is_a_dword_register_with_reserved_bits),
        HOST_TEST(test_confdata_takes_any_width_and_offset),
        HOST_TEST(test_cf9_below_confadd_resets_on_the_rising_edge),
        HOST_TEST(test_trc_resets_too),
        HOST_TEST(test_each_pam_segment_is_steered_alone),
        HOST_TEST(test_pam_takes_dword_writes_and_keeps_reserved_bits_clear),
        HOST_TEST(test_reset_closes_the_shadow),
        HOST_TEST(test_smram_opens_closes_and_locks),
        HOST_TEST(test_other_registers_keep_what_can_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
