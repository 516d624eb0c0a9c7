/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of backends that are done in submit(), with a real loop thread beside the submitter.
 * For ThreadSanitizer above all. */
#include <backplane/sdk/block.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEPTH    16u
#define ROUNDS   50u
#define REQUESTS 2000u
#define CALLS    64u

struct call {
    void (*func)(void *opaque);
    void *opaque;
};

/* A host that can defer and nothing else. */
struct bp_instance {
    pthread_t thread;
    pthread_mutex_t lock; /* protects: the calls, stop */
    pthread_cond_t changed;
    struct call calls[CALLS];
    uint32_t count;
    uint32_t stop;
};

static uint32_t
host_count(struct bp_instance *host)
{
    return 1;
}

static int32_t
host_defer(struct bp_instance *host, uint32_t loop, void (*func)(void *opaque), void *opaque)
{
    pthread_mutex_lock(&host->lock);
    assert_true(host->count < CALLS);
    host->calls[host->count].func = func;
    host->calls[host->count].opaque = opaque;
    host->count++;
    pthread_cond_signal(&host->changed);
    pthread_mutex_unlock(&host->lock);
    return 0;
}

static int32_t
host_is_current(struct bp_instance *host, uint32_t loop)
{
    return pthread_equal(pthread_self(), host->thread) != 0;
}

static const struct bp_loop_host loop_table = {.size = sizeof(loop_table),
                                               .count = host_count,
                                               .defer = host_defer,
                                               .is_current = host_is_current};

static void *
host_run(void *opaque)
{
    struct bp_instance *host = opaque;

    pthread_mutex_lock(&host->lock);
    while (!host->stop || host->count > 0) {
        struct call call;

        if (host->count == 0) {
            pthread_cond_wait(&host->changed, &host->lock);
            continue;
        }
        call = host->calls[0];
        host->count--;
        memmove(host->calls, host->calls + 1, host->count * sizeof(host->calls[0]));
        pthread_mutex_unlock(&host->lock);
        call.func(call.opaque);
        pthread_mutex_lock(&host->lock);
    }
    pthread_mutex_unlock(&host->lock);
    return NULL;
}

struct client {
    struct bp_block_ready *queue;
    uint64_t next; /* the loop's: completions come in order */
    uint32_t bad;
    pthread_mutex_t lock; /* protects: completed */
    pthread_cond_t changed;
    uint32_t completed;
};

static void
client_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct client *client = opaque;
    uint32_t i;

    for (i = 0; i < count; i++) {
        client->bad += completions[i].user != client->next ||
                       completions[i].status != -(int32_t)(client->next % 100);
        client->next++;
    }
    pthread_mutex_lock(&client->lock);
    client->completed += count;
    pthread_cond_signal(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

static void *
client_run(void *opaque)
{
    struct client *client = opaque;
    uint32_t i, before;

    for (i = 0; i < REQUESTS; i++) {
        pthread_mutex_lock(&client->lock);
        while (i - client->completed >= DEPTH) {
            pthread_cond_wait(&client->changed, &client->lock);
        }
        before = client->completed;
        pthread_mutex_unlock(&client->lock);
        assert_true(bp_block_ready_room(client->queue) >= DEPTH - (i - before));
        bp_block_ready_add(client->queue, i, -(int32_t)(i % 100), 0);
        if (i % 3 != 0 || i + DEPTH >= REQUESTS || i - before >= DEPTH - 3) {
            bp_block_ready_kick(client->queue);
        }
    }
    return NULL;
}

static void
test_every_completion_comes_once_and_in_order_while_queues_come_and_go(void **state)
{
    struct bp_instance *host = calloc(1, sizeof(*host));
    struct bp_services services = {.instance = host, .loop = &loop_table};
    struct bp_block_ready_set set = {.services = &services};
    struct bp_block_client table = {.size = sizeof(table), .complete = client_complete};
    uint32_t round;

    pthread_mutex_init(&host->lock, NULL);
    pthread_cond_init(&host->changed, NULL);
    assert_int_equal(pthread_create(&host->thread, NULL, host_run, host), 0);
    for (round = 0; round < ROUNDS; round++) {
        struct client client = {.next = 0};
        struct bp_block_queue_args args = {
            .size = sizeof(args), .depth = DEPTH, .client = &table, .opaque = &client};
        pthread_t thread;

        pthread_mutex_init(&client.lock, NULL);
        pthread_cond_init(&client.changed, NULL);
        assert_int_equal(bp_block_ready_open(&set, &args, &client.queue), 0);
        assert_int_equal(pthread_create(&thread, NULL, client_run, &client), 0);
        bp_block_ready_event(&set, BP_BLOCK_EVENT_RESIZED); /* no such callback: nothing happens */
        (void)pthread_join(thread, NULL);
        bp_block_ready_drain(client.queue);
        assert_int_equal(client.completed, REQUESTS);
        assert_int_equal(client.bad, 0);
        bp_block_ready_close(&set, client.queue);
        pthread_cond_destroy(&client.changed);
        pthread_mutex_destroy(&client.lock);
    }
    pthread_mutex_lock(&host->lock);
    host->stop = 1;
    pthread_cond_signal(&host->changed);
    pthread_mutex_unlock(&host->lock);
    (void)pthread_join(host->thread, NULL);
    bp_block_ready_done(&set);
    pthread_cond_destroy(&host->changed);
    pthread_mutex_destroy(&host->lock);
    free(host);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_completion_comes_once_and_in_order_while_queues_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
