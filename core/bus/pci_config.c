/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration space of one function: declaration, guest reads and writes, capabilities, INTx.
 * Reference: PCI Local Bus 3.0, 6.1 to 6.7. */
#include "bus/pci_internal.h"

#include <errno.h>
#include <string.h>

#define CAPABILITY_HEADER 2u

static void
declare_identity(PciFunction *function, const PciFunctionArgs *args)
{
    uint8_t *value = function->reset_value;

    pci_put16(&value[PCI_REG_VENDOR], args->vendor_id);
    pci_put16(&value[PCI_REG_DEVICE], args->device_id);
    value[PCI_REG_REVISION] = args->revision;
    value[PCI_REG_PROG_IF] = args->prog_if;
    value[PCI_REG_SUB_CLASS] = args->sub_class;
    value[PCI_REG_BASE_CLASS] = args->base_class;
    value[PCI_REG_HEADER_TYPE] = args->header_type;
    pci_put16(&value[PCI_REG_SUBSYSTEM_VENDOR], args->subsystem_vendor_id);
    pci_put16(&value[PCI_REG_SUBSYSTEM], args->subsystem_id);
    value[PCI_REG_INTERRUPT_PIN] = args->interrupt_pin;
}

void
pci_config_init(PciFunction *function, const PciFunctionArgs *args)
{
    declare_identity(function, args);
    pci_put16(&function->write_mask[PCI_REG_COMMAND],
              PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                  PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
    pci_put16(&function->write1clear[PCI_REG_STATUS], PCI_STATUS_ERRORS);
    function->write_mask[PCI_REG_CACHE_LINE] = 0xFF;
    function->write_mask[PCI_REG_LATENCY] = 0xFF;
    function->write_mask[PCI_REG_INTERRUPT_LINE] = 0xFF;
    memset(function->use, PCI_BYTE_DECLARED, PCI_HEADER_SIZE);
    memcpy(function->config, function->reset_value, PCI_CONFIG_SIZE);
}

/* The INTx pin's level: what the device asks for, unless COMMAND or a message mode forbids it. */
void
pci_intx_update(PciFunction *function)
{
    PciBus *bus = function->bus;
    unsigned slot;
    unsigned pin = pci_function_board_pin(function, &slot);
    unsigned pirq = pci_slot_pirq(slot, pin);
    bool driven;

    if (pin == 0) {
        return;
    }
    g_mutex_lock(&bus->intx_lock);
    driven = atomic_load(&function->intx_level) &&
             (atomic_load(&function->command) & PCI_COMMAND_INTX_DISABLE) == 0 &&
             atomic_load(&function->messages.mode) == PCI_MESSAGES_OFF;
    if (driven != function->intx_driven) {
        function->intx_driven = driven;
        bus->pirq_count[pirq] += driven ? 1 : -1u;
        if (bus->pirq_count[pirq] == (driven ? 1 : 0)) {
            bus->args.set_pirq(bus->args.opaque, pirq, driven);
        }
    }
    g_mutex_unlock(&bus->intx_lock);
}

void
pci_function_set_intx(PciFunction *function, bool level)
{
    if (atomic_exchange(&function->intx_level, level) != level) {
        pci_intx_update(function);
    }
}

void
pci_config_follow_locked(PciFunction *function)
{
    atomic_store(&function->command, pci_get16(&function->config[PCI_REG_COMMAND]));
    pci_bars_update_locked(function);
    if (function->leads_to != 0) {
        pci_bridge_each(function, pci_bars_update_locked); /* its windows may have moved */
    }
    pci_messages_update_locked(function);
    pci_intx_update(function);
}

static bool
slot_has_more_functions_locked(const PciFunction *function)
{
    for (unsigned i = 1; i < 8; i++) {
        if (function->bus->functions[pci_place(function->bus_index, function->devfn + i)] != NULL) {
            return true;
        }
    }
    return false;
}

/* Bits that no register stores. Caller holds the bus's lock. */
static uint8_t
config_byte_locked(const PciFunction *function, unsigned offset)
{
    uint8_t byte = function->config[offset];

    if (offset == PCI_REG_STATUS && atomic_load(&function->intx_level)) {
        byte |= PCI_STATUS_INTERRUPT;
    }
    if (offset == PCI_REG_HEADER_TYPE && (function->devfn & 7) == 0 &&
        slot_has_more_functions_locked(function)) {
        byte |= PCI_HEADER_MULTIFUNCTION;
    }
    return byte;
}

static uint32_t
config_read_locked(const PciFunction *function, uint16_t offset, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        unsigned at = (unsigned)offset + i;
        uint32_t byte = at < PCI_CONFIG_SIZE ? config_byte_locked(function, at) : 0xFF;
        value |= byte << (8 * i);
    }
    return value;
}

