/* SPDX-License-Identifier: Apache-2.0 */
/* MP tables. Interrupts: PCI pins at the IOAPIC pin of their IRQ, level; ISA interrupts one to one
 * but for the timer at pin 2; LINT0 takes the 8259's interrupt, LINT1 NMI (MP 1.4, chapter 4). */
#include "board/mptable.h"

#include "board/blob.h"
#include "board/ioapic.h"

#include <stdbool.h>

enum {
    REVISION = 4,
    ENTRY_PROCESSOR = 0,
    ENTRY_BUS = 1,
    ENTRY_IOAPIC = 2,
    ENTRY_IO_INTERRUPT = 3,
    ENTRY_LOCAL_INTERRUPT = 4,
    PROCESSOR_ENABLED = 1,
    PROCESSOR_BOOT = 2,
    LOCAL_APIC_VERSION = 0x14,
    CPU_SIGNATURE = 0x600, /* family 6; who wants to know more asks CPUID */
    CPU_FEATURES = 0x201,  /* FPU, APIC */
    IOAPIC_VERSION = 0x11,
    IOAPIC_ENABLED = 1,
    BUS_PCI = 0, /* a PCI bus has its own number */
    BUS_ISA = 1,
    INTERRUPT_VECTORED = 0,
    INTERRUPT_NMI = 1,
    INTERRUPT_EXTINT = 3,
    FLAGS_OF_BUS = 0,
    FLAGS_LEVEL_HIGH = 0x0D,
    ALL_APICS = 0xFF,
    ISA_IRQS = 16,
    LENGTH_AT = 4,
    CHECKSUM_AT = 7,
    COUNT_AT = 34,
};

static void
append_processors(GByteArray *table, unsigned cpus)
{
    for (unsigned i = 0; i < cpus; i++) {
        blob_u8(table, ENTRY_PROCESSOR);
        blob_u8(table, (uint8_t)i);
        blob_u8(table, LOCAL_APIC_VERSION);
        blob_u8(table, PROCESSOR_ENABLED | (i == 0 ? PROCESSOR_BOOT : 0));
        blob_u32(table, CPU_SIGNATURE);
        blob_u32(table, CPU_FEATURES);
        blob_u64(table, 0);
    }
}

static void
append_bus(GByteArray *table, uint8_t id, const char *type)
{
    blob_u8(table, ENTRY_BUS);
    blob_u8(table, id);
    blob_text(table, type, 6, ' ');
}

static void
append_interrupt(GByteArray *table, uint8_t entry, uint8_t kind, uint16_t flags,
                 const uint8_t source_and_target[4])
{
    blob_u8(table, entry);
    blob_u8(table, kind);
    blob_u16(table, flags);
    blob_bytes(table, source_and_target, 4);
}

/* Returns how many entries. */
static unsigned
append_io_interrupts(GByteArray *table, uint8_t ioapic, const GArray *routes)
{
    bool is_pci[ISA_IRQS] = {0};
    unsigned count = 0;

    for (guint i = 0; i < routes->len; i++) {
        const PciRoute *route = &g_array_index(routes, PciRoute, i);
        const uint8_t wire[4] = {BUS_PCI, (uint8_t)(route->slot << 2 | route->pin), ioapic,
                                 route->gsi};
        append_interrupt(table, ENTRY_IO_INTERRUPT, INTERRUPT_VECTORED, FLAGS_LEVEL_HIGH, wire);
        is_pci[route->gsi % ISA_IRQS] = true;
        count++;
    }
    for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
        const uint8_t wire[4] = {BUS_ISA, (uint8_t)irq, ioapic,
                                 (uint8_t)(irq == 0 ? IOAPIC_IRQ0_PIN : irq)};
        if (irq == 2 || is_pci[irq]) {
            continue; /* the cascade; and lines the PCI entries describe */
        }
        append_interrupt(table, ENTRY_IO_INTERRUPT, INTERRUPT_VECTORED, FLAGS_OF_BUS, wire);
        count++;
    }
    return count;
}

static void
append_local_interrupts(GByteArray *table)
{
    static const uint8_t lint0[4] = {BUS_ISA, 0, ALL_APICS, 0};
    static const uint8_t lint1[4] = {BUS_ISA, 0, ALL_APICS, 1};

    append_interrupt(table, ENTRY_LOCAL_INTERRUPT, INTERRUPT_EXTINT, FLAGS_OF_BUS, lint0);
    append_interrupt(table, ENTRY_LOCAL_INTERRUPT, INTERRUPT_NMI, FLAGS_OF_BUS, lint1);
}

GByteArray *
mptable_config_new(unsigned cpus, const GArray *routes)
{
    GByteArray *table = g_byte_array_new();
    /* MP 1.4 wants ids of APICs to differ; beyond 4 bits' worth of CPUs there is none left. */
    uint8_t ioapic = (uint8_t)(cpus < 0xFF ? cpus : 0);
    unsigned entries;

    blob_text(table, "PCMP", 4, ' ');
    blob_u16(table, 0);
    blob_u8(table, REVISION);
    blob_u8(table, 0);
    blob_text(table, "BKPLN", 8, ' ');
    blob_text(table, "BACKPLANE", 12, ' ');
    blob_u32(table, 0); /* OEM table and its size */
    blob_u16(table, 0);
    blob_u16(table, 0);
    blob_u32(table, 0xFEE00000u);
    blob_u32(table, 0); /* no extended table */
    append_processors(table, cpus);
    append_bus(table, BUS_PCI, "PCI");
    append_bus(table, BUS_ISA, "ISA");
    blob_u8(table, ENTRY_IOAPIC);
    blob_u8(table, ioapic);
    blob_u8(table, IOAPIC_VERSION);
    blob_u8(table, IOAPIC_ENABLED);
    blob_u32(table, (uint32_t)IOAPIC_BASE);
    entries = cpus + 3 + append_io_interrupts(table, ioapic, routes);
    append_local_interrupts(table);
    blob_put(table, COUNT_AT, entries + 2, 2);
    blob_put(table, LENGTH_AT, table->len, 2);
    table->data[CHECKSUM_AT] = blob_checksum(table->data, table->len);
    return table;
}

GByteArray *
mptable_floating_new(uint32_t config_gpa)
{
    GByteArray *floating = g_byte_array_new();

    blob_text(floating, "_MP_", 4, ' ');
    blob_u32(floating, config_gpa);
    blob_u8(floating, MPTABLE_FLOATING_SIZE / 16);
    blob_u8(floating, REVISION);
    blob_u8(floating, 0);
    blob_zeros(floating, 5); /* a configuration table, virtual wire mode */
    floating->data[10] = blob_checksum(floating->data, floating->len);
    return floating;
}
