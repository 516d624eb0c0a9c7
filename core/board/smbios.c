/* SPDX-License-Identifier: Apache-2.0 */
/* SMBIOS 2.8: types 0, 1, 2, 3, 4, 11, 16, 17, 19, 32, 127. A structure is its fixed part, then its
 * strings, numbered from 1 in the order they were used, then a NUL. */
#include "board/smbios.h"

#include "base/error.h"
#include "board/blob.h"

#include <stdio.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

enum {
    MAJOR = 2,
    MINOR = 8,
    ANCHOR_SIZE = 31,
    ANCHOR_CHECKSUM_AT = 4,
    ANCHOR_DMI_AT = 16,
    ANCHOR_DMI_CHECKSUM_AT = 21,
    ANCHOR_ADDRESS_AT = 24,
    HANDLE_BIOS = 0x0000,
    HANDLE_SYSTEM = 0x0100,
    HANDLE_BOARD = 0x0200,
    HANDLE_CHASSIS = 0x0300,
    HANDLE_CPU = 0x0400,
    HANDLE_OEM = 0x0B00,
    HANDLE_ARRAY = 0x1000,
    HANDLE_DIMM = 0x1100,
    HANDLE_MAPPED = 0x1300,
    HANDLE_BOOT = 0x2000,
    HANDLE_END = 0x7F00,
    HANDLE_NONE = 0xFFFE, /* "not provided" */
    NO_CACHE = 0xFFFF,
    UNKNOWN = 2,
    STATUS_SAFE = 3,
    SIZE_IN_EXTENDED = 0x7FFF,
};

#define DIMM_BYTES (16 * GIB)
#define MAKER      "Backplane"
#define BIOS_DATE  "01/01/2024"

/* One structure under construction. */
typedef struct {
    Smbios *smbios;
    guint start;
    GByteArray *strings;
    uint8_t string_count;
} Structure;

static Structure
begin(Smbios *smbios, uint8_t type, uint16_t handle)
{
    Structure s = {.smbios = smbios, .start = smbios->tables->len, .strings = g_byte_array_new()};

    blob_u8(smbios->tables, type);
    blob_u8(smbios->tables, 0);
    blob_u16(smbios->tables, handle);
    return s;
}

/* A string's number; 0 for none. */
static void
put_string(Structure *s, const char *text)
{
    if (text == NULL || text[0] == '\0' || s->string_count == UINT8_MAX) {
        blob_u8(s->smbios->tables, 0);
        return;
    }
    blob_bytes(s->strings, text, strlen(text) + 1);
    blob_u8(s->smbios->tables, ++s->string_count);
}

/* Closes the structure and counts it in the anchor's fields. */
static void
end(Structure *s, uint16_t *count, uint16_t *largest)
{
    GByteArray *tables = s->smbios->tables;

    tables->data[s->start + 1] = (uint8_t)(tables->len - s->start);
    blob_bytes(tables, s->strings->data, s->strings->len);
    if (s->string_count == 0) {
        blob_u8(tables, 0);
    }
    blob_u8(tables, 0);
    blob_clear(&s->strings);
    (*count)++;
    *largest = (uint16_t)MAX(*largest, MIN(tables->len - s->start, UINT16_MAX));
}

/* What all builders below share. */
typedef struct {
    Smbios *smbios;
    const SmbiosArgs *args;
    uint16_t count, largest;
} Builder;

static const char *
or_default(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

static void
add_bios(Builder *b)
{
    Structure s = begin(b->smbios, 0, HANDLE_BIOS);
    GByteArray *t = b->smbios->tables;

    put_string(&s, MAKER);
    put_string(&s, or_default(b->args->identity->smbios_version, "1"));
    blob_u16(t, 0xE800); /* segment: 96 KiB in memory */
    put_string(&s, BIOS_DATE);
    blob_u8(t, 0);        /* ROM of 64 KiB */
    blob_u64(t, 1u << 3); /* characteristics: not supported */
    blob_u8(t, 0);
    blob_u8(t, 1 << 4 | 1 << 2);  /* a virtual machine; targeted content distribution */
    blob_u32(t, 0xFFFF0000u | 1); /* BIOS release 1.0, no embedded controller */
    end(&s, &b->count, &b->largest);
}

/* UUID as SMBIOS writes it since 2.6: the first three fields little-endian (DSP0134, 7.2.1). */
static void
put_uuid(GByteArray *tables, const uint8_t *u)
{
    const uint8_t wire[16] = {u[3], u[2], u[1],  u[0],  u[5],  u[4],  u[7],  u[6],
                              u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]};

    blob_bytes(tables, wire, sizeof(wire));
}

