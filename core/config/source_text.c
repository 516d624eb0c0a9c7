/* SPDX-License-Identifier: Apache-2.0 */
/* A scanner for the lexical level of libconfig's language: comments, strings, numbers, includes.
 * What it does not know it copies; libconfig judges it. */
#include "config/source_text.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

typedef struct FileFrame FileFrame;

/* The files being included within each other: one frame each, on the stack. */
struct FileFrame {
    const FileFrame *parent;
    dev_t device;
    ino_t inode;
    bool is_file;
    unsigned depth;
};

typedef struct {
    SourceText *source;
    ErrorList *errors;
    const FileFrame *frame;
    const char *file; /* interned */
    unsigned line;
    const char *at; /* zero-terminated text */
    unsigned nesting;
    bool failed;
} Scanner;

static bool read_file(SourceText *source, const char *path, const FileFrame *parent,
                      SourcePlace named_at, ErrorList *errors);

static void
fail(Scanner *scanner, unsigned line, const char *text)
{
    error_list_add(scanner->errors, scanner->file, line, NULL, "%s", text);
    scanner->failed = true;
}

static void
emit(Scanner *scanner, size_t count)
{
    GString *text = scanner->source->text;

    for (; count > 0; count--) {
        char c = *scanner->at++;
        g_string_append_c(text, c);
        if (c == '\n') {
            scanner->line++;
            SourcePlace place = {scanner->file, scanner->line};
            g_array_append_val(scanner->source->lines, place);
        }
    }
}

static void
scan_line_comment(Scanner *scanner)
{
    scanner->at += strcspn(scanner->at, "\n");
}

static void
scan_block_comment(Scanner *scanner)
{
    const char *end = strstr(scanner->at + 2, "*/");

    if (end == NULL) {
        fail(scanner, scanner->line, "this comment does not end: \"*/\" is missing");
        return;
    }
    emit(scanner, (size_t)(end + 2 - scanner->at));
}

static void
scan_string(Scanner *scanner)
{
    const char *end = scanner->at + 1;

    while (*end != '\0' && *end != '"') {
        if (end[0] == '\\' && end[1] == 'x' && end[2] == '0' && end[3] == '0') {
            fail(scanner, scanner->line, "a text cannot contain a zero byte");
            return;
        }
        end += end[0] == '\\' && end[1] != '\0' ? 2 : 1;
    }
    if (*end == '\0') {
        fail(scanner, scanner->line, "this text does not end: '\"' is missing");
        return;
    }
    emit(scanner, (size_t)(end + 1 - scanner->at));
}

static bool
is_name_byte(char c)
{
    return g_ascii_isalnum(c) || c == '-' || c == '_' || c == '*';
}

/* Numbers become 64 bits wide: libconfig 1.5 drops the upper half of those that lack their "L". */
static void
scan_number(Scanner *scanner)
{
    const char *start = scanner->at;
    const char *digits = start + (*start == '-' || *start == '+');
    bool is_hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    /* Not where strtoll() ends: of "+.5" it takes nothing, not even the sign. */
    char after = digits[strspn(digits, "0123456789")];
    char *end = NULL;

    if (is_hex && !g_ascii_isxdigit(digits[2])) {
        emit(scanner, 1);
        return;
    }
    errno = 0;
    gint64 value = g_ascii_strtoll(start, &end, is_hex ? 16 : 10);
    int status = errno;
    if (!is_hex && (after == '.' || after == 'e' || after == 'E')) {
        double real = g_ascii_strtod(start, &end);
        if (real > G_MAXDOUBLE || real < -G_MAXDOUBLE) {
            fail(scanner, scanner->line, "this number is too large");
            return;
        }
        emit(scanner, MAX((size_t)(end - scanner->at), 1));
        return;
    }
    if (status == ERANGE) {
        g_autofree char *text =
            g_strdup_printf("this number is too %s: 64 bits with a sign hold "
                            "%" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                            value < 0 ? "small" : "large", G_MININT64, G_MAXINT64);
        fail(scanner, scanner->line, text);
        return;
    }
    emit(scanner, (size_t)(end - scanner->at));
    if (*end != 'L') {
        g_string_append_c(scanner->source->text, 'L');
    }
    while (*scanner->at == 'L' || is_name_byte(*scanner->at)) {
        emit(scanner, 1);
    }
}

