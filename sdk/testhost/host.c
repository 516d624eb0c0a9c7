/* SPDX-License-Identifier: Apache-2.0 */
/* The fake host itself: violations, fault injection, services, backends by id. */
#include "th.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void *
th_alloc(uint64_t length)
{
    void *memory = calloc(1, length == 0 ? 1 : length);

    if (memory == NULL) {
        fprintf(stderr, "testhost: out of memory\n");
        abort();
    }
    return memory;
}

char *
th_strdup(const char *text)
{
    uint64_t length = strlen(text) + 1;

    return memcpy(th_alloc(length), text, length);
}

void
th_violate(struct th_host *th, const char *format, ...)
{
    va_list args;

    pthread_mutex_lock(&th->lock);
    th->violations++;
    va_start(args, format);
    (void)vsnprintf(th->last_violation, sizeof(th->last_violation), format, args);
    va_end(args);
    fprintf(stderr, "testhost: contract violated: %s\n", th->last_violation);
    pthread_mutex_unlock(&th->lock);
}

uint32_t
th_take_violations(struct th_host *th)
{
    uint32_t count = th->violations;

    th->violations = 0;
    return count;
}

const char *
th_last_violation(const struct th_host *th)
{
    return th->last_violation;
}

struct th_host *
th_new(void)
{
    struct th_host *th = th_alloc(sizeof(*th));
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&th->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    th->control = pthread_self();
    th->loops = 1;
    th->next_devfn = 0x18;
    th->next_io = 0xc000;
    th->next_mem = UINT64_C(0xe0000000);
    th->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (th->wake_fd < 0) {
        perror("testhost: eventfd");
        abort();
    }
    th->verbose = getenv("BACKPLANE_TESTHOST_LOG") != NULL;
    th->is_future = getenv("BACKPLANE_TESTHOST_FUTURE") != NULL;
    th_memory_init(th);
    return th;
}

void
th_free(struct th_host *th)
{
    struct bp_instance *instance;
    uint32_t violations;

    for (instance = th->instances; instance != NULL; instance = instance->next) {
        if (!instance->destroyed) {
            th_destroy(instance);
        }
    }
    while (th->backends != NULL) {
        struct th_backend *backend = th->backends;
        th->backends = backend->next;
        backend->free(backend->self);
        free(backend);
    }
    while ((instance = th->instances) != NULL) {
        th->instances = instance->next;
        th_config_free(instance->config);
        free(instance->id);
        free(instance);
    }
    while (th->future != NULL) {
        struct th_future *future = th->future;
        th->future = future->next;
        free(future);
    }
    th_memory_done(th);
    th_log_done(th);
    free(th->irq_log);
    (void)close(th->wake_fd);
    pthread_mutex_destroy(&th->lock);
    violations = th->violations;
    free(th);
    if (violations != 0) {
        fprintf(stderr, "testhost: %u violations of the contract: the test has failed\n",
                violations);
        abort();
    }
}

void
th_set_loops(struct th_host *th, uint32_t count)
{
    th->loops = count == 0 ? 1 : count;
}

void
th_set_verbose(struct th_host *th, int verbose)
{
    th->verbose = verbose;
}

void
th_fail_call(struct th_host *th, uint32_t n, int32_t error)
{
    th->fail_in = n;
    th->fail_error = error < 0 ? error : -error;
    th->fail_hit = 0;
}

uint32_t
th_call_count(const struct th_host *th)
{
    return th->calls;
}

int
th_call_failed(const struct th_host *th)
{
    return (int)th->fail_hit;
}

void
th_hide_service(struct th_host *th, const char *interface_id)
{
    if (th->hidden_count < sizeof(th->hidden) / sizeof(th->hidden[0])) {
        th->hidden[th->hidden_count++] = interface_id;
    }
}

enum th_context
th_enter(struct th_host *th, enum th_context context)
{
    enum th_context before = th->context;

    th->context = context;
    return before;
}

void
th_leave(struct th_host *th, enum th_context before)
{
    th->context = before;
}

void
th_wake(struct th_host *th)
{
    uint64_t one = 1;

    if (write(th->wake_fd, &one, sizeof(one)) < 0) {
        return; /* the counter is full: it is awake */
    }
}

static int32_t
injected_failure(struct th_host *th)
{
    int32_t result = 0;

    pthread_mutex_lock(&th->lock);
    th->calls++;
    if (th->fail_in != 0 && --th->fail_in == 0) {
        th->fail_hit = 1;
        result = th->fail_error;
    }
    pthread_mutex_unlock(&th->lock);
    return result;
}

