/* SPDX-License-Identifier: Apache-2.0 */
/* The bus master of each channel: BMICX, BMISX, BMIDTPX and the table of physical region
 * descriptors.
 *
 * Active and Interrupt follow the table of "Programming Interface for Bus Master IDE
 * Controller" 1.0, section 3.1: both when the table is longer than the transfer, Interrupt alone
 * when they are equal, neither when the table is shorter. A table ends with its EOT bit or at the
 * 64 KiB boundary that it must not cross (section 1.2). The direction is the command's; what BMICX
 * says about it is only remembered. */
#include "ide.h"

#include <stdlib.h>
#include <string.h>

#define BM_COMMAND_START 0x01u
#define BM_COMMAND_MASK  0x09u /* start, direction */
#define BM_STATUS_ACTIVE 0x01u
#define BM_STATUS_ERROR  0x02u
#define BM_STATUS_INT    0x04u
#define BM_STATUS_DRIVES 0x60u /* "drive n DMA capable": firmware's notes */

#define BM_PORTS       8u /* of one channel */
#define BM_ALL_PORTS   16u
#define BM_TABLE_LIMIT 0x10000u
#define PRD_EOT        0x80000000u

void
ide_bus_master_reset(struct ide_bus_master *bm)
{
    memset(bm, 0, sizeof(*bm));
}

uint32_t
ide_bus_master_running(const struct ide_bus_master *bm)
{
    return (bm->command & BM_COMMAND_START) && (bm->status & BM_STATUS_ACTIVE) && !bm->stopping;
}

/* --- guest memory ---------------------------------------------------------------------------- */

int32_t
ide_sg_init(struct ide_sg *sg)
{
    sg->iov = calloc(IDE_SG_PIECES, sizeof(*sg->iov));
    sg->gpa = calloc(IDE_SG_PIECES, sizeof(*sg->gpa));
    sg->lengths = calloc(IDE_SG_PIECES, sizeof(*sg->lengths));
    sg->max = IDE_SG_PIECES;
    return sg->iov != NULL && sg->gpa != NULL && sg->lengths != NULL ? 0 : -ENOMEM;
}

void
ide_sg_done(struct ide_sg *sg)
{
    free(sg->iov);
    free(sg->gpa);
    free(sg->lengths);
}

void
ide_sg_mark_dirty(struct ide *ide, const struct ide_sg *sg)
{
    const struct bp_ram_view *view = ide->host.memory->view(ide->host.instance);

    for (uint32_t i = 0; i < sg->count; i++) {
        bp_ram_mark_dirty(view, sg->gpa[i], sg->lengths[i]);
    }
}

uint32_t
ide_may_master(struct ide *ide)
{
    return (ide->host.pci->command(ide->host.instance) & 0x4) != 0;
}

/* --- descriptors ----------------------------------------------------------------------------- */

/* Makes sure that the cursor stands in a region with bytes left. */
static int32_t
load_region(struct ide *ide, const struct bp_ram_view *view, struct ide_prd_cursor *cursor)
{
    const uint8_t *prd;
    uint32_t word[2];

    if (cursor->left != 0) {
        return IDE_SG_OK;
    }
    if (cursor->last || cursor->budget == 0) {
        return IDE_SG_SHORT;
    }
    prd = bp_ram_translate(view, cursor->next, sizeof(word), 0);
    if (prd == NULL) {
        return IDE_SG_FAULT;
    }
    memcpy(word, prd, sizeof(word)); /* once: the guest may be writing it */
    cursor->address = word[0] & ~1u;
    cursor->left = word[1] & 0xfffe;
    if (cursor->left == 0) {
        cursor->left = 0x10000;
    }
    cursor->last = (word[1] & PRD_EOT) != 0;
    cursor->next += sizeof(word);
    cursor->budget--;
    return IDE_SG_OK;
}

static void
consume(struct ide_prd_cursor *cursor, uint32_t bytes)
{
    cursor->address += bytes;
    cursor->left -= bytes;
}

/* The longest piece of RAM at the cursor, at most max bytes; NULL: not RAM. */
static uint8_t *
translate(const struct bp_ram_view *view, const struct ide_prd_cursor *cursor, uint64_t max,
          uint32_t to_memory, uint32_t *length)
{
    uint64_t n = bp_ram_contiguous(view, cursor->address);

    n = n < cursor->left ? n : cursor->left;
    n = n < max ? n : max;
    *length = (uint32_t)n;
    return n != 0 ? bp_ram_translate(view, cursor->address, n, to_memory) : NULL;
}

