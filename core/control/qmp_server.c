/* SPDX-License-Identifier: Apache-2.0 */
#include "control/qmp_server.h"

#include "base/error.h"
#include "control/qmp_commands.h"
#include "control/qmp_framing.h"
#include "control/stream.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define BACKLOG_MAX                                                                                \
    (1u << 20)                /* bytes of a client that sends on while a command takes its time    \
                               */
#define OUTPUT_MAX (4u << 20) /* bytes for a client that does not read; then it is dropped */

struct QmpServer {
    Machine *machine;
    Listener *listener;
    GPtrArray *clients; /* QmpClient* */
    GArray *users;      /* uid_t that may connect, beside ours and root's */
};

typedef struct {
    QmpServer *server;
    Stream *stream;
    QmpFraming framing;
    bool negotiated;
    QmpCall *pending; /* a command that has not ended; what comes meanwhile waits */
    JsonNode *id;     /* of that command */
    GString *backlog;
} QmpClient;

static void
client_free(void *value)
{
    QmpClient *client = value;

    stream_free(client->stream);
    if (client->pending != NULL) {
        qmp_call_abandon(client->pending);
    }
    g_clear_pointer(&client->id, json_node_unref);
    g_string_free(client->backlog, TRUE);
    qmp_framing_done(&client->framing);
    g_free(client);
}

static void
send_object(QmpClient *client, JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);
    g_autofree char *text = json_to_string(node, FALSE);

    g_string_append(stream_output(client->stream), text);
    g_string_append(stream_output(client->stream), "\r\n");
}

static JsonObject *
error_object(const char *error_class, const char *text)
{
    JsonObject *reply = json_object_new();
    JsonObject *error = json_object_new();

    json_object_set_string_member(error, "class", error_class);
    json_object_set_string_member(error, "desc", text);
    json_object_set_object_member(reply, "error", error);
    return reply;
}

static void
greet(QmpClient *client)
{
    g_autoptr(JsonObject) greeting = json_object_new();
    JsonObject *qmp = json_object_new();

    json_object_set_member(qmp, "version", qmp_version());
    json_object_set_array_member(qmp, "capabilities", json_array_new());
    json_object_set_object_member(greeting, "QMP", qmp);
    send_object(client, greeting);
}

/* Sends a reply, with the id of its request if that had one. */
static void
reply(QmpClient *client, JsonObject *object)
{
    if (client->id != NULL) {
        json_object_set_member(object, "id", g_steal_pointer(&client->id));
    }
    send_object(client, object);
    json_object_unref(object);
}

static void
reply_to_call(QmpClient *client, QmpCall *call)
{
    JsonObject *object;

    if (call->error_class != NULL) {
        object = error_object(call->error_class, call->error_text);
    } else {
        object = json_object_new();
        if (call->value != NULL) {
            json_object_set_member(object, "return", g_steal_pointer(&call->value));
        } else {
            json_object_set_object_member(object, "return", json_object_new());
        }
    }
    reply(client, object);
}

static void serve_backlog(QmpClient *client);

static void
call_done(QmpCall *call, void *opaque)
{
    QmpClient *client = opaque;

    reply_to_call(client, call);
    if (client->pending != NULL) { /* it took its time: go on with what came meanwhile */
        client->pending = NULL;
        serve_backlog(client);
    }
}

static void
execute(QmpClient *client, const char *name, JsonObject *arguments)
{
    if (strcmp(name, "qmp_capabilities") == 0) {
        if (client->negotiated) {
            reply(client,
                  error_object("CommandNotFound",
                               "Capabilities negotiation is already complete, command ignored"));
            return;
        }
        JsonObject *object = json_object_new();
        client->negotiated = true;
        json_object_set_object_member(object, "return", json_object_new());
        reply(client, object);
    } else if (!client->negotiated) {
        reply(client, error_object("CommandNotFound",
                                   "Expecting capabilities negotiation with 'qmp_capabilities'"));
    } else {
        client->pending = qmp_call_run(client->server->machine, name, arguments, call_done, client);
    }
}

