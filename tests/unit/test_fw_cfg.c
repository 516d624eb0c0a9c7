/* SPDX-License-Identifier: Apache-2.0 */
/* fw_cfg by its ports and by DMA. */
#include "board_parts.h"

#include "base/error.h"
#include "board/fw_cfg.h"

#define DESCRIPTOR UINT64_C(0x1000)
#define TARGET     UINT64_C(0x2000)

enum {
    DMA_ERROR = 1,
    DMA_READ = 2,
    DMA_SKIP = 4,
    DMA_SELECT = 8,
    DMA_WRITE = 16,
};

typedef struct {
    Parts parts;
    FwCfg *fw_cfg;
} Fixture;

static int
setup(void **state)
{
    static Fixture fixture;

    parts_init(&fixture.parts);
    fixture.fw_cfg = fw_cfg_new(&fixture.parts.bus, NULL);
    assert_non_null(fixture.fw_cfg);
    *state = &fixture;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    fw_cfg_free(f->fw_cfg);
    parts_done(&f->parts);
    return 0;
}

static void
read_item(Fixture *f, uint16_t key, void *data, size_t length)
{
    uint8_t *bytes = data;

    parts_out16(&f->parts, 0x510, key);
    for (size_t i = 0; i < length; i++) {
        bytes[i] = parts_in(&f->parts, 0x511);
    }
}

static void *
memory_at(Fixture *f, uint64_t gpa, uint64_t length)
{
    void *hva = guest_memory_translate(f->parts.bus.memory, gpa, length);

    assert_non_null(hva);
    return hva;
}

/* Runs a request from a descriptor at gpa; returns its control word afterwards. */
static uint32_t
dma_from(Fixture *f, uint64_t gpa, uint32_t control, uint32_t length, uint64_t address)
{
    struct {
        uint32_t control, length;
        uint64_t address;
    } *descriptor = memory_at(f, gpa, 16);

    descriptor->control = GUINT32_TO_BE(control);
    descriptor->length = GUINT32_TO_BE(length);
    descriptor->address = GUINT64_TO_BE(address);
    parts_out32(&f->parts, 0x514, GUINT32_SWAP_LE_BE((uint32_t)(gpa >> 32)));
    parts_out32(&f->parts, 0x518, GUINT32_SWAP_LE_BE((uint32_t)gpa));
    return GUINT32_FROM_BE(descriptor->control);
}

static uint32_t
dma(Fixture *f, uint32_t control, uint32_t length, uint64_t address)
{
    return dma_from(f, DESCRIPTOR, control, length, address);
}

static uint32_t
select_key(uint16_t key)
{
    return (uint32_t)key << 16 | DMA_SELECT;
}

static void
test_signature_and_id_are_there(void **state)
{
    Fixture *f = *state;
    char signature[5] = "";
    uint8_t id[4];

    read_item(f, FW_CFG_SIGNATURE, signature, 4);
    assert_string_equal(signature, "QEMU");
    read_item(f, FW_CFG_ID, id, 4);
    assert_memory_equal(id, "\3\0\0\0", 4);
}

static void
test_reads_beyond_the_end_and_of_unknown_items_are_zero(void **state)
{
    Fixture *f = *state;
    uint8_t bytes[8];

    read_item(f, FW_CFG_SIGNATURE, bytes, 8);
    assert_memory_equal(bytes, "QEMU\0\0\0\0", 8);
    read_item(f, 0x3FFF, bytes, 8);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
    read_item(f, 0xBFFF, bytes, 8);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
}

static void
test_integers_are_little_endian_and_replaceable(void **state)
{
    Fixture *f = *state;
    uint8_t bytes[8];

    fw_cfg_set_int(f->fw_cfg, FW_CFG_RAM_SIZE, UINT64_C(0x123456789), 8);
    read_item(f, FW_CFG_RAM_SIZE, bytes, 8);
    assert_memory_equal(bytes, "\x89\x67\x45\x23\x01\0\0\0", 8);
    fw_cfg_set_int(f->fw_cfg, FW_CFG_RAM_SIZE, 1, 8);
    read_item(f, FW_CFG_RAM_SIZE, bytes, 8);
    assert_memory_equal(bytes, "\1\0\0\0\0\0\0\0", 8);
}

static void
test_string_input_reads_an_item_at_once(void **state)
{
    Fixture *f = *state;
    char text[8];

    fw_cfg_set(f->fw_cfg, 0x8005, "abcdefgh", 8);
    parts_out16(&f->parts, 0x510, 0x8005);
    address_space_read_block(f->parts.bus.pio, 0x511, 1, 8, text);
    assert_memory_equal(text, "abcdefgh", 8);
}

