/* SPDX-License-Identifier: Apache-2.0 */
/* Help for block plugins that stand on other block backends: filters and image formats. Not ABI.
 *
 * A *lane* is one queue of the consumer together with its queues below. Everything in a lane runs
 * on the lane's loop, so a plugin needs no lock and sees its callbacks one after the other. A
 * submit() on that loop is carried out at once and reaches the backend below within the same call;
 * one from another thread is handed over. A *flight* is one request of the consumer, from submit()
 * to its completion; an *io* is one request to a backend below. Both exist before they are needed:
 * nothing is allocated on the way.
 *
 * A plugin writes start(), which ends in one of
 *   bp_block_pass(flight)          the same request goes to slot 0; its status is the flight's
 *   bp_block_end(flight, ...)      it is over
 *   keeping it                     for a timer, or while its ios are below; then one of the others
 *
 * What is offered on top comes from here: the argument checks, completions in batches and never
 * inside submit(), cancel, drain, quiesce, events, resize, info, attach and detach. */
#ifndef BACKPLANE_SDK_BLOCK_STACK_H
#define BACKPLANE_SDK_BLOCK_STACK_H

#include <backplane/sdk/block.h>

#include <stdatomic.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_BLOCK_STACK_SLOTS 2u

struct bp_block_lane;
struct bp_block_stack;

/* One request to a backend below. It belongs to whoever embeds it, until done() is called. */
struct bp_block_io {
    struct bp_block_request request; /* user is filled in here */
    /* The request ended; the io may be used again from inside. [loop] */
    void (*done)(struct bp_block_io *io, int32_t status, uint32_t flags);
    struct bp_block_io *next;
    uint32_t slot;
    uint32_t index; /* where it is in flight; UINT32_MAX: nowhere, or waiting for room */
};

/* C++17 has no _Atomic; nothing that is compiled there touches these two. */
#ifdef __cplusplus
#define BP_BLOCK_ATOMIC(type) type
#else
#define BP_BLOCK_ATOMIC(type) _Atomic(type)
#endif

/* One request of the consumer. */
struct bp_block_flight {
    struct bp_block_request request;
    struct bp_block_lane *lane;
    struct bp_block_flight *next; /* the plugin's, while it keeps the flight */
    struct bp_block_io io;        /* likewise; bp_block_pass() uses it */
    void *data;                   /* the plugin's flight_size bytes, zero at first */
    uint32_t index;
    uint32_t cancelled; /* the consumer wants it to end */
    uint32_t started;   /* the library's */
    int32_t status;     /* with flags: the library's, from bp_block_end() on */
    uint32_t flags;
    BP_BLOCK_ATOMIC(uint32_t) word;
    BP_BLOCK_ATOMIC(uint64_t) user;
};

/* What the plugin does. All but lane_init and lane_done: [loop]. */
struct bp_block_stack_ops {
    void (*start)(struct bp_block_flight *flight);
    /* Optional. The consumer wants a flight to end that is at most kept, or below: what is below is
     * cancelled by the plugin with bp_block_io_cancel(). Without it the flight's own io is. */
    void (*cancel)(struct bp_block_flight *flight);
    /* Optional. Nothing may be kept back any more: pass or end what is. Called for a drain as long
     * as it lasts, and once after bp_block_stack_hurry(). */
    void (*hurry)(struct bp_block_lane *lane);
    /* Optional. The lane's timer expired; or bp_block_stack_kick() was called. */
    void (*expired)(struct bp_block_lane *lane);
    void (*kicked)(struct bp_block_lane *lane);
    /* Optional. The control thread runs the loop itself and waits for flights: do I/O, at most some
     * milliseconds. */
    void (*wait)(struct bp_block_lane *lane);
    /* Optional: what a lane has of its own, in lane->data. [control] */
    int32_t (*lane_init)(struct bp_block_lane *lane);
    void (*lane_done)(struct bp_block_lane *lane);
    /* Optional: changes what the backend in slot 0 says about itself. Returns 0 or as info. [any]
     */
    int32_t (*info)(void *self, struct bp_block_info *info);
    uint64_t flight_size; /* bytes of flight->data */
    uint64_t lane_size;   /* bytes of lane->data */
    uint32_t ios;         /* most ios below at a time for one flight; 0: 1 */
    uint32_t reserved;
};

