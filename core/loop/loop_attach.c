/* SPDX-License-Identifier: Apache-2.0 */
/* A loop on a GMainContext: the context polls the engine's descriptor and keeps the earliest
 * deadline; a turn that does not block runs what is due. */
#include "loop/loop_internal.h"

#define NS_PER_MS INT64_C(1000000)

typedef struct {
    GSource base;
    Loop *loop;
    gpointer tag; /* of the engine's descriptor */
} LoopSource;

static gboolean
source_prepare(GSource *base, gint *timeout_ms)
{
    LoopSource *source = (LoopSource *)base;
    Loop *loop = source->loop;
    g_mutex_lock(&loop->lock);
    loop->ops->prepare(loop->engine);
    int64_t timeout = loop_timeout_locked(loop);
    loop->sleeping = timeout != 0;
    g_mutex_unlock(&loop->lock);
    loop->ops->submit(loop->engine);
    /* Rounded up: a timer never fires early, and the context does not spin in its last part. */
    *timeout_ms = timeout < 0 ? -1 : (gint)MIN((timeout + NS_PER_MS - 1) / NS_PER_MS, G_MAXINT);
    return timeout == 0;
}

static gboolean
source_check(GSource *base)
{
    LoopSource *source = (LoopSource *)base;
    Loop *loop = source->loop;
    g_mutex_lock(&loop->lock);
    loop->sleeping = false;
    bool due = loop_timeout_locked(loop) == 0;
    g_mutex_unlock(&loop->lock);
    return due || g_source_query_unix_fd(base, source->tag) != 0;
}

static gboolean
source_dispatch(GSource *base, GSourceFunc callback, gpointer data)
{
    loop_turn(((LoopSource *)base)->loop, false);
    return G_SOURCE_CONTINUE;
}

GSource *
loop_source_new(Loop *loop)
{
    static const GSourceFuncs funcs = {
        .prepare = source_prepare,
        .check = source_check,
        .dispatch = source_dispatch,
    };
    /* GLib takes the table without const and does not write to it. */
    GSource *base = g_source_new((GSourceFuncs *)(uintptr_t)&funcs, sizeof(LoopSource));
    LoopSource *source = (LoopSource *)base;
    source->loop = loop;
    source->tag = g_source_add_unix_fd(base, loop->ops->pollable_fd(loop->engine), G_IO_IN);
    g_source_set_name(base, loop->name);
    return base;
}
