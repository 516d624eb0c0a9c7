/* SPDX-License-Identifier: Apache-2.0 */
/* Everything of a virtio device that is not the device: PCI function, registers of both interfaces,
 * feature negotiation, rings, notifications, interrupts, reset, saved state. Reference: Virtual I/O
 * Device 1.2 ("virtio 1.2") and its legacy sections. Not ABI.
 *
 * A device is a type with features, a configuration space, queues, and a function that takes
 * buffer chains off a queue:
 *
 *   static void
 *   echo_run(void *device, struct bp_virtqueue *queue)
 *   {
 *       struct bp_virtio_chain *chain;
 *
 *       while ((chain = bp_virtqueue_pop(queue)) != NULL) {
 *           bp_virtqueue_push(chain, (uint32_t)copy(chain->iov, chain->out_count, ...));
 *       }
 *   }
 *
 * The device's class has BP_THREADS_PER_QUEUE and BP_BUS_PCI, its options begin with
 * BP_VIRTIO_PROPS, and its bp.life/1 and bp.state/1 pass on to bp_virtio_*().
 *
 * Threads. A queue belongs to one loop. What works on it holds its lock, which is taken once for a
 * batch: `run` is called with it, and a completion wraps what it does in bp_virtqueue_enter() and
 * bp_virtqueue_leave(). leave() publishes all that was pushed and sends at most one interrupt. The
 * lock is contended only while a driver starts or resets the queue. Order of locks: the instance's,
 * then a queue's; never two queues'. [queue] below means: with the queue's lock held. */
#ifndef BACKPLANE_SDK_VIRTIO_H
#define BACKPLANE_SDK_VIRTIO_H

#include <backplane/sdk/services.h>
#include <backplane/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- numbers of the specification --------------------------------------------------------------
 */

#define BP_VIRTIO_VENDOR_ID 0x1af4u

#define BP_VIRTIO_TYPE_NET     1u
#define BP_VIRTIO_TYPE_BLOCK   2u
#define BP_VIRTIO_TYPE_CONSOLE 3u
#define BP_VIRTIO_TYPE_RNG     4u
#define BP_VIRTIO_TYPE_BALLOON 5u
#define BP_VIRTIO_TYPE_SCSI    8u
#define BP_VIRTIO_TYPE_9P      9u

/* Bits of the status register (virtio 1.2, 2.1). */
#define BP_VIRTIO_ACKNOWLEDGE 1u
#define BP_VIRTIO_DRIVER      2u
#define BP_VIRTIO_DRIVER_OK   4u
#define BP_VIRTIO_FEATURES_OK 8u
#define BP_VIRTIO_NEEDS_RESET 64u
#define BP_VIRTIO_FAILED      128u

/* Features that are the library's: offered as the options say (virtio 1.2, 6). */
#define BP_VIRTIO_F_NOTIFY_ON_EMPTY (UINT64_C(1) << 24) /* legacy only */
#define BP_VIRTIO_F_ANY_LAYOUT      (UINT64_C(1) << 27) /* legacy only */
#define BP_VIRTIO_F_INDIRECT_DESC   (UINT64_C(1) << 28)
#define BP_VIRTIO_F_EVENT_IDX       (UINT64_C(1) << 29)
#define BP_VIRTIO_F_VERSION_1       (UINT64_C(1) << 32)
#define BP_VIRTIO_F_RING_PACKED     (UINT64_C(1) << 34)
#define BP_VIRTIO_F_IN_ORDER        (UINT64_C(1) << 35)
#define BP_VIRTIO_F_RING_RESET      (UINT64_C(1) << 40)

#define BP_VIRTIO_MAX_QUEUE_SIZE 1024u
#define BP_VIRTIO_MAX_QUEUES     1024u
#define BP_VIRTIO_MAX_CONFIG     256u

/* --- a device ----------------------------------------------------------------------------------
 */

struct bp_virtio;
struct bp_virtqueue;

/* A piece of guest memory. */
struct bp_virtio_piece {
    uint64_t gpa;
    uint64_t length;
};

/* A request of the driver: memory of the guest in place. Belongs to the device from pop() to
 * push(). */
