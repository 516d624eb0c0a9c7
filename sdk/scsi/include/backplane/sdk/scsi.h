/* SPDX-License-Identifier: Apache-2.0 */
/* The SCSI engine: logical units (CD/DVD drives by MMC-6, disks by SBC-3, both by SPC-4) over a
 * bp.block/1 backend, for every transport: ATAPI, virtio-scsi targets. Compiled into plugins; not
 * ABI.
 *
 * A *unit* is the logical unit. A *nexus* is one initiator's relation to it: its unit attentions,
 * its kept sense data, its PREVENT. A *task* is one command. All three live in the transport's
 * memory; the engine allocates nothing after bp_scsi_unit_init().
 *
 * One command:
 *
 *   bp_scsi_task_init(&task, &nexus, cdb, 12);       owner, page, tag: the transport's to set
 *   state = bp_scsi_start(&task);
 *   BP_SCSI_IN    task.length bytes go to the initiator: give a window for the next of them with
 *                 bp_scsi_move(); IN again while there is more, DONE after the last one
 *   BP_SCSI_OUT   task.length bytes come from the initiator: likewise, windows that are filled
 *   BP_SCSI_WAIT  port.wake() will be called when the state is one of the others
 *   BP_SCSI_DONE  task.status and task.sense are valid; the task is the transport's again
 *
 * A window is a list of pieces of guest RAM or arena (rule D1 of block.h) of any size up to
 * task.length - task.moved; but its length is a multiple of task.grain unless it is the last one.
 * The engine reads or fills it in place, whatever the pieces' sizes; it uses (and changes!) the
 * array of pieces until the state is no longer WAIT. PIO: windows over a buffer of the transport's,
 * one after the other. DMA and virtio: mostly one window for all of it.
 *
 * task.wanted is what the CDB asked for (allocation length, parameter list length, blocks x
 * length); task.length is what will really move: the shorter of it and what there is. A transport
 * that has less room than task.wanted (virtio: OVERRUN) decides itself whether to go on; it ends
 * the task with bp_scsi_abort(). Residual: the transport's room - task.moved.
 *
 * ATAPI, what differs. The nexus has BP_SCSI_KEEP_SENSE: the sense data of a CHECK CONDITION stays
 * with the nexus until REQUEST SENSE fetches it or another command begins, and a unit attention is
 * reported to every command that does not let it pass until REQUEST SENSE has fetched it (SFF-8020i
 * 10.8.20). The sense key for the Error register is nexus->kept.key. The unit has BP_SCSI_LENIENT:
 * reserved bits of CDBs are not looked at, as ATAPI drives do; a packet of 12 bytes may hold a CDB
 * of 6 or 10. There is no REPORT LUNS inventory to set: the unit answers with LUN 0 alone.
 * A byte count limit of 0 with a state of IN or OUT and task.length != 0: bp_scsi_abort(), then
 * abort the ATA command. DEVICE RESET: bp_scsi_abort() of the task, then bp_scsi_nexus_reset() and
 * no unit attention; SRST likewise leaves the unit alone (ATA/ATAPI-7 V2, 9.11); power-on and bus
 * reset: bp_scsi_unit_reset().
 *
 * Power-on in ATAPI: bp_scsi_unit_reset(unit, 0x2901) queues the unit attention that real drives
 * have and that drivers clear by TEST UNIT READY and REQUEST SENSE; code 0 queues none.
 *
 * Threads: calls for one unit, its nexuses and tasks must not overlap. In a SERIAL class that is so
 * by itself (the backend's completions come under the instance's lock); others hold a lock of
 * theirs around these calls, and give port.enter and leave. Tags: [any] any thread that holds that
 * lock; [control] the control thread, likewise; [loop] of the port: the queue's loop, with the lock
 * held. No function calls the port back, except where it says so. */
#ifndef BACKPLANE_SDK_SCSI_H
#define BACKPLANE_SDK_SCSI_H

#include <backplane/sdk/services.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_scsi_unit;
struct bp_scsi_nexus;
struct bp_scsi_task;
struct bp_scsi_command;

