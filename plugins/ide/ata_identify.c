/* SPDX-License-Identifier: Apache-2.0 */
/* The 256 words of IDENTIFY DEVICE (ATA/ATAPI-7 V1, 6.17; words 69, 105, 106, 169, 209, 217:
 * ACS-2). Each word tells what the disk really does. */
#include "ata_disk.h"

#include <string.h>

void
ide_words_string(struct ide_words *id, uint32_t first, uint32_t count, const char *text)
{
    size_t length = strlen(text);

    for (uint32_t i = 0; i < count * 2; i++) {
        uint16_t c = i < length ? (uint8_t)text[i] : ' ';
        id->w[first + i / 2] |= (uint16_t)((i & 1) ? c : c << 8);
    }
}

void
ide_words_store(const struct ide_words *id, uint8_t *page)
{
    uint8_t sum = 0;

    for (uint32_t i = 0; i < 256; i++) {
        bp_store_le(page + (size_t)2 * i, 2, id->w[i]);
    }
    page[510] = 0xa5; /* the checksum is valid */
    for (uint32_t i = 0; i < 511; i++) {
        sum = (uint8_t)(sum + page[i]);
    }
    page[511] = (uint8_t)-sum;
}

static void
put_u32(struct ide_words *id, uint32_t first, uint32_t value)
{
    id->w[first] = (uint16_t)value;
    id->w[first + 1] = (uint16_t)(value >> 16);
}

static void
put_geometry(const struct ata_disk *disk, struct ide_words *id)
{
    const struct ata_settings *s = &disk->settings;
    uint32_t cylinders, heads, sectors;
    uint64_t lba28 = disk->sectors < 0x0fffffff ? disk->sectors : 0x0fffffff;

    ata_geometry_default(disk, &cylinders, &heads, &sectors);
    id->w[1] = (uint16_t)cylinders;
    id->w[3] = (uint16_t)heads;
    id->w[4] =
        (uint16_t)(ATA_SECTOR * sectors); /* obsolete: unformatted bytes of a track, sector */
    id->w[5] = ATA_SECTOR;
    id->w[6] = (uint16_t)sectors;
    id->w[54] = s->cylinders;
    id->w[55] = s->heads;
    id->w[56] = s->sectors;
    put_u32(id, 57, (uint32_t)s->cylinders * s->heads * s->sectors);
    put_u32(id, 60, (uint32_t)lba28);
    if (ata_has(disk, ATA_DCO_48BIT)) {
        put_u32(id, 100, (uint32_t)disk->sectors);
        put_u32(id, 102, (uint32_t)(disk->sectors >> 32));
    }
}

void
ide_words_dma_modes(struct ide_words *id, uint8_t mode)
{
    uint16_t selected = (uint16_t)(0x100u << (mode & 7));

    id->w[62] = (uint16_t)(0x0007 | ((mode & 0xf8) == 0x10 ? selected : 0));
    id->w[63] = (uint16_t)(0x0007 | ((mode & 0xf8) == 0x20 ? selected : 0));
    id->w[88] = (uint16_t)(0x003f | ((mode & 0xf8) == 0x40 ? selected : 0));
}

static void
put_transfer_modes(const struct ata_disk *disk, struct ide_words *id)
{
    id->w[47] = 0x8000 | ATA_MAX_MULTIPLE;
    id->w[48] = 0x0001; /* doubleword I/O, as ATA-1 has it */
    id->w[49] = 0x2f00; /* DMA, LBA, IORDY (can be disabled), standard standby timer */
    id->w[50] = 0x4000;
    id->w[51] = 0x0200; /* obsolete: PIO mode 2, DMA mode 2 */
    id->w[52] = 0x0200;
    id->w[53] = 0x0007; /* words 54-58, 64-70 and 88 are valid */
    id->w[59] = disk->settings.multiple != 0 ? 0x0100 | disk->settings.multiple : 0;
    ide_words_dma_modes(id, disk->settings.dma_mode);
    id->w[63] &= 0xff00 | disk->dco.multiword;
    id->w[88] &= 0xff00 | disk->dco.ultra;
    id->w[64] = 0x0003;                                  /* PIO modes 3 and 4 */
    id->w[65] = id->w[66] = id->w[67] = id->w[68] = 120; /* ns per cycle */
}

/* What the overlay leaves of words 82 to 84: bits of its word 7 and those that go with them. */
struct hidden {
    uint16_t features;
    uint16_t words[3];
};

static const struct hidden hideable[] = {
    {ATA_DCO_SMART, {0x0001, 0, 0}},
    {ATA_DCO_SMART_SELFTEST, {0, 0, 0x0002}},
    {ATA_DCO_SMART_ERRORS, {0, 0, 0x0001}},
    {ATA_DCO_SECURITY, {0x0002, 0, 0}},
    {ATA_DCO_AAM, {0, 0x0200, 0}},
    {ATA_DCO_HPA, {0x0400, 0x0100, 0}}, /* SET MAX, and its security */
    {ATA_DCO_48BIT, {0, 0x2400, 0}},    /* FLUSH CACHE EXT, too */
    {ATA_DCO_STREAMS, {0, 0, 0x0610}},  /* both urgent bits */
    {ATA_DCO_FUA | ATA_DCO_48BIT, {0, 0, 0x0040}},
};

