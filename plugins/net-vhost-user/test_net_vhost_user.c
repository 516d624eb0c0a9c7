/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/net-vhost-user on the fake core, against another end of our own, good and bad. */
#include "vhost_peer.h"

#include <backplane/sdk/net.h>
#include <backplane/testhost.h>

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
#define HEADER  12u

struct rig {
    struct th_host *th;
    struct th_wire *wire;
    struct vhost_peer peer;
    struct bp_instance *net;
    char path[108];
    uint32_t running; /* awaited */
};

static int
rings_run(void *opaque)
{
    struct rig *rig = opaque;

    return vhost_peer_running(&rig->peer) == rig->running;
}

/* What changes on the peer's thread wakes nobody here: looked at now and then. */
static int
come(struct rig *rig, int (*done)(void *opaque))
{
    for (uint32_t i = 0; i < WAIT_MS / 5; i++) {
        if (th_run_until(rig->th, done, rig, 5)) {
            return 1;
        }
    }
    return 0;
}

static void
connect_peer(struct rig *rig)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", rig->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    vhost_peer_start(&rig->peer, fd);
}

/* A backend that listens, with a queue open. */
static void
begin(struct rig *rig, const char *more)
{
    char options[256];

    memset(rig, 0, sizeof(*rig));
    rig->th = th_new();
    vhost_peer_init(&rig->peer);
    (void)snprintf(rig->path, sizeof(rig->path), "/tmp/backplane-vhost-user-%d", (int)getpid());
    (void)snprintf(options, sizeof(options), "path = \"%s\"; server = true; %s", rig->path, more);
    rig->net = th_plug(rig->th, &backplane_plugin_v1, "lan", options);
    if (rig->net == NULL) {
        fail_msg("%s", th_error_text(rig->th));
    }
    rig->wire = th_wire_open(rig->net, 0);
    assert_non_null(rig->wire);
    rig->running = 2;
}

static void
begin_connected(struct rig *rig)
{
    begin(rig, "");
    connect_peer(rig);
    assert_true(th_wire_wait_event(rig->wire, BP_NET_EVENT_LINK, 1, WAIT_MS));
    assert_true(come(rig, rings_run));
}

static void
end(struct rig *rig)
{
    th_wire_close(rig->wire);
    vhost_peer_stop(&rig->peer);
    th_free(rig->th);
}

static void
test_frames_go_both_ways_behind_a_header(void **state)
{
    struct rig rig;
    uint8_t frame[60000], got[70000];
    const struct th_net_frame *frames;
    uint32_t count, i;

    begin(&rig, "mtu = 1500;");
    rig.peer.protocol |= 16; /* MTU */
    th_wire_post(rig.wire, 64, 2048, 12, BP_NET_MERGE);
    assert_int_equal(th_wire_send(rig.wire, frame, 60, NULL), 1); /* to nobody */
    connect_peer(&rig);
    assert_true(th_wire_wait_event(rig.wire, BP_NET_EVENT_LINK, 1, WAIT_MS));
    assert_int_equal(th_wire_info_flags(rig.wire) & BP_NET_LINK_UP, BP_NET_LINK_UP);
    assert_int_equal(rig.peer.mtu, 1500);
    for (i = 0; i < sizeof(frame); i++) {
        frame[i] = (uint8_t)(i * 7);
    }
    for (i = 60; i <= sizeof(frame); i = i * 3 + 1) {
        assert_int_equal(th_wire_send(rig.wire, frame, i, NULL), 1);
        assert_int_equal(vhost_peer_take(&rig.peer, 1, got, sizeof(got)), HEADER + i);
        assert_memory_equal(got + HEADER, frame, i);
        memset(got, 0, HEADER);
        assert_int_equal(vhost_peer_give(&rig.peer, 0, got, HEADER + i), 1);
        assert_true(th_wire_wait(rig.wire, 1, WAIT_MS));
        frames = th_wire_frames(rig.wire, &count);
        assert_int_equal(count, 1);
        assert_int_equal(frames[0].length, i);
        assert_memory_equal(frames[0].data, frame, i);
        th_wire_clear(rig.wire);
    }
    assert_int_equal(vhost_peer_take(&rig.peer, 1, got, sizeof(got)), 0);
    end(&rig);
}

