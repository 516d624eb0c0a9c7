/* SPDX-License-Identifier: Apache-2.0 */
/* Power failures: the file below has a volatile cache, of which any part may be lost at any moment
 * but what a flush covered. Afterwards qemu-img finds no corruption, and every place has what the
 * last acknowledged flush of the guest covers, or something later. */
#include "test_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOTS 1024u /* of 4 KiB: the first half is compared */
#define SLOT  4096u
#define BATCH 16u

static char image[300], failed[300], raw[300];

struct story {
    struct rig rig;
    uint64_t number;            /* of the last write */
    uint64_t last[SLOTS];       /* number of the write that was submitted last */
    uint64_t flushed[SLOTS];    /* of the last one that an acknowledged flush covers */
    uint64_t at_failure[SLOTS]; /* that, when the power failed */
    uint64_t started;           /* number, then */
    uint32_t has_failed;
    struct bp_iovec iov[BATCH];
    uint32_t submitted;
};

/* $IMAGE, $FAILED: its copy, $RAW: room for its contents. */
static int
run_command(const char *command)
{
    int status;

    assert_true(setenv("IMAGE", image, 1) == 0 && setenv("FAILED", failed, 1) == 0 &&
                setenv("RAW", raw, 1) == 0);
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
power_fails(void *opaque)
{
    struct story *story = opaque;

    rig_power_failure(&story->rig, failed);
    memcpy(story->at_failure, story->flushed, sizeof(story->flushed));
    story->started = story->number;
    story->has_failed = 1;
}

static void
check_contents(const struct story *story)
{
    int status = run_command("qemu-img check -q \"$FAILED\" >/dev/null 2>&1");
    uint64_t data[SLOT / 8], slot, i;
    int fd;

    if (status != 0 && status != 3) { /* 3: lost space */
        (void)run_command("qemu-img check \"$FAILED\" | head -5");
        fail_msg("qemu-img check says %d", status);
    }
    assert_int_equal(run_command("qemu-img convert -O raw \"$FAILED\" \"$RAW\""), 0);
    fd = open(raw, O_RDONLY | O_CLOEXEC);
    for (slot = 0; slot < SLOTS / 2; slot++) {
        assert_int_equal(pread(fd, data, SLOT, (off_t)(slot * SLOT)), SLOT);
        /* Sectors of one slot may be of several writes, none older than the flush. */
        for (i = 0; i < SLOT / 8; i += 2) {
            if (data[i] < story->at_failure[slot] || data[i] > story->started ||
                (data[i] != 0 && data[i + 1] != slot)) {
                fail_msg("slot %llu has write %llu, but %llu was flushed", (unsigned long long)slot,
                         (unsigned long long)data[i], (unsigned long long)story->at_failure[slot]);
            }
        }
    }
    (void)close(fd);
}

static void
fill(void *to, uint64_t number, uint64_t slot)
{
    uint64_t *data = to;
    uint32_t i;

    for (i = 0; i < SLOT / 8; i += 2) {
        data[i] = number;
        data[i + 1] = slot;
    }
}

static void
submit(struct story *story, uint32_t i, uint64_t slot)
{
    struct bp_block_request request = {.user = story->submitted,
                                       .op = BP_BLOCK_WRITE,
                                       .offset = slot * SLOT,
                                       .length = SLOT,
                                       .iov = &story->iov[i],
                                       .iov_count = 1};

    if (slot >= SLOTS / 2 && random() % 2 == 0) {
        request.op = random() % 2 == 0 ? BP_BLOCK_DISCARD : BP_BLOCK_WRITE_ZEROES;
        request.length = SLOT * (1 + (uint64_t)random() % (SLOTS - slot));
        request.iov = NULL;
        request.iov_count = 0;
    } else {
        story->last[slot] = ++story->number;
        fill(story->iov[i].base, story->number, slot);
    }
    story->submitted++;
    assert_int_equal(th_queue_submit(story->rig.queue, &request, 1), 1);
}

/* Requests that do not overlap, all at once; then, mostly, a flush. */
static void
do_batch(struct story *story)
{
    uint64_t first = (uint64_t)random() % SLOTS, slot, covered[SLOTS];
    uint32_t i, count = 1 + (uint32_t)random() % BATCH;

    for (i = 0; i < count; i++) {
        slot = (first + i * 37) % SLOTS;
        submit(story, i, slot < SLOTS / 2 || i == 0 ? slot : slot - SLOTS / 2);
    }
    assert_true(th_queue_wait(story->rig.queue, story->submitted, 30000));
    if (random() % 3 != 0) {
        memcpy(covered, story->last, sizeof(covered));
        story->submitted++;
        assert_int_equal(th_queue_io(story->rig.queue, BP_BLOCK_FLUSH, 0, 0, NULL, 0), 0);
        memcpy(story->flushed, covered, sizeof(covered));
    }
}

static void
fail_often(const char *create, uint32_t failures)
{
    static struct story story;
    uint32_t i;

    memset(&story, 0, sizeof(story));
    assert_int_equal(run_command(create), 0);
    assert_int_equal(rig_open(&story.rig, image, "cache = \"4K\";", NULL), 0);
    story.rig.file.is_volatile = 1;
    story.rig.file.interrupt = power_fails;
    story.rig.file.opaque = &story;
    for (i = 0; i < BATCH; i++) {
        story.iov[i] = (struct bp_iovec){th_arena(story.rig.th, SLOT), SLOT};
    }
    for (i = 0; i < failures; i++) {
        story.has_failed = 0;
        story.rig.file.interrupt_in = 1 + (uint32_t)random() % 400;
        while (!story.has_failed) {
            do_batch(&story);
        }
        check_contents(&story);
    }
    for (i = 0; i < th_queue_completed(story.rig.queue); i++) {
        assert_int_equal(th_queue_completion(story.rig.queue, i)->status, 0);
    }
    (void)printf("# %u power failures, %llu writes\n", failures, (unsigned long long)story.number);
    rig_close(&story.rig);
    assert_int_equal(run_command("qemu-img check -q \"$IMAGE\""), 0);
}

static void
test_a_power_failure_corrupts_nothing_and_loses_no_flush(void **state)
{
    static const char shared[] =
        "qemu-img create -q -f qcow2 -o cluster_size=4k \"$IMAGE\" 4M && "
        "qemu-io -c 'write -z 0 4M' \"$IMAGE\" >/dev/null && qemu-img snapshot -c s \"$IMAGE\"";
    static const char *const commands[] = {
        "qemu-img create -q -f qcow2 -o cluster_size=64k \"$IMAGE\" 4M",
        "qemu-img create -q -f qcow2 -o cluster_size=4k \"$IMAGE\" 4M",
        "qemu-img create -q -f qcow2 -o cluster_size=512 \"$IMAGE\" 4M",
        "qemu-img create -q -f qcow2 -o compat=0.10 \"$IMAGE\" 4M",
        shared,
    };
    const char *wanted = getenv("BLOCK_QCOW2_FAILURES");
    uint32_t i;

    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        srandom(i);
        fail_often(commands[i], wanted != NULL ? (uint32_t)strtoul(wanted, NULL, 10) : 12);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_power_failure_corrupts_nothing_and_loses_no_flush),
    };
    const char *where = getenv("BLOCK_QCOW2_TEST_DIR");
    int result, number = (int)getpid();

    if (system("qemu-img --version >/dev/null 2>&1 && qemu-io --version >/dev/null 2>&1") != 0) {
        (void)printf("1..0 # SKIP qemu-img and qemu-io are missing (package qemu-utils)\n");
        return 0;
    }
    where = where != NULL ? where : "/tmp";
    (void)snprintf(image, sizeof(image), "%s/power-%d", where, number);
    (void)snprintf(failed, sizeof(failed), "%s/power-%d.failed", where, number);
    (void)snprintf(raw, sizeof(raw), "%s/power-%d.raw", where, number);
    result = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(image);
    (void)unlink(failed);
    (void)unlink(raw);
    return result;
}
