/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/char-file on the fake core. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define OUT "char-file-out.tmp"
#define IN  "char-file-in.tmp"

static void
put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void
check(const char *path, const char *text)
{
    char got[256] = "";
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    assert_true(fread(got, 1, sizeof(got) - 1, file) < sizeof(got));
    (void)fclose(file);
    assert_string_equal(got, text);
}

static int
clean_up(void **state)
{
    (void)unlink(OUT);
    (void)unlink(IN);
    return 0;
}

static void
test_output_is_in_the_file_at_once_and_old_contents_are_gone(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *file;
    struct th_line *line;

    put(OUT, "old contents");
    file = th_plug(th, &backplane_plugin_v1, "log", "path = \"" OUT "\";");
    line = th_line_open(file);
    assert_int_equal(th_line_write(line, "new", 3), 3);
    check(OUT, "new");
    assert_int_equal(th_line_write(line, "er", 2), 2);
    check(OUT, "newer");
    th_line_close(line);
    th_free(th);
}

static void
test_append_keeps_what_is_there(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *file;
    struct th_line *line;

    put(OUT, "one ");
    file = th_plug(th, &backplane_plugin_v1, "log", "path = \"" OUT "\"; append = true;");
    line = th_line_open(file);
    assert_int_equal(th_line_write(line, "two", 3), 3);
    check(OUT, "one two");
    th_line_close(line);
    th_free(th);
}

static void
test_input_comes_by_credit(void **state)
{
    struct th_host *th = th_new();
    const uint8_t *data;
    struct bp_instance *file;
    struct th_line *line;

    put(IN, "input file");
    file = th_plug(th, &backplane_plugin_v1, "log", "path = \"" OUT "\"; input = \"" IN "\";");
    line = th_line_open(file);
    th_run(th);
    assert_int_equal(th_line_received(line, &data), 0);
    th_line_credit(line, 5);
    th_run(th);
    assert_int_equal(th_line_received(line, &data), 5);
    th_line_credit(line, 100);
    th_run(th);
    assert_int_equal(th_line_received(line, &data), 10);
    assert_memory_equal(data, "input file", 10);
    th_line_close(line);
    th_free(th);
}

static void
test_full_disk_is_told_once_and_stops_nothing(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *file;
    struct th_line *line;

    if (access("/dev/full", W_OK) != 0) {
        th_free(th);
        skip();
    }
    file = th_plug(th, &backplane_plugin_v1, "log", "path = \"/dev/full\"; append = true;");
    line = th_line_open(file);
    assert_int_equal(th_line_write(line, "a", 1), 1);
    assert_int_equal(th_line_write(line, "b", 1), 1);
    assert_int_equal(th_log_count(th, BP_LOG_WARN), 1);
    assert_true(th_logged(th, "No space left"));
    th_line_close(line);
    th_free(th);
}

static void
test_errors_of_creation_name_the_file(void **state)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &backplane_plugin_v1, "a", NULL));
    assert_string_equal(th_error_text(th), "option 'path': is required");
    assert_null(th_plug(th, &backplane_plugin_v1, "b", "path = \"/nonexistent/x\";"));
    assert_int_equal(th_status(th), -ENOENT);
    assert_string_equal(th_error_text(th),
                        "cannot open '/nonexistent/x': No such file or directory");
    assert_null(
        th_plug(th, &backplane_plugin_v1, "c", "path = \"" OUT "\"; input = \"/nonexistent/y\";"));
    assert_int_equal(th_status(th), -ENOENT);
    assert_int_equal(access(OUT, F_OK), -1); /* nothing was made meanwhile */
    assert_null(
        th_plug(th, &backplane_plugin_v1, "d", "path = \"" OUT "\"; input = \"/dev/null\";"));
    assert_string_equal(th_error_text(th), "'/dev/null' is not a regular file");
    assert_int_equal(mkfifo(IN, 0600), 0);
    assert_null(th_plug(th, &backplane_plugin_v1, "e", "path = \"" IN "\";"));
    assert_int_equal(th_status(th), -EINVAL);
    th_free(th);
}

static void
test_two_instances_and_one_client_each(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *a = th_plug(th, &backplane_plugin_v1, "a", "path = \"" OUT "\";");
    struct bp_instance *b = th_plug(th, &backplane_plugin_v1, "b", "path = \"" IN "\";");
    struct th_line *to_a = th_line_open(a), *to_b = th_line_open(b);

    assert_null(th_line_open(a));
    assert_int_equal(th_status(th), -EBUSY);
    assert_int_equal(th_line_write(to_a, "a", 1), 1);
    assert_int_equal(th_line_write(to_b, "b", 1), 1);
    check(OUT, "a");
    check(IN, "b");
    th_line_close(to_a);
    th_line_close(to_b);
    th_free(th);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    put(IN, "x");
    assert_int_equal(th_fail_each_call(&backplane_plugin_v1, NULL,
                                       "path = \"" OUT "\"; input = \"" IN "\";", NULL, NULL),
                     2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_output_is_in_the_file_at_once_and_old_contents_are_gone,
                                  clean_up),
        cmocka_unit_test_teardown(test_append_keeps_what_is_there, clean_up),
        cmocka_unit_test_teardown(test_input_comes_by_credit, clean_up),
        cmocka_unit_test_teardown(test_full_disk_is_told_once_and_stops_nothing, clean_up),
        cmocka_unit_test_teardown(test_errors_of_creation_name_the_file, clean_up),
        cmocka_unit_test_teardown(test_two_instances_and_one_client_each, clean_up),
        cmocka_unit_test_teardown(test_every_failing_host_call_is_survived, clean_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
