/* SPDX-License-Identifier: Apache-2.0 */
/* block-file on block devices: loop devices with blocks of 512 and of 4096 bytes, where root may
 * make them. */
#include "test_rig.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1u << 20)

struct device {
    char file[512];
    char path[64];
    int fd;
};

/* Returns 0 if this machine lets us make one. */
static int
device_make(struct device *device, uint32_t block, uint64_t length)
{
    struct loop_config config = {.block_size = block};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file, number, result = -1;

    rig_path(device->file, sizeof(device->file), "device");
    rig_make_file(device->file, length);
    device->fd = -1;
    number = control >= 0 ? ioctl(control, LOOP_CTL_GET_FREE) : -1;
    (void)snprintf(device->path, sizeof(device->path), "/dev/loop%d", number);
    if (number >= 0) {
        device->fd = open(device->path, O_RDWR | O_CLOEXEC);
    }
    file = open(device->file, O_RDWR | O_CLOEXEC);
    if (device->fd >= 0 && file >= 0) {
        config.fd = (uint32_t)file;
        config.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR;
        result = ioctl(device->fd, LOOP_CONFIGURE, &config);
    }
    if (control >= 0) {
        (void)close(control);
    }
    if (file >= 0) {
        (void)close(file);
    }
    if (result != 0) {
        (void)unlink(device->file);
        print_message(
            "# no loop device can be set up here (they take root and /dev/loop-control)\n");
    }
    return result;
}

static void
device_free(struct device *device)
{
    (void)ioctl(device->fd, LOOP_CLR_FD, 0);
    (void)close(device->fd);
    (void)unlink(device->file);
}

static void
plug_device(struct rig *rig, const struct device *device, const char *options)
{
    rig_plug(rig, device->path, options);
    if (rig->instance == NULL) {
        fail_msg("%s", th_error_text(rig->th));
    }
    rig->queue = th_queue_open(rig->instance, 16);
    assert_non_null(rig->queue);
}

static struct bp_block_info
ask(struct rig *rig)
{
    const struct bp_block_ops *ops = th_table(rig->instance, BP_BLOCK_ID);
    struct bp_block_info info = {.size = sizeof(info)};

    assert_int_equal(ops->info(th_self(rig->instance), &info), 0);
    return info;
}

static void
check_contents(struct rig *rig, uint32_t block)
{
    static uint8_t shadow[MIB], data[MIB];
    uint32_t i;

    for (i = 0; i < MIB; i++) {
        shadow[i] = rig_pattern(i);
    }
    /* Parts of the device's blocks, at odd addresses, next to each other. */
    for (i = 0; i < 40; i++) {
        uint64_t offset = 512 * (uint64_t)(i * 7 % 64);

        memset(shadow + offset, 0x80 + (int)i, 512 * (1 + i % 5));
        assert_int_equal(rig_io(rig, BP_BLOCK_WRITE, i % 4 == 0 ? BP_BLOCK_FUA : 0, offset,
                                shadow + offset, 512 * (1 + i % 5), i % 3),
                         0);
    }
    memset(shadow + 65536 + 512, 0, 100 * 512);
    assert_int_equal(rig_op(rig, BP_BLOCK_WRITE_ZEROES, 0, 65536 + 512, 100 * 512), 0);
    memset(shadow + 262144, 0, 65536);
    assert_int_equal(rig_op(rig, BP_BLOCK_WRITE_ZEROES, BP_BLOCK_UNMAP, 262144, 65536), 0);
    assert_int_equal(rig_op(rig, BP_BLOCK_FLUSH, 0, 0, 0), 0);
    /* A discard inside one block may do nothing; of whole ones a loop device makes zeroes. */
    assert_int_equal(rig_op(rig, BP_BLOCK_DISCARD, 0, 524288 + 512, block == 4096 ? 512 : 1024), 0);
    assert_int_equal(rig_read(rig, 0, data, 524288), 0);
    assert_memory_equal(data, shadow, 524288);
    assert_int_equal(rig_read(rig, 655360, data, MIB - 655360), 0);
    assert_memory_equal(data, shadow + 655360, MIB - 655360);
}

