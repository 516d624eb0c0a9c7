/* SPDX-License-Identifier: Apache-2.0 */
/* Calendar arithmetic of the real-time clock. Days are counted in 400-year eras of 146097 days with
 * the year starting in March, so that the leap day is the last day of its year. */
#include "board/rtc_calendar.h"

#define DAYS_PER_ERA     INT64_C(146097)
#define DAYS_TO_1970     INT64_C(719468) /* from 0000-03-01 to 1970-01-01 */
#define THURSDAY         4               /* 1970-01-01 */
#define SECONDS_PER_HOUR 3600
#define CHANGE_HOUR      2 /* both changes happen when 2:00:00 would come */
#define MONTH_SPRING     4
#define MONTH_AUTUMN     10
#define MONTHS_PER_YEAR  12
#define MARCH_BASED(m)   (((m) + 9) % MONTHS_PER_YEAR)

static int64_t
floor_div(int64_t value, int64_t divisor)
{
    int64_t quotient = value / divisor;

    return quotient - (value % divisor < 0 ? 1 : 0);
}

static int64_t
days_from_civil(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (int64_t)MARCH_BASED(month) + 2) / 5 + (int64_t)day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970;
}

static void
civil_from_days(int64_t days, RtcDate *date)
{
    int64_t z = days + DAYS_TO_1970;
    int64_t era = floor_div(z, DAYS_PER_ERA);
    int64_t day_of_era = z - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;

    date->day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1);
    date->month = (unsigned)(month < 10 ? month + 3 : month - 9);
    date->year = year_of_era + era * 400 + (date->month <= 2 ? 1 : 0);
}

RtcDate
rtc_date_from_seconds(int64_t seconds)
{
    RtcDate date;
    int64_t days = floor_div(seconds, RTC_SECONDS_PER_DAY);
    unsigned rest = (unsigned)(seconds - days * RTC_SECONDS_PER_DAY);
    int64_t weeks = floor_div(days + THURSDAY, 7);

    civil_from_days(days, &date);
    date.hour = rest / SECONDS_PER_HOUR;
    date.minute = rest % SECONDS_PER_HOUR / 60;
    date.second = rest % 60;
    date.day_of_week = (unsigned)(days + THURSDAY - weeks * 7);
    return date;
}

int64_t
rtc_date_to_seconds(const RtcDate *date)
{
    /* Month 0 or 13..15 can be written by a guest; carry it into the year first. */
    int64_t month = (int64_t)date->month - 1;
    int64_t years = floor_div(month, MONTHS_PER_YEAR);
    unsigned month_in_year = (unsigned)(month - years * MONTHS_PER_YEAR) + 1;
    int64_t days = days_from_civil(date->year + years, month_in_year, 1) + (int64_t)date->day - 1;

    return days * RTC_SECONDS_PER_DAY + (int64_t)date->hour * SECONDS_PER_HOUR +
           (int64_t)date->minute * 60 + (int64_t)date->second;
}

/* 2:00:00 on the last Sunday of a month with 30 (April) or 31 (October) days. */
static int64_t
last_sunday(int64_t year, unsigned month)
{
    RtcDate last = {
        .year = year, .month = month, .day = month == MONTH_SPRING ? 30 : 31, .hour = CHANGE_HOUR};
    int64_t seconds = rtc_date_to_seconds(&last);

    return seconds - (int64_t)rtc_date_from_seconds(seconds).day_of_week * RTC_SECONDS_PER_DAY;
}

int64_t
rtc_next_daylight_change(int64_t after, int32_t *delta_s)
{
    int64_t year = rtc_date_from_seconds(after).year;
    int64_t spring = last_sunday(year, MONTH_SPRING);
    int64_t autumn = last_sunday(year, MONTH_AUTUMN);

    if (after < spring) {
        *delta_s = SECONDS_PER_HOUR;
        return spring;
    }
    if (after < autumn) {
        *delta_s = -SECONDS_PER_HOUR;
        return autumn;
    }
    *delta_s = SECONDS_PER_HOUR;
    return last_sunday(year + 1, MONTH_SPRING);
}
