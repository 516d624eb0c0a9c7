/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of a vhost-user socket: see vhost_peer.h. */
#include "vhost_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct message {
    uint32_t request, flags, size;
    uint8_t payload[512];
};

void
vhost_peer_init(struct vhost_peer *peer)
{
    memset(peer, 0, sizeof(*peer));
    pthread_mutex_init(&peer->lock, NULL);
    peer->features = PEER_FEATURES | PEER_EVENT_IDX;
    peer->protocol = 0xb; /* MQ, LOG_SHMFD, REPLY_ACK */
    peer->queues = PEER_RINGS / 2;
    peer->fd = -1;
    for (uint32_t i = 0; i < PEER_RINGS; i++) {
        peer->ring[i].kick = peer->ring[i].call = -1;
    }
}

static uint64_t
number(const struct message *message, uint32_t at, uint32_t width)
{
    uint64_t value = 0;

    memcpy(&value, message->payload + at, width);
    return value;
}

static int
read_all(int fd, void *data, size_t length, int *ret_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control;
    uint8_t *at = data;

    while (length > 0) {
        struct iovec iov = {at, length};
        struct msghdr message = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        struct cmsghdr *cmsg = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

        if (n <= 0) {
            return 0;
        }
        if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS) {
            memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
        }
        at += n;
        length -= (size_t)n;
    }
    return 1;
}

static void
replace(int *old, int fd)
{
    if (*old >= 0) {
        close(*old);
    }
    *old = fd;
}

static void
map_memory(struct vhost_peer *peer, const struct message *message, int fd)
{
    if (peer->map != NULL) {
        munmap(peer->map, peer->length);
    }
    peer->guest_at = number(message, 8, 8);
    peer->length = number(message, 16, 8);
    peer->user_at = number(message, 24, 8);
    peer->map = mmap(NULL, peer->length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                     (off_t)number(message, 32, 8));
    if (peer->map == MAP_FAILED) {
        abort();
    }
    close(fd);
}

/* Does what is said. Returns whether there is an answer by itself. */
static int
obey(struct vhost_peer *peer, const struct message *message, int fd, uint64_t *answer)
{
    struct peer_ring *ring = &peer->ring[number(message, 0, 4) % PEER_RINGS];

    peer->requests[message->request % 32]++;
    switch (message->request) {
    case 1:
        *answer = peer->features;
        return 1;
    case 2:
        peer->acked = number(message, 0, 8);
        return 0;
    case 5:
        map_memory(peer, message, fd);
        return 0;
    case 8:
        ring->entries = (uint32_t)number(message, 4, 4);
        return 0;
    case 9:
        ring->desc = number(message, 8, 8);
        ring->used = number(message, 16, 8);
        ring->avail = number(message, 24, 8);
        return 0;
    case 10:
        ring->next = (uint16_t)number(message, 4, 4);
        return 0;
    case 11:
        ring->started = 0;
        *answer = number(message, 0, 4) | (uint64_t)ring->next << 32;
        return 1;
    case 12:
        replace(&ring->kick, fd);
        ring->started = 1;
        return 0;
    case 13:
        replace(&ring->call, fd);
        return 0;
    case 15:
        *answer = peer->protocol;
        return 1;
    case 16:
        peer->protocol_acked = number(message, 0, 8);
        return 0;
    case 17:
        *answer = peer->queues;
        return 1;
    case 18:
        ring->enabled = (uint32_t)number(message, 4, 4);
        return 0;
    case 20:
        peer->mtu = number(message, 0, 8);
        return 0;
    default:
        return 0;
    }
}

static void
answer_with(const struct vhost_peer *peer, uint32_t request, uint64_t value)
{
    uint8_t bytes[40] = {0};
    uint32_t flags = peer->mistake == PEER_NO_REPLY_FLAG ? 1 : 5;
    uint32_t size = peer->mistake == PEER_LONG_ANSWER ? 16 : 8;

    request += peer->mistake == PEER_WRONG_REQUEST;
    memcpy(bytes, &request, 4);
    memcpy(bytes + 4, &flags, 4);
    memcpy(bytes + 8, &size, 4);
    memcpy(bytes + 12, &value, 8);
    (void)!send(peer->fd, bytes, 12 + size, MSG_NOSIGNAL);
    if (peer->mistake == PEER_CHATTERS) {
        (void)!send(peer->fd, bytes, 12 + size, MSG_NOSIGNAL);
    }
}

static void *
serve(void *opaque)
{
    struct vhost_peer *peer = opaque;
    struct message message;
    uint64_t value;
    int fd, answers;

    for (;;) {
        fd = -1;
        if (!read_all(peer->fd, &message, 12, &fd) || message.size > sizeof(message.payload) ||
            (message.size > 0 && !read_all(peer->fd, message.payload, message.size, &fd))) {
            return NULL;
        }
        pthread_mutex_lock(&peer->lock);
        answers = obey(peer, &message, fd, &value);
        if (!answers && (message.flags & 8) != 0) {
            value = peer->refuse == message.request;
            answers = 1;
        }
        if (answers) {
            answer_with(peer, message.request, value);
        }
        pthread_mutex_unlock(&peer->lock);
    }
}

