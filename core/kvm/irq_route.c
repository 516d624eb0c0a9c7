/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts into KVM: lines through KVM_IRQ_LINE, messages through irqfds and the routing table.
 *
 * GSIs of the table: 0..23 are the lines (kernel irqchip) or the IOAPIC's pins as messages (split
 * irqchip: the first 24 vectors made; KVM reports the EOI of level-triggered ones among them); from
 * 24 on they are MSI vectors.
 *
 * A vector's eventfd outlives masking. Masked: no irqfd is attached, so the eventfd counts, and
 * take_pending() finds what it counted. Unmasking, in this order: (1) drain the count into
 * `pending`, (2) write the route, (3) attach the irqfd, (4) drain again. A signal between (1) and
 * (3) is found by KVM when it attaches the irqfd, and injected; (4) only removes its stale count. A
 * signal after (3) is injected by KVM. So nothing is lost and nothing is delivered twice. Masking
 * detaches the irqfd, which waits for an injection under way; later signals count. */
#include "kvm/vm_private.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHIP_PIC_MASTER 0
#define CHIP_PIC_SLAVE  1
#define CHIP_IOAPIC     2

#define GSI_STEP 32 /* vectors[] grows by this many */

static void
irq_line_set(void *opaque, unsigned gsi, bool level)
{
    Vm *vm = opaque;
    struct kvm_irq_level line = {.irq = gsi, .level = level};

    /* Fails only for a GSI without a route (2, the cascade), which has no pin to raise. */
    (void)kvm_ioctl(vm->fd, KVM_IRQ_LINE, &line);
}

static void
add_chip_route(struct kvm_irq_routing *table, unsigned gsi, unsigned chip, unsigned pin)
{
    table->entries[table->nr++] = (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_IRQCHIP,
        .u.irqchip = {.irqchip = chip, .pin = pin},
    };
}

/* ISA IRQ n is an input of the 8259s and pin n of the IOAPIC, but for IRQ 0, which is pin 2 (the
 * override in the MADT says so), and IRQ 2, which is the cascade and no pin at all. */
static void
add_line_routes(struct kvm_irq_routing *table)
{
    for (unsigned gsi = 0; gsi < IRQ_GSI_COUNT; gsi++) {
        if (gsi == 2) {
            continue;
        }
        if (gsi < 8) {
            add_chip_route(table, gsi, CHIP_PIC_MASTER, gsi);
        } else if (gsi < 16) {
            add_chip_route(table, gsi, CHIP_PIC_SLAVE, gsi - 8);
        }
        add_chip_route(table, gsi, CHIP_IOAPIC, gsi == 0 ? 2 : gsi);
    }
}

static int
write_routes_locked(Vm *vm)
{
    size_t most = (size_t)2 * IRQ_GSI_COUNT + vm->vector_count;
    g_autofree struct kvm_irq_routing *table =
        g_malloc0(sizeof(*table) + most * sizeof(table->entries[0]));

    if (vm->irqchip == VM_IRQCHIP_KERNEL) {
        add_line_routes(table);
    }
    for (unsigned gsi = 0; gsi < vm->vector_count; gsi++) {
        const MsiVector *vector = vm->vectors[gsi];

        if (vector == NULL || !vector->routed) {
            continue;
        }
        table->entries[table->nr++] = (struct kvm_irq_routing_entry){
            .gsi = gsi,
            .type = KVM_IRQ_ROUTING_MSI,
            .u.msi = {.address_lo = (uint32_t)vector->address,
                      .address_hi = (uint32_t)(vector->address >> 32),
                      .data = vector->data},
        };
    }
    return kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, table);
}

static int
set_irqfd(Vm *vm, const MsiVector *vector, bool assign)
{
    struct kvm_irqfd request = {
        .fd = (uint32_t)vector->fd,
        .gsi = vector->gsi,
        .flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
    };
    return kvm_ioctl(vm->fd, KVM_IRQFD, &request);
}

