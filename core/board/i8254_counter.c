/* SPDX-License-Identifier: Apache-2.0 */
/* The counter of the 8254. Reference: Intel 8254 231164, "Mode definitions", "Read operations". */
#include "board/i8254_counter.h"

#include <glib.h>

#define ACCESS_LOW  1u
#define ACCESS_HIGH 2u
#define ACCESS_BOTH 3u
#define CONTROL_BCD 0x01u

#define STATUS_OUT        0x80u
#define STATUS_NULL_COUNT 0x40u

enum {
    MODE_TERMINAL_COUNT = 0,
    MODE_ONE_SHOT = 1,
    MODE_RATE = 2,
    MODE_SQUARE = 3,
    MODE_SOFTWARE_STROBE = 4,
    MODE_HARDWARE_STROBE = 5,
};

static uint32_t
modulus(const I8254Counter *counter)
{
    return (counter->control & CONTROL_BCD) != 0 ? 10000 : 65536;
}

/* Modes that start again at the end of a count. */
static bool
is_periodic(const I8254Counter *counter)
{
    return counter->mode == MODE_RATE || counter->mode == MODE_SQUARE;
}

static bool
is_triggered(const I8254Counter *counter)
{
    return counter->mode == MODE_ONE_SHOT || counter->mode == MODE_HARDWARE_STROBE;
}

/* Clocks that a square wave is high in each period; an odd count is high for one more than low. */
static uint32_t
high_clocks(uint32_t count)
{
    return (count + 1) / 2;
}

/* Takes what has happened up to now into the description: a new count at the end of a (half)
 * period. */
static void
settle(I8254Counter *counter, uint64_t now)
{
    bool high_half;

    if (!counter->running || now < counter->reload) {
        return;
    }
    high_half =
        counter->mode == MODE_SQUARE && (counter->reload - counter->start) % counter->initial != 0;
    counter->initial = counter->count;
    counter->start = counter->reload;
    if (high_half) { /* the high half of the old count ended: the low half of the new one begins */
        counter->start -= high_clocks(counter->initial);
    }
    counter->reload = I8254_NEVER;
    counter->loaded = true;
}

static uint32_t
square_value(const I8254Counter *counter, uint64_t elapsed)
{
    uint32_t phase = (uint32_t)(elapsed % counter->initial);
    uint32_t high = high_clocks(counter->initial);
    uint32_t top = counter->initial & ~1u; /* an odd count is loaded less one, and counts by two */

    return top - 2 * (phase < high ? phase : phase - high);
}

/* The counting element; 65536 and 10000 are shown as 0 by whoever prints 16 bits or four digits. */
static uint32_t
current_value(I8254Counter *counter, uint64_t now)
{
    uint64_t elapsed;

    settle(counter, now);
    if (!counter->running) {
        return counter->frozen;
    }
    elapsed = now > counter->start ? now - counter->start : 0;
    switch (counter->mode) {
    case MODE_RATE:
        return counter->initial - (uint32_t)(elapsed % counter->initial);
    case MODE_SQUARE:
        return square_value(counter, elapsed);
    default:
        return (counter->initial + modulus(counter) - (uint32_t)(elapsed % modulus(counter))) %
               modulus(counter);
    }
}

/* OUT while running, `elapsed` clocks after the load. */
static bool
running_out(const I8254Counter *counter, uint64_t elapsed)
{
    switch (counter->mode) {
    case MODE_TERMINAL_COUNT:
        return counter->done || elapsed >= counter->initial;
    case MODE_ONE_SHOT:
        return elapsed >= counter->initial;
    case MODE_RATE: /* a count of 1 is illegal; it makes no pulses */
        return counter->initial < 2 || elapsed % counter->initial != counter->initial - 1;
    case MODE_SQUARE:
        return elapsed % counter->initial < high_clocks(counter->initial);
    default:
        return counter->done || elapsed != counter->initial;
    }
}

