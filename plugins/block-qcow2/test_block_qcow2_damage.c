/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged images: each kind of damage is refused, or the image is opened read-only, or the request
 * that meets it fails; always with the one message that says so, and never with a write. */
#include "test_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CLUSTER  UINT64_C(4096)
#define FAR_AWAY UINT64_C(0x7f000000)

/* Where something is changed: */
enum place { HEADER, L1, L2, REFTABLE, BLOCK };

struct damage {
    enum place place;
    uint32_t at, width; /* byte in it; bytes that change */
    uint64_t value;
    const char *message;
};

static char image_path[300];

/* $IMAGE is the image. */
static void
run_command(const char *command)
{
    assert_int_equal(setenv("IMAGE", image_path, 1), 0);
    assert_int_equal(system(command), 0);
}

static void
make_image(void)
{
    run_command("qemu-img create -q -f qcow2 -o cluster_size=4k \"$IMAGE\" 3M && "
                "qemu-io -f qcow2 -c 'write -P 5 0 256k' \"$IMAGE\" >/dev/null");
}

static uint64_t
read_number(int fd, uint64_t offset, uint32_t width)
{
    uint8_t bytes[8] = {0};
    uint64_t value = 0;
    uint32_t i;

    (void)!pread(fd, bytes, width, (off_t)offset); /* behind the end are zeroes */
    for (i = 0; i < width; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static void
write_number(int fd, uint64_t offset, uint32_t width, uint64_t value)
{
    uint8_t bytes[8];
    uint32_t i;

    for (i = width; i-- > 0; value >>= 8) {
        bytes[i] = (uint8_t)value;
    }
    assert_int_equal(pwrite(fd, bytes, width, (off_t)offset), width);
}

static uint64_t
find_place(int fd, enum place place)
{
    uint64_t l1 = read_number(fd, HEADER_AT_L1_OFFSET, 8);
    uint64_t reftable = read_number(fd, HEADER_AT_REFTABLE, 8);

    switch (place) {
    case HEADER:
        return 0;
    case L1:
        return l1;
    case L2:
        return read_number(fd, l1, 8) & OFFSET_MASK;
    case REFTABLE:
        return reftable;
    default:
        return read_number(fd, reftable, 8);
    }
}

static void
do_damage(const struct damage *damage)
{
    int fd = open(image_path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    write_number(fd, find_place(fd, damage->place) + damage->at, damage->width, damage->value);
    assert_int_equal(close(fd), 0);
}

static uint8_t *
load(uint64_t *ret_length)
{
    struct stat status;
    int fd = open(image_path, O_RDONLY | O_CLOEXEC);
    uint8_t *data;

    assert_int_equal(fstat(fd, &status), 0);
    data = malloc((size_t)status.st_size);
    *ret_length = (uint64_t)status.st_size;
    assert_int_equal(read(fd, data, (size_t)status.st_size), status.st_size);
    (void)close(fd);
    return data;
}

/* The file is what it was. */
static void
assert_untouched(const uint8_t *before, uint64_t length)
{
    uint64_t now;
    uint8_t *after = load(&now);

    assert_int_equal(now, length);
    assert_memory_equal(before, after, length);
    free(after);
}

static void
test_a_header_that_cannot_be_is_refused_with_the_reason(void **state)
{
    static const struct damage damages[] = {
        {HEADER, 0, 4, 0x514649fa, "this is no qcow2 image"},
        {HEADER, 4, 4, 4, "qcow version 4 is not known"},
        {HEADER, 4, 4, 1, "qcow version 1 is not known"},
        {HEADER, 8, 8, FAR_AWAY, "the image stands on nothing"}, /* with no length: none */
        {HEADER, 20, 4, 8, "its clusters are 2^8 bytes large"},
        {HEADER, 20, 4, 22, "its clusters are 2^22 bytes large"},
        {HEADER, 20, 4, 0xffffffff, "its clusters are 2^4294967295 bytes large"},
        {HEADER, 24, 8, UINT64_C(1) << 61, "a disk of 2305843009213693952 bytes is too large"},
        {HEADER, 24, 8, UINT64_MAX, "a disk of 18446744073709551615 bytes is too large"},
        {HEADER, 24, 8, 64 << 20, "its L1 table has 2 entries, the disk needs 32"},
        {HEADER, 32, 4, 1, "it is encrypted: not supported"},
        {HEADER, 32, 4, 2, "it is encrypted: not supported"},
        {HEADER, 36, 4, 0, "its L1 table has 0 entries, the disk needs 2"},
        {HEADER, 36, 4, 5u << 20, "its L1 table has 5242880 entries, more than 4194304"},
        {HEADER, 36, 4, 4u << 20,
         "its L1 table (33554432 bytes at 12288) does not lie in the file"},
        {HEADER, 40, 8, FAR_AWAY, "its L1 table (16 bytes at 2130706432) does not lie in the file"},
        {HEADER, 40, 8, 0, "its L1 table (16 bytes at 0) does not lie in the file"},
        {HEADER, 40, 8, 12288 + 512, "its L1 table (16 bytes at 12800) does not lie in the file"},
        {HEADER, 40, 8, UINT64_MAX & ~(CLUSTER - 1),
         "its L1 table (16 bytes at 18446744073709547520) does not lie in the file"},
        {HEADER, 48, 8, FAR_AWAY,
         "its refcount table (4096 bytes at 2130706432) does not lie in the file"},
        {HEADER, 48, 8, 4096 + 8,
         "its refcount table (4096 bytes at 4104) does not lie in the file"},
        {HEADER, 48, 8, 0, "its refcount table (4096 bytes at 0) does not lie in the file"},
        {HEADER, 56, 4, 0, "its refcount table has 0 clusters"},
        {HEADER, 56, 4, 2049, "its refcount table has 2049 clusters"},
        {HEADER, 56, 4, 0xffffffff, "its refcount table has 4294967295 clusters"},
        {HEADER, 56, 4, 2048,
         "its refcount table (8388608 bytes at 4096) does not lie in the file"},
        {HEADER, 60, 4, 65537, "it has 65537 snapshots, more than 65536"},
        {HEADER, 60, 4, 1, "its snapshot table (40 bytes at 0) does not lie in the file"},
        {HEADER, 79, 1, 0x20, "it needs a feature that is not known: bit 5 (it gives no name)"},
        {HEADER, 72, 1, 0x80, "it needs a feature that is not known: bit 63 (it gives no name)"},
        {HEADER, 96, 4, 7, "its reference counts are 2^7 bits wide"},
        {HEADER, 96, 4, 0xffffffff, "its reference counts are 2^4294967295 bits wide"},
        {HEADER, 100, 4, 96, "its header is 96 bytes long"},
        {HEADER, 100, 4, 108, "its header is 108 bytes long"},
        {HEADER, 100, 4, 8192, "its header is 8192 bytes long"},
    };
    uint32_t i;

    for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct rig rig;
        uint8_t *before;
        uint64_t length;
        int32_t result;

        make_image();
        do_damage(&damages[i]);
        before = load(&length);
        result = rig_open(&rig, image_path, "", NULL);
        if (damages[i].at == 8) {
            assert_int_equal(result, 0); /* a name without a length is no name */
        } else if (result == 0 || strstr(th_error_text(rig.th), damages[i].message) == NULL) {
            fail_msg("header + %u: not \"%s\" but \"%s\"", damages[i].at, damages[i].message,
                     th_error_text(rig.th));
        }
        rig_close(&rig);
        if (damages[i].at != 8) {
            assert_untouched(before, length);
        }
        free(before);
    }
}

static void
test_a_file_that_is_cut_off_is_refused(void **state)
{
    static const uint64_t lengths[] = {0, 1, 71, 103, 104, 511, 512, 4096, 8192, 12288};
    uint32_t i;

    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct rig rig;

        make_image();
        assert_int_equal(truncate(image_path, (off_t)lengths[i]), 0);
        assert_true(rig_open(&rig, image_path, "", NULL) < 0);
        assert_non_null(strstr(th_error_text(rig.th), "cannot use the image: "));
        rig_close(&rig);
    }
}

static void
test_features_that_are_not_known_are_named(void **state)
{
    struct damage bit = {HEADER, 79, 1, 0x40, NULL}, length = {HEADER, 100, 4, 104, NULL};
    uint8_t table[8 + 48] = {0x68, 0x03, 0xf8, 0x57, 0, 0, 0, 48, 0, 6, 't', 'i', 'm', 'e'};
    struct rig rig;
    int fd;

    make_image();
    do_damage(&bit);
    do_damage(&length);
    fd = open(image_path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, table, sizeof(table), 104), sizeof(table));
    (void)close(fd);
    assert_true(rig_open(&rig, image_path, "", NULL) < 0);
    assert_string_equal(th_error_text(rig.th),
                        "cannot use the image: it needs a feature that is not known: bit 6 (time)");
    rig_close(&rig);
}

