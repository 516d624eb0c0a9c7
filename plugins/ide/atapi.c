/* SPDX-License-Identifier: Apache-2.0 */
/* A CD/DVD drive: ATA commands, resets, life. */
#include "atapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGNATURE_MID  0x14u
#define SIGNATURE_HIGH 0xebu

/* --- commands -------------------------------------------------------------------------------- */

/* A command for disks: whoever tries learns by the signature what this is (ATA/ATAPI-7 V1,
 * IDENTIFY DEVICE, READ SECTORS: PACKET devices). */
static void
refuse_with_signature(struct atapi *cd)
{
    struct ide_registers *regs = &cd->device.regs;

    regs->count[0] = 1;
    regs->low[0] = 1;
    regs->mid[0] = SIGNATURE_MID;
    regs->high[0] = SIGNATURE_HIGH;
    ide_device_done(&cd->device, ATA_ABRT);
}

static uint8_t
set_features(struct atapi *cd)
{
    switch (cd->device.regs.features[0]) {
    case 0x03:
        return ata_transfer_mode(cd->device.regs.count[0], &cd->pio_mode, &cd->dma_mode);
    case 0x66:
    case 0xcc:
        cd->revert = cd->device.regs.features[0] == 0xcc;
        return 0;
    default:
        return ATA_ABRT;
    }
}

static void
identify(struct atapi *cd)
{
    memset(&cd->packet, 0, sizeof(cd->packet));
    cd->packet.phase = ATAPI_IDENTIFY;
    cd->packet.end = ATA_SECTOR;
    atapi_identify(cd, cd->buffer);
    ide_device_data(&cd->device, cd->buffer, ATA_SECTOR, 1, 1);
}

static void
power(struct atapi *cd, uint8_t opcode)
{
    switch (opcode) {
    case ATA_CHECK_POWER_MODE:
    case ATA_OLD_CHECK_POWER_MODE:
        cd->device.regs.count[0] = cd->power;
        break;
    case ATA_IDLE_IMMEDIATE:
    case ATA_OLD_IDLE_IMMEDIATE:
        cd->power = ATA_POWER_IDLE;
        break;
    case ATA_SLEEP:
    case ATA_OLD_SLEEP:
        cd->device.asleep = 1;
        cd->power = ATA_POWER_STANDBY;
        break;
    default:
        cd->power = ATA_POWER_STANDBY;
        break;
    }
    ide_device_done(&cd->device, 0);
}

static void
cd_command(struct ide_device *device, uint8_t opcode)
{
    struct atapi *cd = (struct atapi *)device;

    ide_device_busy(device);
    device->regs.error = 0;
    switch (opcode) {
    case ATA_PACKET:
        atapi_packet_start(cd);
        break;
    case ATA_IDENTIFY_PACKET_DEVICE:
        identify(cd);
        break;
    case ATA_IDENTIFY_DEVICE:
    case ATA_READ_SECTORS:
    case ATA_READ_SECTORS_ONCE:
        refuse_with_signature(cd);
        break;
    case ATA_STANDBY_IMMEDIATE:
    case ATA_OLD_STANDBY_IMMEDIATE:
    case ATA_IDLE_IMMEDIATE:
    case ATA_OLD_IDLE_IMMEDIATE:
    case ATA_CHECK_POWER_MODE:
    case ATA_OLD_CHECK_POWER_MODE:
    case ATA_SLEEP:
    case ATA_OLD_SLEEP:
        power(cd, opcode);
        break;
    case ATA_FLUSH_CACHE: /* nothing is ever in the cache */
        ide_device_done(device, 0);
        break;
    case ATA_SET_FEATURES:
        ide_device_done(device, set_features(cd));
        break;
    default:
        ide_device_done(device, ATA_ABRT);
        break;
    }
}

static void
cd_block_done(struct ide_device *device)
{
    atapi_packet_block_done((struct atapi *)device);
}

static void
cd_dma(struct ide_device *device)
{
    atapi_packet_dma((struct atapi *)device);
}

/* --- reset ----------------------------------------------------------------------------------- */

static void
settings_default(struct atapi *cd)
{
    cd->pio_mode = 0;
    cd->dma_mode = ATA_DEFAULT_DMA_MODE;
    cd->revert = 0;
}

static void
cd_abandon(struct ide_device *device)
{
    struct atapi *cd = (struct atapi *)device;

    atapi_packet_abandon(cd);
    cd->reset_due = 0;
    ide_device_abandon(device);
}

/* DRDY stays 0 until a command is carried out: so software tells a PACKET device (ATA/ATAPI-7 V1,
 * 5.14.2). */
static void
cd_reset(struct ide_device *device, uint32_t kind)
{
    struct atapi *cd = (struct atapi *)device;
    uint8_t selected = device->regs.device & ATA_DEVICE_DEV;

    device->asleep = 0;
    cd->power = ATA_POWER_ACTIVE;
    if (kind == IDE_RESET_HARD) {
        settings_default(cd);
        bp_scsi_unit_reset(&cd->unit, 0);
    } else if (kind == IDE_RESET_DEVICE) {
        bp_scsi_nexus_reset(&cd->nexus);
    } else if (kind == IDE_RESET_SOFT && cd->revert) {
        cd->revert = 0;
    }
    ide_device_signature(device, SIGNATURE_MID, SIGNATURE_HIGH);
    if (kind == IDE_RESET_DEVICE) {
        device->regs.device = selected;
    }
    if (cd->dropped) {
        cd->reset_due = 1;
    } else {
        device->regs.status = 0;
    }
}

