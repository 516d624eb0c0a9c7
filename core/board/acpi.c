/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables other than the DSDT's contents, and the script that links them. All tables are in one
 * file, the FACS first because of its alignment; the RSDP is a file of its own because it goes to
 * the F segment. Every address is 32 bits: an RSDP of revision 0 with an RSDT. */
#include "board/acpi.h"

#include "board/blob.h"
#include "board/ioapic.h"
#include "board/piix4_pm.h"
#include "board/table_loader.h"

enum {
    HEADER_SIZE = 36,
    HEADER_LENGTH_AT = 4,
    HEADER_CHECKSUM_AT = 9,
    FACS_SIZE = 64,
    FACS_VERSION = 1, /* ACPI 2.0 and later, with X_Firmware_Waking_Vector */
    FADT_REVISION = 3,
    FADT_FACS_AT = 36,
    FADT_DSDT_AT = 40,
    FADT_X_DSDT_AT = 140,
    MADT_REVISION = 1,
    DSDT_REVISION = 1, /* integers of 32 bits */
    RSDP_RSDT_AT = 16,
    RSDP_CHECKSUM_AT = 8,
    RSDP_SIZE = 20,
    TABLE_ALIGNMENT = 8,
    RSDP_ALIGNMENT = 16,
};

enum {
    BOOT_LEGACY_DEVICES = 1 << 0,
    BOOT_8042 = 1 << 1,
    BOOT_NO_VGA = 1 << 2,
    FLAG_WBINVD = 1 << 0,
    FLAG_PROC_C1 = 1 << 2,
    FLAG_NO_SLEEP_BUTTON = 1 << 5,
    FLAG_NO_FIXED_RTC_WAKE = 1 << 6,
    FLAG_RESET_REGISTER = 1 << 10,
    RESET_PORT = 0xCF9,
    RESET_VALUE = 0x06, /* system reset, and start it */
    CENTURY_CELL = 0x32,
    NO_C2 = 0xFFF, /* a latency above 100 us: not supported; above 1000 us for C3 */
    NO_C3 = 0xFFF,
    SPACE_IO = 1,
};

enum {
    MADT_PCAT_COMPAT = 1, /* there are 8259s, too */
    MADT_LOCAL_APIC = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LOCAL_NMI = 4,
    MADT_ENABLED = 1,
    MADT_ALL_PROCESSORS = 0xFF,
    LEVEL_ACTIVE_HIGH = 0x0D,
    WAET_PM_TIMER_GOOD = 1 << 1, /* one read is enough */
};

#define LOCAL_APIC_BASE 0xFEE00000u

/* Appends a header; length and checksum come with finish_table(). Returns the table's offset. */
static guint
start_table(GByteArray *tables, const char *signature, uint8_t revision)
{
    guint start;

    blob_align(tables, TABLE_ALIGNMENT);
    start = tables->len;
    blob_text(tables, signature, 4, ' ');
    blob_u32(tables, 0);
    blob_u8(tables, revision);
    blob_u8(tables, 0);
    blob_text(tables, "BKPLN", 6, ' ');
    blob_text(tables, "BACKPLNE", 8, ' ');
    blob_u32(tables, 1);
    blob_text(tables, "BKPL", 4, ' ');
    blob_u32(tables, 1);
    return start;
}

static void
finish_table(AcpiTables *out, guint start)
{
    uint32_t length = out->tables->len - start;

    blob_put(out->tables, start + HEADER_LENGTH_AT, length, 4);
    table_loader_add_checksum(out->loader, ACPI_FILE_TABLES, start + HEADER_CHECKSUM_AT, start,
                              length);
}

/* A 32- or 64-bit field that will hold the address of something in the tables file. */
static void
point(AcpiTables *out, guint field, uint8_t size, guint target)
{
    blob_put(out->tables, field, target, size);
    table_loader_add_pointer(out->loader, ACPI_FILE_TABLES, field, size, ACPI_FILE_TABLES);
}

static void
append_io_register(GByteArray *tables, uint16_t port, uint8_t bytes)
{
    blob_u8(tables, SPACE_IO);
    blob_u8(tables, (uint8_t)(bytes * 8));
    blob_u8(tables, 0);                  /* bit offset */
    blob_u8(tables, bytes == 1 ? 1 : 0); /* access size: 0 leaves it to the register's width */
    blob_u64(tables, port);
}

