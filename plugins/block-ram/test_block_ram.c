/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/block-ram on the fake core. */
#include <backplane/testhost.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB 1048576u

static uint64_t
resident_kib(void)
{
    unsigned long total, resident;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &total, &resident), 2);
    (void)fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void
image_path(char *path, size_t size, const char *name)
{
    const char *directory = getenv("BLOCK_RAM_TEST_DIR");

    (void)snprintf(path, size, "%s/block-ram-%d-%s", directory != NULL ? directory : "/tmp",
                   (int)getpid(), name);
}

static void
make_image(const char *path, const void *data, size_t length)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), length);
    assert_int_equal(close(fd), 0);
}

static void
test_random_operations_agree_with_a_shadow(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "ram", "size = \"1M\";");
    struct th_queue *queue = th_queue_open(disk, 8);
    const struct bp_block_ops *ops = th_table(disk, BP_BLOCK_ID);
    uint8_t *shadow = calloc(1, MIB), *arena = th_arena(th, 2 * 65536 + 3);
    uint32_t i, k;

    srandom(7);
    for (i = 0; i < 10000; i++) {
        struct bp_iovec iov[3];
        struct bp_block_request request = {.user = i, .iov = iov, .iov_count = 3};
        uint64_t length = 512 * (uint64_t)(1 + random() % 128);
        uint64_t offset = 512 * (uint64_t)(random() % (long)((MIB - length) / 512 + 1));

        iov[0].base = arena + 1;
        iov[0].length = (uint64_t)random() % length;
        iov[1].base = arena + 65536 + 2;
        iov[1].length = 0;
        iov[2].base = arena + 65536 + 2;
        iov[2].length = length - iov[0].length;
        request.op = 1 + (uint32_t)(random() % 5);
        request.offset = offset;
        request.length = length;
        request.flags = request.op == BP_BLOCK_WRITE_ZEROES ? (uint32_t)random() & 3 : 0;
        for (k = 0; request.op == BP_BLOCK_WRITE && k < 2 * 65536; k++) {
            arena[k] = (uint8_t)(i * 31 + k);
        }
        assert_int_equal(th_queue_submit(queue, &request, 1), 1);
        assert_true(th_queue_wait(queue, i + 1, 10000));
        assert_int_equal(th_queue_completion(queue, i)->status, 0);
        if (request.op == BP_BLOCK_WRITE) {
            memcpy(shadow + offset, iov[0].base, iov[0].length);
            memcpy(shadow + offset + iov[0].length, iov[2].base, iov[2].length);
        } else if (request.op == BP_BLOCK_READ) {
            assert_memory_equal(shadow + offset, iov[0].base, iov[0].length);
            assert_memory_equal(shadow + offset + iov[0].length, iov[2].base, iov[2].length);
        } else if (request.op != BP_BLOCK_FLUSH) {
            memset(shadow + offset, 0, length);
        }
    }
    assert_null(ops->cancel);
    free(shadow);
    th_queue_close(queue);
    th_free(th);
}

static void
test_memory_is_used_when_written_and_given_back_when_discarded(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "ram", "size = \"4G\";");
    struct th_queue *queue = th_queue_open(disk, 8);
    struct bp_iovec iov = {th_arena(th, MIB), MIB};
    struct bp_block_request request = {.op = BP_BLOCK_WRITE, .iov = &iov, .iov_count = 1};
    uint64_t empty, full;
    uint32_t i;

    memset(iov.base, 0x11, MIB);
    empty = resident_kib();
    for (i = 0; i < 64; i++) {
        request.offset = (uint64_t)i * 32 * MIB;
        request.length = MIB;
        assert_int_equal(th_queue_submit(queue, &request, 1), 1);
        th_run(th);
    }
    full = resident_kib();
    assert_true(full >= empty + 60 * 1024);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_DISCARD, 0, 0, NULL, UINT64_C(4) << 30), 0);
    assert_true(resident_kib() <= full - 60 * 1024);
    th_queue_close(queue);
    th_free(th);
}

static void
test_an_image_is_loaded_padded_and_never_written(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk;
    struct th_queue *queue;
    struct bp_block_info info = {.size = sizeof(info)};
    const struct bp_block_ops *ops;
    uint8_t image[1000], data[1024], after[1000];
    char path[512], options[1024];
    FILE *file;

    memset(image, 0x3c, sizeof(image));
    image_path(path, sizeof(path), "load.img");
    make_image(path, image, sizeof(image));
    (void)snprintf(options, sizeof(options), "image = \"%s\";", path);
    disk = th_plug(th, &backplane_plugin_v1, "ram", options);
    assert_non_null(disk);
    ops = th_table(disk, BP_BLOCK_ID);
    queue = th_queue_open(disk, 8);
    assert_int_equal(ops->info(th_self(disk), &info), 0);
    assert_int_equal(info.capacity, 1024);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, 0, data, 1024), 0);
    assert_memory_equal(data, image, 1000);
    assert_int_equal(data[1000] | data[1023], 0);
    memset(data, 0xff, sizeof(data));
    assert_int_equal(th_queue_io(queue, BP_BLOCK_WRITE, 0, 0, data, 1024), 0);
    th_queue_close(queue);
    th_free(th);
    file = fopen(path, "r");
    assert_int_equal(fread(after, 1, sizeof(after), file), sizeof(after));
    (void)fclose(file);
    assert_memory_equal(after, image, sizeof(image));
    (void)unlink(path);
}

