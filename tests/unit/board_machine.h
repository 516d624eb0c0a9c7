/* SPDX-License-Identifier: Apache-2.0 */
/* A whole board on a clock that moves only by command, without a vCPU. */
#pragma once

#include "board_parts.h"

#include "board/board.h"

typedef struct {
    Parts parts;
    Board *board;
    unsigned resets, poweroffs;
    uint32_t ejected; /* slots */
} Machine;

static inline void
machine_request(void *opaque, BoardRequest request)
{
    Machine *machine = opaque;

    if (request == BOARD_REQUEST_RESET) {
        machine->resets++;
    } else if (request == BOARD_REQUEST_POWEROFF) {
        machine->poweroffs++;
    }
}

static inline void
machine_ejected(void *opaque, unsigned slot)
{
    Machine *machine = opaque;

    machine->ejected |= 1u << slot;
}

#define MACHINE_MIB UINT64_C(0x100000)

typedef struct {
    uint64_t memory_bytes; /* 0: 64 MiB */
    unsigned cpus;         /* 0: 1 */
    bool no_acpi;
    const unsigned *pci_bridges;
    unsigned pci_bridge_count;
    BoardIdentity identity;
} MachineArgs;

static inline void
machine_make(Machine *machine, const MachineArgs *args)
{
    memset(machine, 0, sizeof(*machine));
    parts_init_sized(&machine->parts,
                     args->memory_bytes != 0 ? args->memory_bytes : 64 * MACHINE_MIB,
                     UINT64_C(0xC0000000));
    BoardArgs board = {.bus = &machine->parts.bus,
                       .irqs = machine->parts.irqs,
                       .loop = machine->parts.loop,
                       .clock = machine->parts.clock,
                       .cpus = args->cpus != 0 ? args->cpus : 1,
                       .own_irqchip = true,
                       .rtc_clock = CLOCK_SOURCE_VIRTUAL,
                       .acpi = !args->no_acpi,
                       .hotplug = true,
                       .pci_bridges = args->pci_bridges,
                       .pci_bridge_count = args->pci_bridge_count,
                       .identity = args->identity,
                       .request = machine_request,
                       .ejected = machine_ejected,
                       .opaque = machine};
    g_autoptr(GError) error = NULL;
    machine->board = board_new(&board, &error);
    if (error != NULL) {
        fail_msg("%s", error->message);
    }
}

static inline void
machine_start(Machine *machine, const MachineArgs *args)
{
    machine_make(machine, args);
    assert_true(board_finalize(machine->board, NULL));
    board_reset(machine->board);
}

static inline void
machine_stop(Machine *machine)
{
    board_free(machine->board);
    parts_done(&machine->parts);
}

/* A fw_cfg file by the ports, as firmware finds it; empty: not in the directory. */
static inline GByteArray *
machine_fw_cfg_file(Machine *machine, const char *name)
{
    Parts *parts = &machine->parts;
    GByteArray *data = g_byte_array_new();
    uint32_t count = 0;

    parts_out16(parts, 0x510, 0x19);
    for (unsigned i = 0; i < 4; i++) {
        count = count << 8 | parts_in(parts, 0x511);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint8_t entry[64];
        address_space_read_block(parts->bus.pio, 0x511, 1, sizeof(entry), entry);
        if (strcmp((const char *)entry + 8, name) == 0) {
            uint32_t size = (uint32_t)entry[0] << 24 | (uint32_t)entry[1] << 16 |
                            (uint32_t)entry[2] << 8 | entry[3];
            g_byte_array_set_size(data, size);
            parts_out16(parts, 0x510, (uint16_t)(entry[4] << 8 | entry[5]));
            address_space_read_block(parts->bus.pio, 0x511, 1, size, data->data);
            break;
        }
    }
    return data;
}

static inline bool
machine_has_fw_cfg_file(Machine *machine, const char *name)
{
    g_autoptr(GByteArray) data = machine_fw_cfg_file(machine, name);

    return data->len > 0;
}

static inline uint64_t
machine_fw_cfg_int(Machine *machine, uint16_t key, unsigned size)
{
    uint64_t value = 0;

    parts_out16(&machine->parts, 0x510, key);
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)parts_in(&machine->parts, 0x511) << (8 * i);
    }
    return value;
}

static inline uint32_t
machine_config_read(Machine *machine, unsigned devfn, uint16_t offset, unsigned size)
{
    parts_out32(&machine->parts, 0xCF8, 0x80000000u | devfn << 8 | (offset & 0xFC));
    return (uint32_t)address_space_read(machine->parts.bus.pio, 0xCFCu + (offset & 3), size);
}

/* A little-endian field of a table. */
static inline uint64_t
field(const void *data, size_t offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, (const uint8_t *)data + offset, size);
    return GUINT64_FROM_LE(value);
}

static inline uint8_t
sum_of(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return sum;
}

/* Guest memory below 1 MiB that holds tables. */
static inline const uint8_t *
machine_at(Machine *machine, uint64_t gpa, uint64_t length)
{
    const uint8_t *hva = guest_memory_translate(machine->parts.bus.memory, gpa, length);

    assert_non_null(hva);
    return hva;
}

/* Where an anchor of 16-byte alignment is in [start, end), or 0. */
static inline uint64_t
machine_find(Machine *machine, const char *anchor, uint64_t start, uint64_t end)
{
    for (uint64_t gpa = start; gpa + 16 <= end; gpa += 16) {
        if (memcmp(machine_at(machine, gpa, 16), anchor, strlen(anchor)) == 0) {
            return gpa;
        }
    }
    return 0;
}
