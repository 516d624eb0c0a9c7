/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/block-qcow2 against qemu-img and qemu-io: images come from them, and what is written is
 * checked by them. */
#include "test_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PIECE 65536u

static char directory[256];

static int __attribute__((format(printf, 1, 2))) shell(const char *format, ...)
{
    char command[2048];
    va_list list;
    int status;

    va_start(list, format);
    (void)vsnprintf(command, sizeof(command), format, list);
    va_end(list);
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *
path_of(const char *name)
{
    static char paths[8][320];
    static unsigned next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof(paths[0]), "%s/%d-%s", directory, (int)getpid(), name);
    return path;
}

static void
make_raw(const char *path, uint64_t size, unsigned seed)
{
    uint8_t *data = malloc(size);
    uint64_t i;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    srandom(seed);
    for (i = 0; i < size; i += 4096) {
        uint32_t kind = (uint32_t)random() % 4, k;

        memset(data + i, kind == 1 ? (int)random() & 0xff : 0, 4096);
        for (k = 0; kind > 1 && k < 4096; k += 4) {
            uint32_t value = kind == 2 ? (uint32_t)random() : (uint32_t)(random() & 0x0f0f);
            memcpy(data + i + k, &value, 4);
        }
    }
    assert_int_equal(write(fd, data, size), size);
    assert_int_equal(close(fd), 0);
    free(data);
}

/* Reads the whole disk in pieces of random length and compares it with a raw file. */
static void
compare(struct rig *rig, const char *raw)
{
    struct bp_block_info info = {.size = sizeof(info)};
    uint8_t *ours = malloc(PIECE), *theirs = malloc(PIECE);
    uint64_t offset = 0, length;
    int fd = open(raw, O_RDONLY | O_CLOEXEC);

    assert_int_equal(rig->ops->info(th_self(rig->qcow2), &info), 0);
    while (offset < info.capacity) {
        length = 512 * (1 + (uint64_t)random() % (PIECE / 512));
        length = length < info.capacity - offset ? length : info.capacity - offset;
        memset(theirs, 0, length);
        assert_true(pread(fd, theirs, length, (off_t)offset) >= 0);
        assert_int_equal(th_queue_io(rig->queue, BP_BLOCK_READ, 0, offset, ours, length), 0);
        if (memcmp(ours, theirs, length) != 0) {
            fail_msg("%s: the disks differ in %llu bytes at %llu", raw, (unsigned long long)length,
                     (unsigned long long)offset);
        }
        offset += length;
    }
    (void)close(fd);
    free(ours);
    free(theirs);
}

static void
read_and_compare(const char *image, const char *options, const char *backing, const char *raw)
{
    struct rig rig;

    if (rig_open(&rig, image, options, backing) != 0) {
        fail_msg("%s: %s", image, th_error_text(rig.th));
    }
    compare(&rig, raw);
    rig_close(&rig);
}

static void
test_images_of_qemu_img_in_all_options_read_the_same(void **state)
{
    static const char *const options[] = {"cluster_size=512",
                                          "cluster_size=1k",
                                          "cluster_size=4k",
                                          "cluster_size=64k",
                                          "cluster_size=2M",
                                          "compat=0.10",
                                          "compat=0.10,cluster_size=512",
                                          "refcount_bits=1",
                                          "refcount_bits=2",
                                          "refcount_bits=8",
                                          "refcount_bits=32",
                                          "refcount_bits=64,cluster_size=4k",
                                          "lazy_refcounts=on",
                                          "preallocation=metadata",
                                          "preallocation=full",
                                          "preallocation=falloc,cluster_size=2M"};
    const char *raw = path_of("raw"), *image = path_of("image");
    uint32_t i;

    make_raw(raw, 6 << 20, 1);
    for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        assert_int_equal(shell("qemu-img convert -O qcow2 -o %s %s %s", options[i], raw, image), 0);
        read_and_compare(image, "readonly = true;", NULL, raw);
        read_and_compare(image, "", NULL, raw); /* opened for writing, and closed */
        assert_int_equal(
            shell("qemu-img check -q %s && qemu-img compare -q %s %s", image, image, raw), 0);
    }
}

