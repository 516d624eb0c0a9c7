/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the front. With the lock held. */
#pragma once

#include <backplane/sdk/scsi_front.h>

/* Sees to it that the queue's loop comes and delivers. */
void front_kick(struct bp_scsi_queue *queue);
/* The command was delivered: functions have waited for it. */
void front_function_delivered(struct bp_scsi_slot *slot);
