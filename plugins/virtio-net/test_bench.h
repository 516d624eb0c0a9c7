/* SPDX-License-Identifier: Apache-2.0 */
/* A card on the fake core with a fake network and a small driver. */
#pragma once

#include "test_driver.h"

#define RX_GPA   DRIVER_BUFFERS
#define TX_GPA   (DRIVER_BUFFERS + 0x200000u)
#define CTRL_GPA (DRIVER_BUFFERS + 0x400000u)

struct bench {
    struct th_host *th;
    struct th_net *wire;
    struct bp_instance *card;
    struct driver driver;
    uint32_t header;
    uint32_t control; /* index of the control queue */
};

void bench_make(struct bench *bench, const char *options, uint32_t modern);
void bench_make_on_loops(struct bench *bench, const char *options, uint32_t modern, uint32_t loops);
/* Negotiates, sets queues 0..queues-1 up. */
void bench_start(struct bench *bench, uint64_t features, uint32_t queues);
void post_rx(struct bench *bench, uint32_t queue, uint32_t count, uint32_t length);
/* Sends a header and a frame that lie in two pieces. Returns whether it came back. */
int send_frame(struct bench *bench, uint32_t queue, const uint8_t *header, const uint8_t *frame,
               uint32_t length);
/* A control command on queue bench->control; returns its answer, 0x77 if there is none. */
uint32_t command(struct bench *bench, uint32_t class, uint32_t number, const void *data,
                 uint32_t length);
void make_frame(uint8_t *frame, uint32_t length, const char *to);
/* Delivers a frame to this address; whether the guest got it. */
int reaches(struct bench *bench, const char *to);
