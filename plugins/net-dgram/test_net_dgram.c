/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/net-dgram on the fake core: against plain sockets, and between its own. */
#include <backplane/sdk/net.h>
#include <backplane/testhost.h>

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 5000u
#define ALL     3000u

static struct bp_instance *
plug(struct th_host *th, const char *id, const char *options)
{
    struct bp_instance *net = th_plug(th, &backplane_plugin_v1, id, options);

    if (net == NULL) {
        fail_msg("%s", th_error_text(th));
    }
    return net;
}

static void
unix_options(char *options, size_t size, char mine, char other)
{
    (void)snprintf(
        options, size,
        "path = \"/tmp/backplane-dgram-%d%c\"; peer_path = \"/tmp/backplane-dgram-%d%c\";",
        (int)getpid(), mine, (int)getpid(), other);
}

static int
unix_socket(char mine, char other)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/backplane-dgram-%d%c", (int)getpid(),
                   mine);
    (void)unlink(un.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/backplane-dgram-%d%c", (int)getpid(),
                   other);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

static void
unix_gone(int fd, char mine)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/tmp/backplane-dgram-%d%c", (int)getpid(), mine);
    (void)unlink(path);
    (void)close(fd);
}

/* A UDP socket of the host, at *port (0: any). */
static int
udp_socket(uint16_t *port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(*port)};
    struct timeval timeout = {.tv_sec = 5};
    socklen_t length = sizeof(here);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &length), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    *port = ntohs(here.sin_port);
    return fd;
}

static void
udp_send(int fd, uint16_t port, const void *data, size_t length)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};

    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(sendto(fd, data, length, 0, (struct sockaddr *)&there, sizeof(there)),
                     (int)length);
}

/* A port that is free now. */
static uint16_t
free_port(void)
{
    uint16_t port = 0;

    (void)close(udp_socket(&port));
    return port;
}

static uint32_t
frame_count(struct th_wire *wire)
{
    uint32_t count;

    (void)th_wire_frames(wire, &count);
    return count;
}

static void
test_a_frame_is_a_datagram_and_strangers_are_not_heard(void **state)
{
    struct th_host *th = th_new();
    uint16_t peer_port = 0, port = free_port(), other_port = 0;
    int peer = udp_socket(&peer_port), other = udp_socket(&other_port);
    uint8_t frame[2000] = {1, 2, 3}, got[2000];
    const struct th_net_frame *frames;
    struct th_wire *wire;
    char options[128];
    uint32_t count;

    (void)snprintf(options, sizeof(options), "address = \"127.0.0.1:%u\"; peer = \"127.0.0.1:%u\";",
                   port, peer_port);
    wire = th_wire_open(plug(th, "lan", options), 0);
    th_wire_post(wire, 32, 2048, 12, 0);
    assert_int_equal(th_wire_info_flags(wire) & BP_NET_LINK_UP, BP_NET_LINK_UP);
    assert_int_equal(th_wire_send(wire, frame, 1514, NULL), 1);
    assert_int_equal(recv(peer, got, sizeof(got), 0), 1514);
    assert_memory_equal(got, frame, 1514);
    udp_send(other, port, frame, 77);
    udp_send(peer, port, frame, 13); /* no frame */
    udp_send(peer, port, frame, 1999);
    udp_send(peer, port, frame, 60);
    assert_true(th_wire_wait(wire, 2, WAIT_MS));
    frames = th_wire_frames(wire, &count);
    assert_int_equal(count, 2);
    assert_int_equal(frames[0].length, 1999);
    assert_int_equal(frames[1].length, 60);
    (void)close(peer);
    for (uint32_t i = 0; i < 10; i++) { /* refused by the host's ICMP: lost, no more */
        assert_int_equal(th_wire_send(wire, frame, 100 + i, NULL), 1);
        th_run(th);
    }
    peer = udp_socket(&peer_port);
    assert_int_equal(th_wire_send(wire, frame, 200, NULL), 1);
    assert_int_equal(recv(peer, got, sizeof(got), 0), 200);
    th_wire_close(wire);
    th_free(th);
    (void)close(peer);
    (void)close(other);
}

