/* SPDX-License-Identifier: Apache-2.0 */
/* The first virtio-net function, a pair of queues, polled. At the cable's other end is
 * bench/net_peer.c: each case begins with a frame that tells it what to do and ends with one from
 * it. */
#include "virtio.h"

#define VENDOR_DEVICE_TRANSITIONAL 0x10001af4u
#define VENDOR_DEVICE_MODERN       0x10411af4u
#define F_MRG_RXBUF                (1u << 15)
#define HEADER                     12u
#define BUFFER                     2048u
#define ETHERNET                   14u

/* The frame that begins a case; also in net_peer.c. */
typedef struct __attribute__((packed)) {
    uint8_t to[6], from[6], type[2];
    uint8_t mode; /* 's': count frames come; 'g': send as many; 'p': measure as many round trips */
    uint8_t pad;
    uint32_t size;
    uint64_t count;
} Order;

static VirtioQueue rx, tx;

static uint8_t *
tx_buffer(uint16_t id)
{
    return (uint8_t *)(uintptr_t)BUFFERS_ADDRESS + (uint64_t)id * BUFFER;
}

static uint8_t *
rx_buffer(uint16_t id)
{
    return tx_buffer((uint16_t)(VIRTIO_QUEUE_MAX + id));
}

static void
post_all(void)
{
    for (uint16_t i = 0; i < rx.size; i++) {
        rx.desc[i] = (VirtioDesc){(uintptr_t)rx_buffer(i), BUFFER, VIRTIO_DESC_WRITE, 0};
        virtio_submit(&rx, i);
    }
    virtio_kick(&rx);
    for (uint16_t i = 0; i < tx.size; i++) {
        for (uint32_t k = 0; k < BUFFER; k++) {
            tx_buffer(i)[k] = 0;
        }
    }
}

static void
transmit(uint16_t id, uint32_t size)
{
    tx.desc[id] = (VirtioDesc){(uintptr_t)tx_buffer(id), HEADER + size, 0, 0};
    virtio_submit(&tx, id);
}

static void
drain_tx(void)
{
    while (tx.used_idx != tx.avail_idx) {
        if (virtio_reap(&tx) < 0) {
            relax();
        }
    }
}

static void
order(uint8_t mode, const Case *c)
{
    Order *o = (Order *)(void *)(tx_buffer(0) + HEADER);

    *o = (Order){.to = {2, 0, 0, 0, 0, 1},
                 .from = {2, 0, 0, 0, 0, 2},
                 .type = {0x88, 0xb5},
                 .mode = mode,
                 .size = c->size,
                 .count = c->count};
    transmit(0, 60);
    virtio_kick(&tx);
    drain_tx();
}

/* Takes frames until so many have come; with echo each goes back. */
static void
receive(uint64_t count, bool echo, uint32_t size)
{
    uint64_t got = 0;

    while (got < count) {
        int id = virtio_reap(&rx);

        if (id < 0) {
            relax();
            continue;
        }
        for (; id >= 0; id = virtio_reap(&rx)) {
            got++;
            virtio_submit(&rx, (uint16_t)id);
        }
        if (echo) {
            drain_tx();
            transmit(0, size);
            virtio_kick(&tx);
        }
        virtio_kick(&rx);
    }
}

/* The peer answers when all have come. */
static void
send(const Case *c)
{
    uint64_t submitted = 0;

    order('s', c);
    say_start("virtio-net");
    while (submitted < c->depth && submitted < c->count) {
        transmit((uint16_t)submitted++, c->size);
    }
    virtio_kick(&tx);
    while (submitted < c->count) {
        int id = virtio_reap(&tx);

        if (id < 0) {
            relax();
            continue;
        }
        for (; id >= 0 && submitted < c->count; id = virtio_reap(&tx)) {
            transmit((uint16_t)id, c->size);
            submitted++;
        }
        virtio_kick(&tx);
    }
    drain_tx();
    receive(1, false, 0);
    say_end();
}

void
virtio_net(const Case *c)
{
    VirtioPci pci = {.common = NULL};
    uint32_t function = pci_find(VENDOR_DEVICE_TRANSITIONAL, 0);

    if (function == PCI_NONE) {
        function = pci_find(VENDOR_DEVICE_MODERN, 0);
    }
    if (function == PCI_NONE) {
        fail("no virtio-net function");
    }
    virtio_start(&pci, function, F_MRG_RXBUF);
    virtio_queue_start(&pci, &rx, 0);
    virtio_queue_start(&pci, &tx, 1);
    virtio_ready(&pci);
    if (c->depth == 0 || c->depth > tx.size || c->size < 60 || c->size > BUFFER - HEADER) {
        fail("virtio-net: a depth up to the queue's size, frames of 60 to 2036 bytes");
    }
    post_all();
    if (c->write) {
        send(c);
    } else {
        say_start("virtio-net");
        order(c->random ? 'p' : 'g', c);
        receive(c->count, c->random, c->size);
        drain_tx();
        say_end();
    }
    virtio_reset(&pci);
}
