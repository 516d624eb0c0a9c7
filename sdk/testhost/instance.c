/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an instance: create -> attach -> realize -> reset -> start ... -> destroy. */
#include "th.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HAS(instance, member) ((instance)->has_life && (instance)->life.member != NULL)

static void
result_clear(struct th_host *th)
{
    th->status = 0;
    th->error_text[0] = '\0';
}

/* A failure that the user is told nothing about is a defect of the plugin. */
static int32_t
result_set(struct bp_instance *instance, const char *what, int32_t status)
{
    struct th_host *th = instance->th;

    if (status < 0 && th->error_text[0] == '\0') {
        th_violate(th, "%s: %s failed with %d and did not say why (log.error)", instance->id, what,
                   status);
    }
    if (status > 0) {
        th_violate(th, "%s: %s returned %d", instance->id, what, status);
        status = -EINVAL;
    }
    th->status = status;
    return status;
}

static const struct bp_class *
class_find(const struct bp_plugin *plugin, const char *name)
{
    const struct bp_class *const *class = plugin->classes;

    for (; *class != NULL; class ++) {
        if (name == NULL || strcmp((*class)->name, name) == 0) {
            return *class;
        }
    }
    return NULL;
}

static void
uses_free(struct th_slot_use *use)
{
    while (use != NULL) {
        struct th_slot_use *next = use->next;
        free(use->backend);
        free(use);
        use = next;
    }
}

static void
withdraw(struct bp_instance *instance)
{
    th_region_drop(instance);
    th_irq_drop(instance);
    th_timer_drop(instance);
    th_dma_drop(instance);
    th_loop_drop(instance);
}

static void
finish(struct bp_instance *instance)
{
    th_threads_stop(instance);
    withdraw(instance);
    if (instance->self != NULL && instance->class.destroy != NULL) {
        instance->class.destroy(instance->self);
    }
    instance->self = NULL;
    instance->destroyed = 1;
    th_threads_stop(instance);
    withdraw(instance);
    th_pci_drop(instance);
    th_core_drop(instance);
    th_arena_drop(instance);
    uses_free(instance->uses);
    instance->uses = NULL;
}

static int
check_class(struct th_host *th, const struct bp_plugin *plugin, const struct bp_class *class,
            const char *name)
{
    if (plugin->magic != BP_PLUGIN_MAGIC || plugin->abi_major != BP_ABI_MAJOR) {
        th_violate(th, "plugin '%s': magic or ABI of the descriptor is wrong", plugin->id);
    }
    if (class == NULL) {
        (void)snprintf(th->error_text, sizeof(th->error_text), "plugin '%s' has no class '%s'",
                       plugin->id, name == NULL ? "" : name);
        th->status = -ENOENT;
        return -1;
    }
    if (class->kind == BP_KIND_BACKEND && class->thread_model == BP_THREADS_SERIAL) {
        th_violate(th, "class '%s': a backend is never SERIAL", class->name);
    }
    return 0;
}

static struct bp_instance *
instance_new(struct th_host *th, const struct bp_plugin *plugin, const struct bp_class *class,
             const char *id)
{
    struct bp_instance *instance = th_alloc(sizeof(*instance));

    instance->th = th;
    instance->plugin = plugin;
    th_copy_table(&instance->class, sizeof(instance->class), class);
    instance->id = th_strdup(id);
    instance->host.size = sizeof(instance->host);
    instance->host.query = th_query;
    return instance;
}

