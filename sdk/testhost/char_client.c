/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer for the tests of char backends. */
#include "th.h"

#include <stdlib.h>
#include <string.h>

struct th_line {
    struct th_host *th;
    struct bp_instance *backend;
    const struct bp_char_ops *ops;
    uint8_t *received;
    uint32_t count, credit, writables, lines;
    uint32_t events[8];
    uint32_t wanted, wanted_event;
    uint32_t writing;
};

static void
line_receive(void *opaque, const uint8_t *data, uint32_t length)
{
    struct th_line *line = opaque;
    uint8_t *grown = th_alloc((uint64_t)line->count + length + 1);

    if (length > line->credit || line->writing || line->th->context != TH_IN_LOOP) {
        th_violate(line->th, "%s: receive() of %u bytes with credit %u%s", line->backend->id,
                   length, line->credit, line->writing ? ", inside write()" : "");
    }
    line->credit -= length < line->credit ? length : line->credit;
    if (line->count > 0) {
        memcpy(grown, line->received, line->count);
    }
    memcpy(grown + line->count, data, length);
    free(line->received);
    line->received = grown;
    line->count += length;
}

static void
line_writable(void *opaque)
{
    struct th_line *line = opaque;

    if (line->writing) {
        th_violate(line->th, "%s: writable() inside write()", line->backend->id);
    }
    line->writables++;
}

static void
line_event(void *opaque, uint32_t event)
{
    struct th_line *line = opaque;

    if (event < 8) {
        line->events[event]++;
    }
}

static void
line_lines(void *opaque, uint32_t lines)
{
    ((struct th_line *)opaque)->lines = lines;
}

struct th_line *
th_line_open(struct bp_instance *backend)
{
    static const struct bp_char_client client = {
        .size = sizeof(client),
        .receive = line_receive,
        .writable = line_writable,
        .event = line_event,
        .lines = line_lines,
    };
    struct bp_char_connect args = {.size = sizeof(args)};
    struct th_line *line = th_alloc(sizeof(*line));

    line->th = backend->th;
    line->backend = backend;
    line->ops = th_table(backend, BP_CHAR_ID);
    args.client = &client;
    args.opaque = line;
    backend->th->status = line->ops == NULL ? -ENOENT : line->ops->connect(backend->self, &args);
    if (backend->th->status < 0) {
        free(line);
        return NULL;
    }
    return line;
}

void
th_line_close(struct th_line *line)
{
    line->ops->disconnect(line->backend->self);
    free(line->received);
    free(line);
}

int32_t
th_line_write(struct th_line *line, const void *data, uint32_t length)
{
    int32_t taken;

    line->writing = 1;
    taken = line->ops->write(line->backend->self, data, length);
    line->writing = 0;
    return taken;
}

void
th_line_credit(struct th_line *line, uint32_t bytes)
{
    line->credit = bytes;
    line->ops->credit(line->backend->self, bytes);
}

uint32_t
th_line_received(const struct th_line *line, const uint8_t **data)
{
    *data = line->received;
    return line->count;
}

static int
line_has(void *opaque)
{
    const struct th_line *line = opaque;

    return line->count >= line->wanted;
}

int
th_line_wait(struct th_line *line, uint32_t length, uint32_t timeout_ms)
{
    line->wanted = length;
    return th_run_until(line->th, line_has, line, timeout_ms);
}

static int
line_has_event(void *opaque)
{
    const struct th_line *line = opaque;

    return line->events[line->wanted_event] >= line->wanted;
}

int
th_line_wait_event(struct th_line *line, uint32_t event, uint32_t count, uint32_t timeout_ms)
{
    line->wanted = count;
    line->wanted_event = event & 7;
    return th_run_until(line->th, line_has_event, line, timeout_ms);
}

uint32_t
th_line_writables(const struct th_line *line)
{
    return line->writables;
}

uint32_t
th_line_events(const struct th_line *line, uint32_t event)
{
    return event < 8 ? line->events[event] : 0;
}