/* The rings were stopped and run again, with other features. */
static int
is_told_again(void *opaque)
{
    struct rig *rig = opaque;
    uint8_t got[100] = {0};
    int there = 0;

    if (rig->peer.requests[11] == 2 && rings_run(rig) &&
        th_wire_send(rig->wire, got, 14, NULL) == 1) {
        there = vhost_peer_take(&rig->peer, 1, got, sizeof(got)) != 0;
    }
    return there;
}

static void
test_offloads_are_those_of_both_ends(void **state)
{
    const struct bp_net_offload large = {.flags = BP_NET_NEEDS_CSUM,
                                         .gso_type = BP_NET_GSO_TCP4,
                                         .gso_size = 1448,
                                         .csum_start = 34,
                                         .csum_offset = 16};
    struct rig rig;
    uint8_t frame[4000] = {0}, got[5000];
    const struct th_net_frame *frames;
    uint32_t count;

    begin_connected(&rig);
    assert_int_equal(rig.peer.acked & 0x82, 0); /* nobody takes large frames yet */
    th_wire_post(rig.wire, 8, 2048, 12, BP_NET_MERGE);
    assert_int_equal(th_wire_set_features(rig.wire, BP_NET_UFO), -EINVAL);
    assert_int_equal(th_wire_set_features(rig.wire, BP_NET_CSUM | BP_NET_TSO4), 0);
    assert_true(come(&rig, is_told_again));
    assert_int_equal(rig.peer.acked & 0x82, 0x82);
    assert_int_equal(th_wire_send(rig.wire, frame, sizeof(frame), &large), 1);
    assert_int_equal(vhost_peer_take(&rig.peer, 1, got, sizeof(got)), HEADER + sizeof(frame));
    assert_memory_equal(got, "\1\1\0\0\250\5\42\0\20\0", 10);
    assert_int_equal(vhost_peer_give(&rig.peer, 0, got, HEADER + sizeof(frame)), 1);
    assert_true(th_wire_wait(rig.wire, 1, WAIT_MS));
    frames = th_wire_frames(rig.wire, &count);
    assert_int_equal(frames[0].offload.gso_size, 1448);
    assert_int_equal(frames[0].offload.csum_offset, 16);
    got[1] = 3; /* UFO: not asked for. Dropped, as is what lies outside of the frame. */
    assert_int_equal(vhost_peer_give(&rig.peer, 0, got, HEADER + sizeof(frame)), 1);
    got[1] = 1;
    got[7] = 0xff;
    assert_int_equal(vhost_peer_give(&rig.peer, 0, got, HEADER + sizeof(frame)), 1);
    assert_int_equal(vhost_peer_give(&rig.peer, 0, "\0\0\0\0\0\0\0\0\0\0\0\0end of the line", 27),
                     1);
    assert_true(th_wire_wait(rig.wire, 2, WAIT_MS));
    frames = th_wire_frames(rig.wire, &count);
    assert_int_equal(count, 2);
    assert_int_equal(frames[1].length, 15);
    end(&rig);
}

static void
test_who_has_no_buffers_waits_and_loses_nothing(void **state)
{
    struct rig rig;
    uint8_t frame[HEADER + 100] = {0};
    const struct th_net_frame *frames;
    uint32_t count, given = 0, i;

    begin_connected(&rig);
    do { /* until there is no more room in the ring */
        frame[HEADER] = (uint8_t)given;
        frame[HEADER + 1] = (uint8_t)(given >> 8);
    } while (vhost_peer_give(&rig.peer, 0, frame, sizeof(frame)) && ++given < 10000);
    assert_int_equal(given, 512);
    th_run(rig.th);
    (void)th_wire_frames(rig.wire, &count);
    assert_int_equal(count, 0);
    th_wire_post(rig.wire, 4, 2048, 12, 0);
    assert_true(th_wire_wait(rig.wire, given, WAIT_MS));
    frames = th_wire_frames(rig.wire, &count);
    for (i = 0; i < count; i++) {
        assert_int_equal(frames[i].data[0] | frames[i].data[1] << 8, i);
    }
    end(&rig);
}

