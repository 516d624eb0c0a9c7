/* SPDX-License-Identifier: Apache-2.0 */
/* bp.memory/1: guest RAM in place, and memory that can be shared with backends.
 *
 * A guest changes its memory while it is being read: read once into a local, check the local, use the
 * local. Ring indices are read and written with acquire and release. */
#ifndef BACKPLANE_MEMORY_H
#define BACKPLANE_MEMORY_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_MEMORY_ID "bp.memory/1"

#define BP_RAM_READONLY (1u << 0) /* writes are not allowed */

/* One range of guest RAM. Frozen: 48 bytes. */
struct bp_ram_range {
    uint64_t gpa;     /* first guest-physical address */
    uint64_t length;  /* bytes */
    uint8_t *hva;     /* the same memory in this process */
    uint64_t *dirty;  /* one bit for each 4096 bytes, or NULL while nobody tracks */
    uint32_t flags;   /* BP_RAM_READONLY */
    uint32_t reserved;
    uint64_t reserved2;
};

/* All guest RAM. Constant between two quiesce points; life.ram_changed announces a new one. */
struct bp_ram_view {
    uint32_t size;
    uint32_t flags;
    uint64_t generation;  /* rises with every change */
    uint32_t range_count; /* sorted by gpa, never overlapping */
    uint32_t reserved;
    const struct bp_ram_range *ranges;
};

/* Address of [gpa, gpa + length) if it lies in one range of RAM, else NULL. Inline: no call into the
 * core on a data path. write: non-zero if the memory will be written.
 * [any] */
static inline void *
bp_ram_translate(const struct bp_ram_view *view, uint64_t gpa, uint64_t length, uint32_t write)
{
    uint32_t i;

    for (i = 0; i < view->range_count; i++) {
        const struct bp_ram_range *range = &view->ranges[i];
        uint64_t offset = gpa - range->gpa;
        if (gpa < range->gpa || offset >= range->length) {
            continue;
        }
        if (length > range->length - offset || (write != 0 && (range->flags & BP_RAM_READONLY))) {
            return NULL;
        }
        return range->hva + offset;
    }
    return NULL;
}

/* Bytes from gpa to the end of its range of RAM, 0 if it is not RAM.
 * [any] */
static inline uint64_t
bp_ram_contiguous(const struct bp_ram_view *view, uint64_t gpa)
{
    uint32_t i;

    for (i = 0; i < view->range_count; i++) {
        const struct bp_ram_range *range = &view->ranges[i];
        if (gpa >= range->gpa && gpa - range->gpa < range->length) {
            return range->length - (gpa - range->gpa);
        }
    }
    return 0;
}

/* Marks [gpa, gpa + length) as written, for snapshots and migration. Cheap when nobody tracks.
 * [any] */
static inline void
bp_ram_mark_dirty(const struct bp_ram_view *view, uint64_t gpa, uint64_t length)
{
    uint32_t i;

    for (i = 0; i < view->range_count; i++) {
        const struct bp_ram_range *range = &view->ranges[i];
        uint64_t page, last;
        if (range->dirty == NULL || length == 0 || gpa < range->gpa ||
            gpa - range->gpa >= range->length) {
            continue;
        }
        last = gpa - range->gpa + length - 1;
        last = (last < range->length ? last : range->length - 1) >> 12;
        for (page = (gpa - range->gpa) >> 12; page <= last; page++) {
            __atomic_fetch_or(&range->dirty[page >> 6], UINT64_C(1) << (page & 63),
                              __ATOMIC_RELAXED);
        }
    }
}

struct bp_memory_host {
    uint32_t size;
    uint32_t flags;

    /* The view of guest RAM. Valid until life.ram_changed or destroy().
     * [any] */
    const struct bp_ram_view *(*view)(struct bp_instance *instance);
    /* Reads guest-physical memory wherever it is: across ranges, from ROM; marks nothing.
     * length: bytes, any number. data: untouched bytes stay as they were on failure.
     * [any] -EFAULT: some of it is neither RAM nor ROM. */
    int32_t (*read)(struct bp_instance *instance, uint64_t gpa, void *data,
                    uint64_t length) BP_MUST_CHECK;
    /* Writes guest-physical memory, across ranges, and marks it dirty.
     * [any] -EFAULT: some of it is not RAM; what lies before that place is written. */
    int32_t (*write)(struct bp_instance *instance, uint64_t gpa, const void *data,
                     uint64_t length) BP_MUST_CHECK;
    /* Splits [gpa, gpa + length) into pieces of RAM that a backend can take.
     * write: non-zero if the memory will be written; it is then marked dirty by unmap. iov: room for
     * max records. The pieces stay valid until unmap.
     * Returns the number of pieces, at least 1.
     * [any] -EFAULT: some of it is not RAM. -EMSGSIZE: more than max pieces. -EINVAL: length 0. */
    int32_t (*map)(struct bp_instance *instance, uint64_t gpa, uint64_t length, uint32_t write,
                   struct bp_iovec *iov, uint32_t max) BP_MUST_CHECK;
    /* Ends a map; written: bytes that were really written, from gpa on.
     * [any] */
    void (*unmap)(struct bp_instance *instance, uint64_t gpa, uint64_t written);
    /* Memory that a backend in another process can reach: bounce buffers, metadata. Zero-filled.
     * id: chosen by the plugin, unique in the instance. length: 1 byte .. 256 MiB. alignment: power
     * of two up to 2 MiB. Freed by arena_free or by the core after destroy().
     * [control] -EEXIST: the id is in use. -EINVAL: alignment or length. -ENOMEM. */
    int32_t (*arena_alloc)(struct bp_instance *instance, uint32_t id, uint64_t length,
                           uint64_t alignment, void **memory) BP_MUST_CHECK;
    /* Frees an arena allocation; an unknown id does nothing.
     * [control] */
    void (*arena_free)(struct bp_instance *instance, uint32_t id);
};

#ifdef __cplusplus
}
#endif

#endif
