/* SPDX-License-Identifier: Apache-2.0 */
/* filter-overlay: a disk that changes while the one below it does not.
 *
 * What is written goes to a store of the same shape: memory, or another backend, such as a sparse
 * file; a bit for each block of 512 bytes says which of the two has it. So a write never has to
 * read. A read that finds its blocks in both goes through them piece by piece.
 *
 * Threads: requests on the loop of each queue; committing and dropping on the control thread, while
 * nothing runs. */
#include "overlay.h"

#include <backplane/sdk/iovec.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PLUGIN_VERSION "1.0"
#define MAX_IOV        128u
#define MAX_DISCARD    (16u << 20)
#define PAGE           UINT64_C(4096)

struct overlay_flight {
    uint64_t done; /* bytes of the request that are carried out */
    uint64_t piece;
    struct bp_iovec iov[MAX_IOV];
};

/* --- on the loop ----------------------------------------------------------------------------- */

static struct bp_block_flight *
flight_of(struct bp_block_io *io)
{
    return (struct bp_block_flight *)(void *)((uint8_t *)io - offsetof(struct bp_block_flight, io));
}

static void
clear_memory(struct filter_overlay *overlay, uint64_t start, uint64_t end)
{
    uint64_t first = (start + PAGE - 1) / PAGE * PAGE, last = end / PAGE * PAGE;

    if (first >= last || madvise(overlay->memory + first, last - first, MADV_DONTNEED) < 0) {
        memset(overlay->memory + start, 0, end - start);
        return;
    }
    memset(overlay->memory + start, 0, first - start);
    memset(overlay->memory + last, 0, end - last);
}

static void
mark(struct filter_overlay *overlay, const struct bp_block_request *request)
{
    changed_set(&overlay->changed, request->offset / BP_BLOCK_SECTOR,
                request->length / BP_BLOCK_SECTOR);
}

static void
stored(struct bp_block_io *io, int32_t status, uint32_t flags)
{
    struct bp_block_flight *flight = flight_of(io);

    if (status == 0 && flight->request.op != BP_BLOCK_FLUSH) {
        mark(bp_block_lane_self(flight->lane), &flight->request);
    }
    bp_block_end(flight, status, flags);
}

/* Writes, zeroes and flushes to a store that is a backend. */
static void
send_to_store(struct bp_block_flight *flight)
{
    flight->io.request = flight->request;
    if (flight->request.op == BP_BLOCK_DISCARD) {
        /* Undefined contents would be the store's old ones: zeroes are what a disk that discards
         * should show. */
        flight->io.request.op = BP_BLOCK_WRITE_ZEROES;
        flight->io.request.flags = BP_BLOCK_UNMAP;
    }
    flight->io.slot = STORE;
    flight->io.done = stored;
    bp_block_io_send(flight->lane, &flight->io);
}

static void
change_memory(struct filter_overlay *overlay, struct bp_block_flight *flight)
{
    const struct bp_block_request *request = &flight->request;

    if (request->op == BP_BLOCK_WRITE) {
        (void)bp_iovec_read(request->iov, request->iov_count, 0, overlay->memory + request->offset,
                            request->length);
    } else if (request->op != BP_BLOCK_FLUSH) {
        clear_memory(overlay, request->offset, request->offset + request->length);
    }
    if (request->op != BP_BLOCK_FLUSH) {
        mark(overlay, request);
    }
    bp_block_end(flight, 0, 0);
}

static void read_on(struct bp_block_flight *flight);

static void
piece_read(struct bp_block_io *io, int32_t status, uint32_t flags)
{
    struct bp_block_flight *flight = flight_of(io);
    struct overlay_flight *own = flight->data;

    own->done += own->piece;
    if (status != 0 || flight->cancelled) {
        bp_block_end(flight, status != 0 ? status : -ECANCELED, flags);
    } else {
        read_on(flight);
    }
}

static void
read_piece(struct bp_block_flight *flight, uint32_t slot)
{
    const struct bp_block_request *request = &flight->request;
    struct overlay_flight *own = flight->data;
    int32_t count =
        bp_iovec_slice(request->iov, request->iov_count, own->done, own->piece, own->iov, MAX_IOV);

    if (count < 0) {
        bp_block_end(flight, count, 0);
        return;
    }
    flight->io.request = (struct bp_block_request){.op = BP_BLOCK_READ,
                                                   .offset = request->offset + own->done,
                                                   .length = own->piece,
                                                   .iov = own->iov,
                                                   .iov_count = (uint32_t)count};
    flight->io.slot = slot;
    flight->io.done = piece_read;
    bp_block_io_send(flight->lane, &flight->io);
}

