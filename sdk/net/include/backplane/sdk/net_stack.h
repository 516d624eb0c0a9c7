/* SPDX-License-Identifier: Apache-2.0 */
/* Help for net filters: plugins that provide bp.net/1 and stand on another bp.net/1. Not ABI.
 *
 * A *lane* is one queue of the consumer together with its queue below. Everything in a lane runs on
 * the lane's loop, so a filter needs no lock. What is offered on top comes from here: opening and
 * closing, offloads, events, flush, attach and detach, also of a backend that is exchanged while
 * the machine runs: then buffers are posted again to the new one, and nothing is lost.
 *
 * A filter that only looks writes sent() and seen(). One that changes, drops or delays what is sent
 * writes transmit(), and sends by bp_net_lane_send(). One that changes, drops or delays what is
 * received asks for buffers of its own (own_bytes) and writes arrived(); it gives frames to the
 * consumer with bp_net_rx_copy() or bp_net_rx_gather() on lane->queue, and bp_net_rx_deliver(). */
#ifndef BACKPLANE_SDK_NET_STACK_H
#define BACKPLANE_SDK_NET_STACK_H

#include <backplane/sdk/net.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_NET_OWN_BUFFER 2048u /* bytes of one of a lane's own buffers */

struct bp_net_lane;

/* What the filter does; all optional. [loop] but for lane_init, lane_done. */
struct bp_net_stack_ops {
    /* As bp_net_ops.transmit; without it everything is passed on. What is not taken now is offered
     * again when bp_net_tx_room(&lane->queue) is called. */
    uint32_t (*transmit)(struct bp_net_lane *lane, const struct bp_net_frame *frames,
                         uint32_t count, uint32_t *done);
    /* Frames that bp_net_lane_send() took but did not finish are done. Without it the consumer is
     * told. */
    void (*transmitted)(struct bp_net_lane *lane, const uint64_t *users, uint32_t count);
    /* The consumer flushed: nothing that was sent is told of any more, and none of its memory is
     * touched. */
    void (*flushed)(struct bp_net_lane *lane);
    /* The backend has room again; without it the consumer is told. */
    void (*writable)(struct bp_net_lane *lane);
    /* Frames were taken by the backend. */
    void (*sent)(struct bp_net_lane *lane, const struct bp_net_frame *frames, uint32_t count);
    /* One received frame: buffers, the consumer's, filled in this order. */
    void (*seen)(struct bp_net_lane *lane, const struct bp_iovec *iov, uint32_t iov_count,
                 const struct bp_net_received *first, uint64_t length);
    /* With own_bytes: a frame from the backend, valid for the call. Returns 1; 0: not now: it comes
     * again by bp_net_lane_retry(), and those behind it wait. */
    uint32_t (*arrived)(struct bp_net_lane *lane, const struct bp_iovec *iov, uint32_t iov_count,
                        uint64_t length, const struct bp_net_offload *offload);
    /* The consumer posted buffers. */
    void (*posted)(struct bp_net_lane *lane);
    /* The lane's timer expired. */
    void (*expired)(struct bp_net_lane *lane);
    /* What a lane has of its own, in lane->data. [control] */
    int32_t (*lane_init)(struct bp_net_lane *lane);
    void (*lane_done)(struct bp_net_lane *lane);
    uint64_t own_bytes; /* memory of a lane's own receive buffers; 0: none */
    uint64_t lane_size; /* bytes of lane->data */
};

/* A filter's object. Embed it; zero it; fill services, ops, self. */
struct bp_net_stack {
    const struct bp_services *services;
    const struct bp_net_stack_ops *ops;
    void *self;
    uint32_t has_timer; /* lanes have a timer on `clock` */
    uint32_t clock;

    const struct bp_net_ops *below;
    void *below_self;
    uint32_t features; /* what the consumer takes */
    uint32_t told;     /* what the consumer may rely on that the backend does */
    uint32_t next_timer;
    struct bp_net_lane *lanes[BP_NET_MAX_QUEUES];
};

struct bp_net_lane {
    struct bp_net_stack *stack;
    struct bp_net_queue queue; /* the consumer's */
    void *data;                /* lane_size bytes, zero at first */
    uint32_t index, open;

    /* The library's. */
    uint32_t disabled;
    uint32_t timer, timer_loop; /* timer: id + 1; 0: none */
    void *below;                /* queue; NULL: nothing attached */
    uint64_t *flying;           /* users of frames the backend has */
    uint32_t flying_count;
    uint64_t *late; /* users of frames that ended otherwise */
    uint32_t late_count, late_planned;
    uint8_t *own;                 /* own_count buffers */
    struct bp_iovec *own_iov;     /* one for each */
    struct bp_net_received *kept; /* own_count records that were not taken yet, a ring */
    uint32_t own_count, kept_head, kept_count;
};

/* --- the filter's tables -------------------------------------------------------------------------
 */

int32_t bp_net_stack_info(struct bp_net_stack *stack, struct bp_net_info *info);
int32_t bp_net_stack_open(struct bp_net_stack *stack, const struct bp_net_queue_args *args,
                          void **ret_queue) BP_MUST_CHECK;
