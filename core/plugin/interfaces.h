/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces this core offers to plugins, and their sizes: what a note's needs are held
 * against. */
#pragma once

#include <stdint.h>

typedef struct {
    const char *id;
    uint32_t size;
} HostInterface;

extern const HostInterface host_interfaces[]; /* ends with id NULL */
