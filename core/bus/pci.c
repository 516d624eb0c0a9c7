/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI bus: functions come and go, configuration accesses find them.
 * Reference: PCI Local Bus 3.0, 3.2.2.3 and 6.2. */
#include "bus/pci.h"

#include "base/error.h"
#include "bus/pci_internal.h"

#include <string.h>

PciBus *
pci_bus_new(const PciBusArgs *args)
{
    PciBus *bus = g_new0(PciBus, 1);

    bus->args = *args;
    g_mutex_init(&bus->update_lock);
    g_mutex_init(&bus->lock);
    g_mutex_init(&bus->intx_lock);
    g_cond_init(&bus->idle);
    return bus;
}

void
pci_bus_free(PciBus *bus)
{
    if (bus == NULL) {
        return;
    }
    for (unsigned place = PCI_PLACES; place-- > 0;) { /* bridges after what is behind them */
        pci_function_free(bus->functions[place]);
    }
    g_cond_clear(&bus->idle);
    g_mutex_clear(&bus->intx_lock);
    g_mutex_clear(&bus->lock);
    g_mutex_clear(&bus->update_lock);
    g_free(bus);
}

static const PciFunction *
slot_occupant(const PciBus *bus, unsigned bus_index, unsigned slot)
{
    for (unsigned i = 0; i < 8; i++) {
        const PciFunction *function = bus->functions[pci_place(bus_index, PCI_DEVFN(slot, i))];
        if (function != NULL) {
            return function;
        }
    }
    return NULL;
}

static char *
describe_slots(const PciBus *bus, unsigned bus_index)
{
    GString *text = g_string_new(NULL);

    for (unsigned slot = 0; slot < PCI_BUS_DEVFNS / 8; slot++) {
        const PciFunction *occupant = slot_occupant(bus, bus_index, slot);
        if (occupant != NULL) {
            g_string_append_printf(text, "%s%u %s", text->len != 0 ? ", " : "", slot,
                                   occupant->name);
        }
    }
    return g_string_free(text, FALSE);
}

/* Only the control thread adds and removes functions, so it may look without the lock. */
static bool
choose_devfn(const PciBus *bus, const PciFunctionArgs *args, unsigned *devfn, GError **error)
{
    g_autofree char *slots = NULL;

    if (args->devfn != PCI_DEVFN_AUTO) {
        if (args->devfn >= PCI_BUS_DEVFNS) {
            g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                        "pci function '%s': there is no slot %u; slots are 0 to 31", args->name,
                        args->devfn >> 3);
            return false;
        }
        if (bus->functions[pci_place(args->bus, args->devfn)] != NULL) {
            g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                        "pci function '%s': %02x.%u is taken by '%s'", args->name, args->devfn >> 3,
                        args->devfn & 7, bus->functions[pci_place(args->bus, args->devfn)]->name);
            return false;
        }
        *devfn = args->devfn;
        return true;
    }
    for (unsigned slot = 0; slot < PCI_BUS_DEVFNS / 8; slot++) {
        if (slot_occupant(bus, args->bus, slot) == NULL) {
            *devfn = PCI_DEVFN(slot, 0);
            return true;
        }
    }
    slots = describe_slots(bus, args->bus);
    g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                "pci function '%s': no slot is free (%s); give functions 1 to 7 of a slot to some",
                args->name, slots);
    return false;
}

PciFunction *
pci_function_new(PciBus *bus, const PciFunctionArgs *args, GError **error)
{
    PciFunction *function;
    unsigned devfn;

    if (args->interrupt_pin > 4) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "pci function '%s': interrupt pin %u; 1 to 4 are INTA to INTD", args->name,
                    args->interrupt_pin);
        return NULL;
    }
    if (args->bus > bus->bridge_count) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "pci function '%s': there is no bus %u, but %u bridges", args->name, args->bus,
                    bus->bridge_count);
        return NULL;
    }
    if (!pci_bars_check(args, error) || !choose_devfn(bus, args, &devfn, error)) {
        return NULL;
    }
    function = g_new0(PciFunction, 1);
    function->bus = bus;
    function->name = g_strdup(args->name);
    function->bus_index = args->bus;
    function->devfn = devfn;
    function->pin = args->interrupt_pin;
    function->config_written = args->config_written;
    function->config_reading = args->config_reading;
    function->command_changed = args->command_changed;
    function->opaque = args->opaque;
    function->callback_lock = args->lock;
    if (!pci_bars_init(function, args, error)) {
        pci_function_free(function);
        return NULL;
    }
    pci_config_init(function, args);
    g_mutex_lock(&bus->lock);
    bus->functions[pci_place(args->bus, devfn)] = function;
    g_mutex_unlock(&bus->lock);
    return function;
}

