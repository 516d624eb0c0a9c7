/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target over what strangers send to the card: headers and descriptors of the guest,
 * control commands, frames and offload records of the backend, saved states. Input: a stream of
 * small operations; what is missing at its end counts as zero. */
#include "test_driver.h"
#include "virtio_net.h"

#include <backplane/fuzz_input.h>

#include <stdlib.h>
#include <string.h>

#define PAIRS   2u
#define CONTROL (PAIRS * 2)
#define QUEUES  (PAIRS * 2 + 1)
#define RX_AT   DRIVER_BUFFERS
#define TX_AT   (DRIVER_BUFFERS + 0x10000u)
#define CTRL_AT (DRIVER_BUFFERS + 0x30000u)

/* One card serves many inputs: to make one takes longer than to run one. What the fake core writes
 * down grows, so it is made anew once in a while. */
#define RUNS_OF_A_HOST 2048u
#define STEPS          96u

struct target {
    struct th_host *th;
    struct th_net *wire;
    struct bp_instance *card;
    struct driver driver;
    uint32_t header;
    uint32_t runs, saves;
};

/* --- frames ---------------------------------------------------------------------------------- */

/* A frame that parsers go deep into, then changed in one place. */
static uint32_t
make_frame(struct th_input *in, uint8_t *frame)
{
    uint32_t shape = th_take(in, 1), length = 60 + th_take(in, 2) % 4000, at = 12;

    memset(frame, (int)(shape * 7), length);
    frame[0] = (uint8_t)(shape & 0x40);
    if (shape & 1) {
        bp_net_store16(frame + at, BP_NET_ETH_VLAN);
        bp_net_store16(frame + at + 2, shape);
        at += 4;
    }
    if (shape & 2) {
        bp_net_store16(frame + at, BP_NET_ETH_IP4);
        frame[at + 2] = (uint8_t)(0x45 + (shape >> 5));
        bp_net_store16(frame + at + 4, length - at - 2);
        bp_net_store16(frame + at + 8, 0);
        frame[at + 11] = shape & 8 ? BP_NET_IP_TCP : BP_NET_IP_UDP;
        at += 22;
    } else {
        bp_net_store16(frame + at, BP_NET_ETH_IP6);
        frame[at + 2] = 0x60;
        bp_net_store16(frame + at + 6, length - at - 42);
        frame[at + 8] = shape & 4 ? 0 : shape & 8 ? BP_NET_IP_TCP : BP_NET_IP_UDP;
        at += 42;
    }
    frame[(at + 12) % length] = 0x50;
    frame[th_take(in, 1) % length] = (uint8_t)th_take(in, 1);
    return length;
}

/* Mostly a record that fits, sometimes any. */
static void
make_header(struct th_input *in, uint8_t *header)
{
    uint32_t kind = th_take(in, 1);

    if (kind & 0x80) {
        th_take_bytes(in, header, NET_HDR_WITH_HASH);
        return;
    }
    memset(header, 0, NET_HDR_WITH_HASH);
    header[NET_HDR_FLAGS] = kind & 1;
    header[NET_HDR_GSO_TYPE] = (uint8_t)((kind >> 1 & 7) | (kind & 0x40) << 1);
    bp_store_le(header + NET_HDR_GSO_SIZE, 2, th_take(in, 1) * 8);
    bp_store_le(header + NET_HDR_CSUM_START, 2, kind & 0x10 ? 34 : 54);
    bp_store_le(header + NET_HDR_CSUM_OFFSET, 2, kind & 0x20 ? 16 : 6);
}

static void
send(struct target *t, struct th_input *in)
{
    uint32_t shape = th_take(in, 1), queue = shape & 2 ? 3 : 1, length, first, i, count = 0;
    uint8_t *memory = th_ram(t->th, TX_AT, 8192);
    struct piece pieces[20];
    uint64_t at = 0;

    make_header(in, memory);
    length = t->header + make_frame(in, memory + t->header);
    first = shape & 1 ? th_take(in, 2) % length : t->header;
    for (i = 0; at < length && count < BP_ARRAY_LENGTH(pieces); i++) {
        uint64_t n = i == 0 ? first : shape & 4 ? 333 : length - at;
        n = bp_min_u64(n, length - at);
        pieces[count] = (struct piece){TX_AT + at, (uint32_t)n, 0};
        count += n > 0;
        at += n;
    }
    if (shape & 0x80) { /* more than any frame */
        pieces[0].length = th_take(in, 3);
    }
    if (count > 0) {
        (void)driver_add(&t->driver, queue, pieces, count);
        driver_kick(&t->driver, queue);
    }
}

