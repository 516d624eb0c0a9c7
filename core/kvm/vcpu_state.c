/* SPDX-License-Identifier: Apache-2.0 */
/* The power-on state of a vCPU: taken from KVM once after creation, completed by what KVM leaves to
 * firmware's expectations, and put back by each reset. */
#include "kvm/vm_private.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>

/* Local APIC registers (Intel SDM vol. 3, 11.5.1). A PC comes up in virtual wire mode: the 8259's
 * INTR arrives on the BSP's LINT0 as ExtINT, NMI on every LINT1 (MP specification 1.4, 3.6.2.2). */
#define APIC_LVT0       0x350
#define APIC_LVT1       0x360
#define APIC_LVT_EXTINT (7u << 8)
#define APIC_LVT_NMI    (4u << 8)
#define APIC_LVT_MASKED (1u << 16)

#define MSR_IA32_TSC            0x10u
#define MSR_IA32_MISC_ENABLE    0x1a0u
#define MSR_K7_HWCR             0xc0010015u
#define MSR_MTRR_DEF_TYPE       0x2ffu
#define HWCR_TSC_FREQ_SEL       (UINT64_C(1) << 24) /* the TSC counts at P0's frequency */
#define MISC_ENABLE_FAST_STRING (UINT64_C(1) << 0)
/* MTRRs on, fixed ranges on, write-back by default: what firmware leaves for RAM. */
#define MTRR_ENABLED_WRITE_BACK UINT64_C(0xc06)

#define CR0_PE            (UINT64_C(1) << 0)
#define CR0_ET            (UINT64_C(1) << 4)
#define CR0_NE            (UINT64_C(1) << 5)
#define CR0_PG            (UINT64_C(1) << 31)
#define CR4_PAE           (UINT64_C(1) << 5)
#define EFER_LME          (UINT64_C(1) << 8)
#define EFER_LMA          (UINT64_C(1) << 10)
#define RFLAGS_ALWAYS_ONE (UINT64_C(1) << 1)

/* Segment types (Intel SDM vol. 3, 3.4.5.1 and 3.5). */
#define SEGMENT_CODE     0xb /* execute, read, accessed */
#define SEGMENT_DATA     0x3 /* read, write, accessed */
#define SEGMENT_BUSY_TSS 0xb
#define TSS_LIMIT        0x67

/* The XSAVE area's legacy part (Intel SDM vol. 1, 13.4.1): FCW, MXCSR; XSTATE_BV = 0 in the header
 * puts every component into its initial configuration. */
#define XSAVE_FCW_OFFSET   0
#define XSAVE_MXCSR_OFFSET 24
#define FCW_INITIAL        0x37f
#define MXCSR_INITIAL      0x1f80

static struct kvm_msrs *
msrs_new(unsigned count)
{
    struct kvm_msrs *msrs = g_malloc0(sizeof(*msrs) + count * sizeof(msrs->entries[0]));
    msrs->nmsrs = count;
    return msrs;
}

/* Calls KVM_GET_MSRS or KVM_SET_MSRS, which stop at the first MSR they refuse, until all are done;
 * drops those refused from the list. */
static int
transfer_msrs(int fd, unsigned long request, struct kvm_msrs *msrs)
{
    unsigned done = 0;
    unsigned total = msrs->nmsrs;
    g_autofree struct kvm_msrs *rest = msrs_new(total);

    while (done < total) {
        unsigned count = total - done;

        rest->nmsrs = count;
        memcpy(rest->entries, &msrs->entries[done], count * sizeof(rest->entries[0]));
        int result = kvm_ioctl(fd, request, rest);
        if (result < 0) {
            return result;
        }
        unsigned good = MIN((unsigned)result, count);
        memcpy(&msrs->entries[done], rest->entries, good * sizeof(rest->entries[0]));
        done += good;
        if (good < count) {
            memmove(&msrs->entries[done], &msrs->entries[done + 1],
                    (count - good - 1) * sizeof(msrs->entries[0]));
            total--;
        }
    }
    msrs->nmsrs = total;
    return 0;
}

