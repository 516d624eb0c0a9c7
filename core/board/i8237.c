/* SPDX-License-Identifier: Apache-2.0 */
/* The 8237A pair as the PIIX3 has it. Reference: Intel 8237A 231466; 82371SB (Intel 290550), 2.4
 * and 2.5.1: there, memory-to-memory transfers, compressed timing and extended write do not exist,
 * the bits are reserved. Channels 0-3 move bytes, 5-7 words; channel 4 cascades controller 0.
 *
 * Channel 4 need not be unmasked for 0-3 to work: firmware always does it, and a machine started
 * without firmware should not differ. DREQ and DACK polarity (command bits 6, 7) describe wires
 * that do not exist: a request is a request.
 *
 * A device's `ready` is called without the lock, and its release waits for that call to end. */
#include "board/i8237.h"

#include "base/error.h"
#include "base/log.h"
#include "board/chip.h"

#include <errno.h>
#include <string.h>

#define CHANNELS        8u
#define PER_CONTROLLER  4u
#define CASCADE_CHANNEL 4u
#define PAGE_PORT       0x80
#define HIGH_PAGE_PORT  0x480
#define PAGE_COUNT      16u
#define POST_PAGE       0u /* port 80h */
#define COPY_UNIT       4096u

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

#define COMMAND_DISABLE  0x04u
#define MODE_DIRECTION   2 /* shift: bits 3:2 */
#define MODE_AUTOINIT    0x10u
#define MODE_DECREMENT   0x20u
#define MODE_TRANSFER    6 /* shift: bits 7:6 */
#define TRANSFER_CASCADE 3u
#define SELECT_SET       0x04u /* single mask, request: set, not clear */

typedef struct {
    uint16_t base_address, address;
    uint16_t base_count, count;
    uint8_t mode;
    bool masked, dreq, requested, terminal;
    bool claimed;
    unsigned notifying; /* calls of ready going on */
    void (*ready)(void *opaque);
    void *opaque;
} Channel;

typedef struct {
    uint8_t command;
    bool high_byte; /* the flip-flop: the next access is to the high byte */
} Controller;

struct IsaDma {
    GMutex lock; /* protects: all below */
    GCond notified;
    GuestMemory *memory;
    Channel channels[CHANNELS];
    Controller controllers[2];
    uint8_t pages[PAGE_COUNT];      /* 80h-8Fh */
    uint8_t high_pages[PAGE_COUNT]; /* 480h-48Fh */
    Region *regions[4];
};

/* Which page register belongs to a channel (290550, table 3); the others are scratch. */
static const uint8_t channel_page[CHANNELS] = {7, 3, 1, 2, 15, 11, 9, 10};

static Controller *
channel_controller(IsaDma *dma, unsigned channel)
{
    return &dma->controllers[channel / PER_CONTROLLER];
}

static unsigned
channel_width(unsigned channel)
{
    return channel < PER_CONTROLLER ? 1 : 2;
}

/* May this channel transfer? A software request passes the mask (231466, "Software commands"). */
static bool
channel_is_open(IsaDma *dma, unsigned channel)
{
    const Channel *c = &dma->channels[channel];

    return (channel_controller(dma, channel)->command & COMMAND_DISABLE) == 0 &&
           c->mode >> MODE_TRANSFER != TRANSFER_CASCADE && (!c->masked || c->requested);
}

/* The address in bytes. The page registers do not count: addresses wrap in 64 KiB,
 * on word channels in 128 KiB, where page bit 0 is ignored (290550, 2.4.8). */
static uint64_t
channel_gpa(const IsaDma *dma, unsigned channel)
{
    unsigned page = channel_page[channel];
    uint64_t gpa = (uint64_t)dma->high_pages[page] << 24;

    if (channel_width(channel) == 1) {
        return gpa | (uint64_t)dma->pages[page] << 16 | dma->channels[channel].address;
    }
    return gpa | (uint64_t)(dma->pages[page] & 0xFE) << 16 |
           (uint64_t)dma->channels[channel].address << 1;
}

