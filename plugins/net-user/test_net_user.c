/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/net-user on the fake core: frames of a guest, made by hand. */
#include "user_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* BOOTP with DHCP's magic cookie and a message type. */
static uint32_t
make_dhcp(uint8_t *frame, uint8_t type)
{
    static const uint8_t cookie[] = {0x63, 0x82, 0x53, 0x63, 0x35, 1};
    uint8_t dhcp[300] = {1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78};

    memcpy(dhcp + 28, guest_mac, 6);
    memcpy(dhcp + 236, cookie, sizeof(cookie));
    dhcp[242] = type;
    dhcp[243] = 0xff;
    return make_udp(frame, (struct udp_ends){0, 0xffffffff, 68, 67}, dhcp, sizeof(dhcp));
}

static void
test_dhcp_offers_an_address_and_names_the_boot_file(void **state)
{
    struct bench bench;
    uint8_t frame[512];
    const uint8_t *answer;
    uint32_t length;

    bench_make(&bench, "bootfile = \"boot.ipxe\"; hostname = \"seed\";");
    assert_int_equal(th_wire_send(bench.wire, frame, make_dhcp(frame, 1), NULL), 1);
    assert_true(th_wire_wait(bench.wire, 1, WAIT_MS));
    answer = find_udp(&bench, 67, &length);
    assert_non_null(answer);
    assert_int_equal(bp_net_load32(answer + 16), GUEST_IP);
    assert_int_equal(answer[242], 2);
    assert_string_equal((const char *)answer + 108, "boot.ipxe");
    assert_non_null(memmem(answer, length, "seed", 4));
    bench_free(&bench);
}

static void
test_another_network_is_dealt_out_as_described(void **state)
{
    struct bench bench;
    uint8_t frame[512];
    const uint8_t *answer;
    uint32_t length;

    bench_make(&bench, "network = \"192.168.7.0/24\"; dhcp_start = \"192.168.7.40\";");
    assert_int_equal(th_wire_send(bench.wire, frame, make_dhcp(frame, 1), NULL), 1);
    assert_true(th_wire_wait(bench.wire, 1, WAIT_MS));
    answer = find_udp(&bench, 67, &length);
    assert_non_null(answer);
    assert_int_equal(bp_net_load32(answer + 16), 0xc0a80728);
    bench_free(&bench);
}

static void
test_a_file_is_served_by_tftp_and_nothing_outside_the_directory(void **state)
{
    static const char ask[] = "\0\1greeting\0octet";
    static const char outside[] = "\0\1../../etc/passwd\0octet";
    char directory[] = "/tmp/backplane-tftp-XXXXXX", path[128], options[160];
    struct bench bench;
    uint8_t frame[512];
    const uint8_t *answer;
    uint32_t length;
    int fd;

    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/greeting", directory);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "hello\n", 6), 6);
    (void)close(fd);
    (void)snprintf(options, sizeof(options), "tftp = \"%s\";", directory);
    bench_make(&bench, options);
    learn_address(&bench);
    length = make_udp(frame, (struct udp_ends){GUEST_IP, ROUTER_IP, 2000, 69}, ask, sizeof(ask));
    assert_int_equal(th_wire_send(bench.wire, frame, length, NULL), 1);
    assert_true(th_wire_wait(bench.wire, 1, WAIT_MS));
    answer = find_udp(&bench, 69, &length);
    assert_non_null(answer);
    assert_int_equal(length, 10);
    assert_memory_equal(answer, "\0\3\0\1hello\n", 10);
    th_wire_clear(bench.wire);
    length =
        make_udp(frame, (struct udp_ends){GUEST_IP, ROUTER_IP, 2001, 69}, outside, sizeof(outside));
    assert_int_equal(th_wire_send(bench.wire, frame, length, NULL), 1);
    assert_true(th_wire_wait(bench.wire, 1, WAIT_MS));
    answer = find_udp(&bench, 69, &length);
    assert_non_null(answer);
    assert_int_equal(answer[1], 5);
    bench_free(&bench);
    (void)unlink(path);
    (void)rmdir(directory);
}

static void
test_datagrams_go_out_and_come_back_through_the_host(void **state)
{
    struct sockaddr_in here = {.sin_family = AF_INET}, from;
    socklen_t length = sizeof(here);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct bench bench;
    uint8_t frame[128], data[16];
    const uint8_t *answer;
    uint32_t size;

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &length), 0);
    bench_make(&bench, "");
    learn_address(&bench);
    size = make_udp(frame, (struct udp_ends){GUEST_IP, ROUTER_IP, 3000, ntohs(here.sin_port)},
                    "ping!", 5);
    assert_int_equal(th_wire_send(bench.wire, frame, size, NULL), 1);
    th_run(bench.th);
    length = sizeof(from);
    assert_int_equal(recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &length), 5);
    assert_memory_equal(data, "ping!", 5);
    assert_int_equal(sendto(fd, "pong", 4, 0, (struct sockaddr *)&from, length), 4);
    assert_true(th_wire_wait(bench.wire, 1, WAIT_MS));
    answer = find_udp(&bench, ntohs(here.sin_port), &size);
    assert_non_null(answer);
    assert_int_equal(size, 4);
    assert_memory_equal(answer, "pong", 4);
    bench_free(&bench);
    (void)close(fd);
}