static void
test_compressed_clusters_read_the_same(void **state)
{
    static const char *const options[] = {"cluster_size=512", "cluster_size=4k",
                                          "cluster_size=64k", "cluster_size=2M",
                                          "compat=0.10",      "compression_type=zstd"};
    const char *raw = path_of("raw"), *image = path_of("image");
    uint32_t i;

    make_raw(raw, 6 << 20, 2);
    for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        assert_int_equal(shell("qemu-img convert -c -O qcow2 -o %s %s %s", options[i], raw, image),
                         0);
        read_and_compare(image, "", NULL, raw);
        assert_int_equal(shell("qemu-img check -q %s", image), 0);
    }
}

static void
test_a_backing_disk_shows_through_and_is_never_opened_by_name(void **state)
{
    const char *raw = path_of("raw"), *image = path_of("image"), *flat = path_of("flat");
    struct rig rig;

    make_raw(raw, 3 << 20, 3);
    assert_int_equal(shell("qemu-img create -q -f qcow2 -b %s -F raw %s 5M", raw, image), 0);
    assert_int_equal(
        shell("qemu-io -c 'write -P 7 1M 70k' -c 'write -z 2M 100k' -c 'write -P 9 4M 1k' "
              "%s >/dev/null",
              image),
        0);
    assert_int_equal(shell("qemu-img convert -O raw %s %s", image, flat), 0);
    read_and_compare(image, "", raw, flat);
    assert_int_equal(rig_open(&rig, image, "", NULL), -ENOENT);
    assert_non_null(strstr(th_error_text(rig.th), "the image stands on"));
    rig_close(&rig);
}

static void
test_snapshots_read_as_they_were(void **state)
{
    const char *raw = path_of("raw"), *image = path_of("image"), *flat = path_of("flat");
    struct rig rig;

    make_raw(raw, 3 << 20, 4);
    assert_int_equal(shell("qemu-img convert -O qcow2 %s %s && qemu-img snapshot -c first %s", raw,
                           image, image),
                     0);
    assert_int_equal(shell("qemu-io -c 'write -P 7 1M 70k' %s >/dev/null && qemu-img snapshot -c "
                           "second %s && qemu-io -c 'write -P 8 0 3M' %s >/dev/null",
                           image, image, image),
                     0);
    read_and_compare(image, "snapshot = \"first\";", NULL, raw);
    assert_int_equal(shell("qemu-img convert -l snapshot.name=second -O raw %s %s", image, flat),
                     0);
    read_and_compare(image, "snapshot = \"2\";", NULL, flat);
    assert_int_equal(rig_open(&rig, image, "snapshot = \"third\";", NULL), -ENOENT);
    rig_close(&rig);
}

static void
test_what_cannot_be_used_is_refused_by_name(void **state)
{
    static const char *const images[][2] = {
        {"-f qcow2 -o data_file_raw=on,data_file=", "data is in another file"},
        {"-f raw ", "no qcow2 image"},
    };
    uint32_t i;

    for (i = 0; i < 2; i++) {
        const char *image = path_of("image");
        struct rig rig;

        (void)unlink(image);
        assert_int_equal(shell("qemu-img create -q %s%s %s 1M", images[i][0],
                               i < 1 ? path_of("data") : "", image),
                         0);
        assert_true(rig_open(&rig, image, "", NULL) < 0);
        assert_non_null(strstr(th_error_text(rig.th), images[i][1]));
        rig_close(&rig);
    }
}

/* --- writing ------------------------------------------------------------------------------------
 */

struct shadow {
    uint8_t *data;
    uint64_t size;
};

static void
random_change(struct rig *rig, const struct shadow *shadow)
{
    static uint8_t data[262144];
    uint32_t op =
        (uint32_t[]){BP_BLOCK_WRITE,   BP_BLOCK_WRITE, BP_BLOCK_WRITE, BP_BLOCK_WRITE_ZEROES,
                     BP_BLOCK_DISCARD, BP_BLOCK_FLUSH, BP_BLOCK_READ}[random() % 7];
    uint64_t most = random() % 4 == 0 ? sizeof(data) : 8192;
    uint64_t length = 512 * (1 + (uint64_t)random() % (most / 512));
    uint64_t offset = 512 * ((uint64_t)random() % ((shadow->size - length) / 512 + 1));

    memset(data, (int)random() & 0xff, length);
    if (op == BP_BLOCK_FLUSH) {
        offset = length = 0;
    }
    if (op == BP_BLOCK_DISCARD) {
        /* Undefined, and a shadow cannot know: read what it became. */
        assert_int_equal(th_queue_io(rig->queue, op, 0, offset, NULL, length), 0);
        assert_int_equal(
            th_queue_io(rig->queue, BP_BLOCK_READ, 0, offset, shadow->data + offset, length), 0);
        return;
    }
    assert_int_equal(th_queue_io(rig->queue, op, 0, offset, data, length), 0);
    if (op == BP_BLOCK_READ && memcmp(data, shadow->data + offset, length) != 0) {
        fail_msg("%llu bytes at %llu are wrong", (unsigned long long)length,
                 (unsigned long long)offset);
    } else if (op == BP_BLOCK_WRITE) {
        memcpy(shadow->data + offset, data, length);
    } else if (op == BP_BLOCK_WRITE_ZEROES) {
        memset(shadow->data + offset, 0, length);
    }
}