/* From here on no guest access finds the function, and none is inside. */
static void
function_unlist(PciFunction *function)
{
    PciBus *bus = function->bus;
    unsigned place = pci_place(function->bus_index, function->devfn);

    g_mutex_lock(&bus->lock);
    if (bus->functions[place] == function) {
        bus->functions[place] = NULL;
    }
    while (function->users != 0) {
        g_cond_wait(&bus->idle, &bus->lock);
    }
    g_mutex_unlock(&bus->lock);
}

void
pci_function_hide(PciFunction *function)
{
    function_unlist(function);
    pci_function_reset(function);
}

void
pci_function_free(PciFunction *function)
{
    if (function == NULL) {
        return;
    }
    function_unlist(function);
    pci_function_set_intx(function, false);
    pci_bars_done(function);
    pci_messages_done(function);
    g_free(function->name);
    g_free(function);
}

unsigned
pci_function_devfn(const PciFunction *function)
{
    return function->devfn;
}

unsigned
pci_function_bus(const PciFunction *function)
{
    return function->bus_index;
}

unsigned
pci_function_leads_to(const PciFunction *function)
{
    return function->leads_to;
}

const char *
pci_function_name(const PciFunction *function)
{
    return function->name;
}

PciFunction *
pci_function_enter(PciBus *bus, unsigned place)
{
    PciFunction *function;

    g_mutex_lock(&bus->lock);
    function = bus->functions[place];
    if (function != NULL) {
        function->users++;
    }
    g_mutex_unlock(&bus->lock);
    return function;
}

void
pci_function_leave(PciFunction *function)
{
    PciBus *bus = function->bus;

    g_mutex_lock(&bus->lock);
    if (--function->users == 0) {
        g_cond_broadcast(&bus->idle);
    }
    g_mutex_unlock(&bus->lock);
}

/* A bridge turns accesses to the number of the bus behind it into ones that select a device there;
 * there is one level of bridges, so every other number is nobody's. */
static PciFunction *
function_with_number(PciBus *bus, unsigned bus_number, unsigned devfn)
{
    unsigned index = 0;

    if (bus_number != 0) {
        g_mutex_lock(&bus->lock);
        index = pci_bus_with_number_locked(bus, bus_number);
        g_mutex_unlock(&bus->lock);
    }
    return index != PCI_NO_BUS && devfn < PCI_BUS_DEVFNS
               ? pci_function_enter(bus, pci_place(index, devfn))
               : NULL;
}

uint32_t
pci_bus_config_read(PciBus *bus, unsigned bus_number, unsigned devfn, uint16_t offset,
                    unsigned size)
{
    PciFunction *function = function_with_number(bus, bus_number, devfn);
    uint32_t value;

    if (function == NULL) {
        return UINT32_MAX >> (32 - 8 * size); /* master abort: 3.2.2.3.4 */
    }
    value = pci_config_read(function, offset, size);
    pci_function_leave(function);
    return value;
}

void
pci_bus_config_write(PciBus *bus, unsigned bus_number, unsigned devfn, uint16_t offset,
                     unsigned size, uint32_t value)
{
    PciFunction *function = function_with_number(bus, bus_number, devfn);

    if (function != NULL) {
        pci_config_write(function, offset, size, value);
        pci_function_leave(function);
    }
}

void
pci_bus_reset(PciBus *bus)
{
    for (unsigned place = 0; place < PCI_PLACES; place++) {
        if (bus->functions[place] != NULL) {
            pci_function_reset(bus->functions[place]);
        }
    }
}

void
pci_bus_foreach(PciBus *bus, void (*each)(PciFunction *function, void *opaque), void *opaque)
{
    for (unsigned place = 0; place < PCI_PLACES; place++) {
        if (bus->functions[place] != NULL) {
            each(bus->functions[place], opaque);
        }
    }
}
