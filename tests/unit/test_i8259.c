/* SPDX-License-Identifier: Apache-2.0 */
/* The 8259A pair, driven through its ports and lines. */
#include "board_parts.h"

#include "board/i8259.h"

typedef struct {
    Parts parts;
    I8259 *pic;
    bool intr;
    unsigned eois[16];
} Fixture;

typedef struct {
    Fixture *f;
    unsigned irq;
} Listener;

static void
output(void *opaque, bool level)
{
    Fixture *f = opaque;

    assert_int_not_equal(f->intr, level);
    f->intr = level;
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    I8259Args args = {.output = output, .opaque = f};

    parts_init(&f->parts);
    args.pio = f->parts.bus.pio;
    args.irqs = f->parts.irqs;
    f->pic = i8259_new(&args, NULL);
    assert_non_null(f->pic);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    i8259_free(f->pic);
    parts_done(&f->parts);
    g_free(f);
    return 0;
}

static void
out(Fixture *f, uint16_t port, uint8_t value)
{
    parts_out(&f->parts, port, value);
}

static uint8_t
in(Fixture *f, uint16_t port)
{
    return parts_in(&f->parts, port);
}

/* As a PC's firmware does: vectors 08h and 70h, everything unmasked. */
static void
initialise(Fixture *f, uint8_t icw4)
{
    out(f, 0x20, 0x11);
    out(f, 0x21, 0x08);
    out(f, 0x21, 0x04);
    out(f, 0x21, icw4);
    out(f, 0xA0, 0x11);
    out(f, 0xA1, 0x70);
    out(f, 0xA1, 0x02);
    out(f, 0xA1, icw4 & 0x0F);
    out(f, 0x21, 0);
    out(f, 0xA1, 0);
}

static void
pulse(Fixture *f, unsigned irq)
{
    i8259_set_irq(f->pic, irq, true);
    i8259_set_irq(f->pic, irq, false);
}

static uint8_t
isr(Fixture *f, uint16_t port)
{
    out(f, port, 0x0B);
    return in(f, port);
}

static uint8_t
irr(Fixture *f, uint16_t port)
{
    out(f, port, 0x0A);
    return in(f, port);
}

static void
test_an_edge_is_delivered_once(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    assert_int_equal(i8259_ack(f->pic), -1);
    i8259_set_irq(f->pic, 4, true);
    assert_true(f->intr);
    assert_true(i8259_output(f->pic));
    assert_int_equal(irr(f, 0x20), 0x10);
    assert_int_equal(i8259_ack(f->pic), 0x0C);
    assert_false(f->intr);
    assert_int_equal(irr(f, 0x20), 0);
    assert_int_equal(isr(f, 0x20), 0x10);
    out(f, 0x20, 0x20);
    assert_int_equal(isr(f, 0x20), 0);
    assert_int_equal(i8259_ack(f->pic), -1); /* still high: no new edge */
    i8259_set_irq(f->pic, 4, false);
    i8259_set_irq(f->pic, 4, true);
    assert_int_equal(i8259_ack(f->pic), 0x0C);
}

static void
test_initialisation_follows_icw1(void **state)
{
    Fixture *f = *state;

    out(f, 0x20, 0x13); /* single, ICW4: no ICW3 */
    out(f, 0x21, 0x47);
    out(f, 0x21, 0x01);
    out(f, 0x21, 0xAA); /* OCW1 already */
    assert_int_equal(in(f, 0x21), 0xAA);
    out(f, 0x20, 0x10);               /* cascaded, no ICW4 */
    assert_int_equal(in(f, 0x21), 0); /* IMR cleared */
    out(f, 0x21, 0x48);
    out(f, 0x21, 0x04);
    out(f, 0x21, 0x55);
    assert_int_equal(in(f, 0x21), 0x55);
    out(f, 0x21, 0);
    pulse(f, 3);
    assert_int_equal(i8259_ack(f->pic), 0x4B);
    out(f, 0x20, 0xC3); /* 3 becomes the lowest */
    initialise(f, 1);
    assert_int_equal(irr(f, 0x20), 0);
    assert_int_equal(isr(f, 0x20), 0);
    pulse(f, 1);
    pulse(f, 4);
    assert_int_equal(i8259_ack(f->pic), 0x09); /* 7 is the lowest again */
}

