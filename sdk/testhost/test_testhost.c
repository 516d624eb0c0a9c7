/* SPDX-License-Identifier: Apache-2.0 */
/* The fake host notices what it promises to notice: a plugin that misbehaves on demand. */
#include <backplane/sdk/sdk.h>
#include <backplane/testhost.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern void __asan_init(void) __attribute__((weak));

struct bad {
    struct bp_services host;
    const char *sin;
    const struct bp_block_ops *disk;
    void *disk_self;
    void *queue;
    struct bp_iovec iov;
    uint64_t buffer[64];
    uint32_t accesses;
    uint8_t last_width;
    uint64_t last_value;
};

static uint64_t
bad_read(void *opaque, uint64_t offset, uint32_t width)
{
    struct bad *bad = opaque;

    bad->accesses++;
    bad->last_width = (uint8_t)width;
    if (strcmp(bad->sin, "control-in-vcpu") == 0) {
        struct bp_timer_args timer = {.size = sizeof(timer), .id = 9, .expired = free};
        (void)!bad->host.timer->create(bad->host.instance, &timer);
    } else if (strcmp(bad->sin, "unknown-irq") == 0) {
        bad->host.irq->set(bad->host.instance, 77, 1);
    } else if (strcmp(bad->sin, "unknown-timer") == 0) {
        bad->host.timer->arm(bad->host.instance, 77, 1);
    }
    return UINT64_C(0x8877665544332211) >> (8 * (offset & 7));
}

static void
bad_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    struct bad *bad = opaque;

    bad->accesses++;
    bad->last_width = (uint8_t)width;
    bad->last_value = value;
    if (bad->disk != NULL) {
        struct bp_block_request request = {.op = BP_BLOCK_WRITE, .length = 512, .iov_count = 1};
        request.iov = &bad->iov;
        bad->iov.base = bad->buffer;
        bad->iov.length = strcmp(bad->sin, "short-iov") == 0 ? 511 : 512;
        (void)!bad->disk->submit(bad->disk_self, bad->queue, &request, 1);
        if (strcmp(bad->sin, "same-user") == 0) {
            (void)!bad->disk->submit(bad->disk_self, bad->queue, &request, 1);
        }
    }
}

static void
bad_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
}

static int32_t
bad_attach(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer)
{
    static const struct bp_block_client client = {.size = sizeof(client), .complete = bad_complete};
    struct bp_block_queue_args args = {.size = sizeof(args), .depth = 4, .client = &client};
    struct bad *bad = self;

    bad->disk = peer->table;
    bad->disk_self = peer->self;
    args.opaque = bad;
    return bad->disk->queue_open(peer->self, &args, &bad->queue) == 0
               ? 0
               : bp_fail(&bad->host, -ENOMEM, NULL, "no queue");
}

static void
bad_detach(void *self, uint32_t slot, uint32_t use)
{
    struct bad *bad = self;

    if (strcmp(bad->sin, "keep-queue") != 0) {
        bad->disk->drain(bad->disk_self, bad->queue);
        bad->disk->queue_close(bad->disk_self, bad->queue);
    }
}

static const struct bp_life_ops bad_life = {
    .size = sizeof(bad_life),
    .attach = bad_attach,
    .detach = bad_detach,
};

static int32_t
bad_create(const struct bp_create *args, void **self)
{
    static const struct bp_region_ops ops = {
        .size = sizeof(ops), .read = bad_read, .write = bad_write};
    struct bad *bad = calloc(1, sizeof(*bad));
    struct bp_region_args region = {.size = sizeof(region), .space = BP_SPACE_MMIO};
    int32_t status;

    bp_services_init(&bad->host, args->host, args->instance);
    bad->sin = bp_option_str(&bad->host, args->config, "sin", "");
    region.widths = (uint32_t)bp_option_u64(&bad->host, args->config, "widths", 1);
    region.base = 0xd0000000;
    region.length = 16;
    region.ops = &ops;
    region.opaque = bad;
    status = bad->host.region->create(args->instance, &region);
    if (status < 0) {
        if (strcmp(bad->sin, "mute") != 0) {
            (void)bp_fail(&bad->host, status, NULL, "no region");
        }
        if (strcmp(bad->sin, "leak") != 0) {
            free(bad);
        }
        return status;
    }
    if (strcmp(bad->sin, "double-id") == 0) {
        region.base = 0xd0001000;
        (void)!bad->host.region->create(args->instance, &region);
    }
    *self = bad;
    return 0;
}

static void
bad_destroy(void *self)
{
    struct bad *bad = self;

    free(bad);
}

static const void *
bad_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_LIFE_ID) ? &bad_life : NULL;
}

static const struct bp_prop bad_props[] = {
    {.name = "sin", .type = BP_PROP_STRING, .def = ""},
    {.name = "widths", .type = BP_PROP_UINT, .def = "1"},
    {.name = "disk", .type = BP_PROP_BACKEND},
    {.name = NULL},
};

static const struct bp_slot bad_slots[] = {
    {.name = "disk", .interface_id = BP_BLOCK_ID, .max = 1},
    {.name = NULL},
};

static const struct bp_class bad_class = {
    .size = sizeof(bad_class),
    .kind = BP_KIND_DEVICE,
    .name = "bad",
    .thread_model = BP_THREADS_SERIAL,
    .props = bad_props,
    .slots = bad_slots,
    .create = bad_create,
    .destroy = bad_destroy,
    .query = bad_query,
};

static const struct bp_class *const bad_classes[] = {&bad_class, NULL};

static const struct bp_plugin bad_plugin = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(bad_plugin),
    .abi_major = BP_ABI_MAJOR,
    .id = "bad",
    .classes = bad_classes,
};