/* A queue on the backend in one slot. */
struct bp_block_lower {
    struct bp_block_lane *lane;
    uint32_t slot;
    uint32_t depth;
    void *queue; /* NULL: nothing attached */
    struct bp_block_io **table;
    uint32_t *generations;
    uint32_t *room; /* stack of free places in table */
    uint32_t room_count;
    struct bp_block_io *first, **last; /* waiting */
};

/* A block backend that stands on others. Embed it; zero it; fill the upper half. */
struct bp_block_stack {
    const struct bp_services *services;
    const struct bp_block_stack_ops *ops;
    void *self;     /* the plugin's object */
    uint32_t slots; /* slots of the class, all of them bp.block/1 with one use each; 0: a backend
                     * that does its own I/O on the loop */
    uint32_t has_timer; /* lanes have a timer on `clock`, ids from 0 on */
    uint32_t clock;
    uint32_t one_loop; /* all lanes run on the instance's home loop: they share data */

    const struct bp_block_ops *below[BP_BLOCK_STACK_SLOTS];
    void *below_self[BP_BLOCK_STACK_SLOTS];
    struct bp_block_lane *first;
    uint32_t next_id;
};

/* --- the plugin's tables: each of these takes the stack ------------------------------------------
 */

int32_t bp_block_stack_info(struct bp_block_stack *stack, struct bp_block_info *info);
int32_t bp_block_stack_open(struct bp_block_stack *stack, const struct bp_block_queue_args *given,
                            void **ret_queue) BP_MUST_CHECK;
void bp_block_stack_close(struct bp_block_stack *stack, void *queue);
int32_t bp_block_stack_submit(struct bp_block_stack *stack, void *queue,
                              const struct bp_block_request *requests,
                              uint32_t count) BP_MUST_CHECK;
void bp_block_stack_cancel(struct bp_block_stack *stack, void *queue, uint64_t user);
void bp_block_stack_drain(struct bp_block_stack *stack, void *queue);
/* Of the backend in slot 0. */
int32_t bp_block_stack_resize(struct bp_block_stack *stack, uint64_t capacity) BP_MUST_CHECK;
int32_t bp_block_stack_attach(struct bp_block_stack *stack, uint32_t slot,
                              const struct bp_peer *peer) BP_MUST_CHECK;
void bp_block_stack_detach(struct bp_block_stack *stack, uint32_t slot);
/* Waits for everything in flight. [control] */
void bp_block_stack_quiesce(struct bp_block_stack *stack);
/* Waits for everything that was started and starts nothing more until thaw: the plugin may change
 * what start() relies on. What the consumer submits meanwhile waits. [control] */
void bp_block_stack_freeze(struct bp_block_stack *stack);
void bp_block_stack_thaw(struct bp_block_stack *stack);
/* Frees the lanes, in destroy(). */
void bp_block_stack_done(struct bp_block_stack *stack);

/* Writes the functions of bp.block/1 and of bp.life/1 that only pass on: NAME_info, NAME_queue_open
 * ... for a plugin whose object is `struct type` with a member `stack`. */
