/* SPDX-License-Identifier: Apache-2.0 */
/* Reads arbitrary bytes as a machine description, includes and all. */
#include "config/plan.h"

#include "base/fd.h"

#include <stdio.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofd int fd = memfd_create("description", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0) {
        return -1;
    }
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(ErrorList) errors = error_list_new();
    g_autoptr(MachinePlan) plan = machine_plan_new(path, NULL, NULL, errors);
    if (plan != NULL) {
        g_free(machine_plan_print(plan));
        g_free(machine_plan_print_json(plan));
    }
    return 0;
}
