/* SPDX-License-Identifier: Apache-2.0 */
/* bp.scsi/1: one SCSI logical unit, provided by SCSI targets (backends), consumed by host bus adapters
 * (devices), which know where it is: bus, target, LUN.
 *
 * Commands are descriptor blocks with data in both directions; their sense data comes with their status.
 * They may complete in any order, as far as task attributes allow. REPORT LUNS and everything about
 * logical units that are not there is the adapter's business.
 *
 * Data buffers lie in guest RAM or in the arena (memory.h). */
#ifndef BACKPLANE_SCSI_H
#define BACKPLANE_SCSI_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_SCSI_ID "bp.scsi/1"

#define BP_SCSI_MAX_CDB   32u
#define BP_SCSI_MAX_DEPTH 4096u /* requests of one queue at a time */

/* Task attributes (SAM-5 8.6). */
#define BP_SCSI_SIMPLE        0u
#define BP_SCSI_HEAD_OF_QUEUE 1u
#define BP_SCSI_ORDERED       2u

/* Status codes (SAM-5 5.3.1). */
#define BP_SCSI_GOOD                 0x00u
#define BP_SCSI_CHECK_CONDITION      0x02u
#define BP_SCSI_CONDITION_MET        0x04u
#define BP_SCSI_BUSY                 0x08u
#define BP_SCSI_RESERVATION_CONFLICT 0x18u
#define BP_SCSI_TASK_SET_FULL        0x28u
#define BP_SCSI_TASK_ABORTED         0x40u

/* One command. Frozen: 128 bytes. */
struct bp_scsi_request {
    uint64_t user;            /* given back in the completion; unique among those of the initiator */
    uint8_t cdb[32];          /* zeroes past cdb_length */
    uint32_t cdb_length;      /* 1..BP_SCSI_MAX_CDB: bytes the initiator gave */
    uint32_t attribute;       /* BP_SCSI_SIMPLE ... */
    struct bp_iovec *out_iov; /* data to the unit. Array and buffers are the target's until */
    struct bp_iovec *in_iov;  /* completion: it may change the array. Data from the unit, likewise */
    uint32_t out_count;
    uint32_t in_count;
    uint64_t out_length;      /* bytes; the sum of out_iov's lengths */
    uint64_t in_length;
    void *sense;              /* sense_size bytes, valid until completion; or NULL */
    uint32_t sense_size;
    uint32_t flags;           /* 0 */
    uint32_t priority;        /* 0: none, 1 highest .. 15 */
    uint32_t reserved;
    uint64_t reserved2[2];
};

/* Completion. Frozen: 48 bytes. */
struct bp_scsi_completion {
    uint64_t user;
    int32_t result; /* 0: status counts. -EOVERFLOW: the CDB wants more data than the buffers have;
                     * nothing was done. -ECANCELED: ended by task management, by a reset or by
                     * queue_close. -EINVAL: a request that is wrong. -ENODEV: the unit is gone. -EIO:
                     * the way to it. */
    uint32_t status;       /* BP_SCSI_GOOD ... */
    uint32_t sense_length; /* bytes written to sense */
    uint32_t flags;        /* 0 */
    uint64_t in_residual;  /* bytes of the buffers that were not used */
    uint64_t out_residual;
    uint64_t reserved;
};

/* Task management functions (SAM-5 7). */
#define BP_SCSI_ABORT_TASK     1u /* request: its user */
#define BP_SCSI_ABORT_TASK_SET 2u /* all of the queue's initiator */
#define BP_SCSI_CLEAR_TASK_SET 3u /* all of all initiators */
#define BP_SCSI_UNIT_RESET     4u
#define BP_SCSI_NEXUS_RESET    5u /* all of the initiator, and what it has set up */
#define BP_SCSI_QUERY_TASK     6u
#define BP_SCSI_QUERY_TASK_SET 7u

/* One function. Frozen: 32 bytes. */
struct bp_scsi_management {
    uint64_t user;     /* given back by managed(); unique among those in flight */
    uint32_t function; /* BP_SCSI_ABORT_TASK ... */
    uint32_t flags;    /* 0 */
    uint64_t request;  /* ABORT_TASK, QUERY_TASK: user of the command */
    uint64_t reserved;
};

