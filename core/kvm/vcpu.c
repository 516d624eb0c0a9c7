/* SPDX-License-Identifier: Apache-2.0 */
/* vCPU threads: running, pausing, kicking.
 *
 * A kick is free of races without masking signals around KVM_RUN: the kicker first stores
 * immediate_exit = 1 in the shared page and then sends a signal to the thread. Either the thread
 * has not entered KVM_RUN yet and the store makes it return -EINTR at once, or it is inside and the
 * signal makes it. The loop itself looks at no flag; only after -EINTR it clears immediate_exit,
 * then reads what is wanted (in this order, so that a kick in between is not lost). KVM completes
 * the last I/O instruction before it returns -EINTR, so a parked vCPU has no access half done. */
#include "kvm/vm_private.h"

#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define KICK_SIGNAL SIGRTMIN

/* Local APIC register LVT LINT1 (Intel SDM vol. 3, 11.5.1) and its fields. */
#define APIC_LVT1          0x360
#define APIC_LVT_MASKED    (1u << 16)
#define APIC_DELIVERY(lvt) (((lvt) >> 8) & 7u)
#define APIC_DELIVERY_NMI  4u

static void
kick_handler(int signal_number)
{
    /* Its arrival is all: KVM_RUN ends with -EINTR. */
}

/* All threads share the handler; installing it again changes nothing. */
static void
install_kick_handler(void)
{
    struct sigaction action = {.sa_handler = kick_handler, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    (void)sigaction(KICK_SIGNAL, &action, NULL);
}

/* A vCPU thread takes kicks and its own faults; all else goes to the control thread. */
static void
block_foreign_signals(void)
{
    sigset_t blocked;

    sigfillset(&blocked);
    sigdelset(&blocked, KICK_SIGNAL);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    sigdelset(&blocked, SIGABRT);
    sigdelset(&blocked, SIGTRAP);
    sigdelset(&blocked, SIGSYS);
    (void)pthread_sigmask(SIG_SETMASK, &blocked, NULL);
}

void
vcpu_kick(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pid_t tid = atomic_load(&vcpu->tid);
    if (tid != 0 && tid != gettid()) {
        (void)tgkill(getpid(), tid, KICK_SIGNAL);
    }
}

/* An external NMI arrives on LINT1 of each local APIC, which may not be set up to take it. */
static void
deliver_nmi(Vcpu *vcpu)
{
    struct kvm_lapic_state lapic;
    uint32_t lvt;

    if (kvm_ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0) {
        return;
    }
    memcpy(&lvt, &lapic.regs[APIC_LVT1], sizeof(lvt));
    if ((lvt & APIC_LVT_MASKED) == 0 && APIC_DELIVERY(lvt) == APIC_DELIVERY_NMI) {
        (void)kvm_ioctl_value(vcpu->fd, KVM_NMI, 0);
    }
}

/* Split irqchip: gives the 8259's vector to the processor, or asks KVM to exit when it can. */
static void
deliver_extint(Vcpu *vcpu)
{
    Vm *vm = vcpu->vm;

    vcpu->run->request_interrupt_window = 0;
    if (!atomic_load(&vcpu->extint)) {
        return;
    }
    if (!vcpu->run->ready_for_interrupt_injection) {
        vcpu->run->request_interrupt_window = 1;
        return;
    }
    int vector = vm->pic_ack(vm->irqchip_opaque);
    if (vector >= 0) {
        struct kvm_interrupt interrupt = {.irq = (uint32_t)vector};
        (void)kvm_ioctl(vcpu->fd, KVM_INTERRUPT, &interrupt);
    }
    /* Another may be waiting behind it. */
    if (atomic_load(&vcpu->extint)) {
        vcpu->run->request_interrupt_window = 1;
    }
}

/* After -EINTR: does what is wanted, parks as long as the machine is paused. False: the end. */
static bool
vcpu_attend(Vcpu *vcpu)
{
    Vm *vm = vcpu->vm;

    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    g_mutex_lock(&vm->lock);
    while (vm->state == VM_PAUSED || (vm->state == VM_RUNNING && vcpu->waiting)) {
        if (!vcpu->parked) {
            vcpu->parked = true;
            g_cond_broadcast(&vm->parked);
        }
        g_cond_wait(&vm->state_moved, &vm->lock);
    }
    vcpu->parked = false;
    bool go_on = vm->state == VM_RUNNING;
    g_mutex_unlock(&vm->lock);

    if (go_on && atomic_exchange(&vcpu->nmi, false)) {
        deliver_nmi(vcpu);
    }
    return go_on;
}

void
vcpu_report(Vcpu *vcpu, VmEvent event, const char *text)
{
    Vm *vm = vcpu->vm;

    /* Before the report: its receiver may call vm_resume() before we get to park. */
    g_mutex_lock(&vm->lock);
    vcpu->waiting = true;
    g_mutex_unlock(&vm->lock);
    vm->event(vm->opaque, event, text);
}

static bool
vcpu_run_failed(Vcpu *vcpu, int negative_errno)
{
    switch (negative_errno) {
    case -EINTR:
        return vcpu_attend(vcpu);
    case -EAGAIN: /* an AP got its INIT or SIPI; the next KVM_RUN enters */
        return true;
    default:
        vcpu_report_failure(vcpu, negative_errno);
        return vcpu_attend(vcpu);
    }
}

static void
vcpu_loop(Vcpu *vcpu)
{
    bool split = vcpu->vm->irqchip == VM_IRQCHIP_SPLIT && vcpu->index == 0;
    bool go_on = vcpu_attend(vcpu);

    while (go_on) {
        if (split) {
            deliver_extint(vcpu);
        }
        if (G_UNLIKELY(ioctl(vcpu->fd, KVM_RUN, 0) < 0)) {
            go_on = vcpu_run_failed(vcpu, -errno);
        } else if (G_UNLIKELY(!vcpu_dispatch(vcpu))) {
            go_on = vcpu_attend(vcpu);
        }
    }
}

static void *
vcpu_thread(void *opaque)
{
    Vcpu *vcpu = opaque;

    block_foreign_signals();
    atomic_store(&vcpu->tid, gettid());
    vcpu_loop(vcpu);
    atomic_store(&vcpu->tid, 0);
    return NULL;
}

/* Under Vm.lock: tells every vCPU that the state moved. */
static void
set_state_locked(Vm *vm, VmState state)
{
    vm->state = state;
    g_cond_broadcast(&vm->state_moved);
    for (unsigned i = 0; i < vm->cpus; i++) {
        vcpu_kick(&vm->vcpus[i]);
    }
}

bool
vm_start(Vm *vm, bool paused, GError **error)
{
    install_kick_handler();
    if (!vm->is_bound) {
        /* Not earlier: ROMs may be added until now,
         * each change of a slot costs KVM a grace period. */
        if (!vm_bind_memory(vm, error)) {
            return false;
        }
        vm->is_bound = true;
    }
    if (!vm->is_reset) {
        vm_reset(vm);
    }
    vm->state = paused ? VM_PAUSED : VM_RUNNING;
    for (unsigned i = 0; i < vm->cpus; i++) {
        Vcpu *vcpu = &vm->vcpus[i];
        g_autofree char *name = g_strdup_printf("vcpu%u", i);

        vcpu->parked = false;
        vcpu->waiting = false;
        vcpu->thread = g_thread_try_new(name, vcpu_thread, vcpu, error);
        if (vcpu->thread == NULL) {
            vm_stop(vm);
            return false;
        }
    }
    vm->started = true;
    vm->is_reset = false;
    return true;
}

void
vm_pause(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    if (vm->state == VM_RUNNING) {
        set_state_locked(vm, VM_PAUSED);
    }
    for (unsigned i = 0; vm->started && i < vm->cpus; i++) {
        while (!vm->vcpus[i].parked) {
            g_cond_wait(&vm->parked, &vm->lock);
        }
    }
    g_mutex_unlock(&vm->lock);
}

void
vm_resume(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    for (unsigned i = 0; i < vm->cpus; i++) {
        vm->vcpus[i].waiting = false;
    }
    if (vm->state != VM_STOPPING) {
        vm->state = VM_RUNNING;
        g_cond_broadcast(&vm->state_moved);
    }
    g_mutex_unlock(&vm->lock);
}

void
vm_stop(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    set_state_locked(vm, VM_STOPPING);
    g_mutex_unlock(&vm->lock);
    for (unsigned i = 0; i < vm->cpus; i++) {
        if (vm->vcpus[i].thread != NULL) {
            g_thread_join(g_steal_pointer(&vm->vcpus[i].thread));
        }
    }
    vm->started = false;
}

bool
vm_is_running(const Vm *vm)
{
    return vm->started && vm->state == VM_RUNNING;
}

void
vm_inject_nmi(Vm *vm)
{
    for (unsigned i = 0; i < vm->cpus; i++) {
        atomic_store(&vm->vcpus[i].nmi, true);
        vcpu_kick(&vm->vcpus[i]);
    }
}

void
vm_set_extint(Vm *vm, bool level)
{
    if (vm->cpus > 0 && !atomic_exchange(&vm->vcpus[0].extint, level) && level) {
        vcpu_kick(&vm->vcpus[0]);
    }
}

void
vm_stats(const Vm *vm, unsigned cpu, VmStats *stats)
{
    const Vcpu *vcpu = &vm->vcpus[cpu];

    stats->pio_exits = atomic_load_explicit(&vcpu->pio_exits, memory_order_relaxed);
    stats->mmio_exits = atomic_load_explicit(&vcpu->mmio_exits, memory_order_relaxed);
    stats->halt_exits = atomic_load_explicit(&vcpu->halt_exits, memory_order_relaxed);
    stats->other_exits = atomic_load_explicit(&vcpu->other_exits, memory_order_relaxed);
}

int
vm_cpu_thread(const Vm *vm, unsigned cpu)
{
    return atomic_load(&vm->vcpus[cpu].tid);
}

bool
vcpu_init(Vcpu *vcpu, Vm *vm, unsigned index, GError **error)
{
    vcpu->vm = vm;
    vcpu->index = index;
    vcpu->fd = kvm_ioctl_value(vm->fd, KVM_CREATE_VCPU, index);
    if (vcpu->fd < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot create vCPU %u: %s", index,
                    g_strerror(-vcpu->fd));
        return false;
    }
    void *run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED) {
        return kvm_error(error, "cannot map a vCPU's run page", -errno);
    }
    vcpu->run = run;
    return true;
}

void
vcpu_done(Vcpu *vcpu)
{
    g_free(vcpu->initial.msrs);
    if (vcpu->run != NULL) {
        (void)munmap(vcpu->run, vcpu->vm->run_size);
    }
    if (vcpu->fd >= 0) {
        (void)close(vcpu->fd);
    }
}
