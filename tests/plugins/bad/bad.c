/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that must be refused, each for one reason: BAD_... chooses it, PLUGIN_ID is the name.
 * What is not said here is as in a good plugin, so that the reason under test is the one that is
 * found. */
#include <backplane/backplane.h>

#include <stdlib.h>

/* --- what happens at load -------------------------------------------------------------------- */

#ifdef BAD_CONSTRUCTOR
__attribute__((constructor)) static void
bad_constructor(void)
{
    abort();
}
#endif

#ifdef BAD_DESTRUCTOR
__attribute__((destructor)) static void
bad_destructor(void)
{
    abort();
}
#endif

#ifdef BAD_INIT /* linked with -init=bad_init */
void bad_init(void);
__attribute__((visibility("default"))) void
bad_init(void)
{
    abort();
}
#endif

#ifdef BAD_INIT_SECTION /* code slipped into _init itself */
__asm__(".pushsection .init, \"ax\"\n\tnop\n\tnop\n\t.popsection");
#endif

#ifdef BAD_IFUNC
static int
bad_target(void)
{
    return 0;
}
static __attribute__((used)) int (*bad_resolver(void))(void)
{
    return bad_target;
}
__attribute__((visibility("default"))) int bad_function(void)
    __attribute__((ifunc("bad_resolver")));
#endif

/* --- how it is linked ------------------------------------------------------------------------ */

#ifdef BAD_UNIQUE
__asm__(
    ".pushsection .data, \"aw\"\n\t.globl bad_unique\n\t.type bad_unique, %gnu_unique_object\n\t"
    ".size bad_unique, 4\nbad_unique:\n\t.long 0\n\t.popsection");
#endif

#ifdef BAD_TEXTREL /* an address in code; linked with -z notext */
__asm__(".pushsection .text\n\t.quad backplane_plugin_v1\n\t.popsection");
#endif

#ifdef BAD_SYMBOL
int log_write(int level, const char *text);
#endif

#ifdef BAD_UPGRADE
#define PROMISES BP_PROMISE_UPGRADE
#else
#define PROMISES 0
#endif

static int32_t
bad_create(const struct bp_create *args, void **self)
{
    (void)args;
#ifdef BAD_SYMBOL
    if (log_write(1, "hello") != 0) {
        return -EIO;
    }
#endif
#ifdef BAD_UPGRADE
    if (setenv("BACKPLANE_WAS_HERE", "1", 1) != 0) {
        return -EIO;
    }
#endif
#ifdef BAD_IFUNC
    if (bad_function() != 0) {
        return -EIO;
    }
#endif
    *self = malloc(1);
    return *self != NULL ? 0 : -ENOMEM;
}

static void
bad_destroy(void *self)
{
    free(self);
}

static const void *
bad_query(void *self, const char *interface_id)
{
    (void)self;
    (void)interface_id;
    return NULL;
}

/* --- the descriptor -------------------------------------------------------------------------- */

#ifdef BAD_ENDLESS_OPTIONS
static const struct bp_prop bad_props[] = {
#define P                                                                                          \
    {                                                                                              \
        .name = "a", .type = BP_PROP_BOOL                                                          \
    }
#define P16 P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P
    P16, P16, P16, P16, P16, P16, P16, P16, P16, {.name = NULL},
};
#elif defined(BAD_DEEP_OPTIONS)
static const struct bp_prop bad_props[] = {
    {.name = "deep", .type = BP_PROP_GROUP, .children = bad_props},
    {.name = NULL},
};
#elif defined(BAD_FUTURE_OPTION)
static const struct bp_prop bad_props[] = {
    {.name = "shiny", .type = 77},
    {.name = NULL},
};
#elif defined(BAD_OPTION_NAME)
static const struct bp_prop bad_props[] = {
    {.name = "Not A Name", .type = BP_PROP_BOOL},
    {.name = NULL},
};
#elif defined(BAD_RESERVED_OPTION)
static const struct bp_prop bad_props[] = {
    {.name = "loop", .type = BP_PROP_UINT},
    {.name = NULL},
};
#elif defined(BAD_CHOICES)
static const struct bp_prop bad_props[] = {
    {.name = "mode", .type = BP_PROP_ENUM},
    {.name = NULL},
};
#elif defined(BAD_NO_SLOT)
static const struct bp_prop bad_props[] = {
    {.name = "disk", .type = BP_PROP_BACKEND},
    {.name = NULL},
};
#elif defined(BAD_POINTER)
static const struct bp_prop bad_props[] = {
    {.name = "wild", .type = BP_PROP_BOOL, .help = (const char *)0x123456789a},
    {.name = NULL},
};
#else
static const struct bp_prop bad_props[] = {
    {.name = "good", .type = BP_PROP_BOOL, .def = "false"},
    {.name = NULL},
};
#endif

