/* SPDX-License-Identifier: Apache-2.0 */
/* Raw CD sectors (ECMA-130). */
#pragma once

#include <stdint.h>

#define CD_SECTOR   2352u
#define CD_DATA     2048u
#define CD_SUBCODE  96u
#define CD_SYNC_END 12u
#define CD_DATA_AT  16u
#define CD_EDC_AT   2064u

/* Minutes, seconds, frames of an address; binary. Beyond what they can say: 255:59:74. */
void cd_msf(uint64_t lba, uint8_t *msf);
uint8_t cd_bcd(uint8_t value);
/* A whole mode 1 sector around 2048 bytes of data. */
void cd_make_sector(uint64_t lba, const uint8_t *data, uint8_t *sector);
/* 12 bytes of Q of track 1 (ECMA-130 22.3), with their CRC. */
void cd_make_q(uint64_t lba, uint8_t *q);
/* 96 bytes of P-W, one bit of each channel in a byte, P uppermost. */
void cd_make_subcode(uint64_t lba, uint8_t *subcode);
