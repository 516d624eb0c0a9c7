/* SPDX-License-Identifier: Apache-2.0 */
/* Device configuration overlay (ATA/ATAPI-7 V1, 4.16 and 6.10): hides modes, feature sets and the
 * end of the disk, as if it were another model. What is set outlives every reset, the freeze lock
 * too, but not the program: nothing is written to the image for it. */
#include "ata_disk.h"

#include <string.h>

#define DCO_RESTORE  0xc0u /* Features */
#define DCO_FREEZE   0xc1u
#define DCO_IDENTIFY 0xc2u
#define DCO_SET      0xc3u

#define WORD_REVISION  0u /* words of the structure (6.10.3, 6.10.4) */
#define WORD_MULTIWORD 1u
#define WORD_ULTRA     2u
#define WORD_MAX       3u /* 3 to 6: the last address */
#define WORD_FEATURES  7u

#define REVISION  2u
#define SIGNATURE 0xa5u /* byte 510; byte 511 makes the sum zero */

static const struct ata_dco nothing_hidden = {
    .multiword = ATA_MULTIWORD_MODES,
    .ultra = ATA_ULTRA_MODES,
    .features = ATA_DCO_ALL,
};

void
ata_dco_init(struct ata_disk *disk)
{
    disk->dco = nothing_hidden;
}

/* The best mode that is left: who selects none gets it. */
uint8_t
ata_dco_default_mode(const struct ata_disk *disk)
{
    uint8_t mode = disk->dco.ultra != 0 ? 0x45 : 0x22;
    uint8_t left = disk->dco.ultra != 0 ? disk->dco.ultra : disk->dco.multiword;

    while (!(left & 1u << (mode & 7))) {
        mode--; /* bit 0 is never missing alone */
    }
    return mode;
}

uint32_t
ata_dco_has_mode(const struct ata_disk *disk, uint8_t mode)
{
    uint8_t bit = (uint8_t)(1u << (mode & 7));

    return mode >> 3 == 8 ? disk->dco.ultra & bit : mode >> 3 == 4 ? disk->dco.multiword & bit : 1;
}

static uint32_t
protected_area(const struct ata_disk *disk)
{
    return disk->sectors != disk->native_sectors || disk->kept_sectors != disk->native_sectors;
}

/* --- DEVICE CONFIGURATION IDENTIFY ----------------------------------------------------------- */

/* What the disk could do, whatever is hidden. */
static void
identify(struct ata_disk *disk)
{
    uint8_t *page = disk->buffer;

    memset(page, 0, ATA_SECTOR);
    bp_store_le(page + (size_t)2 * WORD_REVISION, 2, REVISION);
    bp_store_le(page + (size_t)2 * WORD_MULTIWORD, 2, ATA_MULTIWORD_MODES);
    bp_store_le(page + (size_t)2 * WORD_ULTRA, 2, ATA_ULTRA_MODES);
    bp_store_le(page + (size_t)2 * WORD_MAX, 8, disk->capacity - 1);
    bp_store_le(page + (size_t)2 * WORD_FEATURES, 2, ATA_DCO_ALL);
    page[510] = SIGNATURE;
    ata_close_page(page);
    ata_page_start(disk, ATA_T_PAGE_IN, 1);
}

/* --- DEVICE CONFIGURATION SET ---------------------------------------------------------------- */

/* A mode is supported with all those below, and the needed ones stay. Returns the bits that cannot
 * be cleared. */
static uint16_t
modes_kept(uint32_t wanted, uint32_t all, uint32_t needed)
{
    for (uint32_t bit = 0; wanted >> bit != 0; bit++) {
        needed |= 1u << bit;
    }
    return (uint16_t)(needed & all & ~wanted);
}

/* The bit of the selected mode, if it is one of this kind (a value of SET FEATURES 03h). */
static uint32_t
selected_bit(const struct ata_disk *disk, uint8_t kind)
{
    uint8_t mode = disk->settings.dma_mode;

    return mode >> 3 == kind ? 1u << (mode & 7) : 0;
}

static uint16_t
features_kept(const struct ata_disk *disk, uint16_t wanted)
{
    uint16_t needed = 0;

    if (disk->settings.smart || (wanted & (ATA_DCO_SMART_SELFTEST | ATA_DCO_SMART_ERRORS))) {
        needed |= ATA_DCO_SMART;
    }
    if (disk->security.enabled) {
        needed |= ATA_DCO_SECURITY;
    }
    return (uint16_t)(needed & ~wanted);
}

/* Where the structure asks for what cannot be: the word's number, and its bits. */
static uint8_t
refuse(struct ata_disk *disk, uint8_t word, uint16_t bits)
{
    struct ide_registers *regs = &disk->device.regs;

    regs->low[0] = (uint8_t)bits;
    regs->mid[0] = (uint8_t)(bits >> 8);
    regs->high[0] = word;
    return ATA_ABRT;
}

