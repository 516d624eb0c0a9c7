/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI bus: configuration space, BARs, INTx, MSI and MSI-X. */
#include "board_parts.h"

#include "board/msi_memory.h"
#include "bus/pci.h"
#include "bus/pci_rom.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define SLOT         3u
#define DEVFN        PCI_DEVFN(SLOT, 0)
#define BAR_SIZE     0x1000u
#define BAR_ADDRESS  0xE0000000u
#define TABLE_OFFSET 0x800u
#define PBA_OFFSET   0xC00u
#define VECTORS      4u
#define MESSAGE_GPA  0x100000u
#define COMMAND_IO   1u
#define COMMAND_MEM  2u
#define COMMAND_INTX 0x400u

typedef struct {
    Parts parts;
    MsiMemory *msi;
    PciBus *bus;
    bool pirq[4];
    unsigned pirq_changes;
    PciFunction *function;
    /* What the device saw. */
    GMutex lock;
    unsigned writes;
    uint16_t last_offset;
    uint32_t last_value;
    uint16_t command;
    unsigned command_changes;
    uint32_t reg;
} Fixture;

static void
set_pirq(void *opaque, unsigned pirq, bool level)
{
    Fixture *f = opaque;

    f->pirq[pirq] = level;
    f->pirq_changes++;
}

static void
config_written(void *opaque, uint16_t offset, unsigned size, uint32_t value)
{
    Fixture *f = opaque;

    assert_false(g_mutex_trylock(&f->lock)); /* args.lock is held, no lock of the bus is */
    (void)pci_function_peek(f->function, 0, 4);
    f->writes++;
    f->last_offset = offset;
    f->last_value = value;
}

static void
command_changed(void *opaque, uint16_t command)
{
    Fixture *f = opaque;

    f->command = command;
    f->command_changes++;
}

static uint64_t
reg_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((Fixture *)opaque)->reg + offset;
}

static void
reg_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    ((Fixture *)opaque)->reg = (uint32_t)value;
}

static const RegionOps reg_ops = {.read = reg_read, .write = reg_write, .widths = 1 | 2 | 4};

static PciFunctionArgs
function_args(Fixture *f)
{
    return (PciFunctionArgs){
        .name = "probe",
        .devfn = DEVFN,
        .vendor_id = 0x1AF4,
        .device_id = 0x1005,
        .subsystem_vendor_id = 0x1AF4,
        .subsystem_id = 0x0004,
        .revision = 1,
        .base_class = 0xFF,
        .interrupt_pin = 1,
        .bars = {{.size = 0x20, .is_io = true}, {.size = BAR_SIZE}},
        .config_written = config_written,
        .command_changed = command_changed,
        .opaque = f,
        .lock = &f->lock,
    };
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    PciBusArgs bus = {.set_pirq = set_pirq, .opaque = f};
    PciFunctionArgs args = function_args(f);

    parts_init(&f->parts);
    g_mutex_init(&f->lock);
    f->msi = msi_memory_new(&f->parts.bus, f->parts.loop);
    bus.pio = f->parts.bus.pio;
    bus.mmio = f->parts.bus.mmio;
    bus.msi = msi_memory_controller(f->msi);
    f->bus = pci_bus_new(&bus);
    f->function = pci_function_new(f->bus, &args, NULL);
    assert_non_null(f->function);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    pci_bus_free(f->bus);
    msi_memory_free(f->msi);
    g_mutex_clear(&f->lock);
    parts_done(&f->parts);
    g_free(f);
    return 0;
}

static uint32_t
cfg(Fixture *f, unsigned offset, unsigned size)
{
    return pci_bus_config_read(f->bus, 0, DEVFN, (uint16_t)offset, size);
}

static void
cfg_set(Fixture *f, unsigned offset, unsigned size, uint32_t value)
{
    pci_bus_config_write(f->bus, 0, DEVFN, (uint16_t)offset, size, value);
}

static uint64_t
mmio(Fixture *f, uint64_t address, unsigned size)
{
    return address_space_read(f->parts.bus.mmio, address, size);
}

static void
mmio_set(Fixture *f, uint64_t address, unsigned size, uint64_t value)
{
    address_space_write(f->parts.bus.mmio, address, size, value);
}

static uint32_t
ram32(Fixture *f, uint64_t gpa)
{
    uint32_t value;

    memcpy(&value, guest_memory_translate(f->parts.bus.memory, gpa, 4), 4);
    return value;
}

static void
ram32_set(Fixture *f, uint64_t gpa, uint32_t value)
{
    memcpy(guest_memory_translate(f->parts.bus.memory, gpa, 4), &value, 4);
}

static unsigned
find_capability(Fixture *f, uint8_t id)
{
    unsigned at = cfg(f, 0x34, 1);

    while (at != 0 && cfg(f, at, 1) != id) {
        at = cfg(f, at + 1, 1);
    }
    return at;
}

