/* SPDX-License-Identifier: Apache-2.0 */
/* Making every host call of a creation fail, one after the other, and looking for leaks. */
#include "th.h"

#include <dirent.h>
#include <malloc.h>
#include <stdlib.h>

#define CALLS_MAX 10000u
#define REPEATS   16u /* the allocator's own cache is full after 7 */

struct attempt {
    const struct bp_plugin *plugin;
    const char *class_name;
    const char *options;
    void (*setup)(struct th_host *th, void *opaque);
    void *opaque;
};

static uint32_t
open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    uint32_t count = 0;

    if (directory == NULL) {
        return 0;
    }
    while (readdir(directory) != NULL) {
        count++;
    }
    (void)closedir(directory);
    return count;
}

/* Returns whether the n-th call was reached and failed. */
static int
attempt_run(const struct attempt *attempt, uint32_t n)
{
    struct th_host *th = th_new();
    struct bp_instance *instance;
    int failed;

    if (attempt->setup != NULL) {
        attempt->setup(th, attempt->opaque);
    }
    th_fail_call(th, n, -ENOMEM);
    instance = th_plug_class(th, attempt->plugin, attempt->class_name, "failing", attempt->options);
    failed = th_call_failed(th);
    if (!failed && instance == NULL) {
        fprintf(stderr, "testhost: th_fail_each_call: without a failure it fails, too: %s\n",
                th_error_text(th));
        abort();
    }
    th_free(th);
    return failed;
}

/* The allocator keeps freed pieces in use for itself; a leak is growth that comes every time. */
static int
heap_grows(const struct attempt *attempt, uint32_t n)
{
    uint32_t i;

    for (i = 0; i < REPEATS; i++) {
        size_t before = mallinfo2().uordblks;
        (void)attempt_run(attempt, n);
        if (mallinfo2().uordblks <= before) {
            return 0;
        }
    }
    return 1;
}

uint32_t
th_fail_each_call(const struct bp_plugin *plugin, const char *class_name, const char *options,
                  void (*setup)(struct th_host *th, void *opaque), void *opaque)
{
    const struct attempt attempt = {plugin, class_name, options, setup, opaque};
    uint32_t n;

    for (n = 1; n < CALLS_MAX; n++) {
        uint32_t descriptors = open_descriptors();
        int failed = attempt_run(&attempt, n);
        if (open_descriptors() != descriptors) {
            fprintf(stderr, "testhost: host call %u failed and a descriptor leaked\n", n);
            abort();
        }
        if (heap_grows(&attempt, n)) {
            fprintf(stderr, "testhost: host call %u failed and memory leaked\n", n);
            abort();
        }
        if (!failed) {
            return n - 1;
        }
    }
    fprintf(stderr, "testhost: %u host calls and no end\n", CALLS_MAX);
    abort();
}
