/* SPDX-License-Identifier: Apache-2.0 */
/* A device as it was written for ABI 1.0: it is compiled against the headers beside it, which never
 * change, and must go on working in every later core. Ports: +0 reads 47h, a write is a command; +1
 * the status; +2 the next byte of the sector that was read.
 * Commands: 1 the timer in 1000 ns, which raises the interrupt; 2 lower it; 3 read sector 0. */
#include <backplane/backplane.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TIMER_NS     1000u
#define SECTOR_BYTES 512u

#define STATUS_TIMER  (1u << 0)
#define STATUS_SECTOR (1u << 1)
#define STATUS_ERROR  (1u << 2)
#define STATUS_RESET  (1u << 3) /* reset() was called since create() */
#define STATUS_START  (1u << 4) /* start() was */

struct golden {
    struct bp_instance *instance;
    const struct bp_timer_host *timer;
    const struct bp_irq_host *irq;
    const struct bp_block_ops *disk;
    void *disk_self, *queue;
    uint8_t *sector;
    struct bp_iovec iov;
    uint32_t at;
    uint8_t status;
};

static void
golden_expired(void *opaque)
{
    struct golden *golden = opaque;

    golden->status |= STATUS_TIMER;
    golden->irq->set(golden->instance, 1, 1);
}

static void
golden_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct golden *golden = opaque;

    golden->status |= count == 1 && completions[0].status == 0 && completions[0].user == 47
                          ? STATUS_SECTOR
                          : STATUS_ERROR;
}

static void
read_sector(struct golden *golden)
{
    const struct bp_block_request request = {.user = 47,
                                             .op = BP_BLOCK_READ,
                                             .length = SECTOR_BYTES,
                                             .iov = &golden->iov,
                                             .iov_count = 1};

    if (golden->queue == NULL ||
        golden->disk->submit(golden->disk_self, golden->queue, &request, 1) != 1) {
        golden->status |= STATUS_ERROR;
    }
}

static uint64_t
golden_read(void *opaque, uint64_t offset, uint32_t width)
{
    struct golden *golden = opaque;

    (void)width;
    switch (offset) {
    case 0:
        return 0x47;
    case 1:
        return golden->status;
    default:
        return golden->sector[golden->at++ % SECTOR_BYTES];
    }
}

static void
golden_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    struct golden *golden = opaque;

    (void)width;
    if (offset != 0) {
        return;
    }
    switch (value & 0xff) {
    case 1:
        golden->timer->arm(golden->instance, 1,
                           golden->timer->now(golden->instance, BP_CLOCK_VIRTUAL) + TIMER_NS);
        break;
    case 2:
        golden->irq->set(golden->instance, 1, 0);
        break;
    case 3:
        read_sector(golden);
        break;
    default:
        break;
    }
}

static const struct bp_region_ops golden_ports = {
    .size = sizeof(golden_ports), .read = golden_read, .write = golden_write};

static int32_t
golden_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    static const struct bp_block_client client = {.size = sizeof(client),
                                                  .complete = golden_complete};
    struct golden *golden = self;
    const struct bp_block_queue_args args = {
        .size = sizeof(args), .depth = 1, .client = &client, .opaque = golden};

    (void)slot;
    (void)use;
    golden->disk = peer->table;
    golden->disk_self = peer->self;
    return golden->disk->queue_open(golden->disk_self, &args, &golden->queue);
}

static void
golden_detach(void *self, uint32_t slot, uint32_t use)
{
    struct golden *golden = self;

    (void)slot;
    (void)use;
    if (golden->queue != NULL) {
        golden->disk->drain(golden->disk_self, golden->queue);
        golden->disk->queue_close(golden->disk_self, golden->queue);
        golden->queue = NULL;
    }
}

static void
golden_reset(void *self, uint32_t kind)
{
    struct golden *golden = self;

    (void)kind;
    golden->timer->cancel(golden->instance, 1);
    golden->at = 0;
    golden->status = STATUS_RESET;
}

