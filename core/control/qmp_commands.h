/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of QMP, by QEMU's names where the meaning is QEMU's. */
#pragma once

#include "machine/machine.h"

#include <glib.h>
#include <json-glib/json-glib.h>

typedef struct {
    const char *error_class; /* "CommandNotFound", "GenericError"; NULL: success */
    char *error_text;        /* owned */
    JsonNode *value;         /* owned; NULL stands for {} */
} QmpResult;

void qmp_result_clear(QmpResult *result);
/* arguments: an object, or NULL. */
void qmp_commands_run(Machine *machine, const char *name, JsonObject *arguments, QmpResult *result);
