/* SPDX-License-Identifier: Apache-2.0 */
/* The control queue: task management (virtio 1.2, 5.6.6.2; SAM-5 7) and asynchronous notification.
 *
 * A driver frees the memory of aborted commands as soon as a function has completed. Therefore all
 * that it had put on the request rings before goes to the units first, and a function completes
 * after the units have delivered what they aborted.
 *
 * Order: control requests start in their order, on the control ring's loop, as many at a time as a
 * unit surely takes. */
#include "vscsi.h"

#include <string.h>

#define TYPE_TMF          0u
#define TYPE_AN_QUERY     1u
#define TYPE_AN_SUBSCRIBE 2u

#define ABORT_TASK         0u
#define ABORT_TASK_SET     1u
#define CLEAR_ACA          2u
#define CLEAR_TASK_SET     3u
#define NEXUS_RESET        4u
#define LOGICAL_UNIT_RESET 5u
#define QUERY_TASK         6u
#define QUERY_TASK_SET     7u

#define TMF_BYTES 24u
#define AN_BYTES  16u

#define ACTIVE_MAX 4u /* of the eight that a unit's queue takes, some are left for resets */

/* User of a function that no chain waits for. */
#define USER_OF_NOBODY (UINT64_C(1) << 63)

struct tmf {
    uint32_t subtype;
    uint8_t lun[8];
    uint64_t tag;
};

static void plan_locked(struct vscsi *vscsi);

/* --- answers, with the control ring's lock ------------------------------------------------------
 */

static void
answer(struct bp_virtio_chain *chain, const void *data, uint32_t length)
{
    uint64_t written = 0;

    if (!bp_virtqueue_stale(chain)) {
        written = bp_iovec_write(chain->iov + chain->out_count, chain->in_count, 0, data, length);
    }
    bp_virtqueue_push(chain, (uint32_t)written);
}

static void
answer_tmf(struct bp_virtio_chain *chain, uint32_t response)
{
    uint8_t data = (uint8_t)response;

    answer(chain, &data, sizeof(data));
}

/* No unit reports events of its own accord: none of those asked for will come. */
static void
answer_notification(struct vscsi *vscsi, struct bp_virtio_chain *chain)
{
    struct vscsi_unit *unit = NULL;
    uint8_t request[AN_BYTES];
    uint8_t data[5] = {0};
    uint32_t where;

    (void)bp_iovec_read(chain->iov, chain->out_count, 0, request, sizeof(request));
    where = vscsi_find(vscsi, request + 4, &unit);
    data[4] = where == VSCSI_AT_UNIT      ? VSCSI_S_OK
              : where == VSCSI_AT_NOTHING ? VSCSI_S_BAD_TARGET
                                          : VSCSI_S_INCORRECT_LUN;
    answer(chain, data, sizeof(data));
}

/* One of the chain's functions has ended; with the last one it is complete. */
static void
ended_locked(struct vscsi *vscsi, struct bp_virtio_chain *chain, int32_t result)
{
    struct vscsi_control *control = chain->request;

    if (result == -EOPNOTSUPP) {
        control->response = VSCSI_S_REJECTED;
    } else if (result < 0 && result != -ENODEV) {
        control->response = VSCSI_S_FAILURE;
    } else if (result > 0 && control->response == VSCSI_S_OK) {
        control->response = VSCSI_S_SUCCEEDED;
    }
    if (--control->remaining > 0) {
        return;
    }
    control->active = 0;
    vscsi->active--;
    answer_tmf(chain, control->response);
    plan_locked(vscsi);
}

void
vscsi_managed(void *opaque, uint64_t user, int32_t result)
{
    struct vscsi_path *path = opaque;
    struct vscsi *vscsi = path->unit->vscsi;
    struct bp_virtio_chain *chain;
    struct vscsi_control *control;

    if (user & USER_OF_NOBODY) {
        return;
    }
    bp_virtqueue_enter(vscsi->control);
    chain = bp_virtqueue_chain(vscsi->control, user);
    control = chain != NULL ? chain->request : NULL;
    if (control != NULL && control->active && control->remaining > 0) {
        if (control->is_reset) {
            (void)atomic_fetch_sub(&path->unit->resets, 1);
        }
        ended_locked(vscsi, chain, result);
    }
    bp_virtqueue_leave(vscsi->control);
}

