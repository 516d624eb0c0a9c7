/* SPDX-License-Identifier: Apache-2.0 */
/* MultiProcessor Specification 1.4 tables, for guests that boot without firmware and do not use
 * ACPI. */
#pragma once

#include "board/pci_routes.h"

#include <glib.h>
#include <stdint.h>

#define MPTABLE_FLOATING_SIZE 16u

/* The configuration table; and the floating pointer that finds it at config_gpa. */
GByteArray *mptable_config_new(unsigned cpus, const GArray *routes);
GByteArray *mptable_floating_new(uint32_t config_gpa);