static void
test_answers_wait_for_a_guest_without_buffers(void **state)
{
    struct bench bench;
    uint8_t frame[512];
    uint32_t i, count;

    bench_make(&bench, "");
    th_wire_flush(bench.wire);
    for (i = 0; i < 50; i++) {
        assert_int_equal(th_wire_send(bench.wire, frame, make_dhcp(frame, 1), NULL), 1);
    }
    th_run(bench.th);
    (void)th_wire_frames(bench.wire, &count);
    assert_int_equal(count, 0);
    th_wire_post_again(bench.wire, 1);
    assert_true(th_wire_wait(bench.wire, 50, WAIT_MS));
    bench_free(&bench);
}

static void
test_a_forwarded_port_of_the_host_knocks_at_the_guest(void **state)
{
    struct sockaddr_in there = {.sin_family = AF_INET};
    struct bench bench;
    char options[128];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), port, tries = 0;
    const struct th_net_frame *frames;
    uint32_t count;

    bench.th = NULL;
    do { /* a port that is free */
        port = 20000 + (getpid() * 7 + tries * 101) % 20000;
        (void)snprintf(options, sizeof(options),
                       "forward = [\"tcp:127.0.0.1:%d-:22\", \"udp:127.0.0.1:%d-:53\"];", port,
                       port);
        bench.th = th_new();
        bench.net = th_plug(bench.th, &backplane_plugin_v1, "wan", options);
        if (bench.net == NULL) {
            assert_non_null(strstr(th_error_text(bench.th), "cannot listen"));
            th_free(bench.th);
        }
    } while (bench.net == NULL && ++tries < 20);
    assert_non_null(bench.net);
    bench.wire = th_wire_open(bench.net, 0);
    th_wire_post(bench.wire, 64, 2048, 12, 0);
    learn_address(&bench);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons((uint16_t)port);
    (void)connect(fd, (struct sockaddr *)&there, sizeof(there));
    assert_true(th_wire_wait(bench.wire, 1, WAIT_MS));
    frames = th_wire_frames(bench.wire, &count);
    assert_int_equal(frames[0].data[23], 6);
    assert_int_equal(bp_net_load32(frames[0].data + 30), GUEST_IP);
    assert_int_equal(bp_net_load16(frames[0].data + 36), 22);
    assert_int_equal(frames[0].data[47], 2); /* SYN */
    (void)close(fd);
    bench_free(&bench);
}

static void
assert_refused(const char *options, const char *text)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &backplane_plugin_v1, "wan", options));
    if (strstr(th_error_text(th), text) == NULL) {
        fail_msg("'%s' does not say '%s'", th_error_text(th), text);
    }
    th_free(th);
}

static void
test_impossible_descriptions_are_refused_with_a_reason(void **state)
{
    assert_refused("network = \"10.0.2.0\";", "network must be like");
    assert_refused("network = \"10.0.2.0/31\";", "network must be like");
    assert_refused("network = \"ten/24\";", "no IPv4 address");
    assert_refused("dns = \"1.2.3.4\";", "is not in the network");
    assert_refused("prefix6 = \"zz\";", "no IPv6 address");
    assert_refused("forward = [\"tcp:2222\"];", "forward must be like");
    assert_refused("forward = [\"tcp::99999-:22\"];", "forward must be like");
    assert_refused("forward = [\"sctp::99-:22\"];", "forward must be like");
    assert_refused("guest_forward = [\"tcp:10.0.2.100:80\"];", "guest_forward must be like");
    assert_refused("guest_forward = [\"tcp:1.2.3.4:80-unix:/x\"];", "not in the network");
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, "", NULL, NULL) > 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dhcp_offers_an_address_and_names_the_boot_file),
        cmocka_unit_test(test_another_network_is_dealt_out_as_described),
        cmocka_unit_test(test_a_file_is_served_by_tftp_and_nothing_outside_the_directory),
        cmocka_unit_test(test_datagrams_go_out_and_come_back_through_the_host),
        cmocka_unit_test(test_answers_wait_for_a_guest_without_buffers),
        cmocka_unit_test(test_a_forwarded_port_of_the_host_knocks_at_the_guest),
        cmocka_unit_test(test_impossible_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