static uint32_t
is_readonly(struct rig *rig)
{
    struct bp_block_info info = {.size = sizeof(info)};

    assert_int_equal(rig->ops->info(th_self(rig->qcow2), &info), 0);
    return (info.flags & BP_BLOCK_READONLY) != 0;
}

static void
test_tables_that_cannot_be_make_the_image_read_only(void **state)
{
    static const char l2[] = "an L2 table lies between clusters, where free space is counted, or "
                             "outside";
    static const char counts[] = "its reference counts are";
    static const char share[] = "two of its tables share a cluster";
    static const struct damage damages[] = {
        {L1, 0, 8, COPIED | FAR_AWAY, l2},
        {L1, 0, 8, COPIED | (16384 + 512), l2},
        {L1, 8, 8, COPIED | (UINT64_C(0xff) << 48), l2},
        {L1, 0, 8, COPIED | 12288, share},    /* the L1 table */
        {L1, 0, 8, COPIED | 4096, share},     /* the refcount table */
        {L1, 8, 8, COPIED | 8192, share},     /* the refcount block */
        {L1, 8, 8, COPIED | 16384, share},    /* the other L2 table */
        {HEADER, 40, 8, 4096, share},         /* L1 table = refcount table */
        {REFTABLE, 0, 8, FAR_AWAY, counts},   /* beyond the file */
        {REFTABLE, 0, 8, 8192 + 512, counts}, /* between clusters */
        {REFTABLE, 0, 8, 0, counts},          /* nothing is counted */
        {REFTABLE, 0, 8, 12288, l2},          /* the L1 table, as counts */
        {REFTABLE, 8, 8, 8192, counts},       /* one block for two places */
        {REFTABLE, 16, 8, FAR_AWAY, counts},
        {REFTABLE, 4088, 8, 511, counts},
        {HEADER, 79, 1, INCOMPATIBLE_CORRUPT, "the image is marked as corrupt"},
        {HEADER, 79, 1, INCOMPATIBLE_DIRTY, "the image was not closed"},
    };
    uint32_t i;

    for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        uint8_t *before, data[4096] = {0};
        uint64_t length;
        struct rig rig;

        make_image();
        do_damage(&damages[i]);
        before = load(&length);
        if (rig_open(&rig, image_path, "", NULL) != 0) {
            fail_msg("%u: %s", i, th_error_text(rig.th));
        }
        if (!is_readonly(&rig) || !th_logged(rig.th, damages[i].message)) {
            fail_msg("%u: no \"%s\"", i, damages[i].message);
        }
        assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 0, data, 4096), -EROFS);
        assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
        (void)!th_queue_io(rig.queue, BP_BLOCK_READ, 0, 0, data, 4096);
        assert_int_equal(rig.ops->resize(th_self(rig.qcow2), 8 << 20), -EROFS);
        rig_close(&rig);
        assert_untouched(before, length);
        free(before);
    }
}