static void
notify_reading(PciFunction *function, uint16_t offset, unsigned size)
{
    if (function->config_reading == NULL || offset < PCI_HEADER_SIZE) {
        return;
    }
    if (function->callback_lock != NULL) {
        g_mutex_lock(function->callback_lock);
    }
    function->config_reading(function->opaque, offset, size);
    if (function->callback_lock != NULL) {
        g_mutex_unlock(function->callback_lock);
    }
}

uint32_t
pci_config_read(PciFunction *function, uint16_t offset, unsigned size)
{
    PciBus *bus = function->bus;
    uint32_t value;

    notify_reading(function, offset, size);
    g_mutex_lock(&bus->update_lock);
    pci_messages_refresh_locked(function);
    g_mutex_lock(&bus->lock);
    value = config_read_locked(function, offset, size);
    g_mutex_unlock(&bus->lock);
    g_mutex_unlock(&bus->update_lock);
    return value;
}

static void
config_store_locked(PciFunction *function, uint16_t offset, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size && (unsigned)offset + i < PCI_CONFIG_SIZE; i++) {
        unsigned at = (unsigned)offset + i;
        uint8_t byte = (uint8_t)(value >> (8 * i));
        uint8_t mask = function->write_mask[at];
        uint8_t old = function->config[at];

        function->config[at] =
            (uint8_t)(((old & ~mask) | (byte & mask)) & ~(byte & function->write1clear[at]));
    }
}

/* The COMMAND bits a device is told of. The value is read again under the device's lock, so that of
 * two vCPUs' changes the last call reports the last state. */
static void
notify_command(PciFunction *function, unsigned before)
{
    const unsigned watched = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

    if (((before ^ atomic_load(&function->command)) & watched) != 0) {
        pci_notify_command(function);
    }
}

void
pci_notify_command(PciFunction *function)
{
    if (function->command_changed == NULL) {
        return;
    }
    if (function->callback_lock != NULL) {
        g_mutex_lock(function->callback_lock);
    }
    function->command_changed(function->opaque, (uint16_t)atomic_load(&function->command));
    if (function->callback_lock != NULL) {
        g_mutex_unlock(function->callback_lock);
    }
}

static void
notify_written(PciFunction *function, uint16_t offset, unsigned size, uint32_t value)
{
    if (function->config_written == NULL) {
        return;
    }
    if (function->callback_lock != NULL) {
        g_mutex_lock(function->callback_lock);
    }
    function->config_written(function->opaque, offset, size, value);
    if (function->callback_lock != NULL) {
        g_mutex_unlock(function->callback_lock);
    }
}

void
pci_config_write(PciFunction *function, uint16_t offset, unsigned size, uint32_t value)
{
    PciBus *bus = function->bus;
    unsigned before;

    g_mutex_lock(&bus->update_lock);
    before = atomic_load(&function->command);
    g_mutex_lock(&bus->lock);
    config_store_locked(function, offset, size, value);
    g_mutex_unlock(&bus->lock);
    pci_config_follow_locked(function);
    g_mutex_unlock(&bus->update_lock);
    notify_command(function, before);
    notify_written(function, offset, size, value);
}

void
pci_function_reset(PciFunction *function)
{
    PciBus *bus = function->bus;
    unsigned before;

    atomic_store(&function->intx_level, false);
    g_mutex_lock(&bus->update_lock);
    before = atomic_load(&function->command);
    g_mutex_lock(&bus->lock);
    memcpy(function->config, function->reset_value, PCI_CONFIG_SIZE);
    g_mutex_unlock(&bus->lock);
    pci_messages_reset_locked(function);
    pci_config_follow_locked(function);
    g_mutex_unlock(&bus->update_lock);
    notify_command(function, before);
}

uint16_t
pci_function_command(const PciFunction *function)
{
    return (uint16_t)atomic_load(&function->command);
}