static void
load_shadow(struct shadow *shadow, const char *raw, uint64_t size)
{
    int fd = open(raw, O_RDONLY | O_CLOEXEC);

    shadow->data = calloc(1, size);
    shadow->size = size;
    assert_true(fd < 0 || read(fd, shadow->data, size) >= 0);
    if (fd >= 0) {
        (void)close(fd);
    }
}

static void
save_shadow(const struct shadow *shadow, const char *raw)
{
    int fd = open(raw, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, shadow->data, shadow->size), shadow->size);
    (void)close(fd);
}

static void
random_changes(const char *image, const char *backing, const char *raw, uint64_t size,
               uint32_t count)
{
    struct shadow shadow;
    struct rig rig;
    uint32_t i;

    load_shadow(&shadow, raw, size);
    if (rig_open(&rig, image, "cache = \"64K\";", backing) != 0) {
        fail_msg("%s", th_error_text(rig.th));
    }
    for (i = 0; i < count; i++) {
        random_change(&rig, &shadow);
    }
    save_shadow(&shadow, raw);
    compare(&rig, raw);
    rig_close(&rig);
    free(shadow.data);
    assert_int_equal(shell("qemu-img check -q %s", image), 0); /* 3: leaks; 2: corruption */
    assert_int_equal(shell("qemu-img compare -q %s %s", image, raw), 0);
}

static void
test_random_changes_leave_an_image_that_qemu_img_finds_clean(void **state)
{
    static const char *const options[] = {"cluster_size=512",  "cluster_size=4k,refcount_bits=1",
                                          "cluster_size=64k",  "cluster_size=2M",
                                          "compat=0.10",       "cluster_size=1k,refcount_bits=64",
                                          "lazy_refcounts=on", "preallocation=metadata"};
    const char *raw = path_of("raw"), *image = path_of("image");
    uint32_t i;

    for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        srandom(i);
        (void)unlink(raw);
        assert_int_equal(shell("qemu-img create -q -f qcow2 -o %s %s 8M", options[i], image), 0);
        random_changes(image, NULL, raw, 8 << 20, 700);
        random_changes(image, NULL, raw, 8 << 20, 300); /* opened again */
    }
}

static void
test_random_changes_over_backing_compressed_and_snapshots(void **state)
{
    static const char *const options[] = {"compat=0.10", "cluster_size=4k", "cluster_size=64k"};
    const char *raw = path_of("raw"), *image = path_of("image"), *flat = path_of("flat");
    uint32_t i;

    for (i = 0; i < 3; i++) {
        make_raw(raw, 3 << 20, 40 + i);
        assert_int_equal(
            shell("qemu-img create -q -f qcow2 -o %s -b %s -F raw %s 4M", options[i], raw, image),
            0);
        assert_int_equal(shell("qemu-img convert -O raw %s %s", image, flat), 0);
        random_changes(image, raw, flat, 4 << 20, 500);
        make_raw(flat, 4 << 20, 50 + i);
        assert_int_equal(shell("qemu-img convert -c -O qcow2 -o %s %s %s", options[i], flat, image),
                         0);
        random_changes(image, NULL, flat, 4 << 20, 500);
        assert_int_equal(shell("qemu-img snapshot -c s %s && cp %s %s", image, flat, raw), 0);
        random_changes(image, NULL, flat, 4 << 20, 500);
        read_and_compare(image, "snapshot = \"s\";", NULL, raw);
    }
}

/* Many requests at a time, to parts of clusters that others write at that moment: each 512 bytes
 * have one writer, and hold what it wrote last. */
