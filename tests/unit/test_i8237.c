/* SPDX-License-Identifier: Apache-2.0 */
/* The 8237 pair: registers by port, transfers by isa_dma.h. */
#include "board_parts.h"

#include "board/i8237.h"

#include <errno.h>

typedef struct {
    Parts parts;
    IsaDma *dma;
    unsigned ready;
    uint8_t data[0x20000];
} Fixture;

static void
ready(void *opaque)
{
    Fixture *f = opaque;
    IsaDmaStatus status;

    isa_dma_status(f->dma, 2, &status); /* no lock of the controller is held */
    f->ready++;
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    I8237Args args = {0};

    parts_init(&f->parts);
    args.bus = &f->parts.bus;
    f->dma = i8237_new(&args, NULL);
    assert_non_null(f->dma);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    i8237_free(f->dma);
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

/* Channel 2 as a floppy driver does: mask, flip-flop, mode, address, page, count, unmask. */
static void
program2(Fixture *f, uint8_t mode, uint32_t gpa, uint16_t count)
{
    out(f, 0x0A, 0x06);
    out(f, 0x0C, 0);
    out(f, 0x0B, (uint8_t)(mode | 2));
    out(f, 0x04, (uint8_t)gpa);
    out(f, 0x04, (uint8_t)(gpa >> 8));
    out(f, 0x81, (uint8_t)(gpa >> 16));
    out(f, 0x481, (uint8_t)(gpa >> 24));
    out(f, 0x05, (uint8_t)count);
    out(f, 0x05, (uint8_t)(count >> 8));
    out(f, 0x0A, 0x02);
}

/* Channel 5: addresses and counts in words. */
static void
program5(Fixture *f, uint8_t mode, uint32_t gpa, uint16_t count)
{
    out(f, 0xD4, 0x05);
    out(f, 0xD8, 0);
    out(f, 0xD6, (uint8_t)(mode | 1));
    out(f, 0xC4, (uint8_t)(gpa >> 1));
    out(f, 0xC4, (uint8_t)(gpa >> 9));
    out(f, 0x8B, (uint8_t)(gpa >> 16));
    out(f, 0xC6, (uint8_t)count);
    out(f, 0xC6, (uint8_t)(count >> 8));
    out(f, 0xD4, 0x01);
}

static uint8_t *
ram(Fixture *f, uint64_t gpa, uint64_t length)
{
    uint8_t *hva = guest_memory_translate(f->parts.bus.memory, gpa, length);

    assert_non_null(hva);
    return hva;
}

static void
fill(Fixture *f)
{
    for (size_t i = 0; i < sizeof(f->data); i++) {
        f->data[i] = (uint8_t)(i * 7 + (i >> 8));
    }
}

static void
test_a_write_transfer_lands_in_memory_and_ends_with_the_count(void **state)
{
    Fixture *f = *state;
    bool terminal;

    fill(f);
    program2(f, 0x44, 0x123456, 511);
    assert_int_equal(isa_dma_transfer(f->dma, 2, f->data, 200, &terminal), 200);
    assert_false(terminal);
    assert_int_equal(in(f, 0x08) & 0x04, 0);
    assert_int_equal(isa_dma_transfer(f->dma, 2, f->data + 200, 1000, &terminal), 312);
    assert_true(terminal);
    assert_memory_equal(ram(f, 0x123456, 512), f->data, 512);
    assert_int_equal(in(f, 0x08), 0x04);
    assert_int_equal(in(f, 0x08), 0x00); /* cleared by the read */
    assert_int_equal(in(f, 0x0F) & 0x04, 0x04);
    assert_int_equal(isa_dma_transfer(f->dma, 2, f->data, 1, &terminal), 0);
}

static void
test_a_read_transfer_comes_from_memory(void **state)
{
    Fixture *f = *state;
    uint8_t got[16];
    bool terminal;

    memcpy(ram(f, 0x20000, 16), "0123456789abcdef", 16);
    program2(f, 0x48, 0x20000, 15);
    assert_int_equal(isa_dma_transfer(f->dma, 2, got, 16, &terminal), 16);
    assert_true(terminal);
    assert_memory_equal(got, "0123456789abcdef", 16);
}

static void
test_decrement_walks_down(void **state)
{
    Fixture *f = *state;
    bool terminal;

    program2(f, 0x64, 0x20003, 3);
    assert_int_equal(isa_dma_transfer(f->dma, 2, (uint8_t[]){1, 2, 3, 4}, 4, &terminal), 4);
    assert_memory_equal(ram(f, 0x20000, 4), ((uint8_t[]){4, 3, 2, 1}), 4);
}

static void
test_verify_counts_without_data(void **state)
{
    Fixture *f = *state;
    IsaDmaStatus status;
    bool terminal;

    memset(ram(f, 0x20000, 8), 0xAA, 8);
    program2(f, 0x40, 0x20000, 7);
    isa_dma_status(f->dma, 2, &status);
    assert_int_equal(status.direction, ISA_DMA_VERIFY);
    assert_int_equal(status.remaining_bytes, 8);
    assert_int_equal(isa_dma_transfer(f->dma, 2, NULL, 8, &terminal), 8);
    assert_true(terminal);
    assert_int_equal(ram(f, 0x20000, 8)[0], 0xAA);
}

static void
test_addresses_wrap_within_64_kib(void **state)
{
    Fixture *f = *state;
    bool terminal;

    program2(f, 0x44, 0x2FFFE, 3);
    assert_int_equal(isa_dma_transfer(f->dma, 2, (uint8_t[]){1, 2, 3, 4}, 4, &terminal), 4);
    assert_memory_equal(ram(f, 0x2FFFE, 2), ((uint8_t[]){1, 2}), 2);
    assert_memory_equal(ram(f, 0x20000, 2), ((uint8_t[]){3, 4}), 2);
    assert_int_equal(ram(f, 0x30000, 1)[0], 0);
}

static void
test_word_channels_wrap_within_128_kib(void **state)
{
    Fixture *f = *state;
    IsaDmaStatus status;
    bool terminal;

    program5(f, 0x44, 0x3FFFE, 1);
    isa_dma_status(f->dma, 5, &status);
    assert_int_equal(status.remaining_bytes, 4);
    assert_int_equal(isa_dma_transfer(f->dma, 5, (uint8_t[]){1, 2, 3, 4}, 4, &terminal), 4);
    assert_true(terminal);
    assert_memory_equal(ram(f, 0x3FFFE, 2), ((uint8_t[]){1, 2}), 2);
    assert_memory_equal(ram(f, 0x20000, 2), ((uint8_t[]){3, 4}), 2);
    program5(f, 0x44, 0x20000, 0xFFFF);
    fill(f);
    assert_int_equal(isa_dma_transfer(f->dma, 5, f->data, 0x20001, &terminal), 0x20000);
    assert_true(terminal);
    assert_memory_equal(ram(f, 0x20000, 0x20000), f->data, 0x20000);
}

static void
test_autoinit_starts_again(void **state)
{
    Fixture *f = *state;
    IsaDmaStatus status;
    bool terminal;

    program2(f, 0x54, 0x20000, 1);
    assert_int_equal(isa_dma_transfer(f->dma, 2, (uint8_t[]){1, 2, 3}, 3, &terminal), 2);
    assert_true(terminal);
    isa_dma_status(f->dma, 2, &status);
    assert_false(status.masked);
    assert_true(status.autoinit);
    assert_int_equal(status.remaining_bytes, 2);
    assert_int_equal(isa_dma_transfer(f->dma, 2, (uint8_t[]){9}, 1, &terminal), 1);
    assert_int_equal(ram(f, 0x20000, 1)[0], 9);
}

static void
test_current_registers_read_back_through_the_flip_flop(void **state)
{
    Fixture *f = *state;
    bool terminal;

    program2(f, 0x44, 0x21234, 0x01FF);
    (void)isa_dma_transfer(f->dma, 2, f->data, 0x10, &terminal);
    out(f, 0x0C, 0);
    assert_int_equal(in(f, 0x04), 0x44);
    assert_int_equal(in(f, 0x04), 0x12);
    assert_int_equal(in(f, 0x05), 0xEF);
    out(f, 0x0C, 0); /* half a pair is dropped */
    assert_int_equal(in(f, 0x05), 0xEF);
    assert_int_equal(in(f, 0x05), 0x01);
}

static void
test_page_registers_are_all_scratch_and_readable(void **state)
{
    Fixture *f = *state;

    for (uint16_t i = 0; i < 16; i++) {
        out(f, (uint16_t)(0x80 + i), (uint8_t)(0x10 + i));
        out(f, (uint16_t)(0x480 + i), (uint8_t)(0x20 + i));
    }
    for (uint16_t i = 0; i < 16; i++) {
        assert_int_equal(in(f, (uint16_t)(0x80 + i)), 0x10 + i);
        assert_int_equal(in(f, (uint16_t)(0x480 + i)), 0x20 + i);
    }
}

static void
test_memory_that_is_not_there_reads_ff_and_loses_writes(void **state)
{
    Fixture *f = *state;
    uint8_t got[4] = {0};
    bool terminal;

    program2(f, 0x48, 0x1000000, 3); /* the end of RAM */
    assert_int_equal(isa_dma_transfer(f->dma, 2, got, 4, &terminal), 4);
    assert_memory_equal(got, ((uint8_t[]){0xFF, 0xFF, 0xFF, 0xFF}), 4);
    program2(f, 0x44, 0x1000000, 3);
    assert_int_equal(isa_dma_transfer(f->dma, 2, got, 4, &terminal), 4);
    program2(f, 0x48, 0xA0000, 0xFF);
    assert_int_equal(isa_dma_transfer(f->dma, 2, got, 1, &terminal), 1);
    assert_int_equal(got[0], 0xFF);
}

static void
test_masks_and_controller_disable_stop_transfers(void **state)
{
    Fixture *f = *state;
    uint8_t byte = 0;
    bool terminal;

    program2(f, 0x44, 0x20000, 99);
    out(f, 0x0A, 0x06);
    assert_int_equal(isa_dma_transfer(f->dma, 2, &byte, 1, &terminal), 0);
    out(f, 0x0E, 0);
    assert_int_equal(in(f, 0x0F), 0);
    assert_int_equal(isa_dma_transfer(f->dma, 2, &byte, 1, &terminal), 1);
    out(f, 0x0F, 0x0B);
    assert_int_equal(in(f, 0x0F), 0x0B);
    assert_int_equal(isa_dma_transfer(f->dma, 2, &byte, 1, &terminal), 1);
    out(f, 0x08, 0x04);
    assert_int_equal(isa_dma_transfer(f->dma, 2, &byte, 1, &terminal), 0);
    out(f, 0x08, 0x00);
    out(f, 0x0B, 0xC2); /* cascade: the controller moves nothing */
    assert_int_equal(isa_dma_transfer(f->dma, 2, &byte, 1, &terminal), 0);
    assert_int_equal(isa_dma_transfer(f->dma, 4, &byte, 1, &terminal), 0);
    assert_int_equal(isa_dma_transfer(f->dma, 8, &byte, 1, &terminal), 0);
}

static void
test_master_clear_masks_and_forgets(void **state)
{
    Fixture *f = *state;
    bool terminal;

    program2(f, 0x44, 0x20000, 0);
    (void)isa_dma_transfer(f->dma, 2, f->data, 1, &terminal);
    out(f, 0x0E, 0);
    out(f, 0x04, 0x12); /* leaves the flip-flop at the high byte */
    out(f, 0x0D, 0);
    assert_int_equal(in(f, 0x0F), 0x0F);
    assert_int_equal(in(f, 0x08), 0);
    assert_int_equal(in(f, 0x0D), 0);
    out(f, 0x04, 0x34);
    out(f, 0x04, 0x56);
    assert_int_equal(in(f, 0x04), 0x34);
    out(f, 0xDA, 0);
    assert_int_equal(in(f, 0xDE), 0x0F);
}

static void
test_requests_show_in_status_and_wake_the_device(void **state)
{
    Fixture *f = *state;

    assert_int_equal(isa_dma_claim(f->dma, 2, ready, f), 0);
    assert_int_equal(isa_dma_claim(f->dma, 2, ready, f), -EBUSY);
    assert_int_equal(isa_dma_claim(f->dma, 4, ready, f), -EINVAL);
    assert_int_equal(isa_dma_claim(f->dma, 8, ready, f), -EINVAL);
    isa_dma_set_dreq(f->dma, 2, true);
    assert_int_equal(in(f, 0x08), 0x40);
    assert_int_equal(f->ready, 0);
    program2(f, 0x44, 0x20000, 99);
    assert_int_equal(f->ready, 1); /* at the unmask */
    out(f, 0x0B, 0x46);
    assert_int_equal(f->ready, 2);
    isa_dma_set_dreq(f->dma, 2, false);
    out(f, 0x0B, 0x46);
    assert_int_equal(f->ready, 2);
    isa_dma_release(f->dma, 2);
    assert_int_equal(isa_dma_claim(f->dma, 2, NULL, NULL), 0);
}

static void
test_a_software_request_passes_the_mask_until_terminal_count(void **state)
{
    Fixture *f = *state;
    bool terminal;

    assert_int_equal(isa_dma_claim(f->dma, 2, ready, f), 0);
    program2(f, 0x84, 0x20000, 1);
    out(f, 0x0A, 0x06);
    out(f, 0x09, 0x06);
    assert_int_equal(in(f, 0x08), 0x40);
    assert_int_equal(f->ready, 1);
    assert_int_equal(isa_dma_transfer(f->dma, 2, (uint8_t[]){5, 6}, 2, &terminal), 2);
    assert_true(terminal);
    assert_int_equal(in(f, 0x08), 0x04);
    assert_int_equal(isa_dma_transfer(f->dma, 2, f->data, 1, &terminal), 0);
}

static void
test_a_software_request_without_a_device_runs_out(void **state)
{
    Fixture *f = *state;

    program2(f, 0x84, 0x20000, 0x1FF);
    out(f, 0x09, 0x06);
    assert_int_equal(in(f, 0x08), 0x04);
    assert_int_equal(ram(f, 0x20000, 1)[0], 0xFF);
    assert_int_equal(ram(f, 0x201FF, 1)[0], 0xFF);
    assert_int_equal(ram(f, 0x20200, 1)[0], 0x00);
}

static void
test_odd_ports_of_the_second_controller_are_aliases(void **state)
{
    Fixture *f = *state;

    out(f, 0xDF, 0x05);
    assert_int_equal(in(f, 0xDE), 0x05);
    assert_int_equal(in(f, 0xDF), 0x05);
}

static void
test_reset_masks_everything(void **state)
{
    Fixture *f = *state;
    IsaDmaStatus status;

    program2(f, 0x58, 0x20000, 99);
    i8237_reset(f->dma);
    isa_dma_status(f->dma, 2, &status);
    assert_true(status.masked);
    assert_int_equal(status.remaining_bytes, 1);
    assert_int_equal(in(f, 0x81), 0);
    assert_int_equal(in(f, 0x0F), 0x0F);
    assert_int_equal(in(f, 0xDE), 0x0F);
}

int
main(void)
{
#define DMA_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        DMA_TEST(test_a_write_transfer_lands_in_memory_and_ends_with_the_count),
        DMA_TEST(test_a_read_transfer_comes_from_memory),
        DMA_TEST(test_decrement_walks_down),
        DMA_TEST(test_verify_counts_without_data),
        DMA_TEST(test_addresses_wrap_within_64_kib),
        DMA_TEST(test_word_channels_wrap_within_128_kib),
        DMA_TEST(test_autoinit_starts_again),
        DMA_TEST(test_current_registers_read_back_through_the_flip_flop),
        DMA_TEST(test_page_registers_are_all_scratch_and_readable),
        DMA_TEST(test_memory_that_is_not_there_reads_ff_and_loses_writes),
        DMA_TEST(test_masks_and_controller_disable_stop_transfers),
        DMA_TEST(test_master_clear_masks_and_forgets),
        DMA_TEST(test_requests_show_in_status_and_wake_the_device),
        DMA_TEST(test_a_software_request_passes_the_mask_until_terminal_count),
        DMA_TEST(test_a_software_request_without_a_device_runs_out),
        DMA_TEST(test_odd_ports_of_the_second_controller_are_aliases),
        DMA_TEST(test_reset_masks_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
