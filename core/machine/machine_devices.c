/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that come and go while the machine runs. What goes is brought to rest first, taken out of
 * the guest's sight, and then undone; what comes is there as a whole, or not at all. */
#include "machine/machine_backends.h"

#include "base/error.h"
#include "base/log.h"
#include "machine/machine_private.h"

#define SLOT_OF(devfn) ((devfn) >> 3) /* 32 and more: behind a bridge, where nothing is plugged */
#define ASK_AGAIN_US   (INT64_C(5) * G_USEC_PER_SEC)
#define IS_GOING       G_MAXINT64 /* in `unplugging`: nobody need ask any more */

typedef struct {
    Machine *machine;
    Instance *device;
    MachineDoneFunc *func; /* NULL: the guest let go, and nobody waits */
    void *opaque;
} Removal;

/* Its slot among those the guest can eject. */
static uint32_t
slot_bit(const Instance *device)
{
    unsigned slot = SLOT_OF(device->plan->devfn);

    return device->function != NULL && slot < 32 ? 1u << slot : 0;
}

Instance *
machine_device_find(Machine *machine, const char *id)
{
    Instance *instance = machine_find_instance(machine, id);

    return instance != NULL && instance->plan->is_device ? instance : NULL;
}

/* --- coming -------------------------------------------------------------------------------------
 */

static bool
can_plug(const Machine *machine, const PlanInstance *plan, GError **error)
{
    if (plan_instance_class(plan)->bus != BP_BUS_PCI) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "devices.%s: only PCI devices can be plugged in while the machine runs",
                    plan->id);
    } else if ((plan->devfn & 7) != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "devices.%s.address: the guest would not see function %u of a slot that is in "
                    "use: take function 0 of a free one",
                    plan->id, plan->devfn & 7);
    } else if (plan->devfn >= PLAN_BUS_DEVFNS) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "devices.%s: nothing can be plugged behind a bridge: take a slot of the "
                    "board's bus",
                    plan->id);
    } else if (!board_can_hotplug(machine->services.board, SLOT_OF(plan->devfn))) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "devices.%s: nothing can be plugged into this machine: machine.acpi or "
                    "machine.hotplug is false",
                    plan->id);
    } else {
        return true;
    }
    return false;
}

Instance *
machine_device_add(Machine *machine, Node *options, GError **error)
{
    PlanInstance *plan = machine_plan_instance(machine, options, true, error);
    Instance *device;

    if (plan == NULL) {
        return NULL;
    }
    device = can_plug(machine, plan, error) ? machine_make_instance(machine, plan, error) : NULL;
    if (device == NULL) {
        machine_plan_remove(machine->plan, plan);
        return NULL;
    }
    g_ptr_array_add(machine->devices, device);
    instance_reset(device, BP_RESET_POWER_ON);
    if (machine->running) {
        instance_start(device);
    }
    board_plugged(machine->services.board, SLOT_OF(plan->devfn));
    return device;
}

/* --- going --------------------------------------------------------------------------------------
 */

static bool
is_slot_in_use(const Machine *machine, unsigned slot)
{
    guint i;

    for (i = 0; i < machine->devices->len; i++) {
        const Instance *device = machine->devices->pdata[i];
        if (device->function != NULL && SLOT_OF(device->plan->devfn) == slot) {
            return true;
        }
    }
    return false;
}

/* Media that were made for its drives. */
static GPtrArray *
transient_backends(const Machine *machine, const Instance *device)
{
    GPtrArray *list = g_ptr_array_new();
    guint i;

    for (i = 0; i < machine->backends->len; i++) {
        Instance *backend = machine->backends->pdata[i];
        g_autoptr(MachineSlot) slot = NULL;
        if (!machine_backend_is_transient(machine, backend)) {
            continue;
        }
        slot = machine_slot_of_backend((Machine *)(uintptr_t)machine, backend);
        if (slot != NULL && slot->consumer == device) {
            g_ptr_array_add(list, backend);
        }
    }
    return list;
}

static void
tell(Machine *machine, const char *id, const char *event)
{
    g_autofree char *json =
        g_strdup_printf("{\"device\": \"%s\", \"path\": \"/machine/peripheral/%s\"}", id, id);

    machine_emit(machine, id, event, json);
}

void
machine_device_deleted(Machine *machine, const char *id)
{
    tell(machine, id, "DEVICE_DELETED");
}