static void
add_system(Builder *b)
{
    const BoardIdentity *identity = b->args->identity;
    Structure s = begin(b->smbios, 1, HANDLE_SYSTEM);

    put_string(&s, or_default(identity->smbios_manufacturer, MAKER));
    put_string(&s, or_default(identity->smbios_product, "Backplane PC"));
    put_string(&s, or_default(identity->smbios_version, "1"));
    put_string(&s, identity->smbios_serial);
    put_uuid(b->smbios->tables, b->args->uuid);
    blob_u8(b->smbios->tables, 6); /* woken by the power switch */
    put_string(&s, identity->smbios_sku);
    put_string(&s, identity->smbios_family);
    end(&s, &b->count, &b->largest);
}

static void
add_baseboard(Builder *b)
{
    Structure s = begin(b->smbios, 2, HANDLE_BOARD);
    GByteArray *t = b->smbios->tables;

    put_string(&s, or_default(b->args->identity->smbios_manufacturer, MAKER));
    put_string(&s, "i440FX");
    put_string(&s, or_default(b->args->identity->smbios_version, "1"));
    put_string(&s, b->args->identity->smbios_serial);
    put_string(&s, NULL); /* asset tag */
    blob_u8(t, 1);        /* a hosting board */
    put_string(&s, NULL); /* location */
    blob_u16(t, HANDLE_CHASSIS);
    blob_u8(t, 0x0A); /* motherboard */
    blob_u8(t, 0);
    end(&s, &b->count, &b->largest);
}

static void
add_chassis(Builder *b)
{
    Structure s = begin(b->smbios, 3, HANDLE_CHASSIS);
    GByteArray *t = b->smbios->tables;

    put_string(&s, or_default(b->args->identity->smbios_manufacturer, MAKER));
    blob_u8(t, 1); /* other */
    put_string(&s, or_default(b->args->identity->smbios_version, "1"));
    put_string(&s, b->args->identity->smbios_serial);
    put_string(&s, NULL);
    blob_u8(t, STATUS_SAFE); /* boot-up, power supply, thermal: safe */
    blob_u8(t, STATUS_SAFE);
    blob_u8(t, STATUS_SAFE);
    blob_u8(t, UNKNOWN); /* security */
    blob_u32(t, 0);
    blob_u32(t, 0); /* height, power cords, contained elements: none */
    put_string(&s, b->args->identity->smbios_sku);
    end(&s, &b->count, &b->largest);
}

/* One socket with all vCPUs as its cores: licences count sockets. */
static void
add_processor(Builder *b)
{
    unsigned cpus = b->args->cpus;
    uint8_t cores = (uint8_t)MIN(cpus, 0xFF);
    Structure s = begin(b->smbios, 4, HANDLE_CPU);
    GByteArray *t = b->smbios->tables;

    put_string(&s, "CPU 0");
    blob_u8(t, 3);    /* a central processor */
    blob_u8(t, 0xFE); /* family in the field at the end */
    put_string(&s, or_default(b->args->identity->smbios_manufacturer, MAKER));
    blob_u64(t, 0); /* what CPUID tells is the host's matter */
    put_string(&s, or_default(b->args->identity->smbios_version, "1"));
    blob_u8(t, 0); /* voltage, clocks: unknown */
    blob_u16(t, 0);
    blob_u16(t, 2000); /* some readers take 0 MHz for an empty socket */
    blob_u16(t, 2000);
    blob_u8(t, 0x41); /* socket populated, processor enabled */
    blob_u8(t, 1);    /* upgrade: other */
    blob_u16(t, NO_CACHE);
    blob_u16(t, NO_CACHE);
    blob_u16(t, NO_CACHE);
    put_string(&s, NULL); /* serial number, asset tag, part number */
    put_string(&s, NULL);
    put_string(&s, NULL);
    blob_u8(t, cores); /* cores, enabled cores, threads */
    blob_u8(t, cores);
    blob_u8(t, cores);
    blob_u16(t, 1 << 2 | 1 << 3); /* 64 bits, several cores */
    blob_u16(t, 0x01);            /* family: other */
    blob_u16(t, (uint16_t)cpus);
    blob_u16(t, (uint16_t)cpus);
    blob_u16(t, (uint16_t)cpus);
    end(&s, &b->count, &b->largest);
}

