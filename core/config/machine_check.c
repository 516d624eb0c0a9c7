/* SPDX-License-Identifier: Apache-2.0 */
/* Cross-checks of the "machine" group: see machine_check.h. */
#include "config/machine_check.h"

#include "base/fd.h"
#include "config/description.h"
#include "config/schema.h"
#include "kvm/cpu_features.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static const char *const firmware_paths[] = {
    "/usr/share/seabios/bios-256k.bin",
    "/usr/share/qemu/bios-256k.bin",
    NULL,
};

static void
check_memory(const Node *machine, ErrorList *errors)
{
    const Node *memory = node_child(machine, "memory");
    int64_t bytes = node_i64(memory, 0);

    if (bytes > 1 << 20 && (bytes & 0xFFFFF) != 0) {
        error_list_add(errors, memory->file, memory->line, "machine.memory",
                       "%" G_GINT64_FORMAT " bytes are no multiple of 1M", bytes);
    }
}

/* RFC 4122, 3: 8-4-4-4-12 hexadecimal digits. */
static void
check_uuid(const Node *machine, ErrorList *errors)
{
    const Node *uuid = node_child(machine, "uuid");
    const char *text = node_text(uuid, "");

    if (*text != '\0' && !g_uuid_string_is_valid(text)) {
        error_list_add(errors, uuid->file, uuid->line, "machine.uuid",
                       "\"%s\" is no UUID, such as 12345678-9abc-def0-1234-56789abcdef0", text);
    }
}

static void
check_rtc(const Node *machine, ErrorList *errors)
{
    const Node *base = node_child(node_child(machine, "rtc"), "base");
    const char *text = node_text(base, "utc");

    if (strcmp(text, "utc") == 0 || strcmp(text, "localtime") == 0) {
        return;
    }
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) date =
        strchr(text, 'T') != NULL ? g_date_time_new_from_iso8601(text, utc) : NULL;
    if (date == NULL) {
        error_list_add(errors, base->file, base->line, "machine.rtc.base",
                       "\"%s\" is none of \"utc\", \"localtime\" and dates such as "
                       "\"2026-11-22T10:00:00\"",
                       text);
    }
}

static void
check_cpu(const Node *machine, ErrorList *errors)
{
    const Node *cpu = node_child(machine, "cpu");
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) changes = cpu_features_parse(node_text(cpu, "host"), &error);

    if (changes == NULL) {
        error_list_add(errors, cpu->file, cpu->line, "machine.cpu", "%s", error->message);
    }
}

static const PlanInstance *
find(const GPtrArray *instances, const char *id, size_t length)
{
    for (guint i = 0; i < instances->len; i++) {
        const PlanInstance *instance = g_ptr_array_index(instances, i);
        if (strlen(instance->id) == length && strncmp(instance->id, id, length) == 0) {
            return instance;
        }
    }
    return NULL;
}

static void
check_order_element(const MachinePlan *plan, const Node *element, const char *path,
                    ErrorList *errors)
{
    const char *text = node_text(element, "");
    size_t length = strcspn(text, ":");
    g_autofree char *id = g_strndup(text, length);
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    if (find(plan->devices, text, length) != NULL) {
        return;
    }
    if (find(plan->backends, text, length) != NULL) {
        error_list_add(errors, element->file, element->line, path,
                       "\"%s\" is a backend: name the device that shows it to the guest", id);
        return;
    }
    for (guint i = 0; i < plan->devices->len; i++) {
        const PlanInstance *device = g_ptr_array_index(plan->devices, i);
        g_ptr_array_add(known, device->id);
    }
    g_ptr_array_add(known, NULL);
    g_autofree char *hint = schema_suggest(id, (const char *const *)known->pdata);
    error_list_add(errors, element->file, element->line, path, "no device \"%s\"%s", id, hint);
}

static void
check_order_twice(const Node *order, unsigned index, const char *path, ErrorList *errors)
{
    const Node *element = node_at(order, index);

    for (unsigned i = 0; i < index; i++) {
        if (strcmp(node_text(element, ""), node_text(node_at(order, i), "")) == 0) {
            error_list_add(errors, element->file, element->line, path,
                           "\"%s\" is in the list already", node_text(element, ""));
            return;
        }
    }
}

static void
check_order(const MachinePlan *plan, const Node *order, ErrorList *errors)
{
    for (unsigned i = 0; i < node_count(order); i++) {
        const Node *element = node_at(order, i);
        g_autofree char *path = g_strdup_printf("machine.boot.order[%u]", i);
        if (element->type != BP_NODE_STRING) {
            continue; /* reported by the schema check */
        }
        check_order_element(plan, element, path, errors);
        check_order_twice(order, i, path, errors);
    }
}

static void
check_file(const Node *boot, const char *name, ErrorList *errors)
{
    const Node *node = node_child(boot, name);
    const char *path = node_text(node, NULL);
    g_autofree char *where = g_strdup_printf("machine.boot.%s", name);
    struct stat st;

    if (path == NULL) {
        return;
    }
    /* O_NONBLOCK: a FIFO must not hold us up before fstat() can refuse it. */
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        error_list_add(errors, node->file, node->line, where, "cannot open \"%s\": %s", path,
                       g_strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        error_list_add(errors, node->file, node->line, where, "\"%s\" is no regular file", path);
    }
}

static void
check_direct_boot(const Node *boot, ErrorList *errors)
{
    const Node *initrd = node_child(boot, "initrd");
    const Node *cmdline = node_child(boot, "cmdline");

    if (node_child(boot, "kernel") != NULL) {
        return;
    }
    if (initrd != NULL) {
        error_list_add(errors, initrd->file, initrd->line, "machine.boot.initrd",
                       "needs machine.boot.kernel: firmware loads its own");
    }
    if (*node_text(cmdline, "") != '\0') {
        error_list_add(errors, cmdline->file, cmdline->line, "machine.boot.cmdline",
                       "needs machine.boot.kernel: firmware's boot loader has its own");
    }
}

static void
fill_firmware(Node *boot)
{
    if (boot == NULL || boot->type != BP_NODE_GROUP || node_child(boot, "kernel") != NULL ||
        node_child(boot, "firmware") != NULL) {
        return;
    }
    for (const char *const *path = firmware_paths; *path != NULL; path++) {
        if (access(*path, R_OK) == 0) {
            Node *node = node_new(BP_NODE_STRING, "firmware", FILE_DEFAULT, 0);
            node->text = g_strdup(*path);
            node->is_default = true;
            g_ptr_array_add(boot->children, node);
            return;
        }
    }
}

void
machine_check(MachinePlan *plan, ErrorList *errors)
{
    Node *boot = node_child(plan->machine, "boot");

    check_memory(plan->machine, errors);
    check_uuid(plan->machine, errors);
    check_rtc(plan->machine, errors);
    check_cpu(plan->machine, errors);
    check_order(plan, node_child(boot, "order"), errors);
    check_direct_boot(boot, errors);
    check_file(boot, "firmware", errors);
    check_file(boot, "kernel", errors);
    check_file(boot, "initrd", errors);
    fill_firmware(boot);
}
