/* SPDX-License-Identifier: Apache-2.0 */
/* A leaky bucket for any number of threads, kept as a schedule (the virtual scheduling algorithm of
 * ITU-T I.371, annex A): one word says until when the bucket is spoken for. Taking from it is one
 * compare-and-swap and yields the time at which the taker may go; so takers are served in the order
 * in which they came, whatever queue they came by, and nobody holds a lock. */
#ifndef FILTER_THROTTLE_BUCKET_H
#define FILTER_THROTTLE_BUCKET_H

#include <stdatomic.h>
#include <stdint.h>

struct bucket {
    _Atomic(uint64_t) rate;         /* units a second; 0: no limit */
    _Atomic(uint64_t) tolerance_ns; /* how far the schedule may run ahead */
    _Atomic(uint64_t) spoken_ns;    /* until when */
};

/* A limit with bursts: on the average `rate`, for `length_s` seconds after a rest `peak`. */
struct limit {
    struct bucket average;
    struct bucket peak;
};

/* peak 0: as the rate. Forgets what was taken. */
void limit_set(struct limit *limit, uint64_t rate, uint64_t peak, uint64_t length_s);
/* Takes units; returns the time from which they may be used, now_ns or later. */
uint64_t limit_take(struct limit *limit, uint64_t units, uint64_t now_ns);
/* Gives back what was taken and not used. */
void limit_return(struct limit *limit, uint64_t units);

#endif
