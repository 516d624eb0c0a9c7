/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing lanes, and what concerns the whole instance. [control] */
#include "lane.h"

#include <stdlib.h>
#include <string.h>

/* --- open and close, on the control thread --------------------------------------------------- */

static void
free_lane(struct bp_block_lane *lane)
{
    uint32_t i;

    for (i = 0; i < BP_BLOCK_STACK_SLOTS; i++) {
        bp_block_lower_free(&lane->lower[i]);
    }
    free(lane->flights);
    free(lane->flight_data);
    free(lane->taken.entries);
    free(lane->free.entries);
    free(lane->completed.entries);
    free(lane->data);
    pthread_cond_destroy(&lane->stepped);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}

/* A closed lane of the same shape: its timer is there already, and the core takes none back before
 * the instance goes. One that a deferred call is still on the way to is left alone. */
static struct bp_block_lane *
find_closed(const struct bp_block_stack *stack, const struct bp_block_queue_args *args)
{
    struct bp_block_lane *lane;

    for (lane = stack->first; lane != NULL; lane = lane->next) {
        if (!lane->open && lane->client_loop == args->loop && lane->depth == args->depth &&
            atomic_load(&lane->coming) == 0) {
            return lane;
        }
    }
    return NULL;
}

static uint64_t
data_stride(const struct bp_block_stack *stack)
{
    return (stack->ops->flight_size + 15) / 16 * 16;
}

static int32_t
allocate(struct bp_block_lane *lane)
{
    const struct bp_block_stack *stack = lane->stack;
    uint64_t stride = data_stride(stack), lane_size = stack->ops->lane_size;

    lane->flights = calloc(lane->depth, sizeof(*lane->flights));
    lane->flight_data = calloc(lane->depth, stride > 0 ? stride : 1);
    lane->taken.entries = calloc((uint64_t)lane->mask + 1, sizeof(*lane->taken.entries));
    lane->free.entries = calloc((uint64_t)lane->mask + 1, sizeof(*lane->free.entries));
    lane->completed.entries = calloc((uint64_t)lane->mask + 1, sizeof(*lane->completed.entries));
    lane->data = calloc(1, lane_size > 0 ? lane_size : 1);
    return lane->flights != NULL && lane->flight_data != NULL && lane->taken.entries != NULL &&
                   lane->free.entries != NULL && lane->completed.entries != NULL &&
                   lane->data != NULL
               ? 0
               : -ENOMEM;
}

static int32_t
create_timer(struct bp_block_lane *lane)
{
    const struct bp_services *services = lane->stack->services;
    struct bp_timer_args timer = {.size = sizeof(timer),
                                  .id = lane->id,
                                  .clock = lane->stack->clock,
                                  .loop = lane->loop,
                                  .expired = bp_block_lane_expired,
                                  .opaque = lane};

    return lane->stack->has_timer ? services->timer->create(services->instance, &timer) : 0;
}

static int32_t
make_lane(struct bp_block_stack *stack, const struct bp_block_queue_args *args,
          struct bp_block_lane **ret_lane)
{
    struct bp_block_lane *lane = aligned_alloc(_Alignof(struct bp_block_lane), sizeof(*lane));
    int32_t result;

    if (lane == NULL) {
        return -ENOMEM;
    }
    memset(lane, 0, sizeof(*lane));
    lane->stack = stack;
    lane->id = stack->next_id;
    lane->client_loop = args->loop;
    lane->loop =
        stack->one_loop ? stack->services->loop->home(stack->services->instance) : args->loop;
    lane->depth = args->depth;
    for (lane->mask = 1; lane->mask < lane->depth; lane->mask *= 2) {
    }
    lane->mask--;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->stepped, NULL);
    result = allocate(lane);
    if (result == 0) {
        result = create_timer(lane);
    }
    if (result != 0) {
        free_lane(lane);
        return result;
    }
    stack->next_id++;
    lane->next = stack->first;
    stack->first = lane;
    *ret_lane = lane;
    return 0;
}

static void
reset_lane(struct bp_block_lane *lane, const struct bp_block_queue_args *args)
{
    uint64_t stride = data_stride(lane->stack);
    uint32_t i;

    lane->client = *args->client;
    lane->opaque = args->opaque;
    lane->over = NULL;
    lane->over_last = &lane->over;
    atomic_store(&lane->events, 0);
    atomic_store(&lane->taken.head, 0);
    atomic_store(&lane->taken.tail, 0);
    atomic_store(&lane->delivered, 0);
    atomic_store(&lane->started, 0);
    atomic_store(&lane->frozen, 0);
    atomic_store(&lane->free.head, 0);
    atomic_store(&lane->free.tail, 0);
    atomic_store(&lane->completed.head, 0);
    atomic_store(&lane->completed.tail, 0);
    memset(lane->flight_data, 0, lane->depth * stride);
    for (i = 0; i < lane->depth; i++) {
        struct bp_block_flight *flight = &lane->flights[i];

        flight->lane = lane;
        flight->index = i;
        flight->data = lane->flight_data + i * stride;
        flight->io.index = UINT32_MAX;
        flight->started = 0;
        bp_block_ring_put(&lane->free, lane->mask, i);
    }
}

