/* SPDX-License-Identifier: Apache-2.0 */
/* PIIX4 function 3: ACPI registers, PM timer, SCI, sleep, APM, SMBus. */
#include "board_parts.h"

#include "board/piix4_pm.h"

#define DEVFN PCI_DEVFN(1, 3)
#define BASE  PIIX4_PM_DEFAULT_BASE
#define SMB   PIIX4_PM_DEFAULT_SMBASE
#define HZ    3579545u

typedef struct {
    Parts parts;
    PciBus *pci;
    Piix4Pm *pm;
    unsigned requests;
    BoardRequest last;
} Fixture;

static void
set_pirq(void *opaque, unsigned pirq, bool level)
{
}

static void
request(void *opaque, BoardRequest what)
{
    Fixture *f = opaque;

    f->requests++;
    f->last = what;
    (void)parts_in(&f->parts, BASE); /* no lock of the chip is held */
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    PciBusArgs bus = {.set_pirq = set_pirq, .opaque = f};
    Piix4PmArgs pm = {.request = request, .opaque = f};

    parts_init(&f->parts);
    bus.pio = f->parts.bus.pio;
    bus.mmio = f->parts.bus.mmio;
    f->pci = pci_bus_new(&bus);
    pm.pci = f->pci;
    pm.bus = &f->parts.bus;
    pm.irqs = f->parts.irqs;
    pm.loop = f->parts.loop;
    pm.clock = f->parts.clock;
    f->pm = piix4_pm_new(&pm, NULL);
    assert_non_null(f->pm);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    piix4_pm_free(f->pm);
    pci_bus_free(f->pci);
    parts_done(&f->parts);
    g_free(f);
    return 0;
}

static uint32_t
cfg(Fixture *f, unsigned offset, unsigned size)
{
    return pci_bus_config_read(f->pci, 0, DEVFN, (uint16_t)offset, size);
}

static void
cfg_set(Fixture *f, unsigned offset, unsigned size, uint32_t value)
{
    pci_bus_config_write(f->pci, 0, DEVFN, (uint16_t)offset, size, value);
}

/* As SeaBIOS places it. */
static void
place(Fixture *f)
{
    cfg_set(f, 0x40, 4, BASE | 1);
    cfg_set(f, 0x80, 1, 0x01);
    cfg_set(f, 0x90, 4, SMB | 1);
    cfg_set(f, 0xD2, 1, 0x09);
}

static unsigned
in16(Fixture *f, uint16_t port)
{
    return (unsigned)address_space_read(f->parts.bus.pio, port, 2);
}

static void
out16(Fixture *f, uint16_t port, unsigned value)
{
    parts_out16(&f->parts, port, (uint16_t)value);
}

static bool
sci(Fixture *f)
{
    return irq_lines_level(f->parts.irqs, PIIX4_PM_SCI_IRQ);
}

static void
test_identity_and_reset_values(void **state)
{
    Fixture *f = *state;

    assert_int_equal(cfg(f, 0x00, 4), 0x71138086);
    assert_int_equal(cfg(f, 0x04, 4), 0x02800000);
    assert_int_equal(cfg(f, 0x08, 4), 0x06800003);
    assert_int_equal(cfg(f, 0x0E, 1), 0);
    assert_int_equal(cfg(f, 0x3C, 2), 0x0100);
    cfg_set(f, 0x3C, 1, 9);
    assert_int_equal(cfg(f, 0x3C, 1), 9);
    assert_int_equal(cfg(f, 0x40, 4), 1);
    assert_int_equal(cfg(f, 0x80, 1), 0);
    assert_int_equal(cfg(f, 0x90, 4), 1);
}

static void
test_apmc_enable_reads_one_for_good(void **state)
{
    Fixture *f = *state;

    assert_int_equal(cfg(f, 0x58, 4), 1u << 25);
    cfg_set(f, 0x58, 4, 0);
    assert_int_equal(cfg(f, 0x58, 4), 1u << 25);
    cfg_set(f, 0x58, 4, 0xFFFFFFFF);
    assert_int_equal(cfg(f, 0x58, 4), 0xFFFFFFFF);
}

static void
test_blocks_appear_where_the_guest_puts_them(void **state)
{
    Fixture *f = *state;

    assert_int_equal(in16(f, BASE), 0xFFFF);
    cfg_set(f, 0x40, 4, 0xFFFFF601);
    assert_int_equal(cfg(f, 0x40, 4), 0xF601);
    assert_int_equal(in16(f, 0xF600), 0xFFFF);
    cfg_set(f, 0x80, 1, 0xFF);
    assert_int_equal(cfg(f, 0x80, 1), 0x01);
    assert_int_equal(in16(f, 0xF600), 0);
    cfg_set(f, 0x40, 4, 0xB000);
    assert_int_equal(in16(f, 0xF600), 0xFFFF);
    assert_int_equal(in16(f, 0xB000), 0);
    cfg_set(f, 0x80, 1, 0);
    assert_int_equal(in16(f, 0xB000), 0xFFFF);
    place(f);
    assert_int_equal(parts_in(&f->parts, SMB), 0);
    cfg_set(f, 0xD2, 1, 0);
    assert_int_equal(parts_in(&f->parts, SMB), 0xFF);
}

