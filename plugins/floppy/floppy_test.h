/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the plugin share: a controller on the fake core, and a driver's steps. */
#pragma once

#include "fdc_regs.h"
#include "media.h"

#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SRA  0x3f0u
#define SRB  0x3f1u
#define DOR  0x3f2u
#define TDR  0x3f3u
#define MSR  0x3f4u
#define DSR  0x3f4u
#define FIFO 0x3f5u
#define DIR  0x3f7u
#define CCR  0x3f7u

#define SIZE_1440K (1440u * 1024u)
#define DATA       0x20000u /* where tests let DMA go */

struct rig {
    struct th_host *th;
    struct bp_instance *fdc;
    struct th_block *a; /* unit 0 */
    struct th_block *b; /* unit 1, or NULL */
    uint8_t result[16]; /* of the last command */
};

/* A 1.44 MB floppy in drive A, each sector filled with its own pattern. options: of the
 * controller, beside drives; or NULL. */
struct rig rig_new(const char *options);
/* Two drives with media of these sizes in bytes; 0: an empty drive of type 1.44M. */
struct rig rig_new_media(uint32_t size_a, uint32_t size_b, const char *options);
void rig_free(struct rig *rig);

void put(struct rig *rig, uint16_t port, uint8_t value);
uint8_t get(struct rig *rig, uint16_t port);
uint32_t irq(struct rig *rig);

/* Writes the bytes of a command; each must be asked for. Backends work afterwards. */
void command(struct rig *rig, uint32_t count, const uint8_t *bytes);
#define COMMAND(rig, ...)                                                                          \
    command((rig), (uint32_t)sizeof((const uint8_t[]){__VA_ARGS__}), (const uint8_t[]){__VA_ARGS__})
/* Reads exactly so many result bytes, and sees that there are no more. */
void result(struct rig *rig, uint32_t count);
/* A result of a data command: all seven bytes and the interrupt that goes with it. */
void expect_result(struct rig *rig, uint8_t st0, uint8_t st1, uint8_t st2, uint8_t c, uint8_t h,
                   uint8_t r, uint8_t n);
/* SENSE INTERRUPT STATUS after a seek: the interrupt was there and goes. */
void expect_seek_end(struct rig *rig, uint8_t st0, uint8_t pcn);
void seek(struct rig *rig, uint8_t drive, uint8_t cylinder);

/* READ DATA and its kin: code, drive and side, ID, EOT; GPL and DTL as firmware has them. */
void transfer(struct rig *rig, uint8_t code, uint8_t select, uint8_t c, uint8_t h, uint8_t r,
              uint8_t eot);
/* The channel: so many bytes at DATA. */
void dma_to_memory(struct rig *rig, uint32_t bytes);
void dma_from_memory(struct rig *rig, uint32_t bytes);
uint8_t *data(struct rig *rig);

/* Sector number lba of a medium holds this. */
void fill_pattern(uint8_t *out, uint32_t lba, uint32_t sectors, uint8_t salt);
void check_pattern(const uint8_t *in, uint32_t lba, uint32_t sectors, uint8_t salt);
#define SALT_A 0xa5u
#define SALT_B 0x3cu
