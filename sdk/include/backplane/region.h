/* SPDX-License-Identifier: Apache-2.0 */
/* bp.region/1: ports and addresses the guest reaches, and doorbells.
 *
 * What a host call made inside an access callback does takes effect before the access completes: a
 * line lowered by a status read is low when the guest's IN returns. */
#ifndef BACKPLANE_REGION_H
#define BACKPLANE_REGION_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_REGION_ID "bp.region/1"

#define BP_SPACE_PIO  1u /* base: port 0..FFFFh */
#define BP_SPACE_MMIO 2u /* base: guest-physical address */
#define BP_SPACE_BAR  3u /* base: offset within BAR `bar` of the instance's PCI function */

#define BP_WIDTH_1 1u
#define BP_WIDTH_2 2u
#define BP_WIDTH_4 4u
#define BP_WIDTH_8 8u

/* The region may be announced as posted: a write may complete before the plugin has seen it, as long
 * as the next read, interrupt or doorbell sees it done. Only a sandboxed placement makes use of it. */
#define BP_REGION_POSTED_WRITES (1u << 0)
/* Not decoded until region.enable(1). */
#define BP_REGION_DISABLED (1u << 1)

/* What a region calls. offset: from the region's base. width: 1, 2, 4 or 8 bytes, one of the widths the
 * region declares, at a guest address that is a multiple of it. The core splits what is wider, unaligned
 * or leaves the region, lowest address first; takes the bytes of a read that is narrower than all widths
 * out of the narrowest one around it; and drops a write that is narrower than all widths. An access that
 * a device causes from within its own access (DMA to its own registers) is not passed on: it reads as
 * all ones. */
struct bp_region_ops {
    uint32_t size;
    uint32_t flags;
    /* The guest reads; the value's unused high bits are ignored.
     * [vcpu] */
    uint64_t (*read)(void *opaque, uint64_t offset, uint32_t width);
    /* The guest writes; the value's high bits are zero.
     * [vcpu] */
    void (*write)(void *opaque, uint64_t offset, uint32_t width, uint64_t value);
    /* The guest reads the same port count times (REP INS): count values of width bytes, little endian,
     * into data. Optional: without it, read() is called count times.
     * [vcpu] */
    void (*read_block)(void *opaque, uint64_t offset, uint32_t width, uint32_t count, void *data);
    /* The guest writes the same port count times (REP OUTS). Optional, as read_block.
     * [vcpu] */
    void (*write_block)(void *opaque, uint64_t offset, uint32_t width, uint32_t count,
                        const void *data);
};

struct bp_region_args {
    uint32_t size;
    uint32_t flags;  /* BP_REGION_... */
    uint32_t id;     /* chosen by the plugin, unique in the instance */
    uint32_t space;  /* BP_SPACE_... */
    uint32_t bar;    /* BP_SPACE_BAR: 0..5 */
    uint32_t widths; /* BP_WIDTH_... or-ed: what ops takes as one call; 0: BP_WIDTH_1 */
    uint64_t base;
    uint64_t length; /* bytes: 1..65536 for PIO */
    const struct bp_region_ops *ops; /* copied */
    void *opaque;    /* first argument of ops */
};

#define BP_DOORBELL_MATCH (1u << 0) /* only writes of `value` */

struct bp_doorbell_args {
    uint32_t size;
    uint32_t flags;   /* BP_DOORBELL_... */
    uint32_t id;      /* chosen by the plugin, unique in the instance */
    uint32_t region;  /* id of the region it lies in */
    uint64_t offset;  /* in the region */
    uint64_t value;   /* BP_DOORBELL_MATCH: what must be written */
    uint32_t width;   /* 1, 2, 4, 8; 0: a write of any width (only without BP_DOORBELL_MATCH) */
    uint32_t loop;    /* index of the loop on which ring is called */
    /* The guest wrote, once or several times since the last call.
     * [loop] */
    void (*ring)(void *opaque);
    void *opaque;
    /* Optional: asked by a loop that looks around before it sleeps, see bp_poll in loop.h; 1 has ring
     * called.
     * [loop] */
    int32_t (*poll)(void *opaque, uint32_t phase);
};

struct bp_region_host {
    uint32_t size;
    uint32_t flags;

    /* Routes guest accesses to the instance. They arrive only after realize() has returned 0, and no
     * more once destroy() is called. Undone by the core before destroy().
     * [control] -EEXIST: the id is in use. -EBUSY: the ports or addresses belong to another device.
     * -EINVAL: space, widths, length or flags. -ENOENT: no PCI function or no such BAR. */
    int32_t (*create)(struct bp_instance *instance,
                      const struct bp_region_args *args) BP_MUST_CHECK;
    /* Decodes a region or stops decoding it. enabled: 0 or 1.
     * [vcpu] -ENOENT: no such region. */
    int32_t (*enable)(struct bp_instance *instance, uint32_t id, uint32_t enabled);
    /* Moves a PIO or MMIO region (not a BAR's: those follow the guest's programming).
     * [vcpu] -ENOENT: no such region. -EINVAL: a BAR's region, or the base is out of range. */
    int32_t (*move)(struct bp_instance *instance, uint32_t id, uint64_t base) BP_MUST_CHECK;
    /* Makes a write into a region ring on a loop, without leaving the guest where the host can do that;
     * such a write does not reach region_ops.write. Follows the region when it moves.
     * [control] -EEXIST: the id is in use. -ENOENT: no such region or loop. -EINVAL: outside the
     * region, width. */
    int32_t (*doorbell)(struct bp_instance *instance,
                        const struct bp_doorbell_args *args) BP_MUST_CHECK;
    /* Removes a doorbell: synchronous, ring is not running afterwards. An unknown id does nothing.
     * [control] */
    void (*doorbell_remove)(struct bp_instance *instance, uint32_t id);
};

#ifdef __cplusplus
}
#endif

#endif
