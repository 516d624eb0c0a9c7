/* SPDX-License-Identifier: Apache-2.0 */
/* The program's own standard input and output. */
#ifndef CHAR_STDIO_TERMINAL_H
#define CHAR_STDIO_TERMINAL_H

#include <stdint.h>
#include <termios.h>

struct terminal {
    int in;            /* standard input; not ours to close; -1: none */
    int out;           /* ours; -1: none */
    int claim;         /* socket that says that the process's stdio is taken */
    uint32_t in_tty;   /* input is a terminal */
    uint32_t in_polls; /* readiness can be waited for; else it is a file and always ready */
    uint32_t out_polls;
    uint32_t out_shared; /* out may block: ask before each byte */
    uint32_t raw;
    struct termios before;
};

/* Takes hold of standard input and output, changes nothing. 0; -EBUSY: the process has a terminal
 * of this kind already; another negative errno. */
int32_t terminal_open(struct terminal *terminal);
/* Restores and closes. */
void terminal_close(struct terminal *terminal);
/* Every key to us at once, no echo. signals: Ctrl-C, Ctrl-\, Ctrl-Z keep their meaning for the
 * process. Nothing happens when input is no terminal or we are in the background. */
void terminal_set_raw(struct terminal *terminal, uint32_t signals);
void terminal_restore(struct terminal *terminal);
/* Whether reading is ours: a background process would be stopped by it. */
uint32_t terminal_is_ours(const struct terminal *terminal);
/* Reads what is there. Returns bytes; 0: end of input; -EAGAIN; -EIO: the terminal is gone. */
int32_t terminal_read(struct terminal *terminal, uint8_t *data, uint32_t length);
/* Writes what goes without waiting. Returns bytes, or a negative errno when nothing ever goes
 * again. */
int32_t terminal_write(struct terminal *terminal, const uint8_t *data, uint32_t length);

#endif
