/* SPDX-License-Identifier: Apache-2.0 */
/* SET FEATURES (ATA/ATAPI-7 V1, 6.47) and the power commands (4.15). */
#include "ata_disk.h"

void
ata_settings_default(struct ata_disk *disk)
{
    struct ata_settings *s = &disk->settings;
    uint32_t cylinders, heads, sectors;

    ata_geometry_default(disk, &cylinders, &heads, &sectors);
    *s = (struct ata_settings){
        .write_cache = disk->options.write_cache,
        .look_ahead = 1,
        .multiple = ATA_MAX_MULTIPLE,
        .dma_mode = ata_dco_default_mode(disk),
        .smart = 1,
        .smart_autosave = 1,
        .power = ATA_POWER_ACTIVE,
        .cylinders = (uint16_t)cylinders,
        .heads = (uint8_t)heads,
        .sectors = (uint8_t)sectors,
    };
}

/* Subcommand 03h: bits 7:3 say which kind of mode (table 44). */
uint8_t
ata_transfer_mode(uint8_t value, uint8_t *pio_mode, uint8_t *dma_mode)
{
    uint8_t mode = value & 7;

    switch (value >> 3) {
    case 0: /* default PIO mode, with IORDY (0) or without (1) */
        if (mode > 1) {
            return ATA_ABRT;
        }
        *pio_mode = 0;
        return 0;
    case 1: /* PIO flow control mode */
        if (mode > 4) {
            return ATA_ABRT;
        }
        *pio_mode = mode;
        return 0;
    case 2: /* single word DMA */
    case 4: /* multiword DMA */
        if (mode > 2) {
            return ATA_ABRT;
        }
        break;
    case 8: /* Ultra DMA */
        if (mode > 5) {
            return ATA_ABRT;
        }
        break;
    default:
        return ATA_ABRT;
    }
    *dma_mode = value;
    return 0;
}

uint8_t
ata_set_features(struct ata_disk *disk)
{
    struct ata_settings *s = &disk->settings;
    uint8_t value = disk->device.regs.count[0];

    switch (disk->device.regs.features[0]) {
    case 0x02:
        s->write_cache = 1;
        return 0;
    case 0x82:
        s->write_cache = 0;
        disk->transfer.kind = ATA_T_FLUSH;
        return 0;
    case 0x03:
        return ata_dco_has_mode(disk, value) ? ata_transfer_mode(value, &s->pio_mode, &s->dma_mode)
                                             : ATA_ABRT;
    case 0x05: /* advanced power management */
        if (value == 0 || value == 0xff) {
            return ATA_ABRT;
        }
        s->apm = value;
        return 0;
    case 0x85:
        s->apm = 0;
        return 0;
    case 0x42: /* automatic acoustic management */
    case 0xc2:
        s->aam = disk->device.regs.features[0] == 0x42 && ata_has(disk, ATA_DCO_AAM) ? value : 0;
        return ata_has(disk, ATA_DCO_AAM) ? 0 : ATA_ABRT;
    case 0x43: /* the host's own time for a sector: streams are not slower for it */
        return ata_has(disk, ATA_DCO_STREAMS) ? 0 : ATA_ABRT;
    case 0x55:
        s->look_ahead = 0;
        return 0;
    case 0xaa:
        s->look_ahead = 1;
        return 0;
    case 0x66:
        s->revert = 0;
        return 0;
    case 0xcc:
        s->revert = 1;
        return 0;
    case 0x67: /* obsolete settings of real drives that old drivers insist on */
    case 0x69:
    case 0x96:
    case 0x9a:
        return 0;
    default:
        return ATA_ABRT;
    }
}

/* --- power ----------------------------------------------------------------------------------- */

#define SECOND_NS UINT64_C(1000000000)

/* What a timer value of STANDBY and IDLE means (table 20), in seconds; 0: disabled. */
static uint64_t
standby_seconds(uint8_t value)
{
    if (value <= 240) {
        return value * UINT64_C(5);
    }
    if (value <= 251) {
        return (value - UINT64_C(240)) * 1800;
    }
    return value == 252 ? 21 * 60 : value == 253 ? 8 * 3600 : value == 254 ? 0 : 21 * 60 + 15;
}

void
ata_disk_touch(struct ata_disk *disk, uint32_t media)
{
    struct ide *ide = disk->device.ide;

    disk->active_ns = ide->host.timer->now(ide->host.instance, BP_CLOCK_VIRTUAL);
    if (media) {
        disk->settings.power = ATA_POWER_ACTIVE;
    }
}

/* The standby timer needs no timer: it is looked at when someone asks. */
static uint8_t
current_power(const struct ata_disk *disk)
{
    struct ide *ide = disk->device.ide;
    uint64_t seconds = standby_seconds(disk->settings.standby_timer);
    uint64_t idle = ide->host.timer->now(ide->host.instance, BP_CLOCK_VIRTUAL) - disk->active_ns;

    return seconds != 0 && idle >= seconds * SECOND_NS ? ATA_POWER_STANDBY : disk->settings.power;
}

/* Standby and sleep write the cache to the medium first. */
static void
flush_then(struct ata_disk *disk, uint8_t flag)
{
    disk->transfer.kind = ATA_T_FLUSH;
    disk->transfer.flags = flag;
    ata_transfer_advance(disk);
}

void
ata_power(struct ata_disk *disk, uint8_t opcode)
{
    struct ide_registers *regs = &disk->device.regs;

    switch (opcode) {
    case ATA_CHECK_POWER_MODE:
        regs->count[0] = current_power(disk);
        ata_disk_abort(disk, 0);
        return;
    case ATA_STANDBY:
        disk->settings.standby_timer = regs->count[0];
        /* fallthrough */
    case ATA_STANDBY_IMMEDIATE:
        flush_then(disk, ATA_TF_STANDBY);
        return;
    case ATA_SLEEP:
        flush_then(disk, ATA_TF_SLEEP | ATA_TF_STANDBY);
        return;
    case ATA_IDLE:
        disk->settings.standby_timer = regs->count[0];
        break;
    default:
        break;
    }
    ata_disk_touch(disk, 0);
    disk->settings.power = ATA_POWER_IDLE;
    ata_disk_abort(disk, 0);
}
