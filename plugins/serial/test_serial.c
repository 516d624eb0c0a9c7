/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/serial on the fake core. Register numbers: 0 RBR/THR/DLL, 1 IER/DLM, 2 IIR/FCR, 3 LCR, 4
 * MCR, 5 LSR, 6 MSR, 7 SCR. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COM1         0x3f8u
#define CHARACTER_NS 86805u /* ten bits at 115200 bit/s */

struct port {
    struct th_host *th;
    struct th_char *tty;
    struct bp_instance *com;
};

static struct port
plug(const char *options)
{
    struct port port = {.th = th_new()};
    char text[128];

    port.tty = th_char_new(port.th, "tty");
    (void)snprintf(text, sizeof(text), "backend = \"tty\"; %s", options);
    port.com = th_plug(port.th, &backplane_plugin_v1, "com1", text);
    assert_non_null(port.com);
    return port;
}

static uint8_t
in(struct port port, uint32_t offset)
{
    return (uint8_t)th_in(port.th, (uint16_t)(COM1 + offset), 1);
}

static void
out(struct port port, uint32_t offset, uint8_t value)
{
    th_out(port.th, (uint16_t)(COM1 + offset), 1, value);
}

static void
type(struct port port, const char *text)
{
    th_char_input(port.tty, text, (uint32_t)strlen(text));
    th_run(port.th);
}

/* 115200 8N1, as every driver does it. */
static void
set_up(struct port port, uint8_t fcr, uint8_t ier)
{
    out(port, 3, 0x80);
    out(port, 0, 1);
    out(port, 1, 0);
    out(port, 3, 0x03);
    out(port, 2, fcr);
    out(port, 4, 0x0b);
    out(port, 1, ier);
}

static void
test_registers_after_reset_are_those_of_the_data_sheet(void **state)
{
    struct port port = plug("");

    assert_int_equal(in(port, 1), 0x00);
    assert_int_equal(in(port, 2), 0x01);
    assert_int_equal(in(port, 3), 0x00);
    assert_int_equal(in(port, 4), 0x00);
    assert_int_equal(in(port, 5), 0x60);
    assert_int_equal(in(port, 6) & 0x0f, 0x00);
    assert_int_equal(in(port, 6) & 0xf0, 0x00);
    th_free(port.th);
}

static void
test_output_reaches_the_line_at_once(void **state)
{
    struct port port = plug("");

    out(port, 0, 'h');
    out(port, 0, 'i');
    assert_true(th_char_take(port.tty, "hi"));
    assert_int_equal(in(port, 5), 0x60);
    th_free(port.th);
}

static void
test_string_output_is_one_write(void **state)
{
    struct port port = plug("");
    uint32_t writes = th_char_writes(port.tty);

    th_outs(port.th, COM1, 1, 26, "abcdefghijklmnopqrstuvwxyz");
    assert_true(th_char_take(port.tty, "abcdefghijklmnopqrstuvwxyz"));
    assert_int_equal(th_char_writes(port.tty), writes + 1);
    th_free(port.th);
}

static void
test_divisor_latch_and_scratch_keep_what_is_written(void **state)
{
    struct port port = plug("");

    out(port, 3, 0x83);
    out(port, 0, 0x34);
    out(port, 1, 0x12);
    assert_int_equal(in(port, 0), 0x34);
    assert_int_equal(in(port, 1), 0x12);
    out(port, 3, 0x03);
    assert_int_equal(in(port, 1), 0x00);
    out(port, 7, 0x5a);
    assert_int_equal(in(port, 7), 0x5a);
    out(port, 1, 0xff);
    assert_int_equal(in(port, 1), 0x0f);
    out(port, 4, 0xef);
    assert_int_equal(in(port, 4), 0x0f);
    th_free(port.th);
}

static void
test_backend_is_told_speed_and_frame(void **state)
{
    struct port port = plug("");
    const uint32_t *set = th_char_parameters(port.tty);

    out(port, 3, 0x80);
    out(port, 0, 12);
    out(port, 3, 0x1e); /* 7 data bits, even parity, 2 stop bits */
    assert_int_equal(set[0], 9600);
    assert_int_equal(set[1], 7);
    assert_int_equal(set[2], 2);
    assert_int_equal(set[3], 2);
    out(port, 3, 0x2b); /* 8 bits, parity stuck at mark */
    assert_int_equal(set[2], 3);
    th_free(port.th);
}

