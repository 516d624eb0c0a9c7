/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation with the other end: one message after the other, each answered before the next
 * is sent where it can be. See vhost_user.h and steps.c. */
#include "vhost_user.h"

#include <string.h>

#define VERSION       1u
#define FLAG_REPLY    4u
#define FLAG_NEED_ACK 8u
#define HEADER_BYTES  12u
#define ANSWER_BYTES  8u /* every answer that we ask for */
#define REPORTS_MAX   8u /* the other end could fill the log */

static void visits_done(void *opaque);

void
vu_complain(struct vhost_user *vu, const char *what)
{
    uint32_t reports = atomic_fetch_add(&vu->reports, 1);

    if (reports < REPORTS_MAX) {
        bp_warn(&vu->host, "'%s' %s, dropping the connection%s", vu->sock.place.text, what,
                reports + 1 == REPORTS_MAX ? "; more of that will not be told" : "");
    }
}

/* --- pairs ----------------------------------------------------------------------------------- */

static void
end_visit(struct vhost_user *vu)
{
    if (atomic_fetch_sub(&vu->visits, 1) == 1 &&
        vu->host.loop->defer(vu->host.instance, vu->home, visits_done, vu) != 0) {
        bp_error(&vu->host, "cannot go on with '%s'", vu->sock.place.text);
    }
}

/* On the pair's loop. Calls of an earlier connection may come late: then they do what is due now,
 * and the count says when all are through. */
static void
visit_pair(void *opaque)
{
    struct vu_pair *pair = opaque;
    const struct vu_step *step = &vu_steps[atomic_load(&pair->vu->visit)];

    if (atomic_load(&pair->open)) {
        step->visit(pair);
    }
    end_visit(pair->vu);
}

static void
visit_pairs(struct vhost_user *vu)
{
    const struct bp_services *host = &vu->host;

    atomic_store(&vu->visit, vu->step);
    atomic_fetch_add(&vu->visits, vu->pairs + 1);
    for (uint32_t i = 0; i < vu->pairs; i++) {
        struct vu_pair *pair = &vu->pair[i];
        if (!atomic_load(&pair->open) ||
            host->loop->defer(host->instance, atomic_load(&pair->loop), visit_pair, pair) != 0) {
            end_visit(vu);
        }
    }
    end_visit(vu); /* our own: also when no pair is open */
}

static void
go_down(void *opaque)
{
    struct vu_pair *pair = opaque;

    if (atomic_load(&pair->open)) {
        pair->state = VU_DOWN;
        bp_net_tx_room(&pair->queue); /* what waits can go nowhere now: it is dropped */
    }
}

static void
tell_link(void *opaque)
{
    struct vu_pair *pair = opaque;

    if (atomic_load(&pair->open)) {
        bp_net_queue_event(&pair->queue, BP_NET_EVENT_LINK);
    }
}

static void
on_pair(struct vu_pair *pair, void (*func)(void *opaque))
{
    const struct bp_services *host = &pair->vu->host;

    if (atomic_load(&pair->open) &&
        host->loop->defer(host->instance, atomic_load(&pair->loop), func, pair) != 0) {
        bp_error(host, "cannot reach the loop of queue %u", pair->index);
    }
}

static void
show_link(struct vhost_user *vu, uint32_t up)
{
    if (atomic_exchange(&vu->connected, up) != up) {
        on_pair(&vu->pair[0], tell_link);
    }
}

/* --- messages -------------------------------------------------------------------------------- */

/* Returns 1: all of it is out; 0: not yet; negative: the connection is over. */
static int32_t
flush_out(struct vhost_user *vu)
{
    uint8_t control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec iov = {(uint8_t *)&vu->out + vu->out_at, vu->out_end - vu->out_at};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (vu->out_fd >= 0) {
        struct cmsghdr *cmsg = (struct cmsghdr *)(void *)control;
        memset(control, 0, sizeof(control));
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(cmsg), &vu->out_fd, sizeof(int));
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
    }
    n = sendmsg(vu->sock.peer, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return -errno;
    }
    if (n > 0) {
        vu->out_fd = -1; /* went with the first byte */
        vu->out_at += (uint32_t)n;
    }
    bp_net_socket_watch(&vu->sock, vu->out_at < vu->out_end ? BP_FD_IN | BP_FD_OUT : BP_FD_IN);
    return vu->out_at == vu->out_end;
}

/* Prepares the step's next message. Returns 0: it has no more. */
static uint32_t
next_message(struct vhost_user *vu)
{
    const struct vu_step *step = &vu_steps[vu->step];

    memset(&vu->out, 0, sizeof(vu->out));
    vu->out_fd = -1;
    if (step->build == NULL || !step->build(vu, vu->item, &vu->out, &vu->out_fd)) {
        return 0;
    }
    vu->asked = step->answer != NULL;
    vu->out.flags = VERSION;
    vu->awaited = vu->asked ? vu->out.request : 0;
    if (!vu->asked && !step->before_ack && (vu->protocol & VU_P_REPLY_ACK) != 0) {
        vu->out.flags |= FLAG_NEED_ACK;
        vu->awaited = vu->out.request;
    }
    vu->out_at = 0;
    vu->out_end = vu->out.request != 0 ? HEADER_BYTES + vu->out.size : 0;
    vu->awaited = vu->out_end != 0 ? vu->awaited : 0;
    return 1;
}

static void
next_step(struct vhost_user *vu)
{
    vu->item = 0;
    vu->step++;
    if (vu->step == vu_step_again) {
        vu->changed = 0; /* whatever it was: it is read from here on */
    }
    if (vu->step == vu_step_count) {
        vu->fresh = 0;
        show_link(vu, 1);
        if (vu->changed) {
            vu->step = vu_step_again - 1;
            next_step(vu);
        }
    }
}

