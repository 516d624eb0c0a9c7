/* SPDX-License-Identifier: Apache-2.0 */
/* bp.region/1: regions in the address spaces, and doorbells. */
#include "plugin/host_region.h"
#include "plugin/args.h"
#include "plugin/doorbell.h"

#include <errno.h>

static HostRegion *
find_region(Instance *instance, uint32_t id)
{
    return id_table_find(&instance->regions, id);
}

/* Where the region starts in its space; UINT64_MAX while it is not decoded. */
static void
region_moved(Region *region, void *opaque)
{
    HostRegion *entry = opaque;

    doorbells_follow(entry->instance, entry->id,
                     region_is_enabled(region) ? region_base(region) : UINT64_MAX);
}

static uint64_t
entry_read(void *opaque, uint64_t offset, unsigned size)
{
    HostRegion *entry = opaque;

    return entry->plugin.read(entry->plugin_opaque, offset, size);
}

static void
entry_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    HostRegion *entry = opaque;

    if (entry->has_doorbells && doorbell_intercept(entry, offset, size, value)) {
        return;
    }
    entry->plugin.write(entry->plugin_opaque, offset, size, value);
}

static void
entry_read_block(void *opaque, uint64_t offset, unsigned size, uint32_t count, void *data)
{
    HostRegion *entry = opaque;

    entry->plugin.read_block(entry->plugin_opaque, offset, size, count, data);
}

static void
entry_write_block(void *opaque, uint64_t offset, unsigned size, uint32_t count, const void *data)
{
    HostRegion *entry = opaque;

    entry->plugin.write_block(entry->plugin_opaque, offset, size, count, data);
}

static int
check_args(const struct bp_region_args *args)
{
    const uint32_t widths = BP_WIDTH_1 | BP_WIDTH_2 | BP_WIDTH_4 | BP_WIDTH_8;
    uint64_t limit = args->space == BP_SPACE_PIO ? PIO_SPACE_SIZE : UINT64_C(1) << 52;

    if (args->space < BP_SPACE_PIO || args->space > BP_SPACE_BAR || (args->widths & ~widths) != 0 ||
        (args->flags & ~(BP_REGION_POSTED_WRITES | BP_REGION_DISABLED)) != 0 || args->length == 0 ||
        args->length > limit || args->base > limit - args->length || args->bar > 5) {
        return -EINVAL;
    }
    return 0;
}

static int
place_fixed(HostRegion *entry, const struct bp_region_args *args)
{
    Instance *instance = entry->instance;
    const PhysicalBus *bus = &instance->services->bus;
    g_autoptr(GError) error = NULL;
    RegionArgs region_args = {
        .name = instance->id,
        .base = args->base,
        .length = args->length,
        .priority = REGION_PRIORITY_FIXED,
        .exclusive = true,
        .ops = &entry->ops,
        .opaque = entry,
        .lock = instance->vcpu_lock,
    };

    entry->region =
        region_new(args->space == BP_SPACE_PIO ? bus->pio : bus->mmio, &region_args, &error);
    if (entry->region == NULL) {
        host_log.error(instance, -EBUSY, NULL, error->message);
        return -EBUSY;
    }
    return 0;
}

static int
place_in_bar(HostRegion *entry, const struct bp_region_args *args)
{
    Instance *instance = entry->instance;
    g_autoptr(GError) error = NULL;

    if (instance->function == NULL) {
        return -ENOENT;
    }
    entry->in_bar = true;
    entry->region = pci_function_map_bar(instance->function, args->bar, args->base, args->length,
                                         &entry->ops, entry, instance->vcpu_lock, &error);
    if (entry->region == NULL) {
        host_log.error(instance, -EINVAL, NULL, error->message);
        return -ENOENT;
    }
    return 0;
}

static void
host_region_free(HostRegion *entry)
{
    if (entry->region != NULL && entry->in_bar) {
        pci_function_unmap_bar(entry->instance->function, entry->region);
    } else if (entry->region != NULL) {
        region_free(entry->region);
    }
    g_free(entry);
}