struct bp_virtio_chain {
    struct bp_virtqueue *queue;
    void *request; /* args.request_size bytes of the device's, zeroed by pop() */
    /* out_count pieces to read, then in_count pieces to write. The device may shorten and move
     * them; bp_virtqueue_hold() puts them back. */
    struct bp_iovec *iov;
    const struct bp_virtio_piece *pieces; /* the same for the guest */
    uint32_t index;                       /* of the chain in its queue: see bp_virtqueue_chain() */
    uint32_t out_count;
    uint32_t in_count;
    uint64_t out_bytes; /* sum of the pieces to read */
    uint64_t in_bytes;  /* sum of the pieces to write */
    /* The library's. */
    uint16_t id;          /* head of the chain (split), buffer id (packed) */
    uint16_t descriptors; /* in the ring: 1 for an indirect one */
    uint32_t epoch;       /* of the queue when it was popped */
    uint32_t order;       /* IN_ORDER: place in the order of popping */
    uint32_t written;
    uint8_t state; /* see virtio_internal.h */
    struct bp_virtio_chain *next;
};

struct bp_virtio_ops {
    /* Takes chains off a queue until pop() gives none, or until bp_virtqueue_wait().
     * [loop] [queue] */
    void (*run)(void *device, struct bp_virtqueue *queue);
    /* Optional: goes on with chains that were held, see bp_virtqueue_hold(): the machine started
     * again or a quiesce ended.
     * [loop] [queue] */
    void (*retry)(void *device, struct bp_virtqueue *queue);
    /* Optional: the queue begins to run; features are settled.
     * [any thread] [queue] */
    void (*start)(void *device, struct bp_virtqueue *queue);
    /* Optional: the driver takes the queue back. Chains that the device has must come back soon by
     * push(), which then only frees them: cancel what can be cancelled. Held ones are gone already.
     * [vcpu] or [control] [queue] */
    void (*stop)(void *device, struct bp_virtqueue *queue);
    /* Optional: returns when every chain of the stopped queue has come back.
     * [control], without the queue's lock */
    void (*drain)(void *device, struct bp_virtqueue *queue);
    /* Optional: the driver chose these features, all of them offered. Negative: not this
     * combination; FEATURES_OK stays clear.
     * [vcpu] */
    int32_t (*features)(void *device, uint64_t features);
    /* Optional: the driver writes configuration space, inside its length. Nothing is stored unless
     * the device does it with bp_virtio_config_set().
     * [vcpu] */
    void (*config_write)(void *device, uint32_t offset, uint32_t width, uint64_t value);
    /* Optional: the whole device goes back to the state after power-on; its queues are stopped.
     * [vcpu] or [control] */
    void (*reset)(void *device);
};

struct bp_virtio_args {
    const struct bp_services *services; /* must outlive the device */
    const struct bp_virtio_ops *ops;    /* likewise */
    void *device;                       /* first argument of ops */
    const struct bp_node *options;      /* the instance's: BP_VIRTIO_PROPS are read from it */
    uint32_t type;                      /* BP_VIRTIO_TYPE_... */
    uint8_t base_class, sub_class;      /* PCI class */
    uint16_t reserved;
    uint32_t config_length; /* bytes of configuration space, up to BP_VIRTIO_MAX_CONFIG */
    uint32_t queues;        /* 1..BP_VIRTIO_MAX_QUEUES */
    uint32_t max_pieces;    /* most pieces of a chain; 0: as many as the queue has entries */
    uint32_t request_size;  /* bytes of chain->request */
    const char *rom_path;   /* expansion ROM image, or NULL */
};

