/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/instance.h"

#include "base/device_call.h"
#include "base/error.h"
#include "plugin/args.h"
#include "plugin/peer.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *id;
    const void *table;
} host_tables[] = {
    {BP_LOG_ID, &host_log},          {BP_CONFIG_ID, &host_config}, {BP_MEMORY_ID, &host_memory},
    {BP_REGION_ID, &host_region},    {BP_IRQ_ID, &host_irq},       {BP_PCI_ID, &host_pci},
    {BP_MSI_ID, &host_msi},          {BP_MSIX_ID, &host_msix},     {BP_ISADMA_ID, &host_isadma},
    {BP_TIMER_ID, &host_timer},      {BP_LOOP_ID, &host_loop},     {BP_CORE_ID, &host_core},
    {BP_MEDIA_HOST_ID, &host_media},
};

const void *
host_query(Instance *instance, const char *interface_id)
{
    size_t i;

    if (interface_id == NULL) {
        return NULL;
    }
    for (i = 0; i < G_N_ELEMENTS(host_tables); i++) {
        if (strcmp(interface_id, host_tables[i].id) == 0) {
            return host_tables[i].table;
        }
    }
    return NULL;
}

void
instance_lock(Instance *instance, DeviceCall *call)
{
    (void)device_call_enter(call, instance->vcpu_lock, NULL);
}

void
instance_set_error(Instance *instance, const char *what, int32_t code, GError **error)
{
    const Node *node =
        instance->failure_node != NULL ? instance->failure_node : instance->plan->node;
    g_autofree char *text = g_steal_pointer(&instance->failure);
    const char *reason = text != NULL ? text : g_strerror(-code);
    const char *kind = instance->plan->is_device ? "devices" : "backends";

    instance->failure_node = NULL;
    if (node->file != NULL && node->line != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN, "%s:%u: %s.%s: %s: %s", node->file,
                    node->line, kind, instance->id, what, reason);
    } else {
        g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN, "%s.%s: %s: %s", kind, instance->id, what,
                    reason);
    }
}

static void
free_boot_unit(void *value)
{
    BootUnit *unit = value;

    g_free(unit->unit);
    g_free(unit->path);
}

static void
free_node(void *value)
{
    node_free(value);
}

static void
free_peer(void *value)
{
    peer_free(value);
}

static Instance *
instance_alloc(Services *services, PlanInstance *plan, const struct bp_class *class)
{
    Instance *instance = g_new0(Instance, 1);

    instance->host.size = sizeof(instance->host);
    instance->host.query = host_query;
    instance->services = services;
    instance->plan = plan;
    instance->id = plan->id;
    instance->class = class;
    g_mutex_init(&instance->lock);
    if (class->thread_model != BP_THREADS_PARALLEL) {
        instance->vcpu_lock = &instance->lock;
    }
    if (class->thread_model == BP_THREADS_SERIAL) {
        instance->loop_lock = &instance->lock;
    }
    id_table_init(&instance->regions);
    id_table_init(&instance->doorbells);
    id_table_init(&instance->lines);
    id_table_init(&instance->timers);
    id_table_init(&instance->fds);
    id_table_init(&instance->events);
    id_table_init(&instance->threads);
    id_table_init(&instance->arenas);
    id_table_init(&instance->dma_channels);
    instance->peers = g_ptr_array_new_with_free_func(free_peer);
    instance->drives = g_ptr_array_new_with_free_func(g_free);
    instance->first_values = g_ptr_array_new_with_free_func(free_node);
    instance->set_values = g_hash_table_new(NULL, NULL);
    instance->boot_units = g_array_new(FALSE, TRUE, sizeof(BootUnit));
    g_array_set_clear_func(instance->boot_units, free_boot_unit);
    return instance;
}

const void *
instance_query(Instance *instance, const char *interface_id)
{
    return instance->class->query != NULL ? instance->class->query(instance->self, interface_id)
                                          : NULL;
}

