/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the library share. Registers (everything that the driver writes through the
 * transport) belong to the thread that holds the instance's lock; what the driver's side and a loop
 * both look at is atomic; the ring belongs to whoever holds the queue's lock. */
#pragma once

#include <backplane/sdk/bits.h>
#include <backplane/sdk/state.h>
#include <backplane/sdk/virtio.h>

#include <pthread.h>
#include <stdatomic.h>

#define VIRTIO_NO_VECTOR 0xffffu
#define VIRTIO_LEGACY_SIZE                                                                         \
    256u                      /* most entries of a legacy driver's queue: SeaBIOS takes no more    \
                               */
#define VIRTIO_PAGE_SHIFT 12u /* legacy rings are addressed and aligned by pages of 4096 bytes */

#define VIRTIO_INTERFACE_TRANSITIONAL 0u
#define VIRTIO_INTERFACE_MODERN       1u
#define VIRTIO_INTERFACE_LEGACY       2u

#define VIRTIO_ISR_QUEUE  1u
#define VIRTIO_ISR_CONFIG 2u

/* Descriptor flags (2.7.5, 2.8.6). */
#define VIRTIO_DESC_NEXT     1u
#define VIRTIO_DESC_WRITE    2u
#define VIRTIO_DESC_INDIRECT 4u
#define VIRTIO_DESC_AVAIL    0x80u
#define VIRTIO_DESC_USED     0x8000u

/* avail->flags, used->flags (2.7.6, 2.7.8). */
#define VIRTIO_AVAIL_NO_INTERRUPT 1u
#define VIRTIO_USED_NO_NOTIFY     1u

/* Event suppression of a packed ring (2.8.14). */
#define VIRTIO_EVENT_ENABLE  0u
#define VIRTIO_EVENT_DISABLE 1u
#define VIRTIO_EVENT_DESC    2u

struct virtio_desc {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags; /* split: flags, next; packed: id, flags */
    uint16_t next;
};

/* Where a chain is. */
#define CHAIN_FREE   0u
#define CHAIN_DEVICE 1u
#define CHAIN_HELD   2u
#define CHAIN_DONE   3u /* IN_ORDER: pushed, waits for older ones */

/* Rings of both formats, translated. */
struct virtio_ring {
    uint8_t *desc;   /* descriptor table or ring */
    uint8_t *driver; /* available ring, driver event suppression */
    uint8_t *device; /* used ring, device event suppression */
    uint64_t desc_gpa, driver_gpa, device_gpa;
    uint32_t desc_length, driver_length, device_length;
};

struct bp_virtqueue {
    struct bp_virtio *virtio;
    uint32_t index;
    uint32_t loop;

    /* Registers. */
    uint32_t max_size;
    uint16_t size; /* as the driver chose */
    uint64_t desc, driver, device;
    uint32_t pfn; /* legacy; 0: not set up */
    uint8_t enabled;
    _Atomic(uint32_t) vector;
    _Atomic(uint32_t) kicked;    /* a deferred run is under way */
    _Atomic(uint32_t) resetting; /* the driver waits for chains to come back */

    pthread_mutex_t lock; /* protects: everything below */
    struct virtio_ring ring;
    uint8_t wanted;   /* the driver wants it to run */
    uint8_t live;     /* it runs */
    uint8_t packed;   /* the features, as they were at the start */
    uint8_t events;   /* EVENT_IDX */
    uint8_t ordered;  /* IN_ORDER */
    uint8_t waiting;  /* bp_virtqueue_wait() */
    uint8_t polled;   /* the loop looks at it in each turn: the driver need not notify */
    uint8_t retry;    /* held chains are to be tried again */
    uint8_t restored; /* goes on where it was, once everyone is restored */
    uint16_t entries;
    uint16_t last_avail;  /* split: index to take next; packed: position */
    uint16_t avail_seen;  /* split: avail->idx as last read */
    uint16_t used;        /* next used index or position */
    uint16_t unsignalled; /* how far `used` has moved since the driver's wish was looked at */
    uint8_t avail_wrap;   /* packed: wrap counters */
    uint8_t used_wrap;
    uint32_t epoch;       /* rises when the queue stops */
    uint32_t in_flight;   /* chains out, of any epoch */
    uint32_t held;        /* of them: held, and done but waiting for older ones */
    uint32_t held_listed; /* on the list of held ones */
    uint32_t order_next;  /* IN_ORDER: of the next pop; of the next to be used */
    uint32_t order_done;
    uint32_t max_pieces;
    uint32_t slot_count;
    uint8_t *slots; /* chains with what belongs to them */
    uint64_t slot_size;
    struct bp_virtio_chain *free;
    struct bp_virtio_chain *held_first, *held_last;
    struct bp_virtio_chain **by_order; /* IN_ORDER: slot_count, by order modulo it */
    const struct bp_ram_view *view;
};

