/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_fixture.h"

#include <glib/gstdio.h>

void
put16(Fixture *fixture, size_t offset, uint16_t value)
{
    memcpy(fixture->file + offset, &value, sizeof(value));
}

void
put32(Fixture *fixture, size_t offset, uint32_t value)
{
    memcpy(fixture->file + offset, &value, sizeof(value));
}

void
put64(Fixture *fixture, size_t offset, uint64_t value)
{
    memcpy(fixture->file + offset, &value, sizeof(value));
}

int
boot_setup(void **state)
{
    const GuestMemoryArgs args = {.size_bytes = 32 * MIB};
    GError *error = NULL;
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->memory = guest_memory_new(&args, &error);
    assert_null(error);
    fixture->directory = g_dir_make_tmp("backplane-boot-XXXXXX", &error);
    assert_null(error);
    fixture->kernel = g_build_filename(fixture->directory, "kernel", NULL);
    fixture->initrd = g_build_filename(fixture->directory, "initrd", NULL);
    *state = fixture;
    return 0;
}

int
boot_teardown(void **state)
{
    Fixture *fixture = *state;

    (void)g_unlink(fixture->kernel);
    (void)g_unlink(fixture->initrd);
    (void)g_rmdir(fixture->directory);
    guest_memory_free(fixture->memory);
    g_free(fixture->directory);
    g_free(fixture->kernel);
    g_free(fixture->initrd);
    g_free(fixture);
    return 0;
}

void
write_file(const char *path, const void *data, size_t length)
{
    g_autoptr(GError) error = NULL;

    assert_true(g_file_set_contents(path, data, (gssize)length, &error));
}

BootKernel *
open_kernel(Fixture *fixture, const char *initrd, const char *cmdline, GError **error)
{
    const BootKernelArgs args = {
        .kernel = fixture->kernel, .initrd = initrd, .cmdline = cmdline, .rsdp = 0xf5a40};

    write_file(fixture->kernel, fixture->file, fixture->length);
    return boot_kernel_open(&args, fixture->memory, error);
}

void
check_lies(Fixture *fixture, void (*make)(Fixture *), const Lie *lies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        g_autoptr(GError) error = NULL;
        const Lie *lie = &lies[i];

        make(fixture);
        if (lie->width == 0) {
            fixture->length = lie->value;
        } else {
            memcpy(fixture->file + lie->offset, &lie->value, lie->width);
        }
        g_autoptr(BootKernel) kernel = open_kernel(fixture, NULL, "quiet", &error);
        const char *message = error != NULL ? error->message : "accepted";
        if (lie->message == NULL ? kernel == NULL : strstr(message, lie->message) == NULL) {
            fail_msg("%s: %s", lie->name, message);
        }
        /* Whatever it says, placing it stays inside RAM (the sanitizers watch). */
        VmEntry entry;
        if (kernel != NULL) {
            assert_true(boot_kernel_place(kernel, fixture->memory, &entry, &error));
        }
    }
}