static void
test_header_reads_what_was_declared(void **state)
{
    Fixture *f = *state;

    assert_int_equal(cfg(f, 0x00, 4), 0x10051AF4);
    assert_int_equal(cfg(f, 0x04, 4), 0);
    assert_int_equal(cfg(f, 0x08, 4), 0xFF000001);
    assert_int_equal(cfg(f, 0x0B, 1), 0xFF);
    assert_int_equal(cfg(f, 0x2C, 4), 0x00041AF4);
    assert_int_equal(cfg(f, 0x3C, 2), 0x0100);
    cfg_set(f, 0x00, 4, 0);
    cfg_set(f, 0x2C, 4, 0);
    cfg_set(f, 0x3D, 1, 4);
    assert_int_equal(cfg(f, 0x00, 4), 0x10051AF4);
    assert_int_equal(cfg(f, 0x2C, 4), 0x00041AF4);
    assert_int_equal(cfg(f, 0x3D, 1), 1);
}

static void
test_writable_header_registers_keep_what_is_written(void **state)
{
    Fixture *f = *state;

    cfg_set(f, 0x3C, 1, 0x0B);
    cfg_set(f, 0x0C, 2, 0x4010);
    cfg_set(f, 0x04, 2, 0xFFFF);
    assert_int_equal(cfg(f, 0x3C, 1), 0x0B);
    assert_int_equal(cfg(f, 0x0C, 2), 0x4010);
    assert_int_equal(cfg(f, 0x04, 2), 0x0547);
}

static void
test_absent_functions_and_other_buses_read_all_ones(void **state)
{
    Fixture *f = *state;

    assert_int_equal(pci_bus_config_read(f->bus, 0, PCI_DEVFN(4, 0), 0, 4), UINT32_MAX);
    assert_int_equal(pci_bus_config_read(f->bus, 0, DEVFN + 1, 0, 2), 0xFFFF);
    assert_int_equal(pci_bus_config_read(f->bus, 1, DEVFN, 0, 1), 0xFF);
    pci_bus_config_write(f->bus, 0, PCI_DEVFN(4, 0), 4, 2, 7);
}

static void
test_an_access_at_the_end_of_configuration_space_stays_inside(void **state)
{
    Fixture *f = *state;

    assert_int_equal(cfg(f, 0xFE, 4), 0xFFFF0000);
    cfg_set(f, 0xFE, 4, UINT32_MAX);
    assert_int_equal(cfg(f, 0xFC, 4), 0);
}

static void
test_bars_answer_sizing(void **state)
{
    Fixture *f = *state;

    for (unsigned offset = 0x10; offset < 0x28; offset += 4) {
        cfg_set(f, offset, 4, UINT32_MAX);
    }
    cfg_set(f, 0x30, 4, UINT32_MAX);
    assert_int_equal(cfg(f, 0x10, 4), 0xFFFFFFE1);
    assert_int_equal(cfg(f, 0x14, 4), 0xFFFFF000);
    assert_int_equal(cfg(f, 0x18, 4), 0);
    assert_int_equal(cfg(f, 0x30, 4), 0);
}

static void
test_a_bar_decodes_only_when_command_says_so(void **state)
{
    Fixture *f = *state;

    f->reg = 0x1234;
    assert_non_null(pci_function_map_bar(f->function, 1, 0, BAR_SIZE, &reg_ops, f, &f->lock, NULL));
    assert_non_null(pci_function_map_bar(f->function, 0, 0x10, 0x10, &reg_ops, f, &f->lock, NULL));
    cfg_set(f, 0x10, 4, 0xC000);
    cfg_set(f, 0x14, 4, BAR_ADDRESS);
    assert_int_equal(mmio(f, BAR_ADDRESS, 4), UINT32_MAX);
    assert_true(pci_function_bar_address(f->function, 1) == UINT64_MAX);

    cfg_set(f, 0x04, 2, COMMAND_MEM);
    assert_int_equal(mmio(f, BAR_ADDRESS + 4, 4), 0x1238);
    assert_int_equal(parts_in32(&f->parts, 0xC010), UINT32_MAX);
    assert_true(pci_function_bar_address(f->function, 1) == BAR_ADDRESS);

    cfg_set(f, 0x04, 2, COMMAND_MEM | COMMAND_IO);
    assert_int_equal(parts_in32(&f->parts, 0xC010), 0x1234);
    assert_int_equal(parts_in32(&f->parts, 0xC000), UINT32_MAX);

    cfg_set(f, 0x14, 4, BAR_ADDRESS + BAR_SIZE);
    assert_int_equal(mmio(f, BAR_ADDRESS, 4), UINT32_MAX);
    assert_int_equal(mmio(f, BAR_ADDRESS + BAR_SIZE, 4), 0x1234);
    cfg_set(f, 0x04, 2, 0);
    assert_int_equal(mmio(f, BAR_ADDRESS + BAR_SIZE, 4), UINT32_MAX);
}

static void
test_sizing_a_decoded_bar_unmaps_it_meanwhile(void **state)
{
    Fixture *f = *state;

    assert_non_null(pci_function_map_bar(f->function, 1, 0, BAR_SIZE, &reg_ops, f, &f->lock, NULL));
    cfg_set(f, 0x14, 4, BAR_ADDRESS);
    cfg_set(f, 0x04, 2, COMMAND_MEM);
    cfg_set(f, 0x14, 4, UINT32_MAX);
    assert_true(pci_function_bar_address(f->function, 1) == UINT64_MAX);
    assert_int_equal(mmio(f, 0xFFFFF000, 4), UINT32_MAX);
    cfg_set(f, 0x14, 4, BAR_ADDRESS);
    assert_int_equal(mmio(f, BAR_ADDRESS, 4), 0);
}

