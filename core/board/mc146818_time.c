/* SPDX-License-Identifier: Apache-2.0 */
/* The MC146818's time of day: from the clock to the formats of the time cells and back, and which
 * second an alarm matches. */
#include "board/mc146818_private.h"

#include "board/rtc_calendar.h"

#define ALARM_DONT_CARE 0xC0u
#define FIELD_ANY       (-1)
#define FIELD_NEVER     (-2)

/* --- Time as a function of the clock --------------------------------------------------------- */

uint64_t
rtc_source_now(const Mc146818 *chip)
{
    return clock_source_now(chip->source, chip->clock);
}

static uint64_t
rtc_raw_second(const Mc146818 *chip, uint64_t now_ns, uint64_t *fraction_ns)
{
    uint64_t rest = now_ns % NS_PER_S + chip->phase_ns;

    *fraction_ns = rest % NS_PER_S;
    return now_ns / NS_PER_S + rest / NS_PER_S;
}

int64_t
rtc_current_second(const Mc146818 *chip, uint64_t *fraction_ns)
{
    return (int64_t)rtc_raw_second(chip, rtc_source_now(chip), fraction_ns) + chip->offset_s;
}

bool
rtc_divider_running(const Mc146818 *chip)
{
    /* All three time bases count alike: a PC has one crystal, 32.768 kHz, and software that clears
     * the DV bits expects the clock to go on. */
    return (chip->cells[CELL_A] & ~A_UIP) >> A_DV_SHIFT <= A_DV_LAST_RUNNING;
}

bool
rtc_counting(const Mc146818 *chip)
{
    return rtc_divider_running(chip) && (chip->cells[CELL_B] & B_SET) == 0;
}

/* --- Register formats ------------------------------------------------------------------------ */

static uint8_t
encode(const Mc146818 *chip, unsigned value)
{
    return (uint8_t)((chip->cells[CELL_B] & B_DM) != 0 ? value : (value / 10) << 4 | value % 10);
}

static unsigned
decode(const Mc146818 *chip, uint8_t value)
{
    return (chip->cells[CELL_B] & B_DM) != 0 ? value : (value >> 4) * 10u + (value & 0x0Fu);
}

static uint8_t
encode_hour(const Mc146818 *chip, unsigned hour)
{
    if ((chip->cells[CELL_B] & B_24H) != 0) {
        return encode(chip, hour);
    }
    return (uint8_t)(encode(chip, hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? HOUR_PM : 0));
}

static unsigned
decode_hour(const Mc146818 *chip, uint8_t value)
{
    if ((chip->cells[CELL_B] & B_24H) != 0) {
        return decode(chip, value);
    }
    return decode(chip, value & (uint8_t)~HOUR_PM) % 12 + ((value & HOUR_PM) != 0 ? 12 : 0);
}

void
rtc_refresh_cells(Mc146818 *chip)
{
    uint64_t fraction;
    uint64_t raw = rtc_raw_second(chip, rtc_source_now(chip), &fraction);
    RtcDate date;
    int64_t year;

    if (!rtc_counting(chip) || raw == chip->cells_at) {
        return;
    }
    date = rtc_date_from_seconds((int64_t)raw + chip->offset_s);
    year = ((date.year % 10000) + 10000) % 10000;
    chip->cells[CELL_SECONDS] = encode(chip, date.second);
    chip->cells[CELL_MINUTES] = encode(chip, date.minute);
    chip->cells[CELL_HOURS] = encode_hour(chip, date.hour);
    chip->cells[CELL_DAY_OF_WEEK] = encode(chip, (date.day_of_week + chip->weekday_bias) % 7 + 1);
    chip->cells[CELL_DAY] = encode(chip, date.day);
    chip->cells[CELL_MONTH] = encode(chip, date.month);
    chip->cells[CELL_YEAR] = encode(chip, (unsigned)(year % 100));
    chip->cells[CELL_CENTURY] = encode(chip, (unsigned)(year / 100));
    chip->cells_at = raw;
}

