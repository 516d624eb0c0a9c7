/* SPDX-License-Identifier: Apache-2.0 */
/* The SMBus host of the PIIX4, with no device on its bus: each transfer ends at once with a device
 * error, as one that nobody acknowledges. Reference: 82371AB, Intel 290562, 7.3. No locking. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PIIX4_SMBUS_BLOCK 32u

typedef struct {
    uint8_t registers[16];
    uint8_t block[PIIX4_SMBUS_BLOCK];
    unsigned block_index;
} Piix4Smbus;

void piix4_smbus_reset(Piix4Smbus *smbus);
uint8_t piix4_smbus_read(Piix4Smbus *smbus, unsigned offset);
void piix4_smbus_write(Piix4Smbus *smbus, unsigned offset, uint8_t value);
/* An enabled interrupt is pending. */
bool piix4_smbus_interrupt(const Piix4Smbus *smbus);
