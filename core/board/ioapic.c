/* SPDX-License-Identifier: Apache-2.0 */
/* 82093AA I/O APIC. Reference: Intel 290566, section 3. Inputs are "asserted" or not: the polarity
 * bit is kept and read back but inverts nothing, as everywhere where no real wire exists.
 *
 * Messages are sent under the lock, so that they leave in the order of the table's changes; the
 * MsiController never calls back. Listeners of EOI are called without it,
 * because they set lines. */
#include "board/ioapic.h"

#include "board/chip.h"

#include <string.h>

#define IOAPIC_LENGTH  0x1000u
#define IOAPIC_VERSION 0x00170011u /* 24 entries, version 11h: no EOI register */
#define ID_WRITABLE    0x0F000000u
#define OFFSET_SELECT  0x00u
#define OFFSET_WINDOW  0x10u

enum {
    REG_ID = 0x00,
    REG_VERSION = 0x01,
    REG_ARBITRATION = 0x02,
    REG_TABLE = 0x10,
};

/* Redirection table entry. */
#define ENTRY_VECTOR        0xFFu
#define ENTRY_DELIVERY      0x700u
#define ENTRY_LOGICAL       (1u << 11)
#define ENTRY_REMOTE_IRR    (1u << 14)
#define ENTRY_LEVEL         (1u << 15)
#define ENTRY_MASKED        (1u << 16)
#define ENTRY_LOW_WRITABLE  0x0001AFFFu
#define ENTRY_HIGH_WRITABLE 0xFF000000u

#define MESSAGE_ADDRESS UINT64_C(0xFEE00000)
#define MESSAGE_ASSERT  (1u << 14)

typedef struct {
    uint32_t low, high;
    bool asserted;
    MsiVector *vector;
} Pin;

struct Ioapic {
    GMutex lock; /* protects: all below */
    MsiController *msi;
    IrqLines *irqs;
    Region *region;
    uint32_t id;
    uint8_t select;
    Pin pins[IOAPIC_PINS];
};

static void
pin_program(Ioapic *ioapic, Pin *pin)
{
    uint64_t address = MESSAGE_ADDRESS | (uint64_t)(pin->high >> 24) << 12 |
                       ((pin->low & ENTRY_LOGICAL) != 0 ? 4 : 0);
    uint32_t data = pin->low & (ENTRY_VECTOR | ENTRY_DELIVERY);

    if ((pin->low & ENTRY_LEVEL) != 0) {
        data |= ENTRY_LEVEL | MESSAGE_ASSERT;
    }
    ioapic->msi->ops->vector_set(ioapic->msi->opaque, pin->vector, (pin->low & ENTRY_MASKED) == 0,
                                 address, data);
}

static void
pin_send(Ioapic *ioapic, const Pin *pin)
{
    ioapic->msi->ops->vector_fire(ioapic->msi->opaque, pin->vector);
}

/* A level input that is asserted, unmasked and not being served sends its message. */
static void
pin_service_level(Ioapic *ioapic, Pin *pin)
{
    if (pin->asserted &&
        (pin->low & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR)) == ENTRY_LEVEL) {
        pin->low |= ENTRY_REMOTE_IRR;
        pin_send(ioapic, pin);
    }
}

/* An edge on a masked input is lost: neither delivered nor held (3.2.4, bit 16). */
void
ioapic_set_irq(Ioapic *ioapic, unsigned number, bool level)
{
    Pin *pin;
    bool rising;

    if (number >= IOAPIC_PINS) {
        return;
    }
    g_mutex_lock(&ioapic->lock);
    pin = &ioapic->pins[number];
    rising = level && !pin->asserted;
    pin->asserted = level;
    if (rising && (pin->low & (ENTRY_LEVEL | ENTRY_MASKED)) == 0) {
        pin_send(ioapic, pin);
    }
    pin_service_level(ioapic, pin);
    g_mutex_unlock(&ioapic->lock);
}

void
ioapic_eoi(Ioapic *ioapic, uint8_t vector)
{
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        Pin *pin = &ioapic->pins[i];
        bool ended;

        g_mutex_lock(&ioapic->lock);
        ended = (pin->low & (ENTRY_LEVEL | ENTRY_REMOTE_IRR)) == (ENTRY_LEVEL | ENTRY_REMOTE_IRR) &&
                (pin->low & ENTRY_VECTOR) == vector;
        g_mutex_unlock(&ioapic->lock);
        if (!ended) {
            continue;
        }
        /* A device that lowers its line now does so before the line is looked at again. */
        if (ioapic->irqs != NULL && i != 0) {
            irq_lines_eoi(ioapic->irqs, i == IOAPIC_IRQ0_PIN ? 0 : i);
        }
        g_mutex_lock(&ioapic->lock);
        pin->low &= ~ENTRY_REMOTE_IRR;
        pin_service_level(ioapic, pin);
        g_mutex_unlock(&ioapic->lock);
    }
}

