/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm/cpu_features.h"

#include "base/error.h"
#include "base/nearest.h"

#include <string.h>

#define LEAF1_ECX(bit)  0x1, 0, CPUID_ECX, bit
#define LEAF1_EDX(bit)  0x1, 0, CPUID_EDX, bit
#define LEAF6_EAX(bit)  0x6, 0, CPUID_EAX, bit
#define LEAF7_EBX(bit)  0x7, 0, CPUID_EBX, bit
#define LEAF7_ECX(bit)  0x7, 0, CPUID_ECX, bit
#define LEAF7_EDX(bit)  0x7, 0, CPUID_EDX, bit
#define LEAF71_EAX(bit) 0x7, 1, CPUID_EAX, bit
#define LEAF71_EDX(bit) 0x7, 1, CPUID_EDX, bit
#define LEAF72_EDX(bit) 0x7, 2, CPUID_EDX, bit
#define LEAFD1_EAX(bit) 0xd, 1, CPUID_EAX, bit
#define KVM1_EAX(bit)   0x40000001, 0, CPUID_EAX, bit
#define EXT1_ECX(bit)   0x80000001, 0, CPUID_ECX, bit
#define EXT1_EDX(bit)   0x80000001, 0, CPUID_EDX, bit
#define EXT7_EDX(bit)   0x80000007, 0, CPUID_EDX, bit
#define EXT8_EBX(bit)   0x80000008, 0, CPUID_EBX, bit
#define EXT21_EAX(bit)  0x80000021, 0, CPUID_EAX, bit

