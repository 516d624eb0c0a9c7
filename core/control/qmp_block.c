/* SPDX-License-Identifier: Apache-2.0 */
/* Disks, drives, and the backends behind them. */
#include "control/qmp_private.h"

#include "config/description.h"
#include "plugin/args.h"

#include <errno.h>
#include <string.h>

static bool
block_ops(const Instance *backend, struct bp_block_ops *ops)
{
    const void *table = instance_query((Instance *)(uintptr_t)backend, BP_BLOCK_ID);

    return table != NULL && table_copy(ops, sizeof(*ops), table) == 0 && ops->info != NULL;
}

bool
qmp_block_info(const Instance *backend, struct bp_block_info *info)
{
    struct bp_block_ops ops;

    *info = (struct bp_block_info){.size = sizeof(*info)};
    return block_ops(backend, &ops) && ops.info(backend->self, info) == 0;
}

bool
qmp_is_block_slot(const MachineSlot *slot)
{
    return strcmp(machine_slot_class(slot)->interface_id, BP_BLOCK_ID) == 0;
}

MachineSlot *
qmp_block_slot(QmpCall *call)
{
    const char *device = qmp_text(call, "device", NULL);
    const char *id = qmp_text(call, "id", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(MachineSlot) slot = NULL;

    if ((device == NULL) == (id == NULL)) {
        qmp_call_fail(call, "GenericError", "Need exactly one of 'device' and 'id'");
        return NULL;
    }
    slot = machine_slot_find(call->machine, id != NULL ? id : device, &error);
    if (slot == NULL) {
        qmp_call_take_error(call, error);
        return NULL;
    }
    if (!qmp_is_block_slot(slot)) {
        qmp_call_fail(call, "GenericError", "Device does not have a block device backend");
        return NULL;
    }
    return g_steal_pointer(&slot);
}

/* --- what there is ------------------------------------------------------------------------------
 */

static JsonObject *
describe_cache(const Instance *backend, const struct bp_block_info *info)
{
    const char *mode = node_text(node_child(backend->plan->node, "cache"), "");
    JsonObject *cache = json_object_new();
    bool direct = strcmp(mode, "none") == 0 || strcmp(mode, "directsync") == 0;

    json_object_set_boolean_member(cache, "writeback", (info->flags & BP_BLOCK_WRITE_CACHE) != 0);
    json_object_set_boolean_member(cache, "direct", direct);
    json_object_set_boolean_member(cache, "no-flush", strcmp(mode, "unsafe") == 0);
    return cache;
}

JsonObject *
qmp_block_describe(Machine *machine, Instance *backend)
{
    static const char *const limits[] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};
    const char *file = node_text(node_child(backend->plan->node, "path"), backend->id);
    const char *driver = backend->class->name;
    JsonObject *object = json_object_new(), *image = json_object_new();
    struct bp_block_info info;
    size_t i;

    (void)qmp_block_info(backend, &info);
    json_object_set_string_member(object, "file", file);
    json_object_set_string_member(object, "node-name", backend->id);
    json_object_set_boolean_member(object, "ro", (info.flags & BP_BLOCK_READONLY) != 0);
    json_object_set_string_member(object, "drv", driver);
    json_object_set_int_member(object, "backing_file_depth", 0);
    json_object_set_boolean_member(object, "encrypted", FALSE);
    json_object_set_string_member(
        object, "detect_zeroes",
        node_text(node_child(backend->plan->node, "detect_zeroes"), "off"));
    for (i = 0; i < G_N_ELEMENTS(limits); i++) {
        json_object_set_int_member(object, limits[i], 0);
    }
    json_object_set_int_member(object, "write_threshold", 0);
    json_object_set_object_member(object, "cache", describe_cache(backend, &info));
    json_object_set_string_member(image, "filename", file);
    json_object_set_string_member(image, "format", driver);
    json_object_set_int_member(image, "virtual-size", (gint64)info.capacity);
    json_object_set_boolean_member(image, "dirty-flag", FALSE);
    json_object_set_object_member(object, "image", image);
    return object;
}

/* Devices call a drive by its place in events. */
static const char *
io_status(const Machine *machine, const MachineSlot *slot)
{
    return machine_io_status(machine, slot->unit_name != NULL ? slot->unit_name : slot->name);
}

static JsonObject *
describe_slot(Machine *machine, const MachineSlot *slot)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "device", slot->name);
    json_object_set_string_member(object, "qdev", slot->name);
    json_object_set_string_member(object, "type", "unknown");
    json_object_set_boolean_member(object, "removable", (slot->flags & BP_MEDIA_REMOVABLE) != 0);
    json_object_set_boolean_member(object, "locked", (slot->flags & BP_MEDIA_LOCKED) != 0);
    if ((slot->flags & BP_MEDIA_TRAY) != 0) {
        json_object_set_boolean_member(object, "tray_open", (slot->flags & BP_MEDIA_OPEN) != 0);
    }
    json_object_set_string_member(object, "io-status", io_status(machine, slot));
    if (slot->backend != NULL) {
        json_object_set_object_member(object, "inserted",
                                      qmp_block_describe(machine, slot->backend));
    }
    return object;
}

void
qmp_query_block(QmpCall *call)
{
    g_autoptr(GPtrArray) slots = machine_slots(call->machine, true);
    JsonArray *list = json_array_new();
    guint i;

    for (i = 0; i < slots->len; i++) {
        if (qmp_is_block_slot(slots->pdata[i])) {
            json_array_add_object_element(list, describe_slot(call->machine, slots->pdata[i]));
        }
    }
    qmp_call_return_array(call, list);
}

