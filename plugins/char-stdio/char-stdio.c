/* SPDX-License-Identifier: Apache-2.0 */
/* A char backend on the program's own terminal, or whatever its standard input and output are.
 * PARALLEL: write() comes from any thread, reading happens on the client's loop; `lock` guards what
 * both touch, and is not held while the client is called. */
#include "terminal.h"

#include <backplane/sdk/sdk.h>

#include <stdlib.h>
#include <string.h>

#define STDIO_FD_IN   0u
#define STDIO_FD_OUT  1u
#define STDIO_TIMER   0u
#define INPUT_BYTES   65536u /* typed and not yet taken by the guest */
#define READ_BYTES    4096u
#define BACKGROUND_NS UINT64_C(500000000) /* how often a background process looks again */
#define ESCAPE_KEY    0x01u               /* Ctrl-A */

struct stdio {
    struct bp_services host;
    struct bp_char_port port;
    struct terminal terminal;
    pthread_mutex_t
        lock; /* protects: the members up to the next blank line, and terminal's output */
    uint32_t connected, loop;
    uint32_t out_waits;    /* a write came short: the output is being watched */
    uint32_t out_broken;   /* it failed for good */
    uint32_t pump_planned; /* a deferred stdio_pump() is on its way */
    uint32_t in_paused;    /* input is not being watched because the buffer is full */

    /* Loop only. */
    struct bp_fifo input;
    uint8_t *input_data;
    uint32_t escape; /* the escape key has its meaning */
    uint32_t escape_seen;
    uint32_t in_ended;
    uint32_t lost; /* typed with the buffer full */

    uint32_t signals; /* option */
};

/* --- output ---------------------------------------------------------------------------------- */

static int32_t
stdio_write(void *self, const uint8_t *data, uint32_t length)
{
    struct stdio *stdio = self;
    int32_t taken = (int32_t)length;

    pthread_mutex_lock(&stdio->lock);
    if (!stdio->out_broken && stdio->connected) {
        taken = terminal_write(&stdio->terminal, data, length);
        if (taken < 0) {
            bp_warn(&stdio->host, "standard output: %s; ignoring what comes", strerror(-taken));
            stdio->out_broken = 1;
            taken = (int32_t)length;
        }
        if (taken < (int32_t)length) {
            stdio->out_waits = 1;
            stdio->host.loop->fd_modify(stdio->host.instance, STDIO_FD_OUT, BP_FD_OUT);
        }
    }
    pthread_mutex_unlock(&stdio->lock);
    return taken;
}

static void
stdio_out_ready(void *opaque, uint32_t events)
{
    struct stdio *stdio = opaque;
    uint32_t waits;

    pthread_mutex_lock(&stdio->lock);
    waits = stdio->out_waits;
    stdio->out_waits = 0;
    stdio->host.loop->fd_modify(stdio->host.instance, STDIO_FD_OUT, 0);
    pthread_mutex_unlock(&stdio->lock);
    if (waits) {
        bp_char_port_writable(&stdio->port);
    }
}

/* --- input ----------------------------------------------------------------------------------- */

static void
print_help(struct stdio *stdio)
{
    static const char help[] = "\r\n"
                               "Ctrl-A x       end the program\r\n"
                               "Ctrl-A b       send a break\r\n"
                               "Ctrl-A Ctrl-A  send Ctrl-A\r\n"
                               "Ctrl-A h       this help\r\n";

    pthread_mutex_lock(&stdio->lock);
    (void)terminal_write(&stdio->terminal, (const uint8_t *)help, sizeof(help) - 1);
    pthread_mutex_unlock(&stdio->lock);
}

static void
request_quit(struct stdio *stdio, const char *reason)
{
    if (stdio->host.core->request(stdio->host.instance, BP_REQUEST_QUIT, reason) < 0) {
        bp_error(&stdio->host, "cannot end the program");
    }
}