void
vhost_peer_start(struct vhost_peer *peer, int fd)
{
    peer->fd = fd;
    if (pthread_create(&peer->thread, NULL, serve, peer) != 0) {
        abort();
    }
}

void
vhost_peer_stop(struct vhost_peer *peer)
{
    if (peer->fd < 0) {
        return;
    }
    shutdown(peer->fd, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->fd);
    peer->fd = -1;
    for (uint32_t i = 0; i < PEER_RINGS; i++) {
        replace(&peer->ring[i].kick, -1);
        replace(&peer->ring[i].call, -1);
        peer->ring[i].started = peer->ring[i].enabled = 0;
    }
    if (peer->map != NULL) {
        munmap(peer->map, peer->length);
        peer->map = NULL;
    }
}

uint32_t
vhost_peer_running(struct vhost_peer *peer)
{
    uint32_t count = 0;

    pthread_mutex_lock(&peer->lock);
    for (uint32_t i = 0; i < PEER_RINGS; i++) {
        count += peer->ring[i].started && peer->ring[i].enabled;
    }
    pthread_mutex_unlock(&peer->lock);
    return count;
}

static void *
at_user(const struct vhost_peer *peer, uint64_t address)
{
    return peer->map + (address - peer->user_at);
}

struct vring_used *
vhost_peer_used(struct vhost_peer *peer, uint32_t index)
{
    return at_user(peer, peer->ring[index].used);
}

void
vhost_peer_call(struct vhost_peer *peer, uint32_t index)
{
    const uint64_t one = 1;

    (void)!write(peer->ring[index].call, &one, sizeof(one));
}

/* The next available chain. Returns its head, -1: there is none. */
static int
next_chain(const struct vhost_peer *peer, struct peer_ring *ring)
{
    const struct vring_avail *avail = at_user(peer, ring->avail);

    if (__atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE) == ring->next) {
        return -1;
    }
    return avail->ring[ring->next++ % ring->entries];
}

static void
use(struct vhost_peer *peer, uint32_t index, int head, uint32_t length, uint32_t ahead)
{
    struct vring_used *used = vhost_peer_used(peer, index);

    used->ring[(uint16_t)(used->idx + ahead) % peer->ring[index].entries] =
        (struct vring_used_elem){(uint32_t)head, length};
}

static void
publish(struct vhost_peer *peer, uint32_t index, uint32_t count)
{
    struct vring_used *used = vhost_peer_used(peer, index);

    __atomic_store_n(&used->idx, (uint16_t)(used->idx + count), __ATOMIC_RELEASE);
    vhost_peer_call(peer, index);
}

/* Walks a chain, one way or the other. Returns how many bytes it moved. */
static uint32_t
walk(struct vhost_peer *peer, struct peer_ring *ring, int head, uint8_t *data, uint32_t size,
     int into)
{
    struct vring_desc *desc = at_user(peer, ring->desc);
    uint32_t at = 0, n;

    for (;;) {
        uint8_t *buffer = peer->map + (desc[head].addr - peer->guest_at);
        n = desc[head].len < size - at ? desc[head].len : size - at;
        memcpy(into ? buffer : data + at, into ? data + at : buffer, n);
        at += n;
        if ((desc[head].flags & VRING_DESC_F_NEXT) == 0) {
            return at;
        }
        head = desc[head].next;
    }
}

uint32_t
vhost_peer_take(struct vhost_peer *peer, uint32_t index, void *data, uint32_t size)
{
    uint32_t length = 0;
    int head;

    pthread_mutex_lock(&peer->lock);
    head = peer->ring[index].started ? next_chain(peer, &peer->ring[index]) : -1;
    if (head >= 0) {
        length = walk(peer, &peer->ring[index], head, data, size, 0);
        use(peer, index, head, 0, 0);
        publish(peer, index, 1);
    }
    pthread_mutex_unlock(&peer->lock);
    return length;
}

int
vhost_peer_give(struct vhost_peer *peer, uint32_t index, const void *data, uint32_t length)
{
    struct peer_ring *ring = &peer->ring[index];
    uint8_t copy[70000], *first = copy;
    uint32_t at = 0, count = 0, n;
    uint16_t before = ring->next;

    memcpy(copy, data, length);
    pthread_mutex_lock(&peer->lock);
    while (at < length) {
        int head = ring->started ? next_chain(peer, ring) : -1;
        if (head < 0) {
            ring->next = before;
            pthread_mutex_unlock(&peer->lock);
            return 0;
        }
        if (first == copy) {
            const struct vring_desc *desc = at_user(peer, ring->desc);
            first = peer->map + (desc[head].addr - peer->guest_at);
        }
        n = walk(peer, ring, head, copy + at, length - at, 1);
        use(peer, index, head, n, count++);
        at += n;
    }
    first[10] = (uint8_t)count;
    publish(peer, index, count);
    pthread_mutex_unlock(&peer->lock);
    return 1;
}