static void
test_tables_behind_the_counted_clusters_make_the_image_read_only(void **state)
{
    uint8_t zeroes[4096] = {0};
    struct rig rig;
    int fd;

    make_image();
    fd = open(image_path, O_RDWR | O_CLOEXEC);
    /* Only the header, the refcount table and its block are counted any more. */
    assert_int_equal(pwrite(fd, zeroes, 4096 - 6, (off_t)(find_place(fd, BLOCK) + 6)), 4096 - 6);
    (void)close(fd);
    assert_int_equal(rig_open(&rig, image_path, "", NULL), 0);
    assert_true(is_readonly(&rig));
    assert_true(th_logged(rig.th, "its L1 table lies where free space is counted"));
    rig_close(&rig);
}

/* Reads, writes and discards the first cluster until something fails. */
static int32_t
use_first_cluster(struct rig *rig)
{
    uint8_t data[4096] = {0};
    int32_t status = th_queue_io(rig->queue, BP_BLOCK_READ, 0, 0, data, 4096);

    if (status == 0) {
        status = th_queue_io(rig->queue, BP_BLOCK_WRITE, 0, 512, data, 512);
    }
    if (status == 0) {
        status = th_queue_io(rig->queue, BP_BLOCK_DISCARD, 0, 0, NULL, 4096);
    }
    return status == 0 ? th_queue_io(rig->queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0) : status;
}