static void
test_the_pm_timer_counts_24_bits_at_its_rate(void **state)
{
    Fixture *f = *state;

    place(f);
    assert_int_equal(parts_in32(&f->parts, BASE + 8), 0);
    parts_step(&f->parts, 1000000000);
    assert_int_equal(parts_in32(&f->parts, BASE + 8), HZ);
    parts_out32(&f->parts, BASE + 8, 0); /* read-only */
    assert_int_equal(parts_in32(&f->parts, BASE + 8), HZ);
    assert_int_equal(parts_in(&f->parts, BASE + 9), HZ >> 8 & 0xFF);
    parts_step(&f->parts, UINT64_C(9000000000));
    assert_int_equal(parts_in32(&f->parts, BASE + 8), (10u * HZ) & 0xFFFFFF);
}

static void
test_the_pm_timers_overflow_raises_sci(void **state)
{
    Fixture *f = *state;
    const uint64_t half_ns = ((UINT64_C(1) << 23) * 1000000000u + HZ - 1) / HZ;

    place(f);
    out16(f, BASE + 4, 0x0001);
    out16(f, BASE + 2, 0x0001);
    parts_step(&f->parts, half_ns - 1);
    assert_int_equal(in16(f, BASE), 0);
    assert_false(sci(f));
    parts_step(&f->parts, 1);
    assert_int_equal(in16(f, BASE), 0x0001);
    assert_true(sci(f));
    out16(f, BASE, 0x0001);
    assert_int_equal(in16(f, BASE), 0);
    assert_false(sci(f));
    parts_step(&f->parts, half_ns);
    assert_true(sci(f));
    out16(f, BASE + 2, 0); /* disabled: the status still comes */
    assert_false(sci(f));
    out16(f, BASE, 0x0001);
    parts_step(&f->parts, half_ns);
    assert_int_equal(in16(f, BASE), 0x0001);
    assert_false(sci(f));
}

static void
test_the_power_button_raises_sci_when_enabled(void **state)
{
    Fixture *f = *state;

    place(f);
    piix4_pm_power_button(f->pm);
    assert_int_equal(in16(f, BASE), 0x0100);
    assert_false(sci(f));
    out16(f, BASE + 2, 0x0100);
    assert_false(sci(f)); /* SCI_EN is clear: it would be an SMI */
    out16(f, BASE + 4, 0x0001);
    assert_true(sci(f));
    parts_out(&f->parts, BASE + 1, 0x01); /* status by bytes */
    assert_false(sci(f));
    assert_int_equal(in16(f, BASE), 0);
}

static void
test_smi_cmd_switches_acpi_mode(void **state)
{
    Fixture *f = *state;

    place(f);
    parts_out(&f->parts, 0xB2, PIIX4_PM_ACPI_ENABLE);
    assert_int_equal(in16(f, BASE + 4), 1);
    assert_int_equal(parts_in(&f->parts, 0xB2), PIIX4_PM_ACPI_ENABLE);
    parts_out(&f->parts, 0xB2, 0x55);
    assert_int_equal(in16(f, BASE + 4), 1);
    parts_out(&f->parts, 0xB2, PIIX4_PM_ACPI_DISABLE);
    assert_int_equal(in16(f, BASE + 4), 0);
    parts_out(&f->parts, 0xB3, 0xA5);
    assert_int_equal(parts_in(&f->parts, 0xB3), 0xA5);
    piix4_pm_set_acpi_enabled(f->pm, true);
    assert_int_equal(in16(f, BASE + 4), 1);
}

static void
test_sleep_types_ask_the_machine(void **state)
{
    Fixture *f = *state;

    place(f);
    out16(f, BASE + 4, 1u << 10); /* type alone does nothing */
    assert_int_equal(f->requests, 0);
    out16(f, BASE + 4, 0x2001 | PIIX4_PM_SLP_TYP_S3 << 10);
    assert_int_equal(f->requests, 1);
    assert_int_equal(f->last, BOARD_REQUEST_SUSPEND);
    assert_int_equal(in16(f, BASE + 4), 1u << 10 | 1); /* SLP_EN reads 0 */
    out16(f, BASE + 4, 0x2000 | PIIX4_PM_SLP_TYP_S5 << 10);
    assert_int_equal(f->requests, 2);
    assert_int_equal(f->last, BOARD_REQUEST_POWEROFF);
    out16(f, BASE + 4, 0x2000 | 5u << 10); /* S0: stays awake */
    assert_int_equal(f->requests, 2);
    parts_out(&f->parts, BASE + 5, 0x20 | PIIX4_PM_SLP_TYP_S4 << 2);
    assert_int_equal(f->requests, 3);
    assert_int_equal(f->last, BOARD_REQUEST_POWEROFF);
}

