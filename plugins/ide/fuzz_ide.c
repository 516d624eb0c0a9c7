/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target over what a guest can do to the controller: taskfile, data ports, Device
 * Control, bus master registers, descriptor tables, held and failing requests, resets, saved
 * states. Input: a stream of small operations; what is missing at its end counts as zero. */
#include "ata.h"

#include <backplane/fuzz_input.h>
#include <backplane/testhost.h>

#include <stdlib.h>
#include <string.h>

#define IMAGE_BYTES (256u * 512u)

struct target {
    struct th_host *th;
    struct bp_instance *ide;
    struct th_block *disk;
    struct th_block *other;
    struct th_block *cd;
    uint16_t base;
    uint32_t runs;
    uint32_t saves;
    uint32_t present; /* a medium in the drive that was empty */
    uint8_t *fresh;   /* state after power-on */
    uint64_t fresh_length;
};

/* A structure of DEVICE CONFIGURATION SET that may be taken. */
static void
make_overlay(uint8_t *block, uint32_t how)
{
    uint8_t sum = 0;

    memcpy(block, "\2\0\7\0\0\0\0\0\0\0\0\0\0\0", 14);
    block[4] = how & 0x20 ? 0x3f : 0x07;
    block[6] = how & 0x10 ? 0xff : 0x7f;
    block[14] = (uint8_t)(0xcf & ~(1u << (how & 15)));
    block[15] = (uint8_t)((0x0bcfu & ~(1u << (how & 15))) >> 8);
    block[510] = 0xa5;
    for (uint32_t i = 0; i < 511; i++) {
        sum = (uint8_t)(sum + block[i]);
    }
    block[511] = (uint8_t)-sum;
}

static void
move_data(struct target *t, uint32_t how)
{
    static uint8_t block[8192];
    uint32_t width = 1u << (how % 3);
    uint32_t count = (how >> 2) * 33 % (sizeof(block) / 4);

    if (how & 0x80) {
        th_ins(t->th, t->base, width, count, block);
    } else {
        memset(block, (int)how, sizeof(block));
        if (how & 0x40) {
            make_overlay(block, how);
        }
        th_outs(t->th, t->base, width, count, block);
    }
}

/* PACKET with its 12 bytes to the drive on either channel, selected or not. */
static void
send_packet(struct target *t, struct th_input *in, uint32_t op)
{
    uint8_t cdb[12];

    th_out(t->th, (uint16_t)(t->base + 6), 1, t->base == 0x1f0 ? 0x10 : 0);
    th_out(t->th, (uint16_t)(t->base + 1), 1, op >> 4 & 1);
    th_out(t->th, (uint16_t)(t->base + 4), 2, th_take(in, 2));
    th_out(t->th, (uint16_t)(t->base + 7), 1, ATA_PACKET);
    for (uint32_t i = 0; i < sizeof(cdb); i++) {
        cdb[i] = (uint8_t)((op & 0x20) && i > 1 && i < 8 ? 0 : th_take(in, 1));
    }
    th_outs(t->th, t->base, 2, 6, cdb);
}

/* What is in the empty drive. */
static void
change_medium(struct target *t, uint32_t present)
{
    if (present == t->present || th_quiesce(t->ide) != 0) {
        return;
    }
    if (t->present) {
        th_detach(t->ide, 1, 1);
    } else if (th_attach(t->ide, 1, 1, "d") != 0) {
        abort();
    }
    t->present = present;
    th_resume(t->ide);
}

static void
operate_drive(struct target *t, uint32_t how)
{
    switch (how) {
    case 0:
    case 1:
        (void)th_tray_open(t->ide, 1 + how, 0);
        break;
    case 2:
        (void)th_tray_open(t->ide, 2, BP_MEDIA_FORCE);
        break;
    case 3:
    case 4:
        (void)th_tray_close(t->ide, how - 2);
        break;
    default:
        th_block_hold(t->disk, 0);
        th_block_hold(t->cd, 0);
        change_medium(t, how & 1);
        break;
    }
}

static void
save_and_restore(struct target *t, uint32_t flip)
{
    uint8_t *data = NULL;
    uint64_t length = 0;

    th_block_hold(t->disk, 0);
    th_block_hold(t->cd, 0);
    if (th_quiesce(t->ide) == 0 && th_save(t->ide, &data, &length) == 0) {
        if (flip & 1) {
            data[(flip >> 1) % length] ^= (uint8_t)(flip >> 24);
        }
        th_resume(t->ide);
        th_run(t->th);
        if (th_validate(t->ide, data, length) == 0) {
            (void)th_restore(t->ide, data, length);
        }
    }
    free(data);
}

