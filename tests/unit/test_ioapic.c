/* SPDX-License-Identifier: Apache-2.0 */
/* The 82093AA; its messages are caught by an MsiController of the test's own. */
#include "board_parts.h"

#include "board/ioapic.h"

struct MsiVector {
    bool enabled, freed;
    uint64_t address;
    uint32_t data;
    unsigned fired;
};

typedef struct {
    Parts parts;
    Ioapic *ioapic;
    MsiController msi;
    MsiVector vectors[IOAPIC_PINS];
    unsigned made, freed;
    unsigned eois;
} Fixture;

static MsiVector *
vector_new(void *opaque, GError **error)
{
    Fixture *f = opaque;

    assert_true(f->made < IOAPIC_PINS);
    return &f->vectors[f->made++];
}

static void
vector_free(void *opaque, MsiVector *vector)
{
    ((Fixture *)opaque)->freed++;
}

static void
vector_set(void *opaque, MsiVector *vector, bool enabled, uint64_t address, uint32_t data)
{
    vector->enabled = enabled;
    vector->address = address;
    vector->data = data;
}

static void
vector_fire(void *opaque, MsiVector *vector)
{
    assert_true(vector->enabled);
    vector->fired++;
}

static int
vector_eventfd(void *opaque, MsiVector *vector)
{
    return -1;
}

static bool
vector_take_pending(void *opaque, MsiVector *vector)
{
    return false;
}

static const MsiOps msi_ops = {
    .vector_new = vector_new,
    .vector_free = vector_free,
    .vector_set = vector_set,
    .vector_fire = vector_fire,
    .vector_eventfd = vector_eventfd,
    .vector_take_pending = vector_take_pending,
};

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    IoapicArgs args = {0};

    parts_init(&f->parts);
    f->msi = (MsiController){.ops = &msi_ops, .opaque = f};
    args.mmio = f->parts.bus.mmio;
    args.msi = &f->msi;
    args.irqs = f->parts.irqs;
    f->ioapic = ioapic_new(&args, NULL);
    assert_non_null(f->ioapic);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    ioapic_free(f->ioapic);
    assert_int_equal(f->freed, IOAPIC_PINS);
    parts_done(&f->parts);
    g_free(f);
    return 0;
}

static uint32_t
reg(Fixture *f, unsigned index)
{
    address_space_write(f->parts.bus.mmio, IOAPIC_BASE, 4, index);
    return (uint32_t)address_space_read(f->parts.bus.mmio, IOAPIC_BASE + 0x10, 4);
}

static void
reg_set(Fixture *f, unsigned index, uint32_t value)
{
    address_space_write(f->parts.bus.mmio, IOAPIC_BASE, 4, index);
    address_space_write(f->parts.bus.mmio, IOAPIC_BASE + 0x10, 4, value);
}

static void
test_reset_values_and_identity(void **state)
{
    Fixture *f = *state;

    assert_int_equal(reg(f, 0), 0);
    assert_int_equal(reg(f, 1), 0x00170011);
    reg_set(f, 0, 0xFFFFFFFF);
    assert_int_equal(reg(f, 0), 0x0F000000);
    assert_int_equal(reg(f, 2), 0x0F000000);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        assert_int_equal(reg(f, 0x10 + 2 * pin), 0x00010000);
        assert_int_equal(reg(f, 0x11 + 2 * pin), 0);
    }
    assert_int_equal(reg(f, 0x40), 0);
    reg_set(f, 1, 0);
    assert_int_equal(reg(f, 1), 0x00170011);
}

static void
test_entries_keep_their_writable_bits(void **state)
{
    Fixture *f = *state;

    reg_set(f, 0x10, 0xFFFFFFFF);
    reg_set(f, 0x11, 0xFFFFFFFF);
    assert_int_equal(reg(f, 0x10), 0x0001AFFF);
    assert_int_equal(reg(f, 0x11), 0xFF000000);
    reg_set(f, 0xFF, 0); /* beyond the table */
}

static void
test_ioregsel_reads_back_and_iowin_takes_dwords_only(void **state)
{
    Fixture *f = *state;

    address_space_write(f->parts.bus.mmio, IOAPIC_BASE, 1, 0x10);
    assert_int_equal(address_space_read(f->parts.bus.mmio, IOAPIC_BASE, 4), 0x10);
    address_space_write(f->parts.bus.mmio, IOAPIC_BASE + 0x10, 1, 0);
    assert_int_equal(reg(f, 0x10), 0x00010000);
}

static void
test_an_edge_sends_one_message(void **state)
{
    Fixture *f = *state;

    reg_set(f, 0x10 + 2 * 4 + 1, 0x03000000);
    reg_set(f, 0x10 + 2 * 4, 0x00000131); /* lowest priority, physical, edge */
    assert_true(f->vectors[4].address == UINT64_C(0xFEE03000));
    assert_int_equal(f->vectors[4].data, 0x131);
    ioapic_set_irq(f->ioapic, 4, true);
    ioapic_set_irq(f->ioapic, 4, true);
    assert_int_equal(f->vectors[4].fired, 1);
    ioapic_set_irq(f->ioapic, 4, false);
    ioapic_set_irq(f->ioapic, 4, true);
    assert_int_equal(f->vectors[4].fired, 2);
    assert_int_equal(reg(f, 0x10 + 2 * 4) & 0x5000, 0);
}

