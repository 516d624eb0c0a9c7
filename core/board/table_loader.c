/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and running table-loader scripts. */
#include "board/table_loader.h"

#include "board/blob.h"

#include <string.h>

enum {
    COMMAND_ALLOCATE = 1,
    COMMAND_ADD_POINTER = 2,
    COMMAND_ADD_CHECKSUM = 3,
    COMMAND_SIZE = 128,
    NAME_SIZE = 56,
    NAME_AT = 4,
};

/* Pads the command that starts at `start`. */
static void
finish_command(GByteArray *script, guint start)
{
    blob_zeros(script, start + COMMAND_SIZE - script->len);
}

void
table_loader_allocate(GByteArray *script, const char *file, uint32_t alignment, TableZone zone)
{
    guint start = script->len;

    blob_u32(script, COMMAND_ALLOCATE);
    blob_text(script, file, NAME_SIZE, '\0');
    blob_u32(script, alignment);
    blob_u8(script, (uint8_t)zone);
    finish_command(script, start);
}

void
table_loader_add_pointer(GByteArray *script, const char *file, uint32_t offset, uint8_t size,
                         const char *target)
{
    guint start = script->len;

    blob_u32(script, COMMAND_ADD_POINTER);
    blob_text(script, file, NAME_SIZE, '\0');
    blob_text(script, target, NAME_SIZE, '\0');
    blob_u32(script, offset);
    blob_u8(script, size);
    finish_command(script, start);
}

void
table_loader_add_checksum(GByteArray *script, const char *file, uint32_t offset, uint32_t start,
                          uint32_t length)
{
    guint command = script->len;

    blob_u32(script, COMMAND_ADD_CHECKSUM);
    blob_text(script, file, NAME_SIZE, '\0');
    blob_u32(script, offset);
    blob_u32(script, start);
    blob_u32(script, length);
    finish_command(script, command);
}

uint64_t
table_area_take(TableArea *area, uint64_t length, uint64_t alignment)
{
    uint64_t gpa = (area->next + alignment - 1) & ~(alignment - 1);

    if (gpa > area->end || length > area->end - gpa) {
        return 0;
    }
    area->next = gpa + length;
    return gpa;
}

static TableFile *
find_file(const GByteArray *script, guint name_at, TableFile *files, unsigned count)
{
    const char *name = (const char *)script->data + name_at;

    for (unsigned i = 0; i < count; i++) {
        if (strncmp(files[i].name, name, NAME_SIZE) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

static bool
run_allocate(const GByteArray *script, guint at, TableFile *file, TableArea *high,
             TableArea *f_segment)
{
    uint64_t alignment = blob_get(script, at + NAME_AT + NAME_SIZE, 4);
    uint64_t zone = blob_get(script, at + NAME_AT + NAME_SIZE + 4, 1);

    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
        return false;
    }
    file->gpa = table_area_take(zone == TABLE_ZONE_F_SEGMENT ? f_segment : high, file->data->len,
                                alignment);
    return file->gpa != 0;
}

static bool
run_pointer(const GByteArray *script, guint at, TableFile *file, const TableFile *target)
{
    uint64_t offset = blob_get(script, at + NAME_AT + 2 * NAME_SIZE, 4);
    unsigned size = (unsigned)blob_get(script, at + NAME_AT + 2 * NAME_SIZE + 4, 1);

    if (target == NULL || target->gpa == 0 || size == 0 || size > 8 ||
        offset + size > file->data->len) {
        return false;
    }
    blob_put(file->data, offset, blob_get(file->data, offset, size) + target->gpa, size);
    return true;
}

static bool
run_checksum(const GByteArray *script, guint at, TableFile *file)
{
    uint64_t offset = blob_get(script, at + NAME_AT + NAME_SIZE, 4);
    uint64_t start = blob_get(script, at + NAME_AT + NAME_SIZE + 4, 4);
    uint64_t length = blob_get(script, at + NAME_AT + NAME_SIZE + 8, 4);

    if (offset >= file->data->len || start + length > file->data->len) {
        return false;
    }
    file->data->data[offset] = 0;
    file->data->data[offset] = blob_checksum(file->data->data + start, length);
    return true;
}

bool
table_loader_run(const GByteArray *script, TableFile *files, unsigned count, TableArea *high,
                 TableArea *f_segment)
{
    for (guint at = 0; at + COMMAND_SIZE <= script->len; at += COMMAND_SIZE) {
        uint64_t command = blob_get(script, at, 4);
        TableFile *file = find_file(script, at + NAME_AT, files, count);
        bool done = false;

        if (file != NULL && command == COMMAND_ALLOCATE) {
            done = run_allocate(script, at, file, high, f_segment);
        } else if (file != NULL && command == COMMAND_ADD_POINTER) {
            done = run_pointer(script, at, file,
                               find_file(script, at + NAME_AT + NAME_SIZE, files, count));
        } else if (file != NULL && command == COMMAND_ADD_CHECKSUM) {
            done = run_checksum(script, at, file);
        }
        if (!done) {
            return false;
        }
    }
    return true;
}
