/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target over what a guest can do to the controller: registers, commands with right and
 * wrong numbers of parameters, DMA programmed in every way, PIO, time, held and failing requests,
 * floppies that come and go, resets, saved states. Input: a stream of small operations; what is
 * missing at its end counts as zero. */
#include "fdc_regs.h"

#include <backplane/fuzz_input.h>
#include <backplane/testhost.h>

#include <stdlib.h>
#include <string.h>

#define DATA 0x10000u

struct target {
    struct th_host *th;
    struct bp_instance *fdc;
    struct th_block *disk;
    uint32_t away;   /* the floppy of drive 1 is out */
    uint32_t spent;  /* not for another input: scripted errors may be left over */
    uint32_t inputs; /* so far */
    uint32_t saves;  /* in this input */
};

/* A command as a driver writes it: the code and what belongs to it, mostly sensible. */
static void
whole_command(struct target *t, struct th_input *in)
{
    static const uint8_t codes[] = {
        0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0c, 0x0d,
        0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x19,
        0x1d, 0x2e, 0x33, 0x4e, 0x8e, 0x8f, 0xad, 0xcd, 0xcf, 0x94,
    };
    uint32_t how = th_take(in, 2);
    uint32_t where = th_take(in, 2);
    uint8_t bytes[9];

    bytes[0] = (uint8_t)(codes[how & 31] | (how >> 5 & 7) << 5);
    bytes[1] = (uint8_t)(where & 0x87);
    bytes[2] = (uint8_t)(where >> 3 & 3); /* the first cylinders of both */
    bytes[3] = (uint8_t)(where >> 2 & 1);
    bytes[4] = (uint8_t)(where >> 8 & 31);
    bytes[5] = (uint8_t)(where >> 13 == 7 ? 3 : 2);
    bytes[6] = (uint8_t)(how >> 8 & 31);
    bytes[7] = 0x1b;
    bytes[8] = (uint8_t)(how >> 13);
    for (uint32_t i = 0; i < sizeof(bytes); i++) {
        th_out(t->th, 0x3f5, 1, bytes[i]);
    }
}

static void
move_data(struct target *t, uint32_t how)
{
    static uint8_t block[4096];
    uint32_t count = (how & 0x7f) * 33 % sizeof(block);

    if (how & 0x80) {
        th_ins(t->th, 0x3f5, 1, count, block);
    } else {
        th_outs(t->th, 0x3f5, 1, count, block);
    }
}

static void
save_and_restore(struct target *t, uint32_t flip)
{
    uint8_t *data = NULL;
    uint64_t length = 0;

    th_block_hold(t->disk, 0);
    if (th_quiesce(t->fdc) == 0 && th_save(t->fdc, &data, &length) == 0) {
        if (flip & 1) {
            data[(flip >> 1) % length] ^= (uint8_t)(flip >> 24);
        }
        th_resume(t->fdc);
        th_run(t->th);
        if (th_validate(t->fdc, data, length) == 0) {
            (void)th_restore(t->fdc, data, length);
        }
    }
    free(data);
}

static void
change_floppy(struct target *t)
{
    th_block_hold(t->disk, 0);
    (void)th_quiesce(t->fdc);
    if (t->away) {
        (void)th_attach(t->fdc, 0, 1, "b");
    } else {
        th_detach(t->fdc, 0, 1);
    }
    t->away = !t->away;
    th_resume(t->fdc);
}

