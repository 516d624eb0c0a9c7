/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the plugin share: a controller on the fake core, and a driver's primitive
 * steps. */
#pragma once

#include "ata.h"

#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DISK_SECTORS 20480u /* 10 MiB */

#define PRD_EOT 0x80000000u
#define PRDT    0x10000u /* where tests put the table */
#define BUFFER  0x20000u /* and data */

#define BM_ACTIVE 1u
#define BM_ERROR  2u
#define BM_INT    4u

struct rig {
    struct th_host *th;
    struct bp_instance *ide;
    struct th_block *disk;  /* channel 0 unit 0 */
    struct th_block *other; /* where a test asked for it, else NULL */
    uint16_t base;          /* command block in use */
    uint16_t control;
    uint16_t bm; /* offset in BAR 4 */
    uint32_t irq;
};

/* One disk "sys" at 0.0. options: more of its options, or NULL. */
struct rig rig_new(const char *options);
/* Two disks: "sys" at 0.0 and "two" at the place given. */
struct rig rig_new_two(uint32_t channel, uint32_t unit);
void rig_free(struct rig *rig);
/* Uses the registers of a channel. */
void rig_channel(struct rig *rig, uint32_t channel);

void put(struct rig *rig, uint32_t reg, uint8_t value);
uint8_t get(struct rig *rig, uint32_t reg);
uint8_t alt_status(struct rig *rig);
/* Status, acknowledging the interrupt. */
uint8_t status(struct rig *rig);
uint32_t irq(struct rig *rig);

/* Writes address, count and command. LBA28 on device 0 or 1. */
void command28(struct rig *rig, uint8_t opcode, uint32_t unit, uint32_t lba, uint8_t count);
void command48(struct rig *rig, uint8_t opcode, uint64_t lba, uint16_t count);
/* Features, Count and command, nothing else. */
void command_plain(struct rig *rig, uint8_t opcode, uint8_t features, uint8_t count);
/* Lets the backend work, then checks the command ended well, with or without interrupt. */
void expect_success(struct rig *rig);
void expect_error(struct rig *rig, uint8_t error);
/* One data block by 16-bit string I/O. */
void data_in(struct rig *rig, void *data, uint32_t bytes);
void data_out(struct rig *rig, const void *data, uint32_t bytes);
void identify(struct rig *rig, uint16_t words[256]);

/* READ or WRITE LOG (DMA) EXT. */
void log_command(struct rig *rig, uint8_t opcode, uint8_t number, uint16_t first, uint16_t count);
/* The blocks of a command that has them ready, to its end. */
void read_blocks(struct rig *rig, uint8_t *data, uint32_t blocks);
/* A command that takes one block. */
void send_block(struct rig *rig, uint8_t opcode, const uint8_t block[512]);

/* Bus master: descriptors as pairs of address and count (with PRD_EOT), and a start. */
void prd(struct rig *rig, uint32_t index, uint32_t address, uint32_t count);
void bm_start(struct rig *rig, uint32_t to_memory);
uint8_t bm_status(struct rig *rig);
void bm_stop(struct rig *rig); /* and clears Interrupt and Error */

/* Sector n holds n in every 32-bit word, mixed with the offset. */
void fill_pattern(uint8_t *data, uint64_t first_sector, uint32_t sectors);
void check_pattern(const uint8_t *data, uint64_t first_sector, uint32_t sectors);