static void
test_a_full_ring_makes_the_sender_wait(void **state)
{
    struct rig rig;
    uint8_t frame[100] = {0}, got[200];
    uint32_t sent = 0, taken;

    begin_connected(&rig);
    while (th_wire_send(rig.wire, frame, sizeof(frame), NULL) == 1) {
        sent++;
        assert_true(sent < 10000);
        frame[0] = (uint8_t)sent;
    }
    assert_int_equal(sent, 512);
    assert_int_equal(th_wire_writables(rig.wire), 0);
    for (taken = 0; taken < sent; taken++) {
        assert_int_equal(vhost_peer_take(&rig.peer, 1, got, sizeof(got)), HEADER + sizeof(frame));
        assert_int_equal(got[HEADER], taken & 0xff);
        if (taken == 0) {
            th_run(rig.th);
            assert_int_equal(th_wire_writables(rig.wire), 1);
            assert_int_equal(th_wire_send(rig.wire, frame, sizeof(frame), NULL), 1);
            sent++;
        }
    }
    end(&rig);
}

/* What the first other end had and did not use, the second one gets, in order; and what the first
 * one gave before it went is received. */
static void
test_another_end_goes_on_where_the_last_one_left(void **state)
{
    struct rig rig;
    uint8_t frame[100] = {0}, got[200] = {0};
    const struct th_net_frame *frames;
    uint32_t round, i, count;

    begin_connected(&rig);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 5; i++) {
            frame[0] = (uint8_t)(round * 5 + i);
            assert_int_equal(th_wire_send(rig.wire, frame, sizeof(frame), NULL), 1);
        }
        assert_true(vhost_peer_take(&rig.peer, 1, got, sizeof(got)) > 0);
        assert_int_equal(got[HEADER], round);
        memset(got, 0, HEADER);
        assert_int_equal(vhost_peer_give(&rig.peer, 0, got, sizeof(frame)), 1);
        vhost_peer_stop(&rig.peer);
        assert_true(th_wire_wait_event(rig.wire, BP_NET_EVENT_LINK, 2 * round + 2, WAIT_MS));
        if (round == 1) {
            rig.peer.features &= ~PEER_EVENT_IDX; /* nor need it be of the same kind */
        }
        connect_peer(&rig);
        assert_true(th_wire_wait_event(rig.wire, BP_NET_EVENT_LINK, 2 * round + 3, WAIT_MS));
        assert_true(come(&rig, rings_run));
    }
    for (i = 3; i < 15; i++) {
        assert_true(vhost_peer_take(&rig.peer, 1, got, sizeof(got)) > 0);
        assert_int_equal(got[HEADER], i);
    }
    th_wire_post(rig.wire, 8, 2048, 12, 0);
    assert_true(th_wire_wait(rig.wire, 3, WAIT_MS));
    frames = th_wire_frames(rig.wire, &count);
    for (i = 0; i < 3; i++) {
        assert_int_equal(frames[i].data[0], i);
    }
    end(&rig);
}

static void
test_without_mergeable_buffers_a_frame_lies_in_one_chain(void **state)
{
    struct rig rig;
    uint8_t frame[HEADER + 60000] = {0};
    uint32_t count;

    begin(&rig, "");
    rig.peer.features &= ~PEER_MERGE;
    connect_peer(&rig);
    assert_true(th_wire_wait_event(rig.wire, BP_NET_EVENT_LINK, 1, WAIT_MS));
    th_wire_post(rig.wire, 4, 65000, 12, 0);
    frame[HEADER + 59999] = 7;
    assert_int_equal(vhost_peer_give(&rig.peer, 0, frame, sizeof(frame)), 1);
    assert_true(th_wire_wait(rig.wire, 1, WAIT_MS));
    assert_int_equal(th_wire_frames(rig.wire, &count)[0].data[59999], 7);
    end(&rig);
}

