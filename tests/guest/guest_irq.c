/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts by 8259, IOAPIC, MSI, NMI; starting the other processors. References: Intel 8259A data
 * sheet, Intel 82093AA data sheet, Intel SDM vol. 3, chapter 11. */
#include "guest.h"

#define PIC_MASTER 0x20
#define PIC_SLAVE  0xa0
#define PIC_EOI    0x20
#define ELCR_PORT  0x4d0

#define APIC_BASE     0xfee00000u
#define APIC_EOI      (APIC_BASE + 0xb0)
#define APIC_SPURIOUS (APIC_BASE + 0xf0)
#define APIC_ICR      (APIC_BASE + 0x300)
#define APIC_ENABLED  0x1ff

#define IOAPIC_INDEX 0xfec00000u
#define IOAPIC_DATA  0xfec00010u
#define IOAPIC_TABLE 0x10

#define ICR_INIT_OTHERS 0x000c4500u
#define ICR_SIPI_OTHERS 0x000c4600u
#define ICR_PENDING     0x1000u
#define AP_ADDRESS      0x30000u

typedef struct {
    uint16_t low;
    uint16_t selector;
    uint16_t flags;
    uint16_t high;
} Gate;

void stub_0x02(void);
void stub_0x20(void);
void stub_0x24(void);
void stub_0x50(void);
void stub_0x51(void);
extern const uint8_t ap_start[], ap_end[];

static void
set_gate(Gate *idt, unsigned vector, void (*stub)(void))
{
    uint32_t address = (uint32_t)(uintptr_t)stub;

    idt[vector] = (Gate){
        .low = (uint16_t)address,
        .selector = 0x08,
        .flags = 0x8e00, /* present, 32-bit interrupt gate */
        .high = (uint16_t)(address >> 16),
    };
}

static void
load_idt(void)
{
    static Gate idt[256];
    const struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint32_t)(uintptr_t)idt};

    set_gate(idt, VECTOR_NMI, stub_0x02);
    set_gate(idt, VECTOR_PIC, stub_0x20);
    set_gate(idt, VECTOR_PIC_IRQ4, stub_0x24);
    set_gate(idt, VECTOR_MSI, stub_0x50);
    set_gate(idt, VECTOR_LEVEL, stub_0x51);
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void
guest_interrupt(uint32_t vector)
{
    if (vector == VECTOR_PIC_IRQ4) {
        outb(PIC_MASTER, PIC_EOI);
    } else if (vector == VECTOR_MSI || vector == VECTOR_LEVEL) {
        write32(APIC_EOI, 0);
    }
    report(REPORT_INTERRUPT + vector);
}

static void
sleep_forever(void)
{
    report(REPORT_READY);
    for (;;) {
        sleep_once();
    }
}

/* Virtual wire: 8259 to LINT0 as the machine comes up, the APIC is not touched. */
void
guest_run_pic(void)
{
    load_idt();
    outb(PIC_MASTER, 0x11); /* ICW1: edge, cascade, ICW4 */
    outb(PIC_MASTER + 1, VECTOR_PIC);
    outb(PIC_MASTER + 1, 0x04);
    outb(PIC_MASTER + 1, 0x01);
    outb(PIC_MASTER + 1, 0xef); /* IRQ 4 alone */
    sleep_forever();
}

void
guest_run_ioapic(void)
{
    load_idt();
    outb(PIC_MASTER + 1, 0xff); /* the line reaches both: the 8259 must not answer */
    outb(PIC_SLAVE + 1, 0xff);
    write32(APIC_SPURIOUS, APIC_ENABLED);
    write32(IOAPIC_INDEX, IOAPIC_TABLE + 2 * 4 + 1);
    write32(IOAPIC_DATA, 0);
    write32(IOAPIC_INDEX, IOAPIC_TABLE + 2 * 4);
    write32(IOAPIC_DATA, VECTOR_MSI); /* edge, physical, unmasked */
    sleep_forever();
}

void
guest_run_msi(void)
{
    load_idt();
    write32(APIC_SPURIOUS, APIC_ENABLED);
    sleep_forever();
}

/* The 8259s' trigger modes as they came up. */
void
guest_run_elcr(void)
{
    report(inb(ELCR_PORT) | (uint32_t)inb(ELCR_PORT + 1) << 8);
}

void
guest_run_level(void)
{
    guest_run_msi();
}

void
guest_run_extint(void)
{
    load_idt();
    sleep_forever();
}

void
guest_run_nmi(void)
{
    load_idt();
    report(REPORT_READY);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

static void
send_ipi(uint32_t command)
{
    write32(APIC_ICR, command);
    while ((read32(APIC_ICR) & ICR_PENDING) != 0) {
    }
}

void
guest_run_smp(void)
{
    volatile uint8_t *target = (volatile uint8_t *)AP_ADDRESS;

    for (uint32_t i = 0; i < (uint32_t)(ap_end - ap_start); i++) {
        target[i] = ap_start[i];
    }
    write32(APIC_SPURIOUS, APIC_ENABLED);
    send_ipi(ICR_INIT_OTHERS);
    send_ipi(ICR_SIPI_OTHERS | (AP_ADDRESS >> 12));
    report(REPORT_READY);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
