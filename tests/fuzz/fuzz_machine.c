/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer over the test protocol: each input is a list of port and memory accesses and clock
 * steps for a whole machine with its plugins. The machine is reset before each input.
 *
 * BACKPLANE_FUZZ_MACHINE names the description. Input: one byte that says whether firmware has been
 * there (bus masters enabled, their ports where pick_port() looks), then records of 10 bytes:
 * operation, selector, address (4), value (4); little endian. At its end the program says how many
 * accesses it made. */
#include "base/log.h"
#include "control/test_commands.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_BYTES 10
#define RECORDS_MAX  512
#define BLOCK_MAX    8192u    /* bytes of one request */
#define STEP_MAX_NS  2000000u /* a step must not be a way to burn time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static MachinePlan *plan;
static Machine *machine;
static TestCommands *commands;
static GString *out;
static uint64_t accesses;
static char answer[64]; /* the last reply, or its beginning */

static void
print_accesses(void)
{
    (void)fprintf(stderr, "fuzz_machine: %" G_GUINT64_FORMAT " accesses\n", accesses);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *path = getenv("BACKPLANE_FUZZ_MACHINE");
    g_autoptr(ErrorList) errors = error_list_new();
    g_autoptr(GError) error = NULL;
    MachineArgs args = {.test = true};

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
    (void)atexit(print_accesses);
    return 0;
}

static void run(const char *format, ...) G_GNUC_PRINTF(1, 2);

static void
run(const char *format, ...)
{
    char line[128];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    test_commands_run(commands, line);
    (void)g_strlcpy(answer, out->str, sizeof(answer));
    g_string_truncate(out, 0);
}

/* Ports and addresses where a PC has something, and now and then anywhere. */
static uint32_t
pick_port(uint8_t selector, uint32_t address)
{
    static const uint16_t bases[] = {
        0x000, 0x020, 0x040, 0x060,  0x070, 0x080, 0x0a0, 0x0c0, 0x170,  0x1f0,
        0x2f8, 0x376, 0x3f0, 0x3f8,  0x402, 0x4d0, 0x510, 0x514, 0x0600, 0xafe0,
        0xcf8, 0xcfc, 0xcf9, 0xc000, 0x1f0, 0x1f0, 0x3f6, 0xcf8,
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
    static const char *const outs[] = {"outb", "outw", "outl"};
    static const char *const ins[] = {"inb", "inw", "inl"};
    static const char *const writes[] = {"writeb", "writew", "writel", "writeq"};
    static const char *const reads[] = {"readb", "readw", "readl", "readq"};
    uint32_t address, value;

    accesses++;
    memcpy(&address, record + 2, 4);
    memcpy(&value, record + 6, 4);
    switch (record[0] % 9) {
    case 0:
    case 1:
        run("%s 0x%x 0x%x", outs[record[0] / 9 % 3], pick_port(record[1], address), value);
        break;
    case 2:
        run("%s 0x%x", ins[record[0] / 9 % 3], pick_port(record[1], address));
        break;
    case 3:
        run("outl 0xcf8 0x%x", 0x80000000u | (address & 0x1ffc));
        run("%s 0x%x 0x%x", outs[record[0] / 9 % 3], 0xcfc + record[1] % 4, value);
        break;
    case 4:
        run("%s 0x%x 0x%x", writes[record[0] / 9 % 4], pick_address(record[1], address), value);
        break;
    case 5:
        run("%s 0x%x", reads[record[0] / 9 % 4], pick_address(record[1], address));
        break;
    case 6:
        run("clock_step %u", value % STEP_MAX_NS);
        break;
    case 7:
        run("%s 0x%x %u%s", record[0] / 9 % 2 == 0 ? "read" : "memset",
            pick_address(record[1], address), value % BLOCK_MAX,
            record[0] / 9 % 2 == 0 ? "" : " 0x81");
        break;
    default:
        while (g_main_context_iteration(machine_context(machine), FALSE)) {
        }
        break;
    }
}

/* What firmware does, so that an input need not find it out: I/O, memory and mastering of each
 * function on, I/O BARs from C000h, power management at 600h. */
static void
set_up(void)
{
    uint32_t devfn, bar, port = 0xc000;

    for (devfn = 0; devfn < 32; devfn++) {
        uint32_t function = 0x80000000u | devfn << 8;
        run("outl 0xcf8 0x%x", function);
        run("inw 0xcfc");
        if (strcmp(answer, "OK 0xffff\n") == 0) {
            continue;
        }
        for (bar = 0x10; bar < 0x28; bar += 4) {
            uint32_t kind = 0;
            run("outl 0xcf8 0x%x", function | bar);
            run("inl 0xcfc");
            if (sscanf(answer, "OK %x", &kind) == 1 && kind != UINT32_MAX && (kind & 1) != 0) {
                run("outl 0xcfc 0x%x", port);
                port += 0x40;
            }
        }
        run("outl 0xcf8 0x%x", function | 4);
        run("outw 0xcfc 7");
    }
    run("outl 0xcf8 0x80000b40");
    run("outl 0xcfc 0x601");
    run("outl 0xcf8 0x80000b80");
    run("outb 0xcfc 1");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned count = 0, rounds = 0;

    if (size == 0) {
        return 0;
    }
    (void)machine_reset(machine);
    if ((data[0] & 1) != 0) {
        set_up();
    }
    data++;
    size--;
    while (size >= RECORD_BYTES && count++ < RECORDS_MAX) {
        run_record(data);
        data += RECORD_BYTES;
        size -= RECORD_BYTES;
    }
    while (rounds++ < 1000 && g_main_context_iteration(machine_context(machine), FALSE)) {
    }
    return 0;
}
