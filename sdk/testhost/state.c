/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and restoring an instance through bp.state/1. */
#include "th.h"

#include <stdlib.h>
#include <string.h>

/* What save() gets is the table; the rest lies behind it. */
struct sink {
    struct bp_state_sink table;
    struct bp_instance *instance;
    uint8_t *data;
    uint64_t length;
    uint64_t room;
};

/* Doubles: a fuzzer saves often. */
static int
sink_reserve(struct sink *sink, uint64_t length)
{
    uint64_t room = sink->room != 0 ? sink->room : 4096;
    uint8_t *grown;

    if (length <= sink->room) {
        return 1;
    }
    while (room < length) {
        room *= 2;
    }
    grown = realloc(sink->data, room);
    if (grown != NULL) {
        sink->data = grown;
        sink->room = room;
    }
    return grown != NULL;
}

static int32_t
sink_put(const struct bp_state_sink *base, uint32_t tag, const void *data, uint64_t length)
{
    /* The sink is ours and not const; the ABI only promises that the plugin leaves it alone. */
    struct sink *sink = (struct sink *)(uintptr_t)base;
    uint64_t padded = (length + 7) & ~UINT64_C(7);
    uint8_t *record;
    uint32_t word = (uint32_t)length;
    int32_t result = th_call(sink->instance, "sink.put", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    if ((tag & ~BP_STATE_MUST) == 0 || tag > 0xffff || length > (UINT64_C(1) << 30)) {
        return -EINVAL;
    }
    if (!sink_reserve(sink, sink->length + 8 + padded)) {
        return -ENOSPC;
    }
    record = sink->data + sink->length;
    memset(record, 0, 8 + padded);
    record[0] = (uint8_t)tag;
    record[1] = (uint8_t)(tag >> 8);
    memcpy(record + 4, &word, 4);
    memcpy(record + 8, data, length);
    sink->length += 8 + padded;
    return 0;
}

int32_t
th_save(struct bp_instance *instance, uint8_t **data, uint64_t *length)
{
    const struct bp_state_ops *ops = th_table(instance, BP_STATE_ID);
    struct sink sink = {.instance = instance};
    int32_t status;

    if (ops == NULL || ops->save == NULL) {
        return -EOPNOTSUPP;
    }
    sink.table.size = sizeof(sink.table);
    sink.table.put = sink_put;
    status = ops->save(instance->self, &sink.table);
    if (status < 0) {
        free(sink.data);
        return status;
    }
    *data = sink.data;
    *length = sink.length;
    return 0;
}

int32_t
th_validate(struct bp_instance *instance, const void *data, uint64_t length)
{
    const struct bp_state_ops *ops = th_table(instance, BP_STATE_ID);

    if (ops == NULL || ops->validate == NULL) {
        return -EOPNOTSUPP;
    }
    return ops->validate(instance->self, instance->class.state_version, data, length);
}

int32_t
th_restore(struct bp_instance *instance, const void *data, uint64_t length)
{
    const struct bp_state_ops *ops = th_table(instance, BP_STATE_ID);
    uint32_t version = instance->class.state_version;
    int32_t status = th_validate(instance, data, length);

    if (status == 0) {
        instance->th->error_text[0] = '\0';
        status = ops->restore(instance->self, version, data, length);
    }
    if (status == 0 && ops->after_restore != NULL) {
        status = ops->after_restore(instance->self);
    }
    return status;
}
