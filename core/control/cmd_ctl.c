/* SPDX-License-Identifier: Apache-2.0 */
/* backplane ctl: one command to a machine that runs, and its answer for people or for scripts. */
#include "base/error.h"
#include "base/fd.h"
#include "base/nearest.h"
#include "base/unix_socket.h"
#include "config/schema.h"
#include "control/commands.h"
#include "control/ctl_print.h"
#include "control/options.h"
#include "control/qmp_commands.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20) /* bytes */

typedef struct {
    gboolean json, commands;
    int timeout_s;
    char **words;
} CtlOptions;

static void
ctl_options_clear(CtlOptions *options)
{
    g_strfreev(options->words);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CtlOptions, ctl_options_clear)

/* --- arguments ----------------------------------------------------------------------------------
 */

/* The type of an argument in a command's list, '*' for one the plugin declares, 0 for none. */
static char
argument_type(const QmpCommand *command, const char *name)
{
    g_auto(GStrv) entries = g_strsplit(command->arguments, " ", -1);
    size_t length = strlen(name);
    char type = 0;
    char **entry;

    for (entry = entries; *entry != NULL; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == ':') {
            return (*entry)[length + 1];
        }
        type = strcmp(*entry, "*") == 0 ? '*' : type;
    }
    return type;
}

static JsonNode *
text_node(const char *text)
{
    return json_node_init_string(json_node_alloc(), text);
}

/* NULL: text is none of that type. */
static JsonNode *
parse_value(char type, const char *text)
{
    bool is_true = strcmp(text, "true") == 0 || strcmp(text, "on") == 0 || strcmp(text, "yes") == 0;
    JsonNode *node = NULL;
    uint64_t bytes;
    gint64 number;

    switch (type) {
    case 's':
        return text_node(text);
    case 'b':
        if (is_true || strcmp(text, "false") == 0 || strcmp(text, "off") == 0 ||
            strcmp(text, "no") == 0) {
            return json_node_init_boolean(json_node_alloc(), is_true);
        }
        return NULL;
    case 'i':
        if (g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number, NULL)) {
            return json_node_init_int(json_node_alloc(), number);
        }
        if (g_str_has_prefix(text, "0x") &&
            g_ascii_string_to_unsigned(text + 2, 16, 0, G_MAXINT64, &bytes, NULL)) {
            return json_node_init_int(json_node_alloc(), (gint64)bytes);
        }
        if (schema_parse_size(text, &bytes) && bytes <= G_MAXINT64) {
            return json_node_init_int(json_node_alloc(), (gint64)bytes);
        }
        return NULL;
    default: /* whatever it looks like; text is text */
        node = json_from_string(text, NULL);
        return node != NULL ? node : text_node(text);
    }
}

static bool
add_argument(JsonObject *arguments, const QmpCommand *command, const char *word)
{
    const char *equals = strchr(word, '=');
    g_autofree char *name = equals != NULL ? g_strndup(word, (gsize)(equals - word)) : NULL;
    char type;
    JsonNode *value;

    if (name == NULL) {
        (void)fprintf(stderr, "backplane ctl: \"%s\" is no key=value; %s takes: %s\n", word,
                      command->name, command->arguments);
        return false;
    }
    type = argument_type(command, name);
    if (type == 0) {
        (void)fprintf(stderr, "backplane ctl: %s has no argument \"%s\"; it takes: %s\n",
                      command->name, name,
                      command->arguments[0] != '\0' ? command->arguments : "none");
        return false;
    }
    value = parse_value(type, equals + 1);
    if (value == NULL) {
        (void)fprintf(stderr, "backplane ctl: \"%s\" is no value of \"%s\"\n", equals + 1, name);
        return false;
    }
    json_object_set_member(arguments, name, value);
    return true;
}

static char *
request_text(const char *name, JsonObject *arguments)
{
    g_autoptr(JsonObject) request = json_object_new();
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), request);

    json_object_set_string_member(request, "execute", name);
    json_object_set_string_member(request, "id", "ctl");
    json_object_set_object_member(request, "arguments", json_object_ref(arguments));
    return json_to_string(node, FALSE);
}

/* words: KEY=VALUE. NULL after a message. */
static char *
make_request(const QmpCommand *command, char **words)
{
    g_autoptr(JsonObject) arguments = json_object_new();

    for (; *words != NULL; words++) {
        if (!add_argument(arguments, command, *words)) {
            return NULL;
        }
    }
    return request_text(command->name, arguments);
}

