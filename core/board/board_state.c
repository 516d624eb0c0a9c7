/* SPDX-License-Identifier: Apache-2.0 */
/* Which chips the board has, and their tags. */
#include "board/board_state.h"

#include "board/board_private.h"

#include <errno.h>
#include <string.h>

typedef struct {
    uint32_t tag;
    ChipStateFunc *func;
    void *chip; /* NULL: this board has none */
} Part;

/* In the order in which they are restored: configuration space before the chips that follow it. */
enum {
    PART_PCI = 1,
    PART_HOST_BRIDGE,
    PART_ISA_BRIDGE,
    PART_POWER,
    PART_DMA,
    PART_RTC,
    PART_KEYBOARD,
    PART_FW_CFG,
    PART_PIC,
    PART_IOAPIC,
    PART_PIT,
    PART_HOTPLUG,
    PART_COUNT = PART_HOTPLUG,
};

static void
list_parts(Board *board, Part parts[PART_COUNT])
{
    const Part all[PART_COUNT] = {
        {PART_PCI, pci_bus_state, board->pci},
        {PART_HOST_BRIDGE, i440fx_state, board->host_bridge},
        {PART_ISA_BRIDGE, piix3_state, board->isa_bridge},
        {PART_POWER, piix4_pm_state, board->power},
        {PART_DMA, i8237_state, board->isa_dma},
        {PART_RTC, mc146818_state, board->rtc},
        {PART_KEYBOARD, i8042_state, board->keyboard},
        {PART_FW_CFG, fw_cfg_state, board->fw_cfg},
        {PART_PIC, i8259_state, board->pic},
        {PART_IOAPIC, ioapic_state, board->ioapic},
        {PART_PIT, i8254_state, board->pit},
        {PART_HOTPLUG, pci_hotplug_state, board->hotplug},
    };

    memcpy(parts, all, sizeof(all));
}

int
board_save(Board *board, const struct bp_state_sink *sink)
{
    ChipState state = {.phase = CHIP_STATE_SAVE, .sink = sink};
    Part parts[PART_COUNT];

    list_parts(board, parts);
    for (unsigned i = 0; i < PART_COUNT; i++) {
        if (parts[i].chip != NULL) {
            chip_state_save(parts[i].func, parts[i].chip, parts[i].tag | BP_STATE_MUST, &state);
        }
    }
    return state.status;
}

static int
load(Board *board, ChipStatePhase phase, const void *data, uint64_t length)
{
    ChipState state = {.phase = phase, .data = data, .length = length};
    Part parts[PART_COUNT];

    list_parts(board, parts);
    for (unsigned i = 0; i < PART_COUNT; i++) {
        if (parts[i].chip != NULL) {
            chip_state_load(parts[i].func, parts[i].chip, parts[i].tag, &state);
        }
    }
    return state.status < 0 ? state.status : chip_state_check_all_seen(&state);
}

int
board_validate(Board *board, const void *data, uint64_t length)
{
    return load(board, CHIP_STATE_VALIDATE, data, length);
}

int
board_restore(Board *board, const void *data, uint64_t length)
{
    int result = board_validate(board, data, length);

    return result < 0 ? result : load(board, CHIP_STATE_RESTORE, data, length);
}

void
board_after_restore(Board *board)
{
    ChipState state = {.phase = CHIP_STATE_AFTER};
    Part parts[PART_COUNT];

    list_parts(board, parts);
    for (unsigned i = 0; i < PART_COUNT; i++) {
        if (parts[i].chip != NULL) {
            parts[i].func(parts[i].chip, &state);
        }
    }
}