static void
test_without_fifo_one_character_is_received_at_a_time(void **state)
{
    struct port port = plug("");

    set_up(port, 0, 0x01);
    type(port, "xyz");
    assert_int_equal(th_irq_level(port.th, 4), 1);
    assert_int_equal(in(port, 2), 0x04);
    assert_int_equal(in(port, 5), 0x61);
    assert_int_equal(th_char_pending(port.tty), 2);
    assert_int_equal(in(port, 0), 'x');
    assert_int_equal(th_irq_level(port.th, 4), 0);
    th_run(port.th);
    assert_int_equal(th_irq_level(port.th, 4), 1);
    assert_int_equal(in(port, 0), 'y');
    th_run(port.th);
    assert_int_equal(in(port, 0), 'z');
    assert_int_equal(in(port, 0), 'z'); /* the register keeps it */
    assert_int_equal(in(port, 5), 0x60);
    th_free(port.th);
}

static void
test_fifo_trigger_levels_are_1_4_8_and_14(void **state)
{
    static const uint8_t trigger[4] = {1, 4, 8, 14};
    uint32_t level, i;

    for (level = 0; level < 4; level++) {
        struct port port = plug("");
        set_up(port, (uint8_t)(0x07 | level << 6), 0x01);
        for (i = 1; i < trigger[level]; i++) {
            type(port, "a");
            assert_int_equal(th_irq_level(port.th, 4), 0);
        }
        type(port, "b");
        assert_int_equal(th_irq_level(port.th, 4), 1);
        assert_int_equal(in(port, 2), 0xc4);
        (void)in(port, 0);
        assert_int_equal(th_irq_level(port.th, 4), 0);
        th_free(port.th);
    }
}

static void
test_character_timeout_interrupts_after_four_characters(void **state)
{
    struct port port = plug("");

    set_up(port, 0x87, 0x01);
    type(port, "ab");
    th_clock_step(port.th, 4 * CHARACTER_NS - 1000);
    assert_int_equal(th_irq_level(port.th, 4), 0);
    th_clock_step(port.th, 2000);
    assert_int_equal(th_irq_level(port.th, 4), 1);
    assert_int_equal(in(port, 2), 0xcc);
    assert_int_equal(in(port, 0), 'a');
    assert_int_equal(th_irq_level(port.th, 4), 0);
    th_clock_step(port.th, 4 * CHARACTER_NS + 1000);
    assert_int_equal(in(port, 2), 0xcc);
    assert_int_equal(in(port, 0), 'b');
    th_clock_step(port.th, 10 * CHARACTER_NS);
    assert_int_equal(in(port, 2), 0xc1);
    th_free(port.th);
}

static void
test_flood_of_input_is_lost_nowhere(void **state)
{
    struct port port = plug("");
    char text[1000], got[1000];
    uint32_t i, n = 0, rounds;

    for (i = 0; i < sizeof(text); i++) {
        text[i] = (char)('!' + i % 90);
    }
    set_up(port, 0xc7, 0x01);
    th_char_input(port.tty, text, sizeof(text));
    for (rounds = 0; rounds < 5000 && n < sizeof(got); rounds++) {
        th_run(port.th);
        if (in(port, 5) & 1) {
            got[n++] = (char)in(port, 0);
        }
        if (rounds % 100 == 50) {
            out(port, 4, rounds % 200 == 50 ? 0x1b : 0x0b); /* into loopback and out of it */
        }
    }
    assert_int_equal(n, sizeof(text));
    assert_memory_equal(got, text, sizeof(text));
    assert_int_equal(in(port, 5) & 0x02, 0);
    th_free(port.th);
}

