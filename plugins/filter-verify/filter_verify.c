/* SPDX-License-Identifier: Apache-2.0 */
/* filter-verify: two disks that must always agree.
 *
 * Every change goes to both, every read comes from both and is compared. Data passes through
 * buffers of our own: what the guest does to its memory while a request is on its way must not look
 * like a disk that lies. There are a few buffers for each lane; further requests wait for one.
 *
 * Threads: requests on the loop of each queue. */
#include <backplane/sdk/block_stack.h>
#include <backplane/sdk/iovec.h>

#include <stdlib.h>
#include <string.h>

#define PLUGIN_VERSION "1.0"
#define BUFFERS        4u
#define BUFFER_BYTES   (1u << 20)
#define MAX_IOV        128u
#define SIDES          2u

struct filter_verify {
    struct bp_services services;
    struct bp_block_stack stack;
};

struct verify_lane {
    uint8_t *memory; /* BUFFERS * SIDES pieces of BUFFER_BYTES */
    uint32_t used;   /* bit n: buffer n */
    struct bp_block_flight *first, **last;
};

struct verify_flight {
    struct bp_block_io io[SIDES];
    struct bp_block_flight *flight;
    struct bp_iovec iov[SIDES];
    int32_t status[SIDES];
    uint32_t flags[SIDES];
    uint32_t buffer; /* number; BUFFERS: none */
    uint32_t running;
};

static const char *const op_names[] = {"?", "read", "write", "flush", "discard", "zero"};

/* --- on the loop ----------------------------------------------------------------------------- */

static uint8_t *
side_buffer(const struct verify_lane *own, uint32_t buffer, uint32_t side)
{
    return own->memory + (uint64_t)(buffer * SIDES + side) * BUFFER_BYTES;
}

static uint32_t
moves_data(const struct bp_block_flight *flight)
{
    return flight->request.op == BP_BLOCK_READ || flight->request.op == BP_BLOCK_WRITE;
}

/* Both statuses must be the same, or what one disk refuses the other has done. */
static int32_t
judge_status(struct bp_block_flight *flight)
{
    const struct filter_verify *verify = bp_block_lane_self(flight->lane);
    const struct verify_flight *own = flight->data;

    if (own->status[0] == own->status[1]) {
        return own->status[0];
    }
    bp_error(&verify->services, "%s of %llu bytes at %llu: below says %s, other says %s",
             op_names[flight->request.op], (unsigned long long)flight->request.length,
             (unsigned long long)flight->request.offset, strerror(-own->status[0]),
             strerror(-own->status[1]));
    return -EIO;
}

static int32_t
judge_data(struct bp_block_flight *flight)
{
    const struct filter_verify *verify = bp_block_lane_self(flight->lane);
    const struct verify_lane *lane = bp_block_lane_data(flight->lane);
    const struct verify_flight *own = flight->data;
    const uint8_t *below = side_buffer(lane, own->buffer, 0);
    const uint8_t *other = side_buffer(lane, own->buffer, 1);
    uint64_t length = flight->request.length, i = 0;

    if (memcmp(below, other, length) == 0) {
        (void)bp_iovec_write(flight->request.iov, flight->request.iov_count, 0, below, length);
        return 0;
    }
    while (below[i] == other[i]) {
        i++;
    }
    bp_error(&verify->services,
             "the disks differ at byte %llu: below has 0x%02x, other has 0x%02x (read of %llu at "
             "%llu)",
             (unsigned long long)(flight->request.offset + i), below[i], other[i],
             (unsigned long long)length, (unsigned long long)flight->request.offset);
    return -EIO;
}

static void send(struct bp_block_flight *flight);

static void
give_buffer_back(struct bp_block_flight *flight)
{
    struct verify_lane *lane = bp_block_lane_data(flight->lane);
    struct verify_flight *own = flight->data;

    if (own->buffer < BUFFERS) {
        lane->used &= ~(1u << own->buffer);
        own->buffer = BUFFERS;
    }
    if (lane->first != NULL && lane->used != (1u << BUFFERS) - 1) {
        struct bp_block_flight *next = lane->first;
        lane->first = next->next;
        if (lane->first == NULL) {
            lane->last = &lane->first;
        }
        send(next);
    }
}

