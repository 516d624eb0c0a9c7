/* SPDX-License-Identifier: Apache-2.0 */
/* The board: creates the chips, wires them, and is what the rest of the program sees of them. */
#include "board/board.h"

#include "base/error.h"
#include "board/board_cmos.h"
#include "board/board_private.h"
#include "board/boot_order.h"
#include "board/pci_routes.h"
#include "board/pci_setup.h"

#include <string.h>

enum {
    CELL_SHUTDOWN_STATUS = 0x0F,
    SHUTDOWN_RESUME_S3 = 0xFE,
    CELL_BOOT_THIRD = 0x38,
    CELL_BOOT_FIRST = 0x3D,
    CELL_CHECKED_FIRST = 0x10,
    CELL_CHECKED_LAST = 0x2D,
    PORT_ELCR = 0x4D0,
    ISA_BRIDGE_DEVFN = 1 << 3,
    POWER_DEVFN = 1 << 3 | 3,
    REGISTER_PIRQ = 0x60,
    REGISTER_PM_BASE = 0x40,
    REGISTER_PM_ENABLE = 0x80,
    REGISTER_SMBUS_BASE = 0x90,
    REGISTER_SMBUS_ENABLE = 0xD2,
    SMBUS_ENABLE = 0x09, /* host controller on, interrupt by IRQ9 */
    CASCADE_IRQ = 2,
    ISA_IRQS = 16,
};

/* --- Wiring ---------------------------------------------------------------------------------- */

static void
board_set_pirq(void *opaque, unsigned pirq, bool level)
{
    Board *board = opaque;

    if (board->isa_bridge != NULL) {
        piix3_set_pirq(board->isa_bridge, pirq, level);
    }
}

/* A GSI changed, and the interrupt controllers are ours. */
static void
board_set_gsi(void *opaque, unsigned gsi, bool level)
{
    Board *board = opaque;

    if (gsi < ISA_IRQS) {
        i8259_set_irq(board->pic, gsi, level);
    }
    if (gsi != CASCADE_IRQ) {
        ioapic_set_irq(board->ioapic, gsi == 0 ? IOAPIC_IRQ0_PIN : gsi, level);
    }
}

static void
board_extint(void *opaque, bool level)
{
    Board *board = opaque;

    if (board->extint != NULL) {
        board->extint(board->opaque, level);
    }
}

static void
board_keyboard_reset(void *opaque)
{
    Board *board = opaque;

    board->request(board->opaque, BOARD_REQUEST_RESET);
}

/* --- Making ---------------------------------------------------------------------------------- */

static bool
parse_uuid(const char *text, uint8_t uuid[16], GError **error)
{
    unsigned digits = 0;

    if (text == NULL) {
        return true;
    }
    if (!g_uuid_string_is_valid(text)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "'%s' is not a UUID; write it like 12345678-9abc-def0-1234-56789abcdef0", text);
        return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c != '-') {
            uuid[digits / 2] = (uint8_t)(uuid[digits / 2] << 4 | g_ascii_xdigit_value(*c));
            digits++;
        }
    }
    return true;
}

static bool
make_irqchip(Board *board, const BoardArgs *args, GError **error)
{
    static const IrqSink sink = {.set = board_set_gsi};
    I8259Args pic = {
        .pio = args->bus->pio, .irqs = args->irqs, .output = board_extint, .opaque = board};
    IoapicArgs ioapic = {.mmio = args->bus->mmio, .msi = board->msi, .irqs = args->irqs};
    I8254Args pit = {
        .pio = args->bus->pio, .irqs = args->irqs, .loop = args->loop, .clock = args->clock};

    board->pic = i8259_new(&pic, error);
    if (board->pic == NULL) {
        return false;
    }
    board->ioapic = ioapic_new(&ioapic, error);
    if (board->ioapic == NULL) {
        return false;
    }
    irq_lines_set_sink(args->irqs, &sink, board);
    board->pit = i8254_new(&pit, error);
    return board->pit != NULL;
}

