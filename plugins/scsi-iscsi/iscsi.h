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

#include <backplane/sdk/scsi_front.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <pthread.h>

#define ISCSI_NAME_BYTES      224u /* RFC 7143 4.2.7 */
#define ISCSI_SECRET_BYTES    256u
#define ISCSI_MOST_ATTENTIONS 10u
#define ISCSI_MAX_BYTES       (4u << 20)
#define ISCSI_RETRIES         3u

/* Of the session. */
#define SESSION_CLOSED     0u
#define SESSION_CONNECTING 1u
#define SESSION_READY      2u
#define SESSION_WAITING    3u /* the timer starts the next attempt */

struct unit;

/* A command. */
struct slot {
    struct bp_scsi_slot slot; /* first member: the front casts */
    struct job *job;          /* ACTIVE */
    uint32_t tries;
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

struct unit {
    struct bp_services services;
    /* options */
    char initiator[ISCSI_NAME_BYTES];
    char target[ISCSI_NAME_BYTES];
    char portal[256];
    char user[ISCSI_SECRET_BYTES], secret[ISCSI_SECRET_BYTES];
    char target_user[ISCSI_SECRET_BYTES], target_secret[ISCSI_SECRET_BYTES];
    uint32_t lun;
    uint32_t isid;              /* 24 bits, the same after a restart */
    uint32_t timeout;           /* s */
    uint32_t patience;          /* s that commands wait for a lost connection */
    uint32_t digest;            /* enum iscsi_header_digest */
    uint32_t type;              /* peripheral device type */
    struct bp_scsi_front front; /* its lock protects: all below, and libiscsi */
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

extern const struct bp_scsi_front_ops iscsi_front_ops;

/* With the lock: ends those that wait for the session. */
void commands_fail_pending(struct unit *unit);

/* --- manage.c ----------------------------------------------------------------------------------
 */

/* bp_scsi_ops.manage */
int32_t iscsi_manage(void *self, void *queue, const struct bp_scsi_management *management);

/* --- queue.c -----------------------------------------------------------------------------------
 */

extern const struct bp_scsi_ops iscsi_ops;

static inline struct unit *
unit_of_front(struct bp_scsi_front *front)
{
    return (struct unit *)(void *)((uint8_t *)front - offsetof(struct unit, front));
}

static inline struct slot *
iscsi_slot(struct bp_scsi_slot *slot)
{
    return (struct slot *)(void *)slot;
}
