/* SPDX-License-Identifier: Apache-2.0 */
/* Wired-OR interrupt lines. Lock order: source, then GSI (two GSIs in rising order). The sink is
 * called under the GSI's lock, which keeps the changes of one GSI in order; it is an interrupt
 * controller and takes no lock of this file. End-of-interrupt listeners are devices and are called
 * with no lock held. */
#include "bus/irq.h"

typedef struct {
    GMutex lock; /* protects: the order of changes and calls of the sink */
    unsigned high_sources;
    bool level; /* high_sources > 0; atomic, so that a sink may ask for it */
} IrqLine;

typedef struct {
    unsigned gsi;
    void (*func)(void *opaque);
    void *opaque;
    bool removed;
} EoiListener;

/* A call of a listener in progress; on the stack of the calling thread. */
typedef struct EoiCall EoiCall;
struct EoiCall {
    const EoiListener *listener;
    GThread *thread;
    EoiCall *next;
};

struct IrqLines {
    IrqLine line[IRQ_GSI_COUNT];
    const IrqSink *sink;
    void *sink_opaque;
    const IrqSink *observer;
    void *observer_opaque;

    GMutex eoi_lock; /* protects: the listeners and the calls in progress */
    GCond eoi_idle;
    unsigned eoi_waiters; /* waking nobody would be a system call, too */
    GPtrArray *eoi_listeners;
    EoiCall *eoi_calls;
};

struct IrqSource {
    IrqLines *lines;
    GMutex lock; /* protects: gsi, changes of level */
    unsigned gsi;
    bool level; /* atomic for the unlocked look */
};

IrqLines *
irq_lines_new(void)
{
    IrqLines *lines = g_new0(IrqLines, 1);
    for (unsigned gsi = 0; gsi < IRQ_GSI_COUNT; gsi++) {
        g_mutex_init(&lines->line[gsi].lock);
    }
    g_mutex_init(&lines->eoi_lock);
    g_cond_init(&lines->eoi_idle);
    lines->eoi_listeners = g_ptr_array_new_with_free_func(g_free);
    return lines;
}

void
irq_lines_free(IrqLines *lines)
{
    if (!lines) {
        return;
    }
    for (unsigned gsi = 0; gsi < IRQ_GSI_COUNT; gsi++) {
        g_mutex_clear(&lines->line[gsi].lock);
    }
    g_ptr_array_unref(lines->eoi_listeners);
    g_cond_clear(&lines->eoi_idle);
    g_mutex_clear(&lines->eoi_lock);
    g_free(lines);
}

void
irq_lines_set_sink(IrqLines *lines, const IrqSink *sink, void *opaque)
{
    lines->sink = sink;
    lines->sink_opaque = opaque;
}

/* Holding every line's lock: a change of level is seen whole by the old observer or by the new. */
void
irq_lines_set_observer(IrqLines *lines, const IrqSink *observer, void *opaque)
{
    for (unsigned gsi = 0; gsi < IRQ_GSI_COUNT; gsi++) {
        g_mutex_lock(&lines->line[gsi].lock);
    }
    lines->observer = observer;
    lines->observer_opaque = opaque;
    for (unsigned gsi = IRQ_GSI_COUNT; gsi-- > 0;) {
        g_mutex_unlock(&lines->line[gsi].lock);
    }
}

bool
irq_lines_level(IrqLines *lines, unsigned gsi)
{
    return gsi < IRQ_GSI_COUNT && __atomic_load_n(&lines->line[gsi].level, __ATOMIC_ACQUIRE);
}

static void
line_add_locked(IrqLines *lines, unsigned gsi, int change)
{
    IrqLine *line = &lines->line[gsi];
    line->high_sources += (unsigned)change;
    bool level = line->high_sources > 0;
    if (level == line->level) {
        return;
    }
    __atomic_store_n(&line->level, level, __ATOMIC_RELEASE);
    if (lines->sink) {
        lines->sink->set(lines->sink_opaque, gsi, level);
    }
    if (lines->observer) {
        lines->observer->set(lines->observer_opaque, gsi, level);
    }
}

static void
line_add(IrqLines *lines, unsigned gsi, int change)
{
    g_mutex_lock(&lines->line[gsi].lock);
    line_add_locked(lines, gsi, change);
    g_mutex_unlock(&lines->line[gsi].lock);
}

IrqSource *
irq_source_new(IrqLines *lines, unsigned gsi)
{
    g_return_val_if_fail(gsi < IRQ_GSI_COUNT, NULL);
    IrqSource *source = g_new0(IrqSource, 1);
    source->lines = lines;
    source->gsi = gsi;
    g_mutex_init(&source->lock);
    return source;
}

void
irq_source_free(IrqSource *source)
{
    if (!source) {
        return;
    }
    irq_source_set(source, false);
    g_mutex_clear(&source->lock);
    g_free(source);
}

