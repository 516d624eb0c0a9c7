/* SPDX-License-Identifier: Apache-2.0 */
/* bp.region/1: dispatch of guest accesses, and doorbells, by the core's rules: an access is cut at
 * the edges of regions and into aligned pieces of widths that the region takes; a read narrower
 * than all of them picks its bytes out of the narrowest,
 * a write narrower than all of them is lost. */
#include "th.h"

#include <stdlib.h>
#include <string.h>

struct th_region {
    struct th_region *next;
    struct bp_instance *owner;
    struct bp_region_args args;
    struct bp_region_ops ops;
    uint32_t enabled;
};

struct th_doorbell {
    struct th_doorbell *next;
    struct bp_instance *owner;
    struct bp_doorbell_args args;
    uint32_t rung;
};

static struct th_region *
region_find(struct bp_instance *instance, uint32_t id)
{
    struct th_region *region;

    for (region = instance->th->regions; region != NULL; region = region->next) {
        if (region->owner == instance && region->args.id == id) {
            return region;
        }
    }
    return NULL;
}

/* Where a region is decoded now: its space and base. Returns 0 if it is not. */
static int
region_place(const struct th_region *region, uint32_t *space, uint64_t *base)
{
    uint32_t is_io;
    uint64_t bar;

    if (!region->enabled || !region->owner->realized) {
        return 0;
    }
    *space = region->args.space;
    *base = region->args.base;
    if (region->args.space == BP_SPACE_BAR) {
        bar = th_pci_bar_base(region->owner, region->args.bar, &is_io);
        if (bar == UINT64_MAX) {
            return 0;
        }
        *space = is_io ? BP_SPACE_PIO : BP_SPACE_MMIO;
        *base = bar + region->args.base;
    }
    return 1;
}

/* The region that covers an address; *offset in it. Fixed regions win over BARs, as in the core. */
static struct th_region *
region_at(struct th_host *th, uint32_t space, uint64_t address, uint64_t *offset)
{
    struct th_region *region, *found = NULL;
    uint32_t its_space;
    uint64_t base;

    for (region = th->regions; region != NULL; region = region->next) {
        if (region_place(region, &its_space, &base) && its_space == space && address >= base &&
            address - base < region->args.length &&
            (found == NULL || found->args.space == BP_SPACE_BAR)) {
            found = region;
            *offset = address - base;
        }
    }
    return found;
}

int
th_port_claimed(struct th_host *th, uint16_t port)
{
    uint64_t offset;

    return region_at(th, BP_SPACE_PIO, port, &offset) != NULL;
}

/* --- dispatch -------------------------------------------------------------------------------- */

static uint32_t
region_widths(const struct th_region *region)
{
    return region->args.widths == 0 ? BP_WIDTH_1 : region->args.widths;
}

static uint64_t
width_mask(uint32_t width)
{
    return width >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
}

/* The widest width the region takes that is aligned here and no longer than length; 0: none. */
static uint32_t
widest_aligned(const struct th_region *region, uint64_t address, uint32_t length)
{
    uint32_t width;

    for (width = 8; width > 0; width >>= 1) {
        if ((region_widths(region) & width) != 0 && width <= length && address % width == 0) {
            return width;
        }
    }
    return 0;
}

static uint32_t
narrowest(const struct th_region *region)
{
    return region_widths(region) & (~region_widths(region) + 1);
}

static uint64_t
region_read(struct th_region *region, uint64_t address, uint64_t offset, uint32_t *length)
{
    uint32_t width = widest_aligned(region, address, *length);
    uint32_t skip = 0;
    uint64_t value;

    if (width == 0) {
        width = narrowest(region);
        skip = (uint32_t)(address % width);
        *length = *length < width - skip ? *length : width - skip;
        if (offset < skip || region->args.length < width ||
            offset - skip > region->args.length - width) {
            return width_mask(*length);
        }
    } else {
        *length = width;
    }
    value = region->ops.read(region->args.opaque, offset - skip, width) & width_mask(width);
    return value >> (8 * skip);
}

