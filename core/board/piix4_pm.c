/* SPDX-License-Identifier: Apache-2.0 */
/* 82371AB (PIIX4) function 3. Reference: 82371AB, Intel 290562, chapter 7 (registers) and 11 (power
 * management); ACPI 6.4, 4.8. There is no SMM: what would raise SMI# does nothing, and DEVACTB says
 * that APM's SMI is set up already, so that firmware leaves SMM alone. The one SMI an operating
 * system relies on, the switch to ACPI by SMI_CMD, is done here. */
#include "board/piix4_pm.h"

#include "board/chip.h"
#include "board/piix4_smbus.h"

#include <string.h>

#define NS_PER_S     1000000000u
#define PM_TIMER_HZ  3579545u
#define TIMER_MASK   0xFFFFFFu
#define TIMER_HALF   (UINT64_C(1) << 23) /* TMROF_STS: each change of bit 23 */
#define APM_PORT     0xB2
#define SMBUS_LENGTH 16u

/* Configuration space. */
enum {
    REG_PMBASE = 0x40,
    REG_DEVACTB = 0x58,
    REG_PMREGMISC = 0x80,
    REG_SMBBA = 0x90,
    REG_SMBHSTCFG = 0xD2,
};
#define PMREGMISC_PMIOSE 0x01u
#define SMBHSTCFG_ENABLE 0x01u
#define SMBHSTCFG_IRQ9   0x08u /* bits 3:1 = 100b: IRQ9, not SMI# */

/* I/O space at PMBASE; what is not named here is kept as written. */
enum {
    IO_PMSTS = 0x00,
    IO_PMEN = 0x02,
    IO_PMCNTRL = 0x04,
    IO_PMTMR = 0x08,
};
#define PM1_TMROF  0x0001u
#define PM1_GBL    0x0020u
#define PM1_PWRBTN 0x0100u
#define PM1_RTC    0x0400u
#define PM1_WAK    0x8000u
#define PM1_EVENTS (PM1_TMROF | PM1_GBL | PM1_PWRBTN | PM1_RTC)
#define CNT_SCI_EN 0x0001u
#define CNT_SLP_EN 0x2000u
#define CNT_STORED 0x1C03u /* SLP_TYP, BRLD_EN_BM, SCI_EN; GBL_RLS and SLP_EN act and read 0 */
#define CNT_TYP    10      /* shift */

struct Piix4Pm {
    GMutex lock; /* protects: all below */
    PciFunction *function;
    VirtualClock *clock;
    LoopTimer *timer;
    IrqSource *sci;
    void (*request)(void *opaque, BoardRequest request);
    void *opaque;
    Region *pm_region, *smbus_region, *gpe_region, *apm_region;
    uint16_t status, enable, control; /* PM1 */
    uint16_t gpe_status, gpe_enable;
    uint64_t timer_half; /* half periods of the PM timer that PM1 status knows of */
    uint8_t apm_control, apm_status;
    uint8_t io[PIIX4_PM_IO_SIZE];
    Piix4Smbus smbus;
};

static const ChipRegister registers[] = {
    {0x06, 2, {0x80, 0x02}, {0}, {0x00, 0x78}},
    {0x0C, 1, {0}, {0}, {0}},
    /* PMBASE, CNTA, CNTB: 64 ports, bit 0 says I/O. */
    {REG_PMBASE, 4, {0x01}, {0xC0, 0xFF, 0, 0}, {0}},
    {0x44, 8, {0}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, {0}},
    /* GPICTL, DEVRESD, DEVACTA */
    {0x4C, 8, {0}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, {0}},
    {0x54, 4, {0}, {0xFF, 0xFF, 0xFF, 0xFF}, {0}},
    /* DEVACTB: bit 25, APMC_EN, is set for good. */
    {REG_DEVACTB, 4, {0, 0, 0, 0x02}, {0xFF, 0xFF, 0xFF, 0xFD}, {0}},
    /* DEVRESA, B, C, E, F, G, H, I, J */
    {0x5C, 8, {0}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, {0}},
    {0x64, 8, {0}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, {0}},
    {0x6C, 8, {0}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, {0}},
    {0x74, 8, {0}, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, {0}},
    {0x7C, 4, {0}, {0xFF, 0xFF, 0xFF, 0xFF}, {0}},
    {REG_PMREGMISC, 1, {0}, {PMREGMISC_PMIOSE}, {0}},
    {REG_SMBBA, 4, {0x01}, {0xF0, 0xFF, 0, 0}, {0}},
    /* SMBHSTCFG, SMBSLVC, SMBSHDW1, SMBSHDW2, SMBREV */
    {REG_SMBHSTCFG, 5, {0}, {0x0F, 0xFF, 0xFF, 0xFF, 0}, {0}},
};

