/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables: what firmware gets, what a direct boot places, and what the AML says. */
#include "board_machine.h"

#include "board/acpi.h"
#include "board/aml.h"
#include "board/table_loader.h"

#include <glib/gstdio.h>

#define ADD_DEVICE_HID "PNP0501"

static const uint8_t *
table_at(Machine *m, uint64_t gpa, const char *signature)
{
    const uint8_t *table = machine_at(m, gpa, 36);
    uint32_t length = (uint32_t)field(table, 4, 4);

    assert_memory_equal(table, signature, 4);
    assert_in_range(length, 36, 0x10000);
    table = machine_at(m, gpa, length);
    assert_int_equal(sum_of(table, length), 0);
    return table;
}

/* The table the RSDT has with this signature. */
static const uint8_t *
find_table(Machine *m, uint64_t rsdp, const char *signature)
{
    const uint8_t *root = machine_at(m, rsdp, 20);
    const uint8_t *rsdt;

    assert_memory_equal(root, "RSD PTR ", 8);
    assert_int_equal(sum_of(root, 20), 0);
    rsdt = table_at(m, field(root, 16, 4), "RSDT");
    for (uint32_t at = 36; at < field(rsdt, 4, 4); at += 4) {
        uint64_t gpa = field(rsdt, at, 4);
        if (memcmp(machine_at(m, gpa, 4), signature, 4) == 0) {
            return table_at(m, gpa, signature);
        }
    }
    fail_msg("no %s in the RSDT", signature);
    return NULL;
}

static const uint8_t *
find_dsdt(Machine *m, uint64_t rsdp)
{
    return table_at(m, field(find_table(m, rsdp, "FACP"), 40, 4), "DSDT");
}

static void
start(Machine *m, unsigned cpus)
{
    MachineArgs args = {.cpus = cpus};

    machine_start(m, &args);
}

static void
test_direct_boot_has_every_table_linked_and_summed(void **state)
{
    Machine m;
    uint64_t rsdp;
    const uint8_t *fadt, *facs;
    (void)state;

    start(&m, 2);
    rsdp = board_place_tables(m.board);
    assert_in_range(rsdp, 0xF0000, 0xFFFF0);
    assert_int_equal(rsdp % 16, 0);
    assert_int_equal(machine_find(&m, "RSD PTR ", 0xE0000, 0x100000), rsdp);
    (void)find_table(&m, rsdp, "APIC");
    (void)find_table(&m, rsdp, "WAET");
    fadt = find_table(&m, rsdp, "FACP");
    assert_int_equal(field(fadt, 4, 4), 244);
    assert_int_equal(fadt[8], 3);
    (void)find_dsdt(&m, rsdp);
    assert_int_equal(field(fadt, 140, 8), field(fadt, 40, 4));
    assert_int_equal(field(fadt, 36, 4) % 64, 0);
    facs = machine_at(&m, field(fadt, 36, 4), 64);
    assert_memory_equal(facs, "FACS", 4);
    assert_int_equal(field(facs, 4, 4), 64);
    machine_stop(&m);
}

static void
test_placing_again_gives_the_same(void **state)
{
    Machine m;
    uint8_t *first;
    uint64_t rsdp;
    (void)state;

    start(&m, 4);
    rsdp = board_place_tables(m.board);
    first = g_memdup2(machine_at(&m, 0xE0000, 0x20000), 0x20000);
    assert_int_equal(board_place_tables(m.board), rsdp);
    assert_memory_equal(machine_at(&m, 0xE0000, 0x20000), first, 0x20000);
    g_free(first);
    machine_stop(&m);
}

static void
test_fadt_says_what_the_power_chip_does(void **state)
{
    Machine m;
    const uint8_t *fadt;
    (void)state;

    start(&m, 1);
    fadt = find_table(&m, board_place_tables(m.board), "FACP");
    assert_int_equal(field(fadt, 46, 2), 9);
    assert_int_equal(field(fadt, 48, 4), 0xB2);
    assert_int_equal(fadt[52], 0xF1);
    assert_int_equal(fadt[53], 0xF0);
    assert_int_equal(field(fadt, 56, 4), 0x600);
    assert_int_equal(field(fadt, 64, 4), 0x604);
    assert_int_equal(field(fadt, 76, 4), 0x608);
    assert_int_equal(field(fadt, 80, 4), 0xAFE0);
    assert_memory_equal(fadt + 88, "\4\2\0\4\4\0", 6);
    assert_int_equal(fadt[108], 0x32);
    assert_int_equal(field(fadt, 109, 2), 7); /* legacy devices, 8042, no VGA */
    assert_int_equal(field(fadt, 112, 4) & (1 << 10), 1 << 10);
    assert_int_equal(field(fadt, 112, 4) & (1 << 4), 0); /* the power button is fixed hardware */
    assert_memory_equal(fadt + 116, "\1\10\0\1", 4);
    assert_int_equal(field(fadt, 120, 8), 0xCF9);
    assert_int_equal(fadt[128], 6);
    assert_int_equal(field(fadt, 152, 8), 0x600);
    assert_int_equal(field(fadt, 176, 8), 0x604);
    assert_int_equal(field(fadt, 212, 8), 0x608);
    assert_int_equal(field(fadt, 224, 8), 0xAFE0);
    machine_stop(&m);
}