/* The disk is another one from now on, with the translation that it begins with. */
static void
take_over(struct ata_disk *disk, const struct ata_dco *dco)
{
    uint32_t cylinders, heads, sectors;

    disk->dco = *dco;
    disk->native_sectors = ata_dco_sectors(disk);
    disk->sectors = disk->kept_sectors = disk->native_sectors;
    ata_geometry_default(disk, &cylinders, &heads, &sectors);
    disk->settings.cylinders = (uint16_t)cylinders;
    disk->settings.heads = (uint8_t)heads;
    disk->settings.sectors = (uint8_t)sectors;
    if (!(dco->features & ATA_DCO_AAM)) {
        disk->settings.aam = 0;
    }
    if (!(dco->features & ATA_DCO_HPA)) {
        ata_max_lock_reset(disk);
    }
    if (!ata_has(disk, ATA_DCO_STREAMS)) {
        ata_stream_reset(disk);
    }
}

/* The structure is whole; its words that ask for more than there is ask for all of it. */
static uint8_t
change(struct ata_disk *disk, const uint8_t *page)
{
    uint64_t sectors = bp_load_le(page + (size_t)2 * WORD_MAX, 8) + 1;
    struct ata_dco next = {
        .multiword = page[(size_t)2 * WORD_MULTIWORD] & ATA_MULTIWORD_MODES,
        .ultra = page[(size_t)2 * WORD_ULTRA] & ATA_ULTRA_MODES,
        .features = (uint16_t)(bp_load_le(page + (size_t)2 * WORD_FEATURES, 2) & ATA_DCO_ALL),
    };
    /* multiword mode 0 stays */
    uint16_t bits = modes_kept(next.multiword, ATA_MULTIWORD_MODES, selected_bit(disk, 4) | 1);

    if (bits != 0) {
        return refuse(disk, WORD_MULTIWORD, bits);
    }
    bits = modes_kept(next.ultra, ATA_ULTRA_MODES, selected_bit(disk, 8));
    if (bits != 0) {
        return refuse(disk, WORD_ULTRA, bits);
    }
    if (sectors == 0 || sectors > disk->capacity) {
        return refuse(disk, WORD_MAX, 0);
    }
    bits = features_kept(disk, next.features);
    if (bits != 0) {
        return refuse(disk, WORD_FEATURES, bits);
    }
    next.sectors = sectors == disk->capacity ? 0 : sectors;
    next.modified = next.sectors != 0 || next.multiword != ATA_MULTIWORD_MODES ||
                    next.ultra != ATA_ULTRA_MODES || next.features != ATA_DCO_ALL;
    take_over(disk, &next);
    return 0;
}

static uint32_t
structure_is_whole(const uint8_t *page)
{
    uint8_t sum = 0;

    for (uint32_t i = 0; i < ATA_SECTOR; i++) {
        sum = (uint8_t)(sum + page[i]);
    }
    return sum == 0 && page[510] == SIGNATURE;
}

/* Who has locked SET MAX does not want the end of the disk to move in this way, either. */
static uint32_t
may_change(const struct ata_disk *disk)
{
    return !protected_area(disk) && !disk->max_lock.locked && !disk->max_lock.frozen;
}

uint8_t
ata_dco_received(struct ata_disk *disk)
{
    refuse(disk, 0, 0); /* says where, if it says anything */
    if (disk->dco.modified || disk->dco.frozen || !may_change(disk) ||
        !structure_is_whole(disk->buffer)) {
        return ATA_ABRT;
    }
    return change(disk, disk->buffer);
}

/* --- the command ----------------------------------------------------------------------------- */

static void
restore(struct ata_disk *disk)
{
    if (!may_change(disk)) {
        ata_disk_abort(disk, ATA_ABRT);
        return;
    }
    if (disk->dco.modified) {
        take_over(disk, &nothing_hidden);
    }
    ata_disk_abort(disk, 0);
}

void
ata_dco(struct ata_disk *disk)
{
    uint8_t feature = disk->device.regs.features[0];
    uint32_t frozen = disk->dco.frozen;

    if (!frozen && feature == DCO_IDENTIFY) {
        identify(disk);
    } else if (!frozen && feature == DCO_SET && !disk->dco.modified && may_change(disk)) {
        ata_page_start(disk, ATA_T_PAGE_OUT, 1);
    } else if (!frozen && feature == DCO_RESTORE) {
        restore(disk);
    } else if (!frozen && feature == DCO_FREEZE) {
        disk->dco.frozen = 1;
        ata_disk_abort(disk, 0);
    } else {
        ata_disk_abort(disk, ATA_ABRT);
    }
}

uint64_t
ata_dco_sectors(const struct ata_disk *disk)
{
    return disk->dco.sectors != 0 ? bp_min_u64(disk->dco.sectors, disk->capacity) : disk->capacity;
}

uint32_t
ata_dco_valid(const struct ata_disk *disk)
{
    const struct ata_dco *dco = &disk->dco;

    return (dco->multiword == 1 || dco->multiword == 3 || dco->multiword == 7) &&
           (dco->ultra & (dco->ultra + 1)) == 0 && dco->ultra <= ATA_ULTRA_MODES &&
           (dco->features & ~ATA_DCO_ALL) == 0 && dco->sectors <= disk->capacity;
}