static void
test_thre_interrupt_comes_with_enable_and_goes_with_iir_read(void **state)
{
    struct port port = plug("");

    set_up(port, 0x07, 0x00);
    out(port, 1, 0x02);
    assert_int_equal(th_irq_level(port.th, 4), 1);
    assert_int_equal(in(port, 2), 0xc2);
    assert_int_equal(th_irq_level(port.th, 4), 0);
    assert_int_equal(in(port, 2), 0xc1);
    out(port, 1, 0x02); /* no new edge of the enable bit */
    assert_int_equal(in(port, 2), 0xc1);
    out(port, 1, 0x00);
    out(port, 1, 0x02);
    assert_int_equal(in(port, 2), 0xc2);
    th_free(port.th);
}

static void
test_each_character_written_gives_an_edge_of_the_interrupt(void **state)
{
    struct port port = plug("");
    uint32_t count;

    set_up(port, 0x07, 0x02);
    th_irq_log_clear(port.th);
    out(port, 0, 'a');
    (void)th_irq_log(port.th, &count);
    assert_int_equal(count, 2); /* low, high */
    assert_int_equal(th_irq_level(port.th, 4), 1);
    (void)in(port, 2);
    out(port, 0, 'b');
    assert_int_equal(th_irq_level(port.th, 4), 1);
    th_free(port.th);
}

static void
test_slow_backend_holds_thre_back_and_loses_nothing(void **state)
{
    struct port port = plug("");

    set_up(port, 0x07, 0x02);
    (void)in(port, 2);
    th_char_set_room(port.tty, 1);
    out(port, 0, 'a');
    assert_int_equal(in(port, 2), 0xc2);
    out(port, 0, 'b');
    out(port, 0, 'c');
    assert_int_equal(in(port, 5), 0x00);
    assert_int_equal(in(port, 2), 0xc1);
    assert_int_equal(th_irq_level(port.th, 4), 0);
    th_char_set_room(port.tty, UINT32_MAX);
    th_run(port.th);
    assert_int_equal(in(port, 5), 0x60);
    assert_int_equal(th_irq_level(port.th, 4), 1);
    assert_true(th_char_take(port.tty, "abc"));
    th_free(port.th);
}

static void
test_transmit_fifo_holds_sixteen_for_a_stuck_backend(void **state)
{
    struct port port = plug("");
    uint32_t i;

    set_up(port, 0x07, 0);
    th_char_set_room(port.tty, 0);
    for (i = 0; i < 20; i++) {
        out(port, 0, (uint8_t)('a' + i));
    }
    th_char_set_room(port.tty, UINT32_MAX);
    th_run(port.th);
    assert_true(th_char_take(port.tty, "abcdefghijklmnop"));
    th_char_set_room(port.tty, 0);
    out(port, 0, 'x');
    out(port, 2, 0x05); /* clear the transmit FIFO */
    assert_int_equal(in(port, 5), 0x60);
    th_char_set_room(port.tty, UINT32_MAX);
    th_run(port.th);
    assert_true(th_char_take(port.tty, ""));
    th_free(port.th);
}

static void
test_paced_characters_take_their_time(void **state)
{
    struct port port = plug("pace = true;");

    set_up(port, 0x00, 0x02);
    (void)in(port, 2);
    out(port, 0, 'a');
    assert_int_equal(in(port, 5), 0x20); /* in the shift register; THR is free */
    assert_int_equal(in(port, 2), 0x02);
    out(port, 0, 'b');
    assert_int_equal(in(port, 5), 0x00);
    th_clock_step(port.th, CHARACTER_NS - 1000);
    assert_true(th_char_take(port.tty, ""));
    th_clock_step(port.th, 2000);
    assert_true(th_char_take(port.tty, "a"));
    assert_int_equal(in(port, 5), 0x20);
    assert_int_equal(in(port, 2), 0x02);
    th_clock_step(port.th, CHARACTER_NS);
    assert_true(th_char_take(port.tty, "b"));
    assert_int_equal(in(port, 5), 0x60);
    th_free(port.th);
}

static void
test_paced_output_waits_for_a_slow_backend(void **state)
{
    struct port port = plug("pace = true;");

    set_up(port, 0x07, 0);
    th_char_set_room(port.tty, 0);
    out(port, 0, 'a');
    out(port, 0, 'b');
    th_clock_step(port.th, 10 * CHARACTER_NS);
    assert_true(th_char_take(port.tty, ""));
    th_char_set_room(port.tty, UINT32_MAX);
    th_clock_step(port.th, 10 * CHARACTER_NS);
    assert_true(th_char_take(port.tty, "ab"));
    th_free(port.th);
}