static void
receive(struct target *t, struct th_input *in)
{
    uint8_t frame[8192], header[NET_HDR_WITH_HASH];
    struct bp_net_offload offload;
    uint32_t queue = th_take(in, 1) & 1, length;

    make_header(in, header);
    memset(&offload, 0, sizeof(offload));
    offload.flags = header[NET_HDR_FLAGS];
    offload.gso_type = header[NET_HDR_GSO_TYPE];
    offload.gso_size = (uint16_t)bp_load_le(header + NET_HDR_GSO_SIZE, 2);
    offload.csum_start = (uint16_t)bp_load_le(header + NET_HDR_CSUM_START, 2);
    offload.csum_offset = (uint16_t)bp_load_le(header + NET_HDR_CSUM_OFFSET, 2);
    length = make_frame(in, frame);
    th_net_deliver(t->wire, queue, frame, length, &offload);
}

/* --- the driver ------------------------------------------------------------------------------ */

static void
post(struct target *t, struct th_input *in)
{
    uint32_t shape = th_take(in, 1), queue = shape & 1 ? 2 : 0, count = 1 + (shape >> 5), i;
    uint32_t length = 1 + th_take(in, 1) * 16;

    for (i = 0; i < count; i++) {
        struct piece pieces[2] = {{RX_AT + (uint64_t)i * 4096, length, 1},
                                  {RX_AT + (uint64_t)i * 4096 + 2048, length, 1}};
        (void)driver_add(&t->driver, queue, pieces, 1 + (shape >> 1 & 1));
    }
    driver_kick(&t->driver, queue);
}

/* A command that is likely to be one, cut or not. */
static void
command(struct target *t, struct th_input *in)
{
    uint32_t what = th_take(in, 1), length = th_take(in, 1) & 0x3f;
    uint8_t *memory = th_ram(t->th, CTRL_AT, 1024);
    struct piece pieces[3] = {{CTRL_AT, 2, 0}, {CTRL_AT + 2, length, 0}, {CTRL_AT + 512, 9, 1}};

    memory[0] = (uint8_t)(what >> 4);
    memory[1] = (uint8_t)(what & 7);
    th_take_bytes(in, memory + 2, length);
    if (what & 8) { /* both tables at their limits */
        bp_store_le(memory + 2, 4, length);
        pieces[1].length = 500;
    }
    if (pieces[1].length == 0) {
        pieces[1] = pieces[2];
    }
    (void)driver_add(&t->driver, CONTROL, pieces, pieces[1].in ? 2 : 3);
    driver_kick(&t->driver, CONTROL);
}

static uint64_t
choose(uint32_t choice)
{
    uint64_t features = NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_CTRL_OFFLOADS | NET_F_HOST_TSO4 |
                        NET_F_HOST_TSO6 | NET_F_HOST_UFO | NET_F_HOST_USO | NET_F_HOST_ECN |
                        NET_F_STATUS | NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_RX_EXTRA |
                        NET_F_GUEST_ANNOUNCE | NET_F_CTRL_MAC_ADDR | NET_F_NOTF_COAL |
                        NET_F_VQ_NOTF_COAL | NET_F_MQ;

    features |= choice & 1 ? NET_F_MRG_RXBUF : 0;
    features |= choice & 2 ? NET_F_HASH_REPORT : 0;
    features |= choice & 4 ? NET_F_RSS : 0;
    features |= choice & 8 ? NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_UFO : 0;
    features |= choice & 0x10 ? NET_F_CTRL_VLAN : 0;
    features &= choice & 0x20 ? ~(NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 |
                                  NET_F_GUEST_UFO | NET_F_CTRL_OFFLOADS)
                              : ~UINT64_C(0);
    return features;
}

