/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target over the adapter with real units below it: CDBs with their parameter lists, task
 * management, what is in the rings, the configuration, units that come and go, disks that fail,
 * grow or hold their answers, saved states. Input: a stream of small operations; what is missing at
 * its end counts as zero. */
#include "vscsi.h"

#include <backplane/fuzz_input.h>
#include <backplane/testhost.h>

#include <stdlib.h>
#include <string.h>

extern const struct bp_plugin scsi_disk_plugin_v1;
extern const struct bp_plugin scsi_cd_plugin_v1;

#define IMAGE_BYTES (64u * 2048u)
#define DISKS       3u
#define QUEUES      4u
#define SIZE        16u
#define RING(queue) (0x10000u + (queue)*0x1000u)
#define AVAIL       0x400u
#define USED        0x800u
#define SLOT(n)     (0x20000u + (n)*0x1000u)
#define ANSWER(n)   (SLOT(n) + 0x400u)
#define DATA(n)     (0x30000u + (n)*0x2000u)
#define SLOTS       4u
#define MEMORY_END  0x38000u

/* One device serves many inputs: to make one takes longer than to run one. What the fake core
 * writes down grows, so it is made anew once in a while. */
#define RUNS_OF_A_HOST 4096u
#define STEPS          64u

struct target {
    struct th_host *th;
    struct bp_instance *dev;
    struct th_block *blocks[DISKS];
    uint32_t runs;
    uint32_t saves;
    uint32_t absent; /* units that are detached, by use */
    uint16_t next;   /* descriptor of the next request */
};

static void
put(struct target *t, uint32_t offset, uint32_t width, uint64_t value)
{
    th_bar_write(t->dev, 1, offset, width, value);
}

static void
set_up(struct target *t, uint32_t choice)
{
    uint32_t low = (choice & 7) | (choice & 8 ? (uint32_t)BP_VIRTIO_F_EVENT_IDX : 0) |
                   (choice & 16 ? (uint32_t)BP_VIRTIO_F_INDIRECT_DESC : 0);

    put(t, 0x14, 1, 0);
    th_run(t->th);
    put(t, 0x14, 1, 3);
    put(t, 8, 4, 0);
    put(t, 12, 4, low);
    put(t, 8, 4, 1);
    put(t, 12, 4, 1 | (uint32_t)((choice & 32 ? BP_VIRTIO_F_RING_PACKED : 0) >> 32));
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
    t->next = 0;
}

static void
notify(struct target *t, uint32_t queue)
{
    put(t, 0x3000 + 4 * queue, 2, queue);
}

struct piece {
    uint64_t gpa;
    uint32_t length;
    uint32_t write;
};

static void
offer(struct target *t, uint32_t queue, const struct piece *pieces, uint32_t count)
{
    uint64_t ring = RING(queue);
    uint16_t index = (uint16_t)th_read(t->th, ring + AVAIL + 2, 2);
    uint16_t head = t->next;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = ring + t->next * UINT64_C(16);

        t->next = (uint16_t)((t->next + 1) % SIZE);
        th_write(t->th, at, 8, pieces[i].gpa);
        th_write(t->th, at + 8, 8,
                 pieces[i].length | (uint64_t)(pieces[i].write * 2 + (i + 1 < count)) << 32 |
                     (uint64_t)t->next << 48);
    }
    th_write(t->th, ring + AVAIL + 4 + index % SIZE * UINT64_C(2), 2, head);
    th_write(t->th, ring + AVAIL + 2, 2, index + 1u);
    notify(t, queue);
}

static void
put_lun(struct target *t, uint64_t gpa, struct th_input *in)
{
    static const uint8_t places[][4] = {{1, 0, 0, 0}, {1, 0, 0x40, 1}, {1, 3, 0x40, 5},
                                        {1, 3, 0, 0}, {1, 0, 0xc1, 1}, {0xc1, 1}};
    uint32_t which = (uint32_t)th_take(in, 1);

    if (which >= 0xf0) {
        th_write(t->th, gpa, 8, th_take(in, 8));
    } else {
        th_write(t->th, gpa, 8, 0);
        memcpy(th_ram(t->th, gpa, 4), places[which % BP_ARRAY_LENGTH(places)], 4);
    }
}

