/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual machine: creation, its interrupt controllers, reset. */
#include "kvm/vm_private.h"

#include "base/error.h"
#include "base/log.h"
#include "kvm/cpuid.h"

#include <errno.h>
#include <unistd.h>

#define IOAPIC_PINS 24

static bool
create_vm(Vm *vm, GError **error)
{
    int result;

    do {
        result = kvm_ioctl_value(vm->kvm_fd, KVM_CREATE_VM, 0);
    } while (result == -EINTR);
    if (result == -EBUSY) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "the processor's virtualisation is in use by another hypervisor on this host: "
                    "stop it first");
        return false;
    }
    if (result < 0) {
        return kvm_error(error, "KVM_CREATE_VM", result);
    }
    vm->fd = result;
    return true;
}

static bool
check_cpus(const Vm *vm, unsigned cpus, GError **error)
{
    int most = kvm_ioctl_value(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    unsigned limit = MIN(VM_CPUS_MAX, (unsigned)MAX(most, 1));

    if (cpus < 1 || cpus > limit) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "%u vCPUs are not possible: this host runs 1 to %u", cpus, limit);
        return false;
    }
    return true;
}

static bool
create_kernel_irqchip(Vm *vm, GError **error)
{
    /* KVM answers port 61h: the gate and output of PIT channel 2 are there. */
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    int result = kvm_ioctl_value(vm->fd, KVM_CREATE_IRQCHIP, 0);

    if (result < 0) {
        return kvm_error(error, "KVM_CREATE_IRQCHIP", result);
    }
    result = kvm_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);
    if (result < 0) {
        return kvm_error(error, "KVM_CREATE_PIT2", result);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(vm->chips); i++) {
        vm->chips[i].chip_id = i;
        result = kvm_ioctl(vm->fd, KVM_GET_IRQCHIP, &vm->chips[i]);
        if (result < 0) {
            return kvm_error(error, "KVM_GET_IRQCHIP", result);
        }
    }
    result = kvm_ioctl(vm->fd, KVM_GET_PIT2, &vm->pit);
    return result == 0 || kvm_error(error, "KVM_GET_PIT2", result);
}

static bool
create_split_irqchip(Vm *vm, GError **error)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {IOAPIC_PINS}};
    int result = kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);

    if (result < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                    "this host's KVM has no split irqchip (KVM_CAP_SPLIT_IRQCHIP): %s",
                    g_strerror(-result));
        return false;
    }
    return true;
}

