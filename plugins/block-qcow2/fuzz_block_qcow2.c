/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target over the parser and the driver: an image, and what a guest does with it. Every
 * request that reaches the file below must be a right one; an image that could be opened can be
 * opened again; each request ends.
 *
 * Input: a byte of FLAG_..., a byte with the number of operations, the operations, 4 bytes each
 * (kind, length in sectors, place in sectors), then the file in pieces: place in sectors (2 bytes),
 * sectors - 1 (1 byte), data. Little endian. fuzz_corpus.py makes inputs from images of qemu-img.
 *
 * The core is a small one of its own: sdk/testhost clears megabytes for every instance, and this
 * runs thousands of times a second. */
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, length)   ((void)(memory), (void)(length))
#define ASAN_UNPOISON_MEMORY_REGION(memory, length) ((void)(memory), (void)(length))
#endif

#define FLAG_READONLY (1u << 0)
#define FLAG_BACKING  (1u << 1)
#define FLAG_SNAPSHOT (1u << 2)
#define FLAG_AGAIN    (1u << 3) /* opened and closed once more at the end */
#define FLAG_FIXED    (1u << 4) /* the file below cannot be resized */
#define FLAG_STOPPED  (1u << 5) /* the file below cannot be written */
#define FLAG_PIECES   (1u << 6) /* the file below takes small requests only */

#define FILE_MAX      (UINT64_C(16) << 20)
#define PAGE          UINT64_C(4096)
#define PART          (UINT64_C(64) << 10) /* of a file: whether anything is in it */
#define BACKING_BYTES (UINT64_C(48) << 10)
#define ARENA_BYTES   (UINT64_C(256) << 20)
#define DATA_MAX      (UINT64_C(128) << 10)
#define RECORD_BYTES  4u
#define DEPTH         16u
#define PENDING_MAX   256u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* --- a core ------------------------------------------------------------------------------------
 */

struct bp_instance {
    uint32_t flags; /* FLAG_... */
};

/* One backend below: the image file, or the disk it stands on. */
struct store {
    uint8_t *data;
    uint64_t capacity;
    uint8_t *touched; /* one for each part that is not zero */
    uint32_t flags;
};

struct store_queue {
    struct store *store;
    struct bp_block_client client;
    void *opaque;
    uint32_t depth, count, coming;
    struct bp_block_completion done[];
};

static struct {
    uint8_t *memory;
    uint64_t used;
    struct {
        void (*func)(void *opaque);
        void *opaque;
    } deferred[PENDING_MAX];
    uint32_t deferred_first, deferred_end;
    struct store file, backing;
    uint8_t *data;     /* of the guest's requests */
    uint32_t fails_in; /* requests below until one fails; 0: none */
    uint32_t dice, ended;
    uint32_t verbose; /* BLOCK_QCOW2_FUZZ_LOG is set: show what is logged */
} core;

static void
demand(int good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "fuzz_block_qcow2: %s\n", what);
        abort();
    }
}

static int32_t
arena_alloc(struct bp_instance *instance, uint32_t id, uint64_t length, uint64_t alignment,
            void **memory)
{
    uint64_t offset = (core.used + PAGE + alignment - 1) & ~(alignment - 1);

    (void)instance;
    (void)id;
    if (length == 0 || length > ARENA_BYTES || offset > ARENA_BYTES - length) {
        return -ENOMEM;
    }
    core.used = offset + length;
    *memory = core.memory + offset;
    ASAN_UNPOISON_MEMORY_REGION(*memory, length);
    return 0;
}

/* Forgotten all at once by arena_reset(). */
static void
arena_free(struct bp_instance *instance, uint32_t id)
{
    (void)instance;
    (void)id;
}

static void
arena_reset(void)
{
    (void)madvise(core.memory, core.used, MADV_DONTNEED);
    ASAN_POISON_MEMORY_REGION(core.memory, core.used);
    core.used = 0;
}

static int32_t
loop_defer(struct bp_instance *instance, uint32_t loop, void (*func)(void *opaque), void *opaque)
{
    (void)instance;
    (void)loop;
    demand(core.deferred_end - core.deferred_first < PENDING_MAX, "too many deferred calls");
    core.deferred[core.deferred_end % PENDING_MAX].func = func;
    core.deferred[core.deferred_end++ % PENDING_MAX].opaque = opaque;
    return 0;
}