/* The rest of the I/O space: value after reset, and which bits are cleared by writing one. PMSTS,
 * PMEN, PMCNTRL and PMTMR have code of their own; GPIREG is inputs, all high. */
static const uint8_t io_reset[PIIX4_PM_IO_SIZE] = {
    [0x30] = 0xFF, 0xFF, 0x3F, 0x00, /* GPIREG: 22 inputs */
    [0x34] = 0xFF, 0xBF, 0xFF, 0x7F, /* GPOREG */
};
static const uint8_t io_write_mask[PIIX4_PM_IO_SIZE] = {
    [0x0E] = 0x83, 0x1F,             /* GPEN */
    [0x10] = 0x1E, 0x3E, 0x07, 0x00, /* PCNTRL */
    [0x20] = 0xFF, 0x0F,             /* GLBEN */
    [0x28] = 0xFF, 0xFF, 0xFF, 0xFF, /* GLBCTL */
    [0x2C] = 0xFF, 0xFF, 0xFF, 0xFF, /* DEVCTL */
    [0x34] = 0xFF, 0xFF, 0xFF, 0xFF, /* GPOREG */
};
static const uint8_t io_write1clear[PIIX4_PM_IO_SIZE] = {
    [0x0C] = 0x83, 0x1F,             /* GPSTS */
    [0x18] = 0xFF, 0x0F,             /* GLBSTS */
    [0x1C] = 0xFF, 0xFF, 0xFF, 0xFF, /* DEVSTS */
};

static uint64_t
timer_ticks(const Piix4Pm *pm)
{
    return (uint64_t)((unsigned __int128)virtual_clock_now(pm->clock) * PM_TIMER_HZ / NS_PER_S);
}

/* TMROF_STS is set whenever bit 23 of the timer changes, seen or not. */
static void
follow_timer(Piix4Pm *pm)
{
    uint64_t half = timer_ticks(pm) / TIMER_HALF;

    if (half != pm->timer_half) {
        pm->timer_half = half;
        pm->status |= PM1_TMROF;
    }
}

/* Level of SCI, and the timer that is to raise it. Without SCI_EN the events are SMI#'s. */
static void
update(Piix4Pm *pm)
{
    uint32_t smbus = pci_function_peek(pm->function, REG_SMBHSTCFG, 1);
    bool sci;

    follow_timer(pm);
    sci = (pm->control & CNT_SCI_EN) != 0 &&
          ((pm->status & pm->enable & PM1_EVENTS) != 0 || (pm->gpe_status & pm->gpe_enable) != 0);
    sci |= (smbus & SMBHSTCFG_IRQ9) != 0 && piix4_smbus_interrupt(&pm->smbus);
    irq_source_set(pm->sci, sci);
    if ((pm->enable & PM1_TMROF) != 0 && (pm->status & PM1_TMROF) == 0) {
        unsigned __int128 ticks = (unsigned __int128)(pm->timer_half + 1) * TIMER_HALF;
        loop_timer_arm(pm->timer, (uint64_t)((ticks * NS_PER_S + PM_TIMER_HZ - 1) / PM_TIMER_HZ));
    } else {
        loop_timer_cancel(pm->timer);
    }
}

static void
piix4_pm_timer(void *opaque)
{
    update(opaque);
}

static uint8_t
pm_read_byte(const Piix4Pm *pm, unsigned offset)
{
    unsigned shift = 8 * (offset & 1);

    switch (offset & ~1u) {
    case IO_PMSTS:
        return (uint8_t)(pm->status >> shift);
    case IO_PMEN:
        return (uint8_t)(pm->enable >> shift);
    case IO_PMCNTRL:
        return (uint8_t)(pm->control >> shift);
    default:
        return pm->io[offset];
    }
}

static uint64_t
pm_read(void *opaque, uint64_t offset, unsigned size)
{
    Piix4Pm *pm = opaque;
    uint64_t value = 0;

    g_mutex_lock(&pm->lock);
    follow_timer(pm);
    if ((offset & ~UINT64_C(3)) == IO_PMTMR) {
        value = (timer_ticks(pm) & TIMER_MASK) >> (8 * (offset & 3));
    } else {
        for (unsigned i = 0; i < size; i++) {
            value |= (uint64_t)pm_read_byte(pm, (unsigned)offset + i) << (8 * i);
        }
    }
    g_mutex_unlock(&pm->lock);
    return value;
}