static int32_t
region_host_create(Instance *instance, const struct bp_region_args *given)
{
    struct bp_region_args args;
    struct bp_region_ops ops;
    HostRegion *entry;
    int result = args_copy(&args, sizeof(args), given);

    if (result == 0) {
        result = check_args(&args);
    }
    if (result == 0 && find_region(instance, args.id) != NULL) {
        result = -EEXIST;
    }
    if (result == 0) {
        result = table_copy(&ops, sizeof(ops), args.ops);
    }
    if (result == 0 && (ops.read == NULL || ops.write == NULL)) {
        result = -EINVAL;
    }
    if (result != 0) {
        return result;
    }
    entry = g_new0(HostRegion, 1);
    entry->instance = instance;
    entry->id = args.id;
    entry->wanted = !(args.flags & BP_REGION_DISABLED);
    entry->plugin = ops;
    entry->plugin_opaque = args.opaque;
    entry->ops = (RegionOps){
        .read = entry_read,
        .write = entry_write,
        .read_block = ops.read_block != NULL ? entry_read_block : NULL,
        .write_block = ops.write_block != NULL ? entry_write_block : NULL,
        .widths = args.widths != 0 ? args.widths : BP_WIDTH_1,
    };
    entry->pio = args.space == BP_SPACE_PIO ||
                 (args.space == BP_SPACE_BAR && (instance->io_bars & (1u << args.bar)) != 0);
    result = args.space == BP_SPACE_BAR ? place_in_bar(entry, &args) : place_fixed(entry, &args);
    if (result != 0) {
        host_region_free(entry);
        return result;
    }
    region_set_moved(entry->region, region_moved, entry);
    (void)id_table_add(&instance->regions, args.id, entry);
    if (instance->realized && entry->wanted && !entry->in_bar) {
        region_set_enabled(entry->region, true);
    }
    return 0;
}

static int32_t
region_host_enable(Instance *instance, uint32_t id, uint32_t enabled)
{
    HostRegion *entry = find_region(instance, id);

    if (entry == NULL) {
        return -ENOENT;
    }
    entry->wanted = enabled != 0;
    if (instance->realized && !entry->in_bar) {
        region_set_enabled(entry->region, enabled != 0);
    }
    return 0;
}

static int32_t
region_host_move(Instance *instance, uint32_t id, uint64_t base)
{
    HostRegion *entry = find_region(instance, id);
    uint64_t limit;

    if (entry == NULL) {
        return -ENOENT;
    }
    limit = entry->pio ? PIO_SPACE_SIZE : UINT64_C(1) << 52;
    if (entry->in_bar || base > limit - region_length(entry->region)) {
        return -EINVAL;
    }
    region_move(entry->region, base);
    return 0;
}

static int32_t
region_host_doorbell(Instance *instance, const struct bp_doorbell_args *given)
{
    struct bp_doorbell_args args;
    HostRegion *entry;
    int result = args_copy(&args, sizeof(args), given);

    if (result != 0) {
        return result;
    }
    entry = find_region(instance, args.region);
    if (entry == NULL || services_loop(instance->services, args.loop) == NULL) {
        return -ENOENT;
    }
    return doorbell_new(entry, &args);
}

static void
region_host_doorbell_remove(Instance *instance, uint32_t id)
{
    doorbell_remove(instance, id);
}

static void
enable_if_wanted(void *value, void *opaque)
{
    HostRegion *entry = value;

    if (entry->wanted && !entry->in_bar) {
        region_set_enabled(entry->region, true);
    }
}

void
host_region_realized(Instance *instance)
{
    id_table_foreach(&instance->regions, enable_if_wanted, NULL);
}

static void
free_entry(void *value)
{
    host_region_free(value);
}

void
host_region_withdraw(Instance *instance)
{
    doorbells_withdraw(instance);
    id_table_done(&instance->regions, free_entry);
}

const struct bp_region_host host_region = {
    .size = sizeof(host_region),
    .create = region_host_create,
    .enable = region_host_enable,
    .move = region_host_move,
    .doorbell = region_host_doorbell,
    .doorbell_remove = region_host_doorbell_remove,
};
