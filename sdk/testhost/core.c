/* SPDX-License-Identifier: Apache-2.0 */
/* bp.core/1 and bp.log/1: everything is written down. */
#include "th.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct th_log_line {
    struct th_log_line *next;
    uint32_t level;
    char text[];
};

enum item_kind { ITEM_EVENT, ITEM_FIRMWARE, ITEM_BOOT_PATH, ITEM_ISA };

struct th_core_item {
    struct th_core_item *next; /* in order of arrival */
    struct bp_instance *owner;
    enum item_kind kind;
    char *name;
    void *data;
    uint64_t length;
    struct bp_isa_resource resource;
};

/* --- log ------------------------------------------------------------------------------------- */

static void
log_add(struct th_host *th, const char *id, uint32_t level, const char *text, uint64_t length)
{
    struct th_log_line *line = th_alloc(sizeof(*line) + length + 1);

    line->level = level;
    memcpy(line->text, text, length);
    pthread_mutex_lock(&th->lock);
    line->next = th->log;
    th->log = line;
    pthread_mutex_unlock(&th->lock);
    if (th->verbose) {
        fprintf(stderr, "# %s: %s\n", id, line->text);
    }
}

static void
log_write(struct bp_instance *instance, uint32_t level, const char *text, uint64_t length)
{
    (void)th_call(instance, "log.write", 0);
    if (level > BP_LOG_DEBUG || memchr(text, '\n', length) != NULL) {
        th_violate(instance->th, "%s: log.write: level %u, or a line end in the text", instance->id,
                   level);
    }
    log_add(instance->th, instance->id, level, text, length);
}

static int32_t
log_enabled(struct bp_instance *instance, uint32_t level)
{
    (void)th_call(instance, "log.enabled", 0);
    return level <= BP_LOG_DEBUG;
}

static void
log_error(struct bp_instance *instance, int32_t code, const struct bp_node *node, const char *text)
{
    struct th_host *th = instance->th;

    (void)node;
    (void)th_call(instance, "log.error", TH_CONTROL);
    if (code >= 0) {
        th_violate(th, "%s: log.error with code %d", instance->id, code);
    }
    if (th->error_text[0] == '\0') {
        (void)snprintf(th->error_text, sizeof(th->error_text), "%s", text);
    }
    log_add(th, instance->id, BP_LOG_ERROR, text, strlen(text));
}

const struct bp_log_host th_log_table = {
    .size = sizeof(struct bp_log_host),
    .write = log_write,
    .enabled = log_enabled,
    .error = log_error,
};

int
th_logged(struct th_host *th, const char *text)
{
    const struct th_log_line *line;
    int found = 0;

    pthread_mutex_lock(&th->lock);
    for (line = th->log; line != NULL && !found; line = line->next) {
        found = strstr(line->text, text) != NULL;
    }
    pthread_mutex_unlock(&th->lock);
    return found;
}

uint32_t
th_log_count(struct th_host *th, uint32_t level)
{
    const struct th_log_line *line;
    uint32_t count = 0;

    pthread_mutex_lock(&th->lock);
    for (line = th->log; line != NULL; line = line->next) {
        count += line->level == level;
    }
    pthread_mutex_unlock(&th->lock);
    return count;
}

/* --- core ------------------------------------------------------------------------------------ */

static struct th_core_item *
item_add(struct bp_instance *instance, enum item_kind kind, const char *name, const void *data,
         uint64_t length)
{
    struct th_host *th = instance->th;
    struct th_core_item *item = th_alloc(sizeof(*item));
    struct th_core_item **end;

    item->owner = instance;
    item->kind = kind;
    item->name = th_strdup(name);
    item->length = length;
    item->data = th_alloc(length + 1);
    if (length > 0) {
        memcpy(item->data, data, length);
    }
    pthread_mutex_lock(&th->lock);
    for (end = &th->items; *end != NULL; end = &(*end)->next) {
    }
    *end = item;
    pthread_mutex_unlock(&th->lock);
    return item;
}

