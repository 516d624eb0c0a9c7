/* SPDX-License-Identifier: Apache-2.0 */
/* core/boot: firmware images, and the memory map. */
#include "boot_fixture.h"

#include <glib/gstdio.h>

static void
test_firmware_sizes_are_checked(void **state)
{
    Fixture *fixture = *state;
    g_autofree uint8_t *data = g_malloc0(17 * MIB);
    static const size_t wrong[] = {0, 1, 0xffff, 0x10001, 17 * MIB};

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        write_file(fixture->kernel, data, wrong[i]);
        assert_false(boot_load_firmware(fixture->memory, fixture->kernel, &error));
        assert_non_null(strstr(error->message, "64 KiB to 16 MiB are possible"));
    }
    g_autoptr(GError) error = NULL;
    assert_false(boot_load_firmware(fixture->memory, "/no/such/bios", &error));
    assert_string_equal(error->message,
                        "cannot open firmware '/no/such/bios': No such file or directory");
}

static void
test_firmware_ends_at_4_gib_and_shows_below_1_mib(void **state)
{
    static const size_t sizes[] = {0x10000, 0x20000, 0x40000, 16 * MIB};

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GError) error = NULL;
        const GuestMemoryArgs args = {.size_bytes = 2 * MIB};
        g_autoptr(GuestMemory) memory = guest_memory_new(&args, &error);
        g_autofree uint8_t *data = g_malloc0(sizes[i]);
        g_autofree char *path = g_build_filename(g_get_tmp_dir(), "backplane-bios", NULL);
        uint8_t *hva;

        data[0] = 0x11;
        data[sizes[i] - 16] = 0xea;
        write_file(path, data, sizes[i]);
        assert_true(boot_load_firmware(memory, path, &error));
        (void)g_unlink(path);
        assert_true(guest_memory_lookup(memory, 4 * GIB - sizes[i], 1, false, &hva) > 0);
        assert_int_equal(*hva, 0x11);
        assert_true(guest_memory_lookup(memory, 4 * GIB - 16, 1, false, &hva) > 0);
        assert_int_equal(*hva, 0xea);
        assert_true(guest_memory_lookup(memory, MIB - 16, 1, false, &hva) > 0);
        assert_int_equal(*hva, 0xea);
    }
}

static void
check_e820(uint64_t size, bool holes, const E820Entry *expected, unsigned count)
{
    g_autoptr(GError) error = NULL;
    const GuestMemoryArgs args = {.size_bytes = size};
    g_autoptr(GuestMemory) memory = guest_memory_new(&args, &error);
    E820Entry entries[16];

    assert_non_null(memory);
    assert_int_equal(boot_e820(memory, holes, entries, 16), count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(entries[i].start, expected[i].start);
        assert_int_equal(entries[i].length, expected[i].length);
        assert_int_equal(entries[i].type, expected[i].type);
    }
    assert_int_equal(boot_e820(memory, holes, entries, 1), 1);
}

static void
test_e820_has_the_shape_of_the_memory(void **state)
{
    const E820Entry kvm = {0xfeffc000, 0x4000, 2};
    const E820Entry small[] = {{0, 0x9fc00, 1}, {0x9fc00, 0x60400, 2}, {MIB, 31 * MIB, 1}, kvm};
    const E820Entry large[] = {
        {0, 0x9fc00, 1}, {0x9fc00, 0x60400, 2}, {MIB, 3 * GIB - MIB, 1}, kvm, {4 * GIB, GIB, 1}};
    const E820Entry firmware[] = {{0, 3 * GIB, 1}, kvm, {4 * GIB, GIB, 1}};

    check_e820(32 * MIB, true, small, G_N_ELEMENTS(small));
    check_e820(4 * GIB, true, large, G_N_ELEMENTS(large));
    check_e820(4 * GIB, false, firmware, G_N_ELEMENTS(firmware));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOOT_TEST(test_firmware_sizes_are_checked),
        cmocka_unit_test(test_firmware_ends_at_4_gib_and_shows_below_1_mib),
        cmocka_unit_test(test_e820_has_the_shape_of_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