/* clang-format off */
static const CpuFeature features[] = {
    {"fpu", LEAF1_EDX(0)}, {"vme", LEAF1_EDX(1)}, {"de", LEAF1_EDX(2)}, {"pse", LEAF1_EDX(3)},
    {"tsc", LEAF1_EDX(4)}, {"msr", LEAF1_EDX(5)}, {"pae", LEAF1_EDX(6)}, {"mce", LEAF1_EDX(7)},
    {"cx8", LEAF1_EDX(8)}, {"apic", LEAF1_EDX(9)}, {"sep", LEAF1_EDX(11)},
    {"mtrr", LEAF1_EDX(12)}, {"pge", LEAF1_EDX(13)}, {"mca", LEAF1_EDX(14)},
    {"cmov", LEAF1_EDX(15)}, {"pat", LEAF1_EDX(16)}, {"pse36", LEAF1_EDX(17)},
    {"pn", LEAF1_EDX(18)}, {"clflush", LEAF1_EDX(19)}, {"dts", LEAF1_EDX(21)},
    {"acpi", LEAF1_EDX(22)}, {"mmx", LEAF1_EDX(23)}, {"fxsr", LEAF1_EDX(24)},
    {"sse", LEAF1_EDX(25)}, {"sse2", LEAF1_EDX(26)}, {"ss", LEAF1_EDX(27)},
    {"ht", LEAF1_EDX(28)}, {"tm", LEAF1_EDX(29)}, {"ia64", LEAF1_EDX(30)},
    {"pbe", LEAF1_EDX(31)},

    {"pni", LEAF1_ECX(0)}, {"sse3", LEAF1_ECX(0)}, {"pclmulqdq", LEAF1_ECX(1)},
    {"dtes64", LEAF1_ECX(2)}, {"monitor", LEAF1_ECX(3)}, {"ds_cpl", LEAF1_ECX(4)},
    {"vmx", LEAF1_ECX(5)}, {"smx", LEAF1_ECX(6)}, {"est", LEAF1_ECX(7)}, {"tm2", LEAF1_ECX(8)},
    {"ssse3", LEAF1_ECX(9)}, {"cid", LEAF1_ECX(10)}, {"sdbg", LEAF1_ECX(11)},
    {"fma", LEAF1_ECX(12)}, {"cx16", LEAF1_ECX(13)}, {"xtpr", LEAF1_ECX(14)},
    {"pdcm", LEAF1_ECX(15)}, {"pcid", LEAF1_ECX(17)}, {"dca", LEAF1_ECX(18)},
    {"sse4_1", LEAF1_ECX(19)}, {"sse4_2", LEAF1_ECX(20)}, {"x2apic", LEAF1_ECX(21)},
    {"movbe", LEAF1_ECX(22)}, {"popcnt", LEAF1_ECX(23)}, {"tsc_deadline_timer", LEAF1_ECX(24)},
    {"aes", LEAF1_ECX(25)}, {"xsave", LEAF1_ECX(26)}, {"avx", LEAF1_ECX(28)},
    {"f16c", LEAF1_ECX(29)}, {"rdrand", LEAF1_ECX(30)}, {"hypervisor", LEAF1_ECX(31)},

    {"dtherm", LEAF6_EAX(0)}, {"ida", LEAF6_EAX(1)}, {"arat", LEAF6_EAX(2)},
    {"pln", LEAF6_EAX(4)}, {"pts", LEAF6_EAX(6)}, {"hwp", LEAF6_EAX(7)},
    {"hwp_notify", LEAF6_EAX(8)}, {"hwp_act_window", LEAF6_EAX(9)}, {"hwp_epp", LEAF6_EAX(10)},
    {"hwp_pkg_req", LEAF6_EAX(11)}, {"hfi", LEAF6_EAX(19)},

    {"fsgsbase", LEAF7_EBX(0)}, {"tsc_adjust", LEAF7_EBX(1)}, {"sgx", LEAF7_EBX(2)},
    {"bmi1", LEAF7_EBX(3)}, {"hle", LEAF7_EBX(4)}, {"avx2", LEAF7_EBX(5)},
    {"fdp_excptn_only", LEAF7_EBX(6)}, {"smep", LEAF7_EBX(7)}, {"bmi2", LEAF7_EBX(8)},
    {"erms", LEAF7_EBX(9)}, {"invpcid", LEAF7_EBX(10)}, {"rtm", LEAF7_EBX(11)},
    {"cqm", LEAF7_EBX(12)}, {"zero_fcs_fds", LEAF7_EBX(13)}, {"mpx", LEAF7_EBX(14)},
    {"rdt_a", LEAF7_EBX(15)}, {"avx512f", LEAF7_EBX(16)}, {"avx512dq", LEAF7_EBX(17)},
    {"rdseed", LEAF7_EBX(18)}, {"adx", LEAF7_EBX(19)}, {"smap", LEAF7_EBX(20)},
    {"avx512ifma", LEAF7_EBX(21)}, {"clflushopt", LEAF7_EBX(23)}, {"clwb", LEAF7_EBX(24)},
    {"intel_pt", LEAF7_EBX(25)}, {"avx512pf", LEAF7_EBX(26)}, {"avx512er", LEAF7_EBX(27)},
    {"avx512cd", LEAF7_EBX(28)}, {"sha_ni", LEAF7_EBX(29)}, {"avx512bw", LEAF7_EBX(30)},
    {"avx512vl", LEAF7_EBX(31)},

    {"prefetchwt1", LEAF7_ECX(0)}, {"avx512vbmi", LEAF7_ECX(1)}, {"umip", LEAF7_ECX(2)},
    {"pku", LEAF7_ECX(3)}, {"ospke", LEAF7_ECX(4)}, {"waitpkg", LEAF7_ECX(5)},
    {"avx512_vbmi2", LEAF7_ECX(6)}, {"shstk", LEAF7_ECX(7)}, {"gfni", LEAF7_ECX(8)},
    {"vaes", LEAF7_ECX(9)}, {"vpclmulqdq", LEAF7_ECX(10)}, {"avx512_vnni", LEAF7_ECX(11)},
    {"avx512_bitalg", LEAF7_ECX(12)}, {"tme", LEAF7_ECX(13)},
    {"avx512_vpopcntdq", LEAF7_ECX(14)}, {"la57", LEAF7_ECX(16)}, {"rdpid", LEAF7_ECX(22)},
    {"bus_lock_detect", LEAF7_ECX(24)}, {"cldemote", LEAF7_ECX(25)}, {"movdiri", LEAF7_ECX(27)},
    {"movdir64b", LEAF7_ECX(28)}, {"enqcmd", LEAF7_ECX(29)}, {"sgx_lc", LEAF7_ECX(30)},
    {"pks", LEAF7_ECX(31)},

    {"avx512_4vnniw", LEAF7_EDX(2)}, {"avx512_4fmaps", LEAF7_EDX(3)}, {"fsrm", LEAF7_EDX(4)},
    {"uintr", LEAF7_EDX(5)}, {"avx512_vp2intersect", LEAF7_EDX(8)},
    {"srbds_ctrl", LEAF7_EDX(9)}, {"md_clear", LEAF7_EDX(10)},
    {"rtm_always_abort", LEAF7_EDX(11)}, {"tsx_force_abort", LEAF7_EDX(13)},
    {"serialize", LEAF7_EDX(14)}, {"hybrid_cpu", LEAF7_EDX(15)}, {"tsxldtrk", LEAF7_EDX(16)},
    {"pconfig", LEAF7_EDX(18)}, {"arch_lbr", LEAF7_EDX(19)}, {"ibt", LEAF7_EDX(20)},
    {"amx_bf16", LEAF7_EDX(22)}, {"avx512_fp16", LEAF7_EDX(23)}, {"amx_tile", LEAF7_EDX(24)},
    {"amx_int8", LEAF7_EDX(25)}, {"spec_ctrl", LEAF7_EDX(26)}, {"intel_stibp", LEAF7_EDX(27)},
    {"flush_l1d", LEAF7_EDX(28)}, {"arch_capabilities", LEAF7_EDX(29)},
    {"core_capabilities", LEAF7_EDX(30)}, {"spec_ctrl_ssbd", LEAF7_EDX(31)},

    {"sha512", LEAF71_EAX(0)}, {"sm3", LEAF71_EAX(1)}, {"sm4", LEAF71_EAX(2)},
    {"rao_int", LEAF71_EAX(3)}, {"avx_vnni", LEAF71_EAX(4)}, {"avx512_bf16", LEAF71_EAX(5)},
    {"lass", LEAF71_EAX(6)}, {"cmpccxadd", LEAF71_EAX(7)}, {"arch_perfmon_ext", LEAF71_EAX(8)},
    {"fzrm", LEAF71_EAX(10)}, {"fsrs", LEAF71_EAX(11)}, {"fsrc", LEAF71_EAX(12)},
    {"fred", LEAF71_EAX(17)}, {"lkgs", LEAF71_EAX(18)}, {"wrmsrns", LEAF71_EAX(19)},
    {"amx_fp16", LEAF71_EAX(21)}, {"hreset", LEAF71_EAX(22)}, {"avx_ifma", LEAF71_EAX(23)},
    {"lam", LEAF71_EAX(26)}, {"msrlist", LEAF71_EAX(27)},
    {"avx_vnni_int8", LEAF71_EDX(4)}, {"avx_ne_convert", LEAF71_EDX(5)},
    {"amx_complex", LEAF71_EDX(8)}, {"avx_vnni_int16", LEAF71_EDX(10)},
    {"prefetchi", LEAF71_EDX(14)}, {"avx10", LEAF71_EDX(19)},

    {"psfd", LEAF72_EDX(0)}, {"ipred_ctrl", LEAF72_EDX(1)}, {"rrsba_ctrl", LEAF72_EDX(2)},
    {"ddpd_u", LEAF72_EDX(3)}, {"bhi_ctrl", LEAF72_EDX(4)}, {"mcdt_no", LEAF72_EDX(5)},

    {"xsaveopt", LEAFD1_EAX(0)}, {"xsavec", LEAFD1_EAX(1)}, {"xgetbv1", LEAFD1_EAX(2)},
    {"xsaves", LEAFD1_EAX(3)}, {"xfd", LEAFD1_EAX(4)},

    {"kvmclock", KVM1_EAX(0)}, {"kvm_nopiodelay", KVM1_EAX(1)}, {"kvmclock2", KVM1_EAX(3)},
    {"kvm_asyncpf", KVM1_EAX(4)}, {"kvm_steal_time", KVM1_EAX(5)}, {"kvm_pv_eoi", KVM1_EAX(6)},
    {"kvm_pv_unhalt", KVM1_EAX(7)}, {"kvm_pv_tlb_flush", KVM1_EAX(9)},
    {"kvm_asyncpf_vmexit", KVM1_EAX(10)}, {"kvm_pv_ipi", KVM1_EAX(11)},
    {"kvm_poll_control", KVM1_EAX(12)}, {"kvm_pv_sched_yield", KVM1_EAX(13)},
    {"kvm_asyncpf_int", KVM1_EAX(14)}, {"kvm_msi_ext_dest_id", KVM1_EAX(15)},
    {"kvm_migration_control", KVM1_EAX(17)}, {"kvmclock_stable", KVM1_EAX(24)},

    {"lahf_lm", EXT1_ECX(0)}, {"cmp_legacy", EXT1_ECX(1)}, {"svm", EXT1_ECX(2)},
    {"extapic", EXT1_ECX(3)}, {"cr8_legacy", EXT1_ECX(4)}, {"abm", EXT1_ECX(5)},
    {"sse4a", EXT1_ECX(6)}, {"misalignsse", EXT1_ECX(7)}, {"3dnowprefetch", EXT1_ECX(8)},
    {"osvw", EXT1_ECX(9)}, {"ibs", EXT1_ECX(10)}, {"xop", EXT1_ECX(11)},
    {"skinit", EXT1_ECX(12)}, {"wdt", EXT1_ECX(13)}, {"lwp", EXT1_ECX(15)},
    {"fma4", EXT1_ECX(16)}, {"tce", EXT1_ECX(17)}, {"nodeid_msr", EXT1_ECX(19)},
    {"tbm", EXT1_ECX(21)}, {"topoext", EXT1_ECX(22)}, {"perfctr_core", EXT1_ECX(23)},
    {"perfctr_nb", EXT1_ECX(24)}, {"bpext", EXT1_ECX(26)}, {"ptsc", EXT1_ECX(27)},
    {"perfctr_llc", EXT1_ECX(28)}, {"mwaitx", EXT1_ECX(29)},
    {"syscall", EXT1_EDX(11)}, {"mp", EXT1_EDX(19)}, {"nx", EXT1_EDX(20)},
    {"mmxext", EXT1_EDX(22)}, {"fxsr_opt", EXT1_EDX(25)}, {"pdpe1gb", EXT1_EDX(26)},
    {"rdtscp", EXT1_EDX(27)}, {"lm", EXT1_EDX(29)}, {"3dnowext", EXT1_EDX(30)},
    {"3dnow", EXT1_EDX(31)},

    {"hw_pstate", EXT7_EDX(7)}, {"invtsc", EXT7_EDX(8)}, {"constant_tsc", EXT7_EDX(8)},
    {"cpb", EXT7_EDX(9)}, {"proc_feedback", EXT7_EDX(11)}, {"acc_power", EXT7_EDX(12)},

    {"clzero", EXT8_EBX(0)}, {"irperf", EXT8_EBX(1)}, {"xsaveerptr", EXT8_EBX(2)},
    {"rdpru", EXT8_EBX(4)}, {"wbnoinvd", EXT8_EBX(9)}, {"ibpb", EXT8_EBX(12)},
    {"ibrs", EXT8_EBX(14)}, {"stibp", EXT8_EBX(15)}, {"stibp_always_on", EXT8_EBX(17)},
    {"amd_ppin", EXT8_EBX(23)}, {"ssbd", EXT8_EBX(24)}, {"virt_ssbd", EXT8_EBX(25)},
    {"amd_ssb_no", EXT8_EBX(26)}, {"cppc", EXT8_EBX(27)}, {"amd_psfd", EXT8_EBX(28)},
    {"btc_no", EXT8_EBX(29)}, {"brs", EXT8_EBX(31)},

    {"no_nested_data_bp", EXT21_EAX(0)}, {"lfence_rdtsc", EXT21_EAX(2)},
    {"null_sel_clr_base", EXT21_EAX(6)}, {"autoibrs", EXT21_EAX(8)},
    {"no_smm_ctl_msr", EXT21_EAX(9)},
};
/* clang-format on */

