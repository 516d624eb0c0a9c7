/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state: one record of the device's registers, one for each queue with its ring and the
 * chains that have not been used. Little endian; a later release appends to a record, and whoever
 * reads a shorter one takes 0 for what is missing.
 *
 *   device   status 4, features 8, driver_features 8, feature_select 4, driver_feature_select 4,
 *            queue_select 4, config_vector 4, isr 4, legacy 1, broken 1, generation 1
 *   queue    QUEUE_BYTES as queue_fields() lists them, then for each chain CHAIN_BYTES and 16
 *            bytes for each piece: address, length */
#include "virtio_internal.h"

#include <stdlib.h>
#include <string.h>

#define TAG_DEVICE   BP_VIRTIO_STATE_TAGS
#define TAG_QUEUE    (BP_VIRTIO_STATE_TAGS + 1) /* + index */
#define DEVICE_BYTES 43u
#define QUEUE_BYTES  64u
#define CHAIN_BYTES  24u
#define PIECE_BYTES  16u

/* A walk over a record, to write it or to read it. */
struct cursor {
    uint8_t *data;
    uint64_t length;
    uint64_t at;
    uint32_t writing;
};

static void
field(struct cursor *cursor, uint32_t width, uint64_t *value)
{
    if (cursor->writing) {
        bp_store_le(cursor->data + cursor->at, width, *value);
    } else {
        *value =
            cursor->at + width <= cursor->length ? bp_load_le(cursor->data + cursor->at, width) : 0;
    }
    cursor->at += width;
}

/* --- the device --------------------------------------------------------------------------------
 */

struct saved_device {
    uint64_t status, features, driver_features, feature_select, driver_feature_select;
    uint64_t queue_select, config_vector, isr, legacy, broken, generation;
};

static void
device_fields(struct cursor *cursor, struct saved_device *saved)
{
    field(cursor, 4, &saved->status);
    field(cursor, 8, &saved->features);
    field(cursor, 8, &saved->driver_features);
    field(cursor, 4, &saved->feature_select);
    field(cursor, 4, &saved->driver_feature_select);
    field(cursor, 4, &saved->queue_select);
    field(cursor, 4, &saved->config_vector);
    field(cursor, 4, &saved->isr);
    field(cursor, 1, &saved->legacy);
    field(cursor, 1, &saved->broken);
    field(cursor, 1, &saved->generation);
}

static int32_t
save_device(struct bp_virtio *virtio, const struct bp_state_sink *sink)
{
    uint8_t data[DEVICE_BYTES + 8] = {0};
    struct cursor cursor = {.data = data, .length = sizeof(data), .writing = 1};
    struct saved_device saved = {
        .status = atomic_load(&virtio->status),
        .features = atomic_load(&virtio->features),
        .driver_features = virtio->driver_features,
        .feature_select = virtio->feature_select,
        .driver_feature_select = virtio->driver_feature_select,
        .queue_select = virtio->queue_select,
        .config_vector = atomic_load(&virtio->config_vector),
        .isr = virtio->isr,
        .legacy = virtio->legacy,
        .broken = atomic_load(&virtio->broken),
        .generation = virtio->generation,
    };

    device_fields(&cursor, &saved);
    return sink->put(sink, TAG_DEVICE, data, cursor.at);
}

static int32_t
check_vector(const struct bp_virtio *virtio, uint64_t vector)
{
    return vector == VIRTIO_NO_VECTOR || vector < virtio->vectors ? 0 : -EINVAL;
}

