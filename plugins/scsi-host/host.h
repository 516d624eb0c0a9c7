/* SPDX-License-Identifier: Apache-2.0 */
/* scsi-host: a SCSI device of the host, by SG_IO on its generic node (/dev/sg*) or its block
 * device. CDBs go to it as they are, and status, sense data, residual and data come back. READ and
 * WRITE of a block device go the block path: into the guest's memory without a copy, and merged
 * with what else the host does.
 *
 * Both ways block, so threads of the instance carry commands out; nothing can take a command back
 * from the host, therefore task management waits for those that a thread has (SG_SCSI_RESET makes
 * them end). One thread is kept for resets.
 *
 * plugin.c: options and life; command.c: commands and threads; block.c: which may go the block
 * path; system.c: the system calls, which the unit test has its own of. */
#pragma once

#include <backplane/sdk/scsi_front.h>

#define HOST_THREADS   16u /* at most, and one more for resets */
#define HOST_SENSE     252u
#define HOST_MAX_BYTES (1u << 20)

/* --- system.c ----------------------------------------------------------------------------------
 */

struct host_device {
    int32_t fd;
    uint32_t is_block;   /* a block device: it has the block path */
    uint32_t block_size; /* of it, bytes */
    uint64_t blocks;
    uint32_t max_bytes; /* of one command */
};

/* One command by SG_IO. */
struct host_io {
    const uint8_t *cdb;
    uint32_t cdb_length;
    uint32_t direction; /* HOST_NONE ... */
    const struct bp_iovec *iov;
    uint32_t iov_count;
    uint32_t timeout_ms;
    uint64_t length;
    uint8_t *sense; /* HOST_SENSE bytes */
    /* results */
    uint32_t sense_length;
    uint32_t status;    /* SAM-5 5.3.1 */
    uint32_t transport; /* host_status: how it came there; 0: well */
    uint64_t residual;
};

#define HOST_NONE 0u
#define HOST_IN   1u
#define HOST_OUT  2u

/* host_io.transport, of many (the host's include/scsi/scsi_status.h). */
#define HOST_NO_CONNECT 1u
#define HOST_BUS_BUSY   2u
#define HOST_REQUEUE    0x0du

/* Looks what is behind device->fd. -ENOTTY: no SCSI device. */
int32_t host_look(struct host_device *device) BP_MUST_CHECK;
/* 0: it was carried out, or its way there failed: see transport. Negative errno: it was refused. */
int32_t host_sg_io(const struct host_device *device, struct host_io *io) BP_MUST_CHECK;
struct host_range {
    uint64_t offset; /* bytes */
    uint64_t length;
    uint32_t out;
    uint32_t stable; /* FUA: they are when it has ended */
};

/* Blocks by the block path, all of them or an error. */
int32_t host_transfer(const struct host_device *device, const struct host_range *range,
                      const struct bp_iovec *iov, uint32_t count) BP_MUST_CHECK;
/* Resets the logical unit; what is in flight ends soon. */
int32_t host_reset(const struct host_device *device);

/* --- block.c -----------------------------------------------------------------------------------
 */

/* Whether a command is a plain READ or WRITE within the device whose buffers have the right size.
 */
uint32_t host_block_range(const struct host_device *device, const struct bp_scsi_request *request,
                          struct host_range *range);

/* --- command.c ---------------------------------------------------------------------------------
 */

struct host_slot {
    struct bp_scsi_slot slot; /* first member: the front casts */
    struct host_slot *next;   /* of those that wait for a thread */
    uint32_t at_work;         /* a thread has it */
    uint32_t cancelled;       /* task management waits for that */
    uint32_t status;
    uint32_t sense_length;
    uint64_t moved;
    uint8_t sense[HOST_SENSE];
};

struct host_unit {
    struct bp_services services;
    struct host_device device;
    uint32_t type; /* peripheral device type */
    uint32_t timeout_ms;
    uint32_t privileged;
    uint32_t threads;
    struct bp_scsi_front front; /* its lock protects: all below */
    pthread_cond_t work;
    struct host_slot *queued_first; /* started, oldest first */
    struct host_slot *queued_last;
    struct bp_scsi_function *resets[BP_SCSI_FUNCTIONS * 8u]; /* that the device has to be given */
    uint32_t reset_count;
    uint32_t stop;
    uint32_t gone; /* the host has lost the device */
};

extern const struct bp_scsi_front_ops host_front_ops;
extern const struct bp_scsi_ops host_ops;

/* Threads for commands, and the one for resets; stopped by the core. [control] explained. */
int32_t host_threads_start(struct host_unit *unit) BP_MUST_CHECK;
/* Those that were started, for a creation that fails. [control] */
void host_threads_stop(struct host_unit *unit);
