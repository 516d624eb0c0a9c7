/* SPDX-License-Identifier: Apache-2.0 */
/* What the channels of the 8237s (i8237.c) and their registers (i8237_ports.c) share. */
#pragma once

#include "board/i8237.h"

#define I8237_CHANNELS       8u
#define I8237_PER_CONTROLLER 4u
#define I8237_PAGES          16u

#define I8237_COMMAND_DISABLE 0x04u

typedef struct {
    uint16_t base_address, address;
    uint16_t base_count, count;
    uint8_t mode;
    bool masked, dreq, requested, terminal;
    bool claimed;
    unsigned notifying; /* calls of ready going on */
    void (*ready)(void *opaque);
    void *opaque;
} I8237Channel;

typedef struct {
    uint8_t command;
    bool high_byte; /* the flip-flop: the next access is to the high byte */
} I8237Controller;

struct IsaDma {
    GMutex lock; /* protects: all below */
    GCond notified;
    GuestMemory *memory;
    I8237Channel channels[I8237_CHANNELS];
    I8237Controller controllers[2];
    uint8_t pages[I8237_PAGES];      /* 80h-8Fh */
    uint8_t high_pages[I8237_PAGES]; /* 480h-48Fh */
    Region *regions[4];
};

/* Registers of `channels` (a bit mask) changed: who waits may go on. Releases the lock. */
void i8237_notify_and_unlock(IsaDma *dma, unsigned channels);

/* i8237_ports.c */
bool i8237_init_ports(IsaDma *dma, AddressSpace *pio, GError **error);
void i8237_master_clear_locked(IsaDma *dma, unsigned index);
