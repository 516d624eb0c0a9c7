/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the "ide" class: what they are, and how a drive takes them. */
#include "ide_options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_choices[] = {"disk", "cdrom", NULL};

/* Order: the bits of CMOS cell 39h. */
static const char *const translation_choices[] = {"none", "lba", "large", "rechs", "auto", NULL};

static const struct bp_prop drive_props[] = {
    {.name = "channel",
     .type = BP_PROP_UINT,
     .flags = BP_PROP_REQUIRED,
     .max = IDE_CHANNELS - 1,
     .help = "0: primary (ports 1F0h, IRQ 14); 1: secondary (170h, IRQ 15)"},
    {.name = "unit",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = IDE_UNITS - 1,
     .help = "0: device 0 (master); 1: device 1 (slave)"},
    {.name = "disk",
     .type = BP_PROP_BACKEND,
     .help = "a hard disk: backend that holds the sectors"},
    {.name = "cdrom",
     .type = BP_PROP_BACKEND,
     .help = "a CD/DVD drive: backend that is the medium in it at the start"},
    {.name = "kind",
     .type = BP_PROP_ENUM,
     .choices = kind_choices,
     .help =
         "\"cdrom\" without a backend: an empty drive. Default: what the backend's option says"},
    {.name = "serial",
     .type = BP_PROP_STRING,
     .max = 20,
     .help = "serial number, up to 20 characters; by default made of the instance's id and place"},
    {.name = "model",
     .type = BP_PROP_STRING,
     .max = 40,
     .help = "model number. Default: \"Backplane disk\" or \"Backplane CD/DVD\""},
    {.name = "firmware",
     .type = BP_PROP_STRING,
     .def = "1.0",
     .max = 8,
     .help = "firmware revision"},
    {.name = "wwn",
     .type = BP_PROP_STRING,
     .max = 18,
     .help = "world wide name, 16 hexadecimal digits (\"0x5000c500a1b2c3d4\")"},
    {.name = "rotation_rate",
     .type = BP_PROP_UINT,
     .max = 0xfffe,
     .help = "0: not told; 1: solid state; 1025-65534: revolutions per minute. Default: from the "
             "backend"},
    {.name = "physical_block_size",
     .type = BP_PROP_SIZE,
     .min = 512,
     .max = 1 << 20,
     .help = "bytes of a physical sector, a power of two. Default: the backend's"},
    {.name = "cylinders",
     .type = BP_PROP_UINT,
     .max = 65535,
     .help = "default translation: cylinders; with heads and sectors. Default: from the capacity"},
    {.name = "heads", .type = BP_PROP_UINT, .max = 16, .help = "default translation: heads, 1-16"},
    {.name = "sectors",
     .type = BP_PROP_UINT,
     .max = 63,
     .help = "default translation: sectors per track, 1-63"},
    {.name = "translation",
     .type = BP_PROP_ENUM,
     .def = "auto",
     .choices = translation_choices,
     .help = "how firmware makes INT 13h addresses of the disk's; auto: none or lba, as the "
             "geometry needs"},
    {.name = "logical_cylinders",
     .type = BP_PROP_UINT,
     .max = 1024,
     .help = "geometry that firmware shows by INT 13h, with logical_heads and logical_sectors"},
    {.name = "logical_heads", .type = BP_PROP_UINT, .max = 255, .help = "likewise: heads, 1-255"},
    {.name = "logical_sectors",
     .type = BP_PROP_UINT,
     .max = 63,
     .help = "likewise: sectors per track, 1-63"},
    {.name = "guess_geometry",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "take the geometry out of the disk's partition table, if nothing else is given"},
    {.name = "write_cache",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "write cache after power-on; off: a write is on stable storage when it completes"},
    {.name = "discard",
     .type = BP_PROP_BOOL,
     .def = "true",
     .help = "offer TRIM if the backend can discard"},
    BP_ON_ERROR_PROPS,
    {.name = NULL},
};

static const struct bp_prop drive_element = {
    .name = "drive", .type = BP_PROP_GROUP, .children = drive_props, .help = "one drive"};

static const char *const chip_choices[] = {"piix3", "piix4", NULL};

