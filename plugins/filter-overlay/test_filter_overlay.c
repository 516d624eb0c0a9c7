/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/filter-overlay on the fake core, with memory and with a fake disk as the store. */
#include <backplane/testhost.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE (1u << 20)

struct rig {
    struct th_host *th;
    struct th_block *below, *store;
    struct bp_instance *overlay;
    struct th_queue *queue;
};

static const char *const both_stores[] = {"", "store = \"store\";"};

static void
rig_init(struct rig *rig, const char *more)
{
    char options[256];
    uint32_t i;

    rig->th = th_new();
    rig->below = th_block_new(rig->th, "disk", SIZE);
    rig->store = th_block_new(rig->th, "store", SIZE);
    for (i = 0; i < SIZE; i++) {
        th_block_data(rig->below)[i] = (uint8_t)(i / 512 * 7 + i);
        th_block_data(rig->store)[i] = 0xee; /* must never be seen */
    }
    (void)snprintf(options, sizeof(options), "below = \"disk\"; %s", more);
    rig->overlay = th_plug(rig->th, &backplane_plugin_v1, "overlay", options);
    if (rig->overlay == NULL) {
        fail_msg("%s", th_error_text(rig->th));
    }
    rig->queue = th_queue_open(rig->overlay, 8);
    assert_non_null(rig->queue);
}

static void
rig_done(struct rig *rig)
{
    th_queue_close(rig->queue);
    th_free(rig->th);
}

/* 2000 random requests; what is read agrees with a shadow, and the disk below is untouched. */
static void
random_requests(struct rig *rig, uint8_t *shadow)
{
    uint8_t *data = malloc(65536);
    uint32_t i;

    for (i = 0; i < 2000; i++) {
        uint32_t op = 1 + (uint32_t)(random() % 5);
        uint64_t length = 512 * (1 + (uint64_t)random() % 128);
        uint64_t offset = 512 * ((uint64_t)random() % ((SIZE - length) / 512 + 1));

        memset(data, (int)random() & 0xff, length);
        if (op == BP_BLOCK_FLUSH) {
            offset = length = 0;
        }
        assert_int_equal(th_queue_io(rig->queue, op, 0, offset, data, length), 0);
        if (op == BP_BLOCK_READ) {
            assert_memory_equal(data, shadow + offset, length);
        } else if (op == BP_BLOCK_WRITE) {
            memcpy(shadow + offset, data, length);
        } else {
            memset(shadow + offset, 0, length);
        }
    }
    free(data);
}

static void
test_random_requests_agree_with_a_shadow_and_leave_the_disk_below_alone(void **state)
{
    uint32_t i;

    for (i = 0; i < 2; i++) {
        uint8_t *before = malloc(SIZE), *shadow = malloc(SIZE);
        struct rig rig;

        srandom(3 + i);
        rig_init(&rig, both_stores[i]);
        th_block_info(rig.below)->flags |= BP_BLOCK_READONLY;
        th_block_send_event(rig.below, BP_BLOCK_EVENT_MEDIA);
        th_run(rig.th);
        memcpy(before, th_block_data(rig.below), SIZE);
        memcpy(shadow, before, SIZE);
        random_requests(&rig, shadow);
        assert_memory_equal(th_block_data(rig.below), before, SIZE);
        rig_done(&rig);
        free(before);
        free(shadow);
    }
}

static void
test_commit_writes_the_changes_below_and_durably(void **state)
{
    uint32_t i;

    for (i = 0; i < 2; i++) {
        uint8_t *shadow = malloc(SIZE);
        struct rig rig;

        rig_init(&rig, both_stores[i]);
        memcpy(shadow, th_block_data(rig.below), SIZE);
        random_requests(&rig, shadow);
        assert_int_equal(th_set(rig.overlay, "now", "\"commit\""), 0);
        assert_memory_equal(th_block_data(rig.below), shadow, SIZE);
        assert_memory_equal(th_block_durable(rig.below), shadow, SIZE);
        random_requests(&rig, shadow);
        rig_done(&rig);
        free(shadow);
    }
}

static void
test_drop_shows_the_disk_below_again(void **state)
{
    uint32_t i;

    for (i = 0; i < 2; i++) {
        uint8_t *shadow = malloc(SIZE);
        struct rig rig;

        rig_init(&rig, both_stores[i]);
        memcpy(shadow, th_block_data(rig.below), SIZE);
        random_requests(&rig, shadow);
        assert_int_equal(th_set(rig.overlay, "now", "\"drop\""), 0);
        th_run(rig.th);
        assert_int_equal(th_queue_events(rig.queue, BP_BLOCK_EVENT_MEDIA), 1);
        memcpy(shadow, th_block_data(rig.below), SIZE);
        random_requests(&rig, shadow);
        rig_done(&rig);
        free(shadow);
    }
}