static void
start(struct target *t, uint32_t choice)
{
    uint64_t features = choose(choice);

    t->header = choice & 2 ? NET_HDR_WITH_HASH : NET_HDR_MERGE;
    t->driver.modern = 1;
    if (choice & 0x40) {
        features &= UINT32_MAX;
        t->header = choice & 1 ? NET_HDR_MERGE : NET_HDR_LEGACY;
        t->driver.modern = 0;
    }
    (void)driver_start(&t->driver, features, QUEUES);
}

static void
save_and_restore(struct target *t, uint32_t flip)
{
    uint8_t *data = NULL;
    uint64_t length = 0;

    if (th_quiesce(t->card) == 0 && th_save(t->card, &data, &length) == 0) {
        if (flip & 1) {
            data[(flip >> 1) % length] ^= (uint8_t)(flip >> 24);
        }
        if (th_validate(t->card, data, length) == 0) {
            (void)th_restore(t->card, data, length);
        }
    }
    th_resume(t->card);
    th_run(t->th);
    free(data);
}

static void
step(struct target *t, struct th_input *in)
{
    uint32_t op = th_take(in, 1);

    switch (op & 0x0f) {
    case 0:
    case 1:
        send(t, in);
        break;
    case 2:
    case 3:
        receive(t, in);
        break;
    case 4:
    case 5:
        post(t, in);
        break;
    case 6:
    case 7:
    case 8:
        command(t, in);
        break;
    case 9:
        th_net_set_room(t->wire, op & 0x80 ? UINT32_MAX : op >> 4);
        break;
    case 10:
        th_net_hold(t->wire, op >> 4 & 1);
        th_net_release(t->wire, op >> 7, op >> 5 & 3);
        break;
    case 11:
        th_net_send_event(t->wire, op & 0x10 ? BP_NET_EVENT_ANNOUNCE : BP_NET_EVENT_LINK);
        th_net_info(t->wire)->flags = op & 0x20 ? BP_NET_LINK_UP : 0;
        break;
    case 12: /* once: it takes as long as all the rest */
        if (t->saves++ == 0) {
            save_and_restore(t, th_take(in, 4));
        }
        break;
    case 13:
        start(t, th_take(in, 1));
        break;
    case 14: /* configuration space, as legacy drivers write it */
        th_bar_write(t->card, 0, 20 + (op >> 4), 1, th_take(in, 1));
        break;
    default:
        th_run(t->th);
        if (op & 0x10) {
            th_clock_step(t->th, (uint64_t)th_take(in, 1) * 1000);
        }
        break;
    }
}

static void
plug(struct target *t)
{
    t->th = th_new();
    t->wire = th_net_new(t->th, "wan");
    th_net_info(t->wire)->queues = 2;
    th_net_info(t->wire)->tx_features = BP_NET_CSUM | BP_NET_TSO4;
    th_net_info(t->wire)->rx_features = BP_NET_CSUM | BP_NET_TSO4 | BP_NET_TSO6 | BP_NET_UFO;
    t->card = th_plug(t->th, &backplane_plugin_v1, "net0",
                      "backend = \"wan\"; rom = \"\"; pairs = 2; rss = true; hash_report = true; "
                      "queue_size = 16;");
    if (t->card == NULL) {
        abort();
    }
    driver_init(&t->driver, t->th, t->card, 1);
}

static void
clean(struct target *t, uint32_t choice)
{
    th_net_hold(t->wire, 0);
    th_net_set_room(t->wire, UINT32_MAX);
    th_net_info(t->wire)->flags = BP_NET_LINK_UP;
    th_net_send_event(t->wire, BP_NET_EVENT_LINK);
    th_run(t->th);
    th_reset(t->card, BP_RESET_SYSTEM);
    th_pci_place(t->card);
    th_irq_log_clear(t->th);
    th_net_clear(t->wire);
    start(t, choice);
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
    clean(&target, th_take(&in, 1));
    for (uint32_t i = 0; i < STEPS && in.length > 0; i++) {
        step(&target, &in);
    }
    th_net_hold(target.wire, 0);
    th_run(target.th);
    if (th_take_violations(target.th) != 0) {
        abort();
    }
    if (++target.runs == RUNS_OF_A_HOST || th_net_pending(target.wire) > 64) {
        th_free(target.th);
        memset(&target, 0, sizeof(target));
    }
    return 0;
}