/* --- status, sense ---------------------------------------------------------------------------- */

#define BP_SCSI_NO_SENSE        0x0u
#define BP_SCSI_RECOVERED_ERROR 0x1u
#define BP_SCSI_NOT_READY       0x2u
#define BP_SCSI_MEDIUM_ERROR    0x3u
#define BP_SCSI_HARDWARE_ERROR  0x4u
#define BP_SCSI_ILLEGAL_REQUEST 0x5u
#define BP_SCSI_UNIT_ATTENTION  0x6u
#define BP_SCSI_DATA_PROTECT    0x7u
#define BP_SCSI_ABORTED_COMMAND 0xbu
#define BP_SCSI_MISCOMPARE      0xeu

/* Additional sense code and qualifier as one number: 0x2800 is 28h/00h. */
#define BP_SCSI_ASC(code)  ((uint8_t)((code) >> 8))
#define BP_SCSI_ASCQ(code) ((uint8_t)((code)&0xff))

#define BP_SCSI_SENSE_INFO  (1u << 0) /* information is valid */
#define BP_SCSI_SENSE_FIELD (1u << 1) /* field and bit point into CDB or parameter list */
#define BP_SCSI_SENSE_CDB   (1u << 2) /* into the CDB */
#define BP_SCSI_SENSE_BIT   (1u << 3) /* bit is valid */
#define BP_SCSI_SENSE_ILI   (1u << 4)

struct bp_scsi_sense {
    uint8_t key;
    uint8_t flags; /* BP_SCSI_SENSE_... */
    uint16_t code; /* ASC << 8 | ASCQ */
    uint16_t field;
    uint8_t bit;
    uint64_t information;
};

#define BP_SCSI_SENSE_BYTES 96u

/* Writes sense data, fixed format (18 bytes) or descriptor format; truncated to size.
 * Returns its whole length. */
uint32_t bp_scsi_sense_encode(const struct bp_scsi_sense *sense, uint32_t descriptor, uint8_t *data,
                              uint32_t size);

/* --- tasks -------------------------------------------------------------------------------------
 */

#define BP_SCSI_IDLE 0u /* not started */
#define BP_SCSI_IN   1u
#define BP_SCSI_OUT  2u
#define BP_SCSI_WAIT 3u
#define BP_SCSI_DONE 4u

#define BP_SCSI_CDB_BYTES  32u
#define BP_SCSI_PAGE_BYTES 4096u

struct bp_scsi_task {
    /* set by bp_scsi_task_init(), and by the transport after it */
    struct bp_scsi_nexus *nexus;
    void *owner;
    void *queue;   /* of bp_scsi_unit_queue_open(), or NULL: the unit's first */
    uint8_t *page; /* BP_SCSI_PAGE_BYTES for parameter data, from start to end of the task. Tasks of
                    * one unit may share one if each gets all its windows right after start() */
    uint64_t tag;
    uint8_t cdb[BP_SCSI_CDB_BYTES]; /* zeroes past its length */
    uint32_t cdb_length;
    /* for the transport to read */
    uint32_t state; /* BP_SCSI_IN ... */
    uint32_t status;
    uint32_t direction;         /* BP_SCSI_IN, BP_SCSI_OUT, or 0: no data; valid from start() on */
    uint32_t grain;             /* bytes */
    uint64_t wanted;            /* bytes */
    uint64_t length;            /* bytes */
    uint64_t moved;             /* bytes of the windows that are done */
    struct bp_scsi_sense fault; /* what the sense data says */
    uint32_t sense_length;      /* 0 unless CHECK CONDITION */
    uint8_t sense[BP_SCSI_SENSE_BYTES];
    /* the engine's */
    const struct bp_scsi_command *command;
    struct bp_scsi_task *next; /* of those that wait for the bounce buffer, or are held */
    struct bp_iovec *iov;      /* rest of the window */
    uint32_t iov_count;
    uint32_t kind;        /* how data moves: see task.c */
    uint32_t flags;       /* FUA ... */
    uint32_t in_flight;   /* a request of it is */
    uint32_t waiting;     /* for the bounce buffer, or held */
    uint32_t phase;       /* of commands with several */
    uint64_t window;      /* bytes of the window */
    uint64_t window_done; /* bytes of it */
    uint64_t lba;         /* first block of the command */
    uint64_t blocks;      /* of the command */
    uint64_t done_blocks; /* commands without a window */
    uint32_t restored;    /* its request has to be made anew */
    uint32_t request_op;  /* BP_BLOCK_... in flight or held */
    uint32_t request_flags;
    uint32_t request_iovs; /* pieces of it */
    struct bp_iovec *request_iov;
    uint64_t request_offset;
    uint64_t request_length;
    uint64_t cut; /* length of the request's last piece before it was cut; 0: was not */
    uint32_t aborted;
    uint32_t bounced; /* the request's data is in the bounce buffer */
    uint32_t narrow;  /* block by block: to find the bad one */
    struct bp_iovec own_iov;
    uint32_t detail[4]; /* the command's own */
};

