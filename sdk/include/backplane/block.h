/* SPDX-License-Identifier: Apache-2.0 */
/* bp.block/1: random-access storage, provided by backends and filters, consumed by devices and
 * filters.
 *
 * Data buffers lie in guest RAM or in the arena (memory.h); so they can be used in place, from any
 * process. Requests may complete in any order; one that overlaps another in flight has no defined order
 * with it. A FLUSH covers every write that completed before it was submitted. */
#ifndef BACKPLANE_BLOCK_H
#define BACKPLANE_BLOCK_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_BLOCK_ID "bp.block/1"

#define BP_BLOCK_READ         1u
#define BP_BLOCK_WRITE        2u
#define BP_BLOCK_FLUSH        3u /* offset, length, iov unused */
#define BP_BLOCK_DISCARD      4u /* contents become undefined (zeroes if BP_BLOCK_CAN_ZERO_DISCARD) */
#define BP_BLOCK_WRITE_ZEROES 5u

#define BP_BLOCK_FUA   (1u << 0) /* WRITE, WRITE_ZEROES: on stable storage at completion */
#define BP_BLOCK_UNMAP (1u << 1) /* WRITE_ZEROES: may deallocate */

/* One request. Frozen: 64 bytes. */
struct bp_block_request {
    uint64_t user;              /* given back in the completion; unique among those in flight */
    uint32_t op;                /* BP_BLOCK_READ ... */
    uint32_t flags;             /* BP_BLOCK_FUA ... */
    uint64_t offset;            /* bytes; multiple of info.block_size */
    uint64_t length;            /* bytes; multiple of info.block_size; the sum of iov's lengths */
    const struct bp_iovec *iov; /* READ, WRITE: valid, with its buffers, until completion */
    uint32_t iov_count;         /* 1..info.max_iov */
    uint32_t reserved;
    uint64_t reserved2[2];
};

/* Completion: frozen, 16 bytes. */
struct bp_block_completion {
    uint64_t user;
    int32_t status; /* 0; -EIO, -ENOSPC, -EROFS, -EOPNOTSUPP, -ECANCELED, -EINVAL, or other errno */
    uint32_t flags; /* BP_BLOCK_RECOVERABLE */
};

#define BP_BLOCK_RECOVERABLE (1u << 0) /* trying again later may succeed: ENOSPC, a lost connection */

#define BP_BLOCK_READONLY         (1u << 0)
#define BP_BLOCK_CAN_DISCARD      (1u << 1)
#define BP_BLOCK_CAN_ZERO         (1u << 2) /* WRITE_ZEROES is cheaper than writing */
#define BP_BLOCK_CAN_FUA          (1u << 3) /* else the consumer flushes */
#define BP_BLOCK_ROTATIONAL       (1u << 4)
#define BP_BLOCK_WRITE_CACHE      (1u << 5) /* completed writes may be volatile until a FLUSH */
#define BP_BLOCK_CAN_ZERO_DISCARD (1u << 6) /* discarded blocks read as zeroes */
#define BP_BLOCK_CAN_RESIZE       (1u << 7)
#define BP_BLOCK_REMOVABLE        (1u << 8)
#define BP_BLOCK_HAS_LIFETIME     (1u << 9) /* lifetime is known */

/* How worn a medium is, counted as virtio 1.2, 5.2.6 does and eMMC's PRE_EOL_INFO and
 * DEVICE_LIFE_TIME_EST_TYP_A and _B do. Frozen: 8 bytes. */
struct bp_block_lifetime {
    uint16_t pre_eol; /* spare blocks used: 0 not told, 1 normal, 2 four fifths, 3 nine tenths */
    uint16_t used_a;  /* life used, memory of type A: 0 not told, n up to n tenths, 11 all of it */
    uint16_t used_b;  /* the same of type B */
    uint16_t reserved;
};

