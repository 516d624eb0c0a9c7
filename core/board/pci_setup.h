/* SPDX-License-Identifier: Apache-2.0 */
/* What firmware does to PCI before an operating system starts, for direct boots: BARs placed,
 * decoding on, interrupt lines noted. */
#pragma once

#include "bus/pci.h"

#include <stdint.h>

/* Memory BARs go to [memory_start, memory_end), ports to C000h and up. A BAR that finds no room
 * stays unplaced, with a warning. */
void pci_setup(PciBus *bus, uint32_t memory_start, uint32_t memory_end);
