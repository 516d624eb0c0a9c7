/* SPDX-License-Identifier: Apache-2.0 */
/* The whole board: what firmware finds in configuration space, CMOS and fw_cfg, resets, direct
 * boot. */
#include "board_machine.h"

#include "base/error.h"
#include "board/pci_routes.h"

#define GIB     UINT64_C(0x40000000)
#define SECOND  UINT64_C(1000000000)
#define RTC_IRQ 8

static void
start(Machine *m)
{
    MachineArgs args = {0};

    machine_start(m, &args);
}

static void
test_chipset_is_a_440fx_with_piix3_and_piix4_pm(void **state)
{
    Machine m;
    (void)state;

    start(&m);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(0, 0), 0, 4), 0x12378086);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(0, 0), 0x2C, 4), 0x11001AF4);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(1, 0), 0, 4), 0x70008086);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(1, 0), 0x0E, 1) & 0x80, 0x80);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(1, 3), 0, 4), 0x71138086);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(2, 0), 0, 4), UINT32_MAX);
    machine_stop(&m);
}

static void
test_without_acpi_there_is_no_power_management_function(void **state)
{
    MachineArgs args = {.no_acpi = true};
    Machine m;
    (void)state;

    machine_start(&m, &args);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(1, 3), 0, 4), UINT32_MAX);
    board_power_button(m.board);
    board_setup_direct_boot(m.board);
    machine_stop(&m);
}

static void
test_memory_size_is_in_cmos(void **state)
{
    static const struct {
        uint64_t bytes;
        unsigned extended_kib, above_16m, above_4g;
    } cases[] = {
        {64 * MACHINE_MIB, 64512, 0x300, 0},         {GIB, 65535, 0x3F00, 0},
        {3584 * MACHINE_MIB, 65535, 0xBF00, 0x2000}, /* 3 GiB below the hole, 512 MiB above */
        {8 * GIB, 65535, 0xBF00, 0x14000},           {16 * MACHINE_MIB, 15360, 0, 0},
    };
    (void)state;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        MachineArgs args = {.memory_bytes = cases[i].bytes, .cpus = 3};
        Machine m;
        uint8_t c[128];
        machine_start(&m, &args);
        for (unsigned cell = 0; cell < sizeof(c); cell++) {
            c[cell] = board_cmos_get(m.board, (uint8_t)cell);
        }
        assert_int_equal(field(c, 0x15, 2), 640);
        assert_int_equal(field(c, 0x17, 2), cases[i].extended_kib);
        assert_int_equal(field(c, 0x30, 2), cases[i].extended_kib);
        assert_int_equal(field(c, 0x34, 2), cases[i].above_16m);
        assert_int_equal(field(c, 0x5B, 3), cases[i].above_4g);
        assert_int_equal(c[0x5F], 2);
        assert_int_equal(c[0x14] & 0x06, 0x06);
        assert_int_equal(machine_fw_cfg_int(&m, 3, 8), cases[i].bytes);
        machine_stop(&m);
    }
}

static void
test_cmos_checksum_follows_the_cells(void **state)
{
    Machine m;
    (void)state;

    start(&m);
    for (unsigned round = 0; round < 2; round++) {
        unsigned sum = 0;
        for (unsigned cell = 0x10; cell <= 0x2D; cell++) {
            sum += board_cmos_get(m.board, (uint8_t)cell);
        }
        assert_int_equal(board_cmos_get(m.board, 0x2E) << 8 | board_cmos_get(m.board, 0x2F), sum);
        board_cmos_set(m.board, 0x10, 0x44);
    }
    assert_int_equal(board_cmos_get(m.board, 0x10), 0x44);
    machine_stop(&m);
}