static void
add(Fixture *f, const char *name, const char *text)
{
    assert_true(fw_cfg_add_file(f->fw_cfg, name, text, strlen(text), NULL));
}

typedef struct {
    uint32_t size;
    uint16_t key;
    uint16_t reserved;
    char name[56];
} DirectoryEntry;

static void
test_directory_is_sorted_and_leads_to_the_files(void **state)
{
    static const char *const sorted[] = {"bootorder", "etc/a", "etc/e820", "etc/table-loader"};
    Fixture *f = *state;
    struct {
        uint32_t count;
        DirectoryEntry entries[4];
    } directory;

    add(f, "etc/table-loader", "etc/table-loader!");
    add(f, "bootorder", "bootorder!");
    add(f, "etc/e820", "etc/e820!");
    add(f, "etc/a", "etc/a!");
    read_item(f, FW_CFG_FILE_DIRECTORY, &directory, sizeof(directory));
    assert_int_equal(GUINT32_FROM_BE(directory.count), 4);
    for (unsigned i = 0; i < 4; i++) {
        const DirectoryEntry *entry = &directory.entries[i];
        char text[64] = "";
        uint32_t size = GUINT32_FROM_BE(entry->size);
        assert_string_equal(entry->name, sorted[i]);
        assert_int_equal(size, strlen(sorted[i]) + 1);
        assert_int_equal(entry->reserved, 0);
        read_item(f, GUINT16_FROM_BE(entry->key), text, size);
        text[size - 1] = '\0';
        assert_string_equal(text, sorted[i]);
    }
}

static void
test_bad_file_names_are_refused_with_a_reason(void **state)
{
    static const char *const long_name = "etc/a-name-of-fifty-six-characters-which-is-one-too-many";
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;

    assert_int_equal(strlen(long_name), 56);
    assert_false(fw_cfg_add_file(f->fw_cfg, long_name, "", 0, &error));
    assert_true(g_error_matches(error, BACKPLANE_ERROR, ERROR_CONFIG));
    assert_non_null(strstr(error->message, "56 bytes"));
    g_clear_error(&error);
    assert_true(fw_cfg_add_file(f->fw_cfg, long_name + 1, "", 0, &error));
    assert_false(fw_cfg_add_file(f->fw_cfg, long_name + 1, "", 0, &error));
    assert_non_null(strstr(error->message, "exists already"));
    g_clear_error(&error);
    assert_false(fw_cfg_add_file(f->fw_cfg, "", "", 0, &error));
    assert_non_null(error);
}

static void
test_dma_signature_is_readable(void **state)
{
    Fixture *f = *state;

    assert_int_equal(GUINT32_SWAP_LE_BE(parts_in32(&f->parts, 0x514)), 0x51454D55);
    assert_int_equal(GUINT32_SWAP_LE_BE(parts_in32(&f->parts, 0x518)), 0x20434647);
    assert_int_equal(parts_in(&f->parts, 0x51B), 'G');
}

static void
test_dma_selects_reads_and_goes_on(void **state)
{
    Fixture *f = *state;
    char *target = memory_at(f, TARGET, 16);

    fw_cfg_set(f->fw_cfg, 0x8005, "0123456789", 10);
    assert_int_equal(dma(f, select_key(0x8005) | DMA_READ, 4, TARGET), 0);
    assert_memory_equal(target, "0123", 4);
    assert_int_equal(dma(f, DMA_SKIP, 2, 0), 0);
    assert_int_equal(dma(f, DMA_READ, 3, TARGET), 0);
    assert_memory_equal(target, "6783", 4);
    assert_int_equal(parts_in(&f->parts, 0x511), '9'); /* one offset for both ways */
}

static void
test_dma_pads_with_zeroes(void **state)
{
    Fixture *f = *state;
    char *target = memory_at(f, TARGET, 16);

    memset(target, 'x', 16);
    assert_int_equal(dma(f, select_key(FW_CFG_SIGNATURE) | DMA_READ, 8, TARGET), 0);
    assert_memory_equal(target, "QEMU\0\0\0\0xxxxxxxx", 16);
    assert_int_equal(dma(f, select_key(0x3FFE) | DMA_READ, 4, TARGET), 0);
    assert_memory_equal(target, "\0\0\0\0", 4);
    assert_int_equal(dma(f, select_key(FW_CFG_SIGNATURE) | DMA_SKIP, UINT32_MAX, 0), 0);
    assert_int_equal(dma(f, DMA_READ, 1, TARGET), 0);
    assert_int_equal(target[0], 0);
}