static int
doorbell_ring(struct th_region *region, uint64_t offset, uint32_t width, uint64_t value)
{
    struct th_doorbell *bell;

    for (bell = region->owner->th->doorbells; bell != NULL; bell = bell->next) {
        if (bell->owner == region->owner && bell->args.region == region->args.id &&
            bell->args.offset == offset && (bell->args.width == 0 || bell->args.width == width) &&
            (!(bell->args.flags & BP_DOORBELL_MATCH) || bell->args.value == value)) {
            bell->rung = 1;
            return 1;
        }
    }
    return 0;
}

static void
region_write(struct th_region *region, uint64_t address, uint64_t offset, uint64_t value,
             uint32_t *length)
{
    uint32_t width = widest_aligned(region, address, *length);

    if (width == 0) {
        width = narrowest(region) - (uint32_t)(address % narrowest(region));
        *length = *length < width ? *length : width;
        return; /* narrower than all it takes: lost */
    }
    *length = width;
    region->ops.write(region->args.opaque, offset, width, value & width_mask(width));
}

static uint32_t
room_left(const struct th_region *region, uint64_t offset, uint32_t length)
{
    return region->args.length - offset < length ? (uint32_t)(region->args.length - offset)
                                                 : length;
}

uint64_t
th_space_read(struct th_host *th, uint32_t space, uint64_t address, uint32_t width)
{
    enum th_context before = th_enter(th, TH_IN_VCPU);
    uint64_t value = 0;
    uint32_t at, n;

    for (at = 0; at < width; at += n) {
        uint64_t offset, part = 0xff;
        uint32_t left = width - at;
        struct th_region *region = region_at(th, space, address + at, &offset);
        n = 1;
        if (space == BP_SPACE_MMIO && th_msix_access(th, address + at, left, 0, &part)) {
            n = left;
        } else if (region != NULL) {
            n = room_left(region, offset, left);
            part = region_read(region, address + at, offset, &n);
        }
        value |= (part & width_mask(n)) << (8 * at);
    }
    th_leave(th, before);
    return value;
}

void
th_space_write(struct th_host *th, uint32_t space, uint64_t address, uint32_t width, uint64_t value)
{
    enum th_context before = th_enter(th, TH_IN_VCPU);
    uint32_t at, n;

    value &= width_mask(width);
    for (at = 0; at < width; at += n) {
        uint64_t offset, part = value >> (8 * at);
        uint32_t left = width - at;
        struct th_region *region = region_at(th, space, address + at, &offset);
        n = 1;
        if (space == BP_SPACE_MMIO && th_msix_access(th, address + at, left, 1, &part)) {
            n = left;
        } else if (region != NULL && at == 0 && doorbell_ring(region, offset, width, value)) {
            n = width;
        } else if (region != NULL) {
            n = room_left(region, offset, left);
            region_write(region, address + at, offset, part, &n);
        }
    }
    th_leave(th, before);
}

uint64_t
th_in(struct th_host *th, uint16_t port, uint32_t width)
{
    return th_space_read(th, BP_SPACE_PIO, port, width);
}

void
th_out(struct th_host *th, uint16_t port, uint32_t width, uint32_t value)
{
    th_space_write(th, BP_SPACE_PIO, port, width, value);
}

/* String I/O goes to the block accessors if the whole width is one call of the region. */
static struct th_region *
block_region(struct th_host *th, uint16_t port, uint32_t width, uint64_t *offset)
{
    struct th_region *region = region_at(th, BP_SPACE_PIO, port, offset);

    if (region == NULL || *offset + width > region->args.length ||
        widest_aligned(region, port, width) != width) {
        return NULL;
    }
    return region;
}

void
th_ins(struct th_host *th, uint16_t port, uint32_t width, uint32_t count, void *data)
{
    uint64_t offset;
    struct th_region *region = block_region(th, port, width, &offset);
    uint32_t i;

    if (region != NULL && region->ops.read_block != NULL) {
        enum th_context before = th_enter(th, TH_IN_VCPU);
        region->ops.read_block(region->args.opaque, offset, width, count, data);
        th_leave(th, before);
        return;
    }
    for (i = 0; i < count; i++) {
        uint64_t value = th_in(th, port, width);
        memcpy((uint8_t *)data + (uint64_t)i * width, &value, width);
    }
}