/* --- the transport's side ----------------------------------------------------------------------
 */

#define BP_SCSI_REPORT 0u /* the initiator gets CHECK CONDITION */
#define BP_SCSI_IGNORE 1u /* goes on as if it had been done */
#define BP_SCSI_HOLD   2u /* waits for bp_scsi_unit_retry() */

struct bp_scsi_port {
    /* Around what the backend's completions and events do. Optional: in a SERIAL class. [loop] */
    void (*enter)(void *opaque);
    void (*leave)(void *opaque);
    /* The task is not BP_SCSI_WAIT any more. Called from the backend's completions and from
     * bp_scsi_unit_retry(); and inside bp_scsi_start(), move() and abort() for other tasks than
     * theirs, which waited for it. [loop] */
    void (*wake)(void *opaque, struct bp_scsi_task *task);
    /* A request failed: what to do? Returns BP_SCSI_REPORT, _IGNORE or _HOLD. Optional: report.
     * op: BP_BLOCK_READ ...; flags: BP_BLOCK_RECOVERABLE. [loop] */
    uint32_t (*failed)(void *opaque, struct bp_scsi_task *task, uint32_t op, int32_t status,
                       uint32_t flags);
    /* The last request in flight has ended. Optional. [loop] */
    void (*settled)(void *opaque);
    /* The guest opened, closed, locked or unlocked the tray; the unit's state says what is. Called
     * inside bp_scsi_start() and bp_scsi_move(). Optional. [any] */
    void (*tray)(void *opaque);
    /* A unit attention is new for this nexus (virtio-scsi: event). Optional. [any] */
    void (*attention)(void *opaque, struct bp_scsi_nexus *nexus, uint16_t code);
    /* PERSISTENT RESERVE OUT has its parameter list and is BP_SCSI_WAIT: where the state is shared
     * with others, the target carries it out and ends it. Optional. [any] */
    void (*reserve)(void *opaque, struct bp_scsi_task *task);
    /* The nexus has lost its registration to PREEMPT AND ABORT: its tasks have to end before that
     * does. Called inside bp_scsi_move(). Optional. [any] */
    void (*preempted)(void *opaque, struct bp_scsi_nexus *nexus);
};

/* --- units -------------------------------------------------------------------------------------
 */

#define BP_SCSI_LENIENT   (1u << 0) /* reserved bits of CDBs are ignored */
#define BP_SCSI_REMOVABLE (1u << 1) /* disks; CD drives are anyway */
#define BP_SCSI_ATAPI     (1u << 2) /* INQUIRY and feature 1 (core): ATAPI instead of SCSI */

#define BP_SCSI_ARENA_BYTES 32768u

