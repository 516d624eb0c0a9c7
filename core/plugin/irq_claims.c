/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin/irq_claims.h"

#include <errno.h>

/* Timer, keyboard, cascade, RTC, SCI and mouse belong to the board; the SCI is level and shared. */
#define BOARD_IRQS ((1u << 0) | (1u << 1) | (1u << 2) | (1u << 8) | (1u << 12))

int
irq_claims_take(Services *services, unsigned gsi, bool shared)
{
    IrqClaim *claim = &services->irq_claims[gsi];

    if ((BOARD_IRQS & (1u << gsi)) != 0) {
        return -EBUSY;
    }
    if (claim->count > 0 && !(claim->shared && shared)) {
        return -EBUSY;
    }
    claim->count++;
    claim->shared = shared;
    return 0;
}

void
irq_claims_release(Services *services, unsigned gsi)
{
    services->irq_claims[gsi].count--;
}
