/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: cases, each
 *
 *   DRIVER:read|write:seq|rand:DEPTH:SIZE:COUNT
 *
 * run one after the other. A case says "start DRIVER:...", then "end"; the list ends with "done".
 */
#include "guest.h"

typedef struct {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline;
} StartInfo;

static const struct {
    const char *name;
    void (*run)(const Case *c);
    bool interrupts;
} drivers[] = {
    {"ide-pio", ide_pio, false},
    {"ide-dma", ide_dma, false},
    {"virtio-blk-irq", virtio_blk, true},
    {"virtio-blk", virtio_blk, false},
    {"virtio-scsi-irq", virtio_scsi, true},
    {"virtio-scsi", virtio_scsi, false},
    {"virtio-net", virtio_net, false},
};

/* Moves *at past word and what ends it, if word is there. */
static bool
take(const char **at, const char *word)
{
    const char *text = *at;

    while (*word != '\0') {
        if (*text++ != *word++) {
            return false;
        }
    }
    if (*text == ':') {
        text++;
    }
    *at = text;
    return true;
}

static uint64_t
take_number(const char **at)
{
    uint64_t value = 0;

    while (**at >= '0' && **at <= '9') {
        value = value * 10 + (uint64_t)(*(*at)++ - '0');
    }
    if (**at == ':') {
        (*at)++;
    }
    return value;
}

static void
run_case(const char **at)
{
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        Case c = {.interrupts = drivers[i].interrupts};

        if (!take(at, drivers[i].name)) {
            continue;
        }
        c.write = take(at, "write");
        if (!c.write && !take(at, "read")) {
            fail("read or write expected");
        }
        c.random = take(at, "rand");
        if (!c.random && !take(at, "seq")) {
            fail("seq or rand expected");
        }
        c.depth = (uint32_t)take_number(at);
        c.size = (uint32_t)take_number(at);
        c.count = take_number(at);
        drivers[i].run(&c);
        return;
    }
    fail("unknown driver");
}

void
bench_main(const void *start_info)
{
    const StartInfo *info = start_info;
    const char *at = (const char *)(uintptr_t)info->cmdline;

    while (*at != '\0') {
        if (*at == ' ') {
            at++;
            continue;
        }
        run_case(&at);
    }
    say("done\n");
}
