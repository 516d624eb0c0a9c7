/* SPDX-License-Identifier: Apache-2.0 */
/* MSI and MSI-X: capabilities, table, pending bits; each vector's message goes to the MsiController
 * when it changes. Reference: PCI Local Bus 3.0, 6.8.
 *
 * A vector fired while masked is remembered by the controller; pending() collects that mark, so
 * nothing is lost between a mask and an unmask on another vCPU. Bus mastering does not gate
 * messages: drivers of old guests forget it, and hypervisors let them. */
#include "base/error.h"
#include "bus/pci_internal.h"

#include <errno.h>
#include <string.h>

#define CAP_ID_MSI  0x05
#define CAP_ID_MSIX 0x11

/* Offsets within the MSI capability, 64-bit with per-vector masking (6.8.1). */
enum {
    MSI_CONTROL = 2,
    MSI_ADDRESS = 4,
    MSI_DATA = 12,
    MSI_MASK = 16,
    MSI_PENDING = 20,
    MSI_CAP_SIZE = 24,
};
#define MSI_ENABLE         0x0001u
#define MSI_64BIT          0x0080u
#define MSI_MASKABLE       0x0100u
#define MSI_MULTIPLE_SHIFT 4 /* Multiple Message Enable */
#define MSI_VECTORS_MAX    32u

enum {
    MSIX_CONTROL = 2,
    MSIX_TABLE = 4,
    MSIX_PBA = 8,
    MSIX_CAP_SIZE = 12,
};
#define MSIX_MASK_ALL    0x4000u
#define MSIX_ENABLE      0x8000u
#define MSIX_VECTORS_MAX 2048u
#define MSIX_ENTRY_SIZE  16u
#define MSIX_ENTRY_MASK  0x1u

/* Table and PBA lie on top of whatever else the device mapped into the same BAR. */
#define MSIX_REGION_PRIORITY 1

static const MsiOps *
controller_ops(const PciFunction *function)
{
    return function->bus->args.msi->ops;
}

static void *
controller_opaque(const PciFunction *function)
{
    return function->bus->args.msi->opaque;
}

/* What a vector is to send. enabled false: masked, or the guest does not use it. */
typedef struct {
    bool enabled;
    uint64_t address;
    uint32_t data;
} Message;

static Message
msix_message(const PciFunction *function, unsigned vector)
{
    const PciMessages *messages = &function->messages;
    const uint8_t *entry = &messages->msix_table[(size_t)vector * MSIX_ENTRY_SIZE];
    unsigned control = pci_get16(&function->config[messages->msix_cap + MSIX_CONTROL]);

    return (Message){
        .enabled = (control & MSIX_MASK_ALL) == 0 && (entry[12] & MSIX_ENTRY_MASK) == 0,
        .address = pci_get32(entry) | (uint64_t)pci_get32(entry + 4) << 32,
        .data = pci_get32(entry + 8),
    };
}

/* Vectors the guest granted: a power of two, at most what the function has. */
static unsigned
msi_granted(const PciFunction *function)
{
    const PciMessages *messages = &function->messages;
    unsigned control = pci_get16(&function->config[messages->msi_cap + MSI_CONTROL]);
    unsigned granted = 1u << (control >> MSI_MULTIPLE_SHIFT & 7);

    return MIN(granted, messages->msi_count);
}

static Message
msi_message(const PciFunction *function, unsigned vector)
{
    const uint8_t *cap = &function->config[function->messages.msi_cap];
    unsigned number = vector & (msi_granted(function) - 1);

    return (Message){
        .enabled = (pci_get32(cap + MSI_MASK) >> number & 1) == 0,
        .address = pci_get32(cap + MSI_ADDRESS) | (uint64_t)pci_get32(cap + MSI_ADDRESS + 4) << 32,
        .data = (pci_get16(cap + MSI_DATA) & ~(msi_granted(function) - 1)) | number,
    };
}

static Message
vector_message(const PciFunction *function, unsigned vector)
{
    const PciMessages *messages = &function->messages;
    PciMessageMode mode = atomic_load(&messages->mode);

    if (mode == PCI_MESSAGES_MSIX && vector < messages->msix_count) {
        return msix_message(function, vector);
    }
    if (mode == PCI_MESSAGES_MSI && vector < messages->msi_count) {
        return msi_message(function, vector);
    }
    return (Message){.enabled = false};
}