void
th_outs(struct th_host *th, uint16_t port, uint32_t width, uint32_t count, const void *data)
{
    uint64_t offset;
    struct th_region *region = block_region(th, port, width, &offset);
    uint32_t i;

    if (region != NULL && region->ops.write_block != NULL) {
        enum th_context before = th_enter(th, TH_IN_VCPU);
        region->ops.write_block(region->args.opaque, offset, width, count, data);
        th_leave(th, before);
        return;
    }
    for (i = 0; i < count; i++) {
        uint32_t value = 0;
        memcpy(&value, (const uint8_t *)data + (uint64_t)i * width, width);
        th_out(th, port, width, value);
    }
}

uint64_t
th_read(struct th_host *th, uint64_t gpa, uint32_t width)
{
    const void *ram = bp_ram_translate(&th->view, gpa, width, 0);
    uint64_t value = 0;

    if (ram == NULL) {
        return th_space_read(th, BP_SPACE_MMIO, gpa, width);
    }
    memcpy(&value, ram, width);
    return value;
}

void
th_write(struct th_host *th, uint64_t gpa, uint32_t width, uint64_t value)
{
    void *ram = bp_ram_translate(&th->view, gpa, width, 1);

    if (ram == NULL) {
        th_space_write(th, BP_SPACE_MMIO, gpa, width, value);
    } else {
        memcpy(ram, &value, width);
    }
}

/* --- the table ------------------------------------------------------------------------------- */

static int32_t
region_overlaps(struct th_host *th, const struct bp_region_args *args)
{
    const struct th_region *other;

    for (other = th->regions; other != NULL && args->space != BP_SPACE_BAR; other = other->next) {
        if (other->args.space == args->space &&
            args->base < other->args.base + other->args.length &&
            other->args.base < args->base + args->length) {
            return -EBUSY;
        }
    }
    return 0;
}

static int32_t
region_check(struct bp_instance *instance, const struct bp_region_args *args)
{
    uint64_t limit = args->space == BP_SPACE_PIO ? 0x10000 : UINT64_MAX;

    if (args->space == BP_SPACE_BAR) {
        limit = th_pci_bar_size(instance, args->bar);
        if (limit == 0) {
            return -ENOENT;
        }
    }
    if (args->space < BP_SPACE_PIO || args->space > BP_SPACE_BAR || args->length == 0 ||
        args->length > limit || args->base > limit - args->length || (args->widths & ~15u) != 0 ||
        (args->flags & ~(BP_REGION_POSTED_WRITES | BP_REGION_DISABLED)) != 0) {
        return -EINVAL;
    }
    if (args->space == BP_SPACE_PIO && (args->widths & BP_WIDTH_8) != 0) {
        return -EINVAL;
    }
    return region_overlaps(instance->th, args);
}

static int32_t
region_create(struct bp_instance *instance, const struct bp_region_args *args)
{
    struct th_region *region;
    struct bp_region_args copy;
    struct bp_region_ops ops = {.size = 0};
    int32_t result = th_call(instance, "region.create", TH_CONTROL | TH_FAILS);

    if (result == 0) {
        result = th_copy_args(instance, "region.create", &copy, sizeof(copy), args, args->size);
    }
    if (result == 0 && copy.ops != NULL) {
        th_copy_table(&ops, sizeof(ops), copy.ops);
    }
    if (result == 0) {
        result = region_check(instance, &copy);
    }
    if (result != 0) {
        return result;
    }
    if (ops.read == NULL || ops.write == NULL) {
        th_violate(instance->th, "%s: region %u without read or write", instance->id, copy.id);
        return -EINVAL;
    }
    if (region_find(instance, copy.id) != NULL) {
        th_violate(instance->th, "%s: region id %u made twice", instance->id, copy.id);
        return -EEXIST;
    }
    region = th_alloc(sizeof(*region));
    region->owner = instance;
    region->args = copy;
    region->ops = ops;
    region->enabled = (copy.flags & BP_REGION_DISABLED) == 0;
    region->next = instance->th->regions;
    instance->th->regions = region;
    return 0;
}

static int32_t
region_enable(struct bp_instance *instance, uint32_t id, uint32_t enabled)
{
    struct th_region *region = region_find(instance, id);
    int32_t result = th_call(instance, "region.enable", TH_FAILS);

    if (result < 0) {
        return result;
    }
    if (region == NULL) {
        th_violate(instance->th, "%s: region.enable: no region %u", instance->id, id);
        return -ENOENT;
    }
    region->enabled = enabled != 0;
    return 0;
}

