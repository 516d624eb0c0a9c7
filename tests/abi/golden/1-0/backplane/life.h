/* SPDX-License-Identifier: Apache-2.0 */
/* bp.life/1: the life of an instance, provided by the plugin.
 *
 *   create -> attach (each slot) -> realize -> reset(POWER_ON) -> start
 *     -> { stop -> start | reset | quiesce -> resume | attach / detach on hot-pluggable slots }*
 *     -> stop -> detach (each slot) -> destroy
 *
 * Every member is optional; a missing one stands for "nothing to do, 0". */
#ifndef BACKPLANE_LIFE_H
#define BACKPLANE_LIFE_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_LIFE_ID "bp.life/1"

#define BP_LIFE_PENDING 1 /* quiesce goes on; bp_core_host.quiesced ends it */

#define BP_RESET_POWER_ON 0u
#define BP_RESET_SYSTEM   1u /* the machine resets: CF9, keyboard controller, triple fault */
#define BP_RESET_BUS      2u /* only the device, e.g. on a bus or function reset */

struct bp_node;

/* What stands behind a slot. Borrowed for the call; table and self stay valid until detach. */
struct bp_peer {
    uint32_t size;
    uint32_t flags;           /* 0 */
    const char *id;           /* the backend's key in the description */
    const char *interface_id; /* what the slot asked for */
    const void *table;        /* that interface's table */
    void *self;               /* first argument of the table's functions */
};

struct bp_life_ops {
    uint32_t size;
    uint32_t flags;

    /* All slots are attached: finish what create() could not know. After it, guest accesses may come.
     * [control] any negative errno; explain it with log.error first. */
    int32_t (*realize)(void *self) BP_MUST_CHECK;
    /* The machine starts to run, or goes on after stop: retry held requests.
     * [control] */
    void (*start)(void *self);
    /* The machine stops: no guest access comes until start. Work in flight may go on.
     * [control] */
    void (*stop)(void *self);
    /* Back to the state after power-on. kind: BP_RESET_... Requests in flight are cancelled or waited
     * for: after it, no memory of the guest is touched for their sake.
     * [control] for BP_RESET_BUS also from the instance's own callbacks. */
    void (*reset)(void *self, uint32_t kind);
    /* Comes to rest: no request in flight, nothing more delivered. deadline_ns: on the monotonic clock.
     * Returns 0 if at rest now, BP_LIFE_PENDING if bp_core_host.quiesced will say so.
     * [control] -EBUSY: cannot. */
    int32_t (*quiesce)(void *self, uint64_t deadline_ns) BP_MUST_CHECK;
    /* Goes on after quiesce.
     * [control] */
    void (*resume)(void *self);
    /* A backend is there. slot: index in the class's slots[]. use: 0.. number of the use of that slot.
     * peer: borrowed.
     * [control] any negative errno refuses it; explain it with log.error first. */
    int32_t (*attach)(void *self, uint32_t slot, uint32_t use,
                      const struct bp_peer *peer) BP_MUST_CHECK;
    /* The backend goes; after this call it is not used any more. Called quiesced or at the end.
     * [control] */
    void (*detach)(void *self, uint32_t slot, uint32_t use);
    /* Someone wants the device out: tell the guest.
     * [control] -EOPNOTSUPP: the guest has no way to be told. */
    int32_t (*unplug_request)(void *self) BP_MUST_CHECK;
    /* Guest RAM changed: take the new view. Called quiesced.
     * [control] */
    void (*ram_changed)(void *self);
    /* Changes an option that has BP_PROP_RUNTIME. name: the option. node: its new value, checked,
     * borrowed.
     * [control] any negative errno; explain it with log.error first. */
    int32_t (*set)(void *self, const char *name, const struct bp_node *node) BP_MUST_CHECK;
};

#ifdef __cplusplus
}
#endif

#endif
