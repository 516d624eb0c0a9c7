/* SPDX-License-Identifier: Apache-2.0 */
/* bp.memory/1: guest RAM in place, checked access, and the arena (memfd-backed, so that it can be
 * handed to another process). */
#include "plugin/instance.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENA_MAX_LENGTH    (UINT64_C(256) << 20)
#define ARENA_MAX_ALIGNMENT (UINT64_C(2) << 20)

typedef struct {
    void *mapping;
    size_t mapping_length;
    int fd;
} Arena;

static const struct bp_ram_view *
memory_host_view(Instance *instance)
{
    return &instance->services->ram_view;
}

/* Reads go through the CPU's view, so that ROM is readable and the shadow segment is what the guest
 * sees. */
static int32_t
memory_host_read(Instance *instance, uint64_t gpa, void *data, uint64_t length)
{
    GuestMemory *memory = instance->services->bus.memory;
    uint8_t *out = data;

    while (length > 0) {
        uint8_t *hva = NULL;
        uint64_t piece = guest_memory_lookup(memory, gpa, length, false, &hva);
        if (piece == 0 || hva == NULL) {
            return -EFAULT;
        }
        memcpy(out, hva, piece);
        out += piece;
        gpa += piece;
        length -= piece;
    }
    return 0;
}

static int32_t
memory_host_write(Instance *instance, uint64_t gpa, const void *data, uint64_t length)
{
    const struct bp_ram_view *view = &instance->services->ram_view;
    const uint8_t *in = data;

    while (length > 0) {
        uint64_t piece = MIN(bp_ram_contiguous(view, gpa), length);
        void *hva = piece != 0 ? bp_ram_translate(view, gpa, piece, 1) : NULL;
        if (hva == NULL) {
            return -EFAULT;
        }
        memcpy(hva, in, piece);
        bp_ram_mark_dirty(view, gpa, piece);
        in += piece;
        gpa += piece;
        length -= piece;
    }
    return 0;
}

static int32_t
memory_host_map(Instance *instance, uint64_t gpa, uint64_t length, uint32_t write,
                struct bp_iovec *iov, uint32_t max)
{
    const struct bp_ram_view *view = &instance->services->ram_view;
    uint32_t count = 0;

    if (length == 0) {
        return -EINVAL;
    }
    while (length > 0) {
        uint64_t piece = MIN(bp_ram_contiguous(view, gpa), length);
        void *hva = piece != 0 ? bp_ram_translate(view, gpa, piece, write) : NULL;
        if (hva == NULL) {
            return -EFAULT;
        }
        if (count == max) {
            return -EMSGSIZE;
        }
        iov[count].base = hva;
        iov[count].length = piece;
        count++;
        gpa += piece;
        length -= piece;
    }
    return (int32_t)count;
}

static void
memory_host_unmap(Instance *instance, uint64_t gpa, uint64_t written)
{
    const struct bp_ram_view *view = &instance->services->ram_view;

    while (written > 0) {
        uint64_t piece = MIN(bp_ram_contiguous(view, gpa), written);
        if (piece == 0) {
            return;
        }
        bp_ram_mark_dirty(view, gpa, piece);
        gpa += piece;
        written -= piece;
    }
}

static void
arena_free(void *value)
{
    Arena *arena = value;

    if (arena->mapping != NULL) {
        (void)munmap(arena->mapping, arena->mapping_length);
    }
    if (arena->fd >= 0) {
        (void)close(arena->fd);
    }
    g_free(arena);
}

static Arena *
arena_new(uint64_t length)
{
    Arena *arena = g_new0(Arena, 1);

    arena->fd = memfd_create("backplane-arena", MFD_CLOEXEC);
    if (arena->fd >= 0 && ftruncate(arena->fd, (off_t)length) == 0) {
        void *mapping = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd, 0);
        if (mapping != MAP_FAILED) {
            arena->mapping = mapping;
            arena->mapping_length = length;
            return arena;
        }
    }
    arena_free(arena);
    return NULL;
}

static int32_t
memory_host_arena_alloc(Instance *instance, uint32_t id, uint64_t length, uint64_t alignment,
                        void **memory)
{
    Arena *arena;
    int result;

    if (length == 0 || length > ARENA_MAX_LENGTH || alignment == 0 ||
        alignment > ARENA_MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0) {
        return -EINVAL;
    }
    /* mmap gives page alignment; for more, map that much more and align inside. */
    arena = arena_new(length + (alignment > 4096 ? alignment : 0));
    if (arena == NULL) {
        return -ENOMEM;
    }
    result = id_table_add(&instance->arenas, id, arena);
    if (result != 0) {
        arena_free(arena);
        return result;
    }
    *memory = (void *)(((uintptr_t)arena->mapping + alignment - 1) & ~(uintptr_t)(alignment - 1));
    return 0;
}

static void
memory_host_arena_free(Instance *instance, uint32_t id)
{
    Arena *arena = id_table_take(&instance->arenas, id);

    if (arena != NULL) {
        arena_free(arena);
    }
}

void
host_memory_withdraw(Instance *instance)
{
    id_table_done(&instance->arenas, arena_free);
}

const struct bp_memory_host host_memory = {
    .size = sizeof(host_memory),
    .view = memory_host_view,
    .read = memory_host_read,
    .write = memory_host_write,
    .map = memory_host_map,
    .unmap = memory_host_unmap,
    .arena_alloc = memory_host_arena_alloc,
    .arena_free = memory_host_arena_free,
};