/* One run of bytes at ascending addresses; what is no memory reads FF and loses writes. */
static void
copy_run(GuestMemory *memory, uint64_t gpa, uint8_t *data, uint32_t length, bool to_memory)
{
    while (length > 0) {
        uint32_t room = COPY_UNIT - (uint32_t)(gpa % COPY_UNIT);
        uint32_t part = MIN(length, room);
        uint8_t *hva = NULL;
        uint64_t found = guest_memory_lookup(memory, gpa, part, to_memory, &hva);

        if (found != 0) {
            part = (uint32_t)MIN(found, part);
        }
        if (hva != NULL && to_memory) {
            memcpy(hva, data, part);
        } else if (hva != NULL) {
            memcpy(data, hva, part);
        } else if (!to_memory) {
            memset(data, 0xFF, part);
        }
        gpa += part;
        data += part;
        length -= part;
    }
}

/* Moves `units` transfers, all before the terminal count. */
static void
channel_copy(IsaDma *dma, unsigned channel, uint8_t *data, uint32_t units)
{
    Channel *c = &dma->channels[channel];
    unsigned width = channel_width(channel);
    unsigned direction = c->mode >> MODE_DIRECTION & 3;
    bool decrement = (c->mode & MODE_DECREMENT) != 0;
    bool moves = direction == ISA_DMA_TO_MEMORY || direction == ISA_DMA_FROM_MEMORY;

    while (units > 0) {
        /* Ascending: up to the wrap of the 16-bit address. Descending: unit by unit. */
        uint32_t run = decrement ? 1 : MIN(units, 0x10000u - c->address);

        if (moves) {
            copy_run(dma->memory, channel_gpa(dma, channel), data, run * width,
                     direction == ISA_DMA_TO_MEMORY);
        }
        c->address = (uint16_t)(decrement ? c->address - run : c->address + run);
        c->count = (uint16_t)(c->count - run);
        data = moves ? data + (size_t)run * width : data; /* verify: data may be NULL */
        units -= run;
    }
}

/* The count rolled over from 0 to FFFFh (231466, "Autoinitialize", "Mask register"). */
static void
channel_terminal(Channel *c)
{
    c->terminal = true;
    c->requested = false;
    if ((c->mode & MODE_AUTOINIT) != 0) {
        c->address = c->base_address;
        c->count = c->base_count;
    } else {
        c->masked = true;
    }
}

static uint32_t
channel_transfer(IsaDma *dma, unsigned channel, uint8_t *data, uint32_t length, bool *terminal)
{
    Channel *c = &dma->channels[channel];
    uint32_t units = MIN(length / channel_width(channel), (uint32_t)c->count + 1);
    bool last = units == (uint32_t)c->count + 1;

    channel_copy(dma, channel, data, units);
    if (last) {
        channel_terminal(c);
        *terminal = true;
    }
    return units * channel_width(channel);
}

uint32_t
isa_dma_transfer(IsaDma *dma, unsigned channel, void *data, uint32_t length, bool *terminal)
{
    uint32_t moved = 0;

    *terminal = false;
    if (channel >= CHANNELS || channel == CASCADE_CHANNEL) {
        return 0;
    }
    g_mutex_lock(&dma->lock);
    if (channel_is_open(dma, channel)) {
        moved = channel_transfer(dma, channel, data, length, terminal);
    }
    g_mutex_unlock(&dma->lock);
    return moved;
}

void
isa_dma_status(IsaDma *dma, unsigned channel, IsaDmaStatus *status)
{
    const Channel *c;

    *status = (IsaDmaStatus){.masked = true};
    if (channel >= CHANNELS) {
        return;
    }
    c = &dma->channels[channel];
    g_mutex_lock(&dma->lock);
    status->direction = (IsaDmaDirection)(c->mode >> MODE_DIRECTION & 3);
    status->masked = !channel_is_open(dma, channel);
    status->autoinit = (c->mode & MODE_AUTOINIT) != 0;
    status->decrement = (c->mode & MODE_DECREMENT) != 0;
    status->mode = c->mode >> MODE_TRANSFER;
    status->remaining_bytes = ((uint32_t)c->count + 1) * channel_width(channel);
    g_mutex_unlock(&dma->lock);
}