bool
i8254_counter_out(I8254Counter *counter, uint64_t now)
{
    settle(counter, now);
    if (!counter->running) {
        return counter->mode != MODE_TERMINAL_COUNT || counter->done;
    }
    return now < counter->start ? counter->out_before : running_out(counter, now - counter->start);
}

static uint64_t
periodic_next_change(const I8254Counter *counter, uint64_t from)
{
    uint32_t period = counter->initial;
    uint32_t phase = (uint32_t)((from - counter->start) % period);
    uint32_t high = counter->mode == MODE_RATE ? period - 1 : high_clocks(period);

    return period < 2 ? I8254_NEVER : from + (phase < high ? high - phase : period - phase);
}

uint64_t
i8254_counter_next_change(I8254Counter *counter, uint64_t now)
{
    bool strobe = counter->mode == MODE_SOFTWARE_STROBE || counter->mode == MODE_HARDWARE_STROBE;
    uint64_t from, end;

    settle(counter, now);
    if (!counter->running) {
        return I8254_NEVER;
    }
    from = MAX(now, counter->start);
    if (now < counter->start && running_out(counter, 0) != counter->out_before) {
        return counter->start;
    }
    if (is_periodic(counter)) {
        return periodic_next_change(counter, from);
    }
    end = counter->start + counter->initial;
    if (counter->done || from > end) {
        return I8254_NEVER;
    }
    if (from < end) {
        return end;
    }
    return strobe ? end + 1 : I8254_NEVER;
}

/* Stops the counting element where it is. */
static void
freeze(I8254Counter *counter, uint64_t now)
{
    counter->frozen = current_value(counter, now);
    if (counter->running && now >= counter->start && !is_periodic(counter) &&
        now - counter->start >= counter->initial) {
        counter->done = true;
    }
    counter->reload = I8254_NEVER;
    counter->running = false;
}

/* The count register goes into the counting element at the next clock. */
static void
load(I8254Counter *counter, bool out_before, uint64_t now)
{
    counter->initial = counter->count;
    counter->start = now + 1;
    counter->out_before = out_before;
    counter->running = true;
    counter->loaded = true;
    counter->done = false;
    counter->reload = I8254_NEVER;
}

void
i8254_counter_reset(I8254Counter *counter, bool gate)
{
    *counter = (I8254Counter){
        .control = ACCESS_BOTH << 4,
        .gate = gate,
        .reload = I8254_NEVER,
    };
}

void
i8254_counter_control(I8254Counter *counter, uint8_t control, uint64_t now)
{
    unsigned mode = control >> 1 & 7;

    freeze(counter, now);
    counter->control = control & 0x3F;
    counter->mode = mode > 5 ? mode - 4 : mode; /* X10 and X11 are modes 2 and 3 */
    counter->written = false;
    counter->loaded = false;
    counter->done = false;
    counter->write_high = false;
    counter->read_high = false;
    counter->count_latched = false;
    counter->status_latched = false;
}

/* Modes 2 and 3 finish the period, the half period, before a new count counts. */
static void
schedule_reload(I8254Counter *counter, uint64_t now)
{
    uint32_t period = counter->initial;
    uint64_t begin;

    if (now < counter->start) {
        counter->initial = counter->count; /* not loaded yet: the newer one will be */
        counter->loaded = true;
        return;
    }
    begin = now - (now - counter->start) % period;
    if (counter->mode == MODE_SQUARE && now - begin < high_clocks(period)) {
        counter->reload = begin + high_clocks(period);
    } else {
        counter->reload = begin + period;
    }
}

static void
count_written(I8254Counter *counter, uint32_t count, uint64_t now)
{
    settle(counter, now);
    counter->count = count != 0 ? count : modulus(counter);
    counter->written = true;
    counter->loaded = false;
    if (is_triggered(counter)) {
        return; /* waits for the gate */
    }
    if (is_periodic(counter) && counter->running) {
        schedule_reload(counter, now);
        return;
    }
    if (counter->gate) {
        load(counter, counter->mode != MODE_TERMINAL_COUNT, now);
    } else {
        counter->running = false;
        counter->frozen = counter->count;
        counter->loaded = true;
        counter->done = false;
    }
}