static void
test_a_bar_can_be_written_byte_by_byte(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < 4; i++) {
        cfg_set(f, 0x14 + i, 1, BAR_ADDRESS >> (8 * i) & 0xFF);
    }
    cfg_set(f, 0x04, 1, COMMAND_MEM);
    assert_true(pci_function_bar_address(f->function, 1) == BAR_ADDRESS);
}

static void
test_io_bars_beyond_64k_decode_nothing(void **state)
{
    Fixture *f = *state;

    cfg_set(f, 0x04, 2, COMMAND_IO);
    cfg_set(f, 0x10, 4, 0x1C000);
    assert_int_equal(cfg(f, 0x10, 4), 0x1C001);
    assert_true(pci_function_bar_address(f->function, 0) == UINT64_MAX);
    cfg_set(f, 0x10, 4, 0xFFE0);
    assert_true(pci_function_bar_address(f->function, 0) == 0xFFE0);
}

static void
test_64_bit_bars_go_above_4_gib_and_no_further_than_physical_memory(void **state)
{
    Fixture *f = *state;
    PciFunctionArgs args = function_args(f);
    PciFunction *function;

    args.devfn = PCI_DEVFN(5, 0);
    memset(args.bars, 0, sizeof(args.bars));
    args.bars[2] = (PciBarArgs){.size = 0x4000, .is_64bit = true, .prefetchable = true};
    function = pci_function_new(f->bus, &args, NULL);
    assert_non_null(function);
    f->reg = 7;
    assert_non_null(pci_function_map_bar(function, 2, 0, 0x1000, &reg_ops, f, &f->lock, NULL));
    pci_bus_config_write(f->bus, 0, args.devfn, 0x04, 2, COMMAND_MEM);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x18, 4, UINT32_MAX);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x1C, 4, UINT32_MAX);
    assert_int_equal(pci_bus_config_read(f->bus, 0, args.devfn, 0x18, 4), 0xFFFFC00C);
    assert_int_equal(pci_bus_config_read(f->bus, 0, args.devfn, 0x1C, 4), UINT32_MAX);
    assert_true(pci_function_bar_address(function, 2) == UINT64_MAX);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x18, 4, 0x10000000);
    assert_true(pci_function_bar_address(function, 2) == UINT64_MAX);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x1C, 4, 0x80);
    assert_true(pci_function_bar_address(function, 2) == UINT64_C(0x8010000000));
    assert_int_equal(mmio(f, UINT64_C(0x8010000000), 4), 7);
}

static void
test_the_rom_needs_both_enables_and_reads_its_image(void **state)
{
    static const uint8_t image[] = {0x55, 0xAA, 0x04, 0xE9};
    Fixture *f = *state;
    PciFunctionArgs args = function_args(f);

    args.devfn = PCI_DEVFN(5, 0);
    args.rom = image;
    args.rom_length = sizeof(image);
    assert_non_null(pci_function_new(f->bus, &args, NULL));
    pci_bus_config_write(f->bus, 0, args.devfn, 0x30, 4, UINT32_MAX);
    assert_int_equal(pci_bus_config_read(f->bus, 0, args.devfn, 0x30, 4), 0xFFFFF801);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x30, 4, 0xE8000000);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x04, 2, COMMAND_MEM);
    assert_int_equal(mmio(f, 0xE8000000, 4), UINT32_MAX);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x30, 4, 0xE8000001);
    assert_int_equal(mmio(f, 0xE8000000, 4), 0xE904AA55);
    assert_int_equal(mmio(f, 0xE8000002, 4), 0xFFFFE904);
    mmio_set(f, 0xE8000000, 4, 0);
    assert_int_equal(mmio(f, 0xE8000000, 4), 0xE904AA55);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x04, 2, 0);
    assert_int_equal(mmio(f, 0xE8000000, 4), UINT32_MAX);
}

static uint8_t
byte_sum(const uint8_t *data, size_t length)
{
    uint8_t sum = 0;

    while (length-- > 0) {
        sum = (uint8_t)(sum + *data++);
    }
    return sum;
}

/* An image of a ROM for 1AF4:1041 whose bytes add up to 0. */
static void
make_image(uint8_t *image, uint8_t type, uint8_t last)
{
    static const uint8_t data[] = {'P', 'C', 'I', 'R', 0xf4, 0x1a, 0x41, 0x10};

    memset(image, 0, 1024);
    image[0] = 0x55;
    image[1] = 0xaa;
    image[0x18] = 0x40;
    memcpy(image + 0x40, data, sizeof(data));
    image[0x50] = 2;
    image[0x54] = type;
    image[0x55] = last;
    image[6] = (uint8_t)-byte_sum(image, 1024);
}