static void
run(void)
{
    while (core.deferred_first != core.deferred_end) {
        uint32_t at = core.deferred_first++ % PENDING_MAX;

        core.deferred[at].func(core.deferred[at].opaque);
    }
}

static uint32_t
loop_count(struct bp_instance *instance)
{
    (void)instance;
    return 1;
}

static uint32_t
loop_home(struct bp_instance *instance)
{
    (void)instance;
    return 0;
}

static int32_t
loop_is_current(struct bp_instance *instance, uint32_t loop)
{
    (void)instance;
    (void)loop;
    return 1;
}

static void
log_write(struct bp_instance *instance, uint32_t level, const char *text, uint64_t length)
{
    (void)instance;
    if (core.verbose) {
        (void)fprintf(stderr, "%u: %.*s\n", level, (int)length, text);
    }
}

static int32_t
log_enabled(struct bp_instance *instance, uint32_t level)
{
    (void)instance;
    return level < BP_LOG_DEBUG;
}

static void
log_error(struct bp_instance *instance, int32_t code, const struct bp_node *node, const char *text)
{
    (void)node;
    log_write(instance, (uint32_t)-code, text, strlen(text));
}

/* A node is its option's name. */
static const struct bp_node *
config_child(struct bp_instance *instance, const struct bp_node *node, const char *name)
{
    (void)node;
    if ((strcmp(name, "readonly") == 0 && (instance->flags & FLAG_READONLY) != 0) ||
        (strcmp(name, "snapshot") == 0 && (instance->flags & FLAG_SNAPSHOT) != 0) ||
        strcmp(name, "cache") == 0) {
        return (const struct bp_node *)(const void *)name;
    }
    return NULL;
}

static int32_t
config_u64(struct bp_instance *instance, const struct bp_node *node, uint64_t *value)
{
    (void)instance;
    if (node == NULL) {
        return -ENOENT;
    }
    *value = 4096; /* the least number of tables: what evicts is explored, too */
    return 0;
}

static int32_t
config_bool(struct bp_instance *instance, const struct bp_node *node, uint32_t *value)
{
    (void)instance;
    if (node == NULL) {
        return -ENOENT;
    }
    *value = 1;
    return 0;
}

static const char *
config_str(struct bp_instance *instance, const struct bp_node *node)
{
    (void)instance;
    return node != NULL ? "1" : NULL;
}

static const void *
host_query(struct bp_instance *instance, const char *interface_id)
{
    static const struct bp_memory_host memory = {
        .size = sizeof(memory), .arena_alloc = arena_alloc, .arena_free = arena_free};
    static const struct bp_loop_host loop = {.size = sizeof(loop),
                                             .count = loop_count,
                                             .home = loop_home,
                                             .defer = loop_defer,
                                             .is_current = loop_is_current};
    static const struct bp_log_host log = {
        .size = sizeof(log), .write = log_write, .enabled = log_enabled, .error = log_error};
    static const struct bp_config_host config = {.size = sizeof(config),
                                                 .child = config_child,
                                                 .get_u64 = config_u64,
                                                 .get_bool = config_bool,
                                                 .get_str = config_str};

    (void)instance;
    return bp_same_id(interface_id, BP_MEMORY_ID)   ? (const void *)&memory
           : bp_same_id(interface_id, BP_LOOP_ID)   ? (const void *)&loop
           : bp_same_id(interface_id, BP_LOG_ID)    ? (const void *)&log
           : bp_same_id(interface_id, BP_CONFIG_ID) ? (const void *)&config
                                                    : NULL;
}

/* --- what is below -----------------------------------------------------------------------------
 */

static int32_t
store_info(void *self, struct bp_block_info *info)
{
    const struct store *store = self;
    struct bp_block_info full = {.size = sizeof(full)};

    full.capacity = store->capacity;
    full.block_size = BP_BLOCK_SECTOR;
    full.physical_block_size = BP_BLOCK_SECTOR;
    full.max_transfer = (store->flags & FLAG_PIECES) != 0 ? 4096 : FILE_MAX;
    full.max_iov = 128;
    full.flags = (store->flags & FLAG_STOPPED) != 0 ? BP_BLOCK_READONLY
                                                    : BP_BLOCK_CAN_RESIZE | BP_BLOCK_CAN_DISCARD;
    full.discard_granularity = BP_BLOCK_SECTOR;
    full.max_discard = FILE_MAX;
    bp_block_info_copy(info, &full);
    return 0;
}