static void
side_done(struct bp_block_io *io, int32_t status, uint32_t flags)
{
    struct verify_flight *own =
        (struct verify_flight *)(void *)((uint8_t *)(io - io->slot) -
                                         offsetof(struct verify_flight, io));
    struct bp_block_flight *flight = own->flight;

    own->status[io->slot] = status;
    own->flags[io->slot] = flags;
    if (--own->running > 0) {
        return;
    }
    status = judge_status(flight);
    if (status == 0 && flight->request.op == BP_BLOCK_READ) {
        status = judge_data(flight);
    }
    flags = own->status[0] == own->status[1] ? own->flags[0] & own->flags[1] : 0;
    give_buffer_back(flight);
    bp_block_end(flight, status, flags);
}

static void
send_side(struct bp_block_flight *flight, uint32_t side)
{
    struct verify_lane *lane = bp_block_lane_data(flight->lane);
    struct verify_flight *own = flight->data;
    struct bp_block_io *io = &own->io[side];

    io->request = flight->request;
    if (io->request.op == BP_BLOCK_DISCARD) {
        /* Contents that are undefined cannot be compared. */
        io->request.op = BP_BLOCK_WRITE_ZEROES;
        io->request.flags = BP_BLOCK_UNMAP;
    }
    if (moves_data(flight)) {
        /* What is written is read once from the guest; both sides write it from the same place. */
        own->iov[side].base =
            side_buffer(lane, own->buffer, flight->request.op == BP_BLOCK_WRITE ? 0 : side);
        own->iov[side].length = flight->request.length;
        io->request.iov = &own->iov[side];
        io->request.iov_count = 1;
    }
    io->slot = side;
    io->done = side_done;
    bp_block_io_send(flight->lane, io);
}

static void
send(struct bp_block_flight *flight)
{
    struct verify_lane *lane = bp_block_lane_data(flight->lane);
    struct verify_flight *own = flight->data;

    if (moves_data(flight)) {
        own->buffer = (uint32_t)__builtin_ctz(~lane->used);
        lane->used |= 1u << own->buffer;
    }
    if (flight->request.op == BP_BLOCK_WRITE) {
        (void)bp_iovec_read(flight->request.iov, flight->request.iov_count, 0,
                            side_buffer(lane, own->buffer, 0), flight->request.length);
    }
    own->running = SIDES;
    send_side(flight, 0);
    send_side(flight, 1);
}

static void
verify_start(struct bp_block_flight *flight)
{
    struct verify_lane *lane = bp_block_lane_data(flight->lane);
    struct verify_flight *own = flight->data;

    own->flight = flight;
    own->buffer = BUFFERS;
    own->running = 0;
    own->io[0].index = own->io[1].index = UINT32_MAX;
    if (moves_data(flight) && lane->used == (1u << BUFFERS) - 1) {
        flight->next = NULL;
        *lane->last = flight;
        lane->last = &flight->next;
        return;
    }
    send(flight);
}

/* A write that one side has done and the other has not would be a difference of our own making:
 * only what has not begun, and reads, can end early. */
static void
verify_cancel(struct bp_block_flight *flight)
{
    struct verify_lane *lane = bp_block_lane_data(flight->lane);
    struct bp_block_flight **link = &lane->first;

    while (*link != NULL && *link != flight) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        return;
    }
    *link = flight->next;
    if (*link == NULL) {
        lane->last = link;
    }
    bp_block_end(flight, -ECANCELED, 0);
}

static int32_t
verify_lane_init(struct bp_block_lane *lane)
{
    struct filter_verify *verify = bp_block_lane_self(lane);
    struct verify_lane *own = bp_block_lane_data(lane);
    void *memory;
    int32_t result;

    own->first = NULL;
    own->last = &own->first;
    own->used = 0;
    if (own->memory != NULL) {
        return 0; /* of an earlier queue */
    }
    result = verify->services.memory->arena_alloc(verify->services.instance, bp_block_lane_id(lane),
                                                  (uint64_t)BUFFERS * SIDES * BUFFER_BYTES, 4096,
                                                  &memory);
    if (result == 0) {
        own->memory = memory;
    }
    return result;
}

