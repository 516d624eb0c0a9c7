/* SPDX-License-Identifier: Apache-2.0 */
/* One counter of an 8254. Nothing counts: the counter knows at which tick of its clock its counting
 * element was loaded, and value, OUT and the next change of OUT follow from the time. Time is a
 * number of clock ticks, beyond 65536, and never runs backwards. No locking. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define I8254_NEVER UINT64_MAX

typedef struct {
    uint8_t control; /* bits 5:0 of the control word: access, mode, BCD */
    unsigned mode;   /* 0 to 5 */
    bool gate;
    /* The count register, and the bytes on their way into it. */
    uint32_t count; /* 1 .. 65536, or 10000 in BCD */
    bool written;   /* since the control word */
    bool write_high, read_high;
    uint8_t low_byte;
    /* The counting element: `initial` at tick `start`, if running; else it stands at `frozen`. */
    bool running;
    bool loaded;     /* the count register has reached the counting element */
    bool out_before; /* OUT between the write or trigger and `start` */
    bool done;       /* modes 0 and 4: this load has reached its end already */
    uint32_t initial, frozen;
    uint64_t start;
    uint64_t reload; /* modes 2 and 3: tick at which `count` replaces `initial`, or I8254_NEVER */
    /* Latches. */
    bool count_latched, status_latched;
    uint16_t latched_count;
    uint8_t latched_status;
} I8254Counter;

void i8254_counter_reset(I8254Counter *counter, bool gate);
/* Bits 5:0 of a control word that is not a latch command. */
void i8254_counter_control(I8254Counter *counter, uint8_t control, uint64_t now);
void i8254_counter_write(I8254Counter *counter, uint8_t value, uint64_t now);
uint8_t i8254_counter_read(I8254Counter *counter, uint64_t now);
void i8254_counter_latch_count(I8254Counter *counter, uint64_t now);
void i8254_counter_latch_status(I8254Counter *counter, uint64_t now);
void i8254_counter_set_gate(I8254Counter *counter, bool gate, uint64_t now);
bool i8254_counter_out(I8254Counter *counter, uint64_t now);
/* The first tick after now at which OUT changes by itself, or I8254_NEVER. */
uint64_t i8254_counter_next_change(I8254Counter *counter, uint64_t now);
