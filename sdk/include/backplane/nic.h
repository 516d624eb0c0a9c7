/* SPDX-License-Identifier: Apache-2.0 */
/* bp.nic/1: a network card as operators see it: its cable, its address, which frames it lets through.
 *
 * The device provides bp_nic_ops through the class's query(). When the guest changes what a later
 * filter() would tell, the device reports the event NIC_RX_FILTER_CHANGED with {"name": its id} through
 * bp.core/1, once until filter() is called. */
#ifndef BACKPLANE_NIC_H
#define BACKPLANE_NIC_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_NIC_ID "bp.nic/1"

#define BP_NIC_MAX_MACS 64u /* of each kind that a filter names */

#define BP_NIC_LINK_UP   (1u << 0) /* the cable is plugged in at this end */
#define BP_NIC_CONNECTED (1u << 1) /* and the network at its other end is up */
#define BP_NIC_MAC_SET   (1u << 2) /* the guest gave itself another address */

/* Out struct. */
struct bp_nic_info {
    uint32_t size;
    uint32_t flags;      /* BP_NIC_... */
    uint8_t mac[8];      /* in force: 6 bytes, then 0 */
    uint8_t burnt_in[8]; /* after a reset */
    uint32_t queues;     /* pairs of queues in use */
    uint32_t reserved;
};

#define BP_NIC_PROMISCUOUS   (1u << 0) /* everything */
#define BP_NIC_ALL_MULTICAST (1u << 1)
#define BP_NIC_ALL_UNICAST   (1u << 2)
#define BP_NIC_NO_MULTICAST  (1u << 3)
#define BP_NIC_NO_UNICAST    (1u << 4)
#define BP_NIC_NO_BROADCAST  (1u << 5)
#define BP_NIC_MANY_MULTICAST (1u << 6) /* more addresses than it keeps: all are let through */
#define BP_NIC_MANY_UNICAST   (1u << 7)
#define BP_NIC_VLANS          (1u << 8) /* tagged frames are let through by vlans[] */

/* Which frames the guest receives. Out struct. */
struct bp_nic_filter {
    uint32_t size;
    uint32_t flags;            /* BP_NIC_PROMISCUOUS ... */
    uint32_t unicast_count;    /* of unicast[] */
    uint32_t multicast_count;  /* of multicast[] */
    uint8_t mac[8];            /* the main address: 6 bytes, then 0 */
    uint8_t unicast[64][8];    /* further ones */
    uint8_t multicast[64][8];
    uint64_t vlans[64];        /* bit n of the 4096: VLAN n */
};

/* Provided by a device. Called from realize() on. */
struct bp_nic_ops {
    uint32_t size;
    uint32_t flags;

    /* Tells about the card, now.
     * info: the caller sets size.
     * [control] */
    int32_t (*info)(void *self, struct bp_nic_info *info) BP_MUST_CHECK;
    /* Plugs the cable in or pulls it. up: 1 or 0. The guest is told; meanwhile frames of either
     * direction are dropped, as by a cable that is not there.
     * [control] */
    int32_t (*set_link)(void *self, uint32_t up) BP_MUST_CHECK;
    /* Asks the guest to announce its address on the network, as after a move to another host.
     * [control] -EOPNOTSUPP: the guest has no way to be told. */
    int32_t (*announce)(void *self) BP_MUST_CHECK;
    /* Tells which frames the guest receives, now. Optional.
     * filter: the caller sets size.
     * [control] */
    int32_t (*filter)(void *self, struct bp_nic_filter *filter) BP_MUST_CHECK;
};

#ifdef __cplusplus
}
#endif

#endif
