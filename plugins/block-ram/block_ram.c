/* SPDX-License-Identifier: Apache-2.0 */
/* block-ram: a disk in the host's memory, empty or loaded from an image, gone with the machine.
 *
 * The memory is a reservation of address space of which the first `capacity` bytes are accessible:
 * it costs nothing until it is written, discards give it back, and growing needs no move under the
 * requests that other threads are copying.
 *
 * Threads: submit() copies on its caller's thread; completions come on the queue's loop. */
#include <backplane/sdk/block.h>
#include <backplane/sdk/iovec.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLUGIN_VERSION "1.0"
#define PAGE           UINT64_C(4096)
#define MAX_TRANSFER   (1u << 20) /* copied inside submit(), which must not take long */
#define MAX_IOV        1024u
#define MAX_DISCARD    (16u << 20)
#define MAX_CAPACITY   (UINT64_C(1) << 44)
#define MIN_RESERVE    (UINT64_C(1) << 36) /* address space; room to grow */

struct block_ram {
    struct bp_services services;
    struct bp_block_ready_set queues;
    uint8_t *memory;
    uint64_t reserved; /* bytes of address space at memory */
    _Atomic(uint64_t) capacity;
    uint32_t readonly;
};

static uint64_t
round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

static void
describe(struct block_ram *ram, struct bp_block_info *info)
{
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    info->flags = BP_BLOCK_CAN_FUA;
    info->capacity = atomic_load_explicit(&ram->capacity, memory_order_acquire);
    info->block_size = BP_BLOCK_SECTOR;
    info->physical_block_size = BP_BLOCK_SECTOR;
    info->buffer_alignment = 1;
    info->max_transfer = MAX_TRANSFER;
    info->max_iov = MAX_IOV;
    if (ram->readonly) {
        info->flags |= BP_BLOCK_READONLY;
    } else {
        info->flags |= BP_BLOCK_CAN_DISCARD | BP_BLOCK_CAN_ZERO | BP_BLOCK_CAN_ZERO_DISCARD |
                       BP_BLOCK_CAN_RESIZE;
        info->discard_granularity = (uint32_t)PAGE;
        info->max_discard = MAX_DISCARD;
    }
}

static int32_t
block_ram_info(void *self, struct bp_block_info *info)
{
    struct bp_block_info full;

    describe(self, &full);
    bp_block_info_copy(info, &full);
    return 0;
}

/* Whole pages go back to the host and read as zeroes from then on; the rest is cleared. */
static int32_t
clear(struct block_ram *ram, uint64_t start, uint64_t end)
{
    uint64_t first_page = round_up(start, PAGE), last_page = end / PAGE * PAGE;

    if (first_page >= last_page) {
        memset(ram->memory + start, 0, end - start);
        return 0;
    }
    memset(ram->memory + start, 0, first_page - start);
    memset(ram->memory + last_page, 0, end - last_page);
    return madvise(ram->memory + first_page, last_page - first_page, MADV_DONTNEED) < 0 ? -errno
                                                                                        : 0;
}

static int32_t
carry_out(struct block_ram *ram, const struct bp_block_request *request)
{
    uint8_t *place = ram->memory + request->offset;

    switch (request->op) {
    case BP_BLOCK_READ:
        (void)bp_iovec_write(request->iov, request->iov_count, 0, place, request->length);
        return 0;
    case BP_BLOCK_WRITE:
        (void)bp_iovec_read(request->iov, request->iov_count, 0, place, request->length);
        return 0;
    case BP_BLOCK_DISCARD:
        return clear(ram, request->offset, request->offset + request->length);
    case BP_BLOCK_WRITE_ZEROES:
        if ((request->flags & BP_BLOCK_UNMAP) != 0) {
            return clear(ram, request->offset, request->offset + request->length);
        }
        memset(place, 0, request->length);
        return 0;
    default:
        return 0;
    }
}

static int32_t
block_ram_queue_open(void *self, const struct bp_block_queue_args *given, void **ret_queue)
{
    struct block_ram *ram = self;
    struct bp_block_client client;
    struct bp_block_queue_args args;
    struct bp_block_ready *queue;
    int32_t result = bp_block_queue_args_copy(&args, &client, given);

    if (result == 0) {
        result = bp_block_ready_open(&ram->queues, &args, &queue);
    }
    if (result == 0) {
        *ret_queue = queue;
    }
    return result;
}

