/* SPDX-License-Identifier: Apache-2.0 */
/* A CD/DVD drive on an ATA channel: ATA registers around packets, which the SCSI engine (sdk/scsi)
 * carries out.
 *
 * A packet goes NONE -> CDB (12 bytes from the host) -> DATA -> (DRAIN ->) NONE. In DATA the engine
 * asks for windows: by PIO they lie in the arena buffer, from which the host takes bursts of at
 * most its byte count limit, however windows and bursts overlap; by DMA they lie in guest memory,
 * or in the buffer when the data are parameters or the descriptors too small. References:
 * ATA/ATAPI-7 V1 and V2 (PACKET), SFF-8020i 2.6. */
#pragma once

#include "ata_disk.h"

#include <backplane/sdk/scsi.h>

#define ATAPI_CDB_BYTES    12u
#define ATAPI_BUFFER_BYTES 131072u /* more than a burst and a block */

/* Interrupt Reason: the Sector Count register of a PACKET command. */
#define ATAPI_REASON_CD 0x01u /* command or status, not data */
#define ATAPI_REASON_IO 0x02u /* to the host */

/* Features of PACKET. */
#define ATAPI_FEATURE_DMA     0x01u
#define ATAPI_FEATURE_OVERLAP 0x02u

#define ATAPI_NONE     0u
#define ATAPI_CDB      1u
#define ATAPI_DATA     2u
#define ATAPI_IDENTIFY 3u /* IDENTIFY PACKET DEVICE: 512 bytes in the buffer */
#define ATAPI_DRAIN    4u /* the task is done, the host has not taken all from the buffer */

struct atapi_packet {
    uint8_t phase; /* ATAPI_... */
    uint8_t dma;
    uint8_t window;   /* the engine works on one */
    uint8_t in_place; /* it lies in guest memory */
    uint16_t limit;   /* byte count limit */
    uint32_t bytes;   /* of the window */
    uint32_t start;   /* PIO in: buffer[start, end) waits for the host */
    uint32_t end;     /* PIO out: buffer[0, end) came from the host */
};

struct atapi {
    struct ide_device device; /* first member: ops functions cast */
    uint32_t index;           /* among the drives; also the arena's id */
    struct ata_options options;
    uint8_t pio_mode;
    uint8_t dma_mode;
    uint8_t power;      /* ATA_POWER_... */
    uint8_t revert;     /* SET FEATURES CCh */
    uint8_t dropped;    /* a task that was given up has a request in flight */
    uint8_t reset_due;  /* ready again when it ends */
    uint8_t restored;   /* the engine waits for a window again */
    uint8_t tray_known; /* where operators know the tray to be: 1 open */
    uint8_t cdb[ATAPI_CDB_BYTES];
    struct atapi_packet packet;
    struct ide_sg sg;
    struct bp_iovec window; /* in the buffer */
    uint8_t *buffer;        /* arena */
    uint8_t *page;          /* of the task */
    struct bp_scsi_unit unit;
    struct bp_scsi_nexus nexus;
    struct bp_scsi_task task;
};

/* --- atapi.c --------------------------------------------------------------------------------- */

/* Makes a drive. *device: set even on failure, to be destroyed. [control] -ENOMEM, errors of
 * arena_alloc. */
int32_t atapi_new(struct ide *ide, const struct ata_options *options, uint32_t index,
                  struct ide_device **device) BP_MUST_CHECK;
/* The tray may have moved: tells operators. */
void atapi_tell_tray(struct atapi *cd);

/* --- atapi_packet.c -------------------------------------------------------------------------- */

extern const struct bp_scsi_port atapi_port;

/* PACKET was written. */
void atapi_packet_start(struct atapi *cd);
/* The host moved a block; the bus master runs. */
void atapi_packet_block_done(struct atapi *cd);
void atapi_packet_dma(struct atapi *cd);
/* Gives up the packet; cd->dropped says whether a request is still in flight. */
void atapi_packet_abandon(struct atapi *cd);
/* A packet that was restored goes on. */
void atapi_packet_resume(struct atapi *cd);

/* --- the rest -------------------------------------------------------------------------------- */

/* The 512 bytes of IDENTIFY PACKET DEVICE. atapi_identify.c */
void atapi_identify(const struct atapi *cd, uint8_t *page);
/* atapi_state.c */
int32_t atapi_save(const struct ide_device *device, const struct bp_state_sink *sink);
int32_t atapi_load(struct ide_device *device, const void *data, uint64_t length, uint32_t apply);