static void
requests_at_once(const char *image, uint32_t count)
{
    static struct bp_iovec iov[64];
    static uint8_t last[8192];
    struct bp_block_request request = {.length = 512, .iov_count = 1};
    uint8_t taken[64] = {0}, data[512];
    uint32_t i, before, submitted = 0;
    struct rig rig;

    memset(last, 0, sizeof(last));
    assert_int_equal(rig_open(&rig, image, "cache = \"4K\";", NULL), 0);
    for (i = 0; i < 64; i++) {
        iov[i] = (struct bp_iovec){th_arena(rig.th, 512), 512};
    }
    while (submitted < count) {
        memset(taken, 0, sizeof(taken));
        before = submitted;
        for (i = 0; i < 60; i++) {
            uint32_t sector = (uint32_t)(random() % 4 == 0 ? random() % 8192 : random() % 512);

            if (taken[sector % 64]) {
                continue; /* one at a time in each class of sectors */
            }
            taken[sector % 64] = 1;
            request.user = submitted;
            request.op = random() % 8 == 0 ? BP_BLOCK_WRITE_ZEROES : BP_BLOCK_WRITE;
            request.offset = UINT64_C(512) * sector;
            request.iov = &iov[i];
            last[sector] = request.op == BP_BLOCK_WRITE ? (uint8_t)(random() | 1) : 0;
            memset(iov[i].base, last[sector], 512);
            assert_int_equal(th_queue_submit(rig.queue, &request, 1), 1);
            submitted++;
            if (i % 20 == 0) {
                request.user = submitted++;
                request.op = BP_BLOCK_FLUSH;
                assert_int_equal(th_queue_submit(rig.queue, &request, 1), 1);
            }
        }
        assert_true(submitted > before && th_queue_wait(rig.queue, submitted, 30000));
    }
    for (i = 0; i < submitted; i++) {
        assert_int_equal(th_queue_completion(rig.queue, i)->status, 0);
    }
    for (i = 0; i < 8192; i++) {
        assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, UINT64_C(512) * i, data, 512), 0);
        if (data[0] != last[i] || data[511] != last[i]) {
            fail_msg("sector %u has %u, not %u", i, data[0], last[i]);
        }
    }
    rig_close(&rig);
    assert_int_equal(shell("qemu-img check -q %s", image), 0);
}

static void
test_requests_at_once_to_the_same_clusters_lose_nothing(void **state)
{
    static const char *const options[] = {"cluster_size=512", "cluster_size=4k", "cluster_size=64k",
                                          "compat=0.10"};
    const char *image = path_of("image");
    uint32_t i;

    for (i = 0; i < 4; i++) {
        srandom(77 + i);
        assert_int_equal(shell("qemu-img create -q -f qcow2 -o %s %s 4M", options[i], image), 0);
        requests_at_once(image, 6000);
        assert_int_equal(shell("qemu-img snapshot -c s %s", image), 0);
        assert_int_equal(shell("qemu-io -c 'write -z 0 4M' %s >/dev/null", image), 0);
        requests_at_once(image, 3000);
    }
}

static void
test_discarded_clusters_give_their_space_back(void **state)
{
    const char *image = path_of("image");
    uint8_t *data = malloc(1 << 20), *back = malloc(1 << 20);
    struct rig rig;

    assert_int_equal(shell("qemu-img create -q -f qcow2 %s 8M", image), 0);
    assert_int_equal(rig_open(&rig, image, "", NULL), 0);
    memset(data, 0x77, 1 << 20);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 0, data, 1 << 20), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_DISCARD, 0, 0, NULL, 512 << 10), 0);
    assert_int_equal(rig.file.discarded, 0); /* the file's tables still refer to it */
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
    assert_int_equal(rig.file.discarded, 512 << 10);
    memset(data, 0x78, 256 << 10); /* in the clusters that became free, and more */
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 0, data, 256 << 10), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
    memset(data + (256 << 10), 0, 256 << 10);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 0, back, 1 << 20), 0);
    assert_memory_equal(data, back, 1 << 20);
    rig_close(&rig);
    assert_int_equal(shell("qemu-img check -q %s", image), 0);
    free(data);
    free(back);
}

static void
test_resize_grows_the_disk_and_its_tables(void **state)
{
    const char *raw = path_of("raw"), *image = path_of("image");
    struct rig rig;
    uint8_t data[512];

    assert_int_equal(shell("qemu-img create -q -f qcow2 -o cluster_size=512 %s 1M", image), 0);
    assert_int_equal(rig_open(&rig, image, "", NULL), 0);
    memset(data, 0x33, sizeof(data));
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 1024, data, 512), 0);
    assert_int_equal(rig.ops->resize(th_self(rig.qcow2), 40 << 20), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, (40 << 20) - 512, data, 512), 0);
    th_run(rig.th);
    assert_int_equal(th_queue_events(rig.queue, BP_BLOCK_EVENT_RESIZED), 1);
    assert_int_equal(rig.ops->resize(th_self(rig.qcow2), 1 << 20), -EOPNOTSUPP);
    rig_close(&rig);
    assert_int_equal(
        shell("qemu-img check -q %s && qemu-img convert -O raw %s %s", image, image, raw), 0);
    read_and_compare(image, "", NULL, raw);
    assert_int_equal(
        shell("qemu-io -f raw -c 'read -P 0x33 41942528 512' %s | grep -q failed", raw), 1);
}