static void
board_hotplug_notify(void *opaque)
{
    Board *board = opaque;

    piix4_pm_raise_gpe(board->power, PCI_HOTPLUG_GPE);
}

static void
board_hotplug_ejected(void *opaque, unsigned bus, unsigned slot)
{
    Board *board = opaque;

    board->ejected(board->opaque, slot);
}

static bool
make_hotplug(Board *board, const BoardArgs *args, GError **error)
{
    PciHotplugArgs hotplug = {.pio = args->bus->pio,
                              .notify = board_hotplug_notify,
                              .ejected = board_hotplug_ejected,
                              .opaque = board};

    if (!args->acpi || !args->hotplug) {
        return true;
    }
    board->ejected = args->ejected;
    board->hotplug = pci_hotplug_new(&hotplug, error);
    return board->hotplug != NULL;
}

/* The host bridge and the functions of slot 1 that belong to the board. */
static bool
make_chipset(Board *board, const BoardArgs *args, GError **error)
{
    PciBusArgs pci = {.pio = args->bus->pio,
                      .mmio = args->bus->mmio,
                      .msi = board->msi,
                      .set_pirq = board_set_pirq,
                      .opaque = board};
    Piix3Args isa_bridge = {.bus = &board->bus,
                            .irqs = args->irqs,
                            .pic = board->pic,
                            .request = args->request,
                            .opaque = args->opaque};
    I440fxArgs host_bridge = {.bus = &board->bus};
    Piix4PmArgs power = {.bus = &board->bus,
                         .irqs = args->irqs,
                         .loop = args->loop,
                         .clock = args->clock,
                         .request = args->request,
                         .opaque = args->opaque};

    board->pci = pci_bus_new(&pci);
    isa_bridge.pci = host_bridge.pci = power.pci = board->pci;
    board->isa_bridge = piix3_new(&isa_bridge, error);
    if (board->isa_bridge == NULL) {
        return false;
    }
    host_bridge.isa_bridge = board->isa_bridge;
    board->host_bridge = i440fx_new(&host_bridge, error);
    if (board->host_bridge == NULL) {
        return false;
    }
    for (unsigned i = 0; i < args->pci_bridge_count; i++) {
        if (!pci_bus_add_bridge(board->pci, args->pci_bridges[i], error)) {
            return false;
        }
    }
    if (args->acpi) {
        board->power = piix4_pm_new(&power, error);
        return board->power != NULL;
    }
    return true;
}

static bool
make_isa(Board *board, const BoardArgs *args, GError **error)
{
    I8237Args dma = {.bus = &board->bus};
    Mc146818Args rtc = {.pio = args->bus->pio,
                        .irqs = args->irqs,
                        .loop = args->loop,
                        .clock = args->clock,
                        .source = args->rtc_clock,
                        .base_s = args->rtc_base_s,
                        .offset_s = args->rtc_offset_s};
    I8042Args keyboard = {
        .pio = args->bus->pio, .irqs = args->irqs, .reset = board_keyboard_reset, .opaque = board};

    board->isa_dma = i8237_new(&dma, error);
    if (board->isa_dma == NULL) {
        return false;
    }
    board->rtc = mc146818_new(&rtc, error);
    if (board->rtc == NULL) {
        return false;
    }
    board->keyboard = i8042_new(&keyboard, error);
    if (board->keyboard == NULL) {
        return false;
    }
    board->fw_cfg = fw_cfg_new(&board->bus, error);
    return board->fw_cfg != NULL;
}