static uint32_t
from_bcd(uint32_t digits)
{
    return ((digits >> 12 & 15) * 1000 + (digits >> 8 & 15) * 100 + (digits >> 4 & 15) * 10 +
            (digits & 15)) %
           10000;
}

static uint16_t
to_bcd(uint32_t value)
{
    return (uint16_t)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
                      value % 10);
}

static unsigned
access_of(const I8254Counter *counter)
{
    return counter->control >> 4 & 3;
}

void
i8254_counter_write(I8254Counter *counter, uint8_t value, uint64_t now)
{
    uint32_t count = value;

    if (access_of(counter) == ACCESS_BOTH && !counter->write_high) {
        counter->write_high = true;
        counter->low_byte = value;
        if (counter->mode ==
            MODE_TERMINAL_COUNT) { /* the first byte stops it, OUT is low at once */
            freeze(counter, now);
            counter->done = false;
        }
        return;
    }
    if (access_of(counter) == ACCESS_BOTH) {
        counter->write_high = false;
        count = counter->low_byte | (uint32_t)value << 8;
    } else if (access_of(counter) == ACCESS_HIGH) {
        count = (uint32_t)value << 8;
    }
    count_written(counter, (counter->control & CONTROL_BCD) != 0 ? from_bcd(count) : count, now);
}

static uint16_t
shown_value(I8254Counter *counter, uint64_t now)
{
    uint32_t value = current_value(counter, now);

    return (counter->control & CONTROL_BCD) != 0 ? to_bcd(value) : (uint16_t)value;
}

uint8_t
i8254_counter_read(I8254Counter *counter, uint64_t now)
{
    uint16_t value;
    bool high = access_of(counter) == ACCESS_HIGH;

    if (counter->status_latched) {
        counter->status_latched = false;
        return counter->latched_status;
    }
    value = counter->count_latched ? counter->latched_count : shown_value(counter, now);
    if (access_of(counter) == ACCESS_BOTH) {
        high = counter->read_high;
        counter->read_high = !high;
    }
    if (high || access_of(counter) != ACCESS_BOTH) {
        counter->count_latched = false;
    }
    return (uint8_t)(high ? value >> 8 : value);
}

void
i8254_counter_latch_count(I8254Counter *counter, uint64_t now)
{
    if (!counter->count_latched) { /* until it is read, further latch commands are ignored */
        counter->latched_count = shown_value(counter, now);
        counter->count_latched = true;
    }
}

void
i8254_counter_latch_status(I8254Counter *counter, uint64_t now)
{
    bool out = i8254_counter_out(counter, now);
    bool null_count = !counter->loaded || (counter->running && now < counter->start);

    if (!counter->status_latched) {
        counter->latched_status = (uint8_t)(counter->control | (out ? STATUS_OUT : 0) |
                                            (null_count ? STATUS_NULL_COUNT : 0));
        counter->status_latched = true;
    }
}

static void
gate_rises(I8254Counter *counter, uint64_t now)
{
    if (!counter->written) {
        return;
    }
    if (is_triggered(counter)) {
        load(counter, i8254_counter_out(counter, now), now);
    } else if (is_periodic(counter)) {
        load(counter, true, now);
    } else {
        counter->initial = counter->frozen;
        counter->start = now;
        counter->running = true;
    }
}

void
i8254_counter_set_gate(I8254Counter *counter, bool gate, uint64_t now)
{
    if (gate == counter->gate) {
        return;
    }
    counter->gate = gate;
    if (gate) {
        gate_rises(counter, now);
    } else if (!is_triggered(counter)) { /* modes 2 and 3: OUT goes high at once */
        freeze(counter, now);
    }
}
