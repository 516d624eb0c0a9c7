/* SPDX-License-Identifier: Apache-2.0 */
/* Media that come and go. A tray is opened before its medium is taken out; a drive without a tray
 * gets its medium exchanged as it stands. */
#include "control/qmp_private.h"

#include <errno.h>
#include <string.h>

/* The drive that "device" or "id" names, if media can be changed in it. */
static MachineSlot *
find_drive(QmpCall *call)
{
    g_autoptr(MachineSlot) slot = qmp_block_slot(call);

    if (slot == NULL) {
        return NULL;
    }
    if ((slot->flags & BP_MEDIA_REMOVABLE) == 0) {
        qmp_call_fail(call, "GenericError", "Device '%s' is not removable", slot->name);
        return NULL;
    }
    return g_steal_pointer(&slot);
}

static bool
is_tray_closed(const MachineSlot *slot)
{
    return (slot->flags & BP_MEDIA_TRAY) != 0 && (slot->flags & BP_MEDIA_OPEN) == 0;
}

/* False: the guest has locked it (and was told), or the call has failed. */
static bool
open_tray(QmpCall *call, const MachineSlot *slot, bool force)
{
    int32_t result;

    if (!is_tray_closed(slot)) {
        return true;
    }
    result = instance_drive_open(slot->consumer, (unsigned)slot->drive, force);
    if (result < 0) {
        qmp_call_fail(call, "GenericError", "Device '%s' cannot open its tray: %s", slot->name,
                      g_strerror(-result));
    }
    return result == 0;
}

/* The same for commands that need it open. */
static bool
must_open_tray(QmpCall *call, const MachineSlot *slot)
{
    bool is_open = open_tray(call, slot, qmp_flag(call, "force", false));

    if (!is_open && call->error_class == NULL) {
        qmp_call_fail(
            call, "GenericError",
            "Device '%s' is locked and force was not specified, wait for tray to open and "
            "try again",
            slot->name);
    }
    return is_open;
}

static void
exchanged(void *opaque, const GError *error)
{
    QmpCall *call = opaque;

    if (error != NULL) {
        qmp_call_take_error(call, error);
    }
    qmp_call_finish(call);
}

static void
exchange(QmpCall *call, const MachineSlot *slot, Instance *backend)
{
    if (slot->backend == backend) {
        return; /* nothing in it, nothing to take out */
    }
    call->is_deferred = true;
    machine_exchange(call->machine, slot, backend, exchanged, call);
}

void
qmp_eject(QmpCall *call)
{
    g_autoptr(MachineSlot) slot = find_drive(call);

    if (slot != NULL && must_open_tray(call, slot)) {
        exchange(call, slot, NULL);
    }
}

void
qmp_blockdev_open_tray(QmpCall *call)
{
    g_autoptr(MachineSlot) slot = find_drive(call);

    if (slot != NULL) {
        (void)open_tray(call, slot, qmp_flag(call, "force", false));
    }
}

void
qmp_blockdev_close_tray(QmpCall *call)
{
    g_autoptr(MachineSlot) slot = find_drive(call);
    int32_t result;

    if (slot == NULL || (slot->flags & BP_MEDIA_OPEN) == 0) {
        return;
    }
    result = instance_drive_close(slot->consumer, (unsigned)slot->drive);
    if (result < 0) {
        qmp_call_fail(call, "GenericError", "Device '%s' cannot close its tray: %s", slot->name,
                      g_strerror(-result));
    }
}

static bool
needs_open_tray(QmpCall *call, const MachineSlot *slot)
{
    if (is_tray_closed(slot)) {
        qmp_call_fail(call, "GenericError", "Tray of device '%s' is not open", slot->name);
        return false;
    }
    return true;
}

void
qmp_blockdev_remove_medium(QmpCall *call)
{
    g_autoptr(MachineSlot) slot = find_drive(call);

    if (slot != NULL && needs_open_tray(call, slot)) {
        exchange(call, slot, NULL);
    }
}