static void
test_loopback_returns_characters_and_modem_outputs(void **state)
{
    struct port port = plug("");

    set_up(port, 0x07, 0);
    out(port, 4, 0x10);
    (void)in(port, 6);
    out(port, 0, 'q');
    assert_int_equal(in(port, 5), 0x61);
    assert_int_equal(in(port, 0), 'q');
    assert_true(th_char_take(port.tty, ""));
    out(port, 4, 0x1a); /* RTS, OUT2 */
    assert_int_equal(in(port, 6), 0x90 | 0x09);
    out(port, 4, 0x15); /* DTR, OUT1 */
    assert_int_equal(in(port, 6), 0x60 | 0x0b);
    out(port, 4, 0x10);
    assert_int_equal(in(port, 6), 0x00 | 0x06); /* trailing edge of RI */
    out(port, 3, 0x00);
    out(port, 0, 0xff); /* five-bit characters */
    assert_int_equal(in(port, 0), 0x1f);
    th_free(port.th);
}

static void
test_loopback_overrun_keeps_the_fifo_and_replaces_the_register(void **state)
{
    struct port port = plug("");
    uint32_t i;

    set_up(port, 0x07, 0x04);
    out(port, 4, 0x18);
    for (i = 0; i < 17; i++) {
        out(port, 0, (uint8_t)i);
    }
    assert_int_equal(in(port, 2), 0xc6);
    assert_int_equal(in(port, 5), 0x63);
    assert_int_equal(in(port, 5), 0x61); /* reading LSR cleared it */
    for (i = 0; i < 16; i++) {
        assert_int_equal(in(port, 0), i);
    }
    out(port, 2, 0x00);
    out(port, 0, 'a');
    out(port, 0, 'b');
    assert_int_equal(in(port, 5), 0x63);
    assert_int_equal(in(port, 0), 'b');
    th_free(port.th);
}

static void
test_break_shows_when_its_character_is_next(void **state)
{
    struct port port = plug("");

    set_up(port, 0x07, 0x04);
    type(port, "a");
    th_char_send_event(port.tty, BP_CHAR_EVENT_BREAK);
    th_run(port.th);
    assert_int_equal(in(port, 5), 0x61 | 0x80); /* somewhere in the FIFO */
    assert_int_equal(th_irq_level(port.th, 4), 0);
    assert_int_equal(in(port, 0), 'a');
    assert_int_equal(th_irq_level(port.th, 4), 1);
    assert_int_equal(in(port, 2), 0xc6);
    assert_int_equal(in(port, 5), 0x61 | 0x18 | 0x80);
    assert_int_equal(in(port, 5), 0x61);
    assert_int_equal(in(port, 0), 0x00);
    th_free(port.th);
}

static void
test_break_is_sent_on_the_edge_of_lcr(void **state)
{
    struct port port = plug("");

    out(port, 3, 0x43);
    out(port, 3, 0x43);
    assert_int_equal(th_char_breaks(port.tty), 1);
    out(port, 3, 0x03);
    out(port, 3, 0x43);
    assert_int_equal(th_char_breaks(port.tty), 2);
    th_free(port.th);
}

static void
test_modem_lines_pass_both_ways_and_interrupt(void **state)
{
    struct port port = plug("");

    set_up(port, 0x07, 0x08);
    assert_int_equal(th_char_lines(port.tty), BP_CHAR_DTR | BP_CHAR_RTS);
    (void)in(port, 6);
    th_char_set_lines(port.tty, BP_CHAR_CTS | BP_CHAR_RI);
    th_run(port.th);
    assert_int_equal(th_irq_level(port.th, 4), 1);
    assert_int_equal(in(port, 2), 0xc0);
    assert_int_equal(in(port, 6), 0x51); /* RI rising sets no delta */
    assert_int_equal(th_irq_level(port.th, 4), 0);
    th_char_set_lines(port.tty, BP_CHAR_CTS);
    th_run(port.th);
    assert_int_equal(in(port, 6), 0x14);
    out(port, 4, 0x1b);
    assert_int_equal(th_char_lines(port.tty), 0); /* loopback lets both go */
    th_free(port.th);
}