static int32_t
region_move(struct bp_instance *instance, uint32_t id, uint64_t base)
{
    struct th_region *region = region_find(instance, id);
    int32_t result = th_call(instance, "region.move", TH_FAILS);
    uint64_t limit;

    if (result < 0) {
        return result;
    }
    if (region == NULL) {
        th_violate(instance->th, "%s: region.move: no region %u", instance->id, id);
        return -ENOENT;
    }
    limit = region->args.space == BP_SPACE_PIO ? 0x10000 : UINT64_MAX;
    if (region->args.space == BP_SPACE_BAR || base > limit - region->args.length) {
        return -EINVAL;
    }
    region->args.base = base;
    return 0;
}

static struct th_doorbell *
doorbell_find(struct bp_instance *instance, uint32_t id)
{
    struct th_doorbell *bell;

    for (bell = instance->th->doorbells; bell != NULL; bell = bell->next) {
        if (bell->owner == instance && bell->args.id == id) {
            return bell;
        }
    }
    return NULL;
}

static int32_t
doorbell_check(struct bp_instance *instance, const struct bp_doorbell_args *args)
{
    const struct th_region *region = region_find(instance, args->region);
    uint32_t width = args->width == 0 ? 1 : args->width;

    if (region == NULL) {
        return -ENOENT;
    }
    if (args->offset >= region->args.length || width > region->args.length - args->offset ||
        width > 8 || (width & (width - 1)) != 0 || (args->flags & ~BP_DOORBELL_MATCH) != 0 ||
        ((args->flags & BP_DOORBELL_MATCH) != 0 && args->width == 0) || args->ring == NULL) {
        return -EINVAL;
    }
    return th_check_loop(instance, "region.doorbell", args->loop);
}

static int32_t
region_doorbell(struct bp_instance *instance, const struct bp_doorbell_args *args)
{
    struct th_doorbell *bell;
    struct bp_doorbell_args copy;
    int32_t result = th_call(instance, "region.doorbell", TH_CONTROL | TH_FAILS);

    if (result == 0) {
        result = th_copy_args(instance, "region.doorbell", &copy, sizeof(copy), args, args->size);
    }
    if (result == 0) {
        result = doorbell_check(instance, &copy);
    }
    if (result != 0) {
        return result;
    }
    if (doorbell_find(instance, copy.id) != NULL) {
        th_violate(instance->th, "%s: doorbell id %u made twice", instance->id, copy.id);
        return -EEXIST;
    }
    bell = th_alloc(sizeof(*bell));
    bell->owner = instance;
    bell->args = copy;
    bell->next = instance->th->doorbells;
    instance->th->doorbells = bell;
    return 0;
}

static void
doorbell_drop(struct bp_instance *instance, const uint32_t *id)
{
    struct th_doorbell **link = &instance->th->doorbells;

    while (*link != NULL) {
        struct th_doorbell *bell = *link;
        if (bell->owner == instance && (id == NULL || bell->args.id == *id)) {
            *link = bell->next;
            free(bell);
        } else {
            link = &bell->next;
        }
    }
}

static void
region_doorbell_remove(struct bp_instance *instance, uint32_t id)
{
    (void)th_call(instance, "region.doorbell_remove", TH_CONTROL);
    doorbell_drop(instance, &id);
}

int
th_doorbell_run(struct th_host *th)
{
    struct th_doorbell *bell;

    for (bell = th->doorbells; bell != NULL; bell = bell->next) {
        if (bell->rung) {
            enum th_context before = th_enter(th, TH_IN_LOOP);
            bell->rung = 0;
            bell->args.ring(bell->args.opaque);
            th_leave(th, before);
            return 1;
        }
    }
    return 0;
}

void
th_region_drop(struct bp_instance *instance)
{
    struct th_region **link = &instance->th->regions;

    doorbell_drop(instance, NULL);
    while (*link != NULL) {
        struct th_region *region = *link;
        if (region->owner == instance) {
            *link = region->next;
            free(region);
        } else {
            link = &region->next;
        }
    }
}

const struct bp_region_host th_region_table = {
    .size = sizeof(struct bp_region_host),
    .create = region_create,
    .enable = region_enable,
    .move = region_move,
    .doorbell = region_doorbell,
    .doorbell_remove = region_doorbell_remove,
};