struct bp_virtio {
    const struct bp_services *host;
    const struct bp_virtio_ops *ops;
    void *opaque;
    uint32_t type;
    uint32_t interface; /* VIRTIO_INTERFACE_... */
    uint64_t transport_features;
    uint64_t device_features;
    uint64_t modern_only;
    uint32_t vectors;
    uint32_t notify_offset; /* of the notification area in the BAR */
    uint8_t pci_cfg;        /* offset of the PCI configuration access capability */

    /* Registers. */
    uint32_t feature_select, driver_feature_select;
    uint64_t driver_features; /* as written */
    uint32_t queue_select;
    uint8_t reset_pending; /* status reads non-zero until every chain is back */
    uint8_t legacy;        /* the driver uses the legacy interface */
    _Atomic(uint32_t) status;
    _Atomic(uint64_t) features; /* in force */
    _Atomic(uint32_t) config_vector;

    _Atomic(uint32_t) broken;
    _Atomic(uint32_t) reports;   /* of broken rings, for the log */
    _Atomic(uint32_t) stopped;   /* life.stop */
    _Atomic(uint32_t) master;    /* COMMAND lets the function master the bus */
    _Atomic(uint32_t) quiescing; /* life.quiesce */
    _Atomic(uint32_t) quiesce_due;

    pthread_mutex_t irq_lock; /* protects: isr and the line, which follow each other */
    uint32_t isr;

    pthread_mutex_t config_lock; /* protects: config, generation */
    uint32_t config_length;
    uint8_t config[BP_VIRTIO_MAX_CONFIG];
    uint8_t generation;
    uint8_t generation_read; /* the driver saw the generation since the last change */

    uint32_t queue_count;
    struct bp_virtqueue *queues;
};

static inline uint32_t
virtio_has(const struct bp_virtio *virtio, uint64_t feature)
{
    return (atomic_load_explicit(&virtio->features, memory_order_relaxed) & feature) != 0;
}

/* --- guest memory shared with the driver: single loads and stores ------------------------------
 */

static inline uint16_t
ring_load16(const uint8_t *at)
{
    return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_RELAXED);
}

static inline uint16_t
ring_load16_acquire(const uint8_t *at)
{
    return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_ACQUIRE);
}

static inline void
ring_store16(uint8_t *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELAXED);
}

static inline void
ring_store16_release(uint8_t *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELEASE);
}

static inline void
ring_store32(uint8_t *at, uint32_t value)
{
    __atomic_store_n((uint32_t *)(void *)at, value, __ATOMIC_RELAXED);
}

/* Eight bytes, each read once. Tables of indirect descriptors may lie at any address. */
static inline uint64_t
ring_load64(const uint8_t *at)
{
    uint64_t value = 0;

    if (((uintptr_t)at & 7) == 0) {
        return __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
    }
    for (uint32_t i = 0; i < 8; i++) {
        value |= (uint64_t)__atomic_load_n(at + i, __ATOMIC_RELAXED) << (8 * i);
    }
    return value;
}

