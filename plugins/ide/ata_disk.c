/* SPDX-License-Identifier: Apache-2.0 */
/* A hard disk's commands, resets and life. Data moves in ata_transfer.c. */
#include "ata_disk.h"

#include <stdlib.h>
#include <string.h>

/* How a command is carried out. `argument` depends on the handler. */
struct command {
    void (*handler)(struct ata_disk *disk, uint8_t argument);
    uint8_t argument;
    uint8_t not_locked; /* refused by a locked disk (ATA/ATAPI-7 V1, table 8) */
    uint16_t features;  /* ATA_DCO_...: unknown to a disk without them */
};

#define C_EXT      (1u << 0) /* 48-bit address */
#define C_MULTIPLE (1u << 1)
#define C_FUA      (1u << 2)
#define C_DMA      (1u << 3)
#define C_WRITE    (1u << 4)

void
ata_disk_abort(struct ata_disk *disk, uint8_t error)
{
    memset(&disk->transfer, 0, sizeof(disk->transfer));
    ide_device_done(&disk->device, error);
}

/* --- commands that move sectors -------------------------------------------------------------- */

/* Returns 0 if the command was refused (and ended). */
static uint32_t
begin(struct ata_disk *disk, uint8_t kind, uint8_t argument)
{
    struct ata_transfer *t = &disk->transfer;
    uint8_t addressing = (argument & C_EXT) ? ATA_LBA48 : ata_address_kind(disk);
    uint8_t error = ata_address_read(disk, addressing);

    if (error == 0 && (argument & C_MULTIPLE) && disk->settings.multiple == 0) {
        error = ATA_ABRT;
    }
    if (error != 0) {
        ata_transfer_refuse(disk, error);
        return 0;
    }
    ata_disk_touch(disk, 1);
    t->kind = kind;
    t->block = (argument & C_MULTIPLE) ? disk->settings.multiple : 1;
    if ((argument & C_FUA) || !disk->settings.write_cache) {
        t->flags |= ATA_TF_FUA;
    }
    return 1;
}

static void
read_sectors(struct ata_disk *disk, uint8_t argument)
{
    if (begin(disk, ATA_T_PIO_IN, argument)) {
        ata_transfer_start(disk);
    }
}

static void
write_sectors(struct ata_disk *disk, uint8_t argument)
{
    if (begin(disk, ATA_T_PIO_OUT, argument)) {
        ata_transfer_start(disk);
    }
}

static void
read_dma(struct ata_disk *disk, uint8_t argument)
{
    if (begin(disk, ATA_T_DMA_IN, argument)) {
        ata_transfer_start(disk);
    }
}

static void
write_dma(struct ata_disk *disk, uint8_t argument)
{
    if (begin(disk, ATA_T_DMA_OUT, argument)) {
        ata_transfer_start(disk);
    }
}

static void
stream(struct ata_disk *disk, uint8_t argument)
{
    static const uint8_t kinds[2][2] = {{ATA_T_PIO_IN, ATA_T_PIO_OUT},
                                        {ATA_T_DMA_IN, ATA_T_DMA_OUT}};
    uint32_t write = (argument & C_WRITE) != 0;

    ata_stream_begin(disk, write);
    if (begin(disk, kinds[(argument & C_DMA) != 0][write], C_EXT)) {
        ata_transfer_start(disk);
    }
}

static void
configure_stream(struct ata_disk *disk, uint8_t argument)
{
    ata_stream_configure(disk);
}

static void
verify(struct ata_disk *disk, uint8_t argument)
{
    if (begin(disk, ATA_T_VERIFY, argument)) {
        ata_transfer_start(disk);
    }
}

static void
seek(struct ata_disk *disk, uint8_t argument)
{
    uint8_t count = disk->device.regs.count[0];
    uint8_t error;

    disk->device.regs.count[0] = 1; /* SEEK has no count */
    error = ata_address_read(disk, ata_address_kind(disk));
    disk->device.regs.count[0] = count;
    ata_disk_abort(disk, error);
}

static void
flush(struct ata_disk *disk, uint8_t argument)
{
    disk->transfer.kind = ATA_T_FLUSH;
    ata_transfer_advance(disk);
}

/* --- pages ----------------------------------------------------------------------------------- */

static void
identify(struct ata_disk *disk, uint8_t argument)
{
    ata_identify(disk, disk->buffer);
    ata_page_start(disk, ATA_T_PAGE_IN, 1);
}

