/* SPDX-License-Identifier: Apache-2.0 */
/* See test_bench.h. */
#include "test_bench.h"
#include "virtio_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void
bench_make(struct bench *bench, const char *options, uint32_t modern)
{
    bench_make_on_loops(bench, options, modern, 1);
}

void
bench_make_on_loops(struct bench *bench, const char *options, uint32_t modern, uint32_t loops)
{
    char text[256];

    memset(bench, 0, sizeof(*bench));
    bench->th = th_new();
    th_set_loops(bench->th, loops);
    bench->wire = th_net_new(bench->th, "wan");
    (void)snprintf(text, sizeof(text), "backend = \"wan\"; rom = \"\"; %s", options);
    bench->card = th_plug(bench->th, &backplane_plugin_v1, "net0", text);
    assert_non_null(bench->card);
    driver_init(&bench->driver, bench->th, bench->card, modern);
}

void
bench_start(struct bench *bench, uint64_t features, uint32_t queues)
{
    assert_int_equal(driver_start(&bench->driver, features, queues), 1);
    bench->control = features & (NET_F_MQ | NET_F_RSS) ? queues - 1 : 2;
    bench->header = (features & NET_F_HASH_REPORT)                         ? NET_HDR_WITH_HASH
                    : bench->driver.modern || (features & NET_F_MRG_RXBUF) ? NET_HDR_MERGE
                                                                           : NET_HDR_LEGACY;
}

void
post_rx(struct bench *bench, uint32_t queue, uint32_t count, uint32_t length)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        struct piece piece = {RX_GPA + queue * 0x80000u + (uint64_t)i * length, length, 1};
        (void)driver_add(&bench->driver, queue, &piece, 1);
    }
    driver_kick(&bench->driver, queue);
}

int
send_frame(struct bench *bench, uint32_t queue, const uint8_t *header, const uint8_t *frame,
           uint32_t length)
{
    struct piece pieces[2] = {{TX_GPA, bench->header, 0}, {TX_GPA + 64, length, 0}};
    uint32_t id, used;

    memcpy(th_ram(bench->th, TX_GPA, bench->header), header, bench->header);
    memcpy(th_ram(bench->th, TX_GPA + 64, length), frame, length);
    (void)driver_add(&bench->driver, queue, pieces, 2);
    driver_kick(&bench->driver, queue);
    return driver_used(&bench->driver, queue, &id, &used);
}

uint32_t
command(struct bench *bench, uint32_t class, uint32_t number, const void *data, uint32_t length)
{
    struct piece pieces[3] = {{CTRL_GPA, 2, 0}, {CTRL_GPA + 16, length, 0}, {CTRL_GPA + 8, 1, 1}};
    uint8_t *memory = th_ram(bench->th, CTRL_GPA, 16 + length);
    uint32_t id, used;

    memory[0] = (uint8_t) class;
    memory[1] = (uint8_t)number;
    memory[8] = 0x77;
    memcpy(memory + 16, data, length);
    if (length == 0) {
        pieces[1] = pieces[2];
    }
    (void)driver_add(&bench->driver, bench->control, pieces, length == 0 ? 2 : 3);
    driver_kick(&bench->driver, bench->control);
    assert_int_equal(driver_used(&bench->driver, bench->control, &id, &used), 1);
    return memory[8];
}

void
make_frame(uint8_t *frame, uint32_t length, const char *to)
{
    uint32_t i;

    for (i = 0; i < length; i++) {
        frame[i] = (uint8_t)(i * 3);
    }
    memcpy(frame, to, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5;
}

int
reaches(struct bench *bench, const char *to)
{
    uint8_t frame[60];
    uint32_t id, used;
    int got;

    make_frame(frame, sizeof(frame), to);
    th_net_deliver(bench->wire, 0, frame, sizeof(frame), NULL);
    th_run(bench->th);
    assert_int_equal(th_net_pending(bench->wire), 0);
    got = driver_used(&bench->driver, 0, &id, &used);
    return got;
}