/* What follows works on the copy. */
static inline struct virtio_desc
ring_load_desc(const uint8_t *at)
{
    uint64_t rest = ring_load64(at + 8);
    const struct virtio_desc desc = {
        .gpa = ring_load64(at),
        .length = (uint32_t)rest,
        .flags = (uint16_t)(rest >> 32),
        .next = (uint16_t)(rest >> 48),
    };

    return desc;
}

/* --- ring_split.c, ring_packed.c: all [queue] --------------------------------------------------
 */

/* Fills a free chain from the ring. 1, 0: nothing there, -EINVAL: broken, said so. */
int32_t split_pop(struct bp_virtqueue *queue, struct bp_virtio_chain *chain);
uint32_t split_empty(struct bp_virtqueue *queue);
void split_unpop(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain);
/* Writes a used entry; the driver sees it after publish. */
void split_use(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain);
/* Shows the used entries. Returns whether the driver wants an interrupt. */
uint32_t split_publish(struct bp_virtqueue *queue);
/* Whether the driver shall notify: off while the queue is being worked on. */
void split_notify(struct bp_virtqueue *queue, uint32_t on);

int32_t packed_pop(struct bp_virtqueue *queue, struct bp_virtio_chain *chain);
uint32_t packed_empty(struct bp_virtqueue *queue);
void packed_unpop(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain);
void packed_use(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain);
uint32_t packed_publish(struct bp_virtqueue *queue);
void packed_notify(struct bp_virtqueue *queue, uint32_t on);

/* --- what depends on the ring's format ---------------------------------------------------------
 */

static inline int32_t
ring_pop(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    return queue->packed ? packed_pop(queue, chain) : split_pop(queue, chain);
}

static inline void
ring_use(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain)
{
    if (queue->packed) {
        packed_use(queue, chain);
    } else {
        split_use(queue, chain);
    }
}

static inline void
ring_notify(struct bp_virtqueue *queue, uint32_t on)
{
    if (queue->packed) {
        packed_notify(queue, on);
    } else {
        split_notify(queue, on);
    }
}

static inline uint32_t
ring_empty(struct bp_virtqueue *queue)
{
    return queue->packed ? packed_empty(queue) : split_empty(queue);
}

static inline void
ring_unpop(struct bp_virtqueue *queue, const struct bp_virtio_chain *chain)
{
    if (queue->packed) {
        packed_unpop(queue, chain);
    } else {
        split_unpop(queue, chain);
    }
}

/* --- chain.c -----------------------------------------------------------------------------------
 */

/* Adds one descriptor's buffer. -EINVAL: broken, said so. [queue] */
int32_t chain_add(struct bp_virtqueue *queue, struct bp_virtio_chain *chain,
                  const struct virtio_desc *desc, uint32_t write);
/* The table of an indirect descriptor; *count entries. NULL: broken, said so. [queue] */
const uint8_t *chain_table(struct bp_virtqueue *queue, const struct virtio_desc *desc,
                           uint32_t *count);
/* Chains of a queue: memory for all of them. */
int32_t chains_init(struct bp_virtqueue *queue, uint32_t request_size, uint32_t max_pieces);
void chains_done(struct bp_virtqueue *queue);
struct bp_virtio_chain *chain_at(const struct bp_virtqueue *queue, uint32_t slot);
/* The iov as it was popped, or after RAM was mapped anew. -EINVAL: broken, said so. [queue] */
int32_t chain_restore_iov(struct bp_virtqueue *queue, struct bp_virtio_chain *chain);
struct bp_virtio_piece *chain_pieces(const struct bp_virtqueue *queue,
                                     struct bp_virtio_chain *chain);
/* Empty, with a cleared request. */
void chain_clear(struct bp_virtqueue *queue, struct bp_virtio_chain *chain);

/* --- exchange.c --------------------------------------------------------------------------------
 */

/* Back among the free ones. [queue] */
void chain_free(struct bp_virtqueue *queue, struct bp_virtio_chain *chain);
/* A restored chain, held or done. [queue] */
void chain_take_back(struct bp_virtqueue *queue, struct bp_virtio_chain *chain, uint32_t done);

