/* SPDX-License-Identifier: Apache-2.0 */
/* References: Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E. */
#include "kvm/cpuid.h"

#include "base/error.h"
#include "kvm/cpu_features.h"
#include "kvm/vm_private.h"

#include <asm/kvm_para.h>
#include <cpuid.h>
#include <errno.h>

#define ENTRIES_FIRST 128u
#define ENTRIES_MAX   4096u

#define LEAF1_EBX_CLFLUSH_MASK 0x0000ffffu
#define LEAF1_ECX_VMX          (1u << 5)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_XSAVE        (1u << 26)
#define LEAF1_ECX_OSXSAVE      (1u << 27)
#define LEAF1_ECX_AVX          (1u << 28)
#define LEAF1_ECX_HYPERVISOR   (1u << 31)
#define LEAF1_EDX_HTT          (1u << 28)
#define LEAF7_EBX_AVX512F      (1u << 16)
#define LEAF7_ECX_PKU          (1u << 3)
#define LEAF7_ECX_OSPKE        (1u << 4)
#define EXT1_ECX_SVM           (1u << 2)
#define EXT1_ECX_CMP_LEGACY    (1u << 1)

/* What guests do by VMCALL or VMMCALL. */
#define HYPERCALL_FEATURES                                                                         \
    ((1u << KVM_FEATURE_PV_UNHALT) | (1u << KVM_FEATURE_PV_SEND_IPI) |                             \
     (1u << KVM_FEATURE_PV_SCHED_YIELD) | (1u << KVM_FEATURE_HC_MAP_GPA_RANGE))

/* State components in XCR0 (Intel SDM vol. 1, 13.1). */
#define XCR0_AVX    (1u << 2)
#define XCR0_AVX512 (7u << 5)
#define XCR0_PKRU   (1u << 9)

#define CACHE_TYPE(eax)  ((eax)&0x1fu)
#define CACHE_LEVEL(eax) (((eax) >> 5) & 7u)

/* Level types of leaves 0Bh and 1Fh. */
#define TOPOLOGY_SMT  1u
#define TOPOLOGY_CORE 2u

static struct kvm_cpuid_entry2 *
find_entry(struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < cpuid->nent; i++) {
        if (cpuid->entries[i].function == leaf && cpuid->entries[i].index == subleaf) {
            return &cpuid->entries[i];
        }
    }
    return NULL;
}

static uint32_t *
entry_register(struct kvm_cpuid_entry2 *entry, CpuidRegister reg)
{
    switch (reg) {
    case CPUID_EAX:
        return &entry->eax;
    case CPUID_EBX:
        return &entry->ebx;
    case CPUID_ECX:
        return &entry->ecx;
    default:
        return &entry->edx;
    }
}

static struct kvm_cpuid2 *
get_supported(int kvm_fd, GError **error)
{
    for (unsigned count = ENTRIES_FIRST; count <= ENTRIES_MAX; count *= 2) {
        /* Room for the levels that set_levels() adds. */
        g_autofree struct kvm_cpuid2 *cpuid =
            g_malloc0(sizeof(*cpuid) + (count + 4) * sizeof(cpuid->entries[0]));
        cpuid->nent = count;
        int result = kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
        if (result == 0) {
            return g_steal_pointer(&cpuid);
        }
        if (result != -E2BIG) {
            kvm_error(error, "KVM_GET_SUPPORTED_CPUID", result);
            return NULL;
        }
    }
    kvm_error(error, "KVM_GET_SUPPORTED_CPUID", -E2BIG);
    return NULL;
}

static void
clear_xsave_leaves(struct kvm_cpuid2 *cpuid)
{
    for (unsigned i = 0; i < cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
        if (entry->function == 0xd) {
            entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
        }
    }
}

