/* SPDX-License-Identifier: Apache-2.0 */
/* block-file: raw image files and block devices as bp.block/1.
 *
 * Threads: submit and cancel on any thread; completions on the loop of each queue; requests that
 * must block on workers, see pool.h; everything else on the control thread. */
#include "block_file.h"

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"

static int32_t
block_file_info(void *self, struct bp_block_info *info)
{
    struct block_file *file = self;
    struct bp_block_info full;

    memset(&full, 0, sizeof(full));
    image_info(&file->image, &full);
    bp_block_info_copy(info, &full);
    return 0;
}

/* -ENOMEM: rings count against RLIMIT_MEMLOCK. */
static uint32_t
is_refused(int32_t code)
{
    return code == -ENOSYS || code == -EPERM || code == -EACCES || code == -ENOMEM;
}

/* A queue by io_uring, or by threads where that is refused. The first queue decides. */
static int32_t
open_queue(struct block_file *file, struct queue **ret_queue,
           const struct bp_block_queue_args *args)
{
    int32_t result;

    if (file->engine != ENGINE_THREADS) {
        result = queue_new(ret_queue, &file->pool, file->next_queue_id, args, 1);
        if (file->engine == ENGINE_RING || !is_refused(result)) {
            return result;
        }
        bp_info(&file->services, "no io_uring here (%s): using %u threads", strerror(-result),
                file->threads);
        file->engine = ENGINE_THREADS;
    }
    return queue_new(ret_queue, &file->pool, file->next_queue_id, args, 0);
}

static uint32_t
workers_wanted(const struct block_file *file)
{
    if (file->engine == ENGINE_THREADS) {
        return file->threads;
    }
    return image_tracks_writes(&file->image) ? HELPERS_MANY : HELPERS;
}

/* Tried once: what one queue is refused, the others are not worth asking for. */
static void
pin_memory(struct block_file *file, struct queue *queue)
{
    int32_t result = file->pins ? queue_pin(queue) : 0;

    if (result != 0) {
        file->pins = 0;
        bp_info(&file->services,
                "guest memory cannot be pinned (%s): going on without; its size must fit in "
                "RLIMIT_MEMLOCK (ulimit -l) once for each queue",
                strerror(-result));
    }
}

static int32_t
block_file_queue_open(void *self, const struct bp_block_queue_args *given, void **ret_queue)
{
    struct block_file *file = self;
    struct bp_block_client client;
    struct bp_block_queue_args args;
    struct queue *queue;
    int32_t result = bp_block_queue_args_copy(&args, &client, given);

    if (result != 0) {
        return result;
    }
    result = open_queue(file, &queue, &args);
    if (result != 0) {
        return result;
    }
    if (file->engine == ENGINE_UNKNOWN) {
        file->engine = ENGINE_RING;
    }
    result = pool_start(&file->pool, workers_wanted(file));
    if (result != 0) {
        queue_free(queue);
        return result;
    }
    pin_memory(file, queue);
    file->next_queue_id++;
    queue->next = file->queues;
    file->queues = queue;
    *ret_queue = queue;
    return 0;
}

static void
block_file_queue_close(void *self, void *queue)
{
    struct block_file *file = self;
    struct queue **place = &file->queues;

    while (*place != NULL && *place != queue) {
        place = &(*place)->next;
    }
    if (*place != NULL) {
        *place = (*place)->next;
        queue_free(queue);
    }
}

static int32_t
block_file_submit(void *self, void *queue, const struct bp_block_request *requests, uint32_t count)
{
    return queue_submit(queue, requests, count);
}

static void
block_file_cancel(void *self, void *queue, uint64_t user)
{
    queue_cancel(queue, user);
}

static void
block_file_drain(void *self, void *queue)
{
    queue_drain(queue);
}

static int32_t
block_file_resize(void *self, uint64_t capacity)
{
    struct block_file *file = self;
    struct queue *queue;
    uint32_t changed;
    int32_t result = image_resize(&file->image, capacity, &changed);

    for (queue = file->queues; changed && queue != NULL; queue = queue->next) {
        queue_event(queue, BP_BLOCK_EVENT_RESIZED);
    }
    return result;
}

static const struct bp_block_ops block_file_ops = {
    .size = sizeof(block_file_ops),
    .info = block_file_info,
    .queue_open = block_file_queue_open,
    .queue_close = block_file_queue_close,
    .submit = block_file_submit,
    .cancel = block_file_cancel,
    .drain = block_file_drain,
    .resize = block_file_resize,
};

static void
block_file_ram_changed(void *self)
{
    struct block_file *file = self;
    struct queue *queue;

    for (queue = file->queues; queue != NULL; queue = queue->next) {
        pin_memory(file, queue);
    }
}

static const struct bp_life_ops block_file_life = {
    .size = sizeof(block_file_life),
    .ram_changed = block_file_ram_changed,
};

static const void *
block_file_query(void *self, const char *interface_id)
{
    if (strcmp(interface_id, BP_LIFE_ID) == 0) {
        return &block_file_life;
    }
    return strcmp(interface_id, BP_BLOCK_ID) == 0 ? &block_file_ops : NULL;
}

