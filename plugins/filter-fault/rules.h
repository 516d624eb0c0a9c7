/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests a fault injector touches, and how. */
#ifndef FILTER_FAULT_RULES_H
#define FILTER_FAULT_RULES_H

#include <backplane/sdk/services.h>

#include <stdatomic.h>

#define MAX_RULES 64u

enum action { ACTION_ERROR, ACTION_DELAY, ACTION_HANG };

struct rule {
    uint32_t op; /* BP_BLOCK_READ ..., 0: any */
    uint64_t offset, length;
    uint64_t nth, every, count;
    enum action action;
    int32_t error; /* negative errno */
    uint32_t recoverable;
    uint32_t after; /* the error comes although the request was carried out */
    uint64_t delay_ns;
    _Atomic(uint64_t) seen; /* matching requests so far */
};

struct rules {
    struct rules *next; /* replaced ones that may still be in use */
    uint32_t count;
    struct rule rules[];
};

/* Reads the option `rules`; node NULL: none. Explains a failure.
 * *ret_rules: freed with free(). Returns 0, -EINVAL, -ENOMEM. */
int32_t rules_new(const struct bp_services *services, const struct bp_node *node,
                  struct rules **ret_rules) BP_MUST_CHECK;
/* Counts a request in the rules it matches, up to and with the first that fires.
 * Returns that one or NULL. Any number of threads. */
const struct rule *rules_find(struct rules *rules, const struct bp_block_request *request);

extern const struct bp_prop rules_props[];

#endif
