/* SPDX-License-Identifier: Apache-2.0 */
/* The device as both interfaces see it: status, features, configuration space; and its life. */
#include "virtio_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORTS_MAX 8u /* of broken rings in the log: a guest could fill it */

const char *const bp_virtio_interfaces[] = {"transitional", "modern", "legacy", NULL};

const struct bp_prop bp_virtio_loop_element = {
    .name = "loop", .type = BP_PROP_UINT, .max = 63, .help = "number of an event loop"};

/* --- features ----------------------------------------------------------------------------------
 */

void
bp_virtio_offer(struct bp_virtio *virtio, uint64_t features, uint64_t modern_only)
{
    virtio->device_features = features;
    virtio->modern_only = modern_only;
}

/* What has no meaning on an interface is not shown there (6.3, 6.4). */
uint64_t
virtio_offered(const struct bp_virtio *virtio, uint32_t legacy)
{
    uint64_t features = virtio->transport_features | virtio->device_features;

    if (legacy) {
        return features & ~virtio->modern_only & UINT32_MAX;
    }
    return features & ~(BP_VIRTIO_F_NOTIFY_ON_EMPTY | BP_VIRTIO_F_ANY_LAYOUT);
}

uint64_t
bp_virtio_features(const struct bp_virtio *virtio)
{
    return atomic_load_explicit(&virtio->features, memory_order_relaxed);
}

uint32_t
bp_virtio_legacy(const struct bp_virtio *virtio)
{
    return !virtio_has(virtio, BP_VIRTIO_F_VERSION_1);
}

static int32_t
accept_features(struct bp_virtio *virtio, uint64_t features)
{
    int32_t result = 0;

    if (virtio->ops->features != NULL) {
        result = virtio->ops->features(virtio->opaque, features);
    }
    if (result >= 0) {
        atomic_store(&virtio->features, features);
    }
    return result;
}

/* A legacy driver has no FEATURES_OK: its choice holds as it is made. */
void
virtio_write_legacy_features(struct bp_virtio *virtio, uint32_t features)
{
    virtio->legacy = 1;
    virtio->driver_features = features & virtio_offered(virtio, 1);
    if (accept_features(virtio, virtio->driver_features) < 0) {
        bp_debug(virtio->host, "features %#x do not go together, ignoring them", features);
    }
}

/* 3.1.1 step 5, 6.1: only what was offered, and VERSION_1 with it. */
static uint32_t
check_features(struct bp_virtio *virtio)
{
    uint64_t chosen = virtio->driver_features;

    return (chosen & ~virtio_offered(virtio, 0)) == 0 && (chosen & BP_VIRTIO_F_VERSION_1) != 0 &&
           accept_features(virtio, chosen) >= 0;
}

/* --- status ------------------------------------------------------------------------------------
 */

static void
update_queues(struct bp_virtio *virtio)
{
    for (uint32_t i = 0; i < virtio->queue_count; i++) {
        virtqueue_update(&virtio->queues[i]);
    }
}

static uint32_t
chains_out(struct bp_virtio *virtio)
{
    for (uint32_t i = 0; i < virtio->queue_count; i++) {
        if (virtqueue_busy(&virtio->queues[i]) != 0) {
            return 1;
        }
    }
    return 0;
}

/* All registers are back at once; but the status does not read as 0 before the last request has
 * ended that could touch the driver's memory (4.1.4.3.1). */
static void
reset_device(struct bp_virtio *virtio)
{
    uint32_t i;

    for (i = 0; i < virtio->queue_count; i++) {
        virtqueue_reset(&virtio->queues[i]);
    }
    virtio->feature_select = virtio->driver_feature_select = 0;
    virtio->driver_features = 0;
    virtio->queue_select = 0;
    virtio->legacy = virtio->interface == VIRTIO_INTERFACE_LEGACY;
    atomic_store(&virtio->features, 0);
    atomic_store(&virtio->config_vector, VIRTIO_NO_VECTOR);
    atomic_store(&virtio->status, 0);
    atomic_store(&virtio->broken, 0);
    virtio_clear_isr(virtio);
    if (virtio->ops->reset != NULL) {
        virtio->ops->reset(virtio->opaque);
    }
    virtio->reset_pending = (uint8_t)chains_out(virtio);
}

uint32_t
virtio_read_status(struct bp_virtio *virtio)
{
    uint32_t status = atomic_load(&virtio->status);

    if (virtio->reset_pending && status == 0) {
        virtio->reset_pending = (uint8_t)chains_out(virtio);
        return virtio->reset_pending ? BP_VIRTIO_ACKNOWLEDGE : 0;
    }
    return status;
}

