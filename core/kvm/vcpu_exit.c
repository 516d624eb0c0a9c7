/* SPDX-License-Identifier: Apache-2.0 */
/* What a vCPU left KVM_RUN for. The two common reasons, port and memory accesses, take no lock and
 * allocate nothing. */
#include "kvm/vm_private.h"

#include <string.h>

/* A processor takes at most this many bytes for one instruction (Intel SDM vol. 2, 2.3.11). */
#define INSTRUCTION_BYTES_MAX 15

/* The counters have one writer: no locked instruction is needed. */
static void
count_exit(_Atomic uint64_t *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

static void
exit_pio(Vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    AddressSpace *pio = vcpu->vm->bus->pio;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;
    uint32_t value = 0;

    if (G_UNLIKELY(run->io.count != 1)) {
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            address_space_write_block(pio, run->io.port, size, run->io.count, data);
        } else {
            address_space_read_block(pio, run->io.port, size, run->io.count, data);
        }
        return;
    }
    /* size is 1, 2 or 4: KVM knows no other. */
    if (run->io.direction == KVM_EXIT_IO_OUT) {
        memcpy(&value, data, size);
        address_space_write(pio, run->io.port, size, value);
    } else {
        value = (uint32_t)address_space_read(pio, run->io.port, size);
        memcpy(data, &value, size);
    }
}

/* An access may lie on memory after all: ROM (writes are lost), a shadowed segment with separate
 * read and write sides, or RAM whose slot was just being moved. physical_*() sorts that out. */
static void
exit_mmio(Vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;

    if (run->mmio.is_write) {
        physical_write(vcpu->vm->bus, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
    } else {
        physical_read(vcpu->vm->bus, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
    }
}

static void
append_bytes(GString *text, const uint8_t *bytes, size_t count)
{
    g_string_append(text, ", bytes");
    for (size_t i = 0; i < count; i++) {
        g_string_append_printf(text, " %02x", bytes[i]);
    }
}

/* The instruction at linear address `linear`, as far as it lies in memory. */
static void
append_instruction(GString *text, Vcpu *vcpu, uint64_t linear)
{
    struct kvm_translation translation = {.linear_address = linear};
    uint8_t *hva = NULL;

    if (kvm_ioctl(vcpu->fd, KVM_TRANSLATE, &translation) < 0 || !translation.valid) {
        return;
    }
    uint64_t in_page = 0x1000 - (linear & 0xfff);
    uint64_t count = guest_memory_lookup(vcpu->vm->bus->memory, translation.physical_address,
                                         MIN(in_page, INSTRUCTION_BYTES_MAX), false, &hva);
    if (count > 0 && hva != NULL) {
        append_bytes(text, hva, count);
    }
}

/* "..., vCPU 0 at cs f000:fff0, bytes ea 5b": where a developer begins to look. */
static void
append_place(GString *text, Vcpu *vcpu)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;

    if (kvm_ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 ||
        kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0) {
        return;
    }
    g_string_append_printf(text, ", vCPU %u at cs %04x rip %#" G_GINT64_MODIFIER "x", vcpu->index,
                           sregs.cs.selector, (uint64_t)regs.rip);
    append_instruction(text, vcpu, sregs.cs.base + regs.rip);
}

static void
report_internal_error(Vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    g_autoptr(GString) text = g_string_new(NULL);

    switch (run->internal.suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        g_string_append(text, "KVM cannot emulate an instruction");
        break;
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        g_string_append(text, "KVM met an exception while delivering another");
        break;
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        g_string_append(text, "KVM could not deliver an event to the guest");
        break;
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
        g_string_append(text, "KVM met a hardware exit it does not know");
        break;
    default:
        g_string_append(text, "KVM gave up");
    }
    g_string_append_printf(text, " (suberror %u", run->internal.suberror);
    unsigned count = MIN(run->internal.ndata, G_N_ELEMENTS(run->internal.data));
    for (unsigned i = 0; i < count; i++) {
        g_string_append_printf(text, " %#" G_GINT64_MODIFIER "x", (uint64_t)run->internal.data[i]);
    }
    g_string_append_c(text, ')');
    append_place(text, vcpu);
    vcpu_report(vcpu, VM_EVENT_INTERNAL_ERROR, text->str);
}

static void
report_entry_failure(Vcpu *vcpu)
{
    g_autoptr(GString) text = g_string_new(NULL);
    uint64_t reason = vcpu->run->fail_entry.hardware_entry_failure_reason;

    g_string_append_printf(
        text, "the processor refused to enter the guest (reason %#" G_GINT64_MODIFIER "x)", reason);
    append_place(text, vcpu);
    vcpu_report(vcpu, VM_EVENT_INTERNAL_ERROR, text->str);
}

static void
report_unknown_exit(Vcpu *vcpu)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_append_printf(text, "KVM stopped for a reason this program does not know (%u)",
                           vcpu->run->exit_reason);
    append_place(text, vcpu);
    vcpu_report(vcpu, VM_EVENT_INTERNAL_ERROR, text->str);
}

