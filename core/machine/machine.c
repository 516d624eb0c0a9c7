/* SPDX-License-Identifier: Apache-2.0 */
/* A machine from power-on to the end. */
#include "machine/machine_private.h"

#include "base/log.h"

static void
request_from_instance(void *opaque, uint32_t what, const char *who, const char *reason)
{
    Machine *machine = opaque;

    switch (what) {
    case BP_REQUEST_QUIT:
        machine_request(machine, MACHINE_REQUEST_QUIT, who, reason);
        break;
    case BP_REQUEST_STOP:
        machine_request(machine, MACHINE_REQUEST_IO_ERROR, who, reason);
        break;
    case BP_REQUEST_RESET:
        machine_request(machine, MACHINE_REQUEST_RESET, who, reason);
        break;
    case BP_REQUEST_POWEROFF:
        machine_request(machine, MACHINE_REQUEST_POWEROFF, who, reason);
        break;
    case BP_REQUEST_PANIC_STOP:
        machine_request(machine, MACHINE_REQUEST_PANIC_STOP, who, reason);
        break;
    case BP_REQUEST_PANIC_END:
        machine_request(machine, MACHINE_REQUEST_PANIC_END, who, reason);
        break;
    default:
        break;
    }
}

static void
event_from_instance(void *opaque, const char *who, const char *name, const char *json)
{
    machine_queue_event(opaque, who, name, json);
}

static const void *
find_peer(void *opaque, const char *id, const char *interface_id, void **peer_self)
{
    Instance *instance = machine_find_instance(opaque, id);

    if (instance == NULL) {
        return NULL;
    }
    *peer_self = instance->self;
    return instance_query(instance, interface_id);
}

static void
quiesced(void *opaque, const char *who, int32_t status)
{
    machine_quiesce_answer(opaque, who, status);
}

static void
unload_plugin(void *plugin)
{
    plugin_unload(plugin);
}

Machine *
machine_new(MachinePlan *plan, const MachineArgs *args, GError **error)
{
    g_autoptr(Machine) machine = g_new0(Machine, 1);

    machine->plan = plan;
    machine->args = *args;
    machine->request_fd = -1;
    machine->context = g_main_context_new();
    machine->main_loop = g_main_loop_new(machine->context, FALSE);
    machine->plugins = g_hash_table_new_full(NULL, NULL, NULL, unload_plugin);
    machine->backends = g_ptr_array_new();
    machine->devices = g_ptr_array_new();
    machine->transient = g_hash_table_new(NULL, NULL);
    machine->io_failures = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    machine->unplugging = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    machine_quiesce_init(machine);
    machine->services.request = request_from_instance;
    machine->services.event = event_from_instance;
    machine->services.find_peer = find_peer;
    machine->services.quiesced = quiesced;
    machine->services.opaque = machine;
    if (!machine_requests_init(machine, error) || !machine_make_parts(machine, error) ||
        !machine_make_instances(machine, error) || !machine_prepare_boot(machine, error)) {
        return NULL;
    }
    return g_steal_pointer(&machine);
}

void
machine_free(Machine *machine)
{
    if (machine == NULL) {
        return;
    }
    if (machine->running) {
        machine_pause(machine);
    }
    if (machine->services.vm != NULL && machine->started) {
        vm_stop(machine->services.vm);
    }
    machine_quiesce_cancel(machine);
    machine_free_instances(machine);
    g_hash_table_destroy(machine->plugins);
    g_clear_pointer(&machine->boot_kernel, boot_kernel_free);
    machine_free_parts(machine);
    machine_requests_done(machine);
    g_ptr_array_free(machine->backends, TRUE);
    g_ptr_array_free(machine->devices, TRUE);
    g_hash_table_destroy(machine->transient);
    g_hash_table_destroy(machine->unplugging);
    g_hash_table_destroy(machine->io_failures);
    machine_quiesce_done(machine);
    g_main_loop_unref(machine->main_loop);
    g_main_context_unref(machine->context);
    g_free(machine);
}

/* The vCPUs stand still. */
static bool
power_cycle(Machine *machine, uint32_t kind, GError **error)
{
    machine_reset_instances(machine, kind);
    board_reset(machine->services.board);
    if (machine->services.vm == NULL) {
        return true;
    }
    if (!machine_place_boot(machine, error)) {
        return false;
    }
    vm_reset(machine->services.vm);
    return true;
}

bool
machine_start(Machine *machine, GError **error)
{
    if (!power_cycle(machine, BP_RESET_POWER_ON, error)) {
        return false;
    }
    if (machine->services.vm != NULL) {
        if (!vm_start(machine->services.vm, true, error)) {
            return false;
        }
        machine->started = true;
    }
    if (!machine->args.paused) {
        machine_resume(machine);
    }
    return true;
}

