/* SPDX-License-Identifier: Apache-2.0 */
/* Where backends are attached, by the names operators use: "ide0:1.0", a drive's own name, an
 * instance with one slot in use ("blk0"), or the path of an option ("virtio0.disks[1].disk").
 * [control] */
#pragma once

#include "machine/machine.h"
#include "plugin/instance.h"

typedef struct {
    char *name;      /* the one to show */
    char *unit_name; /* "instance:unit" of a drive, or NULL */
    Instance *consumer;
    unsigned slot; /* index in the class's slots[] */
    unsigned use;
    int drive;         /* index in bp.media/1; -1: the consumer tells of no drive here */
    uint32_t flags;    /* BP_MEDIA_... of the drive, now */
    Instance *backend; /* NULL: empty */
} MachineSlot;

void machine_slot_free(MachineSlot *slot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MachineSlot, machine_slot_free)

static inline const struct bp_slot *
machine_slot_class(const MachineSlot *slot)
{
    return &slot->consumer->class->slots[slot->slot];
}

/* Every slot in use, and every drive, of the devices; or of the backends that stand on others. */
GPtrArray *machine_slots(Machine *machine, bool of_devices);
/* NULL: there is none (ERROR_NOT_FOUND). */
MachineSlot *machine_slot_find(Machine *machine, const char *name, GError **error);
/* An empty place in a list of a device's: the element whose options have the values of those in
 * `where` (a group), and whose backend is to be. NULL: there is none (ERROR_STATE). */
MachineSlot *machine_slot_find_place(Instance *device, const Node *where, GError **error);
/* The list of groups that such places are in, or NULL: the class has none. */
const struct bp_prop *machine_places(const Instance *device);
/* The slot that a backend is attached to, or NULL. */
MachineSlot *machine_slot_of_backend(Machine *machine, const Instance *backend);
