/* SPDX-License-Identifier: Apache-2.0 */
/* bp.irq/1: interrupt lines. */
#ifndef BACKPLANE_IRQ_H
#define BACKPLANE_IRQ_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_IRQ_ID "bp.irq/1"

#define BP_IRQ_ISA  1u /* number: ISA IRQ 0..15 (2 is the cascade and refused) */
#define BP_IRQ_INTX 2u /* number ignored: the pin of the instance's PCI function */
#define BP_IRQ_GSI  3u /* number: global system interrupt 0..23 */

#define BP_IRQ_SHARED (1u << 0) /* ISA: other devices may drive the same line (wired-OR) */

struct bp_irq_args {
    uint32_t size;
    uint32_t flags;  /* BP_IRQ_SHARED */
    uint32_t id;     /* chosen by the plugin, unique in the instance */
    uint32_t kind;   /* BP_IRQ_ISA ... */
    uint32_t number;
    uint32_t loop;   /* loop on which resample is called */
    /* Optional: the guest finished handling the level-triggered line; a device whose reason persists
     * raises it again.
     * [loop] */
    void (*resample)(void *opaque);
    void *opaque;
};

struct bp_irq_host {
    uint32_t size;
    uint32_t flags;

    /* Claims a line; it starts low. Lowered and released by the core before destroy() and lowered at
     * reset.
     * [control] -EEXIST: the id is in use. -EBUSY: another device has the line and one of the two does
     * not share. -EINVAL: kind or number. -ENOENT: no PCI function, or it has no interrupt pin. */
    int32_t (*line)(struct bp_instance *instance, const struct bp_irq_args *args) BP_MUST_CHECK;
    /* Drives a line. level: 0 or 1. Repeating a level costs nothing. An unknown id does nothing.
     * [any] */
    void (*set)(struct bp_instance *instance, uint32_t id, uint32_t level);
};

#ifdef __cplusplus
}
#endif

#endif