/* Out struct. */
struct bp_block_info {
    uint32_t size;
    uint32_t flags;               /* BP_BLOCK_READONLY ... */
    uint64_t capacity;            /* bytes */
    uint32_t block_size;          /* bytes; smallest addressable piece: requests are multiples; 512 or
                                   * less can always be asked for: the backend reads, modifies, writes */
    uint32_t physical_block_size; /* bytes; the piece that is written without reading */
    uint32_t optimal_io_size;     /* bytes, 0: no preference */
    uint32_t buffer_alignment;    /* bytes; buffers so aligned are never copied */
    uint64_t max_transfer;        /* bytes in one request; at least 1 MiB */
    uint32_t max_iov;             /* at least 128 */
    uint32_t discard_granularity; /* bytes, 0 if it cannot discard */
    uint64_t max_discard;         /* bytes in one request */
    uint64_t generation;          /* rises when the medium is another one */
    struct bp_block_lifetime lifetime; /* if BP_BLOCK_HAS_LIFETIME; older peers: not known */
};

#define BP_BLOCK_EVENT_RESIZED 1u /* ask info again */
#define BP_BLOCK_EVENT_MEDIA   2u /* medium inserted, removed or changed: ask info again */

/* What the consumer offers. */
struct bp_block_client {
    uint32_t size;
    uint32_t flags;
    /* Requests ended. Never called inside submit().
     * completions: count records, borrowed.
     * [loop] the queue's loop. */
    void (*complete)(void *opaque, const struct bp_block_completion *completions, uint32_t count);
    /* Optional. event: BP_BLOCK_EVENT_...
     * [loop] the queue's loop. */
    void (*event)(void *opaque, uint32_t event);
};

struct bp_block_queue_args {
    uint32_t size;
    uint32_t flags;  /* 0 */
    uint32_t depth;  /* most requests in flight: 1..4096 */
    uint32_t loop;   /* loop for completions */
    const struct bp_block_client *client; /* copied */
    void *opaque;    /* first argument of the client's functions */
};

/* A backend's table. self: the instance; queue: what queue_open made. */
struct bp_block_ops {
    uint32_t size;
    uint32_t flags;

    /* Tells what the storage is like, now.
     * info: the caller sets size.
     * [any] -ENOMEDIUM: nothing inserted (info is filled with capacity 0). */
    int32_t (*info)(void *self, struct bp_block_info *info);
    /* Makes a queue. Several may exist.
     * *queue: untouched on failure; closed by queue_close.
     * [control] -EINVAL: depth. -ENOENT: loop. -ENOMEM. -EMFILE. */
    int32_t (*queue_open)(void *self, const struct bp_block_queue_args *args,
                          void **queue) BP_MUST_CHECK;
    /* Ends a queue. Nothing is in flight (see drain).
     * [control] */
    void (*queue_close)(void *self, void *queue);
    /* Hands over requests; the records may be reused when it returns. Calls for one queue never
     * overlap: whoever opened it sees to that.
     * count: 1 or more.
     * Returns how many were taken, from the first on; fewer only when depth is reached. A request that is
     * wrong is taken and completes with -EINVAL.
     * [any] */
    int32_t (*submit)(void *self, void *queue, const struct bp_block_request *requests,
                      uint32_t count) BP_MUST_CHECK;
    /* Tries to end requests early; each still completes, with -ECANCELED or its real status. user: one
     * request, or UINT64_MAX for all. Optional.
     * [any] */
    void (*cancel)(void *self, void *queue, uint64_t user);
    /* Returns when nothing of the queue is in flight and every completion has been delivered. The
     * caller holds no lock that complete() takes, and submits nothing meanwhile.
     * [control] */
    void (*drain)(void *self, void *queue);
    /* Changes the capacity. Optional.
     * capacity: bytes, a multiple of block_size.
     * [control] -EOPNOTSUPP. -EROFS. -ENOSPC. -EINVAL. */
    int32_t (*resize)(void *self, uint64_t capacity) BP_MUST_CHECK;
};

#ifdef __cplusplus
}
#endif

#endif