static void
test_several_queues_have_rings_of_their_own(void **state)
{
    struct rig rig;
    struct th_wire *second;
    uint8_t frame[60] = {0}, got[100];

    begin(&rig, "queues = 2;");
    second = th_wire_open(rig.net, 1);
    assert_non_null(second);
    connect_peer(&rig);
    assert_true(th_wire_wait_event(rig.wire, BP_NET_EVENT_LINK, 1, WAIT_MS));
    rig.running = 4;
    assert_true(come(&rig, rings_run));
    assert_int_not_equal(rig.peer.acked & UINT64_C(1) << 22, 0);
    assert_int_equal(th_wire_send(second, frame, sizeof(frame), NULL), 1);
    assert_int_equal(vhost_peer_take(&rig.peer, 1, got, sizeof(got)), 0);
    assert_int_equal(vhost_peer_take(&rig.peer, 3, got, sizeof(got)), HEADER + sizeof(frame));
    th_wire_close(second);
    rig.running = 2;
    assert_true(come(&rig, rings_run));
    second = th_wire_open(rig.net, 1);
    rig.running = 4;
    assert_true(come(&rig, rings_run));
    th_wire_close(second);
    end(&rig);
}

static int
is_told(void *opaque)
{
    struct rig *rig = opaque;

    return th_logged(rig->th, "dropping the connection");
}

static void
assert_disliked(void (*spoil)(struct vhost_peer *peer))
{
    struct rig rig;

    begin(&rig, "queues = 2;");
    spoil(&rig.peer);
    connect_peer(&rig);
    assert_true(come(&rig, is_told));
    assert_int_equal(th_wire_info_flags(rig.wire) & BP_NET_LINK_UP, 0);
    end(&rig);
}

static void
spoil_queues(struct vhost_peer *peer)
{
    peer->queues = 1;
}

static void
spoil_version(struct vhost_peer *peer)
{
    peer->features = UINT64_C(1) << 30;
}

static void
spoil_request(struct vhost_peer *peer)
{
    peer->mistake = PEER_WRONG_REQUEST;
}

static void
spoil_length(struct vhost_peer *peer)
{
    peer->mistake = PEER_LONG_ANSWER;
}

static void
spoil_flags(struct vhost_peer *peer)
{
    peer->mistake = PEER_NO_REPLY_FLAG;
}

static void
spoil_silence(struct vhost_peer *peer)
{
    peer->mistake = PEER_CHATTERS;
}

static void
spoil_memory(struct vhost_peer *peer)
{
    peer->refuse = 5;
}

static void
test_an_end_that_will_not_do_is_dropped_with_a_reason(void **state)
{
    assert_disliked(spoil_queues);
    assert_disliked(spoil_version);
    assert_disliked(spoil_request);
    assert_disliked(spoil_length);
    assert_disliked(spoil_flags);
    assert_disliked(spoil_silence);
    assert_disliked(spoil_memory);
}

