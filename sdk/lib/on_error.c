/* SPDX-License-Identifier: Apache-2.0 */
#include <backplane/block.h>
#include <backplane/sdk/on_error.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct bp_on_error
bp_on_error_options(const struct bp_services *services, const struct bp_node *group)
{
    return (struct bp_on_error){
        .read = bp_option_choice(services, group, "on_read_error", bp_on_error_choices,
                                 BP_ON_ERROR_REPORT),
        .write = bp_option_choice(services, group, "on_write_error", bp_on_error_choices,
                                  BP_ON_ERROR_ENOSPC),
    };
}

uint32_t
bp_on_error_action(const struct bp_on_error *policy, uint32_t op, int32_t status)
{
    uint32_t action = op == BP_BLOCK_READ ? policy->read : policy->write;

    if (action == BP_ON_ERROR_ENOSPC) {
        return status == -ENOSPC ? BP_ON_ERROR_STOP : BP_ON_ERROR_REPORT;
    }
    return action;
}

void
bp_on_error_tell(const struct bp_services *services, const char *device, const char *node,
                 uint32_t op, int32_t status, uint32_t action)
{
    const char *operation = op == BP_BLOCK_READ ? "read" : "write";
    const char *reason = strerrordesc_np(-status);
    char text[256];
    char json[512]; /* ids are short, and nothing in them would have to be escaped */

    reason = reason != NULL ? reason : "unknown error";
    (void)snprintf(text, sizeof(text), "%s error on %s (backend %s): %s", operation, device, node,
                   reason);
    (void)snprintf(json, sizeof(json),
                   "{\"device\":\"%s\",\"node-name\":\"%s\",\"operation\":\"%s\","
                   "\"action\":\"%s\",\"nospace\":%s,\"reason\":\"%s\"}",
                   device, node, operation, bp_on_error_choices[action],
                   status == -ENOSPC ? "true" : "false", reason);
    bp_warn(services, "%s", text);
    services->core->event(services->instance, "BLOCK_IO_ERROR", json);
    if (action == BP_ON_ERROR_STOP) {
        (void)services->core->request(services->instance, BP_REQUEST_STOP, text);
    }
}
