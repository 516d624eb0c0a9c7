/* SPDX-License-Identifier: Apache-2.0 */
/* Saving, checking and restoring chips. Each chip has one function, x_state(chip, state), that
 * names its objects and their fields once; what happens to them depends on the phase. A chip's
 * state is a sequence of records as bp.state/1 has them (<backplane/state.h>), one for each object,
 * whose data is such a sequence again: one record a field. So an unknown field is skipped, a
 * missing one keeps its value, and nothing is ever a raw struct. [control], with the vCPUs standing
 * still. */
#pragma once

#include <backplane/sdk/state.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHIP_STATE_TAGS 1024u

typedef enum {
    CHIP_STATE_SAVE,
    CHIP_STATE_VALIDATE, /* without side effects: the data is untrusted */
    CHIP_STATE_RESTORE,  /* takes over what was validated; drives no line, arms no timer */
    CHIP_STATE_AFTER,    /* everybody is restored: what follows from the state */
} ChipStatePhase;

typedef struct {
    ChipStatePhase phase;
    const struct bp_state_sink *sink; /* SAVE */
    const void *data;                 /* VALIDATE, RESTORE: records, borrowed */
    uint64_t length;
    int status;                          /* 0, or the first -errno; then nothing more is done */
    uint64_t seen[CHIP_STATE_TAGS / 64]; /* of the objects named */
} ChipState;

/* All the fields: a state without one of them is refused. Unsigned scalars, bool and enum; max: the
 * greatest value accepted, 0: any. */
#define CHIP_FIELD(tag, type, member, max) BP_STATE_FIELD(tag, type, member, BP_FIELD_REQUIRED, max)
#define CHIP_BOOL(tag, type, member)       CHIP_FIELD(tag, type, member, 1)
#define CHIP_ARRAY(tag, type, member)      BP_STATE_ARRAY(tag, type, member, BP_FIELD_REQUIRED)

typedef struct {
    uint32_t tag; /* 1..CHIP_STATE_TAGS - 1, the chip's own; tag + i for the i-th of several */
    const struct bp_state_field *fields;
    uint32_t count;
    size_t size; /* of the object */
    /* Beyond the fields' limits: whether an object with these values can exist. Optional. object: a
     * copy of the one in place. */
    bool (*check)(const void *object);
} ChipObject;

#define CHIP_OBJECT(tag, fields, type, check)                                                      \
    {                                                                                              \
        (tag), (fields), (uint32_t)(sizeof(fields) / sizeof((fields)[0])), sizeof(type), (check)   \
    }

/* The chip holds its lock. index: which of several alike. */
void chip_state_object(ChipState *state, const ChipObject *object, unsigned index, void *at);
/* Whether what follows from the state is to be done now. */
static inline bool
chip_state_is_after(const ChipState *state)
{
    return state->phase == CHIP_STATE_AFTER && state->status == 0;
}

/* One chip: its records are the data of a record of the board's. */
typedef void ChipStateFunc(void *chip, ChipState *state);
void chip_state_save(ChipStateFunc *func, void *chip, uint32_t tag, ChipState *board);
/* VALIDATE, RESTORE: -EINVAL: no such record, or a bad one; -EPROTO: one that must be understood.
 */
void chip_state_load(ChipStateFunc *func, void *chip, uint32_t tag, ChipState *board);
/* At the end: -EPROTO for an object that nobody named and that must be understood. */
int chip_state_check_all_seen(const ChipState *state);