#define BP_BLOCK_STACK_FUNCTIONS(name, type)                                                       \
    static int32_t name##_info(void *self, struct bp_block_info *info)                             \
    {                                                                                              \
        return bp_block_stack_info(&((struct type *)self)->stack, info);                           \
    }                                                                                              \
    static int32_t name##_queue_open(void *self, const struct bp_block_queue_args *args,           \
                                     void **queue)                                                 \
    {                                                                                              \
        return bp_block_stack_open(&((struct type *)self)->stack, args, queue);                    \
    }                                                                                              \
    static void name##_queue_close(void *self, void *queue)                                        \
    {                                                                                              \
        bp_block_stack_close(&((struct type *)self)->stack, queue);                                \
    }                                                                                              \
    static int32_t name##_submit(void *self, void *queue, const struct bp_block_request *requests, \
                                 uint32_t count)                                                   \
    {                                                                                              \
        return bp_block_stack_submit(&((struct type *)self)->stack, queue, requests, count);       \
    }                                                                                              \
    static void name##_cancel_request(void *self, void *queue, uint64_t user)                      \
    {                                                                                              \
        bp_block_stack_cancel(&((struct type *)self)->stack, queue, user);                         \
    }                                                                                              \
    static void name##_drain(void *self, void *queue)                                              \
    {                                                                                              \
        bp_block_stack_drain(&((struct type *)self)->stack, queue);                                \
    }                                                                                              \
    __attribute__((unused)) static int32_t name##_attach(void *self, uint32_t slot, uint32_t use,  \
                                                         const struct bp_peer *peer)               \
    {                                                                                              \
        (void)use;                                                                                 \
        return bp_block_stack_attach(&((struct type *)self)->stack, slot, peer);                   \
    }                                                                                              \
    __attribute__((unused)) static void name##_detach(void *self, uint32_t slot, uint32_t use)     \
    {                                                                                              \
        (void)use;                                                                                 \
        bp_block_stack_detach(&((struct type *)self)->stack, slot);                                \
    }                                                                                              \
    static int32_t name##_quiesce(void *self, uint64_t deadline_ns)                                \
    {                                                                                              \
        (void)deadline_ns;                                                                         \
        bp_block_stack_quiesce(&((struct type *)self)->stack);                                     \
        return 0;                                                                                  \
    }

/* --- one request at a time, for the control thread
 * ------------------------------------------------- */

/* A queue of depth 1 on a backend whose requests are waited for. */
struct bp_block_sync {
    const struct bp_services *services;
    const struct bp_block_ops *ops;
    void *self;
    void *queue;
    int32_t status;
};

int32_t bp_block_sync_open(struct bp_block_sync *sync, const struct bp_services *services,
                           const struct bp_block_ops *ops, void *self) BP_MUST_CHECK;
void bp_block_sync_close(struct bp_block_sync *sync);
/* data: guest RAM or arena; NULL for what moves no data. Returns the request's status. */
int32_t bp_block_sync_io(struct bp_block_sync *sync, uint32_t op, uint32_t flags, uint64_t offset,
                         void *data, uint64_t length) BP_MUST_CHECK;

/* --- what start() and the other callbacks use. [loop]
 * --------------------------------------------- */

void bp_block_pass(struct bp_block_flight *flight);
void bp_block_end(struct bp_block_flight *flight, int32_t status, uint32_t flags);
/* Sends io->request to io->slot; done() comes later, never inside. */
void bp_block_io_send(struct bp_block_lane *lane, struct bp_block_io *io);
/* Tries to end it early; done() still comes, later. */
void bp_block_io_cancel(struct bp_block_lane *lane, struct bp_block_io *io);
/* The lane's own bytes, its plugin, whether a drain waits (then nothing may be kept back). */
void *bp_block_lane_data(struct bp_block_lane *lane);
void *bp_block_lane_self(struct bp_block_lane *lane);
uint32_t bp_block_lane_hurries(const struct bp_block_lane *lane);
/* Number of the lane, its loop and its consumer's depth. [any] */
uint32_t bp_block_lane_id(const struct bp_block_lane *lane);
uint32_t bp_block_lane_loop(const struct bp_block_lane *lane);
uint32_t bp_block_lane_depth(const struct bp_block_lane *lane);
/* Delivers what has ended: after a callback of the plugin's own (descriptor, timer). */
void bp_block_lane_run(struct bp_block_lane *lane);
/* The lane's timer. */
void bp_block_lane_arm(struct bp_block_lane *lane, uint64_t deadline_ns);
/* The lane's place in the stack's list, for the control thread: NULL ends it. */
struct bp_block_lane *bp_block_lane_next(const struct bp_block_stack *stack,
                                         const struct bp_block_lane *lane);

/* Calls kicked() of every lane, soon, on its loop. [any thread that opens and closes queues] */
void bp_block_stack_kick(struct bp_block_stack *stack);
/* Calls hurry() of every lane once, soon: at life.stop. [control] */
void bp_block_stack_hurry(struct bp_block_stack *stack);
/* Tells every consumer of an event. [control] */
void bp_block_stack_event(struct bp_block_stack *stack, uint32_t event);

#ifdef __cplusplus
}
#endif

#endif
