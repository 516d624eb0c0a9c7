/* SPDX-License-Identifier: Apache-2.0 */
/* block-file on a host with a real loop thread: several threads submit, the loop completes, the
 * control thread cancels, drains and closes, all at once. For ThreadSanitizer above all. */
#include "block_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX_FDS    64u
#define MAX_OPTION 8u
#define ARENAS     64u

/* --- a host with a thread -------------------------------------------------------------------- */

struct bp_node {
    const char *name;
    const char *text; /* NULL: not given */
    uint64_t number;
};

struct watch {
    uint32_t used;
    struct bp_fd_args args;
};

struct host_thread {
    pthread_t thread;
    void (*func)(void *opaque);
    void (*stop)(void *opaque);
    void *opaque;
    uint32_t used;
};

struct bp_instance {
    struct bp_host host;
    struct bp_node options[MAX_OPTION];
    pthread_t loop;
    int epoll_fd;
    int stop_fd;
    pthread_mutex_t lock; /* protects: watches, running */
    pthread_cond_t returned;
    struct watch watches[MAX_FDS];
    struct watch *running; /* its callback is */
    struct host_thread threads[POOL_MAX_WORKERS];
    void *arenas[ARENAS];
};

static void
host_log_write(struct bp_instance *host, uint32_t level, const char *text, uint64_t length)
{
}

static int32_t
host_log_enabled(struct bp_instance *host, uint32_t level)
{
    return 0;
}

static void
host_log_error(struct bp_instance *host, int32_t code, const struct bp_node *node, const char *text)
{
    print_error("%s\n", text);
}

static const struct bp_log_host log_table = {sizeof(log_table), 0, host_log_write, host_log_enabled,
                                             host_log_error};

static const struct bp_node *
host_child(struct bp_instance *host, const struct bp_node *node, const char *name)
{
    uint32_t i;

    for (i = 0; i < MAX_OPTION && host->options[i].name != NULL; i++) {
        if (strcmp(host->options[i].name, name) == 0) {
            return &host->options[i];
        }
    }
    return NULL;
}

static int32_t
host_type(struct bp_instance *host, const struct bp_node *node)
{
    if (node == NULL) {
        return -EINVAL;
    }
    return node->text != NULL ? (int32_t)BP_NODE_STRING : (int32_t)BP_NODE_INT;
}

static int32_t
host_get_u64(struct bp_instance *host, const struct bp_node *node, uint64_t *value)
{
    if (node == NULL) {
        return -ENOENT;
    }
    *value = node->number;
    return 0;
}

static int32_t
host_get_bool(struct bp_instance *host, const struct bp_node *node, uint32_t *value)
{
    return node == NULL ? -ENOENT : -EINVAL;
}

static const char *
host_get_str(struct bp_instance *host, const struct bp_node *node)
{
    return node != NULL ? node->text : NULL;
}

static const struct bp_config_host config_table = {.size = sizeof(config_table),
                                                   .type = host_type,
                                                   .child = host_child,
                                                   .get_u64 = host_get_u64,
                                                   .get_bool = host_get_bool,
                                                   .get_str = host_get_str};

static int32_t
host_arena_alloc(struct bp_instance *host, uint32_t id, uint64_t length, uint64_t alignment,
                 void **memory)
{
    assert_true(id < ARENAS && host->arenas[id] == NULL);
    assert_int_equal(posix_memalign(&host->arenas[id], alignment, length), 0);
    *memory = host->arenas[id];
    return 0;
}

static void
host_arena_free(struct bp_instance *host, uint32_t id)
{
    free(host->arenas[id]);
    host->arenas[id] = NULL;
}

static const struct bp_memory_host memory_table = {
    .size = sizeof(memory_table), .arena_alloc = host_arena_alloc, .arena_free = host_arena_free};

static int32_t
host_open(struct bp_instance *host, const char *path, uint32_t flags)
{
    int options = O_CLOEXEC | ((flags & BP_OPEN_WRITE) != 0 ? O_RDWR : O_RDONLY);
    int fd;

    options |= (flags & BP_OPEN_DIRECT) != 0 ? O_DIRECT : 0;
    options |= (flags & BP_OPEN_DSYNC) != 0 ? O_DSYNC : 0;
    fd = open(path, options);
    return fd < 0 ? -errno : fd;
}

static const struct bp_core_host core_table = {.size = sizeof(core_table), .open = host_open};

