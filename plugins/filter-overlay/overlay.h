/* SPDX-License-Identifier: Apache-2.0 */
/* filter-overlay's parts: filter_overlay.c carries requests out, commit.c copies what was written
 * to the disk below or forgets it, changed.c remembers which blocks were written. */
#ifndef FILTER_OVERLAY_OVERLAY_H
#define FILTER_OVERLAY_OVERLAY_H

#include <backplane/sdk/block_stack.h>

#define BELOW        0u
#define STORE        1u
#define MAX_TRANSFER (1u << 20)

/* One bit for each block of 512 bytes: it is in the store. Address space that costs memory where it
 * was written; bits are set by loops and cleared by the control thread while nothing runs. */
struct changed {
    _Atomic(uint64_t) *words;
    void *memory;   /* where the words are */
    uint64_t bytes; /* of them */
    uint64_t blocks;
};

int32_t changed_init(struct changed *changed, uint64_t blocks) BP_MUST_CHECK;
void changed_done(struct changed *changed);
void changed_clear(struct changed *changed);
void changed_set(struct changed *changed, uint64_t first, uint64_t count);
/* Blocks from first on, at most count, whose bit is the same; *ret_set: which. At least 1. */
uint64_t changed_run(struct changed *changed, uint64_t first, uint64_t count, uint32_t *ret_set);
/* First block from `first` on that is set; blocks if there is none. */
uint64_t changed_next(struct changed *changed, uint64_t first);

struct filter_overlay {
    struct bp_services services;
    struct bp_block_stack stack;
    struct changed changed;
    uint64_t capacity; /* bytes; of the disk below when it was attached */
    uint8_t *memory;   /* the store, unless there is one below */
    uint64_t memory_bytes;
    uint32_t commit_at_end;
    uint32_t realized;
};

/* Copies what is in the store to the disk below, in order, and forgets it.
 * [control] while nothing runs. The first error; what was copied before stays in the store, too. */
int32_t overlay_commit(struct filter_overlay *overlay) BP_MUST_CHECK;
/* [control] while nothing runs. */
int32_t overlay_drop(struct filter_overlay *overlay) BP_MUST_CHECK;

#endif