static void
test_the_images_of_a_rom_take_the_ids_of_their_function(void **state)
{
    uint8_t rom[2048], before[2048];
    size_t cut;

    make_image(rom, 0, 0);
    make_image(rom + 1024, 3, 0x80);
    memcpy(before, rom, sizeof(rom));
    pci_rom_adopt(rom, sizeof(rom), 0x1af4, 0x1000);
    assert_int_equal(rom[0x46] | rom[0x47] << 8, 0x1000);
    assert_int_equal(rom[0x446] | rom[0x447] << 8, 0x1000);
    assert_int_equal(byte_sum(rom, 1024), 0);
    assert_memory_equal(rom + 0x48, before + 0x48, 0x3f0);
    assert_int_equal(rom[0x406], before[0x406]); /* of an EFI image that byte means something */
    pci_rom_adopt(rom, sizeof(rom), 0x1af4, 0x1041);
    assert_memory_equal(rom, before, sizeof(rom));
    for (cut = 0; cut < 0x58; cut++) { /* half an image is none, and nothing behind it is touched */
        pci_rom_adopt(rom, cut, 1, 2);
        assert_memory_equal(rom, before, sizeof(rom));
    }
    rom[0x19] = 0xff; /* the data structure would lie behind the end */
    memcpy(before, rom, sizeof(rom));
    pci_rom_adopt(rom, sizeof(rom), 1, 2);
    assert_memory_equal(rom, before, sizeof(rom));
}

static void
test_a_region_mapped_or_removed_late_follows_the_bar(void **state)
{
    Fixture *f = *state;
    Region *region;

    cfg_set(f, 0x14, 4, BAR_ADDRESS);
    cfg_set(f, 0x04, 2, COMMAND_MEM);
    f->reg = 9;
    region = pci_function_map_bar(f->function, 1, 0x100, 0x10, &reg_ops, f, &f->lock, NULL);
    assert_non_null(region);
    assert_int_equal(mmio(f, BAR_ADDRESS + 0x100, 4), 9);
    pci_function_unmap_bar(f->function, region);
    assert_int_equal(mmio(f, BAR_ADDRESS + 0x100, 4), UINT32_MAX);
    cfg_set(f, 0x14, 4, BAR_ADDRESS + BAR_SIZE);
}

static void
test_nonsense_is_refused_with_a_reason(void **state)
{
    Fixture *f = *state;
    PciFunctionArgs args = function_args(f);
    g_autoptr(GError) taken = NULL;
    g_autoptr(GError) size = NULL;
    g_autoptr(GError) region = NULL;

    assert_null(pci_function_new(f->bus, &args, &taken));
    assert_non_null(strstr(taken->message, "taken by 'probe'"));
    args.devfn = PCI_DEVFN_AUTO;
    args.bars[1].size = 0x1800;
    assert_null(pci_function_new(f->bus, &args, &size));
    assert_non_null(strstr(size->message, "BAR 1"));
    assert_null(pci_function_map_bar(f->function, 1, 0xFF8, 0x10, &reg_ops, f, NULL, &region));
    assert_non_null(strstr(region->message, "does not fit"));
    args = function_args(f);
    args.devfn = 256;
    assert_null(pci_function_new(f->bus, &args, NULL));
    args.devfn = PCI_DEVFN_AUTO;
    args.interrupt_pin = 5;
    assert_null(pci_function_new(f->bus, &args, NULL));
    args.interrupt_pin = 1;
    args.bars[0] = (PciBarArgs){.size = 0x1000, .is_64bit = true};
    assert_null(pci_function_new(f->bus, &args, NULL)); /* BAR 1 is there, too */
    args.bars[0] = (PciBarArgs){.size = 2, .is_io = true};
    assert_null(pci_function_new(f->bus, &args, NULL));
}

static void
test_auto_takes_free_slots_until_the_bus_is_full(void **state)
{
    Fixture *f = *state;
    PciFunctionArgs args = function_args(f);
    g_autoptr(GError) error = NULL;

    args.devfn = PCI_DEVFN_AUTO;
    for (unsigned slot = 0; slot < 32; slot++) {
        if (slot != SLOT) {
            PciFunction *function = pci_function_new(f->bus, &args, NULL);
            assert_non_null(function);
            assert_int_equal(pci_function_devfn(function), PCI_DEVFN(slot, 0));
        }
    }
    assert_null(pci_function_new(f->bus, &args, &error));
    assert_non_null(strstr(error->message, "no slot is free"));
}

static void
test_multifunction_bit_follows_the_slot(void **state)
{
    Fixture *f = *state;
    PciFunctionArgs args = function_args(f);
    PciFunction *second;

    assert_int_equal(cfg(f, 0x0E, 1), 0);
    args.devfn = DEVFN + 2;
    second = pci_function_new(f->bus, &args, NULL);
    assert_int_equal(cfg(f, 0x0E, 1), 0x80);
    assert_int_equal(pci_bus_config_read(f->bus, 0, DEVFN + 2, 0x0E, 1), 0);
    pci_function_free(second);
    assert_int_equal(cfg(f, 0x0E, 1), 0);
}

