/* SPDX-License-Identifier: Apache-2.0 */
/* The ports of the two 8237As and of their page registers: 00h-0Fh, 80h-8Fh, C0h-DFh, 480h-48Fh.
 * Reference: Intel 8237A 231466, "Software commands" and the register tables. */
#include "board/i8237_internal.h"

#include "base/log.h"
#include "board/chip.h"

#define PAGE_PORT      0x80
#define HIGH_PAGE_PORT 0x480
#define POST_PAGE      0u    /* port 80h */
#define SELECT_SET     0x04u /* single mask, request: set, not clear */

/* Register numbers after the eight address and count registers (231466, table 4). */
enum {
    REG_STATUS_COMMAND = 0x8,
    REG_REQUEST = 0x9,
    REG_SINGLE_MASK = 0xA,
    REG_MODE = 0xB,
    REG_CLEAR_FLIP_FLOP = 0xC,
    REG_MASTER_CLEAR = 0xD,
    REG_CLEAR_MASK = 0xE,
    REG_ALL_MASK = 0xF,
};

/* Status: terminal counts (cleared by the read), requests (231466, "Status register"). */
static uint8_t
read_status(IsaDma *dma, unsigned first)
{
    unsigned status = 0;

    for (unsigned i = 0; i < I8237_PER_CONTROLLER; i++) {
        I8237Channel *c = &dma->channels[first + i];
        status |= (c->terminal ? 1u : 0) << i | (c->dreq || c->requested ? 0x10u : 0) << i;
        c->terminal = false;
    }
    return (uint8_t)status;
}

static uint8_t
read_mask(const IsaDma *dma, unsigned first)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < I8237_PER_CONTROLLER; i++) {
        mask |= (dma->channels[first + i].masked ? 1u : 0) << i;
    }
    return (uint8_t)mask;
}

/* Registers that cannot be read leave the bus floating; the temporary register exists for
 * memory-to- memory transfers only and reads 0. */
static uint8_t
controller_read(IsaDma *dma, unsigned index, unsigned reg)
{
    I8237Controller *controller = &dma->controllers[index];
    unsigned first = index * I8237_PER_CONTROLLER;
    const I8237Channel *c = &dma->channels[first + reg / 2 % I8237_PER_CONTROLLER];
    unsigned value;

    switch (reg) {
    case REG_STATUS_COMMAND:
        return read_status(dma, first);
    case REG_MASTER_CLEAR:
        return 0;
    case REG_ALL_MASK:
        return read_mask(dma, first);
    default:
        break;
    }
    if (reg > REG_STATUS_COMMAND) {
        return 0xFF;
    }
    value = reg % 2 != 0 ? c->count : c->address;
    value >>= controller->high_byte ? 8 : 0;
    controller->high_byte = !controller->high_byte;
    return (uint8_t)value;
}

/* Base and current register are written together, a byte at a time. */
static bool
write_pair(I8237Controller *controller, uint16_t *base, uint16_t *current, uint8_t value)
{
    bool complete = controller->high_byte;
    unsigned shift = complete ? 8 : 0;

    *base = (uint16_t)((*base & ~(0xFFu << shift)) | (unsigned)value << shift);
    *current = (uint16_t)((*current & ~(0xFFu << shift)) | (unsigned)value << shift);
    controller->high_byte = !complete;
    return complete;
}

void
i8237_master_clear_locked(IsaDma *dma, unsigned index)
{
    dma->controllers[index] = (I8237Controller){0};
    for (unsigned i = 0; i < I8237_PER_CONTROLLER; i++) {
        I8237Channel *c = &dma->channels[index * I8237_PER_CONTROLLER + i];
        c->masked = true;
        c->requested = false;
        c->terminal = false;
    }
}

static void
write_masks(IsaDma *dma, unsigned first, unsigned bits)
{
    for (unsigned i = 0; i < I8237_PER_CONTROLLER; i++) {
        dma->channels[first + i].masked = (bits >> i & 1) != 0;
    }
}

