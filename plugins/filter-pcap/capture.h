/* SPDX-License-Identifier: Apache-2.0 */
/* filter-pcap from the inside: loops put copies of frames into rings, one for each queue; a thread
 * writes them to the file. No loop waits for the disk: what does not fit into its ring is counted.
 */
#pragma once

#include <backplane/sdk/net_stack.h>

#include <stdatomic.h>

#define CAPTURE_INBOUND  1u /* to the guest; the values are pcapng's */
#define CAPTURE_OUTBOUND 2u

/* A frame in a ring, followed by its bytes; multiples of 8 bytes. */
struct capture_record {
    uint32_t size;     /* with the bytes; 0: nothing more up to the end of the ring */
    uint32_t captured; /* bytes that are here */
    uint32_t original; /* bytes the frame has */
    uint32_t flags;    /* pcapng's epb_flags */
    uint64_t wall_ns;
};

/* One loop writes, the thread reads. */
struct capture_ring {
    uint8_t *memory;
    uint32_t size;          /* power of two */
    _Atomic(uint32_t) head; /* of the reader */
    _Atomic(uint32_t) tail; /* of the writer; both free running */
    _Atomic(uint64_t) seen, lost;
};

struct capture {
    struct bp_services *host;
    int fd, wake;
    uint32_t snap_length;
    uint64_t max_size; /* bytes; 0: none */
    uint64_t written;
    uint8_t *buffer; /* the thread's */
    uint32_t used;
    _Atomic(uint32_t) sleeping, stopping, failed;
    struct capture_ring rings[BP_NET_MAX_QUEUES]; /* memory NULL: no such queue yet */
    _Atomic(uint32_t) ring_count;                 /* those beyond were never made */
};

/* ring.c. put: [loop]; iov: the frame. peek, pop: the thread; NULL: empty. */
int32_t capture_ring_init(struct capture_ring *ring, uint32_t size);
void capture_put(struct capture *capture, uint32_t index, const struct bp_iovec *iov,
                 uint32_t iov_count, struct capture_record record);
const struct capture_record *capture_peek(struct capture_ring *ring);
void capture_pop(struct capture_ring *ring);

/* file.c. begin, end: [control]; thread: the thread. */
int32_t capture_begin(struct capture *capture, const char *name);
void capture_end(struct capture *capture);
void capture_thread(void *opaque);
void capture_stop(void *opaque);