struct both {
    struct th_wire *from, *to;
    uint32_t sent;
};

/* Sends as much as is taken; done when everything arrived. */
static int
pump(void *opaque)
{
    struct both *both = opaque;
    static uint8_t frame[9000];

    while (both->sent < ALL) {
        memset(frame, (int)(both->sent & 0xff), sizeof(frame));
        bp_net_store32(frame, both->sent);
        if (th_wire_send(both->from, frame, 60 + both->sent % 8900, NULL) != 1) {
            break;
        }
        both->sent++;
    }
    return frame_count(both->to) >= ALL;
}

static void
test_unix_sockets_lose_nothing_when_one_end_is_slow(void **state)
{
    struct th_host *th = th_new();
    struct both both = {0};
    struct bp_instance *nets[2];
    const struct th_net_frame *frames;
    char options[160];
    uint32_t count;

    unix_options(options, sizeof(options), 'a', 'b');
    nets[0] = plug(th, "a", options);
    unix_options(options, sizeof(options), 'b', 'a');
    nets[1] = plug(th, "b", options);
    both.from = th_wire_open(nets[0], 0);
    both.to = th_wire_open(nets[1], 0);
    th_run(th);
    (void)th_run_until(th, pump, &both, 100);
    assert_true(both.sent < ALL); /* nobody takes them: the sender waits */
    th_wire_post(both.to, 8, 2048, 12, BP_NET_MERGE);
    assert_true(th_run_until(th, pump, &both, 4 * WAIT_MS));
    assert_true(th_wire_writables(both.from) > 0);
    frames = th_wire_frames(both.to, &count);
    assert_int_equal(count, ALL);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(frames[i].length, 60 + i % 8900);
        assert_int_equal(bp_net_load32(frames[i].data), i);
        assert_int_equal(frames[i].data[frames[i].length - 1], i & 0xff);
    }
    th_wire_close(both.from);
    th_wire_close(both.to);
    th_free(th);
}

static void
test_the_other_end_of_a_unix_socket_comes_and_goes(void **state)
{
    struct th_host *th = th_new();
    uint8_t frame[100] = {9}, got[200];
    struct th_wire *wire;
    char options[160];
    int peer, stranger;

    unix_options(options, sizeof(options), 'a', 'b');
    wire = th_wire_open(plug(th, "lan", options), 0);
    th_wire_post(wire, 8, 2048, 12, 0);
    th_run(th);
    assert_int_equal(th_wire_send(wire, frame, 60, NULL), 1); /* to nobody */
    stranger = unix_socket('c', 'a');
    assert_int_equal(send(stranger, frame, 66, 0), 66); /* nobody is connected to yet */
    for (uint32_t round = 0; round < 3; round++) {
        peer = unix_socket('b', 'a');
        th_clock_step(th, 1000000001);
        assert_int_equal(send(stranger, frame, 66, 0), -1);
        assert_int_equal(th_wire_send(wire, frame, 80 + round, NULL), 1);
        assert_int_equal(recv(peer, got, sizeof(got), MSG_DONTWAIT), 80 + (int)round);
        assert_int_equal(send(peer, frame, 90, 0), 90);
        assert_true(th_wire_wait(wire, round + 1, WAIT_MS));
        unix_gone(peer, 'b');
        assert_int_equal(th_wire_send(wire, frame, 70, NULL), 1);
        th_clock_step(th, 1000000001);
    }
    assert_int_equal(frame_count(wire), 3);
    unix_gone(stranger, 'c');
    th_wire_close(wire);
    th_free(th);
}

