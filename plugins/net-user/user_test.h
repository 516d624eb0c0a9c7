/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of net-user share: a guest whose frames are made by hand. */
#pragma once

#include <backplane/sdk/net.h>
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define GUEST_IP  0x0a00020fu
#define ROUTER_IP 0x0a000202u
#define WAIT_MS   5000u

static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 1};

struct bench {
    struct th_host *th;
    struct bp_instance *net;
    struct th_wire *wire;
};

void bench_make(struct bench *bench, const char *options);
void bench_free(struct bench *bench);
struct udp_ends {
    uint32_t from, to;
    uint16_t source, destination;
};

/* An UDP datagram in a frame. Returns its length. */
uint32_t make_udp(uint8_t *frame, struct udp_ends ends, const void *data, uint32_t length);
/* The UDP payload of the first received frame that comes from this port; NULL. */
const uint8_t *find_udp(struct bench *bench, uint16_t source, uint32_t *length);
/* The guest asks who has the router's address: libslirp learns the guest's this way, too. */
void learn_address(struct bench *bench);

/* One connection of the guest, as little of TCP as will do on a wire that loses nothing. */
struct guest_tcp {
    struct bench *bench;
    uint32_t peer;
    uint16_t port, peer_port;
    uint32_t sequence, acknowledged;
};

#define TCP_FIN 1u
#define TCP_SYN 2u
#define TCP_ACK 16u

void tcp_send(struct guest_tcp *tcp, uint32_t flags, const void *data, uint32_t length);
/* The next segment for this connection: its flags. Returns the number of its bytes, copied to data;
 * -1: none came. */
int32_t tcp_receive(struct guest_tcp *tcp, uint32_t *flags, void *data, uint32_t size);
/* Connects to peer:peer_port; 0: refused, or no answer. */
int tcp_connect(struct guest_tcp *tcp);
/* Answers the SYN that waits, from whomever. 0: none. */
int tcp_accept(struct guest_tcp *tcp, uint16_t port);
