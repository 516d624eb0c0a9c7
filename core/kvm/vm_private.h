/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of core/kvm share. Reference for every KVM_* call: Documentation/virt/kvm/api.rst
 * of Linux.
 *
 * Threads: the control thread owns the Vm; one thread per vCPU runs vcpu_thread(). Lock order:
 * Vm.lock and Vm.route_lock are leaves, never held together, never held while calling out. */
#pragma once

#include "kvm/vm.h"

#include <glib.h>
#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define VM_IDENTITY_MAP_ADDRESS VM_RESERVED_START
#define VM_TSS_ADDRESS          (VM_RESERVED_START + UINT64_C(0x1000))

#define VM_CPUS_MAX 255 /* xAPIC ids 0..254; 255 is the broadcast id */

/* The state of a vCPU at power-on, taken once after its creation and put back by every reset. */
typedef struct {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    struct kvm_debugregs debugregs;
    struct kvm_mp_state mp_state;
    struct kvm_xcrs xcrs;
    bool has_xcrs;
    struct kvm_nested_state nested; /* its header alone: no guest of the guest runs at power-on */
    bool has_nested;
    struct kvm_msrs *msrs; /* owned */
} VcpuState;

typedef struct {
    Vm *vm;
    unsigned index; /* also the APIC id */
    int fd;
    struct kvm_run *run; /* shared with the kernel; immediate_exit is written by any thread */
    GThread *thread;
    _Atomic pid_t tid; /* target of a kick, 0 while there is no thread */

    /* Written by the vCPU's thread only, read by any. */
    _Atomic uint64_t pio_exits, mmio_exits, halt_exits, other_exits;

    _Atomic bool nmi;    /* an NMI is to be given to LINT1 */
    _Atomic bool extint; /* split irqchip, BSP: level of the 8259's INTR */

    bool parked;  /* outside KVM_RUN and device code; protected by Vm.lock */
    bool waiting; /* reported an event: parked until vm_resume(); protected by Vm.lock */

    VcpuState initial;
} Vcpu;

typedef enum {
    VM_PAUSED,
    VM_RUNNING,
    VM_STOPPING,
} VmState;

/* The message behind an eventfd; see irq_route.c for the order of masking. */
struct MsiVector {
    unsigned gsi;
    int fd;        /* the eventfd; the vector's for its whole life */
    bool assigned; /* an irqfd is attached */
    bool routed;   /* address and data are in the routing table */
    bool pending;  /* was fired while masked and not taken yet */
    uint64_t address;
    uint32_t data;
};

struct Vm {
    int kvm_fd, fd;
    size_t run_size;    /* bytes of the kvm_run mapping */
    size_t xsave_bytes; /* size of KVM_SET_XSAVE's buffer */
    VmIrqchip irqchip;
    const PhysicalBus *bus;
    IrqLines *irqs;
    void (*event)(void *opaque, VmEvent event, const char *text);
    void *opaque;
    int (*pic_ack)(void *opaque);
    void (*ioapic_eoi)(void *opaque, uint8_t vector);
    void *irqchip_opaque;

    Vcpu *vcpus;
    unsigned cpus; /* how many of vcpus[] exist */
    uint64_t tsc_khz;
    bool has_entry;
    VmEntry entry;

    GMutex lock;       /* protects: state, Vcpu.parked, Vcpu.waiting */
    GCond state_moved; /* state changed: vCPUs look */
    GCond parked;      /* a vCPU parked: vm_pause() looks */
    VmState state;
    bool started;
    bool is_bound; /* KVM's memory slots follow the guest's memory */
    bool is_reset; /* power-on state is in place: vm_start() need not do it */

    /* Power-on state of KVM's own chips. */
    struct kvm_irqchip chips[3];
    struct kvm_pit_state2 pit;

    GMutex route_lock; /* protects: vectors and every MsiVector; serialises KVM_SET_GSI_ROUTING */
    MsiController msi;
    MsiVector **vectors;   /* by GSI */
    unsigned vector_count; /* length of vectors[] */
    unsigned gsi_limit;    /* GSIs this host's KVM can route */
    bool has_sink;
};

/* ioctl() that gives -errno instead of -1. */
int kvm_ioctl(int fd, unsigned long request, void *argument);
/* The same for requests whose argument is a number. */
int kvm_ioctl_value(int fd, unsigned long request, unsigned long value);
/* "KVM_X: No such device" as an ERROR_HOST; returns false. */
bool kvm_error(GError **error, const char *what, int negative_errno);

#define KVM_DEVICE "/dev/kvm"
/* available.c: the opened device, checked, or -1. */
int kvm_open(const char *path, GError **error);

/* slots.c */
bool vm_bind_memory(Vm *vm, GError **error);

/* irq_route.c */
bool vm_init_irq(Vm *vm, GError **error);
void vm_done_irq(Vm *vm);

/* vcpu.c */
bool vcpu_init(Vcpu *vcpu, Vm *vm, unsigned index, GError **error);
void vcpu_done(Vcpu *vcpu);
/* Makes the vCPU leave KVM_RUN, or not enter it, and look at the Vm's state. [any] */
void vcpu_kick(Vcpu *vcpu);
/* Tells the machine; the vCPU must park next, until vm_resume(). [vcpu] */
void vcpu_report(Vcpu *vcpu, VmEvent event, const char *text);

/* vcpu_exit.c: acts on run->exit_reason. False: reported an event, the vCPU must park. [vcpu] */
bool vcpu_dispatch(Vcpu *vcpu);
/* Reports a KVM_RUN that failed with -errno. */
void vcpu_report_failure(Vcpu *vcpu, int negative_errno);

/* vcpu_state.c */
bool vcpu_state_capture(Vcpu *vcpu, GError **error);
/* 0 or -errno, and which call failed. */
int vcpu_state_restore(Vcpu *vcpu, const char **ret_what);
