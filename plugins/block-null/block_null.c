/* SPDX-License-Identifier: Apache-2.0 */
/* block-null: a disk of any size that holds nothing. Reads give one byte over and over, writes are
 * dropped. For benchmarks of everything above it, and with latency_ns for tests that need requests
 * in flight.
 *
 * Threads: submit() does all the work on its caller's thread;
 * completions come on the queue's loop. */
#include <backplane/sdk/block.h>
#include <backplane/sdk/iovec.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"
#define MAX_TRANSFER   (32u << 20)
#define MAX_IOV        1024u
#define MAX_DISCARD    (1u << 30)
#define MAX_LATENCY_NS INT64_C(60000000000)

struct block_null {
    struct bp_services services;
    struct bp_block_ready_set queues;
    _Atomic(uint64_t) capacity;
    uint32_t readonly;
    uint32_t block_size;
    uint8_t pattern;
    uint64_t latency_ns;
    uint32_t has_lifetime;
    struct bp_block_lifetime lifetime;
};

static void
describe(struct block_null *null, struct bp_block_info *info)
{
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    info->flags = BP_BLOCK_CAN_FUA;
    info->flags |= null->readonly ? BP_BLOCK_READONLY : BP_BLOCK_CAN_RESIZE;
    info->capacity = atomic_load(&null->capacity);
    info->block_size = null->block_size;
    info->physical_block_size = null->block_size;
    info->buffer_alignment = 1;
    info->max_transfer = MAX_TRANSFER;
    info->max_iov = MAX_IOV;
    if (null->has_lifetime) {
        info->flags |= BP_BLOCK_HAS_LIFETIME;
        info->lifetime = null->lifetime;
    }
    if (!null->readonly) {
        info->flags |= BP_BLOCK_CAN_DISCARD | BP_BLOCK_CAN_ZERO;
        info->discard_granularity = null->block_size;
        info->max_discard = MAX_DISCARD;
    }
}

static int32_t
block_null_info(void *self, struct bp_block_info *info)
{
    struct bp_block_info full;

    describe(self, &full);
    bp_block_info_copy(info, &full);
    return 0;
}

static int32_t
block_null_queue_open(void *self, const struct bp_block_queue_args *given, void **ret_queue)
{
    struct block_null *null = self;
    struct bp_block_client client;
    struct bp_block_queue_args args;
    struct bp_block_ready *queue;
    int32_t result = bp_block_queue_args_copy(&args, &client, given);

    if (result == 0) {
        result = bp_block_ready_open(&null->queues, &args, &queue);
    }
    if (result == 0) {
        *ret_queue = queue;
    }
    return result;
}

static void
block_null_queue_close(void *self, void *queue)
{
    struct block_null *null = self;

    bp_block_ready_close(&null->queues, queue);
}

static int32_t
block_null_submit(void *self, void *queue, const struct bp_block_request *requests, uint32_t count)
{
    struct block_null *null = self;
    uint32_t i, room = bp_block_ready_room(queue);
    struct bp_block_info info;

    describe(null, &info);
    count = count < room ? count : room;
    for (i = 0; i < count; i++) {
        int32_t status = bp_block_check(&requests[i], &info);

        if (status == 0 && requests[i].op == BP_BLOCK_READ) {
            (void)bp_iovec_fill(requests[i].iov, requests[i].iov_count, 0, null->pattern,
                                requests[i].length);
        }
        bp_block_ready_add(queue, requests[i].user, status, null->latency_ns);
    }
    if (count > 0) {
        bp_block_ready_kick(queue);
    }
    return (int32_t)count;
}

static void
block_null_drain(void *self, void *queue)
{
    bp_block_ready_drain(queue);
}

static int32_t
block_null_resize(void *self, uint64_t capacity)
{
    struct block_null *null = self;

    if (null->readonly) {
        return -EROFS;
    }
    if (capacity == 0 || capacity % null->block_size != 0 || capacity > INT64_MAX) {
        return -EINVAL;
    }
    if (atomic_exchange(&null->capacity, capacity) != capacity) {
        bp_block_ready_event(&null->queues, BP_BLOCK_EVENT_RESIZED);
    }
    return 0;
}