static void
test_dma_write_is_an_error(void **state)
{
    Fixture *f = *state;
    char bytes[4];

    assert_int_equal(dma(f, select_key(FW_CFG_SIGNATURE) | DMA_WRITE, 4, TARGET), DMA_ERROR);
    read_item(f, FW_CFG_SIGNATURE, bytes, 4);
    assert_memory_equal(bytes, "QEMU", 4);
}

static void
test_dma_outside_memory_is_an_error(void **state)
{
    static const uint64_t nowhere[] = {UINT64_C(0xFEC00000), UINT64_C(0x1000000), UINT64_MAX - 2,
                                       UINT64_C(0x8000000000000000)};
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(nowhere); i++) {
        assert_int_equal(dma(f, select_key(FW_CFG_SIGNATURE) | DMA_READ, 4, nowhere[i]), DMA_ERROR);
    }
    /* More than the machine has, even though the item is short. */
    assert_int_equal(dma(f, select_key(FW_CFG_SIGNATURE) | DMA_READ, UINT32_MAX, TARGET),
                     DMA_ERROR);
}

static void
test_descriptor_outside_memory_is_ignored(void **state)
{
    Fixture *f = *state;
    char bytes[4];

    parts_out32(&f->parts, 0x514, 0xFFFFFFFF);
    parts_out32(&f->parts, 0x518, 0xF8FFFFFF);
    parts_out32(&f->parts, 0x518, GUINT32_SWAP_LE_BE(0x00FFFFF8)); /* its end is outside */
    read_item(f, FW_CFG_SIGNATURE, bytes, 4);
    assert_memory_equal(bytes, "QEMU", 4);
}

static void
test_descriptor_above_4_gib_is_reached(void **state)
{
    Fixture f;
    char *target;
    (void)state;

    parts_init_sized(&f.parts, UINT64_C(32) << 20, UINT64_C(16) << 20);
    f.fw_cfg = fw_cfg_new(&f.parts.bus, NULL);
    target = memory_at(&f, UINT64_C(0x100002000), 4);
    assert_int_equal(
        dma_from(&f, UINT64_C(0x100001000), select_key(0) | DMA_READ, 4, UINT64_C(0x100002000)), 0);
    assert_memory_equal(target, "QEMU", 4);
    fw_cfg_free(f.fw_cfg);
    parts_done(&f.parts);
}

static void
test_dma_into_its_own_descriptor_ends(void **state)
{
    Fixture *f = *state;

    fw_cfg_set(f->fw_cfg, 0x8005, "\0\0\0\2\0\0\0\4\0\0\0\0\0\0\x10\0", 16);
    assert_int_equal(dma(f, select_key(0x8005) | DMA_READ, 16, DESCRIPTOR), 0);
}

static void
test_odd_accesses_do_nothing(void **state)
{
    Fixture *f = *state;
    char bytes[4];

    parts_out16(&f->parts, 0x510, 0x8005);
    parts_out(&f->parts, 0x510, 0x00);
    parts_out(&f->parts, 0x511, 0x00);
    parts_out(&f->parts, 0x518, 0x00);
    parts_out16(&f->parts, 0x518, 0x0000);
    assert_int_equal(parts_in(&f->parts, 0x510), 0xFF);
    read_item(f, FW_CFG_SIGNATURE, bytes, 4);
    assert_memory_equal(bytes, "QEMU", 4);
}

static void
test_write_channel_bit_selects_the_same_item(void **state)
{
    Fixture *f = *state;
    char bytes[4];

    read_item(f, 0x4000 | FW_CFG_SIGNATURE, bytes, 4);
    assert_memory_equal(bytes, "QEMU", 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_signature_and_id_are_there),
        TEST(test_reads_beyond_the_end_and_of_unknown_items_are_zero),
        TEST(test_integers_are_little_endian_and_replaceable),
        TEST(test_string_input_reads_an_item_at_once),
        TEST(test_directory_is_sorted_and_leads_to_the_files),
        TEST(test_bad_file_names_are_refused_with_a_reason),
        TEST(test_dma_signature_is_readable),
        TEST(test_dma_selects_reads_and_goes_on),
        TEST(test_dma_pads_with_zeroes),
        TEST(test_dma_write_is_an_error),
        TEST(test_dma_outside_memory_is_an_error),
        TEST(test_descriptor_outside_memory_is_ignored),
        cmocka_unit_test(test_descriptor_above_4_gib_is_reached),
        TEST(test_dma_into_its_own_descriptor_ends),
        TEST(test_odd_accesses_do_nothing),
        TEST(test_write_channel_bit_selects_the_same_item),
    };

    return cmocka_run_group_tests_name("fw_cfg", tests, NULL, NULL);
}