static void
test_e820_covers_all_memory(void **state)
{
    MachineArgs args = {.memory_bytes = 8 * GIB};
    Machine m;
    g_autoptr(GByteArray) file = NULL;
    uint64_t ram = 0;
    (void)state;

    machine_start(&m, &args);
    file = machine_fw_cfg_file(&m, "etc/e820");
    assert_int_equal(file->len % 20, 0);
    for (size_t at = 0; at < file->len; at += 20) {
        ram += field(file->data, at + 16, 4) == 1 ? field(file->data, at + 8, 8) : 0;
    }
    assert_int_equal(ram, 8 * GIB);
    machine_stop(&m);
}

static void
test_fw_cfg_has_the_numbers_firmware_reads(void **state)
{
    MachineArgs args = {.cpus = 7, .identity = {.uuid = "01234567-89ab-cdef-0123-456789abcdef"}};
    Machine m;
    (void)state;

    machine_start(&m, &args);
    assert_int_equal(machine_fw_cfg_int(&m, 0, 4), 0x554D4551);
    assert_int_equal(machine_fw_cfg_int(&m, 1, 4), 3);
    assert_int_equal(machine_fw_cfg_int(&m, 2, 8), UINT64_C(0xEFCDAB8967452301));
    assert_int_equal(machine_fw_cfg_int(&m, 4, 2), 0);
    assert_int_equal(machine_fw_cfg_int(&m, 5, 2), 7);
    assert_int_equal(machine_fw_cfg_int(&m, 0x0F, 2), 7);
    assert_int_equal(machine_fw_cfg_int(&m, 0x0D, 8), 0);
    assert_int_equal(machine_fw_cfg_int(&m, 0x0E, 2), 0);
    assert_int_equal(machine_fw_cfg_int(&m, 0x8000, 2), 0);
    assert_int_equal(machine_fw_cfg_int(&m, 0x8002, 1), 1);
    machine_stop(&m);
}

static void
test_bad_uuid_is_refused(void **state)
{
    Machine m;
    g_autoptr(GError) error = NULL;
    BoardArgs args = {.identity = {.uuid = "not-a-uuid"}, .cpus = 1};
    (void)state;

    parts_init(&m.parts);
    args.bus = &m.parts.bus;
    args.irqs = m.parts.irqs;
    args.loop = m.parts.loop;
    args.clock = m.parts.clock;
    assert_null(board_new(&args, &error));
    assert_true(g_error_matches(error, BACKPLANE_ERROR, ERROR_CONFIG));
    assert_non_null(strstr(error->message, "not-a-uuid"));
    parts_done(&m.parts);
}

static void
test_board_whose_ports_are_taken_is_refused_cleanly(void **state)
{
    static const uint16_t ports[] = {0x20, 0x40, 0x60, 0x64, 0x70, 0x72, 0x510, 0x514, 0xCF8};
    (void)state;

    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        static const RegionOps nothing;
        Parts parts;
        g_autoptr(GError) error = NULL;
        parts_init(&parts);
        RegionArgs taken = {.name = "other",
                            .base = ports[i],
                            .length = 1,
                            .priority = REGION_PRIORITY_FIXED,
                            .exclusive = true,
                            .ops = &nothing};
        BoardArgs args = {.bus = &parts.bus,
                          .irqs = parts.irqs,
                          .loop = parts.loop,
                          .clock = parts.clock,
                          .cpus = 1,
                          .own_irqchip = true,
                          .acpi = true};
        Region *region = region_new(parts.bus.pio, &taken, NULL);
        assert_non_null(region);
        region_set_enabled(region, true);
        assert_null(board_new(&args, &error));
        assert_non_null(strstr(error->message, "other"));
        region_free(region);
        parts_done(&parts);
    }
}

