/* SPDX-License-Identifier: Apache-2.0 */
/* A char backend that writes a file, and reads another one.
 * PARALLEL: write() comes from any thread, but from one consumer; input is read on the client's
 * loop. `lock` guards what both touch. */
#include <backplane/sdk/sdk.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 4096u

struct charfile {
    struct bp_services host;
    struct bp_char_port port;
    int out, in;          /* -1: none */
    pthread_mutex_t lock; /* protects: the members below */
    uint32_t connected, loop;
    uint32_t pump_planned;
    uint32_t failed; /* the last write failed: one message for a row of failures */
};

static int32_t
charfile_write(void *self, const uint8_t *data, uint32_t length)
{
    struct charfile *file = self;
    uint32_t done = 0;
    int error = 0;

    pthread_mutex_lock(&file->lock);
    while (done < length && error == 0) {
        ssize_t n = write(file->out, data + done, length - done);
        if (n >= 0) {
            done += (uint32_t)n;
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    if (error != 0 && !file->failed) {
        bp_warn(&file->host, "cannot write: %s; ignoring output until it works again",
                strerror(error));
    }
    file->failed = error != 0;
    pthread_mutex_unlock(&file->lock);
    return (int32_t)length; /* a full disk must not stop the guest */
}

/* Reads once and hands it over. Returns what was read; 0: the end. */
static uint32_t
read_input(struct charfile *file, uint32_t wanted)
{
    uint8_t data[READ_BYTES];
    ssize_t n = read(file->in, data, wanted);
    uint32_t taken;

    if (n < 0) {
        bp_warn(&file->host, "cannot read the input: %s; ignoring it", strerror(errno));
        return 0;
    }
    taken = bp_char_port_receive(&file->port, data, (uint32_t)n);
    if (taken < (uint32_t)n && lseek(file->in, (off_t)taken - n, SEEK_CUR) < 0) {
        bp_warn(&file->host, "lost %u bytes of the input", (unsigned)(n - taken));
    }
    return (uint32_t)n;
}

/* A regular file never blocks for long, so it is read as the guest takes it. */
static void
charfile_pump(void *opaque)
{
    struct charfile *file = opaque;
    uint32_t wanted;

    pthread_mutex_lock(&file->lock);
    file->pump_planned = 0;
    pthread_mutex_unlock(&file->lock);
    do {
        wanted = bp_min_u32(bp_char_port_credit(&file->port), READ_BYTES);
    } while (wanted > 0 && read_input(file, wanted) > 0);
}

static void
charfile_credit(void *self, uint32_t bytes)
{
    struct charfile *file = self;

    bp_char_port_set_credit(&file->port, bytes);
    pthread_mutex_lock(&file->lock);
    if (bytes > 0 && file->in >= 0 && file->connected && !file->pump_planned) {
        file->pump_planned =
            file->host.loop->defer(file->host.instance, file->loop, charfile_pump, file) == 0;
    }
    pthread_mutex_unlock(&file->lock);
}

static int32_t
charfile_connect(void *self, const struct bp_char_connect *args)
{
    struct charfile *file = self;
    int32_t status = bp_char_port_connect(&file->port, args);

    if (status == 0) {
        pthread_mutex_lock(&file->lock);
        file->connected = 1;
        file->loop = args->loop;
        pthread_mutex_unlock(&file->lock);
    }
    return status;
}

static void
charfile_disconnect(void *self)
{
    struct charfile *file = self;

    pthread_mutex_lock(&file->lock);
    file->connected = 0;
    pthread_mutex_unlock(&file->lock);
    bp_char_port_disconnect(&file->port);
}

static const struct bp_char_ops charfile_char = {
    .size = sizeof(charfile_char),
    .connect = charfile_connect,
    .disconnect = charfile_disconnect,
    .write = charfile_write,
    .credit = charfile_credit,
};

/* --- creation -------------------------------------------------------------------------------- */

/* Opens a file of an option. A pipe would block until its other end is opened. */
static int32_t
open_option(struct charfile *file, const struct bp_node *config, const char *name, uint32_t flags,
            int *fd)
{
    const char *path = bp_option_str(&file->host, config, name, NULL);
    const struct bp_node *node = bp_option(&file->host, config, name);
    struct stat status;
    int32_t result;

    if (path == NULL) {
        return 0;
    }
    if (stat(path, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode))) {
        return bp_fail(&file->host, -EINVAL, node, "'%s' is a pipe or socket; use char-socket",
                       path);
    }
    result = file->host.core->open(file->host.instance, path, flags);
    if (result < 0) {
        return bp_fail(&file->host, result, node, "cannot open '%s': %s", path, strerror(-result));
    }
    *fd = result;
    if (flags == BP_OPEN_READ && (fstat(*fd, &status) != 0 || !S_ISREG(status.st_mode))) {
        return bp_fail(&file->host, -EINVAL, node, "'%s' is not a regular file", path);
    }
    return 0;
}

static void
charfile_destroy(void *self)
{
    struct charfile *file = self;

    if (file->out >= 0) {
        (void)close(file->out);
    }
    if (file->in >= 0) {
        (void)close(file->in);
    }
    pthread_mutex_destroy(&file->lock);
    bp_char_port_done(&file->port);
    free(file);
}

static int32_t
charfile_create(const struct bp_create *args, void **self)
{
    struct charfile *file = calloc(1, sizeof(*file));
    struct bp_services host;
    uint32_t append;
    int32_t status;

    bp_services_init(&host, args->host, args->instance);
    if (file == NULL || bp_char_port_init(&file->port) < 0) {
        free(file);
        return bp_fail(&host, -ENOMEM, NULL, "out of memory");
    }
    file->host = host;
    file->in = file->out = -1;
    pthread_mutex_init(&file->lock, NULL);
    append = bp_option_bool(&host, args->config, "append", 0);
    status = open_option(file, args->config, "input", BP_OPEN_READ, &file->in);
    if (status == 0) {
        status = open_option(
            file, args->config, "path",
            BP_OPEN_WRITE | BP_OPEN_CREATE | (append ? BP_OPEN_APPEND : BP_OPEN_TRUNC), &file->out);
    }
    if (status < 0) {
        charfile_destroy(file);
        return status;
    }
    *self = file;
    return 0;
}

static const void *
charfile_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_CHAR_ID) ? &charfile_char : NULL;
}

static const struct bp_prop charfile_props[] = {
    {.name = "path",
     .type = BP_PROP_PATH,
     .flags = BP_PROP_REQUIRED,
     .help = "file that the output goes to; made if it is missing"},
    {.name = "append",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "keep what the file contains; by default it is emptied"},
    {.name = "input", .type = BP_PROP_PATH, .help = "regular file that the guest reads"},
    {.name = NULL},
};

static const char *const charfile_provides[] = {BP_CHAR_ID, NULL};

static const struct bp_class charfile_class = {
    .size = sizeof(charfile_class),
    .kind = BP_KIND_BACKEND,
    .name = "char-file",
    .thread_model = BP_THREADS_PARALLEL,
    .help = "output to a file",
    .props = charfile_props,
    .provides = charfile_provides,
    .create = charfile_create,
    .destroy = charfile_destroy,
    .query = charfile_query,
};

static const struct bp_class *const charfile_classes[] = {&charfile_class, NULL};

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "char-file",
    .version = "1.0",
    .license = "Apache-2.0",
    .help = "char backend on a file",
    .classes = charfile_classes,
};

BP_PLUGIN_NOTE(.id = "char-file", .version = "1.0",
               .classes = {{"char-file", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 0, 0, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host)});
