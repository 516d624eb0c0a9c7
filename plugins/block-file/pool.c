/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include "queue.h"

/* Long enough that copying in pieces costs nothing against the transfer; whole blocks of any
 * device. */
#define BOUNCE_BYTES (128u << 10)
#define BOUNCE_ALIGN 4096u

void
pool_init(struct pool *pool, const struct bp_services *services, struct image *image)
{
    pool->services = services;
    pool->image = image;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
}

void
pool_done(struct pool *pool)
{
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
}

/* Waits for work. Returns NULL when the pool stops and nothing is left. */
static struct request *
next_request(struct pool *pool)
{
    struct request *request;

    pthread_mutex_lock(&pool->lock);
    while (pool->first == NULL && !pool->stopping) {
        pool->idle++;
        pthread_cond_wait(&pool->work, &pool->lock);
        pool->idle--;
    }
    request = pool->first;
    if (request != NULL) {
        pool->first = request->next;
        if (pool->first == NULL) {
            pool->last = NULL;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return request;
}

static void
worker_run(void *opaque)
{
    struct worker *worker = opaque;
    struct request *request;

    while ((request = next_request(worker->pool)) != NULL) {
        queue_finish(request, request_run(request, worker->pool->image, &worker->bounce));
    }
}

/* Stops all workers; the core calls it for each. */
static void
worker_stop(void *opaque)
{
    struct worker *worker = opaque;

    pthread_mutex_lock(&worker->pool->lock);
    worker->pool->stopping = 1;
    pthread_mutex_unlock(&worker->pool->lock);
    pthread_cond_broadcast(&worker->pool->work);
}

static int32_t
start_worker(struct pool *pool, uint32_t id)
{
    const struct bp_services *services = pool->services;
    struct worker *worker = &pool->workers[id];
    void *memory = NULL;
    int32_t result;

    result =
        services->memory->arena_alloc(services->instance, id, BOUNCE_BYTES, BOUNCE_ALIGN, &memory);
    if (result != 0) {
        return result;
    }
    worker->pool = pool;
    worker->bounce.memory = memory;
    worker->bounce.length = BOUNCE_BYTES;
    result = services->loop->thread_start(services->instance, id, "block-file", worker_run,
                                          worker_stop, worker);
    if (result != 0) {
        services->memory->arena_free(services->instance, id);
    }
    return result;
}

int32_t
pool_start(struct pool *pool, uint32_t count)
{
    int32_t result = 0;

    while (result == 0 && pool->worker_count < count) {
        result = start_worker(pool, pool->worker_count);
        pool->worker_count += result == 0;
    }
    return pool->worker_count > 0 ? 0 : result;
}

void
pool_add(struct pool *pool, const struct request_list *list)
{
    uint32_t wake;

    pthread_mutex_lock(&pool->lock);
    if (pool->last != NULL) {
        pool->last->next = list->first;
    } else {
        pool->first = list->first;
    }
    pool->last = list->last;
    wake = pool->idle < list->count ? pool->idle : list->count;
    pthread_mutex_unlock(&pool->lock);
    while (wake-- > 0) {
        pthread_cond_signal(&pool->work);
    }
}

struct request *
pool_take_cancelled(struct pool *pool, const struct queue *queue)
{
    struct request *taken = NULL, *kept = NULL;
    struct request **place = &pool->first;

    pthread_mutex_lock(&pool->lock);
    while (*place != NULL) {
        struct request *request = *place;

        if (request->queue == queue && request_is_cancelled(request)) {
            *place = request->next;
            request->next = taken;
            taken = request;
        } else {
            kept = request;
            place = &request->next;
        }
    }
    pool->last = kept;
    pthread_mutex_unlock(&pool->lock);
    return taken;
}