static void
test_interrupts_come_in_order_of_priority(void **state)
{
    struct port port = plug("");

    set_up(port, 0x07, 0x0f);
    type(port, "a");
    th_char_set_lines(port.tty, BP_CHAR_CTS);
    th_char_send_event(port.tty, BP_CHAR_EVENT_BREAK);
    th_run(port.th);
    assert_int_equal(in(port, 2), 0xc4);
    (void)in(port, 0);
    assert_int_equal(in(port, 2), 0xc6);
    (void)in(port, 5);
    assert_int_equal(in(port, 2), 0xc4);
    (void)in(port, 0);
    assert_int_equal(in(port, 2), 0xc2);
    assert_int_equal(in(port, 2), 0xc0);
    (void)in(port, 6);
    assert_int_equal(in(port, 2), 0xc1);
    assert_int_equal(th_irq_level(port.th, 4), 0);
    th_free(port.th);
}

static void
test_out2_gates_the_interrupt_if_asked_to(void **state)
{
    struct port port = plug("irq_gate = true;");

    out(port, 1, 0x02);
    assert_int_equal(th_irq_level(port.th, 4), 0);
    out(port, 4, 0x08);
    assert_int_equal(th_irq_level(port.th, 4), 1);
    th_free(port.th);
}

static void
test_fcr_counts_only_with_its_enable_bit(void **state)
{
    struct port port = plug("");

    set_up(port, 0x01, 0);
    type(port, "abc");
    out(port, 2, 0x02); /* disables: FIFOs are emptied */
    assert_int_equal(in(port, 2), 0x01);
    assert_int_equal(in(port, 5) & 1, 0);
    type(port, "d");
    out(port, 2, 0x06); /* without bit 0 nothing is cleared */
    assert_int_equal(in(port, 5) & 1, 1);
    assert_int_equal(in(port, 0), 'd');
    th_free(port.th);
}

static void
test_reset_keeps_divisor_and_scratch(void **state)
{
    struct port port = plug("");

    set_up(port, 0x07, 0x02);
    out(port, 7, 0x77);
    th_reset(port.com, BP_RESET_SYSTEM);
    assert_int_equal(th_irq_level(port.th, 4), 0);
    assert_int_equal(in(port, 1), 0);
    assert_int_equal(in(port, 4), 0);
    assert_int_equal(in(port, 7), 0x77);
    out(port, 3, 0x80);
    assert_int_equal(in(port, 0), 1);
    out(port, 3, 0x03);
    type(port, "r");
    assert_int_equal(in(port, 0), 'r');
    th_free(port.th);
}

static void
test_four_ports_get_the_usual_places_and_share_interrupts(void **state)
{
    static const uint16_t base[4] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    static const char *const ids[4] = {"a", "b", "c", "d"};
    struct th_host *th = th_new();
    uint32_t i;

    for (i = 0; i < 4; i++) {
        const struct bp_isa_resource *resource;
        assert_non_null(th_plug(th, &backplane_plugin_v1, ids[i], NULL));
        th_out(th, (uint16_t)(base[i] + 7), 1, 0x10 + i);
        resource = th_isa_resource(th, i);
        assert_non_null(resource);
        assert_string_equal(resource->hid, "PNP0501");
        assert_int_equal(resource->uid, i + 1);
        assert_int_equal(resource->io_base[0], base[i]);
        assert_int_equal(resource->irq, i % 2 == 0 ? 4 : 3);
    }
    for (i = 0; i < 4; i++) {
        assert_int_equal(th_in(th, (uint16_t)(base[i] + 7), 1), 0x10 + i);
    }
    th_out(th, 0x3f9, 1, 2);
    th_out(th, 0x3e9, 1, 2);
    assert_int_equal(th_irq_level(th, 4), 1);
    (void)th_in(th, 0x3fa, 1);
    assert_int_equal(th_irq_level(th, 4), 1);
    (void)th_in(th, 0x3ea, 1);
    assert_int_equal(th_irq_level(th, 4), 0);
    assert_null(th_plug(th, &backplane_plugin_v1, "e", NULL));
    th_free(th);
}