/* The next piece that lies in one of the two. */
static void
read_on(struct bp_block_flight *flight)
{
    struct filter_overlay *overlay = bp_block_lane_self(flight->lane);
    const struct bp_block_request *request = &flight->request;
    struct overlay_flight *own = flight->data;
    uint32_t in_store;

    while (own->done < request->length) {
        uint64_t place = request->offset + own->done;

        own->piece = BP_BLOCK_SECTOR * changed_run(&overlay->changed, place / BP_BLOCK_SECTOR,
                                                   (request->length - own->done) / BP_BLOCK_SECTOR,
                                                   &in_store);
        if (!in_store || overlay->memory == NULL) {
            read_piece(flight, in_store ? STORE : BELOW);
            return;
        }
        (void)bp_iovec_write(request->iov, request->iov_count, own->done, overlay->memory + place,
                             own->piece);
        own->done += own->piece;
    }
    bp_block_end(flight, 0, 0);
}

static void
overlay_start(struct bp_block_flight *flight)
{
    struct filter_overlay *overlay = bp_block_lane_self(flight->lane);

    if (flight->request.op == BP_BLOCK_READ) {
        ((struct overlay_flight *)flight->data)->done = 0;
        read_on(flight);
    } else if (overlay->memory != NULL) {
        change_memory(overlay, flight);
    } else {
        send_to_store(flight);
    }
}

/* --- what it says about itself --------------------------------------------------------------- */

static void
ask(const struct bp_block_stack *stack, uint32_t slot, struct bp_block_info *info)
{
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    if (stack->below[slot] != NULL) {
        (void)stack->below[slot]->info(stack->below_self[slot], info);
    }
}

static int32_t
overlay_own_info(void *self, struct bp_block_info *info)
{
    const struct filter_overlay *overlay = self;
    const uint32_t stores = BP_BLOCK_CAN_FUA | BP_BLOCK_WRITE_CACHE;
    struct bp_block_info store;

    ask(&overlay->stack, STORE, &store);
    info->flags &= ~(BP_BLOCK_READONLY | BP_BLOCK_CAN_RESIZE | stores);
    info->flags |= BP_BLOCK_CAN_DISCARD | BP_BLOCK_CAN_ZERO | BP_BLOCK_CAN_ZERO_DISCARD;
    info->max_transfer = MAX_TRANSFER;
    if (overlay->memory != NULL) {
        info->flags |= BP_BLOCK_CAN_FUA;
    } else {
        info->flags |= store.flags & (stores | BP_BLOCK_READONLY);
    }
    if (overlay->realized && info->capacity > overlay->capacity) {
        info->capacity = overlay->capacity;
    }
    info->max_iov = info->max_iov < MAX_IOV ? info->max_iov : MAX_IOV;
    info->discard_granularity = (uint32_t)PAGE;
    info->max_discard = MAX_DISCARD;
    return 0;
}

static const struct bp_block_stack_ops overlay_stack_ops = {
    .start = overlay_start,
    .info = overlay_own_info,
    .flight_size = sizeof(struct overlay_flight),
};

BP_BLOCK_STACK_FUNCTIONS(overlay, filter_overlay)

static const struct bp_block_ops overlay_ops = {
    .size = sizeof(overlay_ops),
    .info = overlay_info,
    .queue_open = overlay_queue_open,
    .queue_close = overlay_queue_close,
    .submit = overlay_submit,
    .cancel = overlay_cancel_request,
    .drain = overlay_drain,
};

/* --- life ------------------------------------------------------------------------------------ */

static int32_t
make_memory(struct filter_overlay *overlay)
{
    void *memory = mmap(NULL, overlay->capacity, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        return bp_fail(&overlay->services, -ENOMEM, NULL,
                       "no address space for the overlay: give it a store");
    }
    overlay->memory = memory;
    overlay->memory_bytes = overlay->capacity;
    return 0;
}

static int32_t
check_store(struct filter_overlay *overlay)
{
    struct bp_block_info store;

    ask(&overlay->stack, STORE, &store);
    if ((store.flags & BP_BLOCK_READONLY) != 0) {
        return bp_fail(&overlay->services, -EROFS, NULL, "the store is read-only");
    }
    if (store.capacity < overlay->capacity) {
        return bp_fail(&overlay->services, -ENOSPC, NULL,
                       "the store has %llu bytes: it needs as many as the disk below, %llu",
                       (unsigned long long)store.capacity, (unsigned long long)overlay->capacity);
    }
    return 0;
}

static int32_t
overlay_realize(void *self)
{
    struct filter_overlay *overlay = self;
    struct bp_block_info below;
    int32_t result;

    ask(&overlay->stack, BELOW, &below);
    overlay->capacity = below.capacity / BP_BLOCK_SECTOR * BP_BLOCK_SECTOR;
    if (overlay->capacity == 0) {
        return bp_fail(&overlay->services, -ENOMEDIUM, NULL, "there is nothing in the disk below");
    }
    overlay->stack.slots = overlay->stack.below[STORE] != NULL ? 2 : 1;
    result = changed_init(&overlay->changed, overlay->capacity / BP_BLOCK_SECTOR);
    if (result == 0) {
        result = overlay->stack.slots == 2 ? check_store(overlay) : make_memory(overlay);
    }
    overlay->realized = result == 0;
    return result;
}

