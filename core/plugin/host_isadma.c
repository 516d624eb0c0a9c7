/* SPDX-License-Identifier: Apache-2.0 */
/* bp.isadma/1: channels of the 8237s. */
#include "plugin/args.h"
#include "plugin/instance.h"

#include <errno.h>

typedef struct {
    Instance *instance;
    unsigned channel;
    Loop *loop;
    void (*ready)(void *opaque);
    void *opaque;
} HostChannel;

static void
run_ready(void *opaque)
{
    HostChannel *channel = opaque;

    channel->ready(channel->opaque);
}

/* On the thread that programmed the controller: the plugin hears of it on its loop. */
static void
channel_ready(void *opaque)
{
    HostChannel *channel = opaque;

    if (channel->ready != NULL) {
        loop_defer(channel->loop, channel->instance->loop_lock, run_ready, channel);
    }
}

static IsaDma *
controller(const Instance *instance)
{
    return board_isa_dma(instance->services->board);
}

static int32_t
isadma_host_claim(Instance *instance, uint32_t number, uint32_t loop, void (*ready)(void *opaque),
                  void *opaque)
{
    HostChannel *channel;
    int result;

    if (services_loop(instance->services, loop) == NULL) {
        return -ENOENT;
    }
    channel = g_new0(HostChannel, 1);
    channel->instance = instance;
    channel->channel = number;
    channel->loop = services_loop(instance->services, loop);
    channel->ready = ready;
    channel->opaque = opaque;
    result = isa_dma_claim(controller(instance), number, channel_ready, channel);
    if (result != 0) {
        g_free(channel);
        return result;
    }
    (void)id_table_add(&instance->dma_channels, number, channel);
    return 0;
}

static void
isadma_host_dreq(Instance *instance, uint32_t number, uint32_t level)
{
    if (id_table_find(&instance->dma_channels, number) != NULL) {
        isa_dma_set_dreq(controller(instance), number, level != 0);
    }
}

static int32_t
isadma_host_status(Instance *instance, uint32_t number, struct bp_isadma_status *status)
{
    struct bp_isadma_status full = {.size = sizeof(full)};
    IsaDmaStatus now;
    uint32_t size;

    if (id_table_find(&instance->dma_channels, number) == NULL || status == NULL ||
        status->size < 2 * sizeof(uint32_t)) {
        return -EINVAL;
    }
    isa_dma_status(controller(instance), number, &now);
    full.direction = now.direction;
    full.masked = now.masked;
    full.autoinit = now.autoinit;
    full.mode = now.mode;
    full.remaining = now.remaining_bytes;
    size = MIN(status->size, (uint32_t)sizeof(full));
    full.size = status->size;
    memcpy(status, &full, size);
    return 0;
}

static int32_t
isadma_host_transfer(Instance *instance, uint32_t number, void *data, uint32_t length,
                     uint32_t *terminal)
{
    bool reached = false;
    uint32_t moved;

    if (id_table_find(&instance->dma_channels, number) == NULL || terminal == NULL ||
        length > INT32_MAX) {
        return -EINVAL;
    }
    moved = isa_dma_transfer(controller(instance), number, data, length, &reached);
    *terminal = reached;
    return (int32_t)moved;
}

static void
channel_free(void *value)
{
    HostChannel *channel = value;

    isa_dma_release(controller(channel->instance), channel->channel);
    loop_defer_cancel(channel->loop, channel);
    g_free(channel);
}

void
host_isadma_withdraw(Instance *instance)
{
    id_table_done(&instance->dma_channels, channel_free);
}

const struct bp_isadma_host host_isadma = {
    .size = sizeof(host_isadma),
    .claim = isadma_host_claim,
    .dreq = isadma_host_dreq,
    .status = isadma_host_status,
    .transfer = isadma_host_transfer,
};