static void
step(struct target *t, struct th_input *in)
{
    uint32_t op = th_take(in, 1);

    switch (op & 0x0f) {
    case 0: /* a whole command, as a driver writes it */
        if (op & 0x80) {
            send_packet(t, in, op);
            break;
        }
        for (uint32_t i = 1; i < 8; i++) {
            th_out(t->th, (uint16_t)(t->base + i), 1, th_take(in, 1));
        }
        break;
    case 1:
        th_out(t->th, (uint16_t)(t->base + (op >> 4) % 8), 1u << (op >> 7), th_take(in, 2));
        break;
    case 2:
        (void)th_in(t->th, (uint16_t)(t->base + (op >> 4) % 8), 1u << (op >> 7));
        break;
    case 3:
        th_out(t->th, (uint16_t)(t->base + 0x206), 1, th_take(in, 1));
        break;
    case 4:
        move_data(t, th_take(in, 1));
        break;
    case 5: /* a descriptor */
        th_write(t->th, 0x1000 + 8 * (op >> 4), 4, th_take(in, 4));
        th_write(t->th, 0x1004 + 8 * (op >> 4), 4, th_take(in, 4));
        break;
    case 6:
        th_bar_write(t->ide, 4, op >> 4, 1, th_take(in, 1));
        break;
    case 7:
        th_bar_write(t->ide, 4, op & 0x80 ? 12 : 4, 4, op & 0x40 ? 0x1000 : th_take(in, 4));
        break;
    case 8: /* ranges of a trim, or anything else */
        th_write(t->th, 0x2000 + 8 * (op >> 4), 8, th_take(in, 4) | (uint64_t)th_take(in, 3) << 40);
        break;
    case 9:
        th_block_hold(op & 0x20 ? t->cd : t->disk, op >> 4 & 1);
        break;
    case 10:
        th_block_fail(op & 0x80 ? t->cd : t->disk, op >> 5 & 3, th_take(in, 1) % 8,
                      op & 0x10 ? -ENOSPC : -EIO, 0);
        break;
    case 11:
        if (op & 0x20) {
            operate_drive(t, op >> 6 | (op >> 2 & 4));
        } else {
            t->base = op & 0x10 ? 0x170 : 0x1f0;
        }
        break;
    case 12:
        th_pci_write(t->ide, op & 0x80 ? 4 : 0x40 + (op >> 4) % 8, 2, th_take(in, 2));
        break;
    case 13: /* time, for the power modes; rarely a state, which takes as long as all the rest */
        if ((op & 0xe0) != 0) {
            th_clock_step(t->th, UINT64_C(1000000000) << (op >> 4));
        } else if (t->saves++ == 0) {
            save_and_restore(t, th_take(in, 4));
        }
        break;
    case 14:
        th_reset(t->ide, BP_RESET_SYSTEM);
        th_pci_place(t->ide);
        break;
    default:
        th_run(t->th);
        if (th_take_request(t->th) == BP_REQUEST_STOP) {
            th_start(t->ide);
        }
        break;
    }
}

/* One controller serves many inputs: to make one takes longer than to run one. What the fake core
 * writes down grows, so it is made anew once in a while. */
#define RUNS_OF_A_HOST  1024u
#define RUNS_OF_A_STATE 32u
#define STEPS           160u

static void
plug(struct target *t)
{
    t->th = th_new();
    t->disk = th_block_new(t->th, "a", IMAGE_BYTES);
    t->other = th_block_new(t->th, "b", IMAGE_BYTES);
    t->cd = th_block_new(t->th, "c", IMAGE_BYTES);
    (void)th_block_new(t->th, "d", IMAGE_BYTES);
    t->present = 0;
    t->ide = th_plug(t->th, &backplane_plugin_v1, "ide0",
                     "drives = ( { channel = 0; unit = 0; disk = \"a\"; },"
                     "{ channel = 0; unit = 1; cdrom = \"c\"; on_read_error = \"stop\"; },"
                     "{ channel = 1; unit = 0; kind = \"cdrom\"; },"
                     "{ channel = 1; unit = 1; disk = \"b\"; on_read_error = \"ignore\";"
                     "on_write_error = \"ignore\"; write_cache = false; } );");
    if (t->ide == NULL || th_save(t->ide, &t->fresh, &t->fresh_length) != 0) {
        abort();
    }
}

/* As if it had just been made, except for what is in the images. */
static void
refresh(struct target *t)
{
    t->base = 0x1f0;
    t->saves = 0;
    th_block_hold(t->disk, 0);
    th_block_hold(t->cd, 0);
    th_block_fail(t->disk, 0, 0, 0, 0);
    th_block_fail(t->cd, 0, 0, 0, 0);
    th_run(t->th);
    if (t->present) { /* the empty drive is empty again */
        (void)th_tray_open(t->ide, 2, BP_MEDIA_FORCE);
        change_medium(t, 0);
    }
    (void)th_tray_close(t->ide, 1);
    (void)th_tray_close(t->ide, 2);
    th_reset(t->ide, BP_RESET_SYSTEM);
    /* the little that outlives a reset: SET MAX with "keep", the overlay, logs of self-tests */
    if (t->runs % RUNS_OF_A_STATE == 0 && th_restore(t->ide, t->fresh, t->fresh_length) != 0) {
        abort();
    }
    if (th_take_violations(t->th) != 0) {
        abort();
    }
    th_pci_place(t->ide);
    th_irq_log_clear(t->th);
    th_block_log_clear(t->disk);
    th_block_log_clear(t->other);
    th_block_log_clear(t->cd);
    memset(th_ram(t->th, 0x1000, 0x2000), 0, 0x2000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target t;
    struct th_input in = {data, size};

    if (t.runs++ % RUNS_OF_A_HOST == 0) {
        if (t.th != NULL) {
            th_free(t.th);
            free(t.fresh);
        }
        plug(&t);
    }
    refresh(&t);
    for (uint32_t i = 0; i < STEPS && in.length > 0; i++) {
        step(&t, &in);
    }
    th_block_hold(t.disk, 0);
    th_block_hold(t.cd, 0);
    th_run(t.th);
    if (th_take_violations(t.th) != 0) {
        abort();
    }
    return 0;
}
