/* SPDX-License-Identifier: Apache-2.0 */
/* bp.pci/1: configuration space, BARs, capabilities of one function. */
#include "pci.h"

#include <stdlib.h>
#include <string.h>

#define COMMAND    0x04u
#define STATUS     0x06u
#define BAR0       0x10u
#define CAP_START  0x34u
#define STATUS_CAP 0x10u

static void
put(uint8_t *bytes, uint32_t offset, uint32_t width, uint64_t value)
{
    memcpy(bytes + offset, &value, width);
}

static uint64_t
get(const uint8_t *bytes, uint32_t offset, uint32_t width)
{
    uint64_t value = 0;

    memcpy(&value, bytes + offset, width);
    return value;
}

uint32_t
th_pci_devfn(const struct bp_instance *instance)
{
    return instance->pci == NULL ? 0 : instance->pci->devfn;
}

uint32_t
th_pci_pin(const struct bp_instance *instance)
{
    return instance->pci == NULL ? 0 : instance->pci->config[0x3d];
}

uint64_t
th_pci_bar_size(const struct bp_instance *instance, uint32_t bar)
{
    return instance->pci == NULL || bar > 5 ? 0 : instance->pci->bars[bar].size;
}

uint64_t
th_pci_bar_base(const struct bp_instance *instance, uint32_t bar, uint32_t *is_io)
{
    const struct th_pci *pci = instance->pci;
    uint64_t size = th_pci_bar_size(instance, bar);
    uint64_t base, limit;
    uint32_t command;

    if (size == 0) {
        return UINT64_MAX;
    }
    *is_io = (pci->bars[bar].flags & BP_PCI_BAR_IO) != 0;
    command = (uint32_t)get(pci->config, COMMAND, 2);
    base = get(pci->config, BAR0 + 4 * bar, pci->bars[bar].flags & BP_PCI_BAR_64 ? 8 : 4);
    base &= *is_io ? ~UINT64_C(3) : ~UINT64_C(15);
    limit = *is_io ? 0x10000 : UINT64_MAX;
    if ((command & (*is_io ? 1 : 2)) == 0 || base == 0 || size > limit || base > limit - size) {
        return UINT64_MAX;
    }
    return base;
}

uint64_t
th_bar_address(struct bp_instance *instance, uint32_t bar)
{
    uint32_t is_io;

    return th_pci_bar_base(instance, bar, &is_io);
}

uint64_t
th_bar_read(struct bp_instance *instance, uint32_t bar, uint64_t offset, uint32_t width)
{
    uint32_t is_io = 0;
    uint64_t base = th_pci_bar_base(instance, bar, &is_io);

    if (base == UINT64_MAX) {
        return width >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
    }
    return th_space_read(instance->th, is_io ? BP_SPACE_PIO : BP_SPACE_MMIO, base + offset, width);
}

void
th_bar_write(struct bp_instance *instance, uint32_t bar, uint64_t offset, uint32_t width,
             uint64_t value)
{
    uint32_t is_io = 0;
    uint64_t base = th_pci_bar_base(instance, bar, &is_io);

    if (base != UINT64_MAX) {
        th_space_write(instance->th, is_io ? BP_SPACE_PIO : BP_SPACE_MMIO, base + offset, width,
                       value);
    }
}

uint32_t
th_pci_read(struct bp_instance *instance, uint32_t offset, uint32_t width)
{
    struct th_pci *pci = instance->pci;
    enum th_context before;

    if (pci == NULL || offset + width > 256) {
        return UINT32_MAX;
    }
    if (offset >= 0x40 && pci->ops.config_reading != NULL) {
        before = th_enter(instance->th, TH_IN_VCPU);
        pci->ops.config_reading(pci->opaque, offset, width);
        th_leave(instance->th, before);
    }
    return (uint32_t)get(pci->config, offset, width);
}