static void
test_boot_order_is_in_fw_cfg_and_cmos(void **state)
{
    static const char *const paths[] = {"/pci@i0cf8/scsi@4/disk@0,0", "/pci@i0cf8/*@5", NULL};
    const BoardBootOrder order = {
        .paths = paths,
        .strict = true,
        .menu = true,
        .menu_wait_ms = 2500,
        .bios_devices = {BOARD_BIOS_CD, BOARD_BIOS_NETWORK, BOARD_BIOS_DISK}};
    MachineArgs args = {0};
    Machine m;
    g_autoptr(GByteArray) text = NULL, wait = NULL;
    (void)state;

    machine_make(&m, &args);
    assert_true(board_set_boot_order(m.board, &order, NULL));
    assert_true(board_finalize(m.board, NULL));
    board_reset(m.board);
    text = machine_fw_cfg_file(&m, "bootorder");
    assert_int_equal(text->len, strlen((const char *)text->data) + 1);
    assert_string_equal((const char *)text->data,
                        "/pci@i0cf8/scsi@4/disk@0,0\n/pci@i0cf8/*@5\nHALT");
    wait = machine_fw_cfg_file(&m, "etc/boot-menu-wait");
    assert_int_equal(wait->len, 2);
    assert_int_equal(field(wait->data, 0, 2), 2500);
    assert_int_equal(machine_fw_cfg_int(&m, 0x0E, 2), 1);
    assert_int_equal(board_cmos_get(m.board, 0x3D), 0x43);
    assert_int_equal(board_cmos_get(m.board, 0x38), 0x20);
    machine_stop(&m);
}

static void
test_usual_boot_order_is_disk_removable_cd(void **state)
{
    Machine m;
    (void)state;

    start(&m);
    assert_int_equal(board_cmos_get(m.board, 0x3D), 0x12);
    assert_int_equal(board_cmos_get(m.board, 0x38), 0x30);
    assert_false(machine_has_fw_cfg_file(&m, "bootorder"));
    machine_stop(&m);
}

static void
test_bad_boot_orders_are_refused(void **state)
{
    static const char *const empty[] = {"/a", "", NULL};
    static const char *const lines[] = {"/a\n/b", NULL};
    static const char *const *const bad[] = {empty, lines};
    MachineArgs args = {0};
    Machine m;
    (void)state;

    machine_make(&m, &args);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        const BoardBootOrder order = {.paths = bad[i]};
        g_autoptr(GError) error = NULL;
        assert_false(board_set_boot_order(m.board, &order, &error));
        assert_true(g_error_matches(error, BACKPLANE_ERROR, ERROR_CONFIG));
    }
    machine_stop(&m);
}

static void
test_guest_can_reset_by_keyboard_controller_and_cf9(void **state)
{
    Machine m;
    (void)state;

    start(&m);
    parts_out(&m.parts, 0x64, 0xFE);
    assert_int_equal(m.resets, 1);
    parts_out(&m.parts, 0xCF9, 0x02);
    parts_out(&m.parts, 0xCF9, 0x06);
    assert_int_equal(m.resets, 2);
    machine_stop(&m);
}

static void
test_cmos_survives_a_reset(void **state)
{
    Machine m;
    (void)state;

    start(&m);
    parts_out(&m.parts, 0x70, 0x0F);
    parts_out(&m.parts, 0x71, 0x0A);
    board_reset(m.board);
    assert_int_equal(board_cmos_get(m.board, 0x0F), 0x0A);
    machine_stop(&m);
}

static void
test_rtc_interrupt_reaches_the_8259(void **state)
{
    Machine m;
    (void)state;

    start(&m);
    /* Both 8259s at vectors 20h and 28h, everything masked but the cascade and IRQ8. */
    static const uint8_t script[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 0x04}, {0x21, 0x01},
                                        {0xA0, 0x11}, {0xA1, 0x28}, {0xA1, 0x02}, {0xA1, 0x01},
                                        {0x21, 0xFB}, {0xA1, 0xFE}};
    for (unsigned i = 0; i < G_N_ELEMENTS(script); i++) {
        parts_out(&m.parts, script[i][0], script[i][1]);
    }
    assert_int_equal(board_pic_ack(m.board), -1);
    parts_out(&m.parts, 0x70, 0x0B);
    parts_out(&m.parts, 0x71, 0x12);
    parts_step(&m.parts, 2 * SECOND);
    assert_true(irq_lines_level(m.parts.irqs, RTC_IRQ));
    assert_int_equal(board_pic_ack(m.board), 0x28);
    machine_stop(&m);
}

