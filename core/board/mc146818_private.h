/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the MC146818 share: its registers, its state, and time as a function of a
 * clock. The chip's lock is held around every function here. */
#pragma once

#include "board/mc146818.h"

#define NS_PER_S  UINT64_C(1000000000)
#define NO_SECOND UINT64_MAX

enum {
    CELL_SECONDS = 0x00,
    CELL_SECONDS_ALARM = 0x01,
    CELL_MINUTES = 0x02,
    CELL_MINUTES_ALARM = 0x03,
    CELL_HOURS = 0x04,
    CELL_HOURS_ALARM = 0x05,
    CELL_DAY_OF_WEEK = 0x06,
    CELL_DAY = 0x07,
    CELL_MONTH = 0x08,
    CELL_YEAR = 0x09,
    CELL_A = 0x0A,
    CELL_B = 0x0B,
    CELL_C = 0x0C,
    CELL_D = 0x0D,
    CELL_CENTURY = 0x32,
};

enum {
    A_UIP = 0x80,
    A_DV_SHIFT = 4,
    A_DV_LAST_RUNNING = 2, /* 0-2 choose the time base, 3-5 are test modes, 6-7 divider reset */
    A_RS_MASK = 0x0F,
    B_SET = 0x80,
    B_PIE = 0x40,
    B_AIE = 0x20,
    B_UIE = 0x10,
    B_SQWE = 0x08,
    B_DM = 0x04,
    B_24H = 0x02,
    B_DSE = 0x01,
    C_IRQF = 0x80,
    C_PF = 0x40,
    C_AF = 0x20,
    C_UF = 0x10,
    C_SOURCES = C_PF | C_AF | C_UF,
    D_VRT = 0x80,
    HOUR_PM = 0x80,
};

struct Mc146818 {
    GMutex lock; /* protects everything below */
    Region *regions[2];
    IrqSource *irq;
    Loop *loop;
    VirtualClock *clock;
    ClockSource source;
    LoopTimer *second_timer;   /* update-ended, alarm and daylight changes; on `source` */
    LoopTimer *periodic_timer; /* on the virtual clock, whatever `source` is */
    uint8_t cells[MC146818_CELLS];
    uint8_t index, extended_index;
    bool nmi_masked;
    uint64_t phase_ns; /* below one second */
    int64_t offset_s;
    int64_t seen_s;        /* events are noted up to and including this second */
    uint64_t cells_at;     /* the raw second the time cells show, or NO_SECOND */
    unsigned weekday_bias; /* the day of week is a counter of its own */
    int64_t change_done;   /* the daylight change made last: October's must not repeat */
    uint64_t period_clock; /* crystal clock of the last periodic tick */
};

uint64_t rtc_source_now(const Mc146818 *chip);
/* The second the clock shows (since 1970), and how far into it the divider is. */
int64_t rtc_current_second(const Mc146818 *chip, uint64_t *fraction_ns);
bool rtc_divider_running(const Mc146818 *chip);
/* Seconds go by: neither SET nor a divider reset holds them. */
bool rtc_counting(const Mc146818 *chip);
/* Writes the current time into the time cells, unless they show it already (or are held). */
void rtc_refresh_cells(Mc146818 *chip);
/* Takes the time from the cells; they stay as written until the next update. */
void rtc_load_cells(Mc146818 *chip);
/* First second later than `after` at which the alarm matches; INT64_MAX: never. */
int64_t rtc_next_alarm(const Mc146818 *chip, int64_t after);
