/* SPDX-License-Identifier: Apache-2.0 */
/* The file or block device behind the backend: opening, locking, what it can do, its size. */
#ifndef BLOCK_FILE_IMAGE_H
#define BLOCK_FILE_IMAGE_H

#include "range.h"

#include <backplane/sdk/block.h>

#include <stdatomic.h>
#include <stdint.h>

/* Requests are multiples of this whatever the host's blocks are; a last, partial sector of a file
 * counts as a whole one. */
#define IMAGE_SECTOR       512u
#define IMAGE_MAX_TRANSFER (32u << 20)
#define IMAGE_MAX_IOV      1024u /* IOV_MAX of Linux */
#define IMAGE_MAX_DISCARD  (1u << 30)

/* What the host turned out not to do, learned by trying. */
#define IMAGE_LACKS_PUNCH      (1u << 0)
#define IMAGE_LACKS_ZERO_RANGE (1u << 1)
#define IMAGE_LACKS_DISCARD    (1u << 2)
#define IMAGE_LACKS_DSYNC      (1u << 3) /* RWF_DSYNC */

#define DETECT_OFF   0u
#define DETECT_ON    1u
#define DETECT_UNMAP 2u

struct image {
    const struct bp_services *services;
    const struct bp_node *options;
    const char *path; /* lives as long as the instance */
    int fd;           /* -1: not open */

    /* Set by image_open(), then constant. */
    uint32_t is_device; /* block device, not a file */
    uint32_t readonly;
    uint32_t direct;        /* O_DIRECT */
    uint32_t dsync;         /* O_DSYNC: a write is durable when it completes */
    uint32_t unsafe;        /* flushes are ignored */
    uint32_t discard;       /* guests may free blocks */
    uint32_t detect_zeroes; /* DETECT_... */
    uint32_t rotational;
    uint32_t offset_align;  /* of offsets and lengths the descriptor takes; 1 without O_DIRECT */
    uint32_t memory_align;  /* of buffers */
    uint32_t logical_block; /* a device's, else 1: grain of discarding and zeroing */
    uint32_t physical_block;
    uint32_t optimal_io;
    uint32_t discard_granularity;
    uint32_t has_lifetime;
    struct bp_block_lifetime lifetime;

    _Atomic(uint64_t) capacity;    /* bytes, multiple of IMAGE_SECTOR */
    _Atomic(uint32_t) lacks;       /* IMAGE_LACKS_... */
    _Atomic(uint32_t) flush_broke; /* a flush failed: what the page cache held is gone */
    _Atomic(uint32_t) overgrown;   /* whole blocks were written past the capacity */
    struct range_table ranges;     /* of writes; used if image_tracks_writes() */
};

/* Tells why create() fails, pointing at an option; returns code. */
int32_t image_fail(const struct image *image, int32_t code, const char *option, const char *format,
                   ...) BP_PRINTF(4, 5);
/* Values of options; the core has checked their types and filled in the defaults. */
const char *image_text(const struct image *image, const char *option);
uint64_t image_number(const struct image *image, const char *option);

/* Opens as the instance's options say. On failure the user was told why, and nothing is open.
 * Returns 0 or a negative errno. */
int32_t image_open(struct image *image, const struct bp_services *services,
                   const struct bp_node *options);
/* Takes a half-opened image. */
void image_close(struct image *image);
void image_info(const struct image *image, struct bp_block_info *info);
/* Results as bp_block_ops.resize. *ret_changed: the capacity is another one now. */
int32_t image_resize(struct image *image, uint64_t capacity, uint32_t *ret_changed);
/* Makes completed writes durable. Returns 0 or a negative errno. May block. */
int32_t image_flush(struct image *image);
/* Takes note of how an fdatasync of the image ended; returns what to tell the guest. */
int32_t image_flush_result(struct image *image, int32_t result);

/* Writes of parts of the host's blocks are possible: they must be kept in order. */
static inline uint32_t
image_tracks_writes(const struct image *image)
{
    return image->offset_align > IMAGE_SECTOR;
}

static inline uint32_t
image_lacks(const struct image *image, uint32_t what)
{
    return (atomic_load_explicit(&image->lacks, memory_order_relaxed) & what) != 0;
}

static inline void
image_learn(struct image *image, uint32_t what)
{
    atomic_fetch_or_explicit(&image->lacks, what, memory_order_relaxed);
}

/* image_probe.c: finds out offset_align .. discard_granularity, except what an option states.
 * Returns 0 or a negative errno, told. */
int32_t image_probe(struct image *image);
/* Reads what the host's kernel says about the wear of an eMMC. Returns 0: it says nothing. */
uint32_t image_parse_lifetime(const char *life, const char *pre_eol,
                              struct bp_block_lifetime *ret_lifetime);
/* Size of the open file or device in bytes, or a negative errno. */
int64_t image_size(const struct image *image);

/* image_lock.c: takes the lock that keeps other processes out, as option "lock" says.
 * Returns 0 or a negative errno, told. */
int32_t image_lock(struct image *image);
/* Gives it back at once: a queue's io_uring may keep the open file a moment longer than close(). */
void image_unlock(const struct image *image);

#endif