static void
test_input_reaches_the_keyboard_controller(void **state)
{
    Machine m;
    (void)state;

    start(&m);
    assert_true(board_key(m.board, 0x1E, true));
    assert_int_equal(parts_in(&m.parts, 0x64) & 0x21, 0x01);
    assert_int_equal(parts_in(&m.parts, 0x60), 0x1C);
    parts_out(&m.parts, 0x64, 0xD4);
    parts_out(&m.parts, 0x60, 0xF4);
    assert_int_equal(parts_in(&m.parts, 0x60), 0xFA);
    board_mouse(m.board, 1, 1, 0, 0);
    assert_int_equal(parts_in(&m.parts, 0x64) & 0x21, 0x21);
    machine_stop(&m);
}

static uint64_t
card_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0x5A5A5A5A;
}

static void
card_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
}

#define CARDS 100u

typedef struct {
    uint64_t first, last;
} Range;

static void
assert_apart(const Range *ranges, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < i; k++) {
            assert_true(ranges[i].last < ranges[k].first || ranges[k].last < ranges[i].first);
        }
    }
}

/* Eight functions of a slot, then one a slot: 26 more on the board's bus, 31 behind each bridge. */
static PciFunction *
add_card(Machine *m, unsigned index)
{
    static const RegionOps ops = {.read = card_read, .write = card_write, .widths = 1 | 2 | 4};
    unsigned behind = index < 34 ? 0 : index - 34;
    PciFunctionArgs card = {
        .name = "card",
        .bus = index < 34 ? 0 : 1 + behind / 31,
        .devfn = index < 8    ? PCI_DEVFN(2, index)
                 : index < 34 ? PCI_DEVFN(index - 5, 0)
                              : PCI_DEVFN(1 + behind % 31, 0),
        .vendor_id = 0x1234,
        .device_id = 1,
        .interrupt_pin = 1 + index % 4,
        .bars = {{.size = 128, .is_io = true},
                 {.size = 0x8000},
                 {.size = 0x4000, .is_64bit = true}},
    };
    PciFunction *function = pci_function_new(board_pci(m->board), &card, NULL);

    assert_non_null(function);
    for (unsigned bar = 0; bar < 3; bar++) {
        assert_non_null(
            pci_function_map_bar(function, bar, 0, card.bars[bar].size, &ops, NULL, NULL, NULL));
    }
    return function;
}

static void
test_direct_boot_opens_bridges_to_a_hundred_cards(void **state)
{
    static const unsigned bridges[] = {PCI_DEVFN(0x1D, 0), PCI_DEVFN(0x1E, 0), PCI_DEVFN(0x1F, 0)};
    MachineArgs args = {.pci_bridges = bridges, .pci_bridge_count = 3};
    PciFunction *cards[CARDS];
    Range ports[CARDS], memory[2 * CARDS];
    Machine m;
    (void)state;

    machine_make(&m, &args);
    for (unsigned i = 0; i < CARDS; i++) {
        cards[i] = add_card(&m, i);
    }
    assert_true(board_finalize(m.board, NULL));
    board_reset(m.board);
    board_setup_direct_boot(m.board);
    for (unsigned i = 0; i < CARDS; i++) {
        uint64_t io = pci_function_bar_address(cards[i], 0);
        uint64_t small = pci_function_bar_address(cards[i], 1);
        uint64_t large = pci_function_bar_address(cards[i], 2);
        unsigned slot = 0, pin = pci_function_board_pin(cards[i], &slot);
        assert_true(io != UINT64_MAX && small != UINT64_MAX && large != UINT64_MAX);
        assert_int_equal(pci_function_bus_number(cards[i]), pci_function_bus(cards[i]));
        ports[i] = (Range){io, io + 127};
        memory[2 * i] = (Range){small, small + 0x7FFF};
        memory[2 * i + 1] = (Range){large, large + 0x3FFF};
        assert_int_equal(address_space_read(m.parts.bus.mmio, small, 4), 0x5A5A5A5A);
        assert_int_equal(parts_in32(&m.parts, (uint16_t)io), 0x5A5A5A5A);
        assert_int_equal(pci_function_peek(cards[i], 0x3C, 1),
                         pci_pirq_irqs[pci_slot_pirq(slot, pin)]);
    }
    assert_apart(ports, CARDS);
    assert_apart(memory, 2 * CARDS);
    for (unsigned i = 0; i < CARDS; i++) {
        pci_function_free(cards[i]);
    }
    machine_stop(&m);
}

