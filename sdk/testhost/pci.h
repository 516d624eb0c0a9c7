/* SPDX-License-Identifier: Apache-2.0 */
/* One PCI function of the fake host: pci.c keeps configuration space, message.c MSI and MSI-X. */
#ifndef TESTHOST_PCI_H
#define TESTHOST_PCI_H

#include "th.h"

struct th_vector {
    uint64_t address;
    uint32_t data;
    uint32_t masked;
    uint32_t pending;
    uint32_t fired;
    int fd; /* -1: not asked for */
};

struct th_pci {
    uint32_t devfn;
    struct bp_pci_ops ops;
    void *opaque;
    struct bp_pci_bar bars[6];
    uint8_t config[256], reset[256], write_mask[256], clear_mask[256], declared[256];
    uint32_t msi_capability, msi_vectors;
    uint32_t msix_capability, vector_count, msix_bar, table_offset, pba_offset;
    struct th_vector *vectors; /* MSI-X */
    uint32_t msi_fired[32];
};

int32_t th_pci_add_capability(struct bp_instance *instance, uint32_t id, uint32_t offset,
                              uint32_t length, const uint8_t *data, const uint8_t *write_mask);
int th_msi_on(const struct bp_instance *instance);
int th_msix_on(const struct bp_instance *instance);
void th_message_config_written(struct bp_instance *instance);
void th_message_reset(struct bp_instance *instance);
void th_message_drop(struct bp_instance *instance);

#endif
