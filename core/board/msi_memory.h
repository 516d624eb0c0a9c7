/* SPDX-License-Identifier: Apache-2.0 */
/* Message-signalled interrupts as what they are on the wire: dword writes to memory. A message
 * whose address is not RAM is lost, as there is no local APIC to take it; it never reaches a
 * device, so firing is safe under any lock. */
#pragma once

#include "bus/msi.h"
#include "bus/physical.h"
#include "loop/loop.h"

#include <glib.h>

typedef struct MsiMemory MsiMemory;

/* loop: watches the eventfds of vectors that were asked for one. */
MsiMemory *msi_memory_new(const PhysicalBus *bus, Loop *loop);
/* All vectors were freed. */
void msi_memory_free(MsiMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MsiMemory, msi_memory_free)

MsiController *msi_memory_controller(MsiMemory *memory);