int
isa_dma_claim(IsaDma *dma, unsigned channel, void (*ready)(void *opaque), void *opaque)
{
    Channel *c;
    int result = -EBUSY;

    if (channel >= CHANNELS || channel == CASCADE_CHANNEL) {
        return -EINVAL;
    }
    c = &dma->channels[channel];
    g_mutex_lock(&dma->lock);
    if (!c->claimed) {
        c->claimed = true;
        c->ready = ready;
        c->opaque = opaque;
        result = 0;
    }
    g_mutex_unlock(&dma->lock);
    return result;
}

void
isa_dma_release(IsaDma *dma, unsigned channel)
{
    Channel *c;

    if (channel >= CHANNELS) {
        return;
    }
    c = &dma->channels[channel];
    g_mutex_lock(&dma->lock);
    c->ready = NULL;
    c->claimed = false;
    c->dreq = false;
    while (c->notifying != 0) {
        g_cond_wait(&dma->notified, &dma->lock);
    }
    g_mutex_unlock(&dma->lock);
}

void
isa_dma_set_dreq(IsaDma *dma, unsigned channel, bool level)
{
    if (channel < CHANNELS) {
        g_mutex_lock(&dma->lock);
        dma->channels[channel].dreq = level;
        g_mutex_unlock(&dma->lock);
    }
}

/* A software request on a channel without a device: the data bus floats, the count runs out. */
static void
run_without_device(IsaDma *dma, unsigned channel)
{
    uint8_t floating[256];
    bool terminal = false;

    while (!terminal && channel_is_open(dma, channel)) {
        memset(floating, 0xFF, sizeof(floating));
        (void)channel_transfer(dma, channel, floating, sizeof(floating), &terminal);
    }
}

/* After registers of `channels` (a bit mask) changed: who waits may go on. Releases the lock. */
static void
notify_and_unlock(IsaDma *dma, unsigned channels)
{
    for (unsigned channel = 0; channel < CHANNELS; channel++) {
        Channel *c = &dma->channels[channel];

        if ((channels >> channel & 1) == 0 || !channel_is_open(dma, channel) ||
            !(c->dreq || c->requested)) {
            continue;
        }
        if (!c->claimed) {
            run_without_device(dma, channel);
        } else if (c->ready != NULL) {
            void (*ready)(void *) = c->ready;
            void *opaque = c->opaque;

            c->notifying++;
            g_mutex_unlock(&dma->lock);
            ready(opaque);
            g_mutex_lock(&dma->lock);
            c->notifying--;
            g_cond_broadcast(&dma->notified);
        }
    }
    g_mutex_unlock(&dma->lock);
}

/* Status: terminal counts (cleared by the read), requests (231466, "Status register"). */
static uint8_t
read_status(IsaDma *dma, unsigned first)
{
    unsigned status = 0;

    for (unsigned i = 0; i < PER_CONTROLLER; i++) {
        Channel *c = &dma->channels[first + i];
        status |= (c->terminal ? 1u : 0) << i | (c->dreq || c->requested ? 0x10u : 0) << i;
        c->terminal = false;
    }
    return (uint8_t)status;
}

static uint8_t
read_mask(const IsaDma *dma, unsigned first)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < PER_CONTROLLER; i++) {
        mask |= (dma->channels[first + i].masked ? 1u : 0) << i;
    }
    return (uint8_t)mask;
}

/* Registers that cannot be read leave the bus floating; the temporary register exists for
 * memory-to- memory transfers only and reads 0. */
static uint8_t
controller_read(IsaDma *dma, unsigned index, unsigned reg)
{
    Controller *controller = &dma->controllers[index];
    unsigned first = index * PER_CONTROLLER;
    const Channel *c = &dma->channels[first + reg / 2 % PER_CONTROLLER];
    unsigned value;

    switch (reg) {
    case REG_STATUS_COMMAND:
        return read_status(dma, first);
    case REG_MASTER_CLEAR:
        return 0;
    case REG_ALL_MASK:
        return read_mask(dma, first);
    default:
        if (reg > REG_ALL_MASK || reg >= REG_STATUS_COMMAND) {
            return 0xFF;
        }
    }
    value = reg % 2 != 0 ? c->count : c->address;
    value >>= controller->high_byte ? 8 : 0;
    controller->high_byte = !controller->high_byte;
    return (uint8_t)value;
}

