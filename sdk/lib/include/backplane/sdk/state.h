/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state from a table of fields. One table serves save, validate and restore:
 *
 *   static const struct bp_state_field fields[] = {
 *       BP_STATE_FIELD(1, struct uart, divisor, 0, 0),
 *       BP_STATE_FIELD(2, struct uart, head, BP_FIELD_REQUIRED, 15),
 *       BP_STATE_ARRAY(3, struct uart, fifo, 0),
 *   };
 *
 * Values are stored little endian with their own width; an unsigned scalar and arrays of unsigned
 * scalars are what it knows. A field whose record is missing keeps the value the object has, so an
 * object's freshly created value is the default. */
#ifndef BACKPLANE_SDK_STATE_H
#define BACKPLANE_SDK_STATE_H

#include <backplane/state.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_FIELD_REQUIRED (1u << 0) /* a state without it is refused */

struct bp_state_field {
    uint32_t tag;    /* 1..FFFFh, BP_STATE_MUST or-ed in if older plugins must not skip it */
    uint32_t flags;  /* BP_FIELD_REQUIRED */
    uint32_t offset; /* in the object */
    uint32_t width;  /* of one element: 1, 2, 4 or 8 */
    uint32_t count;  /* elements */
    uint32_t reserved;
    uint64_t max; /* greatest value of an element that is accepted; 0: any */
};

#define BP_STATE_FIELD(tag, type, member, flags, max)                                              \
    {                                                                                              \
        (tag), (flags), (uint32_t)offsetof(type, member), (uint32_t)sizeof(((type *)0)->member),   \
            1, 0, (max)                                                                            \
    }
#define BP_STATE_ARRAY(tag, type, member, flags)                                                   \
    {                                                                                              \
        (tag), (flags), (uint32_t)offsetof(type, member),                                          \
            (uint32_t)sizeof(((type *)0)->member[0]),                                              \
            (uint32_t)(sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0])), 0, 0         \
    }

/* Saves every field of the object. Returns 0 or what the sink returned. */
int32_t bp_state_save(const struct bp_state_field *fields, uint32_t count, const void *object,
                      const struct bp_state_sink *sink) BP_MUST_CHECK;
/* Checks a state that consists of these fields alone.
 * -EINVAL: malformed, a field of the wrong length or above its max, a required one missing.
 * -EPROTO: an unknown tag with BP_STATE_MUST. */
int32_t bp_state_validate(const struct bp_state_field *fields, uint32_t count, const void *data,
                          uint64_t length) BP_MUST_CHECK;
/* Checks likewise, and only then takes the fields over into the object. */
int32_t bp_state_restore(const struct bp_state_field *fields, uint32_t count, void *object,
                         const void *data, uint64_t length) BP_MUST_CHECK;
/* The same for a state of which these fields, and all tags below end_tag, are one part: records
 * with higher tags are somebody else's. */
int32_t bp_state_restore_part(const struct bp_state_field *fields, uint32_t count, void *object,
                              const void *data, uint64_t length, uint32_t end_tag) BP_MUST_CHECK;

/* Walking records by hand, for state that is more than a table. */
struct bp_state_reader {
    const uint8_t *data;
    uint64_t length;
    uint64_t position;
};

struct bp_state_record {
    uint32_t tag;
    uint32_t length;
    const uint8_t *data; /* borrowed from the reader's data */
};

void bp_state_reader_init(struct bp_state_reader *reader, const void *data, uint64_t length);
/* Returns 1 and a record, 0 at the end, -EINVAL if the data is malformed. */
int32_t bp_state_next(struct bp_state_reader *reader, struct bp_state_record *record) BP_MUST_CHECK;
/* Checks one record against the table. Returns 1 if it belongs to it, 0 if not, -EINVAL: bad. */
int32_t bp_state_check_record(const struct bp_state_field *fields, uint32_t count,
                              const struct bp_state_record *record) BP_MUST_CHECK;
/* Takes one checked record over into the object. Returns 1 if it belongs to the table, else 0. */
int32_t bp_state_take_record(const struct bp_state_field *fields, uint32_t count, void *object,
                             const struct bp_state_record *record);

#ifdef __cplusplus
}
#endif

#endif
