/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target over the transport, the rings and the requests: registers of both interfaces,
 * descriptors, indices, event suppression, held and failing requests, resets, saved states. Input:
 * a stream of small operations; what is missing at its end counts as zero. */
#include "virtio_blk.h"

#include <backplane/fuzz_input.h>
#include <backplane/testhost.h>

#include <stdlib.h>
#include <string.h>

#define IMAGE_BYTES (256u * 512u)
#define QUEUES      2u
#define SIZE        8u
#define RING(queue) (0x10000u + (queue)*0x4000u)
#define AVAIL       0x1000u
#define USED        0x2000u
#define TABLE       0x20000u
#define HEADER      0x21000u
#define DATA        0x30000u

/* One device serves many inputs: to make one takes longer than to run one. What the fake core
 * writes down grows, so it is made anew once in a while. */
#define RUNS_OF_A_HOST 4096u
#define STEPS          128u

struct target {
    struct th_host *th;
    struct bp_instance *dev;
    struct th_block *disk;
    uint32_t runs;
    uint32_t saves;
    uint32_t pci_cfg; /* where the capability is */
};

/* Mostly places where something is; sometimes the edge of RAM, or anywhere. */
static uint64_t
address(struct th_input *in)
{
    static const uint64_t places[] = {
        RING(0),        RING(1), TABLE, HEADER, DATA, DATA + 0x800, TH_LOW_RAM_BYTES - 0x100,
        TH_HIGH_RAM_GPA};
    uint32_t which = (uint32_t)th_take(in, 1);

    if (which >= 0xf8) {
        return th_take(in, 8);
    }
    return places[which % 8] + (uint64_t)(which >> 3) * 16;
}

static void
put(struct target *t, uint32_t offset, uint32_t width, uint64_t value)
{
    th_bar_write(t->dev, 1, offset, width, value);
}

static void
set_up(struct target *t, uint64_t features)
{
    put(t, 0x14, 1, 0);
    th_run(t->th);
    put(t, 0x14, 1, 3);
    put(t, 8, 4, 0);
    put(t, 12, 4, (uint32_t)features);
    put(t, 8, 4, 1);
    put(t, 12, 4, (uint32_t)(features >> 32) | 1);
    put(t, 0x14, 1, 11);
    for (uint32_t i = 0; i < QUEUES; i++) {
        put(t, 0x16, 2, i);
        put(t, 0x18, 2, SIZE);
        put(t, 0x20, 4, RING(i));
        put(t, 0x28, 4, RING(i) + AVAIL);
        put(t, 0x30, 4, RING(i) + USED);
        put(t, 0x1c, 2, 1);
    }
    put(t, 0x14, 1, 15);
}

static void
set_up_legacy(struct target *t, uint32_t features)
{
    th_bar_write(t->dev, 0, 0x12, 1, 0);
    th_run(t->th);
    th_bar_write(t->dev, 0, 4, 4, features);
    for (uint32_t i = 0; i < QUEUES; i++) {
        th_bar_write(t->dev, 0, 0x0e, 2, i);
        th_bar_write(t->dev, 0, 8, 4, RING(i) >> 12);
    }
    th_bar_write(t->dev, 0, 0x12, 1, 7);
}

static uint64_t
features(uint32_t choice)
{
    uint64_t all = BLK_F_FLUSH | BLK_F_CONFIG_WCE | BLK_F_MQ | BLK_F_DISCARD | BLK_F_WRITE_ZEROES |
                   BLK_F_SECURE_ERASE | BP_VIRTIO_F_RING_RESET;

    all |= choice & 1 ? BP_VIRTIO_F_RING_PACKED : 0;
    all |= choice & 2 ? BP_VIRTIO_F_EVENT_IDX : 0;
    all |= choice & 4 ? BP_VIRTIO_F_INDIRECT_DESC : 0;
    all |= choice & 8 ? BP_VIRTIO_F_IN_ORDER : 0;
    return all;
}

static void
put_desc(struct target *t, uint64_t at, struct th_input *in)
{
    uint64_t gpa = address(in);
    uint64_t rest = th_take(in, 2);

    rest = (rest & 0x8000 ? th_take(in, 4) : rest & 0x3fff) | th_take(in, 4) << 32;
    th_write(t->th, at, 8, gpa);
    th_write(t->th, at + 8, 8, rest);
}