static bool
vector_collect_pending(PciFunction *function, PciVector *vector)
{
    if (!vector->enabled && controller_ops(function)->vector_take_pending(
                                controller_opaque(function), vector->vector)) {
        vector->pending = true;
    }
    return vector->pending;
}

bool
pci_vector_is_pending_locked(PciFunction *function, unsigned vector)
{
    return vector_collect_pending(function, &function->messages.vectors[vector]);
}

static void
vector_update_locked(PciFunction *function, unsigned index)
{
    const MsiOps *ops = controller_ops(function);
    void *opaque = controller_opaque(function);
    PciVector *vector = &function->messages.vectors[index];
    Message message = vector_message(function, index);
    bool unmasked = message.enabled && !vector->enabled;

    if (message.enabled == vector->enabled && message.address == vector->address &&
        message.data == vector->data) {
        return;
    }
    vector->enabled = message.enabled;
    vector->address = message.address;
    vector->data = message.data;
    ops->vector_set(opaque, vector->vector, message.enabled, message.address, message.data);
    /* The controller's mark is asked for after enabling: what is fired from here on goes out. */
    if (unmasked && (ops->vector_take_pending(opaque, vector->vector) || vector->pending)) {
        vector->pending = false;
        ops->vector_fire(opaque, vector->vector);
    }
}

static PciMessageMode
messages_mode(const PciFunction *function)
{
    const PciMessages *messages = &function->messages;

    if (messages->msix_cap != 0 &&
        (pci_get16(&function->config[messages->msix_cap + MSIX_CONTROL]) & MSIX_ENABLE) != 0) {
        return PCI_MESSAGES_MSIX;
    }
    if (messages->msi_cap != 0 &&
        (pci_get16(&function->config[messages->msi_cap + MSI_CONTROL]) & MSI_ENABLE) != 0) {
        return PCI_MESSAGES_MSI;
    }
    return PCI_MESSAGES_OFF;
}

void
pci_messages_update_locked(PciFunction *function)
{
    PciMessages *messages = &function->messages;

    if (messages->count == 0) {
        return;
    }
    atomic_store(&messages->mode, messages_mode(function));
    for (unsigned i = 0; i < messages->count; i++) {
        vector_update_locked(function, i);
    }
}

static uint32_t
msi_pending_bits(PciFunction *function)
{
    PciMessages *messages = &function->messages;
    uint32_t bits = 0;

    for (unsigned i = 0; i < messages->msi_count; i++) {
        if (vector_collect_pending(function, &messages->vectors[i])) {
            bits |= 1u << (i & (msi_granted(function) - 1));
        }
    }
    return bits;
}

void
pci_messages_refresh_locked(PciFunction *function)
{
    PciMessages *messages = &function->messages;
    uint32_t bits = 0;

    if (messages->msi_cap == 0) {
        return;
    }
    if (atomic_load(&messages->mode) == PCI_MESSAGES_MSI) {
        bits = msi_pending_bits(function);
    }
    pci_function_poke(function, (uint16_t)(messages->msi_cap + MSI_PENDING), 4, bits);
}

static void
msix_table_clear(PciMessages *messages)
{
    memset(messages->msix_table, 0, (size_t)messages->msix_count * MSIX_ENTRY_SIZE);
    for (unsigned i = 0; i < messages->msix_count; i++) {
        messages->msix_table[i * MSIX_ENTRY_SIZE + 12] = MSIX_ENTRY_MASK;
    }
}

/* The registers are already back at their reset values: everything is off. */
void
pci_messages_reset_locked(PciFunction *function)
{
    PciMessages *messages = &function->messages;

    if (messages->msix_table != NULL) {
        msix_table_clear(messages);
    }
    pci_messages_update_locked(function);
    for (unsigned i = 0; i < messages->count; i++) {
        (void)vector_collect_pending(function, &messages->vectors[i]);
        messages->vectors[i].pending = false;
    }
}

static uint64_t
table_read(void *opaque, uint64_t offset, unsigned size)
{
    PciFunction *function = opaque;
    uint64_t value = 0;

    g_mutex_lock(&function->bus->update_lock);
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)function->messages.msix_table[offset + i] << (8 * i);
    }
    g_mutex_unlock(&function->bus->update_lock);
    return value;
}

/* The two low address bits and all of Vector Control but the
 * mask bit are read-only zero (6.8.2). */
