/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer for the tests of net backends. */
#include "th.h"

#include <stdlib.h>
#include <string.h>

#define WIRE_DEPTH 256u

struct slot {
    struct bp_iovec iov;
    uint32_t headroom, posted;
};

struct th_wire {
    struct th_host *th;
    struct bp_instance *backend;
    const struct bp_net_ops *ops;
    void *queue;
    struct slot *slots;
    uint32_t slot_count, again, flags;
    struct th_net_frame *frames;
    uint32_t frame_count, open_frame;
    uint32_t in_flight, transmitted, writables, inside;
    uint32_t events[4];
    uint32_t wanted, wanted_event;
};

static void
context_check(struct th_wire *wire, const char *what)
{
    if (wire->inside || wire->th->context == TH_IN_VCPU ||
        !pthread_equal(pthread_self(), wire->th->control)) {
        th_violate(wire->th, "%s: %s() %s", wire->backend->id, what,
                   wire->inside ? "inside a call of the consumer" : "not on the queue's loop");
    }
}

static void
begin_frame(struct th_wire *wire, const struct bp_net_offload *offload)
{
    struct th_net_frame *grown = th_alloc((wire->frame_count + 1) * sizeof(*grown));

    if (wire->frame_count > 0) {
        memcpy(grown, wire->frames, wire->frame_count * sizeof(*grown));
    }
    grown[wire->frame_count].data = th_alloc(1);
    grown[wire->frame_count].offload = *offload;
    free(wire->frames);
    wire->frames = grown;
}

static void
append(struct th_net_frame *frame, const uint8_t *data, uint32_t length)
{
    uint8_t *grown = th_alloc(frame->length + length);

    memcpy(grown, frame->data, frame->length);
    memcpy(grown + frame->length, data, length);
    free(frame->data);
    frame->data = grown;
    frame->length += length;
}

static int
record_check(struct th_wire *wire, const struct bp_net_received *record)
{
    const struct slot *slot;
    uint32_t room;

    if (record->user >= wire->slot_count || !wire->slots[record->user].posted) {
        th_violate(wire->th, "%s: receive() into a buffer that is not posted", wire->backend->id);
        return 0;
    }
    slot = &wire->slots[record->user];
    room = (uint32_t)slot->iov.length - (wire->open_frame ? 0 : slot->headroom);
    if (record->length > room || record->length == 0 ||
        (wire->open_frame == 0) != (record->buffers != 0)) {
        th_violate(wire->th, "%s: receive() of %u bytes, %u buffers into %u bytes",
                   wire->backend->id, record->length, record->buffers, room);
        return 0;
    }
    return 1;
}

static void post_slot(struct th_wire *wire, uint32_t index);

static void
wire_receive(void *opaque, const struct bp_net_received *records, uint32_t count)
{
    struct th_wire *wire = opaque;
    uint32_t i;

    context_check(wire, "receive");
    for (i = 0; i < count; i++) {
        const struct bp_net_received *record = &records[i];
        struct slot *slot;
        if (!record_check(wire, record)) {
            continue;
        }
        slot = &wire->slots[record->user];
        slot->posted = 0;
        if (wire->open_frame == 0) {
            begin_frame(wire, &record->offload);
            wire->open_frame = record->buffers;
            append(&wire->frames[wire->frame_count],
                   (const uint8_t *)slot->iov.base + slot->headroom, record->length);
        } else {
            append(&wire->frames[wire->frame_count], slot->iov.base, record->length);
        }
        wire->open_frame--;
        if ((wire->open_frame != 0) != ((record->flags & BP_NET_MORE) != 0)) {
            th_violate(wire->th, "%s: buffers and BP_NET_MORE differ", wire->backend->id);
        }
        wire->frame_count += wire->open_frame == 0;
        if (wire->again) {
            post_slot(wire, (uint32_t)record->user);
        }
    }
    if (wire->open_frame != 0) {
        th_violate(wire->th, "%s: half a frame in receive()", wire->backend->id);
        wire->open_frame = 0;
    }
}

static void
wire_transmitted(void *opaque, const uint64_t *users, uint32_t count)
{
    struct th_wire *wire = opaque;

    context_check(wire, "transmitted");
    (void)users;
    if (count > wire->in_flight) {
        th_violate(wire->th, "%s: transmitted() of %u frames of %u", wire->backend->id, count,
                   wire->in_flight);
        count = wire->in_flight;
    }
    wire->in_flight -= count;
    wire->transmitted += count;
}

static void
wire_writable(void *opaque)
{
    struct th_wire *wire = opaque;

    context_check(wire, "writable");
    wire->writables++;
}

static void
wire_event(void *opaque, uint32_t event)
{
    struct th_wire *wire = opaque;

    if (event < 4) {
        wire->events[event]++;
    }
}

struct th_wire *
th_wire_open(struct bp_instance *backend, uint32_t index)
{
    static const struct bp_net_client client = {
        .size = sizeof(client),
        .receive = wire_receive,
        .transmitted = wire_transmitted,
        .writable = wire_writable,
        .event = wire_event,
    };
    struct bp_net_queue_args args = {.size = sizeof(args), .index = index};
    struct th_wire *wire = th_alloc(sizeof(*wire));

    wire->th = backend->th;
    wire->backend = backend;
    wire->ops = th_table(backend, BP_NET_ID);
    wire->again = 1;
    args.tx_depth = WIRE_DEPTH;
    args.rx_depth = WIRE_DEPTH;
    args.client = &client;
    args.opaque = wire;
    backend->th->status =
        wire->ops == NULL ? -ENOENT : wire->ops->queue_open(backend->self, &args, &wire->queue);
    if (backend->th->status < 0) {
        free(wire);
        return NULL;
    }
    return wire;
}

