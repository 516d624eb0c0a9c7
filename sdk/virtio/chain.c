/* SPDX-License-Identifier: Apache-2.0 */
/* Chains: their memory, and from descriptors to pieces of guest RAM. */
#include "virtio_internal.h"

#include <stdlib.h>
#include <string.h>

#define DESC_BYTES 16u
#define ALIGNMENT  16u

static uint64_t
aligned(uint64_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

struct bp_virtio_chain *
chain_at(const struct bp_virtqueue *queue, uint32_t slot)
{
    return (struct bp_virtio_chain *)(void *)(queue->slots + slot * queue->slot_size);
}

static void
chain_place(struct bp_virtqueue *queue, uint32_t index, uint64_t request_size)
{
    struct bp_virtio_chain *chain = chain_at(queue, index);
    uint8_t *at = (uint8_t *)chain + aligned(sizeof(*chain));

    chain->queue = queue;
    chain->index = index;
    chain->request = at;
    at += aligned(request_size);
    chain->iov = (struct bp_iovec *)(void *)at;
    at += queue->max_pieces * sizeof(struct bp_iovec);
    chain->pieces = (const struct bp_virtio_piece *)(const void *)at;
    chain->next = queue->free;
    queue->free = chain;
}

/* One block, which costs what is used of it: the newest free chain is taken first. */
int32_t
chains_init(struct bp_virtqueue *queue, uint32_t request_size, uint32_t max_pieces)
{
    queue->max_pieces = max_pieces != 0 ? max_pieces : queue->max_size;
    queue->slot_count = queue->max_size;
    queue->slot_size =
        aligned(sizeof(struct bp_virtio_chain)) + aligned(request_size) +
        aligned(queue->max_pieces * (sizeof(struct bp_iovec) + sizeof(struct bp_virtio_piece)));
    queue->slots = calloc(queue->slot_count, queue->slot_size);
    queue->by_order = calloc(queue->slot_count, sizeof(*queue->by_order));
    if (queue->slots == NULL || queue->by_order == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = queue->slot_count; i > 0; i--) {
        chain_place(queue, i - 1, request_size);
    }
    return 0;
}

void
chains_done(struct bp_virtqueue *queue)
{
    free(queue->slots);
    free(queue->by_order);
}

void
chain_clear(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    chain->out_count = chain->in_count = 0;
    chain->out_bytes = chain->in_bytes = 0;
    chain->written = 0;
    memset(chain->request, 0, (size_t)((uint8_t *)chain->iov - (uint8_t *)chain->request));
}

struct bp_virtio_piece *
chain_pieces(const struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    return (struct bp_virtio_piece *)(void *)(chain->iov + queue->max_pieces);
}

int32_t
chain_restore_iov(struct bp_virtqueue *queue, struct bp_virtio_chain *chain)
{
    for (uint32_t i = 0; i < chain->out_count + chain->in_count; i++) {
        const struct bp_virtio_piece *piece = &chain->pieces[i];
        void *memory =
            bp_ram_translate(queue->view, piece->gpa, piece->length, i >= chain->out_count);

        if (memory == NULL) {
            bp_virtio_broken(queue->virtio, "queue %u: a pending request's memory at %#llx is gone",
                             queue->index, (unsigned long long)piece->gpa);
            return -EINVAL;
        }
        chain->iov[i].base = memory;
        chain->iov[i].length = piece->length;
    }
    return 0;
}

static int32_t
chain_piece(struct bp_virtqueue *queue, struct bp_virtio_chain *chain, uint64_t gpa,
            uint64_t length, void *memory)
{
    uint32_t at = chain->out_count + chain->in_count;
    struct bp_virtio_piece *pieces = chain_pieces(queue, chain);

    if (at >= queue->max_pieces) {
        bp_virtio_broken(queue->virtio, "queue %u: a request of more than %u pieces", queue->index,
                         queue->max_pieces);
        return -EINVAL;
    }
    chain->iov[at].base = memory;
    chain->iov[at].length = length;
    pieces[at].gpa = gpa;
    pieces[at].length = length;
    return 0;
}

/* A buffer that runs over the end of one range of RAM into the next becomes two pieces. */
int32_t
chain_add(struct bp_virtqueue *queue, struct bp_virtio_chain *chain, const struct virtio_desc *desc,
          uint32_t write)
{
    uint64_t gpa = desc->gpa;
    uint64_t left = desc->length;

    if (!write && chain->in_count != 0) {
        bp_virtio_broken(queue->virtio, "queue %u: a buffer to read after one to write",
                         queue->index);
        return -EINVAL;
    }
    while (left != 0) {
        void *memory = bp_ram_translate(queue->view, gpa, left, write);
        uint64_t piece = left;

        if (memory == NULL) {
            piece = bp_min_u64(bp_ram_contiguous(queue->view, gpa), left);
            memory = piece != 0 ? bp_ram_translate(queue->view, gpa, piece, write) : NULL;
        }
        if (memory == NULL) {
            bp_virtio_broken(queue->virtio, "queue %u: a buffer at %#llx that is not RAM",
                             queue->index, (unsigned long long)gpa);
            return -EINVAL;
        }
        if (chain_piece(queue, chain, gpa, piece, memory) != 0) {
            return -EINVAL;
        }
        chain->in_count += write != 0;
        chain->out_count += write == 0;
        gpa += piece;
        left -= piece;
    }
    chain->in_bytes += write ? desc->length : 0;
    chain->out_bytes += write ? 0 : desc->length;
    return 0;
}

const uint8_t *
chain_table(struct bp_virtqueue *queue, const struct virtio_desc *desc, uint32_t *count)
{
    const uint8_t *table = NULL;

    if (!virtio_has(queue->virtio, BP_VIRTIO_F_INDIRECT_DESC)) {
        bp_virtio_broken(queue->virtio, "queue %u: an indirect descriptor without the feature",
                         queue->index);
        return NULL;
    }
    /* 2.7.5.3: no chain is longer than the queue; more is taken as far as there is room. */
    *count = desc->length / DESC_BYTES;
    if (desc->length % DESC_BYTES == 0 && *count != 0 && *count <= BP_VIRTIO_MAX_QUEUE_SIZE) {
        table = bp_ram_translate(queue->view, desc->gpa, desc->length, 0);
    }
    if (table == NULL) {
        bp_virtio_broken(queue->virtio, "queue %u: a bad indirect table of %u bytes at %#llx",
                         queue->index, (unsigned)desc->length, (unsigned long long)desc->gpa);
    }
    return table;
}
