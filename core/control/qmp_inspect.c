/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that devices answer (bp.inspect/1). Which there are, follows from the devices there are;
 * what they are about, only the plugins know. */
#include "config/description.h"
#include "config/schema.h"
#include "control/qmp_private.h"
#include "plugin/args.h"

#include <string.h>

#define ANSWER_MAX    (1u << 20) /* bytes of one device's */
#define QUESTIONS_MAX 64u        /* of one device */

static bool
inspect_ops(Instance *device, struct bp_inspect_ops *ops)
{
    const void *table = instance_query(device, BP_INSPECT_ID);

    return table != NULL && table_copy(ops, sizeof(*ops), table) == 0 && ops->questions != NULL &&
           ops->answer != NULL;
}

static const struct bp_inspect_question *
find_question(const struct bp_inspect_ops *ops, const char *name)
{
    unsigned i;

    for (i = 0; i < QUESTIONS_MAX && ops->questions[i].name != NULL; i++) {
        if (strcmp(ops->questions[i].name, name) == 0) {
            return &ops->questions[i];
        }
    }
    return NULL;
}

/* --- the list of commands -----------------------------------------------------------------------
 */

static char
type_letter(uint32_t type)
{
    switch (type) {
    case BP_PROP_BOOL:
        return 'b';
    case BP_PROP_INT:
    case BP_PROP_UINT:
    case BP_PROP_SIZE:
        return 'i';
    case BP_PROP_STRING:
    case BP_PROP_ENUM:
        return 's';
    default:
        return 'x';
    }
}

static char *
question_arguments(const struct bp_inspect_question *question)
{
    GString *text = g_string_new((question->flags & BP_INSPECT_ALL) != 0 ? "" : "path:s");
    const struct bp_prop *prop;

    for (prop = question->options; prop != NULL && prop->name != NULL; prop++) {
        g_string_append_printf(text, "%s%s:%c%s", text->len > 0 ? " " : "", prop->name,
                               type_letter(prop->type),
                               (prop->flags & BP_PROP_REQUIRED) != 0 ? "" : "?");
    }
    return g_string_free(text, FALSE);
}

static void
add_question(GTree *commands, const struct bp_inspect_question *question)
{
    g_autofree char *arguments = question_arguments(question);

    if (g_tree_lookup(commands, question->name) == NULL) {
        g_tree_insert(commands, g_strdup(question->name),
                      qmp_describe_command(question->name, arguments,
                                           question->help != NULL ? question->help : ""));
    }
}

void
qmp_inspect_add_commands(Machine *machine, GTree *commands)
{
    const GPtrArray *devices = machine_devices(machine);
    struct bp_inspect_ops ops;
    guint i, n;

    for (i = 0; i < devices->len; i++) {
        if (!inspect_ops(devices->pdata[i], &ops)) {
            continue;
        }
        for (n = 0; n < QUESTIONS_MAX && ops.questions[n].name != NULL; n++) {
            add_question(commands, &ops.questions[n]);
        }
    }
}

/* --- a question ---------------------------------------------------------------------------------
 */

static void
take_text(void *opaque, const char *text, uint64_t length)
{
    GString *answer = opaque;

    if (text != NULL && length <= ANSWER_MAX && answer->len <= ANSWER_MAX) {
        (void)g_string_append_len(answer, text, (gssize)length);
    }
}

/* NULL after failing the call. */
static JsonNode *
ask(QmpCall *call, Instance *device, const char *name, const Node *options)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const struct bp_inspect_answer answer = {
        .size = sizeof(answer),
        .opaque = text,
        .write = take_text,
    };
    g_autoptr(GError) error = NULL;
    JsonNode *value = NULL;
    struct bp_inspect_ops ops;
    int32_t result = -ENOENT;
    DeviceCall lock;

    if (inspect_ops(device, &ops)) {
        instance_lock(device, &lock);
        result = ops.answer(device->self, name, options, &answer);
        device_call_leave(&lock);
    }
    if (result < 0) {
        instance_set_error(device, "cannot answer", result, &error);
        qmp_call_fail(call, "GenericError", "%s", error->message);
        return NULL;
    }
    value = text->len <= ANSWER_MAX ? json_from_string(text->str, NULL) : NULL;
    if (value == NULL) {
        qmp_call_fail(call, "GenericError", "Device '%s' gave no proper answer", device->id);
    }
    return value;
}