/* Options of every virtio device; the first entries of its bp_prop list. */
#define BP_VIRTIO_PROPS                                                                            \
    {.name = "interface",                                                                          \
     .type = BP_PROP_ENUM,                                                                         \
     .def = "transitional",                                                                        \
     .choices = bp_virtio_interfaces,                                                              \
     .help = "transitional: drivers of virtio 0.9.5 and 1.x; modern: 1.x; legacy: 0.9.5"},         \
        {.name = "queue_size",                                                                     \
         .type = BP_PROP_UINT,                                                                     \
         .def = "256",                                                                             \
         .min = 2,                                                                                 \
         .max = BP_VIRTIO_MAX_QUEUE_SIZE,                                                          \
         .help = "entries of a queue, a power of two; legacy drivers see at most 256"},            \
        {.name = "vectors",                                                                        \
         .type = BP_PROP_UINT,                                                                     \
         .max = 2048,                                                                              \
         .help = "MSI-X vectors, 0: none. Default: one a queue and one for configuration"},        \
        {.name = "indirect", .type = BP_PROP_BOOL, .def = "true", .help = "indirect descriptors"}, \
        {.name = "event_idx",                                                                      \
         .type = BP_PROP_BOOL,                                                                     \
         .def = "true",                                                                            \
         .help = "notifications and interrupts by index"},                                         \
        {.name = "ring_reset",                                                                     \
         .type = BP_PROP_BOOL,                                                                     \
         .def = "true",                                                                            \
         .help = "reset of a single queue"},                                                       \
        {.name = "packed", .type = BP_PROP_BOOL, .def = "false", .help = "offer packed rings"},    \
        {.name = "in_order",                                                                       \
         .type = BP_PROP_BOOL,                                                                     \
         .def = "false",                                                                           \
         .help = "use buffers in the order in which they are offered"},                            \
    {                                                                                              \
        .name = "queue_loops", .type = BP_PROP_LIST, .children = &bp_virtio_loop_element,          \
        .max = BP_VIRTIO_MAX_QUEUES,                                                               \
        .help = "event loop of queue 0, 1, ...; dealt out again from the first one when the list " \
                "ends. Default: \"loop\" for all"                                                  \
    }

extern const char *const bp_virtio_interfaces[];
extern const struct bp_prop bp_virtio_loop_element;

/* Services a virtio device needs: entries of the note's needs. */
#define BP_VIRTIO_NEEDS                                                                            \
    BP_NEED(BP_LOG_ID, struct bp_log_host), BP_NEED(BP_CONFIG_ID, struct bp_config_host),          \
        BP_NEED(BP_MEMORY_ID, struct bp_memory_host),                                              \
        BP_NEED(BP_REGION_ID, struct bp_region_host), BP_NEED(BP_IRQ_ID, struct bp_irq_host),      \
        BP_NEED(BP_PCI_ID, struct bp_pci_host), BP_NEED(BP_MSIX_ID, struct bp_msix_host),          \
        BP_NEED(BP_LOOP_ID, struct bp_loop_host), BP_NEED(BP_CORE_ID, struct bp_core_host)

/* Makes the transport and its PCI function, with all that belongs to it; create() of the device.
 * Explains failures with log.error. *ret: untouched on failure. [control] */
int32_t bp_virtio_new(const struct bp_virtio_args *args, struct bp_virtio **ret) BP_MUST_CHECK;
/* In destroy(); takes NULL. */
void bp_virtio_free(struct bp_virtio *virtio);
/* The device's own feature bits, all of those it can ever have; before realize() ends. A
 * transitional device shows bits 0-31 of them to legacy drivers, without `modern_only`. */
void bp_virtio_offer(struct bp_virtio *virtio, uint64_t features, uint64_t modern_only);
/* What the driver chose; constant while queues run. [any] */
uint64_t bp_virtio_features(const struct bp_virtio *virtio);
/* Whether the driver uses the legacy interface. [any] */
uint32_t bp_virtio_legacy(const struct bp_virtio *virtio);

/* Puts bytes into configuration space; the generation rises. notify: the driver is told by an
 * interrupt, if it runs. [any], under queue locks too. */
void bp_virtio_config_set(struct bp_virtio *virtio, uint32_t offset, const void *data,
                          uint32_t length, uint32_t notify);

/* The driver or the guest did something that cannot be: NEEDS_RESET is set, all queues stand still
 * until it resets the device (virtio 1.2, 2.1.2). Logged a few times, then silent. [any] */
void bp_virtio_broken(struct bp_virtio *virtio, const char *format, ...) BP_PRINTF(2, 3);

/* Life: the members of bp.life/1 call these, before or after what they do themselves; detach
 * before the backend's queues are closed (after a quiesce, or at the end). */
void bp_virtio_detach(struct bp_virtio *virtio);
void bp_virtio_start(struct bp_virtio *virtio);
void bp_virtio_stop(struct bp_virtio *virtio);
void bp_virtio_reset(struct bp_virtio *virtio);
int32_t bp_virtio_quiesce(struct bp_virtio *virtio) BP_MUST_CHECK;
void bp_virtio_resume(struct bp_virtio *virtio);
void bp_virtio_ram_changed(struct bp_virtio *virtio);

