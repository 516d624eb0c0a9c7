/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/net-stream on the fake core: against plain sockets, and between two of its own. */
#include <backplane/sdk/net.h>
#include <backplane/testhost.h>

#include <fcntl.h>
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

static void
socket_path(char *path, size_t size)
{
    (void)snprintf(path, size, "/tmp/backplane-net-stream-%d", (int)getpid());
}

static int
connect_to(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

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
test_frames_have_their_length_before_them(void **state)
{
    struct th_host *th = th_new();
    char path[108], options[160];
    uint8_t frame[200], bytes[256];
    struct bp_instance *net;
    struct th_wire *wire;
    const struct th_net_frame *frames;
    uint32_t count, i;
    int fd;

    socket_path(path, sizeof(path));
    (void)snprintf(options, sizeof(options), "path = \"%s\";", path);
    net = plug(th, "lan", options);
    wire = th_wire_open(net, 0);
    th_wire_post(wire, 16, 2048, 12, 0);
    assert_int_equal(th_wire_info_flags(wire) & BP_NET_LINK_UP, 0);
    memset(frame, 7, sizeof(frame));
    assert_int_equal(th_wire_send(wire, frame, 60, NULL), 1); /* to nobody */
    fd = connect_to(path);
    assert_true(th_wire_wait_event(wire, BP_NET_EVENT_LINK, 1, WAIT_MS));
    assert_int_equal(th_wire_info_flags(wire) & BP_NET_LINK_UP, BP_NET_LINK_UP);
    assert_int_equal(th_wire_send(wire, frame, sizeof(frame), NULL), 1);
    assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), 204);
    assert_memory_equal(bytes, "\0\0\0\310", 4);
    assert_memory_equal(bytes + 4, frame, 200);
    for (i = 0; i < 204; i++) { /* byte by byte */
        assert_int_equal(send(fd, bytes + i, 1, 0), 1);
        th_run(th);
    }
    assert_true(th_wire_wait(wire, 1, WAIT_MS));
    frames = th_wire_frames(wire, &count);
    assert_int_equal(count, 1);
    assert_int_equal(frames[0].length, 200);
    assert_memory_equal(frames[0].data, frame, 200);
    (void)close(fd);
    assert_true(th_wire_wait_event(wire, BP_NET_EVENT_LINK, 2, WAIT_MS));
    assert_int_equal(th_wire_info_flags(wire) & BP_NET_LINK_UP, 0);
    fd = connect_to(path); /* the next one is as welcome */
    assert_true(th_wire_wait_event(wire, BP_NET_EVENT_LINK, 3, WAIT_MS));
    assert_int_equal(send(fd, "\0\2\0\0", 4, 0), 4); /* no frame is as long as that */
    assert_true(th_wire_wait_event(wire, BP_NET_EVENT_LINK, 4, WAIT_MS));
    assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), 0);
    (void)close(fd);
    th_wire_close(wire);
    th_free(th);
    assert_int_not_equal(access(path, F_OK), 0);
}

struct both {
    struct th_wire *from, *to;
    uint32_t sent, all;
};

/* Sends as much as is taken; done when everything arrived. */
static int
pump(void *opaque)
{
    struct both *both = opaque;
    static uint8_t frame[9000];
    uint32_t count;

    while (both->sent < both->all) {
        memset(frame, (int)(both->sent & 0xff), sizeof(frame));
        bp_net_store32(frame, both->sent);
        if (th_wire_send(both->from, frame, 60 + both->sent % 8900, NULL) != 1) {
            break;
        }
        both->sent++;
    }
    (void)th_wire_frames(both->to, &count);
    return count >= both->all;
}

/* A peer that says `bytes` is disconnected, and the next one is as welcome. */
static void
assert_dropped(struct th_wire *wire, const char *path, const void *bytes, uint32_t length,
               uint32_t *events)
{
    uint8_t got[16];
    int fd = connect_to(path);

    assert_true(th_wire_wait_event(wire, BP_NET_EVENT_LINK, ++*events, WAIT_MS));
    assert_int_equal(send(fd, bytes, length, 0), (int)length);
    assert_true(th_wire_wait_event(wire, BP_NET_EVENT_LINK, ++*events, WAIT_MS));
    assert_int_equal(recv(fd, got, sizeof(got), 0), 0);
    (void)close(fd);
}

static void
test_whoever_sends_nonsense_is_disconnected(void **state)
{
    static const uint8_t empty[4], huge[4] = {0xff, 0xff, 0xff, 0xff};
    static const uint8_t long_by_one[4] = {0, 1, 0, 18}; /* BP_NET_MAX_FRAME + 1 */
    static const uint8_t late[] = {0, 0,  0,  15, 1,  2,  3,  4, 5, 6, 7, 8,
                                   9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0};
    struct th_host *th = th_new();
    char path[108], options[160];
    struct th_wire *wire;
    uint32_t events = 0, count;

    socket_path(path, sizeof(path));
    (void)snprintf(options, sizeof(options), "path = \"%s\";", path);
    wire = th_wire_open(plug(th, "lan", options), 0);
    th_wire_post(wire, 16, 2048, 12, 0);
    assert_dropped(wire, path, empty, sizeof(empty), &events);
    assert_dropped(wire, path, huge, sizeof(huge), &events);
    assert_dropped(wire, path, long_by_one, sizeof(long_by_one), &events);
    assert_dropped(wire, path, late, sizeof(late), &events);
    (void)th_wire_frames(wire, &count);
    assert_int_equal(count, 1); /* what came before the nonsense */
    th_wire_close(wire);
    th_free(th);
}

