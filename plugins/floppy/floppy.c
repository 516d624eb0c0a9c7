/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin "floppy": creation, life, description. References and threads: see floppy.h. */
#include "floppy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CMOS_FLOPPIES          0x10u
#define CMOS_EQUIPMENT         0x14u
#define CMOS_BOOT_FLAGS        0x38u
#define BOOT_UNSIGNED_FLOPPY   0x01u
#define EQUIPMENT_HAS_FLOPPY   0x01u
#define EQUIPMENT_FLOPPY_COUNT 0xc0u

/* --- firmware's view ----------------------------------------------------------------------------
 */

/* A core that refuses a cell costs a guest nothing it needs to run. */
static void
set_cmos(struct fdc *fdc, uint32_t cell, uint32_t mask, uint32_t value)
{
    if (fdc->host.core->cmos(fdc->host.instance, cell, mask, value) != 0) {
        bp_warn(&fdc->host, "cannot set CMOS cell %02xh, ignoring", cell);
    }
}

static void
describe_drives(struct fdc *fdc)
{
    uint32_t count = 0, equipment = 0;

    for (uint32_t i = 0; i < FDC_DRIVES; i++) {
        count += fdc->drives[i].type != FLOPPY_DRIVE_NONE;
    }
    if (count != 0) {
        equipment = EQUIPMENT_HAS_FLOPPY | (count - 1) << 6;
    }
    set_cmos(fdc, CMOS_FLOPPIES, 0xff, fdc->drives[0].type << 4 | fdc->drives[1].type);
    set_cmos(fdc, CMOS_EQUIPMENT, EQUIPMENT_HAS_FLOPPY | EQUIPMENT_FLOPPY_COUNT, equipment);
    set_cmos(fdc, CMOS_BOOT_FLAGS, BOOT_UNSIGNED_FLOPPY,
             fdc->unsigned_boot ? BOOT_UNSIGNED_FLOPPY : 0);
}

static int32_t
describe_device(struct fdc *fdc)
{
    const struct bp_isa_resource resource = {
        .size = sizeof(resource),
        .hid = "PNP0700",
        .io_base = {0x3f0, 0x3f7},
        .io_length = {6, 1},
        .irq = FDC_ISA_IRQ,
        .dma = FDC_DMA_CHANNEL,
    };
    char unit[12], path[32];
    int32_t r = fdc->host.core->isa_resource(fdc->host.instance, &resource);

    for (uint32_t i = 0; i < FDC_DRIVES && r == 0; i++) {
        if (fdc->drives[i].type != FLOPPY_DRIVE_NONE) {
            (void)snprintf(unit, sizeof(unit), "%u", i);
            (void)snprintf(path, sizeof(path), "fdc@03f0/floppy@%u", i);
            r = fdc->host.core->boot_path(fdc->host.instance, unit, path);
        }
    }
    return r == 0 ? 0 : bp_fail(&fdc->host, r, NULL, "cannot describe the drives to firmware");
}

/* --- life ---------------------------------------------------------------------------------------
 */

static struct fdc_drive *
drive_of_use(struct fdc *fdc, uint32_t slot, uint32_t use)
{
    for (uint32_t i = 0; i < FDC_DRIVES && slot == FDC_SLOT_DISK; i++) {
        if (fdc->drives[i].type != FLOPPY_DRIVE_NONE && fdc->drives[i].use == use) {
            return &fdc->drives[i];
        }
    }
    return NULL;
}

/* The first floppy decides the type of an "auto" drive, before firmware hears of it. */
static void
choose_type(struct fdc_drive *drive, const struct bp_peer *peer)
{
    const struct bp_block_ops *ops = peer->table;
    struct bp_block_info info = {.size = sizeof(info)};

    if (drive->automatic && ops->info(peer->self, &info) == 0) {
        drive->type = floppy_drive_for(info.capacity);
    }
}

static int32_t
floppy_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    struct fdc *fdc = self;
    struct fdc_drive *drive = drive_of_use(fdc, slot, use);
    const char *text = "";
    int32_t r;

    if (drive == NULL || drive->ops != NULL) {
        return bp_fail(&fdc->host, drive == NULL ? -EINVAL : -EBUSY, NULL,
                       "there is no free drive for backend '%s'", peer->id);
    }
    choose_type(drive, peer);
    r = fdc_drive_insert(drive, peer, &text);
    if (r != 0) {
        return bp_fail(&fdc->host, r, drive->node, "backend '%s' cannot be in drive %u (%s): %s",
                       peer->id, drive->unit, floppy_drive_name(drive->type), text);
    }
    return 0;
}

static void
drain(struct fdc_drive *drive)
{
    if (drive->queue != NULL && drive->in_flight) {
        drive->ops->drain(drive->self, drive->queue);
    }
    drive->in_flight = 0;
}

static void
floppy_detach(void *self, uint32_t slot, uint32_t use)
{
    struct fdc *fdc = self;
    struct fdc_drive *drive = drive_of_use(fdc, slot, use);

    if (drive == NULL || drive->ops == NULL) {
        return;
    }
    fdc_transfer_medium_left(fdc, drive);
    drain(drive);
    fdc_drive_eject(drive);
    fdc->transfer.awaiting = 0;
    fdc_run(fdc);
}