/* State: tags from BP_VIRTIO_STATE_TAGS up to 7FFFh are the library's, lower ones the device's.
 * validate and restore take the whole state and skip the device's records. restore: -EBUSY: chains
 * are out; a device that runs is quiesced first. */
#define BP_VIRTIO_STATE_TAGS 0x4000u
int32_t bp_virtio_save(struct bp_virtio *virtio, const struct bp_state_sink *sink) BP_MUST_CHECK;
int32_t bp_virtio_validate(struct bp_virtio *virtio, const void *data,
                           uint64_t length) BP_MUST_CHECK;
int32_t bp_virtio_restore(struct bp_virtio *virtio, const void *data,
                          uint64_t length) BP_MUST_CHECK;
int32_t bp_virtio_after_restore(struct bp_virtio *virtio) BP_MUST_CHECK;

/* What operators may ask (bp.inspect/1): questions[] of the device's table, and what its answer()
 * passes on to, with the instance's id. [control] */
extern const struct bp_inspect_question bp_virtio_questions[];
int32_t bp_virtio_answer(struct bp_virtio *virtio, const char *id, const char *name,
                         const struct bp_node *options,
                         const struct bp_inspect_answer *answer) BP_MUST_CHECK;

/* --- queues ------------------------------------------------------------------------------------
 */

struct bp_virtqueue *bp_virtio_queue(struct bp_virtio *virtio, uint32_t index);
uint32_t bp_virtqueue_index(const struct bp_virtqueue *queue);
/* The loop it is bound to: where a backend's queue for it belongs. */
uint32_t bp_virtqueue_loop(const struct bp_virtqueue *queue);
/* Most entries it can have: the depth a backend's queue needs. */
uint32_t bp_virtqueue_max_size(const struct bp_virtqueue *queue);

void bp_virtqueue_enter(struct bp_virtqueue *queue);
void bp_virtqueue_leave(struct bp_virtqueue *queue);
/* The next chain, or NULL: there is none, or the ring is broken. [queue] */
struct bp_virtio_chain *bp_virtqueue_pop(struct bp_virtqueue *queue);
/* Takes the last pop() back; for several, newest first. [queue] */
void bp_virtqueue_unpop(struct bp_virtio_chain *chain);
/* The chain that the device has under chain->index; NULL if it has none there. [queue] */
struct bp_virtio_chain *bp_virtqueue_chain(struct bp_virtqueue *queue, uint64_t index);
/* Whether pop() would give none. [queue] */
uint32_t bp_virtqueue_empty(struct bp_virtqueue *queue);
/* Gives a chain back. written: bytes from the start of the pieces to write. [queue] */
void bp_virtqueue_push(struct bp_virtio_chain *chain, uint32_t written);
/* Keeps a chain that cannot be finished now: it does not count as in flight for a quiesce, is part
 * of the saved state (without chain->request), and comes back by next_held() in `retry`. [queue] */
void bp_virtqueue_hold(struct bp_virtio_chain *chain);
/* The oldest held chain, now the device's again; NULL if there is none. [queue] */
struct bp_virtio_chain *bp_virtqueue_next_held(struct bp_virtqueue *queue);
/* How many there are. [queue] */
uint32_t bp_virtqueue_held(const struct bp_virtqueue *queue);
/* How many chains the device has: popped, and neither pushed nor held. [queue] */
uint32_t bp_virtqueue_taken(const struct bp_virtqueue *queue);
/* Whether the driver took the queue back since the chain was popped. [queue] */
uint32_t bp_virtqueue_stale(const struct bp_virtio_chain *chain);
/* Within run: do not call it again for new chains until bp_virtqueue_kick(). [queue] */
void bp_virtqueue_wait(struct bp_virtqueue *queue);
/* Sees to it that run is called soon. [any] */
void bp_virtqueue_kick(struct bp_virtqueue *queue);
/* Whether run may be called: the driver set the queue up, nothing is broken or paused. [queue] */
uint32_t bp_virtqueue_running(const struct bp_virtqueue *queue);

#ifdef __cplusplus
}
#endif

#endif
