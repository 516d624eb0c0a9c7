/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/char-socket on the fake core, against real sockets in the test's directory. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH    "char-socket.tmp"
#define SERVER  "path = \"" PATH "\";"
#define CLIENT  "path = \"" PATH "\"; server = false;"
#define WAIT_MS 5000u

static struct sockaddr_un
address(void)
{
    struct sockaddr_un result = {.sun_family = AF_UNIX, .sun_path = PATH};

    return result;
}

static int
dial(void)
{
    struct sockaddr_un to = address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int
serve(void)
{
    struct sockaddr_un at = address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static int
clean_up(void **state)
{
    (void)unlink(PATH);
    return 0;
}

static void
test_server_talks_to_one_peer_after_the_other(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *socket = th_plug(th, &backplane_plugin_v1, "s", SERVER);
    struct th_line *line = th_line_open(socket);
    const uint8_t *data;
    char got[8];
    int first, second;

    first = dial();
    second = dial();
    assert_true(first >= 0 && second >= 0);
    assert_true(th_line_wait_event(line, BP_CHAR_EVENT_OPENED, 1, WAIT_MS));
    assert_int_equal(th_line_write(line, "one", 3), 3);
    assert_int_equal(read(first, got, sizeof(got)), 3);
    th_line_credit(line, 100);
    assert_int_equal(write(first, "in", 2), 2);
    assert_true(th_line_wait(line, 2, WAIT_MS));
    (void)th_line_received(line, &data);
    assert_memory_equal(data, "in", 2);
    (void)close(first);
    assert_true(th_line_wait_event(line, BP_CHAR_EVENT_CLOSED, 1, WAIT_MS));
    assert_true(th_line_wait_event(line, BP_CHAR_EVENT_OPENED, 2, WAIT_MS));
    assert_int_equal(th_line_write(line, "two", 3), 3);
    assert_int_equal(read(second, got, sizeof(got)), 3);
    assert_memory_equal(got, "two", 3);
    (void)close(second);
    th_line_close(line);
    th_free(th);
    assert_int_equal(access(PATH, F_OK), -1);
}

static void
test_output_without_a_peer_is_dropped_or_waits(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *socket = th_plug(th, &backplane_plugin_v1, "s", SERVER);
    struct th_line *line = th_line_open(socket);
    int fd;

    assert_int_equal(th_line_write(line, "lost", 4), 4);
    th_line_close(line);
    th_destroy(socket);
    socket = th_plug(th, &backplane_plugin_v1, "s", SERVER " wait = true;");
    line = th_line_open(socket);
    assert_int_equal(th_line_write(line, "kept", 4), 0);
    fd = dial();
    assert_true(th_line_wait_event(line, BP_CHAR_EVENT_OPENED, 1, WAIT_MS));
    assert_int_equal(th_line_writables(line), 1);
    assert_int_equal(th_line_write(line, "kept", 4), 4);
    (void)close(fd);
    th_line_close(line);
    th_free(th);
}

static void
test_slow_peer_holds_back_and_is_not_lost(void **state)
{
    static char block[1 << 16];
    struct th_host *th = th_new();
    struct bp_instance *socket = th_plug(th, &backplane_plugin_v1, "s", SERVER);
    struct th_line *line = th_line_open(socket);
    int fd = dial();
    int32_t taken;
    uint64_t sent = 0, got = 0;

    assert_true(th_line_wait_event(line, BP_CHAR_EVENT_OPENED, 1, WAIT_MS));
    while ((taken = th_line_write(line, block, sizeof(block))) == sizeof(block)) {
        sent += sizeof(block);
    }
    sent += (uint64_t)taken;
    assert_int_equal(th_line_write(line, block, 1), 0);
    th_run(th);
    assert_int_equal(th_line_writables(line), 0);
    while (got < sent) {
        ssize_t n = recv(fd, block, sizeof(block), 0);
        assert_true(n > 0);
        got += (uint64_t)n;
    }
    th_run(th);
    assert_int_equal(th_line_writables(line), 1);
    (void)close(fd);
    th_line_close(line);
    th_free(th);
}

static void
test_input_waits_for_credit_and_its_end_is_seen_without(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *socket = th_plug(th, &backplane_plugin_v1, "s", SERVER);
    struct th_line *line = th_line_open(socket);
    static char block[20000];
    const uint8_t *data;
    int fd = dial(), second;
    uint32_t i, bad = 0;

    for (i = 0; i < sizeof(block); i++) {
        block[i] = (char)i;
    }
    assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    th_run(th);
    assert_int_equal(th_line_received(line, &data), 0);
    while (th_line_received(line, &data) < sizeof(block)) {
        th_line_credit(line, 1000);
        th_run(th);
    }
    for (i = 0; i < sizeof(block); i++) {
        bad += data[i] != (uint8_t)block[i];
    }
    assert_int_equal(bad, 0);
    th_line_credit(line, 0);
    (void)close(fd);
    assert_true(th_line_wait_event(line, BP_CHAR_EVENT_CLOSED, 1, WAIT_MS));
    second = dial();
    assert_true(th_line_wait_event(line, BP_CHAR_EVENT_OPENED, 2, WAIT_MS));
    (void)close(second);
    th_line_close(line);
    th_free(th);
}

static void
test_client_connects_again_when_it_is_cut_off(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *socket = th_plug(th, &backplane_plugin_v1, "c", CLIENT " reconnect = 500;");
    struct th_line *line = th_line_open(socket);
    int server, fd;

    th_run(th); /* nobody there yet */
    assert_int_equal(th_line_events(line, BP_CHAR_EVENT_OPENED), 0);
    server = serve();
    th_clock_step(th, 400000000);
    assert_int_equal(th_line_events(line, BP_CHAR_EVENT_OPENED), 0);
    th_clock_step(th, 200000000);
    assert_int_equal(th_line_events(line, BP_CHAR_EVENT_OPENED), 1);
    fd = accept(server, NULL, NULL);
    (void)close(fd);
    assert_true(th_line_wait_event(line, BP_CHAR_EVENT_CLOSED, 1, WAIT_MS));
    th_clock_step(th, 600000000);
    assert_int_equal(th_line_events(line, BP_CHAR_EVENT_OPENED), 2);
    th_line_close(line);
    th_free(th);
    (void)close(server);
    assert_int_equal(access(PATH, F_OK), 0); /* not ours to remove */
}

static void
test_mode_of_the_socket_is_exact_whatever_the_umask(void **state)
{
    struct th_host *th = th_new();
    struct stat status;
    mode_t before = umask(0077);

    assert_non_null(th_plug(th, &backplane_plugin_v1, "s", SERVER " mode = \"0666\";"));
    (void)umask(before);
    assert_int_equal(stat(PATH, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0666);
    th_free(th);
    th = th_new();
    assert_non_null(th_plug(th, &backplane_plugin_v1, "s", SERVER));
    assert_int_equal(stat(PATH, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    th_free(th);
}

static void
test_stale_socket_is_replaced_and_a_living_one_is_not(void **state)
{
    struct th_host *th = th_new();
    int other = serve();

    assert_null(th_plug(th, &backplane_plugin_v1, "s", SERVER));
    assert_int_equal(th_status(th), -EADDRINUSE);
    assert_non_null(strstr(th_error_text(th), "another program listens there"));
    (void)close(other); /* killed: the file stays */
    assert_int_equal(access(PATH, F_OK), 0);
    assert_non_null(th_plug(th, &backplane_plugin_v1, "s", SERVER));
    th_free(th);
}

static void
test_errors_of_creation_say_what_is_wrong(void **state)
{
    char options[256];
    struct th_host *th = th_new();
    FILE *file = fopen(PATH, "w");

    (void)fclose(file);
    assert_null(th_plug(th, &backplane_plugin_v1, "s", SERVER));
    assert_int_equal(th_status(th), -EEXIST);
    assert_int_equal(access(PATH, F_OK), 0);
    assert_null(th_plug(th, &backplane_plugin_v1, "s", SERVER " mode = \"rw\";"));
    assert_string_equal(th_error_text(th),
                        "'rw' is no file mode; it is three octal digits like \"0660\"");
    assert_null(th_plug(th, &backplane_plugin_v1, "s", "path = \"/nonexistent/s\";"));
    assert_int_equal(th_status(th), -ENOENT);
    (void)snprintf(options, sizeof(options), "path = \"/%0120d\";", 0);
    assert_null(th_plug(th, &backplane_plugin_v1, "s", options));
    assert_int_equal(th_status(th), -ENAMETOOLONG);
    th_free(th);
}

static void
test_consumer_may_come_before_realize(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *socket = th_create(th, &backplane_plugin_v1, NULL, "s", SERVER);
    struct th_line *line = th_line_open(socket);
    int fd;

    assert_non_null(line);
    assert_int_equal(th_realize(socket), 0);
    fd = dial();
    assert_true(th_line_wait_event(line, BP_CHAR_EVENT_OPENED, 1, WAIT_MS));
    (void)close(fd);
    th_line_close(line);
    th_free(th);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    uint32_t n;

    assert_int_equal(th_fail_each_call(&backplane_plugin_v1, NULL, SERVER, NULL, NULL), 1);
    for (n = 1; n <= 2; n++) {
        struct th_host *th = th_new();
        struct bp_instance *socket = th_plug(th, &backplane_plugin_v1, "s", SERVER);
        struct th_line *line;
        int fd = -1;
        th_fail_call(th, n, -ENOMEM);
        line = th_line_open(socket);
        if (line != NULL) {
            fd = dial();
            th_run(th);
            th_line_close(line);
        }
        assert_true(th_call_failed(th));
        th_free(th);
        if (fd >= 0) {
            (void)close(fd);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_server_talks_to_one_peer_after_the_other, clean_up),
        cmocka_unit_test_teardown(test_output_without_a_peer_is_dropped_or_waits, clean_up),
        cmocka_unit_test_teardown(test_slow_peer_holds_back_and_is_not_lost, clean_up),
        cmocka_unit_test_teardown(test_input_waits_for_credit_and_its_end_is_seen_without,
                                  clean_up),
        cmocka_unit_test_teardown(test_client_connects_again_when_it_is_cut_off, clean_up),
        cmocka_unit_test_teardown(test_mode_of_the_socket_is_exact_whatever_the_umask, clean_up),
        cmocka_unit_test_teardown(test_stale_socket_is_replaced_and_a_living_one_is_not, clean_up),
        cmocka_unit_test_teardown(test_errors_of_creation_say_what_is_wrong, clean_up),
        cmocka_unit_test_teardown(test_consumer_may_come_before_realize, clean_up),
        cmocka_unit_test_teardown(test_every_failing_host_call_is_survived, clean_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
