/* SPDX-License-Identifier: Apache-2.0 */
/* Port and memory accesses of every shape. */
#include "guest.h"

#define ROM_BASE 0xffff0000u

void
guest_run_hello(void)
{
    outb(PORT_HELLO, 'B');
    report(REPORT_DONE);
}

void
guest_run_widths(void)
{
    volatile uint8_t *mmio = (volatile uint8_t *)MMIO_BASE;

    outb(PORT_WIDTHS, 0x11);
    outw(PORT_WIDTHS + 2, 0x2211);
    outl(PORT_WIDTHS + 4, PATTERN);
    report(inb(PORT_WIDTHS));
    report(inw(PORT_WIDTHS + 2));
    report(inl(PORT_WIDTHS + 4));
    mmio[0] = 0x11;
    *(volatile uint16_t *)(mmio + 2) = 0x2211;
    *(volatile uint32_t *)(mmio + 4) = PATTERN;
    report(mmio[0]);
    report(*(volatile uint16_t *)(mmio + 2));
    report(*(volatile uint32_t *)(mmio + 4));
    report(inl(PORT_WIDTHS + 0x18)); /* nobody there */
    report(read32(MMIO_BASE + 0x100000));
    report(REPORT_DONE);
}

static void
rep_out(uint16_t port, unsigned size, const void *data, uint32_t count)
{
    switch (size) {
    case 1:
        __asm__ volatile("rep outsb" : "+S"(data), "+c"(count) : "d"(port) : "memory");
        break;
    case 2:
        __asm__ volatile("rep outsw" : "+S"(data), "+c"(count) : "d"(port) : "memory");
        break;
    default:
        __asm__ volatile("rep outsl" : "+S"(data), "+c"(count) : "d"(port) : "memory");
    }
}

static void
rep_in(uint16_t port, unsigned size, void *data, uint32_t count)
{
    switch (size) {
    case 1:
        __asm__ volatile("rep insb" : "+D"(data), "+c"(count) : "d"(port) : "memory");
        break;
    case 2:
        __asm__ volatile("rep insw" : "+D"(data), "+c"(count) : "d"(port) : "memory");
        break;
    default:
        __asm__ volatile("rep insl" : "+D"(data), "+c"(count) : "d"(port) : "memory");
    }
}

/* Out: bytes 0, 1, 2, ...; in: the host sends the same, the sum comes back. */
void
guest_run_blocks(void)
{
    static uint8_t data[BLOCK_COUNT * 4];

    for (unsigned size = 1; size <= 4; size *= 2) {
        uint32_t sum = 0;

        for (unsigned i = 0; i < sizeof(data); i++) {
            data[i] = (uint8_t)i;
        }
        rep_out(PORT_BLOCK, size, data, BLOCK_COUNT);
        for (unsigned i = 0; i < sizeof(data); i++) {
            data[i] = 0;
        }
        rep_in(PORT_BLOCK, size, data, BLOCK_COUNT);
        for (unsigned i = 0; i < sizeof(data); i++) {
            sum += (uint32_t)data[i] * (i + 1);
        }
        report(sum);
    }
    report(REPORT_DONE);
}

void
guest_run_doorbells(void)
{
    outl(PORT_DOORBELL, 7);
    outl(PORT_DOORBELL, 8);
    outw(PORT_DOORBELL, 7);
    write32(MMIO_DOORBELL, 1);
    *(volatile uint16_t *)MMIO_DOORBELL = 2;
    report(REPORT_DONE);
}

void
guest_run_load(void)
{
    for (uint32_t i = 0;; i++) {
        outl(PORT_LOAD, i);
    }
}

void
guest_run_triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) none = {0, 0};

    __asm__ volatile("lidt %0; ud2" : : "m"(none));
}

/* Writes to ROM are lost. */
void
guest_run_rom(void)
{
    uint32_t before = read32(ROM_BASE);

    report(before);
    write32(ROM_BASE, ~before);
    report(read32(ROM_BASE));
    report(REPORT_DONE);
}

/* Jumps to where neither memory nor ROM is. */
void
guest_run_undefined(void)
{
    __asm__ volatile("jmp *%0" : : "r"(0xe0000000u));
}
