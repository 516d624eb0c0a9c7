/* SPDX-License-Identifier: Apache-2.0 */
/* The io_uring engine. Every request is made by the loop's thread (requests end with the thread
 * that made them), so changes by others wait in lists until prepare(). A source is watched by
 * one-shot polls: making the next one looks at the descriptor anew, which is what level-triggered
 * means, and it rides with the system call that waits. */
#include "loop/loop_internal.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <unistd.h>

#define RING_ENTRIES  64
#define NS_PER_SECOND 1000000000
#define PUT_OFF_MAX   16 /* turns that do not wait, in a row, without asking the kernel */

typedef struct {
    struct io_uring ring;
    int wake_fd;
    bool wake_armed;
    unsigned put_off;   /* turns since the kernel was last asked */
    GPtrArray *arming;  /* of LoopFd: to be polled; under loop->lock */
    GArray *cancelling; /* of uint64_t: polls to be called off; under loop->lock */
} UringEngine;

static void
uring_close(void *opaque)
{
    UringEngine *engine = opaque;
    io_uring_queue_exit(&engine->ring);
    g_ptr_array_unref(engine->arming);
    g_array_unref(engine->cancelling);
    g_free(engine);
}

static void *
uring_open(int wake_fd, int *error)
{
    UringEngine *engine = g_new0(UringEngine, 1);
    struct io_uring_params params = {0};
    int result = io_uring_queue_init_params(RING_ENTRIES, &engine->ring, &params);
    if (result < 0) {
        *error = result;
        g_free(engine);
        return NULL;
    }
    engine->wake_fd = wake_fd;
    engine->arming = g_ptr_array_new();
    engine->cancelling = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    /* Linux 5.11: waiting with a timeout that is not a request of its own, and no event is lost. */
    unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP;
    if ((params.features & needed) != needed) {
        *error = -ENOSYS;
        uring_close(engine);
        return NULL;
    }
    return engine;
}

static int
uring_pollable_fd(void *opaque)
{
    const UringEngine *engine = opaque;
    return engine->ring.ring_fd;
}

static bool
call_off(UringEngine *engine, LoopFd *source)
{
    if (source->queued) {
        (void)g_ptr_array_remove(engine->arming, source);
        source->queued = false;
    }
    if (!source->armed) {
        return false;
    }
    source->armed = false;
    g_array_append_val(engine->cancelling, source->id);
    return true;
}

static bool
uring_update(void *opaque, LoopFd *source)
{
    UringEngine *engine = opaque;
    bool called_off = call_off(engine, source);
    if (called_off) {
        loop_fd_renew_id(source); /* the old poll may have its last word */
    }
    if (source->events != 0) {
        g_ptr_array_add(engine->arming, source);
        source->queued = true;
    }
    return called_off || source->queued;
}

static bool
uring_forget(void *opaque, LoopFd *source)
{
    return call_off(opaque, source);
}

static void
uring_reported(void *opaque, LoopFd *source)
{
    UringEngine *engine = opaque;
    source->armed = false;
    if (source->events != 0 && !source->queued) {
        g_ptr_array_add(engine->arming, source);
        source->queued = true;
    }
}

static struct io_uring_sqe *
next_request(UringEngine *engine)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&engine->ring);
    if (!sqe) {
        (void)io_uring_submit(&engine->ring);
        sqe = io_uring_get_sqe(&engine->ring);
    }
    return sqe;
}

