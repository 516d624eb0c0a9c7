/* SPDX-License-Identifier: Apache-2.0 */
/* Opening /dev/kvm, and saying exactly what is missing where it cannot be used. */
#include "kvm/vm_private.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

typedef struct {
    int number;
    const char *name;
} Capability;

#define CAPABILITY(name)                                                                           \
    {                                                                                              \
        name, #name                                                                                \
    }

/* Without one of these the core cannot run a PC; all are in Linux since 4.11. */
static const Capability needed[] = {
    CAPABILITY(KVM_CAP_IRQCHIP),      CAPABILITY(KVM_CAP_USER_MEMORY),
    CAPABILITY(KVM_CAP_SET_TSS_ADDR), CAPABILITY(KVM_CAP_SET_IDENTITY_MAP_ADDR),
    CAPABILITY(KVM_CAP_EXT_CPUID),    CAPABILITY(KVM_CAP_MP_STATE),
    CAPABILITY(KVM_CAP_VCPU_EVENTS),  CAPABILITY(KVM_CAP_DEBUGREGS),
    CAPABILITY(KVM_CAP_PIT2),         CAPABILITY(KVM_CAP_PIT_STATE2),
    CAPABILITY(KVM_CAP_IRQ_ROUTING),  CAPABILITY(KVM_CAP_IRQFD),
    CAPABILITY(KVM_CAP_IOEVENTFD),    CAPABILITY(KVM_CAP_READONLY_MEM),
    CAPABILITY(KVM_CAP_XSAVE),        CAPABILITY(KVM_CAP_IMMEDIATE_EXIT),
};

int
kvm_ioctl(int fd, unsigned long request, void *argument)
{
    int result = ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}

int
kvm_ioctl_value(int fd, unsigned long request, unsigned long value)
{
    int result = ioctl(fd, request, value);
    return result < 0 ? -errno : result;
}

bool
kvm_error(GError **error, const char *what, int negative_errno)
{
    g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "%s: %s", what, g_strerror(-negative_errno));
    return false;
}

/* Which vendor's extension the processor shows: "kvm_intel", "kvm_amd", or NULL. */
static const char *
kvm_module(void)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
        return NULL;
    }
    if (g_regex_match_simple("^flags\\s*:.*\\bvmx\\b", text, G_REGEX_MULTILINE, 0)) {
        return "kvm_intel";
    }
    if (g_regex_match_simple("^flags\\s*:.*\\bsvm\\b", text, G_REGEX_MULTILINE, 0)) {
        return "kvm_amd";
    }
    return NULL;
}

static void
explain_missing(const char *path, GError **error)
{
    const char *module = kvm_module();

    if (module != NULL) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "%s does not exist: load the kernel module with 'modprobe %s'", path, module);
        return;
    }
    g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                "%s does not exist and the processor shows neither VT-x nor AMD-V: switch "
                "virtualisation on in the firmware setup (in a virtual machine: nested "
                "virtualisation on its host), then 'modprobe kvm_intel' or 'modprobe kvm_amd'",
                path);
}

static void
explain_open_failure(const char *path, int open_errno, GError **error)
{
    switch (open_errno) {
    case ENOENT:
        explain_missing(path, error);
        return;
    case EACCES:
    case EPERM:
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "no permission to use %s: join its group with 'usermod -aG kvm %s' and log in "
                    "again",
                    path, g_get_user_name());
        return;
    case ENODEV:
    case ENXIO:
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "%s has no driver behind it: load the kernel module with 'modprobe %s'", path,
                    kvm_module() != NULL ? kvm_module() : "kvm_intel' or 'modprobe kvm_amd");
        return;
    default:
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot open %s: %s", path,
                    g_strerror(open_errno));
    }
}

static bool
check_device(int fd, const char *path, GError **error)
{
    int version = kvm_ioctl_value(fd, KVM_GET_API_VERSION, 0);

    if (version < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "%s is not a KVM device: %s", path,
                    g_strerror(-version));
        return false;
    }
    if (version != KVM_API_VERSION) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "%s speaks KVM API version %d, version %d is needed: use a kernel of 4.11 or "
                    "later",
                    path, version, KVM_API_VERSION);
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (kvm_ioctl_value(fd, KVM_CHECK_EXTENSION, (unsigned long)needed[i].number) <= 0) {
            g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                        "%s lacks %s: use a kernel of 4.11 or later, on x86-64", path,
                        needed[i].name);
            return false;
        }
    }
    return true;
}

int
kvm_open(const char *path, GError **error)
{
    autofd int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        explain_open_failure(path, errno, error);
        return -1;
    }
    return check_device(fd, path, error) ? fd_steal(&fd) : -1;
}

bool
vm_available(GError **error)
{
    autofd int fd = kvm_open(KVM_DEVICE, error);
    return fd >= 0;
}