int32_t
th_call(struct bp_instance *instance, const char *what, uint32_t checks)
{
    struct th_host *th = instance->th;

    if (instance->destroyed) {
        th_violate(th, "%s: %s called after destroy()", instance->id, what);
        return -EINVAL;
    }
    if (checks & TH_CONTROL) {
        if (!pthread_equal(pthread_self(), th->control)) {
            th_violate(th, "%s: %s is [control], called on another thread", instance->id, what);
        } else if (th->context != TH_IN_CONTROL) {
            th_violate(th, "%s: %s is [control], called inside %s callback", instance->id, what,
                       th->context == TH_IN_VCPU ? "a [vcpu]" : "a [loop]");
        }
    }
    return checks & TH_FAILS ? injected_failure(th) : 0;
}

int32_t
th_copy_args(struct bp_instance *instance, const char *what, void *to, uint32_t to_size,
             const void *from, uint32_t from_size)
{
    const uint8_t *bytes = from;
    uint32_t i;

    memset(to, 0, to_size);
    if (from_size < 8) {
        th_violate(instance->th, "%s: %s: size %u of the arguments is not set", instance->id, what,
                   from_size);
        return -EINVAL;
    }
    for (i = to_size; i < from_size; i++) {
        if (bytes[i] != 0) {
            return -E2BIG;
        }
    }
    memcpy(to, from, from_size < to_size ? from_size : to_size);
    return 0;
}

void
th_copy_table(void *to, uint32_t to_size, const void *from)
{
    uint32_t from_size;

    memcpy(&from_size, from, sizeof(from_size));
    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
}

int32_t
th_check_loop(struct bp_instance *instance, const char *what, uint32_t loop)
{
    if (loop < instance->th->loops) {
        return 0;
    }
    th_violate(instance->th, "%s: %s: there is no loop %u", instance->id, what, loop);
    return -ENOENT;
}

/* A table as a later core would have it: larger, with members nobody knows yet. */
const void *
th_future_table(struct th_host *th, const void *table)
{
    struct th_future *future = th->future;
    uint32_t size;

    if (!th->is_future || table == NULL) {
        return table;
    }
    for (; future != NULL; future = future->next) {
        if (future->original == table) {
            return future->copy;
        }
    }
    memcpy(&size, table, sizeof(size));
    future = th_alloc(sizeof(*future) + size + TH_FUTURE_BYTES);
    future->original = table;
    memcpy(future->copy, table, size);
    memset(future->copy + size, 0xa5, TH_FUTURE_BYTES);
    size += TH_FUTURE_BYTES;
    memcpy(future->copy, &size, sizeof(size));
    future->next = th->future;
    th->future = future;
    return future->copy;
}

const void *
th_query(struct bp_instance *instance, const char *interface_id)
{
    static const struct {
        const char *id;
        const void *table;
    } services[] = {
        {BP_LOG_ID, &th_log_table},          {BP_CONFIG_ID, &th_config_table},
        {BP_MEMORY_ID, &th_memory_table},    {BP_REGION_ID, &th_region_table},
        {BP_IRQ_ID, &th_irq_table},          {BP_PCI_ID, &th_pci_table},
        {BP_MSI_ID, &th_msi_table},          {BP_MSIX_ID, &th_msix_table},
        {BP_ISADMA_ID, &th_isadma_table},    {BP_TIMER_ID, &th_timer_table},
        {BP_LOOP_ID, &th_loop_table},        {BP_CORE_ID, &th_core_table},
        {BP_MEDIA_HOST_ID, &th_media_table},
    };
    uint32_t i;

    (void)th_call(instance, "host.query", 0);
    for (i = 0; i < instance->th->hidden_count; i++) {
        if (strcmp(instance->th->hidden[i], interface_id) == 0) {
            return NULL;
        }
    }
    for (i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        if (strcmp(services[i].id, interface_id) == 0) {
            return th_future_table(instance->th, services[i].table);
        }
    }
    return NULL;
}

struct bp_instance *
th_find_instance(struct th_host *th, const char *id)
{
    struct bp_instance *instance;

    for (instance = th->instances; instance != NULL; instance = instance->next) {
        if (!instance->destroyed && strcmp(instance->id, id) == 0) {
            return instance;
        }
    }
    return NULL;
}

struct th_backend *
th_find_backend(struct th_host *th, const char *id)
{
    struct th_backend *backend;

    for (backend = th->backends; backend != NULL; backend = backend->next) {
        if (strcmp(backend->id, id) == 0) {
            return backend;
        }
    }
    return NULL;
}

void
th_add_backend(struct th_host *th, const struct th_backend *backend)
{
    struct th_backend *added = th_alloc(sizeof(*added));

    if (th_find_backend(th, backend->id) != NULL) {
        fprintf(stderr, "testhost: there are two backends '%s'\n", backend->id);
        abort();
    }
    *added = *backend;
    added->next = th->backends;
    th->backends = added;
}

int32_t
th_status(const struct th_host *th)
{
    return th->status;
}

const char *
th_error_text(const struct th_host *th)
{
    return th->error_text;
}