static void
test_a_resize_that_cannot_write_the_header_loses_nothing(void **state)
{
    const char *image = path_of("image"), *raw = path_of("raw");
    uint8_t data[512];
    uint32_t n;

    for (n = 1; n < 5; n++) {
        struct rig rig;
        int32_t failed, again, wrote, found;

        assert_int_equal(shell("qemu-img create -q -f qcow2 -o cluster_size=512 %s 1M", image), 0);
        assert_int_equal(rig_open(&rig, image, "", NULL), 0);
        memset(data, 0x33, sizeof(data));
        assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 0, data, 512), 0);
        assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
        rig.file.fail_header = n;
        failed = rig.ops->resize(th_self(rig.qcow2), 40 << 20);
        rig.file.fail_header = 0;
        assert_true(failed == -EIO || (n > 3 && failed == 0));
        again = rig.ops->resize(th_self(rig.qcow2), 40 << 20);
        wrote = th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 512 << 10, data, 512);
        assert_true(again == 0 ? wrote == 0 : wrote == -EIO);
        rig_close(&rig);
        found = shell("qemu-img check -q %s >/dev/null 2>&1", image);
        assert_true(found == 0 || found == 3); /* 3: lost clusters */
        assert_int_equal(shell("qemu-img convert -O raw %s %s", image, raw), 0);
        read_and_compare(image, "readonly = true;", NULL, raw);
        assert_int_equal(shell("qemu-io -f raw -c 'read -P 0x33 0 512' %s | grep -q failed", raw),
                         1);
    }
}

/* --- SIGKILL -------------------------------------------------------------------------------------
 */

/* What the killed one had done, in memory that outlives it. */
struct record {
    volatile uint64_t flushed; /* number of the last write that a completed flush covers */
    volatile uint64_t written;
    volatile uint64_t started;
    volatile uint64_t last[8192]; /* by slot of 4 KiB: number of the write that completed last */
};

static void
fill_numbered(uint8_t *data, uint64_t slot, uint64_t number)
{
    uint32_t i;

    for (i = 0; i < 4096; i += 16) {
        memcpy(data + i, &slot, 8);
        memcpy(data + i + 8, &number, 8);
    }
}

static void
write_until_killed(const char *image, struct record *record, unsigned seed)
{
    static uint8_t data[4096];
    struct rig rig;

    if (rig_open(&rig, image, "cache = \"64K\";", NULL) != 0) {
        _exit(1);
    }
    srandom(seed);
    for (;;) {
        uint64_t slot = (uint64_t)random() % 4096, number = record->started + 1;
        uint32_t kind = (uint32_t)random() % 16;

        if (kind == 0) {
            uint64_t covers = record->written;
            if (th_queue_io(rig.queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0) != 0) {
                _exit(2);
            }
            record->flushed = covers;
        } else if (kind < 4) {
            /* The upper half of the disk is for discards, which nobody compares. */
            if (th_queue_io(rig.queue, kind == 1 ? BP_BLOCK_WRITE_ZEROES : BP_BLOCK_DISCARD, 0,
                            (4096 + slot) * 4096 - slot % 8 * 512, NULL,
                            4096 * (1 + slot % 64) > (4096 - slot) * 4096
                                ? 4096
                                : 4096 * (1 + slot % 64)) != 0) {
                _exit(3);
            }
        } else if (kind < 7) {
            if (th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, (4096 + slot) * 4096, data, 4096) != 0) {
                _exit(4);
            }
        } else {
            fill_numbered(data, slot, number);
            record->started = number;
            if (th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, slot * 4096, data, 4096) != 0) {
                _exit(5);
            }
            record->last[slot] = number;
            record->written = number;
        }
    }
}