static void
deliver(struct stdio *stdio)
{
    const uint8_t *run;
    uint32_t length, taken;

    while ((length = bp_fifo_peek(&stdio->input, &run)) > 0) {
        taken = bp_char_port_receive(&stdio->port, run, length);
        if (taken == 0) {
            break;
        }
        bp_fifo_drop(&stdio->input, taken);
    }
}

static void
command_key(struct stdio *stdio, uint8_t key)
{
    switch (key) {
    case 'x':
    case 'X':
        request_quit(stdio, "Ctrl-A x");
        break;
    case 'b':
    case 'B':
        deliver(stdio); /* in order, as far as there is room */
        bp_char_port_event(&stdio->port, BP_CHAR_EVENT_BREAK);
        break;
    case 'h':
    case '?':
        print_help(stdio);
        break;
    case ESCAPE_KEY:
        stdio->lost += !bp_fifo_push(&stdio->input, key);
        break;
    default:
        break;
    }
}

static void
take_input(struct stdio *stdio, const uint8_t *data, uint32_t length)
{
    uint32_t i;

    for (i = 0; i < length; i++) {
        if (stdio->escape_seen) {
            stdio->escape_seen = 0;
            command_key(stdio, data[i]);
        } else if (stdio->escape && data[i] == ESCAPE_KEY) {
            stdio->escape_seen = 1;
        } else {
            stdio->lost += !bp_fifo_push(&stdio->input, data[i]);
        }
    }
    if (stdio->lost > 0) {
        bp_warn(&stdio->host, "the guest does not read: ignoring %u characters typed", stdio->lost);
        stdio->lost = 0;
    }
}

/* Ends reading for good. */
static void
input_ended(struct stdio *stdio, int32_t status)
{
    stdio->in_ended = 1;
    stdio->host.loop->fd_modify(stdio->host.instance, STDIO_FD_IN, 0);
    if (status < 0 && stdio->terminal.in_tty) {
        request_quit(stdio, "the terminal is gone");
    }
}

/* Reads once. From a terminal even when the buffer is full, so that Ctrl-A x always works; from a
 * pipe or file only what there is room for. Returns what was read. */
static uint32_t
read_input(struct stdio *stdio)
{
    uint8_t data[READ_BYTES];
    uint32_t room = bp_fifo_room(&stdio->input);
    uint32_t wanted = stdio->terminal.in_tty ? READ_BYTES : bp_min_u32(room, READ_BYTES);
    int32_t n;

    if (wanted == 0 || stdio->in_ended) {
        return 0;
    }
    n = terminal_read(&stdio->terminal, data, wanted);
    if (n == -EAGAIN) {
        return 0;
    }
    if (n <= 0) {
        input_ended(stdio, n);
        return 0;
    }
    take_input(stdio, data, (uint32_t)n);
    return (uint32_t)n;
}

/* Room again for a pipe: goes on watching; or none any more: stops. */
static void
watch_input(struct stdio *stdio)
{
    uint32_t full = !stdio->terminal.in_tty && bp_fifo_room(&stdio->input) == 0;

    pthread_mutex_lock(&stdio->lock);
    if (full != stdio->in_paused && !stdio->in_ended) {
        stdio->in_paused = full;
        stdio->host.loop->fd_modify(stdio->host.instance, STDIO_FD_IN, full ? 0 : BP_FD_IN);
    }
    pthread_mutex_unlock(&stdio->lock);
}

static void
stdio_in_ready(void *opaque, uint32_t events)
{
    struct stdio *stdio = opaque;
    const struct bp_services *host = &stdio->host;

    if (!terminal_is_ours(&stdio->terminal)) {
        host->loop->fd_modify(host->instance, STDIO_FD_IN, 0);
        host->timer->arm(host->instance, STDIO_TIMER,
                         host->timer->now(host->instance, BP_CLOCK_MONOTONIC) + BACKGROUND_NS);
        return;
    }
    if (read_input(stdio) == 0 && (events & (BP_FD_HUP | BP_FD_ERR)) && !(events & BP_FD_IN)) {
        input_ended(stdio, -EIO);
    }
    deliver(stdio);
    watch_input(stdio);
}

