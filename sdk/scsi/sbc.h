/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's commands, over several files. */
#pragma once

#include "engine.h"

#define SBC_UNMAP_DESCRIPTORS 255u
#define SBC_UNMAP_BYTES       (8u + 16u * SBC_UNMAP_DESCRIPTORS)
#define SBC_MAX_SAME          (UINT64_C(1) << 30) /* bytes of a WRITE SAME */

/* Blocks of one COMPARE AND WRITE: two sets of data and what is read fit the bounce buffer. */
static inline uint32_t
sbc_max_compare(const struct bp_scsi_unit *unit)
{
    return BP_SCSI_ARENA_BYTES / 3 / unit->block_size;
}

static inline uint32_t
sbc_provisioned(const struct bp_scsi_unit *unit)
{
    return !unit->identity.no_unmap && (unit->block_flags & BP_BLOCK_CAN_DISCARD) != 0;
}

/* Whether blocks that were unmapped read as zeroes. */
static inline uint32_t
sbc_zeroed(const struct bp_scsi_unit *unit)
{
    return (unit->block_flags & BP_BLOCK_CAN_ZERO_DISCARD) != 0;
}

/* LBA and count of the CDB, by the operation code's group. */
uint64_t sbc_lba(const struct bp_scsi_task *task);
uint64_t sbc_count(const struct bp_scsi_task *task);
/* Ends the task if the blocks are not all there. Returns 1 if it did. */
uint32_t sbc_out_of_range(struct bp_scsi_task *task, uint64_t lba, uint64_t blocks) BP_MUST_CHECK;
/* FUA as the CDB and the cache's setting want it. */
void sbc_set_fua(struct bp_scsi_task *task, uint32_t fua);

/* sbc_check.c */
void sbc_verify(struct bp_scsi_task *task);
void sbc_verify_advance(struct bp_scsi_task *task);
void sbc_write_verify(struct bp_scsi_task *task);
void sbc_write_verify_advance(struct bp_scsi_task *task);
void sbc_compare_write(struct bp_scsi_task *task);
void sbc_compare_write_advance(struct bp_scsi_task *task);
void sbc_orwrite(struct bp_scsi_task *task);
void sbc_orwrite_advance(struct bp_scsi_task *task);

/* sbc_space.c */
void sbc_unmap(struct bp_scsi_task *task);
void sbc_unmap_advance(struct bp_scsi_task *task);
void sbc_write_same(struct bp_scsi_task *task);
void sbc_write_same_advance(struct bp_scsi_task *task);
void sbc_format(struct bp_scsi_task *task);
void sbc_format_advance(struct bp_scsi_task *task);
void sbc_lba_status(struct bp_scsi_task *task);
