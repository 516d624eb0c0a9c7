/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory registered with io_uring: used where a request lies in it, done without where the
 * kernel refuses. */
#include "ring.h"
#include "test_rig.h"

#include <dirent.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB       (1u << 20)
#define GUEST_GPA 0x100000u
#define SIZE      (64u << 10)

/* Registered buffers of all rings of this process, as the kernel tells. */
static uint32_t
registered_buffers(void)
{
    DIR *directory = opendir("/proc/self/fdinfo");
    const struct dirent *entry;
    uint32_t sum = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL) {
        char path[300], line[256];
        uint32_t count;
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", entry->d_name);
        file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            // NOLINTNEXTLINE(cert-err34-c): the kernel's own number
            sum += sscanf(line, "UserBufs: %u", &count) == 1 ? count : 0;
        }
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    (void)closedir(directory);
    return sum;
}

static void
check_transfers(struct rig *rig)
{
    static uint8_t data[SIZE], back[SIZE];

    for (uint32_t i = 0; i < SIZE; i++) {
        data[i] = (uint8_t)(i * 7 + 3);
    }
    assert_int_equal(rig_write(rig, MIB / 2, data, SIZE), 0);
    assert_int_equal(rig_read(rig, MIB / 2, back, SIZE), 0);
    assert_memory_equal(back, data, SIZE);
    rig_read_file(rig->path, MIB / 2, back, SIZE);
    assert_memory_equal(back, data, SIZE);
}

static void
test_pinned_guest_memory_is_read_and_written(void **state)
{
    const char *const options[] = {"pin_memory = true;", "pin_memory = true; cache = \"none\";"};

    for (uint32_t way = 0; way < BP_ARRAY_LENGTH(options); way++) {
        struct rig rig;

        rig_open(&rig, MIB, options[way]);
        uint8_t *arena = rig.arena;
        /* An ordinary user's limit may be below the memory of the fake machine. */
        if (rig_file(&rig)->engine == ENGINE_RING && !th_logged(rig.th, "RLIMIT_MEMLOCK")) {
            assert_int_equal(rig_file(&rig)->pins, 1);
            assert_true(registered_buffers() > 0);
        }
        rig.arena = th_ram(rig.th, GUEST_GPA, SIZE);
        assert_non_null(rig.arena);
        check_transfers(&rig);
        rig.arena = arena; /* not registered: found the usual way */
        check_transfers(&rig);
        rig_close(&rig, 1);
    }
}

static void
test_memory_is_pinned_anew_where_the_machine_changes_it(void **state)
{
    struct rig rig;

    rig_open(&rig, MIB, "pin_memory = true;");
    const struct bp_life_ops *life = th_table(rig.instance, BP_LIFE_ID);
    uint32_t before = registered_buffers();
    life->ram_changed(th_self(rig.instance));
    life->ram_changed(th_self(rig.instance));
    assert_int_equal(registered_buffers(), before);
    rig.arena = th_ram(rig.th, GUEST_GPA, SIZE);
    check_transfers(&rig);
    rig_close(&rig, 1);
}

/* A view of two ranges, the second one read-only. */
static void
test_only_memory_that_may_be_written_is_pinned(void **state)
{
    static uint8_t memory[2][4096] __attribute__((aligned(4096)));
    struct bp_ram_range ranges[2] = {
        {.gpa = 0, .length = sizeof(memory[0]), .hva = memory[0]},
        {.gpa = MIB, .length = sizeof(memory[1]), .hva = memory[1], .flags = BP_RAM_READONLY}};
    struct bp_ram_view view = {.size = sizeof(view), .range_count = 2, .ranges = ranges};
    struct ring *ring;
    struct rig rig;

    rig_open(&rig, MIB, "");
    if (ring_open(&ring, 64, rig_image(&rig)) == 0) {
        assert_int_equal(ring_pin(ring, &view), 0);
        assert_int_equal(registered_buffers(), 1);
        ranges[0].hva = (uint8_t *)4096; /* nothing is there */
        assert_int_equal(ring_pin(ring, &view), -EFAULT);
        assert_int_equal(registered_buffers(), 0);
        ring_close(ring);
    }
    rig_close(&rig, 1);
}

/* Gives up the right to lock more memory than the limit. */
static void
limit_locked_memory(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    const struct rlimit little = {256 << 10, 256 << 10}; /* rings count as well */

    assert_int_equal(syscall(SYS_capget, &header, data), 0);
    data[0].effective &= ~(1u << CAP_IPC_LOCK);
    assert_int_equal(syscall(SYS_capset, &header, data), 0);
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &little), 0);
}

/* The last test: the process stays limited. */
static void
test_a_limit_on_locked_memory_costs_only_the_pinning(void **state)
{
    struct rig rig;

    limit_locked_memory();
    rig_open(&rig, MIB, "pin_memory = true;");
    if (rig_file(&rig)->engine == ENGINE_RING) {
        assert_int_equal(rig_file(&rig)->pins, 0);
        assert_true(th_logged(rig.th, "RLIMIT_MEMLOCK"));
    }
    rig.arena = th_ram(rig.th, GUEST_GPA, SIZE);
    check_transfers(&rig);
    rig_close(&rig, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pinned_guest_memory_is_read_and_written),
        cmocka_unit_test(test_memory_is_pinned_anew_where_the_machine_changes_it),
        cmocka_unit_test(test_only_memory_that_may_be_written_is_pinned),
        cmocka_unit_test(test_a_limit_on_locked_memory_costs_only_the_pinning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