static int32_t
store_open(void *self, const struct bp_block_queue_args *args, void **ret_queue)
{
    struct store_queue *queue = malloc(sizeof(*queue) + args->depth * sizeof(queue->done[0]));

    demand(queue != NULL, "no memory");
    queue->depth = args->depth;
    queue->store = self;
    queue->client = *args->client;
    queue->opaque = args->opaque;
    queue->count = 0;
    queue->coming = 0;
    *ret_queue = queue;
    return 0;
}

static void
store_deliver(void *opaque)
{
    struct store_queue *queue = opaque;

    while (queue->count > 0) {
        uint32_t i = core.dice++ % 3 == 0 ? queue->count - 1 : 0; /* in another order */
        struct bp_block_completion completion = queue->done[i];

        queue->done[i] = queue->done[--queue->count];
        queue->client.complete(queue->opaque, &completion, 1);
    }
}

static void
store_deferred(void *opaque)
{
    struct store_queue *queue = opaque;

    queue->coming = 0;
    if (queue->client.complete == NULL) {
        free(queue); /* closed meanwhile */
        return;
    }
    store_deliver(queue);
}

static void
store_close(void *self, void *opaque)
{
    struct store_queue *queue = opaque;

    (void)self;
    demand(queue->count == 0, "a queue below is closed with requests in flight");
    if (queue->coming) {
        queue->client.complete = NULL;
    } else {
        free(queue);
    }
}

static void
touch(struct store *store, uint64_t offset, uint64_t length)
{
    if (store->touched != NULL) {
        memset(store->touched + offset / PART, 1, (offset + length - 1) / PART - offset / PART + 1);
    }
}

static void
store_transfer(struct store *store, const struct bp_block_request *request)
{
    uint64_t offset = request->offset;
    uint32_t i;

    if (request->op == BP_BLOCK_DISCARD) {
        memset(store->data + offset, 0xdb, request->length);
        touch(store, offset, request->length);
    }
    for (i = 0; i < request->iov_count; i++) {
        const struct bp_iovec *iov = &request->iov[i];

        if (request->op == BP_BLOCK_READ) {
            memcpy(iov->base, store->data + offset, iov->length);
        } else if (iov->length > 0) {
            memcpy(store->data + offset, iov->base, iov->length);
            touch(store, offset, iov->length);
        }
        offset += iov->length;
    }
}

static int32_t
store_submit(void *self, void *opaque, const struct bp_block_request *requests, uint32_t count)
{
    struct store *store = self;
    struct store_queue *queue = opaque;
    struct bp_block_info info = {.size = sizeof(info)};
    uint32_t i;

    (void)store_info(store, &info);
    for (i = 0; i < count; i++) {
        struct bp_block_completion *completion = &queue->done[queue->count];

        demand(queue->count++ < queue->depth, "too many requests below");
        completion->user = requests[i].user;
        completion->flags = 0;
        completion->status = bp_block_check(&requests[i], &info);
        demand(completion->status == 0, "a wrong request reached the file below");
        if (core.fails_in > 0 && --core.fails_in == 0) {
            completion->status = -EIO;
        } else if (requests[i].op != BP_BLOCK_FLUSH) {
            store_transfer(store, &requests[i]);
        }
    }
    if (!queue->coming) {
        queue->coming = 1;
        return loop_defer(NULL, 0, store_deferred, queue) == 0 ? (int32_t)count : 0;
    }
    return (int32_t)count;
}

static void
store_drain(void *self, void *opaque)
{
    (void)self;
    store_deliver(opaque);
}

/* What was written from an offset on becomes zero. */
static void
store_clear(const struct store *store, uint64_t from)
{
    uint64_t part;

    for (part = from / PART; part < FILE_MAX / PART; part++) {
        uint64_t start = part * PART > from ? part * PART : from;

        if (store->touched[part]) {
            memset(store->data + start, 0, (part + 1) * PART - start);
            store->touched[part] = start > part * PART;
        }
    }
}

