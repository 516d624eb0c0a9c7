/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent reservations (SPC-4 5.12): the state, what PERSISTENT RESERVE OUT does to it, and its
 * form in files and saved states. Nothing here knows of tasks or nexuses: initiators are
 * TransportIDs, so that several processes can share one state. */
#pragma once

#include <backplane/sdk/scsi.h>

/* Service actions of PERSISTENT RESERVE OUT. */
#define RESERVE_REGISTER        0u
#define RESERVE_RESERVE         1u
#define RESERVE_RELEASE         2u
#define RESERVE_CLEAR           3u
#define RESERVE_PREEMPT         4u
#define RESERVE_PREEMPT_ABORT   5u
#define RESERVE_REGISTER_IGNORE 6u
#define RESERVE_REGISTER_MOVE   7u

/* Types. */
#define RESERVE_NONE     0u
#define RESERVE_WRITE    1u
#define RESERVE_ALL      3u
#define RESERVE_WRITE_RO 5u
#define RESERVE_ALL_RO   6u
#define RESERVE_WRITE_AR 7u
#define RESERVE_ALL_AR   8u

#define RESERVE_ALL_PORTS (1u << 0) /* registrant.flags */

#define RESERVE_LIST_BYTES  24u /* parameter list, without TransportIDs */
#define RESERVE_IMAGE_BYTES (64u + BP_SCSI_REGISTRANTS * 80u)

/* Who asks. */
struct reserve_actor {
    uint32_t id_length;
    uint8_t id[BP_SCSI_TRANSPORT_ID_BYTES];
};

/* How the command ends. */
struct reserve_outcome {
    uint32_t status;
    uint8_t key; /* CHECK CONDITION: ILLEGAL REQUEST, code, and the byte that is wrong */
    uint8_t in_cdb;
    uint16_t code;
    uint16_t field; /* 0: none */
    uint32_t changed;
};

/* Index of an initiator's registration, or UINT32_MAX. */
uint32_t reserve_find(const struct bp_scsi_reservations *state, const struct reserve_actor *actor);
/* Whether a registrant holds the reservation that there is. */
uint32_t reserve_holds(const struct bp_scsi_reservations *state, uint32_t index);
static inline uint32_t
reserve_of_all(uint32_t type)
{
    return type == RESERVE_WRITE_AR || type == RESERVE_ALL_AR;
}

/* persistent: the state outlives the unit's power: APTPL may be set. */
void reserve_out(struct bp_scsi_reservations *state, const struct reserve_actor *actor,
                 const uint8_t *cdb, const uint8_t *list, uint32_t persistent,
                 struct reserve_outcome *ret_outcome);

/* RESERVE_IMAGE_BYTES with a checksum; decode: -EINVAL: not one. */
void reserve_encode(const struct bp_scsi_reservations *state, uint8_t *image);
int32_t reserve_decode(struct bp_scsi_reservations *state, const uint8_t *image) BP_MUST_CHECK;
