/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin is: one ELF note, one exported descriptor, classes with options and backend slots.
 *
 * The note and the descriptor are read from the file without running any code of it. The descriptor
 * and everything it points to (classes, options, slots, strings) must be constant data whose pointers
 * need nothing but relative relocations, i.e. plain `static const` tables. */
#ifndef BACKPLANE_PLUGIN_H
#define BACKPLANE_PLUGIN_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_host;
struct bp_node;

/* --- options ----------------------------------------------------------------------------------- */

#define BP_PROP_BOOL    1u  /* true, false */
#define BP_PROP_INT     2u  /* int64_t; min and max apply */
#define BP_PROP_UINT    3u  /* uint64_t; min and max apply */
#define BP_PROP_SIZE    4u  /* uint64_t bytes: 4096, "64K", "1G"; min and max apply */
#define BP_PROP_FLOAT   5u  /* double */
#define BP_PROP_STRING  6u  /* any text */
#define BP_PROP_PATH    7u  /* a file; relative ones are relative to the file that names them */
#define BP_PROP_ENUM    8u  /* one of choices[] */
#define BP_PROP_BACKEND 9u  /* id of a backend; the option's name is the name of its slot */
#define BP_PROP_LIST    10u /* list; each element is described by children[0] */
#define BP_PROP_GROUP   11u /* group; members are described by children[] */

#define BP_PROP_REQUIRED (1u << 0) /* the description must give it */
/* def is a comma-separated list: the n-th instance of the class gets the n-th value, past those whose
 * values other instances state explicitly. An instance beyond the list must state it. Options of one
 * class with this flag are dealt out together (port and irq of the same n). */
#define BP_PROP_PER_INSTANCE (1u << 1)
#define BP_PROP_RUNTIME      (1u << 2) /* may change while the machine runs (life.set) */

/* One option. Frozen: 96 bytes. A list of options ends with a record whose name is NULL. */
struct bp_prop {
    const char *name;             /* lower case, words joined by '_' or '-' */
    uint32_t type;                /* BP_PROP_BOOL .. BP_PROP_GROUP */
    uint32_t flags;               /* BP_PROP_REQUIRED ... */
    const char *def;              /* default as text, as in the description; NULL: none */
    int64_t min;                  /* INT, UINT, SIZE; for STRING the shortest length; and for LIST */
    int64_t max;                  /* both 0: no limits */
    const char *help;             /* one line */
    const char *const *choices;   /* ENUM: NULL-terminated */
    const struct bp_prop *children; /* LIST, GROUP: see there */
    uint64_t reserved[4];
};

/* --- slots ------------------------------------------------------------------------------------- */

#define BP_SLOT_HOTPLUG (1u << 0) /* attach and detach may come while the machine runs */

/* A place where backends are attached. Frozen: 64 bytes. A list ends with a record without name.
 * The uses of a slot are numbered 0, 1, ... in the order in which options of that name appear in the
 * instance's description. */
struct bp_slot {
    const char *name;         /* equals the name of the BP_PROP_BACKEND option */
    const char *interface_id; /* what the backend must provide, e.g. "bp.block/1" */
    uint32_t min;             /* fewest uses */
    uint32_t max;             /* most uses */
    uint32_t flags;           /* BP_SLOT_HOTPLUG */
    uint32_t min_size;        /* size the backend's table must have at least; 0: any */
    uint64_t reserved[4];
};

/* --- classes ----------------------------------------------------------------------------------- */

#define BP_KIND_DEVICE  1u /* the guest sees it */
#define BP_KIND_BACKEND 2u /* provides an interface to devices; a filter also has slots */

#define BP_BUS_NONE 0u
#define BP_BUS_ISA  1u /* fixed ports and IRQs, from options */
#define BP_BUS_PCI  2u /* needs a PCI address: option "address" ("05.0") or the next free slot */

#define BP_THREADS_SERIAL    1000u /* the core holds the instance's lock in every callback */
#define BP_THREADS_PER_QUEUE 2000u /* lock in [vcpu]; [loop] callbacks of one loop never overlap */
#define BP_THREADS_PARALLEL  3000u /* no lock at all */

#define BP_PROMISE_SANDBOX       (1u << 0) /* works in a process of its own */
#define BP_PROMISE_UPGRADE       (1u << 1) /* may be replaced while the machine runs */
#define BP_PROMISE_DIRTY_TRACKED (1u << 2) /* marks every write to guest memory as dirty */

/* Arguments of create(). The struct is borrowed for the call; host, instance and id stay valid until
 * destroy() has returned. */
struct bp_create {
    uint32_t size;
    uint32_t flags;                 /* 0 */
    const struct bp_host *host;     /* services of the core */
    struct bp_instance *instance;   /* first argument of every host function */
    const char *id;                 /* the instance's key in the machine description */
    const struct bp_node *config;   /* its options, checked, defaults filled in; see config.h */
};

