/* SPDX-License-Identifier: Apache-2.0 */
/* A machine of GuestMemory, address spaces and Vm alone, no board and no plugin, that runs the
 * freestanding guest. Failures of the harness fail the test that called it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot/boot.h"
#include "bus/physical.h"
#include "guest_ports.h"
#include "kvm/vm.h"

typedef struct {
    GuestMemory *memory;
    AddressSpace *pio, *mmio;
    IrqLines *irqs;
    PhysicalBus bus;
    Vm *vm;
    BootKernel *kernel;
    GAsyncQueue *reports; /* what the guest wrote to PORT_REPORT, + 1 (no NULL) */
    GAsyncQueue *events;  /* GuestEvent, owned */
    GPtrArray *regions;

    /* Split irqchip: what the 8259 would answer next, or -1; the EOIs seen. */
    _Atomic int pic_vector;
    GAsyncQueue *eois; /* vector + 1 */
} GuestMachine;

typedef struct {
    VmEvent event;
    char *text;
} GuestEvent;

typedef struct {
    const char *routine; /* the guest's command line */
    unsigned cpus;       /* 0 means 1 */
    VmIrqchip irqchip;
} GuestArgs;

/* Exit status of a test program without a usable /dev/kvm: prints why and returns true. */
bool guest_tests_skipped(void);

/* Not started yet: devices may be added. */
GuestMachine *guest_machine_new(const GuestArgs *args);
void guest_machine_free(GuestMachine *machine);
Region *guest_machine_add(GuestMachine *machine, AddressSpace *space, uint64_t base,
                          uint64_t length, const RegionOps *ops, void *opaque);
void guest_machine_start(GuestMachine *machine);
/* Pause, power-on state, kernel placed again, resume. */
void guest_machine_reset(GuestMachine *machine);

/* The next report; fails the test after ten seconds without one. */
uint32_t guest_machine_next_report(GuestMachine *machine);
void guest_machine_expect(GuestMachine *machine, uint32_t value);
bool guest_machine_has_report(GuestMachine *machine);
/* The next event; its text is owned by the caller. */
VmEvent guest_machine_next_event(GuestMachine *machine, char **ret_text);
