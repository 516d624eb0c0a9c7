/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory as KVM sees it, and doorbells. */
#include "kvm/vm_private.h"

static int
slots_set(void *opaque, uint32_t slot, uint64_t gpa, uint64_t length, void *hva, bool readonly)
{
    Vm *vm = opaque;
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = readonly && length > 0 ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = gpa,
        .memory_size = length,
        .userspace_addr = (uintptr_t)hva,
    };
    return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

bool
vm_bind_memory(Vm *vm, GError **error)
{
    static const GuestMemoryBackend backend = {.set_slot = slots_set};
    return guest_memory_bind(vm->bus->memory, &backend, vm, error);
}

int
vm_ioeventfd(Vm *vm, bool add, const VmIoeventfd *ioeventfd)
{
    struct kvm_ioeventfd request = {
        .datamatch = ioeventfd->match,
        .addr = ioeventfd->address,
        .len = ioeventfd->width,
        .fd = ioeventfd->fd,
        .flags = (ioeventfd->is_pio ? KVM_IOEVENTFD_FLAG_PIO : 0u) |
                 (ioeventfd->has_match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
                 (add ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };
    return kvm_ioctl(vm->fd, KVM_IOEVENTFD, &request);
}