Instance *
instance_new(Services *services, PlanInstance *plan, const Plugin *plugin, GError **error)
{
    Instance *instance = instance_alloc(services, plan, plugin_class(plugin, plan->class_index));
    struct bp_create args = {
        .size = sizeof(args),
        .host = &instance->host,
        .instance = instance,
        .id = instance->id,
        .config = plan->node,
    };
    void *self = NULL;
    DeviceCall call;
    int32_t result;

    instance_lock(instance, &call);
    result = instance->class->create(&args, &self);
    device_call_leave(&call);
    if (result < 0) {
        instance_set_error(instance, "cannot create it", result, error);
        instance_free(instance);
        return NULL;
    }
    instance->self = self;
    (void)table_copy(&instance->life, sizeof(instance->life), instance_query(instance, BP_LIFE_ID));
    (void)table_copy(&instance->state, sizeof(instance->state),
                     instance_query(instance, BP_STATE_ID));
    (void)table_copy(&instance->media, sizeof(instance->media),
                     instance_query(instance, BP_MEDIA_ID));
    return instance;
}

void
instance_hide(Instance *instance)
{
    if (instance->function != NULL) {
        pci_function_hide(instance->function);
    }
}

void
instance_free(Instance *instance)
{
    unsigned i;

    if (instance == NULL) {
        return;
    }
    instance_detach_all(instance);
    /* Sources of calls first, then what those calls use. */
    host_loop_stop_threads(instance);
    host_region_withdraw(instance);
    host_isadma_withdraw(instance);
    host_timer_withdraw(instance);
    host_irq_withdraw(instance);
    host_loop_withdraw(instance);
    host_pci_withdraw(instance);
    for (i = 0; i < instance->services->loops->len; i++) {
        loop_drain(instance->services->loops->pdata[i]);
    }
    if (instance->self != NULL && instance->class->destroy != NULL) {
        instance->class->destroy(instance->self);
    }
    host_memory_withdraw(instance);
    g_ptr_array_free(instance->peers, TRUE);
    g_ptr_array_free(instance->drives, TRUE);
    g_array_free(instance->boot_units, TRUE);
    g_ptr_array_free(instance->first_values, TRUE);
    g_hash_table_destroy(instance->set_values);
    g_free(instance->failure);
    g_mutex_clear(&instance->lock);
    g_free(instance);
}

bool
instance_realize(Instance *instance, GError **error)
{
    if (instance->life.realize != NULL) {
        DeviceCall call;
        int32_t result;
        instance_lock(instance, &call);
        result = instance->life.realize(instance->self);
        device_call_leave(&call);
        if (result < 0) {
            instance_set_error(instance, "cannot start it", result, error);
            return false;
        }
    }
    instance_learn_drives(instance);
    instance->realized = true;
    host_region_realized(instance);
    return true;
}

void
instance_start(Instance *instance)
{
    if (instance->life.start != NULL) {
        DeviceCall call;
        instance_lock(instance, &call);
        instance->life.start(instance->self);
        device_call_leave(&call);
    }
}

void
instance_stop(Instance *instance)
{
    if (instance->life.stop != NULL) {
        DeviceCall call;
        instance_lock(instance, &call);
        instance->life.stop(instance->self);
        device_call_leave(&call);
    }
}

void
instance_reset(Instance *instance, uint32_t kind)
{
    if (instance->life.reset != NULL) {
        DeviceCall call;
        instance_lock(instance, &call);
        instance->life.reset(instance->self, kind);
        device_call_leave(&call);
    }
    host_irq_reset(instance);
}

/* The place in the firmware's device tree that the instance's bus gives it; SeaBIOS matches the
 * part between '/' and '@' of a PCI device with anything. */
static char *
device_path(const Instance *instance)
{
    g_autofree char *bus = NULL;
    unsigned devfn;

    if (instance->function == NULL) {
        return g_strdup("/pci@i0cf8/isa@1");
    }
    devfn = pci_function_devfn(instance->function);
    bus = pci_function_parent_path(instance->function);
    return (devfn & 7) != 0 ? g_strdup_printf("%s/*@%x,%x", bus, devfn >> 3, devfn & 7)
                            : g_strdup_printf("%s/*@%x", bus, devfn >> 3);
}

char *
instance_boot_path(const Instance *instance, const char *unit)
{
    g_autofree char *base = device_path(instance);
    unsigned i;

    for (i = 0; i < instance->boot_units->len; i++) {
        const BootUnit *known = &g_array_index(instance->boot_units, BootUnit, i);
        if (strcmp(known->unit, unit) == 0) {
            return known->path[0] != '\0' ? g_strdup_printf("%s/%s", base, known->path)
                                          : g_steal_pointer(&base);
        }
    }
    if (unit[0] == '\0' && instance->function != NULL) {
        return g_steal_pointer(&base);
    }
    return NULL;
}
