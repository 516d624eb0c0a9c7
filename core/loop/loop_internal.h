/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a loop, shared by loop.c (life, sources), loop_timer.c, loop_defer.c, loop_attach.c
 * and the engines.
 *
 * Locks: a source's lock, then loop->lock. No callback runs under loop->lock. What a callback needs
 * is copied into a LoopDispatch on the loop thread's stack first, so a source can be freed at any
 * moment: by others while the loop is on its way to the callback, and by the callback itself. */
#pragma once

#include "loop/loop.h"

#include <pthread.h>

#define NO_DEADLINE     UINT64_MAX
#define LOOP_READY_MAX  32
#define LOOP_ID_WAKE    UINT64_MAX       /* the loop's own eventfd */
#define LOOP_ID_IGNORED (UINT64_MAX - 1) /* completions nobody waits for */

/* What an engine reports: events 0 means that fd cannot be watched. */
typedef struct {
    uint64_t id;
    uint32_t events;
} LoopReady;

typedef struct {
    const char *name;
    /* NULL and -errno in *error. wake_fd: an eventfd the engine watches and reads. */
    void *(*open)(int wake_fd, int *error);
    void (*close)(void *engine);
    /* Readable when wait() has something to report. */
    int (*pollable_fd)(void *engine);
    /* Any thread, under loop->lock. update: the source is new or its events changed; forget: it is
     * going away. True: the loop must be woken for it to take effect. */
    bool (*update)(void *engine, LoopFd *source);
    bool (*forget)(void *engine, LoopFd *source);
    /* Loop thread, under loop->lock: the source was reported and its callback comes next. */
    void (*reported)(void *engine, LoopFd *source);
    /* Loop thread, under loop->lock: gets ready to wait. */
    void (*prepare)(void *engine);
    /* Loop thread, no lock. Someone else will wait on pollable_fd(). */
    void (*submit)(void *engine);
    /* Loop thread, no lock. timeout_ns < 0: no limit. Returns the number of entries in ready. */
    unsigned (*wait)(void *engine, int64_t timeout_ns, LoopReady ready[LOOP_READY_MAX]);
    /* Loop thread, no lock: wait() would not block. */
    bool (*has_ready)(void *engine);
} LoopEngineOps;

const LoopEngineOps *loop_epoll_engine(void);
const LoopEngineOps *loop_uring_engine(void); /* NULL when built without liburing */

struct LoopFd {
    Loop *loop;
    uint64_t id; /* key in loop->fds; changed when a request under the old one may still report */
    int fd;
    uint32_t events;
    GMutex *lock;
    LoopFdFunc *func;
    void *opaque;
    bool removed; /* its callback, still running, may ask for changes: no more */
    LoopPollFunc *poll;
    bool poll_told; /* to BEGIN, and not to END since; the loop thread's */
    bool poll_hit;  /* likewise */
    /* The engine's. */
    int own_fd;        /* epoll: a duplicate, when fd is watched by another source; else -1 */
    bool armed;        /* watched now */
    bool queued;       /* io_uring: waits for prepare() */
    unsigned failures; /* io_uring: reports in a row that were errors */
    bool always;       /* epoll: a file that cannot be polled is always ready */
};

struct LoopTimer {
    Loop *loop;
    ClockSource source;
    GMutex *lock;
    LoopFunc *func;
    void *opaque;
    uint64_t deadline;
    uint64_t sequence; /* of arming: equal deadlines fire in this order */
    int index;         /* in its heap; -1: not armed */
    GList link;        /* in loop->timers */
};

typedef struct {
    GPtrArray *timers; /* a binary heap of LoopTimer, the next to fire first */
} LoopHeap;

#define LOOP_WAIT_BUCKETS 6

/* What waits for work were like lately, and how long to look before sleeping (loop_poll.c). */
typedef struct {
    uint64_t max_ns;   /* 0: never look */
    uint64_t limit_ns; /* as learnt */
    uint32_t seen[LOOP_WAIT_BUCKETS];
    uint32_t longer;
    unsigned until_full; /* waits until one is looked at for max_ns */
} LoopWaits;

typedef struct LoopDeferred LoopDeferred;
struct LoopDeferred {
    const void *owner; /* what a cancellation names */
    GMutex *lock;
    LoopFunc *func;
    void *opaque;
    LoopDeferred *next;
};

