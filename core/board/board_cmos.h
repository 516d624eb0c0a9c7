/* SPDX-License-Identifier: Apache-2.0 */
/* What a PC's set-up leaves in CMOS: memory sizes, processor count, equipment, checksum. */
#pragma once

#include "board/mc146818.h"
#include "bus/guest_memory.h"

void cmos_fill(Mc146818 *rtc, const GuestMemory *memory, unsigned cpus);
/* Sum over 10h-2Dh, kept in 2Eh (high) and 2Fh (low) as PC BIOSes do. */
void cmos_update_checksum(Mc146818 *rtc);