/* Most inputs should reach a command: bytes below 128 choose one that exists. */
static uint8_t
opcode(uint8_t choice)
{
    static const uint8_t known[] = {
        0x00, 0x03, 0x04, 0x08, 0x0a, 0x12, 0x15, 0x16, 0x17, 0x1a, 0x1b, 0x1d, 0x1e, 0x23,
        0x25, 0x28, 0x2a, 0x2b, 0x2e, 0x2f, 0x34, 0x35, 0x41, 0x42, 0x43, 0x45, 0x46, 0x47,
        0x4a, 0x4b, 0x4d, 0x4e, 0x51, 0x52, 0x55, 0x56, 0x57, 0x5a, 0x5e, 0x5f, 0x88, 0x89,
        0x8a, 0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa5, 0xa6, 0xa8, 0xaa,
        0xac, 0xad, 0xae, 0xaf, 0xb6, 0xb9, 0xba, 0xbb, 0xbd, 0xbe};

    return choice < 128 ? known[choice % sizeof(known)] : choice;
}

/* A command; its parameter list comes from the input, too. */
static void
send_command(struct target *t, struct th_input *in, uint32_t op)
{
    uint32_t slot = op >> 4 & 3;
    uint32_t shape = (uint32_t)th_take(in, 1);
    uint32_t length = (uint32_t)th_take(in, 1) * 16;
    uint64_t gpa = SLOT(slot);
    uint32_t cdb_size = (uint32_t)th_bar_read(t->dev, 1, 0x2000 + VSCSI_CFG_CDB_SIZE, 4);
    uint32_t sense_size = (uint32_t)th_bar_read(t->dev, 1, 0x2000 + VSCSI_CFG_SENSE_SIZE, 4);
    struct piece pieces[4] = {{gpa, VSCSI_HEADER_BYTES + cdb_size, 0}};
    uint32_t count = 1;

    put_lun(t, gpa, in);
    th_write(t->th, gpa + 8, 8, slot);
    th_write(t->th, gpa + 16, 1, shape >> 5 & 3);
    memset(th_ram(t->th, gpa + VSCSI_HEADER_BYTES, 32), 0, 32);
    th_write(t->th, gpa + VSCSI_HEADER_BYTES, 1, opcode((uint8_t)th_take(in, 1)));
    for (uint32_t i = 1 + (shape & 15); i-- > 1;) {
        th_write(t->th, gpa + VSCSI_HEADER_BYTES + i, 1, th_take(in, 1));
    }
    if (shape & 0x10) {
        for (uint32_t i = (uint32_t)th_take(in, 1) % 64; i-- > 0;) {
            th_write(t->th, DATA(slot) + i, 1, th_take(in, 1));
        }
        pieces[count++] = (struct piece){DATA(slot), length, 0};
    }
    pieces[count++] = (struct piece){ANSWER(slot), VSCSI_RESPONSE_BYTES + sense_size, 1};
    if (!(shape & 0x10) || shape & 0x80) {
        pieces[count++] = (struct piece){DATA(slot) + 0x1000, length, 1};
    }
    offer(t, VSCSI_REQUEST + (op >> 6 & 1), pieces, count);
}

static void
send_control(struct target *t, struct th_input *in, uint32_t op)
{
    uint64_t gpa = SLOT(op >> 4 & 3);
    uint32_t type = (uint32_t)th_take(in, 1);
    const struct piece pieces[2] = {{gpa, type & 0x40 ? 16 : 24, 0}, {gpa + 0x400, 5, 1}};

    th_write(t->th, gpa, 4, type >> 4 & 3);
    th_write(t->th, gpa + 4, 4, type & 15);
    put_lun(t, gpa + (type & 0x30 ? 4 : 8), in);
    th_write(t->th, gpa + 16, 8, th_take(in, 1) & 3);
    offer(t, VSCSI_CONTROL, pieces, 2);
}

static void
send_event_buffer(struct target *t, uint32_t op)
{
    const struct piece piece = {SLOT(op >> 4 & 3) + 0x800, op & 0x80 ? 7 : VSCSI_EVENT_BYTES, 1};

    offer(t, VSCSI_EVENT, &piece, 1);
}

/* One descriptor or index of a ring as it may come. */
static void
scribble(struct target *t, struct th_input *in, uint32_t op)
{
    uint64_t ring = RING(op >> 4 & 3);
    uint32_t what = (uint32_t)th_take(in, 1);
    uint64_t at = ring + (what & 15) * UINT64_C(16);

    if (what & 0x80) {
        th_write(t->th, ring + AVAIL + (what & 0x3f), 2, th_take(in, 2));
    } else {
        th_write(t->th, at, 8, what & 0x40 ? th_take(in, 8) : SLOT(0) + th_take(in, 2));
        th_write(t->th, at + 8, 8, th_take(in, 2) | th_take(in, 4) << 32);
    }
}

