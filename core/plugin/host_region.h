/* SPDX-License-Identifier: Apache-2.0 */
/* A region as host_region.c keeps it, shared with the doorbells. */
#pragma once

#include "plugin/instance.h"

typedef struct {
    Instance *instance;
    uint32_t id;
    Region *region;
    RegionOps ops; /* what the bus calls; opaque is this */
    struct bp_region_ops plugin;
    void *plugin_opaque;
    bool has_doorbells;
    bool wanted; /* the plugin wants it decoded */
    bool in_bar; /* decoded when the guest says so */
    bool pio;
} HostRegion;
