/* SPDX-License-Identifier: Apache-2.0 */
/* The test protocol's requests: one line in, one reply out. Register-level driving of a machine
 * that has no vCPU; virtual time moves only by clock_step and clock_set. */
#pragma once

#include "machine/machine.h"

#include <glib.h>

typedef struct TestCommands TestCommands;

/* out: where replies and IRQ lines are appended; must outlive it. */
TestCommands *test_commands_new(Machine *machine, GString *out);
void test_commands_free(TestCommands *commands);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestCommands, test_commands_free)

/* line: one request without its end; changed by the call. Appends "OK ...\n" or "ERR text\n". */
void test_commands_run(TestCommands *commands, char *line);
