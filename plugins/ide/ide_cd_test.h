/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of CD/DVD drives share: a controller with a CD, and packets step by step. */
#pragma once

#include "ide_test.h"

#define BLOCK     ((size_t)2048)
#define CD_BLOCKS 512u
#define REASON_CD 1u
#define REASON_IO 2u
#define IDLE      (ATA_DRDY | ATA_DSC)

/* A CD at 0.0, and maybe a disk "two" beside it. The medium is filled with the disk pattern. */
struct rig cd_rig(const char *drives);
struct rig one_cd(void);
uint32_t byte_count(struct rig *rig);
void start_packet(struct rig *rig, uint8_t features, uint16_t limit);
/* PACKET up to the moment when the drive has its 12 bytes. */
void send_packet(struct rig *rig, uint8_t features, uint16_t limit, const uint8_t *cdb,
                 uint32_t length);
void expect_end(struct rig *rig, uint8_t error);
/* One DRQ block to the host. */
void take_burst(struct rig *rig, void *data, uint32_t bytes);
/* Key, ASC and ASCQ of REQUEST SENSE. */
uint32_t sense(struct rig *rig);
void read10(struct rig *rig, uint8_t features, uint16_t limit, uint32_t block, uint16_t blocks);

#define PACKET(rig, features, limit, ...)                                                          \
    do {                                                                                           \
        const uint8_t cdb_[] = {__VA_ARGS__};                                                      \
        send_packet(rig, features, limit, cdb_, sizeof(cdb_));                                     \
        th_run((rig)->th);                                                                         \
    } while (0)