static void
add_oem_strings(Builder *b)
{
    const char *const *strings = b->args->identity->smbios_oem_strings;
    guint count = strings != NULL ? MIN(g_strv_length((char **)(uintptr_t)strings), UINT8_MAX) : 0;
    Structure s;

    if (count == 0) {
        return;
    }
    s = begin(b->smbios, 11, HANDLE_OEM);
    blob_u8(b->smbios->tables, (uint8_t)count);
    for (guint i = 0; i < count; i++) {
        /* The count is in the structure, the numbers are not; an empty string would end the set. */
        blob_bytes(s.strings, strings[i][0] != '\0' ? strings[i] : " ", MAX(strlen(strings[i]), 1));
        blob_u8(s.strings, 0);
        s.string_count++;
    }
    end(&s, &b->count, &b->largest);
}

static void
add_memory_array(Builder *b, unsigned dimms)
{
    uint64_t kib = b->args->ram_bytes / KIB;
    Structure s = begin(b->smbios, 16, HANDLE_ARRAY);
    GByteArray *t = b->smbios->tables;

    blob_u8(t, 1); /* location: other */
    blob_u8(t, 3); /* system memory */
    blob_u8(t, 6); /* multi-bit ECC */
    blob_u32(t, kib < 0x80000000u ? (uint32_t)kib : 0x80000000u);
    blob_u16(t, HANDLE_NONE);
    blob_u16(t, (uint16_t)dimms);
    blob_u64(t, kib < 0x80000000u ? 0 : b->args->ram_bytes);
    end(&s, &b->count, &b->largest);
}

static void
add_dimm(Builder *b, unsigned index, uint64_t bytes)
{
    char locator[16];
    uint64_t mib = bytes / MIB;
    Structure s = begin(b->smbios, 17, (uint16_t)(HANDLE_DIMM + index));
    GByteArray *t = b->smbios->tables;

    (void)snprintf(locator, sizeof(locator), "DIMM %u", index);
    blob_u16(t, HANDLE_ARRAY);
    blob_u16(t, HANDLE_NONE);
    blob_u16(t, 0xFFFF); /* widths unknown */
    blob_u16(t, 0xFFFF);
    blob_u16(t, mib < SIZE_IN_EXTENDED ? (uint16_t)mib : SIZE_IN_EXTENDED);
    blob_u8(t, 9); /* DIMM */
    blob_u8(t, 0); /* no set */
    put_string(&s, locator);
    put_string(&s, NULL);
    blob_u8(t, 7);       /* RAM */
    blob_u16(t, 1 << 1); /* detail: other */
    blob_u16(t, 0);
    put_string(&s, or_default(b->args->identity->smbios_manufacturer, MAKER));
    put_string(&s, NULL);
    put_string(&s, NULL);
    put_string(&s, NULL);
    blob_u8(t, 0); /* rank unknown */
    blob_u32(t, mib < SIZE_IN_EXTENDED ? 0 : (uint32_t)mib);
    blob_u16(t, 0); /* clock and voltages unknown */
    blob_u16(t, 0);
    blob_u16(t, 0);
    blob_u16(t, 0);
    end(&s, &b->count, &b->largest);
}