static void
test_a_logical_destination_is_in_the_address(void **state)
{
    Fixture *f = *state;

    reg_set(f, 0x11, 0x0F000000);
    reg_set(f, 0x10, 0x00000831);
    assert_true(f->vectors[0].address == UINT64_C(0xFEE0F004));
    assert_int_equal(f->vectors[0].data, 0x31);
}

static void
test_an_edge_on_a_masked_pin_is_lost(void **state)
{
    Fixture *f = *state;

    ioapic_set_irq(f->ioapic, 4, true);
    reg_set(f, 0x10 + 2 * 4, 0x31);
    assert_int_equal(f->vectors[4].fired, 0);
    ioapic_set_irq(f->ioapic, 4, false);
    ioapic_set_irq(f->ioapic, 4, true);
    assert_int_equal(f->vectors[4].fired, 1);
}

static void
test_a_level_is_sent_until_it_falls(void **state)
{
    Fixture *f = *state;

    reg_set(f, 0x10 + 2 * 11, 0x00008041);
    assert_int_equal(f->vectors[11].data, 0xC041);
    ioapic_set_irq(f->ioapic, 11, true);
    assert_int_equal(f->vectors[11].fired, 1);
    assert_int_equal(reg(f, 0x10 + 2 * 11) & 0x4000, 0x4000);
    ioapic_set_irq(f->ioapic, 11, false);
    ioapic_set_irq(f->ioapic, 11, true);
    assert_int_equal(f->vectors[11].fired, 1); /* not ended yet */
    ioapic_eoi(f->ioapic, 0x42);               /* another's */
    assert_int_equal(f->vectors[11].fired, 1);
    ioapic_eoi(f->ioapic, 0x41);
    assert_int_equal(f->vectors[11].fired, 2);
    ioapic_set_irq(f->ioapic, 11, false);
    ioapic_eoi(f->ioapic, 0x41);
    assert_int_equal(f->vectors[11].fired, 2);
    assert_int_equal(reg(f, 0x10 + 2 * 11) & 0x4000, 0);
}

static void
test_a_level_asserted_under_the_mask_is_sent_at_unmask(void **state)
{
    Fixture *f = *state;

    reg_set(f, 0x10 + 2 * 11, 0x00018041);
    ioapic_set_irq(f->ioapic, 11, true);
    assert_int_equal(f->vectors[11].fired, 0);
    reg_set(f, 0x10 + 2 * 11, 0x00008041);
    assert_int_equal(f->vectors[11].fired, 1);
    reg_set(f, 0x10 + 2 * 11, 0x00018041);
    reg_set(f, 0x10 + 2 * 11, 0x00008041);
    assert_int_equal(f->vectors[11].fired, 1); /* Remote IRR survives the mask */
}

static void
test_a_turn_to_edge_clears_remote_irr(void **state)
{
    Fixture *f = *state;

    reg_set(f, 0x10 + 2 * 11, 0x00008041);
    ioapic_set_irq(f->ioapic, 11, true);
    reg_set(f, 0x10 + 2 * 11, 0x00010041);
    assert_int_equal(reg(f, 0x10 + 2 * 11), 0x00010041);
    reg_set(f, 0x10 + 2 * 11, 0x00008041);
    assert_int_equal(f->vectors[11].fired, 2);
}

static void
lower(void *opaque)
{
    Fixture *f = opaque;

    f->eois++;
    ioapic_set_irq(f->ioapic, 11, false);
}

static void
test_an_eoi_listener_lowers_the_line_before_it_is_sent_again(void **state)
{
    Fixture *f = *state;

    irq_lines_add_eoi(f->parts.irqs, 11, lower, f);
    reg_set(f, 0x10 + 2 * 11, 0x00008041);
    ioapic_set_irq(f->ioapic, 11, true);
    ioapic_eoi(f->ioapic, 0x41);
    assert_int_equal(f->eois, 1);
    assert_int_equal(f->vectors[11].fired, 1);
    irq_lines_remove_eoi(f->parts.irqs, 11, lower, f);
}

static void
test_reset_masks_all_pins(void **state)
{
    Fixture *f = *state;

    reg_set(f, 0, 0x05000000);
    reg_set(f, 0x10 + 2 * 11, 0x00008041);
    ioapic_reset(f->ioapic);
    assert_false(f->vectors[11].enabled);
    assert_int_equal(reg(f, 0), 0);
    assert_int_equal(reg(f, 0x10 + 2 * 11), 0x00010000);
    ioapic_set_irq(f->ioapic, 11, true);
    assert_int_equal(f->vectors[11].fired, 0);
    ioapic_set_irq(f->ioapic, IOAPIC_PINS, true); /* no such pin */
}

int
main(void)
{
#define IOAPIC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        IOAPIC_TEST(test_reset_values_and_identity),
        IOAPIC_TEST(test_entries_keep_their_writable_bits),
        IOAPIC_TEST(test_ioregsel_reads_back_and_iowin_takes_dwords_only),
        IOAPIC_TEST(test_an_edge_sends_one_message),
        IOAPIC_TEST(test_a_logical_destination_is_in_the_address),
        IOAPIC_TEST(test_an_edge_on_a_masked_pin_is_lost),
        IOAPIC_TEST(test_a_level_is_sent_until_it_falls),
        IOAPIC_TEST(test_a_level_asserted_under_the_mask_is_sent_at_unmask),
        IOAPIC_TEST(test_a_turn_to_edge_clears_remote_irr),
        IOAPIC_TEST(test_an_eoi_listener_lowers_the_line_before_it_is_sent_again),
        IOAPIC_TEST(test_reset_masks_all_pins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
