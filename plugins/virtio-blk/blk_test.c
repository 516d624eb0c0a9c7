/* SPDX-License-Identifier: Apache-2.0 */
/* See blk_test.h. */
#include "blk_test.h"

#include <stdio.h>
#include <string.h>

#define BAR_LEGACY 0u
#define BAR_MODERN 1u

static uint8_t *
ram(struct rig *rig, uint64_t gpa, uint64_t length)
{
    return th_ram(rig->th, gpa, length);
}

void
rig_plug(struct rig *rig, const char *options)
{
    char text[512];
    uint8_t *data;

    memset(rig, 0, sizeof(*rig));
    rig->th = th_new();
    th_set_loops(rig->th, 2);
    rig->disk = th_block_new(rig->th, "sys", DISK_BYTES);
    data = th_block_data(rig->disk);
    for (uint32_t i = 0; i < DISK_BYTES; i++) {
        data[i] = (uint8_t)(i / 512 * 7 + i % 512);
    }
    (void)snprintf(text, sizeof(text), "backend = \"sys\"; %s", options != NULL ? options : "");
    rig->dev = th_plug(rig->th, &backplane_plugin_v1, "blk0", text);
    if (rig->dev == NULL) {
        fail_msg("cannot plug: %s", th_error_text(rig->th));
    }
    th_pci_place(rig->dev);
}

void
rig_free(struct rig *rig)
{
    th_free(rig->th);
}

uint64_t
get(struct rig *rig, uint32_t offset, uint32_t width)
{
    return th_bar_read(rig->dev, BAR_MODERN, offset, width);
}

void
put(struct rig *rig, uint32_t offset, uint32_t width, uint64_t value)
{
    th_bar_write(rig->dev, BAR_MODERN, offset, width, value);
}

uint64_t
in(struct rig *rig, uint32_t offset, uint32_t width)
{
    return th_bar_read(rig->dev, BAR_LEGACY, offset, width);
}

void
out(struct rig *rig, uint32_t offset, uint32_t width, uint64_t value)
{
    th_bar_write(rig->dev, BAR_LEGACY, offset, width, value);
}

uint32_t
status(struct rig *rig)
{
    return (uint32_t)(rig->legacy ? in(rig, 0x12, 1) : get(rig, COMMON(0x14), 1));
}

uint64_t
offered(struct rig *rig)
{
    uint64_t features;

    put(rig, COMMON(0), 4, 0);
    features = get(rig, COMMON(4), 4);
    put(rig, COMMON(0), 4, 1);
    return features | get(rig, COMMON(4), 4) << 32;
}

uint32_t
negotiate(struct rig *rig, uint64_t features)
{
    features |= VERSION_1;
    rig->legacy = 0;
    rig->features = features;
    put(rig, COMMON(0x14), 1, 0);
    th_run(rig->th);
    assert_int_equal(status(rig), 0);
    put(rig, COMMON(0x14), 1, 1);
    put(rig, COMMON(0x14), 1, 3);
    put(rig, COMMON(8), 4, 0);
    put(rig, COMMON(12), 4, (uint32_t)features);
    put(rig, COMMON(8), 4, 1);
    put(rig, COMMON(12), 4, (uint32_t)(features >> 32));
    put(rig, COMMON(0x14), 1, 11);
    return (status(rig) & BP_VIRTIO_FEATURES_OK) != 0;
}

static void
clear_queue(struct rig *rig, uint32_t queue, uint32_t size)
{
    struct driver_queue *q = &rig->q[queue];

    memset(q, 0, sizeof(*q));
    q->size = size;
    q->desc = QUEUE_GPA(queue);
    q->avail = q->desc + (uint64_t)size * 16;
    q->used = (q->avail + 6 + (uint64_t)size * 2 + 4095) & ~UINT64_C(4095);
    q->wrap = q->used_wrap = 1;
    memset(ram(rig, QUEUE_GPA(queue), 0x20000), 0, 0x20000);
}

void
set_up_queue(struct rig *rig, uint32_t queue, uint32_t size)
{
    struct driver_queue *q = &rig->q[queue];

    clear_queue(rig, queue, size);
    put(rig, COMMON(0x16), 2, queue);
    put(rig, COMMON(0x18), 2, size);
    put(rig, COMMON(0x1a), 2, queue + 1);
    put(rig, COMMON(0x20), 4, q->desc);
    put(rig, COMMON(0x24), 4, 0);
    put(rig, COMMON(0x28), 4, q->avail);
    put(rig, COMMON(0x30), 4, q->used);
    put(rig, COMMON(0x1c), 2, 1);
}

