/* SPDX-License-Identifier: Apache-2.0 */
/* A block filter for tests of machine descriptions. */
#include <backplane/backplane.h>

#include <stdlib.h>

static int32_t
testfilter_create(const struct bp_create *args, void **self)
{
    (void)args;
    *self = malloc(1);
    return *self != NULL ? 0 : -ENOMEM;
}

static void
testfilter_destroy(void *self)
{
    free(self);
}

static const void *
testfilter_query(void *self, const char *interface_id)
{
    (void)self;
    (void)interface_id;
    return NULL;
}

static const struct bp_prop testfilter_props[] = {
    {.name = "below",
     .type = BP_PROP_BACKEND,
     .flags = BP_PROP_REQUIRED,
     .help = "what it stands on"},
    {.name = "iops", .type = BP_PROP_UINT, .def = "0", .help = "requests a second; 0: any"},
    {.name = NULL},
};

static const struct bp_slot testfilter_slots[] = {
    {.name = "below", .interface_id = BP_BLOCK_ID, .min = 1, .max = 1, .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const char *const testfilter_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class testfilter_class = {
    .size = sizeof(struct bp_class),
    .kind = BP_KIND_BACKEND,
    .name = "testfilter",
    .thread_model = BP_THREADS_PER_QUEUE,
    .help = "passes everything on",
    .props = testfilter_props,
    .slots = testfilter_slots,
    .provides = testfilter_provides,
    .create = testfilter_create,
    .destroy = testfilter_destroy,
    .query = testfilter_query,
};

static const struct bp_class *const testfilter_classes[] = {&testfilter_class, NULL};

const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(struct bp_plugin),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "testfilter",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "block filter for tests",
    .classes = testfilter_classes,
};

BP_PLUGIN_NOTE(.id = "testfilter", .version = "1.0",
               .classes = {{"testfilter", BP_KIND_BACKEND, BP_THREADS_PER_QUEUE, 0, 0, 0, 0}});