static void
test_two_of_them_lose_nothing_when_one_is_slow(void **state)
{
    struct th_host *th = th_new();
    char path[108], options[160];
    struct both both = {.all = 800};
    struct bp_instance *nets[2];
    const struct th_net_frame *frames;
    uint32_t count, i;

    socket_path(path, sizeof(path));
    (void)snprintf(options, sizeof(options), "path = \"%s\";", path);
    nets[0] = plug(th, "server", options);
    (void)snprintf(options, sizeof(options), "path = \"%s\"; server = false;", path);
    nets[1] = plug(th, "client", options);
    both.to = th_wire_open(nets[0], 0);
    both.from = th_wire_open(nets[1], 0);
    assert_true(th_wire_wait_event(both.to, BP_NET_EVENT_LINK, 1, WAIT_MS));
    assert_true(th_wire_wait_event(both.from, BP_NET_EVENT_LINK, 1, WAIT_MS));
    (void)th_run_until(th, pump, &both, 100);
    assert_true(both.sent < both.all); /* nobody takes them: the sender waits */
    (void)th_wire_frames(both.to, &count);
    assert_int_equal(count, 0);
    th_wire_post(both.to, 8, 2048, 12, BP_NET_MERGE);
    assert_true(th_run_until(th, pump, &both, 4 * WAIT_MS));
    th_run(th);
    assert_true(th_wire_writables(both.from) > 0);
    frames = th_wire_frames(both.to, &count);
    assert_int_equal(count, both.all);
    for (i = 0; i < count; i++) {
        assert_int_equal(frames[i].length, 60 + i % 8900);
        assert_int_equal(bp_net_load32(frames[i].data), i);
        assert_int_equal(frames[i].data[frames[i].length - 1], i & 0xff);
    }
    th_wire_close(both.from);
    th_wire_close(both.to);
    th_free(th);
}

static void
test_a_client_connects_when_the_server_comes_and_comes_again(void **state)
{
    struct th_host *th = th_new();
    char path[108], client_options[160], server_options[160];
    struct bp_instance *client, *server;
    struct th_wire *wire, *other;
    uint32_t round;

    socket_path(path, sizeof(path));
    (void)snprintf(server_options, sizeof(server_options), "path = \"%s\";", path);
    (void)snprintf(client_options, sizeof(client_options),
                   "path = \"%s\"; server = false; reconnect = 10;", path);
    client = plug(th, "client", client_options);
    wire = th_wire_open(client, 0);
    th_run(th);
    for (round = 0; round < 3; round++) {
        server = plug(th, round == 0 ? "a" : round == 1 ? "b" : "c", server_options);
        other = th_wire_open(server, 0);
        th_clock_step(th, 20000000);
        assert_true(th_wire_wait_event(wire, BP_NET_EVENT_LINK, round * 2 + 1, WAIT_MS));
        th_wire_close(other);
        th_destroy(server);
        assert_true(th_wire_wait_event(wire, BP_NET_EVENT_LINK, round * 2 + 2, WAIT_MS));
    }
    th_wire_close(wire);
    th_free(th);
}

static void
test_a_descriptor_is_a_cable_too(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *net;
    struct th_wire *wire;
    char options[64];
    uint8_t frame[60] = {1}, bytes[128];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    (void)snprintf(options, sizeof(options), "fd = %d;", pair[0]);
    net = plug(th, "lan", options);
    wire = th_wire_open(net, 0);
    assert_true(th_wire_wait_event(wire, BP_NET_EVENT_LINK, 1, WAIT_MS));
    assert_int_equal(th_wire_send(wire, frame, sizeof(frame), NULL), 1);
    assert_int_equal(recv(pair[1], bytes, sizeof(bytes), 0), 64);
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
    assert_refused("", "one of them");
    assert_refused("path = \"/x\"; address = \"127.0.0.1:1\";", "one of them");
    assert_refused("path = \"/nonexistent/socket\";", "cannot listen on");
    assert_refused("address = \"127.0.0.1\";", "address must be like");
    assert_refused("address = \"127.0.0.1:http\";", "cannot find");
    assert_refused("fd = 999;", "not a stream socket");
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    char path[108], options[160];

    socket_path(path, sizeof(path));
    (void)snprintf(options, sizeof(options), "path = \"%s\";", path);
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, options, NULL, NULL) >= 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_have_their_length_before_them),
        cmocka_unit_test(test_whoever_sends_nonsense_is_disconnected),
        cmocka_unit_test(test_two_of_them_lose_nothing_when_one_is_slow),
        cmocka_unit_test(test_a_client_connects_when_the_server_comes_and_comes_again),
        cmocka_unit_test(test_a_descriptor_is_a_cable_too),
        cmocka_unit_test(test_impossible_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