/* Violations after an access of a device with this sin. */
static uint32_t
violations(const char *options, int is_write)
{
    struct th_host *th = th_new();
    uint32_t count;

    (void)th_block_new(th, "d", 4096);
    (void)th_plug(th, &bad_plugin, "bad0", options);
    if (is_write) {
        th_write(th, 0xd0000000, 1, 0);
    } else {
        (void)th_read(th, 0xd0000000, 1);
    }
    th_run(th);
    count = th_take_violations(th);
    th_free(th);
    return count;
}

static void
test_sins_are_noticed_and_virtue_is_not(void **state)
{
    assert_int_equal(violations("", 0), 0);
    assert_true(violations("sin = \"double-id\";", 0) > 0);
    assert_true(violations("sin = \"control-in-vcpu\";", 0) > 0);
    assert_true(violations("sin = \"unknown-irq\";", 0) > 0);
    assert_true(violations("sin = \"unknown-timer\";", 0) > 0);
    assert_true(violations("disk = \"d\";", 1) > 0); /* the buffer is neither RAM nor arena */
    assert_true(violations("disk = \"d\"; sin = \"short-iov\";", 1) > 0);
    assert_true(violations("disk = \"d\"; sin = \"same-user\";", 1) > 0);
}

static void
test_failure_without_a_reason_is_a_violation(void **state)
{
    struct th_host *th = th_new();

    th_fail_call(th, 1, ENOMEM);
    assert_null(th_plug(th, &bad_plugin, "b", "sin = \"mute\";"));
    assert_int_equal(th_take_violations(th), 1);
    th_free(th);
}

static void
test_backend_kept_after_detach_is_a_violation(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *bad;

    (void)th_block_new(th, "d", 4096);
    bad = th_plug(th, &bad_plugin, "b", "disk = \"d\"; sin = \"keep-queue\";");
    th_destroy(bad);
    assert_int_equal(th_take_violations(th), 1);
    th_free(th);
}

/* How a child ends that does func. */
static int
ends(void (*func)(void))
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        (void)freopen("/dev/null", "w", stderr);
        (void)signal(SIGABRT, SIG_DFL);
        func();
        _exit(0);
    }
    (void)waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void
leave_a_violation(void)
{
    struct th_host *th = th_new();

    (void)th_plug(th, &bad_plugin, "b", "sin = \"double-id\";");
    th_free(th);
}

static void
leak_on_failure(void)
{
    (void)th_fail_each_call(&bad_plugin, NULL, "sin = \"leak\";", NULL, NULL);
}

static void
behave_on_failure(void)
{
    if (th_fail_each_call(&bad_plugin, NULL, NULL, NULL, NULL) != 1) {
        abort();
    }
}

static void
test_untaken_violation_and_a_leak_abort_the_test(void **state)
{
    assert_int_equal(ends(leave_a_violation), SIGABRT);
    assert_int_equal(ends(behave_on_failure), 0);
    if (__asan_init == NULL) {
        /* Under the sanitizer the allocator keeps no count;
         * its own leak check is the better one. */
        assert_int_equal(ends(leak_on_failure), SIGABRT);
    }
}

static void
test_accesses_are_split_by_the_core_s_rules(void **state)
{
    struct th_host *th = th_new();
    struct bp_instance *dev = th_plug(th, &bad_plugin, "b", "widths = 4;");
    struct bad *bad = th_self(dev);

    assert_int_equal(th_read(th, 0xd0000000, 4), 0x44332211);
    assert_int_equal(th_read(th, 0xd0000001, 1), 0x22);
    assert_int_equal(bad->last_width, 4);
    bad->accesses = 0;
    th_write(th, 0xd0000000, 1, 5); /* too narrow: lost */
    assert_int_equal(bad->accesses, 0);
    th_write(th, 0xd0000000, 8, UINT64_C(0x0102030405060708));
    assert_int_equal(bad->accesses, 2);
    assert_int_equal(bad->last_value, 0x01020304);
    assert_int_equal(th_read(th, 0xd000000c, 8) >> 32, 0xffffffff); /* half of it is nobody's */
    th_free(th);
}

static void
test_options_are_held_against_the_schema(void **state)
{
    struct th_host *th = th_new();

    assert_null(th_plug(th, &bad_plugin, "a", "sni = \"\";"));
    assert_string_equal(th_error_text(th), "option 'sni': there is no such option");
    assert_null(th_plug(th, &bad_plugin, "a", "widths = \"x\";"));
    assert_null(th_plug(th, &bad_plugin, "a", "widths = -1;"));
    assert_null(th_plug(th, &bad_plugin, "a", "disk = \"nobody\";"));
    assert_int_equal(th_status(th), -ENOENT);
    assert_null(th_plug(th, &bad_plugin, "a", "widths = "));
    th_free(th);
}

static void
test_fake_disk_keeps_its_cache_apart(void **state)
{
    struct th_host *th = th_new();
    struct th_block *disk = th_block_new(th, "d", 4096);

    memset(th_block_data(disk), 1, 4096);
    th_block_crash(disk);
    assert_int_equal(th_block_data(disk)[0], 0);
    th_free(th);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sins_are_noticed_and_virtue_is_not),
        cmocka_unit_test(test_failure_without_a_reason_is_a_violation),
        cmocka_unit_test(test_backend_kept_after_detach_is_a_violation),
        cmocka_unit_test(test_untaken_violation_and_a_leak_abort_the_test),
        cmocka_unit_test(test_accesses_are_split_by_the_core_s_rules),
        cmocka_unit_test(test_options_are_held_against_the_schema),
        cmocka_unit_test(test_fake_disk_keeps_its_cache_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
