/* SPDX-License-Identifier: Apache-2.0 */
/* Another backend in a slot, under a guest that goes on. */
#include "machine/machine_backends.h"

#include "base/error.h"
#include "base/log.h"
#include "machine/machine_identity.h"
#include "machine/machine_private.h"
#include "plugin/args.h"

typedef struct {
    Machine *machine;
    Instance *consumer;
    unsigned slot, use;
    Instance *old;   /* NULL: the slot is empty */
    Instance *new;   /* NULL: it will be */
    Node *filter;    /* to be made above the old one, which is then `new`; or NULL */
    bool made;       /* the filter was */
    bool same_size;  /* refuse another capacity */
    bool same_disk;  /* refuse another disk */
    Instance *above; /* old, if new stands below it, at this place: */
    unsigned below_slot, below_use;
    MachineDoneFunc *func;
    void *opaque;
} Exchange;

/* --- steps --------------------------------------------------------------------------------------
 */

static bool
attach(Instance *consumer, unsigned slot, unsigned use, Instance *backend, GError **error)
{
    const PlanSlotUse *entry = plan_instance_set_use(consumer->plan, slot, use, backend->plan);

    if (!instance_attach(consumer, entry, backend, error)) {
        (void)plan_instance_set_use(consumer->plan, slot, use, NULL);
        return false;
    }
    return true;
}

static void
detach(Instance *consumer, unsigned slot, unsigned use)
{
    instance_detach(consumer, slot, use);
    (void)plan_instance_set_use(consumer->plan, slot, use, NULL);
}

static void
attach_again(Instance *consumer, unsigned slot, unsigned use, Instance *backend)
{
    g_autoptr(GError) error = NULL;

    if (!attach(consumer, slot, use, backend, &error)) {
        log_error("machine", "cannot put \"%s\" back into \"%s\": %s", backend->id, consumer->id,
                  error->message);
    }
}

static bool
capacity(Instance *backend, uint64_t *bytes)
{
    struct bp_block_info info = {.size = sizeof(info)};
    struct bp_block_ops ops;

    if (table_copy(&ops, sizeof(ops), instance_query(backend, BP_BLOCK_ID)) != 0 ||
        ops.info == NULL || ops.info(backend->self, &info) != 0) {
        return false;
    }
    *bytes = info.capacity;
    return true;
}

static bool
check_size(const Exchange *exchange, GError **error)
{
    uint64_t old, new;

    if (!exchange->same_size || exchange->old == NULL || !capacity(exchange->old, &old)) {
        return true;
    }
    if (!capacity(exchange->new, &new) || new != old) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_STATE,
                    "\"%s\" and \"%s\" are not of the same size; verify=none takes any",
                    exchange->old->id, exchange->new->id);
        return false;
    }
    return true;
}

static bool
check_disk(const Exchange *exchange, GError **error)
{
    return !exchange->same_disk || exchange->old == NULL ||
           machine_same_disk(exchange->machine, exchange->old, exchange->new, error);
}

/* A filter goes: what it stands on is taken from it. It is at rest, as nobody uses it. */
static bool
unstack(Exchange *exchange, GError **error)
{
    Instance *above = exchange->above;

    if (above == NULL) {
        return true;
    }
    if (instance_quiesce(above, 0) != 0) {
        exchange->above = NULL;
        g_set_error(error, BACKPLANE_ERROR, ERROR_STATE, "\"%s\" does not come to rest", above->id);
        return false;
    }
    detach(above, exchange->below_slot, exchange->below_use);
    return true;
}

static bool
put_new(Exchange *exchange, GError **error)
{
    if (exchange->filter != NULL) {
        exchange->new =
            machine_backend_add(exchange->machine, g_steal_pointer(&exchange->filter), error);
        exchange->made = exchange->new != NULL;
        if (!exchange->made) {
            return false;
        }
    }
    return exchange->new == NULL ||
           (check_size(exchange, error) && check_disk(exchange, error) &&
            unstack(exchange, error) &&
            attach(exchange->consumer, exchange->slot, exchange->use, exchange->new, error));
}

