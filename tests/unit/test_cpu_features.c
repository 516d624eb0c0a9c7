/* SPDX-License-Identifier: Apache-2.0 */
/* core/kvm: the `cpu` option, and the topology in CPUID. No /dev/kvm needed. */
#include "kvm/cpu_features.h"
#include "kvm/cpuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ENTRIES_MAX 32

#define AMD_EBX   0x68747541u
#define INTEL_EBX 0x756e6547u

static struct kvm_cpuid2 *
leaves_new(uint32_t vendor_ebx)
{
    static const struct kvm_cpuid_entry2 entries[] = {
        {.function = 0x0, .eax = 0x1f},
        {.function = 0x1, .ebx = 0x00000800, .ecx = 0xffffffff, .edx = 0xffffffff},
        {.function = 0x4, .index = 0, .eax = 0xfc000121, .flags = 1},
        {.function = 0x4, .index = 3, .eax = 0x00000163, .flags = 1},
        {.function = 0x7, .ebx = 0xffffffff, .ecx = 0xffffffff, .edx = 0xffffffff, .flags = 1},
        {.function = 0xb, .index = 0, .flags = 1},
        {.function = 0xd, .index = 0, .eax = 0x2e7, .flags = 1},
        {.function = 0xd, .index = 1, .eax = 0xf, .flags = 1},
        {.function = 0x80000001, .ecx = 0xffffffff, .edx = 0xffffffff},
        {.function = 0x80000008, .eax = 0x3030, .ecx = 0x7001},
        {.function = 0x8000001d, .index = 3, .eax = 0x00000163, .flags = 1},
        {.function = 0x8000001e},
    };
    struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) + ENTRIES_MAX * sizeof(cpuid->entries[0]));

    memcpy(cpuid->entries, entries, sizeof(entries));
    cpuid->nent = G_N_ELEMENTS(entries);
    cpuid->entries[0].ebx = vendor_ebx;
    return cpuid;
}

static const struct kvm_cpuid_entry2 *
leaf(const struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
    static const struct kvm_cpuid_entry2 none;

    for (unsigned i = 0; i < cpuid->nent; i++) {
        if (cpuid->entries[i].function == function && cpuid->entries[i].index == index) {
            return &cpuid->entries[i];
        }
    }
    fail_msg("no leaf %x.%x", function, index);
    return &none;
}

static void
test_host_alone_changes_nothing(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) none = cpu_features_parse(NULL, &error);
    g_autoptr(GArray) host = cpu_features_parse("host", &error);

    assert_non_null(none);
    assert_non_null(host);
    assert_int_equal(none->len, 0);
    assert_int_equal(host->len, 0);
}

static void
test_changes_keep_their_order_and_sign(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) changes = cpu_features_parse("host, -avx , +x2apic", &error);

    assert_non_null(changes);
    assert_int_equal(changes->len, 2);
    assert_string_equal(g_array_index(changes, CpuFeatureChange, 0).feature->name, "avx");
    assert_false(g_array_index(changes, CpuFeatureChange, 0).wanted);
    assert_string_equal(g_array_index(changes, CpuFeatureChange, 1).feature->name, "x2apic");
    assert_true(g_array_index(changes, CpuFeatureChange, 1).wanted);
}