static void
test_direct_boot_places_bars_and_routes(void **state)
{
    static const RegionOps ops = {.read = card_read, .write = card_write, .widths = 1 | 2 | 4};
    PciFunctionArgs card = {.name = "card",
                            .devfn = PCI_DEVFN(4, 0),
                            .vendor_id = 0x1234,
                            .device_id = 1,
                            .interrupt_pin = 1,
                            .bars = {{.size = 64, .is_io = true},
                                     {.size = 0x1000},
                                     {.size = 0x4000, .is_64bit = true, .prefetchable = true}}};
    MachineArgs args = {0};
    Machine m;
    PciFunction *function;
    (void)state;

    machine_make(&m, &args);
    function = pci_function_new(board_pci(m.board), &card, NULL);
    assert_non_null(function);
    for (unsigned bar = 0; bar < 3; bar++) {
        assert_non_null(
            pci_function_map_bar(function, bar, 0, card.bars[bar].size, &ops, NULL, NULL, NULL));
    }
    assert_true(board_finalize(m.board, NULL));
    for (unsigned round = 0; round < 2; round++) {
        uint64_t io, memory, large;
        board_reset(m.board);
        board_setup_direct_boot(m.board);
        io = pci_function_bar_address(function, 0);
        memory = pci_function_bar_address(function, 1);
        large = pci_function_bar_address(function, 2);
        assert_in_range(io, 0xC000, 0xFFC0);
        assert_in_range(memory, 64 * MACHINE_MIB, 0xFEBFF000);
        assert_in_range(large, 64 * MACHINE_MIB, 0xFEBFC000);
        assert_int_equal(memory % 0x1000, 0);
        assert_int_equal(large % 0x4000, 0);
        assert_true(memory + 0x1000 <= large || large + 0x4000 <= memory);
        assert_int_equal(address_space_read(m.parts.bus.mmio, memory, 4), 0x5A5A5A5A);
        assert_int_equal(parts_in32(&m.parts, (uint16_t)io), 0x5A5A5A5A);
        assert_int_equal(machine_config_read(&m, PCI_DEVFN(1, 0), 0x60, 4), 0x0B0B0A0A);
        assert_int_equal(machine_config_read(&m, PCI_DEVFN(1, 3), 0x40, 4), 0x601);
        assert_int_equal(parts_in(&m.parts, 0x4D1), 0x0C);
        assert_int_equal(machine_config_read(&m, PCI_DEVFN(1, 3), 0x3C, 1), 9);
        assert_int_not_equal(parts_in32(&m.parts, 0x608), UINT32_MAX); /* the PM timer */
        assert_int_equal(machine_config_read(&m, PCI_DEVFN(0, 0), 0x59, 1) & 0x30, 0x30);
    }
    pci_function_free(function);
    machine_stop(&m);
}

static void
test_bar_that_finds_no_room_is_left_unplaced(void **state)
{
    PciFunctionArgs card = {.name = "card",
                            .devfn = PCI_DEVFN(4, 0),
                            .vendor_id = 0x1234,
                            .device_id = 1,
                            .bars = {{.size = 8 * GIB, .is_64bit = true}, {0}, {.size = 0x1000}}};
    MachineArgs args = {0};
    Machine m;
    PciFunction *function;
    (void)state;

    machine_make(&m, &args);
    function = pci_function_new(board_pci(m.board), &card, NULL);
    assert_non_null(function);
    assert_true(board_finalize(m.board, NULL));
    board_reset(m.board);
    board_setup_direct_boot(m.board);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(4, 0), 0x10, 4) & ~0xFu, 0);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(4, 0), 0x14, 4), 0);
    assert_in_range(pci_function_bar_address(function, 2), 64 * MACHINE_MIB, 0xFEBFF000);
    pci_function_free(function);
    machine_stop(&m);
}