/* Sends the step's next message. Returns 1: go on; 0: something is waited for. */
static int
say_next(struct vhost_user *vu)
{
    int32_t result;

    if (!next_message(vu)) {
        next_step(vu);
        return 1;
    }
    result = vu->out_end > 0 ? flush_out(vu) : 1;
    if (result < 0) {
        bp_net_socket_drop(&vu->sock);
        return 0;
    }
    if (result == 0 || vu->awaited != 0) {
        return 0;
    }
    vu->item++;
    return 1;
}

/* Says all that can be said now. */
static void
advance(struct vhost_user *vu)
{
    while (vu->step < vu_step_count) {
        if (vu_steps[vu->step].visit != NULL) {
            vu->item = 0;
            visit_pairs(vu);
            return;
        }
        if (!say_next(vu)) {
            return;
        }
    }
}

static void
visits_done(void *opaque)
{
    struct vhost_user *vu = opaque;

    if (bp_net_socket_up(&vu->sock) && vu->step < vu_step_count &&
        vu_steps[vu->step].visit != NULL && atomic_load(&vu->visits) == 0) {
        next_step(vu);
        advance(vu);
    }
}

/* An answer is whole. Negative: the connection will not do. */
static int32_t
take_answer(struct vhost_user *vu)
{
    const struct vu_step *step = &vu_steps[vu->step];
    uint64_t value = bp_load_le(vu->in + HEADER_BYTES, ANSWER_BYTES);
    uint32_t flags = (uint32_t)bp_load_le(vu->in + 4, 4);

    if (vu->awaited == 0 || vu->out_at < vu->out_end || bp_load_le(vu->in, 4) != vu->awaited ||
        (flags & 7) != (VERSION | FLAG_REPLY) || bp_load_le(vu->in + 8, 4) != ANSWER_BYTES) {
        vu_complain(vu, "gives answers that nobody asked for");
        return -EPROTO;
    }
    vu->awaited = 0;
    if (vu->asked) {
        return step->answer(vu, vu->item, value);
    }
    if (value != 0) {
        vu_complain(vu, "refuses a request");
        return -EPROTO;
    }
    return 0;
}

/* Returns 0: the connection is over. */
static int
read_answers(struct vhost_user *vu)
{
    ssize_t n =
        recv(vu->sock.peer, vu->in + vu->in_count, sizeof(vu->in) - vu->in_count, MSG_DONTWAIT);

    if (n <= 0) {
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
    vu->in_count += (uint32_t)n;
    if (vu->in_count < sizeof(vu->in)) {
        return 1;
    }
    vu->in_count = 0;
    if (take_answer(vu) < 0) {
        return 0;
    }
    vu->item++;
    advance(vu);
    return 1;
}

/* --- the connection -------------------------------------------------------------------------- */

void
vu_session_reset(struct vhost_user *vu)
{
    vu->step = vu->item = 0;
    vu->awaited = 0;
    vu->out_at = vu->out_end = 0;
    vu->in_count = 0;
    vu->protocol = 0;
    vu->changed = 0;
    vu->fresh = 1;
}

static void
session_connected(void *opaque)
{
    struct vhost_user *vu = opaque;

    vu_session_reset(vu);
    advance(vu);
}

static void
session_lost(void *opaque)
{
    struct vhost_user *vu = opaque;

    vu_session_reset(vu);
    for (uint32_t i = 0; i < vu->pairs; i++) {
        on_pair(&vu->pair[i], go_down);
    }
    show_link(vu, 0);
}

static void
session_ready(void *opaque, uint32_t events)
{
    struct vhost_user *vu = opaque;

    if ((events & BP_FD_OUT) != 0 && vu->out_at < vu->out_end) {
        int32_t result = flush_out(vu);
        if (result < 0) {
            bp_net_socket_drop(&vu->sock);
            return;
        }
        if (result > 0 && vu->awaited == 0) {
            vu->item++;
            advance(vu);
        }
    }
    if (vu->sock.peer >= 0 && (events & (BP_FD_IN | BP_FD_HUP | BP_FD_ERR)) != 0 &&
        !read_answers(vu)) {
        bp_net_socket_drop(&vu->sock);
    }
}

const struct bp_net_socket_ops vu_socket_ops = {
    .connected = session_connected,
    .lost = session_lost,
    .ready = session_ready,
};

static void
look_at_change(void *opaque)
{
    struct vhost_user *vu = opaque;

    atomic_store(&vu->change_due, 0);
    vu->changed = 1;
    if (bp_net_socket_up(&vu->sock) && vu->step == vu_step_count) {
        vu->step = vu_step_again - 1;
        next_step(vu);
        advance(vu);
    }
}

void
vu_change(struct vhost_user *vu)
{
    if (atomic_exchange(&vu->change_due, 1) == 0 &&
        vu->host.loop->defer(vu->host.instance, vu->home, look_at_change, vu) != 0) {
        bp_warn(&vu->host, "cannot tell '%s' of a change", vu->sock.place.text);
    }
}

static void
drop_broken(void *opaque)
{
    struct vhost_user *vu = opaque;

    bp_net_socket_drop(&vu->sock);
}

void
vu_broken(struct vu_pair *pair, const char *what)
{
    const struct bp_services *host = &pair->vu->host;

    if (pair->state != VU_RUNNING) {
        return;
    }
    pair->state = VU_DOWN; /* until there is another one */
    pair->spoilt = 1;
    vu_complain(pair->vu, what);
    if (host->loop->defer(host->instance, pair->vu->home, drop_broken, pair->vu) != 0) {
        bp_error(host, "cannot drop the connection");
    }
}