/* Numbered fw_cfg items that SeaBIOS reads. */
static void
fill_fw_cfg(Board *board)
{
    g_autofree uint8_t *numa = g_malloc0_n(board->cpus + 1, sizeof(uint64_t));

    fw_cfg_set(board->fw_cfg, FW_CFG_UUID, board->uuid, sizeof(board->uuid));
    fw_cfg_set_int(board->fw_cfg, FW_CFG_RAM_SIZE, guest_memory_size(board->bus.memory), 8);
    /* Which port firmware talks on, if any, is the file etc/sercon-port's to say: a 1 here would
     * force the first serial port. */
    fw_cfg_set_int(board->fw_cfg, FW_CFG_NO_GRAPHIC, 0, 2);
    /* SeaBIOS waits for exactly this many processors. */
    fw_cfg_set_int(board->fw_cfg, FW_CFG_CPU_COUNT, board->cpus, 2);
    fw_cfg_set_int(board->fw_cfg, FW_CFG_MAX_CPUS, board->cpus, 2);
    fw_cfg_set_int(board->fw_cfg, FW_CFG_BOOT_MENU, 0, 2);
    fw_cfg_set_int(board->fw_cfg, FW_CFG_IRQ0_OVERRIDE, 1, 4);
    fw_cfg_set(board->fw_cfg, FW_CFG_NUMA, numa, (board->cpus + 1) * sizeof(uint64_t));
}

static void
isa_device_free(void *data)
{
    BoardIsaDevice *device = data;

    g_free((char *)(uintptr_t)device->hid);
    g_free(device);
}

Board *
board_new(const BoardArgs *args, GError **error)
{
    g_autoptr(Board) board = g_new0(Board, 1);

    board->bus = *args->bus;
    board->irqs = args->irqs;
    board->cpus = args->cpus;
    board->own_irqchip = args->own_irqchip;
    board->request = args->request;
    board->extint = args->extint;
    board->opaque = args->opaque;
    board->isa_devices = g_ptr_array_new_with_free_func(isa_device_free);
    board->msi = args->msi;
    if (board->msi == NULL) {
        board->msi_memory = msi_memory_new(&board->bus, args->loop);
        board->msi = msi_memory_controller(board->msi_memory);
    }
    if (!parse_uuid(args->identity.uuid, board->uuid, error) ||
        (args->own_irqchip && !make_irqchip(board, args, error)) ||
        !make_chipset(board, args, error) || !make_hotplug(board, args, error) ||
        !make_isa(board, args, error)) {
        return NULL;
    }
    fill_fw_cfg(board);
    if (!board_build_smbios(board, &args->identity, error)) {
        return NULL;
    }
    return g_steal_pointer(&board);
}

void
board_free(Board *board)
{
    if (board == NULL) {
        return;
    }
    board_free_tables(board);
    fw_cfg_free(board->fw_cfg);
    i8042_free(board->keyboard);
    mc146818_free(board->rtc);
    i8237_free(board->isa_dma);
    pci_hotplug_free(board->hotplug);
    piix4_pm_free(board->power);
    i440fx_free(board->host_bridge);
    piix3_free(board->isa_bridge);
    board->isa_bridge = NULL; /* the bus may still lower its lines */
    pci_bus_free(board->pci);
    if (board->own_irqchip) {
        irq_lines_set_sink(board->irqs, NULL, NULL);
    }
    i8254_free(board->pit);
    ioapic_free(board->ioapic);
    i8259_free(board->pic);
    msi_memory_free(board->msi_memory);
    g_ptr_array_unref(board->isa_devices);
    g_free(board);
}

void
board_reset(Board *board)
{
    /* Configuration space first: the chips' own state follows their registers. */
    pci_bus_reset(board->pci);
    i440fx_reset(board->host_bridge);
    piix3_reset(board->isa_bridge);
    if (board->power != NULL) {
        piix4_pm_reset(board->power);
    }
    if (board->hotplug != NULL) {
        pci_hotplug_reset(board->hotplug);
    }
    i8237_reset(board->isa_dma);
    mc146818_reset(board->rtc);
    i8042_reset(board->keyboard);
    fw_cfg_reset(board->fw_cfg);
    if (board->own_irqchip) {
        i8259_reset(board->pic);
        ioapic_reset(board->ioapic);
        i8254_reset(board->pit);
    }
}

