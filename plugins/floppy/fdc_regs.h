/* SPDX-License-Identifier: Apache-2.0 */
/* Registers, bits and command codes of the 82077AA and 82078 (Intel 290166, 290474). */
#pragma once

/* Ports, from 3F0h on. 3F6h belongs to the hard disk controller. */
#define FDC_PORT_SRA  0u
#define FDC_PORT_SRB  1u
#define FDC_PORT_DOR  2u
#define FDC_PORT_TDR  3u
#define FDC_PORT_MSR  4u /* read */
#define FDC_PORT_DSR  4u /* write */
#define FDC_PORT_FIFO 5u
#define FDC_PORT_DIR  7u /* read */
#define FDC_PORT_CCR  7u /* write */

#define SRA_DIRECTION 0x01u
#define SRA_NOT_WP    0x02u
#define SRA_NOT_INDEX 0x04u
#define SRA_HEAD      0x08u
#define SRA_NOT_TRK0  0x10u
#define SRA_STEP      0x20u
#define SRA_NOT_DRV2  0x40u
#define SRA_INTERRUPT 0x80u

#define SRB_MOTORS     0x03u
#define SRB_WRITE_GATE 0x04u
#define SRB_READ_DATA  0x08u /* toggles */
#define SRB_WRITE_DATA 0x10u /* toggles */
#define SRB_SELECT0    0x20u
#define SRB_ONES       0xc0u

#define DOR_SELECT    0x03u
#define DOR_NOT_RESET 0x04u
#define DOR_DMA_GATE  0x08u
#define DOR_MOTOR0    0x10u

#define TDR_TAPE     0x03u
#define TDR_BOOT_SEL 0x04u /* exchanges drives 0 and 1 */

#define MSR_SEEKING 0x0fu /* a bit for each drive */
#define MSR_BUSY    0x10u
#define MSR_NON_DMA 0x20u
#define MSR_TO_HOST 0x40u
#define MSR_REQUEST 0x80u

#define DSR_RATE       0x03u
#define DSR_PRECOMP    0x1cu
#define DSR_PD_OSC     0x20u
#define DSR_POWER_DOWN 0x40u
#define DSR_RESET      0x80u

#define DIR_CHANGED 0x80u

#define RATE_CODE_500  0u
#define RATE_CODE_300  1u /* DRIVE SPECIFICATION may give it another meaning */
#define RATE_CODE_250  2u
#define RATE_CODE_1000 3u

#define ST0_SELECT    0x03u
#define ST0_HEAD      0x04u
#define ST0_CHECK     0x10u /* EC: equipment check */
#define ST0_SEEK_END  0x20u
#define ST0_ABNORMAL  0x40u
#define ST0_INVALID   0x80u
#define ST0_POLLING   0xc0u
#define ST1_MISSING   0x01u /* MA: missing address mark */
#define ST1_PROTECTED 0x02u /* NW: not writable */
#define ST1_NO_DATA   0x04u /* ND */
#define ST1_OVERRUN   0x10u /* OR: overrun or underrun */
#define ST1_CRC       0x20u /* DE: data error */
#define ST1_END       0x80u /* EN: end of cylinder */
#define ST2_MISSING   0x01u /* MD: missing address mark in data field */
#define ST2_SCAN_MISS 0x04u /* SN: scan not satisfied */
#define ST2_SCAN_HIT  0x08u /* SH: scan equal hit */
#define ST2_CYLINDER  0x10u /* WC: wrong cylinder */
#define ST2_CRC       0x20u /* DD: data error in data field */
#define ST2_MARK      0x40u /* CM: control mark */
#define ST3_ONES      0x28u
#define ST3_TRACK0    0x10u
#define ST3_PROTECTED 0x40u

#define CMD_MULTI_TRACK 0x80u
#define CMD_SKIP        0x20u

#define SELECT_HEAD  0x04u
#define SELECT_DRIVE 0x03u
#define VERIFY_COUNT 0x80u /* EC of VERIFY */

#define CONFIG_IMPLIED_SEEK 0x40u
#define CONFIG_NO_FIFO      0x20u
#define CONFIG_NO_POLLING   0x10u
#define CONFIG_THRESHOLD    0x0fu

#define PERPENDICULAR_OVERWRITE 0x80u
#define PERPENDICULAR_DRIVES    0x3cu
#define PERPENDICULAR_GAP_GATE  0x03u

#define SPECIFY_NON_DMA 0x01u

#define LOCK_BIT 0x80u

#define DRIVE_SPEC_DONE      0x80u
#define DRIVE_SPEC_NO_RESULT 0x40u

#define VERSION_ENHANCED 0x90u
#define PART_ID_82078    0x41u