static void
add_mapped(Builder *b, unsigned index, const SmbiosRange *range)
{
    uint64_t first = range->start / KIB, last = range->end / KIB - 1;
    bool extended = last >= UINT32_MAX;
    Structure s = begin(b->smbios, 19, (uint16_t)(HANDLE_MAPPED + index));
    GByteArray *t = b->smbios->tables;

    blob_u32(t, extended ? UINT32_MAX : (uint32_t)first);
    blob_u32(t, extended ? UINT32_MAX : (uint32_t)last);
    blob_u16(t, HANDLE_ARRAY);
    blob_u8(t, 1); /* partition width */
    blob_u64(t, extended ? range->start : 0);
    blob_u64(t, extended ? range->end - 1 : 0);
    end(&s, &b->count, &b->largest);
}

static void
add_memory(Builder *b)
{
    uint64_t left = b->args->ram_bytes;
    uint64_t dimm = DIMM_BYTES;
    unsigned dimms;

    /* At most 256 modules: larger ones beyond 4 TiB. */
    while ((left + dimm - 1) / dimm > HANDLE_MAPPED - HANDLE_DIMM - 0x100) {
        dimm *= 2;
    }
    dimms = (unsigned)((left + dimm - 1) / dimm);
    add_memory_array(b, dimms);
    for (unsigned i = 0; i < dimms; i++) {
        add_dimm(b, i, MIN(left, dimm));
        left -= MIN(left, dimm);
    }
    for (unsigned i = 0; i < b->args->ram_count; i++) {
        add_mapped(b, i, &b->args->ram[i]);
    }
}

static void
add_boot_status(Builder *b)
{
    Structure s = begin(b->smbios, 32, HANDLE_BOOT);

    blob_zeros(b->smbios->tables, 7); /* six reserved bytes; no errors */
    end(&s, &b->count, &b->largest);
}

static void
add_end(Builder *b)
{
    Structure s = begin(b->smbios, 127, HANDLE_END);

    end(&s, &b->count, &b->largest);
}

static void
build_anchor(const Builder *b)
{
    GByteArray *anchor = b->smbios->anchor;

    blob_text(anchor, "_SM_", 4, ' ');
    blob_u8(anchor, 0);
    blob_u8(anchor, ANCHOR_SIZE);
    blob_u8(anchor, MAJOR);
    blob_u8(anchor, MINOR);
    blob_u16(anchor, b->largest);
    blob_zeros(anchor, 6); /* entry point revision, formatted area */
    blob_text(anchor, "_DMI_", 5, ' ');
    blob_u8(anchor, 0);
    blob_u16(anchor, (uint16_t)b->smbios->tables->len);
    blob_u32(anchor, 0);
    blob_u16(anchor, b->count);
    blob_u8(anchor, MAJOR << 4 | MINOR);
    smbios_anchor_locate(anchor, 0);
}

void
smbios_anchor_locate(GByteArray *anchor, uint32_t tables_gpa)
{
    uint8_t *data = anchor->data;

    blob_put(anchor, ANCHOR_ADDRESS_AT, tables_gpa, 4);
    data[ANCHOR_DMI_CHECKSUM_AT] = 0;
    data[ANCHOR_DMI_CHECKSUM_AT] = blob_checksum(data + ANCHOR_DMI_AT, ANCHOR_SIZE - ANCHOR_DMI_AT);
    data[ANCHOR_CHECKSUM_AT] = 0;
    data[ANCHOR_CHECKSUM_AT] = blob_checksum(data, ANCHOR_SIZE);
}

bool
smbios_build(Smbios *smbios, const SmbiosArgs *args, GError **error)
{
    Builder builder = {.smbios = smbios, .args = args};

    smbios->tables = g_byte_array_new();
    smbios->anchor = g_byte_array_new();
    add_bios(&builder);
    add_system(&builder);
    add_baseboard(&builder);
    add_chassis(&builder);
    add_processor(&builder);
    add_oem_strings(&builder);
    add_memory(&builder);
    add_boot_status(&builder);
    add_end(&builder);
    if (smbios->tables->len > UINT16_MAX) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "the SMBIOS strings make tables of %u bytes, 65535 are possible; shorten them",
                    smbios->tables->len);
        return false;
    }
    build_anchor(&builder);
    return true;
}

void
smbios_done(Smbios *smbios)
{
    blob_clear(&smbios->tables);
    blob_clear(&smbios->anchor);
}
