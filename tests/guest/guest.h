/* SPDX-License-Identifier: Apache-2.0 */
/* The freestanding guest's world: ports, memory-mapped registers, interrupts. Its command line
 * names what it does (guest_main.c). It tells the host by 32-bit writes to the report port. */
#pragma once

#include <stdint.h>

#include "guest_insn.h"
#include "guest_ports.h"

typedef struct {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp, memory_map;
    uint32_t memory_map_count, reserved;
} GuestStartInfo;

static inline void
report(uint32_t value)
{
    outl(PORT_REPORT, value);
}

static inline uint32_t
read32(uint32_t address)
{
    return *(volatile uint32_t *)(uintptr_t)address;
}

static inline void
write32(uint32_t address, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)address = value;
}

/* Interrupts on, sleep until one came; the pair is atomic (STI's shadow). */
static inline void
sleep_once(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* guest_irq.c */
void guest_interrupt(uint32_t vector);
void guest_run_pic(void);
void guest_run_ioapic(void);
void guest_run_msi(void);
void guest_run_nmi(void);
void guest_run_extint(void);
void guest_run_level(void);
void guest_run_smp(void);
void guest_run_elcr(void);
/* guest_io.c */
void guest_run_hello(void);
void guest_run_widths(void);
void guest_run_blocks(void);
void guest_run_doorbells(void);
void guest_run_load(void);
void guest_run_triple_fault(void);
void guest_run_rom(void);
void guest_run_undefined(void);

void guest_main(const GuestStartInfo *info);
