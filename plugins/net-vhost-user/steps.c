/* SPDX-License-Identifier: Apache-2.0 */
/* What is said to the other end, in order; see "Vhost-user Protocol", "Front-end message types". */
#include "vhost_user.h"

#include <string.h>

#define GET_FEATURES          1u
#define SET_FEATURES          2u
#define SET_OWNER             3u
#define SET_MEM_TABLE         5u
#define SET_VRING_NUM         8u
#define SET_VRING_ADDR        9u
#define SET_VRING_BASE        10u
#define GET_VRING_BASE        11u
#define SET_VRING_KICK        12u
#define SET_VRING_CALL        13u
#define GET_PROTOCOL_FEATURES 15u
#define SET_PROTOCOL_FEATURES 16u
#define GET_QUEUE_NUM         17u
#define SET_VRING_ENABLE      18u
#define NET_SET_MTU           20u

#define OUR_PROTOCOL (VU_P_MQ | VU_P_REPLY_ACK | VU_P_MTU)

static void
put(struct vu_message *message, uint32_t width, uint64_t value)
{
    bp_store_le(message->payload + message->size, width, value);
    message->size += width;
}

static uint32_t
ask(struct vu_message *message, uint32_t item, uint32_t request)
{
    message->request = request;
    return item == 0;
}

static uint32_t
tell(struct vu_message *message, uint32_t item, uint32_t request, uint64_t value)
{
    message->request = request;
    put(message, 8, value);
    return item == 0;
}

/* --- features -------------------------------------------------------------------------------- */

static const struct {
    uint64_t feature;
    uint32_t bits;
} sending[] =
    {
        {VU_F_CSUM, BP_NET_CSUM},      {VU_F_HOST_TSO4, BP_NET_TSO4},
        {VU_F_HOST_TSO6, BP_NET_TSO6}, {VU_F_HOST_ECN, BP_NET_ECN},
        {VU_F_HOST_UFO, BP_NET_UFO},   {VU_F_HOST_USO, BP_NET_USO4 | BP_NET_USO6},
},
  receiving[] = {
      {VU_F_GUEST_CSUM, BP_NET_CSUM}, {VU_F_GUEST_TSO4, BP_NET_TSO4},
      {VU_F_GUEST_TSO6, BP_NET_TSO6}, {VU_F_GUEST_ECN, BP_NET_ECN},
      {VU_F_GUEST_UFO, BP_NET_UFO},   {VU_F_GUEST_USO4, BP_NET_USO4},
      {VU_F_GUEST_USO6, BP_NET_USO6},
};

static uint32_t
build_get_features(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    return ask(message, item, GET_FEATURES);
}

/* The others need the checksum's. */
static uint32_t
whole(uint32_t bits)
{
    return bits & BP_NET_CSUM ? bits : 0;
}

static int32_t
take_features(struct vhost_user *vu, uint32_t item, uint64_t value)
{
    uint32_t tx = 0, rx = 0, i;

    if ((value & VU_F_VERSION_1) == 0) {
        vu_complain(vu, "serves no devices of virtio 1");
        return -EPROTONOSUPPORT;
    }
    vu->offered = value;
    for (i = 0; i < BP_ARRAY_LENGTH(sending); i++) {
        tx |= value & sending[i].feature ? sending[i].bits : 0;
    }
    for (i = 0; i < BP_ARRAY_LENGTH(receiving); i++) {
        rx |= value & receiving[i].feature ? receiving[i].bits : 0;
    }
    atomic_store(&vu->tx_features, whole(tx));
    atomic_store(&vu->rx_features, whole(rx));
    return 0;
}

static uint32_t
build_get_protocol(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    vu->protocol = item == 0 ? 0 : vu->protocol;
    return (vu->offered & VU_F_PROTOCOL) != 0 && ask(message, item, GET_PROTOCOL_FEATURES);
}

static int32_t
take_protocol(struct vhost_user *vu, uint32_t item, uint64_t value)
{
    vu->protocol = value & OUR_PROTOCOL;
    return 0;
}

static uint32_t
build_set_protocol(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    return (vu->offered & VU_F_PROTOCOL) != 0 &&
           tell(message, item, SET_PROTOCOL_FEATURES, vu->protocol);
}

static uint32_t
build_get_queues(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    return vu->pairs > 1 && (vu->protocol & VU_P_MQ) != 0 && ask(message, item, GET_QUEUE_NUM);
}

/* Some count pairs, some rings: what is too few as pairs is too few as either. */
static int32_t
take_queues(struct vhost_user *vu, uint32_t item, uint64_t value)
{
    if (value < vu->pairs) {
        vu_complain(vu, "serves fewer queues than the option \"queues\" says");
        return -EPROTONOSUPPORT;
    }
    return 0;
}

static uint32_t
build_set_owner(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    return ask(message, item, SET_OWNER);
}

