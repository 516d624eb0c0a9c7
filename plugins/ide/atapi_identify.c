/* SPDX-License-Identifier: Apache-2.0 */
/* The 256 words of IDENTIFY PACKET DEVICE (ATA/ATAPI-7 V1, 6.18). */
#include "atapi.h"

/* NOP, DEVICE RESET, PACKET, power management */
#define COMMAND_SET_1 0x4218u
/* FLUSH CACHE */
#define COMMAND_SET_2 0x1000u

void
atapi_identify(const struct atapi *cd, uint8_t *page)
{
    struct ide_words id = {{0}};
    uint16_t wwn = cd->options.wwn != 0 ? 0x0100 : 0;

    id.w[0] = 0x85c0; /* ATAPI, CD-ROM, removable, DRQ within 50 us of PACKET, 12-byte packets */
    ide_words_string(&id, 10, 10, cd->options.serial);
    ide_words_string(&id, 23, 4, cd->options.firmware);
    ide_words_string(&id, 27, 20, cd->options.model);
    id.w[48] = 0x0001; /* doubleword I/O, as ATA-1 has it */
    id.w[49] = 0x0f00; /* DMA, LBA, IORDY (can be disabled) */
    id.w[51] = 0x0200; /* obsolete: PIO mode 2 */
    id.w[53] = 0x0006; /* words 64-70 and 88 are valid */
    ide_words_dma_modes(&id, cd->dma_mode);
    id.w[62] = 0;                                    /* DMADIR is not needed in Features */
    id.w[64] = 0x0003;                               /* PIO modes 3 and 4 */
    id.w[65] = id.w[66] = id.w[67] = id.w[68] = 120; /* ns per cycle */
    id.w[80] = 0x00f0;                               /* ATA/ATAPI-4 to -7 */
    id.w[81] = 0x001d;                               /* ATA/ATAPI-7 as published */
    id.w[82] = id.w[85] = COMMAND_SET_1;
    id.w[83] = 0x4000 | COMMAND_SET_2;
    id.w[86] = COMMAND_SET_2;
    id.w[84] = id.w[87] = (uint16_t)(0x4000 | wwn);
    id.w[93] = ide_words_reset_result(&cd->device);
    for (uint32_t i = 0; i < 4; i++) {
        id.w[108 + i] = (uint16_t)(cd->options.wwn >> (48 - 16 * i));
    }
    id.w[222] = 0x0002; /* parallel, ATA/ATAPI-7 */
    ide_words_store(&id, page);
}
