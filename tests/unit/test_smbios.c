/* SPDX-License-Identifier: Apache-2.0 */
/* SMBIOS structures, as bytes and as dmidecode reads them. */
#include "board_machine.h"

#include "base/error.h"
#include "board/smbios.h"

#include <glib/gstdio.h>

#define GIB UINT64_C(0x40000000)

static const uint8_t uuid[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};

static void
build(Smbios *smbios, const BoardIdentity *identity, unsigned cpus, uint64_t ram_bytes)
{
    static const BoardIdentity nobody;
    const SmbiosRange ram[] = {{0, MIN(ram_bytes, 3 * GIB)},
                               {4 * GIB, 4 * GIB + (ram_bytes - MIN(ram_bytes, 3 * GIB))}};
    SmbiosArgs args = {.identity = identity != NULL ? identity : &nobody,
                       .uuid = uuid,
                       .cpus = cpus,
                       .ram_bytes = ram_bytes,
                       .ram = ram,
                       .ram_count = ram_bytes > 3 * GIB ? 2 : 1};

    assert_true(smbios_build(smbios, &args, NULL));
}

/* The structure after this one. */
static const uint8_t *
next_structure(const uint8_t *s)
{
    s += s[1];
    while (s[0] != 0 || s[1] != 0) {
        s++;
    }
    return s + 2;
}

/* The n-th structure of a type, or NULL. */
static const uint8_t *
find(const Smbios *smbios, uint8_t type, unsigned n)
{
    const uint8_t *end = smbios->tables->data + smbios->tables->len;

    for (const uint8_t *s = smbios->tables->data; s < end; s = next_structure(s)) {
        if (s[0] == type && n-- == 0) {
            return s;
        }
    }
    return NULL;
}

static const char *
string_of(const uint8_t *s, size_t field_at)
{
    const char *text = (const char *)s + s[1];

    if (s[field_at] == 0) {
        return "";
    }
    for (uint8_t i = 1; i < s[field_at]; i++) {
        text += strlen(text) + 1;
    }
    return text;
}

static void
test_anchor_counts_and_sums(void **state)
{
    Smbios smbios;
    unsigned count = 0;
    size_t largest = 0;
    const uint8_t *a, *end;
    (void)state;

    build(&smbios, NULL, 4, GIB);
    smbios_anchor_locate(smbios.anchor, 0xE1230);
    a = smbios.anchor->data;
    assert_int_equal(smbios.anchor->len, 31);
    assert_memory_equal(a, "_SM_", 4);
    assert_memory_equal(a + 16, "_DMI_", 5);
    assert_int_equal(sum_of(a, 31), 0);
    assert_int_equal(sum_of(a + 16, 15), 0);
    assert_int_equal(a[5], 31);
    assert_int_equal(a[6], 2);
    assert_int_equal(a[7], 8);
    assert_int_equal(a[30], 0x28);
    assert_int_equal(field(a, 24, 4), 0xE1230);
    end = smbios.tables->data + smbios.tables->len;
    for (const uint8_t *s = smbios.tables->data; s < end;) {
        const uint8_t *next = next_structure(s);
        largest = MAX(largest, (size_t)(next - s));
        count++;
        s = next;
        assert_true(s <= end);
    }
    assert_int_equal(field(a, 28, 2), count);
    assert_int_equal(field(a, 8, 2), largest);
    assert_int_equal(field(a, 22, 2), smbios.tables->len);
    smbios_done(&smbios);
}

static void
test_uuid_has_its_first_fields_swapped(void **state)
{
    static const uint8_t wire[16] = {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
                                     0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};
    Smbios smbios;
    (void)state;

    build(&smbios, NULL, 1, GIB);
    assert_memory_equal(find(&smbios, 1, 0) + 8, wire, 16);
    smbios_done(&smbios);
}