/* A driver sets bits and never clears one but by a reset (2.1.1); NEEDS_RESET is the device's. */
void
virtio_write_status(struct bp_virtio *virtio, uint32_t status)
{
    uint32_t before = atomic_load(&virtio->status);

    if (status == 0) {
        reset_device(virtio);
        return;
    }
    status |= before & BP_VIRTIO_NEEDS_RESET;
    if ((status & BP_VIRTIO_FEATURES_OK) && !(before & BP_VIRTIO_FEATURES_OK) && !virtio->legacy &&
        !check_features(virtio)) {
        status &= ~BP_VIRTIO_FEATURES_OK;
    }
    atomic_store(&virtio->status, status & 0xff);
    update_queues(virtio);
}

void
bp_virtio_broken(struct bp_virtio *virtio, const char *format, ...)
{
    char text[160];
    va_list arguments;
    uint32_t reports;

    if (atomic_exchange(&virtio->broken, 1)) {
        return;
    }
    reports = atomic_fetch_add(&virtio->reports, 1);
    if (reports < REPORTS_MAX) {
        va_start(arguments, format);
        /* The analyzer of clang 14 loses sight of va_start(). */
        (void)vsnprintf(text, sizeof(text), format, arguments); // NOLINT(clang-analyzer-valist.*)
        va_end(arguments);
        bp_warn(virtio->host, "%s, the device needs a reset%s", text,
                reports + 1 == REPORTS_MAX ? "; more of that will not be told" : "");
    }
    if (!bp_virtio_legacy(virtio)) { /* the bit is not known to legacy drivers */
        (void)atomic_fetch_or(&virtio->status, BP_VIRTIO_NEEDS_RESET);
        virtio_config_interrupt(virtio);
    }
}

/* --- configuration space -----------------------------------------------------------------------
 */

uint64_t
virtio_config_read(struct bp_virtio *virtio, uint64_t offset, uint32_t width)
{
    uint64_t value = 0;

    if (offset < virtio->config_length) {
        pthread_mutex_lock(&virtio->config_lock);
        value = bp_load_le(virtio->config + offset,
                           (uint32_t)bp_min_u64(width, virtio->config_length - offset));
        pthread_mutex_unlock(&virtio->config_lock);
    }
    return value;
}

void
virtio_config_write(struct bp_virtio *virtio, uint64_t offset, uint32_t width, uint64_t value)
{
    if (offset < virtio->config_length && width <= virtio->config_length - offset &&
        virtio->ops->config_write != NULL) {
        virtio->ops->config_write(virtio->opaque, (uint32_t)offset, width, value);
    }
}

/* 4.1.4.3.1: it changes with the space, when a driver could have noticed. */
uint32_t
virtio_generation(struct bp_virtio *virtio)
{
    uint32_t generation;

    pthread_mutex_lock(&virtio->config_lock);
    generation = virtio->generation;
    pthread_mutex_unlock(&virtio->config_lock);
    return generation;
}

void
bp_virtio_config_set(struct bp_virtio *virtio, uint32_t offset, const void *data, uint32_t length,
                     uint32_t notify)
{
    if (offset > virtio->config_length || length > virtio->config_length - offset) {
        return;
    }
    pthread_mutex_lock(&virtio->config_lock);
    memcpy(virtio->config + offset, data, length);
    virtio->generation++;
    pthread_mutex_unlock(&virtio->config_lock);
    if (notify) {
        virtio_config_interrupt(virtio);
    }
}

/* --- registers of queues -----------------------------------------------------------------------
 */

struct bp_virtqueue *
virtio_selected(struct bp_virtio *virtio)
{
    return virtio->queue_select < virtio->queue_count ? &virtio->queues[virtio->queue_select]
                                                      : NULL;
}

uint32_t
virtio_vector_or_none(const struct bp_virtio *virtio, uint32_t vector)
{
    return vector < virtio->vectors ? vector : VIRTIO_NO_VECTOR;
}

struct bp_virtqueue *
bp_virtio_queue(struct bp_virtio *virtio, uint32_t index)
{
    return index < virtio->queue_count ? &virtio->queues[index] : NULL;
}

/* --- life --------------------------------------------------------------------------------------
 */

static void
kick_all(struct bp_virtio *virtio, uint8_t retry)
{
    for (uint32_t i = 0; i < virtio->queue_count; i++) {
        struct bp_virtqueue *queue = &virtio->queues[i];
        pthread_mutex_lock(&queue->lock);
        queue->retry |= retry;
        pthread_mutex_unlock(&queue->lock);
        bp_virtqueue_kick(queue);
    }
}

