/* SPDX-License-Identifier: Apache-2.0 */
/* What net-user does between the guest and the host: names, forwards, guest forwards, restriction,
 * IPv6; in a namespace where that is allowed, with a name server of the test's own. */
#include "user_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DNS_IP 0x0a000203u

static void
unix_path(char *path, size_t size, const char *name)
{
    (void)snprintf(path, size, "/tmp/backplane-user-%d-%s", (int)getpid(), name);
}

static struct sockaddr_un
unix_address(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    return un;
}

static int
udp_server(uint32_t address, uint16_t *port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(*port)};
    struct timeval timeout = {.tv_sec = 5};
    socklen_t length = sizeof(here);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    here.sin_addr.s_addr = htonl(address);
    if (bind(fd, (struct sockaddr *)&here, sizeof(here)) != 0) {
        (void)close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &length), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    *port = ntohs(here.sin_port);
    return fd;
}

static int
is_answered(void *opaque)
{
    uint32_t length;

    return find_udp(opaque, 53, &length) != NULL;
}

/* The name server that the system's resolv.conf names is the test's: see main(). */
static void
test_questions_for_names_go_to_the_hosts_name_server(void **state)
{
    static const uint8_t question[] = {0x12, 0x34, 1,   0,   0,   1,   0, 0, 0, 0, 0,
                                       0,    4,    's', 'e', 'e', 'd', 0, 0, 1, 0, 1};
    struct sockaddr_in from;
    socklen_t length = sizeof(from);
    struct bench bench;
    uint8_t frame[200], got[200];
    uint16_t port = 53;
    uint32_t size;
    int fd = udp_server(INADDR_LOOPBACK, &port);

    if (*(const int *)*state == 0 || fd < 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        skip();
    }
    bench_make(&bench, "");
    learn_address(&bench);
    size =
        make_udp(frame, (struct udp_ends){GUEST_IP, DNS_IP, 4000, 53}, question, sizeof(question));
    assert_int_equal(th_wire_send(bench.wire, frame, size, NULL), 1);
    th_run(bench.th);
    assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &length),
                     sizeof(question));
    assert_memory_equal(got, question, sizeof(question));
    got[2] = 0x81;
    assert_int_equal(sendto(fd, got, 40, 0, (struct sockaddr *)&from, length), 40);
    assert_true(th_run_until(bench.th, is_answered, &bench, WAIT_MS));
    assert_int_equal(find_udp(&bench, 53, &size)[2], 0x81);
    assert_int_equal(size, 40);
    bench_free(&bench);
    (void)close(fd);
}

/* hello there, hello back, over a connection of the guest and one of the host. */
static void
talk(struct guest_tcp *tcp, int fd)
{
    char text[32];
    uint32_t flags;

    tcp_send(tcp, TCP_ACK, "hello there", 11);
    th_run(tcp->bench->th);
    assert_int_equal(recv(fd, text, sizeof(text), 0), 11);
    assert_memory_equal(text, "hello there", 11);
    assert_int_equal(send(fd, "hello back", 10, 0), 10);
    assert_int_equal(tcp_receive(tcp, &flags, text, sizeof(text)), 10);
    assert_memory_equal(text, "hello back", 10);
}

static void
test_an_address_of_the_network_is_a_socket_of_the_host(void **state)
{
    char path[64], options[160];
    struct sockaddr_un un;
    struct timeval timeout = {.tv_sec = 5};
    struct bench bench;
    struct guest_tcp tcp = {
        .bench = &bench, .peer = 0x0a000264, .port = 1111, .peer_port = 80, .sequence = 100};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

    unix_path(path, sizeof(path), "guest");
    un = unix_address(path);
    assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(listener, 1), 0);
    (void)setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)snprintf(options, sizeof(options),
                   "restrict = true; guest_forward = [\"tcp:10.0.2.100:80-unix:%s\"];", path);
    bench_make(&bench, options);
    learn_address(&bench);
    assert_true(tcp_connect(&tcp));
    fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    talk(&tcp, fd);
    bench_free(&bench);
    (void)close(fd);
    (void)close(listener);
    (void)unlink(path);
}

