/* SPDX-License-Identifier: Apache-2.0 */
/* 82371SB (PIIX3) PCI-to-ISA bridge. Reference: 82371FB/82371SB, Intel 290550, 2.2 (configuration
 * registers of function 0) and 2.5 (ISA-compatible registers). What its configuration registers say
 * of ISA timing, chip selects and SMI keeps what is written; there is no ISA bus to time and no
 * SMM. */
#include "board/piix3.h"

#include "board/chip.h"

#include <stdatomic.h>

#define PIRQ_COUNT     4u
#define PIRQ_DISABLED  0x80u
#define LEGAL_IRQS     0xDEF8u /* 3-7, 9-12, 14, 15: PIRQRC and ELCR alike */
#define ELCR_PORT      0x4D0
#define PORT92         0x92
#define PORT92_RESET   0x01u
#define PORT92_A20     0x02u
#define RST_CNT_RCPU   0x04u
#define RST_CNT_STORED 0x06u /* RCPU and SRST; the rest is reserved */

enum {
    REG_PIRQRC = 0x60,
};

struct Piix3 {
    GMutex lock; /* protects: PIRQ routes and levels, elcr, rst_cnt, port92 */
    PciFunction *function;
    I8259 *pic;
    void (*request)(void *opaque, BoardRequest request);
    void *opaque;
    IrqSource *pirq[PIRQ_COUNT];
    bool level[PIRQ_COUNT];
    int route[PIRQ_COUNT]; /* IRQ, or -1 */
    Region *elcr_region, *port92_region;
    uint16_t elcr;
    uint8_t rst_cnt;
    uint8_t port92;
};

static const ChipRegister registers[] = {
    /* PCICMD: I/O, memory and mastering are hard-wired on; bit 3 is special cycles, bit 8 SERR#. */
    {0x04, 2, {0x07, 0x00}, {0x08, 0x01}, {0}},
    /* PCISTS: medium DEVSEL#; target and master aborts clear when written one. */
    {0x06, 2, {0x00, 0x02}, {0}, {0x00, 0x78}},
    {0x0C, 2, {0}, {0}, {0}},
    {0x3C, 1, {0}, {0}, {0}},
    {0x4C, 1, {0x4D}, {0xFF}, {0}},             /* IORT */
    {0x4E, 2, {0x03, 0x00}, {0xFF, 0x01}, {0}}, /* XBCS */
    {REG_PIRQRC, 4, {0x80, 0x80, 0x80, 0x80}, {0x8F, 0x8F, 0x8F, 0x8F}, {0}},
    {0x69, 1, {0x02}, {0xFE}, {0}},                /* TOM */
    {0x6A, 2, {0}, {0x90, 0x00}, {0x00, 0x81}},    /* MSTAT */
    {0x70, 2, {0x80, 0x80}, {0xEF, 0xEF}, {0}},    /* MBIRQ0, MBIRQ1 */
    {0x76, 2, {0x0C, 0x0C}, {0x8F, 0x8F}, {0}},    /* MBDMA0, MBDMA1 */
    {0x78, 2, {0x02, 0x00}, {0xFF, 0xFF}, {0}},    /* PCSC */
    {0x80, 1, {0}, {0x7F}, {0}},                   /* APICBASE */
    {0x82, 1, {0}, {0x0F}, {0}},                   /* DLC */
    {0xA0, 1, {0x08}, {0x1F}, {0}},                /* SMICNTL */
    {0xA2, 2, {0}, {0xFF, 0x01}, {0}},             /* SMIEN */
    {0xA4, 4, {0}, {0xFF, 0xFF, 0xFF, 0xFF}, {0}}, /* SEE */
    {0xA8, 1, {0x0F}, {0xFF}, {0}},                /* FTMR */
    {0xAA, 2, {0}, {0xFF, 0x01}, {0}},             /* SMIREQ */
    {0xAC, 1, {0}, {0xFF}, {0}},                   /* CTLTMR */
    {0xAE, 1, {0}, {0xFF}, {0}},                   /* CTHTMR */
};

