/* SPDX-License-Identifier: Apache-2.0 */
/* Calendar arithmetic of the real-time clock: seconds since 1970 to broken-down time and back, in
 * the proleptic Gregorian calendar, without the host's time zones and without range limits that a
 * guest could exceed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RTC_SECONDS_PER_DAY INT64_C(86400)

typedef struct {
    int64_t year;         /* full: 2024 */
    unsigned month;       /* 1..12 */
    unsigned day;         /* 1..31 */
    unsigned hour;        /* 0..23 */
    unsigned minute;      /* 0..59 */
    unsigned second;      /* 0..59 */
    unsigned day_of_week; /* 0 = Sunday */
} RtcDate;

RtcDate rtc_date_from_seconds(int64_t seconds);
/* Fields out of range are carried over (31 February is 3 March); day_of_week is ignored. */
int64_t rtc_date_to_seconds(const RtcDate *date);

/* The two special updates of MC146818's DSE bit (data sheet, "Register B, DSE"): on the last Sunday
 * of April 1:59:59 is followed by 3:00:00, on the last Sunday of October 1:59:59 is followed once
 * by 1:00:00. Returns the first such second after `after` (as the clock counts without the change),
 * and in *delta_s the seconds to add there. */
int64_t rtc_next_daylight_change(int64_t after, int32_t *delta_s);