static int32_t
load_device(struct bp_virtio *virtio, struct cursor *cursor, uint32_t apply)
{
    struct saved_device saved = {0};
    uint64_t known = virtio_offered(virtio, 0) | virtio_offered(virtio, 1);

    device_fields(cursor, &saved);
    if (cursor->length < DEVICE_BYTES || (saved.features & ~known) != 0 || saved.status > 0xff ||
        saved.isr > 3 || saved.legacy > 1 || saved.broken > 1 ||
        check_vector(virtio, saved.config_vector) != 0) {
        return -EINVAL;
    }
    if (!apply) {
        return 0;
    }
    atomic_store(&virtio->status, (uint32_t)saved.status);
    atomic_store(&virtio->features, saved.features);
    virtio->driver_features = saved.driver_features;
    virtio->feature_select = (uint32_t)saved.feature_select;
    virtio->driver_feature_select = (uint32_t)saved.driver_feature_select;
    virtio->queue_select = (uint32_t)saved.queue_select;
    atomic_store(&virtio->config_vector, (uint32_t)saved.config_vector);
    virtio->isr = (uint32_t)saved.isr;
    virtio->legacy = (uint8_t)saved.legacy;
    atomic_store(&virtio->broken, (uint32_t)saved.broken);
    virtio->generation = (uint8_t)saved.generation;
    virtio->reset_pending = 0;
    return 0;
}

/* --- queues ------------------------------------------------------------------------------------
 */

struct saved_queue {
    uint64_t size, vector, enabled, live, pfn, desc, driver, device;
    uint64_t last_avail, used, avail_wrap, used_wrap, order_next, order_done, chains;
};

static void
queue_fields(struct cursor *cursor, struct saved_queue *saved)
{
    field(cursor, 4, &saved->size);
    field(cursor, 4, &saved->vector);
    field(cursor, 1, &saved->enabled);
    field(cursor, 1, &saved->live);
    field(cursor, 1, &saved->avail_wrap);
    field(cursor, 1, &saved->used_wrap);
    field(cursor, 4, &saved->pfn);
    field(cursor, 8, &saved->desc);
    field(cursor, 8, &saved->driver);
    field(cursor, 8, &saved->device);
    field(cursor, 4, &saved->last_avail);
    field(cursor, 4, &saved->used);
    field(cursor, 4, &saved->order_next);
    field(cursor, 4, &saved->order_done);
    field(cursor, 4, &saved->chains);
    cursor->at += 4; /* reserved */
}

struct saved_chain {
    uint64_t id, descriptors, order, written, out_count, in_count, done;
};

static void
chain_fields(struct cursor *cursor, struct saved_chain *saved)
{
    field(cursor, 2, &saved->id);
    field(cursor, 2, &saved->descriptors);
    field(cursor, 4, &saved->order);
    field(cursor, 4, &saved->written);
    field(cursor, 4, &saved->out_count);
    field(cursor, 4, &saved->in_count);
    field(cursor, 4, &saved->done);
}

static void
save_chain(struct cursor *cursor, const struct bp_virtio_chain *chain)
{
    struct saved_chain saved = {
        .id = chain->id,
        .descriptors = chain->descriptors,
        .order = chain->order,
        .written = chain->written,
        .out_count = chain->out_count,
        .in_count = chain->in_count,
        .done = chain->state == CHAIN_DONE,
    };

    chain_fields(cursor, &saved);
    for (uint32_t i = 0; i < chain->out_count + chain->in_count; i++) {
        uint64_t gpa = chain->pieces[i].gpa, length = chain->pieces[i].length;
        field(cursor, 8, &gpa);
        field(cursor, 8, &length);
    }
}

static uint64_t
queue_bytes(struct bp_virtqueue *queue)
{
    uint64_t bytes = QUEUE_BYTES;

    for (uint32_t i = 0; i < queue->slot_count; i++) {
        const struct bp_virtio_chain *chain = chain_at(queue, i);
        if (chain->state == CHAIN_HELD || chain->state == CHAIN_DONE) {
            bytes += CHAIN_BYTES + (uint64_t)PIECE_BYTES * (chain->out_count + chain->in_count);
        }
    }
    return bytes;
}

/* Held ones in the order of their list, then those that wait for them. */
static void
save_chains(struct bp_virtqueue *queue, struct cursor *cursor)
{
    const struct bp_virtio_chain *chain;

    for (chain = queue->held_first; chain != NULL; chain = chain->next) {
        save_chain(cursor, chain);
    }
    for (uint32_t i = 0; i < queue->slot_count; i++) {
        chain = chain_at(queue, i);
        if (chain->state == CHAIN_DONE) {
            save_chain(cursor, chain);
        }
    }
}

