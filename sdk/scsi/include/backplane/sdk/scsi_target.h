/* SPDX-License-Identifier: Apache-2.0 */
/* Help for plugins that provide bp.scsi/1 over a unit of the SCSI engine. Not ABI.
 *
 * Behind the front (scsi_front.h) the target has the tasks' memory and the initiators; the front's
 * lock is around the unit. Requests go to a queue of the backend for each queue of the adapter,
 * on the same loop. */
#ifndef BACKPLANE_SDK_SCSI_TARGET_H
#define BACKPLANE_SDK_SCSI_TARGET_H

#include <backplane/scsi.h>
#include <backplane/sdk/on_error.h>
#include <backplane/sdk/scsi.h>
#include <backplane/sdk/scsi_front.h>

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_scsi_target_slot;
struct bp_scsi_target_nexus;
struct target_gate;

/* In the plugin's memory, zeroed; all of it the target's but what bp_scsi_target_init() sets. */
struct bp_scsi_target {
    struct bp_services services;
    struct bp_scsi_unit unit;
    struct bp_scsi_front front; /* its lock protects: all below, the unit and its tasks */
    uint8_t *page;
    struct bp_scsi_target_nexus *nexuses;
    uint32_t preempted; /* commands that PREEMPT AND ABORT has ended and that are still active */
    struct bp_scsi_target_slot *preempting; /* commands that have done so, ended but for that */
    struct target_gate *gate;               /* of a unit that is shared, or NULL */
    uint32_t tray_known;                    /* as operators were told */
    uint32_t quiesce_due;                   /* the core waits for the last request */
    struct bp_on_error on_error;
    char id[64]; /* of the instance, and of its backend: for operators */
    char backend[64];
    uint32_t attached; /* the control thread's: a backend is there */
};

/* The unit's arena gets id 0. [control] errors of arena_alloc, -ENOMEM; explained. */
int32_t bp_scsi_target_init(struct bp_scsi_target *target,
                            const struct bp_scsi_identity *identity) BP_MUST_CHECK;
void bp_scsi_target_done(struct bp_scsi_target *target);
/* Identity by the options that BP_SCSI_TARGET_PROPS describes. [control] -EINVAL, explained. */
int32_t bp_scsi_target_identity(const struct bp_services *services, const struct bp_node *options,
                                const char *id, struct bp_scsi_identity *identity) BP_MUST_CHECK;

/* Reads the options that one kind of target has beside those. [control] -EINVAL, explained. */
typedef int32_t bp_scsi_target_options(const struct bp_services *services,
                                       const struct bp_node *options,
                                       struct bp_scsi_identity *identity);

/* For a class whose instances are targets and nothing else: its create, with the kind in identity
 * and read_options or NULL, its destroy, and its query: bp.scsi/1, life and state.
 * [control] errors of create; explained. */
int32_t bp_scsi_target_create(const struct bp_create *args, struct bp_scsi_identity *identity,
                              bp_scsi_target_options *read_options, void **self) BP_MUST_CHECK;
void bp_scsi_target_destroy(void *self);
const void *bp_scsi_target_query(void *self, const char *interface_id);

#define BP_SCSI_TARGET_PROPS(product_default)                                                      \
    {.name = "vendor",                                                                             \
     .type = BP_PROP_STRING,                                                                       \
     .def = "BACKPLN",                                                                             \
     .max = 8,                                                                                     \
     .help = "vendor in INQUIRY data"},                                                            \
        {.name = "product",                                                                        \
         .type = BP_PROP_STRING,                                                                   \
         .def = (product_default),                                                                 \
         .max = 16,                                                                                \
         .help = "product in INQUIRY data"},                                                       \
        {.name = "revision",                                                                       \
         .type = BP_PROP_STRING,                                                                   \
         .def = "1.0",                                                                             \
         .max = 4,                                                                                 \
         .help = "revision in INQUIRY data"},                                                      \
        {.name = "serial",                                                                         \
         .type = BP_PROP_STRING,                                                                   \
         .max = 36,                                                                                \
         .help = "serial number; without it the key of this entry"},                               \
        {.name = "wwn",                                                                            \
         .type = BP_PROP_STRING,                                                                   \
         .max = 18,                                                                                \
         .help = "world-wide name, 16 hexadecimal digits"},                                        \
    {                                                                                              \
        .name = "port_wwn", .type = BP_PROP_STRING, .max = 18,                                     \
        .help = "world-wide name of the target port, 16 hexadecimal digits"                        \
    }

/* life.attach and detach of the backend. [control] as bp_scsi_unit_attach(). */
int32_t bp_scsi_target_attach(struct bp_scsi_target *target,
                              const struct bp_peer *peer) BP_MUST_CHECK;
void bp_scsi_target_detach(struct bp_scsi_target *target);
/* life.reset: ends every command that is held or waiting, as bp_scsi_unit_reset(). [control] */
void bp_scsi_target_reset(struct bp_scsi_target *target, uint16_t code);

/* The table to give for BP_SCSI_ID; self points to a struct bp_scsi_target. */
extern const struct bp_scsi_ops bp_scsi_target_ops;

#ifdef __cplusplus
}
#endif

#endif