static void
block_ram_queue_close(void *self, void *queue)
{
    struct block_ram *ram = self;

    bp_block_ready_close(&ram->queues, queue);
}

static int32_t
block_ram_submit(void *self, void *queue, const struct bp_block_request *requests, uint32_t count)
{
    struct block_ram *ram = self;
    uint32_t i, room = bp_block_ready_room(queue);
    struct bp_block_info info;

    describe(ram, &info);
    count = count < room ? count : room;
    for (i = 0; i < count; i++) {
        int32_t status = bp_block_check(&requests[i], &info);

        if (status == 0) {
            status = carry_out(ram, &requests[i]);
        }
        bp_block_ready_add(queue, requests[i].user, status, 0);
    }
    if (count > 0) {
        bp_block_ready_kick(queue);
    }
    return (int32_t)count;
}

static void
block_ram_drain(void *self, void *queue)
{
    bp_block_ready_drain(queue);
}

/* Makes [0, capacity) accessible. */
static int32_t
open_up(struct block_ram *ram, uint64_t capacity)
{
    if (mprotect(ram->memory, round_up(capacity, PAGE), PROT_READ | PROT_WRITE) < 0) {
        return errno == ENOMEM ? -ENOSPC : -errno;
    }
    return 0;
}

static int32_t
block_ram_resize(void *self, uint64_t capacity)
{
    struct block_ram *ram = self;
    uint64_t before = atomic_load(&ram->capacity);
    int32_t result = 0;

    if (ram->readonly) {
        return -EROFS;
    }
    if (capacity == 0 || capacity % BP_BLOCK_SECTOR != 0) {
        return -EINVAL;
    }
    if (capacity > ram->reserved) {
        return -ENOSPC;
    }
    if (capacity > before) {
        result = open_up(ram, capacity);
        /* A request that ran beside an earlier shrinking may have left something there. */
        if (result == 0) {
            result = clear(ram, before, capacity);
        }
        if (result == 0) {
            atomic_store_explicit(&ram->capacity, capacity, memory_order_release);
        }
    } else if (capacity < before) {
        /* What is cut off stays accessible: a request may be at it. */
        atomic_store_explicit(&ram->capacity, capacity, memory_order_release);
        result = clear(ram, capacity, before);
    }
    if (result == 0 && capacity != before) {
        bp_block_ready_event(&ram->queues, BP_BLOCK_EVENT_RESIZED);
    }
    return result;
}

static const struct bp_block_ops block_ram_ops = {
    .size = sizeof(block_ram_ops),
    .info = block_ram_info,
    .queue_open = block_ram_queue_open,
    .queue_close = block_ram_queue_close,
    .submit = block_ram_submit,
    .drain = block_ram_drain,
    .resize = block_ram_resize,
};

static const void *
block_ram_query(void *self, const char *interface_id)
{
    return strcmp(interface_id, BP_BLOCK_ID) == 0 ? &block_ram_ops : NULL;
}

/* --- creation -------------------------------------------------------------------------------- */

static int32_t
make_memory(struct block_ram *ram, uint64_t capacity, const struct bp_node *node)
{
    const struct bp_services *services = &ram->services;
    void *memory;
    int32_t result;

    if (capacity == 0 || capacity > MAX_CAPACITY || capacity % BP_BLOCK_SECTOR != 0) {
        return bp_fail(services, -EINVAL, node,
                       "size must be a multiple of 512 up to 16 TiB, not %" PRIu64, capacity);
    }
    ram->reserved = round_up(capacity > MIN_RESERVE ? capacity : MIN_RESERVE, PAGE);
    memory =
        mmap(NULL, ram->reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        /* A limit on address space: do without room to grow. */
        ram->reserved = round_up(capacity, PAGE);
        memory = mmap(NULL, ram->reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
    }
    if (memory == MAP_FAILED) {
        return bp_fail(services, -ENOMEM, node, "no address space for %" PRIu64 " bytes", capacity);
    }
    ram->memory = memory;
    result = open_up(ram, capacity);
    if (result != 0) {
        return bp_fail(services, -ENOMEM, node, "no memory for %" PRIu64 " bytes", capacity);
    }
    atomic_store(&ram->capacity, capacity);
    return 0;
}

static int32_t
load(struct block_ram *ram, int fd, uint64_t length, const struct bp_node *node, const char *path)
{
    uint64_t position = 0;

    while (position < length) {
        ssize_t done = pread(fd, ram->memory + position, length - position, (off_t)position);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            int32_t code = done < 0 ? -errno : -EIO;
            return bp_fail(&ram->services, code, node, "cannot read '%s': %s", path,
                           done < 0 ? strerror(-code) : "it became shorter");
        }
        position += (uint64_t)done;
    }
    return 0;
}

