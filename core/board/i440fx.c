/* SPDX-License-Identifier: Apache-2.0 */
/* 82441FX host bridge (PMC). Reference: 440FX PCIset, Intel 290549, chapter 3. DRAM is whatever the
 * machine has: timing, ECC and error registers keep what is written and steer nothing; PAM and
 * SMRAM do. */
#include "board/i440fx.h"

#include "board/chip.h"

#include <stdatomic.h>

#define CONFADD_PORT     0xCF8
#define CONFDATA_PORT    0xCFC
#define RST_CNT_OFFSET   1 /* CF9h */
#define CONFADD_ENABLE   0x80000000u
#define CONFADD_WRITABLE 0x80FFFFFCu /* bits 30:24 and 1:0 are reserved and read 0 */

#define VGA_BASE          0xA0000u
#define VGA_SIZE          0x20000u
#define SEGMENT_COUNT     13u
#define SEGMENT_BIOS      12u /* F0000h-FFFFFh; segments 0-11 are 16 KiB each from C0000h */
#define SEGMENT_BASE      0xC0000u
#define SEGMENT_SIZE      0x4000u
#define SEGMENT_BIOS_BASE 0xF0000u
#define SEGMENT_BIOS_SIZE 0x10000u

enum {
    REG_PAM0 = 0x59,
    REG_PAM_COUNT = 7,
    REG_SMRAM = 0x72,
    REG_TRC = 0x93,
};

/* SMRAM. There is no SMM here: only D_OPEN shows the RAM behind the VGA window. */
#define SMRAM_D_OPEN     0x40u
#define SMRAM_D_CLS      0x20u
#define SMRAM_D_LCK      0x10u
#define SMRAM_C_BASE_SEG 0x02u /* hard-wired: A0000h */
#define TRC_RESET_CPU    0x04u

struct I440fx {
    GMutex
        lock; /* protects: everything below but config_address, and the order of shadow changes */
    PciBus *pci;
    GuestMemory *memory;
    Piix3 *isa_bridge;
    PciFunction *function;
    Region *address_region, *data_region;
    _Atomic uint32_t config_address;
    uint8_t smram; /* as last accepted: D_LCK outlives what is written */
    uint8_t trc;
    ShadowMode segments[SEGMENT_COUNT]; /* what guest memory was told */
    ShadowMode vga;
};

static const ChipRegister registers[] = {
    /* PCICMD: the bridge always masters and always answers memory; PERRE and SERRE can be set. */
    {0x04, 2, {0x06, 0x00}, {0x40, 0x01}, {0}},
    /* PCISTS: medium DEVSEL#, fast back-to-back; the error bits clear when written one. */
    {0x06, 2, {0x80, 0x02}, {0}, {0x00, 0xF9}},
    {0x0C, 1, {0}, {0}, {0}},          /* no cache line size */
    {0x0D, 1, {0}, {0xF8}, {0}},       /* MLT: a multiple of 8 clocks */
    {0x3C, 1, {0}, {0}, {0}},          /* no interrupt */
    {0x50, 2, {0}, {0x70, 0xDE}, {0}}, /* PMCCFG */
    {0x52, 1, {0}, {0xFF}, {0}},       /* DETURBO */
    {0x53, 1, {0x80}, {0xEA}, {0}},    /* DBC */
    {0x54, 1, {0}, {0x08}, {0}},       /* AXC */
    {0x55, 2, {0}, {0xFF, 0xFF}, {0}}, /* DRT */
    {0x57, 1, {0x01}, {0x67}, {0}},    /* DRAMC */
    {0x58, 1, {0x10}, {0x7F}, {0}},    /* DRAMT */
    /* PAM0-PAM6: read and write enables, one nibble a segment; PAM0's low one is reserved. */
    {REG_PAM0, REG_PAM_COUNT, {0}, {0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33}, {0}},
    /* DRB0-DRB7: firmware that sizes DRAM writes them, in units of 8 MiB. */
    {0x60, 8, {1, 1, 1, 1, 1, 1, 1, 1}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, {0}},
    {0x68, 1, {0}, {0xC0}, {0}},    /* FDHC: the hole stays RAM, nothing is behind */
    {0x70, 1, {0}, {0xF8}, {0}},    /* MTT */
    {0x71, 1, {0x10}, {0x1F}, {0}}, /* CLT */
    {REG_SMRAM, 1, {SMRAM_C_BASE_SEG}, {0x78}, {0}},
    {0x90, 1, {0}, {0x1B}, {0}}, /* ERRCMD */
    {0x91, 1, {0}, {0}, {0x11}}, /* ERRSTS */
    {REG_TRC, 1, {0}, {0x0F}, {0}},
};

