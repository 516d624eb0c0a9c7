/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of the plugin: see floppy_test.h. */
#include "floppy_test.h"

#include <stdio.h>

static struct th_block *
new_block(struct th_host *th, const char *id, uint32_t size, uint8_t salt)
{
    struct th_block *block = th_block_new(th, id, size);

    fill_pattern(th_block_data(block), 0, size / FLOPPY_SECTOR_BYTES, salt);
    return block;
}

struct rig
rig_new_media(uint32_t size_a, uint32_t size_b, const char *options)
{
    struct rig rig = {.th = th_new()};
    char text[512];

    rig.a = size_a != 0 ? new_block(rig.th, "a", size_a, SALT_A) : NULL;
    rig.b = size_b != 0 ? new_block(rig.th, "b", size_b, SALT_B) : NULL;
    (void)snprintf(text, sizeof(text), "drives = ( { unit = 0; %s }, { unit = 1; %s } ); %s",
                   size_a != 0 ? "disk = \"a\";" : "", size_b != 0 ? "disk = \"b\";" : "",
                   options != NULL ? options : "");
    rig.fdc = th_plug(rig.th, &backplane_plugin_v1, "fdc0", text);
    assert_non_null(rig.fdc);
    return rig;
}

struct rig
rig_new(const char *options)
{
    struct rig rig = {.th = th_new()};
    char text[512];

    rig.a = new_block(rig.th, "a", SIZE_1440K, SALT_A);
    (void)snprintf(text, sizeof(text), "drives = ( { unit = 0; disk = \"a\"; } ); %s",
                   options != NULL ? options : "");
    rig.fdc = th_plug(rig.th, &backplane_plugin_v1, "fdc0", text);
    assert_non_null(rig.fdc);
    return rig;
}

void
rig_free(struct rig *rig)
{
    th_free(rig->th);
}

void
put(struct rig *rig, uint16_t port, uint8_t value)
{
    th_out(rig->th, port, 1, value);
}

uint8_t
get(struct rig *rig, uint16_t port)
{
    return (uint8_t)th_in(rig->th, port, 1);
}

uint32_t
irq(struct rig *rig)
{
    return th_irq_level(rig->th, 6);
}

void
command(struct rig *rig, uint32_t count, const uint8_t *bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(get(rig, MSR) & (MSR_REQUEST | MSR_TO_HOST), MSR_REQUEST);
        put(rig, FIFO, bytes[i]);
    }
    th_run(rig->th);
}

void
result(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(get(rig, MSR) & 0xf0, MSR_REQUEST | MSR_TO_HOST | MSR_BUSY);
        rig->result[i] = get(rig, FIFO);
    }
    assert_int_equal(get(rig, MSR) & 0xf0, MSR_REQUEST);
}

void
expect_result(struct rig *rig, uint8_t st0, uint8_t st1, uint8_t st2, uint8_t c, uint8_t h,
              uint8_t r, uint8_t n)
{
    const uint8_t want[] = {st0, st1, st2, c, h, r, n};

    assert_int_equal(irq(rig), 1);
    result(rig, sizeof(want));
    assert_memory_equal(rig->result, want, sizeof(want));
    assert_int_equal(irq(rig), 0);
}

void
expect_seek_end(struct rig *rig, uint8_t st0, uint8_t pcn)
{
    assert_int_equal(irq(rig), 1);
    COMMAND(rig, 0x08);
    assert_int_equal(irq(rig), 0);
    result(rig, 2);
    assert_int_equal(rig->result[0], st0);
    assert_int_equal(rig->result[1], pcn);
}

void
seek(struct rig *rig, uint8_t drive, uint8_t cylinder)
{
    COMMAND(rig, 0x0f, drive, cylinder);
    expect_seek_end(rig, (uint8_t)(ST0_SEEK_END | drive), cylinder);
}

void
transfer(struct rig *rig, uint8_t code, uint8_t select, uint8_t c, uint8_t h, uint8_t r,
         uint8_t eot)
{
    COMMAND(rig, code, select, c, h, r, FLOPPY_SIZE_CODE, eot, 0x1b, 0xff);
}

void
dma_to_memory(struct rig *rig, uint32_t bytes)
{
    th_dma_program(rig->th, 2, BP_ISADMA_TO_MEMORY, DATA, bytes, 0);
}

void
dma_from_memory(struct rig *rig, uint32_t bytes)
{
    th_dma_program(rig->th, 2, BP_ISADMA_FROM_MEMORY, DATA, bytes, 0);
}

uint8_t *
data(struct rig *rig)
{
    return th_ram(rig->th, DATA, 0x20000);
}

void
fill_pattern(uint8_t *out, uint32_t lba, uint32_t sectors, uint8_t salt)
{
    for (uint32_t s = 0; s < sectors; s++) {
        for (uint32_t i = 0; i < FLOPPY_SECTOR_BYTES; i++) {
            *out++ = (uint8_t)(((lba + s) * 2654435761u >> 13) + i * 7 + salt);
        }
    }
}

void
check_pattern(const uint8_t *in, uint32_t lba, uint32_t sectors, uint8_t salt)
{
    uint8_t want[FLOPPY_SECTOR_BYTES];

    for (uint32_t s = 0; s < sectors; s++) {
        fill_pattern(want, lba + s, 1, salt);
        assert_memory_equal(in + (size_t)s * FLOPPY_SECTOR_BYTES, want, FLOPPY_SECTOR_BYTES);
    }
}
