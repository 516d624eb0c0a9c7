/* SPDX-License-Identifier: Apache-2.0 */
/* What an exit to a device register costs: the same endless guest loop of IN instructions, once
 * through the core (vCPU thread, dispatch, region) and once through a loop around KVM_RUN that
 * ignores the exit. Rounds of the two alternate; medians and their ratio are printed.
 *
 * exit_cost [ROUNDS [EXITS]] */
#include "bus/physical.h"
#include "kvm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#define ROUNDS_DEFAULT 101u
#define ROUNDS_MAX     1001u
#define EXITS_DEFAULT  3000u
#define WARM_UP        200u /* exits before the clock starts */
#define MEMORY_BYTES   (UINT64_C(2) << 20)
#define CODE_ADDRESS   UINT64_C(0x100000)
#define PORT           0x560
#define STATUS_SKIPPED 77

/* mov dx, 560h; mov ecx, -1; 1: in al, dx; loop 1b; the loop of plugin_exit.py's guest, too. */
static const uint8_t guest_code[] = {0x66, 0xba, 0x60, 0x05, 0xb9, 0xff,
                                     0xff, 0xff, 0xff, 0xec, 0xe2, 0xfd};

static uint64_t
now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- through the core ---- */

typedef struct {
    Region *region;
    uint64_t exits; /* to measure in a round */
    uint64_t count; /* seen in this round; the vCPU's alone while it runs */
    uint64_t start_ns, end_ns;
    GMutex device_lock; /* held by the core around the access, as for a plugin's register */
    GMutex lock;        /* protects: done */
    GCond finished;
    bool done;
} Register;

static uint64_t
register_read(void *opaque, uint64_t offset, unsigned size)
{
    Register *reg = opaque;

    reg->count++;
    if (reg->count == WARM_UP) {
        reg->start_ns = now_ns();
    } else if (reg->count == WARM_UP + reg->exits) {
        reg->end_ns = now_ns();
        g_mutex_lock(&reg->lock);
        reg->done = true;
        g_cond_signal(&reg->finished);
        g_mutex_unlock(&reg->lock);
    }
    return 0;
}

static void
register_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
}

static const RegionOps register_ops = {
    .read = register_read,
    .write = register_write,
    .widths = 1,
};

static void
core_event(void *opaque, VmEvent event, const char *text)
{
    fprintf(stderr, "exit_cost: the guest stopped: %s\n", text);
    exit(EXIT_FAILURE);
}

static double
core_round(Vm *vm, Register *reg)
{
    reg->count = 0;
    reg->done = false;
    vm_resume(vm);
    g_mutex_lock(&reg->lock);
    while (!reg->done) {
        g_cond_wait(&reg->finished, &reg->lock);
    }
    g_mutex_unlock(&reg->lock);
    vm_pause(vm);
    return (double)(reg->end_ns - reg->start_ns) / (double)reg->exits;
}

static void
check(const GError *error)
{
    if (error != NULL) {
        fprintf(stderr, "exit_cost: %s\n", error->message);
        exit(EXIT_FAILURE);
    }
}

static Vm *
core_start(const PhysicalBus *bus, IrqLines *irqs, Register *reg)
{
    GError *error = NULL;
    const VmArgs args = {.cpus = 1, .bus = bus, .irqs = irqs, .event = core_event};
    const RegionArgs region_args = {
        .name = "register",
        .base = PORT,
        .length = 4,
        .ops = &register_ops,
        .opaque = reg,
        .lock = &reg->device_lock,
    };
    const VmEntry entry = {.rip = CODE_ADDRESS, .code_selector = 0x10, .data_selector = 0x18};

    Vm *vm = vm_new(&args, &error);
    check(error);
    reg->region = region_new(bus->pio, &region_args, &error);
    check(error);
    region_set_enabled(reg->region, true);
    memcpy(guest_memory_translate(bus->memory, CODE_ADDRESS, sizeof(guest_code)), guest_code,
           sizeof(guest_code));
    vm_set_entry(vm, &entry);
    vm_start(vm, true, &error);
    check(error);
    return vm;
}

/* ---- bare ---- */

static int
must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "exit_cost: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
    }
    return result;
}

typedef struct {
    int fd;
    struct kvm_run *run;
} BareVcpu;