static uint64_t
smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What both can do. */
static int32_t
verify_own_info(void *self, struct bp_block_info *info)
{
    const struct filter_verify *verify = self;
    const struct bp_block_stack *stack = &verify->stack;
    const uint32_t either = BP_BLOCK_READONLY | BP_BLOCK_WRITE_CACHE | BP_BLOCK_ROTATIONAL;
    struct bp_block_info other = {.size = sizeof(other)};
    int32_t result = -ENOMEDIUM;

    if (stack->below[1] != NULL) {
        result = stack->below[1]->info(stack->below_self[1], &other);
    }
    info->flags = ((info->flags | other.flags) & either) | (info->flags & other.flags & ~either);
    info->flags &= ~BP_BLOCK_CAN_RESIZE;
    if ((info->flags & BP_BLOCK_CAN_DISCARD) != 0) {
        info->flags |= BP_BLOCK_CAN_ZERO_DISCARD;
    }
    info->capacity = smaller(info->capacity, other.capacity);
    info->block_size = info->block_size > other.block_size ? info->block_size : other.block_size;
    info->max_transfer = BUFFER_BYTES;
    info->max_iov = MAX_IOV;
    info->max_discard = smaller(info->max_discard, other.max_discard);
    return result;
}

static const struct bp_block_stack_ops verify_stack_ops = {
    .start = verify_start,
    .cancel = verify_cancel,
    .lane_init = verify_lane_init,
    .info = verify_own_info,
    .flight_size = sizeof(struct verify_flight),
    .lane_size = sizeof(struct verify_lane),
};

BP_BLOCK_STACK_FUNCTIONS(verify, filter_verify)

static const struct bp_block_ops verify_ops = {
    .size = sizeof(verify_ops),
    .info = verify_info,
    .queue_open = verify_queue_open,
    .queue_close = verify_queue_close,
    .submit = verify_submit,
    .cancel = verify_cancel_request,
    .drain = verify_drain,
};

/* --- life ------------------------------------------------------------------------------------ */

static int32_t
verify_realize(void *self)
{
    const struct filter_verify *verify = self;
    struct bp_block_info info[SIDES];
    uint32_t i;

    for (i = 0; i < SIDES; i++) {
        info[i] = (struct bp_block_info){.size = sizeof(info[i])};
        (void)verify->stack.below[i]->info(verify->stack.below_self[i], &info[i]);
    }
    if (info[0].capacity != info[1].capacity) {
        bp_warn(&verify->services,
                "below has %llu bytes, other has %llu: ignoring what only one of them has",
                (unsigned long long)info[0].capacity, (unsigned long long)info[1].capacity);
    }
    return 0;
}

static const struct bp_life_ops verify_life = {
    .size = sizeof(verify_life),
    .realize = verify_realize,
    .quiesce = verify_quiesce,
    .attach = verify_attach,
    .detach = verify_detach,
};

static const void *
verify_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_BLOCK_ID)  ? (const void *)&verify_ops
           : bp_same_id(interface_id, BP_LIFE_ID) ? (const void *)&verify_life
                                                  : NULL;
}

static void
verify_destroy(void *self)
{
    struct filter_verify *verify = self;

    if (verify != NULL) {
        bp_block_stack_done(&verify->stack);
        free(verify);
    }
}

static int32_t
verify_create(const struct bp_create *args, void **self)
{
    struct filter_verify *verify = calloc(1, sizeof(*verify));

    if (verify == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&verify->services, args->host, args->instance);
    verify->stack.services = &verify->services;
    verify->stack.ops = &verify_stack_ops;
    verify->stack.self = verify;
    verify->stack.slots = SIDES;
    *self = verify;
    return 0;
}

/* --- the plugin ------------------------------------------------------------------------------ */

static const struct bp_prop verify_props[] = {
    {.name = "below", .type = BP_PROP_BACKEND, .flags = BP_PROP_REQUIRED, .help = "one disk"},
    {.name = "other",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the disk it must agree with"},
    {.name = NULL},
};

static const struct bp_slot verify_slots[] = {
    {.name = "below", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1},
    {.name = "other", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1},
    {.name = NULL},
};

static const char *const verify_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class verify_class = {
    .size = sizeof(verify_class),
    .kind = BP_KIND_BACKEND,
    .name = "filter-verify",
    .thread_model = BP_THREADS_PARALLEL,
    .bus = BP_BUS_NONE,
    .help = "compares two disks in everything",
    .props = verify_props,
    .slots = verify_slots,
    .provides = verify_provides,
    .create = verify_create,
    .destroy = verify_destroy,
    .query = verify_query,
};

static const struct bp_class *const verify_classes[] = {&verify_class, NULL};

BP_PLUGIN_NOTE(.id = "filter-verify", .version = PLUGIN_VERSION,
               .classes = {{"filter-verify", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0}});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "filter-verify",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "compares two block backends",
    .classes = verify_classes,
};
