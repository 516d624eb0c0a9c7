/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of net-tap share: a network namespace of their own, where the peer is the kernel.
 * They need root, or user namespaces. */
#pragma once

#include <backplane/sdk/net.h>
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define WAIT_MS  5000u
#define HOST_IP  0x0a090001u
#define GUEST_IP 0x0a090002u

static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 1};

struct bench {
    struct th_host *th;
    struct bp_instance *net;
    struct th_wire *wire;
};

/* Frames of a type, as has_frames() looks for them. */
struct search {
    struct th_wire *wire;
    uint32_t type, wanted, found;
};

/* Returns 0, and says so, where there is no namespace or no TAP. */
int isolate(void);
void set_address(const char *name);
/* Tells the kernel where the guest is. */
void set_neighbour(const char *name);
int udp_socket(uint16_t port);
void udp_send(int fd, uint16_t port, const void *data, size_t length);
/* A socket for raw frames of ethertype 88b5 on the interface. */
int packet_socket(const char *name);
void raw_frame(uint8_t *frame, uint32_t length, uint8_t fill);
void bench_make(struct bench *bench, const char *options, uint32_t merge);
void bench_free(struct bench *bench);
uint32_t type_of(const struct th_net_frame *frame);
int has_frames(void *opaque);
/* Waits for `wanted` frames of a type; the kernel sends others, too. */
void wait_for(struct bench *bench, uint32_t type, uint32_t wanted);
/* The n-th received frame of a type. */
const struct th_net_frame *frame_of(struct bench *bench, uint32_t type, uint32_t n);
/* A UDP datagram of the guest for the host, with the pseudo header's sum only. */
uint32_t guest_udp(uint8_t *frame, uint16_t port, uint32_t length, struct bp_net_offload *offload);
