/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/debugcon on the fake core. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
test_bytes_written_to_the_port_reach_the_backend_at_once(void **state)
{
    struct th_host *th = th_new();
    struct th_char *tty = th_char_new(th, "tty");

    assert_non_null(th_plug(th, &backplane_plugin_v1, "dbg", "backend = \"tty\";"));
    th_out(th, 0x402, 1, 'o');
    th_out(th, 0x402, 1, 'k');
    assert_true(th_char_take(tty, "ok"));
    assert_int_equal(th_char_writes(tty), 2);
    th_free(th);
}

static void
test_string_output_is_one_write(void **state)
{
    struct th_host *th = th_new();
    struct th_char *tty = th_char_new(th, "tty");

    assert_non_null(th_plug(th, &backplane_plugin_v1, "dbg", "backend = \"tty\";"));
    th_outs(th, 0x402, 1, 14, "SeaBIOS (rel)\n");
    assert_true(th_char_take(tty, "SeaBIOS (rel)\n"));
    assert_int_equal(th_char_writes(tty), 1);
    th_free(th);
}

static void
test_reads_give_e9_or_what_the_option_says(void **state)
{
    struct th_host *th = th_new();

    assert_non_null(th_plug(th, &backplane_plugin_v1, "dbg", NULL));
    assert_non_null(th_plug(th, &backplane_plugin_v1, "bochs", "port = 0xe9; readback = 0x12;"));
    assert_int_equal(th_in(th, 0x402, 1), 0xe9);
    assert_int_equal(th_in(th, 0xe9, 1), 0x12);
    assert_int_equal(th_in(th, 0x402, 4), 0xffffffe9);
    th_free(th);
}

static void
test_without_a_backend_output_is_dropped_silently(void **state)
{
    struct th_host *th = th_new();

    assert_non_null(th_plug(th, &backplane_plugin_v1, "dbg", NULL));
    th_outs(th, 0x402, 1, 3, "abc");
    th_run(th);
    assert_int_equal(th_log_count(th, BP_LOG_WARN), 0);
    th_free(th);
}

static void
test_slow_backend_gets_everything_in_order(void **state)
{
    struct th_host *th = th_new();
    struct th_char *tty = th_char_new(th, "tty");

    assert_non_null(th_plug(th, &backplane_plugin_v1, "dbg", "backend = \"tty\";"));
    th_char_set_room(tty, 2);
    th_outs(th, 0x402, 1, 4, "abcd");
    th_out(th, 0x402, 1, 'e');
    assert_true(th_char_take(tty, "ab"));
    th_char_set_room(tty, UINT32_MAX);
    th_run(th);
    th_out(th, 0x402, 1, 'f');
    assert_true(th_char_take(tty, "cdef"));
    th_free(th);
}

static void
test_flood_on_a_stuck_backend_is_bounded_and_told(void **state)
{
    struct th_host *th = th_new();
    struct th_char *tty = th_char_new(th, "tty");
    const uint8_t *bytes;
    unsigned i;

    assert_non_null(th_plug(th, &backplane_plugin_v1, "dbg", "backend = \"tty\";"));
    th_char_set_room(tty, 0);
    for (i = 0; i < 5000; i++) {
        th_out(th, 0x402, 1, 'x');
    }
    th_char_set_room(tty, UINT32_MAX);
    th_run(th);
    assert_int_equal(th_char_output(tty, &bytes), 4096);
    assert_true(th_logged(th, "dropped 904 bytes"));
    th_free(th);
}

static void
test_hot_detach_and_attach_move_the_output(void **state)
{
    struct th_host *th = th_new();
    struct th_char *first = th_char_new(th, "first");
    struct th_char *second = th_char_new(th, "second");
    struct bp_instance *dbg = th_plug(th, &backplane_plugin_v1, "dbg", "backend = \"first\";");

    assert_non_null(dbg);
    th_out(th, 0x402, 1, '1');
    th_detach(dbg, 0, 0);
    th_out(th, 0x402, 1, '-');
    assert_int_equal(th_attach(dbg, 0, 0, "second"), 0);
    th_out(th, 0x402, 1, '2');
    assert_true(th_char_take(first, "1"));
    assert_true(th_char_take(second, "2"));
    th_free(th);
}

