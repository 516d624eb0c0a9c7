/* SPDX-License-Identifier: Apache-2.0 */
/* The report on a plugin: first what the core itself would refuse it for, then what it would let
 * pass and an author should know. */
#include "control/sdk_check.h"

#include "base/fd.h"
#include "config/schema.h"
#include "control/manifest.h"
#include "plugin/elf_image.h"
#include "plugin/plugin_image.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DESCRIPTOR_SYMBOL "backplane_plugin_v1"
#define RUNTIME_BYTES     64u /* what the compiler's own start-up code keeps writable */

typedef struct {
    unsigned errors;
    unsigned warnings;
} Report;

static void report_error(Report *report, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void report_warning(Report *report, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
report_error(Report *report, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    (void)printf("  error: %s\n", text);
    report->errors++;
}

static void
report_warning(Report *report, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    (void)printf("  warning: %s\n", text);
    report->warnings++;
}

static bool
is_runtime_symbol(const char *name)
{
    static const char *const prefixes[] = {"_init",   "_fini",  "__asan",   "__odr_asan",
                                           "__ubsan", "__tsan", "__sancov", NULL};

    for (const char *const *prefix = prefixes; *prefix != NULL; prefix++) {
        if (g_str_has_prefix(name, *prefix)) {
            return true;
        }
    }
    return false;
}

/* One symbol may be visible, or two plugins of one process could meet in another. */
static void
check_exports(Report *report, const ElfImage *elf)
{
    Elf64_Sym symbol;
    const char *name;

    for (uint32_t i = 1; elf_image_symbol(elf, i, &symbol, &name); i++) {
        if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL ||
            is_runtime_symbol(name)) {
            continue;
        }
        if (strcmp(name, DESCRIPTOR_SYMBOL) != 0) {
            report_error(report, "it exports \"%s\"; compile with -fvisibility=hidden", name);
        }
    }
}

/* Memory that stays writable after relocation: variables outside any instance. */
static void
check_writable(Report *report, const ElfImage *elf)
{
    uint64_t writable = 0, relro = 0;

    for (unsigned i = 0; i < elf->header_count; i++) {
        const Elf64_Phdr *header = &elf->headers[i];
        if (header->p_type == PT_LOAD && (header->p_flags & PF_W) != 0) {
            writable += header->p_memsz;
        } else if (header->p_type == PT_GNU_RELRO) {
            relro += header->p_memsz;
        }
    }
    uint64_t left = writable > relro ? writable - relro : 0;
    if (left > RUNTIME_BYTES) {
        report_warning(report,
                       "%" G_GUINT64_FORMAT " bytes are writable outside any instance: file-scope "
                       "variables (or no -z now); state belongs to the object that create() makes",
                       left);
    }
}

static void check_props(Report *report, const struct bp_prop *props, const char *where);

static void
check_default(Report *report, const struct bp_prop *prop, const char *path)
{
    if (prop->def == NULL || (prop->flags & BP_PROP_PER_INSTANCE) != 0) {
        return;
    }
    g_autoptr(Node) value = schema_default(prop, prop->def);
    if (value == NULL) {
        report_error(report, "option %s: its default \"%s\" is no value of it", path, prop->def);
    }
    if ((prop->flags & BP_PROP_REQUIRED) != 0) {
        report_warning(report, "option %s is required and has a default", path);
    }
}

static void
check_prop(Report *report, const struct bp_prop *prop, const char *where)
{
    g_autofree char *path = g_strdup_printf("%s.%s", where, prop->name);

    if (prop->help == NULL || prop->help[0] == '\0') {
        report_warning(report, "option %s has no help", path);
    }
    check_default(report, prop, path);
    if (prop->type == BP_PROP_GROUP) {
        check_props(report, prop->children, path);
    }
}

static void
check_props(Report *report, const struct bp_prop *props, const char *where)
{
    for (const struct bp_prop *prop = props; prop != NULL && prop->name != NULL; prop++) {
        check_prop(report, prop, where);
    }
}

static void
check_class(Report *report, const PluginClass *class)
{
    if (class->help == NULL || class->help[0] == '\0') {
        report_warning(report, "class %s has no help", class->name);
    }
    if (class->kind == BP_KIND_BACKEND && (class->provides == NULL || class->provides[0] == NULL)) {
        report_error(report, "class %s is a backend and provides nothing", class->name);
    }
    if (class->kind == BP_KIND_DEVICE && class->state_version == 0) {
        report_warning(report, "class %s saves no state: no snapshot, no live upgrade",
                       class->name);
    }
    check_props(report, class->props, class->name);
}

static bool
read_elf(const char *path, ElfImage **ret_elf)
{
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    g_autoptr(GError) error = NULL;

    *ret_elf = fd >= 0 ? elf_image_read(fd, path, &error) : NULL;
    return *ret_elf != NULL;
}

int
sdk_check(const char *path)
{
    g_autoptr(GError) error = NULL;
    Report report = {0, 0};

    g_autoptr(PluginImage) image = plugin_image_open(path, &error);
    if (image == NULL) {
        (void)printf("%s: refused\n  error: %s\n", path, error->message);
        return access(path, R_OK) == 0 ? 1 : 2;
    }
    g_autoptr(ElfImage) elf = NULL;
    if (!read_elf(path, &elf)) {
        (void)fprintf(stderr, "backplane: cannot read '%s' again\n", path);
        return 2;
    }
    const struct bp_note_desc *note = plugin_image_note(image);
    (void)printf("%s: %s %s, ABI %u.%u\n", path, note->id, note->version, note->abi_major,
                 note->abi_minor);
    check_exports(&report, elf);
    check_writable(&report, elf);
    for (unsigned i = 0; i < plugin_image_class_count(image); i++) {
        check_class(&report, plugin_image_class(image, i));
    }
    (void)printf("  %u errors, %u warnings\n", report.errors, report.warnings);
    return report.errors > 0 ? 1 : 0;
}
