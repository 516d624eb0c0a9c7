/* SPDX-License-Identifier: Apache-2.0 */
/* core/boot: Linux' bzImage; the initrd and the command line beside it. */
#include "boot_fixture.h"

enum {
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    BOOT_FLAG = 0x1fe,
    HEADER_MAGIC = 0x202,
    VERSION = 0x206,
    LOADFLAGS = 0x211,
    INITRD_ADDR_MAX = 0x22c,
    KERNEL_ALIGNMENT = 0x230,
    RELOCATABLE = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    SETUP_DATA = 0x250,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
};
#define BODY_OFFSET 0x1000u /* seven setup sectors */

static void
make_bzimage(Fixture *fixture)
{
    memset(fixture->file, 0, sizeof(fixture->file));
    fixture->length = sizeof(fixture->file);
    fixture->file[SETUP_SECTS] = 7;
    put32(fixture, SYSSIZE, (FILE_BYTES - BODY_OFFSET) / 16);
    put16(fixture, BOOT_FLAG, 0xaa55);
    fixture->file[0x200] = 0xeb;
    fixture->file[0x201] = 0x6a;
    memcpy(fixture->file + HEADER_MAGIC, "HdrS", 4);
    put16(fixture, VERSION, 0x020f);
    fixture->file[LOADFLAGS] = 1;
    put32(fixture, INITRD_ADDR_MAX, 0x7fffffff);
    put32(fixture, KERNEL_ALIGNMENT, 0x200000);
    fixture->file[RELOCATABLE] = 1;
    put16(fixture, XLOADFLAGS, 1);
    put32(fixture, CMDLINE_SIZE, 255);
    put64(fixture, SETUP_DATA, 0xdeadbeef);
    put64(fixture, PREF_ADDRESS, 2 * MIB);
    put32(fixture, INIT_SIZE, 4 * MIB);
    memset(fixture->file + BODY_OFFSET, BODY_BYTE, FILE_BYTES - BODY_OFFSET);
}

static void
test_bzimages_that_lie_are_refused_or_harmless(void **state)
{
    static const Lie lies[] = {
        {"truth", 0, 1, 0, NULL},
        {"empty", 0, 0, 0, "it is no kernel"},
        {"no header", 0, 0, 0x200, "it is no kernel"},
        {"cut in the header", 0, 0, 0x206, "cut short"},
        {"cut in the setup", 0, 0, 0xfff, "cut short"},
        {"cut at the body", 0, 0, BODY_OFFSET + 0x200, "cut short"},
        {"cut in the body", 0, 0, FILE_BYTES - 16, "cut short"},
        {"no boot flag", BOOT_FLAG, 2, 0, "it is no kernel"},
        {"no magic", HEADER_MAGIC, 4, 0, "it is no kernel"},
        {"old protocol", VERSION, 2, 0x0205, "boot protocol 2.05 is too old"},
        {"zImage", LOADFLAGS, 1, 0, "zImage"},
        {"setup beyond the file", SETUP_SECTS, 1, 255, "cut short"},
        {"syssize 0", SYSSIZE, 4, 0, "cut short"},
        {"syssize huge", SYSSIZE, 4, UINT32_MAX, "cut short"},
        {"alignment 0", KERNEL_ALIGNMENT, 4, 0, "no alignment"},
        {"alignment 3", KERNEL_ALIGNMENT, 4, 0x3000, "no alignment"},
        {"alignment 2 GiB", KERNEL_ALIGNMENT, 4, 0x80000000, "no alignment"},
        {"alignment 1 GiB", KERNEL_ALIGNMENT, 4, 0x40000000, "needs memory up to"},
        {"preferred above 4 GiB", PREF_ADDRESS, 8, 4 * GIB, "above 4 GiB"},
        {"preferred at the top", PREF_ADDRESS, 8, UINT64_MAX, "above 4 GiB"},
        {"preferred beyond RAM", PREF_ADDRESS, 8, 64 * MIB, "needs memory up to 69 MiB"},
        {"preferred 0", PREF_ADDRESS, 8, 0, NULL},
        {"init_size huge", INIT_SIZE, 4, UINT32_MAX, "needs memory up to"},
        {"init_size 0", INIT_SIZE, 4, 0, NULL},
        {"no command line", CMDLINE_SIZE, 4, 0, "command line has 5 bytes"},
        {"header without a version", 0x201, 1, 0, "too old"},
        {"header of 255 bytes", 0x201, 1, 255, NULL},
        {"not relocatable", RELOCATABLE, 1, 0, NULL},
    };

    check_lies(*state, make_bzimage, lies, G_N_ELEMENTS(lies));
}