/* Remembers where the last whole grain ended, so that what follows can be given back. */
struct boundary {
    uint64_t want;
    uint32_t grain;
    uint32_t count;
    uint64_t bytes;
    uint64_t last_length; /* of piece count - 1 */
    struct ide_prd_cursor cursor;
};

static void
add_piece(struct ide_sg *sg, uint8_t *base, struct ide_prd_cursor *cursor, uint32_t length,
          struct boundary *boundary)
{
    uint64_t total = sg->bytes + length;
    uint64_t whole = total == boundary->want ? total : total - total % boundary->grain;

    if (whole > sg->bytes) {
        boundary->count = sg->count + 1;
        boundary->bytes = whole;
        boundary->last_length = whole - sg->bytes;
        boundary->cursor = *cursor;
        consume(&boundary->cursor, (uint32_t)(whole - sg->bytes));
    }
    sg->iov[sg->count].base = base;
    sg->iov[sg->count].length = length;
    sg->lengths[sg->count] = length;
    sg->gpa[sg->count] = cursor->address;
    sg->count++;
    sg->bytes = total;
    consume(cursor, length);
}

int32_t
ide_bus_master_gather(struct ide_channel *channel, uint64_t want, uint32_t grain,
                      uint32_t to_memory, struct ide_sg *sg)
{
    struct ide *ide = channel->ide;
    const struct bp_ram_view *view = ide->host.memory->view(ide->host.instance);
    struct ide_prd_cursor cursor = channel->bm.cursor;
    struct boundary boundary = {.want = want, .grain = grain, .cursor = cursor};
    int32_t result = IDE_SG_OK;

    sg->count = 0;
    sg->bytes = 0;
    while (sg->bytes < want && sg->count < sg->max && result == IDE_SG_OK) {
        uint32_t length;
        uint8_t *base;
        result = load_region(ide, view, &cursor);
        if (result != IDE_SG_OK) {
            break;
        }
        base = translate(view, &cursor, want - sg->bytes, to_memory, &length);
        if (base == NULL) {
            result = IDE_SG_FAULT;
        } else {
            add_piece(sg, base, &cursor, length, &boundary);
        }
    }
    if (boundary.bytes == 0) {
        return result == IDE_SG_OK ? IDE_SG_FULL : result;
    }
    sg->count = boundary.count;
    sg->bytes = boundary.bytes;
    sg->iov[sg->count - 1].length = boundary.last_length;
    sg->lengths[sg->count - 1] = (uint32_t)boundary.last_length;
    sg->end = boundary.cursor;
    return IDE_SG_OK;
}

int32_t
ide_bus_master_copy(struct ide_channel *channel, uint8_t *buffer, uint32_t length,
                    uint32_t to_memory, struct ide_prd_cursor *end, uint32_t *copied)
{
    struct ide *ide = channel->ide;
    const struct bp_ram_view *view = ide->host.memory->view(ide->host.instance);
    int32_t result = IDE_SG_OK;

    *end = channel->bm.cursor;
    *copied = 0;
    while (*copied < length) {
        uint32_t n;
        uint8_t *base;
        result = load_region(ide, view, end);
        if (result != IDE_SG_OK) {
            break;
        }
        base = translate(view, end, length - *copied, to_memory, &n);
        if (base == NULL) {
            return IDE_SG_FAULT;
        }
        if (to_memory) {
            memcpy(base, buffer + *copied, n);
            bp_ram_mark_dirty(view, end->address, n);
        } else {
            memcpy(buffer + *copied, base, n);
        }
        consume(end, n);
        *copied += n;
    }
    return result;
}

void
ide_bus_master_commit(struct ide_channel *channel, const struct ide_prd_cursor *end)
{
    channel->bm.cursor = *end;
}

/* A stop that waited for the request in flight takes effect. */
static void
stop_now(struct ide_bus_master *bm)
{
    bm->stopping = 0;
    bm->status &= (uint8_t)~BM_STATUS_ACTIVE;
}

void
ide_bus_master_finish(struct ide_channel *channel)
{
    struct ide_bus_master *bm = &channel->bm;
    uint32_t exhausted = bm->cursor.left == 0 && (bm->cursor.last || bm->cursor.budget == 0);

    if (exhausted || bm->stopping) {
        stop_now(bm);
    }
}

void
ide_bus_master_settle(struct ide_channel *channel)
{
    if (channel->bm.stopping) {
        stop_now(&channel->bm);
    }
}