static void
test_intx_is_rotated_shared_and_can_be_disabled(void **state)
{
    Fixture *f = *state;
    PciFunctionArgs args = function_args(f);
    PciFunction *other;

    args.devfn = PCI_DEVFN(7, 0); /* slots 3 and 7 share PIRQC */
    other = pci_function_new(f->bus, &args, NULL);
    pci_function_set_intx(f->function, true);
    assert_true(f->pirq[2]);
    assert_int_equal(cfg(f, 0x06, 2) & 0x08, 0x08);
    pci_function_set_intx(other, true);
    pci_function_set_intx(f->function, false);
    assert_true(f->pirq[2]);
    assert_int_equal(f->pirq_changes, 1);
    assert_int_equal(cfg(f, 0x06, 2) & 0x08, 0);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x04, 2, COMMAND_INTX);
    assert_false(f->pirq[2]);
    assert_int_equal(pci_bus_config_read(f->bus, 0, args.devfn, 0x06, 2) & 0x08, 0x08);
    pci_bus_config_write(f->bus, 0, args.devfn, 0x04, 2, 0);
    assert_true(f->pirq[2]);
    pci_function_free(other);
    assert_false(f->pirq[2]);
}

static void
test_pirq_rotation_is_what_firmware_expects(void **state)
{
    assert_int_equal(pci_slot_pirq(1, 1), 0);
    assert_int_equal(pci_slot_pirq(2, 1), 1);
    assert_int_equal(pci_slot_pirq(3, 1), 2);
    assert_int_equal(pci_slot_pirq(1, 4), 3);
    assert_int_equal(pci_slot_pirq(5, 1), 0);
}

static void
test_status_errors_clear_when_written_one(void **state)
{
    Fixture *f = *state;

    pci_function_poke(f->function, 0x06, 2, 0xF900);
    cfg_set(f, 0x06, 2, 0x1000);
    assert_int_equal(cfg(f, 0x06, 2), 0xE900);
    cfg_set(f, 0x06, 2, 0xFFFF);
    assert_int_equal(cfg(f, 0x06, 2), 0);
}

static void
test_declared_registers_obey_their_masks_and_reset(void **state)
{
    static const uint8_t value[] = {0x12, 0x34};
    static const uint8_t mask[] = {0x0F, 0x00};
    static const uint8_t clear[] = {0x00, 0x30};
    Fixture *f = *state;

    assert_int_equal(pci_function_set_config(f->function, 0x50, 2, value, mask, clear), 0);
    cfg_set(f, 0x50, 2, 0x10FF);
    assert_int_equal(cfg(f, 0x50, 2), 0x241F);
    assert_int_equal(f->writes, 1);
    assert_int_equal(f->last_offset, 0x50);
    assert_int_equal(f->last_value, 0x10FF);
    pci_function_reset(f->function);
    assert_int_equal(cfg(f, 0x50, 2), 0x3412);
    assert_int_equal(pci_function_set_config(f->function, 0x14, 1, value, mask, NULL), -EINVAL);
    assert_int_equal(pci_function_set_config(f->function, 0xFF, 2, value, mask, NULL), -EINVAL);
    assert_int_equal(pci_function_set_config(f->function, 0x00, 2, value, mask, NULL), -EINVAL);
}

static void
test_command_changes_are_reported_once(void **state)
{
    Fixture *f = *state;

    cfg_set(f, 0x04, 2, 7);
    assert_int_equal(f->command_changes, 1);
    assert_int_equal(f->command, 7);
    cfg_set(f, 0x04, 2, 0x107);
    assert_int_equal(f->command_changes, 1);
    assert_int_equal(pci_function_command(f->function), 0x107);
    pci_function_reset(f->function);
    assert_int_equal(f->command_changes, 2);
    assert_int_equal(f->command, 0);
}

static void
test_capabilities_form_a_list_in_order(void **state)
{
    static const uint8_t data[] = {0xAB, 0xCD};
    static const uint8_t mask[] = {0x00, 0xF0};
    Fixture *f = *state;
    int first, second;

    assert_int_equal(cfg(f, 0x06, 2) & 0x10, 0);
    first = pci_function_add_capability(f->function, 0x09, 0, sizeof(data), data, mask);
    second = pci_function_add_capability(f->function, 0x0A, 0x80, sizeof(data), data, NULL);
    assert_int_equal(first, 0x40);
    assert_int_equal(second, 0x80);
    assert_int_equal(cfg(f, 0x06, 2) & 0x10, 0x10);
    assert_int_equal(cfg(f, 0x34, 1), 0x40);
    assert_int_equal(cfg(f, 0x40, 4), 0xCDAB8009);
    assert_int_equal(cfg(f, 0x80, 4), 0xCDAB000A);
    cfg_set(f, 0x40, 4, 0);
    assert_int_equal(cfg(f, 0x40, 4), 0x0DAB8009);
    assert_int_equal(pci_function_add_capability(f->function, 1, 0x82, 2, data, NULL), -EINVAL);
    assert_int_equal(pci_function_set_config(f->function, 0x42, 1, data, mask, NULL), -EINVAL);
    assert_int_equal(pci_function_add_capability(f->function, 1, 0, 200, data, NULL), -ENOSPC);
    pci_function_reset(f->function);
    assert_int_equal(cfg(f, 0x40, 4), 0xCDAB8009);
    assert_int_equal(cfg(f, 0x34, 1), 0x40);
}