/* Returns the channels that may go on, as a mask of the controller's four. */
static unsigned
controller_write(IsaDma *dma, unsigned index, unsigned reg, uint8_t value)
{
    const unsigned all = 0xF;
    I8237Controller *controller = &dma->controllers[index];
    unsigned first = index * I8237_PER_CONTROLLER;
    I8237Channel *selected = &dma->channels[first + (value & 3)];
    I8237Channel *c = &dma->channels[first + reg / 2 % I8237_PER_CONTROLLER];

    switch (reg) {
    case REG_STATUS_COMMAND:
        controller->command = value;
        return all;
    case REG_REQUEST:
        selected->requested = (value & SELECT_SET) != 0;
        return 1u << (value & 3);
    case REG_SINGLE_MASK:
        selected->masked = (value & SELECT_SET) != 0;
        return 1u << (value & 3);
    case REG_MODE:
        selected->mode = value & 0xFC;
        return 1u << (value & 3);
    case REG_CLEAR_FLIP_FLOP:
        controller->high_byte = false;
        return 0;
    case REG_MASTER_CLEAR:
        i8237_master_clear_locked(dma, index);
        return 0;
    case REG_CLEAR_MASK:
        write_masks(dma, first, 0);
        return all;
    case REG_ALL_MASK:
        write_masks(dma, first, value);
        return all;
    default:
        break;
    }
    if (reg % 2 == 0) {
        (void)write_pair(controller, &c->base_address, &c->address, value);
        return 0;
    }
    return write_pair(controller, &c->base_count, &c->count, value) ? 1u << reg / 2 : 0;
}

static uint64_t
access_read(IsaDma *dma, unsigned index, unsigned reg)
{
    uint8_t value;

    g_mutex_lock(&dma->lock);
    value = controller_read(dma, index, reg);
    g_mutex_unlock(&dma->lock);
    return value;
}

static void
access_write(IsaDma *dma, unsigned index, unsigned reg, uint64_t value)
{
    unsigned channels;

    g_mutex_lock(&dma->lock);
    channels = controller_write(dma, index, reg, (uint8_t)value) << (index * I8237_PER_CONTROLLER);
    i8237_notify_and_unlock(dma, channels);
}

static uint64_t
bytes_read(void *opaque, uint64_t offset, unsigned size)
{
    return access_read(opaque, 0, (unsigned)offset);
}

static void
bytes_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    access_write(opaque, 0, (unsigned)offset, value);
}

/* Controller 1 is wired to address bits 4:1; bit 0 selects nothing. */
static uint64_t
words_read(void *opaque, uint64_t offset, unsigned size)
{
    return access_read(opaque, 1, (unsigned)offset >> 1);
}

static void
words_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    access_write(opaque, 1, (unsigned)offset >> 1, value);
}

static uint64_t
page_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((const IsaDma *)opaque)->pages[offset];
}

static void
page_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    IsaDma *dma = opaque;

    dma->pages[offset] = (uint8_t)value;
    dma->high_pages[offset] = 0; /* so that software that knows 16 MiB only gets what it means */
    if (offset == POST_PAGE) {
        log_debug("post", "code %02x", (unsigned)value & 0xFF);
    }
}

static uint64_t
high_page_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((const IsaDma *)opaque)->high_pages[offset];
}

static void
high_page_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    ((IsaDma *)opaque)->high_pages[offset] = (uint8_t)value;
}

static const RegionOps bytes_ops = {.read = bytes_read, .write = bytes_write};
static const RegionOps words_ops = {.read = words_read, .write = words_write};
static const RegionOps page_ops = {.read = page_read, .write = page_write};
static const RegionOps high_page_ops = {.read = high_page_read, .write = high_page_write};

bool
i8237_init_ports(IsaDma *dma, AddressSpace *pio, GError **error)
{
    const RegionArgs args[] = {
        {.name = "i8237-bytes", .base = 0x00, .length = 0x10, .ops = &bytes_ops},
        {.name = "i8237-words", .base = 0xC0, .length = 0x20, .ops = &words_ops},
        {.name = "dma-pages",
         .base = PAGE_PORT,
         .length = I8237_PAGES,
         .ops = &page_ops,
         .lock = &dma->lock},
        {.name = "dma-high-pages",
         .base = HIGH_PAGE_PORT,
         .length = I8237_PAGES,
         .ops = &high_page_ops,
         .lock = &dma->lock},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(args); i++) {
        RegionArgs region = args[i];

        region.opaque = dma;
        dma->regions[i] = chip_claim(pio, &region, error);
        if (dma->regions[i] == NULL) {
            return false;
        }
    }
    return true;
}
