/* SPDX-License-Identifier: Apache-2.0 */
/* bp.memory/1: two ranges of RAM and the arena. */
#include "th.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_MAX     (UINT64_C(256) << 20)
#define ALIGNMENT_MAX (UINT64_C(2) << 20)

struct th_arena_piece {
    struct th_arena_piece *next;
    struct bp_instance *owner; /* NULL: the test's own */
    uint32_t id;
    uint8_t *memory;
    uint64_t length;
};

void
th_memory_init(struct th_host *th)
{
    static const uint64_t gpa[2] = {0, TH_HIGH_RAM_GPA};
    static const uint64_t length[2] = {TH_LOW_RAM_BYTES, TH_HIGH_RAM_BYTES};
    uint32_t i;

    for (i = 0; i < 2; i++) {
        th->ram[i] =
            mmap(NULL, length[i], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (th->ram[i] == MAP_FAILED) {
            perror("testhost: mmap");
            abort();
        }
        th->ranges[i].gpa = gpa[i];
        th->ranges[i].length = length[i];
        th->ranges[i].hva = th->ram[i];
        th->ranges[i].dirty = th_alloc(length[i] / 4096 / 8);
    }
    th->view.size = sizeof(th->view);
    th->view.generation = 1;
    th->view.range_count = 2;
    th->view.ranges = th->ranges;
}

void
th_memory_done(struct th_host *th)
{
    while (th->arena != NULL) {
        struct th_arena_piece *piece = th->arena;
        th->arena = piece->next;
        free(piece->memory);
        free(piece);
    }
    (void)munmap(th->ram[0], TH_LOW_RAM_BYTES);
    (void)munmap(th->ram[1], TH_HIGH_RAM_BYTES);
    free(th->ranges[0].dirty);
    free(th->ranges[1].dirty);
}

void *
th_ram(struct th_host *th, uint64_t gpa, uint64_t length)
{
    void *memory = bp_ram_translate(&th->view, gpa, length, 0);

    if (memory == NULL) {
        fprintf(stderr, "testhost: th_ram: no RAM at 0x%llx, length 0x%llx\n",
                (unsigned long long)gpa, (unsigned long long)length);
        abort();
    }
    return memory;
}

static int
lies_in(const void *data, uint64_t length, const uint8_t *memory, uint64_t size)
{
    uintptr_t offset = (uintptr_t)data - (uintptr_t)memory;

    return (uintptr_t)data >= (uintptr_t)memory && offset <= size && length <= size - offset;
}

int
th_is_shareable(struct th_host *th, const void *data, uint64_t length)
{
    const struct th_arena_piece *piece;
    uint32_t i;

    for (i = 0; i < 2; i++) {
        if (lies_in(data, length, th->ranges[i].hva, th->ranges[i].length)) {
            return 1;
        }
    }
    for (piece = th->arena; piece != NULL; piece = piece->next) {
        if (lies_in(data, length, piece->memory, piece->length)) {
            return 1;
        }
    }
    return 0;
}

static const struct bp_ram_view *
memory_view(struct bp_instance *instance)
{
    (void)th_call(instance, "memory.view", 0);
    return &instance->th->view;
}

static int32_t
memory_read(struct bp_instance *instance, uint64_t gpa, void *data, uint64_t length)
{
    struct bp_ram_view *view = &instance->th->view;
    uint64_t done, n;
    int32_t result = th_call(instance, "memory.read", TH_FAILS);

    if (result < 0) {
        return result;
    }
    for (done = 0; done < length; done += n) {
        n = bp_ram_contiguous(view, gpa + done);
        if (n == 0) {
            return -EFAULT;
        }
        n = n < length - done ? n : length - done;
    }
    for (done = 0; done < length; done += n) {
        n = bp_ram_contiguous(view, gpa + done);
        n = n < length - done ? n : length - done;
        memcpy((uint8_t *)data + done, bp_ram_translate(view, gpa + done, n, 0), n);
    }
    return 0;
}

static int32_t
memory_write(struct bp_instance *instance, uint64_t gpa, const void *data, uint64_t length)
{
    struct bp_ram_view *view = &instance->th->view;
    uint64_t done, n;
    int32_t result = th_call(instance, "memory.write", TH_FAILS);

    if (result < 0) {
        return result;
    }
    for (done = 0; done < length; done += n) {
        n = bp_ram_contiguous(view, gpa + done);
        if (n == 0) {
            return -EFAULT;
        }
        n = n < length - done ? n : length - done;
        memcpy(bp_ram_translate(view, gpa + done, n, 1), (const uint8_t *)data + done, n);
        bp_ram_mark_dirty(view, gpa + done, n);
    }
    return 0;
}

static int32_t
memory_map(struct bp_instance *instance, uint64_t gpa, uint64_t length, uint32_t write,
           struct bp_iovec *iov, uint32_t max)
{
    struct bp_ram_view *view = &instance->th->view;
    uint64_t done, n;
    uint32_t count = 0;
    int32_t result = th_call(instance, "memory.map", TH_FAILS);

    if (result < 0) {
        return result;
    }
    if (length == 0) {
        return -EINVAL;
    }
    for (done = 0; done < length; done += n) {
        n = bp_ram_contiguous(view, gpa + done);
        if (n == 0) {
            return -EFAULT;
        }
        if (count == max) {
            return -EMSGSIZE;
        }
        n = n < length - done ? n : length - done;
        iov[count].base = bp_ram_translate(view, gpa + done, n, write);
        iov[count].length = n;
        count++;
    }
    return (int32_t)count;
}

static void
memory_unmap(struct bp_instance *instance, uint64_t gpa, uint64_t written)
{
    (void)th_call(instance, "memory.unmap", 0);
    bp_ram_mark_dirty(&instance->th->view, gpa, written);
}

static struct th_arena_piece *
arena_add(struct th_host *th, struct bp_instance *owner, uint32_t id, uint64_t length,
          uint64_t alignment)
{
    struct th_arena_piece *piece = th_alloc(sizeof(*piece));

    alignment = alignment < sizeof(void *) ? sizeof(void *) : alignment;
    if (posix_memalign((void **)&piece->memory, alignment, length) != 0) {
        free(piece);
        return NULL;
    }
    memset(piece->memory, 0, length);
    piece->owner = owner;
    piece->id = id;
    piece->length = length;
    piece->next = th->arena;
    th->arena = piece;
    return piece;
}

static int32_t
memory_arena_alloc(struct bp_instance *instance, uint32_t id, uint64_t length, uint64_t alignment,
                   void **memory)
{
    struct th_arena_piece *piece;
    int32_t result = th_call(instance, "memory.arena_alloc", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    for (piece = instance->th->arena; piece != NULL; piece = piece->next) {
        if (piece->owner == instance && piece->id == id) {
            th_violate(instance->th, "%s: arena id %u made twice", instance->id, id);
            return -EEXIST;
        }
    }
    if (length == 0 || length > ARENA_MAX || alignment == 0 || alignment > ALIGNMENT_MAX ||
        (alignment & (alignment - 1)) != 0) {
        return -EINVAL;
    }
    piece = arena_add(instance->th, instance, id, length, alignment);
    if (piece == NULL) {
        return -ENOMEM;
    }
    *memory = piece->memory;
    return 0;
}

void *
th_arena(struct th_host *th, uint64_t length)
{
    struct th_arena_piece *piece = arena_add(th, NULL, 0, length, 4096);

    if (piece == NULL) {
        fprintf(stderr, "testhost: out of memory\n");
        abort();
    }
    return piece->memory;
}

/* Frees what matches; id NULL: all of the owner's. */
static void
arena_remove(struct bp_instance *owner, const uint32_t *id)
{
    struct th_arena_piece **link = &owner->th->arena;

    while (*link != NULL) {
        struct th_arena_piece *piece = *link;
        if (piece->owner == owner && (id == NULL || piece->id == *id)) {
            *link = piece->next;
            free(piece->memory);
            free(piece);
        } else {
            link = &piece->next;
        }
    }
}

static void
memory_arena_free(struct bp_instance *instance, uint32_t id)
{
    (void)th_call(instance, "memory.arena_free", TH_CONTROL);
    arena_remove(instance, &id);
}

void
th_arena_drop(struct bp_instance *instance)
{
    arena_remove(instance, NULL);
}

const struct bp_memory_host th_memory_table = {
    .size = sizeof(struct bp_memory_host),
    .view = memory_view,
    .read = memory_read,
    .write = memory_write,
    .map = memory_map,
    .unmap = memory_unmap,
    .arena_alloc = memory_arena_alloc,
    .arena_free = memory_arena_free,
};