void
virtio_set_master(struct bp_virtio *virtio, uint32_t master)
{
    if (atomic_exchange(&virtio->master, master) != master && master) {
        kick_all(virtio, 0);
    }
}

/* What is in flight comes back and is dropped; the registers stay, a successor may have them. */
void
bp_virtio_detach(struct bp_virtio *virtio)
{
    uint32_t stopped = atomic_exchange(&virtio->stopped, 1);

    for (uint32_t i = 0; i < virtio->queue_count; i++) {
        virtqueue_abandon(&virtio->queues[i]);
        if (virtio->ops->drain != NULL) {
            virtio->ops->drain(virtio->opaque, &virtio->queues[i]);
        }
    }
    atomic_store(&virtio->stopped, stopped);
}

void
bp_virtio_start(struct bp_virtio *virtio)
{
    atomic_store(&virtio->stopped, 0);
    kick_all(virtio, 1);
}

void
bp_virtio_stop(struct bp_virtio *virtio)
{
    atomic_store(&virtio->stopped, 1);
}

void
bp_virtio_reset(struct bp_virtio *virtio)
{
    reset_device(virtio);
    for (uint32_t i = 0; i < virtio->queue_count && virtio->ops->drain != NULL; i++) {
        virtio->ops->drain(virtio->opaque, &virtio->queues[i]);
    }
    virtio->reset_pending = (uint8_t)chains_out(virtio);
}

int32_t
bp_virtio_quiesce(struct bp_virtio *virtio)
{
    atomic_store(&virtio->quiesce_due, 1);
    atomic_store(&virtio->quiescing, 1);
    for (uint32_t i = 0; i < virtio->queue_count; i++) {
        if (virtqueue_in_flight(&virtio->queues[i]) != 0) {
            return BP_LIFE_PENDING;
        }
    }
    /* Whoever ends it: this call, or the last chain's push, which may have been at it. */
    return atomic_exchange(&virtio->quiesce_due, 0) ? 0 : BP_LIFE_PENDING;
}

void
bp_virtio_resume(struct bp_virtio *virtio)
{
    atomic_store(&virtio->quiesce_due, 0);
    atomic_store(&virtio->quiescing, 0);
    kick_all(virtio, 1);
}

void
bp_virtio_ram_changed(struct bp_virtio *virtio)
{
    for (uint32_t i = 0; i < virtio->queue_count; i++) {
        struct bp_virtqueue *queue = &virtio->queues[i];
        pthread_mutex_lock(&queue->lock);
        if (queue->live) {
            (void)virtqueue_remap(queue);
        }
        pthread_mutex_unlock(&queue->lock);
    }
}

/* --- creation ----------------------------------------------------------------------------------
 */

static uint32_t
option_bit(const struct bp_virtio_args *args, const char *name)
{
    return bp_option_bool(args->services, args->options, name, 0);
}

static void
take_features(struct bp_virtio *virtio, const struct bp_virtio_args *args)
{
    uint64_t features = BP_VIRTIO_F_NOTIFY_ON_EMPTY | BP_VIRTIO_F_ANY_LAYOUT;

    features |= option_bit(args, "indirect") ? BP_VIRTIO_F_INDIRECT_DESC : 0;
    features |= option_bit(args, "event_idx") ? BP_VIRTIO_F_EVENT_IDX : 0;
    if (virtio->interface != VIRTIO_INTERFACE_LEGACY) {
        features |= BP_VIRTIO_F_VERSION_1;
        features |= option_bit(args, "ring_reset") ? BP_VIRTIO_F_RING_RESET : 0;
        features |= option_bit(args, "packed") ? BP_VIRTIO_F_RING_PACKED : 0;
        features |= option_bit(args, "in_order") ? BP_VIRTIO_F_IN_ORDER : 0;
    }
    virtio->transport_features = features;
}

static int32_t
take_options(struct bp_virtio *virtio, const struct bp_virtio_args *args, uint32_t *size)
{
    const struct bp_services *host = args->services;
    const char *text = bp_option_str(host, args->options, "interface", "transitional");

    for (uint32_t i = 0; bp_virtio_interfaces[i] != NULL; i++) {
        if (strcmp(text, bp_virtio_interfaces[i]) == 0) {
            virtio->interface = i;
        }
    }
    *size = (uint32_t)bp_option_u64(host, args->options, "queue_size", 256);
    if (*size < 2 || *size > BP_VIRTIO_MAX_QUEUE_SIZE || (*size & (*size - 1)) != 0) {
        return bp_fail(host, -EINVAL, bp_option(host, args->options, "queue_size"),
                       "%u is not a power of two from 2 to %u", *size, BP_VIRTIO_MAX_QUEUE_SIZE);
    }
    if (virtio->interface == VIRTIO_INTERFACE_LEGACY && *size > VIRTIO_LEGACY_SIZE) {
        *size = VIRTIO_LEGACY_SIZE;
    }
    take_features(virtio, args);
    virtio->vectors = (uint32_t)bp_option_u64(host, args->options, "vectors", args->queues + 1u);
    virtio->vectors = virtio->vectors > 2048 ? 2048 : virtio->vectors;
    return 0;
}

