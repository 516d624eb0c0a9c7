/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/pvpanic on the fake core. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
assert_event(struct th_host *th, uint32_t number, const char *name, const char *json)
{
    const char *data = NULL;
    const char *found = th_event(th, number, &data);

    assert_non_null(found);
    assert_string_equal(found, name);
    assert_string_equal(data, json);
}

static void
test_a_read_tells_what_can_be_reported(void **state)
{
    struct th_host *th = th_new();

    assert_non_null(th_plug(th, &backplane_plugin_v1, "panic0", NULL));
    assert_int_equal(th_in(th, 0x505, 1), 3);
    assert_int_equal(th_in(th, 0x505, 4), 0xffffff03);
    th_free(th);
}

static void
test_a_panic_is_an_event_and_a_request(void **state)
{
    static const struct {
        const char *options, *json;
        uint32_t request;
    } cases[] = {
        {NULL, "{\"action\": \"poweroff\"}", BP_REQUEST_PANIC_END},
        {"on_panic = \"shutdown\";", "{\"action\": \"poweroff\"}", BP_REQUEST_PANIC_END},
        {"on_panic = \"pause\";", "{\"action\": \"pause\"}", BP_REQUEST_PANIC_STOP},
        {"on_panic = \"reset\";", "{\"action\": \"reset\"}", BP_REQUEST_RESET},
        {"on_panic = \"none\";", "{\"action\": \"run\"}", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct th_host *th = th_new();
        assert_non_null(th_plug(th, &backplane_plugin_v1, "panic0", cases[i].options));
        th_out(th, 0x505, 1, 1);
        assert_event(th, 0, "GUEST_PANICKED", cases[i].json);
        assert_int_equal(th_take_request(th), cases[i].request);
        th_free(th);
    }
}

static void
test_a_crash_kernel_is_an_event_and_the_machine_goes_on(void **state)
{
    struct th_host *th = th_new();

    assert_non_null(th_plug(th, &backplane_plugin_v1, "panic0", NULL));
    th_out(th, 0x505, 1, 2);
    assert_event(th, 0, "GUEST_CRASHLOADED", "{\"action\": \"run\"}");
    assert_int_equal(th_take_request(th), 0);
    th_out(th, 0x505, 1, 3);
    assert_event(th, 1, "GUEST_PANICKED", "{\"action\": \"poweroff\"}");
    th_free(th);
}

static void
test_bits_that_were_not_offered_do_nothing(void **state)
{
    struct th_host *th = th_new();

    assert_non_null(th_plug(th, &backplane_plugin_v1, "panic0", "events = 2; port = 0x600;"));
    assert_int_equal(th_in(th, 0x600, 1), 2);
    th_out(th, 0x600, 1, 0xfd);
    assert_null(th_event(th, 0, NULL));
    assert_int_equal(th_take_request(th), 0);
    th_free(th);
}

static void
test_firmware_and_acpi_are_told_where_it_is(void **state)
{
    struct th_host *th = th_new();
    uint64_t length = 0;
    const uint8_t *file;

    assert_non_null(th_plug(th, &backplane_plugin_v1, "panic0", "port = 0x1234;"));
    file = th_firmware_file(th, "etc/pvpanic-port", &length);
    assert_int_equal(length, 2);
    assert_memory_equal(file, "\x34\x12", 2);
    th_free(th);
}

static void
test_a_second_one_is_refused(void **state)
{
    struct th_host *th = th_new();

    assert_non_null(th_plug(th, &backplane_plugin_v1, "panic0", NULL));
    assert_null(th_plug(th, &backplane_plugin_v1, "panic1", NULL));
    assert_non_null(strstr(th_error_text(th), "cannot have port 0x505: another device has it"));
    assert_null(th_plug(th, &backplane_plugin_v1, "panic1", "port = 0x506;"));
    assert_non_null(strstr(th_error_text(th), "a machine has one such device"));
    th_free(th);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, NULL, NULL, NULL) >= 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_tells_what_can_be_reported),
        cmocka_unit_test(test_a_panic_is_an_event_and_a_request),
        cmocka_unit_test(test_a_crash_kernel_is_an_event_and_the_machine_goes_on),
        cmocka_unit_test(test_bits_that_were_not_offered_do_nothing),
        cmocka_unit_test(test_firmware_and_acpi_are_told_where_it_is),
        cmocka_unit_test(test_a_second_one_is_refused),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