static void
pm_write_byte(Piix4Pm *pm, unsigned offset, uint8_t value)
{
    unsigned shift = 8 * (offset & 1);
    unsigned mask = 0xFFu << shift;
    unsigned bits = (unsigned)value << shift;

    switch (offset & ~1u) {
    case IO_PMSTS:
        pm->status &= (uint16_t) ~(bits & (PM1_EVENTS | PM1_WAK));
        return;
    case IO_PMEN:
        pm->enable = (uint16_t)((pm->enable & ~mask) | (bits & PM1_EVENTS));
        return;
    case IO_PMCNTRL:
        pm->control = (uint16_t)((pm->control & ~mask) | (bits & CNT_STORED));
        return;
    default:
        pm->io[offset] = (uint8_t)(((pm->io[offset] & ~io_write_mask[offset]) |
                                    (value & io_write_mask[offset])) &
                                   ~(value & io_write1clear[offset]));
    }
}

/* What SLP_EN with the type stored beside it asks for; false: nothing. */
static bool
sleep_request(const Piix4Pm *pm, BoardRequest *request)
{
    switch (pm->control >> CNT_TYP & 7) {
    case PIIX4_PM_SLP_TYP_S5:
    case PIIX4_PM_SLP_TYP_S4:
        *request = BOARD_REQUEST_POWEROFF;
        return true;
    case PIIX4_PM_SLP_TYP_S3:
        *request = BOARD_REQUEST_SUSPEND;
        return true;
    default:
        return false;
    }
}

static void
pm_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Piix4Pm *pm = opaque;
    BoardRequest request = BOARD_REQUEST_POWEROFF;
    bool sleep = false;

    g_mutex_lock(&pm->lock);
    follow_timer(pm);
    for (unsigned i = 0; i < size; i++) {
        unsigned at = (unsigned)offset + i;
        uint8_t byte = (uint8_t)(value >> (8 * i));

        pm_write_byte(pm, at, byte);
        sleep |= at == IO_PMCNTRL + 1 && (byte & CNT_SLP_EN >> 8) != 0;
    }
    sleep = sleep && sleep_request(pm, &request);
    update(pm);
    g_mutex_unlock(&pm->lock);
    if (sleep) {
        pm->request(pm->opaque, request);
    }
}

static uint64_t
smbus_read(void *opaque, uint64_t offset, unsigned size)
{
    return piix4_smbus_read(&((Piix4Pm *)opaque)->smbus, (unsigned)offset);
}

static void
smbus_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Piix4Pm *pm = opaque;

    piix4_smbus_write(&pm->smbus, (unsigned)offset, (uint8_t)value);
    update(pm);
}

/* GPE0: two bytes of status, two of enable. */
static uint64_t
gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    const Piix4Pm *pm = opaque;
    unsigned value = offset < 2 ? pm->gpe_status : pm->gpe_enable;

    return value >> (8 * (offset & 1)) & 0xFF;
}

static void
gpe_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Piix4Pm *pm = opaque;
    unsigned shift = 8 * (offset & 1);
    unsigned bits = ((unsigned)value & 0xFF) << shift;

    if (offset < 2) {
        pm->gpe_status &= (uint16_t)~bits;
    } else {
        pm->gpe_enable = (uint16_t)((pm->gpe_enable & ~(0xFFu << shift)) | bits);
    }
    update(pm);
}

static void
set_acpi_enabled(Piix4Pm *pm, bool enabled)
{
    pm->control = (uint16_t)(enabled ? pm->control | CNT_SCI_EN : pm->control & ~CNT_SCI_EN);
    update(pm);
}

static uint64_t
apm_read(void *opaque, uint64_t offset, unsigned size)
{
    const Piix4Pm *pm = opaque;

    return offset == 0 ? pm->apm_control : pm->apm_status;
}

static void
apm_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Piix4Pm *pm = opaque;

    if (offset != 0) {
        pm->apm_status = (uint8_t)value;
        return;
    }
    pm->apm_control = (uint8_t)value;
    if (pm->apm_control == PIIX4_PM_ACPI_ENABLE || pm->apm_control == PIIX4_PM_ACPI_DISABLE) {
        set_acpi_enabled(pm, pm->apm_control == PIIX4_PM_ACPI_ENABLE);
    }
}

