/* SPDX-License-Identifier: Apache-2.0 */
/* 8254 interval timer and port 61h. Reference: Intel 8254 231164; 82371SB (Intel 290550), 2.5.5.
 * Only counter 0's OUT needs a timer: it is a line to the interrupt controllers. */
#include "board/i8254.h"

#include "board/chip.h"
#include "board/i8254_counter.h"

#define COUNTERS      3u
#define PIT_PORT      0x40
#define NMI_PORT      0x61
#define CONTROL       3u
#define NS_PER_S      1000000000u
#define TICK_ORIGIN   0x20000u /* the counters' time at virtual time 0 */
#define REFRESH_TICKS 18u      /* counter 1 as every PC programs it: a refresh each 15 us */

/* Control word. */
#define SELECT_READ_BACK    3u
#define READ_BACK_NO_COUNT  0x20u
#define READ_BACK_NO_STATUS 0x10u

/* Port 61h; bits 6 and 7 would report IOCHK# and SERR#, which nothing here raises. */
#define NMI_GATE2    0x01u
#define NMI_WRITABLE 0x0Fu
#define NMI_REFRESH  0x10u
#define NMI_OUT2     0x20u

/* A late timer shows at most this many changes of OUT0 that it missed: enough for one more edge. */
#define CATCH_UP_CHANGES 4u

struct I8254 {
    GMutex lock; /* protects: all below; the regions and the timer take it */
    VirtualClock *clock;
    LoopTimer *timer;
    IrqSource *irq0;
    Region *counters_region, *nmi_region;
    I8254Counter counters[COUNTERS];
    uint64_t followed; /* tick up to which IRQ0 follows OUT0 */
    uint8_t nmi;
};

static uint64_t
now_ticks(const I8254 *pit)
{
    return TICK_ORIGIN +
           (uint64_t)((unsigned __int128)virtual_clock_now(pit->clock) * I8254_HZ / NS_PER_S);
}

/* The first nanosecond of a tick. */
static uint64_t
ticks_to_ns(uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)(ticks - TICK_ORIGIN) * NS_PER_S + I8254_HZ - 1) /
                      I8254_HZ);
}

/* IRQ0 gets the changes of OUT0 up to now that it has not seen,
 * and the timer waits for the next. */
static void
follow_out0(I8254 *pit, uint64_t now)
{
    I8254Counter *counter = &pit->counters[0];
    uint64_t next;

    for (unsigned i = 0; i < CATCH_UP_CHANGES; i++) {
        next = i8254_counter_next_change(counter, pit->followed);
        if (next > now) {
            break;
        }
        pit->followed = next;
        irq_source_set(pit->irq0, i8254_counter_out(counter, next));
    }
    pit->followed = now;
    irq_source_set(pit->irq0, i8254_counter_out(counter, now));
    next = i8254_counter_next_change(counter, now);
    if (next == I8254_NEVER) {
        loop_timer_cancel(pit->timer);
    } else {
        loop_timer_arm(pit->timer, ticks_to_ns(next));
    }
}

static void
i8254_timer(void *opaque)
{
    I8254 *pit = opaque;

    follow_out0(pit, now_ticks(pit));
}

static void
read_back(I8254 *pit, uint8_t command, uint64_t now)
{
    for (unsigned i = 0; i < COUNTERS; i++) {
        if ((command >> (i + 1) & 1) == 0) {
            continue;
        }
        if ((command & READ_BACK_NO_COUNT) == 0) {
            i8254_counter_latch_count(&pit->counters[i], now);
        }
        if ((command & READ_BACK_NO_STATUS) == 0) {
            i8254_counter_latch_status(&pit->counters[i], now);
        }
    }
}

static void
write_control(I8254 *pit, uint8_t value, uint64_t now)
{
    unsigned select = value >> 6;

    if (select == SELECT_READ_BACK) {
        read_back(pit, value, now);
    } else if ((value >> 4 & 3) == 0) {
        i8254_counter_latch_count(&pit->counters[select], now);
    } else {
        i8254_counter_control(&pit->counters[select], value, now);
    }
}

static uint64_t
pit_read(void *opaque, uint64_t offset, unsigned size)
{
    I8254 *pit = opaque;

    uint64_t now = now_ticks(pit);

    if (offset == CONTROL) {
        return 0xFF; /* the control word cannot be read: the bus floats */
    }
    follow_out0(pit, now);
    return i8254_counter_read(&pit->counters[offset], now);
}

static void
pit_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    I8254 *pit = opaque;
    uint64_t now = now_ticks(pit);

    follow_out0(pit, now); /* under the old program, before it changes */
    if (offset == CONTROL) {
        write_control(pit, (uint8_t)value, now);
    } else {
        i8254_counter_write(&pit->counters[offset], (uint8_t)value, now);
    }
    follow_out0(pit, now);
}

static uint64_t
nmi_read(void *opaque, uint64_t offset, unsigned size)
{
    I8254 *pit = opaque;
    uint64_t now = now_ticks(pit);
    unsigned value = pit->nmi;

    value |= now / REFRESH_TICKS % 2 != 0 ? NMI_REFRESH : 0;
    value |= i8254_counter_out(&pit->counters[2], now) ? NMI_OUT2 : 0;
    return value;
}

