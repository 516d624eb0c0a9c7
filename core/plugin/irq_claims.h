/* SPDX-License-Identifier: Apache-2.0 */
/* Which ISA interrupts devices have claimed: a line that is not shared has one owner. */
#pragma once

#include "plugin/services.h"

/* 0, or -EBUSY: taken and one of the two does not share, or the board itself has it. */
int irq_claims_take(Services *services, unsigned gsi, bool shared);
void irq_claims_release(Services *services, unsigned gsi);
