/* SPDX-License-Identifier: Apache-2.0 */
/* 8259A pair as in a PC: IRQ8-15 go through a slave into the master's IR2. Reference: Intel 8259A
 * 231468 (ICW = initialisation command word, OCW = operation command word); ELCR: 82371SB, 2.5.4.
 *
 * One lock for the pair. `output` is called under it, so that levels arrive in order; listeners of
 * EOI are called after it is released, because they set lines. An edge stays latched when its line
 * falls before the acknowledge, as in KVM's model: a device may pulse a line. */
#include "board/i8259.h"

#include "board/chip.h"

#define MASTER_PORT 0x20
#define SLAVE_PORT  0xA0
#define CASCADE_IR  2u
#define SPURIOUS_IR 7u
#define ELCR_LEGAL  0xDEF8u

/* Words at the even port. */
#define ICW1          0x10u
#define ICW1_LTIM     0x08u
#define ICW1_SINGLE   0x02u
#define ICW1_IC4      0x01u
#define OCW3          0x08u
#define OCW3_ESMM     0x40u
#define OCW3_SMM      0x20u
#define OCW3_POLL     0x04u
#define OCW3_RR       0x02u
#define OCW3_RIS      0x01u
#define OCW2_ROTATE   0x80u
#define OCW2_SPECIFIC 0x40u
#define OCW2_EOI      0x20u
/* ICW4, at the odd port. */
#define ICW4_SFNM   0x10u
#define ICW4_AEOI   0x02u
#define POLL_RESULT 0x80u

typedef enum {
    PIC_READY,
    PIC_EXPECT_ICW2,
    PIC_EXPECT_ICW3,
    PIC_EXPECT_ICW4,
} PicState;

typedef struct {
    bool is_master;
    uint8_t irr, isr, imr;
    uint8_t lines; /* levels of the inputs; IR2 of the master is the slave's INT */
    uint8_t elcr;
    uint8_t base;   /* ICW2: vector bits 7:3 */
    uint8_t lowest; /* the input of lowest priority */
    bool ltim, single, needs_icw4;
    bool sfnm, aeoi, rotate_on_aeoi;
    bool special_mask, poll, read_isr;
    PicState state;
} Pic;

struct I8259 {
    GMutex lock; /* protects: all below */
    IrqLines *irqs;
    void (*output)(void *opaque, bool level);
    void *opaque;
    Pic master, slave;
    bool intr;
    bool withdrawn; /* INTR fell without an acknowledge: one that comes now is spurious */
    uint16_t ended; /* IRQs whose EOI listeners are to be called */
    Region *regions[2];
};

/* 0 is the highest priority; 8: none of the bits is set. */
static unsigned
pic_priority(const Pic *pic, unsigned bits)
{
    unsigned priority = 0;

    while (priority < 8 && (bits >> ((pic->lowest + 1u + priority) & 7) & 1) == 0) {
        priority++;
    }
    return priority;
}

static unsigned
pic_input(const Pic *pic, unsigned priority)
{
    return (pic->lowest + 1u + priority) & 7;
}

/* The input that interrupts now, or -1. Fully nested: it must be above everything in service.
 * Special mask mode: what is in service and masked locks nothing else out. Special fully nested
 * mode: the slave in service does not lock out the slave. */
static int
pic_pending(const Pic *pic)
{
    unsigned in_service = pic->isr;
    unsigned request = pic_priority(pic, pic->irr & ~(unsigned)pic->imr);

    if (request == 8) {
        return -1;
    }
    if (pic->special_mask) {
        in_service &= ~(unsigned)pic->imr;
    }
    if (pic->sfnm && pic->is_master && pic_input(pic, request) == CASCADE_IR) {
        in_service &= ~(1u << CASCADE_IR);
    }
    return request < pic_priority(pic, in_service) ? (int)pic_input(pic, request) : -1;
}

static void
pic_set_line(Pic *pic, unsigned ir, bool level)
{
    uint8_t bit = (uint8_t)(1u << ir);
    bool is_level = pic->ltim || (pic->elcr & bit) != 0;

    if (level && (is_level || (pic->lines & bit) == 0)) {
        pic->irr |= bit;
    } else if (!level && is_level) {
        pic->irr &= (uint8_t)~bit;
    }
    pic->lines = (uint8_t)(level ? pic->lines | bit : pic->lines & ~bit);
}

/* The slave's INT into the master, the master's INT to the processor. The slave's INT falls and
 * rises again in an INTA sequence when it has more,
 * so a request of the slave always makes an edge. */