static void
test_entries_that_cannot_be_fail_the_request_and_stop_writing(void **state)
{
    static const struct damage damages[] = {
        {L2, 0, 8, COPIED | FAR_AWAY,
         "a table refers outside of the file (0x7f000000): refusing writes from now on"},
        {L2, 0, 8, COPIED | (20480 + 512), "a table refers outside of the file (0x5200)"},
        {L2, 0, 8, COPIED | OFFSET_MASK, "a table refers outside of the file (0xfffffffffffe00)"},
        {L2, 0, 8, COPIED | 4096, "a table refers to the file's own structures (0x1000)"},
        {L2, 0, 8, COPIED | 12288, "a table refers to the file's own structures (0x3000)"},
        {L2, 0, 8, COPIED | 8192, "data lies in a table (0x2000)"},
        {L2, 0, 8, COPIED | 16384, "data lies in a table (0x4000)"},
        {L2, 0, 8, COMPRESSED | FAR_AWAY, "compressed data outside of the file (0x7f000000)"},
        {L2, 0, 8, COMPRESSED | 512, "compressed data outside of the file (0x200)"},
        {L2, 0, 8, UINT64_MAX, "compressed data outside of the file"},
    };
    uint32_t i;

    for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        uint8_t data[512] = {0};
        struct rig rig;

        make_image();
        do_damage(&damages[i]);
        assert_int_equal(rig_open(&rig, image_path, "", NULL), 0);
        assert_false(is_readonly(&rig));
        assert_int_equal(use_first_cluster(&rig), -EIO);
        if (!th_logged(rig.th, damages[i].message)) {
            fail_msg("%u: no \"%s\"", i, damages[i].message);
        }
        assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 65536, data, 512), -EIO);
        assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0), -EIO);
        assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 65536, data, 512), 0);
        assert_int_equal(data[0], 5);
        rig_close(&rig);
    }
}

static void
test_a_cluster_in_use_that_is_not_counted_is_noticed_when_it_is_freed(void **state)
{
    /* Counts of 16 bits: of cluster 5, the first of the data. */
    static const struct damage damage = {BLOCK, 10, 2, 0, NULL}, shared = {L2, 0, 8, 20480, NULL};
    struct rig rig;

    make_image();
    do_damage(&damage);
    do_damage(&shared); /* without the flag that says that its count is 1 */
    assert_int_equal(rig_open(&rig, image_path, "", NULL), 0);
    assert_int_equal(use_first_cluster(&rig), -EIO);
    assert_true(th_logged(rig.th, "a cluster in use is not counted"));
    rig_close(&rig);
}