/* A request that a driver could make, in the first four descriptors. */
static void
put_request(struct target *t, struct th_input *in)
{
    uint32_t shape = (uint32_t)th_take(in, 1);
    uint32_t queue = shape & 1;
    uint32_t write = shape & 2;
    uint64_t ring = RING(queue);
    uint16_t index = (uint16_t)th_read(t->th, ring + AVAIL + 2, 2);

    th_write(t->th, HEADER, 4, th_take(in, 1) & 0x1f);
    th_write(t->th, HEADER + 8, 8, th_take(in, 1));
    th_write(t->th, ring, 8, HEADER);
    th_write(t->th, ring + 8, 8, 16 | UINT64_C(1) << 32 | UINT64_C(1) << 48);
    th_write(t->th, ring + 16, 8, DATA);
    th_write(t->th, ring + 24, 8,
             (th_take(in, 1) & 0x1f) * UINT64_C(512) | (write ? UINT64_C(3) : UINT64_C(1)) << 32 |
                 UINT64_C(2) << 48);
    th_write(t->th, ring + 32, 8, HEADER + 64);
    th_write(t->th, ring + 40, 8, 1 | UINT64_C(2) << 32);
    th_write(t->th, ring + AVAIL + 4 + index % SIZE * UINT64_C(2), 2, 0);
    th_write(t->th, ring + AVAIL + 2, 2, index + 1u);
    put(t, 0x3000 + 4 * queue, 2, queue);
}

static void
save_and_restore(struct target *t, uint32_t flip)
{
    uint8_t *data = NULL;
    uint64_t length = 0;

    th_block_hold(t->disk, 0);
    if (th_quiesce(t->dev) == 0 && th_save(t->dev, &data, &length) == 0) {
        if (flip & 1) {
            data[(flip >> 1) % length] ^= (uint8_t)(flip >> 24);
        }
        th_resume(t->dev);
        th_run(t->th);
        if (th_validate(t->dev, data, length) == 0) {
            (void)th_restore(t->dev, data, length);
        }
    }
    free(data);
}

static void
step_memory(struct target *t, struct th_input *in, uint32_t op)
{
    uint32_t queue = op >> 7;
    uint32_t index = op >> 4 & 7;

    switch (op & 0x0f) {
    case 0:
        put_desc(t, RING(queue) + (uint64_t)index * 16, in);
        break;
    case 1:
        put_desc(t, TABLE + (uint64_t)index * 16, in);
        break;
    case 2: /* available ring, or driver event suppression */
        th_write(t->th, RING(queue) + AVAIL + (uint64_t)index * 2, 2, th_take(in, 2));
        break;
    case 3:
        th_write(t->th, HEADER + (uint64_t)index * 2, 2, th_take(in, 2));
        break;
    case 4: /* a range */
        th_write(t->th, DATA + (uint64_t)index * 16, 8, th_take(in, 2));
        th_write(t->th, DATA + (uint64_t)index * 16 + 8, 8, th_take(in, 2) | th_take(in, 1) << 32);
        break;
    default:
        put_request(t, in);
        break;
    }
}

/* A register of either interface: written, or read, which clears an ISR or ends a reset. */
static void
step_register(struct target *t, struct th_input *in, uint32_t bar, uint32_t op)
{
    uint32_t offset = (uint32_t)th_take(in, 1) & 0x7f;
    uint32_t width = 1u << (op >> 4) % 3;

    offset = bar == 1 && (offset & 0x40) ? 0x1000u * (1 + (op >> 7)) + (offset & 0x3f) : offset;
    if (op & 0x40) {
        (void)th_bar_read(t->dev, bar, offset, width);
    } else {
        th_bar_write(t->dev, bar, offset, width, th_take(in, 4));
    }
}

/* Configuration space: mostly the capability that gives access without BARs, which is put together
 * in three writes. */
