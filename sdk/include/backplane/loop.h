/* SPDX-License-Identifier: Apache-2.0 */
/* bp.loop/1: event loops, deferred calls, and threads for work that must block. */
#ifndef BACKPLANE_LOOP_H
#define BACKPLANE_LOOP_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_LOOP_ID "bp.loop/1"

#define BP_FD_IN  1u
#define BP_FD_OUT 4u
#define BP_FD_ERR 8u  /* reported whether asked for or not */
#define BP_FD_HUP 16u /* likewise */

/* A busy loop looks around for some microseconds before it sleeps, and asks poll functions meanwhile:
 * BEGIN once, then LOOK again and again, also between its other work, END when it is going to sleep
 * (or never, if the source is removed first). Each answers 1 if there is work, 0 if not; none may call
 * the core, or wait for more than a lock that is never held while calling the core. Between BEGIN and
 * END nobody need notify the loop: a device may tell its driver so. After END it must be notified
 * again of what END did not see. Not used for SERIAL classes, nor where the control thread runs the
 * loop. */
#define BP_POLL_BEGIN 0u
#define BP_POLL_LOOK  1u
#define BP_POLL_END   2u

struct bp_fd_args {
    uint32_t size;
    uint32_t flags;  /* 0 */
    uint32_t id;     /* chosen by the plugin, unique in the instance among descriptors */
    uint32_t loop;   /* loop on which ready is called */
    int32_t fd;      /* stays the plugin's; must stay open until fd_del */
    uint32_t events; /* BP_FD_IN | BP_FD_OUT; level-triggered */
    /* The descriptor is ready. events: BP_FD_...
     * [loop] */
    void (*ready)(void *opaque, uint32_t events);
    void *opaque;
    /* Optional: asked before the loop sleeps; phase: BP_POLL_...; 1 has ready called with BP_FD_IN.
     * [loop] */
    int32_t (*poll)(void *opaque, uint32_t phase);
};

struct bp_loop_host {
    uint32_t size;
    uint32_t flags;

    /* Number of loops of the machine, at least 1.
     * [any] */
    uint32_t (*count)(struct bp_instance *instance);
    /* The loop the description assigns to this instance (option "loop"), 0 by default. Backends use
     * the loop their consumer names instead.
     * [any] */
    uint32_t (*home)(struct bp_instance *instance);
    /* Watches a descriptor. Withdrawn by the core before destroy().
     * [any] -EEXIST: the id is in use. -EBADF: fd. -ENOENT: loop. -EINVAL: events. */
    int32_t (*fd_add)(struct bp_instance *instance, const struct bp_fd_args *args) BP_MUST_CHECK;
    /* Changes what is watched; 0 pauses: then not even errors and hang-ups are reported. An unknown id
     * does nothing.
     * [any] */
    void (*fd_modify)(struct bp_instance *instance, uint32_t id, uint32_t events);
    /* Stops watching. Synchronous like timer.cancel. An unknown id does nothing.
     * [any] */
    void (*fd_del)(struct bp_instance *instance, uint32_t id);
    /* Makes an eventfd that the core owns and keeps open across an upgrade, and calls signalled when it
     * was written. It lives until the core withdraws it before destroy(). id: unique in the instance
     * among events.
     * Returns the descriptor.
     * [control] -EEXIST: the id is in use. -ENOENT: loop. -EMFILE. */
    int32_t (*event)(struct bp_instance *instance, uint32_t id, uint32_t loop,
                     void (*signalled)(void *opaque), void *opaque) BP_MUST_CHECK;
    /* Calls func once, soon, on the loop's thread, in order with other deferred calls of that loop.
     * [any] -ENOENT: loop. */
    int32_t (*defer)(struct bp_instance *instance, uint32_t loop, void (*func)(void *opaque),
                     void *opaque) BP_MUST_CHECK;
    /* Starts a thread for work that must block. func returns soon after stop was called. name: at most
     * 15 characters count. id: unique in the instance among threads. stop: makes func return; called on
     * the control thread by thread_stop and before destroy(), after which the core joins the thread. The
     * thread goes on while the machine is stopped.
     * [control] -EEXIST: the id is in use. -EAGAIN: no more threads. */
    int32_t (*thread_start)(struct bp_instance *instance, uint32_t id, const char *name,
                            void (*func)(void *opaque), void (*stop)(void *opaque),
                            void *opaque) BP_MUST_CHECK;
    /* Stops and joins a thread before its time. An unknown id does nothing.
     * [control] */
    void (*thread_stop)(struct bp_instance *instance, uint32_t id);
    /* Tells whether the caller is on the thread that runs the loop. Where the control thread runs the
     * loop itself (test protocol), nobody else will call ready or a deferred function while it waits: a
     * backend's drain then looks after its descriptors on its own.
     * Returns 1 or 0; 0 for an unknown loop.
     * [any] */
    int32_t (*is_current)(struct bp_instance *instance, uint32_t loop);
};

#ifdef __cplusplus
}
#endif

#endif
