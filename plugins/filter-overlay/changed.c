/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay.h"

#include <sys/mman.h>

#define BITS 64u

int32_t
changed_init(struct changed *changed, uint64_t blocks)
{
    uint64_t bytes = (blocks + BITS - 1) / BITS * sizeof(uint64_t);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        return -ENOMEM;
    }
    changed->memory = memory;
    changed->words = memory;
    changed->bytes = bytes;
    changed->blocks = blocks;
    return 0;
}

void
changed_done(struct changed *changed)
{
    if (changed->words != NULL) {
        (void)munmap(changed->memory, changed->bytes);
        changed->words = NULL;
    }
}

void
changed_clear(struct changed *changed)
{
    (void)madvise(changed->memory, changed->bytes, MADV_DONTNEED);
}

/* Bits [from, to) of a word. */
static uint64_t
mask(uint64_t from, uint64_t to)
{
    uint64_t low = to - from == BITS ? UINT64_MAX : (UINT64_C(1) << (to - from)) - 1;

    return low << from;
}

void
changed_set(struct changed *changed, uint64_t first, uint64_t count)
{
    uint64_t end = first + count;

    while (first < end) {
        uint64_t from = first % BITS, to = end - first + from < BITS ? end - first + from : BITS;

        atomic_fetch_or(&changed->words[first / BITS], mask(from, to));
        first += to - from;
    }
}

static uint64_t
word_at(struct changed *changed, uint64_t block)
{
    return atomic_load_explicit(&changed->words[block / BITS], memory_order_acquire);
}

uint64_t
changed_run(struct changed *changed, uint64_t first, uint64_t count, uint32_t *ret_set)
{
    uint32_t set = (uint32_t)(word_at(changed, first) >> (first % BITS) & 1);
    uint64_t block = first, end = first + count;

    *ret_set = set;
    while (block < end) {
        uint64_t differs = word_at(changed, block) ^ (set ? UINT64_MAX : 0);

        differs >>= block % BITS;
        if (differs != 0) {
            block += (uint64_t)__builtin_ctzll(differs);
            break;
        }
        block += BITS - block % BITS;
    }
    return (block < end ? block : end) - first;
}

uint64_t
changed_next(struct changed *changed, uint64_t first)
{
    while (first < changed->blocks) {
        uint64_t word = word_at(changed, first) >> (first % BITS);

        if (word != 0) {
            first += (uint64_t)__builtin_ctzll(word);
            break;
        }
        first += BITS - first % BITS;
    }
    return first < changed->blocks ? first : changed->blocks;
}
