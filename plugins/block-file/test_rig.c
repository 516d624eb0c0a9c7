/* SPDX-License-Identifier: Apache-2.0 */
#include "test_rig.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void
rig_path(char *path, size_t size, const char *name)
{
    const char *directory = getenv("BLOCK_FILE_TEST_DIR");

    (void)snprintf(path, size, "%s/block-file-%d-%s", directory != NULL ? directory : "/tmp",
                   (int)getpid(), name);
}

uint8_t
rig_pattern(uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 512 * 13 + offset / 65536);
}

void
rig_make_file(const char *path, uint64_t length)
{
    uint8_t piece[4096];
    uint64_t position = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    while (position < length) {
        uint64_t i, count = length - position < sizeof(piece) ? length - position : sizeof(piece);

        for (i = 0; i < count; i++) {
            piece[i] = rig_pattern(position + i);
        }
        assert_int_equal(write(fd, piece, count), count);
        position += count;
    }
    assert_int_equal(close(fd), 0);
}

void
rig_plug(struct rig *rig, const char *path, const char *options)
{
    char text[1024];
    uintptr_t arena;

    memset(rig, 0, sizeof(*rig));
    (void)snprintf(rig->path, sizeof(rig->path), "%s", path);
    (void)snprintf(text, sizeof(text), "path = \"%s\"; %s", path, options);
    rig->th = th_new();
    arena = (uintptr_t)th_arena(rig->th, RIG_ARENA + 4096);
    rig->arena = (uint8_t *)((arena + 4095) & ~(uintptr_t)4095);
    rig->instance = th_plug(rig->th, &backplane_plugin_v1, "disk", text);
}

void
rig_open(struct rig *rig, uint64_t length, const char *options)
{
    char path[512];

    rig_path(path, sizeof(path), "disk.img");
    rig_make_file(path, length);
    rig_plug(rig, path, options);
    if (rig->instance == NULL) {
        print_error("create failed: %s\n", th_error_text(rig->th));
    }
    assert_non_null(rig->instance);
    rig->queue = th_queue_open(rig->instance, 64);
    assert_non_null(rig->queue);
}

void
rig_close(struct rig *rig, int remove_image)
{
    if (rig->queue != NULL) {
        th_queue_close(rig->queue);
    }
    th_free(rig->th);
    if (remove_image) {
        (void)unlink(rig->path);
    }
}

struct block_file *
rig_file(struct rig *rig)
{
    return th_self(rig->instance);
}

struct image *
rig_image(struct rig *rig)
{
    return &rig_file(rig)->image;
}

int32_t
rig_io(struct rig *rig, uint32_t op, uint32_t flags, uint64_t offset, void *data, uint64_t length,
       uint32_t skew)
{
    struct bp_iovec iov = {rig->arena + skew, length};
    struct bp_block_request request = {
        .user = rig->next_user++, .op = op, .flags = flags, .offset = offset, .length = length};
    uint32_t before = th_queue_completed(rig->queue);

    if (op == BP_BLOCK_READ || op == BP_BLOCK_WRITE) {
        request.iov = &iov;
        request.iov_count = 1;
    }
    if (op == BP_BLOCK_WRITE) {
        memcpy(iov.base, data, length);
    } else if (op == BP_BLOCK_READ) {
        memset(iov.base, 0xee, length); /* so that what is not filled in is seen */
    }
    assert_int_equal(th_queue_submit(rig->queue, &request, 1), 1);
    assert_true(th_queue_wait(rig->queue, before + 1, 30000));
    assert_int_equal(th_queue_completion(rig->queue, before)->user, request.user);
    if (op == BP_BLOCK_READ) {
        memcpy(data, iov.base, length);
    }
    return th_queue_completion(rig->queue, before)->status;
}

int32_t
rig_read(struct rig *rig, uint64_t offset, void *data, uint64_t length)
{
    return rig_io(rig, BP_BLOCK_READ, 0, offset, data, length, 0);
}

int32_t
rig_write(struct rig *rig, uint64_t offset, const void *data, uint64_t length)
{
    return rig_io(rig, BP_BLOCK_WRITE, 0, offset, (void *)(uintptr_t)data, length, 0);
}

int32_t
rig_op(struct rig *rig, uint32_t op, uint32_t flags, uint64_t offset, uint64_t length)
{
    return rig_io(rig, op, flags, offset, NULL, length, 0);
}

void
rig_read_file(const char *path, uint64_t offset, void *data, uint64_t length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, data, length, (off_t)offset), length);
    assert_int_equal(close(fd), 0);
}

uint64_t
rig_file_size(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return (uint64_t)status.st_size;
}

uint64_t
rig_file_blocks(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return (uint64_t)status.st_blocks;
}
