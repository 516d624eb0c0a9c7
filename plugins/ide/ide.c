/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin "ide": the IDE function of the PIIX3 with up to four drives. Creation, life,
 * description. References and threads: see ide.h. */
#include "atapi.h"
#include "ide_options.h"
#include "ide_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- life ------------------------------------------------------------------------------------ */

void
ide_settle(struct ide *ide)
{
    if (!ide->quiesce_due) {
        return;
    }
    for (uint32_t i = 0; i < ide->drive_count; i++) {
        if (ide->drives[i]->ops->busy(ide->drives[i])) {
            return;
        }
    }
    ide->quiesce_due = 0;
    ide->host.core->quiesced(ide->host.instance, 0);
}

static struct ide_device *
drive_of(const struct ide *ide, uint32_t slot, uint32_t use)
{
    for (uint32_t i = 0; i < ide->drive_count; i++) {
        if (ide->drives[i]->slot == slot && ide->drives[i]->use == use) {
            return ide->drives[i];
        }
    }
    return NULL;
}

static int32_t
ide_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    struct ide *ide = self;
    struct ide_device *drive = drive_of(ide, slot, use);
    int32_t r;

    if (drive == NULL) {
        return bp_fail(&ide->host, -EINVAL, NULL, "there is no drive for backend '%s'", peer->id);
    }
    r = drive->ops->attach(drive, peer);
    if (r == 0) {
        (void)snprintf(drive->backend, sizeof(drive->backend), "%s", peer->id);
    }
    return r;
}

static void
ide_detach(void *self, uint32_t slot, uint32_t use)
{
    struct ide_device *drive = drive_of(self, slot, use);

    if (drive != NULL) {
        drive->ops->detach(drive);
        drive->backend[0] = '\0';
    }
}

static int32_t
ide_realize(void *self)
{
    struct ide *ide = self;

    for (uint32_t i = 0; i < ide->drive_count; i++) {
        const struct ide_device *drive = ide->drives[i];
        if (drive->slot == IDE_SLOT_DISK && drive->backend[0] == '\0') {
            return bp_fail(&ide->host, -ENODEV, NULL, "drive %s has no backend", drive->place);
        }
    }
    return ide_firmware_describe(ide);
}

static void
retry_held(struct ide *ide)
{
    for (uint32_t i = 0; i < ide->drive_count; i++) {
        ide->drives[i]->ops->retry(ide->drives[i]);
    }
}

static void
ide_start(void *self)
{
    retry_held(self);
}

/* Requests in flight are cancelled and waited for with their results dropped, so nothing reaches
 * guest memory afterwards. */
static void
ide_reset(void *self, uint32_t kind)
{
    struct ide *ide = self;

    for (uint32_t i = 0; i < ide->drive_count; i++) {
        ide->drives[i]->ops->abandon(ide->drives[i]);
    }
    for (uint32_t i = 0; i < ide->drive_count; i++) {
        ide->drives[i]->ops->drain(ide->drives[i]);
    }
    for (uint32_t i = 0; i < IDE_CHANNELS; i++) {
        ide_channel_reset(&ide->channels[i]);
    }
}

/* The request in flight ends as usual; the one that would follow is held. */
static int32_t
ide_quiesce(void *self, uint64_t deadline_ns)
{
    struct ide *ide = self;

    ide->quiescing = 1;
    for (uint32_t i = 0; i < ide->drive_count; i++) {
        struct ide_device *drive = ide->drives[i];
        if (drive->ops->quiesce != NULL) {
            drive->ops->quiesce(drive);
        }
        ide->quiesce_due |= drive->ops->busy(drive) != 0;
    }
    return ide->quiesce_due ? BP_LIFE_PENDING : 0;
}

static void
ide_resume(void *self)
{
    struct ide *ide = self;

    ide->quiescing = 0;
    ide->quiesce_due = 0;
    retry_held(ide);
}

static const struct bp_life_ops ide_life = {
    .size = sizeof(ide_life),
    .realize = ide_realize,
    .start = ide_start,
    .reset = ide_reset,
    .quiesce = ide_quiesce,
    .resume = ide_resume,
    .attach = ide_attach,
    .detach = ide_detach,
};

/* --- creation -------------------------------------------------------------------------------- */

static void
ide_destroy(void *self)
{
    struct ide *ide = self;

    for (uint32_t i = 0; i < ide->drive_count; i++) {
        ide->drives[i]->ops->destroy(ide->drives[i]);
    }
    free(ide);
}

