/* SPDX-License-Identifier: Apache-2.0 */
#include "control/test_commands.h"

#include "loop/loop.h"

#include <string.h>

#define LENGTH_MAX (UINT64_C(64) << 20) /* bytes one request may read or write */
#define WORDS_MAX  8
#define SETTLE_MAX 10000 /* main loop rounds after a timer; more, and something spins */

struct TestCommands {
    Machine *machine;
    GString *out;
    bool intercepting;
};

/* argument counts exclude the command's own word */
typedef struct {
    const char *name;
    unsigned min_words, max_words;
    void (*run)(TestCommands *commands, char **words, unsigned count);
} TestCommand;

static void
reply(TestCommands *commands, const char *text)
{
    g_string_append(commands->out, text);
    g_string_append_c(commands->out, '\n');
}

/* Numbers as C writes them: 0x1f, 017, 31. */
static bool
number(TestCommands *commands, const char *word, uint64_t *value)
{
    char *end = NULL;

    *value = g_ascii_strtoull(word, &end, 0);
    if (end == word || *end != '\0') {
        g_string_append_printf(commands->out, "ERR \"%s\" is no number\n", word);
        return false;
    }
    return true;
}

static bool
range(TestCommands *commands, char **words, uint64_t *address, uint64_t *length)
{
    if (!number(commands, words[0], address) || !number(commands, words[1], length)) {
        return false;
    }
    if (*length > LENGTH_MAX) {
        g_string_append_printf(commands->out, "ERR a length of at most %" G_GUINT64_FORMAT "\n",
                               LENGTH_MAX);
        return false;
    }
    return true;
}

static unsigned
width_of(char suffix)
{
    switch (suffix) {
    case 'b':
        return 1;
    case 'w':
        return 2;
    case 'l':
        return 4;
    default:
        return 8;
    }
}

static void
run_endianness(TestCommands *commands, char **words, unsigned count)
{
    reply(commands, "OK little");
}

static void
run_out(TestCommands *commands, char **words, unsigned count)
{
    uint64_t port, value;

    if (number(commands, words[1], &port) && number(commands, words[2], &value)) {
        address_space_write(machine_bus(commands->machine)->pio, port & 0xffff,
                            width_of(words[0][3]), value);
        reply(commands, "OK");
    }
}

static void
run_in(TestCommands *commands, char **words, unsigned count)
{
    uint64_t port;

    if (number(commands, words[1], &port)) {
        uint64_t value = address_space_read(machine_bus(commands->machine)->pio, port & 0xffff,
                                            width_of(words[0][2]));
        g_string_append_printf(commands->out, "OK 0x%04" G_GINT64_MODIFIER "x\n", value);
    }
}

static void
run_write_value(TestCommands *commands, char **words, unsigned count)
{
    uint64_t address, value;

    if (number(commands, words[1], &address) && number(commands, words[2], &value)) {
        value = GUINT64_TO_LE(value);
        physical_write(machine_bus(commands->machine), address, &value, width_of(words[0][5]));
        reply(commands, "OK");
    }
}

static void
run_read_value(TestCommands *commands, char **words, unsigned count)
{
    uint64_t address, value = 0;

    if (number(commands, words[1], &address)) {
        physical_read(machine_bus(commands->machine), address, &value, width_of(words[0][4]));
        g_string_append_printf(commands->out, "OK 0x%016" G_GINT64_MODIFIER "x\n",
                               GUINT64_FROM_LE(value));
    }
}

static void
run_read(TestCommands *commands, char **words, unsigned count)
{
    static const char digits[] = "0123456789abcdef";
    g_autofree uint8_t *data = NULL;
    uint64_t address, length, i;

    if (!range(commands, words + 1, &address, &length)) {
        return;
    }
    data = g_malloc(length + 1); /* never NULL */
    physical_read(machine_bus(commands->machine), address, data, length);
    g_string_append(commands->out, "OK 0x");
    for (i = 0; i < length; i++) {
        g_string_append_c(commands->out, digits[data[i] >> 4]);
        g_string_append_c(commands->out, digits[data[i] & 15]);
    }
    g_string_append_c(commands->out, '\n');
}

