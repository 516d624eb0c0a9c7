/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of the benchmark guest's cable: frames with a length of four bytes before each, on
 * a unix socket that it listens on; or the host's side of a TAP interface. It does what the guest's
 * order says (bench/guest/virtio_net.c), and writes "rtt MEDIAN P99", in ns, after round trips.
 * Usage: net_peer SOCKET | net_peer tap:INTERFACE */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define INPUT      ((size_t)1048576)
#define OUTPUT     ((size_t)262144)
#define MOST_TRIPS 1000000u

struct order {
    uint8_t to[6], from[6], type[2];
    uint8_t mode, pad;
    uint32_t size;
    uint64_t count;
} __attribute__((packed));

struct peer {
    int fd;
    int received, sent; /* tap: what the kernel counts, files; -1: a socket */
    uint64_t heard;     /* tap: value of `received` when all that the guest was to send is there */
    uint64_t given;     /* tap: likewise of `sent` */
    uint8_t *input, *output;
    size_t head, tail;
    uint64_t *trips;
};

static void
die(const char *text)
{
    perror(text);
    exit(1);
}

/* A frame that is there in full, or NULL. */
static const uint8_t *
take_frame(struct peer *peer, uint32_t *length)
{
    size_t there = peer->tail - peer->head;
    const uint8_t *at = peer->input + peer->head;

    if (there < 4) {
        return NULL;
    }
    memcpy(length, at, 4);
    *length = ntohl(*length);
    if (there - 4 < *length) {
        return NULL;
    }
    peer->head += 4 + (size_t)*length;
    return at + 4;
}

static int
is_tap(const struct peer *peer)
{
    return peer->received >= 0;
}

/* The next frame; it stays valid until the next call. */
static const uint8_t *
next_frame(struct peer *peer, uint32_t *length)
{
    const uint8_t *frame;
    ssize_t n;

    if (is_tap(peer)) {
        n = recv(peer->fd, peer->input, INPUT, 0);
        if (n <= 0) {
            exit(0);
        }
        *length = (uint32_t)n;
        return peer->input;
    }
    while ((frame = take_frame(peer, length)) == NULL) {
        memmove(peer->input, peer->input + peer->head, peer->tail - peer->head);
        peer->tail -= peer->head;
        peer->head = 0;
        n = recv(peer->fd, peer->input + peer->tail, INPUT - peer->tail, 0);
        if (n <= 0) {
            exit(0); /* the machine is gone */
        }
        peer->tail += (size_t)n;
    }
    return frame;
}

static uint64_t
counter(int file)
{
    char text[32] = "";

    if (pread(file, text, sizeof(text) - 1, 0) <= 0) {
        exit(0); /* the interface is gone */
    }
    return strtoull(text, NULL, 10);
}

/* A TAP interface drops what its queue of 1000 frames has no room for: half of that may wait. */
static void
put_on_tap(struct peer *peer, uint32_t size, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        while (i % 64 == 0 && peer->given >= counter(peer->sent) + 450) {
            (void)usleep(10); /* the machine may need this processor */
        }
        while (send(peer->fd, peer->output + 4 + (size_t)i * (size + 4), size, 0) < 0) {
            (void)usleep(10);
        }
        peer->given++;
    }
}

/* Frames that fill() has made. */
static void
put(struct peer *peer, uint32_t size, uint32_t count)
{
    size_t length = (size_t)count * (size + 4);

    if (is_tap(peer)) {
        put_on_tap(peer, size, count);
        return;
    }
    for (size_t at = 0; at < length;) {
        ssize_t n = send(peer->fd, peer->output + at, length - at, MSG_NOSIGNAL);
        if (n <= 0) {
            exit(0);
        }
        at += (size_t)n;
    }
}

/* As many frames of a size as fit; returns how many. */
static uint32_t
fill(struct peer *peer, uint32_t size)
{
    static const uint8_t ethernet[14] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
    uint32_t count = (uint32_t)(OUTPUT / (size + 4)), length = htonl(size), i;

    memset(peer->output, 0, OUTPUT);
    for (i = 0; i < count; i++) {
        uint8_t *at = peer->output + (size_t)i * (size + 4);
        memcpy(at, &length, 4);
        memcpy(at + 4, ethernet, sizeof(ethernet));
    }
    return count;
}