static void
test_reset_register_of_the_fadt_resets(void **state)
{
    Machine m;
    const uint8_t *fadt;
    (void)state;

    start(&m, 1);
    fadt = find_table(&m, board_place_tables(m.board), "FACP");
    parts_out(&m.parts, (uint16_t)field(fadt, 120, 8), fadt[128]);
    assert_int_equal(m.resets, 1);
    machine_stop(&m);
}

static void
test_madt_lists_every_processor_and_the_wiring(void **state)
{
    Machine m;
    const uint8_t *madt;
    unsigned cpus = 0, ioapics = 0, overrides = 0, nmis = 0;
    (void)state;

    start(&m, 16);
    madt = find_table(&m, board_place_tables(m.board), "APIC");
    assert_int_equal(field(madt, 36, 4), 0xFEE00000);
    for (uint32_t at = 44; at < field(madt, 4, 4); at += madt[at + 1]) {
        const uint8_t *e = madt + at;
        assert_true(e[1] >= 6);
        switch (e[0]) {
        case 0:
            assert_int_equal(e[2], cpus);
            assert_int_equal(e[3], cpus);
            assert_int_equal(field(e, 4, 4), 1);
            cpus++;
            break;
        case 1:
            assert_int_equal(field(e, 4, 4), 0xFEC00000);
            assert_int_equal(field(e, 8, 4), 0);
            ioapics++;
            break;
        case 2:
            assert_int_equal(field(e, 4, 4), e[3] == 0 ? 2 : e[3]);
            assert_int_equal(field(e, 8, 2), e[3] == 0 ? 0 : 0x0D);
            overrides |= 1u << e[3];
            break;
        case 4:
            assert_int_equal(e[2], 0xFF);
            assert_int_equal(e[5], 1);
            nmis++;
            break;
        default:
            fail_msg("MADT entry of type %u", e[0]);
        }
    }
    assert_int_equal(cpus, 16);
    assert_int_equal(ioapics, 1);
    assert_int_equal(overrides, 1 << 0 | 1 << 5 | 1 << 9 | 1 << 10 | 1 << 11);
    assert_int_equal(nmis, 1);
    machine_stop(&m);
}

/* Runs the script like firmware, at addresses above 1 MiB; returns the RSDP's. */
static uint64_t
run_as_firmware(Machine *m, uint64_t high_base)
{
    g_autoptr(GByteArray) script = machine_fw_cfg_file(m, ACPI_FILE_LOADER);
    TableFile files[] = {
        {.name = ACPI_FILE_RSDP, .data = machine_fw_cfg_file(m, ACPI_FILE_RSDP)},
        {.name = ACPI_FILE_TABLES, .data = machine_fw_cfg_file(m, ACPI_FILE_TABLES)},
    };
    TableArea high = {.next = high_base, .end = high_base + 0x20000};
    TableArea f_segment = {.next = 0xF1234, .end = 0x100000};

    assert_true(table_loader_run(script, files, 2, &high, &f_segment));
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *hva =
            guest_memory_translate(m->parts.bus.memory, files[i].gpa, files[i].data->len);
        memcpy(hva, files[i].data->data, files[i].data->len);
        g_byte_array_unref(files[i].data);
    }
    return files[0].gpa;
}

static void
test_table_loader_gives_valid_tables_wherever_firmware_puts_them(void **state)
{
    Machine m;
    uint64_t rsdp;
    (void)state;

    start(&m, 3);
    rsdp = run_as_firmware(&m, 0x2345678);
    assert_int_equal(rsdp, 0xF1240);
    (void)find_table(&m, rsdp, "FACP");
    (void)find_table(&m, rsdp, "APIC");
    (void)find_table(&m, rsdp, "WAET");
    (void)find_dsdt(&m, rsdp);
    assert_int_equal(field(find_table(&m, rsdp, "FACP"), 36, 4) % 64, 0);
    machine_stop(&m);
}