static void
test_a_bzimage_is_placed_for_the_64_bit_entry(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    VmEntry entry;
    const uint8_t *ram = guest_memory_translate(fixture->memory, 0, 32 * MIB);

    make_bzimage(fixture);
    write_file(fixture->initrd, "initrd!", 7);
    g_autoptr(BootKernel) kernel = open_kernel(fixture, fixture->initrd, "quiet", &error);
    assert_non_null(kernel);
    assert_true(boot_kernel_place(kernel, fixture->memory, &entry, &error));
    assert_true(entry.long_mode);
    assert_int_equal(entry.rip, 2 * MIB + 0x200);
    assert_int_equal(ram[2 * MIB], BODY_BYTE);
    assert_int_equal(ram[2 * MIB + FILE_BYTES - BODY_OFFSET - 1], BODY_BYTE);
    assert_int_equal(ram[2 * MIB + FILE_BYTES - BODY_OFFSET], 0);
    const uint8_t *zero_page = ram + entry.rsi;
    uint32_t cmdline, ramdisk, ramdisk_size;
    uint64_t setup_data, rsdp;
    memcpy(&cmdline, zero_page + 0x228, 4);
    memcpy(&ramdisk, zero_page + 0x218, 4);
    memcpy(&ramdisk_size, zero_page + 0x21c, 4);
    memcpy(&setup_data, zero_page + SETUP_DATA, 8);
    memcpy(&rsdp, zero_page + 0x70, 8);
    assert_string_equal((const char *)ram + cmdline, "quiet");
    assert_int_equal(ramdisk, 32 * MIB - 0x1000);
    assert_int_equal(ramdisk_size, 7);
    assert_memory_equal(ram + ramdisk, "initrd!", 7);
    assert_int_equal(setup_data, 0);
    assert_int_equal(rsdp, 0xf5a40);
    assert_int_equal(zero_page[0x210], 0xff);
    assert_int_equal(zero_page[0x1ef], 0); /* sentinel */
    assert_int_equal(zero_page[0x1e8], 4); /* E820 entries */
    /* Identity map of the kernel: PML4, PDPT, directory. */
    uint64_t pml4, pdpt, page;
    memcpy(&pml4, ram + entry.cr3, 8);
    memcpy(&pdpt, ram + (pml4 & ~UINT64_C(0xfff)), 8);
    memcpy(&page, ram + (pdpt & ~UINT64_C(0xfff)) + 8, 8);
    assert_int_equal(page, 2 * MIB | 0x83);
}

static void
test_a_kernel_without_64_bit_entry_gets_the_32_bit_one(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    VmEntry entry;

    make_bzimage(fixture);
    put16(fixture, XLOADFLAGS, 0);
    g_autoptr(BootKernel) kernel = open_kernel(fixture, NULL, NULL, &error);
    assert_non_null(kernel);
    assert_true(boot_kernel_place(kernel, fixture->memory, &entry, &error));
    assert_false(entry.long_mode);
    assert_int_equal(entry.rip, 2 * MIB);
    assert_int_equal(entry.cr3, 0);
}

static void
test_the_initrd_keeps_to_the_kernels_limits(void **state)
{
    Fixture *fixture = *state;
    g_autofree uint8_t *data = g_malloc0(28 * MIB);
    static const struct {
        uint64_t size, highest, pref, init_size, expected; /* 0: refused */
    } rows[] = {
        {MIB, 0x7fffffff, 2 * MIB, 4 * MIB, 31 * MIB},
        {MIB, 16 * MIB - 1, 2 * MIB, 4 * MIB, 15 * MIB},
        {MIB + 1, 0x7fffffff, 2 * MIB, 4 * MIB, 31 * MIB - 0x1000},
        {26 * MIB, 0x7fffffff, 2 * MIB, 4 * MIB, 6 * MIB},
        {26 * MIB + 1, 0x7fffffff, 2 * MIB, 4 * MIB, 0},
        {8 * MIB, 0x7fffffff, 16 * MIB, 14 * MIB, 8 * MIB}, /* only below the kernel */
        {MIB, 0, 2 * MIB, 4 * MIB, 0},
        {0, 0x7fffffff, 2 * MIB, 4 * MIB, 0},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        VmEntry entry;

        make_bzimage(fixture);
        put32(fixture, INITRD_ADDR_MAX, (uint32_t)rows[i].highest);
        put64(fixture, PREF_ADDRESS, rows[i].pref);
        put32(fixture, INIT_SIZE, (uint32_t)rows[i].init_size);
        write_file(fixture->initrd, data, rows[i].size);
        g_autoptr(BootKernel) kernel = open_kernel(fixture, fixture->initrd, NULL, &error);
        if (rows[i].expected == 0) {
            assert_null(kernel);
            assert_non_null(strstr(error->message, "initrd"));
            continue;
        }
        assert_non_null(kernel);
        assert_true(boot_kernel_place(kernel, fixture->memory, &entry, &error));
        uint32_t ramdisk;
        memcpy(&ramdisk, guest_memory_translate(fixture->memory, entry.rsi + 0x218, 4), 4);
        assert_int_equal(ramdisk, rows[i].expected);
    }
}

static void
test_a_command_line_must_fit(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    char cmdline[257];

    make_bzimage(fixture);
    memset(cmdline, 'x', sizeof(cmdline));
    cmdline[255] = '\0';
    g_autoptr(BootKernel) fits = open_kernel(fixture, NULL, cmdline, &error);
    assert_non_null(fits);
    cmdline[255] = 'x';
    cmdline[256] = '\0';
    g_autoptr(BootKernel) too_long = open_kernel(fixture, NULL, cmdline, &error);
    assert_null(too_long);
    assert_non_null(strstr(error->message, "the kernel command line has 256 bytes"));
    assert_non_null(strstr(error->message, "takes 255"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOOT_TEST(test_bzimages_that_lie_are_refused_or_harmless),
        BOOT_TEST(test_a_bzimage_is_placed_for_the_64_bit_entry),
        BOOT_TEST(test_a_kernel_without_64_bit_entry_gets_the_32_bit_one),
        BOOT_TEST(test_the_initrd_keeps_to_the_kernels_limits),
        BOOT_TEST(test_a_command_line_must_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