/* PIRQRC: bit 7 disables; an IRQ that the data sheet reserves routes nowhere either. */
static int
decode_route(uint32_t pirqrc)
{
    unsigned irq = pirqrc & 0x0F;

    return (pirqrc & PIRQ_DISABLED) != 0 || (LEGAL_IRQS >> irq & 1) == 0 ? -1 : (int)irq;
}

static void
drive_pirq_locked(Piix3 *bridge, unsigned pirq)
{
    irq_source_set(bridge->pirq[pirq], bridge->level[pirq] && bridge->route[pirq] >= 0);
}

static void
follow_routes_locked(Piix3 *bridge)
{
    for (unsigned pirq = 0; pirq < PIRQ_COUNT; pirq++) {
        int route =
            decode_route(pci_function_peek(bridge->function, (uint16_t)(REG_PIRQRC + pirq), 1));

        if (route == bridge->route[pirq]) {
            continue;
        }
        bridge->route[pirq] = route;
        if (route >= 0) {
            irq_source_move(bridge->pirq[pirq], (unsigned)route);
        }
        drive_pirq_locked(bridge, pirq);
    }
}

static void
piix3_config_written(void *opaque, uint16_t offset, unsigned size, uint32_t value)
{
    if (chip_touches(offset, size, REG_PIRQRC, PIRQ_COUNT)) {
        follow_routes_locked(opaque);
    }
}

void
piix3_set_pirq(Piix3 *bridge, unsigned pirq, bool level)
{
    if (pirq >= PIRQ_COUNT) {
        return;
    }
    g_mutex_lock(&bridge->lock);
    bridge->level[pirq] = level;
    drive_pirq_locked(bridge, pirq);
    g_mutex_unlock(&bridge->lock);
}

int
piix3_pirq_irq(Piix3 *bridge, unsigned pirq)
{
    int irq = -1;

    if (pirq < PIRQ_COUNT) {
        g_mutex_lock(&bridge->lock);
        irq = bridge->route[pirq];
        g_mutex_unlock(&bridge->lock);
    }
    return irq;
}

void
piix3_request_reset(Piix3 *bridge)
{
    bridge->request(bridge->opaque, BOARD_REQUEST_RESET);
}

uint8_t
piix3_reset_control_read(Piix3 *bridge)
{
    uint8_t value;

    g_mutex_lock(&bridge->lock);
    value = bridge->rst_cnt;
    g_mutex_unlock(&bridge->lock);
    return value;
}

/* A reset starts when RCPU goes from 0 to 1; SRST chooses hard or soft, which here are the same. */
void
piix3_reset_control_write(Piix3 *bridge, uint8_t value)
{
    bool reset;

    g_mutex_lock(&bridge->lock);
    reset = (value & ~bridge->rst_cnt & RST_CNT_RCPU) != 0;
    bridge->rst_cnt = value & RST_CNT_STORED;
    g_mutex_unlock(&bridge->lock);
    if (reset) {
        piix3_request_reset(bridge);
    }
}

bool
piix3_a20(Piix3 *bridge)
{
    bool a20;

    g_mutex_lock(&bridge->lock);
    a20 = (bridge->port92 & PORT92_A20) != 0;
    g_mutex_unlock(&bridge->lock);
    return a20;
}

static uint64_t
port92_read(void *opaque, uint64_t offset, unsigned size)
{
    Piix3 *bridge = opaque;
    uint8_t value;

    g_mutex_lock(&bridge->lock);
    value = bridge->port92;
    g_mutex_unlock(&bridge->lock);
    return value;
}

/* Port 92h: fast reset on a rising edge of bit 0, as on the PS/2 it comes from. */
static void
port92_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Piix3 *bridge = opaque;
    bool reset;

    g_mutex_lock(&bridge->lock);
    reset = ((uint8_t)value & ~bridge->port92 & PORT92_RESET) != 0;
    bridge->port92 = (uint8_t)value & (PORT92_RESET | PORT92_A20);
    g_mutex_unlock(&bridge->lock);
    if (reset) {
        piix3_request_reset(bridge);
    }
}

static uint64_t
elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    Piix3 *bridge = opaque;
    return (uint8_t)(bridge->elcr >> (8 * offset));
}

