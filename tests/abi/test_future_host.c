/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin of a later SDK on the fake core. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
test_larger_tables_are_taken_and_larger_arguments_only_if_zero(void **state)
{
    struct th_host *th = th_new();

    (void)state;
    assert_non_null(th_plug(th, &backplane_plugin_v1, "future0", NULL));
    assert_int_equal(th_in(th, 0x300, 1), 0x1f);
    th_free(th);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_larger_tables_are_taken_and_larger_arguments_only_if_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