/* --- starting functions, without any ring's lock -------------------------------------------------
 */

/* What the driver offered before it asked for the function is at the units when it starts. */
static void
take_offered(struct vscsi *vscsi)
{
    for (uint32_t i = 0; i < vscsi->queue_count; i++) {
        struct vscsi_queue *queue = &vscsi->queues[i];

        bp_virtqueue_enter(queue->ring);
        if (bp_virtqueue_running(queue->ring)) {
            vscsi_run_requests(queue);
        }
        bp_virtqueue_leave(queue->ring);
    }
}

/* With the path's ring locked; 0: there is none. */
static uint64_t
find_locked(const struct vscsi_path *path, uint64_t tag)
{
    struct bp_virtqueue *ring = path->queue->ring;
    uint32_t size = bp_virtqueue_max_size(ring);

    for (uint32_t i = 0; i < size; i++) {
        struct bp_virtio_chain *chain = bp_virtqueue_chain(ring, i);
        const struct vscsi_request *request = chain != NULL ? chain->request : NULL;

        if (request != NULL && request->user != 0 && request->tag == tag && request->path == path &&
            !bp_virtqueue_stale(chain)) {
            return request->user;
        }
    }
    return 0;
}

/* The command that the driver calls `tag`, as the unit calls it; 0: it is not at the unit. */
static uint64_t
find_command(struct vscsi *vscsi, const struct vscsi_unit *unit, uint64_t tag)
{
    uint64_t user = 0;

    for (uint32_t i = 0; i < vscsi->queue_count && user == 0; i++) {
        bp_virtqueue_enter(vscsi->queues[i].ring);
        user = find_locked(&unit->paths[i], tag);
        bp_virtqueue_leave(vscsi->queues[i].ring);
    }
    return user;
}

static int32_t
manage(struct vscsi_unit *unit, const struct bp_scsi_management *management)
{
    struct vscsi *vscsi = unit->vscsi;
    int32_t result = -ENODEV;

    pthread_mutex_lock(&vscsi->unit_lock);
    if (atomic_load(&unit->present)) {
        result = unit->ops->manage(unit->self, unit->paths[0].backend, management);
    }
    pthread_mutex_unlock(&vscsi->unit_lock);
    return result;
}

/* One function at one unit, for the chain. */
static void
start_at(struct bp_virtio_chain *chain, struct vscsi_unit *unit, uint32_t function,
         uint64_t request)
{
    struct vscsi *vscsi = unit->vscsi;
    struct vscsi_control *control = chain->request;
    const struct bp_scsi_management management = {
        .user = chain->index, .function = function, .request = request};
    int32_t result;

    bp_virtqueue_enter(vscsi->control);
    control->remaining++;
    bp_virtqueue_leave(vscsi->control);
    if (control->is_reset) {
        (void)atomic_fetch_add(&unit->resets, 1);
    }
    result = manage(unit, &management);
    if (result == 0) {
        return; /* vscsi_managed() comes */
    }
    if (control->is_reset) {
        (void)atomic_fetch_sub(&unit->resets, 1);
    }
    bp_virtqueue_enter(vscsi->control);
    ended_locked(vscsi, chain, result);
    bp_virtqueue_leave(vscsi->control);
}

static void
start_target(struct vscsi *vscsi, struct bp_virtio_chain *chain, uint32_t target)
{
    const struct vscsi_target *units = &vscsi->targets[target];

    for (uint32_t i = 0; i < units->count; i++) {
        start_at(chain, &vscsi->units[units->first + i], BP_SCSI_NEXUS_RESET, 0);
    }
}

