/* SPDX-License-Identifier: Apache-2.0 */
/* A machine: a plan put together from parts, and its life from power-on to the end. Everything here
 * belongs to the control thread, except machine_request(). */
#pragma once

#include "bus/irq.h"
#include "bus/pci.h"
#include "bus/physical.h"
#include "config/plan.h"
#include "loop/clock.h"

#include <glib.h>
#include <stdbool.h>

typedef struct Machine Machine;

typedef struct {
    bool test;      /* test protocol: no vCPU, no KVM, a clock that moves by command */
    bool paused;    /* do not run until someone resumes it */
    bool no_reboot; /* a guest reset ends the program instead */
} MachineArgs;

/* Builds everything, starts nothing; what fails is undone. plan: not owned, outlives the machine,
 * and changes with it. */
Machine *machine_new(MachinePlan *plan, const MachineArgs *args, GError **error);
void machine_free(Machine *machine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_free)

typedef enum {
    MACHINE_REQUEST_QUIT,     /* a user's command: end with status 0 */
    MACHINE_REQUEST_SIGNAL,   /* the same, by a signal */
    MACHINE_REQUEST_STOP,     /* pause */
    MACHINE_REQUEST_IO_ERROR, /* a device pauses it: its error policy */
    MACHINE_REQUEST_RESUME,
    MACHINE_REQUEST_RESET,      /* the guest's */
    MACHINE_REQUEST_HOST_RESET, /* a user's command */
    MACHINE_REQUEST_POWEROFF,   /* the guest switched itself off */
    MACHINE_REQUEST_POWER_BUTTON,
    MACHINE_REQUEST_SUSPEND,    /* S3: memory is kept, the vCPUs rest until something wakes them */
    MACHINE_REQUEST_WAKE,       /* the end of S3; does nothing to a machine that is awake */
    MACHINE_REQUEST_PANIC_STOP, /* the guest says that it has died: pause */
    MACHINE_REQUEST_PANIC_END,  /* likewise: end with status 0 */
    MACHINE_REQUEST_FAIL,       /* it cannot go on: end with status 1 */
    MACHINE_REQUEST_COUNT,
} MachineRequest;

/* Asks for a change; done soon, on the control thread. who, reason: for the log. [any] */
void machine_request(Machine *machine, MachineRequest request, const char *who, const char *reason);

/* Power on: resets everything and lets the vCPUs run (unless paused). */
bool machine_start(Machine *machine, GError **error);
/* Serves the control thread's events until the machine ends; the program's exit status. */
int machine_run(Machine *machine);

void machine_pause(Machine *machine);
void machine_resume(Machine *machine);
/* False: it could not be reset and ends. */
bool machine_reset(Machine *machine);
bool machine_is_running(const Machine *machine);
bool machine_is_suspended(const Machine *machine);
/* QEMU's word for its state: "running", "paused", "io-error" ... */
const char *machine_status(const Machine *machine);

/* "ok", or how a drive's last request failed when that stopped the machine, as QEMU has it. */
const char *machine_io_status(const Machine *machine, const char *drive);

const char *machine_name(const Machine *machine);
GMainContext *machine_context(Machine *machine);
const PhysicalBus *machine_bus(Machine *machine);
PciBus *machine_pci(Machine *machine);
unsigned machine_cpus(const Machine *machine);
/* The thread that runs a vCPU; 0: none, as in the test protocol. */
int machine_cpu_thread(const Machine *machine, unsigned cpu);
void machine_inject_nmi(Machine *machine);
IrqLines *machine_irqs(Machine *machine);
VirtualClock *machine_clock(Machine *machine);
GPtrArray *machine_loops(Machine *machine); /* Loop* */
const MachinePlan *machine_plan(const Machine *machine);

/* Something operators may want to know: RESET, SHUTDOWN, STOP, a device's events. json: an object
 * or NULL, borrowed. Called on the control thread. */
typedef void MachineEventFunc(void *opaque, const char *who, const char *name, const char *json);
void machine_set_event_func(Machine *machine, MachineEventFunc *func, void *opaque);
