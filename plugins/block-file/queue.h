/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of the block interface: records for requests in flight, the way to the kernel or the
 * workers, and back to the client on its loop.
 *
 *   submit() --- free ring --> record --+--> io_uring ------------------+--> loop: complete(),
 * record [any, one at a time]              +--> workers --> done list -----+    back to the free
 * ring
 *
 * Submitter and loop share no lock. The free ring has one producer (the loop) and one consumer (the
 * submitter): the loop stores the index, then free_tail with release; the submitter loads free_tail
 * with acquire, then the index. So everything the loop did with a record happens before its next
 * use. */
#ifndef BLOCK_FILE_QUEUE_H
#define BLOCK_FILE_QUEUE_H

#include "pool.h"
#include "ring.h"

#define QUEUE_MAX_DEPTH 4096u

/* A tag carries the record's index and what its mark counts, so that neither a late result nor a
 * late cancel is taken for another use's. */
#define TAG_INDEX_BITS 12
_Static_assert(QUEUE_MAX_DEPTH == 1u << TAG_INDEX_BITS, "a tag holds every index");

static inline uint64_t
queue_tag(uint64_t index, uint64_t mark)
{
    return (mark / MARK_NEXT) << TAG_INDEX_BITS | index;
}

/* Padding keeps what the two threads write on cache lines of its own. */
struct queue {          // NOLINT(clang-analyzer-optin.performance.Padding)
    struct queue *next; /* of the same instance; the control thread's */
    const struct bp_services *services;
    struct image *image;
    struct pool *pool;
    struct bp_block_client client;
    void *opaque;
    uint32_t id; /* 2 * id and 2 * id + 1 name its descriptors */
    uint32_t depth;
    uint32_t loop;
    uint32_t watches;  /* descriptors registered: bit 0 done_fd, bit 1 the ring's */
    struct ring *ring; /* NULL: workers do everything */
    int done_fd;       /* eventfd: the done list or events are no longer empty */

    struct request *requests; /* depth records */
    uint16_t *free_ring;      /* indices of records; power of two, at least depth */
    uint32_t free_mask;
    uint32_t free_head __attribute__((aligned(64)));          /* the submitter's */
    _Atomic(uint32_t) free_tail __attribute__((aligned(64))); /* the loop's */
    _Atomic(uint32_t) in_flight;    /* taken, and completion not yet delivered */
    _Atomic(struct request *) done; /* ended elsewhere than in the ring; newest first */
    _Atomic(uint32_t) events;       /* bit n: BP_BLOCK_EVENT_ n to be told */
    _Atomic(uint32_t) draining;
    _Atomic(uint32_t) finishing; /* threads in queue_finish() */
    uint32_t abandoned;
    pthread_mutex_t drain_lock; /* protects: nothing but the wait for in_flight */
    pthread_cond_t drained;
};

/* use_ring: io_uring, else workers. *ret_queue: untouched on failure. Results as queue_open of
 * block.h; -ENOSYS, -EPERM, -EACCES: io_uring was asked for and is refused. [control] */
int32_t queue_new(struct queue **ret_queue, struct pool *pool, uint32_t id,
                  const struct bp_block_queue_args *args, uint32_t use_ring);
/* Waits for what is in flight; takes half-made ones. [control] */
void queue_free(struct queue *queue);
/* Frees a queue whose client went without closing it: waits for what the kernel still does to the
 * client's buffers, tells nobody. The workers are joined, the loop does not know the queue any
 * more. */
void queue_abandon(struct queue *queue);
int32_t queue_submit(struct queue *queue, const struct bp_block_request *requests, uint32_t count);
void queue_cancel(struct queue *queue, uint64_t user);
void queue_drain(struct queue *queue);
/* Registers guest memory with the queue's ring. Results as ring_pin. */
int32_t queue_pin(struct queue *queue);
/* Tells the client, on its loop. */
void queue_event(struct queue *queue, uint32_t event);
/* A request ended that the ring does not know: it will be completed on the loop. Any thread's. */
void queue_finish(struct request *request, int32_t status);

#endif