struct bp_scsi_identity {
    uint32_t type;  /* BP_SCSI_TYPE_... */
    uint32_t flags; /* BP_SCSI_LENIENT ... */
    char vendor[9];
    char product[17];
    char revision[5];
    char serial[37];        /* VPD 80; empty: no such page */
    uint64_t wwn;           /* NAA 5 or 3 in VPD 83; 0: none */
    uint64_t port_wwn;      /* 0: none */
    uint32_t port_index;    /* relative target port, from 1 */
    uint32_t rotation_rate; /* VPD B1: 0 unknown, 1 no rotation, else rpm */
    uint32_t block_size;    /* disks: 512 ... 4096; 0: 512 */
    uint32_t physical_size; /* disks: bytes; 0: the backend's */
    uint32_t read_only;     /* disks: write protected */
    uint32_t no_unmap;      /* disks: no provisioning */
    uint32_t shared;        /* disks: persistent reservations outlive the unit; no RESERVE */
};

/* Everything of the engine's about a unit. Fields are the engine's; those in the first part may be
 * read. Unit and nexus are plain memory: zero them before init. */
#define BP_SCSI_TRAY_OPEN (1u << 0)

#define BP_SCSI_ATTENTIONS 8u

/* Persistent reservations (SPC-4 5.12). */
#define BP_SCSI_REGISTRANTS        32u
#define BP_SCSI_TRANSPORT_ID_BYTES 64u

struct bp_scsi_registrant {
    uint64_t key;
    uint32_t flags;
    uint32_t id_length;
    uint8_t id[BP_SCSI_TRANSPORT_ID_BYTES]; /* of the initiator port */
};

struct bp_scsi_reservations {
    uint64_t sequence; /* counts changes */
    uint64_t cleared;  /* the change that was a CLEAR, last */
    uint64_t released; /* the change that let registrants lose the reservation, last */
    uint32_t generation;
    uint32_t aptpl;
    uint32_t type;   /* 0: there is no reservation */
    uint32_t holder; /* index of a registrant */
    uint32_t count;
    struct bp_scsi_registrant registrants[BP_SCSI_REGISTRANTS];
};

#define BP_SCSI_KEEP_SENSE (1u << 0) /* no autosense: see the head of this file */

struct bp_scsi_nexus {
    struct bp_scsi_unit *unit;
    struct bp_scsi_nexus *next;
    uint32_t flags;           /* BP_SCSI_KEEP_SENSE */
    uint32_t prevented;       /* bit 0: PREVENT, bit 1: persistent prevent */
    uint32_t change;          /* of the medium: 1 absence was told, 2 has to be told */
    uint32_t kept_attention;  /* kept is a unit attention: REQUEST SENSE takes it off the queue */
    uint32_t attention_count; /* queued */
    uint16_t attentions[BP_SCSI_ATTENTIONS]; /* codes, oldest first */
    struct bp_scsi_sense kept;               /* BP_SCSI_KEEP_SENSE */
    uint64_t initiator;                      /* for reservations: the same over all units */
    uint32_t transport_id_length;
    uint8_t transport_id[BP_SCSI_TRANSPORT_ID_BYTES]; /* SPC-4 7.6.4; of the initiator port */
};

