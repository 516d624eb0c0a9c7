/* SPDX-License-Identifier: Apache-2.0 */
/* The primary master by READ/WRITE SECTORS (one interrupt-less DRQ block a sector) and READ/WRITE
 * DMA, polled, LBA28. The depth is 1: ATA without queues has no other. */
#include "guest.h"

#define SECTOR          512u
#define SECTORS_MAX     256u
#define COMMAND_BLOCK   0x1f0
#define REG_DATA        (COMMAND_BLOCK + 0)
#define REG_COUNT       (COMMAND_BLOCK + 2)
#define REG_LBA_LOW     (COMMAND_BLOCK + 3)
#define REG_LBA_MID     (COMMAND_BLOCK + 4)
#define REG_LBA_HIGH    (COMMAND_BLOCK + 5)
#define REG_DEVICE      (COMMAND_BLOCK + 6)
#define REG_STATUS      (COMMAND_BLOCK + 7)
#define REG_CONTROL     0x3f6
#define STATUS_BSY      0x80
#define STATUS_DF       0x20
#define STATUS_DRQ      0x08
#define STATUS_ERR      0x01
#define CONTROL_NIEN    0x02
#define DEVICE_LBA      0xe0
#define READ_SECTORS    0x20
#define WRITE_SECTORS   0x30
#define READ_DMA        0xc8
#define WRITE_DMA       0xca
#define IDENTIFY_DEVICE 0xec
#define BM_COMMAND      0
#define BM_STATUS       2
#define BM_PRD_TABLE    4
#define BM_START        0x01
#define BM_TO_MEMORY    0x08
#define BM_ACTIVE       0x01
#define BM_ERROR        0x02
#define BM_INTERRUPT    0x04
#define PRD_BYTES_MAX   0x10000u
#define PRD_END         (1u << 31)

static uint32_t prd_table[8] __attribute__((aligned(64)));

static uint8_t
wait_status(void)
{
    uint8_t status;

    while ((status = inb(REG_STATUS)) & STATUS_BSY) {
        relax();
    }
    if (status & (STATUS_ERR | STATUS_DF)) {
        fail("the disk reports an error");
    }
    return status;
}

static void
wait_data(void)
{
    while (!(wait_status() & STATUS_DRQ)) {
        relax();
    }
}

static void
start(uint8_t command, uint64_t lba, uint32_t sectors)
{
    outb(REG_COUNT, (uint8_t)sectors);
    outb(REG_LBA_LOW, (uint8_t)lba);
    outb(REG_LBA_MID, (uint8_t)(lba >> 8));
    outb(REG_LBA_HIGH, (uint8_t)(lba >> 16));
    outb(REG_DEVICE, (uint8_t)(DEVICE_LBA | (lba >> 24 & 15)));
    outb(REG_STATUS, command);
}

/* Sectors that LBA28 commands reach. */
static uint64_t
capacity(void)
{
    static uint16_t words[256];

    outb(REG_CONTROL, CONTROL_NIEN);
    start(IDENTIFY_DEVICE, 0, 0);
    wait_data();
    in_words(REG_DATA, words, 256);
    return words[60] | (uint64_t)words[61] << 16;
}

static void
pio_request(const Case *c, uint64_t lba, uint32_t sectors)
{
    uint8_t *buffer = (uint8_t *)(uintptr_t)BUFFERS_ADDRESS;

    start(c->write ? WRITE_SECTORS : READ_SECTORS, lba, sectors);
    for (uint32_t i = 0; i < sectors; i++) {
        wait_data();
        if (c->write) {
            out_words(REG_DATA, buffer + i * SECTOR, SECTOR / 2);
        } else {
            in_words(REG_DATA, buffer + i * SECTOR, SECTOR / 2);
        }
    }
    if (c->write) {
        (void)wait_status();
    }
}

static void
fill_prd_table(uint32_t bytes)
{
    uint32_t at = 0;

    for (uint32_t i = 0; at < bytes; i += 2) {
        uint32_t part = bytes - at < PRD_BYTES_MAX ? bytes - at : PRD_BYTES_MAX;

        prd_table[i] = BUFFERS_ADDRESS + at;
        at += part;
        prd_table[i + 1] = (part & 0xffff) | (at == bytes ? PRD_END : 0);
    }
}

static void
dma_request(const Case *c, uint16_t master, uint64_t lba, uint32_t sectors)
{
    uint8_t direction = c->write ? 0 : BM_TO_MEMORY;
    uint8_t status;

    outb(master + BM_COMMAND, direction);
    outb(master + BM_STATUS, BM_INTERRUPT | BM_ERROR);
    start(c->write ? WRITE_DMA : READ_DMA, lba, sectors);
    outb(master + BM_COMMAND, direction | BM_START);
    while ((status = inb(master + BM_STATUS)) & BM_ACTIVE && !(status & BM_ERROR)) {
        relax();
    }
    outb(master + BM_COMMAND, direction);
    if (status & BM_ERROR) {
        fail("the bus master reports an error");
    }
    (void)wait_status();
}

static uint32_t
sectors_of(const Case *c)
{
    if (c->depth != 1 || c->size % SECTOR != 0 || c->size == 0 || c->size > SECTORS_MAX * SECTOR) {
        fail("ide: depth 1, sizes of 1 to 256 sectors");
    }
    return c->size / SECTOR;
}

void
ide_pio(const Case *c)
{
    uint32_t sectors = sectors_of(c);
    uint64_t blocks = capacity() / sectors;

    say_start("ide-pio");
    for (uint64_t i = 0; i < c->count; i++) {
        pio_request(c, case_block(c, i, blocks) * sectors, sectors);
    }
    say_end();
}

void
ide_dma(const Case *c)
{
    uint32_t sectors = sectors_of(c);
    uint64_t blocks = capacity() / sectors;
    uint32_t function = pci_find_class(0x0101);

    if (function == PCI_NONE) {
        fail("no IDE function");
    }
    pci_enable(function);
    uint16_t master = (uint16_t)pci_bar(function, 4);
    fill_prd_table(c->size);
    outl(master + BM_PRD_TABLE, (uint32_t)(uintptr_t)prd_table);
    say_start("ide-dma");
    for (uint64_t i = 0; i < c->count; i++) {
        dma_request(c, master, case_block(c, i, blocks) * sectors, sectors);
    }
    say_end();
}