#define BP_SCSI_EVENT_ATTENTION 1u /* detail: ASC << 8 | ASCQ of a new unit attention */
#define BP_SCSI_EVENT_GONE      2u /* the unit will not come back: unplug it */

/* What the adapter offers. */
struct bp_scsi_client {
    uint32_t size;
    uint32_t flags; /* 0 */
    /* Commands ended. Never called inside submit(). completions: count records, borrowed.
     * [loop] the queue's loop. */
    void (*complete)(void *opaque, const struct bp_scsi_completion *completions, uint32_t count);
    /* A function ended. Commands that it aborted have completed before; from then on nobody touches
     * their memory. result: 1: it succeeded (QUERY: there are such commands), 0: it is complete (QUERY:
     * there are none), -EOPNOTSUPP: the unit does not have it. Never called inside manage().
     * [loop] the queue's loop. */
    void (*managed)(void *opaque, uint64_t user, int32_t result);
    /* Optional. event: BP_SCSI_EVENT_...
     * [loop] the queue's loop. */
    void (*event)(void *opaque, uint32_t event, uint32_t detail);
};

struct bp_scsi_queue_args {
    uint32_t size;
    uint32_t flags; /* 0 */
    uint32_t depth; /* most commands in flight: 1..BP_SCSI_MAX_DEPTH */
    uint32_t loop;  /* loop for completions */
    const struct bp_scsi_client *client; /* copied */
    void *opaque;   /* first argument of the client's functions */
    uint64_t initiator; /* queues with the same number are one initiator: unit attentions and
                         * reservations are its */
    const uint8_t *transport_id; /* SPC-4 7.6.4, of the initiator port; borrowed, or NULL */
    uint32_t transport_id_length; /* bytes, at most 64 */
    uint32_t reserved;
};

#define BP_SCSI_TYPE_DISK  0x00u
#define BP_SCSI_TYPE_CDROM 0x05u

/* Out struct. */
struct bp_scsi_info {
    uint32_t size;
    uint32_t flags;        /* 0 */
    uint32_t type;         /* peripheral device type */
    uint32_t max_iov;      /* pieces of one direction, at least 128 */
    uint64_t max_transfer; /* bytes of one command, 0: no limit */
    uint32_t optimal_io_size; /* bytes, 0: no preference */
    uint32_t reserved;
};

/* A target's table. */
struct bp_scsi_ops {
    uint32_t size;
    uint32_t flags;

    /* Tells what the unit is like.
     * info: the caller sets size.
     * [any] 0. */
    int32_t (*info)(void *self, struct bp_scsi_info *info);
    /* Makes a queue. Several may exist, of one initiator or of several.
     * *queue: untouched on failure; closed by queue_close.
     * [control] -EINVAL: depth, client, transport_id_length. -ENOENT: loop. -ENOMEM. -EMFILE. */
    int32_t (*queue_open)(void *self, const struct bp_scsi_queue_args *args,
                          void **queue) BP_MUST_CHECK;
    /* Ends a queue. Nothing is in flight (see drain).
     * [control] */
    void (*queue_close)(void *self, void *queue);
    /* Hands over commands; the records may be reused when it returns. Calls for one queue never
     * overlap: whoever opened it sees to that.
     * count: 1 or more.
     * Returns how many were taken, from the first on; fewer only when depth is reached.
     * [any] */
    int32_t (*submit)(void *self, void *queue, const struct bp_scsi_request *requests,
                      uint32_t count) BP_MUST_CHECK;
    /* Starts a task management function; managed() tells its end.
     * management: borrowed for the call.
     * [any] -EBUSY: too many at a time (8 of a queue are not). -EINVAL: function. */
    int32_t (*manage)(void *self, void *queue,
                      const struct bp_scsi_management *management) BP_MUST_CHECK;
    /* Returns when nothing of the queue is in flight and everything was delivered. Commands that an
     * error policy holds end with -ECANCELED. The caller holds no lock that complete() takes, and
     * submits nothing meanwhile.
     * [control] */
    void (*drain)(void *self, void *queue);
};

#ifdef __cplusplus
}
#endif

#endif