static uint32_t
host_count(struct bp_instance *host)
{
    return 1;
}

static int32_t
host_fd_add(struct bp_instance *host, const struct bp_fd_args *args)
{
    struct epoll_event event = {.events = EPOLLIN};
    uint32_t i;

    pthread_mutex_lock(&host->lock);
    for (i = 0; i < MAX_FDS && host->watches[i].used; i++) {
    }
    assert_true(i < MAX_FDS);
    host->watches[i].used = 1;
    host->watches[i].args = *args;
    event.data.u32 = i;
    assert_int_equal(epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, args->fd, &event), 0);
    pthread_mutex_unlock(&host->lock);
    return 0;
}

static void
host_fd_del(struct bp_instance *host, uint32_t id)
{
    uint32_t i;

    pthread_mutex_lock(&host->lock);
    for (i = 0; i < MAX_FDS; i++) {
        struct watch *watch = &host->watches[i];

        if (watch->used && watch->args.id == id) {
            assert_int_equal(epoll_ctl(host->epoll_fd, EPOLL_CTL_DEL, watch->args.fd, NULL), 0);
            watch->used = 0;
            while (host->running == watch) {
                pthread_cond_wait(&host->returned, &host->lock);
            }
        }
    }
    pthread_mutex_unlock(&host->lock);
}

static int32_t
host_is_current(struct bp_instance *host, uint32_t loop)
{
    return pthread_equal(pthread_self(), host->loop) != 0;
}

static void *
host_thread_main(void *opaque)
{
    struct host_thread *thread = opaque;

    thread->func(thread->opaque);
    return NULL;
}

static int32_t
host_thread_start(struct bp_instance *host, uint32_t id, const char *name,
                  void (*func)(void *opaque), void (*stop)(void *opaque), void *opaque)
{
    struct host_thread *thread = &host->threads[id];

    assert_false(thread->used);
    thread->used = 1;
    thread->func = func;
    thread->stop = stop;
    thread->opaque = opaque;
    return -pthread_create(&thread->thread, NULL, host_thread_main, thread);
}

static const struct bp_loop_host loop_table = {.size = sizeof(loop_table),
                                               .count = host_count,
                                               .fd_add = host_fd_add,
                                               .fd_del = host_fd_del,
                                               .thread_start = host_thread_start,
                                               .is_current = host_is_current};

static const void *
host_query(struct bp_instance *host, const char *id)
{
    return strcmp(id, BP_LOG_ID) == 0      ? (const void *)&log_table
           : strcmp(id, BP_CONFIG_ID) == 0 ? (const void *)&config_table
           : strcmp(id, BP_MEMORY_ID) == 0 ? (const void *)&memory_table
           : strcmp(id, BP_CORE_ID) == 0   ? (const void *)&core_table
           : strcmp(id, BP_LOOP_ID) == 0   ? (const void *)&loop_table
                                           : NULL;
}

static void *
loop_main(void *opaque)
{
    struct bp_instance *host = opaque;
    struct epoll_event event;

    for (;;) {
        struct watch *watch;
        uint32_t live;

        if (epoll_wait(host->epoll_fd, &event, 1, -1) != 1) {
            continue;
        }
        if (event.data.u32 == MAX_FDS) {
            return NULL;
        }
        pthread_mutex_lock(&host->lock);
        watch = &host->watches[event.data.u32];
        live = watch->used;
        host->running = live ? watch : NULL;
        pthread_mutex_unlock(&host->lock);
        if (live) {
            watch->args.ready(watch->args.opaque, BP_FD_IN);
            pthread_mutex_lock(&host->lock);
            host->running = NULL;
            pthread_cond_broadcast(&host->returned);
            pthread_mutex_unlock(&host->lock);
        }
    }
}

static struct bp_instance *
host_new(void)
{
    struct bp_instance *host = calloc(1, sizeof(*host));
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = MAX_FDS};

    host->host.size = sizeof(host->host);
    host->host.query = host_query;
    pthread_mutex_init(&host->lock, NULL);
    pthread_cond_init(&host->returned, NULL);
    host->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    host->stop_fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, host->stop_fd, &event), 0);
    assert_int_equal(pthread_create(&host->loop, NULL, loop_main, host), 0);
    return host;
}

