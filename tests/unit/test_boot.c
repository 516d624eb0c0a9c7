/* SPDX-License-Identifier: Apache-2.0 */
/* core/boot: what goes where, and what files that lie about themselves get. */
#include "boot/boot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <elf.h>
#include <glib/gstdio.h>
#include <unistd.h>

#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)

#define FILE_BYTES 0x4000u
#define BODY_BYTE  0xb0

typedef struct {
    GuestMemory *memory;
    char *directory, *kernel, *initrd;
    uint8_t file[FILE_BYTES];
    size_t length;
} Fixture;

static void
put16(Fixture *fixture, size_t offset, uint16_t value)
{
    memcpy(fixture->file + offset, &value, sizeof(value));
}

static void
put32(Fixture *fixture, size_t offset, uint32_t value)
{
    memcpy(fixture->file + offset, &value, sizeof(value));
}

static void
put64(Fixture *fixture, size_t offset, uint64_t value)
{
    memcpy(fixture->file + offset, &value, sizeof(value));
}

static int
setup(void **state)
{
    const GuestMemoryArgs args = {.size_bytes = 32 * MIB};
    GError *error = NULL;
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->memory = guest_memory_new(&args, &error);
    assert_null(error);
    fixture->directory = g_dir_make_tmp("backplane-boot-XXXXXX", &error);
    assert_null(error);
    fixture->kernel = g_build_filename(fixture->directory, "kernel", NULL);
    fixture->initrd = g_build_filename(fixture->directory, "initrd", NULL);
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;

    (void)g_unlink(fixture->kernel);
    (void)g_unlink(fixture->initrd);
    (void)g_rmdir(fixture->directory);
    guest_memory_free(fixture->memory);
    g_free(fixture->directory);
    g_free(fixture->kernel);
    g_free(fixture->initrd);
    g_free(fixture);
    return 0;
}

static void
write_file(const char *path, const void *data, size_t length)
{
    g_autoptr(GError) error = NULL;

    assert_true(g_file_set_contents(path, data, (gssize)length, &error));
}

static BootKernel *
open_kernel(Fixture *fixture, const char *initrd, const char *cmdline, GError **error)
{
    const BootKernelArgs args = {
        .kernel = fixture->kernel, .initrd = initrd, .cmdline = cmdline, .rsdp = 0xf5a40};

    write_file(fixture->kernel, fixture->file, fixture->length);
    return boot_kernel_open(&args, fixture->memory, error);
}

/* ---- bzImage ---- */

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

typedef struct {
    const char *name;
    size_t offset;
    unsigned width; /* 0: cut the file at `value` */
    uint64_t value;
    const char *message; /* NULL: accepted */
} Lie;

static void
check_lies(Fixture *fixture, void (*make)(Fixture *), const Lie *lies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        g_autoptr(GError) error = NULL;
        const Lie *lie = &lies[i];

        make(fixture);
        if (lie->width == 0) {
            fixture->length = lie->value;
        } else {
            memcpy(fixture->file + lie->offset, &lie->value, lie->width);
        }
        g_autoptr(BootKernel) kernel = open_kernel(fixture, NULL, "quiet", &error);
        const char *message = error != NULL ? error->message : "accepted";
        if (lie->message == NULL ? kernel == NULL : strstr(message, lie->message) == NULL) {
            fail_msg("%s: %s", lie->name, message);
        }
        /* Whatever it says, placing it stays inside RAM (the sanitizers watch). */
        VmEntry entry;
        if (kernel != NULL) {
            assert_true(boot_kernel_place(kernel, fixture->memory, &entry, &error));
        }
    }
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

/* ---- PVH ---- */

#define NOTE_OFFSET 0x200u
#define LOAD_OFFSET 0x1000u
#define LOAD_BYTES  0x2000u

enum {
    EHDR_PHOFF = offsetof(Elf64_Ehdr, e_phoff),
    EHDR_PHENTSIZE = offsetof(Elf64_Ehdr, e_phentsize),
    EHDR_PHNUM = offsetof(Elf64_Ehdr, e_phnum),
    EHDR_MACHINE = offsetof(Elf64_Ehdr, e_machine),
    LOAD = sizeof(Elf64_Ehdr),
    LOAD_P_OFFSET = LOAD + offsetof(Elf64_Phdr, p_offset),
    LOAD_P_PADDR = LOAD + offsetof(Elf64_Phdr, p_paddr),
    LOAD_P_FILESZ = LOAD + offsetof(Elf64_Phdr, p_filesz),
    LOAD_P_MEMSZ = LOAD + offsetof(Elf64_Phdr, p_memsz),
    NOTE = LOAD + sizeof(Elf64_Phdr),
    NOTE_P_OFFSET = NOTE + offsetof(Elf64_Phdr, p_offset),
    NOTE_P_FILESZ = NOTE + offsetof(Elf64_Phdr, p_filesz),
};

