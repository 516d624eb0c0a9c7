/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a machine that are no plugin: memory, address spaces, loops, clock, VM, board. */
#include "machine/machine_private.h"

#include "base/error.h"
#include "base/log.h"

#include <string.h>
#include <time.h>

#define HOLE_START UINT64_C(0xc0000000)
#define NS_PER_US  UINT64_C(1000)
#define MMIO_LIMIT (UINT64_C(1) << 52)

static bool
make_memory(Machine *machine, GError **error)
{
    const Node *node = machine->plan->machine;
    const char *hugepages = node_text(node_child(node, "hugepages"), "none");
    GuestMemoryArgs args = {
        .size_bytes = node_u64(node_child(node, "memory"), 0),
        .hole_start = HOLE_START,
        .shared = node_bool(node_child(node, "shared_memory"), false),
        .prealloc = node_bool(node_child(node, "prealloc"), false),
    };

    if (strcmp(hugepages, "2M") == 0) {
        args.hugepage_bytes = UINT64_C(2) << 20;
    } else if (strcmp(hugepages, "1G") == 0) {
        args.hugepage_bytes = UINT64_C(1) << 30;
    }
    machine->services.bus.memory = guest_memory_new(&args, error);
    return machine->services.bus.memory != NULL &&
           machine_load_firmware(machine, machine->services.bus.memory, error);
}

static void
make_ram_view(Services *services)
{
    unsigned count, i;
    const RamRange *ranges = guest_memory_ranges(services->bus.memory, &count);

    services->ram_ranges = g_new0(struct bp_ram_range, count);
    for (i = 0; i < count; i++) {
        services->ram_ranges[i] = (struct bp_ram_range){
            .gpa = ranges[i].gpa,
            .length = ranges[i].length,
            .hva = ranges[i].hva,
        };
    }
    services->ram_view = (struct bp_ram_view){
        .size = sizeof(services->ram_view),
        .generation = 1,
        .range_count = count,
        .ranges = services->ram_ranges,
    };
}

static void
free_loop(void *loop)
{
    loop_free(loop);
}

static bool
make_loops(Machine *machine, GError **error)
{
    Services *services = &machine->services;
    const Node *node = machine->plan->machine;
    const char *name = node_text(node_child(node, "loop_engine"), "auto");
    unsigned count = (unsigned)node_u64(node_child(node, "loops"), 1);
    uint64_t poll_us = node_u64(node_child(node, "loop_poll_us"), 0);
    LoopEngine engine = LOOP_ENGINE_AUTO;
    unsigned i;

    if (strcmp(name, "io_uring") == 0) {
        engine = LOOP_ENGINE_URING;
    } else if (strcmp(name, "epoll") == 0) {
        engine = LOOP_ENGINE_EPOLL;
    }
    services->clock = virtual_clock_new(machine->args.test);
    services->loops = g_ptr_array_new_with_free_func(free_loop);
    for (i = 0; i < count; i++) {
        g_autofree char *loop_name = g_strdup_printf("loop%u", i);
        Loop *loop = loop_new(loop_name, engine, services->clock, error);
        if (loop == NULL) {
            return false;
        }
        g_ptr_array_add(services->loops, loop);
        loop_set_poll_limit(loop, poll_us * NS_PER_US);
        if (machine->args.test) {
            loop_attach(loop, machine->context);
        } else if (!loop_start_thread(loop, error)) {
            return false;
        }
    }
    return true;
}

static void
vm_event(void *opaque, VmEvent event, const char *text)
{
    Machine *machine = opaque;

    switch (event) {
    case VM_EVENT_SHUTDOWN:
        machine_request(machine, MACHINE_REQUEST_RESET, "cpu", "triple fault");
        break;
    case VM_EVENT_SYSTEM_RESET:
        machine_request(machine, MACHINE_REQUEST_RESET, "cpu", "system reset event");
        break;
    case VM_EVENT_SYSTEM_SHUTDOWN:
        machine_request(machine, MACHINE_REQUEST_POWEROFF, "cpu", "system shutdown event");
        break;
    case VM_EVENT_INTERNAL_ERROR:
        machine_request(machine, MACHINE_REQUEST_FAIL, "kvm", text);
        break;
    }
}

static int
vm_pic_ack(void *opaque)
{
    Machine *machine = opaque;

    return board_pic_ack(machine->services.board);
}

static void
vm_ioapic_eoi(void *opaque, uint8_t vector)
{
    Machine *machine = opaque;

    board_ioapic_eoi(machine->services.board, vector);
}

static bool
wants_split(const Machine *machine)
{
    return strcmp(node_text(node_child(machine->plan->machine, "irqchip"), "kernel"), "split") == 0;
}

static bool
make_vm(Machine *machine, GError **error)
{
    const Node *node = machine->plan->machine;
    VmArgs args = {
        .cpus = (unsigned)node_u64(node_child(node, "cpus"), 1),
        .cpu = node_text(node_child(node, "cpu"), "host"),
        .irqchip = wants_split(machine) ? VM_IRQCHIP_SPLIT : VM_IRQCHIP_KERNEL,
        .bus = &machine->services.bus,
        .irqs = machine->services.irqs,
        .event = vm_event,
        .opaque = machine,
        .pic_ack = vm_pic_ack,
        .ioapic_eoi = vm_ioapic_eoi,
        .irqchip_opaque = machine,
    };

    machine->services.vm = vm_new(&args, error);
    return machine->services.vm != NULL;
}