static void
write_entry(Ioapic *ioapic, unsigned index, uint32_t value)
{
    Pin *pin = &ioapic->pins[index / 2];

    if (index % 2 != 0) {
        pin->high = value & ENTRY_HIGH_WRITABLE;
    } else {
        pin->low = (pin->low & ~ENTRY_LOW_WRITABLE) | (value & ENTRY_LOW_WRITABLE);
        if ((pin->low & ENTRY_LEVEL) == 0) {
            /* Remote IRR means nothing for edges; systems end a level interrupt by this on an
             * 82093AA, which has no EOI register. */
            pin->low &= ~ENTRY_REMOTE_IRR;
        }
    }
    pin_program(ioapic, pin);
    pin_service_level(ioapic, pin);
}

static uint32_t
read_window(const Ioapic *ioapic)
{
    unsigned index = ioapic->select - (unsigned)REG_TABLE;

    switch (ioapic->select) {
    case REG_ID:
        return ioapic->id;
    case REG_VERSION:
        return IOAPIC_VERSION;
    case REG_ARBITRATION: /* loaded with the ID, and nothing arbitrates */
        return ioapic->id;
    default:
        if (ioapic->select < REG_TABLE || index >= 2 * IOAPIC_PINS) {
            return 0;
        }
        return index % 2 != 0 ? ioapic->pins[index / 2].high : ioapic->pins[index / 2].low;
    }
}

static void
write_window(Ioapic *ioapic, uint32_t value)
{
    unsigned index = ioapic->select - (unsigned)REG_TABLE;

    if (ioapic->select == REG_ID) {
        ioapic->id = value & ID_WRITABLE;
    } else if (ioapic->select >= REG_TABLE && index < 2 * IOAPIC_PINS) {
        write_entry(ioapic, index, value);
    }
}

/* 3.1: IOREGSEL is 8 bits of a dword; IOWIN is accessed as a dword only. */
static uint64_t
ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    const Ioapic *ioapic = opaque;
    uint64_t value = 0;

    if ((offset & ~UINT64_C(3)) == OFFSET_SELECT) {
        value = ioapic->select;
    } else if ((offset & ~UINT64_C(3)) == OFFSET_WINDOW) {
        value = read_window(ioapic);
    }
    return value >> (8 * (offset & 3));
}

static void
ioapic_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Ioapic *ioapic = opaque;

    if (offset == OFFSET_SELECT) {
        ioapic->select = (uint8_t)value;
    } else if (offset == OFFSET_WINDOW && size == 4) {
        write_window(ioapic, (uint32_t)value);
    }
}

static const RegionOps ioapic_ops = {
    .read = ioapic_read,
    .write = ioapic_write,
    .widths = 1 | 2 | 4,
};

static bool
ioapic_init_pins(Ioapic *ioapic, GError **error)
{
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        ioapic->pins[i].vector = ioapic->msi->ops->vector_new(ioapic->msi->opaque, error);
        if (ioapic->pins[i].vector == NULL) {
            return false;
        }
    }
    return true;
}

Ioapic *
ioapic_new(const IoapicArgs *args, GError **error)
{
    g_autoptr(Ioapic) ioapic = g_new0(Ioapic, 1);
    const RegionArgs region = {
        .name = "ioapic",
        .base = IOAPIC_BASE,
        .length = IOAPIC_LENGTH,
        .ops = &ioapic_ops,
        .opaque = ioapic,
        .lock = &ioapic->lock,
    };

    g_mutex_init(&ioapic->lock);
    ioapic->msi = args->msi;
    ioapic->irqs = args->irqs;
    if (!ioapic_init_pins(ioapic, error)) {
        return NULL;
    }
    ioapic_reset(ioapic);
    ioapic->region = chip_claim(args->mmio, &region, error);
    return ioapic->region != NULL ? g_steal_pointer(&ioapic) : NULL;
}

void
ioapic_reset(Ioapic *ioapic)
{
    g_mutex_lock(&ioapic->lock);
    ioapic->id = 0;
    ioapic->select = 0;
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        ioapic->pins[i].low = ENTRY_MASKED;
        ioapic->pins[i].high = 0;
        pin_program(ioapic, &ioapic->pins[i]);
    }
    g_mutex_unlock(&ioapic->lock);
}

void
ioapic_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_FIELD(1, Ioapic, id, 0),
        CHIP_FIELD(2, Ioapic, select, 0),
    };
    static const struct bp_state_field pin_fields[] = {
        CHIP_FIELD(1, Pin, low, 0),
        CHIP_FIELD(2, Pin, high, 0),
        CHIP_BOOL(3, Pin, asserted),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, Ioapic, NULL);
    static const ChipObject pin_object = CHIP_OBJECT(2, pin_fields, Pin, NULL);
    Ioapic *ioapic = chip;

    g_mutex_lock(&ioapic->lock);
    chip_state_object(state, &object, 0, ioapic);
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        chip_state_object(state, &pin_object, i, &ioapic->pins[i]);
        if (chip_state_is_after(state)) {
            pin_program(ioapic, &ioapic->pins[i]);
            pin_service_level(ioapic, &ioapic->pins[i]);
        }
    }
    g_mutex_unlock(&ioapic->lock);
}

void
ioapic_free(Ioapic *ioapic)
{
    if (ioapic == NULL) {
        return;
    }
    region_free(ioapic->region);
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        if (ioapic->pins[i].vector != NULL) {
            ioapic->msi->ops->vector_free(ioapic->msi->opaque, ioapic->pins[i].vector);
        }
    }
    g_mutex_clear(&ioapic->lock);
    g_free(ioapic);
}