/* The MSRs this KVM saves and restores. */
static struct kvm_msrs *
list_msrs(Vcpu *vcpu, GError **error)
{
    struct kvm_msr_list probe = {0};
    int result = kvm_ioctl(vcpu->vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, &probe);
    if (result < 0 && result != -E2BIG) {
        kvm_error(error, "KVM_GET_MSR_INDEX_LIST", result);
        return NULL;
    }
    g_autofree struct kvm_msr_list *list =
        g_malloc0(sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
    list->nmsrs = probe.nmsrs;
    result = kvm_ioctl(vcpu->vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, list);
    if (result < 0) {
        kvm_error(error, "KVM_GET_MSR_INDEX_LIST", result);
        return NULL;
    }
    struct kvm_msrs *msrs = msrs_new(list->nmsrs);
    for (unsigned i = 0; i < list->nmsrs; i++) {
        msrs->entries[i].index = list->indices[i];
    }
    return msrs;
}

/* Where a processor comes out of reset otherwise than KVM's, in ways that guests look at. */
static void
set_power_on_value(struct kvm_msr_entry *entry)
{
    switch (entry->index) {
    case MSR_IA32_TSC:
        entry->data = 0; /* equal on all vCPUs: KVM keeps them in step */
        break;
    case MSR_IA32_MISC_ENABLE:
        entry->data |= MISC_ENABLE_FAST_STRING;
        break;
    case MSR_K7_HWCR:
        entry->data |= HWCR_TSC_FREQ_SEL;
        break;
    default:
        break;
    }
}

/* KVM_SET_MSRS will drop those that it shows but does not take. */
static bool
capture_msrs(Vcpu *vcpu, GError **error)
{
    Vm *vm = vcpu->vm;

    if (vcpu->index == 0) {
        vcpu->initial.msrs = list_msrs(vcpu, error);
        if (vcpu->initial.msrs == NULL) {
            return false;
        }
    } else {
        const struct kvm_msrs *known = vm->vcpus[0].initial.msrs;
        vcpu->initial.msrs =
            g_memdup2(known, sizeof(*known) + known->nmsrs * sizeof(known->entries[0]));
    }
    struct kvm_msrs *msrs = vcpu->initial.msrs;
    int result = transfer_msrs(vcpu->fd, KVM_GET_MSRS, msrs);
    if (result < 0) {
        return kvm_error(error, "KVM_GET_MSRS", result);
    }
    for (unsigned i = 0; i < msrs->nmsrs; i++) {
        set_power_on_value(&msrs->entries[i]);
    }
    return true;
}

static void
set_lvt(struct kvm_lapic_state *lapic, unsigned offset, uint32_t value)
{
    memcpy(&lapic->regs[offset], &value, sizeof(value));
}

static bool
capture_apic(Vcpu *vcpu, GError **error)
{
    struct kvm_lapic_state *lapic = &vcpu->initial.lapic;
    int result = kvm_ioctl(vcpu->fd, KVM_GET_LAPIC, lapic);

    if (result < 0) {
        return kvm_error(error, "KVM_GET_LAPIC", result);
    }
    set_lvt(lapic, APIC_LVT0, vcpu->index == 0 ? APIC_LVT_EXTINT : APIC_LVT_MASKED);
    set_lvt(lapic, APIC_LVT1, APIC_LVT_NMI);
    return true;
}

typedef struct {
    unsigned long request;
    void *state;
    const char *name;
} StateCall;

bool
vcpu_state_capture(Vcpu *vcpu, GError **error)
{
    VcpuState *state = &vcpu->initial;
    const StateCall calls[] = {
        {KVM_GET_REGS, &state->regs, "KVM_GET_REGS"},
        {KVM_GET_SREGS, &state->sregs, "KVM_GET_SREGS"},
        {KVM_GET_VCPU_EVENTS, &state->events, "KVM_GET_VCPU_EVENTS"},
        {KVM_GET_DEBUGREGS, &state->debugregs, "KVM_GET_DEBUGREGS"},
        {KVM_GET_MP_STATE, &state->mp_state, "KVM_GET_MP_STATE"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
        int result = kvm_ioctl(vcpu->fd, calls[i].request, calls[i].state);
        if (result < 0) {
            return kvm_error(error, calls[i].name, result);
        }
    }
    /* Refused where the guest is given no XSAVE. */
    state->has_xcrs = kvm_ioctl(vcpu->fd, KVM_GET_XCRS, &state->xcrs) == 0;
    /* Refused where KVM cannot nest. */
    state->nested.size = sizeof(state->nested);
    state->has_nested = kvm_ioctl(vcpu->fd, KVM_GET_NESTED_STATE, &state->nested) == 0;
    return capture_apic(vcpu, error) && capture_msrs(vcpu, error);
}

static struct kvm_segment
flat_segment(uint16_t selector, bool code, bool long_mode)
{
    return (struct kvm_segment){
        .base = 0,
        .limit = UINT32_MAX,
        .selector = selector,
        .type = code ? SEGMENT_CODE : SEGMENT_DATA,
        .present = 1,
        .s = 1,
        .g = 1,
        .l = code && long_mode,
        .db = !(code && long_mode),
    };
}

/* Linux' 64-bit boot protocol and PVH: flat segments, interrupts off, IDT empty. */
static void
apply_entry(const VmEntry *entry, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
    *regs = (struct kvm_regs){
        .rip = entry->rip,
        .rsp = entry->rsp,
        .rbx = entry->rbx,
        .rsi = entry->rsi,
        .rflags = RFLAGS_ALWAYS_ONE,
    };
    sregs->cs = flat_segment(entry->code_selector, true, entry->long_mode);
    sregs->ds = flat_segment(entry->data_selector, false, entry->long_mode);
    sregs->es = sregs->fs = sregs->gs = sregs->ss = sregs->ds;
    sregs->tr = (struct kvm_segment){
        .base = entry->tss_base,
        .limit = TSS_LIMIT,
        .selector = entry->tss_selector,
        .type = SEGMENT_BUSY_TSS,
        .present = 1,
    };
    sregs->gdt = (struct kvm_dtable){.base = entry->gdt_base, .limit = entry->gdt_limit};
    sregs->idt = (struct kvm_dtable){0};
    sregs->cr0 = CR0_PE | CR0_ET;
    if (entry->long_mode) {
        sregs->cr0 |= CR0_PG | CR0_NE;
        sregs->cr3 = entry->cr3;
        sregs->cr4 = CR4_PAE;
        sregs->efer = EFER_LME | EFER_LMA;
    }
}

/* The calls that put the state back, in an order that KVM cares for. */
static int
restore_call(Vcpu *vcpu, const StateCall *call, const char **ret_what)
{
    *ret_what = call->name;
    return kvm_ioctl(vcpu->fd, call->request, call->state);
}

static int
restore_registers(Vcpu *vcpu, const char **ret_what)
{
    const Vm *vm = vcpu->vm;
    struct kvm_regs regs = vcpu->initial.regs;
    struct kvm_sregs sregs = vcpu->initial.sregs;

    if (vm->has_entry && vcpu->index == 0) {
        apply_entry(&vm->entry, &regs, &sregs);
    }
    const StateCall set_sregs = {KVM_SET_SREGS, &sregs, "KVM_SET_SREGS"};
    const StateCall set_regs = {KVM_SET_REGS, &regs, "KVM_SET_REGS"};
    int result = restore_call(vcpu, &set_sregs, ret_what);
    return result < 0 ? result : restore_call(vcpu, &set_regs, ret_what);
}

static int
restore_fpu(Vcpu *vcpu, const char **ret_what)
{
    g_autofree uint8_t *area = g_malloc0(vcpu->vm->xsave_bytes);
    const uint16_t fcw = FCW_INITIAL;
    const uint32_t mxcsr = MXCSR_INITIAL;

    memcpy(area + XSAVE_FCW_OFFSET, &fcw, sizeof(fcw));
    memcpy(area + XSAVE_MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
    const StateCall set_xsave = {KVM_SET_XSAVE, area, "KVM_SET_XSAVE"};
    const StateCall set_xcrs = {KVM_SET_XCRS, &vcpu->initial.xcrs, "KVM_SET_XCRS"};
    int result = restore_call(vcpu, &set_xsave, ret_what);
    if (result == 0 && vcpu->initial.has_xcrs) {
        result = restore_call(vcpu, &set_xcrs, ret_what);
    }
    return result;
}

/* A direct boot has no firmware that would set the memory types up. */
static int
restore_msrs(Vcpu *vcpu, const char **ret_what)
{
    *ret_what = "KVM_SET_MSRS";
    int result = transfer_msrs(vcpu->fd, KVM_SET_MSRS, vcpu->initial.msrs);

    if (result == 0 && vcpu->vm->has_entry) {
        g_autofree struct kvm_msrs *one = msrs_new(1);
        one->entries[0].index = MSR_MTRR_DEF_TYPE;
        one->entries[0].data = MTRR_ENABLED_WRITE_BACK;
        result = transfer_msrs(vcpu->fd, KVM_SET_MSRS, one);
    }
    return result;
}

static int
restore_rest(Vcpu *vcpu, const char **ret_what)
{
    VcpuState *state = &vcpu->initial;
    const StateCall calls[] = {
        {KVM_SET_DEBUGREGS, &state->debugregs, "KVM_SET_DEBUGREGS"},
        {KVM_SET_MP_STATE, &state->mp_state, "KVM_SET_MP_STATE"},
        {KVM_SET_VCPU_EVENTS, &state->events, "KVM_SET_VCPU_EVENTS"},
    };
    int result = 0;

    for (size_t i = 0; result == 0 && i < G_N_ELEMENTS(calls); i++) {
        result = restore_call(vcpu, &calls[i], ret_what);
    }
    return result;
}

int
vcpu_state_restore(Vcpu *vcpu, const char **ret_what)
{
    VcpuState *state = &vcpu->initial;
    const StateCall set_nested = {KVM_SET_NESTED_STATE, &state->nested, "KVM_SET_NESTED_STATE"};
    const StateCall set_lapic = {KVM_SET_LAPIC, &state->lapic, "KVM_SET_LAPIC"};
    int result = 0;

    atomic_store(&vcpu->nmi, false);
    vcpu->run->request_interrupt_window = 0;
    /* Out of a nested guest first; the segment registers carry the APIC's base, so they come before
     * the APIC; the MSRs have the TSC deadline, so they come after it. */
    if (state->has_nested) {
        result = restore_call(vcpu, &set_nested, ret_what);
    }
    if (result == 0) {
        result = restore_registers(vcpu, ret_what);
    }
    if (result == 0) {
        result = restore_fpu(vcpu, ret_what);
    }
    if (result == 0) {
        result = restore_call(vcpu, &set_lapic, ret_what);
    }
    if (result == 0) {
        result = restore_msrs(vcpu, ret_what);
    }
    return result < 0 ? result : restore_rest(vcpu, ret_what);
}