static void
update_locked(I8259 *pic)
{
    bool slave = pic_pending(&pic->slave) >= 0;
    bool intr;

    if (slave) {
        pic->master.lines &= (uint8_t) ~(1u << CASCADE_IR);
    }
    pic_set_line(&pic->master, CASCADE_IR, slave);
    intr = pic_pending(&pic->master) >= 0;
    if (intr != pic->intr) {
        pic->intr = intr;
        pic->withdrawn = !intr;
        if (pic->output != NULL) {
            pic->output(pic->opaque, intr);
        }
    }
}

/* Unlocks, and tells those who wait for the end of an interrupt. */
static void
update_and_unlock(I8259 *pic)
{
    uint16_t ended;

    update_locked(pic);
    ended = pic->ended;
    pic->ended = 0;
    g_mutex_unlock(&pic->lock);
    for (unsigned irq = 0; pic->irqs != NULL && ended != 0; irq++, ended >>= 1) {
        if ((ended & 1) != 0) {
            irq_lines_eoi(pic->irqs, irq);
        }
    }
}

static void
pic_end(I8259 *pair, Pic *pic, unsigned ir)
{
    pic->isr &= (uint8_t) ~(1u << ir);
    pair->ended |= (uint16_t)(1u << (ir + (pic->is_master ? 0 : 8)));
}

/* Last INTA pulse for one of the two chips. */
static void
pic_acknowledge(I8259 *pair, Pic *pic, unsigned ir)
{
    uint8_t bit = (uint8_t)(1u << ir);

    if (!pic->ltim && (pic->elcr & bit) == 0) {
        pic->irr &= (uint8_t)~bit;
    }
    if (!pic->aeoi) {
        pic->isr |= bit;
        return;
    }
    pic_end(pair, pic, ir);
    if (pic->rotate_on_aeoi) {
        pic->lowest = (uint8_t)ir;
    }
}

static unsigned
acknowledge_slave(I8259 *pair)
{
    int ir = pic_pending(&pair->slave);

    if (ir < 0) {
        return pair->slave.base + SPURIOUS_IR;
    }
    pic_acknowledge(pair, &pair->slave, (unsigned)ir);
    return pair->slave.base + (unsigned)ir;
}

int
i8259_ack(I8259 *pic)
{
    int vector = -1;
    int ir;

    g_mutex_lock(&pic->lock);
    ir = pic_pending(&pic->master);
    if (ir >= 0) {
        vector = (int)((unsigned)ir == CASCADE_IR && !pic->master.single
                           ? acknowledge_slave(pic)
                           : pic->master.base + (unsigned)ir);
        pic_acknowledge(pic, &pic->master, (unsigned)ir);
    } else if (pic->withdrawn) {
        vector = (int)(pic->master.base + SPURIOUS_IR);
    }
    update_locked(pic);
    pic->withdrawn = false; /* an INTR that falls by an acknowledge was not withdrawn */
    update_and_unlock(pic);
    return vector;
}

bool
i8259_output(I8259 *pic)
{
    bool intr;

    g_mutex_lock(&pic->lock);
    intr = pic->intr;
    g_mutex_unlock(&pic->lock);
    return intr;
}

void
i8259_set_irq(I8259 *pic, unsigned irq, bool level)
{
    if (irq >= 16 || irq == CASCADE_IR) {
        return;
    }
    g_mutex_lock(&pic->lock);
    pic_set_line(irq < 8 ? &pic->master : &pic->slave, irq & 7, level);
    update_and_unlock(pic);
}

static void
pic_set_elcr(Pic *pic, uint8_t elcr)
{
    pic->elcr = elcr;
    pic->irr |= pic->lines & elcr; /* a line that was high became level-triggered */
}

void
i8259_set_elcr(I8259 *pic, uint16_t mask)
{
    g_mutex_lock(&pic->lock);
    pic_set_elcr(&pic->master, (uint8_t)(mask & ELCR_LEGAL));
    pic_set_elcr(&pic->slave, (uint8_t)((mask & ELCR_LEGAL) >> 8));
    update_and_unlock(pic);
}

/* ICW1 resets the edge sense, IMR, priorities, special mask mode and the status read (231468,
 * "Initialization command words"). Without IC4 the functions of ICW4 are off. */
