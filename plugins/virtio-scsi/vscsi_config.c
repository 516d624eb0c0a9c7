/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the "virtio-scsi" class, features and configuration space (virtio 1.2, 5.6.3 and
 * 5.6.4). */
#include "vscsi.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR          512u
#define MAX_SECTORS     0xffffu
#define LEAST_MAX_IOV   128u /* of any unit, see scsi.h */
#define CMD_PER_LUN     256  /* a queue of the default size: one unit can have it for itself */
#define CMD_PER_LUN_DEF "256"

static const struct bp_prop lun_props[] = {
    {.name = "target",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = VSCSI_TARGETS - 1,
     .help = "number of the target"},
    {.name = "lun",
     .type = BP_PROP_UINT,
     .def = "0",
     .max = VSCSI_LUNS - 1,
     .help = "number of the logical unit"},
    {.name = "backend",
     .type = BP_PROP_BACKEND,
     .help = "SCSI target; without it the place is empty until one is attached"},
    {.name = NULL},
};

static const struct bp_prop lun_element = {
    .name = "unit", .type = BP_PROP_GROUP, .children = lun_props, .help = "one logical unit"};

const struct bp_prop vscsi_props[] = {
    {.name = "luns",
     .type = BP_PROP_LIST,
     .children = &lun_element,
     .max = VSCSI_MAX_UNITS,
     .help = "logical units, each with its target and LUN"},
    BP_VIRTIO_PROPS,
    {.name = "queues",
     .type = BP_PROP_UINT,
     .def = "1",
     .min = 1,
     .max = VSCSI_MAX_QUEUES,
     .help = "request queues, best one for each vCPU"},
    {.name = "cmd_per_lun",
     .type = BP_PROP_UINT,
     .def = CMD_PER_LUN_DEF,
     .min = 1,
     .max = BP_SCSI_MAX_DEPTH,
     .help = "commands that a unit takes at a time from each queue"},
    {.name = "initiator",
     .type = BP_PROP_STRING,
     .max = 59,
     .help = "name of the initiator port in reservations: an iSCSI name, or 16 hexadecimal digits"},
    {.name = "max_sectors",
     .type = BP_PROP_UINT,
     .max = UINT32_MAX,
     .help = "most sectors of 512 bytes of a command. Default: what the units take"},
    {.name = "seg_max",
     .type = BP_PROP_UINT,
     .max = BP_VIRTIO_MAX_QUEUE_SIZE,
     .help = "most segments of a command. Default: what queue and units take"},
    {.name = NULL},
};

/* --- the places --------------------------------------------------------------------------------
 */

/* Places with a backend are numbered as the description has them (plugin.h, struct bp_slot); empty
 * ones take the numbers after those. */
static void
take_places(struct vscsi *vscsi, const struct bp_node *list)
{
    const struct bp_services *host = &vscsi->host;
    uint32_t use = 0;

    for (uint32_t i = 0; i < vscsi->unit_count; i++) {
        const struct bp_node *node = host->config->at(host->instance, list, i);
        struct vscsi_unit *unit = &vscsi->units[i];

        unit->vscsi = vscsi;
        unit->target = (uint8_t)bp_option_u64(host, node, "target", 0);
        unit->lun = (uint16_t)(bp_option_u64(host, node, "lun", 0) % VSCSI_LUNS);
        unit->use = bp_option(host, node, "backend") != NULL ? use++ : UINT32_MAX;
    }
    for (uint32_t i = 0; i < vscsi->unit_count; i++) {
        struct vscsi_unit *unit = &vscsi->units[i];
        unit->use = unit->use == UINT32_MAX ? use++ : unit->use;
    }
}

static int32_t
make_places(struct vscsi *vscsi, const struct bp_node *options)
{
    const struct bp_services *host = &vscsi->host;
    const struct bp_node *list = bp_option(host, options, "luns");
    uint32_t count = list != NULL ? host->config->count(host->instance, list) : 0;
    int32_t result;

    count = bp_min_u32(count, VSCSI_MAX_UNITS);
    vscsi->units = calloc(count + 1, sizeof(*vscsi->units));
    vscsi->paths = calloc((size_t)count * vscsi->queue_count + 1, sizeof(*vscsi->paths));
    if (vscsi->units == NULL || vscsi->paths == NULL) {
        return bp_fail(host, -ENOMEM, NULL, "out of memory");
    }
    vscsi->unit_count = count;
    if (count > 0) {
        take_places(vscsi, list);
    }
    result = vscsi_sort_units(vscsi);
    for (uint32_t i = 0; i < count * vscsi->queue_count; i++) {
        struct vscsi_unit *unit = &vscsi->units[i / vscsi->queue_count];

        unit->paths = &vscsi->paths[i - i % vscsi->queue_count];
        vscsi->paths[i].unit = unit;
        vscsi->paths[i].queue = &vscsi->queues[i % vscsi->queue_count];
    }
    return result;
}

/* --- the initiator port --------------------------------------------------------------------------
 */

