/* SPDX-License-Identifier: Apache-2.0 */
/* The fake block backend from the inside: fake_block.c serves the consumer, block_control.c the
 * test. */
#ifndef TESTHOST_FAKE_BLOCK_H
#define TESTHOST_FAKE_BLOCK_H

#include "th.h"

struct flight {
    struct flight *next; /* in order of submission */
    struct bp_block_request request;
    struct bp_iovec *iov;
    struct fake_queue *queue;
    uint32_t log_index;
};

struct script {
    struct script *next;
    uint32_t op, skip, flags;
    int32_t status;
};

struct fake_queue {
    struct fake_queue *next;
    struct th_block *block;
    struct bp_block_queue_args args;
    struct bp_block_client client;
    uint32_t in_flight;
};

struct th_block {
    struct th_host *th;
    char *id;
    uint8_t *data, *durable;
    struct bp_block_info info;
    uint64_t room; /* bytes behind data */
    int no_medium, hold;
    struct flight *flights;
    struct script *scripts;
    struct fake_queue *queues;
    struct th_block_op *log;
    uint32_t log_count, log_room, submits;
    uint32_t events[8];
    uint32_t event_count;
};

/* Takes a flight out of the list and completes it. cancelled: with -ECANCELED. */
void th_block_finish(struct th_block *block, struct flight **link, int cancelled);
extern const struct bp_block_ops th_fake_block_ops;

#endif
