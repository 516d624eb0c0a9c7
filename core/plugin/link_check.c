/* SPDX-License-Identifier: Apache-2.0 */
/* The linking rules of link_check.h, and how code that runs at load is told from the C run-time's
 * own start-up code, which every shared object has:
 *
 *  - DT_INIT and DT_FINI must be crti.o's _init and _fini, which are known by their instructions: a
 *    prologue, a call of __gmon_start__ if there is one, an epilogue. Anything between them, or
 * another function named with -init, is a constructor.
 *  - DT_INIT_ARRAY and DT_FINI_ARRAY hold one entry each: crtbegin's frame_dummy and
 *    __do_global_dtors_aux. Without crti.o (no DT_INIT) there is no crtbegin either, so none.
 * Sanitizers add entries of their own; a plugin that imports their run-time is let through.
 */
#include "plugin/link_check.h"

#include "base/error.h"
#include "plugin/library_symbols.h"

#include <string.h>

static const char *const sanitizer_prefixes[] = {
    "__asan_", "__ubsan_", "__tsan_",   "__sanitizer_", "__sancov",
    "__lsan",  "__msan_",  "__hwasan_", NULL,
};

/* What a plugin that can be replaced must not do: it would outlive the plugin or change the
 * process. */
static const char *const forbidden_imports[] = {
    "atexit",         "at_quick_exit",  "on_exit",   "pthread_key_create",
    "pthread_create", "pthread_atfork", "signal",    "sigaction",
    "sigaltstack",    "fork",           "vfork",     "posix_spawn",
    "posix_spawnp",   "system",         "popen",     "dlopen",
    "dlmopen",        "setlocale",      "uselocale", "chdir",
    "fchdir",         "chroot",         "umask",     "setenv",
    "putenv",         "unsetenv",       "clearenv",  "exit",
    "_exit",          "quick_exit",     "setuid",    "setgid",
    "prctl",          "sigprocmask",    NULL,
};

static bool refuse(const ElfImage *image, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static bool
refuse(const ElfImage *image, GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, BACKPLANE_ERROR, ERROR_PLUGIN, "%s: %s", image->path, text);
    return false;
}