/* Requests the kernel has no room for stay in the lists until the next turn. */
static void
uring_prepare(void *opaque)
{
    UringEngine *engine = opaque;
    guint done = 0;
    for (; done < engine->cancelling->len; done++) {
        struct io_uring_sqe *sqe = next_request(engine);
        if (!sqe) {
            break;
        }
        io_uring_prep_poll_remove(sqe, g_array_index(engine->cancelling, uint64_t, done));
        io_uring_sqe_set_data64(sqe, LOOP_ID_IGNORED);
    }
    g_array_remove_range(engine->cancelling, 0, done);
    while (engine->arming->len > 0) {
        struct io_uring_sqe *sqe = next_request(engine);
        if (!sqe) {
            break;
        }
        LoopFd *source = g_ptr_array_remove_index_fast(engine->arming, 0);
        source->queued = false;
        source->armed = true;
        io_uring_prep_poll_add(sqe, source->fd, source->events);
        io_uring_sqe_set_data64(sqe, source->id);
    }
    struct io_uring_sqe *sqe = engine->wake_armed ? NULL : next_request(engine);
    if (sqe) {
        io_uring_prep_poll_add(sqe, engine->wake_fd, POLLIN);
        io_uring_sqe_set_data64(sqe, LOOP_ID_WAKE);
        engine->wake_armed = true;
    }
}

static void
uring_submit(void *opaque)
{
    UringEngine *engine = opaque;
    engine->put_off = 0;
    if (io_uring_sq_ready(&engine->ring) > 0) {
        (void)io_uring_submit(&engine->ring);
    }
}

/* A busy loop has work that it found without the kernel; the polls it makes anew can wait a little.
 */
static bool
may_put_off(UringEngine *engine, int64_t timeout_ns)
{
    if (timeout_ns == 0 &&
        (io_uring_sq_ready(&engine->ring) == 0 || engine->put_off < PUT_OFF_MAX)) {
        engine->put_off += io_uring_sq_ready(&engine->ring) > 0;
        return true;
    }
    engine->put_off = 0;
    return false;
}

/* True if the loop must hear of it. */
static bool
take_completion(UringEngine *engine, const struct io_uring_cqe *cqe, LoopReady *ready)
{
    if (cqe->user_data == LOOP_ID_IGNORED || cqe->res == -ECANCELED) {
        return false;
    }
    if (cqe->user_data == LOOP_ID_WAKE) {
        uint64_t value;
        (void)!read(engine->wake_fd, &value, sizeof value);
        engine->wake_armed = false;
        return false;
    }
    *ready = (LoopReady){cqe->user_data, cqe->res < 0 ? 0 : (uint32_t)cqe->res};
    return true;
}

static unsigned
uring_wait(void *opaque, int64_t timeout_ns, LoopReady ready[LOOP_READY_MAX])
{
    UringEngine *engine = opaque;
    struct io_uring_cqe *cqes[LOOP_READY_MAX];
    struct __kernel_timespec limit = {
        .tv_sec = timeout_ns / NS_PER_SECOND,
        .tv_nsec = timeout_ns % NS_PER_SECOND,
    };
    if (!may_put_off(engine, timeout_ns)) {
        (void)io_uring_submit_and_wait_timeout(&engine->ring, cqes, 1,
                                               timeout_ns < 0 ? NULL : &limit, NULL);
    }
    unsigned available = io_uring_peek_batch_cqe(&engine->ring, cqes, LOOP_READY_MAX);
    unsigned count = 0;
    for (unsigned i = 0; i < available; i++) {
        if (take_completion(engine, cqes[i], &ready[count])) {
            count++;
        }
    }
    io_uring_cq_advance(&engine->ring, available);
    return count;
}

static bool
uring_has_ready(void *opaque)
{
    UringEngine *engine = opaque;
    return io_uring_cq_ready(&engine->ring) > 0;
}

const LoopEngineOps *
loop_uring_engine(void)
{
    static const LoopEngineOps ops = {
        .name = "io_uring",
        .open = uring_open,
        .close = uring_close,
        .pollable_fd = uring_pollable_fd,
        .update = uring_update,
        .forget = uring_forget,
        .reported = uring_reported,
        .prepare = uring_prepare,
        .submit = uring_submit,
        .wait = uring_wait,
        .has_ready = uring_has_ready,
    };
    return &ops;
}
