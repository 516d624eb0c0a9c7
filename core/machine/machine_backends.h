/* SPDX-License-Identifier: Apache-2.0 */
/* Backends that come, go and change places while the machine runs. [control] */
#pragma once

#include "machine/machine_slots.h"

/* Makes a backend of a group of options named by its id, which is taken over: the plugin is loaded
 * if it is not yet, the options are held against its schema with the same messages as a
 * description's. */
Instance *machine_backend_add(Machine *machine, Node *options, GError **error);
/* ERROR_STATE: something stands on it. */
bool machine_backend_remove(Machine *machine, Instance *backend, GError **error);
Instance *machine_backend_find(Machine *machine, const char *id); /* or NULL */
const GPtrArray *machine_backends(const Machine *machine);        /* Instance* */
const GPtrArray *machine_devices(const Machine *machine);         /* Instance* */
/* An id that nothing has: "medium0", "medium1" ... */
char *machine_unused_id(Machine *machine, const char *prefix);
/* One that was made for a medium and goes with it. */
void machine_backend_set_transient(Machine *machine, Instance *backend);
bool machine_backend_is_transient(const Machine *machine, const Instance *backend);

/* Brings a device to rest for something short; func is called once, now or later. error NULL: it is
 * at rest until machine_at_rest_end(). */
typedef void MachineAtRestFunc(void *opaque, const GError *error);
void machine_at_rest(Machine *machine, Instance *instance, MachineAtRestFunc *func, void *opaque);
void machine_at_rest_end(Machine *machine, Instance *instance);

/* The end of a change; error NULL: done. Called once, now or later. */
typedef void MachineDoneFunc(void *opaque, const GError *error);

/* Puts another backend into a slot, or none: the consumer comes to rest, loses the old one, gets
 * the new one, goes on. What fails is undone, and the old backend is in its place again. A
 * transient one that was taken out is removed. slot: borrowed. */
void machine_exchange(Machine *machine, const MachineSlot *slot, Instance *backend,
                      MachineDoneFunc *func, void *opaque);

typedef struct {
    Instance *backend; /* the new one; if it stands right below the old one, that is a filter which
                        * goes */
    Node *filter; /* or: options of a filter to be made between consumer and old one; taken over */
    bool same_size; /* refuse a capacity that differs from the old one's */
    bool same_disk; /* refuse what does not hold the same disk: see machine_identity.h */
} MachineSwap;
/* The same for what is to go unnoticed by the guest. */
void machine_swap(Machine *machine, const MachineSlot *slot, const MachineSwap *swap,
                  MachineDoneFunc *func, void *opaque);

/* Makes a device as machine_backend_add() makes a backend, puts it into its PCI slot and tells the
 * guest. ERROR_UNSUPPORTED: nothing can be plugged there. */
Instance *machine_device_add(Machine *machine, Node *options, GError **error);
/* Asks the guest to let go of a device: DEVICE_DELETED says that it is gone. ERROR_STATE: it has
 * been asked already. */
bool machine_device_request(Machine *machine, Instance *device, GError **error);
/* Takes it out, whatever the guest does with it. */
void machine_device_remove(Machine *machine, Instance *device, MachineDoneFunc *func, void *opaque);
/* Tells operators that something they know as a device is gone. */
void machine_device_deleted(Machine *machine, const char *id);
Instance *machine_device_find(Machine *machine, const char *id); /* or NULL */
