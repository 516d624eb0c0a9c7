/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/filter-pcap on the fake core: the file, block by block. */
#include <backplane/sdk/net.h>
#include <backplane/testhost.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
    struct th_host *th;
    struct th_net *net;
    struct th_wire *wire;
    char path[64];
};

static void
bench_make(struct bench *bench, const char *more)
{
    struct bp_instance *filter;
    char options[256];

    (void)snprintf(bench->path, sizeof(bench->path), "/tmp/backplane-pcap-%d", (int)getpid());
    (void)snprintf(options, sizeof(options), "below = \"wire\"; path = \"%s\"; %s", bench->path,
                   more);
    bench->th = th_new();
    bench->net = th_net_new(bench->th, "wire");
    th_net_info(bench->net)->tx_features = BP_NET_CSUM | BP_NET_TSO4;
    filter = th_plug(bench->th, &backplane_plugin_v1, "dump0", options);
    if (filter == NULL) {
        fail_msg("%s", th_error_text(bench->th));
    }
    bench->wire = th_wire_open(filter, 0);
    th_wire_post(bench->wire, 40, 2048, 12, BP_NET_MERGE);
}

/* The whole file, after the end; the caller frees. */
static uint8_t *
bench_end(struct bench *bench, size_t *length)
{
    struct stat status;
    uint8_t *data;
    FILE *file;

    th_wire_close(bench->wire);
    th_free(bench->th);
    file = fopen(bench->path, "rb");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &status), 0);
    *length = (size_t)status.st_size;
    data = malloc(*length + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *length, file), *length);
    (void)fclose(file);
    (void)unlink(bench->path);
    return data;
}

static uint32_t
word(const uint8_t *at)
{
    return (uint32_t)bp_load_le(at, 4);
}

/* The n-th block of a type; each is checked to be framed. NULL: there are fewer. */
static const uint8_t *
block(const uint8_t *data, size_t length, uint32_t type, uint32_t n)
{
    size_t at = 0;

    while (at < length) {
        uint32_t size = word(data + at + 4);
        assert_true(size >= 12 && size % 4 == 0 && size <= length - at);
        assert_int_equal(word(data + at + size - 4), size);
        if (word(data + at) == type && n-- == 0) {
            return data + at;
        }
        at += size;
    }
    return NULL;
}

static uint32_t
flags_of(const uint8_t *packet)
{
    const uint8_t *option = packet + 28 + ((word(packet + 20) + 3) & ~3u);

    assert_int_equal(word(option), 2 | 4 << 16);
    return word(option + 4);
}

static void
fill(uint8_t *frame, uint32_t length, uint8_t seed)
{
    for (uint32_t i = 0; i < length; i++) {
        frame[i] = (uint8_t)(seed + i * 7);
    }
}

static void
test_every_frame_of_both_directions_is_in_the_file_byte_for_byte(void **state)
{
    static const uint32_t lengths[] = {14, 60, 61, 62, 63, 1514, 9000, 65535};
    struct bp_net_offload offload = {.flags = BP_NET_NEEDS_CSUM,
                                     .gso_type = BP_NET_GSO_TCP4,
                                     .gso_size = 1448,
                                     .csum_start = 34,
                                     .csum_offset = 16};
    struct bench bench;
    static uint8_t frame[65535];
    const uint8_t *packet;
    uint8_t *data;
    size_t size;
    uint32_t n = 0;

    bench_make(&bench, "");
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(lengths); i++) {
        fill(frame, lengths[i], (uint8_t)i);
        assert_int_equal(th_wire_send(bench.wire, frame, lengths[i], i == 6 ? &offload : NULL), 1);
        th_clock_step(bench.th, 1000);
        th_net_deliver(bench.net, 0, frame, lengths[i], NULL);
        assert_true(th_wire_wait(bench.wire, i + 1, 1000));
        th_clock_step(bench.th, 1000);
    }
    data = bench_end(&bench, &size);
    assert_int_equal(word(data), 0x0a0d0d0a);
    assert_int_equal(word(data + 8), 0x1a2b3c4d);
    packet = block(data, size, 1, 0);
    assert_non_null(packet);
    assert_int_equal(packet[8], 1); /* Ethernet */
    assert_memory_equal(packet + 20, "dump0", 5);
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(lengths); i++) {
        fill(frame, lengths[i], (uint8_t)i);
        for (uint32_t in = 0; in < 2; in++, n++) {
            packet = block(data, size, 6, n);
            assert_non_null(packet);
            assert_int_equal(word(packet + 20), lengths[i]);
            assert_int_equal(word(packet + 24), lengths[i]);
            assert_memory_equal(packet + 28, frame, lengths[i]);
            assert_int_equal(flags_of(packet), in ? 1 : i == 6 ? 0xa02 : 2);
            /* 2026-01-01 and n microseconds */
            assert_int_equal((uint64_t)word(packet + 12) << 32 | word(packet + 16),
                             UINT64_C(1767225600000000000) + UINT64_C(1000) * n);
        }
    }
    assert_null(block(data, size, 6, n));
    packet = block(data, size, 5, 0);
    assert_non_null(packet);
    assert_int_equal(bp_load_le(packet + 24, 8), n);
    assert_int_equal(bp_load_le(packet + 36, 8), 0);
    free(data);
}

