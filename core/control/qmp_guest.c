/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's hardware looks like from outside: processors, memory, PCI. */
#include "control/qmp_private.h"

#include "base/fd.h"
#include "bus/guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAVE_PIECE (UINT64_C(1) << 20)

void
qmp_query_cpus_fast(QmpCall *call)
{
    JsonArray *list = json_array_new();
    unsigned i;

    for (i = 0; i < machine_cpus(call->machine); i++) {
        JsonObject *cpu = json_object_new(), *props = json_object_new();
        g_autofree char *path = g_strdup_printf("/machine/cpu[%u]", i);
        json_object_set_int_member(cpu, "cpu-index", i);
        json_object_set_string_member(cpu, "qom-path", path);
        json_object_set_int_member(cpu, "thread-id", machine_cpu_thread(call->machine, i));
        json_object_set_string_member(cpu, "target", "x86_64");
        json_object_set_int_member(props, "socket-id", i);
        json_object_set_int_member(props, "core-id", 0);
        json_object_set_int_member(props, "thread-id", 0);
        json_object_set_object_member(cpu, "props", props);
        json_array_add_object_element(list, cpu);
    }
    qmp_call_return_array(call, list);
}

void
qmp_inject_nmi(QmpCall *call)
{
    machine_inject_nmi(call->machine);
}

/* --- memory -------------------------------------------------------------------------------------
 */

static bool
write_all(int fd, const uint8_t *data, uint64_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, data, length);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        data += MAX(written, 0);
        length -= (uint64_t)MAX(written, 0);
    }
    return true;
}

static void
save(QmpCall *call, int fd, uint64_t gpa, uint64_t size)
{
    const GuestMemory *memory = machine_bus(call->machine)->memory;

    while (size > 0) {
        uint64_t piece = MIN(size, SAVE_PIECE - (gpa & (SAVE_PIECE - 1)));
        const uint8_t *data = guest_memory_translate(memory, gpa, piece);
        if (data == NULL) {
            qmp_call_fail(call, "GenericError",
                          "Invalid addr 0x%016" G_GINT64_MODIFIER "x: the guest has no RAM there",
                          gpa);
            return;
        }
        if (!write_all(fd, data, piece)) {
            qmp_call_fail(call, "GenericError", "Could not write: %s", g_strerror(errno));
            return;
        }
        gpa += piece;
        size -= piece;
    }
}

/* A file only: a pipe that nobody reads would hold up the machine. */
static int
open_regular(const char *path)
{
    autofd int fd =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    struct stat file;

    if (fd >= 0 && (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))) {
        errno = EINVAL;
        return -1;
    }
    return fd_steal(&fd);
}

void
qmp_pmemsave(QmpCall *call)
{
    const char *path = qmp_text(call, "filename", "");
    int64_t address = qmp_number(call, "val", 0);
    int64_t size = qmp_number(call, "size", 0);
    autofd int fd = -1;

    if (address < 0 || size < 0) {
        qmp_call_fail(call, "GenericError", "'val' and 'size' must not be negative");
        return;
    }
    fd = open_regular(path);
    if (fd < 0) {
        qmp_call_fail(call, "GenericError", "Could not open '%s': %s", path, g_strerror(errno));
        return;
    }
    save(call, fd, (uint64_t)address, (uint64_t)size);
}

void
qmp_screendump(QmpCall *call)
{
    qmp_call_fail(call, "GenericError", "There is no console to take a screendump from");
}

/* --- PCI ----------------------------------------------------------------------------------------
 */

static const char *
class_name(unsigned class)
{
    static const struct {
        unsigned class;
        const char *name;
    } names[] = {
        {0x0100, "SCSI controller"}, {0x0101, "ATA controller"}, {0x0200, "Ethernet controller"},
        {0x0300, "VGA controller"},  {0x0600, "Host bridge"},    {0x0601, "ISA bridge"},
        {0x0604, "PCI bridge"},      {0x0680, "Bridge"},         {0x0700, "Serial port"},
        {0x0780, "Serial bus"},      {0x0c03, "USB controller"}, {0x0c05, "SMBus"},
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(names); i++) {
        if (names[i].class == class) {
            return names[i].name;
        }
    }
    return "Device";
}

static void
add_region(JsonArray *regions, const PciFunction *function, unsigned bar)
{
    uint32_t value = pci_function_peek(function, (uint16_t)(0x10 + 4 * bar), 4);
    uint64_t address = pci_function_bar_address(function, bar);
    uint64_t size = pci_function_bar_size(function, bar);
    JsonObject *region;

    if (size == 0) {
        return;
    }
    region = json_object_new();
    json_object_set_int_member(region, "bar", bar);
    json_object_set_string_member(region, "type", (value & 1) != 0 ? "io" : "memory");
    json_object_set_int_member(region, "address", address == UINT64_MAX ? -1 : (gint64)address);
    json_object_set_int_member(region, "size", (gint64)size);
    if ((value & 1) == 0) {
        json_object_set_boolean_member(region, "prefetch", (value & 8) != 0);
        json_object_set_boolean_member(region, "mem_type_64", (value & 6) == 4);
    }
    json_array_add_object_element(regions, region);
}

static JsonObject *
function_id(const PciFunction *function)
{
    JsonObject *id = json_object_new();

    json_object_set_int_member(id, "vendor", pci_function_peek(function, 0, 2));
    json_object_set_int_member(id, "device", pci_function_peek(function, 2, 2));
    json_object_set_int_member(id, "subsystem-vendor", pci_function_peek(function, 0x2c, 2));
    json_object_set_int_member(id, "subsystem", pci_function_peek(function, 0x2e, 2));
    return id;
}

static void
add_function(PciFunction *function, void *opaque)
{
    JsonArray *list = opaque, *regions = json_array_new();
    JsonObject *object = json_object_new(), *class = json_object_new();
    unsigned devfn = pci_function_devfn(function);
    unsigned class_code = pci_function_peek(function, 0x0a, 2);
    unsigned pin = pci_function_peek(function, 0x3d, 1), bar;

    json_object_set_int_member(object, "bus", pci_function_bus_number(function));
    json_object_set_int_member(object, "slot", devfn >> 3);
    json_object_set_int_member(object, "function", devfn & 7);
    json_object_set_string_member(object, "qdev_id", pci_function_name(function));
    json_object_set_int_member(class, "class", class_code);
    json_object_set_string_member(class, "desc", class_name(class_code));
    json_object_set_object_member(object, "class_info", class);
    json_object_set_object_member(object, "id", function_id(function));
    json_object_set_int_member(object, "irq_pin", pin);
    if (pin != 0) {
        json_object_set_int_member(object, "irq", pci_function_peek(function, 0x3c, 1));
    }
    for (bar = 0; bar < PCI_BAR_COUNT; bar++) {
        add_region(regions, function, bar);
    }
    json_object_set_array_member(object, "regions", regions);
    json_array_add_object_element(list, object);
}

JsonArray *
qmp_pci_devices(Machine *machine)
{
    JsonArray *devices = json_array_new();

    pci_bus_foreach(machine_pci(machine), add_function, devices);
    return devices;
}

void
qmp_query_pci(QmpCall *call)
{
    JsonArray *buses = json_array_new();
    JsonObject *bus = json_object_new();

    json_object_set_int_member(bus, "bus", 0);
    json_object_set_array_member(bus, "devices", qmp_pci_devices(call->machine));
    json_array_add_object_element(buses, bus);
    qmp_call_return_array(call, buses);
}