static void
board_request(void *opaque, BoardRequest request)
{
    Machine *machine = opaque;

    switch (request) {
    case BOARD_REQUEST_RESET:
        machine_request(machine, MACHINE_REQUEST_RESET, "guest", "reset");
        break;
    case BOARD_REQUEST_POWEROFF:
        machine_request(machine, MACHINE_REQUEST_POWEROFF, "guest", "power off (S5)");
        break;
    case BOARD_REQUEST_SUSPEND:
        machine_request(machine, MACHINE_REQUEST_SUSPEND, "guest", "suspend (S3)");
        break;
    }
}

static void
board_ejected(void *opaque, unsigned slot)
{
    machine_slot_ejected(opaque, slot);
}

static void
board_extint(void *opaque, bool level)
{
    Machine *machine = opaque;

    if (machine->services.vm != NULL) {
        vm_set_extint(machine->services.vm, level);
    }
}

/* rtc.base: "utc", "localtime", or a date and time that the clock starts from. */
static void
set_rtc(const Machine *machine, BoardArgs *args)
{
    const Node *rtc = node_child(machine->plan->machine, "rtc");
    const char *base = node_text(node_child(rtc, "base"), "utc");
    const char *clock = node_text(node_child(rtc, "clock"), "host");
    g_autoptr(GDateTime) fixed = NULL;
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();

    args->rtc_base_s = (int64_t)time(NULL);
    args->rtc_clock = CLOCK_SOURCE_WALL;
    if (machine->args.test || strcmp(clock, "vm") == 0) {
        args->rtc_clock = CLOCK_SOURCE_VIRTUAL;
    }
    if (strcmp(base, "localtime") == 0) {
        time_t now = time(NULL);
        struct tm local;
        args->rtc_offset_s = localtime_r(&now, &local) != NULL ? (int32_t)local.tm_gmtoff : 0;
    } else if (strcmp(base, "utc") != 0) {
        fixed = g_date_time_new_from_iso8601(base, utc);
        if (fixed != NULL) {
            args->rtc_base_s = g_date_time_to_unix(fixed);
            args->rtc_clock = CLOCK_SOURCE_VIRTUAL;
        }
    }
}

static const char *
text_or_null(const Node *group, const char *name)
{
    const char *text = node_text(node_child(group, name), "");

    return text[0] != '\0' ? text : NULL;
}

static char **
string_list(const Node *list)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    unsigned i;

    for (i = 0; i < node_count(list); i++) {
        g_strv_builder_add(builder, node_text(node_at(list, i), ""));
    }
    return g_strv_builder_end(builder);
}

static bool
make_board(Machine *machine, GError **error)
{
    Services *services = &machine->services;
    const Node *node = machine->plan->machine;
    const Node *smbios = node_child(node, "smbios");
    g_auto(GStrv) oem = string_list(node_child(smbios, "oem_strings"));
    BoardArgs args = {
        .bus = &services->bus,
        .irqs = services->irqs,
        .msi = services->vm != NULL ? vm_msi(services->vm) : NULL,
        .loop = services_loop(services, 0),
        .clock = services->clock,
        .cpus = (unsigned)node_u64(node_child(node, "cpus"), 1),
        .own_irqchip = machine->args.test || wants_split(machine),
        .acpi = node_bool(node_child(node, "acpi"), true),
        .hotplug = node_bool(node_child(node, "hotplug"), true),
        .pci_bridges = machine->plan->pci_bridges,
        .pci_bridge_count = machine->plan->pci_bridge_count,
        .identity =
            {
                .uuid = text_or_null(node, "uuid"),
                .name = text_or_null(node, "name"),
                .smbios_manufacturer = text_or_null(smbios, "manufacturer"),
                .smbios_product = text_or_null(smbios, "product"),
                .smbios_version = text_or_null(smbios, "version"),
                .smbios_serial = text_or_null(smbios, "serial"),
                .smbios_sku = text_or_null(smbios, "sku"),
                .smbios_family = text_or_null(smbios, "family"),
                .smbios_oem_strings = (const char *const *)oem,
            },
        .request = board_request,
        .ejected = board_ejected,
        .extint = board_extint,
        .opaque = machine,
    };

    set_rtc(machine, &args);
    services->has_eoi = args.own_irqchip;
    services->board = board_new(&args, error);
    return services->board != NULL;
}

bool
machine_make_parts(Machine *machine, GError **error)
{
    Services *services = &machine->services;

    if (!machine->args.test && !vm_available(error)) {
        return false;
    }
    if (!make_memory(machine, error)) {
        return false;
    }
    make_ram_view(services);
    services->bus.pio = address_space_new("io", PIO_SPACE_SIZE);
    services->bus.mmio = address_space_new("memory", MMIO_LIMIT);
    services->irqs = irq_lines_new();
    return make_loops(machine, error) && (machine->args.test || make_vm(machine, error)) &&
           make_board(machine, error);
}

static void
free_bus(PhysicalBus *bus)
{
    g_clear_pointer(&bus->pio, address_space_free);
    g_clear_pointer(&bus->mmio, address_space_free);
    g_clear_pointer(&bus->memory, guest_memory_free);
}

void
machine_free_parts(Machine *machine)
{
    Services *services = &machine->services;

    g_clear_pointer(&services->board, board_free);
    g_clear_pointer(&services->vm, vm_free);
    if (services->loops != NULL) {
        g_ptr_array_free(services->loops, TRUE);
    }
    g_clear_pointer(&services->clock, virtual_clock_free);
    g_clear_pointer(&services->irqs, irq_lines_free);
    free_bus(&services->bus);
    g_clear_pointer(&services->ram_ranges, g_free);
}
