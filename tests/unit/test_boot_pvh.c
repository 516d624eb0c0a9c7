/* SPDX-License-Identifier: Apache-2.0 */
/* core/boot: ELF kernels with a PVH entry, and files that are no kernels. */
#include "boot_fixture.h"

#include <elf.h>
#include <unistd.h>

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOOT_TEST(test_elf_files_that_lie_are_refused_or_harmless),
        BOOT_TEST(test_a_pvh_kernel_is_placed_with_its_start_info),
        BOOT_TEST(test_files_that_are_no_kernels_are_refused_in_one_line),
        BOOT_TEST(test_a_kernel_that_shrinks_is_noticed_when_placed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
