/* SPDX-License-Identifier: Apache-2.0 */
/* A unit over an image in memory whose requests are carried out when the test says so. */
#pragma once

#include <backplane/sdk/scsi.h>

#define RIG_SLOTS 64u
#define RIG_NEXUS 4u

struct rig {
    struct bp_scsi_unit unit;
    struct bp_scsi_nexus nexus[RIG_NEXUS];
    struct bp_block_info info;
    uint8_t *image;
    uint8_t *arena;
    const struct bp_block_client *client;
    void *client_opaque;
    uint32_t no_medium;
    struct bp_block_request requests[RIG_SLOTS]; /* in flight, oldest first */
    uint32_t in_flight;
    uint32_t submitted[6];       /* requests so far by BP_BLOCK_... */
    uint32_t fua;                /* of them with BP_BLOCK_FUA */
    uint64_t largest;            /* bytes in a request */
    uint32_t fail_op;            /* the next request of this kind fails ... */
    uint64_t fail_from, fail_to; /* ... if it touches these bytes; both 0: any */
    int32_t fail_status;
    uint32_t fail_count;
    uint32_t policy; /* BP_SCSI_REPORT ... */
    uint32_t woken;
    struct bp_scsi_task *last_woken;
    uint32_t tray_calls;
    uint32_t settled;
    uint16_t last_attention;
    uint8_t page[BP_SCSI_PAGE_BYTES];
    uint8_t *data; /* of the last command */
    uint64_t data_bytes;
    struct bp_scsi_task task;
};

/* Image of `blocks` blocks whose bytes tell where they are. flags: BP_SCSI_...; one nexus per
 * `nexuses`, kept: BP_SCSI_KEEP_SENSE. Nothing is pending. */
struct rig *rig_new(uint32_t type, uint32_t flags, uint64_t blocks, uint32_t kept);
/* The same with room for so many bytes of data. */
struct rig *rig_new_sized(uint32_t type, uint32_t flags, uint64_t blocks, uint32_t kept,
                          uint64_t data_bytes);
void rig_free(struct rig *rig);
/* Carries out what is in flight, until nothing is left. */
void rig_run(struct rig *rig);
/* A whole command of nexus n: data in goes to rig->data, data out comes from it, in windows of
 * `window` bytes (0: as large as they can be). Returns the status. */
uint32_t rig_command(struct rig *rig, uint32_t n, const uint8_t *cdb, uint32_t length,
                     uint64_t window);
/* Whether the last command ended with CHECK CONDITION and this key, code. */
void rig_expect(struct rig *rig, uint32_t key, uint32_t code);
/* Medium out and in, or another one, as the backend would tell it. */
void rig_medium(struct rig *rig, uint32_t present);

#define CDB(...)                                                                                   \
    (const uint8_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define RUN(rig, ...) rig_command((rig), 0, CDB(__VA_ARGS__), (uint32_t)sizeof(CDB(__VA_ARGS__)), 0)