static uint8_t
table_write_mask(uint64_t offset)
{
    switch (offset % MSIX_ENTRY_SIZE) {
    case 0:
        return 0xFC;
    case 12:
        return MSIX_ENTRY_MASK;
    case 13:
    case 14:
    case 15:
        return 0;
    default:
        return 0xFF;
    }
}

static void
table_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    PciFunction *function = opaque;
    unsigned first = (unsigned)(offset / MSIX_ENTRY_SIZE);
    unsigned last = (unsigned)((offset + size - 1) / MSIX_ENTRY_SIZE);

    g_mutex_lock(&function->bus->update_lock);
    for (unsigned i = 0; i < size; i++) {
        function->messages.msix_table[offset + i] =
            (uint8_t)(value >> (8 * i)) & table_write_mask(offset + i);
    }
    for (unsigned vector = first; vector <= last; vector++) {
        vector_update_locked(function, vector);
    }
    g_mutex_unlock(&function->bus->update_lock);
}

static uint64_t
pba_read(void *opaque, uint64_t offset, unsigned size)
{
    PciFunction *function = opaque;
    PciMessages *messages = &function->messages;
    uint64_t first = offset * 8;
    uint64_t value = 0;

    g_mutex_lock(&function->bus->update_lock);
    for (unsigned bit = 0; bit < size * 8 && first + bit < messages->msix_count; bit++) {
        if (atomic_load(&messages->mode) == PCI_MESSAGES_MSIX &&
            vector_collect_pending(function, &messages->vectors[first + bit])) {
            value |= UINT64_C(1) << bit;
        }
    }
    g_mutex_unlock(&function->bus->update_lock);
    return value;
}

static void
pba_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    /* 6.8.2.10: software should never write; writes change nothing. */
}

static const RegionOps table_ops = {
    .read = table_read,
    .write = table_write,
    .widths = 1 | 2 | 4 | 8,
};

static const RegionOps pba_ops = {
    .read = pba_read,
    .write = pba_write,
    .widths = 1 | 2 | 4 | 8,
};

/* Grows the array of vectors. -ENOSPC: the controller has no more. */
static int
vectors_reserve(PciFunction *function, unsigned count)
{
    PciMessages *messages = &function->messages;

    if (count <= messages->count) {
        return 0;
    }
    messages->vectors = g_renew(PciVector, messages->vectors, count);
    while (messages->count < count) {
        g_autoptr(GError) error = NULL;
        PciVector vector = {
            .vector = controller_ops(function)->vector_new(controller_opaque(function), &error),
        };
        if (vector.vector == NULL) {
            return -ENOSPC;
        }
        messages->vectors[messages->count++] = vector;
    }
    return 0;
}

static uint64_t
pba_length(unsigned vectors)
{
    return (uint64_t)(vectors + 63) / 64 * 8;
}

static bool
msix_args_valid(const PciFunction *function, unsigned vectors, unsigned bar, uint64_t table_offset,
                uint64_t pba_offset)
{
    uint64_t table_length = (uint64_t)vectors * MSIX_ENTRY_SIZE;
    uint64_t size = bar < PCI_BAR_COUNT ? function->bars[bar].args.size : 0;

    return vectors >= 1 && vectors <= MSIX_VECTORS_MAX && size != 0 &&
           !function->bars[bar].args.is_io && table_offset % 8 == 0 && pba_offset % 8 == 0 &&
           table_offset + table_length <= size && pba_offset + pba_length(vectors) <= size &&
           (table_offset + table_length <= pba_offset ||
            pba_offset + pba_length(vectors) <= table_offset) &&
           function->messages.msix_cap == 0;
}

static Region *
msix_map(PciFunction *function, uint64_t offset, uint64_t length, const RegionOps *ops)
{
    g_autoptr(GError) error = NULL; /* the arguments were checked: it fits */
    RegionArgs args = {
        .name = function->name,
        .length = length,
        .priority = MSIX_REGION_PRIORITY,
        .ops = ops,
        .opaque = function,
    };

    return pci_bar_map(function, function->messages.msix_bar, &args, offset, &error);
}