static void
test_bad_loader_scripts_are_refused(void **state)
{
    TableArea high = {.next = 0x1000, .end = 0x2000}, low = {.next = 0x3000, .end = 0x3010};
    g_autoptr(GByteArray) data = g_byte_array_new();
    TableFile file = {.name = "a", .data = data};
    (void)state;

    g_byte_array_append(data, (const guint8 *)"0123456789abcdefXYZ", 19);
    for (unsigned i = 0; i < 6; i++) {
        g_autoptr(GByteArray) script = g_byte_array_new();
        file.gpa = 0;
        table_loader_allocate(script, i == 0 ? "b" : "a", i == 1 ? 3 : 4,
                              i == 2 ? TABLE_ZONE_F_SEGMENT : TABLE_ZONE_HIGH);
        if (i == 3) {
            table_loader_add_pointer(script, "a", 16, 4, "a");
        } else if (i == 4) {
            table_loader_add_pointer(script, "a", 0, 9, "a");
        } else if (i == 5) {
            table_loader_add_checksum(script, "a", 0, 10, 10);
        }
        assert_false(table_loader_run(script, &file, 1, &high, &low));
    }
}

/* How often bytes occur in a table. */
static unsigned
occurrences(const uint8_t *table, const char *bytes, size_t length)
{
    unsigned count = 0;

    for (size_t i = 0; i + length <= field(table, 4, 4); i++) {
        count += memcmp(table + i, bytes, length) == 0 ? 1 : 0;
    }
    return count;
}

static void
test_dsdt_names_processors_and_added_devices_and_no_s3(void **state)
{
    MachineArgs args = {.cpus = 5};
    BoardIsaDevice device = {
        .hid = ADD_DEVICE_HID, .uid = 7, .io = {{0x3F8, 8}}, .irq = 4, .dma = -1};
    Machine m;
    const uint8_t *dsdt;
    (void)state;

    machine_make(&m, &args);
    assert_true(board_add_isa_device(m.board, &device, NULL));
    assert_true(board_finalize(m.board, NULL));
    dsdt = find_dsdt(&m, board_place_tables(m.board));
    assert_int_equal(occurrences(dsdt, "ACPI0007", 8), 5);
    assert_int_equal(occurrences(dsdt, "\x41\xD0\x05\x01", 4), 1);
    assert_int_equal(occurrences(dsdt, "\x47\x01\xF8\x03\xF8\x03\x01\x08\x22\x10\x00\x79", 12), 1);
    assert_int_equal(occurrences(dsdt, "_S5_", 4), 1);
    assert_int_equal(occurrences(dsdt, "_S3_", 4), 0);
    assert_int_equal(occurrences(dsdt, "QEMU0002", 8), 1);
    machine_stop(&m);
}

static bool
dsdt_has(const uint8_t *dsdt, const void *bytes, size_t length)
{
    return memmem(dsdt, field(dsdt, 4, 4), bytes, length) != NULL;
}

static void
test_dsdt_lets_slots_be_filled_and_emptied_and_gives_their_event(void **state)
{
    static const char last_slot[] = "SF8_\x08_SUN\x0A\x1F\x08_ADR\x0C\0\0\x1F";
    static const char event[] = "_GPE\x14";
    const uint8_t *dsdt;
    Machine m;
    (void)state;

    start(&m, 1);
    dsdt = find_dsdt(&m, board_place_tables(m.board));
    assert_true(dsdt_has(dsdt, last_slot, sizeof(last_slot) - 1));
    assert_true(dsdt_has(dsdt, event, sizeof(event) - 1));
    assert_true(dsdt_has(dsdt, "_E01", 4));
    assert_false(dsdt_has(dsdt, "S00_", 4)); /* the host bridge stays */
    assert_false(dsdt_has(dsdt, "S08_", 4));
    machine_stop(&m);
}