static int32_t
save_queue_locked(struct bp_virtqueue *queue, const struct bp_state_sink *sink)
{
    uint64_t bytes = queue_bytes(queue);
    struct cursor cursor = {.data = calloc(1, bytes), .length = bytes, .writing = 1};
    struct saved_queue saved = {
        .size = queue->size,
        .vector = atomic_load(&queue->vector),
        .enabled = queue->enabled,
        .live = queue->live,
        .avail_wrap = queue->avail_wrap,
        .used_wrap = queue->used_wrap,
        .pfn = queue->pfn,
        .desc = queue->desc,
        .driver = queue->driver,
        .device = queue->device,
        .last_avail = queue->last_avail,
        .used = queue->used,
        .order_next = queue->order_next,
        .order_done = queue->order_done,
        .chains = queue->held,
    };
    int32_t result;

    if (cursor.data == NULL) {
        return -ENOMEM;
    }
    queue_fields(&cursor, &saved);
    save_chains(queue, &cursor);
    result = sink->put(sink, TAG_QUEUE + queue->index, cursor.data, cursor.at);
    free(cursor.data);
    return result;
}

int32_t
bp_virtio_save(struct bp_virtio *virtio, const struct bp_state_sink *sink)
{
    int32_t result = save_device(virtio, sink);

    for (uint32_t i = 0; i < virtio->queue_count && result == 0; i++) {
        struct bp_virtqueue *queue = &virtio->queues[i];
        pthread_mutex_lock(&queue->lock);
        result = save_queue_locked(queue, sink);
        pthread_mutex_unlock(&queue->lock);
    }
    return result;
}

/* No piece is empty: pop() makes none. Where they are is for after_restore() to see. */
static int32_t
check_pieces(struct cursor *cursor, uint64_t count)
{
    uint64_t gpa = 0, length = 0;

    for (uint64_t i = 0; i < count; i++) {
        field(cursor, 8, &gpa);
        field(cursor, 8, &length);
        if (length == 0 || length > UINT32_MAX) {
            return -EINVAL;
        }
    }
    return 0;
}

/* The next chain goes into a free slot; its memory is looked up when everyone is restored. */
static int32_t
load_chain(struct bp_virtqueue *queue, struct cursor *cursor, const struct saved_queue *from,
           uint32_t apply)
{
    struct bp_virtio_chain *chain = queue->free;
    struct bp_virtio_piece *pieces;
    struct saved_chain saved = {0};
    uint64_t count;

    chain_fields(cursor, &saved);
    count = saved.out_count + saved.in_count;
    if (cursor->at > cursor->length || count > queue->max_pieces || saved.done > 1 ||
        saved.descriptors > from->size || count * PIECE_BYTES > cursor->length - cursor->at) {
        return -EINVAL;
    }
    if (!apply) {
        return check_pieces(cursor, count);
    }
    queue->free = chain->next;
    chain_clear(queue, chain);
    chain->id = (uint16_t)saved.id;
    chain->descriptors = (uint16_t)saved.descriptors;
    chain->order = (uint32_t)saved.order;
    chain->written = (uint32_t)saved.written;
    chain->out_count = (uint32_t)saved.out_count;
    chain->in_count = (uint32_t)saved.in_count;
    chain->epoch = queue->epoch;
    pieces = chain_pieces(queue, chain);
    for (uint32_t i = 0; i < count; i++) {
        field(cursor, 8, &pieces[i].gpa);
        field(cursor, 8, &pieces[i].length);
        *(i < chain->out_count ? &chain->out_bytes : &chain->in_bytes) += pieces[i].length;
    }
    chain_take_back(queue, chain, saved.done != 0);
    return 0;
}

