/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/doorbell.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct {
    HostRegion *region;
    uint32_t id;
    uint64_t offset;
    uint64_t value;
    uint32_t width;
    bool match;
    int fd;
    LoopFd *source;
    void (*ring)(void *opaque);
    int32_t (*poll)(void *opaque, uint32_t phase);
    void *opaque;
    GMutex lock;       /* protects: bound_at (a vCPU moves the region while another does) */
    uint64_t bound_at; /* where KVM's ioeventfd is; UINT64_MAX: nowhere */
} Doorbell;

static void
doorbell_ready(void *opaque, int fd, uint32_t events)
{
    Doorbell *doorbell = opaque;
    eventfd_t count;

    if (events == LOOP_EVENT_POLLED || eventfd_read(fd, &count) == 0) {
        doorbell->ring(doorbell->opaque);
    }
}

static bool
doorbell_poll(void *opaque, LoopPollPhase phase)
{
    Doorbell *doorbell = opaque;

    return doorbell->poll(doorbell->opaque, phase) > 0;
}

static void
doorbell_bind(Doorbell *doorbell, uint64_t base)
{
    Vm *vm = doorbell->region->instance->services->vm;
    uint64_t address = base == UINT64_MAX ? UINT64_MAX : base + doorbell->offset;
    VmIoeventfd ioeventfd = {
        .is_pio = doorbell->region->pio,
        .width = doorbell->width,
        .has_match = doorbell->match,
        .match = doorbell->value,
        .fd = doorbell->fd,
    };

    if (vm == NULL) {
        return;
    }
    g_mutex_lock(&doorbell->lock);
    if (doorbell->bound_at != UINT64_MAX && doorbell->bound_at != address) {
        ioeventfd.address = doorbell->bound_at;
        (void)vm_ioeventfd(vm, false, &ioeventfd);
        doorbell->bound_at = UINT64_MAX;
    }
    /* A refusal (no more KVM I/O buses, an address taken) is no error: the exit rings instead. */
    ioeventfd.address = address;
    if (address != UINT64_MAX && doorbell->bound_at == UINT64_MAX &&
        vm_ioeventfd(vm, true, &ioeventfd) == 0) {
        doorbell->bound_at = address;
    }
    g_mutex_unlock(&doorbell->lock);
}

static void
doorbell_free(void *value)
{
    Doorbell *doorbell = value;

    doorbell_bind(doorbell, UINT64_MAX);
    loop_fd_remove(doorbell->source);
    if (doorbell->fd >= 0) {
        (void)close(doorbell->fd);
    }
    g_mutex_clear(&doorbell->lock);
    g_free(doorbell);
}

static int
check_args(const HostRegion *region, const struct bp_doorbell_args *args)
{
    uint64_t length = region_length(region->region);
    uint32_t width = args->width;
    bool match = (args->flags & BP_DOORBELL_MATCH) != 0;

    if ((args->flags & ~BP_DOORBELL_MATCH) != 0 || args->ring == NULL ||
        (width != 0 && width != 1 && width != 2 && width != 4 && width != 8) ||
        (width == 0 && match) || args->offset >= length ||
        (width != 0 ? width : 1) > length - args->offset ||
        (match && width < 8 && args->value >> (8 * width) != 0)) {
        return -EINVAL;
    }
    return 0;
}

int
doorbell_new(HostRegion *region, const struct bp_doorbell_args *args)
{
    Instance *instance = region->instance;
    Doorbell *doorbell;
    int result = check_args(region, args);

    if (result != 0) {
        return result;
    }
    doorbell = g_new0(Doorbell, 1);
    g_mutex_init(&doorbell->lock);
    doorbell->region = region;
    doorbell->id = args->id;
    doorbell->offset = args->offset;
    doorbell->value = args->value;
    doorbell->width = args->width;
    doorbell->match = (args->flags & BP_DOORBELL_MATCH) != 0;
    doorbell->ring = args->ring;
    doorbell->poll = args->poll;
    doorbell->opaque = args->opaque;
    doorbell->bound_at = UINT64_MAX;
    doorbell->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (doorbell->fd < 0) {
        result = -errno;
    } else {
        result = id_table_add(&instance->doorbells, args->id, doorbell);
    }
    if (result != 0) {
        doorbell_free(doorbell);
        return result;
    }
    doorbell->source = loop_fd_add(services_loop(instance->services, args->loop), doorbell->fd,
                                   EPOLLIN, instance->loop_lock, doorbell_ready, doorbell);
    if (doorbell->poll != NULL && instance->loop_lock == NULL) {
        loop_fd_set_poll(doorbell->source, doorbell_poll);
    }
    region->has_doorbells = true;
    if (region_is_enabled(region->region)) {
        doorbell_bind(doorbell, region_base(region->region));
    }
    return 0;
}

void
doorbell_remove(Instance *instance, uint32_t id)
{
    Doorbell *doorbell = id_table_take(&instance->doorbells, id);

    if (doorbell != NULL) {
        doorbell_free(doorbell);
    }
}

typedef struct {
    uint32_t region_id;
    uint64_t base;
} FollowArgs;

static void
follow(void *value, void *opaque)
{
    Doorbell *doorbell = value;
    const FollowArgs *args = opaque;

    if (doorbell->region->id == args->region_id) {
        doorbell_bind(doorbell, args->base);
    }
}

void
doorbells_follow(Instance *instance, uint32_t region_id, uint64_t base)
{
    FollowArgs args = {region_id, base};

    id_table_foreach(&instance->doorbells, follow, &args);
}

typedef struct {
    const HostRegion *region;
    uint64_t offset;
    unsigned size;
    uint64_t value;
    bool rung;
} InterceptArgs;

static void
intercept(void *value, void *opaque)
{
    Doorbell *doorbell = value;
    InterceptArgs *args = opaque;

    if (doorbell->region == args->region && doorbell->offset == args->offset &&
        (doorbell->width == 0 || doorbell->width == args->size) &&
        (!doorbell->match || doorbell->value == args->value)) {
        (void)eventfd_write(doorbell->fd, 1);
        args->rung = true;
    }
}

bool
doorbell_intercept(HostRegion *region, uint64_t offset, unsigned size, uint64_t value)
{
    InterceptArgs args = {region, offset, size, value, false};

    id_table_foreach(&region->instance->doorbells, intercept, &args);
    return args.rung;
}

void
doorbells_withdraw(Instance *instance)
{
    id_table_done(&instance->doorbells, doorbell_free);
}
