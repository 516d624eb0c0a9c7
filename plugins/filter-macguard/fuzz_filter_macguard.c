/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: frames before filter-macguard's judge. Whatever passes must have an allowed source,
 * looked up here by other means than the judge's. */
#include "macguard.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t mine[6] = {2, 0, 0, 0, 0, 5};
    struct guard_rules rules = {.mac_count = 1, .address_count = 2, .link_local = 1};
    uint32_t length = (uint32_t)bp_min_u64(size, BP_NET_HEADERS_MAX), verdict;
    uint8_t *frame;

    if (size < BP_NET_ETH_HEADER) {
        return 0;
    }
    memcpy(rules.macs[0], mine, sizeof(mine));
    (void)guard_read_address("10.0.0.0/8", &rules.addresses[0]);
    (void)guard_read_address("2001:db8::/32", &rules.addresses[1]);
    frame = malloc(length); /* of its exact size, so that a byte too far is seen */
    if (frame == NULL) {
        return 0;
    }
    memcpy(frame, data, length);
    verdict = guard_judge(&rules, frame, length, length == size);
    if (verdict >= GUARD_REASONS) {
        abort();
    }
    if (verdict == GUARD_PASS && memcmp(frame + 6, mine, sizeof(mine)) != 0) {
        abort();
    }
    if (verdict == GUARD_PASS && bp_net_load16(frame + 12) == BP_NET_ETH_IP4 && frame[26] != 10 &&
        bp_net_load32(frame + 26) != 0) {
        abort();
    }
    free(frame);
    return 0;
}