static int32_t
check_loop(const struct bp_services *host, const struct bp_node *node, uint64_t loop)
{
    if (loop >= host->loop->count(host->instance)) {
        return bp_fail(host, -EINVAL, node, "there is no loop %u: machine.loops is %u",
                       (unsigned)loop, host->loop->count(host->instance));
    }
    return 0;
}

/* The loops of queue_loops in turn, or the instance's own. */
static int32_t
deal_loops(struct bp_virtio *virtio, const struct bp_virtio_args *args)
{
    const struct bp_services *host = args->services;
    const struct bp_node *list = bp_option(host, args->options, "queue_loops");
    uint32_t count = list != NULL ? host->config->count(host->instance, list) : 0;
    uint32_t queue;

    for (queue = 0; queue < virtio->queue_count && count == 0; queue++) {
        virtio->queues[queue].loop = host->loop->home(host->instance);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct bp_node *node = host->config->at(host->instance, list, i);
        uint64_t loop = UINT64_MAX;
        int32_t result = host->config->get_u64(host->instance, node, &loop);

        if (result >= 0) {
            result = check_loop(host, node, loop);
        }
        if (result < 0) {
            return result;
        }
        for (queue = i; queue < virtio->queue_count; queue += count) {
            virtio->queues[queue].loop = (uint32_t)loop;
        }
    }
    return 0;
}

static int32_t
make_queues(struct bp_virtio *virtio, const struct bp_virtio_args *args, uint32_t size)
{
    virtio->queues = calloc(args->queues, sizeof(*virtio->queues));
    if (virtio->queues == NULL) {
        return bp_fail(args->services, -ENOMEM, NULL, "out of memory");
    }
    virtio->queue_count = args->queues;
    for (uint32_t i = 0; i < args->queues; i++) {
        virtio->queues[i].max_size = size;
        if (virtqueue_init(virtio, i, args) != 0) {
            return bp_fail(args->services, -ENOMEM, NULL, "no memory for queue %u", i);
        }
    }
    return deal_loops(virtio, args);
}

void
bp_virtio_free(struct bp_virtio *virtio)
{
    if (virtio == NULL) {
        return;
    }
    for (uint32_t i = 0; i < virtio->queue_count; i++) {
        virtqueue_done(&virtio->queues[i]);
    }
    free(virtio->queues);
    (void)pthread_mutex_destroy(&virtio->irq_lock);
    (void)pthread_mutex_destroy(&virtio->config_lock);
    free(virtio);
}

static int32_t
check_args(const struct bp_virtio_args *args)
{
    return args->queues >= 1 && args->queues <= BP_VIRTIO_MAX_QUEUES &&
                   args->config_length <= BP_VIRTIO_MAX_CONFIG
               ? 0
               : bp_fail(args->services, -EINVAL, NULL,
                         "too many queues, or too much configuration");
}

int32_t
bp_virtio_new(const struct bp_virtio_args *args, struct bp_virtio **ret)
{
    struct bp_virtio *virtio = calloc(1, sizeof(*virtio));
    uint32_t size = 0;
    int32_t result;

    if (virtio == NULL) {
        return bp_fail(args->services, -ENOMEM, NULL, "out of memory");
    }
    (void)pthread_mutex_init(&virtio->irq_lock, NULL); /* these cannot fail with the defaults */
    (void)pthread_mutex_init(&virtio->config_lock, NULL);
    virtio->host = args->services;
    virtio->ops = args->ops;
    virtio->opaque = args->device;
    virtio->type = args->type;
    virtio->config_length = args->config_length;
    atomic_store(&virtio->stopped, 1);
    atomic_store(&virtio->config_vector, VIRTIO_NO_VECTOR);
    result = check_args(args);
    if (result == 0) {
        result = take_options(virtio, args, &size);
    }
    virtio->legacy = virtio->interface == VIRTIO_INTERFACE_LEGACY;
    if (result == 0) {
        result = make_queues(virtio, args, size);
    }
    if (result == 0) {
        result = virtio_pci_init(virtio, args);
    }
    if (result != 0) {
        bp_virtio_free(virtio);
        return result;
    }
    *ret = virtio;
    return 0;
}
