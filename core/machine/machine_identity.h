/* SPDX-License-Identifier: Apache-2.0 */
/* Whether two backends hold the same disk. */
#pragma once

#include "machine/machine.h"
#include "plugin/instance.h"

/* A disk says who it is at its ends: partition tables with their signatures and GUIDs, the labels
 * of file systems. So these are compared, 64 KiB at each end: a copy, or another way to the same
 * image, is the same disk. Nothing may write to either meanwhile. Takes as long as reading does, at
 * most a few seconds. ERROR_STATE: another one; ERROR_UNSUPPORTED: no disk. [control] */
bool machine_same_disk(Machine *machine, Instance *one, Instance *other, GError **error);
