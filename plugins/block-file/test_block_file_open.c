/* SPDX-License-Identifier: Apache-2.0 */
/* Opening images with block-file: what is refused and how it is explained, locks, new files. */
#include "test_rig.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void
assert_refused(const char *path, const char *options, int32_t status, const char *text)
{
    struct rig rig;

    rig_plug(&rig, path, options);
    assert_null(rig.instance);
    if (th_status(rig.th) != status || strstr(th_error_text(rig.th), text) == NULL) {
        fail_msg("%d '%s', expected %d '%s'", th_status(rig.th), th_error_text(rig.th), status,
                 text);
    }
    rig_close(&rig, 0);
}

static void
assert_opens(const char *path, const char *options)
{
    struct rig rig;

    rig_plug(&rig, path, options);
    if (rig.instance == NULL) {
        fail_msg("'%s': %s", options, th_error_text(rig.th));
    }
    rig_close(&rig, 0);
}

static void
test_what_cannot_be_an_image_is_refused_with_the_cure(void **state)
{
    char path[512];

    rig_path(path, sizeof(path), "odd");
    assert_refused(path, "", -ENOENT, "make it with truncate or qemu-img");
    assert_refused(path, "readonly = true; create = \"1M\";", -ENOENT, "there is no");
    assert_refused("/tmp", "", -EISDIR, "is a directory");
    assert_refused("/tmp", "readonly = true;", -EISDIR, "is a directory");
    assert_refused("/dev/null", "", -EINVAL, "neither a regular file nor a block device");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(path, "", -EINVAL, "neither a regular file nor a block device");
    assert_refused(path, "readonly = true;", -EINVAL, "neither a regular file");
    assert_int_equal(unlink(path), 0);
    rig_make_file(path, 0);
    assert_refused(path, "", -EINVAL, "is empty: give it a size");
    assert_refused(path, "create = \"1M\";", -EINVAL, "is empty");
    rig_make_file(path, 512);
    assert_refused(path, "physical_block_size = 1000;", -EINVAL, "power of two");
    assert_opens(path, "physical_block_size = 4096;");
    (void)unlink(path);
}

static void
test_a_file_without_permission_says_which_one_is_missing(void **state)
{
    char path[512];
    pid_t child;
    int status;

    rig_path(path, sizeof(path), "mode");
    rig_make_file(path, 512);
    child = fork();
    if (child == 0) {
        struct rig rig;
        int good;

        /* Root may do everything, so somebody else tries. */
        if (chmod(path, 0444) != 0 || (geteuid() == 0 && setuid(65534) != 0)) {
            _exit(2);
        }
        rig_plug(&rig, path, "");
        good = rig.instance == NULL && th_status(rig.th) == -EACCES &&
               strstr(th_error_text(rig.th), "set readonly = true") != NULL;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)unlink(path);
}

static void
test_a_missing_file_is_made_only_with_create_and_once(void **state)
{
    struct stat status;
    char path[512];

    rig_path(path, sizeof(path), "new");
    assert_opens(path, "create = 1000000;");
    assert_int_equal(rig_file_size(path), 1000448);
    assert_int_equal(rig_file_blocks(path), 0);
    assert_opens(path, "create = \"64M\";");
    assert_int_equal(rig_file_size(path), 1000448);
    (void)unlink(path);
    /* Nothing is left behind where it cannot be that long. */
    assert_refused(path, "create = \"4000000T\";", -EFBIG, "bytes long");
    assert_int_equal(stat(path, &status), -1);
}

static void
test_no_direct_io_names_the_cache_option(void **state)
{
    struct rig rig;
    char path[512], options[600];

    rig_path(path, sizeof(path), "direct");
    rig_make_file(path, 512);
    (void)snprintf(options, sizeof(options), "path = \"%s\"; cache = \"none\";", path);
    memset(&rig, 0, sizeof(rig));
    rig.th = th_new();
    th_fail_call(rig.th, 1, EINVAL); /* core.open, as a file system without O_DIRECT answers */
    assert_null(th_plug(rig.th, &backplane_plugin_v1, "disk", options));
    assert_non_null(strstr(th_error_text(rig.th), "set cache = \"writeback\""));
    rig_close(&rig, 0);
    (void)unlink(path);
}

/* --- locks ----------------------------------------------------------------------------------- */