static void
write_icw1(Pic *pic, unsigned value)
{
    pic->ltim = (value & ICW1_LTIM) != 0;
    pic->single = (value & ICW1_SINGLE) != 0;
    pic->needs_icw4 = (value & ICW1_IC4) != 0;
    pic->irr = pic->lines & (pic->ltim ? 0xFF : pic->elcr);
    pic->isr = 0;
    pic->imr = 0;
    pic->lowest = 7;
    pic->special_mask = false;
    pic->poll = false;
    pic->read_isr = false;
    pic->rotate_on_aeoi = false;
    pic->sfnm = false;
    pic->aeoi = false;
    pic->state = PIC_EXPECT_ICW2;
}

static void
write_ocw3(Pic *pic, unsigned value)
{
    if ((value & OCW3_ESMM) != 0) {
        pic->special_mask = (value & OCW3_SMM) != 0;
    }
    if ((value & OCW3_POLL) != 0) {
        pic->poll = true;
    } else if ((value & OCW3_RR) != 0) {
        pic->read_isr = (value & OCW3_RIS) != 0;
    }
}

/* Highest level in service that a non-specific EOI ends: in special mask mode not a masked one. */
static int
non_specific(const Pic *pic)
{
    unsigned bits = pic->special_mask ? pic->isr & ~(unsigned)pic->imr : pic->isr;
    unsigned priority = pic_priority(pic, bits);

    return priority == 8 ? -1 : (int)pic_input(pic, priority);
}

static void
write_ocw2(I8259 *pair, Pic *pic, unsigned value)
{
    bool rotate = (value & OCW2_ROTATE) != 0;
    int ir = (value & OCW2_SPECIFIC) != 0 ? (int)(value & 7) : non_specific(pic);

    switch (value & (OCW2_SPECIFIC | OCW2_EOI)) {
    case 0: /* rotate in automatic EOI mode: set, clear */
        pic->rotate_on_aeoi = rotate;
        return;
    case OCW2_SPECIFIC: /* set priority; without rotate: no operation */
        if (rotate) {
            pic->lowest = (uint8_t)ir;
        }
        return;
    default:
        if (ir < 0) {
            return;
        }
        pic_end(pair, pic, (unsigned)ir);
        if (rotate) {
            pic->lowest = (uint8_t)ir;
        }
    }
}

static void
write_odd(Pic *pic, unsigned value)
{
    switch (pic->state) {
    case PIC_READY:
        pic->imr = (uint8_t)value;
        return;
    case PIC_EXPECT_ICW2:
        pic->base = (uint8_t)(value & 0xF8);
        pic->state = !pic->single ? PIC_EXPECT_ICW3 : pic->needs_icw4 ? PIC_EXPECT_ICW4 : PIC_READY;
        return;
    case PIC_EXPECT_ICW3: /* the wiring is fixed: IR2, slave number 2 */
        pic->state = pic->needs_icw4 ? PIC_EXPECT_ICW4 : PIC_READY;
        return;
    case PIC_EXPECT_ICW4:
        pic->sfnm = (value & ICW4_SFNM) != 0;
        pic->aeoi = (value & ICW4_AEOI) != 0;
        pic->state = PIC_READY;
        return;
    }
}

static void
write_port(I8259 *pair, Pic *pic, uint64_t offset, unsigned value)
{
    g_mutex_lock(&pair->lock);
    if (offset != 0) {
        write_odd(pic, value);
    } else if ((value & ICW1) != 0) {
        write_icw1(pic, value);
    } else if ((value & OCW3) != 0) {
        write_ocw3(pic, value);
    } else {
        write_ocw2(pair, pic, value);
    }
    update_and_unlock(pair);
}

/* The read after a poll command is an acknowledge without a vector. */
static uint8_t
read_poll(I8259 *pair, Pic *pic)
{
    int ir = pic_pending(pic);

    pic->poll = false;
    if (ir < 0) {
        return 0;
    }
    pic_acknowledge(pair, pic, (unsigned)ir);
    return (uint8_t)(POLL_RESULT | (unsigned)ir);
}

static uint8_t
read_port(I8259 *pair, Pic *pic, uint64_t offset)
{
    uint8_t value;

    g_mutex_lock(&pair->lock);
    if (pic->poll) {
        value = read_poll(pair, pic);
    } else if (offset != 0) {
        value = pic->imr;
    } else {
        value = pic->read_isr ? pic->isr : pic->irr;
    }
    update_and_unlock(pair);
    return value;
}

static uint64_t
master_read(void *opaque, uint64_t offset, unsigned size)
{
    I8259 *pair = opaque;
    return read_port(pair, &pair->master, offset);
}

static void
master_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    I8259 *pair = opaque;
    write_port(pair, &pair->master, offset, (unsigned)value & 0xFF);
}

