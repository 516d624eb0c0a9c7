/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* stderr goes to a file while a test writes messages. */
typedef struct {
    int file;
    int saved;
} Capture;

static Capture
capture_start(void)
{
    Capture capture = {.file = memfd_create("stderr", MFD_CLOEXEC), .saved = dup(STDERR_FILENO)};
    (void)dup2(capture.file, STDERR_FILENO);
    return capture;
}

static char *
capture_end(Capture capture)
{
    (void)dup2(capture.saved, STDERR_FILENO);
    (void)close(capture.saved);
    off_t size = lseek(capture.file, 0, SEEK_END);
    char *text = g_malloc0((gsize)size + 1);
    assert_int_equal(pread(capture.file, text, (size_t)size, 0), size);
    (void)close(capture.file);
    return text;
}

static void
test_message_is_one_line_with_level_and_topic(void **state)
{
    log_configure(LOG_INFO, NULL);
    Capture capture = capture_start();
    log_error("com1", "cannot open '%s': %s", "x", "no such file");
    log_warn(NULL, "odd, ignoring");
    log_info("vm", "reset");
    log_debug("vm", "not asked for");
    g_autofree char *text = capture_end(capture);
    assert_string_equal(text, "backplane: error: com1: cannot open 'x': no such file\n"
                              "backplane: warning: odd, ignoring\n"
                              "backplane: info: vm: reset\n");
}

static void
test_debug_messages_come_by_topic(void **state)
{
    log_configure(LOG_WARN, "kvm,pci");
    assert_true(log_enabled(LOG_DEBUG, "kvm"));
    assert_true(log_enabled(LOG_DEBUG, "pci"));
    assert_false(log_enabled(LOG_DEBUG, "pc"));
    assert_false(log_enabled(LOG_DEBUG, "pcix"));
    assert_false(log_enabled(LOG_DEBUG, ""));
    assert_false(log_enabled(LOG_INFO, "kvm"));
    log_configure(LOG_WARN, "all");
    assert_true(log_enabled(LOG_DEBUG, "anything"));
    log_configure(LOG_WARN, "");
    assert_false(log_enabled(LOG_DEBUG, "anything"));
    log_configure(LOG_DEBUG, NULL);
    assert_true(log_enabled(LOG_DEBUG, "anything"));
}

static void
test_control_characters_do_not_reach_the_terminal(void **state)
{
    log_configure(LOG_INFO, NULL);
    Capture capture = capture_start();
    log_info("disk", "label '%s'", "a\033[2Jb\nc\177");
    g_autofree char *text = capture_end(capture);
    assert_string_equal(text, "backplane: info: disk: label 'a?[2Jb?c?'\n");
}

static void
test_overlong_message_is_cut_and_marked(void **state)
{
    log_configure(LOG_INFO, NULL);
    g_autofree char *overlong = g_strnfill(5000, 'x');
    Capture capture = capture_start();
    log_info("vm", "%s", overlong);
    g_autofree char *text = capture_end(capture);
    assert_int_equal(strlen(text), 1024);
    assert_true(g_str_has_suffix(text, "xxx...\n"));
}

static void
test_limited_messages_fall_silent_and_say_how_many_were_dropped(void **state)
{
    log_configure(LOG_INFO, NULL);
    LogLimit limit = {0};
    Capture capture = capture_start();
    for (unsigned i = 0; i < 100; i++) {
        log_write_limited(&limit, LOG_WARN, "net0", "bad packet %u", i);
    }
    limit.window_start_ns = 1; /* as if the window had ended */
    log_write_limited(&limit, LOG_WARN, "net0", "bad packet again");
    g_autofree char *text = capture_end(capture);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    assert_int_equal(g_strv_length(lines), 10 + 1 + 1 + 1); /* and the empty one at the end */
    assert_string_equal(lines[9], "backplane: warning: net0: bad packet 9");
    assert_string_equal(lines[10], "backplane: warning: net0: 90 similar messages were dropped");
    assert_string_equal(lines[11], "backplane: warning: net0: bad packet again");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_is_one_line_with_level_and_topic),
        cmocka_unit_test(test_debug_messages_come_by_topic),
        cmocka_unit_test(test_control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(test_overlong_message_is_cut_and_marked),
        cmocka_unit_test(test_limited_messages_fall_silent_and_say_how_many_were_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
