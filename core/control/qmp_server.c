/* SPDX-License-Identifier: Apache-2.0 */
#include "control/qmp_server.h"

#include "control/qmp_commands.h"
#include "control/qmp_framing.h"
#include "control/stream.h"

#include <string.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define OUTPUT_MAX  (4u << 20) /* bytes for a client that does not read; then it is dropped */

struct QmpServer {
    Machine *machine;
    Listener *listener;
    GPtrArray *clients; /* QmpClient* */
};

typedef struct {
    QmpServer *server;
    Stream *stream;
    QmpFraming framing;
    bool negotiated;
} QmpClient;

static void
client_free(void *value)
{
    QmpClient *client = value;

    stream_free(client->stream);
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
    QmpResult version = {0};

    qmp_commands_run(client->server->machine, "query-version", NULL, &version);
    json_object_set_member(qmp, "version", g_steal_pointer(&version.value));
    json_object_set_array_member(qmp, "capabilities", json_array_new());
    json_object_set_object_member(greeting, "QMP", qmp);
    send_object(client, greeting);
    qmp_result_clear(&version);
}

static JsonObject *
execute(QmpClient *client, const char *name, JsonObject *arguments)
{
    QmpResult result = {0};
    JsonObject *reply;

    if (strcmp(name, "qmp_capabilities") == 0 && !client->negotiated) {
        client->negotiated = true;
    } else if (!client->negotiated) {
        return error_object("CommandNotFound",
                            "Expecting capabilities negotiation with 'qmp_capabilities'");
    } else {
        qmp_commands_run(client->server->machine, name, arguments, &result);
    }
    if (result.error_class != NULL) {
        reply = error_object(result.error_class, result.error_text);
    } else {
        reply = json_object_new();
        if (result.value != NULL) {
            json_object_set_member(reply, "return", g_steal_pointer(&result.value));
        } else {
            json_object_set_object_member(reply, "return", json_object_new());
        }
    }
    qmp_result_clear(&result);
    return reply;
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

static JsonObject *
serve_request(QmpClient *client, JsonObject *request)
{
    JsonNode *name = json_object_get_member(request, "execute");
    JsonNode *arguments = json_object_get_member(request, "arguments");
    JsonObject *error = check_members(request);

    if (error != NULL) {
        return error;
    }
    if (name == NULL || !JSON_NODE_HOLDS_VALUE(name) ||
        json_node_get_value_type(name) != G_TYPE_STRING) {
        return error_object("GenericError", name == NULL
                                                ? "QMP input lacks member 'execute'"
                                                : "QMP input member 'execute' must be a string");
    }
    if (arguments != NULL && !JSON_NODE_HOLDS_OBJECT(arguments)) {
        return error_object("GenericError", "QMP input member 'arguments' must be an object");
    }
    return execute(client, json_node_get_string(name),
                   arguments != NULL ? json_node_get_object(arguments) : NULL);
}

static void
serve_text(QmpClient *client, const char *text)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonObject) reply = NULL;
    JsonNode *root;

    if (!json_parser_load_from_data(parser, text, -1, &error)) {
        reply = error_object("GenericError", "JSON parse error, invalid syntax");
        send_object(client, reply);
        return;
    }
    root = json_parser_get_root(parser);
    if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        reply = error_object("GenericError", "QMP input must be a JSON object");
    } else {
        JsonObject *request = json_node_get_object(root);
        JsonNode *id = json_object_get_member(request, "id");
        reply = serve_request(client, request);
        if (id != NULL) {
            json_object_set_member(reply, "id", json_node_copy(id));
        }
    }
    send_object(client, reply);
}

static bool
client_received(void *opaque, const char *data, size_t length)
{
    QmpClient *client = opaque;

    while (length > 0) {
        size_t taken = 0;
        QmpFramingResult result = qmp_framing_feed(&client->framing, data, length, &taken);
        if (result == QMP_FRAMING_OBJECT) {
            serve_text(client, client->framing.text->str);
        } else if (result == QMP_FRAMING_ERROR) {
            g_autoptr(JsonObject) reply =
                error_object("GenericError", "JSON parse error, invalid syntax or too large");
            send_object(client, reply);
        }
        data += taken;
        length -= taken;
    }
    return true;
}

static void
client_closed(void *opaque)
{
    QmpClient *client = opaque;

    (void)g_ptr_array_remove_fast(client->server->clients, client);
}

static void
accepted(void *opaque, int fd)
{
    static const StreamFuncs funcs = {.received = client_received, .closed = client_closed};
    QmpServer *server = opaque;
    QmpClient *client;

    if (server->clients->len >= CLIENTS_MAX) {
        (void)close(fd);
        return;
    }
    client = g_new0(QmpClient, 1);
    client->server = server;
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

QmpServer *
qmp_server_new(Machine *machine, const char *path, GError **error)
{
    g_autoptr(QmpServer) server = g_new0(QmpServer, 1);

    server->machine = machine;
    server->clients = g_ptr_array_new_with_free_func(client_free);
    server->listener =
        listener_new(machine_context(machine), path, G_PRIORITY_LOW, accepted, server, error);
    if (server->listener == NULL) {
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