/* The TransportID of a name (SPC-4 7.6.4.6, 7.6.4.8): of an iSCSI node, or a SAS address. */
static int32_t
read_initiator(struct vscsi *vscsi, const struct bp_node *options)
{
    const char *name = bp_option_str(&vscsi->host, options, "initiator", NULL);
    uint32_t length = name != NULL ? (uint32_t)strlen(name) : 0;
    uint8_t *id = vscsi->initiator;
    uint64_t address;
    char *end = NULL;

    if (name == NULL) {
        return 0;
    }
    address = strtoull(name, &end, 16);
    if (length == 16 && *end == 0) {
        id[0] = 0x06;
        for (uint32_t i = 0; i < 8; i++) {
            id[4 + i] = (uint8_t)(address >> (56 - 8 * i));
        }
        vscsi->initiator_length = 24;
        return 0;
    }
    if ((strncmp(name, "iqn.", 4) != 0 && strncmp(name, "eui.", 4) != 0 &&
         strncmp(name, "naa.", 4) != 0) ||
        length >= sizeof(vscsi->initiator) - 4) {
        return bp_fail(&vscsi->host, -EINVAL, bp_option(&vscsi->host, options, "initiator"),
                       "initiator is an iSCSI name (iqn.2026-11.org.example:node1) of at most 59 "
                       "characters, or 16 hexadecimal digits, not '%s'",
                       name);
    }
    id[0] = 0x05;
    memcpy(id + 4, name, length);
    length = (length + 4) & ~3u; /* with at least one zero at its end */
    length = length < 20 ? 20 : length;
    id[3] = (uint8_t)length;
    vscsi->initiator_length = 4 + length;
    return 0;
}

int32_t
vscsi_options_read(struct vscsi *vscsi, const struct bp_node *options)
{
    const struct bp_services *host = &vscsi->host;
    uint64_t queues = bp_option_u64(host, options, "queues", 1);
    uint64_t depth = bp_option_u64(host, options, "cmd_per_lun", CMD_PER_LUN);

    vscsi->queue_count = queues < 1 || queues > VSCSI_MAX_QUEUES ? 1 : (uint32_t)queues;
    vscsi->cmd_per_lun = depth < 1 || depth > BP_SCSI_MAX_DEPTH ? CMD_PER_LUN : (uint32_t)depth;
    vscsi->max_sectors = (uint32_t)bp_option_u64(host, options, "max_sectors", 0);
    vscsi->seg_max = (uint32_t)bp_option_u64(host, options, "seg_max", 0);
    if (read_initiator(vscsi, options) != 0) {
        return -EINVAL;
    }
    return make_places(vscsi, options);
}

/* --- configuration space -----------------------------------------------------------------------
 */

static void
put(struct vscsi *vscsi, uint32_t offset, uint32_t width, uint64_t value)
{
    uint8_t data[8];

    bp_store_le(data, width, value);
    bp_virtio_config_set(vscsi->virtio, offset, data, width, 0);
}

void
vscsi_set_sizes(struct vscsi *vscsi, uint32_t sense_size, uint32_t cdb_size)
{
    atomic_store(&vscsi->sense_size, sense_size);
    atomic_store(&vscsi->cdb_size, cdb_size);
    put(vscsi, VSCSI_CFG_SENSE_SIZE, 4, sense_size);
    put(vscsi, VSCSI_CFG_CDB_SIZE, 4, cdb_size);
}

/* 5.6.4.1: a driver may change these two. A size that no command can have is not taken. */
void
vscsi_config_write(void *device, uint32_t offset, uint32_t width, uint64_t value)
{
    struct vscsi *vscsi = device;

    if (width != 4) {
        return;
    }
    if (offset == VSCSI_CFG_SENSE_SIZE && value <= VSCSI_SENSE_MAX) {
        vscsi_set_sizes(vscsi, (uint32_t)value, atomic_load(&vscsi->cdb_size));
    } else if (offset == VSCSI_CFG_CDB_SIZE && value >= 1 && value <= VSCSI_CDB_MAX) {
        vscsi_set_sizes(vscsi, atomic_load(&vscsi->sense_size), (uint32_t)value);
    }
}

/* A command also needs descriptors for header and response. A buffer that crosses the end of a
 * range of RAM becomes two pieces, so one is kept back. */
static uint32_t
seg_max(const struct vscsi *vscsi)
{
    uint32_t size = bp_min_u32(bp_virtqueue_max_size(vscsi->queues[0].ring), 256);
    uint32_t most = size > 3 ? size - 2 : 1;

    most = bp_min_u32(most, LEAST_MAX_IOV - 2);
    return vscsi->seg_max != 0 ? bp_min_u32(vscsi->seg_max, most) : most;
}

static uint32_t
max_sectors(const struct vscsi *vscsi)
{
    uint64_t most = MAX_SECTORS;

    for (uint32_t i = 0; i < vscsi->unit_count; i++) {
        uint64_t sectors = vscsi->units[i].max_transfer / SECTOR;
        most = sectors != 0 ? bp_min_u64(most, sectors) : most;
    }
    return vscsi->max_sectors != 0 ? (uint32_t)bp_min_u64(vscsi->max_sectors, most)
                                   : (uint32_t)most;
}

void
vscsi_describe(struct vscsi *vscsi)
{
    bp_virtio_offer(vscsi->virtio, VSCSI_F_INOUT | VSCSI_F_HOTPLUG | VSCSI_F_CHANGE, 0);
    put(vscsi, VSCSI_CFG_NUM_QUEUES, 4, vscsi->queue_count);
    put(vscsi, VSCSI_CFG_SEG_MAX, 4, seg_max(vscsi));
    put(vscsi, VSCSI_CFG_MAX_SECTORS, 4, max_sectors(vscsi));
    put(vscsi, VSCSI_CFG_CMD_PER_LUN, 4, vscsi->cmd_per_lun);
    put(vscsi, VSCSI_CFG_EVENT_SIZE, 4, VSCSI_EVENT_BYTES);
    put(vscsi, VSCSI_CFG_MAX_CHANNEL, 2, 0);
    put(vscsi, VSCSI_CFG_MAX_TARGET, 2, VSCSI_TARGETS - 1);
    put(vscsi, VSCSI_CFG_MAX_LUN, 4, VSCSI_LUNS - 1);
    vscsi_set_sizes(vscsi, VSCSI_SENSE_DEFAULT, VSCSI_CDB_DEFAULT);
}