static void
test_acpi_power_off_through_the_registers_of_the_tables(void **state)
{
    Machine m;
    (void)state;

    start(&m);
    board_setup_direct_boot(m.board);
    parts_out(&m.parts, 0xB2, 0xF1);
    assert_int_equal(address_space_read(m.parts.bus.pio, 0x604, 2) & 1, 1);
    parts_out16(&m.parts, 0x604, 0x2001); /* SLP_EN, SLP_TYP 0 as \_S5 says */
    assert_int_equal(m.poweroffs, 1);
    machine_stop(&m);
}

static void
test_idle_board_arms_no_timer_but_the_pits(void **state)
{
    MachineArgs args = {0};
    Machine m;
    (void)state;

    machine_make(&m, &args);
    assert_true(board_finalize(m.board, NULL));
    board_reset(m.board);
    board_setup_direct_boot(m.board);
    for (unsigned i = 0; i < 10; i++) {
        (void)board_cmos_get(m.board, 0);
        (void)parts_in32(&m.parts, 0x608);
    }
    parts_out(&m.parts, 0x43, 0x30); /* counter 0: mode 0, no count */
    /* What is left is the PM timer's overflow, if anything; never once a second. */
    if (loop_next_virtual_deadline(m.parts.loop) != UINT64_MAX) {
        assert_true(loop_next_virtual_deadline(m.parts.loop) > SECOND);
    }
    machine_stop(&m);
}

static void
test_two_boards_live_side_by_side(void **state)
{
    Machine a, b;
    (void)state;

    start(&a);
    start(&b);
    board_cmos_set(a.board, 0x40, 1);
    board_cmos_set(b.board, 0x40, 2);
    parts_out(&a.parts, 0x64, 0xFE);
    assert_int_equal(board_cmos_get(a.board, 0x40), 1);
    assert_int_equal(board_cmos_get(b.board, 0x40), 2);
    assert_int_equal(b.resets, 0);
    machine_stop(&a);
    board_reset(b.board);
    machine_stop(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chipset_is_a_440fx_with_piix3_and_piix4_pm),
        cmocka_unit_test(test_without_acpi_there_is_no_power_management_function),
        cmocka_unit_test(test_memory_size_is_in_cmos),
        cmocka_unit_test(test_cmos_checksum_follows_the_cells),
        cmocka_unit_test(test_e820_covers_all_memory),
        cmocka_unit_test(test_fw_cfg_has_the_numbers_firmware_reads),
        cmocka_unit_test(test_bad_uuid_is_refused),
        cmocka_unit_test(test_board_whose_ports_are_taken_is_refused_cleanly),
        cmocka_unit_test(test_boot_order_is_in_fw_cfg_and_cmos),
        cmocka_unit_test(test_usual_boot_order_is_disk_removable_cd),
        cmocka_unit_test(test_bad_boot_orders_are_refused),
        cmocka_unit_test(test_guest_can_reset_by_keyboard_controller_and_cf9),
        cmocka_unit_test(test_cmos_survives_a_reset),
        cmocka_unit_test(test_rtc_interrupt_reaches_the_8259),
        cmocka_unit_test(test_input_reaches_the_keyboard_controller),
        cmocka_unit_test(test_direct_boot_places_bars_and_routes),
        cmocka_unit_test(test_direct_boot_opens_bridges_to_a_hundred_cards),
        cmocka_unit_test(test_bar_that_finds_no_room_is_left_unplaced),
        cmocka_unit_test(test_acpi_power_off_through_the_registers_of_the_tables),
        cmocka_unit_test(test_idle_board_arms_no_timer_but_the_pits),
        cmocka_unit_test(test_two_boards_live_side_by_side),
    };

    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
