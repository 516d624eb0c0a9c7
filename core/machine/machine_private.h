/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of core/machine share. */
#pragma once

#include "boot/boot.h"
#include "machine/machine.h"
#include "plugin/instance.h"

typedef struct {
    char *who;
    char *name;
    char *json;
} PendingEvent;

struct Machine {
    MachinePlan *plan;
    MachineArgs args;

    GMainContext *context;
    GMainLoop *main_loop;
    Services services;   /* every part in it is owned by the machine */
    GHashTable *plugins; /* PluginImage* -> Plugin* */
    GPtrArray *backends; /* Instance*, in the plan's order */
    GPtrArray *devices;  /* Instance*, in the plan's order */

    char *kernel, *initrd, *cmdline;
    BootKernel *boot_kernel; /* NULL: firmware boots */

    bool running;
    bool started;            /* vCPU threads exist */
    bool was_started;        /* it has run before */
    const char *stopped_by;  /* its status when a device asked to stop; until someone resumes it */
    GHashTable *io_failures; /* a drive's name -> "failed" or "nospace", until it is resumed */
    bool suspended;          /* in S3: the vCPUs stand, time goes on */
    int exit_status;

    int request_fd;    /* eventfd: something is in `requests` or `events` */
    GMutex lock;       /* protects: requests, events, answers, ejected */
    unsigned requests; /* bit n: MachineRequest n */
    GQueue events;     /* PendingEvent */
    GQueue answers;    /* of instances that are asked to come to rest */
    uint32_t ejected;  /* PCI slots that the guest has let go of */

    GPtrArray *quiescing;   /* Quiesce*: instances on their way to rest; see machine_quiesce.c */
    GHashTable *transient;  /* set of Instance*: backends made for a medium, gone with it */
    GHashTable *unplugging; /* Instance* -> gint64*, when it may be asked again; see
                             * machine_devices.c */

    MachineEventFunc *event_func;
    void *event_opaque;
};

/* machine_parts.c: memory, spaces, loops, VM, board. */
bool machine_make_parts(Machine *machine, GError **error);
void machine_free_parts(Machine *machine);
/* machine_instances.c: plugins and what they make. */
bool machine_make_instances(Machine *machine, GError **error);
void machine_free_instances(Machine *machine);
void machine_start_instances(Machine *machine);
void machine_stop_instances(Machine *machine);
void machine_reset_instances(Machine *machine, uint32_t kind);
Instance *machine_find_instance(Machine *machine, const char *id);
/* Loads, creates, attaches, realizes. */
Instance *machine_make_instance(Machine *machine, PlanInstance *plan, GError **error);
/* machine_quiesce.c: to rest and on again. func is called once, now or later; error: the instance
 * goes on as before. Until machine_unquiesce() it is at rest. */
typedef void MachineRestFunc(void *opaque, const GError *error);
void machine_quiesce(Machine *machine, Instance *instance, MachineRestFunc *func, void *opaque);
void machine_unquiesce(Machine *machine, Instance *instance);
/* It goes: no resume. */
void machine_quiesce_forget(Machine *machine, const Instance *instance);
bool machine_is_quiesced(const Machine *machine, const Instance *instance);
void machine_quiesce_answer(Machine *machine, const char *who, int32_t status); /* [any] */
void machine_quiesce_serve(Machine *machine);
void machine_quiesce_init(Machine *machine);
void machine_quiesce_cancel(Machine *machine); /* the machine ends: nobody waits any more */
void machine_quiesce_done(Machine *machine);
/* machine_devices.c */
void machine_slot_ejected(Machine *machine, unsigned slot); /* [any] */
void machine_devices_serve(Machine *machine);               /* what the guest let go of */
void machine_devices_reset(Machine *machine); /* a guest that starts anew holds nothing */
/* machine_backends.c: an instance in the plan, with all that is wrong with it in one line. */
PlanInstance *machine_plan_instance(Machine *machine, Node *options, bool is_device,
                                    GError **error);
/* machine_boot.c: firmware or kernel, boot order. */
bool machine_load_firmware(Machine *machine, GuestMemory *memory, GError **error);
bool machine_prepare_boot(Machine *machine, GError **error);
bool machine_place_boot(Machine *machine, GError **error);
/* machine.c */
void machine_suspend(Machine *machine);
void machine_wake(Machine *machine);
/* machine_requests.c */
void machine_notify(Machine *machine); /* [any] */
bool machine_requests_init(Machine *machine, GError **error);
void machine_requests_done(Machine *machine);
void machine_emit(Machine *machine, const char *who, const char *name, const char *json);
void machine_queue_event(Machine *machine, const char *who, const char *name, const char *json);
void machine_end(Machine *machine, int exit_status);
