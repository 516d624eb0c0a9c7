/* SPDX-License-Identifier: Apache-2.0 */
/* What the host reads: lines on the debug console, port 402h. */
#include "guest.h"

#define PORT_CONSOLE 0x402

void
say(const char *text)
{
    while (*text != '\0') {
        outb(PORT_CONSOLE, (uint8_t)*text++);
    }
}

void
say_number(uint64_t value)
{
    char digits[21];
    char *at = digits + sizeof(digits) - 1;

    *at = '\0';
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    say(at);
}

void
fail(const char *text)
{
    say("fail ");
    say(text);
    say("\n");
    for (;;) {
        relax();
    }
}

void
say_start(const char *name)
{
    say("start ");
    say(name);
    say("\n");
}

void
say_end(void)
{
    say("end\n");
}

/* The same walk on every machine: a full-period step through the blocks, odd so that it visits all
 * of a power of two. */
uint64_t
case_block(const Case *c, uint64_t i, uint64_t blocks)
{
    return (c->random ? i * 0x9e3779b1u + 12345 : i) % blocks;
}