static void
steer_segment(I440fx *bridge, unsigned segment, ShadowMode mode)
{
    if (bridge->segments[segment] == mode) {
        return;
    }
    bridge->segments[segment] = mode;
    if (segment == SEGMENT_BIOS) {
        guest_memory_set_shadow(bridge->memory, SEGMENT_BIOS_BASE, SEGMENT_BIOS_SIZE, mode);
    } else {
        guest_memory_set_shadow(bridge->memory, SEGMENT_BASE + segment * SEGMENT_SIZE, SEGMENT_SIZE,
                                mode);
    }
}

/* PAM0 has F0000h-FFFFFh in its high nibble; PAM1 to PAM6 have two segments each, low nibble first.
 * Bit 0 of a nibble enables reads from RAM, bit 1 writes to it: as ShadowMode counts them. */
static void
follow_pam_locked(I440fx *bridge)
{
    for (unsigned i = 0; i < REG_PAM_COUNT; i++) {
        uint32_t pam = pci_function_peek(bridge->function, (uint16_t)(REG_PAM0 + i), 1);
        if (i == 0) {
            steer_segment(bridge, SEGMENT_BIOS, (ShadowMode)(pam >> 4 & 3));
        } else {
            steer_segment(bridge, 2 * (i - 1), (ShadowMode)(pam & 3));
            steer_segment(bridge, 2 * (i - 1) + 1, (ShadowMode)(pam >> 4 & 3));
        }
    }
}

/* D_LCK, once set, clears D_OPEN and makes all but D_CLS read-only until reset. D_CLS sends data
 * accesses to the bus and lets only code be fetched from SMRAM; the two cannot be told apart here,
 * so D_CLS closes it (D_OPEN with D_CLS is forbidden by the data sheet anyway). */
static void
follow_smram_locked(I440fx *bridge)
{
    uint8_t smram = (uint8_t)pci_function_peek(bridge->function, REG_SMRAM, 1);
    ShadowMode vga;

    if ((bridge->smram & SMRAM_D_LCK) != 0) {
        smram = (uint8_t)((bridge->smram & ~SMRAM_D_CLS) | (smram & SMRAM_D_CLS));
    } else if ((smram & SMRAM_D_LCK) != 0) {
        smram &= (uint8_t)~SMRAM_D_OPEN;
    }
    bridge->smram = smram;
    pci_function_poke(bridge->function, REG_SMRAM, 1, smram);
    vga = (smram & (SMRAM_D_OPEN | SMRAM_D_CLS)) == SMRAM_D_OPEN ? SHADOW_READ_WRITE : SHADOW_NONE;
    if (vga != bridge->vga) {
        bridge->vga = vga;
        guest_memory_set_shadow(bridge->memory, VGA_BASE, VGA_SIZE, vga);
    }
}

/* TRC: a CPU reset starts when RCPU goes from 0 to 1. Returns true then. */
static bool
follow_trc_locked(I440fx *bridge)
{
    uint8_t trc = (uint8_t)pci_function_peek(bridge->function, REG_TRC, 1);
    bool reset = (trc & ~bridge->trc & TRC_RESET_CPU) != 0;

    bridge->trc = trc;
    return reset;
}

static void
i440fx_config_written(void *opaque, uint16_t offset, unsigned size, uint32_t value)
{
    I440fx *bridge = opaque;
    bool reset = false;

    g_mutex_lock(&bridge->lock);
    if (chip_touches(offset, size, REG_PAM0, REG_PAM_COUNT)) {
        follow_pam_locked(bridge);
    }
    if (chip_touches(offset, size, REG_SMRAM, 1)) {
        follow_smram_locked(bridge);
    }
    if (chip_touches(offset, size, REG_TRC, 1)) {
        reset = follow_trc_locked(bridge);
    }
    g_mutex_unlock(&bridge->lock);
    if (reset) {
        piix3_request_reset(bridge->isa_bridge);
    }
}

/* CONFADD answers dword accesses only; the rest passes to PCI, where CF9h belongs to the ISA
 * bridge. */
static uint64_t
confadd_read(void *opaque, uint64_t offset, unsigned size)
{
    I440fx *bridge = opaque;

    if (size == 4) {
        return atomic_load(&bridge->config_address);
    }
    if (offset == RST_CNT_OFFSET) {
        return piix3_reset_control_read(bridge->isa_bridge) | (size == 2 ? 0xFF00u : 0);
    }
    return UINT64_MAX;
}

static void
confadd_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    I440fx *bridge = opaque;

    if (size == 4) {
        atomic_store(&bridge->config_address, (uint32_t)value & CONFADD_WRITABLE);
    } else if (offset == RST_CNT_OFFSET) {
        piix3_reset_control_write(bridge->isa_bridge, (uint8_t)value);
    }
}