/* --- the conversation ---------------------------------------------------------------------------
 */

typedef struct {
    int fd;
    GString *input;
    gint64 deadline;
} Conversation;

static bool
wait_for(int fd, short events, gint64 deadline)
{
    gint64 left = (deadline - g_get_monotonic_time()) / 1000;
    struct pollfd poll_fd = {.fd = fd, .events = events};

    return left > 0 && poll(&poll_fd, 1, (int)MIN(left, G_MAXINT)) > 0;
}

static bool
send_line(int fd, const char *text, gint64 deadline)
{
    size_t length = strlen(text);

    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        } else if (errno != EAGAIN || !wait_for(fd, POLLOUT, deadline)) {
            return false;
        }
    }
    return true;
}

/* One line, without its end; NULL: closed, or time is over. */
static char *
receive_line(int fd, GString *input, gint64 deadline)
{
    char data[4096];

    for (;;) {
        char *end = memchr(input->str, '\n', input->len);
        ssize_t got;
        if (end != NULL) {
            char *line = g_strndup(input->str, (gsize)(end - input->str));
            g_string_erase(input, 0, end - input->str + 1);
            return line;
        }
        if (input->len > ANSWER_MAX || !wait_for(fd, POLLIN, deadline)) {
            return NULL;
        }
        got = read(fd, data, sizeof(data));
        if (got <= 0 && errno != EAGAIN) {
            return NULL;
        }
        if (got > 0) {
            (void)g_string_append_len(input, data, got);
        }
    }
}

/* The answer with our id; events go by. */
static JsonNode *
converse(const Conversation *talk, const char *request)
{
    if (!send_line(talk->fd, request, talk->deadline) ||
        !send_line(talk->fd, "\n", talk->deadline)) {
        return NULL;
    }
    for (;;) {
        g_autofree char *line = receive_line(talk->fd, talk->input, talk->deadline);
        g_autoptr(JsonNode) node = line != NULL ? json_from_string(line, NULL) : NULL;
        if (line == NULL) {
            return NULL;
        }
        if (node != NULL && JSON_NODE_HOLDS_OBJECT(node) &&
            json_object_has_member(json_node_get_object(node), "id")) {
            return g_steal_pointer(&node);
        }
    }
}

/* --- commands -----------------------------------------------------------------------------------
 */

static const char *
text_member(JsonNode *node, const char *name)
{
    JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    JsonNode *value = object != NULL ? json_object_get_member(object, name) : NULL;
    const char *text =
        value != NULL && JSON_NODE_HOLDS_VALUE(value) ? json_node_get_string(value) : NULL;

    return text != NULL ? text : "";
}

/* Those of the machine: its devices have some of their own. answer: query-commands', which the
 * commands point into. */
static GArray *
commands_of(JsonNode *answer)
{
    GArray *commands = g_array_new(FALSE, TRUE, sizeof(QmpCommand));
    JsonNode *value = json_object_get_member(json_node_get_object(answer), "return");
    JsonArray *list =
        value != NULL && JSON_NODE_HOLDS_ARRAY(value) ? json_node_get_array(value) : NULL;
    guint i;

    for (i = 0; list != NULL && i < json_array_get_length(list); i++) {
        JsonNode *entry = json_array_get_element(list, i);
        const QmpCommand command = {
            .name = text_member(entry, "name"),
            .arguments = text_member(entry, "arguments"),
            .help = text_member(entry, "help"),
        };
        g_array_append_val(commands, command);
    }
    return commands;
}

static GArray *
own_commands(void)
{
    GArray *commands = g_array_new(FALSE, TRUE, sizeof(QmpCommand));
    const QmpCommand *command;
    unsigned i;

    for (i = 0; (command = qmp_command_at(i)) != NULL; i++) {
        g_array_append_val(commands, *command);
    }
    return commands;
}

/* NULL after a message. */
static const QmpCommand *
find_command(const GArray *commands, const char *name)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    const char *nearest;
    guint i;

    for (i = 0; i < commands->len; i++) {
        const QmpCommand *command = &g_array_index(commands, QmpCommand, i);
        if (strcmp(command->name, name) == 0) {
            return command;
        }
        g_ptr_array_add(known, (gpointer)(uintptr_t)command->name);
    }
    g_ptr_array_add(known, NULL);
    nearest = nearest_name(name, (const char *const *)known->pdata);
    (void)fprintf(stderr, "backplane ctl: there is no command \"%s\"%s%s%s; try: --commands\n",
                  name, nearest != NULL ? " (did you mean \"" : "", nearest != NULL ? nearest : "",
                  nearest != NULL ? "\"?)" : "");
    return NULL;
}

