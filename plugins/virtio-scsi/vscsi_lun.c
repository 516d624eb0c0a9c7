/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: 1, target, and a single-level LUN structure (virtio 1.2, 5.6.6.1; SAM-5 4.7). */
#include "vscsi.h"

#include <stdlib.h>
#include <string.h>

static int
compare_places(const void *one, const void *other)
{
    const struct vscsi_unit *a = one;
    const struct vscsi_unit *b = other;
    int by_target = (a->target > b->target) - (a->target < b->target);

    return by_target != 0 ? by_target : (a->lun > b->lun) - (a->lun < b->lun);
}

int32_t
vscsi_sort_units(struct vscsi *vscsi)
{
    if (vscsi->unit_count > 0) {
        qsort(vscsi->units, vscsi->unit_count, sizeof(*vscsi->units), compare_places);
    }
    for (uint32_t i = 0; i < vscsi->unit_count; i++) {
        const struct vscsi_unit *unit = &vscsi->units[i];
        struct vscsi_target *target = &vscsi->targets[unit->target];

        if (i > 0 && compare_places(unit - 1, unit) == 0) {
            return bp_fail(&vscsi->host, -EINVAL, NULL, "target %u LUN %u is described twice",
                           unit->target, unit->lun);
        }
        target->first = target->count == 0 ? i : target->first;
        target->count++;
    }
    return 0;
}

static struct vscsi_unit *
find_place(struct vscsi *vscsi, uint32_t target, uint32_t lun)
{
    uint32_t low = vscsi->targets[target].first;
    uint32_t high = low + vscsi->targets[target].count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct vscsi_unit *unit = &vscsi->units[middle];

        if (unit->lun == lun) {
            return unit;
        }
        if (unit->lun < lun) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

uint32_t
vscsi_target_present(const struct vscsi *vscsi, uint32_t target)
{
    const struct vscsi_target *units = &vscsi->targets[target];

    for (uint32_t i = 0; i < units->count; i++) {
        if (atomic_load_explicit(&vscsi->units[units->first + i].present, memory_order_relaxed)) {
            return 1;
        }
    }
    return 0;
}

/* Peripheral device addressing (bus 0) and flat space addressing name the same units; the
 * well-known one has LUN C101h (SAM-5 4.7.7). */
uint32_t
vscsi_find(struct vscsi *vscsi, const uint8_t *field, struct vscsi_unit **unit)
{
    static const uint8_t device_wlu[8] = {0xc1, 0x01};
    uint32_t lun = (uint32_t)field[2] << 8 | field[3];
    struct vscsi_unit *found;

    if (memcmp(field, device_wlu, sizeof(device_wlu)) == 0) {
        return VSCSI_AT_DEVICE_WLU;
    }
    if (field[0] != 1) {
        return VSCSI_AT_NOTHING;
    }
    found = field[2] >> 6 <= 1 && (field[2] == 0 || field[2] >> 6 == 1)
                ? find_place(vscsi, field[1], lun & (VSCSI_LUNS - 1))
                : NULL;
    if ((field[4] | field[5] | field[6] | field[7]) != 0) {
        found = NULL;
        lun = 0;
    }
    if (found != NULL && atomic_load_explicit(&found->present, memory_order_relaxed)) {
        *unit = found;
        return VSCSI_AT_UNIT;
    }
    if (!vscsi_target_present(vscsi, field[1])) {
        return VSCSI_AT_NOTHING;
    }
    return lun == 0xc101 ? VSCSI_AT_TARGET_WLU : VSCSI_AT_ABSENT;
}

void
vscsi_put_lun(const struct vscsi_unit *unit, uint8_t *lun)
{
    memset(lun, 0, 8);
    lun[0] = (uint8_t)((unit->lun >= 256 ? 0x40 : 0) | unit->lun >> 8);
    lun[1] = (uint8_t)unit->lun;
}

void
vscsi_inventory_changed(struct vscsi *vscsi, const struct vscsi_unit *cause)
{
    const struct vscsi_target *units = &vscsi->targets[cause->target];

    for (uint32_t i = 0; i < units->count; i++) {
        struct vscsi_unit *unit = &vscsi->units[units->first + i];
        atomic_store(&unit->changed, unit != cause);
    }
}
