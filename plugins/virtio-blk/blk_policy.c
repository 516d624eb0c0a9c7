/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a request that the backend failed. */
#include "virtio_blk.h"

#include <stdio.h>
#include <string.h>

static const char *
describe(int32_t status)
{
    const char *text = strerrordesc_np(-status);

    return text != NULL ? text : "unknown error";
}

static void
report(struct blk *blk, uint32_t reading, int32_t status, uint32_t action)
{
    static const char *const names[] = {"report", "ignore", "stop"};
    const char *operation = reading ? "read" : "write";
    char reason[160];
    char json[512];

    (void)snprintf(reason, sizeof(reason), "%s error on %s: %s", operation, blk->backend,
                   describe(status));
    (void)snprintf(json, sizeof(json),
                   "{\"device\":\"%s\",\"node-name\":\"%s\",\"operation\":\"%s\","
                   "\"action\":\"%s\",\"nospace\":%s,\"reason\":\"%s\"}",
                   blk->id, blk->backend, operation, names[action],
                   status == -ENOSPC ? "true" : "false", describe(status));
    bp_warn(&blk->host, "%s", reason);
    blk->host.core->event(blk->host.instance, "BLOCK_IO_ERROR", json);
    if (action == BLK_ON_ERROR_STOP) {
        (void)blk->host.core->request(blk->host.instance, BP_REQUEST_STOP, reason);
    }
}

uint32_t
blk_decide(struct blk *blk, const struct blk_request *request, int32_t status)
{
    uint32_t reading = request->op == BP_BLOCK_READ;
    uint32_t action = reading ? blk->options.on_read_error : blk->options.on_write_error;

    if (action == BLK_ON_ERROR_ENOSPC) {
        action = status == -ENOSPC ? BLK_ON_ERROR_STOP : BLK_ON_ERROR_REPORT;
    }
    report(blk, reading, status, action);
    return action;
}