/* In the background: look again later. */
static void
stdio_look_again(void *opaque)
{
    struct stdio *stdio = opaque;

    if (!stdio->in_ended) {
        stdio->host.loop->fd_modify(stdio->host.instance, STDIO_FD_IN, BP_FD_IN);
    }
}

/* The client has room. A file, which cannot be watched, is read here. */
static void
stdio_pump(void *opaque)
{
    struct stdio *stdio = opaque;

    pthread_mutex_lock(&stdio->lock);
    stdio->pump_planned = 0;
    pthread_mutex_unlock(&stdio->lock);
    deliver(stdio);
    if (!stdio->terminal.in_polls && stdio->terminal.in >= 0) {
        while (bp_char_port_credit(&stdio->port) > 0 && read_input(stdio) > 0) {
            deliver(stdio);
        }
    } else {
        watch_input(stdio);
    }
}

static void
stdio_credit(void *self, uint32_t bytes)
{
    struct stdio *stdio = self;

    bp_char_port_set_credit(&stdio->port, bytes);
    pthread_mutex_lock(&stdio->lock);
    if (bytes > 0 && stdio->connected && !stdio->pump_planned) {
        stdio->pump_planned =
            stdio->host.loop->defer(stdio->host.instance, stdio->loop, stdio_pump, stdio) == 0;
    }
    pthread_mutex_unlock(&stdio->lock);
}

/* --- connection ------------------------------------------------------------------------------ */

static int32_t
watch_descriptors(struct stdio *stdio)
{
    const struct bp_services *host = &stdio->host;
    struct bp_fd_args args = {
        .size = sizeof(args),
        .id = STDIO_FD_IN,
        .loop = stdio->loop,
        .fd = stdio->terminal.in,
        .events = BP_FD_IN,
        .ready = stdio_in_ready,
        .opaque = stdio,
    };
    int32_t status = 0;

    if (stdio->terminal.in_polls) {
        status = host->loop->fd_add(host->instance, &args);
    }
    if (status == 0 && stdio->terminal.out_polls) {
        args.id = STDIO_FD_OUT;
        args.fd = stdio->terminal.out;
        args.events = 0;
        args.ready = stdio_out_ready;
        status = host->loop->fd_add(host->instance, &args);
        if (status < 0) {
            host->loop->fd_del(host->instance, STDIO_FD_IN);
        }
    }
    return status;
}

static int32_t
stdio_connect(void *self, const struct bp_char_connect *args)
{
    struct stdio *stdio = self;
    int32_t status = bp_char_port_connect(&stdio->port, args);

    if (status < 0) {
        return status;
    }
    pthread_mutex_lock(&stdio->lock);
    stdio->loop = args->loop;
    stdio->connected = 1;
    stdio->in_paused = 0;
    stdio->out_waits = 0;
    pthread_mutex_unlock(&stdio->lock);
    status = watch_descriptors(stdio);
    if (status < 0) {
        bp_char_port_disconnect(&stdio->port);
        stdio->connected = 0;
    }
    return status;
}

static void
stdio_disconnect(void *self)
{
    struct stdio *stdio = self;

    pthread_mutex_lock(&stdio->lock);
    stdio->connected = 0;
    pthread_mutex_unlock(&stdio->lock);
    stdio->host.loop->fd_del(stdio->host.instance, STDIO_FD_IN);
    stdio->host.loop->fd_del(stdio->host.instance, STDIO_FD_OUT);
    stdio->host.timer->cancel(stdio->host.instance, STDIO_TIMER);
    bp_char_port_disconnect(&stdio->port);
}

static const struct bp_char_ops stdio_char = {
    .size = sizeof(stdio_char),
    .connect = stdio_connect,
    .disconnect = stdio_disconnect,
    .write = stdio_write,
    .credit = stdio_credit,
};

/* --- life ------------------------------------------------------------------------------------ */

static void
stdio_start(void *self)
{
    struct stdio *stdio = self;

    terminal_set_raw(&stdio->terminal, stdio->signals);
}

