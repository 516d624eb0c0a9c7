/* SPDX-License-Identifier: Apache-2.0 */
/* Expansion ROM images: see pci_rom.h. A ROM is a row of images; each begins with 55h AAh and says
 * at 18h where its PCI data structure is, which names the function, the image's length and the last
 * one. */
#include "pci_rom.h"

#include <string.h>

enum {
    IMAGE_CHECKSUM = 6,  /* first byte behind the entry point's jump: free for the image's use */
    IMAGE_DATA = 0x18,   /* where the PCI data structure is */
    IMAGE_HEADER = 0x1a, /* bytes */
    DATA_VENDOR = 4,
    DATA_DEVICE = 6,
    DATA_LENGTH = 0x10, /* of the image, in units of 512 bytes */
    DATA_TYPE = 0x14,   /* of the code; PC-AT images have a checksum */
    DATA_LAST = 0x15,
    DATA_SIZE = 0x18,
    TYPE_PC_AT = 0,
    LAST_IMAGE = 0x80,
};

static uint16_t
get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

/* Stores an id. Returns what the sum of the bytes lost. */
static uint8_t
put_id(uint8_t *at, uint16_t id)
{
    uint8_t before = (uint8_t)(at[0] + at[1]);

    at[0] = (uint8_t)id;
    at[1] = (uint8_t)(id >> 8);
    return (uint8_t)(before - at[0] - at[1]);
}

void
pci_rom_adopt(uint8_t *rom, size_t length, uint16_t vendor_id, uint16_t device_id)
{
    while (length >= IMAGE_HEADER && rom[0] == 0x55 && rom[1] == 0xaa) {
        size_t at = get16(rom + IMAGE_DATA), image;
        uint8_t *data = rom + at, lost;

        if (at < IMAGE_HEADER || at + DATA_SIZE > length || memcmp(data, "PCIR", 4) != 0) {
            return;
        }
        lost = (uint8_t)(put_id(data + DATA_VENDOR, vendor_id) +
                         put_id(data + DATA_DEVICE, device_id));
        if (data[DATA_TYPE] == TYPE_PC_AT) {
            rom[IMAGE_CHECKSUM] = (uint8_t)(rom[IMAGE_CHECKSUM] + lost);
        }
        image = (size_t)get16(data + DATA_LENGTH) * 512;
        if ((data[DATA_LAST] & LAST_IMAGE) != 0 || image == 0 || image > length) {
            return;
        }
        rom += image;
        length -= image;
    }
}
