/* SPDX-License-Identifier: Apache-2.0 */
/* All services of the core in one struct; messages with printf formats; options by name. */
#ifndef BACKPLANE_SDK_SERVICES_H
#define BACKPLANE_SDK_SERVICES_H

#include <backplane/backplane.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* A service that the core does not offer is NULL. Those in the plugin's note are never NULL. */
struct bp_services {
    const struct bp_host *host;
    struct bp_instance *instance;
    const struct bp_log_host *log;
    const struct bp_config_host *config;
    const struct bp_memory_host *memory;
    const struct bp_region_host *region;
    const struct bp_irq_host *irq;
    const struct bp_pci_host *pci;
    const struct bp_msi_host *msi;
    const struct bp_msix_host *msix;
    const struct bp_isadma_host *isadma;
    const struct bp_timer_host *timer;
    const struct bp_loop_host *loop;
    const struct bp_core_host *core;
    const struct bp_media_host *media;
};

/* Asks the host for every service. First thing in create(). */
void bp_services_init(struct bp_services *services, const struct bp_host *host,
                      struct bp_instance *instance);

/* Whether two interface ids are the same. */
uint32_t bp_same_id(const char *a, const char *b);

/* One line at a level; cut at 1023 bytes. Nothing is formatted when the level is not written. */
void bp_log(const struct bp_services *services, uint32_t level, const char *format, ...)
    BP_PRINTF(3, 4);

#define bp_error(services, ...) bp_log((services), BP_LOG_ERROR, __VA_ARGS__)
#define bp_warn(services, ...)  bp_log((services), BP_LOG_WARN, __VA_ARGS__)
#define bp_info(services, ...)  bp_log((services), BP_LOG_INFO, __VA_ARGS__)
#define bp_debug(services, ...) bp_log((services), BP_LOG_DEBUG, __VA_ARGS__)

/* Explains a failure of create(), realize(), attach() or restore() to the user and returns code, so
 * that `return bp_fail(...)` does both. node: the option at fault, or NULL. */
int32_t bp_fail(const struct bp_services *services, int32_t code, const struct bp_node *node,
                const char *format, ...) BP_PRINTF(4, 5);

/* Member `name` of a group, NULL if absent or group is NULL. */
const struct bp_node *bp_option(const struct bp_services *services, const struct bp_node *group,
                                const char *name);
/* Its value; the fallback if it is absent or of another type. */
uint64_t bp_option_u64(const struct bp_services *services, const struct bp_node *group,
                       const char *name, uint64_t fallback);
int64_t bp_option_i64(const struct bp_services *services, const struct bp_node *group,
                      const char *name, int64_t fallback);
double bp_option_f64(const struct bp_services *services, const struct bp_node *group,
                     const char *name, double fallback);
/* 0 or 1. */
uint32_t bp_option_bool(const struct bp_services *services, const struct bp_node *group,
                        const char *name, uint32_t fallback);
/* Valid until destroy() has returned. */
const char *bp_option_str(const struct bp_services *services, const struct bp_node *group,
                          const char *name, const char *fallback);
/* The place of its value among the choices, a list that ends with NULL. */
uint32_t bp_option_choice(const struct bp_services *services, const struct bp_node *group,
                          const char *name, const char *const *choices, uint32_t fallback);

#ifdef __cplusplus
}
#endif

#endif
