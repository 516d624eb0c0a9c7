/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of the benchmark guest's cable: frames with a length of four bytes before each, on
 * a unix socket that it listens on. It does what the guest's order says (bench/guest/virtio_net.c),
 * and writes "rtt MEDIAN P99", in ns, after round trips. Usage: net_peer SOCKET */
#include <arpa/inet.h>
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

/* The next frame; it stays valid until the next call. */
static const uint8_t *
next_frame(struct peer *peer, uint32_t *length)
{
    const uint8_t *frame;
    ssize_t n;

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

static void
put(struct peer *peer, size_t length)
{
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
        put(peer, order->size + 4);
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

    while (left-- > 0) {
        (void)next_frame(peer, &length);
        if (length != order->size) {
            fprintf(stderr, "net_peer: a frame of %u bytes\n", length);
            exit(1);
        }
    }
    (void)fill(peer, order->size);
    put(peer, order->size + 4);
}

static void
give_all(struct peer *peer, const struct order *order)
{
    uint64_t left = order->count;
    uint32_t batch = fill(peer, order->size), n;

    while (left > 0) {
        n = left < batch ? (uint32_t)left : batch;
        put(peer, (size_t)n * (order->size + 4));
        left -= n;
    }
}

static void
obey(struct peer *peer, const struct order *order)
{
    switch (order->mode) {
    case 's':
        take_all(peer, order);
        break;
    case 'g':
        give_all(peer, order);
        break;
    case 'p':
        measure(peer, order);
        break;
    default:
        break;
    }
}

int
main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct peer peer = {.fd = -1};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
        fprintf(stderr, "usage: net_peer SOCKET\n");
        return 2;
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
    (void)unlink(argv[1]);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0) {
        die(argv[1]);
    }
    printf("ready\n");
    (void)fflush(stdout);
    peer.fd = accept(listener, NULL, NULL);
    peer.input = malloc(INPUT);
    peer.output = malloc(OUTPUT);
    peer.trips = calloc(MOST_TRIPS, sizeof(*peer.trips));
    if (peer.fd < 0 || peer.input == NULL || peer.output == NULL || peer.trips == NULL) {
        die("net_peer");
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
