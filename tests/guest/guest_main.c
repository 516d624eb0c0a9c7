/* SPDX-License-Identifier: Apache-2.0 */
/* A freestanding guest for tests/guest: does what its command line names. */
#include "guest.h"

typedef struct {
    const char *name;
    void (*run)(void);
} Routine;

static int
same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

void
guest_main(const GuestStartInfo *info)
{
    static const Routine routines[] = {
        {"hello", guest_run_hello},   {"widths", guest_run_widths},
        {"blocks", guest_run_blocks}, {"doorbells", guest_run_doorbells},
        {"load", guest_run_load},     {"triple-fault", guest_run_triple_fault},
        {"rom", guest_run_rom},       {"undefined", guest_run_undefined},
        {"pic", guest_run_pic},       {"ioapic", guest_run_ioapic},
        {"msi", guest_run_msi},       {"nmi", guest_run_nmi},
        {"extint", guest_run_extint}, {"level", guest_run_level},
        {"smp", guest_run_smp},       {"elcr", guest_run_elcr},
    };
    const char *wanted = (const char *)(uintptr_t)info->cmdline;

    for (unsigned i = 0; i < sizeof(routines) / sizeof(routines[0]); i++) {
        if (same(routines[i].name, wanted)) {
            routines[i].run();
        }
    }
}