static void
undo(Exchange *exchange)
{
    Instance *above = exchange->above;

    if (exchange->made) {
        (void)machine_backend_remove(exchange->machine, exchange->new, NULL);
    }
    if (above != NULL &&
        instance_backend_at(above, exchange->below_slot, exchange->below_use) == NULL) {
        attach_again(above, exchange->below_slot, exchange->below_use, exchange->new);
        instance_resume(above);
    }
    if (exchange->old != NULL) {
        attach_again(exchange->consumer, exchange->slot, exchange->use, exchange->old);
    }
}

/* What nothing needs any more: a filter without a disk, a medium made for the drive. */
static void
clean_up(const Exchange *exchange)
{
    Machine *machine = exchange->machine;
    Instance *old = exchange->old;

    if (old != NULL && !exchange->made &&
        (exchange->above != NULL || machine_backend_is_transient(machine, old))) {
        (void)machine_backend_remove(machine, old, NULL);
    }
}

static void
exchange_free(Exchange *exchange)
{
    node_free(exchange->filter);
    g_free(exchange);
}

static void
at_rest(void *opaque, const GError *problem)
{
    Exchange *exchange = opaque;
    g_autoptr(GError) error = problem != NULL ? g_error_copy(problem) : NULL;

    if (error == NULL) {
        if (exchange->old != NULL) {
            detach(exchange->consumer, exchange->slot, exchange->use);
        }
        if (!put_new(exchange, &error)) {
            undo(exchange);
        }
        machine_unquiesce(exchange->machine, exchange->consumer);
        if (error == NULL) {
            clean_up(exchange);
        }
    }
    exchange->func(exchange->opaque, error);
    exchange_free(exchange);
}

/* --- begin --------------------------------------------------------------------------------------
 */

/* The backend is free, or stands right below the one it is to replace. */
static bool
check_user(Exchange *exchange, GError **error)
{
    g_autoptr(MachineSlot) user =
        exchange->new != NULL ? machine_slot_of_backend(exchange->machine, exchange->new) : NULL;

    if (user == NULL) {
        return true;
    }
    if (exchange->old != NULL && user->consumer == exchange->old) {
        exchange->above = exchange->old;
        exchange->below_slot = user->slot;
        exchange->below_use = user->use;
        return true;
    }
    g_set_error(error, BACKPLANE_ERROR, ERROR_STATE, "Node '%s' is already in use",
                exchange->new->id);
    return false;
}

static bool
check_slot(const MachineSlot *slot, GError **error)
{
    const struct bp_slot *class = machine_slot_class(slot);

    if ((class->flags & BP_SLOT_HOTPLUG) == 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "Device '%s' does not let its backend \"%s\" be changed while the machine runs",
                    slot->name, class->name);
        return false;
    }
    return true;
}

static void
begin(Exchange *exchange, const MachineSlot *slot, MachineDoneFunc *func, void *opaque)
{
    g_autoptr(GError) error = NULL;

    exchange->consumer = slot->consumer;
    exchange->slot = slot->slot;
    exchange->use = slot->use;
    exchange->old = slot->backend;
    exchange->func = func;
    exchange->opaque = opaque;
    if (!check_slot(slot, &error) || !check_user(exchange, &error)) {
        func(opaque, error);
        exchange_free(exchange);
        return;
    }
    machine_quiesce(exchange->machine, exchange->consumer, at_rest, exchange);
}

void
machine_exchange(Machine *machine, const MachineSlot *slot, Instance *backend,
                 MachineDoneFunc *func, void *opaque)
{
    Exchange *exchange = g_new0(Exchange, 1);

    exchange->machine = machine;
    exchange->new = backend;
    begin(exchange, slot, func, opaque);
}

void
machine_swap(Machine *machine, const MachineSlot *slot, const MachineSwap *swap,
             MachineDoneFunc *func, void *opaque)
{
    Exchange *exchange = g_new0(Exchange, 1);

    exchange->machine = machine;
    exchange->new = swap->backend;
    exchange->filter = swap->filter;
    exchange->same_size = swap->same_size;
    exchange->same_disk = swap->same_disk;
    begin(exchange, slot, func, opaque);
}
