/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing an instance to rest without waiting for it: a backend that hangs must not hang the
 * control thread. */
#include "machine/machine_backends.h"
#include "machine/machine_private.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define QUIESCE_SECONDS 10u

typedef struct {
    Machine *machine;
    Instance *instance;
    GSource *timer; /* NULL once it is at rest */
    MachineRestFunc *func;
    void *opaque;
} Quiesce;

typedef struct {
    char *who;
    int32_t status;
} Answer;

static void
stop_timer(Quiesce *quiesce)
{
    if (quiesce->timer != NULL) {
        g_source_destroy(quiesce->timer);
        g_clear_pointer(&quiesce->timer, g_source_unref);
    }
}

static void
quiesce_free(gpointer data)
{
    Quiesce *quiesce = data;

    stop_timer(quiesce);
    g_free(quiesce);
}

static void
answer_free(gpointer data)
{
    Answer *answer = data;

    g_free(answer->who);
    g_free(answer);
}

void
machine_quiesce_init(Machine *machine)
{
    machine->quiescing = g_ptr_array_new_with_free_func(quiesce_free);
    g_queue_init(&machine->answers);
}

void
machine_quiesce_done(Machine *machine)
{
    g_ptr_array_free(machine->quiescing, TRUE);
    g_queue_clear_full(&machine->answers, answer_free);
}

static Quiesce *
find(const Machine *machine, const Instance *instance)
{
    guint i;

    for (i = 0; i < machine->quiescing->len; i++) {
        Quiesce *quiesce = machine->quiescing->pdata[i];
        if (quiesce->instance == instance) {
            return quiesce;
        }
    }
    return NULL;
}

bool
machine_is_quiesced(const Machine *machine, const Instance *instance)
{
    return find(machine, instance) != NULL;
}

static void
failed(Quiesce *quiesce, int32_t status)
{
    MachineRestFunc *func = quiesce->func;
    void *opaque = quiesce->opaque;
    Instance *instance = quiesce->instance;
    g_autoptr(GError) error = NULL;

    g_set_error(&error, BACKPLANE_ERROR, ERROR_STATE, "Device '%s' does not come to rest: %s",
                instance->id,
                status == -ETIMEDOUT ? "its requests do not end" : g_strerror(-status));
    (void)g_ptr_array_remove(quiesce->machine->quiescing, quiesce);
    instance_resume(instance);
    func(opaque, error);
}

static gboolean
timed_out(gpointer opaque)
{
    failed(opaque, -ETIMEDOUT);
    return G_SOURCE_REMOVE;
}

static void
wait_for_answer(Quiesce *quiesce)
{
    quiesce->timer = g_timeout_source_new_seconds(QUIESCE_SECONDS);
    g_source_set_callback(quiesce->timer, timed_out, quiesce, NULL);
    (void)g_source_attach(quiesce->timer, quiesce->machine->context);
}

/* What it said about an earlier time is of no interest. */
static void
forget_answers(Machine *machine, const char *who)
{
    GList *link, *next;

    g_mutex_lock(&machine->lock);
    for (link = machine->answers.head; link != NULL; link = next) {
        Answer *answer = link->data;
        next = link->next;
        if (strcmp(answer->who, who) == 0) {
            answer_free(answer);
            g_queue_delete_link(&machine->answers, link);
        }
    }
    g_mutex_unlock(&machine->lock);
}

void
machine_quiesce(Machine *machine, Instance *instance, MachineRestFunc *func, void *opaque)
{
    uint64_t deadline = (uint64_t)g_get_monotonic_time() * 1000 + QUIESCE_SECONDS * 1000000000ull;
    Quiesce *quiesce;
    int32_t result;

    if (find(machine, instance) != NULL) {
        g_autoptr(GError) error =
            g_error_new(BACKPLANE_ERROR, ERROR_STATE,
                        "Device '%s' is busy: another change of it goes on", instance->id);
        func(opaque, error);
        return;
    }
    quiesce = g_new0(Quiesce, 1);
    quiesce->machine = machine;
    quiesce->instance = instance;
    quiesce->func = func;
    quiesce->opaque = opaque;
    g_ptr_array_add(machine->quiescing, quiesce);
    forget_answers(machine, instance->id);
    result = instance_quiesce(instance, deadline);
    if (result == BP_LIFE_PENDING) {
        wait_for_answer(quiesce);
    } else if (result == 0) {
        func(opaque, NULL);
    } else {
        failed(quiesce, result < 0 ? result : -EINVAL);
    }
}

void
machine_quiesce_cancel(Machine *machine)
{
    guint i = 0;

    while (i < machine->quiescing->len) {
        Quiesce *quiesce = machine->quiescing->pdata[i];
        if (quiesce->timer != NULL) {
            failed(quiesce, -ECANCELED);
        } else {
            i++;
        }
    }
}

void
machine_unquiesce(Machine *machine, Instance *instance)
{
    Quiesce *quiesce = find(machine, instance);

    if (quiesce != NULL) {
        (void)g_ptr_array_remove(machine->quiescing, quiesce);
        instance_resume(instance);
        machine_notify(machine); /* somebody may have waited: see remove_slots() */
    }
}

void
machine_quiesce_forget(Machine *machine, const Instance *instance)
{
    (void)g_ptr_array_remove(machine->quiescing, find(machine, instance));
}

/* [any] */
void
machine_quiesce_answer(Machine *machine, const char *who, int32_t status)
{
    Answer *answer = g_new0(Answer, 1);

    answer->who = g_strdup(who);
    answer->status = status;
    g_mutex_lock(&machine->lock);
    g_queue_push_tail(&machine->answers, answer);
    g_mutex_unlock(&machine->lock);
    machine_notify(machine);
}

static void
take_answer(Machine *machine, const Answer *answer)
{
    guint i;

    for (i = 0; i < machine->quiescing->len; i++) {
        Quiesce *quiesce = machine->quiescing->pdata[i];
        if (quiesce->timer == NULL || strcmp(quiesce->instance->id, answer->who) != 0) {
            continue;
        }
        if (answer->status < 0) {
            failed(quiesce, answer->status);
        } else {
            stop_timer(quiesce);
            quiesce->func(quiesce->opaque, NULL);
        }
        return;
    }
    log_debug("machine", "%s is at rest (%d), which nobody waits for", answer->who, answer->status);
}

void
machine_quiesce_serve(Machine *machine)
{
    for (;;) {
        Answer *answer;
        g_mutex_lock(&machine->lock);
        answer = g_queue_pop_head(&machine->answers);
        g_mutex_unlock(&machine->lock);
        if (answer == NULL) {
            return;
        }
        take_answer(machine, answer);
        answer_free(answer);
    }
}

void
machine_at_rest(Machine *machine, Instance *instance, MachineAtRestFunc *func, void *opaque)
{
    machine_quiesce(machine, instance, func, opaque);
}

void
machine_at_rest_end(Machine *machine, Instance *instance)
{
    machine_unquiesce(machine, instance);
}
