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
    static const GuestMemoryBackend BACKEND = {.set_slot = slots_set};
    return guest_memory_bind(vm->bus->memory, &BACKEND, vm, error);
}

int
vm_ioeventfd(Vm *vm, bool add, bool is_pio, uint64_t address, unsigned width, bool has_match,
             uint64_t match, int fd)
{
    struct kvm_ioeventfd request = {
        .datamatch = match,
        .addr = address,
        .len = width,
        .fd = fd,
        .flags = (is_pio ? KVM_IOEVENTFD_FLAG_PIO : 0u) |
                 (has_match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
                 (add ? 0u : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };
    return kvm_ioctl(vm->fd, KVM_IOEVENTFD, &request);
}