static void
test_a_line_high_during_initialisation_needs_a_new_edge(void **state)
{
    Fixture *f = *state;

    i8259_set_irq(f->pic, 5, true);
    initialise(f, 1);
    assert_false(f->intr);
    i8259_set_irq(f->pic, 5, false);
    i8259_set_irq(f->pic, 5, true);
    assert_int_equal(i8259_ack(f->pic), 0x0D);
}

static void
test_priorities_nest(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    pulse(f, 5);
    pulse(f, 3);
    assert_int_equal(i8259_ack(f->pic), 0x0B);
    assert_false(f->intr); /* 5 waits for 3 */
    pulse(f, 1);
    assert_int_equal(i8259_ack(f->pic), 0x09);
    assert_int_equal(isr(f, 0x20), 0x0A);
    out(f, 0x20, 0x20); /* ends 1 */
    assert_int_equal(isr(f, 0x20), 0x08);
    assert_false(f->intr);
    out(f, 0x20, 0x20);
    assert_int_equal(i8259_ack(f->pic), 0x0D);
}

static void
test_the_mask_holds_requests_back(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    out(f, 0x21, 0x10);
    pulse(f, 4);
    assert_false(f->intr);
    assert_int_equal(irr(f, 0x20), 0x10);
    out(f, 0x21, 0);
    assert_int_equal(i8259_ack(f->pic), 0x0C);
}

static void
test_the_slave_cascades_into_ir2(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    pulse(f, 14);
    assert_int_equal(irr(f, 0x20), 0x04);
    assert_int_equal(i8259_ack(f->pic), 0x76);
    assert_int_equal(isr(f, 0x20), 0x04);
    assert_int_equal(isr(f, 0xA0), 0x40);
    pulse(f, 10); /* higher, but IR2 is in service: normal nesting locks it out */
    assert_false(f->intr);
    out(f, 0xA0, 0x20);
    out(f, 0x20, 0x20);
    assert_int_equal(i8259_ack(f->pic), 0x72);
    out(f, 0xA0, 0x20);
    out(f, 0x20, 0x20);
    assert_int_equal(i8259_ack(f->pic), -1);
}

static void
test_special_fully_nested_mode_lets_the_slave_nest(void **state)
{
    Fixture *f = *state;

    initialise(f, 0x11);
    pulse(f, 14);
    assert_int_equal(i8259_ack(f->pic), 0x76);
    pulse(f, 10);
    assert_true(f->intr);
    assert_int_equal(i8259_ack(f->pic), 0x72);
    assert_int_equal(isr(f, 0xA0), 0x44);
    pulse(f, 3);
    assert_false(f->intr); /* below IR2 */
}

static void
test_level_lines_ask_again_until_they_fall(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    i8259_set_elcr(f->pic, 1u << 11);
    i8259_set_irq(f->pic, 11, true);
    assert_int_equal(i8259_ack(f->pic), 0x73);
    out(f, 0xA0, 0x20);
    out(f, 0x20, 0x20);
    assert_int_equal(i8259_ack(f->pic), 0x73);
    i8259_set_irq(f->pic, 11, false);
    out(f, 0xA0, 0x20);
    out(f, 0x20, 0x20);
    assert_false(f->intr);
    assert_int_equal(i8259_ack(f->pic), -1);
}

static void
test_ltim_makes_all_inputs_level_triggered(void **state)
{
    Fixture *f = *state;

    out(f, 0x20, 0x19);
    out(f, 0x21, 0x08);
    out(f, 0x21, 0x04);
    out(f, 0x21, 0x01);
    pulse(f, 4);
    assert_int_equal(irr(f, 0x20), 0);
    i8259_set_irq(f->pic, 4, true);
    assert_int_equal(i8259_ack(f->pic), 0x0C);
    assert_int_equal(irr(f, 0x20), 0x10);
}

