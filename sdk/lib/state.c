/* SPDX-License-Identifier: Apache-2.0 */
/* State records from field tables: see <backplane/sdk/state.h>. */
#include <backplane/sdk/state.h>

#include <backplane/sdk/bits.h>

#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 8u
#define INLINE_BYTES 256u

/* The object holds scalars in the machine's byte order. */
static uint64_t
scalar_get(const uint8_t *at, uint32_t width)
{
    uint64_t value64;
    uint32_t value32;
    uint16_t value16;

    switch (width) {
    case 8:
        memcpy(&value64, at, sizeof(value64));
        return value64;
    case 4:
        memcpy(&value32, at, sizeof(value32));
        return value32;
    case 2:
        memcpy(&value16, at, sizeof(value16));
        return value16;
    default:
        return *at;
    }
}

static void
scalar_set(uint8_t *at, uint32_t width, uint64_t value)
{
    uint32_t value32 = (uint32_t)value;
    uint16_t value16 = (uint16_t)value;

    switch (width) {
    case 8:
        memcpy(at, &value, sizeof(value));
        break;
    case 4:
        memcpy(at, &value32, sizeof(value32));
        break;
    case 2:
        memcpy(at, &value16, sizeof(value16));
        break;
    default:
        *at = (uint8_t)value;
        break;
    }
}

static int32_t
field_save(const struct bp_state_field *field, const uint8_t *object,
           const struct bp_state_sink *sink)
{
    uint64_t length = (uint64_t)field->width * field->count;
    uint8_t small[INLINE_BYTES];
    uint8_t *buffer = length <= sizeof(small) ? small : malloc(length);
    uint32_t i;
    int32_t result;

    if (buffer == NULL) {
        return -ENOMEM;
    }
    for (i = 0; i < field->count; i++) {
        uint64_t at = (uint64_t)i * field->width;
        bp_store_le(buffer + at, field->width,
                    scalar_get(object + field->offset + at, field->width));
    }
    result = sink->put(sink, field->tag, buffer, length);
    if (buffer != small) {
        free(buffer);
    }
    return result;
}

int32_t
bp_state_save(const struct bp_state_field *fields, uint32_t count, const void *object,
              const struct bp_state_sink *sink)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        int32_t result = field_save(&fields[i], object, sink);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

void
bp_state_reader_init(struct bp_state_reader *reader, const void *data, uint64_t length)
{
    reader->data = data;
    reader->length = length;
    reader->position = 0;
}

int32_t
bp_state_next(struct bp_state_reader *reader, struct bp_state_record *record)
{
    const uint8_t *at = reader->data + reader->position;
    uint64_t left = reader->length - reader->position;
    uint64_t padded;

    if (left == 0) {
        return 0;
    }
    if (left < HEADER_BYTES || bp_load_le(at + 2, 2) != 0) {
        return -EINVAL;
    }
    record->tag = (uint32_t)bp_load_le(at, 2);
    record->length = (uint32_t)bp_load_le(at + 4, 4);
    record->data = at + HEADER_BYTES;
    padded = ((uint64_t)record->length + 7) & ~UINT64_C(7);
    if ((record->tag & ~BP_STATE_MUST) == 0 || padded > left - HEADER_BYTES) {
        return -EINVAL;
    }
    reader->position += HEADER_BYTES + padded;
    return 1;
}

static const struct bp_state_field *
field_find(const struct bp_state_field *fields, uint32_t count, uint32_t tag)
{
    uint32_t i;

    /* The must bit says what to do with an unknown tag; it does not make another one. */
    for (i = 0; i < count; i++) {
        if ((fields[i].tag & ~BP_STATE_MUST) == (tag & ~BP_STATE_MUST)) {
            return &fields[i];
        }
    }
    return NULL;
}

int32_t
bp_state_check_record(const struct bp_state_field *fields, uint32_t count,
                      const struct bp_state_record *record)
{
    const struct bp_state_field *field = field_find(fields, count, record->tag);
    uint32_t i;

    if (field == NULL) {
        return 0;
    }
    if (record->length != (uint64_t)field->width * field->count) {
        return -EINVAL;
    }
    for (i = 0; field->max != 0 && i < field->count; i++) {
        if (bp_load_le(record->data + (uint64_t)i * field->width, field->width) > field->max) {
            return -EINVAL;
        }
    }
    return 1;
}

int32_t
bp_state_take_record(const struct bp_state_field *fields, uint32_t count, void *object,
                     const struct bp_state_record *record)
{
    const struct bp_state_field *field = field_find(fields, count, record->tag);
    uint32_t i;

    if (field == NULL) {
        return 0;
    }
    for (i = 0; i < field->count; i++) {
        uint64_t at = (uint64_t)i * field->width;
        scalar_set((uint8_t *)object + field->offset + at, field->width,
                   bp_load_le(record->data + at, field->width));
    }
    return 1;
}

static int32_t
state_has(const void *data, uint64_t length, uint32_t tag)
{
    struct bp_state_reader reader;
    struct bp_state_record record;

    bp_state_reader_init(&reader, data, length);
    while (bp_state_next(&reader, &record) > 0) {
        if ((record.tag & ~BP_STATE_MUST) == (tag & ~BP_STATE_MUST)) {
            return 1;
        }
    }
    return 0;
}

static int32_t
validate_part(const struct bp_state_field *fields, uint32_t count, const void *data,
              uint64_t length, uint32_t end_tag)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    int32_t more;
    uint32_t i;

    bp_state_reader_init(&reader, data, length);
    while ((more = bp_state_next(&reader, &record)) > 0) {
        uint32_t mine = (record.tag & ~BP_STATE_MUST) < end_tag;
        int32_t known = mine ? bp_state_check_record(fields, count, &record) : 1;

        if (known < 0) {
            return known;
        }
        if (known == 0 && (record.tag & BP_STATE_MUST) != 0) {
            return -EPROTO;
        }
    }
    if (more < 0) {
        return more;
    }
    for (i = 0; i < count; i++) {
        if ((fields[i].flags & BP_FIELD_REQUIRED) != 0 && !state_has(data, length, fields[i].tag)) {
            return -EINVAL;
        }
    }
    return 0;
}

int32_t
bp_state_validate(const struct bp_state_field *fields, uint32_t count, const void *data,
                  uint64_t length)
{
    return validate_part(fields, count, data, length, BP_STATE_MUST);
}

int32_t
bp_state_restore_part(const struct bp_state_field *fields, uint32_t count, void *object,
                      const void *data, uint64_t length, uint32_t end_tag)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    int32_t result = validate_part(fields, count, data, length, end_tag);

    if (result < 0) {
        return result;
    }
    bp_state_reader_init(&reader, data, length);
    while (bp_state_next(&reader, &record) > 0) {
        (void)bp_state_take_record(fields, count, object, &record);
    }
    return 0;
}

int32_t
bp_state_restore(const struct bp_state_field *fields, uint32_t count, void *object,
                 const void *data, uint64_t length)
{
    return bp_state_restore_part(fields, count, object, data, length, BP_STATE_MUST);
}
