/* SPDX-License-Identifier: Apache-2.0 */
/* See ide_test.h. */
#include "ide_test.h"

#include <stdio.h>

static struct rig
rig_start(const char *drives, uint32_t two)
{
    struct rig rig = {.th = th_new()};
    struct bp_block_info *info;

    rig.disk = th_block_new(rig.th, "sys", (uint64_t)DISK_SECTORS * ATA_SECTOR);
    info = th_block_info(rig.disk);
    info->physical_block_size = 512;
    fill_pattern(th_block_data(rig.disk), 0, DISK_SECTORS);
    if (two) {
        rig.other = th_block_new(rig.th, "two", (uint64_t)DISK_SECTORS * ATA_SECTOR);
    }
    rig.ide = th_plug(rig.th, &backplane_plugin_v1, "ide0", drives);
    if (rig.ide == NULL) {
        fail_msg("cannot plug: %s", th_error_text(rig.th));
    }
    th_pci_place(rig.ide);
    rig_channel(&rig, 0);
    return rig;
}

struct rig
rig_new(const char *options)
{
    char text[512];

    (void)snprintf(text, sizeof(text),
                   "drives = ( { channel = 0; unit = 0; disk = \"sys\"; %s } );",
                   options != NULL ? options : "");
    return rig_start(text, 0);
}

struct rig
rig_new_two(uint32_t channel, uint32_t unit)
{
    char text[512];

    (void)snprintf(text, sizeof(text),
                   "drives = ( { channel = 0; unit = 0; disk = \"sys\"; },"
                   "{ channel = %u; unit = %u; disk = \"two\"; } );",
                   channel, unit);
    return rig_start(text, 1);
}

void
rig_free(struct rig *rig)
{
    th_free(rig->th);
}

void
rig_channel(struct rig *rig, uint32_t channel)
{
    rig->base = channel == 0 ? 0x1f0 : 0x170;
    rig->control = channel == 0 ? 0x3f6 : 0x376;
    rig->bm = channel == 0 ? 0 : 8;
    rig->irq = channel == 0 ? 14 : 15;
}

void
put(struct rig *rig, uint32_t reg, uint8_t value)
{
    th_out(rig->th, (uint16_t)(rig->base + reg), 1, value);
}

uint8_t
get(struct rig *rig, uint32_t reg)
{
    return (uint8_t)th_in(rig->th, (uint16_t)(rig->base + reg), 1);
}

uint8_t
alt_status(struct rig *rig)
{
    return (uint8_t)th_in(rig->th, rig->control, 1);
}

uint8_t
status(struct rig *rig)
{
    return get(rig, ATA_REG_STATUS);
}

uint32_t
irq(struct rig *rig)
{
    return th_irq_level(rig->th, rig->irq);
}

void
command28(struct rig *rig, uint8_t opcode, uint32_t unit, uint32_t lba, uint8_t count)
{
    put(rig, ATA_REG_DEVICE, (uint8_t)(0xe0 | unit << 4 | (lba >> 24 & 0x0f)));
    put(rig, ATA_REG_COUNT, count);
    put(rig, ATA_REG_LOW, (uint8_t)lba);
    put(rig, ATA_REG_MID, (uint8_t)(lba >> 8));
    put(rig, ATA_REG_HIGH, (uint8_t)(lba >> 16));
    put(rig, ATA_REG_STATUS, opcode);
}

void
command48(struct rig *rig, uint8_t opcode, uint64_t lba, uint16_t count)
{
    put(rig, ATA_REG_DEVICE, 0x40);
    put(rig, ATA_REG_COUNT, (uint8_t)(count >> 8));
    put(rig, ATA_REG_LOW, (uint8_t)(lba >> 24));
    put(rig, ATA_REG_MID, (uint8_t)(lba >> 32));
    put(rig, ATA_REG_HIGH, (uint8_t)(lba >> 40));
    put(rig, ATA_REG_COUNT, (uint8_t)count);
    put(rig, ATA_REG_LOW, (uint8_t)lba);
    put(rig, ATA_REG_MID, (uint8_t)(lba >> 8));
    put(rig, ATA_REG_HIGH, (uint8_t)(lba >> 16));
    put(rig, ATA_REG_STATUS, opcode);
}

void
command_plain(struct rig *rig, uint8_t opcode, uint8_t features, uint8_t count)
{
    put(rig, ATA_REG_ERROR, features);
    put(rig, ATA_REG_COUNT, count);
    put(rig, ATA_REG_STATUS, opcode);
}