static void
test_identity_is_used_and_has_defaults(void **state)
{
    static const char *const oem[] = {"one", "", "three", NULL};
    BoardIdentity identity = {.smbios_manufacturer = "Maker",
                              .smbios_product = "Thing",
                              .smbios_version = "7.1",
                              .smbios_serial = "SN-1",
                              .smbios_sku = "SKU",
                              .smbios_family = "Family",
                              .smbios_oem_strings = oem};
    Smbios smbios;
    const uint8_t *s;
    (void)state;

    build(&smbios, &identity, 1, GIB);
    s = find(&smbios, 1, 0);
    assert_string_equal(string_of(s, 4), "Maker");
    assert_string_equal(string_of(s, 5), "Thing");
    assert_string_equal(string_of(s, 6), "7.1");
    assert_string_equal(string_of(s, 7), "SN-1");
    assert_string_equal(string_of(s, 25), "SKU");
    assert_string_equal(string_of(s, 26), "Family");
    s = find(&smbios, 11, 0);
    assert_int_equal(s[4], 3);
    assert_memory_equal(s + s[1], "one\0 \0three\0", 13);
    smbios_done(&smbios);
    build(&smbios, NULL, 1, GIB);
    s = find(&smbios, 1, 0);
    assert_string_equal(string_of(s, 4), "Backplane");
    assert_string_equal(string_of(s, 7), "");
    assert_null(find(&smbios, 11, 0));
    smbios_done(&smbios);
}

static void
test_structures_have_the_sizes_of_version_2_8(void **state)
{
    static const struct {
        uint8_t type, size;
    } sizes[] = {{0, 24},  {1, 27},  {2, 15},  {3, 22},  {4, 48},
                 {16, 23}, {17, 40}, {19, 31}, {32, 11}, {127, 4}};
    Smbios smbios;
    (void)state;

    build(&smbios, NULL, 1, GIB);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        const uint8_t *s = find(&smbios, sizes[i].type, 0);
        assert_non_null(s);
        assert_int_equal(s[1], sizes[i].size);
        assert_null(find(&smbios, sizes[i].type, 1));
    }
    smbios_done(&smbios);
}

static void
test_processor_has_a_core_for_each_vcpu(void **state)
{
    Smbios smbios;
    const uint8_t *s;
    (void)state;

    build(&smbios, NULL, 12, GIB);
    s = find(&smbios, 4, 0);
    assert_int_equal(s[0x23], 12);
    assert_int_equal(field(s, 0x2A, 2), 12);
    smbios_done(&smbios);
}

static void
test_memory_sizes_survive_every_field_limit(void **state)
{
    static const struct {
        uint64_t bytes;
        unsigned dimms;
        uint16_t first_size; /* type 17, MiB or 7FFFh */
        uint32_t extended;
    } cases[] = {
        {64 * MACHINE_MIB, 1, 64, 0}, {16 * GIB, 1, 16384, 0},          {40 * GIB, 3, 16384, 0},
        {4096 * GIB, 256, 16384, 0},  {6144 * GIB, 192, 0x7FFF, 32768},
    };
    (void)state;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Smbios smbios;
        uint64_t total = 0;
        const uint8_t *array, *dimm, *mapped;
        build(&smbios, NULL, 1, cases[i].bytes);
        array = find(&smbios, 16, 0);
        assert_int_equal(field(array, 13, 2), cases[i].dimms);
        assert_int_equal(field(array, 7, 4) == 0x80000000u ? field(array, 15, 8)
                                                           : field(array, 7, 4) * 1024,
                         cases[i].bytes);
        dimm = find(&smbios, 17, 0);
        assert_int_equal(field(dimm, 12, 2), cases[i].first_size);
        assert_int_equal(field(dimm, 28, 4), cases[i].extended);
        assert_non_null(find(&smbios, 17, cases[i].dimms - 1));
        assert_null(find(&smbios, 17, cases[i].dimms));
        for (unsigned n = 0; (mapped = find(&smbios, 19, n)) != NULL; n++) {
            bool extended = field(mapped, 8, 4) == UINT32_MAX;
            total += extended ? field(mapped, 23, 8) - field(mapped, 15, 8) + 1
                              : (field(mapped, 8, 4) - field(mapped, 4, 4) + 1) * 1024;
        }
        assert_int_equal(total, cases[i].bytes);
        smbios_done(&smbios);
    }
}