struct bp_scsi_unit {
    struct bp_scsi_identity identity;
    const struct bp_services *services;
    /* the medium */
    uint32_t tray_open; /* CD */
    uint32_t present;   /* a medium is in (an open tray may hold one, too) */
    uint32_t block_size;
    uint64_t blocks; /* of the medium, 0 if none */
    /* the engine's */
    const struct bp_scsi_port *port;
    void *opaque;
    struct bp_scsi_nexus *nexuses;
    struct bp_scsi_nexus *reserved_by; /* RESERVE */
    struct bp_scsi_reservations reservations;
    const struct bp_block_ops *ops;
    void *self;
    void *queue;
    uint32_t block_flags; /* BP_BLOCK_READONLY ... */
    uint32_t physical_size;
    uint32_t max_iov;
    uint32_t discard_granularity;
    uint64_t max_transfer;
    uint64_t max_discard;
    uint64_t generation;
    uint32_t optimal_io;
    uint32_t in_flight;
    uint32_t quiesced;
    uint8_t *arena;
    struct bp_scsi_task *bounce_owner;
    struct bp_scsi_task *bounce_first; /* waiting for it, oldest first */
    struct bp_scsi_task *bounce_last;
    struct bp_scsi_task *held_first;
    struct bp_scsi_task *held_last;
    /* CD */
    uint32_t spun_down;
    uint32_t eject_request; /* somebody pressed the button while it was locked, or asks for it */
    uint32_t media_event;   /* GET EVENT STATUS NOTIFICATION, media class, pending */
    uint32_t operational;   /* likewise: operational change */
    uint32_t power_event;
    uint32_t power_state; /* 0 or 1 active, 2 idle, 3 standby, 4 sleep */
    uint32_t read_speed;  /* kB/s as SET CD SPEED left it */
    /* mode parameters: current, saved (disks) */
    uint8_t recovery[10]; /* page 01 */
    uint8_t write_cache;  /* page 08, WCE */
    uint8_t saved_write_cache;
    uint8_t read_cache_off; /* RCD */
    uint8_t saved_read_cache_off;
    uint8_t descriptor_sense; /* page 0A, D_SENSE */
    uint8_t saved_descriptor_sense;
    uint8_t software_protect; /* SWP */
    uint8_t saved_software_protect;
    uint8_t audio[4];  /* page 0E: channel selection and volume */
    uint8_t power[10]; /* page 1A from byte 2 on */
    uint8_t inactivity;
    uint8_t stopped; /* disks: START STOP UNIT */
};

struct bp_scsi_unit_args {
    const struct bp_services *services; /* lives as long as the unit */
    struct bp_scsi_identity identity;
    const struct bp_scsi_port *port; /* lives as long as the unit */
    void *opaque;                    /* the port's */
    void *arena; /* BP_SCSI_ARENA_BYTES from memory.arena_alloc(), aligned to 4096 */
};

/* Makes a unit without a medium, its tray closed. [control] */
void bp_scsi_unit_init(struct bp_scsi_unit *unit, const struct bp_scsi_unit_args *args);
/* Adds an initiator, without a unit attention. flags: BP_SCSI_KEEP_SENSE. [control] */
void bp_scsi_nexus_init(struct bp_scsi_nexus *nexus, struct bp_scsi_unit *unit, uint32_t flags);
/* The initiator is gone: no task of it is left. [control] */
void bp_scsi_nexus_done(struct bp_scsi_nexus *nexus);

/* Puts a backend under the unit: it opens a queue of `depth` requests (as many as tasks) on the
 * loop. The tray stays as it is (media.h); a medium in a closed one is announced to every nexus as
 * a change, except before the first bp_scsi_unit_reset(). The unit handles the backend's events
 * itself. A backend whose info says -ENOMEDIUM is an empty drive. [control] what info and
 * queue_open return; -EINVAL: the capacity is less than a block, or the backend cannot be addressed
 * in the unit's blocks. */
int32_t bp_scsi_unit_attach(struct bp_scsi_unit *unit, const struct bp_block_ops *ops, void *self,
                            uint32_t loop, uint32_t depth) BP_MUST_CHECK;
/* One more queue to the same backend, for tasks whose completions should come on another loop.
 * [control] as attach. */
int32_t bp_scsi_unit_queue_open(struct bp_scsi_unit *unit, uint32_t loop, uint32_t depth,
                                void **queue) BP_MUST_CHECK;
/* Nothing of it is in flight. [control] */
void bp_scsi_unit_queue_close(struct bp_scsi_unit *unit, void *queue);
/* Takes it away; no request is in flight (bp_scsi_unit_drain()). [control] */
void bp_scsi_unit_detach(struct bp_scsi_unit *unit);
/* Returns when nothing is in flight; wakes tasks. [control] */
void bp_scsi_unit_drain(struct bp_scsi_unit *unit);
/* Power-on or bus reset: mode parameters to the saved ones, prevention ends, each nexus's unit
 * attentions are replaced by this one: 0x2901 power on, 0x2902 bus reset, 0x2903 target reset, 0
 * none. Every task was aborted. [any] */
