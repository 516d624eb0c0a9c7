/* SPDX-License-Identifier: Apache-2.0 */
/* AML encoder. Lengths come before contents and take one to four bytes that count themselves, so
 * they are inserted when an object is closed. */
#include "board/aml.h"

#include "board/blob.h"

#include <string.h>

enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0A,
    OP_WORD = 0x0B,
    OP_DWORD = 0x0C,
    OP_STRING = 0x0D,
    OP_QWORD = 0x0E,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_DUAL_NAME = 0x2E,
    OP_MULTI_NAME = 0x2F,
    OP_EXTENDED = 0x5B,
    OP_EXTENDED_DEVICE = 0x82,
    OP_METHOD = 0x14,
    OP_ARG0 = 0x68,
    OP_STORE = 0x70,
    OP_SHIFT_LEFT = 0x79,
    OP_AND = 0x7B,
    OP_NOTIFY = 0x86,
    OP_IF = 0xA0,
    OP_EXTENDED_MUTEX = 0x01,
    OP_EXTENDED_ACQUIRE = 0x23,
    OP_EXTENDED_RELEASE = 0x27,
    OP_EXTENDED_REGION = 0x80,
    OP_EXTENDED_FIELD = 0x81,
    METHOD_SERIALIZED = 0x08,
    REGION_IO = 1,
    FIELD_DWORD_ZEROES = 0x43, /* 32 bits at a time, no lock, other bits written as zeroes */
    WAIT_FOREVER = 0xFFFF,
    SEGMENT = 4,
};

enum {
    RESOURCE_IRQ = 0x22, /* two bytes: edge, active high, not shared */
    RESOURCE_DMA = 0x2A,
    RESOURCE_IO = 0x47,
    RESOURCE_END = 0x79,
    RESOURCE_DWORD_SPACE = 0x87,
    RESOURCE_WORD_SPACE = 0x88,
    SPACE_MEMORY = 0,
    SPACE_IO = 1,
    SPACE_BUS = 2,
    SPACE_FIXED = 0x0C, /* minimum and maximum fixed, positive decode, produced for children */
    IO_DECODE_16 = 0x01,
    IO_ENTIRE_RANGE = 0x03,
    MEMORY_READ_WRITE = 0x01,
    WORD_SPACE_LENGTH = 13,
    DWORD_SPACE_LENGTH = 23,
};

static void
put_segment(GByteArray *aml, const char *name, size_t length)
{
    for (size_t i = 0; i < SEGMENT; i++) {
        blob_u8(aml, (uint8_t)(i < length ? name[i] : '_'));
    }
}

static void
put_path(GByteArray *aml, const char *path)
{
    g_auto(GStrv) segments = NULL;
    guint count;

    if (path[0] == '\\') {
        blob_u8(aml, '\\');
        path++;
    }
    segments = g_strsplit(path, ".", 0);
    count = g_strv_length(segments);
    if (count == 2) {
        blob_u8(aml, OP_DUAL_NAME);
    } else if (count > 2) {
        blob_u8(aml, OP_MULTI_NAME);
        blob_u8(aml, (uint8_t)count);
    }
    for (guint i = 0; i < count; i++) {
        put_segment(aml, segments[i], strlen(segments[i]));
    }
}

/* PkgLength (ACPI 20.2.4): one byte up to 63; else bits 7-6 say how many follow the low nibble. */
void
aml_close(GByteArray *aml, AmlMark mark)
{
    uint8_t encoded[4];
    size_t contents = aml->len - mark;
    size_t extra = contents + 1 < 1u << 6    ? 0
                   : contents + 2 < 1u << 12 ? 1
                   : contents + 3 < 1u << 20 ? 2
                                             : 3;
    size_t length = contents + 1 + extra;

    if (extra == 0) {
        encoded[0] = (uint8_t)length;
    } else {
        encoded[0] = (uint8_t)(extra << 6 | (length & 0x0F));
        for (size_t i = 1; i <= extra; i++) {
            encoded[i] = (uint8_t)(length >> (4 + 8 * (i - 1)));
        }
    }
    blob_zeros(aml, (unsigned)extra + 1);
    memmove(aml->data + mark + extra + 1, aml->data + mark, contents);
    memcpy(aml->data + mark, encoded, extra + 1);
}

