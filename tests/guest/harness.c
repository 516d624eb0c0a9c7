/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define GUEST_MEMORY_BYTES (UINT64_C(16) << 20)
#define REPORT_TIMEOUT_US  UINT64_C(10000000)
#define FIRST_MIB_END      UINT64_C(0x100000)
#define SHADOW_START_GPA   UINT64_C(0xc0000)

static void
check_error(const GError *error)
{
    if (error != NULL) {
        print_error("%s\n", error->message);
        fail();
    }
}

bool
guest_tests_skipped(void)
{
    g_autoptr(GError) error = NULL;

    if (vm_available(&error)) {
        return false;
    }
    printf("1..0 # SKIP %s\n", error->message);
    return true;
}

static uint64_t
report_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void
report_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    GuestMachine *machine = opaque;
    g_async_queue_push(machine->reports, GSIZE_TO_POINTER((gsize)value + 1));
}

static const RegionOps report_ops = {
    .read = report_read,
    .write = report_write,
    .widths = 4,
};

static void
machine_event(void *opaque, VmEvent event, const char *text)
{
    GuestMachine *machine = opaque;
    GuestEvent *entry = g_new0(GuestEvent, 1);

    entry->event = event;
    entry->text = g_strdup(text);
    g_async_queue_push(machine->events, entry);
}

static int
machine_pic_ack(void *opaque)
{
    GuestMachine *machine = opaque;
    int vector = atomic_exchange(&machine->pic_vector, -1);

    vm_set_extint(machine->vm, false);
    return vector;
}

static void
machine_eoi(void *opaque, uint8_t vector)
{
    GuestMachine *machine = opaque;
    g_async_queue_push(machine->eois, GSIZE_TO_POINTER((gsize)vector + 1));
}

static void
event_free(void *opaque)
{
    GuestEvent *event = opaque;
    g_free(event->text);
    g_free(event);
}

static void
make_vm(GuestMachine *machine, const GuestArgs *args)
{
    GError *error = NULL;
    const VmArgs vm_args = {
        .cpus = args->cpus != 0 ? args->cpus : 1,
        .irqchip = args->irqchip,
        .bus = &machine->bus,
        .irqs = machine->irqs,
        .event = machine_event,
        .opaque = machine,
        .pic_ack = machine_pic_ack,
        .ioapic_eoi = machine_eoi,
        .irqchip_opaque = machine,
    };
    const BootKernelArgs kernel_args = {
        .kernel = getenv("BACKPLANE_GUEST_ELF"),
        .cmdline = args->routine,
    };

    machine->vm = vm_new(&vm_args, &error);
    check_error(error);
    machine->kernel = boot_kernel_open(&kernel_args, machine->memory, &error);
    check_error(error);
}

static void
place_kernel(GuestMachine *machine)
{
    GError *error = NULL;
    VmEntry entry;

    boot_kernel_place(machine->kernel, machine->memory, &entry, &error);
    check_error(error);
    vm_set_entry(machine->vm, &entry);
}

GuestMachine *
guest_machine_new(const GuestArgs *args)
{
    const GuestMemoryArgs memory_args = {.size_bytes = GUEST_MEMORY_BYTES};
    GuestMachine *machine = g_new0(GuestMachine, 1);
    GError *error = NULL;

    machine->memory = guest_memory_new(&memory_args, &error);
    check_error(error);
    guest_memory_set_shadow(machine->memory, SHADOW_START_GPA, FIRST_MIB_END - SHADOW_START_GPA,
                            SHADOW_READ_WRITE);
    machine->pio = address_space_new("pio", PIO_SPACE_SIZE);
    machine->mmio = address_space_new("mmio", UINT64_MAX);
    machine->bus =
        (PhysicalBus){.memory = machine->memory, .mmio = machine->mmio, .pio = machine->pio};
    machine->irqs = irq_lines_new();
    machine->reports = g_async_queue_new();
    machine->events = g_async_queue_new_full(event_free);
    machine->eois = g_async_queue_new();
    machine->regions = g_ptr_array_new();
    atomic_store(&machine->pic_vector, -1);
    make_vm(machine, args);
    guest_machine_add(machine, machine->pio, PORT_REPORT, 4, &report_ops, machine);
    return machine;
}

Region *
guest_machine_add(GuestMachine *machine, AddressSpace *space, uint64_t base, uint64_t length,
                  const RegionOps *ops, void *opaque)
{
    GError *error = NULL;
    const RegionArgs args = {
        .name = "test", .base = base, .length = length, .ops = ops, .opaque = opaque};
    Region *region = region_new(space, &args, &error);

    check_error(error);
    region_set_enabled(region, true);
    g_ptr_array_add(machine->regions, region);
    return region;
}

void
guest_machine_start(GuestMachine *machine)
{
    GError *error = NULL;

    place_kernel(machine);
    vm_start(machine->vm, false, &error);
    check_error(error);
}

void
guest_machine_reset(GuestMachine *machine)
{
    vm_pause(machine->vm);
    place_kernel(machine);
    vm_reset(machine->vm);
    vm_resume(machine->vm);
}

void
guest_machine_free(GuestMachine *machine)
{
    vm_free(machine->vm);
    boot_kernel_free(machine->kernel);
    for (unsigned i = 0; i < machine->regions->len; i++) {
        region_free(machine->regions->pdata[i]);
    }
    g_ptr_array_unref(machine->regions);
    irq_lines_free(machine->irqs);
    address_space_free(machine->mmio);
    address_space_free(machine->pio);
    guest_memory_free(machine->memory);
    g_async_queue_unref(machine->reports);
    g_async_queue_unref(machine->events);
    g_async_queue_unref(machine->eois);
    g_free(machine);
}

uint32_t
guest_machine_next_report(GuestMachine *machine)
{
    void *entry = g_async_queue_timeout_pop(machine->reports, REPORT_TIMEOUT_US);

    if (entry == NULL) {
        GuestEvent *event = g_async_queue_try_pop(machine->events);
        print_error("the guest reported nothing%s%s\n", event != NULL ? ": " : "",
                    event != NULL ? event->text : "");
        fail();
    }
    return (uint32_t)(GPOINTER_TO_SIZE(entry) - 1);
}

void
guest_machine_expect(GuestMachine *machine, uint32_t value)
{
    assert_int_equal(guest_machine_next_report(machine), value);
}

bool
guest_machine_has_report(GuestMachine *machine)
{
    return g_async_queue_length(machine->reports) > 0;
}

VmEvent
guest_machine_next_event(GuestMachine *machine, char **ret_text)
{
    GuestEvent *entry = g_async_queue_timeout_pop(machine->events, REPORT_TIMEOUT_US);

    if (entry == NULL) {
        print_error("no event came\n");
        fail();
        abort(); /* not reached; fail() does not say so */
    }
    VmEvent event = entry->event;
    *ret_text = g_steal_pointer(&entry->text);
    event_free(entry);
    return event;
}