static bool
is_first_on_line(const Scanner *scanner, const char *start)
{
    for (const char *p = scanner->at; p > start && p[-1] != '\n'; p--) {
        if (p[-1] != ' ' && p[-1] != '\t') {
            return false;
        }
    }
    return true;
}

static char *
include_path(const Scanner *scanner, const char *name)
{
    if (g_path_is_absolute(name) || strchr(scanner->file, '/') == NULL) {
        return g_strdup(name);
    }
    g_autofree char *directory = g_path_get_dirname(scanner->file);
    return g_build_filename(directory, name, NULL);
}

static void
scan_include(Scanner *scanner, const char *start)
{
    static const char directive[] = "@include";
    const char *name = scanner->at;
    const char *end = NULL;

    if (is_first_on_line(scanner, start) && g_str_has_prefix(name, directive)) {
        name += strlen(directive);
        name += strspn(name, " \t");
        end = *name == '"' ? name + 1 + strcspn(name + 1, "\"\n") : NULL;
    }
    if (end == NULL || *end != '"') {
        fail(scanner, scanner->line, "'@' only begins a line of the form: @include \"file\"");
        return;
    }
    if (!scanner->frame->is_file) {
        fail(scanner, scanner->line, "@include works in files only");
        return;
    }
    g_autofree char *text = g_strndup(name + 1, (size_t)(end - name - 1));
    g_autofree char *path = include_path(scanner, text);
    SourcePlace here = {scanner->file, scanner->line};
    GArray *lines = scanner->source->lines;

    g_array_set_size(lines, lines->len - 1); /* the included file's first line takes this place */
    if (!read_file(scanner->source, path, scanner->frame, here, scanner->errors)) {
        scanner->failed = true;
        g_array_append_val(lines, here);
    } else {
        g_string_append_c(scanner->source->text, '\n');
        g_array_append_val(lines, here);
    }
    scanner->at = end + 1;
}

static void
scan_bracket(Scanner *scanner)
{
    if (strchr("{([", *scanner->at) != NULL) {
        scanner->nesting++;
        if (scanner->nesting > SOURCE_NESTING_MAX) {
            fail(scanner, scanner->line, "groups and lists are nested too deeply");
            return;
        }
    } else if (scanner->nesting > 0) {
        scanner->nesting--;
    }
    emit(scanner, 1);
}

static bool
starts_number(const char *at)
{
    at += *at == '-' || *at == '+';
    return g_ascii_isdigit(*at) || (*at == '.' && g_ascii_isdigit(at[1]));
}

static void
scan_token(Scanner *scanner, const char *start)
{
    const char *at = scanner->at;

    if (at[0] == '#' || (at[0] == '/' && at[1] == '/')) {
        scan_line_comment(scanner);
    } else if (at[0] == '/' && at[1] == '*') {
        scan_block_comment(scanner);
    } else if (*at == '"') {
        scan_string(scanner);
    } else if (*at == '@') {
        scan_include(scanner, start);
    } else if (strchr("{([])}", *at) != NULL) {
        scan_bracket(scanner);
    } else if (starts_number(at)) {
        scan_number(scanner);
    } else if (is_name_byte(*at)) {
        size_t length = 1;
        while (is_name_byte(at[length])) {
            length++;
        }
        emit(scanner, length);
    } else {
        emit(scanner, 1);
    }
}

static bool
scan_text(SourceText *source, const char *text, const char *file, const FileFrame *frame,
          ErrorList *errors)
{
    Scanner scanner = {
        .source = source,
        .errors = errors,
        .frame = frame,
        .file = g_intern_string(file),
        .line = 1,
        .at = text,
    };
    SourcePlace place = {scanner.file, 1};

    g_array_append_val(source->lines, place);
    while (*scanner.at != '\0' && !scanner.failed) {
        scan_token(&scanner, text);
    }
    return !scanner.failed;
}

