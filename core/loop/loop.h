/* SPDX-License-Identifier: Apache-2.0 */
/* An event loop: file descriptors, timers on three clocks, deferred calls. A loop either runs on a
 * thread of its own or is attached to the control thread's GMainContext (test protocol: no second
 * thread, so everything is in order).
 *
 * Every source may carry a lock. The loop takes it around the callback, and checks under it that
 * the source is still wanted; so a removal or a cancel made while holding that lock is synchronous
 * without waiting. Otherwise, with the lock not held or without one, removal waits for a running
 * callback unless called from it. After it the callback is not running and will not run again.
 *
 * The lock itself may still be touched by the loop for a moment after its sources are gone: call
 * loop_drain() before the memory of a lock is freed. */
#pragma once

#include "loop/clock.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Loop Loop;
typedef struct LoopFd LoopFd;
typedef struct LoopTimer LoopTimer;

typedef void LoopFdFunc(void *opaque, int fd, uint32_t events);
typedef void LoopFunc(void *opaque);

/* What a polled source is told and asked, on the loop's thread, without its lock; it answers
 * whether there is work. BEGIN: from now on the loop looks at the source in each turn, so nobody
 * need notify it. END: the loop goes to sleep; not heard by a source that is removed. It must not
 * block, nor call the loop. */
typedef enum {
    LOOP_POLL_BEGIN,
    LOOP_POLL_LOOK,
    LOOP_POLL_END,
} LoopPollPhase;
typedef bool LoopPollFunc(void *opaque, LoopPollPhase phase);

#define LOOP_EVENT_POLLED UINT32_MAX /* events of a LoopFdFunc: its poll function saw work */

typedef enum {
    LOOP_ENGINE_AUTO,  /* io_uring, or epoll where io_uring is refused */
    LOOP_ENGINE_URING, /* fails where io_uring is refused */
    LOOP_ENGINE_EPOLL,
} LoopEngine;

/* name: thread name, at most 15 characters are seen. clock: not owned, outlives the loop. */
Loop *loop_new(const char *name, LoopEngine engine, VirtualClock *clock, GError **error);
/* Stops and joins the thread; frees sources still there. */
void loop_free(Loop *loop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Loop, loop_free)

/* Exactly one of the two, once. [control] */
bool loop_start_thread(Loop *loop, GError **error);
void loop_attach(Loop *loop, GMainContext *context);
/* Joins the thread or detaches; sources stay registered but are not called any more. [control] */
void loop_stop(Loop *loop);

const char *loop_engine_name(const Loop *loop); /* "io_uring" or "epoll" */
bool loop_is_current(const Loop *loop);         /* the caller runs on this loop's thread */

/* events: EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP bits, level-triggered; 0: not watched for now,
 * not even for errors. A regular file is always ready. fd stays the caller's and must stay open
 * until loop_fd_remove(). [any] */
LoopFd *loop_fd_add(Loop *loop, int fd, uint32_t events, GMutex *lock, LoopFdFunc *func,
                    void *opaque);
void loop_fd_modify(LoopFd *source, uint32_t events);
void loop_fd_remove(LoopFd *source); /* takes NULL */
/* Lets the loop ask the source before it sleeps; NULL: no more. poll gets the opaque of func. Only
 * on loops with a thread of their own. [any] */
void loop_fd_set_poll(LoopFd *source, LoopPollFunc *poll);
/* How long a busy loop looks around before it sleeps, at most; 0, as at first: never. [control] */
void loop_set_poll_limit(Loop *loop, uint64_t limit_ns);

/* Runs func once on the loop's thread, soon, in order; under lock if given. [any] */
void loop_defer(Loop *loop, GMutex *lock, LoopFunc *func, void *opaque);
/* The same for an owner that cancels by its own address, whatever opaque is. [any] */
void loop_defer_owned(Loop *loop, const void *owner, GMutex *lock, LoopFunc *func, void *opaque);
/* Drops what this owner (loop_defer: its opaque) deferred and has not run yet. Same rule as
 * removal. [any] */
void loop_defer_cancel(Loop *loop, const void *owner);
/* Runs func on the loop's thread and waits for it; runs it directly on that thread or on a loop
 * that is not running. Never while holding a lock that the loop's callbacks take. [any] */
void loop_call(Loop *loop, LoopFunc *func, void *opaque);
/* Returns when no callback is running that was when it was called, nor about to: afterwards the
 * loop touches no lock whose sources are removed. Not while holding such a lock, nor from a
 * callback. [any] */
void loop_drain(Loop *loop);

LoopTimer *loop_timer_new(Loop *loop, ClockSource source, GMutex *lock, LoopFunc *func,
                          void *opaque);
void loop_timer_free(LoopTimer *timer); /* cancels first; takes NULL */
/* deadline_ns on the timer's clock; in the past = as soon as possible, on the virtual clock as soon
 * as it runs. Re-arming moves it. One-shot: a periodic user arms again from the callback. Needs no
 * system call when the earliest deadline stays the same. [any] */
void loop_timer_arm(LoopTimer *timer, uint64_t deadline_ns);
void loop_timer_cancel(LoopTimer *timer);
bool loop_timer_armed(const LoopTimer *timer);

/* For the test protocol: earliest armed deadline on the virtual clock, UINT64_MAX if none; and run
 * the virtual timers that are due now, in order of deadline, then of arming. With a manual clock
 * they run at no other time. [control, loop attached] */
uint64_t loop_next_virtual_deadline(Loop *loop);
void loop_run_virtual_timers(Loop *loop);
