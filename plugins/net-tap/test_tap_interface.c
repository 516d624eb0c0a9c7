/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/net-tap on the fake core: the interface, its queues, what is done to it and what is
 * refused. */
#include "tap_test.h"

#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Datagrams of `flows` flows, until `count` of them came by these two. */
static void
spread(struct th_host *th, struct th_wire **wires, uint32_t flows, uint32_t *counts)
{
    uint32_t all = 0, rounds = 0;

    for (uint32_t i = 0; i < flows; i++) {
        int fd = udp_socket((uint16_t)(7000 + i));
        udp_send(fd, 6000, "x", 1);
        (void)close(fd);
    }
    while (all < flows && rounds++ < 1000) {
        th_run(th);
        all = 0;
        for (uint32_t k = 0; k < 2; k++) {
            struct search search = {.wire = wires[k], .type = ETH_P_IP, .wanted = UINT32_MAX};
            (void)has_frames(&search);
            counts[k] = search.found;
            all += search.found;
        }
    }
    assert_int_equal(all, flows);
    th_wire_clear(wires[0]);
    th_wire_clear(wires[1]);
}

static void
test_flows_go_to_the_queues_that_take_part(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *net =
        th_plug(th, &backplane_plugin_v1, "lan", "interface = \"bptap0\"; queues = 3;");
    const struct bp_net_ops *ops = net != NULL ? th_table(net, BP_NET_ID) : NULL;
    struct th_wire *wires[2];
    uint32_t counts[2];

    if (ops == NULL) {
        fail_msg("%s", th_error_text(th));
        return;
    }
    set_address("bptap0");
    set_neighbour("bptap0");
    for (uint32_t i = 0; i < 2; i++) { /* the third is never opened: nothing may go there */
        wires[i] = th_wire_open(net, i);
        th_wire_post(wires[i], 64, 2048, 12, 0);
    }
    assert_null(th_wire_open(net, 1));
    assert_int_equal(th_status(th), -EBUSY);
    assert_null(th_wire_open(net, 3));
    assert_int_equal(th_status(th), -ENOENT);
    spread(th, wires, 100, counts);
    assert_true(counts[0] > 0 && counts[1] > 0);
    ops->queue_enable(th_self(net), th_wire_queue(wires[1]), 0);
    spread(th, wires, 100, counts);
    assert_int_equal(counts[0], 100);
    ops->queue_enable(th_self(net), th_wire_queue(wires[1]), 1);
    spread(th, wires, 100, counts);
    assert_true(counts[1] > 0);
    th_wire_close(wires[0]);
    th_wire_close(wires[1]);
    th_free(th);
}

static int
open_tap(const char *name, uint32_t flags)
{
    struct ifreq request = {0};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    request.ifr_flags = (short)flags;
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    return fd;
}

