/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of scsi-host on what is no SCSI device, and the block path on a file: as far as
 * a host without SCSI devices goes. */
#include "host.h"

#include <backplane/testhost.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void
test_what_is_no_scsi_device_is_refused(void **state)
{
    static const char *const paths[] = {"/dev/null", "/etc/passwd"};
    char options[128];

    for (uint32_t i = 0; i < 2; i++) {
        struct th_host *th = th_new();

        (void)snprintf(options, sizeof(options), "path = \"%s\"; readonly = true;", paths[i]);
        assert_null(th_plug(th, &backplane_plugin_v1, "lun0", options));
        assert_non_null(strstr(th_error_text(th), "is no SCSI device"));
        th_free(th);
    }
}

static void
test_requests_to_no_scsi_device_fail(void **state)
{
    struct host_device device = {.fd = open("/dev/null", O_RDWR | O_CLOEXEC)};
    uint8_t sense[HOST_SENSE];
    struct host_io io = {.cdb = (const uint8_t[6]){0}, .cdb_length = 6, .sense = sense};

    assert_int_equal(host_look(&device), -ENOTTY);
    assert_int_equal(host_sg_io(&device, &io), -ENOTTY);
    assert_int_equal(host_reset(&device), -ENOTTY);
    (void)close(device.fd);
    assert_int_equal(host_look(&device), -EBADF);
}

static int32_t
move(const struct host_device *device, uint32_t out, uint64_t offset, const struct bp_iovec *iov,
     uint32_t count)
{
    const struct host_range range = {offset, 1536, out, out};

    return host_transfer(device, &range, iov, count);
}

static void
test_blocks_are_moved_whole_or_not(void **state)
{
    char path[] = "/tmp/backplane-host-XXXXXX";
    struct host_device device = {.fd = mkstemp(path), .is_block = 1, .block_size = 512};
    uint8_t a[512], b[1024], back[1536];
    const struct bp_iovec out[] = {{a, sizeof(a)}, {b, sizeof(b)}};
    const struct bp_iovec in = {back, sizeof(back)};

    assert_true(device.fd >= 0);
    memset(a, 1, sizeof(a));
    memset(b, 2, sizeof(b));
    assert_int_equal(move(&device, 1, 512, out, 2), 0);
    assert_int_equal(move(&device, 0, 512, &in, 1), 0);
    assert_memory_equal(back, a, 512);
    assert_memory_equal(back + 512, b, 1024);
    assert_int_equal(move(&device, 0, 1024, &in, 1), -EIO); /* past the end */
    assert_int_equal(move(&device, 0, 0, &in, 2000), -EINVAL);
    (void)close(device.fd);
    (void)unlink(path);
    assert_int_equal(move(&device, 0, 0, &in, 1), -EBADF);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_scsi_device_is_refused),
        cmocka_unit_test(test_requests_to_no_scsi_device_fail),
        cmocka_unit_test(test_blocks_are_moved_whole_or_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