void
th_wire_clear(struct th_wire *wire)
{
    uint32_t i;

    for (i = 0; i < wire->frame_count; i++) {
        free(wire->frames[i].data);
    }
    free(wire->frames);
    wire->frames = NULL;
    wire->frame_count = 0;
}

void
th_wire_close(struct th_wire *wire)
{
    th_wire_flush(wire);
    wire->ops->queue_close(wire->backend->self, wire->queue);
    th_wire_clear(wire);
    free(wire->slots);
    free(wire);
}

void
th_wire_flush(struct th_wire *wire)
{
    uint32_t i;

    wire->inside++;
    wire->ops->flush(wire->backend->self, wire->queue);
    wire->inside--;
    wire->in_flight = 0;
    for (i = 0; i < wire->slot_count; i++) {
        wire->slots[i].posted = 0;
    }
}

static void
post_slot(struct th_wire *wire, uint32_t index)
{
    struct slot *slot = &wire->slots[index];
    struct bp_net_buffer buffer = {.user = index,
                                   .iov = &slot->iov,
                                   .iov_count = 1,
                                   .headroom = slot->headroom,
                                   .flags = wire->flags,
                                   .length = slot->iov.length};
    enum th_context before = th_enter(wire->th, TH_IN_LOOP);

    slot->posted = 1;
    wire->inside++;
    if (wire->ops->post(wire->backend->self, wire->queue, &buffer, 1) != 1) {
        th_violate(wire->th, "%s: post() refused a buffer", wire->backend->id);
    }
    wire->inside--;
    th_leave(wire->th, before);
}

void
th_wire_post(struct th_wire *wire, uint32_t count, uint32_t length, uint32_t headroom,
             uint32_t flags)
{
    uint32_t i;

    if (wire->slot_count > 0) {
        th_violate(wire->th, "th_wire_post() twice"); /* what is posted points into the array */
        return;
    }
    wire->slots = th_alloc(count * sizeof(*wire->slots));
    wire->slot_count = count;
    wire->flags = flags;
    for (i = 0; i < count; i++) {
        wire->slots[i].iov = (struct bp_iovec){th_arena(wire->th, length), length};
        wire->slots[i].headroom = headroom;
        post_slot(wire, i);
    }
}

void
th_wire_post_again(struct th_wire *wire, int again)
{
    uint32_t i;

    wire->again = again != 0;
    for (i = 0; i < wire->slot_count && again; i++) {
        if (!wire->slots[i].posted) {
            post_slot(wire, i);
        }
    }
}

int32_t
th_wire_send(struct th_wire *wire, const void *data, uint32_t length,
             const struct bp_net_offload *offload)
{
    struct bp_iovec iov = {th_arena(wire->th, length), length};
    struct bp_net_frame frame = {.iov = &iov, .iov_count = 1, .length = length};
    enum th_context before;
    uint32_t done = 0;
    int32_t taken;

    memcpy(iov.base, data, length);
    if (offload != NULL) {
        frame.offload = *offload;
    }
    before = th_enter(wire->th, TH_IN_LOOP);
    wire->inside++;
    taken = wire->ops->transmit(wire->backend->self, wire->queue, &frame, 1, &done);
    wire->inside--;
    th_leave(wire->th, before);
    wire->in_flight += taken == 1 && done == 0;
    if (taken < 0 || taken > 1 || done > (uint32_t)taken) {
        th_violate(wire->th, "%s: transmit() took %d, %u done", wire->backend->id, taken, done);
    }
    return taken;
}

const struct th_net_frame *
th_wire_frames(const struct th_wire *wire, uint32_t *count)
{
    *count = wire->frame_count;
    return wire->frames;
}

static int
wire_has(void *opaque)
{
    const struct th_wire *wire = opaque;

    return wire->frame_count >= wire->wanted;
}

int
th_wire_wait(struct th_wire *wire, uint32_t frames, uint32_t timeout_ms)
{
    wire->wanted = frames;
    return th_run_until(wire->th, wire_has, wire, timeout_ms);
}

static int
wire_has_event(void *opaque)
{
    const struct th_wire *wire = opaque;

    return wire->events[wire->wanted_event] >= wire->wanted;
}

int
th_wire_wait_event(struct th_wire *wire, uint32_t event, uint32_t count, uint32_t timeout_ms)
{
    wire->wanted = count;
    wire->wanted_event = event & 3;
    return th_run_until(wire->th, wire_has_event, wire, timeout_ms);
}

uint32_t
th_wire_writables(const struct th_wire *wire)
{
    return wire->writables;
}

uint32_t
th_wire_in_flight(const struct th_wire *wire)
{
    return wire->in_flight;
}

int32_t
th_wire_set_features(struct th_wire *wire, uint32_t features)
{
    return wire->ops->set_features(wire->backend->self, features);
}

uint32_t
th_wire_info_flags(const struct th_wire *wire)
{
    struct bp_net_info info = {.size = sizeof(info)};

    (void)wire->ops->info(wire->backend->self, &info);
    return info.flags;
}

void *
th_wire_queue(struct th_wire *wire)
{
    return wire->queue;
}

struct bp_instance *
th_wire_backend(struct th_wire *wire)
{
    return wire->backend;
}

void
th_wire_expect(struct th_wire *wire, uint32_t frames)
{
    wire->in_flight += frames;
}
