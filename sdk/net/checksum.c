/* SPDX-License-Identifier: Apache-2.0 */
/* The Internet checksum (RFC 1071) over memory in pieces. Sums are kept in network order of 16-bit
 * words, as numbers: the first byte of a pair is the high one. */
#include <backplane/sdk/net.h>

#include <string.h>

/* Sum of big-endian 16-bit words; an odd last byte counts as the high half. Adds eight bytes at a
 * time in the machine's order and swaps once: RFC 1071, 2(B). */
static uint64_t
sum_even(const uint8_t *data, uint64_t length)
{
    uint64_t total = 0, i = 0;
    uint32_t folded;

    for (; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, sizeof(word));
        total += word;
        total += total < word; /* the carry goes around */
    }
    while (total >> 16) {
        total = (total & 0xffff) + (total >> 16);
    }
    folded = (uint32_t)((total & 0xff) << 8 | total >> 8);
    total = folded;
    for (; i + 2 <= length; i += 2) {
        total += bp_net_load16(data + i);
    }
    if (i < length) {
        total += (uint64_t)data[i] << 8;
    }
    return total;
}

uint64_t
bp_net_sum(const void *data, uint64_t length, uint64_t sum, uint32_t odd)
{
    const uint8_t *bytes = data;

    if (odd && length > 0) {
        sum += bytes[0];
        bytes++;
        length--;
    }
    return sum + sum_even(bytes, length);
}

uint64_t
bp_net_sum_iov(const struct bp_iovec *iov, uint32_t count, uint64_t from, uint64_t length,
               uint64_t sum)
{
    uint64_t done = 0;
    uint32_t i;

    for (i = 0; i < count && done < length; i++) {
        uint64_t n = iov[i].length;
        if (from >= n) {
            from -= n;
            continue;
        }
        n = bp_min_u64(n - from, length - done);
        sum = bp_net_sum((const uint8_t *)iov[i].base + from, n, sum, done & 1);
        done += n;
        from = 0;
    }
    return sum;
}

uint16_t
bp_net_sum_fold(uint64_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

uint64_t
bp_net_pseudo_sum(const uint8_t *l3, uint32_t version, uint32_t protocol, uint32_t length)
{
    uint64_t sum = (uint64_t)protocol + (length >> 16) + (length & 0xffff);

    return version == 4 ? bp_net_sum(l3 + 12, 8, sum, 0) : bp_net_sum(l3 + 8, 32, sum, 0);
}