/* One class of objects. Append-only. */
struct bp_class {
    uint32_t size;
    uint32_t kind;                  /* BP_KIND_DEVICE or BP_KIND_BACKEND */
    const char *name;               /* "serial"; the first class has the plugin's id */
    uint32_t thread_model;          /* BP_THREADS_... A BACKEND is never SERIAL: its callers come
                                     * from several devices and instance locks must not nest */
    uint32_t promises;              /* BP_PROMISE_... */
    uint32_t state_version;         /* version of what state.save writes; 0: no state */
    uint32_t state_min;             /* oldest version that state.restore reads */
    uint32_t bus;                   /* DEVICE: BP_BUS_... */
    uint32_t preferred_devfn;       /* BP_BUS_PCI: slot << 3 | function of its usual place, or 0 */
    const char *help;               /* one line */
    const struct bp_prop *props;    /* or NULL */
    const struct bp_slot *slots;    /* or NULL */
    const char *const *provides;    /* BACKEND: interface ids, NULL-terminated; or NULL */

    /* Makes an object: reads its options, declares what the core owns for it (regions, lines,
     * functions), touches nothing outside the process but what host.open gives.
     * args: borrowed. *self: untouched on failure; handed to every later call.
     * [control] any negative errno; explain it with log.error first. */
    int32_t (*create)(const struct bp_create *args, void **self) BP_MUST_CHECK;
    /* Frees the object. Copes with half-made ones. What was registered with the core is withdrawn by
     * the core right before, so that no callback comes during or after this call.
     * [control] */
    void (*destroy)(void *self);
    /* The object's side of an interface: "bp.life/1", "bp.state/1", "bp.block/1" ...
     * Returns a table that lives as long as the object, or NULL if it has none.
     * [control] */
    const void *(*query)(void *self, const char *interface_id);
};

#define BP_PLUGIN_MAGIC 0x314e4c5042504b42ull /* "BKPBPLN1" */

/* The one exported symbol: `BP_EXPORT extern const struct bp_plugin backplane_plugin_v1`. */
struct bp_plugin {
    uint64_t magic;
    uint32_t size;
    uint32_t flags;                 /* 0 */
    uint32_t abi_major;
    uint32_t abi_minor;
    const char *id;                 /* equals the file name without ".so" and the note's id */
    const char *version;            /* the plugin's own */
    const char *license;            /* SPDX expression */
    const char *help;               /* one line */
    const struct bp_class *const *classes; /* NULL-terminated, 1..BP_NOTE_MAX_CLASSES */
};

extern BP_EXPORT const struct bp_plugin backplane_plugin_v1;

/* --- the note ---------------------------------------------------------------------------------- */

#define BP_NOTE_NAME        "Backplane"
#define BP_NOTE_TYPE        1u
#define BP_NOTE_MAX_CLASSES 8u
#define BP_NOTE_MAX_NEEDS   24u

/* Frozen: 56 bytes. */
struct bp_note_class {
    char name[32]; /* zero-padded; empty: end */
    uint32_t kind;
    uint32_t thread_model;
    uint32_t promises;
    uint32_t state_version;
    uint32_t state_min;
    uint32_t reserved;
};

/* A host service the plugin cannot do without. Frozen: 32 bytes. */
struct bp_note_need {
    char interface_id[24]; /* zero-padded; empty: end */
    uint32_t min_size;     /* of its table */
    uint32_t reserved;
};

/* Frozen: the descriptor of the note. */
struct bp_note_desc {
    uint32_t size;
    uint32_t flags; /* 0 */
    uint32_t abi_major;
    uint32_t abi_minor;
    char id[32];
    char version[32];
    struct bp_note_class classes[BP_NOTE_MAX_CLASSES];
    struct bp_note_need needs[BP_NOTE_MAX_NEEDS];
};

struct bp_note {
    uint32_t name_size; /* 10, with the zero */
    uint32_t desc_size;
    uint32_t type;      /* BP_NOTE_TYPE */
    char name[12];      /* BP_NOTE_NAME, zero-padded */
    struct bp_note_desc desc;
};

/* One entry of the note's needs: BP_NEED(BP_REGION_ID, struct bp_region_host). */
#define BP_NEED(id, type) { id, (uint32_t)sizeof(type), 0 }

/* Writes the note. Used once in a plugin, at file scope, followed by the initialisers of
 * bp_note_desc from .id on:
 *   BP_PLUGIN_NOTE(.id = "serial", .version = "1.0",
 *       .classes = { { "serial", BP_KIND_DEVICE, BP_THREADS_SERIAL, 0, 1, 1, 0 } },
 *       .needs = { BP_NEED(BP_REGION_ID, struct bp_region_host) }); */
#define BP_PLUGIN_NOTE(...)                                                                        \
    extern const struct bp_note backplane_note;                                                    \
    __attribute__((section(".note.backplane"), aligned(4), used,                                   \
                   visibility("hidden"))) const struct bp_note backplane_note = {                  \
        10,                                                                                        \
        (uint32_t)sizeof(struct bp_note_desc),                                                     \
        BP_NOTE_TYPE,                                                                              \
        BP_NOTE_NAME,                                                                              \
        { .size = (uint32_t)sizeof(struct bp_note_desc),                                           \
          .abi_major = BP_ABI_MAJOR,                                                               \
          .abi_minor = BP_ABI_MINOR,                                                               \
          __VA_ARGS__ }                                                                            \
    }

/* --- the host ---------------------------------------------------------------------------------- */

/* The core as a plugin sees it. */
struct bp_host {
    uint32_t size;
    uint32_t flags; /* 0 */
    /* Finds a service of the core.
     * Returns a table that lives until destroy() has returned, or NULL if it is not offered.
     * [any] */
    const void *(*query)(struct bp_instance *instance, const char *interface_id);
};

#ifdef __cplusplus
}
#endif

#endif