/* Makes the memory and copies the image into it. */
static int32_t
make_from_image(struct block_ram *ram, int fd, uint64_t size, const struct bp_node *node,
                const char *path)
{
    struct stat status;
    uint64_t length;
    int32_t result;

    if (fstat(fd, &status) < 0) {
        return bp_fail(&ram->services, -errno, node, "cannot ask about '%s'", path);
    }
    if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        return bp_fail(&ram->services, -EINVAL, node, "'%s' is %s", path,
                       S_ISDIR(status.st_mode)   ? "a directory, not an image"
                       : S_ISREG(status.st_mode) ? "empty"
                                                 : "no regular file");
    }
    length = (uint64_t)status.st_size;
    if (size != 0 && size < length) {
        return bp_fail(&ram->services, -EINVAL, node,
                       "'%s' has %" PRIu64 " bytes, more than size = %" PRIu64, path, length, size);
    }
    result = make_memory(ram, size != 0 ? size : round_up(length, BP_BLOCK_SECTOR), node);
    return result == 0 ? load(ram, fd, length, node, path) : result;
}

static int32_t
set_up(struct block_ram *ram, const struct bp_node *options)
{
    const struct bp_services *services = &ram->services;
    const struct bp_node *node = bp_option(services, options, "image");
    const char *path = bp_option_str(services, options, "image", NULL);
    uint64_t size = bp_option_u64(services, options, "size", 0);
    int32_t fd, result;

    ram->readonly = bp_option_bool(services, options, "readonly", 0);
    if (path == NULL && size == 0) {
        return bp_fail(services, -EINVAL, NULL, "give it a size, or an image to load, or both");
    }
    if (path == NULL) {
        return make_memory(ram, size, bp_option(services, options, "size"));
    }
    fd = services->core->open(services->instance, path, BP_OPEN_READ);
    if (fd < 0) {
        return bp_fail(services, fd, node, "cannot open '%s': %s", path, strerror(-fd));
    }
    result = make_from_image(ram, fd, size, node, path);
    (void)close(fd);
    return result;
}

static void
block_ram_destroy(void *self)
{
    struct block_ram *ram = self;

    if (ram == NULL) {
        return;
    }
    bp_block_ready_done(&ram->queues);
    if (ram->memory != NULL) {
        (void)munmap(ram->memory, ram->reserved);
    }
    free(ram);
}

static int32_t
block_ram_create(const struct bp_create *args, void **self)
{
    struct block_ram *ram = calloc(1, sizeof(*ram));
    int32_t result;

    if (ram == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&ram->services, args->host, args->instance);
    ram->queues.services = &ram->services;
    result = set_up(ram, args->config);
    if (result != 0) {
        block_ram_destroy(ram);
        return result;
    }
    *self = ram;
    return 0;
}

static const struct bp_prop block_ram_props[] = {
    {.name = "size",
     .type = BP_PROP_SIZE,
     .min = 512,
     .max = INT64_C(1) << 44,
     .help = "capacity; the image's if not given"},
    {.name = "image", .type = BP_PROP_PATH, .help = "file to load at the start; never written"},
    {.name = "readonly", .type = BP_PROP_BOOL, .def = "false", .help = "refuse writes"},
    {.name = NULL},
};

static const char *const block_ram_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class block_ram_class = {
    .size = sizeof(block_ram_class),
    .kind = BP_KIND_BACKEND,
    .name = "block-ram",
    .thread_model = BP_THREADS_PARALLEL,
    .bus = BP_BUS_NONE,
    .help = "disk in the host's memory",
    .props = block_ram_props,
    .provides = block_ram_provides,
    .create = block_ram_create,
    .destroy = block_ram_destroy,
    .query = block_ram_query,
};

static const struct bp_class *const block_ram_classes[] = {&block_ram_class, NULL};

BP_PLUGIN_NOTE(.id = "block-ram", .version = PLUGIN_VERSION,
               .classes = {{"block-ram", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0},
                         BP_NEED(BP_CORE_ID, struct bp_core_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "block-ram",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "disk in the host's memory",
    .classes = block_ram_classes,
};
