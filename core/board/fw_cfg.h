/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware configuration device (ACPI id QEMU0002): items by number and files by name, read by
 * port (selector 510h, data 511h) or by DMA (514h-51Bh). Reference: "QEMU Firmware Configuration
 * (fw_cfg) Device", the interface's public specification.
 * Items are filled before the machine runs. */
#pragma once

#include "base/chip_state.h"
#include "bus/physical.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct FwCfg FwCfg;

#define FW_CFG_NAME_MAX 55u /* and a NUL: the directory has 56 bytes for it */

enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NO_GRAPHIC = 0x04,
    FW_CFG_CPU_COUNT = 0x05,
    FW_CFG_NUMA = 0x0D,
    FW_CFG_BOOT_MENU = 0x0E,
    FW_CFG_MAX_CPUS = 0x0F,
    FW_CFG_FILE_DIRECTORY = 0x19,
    FW_CFG_FIRST_FILE = 0x20,
    FW_CFG_IRQ0_OVERRIDE = 0x8002,
};

FwCfg *fw_cfg_new(const PhysicalBus *bus, GError **error);
void fw_cfg_free(FwCfg *fw_cfg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FwCfg, fw_cfg_free)
void fw_cfg_reset(FwCfg *fw_cfg);
/* See base/chip_state.h. */
void fw_cfg_state(void *chip, ChipState *state);

/* Sets or replaces an item; data is copied. Not for file keys (FW_CFG_FIRST_FILE up). [control] */
void fw_cfg_set(FwCfg *fw_cfg, uint16_t key, const void *data, size_t length);
void fw_cfg_set_int(FwCfg *fw_cfg, uint16_t key, uint64_t value, unsigned size); /* little-endian */
/* Files keep alphabetical order in the directory. ERROR_CONFIG: empty name, longer than 55 bytes,
 * given twice, too many (16352). [control] */
bool fw_cfg_add_file(FwCfg *fw_cfg, const char *name, const void *data, size_t length,
                     GError **error);
/* Borrowed until the file is replaced; NULL: no such file. [control] */
const void *fw_cfg_file(const FwCfg *fw_cfg, const char *name, size_t *length);
