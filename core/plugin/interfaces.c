/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/interfaces.h"

#include <backplane/backplane.h>

#include <stddef.h>

const HostInterface host_interfaces[] = {
    {BP_LOG_ID, sizeof(struct bp_log_host)},          {BP_CONFIG_ID, sizeof(struct bp_config_host)},
    {BP_MEMORY_ID, sizeof(struct bp_memory_host)},    {BP_REGION_ID, sizeof(struct bp_region_host)},
    {BP_IRQ_ID, sizeof(struct bp_irq_host)},          {BP_PCI_ID, sizeof(struct bp_pci_host)},
    {BP_MSI_ID, sizeof(struct bp_msi_host)},          {BP_MSIX_ID, sizeof(struct bp_msix_host)},
    {BP_ISADMA_ID, sizeof(struct bp_isadma_host)},    {BP_TIMER_ID, sizeof(struct bp_timer_host)},
    {BP_LOOP_ID, sizeof(struct bp_loop_host)},        {BP_CORE_ID, sizeof(struct bp_core_host)},
    {BP_MEDIA_HOST_ID, sizeof(struct bp_media_host)}, {NULL, 0},
};
