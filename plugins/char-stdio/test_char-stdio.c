/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/char-stdio on the fake core, with pipes, files and a pseudo-terminal in the place of the
 * test's own standard input and output (TAP lines are written between tests only). */
#include <backplane/testhost.h>

#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 5000u

/* What stands at the other ends of standard input and output. */
struct world {
    int saved_in, saved_out;
    int to_in, from_out; /* the same for a terminal */
    struct th_host *th;
    struct bp_instance *stdio;
    struct th_line *line;
};

static void
swap(struct world *world, int in, int out)
{
    (void)fflush(stdout);
    world->saved_in = fcntl(0, F_DUPFD_CLOEXEC, 100);
    world->saved_out = fcntl(1, F_DUPFD_CLOEXEC, 100);
    assert_true(dup2(in, 0) == 0 && dup2(out, 1) == 1);
    (void)close(in);
    if (out != in) {
        (void)close(out);
    }
}

static void
start(struct world *world, const char *options)
{
    world->th = th_new();
    world->stdio = th_plug(world->th, &backplane_plugin_v1, "tty", options);
    if (world->stdio != NULL) {
        world->line = th_line_open(world->stdio);
    }
}

static struct world
with_pipes(const char *options)
{
    struct world world = {.th = NULL};
    int in[2], out[2];

    assert_true(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    world.to_in = in[1];
    world.from_out = out[0];
    swap(&world, in[0], out[1]);
    start(&world, options);
    return world;
}

static struct world
with_terminal(const char *options)
{
    struct world world = {.th = NULL};
    int master, slave;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    world.to_in = world.from_out = master;
    swap(&world, slave, dup(slave));
    start(&world, options);
    return world;
}

/* Before anything is asserted that may fail: cmocka needs its output. */
static void
restore_stdio(struct world *world)
{
    (void)dup2(world->saved_in, 0);
    (void)dup2(world->saved_out, 1);
    (void)close(world->saved_in);
    (void)close(world->saved_out);
}

static void
end(struct world *world)
{
    if (world->line != NULL) {
        th_line_close(world->line);
    }
    if (world->th != NULL) {
        th_free(world->th);
    }
    restore_stdio(world);
    if (world->to_in >= 0) {
        (void)close(world->to_in);
    }
    if (world->from_out >= 0 && world->from_out != world->to_in) {
        (void)close(world->from_out);
    }
}

static uint32_t
received(const struct world *world, char *text, uint32_t size)
{
    const uint8_t *data;
    uint32_t n = th_line_received(world->line, &data);

    n = n < size - 1 ? n : size - 1;
    if (n > 0) {
        memcpy(text, data, n);
    }
    text[n] = '\0';
    return n;
}

static void
test_pipes_carry_bytes_both_ways(void **state)
{
    struct world world = with_pipes(NULL);
    char out[16] = "", in[16] = "";
    int32_t taken = th_line_write(world.line, "hello", 5);
    ssize_t n = read(world.from_out, out, sizeof(out));

    th_line_credit(world.line, 3);
    (void)!write(world.to_in, "abc\001xd", 6);
    (void)th_line_wait(world.line, 3, WAIT_MS);
    (void)received(&world, in, sizeof(in));
    end(&world);
    assert_int_equal(taken, 5);
    assert_int_equal(n, 5);
    assert_memory_equal(out, "hello", 5);
    assert_string_equal(in, "abc");
}

static void
test_pipe_input_is_transparent_and_nothing_is_lost(void **state)
{
    struct world world = with_pipes(NULL);
    uint8_t byte = 0;
    const uint8_t *data;
    uint32_t sent = 0, got = 0, bad = 0, i;

    (void)fcntl(world.to_in, F_SETFL, O_NONBLOCK);
    while (got < 300000) {
        while (sent < 300000 && write(world.to_in, &byte, 1) == 1) {
            sent++;
            byte++;
        }
        th_line_credit(world.line, 1000);
        th_run(world.th);
        got = th_line_received(world.line, &data);
    }
    for (i = 0; i < got; i++) {
        bad += data[i] != (uint8_t)i;
    }
    end(&world);
    assert_int_equal(bad, 0);
}

static void
test_end_of_input_leaves_output_working(void **state)
{
    struct world world = with_pipes(NULL);
    char out[4];
    int32_t taken;
    uint32_t request;

    (void)close(world.to_in);
    world.to_in = -1;
    th_line_credit(world.line, 10);
    th_run(world.th);
    taken = th_line_write(world.line, "ok", 2);
    (void)!read(world.from_out, out, 2);
    request = th_take_request(world.th);
    end(&world);
    assert_int_equal(taken, 2);
    assert_int_equal(request, 0);
}

static void
test_full_pipe_is_waited_for_without_blocking(void **state)
{
    struct world world = with_pipes(NULL);
    static char block[1 << 16];
    int32_t first = th_line_write(world.line, block, sizeof(block));
    int32_t second = th_line_write(world.line, block, 100);
    uint32_t before, after;

    th_run(world.th);
    before = th_line_writables(world.line);
    (void)!read(world.from_out, block, sizeof(block));
    th_run(world.th);
    after = th_line_writables(world.line);
    end(&world);
    assert_int_equal(first, sizeof(block));
    assert_int_equal(second, 0);
    assert_int_equal(before, 0);
    assert_int_equal(after, 1);
}

static void
test_closed_reader_is_told_once_and_dropped(void **state)
{
    struct world world = with_pipes(NULL);
    int32_t first, second;
    uint32_t warnings;

    (void)close(world.from_out);
    world.from_out = -1;
    first = th_line_write(world.line, "a", 1);
    second = th_line_write(world.line, "b", 1);
    warnings = th_log_count(world.th, BP_LOG_WARN);
    end(&world);
    assert_int_equal(first, 1);
    assert_int_equal(second, 1);
    assert_int_equal(warnings, 1);
}

static void
test_file_and_dev_null_are_good_input(void **state)
{
    static const char *const paths[2] = {"/dev/null", "stdio-input.tmp"};
    uint32_t i;

    for (i = 0; i < 2; i++) {
        struct world world = {.to_in = -1};
        int out[2], fd;
        char in[32] = "";
        fd = open("stdio-input.tmp", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        (void)!write(fd, "from a file", 11);
        (void)close(fd);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        world.from_out = out[0];
        swap(&world, open(paths[i], O_RDONLY | O_CLOEXEC), out[1]);
        start(&world, NULL);
        th_line_credit(world.line, 4);
        th_run(world.th);
        th_line_credit(world.line, 40);
        th_run(world.th);
        (void)received(&world, in, sizeof(in));
        end(&world);
        assert_string_equal(in, i == 0 ? "" : "from a file");
        (void)unlink("stdio-input.tmp");
    }
}

static void
test_terminal_is_raw_while_running_and_restored_after(void **state)
{
    struct world world = with_terminal(NULL);
    struct termios during, after;

    (void)tcgetattr(world.to_in, &during);
    th_line_close(world.line);
    world.line = NULL;
    th_free(world.th);
    world.th = NULL;
    (void)tcgetattr(world.to_in, &after);
    end(&world);
    assert_int_equal(during.c_lflag & (ICANON | ECHO | ISIG), 0);
    assert_int_equal(during.c_iflag & (ICRNL | IXON), 0);
    assert_true((during.c_oflag & OPOST) != 0);
    assert_int_equal(after.c_lflag & (ICANON | ECHO | ISIG), ICANON | ECHO | ISIG);
    assert_int_equal(after.c_iflag & (ICRNL | IXON), ICRNL | IXON);
}

static void
test_signal_option_keeps_the_interrupt_key(void **state)
{
    struct world world = with_terminal("signal = true;");
    struct termios during;

    (void)tcgetattr(world.to_in, &during);
    end(&world);
    assert_int_equal(during.c_lflag & (ICANON | ECHO | ISIG), ISIG);
}

static void
test_every_key_reaches_the_guest(void **state)
{
    struct world world = with_terminal(NULL);
    char in[16] = "";

    th_line_credit(world.line, 10);
    (void)!write(world.to_in, "\003\032\r\021~\001\001", 7);
    (void)th_line_wait(world.line, 6, WAIT_MS);
    (void)received(&world, in, sizeof(in));
    end(&world);
    assert_string_equal(in, "\003\032\r\021~\001");
}

static int
has_request(void *opaque)
{
    uint32_t *request = ((void **)opaque)[1];

    *request = th_take_request(((void **)opaque)[0]);
    return (int)*request;
}

static uint32_t
wait_request(struct world *world)
{
    uint32_t request = 0;
    void *opaque[2] = {world->th, &request};

    (void)th_run_until(world->th, has_request, opaque, WAIT_MS);
    return request;
}

static void
test_ctrl_a_x_ends_the_program_though_the_guest_reads_nothing(void **state)
{
    struct world world = with_terminal(NULL);
    uint32_t early, request;

    (void)!write(world.to_in, "x\001", 2);
    th_run(world.th);
    early = th_take_request(world.th);
    (void)!write(world.to_in, "x", 1);
    request = wait_request(&world);
    end(&world);
    assert_int_equal(early, 0);
    assert_int_equal(request, BP_REQUEST_QUIT);
}

static void
test_ctrl_a_b_is_a_break_and_h_is_help(void **state)
{
    struct world world = with_terminal(NULL);
    char out[512] = "";
    int came;
    ssize_t n;

    (void)!write(world.to_in, "\001b\001h", 4);
    came = th_line_wait_event(world.line, BP_CHAR_EVENT_BREAK, 1, WAIT_MS);
    th_run(world.th);
    n = read(world.from_out, out, sizeof(out) - 1);
    end(&world);
    assert_true(came);
    assert_true(n > 0);
    assert_non_null(strstr(out, "Ctrl-A x"));
}

static void
test_escape_option_decides_without_a_terminal(void **state)
{
    struct world world = with_pipes("escape = \"on\";");
    uint32_t request;

    (void)!write(world.to_in, "\001x", 2);
    request = wait_request(&world);
    end(&world);
    assert_int_equal(request, BP_REQUEST_QUIT);
    world = with_terminal("escape = \"off\";");
    th_line_credit(world.line, 2);
    (void)!write(world.to_in, "\001x", 2);
    (void)th_line_wait(world.line, 2, WAIT_MS);
    request = th_take_request(world.th);
    end(&world);
    assert_int_equal(request, 0);
}

static void
test_terminal_description_shared_with_the_shell_stays_blocking(void **state)
{
    struct world world = with_terminal(NULL);
    int in_flags, out_flags;

    (void)th_line_write(world.line, "x", 1);
    th_run(world.th);
    in_flags = fcntl(0, F_GETFL);
    out_flags = fcntl(1, F_GETFL);
    end(&world);
    assert_int_equal(in_flags & O_NONBLOCK, 0);
    assert_int_equal(out_flags & O_NONBLOCK, 0);
}

static void
test_stopped_terminal_does_not_block_the_guest(void **state)
{
    struct world world = with_terminal(NULL);
    static char block[1 << 17];
    static char sink[1 << 17];
    int32_t taken, more;
    uint32_t writables;

    memset(block, 'x', sizeof(block));
    taken = th_line_write(world.line, block, sizeof(block)); /* nobody reads the master */
    more = th_line_write(world.line, block, 1);
    while (th_line_writables(world.line) == 0 && read(world.from_out, sink, sizeof(sink)) > 0) {
        th_run(world.th);
    }
    writables = th_line_writables(world.line);
    end(&world);
    assert_true(taken > 0 && taken < (int32_t)sizeof(block));
    assert_int_equal(more, 0);
    assert_int_equal(writables, 1);
}

static void
test_hung_up_terminal_ends_the_program(void **state)
{
    struct world world = with_terminal(NULL);
    uint32_t request;

    (void)close(world.to_in);
    world.to_in = world.from_out = -1;
    request = wait_request(&world);
    end(&world);
    assert_int_equal(request, BP_REQUEST_QUIT);
}

static void
test_second_instance_in_the_process_is_refused(void **state)
{
    struct world world = with_pipes(NULL);
    struct bp_instance *second = th_plug(world.th, &backplane_plugin_v1, "tty2", NULL);
    int32_t status = th_status(world.th);
    char text[128];

    (void)snprintf(text, sizeof(text), "%s", th_error_text(world.th));
    end(&world);
    assert_null(second);
    assert_int_equal(status, -EBUSY);
    assert_string_equal(text, "another backend has the standard input and output already");
    world = with_pipes(NULL); /* and free again */
    second = world.stdio;
    end(&world);
    assert_non_null(second);
}

static void
test_second_client_is_refused_and_a_reconnect_works(void **state)
{
    struct world world = with_pipes(NULL);
    struct th_line *second = th_line_open(world.stdio);
    int32_t status = th_status(world.th), again;

    th_line_close(world.line);
    world.line = th_line_open(world.stdio);
    again = th_status(world.th);
    end(&world);
    assert_null(second);
    assert_int_equal(status, -EBUSY);
    assert_int_equal(again, 0);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    struct world world = with_pipes(NULL);
    uint32_t calls, n, failures = 0;

    end(&world);
    calls = th_fail_each_call(&backplane_plugin_v1, NULL, NULL, NULL, NULL);
    for (n = 1; n <= 2; n++) {
        world = with_pipes(NULL);
        th_line_close(world.line);
        th_fail_call(world.th, n, -ENOMEM);
        world.line = th_line_open(world.stdio);
        failures += world.line == NULL;
        th_fail_call(world.th, 0, 0);
        if (world.line == NULL) {
            world.line = th_line_open(world.stdio);
        }
        end(&world);
    }
    assert_int_equal(calls, 1);
    assert_int_equal(failures, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipes_carry_bytes_both_ways),
        cmocka_unit_test(test_pipe_input_is_transparent_and_nothing_is_lost),
        cmocka_unit_test(test_end_of_input_leaves_output_working),
        cmocka_unit_test(test_full_pipe_is_waited_for_without_blocking),
        cmocka_unit_test(test_closed_reader_is_told_once_and_dropped),
        cmocka_unit_test(test_file_and_dev_null_are_good_input),
        cmocka_unit_test(test_terminal_is_raw_while_running_and_restored_after),
        cmocka_unit_test(test_signal_option_keeps_the_interrupt_key),
        cmocka_unit_test(test_every_key_reaches_the_guest),
        cmocka_unit_test(test_ctrl_a_x_ends_the_program_though_the_guest_reads_nothing),
        cmocka_unit_test(test_ctrl_a_b_is_a_break_and_h_is_help),
        cmocka_unit_test(test_escape_option_decides_without_a_terminal),
        cmocka_unit_test(test_terminal_description_shared_with_the_shell_stays_blocking),
        cmocka_unit_test(test_stopped_terminal_does_not_block_the_guest),
        cmocka_unit_test(test_hung_up_terminal_ends_the_program),
        cmocka_unit_test(test_second_instance_in_the_process_is_refused),
        cmocka_unit_test(test_second_client_is_refused_and_a_reconnect_works),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as the core does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