void
irq_source_set(IrqSource *source, bool level)
{
    if (__atomic_load_n(&source->level, __ATOMIC_ACQUIRE) == level) {
        return;
    }
    g_mutex_lock(&source->lock);
    if (source->level != level) {
        line_add(source->lines, source->gsi, level ? 1 : -1);
        /* After the sink has heard of it: who sees the new level may rely on it having arrived. */
        __atomic_store_n(&source->level, level, __ATOMIC_RELEASE);
    }
    g_mutex_unlock(&source->lock);
}

void
irq_source_move(IrqSource *source, unsigned gsi)
{
    g_return_if_fail(gsi < IRQ_GSI_COUNT);
    g_mutex_lock(&source->lock);
    unsigned old = source->gsi;
    if (old != gsi) {
        source->gsi = gsi;
        if (source->level) {
            line_add(source->lines, old, -1);
            line_add(source->lines, gsi, 1);
        }
    }
    g_mutex_unlock(&source->lock);
}

bool
irq_source_level(const IrqSource *source)
{
    return __atomic_load_n(&source->level, __ATOMIC_ACQUIRE);
}

void
irq_lines_add_eoi(IrqLines *lines, unsigned gsi, void (*eoi)(void *opaque), void *opaque)
{
    g_return_if_fail(gsi < IRQ_GSI_COUNT);
    EoiListener *listener = g_new0(EoiListener, 1);
    listener->gsi = gsi;
    listener->func = eoi;
    listener->opaque = opaque;
    g_mutex_lock(&lines->eoi_lock);
    g_ptr_array_add(lines->eoi_listeners, listener);
    g_mutex_unlock(&lines->eoi_lock);
}

/* Another thread is inside the listener. The own thread may be: a listener removes itself. */
static bool
eoi_runs_elsewhere_locked(const IrqLines *lines, const EoiListener *listener)
{
    for (const EoiCall *call = lines->eoi_calls; call; call = call->next) {
        if (call->listener == listener && call->thread != g_thread_self()) {
            return true;
        }
    }
    return false;
}

static EoiListener *
eoi_find_locked(const IrqLines *lines, unsigned gsi, void (*eoi)(void *opaque), const void *opaque)
{
    for (guint i = 0; i < lines->eoi_listeners->len; i++) {
        EoiListener *listener = lines->eoi_listeners->pdata[i];
        if (!listener->removed && listener->gsi == gsi && listener->func == eoi &&
            listener->opaque == opaque) {
            return listener;
        }
    }
    return NULL;
}

/* Removed listeners stay in the array, as marks, while any call runs: indices stay valid. */
static void
eoi_sweep_locked(IrqLines *lines)
{
    if (lines->eoi_calls) {
        return;
    }
    for (guint i = lines->eoi_listeners->len; i-- > 0;) {
        const EoiListener *listener = lines->eoi_listeners->pdata[i];
        if (listener->removed) {
            g_ptr_array_remove_index(lines->eoi_listeners, i);
        }
    }
}

void
irq_lines_remove_eoi(IrqLines *lines, unsigned gsi, void (*eoi)(void *opaque), void *opaque)
{
    g_mutex_lock(&lines->eoi_lock);
    EoiListener *listener = eoi_find_locked(lines, gsi, eoi, opaque);
    if (listener) {
        listener->removed = true;
        while (eoi_runs_elsewhere_locked(lines, listener)) {
            lines->eoi_waiters++;
            g_cond_wait(&lines->eoi_idle, &lines->eoi_lock);
            lines->eoi_waiters--;
        }
        eoi_sweep_locked(lines);
    }
    g_mutex_unlock(&lines->eoi_lock);
}

static void
eoi_call_end_locked(IrqLines *lines, EoiCall *call)
{
    EoiCall **link = &lines->eoi_calls;
    while (*link != call) {
        link = &(*link)->next;
    }
    *link = call->next;
}

void
irq_lines_eoi(IrqLines *lines, unsigned gsi)
{
    EoiCall call = {.thread = g_thread_self()};
    g_mutex_lock(&lines->eoi_lock);
    /* Entered even when no listener matches: it is this that keeps the indices valid. */
    call.next = lines->eoi_calls;
    lines->eoi_calls = &call;
    for (guint i = 0; i < lines->eoi_listeners->len; i++) {
        const EoiListener *listener = lines->eoi_listeners->pdata[i];
        if (listener->gsi != gsi || listener->removed) {
            continue;
        }
        call.listener = listener;
        g_mutex_unlock(&lines->eoi_lock);
        listener->func(listener->opaque);
        g_mutex_lock(&lines->eoi_lock);
        call.listener = NULL;
        if (lines->eoi_waiters > 0) {
            g_cond_broadcast(&lines->eoi_idle);
        }
    }
    eoi_call_end_locked(lines, &call);
    eoi_sweep_locked(lines);
    g_mutex_unlock(&lines->eoi_lock);
}