static void
attach(struct target *t, uint32_t use)
{
    static const char *const ids[DISKS] = {"d0", "d1", "d2"};

    if (t->absent >> use & 1) {
        if (th_attach(t->dev, 0, use, ids[use]) != 0) {
            abort();
        }
        t->absent &= ~(1u << use);
    } else {
        for (uint32_t i = 0; i < DISKS; i++) {
            th_block_hold(t->blocks[i], 0);
        }
        th_detach(t->dev, 0, use);
        t->absent |= 1u << use;
    }
}

static void
change_block(struct target *t, struct th_input *in, uint32_t op)
{
    struct th_block *block = t->blocks[(op >> 4) % DISKS];
    uint32_t what = (uint32_t)th_take(in, 1);

    switch (what & 7) {
    case 0:
    case 1:
        th_block_hold(block, what & 1);
        break;
    case 2:
        th_block_fail(block, what >> 3 & 7, (uint32_t)th_take(in, 1) % 8, -(int32_t)(what >> 1), 0);
        break;
    case 3:
        th_block_release(block, what >> 4, what >> 3 & 1);
        break;
    case 4:
        th_block_info(block)->capacity = IMAGE_BYTES - (what >> 3) * UINT64_C(2048);
        th_block_send_event(block, BP_BLOCK_EVENT_RESIZED);
        break;
    case 5:
        th_block_set_medium(block, what >> 7);
        break;
    default:
        th_run(t->th);
        break;
    }
}

static void
save_and_restore(struct target *t, uint32_t flip)
{
    uint8_t *data = NULL;
    uint64_t length = 0;

    for (uint32_t i = 0; i < DISKS; i++) {
        th_block_hold(t->blocks[i], 0);
    }
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
step(struct target *t, struct th_input *in)
{
    uint32_t op = (uint32_t)th_take(in, 1);

    switch (op & 0x0f) {
    case 8:
        send_control(t, in, op);
        break;
    case 9:
        send_event_buffer(t, op);
        break;
    case 10:
        scribble(t, in, op);
        notify(t, op >> 6);
        break;
    case 11:
        change_block(t, in, op);
        break;
    case 12:
        attach(t, (op >> 4) % DISKS);
        break;
    case 13:
        put(t, 0x2000 + (op >> 4) * 4u, 4, th_take(in, 2));
        break;
    case 14:
        if (op & 0x80) {
            set_up(t, op >> 4 | (uint32_t)th_take(in, 1) << 3);
        } else if (t->saves++ == 0) { /* once: it takes as long as all the rest */
            save_and_restore(t, (uint32_t)th_take(in, 4));
        }
        break;
    case 15:
        th_run(t->th);
        break;
    default:
        send_command(t, in, op);
        break;
    }
}

static void
plug(struct target *t)
{
    static const char *const names[DISKS] = {"a", "b", "c"};
    const struct bp_instance *units[DISKS];

    t->th = th_new();
    th_set_loops(t->th, 2);
    for (uint32_t i = 0; i < DISKS; i++) {
        t->blocks[i] = th_block_new(t->th, names[i], IMAGE_BYTES);
    }
    units[0] = th_plug(t->th, &scsi_disk_plugin_v1, "d0", "backend = \"a\";");
    units[1] = th_plug(t->th, &scsi_cd_plugin_v1, "d1", "backend = \"b\";");
    units[2] = th_plug(t->th, &scsi_disk_plugin_v1, "d2", "backend = \"c\"; removable = true;");
    t->dev = th_plug(t->th, &backplane_plugin_v1, "scsi0",
                     "queues = 2; queue_size = 16; packed = true; queue_loops = (0, 1);"
                     "luns = ({backend = \"d0\";}, {lun = 1; backend = \"d1\";},"
                     "        {target = 3; lun = 5; backend = \"d2\";}, {target = 7;});");
    if (units[0] == NULL || units[1] == NULL || units[2] == NULL || t->dev == NULL) {
        abort();
    }
}

static void
clean(struct target *t, uint32_t choice)
{
    for (uint32_t i = 0; i < DISKS; i++) {
        th_block_hold(t->blocks[i], 0);
        th_block_fail(t->blocks[i], 0, 0, 0, 0);
        th_block_set_medium(t->blocks[i], 1);
        th_block_log_clear(t->blocks[i]);
    }
    th_run(t->th);
    for (uint32_t i = 0; i < DISKS; i++) {
        if (t->absent >> i & 1) {
            attach(t, i);
        }
    }
    th_reset(t->dev, BP_RESET_SYSTEM);
    th_pci_place(t->dev);
    th_start(t->dev);
    th_irq_log_clear(t->th);
    memset(th_ram(t->th, RING(0), MEMORY_END - RING(0)), 0, MEMORY_END - RING(0));
    set_up(t, choice);
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
    for (uint32_t i = 0; i < DISKS; i++) {
        th_block_hold(target.blocks[i], 0);
    }
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