/* Without the feature, its register state must not be shown as enableable either. */
static void
mask_xsave_states(struct kvm_cpuid2 *cpuid)
{
    const struct kvm_cpuid_entry2 *leaf1 = find_entry(cpuid, 1, 0);
    const struct kvm_cpuid_entry2 *leaf7 = find_entry(cpuid, 7, 0);
    struct kvm_cpuid_entry2 *states = find_entry(cpuid, 0xd, 0);

    if (leaf1 == NULL || states == NULL) {
        return;
    }
    if ((leaf1->ecx & LEAF1_ECX_XSAVE) == 0) {
        clear_xsave_leaves(cpuid);
        return;
    }
    if ((leaf1->ecx & LEAF1_ECX_AVX) == 0) {
        states->eax &= ~(XCR0_AVX | XCR0_AVX512);
    }
    if (leaf7 == NULL || (leaf7->ebx & LEAF7_EBX_AVX512F) == 0) {
        states->eax &= ~XCR0_AVX512;
    }
    if (leaf7 == NULL || (leaf7->ecx & LEAF7_ECX_PKU) == 0) {
        states->eax &= ~XCR0_PKRU;
    }
}

bool
cpuid_apply_option(struct kvm_cpuid2 *cpuid, const char *cpu, GError **error)
{
    g_autoptr(GArray) changes = cpu_features_parse(cpu, error);

    if (changes == NULL) {
        return false;
    }
    for (unsigned i = 0; i < changes->len; i++) {
        const CpuFeatureChange *change = &g_array_index(changes, CpuFeatureChange, i);
        const CpuFeature *feature = change->feature;
        struct kvm_cpuid_entry2 *entry = find_entry(cpuid, feature->leaf, feature->subleaf);
        uint32_t *reg = entry != NULL ? entry_register(entry, feature->reg) : NULL;
        uint32_t bit = 1u << feature->bit;

        if (change->wanted && (reg == NULL || (*reg & bit) == 0)) {
            g_set_error(error, BACKPLANE_ERROR, ERROR_UNSUPPORTED,
                        "cpu \"%s\": this host's KVM does not offer \"%s\"", cpu, feature->name);
            return false;
        }
        if (!change->wanted && reg != NULL) {
            *reg &= ~bit;
        }
    }
    mask_xsave_states(cpuid);
    return true;
}

/* Without VT-x and AMD-V there can be a KVM that interprets what the guest's kernel does. KVM's
 * interpreter answers a hypercall by writing the processor's own hypercall instruction over it and
 * executing that, which it interprets again: the vCPU never gets further. */
static bool
hypercalls_work(void)
{
    uint32_t eax, ebx, ecx, edx;

    return (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & LEAF1_ECX_VMX) != 0) ||
           (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) != 0 && (ecx & EXT1_ECX_SVM) != 0);
}