static void
read_buffer(struct ata_disk *disk, uint8_t argument)
{
    memcpy(disk->buffer, disk->sector_buffer, ATA_SECTOR);
    ata_page_start(disk, (argument & C_DMA) ? ATA_T_PAGE_DMA_IN : ATA_T_PAGE_IN, 1);
}

static void
write_buffer(struct ata_disk *disk, uint8_t argument)
{
    ata_page_start(disk, (argument & C_DMA) ? ATA_T_PAGE_DMA_OUT : ATA_T_PAGE_OUT, 1);
}

static void
read_log(struct ata_disk *disk, uint8_t argument)
{
    ata_log_read(disk, argument & C_DMA);
}

static void
write_log(struct ata_disk *disk, uint8_t argument)
{
    ata_log_write(disk, argument & C_DMA);
}

static void
security(struct ata_disk *disk, uint8_t opcode)
{
    ata_security(disk, opcode);
}

/* --- commands without data ------------------------------------------------------------------- */

static void
succeed(struct ata_disk *disk, uint8_t argument)
{
    ata_disk_abort(disk, 0);
}

static void
not_supported(struct ata_disk *disk, uint8_t argument)
{
    ata_disk_abort(disk, ATA_ABRT);
}

/* PACKET commands tell a driver by the signature what it is talking to. */
static void
not_a_packet_device(struct ata_disk *disk, uint8_t argument)
{
    uint8_t device = disk->device.regs.device;

    ide_device_signature(&disk->device, 0, 0);
    disk->device.regs.device = device & ATA_DEVICE_DEV;
    ata_disk_abort(disk, ATA_ABRT);
}

/* The translation of CHS addresses (ATA/ATAPI-5, 8.16). */
static void
initialize_parameters(struct ata_disk *disk, uint8_t argument)
{
    struct ata_settings *settings = &disk->settings;
    uint32_t heads = (disk->device.regs.device & 0x0fu) + 1;
    uint32_t sectors = disk->device.regs.count[0];
    uint64_t cylinders;

    if (sectors == 0) {
        ata_disk_abort(disk, ATA_ABRT);
        return;
    }
    cylinders = disk->native_sectors / heads / sectors;
    settings->cylinders = (uint16_t)(cylinders > UINT16_MAX ? UINT16_MAX : cylinders);
    settings->heads = (uint8_t)heads;
    settings->sectors = (uint8_t)sectors;
    ata_disk_abort(disk, 0);
}

static void
set_multiple(struct ata_disk *disk, uint8_t argument)
{
    uint8_t count = disk->device.regs.count[0];

    if (count > ATA_MAX_MULTIPLE || (count & (count - 1)) != 0) {
        ata_disk_abort(disk, ATA_ABRT);
        return;
    }
    disk->settings.multiple = count;
    ata_disk_abort(disk, 0);
}

static void
set_features(struct ata_disk *disk, uint8_t argument)
{
    uint8_t error = ata_set_features(disk);

    if (disk->transfer.kind == ATA_T_NONE) {
        ata_disk_abort(disk, error);
    } else {
        ata_transfer_advance(disk); /* switching the write cache off flushes it */
    }
}

static void
power(struct ata_disk *disk, uint8_t argument)
{
    ata_power(disk, argument);
}

static void
smart(struct ata_disk *disk, uint8_t argument)
{
    ata_smart(disk);
}

static void
read_native_max(struct ata_disk *disk, uint8_t argument)
{
    ata_read_native_max(disk, (argument & C_EXT) ? ATA_LBA48 : ATA_LBA28);
}

static void
set_max(struct ata_disk *disk, uint8_t argument)
{
    ata_set_max(disk, (argument & C_EXT) ? ATA_LBA48 : ATA_LBA28);
}

static void
device_configuration(struct ata_disk *disk, uint8_t argument)
{
    ata_dco(disk);
}

static void
data_set_management(struct ata_disk *disk, uint8_t argument)
{
    ata_trim(disk);
}

