/* SPDX-License-Identifier: Apache-2.0 */
/* An ISA device for tests of machine descriptions: options that are dealt out to instances, and a
 * backend it cannot do without. It does nothing in a machine. */
#include <backplane/backplane.h>

#include <stdlib.h>

static int32_t
testdev_create(const struct bp_create *args, void **self)
{
    (void)args;
    *self = malloc(1);
    return *self != NULL ? 0 : -ENOMEM;
}

static void
testdev_destroy(void *self)
{
    free(self);
}

static const void *
testdev_query(void *self, const char *interface_id)
{
    (void)self;
    (void)interface_id;
    return NULL;
}

static const struct bp_prop testdev_props[] = {
    {.name = "port",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_PER_INSTANCE,
     .def = "0x3f8, 0x2f8, 0x3e8",
     .min = 0,
     .max = 0xFFF8,
     .help = "first port"},
    {.name = "irq",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_PER_INSTANCE,
     .def = "4, 3, 4",
     .min = 1,
     .max = 15,
     .help = "interrupt"},
    {.name = "backend",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "the other end of the line"},
    {.name = NULL},
};

static const struct bp_slot testdev_slots[] = {
    {.name = "backend", .interface_id = BP_CHAR_ID, .min = 1, .max = 1},
    {.name = NULL},
};

static const struct bp_class testdev_class = {
    .size = sizeof(struct bp_class),
    .kind = BP_KIND_DEVICE,
    .name = "testdev-isa",
    .thread_model = BP_THREADS_SERIAL,
    .bus = BP_BUS_ISA,
    .help = "an ISA device that does nothing",
    .props = testdev_props,
    .slots = testdev_slots,
    .create = testdev_create,
    .destroy = testdev_destroy,
    .query = testdev_query,
};

static const struct bp_class *const testdev_classes[] = {&testdev_class, NULL};

const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(struct bp_plugin),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "testdev-isa",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "ISA device for tests",
    .classes = testdev_classes,
};

BP_PLUGIN_NOTE(.id = "testdev-isa", .version = "1.0",
               .classes = {{"testdev-isa", BP_KIND_DEVICE, BP_THREADS_SERIAL, 0, 0, 0, 0}});