static uint64_t
now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void
measure(struct peer *peer, const struct order *order)
{
    uint64_t count = order->count < MOST_TRIPS ? order->count : MOST_TRIPS, i;
    uint32_t length;

    (void)fill(peer, order->size);
    for (i = 0; i < count; i++) {
        uint64_t began = now();
        put(peer, order->size, 1);
        (void)next_frame(peer, &length);
        peer->trips[i] = now() - began;
    }
    qsort(peer->trips, count, sizeof(*peer->trips), compare);
    printf("rtt %llu %llu\n", (unsigned long long)peer->trips[count / 2],
           (unsigned long long)peer->trips[count * 99 / 100]);
    (void)fflush(stdout);
}

static void
take_all(struct peer *peer, const struct order *order)
{
    uint64_t left = order->count;
    uint32_t length;

    if (is_tap(peer)) { /* the kernel counts: a socket loses what it has no room for */
        while (counter(peer->received) < peer->heard + left) {
            (void)usleep(20);
        }
        while (recv(peer->fd, peer->input, INPUT, MSG_DONTWAIT) > 0) {
        }
        left = 0;
    }
    while (left-- > 0) {
        (void)next_frame(peer, &length);
        if (length != order->size) {
            fprintf(stderr, "net_peer: a frame of %u bytes\n", length);
            exit(1);
        }
    }
    (void)fill(peer, order->size);
    put(peer, order->size, 1);
}

static void
give_all(struct peer *peer, const struct order *order)
{
    uint64_t left = order->count;
    uint32_t batch = fill(peer, order->size), n;

    while (left > 0) {
        n = left < batch ? (uint32_t)left : batch;
        put(peer, order->size, n);
        left -= n;
    }
}

static void
obey(struct peer *peer, const struct order *order)
{
    peer->heard++; /* the order */
    switch (order->mode) {
    case 's':
        take_all(peer, order);
        peer->heard += order->count;
        break;
    case 'g':
        give_all(peer, order);
        break;
    case 'p':
        measure(peer, order);
        peer->heard += order->count;
        break;
    default:
        break;
    }
}

static int
open_counter(const char *name, const char *which)
{
    char path[128];
    int fd;

    (void)snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", name, which);
    fd = open(path, O_RDONLY);
    if (fd < 0) {
        die(path);
    }
    return fd;
}

static void
open_tap(struct peer *peer, const char *name)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5)};
    int on = 1, bytes = 4 << 20;

    address.sll_ifindex = (int)if_nametoindex(name);
    peer->received = open_counter(name, "rx_packets");
    peer->sent = open_counter(name, "tx_packets");
    peer->heard = counter(peer->received);
    peer->given = counter(peer->sent);
    peer->fd = socket(AF_PACKET, SOCK_RAW, 0);
    if (peer->fd < 0 ||
        setsockopt(peer->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
        bind(peer->fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        die(name);
    }
    (void)setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    printf("ready\n");
    (void)fflush(stdout);
}

static void
open_socket(struct peer *peer, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    if (strlen(path) >= sizeof(address.sun_path)) {
        fprintf(stderr, "net_peer: '%s' is too long\n", path);
        exit(2);
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)unlink(path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0) {
        die(path);
    }
    printf("ready\n");
    (void)fflush(stdout);
    peer->fd = accept(listener, NULL, NULL);
    if (peer->fd < 0) {
        die(path);
    }
}

int
main(int argc, char **argv)
{
    struct peer peer = {.fd = -1, .received = -1};

    if (argc != 2) {
        fprintf(stderr, "usage: net_peer SOCKET | net_peer tap:INTERFACE\n");
        return 2;
    }
    peer.input = malloc(INPUT);
    peer.output = malloc(OUTPUT);
    peer.trips = calloc(MOST_TRIPS, sizeof(*peer.trips));
    if (peer.input == NULL || peer.output == NULL || peer.trips == NULL) {
        die("net_peer");
    }
    if (strncmp(argv[1], "tap:", 4) == 0) {
        open_tap(&peer, argv[1] + 4);
    } else {
        open_socket(&peer, argv[1]);
    }
    for (;;) {
        struct order order;
        uint32_t length;
        const uint8_t *frame = next_frame(&peer, &length);

        if (length < sizeof(order) || frame[12] != 0x88 || frame[13] != 0xb5) {
            continue;
        }
        memcpy(&order, frame, sizeof(order));
        if (order.size >= 60 && order.size <= 9000) {
            obey(&peer, &order);
        }
    }
}