static void
make_pvh(Fixture *fixture)
{
    const Elf64_Ehdr header = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
    };
    const Elf64_Phdr headers[] = {
        {.p_type = PT_LOAD,
         .p_offset = LOAD_OFFSET,
         .p_paddr = MIB,
         .p_filesz = LOAD_BYTES,
         .p_memsz = 3 * LOAD_BYTES},
        {.p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = 20, .p_memsz = 20},
    };
    const Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18};

    memset(fixture->file, 0, sizeof(fixture->file));
    fixture->length = LOAD_OFFSET + LOAD_BYTES;
    memcpy(fixture->file, &header, sizeof(header));
    memcpy(fixture->file + LOAD, headers, sizeof(headers));
    memcpy(fixture->file + NOTE_OFFSET, &note, sizeof(note));
    memcpy(fixture->file + NOTE_OFFSET + 12, "Xen", 4);
    put32(fixture, NOTE_OFFSET + 16, MIB + 0x10);
    memset(fixture->file + LOAD_OFFSET, BODY_BYTE, LOAD_BYTES);
}

static void
test_elf_files_that_lie_are_refused_or_harmless(void **state)
{
    static const Lie lies[] = {
        {"truth", 0, 1, 0x7f, NULL},
        {"cut in the header", 0, 0, 0x30, "cut short"},
        {"cut in the program headers", 0, 0, 0x60, "cut short"},
        {"cut in the notes", 0, 0, NOTE_OFFSET + 4, "cut short"},
        {"cut in the segment", 0, 0, LOAD_OFFSET + 5, "cut short"},
        {"for another machine", EHDR_MACHINE, 2, EM_AARCH64, "not for x86"},
        {"big-endian", EI_DATA, 1, ELFDATA2MSB, "not for x86"},
        {"no program headers", EHDR_PHNUM, 2, 0, "program headers are unusable"},
        {"65535 program headers", EHDR_PHNUM, 2, 0xffff, "program headers are unusable"},
        {"headers of 1 byte", EHDR_PHENTSIZE, 2, 1, "program headers are unusable"},
        {"headers beyond the file", EHDR_PHOFF, 8, UINT64_MAX - 4, "cut short"},
        {"headers at the end", EHDR_PHOFF, 8, LOAD_OFFSET + LOAD_BYTES - 8, "cut short"},
        {"segment beyond the file", LOAD_P_OFFSET, 8, UINT64_MAX, "cut short"},
        {"segment longer than the file", LOAD_P_FILESZ, 8, UINT64_MAX, "cut short"},
        {"more in the file than in memory", LOAD_P_MEMSZ, 8, 16, "larger in the file"},
        {"memory wraps around", LOAD_P_MEMSZ, 8, UINT64_MAX, "outside the machine's memory"},
        {"segment at the top", LOAD_P_PADDR, 8, UINT64_MAX - 8, "outside the machine's memory"},
        {"segment beyond RAM", LOAD_P_PADDR, 8, 32 * MIB - 0x1000, "outside the machine's"},
        {"segment on our tables", LOAD_P_PADDR, 8, 0x7000, "below 1 MiB"},
        {"segment nowhere", LOAD_P_MEMSZ, 8, 0, "lies in no segment"},
        {"entry elsewhere", NOTE_OFFSET + 16, 4, 5 * MIB, "lies in no segment"},
        {"entry behind the end", NOTE_OFFSET + 16, 4, MIB + 3 * LOAD_BYTES, "in no segment"},
        {"another name", NOTE_OFFSET + 12, 4, 0x004e6558, "has no PVH entry"},
        {"another note", NOTE_OFFSET + 8, 4, 17, "has no PVH entry"},
        {"name longer than the notes", NOTE_OFFSET, 4, UINT32_MAX, "has no PVH entry"},
        {"data longer than the notes", NOTE_OFFSET + 4, 4, UINT32_MAX, "has no PVH entry"},
        {"entry of 2 bytes", NOTE_OFFSET + 4, 4, 2, "has no PVH entry"},
        {"notes of 11 bytes", NOTE_P_FILESZ, 8, 11, "has no PVH entry"},
        {"no notes", NOTE_P_FILESZ, 8, 0, "has no PVH entry"},
        {"notes in the segment", NOTE_P_OFFSET, 8, LOAD_OFFSET, "has no PVH entry"},
        {"32-bit class", EI_CLASS, 1, ELFCLASS32, "not for x86"},
    };

    check_lies(*state, make_pvh, lies, G_N_ELEMENTS(lies));
}

