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
    const MachinePlan *plan;
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
    bool started;   /* vCPU threads exist */
    bool suspended; /* in S3: the vCPUs stand, time goes on */
    int exit_status;

    int request_fd;    /* eventfd: something is in `requests` or `events` */
    GMutex lock;       /* protects: requests, events */
    unsigned requests; /* bit n: MachineRequest n */
    GQueue events;     /* PendingEvent */

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
/* machine_boot.c: firmware or kernel, boot order. */
bool machine_load_firmware(Machine *machine, GuestMemory *memory, GError **error);
bool machine_prepare_boot(Machine *machine, GError **error);
bool machine_place_boot(Machine *machine, GError **error);
/* machine.c */
void machine_suspend(Machine *machine);
void machine_wake(Machine *machine);
/* machine_requests.c */
bool machine_requests_init(Machine *machine, GError **error);
void machine_requests_done(Machine *machine);
void machine_emit(Machine *machine, const char *who, const char *name, const char *json);
void machine_queue_event(Machine *machine, const char *who, const char *name, const char *json);
void machine_end(Machine *machine, int exit_status);