/* Lies in the used rings: each has the connection dropped, and the next one works. */
static void
test_a_ring_that_lies_is_dropped(void **state)
{
    static const struct {
        uint32_t ring, id, length;
        uint16_t idx;
    } lies[] = {
        {0, 600, 100, 1},   {0, 3, 100000, 1}, {0, 3, 4, 1},  {0, 3, 100, 9},
        {0, 3, 100, 40000}, {1, 600, 0, 1},    {1, 17, 0, 1}, {1, 0, 0, 300},
    };
    struct rig rig;
    uint8_t frame[60] = {0}, got[100];
    uint32_t i, events = 1;

    begin_connected(&rig);
    th_wire_post(rig.wire, 32, 2048, 12, 0);
    for (i = 0; i < BP_ARRAY_LENGTH(lies); i++) {
        struct vring_used *used = vhost_peer_used(&rig.peer, lies[i].ring);
        used->ring[used->idx % 512] = (struct vring_used_elem){lies[i].id, lies[i].length};
        used->idx = (uint16_t)(used->idx + lies[i].idx);
        vhost_peer_call(&rig.peer, 0);
        th_run(rig.th);
        (void)th_wire_send(rig.wire, frame, sizeof(frame), NULL);
        assert_true(th_wire_wait_event(rig.wire, BP_NET_EVENT_LINK, ++events, WAIT_MS));
        vhost_peer_stop(&rig.peer);
        connect_peer(&rig);
        assert_true(th_wire_wait_event(rig.wire, BP_NET_EVENT_LINK, ++events, WAIT_MS));
        while (vhost_peer_take(&rig.peer, 1, got, sizeof(got)) > 0) {
        }
        assert_int_equal(th_wire_send(rig.wire, frame, sizeof(frame), NULL), 1);
        assert_int_equal(vhost_peer_take(&rig.peer, 1, got, sizeof(got)), HEADER + sizeof(frame));
    }
    end(&rig);
}

static void
scribble(struct vhost_peer *peer)
{
    uint32_t i;

    for (i = 0; peer->map != NULL && i < 64; i++) {
        uint32_t at = (uint32_t)rand() % (32u << 10);
        peer->map[(rand() & 1) * (peer->length / 2) + at] = (uint8_t)rand();
    }
    if (peer->map != NULL) {
        vhost_peer_used(peer, 0)->idx = (uint16_t)(rand() % 600);
        vhost_peer_call(peer, 0);
    }
}

/* An other end that writes anything anywhere, all the time. */
static void
test_memory_full_of_nonsense_does_no_harm(void **state)
{
    struct rig rig;
    uint8_t frame[3000] = {0};
    uint32_t i;

    begin_connected(&rig);
    th_wire_post(rig.wire, 64, 2048, 12, BP_NET_MERGE);
    srand(1);
    for (i = 0; i < 300; i++) {
        scribble(&rig.peer);
        (void)th_wire_send(rig.wire, frame, 60 + (uint32_t)rand() % 2900, NULL);
        th_run(rig.th);
        if ((th_wire_info_flags(rig.wire) & BP_NET_LINK_UP) == 0) {
            vhost_peer_stop(&rig.peer);
            connect_peer(&rig);
            assert_true(come(&rig, rings_run));
        }
        th_wire_clear(rig.wire);
    }
    end(&rig);
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
    assert_refused("path = \"/nonexistent/socket\"; server = true;", "cannot listen on");
    assert_refused("path = \"/x\"; fd = 3;", "one of them");
    assert_refused("fd = 999;", "not a stream socket");
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(
        th_fail_each_call(&backplane_plugin_v1, NULL, "path = \"/nonexistent\";", NULL, NULL) >= 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_go_both_ways_behind_a_header),
        cmocka_unit_test(test_offloads_are_those_of_both_ends),
        cmocka_unit_test(test_who_has_no_buffers_waits_and_loses_nothing),
        cmocka_unit_test(test_a_full_ring_makes_the_sender_wait),
        cmocka_unit_test(test_another_end_goes_on_where_the_last_one_left),
        cmocka_unit_test(test_without_mergeable_buffers_a_frame_lies_in_one_chain),
        cmocka_unit_test(test_several_queues_have_rings_of_their_own),
        cmocka_unit_test(test_an_end_that_will_not_do_is_dropped_with_a_reason),
        cmocka_unit_test(test_a_ring_that_lies_is_dropped),
        cmocka_unit_test(test_memory_full_of_nonsense_does_no_harm),
        cmocka_unit_test(test_impossible_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
