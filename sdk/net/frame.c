/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as pieces of memory, and a hop to a loop: see <backplane/sdk/net.h>. */
#include <backplane/sdk/net.h>

#include <semaphore.h>
#include <string.h>

static int
gso_ok(const struct bp_net_offload *offload, uint32_t features)
{
    switch (offload->gso_type) {
    case BP_NET_GSO_NONE:
        return 1;
    case BP_NET_GSO_TCP4:
        return (features & BP_NET_TSO4) != 0;
    case BP_NET_GSO_TCP6:
        return (features & BP_NET_TSO6) != 0;
    case BP_NET_GSO_TCP4 | BP_NET_GSO_ECN:
        return (features & BP_NET_TSO4) != 0 && (features & BP_NET_ECN) != 0;
    case BP_NET_GSO_TCP6 | BP_NET_GSO_ECN:
        return (features & BP_NET_TSO6) != 0 && (features & BP_NET_ECN) != 0;
    case BP_NET_GSO_UDP:
        return (features & BP_NET_UFO) != 0;
    case BP_NET_GSO_UDP_L4:
        return (features & (BP_NET_USO4 | BP_NET_USO6)) != 0;
    default:
        return 0;
    }
}

int
bp_net_frame_ok(const struct bp_net_frame *frame, uint32_t features)
{
    const struct bp_net_offload *offload = &frame->offload;
    uint64_t sum = 0;
    uint32_t i;

    if (frame->flags != 0 || frame->iov_count == 0 || frame->iov_count > BP_NET_MAX_IOV ||
        frame->length < BP_NET_ETH_HEADER || frame->length > BP_NET_MAX_FRAME) {
        return 0;
    }
    for (i = 0; i < frame->iov_count; i++) {
        if (frame->iov[i].length > frame->length) {
            return 0;
        }
        sum += frame->iov[i].length;
    }
    if (sum != frame->length || !gso_ok(offload, features)) {
        return 0;
    }
    if (offload->gso_type != BP_NET_GSO_NONE &&
        (offload->gso_size == 0 || (offload->flags & BP_NET_NEEDS_CSUM) == 0)) {
        return 0;
    }
    if ((offload->flags & BP_NET_NEEDS_CSUM) == 0) {
        return 1;
    }
    return (features & BP_NET_CSUM) != 0 &&
           (uint32_t)offload->csum_start + offload->csum_offset + 2 <= frame->length;
}

uint64_t
bp_net_iov_copy(const struct bp_iovec *iov, uint32_t count, uint64_t from, void *data,
                uint64_t length)
{
    uint64_t done = 0;
    uint32_t i;

    for (i = 0; i < count && done < length; i++) {
        uint64_t n = iov[i].length;
        if (from >= n) {
            from -= n;
            continue;
        }
        n = bp_min_u64(n - from, length - done);
        memcpy((uint8_t *)data + done, (const uint8_t *)iov[i].base + from, n);
        done += n;
        from = 0;
    }
    return done;
}

uint64_t
bp_net_iov_fill(const struct bp_iovec *iov, uint32_t count, uint64_t from, const void *data,
                uint64_t length)
{
    uint64_t done = 0;
    uint32_t i;

    for (i = 0; i < count && done < length; i++) {
        uint64_t n = iov[i].length;
        if (from >= n) {
            from -= n;
            continue;
        }
        n = bp_min_u64(n - from, length - done);
        memcpy((uint8_t *)iov[i].base + from, (const uint8_t *)data + done, n);
        done += n;
        from = 0;
    }
    return done;
}

uint32_t
bp_net_iov_slice(const struct bp_iovec *iov, uint32_t count, uint64_t from, uint64_t length,
                 struct bp_iovec *slice, uint32_t max)
{
    uint32_t i, used = 0;

    for (i = 0; i < count && length > 0; i++) {
        uint64_t n = iov[i].length;
        if (from >= n) {
            from -= n;
            continue;
        }
        if (used == max) {
            return 0;
        }
        n = bp_min_u64(n - from, length);
        slice[used].base = (uint8_t *)iov[i].base + from;
        slice[used].length = n;
        used++;
        length -= n;
        from = 0;
    }
    return used;
}

/* --- a hop ----------------------------------------------------------------------------------- */

struct hop {
    void (*func)(void *opaque);
    void *opaque;
    sem_t done;
};

static void
run_hop(void *opaque)
{
    struct hop *hop = opaque;

    hop->func(hop->opaque);
    (void)sem_post(&hop->done);
}

int32_t
bp_net_on_loop(const struct bp_services *services, uint32_t loop, void (*func)(void *opaque),
               void *opaque)
{
    struct hop hop = {.func = func, .opaque = opaque};
    int32_t result;

    if (services->loop->is_current(services->instance, loop)) {
        func(opaque);
        return 0;
    }
    if (sem_init(&hop.done, 0, 0) != 0) {
        return -errno;
    }
    result = services->loop->defer(services->instance, loop, run_hop, &hop);
    while (result == 0 && sem_wait(&hop.done) != 0) {
    }
    (void)sem_destroy(&hop.done);
    return result;
}