static struct th_core_item *
item_find(struct th_host *th, enum item_kind kind, const char *name,
          const struct bp_instance *owner)
{
    struct th_core_item *item;

    for (item = th->items; item != NULL; item = item->next) {
        if (item->kind == kind && (name == NULL || strcmp(item->name, name) == 0) &&
            (owner == NULL || item->owner == owner)) {
            return item;
        }
    }
    return NULL;
}

static struct th_core_item *
item_nth(struct th_host *th, enum item_kind kind, uint32_t n)
{
    struct th_core_item *item;

    for (item = th->items; item != NULL; item = item->next) {
        if (item->kind == kind && n-- == 0) {
            return item;
        }
    }
    return NULL;
}

static void
core_event(struct bp_instance *instance, const char *name, const char *json)
{
    (void)th_call(instance, "core.event", 0);
    (void)item_add(instance, ITEM_EVENT, name, json, json == NULL ? 0 : strlen(json));
}

const char *
th_event(struct th_host *th, uint32_t n, const char **json)
{
    const struct th_core_item *item = item_nth(th, ITEM_EVENT, n);

    if (item != NULL && json != NULL) {
        *json = item->data;
    }
    return item == NULL ? NULL : item->name;
}

static int32_t
core_request(struct bp_instance *instance, uint32_t what, const char *reason)
{
    (void)th_call(instance, "core.request", 0);
    if (what < BP_REQUEST_QUIT || what > BP_REQUEST_PANIC_END || reason == NULL) {
        th_violate(instance->th, "%s: core.request of %u", instance->id, what);
        return -EINVAL;
    }
    pthread_mutex_lock(&instance->th->lock);
    instance->th->request = what;
    pthread_mutex_unlock(&instance->th->lock);
    th_wake(instance->th);
    return 0;
}

uint32_t
th_take_request(struct th_host *th)
{
    uint32_t request;

    pthread_mutex_lock(&th->lock);
    request = th->request;
    th->request = 0;
    pthread_mutex_unlock(&th->lock);
    return request;
}

static void
core_quiesced(struct bp_instance *instance, int32_t status)
{
    (void)th_call(instance, "core.quiesced", 0);
    pthread_mutex_lock(&instance->th->lock);
    if (!instance->quiesce_pending) {
        th_violate(instance->th, "%s: core.quiesced without a pending quiesce", instance->id);
    }
    instance->quiesce_pending = 0;
    instance->quiesce_status = status;
    pthread_mutex_unlock(&instance->th->lock);
    th_wake(instance->th);
}