void
rtc_load_cells(Mc146818 *chip)
{
    uint64_t fraction;
    uint64_t raw = rtc_raw_second(chip, rtc_source_now(chip), &fraction);
    RtcDate date = {
        .year =
            decode(chip, chip->cells[CELL_CENTURY]) * 100 + decode(chip, chip->cells[CELL_YEAR]),
        .month = decode(chip, chip->cells[CELL_MONTH]),
        .day = decode(chip, chip->cells[CELL_DAY]),
        .hour = decode_hour(chip, chip->cells[CELL_HOURS]),
        .minute = decode(chip, chip->cells[CELL_MINUTES]),
        .second = decode(chip, chip->cells[CELL_SECONDS]),
    };
    int64_t seconds = rtc_date_to_seconds(&date);
    unsigned weekday = decode(chip, chip->cells[CELL_DAY_OF_WEEK]) % 7;

    date = rtc_date_from_seconds(seconds);
    chip->weekday_bias = (weekday + 13 - date.day_of_week) % 7;
    chip->offset_s = seconds - (int64_t)raw;
    chip->seen_s = seconds;
    chip->cells_at = raw;
    chip->change_done = INT64_MIN;
}

/* --- Alarm ----------------------------------------------------------------------------------- */

/* Which of the values 0..count-1 shows as `raw`: the chip compares bytes, not numbers. */
static int
alarm_field(const Mc146818 *chip, uint8_t cell, unsigned count)
{
    uint8_t raw = chip->cells[cell];

    if ((raw & ALARM_DONT_CARE) == ALARM_DONT_CARE) {
        return FIELD_ANY;
    }
    for (unsigned value = 0; value < count; value++) {
        uint8_t shown = cell == CELL_HOURS_ALARM ? encode_hour(chip, value) : encode(chip, value);
        if (shown == raw) {
            return (int)value;
        }
    }
    return FIELD_NEVER;
}

/* First value >= from that the field matches, or -1. */
static int
field_from(int field, int from, int count)
{
    if (field == FIELD_ANY) {
        return from < count ? from : -1;
    }
    return field >= from ? field : -1;
}

/* First second of the hour >= from that matches, or -1. */
static int
alarm_in_hour(int minute_field, int second_field, int from)
{
    int minute = field_from(minute_field, from / 60, 60);
    int second = field_from(second_field, minute == from / 60 ? from % 60 : 0, 60);

    if (minute >= 0 && second < 0) {
        /* Too late in this minute: from the start of the next one that matches. */
        minute = field_from(minute_field, minute + 1, 60);
        second = field_from(second_field, 0, 60);
    }
    return minute < 0 || second < 0 ? -1 : minute * 60 + second;
}

/* First second of the day >= from that matches, or -1. */
static int
alarm_in_day(const int fields[3], int from)
{
    int hour = field_from(fields[0], from / 3600, 24);

    while (hour >= 0) {
        int start = hour == from / 3600 ? from % 3600 : 0;
        int match = alarm_in_hour(fields[1], fields[2], start);
        if (match >= 0) {
            return hour * 3600 + match;
        }
        hour = field_from(fields[0], hour + 1, 24);
    }
    return -1;
}

int64_t
rtc_next_alarm(const Mc146818 *chip, int64_t after)
{
    const int fields[3] = {alarm_field(chip, CELL_HOURS_ALARM, 24),
                           alarm_field(chip, CELL_MINUTES_ALARM, 60),
                           alarm_field(chip, CELL_SECONDS_ALARM, 60)};
    RtcDate date = rtc_date_from_seconds(after + 1);
    int in_day = (int)((date.hour * 60 + date.minute) * 60 + date.second);
    int64_t midnight = after + 1 - in_day;
    int match = alarm_in_day(fields, in_day);

    if (match >= 0) {
        return midnight + match;
    }
    match = alarm_in_day(fields, 0);
    return match >= 0 ? midnight + RTC_SECONDS_PER_DAY + match : INT64_MAX;
}
