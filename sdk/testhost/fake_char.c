/* SPDX-License-Identifier: Apache-2.0 */
/* The fake char backend: output is collected, input is dealt out by credit. */
#include "th.h"

#include <stdlib.h>
#include <string.h>

struct th_char {
    struct th_host *th;
    char *id;
    int connected;
    struct bp_char_client client;
    void *opaque;
    uint8_t *output, *input;
    uint32_t output_count, input_count, writes, room, credit;
    int short_write;
    uint32_t events[16], event_count;
    uint32_t input_lines, output_lines, breaks, lines_due;
    uint32_t parameters[4];
};

/* Appends; input and output of a test are small. */
static void
append(uint8_t **data, uint32_t *count, const void *more, uint32_t length)
{
    uint8_t *grown = th_alloc((uint64_t)*count + length + 1);

    if (*count > 0) {
        memcpy(grown, *data, *count);
    }
    if (length > 0) {
        memcpy(grown + *count, more, length);
    }
    free(*data);
    *data = grown;
    *count += length;
}

static int32_t
char_connect(void *self, const struct bp_char_connect *args)
{
    struct th_char *tty = self;
    struct th_host *th = tty->th;

    th->calls++;
    if (th->fail_in != 0 && --th->fail_in == 0) {
        th->fail_hit = 1;
        return th->fail_error;
    }
    if (tty->connected) {
        return -EBUSY;
    }
    if (args->size < sizeof(*args) || args->flags != 0 || args->reserved != 0 ||
        args->client == NULL || args->client->receive == NULL) {
        th_violate(th, "backend %s: connect: bad arguments", tty->id);
        return -ENOENT;
    }
    if (args->loop >= th->loops) {
        return -ENOENT;
    }
    memset(&tty->client, 0, sizeof(tty->client));
    memcpy(&tty->client, args->client,
           args->client->size < sizeof(tty->client) ? args->client->size : sizeof(tty->client));
    tty->opaque = args->opaque;
    tty->connected = 1;
    tty->credit = 0;
    return 0;
}

static struct th_char *
connected(void *self, const char *what)
{
    struct th_char *tty = self;

    if (!tty->connected) {
        th_violate(tty->th, "backend %s: %s while nobody is connected", tty->id, what);
    }
    return tty;
}

static void
char_disconnect(void *self)
{
    struct th_char *tty = connected(self, "disconnect");

    tty->connected = 0;
    tty->credit = 0;
}

static int32_t
char_write(void *self, const uint8_t *data, uint32_t length)
{
    struct th_char *tty = connected(self, "write");
    uint32_t taken = length < tty->room ? length : tty->room;

    tty->writes++;
    append(&tty->output, &tty->output_count, data, taken);
    if (tty->room != UINT32_MAX) {
        tty->room -= taken;
    }
    tty->short_write |= taken < length;
    return (int32_t)taken;
}

static void
char_credit(void *self, uint32_t bytes)
{
    connected(self, "credit")->credit = bytes;
}

static void
char_set_lines(void *self, uint32_t lines)
{
    connected(self, "set_lines")->output_lines = lines;
}

static uint32_t
char_get_lines(void *self)
{
    return connected(self, "get_lines")->input_lines;
}

static void
char_send_break(void *self)
{
    connected(self, "send_break")->breaks++;
}

static void
char_set_parameters(void *self, uint32_t rate, uint32_t data_bits, uint32_t parity,
                    uint32_t stop_bits)
{
    struct th_char *tty = connected(self, "set_parameters");

    if (data_bits < 5 || data_bits > 8 || parity > 4 || stop_bits < 1 || stop_bits > 2) {
        th_violate(tty->th, "backend %s: set_parameters: out of range", tty->id);
    }
    tty->parameters[0] = rate;
    tty->parameters[1] = data_bits;
    tty->parameters[2] = parity;
    tty->parameters[3] = stop_bits;
}

static const struct bp_char_ops fake_char_ops = {
    .size = sizeof(struct bp_char_ops),
    .connect = char_connect,
    .disconnect = char_disconnect,
    .write = char_write,
    .credit = char_credit,
    .set_lines = char_set_lines,
    .get_lines = char_get_lines,
    .send_break = char_send_break,
    .set_parameters = char_set_parameters,
};