/* A callback that runs, or is about to: on the loop thread's stack. */
typedef struct LoopDispatch LoopDispatch;
struct LoopDispatch {
    const void *item; /* the source; compared, not followed. For a deferred call: its owner */
    bool deferred;
    GMutex *lock;
    LoopFunc *func; /* or NULL and */
    LoopFdFunc *fd_func;
    int fd;
    uint32_t events;
    void *opaque;
    bool entered;
    bool cancelled;
    LoopDispatch *outer;
};

struct Loop {
    char *name;
    VirtualClock *clock;
    const LoopEngineOps *ops;
    void *engine;
    int wake_fd;

    bool running; /* atomic for loop_is_current(); like all below protected by lock */
    bool stop;
    bool has_thread;
    bool sleeping;
    GMutex lock;
    GCond changed;    /* a dispatch ended, a call was done, the loop stopped */
    pthread_t thread; /* valid while running */
    GSource *source;  /* attached */
    uint64_t wake_at; /* CLOCK_MONOTONIC, while sleeping */
    unsigned waiters; /* in loop_wait_locked(): waking is a system call even for nobody */
    int wall_fd;      /* a timerfd, which also tells when the wall clock jumps; -1 until needed */
    LoopDispatch *dispatch;  /* innermost */
    uint64_t dispatch_count; /* outermost ones that have ended */

    GPtrArray *polled; /* of LoopFd with a poll function */
    LoopWaits waits;   /* the loop thread's, changed by others only while it does not look */
    bool poll_told;    /* the loop thread's: some sources are told */
    bool polling;      /* the loop's thread is looking around, without the lock */
    bool poll_break;   /* atomic: it shall stop */

    GHashTable *fds; /* id -> LoopFd */
    uint64_t last_id;

    GQueue timers; /* every LoopTimer, armed or not */
    LoopHeap heaps[CLOCK_SOURCE_COUNT];
    uint64_t timer_sequence;
    LoopFd *wall_source;
    uint64_t wall_deadline; /* what wall_fd is set to */

    LoopDeferred *deferred_head;
    LoopDeferred **deferred_tail;
    LoopDeferred *deferred_pool; /* used nodes: no allocation once a loop has seen its peak */
    unsigned deferred_count;
};

/* ---- loop.c ---- */

/* Runs the callback under its lock unless it was cancelled meanwhile. Called and returns with
 * loop->lock held; it is not held in between. */
void loop_dispatch_locked(Loop *loop, LoopDispatch *dispatch);
/* Calls off the item's callback if it has not begun. If it runs on another thread: waits for a
 * change and returns true; the caller looks again at everything, the callback may have armed its
 * source anew. False: it is not running, or the caller is inside it. */
bool loop_callback_busy_locked(Loop *loop, const void *item, bool deferred);
/* Waits until something of loop->changed happens. */
void loop_wait_locked(Loop *loop);
/* An entered callback of the item is on the loop's stack. */
bool loop_callback_runs_locked(const Loop *loop, const void *item, bool deferred);
/* Ends the loop's sleep. */
void loop_wake_locked(Loop *loop);
/* A new id for a source that is in loop->fds. */
void loop_fd_renew_id(LoopFd *source);
/* One turn on the loop's thread: waits if it may, then runs what is due. */
void loop_turn(Loop *loop, bool may_block);
/* ns until something is due, 0 for now, -1 for never. */
int64_t loop_timeout_locked(Loop *loop);

/* ---- loop_timer.c ---- */

void loop_timers_init(Loop *loop);
void loop_timers_done(Loop *loop);
void loop_run_timers_locked(Loop *loop);
/* The earliest deadline in CLOCK_MONOTONIC's terms: 0 if it has passed, NO_DEADLINE if none. Sets
 * the timerfd of the wall clock as a side effect. */
uint64_t loop_timers_next_locked(Loop *loop);

/* ---- loop_defer.c ---- */

void loop_run_deferred_locked(Loop *loop);
void loop_deferred_done(Loop *loop);

/* ---- loop_poll.c ---- */

/* Looks around before a sleep of timeout_ns, or takes one look at the sources that count on it if
 * that is 0; lets go of the lock meanwhile. Returns whether the engine has something or a source
 * was hit: do not sleep. */
bool loop_poll_locked(Loop *loop, int64_t timeout_ns);
/* Runs the callbacks of the sources that were hit. */
void loop_poll_run_locked(Loop *loop);
void loop_poll_stop_locked(Loop *loop);
void loop_poll_forget_locked(Loop *loop, LoopFd *source);

/* ---- loop_attach.c ---- */

GSource *loop_source_new(Loop *loop);