static void
test_without_a_backend_output_vanishes_and_lines_are_up(void **state)
{
    struct th_host *th = th_new();

    assert_non_null(th_plug(th, &backplane_plugin_v1, "com1", NULL));
    th_out(th, COM1, 1, 'x');
    assert_int_equal(th_in(th, COM1 + 5, 1), 0x60);
    assert_int_equal(th_in(th, COM1 + 6, 1) & 0xf0, 0xb0);
    th_free(th);
}

static void
test_errors_of_creation_say_what_is_wrong(void **state)
{
    struct port port = plug("");

    assert_null(th_plug(port.th, &backplane_plugin_v1, "x", "port = 0x3fc; irq = 5;"));
    assert_int_equal(th_status(port.th), -EBUSY);
    assert_string_equal(th_error_text(port.th),
                        "cannot have ports 0x3fc to 0x403: another device has some of them");
    assert_null(th_plug(port.th, &backplane_plugin_v1, "x", "port = 0x100; irq = 2;"));
    assert_int_equal(th_status(port.th), -EINVAL);
    assert_string_equal(th_error_text(port.th), "cannot have IRQ 2: the core refused it");
    assert_null(
        th_plug(port.th, &backplane_plugin_v1, "x", "port = 0x100; irq = 5; backend = \"tty\";"));
    assert_int_equal(th_status(port.th), -EBUSY);
    assert_string_equal(th_error_text(port.th),
                        "backend 'tty' cannot be used: another device has it");
    th_free(port.th);
}

static void
test_backend_may_change_while_running(void **state)
{
    struct port port = plug("");
    struct th_char *second = th_char_new(port.th, "second");

    set_up(port, 0x07, 0x01);
    th_char_set_room(port.tty, 0);
    out(port, 0, 'x');
    th_detach(port.com, 0, 0);
    assert_int_equal(in(port, 5), 0x60);
    assert_int_equal(th_attach(port.com, 0, 0, "second"), 0);
    assert_int_equal(th_char_lines(second), BP_CHAR_DTR | BP_CHAR_RTS);
    out(port, 0, 'y');
    assert_true(th_char_take(second, "y"));
    th_char_input(second, "z", 1);
    th_run(port.th);
    assert_int_equal(in(port, 0), 'z');
    th_free(port.th);
}

static void
test_saved_port_goes_on_where_it_was(void **state)
{
    struct port from = plug(""), to = plug("");
    uint8_t *data;
    uint64_t length, cut;

    set_up(from, 0x87, 0x05);
    type(from, "ab");
    th_char_set_room(from.tty, 0);
    out(from, 0, 'o');
    out(from, 7, 0x99);
    assert_int_equal(th_save(from.com, &data, &length), 0);
    assert_int_equal(th_restore(to.com, data, length), 0);
    assert_int_equal(in(to, 7), 0x99);
    assert_true(th_char_take(to.tty, "o"));
    assert_int_equal(in(to, 1), 0x05);
    type(to, "cdefgh");
    assert_int_equal(th_irq_level(to.th, 4), 1);
    assert_int_equal(in(to, 0), 'a');
    assert_int_equal(in(to, 0), 'b');
    assert_int_equal(in(to, 0), 'c');
    for (cut = 1; cut < length; cut++) {
        assert_true(th_validate(to.com, data, length - cut) <= 0);
    }
    data[8] = 0xff; /* IER has four bits */
    assert_int_equal(th_validate(to.com, data, length), -EINVAL);
    free(data);
    th_free(from.th);
    th_free(to.th);
}

static void
test_random_state_is_refused_or_harmless(void **state)
{
    struct port port = plug("");
    uint8_t *data;
    uint64_t length;
    uint32_t random = 7, i;

    assert_int_equal(th_save(port.com, &data, &length), 0);
    for (i = 0; i < 20000; i++) {
        uint8_t *copy = malloc(length);
        uint32_t flips;
        memcpy(copy, data, length);
        for (flips = 0; flips < 4; flips++) {
            random = random * 1664525u + 1013904223u;
            copy[(random >> 8) % length] ^= (uint8_t)(1u << (random >> 5 & 7));
        }
        if (th_validate(port.com, copy, length) == 0) {
            assert_int_equal(th_restore(port.com, copy, length), 0);
            (void)in(port, random >> 20 & 7);
            out(port, random >> 23 & 7, (uint8_t)random);
        }
        free(copy);
    }
    th_run(port.th);
    free(data);
    th_free(port.th);
}