static void
enable_msix(Fixture *f, unsigned control)
{
    assert_int_equal(pci_function_enable_msix(f->function, VECTORS, 1, TABLE_OFFSET, PBA_OFFSET),
                     0);
    cfg_set(f, 0x14, 4, BAR_ADDRESS);
    cfg_set(f, 0x04, 2, COMMAND_MEM);
    cfg_set(f, find_capability(f, 0x11) + 2, 2, control);
}

static uint64_t
entry(unsigned vector)
{
    return BAR_ADDRESS + TABLE_OFFSET + 16 * vector;
}

static void
program_entry(Fixture *f, unsigned vector, uint32_t data)
{
    mmio_set(f, entry(vector), 4, MESSAGE_GPA + 16 * vector);
    mmio_set(f, entry(vector) + 4, 4, 0);
    mmio_set(f, entry(vector) + 8, 4, data);
    mmio_set(f, entry(vector) + 12, 4, 0);
}

static void
test_msix_capability_reads_back(void **state)
{
    Fixture *f = *state;
    unsigned cap;

    enable_msix(f, 0);
    cap = find_capability(f, 0x11);
    assert_int_not_equal(cap, 0);
    assert_int_equal(cfg(f, cap + 2, 2), VECTORS - 1);
    assert_int_equal(cfg(f, cap + 4, 4), TABLE_OFFSET | 1);
    assert_int_equal(cfg(f, cap + 8, 4), PBA_OFFSET | 1);
    cfg_set(f, cap + 2, 2, 0xFFFF);
    cfg_set(f, cap + 4, 4, 0);
    assert_int_equal(cfg(f, cap + 2, 2), 0xC000 | (VECTORS - 1));
    assert_int_equal(cfg(f, cap + 4, 4), TABLE_OFFSET | 1);
    assert_int_equal(pci_function_enable_msix(f->function, 1, 1, 0, 0x100), -EINVAL);
}

static void
test_msix_refuses_tables_that_do_not_fit(void **state)
{
    Fixture *f = *state;

    assert_int_equal(pci_function_enable_msix(f->function, 0, 1, 0, 0x800), -EINVAL);
    assert_int_equal(pci_function_enable_msix(f->function, 2049, 1, 0, 0x800), -EINVAL);
    assert_int_equal(pci_function_enable_msix(f->function, 2, 0, 0, 0x10), -EINVAL);
    assert_int_equal(pci_function_enable_msix(f->function, 2, 7, 0, 0x800), -EINVAL);
    assert_int_equal(pci_function_enable_msix(f->function, 2, 1, 4, 0x800), -EINVAL);
    assert_int_equal(pci_function_enable_msix(f->function, 2, 1, 0xFF0, 0), -EINVAL);
    assert_int_equal(pci_function_enable_msix(f->function, 2, 1, 0, 0x18), -EINVAL);
    assert_int_equal(find_capability(f, 0x11), 0);
}

static void
test_msix_table_is_accessible_by_any_width(void **state)
{
    Fixture *f = *state;

    enable_msix(f, 0x8000);
    assert_int_equal(mmio(f, entry(0) + 12, 4), 1);
    mmio_set(f, entry(1), 8, UINT64_C(0x1122334455667788));
    mmio_set(f, entry(1) + 8, 8, UINT64_C(0xFFFFFFFEAABBCCDD));
    assert_true(mmio(f, entry(1), 8) == UINT64_C(0x1122334455667788));
    assert_int_equal(mmio(f, entry(1) + 8, 4), 0xAABBCCDD);
    assert_int_equal(mmio(f, entry(1) + 12, 4), 0);
    mmio_set(f, entry(1) + 1, 1, 0x99);
    assert_int_equal(mmio(f, entry(1), 2), 0x9988);
    mmio_set(f, entry(1), 4, 0xFFFFFFFF);
    assert_int_equal(mmio(f, entry(1), 4), 0xFFFFFFFC);
}

static void
test_msix_message_is_written_when_fired(void **state)
{
    Fixture *f = *state;

    enable_msix(f, 0x8000);
    program_entry(f, 2, 0xCAFE0002);
    assert_true(pci_function_msix_active(f->function));
    pci_function_fire(f->function, 2);
    assert_int_equal(ram32(f, MESSAGE_GPA + 32), 0xCAFE0002);
    pci_function_fire(f->function, VECTORS); /* beyond: nothing */
}

static void
test_msix_masked_vectors_become_pending_and_are_sent_later(void **state)
{
    Fixture *f = *state;

    enable_msix(f, 0x8000);
    program_entry(f, 3, 0x33);
    mmio_set(f, entry(3) + 12, 4, 1);
    pci_function_fire(f->function, 3);
    assert_int_equal(ram32(f, MESSAGE_GPA + 48), 0);
    assert_int_equal(mmio(f, BAR_ADDRESS + PBA_OFFSET, 4), 1u << 3);
    assert_int_equal(mmio(f, BAR_ADDRESS + PBA_OFFSET, 8), 1u << 3);
    mmio_set(f, BAR_ADDRESS + PBA_OFFSET, 4, 0);
    assert_int_equal(mmio(f, BAR_ADDRESS + PBA_OFFSET, 1), 1u << 3);
    mmio_set(f, entry(3) + 12, 4, 0);
    assert_int_equal(ram32(f, MESSAGE_GPA + 48), 0x33);
    assert_int_equal(mmio(f, BAR_ADDRESS + PBA_OFFSET, 4), 0);
}