static void
close_lowers(struct bp_block_lane *lane)
{
    uint32_t i;

    for (i = 0; i < lane->stack->slots; i++) {
        bp_block_lower_close(&lane->lower[i]);
    }
}

static int32_t
open_lowers(struct bp_block_lane *lane)
{
    uint32_t i;
    int32_t result = 0;

    for (i = 0; i < lane->stack->slots && result == 0; i++) {
        result = bp_block_lower_open(&lane->lower[i], lane, i);
    }
    if (result != 0) {
        close_lowers(lane);
    }
    return result;
}

int32_t
bp_block_stack_open(struct bp_block_stack *stack, const struct bp_block_queue_args *given,
                    void **ret_queue)
{
    struct bp_block_client client;
    struct bp_block_queue_args args;
    struct bp_block_lane *lane;
    int32_t result = bp_block_queue_args_copy(&args, &client, given);

    if (result != 0) {
        return result;
    }
    if (args.loop >= stack->services->loop->count(stack->services->instance)) {
        return -ENOENT;
    }
    lane = find_closed(stack, &args);
    if (lane == NULL) {
        result = make_lane(stack, &args, &lane);
        if (result != 0) {
            return result;
        }
    }
    reset_lane(lane, &args);
    result = open_lowers(lane);
    if (result == 0 && stack->ops->lane_init != NULL) {
        result = stack->ops->lane_init(lane);
        if (result != 0) {
            close_lowers(lane);
        }
    }
    if (result != 0) {
        return result;
    }
    bp_block_lane_refresh(lane);
    lane->open = 1;
    *ret_queue = lane;
    return 0;
}

void
bp_block_stack_close(struct bp_block_stack *stack, void *queue)
{
    struct bp_block_lane *lane = queue;

    bp_block_stack_drain(stack, queue);
    if (stack->has_timer) {
        stack->services->timer->cancel(stack->services->instance, lane->id);
    }
    close_lowers(lane);
    if (stack->ops->lane_done != NULL) {
        stack->ops->lane_done(lane);
    }
    atomic_store(&lane->events, 0);
    lane->open = 0;
}

void
bp_block_stack_done(struct bp_block_stack *stack)
{
    while (stack->first != NULL) {
        struct bp_block_lane *lane = stack->first;

        stack->first = lane->next;
        free_lane(lane);
    }
}

/* --- the instance ---------------------------------------------------------------------------- */

int32_t
bp_block_stack_info(struct bp_block_stack *stack, struct bp_block_info *info)
{
    struct bp_block_info full = {.size = sizeof(full)};
    int32_t result = stack->slots == 0 ? 0 : -ENOMEDIUM;

    if (stack->below[0] != NULL) {
        result = stack->below[0]->info(stack->below_self[0], &full);
    }
    if (stack->ops->info != NULL && (result == 0 || result == -ENOMEDIUM)) {
        int32_t own = stack->ops->info(stack->self, &full);
        result = result != 0 ? result : own;
    }
    bp_block_info_copy(info, &full);
    return result;
}

int32_t
bp_block_stack_resize(struct bp_block_stack *stack, uint64_t capacity)
{
    if (stack->below[0] == NULL) {
        return -ENOMEDIUM;
    }
    if (!BP_HAS(stack->below[0], resize)) {
        return -EOPNOTSUPP;
    }
    return stack->below[0]->resize(stack->below_self[0], capacity);
}

int32_t
bp_block_stack_attach(struct bp_block_stack *stack, uint32_t slot, const struct bp_peer *peer)
{
    struct bp_block_lane *lane = NULL;
    int32_t result = 0;

    stack->below[slot] = peer->table;
    stack->below_self[slot] = peer->self;
    while (result == 0 && (lane = bp_block_lane_next(stack, lane)) != NULL) {
        result = bp_block_lower_open(&lane->lower[slot], lane, slot);
    }
    if (result != 0) {
        bp_block_stack_detach(stack, slot);
        return result;
    }
    if (stack->first != NULL) {
        bp_block_stack_event(stack, BP_BLOCK_EVENT_MEDIA);
    }
    return 0;
}

void
bp_block_stack_detach(struct bp_block_stack *stack, uint32_t slot)
{
    struct bp_block_lane *lane = NULL;

    bp_block_stack_quiesce(stack);
    while ((lane = bp_block_lane_next(stack, lane)) != NULL) {
        bp_block_lower_close(&lane->lower[slot]);
    }
    stack->below[slot] = NULL;
}
