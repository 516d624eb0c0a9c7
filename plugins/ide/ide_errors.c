/* SPDX-License-Identifier: Apache-2.0 */
/* The error policy of a drive, and what operators are told. */
#include "ide.h"

#include <stdio.h>
#include <string.h>

uint32_t
ide_error_action(uint32_t policy, int32_t status)
{
    if (policy == IDE_ON_ERROR_ENOSPC) {
        return status == -ENOSPC ? IDE_ON_ERROR_STOP : IDE_ON_ERROR_REPORT;
    }
    return policy;
}

static const char *
describe(int32_t status)
{
    const char *text = strerrordesc_np(-status);

    return text != NULL ? text : "unknown error";
}

void
ide_error_report(const struct ide_device *device, uint32_t op, int32_t status, uint32_t action)
{
    static const char *const names[] = {"report", "ignore", "stop"};
    const char *operation = op == BP_BLOCK_READ ? "read" : "write";
    struct ide *ide = device->ide;
    char reason[160];
    char json[512];

    (void)snprintf(reason, sizeof(reason), "%s error on %s (drive %s:%s): %s", operation,
                   device->backend, ide->id, device->place, describe(status));
    (void)snprintf(json, sizeof(json),
                   "{\"device\":\"%s:%s\",\"node-name\":\"%s\",\"operation\":\"%s\","
                   "\"action\":\"%s\",\"nospace\":%s,\"reason\":\"%s\"}",
                   ide->id, device->place, device->backend, operation, names[action],
                   status == -ENOSPC ? "true" : "false", describe(status));
    bp_warn(&ide->host, "%s", reason);
    ide->host.core->event(ide->host.instance, "BLOCK_IO_ERROR", json);
    if (action == IDE_ON_ERROR_STOP) {
        (void)ide->host.core->request(ide->host.instance, BP_REQUEST_STOP, reason);
    }
}