/* Base and current register are written together, a byte at a time. */
static bool
write_pair(Controller *controller, uint16_t *base, uint16_t *current, uint8_t value)
{
    bool complete = controller->high_byte;
    unsigned shift = complete ? 8 : 0;

    *base = (uint16_t)((*base & ~(0xFFu << shift)) | (unsigned)value << shift);
    *current = (uint16_t)((*current & ~(0xFFu << shift)) | (unsigned)value << shift);
    controller->high_byte = !complete;
    return complete;
}

static void
master_clear(IsaDma *dma, unsigned index)
{
    dma->controllers[index] = (Controller){0};
    for (unsigned i = 0; i < PER_CONTROLLER; i++) {
        Channel *c = &dma->channels[index * PER_CONTROLLER + i];
        c->masked = true;
        c->requested = false;
        c->terminal = false;
    }
}

static void
write_masks(IsaDma *dma, unsigned first, unsigned bits)
{
    for (unsigned i = 0; i < PER_CONTROLLER; i++) {
        dma->channels[first + i].masked = (bits >> i & 1) != 0;
    }
}

/* Returns the channels that may go on, as a mask of the controller's four. */
static unsigned
controller_write(IsaDma *dma, unsigned index, unsigned reg, uint8_t value)
{
    const unsigned all = 0xF;
    Controller *controller = &dma->controllers[index];
    unsigned first = index * PER_CONTROLLER;
    Channel *selected = &dma->channels[first + (value & 3)];
    Channel *c = &dma->channels[first + reg / 2 % PER_CONTROLLER];

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
        master_clear(dma, index);
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
    channels = controller_write(dma, index, reg, (uint8_t)value) << (index * PER_CONTROLLER);
    notify_and_unlock(dma, channels);
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

static bool
i8237_init_ports(IsaDma *dma, AddressSpace *pio, GError **error)
{
    const RegionArgs args[] = {
        {.name = "i8237-bytes", .base = 0x00, .length = 0x10, .ops = &bytes_ops},
        {.name = "i8237-words", .base = 0xC0, .length = 0x20, .ops = &words_ops},
        {.name = "dma-pages",
         .base = PAGE_PORT,
         .length = PAGE_COUNT,
         .ops = &page_ops,
         .lock = &dma->lock},
        {.name = "dma-high-pages",
         .base = HIGH_PAGE_PORT,
         .length = PAGE_COUNT,
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

IsaDma *
i8237_new(const I8237Args *args, GError **error)
{
    g_autoptr(IsaDma) dma = g_new0(IsaDma, 1);

    g_mutex_init(&dma->lock);
    g_cond_init(&dma->notified);
    dma->memory = args->bus->memory;
    i8237_reset(dma);
    return i8237_init_ports(dma, args->bus->pio, error) ? g_steal_pointer(&dma) : NULL;
}

void
i8237_reset(IsaDma *dma)
{
    g_mutex_lock(&dma->lock);
    master_clear(dma, 0);
    master_clear(dma, 1);
    for (unsigned i = 0; i < CHANNELS; i++) {
        Channel *c = &dma->channels[i];
        c->base_address = c->address = 0;
        c->base_count = c->count = 0;
        c->mode = 0;
    }
    memset(dma->pages, 0, sizeof(dma->pages));
    memset(dma->high_pages, 0, sizeof(dma->high_pages));
    g_mutex_unlock(&dma->lock);
}

void
i8237_free(IsaDma *dma)
{
    if (dma == NULL) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(dma->regions); i++) {
        g_clear_pointer(&dma->regions[i], region_free);
    }
    g_cond_clear(&dma->notified);
    g_mutex_clear(&dma->lock);
    g_free(dma);
}
