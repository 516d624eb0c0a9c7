/* SPDX-License-Identifier: Apache-2.0 */
/* PIIX3 function 0: PIRQ routing, ELCR, reset control, port 92h. */
#include "board_parts.h"

#include "board/piix3.h"

#define DEVFN PCI_DEVFN(1, 0)

typedef struct {
    Parts parts;
    PciBus *pci;
    I8259 *pic;
    Piix3 *isa;
    unsigned resets;
} Fixture;

static void
set_pirq(void *opaque, unsigned pirq, bool level)
{
    piix3_set_pirq(((Fixture *)opaque)->isa, pirq, level);
}

static void
request(void *opaque, BoardRequest what)
{
    Fixture *f = opaque;

    assert_int_equal(what, BOARD_REQUEST_RESET);
    (void)piix3_a20(f->isa); /* no lock of the chip is held */
    f->resets++;
}

static void
set_gsi(void *opaque, unsigned gsi, bool level)
{
    i8259_set_irq(((Fixture *)opaque)->pic, gsi, level);
}

static const IrqSink sink = {.set = set_gsi};

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    PciBusArgs bus = {.set_pirq = set_pirq, .opaque = f};
    Piix3Args isa = {.request = request, .opaque = f};
    I8259Args pic = {0};

    parts_init(&f->parts);
    bus.pio = f->parts.bus.pio;
    bus.mmio = f->parts.bus.mmio;
    f->pci = pci_bus_new(&bus);
    pic.pio = f->parts.bus.pio;
    f->pic = i8259_new(&pic, NULL);
    isa.pci = f->pci;
    isa.bus = &f->parts.bus;
    isa.irqs = f->parts.irqs;
    isa.pic = f->pic;
    f->isa = piix3_new(&isa, NULL);
    assert_non_null(f->isa);
    irq_lines_set_sink(f->parts.irqs, &sink, f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    piix3_free(f->isa);
    pci_bus_free(f->pci);
    i8259_free(f->pic);
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

static void
test_registers_have_the_data_sheets_reset_values(void **state)
{
    Fixture *f = *state;

    assert_int_equal(cfg(f, 0x00, 4), 0x70008086);
    assert_int_equal(cfg(f, 0x04, 4), 0x02000007);
    assert_int_equal(cfg(f, 0x08, 4), 0x06010000);
    assert_int_equal(cfg(f, 0x0E, 1), 0x80);
    assert_int_equal(cfg(f, 0x4C, 4), 0x0003004D);
    assert_int_equal(cfg(f, 0x60, 4), 0x80808080);
    assert_int_equal(cfg(f, 0x69, 1), 0x02);
}

static void
test_a_pirq_goes_where_its_register_says(void **state)
{
    Fixture *f = *state;

    piix3_set_pirq(f->isa, 1, true);
    for (unsigned gsi = 0; gsi < 16; gsi++) {
        assert_false(irq_lines_level(f->parts.irqs, gsi));
    }
    cfg_set(f, 0x61, 1, 0x0A);
    assert_int_equal(piix3_pirq_irq(f->isa, 1), 10);
    assert_true(irq_lines_level(f->parts.irqs, 10));
    cfg_set(f, 0x60, 4, 0x0B0B0B0B);
    assert_false(irq_lines_level(f->parts.irqs, 10));
    assert_true(irq_lines_level(f->parts.irqs, 11));
    piix3_set_pirq(f->isa, 3, true);
    piix3_set_pirq(f->isa, 1, false);
    assert_true(irq_lines_level(f->parts.irqs, 11)); /* shared */
    cfg_set(f, 0x63, 1, 0x8B);
    assert_false(irq_lines_level(f->parts.irqs, 11));
    assert_int_equal(piix3_pirq_irq(f->isa, 3), -1);
}

static void
test_illegal_irqs_route_nowhere(void **state)
{
    const unsigned illegal = 1u << 0 | 1u << 1 | 1u << 2 | 1u << 8 | 1u << 13;
    Fixture *f = *state;

    piix3_set_pirq(f->isa, 0, true);
    for (unsigned irq = 0; irq < 16; irq++) {
        cfg_set(f, 0x60, 1, irq);
        assert_int_equal(cfg(f, 0x60, 1), irq);
        assert_int_equal(irq_lines_level(f->parts.irqs, irq), (illegal >> irq & 1) == 0);
    }
}

static void
test_interrupts_of_functions_arrive_through_the_router(void **state)
{
    Fixture *f = *state;
    PciFunctionArgs args = {.name = "card", .devfn = PCI_DEVFN(4, 0), .interrupt_pin = 2};
    PciFunction *card = pci_function_new(f->pci, &args, NULL);

    assert_non_null(card);
    cfg_set(f, 0x60, 4, 0x0B0A0907); /* slot 4 INTB is PIRQA */
    pci_function_set_intx(card, true);
    assert_true(irq_lines_level(f->parts.irqs, 7));
    pci_function_free(card);
    assert_false(irq_lines_level(f->parts.irqs, 7));
}

static void
test_elcr_keeps_the_system_interrupts_edge_triggered(void **state)
{
    Fixture *f = *state;

    parts_out(&f->parts, 0x4D0, 0xFF);
    parts_out(&f->parts, 0x4D1, 0xFF);
    assert_int_equal(parts_in(&f->parts, 0x4D0), 0xF8);
    assert_int_equal(parts_in(&f->parts, 0x4D1), 0xDE);
    parts_out16(&f->parts, 0x4D0, 0x0C00);
    assert_int_equal(address_space_read(f->parts.bus.pio, 0x4D0, 2), 0x0C00);
}

static void
test_elcr_reaches_the_interrupt_controllers(void **state)
{
    Fixture *f = *state;
    IrqSource *line = irq_source_new(f->parts.irqs, 10);

    parts_out(&f->parts, 0x4D1, 0x04);
    irq_source_set(line, true);
    irq_source_set(line, false);
    assert_int_equal(parts_in(&f->parts, 0xA0), 0); /* level: gone with the line */
    parts_out(&f->parts, 0x4D1, 0x00);
    irq_source_set(line, true);
    irq_source_set(line, false);
    assert_int_equal(parts_in(&f->parts, 0xA0), 0x04);
    irq_source_free(line);
}

static void
test_port_92_resets_on_the_rising_edge_and_keeps_a20(void **state)
{
    Fixture *f = *state;

    assert_int_equal(parts_in(&f->parts, 0x92), 0);
    parts_out(&f->parts, 0x92, 0xFE);
    assert_int_equal(parts_in(&f->parts, 0x92), 0x02);
    assert_true(piix3_a20(f->isa));
    assert_int_equal(f->resets, 0);
    parts_out(&f->parts, 0x92, 0x03);
    parts_out(&f->parts, 0x92, 0x03);
    assert_int_equal(f->resets, 1);
    parts_out(&f->parts, 0x92, 0x00);
    assert_false(piix3_a20(f->isa));
}

static void
test_reset_undoes_routes_elcr_and_port_92(void **state)
{
    Fixture *f = *state;

    cfg_set(f, 0x60, 1, 0x0A);
    piix3_set_pirq(f->isa, 0, true);
    parts_out(&f->parts, 0x4D1, 0x04);
    parts_out(&f->parts, 0x92, 0x02);
    pci_bus_reset(f->pci);
    piix3_reset(f->isa);
    assert_int_equal(cfg(f, 0x60, 1), 0x80);
    assert_false(irq_lines_level(f->parts.irqs, 10));
    assert_int_equal(parts_in(&f->parts, 0x4D1), 0);
    assert_int_equal(parts_in(&f->parts, 0x92), 0);
}

int
main(void)
{
#define ISA_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        ISA_TEST(test_registers_have_the_data_sheets_reset_values),
        ISA_TEST(test_a_pirq_goes_where_its_register_says),
        ISA_TEST(test_illegal_irqs_route_nowhere),
        ISA_TEST(test_interrupts_of_functions_arrive_through_the_router),
        ISA_TEST(test_elcr_keeps_the_system_interrupts_edge_triggered),
        ISA_TEST(test_elcr_reaches_the_interrupt_controllers),
        ISA_TEST(test_port_92_resets_on_the_rising_edge_and_keeps_a20),
        ISA_TEST(test_reset_undoes_routes_elcr_and_port_92),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
