/* SPDX-License-Identifier: Apache-2.0 */
#include "bucket.h"

#define NS_PER_S UINT64_C(1000000000)

static void
bucket_set(struct bucket *bucket, uint64_t rate, uint64_t tolerance_ns)
{
    atomic_store(&bucket->rate, rate);
    atomic_store(&bucket->tolerance_ns, tolerance_ns);
    atomic_store(&bucket->spoken_ns, 0);
}

/* A request moves at most some MiB, so that this fits; were it more, it would count as 8 GiB. */
static uint64_t
lasts_ns(uint64_t units, uint64_t rate)
{
    const uint64_t most = UINT64_C(1) << 33;

    return (units < most ? units : most) * NS_PER_S / rate;
}

static uint64_t
bucket_take(struct bucket *bucket, uint64_t units, uint64_t now_ns)
{
    uint64_t rate = atomic_load(&bucket->rate), before, from, tolerance_ns;

    if (rate == 0 || units == 0) {
        return now_ns;
    }
    before = atomic_load(&bucket->spoken_ns);
    do {
        from = before > now_ns ? before : now_ns;
    } while (
        !atomic_compare_exchange_weak(&bucket->spoken_ns, &before, from + lasts_ns(units, rate)));
    tolerance_ns = atomic_load(&bucket->tolerance_ns);
    return from - now_ns > tolerance_ns ? from - tolerance_ns : now_ns;
}

static void
bucket_return(struct bucket *bucket, uint64_t units)
{
    uint64_t rate = atomic_load(&bucket->rate);

    if (rate != 0 && units != 0) {
        uint64_t before = atomic_load(&bucket->spoken_ns), lasts = lasts_ns(units, rate);
        while (!atomic_compare_exchange_weak(&bucket->spoken_ns, &before,
                                             before > lasts ? before - lasts : 0)) {
        }
    }
}

void
limit_set(struct limit *limit, uint64_t rate, uint64_t peak, uint64_t length_s)
{
    uint64_t tolerance_ns = 0;

    if (rate != 0 && peak > rate) {
        /* What the peak takes in that time more than the rate. Both factors are bounded by the
         * options' ranges; 128 bits hold their product anyway. */
        unsigned __int128 extra = (unsigned __int128)(peak - rate) * length_s * NS_PER_S / rate;
        tolerance_ns = extra < UINT64_MAX / 4 ? (uint64_t)extra : UINT64_MAX / 4;
    }
    bucket_set(&limit->average, rate, tolerance_ns);
    bucket_set(&limit->peak, tolerance_ns > 0 ? peak : 0, 0);
}

uint64_t
limit_take(struct limit *limit, uint64_t units, uint64_t now_ns)
{
    uint64_t average_ns = bucket_take(&limit->average, units, now_ns);
    uint64_t peak_ns = bucket_take(&limit->peak, units, now_ns);

    return average_ns > peak_ns ? average_ns : peak_ns;
}

void
limit_return(struct limit *limit, uint64_t units)
{
    bucket_return(&limit->average, units);
    bucket_return(&limit->peak, units);
}