static uint32_t
cd_in_flight(const struct ide_device *device)
{
    const struct atapi *cd = (const struct atapi *)device;

    return cd->dropped || (cd->packet.dma && cd->packet.window);
}

/* --- life ------------------------------------------------------------------------------------ */

static uint32_t
cd_busy(const struct ide_device *device)
{
    const struct atapi *cd = (const struct atapi *)device;

    return cd->unit.in_flight != 0;
}

static int32_t
cd_attach(struct ide_device *device, const struct bp_peer *peer)
{
    struct atapi *cd = (struct atapi *)device;
    int32_t r = bp_scsi_unit_attach(&cd->unit, peer->table, peer->self, device->ide->loop, 2);

    if (r != 0) {
        return bp_fail(&device->ide->host, r, NULL, "backend '%s' cannot be used as a CD: %s",
                       peer->id,
                       r == -EINVAL ? "it is smaller than a block, or its blocks are larger"
                                    : "it refused the connection");
    }
    atapi_tell_tray(cd);
    return 0;
}

static void
cd_drain(struct ide_device *device)
{
    struct atapi *cd = (struct atapi *)device;

    if (cd->unit.in_flight != 0) {
        bp_scsi_unit_drain(&cd->unit);
    }
}

static void
cd_detach(struct ide_device *device)
{
    struct atapi *cd = (struct atapi *)device;

    cd_drain(device);
    bp_scsi_unit_detach(&cd->unit);
    atapi_tell_tray(cd);
}

static void
cd_quiesce(struct ide_device *device)
{
    struct atapi *cd = (struct atapi *)device;

    bp_scsi_unit_hold(&cd->unit, 1);
}

static void
cd_retry(struct ide_device *device)
{
    struct atapi *cd = (struct atapi *)device;

    bp_scsi_unit_hold(&cd->unit, device->ide->quiescing);
    if (device->ide->quiescing) {
        return;
    }
    if (cd->restored) {
        cd->restored = 0;
        atapi_packet_resume(cd);
    }
    bp_scsi_unit_retry(&cd->unit);
}

static void
cd_destroy(struct ide_device *device)
{
    struct atapi *cd = (struct atapi *)device;

    ide_sg_done(&cd->sg);
    free(cd->page);
    free(cd);
}

static const struct ide_device_ops atapi_ops = {
    .command = cd_command,
    .block_done = cd_block_done,
    .dma = cd_dma,
    .abandon = cd_abandon,
    .reset = cd_reset,
    .in_flight = cd_in_flight,
    .busy = cd_busy,
    .attach = cd_attach,
    .detach = cd_detach,
    .drain = cd_drain,
    .quiesce = cd_quiesce,
    .retry = cd_retry,
    .destroy = cd_destroy,
    .save = atapi_save,
    .load = atapi_load,
};

static void
init_unit(struct atapi *cd, uint8_t *arena)
{
    struct bp_scsi_unit_args args = {
        .services = &cd->device.ide->host,
        .identity = {.type = BP_SCSI_TYPE_CDROM, .flags = BP_SCSI_LENIENT | BP_SCSI_ATAPI},
        .port = &atapi_port,
        .opaque = cd,
        .arena = arena,
    };

    (void)snprintf(args.identity.vendor, sizeof(args.identity.vendor), "BACKPLNE");
    (void)snprintf(args.identity.product, sizeof(args.identity.product), "%.16s",
                   cd->options.model);
    (void)snprintf(args.identity.revision, sizeof(args.identity.revision), "%.4s",
                   cd->options.firmware);
    (void)snprintf(args.identity.serial, sizeof(args.identity.serial), "%.20s", cd->options.serial);
    args.identity.wwn = cd->options.wwn;
    bp_scsi_unit_init(&cd->unit, &args);
    bp_scsi_nexus_init(&cd->nexus, &cd->unit, BP_SCSI_KEEP_SENSE);
}

int32_t
atapi_new(struct ide *ide, const struct ata_options *options, uint32_t index,
          struct ide_device **device)
{
    struct atapi *cd = calloc(1, sizeof(*cd));
    void *memory = NULL;
    int32_t r;

    if (cd == NULL) {
        return -ENOMEM;
    }
    cd->device.ops = &atapi_ops;
    cd->device.ide = ide;
    cd->device.slot = IDE_SLOT_CDROM;
    cd->index = index;
    cd->options = *options;
    *device = &cd->device;
    cd->page = calloc(1, BP_SCSI_PAGE_BYTES);
    r = cd->page != NULL ? ide_sg_init(&cd->sg) : -ENOMEM;
    if (r == 0) {
        r = ide->host.memory->arena_alloc(ide->host.instance, index,
                                          ATAPI_BUFFER_BYTES + BP_SCSI_ARENA_BYTES, 4096, &memory);
    }
    if (r == 0) {
        cd->buffer = memory;
        init_unit(cd, cd->buffer + ATAPI_BUFFER_BYTES);
        settings_default(cd);
    }
    return r;
}