static void
test_msix_function_mask_holds_all_vectors(void **state)
{
    Fixture *f = *state;
    unsigned cap;

    enable_msix(f, 0xC000);
    cap = find_capability(f, 0x11);
    program_entry(f, 0, 0x10);
    program_entry(f, 1, 0x11);
    pci_function_fire(f->function, 0);
    pci_function_fire(f->function, 1);
    assert_int_equal(mmio(f, BAR_ADDRESS + PBA_OFFSET, 4), 3);
    cfg_set(f, cap + 2, 2, 0x8000);
    assert_int_equal(ram32(f, MESSAGE_GPA), 0x10);
    assert_int_equal(ram32(f, MESSAGE_GPA + 16), 0x11);
    ram32_set(f, MESSAGE_GPA, 0);
    cfg_set(f, cap + 2, 2, 0xC000);
    cfg_set(f, cap + 2, 2, 0x8000);
    assert_int_equal(ram32(f, MESSAGE_GPA), 0); /* sent once */
}

static void
test_msix_silences_intx_and_off_brings_it_back(void **state)
{
    Fixture *f = *state;
    unsigned cap;

    pci_function_set_intx(f->function, true);
    enable_msix(f, 0x8000);
    cap = find_capability(f, 0x11);
    assert_false(f->pirq[2]);
    cfg_set(f, cap + 2, 2, 0);
    assert_true(f->pirq[2]);
    pci_function_fire(f->function, 0); /* off: nothing happens */
}

static void
test_msix_reset_masks_and_forgets(void **state)
{
    Fixture *f = *state;

    enable_msix(f, 0xC000);
    program_entry(f, 0, 0x10);
    pci_function_fire(f->function, 0);
    pci_function_reset(f->function);
    assert_false(pci_function_msix_active(f->function));
    cfg_set(f, 0x14, 4, BAR_ADDRESS);
    cfg_set(f, 0x04, 2, COMMAND_MEM);
    cfg_set(f, find_capability(f, 0x11) + 2, 2, 0x8000);
    assert_int_equal(mmio(f, entry(0) + 12, 4), 1);
    assert_int_equal(mmio(f, entry(0), 8), 0);
    assert_int_equal(mmio(f, BAR_ADDRESS + PBA_OFFSET, 4), 0);
    program_entry(f, 0, 0x10);
    assert_int_equal(ram32(f, MESSAGE_GPA), 0);
}

static void
test_a_message_outside_ram_reaches_no_device(void **state)
{
    Fixture *f = *state;

    f->reg = 0x55;
    assert_non_null(pci_function_map_bar(f->function, 1, 0, 0x100, &reg_ops, f, &f->lock, NULL));
    enable_msix(f, 0x8000);
    program_entry(f, 0, 0x99);
    mmio_set(f, entry(0), 4, BAR_ADDRESS);
    g_mutex_lock(&f->lock); /* a device fires under its own lock */
    pci_function_fire(f->function, 0);
    g_mutex_unlock(&f->lock);
    assert_int_equal(f->reg, 0x55);
}

static void
test_a_vectors_eventfd_fires_and_survives_masking(void **state)
{
    const uint64_t one = 1;
    Fixture *f = *state;
    int fd;

    enable_msix(f, 0x8000);
    fd = pci_function_vector_eventfd(f->function, 1);
    assert_true(fd >= 0);
    assert_int_equal(pci_function_vector_eventfd(f->function, VECTORS), -EINVAL);
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    assert_int_equal(mmio(f, BAR_ADDRESS + PBA_OFFSET, 4), 2);
    program_entry(f, 1, 0x77);
    assert_int_equal(ram32(f, MESSAGE_GPA + 16), 0x77);
    ram32_set(f, MESSAGE_GPA + 16, 0);
    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
    for (unsigned i = 0; i < 1000 && ram32(f, MESSAGE_GPA + 16) == 0; i++) {
        (void)g_main_context_iteration(NULL, TRUE);
    }
    assert_int_equal(ram32(f, MESSAGE_GPA + 16), 0x77);
    assert_int_equal(pci_function_vector_eventfd(f->function, 1), fd);
}

static void
test_msi_sends_data_with_the_vectors_number(void **state)
{
    Fixture *f = *state;
    unsigned cap;

    assert_int_equal(pci_function_enable_msi(f->function, 3), -EINVAL);
    assert_int_equal(pci_function_enable_msi(f->function, 4), 0);
    cap = find_capability(f, 0x05);
    assert_int_equal(cfg(f, cap + 2, 2), 0x0184);
    cfg_set(f, cap + 4, 4, MESSAGE_GPA);
    cfg_set(f, cap + 12, 2, 0x4143);
    cfg_set(f, cap + 2, 2, 0x0021);
    assert_int_equal(cfg(f, cap + 2, 2), 0x01A5);
    assert_true(pci_function_msi_active(f->function));
    pci_function_fire(f->function, 2);
    assert_int_equal(ram32(f, MESSAGE_GPA), 0x4142);
    cfg_set(f, cap + 2, 2, 0x0001); /* one vector granted: all use it */
    pci_function_fire(f->function, 2);
    assert_int_equal(ram32(f, MESSAGE_GPA), 0x4143);
}