static void
test_backend_in_use_is_refused(void **state)
{
    struct th_host *th = th_new();

    (void)th_char_new(th, "tty");
    assert_non_null(th_plug(th, &backplane_plugin_v1, "a", "backend = \"tty\";"));
    assert_null(th_plug(th, &backplane_plugin_v1, "b", "backend = \"tty\"; port = 0x403;"));
    assert_int_equal(th_status(th), -EBUSY);
    assert_string_equal(th_error_text(th), "backend 'tty' cannot be used: another device has it");
    th_free(th);
}

static void
test_port_in_use_is_refused_and_two_ports_work(void **state)
{
    struct th_host *th = th_new();
    struct th_char *tty = th_char_new(th, "tty");

    assert_non_null(th_plug(th, &backplane_plugin_v1, "a", NULL));
    assert_null(th_plug(th, &backplane_plugin_v1, "b", NULL));
    assert_int_equal(th_status(th), -EBUSY);
    assert_string_equal(th_error_text(th), "cannot have port 0x402: another device has it");
    assert_non_null(th_plug(th, &backplane_plugin_v1, "c", "port = 0xe9; backend = \"tty\";"));
    th_out(th, 0x402, 1, 'a');
    th_out(th, 0xe9, 1, 'c');
    assert_true(th_char_take(tty, "c"));
    th_free(th);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    struct th_host *th = th_new();

    th_free(th);
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, NULL, NULL, NULL) >= 1);
}

static void
test_saved_console_sends_what_still_waits(void **state)
{
    struct th_host *th = th_new();
    struct th_char *old = th_char_new(th, "old"), *new = th_char_new(th, "new");
    struct bp_instance *from = th_plug(th, &backplane_plugin_v1, "a", "backend = \"old\";");
    struct bp_instance *to =
        th_plug(th, &backplane_plugin_v1, "b", "backend = \"new\"; port = 0x403;");
    uint8_t *data;
    uint64_t length;

    assert_int_equal(th_save(from, &data, &length), 0);
    assert_int_equal(length, 0);
    th_char_set_room(old, 0);
    th_outs(th, 0x402, 1, 5, "waits");
    assert_int_equal(th_save(from, &data, &length), 0);
    assert_int_equal(th_restore(to, data, length), 0);
    assert_true(th_char_take(new, "waits"));
    free(data);
    th_free(th);
}

static void
make_tty(struct th_host *th, void *opaque)
{
    (void)th_char_new(th, "tty");
}

static void
test_every_failing_call_with_a_backend_is_survived(void **state)
{
    assert_true(
        th_fail_each_call(&backplane_plugin_v1, NULL, "backend = \"tty\";", make_tty, NULL) >= 2);
}

static void
test_random_accesses_are_survived(void **state)
{
    struct th_host *th = th_new();
    struct th_char *tty = th_char_new(th, "tty");
    uint32_t random = 1, i;

    assert_non_null(th_plug(th, &backplane_plugin_v1, "dbg", "backend = \"tty\";"));
    for (i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        if (random >> 31) {
            th_out(th, (uint16_t)(0x400 + (random >> 28 & 3)), 1u << (random >> 26 & 1), random);
        } else {
            (void)th_in(th, (uint16_t)(0x400 + (random >> 28 & 3)), 1u << (random >> 26 & 1));
        }
        if (i % 64 == 0) {
            th_char_set_room(tty, random >> 24 & 31);
            th_run(th);
        }
    }
    th_free(th);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_written_to_the_port_reach_the_backend_at_once),
        cmocka_unit_test(test_string_output_is_one_write),
        cmocka_unit_test(test_reads_give_e9_or_what_the_option_says),
        cmocka_unit_test(test_without_a_backend_output_is_dropped_silently),
        cmocka_unit_test(test_slow_backend_gets_everything_in_order),
        cmocka_unit_test(test_flood_on_a_stuck_backend_is_bounded_and_told),
        cmocka_unit_test(test_hot_detach_and_attach_move_the_output),
        cmocka_unit_test(test_backend_in_use_is_refused),
        cmocka_unit_test(test_port_in_use_is_refused_and_two_ports_work),
        cmocka_unit_test(test_saved_console_sends_what_still_waits),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
        cmocka_unit_test(test_every_failing_call_with_a_backend_is_survived),
        cmocka_unit_test(test_random_accesses_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