/* Every slot must have the write that was last covered by a flush, or a later one. */
static void
check_slots(const char *raw, struct record *record, uint64_t *at_flush)
{
    int fd = open(raw, O_RDONLY | O_CLOEXEC);
    uint64_t slot;

    for (slot = 0; slot < 4096; slot++) {
        uint8_t data[4096], expected[4096];
        uint64_t number;

        assert_int_equal(pread(fd, data, sizeof(data), (off_t)(slot * 4096)), sizeof(data));
        memcpy(&number, data + 8, 8);
        if (number < at_flush[slot] || number > record->started) {
            fail_msg("slot %llu has write %llu, but %llu was flushed", (unsigned long long)slot,
                     (unsigned long long)number, (unsigned long long)at_flush[slot]);
        }
        if (number != 0) {
            fill_numbered(expected, slot, number);
            assert_memory_equal(data, expected, sizeof(data));
        }
        /* What was lost without a flush never was; what is there stays. */
        record->last[slot] = at_flush[slot] = number;
    }
    (void)close(fd);
}

static void
kill_rounds(const char *image, uint32_t rounds)
{
    struct record *record =
        mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t *at_flush = calloc(4096, sizeof(*at_flush)), flushed = 0, slot;
    const char *raw = path_of("raw");
    uint32_t round;
    int status;

    for (round = 0; round < rounds; round++) {
        pid_t child = fork();

        if (child == 0) {
            write_until_killed(image, record, round + 1);
        }
        (void)usleep(2000 + (useconds_t)(random() % 60000));
        (void)kill(child, SIGKILL);
        (void)waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        flushed = record->flushed;
        for (slot = 0; slot < 4096; slot++) {
            /* Without a log, only slots whose last write the flush covers are known. */
            if (record->last[slot] <= flushed) {
                at_flush[slot] = record->last[slot];
            }
        }
        status = shell("qemu-img check -q %s >/dev/null 2>&1", image);
        if (status != 0 && status != 3) {
            (void)shell("qemu-img check %s", image);
            fail_msg("round %u: qemu-img check says %d", round, status);
        }
        assert_int_equal(shell("qemu-img convert -O raw %s %s", image, raw), 0);
        check_slots(raw, record, at_flush);
    }
    (void)printf("# %llu numbered writes, %llu of them flushed\n",
                 (unsigned long long)record->started, (unsigned long long)flushed);
    free(at_flush);
    (void)munmap(record, sizeof(*record));
}

static void
test_a_kill_at_any_moment_corrupts_nothing_and_loses_no_flush(void **state)
{
    static const char *const options[] = {"cluster_size=4k", "cluster_size=64k", "compat=0.10"};
    const char *rounds = getenv("BLOCK_QCOW2_KILLS"), *image = path_of("image");
    uint32_t i;

    for (i = 0; i < 3; i++) {
        assert_int_equal(shell("qemu-img create -q -f qcow2 -o %s %s 32M", options[i], image), 0);
        kill_rounds(image, rounds != NULL ? (uint32_t)strtoul(rounds, NULL, 10) : 12);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images_of_qemu_img_in_all_options_read_the_same),
        cmocka_unit_test(test_compressed_clusters_read_the_same),
        cmocka_unit_test(test_a_backing_disk_shows_through_and_is_never_opened_by_name),
        cmocka_unit_test(test_snapshots_read_as_they_were),
        cmocka_unit_test(test_what_cannot_be_used_is_refused_by_name),
        cmocka_unit_test(test_random_changes_leave_an_image_that_qemu_img_finds_clean),
        cmocka_unit_test(test_random_changes_over_backing_compressed_and_snapshots),
        cmocka_unit_test(test_requests_at_once_to_the_same_clusters_lose_nothing),
        cmocka_unit_test(test_discarded_clusters_give_their_space_back),
        cmocka_unit_test(test_resize_grows_the_disk_and_its_tables),
        cmocka_unit_test(test_a_resize_that_cannot_write_the_header_loses_nothing),
        cmocka_unit_test(test_a_kill_at_any_moment_corrupts_nothing_and_loses_no_flush),
    };
    const char *where = getenv("BLOCK_QCOW2_TEST_DIR");
    int result;

    if (system("qemu-img --version >/dev/null 2>&1 && qemu-io --version >/dev/null 2>&1") != 0) {
        (void)printf("1..0 # SKIP qemu-img and qemu-io are missing (package qemu-utils)\n");
        return 0;
    }
    (void)snprintf(directory, sizeof(directory), "%s", where != NULL ? where : "/tmp");
    result = cmocka_run_group_tests(tests, NULL, NULL);
    (void)shell("rm -f %s/%d-*", directory, (int)getpid());
    return result;
}
