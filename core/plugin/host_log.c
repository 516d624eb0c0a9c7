/* SPDX-License-Identifier: Apache-2.0 */
/* bp.log/1. */
#include "plugin/instance.h"

static void
log_host_write(Instance *instance, uint32_t level, const char *text, uint64_t length)
{
    g_autofree char *line = NULL;
    char *c;

    if (level > BP_LOG_DEBUG || text == NULL || !log_enabled((LogLevel)level, instance->id)) {
        return;
    }
    line = g_strndup(text, MIN(length, 1024));
    for (c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    if (level <= BP_LOG_WARN) {
        log_write_limited(&instance->log_limit, (LogLevel)level, instance->id, "%s", line);
    } else {
        log_write((LogLevel)level, instance->id, "%s", line);
    }
}

static int32_t
log_host_enabled(Instance *instance, uint32_t level)
{
    return level <= BP_LOG_DEBUG && log_enabled((LogLevel)level, instance->id);
}

static void
log_host_error(Instance *instance, int32_t code, const struct bp_node *node, const char *text)
{
    (void)code;
    if (instance->failure == NULL && text != NULL) {
        instance->failure = g_strdup(text);
        instance->failure_node = node;
    }
}

const struct bp_log_host host_log = {
    .size = sizeof(host_log),
    .write = log_host_write,
    .enabled = log_host_enabled,
    .error = log_host_error,
};