/* As the core does: threads first, then destroy(). */
static void
host_free(struct bp_instance *host, void *self)
{
    uint32_t i;

    for (i = 0; i < POOL_MAX_WORKERS; i++) {
        if (host->threads[i].used) {
            host->threads[i].stop(host->threads[i].opaque);
            (void)pthread_join(host->threads[i].thread, NULL);
        }
    }
    backplane_plugin_v1.classes[0]->destroy(self);
    (void)eventfd_write(host->stop_fd, 1);
    (void)pthread_join(host->loop, NULL);
    for (i = 0; i < ARENAS; i++) {
        free(host->arenas[i]);
    }
    (void)close(host->epoll_fd);
    (void)close(host->stop_fd);
    pthread_cond_destroy(&host->returned);
    pthread_mutex_destroy(&host->lock);
    free(host);
}

/* --- clients --------------------------------------------------------------------------------- */

#define CLIENTS    3u
#define DEPTH      32u
#define SECTORS    256u /* of the image */
#define ROUNDS     8u
#define SUBMISSION 400u /* requests of one client in one round */

struct client {
    const struct bp_block_ops *ops;
    void *self;
    void *queue;
    uint32_t number;
    uint8_t *memory; /* for each slot 1024 bytes to write and 1024 to read into */
    struct bp_iovec iov[DEPTH];
    uint32_t busy[DEPTH];    /* under lock */
    uint8_t shadow[SECTORS]; /* the byte each of our sectors was filled with last */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t completed, cancelled, bad;
    uint32_t submitted;
};

