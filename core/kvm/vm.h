/* SPDX-License-Identifier: Apache-2.0 */
/* The only user of ioctl(KVM_*): virtual machine, memory slots, vCPU threads, in-kernel interrupt
 * controllers, ioeventfd and irqfd. */
#pragma once

#include "bus/irq.h"
#include "bus/msi.h"
#include "bus/physical.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Vm Vm;

/* Guest-physical pages that KVM needs for itself on Intel hosts without unrestricted guest: one for
 * an identity map, three for a TSS. Just below the largest firmware (16 MiB under 4 GiB) and above
 * the local APICs' page. Not RAM; memory maps call them reserved. */
#define VM_RESERVED_START UINT64_C(0xfeffc000)
#define VM_RESERVED_END   UINT64_C(0xff000000)

typedef enum {
    VM_IRQCHIP_KERNEL, /* 8259s, IOAPIC, PIT and local APICs in KVM */
    VM_IRQCHIP_SPLIT,  /* local APICs in KVM; 8259s, IOAPIC and PIT are the board's */
} VmIrqchip;

/* What a vCPU thread reports; called on that thread, which then waits until vm_resume() or ends. */
typedef enum {
    VM_EVENT_SHUTDOWN,     /* triple fault */
    VM_EVENT_SYSTEM_RESET, /* KVM_SYSTEM_EVENT_RESET */
    VM_EVENT_SYSTEM_SHUTDOWN,
    VM_EVENT_INTERNAL_ERROR, /* KVM cannot go on: the text says where (rip, suberror) */
} VmEvent;

typedef struct {
    unsigned cpus;   /* 1..255 */
    const char *cpu; /* "host" or "host,-avx,-x2apic,+..." ; NULL is "host" */
    VmIrqchip irqchip;
    const PhysicalBus *bus;
    IrqLines *irqs; /* its sink becomes KVM's irqchip when VM_IRQCHIP_KERNEL */
    void (*event)(void *opaque, VmEvent event, const char *text);
    void *opaque;
    /* VM_IRQCHIP_SPLIT: the pending vector of the board's 8259 (acknowledges it), or -1. */
    int (*pic_ack)(void *opaque);
    void (*ioapic_eoi)(void *opaque, uint8_t vector);
    void *irqchip_opaque;
} VmArgs;

/* Explains a missing or unusable /dev/kvm and how to get it (module, group, BIOS setting). */
bool vm_available(GError **error);

Vm *vm_new(const VmArgs *args, GError **error);
void vm_free(Vm *vm); /* stops first */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vm, vm_free)

MsiController *vm_msi(Vm *vm);

/* Memory slots and vCPU threads exist after vm_start(), paused or running. pause returns when every
 * vCPU is out of KVM_RUN and of all device code. kick: the vCPU notices a change soon. [control] */
bool vm_start(Vm *vm, bool paused, GError **error);
void vm_pause(Vm *vm);
void vm_resume(Vm *vm);
void vm_stop(Vm *vm);
bool vm_is_running(const Vm *vm);
/* Power-on state of every vCPU: BSP at the reset vector (or at the entry set below), APs waiting
 * for SIPI; APICs, PIT, PICs reset; kvmclock left alone. vCPUs paused. [control] */
void vm_reset(Vm *vm);

/* Direct boot: the BSP starts like this instead of at FFFFFFF0h, now and after each vm_reset(). */
typedef struct {
    bool long_mode; /* 64-bit with the page tables at cr3; else 32-bit flat, paging off */
    uint64_t rip, rsp, rbx, rsi, cr3;
    uint64_t gdt_base; /* GDT already in guest memory */
    uint16_t gdt_limit;
    uint16_t code_selector, data_selector, tss_selector;
    uint64_t tss_base;
} VmEntry;
void vm_set_entry(Vm *vm, const VmEntry *entry);
/* Direct boot, VM_IRQCHIP_KERNEL: bit n: IRQ n is level-triggered after each vm_reset() to come. */
void vm_set_elcr(Vm *vm, uint16_t elcr);

void vm_inject_nmi(Vm *vm);
/* Split irqchip: the board's 8259 has something (level) for the BSP's ExtINT. [any] */
void vm_set_extint(Vm *vm, bool level);

/* A write that signals an eventfd and then causes no exit. */
typedef struct {
    bool is_pio;
    uint64_t address;
    unsigned width; /* bytes; 0: any */
    bool has_match; /* only this value */
    uint64_t match;
    int fd;
} VmIoeventfd;
/* 0 or -errno; removing takes the same description. [control] [vcpu] */
int vm_ioeventfd(Vm *vm, bool add, const VmIoeventfd *ioeventfd);

typedef struct {
    uint64_t pio_exits, mmio_exits, halt_exits, other_exits;
} VmStats;
/* The thread that runs it, 0 if there is none. */
int vm_cpu_thread(const Vm *vm, unsigned cpu);
void vm_stats(const Vm *vm, unsigned cpu, VmStats *stats);
uint64_t vm_tsc_khz(const Vm *vm);
