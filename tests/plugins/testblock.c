/* SPDX-License-Identifier: Apache-2.0 */
/* Backends for tests of machine descriptions: a block one and a character one that open nothing. */
#include <backplane/backplane.h>

#include <stdlib.h>

static int32_t
testblock_create(const struct bp_create *args, void **self)
{
    (void)args;
    *self = malloc(1);
    return *self != NULL ? 0 : -ENOMEM;
}

static void
testblock_destroy(void *self)
{
    free(self);
}

static const void *
testblock_query(void *self, const char *interface_id)
{
    (void)self;
    (void)interface_id;
    return NULL;
}

static const struct bp_prop testblock_props[] = {
    {.name = "path", .type = BP_PROP_PATH, .flags = BP_PROP_REQUIRED, .help = "the image"},
    {.name = "readonly",
     .type = BP_PROP_BOOL,
     .def = "false",
     .flags = BP_PROP_RUNTIME,
     .help = "refuse writes"},
    {.name = NULL},
};

static const char *const testblock_provides[] = {BP_BLOCK_ID, NULL};
static const char *const testchar_provides[] = {BP_CHAR_ID, NULL};

static const struct bp_class testblock_class = {
    .size = sizeof(struct bp_class),
    .kind = BP_KIND_BACKEND,
    .name = "testblock",
    .thread_model = BP_THREADS_PARALLEL,
    .promises = BP_PROMISE_UPGRADE | BP_PROMISE_SANDBOX,
    .state_version = 2,
    .state_min = 1,
    .help = "an image that is never opened",
    .props = testblock_props,
    .provides = testblock_provides,
    .create = testblock_create,
    .destroy = testblock_destroy,
    .query = testblock_query,
};

static const struct bp_class testchar_class = {
    .size = sizeof(struct bp_class),
    .kind = BP_KIND_BACKEND,
    .name = "testchar",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "a line that leads nowhere",
    .provides = testchar_provides,
    .create = testblock_create,
    .destroy = testblock_destroy,
    .query = testblock_query,
};

static const struct bp_class *const testblock_classes[] = {&testblock_class, &testchar_class, NULL};

const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(struct bp_plugin),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "testblock",
    .version = "2.1",
    .license = "Apache-2.0",
    .help = "backends for tests",
    .classes = testblock_classes,
};

BP_PLUGIN_NOTE(.id = "testblock", .version = "2.1",
               .classes = {{"testblock", BP_KIND_BACKEND, BP_THREADS_PARALLEL,
                            BP_PROMISE_UPGRADE | BP_PROMISE_SANDBOX, 2, 1, 0},
                           {"testchar", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}});