/* What KVM_GET_SUPPORTED_CPUID leaves to the user of a VM with KVM's local APICs. */
static void
complete(struct kvm_cpuid2 *cpuid, int vm_fd)
{
    struct kvm_cpuid_entry2 *leaf1 = find_entry(cpuid, 1, 0);
    struct kvm_cpuid_entry2 *leaf7 = find_entry(cpuid, 7, 0);
    struct kvm_cpuid_entry2 *paravirtual = find_entry(cpuid, KVM_CPUID_FEATURES, 0);

    if (paravirtual != NULL && !hypercalls_work()) {
        paravirtual->eax &= ~HYPERCALL_FEATURES;
    }

    if (leaf1 != NULL) {
        leaf1->ecx |= LEAF1_ECX_HYPERVISOR;
        leaf1->ecx &= ~LEAF1_ECX_OSXSAVE; /* follows CR4 at run time, as does OSPKE */
        if (kvm_ioctl_value(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0) {
            leaf1->ecx |= LEAF1_ECX_TSC_DEADLINE;
        }
    }
    if (leaf7 != NULL) {
        leaf7->ecx &= ~LEAF7_ECX_OSPKE;
    }
}

struct kvm_cpuid2 *
cpuid_new(int kvm_fd, int vm_fd, const char *cpu, GError **error)
{
    g_autofree struct kvm_cpuid2 *cpuid = get_supported(kvm_fd, error);

    if (cpuid == NULL) {
        return NULL;
    }
    complete(cpuid, vm_fd);
    if (!cpuid_apply_option(cpuid, cpu, error)) {
        return NULL;
    }
    return g_steal_pointer(&cpuid);
}

/* Bits that tell `count` things apart. */
static unsigned
id_bits(unsigned count)
{
    return count > 1 ? g_bit_storage(count - 1) : 0;
}

/* Leaves 0Bh and 1Fh: threads of a core, cores of the package, end. */
static void
set_levels(struct kvm_cpuid2 *cpuid, uint32_t leaf, unsigned index, unsigned cpus)
{
    const struct {
        uint32_t type, shift, count;
    } levels[] = {
        {TOPOLOGY_SMT, 0, 1},
        {TOPOLOGY_CORE, id_bits(cpus), cpus},
        {0, 0, 0},
    };

    if (find_entry(cpuid, leaf, 0) == NULL) {
        return;
    }
    for (uint32_t i = 0; i < G_N_ELEMENTS(levels); i++) {
        struct kvm_cpuid_entry2 *entry = find_entry(cpuid, leaf, i);
        if (entry == NULL) {
            entry = &cpuid->entries[cpuid->nent++]; /* get_supported() left room */
        }
        *entry = (struct kvm_cpuid_entry2){
            .function = leaf,
            .index = i,
            .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .eax = levels[i].shift,
            .ebx = levels[i].count,
            .ecx = i | (levels[i].type << 8),
            .edx = index,
        };
    }
}

/* Leaves 4 (Intel) and 8000001Dh (AMD): who shares a cache. The last level is the package's. */
static void
set_cache_sharing(struct kvm_cpuid_entry2 *entry, unsigned cpus, bool is_intel)
{
    unsigned ids = 1u << id_bits(cpus);
    unsigned sharing = 1;

    if (CACHE_TYPE(entry->eax) == 0) {
        return;
    }
    if (CACHE_LEVEL(entry->eax) >= 3) {
        sharing = is_intel ? ids : cpus;
    }
    entry->eax = (entry->eax & ~(0xfffu << 14)) | ((sharing - 1) << 14);
    if (is_intel) {
        entry->eax = (entry->eax & 0x03ffffffu) | (MIN(ids - 1, 63u) << 26);
    }
}

static void
set_leaf_topology(struct kvm_cpuid_entry2 *entry, unsigned index, unsigned cpus)
{
    switch (entry->function) {
    case 0x1:
        entry->ebx = (entry->ebx & LEAF1_EBX_CLFLUSH_MASK) |
                     (MIN(1u << id_bits(cpus), 255u) << 16) | (index << 24);
        entry->edx = cpus > 1 ? entry->edx | LEAF1_EDX_HTT : entry->edx & ~LEAF1_EDX_HTT;
        break;
    case 0x4:
        set_cache_sharing(entry, cpus, true);
        break;
    case 0x8000001d:
        set_cache_sharing(entry, cpus, false);
        break;
    case 0x80000001: /* "HTT means cores, not threads"; reserved on Intel, where it stays clear */
        if (cpus == 1) {
            entry->ecx &= ~EXT1_ECX_CMP_LEGACY;
        }
        break;
    case 0x80000008: /* ApicIdCoreIdSize and NC; reserved on Intel, where KVM gives 0 */
        if (entry->ecx != 0 || cpus > 1) {
            entry->ecx = (entry->ecx & ~0xf0ffu) | (id_bits(cpus) << 12) | (cpus - 1);
        }
        break;
    case 0x8000001e: /* extended APIC id; core id, one thread; node 0 of 1 */
        entry->eax = index;
        entry->ebx = index & 0xff;
        entry->ecx = 0;
        break;
    default:
        break;
    }
}

static bool
is_amd(struct kvm_cpuid2 *cpuid)
{
    const struct kvm_cpuid_entry2 *vendor = find_entry(cpuid, 0, 0);

    /* "AuthenticAMD", "HygonGenuine" by their EBX. */
    return vendor != NULL && (vendor->ebx == 0x68747541 || vendor->ebx == 0x6f677948);
}

void
cpuid_set_topology(struct kvm_cpuid2 *cpuid, unsigned index, unsigned cpus)
{
    bool amd = is_amd(cpuid);

    for (unsigned i = 0; i < cpuid->nent; i++) {
        if (amd || cpuid->entries[i].function < 0x80000000) {
            set_leaf_topology(&cpuid->entries[i], index, cpus);
        }
    }
    set_levels(cpuid, 0xb, index, cpus);
    set_levels(cpuid, 0x1f, index, cpus);
}
