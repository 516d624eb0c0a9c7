/* SPDX-License-Identifier: Apache-2.0 */
/* The CPUID leaves a guest sees: what the host's KVM supports, minus what the `cpu` option masks,
 * with the topology of the machine: one package of single-threaded cores. */
#pragma once

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>

/* Owned; free with g_free(). ERROR_CONFIG for the option, ERROR_UNSUPPORTED for a wanted feature
 * that the host lacks, ERROR_HOST when KVM refuses. */
struct kvm_cpuid2 *cpuid_new(int kvm_fd, int vm_fd, const char *cpu, GError **error);
/* Writes what depends on the vCPU and on how many there are. */
void cpuid_set_topology(struct kvm_cpuid2 *cpuid, unsigned index, unsigned cpus);
/* Applies the `cpu` option to given leaves (for tests; cpuid_new() does it). */
bool cpuid_apply_option(struct kvm_cpuid2 *cpuid, const char *cpu, GError **error);