/* --- Parts ----------------------------------------------------------------------------------- */

PciBus *
board_pci(Board *board)
{
    return board->pci;
}

IsaDma *
board_isa_dma(Board *board)
{
    return board->isa_dma;
}

MsiController *
board_msi(Board *board)
{
    return board->msi;
}

void
board_cmos_set(Board *board, uint8_t cell, uint8_t value)
{
    mc146818_write_cell(board->rtc, cell, value);
    if (cell >= CELL_CHECKED_FIRST && cell <= CELL_CHECKED_LAST) {
        cmos_update_checksum(board->rtc);
    }
}

uint8_t
board_cmos_get(Board *board, uint8_t cell)
{
    return mc146818_read_cell(board->rtc, cell);
}

bool
board_fw_cfg_add_file(Board *board, const char *name, const void *data, size_t length,
                      GError **error)
{
    return fw_cfg_add_file(board->fw_cfg, name, data, length, error);
}

void
board_fw_cfg_set_u16(Board *board, uint16_t key, uint16_t value)
{
    fw_cfg_set_int(board->fw_cfg, key, value, sizeof(value));
}

/* Bits 0-3 of the first belong to devices, which may have set theirs already. */
static void
set_boot_cells(Board *board, uint8_t cell_38, uint8_t cell_3d)
{
    uint8_t flags = board_cmos_get(board, CELL_BOOT_THIRD) & 0x0F;

    board_cmos_set(board, CELL_BOOT_THIRD, (uint8_t)((cell_38 & 0xF0) | flags));
    board_cmos_set(board, CELL_BOOT_FIRST, cell_3d);
}

bool
board_set_boot_order(Board *board, const BoardBootOrder *order, GError **error)
{
    /* Nothing to boot from: say so and stop, rather than look again every minute. */
    const uint32_t never = UINT32_MAX;
    uint16_t wait_ms = GUINT16_TO_LE((uint16_t)MIN(order->menu_wait_ms, (uint32_t)UINT16_MAX));
    uint8_t cell_38, cell_3d;
    g_autofree char *text = boot_order_text(order, error);

    if (text == NULL) {
        return false;
    }
    boot_order_cmos(order, &cell_38, &cell_3d);
    set_boot_cells(board, cell_38, cell_3d);
    board_fw_cfg_set_u16(board, FW_CFG_BOOT_MENU, order->menu ? 1 : 0);
    if (text[0] != '\0' &&
        !board_fw_cfg_add_file(board, "bootorder", text, strlen(text) + 1, error)) {
        return false;
    }
    if (!board_fw_cfg_add_file(board, "etc/boot-fail-wait", &never, sizeof(never), error)) {
        return false;
    }
    return wait_ms == 0 ||
           board_fw_cfg_add_file(board, "etc/boot-menu-wait", &wait_ms, sizeof(wait_ms), error);
}

bool
board_add_isa_device(Board *board, const BoardIsaDevice *device, GError **error)
{
    size_t length = device->hid != NULL ? strlen(device->hid) : 0;
    bool good = length >= 7 && length <= 8 && device->irq < ISA_IRQS &&
                device->irq != CASCADE_IRQ && device->dma < 8 && device->dma != 4;
    BoardIsaDevice *copy;

    for (unsigned i = 0; i < BOARD_ISA_IO_MAX; i++) {
        good = good && device->io[i].base + device->io[i].length <= 0x10000;
    }
    if (!good) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "ISA device '%s': an id has 7 or 8 characters, IRQ is 0 to 15 but not 2, DMA "
                    "0 to 7 but not 4, ports end at FFFFh",
                    device->hid != NULL ? device->hid : "");
        return false;
    }
    copy = g_memdup2(device, sizeof(*device));
    copy->hid = g_strdup(device->hid);
    g_ptr_array_add(board->isa_devices, copy);
    return true;
}