void
qmp_blockdev_insert_medium(QmpCall *call)
{
    const char *id = qmp_text(call, "node-name", "");
    Instance *backend = machine_backend_find(call->machine, id);
    g_autoptr(MachineSlot) slot = find_drive(call);
    g_autoptr(MachineSlot) user = NULL;

    if (slot == NULL) {
        return;
    }
    if (backend == NULL) {
        qmp_call_fail(call, "GenericError", "Node '%.64s' not found", id);
        return;
    }
    user = machine_slot_of_backend(call->machine, backend);
    if (user != NULL) {
        qmp_call_fail(call, "GenericError", "Node '%s' is already in use", id);
    } else if (needs_open_tray(call, slot) && slot->backend != NULL) {
        qmp_call_fail(call, "GenericError", "There already is a medium in device '%s'", slot->name);
    } else if (call->error_class == NULL) {
        exchange(call, slot, backend);
    }
}

/* --- change -------------------------------------------------------------------------------------
 */

typedef struct {
    QmpCall *call;
    Instance *consumer;
    unsigned drive;
    char *medium; /* id of the new backend */
} Change;

static void
changed(void *opaque, const GError *error)
{
    Change *change = opaque;
    Machine *machine = change->call->machine;
    Instance *medium = machine_backend_find(machine, change->medium);

    if (error == NULL) {
        (void)instance_drive_close(change->consumer, change->drive);
    } else {
        qmp_call_take_error(change->call, error);
        if (medium != NULL) {
            (void)machine_backend_remove(machine, medium, NULL);
        }
    }
    qmp_call_finish(change->call);
    g_free(change->medium);
    g_free(change);
}

/* "retain": as the medium is that goes, or as the drive can. */
static bool
is_readonly(QmpCall *call, const MachineSlot *slot, bool *readonly)
{
    const char *mode = qmp_text(call, "read-only-mode", "retain");
    struct bp_block_info info;

    if (strcmp(mode, "retain") == 0) {
        *readonly = (slot->flags & BP_MEDIA_READ_ONLY) != 0 ||
                    (slot->backend != NULL && qmp_block_info(slot->backend, &info) &&
                     (info.flags & BP_BLOCK_READONLY) != 0);
    } else if (strcmp(mode, "read-only") == 0) {
        *readonly = true;
    } else if (strcmp(mode, "read-write") == 0) {
        *readonly = false;
    } else {
        qmp_call_fail(call, "GenericError",
                      "Parameter 'read-only-mode' does not accept value '%.64s'", mode);
        return false;
    }
    return true;
}

static Instance *
make_medium(QmpCall *call, const MachineSlot *slot)
{
    g_autofree char *id = machine_unused_id(call->machine, "medium");
    g_autoptr(GError) error = NULL;
    Instance *medium = NULL;
    bool readonly;
    Node *options;

    if (!is_readonly(call, slot, &readonly)) {
        return NULL;
    }
    options = qmp_block_options(call, id, qmp_text(call, "format", "raw"),
                                qmp_text(call, "filename", ""), readonly);
    if (options == NULL) {
        return NULL;
    }
    medium = machine_backend_add(call->machine, options, &error);
    if (medium == NULL) {
        qmp_call_take_error(call, error);
        return NULL;
    }
    machine_backend_set_transient(call->machine, medium);
    return medium;
}

void
qmp_blockdev_change_medium(QmpCall *call)
{
    g_autoptr(MachineSlot) slot = find_drive(call);
    Instance *medium = slot != NULL ? make_medium(call, slot) : NULL;
    Change *change;

    if (medium == NULL) {
        return;
    }
    if (!must_open_tray(call, slot)) {
        (void)machine_backend_remove(call->machine, medium, NULL);
        return;
    }
    change = g_new0(Change, 1);
    change->call = call;
    change->consumer = slot->consumer;
    change->drive = (unsigned)slot->drive;
    change->medium = g_strdup(medium->id);
    call->is_deferred = true;
    machine_exchange(call->machine, slot, medium, changed, change);
}