static bool
is_listed(const char *name, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(name, *list) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_sanitizer(const char *name)
{
    for (const char *const *prefix = sanitizer_prefixes; *prefix != NULL; prefix++) {
        if (g_str_has_prefix(name, *prefix)) {
            return true;
        }
    }
    return false;
}

static bool
check_header(const ElfImage *image, const Elf64_Phdr *header, GError **error)
{
    bool is_executable = (header->p_flags & PF_X) != 0;

    if (header->p_type == PT_INTERP) {
        return refuse(image, error, "a program, not a plugin");
    }
    if (header->p_type == PT_GNU_STACK && is_executable) {
        return refuse(image, error,
                      "asks for an executable stack: link it with -Wl,-z,noexecstack");
    }
    if (header->p_type == PT_LOAD && is_executable && (header->p_flags & PF_W) != 0) {
        return refuse(image, error, "has memory that is both writable and executable");
    }
    return true;
}

static bool
check_headers(const ElfImage *image, GError **error)
{
    bool has_stack = false;

    for (unsigned i = 0; i < image->header_count; i++) {
        if (!check_header(image, &image->headers[i], error)) {
            return false;
        }
        has_stack = has_stack || image->headers[i].p_type == PT_GNU_STACK;
    }
    return has_stack || refuse(image, error,
                               "does not say that its stack is not executable: link it with "
                               "-Wl,-z,noexecstack");
}

static bool
check_flags(const ElfImage *image, GError **error)
{
    const ElfDynamic *dynamic = &image->dynamic;

    if ((dynamic->flags_1 & DF_1_PIE) != 0) {
        return refuse(image, error, "a program, not a plugin");
    }
    if ((dynamic->flags_1 & DF_1_NODELETE) != 0) {
        return refuse(image, error,
                      "cannot be unloaded (DF_1_NODELETE): link it without -Wl,-z,nodelete");
    }
    if (dynamic->has_text_relocations || (dynamic->flags & DF_TEXTREL) != 0) {
        return refuse(image, error, "has relocations in its code (TEXTREL): compile it with -fPIC");
    }
    return true;
}

/* Takes bytes off the front of code if they are there. */
static bool
take(const uint8_t **code, const uint8_t *end, const char *bytes, size_t length)
{
    if ((size_t)(end - *code) < length || memcmp(*code, bytes, length) != 0) {
        return false;
    }
    *code += length;
    return true;
}

/* crti.o's and crtn.o's halves of _init and _fini with nothing in between but glibc's call of
 * __gmon_start__; or musl's, which are a push and a pop. */
static bool
is_runtime_stub(const ElfImage *image, uint64_t address)
{
    const uint8_t *code = elf_image_at(image, address, 8);
    uint64_t length = code != NULL ? MIN(image->span - (address - image->base), 40) : 0;
    const uint8_t *end = code + length;

    if (code == NULL) {
        return false;
    }
    (void)take(&code, end, "\xf3\x0f\x1e\xfa", 4); /* endbr64 */
    if (take(&code, end, "\x50\x58\xc3", 3)) {     /* push %rax; pop %rax; ret */
        return true;
    }
    if (!take(&code, end, "\x48\x83\xec\x08", 4)) { /* sub $8, %rsp */
        return false;
    }
    if (take(&code, end, "\x48\x8b\x05", 3)) { /* mov __gmon_start__@GOT(%rip), %rax */
        code += MIN(4, end - code);
        bool is_call =
            take(&code, end, "\x48\x85\xc0\x74\x02\xff\xd0", 7); /* test; je; call *%rax */
        if (!is_call &&
            take(&code, end, "\x48\x85\xc0\x74\x05\xe8", 6)) { /* test; je; call rel32 */
            code += MIN(4, end - code);
            is_call = true;
        }
        if (!is_call) {
            return false;
        }
    }
    return take(&code, end, "\x48\x83\xc4\x08\xc3", 5); /* add $8, %rsp; ret */
}

static bool
check_startup(const ElfImage *image, bool sanitized, GError **error)
{
    const ElfDynamic *dynamic = &image->dynamic;
    uint64_t allowed = dynamic->has_init ? sizeof(uint64_t) : 0;

    if (dynamic->has_init && !is_runtime_stub(image, dynamic->init)) {
        return refuse(image, error,
                      "runs code when it is loaded (DT_INIT is not the C run-time's): do that in "
                      "create()");
    }
    if (dynamic->has_fini && !is_runtime_stub(image, dynamic->fini)) {
        return refuse(image, error,
                      "runs code when it is unloaded (DT_FINI is not the C run-time's): do that in "
                      "destroy()");
    }
    if (dynamic->preinit_array_size > 0 || (!sanitized && dynamic->init_array_size > allowed)) {
        return refuse(image, error,
                      "has constructors, which would run when it is loaded: do their work in "
                      "create()");
    }
    if (!sanitized && dynamic->fini_array_size > allowed) {
        return refuse(image, error,
                      "has destructors, which would run when it is unloaded: do their work in "
                      "destroy()");
    }
    if (elf_image_has_irelative(image)) {
        return refuse(image, error,
                      "has indirect functions (IRELATIVE), whose resolvers would run when it is "
                      "loaded");
    }
    return true;
}

static bool
check_defined(const ElfImage *image, const Elf64_Sym *symbol, const char *name, GError **error)
{
    if (ELF64_ST_BIND(symbol->st_info) == STB_GNU_UNIQUE) {
        return refuse(image, error,
                      "cannot be unloaded: '%s' is a unique symbol; compile C++ with "
                      "-fno-gnu-unique",
                      name);
    }
    if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC) {
        return refuse(image, error,
                      "has the indirect function '%s', whose resolver would run when it is loaded",
                      name);
    }
    return true;
}

static bool
check_import(const ElfImage *image, uint32_t index, const char *name, bool upgradable,
             GError **error)
{
    if (upgradable && is_listed(name, forbidden_imports)) {
        return refuse(image, error,
                      "promises live upgrade, but imports '%s', whose effect outlives a plugin",
                      name);
    }
    if (elf_image_symbol_version(image, index) > 1 || is_sanitizer(name) ||
        library_symbols_provide(image, name)) {
        return true;
    }
    return refuse(image, error,
                  "needs the symbol '%s', which no library it is linked with has (the core exports "
                  "none: its services come from host->query)",
                  name);
}

static bool
check_symbols(const ElfImage *image, bool upgradable, bool *sanitized, GError **error)
{
    Elf64_Sym symbol;
    const char *name;

    for (uint32_t i = 1; elf_image_symbol(image, i, &symbol, &name); i++) {
        bool is_good = true;
        if (symbol.st_shndx != SHN_UNDEF) {
            is_good = check_defined(image, &symbol, name, error);
        } else if (ELF64_ST_BIND(symbol.st_info) != STB_WEAK) {
            *sanitized = *sanitized || is_sanitizer(name);
            is_good = check_import(image, i, name, upgradable, error);
        }
        if (!is_good) {
            return false;
        }
    }
    return true;
}

bool
link_check(const ElfImage *image, bool upgradable, GError **error)
{
    bool sanitized = false;

    return check_headers(image, error) && check_flags(image, error) &&
           check_symbols(image, upgradable, &sanitized, error) &&
           check_startup(image, sanitized, error);
}
