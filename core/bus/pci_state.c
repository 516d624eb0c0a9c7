/* SPDX-License-Identifier: Apache-2.0 */
/* The state of configuration space and messages, of the board's functions and of the devices'. */
#include "bus/pci_internal.h"

enum {
    TAG_CONFIG = 0x100, /* each + devfn, + 400h for each bridge before its bus */
    TAG_TABLE = 0x200,
    TAG_PENDING = 0x300,
    TAGS_OF_A_BUS = 0x400,
    MSIX_ENTRY_BYTES = 16,
};

static unsigned
tag_index(const PciFunction *function)
{
    return function->bus_index * TAGS_OF_A_BUS + function->devfn;
}

/* What no write can change is what the function is: another function's state is refused. Status
 * bits are the device's to set. */
static bool
check_config(const void *object)
{
    const PciFunction *function = object;

    for (unsigned at = 0; at < PCI_HEADER_SIZE; at++) {
        uint8_t fixed = (uint8_t) ~(function->write_mask[at] | function->write1clear[at]);
        bool is_status = at == PCI_REG_STATUS || at == PCI_REG_STATUS + 1;
        if (!is_status && ((function->config[at] ^ function->reset_value[at]) & fixed) != 0) {
            return false;
        }
    }
    return true;
}

static void
state_of_table(PciFunction *function, ChipState *state)
{
    PciMessages *messages = &function->messages;
    uint32_t bytes = messages->msix_count * MSIX_ENTRY_BYTES;
    const struct bp_state_field field = {
        .tag = 1, .flags = BP_FIELD_REQUIRED, .width = 1, .count = bytes};
    const ChipObject object = {TAG_TABLE, &field, 1, bytes, NULL};

    if (messages->msix_table != NULL) {
        chip_state_object(state, &object, tag_index(function), messages->msix_table);
    }
}

static void
state_of_pending(PciFunction *function, ChipState *state)
{
    PciMessages *messages = &function->messages;
    g_autofree uint8_t *pending = g_malloc0(messages->count + 1);
    const struct bp_state_field field = {
        .tag = 1, .flags = BP_FIELD_REQUIRED, .width = 1, .count = messages->count, .max = 1};
    const ChipObject object = {TAG_PENDING, &field, 1, messages->count, NULL};

    if (messages->count == 0) {
        return;
    }
    for (unsigned i = 0; i < messages->count; i++) {
        pending[i] = pci_vector_is_pending_locked(function, i);
    }
    chip_state_object(state, &object, tag_index(function), pending);
    for (unsigned i = 0; i < messages->count && state->phase == CHIP_STATE_RESTORE; i++) {
        messages->vectors[i].pending = pending[i] != 0;
    }
}

static void
function_state(PciFunction *function, ChipState *state)
{
    static const struct bp_state_field fields[] = {CHIP_ARRAY(1, PciFunction, config)};
    static const ChipObject object = CHIP_OBJECT(TAG_CONFIG, fields, PciFunction, check_config);
    PciBus *bus = function->bus;

    g_mutex_lock(&bus->update_lock);
    g_mutex_lock(&bus->lock);
    chip_state_object(state, &object, tag_index(function), function);
    g_mutex_unlock(&bus->lock);
    state_of_table(function, state);
    state_of_pending(function, state);
    if (chip_state_is_after(state)) {
        pci_config_follow_locked(function);
    }
    g_mutex_unlock(&bus->update_lock);
    if (chip_state_is_after(state)) {
        pci_notify_command(function);
    }
}

void
pci_bus_state(void *chip, ChipState *state)
{
    PciBus *bus = chip;

    for (unsigned place = 0; place < PCI_PLACES; place++) {
        if (bus->functions[place] != NULL) {
            function_state(bus->functions[place], state);
        }
    }
}