static const char *
load(int fd, char **text, gsize *length)
{
    g_autofree char *buffer = g_malloc(SOURCE_FILE_MAX + 1);
    size_t filled = 0;

    for (;;) {
        ssize_t got = read(fd, buffer + filled, SOURCE_FILE_MAX + 1 - filled);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return g_strerror(errno);
        }
        if (got == 0) {
            break;
        }
        filled += (size_t)got;
        if (filled > SOURCE_FILE_MAX) {
            return "larger than 1 MiB: this is no machine description";
        }
    }
    g_free(*text);
    *text = g_strndup(buffer, filled);
    *length = filled;
    return NULL;
}

static const char *
find_cycle(const FileFrame *frame, const struct stat *st)
{
    if (frame != NULL && frame->depth >= SOURCE_DEPTH_MAX) {
        return "files include each other more than 16 levels deep";
    }
    for (; frame != NULL; frame = frame->parent) {
        if (frame->device == st->st_dev && frame->inode == st->st_ino) {
            return "the file includes itself, directly or by way of others";
        }
    }
    return NULL;
}

/* Few files that include each other often, or are large, must not fill the memory. */
static const char *
count_file(SourceText *source, gsize length)
{
    source->bytes += length;
    source->files++;
    if (source->bytes > SOURCE_TOTAL_MAX) {
        return "the description is larger than 4 MiB with its includes";
    }
    return source->files > SOURCE_FILES_MAX ? "the description includes more than 256 files" : NULL;
}

static unsigned
line_of(const char *text, const char *at)
{
    unsigned line = 1;

    for (; text < at; text++) {
        line += *text == '\n';
    }
    return line;
}

static bool
read_file(SourceText *source, const char *path, const FileFrame *parent, SourcePlace named_at,
          ErrorList *errors)
{
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    g_autofree char *text = g_strdup("");
    gsize length = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        error_list_add(errors, named_at.file, named_at.line, NULL, "cannot open \"%s\": %s", path,
                       g_strerror(errno));
        return false;
    }
    const char *problem = find_cycle(parent, &st);
    problem = problem != NULL ? problem : load(fd, &text, &length);
    problem = problem != NULL ? problem : count_file(source, length);
    if (problem != NULL) {
        error_list_add(errors, named_at.file, named_at.line, NULL, "cannot read \"%s\": %s", path,
                       problem);
        return false;
    }
    const char *bad = text;
    if (!g_utf8_validate(text, (gssize)length, &bad)) {
        error_list_add(errors, path, line_of(text, bad), NULL, "this is not UTF-8 text: byte %02Xh",
                       (unsigned)(unsigned char)*bad);
        return false;
    }
    FileFrame frame = {parent, st.st_dev, st.st_ino, true, parent != NULL ? parent->depth + 1 : 1};
    return scan_text(source, text, path, &frame, errors);
}

static void
source_text_init(SourceText *source)
{
    source->text = g_string_new(NULL);
    source->lines = g_array_new(FALSE, FALSE, sizeof(SourcePlace));
}

bool
source_text_read(SourceText *source, const char *path, ErrorList *errors)
{
    SourcePlace nowhere = {NULL, 0};

    source_text_init(source);
    return read_file(source, path, NULL, nowhere, errors);
}

bool
source_text_from_string(SourceText *source, const char *text, const char *file, ErrorList *errors)
{
    FileFrame frame = {NULL, 0, 0, false, 1};

    source_text_init(source);
    return scan_text(source, text, file, &frame, errors);
}

void
source_text_done(SourceText *source)
{
    if (source->text != NULL) {
        g_string_free(source->text, TRUE);
        g_array_unref(source->lines);
    }
}

SourcePlace
source_text_place(const SourceText *source, unsigned line)
{
    SourcePlace nowhere = {NULL, 0};
    guint count = source->lines->len;

    if (count == 0 || line == 0) {
        return nowhere;
    }
    return g_array_index(source->lines, SourcePlace, MIN(line, count) - 1);
}