static void
test_bad_options_are_explained(void **state)
{
    static const struct {
        const char *option, *message;
    } rows[] = {
        {"qemu64", "cpu \"qemu64\": the model must be \"host\", as in \"host,-avx512f\""},
        {"", "cpu \"\": the model must be \"host\", as in \"host,-avx512f\""},
        {"host,-avx51f", "cpu \"host,-avx51f\": no feature \"avx51f\" (did you mean \"avx512f\"?)"},
        {"host,+zzzzzzzz", "cpu \"host,+zzzzzzzz\": no feature \"zzzzzzzz\" (names are those of "
                           "/proc/cpuinfo)"},
        {"host,avx", "cpu \"host,avx\": \"avx\" must be \"+feature\" or \"-feature\""},
        {"host,,-avx", "cpu \"host,,-avx\": \"\" must be \"+feature\" or \"-feature\""},
        {"host,-", "cpu \"host,-\": no feature \"\" (names are those of /proc/cpuinfo)"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(cpu_features_parse(rows[i].option, &error));
        assert_string_equal(error->message, rows[i].message);
    }
}

static void
test_names_mean_the_bits_of_the_manuals(void **state)
{
    static const struct {
        const char *name;
        uint32_t leaf, subleaf;
        CpuidRegister reg;
        unsigned bit;
    } rows[] = {
        {"fpu", 1, 0, CPUID_EDX, 0},
        {"sse2", 1, 0, CPUID_EDX, 26},
        {"ht", 1, 0, CPUID_EDX, 28},
        {"vmx", 1, 0, CPUID_ECX, 5},
        {"cx16", 1, 0, CPUID_ECX, 13},
        {"tsc_deadline_timer", 1, 0, CPUID_ECX, 24},
        {"arat", 6, 0, CPUID_EAX, 2},
        {"fsgsbase", 7, 0, CPUID_EBX, 0},
        {"smap", 7, 0, CPUID_EBX, 20},
        {"umip", 7, 0, CPUID_ECX, 2},
        {"la57", 7, 0, CPUID_ECX, 16},
        {"fsrm", 7, 0, CPUID_EDX, 4},
        {"spec_ctrl", 7, 0, CPUID_EDX, 26},
        {"avx_vnni", 7, 1, CPUID_EAX, 4},
        {"xsaves", 0xd, 1, CPUID_EAX, 3},
        {"svm", 0x80000001, 0, CPUID_ECX, 2},
        {"lm", 0x80000001, 0, CPUID_EDX, 29},
        {"nx", 0x80000001, 0, CPUID_EDX, 20},
        {"invtsc", 0x80000007, 0, CPUID_EDX, 8},
        {"ibpb", 0x80000008, 0, CPUID_EBX, 12},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const CpuFeature *feature = cpu_feature_find(rows[i].name);
        assert_non_null(feature);
        assert_int_equal(feature->leaf, rows[i].leaf);
        assert_int_equal(feature->subleaf, rows[i].subleaf);
        assert_int_equal(feature->reg, rows[i].reg);
        assert_int_equal(feature->bit, rows[i].bit);
    }
    assert_null(cpu_feature_find("osxsave")); /* follows CR4, cannot be chosen */
}

static void
test_a_masked_feature_takes_its_register_state_along(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree struct kvm_cpuid2 *cpuid = leaves_new(AMD_EBX);

    assert_true(cpuid_apply_option(cpuid, "host,-avx512f,-cx16", &error));
    assert_int_equal(leaf(cpuid, 7, 0)->ebx & (1u << 16), 0);
    assert_int_equal(leaf(cpuid, 1, 0)->ecx & (1u << 13), 0);
    assert_int_equal(leaf(cpuid, 0xd, 0)->eax, 0x207); /* opmask and ZMM are gone, PKRU stays */
    assert_true(cpuid_apply_option(cpuid, "host,-avx", &error));
    assert_int_equal(leaf(cpuid, 0xd, 0)->eax, 0x203);
    assert_true(cpuid_apply_option(cpuid, "host,-xsave", &error));
    assert_int_equal(leaf(cpuid, 0xd, 0)->eax, 0);
    assert_int_equal(leaf(cpuid, 0xd, 1)->eax, 0);
}

static void
test_a_wanted_feature_must_be_there(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree struct kvm_cpuid2 *cpuid = leaves_new(AMD_EBX);

    assert_true(cpuid_apply_option(cpuid, "host,+avx512f", &error));
    assert_false(cpuid_apply_option(cpuid, "host,+avx_vnni", &error));
    assert_string_equal(error->message,
                        "cpu \"host,+avx_vnni\": this host's KVM does not offer \"avx_vnni\"");
}

static void
check_topology(unsigned cpus, unsigned index, unsigned bits)
{
    g_autofree struct kvm_cpuid2 *cpuid = leaves_new(AMD_EBX);

    cpuid_set_topology(cpuid, 0, cpus);
    cpuid_set_topology(cpuid, index, cpus); /* the second vCPU's call meets the first one's */
    assert_int_equal(leaf(cpuid, 1, 0)->ebx, index << 24 | MIN(1u << bits, 255u) << 16 | 0x0800);
    assert_int_equal((leaf(cpuid, 1, 0)->edx >> 28) & 1, cpus > 1);
    assert_int_equal(leaf(cpuid, 0xb, 0)->ecx, 0x100);
    assert_int_equal(leaf(cpuid, 0xb, 0)->ebx, 1);
    assert_int_equal(leaf(cpuid, 0xb, 1)->eax, bits);
    assert_int_equal(leaf(cpuid, 0xb, 1)->ebx, cpus);
    assert_int_equal(leaf(cpuid, 0xb, 1)->ecx, 0x201);
    assert_int_equal(leaf(cpuid, 0xb, 2)->ecx, 0x002);
    assert_int_equal(leaf(cpuid, 0xb, 2)->edx, index);
    assert_int_equal(leaf(cpuid, 0x80000008, 0)->ecx, bits << 12 | (cpus - 1));
    assert_int_equal(leaf(cpuid, 0x80000008, 0)->eax, 0x3030);
    assert_int_equal(leaf(cpuid, 0x8000001d, 3)->eax >> 14, cpus - 1);
    assert_int_equal(leaf(cpuid, 0x8000001e, 0)->eax, index);
    assert_int_equal(leaf(cpuid, 0x8000001e, 0)->ebx, index);
}

static void
test_topology_is_one_package_of_cores(void **state)
{
    check_topology(1, 0, 0);
    check_topology(2, 1, 1);
    check_topology(3, 2, 2);
    check_topology(8, 7, 3);
    check_topology(255, 254, 8);
}

static void
test_intel_caches_are_shared_from_the_third_level_up(void **state)
{
    g_autofree struct kvm_cpuid2 *cpuid = leaves_new(INTEL_EBX);

    cpuid_set_topology(cpuid, 0, 6);
    assert_int_equal(leaf(cpuid, 4, 0)->eax, 7u << 26 | 0x121);
    assert_int_equal(leaf(cpuid, 4, 3)->eax, 7u << 26 | 7u << 14 | 0x163);
    assert_int_equal(leaf(cpuid, 0x80000008, 0)->ecx, 0x7001); /* AMD's alone */
    cpuid_set_topology(cpuid, 0, 200);
    assert_int_equal(leaf(cpuid, 4, 3)->eax, 63u << 26 | 255u << 14 | 0x163);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_alone_changes_nothing),
        cmocka_unit_test(test_changes_keep_their_order_and_sign),
        cmocka_unit_test(test_bad_options_are_explained),
        cmocka_unit_test(test_names_mean_the_bits_of_the_manuals),
        cmocka_unit_test(test_a_masked_feature_takes_its_register_state_along),
        cmocka_unit_test(test_a_wanted_feature_must_be_there),
        cmocka_unit_test(test_topology_is_one_package_of_cores),
        cmocka_unit_test(test_intel_caches_are_shared_from_the_third_level_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