/* Drives with a backend are numbered as the description has them (plugin.h, struct bp_slot); empty
 * ones take the numbers after those. */
static void
number_uses(struct ide *ide, const uint8_t *empty)
{
    uint32_t next[2] = {0, 0};

    for (uint32_t i = 0; i < 2 * ide->drive_count; i++) {
        struct ide_device *drive = ide->drives[i % ide->drive_count];
        if (empty[i % ide->drive_count] == i / ide->drive_count) {
            drive->use = next[drive->slot]++;
        }
    }
}

static int32_t
add_drive(struct ide *ide, const struct bp_node *group, uint8_t *empty)
{
    struct ide_drive_options options = {.slot = IDE_SLOT_DISK};
    struct ide_channel *channel;
    struct ide_device *drive = NULL;
    int32_t r = ide_options_drive(ide, group, &options);

    if (r != 0) {
        return r;
    }
    channel = &ide->channels[options.channel];
    if (channel->devices[options.unit] != NULL) {
        return bp_fail(&ide->host, -EINVAL, group, "channel %u already has a unit %u",
                       options.channel, options.unit);
    }
    r = options.slot == IDE_SLOT_DISK ? ata_disk_new(ide, &options.ata, ide->drive_count, &drive)
                                      : atapi_new(ide, &options.ata, ide->drive_count, &drive);
    if (drive != NULL) {
        *empty = options.is_empty;
        ide->drives[ide->drive_count++] = drive; /* from here on ide_destroy() frees it */
        drive->channel = channel;
        drive->unit = options.unit;
        (void)snprintf(drive->place, sizeof(drive->place), "%u.%u", channel->number & 1,
                       drive->unit & 1);
        channel->devices[options.unit] = drive;
    }
    return r == 0 ? 0 : bp_fail(&ide->host, r, group, "no memory for the drive");
}

static int32_t
add_drives(struct ide *ide, const struct bp_node *config)
{
    const struct bp_node *list = bp_option(&ide->host, config, "drives");
    uint32_t count = list != NULL ? ide->host.config->count(ide->host.instance, list) : 0;
    uint8_t empty[IDE_CHANNELS * IDE_UNITS] = {0};

    for (uint32_t i = 0; i < count; i++) {
        int32_t r = -EINVAL;
        if (ide->drive_count < IDE_CHANNELS * IDE_UNITS) {
            r = add_drive(ide, ide->host.config->at(ide->host.instance, list, i), &empty[i]);
        }
        if (r != 0) {
            return r;
        }
    }
    number_uses(ide, empty);
    return 0;
}

static void
config_written(void *opaque, uint32_t offset, uint32_t width, uint32_t value)
{
    struct ide *ide = opaque;

    for (uint32_t i = 0; i < IDE_CHANNELS; i++) {
        ide_channel_look_at_timing(&ide->channels[i]);
    }
}

static const struct bp_pci_ops pci_ops = {
    .size = sizeof(pci_ops),
    .config_written = config_written,
};

/* 290550, 2.3: IDETIM, SIDETIM; a PIIX4's UDMACTL and UDMATIM (290562, 4.1). But for the bit that
 * enables a channel's ports (see channel.c) they are kept for firmware and drivers to read back:
 * timing has no meaning here. */