static void
test_an_address_of_the_network_is_a_program(void **state)
{
    struct bench bench;
    struct guest_tcp tcp = {
        .bench = &bench, .peer = 0x0a000265, .port = 1112, .peer_port = 7, .sequence = 100};
    uint32_t flags;
    char text[32];

    bench_make(&bench, "guest_forward = [\"tcp:10.0.2.101:7-cmd:/bin/cat\"];");
    learn_address(&bench);
    assert_true(tcp_connect(&tcp));
    tcp_send(&tcp, TCP_ACK, "echo", 4);
    assert_int_equal(tcp_receive(&tcp, &flags, text, sizeof(text)), 4);
    assert_memory_equal(text, "echo", 4);
    bench_free(&bench);
}

static void
test_a_unix_socket_of_the_host_is_a_port_of_the_guest(void **state)
{
    char path[64], options[160];
    struct sockaddr_un un;
    struct timeval timeout = {.tv_sec = 5};
    struct bench bench;
    struct guest_tcp tcp = {.bench = &bench, .sequence = 500};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    unix_path(path, sizeof(path), "host");
    un = unix_address(path);
    (void)unlink(path);
    (void)snprintf(options, sizeof(options), "forward = [\"unix:%s-:22\"];", path);
    bench_make(&bench, options);
    learn_address(&bench);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_true(tcp_accept(&tcp, 22));
    talk(&tcp, fd);
    bench_free(&bench);
    (void)close(fd);
    (void)unlink(path);
}

static void
test_datagrams_to_a_port_of_the_host_reach_the_guest(void **state)
{
    struct sockaddr_in there = {.sin_family = AF_INET};
    const struct th_net_frame *frames;
    struct bench bench;
    uint8_t frame[200], got[32];
    char options[128];
    uint16_t port = 0, mine = 0;
    uint32_t count, size;
    int fd;

    (void)close(udp_server(INADDR_LOOPBACK, &port));
    (void)snprintf(options, sizeof(options), "forward = [\"udp:127.0.0.1:%u-:53\"];", port);
    bench_make(&bench, options);
    learn_address(&bench);
    fd = udp_server(INADDR_LOOPBACK, &mine);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons(port);
    assert_int_equal(sendto(fd, "ping", 4, 0, (struct sockaddr *)&there, sizeof(there)), 4);
    assert_true(th_wire_wait(bench.wire, 1, WAIT_MS));
    frames = th_wire_frames(bench.wire, &count);
    assert_int_equal(bp_net_load16(frames[0].data + 36), 53);
    assert_memory_equal(frames[0].data + 42, "ping", 4);
    size = make_udp(frame,
                    (struct udp_ends){GUEST_IP, bp_net_load32(frames[0].data + 26), 53,
                                      bp_net_load16(frames[0].data + 34)},
                    "pong", 4);
    assert_int_equal(th_wire_send(bench.wire, frame, size, NULL), 1);
    th_run(bench.th);
    assert_int_equal(recv(fd, got, sizeof(got), 0), 4);
    assert_memory_equal(got, "pong", 4);
    bench_free(&bench);
    (void)close(fd);
}

static void
test_a_restricted_guest_reaches_nobody(void **state)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    struct bench bench;
    uint8_t frame[128], got[16];
    uint16_t port = 0;
    uint32_t size;
    int fd = udp_server(INADDR_LOOPBACK, &port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    here.sin_port = htons(port);
    assert_int_equal(bind(listener, (struct sockaddr *)&here, sizeof(here)), 0);
    assert_int_equal(listen(listener, 1), 0);
    for (int restricted = 0; restricted < 2; restricted++) {
        struct guest_tcp tcp = {
            .bench = &bench, .peer = ROUTER_IP, .port = 1113, .peer_port = port};
        bench_make(&bench, restricted ? "restrict = true;" : "");
        learn_address(&bench);
        size = make_udp(frame, (struct udp_ends){GUEST_IP, ROUTER_IP, 3000, port}, "out", 3);
        assert_int_equal(th_wire_send(bench.wire, frame, size, NULL), 1);
        th_run(bench.th);
        assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), restricted ? -1 : 3);
        th_wire_clear(bench.wire);
        assert_int_equal(tcp_connect(&tcp), !restricted);
        bench_free(&bench);
    }
    (void)close(listener);
    (void)close(fd);
}

/* --- IPv6 ------------------------------------------------------------------------------------ */