#ifdef BAD_SERIAL_BACKEND
#define KIND BP_KIND_BACKEND
#else
#define KIND BP_KIND_DEVICE
#endif

#ifdef BAD_NOTE_DIFFERS
#define NOTE_THREADS BP_THREADS_PARALLEL
#else
#define NOTE_THREADS BP_THREADS_SERIAL
#endif

#ifdef BAD_ID
#define NOTE_ID "someone-else"
#else
#define NOTE_ID PLUGIN_ID
#endif

static const char *const bad_provides[] = {BP_BLOCK_ID, NULL};

static const struct bp_class bad_class = {
    .size = sizeof(struct bp_class),
    .kind = KIND,
    .name = PLUGIN_ID,
    .thread_model = BP_THREADS_SERIAL,
    .promises = PROMISES,
    .help = "never seen",
    .props = bad_props,
    .provides = KIND == BP_KIND_BACKEND ? bad_provides : NULL,
    .create = bad_create,
    .destroy = bad_destroy,
    .query = bad_query,
};

#ifdef BAD_MANY_CLASSES
#define C &bad_class
static const struct bp_class *const bad_classes[] = {C, C, C, C, C, C, C, C, C, NULL};
#else
static const struct bp_class *const bad_classes[] = {&bad_class, NULL};
#endif

#ifdef BAD_MAGIC
#define MAGIC 0x4d41474943ull
#else
#define MAGIC BP_PLUGIN_MAGIC
#endif

#ifdef BAD_NO_DESCRIPTOR
static __attribute__((used))
#define backplane_plugin_v1 backplane_plugin_v9
#endif
const struct bp_plugin backplane_plugin_v1 = {
    .magic = MAGIC,
    .size = sizeof(struct bp_plugin),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = NOTE_ID,
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "a bad plugin",
    .classes = bad_classes,
};

/* --- the note -------------------------------------------------------------------------------- */

#define ONE_CLASS                                                                                  \
    {                                                                                              \
        PLUGIN_ID, KIND, NOTE_THREADS, PROMISES, 0, 0, 0                                           \
    }

#if defined(BAD_NO_NOTE)
#elif defined(BAD_FUTURE_NEED)
BP_PLUGIN_NOTE(.id = NOTE_ID, .version = "1.0", .classes = {ONE_CLASS},
               .needs = {{BP_REGION_ID, (uint32_t)sizeof(struct bp_region_host) + 64, 0}});
#elif defined(BAD_UNKNOWN_NEED)
BP_PLUGIN_NOTE(.id = NOTE_ID, .version = "1.0", .classes = {ONE_CLASS},
               .needs = {{"bp.teleport/3", 24, 0}});
#elif defined(BAD_MANY_CLASSES)
BP_PLUGIN_NOTE(.id = NOTE_ID, .version = "1.0",
               .classes = {ONE_CLASS, ONE_CLASS, ONE_CLASS, ONE_CLASS, ONE_CLASS, ONE_CLASS,
                           ONE_CLASS, ONE_CLASS});
#else
BP_PLUGIN_NOTE(.id = NOTE_ID, .version = "1.0", .classes = {ONE_CLASS});
#endif
