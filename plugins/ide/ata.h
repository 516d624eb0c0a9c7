/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the AT Attachment standard: register bits and commands (ATA/ATAPI-7 volumes 1 and 2, and
 * ACS-2 for DATA SET MANAGEMENT). */
#pragma once

/* Status register (ATA/ATAPI-7 V1, 5.14). */
#define ATA_BSY  0x80u
#define ATA_DRDY 0x40u
#define ATA_DF   0x20u
#define ATA_DSC  0x10u /* seek complete; obsolete since ATA-4, still set by every disk */
#define ATA_DRQ  0x08u
#define ATA_ERR  0x01u

/* Error register (5.8). */
#define ATA_UNC  0x40u
#define ATA_IDNF 0x10u
#define ATA_ABRT 0x04u

/* Error register after a reset or EXECUTE DEVICE DIAGNOSTIC. */
#define ATA_DIAGNOSTIC_PASSED 0x01u

/* Device register (5.7). */
#define ATA_DEVICE_LBA 0x40u
#define ATA_DEVICE_DEV 0x10u
#define ATA_DEVICE_OBS 0xa0u /* obsolete bits that old devices return as ones */

/* Device Control register (5.6). */
#define ATA_CONTROL_HOB  0x80u
#define ATA_CONTROL_SRST 0x04u
#define ATA_CONTROL_NIEN 0x02u

/* Register numbers in the Command Block. */
#define ATA_REG_DATA   0u
#define ATA_REG_ERROR  1u /* read; written: Features */
#define ATA_REG_COUNT  2u
#define ATA_REG_LOW    3u
#define ATA_REG_MID    4u
#define ATA_REG_HIGH   5u
#define ATA_REG_DEVICE 6u
#define ATA_REG_STATUS 7u /* read; written: Command */

#define ATA_NOP                    0x00u
#define ATA_DATA_SET_MANAGEMENT    0x06u
#define ATA_DEVICE_RESET           0x08u
#define ATA_RECALIBRATE            0x10u
#define ATA_READ_SECTORS           0x20u
#define ATA_READ_SECTORS_ONCE      0x21u
#define ATA_READ_SECTORS_EXT       0x24u
#define ATA_READ_DMA_EXT           0x25u
#define ATA_READ_NATIVE_MAX_EXT    0x27u
#define ATA_READ_MULTIPLE_EXT      0x29u
#define ATA_READ_STREAM_DMA_EXT    0x2au
#define ATA_READ_STREAM_EXT        0x2bu
#define ATA_READ_LOG_EXT           0x2fu
#define ATA_WRITE_SECTORS          0x30u
#define ATA_WRITE_SECTORS_ONCE     0x31u
#define ATA_WRITE_SECTORS_EXT      0x34u
#define ATA_WRITE_DMA_EXT          0x35u
#define ATA_SET_MAX_EXT            0x37u
#define ATA_WRITE_MULTIPLE_EXT     0x39u
#define ATA_WRITE_STREAM_DMA_EXT   0x3au
#define ATA_WRITE_STREAM_EXT       0x3bu
#define ATA_WRITE_VERIFY           0x3cu
#define ATA_WRITE_DMA_FUA_EXT      0x3du
#define ATA_WRITE_LOG_EXT          0x3fu
#define ATA_VERIFY                 0x40u
#define ATA_VERIFY_ONCE            0x41u
#define ATA_VERIFY_EXT             0x42u
#define ATA_READ_LOG_DMA_EXT       0x47u
#define ATA_CONFIGURE_STREAM       0x51u
#define ATA_WRITE_LOG_DMA_EXT      0x57u
#define ATA_SEEK                   0x70u
#define ATA_EXECUTE_DIAGNOSTIC     0x90u
#define ATA_INIT_DEVICE_PARAMETERS 0x91u
#define ATA_PACKET                 0xa0u
#define ATA_IDENTIFY_PACKET_DEVICE 0xa1u
#define ATA_SMART                  0xb0u
#define ATA_DEVICE_CONFIGURATION   0xb1u
#define ATA_READ_MULTIPLE          0xc4u
#define ATA_WRITE_MULTIPLE         0xc5u
#define ATA_SET_MULTIPLE_MODE      0xc6u
#define ATA_READ_DMA               0xc8u
#define ATA_READ_DMA_ONCE          0xc9u
#define ATA_WRITE_DMA              0xcau
#define ATA_WRITE_DMA_ONCE         0xcbu
#define ATA_WRITE_MULTIPLE_FUA_EXT 0xceu
#define ATA_STANDBY_IMMEDIATE      0xe0u
#define ATA_IDLE_IMMEDIATE         0xe1u
#define ATA_STANDBY                0xe2u
#define ATA_IDLE                   0xe3u
#define ATA_READ_BUFFER            0xe4u
#define ATA_CHECK_POWER_MODE       0xe5u
#define ATA_SLEEP                  0xe6u
#define ATA_FLUSH_CACHE            0xe7u
#define ATA_WRITE_BUFFER           0xe8u
#define ATA_READ_BUFFER_DMA        0xe9u
#define ATA_FLUSH_CACHE_EXT        0xeau
#define ATA_WRITE_BUFFER_DMA       0xebu
#define ATA_IDENTIFY_DEVICE        0xecu
#define ATA_SET_FEATURES           0xefu
#define ATA_SECURITY_SET_PASSWORD  0xf1u
#define ATA_SECURITY_UNLOCK        0xf2u
#define ATA_SECURITY_ERASE_PREPARE 0xf3u
#define ATA_SECURITY_ERASE_UNIT    0xf4u
#define ATA_SECURITY_FREEZE_LOCK   0xf5u
#define ATA_SECURITY_DISABLE       0xf6u
#define ATA_READ_NATIVE_MAX        0xf8u
#define ATA_SET_MAX                0xf9u

/* The power commands' opcodes before ATA-2; some old drivers still use them. */
#define ATA_OLD_STANDBY_IMMEDIATE 0x94u
#define ATA_OLD_IDLE_IMMEDIATE    0x95u
#define ATA_OLD_STANDBY           0x96u
#define ATA_OLD_IDLE              0x97u
#define ATA_OLD_CHECK_POWER_MODE  0x98u
#define ATA_OLD_SLEEP             0x99u

#define ATA_DEFAULT_DMA_MODE 0x45u /* UDMA 5: who sets none gets the fastest */
#define ATA_MULTIWORD_MODES  0x07u /* 0 to 2 */
#define ATA_ULTRA_MODES      0x3fu /* 0 to 5 */

#define ATA_SECTOR 512u /* bytes of a logical sector */
