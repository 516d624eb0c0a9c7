/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-scsi: a SCSI host bus adapter on the virtio transport. Reference: Virtual I/O Device 1.2
 * ("virtio 1.2"), 5.6, and its legacy sections; SAM-5 and SPC-4 for what is not a unit's.
 *
 * Queue 0 is the control queue, 1 the event queue, the others carry commands. Each logical unit
 * (bp.scsi/1) has a queue of its own for each of the latter, on the same loop: a "path". Commands
 * move under their ring's lock. Task management reads the control ring, then takes the request
 * rings' locks one after the other, and so runs deferred, without the control ring's lock.
 *
 * The places for units come from the description and never change; what stands in a place may come
 * and go while the machine runs. */
#pragma once

#include <backplane/scsi.h>
#include <backplane/sdk/sdk.h>
#include <backplane/sdk/virtio.h>

#include <pthread.h>
#include <stdatomic.h>

#define VSCSI_CONTROL    0u /* queues */
#define VSCSI_EVENT      1u
#define VSCSI_REQUEST    2u /* the first one */
#define VSCSI_MAX_QUEUES 64u
#define VSCSI_TARGETS    256u
#define VSCSI_LUNS       16384u
#define VSCSI_MAX_UNITS  16384u
#define VSCSI_BATCH      32u /* commands in one submit() */

/* Features (5.6.3). */
#define VSCSI_F_INOUT   (UINT64_C(1) << 0)
#define VSCSI_F_HOTPLUG (UINT64_C(1) << 1)
#define VSCSI_F_CHANGE  (UINT64_C(1) << 2)

/* Configuration space (5.6.4). */
#define VSCSI_CFG_NUM_QUEUES  0u
#define VSCSI_CFG_SEG_MAX     4u
#define VSCSI_CFG_MAX_SECTORS 8u
#define VSCSI_CFG_CMD_PER_LUN 12u
#define VSCSI_CFG_EVENT_SIZE  16u
#define VSCSI_CFG_SENSE_SIZE  20u
#define VSCSI_CFG_CDB_SIZE    24u
#define VSCSI_CFG_MAX_CHANNEL 28u
#define VSCSI_CFG_MAX_TARGET  30u
#define VSCSI_CFG_MAX_LUN     32u
#define VSCSI_CFG_BYTES       36u

#define VSCSI_SENSE_DEFAULT 96u
#define VSCSI_SENSE_MAX     252u /* SPC-4 4.5.1 */
#define VSCSI_CDB_DEFAULT   32u
#define VSCSI_CDB_MAX       260u /* SPC-4 4.2.3 */
#define VSCSI_EVENT_BYTES   16u

/* A command (5.6.6.1): bytes before the CDB, bytes before the sense data. */
#define VSCSI_HEADER_BYTES   19u
#define VSCSI_RESPONSE_BYTES 12u
#define VSCSI_RESPONSE_IOV   8u /* pieces of memory that a response may be spread over */

/* Responses (5.6.6.1, 5.6.6.2). */
#define VSCSI_S_OK                0u
#define VSCSI_S_OVERRUN           1u
#define VSCSI_S_ABORTED           2u
#define VSCSI_S_BAD_TARGET        3u
#define VSCSI_S_RESET             4u
#define VSCSI_S_BUSY              5u
#define VSCSI_S_TRANSPORT_FAILURE 6u
#define VSCSI_S_TARGET_FAILURE    7u
#define VSCSI_S_FAILURE           9u
#define VSCSI_S_SUCCEEDED         10u
#define VSCSI_S_REJECTED          11u
#define VSCSI_S_INCORRECT_LUN     12u

/* Events (5.6.6.3). */
#define VSCSI_T_NO_EVENT        0u
#define VSCSI_T_TRANSPORT_RESET 1u
#define VSCSI_T_PARAM_CHANGE    3u
#define VSCSI_T_EVENTS_MISSED   0x80000000u
#define VSCSI_RESET_HARD        0u
#define VSCSI_RESET_RESCAN      1u
#define VSCSI_RESET_REMOVED     2u