struct bp_instance *
th_create(struct th_host *th, const struct bp_plugin *plugin, const char *class_name,
          const char *id, const char *options)
{
    const struct bp_class *class = class_find(plugin, class_name);
    struct {
        struct bp_create now;
        uint64_t later[TH_FUTURE_BYTES / 8];
    } args = {.now.size = sizeof(args.now)};
    struct bp_instance *instance;
    const struct bp_life_ops *life;
    int32_t status;

    result_clear(th);
    if (check_class(th, plugin, class, class_name) != 0) {
        return NULL;
    }
    instance = instance_new(th, plugin, class, id);
    instance->config = th_config_new(th, &instance->class, options, &instance->uses, th->error_text,
                                     sizeof(th->error_text));
    instance->next = th->instances;
    th->instances = instance;
    if (instance->config == NULL) {
        instance->destroyed = 1;
        uses_free(instance->uses);
        instance->uses = NULL;
        th->status = -EINVAL;
        return NULL;
    }
    instance->loop = th_config_loop(instance->config);
    args.now.size = th->is_future ? sizeof(args) : sizeof(args.now);
    args.now.host = th_future_table(th, &instance->host);
    args.now.instance = instance;
    args.now.id = instance->id;
    args.now.config = instance->config;
    status = result_set(instance, "create()", instance->class.create(&args.now, &instance->self));
    if (status < 0) {
        if (instance->self != NULL) {
            th_violate(th, "%s: create() failed and touched *self", instance->id);
            instance->self = NULL;
        }
        finish(instance);
        return NULL;
    }
    life = th_table(instance, BP_LIFE_ID);
    if (life != NULL) {
        th_copy_table(&instance->life, sizeof(instance->life), life);
        instance->has_life = 1;
    }
    return instance;
}

/* --- slots ----------------------------------------------------------------------------------- */

static int
find_peer(struct th_host *th, const char *id, const char *interface_id, struct bp_peer *peer)
{
    const struct th_backend *backend = th_find_backend(th, id);
    struct bp_instance *other = th_find_instance(th, id);

    peer->size = sizeof(*peer);
    peer->id = id;
    peer->interface_id = interface_id;
    if (backend != NULL && strcmp(backend->interface_id, interface_id) == 0) {
        peer->table = th_future_table(th, backend->table);
        peer->self = backend->self;
    } else if (other != NULL) {
        peer->table = th_future_table(th, th_table(other, interface_id));
        peer->self = other->self;
    }
    return peer->table == NULL ? -1 : 0;
}

static struct th_slot_use *
use_find(struct bp_instance *instance, uint32_t slot, uint32_t number)
{
    struct th_slot_use *use;

    for (use = instance->uses; use != NULL; use = use->next) {
        if (use->slot == slot && use->use == number) {
            return use;
        }
    }
    use = th_alloc(sizeof(*use));
    use->slot = slot;
    use->use = number;
    use->next = instance->uses;
    instance->uses = use;
    return use;
}

int32_t
th_attach(struct bp_instance *instance, uint32_t slot, uint32_t number, const char *backend)
{
    struct th_host *th = instance->th;
    struct th_slot_use *use = use_find(instance, slot, number);
    struct bp_peer peer = {.size = 0};
    int32_t status;

    result_clear(th);
    if (find_peer(th, backend, instance->class.slots[slot].interface_id, &peer) != 0) {
        (void)snprintf(th->error_text, sizeof(th->error_text), "no backend '%s' with %s", backend,
                       instance->class.slots[slot].interface_id);
        return th->status = -ENOENT;
    }
    if (!HAS(instance, attach)) {
        th_violate(th, "%s: it has slots and no life.attach", instance->id);
        return th->status = -EINVAL;
    }
    status = result_set(instance, "life.attach",
                        instance->life.attach(instance->self, slot, number, &peer));
    use->attached = status == 0;
    if (use->backend == NULL || strcmp(use->backend, backend) != 0) {
        free(use->backend);
        use->backend = th_strdup(backend);
    }
    return status;
}

void
th_detach(struct bp_instance *instance, uint32_t slot, uint32_t number)
{
    struct th_slot_use *use = use_find(instance, slot, number);
    const struct th_backend *backend;

    if (!use->attached) {
        return;
    }
    if (HAS(instance, detach)) {
        instance->life.detach(instance->self, slot, number);
    }
    use->attached = 0;
    backend = th_find_backend(instance->th, use->backend);
    if (backend != NULL && backend->busy(backend->self)) {
        th_violate(instance->th, "%s: after life.detach backend '%s' is still connected",
                   instance->id, use->backend);
    }
}