void
driver_ok(struct rig *rig)
{
    put(rig, COMMON(0x10), 2, 0);
    put(rig, COMMON(0x14), 1, 15);
    th_run(rig->th);
}

void
bring_up(struct rig *rig, uint64_t features, uint32_t queues, uint32_t size)
{
    assert_true(negotiate(rig, features));
    for (uint32_t i = 0; i < queues; i++) {
        set_up_queue(rig, i, size);
    }
    driver_ok(rig);
}

void
bring_up_legacy(struct rig *rig, uint32_t features)
{
    rig->legacy = 1;
    rig->features = features;
    out(rig, 0x12, 1, 0);
    out(rig, 0x12, 1, 3);
    out(rig, 4, 4, features);
    out(rig, 0x0e, 2, 0);
    clear_queue(rig, 0, (uint32_t)in(rig, 0x0c, 2));
    out(rig, 8, 4, QUEUE_GPA(0) >> 12);
    out(rig, 0x12, 1, 7);
    th_run(rig->th);
}

/* --- rings -------------------------------------------------------------------------------------
 */

void
write_desc(struct rig *rig, uint32_t queue, uint32_t index, uint64_t gpa, uint32_t length,
           uint32_t flags_next)
{
    uint8_t *desc = ram(rig, rig->q[queue].desc + (uint64_t)index * 16, 16);

    bp_store_le(desc, 8, gpa);
    bp_store_le(desc + 8, 4, length);
    bp_store_le(desc + 12, 4, flags_next);
}

void
offer(struct rig *rig, uint32_t queue, uint16_t head)
{
    struct driver_queue *q = &rig->q[queue];

    bp_store_le(ram(rig, q->avail + 4 + q->avail_index % q->size * UINT64_C(2), 2), 2, head);
    q->avail_index++;
    bp_store_le(ram(rig, q->avail + 2, 2), 2, q->avail_index);
}

void
notify(struct rig *rig, uint32_t queue)
{
    if (rig->legacy) {
        out(rig, 0x10, 2, queue);
    } else {
        put(rig, NOTIFY(queue), 2, queue);
    }
}

static uint64_t
write_table(struct rig *rig, uint32_t slot, const struct buffer *buffers, uint32_t count)
{
    uint64_t gpa = TABLES_GPA + (uint64_t)slot * 0x400;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *desc = ram(rig, gpa + (uint64_t)i * 16, 16);
        uint16_t flags = (uint16_t)((buffers[i].write ? 2 : 0) | (i + 1 < count ? 1 : 0));
        uint32_t packed = (rig->features & PACKED) != 0;

        bp_store_le(desc, 8, buffers[i].gpa);
        bp_store_le(desc + 8, 4, buffers[i].length);
        bp_store_le(desc + 12, 2, packed ? 0 : flags);
        bp_store_le(desc + 14, 2, packed ? flags & 2u : i + 1);
    }
    return gpa;
}

static uint32_t
add_split(struct rig *rig, uint32_t queue, const struct buffer *buffers, uint32_t count,
          uint32_t indirect)
{
    struct driver_queue *q = &rig->q[queue];
    uint16_t head = q->next_desc;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = q->next_desc;
        uint16_t flags =
            (uint16_t)((indirect ? 4 : 0) | (buffers[i].write ? 2 : 0) | (i + 1 < count ? 1 : 0));
        q->next_desc = (uint16_t)((at + 1) % q->size);
        write_desc(rig, queue, at, buffers[i].gpa, buffers[i].length,
                   flags | (uint32_t)q->next_desc << 16);
    }
    offer(rig, queue, head);
    return head;
}

/* The first descriptor's flags go last. */
static uint32_t
add_packed(struct rig *rig, uint32_t queue, const struct buffer *buffers, uint32_t count,
           uint32_t indirect)
{
    struct driver_queue *q = &rig->q[queue];
    uint32_t id = q->next_desc;
    uint32_t first = q->next_desc;
    uint16_t first_flags = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *desc = ram(rig, q->desc + (uint64_t)q->next_desc * 16, 16);
        uint16_t flags = (uint16_t)((indirect ? 4 : 0) | (buffers[i].write ? 2 : 0) |
                                    (i + 1 < count ? 1 : 0) | (q->wrap ? 0x80 : 0x8000));

        bp_store_le(desc, 8, buffers[i].gpa);
        bp_store_le(desc + 8, 4, buffers[i].length);
        bp_store_le(desc + 12, 2, id);
        if (i == 0) {
            first_flags = flags;
        } else {
            bp_store_le(desc + 14, 2, flags);
        }
        if (++q->next_desc == q->size) {
            q->next_desc = 0;
            q->wrap ^= 1;
        }
    }
    q->lengths[id] = (uint16_t)count;
    bp_store_le(ram(rig, q->desc + (uint64_t)first * 16 + 14, 2), 2, first_flags);
    return id;
}