/* IRQ 0, 1, 2, 8 and 13 are edge-triggered for good (2.5.4.7). */
static void
elcr_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Piix3 *bridge = opaque;
    unsigned shift = 8 * (unsigned)offset;
    unsigned written = ((unsigned)value & 0xFF) << shift & LEGAL_IRQS;

    bridge->elcr = (uint16_t)((bridge->elcr & ~(0xFFu << shift)) | written);
    if (bridge->pic != NULL) {
        i8259_set_elcr(bridge->pic, bridge->elcr);
    }
}

static const RegionOps port92_ops = {.read = port92_read, .write = port92_write};
static const RegionOps elcr_ops = {.read = elcr_read, .write = elcr_write};

static bool
piix3_init_function(Piix3 *bridge, PciBus *pci, GError **error)
{
    PciFunctionArgs args = {
        .name = "isa-bridge",
        .devfn = PCI_DEVFN(1, 0),
        .vendor_id = 0x8086,
        .device_id = 0x7000,
        .subsystem_vendor_id = 0x1AF4,
        .subsystem_id = 0x1100,
        .base_class = 0x06,
        .sub_class = 0x01,
        .header_type = 0x80,
        .config_written = piix3_config_written,
        .opaque = bridge,
        .lock = &bridge->lock,
    };

    bridge->function = pci_function_new(pci, &args, error);
    if (bridge->function == NULL) {
        return false;
    }
    chip_declare_registers(bridge->function, registers, G_N_ELEMENTS(registers));
    return true;
}

static bool
piix3_init_ports(Piix3 *bridge, AddressSpace *pio, GError **error)
{
    const RegionArgs elcr = {
        .name = "elcr",
        .base = ELCR_PORT,
        .length = 2,
        .ops = &elcr_ops,
        .opaque = bridge,
        .lock = &bridge->lock,
    };
    const RegionArgs port92 = {
        .name = "port-92",
        .base = PORT92,
        .length = 1,
        .ops = &port92_ops,
        .opaque = bridge,
    };

    bridge->elcr_region = chip_claim(pio, &elcr, error);
    bridge->port92_region = bridge->elcr_region != NULL ? chip_claim(pio, &port92, error) : NULL;
    return bridge->port92_region != NULL;
}

Piix3 *
piix3_new(const Piix3Args *args, GError **error)
{
    g_autoptr(Piix3) bridge = g_new0(Piix3, 1);

    g_mutex_init(&bridge->lock);
    bridge->pic = args->pic;
    bridge->request = args->request;
    bridge->opaque = args->opaque;
    for (unsigned pirq = 0; pirq < PIRQ_COUNT; pirq++) {
        bridge->pirq[pirq] = irq_source_new(args->irqs, 0);
        bridge->route[pirq] = -1;
    }
    if (!piix3_init_function(bridge, args->pci, error) ||
        !piix3_init_ports(bridge, args->bus->pio, error)) {
        return NULL;
    }
    return g_steal_pointer(&bridge);
}

void
piix3_reset(Piix3 *bridge)
{
    g_mutex_lock(&bridge->lock);
    follow_routes_locked(bridge);
    bridge->elcr = 0;
    bridge->rst_cnt = 0;
    bridge->port92 = 0;
    if (bridge->pic != NULL) {
        i8259_set_elcr(bridge->pic, 0);
    }
    g_mutex_unlock(&bridge->lock);
}

void
piix3_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_FIELD(1, Piix3, elcr, 0),
        CHIP_FIELD(2, Piix3, rst_cnt, RST_CNT_STORED),
        CHIP_FIELD(3, Piix3, port92, PORT92_RESET | PORT92_A20),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, Piix3, NULL);
    Piix3 *bridge = chip;

    g_mutex_lock(&bridge->lock);
    chip_state_object(state, &object, 0, bridge);
    if (chip_state_is_after(state)) {
        follow_routes_locked(bridge);
    }
    g_mutex_unlock(&bridge->lock);
}

void
piix3_free(Piix3 *bridge)
{
    if (bridge == NULL) {
        return;
    }
    region_free(bridge->elcr_region);
    region_free(bridge->port92_region);
    pci_function_free(bridge->function);
    for (unsigned pirq = 0; pirq < PIRQ_COUNT; pirq++) {
        irq_source_free(bridge->pirq[pirq]);
    }
    g_mutex_clear(&bridge->lock);
    g_free(bridge);
}