static void
client_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct client *client = opaque;
    uint32_t i;

    pthread_mutex_lock(&client->lock);
    for (i = 0; i < count; i++) {
        client->busy[completions[i].user] = 0;
        client->cancelled += completions[i].status == -ECANCELED;
        client->bad += completions[i].status != 0 && completions[i].status != -ECANCELED;
        client->completed++;
    }
    pthread_cond_signal(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

static uint32_t
take_slot(struct client *client)
{
    uint32_t slot;

    pthread_mutex_lock(&client->lock);
    for (;;) {
        for (slot = 0; slot < DEPTH; slot++) {
            if (!client->busy[slot]) {
                client->busy[slot] = 1;
                pthread_mutex_unlock(&client->lock);
                return slot;
            }
        }
        pthread_cond_wait(&client->changed, &client->lock);
    }
}

/* Every client writes its own sectors, which lie between those of the others. */
static void *
client_run(void *opaque)
{
    struct client *client = opaque;
    uint32_t i;

    for (i = 0; i < SUBMISSION; i++) {
        uint32_t slot = take_slot(client);
        struct bp_block_request request = {.user = slot, .op = BP_BLOCK_WRITE, .length = 512};
        uint32_t sector = (slot * CLIENTS + client->number) % SECTORS;

        client->iov[slot].base = client->memory + slot * 1024 + (i % 3 == 0 ? 1 : 0);
        client->iov[slot].length = 512;
        request.offset = 512 * (uint64_t)sector;
        request.iov = &client->iov[slot];
        request.iov_count = 1;
        if (i % 16 == 5) {
            request.op = BP_BLOCK_READ;
            client->iov[slot].base = client->memory + (DEPTH + slot) * 1024;
        } else if (i % 64 == 7) {
            request = (struct bp_block_request){.user = slot, .op = BP_BLOCK_FLUSH};
        } else {
            client->shadow[sector] = (uint8_t)(i + client->number * 50 + 1);
            memset(client->iov[slot].base, client->shadow[sector], 512);
        }
        client->submitted++;
        while (client->ops->submit(client->self, client->queue, &request, 1) != 1) {
            (void)sched_yield(); /* the record comes back a little later than the slot */
        }
    }
    return NULL;
}

static void
client_open(struct client *client)
{
    struct bp_block_client table = {.size = sizeof(table), .complete = client_complete};
    struct bp_block_queue_args args = {
        .size = sizeof(args), .depth = DEPTH, .client = &table, .opaque = client};

    assert_int_equal(client->ops->queue_open(client->self, &args, &client->queue), 0);
}

static void
check_file(const char *path, struct client *clients)
{
    static uint8_t data[SECTORS * 512];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint32_t c, sector;

    assert_int_equal(read(fd, data, sizeof(data)), sizeof(data));
    for (c = 0; c < CLIENTS; c++) {
        for (sector = 0; sector < SECTORS; sector++) {
            if (clients[c].shadow[sector] != 0) {
                assert_int_equal(data[sector * 512], clients[c].shadow[sector]);
                assert_int_equal(data[sector * 512 + 511], clients[c].shadow[sector]);
            }
        }
    }
    (void)close(fd);
}

static void
run_clients(struct bp_instance *host, void *self, struct client *clients, uint32_t cancels)
{
    pthread_t threads[CLIENTS];
    struct bp_block_info info = {.size = sizeof(info)};
    uint32_t c, i;

    for (c = 0; c < CLIENTS; c++) {
        client_open(&clients[c]);
        assert_int_equal(pthread_create(&threads[c], NULL, client_run, &clients[c]), 0);
    }
    for (i = 0; i < 200; i++) {
        struct client *client = &clients[i % CLIENTS];

        assert_int_equal(client->ops->info(self, &info), 0);
        if (cancels) {
            client->ops->cancel(self, client->queue, i % 7 == 0 ? UINT64_MAX : i % DEPTH);
        }
    }
    for (c = 0; c < CLIENTS; c++) {
        (void)pthread_join(threads[c], NULL);
        clients[c].ops->drain(self, clients[c].queue); /* with up to DEPTH in flight */
        assert_int_equal(clients[c].completed, clients[c].submitted);
        assert_int_equal(clients[c].bad, 0);
        assert_true(cancels || clients[c].cancelled == 0);
        clients[c].ops->queue_close(self, clients[c].queue);
    }
}

static void
check(const char *cache, const char *aio, uint32_t block, uint32_t cancels)
{
    struct bp_instance *host = host_new();
    struct client *clients = calloc(CLIENTS, sizeof(*clients));
    const struct bp_class *class = backplane_plugin_v1.classes[0];
    const char *directory = getenv("BLOCK_FILE_TEST_DIR");
    struct bp_create args = {
        .size = sizeof(args), .host = &host->host, .instance = host, .config = host->options};
    struct block_file *file;
    char path[512];
    void *self;
    uint32_t c, round;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/block-file-%d-threads.img",
                   directory != NULL ? directory : "/tmp", (int)getpid());
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, SECTORS * 512), 0);
    (void)close(fd);
    host->options[0] = (struct bp_node){"path", path, 0};
    host->options[1] = (struct bp_node){"cache", cache, 0};
    host->options[2] = (struct bp_node){"aio", aio, 0};
    host->options[3] = (struct bp_node){"threads", NULL, 4};
    host->options[4] = (struct bp_node){"discard", "unmap", 0};
    assert_int_equal(class->create(&args, &self), 0);
    file = self;
    if (block != 0) {
        file->image.offset_align = block;
    }
    for (c = 0; c < CLIENTS; c++) {
        clients[c].number = c;
        clients[c].ops = class->query(self, BP_BLOCK_ID);
        clients[c].self = self;
        assert_int_equal(posix_memalign((void **)&clients[c].memory, 4096, 65536), 0);
        pthread_mutex_init(&clients[c].lock, NULL);
        pthread_cond_init(&clients[c].changed, NULL);
    }
    for (round = 0; round < ROUNDS; round++) {
        run_clients(host, self, clients, cancels);
    }
    host_free(host, self);
    if (!cancels) {
        check_file(path, clients);
    }
    for (c = 0; c < CLIENTS; c++) {
        pthread_cond_destroy(&clients[c].changed);
        pthread_mutex_destroy(&clients[c].lock);
        free(clients[c].memory);
    }
    free(clients);
    (void)unlink(path);
}

static void
test_submitters_and_the_loop_agree_with_io_uring(void **state)
{
    check("writeback", "auto", 0, 0);
    check("none", "auto", 0, 0);
}

static void
test_submitters_and_the_loop_agree_with_threads(void **state)
{
    check("writeback", "threads", 0, 0);
    check("none", "threads", 0, 0);
}

static void
test_writes_of_different_queues_to_one_block_all_arrive(void **state)
{
    check("none", "auto", 4096, 0);
    check("none", "threads", 4096, 0);
}

static void
test_cancelling_from_another_thread_loses_no_completion(void **state)
{
    check("writeback", "auto", 0, 1);
    check("none", "auto", 4096, 1);
    check("writeback", "threads", 0, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submitters_and_the_loop_agree_with_io_uring),
        cmocka_unit_test(test_submitters_and_the_loop_agree_with_threads),
        cmocka_unit_test(test_writes_of_different_queues_to_one_block_all_arrive),
        cmocka_unit_test(test_cancelling_from_another_thread_loses_no_completion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