int32_t
th_attach_all(struct bp_instance *instance)
{
    const struct th_slot_use *use;

    for (use = instance->uses; use != NULL; use = use->next) {
        int32_t status = th_attach(instance, use->slot, use->use, use->backend);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

/* --- steps ----------------------------------------------------------------------------------- */

int32_t
th_realize(struct bp_instance *instance)
{
    int32_t status = 0;

    result_clear(instance->th);
    if (HAS(instance, realize)) {
        status = result_set(instance, "life.realize", instance->life.realize(instance->self));
    }
    instance->realized = status == 0;
    return status;
}

void
th_reset(struct bp_instance *instance, uint32_t kind)
{
    if (kind != BP_RESET_BUS || instance->pci != NULL) {
        th_pci_reset(instance);
    }
    th_irq_reset(instance);
    if (HAS(instance, reset)) {
        instance->life.reset(instance->self, kind);
    }
}

void
th_start(struct bp_instance *instance)
{
    instance->started = 1;
    if (HAS(instance, start)) {
        instance->life.start(instance->self);
    }
}

void
th_stop(struct bp_instance *instance)
{
    instance->started = 0;
    if (HAS(instance, stop)) {
        instance->life.stop(instance->self);
    }
}

static int
is_quiesced(void *opaque)
{
    return !((struct bp_instance *)opaque)->quiesce_pending;
}

int32_t
th_quiesce(struct bp_instance *instance)
{
    struct timespec now;
    int32_t status;

    if (!HAS(instance, quiesce)) {
        return 0;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    instance->quiesce_pending = 1;
    instance->quiesce_status = -ETIMEDOUT;
    status = instance->life.quiesce(instance->self, (uint64_t)now.tv_sec * 1000000000 + 5000000000);
    if (status == BP_LIFE_PENDING) {
        (void)th_run_until(instance->th, is_quiesced, instance, 5000);
        return instance->quiesce_status;
    }
    instance->quiesce_pending = 0;
    return status;
}

void
th_resume(struct bp_instance *instance)
{
    if (HAS(instance, resume)) {
        instance->life.resume(instance->self);
    }
}

int32_t
th_unplug_request(struct bp_instance *instance)
{
    return HAS(instance, unplug_request) ? instance->life.unplug_request(instance->self)
                                         : -EOPNOTSUPP;
}

int32_t
th_set(struct bp_instance *instance, const char *name, const char *value)
{
    struct th_host *th = instance->th;
    const struct bp_prop *prop = instance->class.props;
    struct bp_node *node;
    int32_t status;

    result_clear(th);
    while (prop != NULL && prop->name != NULL && strcmp(prop->name, name) != 0) {
        prop++;
    }
    if (prop == NULL || prop->name == NULL || !(prop->flags & BP_PROP_RUNTIME) ||
        !HAS(instance, set)) {
        return th->status = -EINVAL;
    }
    node = th_config_value(prop, value, th->error_text, sizeof(th->error_text));
    if (node == NULL) {
        return th->status = -EINVAL;
    }
    status = result_set(instance, "life.set", instance->life.set(instance->self, name, node));
    th_config_free(node);
    return status;
}

void
th_destroy(struct bp_instance *instance)
{
    struct th_slot_use *use;

    if (instance->started) {
        th_stop(instance);
    }
    for (use = instance->uses; use != NULL; use = use->next) {
        th_detach(instance, use->slot, use->use);
    }
    finish(instance);
}

struct bp_instance *
th_plug_class(struct th_host *th, const struct bp_plugin *plugin, const char *class_name,
              const char *id, const char *options)
{
    struct bp_instance *instance = th_create(th, plugin, class_name, id, options);
    char text[TH_TEXT_MAX];
    int32_t status;

    if (instance == NULL) {
        return NULL;
    }
    status = th_attach_all(instance);
    if (status == 0) {
        status = th_realize(instance);
    }
    if (status < 0) {
        (void)snprintf(text, sizeof(text), "%s", th->error_text);
        th_destroy(instance);
        memcpy(th->error_text, text, sizeof(text));
        th->status = status;
        return NULL;
    }
    th_reset(instance, BP_RESET_POWER_ON);
    th_start(instance);
    return instance;
}

struct bp_instance *
th_plug(struct th_host *th, const struct bp_plugin *plugin, const char *id, const char *options)
{
    return th_plug_class(th, plugin, NULL, id, options);
}

void *
th_self(struct bp_instance *instance)
{
    return instance->self;
}

const void *
th_table(struct bp_instance *instance, const char *interface_id)
{
    return instance->class.query == NULL ? NULL
                                         : instance->class.query(instance->self, interface_id);
}
