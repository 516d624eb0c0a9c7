/* SPDX-License-Identifier: Apache-2.0 */
/* The submitter's half of a queue: takes records, plans their ways, sends. */
#include "queue.h"
#include "run.h"

/* The submitter's. */
static struct request *
take_record(struct queue *queue)
{
    uint32_t tail = atomic_load_explicit(&queue->free_tail, memory_order_acquire);

    if (queue->free_head == tail) {
        return NULL;
    }
    return &queue->requests[queue->free_ring[queue->free_head++ & queue->free_mask]];
}

static void
fill_record(struct queue *queue, struct request *request, const struct bp_block_request *from)
{
    uint64_t mark = atomic_load_explicit(&request->mark, memory_order_relaxed);

    request->queue = queue; /* here, as a record that is never used costs no memory then */
    request->op = from->op;
    request->flags = from->flags;
    request->offset = from->offset;
    request->length = from->length;
    request->iov = from->iov;
    request->iov_count = from->iov_count;
    request->range.held = 0;
    request->merged = NULL;
    atomic_store_explicit(&request->user, from->user, memory_order_relaxed);
    atomic_store_explicit(&request->mark, mark | MARK_BUSY, memory_order_release);
}

/* Keeps order with writes to parts of the same blocks. Returns 1 if the kernel may have it now. */
static uint32_t
enter_range(struct request *request, struct image *image)
{
    return !request_range(request, image) || range_try(&image->ranges, &request->range);
}

static uint32_t
may_send(const struct queue *queue, struct request *request)
{
    return queue->ring != NULL && enter_range(request, queue->image);
}

/* What the kernel did not take, it does slower. */
static void
give_to_workers(struct request *request, struct image *image, struct request_list *list)
{
    while (request != NULL) {
        struct request *next = request->merged;

        if (request->range.held) {
            range_drop(&image->ranges, &request->range);
        }
        request_list_add(list, request);
        request = next;
    }
}

/* The requests of one submission, by their ways. */
struct submission {
    struct queue *queue;
    struct request_list workers, done;
    struct request *sent[RING_BATCH]; /* first ones of runs, in the kernel's ring */
    uint32_t sent_count;
    struct run run;
};

static void
send_run(struct submission *submission)
{
    struct queue *queue = submission->queue;
    struct request *first = submission->run.first;
    const struct bp_iovec *iov;
    uint32_t count;
    uint64_t mark;

    if (run_end(&submission->run, &iov, &count) == NULL) {
        return;
    }
    mark = atomic_load_explicit(&first->mark, memory_order_relaxed);
    if (ring_add(queue->ring, queue->image, first, iov, count,
                 queue_tag((uint64_t)(first - queue->requests), mark))) {
        submission->sent[submission->sent_count++] = first;
    } else {
        give_to_workers(first, queue->image, &submission->workers);
    }
}

static void
submit_one(struct submission *submission, struct request *request)
{
    struct queue *queue = submission->queue;
    uint32_t way = request_plan(request, queue->image);

    if (way == REQUEST_WAY_DONE) {
        request_list_add(&submission->done, request);
    } else if (way != REQUEST_WAY_KERNEL || !may_send(queue, request)) {
        request_list_add(&submission->workers, request);
    } else if (!run_extend(&submission->run, request)) {
        send_run(submission);
        run_begin(&submission->run, request);
    }
}

/* Sends what the ring holds. */
static void
submission_send(struct submission *submission)
{
    struct queue *queue = submission->queue;

    send_run(submission);
    if (submission->sent_count > 0) {
        uint32_t i = submission->sent_count - ring_send(queue->ring);

        for (; i < submission->sent_count; i++) {
            give_to_workers(submission->sent[i], queue->image, &submission->workers);
        }
    }
    if (submission->workers.count > 0) {
        pool_add(queue->pool, &submission->workers);
    }
    while (submission->done.first != NULL) {
        struct request *request = submission->done.first;

        submission->done.first = request->next;
        queue_finish(request, request->status);
    }
}

/* Takes and sends at most RING_BATCH requests. Returns how many. */
static uint32_t
submit_some(struct queue *queue, const struct bp_block_request *from, uint32_t count)
{
    struct submission submission;
    uint32_t taken;

    submission.queue = queue;
    submission.workers = submission.done = (struct request_list){NULL, NULL, 0};
    submission.sent_count = 0;
    run_init(&submission.run);
    for (taken = 0; taken < count && taken < RING_BATCH; taken++) {
        struct request *request = take_record(queue);

        if (request == NULL) {
            break;
        }
        fill_record(queue, request, &from[taken]);
        submit_one(&submission, request);
    }
    atomic_fetch_add(&queue->in_flight, taken);
    submission_send(&submission);
    return taken;
}

int32_t
queue_submit(struct queue *queue, const struct bp_block_request *requests, uint32_t count)
{
    uint32_t taken = 0, some;

    if (count > queue->depth) {
        count = queue->depth;
    }
    do {
        some = submit_some(queue, requests + taken, count - taken);
        taken += some;
    } while (some == RING_BATCH && taken < count);
    return (int32_t)taken;
}
