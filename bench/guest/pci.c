/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration, mechanism 1, bus 0. */
#include "guest.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA    0xcfc
#define FUNCTIONS    256u

uint32_t
pci_read(uint32_t function, unsigned offset)
{
    outl(PORT_ADDRESS, 1u << 31 | function << 8 | (offset & 0xfc));
    return inl(PORT_DATA);
}

void
pci_write(uint32_t function, unsigned offset, uint32_t value)
{
    outl(PORT_ADDRESS, 1u << 31 | function << 8 | (offset & 0xfc));
    outl(PORT_DATA, value);
}

uint32_t
pci_find(uint32_t vendor_device, unsigned skip)
{
    for (uint32_t function = 0; function < FUNCTIONS; function++) {
        if (pci_read(function, 0) == vendor_device && skip-- == 0) {
            return function;
        }
    }
    return PCI_NONE;
}

uint32_t
pci_find_class(uint32_t class_subclass)
{
    for (uint32_t function = 0; function < FUNCTIONS; function++) {
        if (pci_read(function, 0) != PCI_NONE && pci_read(function, 8) >> 16 == class_subclass) {
            return function;
        }
    }
    return PCI_NONE;
}

/* Decodes ports and memory, may be a master. */
void
pci_enable(uint32_t function)
{
    pci_write(function, 4, (pci_read(function, 4) & 0xffff) | 7);
}

uint64_t
pci_bar(uint32_t function, unsigned index)
{
    uint32_t low = pci_read(function, 0x10 + 4 * index);

    if (low & 1) {
        return low & ~3u;
    }
    if ((low & 6) == 4 && pci_read(function, 0x14 + 4 * index) != 0) {
        fail("a BAR above 4 GiB");
    }
    return low & ~15u;
}