const CpuFeature *
cpu_feature_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        if (strcmp(features[i].name, name) == 0) {
            return &features[i];
        }
    }
    return NULL;
}

static void
refuse_feature(const char *cpu, const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS(features) + 1];

    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        names[i] = features[i].name;
    }
    names[G_N_ELEMENTS(features)] = NULL;
    const char *nearest = nearest_name(name, names);
    if (nearest != NULL) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "cpu \"%s\": no feature \"%s\" (did you mean \"%s\"?)", cpu, name, nearest);
    } else {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "cpu \"%s\": no feature \"%s\" (names are those of /proc/cpuinfo)", cpu, name);
    }
}

static bool
parse_change(const char *cpu, const char *word, GArray *changes, GError **error)
{
    if (word[0] != '+' && word[0] != '-') {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "cpu \"%s\": \"%s\" must be \"+feature\" or \"-feature\"", cpu, word);
        return false;
    }
    CpuFeatureChange change = {
        .feature = cpu_feature_find(word + 1),
        .wanted = word[0] == '+',
    };
    if (change.feature == NULL) {
        refuse_feature(cpu, word + 1, error);
        return false;
    }
    g_array_append_val(changes, change);
    return true;
}

GArray *
cpu_features_parse(const char *cpu, GError **error)
{
    g_autoptr(GArray) changes = g_array_new(FALSE, FALSE, sizeof(CpuFeatureChange));

    if (cpu == NULL) {
        return g_steal_pointer(&changes);
    }
    g_auto(GStrv) words = g_strsplit(cpu, ",", -1);
    if (words[0] == NULL || strcmp(g_strstrip(words[0]), "host") != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                    "cpu \"%s\": the model must be \"host\", as in \"host,-avx512f\"", cpu);
        return NULL;
    }
    for (char **word = words + 1; *word != NULL; word++) {
        if (!parse_change(cpu, g_strstrip(*word), changes, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&changes);
}