static void
test_msi_per_vector_mask_shows_pending(void **state)
{
    Fixture *f = *state;
    unsigned cap;

    assert_int_equal(pci_function_enable_msi(f->function, 2), 0);
    cap = find_capability(f, 0x05);
    cfg_set(f, cap + 4, 4, MESSAGE_GPA);
    cfg_set(f, cap + 12, 2, 0x20);
    cfg_set(f, cap + 16, 4, UINT32_MAX);
    assert_int_equal(cfg(f, cap + 16, 4), 3);
    cfg_set(f, cap + 2, 2, 0x0011);
    pci_function_fire(f->function, 1);
    assert_int_equal(cfg(f, cap + 20, 4), 2);
    assert_int_equal(ram32(f, MESSAGE_GPA), 0);
    cfg_set(f, cap + 16, 4, 0);
    assert_int_equal(ram32(f, MESSAGE_GPA), 0x21);
    assert_int_equal(cfg(f, cap + 20, 4), 0);
}

typedef struct {
    Fixture *f;
    unsigned seed;
} Storm;

static void *
storm(void *opaque)
{
    Storm *storm = opaque;
    unsigned x = storm->seed;

    for (unsigned i = 0; i < 3000; i++) {
        x = x * 1103515245u + 12345u;
        cfg_set(storm->f, x >> 8 & 0xFC, 4, x);
        (void)cfg(storm->f, x >> 16 & 0xFC, 4);
        (void)mmio(storm->f, BAR_ADDRESS + (x >> 12 & 0xFFC), 4);
        pci_function_set_intx(storm->f->function, (x >> 20 & 1) != 0);
        pci_function_fire(storm->f->function, x >> 24 & 3);
    }
    return NULL;
}

static void
test_several_vcpus_at_once_do_no_harm(void **state)
{
    Fixture *f = *state;
    pthread_t threads[3];
    Storm storms[3];

    enable_msix(f, 0x8000);
    assert_non_null(pci_function_map_bar(f->function, 1, 0, 0x100, &reg_ops, f, &f->lock, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        storms[i] = (Storm){.f = f, .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, storm, &storms[i]), 0);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(f->command, pci_function_command(f->function));
    pci_function_set_intx(f->function, false);
    assert_false(f->pirq[2]);
    pci_function_reset(f->function);
    assert_int_equal(cfg(f, 0x00, 4), 0x10051AF4);
}

int
main(void)
{
#define PCI_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        PCI_TEST(test_header_reads_what_was_declared),
        PCI_TEST(test_writable_header_registers_keep_what_is_written),
        PCI_TEST(test_absent_functions_and_other_buses_read_all_ones),
        PCI_TEST(test_an_access_at_the_end_of_configuration_space_stays_inside),
        PCI_TEST(test_bars_answer_sizing),
        PCI_TEST(test_a_bar_decodes_only_when_command_says_so),
        PCI_TEST(test_sizing_a_decoded_bar_unmaps_it_meanwhile),
        PCI_TEST(test_a_bar_can_be_written_byte_by_byte),
        PCI_TEST(test_io_bars_beyond_64k_decode_nothing),
        PCI_TEST(test_64_bit_bars_go_above_4_gib_and_no_further_than_physical_memory),
        PCI_TEST(test_the_rom_needs_both_enables_and_reads_its_image),
        PCI_TEST(test_the_images_of_a_rom_take_the_ids_of_their_function),
        PCI_TEST(test_a_region_mapped_or_removed_late_follows_the_bar),
        PCI_TEST(test_nonsense_is_refused_with_a_reason),
        PCI_TEST(test_auto_takes_free_slots_until_the_bus_is_full),
        PCI_TEST(test_multifunction_bit_follows_the_slot),
        PCI_TEST(test_intx_is_rotated_shared_and_can_be_disabled),
        PCI_TEST(test_pirq_rotation_is_what_firmware_expects),
        PCI_TEST(test_status_errors_clear_when_written_one),
        PCI_TEST(test_declared_registers_obey_their_masks_and_reset),
        PCI_TEST(test_command_changes_are_reported_once),
        PCI_TEST(test_capabilities_form_a_list_in_order),
        PCI_TEST(test_msix_capability_reads_back),
        PCI_TEST(test_msix_refuses_tables_that_do_not_fit),
        PCI_TEST(test_msix_table_is_accessible_by_any_width),
        PCI_TEST(test_msix_message_is_written_when_fired),
        PCI_TEST(test_msix_masked_vectors_become_pending_and_are_sent_later),
        PCI_TEST(test_msix_function_mask_holds_all_vectors),
        PCI_TEST(test_msix_silences_intx_and_off_brings_it_back),
        PCI_TEST(test_msix_reset_masks_and_forgets),
        PCI_TEST(test_a_message_outside_ram_reaches_no_device),
        PCI_TEST(test_a_vectors_eventfd_fires_and_survives_masking),
        PCI_TEST(test_msi_sends_data_with_the_vectors_number),
        PCI_TEST(test_msi_per_vector_mask_shows_pending),
        PCI_TEST(test_several_vcpus_at_once_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
