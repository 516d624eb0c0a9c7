/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that carry out requests which must block. They are the core's:
 * it starts and joins them. */
#ifndef BLOCK_FILE_POOL_H
#define BLOCK_FILE_POOL_H

#include "request.h"

#include <pthread.h>

#define POOL_MAX_WORKERS 64u

struct pool;

struct worker {
    struct pool *pool;
    struct bounce bounce;
};

struct pool {
    const struct bp_services *services;
    struct image *image;
    pthread_mutex_t lock; /* protects: the list, idle, stopping */
    pthread_cond_t work;
    struct request *first; /* oldest */
    struct request *last;
    uint32_t idle;
    uint32_t stopping;
    uint32_t worker_count; /* changed by the control thread alone */
    struct worker workers[POOL_MAX_WORKERS];
};

/* A list of requests, linked by next. */
struct request_list {
    struct request *first;
    struct request *last;
    uint32_t count;
};

void pool_init(struct pool *pool, const struct bp_services *services, struct image *image);
/* After the core has joined the threads. */
void pool_done(struct pool *pool);
/* Makes sure of at least one worker, tries to have count. [control] -EAGAIN, -ENOMEM: not one. */
int32_t pool_start(struct pool *pool, uint32_t count);
/* Hands the requests over, any thread may. */
void pool_add(struct pool *pool, const struct request_list *list);
/* Takes those of a queue that were cancelled before a worker had them; linked by next. */
struct request *pool_take_cancelled(struct pool *pool, const struct queue *queue);

static inline void
request_list_add(struct request_list *list, struct request *request)
{
    request->next = NULL;
    if (list->last != NULL) {
        list->last->next = request;
    } else {
        list->first = request;
    }
    list->last = request;
    list->count++;
}

#endif