static int32_t
store_resize(void *self, uint64_t capacity)
{
    struct store *store = self;

    if ((store->flags & (FLAG_FIXED | FLAG_STOPPED)) != 0) {
        return -EOPNOTSUPP;
    }
    if (capacity > FILE_MAX) {
        return -ENOSPC;
    }
    store_clear(store, capacity);
    store->capacity = capacity;
    return 0;
}

static const struct bp_block_ops store_ops = {
    .size = sizeof(store_ops),
    .info = store_info,
    .queue_open = store_open,
    .queue_close = store_close,
    .submit = store_submit,
    .drain = store_drain,
    .resize = store_resize,
};

static void
file_load(const uint8_t *data, size_t size)
{
    uint64_t end = 0;

    store_clear(&core.file, 0);
    while (size > 3) {
        uint64_t offset = ((uint64_t)data[0] | (uint64_t)data[1] << 8) * BP_BLOCK_SECTOR;
        uint64_t length = ((uint64_t)data[2] + 1) * BP_BLOCK_SECTOR;

        data += 3;
        size -= 3;
        offset %= FILE_MAX;
        length = length < FILE_MAX - offset ? length : FILE_MAX - offset;
        length = length < size ? length : size;
        memcpy(core.file.data + offset, data, length);
        touch(&core.file, offset, length);
        end = offset + length > end ? offset + length : end;
        data += length;
        size -= length;
    }
    core.file.capacity = (end + BP_BLOCK_SECTOR - 1) & ~(uint64_t)(BP_BLOCK_SECTOR - 1);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    uint64_t i, bytes = ARENA_BYTES + FILE_MAX;

    (void)argc;
    (void)argv;
    core.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    core.file.touched = calloc(FILE_MAX / PART, 1);
    core.backing.data = malloc(BACKING_BYTES);
    core.data = calloc(1, DATA_MAX);
    demand(core.memory != MAP_FAILED && core.file.touched != NULL && core.backing.data != NULL &&
               core.data != NULL,
           "no memory");
    core.file.data = core.memory + ARENA_BYTES;
    core.backing.capacity = BACKING_BYTES;
    core.backing.flags = FLAG_STOPPED;
    for (i = 0; i < BACKING_BYTES; i++) {
        core.backing.data[i] = (uint8_t)(i >> 9);
    }
    core.verbose = getenv("BLOCK_QCOW2_FUZZ_LOG") != NULL;
    core.used = ARENA_BYTES;
    arena_reset();
    return 0;
}

/* --- the guest ---------------------------------------------------------------------------------
 */

static void
guest_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    (void)opaque;
    (void)completions;
    core.ended += count;
}

struct guest {
    const struct bp_block_ops *ops;
    void *self, *queue;
    struct bp_iovec iov[DEPTH];
    uint32_t submitted;
};

static void
guest_request(struct guest *guest, uint32_t op, uint64_t offset, uint64_t length)
{
    struct bp_iovec *iov = &guest->iov[guest->submitted % DEPTH];
    struct bp_block_request request = {.user = guest->submitted, .op = op};

    if (guest->submitted - core.ended >= DEPTH) {
        run();
    }
    demand(guest->submitted - core.ended < DEPTH, "a request does not end");
    if (op != BP_BLOCK_FLUSH) {
        request.offset = offset;
        request.length = length;
    }
    if (op == BP_BLOCK_READ || op == BP_BLOCK_WRITE) {
        *iov = (struct bp_iovec){core.data, length};
        request.iov = iov;
        request.iov_count = 1;
    }
    demand(guest->ops->submit(guest->self, guest->queue, &request, 1) == 1, "a queue is full");
    guest->submitted++;
}

