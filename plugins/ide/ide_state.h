/* SPDX-License-Identifier: Apache-2.0 */
/* What the states of channels and drives have in common.
 *
 * Tags: 0oft, o: object (0, 1 channel; 4-7 place of a drive), ft: field of the object's table. */
#pragma once

#include "ide.h"

#define IDE_STATE_FIELDS 96u
#define IDE_STATE_BLOBS  4u

/* A table with its tags moved to an object's range. */
struct ide_state_table {
    uint32_t count;
    uint32_t base; /* of the object's tags */
    struct bp_state_field fields[IDE_STATE_FIELDS];
};

/* A record of the object that is no field: where it was found, NULL if it was not. */
struct ide_state_blob {
    uint32_t tag; /* without the object's base */
    const uint8_t *data;
    uint64_t length;
};

/* First tag of a drive. */
uint32_t ide_state_base(const struct ide_device *device);
void ide_state_table_make(struct ide_state_table *table, const struct bp_state_field *fields,
                          uint32_t count, uint32_t base);
/* One pass over the records: fields of one object go to `object`, the required ones must be there;
 * blobs: count records to look for. -EINVAL: malformed. */
int32_t ide_state_take(const struct ide_state_table *table, void *object, const void *data,
                       uint64_t length, struct ide_state_blob *blobs, uint32_t count) BP_MUST_CHECK;

extern const struct bp_state_ops ide_state_ops;
