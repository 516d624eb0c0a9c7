/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to stderr. A message is formatted on the stack and written by one write(2), so lines of
 * several threads do not mix and logging allocates nothing. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CUT_MARK_DOTS      3
#define LINE_BYTES         1024
#define SPEC_BYTES         512
#define LIMIT_MESSAGES     10
#define LIMIT_INTERVAL_NS  (INT64_C(5) * 1000 * 1000 * 1000)
#define NS_PER_US          1000
#define CONTROL_CHARACTERS 0x20
#define DELETE_CHARACTER   0x7f

typedef struct {
    LogLevel threshold;
    char topics[SPEC_BYTES]; /* ",kvm,pci," : each topic between commas; "" for none */
} LogSettings;

/* The one process-wide state of the core: stderr is process-wide, too. Written by log_configure()
 * before there is a second thread, read-only from then on. */
static LogSettings *
log_settings(void)
{
    static LogSettings settings = {.threshold = LOG_INFO};
    return &settings;
}

static const char *
level_name(LogLevel level)
{
    switch (level) {
    case LOG_ERROR:
        return "error";
    case LOG_WARN:
        return "warning";
    case LOG_INFO:
        return "info";
    case LOG_DEBUG:
        break;
    }
    return "debug";
}

void
log_configure(LogLevel threshold, const char *spec)
{
    LogSettings *settings = log_settings();
    settings->threshold = threshold;
    settings->topics[0] = '\0';
    if (spec && spec[0]) {
        (void)snprintf(settings->topics, sizeof settings->topics, ",%s,", spec);
    }
}

static bool
topic_is_listed(const char *topics, const char *topic)
{
    size_t length = strlen(topic);
    for (const char *at = topics; *at == ',' && at[1]; at = strchr(at + 1, ',')) {
        const char *name = at + 1;
        size_t name_length = strcspn(name, ",");
        bool all = name_length == 3 && memcmp(name, "all", 3) == 0;
        if (all || (name_length == length && memcmp(name, topic, length) == 0)) {
            return true;
        }
    }
    return false;
}

bool
log_enabled(LogLevel level, const char *topic)
{
    const LogSettings *settings = log_settings();
    if (level <= settings->threshold) {
        return true;
    }
    return level == LOG_DEBUG && settings->topics[0] && topic_is_listed(settings->topics, topic);
}

/* A guest or a file may have put control characters into a name: they must not reach a terminal. */
static void
replace_control_characters(char *text)
{
    for (char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < CONTROL_CHARACTERS || byte == DELETE_CHARACTER) {
            *c = '?';
        }
    }
}

static void
write_all(const char *text, size_t length)
{
    while (length > 0) {
        ssize_t done = write(STDERR_FILENO, text, length);
        if (done <= 0) {
            return; /* nobody listens: there is nothing better to do */
        }
        text += done;
        length -= (size_t)done;
    }
}

static void G_GNUC_PRINTF(3, 0)
    write_line(LogLevel level, const char *topic, const char *format, va_list args)
{
    char line[LINE_BYTES];
    int used = snprintf(line, sizeof line, "backplane: %s: %s%s", level_name(level),
                        topic ? topic : "", topic && topic[0] ? ": " : "");
    size_t start = CLAMP(used, 0, (int)sizeof line - 1);
    (void)vsnprintf(line + start, sizeof line - start, format, args);
    replace_control_characters(line);
    size_t length = strlen(line);
    if (length == sizeof line - 1) {
        memset(line + length - CUT_MARK_DOTS, '.', CUT_MARK_DOTS);
    }
    line[length] = '\n'; /* takes the place of the NUL */
    write_all(line, length + 1);
}

void
log_write(LogLevel level, const char *topic, const char *format, ...)
{
    if (!log_enabled(level, topic ? topic : "")) {
        return;
    }
    va_list args;
    va_start(args, format);
    write_line(level, topic, format, args);
    va_end(args);
}

/* True if this message may pass; *dropped is what the window before has swallowed, told once. Two
 * threads at a window's edge may count a message to either window: harmless. */
static bool
limit_admit(LogLimit *limit, int64_t now_ns, uint32_t *dropped)
{
    int64_t start = __atomic_load_n(&limit->window_start_ns, __ATOMIC_RELAXED);
    *dropped = 0;
    if (start == 0 || now_ns - start >= LIMIT_INTERVAL_NS) {
        if (__atomic_compare_exchange_n(&limit->window_start_ns, &start, now_ns, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            *dropped = __atomic_exchange_n(&limit->dropped, 0, __ATOMIC_RELAXED);
            __atomic_store_n(&limit->count, 0, __ATOMIC_RELAXED);
        }
    }
    if (__atomic_fetch_add(&limit->count, 1, __ATOMIC_RELAXED) < LIMIT_MESSAGES) {
        return true;
    }
    __atomic_fetch_sub(&limit->count, 1, __ATOMIC_RELAXED); /* never wraps */
    __atomic_fetch_add(&limit->dropped, 1, __ATOMIC_RELAXED);
    return false;
}

void
log_write_limited(LogLimit *limit, LogLevel level, const char *topic, const char *format, ...)
{
    if (!log_enabled(level, topic ? topic : "")) {
        return;
    }
    uint32_t dropped = 0;
    if (!limit_admit(limit, g_get_monotonic_time() * NS_PER_US, &dropped)) {
        return;
    }
    if (dropped > 0) {
        log_write(level, topic, "%u similar messages were dropped", dropped);
    }
    va_list args;
    va_start(args, format);
    write_line(level, topic, format, args);
    va_end(args);
}
