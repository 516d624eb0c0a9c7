/* SPDX-License-Identifier: Apache-2.0 */
/* Doorbells: writes that ring on a loop. With KVM they are ioeventfds that follow their region;
 * without, or where KVM refuses one, the region's write callback signals the same eventfd. */
#pragma once

#include "plugin/host_region.h"

int doorbell_new(HostRegion *region, const struct bp_doorbell_args *args);
void doorbell_remove(Instance *instance, uint32_t id);
/* The region moved to base, or is not decoded (UINT64_MAX). [vcpu] */
void doorbells_follow(Instance *instance, uint32_t region_id, uint64_t base);
/* True if the write rang a doorbell and goes no further. [vcpu] */
bool doorbell_intercept(HostRegion *region, uint64_t offset, unsigned size, uint64_t value);
void doorbells_withdraw(Instance *instance);