static void
test_compressed_data_that_is_damaged_fails_that_request_alone(void **state)
{
    struct rig rig;
    uint8_t data[512], garbage[64];
    uint64_t entry;
    int fd;

    make_image();
    run_command("qemu-img convert -c -O qcow2 -o cluster_size=4k \"$IMAGE\" \"$IMAGE.c\" && "
                "mv \"$IMAGE.c\" \"$IMAGE\"");
    fd = open(image_path, O_RDWR | O_CLOEXEC);
    memset(garbage, 0xfe, sizeof(garbage));
    entry = read_number(fd, find_place(fd, L2), 8);
    assert_true((entry & COMPRESSED) != 0);
    assert_int_equal(pwrite(fd, garbage, 20, (off_t)(entry & 0x3ffffffffffffff)), 20);
    (void)close(fd);
    assert_int_equal(rig_open(&rig, image_path, "", NULL), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 0, data, 512), -EIO);
    assert_true(th_logged(rig.th, "the compressed data at "));
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 65536, data, 512), 0);
    assert_int_equal(data[0], 5);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 65536, data, 512), 0);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
    rig_close(&rig);
}

/* Any byte of the tables may be any other: nothing but an error may come of it. */
static void
test_random_damage_never_does_more_than_fail(void **state)
{
    uint32_t i, k;

    for (i = 0; i < 400; i++) {
        struct rig rig;

        srandom(i);
        if (i % 40 == 0) {
            make_image();
        }
        for (k = 0; k < 1 + i % 5; k++) {
            struct damage damage = {(enum place)(random() % 5), 0, 1, (uint64_t)random(), NULL};
            int fd = open(image_path, O_RDWR | O_CLOEXEC);

            damage.at = (uint32_t)random() % (damage.place == HEADER ? 112 : 64);
            if (find_place(fd, damage.place) < UINT64_C(1) << 30) {
                write_number(fd, find_place(fd, damage.place) + damage.at, 1, damage.value & 0xff);
            }
            (void)close(fd);
        }
        if (rig_open(&rig, image_path, "", NULL) == 0) {
            (void)!use_first_cluster(&rig);
        }
        rig_close(&rig);
        assert_int_equal(truncate(image_path, 16 << 20), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_header_that_cannot_be_is_refused_with_the_reason),
        cmocka_unit_test(test_a_file_that_is_cut_off_is_refused),
        cmocka_unit_test(test_features_that_are_not_known_are_named),
        cmocka_unit_test(test_tables_that_cannot_be_make_the_image_read_only),
        cmocka_unit_test(test_tables_behind_the_counted_clusters_make_the_image_read_only),
        cmocka_unit_test(test_entries_that_cannot_be_fail_the_request_and_stop_writing),
        cmocka_unit_test(test_a_cluster_in_use_that_is_not_counted_is_noticed_when_it_is_freed),
        cmocka_unit_test(test_compressed_data_that_is_damaged_fails_that_request_alone),
        cmocka_unit_test(test_random_damage_never_does_more_than_fail),
    };
    const char *where = getenv("BLOCK_QCOW2_TEST_DIR");
    int result;

    if (system("qemu-img --version >/dev/null 2>&1 && qemu-io --version >/dev/null 2>&1") != 0) {
        (void)printf("1..0 # SKIP qemu-img and qemu-io are missing (package qemu-utils)\n");
        return 0;
    }
    (void)snprintf(image_path, sizeof(image_path), "%s/damage-%d", where != NULL ? where : "/tmp",
                   (int)getpid());
    result = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(image_path);
    return result;
}