static void
golden_start(void *self)
{
    ((struct golden *)self)->status |= STATUS_START;
}

static const struct bp_life_ops golden_life = {
    .size = sizeof(golden_life),
    .start = golden_start,
    .reset = golden_reset,
    .attach = golden_attach,
    .detach = golden_detach,
};

static int32_t
golden_register(struct golden *golden, const struct bp_create *args)
{
    const struct bp_host *host = args->host;
    const struct bp_region_host *region = host->query(args->instance, BP_REGION_ID);
    const struct bp_memory_host *memory = host->query(args->instance, BP_MEMORY_ID);
    const struct bp_region_args ports = {.size = sizeof(ports),
                                         .id = 1,
                                         .space = BP_SPACE_PIO,
                                         .base = 0x300,
                                         .length = 3,
                                         .widths = 1,
                                         .ops = &golden_ports,
                                         .opaque = golden};
    const struct bp_irq_args line = {
        .size = sizeof(line), .id = 1, .kind = BP_IRQ_ISA, .number = 5};
    const struct bp_timer_args timer = {.size = sizeof(timer),
                                        .id = 1,
                                        .clock = BP_CLOCK_VIRTUAL,
                                        .expired = golden_expired,
                                        .opaque = golden};
    void *sector = NULL;
    int32_t result;

    golden->irq = host->query(args->instance, BP_IRQ_ID);
    golden->timer = host->query(args->instance, BP_TIMER_ID);
    if (region == NULL || memory == NULL || golden->irq == NULL || golden->timer == NULL) {
        return -ENOTSUP;
    }
    result = memory->arena_alloc(args->instance, 1, SECTOR_BYTES, 512, &sector);
    golden->sector = sector;
    golden->iov.base = sector;
    golden->iov.length = SECTOR_BYTES;
    if (result == 0) {
        result = golden->irq->line(args->instance, &line);
    }
    if (result == 0) {
        result = golden->timer->create(args->instance, &timer);
    }
    return result == 0 ? region->create(args->instance, &ports) : result;
}

static int32_t
golden_create(const struct bp_create *args, void **self)
{
    struct golden *golden = calloc(1, sizeof(*golden));

    if (golden == NULL) {
        return -ENOMEM;
    }
    *self = golden;
    golden->instance = args->instance;
    return golden_register(golden, args);
}

static void
golden_destroy(void *self)
{
    free(self);
}

static const void *
golden_query(void *self, const char *interface_id)
{
    (void)self;
    return strcmp(interface_id, BP_LIFE_ID) == 0 ? &golden_life : NULL;
}

static const struct bp_prop golden_props[] = {
    {.name = "disk", .type = BP_PROP_BACKEND, .flags = BP_PROP_REQUIRED, .help = "what it reads"},
    {.name = NULL},
};

static const struct bp_slot golden_slots[] = {
    {.name = "disk", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1},
    {.name = NULL},
};

static const struct bp_class golden_class = {
    .size = sizeof(struct bp_class),
    .kind = BP_KIND_DEVICE,
    .name = "golden-1-0",
    .thread_model = BP_THREADS_SERIAL,
    .bus = BP_BUS_ISA,
    .help = "a device of ABI 1.0",
    .props = golden_props,
    .slots = golden_slots,
    .create = golden_create,
    .destroy = golden_destroy,
    .query = golden_query,
};

static const struct bp_class *const golden_classes[] = {&golden_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(struct bp_plugin),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "golden-1-0",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "a device of ABI 1.0",
    .classes = golden_classes,
};

BP_PLUGIN_NOTE(.id = "golden-1-0", .version = "1.0",
               .classes = {{"golden-1-0", BP_KIND_DEVICE, BP_THREADS_SERIAL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_REGION_ID, struct bp_region_host),
                         BP_NEED(BP_IRQ_ID, struct bp_irq_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host)});