static int32_t
declare_timing(struct ide *ide)
{
    static const uint8_t timing[5] = {0x00, 0x80, 0x00, 0x80, 0x00};
    static const uint8_t all[5] = {0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t udma[4] = {0};
    static const uint8_t udma_writable[4] = {0x0f, 0x00, 0x33, 0x33};
    struct bp_instance *instance = ide->host.instance;
    int32_t r = ide->host.pci->config(instance, 0x40, sizeof(timing), timing, all, NULL);

    if (r == 0 && ide->piix4) {
        r = ide->host.pci->config(instance, 0x48, sizeof(udma), udma, udma_writable, NULL);
    }
    return r;
}

static int32_t
declare_function(struct ide *ide)
{
    static const uint8_t status[2] = {0x80, 0x02}; /* fast back-to-back, medium DEVSEL# */
    static const uint8_t status_clear[2] = {0x00, 0x38};
    const struct bp_pci_args args = {
        .size = sizeof(args),
        .vendor_id = 0x8086,
        .device_id = ide->piix4 ? 0x7111 : 0x7010,
        .subsystem_vendor_id = 0x1af4,
        .subsystem_id = 0x1100,
        .base_class = 0x01,
        .sub_class = 0x01,
        .prog_if = 0x80, /* compatibility mode on both channels, bus master */
        .bars = {[4] = {.size = 16, .flags = BP_PCI_BAR_IO}},
        .ops = &pci_ops,
        .opaque = ide,
    };
    struct bp_instance *instance = ide->host.instance;
    int32_t r = ide->host.pci->function(instance, &args);

    if (r == 0) {
        r = declare_timing(ide);
    }
    if (r == 0) {
        r = ide->host.pci->config(instance, 0x06, sizeof(status), status, NULL, status_clear);
    }
    return r;
}

static int32_t
declare(struct ide *ide)
{
    int32_t r = declare_function(ide);

    if (r != 0) {
        return bp_fail(&ide->host, r, NULL, "no PCI function for the controller");
    }
    for (uint32_t i = 0; i < IDE_CHANNELS; i++) {
        r = ide_channel_declare(&ide->channels[i]);
        if (r != 0) {
            return bp_fail(&ide->host, r, NULL,
                           "the ports or the interrupt of channel %u belong to another device", i);
        }
    }
    r = ide_bus_master_declare(ide);
    return r == 0 ? 0 : bp_fail(&ide->host, r, NULL, "no ports for the bus master");
}

static int32_t
ide_create(const struct bp_create *args, void **self)
{
    struct ide *ide = calloc(1, sizeof(*ide));
    struct bp_services host;
    int32_t r;

    bp_services_init(&host, args->host, args->instance);
    if (ide == NULL) {
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    ide->host = host;
    ide->id = args->id;
    ide->loop = host.loop->home(args->instance);
    for (uint32_t i = 0; i < IDE_CHANNELS; i++) {
        ide->channels[i].ide = ide;
        ide->channels[i].number = i;
    }
    ide->piix4 = ide_options_piix4(ide, args->config);
    r = add_drives(ide, args->config);
    if (r == 0) {
        r = declare(ide);
    }
    if (r != 0) {
        ide_destroy(ide);
        return r;
    }
    *self = ide;
    return 0;
}

static const void *
ide_query(void *self, const char *interface_id)
{
    if (bp_same_id(interface_id, BP_LIFE_ID)) {
        return &ide_life;
    }
    if (bp_same_id(interface_id, BP_MEDIA_ID)) {
        return &ide_media_ops;
    }
    return bp_same_id(interface_id, BP_STATE_ID) ? &ide_state_ops : NULL;
}

/* --- description ----------------------------------------------------------------------------- */

#define IDE_PROMISES (BP_PROMISE_SANDBOX | BP_PROMISE_UPGRADE | BP_PROMISE_DIRTY_TRACKED)

static const struct bp_slot ide_slots[] = {
    [IDE_SLOT_DISK] = {.name = "disk",
                       .interface_id = BP_BLOCK_ID,
                       .max = IDE_CHANNELS * IDE_UNITS,
                       .flags = BP_SLOT_HOTPLUG},
    [IDE_SLOT_CDROM] = {.name = "cdrom",
                        .interface_id = BP_BLOCK_ID,
                        .max = IDE_CHANNELS * IDE_UNITS,
                        .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const struct bp_class ide_class = {
    .size = sizeof(ide_class),
    .kind = BP_KIND_DEVICE,
    .name = "ide",
    .thread_model = BP_THREADS_SERIAL,
    .promises = IDE_PROMISES,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_PCI,
    .preferred_devfn = 1 << 3 | 1,
    .help = "PIIX3 IDE controller with up to four disks and CD/DVD drives",
    .props = ide_props,
    .slots = ide_slots,
    .create = ide_create,
    .destroy = ide_destroy,
    .query = ide_query,
};

static const struct bp_class *const ide_classes[] = {&ide_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "ide",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "PIIX3 IDE controller with ATA disks and ATAPI CD/DVD drives",
    .classes = ide_classes,
};

BP_PLUGIN_NOTE(.id = "ide", .version = "1.0",
               .classes = {{"ide", BP_KIND_DEVICE, BP_THREADS_SERIAL, IDE_PROMISES, 1, 1, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         BP_NEED(BP_REGION_ID, struct bp_region_host),
                         BP_NEED(BP_IRQ_ID, struct bp_irq_host),
                         BP_NEED(BP_PCI_ID, struct bp_pci_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host)});
