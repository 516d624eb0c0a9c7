/* SPDX-License-Identifier: Apache-2.0 */
/* The error policy of disk devices: the options on_read_error and on_write_error, what they make of
 * a request that the backend failed, and what operators are told. Not ABI. */
#ifndef BACKPLANE_SDK_ON_ERROR_H
#define BACKPLANE_SDK_ON_ERROR_H

#include <backplane/sdk/services.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The order is that of the options' choices. */
#define BP_ON_ERROR_REPORT 0u /* the guest gets the error */
#define BP_ON_ERROR_IGNORE 1u /* goes on as if it had been done; what was not read is zero */
#define BP_ON_ERROR_STOP   2u /* the request is held, and made again when the machine goes on */
#define BP_ON_ERROR_ENOSPC 3u /* stop when space is out, else report; only an option's value */

struct bp_on_error {
    uint32_t read;  /* BP_ON_ERROR_... */
    uint32_t write; /* likewise, for everything that is not a read */
};

static const char *const bp_on_error_choices[]
    __attribute__((unused)) = {"report", "ignore", "stop", "enospc", NULL};

/* For the plugin's list of options. */
#define BP_ON_ERROR_PROPS                                                                          \
    {.name = "on_read_error",                                                                      \
     .type = BP_PROP_ENUM,                                                                         \
     .def = "report",                                                                              \
     .choices = bp_on_error_choices,                                                               \
     .help = "report: to the guest; ignore: reads as zeroes; stop: pause the machine, retry when " \
             "it goes on; enospc: stop when space is out, else report"},                           \
    {                                                                                              \
        .name = "on_write_error", .type = BP_PROP_ENUM, .def = "enospc",                           \
        .choices = bp_on_error_choices, .help = "likewise; ignore: the write is lost"              \
    }

/* The values of the options in a group. [control] */
struct bp_on_error bp_on_error_options(const struct bp_services *services,
                                       const struct bp_node *group);
/* What to do about a request that failed: BP_ON_ERROR_REPORT, _IGNORE or _STOP. op: BP_BLOCK_...;
 * status: negative errno. [any] */
uint32_t bp_on_error_action(const struct bp_on_error *policy, uint32_t op, int32_t status);
/* Tells operators, by the log and the event BLOCK_IO_ERROR, what was decided, and asks for the
 * machine to stop if that is the action. device: what operators call the disk; node: the id of its
 * backend. [any] */
void bp_on_error_tell(const struct bp_services *services, const char *device, const char *node,
                      uint32_t op, int32_t status, uint32_t action);

#ifdef __cplusplus
}
#endif

#endif