static void
test_waking_shows_in_the_status(void **state)
{
    Fixture *f = *state;

    piix4_pm_wake(f->pm, true);
    place(f);
    assert_int_equal(in16(f, BASE), 0x8100);
    out16(f, BASE, 0x8000);
    assert_int_equal(in16(f, BASE), 0x0100);
}

static void
test_general_purpose_events_raise_sci(void **state)
{
    Fixture *f = *state;

    piix4_pm_set_acpi_enabled(f->pm, true);
    piix4_pm_raise_gpe(f->pm, 1);
    piix4_pm_raise_gpe(f->pm, 9);
    assert_int_equal(parts_in(&f->parts, 0xAFE0), 0x02);
    assert_int_equal(parts_in(&f->parts, 0xAFE1), 0x02);
    assert_false(sci(f));
    out16(f, 0xAFE2, 0x0002);
    assert_true(sci(f));
    assert_int_equal(in16(f, 0xAFE2), 0x0002);
    parts_out(&f->parts, 0xAFE0, 0x02);
    assert_false(sci(f));
    assert_int_equal(in16(f, 0xAFE0), 0x0200);
    piix4_pm_raise_gpe(f->pm, 16); /* no such event */
}

static void
test_unused_bits_of_pm1_stay_zero(void **state)
{
    Fixture *f = *state;

    place(f);
    out16(f, BASE + 2, 0xFFFF);
    assert_int_equal(in16(f, BASE + 2), 0x0521);
    out16(f, BASE + 4, 0xFFFF & ~0x2000);
    assert_int_equal(in16(f, BASE + 4), 0x1C03);
    assert_int_equal(parts_in32(&f->parts, BASE + 0x34), 0x7FFFBFFF);
}

static void
test_smbus_transfers_end_with_a_device_error(void **state)
{
    Fixture *f = *state;

    place(f);
    parts_out(&f->parts, SMB + 4, 0xA1); /* a DIMM's EEPROM */
    parts_out(&f->parts, SMB + 2, 0x48);
    assert_int_equal(parts_in(&f->parts, SMB), 0x04);
    assert_int_equal(parts_in(&f->parts, SMB + 2), 0x08); /* START reads 0 */
    assert_int_equal(parts_in(&f->parts, SMB + 4), 0xA1);
    parts_out(&f->parts, SMB, 0x1E);
    assert_int_equal(parts_in(&f->parts, SMB), 0);
    assert_false(sci(f));
    parts_out(&f->parts, SMB + 2, 0x49); /* with its interrupt */
    assert_true(sci(f));
    parts_out(&f->parts, SMB, 0x04);
    assert_false(sci(f));
    parts_out(&f->parts, SMB + 2, 0x02);
    assert_int_equal(parts_in(&f->parts, SMB), 0x10);
}

static void
test_smbus_block_buffer_wraps_after_32_bytes(void **state)
{
    Fixture *f = *state;

    place(f);
    (void)parts_in(&f->parts, SMB + 2);
    for (unsigned i = 0; i < 33; i++) {
        parts_out(&f->parts, SMB + 7, (uint8_t)i);
    }
    (void)parts_in(&f->parts, SMB + 2);
    assert_int_equal(parts_in(&f->parts, SMB + 7), 32);
    assert_int_equal(parts_in(&f->parts, SMB + 7), 1);
}

static void
test_reset_unplaces_and_lowers_sci(void **state)
{
    Fixture *f = *state;

    place(f);
    out16(f, BASE + 4, 1);
    out16(f, BASE + 2, 0x0100);
    piix4_pm_power_button(f->pm);
    assert_true(sci(f));
    pci_bus_reset(f->pci);
    piix4_pm_reset(f->pm);
    assert_false(sci(f));
    assert_int_equal(in16(f, BASE), 0xFFFF);
    place(f);
    assert_int_equal(in16(f, BASE), 0);
    assert_int_equal(in16(f, BASE + 2), 0);
    assert_int_equal(in16(f, BASE + 4), 0);
}

int
main(void)
{
#define PM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        PM_TEST(test_identity_and_reset_values),
        PM_TEST(test_apmc_enable_reads_one_for_good),
        PM_TEST(test_blocks_appear_where_the_guest_puts_them),
        PM_TEST(test_the_pm_timer_counts_24_bits_at_its_rate),
        PM_TEST(test_the_pm_timers_overflow_raises_sci),
        PM_TEST(test_the_power_button_raises_sci_when_enabled),
        PM_TEST(test_smi_cmd_switches_acpi_mode),
        PM_TEST(test_sleep_types_ask_the_machine),
        PM_TEST(test_waking_shows_in_the_status),
        PM_TEST(test_general_purpose_events_raise_sci),
        PM_TEST(test_unused_bits_of_pm1_stay_zero),
        PM_TEST(test_smbus_transfers_end_with_a_device_error),
        PM_TEST(test_smbus_block_buffer_wraps_after_32_bytes),
        PM_TEST(test_reset_unplaces_and_lowers_sci),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
