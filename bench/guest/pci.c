/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration, mechanism 1, bus 0. */
#include "guest.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA    0xcfc
#define FUNCTIONS    256u

/* MSI-X (PCI 3.0, 6.8.2), and a message to the local APIC of CPU 0 (Intel SDM vol. 3, 11.11). */
#define CAP_MSIX         0x11
#define MSIX_ENABLE      (1u << 31)
#define MSIX_BIR         7u
#define APIC_SPURIOUS    0xfee000f0u
#define APIC_SOFTWARE_ON 0x1ffu
#define MESSAGE_ADDRESS  0xfee00000u
#define INTERRUPT_VECTOR 0x40u /* start.S */
#define PORT_PIC_MASK_1  0x21
#define PORT_PIC_MASK_2  0xa1

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

void
pci_enable_message(uint32_t function)
{
    unsigned at = pci_read(function, 0x34) & 0xfc;

    while (at != 0 && (pci_read(function, at) & 0xff) != CAP_MSIX) {
        at = pci_read(function, at) >> 8 & 0xfc;
    }
    if (at == 0) {
        fail("no MSI-X");
    }
    uint32_t table = pci_read(function, at + 4);
    volatile uint32_t *entry =
        (volatile uint32_t *)(uintptr_t)(pci_bar(function, table & MSIX_BIR) + (table & ~MSIX_BIR));

    outb(PORT_PIC_MASK_1, 0xff); /* firmware leaves the timer's interrupt on */
    outb(PORT_PIC_MASK_2, 0xff);
    *(volatile uint32_t *)(uintptr_t)APIC_SPURIOUS = APIC_SOFTWARE_ON;
    entry[0] = MESSAGE_ADDRESS;
    entry[1] = 0;
    entry[2] = INTERRUPT_VECTOR;
    entry[3] = 0;
    pci_write(function, at, pci_read(function, at) | MSIX_ENABLE);
}