static guint
append_facs(GByteArray *tables)
{
    guint start = tables->len;

    blob_text(tables, "FACS", 4, ' ');
    blob_u32(tables, FACS_SIZE);
    blob_zeros(tables, 24); /* signature, waking vectors, global lock, flags */
    blob_u8(tables, FACS_VERSION);
    blob_zeros(tables, start + FACS_SIZE - tables->len);
    return start;
}

/* FADT offsets 44 to 115 (ACPI 5.2.9). */
static void
append_fadt_legacy(GByteArray *tables, const AcpiArgs *args)
{
    blob_u16(tables, 0); /* reserved, profile unspecified */
    blob_u16(tables, PIIX4_PM_SCI_IRQ);
    blob_u32(tables, PIIX4_PM_SMI_CMD);
    blob_u8(tables, PIIX4_PM_ACPI_ENABLE);
    blob_u8(tables, PIIX4_PM_ACPI_DISABLE);
    blob_u16(tables, 0); /* no S4BIOS, no P-state control */
    blob_u32(tables, PIIX4_PM_DEFAULT_BASE + PIIX4_PM_PM1_EVT);
    blob_u32(tables, 0);
    blob_u32(tables, PIIX4_PM_DEFAULT_BASE + PIIX4_PM_PM1_CNT);
    blob_u32(tables, 0);
    blob_u32(tables, 0); /* PM2 */
    blob_u32(tables, PIIX4_PM_DEFAULT_BASE + PIIX4_PM_PM_TMR);
    blob_u32(tables, PIIX4_PM_GPE0_BASE);
    blob_u32(tables, 0);
    blob_u8(tables, 4); /* lengths: PM1_EVT, PM1_CNT, PM2, PM_TMR, GPE0, GPE1 */
    blob_u8(tables, 2);
    blob_u8(tables, 0);
    blob_u8(tables, 4);
    blob_u8(tables, PIIX4_PM_GPE0_SIZE);
    blob_u8(tables, 0);
    blob_u16(tables, 0); /* GPE1 base, _CST */
    blob_u16(tables, NO_C2);
    blob_u16(tables, NO_C3);
    blob_u32(tables, 0); /* WBINVD is there: no flush size, no stride */
    blob_u32(tables, 0); /* no duty cycle, no date alarm, no month alarm */
    blob_u8(tables, CENTURY_CELL);
    blob_u16(tables,
             (uint16_t)(BOOT_LEGACY_DEVICES | BOOT_8042 | (args->display ? 0 : BOOT_NO_VGA)));
    blob_u8(tables, 0);
    blob_u32(tables, FLAG_WBINVD | FLAG_PROC_C1 | FLAG_NO_SLEEP_BUTTON | FLAG_NO_FIXED_RTC_WAKE |
                         FLAG_RESET_REGISTER);
}

static guint
append_fadt(AcpiTables *out, const AcpiArgs *args, guint facs, guint dsdt)
{
    GByteArray *tables = out->tables;
    guint start = start_table(tables, "FACP", FADT_REVISION);

    blob_u64(tables, 0); /* FACS and DSDT */
    append_fadt_legacy(tables, args);
    append_io_register(tables, RESET_PORT, 1);
    blob_u8(tables, RESET_VALUE);
    blob_zeros(tables, 3);
    blob_u64(tables, 0); /* X_FIRMWARE_CTRL: the 32-bit field is used */
    blob_u64(tables, 0); /* X_DSDT */
    append_io_register(tables, PIIX4_PM_DEFAULT_BASE + PIIX4_PM_PM1_EVT, 4);
    blob_zeros(tables, 12);
    append_io_register(tables, PIIX4_PM_DEFAULT_BASE + PIIX4_PM_PM1_CNT, 2);
    blob_zeros(tables, 24);
    append_io_register(tables, PIIX4_PM_DEFAULT_BASE + PIIX4_PM_PM_TMR, 4);
    append_io_register(tables, PIIX4_PM_GPE0_BASE, PIIX4_PM_GPE0_SIZE);
    blob_zeros(tables, 12);
    point(out, start + FADT_FACS_AT, 4, facs);
    point(out, start + FADT_DSDT_AT, 4, dsdt);
    point(out, start + FADT_X_DSDT_AT, 8, dsdt);
    finish_table(out, start);
    return start;
}

static void
append_override(GByteArray *tables, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    blob_u8(tables, MADT_OVERRIDE);
    blob_u8(tables, 10);
    blob_u8(tables, 0); /* ISA */
    blob_u8(tables, irq);
    blob_u32(tables, gsi);
    blob_u16(tables, flags);
}