/* --- virtqueue.c -------------------------------------------------------------------------------
 */

int32_t virtqueue_init(struct bp_virtio *virtio, uint32_t index, const struct bp_virtio_args *args);
void virtqueue_done(struct bp_virtqueue *queue);
/* The registers or the status changed: starts or stops the queue. */
void virtqueue_update(struct bp_virtqueue *queue);
/* Stops it and takes its registers back to their reset values. */
void virtqueue_reset(struct bp_virtqueue *queue);
/* The device loses what serves it: drops what is in flight, keeps the registers. */
void virtqueue_abandon(struct bp_virtqueue *queue);
/* Chains that have not come back yet. */
uint32_t virtqueue_busy(struct bp_virtqueue *queue);
/* Likewise, without the held ones. */
uint32_t virtqueue_in_flight(struct bp_virtqueue *queue);
/* Translates the rings' addresses anew. 0, or -EINVAL: broken, said so. [queue] */
int32_t virtqueue_map(struct bp_virtqueue *queue);
/* A restored queue runs again. */
void virtqueue_go_on(struct bp_virtqueue *queue);
/* Likewise, and the memory of the chains that are not in flight. [queue] */
int32_t virtqueue_remap(struct bp_virtqueue *queue);
/* The doorbell. [loop] */
void virtqueue_ring(void *opaque);
/* The loop looks around: notifications are off meanwhile. [loop] */
int32_t virtqueue_poll(void *opaque, uint32_t phase);

/* --- interrupt.c -------------------------------------------------------------------------------
 */

void virtio_interrupt(struct bp_virtio *virtio, uint32_t vector, uint32_t isr);
/* Reads and clears the ISR, lowers the line. */
uint32_t virtio_read_isr(struct bp_virtio *virtio);
void virtio_clear_isr(struct bp_virtio *virtio);
void virtio_config_interrupt(struct bp_virtio *virtio);

/* --- device.c ----------------------------------------------------------------------------------
 */

/* Features shown to a legacy, to a modern driver. */
uint64_t virtio_offered(const struct bp_virtio *virtio, uint32_t legacy);
uint32_t virtio_read_status(struct bp_virtio *virtio);
void virtio_write_status(struct bp_virtio *virtio, uint32_t status);
void virtio_write_legacy_features(struct bp_virtio *virtio, uint32_t features);
/* Registers of a queue, of the device. */
struct bp_virtqueue *virtio_selected(struct bp_virtio *virtio);
uint64_t virtio_config_read(struct bp_virtio *virtio, uint64_t offset, uint32_t width);
void virtio_config_write(struct bp_virtio *virtio, uint64_t offset, uint32_t width, uint64_t value);
uint32_t virtio_generation(struct bp_virtio *virtio);
uint32_t virtio_vector_or_none(const struct bp_virtio *virtio, uint32_t vector);

/* COMMAND changed: a function that is no bus master leaves the driver's memory alone. */
void virtio_set_master(struct bp_virtio *virtio, uint32_t master);

/* --- pci.c, legacy.c, modern.c -----------------------------------------------------------------
 */

#define VIRTIO_BAR_LEGACY 0u
#define VIRTIO_BAR_MODERN 1u

#define VIRTIO_REGION_LEGACY 0u
#define VIRTIO_REGION_MODERN 1u
#define VIRTIO_LINE          0u

#define LEGACY_NOTIFY 0x10u

#define MODERN_COMMON       0x0000u
#define MODERN_ISR          0x1000u
#define MODERN_DEVICE       0x2000u
#define MODERN_NOTIFY       0x3000u
#define MODERN_NOTIFY_BYTES 4u /* for each queue */

extern const struct bp_region_ops legacy_ops;
extern const struct bp_region_ops modern_ops;

int32_t virtio_pci_init(struct bp_virtio *virtio, const struct bp_virtio_args *args);
uint64_t modern_read(struct bp_virtio *virtio, uint64_t offset, uint32_t width);
void modern_write(struct bp_virtio *virtio, uint64_t offset, uint32_t width, uint64_t value);
