/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the board's chips and of PCI configuration space, by the rules of bp.state/1. Not in
 * it: guest memory, what devices and KVM keep, and the virtual clock, which is set to the saved
 * time before board_validate(). All [control], with the vCPUs standing still. */
#pragma once

#include "board/board.h"

#include <backplane/state.h>

/* 0 or what the sink returned. */
int board_save(Board *board, const struct bp_state_sink *sink);
/* Checks without changing anything: data is untrusted. -EINVAL: malformed, impossible, or of a
 * board with other chips. -EPROTO: something that must be understood is not. */
int board_validate(Board *board, const void *data, uint64_t length);
/* Takes over what board_validate() accepted; regions and messages follow, lines and timers do not.
 */
int board_restore(Board *board, const void *data, uint64_t length);
/* Devices are restored, too: lines are driven, timers armed. */
void board_after_restore(Board *board);