static void
make_tty(struct th_host *th, void *opaque)
{
    (void)th_char_new(th, "tty");
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_int_equal(
        th_fail_each_call(&backplane_plugin_v1, NULL, "backend = \"tty\";", make_tty, NULL), 6);
}

static void
test_random_accesses_are_survived(void **state)
{
    struct port port = plug("");
    struct port paced = plug("pace = true;");
    uint32_t random = 1, i;

    for (i = 0; i < 200000; i++) {
        struct port now = random >> 7 & 1 ? port : paced;
        random = random * 1664525u + 1013904223u;
        if (random >> 31) {
            th_out(now.th, (uint16_t)(COM1 + (random >> 28 & 7)), 1u << (random >> 26 & 1),
                   random >> 3);
        } else {
            (void)th_in(now.th, (uint16_t)(COM1 + (random >> 28 & 7)), 1u << (random >> 26 & 1));
        }
        if (i % 32 == 0) {
            th_char_set_room(now.tty, random >> 24 & 31);
            th_char_input(now.tty, &random, random >> 22 & 3);
            th_clock_step(now.th, random & 0xfffff);
        }
    }
    th_free(port.th);
    th_free(paced.th);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers_after_reset_are_those_of_the_data_sheet),
        cmocka_unit_test(test_output_reaches_the_line_at_once),
        cmocka_unit_test(test_string_output_is_one_write),
        cmocka_unit_test(test_divisor_latch_and_scratch_keep_what_is_written),
        cmocka_unit_test(test_backend_is_told_speed_and_frame),
        cmocka_unit_test(test_without_fifo_one_character_is_received_at_a_time),
        cmocka_unit_test(test_fifo_trigger_levels_are_1_4_8_and_14),
        cmocka_unit_test(test_character_timeout_interrupts_after_four_characters),
        cmocka_unit_test(test_flood_of_input_is_lost_nowhere),
        cmocka_unit_test(test_thre_interrupt_comes_with_enable_and_goes_with_iir_read),
        cmocka_unit_test(test_each_character_written_gives_an_edge_of_the_interrupt),
        cmocka_unit_test(test_slow_backend_holds_thre_back_and_loses_nothing),
        cmocka_unit_test(test_transmit_fifo_holds_sixteen_for_a_stuck_backend),
        cmocka_unit_test(test_paced_characters_take_their_time),
        cmocka_unit_test(test_paced_output_waits_for_a_slow_backend),
        cmocka_unit_test(test_loopback_returns_characters_and_modem_outputs),
        cmocka_unit_test(test_loopback_overrun_keeps_the_fifo_and_replaces_the_register),
        cmocka_unit_test(test_break_shows_when_its_character_is_next),
        cmocka_unit_test(test_break_is_sent_on_the_edge_of_lcr),
        cmocka_unit_test(test_modem_lines_pass_both_ways_and_interrupt),
        cmocka_unit_test(test_interrupts_come_in_order_of_priority),
        cmocka_unit_test(test_out2_gates_the_interrupt_if_asked_to),
        cmocka_unit_test(test_fcr_counts_only_with_its_enable_bit),
        cmocka_unit_test(test_reset_keeps_divisor_and_scratch),
        cmocka_unit_test(test_four_ports_get_the_usual_places_and_share_interrupts),
        cmocka_unit_test(test_without_a_backend_output_vanishes_and_lines_are_up),
        cmocka_unit_test(test_errors_of_creation_say_what_is_wrong),
        cmocka_unit_test(test_backend_may_change_while_running),
        cmocka_unit_test(test_saved_port_goes_on_where_it_was),
        cmocka_unit_test(test_random_state_is_refused_or_harmless),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
        cmocka_unit_test(test_random_accesses_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