static void
start_unit(struct vscsi *vscsi, struct bp_virtio_chain *chain, struct vscsi_unit *unit,
           const struct tmf *tmf)
{
    static const uint8_t functions[] = {
        [ABORT_TASK] = BP_SCSI_ABORT_TASK,         [ABORT_TASK_SET] = BP_SCSI_ABORT_TASK_SET,
        [CLEAR_TASK_SET] = BP_SCSI_CLEAR_TASK_SET, [LOGICAL_UNIT_RESET] = BP_SCSI_UNIT_RESET,
        [QUERY_TASK] = BP_SCSI_QUERY_TASK,         [QUERY_TASK_SET] = BP_SCSI_QUERY_TASK_SET,
    };
    uint64_t user = 0;

    if (tmf->subtype == ABORT_TASK || tmf->subtype == QUERY_TASK) {
        user = find_command(vscsi, unit, tmf->tag);
        if (user == 0) {
            return; /* complete: there is no such command */
        }
    }
    start_at(chain, unit, functions[tmf->subtype], user);
}

/* How a function ends that has nothing to do at a unit; VSCSI_S_OK: there is something. */
static uint32_t
refusal(struct vscsi *vscsi, const struct tmf *tmf, struct vscsi_unit **unit)
{
    uint32_t where = vscsi_find(vscsi, tmf->lun, unit);

    if (tmf->subtype > QUERY_TASK_SET || tmf->subtype == CLEAR_ACA) {
        return VSCSI_S_REJECTED;
    }
    if (where == VSCSI_AT_NOTHING) {
        return VSCSI_S_BAD_TARGET;
    }
    if (tmf->subtype == NEXUS_RESET) { /* its LUN does not matter */
        return where == VSCSI_AT_DEVICE_WLU ? VSCSI_S_BAD_TARGET : VSCSI_S_OK;
    }
    return where == VSCSI_AT_UNIT ? VSCSI_S_OK : VSCSI_S_INCORRECT_LUN;
}

static void
start(struct vscsi *vscsi, struct bp_virtio_chain *chain)
{
    struct vscsi_control *control = chain->request;
    struct vscsi_unit *unit = NULL;
    uint8_t data[TMF_BYTES];
    struct tmf tmf;

    (void)bp_iovec_read(chain->iov, chain->out_count, 0, data, sizeof(data));
    tmf.subtype = (uint32_t)bp_load_le(data + 4, 4);
    memcpy(tmf.lun, data + 8, 8);
    tmf.tag = bp_load_le(data + 16, 8);
    take_offered(vscsi);
    control->response = refusal(vscsi, &tmf, &unit);
    control->is_reset = tmf.subtype == NEXUS_RESET || tmf.subtype == LOGICAL_UNIT_RESET;
    if (control->response == VSCSI_S_OK) {
        if (tmf.subtype == NEXUS_RESET) {
            start_target(vscsi, chain, tmf.lun[1]);
        } else {
            start_unit(vscsi, chain, unit, &tmf);
        }
    }
    bp_virtqueue_enter(vscsi->control);
    ended_locked(vscsi, chain, 0);
    bp_virtqueue_leave(vscsi->control);
}

/* --- the waiting ones ----------------------------------------------------------------------------
 */

/* The next one to start, counted as active; NULL: none, or no more at a time. While the machine
 * stands still they wait in the ring's state: commands that they may be about do so, too. */
static struct bp_virtio_chain *
next_locked(struct vscsi *vscsi)
{
    while (vscsi->waiting_first != NULL && vscsi->active < ACTIVE_MAX) {
        struct bp_virtio_chain *chain = vscsi->waiting_first;
        struct vscsi_control *control = chain->request;

        vscsi->waiting_first = control->next;
        vscsi->waiting_last = control->next != NULL ? vscsi->waiting_last : NULL;
        if (bp_virtqueue_stale(chain)) {
            bp_virtqueue_push(chain, 0);
        } else if (!bp_virtqueue_running(vscsi->control)) {
            bp_virtqueue_hold(chain);
        } else {
            control->active = control->remaining = 1;
            vscsi->active++;
            return chain;
        }
    }
    return NULL;
}