/* Someone who asks for io_uring by name learns at once that there is none. */
static int32_t
choose_engine(struct block_file *file, const struct bp_node *options)
{
    const struct bp_node *node = bp_option(&file->services, options, "aio");
    const char *aio = bp_option_str(&file->services, options, "aio", "auto");
    struct ring *ring;
    int32_t result;

    file->threads = (uint32_t)bp_option_u64(&file->services, options, "threads", 8);
    if (file->threads == 0 || file->threads > POOL_MAX_WORKERS) {
        file->threads = POOL_MAX_WORKERS;
    }
    if (strcmp(aio, "threads") == 0) {
        file->engine = ENGINE_THREADS;
    } else if (strcmp(aio, "io_uring") == 0) {
        result = ring_open(&ring, 1, &file->image);
        if (result == -ENOSYS) {
            return bp_fail(&file->services, result, node,
                           "this kernel or this build has no io_uring: set aio = \"auto\"");
        }
        if (result != 0) {
            return bp_fail(&file->services, result, node,
                           "io_uring is refused (%s), see /proc/sys/kernel/io_uring_disabled: set "
                           "aio = \"auto\"",
                           strerror(-result));
        }
        ring_close(ring);
        file->engine = ENGINE_RING;
    }
    return 0;
}

static int32_t
block_file_create(const struct bp_create *args, void **self)
{
    struct block_file *file = calloc(1, sizeof(*file));
    int32_t result;

    if (file == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&file->services, args->host, args->instance);
    result = image_open(&file->image, &file->services, args->config);
    if (result != 0) {
        free(file);
        return result;
    }
    result = choose_engine(file, args->config);
    if (result != 0) {
        image_close(&file->image);
        free(file);
        return result;
    }
    file->pins = bp_option_bool(&file->services, args->config, "pin_memory", 0);
    pool_init(&file->pool, &file->services, &file->image);
    *self = file;
    return 0;
}

static void
block_file_destroy(void *self)
{
    struct block_file *file = self;

    if (file == NULL) {
        return;
    }
    while (file->queues != NULL) {
        struct queue *queue = file->queues;

        file->queues = queue->next;
        queue_abandon(queue);
    }
    pool_done(&file->pool);
    image_close(&file->image);
    free(file);
}

static const char *const cache_choices[] = {"none",       "writeback", "writethrough",
                                            "directsync", "unsafe",    NULL};
static const char *const aio_choices[] = {"auto", "io_uring", "threads", NULL};
static const char *const discard_choices[] = {"unmap", "ignore", NULL};
static const char *const detect_choices[] = {"off", "on", "unmap", NULL};
static const char *const auto_choices[] = {"auto", "on", "off", NULL};

static const struct bp_prop block_file_props[] = {
    {.name = "path",
     .type = BP_PROP_PATH,
     .flags = BP_PROP_REQUIRED,
     .help = "image file or block device"},
    {.name = "readonly", .type = BP_PROP_BOOL, .def = "false", .help = "open for reading only"},
    {.name = "create",
     .type = BP_PROP_SIZE,
     .min = 512,
     .max = INT64_MAX / 2,
     .help = "make the file, sparse and of this size, if it is missing"},
    {.name = "cache",
     .type = BP_PROP_ENUM,
     .def = "writeback",
     .help = "use of the host's page cache, see the manual",
     .choices = cache_choices},
    {.name = "aio",
     .type = BP_PROP_ENUM,
     .def = "auto",
     .help = "how requests are carried out",
     .choices = aio_choices},
    {.name = "threads",
     .type = BP_PROP_UINT,
     .def = "8",
     .min = 1,
     .max = POOL_MAX_WORKERS,
     .help = "threads where io_uring is not used"},
    {.name = "pin_memory",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "register guest memory with io_uring: less work for each request, all of it stays "
             "resident"},
    {.name = "discard",
     .type = BP_PROP_ENUM,
     .def = "unmap",
     .help = "what a guest's discard does",
     .choices = discard_choices},
    {.name = "detect_zeroes",
     .type = BP_PROP_ENUM,
     .def = "off",
     .help = "turn writes of zeroes into zeroed ranges or holes",
     .choices = detect_choices},
    {.name = "lock",
     .type = BP_PROP_ENUM,
     .def = "auto",
     .help = "keep other processes from using the image",
     .choices = auto_choices},
    {.name = "rotational",
     .type = BP_PROP_ENUM,
     .def = "auto",
     .help = "tell the guest that the disk spins",
     .choices = auto_choices},
    {.name = "physical_block_size",
     .type = BP_PROP_SIZE,
     .min = 512,
     .max = 65536,
     .help = "block the guest should align to, instead of the host's"},
    {.name = NULL},
};

static const char *const block_file_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class block_file_class = {
    .size = sizeof(block_file_class),
    .kind = BP_KIND_BACKEND,
    .name = "block-file",
    .thread_model = BP_THREADS_PARALLEL,
    .bus = BP_BUS_NONE,
    .help = "raw image file or block device",
    .props = block_file_props,
    .provides = block_file_provides,
    .create = block_file_create,
    .destroy = block_file_destroy,
    .query = block_file_query,
};

static const struct bp_class *const block_file_classes[] = {&block_file_class, NULL};

BP_PLUGIN_NOTE(.id = "block-file", .version = PLUGIN_VERSION,
               .classes = {{"block-file", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0},
                         BP_NEED(BP_CORE_ID, struct bp_core_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "block-file",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "raw image files and block devices",
    .classes = block_file_classes,
};