static const struct command commands[256] = {
    [ATA_NOP] = {not_supported, 0}, /* always ends with ABRT (ATA/ATAPI-7 V1, NOP) */
    [ATA_DATA_SET_MANAGEMENT] = {data_set_management, 0, 1},
    [0x10 ... 0x1f] = {succeed, 0}, /* RECALIBRATE; the low nibble once was a stepping rate */
    [ATA_READ_SECTORS] = {read_sectors, 0, 1},
    [ATA_READ_SECTORS_ONCE] = {read_sectors, 0, 1},
    [ATA_READ_SECTORS_EXT] = {read_sectors, C_EXT, 1, ATA_DCO_48BIT},
    [ATA_READ_DMA_EXT] = {read_dma, C_EXT, 1, ATA_DCO_48BIT},
    [ATA_READ_NATIVE_MAX_EXT] = {read_native_max, C_EXT, 0, ATA_DCO_HPA | ATA_DCO_48BIT},
    [ATA_READ_MULTIPLE_EXT] = {read_sectors, C_EXT | C_MULTIPLE, 1, ATA_DCO_48BIT},
    [ATA_WRITE_SECTORS] = {write_sectors, 0, 1},
    [ATA_WRITE_SECTORS_ONCE] = {write_sectors, 0, 1},
    [ATA_WRITE_SECTORS_EXT] = {write_sectors, C_EXT, 1, ATA_DCO_48BIT},
    [ATA_WRITE_DMA_EXT] = {write_dma, C_EXT, 1, ATA_DCO_48BIT},
    [ATA_SET_MAX_EXT] = {set_max, C_EXT, 1, ATA_DCO_HPA | ATA_DCO_48BIT},
    [ATA_WRITE_MULTIPLE_EXT] = {write_sectors, C_EXT | C_MULTIPLE, 1, ATA_DCO_48BIT},
    [ATA_WRITE_VERIFY] = {write_sectors, C_FUA, 1}, /* ends when the data is on stable storage */
    [ATA_WRITE_DMA_FUA_EXT] = {write_dma, C_EXT | C_FUA, 1, ATA_DCO_FUA | ATA_DCO_48BIT},
    [ATA_READ_STREAM_DMA_EXT] = {stream, C_DMA, 1, ATA_DCO_STREAMS},
    [ATA_READ_STREAM_EXT] = {stream, 0, 1, ATA_DCO_STREAMS},
    [ATA_WRITE_STREAM_DMA_EXT] = {stream, C_DMA | C_WRITE, 1, ATA_DCO_STREAMS},
    [ATA_WRITE_STREAM_EXT] = {stream, C_WRITE, 1, ATA_DCO_STREAMS},
    [ATA_CONFIGURE_STREAM] = {configure_stream, 0, 1, ATA_DCO_STREAMS},
    [ATA_DEVICE_CONFIGURATION] = {device_configuration, 0, 1},
    [ATA_READ_LOG_EXT] = {read_log, 0},
    [ATA_WRITE_LOG_EXT] = {write_log, 0, 1},
    [ATA_READ_LOG_DMA_EXT] = {read_log, C_DMA},
    [ATA_WRITE_LOG_DMA_EXT] = {write_log, C_DMA, 1},
    [ATA_VERIFY] = {verify, 0, 1},
    [ATA_VERIFY_ONCE] = {verify, 0, 1},
    [ATA_VERIFY_EXT] = {verify, C_EXT, 1, ATA_DCO_48BIT},
    [0x70 ... 0x7f] = {seek, 0},
    [ATA_INIT_DEVICE_PARAMETERS] = {initialize_parameters, 0},
    [ATA_OLD_STANDBY_IMMEDIATE] = {power, ATA_STANDBY_IMMEDIATE},
    [ATA_OLD_IDLE_IMMEDIATE] = {power, ATA_IDLE_IMMEDIATE},
    [ATA_OLD_STANDBY] = {power, ATA_STANDBY},
    [ATA_OLD_IDLE] = {power, ATA_IDLE},
    [ATA_OLD_CHECK_POWER_MODE] = {power, ATA_CHECK_POWER_MODE},
    [ATA_OLD_SLEEP] = {power, ATA_SLEEP},
    [ATA_IDENTIFY_PACKET_DEVICE] = {not_a_packet_device, 0},
    [ATA_SMART] = {smart, 0, 0, ATA_DCO_SMART},
    [ATA_READ_MULTIPLE] = {read_sectors, C_MULTIPLE, 1},
    [ATA_WRITE_MULTIPLE] = {write_sectors, C_MULTIPLE, 1},
    [ATA_SET_MULTIPLE_MODE] = {set_multiple, 0},
    [ATA_READ_DMA] = {read_dma, 0, 1},
    [ATA_READ_DMA_ONCE] = {read_dma, 0, 1},
    [ATA_WRITE_DMA] = {write_dma, 0, 1},
    [ATA_WRITE_DMA_ONCE] = {write_dma, 0, 1},
    [ATA_WRITE_MULTIPLE_FUA_EXT] = {write_sectors, C_EXT | C_MULTIPLE | C_FUA, 1,
                                    ATA_DCO_FUA | ATA_DCO_48BIT},
    [ATA_STANDBY_IMMEDIATE] = {power, ATA_STANDBY_IMMEDIATE},
    [ATA_IDLE_IMMEDIATE] = {power, ATA_IDLE_IMMEDIATE},
    [ATA_STANDBY] = {power, ATA_STANDBY},
    [ATA_IDLE] = {power, ATA_IDLE},
    [ATA_READ_BUFFER] = {read_buffer, 0},
    [ATA_CHECK_POWER_MODE] = {power, ATA_CHECK_POWER_MODE},
    [ATA_SLEEP] = {power, ATA_SLEEP},
    [ATA_FLUSH_CACHE] = {flush, 0, 1},
    [ATA_WRITE_BUFFER] = {write_buffer, 0},
    [ATA_READ_BUFFER_DMA] = {read_buffer, C_DMA},
    [ATA_WRITE_BUFFER_DMA] = {write_buffer, C_DMA},
    [ATA_FLUSH_CACHE_EXT] = {flush, 0, 1, ATA_DCO_48BIT},
    [ATA_IDENTIFY_DEVICE] = {identify, 0},
    [ATA_SET_FEATURES] = {set_features, 0},
    [ATA_SECURITY_SET_PASSWORD] = {security, ATA_SECURITY_SET_PASSWORD, 0, ATA_DCO_SECURITY},
    [ATA_SECURITY_UNLOCK] = {security, ATA_SECURITY_UNLOCK, 0, ATA_DCO_SECURITY},
    [ATA_SECURITY_ERASE_PREPARE] = {security, ATA_SECURITY_ERASE_PREPARE, 0, ATA_DCO_SECURITY},
    [ATA_SECURITY_ERASE_UNIT] = {security, ATA_SECURITY_ERASE_UNIT, 0, ATA_DCO_SECURITY},
    [ATA_SECURITY_FREEZE_LOCK] = {security, ATA_SECURITY_FREEZE_LOCK, 0, ATA_DCO_SECURITY},
    [ATA_SECURITY_DISABLE] = {security, ATA_SECURITY_DISABLE, 0, ATA_DCO_SECURITY},
    [ATA_READ_NATIVE_MAX] = {read_native_max, 0, 0, ATA_DCO_HPA},
    [ATA_SET_MAX] = {set_max, 0, 1, ATA_DCO_HPA},
};

