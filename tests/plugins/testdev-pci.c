/* SPDX-License-Identifier: Apache-2.0 */
/* A PCI device for tests of machine descriptions: an option of every type, a slot that is used from
 * a list, a second class that prefers a place. It does nothing in a machine. */
#include <backplane/backplane.h>

#include <stdlib.h>

struct testdev {
    struct bp_instance *instance;
};

static int32_t
testdev_create(const struct bp_create *args, void **self)
{
    struct testdev *dev = calloc(1, sizeof(*dev));

    if (dev == NULL) {
        return -ENOMEM;
    }
    dev->instance = args->instance;
    *self = dev;
    return 0;
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

static const char *const testdev_modes[] = {"safe", "fast", "reckless", NULL};

static const struct bp_prop testdev_drive[] = {
    {.name = "unit",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_REQUIRED,
     .min = 0,
     .max = 3,
     .help = "place on the cable"},
    {.name = "disk", .type = BP_PROP_BACKEND, .help = "what is in it"},
    {.name = "label", .type = BP_PROP_STRING, .def = "none", .help = "a sticker"},
    {.name = NULL},
};

static const struct bp_prop testdev_drives[] = {
    {.name = "drive", .type = BP_PROP_GROUP, .children = testdev_drive},
};

static const struct bp_prop testdev_tag[] = {
    {.name = "tag", .type = BP_PROP_STRING, .min = 1, .max = 8, .help = "a tag"},
    {.name = NULL},
};

static const struct bp_prop testdev_tuning[] = {
    {.name = "depth",
     .type = BP_PROP_UINT,
     .def = "128",
     .min = 1,
     .max = 1024,
     .help = "requests in flight"},
    {.name = "eager", .type = BP_PROP_BOOL, .def = "false", .help = "do not wait"},
    {.name = NULL},
};

static const struct bp_prop testdev_props[] = {
    {.name = "disk", .type = BP_PROP_BACKEND, .help = "one more drive"},
    {.name = "drives",
     .type = BP_PROP_LIST,
     .children = testdev_drives,
     .min = 0,
     .max = 3,
     .help = "the drives"},
    {.name = "count",
     .type = BP_PROP_UINT,
     .def = "4",
     .min = 1,
     .max = 16,
     .help = "number of queues"},
    {.name = "offset",
     .type = BP_PROP_INT,
     .def = "0",
     .min = -10,
     .max = 10,
     .help = "offset in hours"},
    {.name = "window",
     .type = BP_PROP_SIZE,
     .def = "64K",
     .min = 4096,
     .max = 1 << 30,
     .help = "size of the window"},
    {.name = "ratio", .type = BP_PROP_FLOAT, .def = "0.5", .help = "a ratio"},
    {.name = "mode",
     .type = BP_PROP_ENUM,
     .def = "safe",
     .choices = testdev_modes,
     .help = "how it behaves"},
    {.name = "mac", .type = BP_PROP_STRING, .min = 17, .max = 17, .help = "an address"},
    {.name = "rom", .type = BP_PROP_PATH, .help = "a ROM image"},
    {.name = "tags", .type = BP_PROP_LIST, .children = testdev_tag, .help = "tags"},
    {.name = "tuning", .type = BP_PROP_GROUP, .children = testdev_tuning, .help = "tuning"},
    {.name = NULL},
};

static const struct bp_slot testdev_slots[] = {
    {.name = "disk", .interface_id = BP_BLOCK_ID, .min = 0, .max = 3},
    {.name = NULL},
};

static const struct bp_class testdev_class = {
    .size = sizeof(struct bp_class),
    .kind = BP_KIND_DEVICE,
    .name = "testdev-pci",
    .thread_model = BP_THREADS_SERIAL,
    .bus = BP_BUS_PCI,
    .help = "a PCI device that does nothing",
    .props = testdev_props,
    .slots = testdev_slots,
    .create = testdev_create,
    .destroy = testdev_destroy,
    .query = testdev_query,
};

static const struct bp_class testdev_preferring_class = {
    .size = sizeof(struct bp_class),
    .kind = BP_KIND_DEVICE,
    .name = "testdev-preferring",
    .thread_model = BP_THREADS_SERIAL,
    .bus = BP_BUS_PCI,
    .preferred_devfn = 1 << 3 | 1,
    .help = "a PCI device that likes to be 01.1",
    .create = testdev_create,
    .destroy = testdev_destroy,
    .query = testdev_query,
};

static const struct bp_class *const testdev_classes[] = {&testdev_class, &testdev_preferring_class,
                                                         NULL};

const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(struct bp_plugin),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "testdev-pci",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "PCI device for tests",
    .classes = testdev_classes,
};

BP_PLUGIN_NOTE(.id = "testdev-pci", .version = "1.0",
               .classes = {{"testdev-pci", BP_KIND_DEVICE, BP_THREADS_SERIAL, 0, 0, 0, 0},
                           {"testdev-preferring", BP_KIND_DEVICE, BP_THREADS_SERIAL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_PCI_ID, struct bp_pci_host)});
