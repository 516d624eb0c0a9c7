/* SPDX-License-Identifier: Apache-2.0 */
/* MP tables, walked as an operating system does. */
#include "board_machine.h"

#include "board/mptable.h"

enum {
    PROCESSOR,
    BUS,
    IOAPIC,
    IO_INTERRUPT,
    LOCAL_INTERRUPT,
    KINDS,
};

typedef struct {
    unsigned count[KINDS];
    unsigned boot_processors;
    unsigned apic_ids; /* bits, of the first 32 */
    char buses[2][7];
    uint8_t ioapic;
    uint8_t isa_pin[16];    /* FFh: no entry */
    uint8_t pci_pin[32][4]; /* 0: no entry */
    uint8_t pci_flags;
    uint8_t lint[2]; /* interrupt types */
} Parsed;

static void
note_interrupt(Parsed *parsed, const uint8_t *e)
{
    const char *bus = e[4] < 2 ? parsed->buses[e[4]] : "";

    assert_int_equal(e[6], parsed->ioapic);
    if (strcmp(bus, "ISA   ") == 0) {
        parsed->isa_pin[e[5] & 15] = e[7];
    } else {
        assert_string_equal(bus, "PCI   ");
        parsed->pci_pin[e[5] >> 2 & 31][e[5] & 3] = e[7];
        parsed->pci_flags = e[2];
    }
}

static void
parse(const uint8_t *table, Parsed *parsed)
{
    static const uint8_t sizes[KINDS] = {20, 8, 8, 8, 8};
    const uint8_t *e = table + 44;
    uint64_t entries = field(table, 34, 2);

    memset(parsed, 0, sizeof(*parsed));
    memset(parsed->isa_pin, 0xFF, sizeof(parsed->isa_pin));
    assert_memory_equal(table, "PCMP", 4);
    assert_int_equal(table[6], 4);
    assert_int_equal(sum_of(table, field(table, 4, 2)), 0);
    assert_int_equal(field(table, 36, 4), 0xFEE00000);
    for (; entries > 0; entries--, e += sizes[e[0]]) {
        assert_in_range(e[0], 0, KINDS - 1);
        parsed->count[e[0]]++;
        if (e[0] == PROCESSOR) {
            parsed->apic_ids |= 1u << (e[1] & 31);
            parsed->boot_processors += (e[3] & 2) != 0 ? 1 : 0;
            assert_int_equal(e[3] & 1, 1);
        } else if (e[0] == BUS) {
            assert_in_range(e[1], 0, 1);
            memcpy(parsed->buses[e[1]], e + 2, 6);
        } else if (e[0] == IOAPIC) {
            parsed->ioapic = e[1];
            assert_int_equal(field(e, 4, 4), 0xFEC00000);
        } else if (e[0] == IO_INTERRUPT) {
            note_interrupt(parsed, e);
        } else {
            assert_in_range(e[7], 0, 1);
            parsed->lint[e[7]] = e[1];
        }
    }
    assert_ptr_equal(e, table + field(table, 4, 2));
}

static void
test_processors_from_1_to_16_are_listed(void **state)
{
    g_autoptr(GArray) routes = g_array_new(FALSE, FALSE, sizeof(PciRoute));
    (void)state;

    for (unsigned cpus = 1; cpus <= 16; cpus++) {
        g_autoptr(GByteArray) table = mptable_config_new(cpus, routes);
        Parsed parsed;
        parse(table->data, &parsed);
        assert_int_equal(parsed.count[PROCESSOR], cpus);
        assert_int_equal(parsed.apic_ids, (1u << cpus) - 1);
        assert_int_equal(parsed.boot_processors, 1);
        assert_int_equal(parsed.count[IOAPIC], 1);
        assert_int_equal(parsed.ioapic, cpus); /* an id of its own */
        assert_int_equal(parsed.lint[0], 3);
        assert_int_equal(parsed.lint[1], 1);
    }
}

static void
test_interrupts_follow_the_wiring(void **state)
{
    const PciRoute wires[] = {{.slot = 3, .pin = 0, .gsi = 11},
                              {.slot = 5, .pin = 2, .gsi = 11},
                              {.slot = 2, .pin = 0, .gsi = 10}};
    g_autoptr(GArray) routes = g_array_new(FALSE, FALSE, sizeof(PciRoute));
    g_autoptr(GByteArray) table = NULL;
    Parsed parsed;
    (void)state;

    g_array_append_vals(routes, wires, 3);
    table = mptable_config_new(2, routes);
    parse(table->data, &parsed);
    assert_int_equal(parsed.pci_pin[3][0], 11);
    assert_int_equal(parsed.pci_pin[5][2], 11);
    assert_int_equal(parsed.pci_pin[2][0], 10);
    assert_int_equal(parsed.pci_flags, 0x0D); /* level, active high */
    assert_int_equal(parsed.isa_pin[0], 2);
    assert_int_equal(parsed.isa_pin[1], 1);
    assert_int_equal(parsed.isa_pin[2], 0xFF);
    assert_int_equal(parsed.isa_pin[10], 0xFF);
    assert_int_equal(parsed.isa_pin[11], 0xFF);
    assert_int_equal(parsed.isa_pin[15], 15);
    assert_int_equal(parsed.count[IO_INTERRUPT], 3 + 13);
}

static void
test_direct_boot_finds_the_table_with_and_without_acpi(void **state)
{
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        MachineArgs args = {.cpus = 2, .no_acpi = i == 1};
        Machine m;
        Parsed parsed;
        uint64_t gpa;
        const uint8_t *floating;
        machine_start(&m, &args);
        (void)board_place_tables(m.board);
        gpa = machine_find(&m, "_MP_", 0xF0000, 0x100000);
        assert_int_not_equal(gpa, 0);
        floating = machine_at(&m, gpa, 16);
        assert_int_equal(sum_of(floating, 16), 0);
        assert_int_equal(floating[8], 1);
        assert_int_equal(floating[9], 4);
        assert_int_equal(floating[11], 0);
        parse(machine_at(&m, field(floating, 4, 4), 0x1000), &parsed);
        assert_int_equal(parsed.count[PROCESSOR], 2);
        machine_stop(&m);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processors_from_1_to_16_are_listed),
        cmocka_unit_test(test_interrupts_follow_the_wiring),
        cmocka_unit_test(test_direct_boot_finds_the_table_with_and_without_acpi),
    };

    return cmocka_run_group_tests_name("mptable", tests, NULL, NULL);
}