/* --- what the test does ---------------------------------------------------------------------- */

static int
deliver_input(struct th_char *tty)
{
    uint32_t n = tty->input_count < tty->credit ? tty->input_count : tty->credit;
    uint8_t *data;

    if (n == 0) {
        return 0;
    }
    data = th_alloc(n); /* exactly n bytes: a client that reads on is caught by the sanitizer */
    memcpy(data, tty->input, n);
    memmove(tty->input, tty->input + n, tty->input_count - n);
    tty->input_count -= n;
    tty->credit -= n;
    tty->client.receive(tty->opaque, data, n);
    free(data);
    return 1;
}

static int
char_run(void *self)
{
    struct th_char *tty = self;

    if (!tty->connected) {
        return 0;
    }
    if (tty->event_count > 0) {
        uint32_t event = tty->events[0];
        tty->event_count--;
        memmove(tty->events, tty->events + 1, sizeof(tty->events) - sizeof(event));
        if (tty->client.event != NULL) {
            tty->client.event(tty->opaque, event);
        }
        return 1;
    }
    if (tty->lines_due) {
        tty->lines_due = 0;
        if (tty->client.lines != NULL) {
            tty->client.lines(tty->opaque, tty->input_lines);
        }
        return 1;
    }
    if (tty->short_write && tty->room > 0) {
        tty->short_write = 0;
        if (tty->client.writable != NULL) {
            tty->client.writable(tty->opaque);
        }
        return 1;
    }
    return deliver_input(tty);
}

static void
char_free(void *self)
{
    struct th_char *tty = self;

    free(tty->output);
    free(tty->input);
    free(tty->id);
    free(tty);
}

static int
char_busy(void *self)
{
    return ((struct th_char *)self)->connected;
}

struct th_char *
th_char_new(struct th_host *th, const char *id)
{
    struct th_char *tty = th_alloc(sizeof(*tty));
    struct th_backend backend = {.interface_id = BP_CHAR_ID,
                                 .table = &fake_char_ops,
                                 .self = tty,
                                 .run = char_run,
                                 .free = char_free,
                                 .busy = char_busy};

    tty->th = th;
    tty->id = th_strdup(id);
    tty->room = UINT32_MAX;
    backend.id = tty->id;
    th_add_backend(th, &backend);
    return tty;
}

uint32_t
th_char_output(struct th_char *tty, const uint8_t **data)
{
    *data = tty->output;
    return tty->output_count;
}

int
th_char_take(struct th_char *tty, const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    int same =
        tty->output_count == length && (length == 0 || memcmp(tty->output, text, length) == 0);

    if (!same) {
        fprintf(stderr, "testhost: %s: output is '%.*s', not '%s'\n", tty->id,
                (int)tty->output_count, tty->output_count ? (const char *)tty->output : "", text);
    }
    tty->output_count = 0;
    return same;
}

uint32_t
th_char_writes(struct th_char *tty)
{
    return tty->writes;
}

void
th_char_set_room(struct th_char *tty, uint32_t bytes)
{
    tty->room = bytes;
}

void
th_char_input(struct th_char *tty, const void *data, uint32_t length)
{
    append(&tty->input, &tty->input_count, data, length);
}

uint32_t
th_char_pending(struct th_char *tty)
{
    return tty->input_count;
}

uint32_t
th_char_credit(struct th_char *tty)
{
    return tty->credit;
}

void
th_char_send_event(struct th_char *tty, uint32_t event)
{
    if (tty->event_count < sizeof(tty->events) / sizeof(tty->events[0])) {
        tty->events[tty->event_count++] = event;
    }
}

void
th_char_set_lines(struct th_char *tty, uint32_t lines)
{
    tty->input_lines = lines;
    tty->lines_due = 1;
}

uint32_t
th_char_lines(struct th_char *tty)
{
    return tty->output_lines;
}

uint32_t
th_char_breaks(struct th_char *tty)
{
    return tty->breaks;
}

const uint32_t *
th_char_parameters(struct th_char *tty)
{
    return tty->parameters;
}

int
th_char_connected(struct th_char *tty)
{
    return tty->connected;
}