static void
test_the_end_commits_or_drops_as_told(void **state)
{
    uint32_t i;

    for (i = 0; i < 4; i++) {
        char options[128];
        uint8_t data[512];
        struct rig rig;

        (void)snprintf(options, sizeof(options), "%s end = \"%s\";", both_stores[i & 1],
                       i < 2 ? "commit" : "drop");
        rig_init(&rig, options);
        memset(data, 0x42, sizeof(data));
        assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 1024, data, 512), 0);
        th_queue_close(rig.queue);
        th_destroy(rig.overlay);
        assert_int_equal(th_block_data(rig.below)[1024] == 0x42, i < 2);
        th_free(rig.th);
    }
}

static void
test_a_commit_that_fails_keeps_the_changes(void **state)
{
    uint8_t data[512];
    struct rig rig;

    rig_init(&rig, "store = \"store\";");
    memset(data, 0x42, sizeof(data));
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 1024, data, 512), 0);
    th_block_fail(rig.below, BP_BLOCK_WRITE, 0, -ENOSPC, 0);
    assert_int_equal(th_set(rig.overlay, "now", "\"commit\""), -ENOSPC);
    memset(data, 0, sizeof(data));
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 1024, data, 512), 0);
    assert_int_equal(data[0], 0x42);
    assert_int_equal(th_set(rig.overlay, "now", "\"commit\""), 0);
    assert_int_equal(th_block_data(rig.below)[1024], 0x42);
    rig_done(&rig);
}

static void
test_requests_wait_while_changes_are_committed(void **state)
{
    struct bp_iovec iov;
    struct bp_block_request requests[2];
    struct rig rig;
    uint32_t i;

    rig_init(&rig, "store = \"store\";");
    iov.base = th_arena(rig.th, 512);
    iov.length = 512;
    memset(iov.base, 0x42, 512);
    for (i = 0; i < 2; i++) {
        requests[i] = (struct bp_block_request){.user = i,
                                                .op = BP_BLOCK_WRITE,
                                                .offset = UINT64_C(512) * i,
                                                .length = 512,
                                                .iov = &iov,
                                                .iov_count = 1};
    }
    th_block_hold(rig.store, 1);
    assert_int_equal(th_queue_submit(rig.queue, requests, 2), 2);
    assert_int_equal(th_set(rig.overlay, "now", "\"commit\""), 0); /* drains both first */
    assert_int_equal(th_queue_completed(rig.queue), 2);
    assert_int_equal(th_block_data(rig.below)[1023], 0x42);
    rig_done(&rig);
}

static void
test_errors_of_store_and_disk_reach_the_guest(void **state)
{
    uint8_t data[4096] = {0};
    struct rig rig;

    rig_init(&rig, "store = \"store\";");
    th_block_fail(rig.store, BP_BLOCK_WRITE, 0, -ENOSPC, BP_BLOCK_RECOVERABLE);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 512, data, 512), -ENOSPC);
    assert_int_equal(th_queue_completion(rig.queue, 0)->flags, BP_BLOCK_RECOVERABLE);
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 512, data, 512), 0);
    assert_int_equal(data[0], th_block_data(rig.below)[512]); /* the write did not happen */
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_WRITE, 0, 512, data, 512), 0);
    th_block_fail(rig.below, BP_BLOCK_READ, 1, -EIO, 0); /* the piece behind the changed block */
    assert_int_equal(th_queue_io(rig.queue, BP_BLOCK_READ, 0, 0, data, 4096), -EIO);
    rig_done(&rig);
}

static void
test_a_store_that_is_too_small_is_refused(void **state)
{
    struct th_host *th = th_new();

    (void)th_block_new(th, "disk", SIZE);
    (void)th_block_new(th, "store", SIZE - 512);
    assert_null(
        th_plug(th, &backplane_plugin_v1, "overlay", "below = \"disk\"; store = \"store\";"));
    assert_non_null(strstr(th_error_text(th), "the store has 1048064 bytes"));
    th_free(th);
}

static void
add_disks(struct th_host *th, void *opaque)
{
    (void)th_block_new(th, "disk", SIZE);
    (void)th_block_new(th, "store", SIZE);
}

static void
test_every_failing_host_call_is_survived(void **state)
{
    (void)th_fail_each_call(&backplane_plugin_v1, NULL, "below = \"disk\"; store = \"store\";",
                            add_disks, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_requests_agree_with_a_shadow_and_leave_the_disk_below_alone),
        cmocka_unit_test(test_commit_writes_the_changes_below_and_durably),
        cmocka_unit_test(test_drop_shows_the_disk_below_again),
        cmocka_unit_test(test_the_end_commits_or_drops_as_told),
        cmocka_unit_test(test_a_commit_that_fails_keeps_the_changes),
        cmocka_unit_test(test_requests_wait_while_changes_are_committed),
        cmocka_unit_test(test_errors_of_store_and_disk_reach_the_guest),
        cmocka_unit_test(test_a_store_that_is_too_small_is_refused),
        cmocka_unit_test(test_every_failing_host_call_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