static void
take_out(Machine *machine, Instance *device)
{
    g_autoptr(GPtrArray) media = transient_backends(machine, device);
    PlanInstance *plan = device->plan;
    g_autofree char *id = g_strdup(plan->id);
    unsigned slot = SLOT_OF(plan->devfn);
    guint i;

    machine_quiesce_forget(machine, device);
    instance_hide(device);
    if (machine->running) {
        instance_stop(device);
    }
    (void)g_hash_table_remove(machine->unplugging, device);
    (void)g_ptr_array_remove(machine->devices, device);
    instance_free(device);
    machine_plan_remove(machine->plan, plan);
    for (i = 0; i < media->len; i++) {
        (void)machine_backend_remove(machine, media->pdata[i], NULL);
    }
    if (!is_slot_in_use(machine, slot)) {
        board_unplugged(machine->services.board, slot);
    }
    machine_device_deleted(machine, id);
}

static void
at_rest(void *opaque, const GError *error)
{
    g_autofree Removal *removal = opaque;
    Machine *machine = removal->machine;

    if (error == NULL) {
        take_out(machine, removal->device);
    } else if (!machine_is_quiesced(machine, removal->device)) { /* it is no other's change */
        (void)g_hash_table_remove(machine->unplugging, removal->device);
        log_error("machine", "%s", error->message);
        tell(machine, removal->device->id, "DEVICE_UNPLUG_GUEST_ERROR");
    }
    if (removal->func != NULL) {
        removal->func(removal->opaque, error);
    }
}

static void
note_unplugging(Machine *machine, Instance *device, gint64 again)
{
    (void)g_hash_table_insert(machine->unplugging, device, g_memdup2(&again, sizeof(again)));
}

static bool
is_going(const Machine *machine, const Instance *device)
{
    const gint64 *again = g_hash_table_lookup(machine->unplugging, device);

    return again != NULL && *again == IS_GOING;
}

void
machine_device_remove(Machine *machine, Instance *device, MachineDoneFunc *func, void *opaque)
{
    Removal *removal = g_new0(Removal, 1);

    if (!machine_is_quiesced(machine, device)) {
        note_unplugging(machine, device, IS_GOING);
    }
    removal->machine = machine;
    removal->device = device;
    removal->func = func;
    removal->opaque = opaque;
    machine_quiesce(machine, device, at_rest, removal);
}

bool
machine_device_request(Machine *machine, Instance *device, GError **error)
{
    unsigned slot = SLOT_OF(device->plan->devfn);
    const gint64 *again = g_hash_table_lookup(machine->unplugging, device);
    gint64 now = g_get_monotonic_time();

    if (again != NULL && now < *again) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_STATE,
                    "Device %s is already in the process of unplug", device->id);
        return false;
    }
    if (device->function == NULL || !board_can_hotplug(machine->services.board, slot)) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "Device '%s' cannot be unplugged: the guest has no way to be asked; "
                    "force=true takes it out all the same",
                    device->id);
        return false;
    }
    note_unplugging(machine, device, now + ASK_AGAIN_US);
    board_unplug_request(machine->services.board, slot);
    return true;
}

/* --- what the guest says ------------------------------------------------------------------------
 */

/* Called with a lock of the board's held. */
void
machine_slot_ejected(Machine *machine, unsigned slot)
{
    g_mutex_lock(&machine->lock);
    machine->ejected |= 1u << slot;
    g_mutex_unlock(&machine->lock);
    machine_notify(machine);
}

/* All functions of a slot go together. One whose backend is being changed goes after that. */
static void
remove_slots(Machine *machine, uint32_t slots)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    guint i;

    for (i = 0; i < machine->devices->len; i++) {
        Instance *device = machine->devices->pdata[i];
        if ((slots & slot_bit(device)) != 0) {
            g_ptr_array_add(gone, device);
        }
    }
    for (i = gone->len; i > 0; i--) {
        Instance *device = gone->pdata[i - 1];
        if (!machine_is_quiesced(machine, device)) {
            machine_device_remove(machine, device, NULL, NULL);
        } else if (!is_going(machine, device)) {
            g_mutex_lock(&machine->lock);
            machine->ejected |= slot_bit(device);
            g_mutex_unlock(&machine->lock);
        }
    }
}

void
machine_devices_serve(Machine *machine)
{
    uint32_t slots;

    g_mutex_lock(&machine->lock);
    slots = machine->ejected;
    machine->ejected = 0;
    g_mutex_unlock(&machine->lock);
    if (slots != 0) {
        remove_slots(machine, slots);
    }
}

void
machine_devices_reset(Machine *machine)
{
    GHashTableIter iter;
    gpointer device;
    uint32_t slots = 0;

    g_hash_table_iter_init(&iter, machine->unplugging);
    while (g_hash_table_iter_next(&iter, &device, NULL)) {
        slots |= slot_bit(device);
    }
    remove_slots(machine, slots);
}