void bp_scsi_unit_reset(struct bp_scsi_unit *unit, uint16_t code);
/* Drops the nexus's kept sense and prevention. */
void bp_scsi_nexus_reset(struct bp_scsi_nexus *nexus);
/* Queues a unit attention for a nexus, or for each but `except`. Calls port.attention. */
void bp_scsi_nexus_attention(struct bp_scsi_nexus *nexus, uint16_t code);
void bp_scsi_unit_attention(struct bp_scsi_unit *unit, const struct bp_scsi_nexus *except,
                            uint16_t code);
/* What the next CHECK CONDITION of the nexus would say; 0 if nothing is pending. */
uint16_t bp_scsi_nexus_pending(const struct bp_scsi_nexus *nexus);

/* The operator. Ask the guest to eject (GESN): */
void bp_scsi_unit_request_eject(struct bp_scsi_unit *unit);
/* Move the tray. Opening a locked one: -EBUSY, unless force. */
int32_t bp_scsi_unit_set_tray(struct bp_scsi_unit *unit, uint32_t open,
                              uint32_t force) BP_MUST_CHECK;
uint32_t bp_scsi_unit_locked(const struct bp_scsi_unit *unit);

/* Holds back new requests (quiesce, machine stopped) or lets them go. Tasks in WAIT stay there. */
void bp_scsi_unit_hold(struct bp_scsi_unit *unit, uint32_t hold);
/* Makes held requests again: after bp_scsi_unit_hold(unit, 0), and when the machine goes on. Calls
 * port.wake. */
void bp_scsi_unit_retry(struct bp_scsi_unit *unit);

/* --- running tasks -----------------------------------------------------------------------------
 */

/* Clears the task and copies the CDB; length: 1 .. BP_SCSI_CDB_BYTES. */
void bp_scsi_task_init(struct bp_scsi_task *task, struct bp_scsi_nexus *nexus, const uint8_t *cdb,
                       uint32_t length);
/* Both return the task's state. */
uint32_t bp_scsi_start(struct bp_scsi_task *task) BP_MUST_CHECK;
uint32_t bp_scsi_move(struct bp_scsi_task *task, struct bp_iovec *iov, uint32_t count,
                      uint64_t length) BP_MUST_CHECK;
/* Ends a task early, with status TASK ABORTED. Returns its state: DONE, or WAIT as long as a
 * request of it is in flight: port.wake() tells when its memory is not touched any more. */
uint32_t bp_scsi_abort(struct bp_scsi_task *task) BP_MUST_CHECK;

/* --- state -------------------------------------------------------------------------------------
 */

/* One record with everything of a unit and its nexuses, in the order they were made. Nothing is in
 * flight. [control] what put returns. */
int32_t bp_scsi_unit_save(const struct bp_scsi_unit *unit, const struct bp_state_sink *sink,
                          uint32_t tag) BP_MUST_CHECK;
/* Checks such a record without changing anything. [control] -EINVAL: malformed. -EPROTO. */
int32_t bp_scsi_unit_check(const struct bp_scsi_unit *unit, const void *data,
                           uint64_t length) BP_MUST_CHECK;
int32_t bp_scsi_unit_restore(struct bp_scsi_unit *unit, const void *data,
                             uint64_t length) BP_MUST_CHECK;
/* A task in progress, with its page, without its window: when it is restored its state is IN or OUT
 * and it wants the window at task.moved again (a transport that was amid one gives the same window
 * once more), or WAIT: bp_scsi_unit_retry() makes it go on. The transport sets nexus, owner and
 * page before the call (bp_scsi_task_init() with the same nexus). */
int32_t bp_scsi_task_save(const struct bp_scsi_task *task, const struct bp_state_sink *sink,
                          uint32_t tag) BP_MUST_CHECK;
int32_t bp_scsi_task_check(const struct bp_scsi_unit *unit, const void *data,
                           uint64_t length) BP_MUST_CHECK;
int32_t bp_scsi_task_restore(struct bp_scsi_task *task, const void *data,
                             uint64_t length) BP_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