void
th_pci_write(struct bp_instance *instance, uint32_t offset, uint32_t width, uint32_t value)
{
    struct th_pci *pci = instance->pci;
    enum th_context before = th_enter(instance->th, TH_IN_VCPU);
    uint32_t command, i;

    if (pci == NULL || offset + width > 256) {
        return;
    }
    command = (uint32_t)get(pci->config, COMMAND, 2);
    for (i = 0; i < width; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        uint8_t *at = &pci->config[offset + i];
        *at =
            (uint8_t)((*at & ~pci->write_mask[offset + i]) | (byte & pci->write_mask[offset + i]));
        *at &= (uint8_t) ~(byte & pci->clear_mask[offset + i]);
    }
    if (get(pci->config, COMMAND, 2) != command && pci->ops.command_changed != NULL) {
        pci->ops.command_changed(pci->opaque, (uint32_t)get(pci->config, COMMAND, 2));
    }
    if (offset >= 0x40 && pci->declared[offset] && pci->ops.config_written != NULL) {
        pci->ops.config_written(pci->opaque, offset, width, value);
    }
    th_leave(instance->th, before);
    th_message_config_written(instance);
}

void
th_pci_place(struct bp_instance *instance)
{
    struct th_pci *pci = instance->pci;
    struct th_host *th = instance->th;
    uint32_t bar;

    for (bar = 0; bar < 6; bar++) {
        uint64_t size = pci->bars[bar].size;
        uint64_t *next = &th->next_mem;
        uint64_t base, io = th->next_io;
        if (size == 0) {
            continue;
        }
        next = pci->bars[bar].flags & BP_PCI_BAR_IO ? &io : next;
        base = (*next + size - 1) & ~(size - 1);
        *next = base + size;
        th->next_io = (uint32_t)io;
        th_pci_write(instance, BAR0 + 4 * bar, 4, (uint32_t)base);
        if (pci->bars[bar].flags & BP_PCI_BAR_64) {
            th_pci_write(instance, BAR0 + 4 * bar + 4, 4, (uint32_t)(base >> 32));
        }
    }
    th_pci_write(instance, COMMAND, 2, 7);
}

