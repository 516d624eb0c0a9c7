/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID feature bits by name, and the `cpu` option: "host,-avx512f,+x2apic". Names are those of
 * /proc/cpuinfo, lower case. References: Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E;
 * Documentation/virt/kvm/x86/cpuid.rst for KVM's own leaf. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    CPUID_EAX,
    CPUID_EBX,
    CPUID_ECX,
    CPUID_EDX,
} CpuidRegister;

typedef struct {
    const char *name;
    uint32_t leaf;
    uint32_t subleaf;
    CpuidRegister reg;
    unsigned bit;
} CpuFeature;

/* NULL: no feature of that name. */
const CpuFeature *cpu_feature_find(const char *name);

typedef struct {
    const CpuFeature *feature;
    bool wanted; /* + or - */
} CpuFeatureChange;

/* Reads the `cpu` option; NULL means "host". Returns an array of CpuFeatureChange in the order
 * given (a later one wins), or NULL with ERROR_CONFIG: unknown model, unknown feature with the
 * nearest known name, a missing sign. */
GArray *cpu_features_parse(const char *cpu, GError **error);