static void
test_a_pvh_kernel_is_placed_with_its_start_info(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    VmEntry entry;
    uint8_t *ram = guest_memory_translate(fixture->memory, 0, 32 * MIB);

    make_pvh(fixture);
    write_file(fixture->initrd, "initrd!", 7);
    g_autoptr(BootKernel) kernel = open_kernel(fixture, fixture->initrd, "quiet", &error);
    assert_non_null(kernel);
    for (unsigned boot = 0; boot < 2; boot++) {
        memset(ram + MIB, 0xee, 3 * LOAD_BYTES); /* what an earlier run left */
        assert_true(boot_kernel_place(kernel, fixture->memory, &entry, &error));
        assert_int_equal(ram[MIB], BODY_BYTE);
        assert_int_equal(ram[MIB + LOAD_BYTES - 1], BODY_BYTE);
        for (size_t i = LOAD_BYTES; i < 3 * LOAD_BYTES; i++) {
            assert_int_equal(ram[MIB + i], 0);
        }
    }
    assert_false(entry.long_mode);
    assert_int_equal(entry.rip, MIB + 0x10);
    uint32_t head[4], count;
    uint64_t pointers[4], module[2], map[3];
    memcpy(head, ram + entry.rbx, sizeof(head));
    memcpy(pointers, ram + entry.rbx + 16, sizeof(pointers));
    memcpy(&count, ram + entry.rbx + 48, sizeof(count));
    assert_int_equal(head[0], 0x336ec578);
    assert_int_equal(head[1], 1);
    assert_int_equal(head[3], 1);
    memcpy(module, ram + pointers[0], sizeof(module));
    assert_int_equal(module[1], 7);
    assert_memory_equal(ram + module[0], "initrd!", 7);
    assert_string_equal((const char *)ram + pointers[1], "quiet");
    assert_int_equal(pointers[2], 0xf5a40);
    assert_int_equal(count, 4);
    memcpy(map, ram + pointers[3] + 2 * 24, sizeof(map));
    assert_int_equal(map[0], MIB);
    assert_int_equal(map[1], 31 * MIB);
    assert_int_equal((uint32_t)map[2], 1);
}

/* ---- other files ---- */

static void
test_files_that_are_no_kernels_are_refused_in_one_line(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *missing = g_build_filename(fixture->directory, "missing", NULL);
    const struct {
        const char *kernel, *initrd, *message;
    } rows[] = {
        {missing, NULL, "cannot open kernel '"},
        {fixture->directory, NULL, "is not a regular file"},
        {"/dev/zero", NULL, "is not a regular file"},
        {fixture->kernel, missing, "cannot open initrd '"},
        {fixture->kernel, fixture->directory, "is not a regular file"},
    };

    make_pvh(fixture);
    write_file(fixture->kernel, fixture->file, fixture->length);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        const BootKernelArgs args = {.kernel = rows[i].kernel, .initrd = rows[i].initrd};
        g_autoptr(BootKernel) kernel = boot_kernel_open(&args, fixture->memory, &error);
        assert_null(kernel);
        assert_non_null(strstr(error->message, rows[i].message));
        assert_null(strchr(error->message, '\n'));
    }
    g_autoptr(GError) error = NULL;
    memcpy(fixture->file, "\x1f\x8b\x08", 3);
    g_autoptr(BootKernel) compressed = open_kernel(fixture, NULL, NULL, &error);
    assert_null(compressed);
    assert_non_null(strstr(error->message, "compressed with gzip"));
}

static void
test_a_kernel_that_shrinks_is_noticed_when_placed(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    VmEntry entry;

    make_pvh(fixture);
    g_autoptr(BootKernel) kernel = open_kernel(fixture, NULL, NULL, &error);
    assert_non_null(kernel);
    assert_int_equal(truncate(fixture->kernel, LOAD_OFFSET + 100), 0);
    assert_false(boot_kernel_place(kernel, fixture->memory, &entry, &error));
    assert_non_null(strstr(error->message, "became shorter"));
}

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

/* ---- E820 ---- */

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

#define boot_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        boot_test(test_bzimages_that_lie_are_refused_or_harmless),
        boot_test(test_a_bzimage_is_placed_for_the_64_bit_entry),
        boot_test(test_a_kernel_without_64_bit_entry_gets_the_32_bit_one),
        boot_test(test_the_initrd_keeps_to_the_kernels_limits),
        boot_test(test_a_command_line_must_fit),
        boot_test(test_elf_files_that_lie_are_refused_or_harmless),
        boot_test(test_a_pvh_kernel_is_placed_with_its_start_info),
        boot_test(test_files_that_are_no_kernels_are_refused_in_one_line),
        boot_test(test_a_kernel_that_shrinks_is_noticed_when_placed),
        boot_test(test_firmware_sizes_are_checked),
        cmocka_unit_test(test_firmware_ends_at_4_gib_and_shows_below_1_mib),
        cmocka_unit_test(test_e820_has_the_shape_of_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