static int32_t
core_open(struct bp_instance *instance, const char *path, uint32_t open_flags)
{
    int flags = O_CLOEXEC | O_NOCTTY;
    int fd;
    int32_t result = th_call(instance, "core.open", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    if (open_flags & BP_OPEN_WRITE) {
        flags |= open_flags & BP_OPEN_READ ? O_RDWR : O_WRONLY;
    }
    flags |=
        (open_flags & BP_OPEN_CREATE ? O_CREAT : 0) | (open_flags & BP_OPEN_TRUNC ? O_TRUNC : 0) |
        (open_flags & BP_OPEN_DIRECT ? O_DIRECT : 0) | (open_flags & BP_OPEN_DSYNC ? O_DSYNC : 0) |
        (open_flags & BP_OPEN_APPEND ? O_APPEND : 0) | (open_flags & BP_OPEN_EXCL ? O_EXCL : 0);
    fd = open(path, flags | O_NONBLOCK, 0666);
    if (fd >= 0 && fcntl(fd, F_SETFL, flags & (O_APPEND | O_DIRECT)) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd < 0 ? -errno : fd;
}

static int32_t
core_cmos(struct bp_instance *instance, uint32_t cell, uint32_t mask, uint32_t value)
{
    uint8_t *at;
    int32_t result = th_call(instance, "core.cmos", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    if (!((cell >= 0x10 && cell <= 0x2d) || (cell >= 0x38 && cell <= 0x3c))) {
        return -EINVAL;
    }
    at = &instance->th->cmos[cell];
    *at = (uint8_t)((*at & ~mask) | (value & mask));
    return 0;
}

uint8_t
th_cmos(struct th_host *th, uint32_t cell)
{
    return th->cmos[cell & 127];
}

static int32_t
core_firmware_file(struct bp_instance *instance, const char *name, const void *data,
                   uint64_t length)
{
    int32_t result = th_call(instance, "core.firmware_file", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    if (strlen(name) > 55) {
        return -ENAMETOOLONG;
    }
    if (item_find(instance->th, ITEM_FIRMWARE, name, NULL) != NULL) {
        return -EEXIST;
    }
    (void)item_add(instance, ITEM_FIRMWARE, name, data, length);
    return 0;
}

const void *
th_firmware_file(struct th_host *th, const char *name, uint64_t *length)
{
    const struct th_core_item *item = item_find(th, ITEM_FIRMWARE, name, NULL);

    if (item == NULL) {
        return NULL;
    }
    *length = item->length;
    return item->data;
}

static int32_t
core_boot_path(struct bp_instance *instance, const char *unit, const char *path)
{
    int32_t result = th_call(instance, "core.boot_path", TH_CONTROL | TH_FAILS);

    if (result < 0) {
        return result;
    }
    (void)item_add(instance, ITEM_BOOT_PATH, unit, path, strlen(path));
    return 0;
}

const char *
th_boot_path(struct bp_instance *instance, const char *unit)
{
    const struct th_core_item *item = item_find(instance->th, ITEM_BOOT_PATH, unit, instance);

    return item == NULL ? NULL : item->data;
}

static int32_t
core_isa_resource(struct bp_instance *instance, const struct bp_isa_resource *resource)
{
    struct bp_isa_resource copy;
    struct th_core_item *item;
    int32_t result = th_call(instance, "core.isa_resource", TH_CONTROL | TH_FAILS);

    if (result == 0) {
        result = th_copy_args(instance, "core.isa_resource", &copy, sizeof(copy), resource,
                              resource->size);
    }
    if (result != 0) {
        return result;
    }
    if (copy.hid == NULL || strlen(copy.hid) < 7) {
        return -EINVAL;
    }
    item = item_add(instance, ITEM_ISA, copy.hid, NULL, 0);
    item->resource = copy;
    item->resource.hid = item->name;
    return 0;
}

const struct bp_isa_resource *
th_isa_resource(struct th_host *th, uint32_t n)
{
    const struct th_core_item *item = item_nth(th, ITEM_ISA, n);

    return item == NULL ? NULL : &item->resource;
}

static const void *
core_peer(struct bp_instance *instance, const char *id, const char *interface_id, void **peer_self)
{
    struct bp_instance *peer = th_find_instance(instance->th, id);
    const struct th_backend *backend = th_find_backend(instance->th, id);

    (void)th_call(instance, "core.peer", TH_CONTROL);
    if (peer != NULL) {
        *peer_self = peer->self;
        return th_table(peer, interface_id);
    }
    if (backend != NULL && strcmp(backend->interface_id, interface_id) == 0) {
        *peer_self = backend->self;
        return backend->table;
    }
    return NULL;
}

static void
item_free(struct th_core_item *item)
{
    free(item->name);
    free(item->data);
    free(item);
}

void
th_core_drop(struct bp_instance *instance)
{
    struct th_core_item **link = &instance->th->items;

    while (*link != NULL) {
        struct th_core_item *item = *link;
        if (item->owner == instance && item->kind != ITEM_EVENT) {
            *link = item->next;
            item_free(item);
        } else {
            link = &item->next;
        }
    }
}

void
th_log_done(struct th_host *th)
{
    while (th->log != NULL) {
        struct th_log_line *line = th->log;
        th->log = line->next;
        free(line);
    }
    while (th->items != NULL) {
        struct th_core_item *item = th->items;
        th->items = item->next;
        item_free(item);
    }
}

const struct bp_core_host th_core_table = {
    .size = sizeof(struct bp_core_host),
    .event = core_event,
    .request = core_request,
    .quiesced = core_quiesced,
    .open = core_open,
    .cmos = core_cmos,
    .firmware_file = core_firmware_file,
    .boot_path = core_boot_path,
    .isa_resource = core_isa_resource,
    .peer = core_peer,
};
