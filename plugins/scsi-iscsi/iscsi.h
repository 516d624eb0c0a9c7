/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-iscsi: a logical unit of an iSCSI target (RFC 7143), by libiscsi. CDBs go there as they are,
 * and status, sense and data come back.
 *
 * One session for each instance, served on its home loop. libiscsi is not made for threads: the
 * lock is around all of it. Data is copied: so a command that task management has ended can be
 * forgotten at once, whatever the network still does with it.
 *
 * plugin.c: options and life; session.c: the connection; queue.c: queues and delivery; command.c:
 * commands; manage.c: task management. */
#pragma once

#include <backplane/scsi.h>
#include <backplane/sdk/sdk.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <pthread.h>

#define ISCSI_NAME_BYTES      224u /* RFC 7143 4.2.7 */
#define ISCSI_SECRET_BYTES    256u
#define ISCSI_MOST_ATTENTIONS 10u
#define ISCSI_FUNCTIONS       8u  /* of a queue at a time */
#define ISCSI_BATCH           32u /* completions in one call */
#define ISCSI_MAX_BYTES       (4u << 20)
#define ISCSI_RETRIES         3u

/* Of the session. */
#define SESSION_CLOSED     0u
#define SESSION_CONNECTING 1u
#define SESSION_READY      2u
#define SESSION_WAITING    3u /* the timer starts the next attempt */

struct unit;
struct unit_queue;

/* Of a slot. */
#define SLOT_FREE    0u
#define SLOT_PENDING 1u /* waits for the session, or for others by its attribute */
#define SLOT_ACTIVE  2u
#define SLOT_ENDED   3u

/* A command. */
struct slot {
    struct slot *next; /* pending, ended, or free ones */
    struct unit_queue *queue;
    struct bp_scsi_request request;
    struct job *job; /* ACTIVE */
    uint32_t state;
    uint32_t tries;
    int32_t result;
    uint32_t status;
    uint32_t sense_length;
    uint8_t sense[252];
    uint64_t moved; /* bytes */
};

/* What libiscsi has of a command. It may outlive the command. */
struct job {
    struct unit *unit;
    struct slot *slot; /* NULL: nobody waits for it any more */
    struct scsi_task *task;
    uint8_t *data; /* out */
};

/* Task management on its way. */
struct function {
    struct unit_queue *queue;
    uint64_t user;
    uint64_t request;
    uint32_t kind; /* BP_SCSI_ABORT_TASK ...; 0: free */
    uint32_t ended;
    uint32_t serial; /* tells an answer for one of before */
    int32_t result;
};

struct unit_queue {
    struct unit_queue *next;
    struct unit *unit;
    struct bp_scsi_client client;
    void *opaque;
    uint64_t initiator;
    uint32_t loop;
    uint32_t slot_count;
    uint32_t taken; /* slots that are not free */
    uint32_t scheduled;
    uint32_t coming; /* deferred calls */
    uint32_t closed;
    struct slot *slots;
    struct slot *free;
    struct slot *ended_first, *ended_last;
    struct function functions[ISCSI_FUNCTIONS];
};

struct unit {
    struct bp_services services;
    /* options */
    char initiator[ISCSI_NAME_BYTES];
    char target[ISCSI_NAME_BYTES];
    char portal[256];
    char user[ISCSI_SECRET_BYTES], secret[ISCSI_SECRET_BYTES];
    char target_user[ISCSI_SECRET_BYTES], target_secret[ISCSI_SECRET_BYTES];
    uint32_t lun;
    uint32_t isid;        /* 24 bits, the same after a restart */
    uint32_t timeout;     /* s */
    uint32_t patience;    /* s that commands wait for a lost connection */
    uint32_t digest;      /* enum iscsi_header_digest */
    uint32_t type;        /* peripheral device type */
    pthread_mutex_t lock; /* protects: all below, and libiscsi */
    pthread_cond_t idle;  /* something was delivered */
    struct iscsi_context *context;
    uint32_t state;  /* SESSION_... */
    uint32_t broken; /* the session has to be given up */
    uint32_t losing; /* its context is being destroyed */
    int32_t fd;      /* a copy of libiscsi's, or -1 */
    uint32_t watched;
    uint64_t lost_ns;
    uint32_t ticks;
    uint32_t nexus_lost; /* the initiator shall hear it */
    uint32_t attentions; /* of the target, since the last login */
    uint32_t active;
    uint32_t ordered;
    uint32_t serial; /* of functions */
    struct slot *pending_first, *pending_last;
    struct unit_queue *queues;
};

/* --- session.c ---------------------------------------------------------------------------------
 */

/* The first connection, and what the unit is. [control] explained. */
int32_t session_open(struct unit *unit) BP_MUST_CHECK;
void session_close(struct unit *unit);
/* With the lock: libiscsi may want other events. */
void session_update(struct unit *unit);
/* With the lock, on the home loop: gives up a session that is broken. */
void session_check(struct unit *unit);
/* With the lock, for a drain on this loop: waits some milliseconds for the target. */
void session_poll(struct unit *unit);

/* --- command.c ---------------------------------------------------------------------------------
 */

/* bp_scsi_ops.submit */
int32_t iscsi_submit(void *self, void *queue, const struct bp_scsi_request *requests,
                     uint32_t count);
/* All with the lock. Ends a command that is not delivered yet. */
void command_end(struct slot *slot, int32_t result);
/* Takes a pending one off the list. */
void command_unlink(struct slot *slot);
/* Sends what may go. */
void commands_send(struct unit *unit);
/* The connection has been away for too long. */
void commands_fail_pending(struct unit *unit);

/* --- queue.c, manage.c -------------------------------------------------------------------------
 */

extern const struct bp_scsi_ops iscsi_ops;

/* With the lock: sees to it that the queue's loop comes and delivers. */
void queue_kick(struct unit_queue *queue);
/* bp_scsi_ops.manage */
int32_t iscsi_manage(void *self, void *queue, const struct bp_scsi_management *management);
