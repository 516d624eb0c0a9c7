/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that the guest and its test agree on. */
#pragma once

#define PORT_HELLO    0x0e9
#define PORT_WIDTHS   0x500 /* logs every access; reads give PATTERN by width */
#define PORT_BLOCK    0x520
#define PORT_DOORBELL 0x540
#define PORT_LOAD     0x560
#define PORT_REPORT   0x600 /* 32-bit messages to the test */

#define MMIO_BASE     0xd0000000u
#define MMIO_SIZE     0x1000u
#define MMIO_DOORBELL 0xd0001000u

#define PATTERN 0x44332211u

#define REPORT_READY     0x1000u
#define REPORT_DONE      0x1001u
#define REPORT_INTERRUPT 0x2000u     /* + vector */
#define REPORT_AP        0xa9000000u /* + APIC id */

#define BLOCK_COUNT 100u

#define VECTOR_NMI      0x02
#define VECTOR_PIC      0x20 /* + IRQ */
#define VECTOR_PIC_IRQ4 0x24
#define VECTOR_MSI      0x50
#define VECTOR_LEVEL    0x51