/* A member that a command does not have is an error, as in every QMP server. */
static JsonObject *
check_members(JsonObject *request)
{
    g_autoptr(GList) members = json_object_get_members(request);
    GList *member;

    for (member = members; member != NULL; member = member->next) {
        const char *name = member->data;
        if (strcmp(name, "execute") != 0 && strcmp(name, "arguments") != 0 &&
            strcmp(name, "id") != 0) {
            g_autofree char *text = g_strdup_printf("QMP input member '%.64s' is unexpected", name);
            return error_object("GenericError", text);
        }
    }
    return NULL;
}

static void
serve_request(QmpClient *client, JsonObject *request)
{
    JsonNode *name = json_object_get_member(request, "execute");
    JsonNode *arguments = json_object_get_member(request, "arguments");
    JsonObject *error = check_members(request);

    if (error != NULL) {
        reply(client, error);
    } else if (name == NULL || !JSON_NODE_HOLDS_VALUE(name) ||
               json_node_get_value_type(name) != G_TYPE_STRING) {
        reply(client, error_object("GenericError",
                                   name == NULL ? "QMP input lacks member 'execute'"
                                                : "QMP input member 'execute' must be a string"));
    } else if (arguments != NULL && !JSON_NODE_HOLDS_OBJECT(arguments)) {
        reply(client,
              error_object("GenericError", "QMP input member 'arguments' must be an object"));
    } else {
        execute(client, json_node_get_string(name),
                arguments != NULL ? json_node_get_object(arguments) : NULL);
    }
}

static void
serve_text(QmpClient *client, const char *text)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonNode *root, *id;

    if (!json_parser_load_from_data(parser, text, -1, NULL)) {
        reply(client, error_object("GenericError", "JSON parse error, invalid syntax"));
        return;
    }
    root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        reply(client, error_object("GenericError", "QMP input must be a JSON object"));
        return;
    }
    id = json_object_get_member(json_node_get_object(root), "id");
    client->id = id != NULL ? json_node_copy(id) : NULL;
    serve_request(client, json_node_get_object(root));
}

/* Serves requests until one takes its time. Returns the bytes taken. */
static size_t
serve_input(QmpClient *client, const char *data, size_t length)
{
    size_t done = 0;

    while (done < length && client->pending == NULL) {
        size_t taken = 0;
        QmpFramingResult result =
            qmp_framing_feed(&client->framing, data + done, length - done, &taken);
        if (result == QMP_FRAMING_OBJECT) {
            serve_text(client, client->framing.text->str);
        } else if (result == QMP_FRAMING_ERROR) {
            reply(client,
                  error_object("GenericError", "JSON parse error, invalid syntax or too large"));
        }
        done += taken;
    }
    return done;
}

static void
serve_backlog(QmpClient *client)
{
    g_autoptr(GString) input = g_steal_pointer(&client->backlog);
    size_t done;

    client->backlog = g_string_new(NULL);
    done = serve_input(client, input->str, input->len);
    (void)g_string_append_len(client->backlog, input->str + done, (gssize)(input->len - done));
}

static bool
client_received(void *opaque, const char *data, size_t length)
{
    QmpClient *client = opaque;
    size_t done = serve_input(client, data, length);

    if (done < length) {
        (void)g_string_append_len(client->backlog, data + done, (gssize)(length - done));
    }
    return client->backlog->len <= BACKLOG_MAX;
}

static void
client_closed(void *opaque)
{
    QmpClient *client = opaque;

    (void)g_ptr_array_remove_fast(client->server->clients, client);
}

/* Who may connect is the kernel's word about the other end, not the file's mode alone. */
static bool
is_welcome(const QmpServer *server, int fd)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    guint i;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
        return false;
    }
    for (i = 0; i < server->users->len; i++) {
        if (g_array_index(server->users, uid_t, i) == peer.uid) {
            return true;
        }
    }
    return peer.uid == geteuid() || peer.uid == 0;
}