AmlMark
aml_open_scope(GByteArray *aml, const char *path)
{
    AmlMark mark;

    blob_u8(aml, OP_SCOPE);
    mark = aml->len;
    put_path(aml, path);
    return mark;
}

AmlMark
aml_open_device(GByteArray *aml, const char *name)
{
    AmlMark mark;

    blob_u8(aml, OP_EXTENDED);
    blob_u8(aml, OP_EXTENDED_DEVICE);
    mark = aml->len;
    put_path(aml, name);
    return mark;
}

AmlMark
aml_open_package(GByteArray *aml, uint8_t elements)
{
    AmlMark mark;

    blob_u8(aml, OP_PACKAGE);
    mark = aml->len;
    blob_u8(aml, elements);
    return mark;
}

void
aml_name(GByteArray *aml, const char *path)
{
    blob_u8(aml, OP_NAME);
    put_path(aml, path);
}

void
aml_integer(GByteArray *aml, uint64_t value)
{
    if (value <= 1) {
        blob_u8(aml, value == 0 ? OP_ZERO : OP_ONE);
    } else if (value <= UINT8_MAX) {
        blob_u8(aml, OP_BYTE);
        blob_u8(aml, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        blob_u8(aml, OP_WORD);
        blob_u16(aml, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        blob_u8(aml, OP_DWORD);
        blob_u32(aml, (uint32_t)value);
    } else {
        blob_u8(aml, OP_QWORD);
        blob_u64(aml, value);
    }
}

void
aml_string(GByteArray *aml, const char *text)
{
    blob_u8(aml, OP_STRING);
    blob_bytes(aml, text, strlen(text) + 1);
}

static bool
is_eisa_id(const char *id)
{
    if (strlen(id) != 7) {
        return false;
    }
    for (unsigned i = 0; i < 7; i++) {
        if (i < 3 ? !g_ascii_isupper(id[i]) : !g_ascii_isxdigit(id[i])) {
            return false;
        }
    }
    return true;
}

void
aml_hardware_id(GByteArray *aml, const char *id)
{
    uint32_t value = 0;

    if (!is_eisa_id(id)) {
        aml_string(aml, id);
        return;
    }
    /* Three letters of five bits, four hex digits; the whole is big-endian (ACPI 19.3.4). */
    for (unsigned i = 0; i < 3; i++) {
        value = value << 5 | ((uint32_t)(id[i] - 'A' + 1) & 0x1F);
    }
    for (unsigned i = 3; i < 7; i++) {
        value = value << 4 | (uint32_t)g_ascii_xdigit_value(id[i]);
    }
    blob_u8(aml, OP_DWORD);
    blob_u32(aml, GUINT32_SWAP_LE_BE(value));
}

void
aml_resource_io(GByteArray *resources, uint16_t base, uint8_t length)
{
    blob_u8(resources, RESOURCE_IO);
    blob_u8(resources, IO_DECODE_16);
    blob_u16(resources, base);
    blob_u16(resources, base);
    blob_u8(resources, 1); /* alignment */
    blob_u8(resources, length);
}

void
aml_resource_irq(GByteArray *resources, unsigned irq)
{
    blob_u8(resources, RESOURCE_IRQ);
    blob_u16(resources, (uint16_t)(1u << (irq & 15)));
}

void
aml_resource_dma(GByteArray *resources, unsigned channel)
{
    blob_u8(resources, RESOURCE_DMA);
    blob_u8(resources, (uint8_t)(1u << (channel & 7)));
    blob_u8(resources, 0); /* compatibility timing, no bus master, 8 bits */
}

static void
space_head(GByteArray *resources, uint8_t kind, uint16_t length, uint8_t type, uint8_t flags)
{
    blob_u8(resources, kind);
    blob_u16(resources, length);
    blob_u8(resources, type);
    blob_u8(resources, SPACE_FIXED);
    blob_u8(resources, flags);
}

static void
space_range(GByteArray *resources, uint32_t first, uint32_t last, unsigned size)
{
    blob_le(resources, 0, size); /* granularity */
    blob_le(resources, first, size);
    blob_le(resources, last, size);
    blob_le(resources, 0, size); /* translation */
    /* 0 to FFFFh would need 17 bits: no window here is that large. */
    blob_le(resources, (uint64_t)last - first + 1, size);
}

void
aml_resource_bus_window(GByteArray *resources, uint16_t first, uint16_t last)
{
    space_head(resources, RESOURCE_WORD_SPACE, WORD_SPACE_LENGTH, SPACE_BUS, 0);
    space_range(resources, first, last, 2);
}

void
aml_resource_io_window(GByteArray *resources, uint16_t first, uint16_t last)
{
    space_head(resources, RESOURCE_WORD_SPACE, WORD_SPACE_LENGTH, SPACE_IO, IO_ENTIRE_RANGE);
    space_range(resources, first, last, 2);
}

void
aml_resource_memory_window(GByteArray *resources, uint32_t first, uint32_t last)
{
    space_head(resources, RESOURCE_DWORD_SPACE, DWORD_SPACE_LENGTH, SPACE_MEMORY,
               MEMORY_READ_WRITE);
    space_range(resources, first, last, 4);
}

void
aml_resources(GByteArray *aml, const GByteArray *resources)
{
    AmlMark mark;

    blob_u8(aml, OP_BUFFER);
    mark = aml->len;
    aml_integer(aml, resources->len + 2);
    blob_bytes(aml, resources->data, resources->len);
    blob_u8(aml, RESOURCE_END);
    blob_u8(aml, 0); /* checksum not used */
    aml_close(aml, mark);
}

/* --- methods ---------------------------------------------------------------------------------- */

static void
extended(GByteArray *aml, uint8_t op)
{
    blob_u8(aml, OP_EXTENDED);
    blob_u8(aml, op);
}

void
aml_io_region(GByteArray *aml, const char *name, uint16_t base, uint8_t length)
{
    extended(aml, OP_EXTENDED_REGION);
    put_path(aml, name);
    blob_u8(aml, REGION_IO);
    aml_integer(aml, base);
    aml_integer(aml, length);
}

void
aml_dword_field(GByteArray *aml, const char *region, const char *const *names)
{
    AmlMark mark;

    extended(aml, OP_EXTENDED_FIELD);
    mark = aml->len;
    put_path(aml, region);
    blob_u8(aml, FIELD_DWORD_ZEROES);
    for (; *names != NULL; names++) {
        put_path(aml, *names);
        blob_u8(aml, 32); /* bits: a PkgLength of one byte */
    }
    aml_close(aml, mark);
}

AmlMark
aml_open_method(GByteArray *aml, const char *name, unsigned arguments, bool serialized)
{
    AmlMark mark;

    blob_u8(aml, OP_METHOD);
    mark = aml->len;
    put_path(aml, name);
    blob_u8(aml, (uint8_t)((arguments & 7) | (serialized ? METHOD_SERIALIZED : 0)));
    return mark;
}

AmlMark
aml_open_if(GByteArray *aml)
{
    blob_u8(aml, OP_IF);
    return aml->len;
}

void
aml_path(GByteArray *aml, const char *path)
{
    put_path(aml, path);
}

void
aml_argument(GByteArray *aml, unsigned index)
{
    blob_u8(aml, (uint8_t)(OP_ARG0 + index));
}

void
aml_and(GByteArray *aml)
{
    blob_u8(aml, OP_AND);
}

void
aml_shift_left(GByteArray *aml)
{
    blob_u8(aml, OP_SHIFT_LEFT);
}

void
aml_end_target(GByteArray *aml)
{
    blob_u8(aml, OP_ZERO); /* a null name */
}

void
aml_store(GByteArray *aml)
{
    blob_u8(aml, OP_STORE);
}

void
aml_notify(GByteArray *aml)
{
    blob_u8(aml, OP_NOTIFY);
}

void
aml_mutex(GByteArray *aml, const char *name)
{
    extended(aml, OP_EXTENDED_MUTEX);
    put_path(aml, name);
    blob_u8(aml, 0); /* sync level */
}

void
aml_acquire(GByteArray *aml, const char *name)
{
    extended(aml, OP_EXTENDED_ACQUIRE);
    put_path(aml, name);
    blob_u16(aml, WAIT_FOREVER);
}

void
aml_release(GByteArray *aml, const char *name)
{
    extended(aml, OP_EXTENDED_RELEASE);
    put_path(aml, name);
}
