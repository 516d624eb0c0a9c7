/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe: dice, a line of a certain rate, and a heap of frames by the time at which they come out.
 */
#include "netem.h"

#include <stdlib.h>
#include <string.h>

#define LAST     UINT32_MAX
#define NS_PER_S UINT64_C(1000000000)

int32_t
netem_pipe_init(struct netem_pipe *pipe, const struct netem_rules *rules, void *memory,
                uint32_t chunks, uint32_t limit, uint64_t seed)
{
    memset(pipe, 0, sizeof(*pipe));
    pipe->rules = rules;
    pipe->memory = memory;
    pipe->limit = limit;
    pipe->random = seed;
    pipe->next = calloc(chunks, sizeof(*pipe->next));
    pipe->heap = calloc(limit, sizeof(*pipe->heap));
    if (pipe->next == NULL || pipe->heap == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < chunks; i++) {
        pipe->next[i] = i + 1 < chunks ? i + 1 : LAST;
    }
    pipe->free_count = chunks;
    return 0;
}

void
netem_pipe_done(struct netem_pipe *pipe)
{
    free(pipe->next);
    free(pipe->heap);
    pipe->next = NULL;
    pipe->heap = NULL;
}

/* --- dice ------------------------------------------------------------------------------------ */

/* splitmix64: any seed will do, and the same one gives the same numbers. */
static uint64_t
draw(struct netem_pipe *pipe)
{
    uint64_t z = pipe->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int
hit(struct netem_pipe *pipe, uint64_t probability)
{
    return probability > 0 && (draw(pipe) >> 32) < probability;
}

/* When a frame that comes now comes out: after the line has sent it, and it has travelled. */
static uint64_t
due_time(struct netem_pipe *pipe, uint64_t now_ns, uint32_t length)
{
    const struct netem_rules *rules = pipe->rules;
    uint64_t rate = atomic_load(&rules->bits_per_second), delay = atomic_load(&rules->delay_ns);
    uint64_t jitter = atomic_load(&rules->jitter_ns), due;

    if (pipe->line_free_ns < now_ns || rate == 0) {
        pipe->line_free_ns = now_ns;
    }
    if (rate != 0) {
        pipe->line_free_ns += length * UINT64_C(8) * NS_PER_S / rate;
    }
    if (hit(pipe, atomic_load(&rules->reorder))) {
        return pipe->line_free_ns; /* overtakes those that travel */
    }
    due = pipe->line_free_ns + delay;
    if (jitter > 0) {
        uint64_t later = draw(pipe) % (2 * jitter + 1); /* 0 .. 2 jitter: jitter is in the middle */
        due = due + later > jitter ? due + later - jitter : 0;
    }
    due = due > pipe->line_free_ns ? due : pipe->line_free_ns;
    pipe->last_due_ns = due > pipe->last_due_ns ? due : pipe->last_due_ns;
    return pipe->last_due_ns;
}

/* --- the heap -------------------------------------------------------------------------------- */

static int
before(const struct netem_entry *a, const struct netem_entry *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void
sift_up(struct netem_pipe *pipe, uint32_t at)
{
    struct netem_entry entry = pipe->heap[at];

    while (at > 0 && before(&entry, &pipe->heap[(at - 1) / 2])) {
        pipe->heap[at] = pipe->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    pipe->heap[at] = entry;
}

static void
sift_down(struct netem_pipe *pipe)
{
    struct netem_entry entry = pipe->heap[0];
    uint32_t at = 0, child;

    while ((child = 2 * at + 1) < pipe->count) {
        if (child + 1 < pipe->count && before(&pipe->heap[child + 1], &pipe->heap[child])) {
            child++;
        }
        if (!before(&pipe->heap[child], &entry)) {
            break;
        }
        pipe->heap[at] = pipe->heap[child];
        at = child;
    }
    pipe->heap[at] = entry;
}

const struct netem_entry *
netem_pipe_due(const struct netem_pipe *pipe, uint64_t now_ns)
{
    return pipe->count > 0 && pipe->heap[0].due_ns <= now_ns ? &pipe->heap[0] : NULL;
}

struct netem_entry
netem_pipe_pop(struct netem_pipe *pipe)
{
    struct netem_entry entry = pipe->heap[0];

    pipe->count--;
    if (pipe->count > 0) {
        pipe->heap[0] = pipe->heap[pipe->count];
        sift_down(pipe);
    }
    return entry;
}

void
netem_pipe_unpop(struct netem_pipe *pipe, const struct netem_entry *entry)
{
    pipe->heap[pipe->count] = *entry;
    sift_up(pipe, pipe->count++);
}

/* --- frames ---------------------------------------------------------------------------------- */

void
netem_pipe_free(struct netem_pipe *pipe, uint32_t first)
{
    uint32_t last = first, count = 1;

    while (pipe->next[last] != LAST) {
        last = pipe->next[last];
        count++;
    }
    pipe->next[last] = pipe->free_count > 0 ? pipe->free_first : LAST;
    pipe->free_first = first;
    pipe->free_count += count;
}

static void
add_copy(struct netem_pipe *pipe, uint64_t now_ns, const struct bp_iovec *iov, uint32_t iov_count,
         const struct netem_entry *frame)
{
    struct netem_entry *entry = &pipe->heap[pipe->count];
    uint32_t last = LAST;

    *entry = *frame;
    entry->first = pipe->free_first;
    entry->due_ns = due_time(pipe, now_ns, frame->length);
    entry->sequence = pipe->sequence++;
    for (uint32_t at = 0; at < frame->length; at += NETEM_CHUNK) {
        uint8_t *chunk;
        last = pipe->free_first;
        chunk = pipe->memory + (uint64_t)last * NETEM_CHUNK;
        pipe->free_first = pipe->next[last];
        pipe->free_count--;
        (void)bp_net_iov_copy(iov, iov_count, at, chunk,
                              bp_min_u32(NETEM_CHUNK, frame->length - at));
    }
    pipe->next[last] = LAST;
    sift_up(pipe, pipe->count++);
}

static int
has_room(const struct netem_pipe *pipe, uint32_t length)
{
    return pipe->count < pipe->limit &&
           (uint64_t)pipe->free_count * NETEM_CHUNK >= (uint64_t)length;
}

int
netem_pipe_push(struct netem_pipe *pipe, uint64_t now_ns, const struct bp_iovec *iov,
                uint32_t iov_count, uint32_t length, const struct bp_net_offload *offload)
{
    struct netem_entry frame = {.length = length, .offload = *offload};

    if (length == 0 || length > BP_NET_MAX_FRAME) {
        return 1; /* no frame */
    }
    if (!has_room(pipe, length)) {
        return 0;
    }
    if (hit(pipe, atomic_load(&pipe->rules->loss))) {
        return 1;
    }
    add_copy(pipe, now_ns, iov, iov_count, &frame);
    if (hit(pipe, atomic_load(&pipe->rules->duplicate)) && has_room(pipe, length)) {
        add_copy(pipe, now_ns, iov, iov_count, &frame);
    }
    return 1;
}

uint32_t
netem_pipe_pieces(const struct netem_pipe *pipe, const struct netem_entry *entry,
                  struct bp_iovec *iov)
{
    uint32_t chunk = entry->first, left = entry->length, count = 0;

    while (left > 0 && count < NETEM_PIECES) {
        uint32_t n = bp_min_u32(left, NETEM_CHUNK);
        iov[count++] = (struct bp_iovec){pipe->memory + (uint64_t)chunk * NETEM_CHUNK, n};
        left -= n;
        chunk = pipe->next[chunk];
    }
    return count;
}