static void
check_device(uint32_t block)
{
    static const char *const modes[] = {"cache = \"none\";", "cache = \"writeback\";",
                                        "cache = \"directsync\"; aio = \"threads\";"};
    struct device device;
    struct rig rig;
    uint32_t mode;

    for (mode = 0; mode < BP_ARRAY_LENGTH(modes); mode++) {
        struct bp_block_info info;

        if (device_make(&device, block, MIB) != 0) {
            skip();
        }
        plug_device(&rig, &device, modes[mode]);
        info = ask(&rig);
        assert_int_equal(info.capacity, MIB);
        assert_int_equal(info.block_size, 512);
        assert_true(info.physical_block_size >= block);
        assert_int_equal(info.flags & BP_BLOCK_CAN_RESIZE, 0);
        if (rig_image(&rig)->direct) {
            assert_int_equal(rig_image(&rig)->offset_align, block);
        }
        check_contents(&rig, block);
        rig_close(&rig, 0);
        device_free(&device);
    }
}

static void
test_a_device_with_sectors_of_512_bytes(void **state)
{
    check_device(512);
}

static void
test_a_device_with_blocks_of_4096_bytes_takes_single_sectors(void **state)
{
    check_device(4096);
}

static void
test_a_device_that_grew_is_taken_over_by_resize(void **state)
{
    const struct bp_block_ops *ops;
    struct device device;
    uint8_t data[512];
    struct rig rig;

    if (device_make(&device, 512, MIB) != 0) {
        skip();
    }
    plug_device(&rig, &device, "");
    ops = th_table(rig.instance, BP_BLOCK_ID);
    assert_int_equal(ops->resize(th_self(rig.instance), 2 * MIB), -EINVAL);
    assert_int_equal(truncate(device.file, 2 * MIB), 0);
    assert_int_equal(ioctl(device.fd, LOOP_SET_CAPACITY, 0), 0);
    assert_int_equal(ask(&rig).capacity, MIB);
    assert_int_equal(ops->resize(th_self(rig.instance), 2 * MIB), 0);
    assert_int_equal(ask(&rig).capacity, 2 * MIB);
    assert_int_equal(rig_read(&rig, 2 * MIB - 512, data, 512), 0);
    assert_int_equal(th_queue_events(rig.queue, BP_BLOCK_EVENT_RESIZED), 1);
    rig_close(&rig, 0);
    device_free(&device);
}

static void
test_devices_are_locked_and_empty_or_readonly_ones_explained(void **state)
{
    struct device device;
    struct rig rig, second;
    char empty[64];
    int control, number;

    if (device_make(&device, 512, MIB) != 0) {
        skip();
    }
    plug_device(&rig, &device, "");
    rig_plug(&second, device.path, "");
    assert_null(second.instance);
    assert_int_equal(th_status(second.th), -EBUSY);
    rig_close(&second, 0);
    rig_close(&rig, 0);
    control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    number = ioctl(control, LOOP_CTL_GET_FREE);
    (void)close(control);
    (void)snprintf(empty, sizeof(empty), "/dev/loop%d", number);
    rig_plug(&second, empty, "");
    assert_null(second.instance);
    assert_non_null(strstr(th_error_text(second.th), "there is no medium in"));
    rig_close(&second, 0);
    device_free(&device);
}

static void
test_the_wear_of_an_emmc_is_understood(void **state)
{
    struct bp_block_lifetime lifetime = {0};

    assert_int_equal(image_parse_lifetime("0x02 0x0b\n", "0x01\n", &lifetime), 1);
    assert_int_equal(lifetime.used_a, 2);
    assert_int_equal(lifetime.used_b, 11);
    assert_int_equal(lifetime.pre_eol, 1);
    assert_int_equal(image_parse_lifetime("0x00 0x00\n", "0x00\n", &lifetime), 0); /* an old card */
    assert_int_equal(image_parse_lifetime("0x0c 0x01\n", "0x01\n", &lifetime), 0);
    assert_int_equal(image_parse_lifetime("0x01 0x01\n", "0x04\n", &lifetime), 0);
    assert_int_equal(image_parse_lifetime("0x01\n", "0x01\n", &lifetime), 0);
    assert_int_equal(image_parse_lifetime("", "", &lifetime), 0);
    assert_int_equal(lifetime.used_a, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_device_with_sectors_of_512_bytes),
        cmocka_unit_test(test_a_device_with_blocks_of_4096_bytes_takes_single_sectors),
        cmocka_unit_test(test_a_device_that_grew_is_taken_over_by_resize),
        cmocka_unit_test(test_devices_are_locked_and_empty_or_readonly_ones_explained),
        cmocka_unit_test(test_the_wear_of_an_emmc_is_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
