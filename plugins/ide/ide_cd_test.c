/* SPDX-License-Identifier: Apache-2.0 */
/* See ide_cd_test.h. */
#include "ide_cd_test.h"

struct rig
cd_rig(const char *drives)
{
    struct rig rig = {.th = th_new()};

    rig.disk = th_block_new(rig.th, "cd", (uint64_t)CD_BLOCKS * BLOCK);
    th_block_info(rig.disk)->flags |= BP_BLOCK_READONLY;
    fill_pattern(th_block_data(rig.disk), 0, CD_BLOCKS * 4);
    rig.other = th_block_new(rig.th, "two", (uint64_t)DISK_SECTORS * ATA_SECTOR);
    rig.ide = th_plug(rig.th, &backplane_plugin_v1, "ide0", drives);
    if (rig.ide == NULL) {
        fail_msg("cannot plug: %s", th_error_text(rig.th));
    }
    th_pci_place(rig.ide);
    rig_channel(&rig, 0);
    return rig;
}

struct rig
one_cd(void)
{
    return cd_rig("drives = ( { channel = 0; unit = 0; cdrom = \"cd\"; } );");
}

uint32_t
byte_count(struct rig *rig)
{
    return get(rig, ATA_REG_MID) | (uint32_t)get(rig, ATA_REG_HIGH) << 8;
}

void
start_packet(struct rig *rig, uint8_t features, uint16_t limit)
{
    put(rig, ATA_REG_ERROR, features);
    put(rig, ATA_REG_MID, (uint8_t)limit);
    put(rig, ATA_REG_HIGH, (uint8_t)(limit >> 8));
    put(rig, ATA_REG_STATUS, ATA_PACKET);
}

void
send_packet(struct rig *rig, uint8_t features, uint16_t limit, const uint8_t *cdb, uint32_t length)
{
    uint8_t packet[12] = {0};

    memcpy(packet, cdb, length);
    start_packet(rig, features, limit);
    assert_int_equal(irq(rig), 0); /* IDENTIFY word 0: no interrupt before the packet */
    assert_int_equal(alt_status(rig), IDLE | ATA_DRQ);
    assert_int_equal(get(rig, ATA_REG_COUNT), REASON_CD);
    data_out(rig, packet, 12);
}

void
expect_end(struct rig *rig, uint8_t error)
{
    assert_int_equal(irq(rig), 1);
    assert_int_equal(get(rig, ATA_REG_COUNT), REASON_CD | REASON_IO);
    assert_int_equal(status(rig), IDLE | (error != 0 ? ATA_ERR : 0));
    assert_int_equal(irq(rig), 0);
    assert_int_equal(get(rig, ATA_REG_ERROR), error);
}

void
take_burst(struct rig *rig, void *data, uint32_t bytes)
{
    assert_int_equal(irq(rig), 1);
    assert_int_equal(status(rig), IDLE | ATA_DRQ);
    assert_int_equal(irq(rig), 0);
    assert_int_equal(get(rig, ATA_REG_COUNT), REASON_IO);
    assert_int_equal(byte_count(rig), bytes);
    data_in(rig, data, (bytes + 1) & ~1u);
    th_run(rig->th);
}

uint32_t
sense(struct rig *rig)
{
    uint8_t data[18];

    PACKET(rig, 0, 18, 0x03, 0, 0, 0, 18, 0);
    take_burst(rig, data, 18);
    expect_end(rig, 0);
    return (uint32_t)(data[2] & 0xf) << 16 | (uint32_t)data[12] << 8 | data[13];
}

void
read10(struct rig *rig, uint8_t features, uint16_t limit, uint32_t block, uint16_t blocks)
{
    PACKET(rig, features, limit, 0x28, 0, (uint8_t)(block >> 24), (uint8_t)(block >> 16),
           (uint8_t)(block >> 8), (uint8_t)block, 0, (uint8_t)(blocks >> 8), (uint8_t)blocks, 0);
}