/* Hex bytes after "0x"; bytes the text lacks are zero, what exceeds length is not read. */
static void
run_write(TestCommands *commands, char **words, unsigned count)
{
    g_autofree uint8_t *data = NULL;
    uint64_t address, length, i, given;

    if (!range(commands, words + 1, &address, &length)) {
        return;
    }
    if (strncmp(words[3], "0x", 2) != 0) {
        reply(commands, "ERR the data must be 0x and hexadecimal bytes");
        return;
    }
    data = g_malloc0(length + 1);
    given = MIN(strlen(words[3] + 2) / 2, length);
    for (i = 0; i < given; i++) {
        int high = g_ascii_xdigit_value(words[3][2 + 2 * i]);
        int low = g_ascii_xdigit_value(words[3][3 + 2 * i]);
        if (high < 0 || low < 0) {
            reply(commands, "ERR the data must be 0x and hexadecimal bytes");
            return;
        }
        data[i] = (uint8_t)(high << 4 | low);
    }
    physical_write(machine_bus(commands->machine), address, data, length);
    reply(commands, "OK");
}

static void
run_memset(TestCommands *commands, char **words, unsigned count)
{
    g_autofree uint8_t *data = NULL;
    uint64_t address, length, value;

    if (!range(commands, words + 1, &address, &length) || !number(commands, words[3], &value)) {
        return;
    }
    data = g_malloc(length + 1); /* never NULL */
    memset(data, (int)(value & 0xff), length);
    physical_write(machine_bus(commands->machine), address, data, length);
    reply(commands, "OK");
}

static void
run_b64read(TestCommands *commands, char **words, unsigned count)
{
    g_autofree uint8_t *data = NULL;
    g_autofree char *text = NULL;
    uint64_t address, length;

    if (!range(commands, words + 1, &address, &length)) {
        return;
    }
    data = g_malloc(length + 1); /* never NULL */
    physical_read(machine_bus(commands->machine), address, data, length);
    text = g_base64_encode(data, length);
    g_string_append_printf(commands->out, "OK %s\n", text);
}

static void
run_b64write(TestCommands *commands, char **words, unsigned count)
{
    g_autofree uint8_t *data = NULL;
    uint64_t address, length;
    gsize decoded;

    if (!range(commands, words + 1, &address, &length)) {
        return;
    }
    data = g_base64_decode(words[3], &decoded);
    physical_write(machine_bus(commands->machine), address, data, MIN(decoded, length));
    reply(commands, "OK");
}

static uint64_t
next_deadline(TestCommands *commands)
{
    GPtrArray *loops = machine_loops(commands->machine);
    uint64_t earliest = UINT64_MAX;
    unsigned i;

    for (i = 0; i < loops->len; i++) {
        earliest = MIN(earliest, loop_next_virtual_deadline(loops->pdata[i]));
    }
    return earliest;
}

/* Moves the clock to target; each timer on the way fires at its own deadline, and what it set in
 * motion (deferred calls, completions at hand) is done before the next one. */
static void
advance(TestCommands *commands, uint64_t target)
{
    GPtrArray *loops = machine_loops(commands->machine);
    VirtualClock *clock = machine_clock(commands->machine);
    uint64_t deadline;
    unsigned i, rounds;

    while ((deadline = next_deadline(commands)) <= target) {
        virtual_clock_set(clock, MAX(deadline, virtual_clock_now(clock)));
        for (i = 0; i < loops->len; i++) {
            loop_run_virtual_timers(loops->pdata[i]);
        }
        for (rounds = 0; rounds < SETTLE_MAX; rounds++) {
            if (!g_main_context_iteration(machine_context(commands->machine), FALSE)) {
                break;
            }
        }
    }
    virtual_clock_set(clock, MAX(target, virtual_clock_now(clock)));
}

static void
reply_now(TestCommands *commands)
{
    g_string_append_printf(commands->out, "OK %" G_GUINT64_FORMAT "\n",
                           virtual_clock_now(machine_clock(commands->machine)));
}