struct vscsi;
struct vscsi_unit;

/* A unit's queue for one request ring. */
struct vscsi_path {
    struct vscsi_unit *unit;
    struct vscsi_queue *queue;
    void *backend;               /* the unit's queue */
    _Atomic(uint32_t) in_flight; /* changed with the ring's lock */
};

/* A place for a logical unit. */
struct vscsi_unit {
    struct vscsi *vscsi;
    uint8_t target;
    uint16_t lun;
    uint32_t use; /* of the slot */
    const struct bp_scsi_ops *ops;
    void *self;
    uint32_t max_iov;
    uint64_t max_transfer;
    _Atomic(uint32_t) present; /* requests may go to it */
    _Atomic(uint32_t) changed; /* the initiator shall hear that the inventory changed */
    _Atomic(uint32_t) resets;  /* task management that ends commands by a reset */
    struct vscsi_path *paths;  /* one for each request queue */
};

/* A command's progress; in its chain. */
struct vscsi_request {
    uint64_t user; /* of the request at the unit; 0: it is at none */
    uint64_t tag;  /* the driver's */
    struct vscsi_path *path;
    uint64_t in_length; /* bytes of data, without header and response */
    uint64_t out_length;
    struct bp_iovec *in_iov;
    struct bp_iovec *out_iov;
    uint32_t in_count;
    uint32_t out_count;
    uint32_t response_count;
    uint32_t sense_size; /* as it was when the command came */
    struct bp_iovec response[VSCSI_RESPONSE_IOV];
    uint32_t cdb_length;
    uint8_t lun[8];
    uint8_t attribute; /* the driver's */
    uint8_t priority;
    uint8_t cdb[BP_SCSI_MAX_CDB];
    uint8_t sense[VSCSI_SENSE_MAX];
};

/* A control request's progress; in its chain. */
struct vscsi_control {
    struct bp_virtio_chain *next; /* of those that wait */
    uint32_t remaining; /* functions that have not ended, and one while they are started */
    uint32_t response;
    uint32_t is_reset; /* its units' resets count it */
    uint32_t active;   /* it has been started and has not ended */
};

struct vscsi_queue {
    struct vscsi *vscsi;
    struct bp_virtqueue *ring;
    uint64_t sequence;             /* of commands */
    struct vscsi_path *batch_path; /* whose commands the batch has */
    uint32_t batched;
    struct bp_scsi_request batch[VSCSI_BATCH];
};

/* Units of a target: vscsi->units[first .. first + count), by rising LUN. */
struct vscsi_target {
    uint32_t first;
    uint32_t count;
};

struct vscsi {
    struct bp_services host;
    const char *id;
    struct bp_virtio *virtio;
    uint32_t queue_count; /* of requests */
    uint32_t cmd_per_lun;
    uint32_t max_sectors;      /* 0: what the units take */
    uint32_t seg_max;          /* 0: what queue and units take */
    uint32_t initiator_length; /* 0: it has no name */
    uint8_t initiator[64];     /* TransportID */
    uint32_t realized;
    _Atomic(uint32_t) sense_size;
    _Atomic(uint32_t) cdb_size;
    uint32_t unit_count;
    struct vscsi_unit *units; /* by target, then LUN */
    struct vscsi_path *paths;
    struct vscsi_target targets[VSCSI_TARGETS];
    struct bp_virtqueue *control;
    struct bp_virtqueue *event;
    /* With the control ring's lock. */
    struct bp_virtio_chain *waiting_first;
    struct bp_virtio_chain *waiting_last;
    uint32_t active;  /* functions that have been started */
    uint32_t planned; /* a deferred call comes for the waiting ones */
    /* With the event ring's lock. */
    uint32_t missed;
    /* protects: presence of units against the start of task management */
    pthread_mutex_t unit_lock;
    _Atomic(uint64_t) aborts; /* numbers the functions that nobody waits for */
    struct vscsi_queue queues[VSCSI_MAX_QUEUES];
};