static uint64_t
confdata_read(void *opaque, uint64_t offset, unsigned size)
{
    I440fx *bridge = opaque;
    uint32_t address = atomic_load(&bridge->config_address);

    if ((address & CONFADD_ENABLE) == 0) {
        return UINT64_MAX;
    }
    return pci_bus_config_read(bridge->pci, address >> 16 & 0xFF, address >> 8 & 0xFF,
                               (uint16_t)((address & 0xFC) + offset), size);
}

static void
confdata_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    I440fx *bridge = opaque;
    uint32_t address = atomic_load(&bridge->config_address);

    if ((address & CONFADD_ENABLE) != 0) {
        pci_bus_config_write(bridge->pci, address >> 16 & 0xFF, address >> 8 & 0xFF,
                             (uint16_t)((address & 0xFC) + offset), size, (uint32_t)value);
    }
}

static const RegionOps confadd_ops = {
    .read = confadd_read,
    .write = confadd_write,
    .widths = 1 | 2 | 4,
};

static const RegionOps confdata_ops = {
    .read = confdata_read,
    .write = confdata_write,
    .widths = 1 | 2 | 4,
};

static bool
i440fx_init_function(I440fx *bridge, GError **error)
{
    PciFunctionArgs args = {
        .name = "host-bridge",
        .devfn = PCI_DEVFN(0, 0),
        .vendor_id = 0x8086,
        .device_id = 0x1237,
        .subsystem_vendor_id =
            0x1AF4, /* with 1100h: how SeaBIOS knows the machine it is made for */
        .subsystem_id = 0x1100,
        .revision = 0x02,
        .base_class = 0x06,
        .config_written = i440fx_config_written,
        .opaque = bridge,
    };

    bridge->function = pci_function_new(bridge->pci, &args, error);
    if (bridge->function == NULL) {
        return false;
    }
    chip_declare_registers(bridge->function, registers, G_N_ELEMENTS(registers));
    return true;
}

static bool
i440fx_init_ports(I440fx *bridge, AddressSpace *pio, GError **error)
{
    const RegionArgs address = {
        .name = "pci-config-address",
        .base = CONFADD_PORT,
        .length = 4,
        .ops = &confadd_ops,
        .opaque = bridge,
    };
    const RegionArgs data = {
        .name = "pci-config-data",
        .base = CONFDATA_PORT,
        .length = 4,
        .ops = &confdata_ops,
        .opaque = bridge,
    };

    bridge->address_region = chip_claim(pio, &address, error);
    bridge->data_region = bridge->address_region != NULL ? chip_claim(pio, &data, error) : NULL;
    return bridge->data_region != NULL;
}

I440fx *
i440fx_new(const I440fxArgs *args, GError **error)
{
    g_autoptr(I440fx) bridge = g_new0(I440fx, 1);

    g_mutex_init(&bridge->lock);
    bridge->pci = args->pci;
    bridge->memory = args->bus->memory;
    bridge->isa_bridge = args->isa_bridge;
    bridge->smram = SMRAM_C_BASE_SEG;
    if (!i440fx_init_function(bridge, error) || !i440fx_init_ports(bridge, args->bus->pio, error)) {
        return NULL;
    }
    return g_steal_pointer(&bridge);
}

void
i440fx_reset(I440fx *bridge)
{
    atomic_store(&bridge->config_address, 0);
    g_mutex_lock(&bridge->lock);
    bridge->smram = SMRAM_C_BASE_SEG;
    bridge->trc = 0;
    follow_pam_locked(bridge);
    follow_smram_locked(bridge);
    g_mutex_unlock(&bridge->lock);
}

void
i440fx_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_FIELD(1, I440fx, config_address, 0),
        CHIP_FIELD(2, I440fx, smram, 0),
        CHIP_FIELD(3, I440fx, trc, 0),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, I440fx, NULL);
    I440fx *bridge = chip;

    g_mutex_lock(&bridge->lock);
    chip_state_object(state, &object, 0, bridge);
    if (chip_state_is_after(state)) {
        follow_pam_locked(bridge);
        follow_smram_locked(bridge);
    }
    g_mutex_unlock(&bridge->lock);
}

void
i440fx_free(I440fx *bridge)
{
    if (bridge == NULL) {
        return;
    }
    region_free(bridge->address_region);
    region_free(bridge->data_region);
    pci_function_free(bridge->function);
    g_mutex_clear(&bridge->lock);
    g_free(bridge);
}

void
i440fx_open_shadow(I440fx *bridge)
{
    pci_bus_config_write(bridge->pci, 0, PCI_DEVFN(0, 0), REG_PAM0, 1, 0x30);
    for (unsigned i = 1; i < REG_PAM_COUNT; i++) {
        pci_bus_config_write(bridge->pci, 0, PCI_DEVFN(0, 0), (uint16_t)(REG_PAM0 + i), 1, 0x33);
    }
}