static void
test_descriptors_are_queues_too(void **state)
{
    struct th_host *th = th_new();
    int tap[2], fd;
    struct bp_instance *net;
    struct th_wire *wires[2];
    uint32_t counts[2];
    char options[64];

    for (uint32_t i = 0; i < 2; i++) {
        tap[i] = open_tap("bptap0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
    }
    (void)snprintf(options, sizeof(options), "fds = [%d, %d];", tap[0], tap[1]);
    net = th_plug(th, &backplane_plugin_v1, "lan", options);
    if (net == NULL) {
        fail_msg("%s", th_error_text(th));
    }
    set_address("bptap0");
    set_neighbour("bptap0");
    for (uint32_t i = 0; i < 2; i++) {
        wires[i] = th_wire_open(net, i);
        th_wire_post(wires[i], 64, 2048, 12, 0);
    }
    spread(th, wires, 60, counts);
    assert_true(counts[0] > 0 && counts[1] > 0);
    th_wire_close(wires[0]);
    th_wire_close(wires[1]);
    th_free(th);
    fd = packet_socket("bptap0"); /* it was never ours: it is still there */
    (void)close(fd);
    (void)close(tap[0]);
    (void)close(tap[1]);
}

static void
test_an_interface_that_is_deleted_takes_the_link_with_it(void **state)
{
    struct bench bench;
    uint8_t frame[60];

    bench_make(&bench, "interface = \"bptap0\";", 0);
    assert_int_equal(th_wire_info_flags(bench.wire) & BP_NET_LINK_UP, BP_NET_LINK_UP);
    assert_int_equal(system("ip link delete bptap0"), 0);
    assert_true(th_wire_wait_event(bench.wire, BP_NET_EVENT_LINK, 1, WAIT_MS));
    assert_int_equal(th_wire_info_flags(bench.wire) & BP_NET_LINK_UP, 0);
    raw_frame(frame, sizeof(frame), 1);
    assert_int_equal(th_wire_send(bench.wire, frame, sizeof(frame), NULL), 1);
    assert_true(th_logged(bench.th, "interface 'bptap0' is gone"));
    bench_free(&bench);
}

static void
test_scripts_get_the_name_and_a_bridge_its_port(void **state)
{
    char directory[] = "/tmp/backplane-tap-XXXXXX", path[64], said[64], options[300];
    struct bench bench;
    FILE *file;

    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/script", directory);
    (void)snprintf(said, sizeof(said), "%s/said", directory);
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "#!/bin/sh\necho $1 >> %s\n", said);
    (void)fclose(file);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(system("ip link add bpbr0 type bridge"), 0);
    (void)snprintf(options, sizeof(options),
                   "script = \"%s\"; down_script = \"%s\"; bridge = \"bpbr0\"; mtu = 1400;", path,
                   path);
    bench_make(&bench, options, 0);
    assert_int_equal(access("/sys/class/net/tap0", F_OK), -1); /* sysfs shows the outer namespace */
    assert_int_equal(system("ip link show master bpbr0 | grep -q 'tap0.*mtu 1400'"), 0);
    bench_free(&bench);
    (void)snprintf(options, sizeof(options), "test \"$(cat %s)\" = \"$(printf 'tap0\\ntap0')\"",
                   said);
    assert_int_equal(system(options), 0);
    assert_int_equal(system("ip link delete bpbr0"), 0);
    (void)unlink(path);
    (void)unlink(said);
    (void)rmdir(directory);
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
    int tun = open_tap("bptun0", IFF_TUN | IFF_NO_PI);
    int tap = open_tap("bptap1", IFF_TAP | IFF_NO_PI);
    char options[64];

    assert_refused("interface = \"averyveryverylongname\";", "longer than the name");
    assert_refused("interface = \"lo\";", "already, but not as a TAP interface");
    assert_refused("interface = \"bptap1\";", "in use by another program");
    assert_refused("interface = \"bptap0\"; fds = [5];", "not both");
    assert_refused("fds = [1000];", "not one of a TAP interface");
    (void)snprintf(options, sizeof(options), "fds = [%d];", tun);
    assert_refused(options, "must have been made with IFF_TAP");
    assert_refused("bridge = \"bpnobr\";", "there is no bridge 'bpnobr'");
    assert_refused("bridge = \"lo\";", "is no bridge");
    assert_refused("script = \"/nonexistent/script\";", "cannot run '/nonexistent/script'");
    assert_refused("script = \"/bin/false\";", "ended with a failure");
    assert_refused("mtu = 20;", "cannot set the MTU");
    (void)close(tun);
    (void)close(tap);
}

static void
test_who_may_not_is_told_what_to_do(void **state)
{
    struct stat status;
    uid_t uid = geteuid();

    assert_int_equal(stat("/dev/net/tun", &status), 0);
    if (uid != 0) {
        skip();
    }
    assert_int_equal(seteuid(65534), 0);
    assert_refused("interface = \"bptap0\";",
                   (status.st_mode & 2) != 0 ? "have root make it" : "ask for access to it");
    assert_int_equal(seteuid(uid), 0);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(
        th_fail_each_call(&backplane_plugin_v1, NULL, "interface = \"bptap0\";", NULL, NULL) >= 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flows_go_to_the_queues_that_take_part),
        cmocka_unit_test(test_descriptors_are_queues_too),
        cmocka_unit_test(test_an_interface_that_is_deleted_takes_the_link_with_it),
        cmocka_unit_test(test_scripts_get_the_name_and_a_bridge_its_port),
        cmocka_unit_test(test_impossible_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_who_may_not_is_told_what_to_do),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return isolate() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