static const struct bp_block_ops block_null_ops = {
    .size = sizeof(block_null_ops),
    .info = block_null_info,
    .queue_open = block_null_queue_open,
    .queue_close = block_null_queue_close,
    .submit = block_null_submit,
    .drain = block_null_drain,
    .resize = block_null_resize,
};

static const void *
block_null_query(void *self, const char *interface_id)
{
    return strcmp(interface_id, BP_BLOCK_ID) == 0 ? &block_null_ops : NULL;
}

static int32_t
read_options(struct block_null *null, const struct bp_node *options)
{
    const struct bp_services *services = &null->services;
    uint64_t size = bp_option_u64(services, options, "size", 0);

    null->block_size = (uint32_t)bp_option_u64(services, options, "block_size", 512);
    if ((null->block_size & (null->block_size - 1)) != 0) {
        return bp_fail(services, -EINVAL, bp_option(services, options, "block_size"),
                       "block_size must be 512, 1024, 2048 or 4096, not %" PRIu32,
                       null->block_size);
    }
    if (size % null->block_size != 0) {
        return bp_fail(services, -EINVAL, bp_option(services, options, "size"),
                       "size must be a multiple of %" PRIu32 " bytes, not %" PRIu64,
                       null->block_size, size);
    }
    atomic_store(&null->capacity, size);
    null->readonly = bp_option_bool(services, options, "readonly", 0);
    null->pattern = (uint8_t)bp_option_u64(services, options, "pattern", 0);
    null->latency_ns = bp_option_u64(services, options, "latency_ns", 0);
    null->lifetime.pre_eol = (uint16_t)bp_option_u64(services, options, "pre_eol", 0);
    null->lifetime.used_a = (uint16_t)bp_option_u64(services, options, "life_used", 0);
    null->has_lifetime = null->lifetime.pre_eol != 0 || null->lifetime.used_a != 0;
    return 0;
}

static int32_t
block_null_create(const struct bp_create *args, void **self)
{
    struct block_null *null = calloc(1, sizeof(*null));
    int32_t result;

    if (null == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&null->services, args->host, args->instance);
    null->queues.services = &null->services;
    result = read_options(null, args->config);
    if (result != 0) {
        free(null);
        return result;
    }
    null->queues.delayed = null->latency_ns != 0;
    null->queues.clock = BP_CLOCK_VIRTUAL;
    *self = null;
    return 0;
}

static void
block_null_destroy(void *self)
{
    struct block_null *null = self;

    if (null != NULL) {
        bp_block_ready_done(&null->queues);
        free(null);
    }
}

static const struct bp_prop block_null_props[] = {
    {.name = "size",
     .type = BP_PROP_SIZE,
     .def = "1G",
     .min = 512,
     .max = INT64_MAX,
     .help = "capacity"},
    {.name = "readonly", .type = BP_PROP_BOOL, .def = "false", .help = "refuse writes"},
    {.name = "block_size",
     .type = BP_PROP_SIZE,
     .def = "512",
     .min = 512,
     .max = 4096,
     .help = "logical block, a power of two"},
    {.name = "pattern",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 255,
     .help = "the byte that reads give"},
    {.name = "latency_ns",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = MAX_LATENCY_NS,
     .help = "time each request takes, on the machine's clock"},
    {.name = "life_used",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 11,
     .help = "wear that is told: up to so many tenths, 11: worn out, 0: nothing"},
    {.name = "pre_eol",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = 3,
     .help = "spare blocks that are told: 1 normal, 2 a fifth left, 3 a tenth left, 0: nothing"},
    {.name = NULL},
};

static const char *const block_null_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class block_null_class = {
    .size = sizeof(block_null_class),
    .kind = BP_KIND_BACKEND,
    .name = "block-null",
    .thread_model = BP_THREADS_PARALLEL,
    .bus = BP_BUS_NONE,
    .help = "disk that holds nothing, for benchmarks and tests",
    .props = block_null_props,
    .provides = block_null_provides,
    .create = block_null_create,
    .destroy = block_null_destroy,
    .query = block_null_query,
};

static const struct bp_class *const block_null_classes[] = {&block_null_class, NULL};

BP_PLUGIN_NOTE(.id = "block-null", .version = PLUGIN_VERSION,
               .classes = {{"block-null", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0},
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "block-null",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "disk that holds nothing",
    .classes = block_null_classes,
};
