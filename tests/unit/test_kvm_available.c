/* SPDX-License-Identifier: Apache-2.0 */
/* core/kvm: what a host without a usable /dev/kvm is told. */
#include "kvm/vm_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534

static void
test_a_missing_device_names_the_module_or_the_setting(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_int_equal(kvm_open("/no/such/kvm", &error), -1);
    assert_true(g_str_has_prefix(error->message, "/no/such/kvm does not exist"));
    assert_non_null(strstr(error->message, "modprobe kvm_"));
    assert_null(strchr(error->message, '\n'));
}

static void
test_another_device_is_not_taken_for_kvm(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_int_equal(kvm_open("/dev/null", &error), -1);
    assert_true(g_str_has_prefix(error->message, "/dev/null is not a KVM device: "));
}

static void
test_a_forbidden_device_names_the_group(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) file_error = NULL;
    g_autofree char *directory = g_dir_make_tmp("backplane-kvm-XXXXXX", &file_error);
    g_autofree char *path = g_build_filename(directory, "kvm", NULL);

    assert_true(g_file_set_contents(path, "", 0, &file_error));
    assert_int_equal(chmod(path, 0), 0);
    /* The owner of the world may open everything; nobody may not. */
    bool is_root = geteuid() == 0;
    assert_true(!is_root || seteuid(NOBODY) == 0);
    int fd = kvm_open(path, &error);
    assert_true(!is_root || seteuid(0) == 0);
    (void)g_unlink(path);
    (void)g_rmdir(directory);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(error->message, "no permission to use"));
    assert_non_null(strstr(error->message, "usermod -aG kvm "));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_missing_device_names_the_module_or_the_setting),
        cmocka_unit_test(test_another_device_is_not_taken_for_kvm),
        cmocka_unit_test(test_a_forbidden_device_names_the_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
