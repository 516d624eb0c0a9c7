/* SPDX-License-Identifier: Apache-2.0 */
/* The session: login, its descriptor on the home loop, timeouts, and a new one when it was lost.
 * libiscsi's own way to reconnect is not used: it resends every command, also those that a target
 * may have carried out. */
#include "iscsi.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FD_ID          0u
#define TIMER_ID       0u
#define SECOND_NS      UINT64_C(1000000000)
#define NOP_TICKS      5 /* s between two questions whether the target is there */
#define NOPS_LOST      3
#define POLL_MS        10
#define LOGOUT_SECONDS 2

static uint64_t
now(const struct unit *unit)
{
    return unit->services.timer->now(unit->services.instance, BP_CLOCK_MONOTONIC);
}

static void
arm(struct unit *unit)
{
    unit->services.timer->arm(unit->services.instance, TIMER_ID, now(unit) + SECOND_NS);
}

static struct iscsi_context *
new_context(struct unit *unit)
{
    struct iscsi_context *context = iscsi_create_context(unit->initiator);

    if (context == NULL) {
        return NULL;
    }
    /* the initiator port must be the same one again: reservations are its */
    (void)iscsi_set_isid_random(context, unit->isid, unit->lun);
    (void)iscsi_set_targetname(context, unit->target);
    (void)iscsi_set_session_type(context, ISCSI_SESSION_NORMAL);
    (void)iscsi_set_header_digest(context, (enum iscsi_header_digest)unit->digest);
    (void)iscsi_set_timeout(context, (int)unit->timeout);
    iscsi_set_noautoreconnect(context, 1);
    if (unit->user[0] != 0) {
        (void)iscsi_set_initiator_username_pwd(context, unit->user, unit->secret);
    }
    if (unit->target_user[0] != 0) {
        (void)iscsi_set_target_username_pwd(context, unit->target_user, unit->target_secret);
    }
    return context;
}

/* --- the descriptor ----------------------------------------------------------------------------
 */

static uint32_t
wanted_events(struct unit *unit)
{
    int events = iscsi_which_events(unit->context);

    return (events & POLLIN ? BP_FD_IN : 0) | (events & POLLOUT ? BP_FD_OUT : 0);
}

void
session_update(struct unit *unit)
{
    if (unit->fd >= 0 && unit->context != NULL) {
        unit->services.loop->fd_modify(unit->services.instance, FD_ID,
                                       wanted_events(unit) | BP_FD_IN);
    }
}

/* The other end has closed the connection. */
static uint32_t
is_closed(const struct unit *unit)
{
    char byte;
    ssize_t n = recv(unit->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN);
}

static void
serve(struct unit *unit, uint32_t events)
{
    int revents = (events & BP_FD_IN ? POLLIN : 0) | (events & BP_FD_OUT ? POLLOUT : 0);

    if (unit->context == NULL) {
        return;
    }
    unit->broken |= (events & (BP_FD_ERR | BP_FD_HUP)) != 0;
    if ((events & BP_FD_IN) && is_closed(unit)) {
        unit->broken = 1;
    }
    if (!unit->broken && iscsi_service(unit->context, revents) < 0) {
        unit->broken = 1;
    }
    session_check(unit);
}

static void
ready(void *opaque, uint32_t events)
{
    struct unit *unit = opaque;

    bp_scsi_front_enter(&unit->front);
    serve(unit, events);
    session_update(unit);
    bp_scsi_front_leave(&unit->front);
}

/* libiscsi closes its own when it likes to; a loop must not see that. */
static int32_t
watch(struct unit *unit)
{
    const struct bp_loop_host *loop = unit->services.loop;
    struct bp_fd_args args = {.size = sizeof(args),
                              .id = FD_ID,
                              .loop = loop->home(unit->services.instance),
                              .events = BP_FD_IN | BP_FD_OUT,
                              .ready = ready,
                              .opaque = unit};
    int32_t r;

    unit->fd = dup(iscsi_get_fd(unit->context));
    if (unit->fd < 0) {
        return -errno;
    }
    args.fd = unit->fd;
    r = loop->fd_add(unit->services.instance, &args);
    unit->watched = r == 0;
    return r;
}

