/* SPDX-License-Identifier: Apache-2.0 */
/* One created object of a plugin's class and everything the core owns in its name. What a plugin
 * registers is kept here by kind and id, and withdrawn here, so that nothing of it can outlive the
 * object. */
#pragma once

#include "base/device_call.h"
#include "base/log.h"
#include "config/plan.h"
#include "plugin/id_table.h"
#include "plugin/plugin.h"
#include "plugin/services.h"

#include <backplane/backplane.h>

#include <glib.h>
#include <stdbool.h>

typedef struct bp_instance Instance;

typedef struct {
    char *unit; /* as the user names it after the colon */
    char *path;
} BootUnit;

struct bp_instance {
    struct bp_host host;
    Services *services;
    PlanInstance *plan; /* of the machine's plan, which changes with it */
    const char *id;
    const struct bp_class *class;
    void *self;
    struct bp_life_ops life; /* zeroed members: not provided */
    struct bp_state_ops state;
    struct bp_media_ops media;

    /* The instance's lock. [vcpu] callbacks take it for SERIAL and PER_QUEUE, [loop] ones for
     * SERIAL: the two pointers are NULL where they do not. */
    GMutex lock;
    GMutex *vcpu_lock;
    GMutex *loop_lock;

    bool realized;
    bool attached; /* every slot use is attached */
    char *failure; /* text of log.error, for the call in progress */
    const Node *failure_node;
    LogLimit log_limit;

    IdTable regions, doorbells, lines, timers, fds, events, threads, arenas, dma_channels;
    PciFunction *function;
    void *pci_notify; /* owned by host_pci.c */
    uint8_t io_bars;  /* bit n: BAR n is in I/O space */
    bool has_pin, has_msi, has_msix;
    GPtrArray *peers;   /* Peer*, one for each slot use */
    GPtrArray *drives;  /* char*: what operators call the drives of media; fixed after realize */
    GArray *boot_units; /* BootUnit */
    GPtrArray *first_values; /* Node*: options of create() that were replaced; see instance_set() */
    GHashTable *set_values;  /* set of Node*: those that replaced them */
};

/* Creates, not yet attached or realized. The error has file and line of the option at fault. */
Instance *instance_new(Services *services, PlanInstance *plan, const Plugin *plugin,
                       GError **error);
/* Detaches, withdraws every registration, destroys; takes NULL and half-made ones. */
void instance_free(Instance *instance);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Instance, instance_free)

/* The control thread is inside no device when it calls one, so it always gets the lock. */
void instance_lock(Instance *instance, DeviceCall *call);

/* Attaches `backend` to one use of a slot; on failure nothing is attached there. [control] */
bool instance_attach(Instance *instance, const PlanSlotUse *use, Instance *backend, GError **error);
/* Takes the backend out again; nothing if there is none. Once realized, only quiesced. */
void instance_detach(Instance *instance, unsigned slot, unsigned use);
void instance_detach_all(Instance *instance);
/* What is attached there, or NULL. */
Instance *instance_backend_at(const Instance *instance, unsigned slot, unsigned use);
const void *instance_peer_at(const Instance *instance, unsigned slot, unsigned use); /* Peer* */
/* Changes an option that has BP_PROP_RUNTIME. value: named by it; taken over. */
bool instance_set(Instance *instance, Node *value, GError **error);
/* 0: at rest; BP_LIFE_PENDING: services.quiesced tells later; negative: it cannot. */
int32_t instance_quiesce(Instance *instance, uint64_t deadline_ns);
void instance_resume(Instance *instance);
/* Drives (bp.media/1). -ENOENT: there is no drive with this index. */
int32_t instance_drive(Instance *instance, unsigned index, struct bp_media_drive *drive);
/* -EOPNOTSUPP: no tray. BP_MEDIA_REFUSED: the guest has locked it, and was told. */
int32_t instance_drive_open(Instance *instance, unsigned index, bool force);
int32_t instance_drive_close(Instance *instance, unsigned index);
void instance_learn_drives(Instance *instance);
/* Realizes: from now on guest accesses arrive. */
bool instance_realize(Instance *instance, GError **error);
void instance_start(Instance *instance);
void instance_stop(Instance *instance);
void instance_reset(Instance *instance, uint32_t kind);
/* The instance's side of an interface, as the plugin gives it; NULL if it has none. */
const void *instance_query(Instance *instance, const char *interface_id);
/* Path SeaBIOS knows a boot unit by ("" the whole device), newly allocated, or NULL. */
char *instance_boot_path(const Instance *instance, const char *unit);

/* The guest does not reach it any more: before it is freed while vCPUs run. */
void instance_hide(Instance *instance);

/* Fills `error` from what the plugin said through log.error, or from the bare code. */
void instance_set_error(Instance *instance, const char *what, int32_t code, GError **error);

/* Tables of host services, one file each; NULL if this build does not know the id. */
const void *host_query(Instance *instance, const char *interface_id);
extern const struct bp_log_host host_log;
extern const struct bp_config_host host_config;
extern const struct bp_memory_host host_memory;
extern const struct bp_region_host host_region;
extern const struct bp_irq_host host_irq;
extern const struct bp_pci_host host_pci;
extern const struct bp_msi_host host_msi;
extern const struct bp_msix_host host_msix;
extern const struct bp_isadma_host host_isadma;
extern const struct bp_timer_host host_timer;
extern const struct bp_loop_host host_loop;
extern const struct bp_core_host host_core;
extern const struct bp_media_host host_media;

/* Withdrawal of what each host file registered; called before destroy(), in instance_free(). */
void host_region_withdraw(Instance *instance);
void host_region_realized(Instance *instance); /* accesses may come now */
void host_irq_withdraw(Instance *instance);
void host_irq_reset(Instance *instance);
void host_pci_withdraw(Instance *instance);
void host_isadma_withdraw(Instance *instance);
void host_timer_withdraw(Instance *instance);
void host_loop_withdraw(Instance *instance);
void host_loop_stop_threads(Instance *instance);
void host_memory_withdraw(Instance *instance);