static void
accepted(void *opaque, int fd)
{
    static const StreamFuncs funcs = {.received = client_received, .closed = client_closed};
    QmpServer *server = opaque;
    QmpClient *client;

    if (server->clients->len >= CLIENTS_MAX || !is_welcome(server, fd)) {
        (void)close(fd);
        return;
    }
    client = g_new0(QmpClient, 1);
    client->server = server;
    client->backlog = g_string_new(NULL);
    qmp_framing_init(&client->framing);
    client->stream = stream_new(machine_context(server->machine), fd, G_PRIORITY_DEFAULT,
                                OUTPUT_MAX, &funcs, client);
    g_ptr_array_add(server->clients, client);
    greet(client);
}

static void
machine_event(void *opaque, const char *who, const char *name, const char *json)
{
    qmp_server_event(opaque, name, json);
}

static bool
find_user(const Node *node, uid_t *uid, GError **error)
{
    const char *name = node_text(node, "");
    const struct passwd *entry = getpwnam(name);
    guint64 number;

    if (entry != NULL) {
        *uid = entry->pw_uid;
        return true;
    }
    if (g_ascii_string_to_unsigned(name, 10, 0, G_MAXUINT32 - 1, &number, NULL)) {
        *uid = (uid_t)number;
        return true;
    }
    g_set_error(error, BACKPLANE_ERROR, ERROR_CONFIG,
                "%s:%u: machine.control_users: there is no user \"%s\"", node->file, node->line,
                name);
    return false;
}

static bool
find_users(QmpServer *server, GError **error)
{
    const Node *list = node_child(machine_plan(server->machine)->machine, "control_users");
    unsigned i;

    for (i = 0; i < node_count(list); i++) {
        uid_t uid;
        if (!find_user(node_at(list, i), &uid, error)) {
            return false;
        }
        g_array_append_val(server->users, uid);
    }
    return true;
}

/* The file lets everybody knock; is_welcome() decides. */
static bool
let_users_in(const QmpServer *server, const char *path, GError **error)
{
    if (server->users->len == 0 || chmod(path, 0666) == 0) {
        return true;
    }
    g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot change the mode of socket '%s': %s",
                path, g_strerror(errno));
    return false;
}

QmpServer *
qmp_server_new(Machine *machine, const char *path, GError **error)
{
    g_autoptr(QmpServer) server = g_new0(QmpServer, 1);

    server->machine = machine;
    server->clients = g_ptr_array_new_with_free_func(client_free);
    server->users = g_array_new(FALSE, FALSE, sizeof(uid_t));
    if (!find_users(server, error)) {
        return NULL;
    }
    server->listener =
        listener_new(machine_context(machine), path, G_PRIORITY_LOW, accepted, server, error);
    if (server->listener == NULL || !let_users_in(server, path, error)) {
        return NULL;
    }
    machine_set_event_func(machine, machine_event, server);
    return g_steal_pointer(&server);
}

/* What the clients have not read yet is sent if the sockets take it:
 * the SHUTDOWN event above all. */
void
qmp_server_free(QmpServer *server)
{
    unsigned i;

    if (server == NULL) {
        return;
    }
    machine_set_event_func(server->machine, NULL, NULL);
    for (i = server->clients->len; i > 0; i--) {
        QmpClient *client = server->clients->pdata[i - 1];
        stream_flush(client->stream);
    }
    listener_free(server->listener);
    g_ptr_array_free(server->clients, TRUE);
    g_array_free(server->users, TRUE);
    g_free(server);
}

void
qmp_server_event(QmpServer *server, const char *name, const char *json)
{
    g_autoptr(JsonObject) event = json_object_new();
    JsonObject *timestamp = json_object_new();
    gint64 now = g_get_real_time();
    g_autoptr(JsonNode) data = json != NULL ? json_from_string(json, NULL) : NULL;
    unsigned i;

    json_object_set_int_member(timestamp, "seconds", now / G_USEC_PER_SEC);
    json_object_set_int_member(timestamp, "microseconds", now % G_USEC_PER_SEC);
    json_object_set_object_member(event, "timestamp", timestamp);
    json_object_set_string_member(event, "event", name);
    if (data != NULL) {
        json_object_set_member(event, "data", g_steal_pointer(&data));
    }
    for (i = 0; i < server->clients->len; i++) {
        QmpClient *client = server->clients->pdata[i];
        if (client->negotiated) {
            send_object(client, event);
        }
    }
}