static void
unwatch(struct unit *unit)
{
    if (unit->watched) {
        unit->services.loop->fd_del(unit->services.instance, FD_ID);
        unit->watched = 0;
    }
    if (unit->fd >= 0) {
        (void)close(unit->fd);
        unit->fd = -1;
    }
}

/* --- losing and making it ----------------------------------------------------------------------
 */

/* Its commands come back by their callbacks: command.c knows what to do with each. */
static void
give_up(struct unit *unit)
{
    unwatch(unit);
    unit->losing = 1;
    if (unit->context != NULL) {
        (void)iscsi_destroy_context(unit->context);
    }
    unit->losing = 0;
    unit->context = NULL;
    unit->broken = 0;
}

void
session_check(struct unit *unit)
{
    if (!unit->broken) {
        return;
    }
    if (unit->state == SESSION_READY) {
        bp_warn(&unit->services, "lost the connection to %s", unit->portal);
        unit->lost_ns = now(unit);
    }
    unit->state = SESSION_WAITING;
    give_up(unit);
    arm(unit);
}

static void settle(struct unit *unit);

/* The target's own unit attention for a new nexus is not passed on: see nexus_lost. */
static void
settled(struct iscsi_context *context, int status, void *data, void *opaque)
{
    struct unit *unit = opaque;
    struct scsi_task *task = data;
    uint32_t attention = status == SCSI_STATUS_CHECK_CONDITION && task != NULL &&
                         task->sense.key == SCSI_SENSE_UNIT_ATTENTION;

    if (task != NULL) {
        scsi_free_scsi_task(task);
    }
    if (unit->losing || context != unit->context) {
        return;
    }
    if (attention && unit->attentions < ISCSI_MOST_ATTENTIONS) {
        unit->attentions++;
        settle(unit);
    } else if (status == SCSI_STATUS_CANCELLED || status == SCSI_STATUS_ERROR ||
               status == SCSI_STATUS_TIMEOUT) {
        unit->broken = 1;
    } else {
        bp_info(&unit->services, "connected to %s again", unit->portal);
        unit->state = SESSION_READY;
        unit->nexus_lost = 1;
    }
}

static void
settle(struct unit *unit)
{
    if (iscsi_testunitready_task(unit->context, (int)unit->lun, settled, unit) == NULL) {
        unit->broken = 1;
    }
}

static void
logged_in(struct iscsi_context *context, int status, void *data, void *opaque)
{
    struct unit *unit = opaque;

    if (unit->losing || context != unit->context) {
        return;
    }
    if (status != SCSI_STATUS_GOOD) {
        bp_debug(&unit->services, "cannot log in: %s", iscsi_get_error(context));
        unit->broken = 1;
        return;
    }
    unit->attentions = 0;
    settle(unit);
}

static void
reached(struct iscsi_context *context, int status, void *data, void *opaque)
{
    struct unit *unit = opaque;

    if (unit->losing || context != unit->context) {
        return;
    }
    if (status != SCSI_STATUS_GOOD || iscsi_login_async(context, logged_in, unit) != 0) {
        bp_debug(&unit->services, "cannot connect: %s", iscsi_get_error(context));
        unit->broken = 1;
    }
}

/* Step by step: iscsi_full_connect_async() leaks when its context goes before the connection comes.
 */
static void
connect_again(struct unit *unit)
{
    unit->context = new_context(unit);
    unit->state = SESSION_CONNECTING;
    if (unit->context == NULL ||
        iscsi_connect_async(unit->context, unit->portal, reached, unit) != 0 || watch(unit) != 0) {
        unit->broken = 1;
        session_check(unit);
    }
}