void
ide_bus_master_fail(struct ide_channel *channel, uint32_t error)
{
    stop_now(&channel->bm);
    if (error) {
        channel->bm.status |= BM_STATUS_ERROR;
    }
}

/* --- registers ------------------------------------------------------------------------------- */

static uint32_t
dma_in_flight(const struct ide_channel *channel)
{
    for (uint32_t unit = 0; unit < IDE_UNITS; unit++) {
        const struct ide_device *device = channel->devices[unit];
        if (device != NULL && device->ops->in_flight(device)) {
            return 1;
        }
    }
    return 0;
}

static void
start(struct ide_channel *channel)
{
    struct ide_bus_master *bm = &channel->bm;

    bm->status |= BM_STATUS_ACTIVE;
    memset(&bm->cursor, 0, sizeof(bm->cursor));
    bm->cursor.next = bm->table;
    bm->cursor.budget = (BM_TABLE_LIMIT - (bm->table & (BM_TABLE_LIMIT - 1))) / 8;
    ide_channel_try_dma(channel);
}

/* A request in flight cannot be taken back half-way: the stop takes effect, and Active falls, when
 * it has ended; so the guest never sees memory change after Active is 0. */
static void
stop(struct ide_channel *channel)
{
    if (dma_in_flight(channel)) {
        channel->bm.stopping = 1;
    } else {
        stop_now(&channel->bm);
    }
}

static void
write_command(struct ide_channel *channel, uint8_t value)
{
    struct ide_bus_master *bm = &channel->bm;
    uint8_t changed = (bm->command ^ value) & BM_COMMAND_START;

    bm->command = value & BM_COMMAND_MASK;
    if (changed && (value & BM_COMMAND_START)) {
        if (!bm->stopping) {
            start(channel);
        }
    } else if (changed) {
        stop(channel);
    }
}

static void
write_status(struct ide_bus_master *bm, uint8_t value)
{
    uint8_t clear = value & (BM_STATUS_ERROR | BM_STATUS_INT);

    bm->status &= (uint8_t) ~(clear | BM_STATUS_DRIVES);
    bm->status |= value & BM_STATUS_DRIVES;
}

static uint8_t
read_byte(const struct ide_bus_master *bm, uint32_t offset)
{
    switch (offset) {
    case 0:
        return bm->command;
    case 2:
        return bm->status;
    case 4:
    case 5:
    case 6:
    case 7:
        return (uint8_t)(bm->table >> (8 * (offset - 4)));
    default:
        return 0;
    }
}

static void
write_byte(struct ide_channel *channel, uint32_t offset, uint8_t value)
{
    struct ide_bus_master *bm = &channel->bm;

    if (offset == 0) {
        write_command(channel, value);
    } else if (offset == 2) {
        write_status(bm, value);
    } else if (offset >= 4) {
        uint32_t shift = 8 * (offset - 4);
        bm->table = (bm->table & ~(0xffu << shift)) | (uint32_t)value << shift;
        bm->table &= ~3u;
    }
}

static uint64_t
bus_master_read(void *opaque, uint64_t offset, uint32_t width)
{
    struct ide *ide = opaque;
    uint64_t value = 0;

    for (uint32_t i = 0; i < width && offset + i < BM_ALL_PORTS; i++) {
        uint32_t at = (uint32_t)offset + i;
        uint64_t byte = read_byte(&ide->channels[at / BM_PORTS].bm, at % BM_PORTS);
        value |= byte << (8 * i);
    }
    return value;
}

static void
bus_master_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    struct ide *ide = opaque;

    for (uint32_t i = 0; i < width && offset + i < BM_ALL_PORTS; i++) {
        uint32_t at = (uint32_t)offset + i;
        write_byte(&ide->channels[at / BM_PORTS], at % BM_PORTS, (uint8_t)(value >> (8 * i)));
    }
}

static const struct bp_region_ops bus_master_ops = {
    .size = sizeof(bus_master_ops),
    .read = bus_master_read,
    .write = bus_master_write,
};

int32_t
ide_bus_master_declare(struct ide *ide)
{
    const struct bp_region_args args = {
        .size = sizeof(args),
        .id = 4,
        .space = BP_SPACE_BAR,
        .bar = 4,
        .widths = BP_WIDTH_1 | BP_WIDTH_2 | BP_WIDTH_4,
        .length = BM_ALL_PORTS,
        .ops = &bus_master_ops,
        .opaque = ide,
    };

    return ide->host.region->create(ide->host.instance, &args);
}
