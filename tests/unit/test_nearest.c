/* SPDX-License-Identifier: Apache-2.0 */
/* core/base/nearest: the suggestion for a misspelt name. */
#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const names[] = {"disk0", "disk1", "net0", "console", "avx512f", NULL};

static void
test_swapped_letters_are_one_slip(void **state)
{
    assert_string_equal(nearest_name("dsik0", names), "disk0");
}

static void
test_missing_extra_and_wrong_letters_are_forgiven(void **state)
{
    assert_string_equal(nearest_name("consle", names), "console");
    assert_string_equal(nearest_name("consoole", names), "console");
    assert_string_equal(nearest_name("avx513f", names), "avx512f");
    assert_string_equal(nearest_name("NET0", names), "net0");
}

static void
test_first_of_equally_near_names_is_taken(void **state)
{
    assert_string_equal(nearest_name("disk", names), "disk0");
    assert_string_equal(nearest_name("disk2", names), "disk0");
}

static void
test_nothing_close_gives_no_suggestion(void **state)
{
    const char *const none[] = {NULL};

    assert_null(nearest_name("floppy", names));
    assert_null(nearest_name("", names));
    assert_null(nearest_name("disk0", none));
}

static void
test_very_long_names_are_compared_by_their_beginning(void **state)
{
    char wanted[4096];

    for (size_t i = 0; i < sizeof(wanted) - 1; i++) {
        wanted[i] = 'x';
    }
    wanted[sizeof(wanted) - 1] = '\0';
    const char *const same[] = {wanted, NULL};
    assert_ptr_equal(nearest_name(wanted, same), wanted);
    assert_null(nearest_name(wanted, names));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swapped_letters_are_one_slip),
        cmocka_unit_test(test_missing_extra_and_wrong_letters_are_forgiven),
        cmocka_unit_test(test_first_of_equally_near_names_is_taken),
        cmocka_unit_test(test_nothing_close_gives_no_suggestion),
        cmocka_unit_test(test_very_long_names_are_compared_by_their_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
