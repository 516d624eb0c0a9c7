/* SPDX-License-Identifier: Apache-2.0 */
/* The boot order as firmware reads it: the fw_cfg file `bootorder` and CMOS 38h/3Dh. */
#pragma once

#include "board/board.h"

#include <glib.h>
#include <stdint.h>

/* Text of the file, with HALT as its last line when strict. The terminating NUL belongs to the
 * file. NULL: ERROR_CONFIG. */
char *boot_order_text(const BoardBootOrder *order, GError **error);
/* CMOS 38h (third device in the high nibble) and 3Dh (first in the low nibble,
 * second in the high). */
void boot_order_cmos(const BoardBootOrder *order, uint8_t *cell_38, uint8_t *cell_3d);
