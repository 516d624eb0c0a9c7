/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define BATCH 64u /* completions in one call of the client */

struct batch {
    struct bp_block_completion completions[BATCH];
    uint32_t count;
};

/* --- records --------------------------------------------------------------------------------- */

/* The loop's. */
static void
give_record(struct queue *queue, struct request *request)
{
    uint32_t tail = atomic_load_explicit(&queue->free_tail, memory_order_relaxed);
    uint64_t mark = atomic_load_explicit(&request->mark, memory_order_relaxed);

    /* A cancel that comes now fails to set its bit: the count has moved on. */
    atomic_store_explicit(&request->mark, mark / MARK_NEXT * MARK_NEXT + MARK_NEXT,
                          memory_order_release);
    queue->free_ring[tail & queue->free_mask] = (uint16_t)(request - queue->requests);
    atomic_store_explicit(&queue->free_tail, tail + 1, memory_order_release);
}

/* --- completion: the loop's ------------------------------------------------------------------ */

static void
deliver(struct queue *queue, struct batch *batch)
{
    uint32_t count = batch->count;

    if (count == 0) {
        return;
    }
    batch->count = 0;
    queue->client.complete(queue->opaque, batch->completions, count);
    /* Sequentially consistent with drain: it sets draining and then looks at in_flight, here it is
     * the other way round; so one of the two sees the other. */
    if (atomic_fetch_sub(&queue->in_flight, count) == count && atomic_load(&queue->draining)) {
        pthread_mutex_lock(&queue->drain_lock);
        pthread_cond_broadcast(&queue->drained);
        pthread_mutex_unlock(&queue->drain_lock);
    }
}

static void
complete(struct queue *queue, struct request *request, int32_t status, struct batch *batch)
{
    struct bp_block_completion *completion = &batch->completions[batch->count++];

    completion->user = atomic_load_explicit(&request->user, memory_order_relaxed);
    completion->status = status == -EDQUOT ? -ENOSPC : status;
    completion->flags = completion->status == -ENOSPC || status == -ENOMEM || status == -EAGAIN
                            ? BP_BLOCK_RECOVERABLE
                            : 0;
    give_record(queue, request);
    if (batch->count == BATCH) {
        deliver(queue, batch);
    }
}

/* What the guest is told, or 1: a worker must have another go at it. It starts from the beginning,
 * which does no harm: the bytes are the same. */
static int32_t
judge(struct queue *queue, const struct request *request, int32_t result)
{
    struct image *image = queue->image;

    if (result == -ECANCELED || result == -EINTR) {
        return request_is_cancelled(request) ? -ECANCELED : 1;
    }
    if (result == -EAGAIN) {
        return 1;
    }
    switch (request->op) {
    case BP_BLOCK_READ:
    case BP_BLOCK_WRITE:
        if (result >= 0) {
            return (uint64_t)result == request->length
                       ? 0
                       : 1; /* short: the end of the file, a signal */
        }
        return result == -EINVAL || result == -EOPNOTSUPP ? 1 : result;
    case BP_BLOCK_FLUSH:
        return image_flush_result(image, result);
    case BP_BLOCK_DISCARD:
        return request_fallocate_failed(image, request->op, request->mode, result) ? -EOPNOTSUPP
                                                                                   : result;
    default:
        return request_fallocate_failed(image, request->op, request->mode, result) ? 1 : result;
    }
}

static uint64_t
run_length(const struct request *first)
{
    uint64_t length = 0;

    for (; first != NULL; first = first->merged) {
        length += first->length;
    }
    return length;
}

static void
request_ended(struct queue *queue, struct request *request, int32_t result, struct batch *batch,
              struct request_list *again)
{
    int32_t status;

    if (request->range.held) {
        range_drop(&queue->image->ranges, &request->range);
    }
    status = judge(queue, request, result);
    if (status > 0 && !queue->abandoned) {
        request_list_add(again, request);
    } else {
        complete(queue, request, status, batch);
    }
}

/* A run that failed, or ended early, is done again piece by piece: each request gets a status that
 * is its own. */
static void
ring_ended(struct queue *queue, const struct ring_result *result, struct batch *batch,
           struct request_list *again)
{
    struct request *request = &queue->requests[result->tag & ((1u << TAG_INDEX_BITS) - 1)];
    uint32_t whole;

    /* The release is fill_record's: the kernel between the two orders, but does not say so in C. */
    (void)atomic_load_explicit(&request->mark, memory_order_acquire);
    if (request->merged == NULL) {
        request_ended(queue, request, result->result, batch, again);
        return;
    }
    whole = result->result >= 0 && (uint64_t)result->result == run_length(request);
    while (request != NULL) {
        struct request *next = request->merged;

        request_ended(queue, request, whole ? (int32_t)request->length : -EAGAIN, batch, again);
        request = next;
    }
}