/* Every second: timeouts are libiscsi's, and run when it is asked. */
static void
tick(struct unit *unit)
{
    if (unit->state == SESSION_WAITING) {
        connect_again(unit);
    } else if (unit->context != NULL && iscsi_service(unit->context, 0) < 0) {
        unit->broken = 1;
    }
    if (unit->state == SESSION_READY && ++unit->ticks % NOP_TICKS == 0) {
        unit->broken |= iscsi_get_nops_in_flight(unit->context) >= NOPS_LOST ||
                        iscsi_nop_out_async(unit->context, NULL, NULL, 0, NULL) != 0;
    }
    session_check(unit);
    if (unit->state != SESSION_READY && now(unit) - unit->lost_ns > unit->patience * SECOND_NS) {
        commands_fail_pending(unit);
    }
}

static void
expired(void *opaque)
{
    struct unit *unit = opaque;

    bp_scsi_front_enter(&unit->front);
    tick(unit);
    session_update(unit);
    arm(unit);
    bp_scsi_front_leave(&unit->front);
}

void
session_poll(struct unit *unit)
{
    struct pollfd poller = {.fd = unit->fd};
    uint32_t events = 0;

    if (unit->fd < 0 || unit->context == NULL) {
        return;
    }
    poller.events = (short)(iscsi_which_events(unit->context) | POLLIN);
    if (poll(&poller, 1, POLL_MS) > 0) {
        events |= poller.revents & POLLIN ? BP_FD_IN : 0;
        events |= poller.revents & POLLOUT ? BP_FD_OUT : 0;
        events |= poller.revents & POLLERR ? BP_FD_ERR : 0;
        events |= poller.revents & POLLHUP ? BP_FD_HUP : 0;
    }
    serve(unit, events);
}

/* --- life --------------------------------------------------------------------------------------
 */

/* What stands behind the number. */
static int32_t
look(struct unit *unit)
{
    struct scsi_task *task = iscsi_inquiry_sync(unit->context, (int)unit->lun, 0, 0, 64);
    int32_t r = -EIO;

    if (task != NULL && task->status == SCSI_STATUS_GOOD && task->datain.size > 0) {
        r = task->datain.data[0] >> 5 == 0 ? 0 : -ENXIO;
        unit->type = task->datain.data[0] & 0x1f;
    }
    if (task != NULL) {
        scsi_free_scsi_task(task);
    }
    if (r == 0) {
        return 0;
    }
    return bp_fail(&unit->services, r, NULL, "target %s has no LUN %u", unit->target, unit->lun);
}

int32_t
session_open(struct unit *unit)
{
    const struct bp_services *services = &unit->services;
    const struct bp_timer_args timer = {.size = sizeof(timer),
                                        .id = TIMER_ID,
                                        .clock = BP_CLOCK_MONOTONIC,
                                        .loop = services->loop->home(services->instance),
                                        .expired = expired,
                                        .opaque = unit};
    int32_t r = services->timer->create(services->instance, &timer);

    if (r != 0) {
        return bp_fail(services, r, NULL, "cannot make a timer");
    }
    unit->context = new_context(unit);
    if (unit->context == NULL) {
        return bp_fail(services, -ENOMEM, NULL, "out of memory");
    }
    if (iscsi_full_connect_sync(unit->context, unit->portal, (int)unit->lun) != 0) {
        return bp_fail(services, -ECONNREFUSED, NULL, "cannot log in to %s at %s: %s", unit->target,
                       unit->portal, iscsi_get_error(unit->context));
    }
    r = look(unit);
    if (r != 0) {
        return r;
    }
    pthread_mutex_lock(&unit->front.lock); /* the loop may come at once */
    r = watch(unit);
    if (r == 0) {
        unit->state = SESSION_READY;
        arm(unit);
    }
    pthread_mutex_unlock(&unit->front.lock);
    return r == 0 ? 0 : bp_fail(services, r, NULL, "cannot watch the connection");
}

void
session_close(struct unit *unit)
{
    if (unit->context != NULL && unit->state == SESSION_READY) {
        (void)iscsi_set_timeout(unit->context, LOGOUT_SECONDS);
        (void)iscsi_logout_sync(unit->context);
    }
    unit->state = SESSION_CLOSED;
    give_up(unit);
}