static void
test_a_group_reaches_everybody_but_oneself(void **state)
{
    static const char options[] =
        "group = \"239.77.66.55:12345\"; group_interface = \"127.0.0.1\";";
    struct th_host *th = th_new();
    struct th_wire *wires[3];
    uint8_t frame[300] = {5};

    for (uint32_t i = 0; i < 3; i++) {
        struct bp_instance *net = th_plug(th, &backplane_plugin_v1,
                                          i == 0   ? "a"
                                          : i == 1 ? "b"
                                                   : "c",
                                          options);
        if (net == NULL) { /* a host without multicast */
            print_message("%s\n", th_error_text(th));
            th_free(th);
            skip();
        }
        wires[i] = th_wire_open(net, 0);
        th_wire_post(wires[i], 8, 2048, 12, 0);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(th_wire_send(wires[i], frame, 100 + i, NULL), 1);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(th_wire_wait(wires[i], 2, WAIT_MS));
    }
    th_run(th);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t count;
        const struct th_net_frame *frames = th_wire_frames(wires[i], &count);
        assert_int_equal(count, 2);
        assert_int_equal(frames[0].length, i == 0 ? 101 : 100);
        assert_int_equal(frames[1].length, i == 2 ? 101 : 102);
        th_wire_close(wires[i]);
    }
    th_free(th);
}

static void
test_a_descriptor_is_a_cable_too(void **state)
{
    struct th_host *th = th_new();
    struct th_wire *wire;
    uint8_t frame[60] = {1}, got[128];
    char options[64];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(options, sizeof(options), "fd = %d;", pair[0]);
    wire = th_wire_open(plug(th, "lan", options), 0);
    th_wire_post(wire, 8, 2048, 12, 0);
    assert_int_equal(th_wire_send(wire, frame, sizeof(frame), NULL), 1);
    assert_int_equal(recv(pair[1], got, sizeof(got), 0), 60);
    assert_int_equal(send(pair[1], frame, 60, 0), 60);
    assert_true(th_wire_wait(wire, 1, WAIT_MS));
    th_wire_close(wire);
    th_free(th);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void
assert_refused(const char *options, const char *text)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &backplane_plugin_v1, "lan", options));
    if (strstr(th_error_text(th), text) == NULL) {
        fail_msg("'%s' does not say '%s'", th_error_text(th), text);
    }
    th_free(th);
}

static void
test_impossible_descriptions_are_refused_with_a_reason(void **state)
{
    char options[64];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_refused("", "one of them");
    assert_refused("group = \"230.0.0.1:1\"; address = \"127.0.0.1:1\";", "one of them");
    assert_refused("path = \"/tmp/x\";", "both path and peer_path");
    assert_refused("address = \"127.0.0.1:1\";", "both address and peer");
    assert_refused("path = \"/nonexistent/socket\"; peer_path = \"/tmp/x\";", "cannot receive at");
    assert_refused("address = \"192.0.2.1:5\"; peer = \"127.0.0.1:5\";", "cannot receive at");
    assert_refused("group = \"10.0.0.1:5\";", "must be a multicast address");
    assert_refused("group = \"230.0.0.1:5\"; group_interface = \"lo\";", "is no IPv4 address");
    assert_refused("fd = 999;", "not a datagram socket");
    (void)snprintf(options, sizeof(options), "fd = %d;", fd);
    assert_refused(options, "has no other end");
    (void)close(fd);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    char options[160];

    unix_options(options, sizeof(options), 'a', 'b');
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, options, NULL, NULL) >= 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_is_a_datagram_and_strangers_are_not_heard),
        cmocka_unit_test(test_unix_sockets_lose_nothing_when_one_end_is_slow),
        cmocka_unit_test(test_the_other_end_of_a_unix_socket_comes_and_goes),
        cmocka_unit_test(test_a_group_reaches_everybody_but_oneself),
        cmocka_unit_test(test_a_descriptor_is_a_cable_too),
        cmocka_unit_test(test_impossible_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