static void
test_a_request_withdrawn_before_the_acknowledge_is_spurious_7(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    i8259_set_elcr(f->pic, 1u << 5);
    i8259_set_irq(f->pic, 5, true);
    assert_true(f->intr);
    i8259_set_irq(f->pic, 5, false);
    assert_false(f->intr);
    assert_int_equal(i8259_ack(f->pic), 0x0F);
    assert_int_equal(isr(f, 0x20), 0); /* no bit in service, no EOI due */
    assert_int_equal(i8259_ack(f->pic), -1);
}

static void
test_a_slave_request_withdrawn_is_spurious_15(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    i8259_set_elcr(f->pic, 1u << 11);
    i8259_set_irq(f->pic, 11, true);
    i8259_set_irq(f->pic, 11, false);
    assert_int_equal(i8259_ack(f->pic), 0x77);
    assert_int_equal(isr(f, 0xA0), 0);
    assert_int_equal(isr(f, 0x20), 0x04); /* the master is owed an EOI */
}

static void
test_specific_eoi_ends_what_it_names(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    pulse(f, 5);
    (void)i8259_ack(f->pic);
    pulse(f, 2); /* the cascade input is not a line */
    assert_int_equal(i8259_ack(f->pic), -1);
    pulse(f, 3);
    (void)i8259_ack(f->pic);
    out(f, 0x20, 0x65);
    assert_int_equal(isr(f, 0x20), 0x08);
    out(f, 0x20, 0x63);
    assert_int_equal(isr(f, 0x20), 0);
}

static void
test_rotation_moves_the_lowest_priority(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    pulse(f, 3);
    (void)i8259_ack(f->pic);
    out(f, 0x20, 0xA0); /* rotate on non-specific EOI: 3 becomes the lowest */
    pulse(f, 3);
    pulse(f, 4);
    assert_int_equal(i8259_ack(f->pic), 0x0C);
    out(f, 0x20, 0x20);
    assert_int_equal(i8259_ack(f->pic), 0x0B);
    out(f, 0x20, 0x20);
    out(f, 0x20, 0xC7); /* set priority: 7 lowest, as after initialisation */
    pulse(f, 3);
    pulse(f, 4);
    assert_int_equal(i8259_ack(f->pic), 0x0B);
    out(f, 0x20, 0xE3); /* rotate on specific EOI */
    pulse(f, 3);
    assert_int_equal(i8259_ack(f->pic), 0x0C);
}

static void
test_automatic_eoi_leaves_nothing_in_service(void **state)
{
    Fixture *f = *state;

    initialise(f, 3);
    pulse(f, 4);
    pulse(f, 6);
    assert_int_equal(i8259_ack(f->pic), 0x0C);
    assert_int_equal(isr(f, 0x20), 0);
    assert_int_equal(i8259_ack(f->pic), 0x0E);
    out(f, 0x20, 0x80); /* rotate in automatic EOI mode */
    pulse(f, 4);
    assert_int_equal(i8259_ack(f->pic), 0x0C);
    pulse(f, 4);
    pulse(f, 6);
    assert_int_equal(i8259_ack(f->pic), 0x0E);
    pulse(f, 10); /* IR2 comes before IR4 now: 6 is the lowest */
    assert_int_equal(i8259_ack(f->pic), 0x72);
    assert_int_equal(i8259_ack(f->pic), 0x0C);
    assert_int_equal(isr(f, 0xA0), 0);
}

static void
test_two_slave_requests_in_automatic_eoi_mode_both_arrive(void **state)
{
    Fixture *f = *state;

    initialise(f, 3);
    pulse(f, 9);
    pulse(f, 12);
    assert_int_equal(i8259_ack(f->pic), 0x71);
    assert_int_equal(i8259_ack(f->pic), 0x74);
    assert_int_equal(i8259_ack(f->pic), -1);
}

static void
test_special_mask_mode_admits_lower_requests(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    pulse(f, 4);
    (void)i8259_ack(f->pic);
    pulse(f, 6);
    assert_false(f->intr);
    out(f, 0x21, 0x10);
    out(f, 0x20, 0x68);
    assert_int_equal(i8259_ack(f->pic), 0x0E);
    out(f, 0x20, 0x20); /* non-specific: not the masked 4 */
    assert_int_equal(isr(f, 0x20), 0x10);
    out(f, 0x20, 0x48); /* special mask mode off */
    pulse(f, 6);
    assert_false(f->intr);
}