uint32_t
th_pci_find_capability(struct bp_instance *instance, uint32_t id)
{
    uint32_t at = th_pci_read(instance, CAP_START, 1);
    uint32_t guard;

    for (guard = 0; guard < 48 && at >= 0x40 && at <= 0xfc; guard++) {
        if (th_pci_read(instance, at, 1) == id) {
            return at;
        }
        at = th_pci_read(instance, at + 1, 1);
    }
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static int32_t
bars_check(const struct bp_pci_args *args)
{
    uint32_t i;

    for (i = 0; i < 6; i++) {
        const struct bp_pci_bar *bar = &args->bars[i];
        uint32_t is_io = (bar->flags & BP_PCI_BAR_IO) != 0;
        if (bar->size == 0) {
            continue;
        }
        if ((bar->size & (bar->size - 1)) != 0 || bar->size < (is_io ? 4 : 16) ||
            (bar->flags & ~7u) != 0 || (is_io && bar->flags != BP_PCI_BAR_IO) ||
            (is_io && bar->size > 256)) {
            return -EINVAL;
        }
        if ((bar->flags & BP_PCI_BAR_64) && (i == 5 || args->bars[++i].size != 0)) {
            return -EINVAL;
        }
    }
    return args->interrupt_pin > 4 ? -EINVAL : 0;
}

static void
header_fill(struct th_pci *pci, const struct bp_pci_args *args)
{
    uint8_t *c = pci->config;
    uint32_t i;

    put(c, 0x00, 2, args->vendor_id);
    put(c, 0x02, 2, args->device_id);
    c[0x08] = args->revision;
    c[0x09] = args->prog_if;
    c[0x0a] = args->sub_class;
    c[0x0b] = args->base_class;
    put(c, 0x2c, 2, args->subsystem_vendor_id);
    put(c, 0x2e, 2, args->subsystem_id);
    c[0x3d] = args->interrupt_pin;
    put(pci->write_mask, COMMAND, 2, 0x0547);
    pci->write_mask[0x0c] = 0xff;
    pci->write_mask[0x3c] = 0xff;
    put(pci->clear_mask, STATUS, 2, 0xf900);
    for (i = 0; i < 6; i++) {
        const struct bp_pci_bar *bar = &args->bars[i];
        uint32_t wide = bar->flags & BP_PCI_BAR_64 ? 8 : 4;
        pci->bars[i] = *bar;
        if (bar->size != 0) {
            put(pci->write_mask, BAR0 + 4 * i, wide, ~(bar->size - 1));
            c[BAR0 + 4 * i] = bar->flags & BP_PCI_BAR_IO
                                  ? 1
                                  : (bar->flags & BP_PCI_BAR_64 ? 4 : 0) |
                                        (bar->flags & BP_PCI_BAR_PREFETCH ? 8 : 0);
        }
    }
}

static int32_t
pci_address(struct bp_instance *instance, uint32_t *devfn)
{
    const struct bp_instance *other;
    uint32_t wanted = th_config_devfn(instance->config);

    if (wanted == UINT32_MAX) {
        *devfn = instance->th->next_devfn;
        instance->th->next_devfn += 8;
        return *devfn > 0xf8 ? -ENOSPC : 0;
    }
    for (other = instance->th->instances; other != NULL; other = other->next) {
        if (other->pci != NULL && other->pci->devfn == wanted) {
            return -EBUSY;
        }
    }
    *devfn = wanted;
    return 0;
}

static int32_t
pci_function(struct bp_instance *instance, const struct bp_pci_args *args)
{
    struct bp_pci_args copy;
    struct bp_pci_ops ops = {.size = 0};
    uint32_t devfn = 0;
    int32_t result = th_call(instance, "pci.function", TH_CONTROL | TH_FAILS);

    if (result == 0) {
        result = th_copy_args(instance, "pci.function", &copy, sizeof(copy), args, args->size);
    }
    if (result == 0 && copy.ops != NULL) {
        th_copy_table(&ops, sizeof(ops), copy.ops);
    }
    if (result == 0) {
        result = copy.flags != 0 ? -EINVAL : bars_check(&copy);
    }
    if (result != 0) {
        return result;
    }
    if (instance->pci != NULL) {
        th_violate(instance->th, "%s: pci.function called twice", instance->id);
        return -EEXIST;
    }
    if (instance->class.bus != BP_BUS_PCI) {
        th_violate(instance->th, "%s: pci.function in a class without BP_BUS_PCI", instance->id);
        return -EINVAL;
    }
    result = pci_address(instance, &devfn);
    if (result < 0) {
        return result;
    }
    instance->pci = th_alloc(sizeof(*instance->pci));
    instance->pci->devfn = devfn;
    instance->pci->ops = ops;
    instance->pci->opaque = copy.opaque;
    header_fill(instance->pci, &copy);
    memcpy(instance->pci->reset, instance->pci->config, 256);
    return 0;
}

static uint32_t
capability_place(const struct th_pci *pci, uint32_t offset, uint32_t length)
{
    uint32_t at = offset == 0 ? 0x40 : offset;

    for (; at + length <= 0x100; at += 4) {
        uint32_t i = 0;
        while (i < length && !pci->declared[at + i]) {
            i++;
        }
        if (i == length) {
            return at;
        }
        if (offset != 0) {
            break;
        }
    }
    return 0;
}

int32_t
th_pci_add_capability(struct bp_instance *instance, uint32_t id, uint32_t offset, uint32_t length,
                      const uint8_t *data, const uint8_t *write_mask)
{
    struct th_pci *pci = instance->pci;
    uint32_t at;

    if ((offset != 0 && (offset < 0x40 || (offset & 3) != 0)) || length > 190 || id > 0xff) {
        return -EINVAL;
    }
    at = capability_place(pci, offset, length + 2);
    if (at == 0) {
        return offset == 0 ? -ENOSPC : -EINVAL;
    }
    memset(pci->declared + at, 1, length + 2);
    pci->config[at] = (uint8_t)id;
    pci->config[at + 1] = pci->config[CAP_START];
    memcpy(pci->config + at + 2, data, length);
    if (write_mask != NULL) {
        memcpy(pci->write_mask + at + 2, write_mask, length);
    }
    pci->config[CAP_START] = (uint8_t)at;
    pci->config[STATUS] |= STATUS_CAP;
    memcpy(pci->reset + at, pci->config + at, length + 2);
    pci->reset[CAP_START] = pci->config[CAP_START];
    pci->reset[STATUS] = pci->config[STATUS];
    return (int32_t)at;
}

static int32_t
pci_add_capability(struct bp_instance *instance, uint32_t id, uint32_t offset, uint32_t length,
                   const uint8_t *data, const uint8_t *write_mask)
{
    int32_t result = th_call(instance, "pci.add_capability", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    if (instance->pci == NULL) {
        return -ENOENT;
    }
    return th_pci_add_capability(instance, id, offset, length, data, write_mask);
}

static int32_t
pci_config(struct bp_instance *instance, uint32_t offset, uint32_t length, const uint8_t *value,
           const uint8_t *write_mask, const uint8_t *clear_mask)
{
    struct th_pci *pci = instance->pci;
    int32_t result = th_call(instance, "pci.config", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    if (pci == NULL) {
        return -ENOENT;
    }
    if (offset < 4 || length == 0 || length > 256 || offset > 256 - length) {
        return -EINVAL;
    }
    memcpy(pci->config + offset, value, length);
    memcpy(pci->reset + offset, value, length);
    memset(pci->write_mask + offset, 0, length);
    memset(pci->clear_mask + offset, 0, length);
    memset(pci->declared + offset, 1, length);
    if (write_mask != NULL) {
        memcpy(pci->write_mask + offset, write_mask, length);
    }
    if (clear_mask != NULL) {
        memcpy(pci->clear_mask + offset, clear_mask, length);
    }
    return 0;
}

static uint32_t
pci_peek(struct bp_instance *instance, uint32_t offset, uint32_t width)
{
    (void)th_call(instance, "pci.peek", 0);
    return th_pci_read(instance, offset, width);
}

static void
pci_poke(struct bp_instance *instance, uint32_t offset, uint32_t width, uint32_t value)
{
    (void)th_call(instance, "pci.poke", 0);
    if (instance->pci == NULL || width > 4 || offset + width > 256) {
        th_violate(instance->th, "%s: pci.poke of %u at %xh", instance->id, width, offset);
        return;
    }
    put(instance->pci->config, offset, width, value);
}

static uint32_t
pci_command(struct bp_instance *instance)
{
    (void)th_call(instance, "pci.command", 0);
    return instance->pci == NULL ? 0 : (uint32_t)get(instance->pci->config, COMMAND, 2);
}

static int32_t
pci_get_address(struct bp_instance *instance)
{
    (void)th_call(instance, "pci.address", 0);
    return instance->pci == NULL ? -ENOENT : (int32_t)instance->pci->devfn;
}

static int32_t
pci_message_mode(struct bp_instance *instance)
{
    (void)th_call(instance, "pci.message_mode", 0);
    if (th_msix_on(instance)) {
        return 2;
    }
    return th_msi_on(instance) ? 1 : 0;
}

void
th_pci_reset(struct bp_instance *instance)
{
    if (instance->pci != NULL) {
        memcpy(instance->pci->config, instance->pci->reset, 256);
        th_message_reset(instance);
    }
}

void
th_pci_drop(struct bp_instance *instance)
{
    if (instance->pci != NULL) {
        th_message_drop(instance);
        free(instance->pci);
        instance->pci = NULL;
    }
}

const struct bp_pci_host th_pci_table = {
    .size = sizeof(struct bp_pci_host),
    .function = pci_function,
    .add_capability = pci_add_capability,
    .config = pci_config,
    .peek = pci_peek,
    .poke = pci_poke,
    .command = pci_command,
    .address = pci_get_address,
    .message_mode = pci_message_mode,
};
