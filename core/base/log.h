/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to stderr: "backplane: warning: serial com1: ..." . A function logs or returns an error,
 * never both. Nothing per guest access above LOG_DEBUG. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    LOG_ERROR, /* what the user asked for did not happen */
    LOG_WARN,  /* odd, went on; the text says "ignoring" */
    LOG_INFO,  /* a rare change of state */
    LOG_DEBUG, /* for developers; enabled by topic: -D TOPIC[,TOPIC...] */
} LogLevel;

/* topic: the instance id or the core component ("kvm", "pci"). [any] */
void log_write(LogLevel level, const char *topic, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* False when the message would be dropped; check before an expensive LOG_DEBUG. [any] */
bool log_enabled(LogLevel level, const char *topic);
/* spec: comma-separated topics, "all" for everything; may be called once, before any thread. */
void log_configure(LogLevel threshold, const char *spec);

/* A limiter for messages a guest can cause: `limit` messages per `interval_ns`, then silence, then
 * one line that says how many were dropped. Zero-initialised state is valid. [any] */
typedef struct {
    int64_t window_start_ns;
    uint32_t count;
    uint32_t dropped;
} LogLimit;
void log_write_limited(LogLimit *limit, LogLevel level, const char *topic, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

#define log_error(topic, ...) log_write(LOG_ERROR, (topic), __VA_ARGS__)
#define log_warn(topic, ...)  log_write(LOG_WARN, (topic), __VA_ARGS__)
#define log_info(topic, ...)  log_write(LOG_INFO, (topic), __VA_ARGS__)
#define log_debug(topic, ...)                                                                      \
    (log_enabled(LOG_DEBUG, (topic)) ? log_write(LOG_DEBUG, (topic), __VA_ARGS__) : (void)0)
