/* SPDX-License-Identifier: Apache-2.0 */
/* MsiController for machines without KVM's: a message is a little-endian dword written to RAM. */
#include "board/msi_memory.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct MsiMemory {
    MsiController controller;
    const PhysicalBus *bus;
    Loop *loop;
};

struct MsiVector {
    GMutex lock; /* protects: the message and pending; taken by the loop around fd callbacks */
    MsiMemory *memory;
    bool enabled, pending;
    uint64_t address;
    uint32_t data;
    int fd; /* eventfd, -1 until somebody asks for it */
    LoopFd *source;
};

static void
vector_fire_locked(MsiVector *vector)
{
    uint32_t data = GUINT32_TO_LE(vector->data);
    void *hva;

    if (!vector->enabled) {
        vector->pending = true;
        return;
    }
    hva = guest_memory_translate(vector->memory->bus->memory, vector->address, sizeof(data));
    if (hva != NULL) {
        memcpy(hva, &data, sizeof(data));
    }
}

/* True if the eventfd had been signalled. */
static bool
vector_drain_fd(const MsiVector *vector)
{
    uint64_t count;

    return vector->fd >= 0 && read(vector->fd, &count, sizeof(count)) == sizeof(count);
}

static void
vector_fd_ready(void *opaque, int fd, uint32_t events)
{
    MsiVector *vector = opaque;

    if (vector_drain_fd(vector)) {
        vector_fire_locked(vector);
    }
}

static MsiVector *
msi_memory_vector_new(void *opaque, GError **error)
{
    MsiVector *vector = g_new0(MsiVector, 1);

    g_mutex_init(&vector->lock);
    vector->memory = opaque;
    vector->fd = -1;
    return vector;
}

static void
msi_memory_vector_free(void *opaque, MsiVector *vector)
{
    g_mutex_lock(&vector->lock);
    loop_fd_remove(vector->source);
    g_mutex_unlock(&vector->lock);
    fd_auto_close(&vector->fd);
    g_mutex_clear(&vector->lock);
    g_free(vector);
}

static void
msi_memory_vector_set(void *opaque, MsiVector *vector, bool enabled, uint64_t address,
                      uint32_t data)
{
    g_mutex_lock(&vector->lock);
    vector->enabled = enabled;
    vector->address = address;
    vector->data = data;
    g_mutex_unlock(&vector->lock);
}

static void
msi_memory_vector_fire(void *opaque, MsiVector *vector)
{
    g_mutex_lock(&vector->lock);
    vector_fire_locked(vector);
    g_mutex_unlock(&vector->lock);
}

static int
msi_memory_vector_eventfd(void *opaque, MsiVector *vector)
{
    MsiMemory *memory = opaque;
    int fd;

    g_mutex_lock(&vector->lock);
    if (vector->fd < 0) {
        vector->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (vector->fd >= 0) {
            vector->source = loop_fd_add(memory->loop, vector->fd, EPOLLIN, &vector->lock,
                                         vector_fd_ready, vector);
        }
    }
    fd = vector->fd >= 0 ? vector->fd : -errno;
    g_mutex_unlock(&vector->lock);
    return fd;
}

static bool
msi_memory_vector_take_pending(void *opaque, MsiVector *vector)
{
    bool pending;

    g_mutex_lock(&vector->lock);
    pending = vector_drain_fd(vector) || vector->pending;
    vector->pending = false;
    g_mutex_unlock(&vector->lock);
    return pending;
}

static const MsiOps msi_memory_ops = {
    .vector_new = msi_memory_vector_new,
    .vector_free = msi_memory_vector_free,
    .vector_set = msi_memory_vector_set,
    .vector_fire = msi_memory_vector_fire,
    .vector_eventfd = msi_memory_vector_eventfd,
    .vector_take_pending = msi_memory_vector_take_pending,
};

MsiMemory *
msi_memory_new(const PhysicalBus *bus, Loop *loop)
{
    MsiMemory *memory = g_new0(MsiMemory, 1);

    memory->controller.ops = &msi_memory_ops;
    memory->controller.opaque = memory;
    memory->bus = bus;
    memory->loop = loop;
    return memory;
}

void
msi_memory_free(MsiMemory *memory)
{
    g_free(memory);
}

MsiController *
msi_memory_controller(MsiMemory *memory)
{
    return &memory->controller;
}