/* --- Life ------------------------------------------------------------------------------------ */

bool
board_finalize(Board *board, GError **error)
{
    cmos_fill(board->rtc, board->bus.memory, board->cpus);
    if (board_cmos_get(board, CELL_BOOT_FIRST) == 0) {
        const BoardBootOrder usual = {0};
        uint8_t cell_38, cell_3d;
        boot_order_cmos(&usual, &cell_38, &cell_3d);
        set_boot_cells(board, cell_38, cell_3d);
    }
    return board_build_tables(board, error);
}

void
board_setup_direct_boot(Board *board)
{
    i440fx_open_shadow(board->host_bridge);
    for (unsigned i = 0; i < G_N_ELEMENTS(pci_pirq_irqs); i++) {
        pci_bus_config_write(board->pci, 0, ISA_BRIDGE_DEVFN, (uint16_t)(REGISTER_PIRQ + i), 1,
                             pci_pirq_irqs[i]);
    }
    address_space_write(board->bus.pio, PORT_ELCR, 1, BOARD_DIRECT_BOOT_ELCR & 0xFF);
    address_space_write(board->bus.pio, PORT_ELCR + 1, 1, BOARD_DIRECT_BOOT_ELCR >> 8);
    if (board->power != NULL) {
        pci_bus_config_write(board->pci, 0, POWER_DEVFN, REGISTER_PM_BASE, 4,
                             PIIX4_PM_DEFAULT_BASE | 1);
        pci_bus_config_write(board->pci, 0, POWER_DEVFN, REGISTER_PM_ENABLE, 1, 1);
        pci_bus_config_write(board->pci, 0, POWER_DEVFN, REGISTER_SMBUS_BASE, 4,
                             PIIX4_PM_DEFAULT_SMBASE | 1);
        pci_bus_config_write(board->pci, 0, POWER_DEVFN, REGISTER_SMBUS_ENABLE, 1, SMBUS_ENABLE);
    }
    pci_setup(board->pci, board_pci_memory_start(board), (uint32_t)IOAPIC_BASE);
}

bool
board_can_hotplug(const Board *board, unsigned slot)
{
    return board->hotplug != NULL && slot >= PCI_HOTPLUG_FIRST_SLOT && slot < PCI_HOTPLUG_SLOTS;
}

void
board_plugged(Board *board, unsigned slot)
{
    if (board_can_hotplug(board, slot)) {
        pci_hotplug_plugged(board->hotplug, 0, slot);
    }
}

void
board_unplug_request(Board *board, unsigned slot)
{
    if (board_can_hotplug(board, slot)) {
        pci_hotplug_request(board->hotplug, 0, slot);
    }
}

void
board_unplugged(Board *board, unsigned slot)
{
    if (board_can_hotplug(board, slot)) {
        pci_hotplug_unplugged(board->hotplug, 0, slot);
    }
}

void
board_power_button(Board *board)
{
    if (board->power != NULL) {
        piix4_pm_power_button(board->power);
    }
}

void
board_wake(Board *board, bool by_button)
{
    if (board->power != NULL) {
        board_cmos_set(board, CELL_SHUTDOWN_STATUS, SHUTDOWN_RESUME_S3);
        piix4_pm_wake(board->power, by_button);
    }
}

bool
board_key(Board *board, uint16_t key, bool down)
{
    return i8042_key(board->keyboard, key, down);
}

void
board_mouse(Board *board, int32_t dx, int32_t dy, int32_t dz, uint8_t buttons)
{
    i8042_mouse(board->keyboard, dx, dy, dz, buttons);
}

int
board_pic_ack(Board *board)
{
    return board->pic != NULL ? i8259_ack(board->pic) : -1;
}

void
board_ioapic_eoi(Board *board, uint8_t vector)
{
    if (board->ioapic != NULL) {
        ioapic_eoi(board->ioapic, vector);
    }
}