static uint32_t
build_set_features(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    uint64_t features = VU_F_VERSION_1 | VU_F_PROTOCOL | VU_F_EVENT_IDX | VU_F_MRG_RXBUF;
    uint32_t wanted = atomic_load(&vu->wanted), i;

    for (i = 0; i < BP_ARRAY_LENGTH(sending); i++) {
        features |= sending[i].feature;
    }
    for (i = 0; i < BP_ARRAY_LENGTH(receiving); i++) {
        features |= wanted & receiving[i].bits ? receiving[i].feature : 0;
    }
    features |= vu->pairs > 1 ? VU_F_MQ : 0;
    features &= vu->offered;
    atomic_store(&vu->features, features);
    return tell(message, item, SET_FEATURES, features);
}

static uint32_t
build_set_mtu(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    return vu->mtu != 0 && (vu->protocol & VU_P_MTU) != 0 &&
           tell(message, item, NET_SET_MTU, vu->mtu);
}

/* --- memory and rings ------------------------------------------------------------------------ */

static uint32_t
build_set_memory(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    *fd = vu->memory;
    put(message, 4, 1); /* regions */
    put(message, 4, 0);
    put(message, 8, VU_BASE); /* as guest addresses */
    put(message, 8, vu->map_length);
    put(message, 8, VU_BASE); /* as ours: what rings are named by */
    put(message, 8, 0);       /* in the file */
    return ask(message, item, SET_MEM_TABLE);
}

static uint32_t
ring_is_open(const struct vhost_user *vu, uint32_t ring)
{
    return atomic_load(&vu->pair[ring / 2].open);
}

/* The other end stops where it is; what it says of where is in its used ring as well. */
static uint32_t
build_stop(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    message->request = GET_VRING_BASE;
    put(message, 4, item);
    put(message, 4, 0);
    return !vu->fresh && item < vu->pairs * 2;
}

static int32_t
take_base(struct vhost_user *vu, uint32_t item, uint64_t value)
{
    return (uint32_t)value == item ? 0 : -EPROTO;
}

static uint64_t
seen_at(const struct vhost_user *vu, const void *at)
{
    return VU_BASE + (uint64_t)((const uint8_t *)at - vu->map);
}

static void
put_addresses(const struct vhost_user *vu, const struct vu_ring *ring, struct vu_message *message)
{
    put(message, 4, 0); /* flags */
    put(message, 8, seen_at(vu, ring->desc));
    put(message, 8, seen_at(vu, ring->used));
    put(message, 8, seen_at(vu, ring->avail));
    put(message, 8, 0); /* log */
}

#define RING_MESSAGES 6u

/* Five messages make a ring, the sixth lets it run: without PROTOCOL_FEATURES it does by itself. */
static uint32_t
build_rings(struct vhost_user *vu, uint32_t item, struct vu_message *message, int *fd)
{
    static const uint32_t requests[RING_MESSAGES] = {SET_VRING_NUM,  SET_VRING_BASE,
                                                     SET_VRING_ADDR, SET_VRING_CALL,
                                                     SET_VRING_KICK, SET_VRING_ENABLE};
    uint32_t number = item / RING_MESSAGES, what = item % RING_MESSAGES;
    struct vu_pair *pair = &vu->pair[number / 2];
    const struct vu_ring *ring = number & 1 ? &pair->tx : &pair->rx;

    if (number >= vu->pairs * 2) {
        return 0;
    }
    message->request = requests[what];
    put(message, 4, number);
    if (message->request == SET_VRING_ADDR) {
        put_addresses(vu, ring, message);
        return 1;
    }
    put(message, 4,
        message->request == SET_VRING_NUM    ? VU_ENTRIES
        : message->request == SET_VRING_BASE ? ring->base
        : message->request == SET_VRING_ENABLE
            ? ring_is_open(vu, number) && atomic_load(&pair->enabled)
            : 0);
    *fd = message->request == SET_VRING_CALL   ? pair->call
          : message->request == SET_VRING_KICK ? ring->kick
                                               : -1;
    if (message->request == SET_VRING_ENABLE && (vu->offered & VU_F_PROTOCOL) == 0) {
        message->request = 0; /* not said */
    }
    return 1;
}

/* --- pairs ----------------------------------------------------------------------------------- */

static void
park(struct vu_pair *pair)
{
    pair->state = VU_PARKED;
}

static void
run(struct vu_pair *pair)
{
    pair->state = VU_RUNNING;
    vu_ring_kick(&pair->rx);
    vu_ring_kick(&pair->tx);
    vu_called(pair, BP_FD_IN);
    bp_net_tx_room(&pair->queue);
}

const struct vu_step vu_steps[] = {
    {.build = build_get_features, .answer = take_features},
    {.build = build_get_protocol, .answer = take_protocol},
    {.build = build_set_protocol, .before_ack = 1},
    {.build = build_get_queues, .answer = take_queues},
    {.build = build_set_owner},
    {.visit = park}, /* a change begins here */
    {.build = build_stop, .answer = take_base},
    {.build = build_set_features},
    {.build = build_set_mtu},
    {.build = build_set_memory},
    {.visit = vu_pair_prepare},
    {.build = build_rings},
    {.visit = run},
};
const uint32_t vu_step_count = BP_ARRAY_LENGTH(vu_steps);
const uint32_t vu_step_again = 5;