const struct bp_prop ide_props[] = {
    {.name = "chip",
     .type = BP_PROP_ENUM,
     .def = "piix3",
     .choices = chip_choices,
     .help =
         "which function to be: a PIIX4's (8086:7111) has Ultra DMA for drivers that ask the chip"},
    {.name = "drives",
     .type = BP_PROP_LIST,
     .children = &drive_element,
     .max = 4,
     .help = "up to two drives on each of two channels"},
    {.name = NULL},
};

/* A string option for IDENTIFY: printable ASCII (ATA/ATAPI-7 V1, 3.2.9). */
static int32_t
take_string(struct ide *ide, const struct bp_node *group, const char *name, char *out, size_t size)
{
    const char *text = bp_option_str(&ide->host, group, name, NULL);

    for (const char *c = text; c != NULL && *c != '\0'; c++) {
        if (!isascii((unsigned char)*c) || !isprint((unsigned char)*c)) {
            return bp_fail(&ide->host, -EINVAL, bp_option(&ide->host, group, name),
                           "%s may have printable ASCII characters only", name);
        }
    }
    if (text != NULL) {
        (void)snprintf(out, size, "%s", text);
    }
    return 0;
}

/* 16 hexadecimal digits, maybe after "0x"; 0 if they are something else. */
static uint64_t
parse_wwn(const char *text)
{
    const char *digits = strncmp(text, "0x", 2) == 0 ? text + 2 : text;

    if (strlen(digits) != 16 || strspn(digits, "0123456789abcdefABCDEF") != 16) {
        return 0;
    }
    return strtoull(digits, NULL, 16);
}

static int32_t
take_wwn(struct ide *ide, const struct bp_node *group, struct ata_options *options)
{
    const char *text = bp_option_str(&ide->host, group, "wwn", NULL);

    if (text == NULL) {
        return 0;
    }
    options->wwn = parse_wwn(text);
    if (options->wwn == 0) {
        return bp_fail(&ide->host, -EINVAL, bp_option(&ide->host, group, "wwn"),
                       "\"%s\" is not 16 hexadecimal digits", text);
    }
    return 0;
}

static int32_t
take_geometry(struct ide *ide, const struct bp_node *group, struct ata_options *options)
{
    uint32_t given, logical;

    options->cylinders = (uint32_t)bp_option_u64(&ide->host, group, "cylinders", 0);
    options->heads = (uint32_t)bp_option_u64(&ide->host, group, "heads", 0);
    options->sectors = (uint32_t)bp_option_u64(&ide->host, group, "sectors", 0);
    given = (options->cylinders != 0) + (options->heads != 0) + (options->sectors != 0);
    if (given != 0 && given != 3) {
        return bp_fail(&ide->host, -EINVAL, group,
                       "cylinders, heads and sectors must be given together, none of them 0");
    }
    options->logical_cylinders = (uint32_t)bp_option_u64(&ide->host, group, "logical_cylinders", 0);
    options->logical_heads = (uint32_t)bp_option_u64(&ide->host, group, "logical_heads", 0);
    options->logical_sectors = (uint32_t)bp_option_u64(&ide->host, group, "logical_sectors", 0);
    logical = (options->logical_cylinders != 0) + (options->logical_heads != 0) +
              (options->logical_sectors != 0);
    if (logical != 0 && logical != 3) {
        return bp_fail(&ide->host, -EINVAL, group,
                       "logical_cylinders, logical_heads and logical_sectors must be given "
                       "together, none of them 0");
    }
    options->translation = bp_option_choice(&ide->host, group, "translation", translation_choices,
                                            ATA_TRANSLATION_AUTO);
    options->guess_geometry = (uint8_t)bp_option_bool(&ide->host, group, "guess_geometry", 0);
    return 0;
}

