/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the SDK's library that plugins' own tests do not reach. */
#include <backplane/sdk/json.h>
#include <backplane/sdk/sdk.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
test_fifo_wraps_and_stays_in_order(void **state)
{
    uint8_t memory[7], out[16], next_in = 0, next_out = 0;
    struct bp_fifo fifo;
    uint32_t round, i, n;

    bp_fifo_init(&fifo, memory, sizeof(memory));
    assert_int_equal(bp_fifo_pop(&fifo), -1);
    for (round = 0; round < 1000; round++) {
        uint8_t in[8];
        for (i = 0; i < sizeof(in); i++) {
            in[i] = (uint8_t)(next_in + i);
        }
        next_in = (uint8_t)(next_in + bp_fifo_write(&fifo, in, round % 9));
        n = bp_fifo_read(&fifo, out, round % 5);
        for (i = 0; i < n; i++) {
            assert_int_equal(out[i], next_out++);
        }
        if (fifo.count == 7) {
            assert_int_equal(bp_fifo_push(&fifo, 0), 0);
            assert_int_equal(bp_fifo_pop(&fifo), next_out++);
        }
        assert_int_equal(fifo.count + bp_fifo_room(&fifo), 7);
    }
}

static void
test_iovec_copies_at_any_offset(void **state)
{
    char a[] = "abc", b[] = "", c[] = "defgh", out[9] = "";
    struct bp_iovec iov[] = {{a, 3}, {b, 0}, {c, 5}}, part[3];

    assert_int_equal(bp_iovec_length(iov, 3), 8);
    assert_int_equal(bp_iovec_read(iov, 3, 1, out, 100), 7);
    assert_memory_equal(out, "bcdefgh", 7);
    assert_int_equal(bp_iovec_write(iov, 3, 2, "XYZ", 3), 3);
    assert_memory_equal(a, "abX", 3);
    assert_memory_equal(c, "YZfgh", 5);
    assert_int_equal(bp_iovec_fill(iov, 3, 7, '!', 9), 1);
    assert_int_equal(c[4], '!');
    assert_int_equal(bp_iovec_read(iov, 3, 8, out, 1), 0);
    assert_int_equal(bp_iovec_slice(iov, 3, 2, 4, part, 3), 2);
    assert_ptr_equal(part[0].base, a + 2);
    assert_int_equal(part[0].length, 1);
    assert_ptr_equal(part[1].base, c);
    assert_int_equal(part[1].length, 3);
    assert_int_equal(bp_iovec_slice(iov, 3, 2, 4, part, 1), -EMSGSIZE);
    assert_int_equal(bp_iovec_slice(iov, 3, 5, 4, part, 3), -EINVAL);
    iov[0].length = UINT64_MAX;
    assert_true(bp_iovec_length(iov, 3) == UINT64_MAX);
}

struct object {
    uint8_t small;
    uint16_t words[3];
    uint64_t large;
};

static const struct bp_state_field fields[] = {
    BP_STATE_FIELD(1, struct object, small, BP_FIELD_REQUIRED, 5),
    BP_STATE_ARRAY(2, struct object, words, 0),
    BP_STATE_FIELD(3 | BP_STATE_MUST, struct object, large, 0, 0),
};

struct sink {
    struct bp_state_sink table;
    uint8_t data[256];
    uint64_t length;
};

static int32_t
put(const struct bp_state_sink *table, uint32_t tag, const void *data, uint64_t length)
{
    struct sink *sink = (struct sink *)(uintptr_t)table;

    memset(sink->data + sink->length, 0, 8 + ((length + 7) & ~7u));
    bp_store_le(sink->data + sink->length, 2, tag);
    bp_store_le(sink->data + sink->length + 4, 4, length);
    memcpy(sink->data + sink->length + 8, data, length);
    sink->length += 8 + ((length + 7) & ~7u);
    return 0;
}

static struct sink
saved(const struct object *object)
{
    struct sink sink = {.table = {.size = sizeof(sink.table), .put = put}};

    assert_int_equal(bp_state_save(fields, 3, object, &sink.table), 0);
    return sink;
}

static void
test_state_comes_back_and_is_little_endian(void **state)
{
    const struct object from = {4, {1, 0x1234, 3}, UINT64_C(0x1122334455667788)};
    struct object to = {0};
    struct sink sink = saved(&from);

    assert_int_equal(sink.length, 48);
    assert_memory_equal(sink.data + 24, "\x01\x00\x34\x12\x03\x00\x00\x00", 8);
    assert_int_equal(bp_state_restore(fields, 3, &to, sink.data, sink.length), 0);
    assert_int_equal(to.small, 4);
    assert_int_equal(to.words[1], 0x1234);
    assert_true(to.large == from.large);
}