static void
assert_refused(const char *options, const char *text)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &backplane_plugin_v1, "ram", options));
    if (strstr(th_error_text(th), text) == NULL) {
        fail_msg("'%s' does not say '%s'", th_error_text(th), text);
    }
    th_free(th);
}

static void
test_impossible_descriptions_are_refused_with_a_reason(void **state)
{
    char path[512], options[1024];

    assert_refused("", "give it a size, or an image");
    assert_refused("size = 700;", "multiple of 512");
    assert_refused("image = \"/nonexistent/x\";", "cannot open '/nonexistent/x'");
    assert_refused("image = \"/tmp\";", "is a directory");
    image_path(path, sizeof(path), "bad.img");
    make_image(path, "", 0);
    (void)snprintf(options, sizeof(options), "image = \"%s\";", path);
    assert_refused(options, "is empty");
    make_image(path, path, 500);
    (void)snprintf(options, sizeof(options), "image = \"%s\"; size = 512;", path);
    {
        struct th_host *th = th_new();
        assert_non_null(th_plug(th, &backplane_plugin_v1, "ram", options));
        th_free(th);
    }
    make_image(path, options, 600);
    assert_refused(options, "more than size = 512");
    (void)unlink(path);
}

static void
test_resizing_keeps_what_is_there_and_shows_zeroes_beyond(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk = th_plug(th, &backplane_plugin_v1, "ram", "size = 8192;");
    const struct bp_block_ops *ops = th_table(disk, BP_BLOCK_ID);
    struct th_queue *queue = th_queue_open(disk, 8);
    uint8_t data[512], zeroes[512] = {0};

    memset(data, 9, sizeof(data));
    assert_int_equal(th_queue_io(queue, BP_BLOCK_WRITE, 0, 0, data, 512), 0);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_WRITE, 0, 7680, data, 512), 0);
    assert_int_equal(ops->resize(th_self(disk), 512), 0);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, 512, data, 512), -EINVAL);
    assert_int_equal(ops->resize(th_self(disk), 64 * MIB), 0);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, 7680, data, 512), 0);
    assert_memory_equal(data, zeroes, 512);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, 64 * MIB - 512, data, 512), 0);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, 0, data, 512), 0);
    assert_int_equal(data[511], 9);
    assert_int_equal(ops->resize(th_self(disk), UINT64_MAX - 511), -ENOSPC);
    assert_int_equal(ops->resize(th_self(disk), 100), -EINVAL);
    assert_int_equal(th_queue_events(queue, BP_BLOCK_EVENT_RESIZED), 2);
    th_queue_close(queue);
    th_free(th);
}

static void
test_a_readonly_disk_refuses_every_change(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *disk =
        th_plug(th, &backplane_plugin_v1, "ram", "size = 8192; readonly = true;");
    const struct bp_block_ops *ops = th_table(disk, BP_BLOCK_ID);
    struct th_queue *queue = th_queue_open(disk, 8);
    uint8_t data[512] = {0};

    assert_int_equal(th_queue_io(queue, BP_BLOCK_WRITE, 0, 0, data, 512), -EROFS);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_DISCARD, 0, 0, NULL, 512), -EROFS);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_WRITE_ZEROES, 0, 0, NULL, 512), -EROFS);
    assert_int_equal(th_queue_io(queue, BP_BLOCK_READ, 0, 0, data, 512), 0);
    assert_int_equal(ops->resize(th_self(disk), 4096), -EROFS);
    th_queue_close(queue);
    th_free(th);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    char path[512], options[1024];

    image_path(path, sizeof(path), "fail.img");
    make_image(path, path, sizeof(path));
    (void)snprintf(options, sizeof(options), "image = \"%s\";", path);
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL, options, NULL, NULL) >= 1);
    (void)unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations_agree_with_a_shadow),
        cmocka_unit_test(test_memory_is_used_when_written_and_given_back_when_discarded),
        cmocka_unit_test(test_an_image_is_loaded_padded_and_never_written),
        cmocka_unit_test(test_impossible_descriptions_are_refused_with_a_reason),
        cmocka_unit_test(test_resizing_keeps_what_is_there_and_shows_zeroes_beyond),
        cmocka_unit_test(test_a_readonly_disk_refuses_every_change),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