static void
nmi_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    I8254 *pit = opaque;

    pit->nmi = (uint8_t)value & NMI_WRITABLE;
    i8254_counter_set_gate(&pit->counters[2], (value & NMI_GATE2) != 0, now_ticks(pit));
}

static const RegionOps pit_ops = {.read = pit_read, .write = pit_write};
static const RegionOps nmi_ops = {.read = nmi_read, .write = nmi_write};

I8254 *
i8254_new(const I8254Args *args, GError **error)
{
    g_autoptr(I8254) pit = g_new0(I8254, 1);
    const RegionArgs counters = {
        .name = "i8254",
        .base = PIT_PORT,
        .length = COUNTERS + 1,
        .ops = &pit_ops,
        .opaque = pit,
        .lock = &pit->lock,
    };
    const RegionArgs nmi = {
        .name = "port-61",
        .base = NMI_PORT,
        .length = 1,
        .ops = &nmi_ops,
        .opaque = pit,
        .lock = &pit->lock,
    };

    g_mutex_init(&pit->lock);
    pit->clock = args->clock;
    pit->irq0 = irq_source_new(args->irqs, 0);
    pit->timer = loop_timer_new(args->loop, CLOCK_SOURCE_VIRTUAL, &pit->lock, i8254_timer, pit);
    i8254_reset(pit);
    pit->counters_region = chip_claim(args->pio, &counters, error);
    pit->nmi_region = pit->counters_region != NULL ? chip_claim(args->pio, &nmi, error) : NULL;
    return pit->nmi_region != NULL ? g_steal_pointer(&pit) : NULL;
}

/* The chip comes up undefined; here: mode 0, no count, OUT low. */
void
i8254_reset(I8254 *pit)
{
    g_mutex_lock(&pit->lock);
    pit->nmi = 0;
    for (unsigned i = 0; i < COUNTERS; i++) {
        i8254_counter_reset(&pit->counters[i], i != 2);
    }
    follow_out0(pit, now_ticks(pit));
    g_mutex_unlock(&pit->lock);
}

static bool
check_counter(const void *object)
{
    const I8254Counter *counter = object;

    /* A period is divided by; modes 2 and 3 are the periodic ones. */
    bool periodic = counter->running && (counter->mode == 2 || counter->mode == 3);

    return (counter->count >= 1 || (!counter->written && !periodic)) &&
           (counter->initial >= 1 || !periodic);
}

void
i8254_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_FIELD(1, I8254, followed, 0),
        CHIP_FIELD(2, I8254, nmi, 0),
    };
    static const struct bp_state_field counter_fields[] = {
        CHIP_FIELD(1, I8254Counter, control, 0x3F),
        CHIP_FIELD(2, I8254Counter, mode, 5),
        CHIP_BOOL(3, I8254Counter, gate),
        CHIP_FIELD(4, I8254Counter, count, 65536),
        CHIP_BOOL(5, I8254Counter, written),
        CHIP_BOOL(6, I8254Counter, write_high),
        CHIP_BOOL(7, I8254Counter, read_high),
        CHIP_FIELD(8, I8254Counter, low_byte, 0),
        CHIP_BOOL(9, I8254Counter, running),
        CHIP_BOOL(10, I8254Counter, loaded),
        CHIP_BOOL(11, I8254Counter, out_before),
        CHIP_BOOL(12, I8254Counter, done),
        CHIP_FIELD(13, I8254Counter, initial, 65536),
        CHIP_FIELD(14, I8254Counter, frozen, 65536),
        CHIP_FIELD(15, I8254Counter, start, 0),
        CHIP_FIELD(16, I8254Counter, reload, 0),
        CHIP_BOOL(17, I8254Counter, count_latched),
        CHIP_BOOL(18, I8254Counter, status_latched),
        CHIP_FIELD(19, I8254Counter, latched_count, 0),
        CHIP_FIELD(20, I8254Counter, latched_status, 0),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, I8254, NULL);
    static const ChipObject counter_object =
        CHIP_OBJECT(2, counter_fields, I8254Counter, check_counter);
    I8254 *pit = chip;

    g_mutex_lock(&pit->lock);
    if (state->phase == CHIP_STATE_SAVE) {
        follow_out0(pit, now_ticks(pit));
    }
    chip_state_object(state, &object, 0, pit);
    for (unsigned i = 0; i < COUNTERS; i++) {
        chip_state_object(state, &counter_object, i, &pit->counters[i]);
    }
    if (chip_state_is_after(state)) {
        follow_out0(pit, now_ticks(pit));
    }
    g_mutex_unlock(&pit->lock);
}

void
i8254_free(I8254 *pit)
{
    if (pit == NULL) {
        return;
    }
    region_free(pit->counters_region);
    region_free(pit->nmi_region);
    loop_timer_free(pit->timer);
    irq_source_free(pit->irq0);
    g_mutex_clear(&pit->lock);
    g_free(pit);
}
