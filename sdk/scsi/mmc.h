/* SPDX-License-Identifier: Apache-2.0 */
/* A CD/DVD drive's commands, over several files. */
#pragma once

#include "engine.h"

#define MMC_CD_BLOCKS 360000u /* more than 80 minutes cannot be a CD */
#define MMC_SPEED_MAX 21600u  /* kB/s: DVD 16x */

#define MMC_PROFILE_NONE 0x0000u
#define MMC_PROFILE_CD   0x0008u
#define MMC_PROFILE_DVD  0x0010u

uint32_t mmc_profile(const struct bp_scsi_unit *unit);
/* Ends the task if blocks from lba on are not all there. Returns 1 if it did. */
uint32_t mmc_out_of_range(struct bp_scsi_task *task, uint64_t lba, uint64_t blocks) BP_MUST_CHECK;

/* mmc_disc.c: what is on the medium */
void mmc_read_toc(struct bp_scsi_task *task);
void mmc_read_sub_channel(struct bp_scsi_task *task);
void mmc_read_disc_information(struct bp_scsi_task *task);
void mmc_read_track_information(struct bp_scsi_task *task);
void mmc_read_disc_structure(struct bp_scsi_task *task);
void mmc_read_format_capacities(struct bp_scsi_task *task);

/* mmc_drive.c: what the drive is and does */
void mmc_get_configuration(struct bp_scsi_task *task);
void mmc_get_event_status(struct bp_scsi_task *task);
void mmc_get_performance(struct bp_scsi_task *task);
void mmc_mechanism_status(struct bp_scsi_task *task);
void mmc_set_cd_speed(struct bp_scsi_task *task);
void mmc_set_streaming(struct bp_scsi_task *task);
void mmc_set_streaming_data(struct bp_scsi_task *task);

/* mmc_read_cd.c */
void mmc_read_cd(struct bp_scsi_task *task);
void mmc_read_cd_msf(struct bp_scsi_task *task);
void mmc_read_cd_advance(struct bp_scsi_task *task);