static void
run_clock_step(TestCommands *commands, char **words, unsigned count)
{
    uint64_t now = virtual_clock_now(machine_clock(commands->machine));
    uint64_t step;

    if (count == 1) {
        uint64_t deadline = next_deadline(commands);
        if (deadline != UINT64_MAX) {
            advance(commands, deadline);
        }
        reply_now(commands);
    } else if (number(commands, words[1], &step)) {
        if (step > (uint64_t)INT64_MAX - now) {
            reply(commands, "ERR the clock ends at 2^63 ns");
            return;
        }
        advance(commands, now + step);
        reply_now(commands);
    }
}

static void
run_clock_set(TestCommands *commands, char **words, unsigned count)
{
    uint64_t target;

    if (!number(commands, words[1], &target)) {
        return;
    }
    if (target > (uint64_t)INT64_MAX) {
        reply(commands, "ERR the clock ends at 2^63 ns");
        return;
    }
    advance(commands, target);
    reply_now(commands);
}

static void
observe(void *opaque, unsigned gsi, bool level)
{
    TestCommands *commands = opaque;

    g_string_append_printf(commands->out, "IRQ %s %u\n", level ? "raise" : "lower", gsi);
}

static const IrqSink observer = {.set = observe};

static void
run_irq_intercept_in(TestCommands *commands, char **words, unsigned count)
{
    if (strcmp(words[1], "ioapic") != 0) {
        reply(commands, "ERR only \"ioapic\" has inputs to watch");
        return;
    }
    irq_lines_set_observer(machine_irqs(commands->machine), &observer, commands);
    commands->intercepting = true;
    reply(commands, "OK");
}

static const TestCommand test_commands[] = {
    {"inb", 1, 1, run_in},
    {"inw", 1, 1, run_in},
    {"inl", 1, 1, run_in},
    {"outb", 2, 2, run_out},
    {"outw", 2, 2, run_out},
    {"outl", 2, 2, run_out},
    {"readb", 1, 1, run_read_value},
    {"readw", 1, 1, run_read_value},
    {"readl", 1, 1, run_read_value},
    {"readq", 1, 1, run_read_value},
    {"writeb", 2, 2, run_write_value},
    {"writew", 2, 2, run_write_value},
    {"writel", 2, 2, run_write_value},
    {"writeq", 2, 2, run_write_value},
    {"read", 2, 2, run_read},
    {"write", 3, 3, run_write},
    {"memset", 3, 3, run_memset},
    {"b64read", 2, 2, run_b64read},
    {"b64write", 3, 3, run_b64write},
    {"clock_step", 0, 1, run_clock_step},
    {"clock_set", 1, 1, run_clock_set},
    {"irq_intercept_in", 1, 1, run_irq_intercept_in},
    {"endianness", 0, 0, run_endianness},
};

/* Splits in place; returns the number of words, at most WORDS_MAX. */
static unsigned
split(char *line, char **words)
{
    unsigned count = 0;

    while (count < WORDS_MAX) {
        line += strspn(line, " \t\r");
        if (*line == '\0') {
            break;
        }
        words[count++] = line;
        line += strcspn(line, " \t\r");
        if (*line != '\0') {
            *line++ = '\0';
        }
    }
    return count;
}

TestCommands *
test_commands_new(Machine *machine, GString *out)
{
    TestCommands *commands = g_new0(TestCommands, 1);

    commands->machine = machine;
    commands->out = out;
    return commands;
}

void
test_commands_free(TestCommands *commands)
{
    if (commands == NULL) {
        return;
    }
    if (commands->intercepting) {
        irq_lines_set_observer(machine_irqs(commands->machine), NULL, NULL);
    }
    g_free(commands);
}

void
test_commands_run(TestCommands *commands, char *line)
{
    char *words[WORDS_MAX];
    unsigned count = split(line, words);
    size_t i;

    if (count == 0) {
        reply(commands, "ERR an empty request");
        return;
    }
    for (i = 0; i < G_N_ELEMENTS(test_commands); i++) {
        const TestCommand *command = &test_commands[i];
        if (strcmp(command->name, words[0]) != 0) {
            continue;
        }
        if (count - 1 < command->min_words || count - 1 > command->max_words) {
            g_string_append_printf(commands->out, "ERR %s takes %u to %u arguments\n",
                                   command->name, command->min_words, command->max_words);
            return;
        }
        command->run(commands, words, count);
        return;
    }
    g_string_append_printf(commands->out, "ERR no request \"%.32s\"\n", words[0]);
}