static uint64_t
slave_read(void *opaque, uint64_t offset, unsigned size)
{
    I8259 *pair = opaque;
    return read_port(pair, &pair->slave, offset);
}

static void
slave_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    I8259 *pair = opaque;
    write_port(pair, &pair->slave, offset, (unsigned)value & 0xFF);
}

static const RegionOps master_ops = {.read = master_read, .write = master_write};
static const RegionOps slave_ops = {.read = slave_read, .write = slave_write};

I8259 *
i8259_new(const I8259Args *args, GError **error)
{
    g_autoptr(I8259) pic = g_new0(I8259, 1);
    const RegionArgs master = {
        .name = "i8259-master",
        .base = MASTER_PORT,
        .length = 2,
        .ops = &master_ops,
        .opaque = pic,
    };
    const RegionArgs slave = {
        .name = "i8259-slave",
        .base = SLAVE_PORT,
        .length = 2,
        .ops = &slave_ops,
        .opaque = pic,
    };

    g_mutex_init(&pic->lock);
    pic->irqs = args->irqs;
    pic->output = args->output;
    pic->opaque = args->opaque;
    pic->master.is_master = true;
    i8259_reset(pic);
    pic->regions[0] = chip_claim(args->pio, &master, error);
    pic->regions[1] = pic->regions[0] != NULL ? chip_claim(args->pio, &slave, error) : NULL;
    if (pic->regions[1] == NULL) {
        return NULL;
    }
    return g_steal_pointer(&pic);
}

/* The chip has no reset pin and needs its ICWs; until then it behaves as an uninitialised one that
 * takes OCWs and, like the PIIX3 after PCIRST#, has nothing requested and nothing masked. Levels of
 * the lines belong to the devices. */
static void
pic_reset(Pic *pic)
{
    Pic fresh = {.is_master = pic->is_master, .lines = pic->lines, .lowest = 7};

    *pic = fresh;
}

void
i8259_reset(I8259 *pic)
{
    g_mutex_lock(&pic->lock);
    pic_reset(&pic->master);
    pic_reset(&pic->slave);
    pic->ended = 0;
    update_locked(pic);
    pic->withdrawn = false;
    g_mutex_unlock(&pic->lock);
}

void
i8259_state(void *chip, ChipState *state)
{
    static const struct bp_state_field pic_fields[] = {
        CHIP_FIELD(1, Pic, irr, 0),
        CHIP_FIELD(2, Pic, isr, 0),
        CHIP_FIELD(3, Pic, imr, 0),
        CHIP_FIELD(4, Pic, lines, 0),
        CHIP_FIELD(5, Pic, elcr, 0),
        CHIP_FIELD(6, Pic, base, 0),
        CHIP_FIELD(7, Pic, lowest, 7),
        CHIP_BOOL(8, Pic, ltim),
        CHIP_BOOL(9, Pic, single),
        CHIP_BOOL(10, Pic, needs_icw4),
        CHIP_BOOL(11, Pic, sfnm),
        CHIP_BOOL(12, Pic, aeoi),
        CHIP_BOOL(13, Pic, rotate_on_aeoi),
        CHIP_BOOL(14, Pic, special_mask),
        CHIP_BOOL(15, Pic, poll),
        CHIP_BOOL(16, Pic, read_isr),
        CHIP_FIELD(17, Pic, state, PIC_EXPECT_ICW4),
    };
    static const struct bp_state_field pair_fields[] = {CHIP_BOOL(1, I8259, withdrawn)};
    static const ChipObject pic_object = CHIP_OBJECT(1, pic_fields, Pic, NULL);
    static const ChipObject pair_object = CHIP_OBJECT(3, pair_fields, I8259, NULL);
    I8259 *pic = chip;
    bool withdrawn;

    g_mutex_lock(&pic->lock);
    chip_state_object(state, &pic_object, 0, &pic->master);
    chip_state_object(state, &pic_object, 1, &pic->slave);
    chip_state_object(state, &pair_object, 0, pic);
    if (chip_state_is_after(state)) {
        withdrawn = pic->withdrawn;
        update_locked(pic);
        pic->withdrawn = withdrawn && !pic->intr;
    }
    g_mutex_unlock(&pic->lock);
}

void
i8259_free(I8259 *pic)
{
    if (pic == NULL) {
        return;
    }
    region_free(pic->regions[0]);
    region_free(pic->regions[1]);
    g_mutex_clear(&pic->lock);
    g_free(pic);
}