static const RegionOps pm_ops = {.read = pm_read, .write = pm_write, .widths = 1 | 2 | 4};
static const RegionOps smbus_ops = {.read = smbus_read, .write = smbus_write};
static const RegionOps gpe_ops = {.read = gpe_read, .write = gpe_write};
static const RegionOps apm_ops = {.read = apm_read, .write = apm_write};

/* A region whose base is in configuration space, enabled by a bit elsewhere. */
static void
place(const Piix4Pm *pm, Region *region, uint16_t base_register, bool enabled)
{
    uint32_t base = pci_function_peek(pm->function, base_register, 4) & 0xFFF0u;

    if (!enabled) {
        region_set_enabled(region, false);
        return;
    }
    region_move(region, base);
    region_set_enabled(region, true);
}

static void
follow_bases_locked(const Piix4Pm *pm)
{
    uint32_t misc = pci_function_peek(pm->function, REG_PMREGMISC, 1);
    uint32_t smbus = pci_function_peek(pm->function, REG_SMBHSTCFG, 1);

    place(pm, pm->pm_region, REG_PMBASE, (misc & PMREGMISC_PMIOSE) != 0);
    place(pm, pm->smbus_region, REG_SMBBA, (smbus & SMBHSTCFG_ENABLE) != 0);
}

static void
piix4_config_written(void *opaque, uint16_t offset, unsigned size, uint32_t value)
{
    Piix4Pm *pm = opaque;

    if (chip_touches(offset, size, REG_PMBASE, 4) || chip_touches(offset, size, REG_PMREGMISC, 1) ||
        chip_touches(offset, size, REG_SMBBA, 4) || chip_touches(offset, size, REG_SMBHSTCFG, 1)) {
        follow_bases_locked(pm);
        update(pm);
    }
}

static bool
piix4_init_function(Piix4Pm *pm, PciBus *pci, GError **error)
{
    PciFunctionArgs args = {
        .name = "power-management",
        .devfn = PCI_DEVFN(1, 3),
        .vendor_id = 0x8086,
        .device_id = 0x7113,
        .subsystem_vendor_id = 0x1AF4,
        .subsystem_id = 0x1100,
        .revision = 0x03,
        .base_class = 0x06,
        .sub_class = 0x80,
        .interrupt_pin = 1, /* in the register only: the interrupt is SCI, IRQ9 */
        .config_written = piix4_config_written,
        .opaque = pm,
        .lock = &pm->lock,
    };

    pm->function = pci_function_new(pci, &args, error);
    if (pm->function != NULL) {
        chip_declare_registers(pm->function, registers, G_N_ELEMENTS(registers));
    }
    return pm->function != NULL;
}

/* Blocks the guest places, at the priority of a BAR: they cannot hide the board's fixed ports. */
static bool
piix4_init_movable(Piix4Pm *pm, AddressSpace *pio, GError **error)
{
    RegionArgs args = {
        .name = "pm-io",
        .length = PIIX4_PM_IO_SIZE,
        .priority = REGION_PRIORITY_BAR,
        .ops = &pm_ops,
        .opaque = pm,
    };

    pm->pm_region = region_new(pio, &args, error);
    args.name = "smbus";
    args.length = SMBUS_LENGTH;
    args.ops = &smbus_ops;
    args.lock = &pm->lock;
    pm->smbus_region = pm->pm_region != NULL ? region_new(pio, &args, error) : NULL;
    return pm->smbus_region != NULL;
}

static bool
piix4_init_fixed(Piix4Pm *pm, AddressSpace *pio, GError **error)
{
    const RegionArgs gpe = {
        .name = "gpe0",
        .base = PIIX4_PM_GPE0_BASE,
        .length = PIIX4_PM_GPE0_SIZE,
        .ops = &gpe_ops,
        .opaque = pm,
        .lock = &pm->lock,
    };
    const RegionArgs apm = {
        .name = "apm",
        .base = APM_PORT,
        .length = 2,
        .ops = &apm_ops,
        .opaque = pm,
        .lock = &pm->lock,
    };

    pm->gpe_region = chip_claim(pio, &gpe, error);
    pm->apm_region = pm->gpe_region != NULL ? chip_claim(pio, &apm, error) : NULL;
    return pm->apm_region != NULL;
}