/* The arguments as a group that the plugin's schema agrees with; NULL after failing the call. */
static Node *
take_options(QmpCall *call, const struct bp_inspect_question *question)
{
    const struct bp_prop *tables[] = {question->options, NULL};
    g_autoptr(Node) group = node_new(BP_NODE_GROUP, "arguments", FILE_CONTROL, 0);
    g_autoptr(GList) members = json_object_get_members(call->arguments);
    g_autoptr(ErrorList) errors = error_list_new();
    const SchemaCheck check = {.errors = errors};
    g_autoptr(GError) error = NULL;
    GList *member;

    for (member = members; member != NULL; member = member->next) {
        const char *name = member->data;
        bool is_path = strcmp(name, "path") == 0 && (question->flags & BP_INSPECT_ALL) == 0;
        if (!is_path &&
            !qmp_add_option(call, group, name, json_object_get_member(call->arguments, name))) {
            return NULL;
        }
    }
    schema_check(&check, group, tables, question->name);
    if (!error_list_propagate(errors, &error)) {
        qmp_call_take_error(call, error);
        return NULL;
    }
    return g_steal_pointer(&group);
}

/* "/machine/peripheral/ID", with what may follow, or the id alone. */
static Instance *
find_by_path(QmpCall *call, const char *question)
{
    static const char prefix[] = "/machine/peripheral/";
    JsonNode *given = json_object_get_member(call->arguments, "path");
    const char *path =
        given != NULL && JSON_NODE_HOLDS_VALUE(given) ? json_node_get_string(given) : NULL;
    g_auto(GStrv) parts = NULL;
    struct bp_inspect_ops ops;
    Instance *device;

    if (path == NULL) {
        qmp_call_fail(call, "GenericError",
                      given == NULL ? "Parameter 'path' is missing"
                                    : "Invalid parameter type for 'path', expected: string");
        return NULL;
    }
    parts = g_strsplit(g_str_has_prefix(path, prefix) ? path + strlen(prefix) : path, "/", 2);
    device = parts[0] != NULL ? machine_device_find(call->machine, parts[0]) : NULL;
    if (device == NULL) {
        qmp_call_fail(call, "DeviceNotFound", "Device '%.64s' not found", path);
    } else if (!inspect_ops(device, &ops) || find_question(&ops, question) == NULL) {
        qmp_call_fail(call, "GenericError", "Device '%s' does not answer %s", device->id, question);
        device = NULL;
    }
    return device;
}

static void
ask_all(QmpCall *call, const char *name, const Node *options)
{
    const GPtrArray *devices = machine_devices(call->machine);
    g_autoptr(JsonArray) list = json_array_new();
    struct bp_inspect_ops ops;
    guint i;

    for (i = 0; i < devices->len; i++) {
        JsonNode *value;
        if (!inspect_ops(devices->pdata[i], &ops) || find_question(&ops, name) == NULL) {
            continue;
        }
        value = ask(call, devices->pdata[i], name, options);
        if (value == NULL) {
            return;
        }
        json_array_add_element(list, value);
    }
    qmp_call_return_array(call, g_steal_pointer(&list));
}

bool
qmp_inspect(QmpCall *call, const char *name)
{
    const GPtrArray *devices = machine_devices(call->machine);
    const struct bp_inspect_question *question = NULL;
    g_autoptr(Node) options = NULL;
    struct bp_inspect_ops ops;
    Instance *device;
    guint i;

    for (i = 0; i < devices->len && question == NULL; i++) {
        question = inspect_ops(devices->pdata[i], &ops) ? find_question(&ops, name) : NULL;
    }
    if (question == NULL) {
        return false;
    }
    options = take_options(call, question);
    if (options == NULL) {
        return true;
    }
    if ((question->flags & BP_INSPECT_ALL) != 0) {
        ask_all(call, name, options);
        return true;
    }
    device = find_by_path(call, name);
    if (device != NULL) {
        JsonNode *value = ask(call, device, name, options);
        if (value != NULL) {
            qmp_call_return(call, value);
        }
    }
    return true;
}