static int32_t
commit_or_drop(struct filter_overlay *overlay, uint32_t commit)
{
    int32_t result;

    bp_block_stack_freeze(&overlay->stack);
    result = commit ? overlay_commit(overlay) : overlay_drop(overlay);
    bp_block_stack_thaw(&overlay->stack);
    if (result == 0 && !commit) {
        bp_block_stack_event(&overlay->stack, BP_BLOCK_EVENT_MEDIA);
    }
    return result;
}

static int32_t
overlay_set(void *self, const char *name, const struct bp_node *node)
{
    struct filter_overlay *overlay = self;
    const struct bp_services *services = &overlay->services;
    const char *text = services->config->get_str(services->instance, node);
    uint32_t commit = text != NULL && strcmp(text, "commit") == 0;
    int32_t result;

    if (strcmp(name, "end") == 0) {
        overlay->commit_at_end = commit;
        return 0;
    }
    if (text == NULL || strcmp(text, "keep") == 0) {
        return 0;
    }
    result = commit_or_drop(overlay, commit);
    return result == 0 ? 0
                       : bp_fail(services, result, node, "cannot %s the changes: %s", text,
                                 strerror(-result));
}

/* Both backends are still there when the first of them goes. */
static void
overlay_last_detach(void *self, uint32_t slot, uint32_t use)
{
    struct filter_overlay *overlay = self;
    int32_t result = overlay->commit_at_end && overlay->realized ? commit_or_drop(overlay, 1) : 0;

    if (result != 0) {
        bp_error(&overlay->services, "cannot commit the changes: %s", strerror(-result));
    }
    overlay->realized = 0;
    overlay_detach(self, slot, use);
}

static const struct bp_life_ops overlay_life = {
    .size = sizeof(overlay_life),
    .realize = overlay_realize,
    .quiesce = overlay_quiesce,
    .attach = overlay_attach,
    .detach = overlay_last_detach,
    .set = overlay_set,
};

static const void *
overlay_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_BLOCK_ID)  ? (const void *)&overlay_ops
           : bp_same_id(interface_id, BP_LIFE_ID) ? (const void *)&overlay_life
                                                  : NULL;
}

static void
overlay_destroy(void *self)
{
    struct filter_overlay *overlay = self;

    if (overlay == NULL) {
        return;
    }
    bp_block_stack_done(&overlay->stack);
    changed_done(&overlay->changed);
    if (overlay->memory != NULL) {
        (void)munmap(overlay->memory, overlay->memory_bytes);
    }
    free(overlay);
}

static int32_t
overlay_create(const struct bp_create *args, void **self)
{
    struct filter_overlay *overlay = calloc(1, sizeof(*overlay));

    if (overlay == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&overlay->services, args->host, args->instance);
    overlay->stack.services = &overlay->services;
    overlay->stack.ops = &overlay_stack_ops;
    overlay->stack.self = overlay;
    overlay->stack.slots = 1;
    overlay->commit_at_end =
        strcmp(bp_option_str(&overlay->services, args->config, "end", "drop"), "commit") == 0;
    *self = overlay;
    return 0;
}

/* --- the plugin ------------------------------------------------------------------------------ */

static const char *const end_choices[] = {"drop", "commit", NULL};
static const char *const now_choices[] = {"keep", "drop", "commit", NULL};

static const struct bp_prop overlay_props[] = {
    {.name = "below",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the disk this one stands on"},
    {.name = "store", .type = BP_PROP_BACKEND, .help = "where changes go; memory if not given"},
    {.name = "end",
     .type = BP_PROP_ENUM,
     .flags = BP_PROP_RUNTIME,
     .def = "drop",
     .choices = end_choices,
     .help = "what becomes of the changes when the machine ends"},
    {.name = "now",
     .type = BP_PROP_ENUM,
     .flags = BP_PROP_RUNTIME,
     .def = "keep",
     .choices = now_choices,
     .help = "while running: drop or commit the changes at once"},
    {.name = NULL},
};

static const struct bp_slot overlay_slots[] = {
    {.name = "below", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1},
    {.name = "store", .interface_id = BP_BLOCK_ID, .min = 0, .max = 1},
    {.name = NULL},
};

static const char *const overlay_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class overlay_class = {
    .size = sizeof(overlay_class),
    .kind = BP_KIND_BACKEND,
    .name = "filter-overlay",
    .thread_model = BP_THREADS_PARALLEL,
    .bus = BP_BUS_NONE,
    .help = "keeps changes apart from the disk below",
    .props = overlay_props,
    .slots = overlay_slots,
    .provides = overlay_provides,
    .create = overlay_create,
    .destroy = overlay_destroy,
    .query = overlay_query,
};

static const struct bp_class *const overlay_classes[] = {&overlay_class, NULL};

BP_PLUGIN_NOTE(.id = "filter-overlay", .version = PLUGIN_VERSION,
               .classes = {{"filter-overlay", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         {BP_LOOP_ID, offsetof(struct bp_loop_host, is_current), 0}});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "filter-overlay",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "copy-on-write over any block backend",
    .classes = overlay_classes,
};
