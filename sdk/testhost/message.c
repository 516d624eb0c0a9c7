/* SPDX-License-Identifier: Apache-2.0 */
/* bp.msi/1 and bp.msix/1: vectors that record how often they were fired. PCI 3.0, 6.8. */
#include "pci.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CAP_MSI     0x05u
#define CAP_MSIX    0x11u
#define MSIX_ENABLE 0x8000u
#define MSIX_MASK   0x4000u
#define VECTORS_MAX 2048u

static uint32_t
control_word(const struct bp_instance *instance, uint32_t capability)
{
    return instance->pci->config[capability + 2] | (uint32_t)instance->pci->config[capability + 3]
                                                       << 8;
}

int
th_msi_on(const struct bp_instance *instance)
{
    return instance->pci != NULL && instance->pci->msi_capability != 0 &&
           (control_word(instance, instance->pci->msi_capability) & 1) != 0;
}

int
th_msix_on(const struct bp_instance *instance)
{
    return instance->pci != NULL && instance->pci->msix_capability != 0 &&
           (control_word(instance, instance->pci->msix_capability) & MSIX_ENABLE) != 0;
}

/* --- MSI ------------------------------------------------------------------------------------- */

static int32_t
msi_enable(struct bp_instance *instance, uint32_t vectors)
{
    /* Message control with 64-bit address and per-vector masking, address, data, mask, pending. */
    uint8_t data[22] = {0}, mask[22] = {0};
    uint32_t log2 = 0;
    int32_t result = th_call(instance, "msi.enable", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    if (instance->pci == NULL) {
        return -ENOENT;
    }
    if (instance->pci->msi_capability != 0) {
        th_violate(instance->th, "%s: msi.enable called twice", instance->id);
        return -EEXIST;
    }
    if (vectors == 0 || vectors > 32 || (vectors & (vectors - 1)) != 0) {
        return -EINVAL;
    }
    while ((1u << log2) < vectors) {
        log2++;
    }
    data[0] = (uint8_t)(log2 << 1 | 0x80);
    data[1] = 1;
    mask[0] = 0x71;
    memset(mask + 2, 0xff, 10);
    mask[2] = 0xfc;
    memset(mask + 14, 0xff, 4);
    result = th_pci_add_capability(instance, CAP_MSI, 0, sizeof(data), data, mask);
    if (result < 0) {
        return result;
    }
    instance->pci->msi_capability = (uint32_t)result;
    instance->pci->msi_vectors = vectors;
    return 0;
}

static void
msi_fire(struct bp_instance *instance, uint32_t vector)
{
    uint32_t allowed;

    (void)th_call(instance, "msi.fire", 0);
    if (!th_msi_on(instance)) {
        return; /* not enabled: the message is lost, as on the bus */
    }
    allowed = 1u << (control_word(instance, instance->pci->msi_capability) >> 4 & 7);
    vector %= allowed < 32 ? allowed : 32;
    instance->pci->msi_fired[vector]++;
    th_irq_record(instance->th, instance, TH_IRQ_MSI, vector, 1);
}

void
th_msi_enable(struct bp_instance *instance)
{
    struct th_pci *pci = instance->pci;
    uint32_t log2 = 0;

    while ((1u << log2) < pci->msi_vectors) {
        log2++;
    }
    th_pci_write(instance, pci->msi_capability + 4, 4, 0xfee00000u);
    th_pci_write(instance, pci->msi_capability + 12, 2, 0x40);
    th_pci_write(instance, pci->msi_capability + 2, 2, 1 | log2 << 4);
}

/* --- MSI-X -------------------------------------------------------------------------------- */

static int32_t
msix_check(struct bp_instance *instance, uint32_t vectors, uint32_t bar, uint32_t table_offset,
           uint32_t pba_offset)
{
    uint64_t size = th_pci_bar_size(instance, bar);
    uint64_t pba_bytes = (uint64_t)((vectors + 63) / 64) * 8;

    if (instance->pci == NULL || size == 0 ||
        (instance->pci->bars[bar].flags & BP_PCI_BAR_IO) != 0) {
        return -ENOENT;
    }
    if (instance->pci->msix_capability != 0) {
        th_violate(instance->th, "%s: msix.enable called twice", instance->id);
        return -EEXIST;
    }
    if (vectors == 0 || vectors > VECTORS_MAX || ((table_offset | pba_offset) & 7) != 0 ||
        (uint64_t)vectors * 16 > size || table_offset > size - (uint64_t)vectors * 16 ||
        pba_bytes > size || pba_offset > size - pba_bytes ||
        (table_offset < pba_offset + pba_bytes &&
         pba_offset < table_offset + (uint64_t)vectors * 16)) {
        return -EINVAL;
    }
    return 0;
}

static int32_t
msix_enable(struct bp_instance *instance, uint32_t vectors, uint32_t bar, uint32_t table_offset,
            uint32_t pba_offset)
{
    static const uint8_t mask[10] = {0, 0xc0};
    uint8_t data[10] = {0};
    uint32_t i, word;
    int32_t result = th_call(instance, "msix.enable", TH_CONTROL | TH_FAILS);

    if (result == 0) {
        result = msix_check(instance, vectors, bar, table_offset, pba_offset);
    }
    if (result < 0) {
        return result;
    }
    data[0] = (uint8_t)(vectors - 1);
    data[1] = (uint8_t)((vectors - 1) >> 8);
    word = table_offset | bar;
    memcpy(data + 2, &word, 4);
    word = pba_offset | bar;
    memcpy(data + 6, &word, 4);
    result = th_pci_add_capability(instance, CAP_MSIX, 0, sizeof(data), data, mask);
    if (result < 0) {
        return result;
    }
    instance->pci->msix_capability = (uint32_t)result;
    instance->pci->vector_count = vectors;
    instance->pci->msix_bar = bar;
    instance->pci->table_offset = table_offset;
    instance->pci->pba_offset = pba_offset;
    instance->pci->vectors = th_alloc(vectors * sizeof(struct th_vector));
    for (i = 0; i < vectors; i++) {
        instance->pci->vectors[i].masked = 1;
        instance->pci->vectors[i].fd = -1;
    }
    return 0;
}

static void
vector_fire(struct bp_instance *instance, uint32_t index)
{
    struct th_host *th = instance->th;
    struct th_vector *vector = &instance->pci->vectors[index];

    pthread_mutex_lock(&th->lock);
    if (!th_msix_on(instance)) {
        vector->pending = 0; /* the function's MSI-X is off: nothing is remembered */
    } else if (vector->masked ||
               (control_word(instance, instance->pci->msix_capability) & MSIX_MASK) != 0) {
        vector->pending = 1;
    } else {
        vector->pending = 0;
        vector->fired++;
        th_irq_record(th, instance, TH_IRQ_MSIX, index, 1);
    }
    pthread_mutex_unlock(&th->lock);
}

static void
msix_fire(struct bp_instance *instance, uint32_t vector)
{
    (void)th_call(instance, "msix.fire", 0);
    if (instance->pci == NULL || vector >= instance->pci->vector_count) {
        th_violate(instance->th, "%s: msix.fire: no vector %u", instance->id, vector);
        return;
    }
    vector_fire(instance, vector);
}

static int32_t
msix_eventfd(struct bp_instance *instance, uint32_t vector)
{
    int32_t result = th_call(instance, "msix.eventfd", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    if (instance->pci == NULL || instance->pci->msix_capability == 0) {
        return -ENOENT;
    }
    if (vector >= instance->pci->vector_count) {
        return -EINVAL;
    }
    if (instance->pci->vectors[vector].fd < 0) {
        instance->pci->vectors[vector].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return instance->pci->vectors[vector].fd < 0 ? -EMFILE : instance->pci->vectors[vector].fd;
}

static int
fire_signalled(struct bp_instance *instance)
{
    uint64_t count;
    uint32_t i;
    int did = 0;

    for (i = 0; instance->pci != NULL && i < instance->pci->vector_count; i++) {
        int fd = instance->pci->vectors[i].fd;
        if (fd >= 0 && read(fd, &count, sizeof(count)) == sizeof(count)) {
            vector_fire(instance, i);
            did = 1;
        }
    }
    return did;
}

int
th_msix_run(struct th_host *th)
{
    struct bp_instance *instance;
    int did = 0;

    for (instance = th->instances; instance != NULL; instance = instance->next) {
        did |= fire_signalled(instance);
    }
    return did;
}

void
th_message_config_written(struct bp_instance *instance)
{
    uint32_t i;

    for (i = 0; instance->pci != NULL && i < instance->pci->vector_count; i++) {
        if (instance->pci->vectors[i].pending) {
            vector_fire(instance, i);
        }
    }
}

static uint64_t
table_read(const struct th_pci *pci, uint64_t offset)
{
    const struct th_vector *vector = &pci->vectors[offset / 16];

    switch (offset & 12) {
    case 0:
        return vector->address & UINT32_MAX;
    case 4:
        return vector->address >> 32;
    case 8:
        return vector->data;
    default:
        return vector->masked;
    }
}

static void
table_write(struct bp_instance *instance, uint64_t offset, uint32_t value)
{
    struct th_vector *vector = &instance->pci->vectors[offset / 16];

    switch (offset & 12) {
    case 0:
        vector->address = (vector->address & ~(uint64_t)UINT32_MAX) | (value & ~3u);
        break;
    case 4:
        vector->address = (vector->address & UINT32_MAX) | (uint64_t)value << 32;
        break;
    case 8:
        vector->data = value;
        break;
    default:
        vector->masked = value & 1;
        th_message_config_written(instance);
        break;
    }
}

static uint64_t
pba_read(const struct th_pci *pci, uint64_t offset, uint32_t width)
{
    uint64_t value = 0;
    uint64_t bit;

    for (bit = 0; bit < (uint64_t)width * 8; bit++) {
        uint64_t vector = offset * 8 + bit;
        if (vector < pci->vector_count && pci->vectors[vector].pending) {
            value |= UINT64_C(1) << bit;
        }
    }
    return value;
}

static void
table_access(struct bp_instance *instance, uint64_t offset, uint32_t width, uint32_t is_write,
             uint64_t *value)
{
    uint32_t at;

    *value = is_write ? *value : 0;
    for (at = 0; at + 4 <= width && (offset & 3) == 0; at += 4) {
        if (is_write) {
            table_write(instance, offset + at, (uint32_t)(*value >> (8 * at)));
        } else {
            *value |= table_read(instance->pci, offset + at) << (8 * at);
        }
    }
}

static int
function_access(struct bp_instance *instance, uint64_t address, uint32_t width, uint32_t is_write,
                uint64_t *value)
{
    struct th_pci *pci = instance->pci;
    uint64_t base, table_bytes = (uint64_t)pci->vector_count * 16;
    uint32_t is_io;

    base = th_pci_bar_base(instance, pci->msix_bar, &is_io);
    if (base == UINT64_MAX || address < base) {
        return 0;
    }
    address -= base;
    if (address >= pci->table_offset && address - pci->table_offset < table_bytes) {
        table_access(instance, address - pci->table_offset, width, is_write, value);
        return 1;
    }
    if (address >= pci->pba_offset &&
        address - pci->pba_offset < (uint64_t)((pci->vector_count + 63) / 64) * 8) {
        *value = pba_read(pci, address - pci->pba_offset, width);
        return 1;
    }
    return 0;
}

int
th_msix_access(struct th_host *th, uint64_t address, uint32_t width, uint32_t is_write,
               uint64_t *value)
{
    struct bp_instance *instance;

    for (instance = th->instances; instance != NULL; instance = instance->next) {
        if (instance->pci != NULL && instance->pci->vector_count != 0 &&
            function_access(instance, address, width, is_write, value)) {
            return 1;
        }
    }
    return 0;
}

void
th_msix_enable(struct bp_instance *instance)
{
    struct th_pci *pci = instance->pci;
    uint32_t i;

    for (i = 0; i < pci->vector_count; i++) {
        pci->vectors[i].address = 0xfee00000u;
        pci->vectors[i].data = 0x40 + i;
        pci->vectors[i].masked = 0;
    }
    th_pci_write(instance, pci->msix_capability + 2, 2, MSIX_ENABLE);
}

uint32_t
th_message_count(struct bp_instance *instance, uint32_t vector)
{
    uint32_t count = 0, i;

    for (i = 0; i < instance->th->irq_log_count; i++) {
        const struct th_irq_event *event = &instance->th->irq_log[i];
        count += event->instance == instance && event->number == vector &&
                 (event->kind == TH_IRQ_MSI || event->kind == TH_IRQ_MSIX);
    }
    return count;
}

void
th_message_reset(struct bp_instance *instance)
{
    uint32_t i;

    for (i = 0; i < instance->pci->vector_count; i++) {
        instance->pci->vectors[i].masked = 1;
        instance->pci->vectors[i].pending = 0;
    }
}

void
th_message_drop(struct bp_instance *instance)
{
    uint32_t i;

    for (i = 0; i < instance->pci->vector_count; i++) {
        if (instance->pci->vectors[i].fd >= 0 && close(instance->pci->vectors[i].fd) != 0) {
            th_violate(instance->th, "%s: eventfd of vector %u closed by the plugin", instance->id,
                       i);
        }
    }
    free(instance->pci->vectors);
}

const struct bp_msi_host th_msi_table = {
    .size = sizeof(struct bp_msi_host),
    .enable = msi_enable,
    .fire = msi_fire,
};

const struct bp_msix_host th_msix_table = {
    .size = sizeof(struct bp_msix_host),
    .enable = msix_enable,
    .fire = msix_fire,
    .eventfd = msix_eventfd,
};
