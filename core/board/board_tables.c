/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI, SMBIOS, MP and memory-map tables: built once, given to firmware as fw_cfg files, or placed
 * into E0000h-FFFFFh by a direct boot (reserved in the memory map such a guest gets). */
#include "board/board_private.h"

#include "board/blob.h"
#include "board/mptable.h"
#include "board/table_loader.h"
#include "boot/boot.h"

enum {
    AREA_START = 0xE0000,
    AREA_SPLIT = 0xF0000, /* anchors are searched from here on */
    AREA_END = 0x100000,
    ANCHOR_ALIGNMENT = 16,
    E820_MAX = 16,
    CLASS_DISPLAY = 0x03,
    REGISTER_BASE_CLASS = 0x0B,
};

/* --- Building -------------------------------------------------------------------------------- */

static void
note_display(PciFunction *function, void *opaque)
{
    bool *found = opaque;

    if (pci_function_peek(function, REGISTER_BASE_CLASS, 1) == CLASS_DISPLAY) {
        *found = true;
    }
}

static bool
add_blob(Board *board, const char *name, const GByteArray *blob, GError **error)
{
    return fw_cfg_add_file(board->fw_cfg, name, blob->data, blob->len, error);
}

static bool
build_acpi(Board *board, GError **error)
{
    g_autoptr(GArray) routes = pci_routes_new(board->pci, true);
    AcpiArgs args = {.cpus = board->cpus,
                     .pci_memory_start = board_pci_memory_start(board),
                     .routes = routes,
                     .isa_devices = board->isa_devices,
                     .hotplug = board->hotplug != NULL};

    pci_bus_foreach(board->pci, note_display, &args.display);
    acpi_tables_build(&board->acpi, &args);
    return add_blob(board, ACPI_FILE_TABLES, board->acpi.tables, error) &&
           add_blob(board, ACPI_FILE_RSDP, board->acpi.rsdp, error) &&
           add_blob(board, ACPI_FILE_LOADER, board->acpi.loader, error);
}

bool
board_build_smbios(Board *board, const BoardIdentity *identity, GError **error)
{
    SmbiosRange ranges[8];
    unsigned count = 0;
    const RamRange *ram = guest_memory_ranges(board->bus.memory, &count);
    SmbiosArgs args = {.identity = identity,
                       .uuid = board->uuid,
                       .cpus = board->cpus,
                       .ram_bytes = guest_memory_size(board->bus.memory),
                       .ram = ranges,
                       .ram_count = (unsigned)MIN(count, G_N_ELEMENTS(ranges))};

    for (unsigned i = 0; i < args.ram_count; i++) {
        ranges[i] = (SmbiosRange){.start = ram[i].gpa, .end = ram[i].gpa + ram[i].length};
    }
    return smbios_build(&board->smbios, &args, error) &&
           add_blob(board, SMBIOS_FILE_TABLES, board->smbios.tables, error) &&
           add_blob(board, SMBIOS_FILE_ANCHOR, board->smbios.anchor, error);
}

/* etc/e820: {start, length, type} of 20 bytes each. */
static bool
add_e820(Board *board, GError **error)
{
    g_autoptr(GByteArray) blob = g_byte_array_new();
    E820Entry entries[E820_MAX];
    unsigned count = boot_e820(board->bus.memory, false, entries, G_N_ELEMENTS(entries));

    for (unsigned i = 0; i < count; i++) {
        blob_u64(blob, entries[i].start);
        blob_u64(blob, entries[i].length);
        blob_u32(blob, entries[i].type);
    }
    return add_blob(board, "etc/e820", blob, error);
}

bool
board_build_tables(Board *board, GError **error)
{
    g_autoptr(GArray) routes = pci_routes_new(board->pci, false);

    board->mp_config = mptable_config_new(board->cpus, routes);
    if (board->power != NULL && !build_acpi(board, error)) {
        return false;
    }
    return add_e820(board, error);
}

void
board_free_tables(Board *board)
{
    acpi_tables_done(&board->acpi);
    smbios_done(&board->smbios);
    blob_clear(&board->mp_config);
}

/* --- Placing --------------------------------------------------------------------------------- */

typedef struct {
    uint8_t *memory; /* AREA_START .. AREA_END */
    TableArea high, f_segment;
} Placement;

/* Returns where, 0: no room. */
static uint64_t
place(Placement *placement, TableArea *area, const GByteArray *blob)
{
    uint64_t gpa = table_area_take(area, blob->len, ANCHOR_ALIGNMENT);

    if (gpa != 0) {
        memcpy(placement->memory + (gpa - AREA_START), blob->data, blob->len);
    }
    return gpa;
}

static GByteArray *
copy_blob(const GByteArray *blob)
{
    GByteArray *copy = g_byte_array_new();

    blob_bytes(copy, blob->data, blob->len);
    return copy;
}

static uint64_t
place_acpi(Board *board, Placement *placement)
{
    g_autoptr(GByteArray) rsdp = copy_blob(board->acpi.rsdp);
    g_autoptr(GByteArray) tables = copy_blob(board->acpi.tables);
    TableFile files[] = {{.name = ACPI_FILE_RSDP, .data = rsdp},
                         {.name = ACPI_FILE_TABLES, .data = tables}};

    if (!table_loader_run(board->acpi.loader, files, G_N_ELEMENTS(files), &placement->high,
                          &placement->f_segment)) {
        return 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        memcpy(placement->memory + (files[i].gpa - AREA_START), files[i].data->data,
               files[i].data->len);
    }
    return files[0].gpa;
}

static void
place_smbios(Board *board, Placement *placement)
{
    g_autoptr(GByteArray) anchor = copy_blob(board->smbios.anchor);
    uint64_t tables = place(placement, &placement->high, board->smbios.tables);

    if (tables != 0) {
        smbios_anchor_locate(anchor, (uint32_t)tables);
        (void)place(placement, &placement->f_segment, anchor);
    }
}

static void
place_mptable(Board *board, Placement *placement)
{
    uint64_t config = place(placement, &placement->high, board->mp_config);

    if (config != 0) {
        g_autoptr(GByteArray) floating = mptable_floating_new((uint32_t)config);
        (void)place(placement, &placement->f_segment, floating);
    }
}

uint64_t
board_place_tables(Board *board)
{
    Placement placement = {
        .memory = guest_memory_translate(board->bus.memory, AREA_START, AREA_END - AREA_START),
        .high = {.next = AREA_START, .end = AREA_SPLIT},
        .f_segment = {.next = AREA_SPLIT, .end = AREA_END},
    };
    uint64_t rsdp = 0;

    if (placement.memory == NULL || board->mp_config == NULL) {
        return 0;
    }
    if (board->acpi.loader != NULL) {
        rsdp = place_acpi(board, &placement);
    }
    /* The MP table is for guests that were told not to use ACPI, too (acpi=off). */
    place_mptable(board, &placement);
    place_smbios(board, &placement);
    return rsdp;
}