void
qmp_query_named_block_nodes(QmpCall *call)
{
    const GPtrArray *backends = machine_backends(call->machine);
    JsonArray *list = json_array_new();
    struct bp_block_ops ops;
    guint i;

    for (i = 0; i < backends->len; i++) {
        if (block_ops(backends->pdata[i], &ops)) {
            json_array_add_object_element(list,
                                          qmp_block_describe(call->machine, backends->pdata[i]));
        }
    }
    qmp_call_return_array(call, list);
}

/* --- capacity -----------------------------------------------------------------------------------
 */

static Instance *
find_storage(QmpCall *call)
{
    const char *device = qmp_text(call, "device", "");
    const char *node = qmp_text(call, "node-name", "");
    g_autoptr(MachineSlot) slot = machine_slot_find(call->machine, device, NULL);
    Instance *backend = machine_backend_find(call->machine, device[0] != '\0' ? device : node);

    if (slot != NULL && qmp_is_block_slot(slot)) {
        backend = slot->backend;
        if (backend == NULL) {
            qmp_call_fail(call, "GenericError", "Device '%s' has no medium", device);
            return NULL;
        }
    }
    if (backend == NULL) {
        qmp_call_fail(call, "GenericError", "Cannot find device='%.64s' nor node-name='%.64s'",
                      device, node);
    }
    return backend;
}

static void
resize_failed(QmpCall *call, int32_t result)
{
    switch (result) {
    case -EOPNOTSUPP:
        qmp_call_fail(call, "GenericError", "Image format driver does not support resize");
        break;
    case -EROFS:
        qmp_call_fail(call, "GenericError", "Image is read-only");
        break;
    case -EINVAL:
        qmp_call_fail(call, "GenericError", "'size' must be a multiple of the block size");
        break;
    default:
        qmp_call_fail(call, "GenericError", "Could not resize image: %s", g_strerror(-result));
        break;
    }
}

void
qmp_block_resize(QmpCall *call)
{
    int64_t size = qmp_number(call, "size", 0);
    Instance *backend = find_storage(call);
    struct bp_block_ops ops;
    int32_t result = -EOPNOTSUPP;

    if (backend == NULL) {
        return;
    }
    if (size < 0) {
        qmp_call_fail(call, "GenericError", "Parameter 'size' expects a >0 size");
        return;
    }
    if (block_ops(backend, &ops) && ops.resize != NULL) {
        result = ops.resize(backend->self, (uint64_t)size);
    }
    if (result < 0) {
        resize_failed(call, result);
    }
}

/* --- come and go --------------------------------------------------------------------------------
 */

/* A format's plugin is called after it; plain images are those of files. */
char *
qmp_block_plugin(Machine *machine, const char *driver)
{
    bool is_plain = strcmp(driver, "raw") == 0 || strcmp(driver, "host_device") == 0;
    g_autofree char *name = g_strdup_printf("block-%s", is_plain ? "file" : driver);
    PluginSearch *search = machine_plan(machine)->search;

    if (plugin_search_find(search, driver, NULL) != NULL) {
        return g_strdup(driver);
    }
    return plugin_search_find(search, name, NULL) != NULL ? g_steal_pointer(&name) : NULL;
}

static void
add_text(Node *group, const char *name, const char *text)
{
    Node *node = node_new(BP_NODE_STRING, name, FILE_CONTROL, 0);

    node_set_text(node, text);
    g_ptr_array_add(group->children, node);
}

Node *
qmp_block_options(QmpCall *call, const char *id, const char *format, const char *filename,
                  bool readonly)
{
    g_autofree char *plugin = qmp_block_plugin(call->machine, format);
    Node *group, *flag;

    if (plugin == NULL) {
        qmp_call_fail(call, "GenericError", "Unknown driver '%.64s'", format);
        return NULL;
    }
    group = node_new(BP_NODE_GROUP, id, FILE_CONTROL, 0);
    add_text(group, "plugin", plugin);
    add_text(group, "path", filename);
    flag = node_new(BP_NODE_BOOL, "readonly", FILE_CONTROL, 0);
    flag->boolean = readonly;
    g_ptr_array_add(group->children, flag);
    return group;
}

void
qmp_blockdev_add(QmpCall *call)
{
    const char *id = qmp_text(call, "node-name", NULL);
    g_autoptr(GError) error = NULL;
    Node *options;

    if (id == NULL) {
        qmp_call_fail(call, "GenericError", "'node-name' must be specified for the root node");
        return;
    }
    if (machine_backend_find(call->machine, id) != NULL) {
        qmp_call_fail(call, "GenericError", "Duplicate nodes with node-name='%s'", id);
        return;
    }
    options = qmp_blockdev_options(call, call->arguments);
    if (options != NULL && machine_backend_add(call->machine, options, &error) == NULL) {
        qmp_call_take_error(call, error);
    }
}

void
qmp_blockdev_del(QmpCall *call)
{
    const char *id = qmp_text(call, "node-name", "");
    Instance *backend = machine_backend_find(call->machine, id);
    g_autoptr(GError) error = NULL;

    if (backend == NULL) {
        qmp_call_fail(call, "GenericError", "Failed to find node with node-name='%.64s'", id);
    } else if (!machine_backend_remove(call->machine, backend, &error)) {
        qmp_call_take_error(call, error);
    }
}