static void
test_a_frame_that_is_not_taken_is_not_in_the_file(void **state)
{
    struct bench bench;
    uint8_t frame[100], *data;
    size_t size;

    bench_make(&bench, "");
    fill(frame, sizeof(frame), 1);
    th_net_set_room(bench.net, 1);
    assert_int_equal(th_wire_send(bench.wire, frame, 100, NULL), 1);
    assert_int_equal(th_wire_send(bench.wire, frame, 99, NULL), 0);
    th_net_set_room(bench.net, UINT32_MAX);
    th_run(bench.th);
    assert_int_equal(th_wire_writables(bench.wire), 1);
    assert_int_equal(th_wire_send(bench.wire, frame, 99, NULL), 1);
    data = bench_end(&bench, &size);
    assert_int_equal(word(block(data, size, 6, 0) + 24), 100);
    assert_int_equal(word(block(data, size, 6, 1) + 24), 99);
    assert_null(block(data, size, 6, 2));
    free(data);
}

static void
test_only_the_beginning_is_kept_if_so_wanted(void **state)
{
    struct bench bench;
    uint8_t frame[1000], *data;
    const uint8_t *packet;
    size_t size;

    bench_make(&bench, "snap_length = 101;");
    fill(frame, sizeof(frame), 1);
    assert_int_equal(th_wire_send(bench.wire, frame, sizeof(frame), NULL), 1);
    data = bench_end(&bench, &size);
    packet = block(data, size, 6, 0);
    assert_int_equal(word(packet + 20), 101);
    assert_int_equal(word(packet + 24), 1000);
    assert_memory_equal(packet + 28, frame, 101);
    assert_int_equal(flags_of(packet), 2);
    free(data);
}

static void
test_a_capture_ends_at_its_size(void **state)
{
    struct bench bench;
    uint8_t frame[1500], *data;
    size_t size;

    bench_make(&bench, "max_size = \"256K\";");
    fill(frame, sizeof(frame), 1);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(th_wire_send(bench.wire, frame, sizeof(frame), NULL), 1);
    }
    data = bench_end(&bench, &size);
    assert_true(size > 128 << 10 && size <= 256 << 10);
    assert_non_null(block(data, size, 6, 80));
    free(data);
}

/* However many frames come: what is in the file and what is counted as lost are all of them. */
static void
test_what_the_file_lacks_is_counted(void **state)
{
    struct bench bench;
    uint8_t frame[60000], *data;
    const uint8_t *statistics;
    size_t size;
    uint32_t n = 0;

    bench_make(&bench, "buffer = \"128K\";");
    fill(frame, sizeof(frame), 1);
    for (uint32_t i = 0; i < 400; i++) {
        assert_int_equal(th_wire_send(bench.wire, frame, sizeof(frame), NULL), 1);
    }
    data = bench_end(&bench, &size);
    while (block(data, size, 6, n) != NULL) {
        n++;
    }
    statistics = block(data, size, 5, 0);
    assert_non_null(statistics);
    assert_int_equal(bp_load_le(statistics + 24, 8), 400);
    assert_int_equal(n + bp_load_le(statistics + 36, 8), 400);
    assert_true(n > 0);
    free(data);
}

static int
has_failed(void *opaque)
{
    return th_logged(opaque, "cannot write the capture: File too large; it ends here");
}

static void
test_a_full_disk_ends_the_capture_and_not_the_network(void **state)
{
    struct rlimit before, tight;
    struct bench bench;
    uint8_t frame[1500];
    uint32_t count;
    size_t size;

    bench_make(&bench, "");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = (struct rlimit){.rlim_cur = 100000, .rlim_max = before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    fill(frame, sizeof(frame), 1);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(th_wire_send(bench.wire, frame, sizeof(frame), NULL), 1);
    }
    assert_true(th_run_until(bench.th, has_failed, bench.th, 5000));
    (void)th_net_sent(bench.net, &count);
    assert_int_equal(count, 1000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    free(bench_end(&bench, &size));
    assert_int_equal(size, 100000);
}

static void
assert_refused(const char *options, const char *text)
{
    struct th_host *th = th_new();

    (void)th_net_new(th, "wire");
    assert_null(th_plug(th, &backplane_plugin_v1, "dump", options));
    if (strstr(th_error_text(th), text) == NULL) {
        fail_msg("'%s' does not say '%s'", th_error_text(th), text);
    }
    th_free(th);
}

static void
test_a_file_that_cannot_be_written_is_named(void **state)
{
    assert_refused("below = \"wire\"; path = \"/nodir/x\";", "cannot write '/nodir/x'");
    assert_refused("below = \"wire\"; path = \"/dev/full\";", "the capture in '/dev/full'");
}

static void
make_net(struct th_host *th, void *opaque)
{
    (void)th_net_new(th, "wire");
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    assert_true(th_fail_each_call(&backplane_plugin_v1, NULL,
                                  "below = \"wire\"; path = \"/dev/null\";", make_net, NULL) >= 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_frame_of_both_directions_is_in_the_file_byte_for_byte),
        cmocka_unit_test(test_a_frame_that_is_not_taken_is_not_in_the_file),
        cmocka_unit_test(test_only_the_beginning_is_kept_if_so_wanted),
        cmocka_unit_test(test_a_capture_ends_at_its_size),
        cmocka_unit_test(test_what_the_file_lacks_is_counted),
        cmocka_unit_test(test_a_full_disk_ends_the_capture_and_not_the_network),
        cmocka_unit_test(test_a_file_that_cannot_be_written_is_named),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