static void
disk_command(struct ide_device *device, uint8_t opcode)
{
    struct ata_disk *disk = (struct ata_disk *)device;
    const struct command *command = &commands[opcode];

    memset(&disk->transfer, 0, sizeof(disk->transfer));
    disk->transfer.opcode = opcode;
    if (opcode != ATA_SET_MAX && opcode != ATA_SET_MAX_EXT) {
        disk->native_read = 0; /* SET MAX counts only right after READ NATIVE MAX */
    }
    if (opcode != ATA_SECURITY_ERASE_UNIT) {
        disk->security.prepared = 0; /* ERASE UNIT only right after ERASE PREPARE */
    }
    ide_device_busy(device);
    device->regs.error = 0;
    if (command->handler != NULL && ata_has(disk, command->features) &&
        !(command->not_locked && disk->security.locked)) {
        command->handler(disk, command->argument);
    } else {
        not_supported(disk, 0);
    }
}

/* --- reset ----------------------------------------------------------------------------------- */

static void
disk_abandon(struct ide_device *device)
{
    struct ata_disk *disk = (struct ata_disk *)device;

    memset(&disk->transfer, 0, sizeof(disk->transfer));
    disk->io.reset_due = 0;
    ide_device_abandon(device);
    if (disk->io.in_flight && !disk->io.dropped) {
        disk->io.dropped = 1;
        ata_io_cancel(disk);
    }
}

static void
disk_reset(struct ide_device *device, uint32_t kind)
{
    struct ata_disk *disk = (struct ata_disk *)device;

    device->asleep = 0;
    disk->native_read = 0;
    disk->security.prepared = 0;
    if (kind == IDE_RESET_HARD) {
        ata_settings_default(disk);
        ata_security_reset(disk);
        ata_max_lock_reset(disk);
        ata_stream_reset(disk);
        disk->sectors = disk->kept_sectors;
        memset(disk->sector_buffer, 0, sizeof(disk->sector_buffer));
    } else if (kind == IDE_RESET_SOFT && disk->settings.revert) {
        uint8_t pio = disk->settings.pio_mode;
        uint8_t dma = disk->settings.dma_mode;
        ata_settings_default(disk);
        disk->settings.pio_mode = pio; /* transfer modes outlive a software reset */
        disk->settings.dma_mode = dma;
    }
    ata_disk_touch(disk, 0);
    ide_device_signature(device, 0, 0);
    if (disk->io.in_flight) {
        disk->io.reset_due = 1;
    } else {
        device->regs.status = ATA_DRDY | ATA_DSC;
    }
}

