/* SPDX-License-Identifier: Apache-2.0 */
/* What a test does with the fake net backend. */
#include "fake_net.h"

#include <stdlib.h>
#include <string.h>

struct bp_net_info *
th_net_info(struct th_net *net)
{
    return &net->info;
}

void
th_net_send_event(struct th_net *net, uint32_t event)
{
    if (net->event_count < sizeof(net->events) / sizeof(net->events[0])) {
        net->events[net->event_count++] = event;
    }
}

const struct th_net_frame *
th_net_sent(struct th_net *net, uint32_t *count)
{
    *count = net->sent_count;
    return net->sent;
}

void
th_net_clear(struct th_net *net)
{
    uint32_t i;

    for (i = 0; i < net->sent_count; i++) {
        free(net->sent[i].data);
    }
    free(net->sent);
    net->sent = NULL;
    net->sent_count = 0;
}

uint32_t
th_net_transmits(struct th_net *net)
{
    return net->transmits;
}

void
th_net_set_room(struct th_net *net, uint32_t frames)
{
    net->room = frames;
}

void
th_net_hold(struct th_net *net, int hold)
{
    net->hold = hold != 0;
}

void
th_net_release(struct th_net *net, uint32_t index, uint32_t count)
{
    struct net_queue *queue = index < MAX_QUEUES ? net->queues[index] : NULL;
    enum th_context before;
    uint64_t *users;

    if (queue == NULL || queue->held_count == 0) {
        return;
    }
    count = count < queue->held_count ? count : queue->held_count;
    users = th_alloc(count * sizeof(*users));
    memcpy(users, queue->held, count * sizeof(*users));
    queue->held_count -= count;
    memmove(queue->held, queue->held + count, queue->held_count * sizeof(*users));
    before = th_enter(net->th, TH_IN_LOOP);
    queue->calling++;
    queue->client.transmitted(queue->args.opaque, users, count);
    queue->calling--;
    th_leave(net->th, before);
    free(users);
    th_run(net->th);
}

void
th_net_deliver(struct th_net *net, uint32_t queue, const void *data, uint32_t length,
               const struct bp_net_offload *offload)
{
    struct net_input *input = th_alloc(sizeof(*input) + length);
    struct net_input **link = &net->inputs;

    input->length = length;
    input->queue = queue < MAX_QUEUES ? queue : 0;
    if (offload != NULL) {
        input->offload = *offload;
    }
    memcpy(input->data, data, length);
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = input;
}

uint32_t
th_net_pending(struct th_net *net)
{
    const struct net_input *input;
    uint32_t count = 0;

    for (input = net->inputs; input != NULL; input = input->next) {
        count++;
    }
    return count;
}

uint32_t
th_net_dropped(struct th_net *net)
{
    return net->dropped;
}

uint32_t
th_net_features(struct th_net *net)
{
    return net->features;
}

uint32_t
th_net_posted(struct th_net *net, uint32_t queue)
{
    return queue < MAX_QUEUES && net->queues[queue] != NULL ? net->queues[queue]->posted_count : 0;
}

int
th_net_open(struct th_net *net, uint32_t queue)
{
    return queue < MAX_QUEUES && net->queues[queue] != NULL && !net->queues[queue]->disabled;
}
