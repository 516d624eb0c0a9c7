/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin built against a later SDK: its class, descriptor and tables are larger than today's core
 * knows, and it asks for services that do not exist yet. It looks at what it got and shows it at a
 * port of 300h: bit n is set if the n-th expectation held. */
#include <backplane/backplane.h>

#include <stdlib.h>
#include <string.h>

#define EXPECT_UNKNOWN_SERVICES (1u << 0) /* ids of the future give NULL */
#define EXPECT_ZERO_TAIL        (1u << 1) /* larger arguments with a zero tail are taken */
#define EXPECT_E2BIG            (1u << 2) /* with a tail that says something they are not */
#define EXPECT_OLD_SIZE         (1u << 3) /* tables of the host are no larger than they are */
#define EXPECT_REALIZE          (1u << 4) /* found behind the smaller life table */

struct future {
    uint8_t held;
};

static uint64_t
future_read(void *opaque, uint64_t offset, uint32_t width)
{
    const struct future *future = opaque;

    (void)offset;
    (void)width;
    return future->held;
}

static void
future_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    (void)opaque;
    (void)offset;
    (void)width;
    (void)value;
}

static void
future_never(void)
{
    abort(); /* a core that calls what it cannot know is wrong */
}

static const struct {
    struct bp_region_ops now;
    void (*later[4])(void);
} future_ops = {
    .now = {.size = sizeof(future_ops), .read = future_read, .write = future_write},
    .later = {future_never, future_never, future_never, future_never},
};

static int32_t
future_realize(void *self)
{
    ((struct future *)self)->held |= EXPECT_REALIZE;
    return 0;
}

static const struct {
    struct bp_life_ops now;
    void (*later[4])(void);
} future_life = {
    .now = {.size = sizeof(future_life), .realize = future_realize},
    .later = {future_never, future_never, future_never, future_never},
};

static uint8_t
ask_for_the_future(const struct bp_create *args)
{
    static const char *const ids[] = {"bp.region/2", "bp.quantum/1", "", "bp.region",
                                      "bp.region/11"};
    unsigned i;

    for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (args->host->query(args->instance, ids[i]) != NULL) {
            return 0;
        }
    }
    return EXPECT_UNKNOWN_SERVICES;
}

static int32_t
future_create(const struct bp_create *args, void **self)
{
    struct future *future = calloc(1, sizeof(*future));
    const struct bp_region_host *region = args->host->query(args->instance, BP_REGION_ID);
    struct {
        struct bp_region_args now;
        uint64_t later[3];
    } port = {.now = {.size = sizeof(port), .id = 1, .space = BP_SPACE_PIO, .base = 0x300}};

    if (future == NULL || region == NULL) {
        free(future);
        return -ENOMEM;
    }
    port.now.length = 1;
    port.now.ops = &future_ops.now;
    port.now.opaque = future;
    future->held = ask_for_the_future(args);
    future->held |= region->size >= sizeof(*region) ? EXPECT_OLD_SIZE : 0;
    port.later[2] = 7;
    future->held |= region->create(args->instance, &port.now) == -E2BIG ? EXPECT_E2BIG : 0;
    port.later[2] = 0;
    future->held |= region->create(args->instance, &port.now) == 0 ? EXPECT_ZERO_TAIL : 0;
    *self = future;
    return 0;
}

static void
future_destroy(void *self)
{
    free(self);
}

static const void *
future_query(void *self, const char *interface_id)
{
    (void)self;
    return strcmp(interface_id, BP_LIFE_ID) == 0 ? &future_life : NULL;
}

static const struct {
    struct bp_class now;
    void (*later[4])(void);
} future_class = {
    .now = {.size = sizeof(future_class),
            .kind = BP_KIND_DEVICE,
            .name = "future",
            .thread_model = BP_THREADS_SERIAL,
            .bus = BP_BUS_ISA,
            .help = "a device of a later SDK",
            .create = future_create,
            .destroy = future_destroy,
            .query = future_query},
    .later = {future_never, future_never, future_never, future_never},
};

static const struct bp_class *const future_classes[] = {&future_class.now, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(struct bp_plugin),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "future",
    .version = "9.9",
    .license = "Apache-2.0",
    .help = "a plugin of a later SDK",
    .classes = future_classes,
};

BP_PLUGIN_NOTE(.id = "future", .version = "9.9",
               .classes = {{"future", BP_KIND_DEVICE, BP_THREADS_SERIAL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_REGION_ID, struct bp_region_host)});
