/* SPDX-License-Identifier: Apache-2.0 */
/* Sense data (SPC-4 4.5), unit attentions, REQUEST SENSE. */
#include "engine.h"

#include <string.h>

/* --- formats -----------------------------------------------------------------------------------
 */

/* Sense-key specific bytes of ILLEGAL REQUEST: field pointer, SPC-4 4.5.2.4.2. */
static void
put_field_pointer(const struct bp_scsi_sense *sense, uint8_t *bytes)
{
    bytes[0] = (uint8_t)(0x80 | (sense->flags & BP_SCSI_SENSE_CDB ? 0x40 : 0) |
                         (sense->flags & BP_SCSI_SENSE_BIT ? 0x08 | sense->bit : 0));
    put_be(bytes + 1, 2, sense->field);
}

static uint32_t
encode_fixed(const struct bp_scsi_sense *sense, uint8_t *data)
{
    data[0] = 0x70;
    /* an LBA above 32 bits has no place here (SPC-4 4.5.3) */
    if ((sense->flags & BP_SCSI_SENSE_INFO) && sense->information <= UINT32_MAX) {
        data[0] |= 0x80;
        put_be(data + 3, 4, sense->information);
    }
    data[2] = (uint8_t)(sense->key | (sense->flags & BP_SCSI_SENSE_ILI ? 0x20 : 0));
    data[7] = 10;
    put_be(data + 12, 2, sense->code);
    if (sense->flags & BP_SCSI_SENSE_FIELD) {
        put_field_pointer(sense, data + 15);
    }
    return 18;
}

static uint32_t
encode_descriptors(const struct bp_scsi_sense *sense, uint8_t *data)
{
    uint32_t length = 8;

    data[0] = 0x72;
    data[1] = sense->key;
    put_be(data + 2, 2, sense->code);
    if (sense->flags & BP_SCSI_SENSE_INFO) {
        data[length] = 0x00;
        data[length + 1] = 0x0a;
        data[length + 2] = 0x80;
        put_be(data + length + 4, 4, sense->information >> 32);
        put_be(data + length + 8, 4, sense->information);
        length += 12;
    }
    if (sense->flags & BP_SCSI_SENSE_FIELD) {
        data[length] = 0x02;
        data[length + 1] = 0x06;
        put_field_pointer(sense, data + length + 4);
        length += 8;
    }
    if (sense->flags & BP_SCSI_SENSE_ILI) {
        data[length] = 0x05; /* block commands */
        data[length + 1] = 0x02;
        data[length + 3] = 0x20;
        length += 4;
    }
    data[7] = (uint8_t)(length - 8);
    return length;
}

uint32_t
bp_scsi_sense_encode(const struct bp_scsi_sense *sense, uint32_t descriptor, uint8_t *data,
                     uint32_t size)
{
    uint8_t whole[64] = {0};
    uint32_t length = descriptor ? encode_descriptors(sense, whole) : encode_fixed(sense, whole);

    memcpy(data, whole, bp_min_u32(length, size));
    return length;
}

/* --- unit attentions ---------------------------------------------------------------------------
 */

void
bp_scsi_nexus_attention(struct bp_scsi_nexus *nexus, uint16_t code)
{
    const struct bp_scsi_unit *unit = nexus->unit;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < nexus->attention_count; i++) {
        if (nexus->attentions[i] == code) {
            return;
        }
    }
    /* one that resets says more than all before it (SAM-5 5.14.2) */
    if (code >> 8 == 0x29) {
        nexus->attention_count = 0;
    } else if (nexus->attention_count == BP_SCSI_ATTENTIONS) {
        for (uint32_t i = 1; i < BP_SCSI_ATTENTIONS; i++) {
            nexus->attentions[kept++] = nexus->attentions[i];
        }
        nexus->attention_count = kept;
    }
    nexus->attentions[nexus->attention_count++] = code;
    if (unit->port->attention != NULL) {
        unit->port->attention(unit->opaque, nexus, code);
    }
}

void
bp_scsi_unit_attention(struct bp_scsi_unit *unit, const struct bp_scsi_nexus *except, uint16_t code)
{
    for (struct bp_scsi_nexus *nexus = unit->nexuses; nexus != NULL; nexus = nexus->next) {
        if (nexus != except) {
            bp_scsi_nexus_attention(nexus, code);
        }
    }
}

uint16_t
bp_scsi_nexus_pending(const struct bp_scsi_nexus *nexus)
{
    return nexus->attention_count > 0 ? nexus->attentions[0] : 0;
}

static void
pop_attention(struct bp_scsi_nexus *nexus)
{
    for (uint32_t i = 1; i < nexus->attention_count; i++) {
        nexus->attentions[i - 1] = nexus->attentions[i];
    }
    nexus->attention_count -= nexus->attention_count > 0;
}

uint32_t
nexus_attend(struct bp_scsi_task *task)
{
    struct bp_scsi_nexus *nexus = task->nexus;

    if (nexus->attention_count == 0) {
        return 0;
    }
    task_fail(task, BP_SCSI_UNIT_ATTENTION, nexus->attentions[0]);
    if (nexus->flags & BP_SCSI_KEEP_SENSE) {
        nexus->kept_attention = 1;
    } else {
        pop_attention(nexus); /* the sense data went with the status */
    }
    return 1;
}

void
nexus_forget(struct bp_scsi_nexus *nexus, uint32_t attentions)
{
    nexus->kept = (struct bp_scsi_sense){0};
    nexus->kept_attention = 0;
    nexus->attention_count = attentions ? 0 : nexus->attention_count;
}

/* --- REQUEST SENSE (SPC-4 6.39) ----------------------------------------------------------------
 */

void
scsi_request_sense(struct bp_scsi_task *task)
{
    struct bp_scsi_nexus *nexus = task->nexus;
    const struct bp_scsi_unit *unit = task_unit(task);
    struct bp_scsi_sense sense = nexus->kept;
    uint32_t length;

    if (sense.code == 0 && sense.key == 0 && nexus->attention_count > 0) {
        sense = (struct bp_scsi_sense){.key = BP_SCSI_UNIT_ATTENTION, .code = nexus->attentions[0]};
        nexus->kept_attention = 1;
    } else if (sense.code == 0 && sense.key == 0 && unit->stopped) {
        sense.code = 0x5e00; /* low power condition on */
    }
    if (nexus->kept_attention) {
        pop_attention(nexus);
    }
    nexus_forget(nexus, 0);
    memset(task->page, 0, BP_SCSI_SENSE_BYTES);
    length = bp_scsi_sense_encode(&sense, task->cdb[1] & 1, task->page, BP_SCSI_SENSE_BYTES);
    task_page_in(task, length, task->cdb[4]);
}