static bool
config_range_is_declarable(const PciFunction *function, unsigned offset, unsigned length)
{
    if (length == 0 || offset < PCI_REG_COMMAND || offset + length > PCI_CONFIG_SIZE) {
        return false;
    }
    for (unsigned at = offset; at < offset + length; at++) {
        unsigned bar = (at - PCI_REG_BAR0) / 4;
        bool in_bar = at >= PCI_REG_BAR0 && bar < PCI_BAR_COUNT &&
                      (function->bars[bar].args.size != 0 ||
                       (bar > 0 && function->bars[bar - 1].args.is_64bit));
        bool in_rom = at >= PCI_REG_ROM && at < PCI_REG_ROM + 4 && function->rom != NULL;

        if (in_bar || in_rom || at == PCI_REG_CAPABILITIES ||
            function->use[at] == PCI_BYTE_CAPABILITY) {
            return false;
        }
    }
    return true;
}

int
pci_function_set_config(PciFunction *function, uint16_t offset, uint16_t length,
                        const uint8_t *value, const uint8_t *write_mask, const uint8_t *write1clear)
{
    PciBus *bus = function->bus;

    if (!config_range_is_declarable(function, offset, length)) {
        return -EINVAL;
    }
    g_mutex_lock(&bus->update_lock);
    g_mutex_lock(&bus->lock);
    for (unsigned i = 0; i < length; i++) {
        function->reset_value[offset + i] = value[i];
        function->config[offset + i] = value[i];
        function->write_mask[offset + i] = write_mask != NULL ? write_mask[i] : 0;
        function->write1clear[offset + i] = write1clear != NULL ? write1clear[i] : 0;
        function->use[offset + i] = PCI_BYTE_DECLARED;
    }
    g_mutex_unlock(&bus->lock);
    pci_config_follow_locked(function);
    g_mutex_unlock(&bus->update_lock);
    return 0;
}

void
pci_function_poke(PciFunction *function, uint16_t offset, unsigned size, uint32_t value)
{
    g_mutex_lock(&function->bus->lock);
    for (unsigned i = 0; i < size && (unsigned)offset + i < PCI_CONFIG_SIZE; i++) {
        function->config[(unsigned)offset + i] = (uint8_t)(value >> (8 * i));
    }
    g_mutex_unlock(&function->bus->lock);
}

uint32_t
pci_function_peek(const PciFunction *function, uint16_t offset, unsigned size)
{
    uint32_t value;

    g_mutex_lock(&function->bus->lock);
    value = config_read_locked(function, offset, size);
    g_mutex_unlock(&function->bus->lock);
    return value;
}

static bool
config_is_free(const PciFunction *function, unsigned offset, unsigned length)
{
    if (offset < PCI_HEADER_SIZE || offset % 4 != 0 || offset + length > PCI_CONFIG_SIZE) {
        return false;
    }
    for (unsigned at = offset; at < offset + length; at++) {
        if (function->use[at] != PCI_BYTE_FREE) {
            return false;
        }
    }
    return true;
}

/* The new capability goes to the end of the list, so the guest sees the order of declaration. */
static void
capability_link_locked(PciFunction *function, uint8_t id, unsigned at)
{
    unsigned link = function->last_capability != 0 ? function->last_capability + 1u
                                                   : (unsigned)PCI_REG_CAPABILITIES;

    function->reset_value[at] = id;
    function->reset_value[link] = (uint8_t)at;
    function->config[link] = (uint8_t)at;
    function->reset_value[PCI_REG_STATUS] |= PCI_STATUS_CAPABILITIES;
    function->config[PCI_REG_STATUS] |= PCI_STATUS_CAPABILITIES;
    function->last_capability = (uint8_t)at;
}

int
pci_function_add_capability(PciFunction *function, uint8_t id, uint8_t offset, uint8_t length,
                            const uint8_t *data, const uint8_t *write_mask)
{
    unsigned total = CAPABILITY_HEADER + length;
    unsigned at = offset != 0 ? offset : PCI_HEADER_SIZE;

    while (offset == 0 && at < PCI_CONFIG_SIZE && !config_is_free(function, at, total)) {
        at += 4;
    }
    if (!config_is_free(function, at, total)) {
        return offset != 0 ? -EINVAL : -ENOSPC;
    }
    g_mutex_lock(&function->bus->lock);
    memset(&function->use[at], PCI_BYTE_CAPABILITY, total);
    if (length != 0) {
        memcpy(&function->reset_value[at + CAPABILITY_HEADER], data, length);
        if (write_mask != NULL) {
            memcpy(&function->write_mask[at + CAPABILITY_HEADER], write_mask, length);
        }
    }
    capability_link_locked(function, id, at);
    memcpy(&function->config[at], &function->reset_value[at], total);
    g_mutex_unlock(&function->bus->lock);
    return (int)at;
}
