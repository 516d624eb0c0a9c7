/* SPDX-License-Identifier: Apache-2.0 */
#include "board/piix4_smbus.h"

#include <string.h>

/* Registers of the SMBus I/O space (290562, 7.3). */
enum {
    SMB_HST_STS = 0x0,
    SMB_SLV_STS = 0x1,
    SMB_HST_CNT = 0x2,
    SMB_BLK_DAT = 0x7,
};
#define HST_STS_DEV_ERR 0x04u
#define HST_STS_FAILED  0x10u
#define HST_STS_EVENTS  0x1Eu /* INTR, DEV_ERR, BUS_ERR, FAILED: write one to clear */
#define SLV_STS_EVENTS  0x3Cu
#define HST_CNT_INTEREN 0x01u
#define HST_CNT_KILL    0x02u
#define HST_CNT_START   0x40u /* reads 0 */
#define HST_CNT_STORED  0x1Fu

void
piix4_smbus_reset(Piix4Smbus *smbus)
{
    memset(smbus, 0, sizeof(*smbus));
}

static uint8_t *
next_block_byte(Piix4Smbus *smbus)
{
    unsigned index = smbus->block_index;

    smbus->block_index = (index + 1) % PIIX4_SMBUS_BLOCK;
    return &smbus->block[index];
}

uint8_t
piix4_smbus_read(Piix4Smbus *smbus, unsigned offset)
{
    switch (offset) {
    case SMB_HST_CNT: /* reading it starts the block buffer anew */
        smbus->block_index = 0;
        return smbus->registers[SMB_HST_CNT];
    case SMB_BLK_DAT:
        return *next_block_byte(smbus);
    default:
        return smbus->registers[offset];
    }
}

static void
write_control(Piix4Smbus *smbus, uint8_t value)
{
    smbus->registers[SMB_HST_CNT] = value & HST_CNT_STORED;
    if ((value & HST_CNT_KILL) != 0) {
        smbus->registers[SMB_HST_STS] |= HST_STS_FAILED;
    } else if ((value & HST_CNT_START) != 0) {
        smbus->registers[SMB_HST_STS] |= HST_STS_DEV_ERR;
    }
}

void
piix4_smbus_write(Piix4Smbus *smbus, unsigned offset, uint8_t value)
{
    switch (offset) {
    case SMB_HST_STS:
        smbus->registers[offset] &= (uint8_t) ~(value & HST_STS_EVENTS);
        return;
    case SMB_SLV_STS:
        smbus->registers[offset] &= (uint8_t) ~(value & SLV_STS_EVENTS);
        return;
    case SMB_HST_CNT:
        write_control(smbus, value);
        return;
    case SMB_BLK_DAT:
        *next_block_byte(smbus) = value;
        return;
    default:
        smbus->registers[offset] = value;
    }
}

bool
piix4_smbus_interrupt(const Piix4Smbus *smbus)
{
    return (smbus->registers[SMB_HST_CNT] & HST_CNT_INTEREN) != 0 &&
           (smbus->registers[SMB_HST_STS] & HST_STS_EVENTS) != 0;
}
