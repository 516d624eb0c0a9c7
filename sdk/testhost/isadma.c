/* SPDX-License-Identifier: Apache-2.0 */
/* bp.isadma/1: channels that the test programs directly. */
#include "th.h"

#include <string.h>

static struct th_dma_channel *
owned_channel(struct bp_instance *instance, uint32_t channel)
{
    if (channel > 7 || instance->th->dma[channel].owner != instance) {
        th_violate(instance->th, "%s: ISA DMA channel %u was not claimed", instance->id, channel);
        return NULL;
    }
    return &instance->th->dma[channel];
}

static int32_t
isadma_claim(struct bp_instance *instance, uint32_t channel, uint32_t loop,
             void (*ready)(void *opaque), void *opaque)
{
    struct th_dma_channel *dma;
    int32_t result = th_call(instance, "isadma.claim", TH_CONTROL | TH_FAILS);

    if (result == 0) {
        result = th_check_loop(instance, "isadma.claim", loop);
    }
    if (result < 0) {
        return result;
    }
    if (channel > 7 || channel == 4) {
        return -EINVAL;
    }
    dma = &instance->th->dma[channel];
    if (dma->owner != NULL) {
        return -EBUSY;
    }
    memset(dma, 0, sizeof(*dma));
    dma->masked = 1;
    dma->owner = instance;
    dma->ready = ready;
    dma->opaque = opaque;
    return 0;
}

static void
isadma_dreq(struct bp_instance *instance, uint32_t channel, uint32_t level)
{
    struct th_dma_channel *dma = owned_channel(instance, channel);

    (void)th_call(instance, "isadma.dreq", 0);
    if (dma != NULL) {
        dma->dreq = level != 0;
    }
}

static int32_t
isadma_status(struct bp_instance *instance, uint32_t channel, struct bp_isadma_status *status)
{
    const struct th_dma_channel *dma = owned_channel(instance, channel);
    struct bp_isadma_status full = {.size = status->size};

    (void)th_call(instance, "isadma.status", 0);
    if (dma == NULL) {
        return -EINVAL;
    }
    full.direction = dma->direction;
    full.masked = dma->masked;
    full.autoinit = dma->autoinit;
    full.mode = 1;
    full.remaining = dma->remaining == 0 ? (channel < 4 ? 65536 : 131072) : dma->remaining;
    memcpy(status, &full, status->size < sizeof(full) ? status->size : sizeof(full));
    return 0;
}

static void
move(struct th_host *th, const struct th_dma_channel *dma, void *data, uint32_t n)
{
    void *memory;

    if (dma->direction != BP_ISADMA_TO_MEMORY && dma->direction != BP_ISADMA_FROM_MEMORY) {
        return;
    }
    memory = th_ram(th, dma->gpa, n);
    if (dma->direction == BP_ISADMA_TO_MEMORY) {
        memcpy(memory, data, n);
    } else {
        memcpy(data, memory, n);
    }
}

static int32_t
isadma_transfer(struct bp_instance *instance, uint32_t channel, void *data, uint32_t length,
                uint32_t *terminal)
{
    struct th_dma_channel *dma = owned_channel(instance, channel);
    uint32_t n;

    (void)th_call(instance, "isadma.transfer", 0);
    if (dma == NULL) {
        return -EINVAL;
    }
    *terminal = 0;
    if (dma->masked || dma->remaining == 0) {
        return 0;
    }
    n = length < dma->remaining ? length : dma->remaining;
    move(instance->th, dma, data, n);
    dma->gpa += n;
    dma->remaining -= n;
    if (dma->remaining == 0 && n > 0) {
        *terminal = 1;
        dma->masked = !dma->autoinit;
        if (dma->autoinit) {
            dma->gpa = dma->base_gpa;
            dma->remaining = dma->base_length;
        }
    }
    return (int32_t)n;
}

void
th_dma_program(struct th_host *th, uint32_t channel, uint32_t direction, uint64_t gpa,
               uint32_t length, int autoinit)
{
    struct th_dma_channel *dma = &th->dma[channel & 7];

    (void)th_ram(th, gpa, length);
    dma->direction = direction;
    dma->gpa = dma->base_gpa = gpa;
    dma->remaining = dma->base_length = length;
    dma->autoinit = autoinit != 0;
    th_dma_mask(th, channel, 0);
}

void
th_dma_mask(struct th_host *th, uint32_t channel, int masked)
{
    struct th_dma_channel *dma = &th->dma[channel & 7];

    dma->masked = masked != 0;
    dma->ready_due = !masked && dma->dreq && dma->ready != NULL;
}

uint32_t
th_dma_dreq(struct th_host *th, uint32_t channel)
{
    return th->dma[channel & 7].dreq;
}

uint32_t
th_dma_remaining(struct th_host *th, uint32_t channel)
{
    return th->dma[channel & 7].remaining;
}

int
th_dma_run(struct th_host *th)
{
    uint32_t i;

    for (i = 0; i < 8; i++) {
        struct th_dma_channel *dma = &th->dma[i];
        if (dma->ready_due) {
            enum th_context before = th_enter(th, TH_IN_LOOP);
            dma->ready_due = 0;
            dma->ready(dma->opaque);
            th_leave(th, before);
            return 1;
        }
    }
    return 0;
}

void
th_dma_drop(struct bp_instance *instance)
{
    uint32_t i;

    for (i = 0; i < 8; i++) {
        if (instance->th->dma[i].owner == instance) {
            memset(&instance->th->dma[i], 0, sizeof(instance->th->dma[i]));
        }
    }
}

const struct bp_isadma_host th_isadma_table = {
    .size = sizeof(struct bp_isadma_host),
    .claim = isadma_claim,
    .dreq = isadma_dreq,
    .status = isadma_status,
    .transfer = isadma_transfer,
};