static void
guest_do(struct guest *guest, const uint8_t *record)
{
    uint64_t offset = ((uint64_t)record[2] | (uint64_t)record[3] << 8) * BP_BLOCK_SECTOR;
    uint64_t length = ((uint64_t)record[1] + 1) * BP_BLOCK_SECTOR;

    switch (record[0] % 16) {
    case 0:
    case 1:
        guest_request(guest, BP_BLOCK_READ, offset, length);
        break;
    case 2:
    case 3:
    case 4:
        memset(core.data, record[1], length);
        guest_request(guest, BP_BLOCK_WRITE, offset, length);
        break;
    case 5:
        guest_request(guest, BP_BLOCK_WRITE_ZEROES, offset, length << (record[0] >> 4));
        break;
    case 6:
        guest_request(guest, BP_BLOCK_DISCARD, offset, length << (record[0] >> 4));
        break;
    case 7:
        guest_request(guest, BP_BLOCK_FLUSH, 0, 0);
        break;
    case 8:
        (void)!guest->ops->resize(guest->self, offset << (record[1] & 15));
        break;
    case 9:
        core.fails_in = record[1];
        break;
    case 10:
        guest->ops->cancel(guest->self, guest->queue,
                           record[1] == 0 ? UINT64_MAX : guest->submitted - record[1]);
        break;
    case 11:
        guest_request(guest, BP_BLOCK_READ, UINT64_MAX - offset + 1, length);
        break;
    case 12:
        guest->ops->drain(guest->self, guest->queue);
        demand(core.ended == guest->submitted, "a drain leaves requests");
        break;
    default:
        run();
        break;
    }
}

static void
use(void *self, const uint8_t *script, uint32_t count)
{
    static const struct bp_block_client client = {.size = sizeof(client),
                                                  .complete = guest_complete};
    struct bp_block_queue_args args = {.size = sizeof(args), .depth = DEPTH, .client = &client};
    struct guest guest = {.ops = backplane_plugin_v1.classes[0]->query(self, BP_BLOCK_ID),
                          .self = self};
    uint32_t i;

    core.ended = 0;
    demand(guest.ops->queue_open(self, &args, &guest.queue) == 0, "no queue");
    for (i = 0; i < count; i++) {
        guest_do(&guest, script + (size_t)i * RECORD_BYTES);
    }
    run();
    demand(core.ended == guest.submitted, "a request does not end");
    guest.ops->drain(self, guest.queue);
    guest.ops->queue_close(self, guest.queue);
    core.fails_in = 0;
}

/* Opens the image, does the operations, closes it. Returns what realize() said. */
static int32_t
session(uint32_t flags, const uint8_t *script, uint32_t count)
{
    static const struct bp_host host = {.size = sizeof(host), .query = host_query};
    const struct bp_class *class = backplane_plugin_v1.classes[0];
    struct bp_instance instance = {flags};
    struct bp_create args = {
        .size = sizeof(args), .host = &host, .instance = &instance, .id = "qcow2"};
    struct bp_peer file = {.size = sizeof(file), .table = &store_ops, .self = &core.file};
    struct bp_peer backing = {.size = sizeof(backing), .table = &store_ops, .self = &core.backing};
    const struct bp_life_ops *life;
    void *self;
    int32_t result;

    args.config = (const struct bp_node *)(const void *)"";
    demand(class->create(&args, &self) == 0, "create() fails");
    life = class->query(self, BP_LIFE_ID);
    demand(life->attach(self, SLOT_FILE, 0, &file) == 0, "attach() fails");
    if ((flags & FLAG_BACKING) != 0) {
        demand(life->attach(self, SLOT_BACKING, 0, &backing) == 0, "attach() fails");
    }
    result = life->realize(self);
    if (result == 0) {
        use(self, script, count);
    }
    if ((flags & FLAG_BACKING) != 0) {
        life->detach(self, SLOT_BACKING, 0);
    }
    life->detach(self, SLOT_FILE, 0);
    run();
    class->destroy(self);
    arena_reset();
    return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t flags, count;
    int32_t result;

    if (size < 2 || size - 2 < (size_t)data[1] * RECORD_BYTES) {
        return 0;
    }
    flags = data[0];
    count = data[1];
    file_load(data + 2 + (size_t)count * RECORD_BYTES, size - 2 - (size_t)count * RECORD_BYTES);
    core.file.flags = flags;
    core.backing.flags = FLAG_STOPPED | (flags & FLAG_PIECES);
    core.fails_in = 0;
    core.dice = flags;
    result = session(flags, data + 2, count);
    if (result == 0 && (flags & FLAG_AGAIN) != 0) {
        demand(session(flags, data + 2, count / 4) == 0, "an image cannot be opened again");
    }
    return 0;
}
