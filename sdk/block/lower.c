/* SPDX-License-Identifier: Apache-2.0 */
/* The lower side of a lane: requests to the backend in one slot.
 *
 * The backend gives a request's `user` back. It is a place in a table and the number of times that
 * place was used, so that a completion which nobody asked for is noticed, not followed. */
#include "lane.h"

#include <stdlib.h>

#define BATCH        32u
#define PLACE_BITS   13u
#define PLACE_MASK   ((UINT64_C(1) << PLACE_BITS) - 1)
#define NOT_IN_PLACE UINT32_MAX

_Static_assert(BP_BLOCK_MAX_DEPTH <= PLACE_MASK, "a place fits in its bits");

static uint64_t
user_of(const struct bp_block_lower *lower, uint32_t place)
{
    return (uint64_t)lower->generations[place] << PLACE_BITS | place;
}

static struct bp_block_io *
take_completed(struct bp_block_lower *lower, uint64_t user)
{
    uint32_t place = (uint32_t)(user & PLACE_MASK);
    struct bp_block_io *io;

    if (place >= lower->depth || lower->table[place] == NULL || user_of(lower, place) != user) {
        bp_error(lower->lane->stack->services,
                 "the backend below completed a request that was not in flight");
        return NULL;
    }
    io = lower->table[place];
    lower->table[place] = NULL;
    lower->generations[place]++;
    lower->room[lower->room_count++] = place;
    io->index = NOT_IN_PLACE;
    return io;
}

static void
lower_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct bp_block_lower *lower = opaque;
    uint32_t i;

    for (i = 0; i < count; i++) {
        struct bp_block_io *io = take_completed(lower, completions[i].user);

        if (io != NULL) {
            io->done(io, completions[i].status, completions[i].flags);
        }
    }
    bp_block_lane_run(lower->lane);
}

static void
lower_event(void *opaque, uint32_t event)
{
    const struct bp_block_lower *lower = opaque;

    bp_block_lane_event(lower->lane, event);
}

/* Empties the waiting list into an array of at most BATCH for which there are places. */
static uint32_t
take_waiting(struct bp_block_lower *lower, struct bp_block_request *requests)
{
    uint32_t count = 0;

    while (count < BATCH && lower->first != NULL && lower->room_count > 0) {
        struct bp_block_io *io = lower->first;

        lower->first = io->next;
        io->index = lower->room[--lower->room_count];
        lower->table[io->index] = io;
        io->request.user = user_of(lower, io->index);
        requests[count++] = io->request;
    }
    if (lower->first == NULL) {
        lower->last = &lower->first;
    }
    return count;
}

/* The backend did not take these: back to the head of the list, in order. */
static void
put_back(struct bp_block_lower *lower, const struct bp_block_request *requests, uint32_t count)
{
    while (count-- > 0) {
        uint32_t place = (uint32_t)(requests[count].user & PLACE_MASK);
        struct bp_block_io *io = lower->table[place];

        lower->table[place] = NULL;
        lower->room[lower->room_count++] = place;
        io->index = NOT_IN_PLACE;
        io->next = lower->first;
        if (lower->first == NULL) {
            lower->last = &io->next;
        }
        lower->first = io;
    }
}

static void
fail_waiting(struct bp_block_lower *lower, int32_t status)
{
    while (lower->first != NULL) {
        struct bp_block_io *io = lower->first;

        lower->first = io->next;
        if (lower->first == NULL) {
            lower->last = &lower->first;
        }
        io->done(io, status, 0);
    }
}

void
bp_block_lower_flush(struct bp_block_lower *lower)
{
    const struct bp_block_stack *stack = lower->lane->stack;
    struct bp_block_request requests[BATCH];
    uint32_t count;

    if (lower->first == NULL) {
        return;
    }
    if (lower->queue == NULL) {
        fail_waiting(lower, -ENOMEDIUM);
        return;
    }
    while ((count = take_waiting(lower, requests)) > 0) {
        int32_t taken = stack->below[lower->slot]->submit(stack->below_self[lower->slot],
                                                          lower->queue, requests, count);

        if (taken >= 0 && (uint32_t)taken >= count) {
            continue;
        }
        put_back(lower, requests + (taken > 0 ? taken : 0), count - (taken > 0 ? taken : 0));
        if (taken < 0 || lower->room_count == lower->depth) {
            /* Nothing in flight and yet no room: no completion would ever bring us back. */
            fail_waiting(lower, taken < 0 ? taken : -EIO);
        }
        return;
    }
}

void
bp_block_io_send(struct bp_block_lane *lane, struct bp_block_io *io)
{
    struct bp_block_lower *lower = &lane->lower[io->slot];

    io->next = NULL;
    io->index = NOT_IN_PLACE;
    *lower->last = io;
    lower->last = &io->next;
}

void
bp_block_io_cancel(struct bp_block_lane *lane, struct bp_block_io *io)
{
    struct bp_block_lower *lower = &lane->lower[io->slot];
    const struct bp_block_stack *stack = lane->stack;

    if (io->index < lower->depth && lower->table[io->index] == io && lower->queue != NULL &&
        BP_HAS(stack->below[lower->slot], cancel)) {
        stack->below[lower->slot]->cancel(stack->below_self[lower->slot], lower->queue,
                                          io->request.user);
    }
}

int32_t
bp_block_lower_open(struct bp_block_lower *lower, struct bp_block_lane *lane, uint32_t slot)
{
    static const struct bp_block_client client = {
        .size = sizeof(client), .complete = lower_complete, .event = lower_event};
    const struct bp_block_stack *stack = lane->stack;
    uint64_t depth = (uint64_t)lane->depth * (stack->ops->ios ? stack->ops->ios : 1);
    struct bp_block_queue_args args = {
        .size = sizeof(args), .loop = lane->loop, .client = &client, .opaque = lower};

    lower->lane = lane;
    lower->slot = slot;
    lower->depth = depth < BP_BLOCK_MAX_DEPTH ? (uint32_t)depth : BP_BLOCK_MAX_DEPTH;
    lower->last = &lower->first;
    if (lower->table == NULL) {
        lower->table = calloc(lower->depth, sizeof(*lower->table));
        lower->generations = calloc(lower->depth, sizeof(*lower->generations));
        lower->room = calloc(lower->depth, sizeof(*lower->room));
    }
    if (lower->table == NULL || lower->generations == NULL || lower->room == NULL) {
        return -ENOMEM;
    }
    for (lower->room_count = 0; lower->room_count < lower->depth; lower->room_count++) {
        lower->room[lower->room_count] = lower->room_count;
    }
    args.depth = lower->depth;
    if (stack->below[slot] == NULL) {
        return 0;
    }
    return stack->below[slot]->queue_open(stack->below_self[slot], &args, &lower->queue);
}

void
bp_block_lower_close(struct bp_block_lower *lower)
{
    const struct bp_block_stack *stack;

    if (lower->queue != NULL) {
        stack = lower->lane->stack;
        stack->below[lower->slot]->queue_close(stack->below_self[lower->slot], lower->queue);
        lower->queue = NULL;
    }
}

void
bp_block_lower_free(struct bp_block_lower *lower)
{
    free(lower->table);
    free(lower->generations);
    free(lower->room);
    lower->table = NULL;
    lower->generations = NULL;
    lower->room = NULL;
}
