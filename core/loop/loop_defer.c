/* SPDX-License-Identifier: Apache-2.0 */
/* Deferred calls: a queue in order of arrival. Its nodes are kept for reuse, so that a loop
 * allocates only while it sees more calls waiting than ever before. */
#include "loop/loop_internal.h"

static LoopDeferred *
take_node_locked(Loop *loop)
{
    LoopDeferred *node = loop->deferred_pool;
    if (!node) {
        return g_new0(LoopDeferred, 1);
    }
    loop->deferred_pool = node->next;
    return node;
}

static void
keep_node_locked(Loop *loop, LoopDeferred *node)
{
    node->next = loop->deferred_pool;
    loop->deferred_pool = node;
}

static void
defer_locked(Loop *loop, const void *owner, GMutex *lock, LoopFunc *func, void *opaque)
{
    LoopDeferred *node = take_node_locked(loop);
    *node = (LoopDeferred){.owner = owner, .lock = lock, .func = func, .opaque = opaque};
    *loop->deferred_tail = node;
    loop->deferred_tail = &node->next;
    loop->deferred_count++;
    loop_wake_locked(loop);
}

void
loop_defer(Loop *loop, GMutex *lock, LoopFunc *func, void *opaque)
{
    loop_defer_owned(loop, opaque, lock, func, opaque);
}

void
loop_defer_owned(Loop *loop, const void *owner, GMutex *lock, LoopFunc *func, void *opaque)
{
    g_mutex_lock(&loop->lock);
    defer_locked(loop, owner, lock, func, opaque);
    g_mutex_unlock(&loop->lock);
}

static void
drop_deferred_locked(Loop *loop, const void *owner)
{
    LoopDeferred **link = &loop->deferred_head;
    while (*link) {
        LoopDeferred *node = *link;
        if (node->owner != owner) {
            link = &node->next;
            continue;
        }
        *link = node->next;
        loop->deferred_count--;
        keep_node_locked(loop, node);
    }
    loop->deferred_tail = link;
}

void
loop_defer_cancel(Loop *loop, const void *owner)
{
    g_mutex_lock(&loop->lock);
    do {
        drop_deferred_locked(loop, owner);
    } while (loop_callback_busy_locked(loop, owner, true));
    g_mutex_unlock(&loop->lock);
}

/* Those that are waiting now; what they defer in turn waits for the next turn of the loop. */
void
loop_run_deferred_locked(Loop *loop)
{
    for (unsigned count = loop->deferred_count; count > 0 && !loop->stop; count--) {
        LoopDeferred *node = loop->deferred_head;
        if (!node) {
            return; /* cancelled meanwhile */
        }
        LoopDispatch dispatch = {
            .item = node->owner,
            .deferred = true,
            .lock = node->lock,
            .func = node->func,
            .opaque = node->opaque,
        };
        loop->deferred_head = node->next;
        if (!loop->deferred_head) {
            loop->deferred_tail = &loop->deferred_head;
        }
        loop->deferred_count--;
        keep_node_locked(loop, node);
        loop_dispatch_locked(loop, &dispatch);
    }
}

static void
free_nodes(LoopDeferred *node)
{
    while (node) {
        LoopDeferred *next = node->next;
        g_free(node);
        node = next;
    }
}

void
loop_deferred_done(Loop *loop)
{
    free_nodes(loop->deferred_head);
    free_nodes(loop->deferred_pool);
}

/* ---- calls that wait ---- */

typedef struct {
    Loop *loop;
    LoopFunc *func;
    void *opaque;
    bool done;
} WaitingCall;

static void
run_waiting_call(void *opaque)
{
    WaitingCall *call = opaque;
    Loop *loop = call->loop;
    call->func(call->opaque);
    g_mutex_lock(&loop->lock);
    call->done = true; /* the end of the dispatch tells; call may be gone once the lock is free */
    g_mutex_unlock(&loop->lock);
}

void
loop_call(Loop *loop, LoopFunc *func, void *opaque)
{
    WaitingCall call = {.loop = loop, .func = func, .opaque = opaque};
    g_mutex_lock(&loop->lock);
    if (loop->running && !loop_is_current(loop)) {
        defer_locked(loop, &call, NULL, run_waiting_call, &call);
        while (!call.done && (loop->running || loop_callback_runs_locked(loop, &call, true))) {
            loop_wait_locked(loop);
        }
        drop_deferred_locked(loop, &call); /* the loop was stopped before it came to it */
    }
    g_mutex_unlock(&loop->lock);
    if (!call.done) {
        func(opaque);
    }
}
