/* SPDX-License-Identifier: Apache-2.0 */
/* The file in which machines that share a disk keep its persistent reservations.
 *
 * Two images of the state (reserve.c) at 0 and 4096; change n is written to image n % 2 and made
 * durable before anybody hears of it, so that a torn write leaves the one before. A file without
 * content is the state without registrations.
 *
 * Locks are open-file-description locks on bytes far behind: they end with the process that had
 * them, and hold across hosts where the file system's do. A machine reads STATE for as long as
 * commands are in flight that it has admitted; who changes the state writes it, and so knows that
 * no command of the time before is on its way any more. INTENT lets writers go first. PRESENCE is
 * read by everybody who has the unit: who can write it is alone, which is the unit's power-on. */
#pragma once

#include "reserve.h"

#define RESERVE_LOCK_STATE    0u
#define RESERVE_LOCK_INTENT   1u
#define RESERVE_LOCK_PRESENCE 2u
#define RESERVE_LOCK_NAMES    16u /* and more: one for each initiator, by its name */

#define RESERVE_UNLOCK 0u
#define RESERVE_SHARE  1u
#define RESERVE_OWN    2u

/* Does not wait. -EAGAIN: another has it. */
int32_t reserve_file_lock(int32_t fd, uint64_t what, uint32_t how) BP_MUST_CHECK;
/* The byte that belongs to an initiator's name. */
uint64_t reserve_file_name(const uint8_t *id, uint32_t length);
/* Whether there is a later state. */
uint32_t reserve_file_changed(int32_t fd, const struct bp_scsi_reservations *state);
/* -EUCLEAN: no image is whole. */
int32_t reserve_file_read(int32_t fd, struct bp_scsi_reservations *ret_state) BP_MUST_CHECK;
int32_t reserve_file_write(int32_t fd, const struct bp_scsi_reservations *state) BP_MUST_CHECK;
