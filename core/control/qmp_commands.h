/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of QMP, by QEMU's names where the meaning is QEMU's. */
#pragma once

#include "machine/machine.h"

#include <glib.h>
#include <json-glib/json-glib.h>

/* One command being carried out. Some end later than they begin: a device comes to rest when its
 * requests end, and nobody waits for that. */
typedef struct QmpCall QmpCall;

struct QmpCall {
    Machine *machine;
    JsonObject *arguments;   /* never NULL; checked against the command's list */
    const char *error_class; /* "CommandNotFound", "GenericError" ...; NULL: success */
    char *error_text;
    JsonNode *value;  /* NULL stands for {} */
    bool is_deferred; /* it ends with qmp_call_finish() */
    bool is_running;  /* its function has not returned yet */
    bool is_finished;
    void (*done)(QmpCall *call, void *opaque); /* NULL: whoever asked has gone */
    void *opaque;
};

/* Carries out a command. arguments: an object, or NULL. done: called once, now or later; the call
 * is freed after it. Returns NULL if done has been called already. */
QmpCall *qmp_call_run(Machine *machine, const char *name, JsonObject *arguments,
                      void (*done)(QmpCall *call, void *opaque), void *opaque);
/* Nobody waits for it any more; it goes on. */
void qmp_call_abandon(QmpCall *call);

/* For the table of contents: name, help and list of arguments of the n-th command; NULL past the
 * end. arguments: "device:s? size:i": name, type (s text, b boolean, i integer, n number, o object,
 * x any),
 * '?' if it may be absent; '*': others as the plugin declares them. */
typedef struct {
    const char *name;
    const char *arguments;
    void (*run)(QmpCall *call);
    const char *help;
} QmpCommand;
const QmpCommand *qmp_command_at(unsigned index);
/* What greetings and query-version tell. */
JsonNode *qmp_version(void);
