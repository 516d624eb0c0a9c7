/* SPDX-License-Identifier: Apache-2.0 */
/* Another backend in a slot, under a guest that goes on. */
#include "machine/machine_backends.h"

#include "base/error.h"
#include "base/log.h"
#include "machine/machine_private.h"

typedef struct {
    Machine *machine;
    Instance *consumer;
    unsigned slot, use;
    Instance *old; /* NULL: the slot is empty */
    Instance *new; /* NULL: it will be */
    MachineDoneFunc *func;
    void *opaque;
} Exchange;

static bool
attach(const Exchange *exchange, Instance *backend, GError **error)
{
    const PlanSlotUse *use = plan_instance_set_use(exchange->consumer->plan, exchange->slot,
                                                   exchange->use, backend->plan);

    if (!instance_attach(exchange->consumer, use, backend, error)) {
        (void)plan_instance_set_use(exchange->consumer->plan, exchange->slot, exchange->use, NULL);
        return false;
    }
    return true;
}

static void
detach(const Exchange *exchange)
{
    instance_detach(exchange->consumer, exchange->slot, exchange->use);
    (void)plan_instance_set_use(exchange->consumer->plan, exchange->slot, exchange->use, NULL);
}

static void
put_back(const Exchange *exchange)
{
    g_autoptr(GError) error = NULL;

    if (exchange->old != NULL && !attach(exchange, exchange->old, &error)) {
        log_error("machine", "cannot put \"%s\" back into \"%s\": %s", exchange->old->id,
                  exchange->consumer->id, error->message);
    }
}

static void
at_rest(void *opaque, const GError *problem)
{
    g_autofree Exchange *exchange = opaque;
    Machine *machine = exchange->machine;
    g_autoptr(GError) error = NULL;

    if (problem != NULL) {
        exchange->func(exchange->opaque, problem);
        return;
    }
    detach(exchange);
    if (exchange->new != NULL && !attach(exchange, exchange->new, &error)) {
        put_back(exchange);
    }
    machine_unquiesce(machine, exchange->consumer);
    if (error == NULL && exchange->old != NULL &&
        machine_backend_is_transient(machine, exchange->old)) {
        (void)machine_backend_remove(machine, exchange->old, NULL);
    }
    exchange->func(exchange->opaque, error);
}

static bool
may_exchange(Machine *machine, const MachineSlot *slot, const Instance *backend, GError **error)
{
    const struct bp_slot *class = machine_slot_class(slot);
    g_autoptr(MachineSlot) user =
        backend != NULL ? machine_slot_of_backend(machine, backend) : NULL;

    if (user != NULL) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_STATE, "Node '%s' is already in use",
                    backend->id);
        return false;
    }
    if ((class->flags & BP_SLOT_HOTPLUG) == 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "Device '%s' does not let its backend \"%s\" be changed while the machine runs",
                    slot->name, class->name);
        return false;
    }
    return true;
}

void
machine_exchange(Machine *machine, const MachineSlot *slot, Instance *backend,
                 MachineDoneFunc *func, void *opaque)
{
    g_autoptr(GError) error = NULL;
    Exchange *exchange;

    if (!may_exchange(machine, slot, backend, &error)) {
        func(opaque, error);
        return;
    }
    exchange = g_new0(Exchange, 1);
    exchange->machine = machine;
    exchange->consumer = slot->consumer;
    exchange->slot = slot->slot;
    exchange->use = slot->use;
    exchange->old = slot->backend;
    exchange->new = backend;
    exchange->func = func;
    exchange->opaque = opaque;
    machine_quiesce(machine, exchange->consumer, at_rest, exchange);
}