static int32_t
floppy_realize(void *self)
{
    struct fdc *fdc = self;

    for (uint32_t i = 0; i < FDC_DRIVES; i++) {
        fdc->drives[i].automatic = 0; /* firmware is told now */
    }
    describe_drives(fdc);
    return describe_device(fdc);
}

/* Requests that were held are made again. */
static void
go_on(struct fdc *fdc)
{
    fdc->transfer.flags &= ~FDC_T_HELD;
    fdc_run(fdc);
}

static void
floppy_start(void *self)
{
    struct fdc *fdc = self;

    if (!fdc->quiescing) {
        go_on(fdc);
    }
}

/* A request in flight ends unheard, before this returns. */
static void
floppy_reset(void *self, uint32_t kind)
{
    struct fdc *fdc = self;

    fdc_transfer_abort(fdc);
    for (uint32_t i = 0; i < FDC_DRIVES; i++) {
        drain(&fdc->drives[i]);
    }
    fdc_hardware_reset(fdc, kind == BP_RESET_POWER_ON);
}

/* The request in flight ends as usual; the next one is held. */
static int32_t
floppy_quiesce(void *self, uint64_t deadline_ns)
{
    struct fdc *fdc = self;

    fdc->quiescing = 1;
    if (fdc->drives[0].in_flight || fdc->drives[1].in_flight) {
        fdc->quiesce_due = 1;
        return BP_LIFE_PENDING;
    }
    return 0;
}

static void
floppy_resume(void *self)
{
    struct fdc *fdc = self;

    fdc->quiescing = 0;
    fdc->quiesce_due = 0;
    go_on(fdc);
}

static const struct bp_life_ops floppy_life = {
    .size = sizeof(floppy_life),
    .realize = floppy_realize,
    .start = floppy_start,
    .reset = floppy_reset,
    .quiesce = floppy_quiesce,
    .resume = floppy_resume,
    .attach = floppy_attach,
    .detach = floppy_detach,
};

/* --- creation -----------------------------------------------------------------------------------
 */

static void
floppy_destroy(void *self)
{
    free(self); /* the arena is the core's */
}

static int32_t
make(struct fdc *fdc, const struct bp_node *config)
{
    void *memory = NULL;
    int32_t r = floppy_options(fdc, config);

    if (r != 0) {
        return r;
    }
    r = fdc->host.memory->arena_alloc(fdc->host.instance, FDC_ARENA_BUFFER, FDC_BUFFER_BYTES, 4096,
                                      &memory);
    if (r != 0) {
        return bp_fail(&fdc->host, r, NULL, "no memory for the controller's buffer");
    }
    fdc->buffer = memory;
    return fdc_declare(fdc);
}

static int32_t
floppy_create(const struct bp_create *args, void **self)
{
    struct fdc *fdc = calloc(1, sizeof(*fdc));
    struct bp_services host;
    int32_t r;

    bp_services_init(&host, args->host, args->instance);
    if (fdc == NULL) {
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    fdc->host = host;
    fdc->id = args->id;
    fdc->loop = host.loop->home(args->instance);
    for (uint32_t i = 0; i < FDC_DRIVES; i++) {
        fdc->drives[i].fdc = fdc;
        fdc->drives[i].unit = i;
    }
    r = make(fdc, args->config);
    if (r != 0) {
        floppy_destroy(fdc);
        return r;
    }
    *self = fdc;
    return 0;
}

static const void *
floppy_query(void *self, const char *interface_id)
{
    if (bp_same_id(interface_id, BP_LIFE_ID)) {
        return &floppy_life;
    }
    if (bp_same_id(interface_id, BP_MEDIA_ID)) {
        return &floppy_media_ops;
    }
    return bp_same_id(interface_id, BP_STATE_ID) ? &floppy_state_ops : NULL;
}

/* --- description --------------------------------------------------------------------------------
 */

#define FLOPPY_PROMISES (BP_PROMISE_SANDBOX | BP_PROMISE_UPGRADE | BP_PROMISE_DIRTY_TRACKED)

static const struct bp_slot floppy_slots[] = {
    [FDC_SLOT_DISK] = {.name = "disk",
                       .interface_id = BP_BLOCK_ID,
                       .max = FDC_DRIVES,
                       .flags = BP_SLOT_HOTPLUG},
    {.name = NULL},
};

static const struct bp_class floppy_class = {
    .size = sizeof(floppy_class),
    .kind = BP_KIND_DEVICE,
    .name = "floppy",
    .thread_model = BP_THREADS_SERIAL,
    .promises = FLOPPY_PROMISES,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_ISA,
    .help = "82078 floppy disk controller with up to two drives",
    .props = floppy_props,
    .slots = floppy_slots,
    .create = floppy_create,
    .destroy = floppy_destroy,
    .query = floppy_query,
};

static const struct bp_class *const floppy_classes[] = {&floppy_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "floppy",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "82078 floppy disk controller",
    .classes = floppy_classes,
};

BP_PLUGIN_NOTE(.id = "floppy", .version = "1.0",
               .classes = {{"floppy", BP_KIND_DEVICE, BP_THREADS_SERIAL, FLOPPY_PROMISES, 1, 1, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_MEMORY_ID, struct bp_memory_host),
                         BP_NEED(BP_REGION_ID, struct bp_region_host),
                         BP_NEED(BP_IRQ_ID, struct bp_irq_host),
                         BP_NEED(BP_ISADMA_ID, struct bp_isadma_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host)});