/* True if the eventfd had counted something. */
static bool
drain(const MsiVector *vector)
{
    uint64_t count;
    return read(vector->fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static void
detach_locked(Vm *vm, MsiVector *vector)
{
    if (vector->assigned) {
        (void)set_irqfd(vm, vector, false); /* it is attached: cannot fail */
        vector->assigned = false;
    }
}

/* Out of table space or memory in the kernel: the vector stays masked and its signals pending. */
static void
attach_locked(Vm *vm, MsiVector *vector, uint64_t address, uint32_t data)
{
    bool moved = !vector->routed || vector->address != address || vector->data != data;

    if (!vector->assigned && drain(vector)) {
        vector->pending = true;
    }
    if (moved) {
        vector->address = address;
        vector->data = data;
        vector->routed = true;
        if (write_routes_locked(vm) < 0) {
            detach_locked(vm, vector);
            vector->routed = false;
            return;
        }
    }
    if (!vector->assigned && set_irqfd(vm, vector, true) == 0) {
        vector->assigned = true;
        (void)drain(vector);
    }
}

/* A GSI with a place in vectors[], or gsi_limit when all are taken. */
static unsigned
find_free_gsi_locked(Vm *vm)
{
    unsigned gsi = vm->irqchip == VM_IRQCHIP_SPLIT ? 0 : IRQ_GSI_COUNT;

    while (gsi < vm->vector_count && vm->vectors[gsi] != NULL) {
        gsi++;
    }
    if (gsi >= vm->vector_count && gsi < vm->gsi_limit) {
        unsigned count = MIN(gsi + GSI_STEP, vm->gsi_limit);
        vm->vectors = g_renew(MsiVector *, vm->vectors, count);
        for (unsigned i = vm->vector_count; i < count; i++) {
            vm->vectors[i] = NULL;
        }
        vm->vector_count = count;
    }
    return gsi;
}

static MsiVector *
msi_vector_new(void *opaque, GError **error)
{
    Vm *vm = opaque;
    autofd int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0) {
        kvm_error(error, "cannot make an eventfd for an interrupt vector", -errno);
        return NULL;
    }
    g_autofree MsiVector *vector = g_new0(MsiVector, 1);
    g_mutex_lock(&vm->route_lock);
    vector->gsi = find_free_gsi_locked(vm);
    bool found = vector->gsi < vm->gsi_limit;
    if (found) {
        vm->vectors[vector->gsi] = vector;
    }
    g_mutex_unlock(&vm->route_lock);
    if (!found) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "no interrupt vector left: this host's KVM routes %u", vm->gsi_limit);
        return NULL;
    }
    vector->fd = fd_steal(&fd); /* not routed yet: nobody looks at it */
    return g_steal_pointer(&vector);
}

static void
msi_vector_free(void *opaque, MsiVector *vector)
{
    Vm *vm = opaque;

    if (vector == NULL) {
        return;
    }
    g_mutex_lock(&vm->route_lock);
    detach_locked(vm, vector);
    vm->vectors[vector->gsi] = NULL; /* its route leaves the table with the next change */
    g_mutex_unlock(&vm->route_lock);
    (void)close(vector->fd);
    g_free(vector);
}

static void
msi_vector_set(void *opaque, MsiVector *vector, bool enabled, uint64_t address, uint32_t data)
{
    Vm *vm = opaque;

    g_mutex_lock(&vm->route_lock);
    if (enabled) {
        attach_locked(vm, vector, address, data);
    } else {
        detach_locked(vm, vector);
    }
    g_mutex_unlock(&vm->route_lock);
}

static void
msi_vector_fire(void *opaque, MsiVector *vector)
{
    const uint64_t one = 1;

    /* EAGAIN: the count is at its end, so the interrupt is pending already. */
    ssize_t written = write(vector->fd, &one, sizeof(one));
    (void)written;
}

static int
msi_vector_eventfd(void *opaque, MsiVector *vector)
{
    return vector->fd;
}

static bool
msi_vector_take_pending(void *opaque, MsiVector *vector)
{
    Vm *vm = opaque;

    g_mutex_lock(&vm->route_lock);
    bool pending = vector->pending;
    vector->pending = false;
    if (!vector->assigned && drain(vector)) {
        pending = true;
    }
    g_mutex_unlock(&vm->route_lock);
    return pending;
}

static const MsiOps msi_ops = {
    .vector_new = msi_vector_new,
    .vector_free = msi_vector_free,
    .vector_set = msi_vector_set,
    .vector_fire = msi_vector_fire,
    .vector_eventfd = msi_vector_eventfd,
    .vector_take_pending = msi_vector_take_pending,
};

bool
vm_init_irq(Vm *vm, GError **error)
{
    static const IrqSink sink = {.set = irq_line_set};

    vm->msi = (MsiController){.ops = &msi_ops, .opaque = vm};
    vm->gsi_limit =
        (unsigned)MAX(kvm_ioctl_value(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING), 0);
    int result = write_routes_locked(vm); /* nobody else knows this Vm yet */
    if (result < 0) {
        return kvm_error(error, "KVM_SET_GSI_ROUTING", result);
    }
    if (vm->irqchip == VM_IRQCHIP_KERNEL && vm->irqs != NULL) {
        irq_lines_set_sink(vm->irqs, &sink, vm);
        vm->has_sink = true;
    }
    return true;
}

void
vm_done_irq(Vm *vm)
{
    if (vm->has_sink) {
        irq_lines_set_sink(vm->irqs, NULL, NULL);
    }
    g_clear_pointer(&vm->vectors, g_free);
}

MsiController *
vm_msi(Vm *vm)
{
    return &vm->msi;
}