/* An ICMPv6 message of the guest. Returns the frame's length. */
static uint32_t
make_icmp6(uint8_t *frame, const char *to, const uint8_t *message, uint32_t length)
{
    uint64_t sum;

    memset(frame, 0, 54);
    memset(frame, 0x33, 6);
    memcpy(frame + 6, guest_mac, 6);
    bp_net_store16(frame + 12, BP_NET_ETH_IP6);
    frame[14] = 0x60;
    bp_net_store16(frame + 18, length);
    frame[20] = 58;
    frame[21] = 255;
    (void)inet_pton(AF_INET6, "fe80::1:2:3", frame + 22);
    (void)inet_pton(AF_INET6, to, frame + 38);
    memcpy(frame + 54, message, length);
    sum = bp_net_pseudo_sum(frame + 14, 6, 58, length);
    bp_net_store16(frame + 56, bp_net_sum_fold(bp_net_sum(frame + 54, length, sum, 0)));
    return 54 + length;
}

struct icmp6 {
    struct bench *bench;
    uint8_t type;
    const uint8_t *message;
    uint32_t length;
};

static int
has_icmp6(void *opaque)
{
    struct icmp6 *wanted = opaque;
    uint32_t count;
    const struct th_net_frame *frames = th_wire_frames(wanted->bench->wire, &count);

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *data = frames[i].data;
        if (frames[i].length > 54 && bp_net_load16(data + 12) == BP_NET_ETH_IP6 && data[20] == 58 &&
            data[54] == wanted->type) {
            wanted->message = data + 54;
            wanted->length = frames[i].length - 54;
            return 1;
        }
    }
    return 0;
}

static void
test_the_router_speaks_ipv6(void **state)
{
    static const uint8_t solicit[] = {133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1};
    uint8_t who_has[32] = {135}, frame[128], prefix[16];
    struct bench bench;
    struct icmp6 wanted = {.bench = &bench, .type = 134};
    const uint8_t *found;

    bench_make(&bench, "prefix6 = \"2001:db8:7::\";");
    (void)inet_pton(AF_INET6, "2001:db8:7::", prefix);
    assert_int_equal(th_wire_send(bench.wire, frame,
                                  make_icmp6(frame, "ff02::2", solicit, sizeof(solicit)), NULL),
                     1);
    assert_true(th_run_until(bench.th, has_icmp6, &wanted, WAIT_MS));
    found = memmem(wanted.message, wanted.length, prefix, sizeof(prefix));
    assert_non_null(found);
    assert_int_equal(found[-14], 64); /* the prefix option's length */
    memcpy(who_has + 8, prefix, 16);
    who_has[23] = 2;
    memcpy(who_has + 24, solicit + 8, 8);
    wanted.type = 136;
    assert_int_equal(th_wire_send(bench.wire, frame,
                                  make_icmp6(frame, "ff02::1:ff00:2", who_has, sizeof(who_has)),
                                  NULL),
                     1);
    assert_true(th_run_until(bench.th, has_icmp6, &wanted, WAIT_MS));
    assert_memory_equal(wanted.message + 8, who_has + 8, 16);
    bench_free(&bench);
}

/* A network and a resolv.conf of its own. Returns 0: not allowed here. */
static int
isolate(void)
{
    static const char text[] = "nameserver 127.0.0.1\n";
    char path[] = "/tmp/backplane-resolv-XXXXXX";
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd, control, result;

    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
        return 0;
    }
    control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)ioctl(control, SIOCSIFFLAGS, &request);
    (void)close(control);
    fd = mkstemp(path);
    if (fd < 0) {
        return 0;
    }
    result = write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1 &&
             mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
             mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
    (void)close(fd);
    (void)unlink(path);
    return result;
}

int
main(void)
{
    int isolated = isolate();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_questions_for_names_go_to_the_hosts_name_server, &isolated),
        cmocka_unit_test(test_an_address_of_the_network_is_a_socket_of_the_host),
        cmocka_unit_test(test_an_address_of_the_network_is_a_program),
        cmocka_unit_test(test_a_unix_socket_of_the_host_is_a_port_of_the_guest),
        cmocka_unit_test(test_datagrams_to_a_port_of_the_host_reach_the_guest),
        cmocka_unit_test(test_a_restricted_guest_reaches_nobody),
        cmocka_unit_test(test_the_router_speaks_ipv6),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