static void
ring_ready(void *opaque, uint32_t events)
{
    struct queue *queue = opaque;
    struct request_list again = {NULL, NULL, 0};
    struct ring_result results[BATCH];
    struct batch batch;
    uint32_t i, count, rounds = 0;

    batch.count = 0;
    do {
        count = ring_reap(queue->ring, results, BATCH);
        for (i = 0; i < count; i++) {
            ring_ended(queue, &results[i], &batch, &again);
        }
        /* A client that submits from complete() can keep this going: others want the loop, too. */
    } while (count == BATCH && ++rounds < QUEUE_MAX_DEPTH / BATCH);
    if (again.count > 0) {
        pool_add(queue->pool, &again);
    }
    deliver(queue, &batch);
}

static int32_t
ring_poll(void *opaque, uint32_t phase)
{
    const struct queue *queue = opaque;

    return (int32_t)ring_has_results(queue->ring);
}

/* Turns the done list round: oldest first. */
static struct request *
take_done(struct queue *queue)
{
    struct request *newest = atomic_exchange_explicit(&queue->done, NULL, memory_order_acquire);
    struct request *oldest = NULL;

    while (newest != NULL) {
        struct request *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void
done_ready(void *opaque, uint32_t ready)
{
    struct queue *queue = opaque;
    struct request *request;
    struct batch batch;
    eventfd_t ignored;
    uint32_t events, event;

    /* Reset before looking: what comes later makes it readable again. */
    (void)eventfd_read(queue->done_fd, &ignored);
    batch.count = 0;
    request = take_done(queue);
    while (request != NULL) {
        struct request *next = request->next;

        complete(queue, request, request->status, &batch);
        request = next;
    }
    deliver(queue, &batch);
    events = atomic_exchange(&queue->events, 0);
    for (event = 0; events != 0; event++, events >>= 1) {
        if ((events & 1) != 0 && queue->client.event != NULL) {
            queue->client.event(queue->opaque, event);
        }
    }
}

void
queue_finish(struct request *request, int32_t status)
{
    struct queue *queue = request->queue;
    struct request *head = atomic_load_explicit(&queue->done, memory_order_relaxed);

    request->status = status;
    /* The loop may complete the request, and the queue be closed,
     * before the loop is woken below. */
    atomic_fetch_add_explicit(&queue->finishing, 1, memory_order_relaxed);
    do {
        request->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&queue->done, &head, request,
                                                    memory_order_release, memory_order_relaxed));
    if (head == NULL) {
        (void)eventfd_write(queue->done_fd, 1);
    }
    atomic_fetch_sub_explicit(&queue->finishing, 1, memory_order_release);
}

void
queue_event(struct queue *queue, uint32_t event)
{
    atomic_fetch_or(&queue->events, 1u << event);
    (void)eventfd_write(queue->done_fd, 1);
}

/* --- cancel and drain ------------------------------------------------------------------------ */

/* *ret_mark: the mark of the use that was cancelled. */
static uint32_t
mark_cancelled(struct request *request, uint64_t user, uint64_t *ret_mark)
{
    uint64_t mark = atomic_load_explicit(&request->mark, memory_order_acquire);

    if ((mark & (MARK_BUSY | MARK_CANCEL)) != MARK_BUSY ||
        (user != UINT64_MAX &&
         atomic_load_explicit(&request->user, memory_order_relaxed) != user)) {
        return 0;
    }
    *ret_mark = mark;
    /* Fails if the record has gone to another request since. */
    return atomic_compare_exchange_strong(&request->mark, &mark, mark | MARK_CANCEL);
}

/* Marks the requests and asks the kernel for them. Returns how many there were. */
static uint32_t
cancel_in_flight(struct queue *queue, uint64_t user)
{
    uint32_t i, hits = 0;
    uint64_t mark;

    for (i = 0; i < queue->depth; i++) {
        if (!mark_cancelled(&queue->requests[i], user, &mark)) {
            continue;
        }
        hits++;
        if (queue->ring != NULL && user != UINT64_MAX) {
            ring_cancel(queue->ring, queue_tag(i, mark));
        }
    }
    if (hits > 0 && queue->ring != NULL && user == UINT64_MAX) {
        ring_cancel(queue->ring, UINT64_MAX);
    }
    return hits;
}

void
queue_cancel(struct queue *queue, uint64_t user)
{
    struct request *request;

    if (cancel_in_flight(queue, user) == 0) {
        return;
    }
    request = pool_take_cancelled(queue->pool, queue);
    while (request != NULL) {
        struct request *next = request->next;

        queue_finish(request, -ECANCELED);
        request = next;
    }
}

/* The control thread is the loop: nobody else will call us. */
static void
drain_here(struct queue *queue)
{
    while (atomic_load(&queue->in_flight) != 0) {
        struct pollfd fds[2] = {{queue->done_fd, POLLIN, 0}, {-1, POLLIN, 0}};

        if (queue->ring != NULL) {
            fds[1].fd = ring_fd(queue->ring);
        }
        (void)poll(fds, 2, -1);
        if (queue->ring != NULL) {
            ring_ready(queue, 0);
        }
        done_ready(queue, 0);
    }
}

void
queue_drain(struct queue *queue)
{
    const struct bp_loop_host *loop = queue->services->loop;

    if (BP_HAS(loop, is_current) && loop->is_current(queue->services->instance, queue->loop)) {
        drain_here(queue);
        return;
    }
    pthread_mutex_lock(&queue->drain_lock);
    atomic_store(&queue->draining, 1);
    while (atomic_load(&queue->in_flight) != 0) {
        pthread_cond_wait(&queue->drained, &queue->drain_lock);
    }
    atomic_store(&queue->draining, 0);
    pthread_mutex_unlock(&queue->drain_lock);
}

/* --- open and close -------------------------------------------------------------------------- */

static int32_t
watch(struct queue *queue, uint32_t which, int fd, void (*ready)(void *opaque, uint32_t events),
      int32_t (*poll)(void *opaque, uint32_t phase))
{
    struct bp_fd_args args = {.size = sizeof(args),
                              .id = 2 * queue->id + which,
                              .loop = queue->loop,
                              .fd = fd,
                              .events = BP_FD_IN,
                              .ready = ready,
                              .poll = poll,
                              .opaque = queue};
    int32_t result = queue->services->loop->fd_add(queue->services->instance, &args);

    queue->watches |= result == 0 ? 1u << which : 0;
    return result;
}

static int32_t
make_records(struct queue *queue, uint32_t depth)
{
    uint32_t i, size = 1;
    void *pages;

    while (size < depth) {
        size *= 2;
    }
    /* calloc() would touch what a queue that is never that deep does not need. */
    pages = mmap(NULL, depth * sizeof(*queue->requests), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    queue->free_ring = calloc(size, sizeof(*queue->free_ring));
    if (pages == MAP_FAILED) {
        return -ENOMEM;
    }
    queue->requests = pages;
    queue->depth = depth;
    if (queue->free_ring == NULL) {
        return -ENOMEM;
    }
    queue->free_mask = size - 1;
    for (i = 0; i < depth; i++) {
        queue->free_ring[i] = (uint16_t)i;
    }
    atomic_store(&queue->free_tail, depth);
    return 0;
}

static int32_t
open_parts(struct queue *queue, uint32_t depth, uint32_t use_ring)
{
    int32_t result = make_records(queue, depth);

    if (result == 0) {
        queue->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        result = queue->done_fd < 0 ? -errno : 0;
    }
    if (result == 0 && use_ring) {
        result = ring_open(&queue->ring, depth, queue->image);
    }
    if (result == 0) {
        result = watch(queue, 0, queue->done_fd, done_ready, NULL);
    }
    if (result == 0 && queue->ring != NULL) {
        result = watch(queue, 1, ring_fd(queue->ring), ring_ready, ring_poll);
    }
    return result;
}

int32_t
queue_new(struct queue **ret_queue, struct pool *pool, uint32_t id,
          const struct bp_block_queue_args *args, uint32_t use_ring)
{
    struct queue *queue;
    int32_t result;

    if (args->depth == 0 || args->depth > QUEUE_MAX_DEPTH) {
        return -EINVAL;
    }
    queue = aligned_alloc(_Alignof(struct queue), sizeof(*queue));
    if (queue == NULL) {
        return -ENOMEM;
    }
    memset(queue, 0, sizeof(*queue));
    queue->services = pool->services;
    queue->image = pool->image;
    queue->pool = pool;
    queue->client = *args->client;
    queue->opaque = args->opaque;
    queue->id = id;
    queue->loop = args->loop;
    queue->done_fd = -1;
    pthread_mutex_init(&queue->drain_lock, NULL);
    pthread_cond_init(&queue->drained, NULL);
    result = open_parts(queue, args->depth, use_ring);
    if (result != 0) {
        queue_free(queue);
        return result;
    }
    *ret_queue = queue;
    return 0;
}

int32_t
queue_pin(struct queue *queue)
{
    const struct bp_services *services = queue->services;

    return queue->ring != NULL ? ring_pin(queue->ring, services->memory->view(services->instance))
                               : 0;
}

static void
ignore_completions(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
}

void
queue_abandon(struct queue *queue)
{
    queue->client.complete = ignore_completions;
    queue->client.event = NULL;
    queue->abandoned = 1;
    drain_here(queue);
    queue_free(queue);
}

void
queue_free(struct queue *queue)
{
    const struct bp_loop_host *loop = queue->services->loop;

    queue_drain(queue);
    if ((queue->watches & 2) != 0) {
        loop->fd_del(queue->services->instance, 2 * queue->id + 1);
    }
    if ((queue->watches & 1) != 0) {
        loop->fd_del(queue->services->instance, 2 * queue->id);
    }
    /* Nearly never: a worker between handing over its last request and waking the loop for it. */
    while (atomic_load_explicit(&queue->finishing, memory_order_acquire) != 0) {
        (void)sched_yield();
    }
    ring_close(queue->ring);
    if (queue->done_fd >= 0) {
        (void)close(queue->done_fd);
    }
    pthread_cond_destroy(&queue->drained);
    pthread_mutex_destroy(&queue->drain_lock);
    free(queue->free_ring);
    if (queue->requests != NULL) {
        (void)munmap(queue->requests, queue->depth * sizeof(*queue->requests));
    }
    free(queue);
}