static void
report_system_event(Vcpu *vcpu)
{
    switch (vcpu->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        vcpu_report(vcpu, VM_EVENT_SYSTEM_SHUTDOWN, "the guest asked KVM to shut down");
        break;
    case KVM_SYSTEM_EVENT_RESET:
        vcpu_report(vcpu, VM_EVENT_SYSTEM_RESET, "the guest asked KVM for a reset");
        break;
    default: /* KVM_SYSTEM_EVENT_CRASH and its kin */
        vcpu_report(vcpu, VM_EVENT_SHUTDOWN, "the guest told KVM that it crashed");
    }
}

static void
report_triple_fault(Vcpu *vcpu)
{
    g_autoptr(GString) text = g_string_new("triple fault");

    append_place(text, vcpu);
    vcpu_report(vcpu, VM_EVENT_SHUTDOWN, text->str);
}

void
vcpu_report_failure(Vcpu *vcpu, int negative_errno)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_append_printf(text, "KVM_RUN failed: %s", g_strerror(-negative_errno));
    append_place(text, vcpu);
    vcpu_report(vcpu, VM_EVENT_INTERNAL_ERROR, text->str);
}

static bool
dispatch_rare(Vcpu *vcpu)
{
    count_exit(vcpu->run->exit_reason == KVM_EXIT_HLT ? &vcpu->halt_exits : &vcpu->other_exits);
    switch (vcpu->run->exit_reason) {
    case KVM_EXIT_HLT:             /* local APICs are KVM's, which waits itself: go on */
    case KVM_EXIT_INTR:            /* comes with -EINTR; nothing to do */
    case KVM_EXIT_IRQ_WINDOW_OPEN: /* the loop injects before it enters again */
        return true;
    case KVM_EXIT_IOAPIC_EOI:
        vcpu->vm->ioapic_eoi(vcpu->vm->irqchip_opaque, vcpu->run->eoi.vector);
        return true;
    case KVM_EXIT_SHUTDOWN:
        report_triple_fault(vcpu);
        return false;
    case KVM_EXIT_SYSTEM_EVENT:
        report_system_event(vcpu);
        return false;
    case KVM_EXIT_INTERNAL_ERROR:
        report_internal_error(vcpu);
        return false;
    case KVM_EXIT_FAIL_ENTRY:
        report_entry_failure(vcpu);
        return false;
    default:
        report_unknown_exit(vcpu);
        return false;
    }
}

bool
vcpu_dispatch(Vcpu *vcpu)
{
    switch (vcpu->run->exit_reason) {
    case KVM_EXIT_IO:
        count_exit(&vcpu->pio_exits);
        exit_pio(vcpu);
        return true;
    case KVM_EXIT_MMIO:
        count_exit(&vcpu->mmio_exits);
        exit_mmio(vcpu);
        return true;
    default:
        return dispatch_rare(vcpu);
    }
}