static const struct bp_life_ops stdio_life = {
    .size = sizeof(stdio_life),
    .start = stdio_start,
};

static void
stdio_destroy(void *self)
{
    struct stdio *stdio = self;

    terminal_close(&stdio->terminal);
    pthread_mutex_destroy(&stdio->lock);
    bp_char_port_done(&stdio->port);
    free(stdio->input_data);
    free(stdio);
}

static int32_t
stdio_open(struct stdio *stdio, const struct bp_node *config)
{
    const struct bp_timer_args timer = {
        .size = sizeof(timer),
        .id = STDIO_TIMER,
        .clock = BP_CLOCK_MONOTONIC,
        .loop = stdio->host.loop->home(stdio->host.instance),
        .expired = stdio_look_again,
        .opaque = stdio,
    };
    const char *escape = bp_option_str(&stdio->host, config, "escape", "auto");
    int32_t status = terminal_open(&stdio->terminal);

    if (status == -EBUSY) {
        return bp_fail(&stdio->host, status, NULL,
                       "another backend has the standard input and output already");
    }
    if (status < 0) {
        return bp_fail(&stdio->host, status, NULL, "cannot use the standard input and output: %s",
                       strerror(-status));
    }
    stdio->signals = bp_option_bool(&stdio->host, config, "signal", 0);
    stdio->escape =
        strcmp(escape, "auto") == 0 ? stdio->terminal.in_tty : strcmp(escape, "on") == 0;
    status = stdio->host.timer->create(stdio->host.instance, &timer);
    return status < 0 ? bp_fail(&stdio->host, status, NULL, "cannot make a timer") : 0;
}

static int32_t
stdio_create(const struct bp_create *args, void **self)
{
    struct stdio *stdio = calloc(1, sizeof(*stdio));
    uint8_t *input = malloc(INPUT_BYTES);
    struct bp_services host;
    int32_t status;

    bp_services_init(&host, args->host, args->instance);
    if (stdio == NULL || input == NULL || bp_char_port_init(&stdio->port) < 0) {
        free(stdio);
        free(input);
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    stdio->host = host;
    stdio->input_data = input;
    bp_fifo_init(&stdio->input, input, INPUT_BYTES);
    stdio->terminal.out = stdio->terminal.claim = -1;
    pthread_mutex_init(&stdio->lock, NULL);
    status = stdio_open(stdio, args->config);
    if (status < 0) {
        stdio_destroy(stdio);
        return status;
    }
    *self = stdio;
    return 0;
}

static const void *
stdio_query(void *self, const char *interface_id)
{
    if (bp_same_id(interface_id, BP_CHAR_ID)) {
        return &stdio_char;
    }
    return bp_same_id(interface_id, BP_LIFE_ID) ? &stdio_life : NULL;
}

static const char *const stdio_escape_choices[] = {"auto", "on", "off", NULL};

static const struct bp_prop stdio_props[] = {
    {.name = "signal",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "Ctrl-C, Ctrl-Z and Ctrl-\\ are for the program, not for the guest"},
    {.name = "escape",
     .type = BP_PROP_ENUM,
     .def = "auto",
     .choices = stdio_escape_choices,
     .help = "Ctrl-A commands; auto: if the input is a terminal"},
    {.name = NULL},
};

static const char *const stdio_provides[] = {BP_CHAR_ID, NULL};

static const struct bp_class stdio_class = {
    .size = sizeof(stdio_class),
    .kind = BP_KIND_BACKEND,
    .name = "char-stdio",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "the program's terminal, or its standard input and output",
    .props = stdio_props,
    .provides = stdio_provides,
    .create = stdio_create,
    .destroy = stdio_destroy,
    .query = stdio_query,
};

static const struct bp_class *const stdio_classes[] = {&stdio_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "char-stdio",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "char backend on the program's terminal",
    .classes = stdio_classes,
};

BP_PLUGIN_NOTE(.id = "char-stdio", .version = "1.0",
               .classes = {{"char-stdio", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host)});