int
pci_function_enable_msix(PciFunction *function, unsigned vectors, unsigned bar,
                         uint32_t table_offset, uint32_t pba_offset)
{
    static const uint8_t mask[MSIX_CAP_SIZE - 2] = {0, (MSIX_ENABLE | MSIX_MASK_ALL) >> 8};
    uint8_t data[MSIX_CAP_SIZE - 2] = {0};
    PciMessages *messages = &function->messages;
    int result;

    if (!msix_args_valid(function, vectors, bar, table_offset, pba_offset)) {
        return -EINVAL;
    }
    result = vectors_reserve(function, vectors);
    if (result < 0) {
        return result;
    }
    pci_put16(&data[MSIX_CONTROL - 2], vectors - 1);
    pci_put32(&data[MSIX_TABLE - 2], table_offset | bar);
    pci_put32(&data[MSIX_PBA - 2], pba_offset | bar);
    result = pci_function_add_capability(function, CAP_ID_MSIX, 0, sizeof(data), data, mask);
    if (result < 0) {
        return result;
    }
    messages->msix_count = vectors;
    messages->msix_bar = bar;
    messages->msix_table = g_malloc((size_t)vectors * MSIX_ENTRY_SIZE);
    msix_table_clear(messages);
    messages->msix_cap = (uint8_t)result;
    messages->table_region =
        msix_map(function, table_offset, (uint64_t)vectors * MSIX_ENTRY_SIZE, &table_ops);
    messages->pba_region = msix_map(function, pba_offset, pba_length(vectors), &pba_ops);
    return messages->table_region != NULL && messages->pba_region != NULL ? 0 : -ENOSPC;
}

int
pci_function_enable_msi(PciFunction *function, unsigned vectors)
{
    uint8_t data[MSI_CAP_SIZE - 2] = {0};
    uint8_t mask[MSI_CAP_SIZE - 2] = {0};
    unsigned log2 = 0;
    int result;

    if (vectors < 1 || vectors > MSI_VECTORS_MAX || (vectors & (vectors - 1)) != 0 ||
        function->messages.msi_cap != 0) {
        return -EINVAL;
    }
    result = vectors_reserve(function, vectors);
    if (result < 0) {
        return result;
    }
    while (1u << log2 < vectors) {
        log2++;
    }
    pci_put16(&data[MSI_CONTROL - 2], MSI_64BIT | MSI_MASKABLE | log2 << 1);
    pci_put16(&mask[MSI_CONTROL - 2], MSI_ENABLE | 7u << MSI_MULTIPLE_SHIFT);
    pci_put32(&mask[MSI_ADDRESS - 2], 0xFFFFFFFCu);
    pci_put32(&mask[MSI_ADDRESS + 2], 0xFFFFFFFFu);
    pci_put16(&mask[MSI_DATA - 2], 0xFFFF);
    pci_put32(&mask[MSI_MASK - 2], (uint32_t)((UINT64_C(1) << vectors) - 1));
    result = pci_function_add_capability(function, CAP_ID_MSI, 0, sizeof(data), data, mask);
    if (result < 0) {
        return result;
    }
    function->messages.msi_count = vectors;
    function->messages.msi_cap = (uint8_t)result;
    return 0;
}

void
pci_messages_done(PciFunction *function)
{
    PciMessages *messages = &function->messages;

    for (unsigned i = 0; i < messages->count; i++) {
        controller_ops(function)->vector_free(controller_opaque(function),
                                              messages->vectors[i].vector);
    }
    messages->count = 0;
    g_free(messages->vectors);
    messages->vectors = NULL;
    g_free(messages->msix_table);
    messages->msix_table = NULL;
}

bool
pci_function_msix_active(const PciFunction *function)
{
    return atomic_load(&function->messages.mode) == PCI_MESSAGES_MSIX;
}

bool
pci_function_msi_active(const PciFunction *function)
{
    return atomic_load(&function->messages.mode) == PCI_MESSAGES_MSI;
}

void
pci_function_fire(PciFunction *function, unsigned vector)
{
    const PciMessages *messages = &function->messages;
    PciMessageMode mode = atomic_load(&messages->mode);

    if ((mode == PCI_MESSAGES_MSIX && vector < messages->msix_count) ||
        (mode == PCI_MESSAGES_MSI && vector < messages->msi_count)) {
        controller_ops(function)->vector_fire(controller_opaque(function),
                                              messages->vectors[vector].vector);
    }
}

int
pci_function_vector_eventfd(PciFunction *function, unsigned vector)
{
    if (vector >= function->messages.count) {
        return -EINVAL;
    }
    return controller_ops(function)->vector_eventfd(controller_opaque(function),
                                                    function->messages.vectors[vector].vector);
}
