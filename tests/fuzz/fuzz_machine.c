/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer over the test protocol: each input is a list of port and memory accesses and clock steps
 * for a whole machine with its plugins. The machine is reset before each input.
 *
 * BACKPLANE_FUZZ_MACHINE names the description. Input: records of 10 bytes: operation, selector,
 * address (4), value (4); little endian. */
#include "base/log.h"
#include "control/test_commands.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_BYTES 10
#define RECORDS_MAX  512
#define STEP_MAX_NS  2000000u /* a step must not be a way to burn time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static MachinePlan *plan;
static Machine *machine;
static TestCommands *commands;
static GString *out;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *path = getenv("BACKPLANE_FUZZ_MACHINE");
    g_autoptr(ErrorList) errors = error_list_new();
    g_autoptr(GError) error = NULL;
    MachineArgs args = { .test = true };

    log_configure(LOG_ERROR, NULL);
    plan = path != NULL ? machine_plan_new(path, NULL, NULL, errors) : NULL;
    if (plan == NULL) {
        error_list_print(errors, stderr);
        abort();
    }
    machine = machine_new(plan, &args, &error);
    if (machine == NULL || !machine_start(machine, &error)) {
        (void)fprintf(stderr, "%s\n", error->message);
        abort();
    }
    out = g_string_new(NULL);
    commands = test_commands_new(machine, out);
    return 0;
}

static void
run(const char *format, ...) G_GNUC_PRINTF(1, 2);

static void
run(const char *format, ...)
{
    char line[128];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    test_commands_run(commands, line);
    g_string_truncate(out, 0);
}

/* Ports and addresses where a PC has something, and now and then anywhere. */
static uint32_t
pick_port(uint8_t selector, uint32_t address)
{
    static const uint16_t bases[] = {
        0x000, 0x020, 0x040, 0x060, 0x070, 0x080, 0x0a0, 0x0c0,  0x170,  0x1f0, 0x2f8,
        0x376, 0x3f0, 0x3f8, 0x402, 0x4d0, 0x510, 0x514, 0x0600, 0xafe0, 0xcf8, 0xcfc,
        0xcf9, 0xc000, 0x1f0, 0x1f0, 0x3f6, 0xcf8,
    };

    if (selector >= 0xf0) {
        return address & 0xffff;
    }
    return (uint32_t)(bases[selector % G_N_ELEMENTS(bases)] + (address & 0xf)) & 0xffff;
}

static uint32_t
pick_address(uint8_t selector, uint32_t address)
{
    switch (selector % 6) {
    case 0:
        return address & 0xfffff;
    case 1:
        return 0x100000 + (address & 0xffff);
    case 2:
        return 0xfec00000u + (address & 0xff);
    case 3:
        return 0xfffc0000u + (address & 0x3ffff);
    case 4:
        return 0xe0000000u + (address & 0xfffff);
    default:
        return address;
    }
}

static void
run_record(const uint8_t *record)
{
    static const char *const outs[] = { "outb", "outw", "outl" };
    static const char *const ins[] = { "inb", "inw", "inl" };
    static const char *const writes[] = { "writeb", "writew", "writel", "writeq" };
    static const char *const reads[] = { "readb", "readw", "readl", "readq" };
    uint32_t address, value;

    memcpy(&address, record + 2, 4);
    memcpy(&value, record + 6, 4);
    switch (record[0] % 8) {
    case 0:
    case 1:
        run("%s 0x%x 0x%x", outs[record[0] / 8 % 3], pick_port(record[1], address), value);
        break;
    case 2:
        run("%s 0x%x", ins[record[0] / 8 % 3], pick_port(record[1], address));
        break;
    case 3:
        run("outl 0xcf8 0x%x", 0x80000000u | (address & 0x1ffc));
        run("%s 0x%x 0x%x", outs[record[0] / 8 % 3], 0xcfc + record[1] % 4, value);
        break;
    case 4:
        run("%s 0x%x 0x%x", writes[record[0] / 8 % 4], pick_address(record[1], address), value);
        break;
    case 5:
        run("%s 0x%x", reads[record[0] / 8 % 4], pick_address(record[1], address));
        break;
    case 6:
        run("clock_step %u", value % STEP_MAX_NS);
        break;
    default:
        while (g_main_context_iteration(machine_context(machine), FALSE)) {
        }
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned count = 0, rounds = 0;

    machine_reset(machine);
    while (size >= RECORD_BYTES && count++ < RECORDS_MAX) {
        run_record(data);
        data += RECORD_BYTES;
        size -= RECORD_BYTES;
    }
    while (rounds++ < 1000 && g_main_context_iteration(machine_context(machine), FALSE)) {
    }
    return 0;
}
