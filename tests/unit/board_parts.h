/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of a chip need around it: buses, interrupt lines, memory, and a clock that moves only
 * by parts_step(). */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "bus/irq.h"
#include "bus/physical.h"
#include "loop/loop.h"

#include <stdint.h>
#include <string.h>

typedef struct {
    PhysicalBus bus;
    IrqLines *irqs;
    VirtualClock *clock;
    Loop *loop;
} Parts;

static inline void
parts_init_sized(Parts *parts, uint64_t memory_bytes, uint64_t hole_start)
{
    GuestMemoryArgs memory = {.size_bytes = memory_bytes, .hole_start = hole_start};

    parts->bus.memory = guest_memory_new(&memory, NULL);
    assert_non_null(parts->bus.memory);
    parts->bus.pio = address_space_new("ports", PIO_SPACE_SIZE);
    parts->bus.mmio = address_space_new("memory", UINT64_C(1) << 52);
    parts->irqs = irq_lines_new();
    parts->clock = virtual_clock_new(true);
    parts->loop = loop_new("test", LOOP_ENGINE_EPOLL, parts->clock, NULL);
    assert_non_null(parts->loop);
    loop_attach(parts->loop, NULL);
}

static inline void
parts_init(Parts *parts)
{
    parts_init_sized(parts, UINT64_C(16) << 20, UINT64_C(0xC0000000));
}

static inline void
parts_done(Parts *parts)
{
    loop_free(parts->loop);
    virtual_clock_free(parts->clock);
    irq_lines_free(parts->irqs);
    address_space_free(parts->bus.mmio);
    address_space_free(parts->bus.pio);
    guest_memory_free(parts->bus.memory);
}

static inline uint8_t
parts_in(Parts *parts, uint16_t port)
{
    return (uint8_t)address_space_read(parts->bus.pio, port, 1);
}

static inline uint32_t
parts_in32(Parts *parts, uint16_t port)
{
    return (uint32_t)address_space_read(parts->bus.pio, port, 4);
}

static inline void
parts_out(Parts *parts, uint16_t port, uint8_t value)
{
    address_space_write(parts->bus.pio, port, 1, value);
}

static inline void
parts_out16(Parts *parts, uint16_t port, uint16_t value)
{
    address_space_write(parts->bus.pio, port, 2, value);
}

static inline void
parts_out32(Parts *parts, uint16_t port, uint32_t value)
{
    address_space_write(parts->bus.pio, port, 4, value);
}

/* Moves the clock, timers firing each at its own deadline,
 * as clock_step of the test protocol does. */
static inline void
parts_step(Parts *parts, uint64_t ns)
{
    uint64_t target = virtual_clock_now(parts->clock) + ns;
    uint64_t deadline;

    while ((deadline = loop_next_virtual_deadline(parts->loop)) <= target) {
        virtual_clock_set(parts->clock, MAX(deadline, virtual_clock_now(parts->clock)));
        loop_run_virtual_timers(parts->loop);
    }
    virtual_clock_set(parts->clock, target);
}

/* To the next timer; false when none is armed. */
static inline bool
parts_step_to_timer(Parts *parts)
{
    uint64_t deadline = loop_next_virtual_deadline(parts->loop);

    if (deadline == UINT64_MAX) {
        return false;
    }
    parts_step(parts, deadline - virtual_clock_now(parts->clock));
    return true;
}