/* Command sets: supported 82-84. */
static void
put_supported(const struct ata_disk *disk, struct ide_words *id)
{
    /* NOP, READ BUFFER, WRITE BUFFER, HPA, look-ahead, write cache, power management, security,
     * SMART */
    id->w[82] = 0x746b;
    /* FLUSH CACHE EXT, FLUSH CACHE, overlay, 48-bit, AAM, SET MAX security, APM */
    id->w[83] = 0x7f08;
    /* streams with urgency, FUA writes, logging, SMART self-test and error log */
    id->w[84] = disk->options.wwn != 0 ? 0x4773 : 0x4673;
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(hideable); i++) {
        for (uint32_t word = 0; word < 3 && !ata_has(disk, hideable[i].features); word++) {
            id->w[82 + word] &= (uint16_t)~hideable[i].words[word];
        }
    }
}

/* Enabled 85-87: what is supported and not switched off. Bit 15 of 86: words 119 and 120 exist. */
static void
put_enabled(const struct ata_disk *disk, struct ide_words *id)
{
    const struct ata_settings *s = &disk->settings;
    uint16_t off[3] = {
        (uint16_t)((s->look_ahead ? 0 : 0x0040) | (s->write_cache ? 0 : 0x0020) |
                   (disk->security.enabled ? 0 : 0x0002) | (s->smart ? 0 : 0x0001)),
        (uint16_t)((s->aam != 0 ? 0 : 0x0200) | (disk->max_lock.active ? 0 : 0x0100) |
                   (s->apm != 0 ? 0 : 0x0008)),
        ata_stream_configured(disk) ? 0 : 0x0010,
    };

    for (uint32_t i = 0; i < 3; i++) {
        id->w[85 + i] = (uint16_t)(id->w[82 + i] & ~off[i]);
    }
    id->w[86] = (uint16_t)((id->w[86] & 0x3fff) | 0x8000);
}

/* Words 95 to 99 and 104. */
static void
put_streaming(struct ide_words *id)
{
    id->w[95] = ATA_STREAM_MIN_SECTORS;
    id->w[96] = id->w[104] = ATA_STREAM_SECTOR_TIME;
    id->w[97] = ATA_STREAM_LATENCY;
    put_u32(id, 98, ATA_STREAM_UNIT_US);
}

static void
put_command_sets(const struct ata_disk *disk, struct ide_words *id)
{
    const struct ata_settings *s = &disk->settings;

    id->w[80] = 0x00f0; /* ATA/ATAPI-4 to -7 */
    id->w[81] = 0x001d; /* ATA/ATAPI-7 as published */
    put_supported(disk, id);
    put_enabled(disk, id);
    if (ata_has(disk, ATA_DCO_SECURITY)) {
        id->w[89] = id->w[90] = 1; /* SECURITY ERASE UNIT: two minutes at most */
        id->w[92] = disk->security.revision;
        id->w[128] = ata_security_word(disk);
    }
    id->w[91] = s->apm;
    id->w[94] = ata_has(disk, ATA_DCO_AAM) ? (uint16_t)(0x8000 | s->aam) : 0;
    if (ata_has(disk, ATA_DCO_STREAMS)) {
        put_streaming(id);
    }
    id->w[119] = id->w[120] = 0x4008; /* READ and WRITE LOG DMA EXT */
}

/* The result of the hardware reset: 80-conductor cable, devices chosen by jumper, diagnostics
 * passed. */
uint16_t
ide_words_reset_result(const struct ide_device *device)
{
    const struct ide_device *other = device->channel->devices[1];

    if (device->unit == 1) {
        return 0x6b00; /* asserted PDIAG- */
    }
    return other != NULL ? 0x603b  /* saw DASP- and PDIAG- */
                         : 0x604b; /* answers for device 1 */
}

static void
put_medium(const struct ata_disk *disk, struct ide_words *id)
{
    uint32_t size =
        disk->options.physical_size != 0 ? disk->options.physical_size : disk->io.physical_size;
    uint16_t shift = 0;

    while (shift < 15 && ((uint64_t)ATA_SECTOR << (shift + 1)) <= size) {
        shift++;
    }
    id->w[69] = 0x0c00; /* READ and WRITE BUFFER DMA */
    id->w[106] = (uint16_t)(0x4000 | (shift != 0 ? 0x2000 | shift : 0));
    id->w[209] = shift != 0 ? 0x4000 : 0; /* logical sector 0 begins a physical one */
    id->w[217] = disk->options.rotation_rate != ATA_ROTATION_UNSET
                     ? (uint16_t)disk->options.rotation_rate
                     : (disk->io.rotational ? 7200 : 1);
    for (uint32_t i = 0; i < 4; i++) {
        id->w[108 + i] = (uint16_t)(disk->options.wwn >> (48 - 16 * i));
    }
    if (disk->io.can_discard && disk->options.discard) {
        id->w[69] |=
            disk->io.zero_discard ? 0x4020 : 0; /* reads after TRIM are deterministic, zero */
        id->w[105] = ATA_TRIM_BLOCKS;
        id->w[169] = 0x0001;
    }
}

void
ata_identify(const struct ata_disk *disk, uint8_t *page)
{
    struct ide_words id = {{0}};

    id.w[0] = 0x0040; /* ATA, not removable */
    put_geometry(disk, &id);
    ide_words_string(&id, 10, 10, disk->options.serial);
    id.w[20] = 3; /* obsolete: dual-ported buffer with read caching, its sectors, ECC bytes */
    id.w[21] = ATA_BUFFER_SECTORS;
    id.w[22] = 4;
    ide_words_string(&id, 23, 4, disk->options.firmware);
    ide_words_string(&id, 27, 20, disk->options.model);
    put_transfer_modes(disk, &id);
    put_command_sets(disk, &id);
    id.w[93] = ide_words_reset_result(&disk->device);
    put_medium(disk, &id);
    id.w[222] = 0x0002; /* parallel, ATA/ATAPI-7 */
    ide_words_store(&id, page);
}