static int32_t
check_queue(const struct bp_virtqueue *queue, const struct saved_queue *saved)
{
    return saved->size == 0 || saved->size > queue->max_size || saved->enabled > 1 ||
                   saved->live > 1 || saved->avail_wrap > 1 || saved->used_wrap > 1 ||
                   saved->last_avail > 0xffff || saved->used > 0xffff ||
                   saved->chains > saved->size || check_vector(queue->virtio, saved->vector) != 0
               ? -EINVAL
               : 0;
}

static int32_t
load_queue(struct bp_virtqueue *queue, struct cursor *cursor, uint32_t apply)
{
    struct saved_queue saved = {0};
    int32_t result;

    queue_fields(cursor, &saved);
    result = cursor->at > cursor->length ? -EINVAL : check_queue(queue, &saved);
    if (result == 0 && apply) {
        virtqueue_reset(queue);
        queue->size = (uint16_t)saved.size;
        queue->entries = (uint16_t)saved.size;
        atomic_store(&queue->vector, (uint32_t)saved.vector);
        queue->enabled = (uint8_t)saved.enabled;
        queue->pfn = (uint32_t)saved.pfn;
        queue->desc = saved.desc;
        queue->driver = saved.driver;
        queue->device = saved.device;
        queue->wanted = queue->restored = (uint8_t)saved.live;
        queue->last_avail = queue->avail_seen = (uint16_t)saved.last_avail;
        queue->used = (uint16_t)saved.used;
        queue->unsignalled = 0;
        queue->avail_wrap = (uint8_t)saved.avail_wrap;
        queue->used_wrap = (uint8_t)saved.used_wrap;
        queue->order_next = (uint32_t)saved.order_next;
        queue->order_done = (uint32_t)saved.order_done;
    }
    for (uint64_t i = 0; i < saved.chains && result == 0; i++) {
        result = load_chain(queue, cursor, &saved, apply);
    }
    return result;
}

/* One record of each; they come in the order of their tags. */
static int32_t
load(struct bp_virtio *virtio, const void *data, uint64_t length, uint32_t apply)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    uint32_t next = TAG_DEVICE;
    int32_t more, result = 0;

    bp_state_reader_init(&reader, data, length);
    while (result == 0 && (more = bp_state_next(&reader, &record)) != 0) {
        struct cursor cursor = {.length = record.length};
        uint32_t tag = record.tag & ~BP_STATE_MUST;

        if (more < 0) {
            return more;
        }
        memcpy(&cursor.data, &record.data, sizeof(cursor.data)); /* only read */
        if (tag < TAG_DEVICE) {
            continue; /* the device's own */
        }
        if (tag - TAG_DEVICE > virtio->queue_count) {
            result = record.tag & BP_STATE_MUST ? -EPROTO : 0;
        } else if (tag != next++) {
            result = -EINVAL;
        } else if (tag == TAG_DEVICE) {
            result = load_device(virtio, &cursor, apply);
        } else {
            result = load_queue(&virtio->queues[tag - TAG_QUEUE], &cursor, apply);
        }
    }
    return result == 0 && next != TAG_QUEUE + virtio->queue_count ? -EINVAL : result;
}

int32_t
bp_virtio_validate(struct bp_virtio *virtio, const void *data, uint64_t length)
{
    return load(virtio, data, length, 0);
}

int32_t
bp_virtio_restore(struct bp_virtio *virtio, const void *data, uint64_t length)
{
    int32_t result = load(virtio, data, length, 0);

    /* The slots of chains that are still out are not free for those of the state. */
    for (uint32_t i = 0; i < virtio->queue_count && result == 0; i++) {
        result = virtqueue_in_flight(&virtio->queues[i]) != 0 ? -EBUSY : 0;
    }
    return result == 0 ? load(virtio, data, length, 1) : result;
}

int32_t
bp_virtio_after_restore(struct bp_virtio *virtio)
{
    const struct bp_services *host = virtio->host;

    host->irq->set(host->instance, VIRTIO_LINE, virtio->isr != 0);
    virtio_set_master(virtio, (host->pci->command(host->instance) & 4) != 0);
    for (uint32_t i = 0; i < virtio->queue_count; i++) {
        virtqueue_go_on(&virtio->queues[i]);
    }
    return 0;
}