void
expect_success(struct rig *rig)
{
    th_run(rig->th);
    assert_int_equal(irq(rig), 1);
    assert_int_equal(status(rig), ATA_DRDY | ATA_DSC);
    assert_int_equal(irq(rig), 0);
    assert_int_equal(get(rig, ATA_REG_ERROR), 0);
}

void
expect_error(struct rig *rig, uint8_t error)
{
    th_run(rig->th);
    assert_int_equal(irq(rig), 1);
    assert_int_equal(status(rig), ATA_DRDY | ATA_DSC | ATA_ERR);
    assert_int_equal(irq(rig), 0);
    assert_int_equal(get(rig, ATA_REG_ERROR), error);
}

void
data_in(struct rig *rig, void *data, uint32_t bytes)
{
    th_ins(rig->th, rig->base, 2, bytes / 2, data);
}

void
data_out(struct rig *rig, const void *data, uint32_t bytes)
{
    th_outs(rig->th, rig->base, 2, bytes / 2, data);
}

void
identify(struct rig *rig, uint16_t words[256])
{
    put(rig, ATA_REG_STATUS, ATA_IDENTIFY_DEVICE);
    th_run(rig->th);
    assert_int_equal(irq(rig), 1);
    assert_int_equal(status(rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_in(rig, words, 512);
    assert_int_equal(status(rig), ATA_DRDY | ATA_DSC);
}

void
log_command(struct rig *rig, uint8_t opcode, uint8_t number, uint16_t first, uint16_t count)
{
    put(rig, ATA_REG_DEVICE, 0xa0);
    put(rig, ATA_REG_COUNT, (uint8_t)(count >> 8));
    put(rig, ATA_REG_COUNT, (uint8_t)count);
    put(rig, ATA_REG_LOW, number);
    put(rig, ATA_REG_MID, (uint8_t)(first >> 8));
    put(rig, ATA_REG_MID, (uint8_t)first);
    put(rig, ATA_REG_STATUS, opcode);
}

void
read_blocks(struct rig *rig, uint8_t *data, uint32_t blocks)
{
    for (uint32_t i = 0; i < blocks; i++) {
        assert_int_equal(irq(rig), 1);
        assert_int_equal(status(rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
        data_in(rig, data + (size_t)512 * i, 512);
    }
    assert_int_equal(irq(rig), 0);
    assert_int_equal(status(rig), ATA_DRDY | ATA_DSC);
}

void
send_block(struct rig *rig, uint8_t opcode, const uint8_t block[512])
{
    put(rig, ATA_REG_STATUS, opcode);
    assert_int_equal(irq(rig), 0); /* the first block is announced by DRQ alone */
    assert_int_equal(status(rig), ATA_DRDY | ATA_DSC | ATA_DRQ);
    data_out(rig, block, 512);
}

void
prd(struct rig *rig, uint32_t index, uint32_t address, uint32_t count)
{
    th_write(rig->th, PRDT + 8 * index, 4, address);
    th_write(rig->th, PRDT + 8 * index + 4, 4, count);
}

void
bm_start(struct rig *rig, uint32_t to_memory)
{
    th_bar_write(rig->ide, 4, rig->bm + 4u, 4, PRDT);
    th_bar_write(rig->ide, 4, rig->bm, 1, to_memory ? 9 : 1);
}

uint8_t
bm_status(struct rig *rig)
{
    return (uint8_t)th_bar_read(rig->ide, 4, rig->bm + 2u, 1);
}

void
bm_stop(struct rig *rig)
{
    th_bar_write(rig->ide, 4, rig->bm, 1, 0);
    th_bar_write(rig->ide, 4, rig->bm + 2u, 1, BM_ERROR | BM_INT);
}

void
fill_pattern(uint8_t *data, uint64_t first_sector, uint32_t sectors)
{
    for (uint32_t s = 0; s < sectors; s++) {
        for (uint32_t i = 0; i < ATA_SECTOR; i += 4, data += 4) {
            uint32_t value = (uint32_t)(first_sector + s) * 2654435761u + i;
            memcpy(data, &value, 4);
        }
    }
}

void
check_pattern(const uint8_t *data, uint64_t first_sector, uint32_t sectors)
{
    uint8_t want[ATA_SECTOR];

    for (uint32_t s = 0; s < sectors; s++) {
        fill_pattern(want, first_sector + s, 1);
        assert_memory_equal(data + (size_t)s * ATA_SECTOR, want, ATA_SECTOR);
    }
}