static void
work(void *opaque)
{
    struct vscsi *vscsi = opaque;
    struct bp_virtio_chain *chain;

    do {
        bp_virtqueue_enter(vscsi->control);
        chain = next_locked(vscsi);
        vscsi->planned = chain != NULL;
        bp_virtqueue_leave(vscsi->control);
        if (chain != NULL) {
            start(vscsi, chain);
        }
    } while (chain != NULL);
}

static void
plan_locked(struct vscsi *vscsi)
{
    const struct bp_loop_host *loop = vscsi->host.loop;

    if (!vscsi->planned && vscsi->waiting_first != NULL) {
        vscsi->planned =
            loop->defer(vscsi->host.instance, bp_virtqueue_loop(vscsi->control), work, vscsi) == 0;
    }
}

static void
wait_locked(struct vscsi *vscsi, struct bp_virtio_chain *chain)
{
    struct vscsi_control *control = chain->request;

    memset(control, 0, sizeof(*control));
    if (vscsi->waiting_last != NULL) {
        ((struct vscsi_control *)vscsi->waiting_last->request)->next = chain;
    } else {
        vscsi->waiting_first = chain;
    }
    vscsi->waiting_last = chain;
}

static void
begin(struct vscsi *vscsi, struct bp_virtio_chain *chain)
{
    uint8_t data[4] = {0};
    uint32_t type;

    (void)bp_iovec_read(chain->iov, chain->out_count, 0, data, sizeof(data));
    type = (uint32_t)bp_load_le(data, 4);
    if (type == TYPE_TMF && chain->out_bytes >= TMF_BYTES && chain->in_bytes >= 1) {
        wait_locked(vscsi, chain);
    } else if ((type == TYPE_AN_QUERY || type == TYPE_AN_SUBSCRIBE) &&
               chain->out_bytes >= AN_BYTES && chain->in_bytes >= 5) {
        answer_notification(vscsi, chain);
    } else {
        bp_virtio_broken(vscsi->virtio, "a control request of type %u, %u and %u bytes", type,
                         (unsigned)chain->out_bytes, (unsigned)chain->in_bytes);
        bp_virtqueue_push(chain, 0);
    }
}

void
vscsi_run_control(struct vscsi *vscsi)
{
    struct bp_virtio_chain *chain;

    while ((chain = bp_virtqueue_pop(vscsi->control)) != NULL) {
        begin(vscsi, chain);
    }
    plan_locked(vscsi);
}

void
vscsi_retry_control(struct vscsi *vscsi)
{
    uint32_t count = bp_virtqueue_held(vscsi->control);

    while (count-- > 0) {
        struct bp_virtio_chain *chain = bp_virtqueue_next_held(vscsi->control);
        if (chain != NULL) {
            begin(vscsi, chain);
        }
    }
    plan_locked(vscsi);
}

/* --- reset by the driver -------------------------------------------------------------------------
 */

static uint32_t
is_busy(const struct vscsi_unit *unit)
{
    for (uint32_t i = 0; i < unit->vscsi->queue_count; i++) {
        if (atomic_load_explicit(&unit->paths[i].in_flight, memory_order_relaxed) != 0) {
            return 1;
        }
    }
    return 0;
}

/* A unit that has as many functions as it takes is at work on aborting already. */
void
vscsi_abort_all(struct vscsi *vscsi)
{
    for (uint32_t i = 0; i < vscsi->unit_count; i++) {
        struct vscsi_unit *unit = &vscsi->units[i];
        const struct bp_scsi_management management = {
            .user = USER_OF_NOBODY | atomic_fetch_add(&vscsi->aborts, 1),
            .function = BP_SCSI_ABORT_TASK_SET,
        };

        if (is_busy(unit) && manage(unit, &management) != 0) {
            bp_debug(&vscsi->host, "target %u LUN %u: what is in flight is waited for",
                     unit->target, unit->lun);
        }
    }
}