static bool
init_platform(Vm *vm, GError **error)
{
    uint64_t identity = VM_IDENTITY_MAP_ADDRESS;
    int result = kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);

    if (result < 0) {
        return kvm_error(error, "KVM_SET_IDENTITY_MAP_ADDR", result);
    }
    result = kvm_ioctl_value(vm->fd, KVM_SET_TSS_ADDR, VM_TSS_ADDRESS);
    if (result < 0) {
        return kvm_error(error, "KVM_SET_TSS_ADDR", result);
    }
    result = kvm_ioctl_value(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (result < 0) {
        return kvm_error(error, "KVM_GET_VCPU_MMAP_SIZE", result);
    }
    vm->run_size = (size_t)result;
    int xsave = kvm_ioctl_value(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
    vm->xsave_bytes = MAX(sizeof(struct kvm_xsave), (size_t)MAX(xsave, 0));
    return vm->irqchip == VM_IRQCHIP_KERNEL ? create_kernel_irqchip(vm, error)
                                            : create_split_irqchip(vm, error);
}

static bool
init_vcpu(Vm *vm, struct kvm_cpuid2 *cpuid, unsigned cpus, GError **error)
{
    Vcpu *vcpu = &vm->vcpus[vm->cpus];

    vcpu->fd = -1;
    if (!vcpu_init(vcpu, vm, vm->cpus, error)) {
        vcpu_done(vcpu);
        return false;
    }
    vm->cpus++;
    cpuid_set_topology(cpuid, vcpu->index, cpus);
    int result = kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
    if (result < 0) {
        return kvm_error(error, "KVM_SET_CPUID2", result);
    }
    return vcpu_state_capture(vcpu, error);
}

static bool
init_vcpus(Vm *vm, const VmArgs *args, GError **error)
{
    g_autofree struct kvm_cpuid2 *cpuid = cpuid_new(vm->kvm_fd, vm->fd, args->cpu, error);

    if (cpuid == NULL) {
        return false;
    }
    vm->vcpus = g_new0(Vcpu, args->cpus);
    for (unsigned i = 0; i < args->cpus; i++) {
        if (!init_vcpu(vm, cpuid, args->cpus, error)) {
            return false;
        }
    }
    vm->tsc_khz = (uint64_t)MAX(kvm_ioctl_value(vm->vcpus[0].fd, KVM_GET_TSC_KHZ, 0), 0);
    return true;
}

Vm *
vm_new(const VmArgs *args, GError **error)
{
    g_autoptr(Vm) vm = g_new0(Vm, 1);

    g_mutex_init(&vm->lock);
    g_mutex_init(&vm->route_lock);
    g_cond_init(&vm->state_moved);
    g_cond_init(&vm->parked);
    vm->fd = -1;
    vm->irqchip = args->irqchip;
    vm->bus = args->bus;
    vm->irqs = args->irqs;
    vm->event = args->event;
    vm->opaque = args->opaque;
    vm->pic_ack = args->pic_ack;
    vm->ioapic_eoi = args->ioapic_eoi;
    vm->irqchip_opaque = args->irqchip_opaque;
    vm->kvm_fd = kvm_open(KVM_DEVICE, error);
    if (vm->kvm_fd < 0 || !create_vm(vm, error) || !check_cpus(vm, args->cpus, error) ||
        !init_platform(vm, error) || !init_vcpus(vm, args, error) || !vm_init_irq(vm, error)) {
        return NULL;
    }
    return g_steal_pointer(&vm);
}

void
vm_free(Vm *vm)
{
    if (vm == NULL) {
        return;
    }
    vm_stop(vm);
    vm_done_irq(vm);
    for (unsigned i = 0; i < vm->cpus; i++) {
        vcpu_done(&vm->vcpus[i]);
    }
    g_free(vm->vcpus);
    if (vm->fd >= 0) {
        (void)close(vm->fd);
    }
    if (vm->kvm_fd >= 0) {
        (void)close(vm->kvm_fd);
    }
    g_cond_clear(&vm->parked);
    g_cond_clear(&vm->state_moved);
    g_mutex_clear(&vm->route_lock);
    g_mutex_clear(&vm->lock);
    g_free(vm);
}

static void
reset_chips(Vm *vm)
{
    int result = 0;

    if (vm->irqchip != VM_IRQCHIP_KERNEL) {
        return;
    }
    for (unsigned i = 0; result == 0 && i < G_N_ELEMENTS(vm->chips); i++) {
        result = kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, &vm->chips[i]);
    }
    if (result == 0) {
        result = kvm_ioctl(vm->fd, KVM_SET_PIT2, &vm->pit);
    }
    if (result < 0) {
        log_error("kvm", "cannot reset the interrupt controllers: %s", g_strerror(-result));
    }
}

void
vm_reset(Vm *vm)
{
    /* The chips first: a line of theirs must not reach an APIC that is reset already. */
    reset_chips(vm);
    for (unsigned i = 0; i < vm->cpus; i++) {
        const char *what = NULL;
        int result = vcpu_state_restore(&vm->vcpus[i], &what);

        if (result < 0) {
            log_error("kvm", "cannot reset vCPU %u: %s: %s", i, what, g_strerror(-result));
        }
    }
    vm->is_reset = true;
}

/* The chips as KVM made them are what a reset restores. */
void
vm_set_elcr(Vm *vm, uint16_t elcr)
{
    vm->chips[KVM_IRQCHIP_PIC_MASTER].chip.pic.elcr = (uint8_t)elcr;
    vm->chips[KVM_IRQCHIP_PIC_SLAVE].chip.pic.elcr = (uint8_t)(elcr >> 8);
}

void
vm_set_entry(Vm *vm, const VmEntry *entry)
{
    vm->entry = *entry;
    vm->has_entry = true;
    vm->is_reset = false;
}

uint64_t
vm_tsc_khz(const Vm *vm)
{
    return vm->tsc_khz;
}