static int32_t
take_numbers(struct ide *ide, const struct bp_node *group, struct ata_options *options)
{
    uint64_t rate = bp_option_u64(&ide->host, group, "rotation_rate", ATA_ROTATION_UNSET);
    uint64_t size = bp_option_u64(&ide->host, group, "physical_block_size", 0);

    if (rate != ATA_ROTATION_UNSET && rate > 1 && rate < 1025) {
        return bp_fail(&ide->host, -EINVAL, bp_option(&ide->host, group, "rotation_rate"),
                       "%u is not 0, 1 or at least 1025", (unsigned)rate);
    }
    if ((size & (size - 1)) != 0) {
        return bp_fail(&ide->host, -EINVAL, bp_option(&ide->host, group, "physical_block_size"),
                       "%u is not a power of two", (unsigned)size);
    }
    options->rotation_rate = (uint32_t)rate;
    options->physical_size = (uint32_t)size;
    options->write_cache = (uint8_t)bp_option_bool(&ide->host, group, "write_cache", 1);
    options->discard = (uint8_t)bp_option_bool(&ide->host, group, "discard", 1);
    options->on_error = bp_on_error_options(&ide->host, group);
    return 0;
}

/* Disk or CD; refuses what contradicts itself, and options that mean nothing to a CD drive. */
static int32_t
take_kind(struct ide *ide, const struct bp_node *group, struct ide_drive_options *options)
{
    static const char *const of_disks[] = {
        "rotation_rate", "physical_block_size", "cylinders",     "heads",
        "sectors",       "logical_cylinders",   "logical_heads", "logical_sectors"};
    const struct bp_node *disk = bp_option(&ide->host, group, "disk");
    const struct bp_node *cdrom = bp_option(&ide->host, group, "cdrom");
    const char *kind = bp_option_str(&ide->host, group, "kind", cdrom != NULL ? "cdrom" : "disk");

    options->slot = strcmp(kind, "cdrom") == 0 ? IDE_SLOT_CDROM : IDE_SLOT_DISK;
    if (disk != NULL && (cdrom != NULL || options->slot == IDE_SLOT_CDROM)) {
        return bp_fail(&ide->host, -EINVAL, group, "a drive is either a disk or a cdrom");
    }
    if (options->slot == IDE_SLOT_DISK && disk == NULL) {
        return bp_fail(&ide->host, -EINVAL, group,
                       "which backend? Give disk or cdrom (an empty drive: kind = \"cdrom\")");
    }
    for (uint32_t i = 0; options->slot == IDE_SLOT_CDROM && i < BP_ARRAY_LENGTH(of_disks); i++) {
        const struct bp_node *node = bp_option(&ide->host, group, of_disks[i]);
        if (node != NULL) {
            return bp_fail(&ide->host, -EINVAL, node, "%s is for disks", of_disks[i]);
        }
    }
    options->is_empty = cdrom == NULL && disk == NULL;
    return 0;
}

static int32_t
take_identity(struct ide *ide, const struct bp_node *group, struct ide_drive_options *options)
{
    struct ata_options *ata = &options->ata;
    int32_t r;

    (void)snprintf(ata->serial, sizeof(ata->serial), "%.15s-%u-%u", ide->id, options->channel,
                   options->unit);
    (void)snprintf(ata->model, sizeof(ata->model), "Backplane %s",
                   options->slot == IDE_SLOT_DISK ? "disk" : "CD/DVD");
    r = take_string(ide, group, "serial", ata->serial, sizeof(ata->serial));
    if (r == 0) {
        r = take_string(ide, group, "model", ata->model, sizeof(ata->model));
    }
    if (r == 0) {
        r = take_string(ide, group, "firmware", ata->firmware, sizeof(ata->firmware));
    }
    return r == 0 ? take_wwn(ide, group, ata) : r;
}

uint8_t
ide_options_piix4(struct ide *ide, const struct bp_node *config)
{
    return strcmp(bp_option_str(&ide->host, config, "chip", "piix3"), "piix4") == 0;
}

int32_t
ide_options_drive(struct ide *ide, const struct bp_node *group, struct ide_drive_options *options)
{
    int32_t r;

    options->channel = (uint32_t)bp_option_u64(&ide->host, group, "channel", 0);
    options->unit = (uint32_t)bp_option_u64(&ide->host, group, "unit", 0);
    if (options->channel >= IDE_CHANNELS || options->unit >= IDE_UNITS) {
        return bp_fail(&ide->host, -EINVAL, group, "there is no such place");
    }
    r = take_kind(ide, group, options);
    if (r == 0) {
        r = take_identity(ide, group, options);
    }
    if (r == 0) {
        r = take_geometry(ide, group, &options->ata);
    }
    return r == 0 ? take_numbers(ide, group, &options->ata) : r;
}