static void
step(struct target *t, struct th_input *in)
{
    uint32_t op = th_take(in, 1);

    switch (op & 0x0f) {
    case 0:
    case 1:
        whole_command(t, in);
        break;
    case 2:
        th_out(t->th, (uint16_t)(0x3f0 + (op >> 4 & 7)), 1u << (op >> 7), th_take(in, 2));
        break;
    case 3:
        (void)th_in(t->th, (uint16_t)(0x3f0 + (op >> 4 & 7)), 1u << (op >> 7));
        break;
    case 4: /* bytes of a command */
        for (uint32_t i = 0; i <= op >> 4; i++) {
            th_out(t->th, 0x3f5, 1, th_take(in, 1));
        }
        break;
    case 5:
        move_data(t, th_take(in, 1));
        break;
    case 6:
        th_dma_program(t->th, 2, op >> 4 & 3, DATA, th_take(in, 2) + 1, op >> 6 & 1);
        break;
    case 7:
        th_dma_mask(t->th, 2, op >> 4 & 1);
        break;
    case 8:
        th_out(t->th, 0x3f2, 1, op & 0x10 ? 0x0c : th_take(in, 1));
        break;
    case 9:
        th_block_hold(t->disk, op >> 4 & 1);
        break;
    case 10:
        t->spent = 1;
        th_block_fail(t->disk, op >> 5, th_take(in, 1) % 8, op & 0x10 ? -ENOSPC : -EIO, 0);
        break;
    case 11:
        th_clock_step(t->th, (uint64_t)th_take(in, 1) << (op >> 3 & 0x1e));
        break;
    case 12:
        change_floppy(t);
        break;
    case 13: { /* as costly as a hundred accesses */
        uint32_t flip = th_take(in, 4);
        if (t->saves++ < 4) {
            save_and_restore(t, flip);
        }
        break;
    }
    case 14:
        th_reset(t->fdc, op & 0x10 ? BP_RESET_POWER_ON : BP_RESET_SYSTEM);
        break;
    default:
        th_run(t->th);
        if (th_take_request(t->th) == BP_REQUEST_STOP) {
            th_start(t->fdc);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* small media: 160 KB in drive 0; 320 KB or something cut short in drive 1 */
static void
target_init(struct target *t, uint32_t choice)
{
    memset(t, 0, sizeof(*t));
    t->th = th_new();
    t->disk = th_block_new(t->th, "a", 160 * 1024);
    (void)th_block_new(t->th, "b", choice & 2 ? 320 * 1024 : 7 * 1024);
    t->fdc = th_plug(
        t->th, &backplane_plugin_v1, "fdc0",
        choice & 1
            ? "timing = \"real\"; drives = ( { unit = 0; disk = \"a\"; type = \"1.2M\"; },"
              "{ unit = 1; disk = \"b\"; type = \"360K\"; on_write_error = \"stop\"; } );"
            : "drives = ( { unit = 0; disk = \"a\"; on_read_error = \"ignore\"; on_write_error = "
              "\"ignore\"; }, { unit = 1; disk = \"b\"; type = \"360K\"; } );");
    if (t->fdc == NULL) {
        abort();
    }
}

/* As if it were new: power-on, and floppies without marks of deleted data. Their contents stay,
 * which no branch depends on but those of SCAN. */
static void
start_over(struct target *t)
{
    th_detach(t->fdc, 0, 0);
    if (!t->away) {
        th_detach(t->fdc, 0, 1);
    }
    t->away = t->saves = 0;
    if (th_attach(t->fdc, 0, 0, "a") != 0 || th_attach(t->fdc, 0, 1, "b") != 0) {
        abort();
    }
    th_reset(t->fdc, BP_RESET_POWER_ON);
    th_dma_mask(t->th, 2, 1);
    th_block_log_clear(t->disk);
    (void)th_take_request(t->th);
}

/* The first byte chooses timing and sizes. A host serves many inputs: most of the time would go
 * into making hosts. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target targets[4];
    struct th_input in = {data, size};
    uint32_t choice = th_take(&in, 1);
    struct target *t = &targets[choice & 3];

    if (t->th == NULL) {
        target_init(t, choice);
    }
    th_out(t->th, 0x3f7, 1, choice & 4 ? RATE_CODE_250 : RATE_CODE_300);
    for (uint32_t i = 0; i < 256 && in.length > 0; i++) {
        step(t, &in);
    }
    th_block_hold(t->disk, 0);
    th_run(t->th);
    if (t->spent || ++t->inputs == 1000) {
        th_free(t->th); /* aborts on a violation of the contract */
        t->th = NULL;
    } else {
        start_over(t);
    }
    return 0;
}