static uint32_t
disk_in_flight(const struct ide_device *device)
{
    const struct ata_disk *disk = (const struct ata_disk *)device;
    const struct ata_transfer *t = &disk->transfer;
    uint32_t sectors = t->kind == ATA_T_DMA_IN || t->kind == ATA_T_DMA_OUT;
    uint32_t at_once = t->kind == ATA_T_PAGE_DMA_IN || t->kind == ATA_T_PAGE_DMA_OUT ||
                       (t->kind == ATA_T_TRIM && !(t->flags & ATA_TF_RANGES));

    if (disk->io.dropped) {
        return 1;
    }
    return (sectors && disk->io.in_flight) ||
           ((sectors || at_once) && (t->flags & ATA_TF_HELD) != 0);
}

/* --- life ------------------------------------------------------------------------------------ */

static uint32_t
disk_busy(const struct ide_device *device)
{
    const struct ata_disk *disk = (const struct ata_disk *)device;

    return disk->io.in_flight;
}

static int32_t
disk_attach(struct ide_device *device, const struct bp_peer *peer)
{
    struct ata_disk *disk = (struct ata_disk *)device;
    int32_t r = ata_io_open(disk, peer);

    if (r != 0) {
        return bp_fail(&device->ide->host, r, NULL, "backend '%s' cannot be used as a disk: %s",
                       peer->id,
                       r == -ENOMEDIUM ? "it has no medium"
                       : r == -EINVAL  ? "it is smaller than a sector, or its blocks are larger"
                                       : "it refused the connection");
    }
    return 0;
}

static void
disk_drain(struct ide_device *device)
{
    struct ata_disk *disk = (struct ata_disk *)device;

    if (disk->io.queue != NULL && disk->io.in_flight) {
        disk->io.ops->drain(disk->io.self, disk->io.queue);
    }
}

static void
disk_detach(struct ide_device *device)
{
    disk_drain(device);
    ata_io_close((struct ata_disk *)device);
}

static void
disk_retry(struct ide_device *device)
{
    ata_transfer_retry((struct ata_disk *)device);
}

static void
disk_destroy(struct ide_device *device)
{
    struct ata_disk *disk = (struct ata_disk *)device;

    ide_sg_done(&disk->io.sg);
    free(disk->host_logs);
    free(disk);
}

static const struct ide_device_ops ata_disk_ops = {
    .command = disk_command,
    .block_done = ata_transfer_block_done,
    .dma = ata_transfer_dma,
    .abandon = disk_abandon,
    .reset = disk_reset,
    .in_flight = disk_in_flight,
    .busy = disk_busy,
    .attach = disk_attach,
    .detach = disk_detach,
    .drain = disk_drain,
    .retry = disk_retry,
    .destroy = disk_destroy,
    .save = ata_disk_save,
    .load = ata_disk_load,
};

int32_t
ata_disk_new(struct ide *ide, const struct ata_options *options, uint32_t arena,
             struct ide_device **device)
{
    struct ata_disk *disk = calloc(1, sizeof(*disk));
    void *memory = NULL;
    int32_t r;

    if (disk == NULL) {
        return -ENOMEM;
    }
    disk->device.ops = &ata_disk_ops;
    disk->device.ide = ide;
    disk->device.slot = IDE_SLOT_DISK;
    disk->options = *options;
    *device = &disk->device;
    ata_dco_init(disk);
    ata_security_init(disk);
    disk->host_logs = calloc(ATA_HOST_LOGS, ATA_HOST_LOG_BYTES);
    r = disk->host_logs != NULL ? ide_sg_init(&disk->io.sg) : -ENOMEM;
    if (r == 0) {
        r = ata_stream_init(disk, arena);
    }
    if (r == 0) {
        r = ide->host.memory->arena_alloc(ide->host.instance, arena, ATA_BUFFER_BYTES, 4096,
                                          &memory);
    }
    disk->buffer = memory;
    return r;
}