void bp_net_stack_close(struct bp_net_stack *stack, void *queue);
int32_t bp_net_stack_set_features(struct bp_net_stack *stack, uint32_t features) BP_MUST_CHECK;
int32_t bp_net_stack_transmit(struct bp_net_stack *stack, void *queue,
                              const struct bp_net_frame *frames, uint32_t count,
                              uint32_t *done) BP_MUST_CHECK;
int32_t bp_net_stack_post(struct bp_net_stack *stack, void *queue,
                          const struct bp_net_buffer *buffers, uint32_t count) BP_MUST_CHECK;
void bp_net_stack_flush(struct bp_net_stack *stack, void *queue);
void bp_net_stack_enable(struct bp_net_stack *stack, void *queue, uint32_t enabled);
int32_t bp_net_stack_attach(struct bp_net_stack *stack, const struct bp_peer *peer) BP_MUST_CHECK;
void bp_net_stack_detach(struct bp_net_stack *stack);
/* Frees the lanes, in destroy(). */
void bp_net_stack_done(struct bp_net_stack *stack);

/* Writes the tables bp.net/1 (NAME_ops) and bp.life/1 (NAME_life, with `extra` members) of a filter
 * whose object is `struct type` with a member `stack`. */
#define BP_NET_STACK_TABLES(name, type, ...)                                                       \
    static int32_t name##_info(void *self, struct bp_net_info *info)                               \
    {                                                                                              \
        return bp_net_stack_info(&((struct type *)self)->stack, info);                             \
    }                                                                                              \
    static int32_t name##_queue_open(void *self, const struct bp_net_queue_args *args,             \
                                     void **queue)                                                 \
    {                                                                                              \
        return bp_net_stack_open(&((struct type *)self)->stack, args, queue);                      \
    }                                                                                              \
    static void name##_queue_close(void *self, void *queue)                                        \
    {                                                                                              \
        bp_net_stack_close(&((struct type *)self)->stack, queue);                                  \
    }                                                                                              \
    static int32_t name##_set_features(void *self, uint32_t features)                              \
    {                                                                                              \
        return bp_net_stack_set_features(&((struct type *)self)->stack, features);                 \
    }                                                                                              \
    static int32_t name##_transmit(void *self, void *queue, const struct bp_net_frame *frames,     \
                                   uint32_t count, uint32_t *done)                                 \
    {                                                                                              \
        return bp_net_stack_transmit(&((struct type *)self)->stack, queue, frames, count, done);   \
    }                                                                                              \
    static int32_t name##_post(void *self, void *queue, const struct bp_net_buffer *buffers,       \
                               uint32_t count)                                                     \
    {                                                                                              \
        return bp_net_stack_post(&((struct type *)self)->stack, queue, buffers, count);            \
    }                                                                                              \
    static void name##_flush(void *self, void *queue)                                              \
    {                                                                                              \
        bp_net_stack_flush(&((struct type *)self)->stack, queue);                                  \
    }                                                                                              \
    static void name##_queue_enable(void *self, void *queue, uint32_t enabled)                     \
    {                                                                                              \
        bp_net_stack_enable(&((struct type *)self)->stack, queue, enabled);                        \
    }                                                                                              \
    static int32_t name##_attach(void *self, uint32_t slot, uint32_t use,                          \
                                 const struct bp_peer *peer)                                       \
    {                                                                                              \
        (void)slot;                                                                                \
        (void)use;                                                                                 \
        return bp_net_stack_attach(&((struct type *)self)->stack, peer);                           \
    }                                                                                              \
    static void name##_detach(void *self, uint32_t slot, uint32_t use)                             \
    {                                                                                              \
        (void)slot;                                                                                \
        (void)use;                                                                                 \
        bp_net_stack_detach(&((struct type *)self)->stack);                                        \
    }                                                                                              \
    static const struct bp_net_ops name##_ops = {                                                  \
        .size = sizeof(name##_ops),                                                                \
        .info = name##_info,                                                                       \
        .queue_open = name##_queue_open,                                                           \
        .queue_close = name##_queue_close,                                                         \
        .set_features = name##_set_features,                                                       \
        .transmit = name##_transmit,                                                               \
        .post = name##_post,                                                                       \
        .flush = name##_flush,                                                                     \
        .queue_enable = name##_queue_enable,                                                       \
    };                                                                                             \
    static const struct bp_life_ops name##_life = {.size = sizeof(name##_life),                    \
                                                   .attach = name##_attach,                        \
                                                   .detach = name##_detach,                        \
                                                   __VA_ARGS__}

/* --- what the callbacks use. [loop]
 * --------------------------------------------------------------- */

/* Hands frames to the backend, as bp_net_ops.transmit; none are taken while there is none. */
uint32_t bp_net_lane_send(struct bp_net_lane *lane, const struct bp_net_frame *frames,
                          uint32_t count, uint32_t *done);
/* Tells the consumer, soon, that a frame it handed over is done. For at most tx_depth frames. */
void bp_net_lane_finish(struct bp_net_lane *lane, uint64_t user);
/* Offers the frames again that arrived() did not take. */
void bp_net_lane_retry(struct bp_net_lane *lane);
void bp_net_lane_arm(struct bp_net_lane *lane, uint64_t deadline_ns);

#ifdef __cplusplus
}
#endif

#endif
