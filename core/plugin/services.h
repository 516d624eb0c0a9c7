/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a machine that the host tables reach. One for all instances of a machine. */
#pragma once

#include "board/board.h"
#include "bus/physical.h"
#include "kvm/vm.h"
#include "loop/loop.h"

#include <backplane/memory.h>

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Services Services;

typedef struct {
    unsigned count;
    bool shared;
} IrqClaim;

struct Services {
    PhysicalBus bus;
    IrqLines *irqs;
    Board *board;
    Vm *vm; /* NULL in the test protocol */
    VirtualClock *clock;
    GPtrArray *loops; /* Loop* */
    struct bp_ram_view ram_view;
    struct bp_ram_range *ram_ranges;
    bool has_eoi;          /* the interrupt controllers tell of the end of interrupts */
    uint16_t console_port; /* of the first 16550 (ACPI: PNP0501), 0 if there is none */
    IrqClaim irq_claims[IRQ_GSI_COUNT]; /* [control] */

    /* What an instance asks of the machine; thread-safe, acted on later. what: BP_REQUEST_... */
    void (*request)(void *opaque, uint32_t what, const char *who, const char *reason);
    void (*event)(void *opaque, const char *who, const char *name, const char *json);
    const void *(*find_peer)(void *opaque, const char *id, const char *interface_id,
                             void **peer_self);
    void (*quiesced)(void *opaque, const char *who, int32_t status);
    void *opaque;
};

/* The loop with this index, or NULL. */
static inline Loop *
services_loop(const Services *services, uint32_t index)
{
    return index < services->loops->len ? services->loops->pdata[index] : NULL;
}