static guint
append_madt(AcpiTables *out, const AcpiArgs *args)
{
    static const uint8_t pci_irqs[] = {5, PIIX4_PM_SCI_IRQ, 10, 11};
    GByteArray *tables = out->tables;
    guint start = start_table(tables, "APIC", MADT_REVISION);

    blob_u32(tables, LOCAL_APIC_BASE);
    blob_u32(tables, MADT_PCAT_COMPAT);
    for (unsigned i = 0; i < args->cpus; i++) {
        blob_u8(tables, MADT_LOCAL_APIC);
        blob_u8(tables, 8);
        blob_u8(tables, (uint8_t)i); /* processor's _UID */
        blob_u8(tables, (uint8_t)i); /* APIC id */
        blob_u32(tables, MADT_ENABLED);
    }
    blob_u8(tables, MADT_IOAPIC);
    blob_u8(tables, 12);
    blob_u8(tables, 0); /* id: what the chip has after reset */
    blob_u8(tables, 0);
    blob_u32(tables, (uint32_t)IOAPIC_BASE);
    blob_u32(tables, 0); /* first GSI */
    append_override(tables, 0, IOAPIC_IRQ0_PIN, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(pci_irqs); i++) {
        append_override(tables, pci_irqs[i], pci_irqs[i], LEVEL_ACTIVE_HIGH);
    }
    blob_u8(tables, MADT_LOCAL_NMI);
    blob_u8(tables, 6);
    blob_u8(tables, MADT_ALL_PROCESSORS);
    blob_u16(tables, 0);
    blob_u8(tables, 1); /* LINT1 */
    finish_table(out, start);
    return start;
}

static guint
append_waet(AcpiTables *out)
{
    guint start = start_table(out->tables, "WAET", 1);

    blob_u32(out->tables, WAET_PM_TIMER_GOOD);
    finish_table(out, start);
    return start;
}

static guint
append_dsdt(AcpiTables *out, const AcpiArgs *args)
{
    guint start = start_table(out->tables, "DSDT", DSDT_REVISION);
    g_autoptr(GByteArray) aml = g_byte_array_new();

    acpi_dsdt_append(aml, args);
    blob_bytes(out->tables, aml->data, aml->len);
    finish_table(out, start);
    return start;
}

static guint
append_rsdt(AcpiTables *out, const guint *targets, unsigned count)
{
    guint start = start_table(out->tables, "RSDT", 1);

    for (unsigned i = 0; i < count; i++) {
        blob_u32(out->tables, 0);
        point(out, start + HEADER_SIZE + 4 * i, 4, targets[i]);
    }
    finish_table(out, start);
    return start;
}

static void
build_rsdp(AcpiTables *out, guint rsdt)
{
    blob_text(out->rsdp, "RSD PTR ", 8, ' ');
    blob_u8(out->rsdp, 0);
    blob_text(out->rsdp, "BKPLN", 6, ' ');
    blob_u8(out->rsdp, 0); /* revision: 1.0, no XSDT */
    blob_u32(out->rsdp, rsdt);
    table_loader_add_pointer(out->loader, ACPI_FILE_RSDP, RSDP_RSDT_AT, 4, ACPI_FILE_TABLES);
    table_loader_add_checksum(out->loader, ACPI_FILE_RSDP, RSDP_CHECKSUM_AT, 0, RSDP_SIZE);
}

void
acpi_tables_build(AcpiTables *tables, const AcpiArgs *args)
{
    guint facs, dsdt, roots[3], rsdt;

    tables->tables = g_byte_array_new();
    tables->rsdp = g_byte_array_new();
    tables->loader = g_byte_array_new();
    table_loader_allocate(tables->loader, ACPI_FILE_RSDP, RSDP_ALIGNMENT, TABLE_ZONE_F_SEGMENT);
    table_loader_allocate(tables->loader, ACPI_FILE_TABLES, FACS_SIZE, TABLE_ZONE_HIGH);
    facs = append_facs(tables->tables);
    dsdt = append_dsdt(tables, args);
    roots[0] = append_fadt(tables, args, facs, dsdt);
    roots[1] = append_madt(tables, args);
    roots[2] = append_waet(tables);
    rsdt = append_rsdt(tables, roots, G_N_ELEMENTS(roots));
    build_rsdp(tables, rsdt);
}

void
acpi_tables_done(AcpiTables *tables)
{
    blob_clear(&tables->tables);
    blob_clear(&tables->rsdp);
    blob_clear(&tables->loader);
}