static void
bare_set_registers(int fd)
{
    struct kvm_regs regs = {.rip = CODE_ADDRESS, .rflags = 2};
    struct kvm_sregs sregs;
    const struct kvm_segment code = {
        .limit = UINT32_MAX, .selector = 0x10, .type = 0xb, .present = 1, .db = 1, .s = 1, .g = 1};

    must(ioctl(fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs = code;
    sregs.ds = code;
    sregs.ds.type = 0x3;
    sregs.ds.selector = 0x18;
    sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
    sregs.cr0 = 0x11; /* protected mode, paging off */
    must(ioctl(fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    must(ioctl(fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* The same machine as the core's: irqchip, PIT and CPUID cost time in KVM_RUN, too. */
static BareVcpu
bare_new(void)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    const size_t cpuid_bytes = sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2);
    g_autofree struct kvm_cpuid2 *cpuid = g_malloc0(cpuid_bytes);
    int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    uint8_t *ram =
        mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY_BYTES,
                                                 .userspace_addr = (uintptr_t)ram};

    memcpy(ram + CODE_ADDRESS, guest_code, sizeof(guest_code));
    must(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    must(ioctl(vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
    must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    int fd = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    cpuid->nent = 256;
    must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
    must(ioctl(fd, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
    bare_set_registers(fd);
    int run_bytes = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    void *run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ram == MAP_FAILED || run == MAP_FAILED) {
        must(-1, "mmap");
    }
    return (BareVcpu){.fd = fd, .run = run};
}

static void
bare_exits(const BareVcpu *vcpu, uint64_t exits)
{
    for (uint64_t i = 0; i < exits; i++) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) < 0 || vcpu->run->exit_reason != KVM_EXIT_IO) {
            must(-1, "KVM_RUN");
        }
    }
}

typedef struct {
    const BareVcpu *vcpu;
    uint64_t exits;
    double ns_per_exit;
} BareRound;

static void *
bare_thread(void *opaque)
{
    BareRound *round = opaque;

    bare_exits(round->vcpu, WARM_UP);
    uint64_t start = now_ns();
    bare_exits(round->vcpu, round->exits);
    round->ns_per_exit = (double)(now_ns() - start) / (double)round->exits;
    return NULL;
}

static double
bare_round(const BareVcpu *vcpu, uint64_t exits)
{
    BareRound round = {.vcpu = vcpu, .exits = exits};

    (void)g_thread_join(g_thread_new("bare", bare_thread, &round));
    return round.ns_per_exit;
}

/* ---- */

static int
compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double
median(double *values, unsigned count)
{
    qsort(values, count, sizeof(values[0]), compare);
    return values[count / 2];
}

static void
measure(Vm *vm, Register *reg, unsigned rounds)
{
    static double core[ROUNDS_MAX], bare[ROUNDS_MAX], ratio[ROUNDS_MAX];
    BareVcpu vcpu = bare_new();

    for (unsigned i = 0; i < rounds; i++) {
        core[i] = core_round(vm, reg);
        bare[i] = bare_round(&vcpu, reg->exits);
        ratio[i] = core[i] / bare[i];
    }
    double median_ratio = median(ratio, rounds);
    double median_core = median(core, rounds);
    printf("exit to a register: backplane %.0f ns, bare KVM_RUN %.0f ns, ratio %.3f "
           "(medians of %u rounds of %" G_GUINT64_FORMAT " exits)\n",
           median_core, median(bare, rounds), median_ratio, rounds, reg->exits);
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    const GuestMemoryArgs memory_args = {.size_bytes = MEMORY_BYTES};
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : ROUNDS_DEFAULT;
    Register reg = {.exits = argc > 2 ? strtoull(argv[2], NULL, 10) : EXITS_DEFAULT};

    if (rounds < 1 || rounds > ROUNDS_MAX || reg.exits < 1) {
        fprintf(stderr, "usage: exit_cost [ROUNDS 1..%u [EXITS]]\n", ROUNDS_MAX);
        return EXIT_FAILURE;
    }
    if (!vm_available(&error)) {
        fprintf(stderr, "exit_cost: skipped: %s\n", error->message);
        return STATUS_SKIPPED;
    }
    g_autoptr(GuestMemory) memory = guest_memory_new(&memory_args, &error);
    check(error);
    g_autoptr(AddressSpace) pio = address_space_new("pio", PIO_SPACE_SIZE);
    g_autoptr(AddressSpace) mmio = address_space_new("mmio", UINT64_MAX);
    g_autoptr(IrqLines) irqs = irq_lines_new();
    const PhysicalBus bus = {.memory = memory, .mmio = mmio, .pio = pio};
    Vm *vm = core_start(&bus, irqs, &reg);
    measure(vm, &reg, rounds);
    vm_free(vm);
    region_free(reg.region);
    return EXIT_SUCCESS;
}