static void
assert_second(const char *path, const char *first, const char *second, int fits)
{
    struct rig rig;

    rig_plug(&rig, path, first);
    assert_non_null(rig.instance);
    if (fits) {
        assert_opens(path, second);
    } else {
        assert_refused(path, second, -EBUSY, "is in use by another backend of this machine");
    }
    rig_close(&rig, 0);
}

static void
test_one_writer_or_many_readers_may_have_an_image(void **state)
{
    char path[512];

    rig_path(path, sizeof(path), "shared");
    rig_make_file(path, 4096);
    assert_second(path, "", "", 0);
    assert_second(path, "", "readonly = true;", 0);
    assert_second(path, "readonly = true;", "", 0);
    assert_second(path, "readonly = true;", "readonly = true;", 1);
    assert_second(path, "lock = \"off\";", "", 1);
    assert_second(path, "", "lock = \"off\";", 1);
    assert_second(path, "", "lock = \"on\";", 0);
    assert_opens(path, "lock = \"on\";"); /* nothing is left locked */
    (void)unlink(path);
}

static void
test_another_process_is_named(void **state)
{
    char path[512], text[64];
    int ready[2];
    pid_t child;
    char byte;

    rig_path(path, sizeof(path), "process");
    rig_make_file(path, 4096);
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        struct rig rig;

        rig_plug(&rig, path, "");
        byte = rig.instance != NULL;
        (void)!write(ready[1], &byte, 1);
        (void)pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    (void)snprintf(text, sizeof(text), "is in use by process %d:", (int)child);
    assert_refused(path, "", -EBUSY, text);
    assert_refused(path, "readonly = true;", -EBUSY, text);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_opens(path, "");
    (void)close(ready[0]);
    (void)close(ready[1]);
    (void)unlink(path);
}

/* QEMU's locks are single bytes; qemu-io holds them while it runs. Returns its exit status for
 * opening the image while `options` hold it. */
static int
qemu_io_beside(const char *path, const char *options, const char *qemu_options)
{
    char command[1024];
    struct rig rig;
    int status;

    rig_plug(&rig, path, options);
    assert_non_null(rig.instance);
    (void)snprintf(command, sizeof(command),
                   "qemu-io %s -f raw -c 'read 0 512' '%s' >/dev/null 2>&1", qemu_options, path);
    status = system(command);
    rig_close(&rig, 0);
    return WEXITSTATUS(status);
}

static void
test_qemu_and_we_keep_each_other_out(void **state)
{
    char path[512];

    if (system("qemu-io --version >/dev/null 2>&1") != 0) {
        print_message("# no qemu-io (package qemu-utils)\n");
        skip();
    }
    rig_path(path, sizeof(path), "qemu");
    rig_make_file(path, 4096);
    assert_int_not_equal(qemu_io_beside(path, "", ""), 0);
    assert_int_not_equal(qemu_io_beside(path, "", "-r"), 0);
    assert_int_not_equal(qemu_io_beside(path, "readonly = true;", ""), 0);
    assert_int_equal(qemu_io_beside(path, "readonly = true;", "-r"), 0);
    assert_int_equal(qemu_io_beside(path, "lock = \"off\";", ""), 0);
    (void)unlink(path);
}

/* A qemu-io that has the image open until its standard input ends. */
static pid_t
start_qemu_io(const char *path, const char *mode, int *ret_input)
{
    int in[2], out[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    child = fork();
    if (child == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)close(in[1]);
        (void)execlp("qemu-io", "qemu-io", mode, "-f", "raw", path, NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    assert_int_equal(write(in[1], "read 0 512\n", 11), 11);
    assert_int_equal(read(out[0], &byte, 1), 1); /* it answers: the image is open */
    (void)close(out[0]);
    *ret_input = in[1];
    return child;
}

static void
test_an_image_that_qemu_uses_is_refused(void **state)
{
    char path[512];
    int input;
    pid_t child;

    if (system("qemu-io --version >/dev/null 2>&1") != 0) {
        print_message("# no qemu-io (package qemu-utils)\n");
        skip();
    }
    rig_path(path, sizeof(path), "qemu");
    rig_make_file(path, 4096);
    child = start_qemu_io(path, "-n", &input); /* -n: no cache, i.e. writing */
    assert_refused(path, "", -EBUSY, "is in use by process");
    assert_refused(path, "readonly = true;", -EBUSY, "is in use by process");
    (void)close(input);
    assert_int_equal(waitpid(child, NULL, 0), child);
    child = start_qemu_io(path, "-r", &input);
    assert_refused(path, "", -EBUSY, "is in use by process");
    assert_opens(path, "readonly = true;");
    (void)close(input);
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)unlink(path);
}

/* --- failures of the host -------------------------------------------------------------------- */

static void
test_every_failing_host_call_of_create_is_survived(void **state)
{
    char path[512], options[600];

    rig_path(path, sizeof(path), "fail");
    rig_make_file(path, 4096);
    (void)snprintf(options, sizeof(options), "path = \"%s\";", path);
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, options, NULL, NULL) >= 1);
    (void)unlink(path);
}