static void
test_bad_state_is_refused_and_changes_nothing(void **state)
{
    const struct object from = {4, {1, 2, 3}, 9};
    struct object to = {.small = 1};
    struct sink good = saved(&from), sink = good;
    uint64_t length;

    sink.data[8] = 6; /* above its max */
    assert_int_equal(bp_state_restore(fields, 3, &to, sink.data, sink.length), -EINVAL);
    sink = good;
    sink.data[2] = 1; /* reserved */
    assert_int_equal(bp_state_validate(fields, 3, sink.data, sink.length), -EINVAL);
    sink = good;
    sink.data[4] = 2; /* another length */
    assert_int_equal(bp_state_validate(fields, 3, sink.data, sink.length), -EINVAL);
    sink = good;
    sink.data[4] = 0xff;
    sink.data[7] = 0xff; /* far beyond the end */
    assert_int_equal(bp_state_validate(fields, 3, sink.data, sink.length), -EINVAL);
    for (length = 0; length < good.length; length++) {
        int32_t result = bp_state_validate(fields, 3, good.data, length);
        assert_true(length % 16 == 0 && length > 0 ? result == 0 : result == -EINVAL);
    }
    assert_int_equal(to.small, 1);
}

static void
test_unknown_records_are_skipped_unless_they_must_not(void **state)
{
    const struct object from = {4, {1, 2, 3}, 9};
    struct object to = {0};
    struct sink sink = saved(&from);

    assert_int_equal(put(&sink.table, 77, "x", 1), 0);
    assert_int_equal(bp_state_restore(fields, 3, &to, sink.data, sink.length), 0);
    assert_int_equal(put(&sink.table, 78 | BP_STATE_MUST, "x", 1), 0);
    assert_int_equal(bp_state_restore(fields, 3, &to, sink.data, sink.length), -EPROTO);
}

static void
test_part_of_a_state_ignores_what_is_somebody_elses(void **state)
{
    const struct object from = {4, {1, 2, 3}, 9};
    struct object to = {0};
    struct sink sink = saved(&from), twice = {.table = {.size = sizeof(twice.table), .put = put}};

    assert_int_equal(put(&sink.table, 78 | BP_STATE_MUST, "x", 1), 0);
    assert_int_equal(bp_state_restore_part(fields, 3, &to, sink.data, sink.length, 78), 0);
    assert_int_equal(to.small, 4);
    assert_int_equal(bp_state_restore_part(fields, 3, &to, sink.data, sink.length, 79), -EPROTO);
    /* Two records of a field do not stand for a required one that is missing. */
    assert_int_equal(put(&twice.table, 3, &from.large, 8), 0);
    assert_int_equal(put(&twice.table, 3, &from.large, 8), 0);
    assert_int_equal(bp_state_restore_part(fields, 3, &to, twice.data, twice.length, 78), -EINVAL);
}

static void
test_missing_optional_field_keeps_its_value(void **state)
{
    const struct object from = {4, {1, 2, 3}, 9};
    struct object to = {.words = {7, 7, 7}};
    struct sink sink = saved(&from);

    assert_int_equal(bp_state_restore(fields, 3, &to, sink.data, 16), 0);
    assert_int_equal(to.small, 4);
    assert_int_equal(to.words[2], 7);
}

static void
test_error_policy_stops_for_space_and_reports_the_rest(void **state)
{
    const struct bp_on_error policy = {BP_ON_ERROR_IGNORE, BP_ON_ERROR_ENOSPC};

    assert_int_equal(bp_on_error_action(&policy, BP_BLOCK_READ, -ENOSPC), BP_ON_ERROR_IGNORE);
    assert_int_equal(bp_on_error_action(&policy, BP_BLOCK_WRITE, -ENOSPC), BP_ON_ERROR_STOP);
    assert_int_equal(bp_on_error_action(&policy, BP_BLOCK_WRITE, -EIO), BP_ON_ERROR_REPORT);
    assert_int_equal(bp_on_error_action(&policy, BP_BLOCK_FLUSH, -EIO), BP_ON_ERROR_REPORT);
}

static void
append(void *opaque, const char *text, uint64_t length)
{
    (void)strncat(opaque, text, length);
}

static void
test_json_has_commas_and_escapes(void **state)
{
    char text[256] = "";
    const struct bp_inspect_answer answer = {
        .size = sizeof(answer), .opaque = text, .write = append};
    struct bp_json json;

    bp_json_init(&json, &answer);
    bp_json_open(&json, NULL, '{');
    bp_json_text(&json, "a\"b", "x\\\n\xc3\xa4");
    bp_json_open(&json, "list", '[');
    bp_json_number(&json, NULL, UINT64_MAX);
    bp_json_bool(&json, NULL, 1);
    bp_json_open(&json, NULL, '{');
    bp_json_close(&json, '}');
    bp_json_close(&json, ']');
    bp_json_bool(&json, "last", 0);
    bp_json_close(&json, '}');
    assert_string_equal(text, "{\"a\\u0022b\": \"x\\u005c\\u000a\xc3\xa4\", "
                              "\"list\": [18446744073709551615, true, {}], \"last\": false}");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fifo_wraps_and_stays_in_order),
        cmocka_unit_test(test_iovec_copies_at_any_offset),
        cmocka_unit_test(test_state_comes_back_and_is_little_endian),
        cmocka_unit_test(test_bad_state_is_refused_and_changes_nothing),
        cmocka_unit_test(test_unknown_records_are_skipped_unless_they_must_not),
        cmocka_unit_test(test_part_of_a_state_ignores_what_is_somebody_elses),
        cmocka_unit_test(test_missing_optional_field_keeps_its_value),
        cmocka_unit_test(test_error_policy_stops_for_space_and_reports_the_rest),
        cmocka_unit_test(test_json_has_commas_and_escapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
