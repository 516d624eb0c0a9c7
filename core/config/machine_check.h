/* SPDX-License-Identifier: Apache-2.0 */
/* What a schema cannot say about the "machine" group. */
#pragma once

#include "config/plan.h"

/* Checks the group, already held against machine_props; fills in boot.firmware if it is absent and
 * a usual one is installed. Files that boot names are opened for reading, nothing else.
 * [control] */
void machine_check(MachinePlan *plan, ErrorList *errors);