static void
check_failing_queue_open(const char *options)
{
    uint32_t n, failed = 1, opened = 0;
    uint8_t data[512];
    char path[512];

    for (n = 1; failed; n++) {
        struct rig rig;

        rig_path(path, sizeof(path), "queue");
        rig_make_file(path, 4096);
        rig_plug(&rig, path, options);
        assert_non_null(rig.instance);
        th_fail_call(rig.th, n, EMFILE);
        rig.queue = th_queue_open(rig.instance, 4);
        failed = (uint32_t)th_call_failed(rig.th);
        if (!failed) {
            assert_non_null(rig.queue);
        }
        opened += rig.queue != NULL;
        if (rig.queue == NULL) {
            assert_int_equal(th_status(rig.th), -EMFILE);
            rig.queue = th_queue_open(rig.instance, 4); /* and nothing is broken for later */
        }
        assert_non_null(rig.queue);
        assert_int_equal(rig_read(&rig, 0, data, sizeof(data)), 0);
        rig_close(&rig, 1);
    }
    /* The call for a second worker may fail: one is enough. */
    assert_true(n > 3 && opened >= 1);
}

static void
test_every_failing_host_call_of_queue_open_is_survived(void **state)
{
    check_failing_queue_open("");
    check_failing_queue_open("aio = \"threads\"; threads = 2;");
}

/* Makes io_uring_setup() fail like kernel.io_uring_disabled = 2 does, for this process for good. */
static int
refuse_io_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = BP_ARRAY_LENGTH(code), .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0;
}

/* In a child, as a filter cannot be taken off again. Returns what went wrong, 0: nothing. */
static int
use_without_io_uring(const char *path)
{
    uint8_t data[512];
    struct rig rig;

    if (refuse_io_uring() != 0) {
        return 0; /* no seccomp here */
    }
    rig_plug(&rig, path, "aio = \"io_uring\";");
    if (rig.instance != NULL || strstr(th_error_text(rig.th), "io_uring") == NULL ||
        strstr(th_error_text(rig.th), "set aio = \"auto\"") == NULL) {
        return 1;
    }
    rig_close(&rig, 0);
    rig_plug(&rig, path, "");
    rig.queue = rig.instance != NULL ? th_queue_open(rig.instance, 8) : NULL;
    if (rig.queue == NULL || !th_logged(rig.th, "no io_uring here") ||
        rig_read(&rig, 512, data, 512) != 0 || data[3] != rig_pattern(515)) {
        return 2;
    }
    th_queue_close(rig.queue);
    rig.queue = th_queue_open(rig.instance, 8);
    if (rig.queue == NULL || th_log_count(rig.th, BP_LOG_INFO) != 1) {
        return 3;
    }
    rig_close(&rig, 0);
    return 0;
}

static void
test_where_io_uring_is_refused_threads_take_over_and_say_so_once(void **state)
{
    char path[512];
    pid_t child;
    int status;

    rig_path(path, sizeof(path), "refused");
    rig_make_file(path, 4096);
    child = fork();
    if (child == 0) {
        _exit(use_without_io_uring(path));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be_an_image_is_refused_with_the_cure),
        cmocka_unit_test(test_a_file_without_permission_says_which_one_is_missing),
        cmocka_unit_test(test_a_missing_file_is_made_only_with_create_and_once),
        cmocka_unit_test(test_no_direct_io_names_the_cache_option),
        cmocka_unit_test(test_one_writer_or_many_readers_may_have_an_image),
        cmocka_unit_test(test_another_process_is_named),
        cmocka_unit_test(test_qemu_and_we_keep_each_other_out),
        cmocka_unit_test(test_an_image_that_qemu_uses_is_refused),
        cmocka_unit_test(test_every_failing_host_call_of_create_is_survived),
        cmocka_unit_test(test_every_failing_host_call_of_queue_open_is_survived),
        cmocka_unit_test(test_where_io_uring_is_refused_threads_take_over_and_say_so_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