Piix4Pm *
piix4_pm_new(const Piix4PmArgs *args, GError **error)
{
    g_autoptr(Piix4Pm) pm = g_new0(Piix4Pm, 1);

    g_mutex_init(&pm->lock);
    pm->clock = args->clock;
    pm->request = args->request;
    pm->opaque = args->opaque;
    pm->sci = irq_source_new(args->irqs, PIIX4_PM_SCI_IRQ);
    pm->timer = loop_timer_new(args->loop, CLOCK_SOURCE_VIRTUAL, &pm->lock, piix4_pm_timer, pm);
    if (!piix4_init_movable(pm, args->bus->pio, error) ||
        !piix4_init_function(pm, args->pci, error) ||
        !piix4_init_fixed(pm, args->bus->pio, error)) {
        return NULL;
    }
    piix4_pm_reset(pm);
    return g_steal_pointer(&pm);
}

void
piix4_pm_reset(Piix4Pm *pm)
{
    g_mutex_lock(&pm->lock);
    pm->status = pm->enable = pm->control = 0;
    pm->gpe_status = pm->gpe_enable = 0;
    pm->apm_control = pm->apm_status = 0;
    pm->timer_half = timer_ticks(pm) / TIMER_HALF;
    memcpy(pm->io, io_reset, sizeof(pm->io));
    piix4_smbus_reset(&pm->smbus);
    follow_bases_locked(pm);
    update(pm);
    g_mutex_unlock(&pm->lock);
}

void
piix4_pm_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_FIELD(1, Piix4Pm, status, 0),
        CHIP_FIELD(2, Piix4Pm, enable, 0),
        CHIP_FIELD(3, Piix4Pm, control, 0),
        CHIP_FIELD(4, Piix4Pm, gpe_status, 0),
        CHIP_FIELD(5, Piix4Pm, gpe_enable, 0),
        CHIP_FIELD(6, Piix4Pm, timer_half, 0),
        CHIP_FIELD(7, Piix4Pm, apm_control, 0),
        CHIP_FIELD(8, Piix4Pm, apm_status, 0),
        CHIP_ARRAY(9, Piix4Pm, io),
    };
    static const struct bp_state_field smbus_fields[] = {
        CHIP_ARRAY(1, Piix4Smbus, registers),
        CHIP_ARRAY(2, Piix4Smbus, block),
        CHIP_FIELD(3, Piix4Smbus, block_index, PIIX4_SMBUS_BLOCK - 1),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, Piix4Pm, NULL);
    static const ChipObject smbus_object = CHIP_OBJECT(2, smbus_fields, Piix4Smbus, NULL);
    Piix4Pm *pm = chip;

    g_mutex_lock(&pm->lock);
    if (state->phase == CHIP_STATE_SAVE) {
        update(pm);
    }
    chip_state_object(state, &object, 0, pm);
    chip_state_object(state, &smbus_object, 0, &pm->smbus);
    if (chip_state_is_after(state)) {
        follow_bases_locked(pm);
        update(pm);
    }
    g_mutex_unlock(&pm->lock);
}

void
piix4_pm_free(Piix4Pm *pm)
{
    if (pm == NULL) {
        return;
    }
    region_free(pm->apm_region);
    region_free(pm->gpe_region);
    pci_function_free(pm->function);
    region_free(pm->smbus_region);
    region_free(pm->pm_region);
    loop_timer_free(pm->timer);
    irq_source_free(pm->sci);
    g_mutex_clear(&pm->lock);
    g_free(pm);
}

static void
raise_status(Piix4Pm *pm, uint16_t bits)
{
    g_mutex_lock(&pm->lock);
    pm->status |= bits;
    update(pm);
    g_mutex_unlock(&pm->lock);
}

void
piix4_pm_power_button(Piix4Pm *pm)
{
    raise_status(pm, PM1_PWRBTN);
}

void
piix4_pm_wake(Piix4Pm *pm, bool by_button)
{
    raise_status(pm, by_button ? PM1_WAK | PM1_PWRBTN : PM1_WAK);
}

void
piix4_pm_raise_gpe(Piix4Pm *pm, unsigned gpe)
{
    if (gpe < 16) {
        g_mutex_lock(&pm->lock);
        pm->gpe_status |= (uint16_t)(1u << gpe);
        update(pm);
        g_mutex_unlock(&pm->lock);
    }
}

void
piix4_pm_set_acpi_enabled(Piix4Pm *pm, bool enabled)
{
    g_mutex_lock(&pm->lock);
    set_acpi_enabled(pm, enabled);
    g_mutex_unlock(&pm->lock);
}