int
machine_run(Machine *machine)
{
    g_main_loop_run(machine->main_loop);
    return machine->exit_status;
}

void
machine_pause(Machine *machine)
{
    if (!machine->running) {
        return;
    }
    machine->running = false;
    if (machine->services.vm != NULL) {
        vm_pause(machine->services.vm);
    }
    virtual_clock_stop(machine->services.clock);
    machine_stop_instances(machine);
    machine_emit(machine, "machine", "STOP", NULL);
}

void
machine_resume(Machine *machine)
{
    if (machine->running) {
        return;
    }
    machine->running = true;
    machine->was_started = true;
    machine->stopped_by = NULL;
    g_hash_table_remove_all(machine->io_failures);
    machine_start_instances(machine);
    virtual_clock_start(machine->services.clock);
    if (machine->services.vm != NULL && !machine->suspended) {
        vm_resume(machine->services.vm);
    }
    machine_emit(machine, "machine", "RESUME", NULL);
}

bool
machine_reset(Machine *machine)
{
    g_autoptr(GError) error = NULL;

    if (machine->running && machine->services.vm != NULL) {
        vm_pause(machine->services.vm);
    }
    if (!power_cycle(machine, BP_RESET_SYSTEM, &error)) {
        log_error("machine", "cannot reset: %s", error->message);
        machine_end(machine, 1);
        return false;
    }
    machine->suspended = false;
    machine_devices_reset(machine);
    if (machine->running && machine->services.vm != NULL) {
        vm_resume(machine->services.vm);
    }
    return true;
}

/* S3: the processors rest, memory and time do not. A pause on top of it changes nothing of that. */
void
machine_suspend(Machine *machine)
{
    if (machine->suspended || machine->services.vm == NULL) {
        return;
    }
    vm_pause(machine->services.vm);
    machine->suspended = true;
    machine_emit(machine, "machine", "SUSPEND", NULL);
}

/* The way out of S3 is a reset that keeps memory: firmware finds in CMOS that it is to resume. A
 * guest started without firmware has nobody to do that for it, and starts anew. */
void
machine_wake(Machine *machine)
{
    g_autoptr(GError) error = NULL;

    if (!machine->suspended) {
        return;
    }
    machine->suspended = false;
    if (!power_cycle(machine, BP_RESET_SYSTEM, &error)) {
        log_error("machine", "cannot wake: %s", error->message);
        machine_end(machine, 1);
        return;
    }
    board_wake(machine->services.board, true);
    machine_emit(machine, "machine", "WAKEUP", NULL);
    if (machine->running) {
        vm_resume(machine->services.vm);
    }
}

bool
machine_is_suspended(const Machine *machine)
{
    return machine->suspended;
}

bool
machine_is_running(const Machine *machine)
{
    return machine->running;
}

const char *
machine_status(const Machine *machine)
{
    if (machine->suspended) {
        return "suspended";
    }
    if (machine->running) {
        return "running";
    }
    if (machine->stopped_by != NULL) {
        return machine->stopped_by;
    }
    return machine->was_started ? "paused" : "prelaunch";
}

const char *
machine_name(const Machine *machine)
{
    return node_text(node_child(machine->plan->machine, "name"), "backplane");
}

GMainContext *
machine_context(Machine *machine)
{
    return machine->context;
}

const PhysicalBus *
machine_bus(Machine *machine)
{
    return &machine->services.bus;
}

PciBus *
machine_pci(Machine *machine)
{
    return board_pci(machine->services.board);
}

unsigned
machine_cpus(const Machine *machine)
{
    return (unsigned)node_u64(node_child(machine->plan->machine, "cpus"), 1);
}

int
machine_cpu_thread(const Machine *machine, unsigned cpu)
{
    return machine->services.vm != NULL ? vm_cpu_thread(machine->services.vm, cpu) : 0;
}

void
machine_inject_nmi(Machine *machine)
{
    if (machine->services.vm != NULL) {
        vm_inject_nmi(machine->services.vm);
    }
}

IrqLines *
machine_irqs(Machine *machine)
{
    return machine->services.irqs;
}

VirtualClock *
machine_clock(Machine *machine)
{
    return machine->services.clock;
}

GPtrArray *
machine_loops(Machine *machine)
{
    return machine->services.loops;
}

const MachinePlan *
machine_plan(const Machine *machine)
{
    return machine->plan;
}

void
machine_set_event_func(Machine *machine, MachineEventFunc *func, void *opaque)
{
    machine->event_func = func;
    machine->event_opaque = opaque;
}