static void
test_isa_devices_with_impossible_resources_are_refused(void **state)
{
    static const BoardIsaDevice bad[] = {
        {.hid = NULL, .irq = -1, .dma = -1},
        {.hid = "PNP", .irq = -1, .dma = -1},
        {.hid = "PNP050100", .irq = -1, .dma = -1},
        {.hid = ADD_DEVICE_HID, .irq = 16, .dma = -1},
        {.hid = ADD_DEVICE_HID, .irq = 2, .dma = -1},
        {.hid = ADD_DEVICE_HID, .irq = -1, .dma = 4},
        {.hid = ADD_DEVICE_HID, .irq = -1, .dma = 8},
        {.hid = ADD_DEVICE_HID, .io = {{0xFFFF, 2}}, .irq = -1, .dma = -1},
    };
    MachineArgs args = {0};
    Machine m;
    (void)state;

    machine_make(&m, &args);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(board_add_isa_device(m.board, &bad[i], &error));
        assert_non_null(error);
    }
    machine_stop(&m);
}

/* GSI of a slot's pin as the _PRT has it, or 0. */
static unsigned
prt_gsi(const uint8_t *dsdt, unsigned slot, unsigned pin)
{
    g_autoptr(GByteArray) start_of_entry = g_byte_array_new();

    aml_integer(start_of_entry, slot << 16 | 0xFFFF);
    aml_integer(start_of_entry, pin);
    aml_integer(start_of_entry, 0);
    for (size_t i = 0; i + 32 < field(dsdt, 4, 4); i++) {
        if (dsdt[i] == 0x12 && dsdt[i + 2] == 4 &&
            memcmp(dsdt + i + 3, start_of_entry->data, start_of_entry->len) == 0 &&
            dsdt[i + 3 + start_of_entry->len] == 0x0A) {
            return dsdt[i + 4 + start_of_entry->len];
        }
    }
    return 0;
}

static void
test_prt_agrees_with_the_wiring_of_the_board(void **state)
{
    MachineArgs args = {0};
    Machine m;
    PciFunctionArgs card = {.name = "card",
                            .devfn = PCI_DEVFN(5, 0),
                            .vendor_id = 0x1234,
                            .device_id = 1,
                            .interrupt_pin = 3};
    PciFunction *function;
    const uint8_t *dsdt;
    unsigned gsi;
    (void)state;

    machine_make(&m, &args);
    function = pci_function_new(board_pci(m.board), &card, NULL);
    assert_non_null(function);
    assert_true(board_finalize(m.board, NULL));
    board_reset(m.board);
    dsdt = find_dsdt(&m, board_place_tables(m.board));
    board_setup_direct_boot(m.board);
    gsi = prt_gsi(dsdt, 5, 2);
    assert_in_range(gsi, 10, 11);
    assert_int_equal(machine_config_read(&m, PCI_DEVFN(5, 0), 0x3C, 1), gsi);
    pci_function_set_intx(function, true);
    assert_true(irq_lines_level(m.parts.irqs, gsi));
    pci_function_set_intx(function, false);
    assert_false(irq_lines_level(m.parts.irqs, gsi));
    assert_int_equal(prt_gsi(dsdt, 5, 0), 0);  /* pins nobody uses cost time to read */
    assert_int_equal(prt_gsi(dsdt, 1, 0), 9);  /* power management: SCI */
    assert_int_equal(prt_gsi(dsdt, 2, 0), 10); /* empty slots: a card may come */
    assert_int_equal(prt_gsi(dsdt, 3, 0), 11);
    assert_int_equal(prt_gsi(dsdt, 4, 0), 11);
    assert_int_equal(prt_gsi(dsdt, 31, 0), 11);
    pci_function_free(function);
    machine_stop(&m);
}

static void
test_board_without_acpi_has_no_tables(void **state)
{
    MachineArgs args = {.no_acpi = true};
    Machine m;
    (void)state;

    machine_start(&m, &args);
    assert_int_equal(board_place_tables(m.board), 0);
    assert_int_equal(machine_find(&m, "RSD PTR ", 0xE0000, 0x100000), 0);
    assert_false(machine_has_fw_cfg_file(&m, ACPI_FILE_TABLES));
    machine_stop(&m);
}

static void
test_tables_of_the_largest_machine_fit(void **state)
{
    Machine m;
    (void)state;

    start(&m, 255);
    assert_int_not_equal(board_place_tables(m.board), 0);
    assert_int_not_equal(machine_find(&m, "_SM_", 0xF0000, 0x100000), 0);
    assert_int_not_equal(machine_find(&m, "_MP_", 0xF0000, 0x100000), 0);
    machine_stop(&m);
}