uint32_t
add(struct rig *rig, uint32_t queue, const struct buffer *buffers, uint32_t count)
{
    struct buffer table;
    uint32_t id;

    if (rig->indirect) {
        table.gpa = write_table(rig, rig->next_slot, buffers, count);
        table.length = count * 16;
        table.write = 0;
    }
    if (rig->features & PACKED) {
        id = rig->indirect ? add_packed(rig, queue, &table, 1, 1)
                           : add_packed(rig, queue, buffers, count, 0);
    } else {
        id = rig->indirect ? add_split(rig, queue, &table, 1, 1)
                           : add_split(rig, queue, buffers, count, 0);
    }
    if (!rig->silent) {
        notify(rig, queue);
    }
    return id;
}

static uint32_t
used_packed(struct rig *rig, struct driver_queue *q, uint32_t *id, uint32_t *length)
{
    const uint8_t *desc = ram(rig, q->desc + (uint64_t)q->used_index * 16, 16);
    uint32_t flags = (uint32_t)bp_load_le(desc + 14, 2);
    uint32_t taken = (flags & 0x8000) != 0;

    if (taken != ((flags & 0x80) != 0) || taken != q->used_wrap) {
        return 0;
    }
    *id = (uint32_t)bp_load_le(desc + 12, 2);
    *length = (uint32_t)bp_load_le(desc + 8, 4);
    q->used_index = (uint16_t)(q->used_index + q->lengths[*id]);
    if (q->used_index >= q->size) {
        q->used_index = (uint16_t)(q->used_index - q->size);
        q->used_wrap ^= 1;
    }
    return 1;
}

uint32_t
used(struct rig *rig, uint32_t queue, uint32_t *id, uint32_t *length)
{
    struct driver_queue *q = &rig->q[queue];
    const uint8_t *entry;

    if (rig->features & PACKED) {
        return used_packed(rig, q, id, length);
    }
    if ((uint16_t)bp_load_le(ram(rig, q->used + 2, 2), 2) == q->used_index) {
        return 0;
    }
    entry = ram(rig, q->used + 4 + q->used_index % q->size * UINT64_C(8), 8);
    *id = (uint32_t)bp_load_le(entry, 4);
    *length = (uint32_t)bp_load_le(entry + 4, 4);
    q->used_index++;
    return 1;
}

/* --- requests ----------------------------------------------------------------------------------
 */

uint32_t
send(struct rig *rig, uint32_t queue, uint32_t type, uint64_t sector, uint64_t gpa, uint32_t length)
{
    uint32_t write = (length & TO_GUEST) != 0;
    uint32_t slot = rig->next_slot;
    uint64_t header = HEADERS_GPA + (uint64_t)slot * 16;
    struct buffer buffers[3] = {{header, 16, 0}, {gpa, length, write}, {STATUS_GPA + slot, 1, 1}};
    uint8_t *at = ram(rig, header, 16);

    length &= ~TO_GUEST;
    buffers[1].length = length;
    bp_store_le(at, 4, type);
    bp_store_le(at + 4, 4, 0);
    bp_store_le(at + 8, 8, sector);
    *ram(rig, STATUS_GPA + slot, 1) = 0xee;
    if (length == 0) {
        buffers[1] = buffers[2];
    }
    (void)add(rig, queue, buffers, length == 0 ? 2 : 3);
    rig->next_slot = (slot + 1) % RIG_MAX_SIZE;
    return slot;
}

uint8_t
status_of(struct rig *rig, uint32_t slot)
{
    return *ram(rig, STATUS_GPA + slot, 1);
}

uint8_t
transfer(struct rig *rig, uint32_t type, uint64_t sector, uint64_t gpa, uint32_t length,
         uint32_t write)
{
    uint32_t slot = send(rig, 0, type, sector, gpa, length | (write ? TO_GUEST : 0));
    uint32_t id = 0, bytes = 0;

    th_run(rig->th);
    assert_true(used(rig, 0, &id, &bytes));
    assert_int_equal(bytes, write ? length + 1 : 1);
    return status_of(rig, slot);
}
