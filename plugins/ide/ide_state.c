/* SPDX-License-Identifier: Apache-2.0 */
/* bp.state/1: the channels, and each drive in its turn. Nothing is in flight when it is called:
 * what a drive was doing is described by its fields, and its next request is made by
 * after_restore() or the resume that follows. */
#include "ide_state.h"

#include <string.h>

#define CHANNEL_BASE 0x0000u
#define DRIVE_BASE   0x0400u
#define OBJECT_SHIFT 8u

#define C(tag, member, max) BP_STATE_FIELD(tag, struct ide_channel, member, BP_FIELD_REQUIRED, max)

/* Presence is part of the shape: a state of another set of drives is refused. */
static const struct bp_state_field channel_fields[] = {
    C(0x01, selected, 1),          C(0x02, control, 0),
    C(0x03, bm.command, 9),        C(0x04, bm.status, 0x67),
    C(0x05, bm.stopping, 1),       C(0x06, bm.table, 0),
    C(0x07, bm.cursor.next, 0),    C(0x08, bm.cursor.budget, 0x2000),
    C(0x09, bm.cursor.address, 0), C(0x0a, bm.cursor.left, 0x10000),
    C(0x0b, bm.cursor.last, 1),
};

uint32_t
ide_state_base(const struct ide_device *device)
{
    uint32_t place = device->channel->number * IDE_UNITS + device->unit;

    return DRIVE_BASE + (place << OBJECT_SHIFT);
}

void
ide_state_table_make(struct ide_state_table *table, const struct bp_state_field *fields,
                     uint32_t count, uint32_t base)
{
    table->count = count;
    table->base = base;
    for (uint32_t i = 0; i < count; i++) {
        table->fields[i] = fields[i];
        table->fields[i].tag += base;
    }
}

static void
note_blob(struct ide_state_blob *blobs, uint32_t count, uint32_t base,
          const struct bp_state_record *record)
{
    for (uint32_t i = 0; i < count; i++) {
        if (record->tag == base + blobs[i].tag) {
            blobs[i].data = record->data;
            blobs[i].length = record->length;
        }
    }
}

static uint32_t
is_required(const struct ide_state_table *table, uint32_t tag)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->fields[i].tag == tag) {
            return (table->fields[i].flags & BP_FIELD_REQUIRED) != 0;
        }
    }
    return 0;
}

static uint32_t
count_required(const struct ide_state_table *table)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < table->count; i++) {
        count += (table->fields[i].flags & BP_FIELD_REQUIRED) != 0;
    }
    return count;
}

int32_t
ide_state_take(const struct ide_state_table *table, void *object, const void *data, uint64_t length,
               struct ide_state_blob *blobs, uint32_t count)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    uint32_t found = 0;
    int32_t r;

    bp_state_reader_init(&reader, data, length);
    while ((r = bp_state_next(&reader, &record)) == 1) {
        int32_t mine = 0;
        if (record.tag >> OBJECT_SHIFT != table->base >> OBJECT_SHIFT) {
            continue; /* another object's */
        }
        mine = bp_state_check_record(table->fields, table->count, &record);
        if (mine < 0) {
            return mine;
        }
        if (mine == 1) {
            (void)bp_state_take_record(table->fields, table->count, object, &record);
            found += is_required(table, record.tag);
        } else {
            note_blob(blobs, count, table->base, &record);
        }
    }
    return r < 0 ? r : found < count_required(table) ? -EINVAL : 0;
}

static int32_t
ide_save(void *self, const struct bp_state_sink *sink)
{
    const struct ide *ide = self;
    struct ide_state_table table;
    int32_t r = 0;

    for (uint32_t i = 0; i < IDE_CHANNELS && r == 0; i++) {
        ide_state_table_make(&table, channel_fields, BP_ARRAY_LENGTH(channel_fields),
                             CHANNEL_BASE + (i << OBJECT_SHIFT));
        r = bp_state_save(table.fields, table.count, &ide->channels[i], sink);
    }
    for (uint32_t i = 0; i < ide->drive_count && r == 0; i++) {
        r = ide->drives[i]->ops->save(ide->drives[i], sink);
    }
    return r;
}

/* Tags that must be understood: there are none beyond the tables yet. */
static int32_t
check_tags(const void *data, uint64_t length)
{
    struct bp_state_reader reader;
    struct bp_state_record record;
    int32_t r;

    bp_state_reader_init(&reader, data, length);
    while ((r = bp_state_next(&reader, &record)) == 1) {
        if (record.tag & BP_STATE_MUST) {
            return -EPROTO;
        }
    }
    return r;
}

static int32_t
load_channel(struct ide_channel *channel, const void *data, uint64_t length, uint32_t apply)
{
    struct ide_channel trial = *channel;
    struct ide_state_table table;
    int32_t r;

    ide_state_table_make(&table, channel_fields, BP_ARRAY_LENGTH(channel_fields),
                         CHANNEL_BASE + (channel->number << OBJECT_SHIFT));
    r = ide_state_take(&table, &trial, data, length, NULL, 0);
    if (r == 0 && apply) {
        *channel = trial;
        channel->line = 0; /* after_restore() drives it anew */
    }
    return r;
}

static int32_t
load(struct ide *ide, const void *data, uint64_t length, uint32_t apply)
{
    int32_t r = check_tags(data, length);

    for (uint32_t i = 0; i < IDE_CHANNELS && r == 0; i++) {
        r = load_channel(&ide->channels[i], data, length, apply);
    }
    for (uint32_t i = 0; i < ide->drive_count && r == 0; i++) {
        r = ide->drives[i]->ops->load(ide->drives[i], data, length, apply);
    }
    return r;
}

static int32_t
ide_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    return load(self, data, length, 0);
}

static int32_t
ide_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    int32_t r = load(self, data, length, 0);

    return r == 0 ? load(self, data, length, 1) : r;
}

/* Lines follow the restored registers; the rising edge was latched before the state was saved.
 * Requests that were held are made again. */
static int32_t
ide_after_restore(void *self)
{
    struct ide *ide = self;

    for (uint32_t i = 0; i < IDE_CHANNELS; i++) {
        uint8_t status = ide->channels[i].bm.status;
        ide_channel_look_at_timing(&ide->channels[i]);
        ide_channel_update_irq(&ide->channels[i]);
        ide->channels[i].bm.status = status;
    }
    for (uint32_t i = 0; i < ide->drive_count; i++) {
        ide->drives[i]->ops->retry(ide->drives[i]);
    }
    return 0;
}

const struct bp_state_ops ide_state_ops = {
    .size = sizeof(ide_state_ops),
    .save = ide_save,
    .validate = ide_validate,
    .restore = ide_restore,
    .after_restore = ide_after_restore,
};