/* --- vscsi_lun.c -------------------------------------------------------------------------------
 */

/* What an eight-byte LUN field names (5.6.6.1). */
#define VSCSI_AT_UNIT       0u /* *unit */
#define VSCSI_AT_ABSENT     1u /* the target is there, the unit is not */
#define VSCSI_AT_NOTHING    2u
#define VSCSI_AT_TARGET_WLU 3u /* REPORT LUNS of a target */
#define VSCSI_AT_DEVICE_WLU 4u /* REPORT LUNS of the whole device */

uint32_t vscsi_find(struct vscsi *vscsi, const uint8_t *lun, struct vscsi_unit **unit);
/* Whether any of a target's units is there. */
uint32_t vscsi_target_present(const struct vscsi *vscsi, uint32_t target);
/* The field for a unit, in the form of REPORT LUNS data. */
void vscsi_put_lun(const struct vscsi_unit *unit, uint8_t *lun);
/* Puts the places in order. -EINVAL, explained. */
int32_t vscsi_sort_units(struct vscsi *vscsi) BP_MUST_CHECK;
/* The units of a target, but this one, shall report 3F/0E. */
void vscsi_inventory_changed(struct vscsi *vscsi, const struct vscsi_unit *cause);

/* --- vscsi_request.c ---------------------------------------------------------------------------
 */

void vscsi_run_requests(struct vscsi_queue *queue);
/* bp_scsi_client.complete. */
void vscsi_complete(void *opaque, const struct bp_scsi_completion *completions, uint32_t count);
/* Ends a command that no unit has: status and response, data_in bytes were written. [queue] */
void vscsi_finish(struct bp_virtio_chain *chain, uint32_t response, uint32_t status,
                  uint64_t data_in);
/* Likewise, with CHECK CONDITION. */
void vscsi_check(struct bp_virtio_chain *chain, uint8_t key, uint16_t code);

/* --- vscsi_report.c: what the adapter answers itself --------------------------------------------
 */

/* REPORT LUNS; where: VSCSI_AT_... */
void vscsi_report_luns(struct vscsi *vscsi, struct bp_virtio_chain *chain, uint32_t where);
/* A command for a unit that is not there, on a target that is. */
void vscsi_absent(struct bp_virtio_chain *chain, uint32_t where);

/* --- vscsi_control.c ---------------------------------------------------------------------------
 */

void vscsi_run_control(struct vscsi *vscsi);
void vscsi_retry_control(struct vscsi *vscsi);
/* bp_scsi_client.managed. */
void vscsi_managed(void *opaque, uint64_t user, int32_t result);
/* The driver reset the device: ends what is in flight. */
void vscsi_abort_all(struct vscsi *vscsi);

/* --- vscsi_event.c -----------------------------------------------------------------------------
 */

void vscsi_run_events(struct vscsi *vscsi);
void vscsi_send(struct vscsi *vscsi, uint32_t event, const struct vscsi_unit *unit,
                uint32_t reason);
/* bp_scsi_client.event. */
void vscsi_unit_event(void *opaque, uint32_t event, uint32_t detail);

/* --- vscsi_unit.c: units come and go -----------------------------------------------------------
 */

int32_t vscsi_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer);
void vscsi_detach(void *self, uint32_t slot, uint32_t use);

/* --- vscsi_config.c ----------------------------------------------------------------------------
 */

extern const struct bp_prop vscsi_props[];

int32_t vscsi_options_read(struct vscsi *vscsi, const struct bp_node *options) BP_MUST_CHECK;
/* Features and configuration space, at realize(). */
void vscsi_describe(struct vscsi *vscsi);
void vscsi_config_write(void *device, uint32_t offset, uint32_t width, uint64_t value);
/* Sets the fields that a driver can change. */
void vscsi_set_sizes(struct vscsi *vscsi, uint32_t sense_size, uint32_t cdb_size);

/* --- vscsi_state.c -----------------------------------------------------------------------------
 */

extern const struct bp_state_ops vscsi_state;