static void
test_aml_lengths_are_right_at_every_boundary(void **state)
{
    static const struct {
        size_t contents;
        unsigned bytes;
    } cases[] = {{0, 1}, {62, 1}, {63, 2}, {4093, 2}, {4094, 3}, {1048572, 3}, {1048573, 4}};
    (void)state;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) aml = g_byte_array_new();
        uint32_t length;
        g_byte_array_append(aml, (const guint8 *)"\x12", 1);
        g_byte_array_set_size(aml, 1 + (guint)cases[i].contents);
        aml_close(aml, 1);
        assert_int_equal(aml->len, 1 + cases[i].bytes + cases[i].contents);
        assert_int_equal(aml->data[1] >> 6, cases[i].bytes - 1);
        length = cases[i].bytes == 1 ? aml->data[1] : aml->data[1] & 0x0F;
        for (unsigned b = 1; b < cases[i].bytes; b++) {
            length |= (uint32_t)aml->data[1 + b] << (4 + 8 * (b - 1));
        }
        assert_int_equal(length, aml->len - 1);
    }
}

static void
test_hardware_ids_are_packed_as_eisa_ids(void **state)
{
    g_autoptr(GByteArray) aml = g_byte_array_new();
    (void)state;

    aml_hardware_id(aml, "PNP0A03");
    assert_memory_equal(aml->data, "\x0C\x41\xD0\x0A\x03", 5);
    g_byte_array_set_size(aml, 0);
    aml_hardware_id(aml, "ACPI0007");
    assert_memory_equal(aml->data,
                        "\x0D"
                        "ACPI0007",
                        10);
}

/* The reference disassembler, where it is installed, has nothing to complain about. */
static void
test_iasl_disassembles_the_dsdt_without_a_warning(void **state)
{
    g_autofree char *iasl = g_find_program_in_path("iasl");
    g_autofree char *folder = NULL, *aml = NULL, *dsl = NULL, *out = NULL, *err = NULL,
                    *text = NULL;
    Machine m;
    const uint8_t *dsdt;
    int status = -1;
    (void)state;

    if (iasl == NULL) {
        print_message("# no iasl (package acpica-tools)\n");
        skip();
    }
    start(&m, 3);
    dsdt = find_dsdt(&m, board_place_tables(m.board));
    folder = g_dir_make_tmp("backplane-acpi-XXXXXX", NULL);
    aml = g_build_filename(folder, "dsdt.aml", NULL);
    dsl = g_build_filename(folder, "dsdt.dsl", NULL);
    assert_true(g_file_set_contents(aml, (const char *)dsdt, (gssize)field(dsdt, 4, 4), NULL));
    char *argv[] = {iasl, (char[]){"-d"}, aml, NULL};
    assert_true(
        g_spawn_sync(folder, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, NULL));
    assert_int_equal(status, 0);
    assert_null(strcasestr(out, "warning"));
    assert_null(strcasestr(err, "warning"));
    assert_null(strcasestr(err, "error"));
    assert_true(g_file_get_contents(dsl, &text, NULL, NULL));
    assert_null(strcasestr(text, "warning"));
    assert_non_null(strstr(text, "Device (PCI0)"));
    assert_non_null(strstr(text, "EisaId (\"PNP0A03\")"));
    assert_non_null(strstr(text, "Device (C002)"));
    (void)g_unlink(aml);
    (void)g_unlink(dsl);
    (void)g_rmdir(folder);
    machine_stop(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct_boot_has_every_table_linked_and_summed),
        cmocka_unit_test(test_placing_again_gives_the_same),
        cmocka_unit_test(test_fadt_says_what_the_power_chip_does),
        cmocka_unit_test(test_reset_register_of_the_fadt_resets),
        cmocka_unit_test(test_madt_lists_every_processor_and_the_wiring),
        cmocka_unit_test(test_table_loader_gives_valid_tables_wherever_firmware_puts_them),
        cmocka_unit_test(test_bad_loader_scripts_are_refused),
        cmocka_unit_test(test_dsdt_names_processors_and_added_devices_and_no_s3),
        cmocka_unit_test(test_dsdt_lets_slots_be_filled_and_emptied_and_gives_their_event),
        cmocka_unit_test(test_isa_devices_with_impossible_resources_are_refused),
        cmocka_unit_test(test_prt_agrees_with_the_wiring_of_the_board),
        cmocka_unit_test(test_board_without_acpi_has_no_tables),
        cmocka_unit_test(test_tables_of_the_largest_machine_fit),
        cmocka_unit_test(test_aml_lengths_are_right_at_every_boundary),
        cmocka_unit_test(test_hardware_ids_are_packed_as_eisa_ids),
        cmocka_unit_test(test_iasl_disassembles_the_dsdt_without_a_warning),
    };

    return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
