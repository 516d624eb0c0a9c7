/* SPDX-License-Identifier: Apache-2.0 */
/* Expansion ROM images. Reference: PCI Firmware Specification 3.0, 5.1. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Makes the images of a ROM those of a function with these ids: firmware starts none that names
 * another. One image serves many functions (a network boot program those of its whole family), and
 * names one of them. rom: length bytes, whatever they are; what is no image stays as it is. */
void pci_rom_adopt(uint8_t *rom, size_t length, uint16_t vendor_id, uint16_t device_id);