static void
step_config(struct target *t, struct th_input *in, uint32_t op)
{
    uint32_t cap = t->pci_cfg;

    switch (op >> 4 & 3) {
    case 0:
        th_pci_write(t->dev, cap + 8, 4, th_take(in, 2));
        th_pci_write(t->dev, cap + 12, 4, th_take(in, 1) % 8);
        break;
    case 1:
        th_pci_write(t->dev, cap + 4 + (op >> 6) * 4, op & 0x40 ? 4 : 1, th_take(in, 4));
        break;
    case 2:
        (void)th_pci_read(t->dev, cap + 16 + (op >> 6), 1u << (op >> 6) % 3);
        th_pci_write(t->dev, cap + 16, 4, th_take(in, 4));
        break;
    default: /* the command register, MSI-X on and off, anything */
        th_pci_write(t->dev, (uint32_t)th_take(in, 1) & 0xfc, 4, th_take(in, 4));
        break;
    }
}

static void
step(struct target *t, struct th_input *in)
{
    uint32_t op = (uint32_t)th_take(in, 1);

    switch (op & 0x0f) {
    case 6:
        put(t, 0x3000 + 4 * (op >> 7), 2, op >> 7);
        break;
    case 7:
        step_register(t, in, 1, op);
        break;
    case 8:
        step_register(t, in, 0, op);
        break;
    case 9:
        th_block_hold(t->disk, op >> 4 & 1);
        break;
    case 10:
        th_block_fail(t->disk, op >> 5, (uint32_t)th_take(in, 1) % 8, op & 0x10 ? -ENOSPC : -EIO,
                      0);
        break;
    case 11:
        th_block_release(t->disk, op >> 5, op >> 4 & 1);
        break;
    case 12: /* once: it takes as long as all the rest */
        if (t->saves++ == 0) {
            save_and_restore(t, (uint32_t)th_take(in, 4));
        }
        break;
    case 13:
        if (op & 0x80) {
            set_up_legacy(t, (uint32_t)features(op >> 4));
        } else {
            set_up(t, features(op >> 4 | (op & 0x40) >> 3));
        }
        break;
    case 14:
        step_config(t, in, op);
        break;
    case 15:
        th_run(t->th);
        if (th_take_request(t->th) == BP_REQUEST_STOP) {
            th_start(t->dev);
        }
        break;
    default:
        step_memory(t, in, op);
        break;
    }
}

static uint32_t
find_pci_cfg(struct bp_instance *dev)
{
    uint32_t at = th_pci_read(dev, 0x34, 1);

    while (at != 0 && !(th_pci_read(dev, at, 1) == 9 && th_pci_read(dev, at + 3, 1) == 5)) {
        at = th_pci_read(dev, at + 1, 1);
    }
    return at;
}

static void
plug(struct target *t)
{
    t->th = th_new();
    t->disk = th_block_new(t->th, "a", IMAGE_BYTES);
    t->dev = th_plug(t->th, &backplane_plugin_v1, "blk0",
                     "backend = \"a\"; queues = 2; queue_size = 16; packed = true; in_order = true;"
                     "secure_erase = true; on_read_error = \"stop\";");
    if (t->dev == NULL) {
        abort();
    }
    t->pci_cfg = find_pci_cfg(t->dev);
    th_pci_write(t->dev, t->pci_cfg + 4, 1, 1); /* the BAR that it reaches */
}

static void
clean(struct target *t, uint32_t choice)
{
    th_block_hold(t->disk, 0);
    th_block_fail(t->disk, 0, 0, 0, 0);
    th_run(t->th);
    th_reset(t->dev, BP_RESET_SYSTEM);
    th_pci_place(t->dev);
    th_start(t->dev);
    th_irq_log_clear(t->th);
    th_block_log_clear(t->disk);
    memset(th_ram(t->th, RING(0), 0x24000), 0, 0x24000);
    if (choice & 0x80) {
        set_up_legacy(t, (uint32_t)features(choice));
    } else {
        set_up(t, features(choice));
    }
    t->saves = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct target target;
    struct th_input in = {data, size};

    if (target.th == NULL) {
        plug(&target);
    }
    clean(&target, (uint32_t)th_take(&in, 1));
    for (uint32_t i = 0; i < STEPS && in.length > 0; i++) {
        step(&target, &in);
    }
    th_block_hold(target.disk, 0);
    th_run(target.th);
    if (th_take_violations(target.th) != 0) {
        abort();
    }
    if (++target.runs == RUNS_OF_A_HOST) {
        th_free(target.th);
        memset(&target, 0, sizeof(target));
    }
    return 0;
}