static void
test_strings_beyond_64_kib_are_refused(void **state)
{
    g_autofree char *text = g_strnfill(40000, 'x');
    BoardIdentity identity = {.smbios_serial = text};
    SmbiosArgs args = {.identity = &identity, .uuid = uuid, .cpus = 1, .ram_bytes = GIB};
    g_autoptr(GError) error = NULL;
    Smbios smbios;
    (void)state;

    assert_false(smbios_build(&smbios, &args, &error));
    assert_true(g_error_matches(error, BACKPLANE_ERROR, ERROR_CONFIG));
    smbios_done(&smbios);
}

static void
test_direct_boot_finds_the_anchor_and_the_tables(void **state)
{
    MachineArgs args = {.identity = {.uuid = "00112233-4455-6677-8899-aabbccddeeff"}};
    Machine m;
    uint64_t gpa;
    const uint8_t *anchor, *tables;
    g_autoptr(GByteArray) file = NULL;
    (void)state;

    machine_start(&m, &args);
    (void)board_place_tables(m.board);
    gpa = machine_find(&m, "_SM_", 0xF0000, 0x100000);
    assert_int_not_equal(gpa, 0);
    anchor = machine_at(&m, gpa, 31);
    assert_int_equal(sum_of(anchor, 31), 0);
    file = machine_fw_cfg_file(&m, SMBIOS_FILE_TABLES);
    assert_int_equal(field(anchor, 22, 2), file->len);
    tables = machine_at(&m, field(anchor, 24, 4), file->len);
    assert_memory_equal(tables, file->data, file->len);
    machine_stop(&m);
}

/* dmidecode reads "table at its address" from a file, where it is installed. */
static void
test_dmidecode_reads_every_structure(void **state)
{
    g_autofree char *program = g_find_program_in_path("dmidecode");
    g_autofree char *name = NULL, *out = NULL, *err = NULL, *option = NULL;
    g_autoptr(GByteArray) image = g_byte_array_new();
    static const char *const expected[] = {
        "SMBIOS 2.8 present",
        "UUID: 00112233-4455-6677-8899-aabbccddeeff",
        "Manufacturer: Backplane",
        "Core Count: 6",
        "Size: 16 GB",
        "Maximum Capacity: 40 GB",
        "Range Size: 3 GB",
        "Status: No errors detected",
    };
    Smbios smbios;
    int status = -1, fd;
    (void)state;

    if (program == NULL) {
        print_message("# no dmidecode\n");
        skip();
    }
    build(&smbios, NULL, 6, 40 * GIB);
    smbios_anchor_locate(smbios.anchor, 32);
    g_byte_array_append(image, smbios.anchor->data, 31);
    g_byte_array_append(image, (const guint8 *)"", 1);
    g_byte_array_append(image, smbios.tables->data, smbios.tables->len);
    fd = g_file_open_tmp("backplane-smbios-XXXXXX", &name, NULL);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, image->data, image->len), image->len);
    (void)close(fd);
    option = g_strdup_printf("--from-dump=%s", name);
    char *argv[] = {program, option, NULL};
    assert_true(
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, NULL));
    (void)g_unlink(name);
    assert_int_equal(status, 0);
    assert_null(strcasestr(out, "broken"));
    assert_null(strcasestr(out, "wrong"));
    assert_null(strcasestr(out, "bad index"));
    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
        if (strcasestr(out, expected[i]) == NULL) {
            fail_msg("dmidecode does not say '%s' but:\n%s", expected[i], out);
        }
    }
    smbios_done(&smbios);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anchor_counts_and_sums),
        cmocka_unit_test(test_uuid_has_its_first_fields_swapped),
        cmocka_unit_test(test_identity_is_used_and_has_defaults),
        cmocka_unit_test(test_structures_have_the_sizes_of_version_2_8),
        cmocka_unit_test(test_processor_has_a_core_for_each_vcpu),
        cmocka_unit_test(test_memory_sizes_survive_every_field_limit),
        cmocka_unit_test(test_strings_beyond_64_kib_are_refused),
        cmocka_unit_test(test_direct_boot_finds_the_anchor_and_the_tables),
        cmocka_unit_test(test_dmidecode_reads_every_structure),
    };

    return cmocka_run_group_tests_name("smbios", tests, NULL, NULL);
}
