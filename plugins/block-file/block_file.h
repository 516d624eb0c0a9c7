/* SPDX-License-Identifier: Apache-2.0 */
/* An instance of block-file. */
#ifndef BLOCK_FILE_H
#define BLOCK_FILE_H

#include "queue.h"

/* Workers beside an io_uring: for copies, device ioctls, and what the kernel refuses to queue.
 * Blocks larger than the guest's sectors make copies likely. */
#define HELPERS      1u
#define HELPERS_MANY 4u

#define ENGINE_UNKNOWN 0u /* until the first queue */
#define ENGINE_RING    1u
#define ENGINE_THREADS 2u

struct block_file {
    struct bp_services services;
    struct image image;
    struct pool pool;
    struct queue *queues;
    uint32_t next_queue_id;
    uint32_t engine;
    uint32_t threads; /* option */
    uint32_t pins;    /* option: guest memory is registered with the rings */
};

#endif
