/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the records of chips. */
#include "base/chip_state.h"

#include <errno.h>
#include <glib.h>

/* Collects records; the first member is what chips know of it. */
typedef struct {
    struct bp_state_sink sink;
    GByteArray *bytes;
} Collector;

static int32_t
collector_put(const struct bp_state_sink *sink, uint32_t tag, const void *data, uint64_t length)
{
    const Collector *collector = (const Collector *)sink;
    static const uint8_t zeroes[8] = {0};
    const uint16_t head[2] = {GUINT16_TO_LE((uint16_t)tag), 0};
    const uint32_t size = GUINT32_TO_LE((uint32_t)length);

    if (tag == 0 || tag > UINT16_MAX || length > UINT32_C(1) << 30) {
        return -EINVAL;
    }
    g_byte_array_append(collector->bytes, (const guint8 *)head, sizeof(head));
    g_byte_array_append(collector->bytes, (const guint8 *)&size, sizeof(size));
    g_byte_array_append(collector->bytes, data, (guint)length);
    g_byte_array_append(collector->bytes, zeroes, (guint)(-length & 7));
    return 0;
}

static Collector
collector_new(void)
{
    return (Collector){{.size = sizeof(struct bp_state_sink), .put = collector_put},
                       g_byte_array_new()};
}

/* 1 and the record, 0: there is none, -EINVAL: malformed, or there twice. */
static int
find_record(const ChipState *state, uint32_t tag, struct bp_state_record *found)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    int count = 0;
    int more;

    bp_state_reader_init(&reader, state->data, state->length);
    while ((more = bp_state_next(&reader, &record)) > 0) {
        if ((record.tag & ~BP_STATE_MUST) == tag) {
            *found = record;
            count++;
        }
    }
    return more < 0 || count > 1 ? -EINVAL : count;
}

static void
mark_seen(ChipState *state, uint32_t tag)
{
    state->seen[tag % CHIP_STATE_TAGS / 64] |= UINT64_C(1) << (tag % 64);
}

static int
object_save(const ChipState *state, const ChipObject *object, uint32_t tag, const void *at)
{
    Collector collector = collector_new();
    g_autoptr(GByteArray) bytes = collector.bytes;
    int result = bp_state_save(object->fields, object->count, at, &collector.sink);

    return result < 0 ? result : state->sink->put(state->sink, tag, bytes->data, bytes->len);
}

static int
object_validate(const ChipObject *object, const struct bp_state_record *record, const void *at)
{
    g_autofree void *trial = g_memdup2(at, object->size);
    int result =
        bp_state_restore(object->fields, object->count, trial, record->data, record->length);

    if (result == 0 && object->check != NULL && !object->check(trial)) {
        result = -EINVAL;
    }
    return result;
}

void
chip_state_object(ChipState *state, const ChipObject *object, unsigned index, void *at)
{
    uint32_t tag = object->tag + index;
    struct bp_state_record record;

    if (state->status < 0 || state->phase == CHIP_STATE_AFTER) {
        return;
    }
    if (state->phase == CHIP_STATE_SAVE) {
        state->status = object_save(state, object, tag, at);
        return;
    }
    mark_seen(state, tag);
    int found = find_record(state, tag, &record);
    if (found != 1) {
        state->status = -EINVAL;
    } else if (state->phase == CHIP_STATE_VALIDATE) {
        state->status = object_validate(object, &record, at);
    } else {
        state->status =
            bp_state_restore(object->fields, object->count, at, record.data, record.length);
    }
}

int
chip_state_check_all_seen(const ChipState *state)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    int more;

    bp_state_reader_init(&reader, state->data, state->length);
    while ((more = bp_state_next(&reader, &record)) > 0) {
        uint32_t tag = record.tag & ~BP_STATE_MUST;
        bool known = tag < CHIP_STATE_TAGS && (state->seen[tag / 64] >> (tag % 64) & 1) != 0;
        if (!known && (record.tag & BP_STATE_MUST) != 0) {
            return -EPROTO;
        }
    }
    return more;
}

void
chip_state_save(ChipStateFunc *func, void *chip, uint32_t tag, ChipState *board)
{
    Collector collector = collector_new();
    g_autoptr(GByteArray) bytes = collector.bytes;
    ChipState state = {.phase = CHIP_STATE_SAVE, .sink = &collector.sink};

    if (board->status < 0) {
        return;
    }
    func(chip, &state);
    board->status = state.status < 0 ? state.status
                                     : board->sink->put(board->sink, tag, bytes->data, bytes->len);
}

void
chip_state_load(ChipStateFunc *func, void *chip, uint32_t tag, ChipState *board)
{
    struct bp_state_record record;
    ChipState state = {.phase = board->phase};

    if (board->status < 0) {
        return;
    }
    mark_seen(board, tag);
    int found = find_record(board, tag, &record);
    if (found != 1) {
        board->status = -EINVAL;
        return;
    }
    state.data = record.data;
    state.length = record.length;
    func(chip, &state);
    board->status = state.status < 0 ? state.status : chip_state_check_all_seen(&state);
}
