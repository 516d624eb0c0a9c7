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
#include "board/i8237_internal.h"

#include <errno.h>
#include <string.h>

#define CASCADE_CHANNEL  4u
#define COPY_UNIT        4096u
#define MODE_DIRECTION   2 /* shift: bits 3:2 */
#define MODE_AUTOINIT    0x10u
#define MODE_DECREMENT   0x20u
#define MODE_TRANSFER    6 /* shift: bits 7:6 */
#define TRANSFER_CASCADE 3u

/* Which page register belongs to a channel (290550, table 3); the others are scratch. */
static const uint8_t channel_page[I8237_CHANNELS] = {7, 3, 1, 2, 15, 11, 9, 10};

static I8237Controller *
channel_controller(IsaDma *dma, unsigned channel)
{
    return &dma->controllers[channel / I8237_PER_CONTROLLER];
}

static unsigned
channel_width(unsigned channel)
{
    return channel < I8237_PER_CONTROLLER ? 1 : 2;
}

/* May this channel transfer? A software request passes the mask (231466, "Software commands"). */
static bool
channel_is_open(IsaDma *dma, unsigned channel)
{
    const I8237Channel *c = &dma->channels[channel];

    return (channel_controller(dma, channel)->command & I8237_COMMAND_DISABLE) == 0 &&
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
    I8237Channel *c = &dma->channels[channel];
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
channel_terminal(I8237Channel *c)
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
    I8237Channel *c = &dma->channels[channel];
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
    if (channel >= I8237_CHANNELS || channel == CASCADE_CHANNEL) {
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
    const I8237Channel *c;

    *status = (IsaDmaStatus){.masked = true};
    if (channel >= I8237_CHANNELS) {
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
    I8237Channel *c;
    int result = -EBUSY;

    if (channel >= I8237_CHANNELS || channel == CASCADE_CHANNEL) {
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
    I8237Channel *c;

    if (channel >= I8237_CHANNELS) {
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
    if (channel < I8237_CHANNELS) {
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
void
i8237_notify_and_unlock(IsaDma *dma, unsigned channels)
{
    for (unsigned channel = 0; channel < I8237_CHANNELS; channel++) {
        I8237Channel *c = &dma->channels[channel];

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
    i8237_master_clear_locked(dma, 0);
    i8237_master_clear_locked(dma, 1);
    for (unsigned i = 0; i < I8237_CHANNELS; i++) {
        I8237Channel *c = &dma->channels[i];
        c->base_address = c->address = 0;
        c->base_count = c->count = 0;
        c->mode = 0;
    }
    memset(dma->pages, 0, sizeof(dma->pages));
    memset(dma->high_pages, 0, sizeof(dma->high_pages));
    g_mutex_unlock(&dma->lock);
}

void
i8237_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_ARRAY(1, IsaDma, pages),
        CHIP_ARRAY(2, IsaDma, high_pages),
    };
    static const struct bp_state_field controller_fields[] = {
        CHIP_FIELD(1, I8237Controller, command, 0),
        CHIP_BOOL(2, I8237Controller, high_byte),
    };
    static const struct bp_state_field channel_fields[] = {
        CHIP_FIELD(1, I8237Channel, base_address, 0), CHIP_FIELD(2, I8237Channel, address, 0),
        CHIP_FIELD(3, I8237Channel, base_count, 0),   CHIP_FIELD(4, I8237Channel, count, 0),
        CHIP_FIELD(5, I8237Channel, mode, 0),         CHIP_BOOL(6, I8237Channel, masked),
        CHIP_BOOL(7, I8237Channel, requested),        CHIP_BOOL(8, I8237Channel, terminal),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, IsaDma, NULL);
    static const ChipObject controller_object =
        CHIP_OBJECT(2, controller_fields, I8237Controller, NULL);
    static const ChipObject channel_object = CHIP_OBJECT(4, channel_fields, I8237Channel, NULL);
    IsaDma *dma = chip;

    /* DREQ is the device's, who raises it again. */
    g_mutex_lock(&dma->lock);
    chip_state_object(state, &object, 0, dma);
    for (unsigned i = 0; i < G_N_ELEMENTS(dma->controllers); i++) {
        chip_state_object(state, &controller_object, i, &dma->controllers[i]);
    }
    for (unsigned i = 0; i < I8237_CHANNELS; i++) {
        chip_state_object(state, &channel_object, i, &dma->channels[i]);
    }
    g_mutex_unlock(&dma->lock);
}

void
i8237_free(IsaDma *dma)
{
    if (dma == NULL) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(dma->regions); i++) {
        region_free(dma->regions[i]);
    }
    g_cond_clear(&dma->notified);
    g_mutex_clear(&dma->lock);
    g_free(dma);
}