static int
print_commands(const GArray *commands)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint i;

    for (i = 0; i < commands->len; i++) {
        const QmpCommand *command = &g_array_index(commands, QmpCommand, i);
        g_string_append_printf(text, "%-26s %s\n", command->name, command->help);
        if (command->arguments[0] != '\0') {
            g_string_append_printf(text, "%-26s   %s\n", "", command->arguments);
        }
    }
    return inspect_print(text->str);
}

/* --- all of it ----------------------------------------------------------------------------------
 */

static int
show_answer(JsonNode *answer, bool as_json)
{
    JsonObject *object = json_node_get_object(answer);
    g_autofree char *text = NULL;

    if (json_object_has_member(object, "error")) {
        JsonObject *error = json_object_get_object_member(object, "error");
        (void)fprintf(stderr, "backplane ctl: %s\n",
                      json_object_get_string_member_with_default(error, "desc", "it failed"));
        return 1;
    }
    text = as_json ? json_to_string(json_object_get_member(object, "return"), TRUE)
                   : ctl_print(json_object_get_member(object, "return"));
    if (as_json) {
        char *line = g_strdup_printf("%s\n", text);
        g_free(text);
        text = line;
    }
    return inspect_print(text);
}

static int
no_answer(const CtlOptions *options)
{
    (void)fprintf(stderr, "backplane ctl: no answer from '%s'\n", options->words[0]);
    return 1;
}

static int
run_command(const CtlOptions *options, const Conversation *talk, const GArray *commands)
{
    const QmpCommand *command = find_command(commands, options->words[1]);
    g_autofree char *request = command != NULL ? make_request(command, options->words + 2) : NULL;
    g_autoptr(JsonNode) answer = NULL;

    if (request == NULL) {
        return 2;
    }
    answer = converse(talk, request);
    return answer != NULL ? show_answer(answer, options->json) : no_answer(options);
}

static int
connect_and_run(const CtlOptions *options)
{
    g_autoptr(GString) input = g_string_new(NULL);
    g_autoptr(JsonObject) nothing = json_object_new();
    g_autofree char *request = request_text("query-commands", nothing);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) answer = NULL;
    g_autoptr(GArray) commands = NULL;
    autofd int fd = unix_socket_connect(options->words[0], &error);
    const Conversation talk = {
        .fd = fd,
        .input = input,
        .deadline = g_get_monotonic_time() + (gint64)options->timeout_s * G_USEC_PER_SEC,
    };

    if (fd < 0) {
        (void)fprintf(stderr, "backplane ctl: %s\n", error->message);
        return 2;
    }
    if (send_line(fd, "{\"execute\": \"qmp_capabilities\"}\n", talk.deadline)) {
        answer = converse(&talk, request);
    }
    if (answer == NULL) {
        return no_answer(options);
    }
    commands = commands_of(answer);
    return options->words[1] != NULL ? run_command(options, &talk, commands)
                                     : print_commands(commands);
}

int
cmd_ctl(int argc, char **argv)
{
    g_auto(CtlOptions) options = {.timeout_s = 60};
    const GOptionEntry entries[] = {
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print the answer as JSON", NULL},
        {"timeout", 0, 0, G_OPTION_ARG_INT, &options.timeout_s, "Wait this long (60)", "SECONDS"},
        {"commands", 0, 0, G_OPTION_ARG_NONE, &options.commands,
         "List the commands and their arguments; with SOCKET: those of that machine", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.words, NULL,
         "SOCKET COMMAND [KEY=VALUE...]"},
        {NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    int status = 0;

    g_option_context_set_summary(context, "Send one command to a machine that runs.");
    g_option_context_set_description(
        context, "A value is text, true or false, a number or a size (10M), or JSON, as the\n"
                 "command wants it. Exit status: 0 done, 1 the machine refused it or does not\n"
                 "answer, 2 a mistake in the command line, or nobody serves the socket.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!options_parse(context, "ctl", &argc, &argv, &status)) {
        return status;
    }
    if (options.commands && options.words == NULL) {
        g_autoptr(GArray) commands = own_commands();
        return print_commands(commands);
    }
    if (options.words == NULL || (options.words[1] == NULL && !options.commands)) {
        (void)fprintf(stderr, "backplane ctl: name a socket and a command (try --help)\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return connect_and_run(&options);
}