static void
test_poll_acknowledges_without_a_vector(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    out(f, 0x20, 0x0C);
    assert_int_equal(in(f, 0x20), 0);
    pulse(f, 6);
    out(f, 0x20, 0x0C);
    assert_int_equal(in(f, 0x20), 0x86);
    assert_int_equal(isr(f, 0x20), 0x40);
    assert_int_equal(in(f, 0x21), 0); /* only one read polls */
    assert_false(f->intr);
}

static void
test_reading_selects_irr_or_isr_and_the_mask(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    out(f, 0x21, 0xA5);
    assert_int_equal(in(f, 0x21), 0xA5);
    pulse(f, 1);
    pulse(f, 0);
    assert_int_equal(in(f, 0x20), 0x03); /* IRR after initialisation */
    (void)i8259_ack(f->pic);
    out(f, 0x20, 0x0B);
    assert_int_equal(in(f, 0x20), 0x02);
    out(f, 0x20, 0x08); /* neither RR nor poll: keeps the choice */
    assert_int_equal(in(f, 0x20), 0x02);
}

static void
count_eoi(void *opaque)
{
    Listener *listener = opaque;

    listener->f->eois[listener->irq]++;
    i8259_set_irq(listener->f->pic, listener->irq, false); /* as a resampled line does */
}

static void
test_eoi_reaches_its_listeners_who_may_lower_the_line(void **state)
{
    Fixture *f = *state;
    Listener listener = {.f = f, .irq = 11};

    initialise(f, 1);
    irq_lines_add_eoi(f->parts.irqs, 11, count_eoi, &listener);
    i8259_set_elcr(f->pic, 1u << 11);
    i8259_set_irq(f->pic, 11, true);
    (void)i8259_ack(f->pic);
    out(f, 0xA0, 0x20);
    assert_int_equal(f->eois[11], 1);
    out(f, 0x20, 0x20);
    assert_int_equal(f->eois[11], 1);
    irq_lines_remove_eoi(f->parts.irqs, 11, count_eoi, &listener);
}

static void
test_reset_clears_all_but_the_lines(void **state)
{
    Fixture *f = *state;

    initialise(f, 1);
    out(f, 0x21, 0x55);
    i8259_set_irq(f->pic, 1, true);
    i8259_reset(f->pic);
    assert_false(f->intr);
    assert_int_equal(in(f, 0x21), 0);
    assert_int_equal(in(f, 0x20), 0);
    assert_int_equal(i8259_ack(f->pic), -1);
}

int
main(void)
{
#define PIC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        PIC_TEST(test_an_edge_is_delivered_once),
        PIC_TEST(test_initialisation_follows_icw1),
        PIC_TEST(test_a_line_high_during_initialisation_needs_a_new_edge),
        PIC_TEST(test_priorities_nest),
        PIC_TEST(test_the_mask_holds_requests_back),
        PIC_TEST(test_the_slave_cascades_into_ir2),
        PIC_TEST(test_special_fully_nested_mode_lets_the_slave_nest),
        PIC_TEST(test_level_lines_ask_again_until_they_fall),
        PIC_TEST(test_ltim_makes_all_inputs_level_triggered),
        PIC_TEST(test_a_request_withdrawn_before_the_acknowledge_is_spurious_7),
        PIC_TEST(test_a_slave_request_withdrawn_is_spurious_15),
        PIC_TEST(test_specific_eoi_ends_what_it_names),
        PIC_TEST(test_rotation_moves_the_lowest_priority),
        PIC_TEST(test_automatic_eoi_leaves_nothing_in_service),
        PIC_TEST(test_two_slave_requests_in_automatic_eoi_mode_both_arrive),
        PIC_TEST(test_special_mask_mode_admits_lower_requests),
        PIC_TEST(test_poll_acknowledges_without_a_vector),
        PIC_TEST(test_reading_selects_irr_or_isr_and_the_mask),
        PIC_TEST(test_eoi_reaches_its_listeners_who_may_lower_the_line),
        PIC_TEST(test_reset_clears_all_but_the_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
