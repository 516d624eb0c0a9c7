/* SPDX-License-Identifier: Apache-2.0 */
/* What the pci_*.c files share: the bus, a function, and the steps of a configuration write.
 *
 * Locks, in this order:
 *   update_lock  protects: MSI and MSI-X state, the lists of BAR mappings, and the order in which
 *                regions, messages and INTx follow the registers. Held while regions move and while
 *                the MsiController is told; neither calls back into the bus.
 *   lock         protects: the bytes of configuration space, the table of functions, `users`.
 *   intx_lock    protects: INTx levels and the PIRQ counts; held around set_pirq.
 * None is held around a function's own callbacks. Everything marked [any] in pci.h takes only the
 * last two, so that a device may call it under locks of its own. */
#pragma once

#include "bus/pci.h"

#include <stdatomic.h>

#define PCI_CONFIG_SIZE 256u
#define PCI_BUS_DEVFNS  256u
#define PCI_PLACES      ((1 + PCI_BRIDGES_MAX) * PCI_BUS_DEVFNS)
#define PCI_NO_BUS      UINT32_MAX
#define PCI_REGIONS     (PCI_BAR_COUNT + 1) /* six BARs and the ROM */
#define PCI_NOT_DECODED UINT64_MAX

/* Offsets and bits of the type 0 header (PCI 3.0, 6.1). */
enum {
    PCI_REG_VENDOR = 0x00,
    PCI_REG_DEVICE = 0x02,
    PCI_REG_COMMAND = 0x04,
    PCI_REG_STATUS = 0x06,
    PCI_REG_REVISION = 0x08,
    PCI_REG_PROG_IF = 0x09,
    PCI_REG_SUB_CLASS = 0x0A,
    PCI_REG_BASE_CLASS = 0x0B,
    PCI_REG_CACHE_LINE = 0x0C,
    PCI_REG_LATENCY = 0x0D,
    PCI_REG_HEADER_TYPE = 0x0E,
    PCI_REG_BAR0 = 0x10,
    PCI_REG_SUBSYSTEM_VENDOR = 0x2C,
    PCI_REG_SUBSYSTEM = 0x2E,
    PCI_REG_ROM = 0x30,
    PCI_REG_CAPABILITIES = 0x34,
    PCI_REG_INTERRUPT_LINE = 0x3C,
    PCI_REG_INTERRUPT_PIN = 0x3D,
    PCI_HEADER_SIZE = 0x40,
};

#define PCI_COMMAND_IO           (1u << 0)
#define PCI_COMMAND_MEMORY       (1u << 1)
#define PCI_COMMAND_MASTER       (1u << 2)
#define PCI_COMMAND_PARITY       (1u << 6)
#define PCI_COMMAND_SERR         (1u << 8)
#define PCI_COMMAND_INTX_DISABLE (1u << 10)
#define PCI_STATUS_INTERRUPT     (1u << 3)
#define PCI_STATUS_CAPABILITIES  (1u << 4)
#define PCI_STATUS_ERRORS        0xF900u /* write one to clear */
#define PCI_HEADER_MULTIFUNCTION 0x80u

typedef enum {
    PCI_BYTE_FREE,
    PCI_BYTE_DECLARED, /* the header, or pci_function_set_config() */
    PCI_BYTE_CAPABILITY,
} PciByteUse;

typedef struct {
    Region *region;
    uint64_t offset;
} PciMapping;

typedef struct {
    PciBarArgs args;
    _Atomic uint64_t address; /* PCI_NOT_DECODED, or where its regions are */
    GArray *mappings;         /* of PciMapping */
} PciBar;

typedef struct {
    MsiVector *vector;
    bool pending;
    bool enabled; /* these three: what the controller was told last */
    uint32_t data;
    uint64_t address;
} PciVector;

typedef enum {
    PCI_MESSAGES_OFF,
    PCI_MESSAGES_MSI,
    PCI_MESSAGES_MSIX,
} PciMessageMode;

/* One array of vectors serves MSI and MSI-X, so that a vector's eventfd outlives the guest's
 * choice. */
typedef struct {
    unsigned count;
    PciVector *vectors;
    unsigned msi_count, msix_count;
    uint8_t msi_cap, msix_cap; /* offsets in configuration space, 0: absent */
    uint8_t *msix_table;
    unsigned msix_bar;
    Region *table_region, *pba_region;
    _Atomic unsigned mode; /* PciMessageMode */
} PciMessages;

struct PciFunction {
    PciBus *bus;
    char *name;
    unsigned bus_index; /* 0: the board's bus */
    unsigned leads_to;  /* a bridge: the index of the bus behind it, else 0 */
    unsigned devfn;
    uint8_t pin;
    unsigned users; /* guest accesses inside; the function is freed when there are none */
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t reset_value[PCI_CONFIG_SIZE];
    uint8_t write_mask[PCI_CONFIG_SIZE];
    uint8_t write1clear[PCI_CONFIG_SIZE];
    uint8_t use[PCI_CONFIG_SIZE]; /* PciByteUse */
    uint8_t last_capability;      /* offset, 0: none */
    _Atomic unsigned command;     /* as in config, for those who take no lock */
    PciBar bars[PCI_REGIONS];
    Region *rom_region;
    uint8_t *rom;
    uint32_t rom_length;
    _Atomic bool intx_level; /* what the device asks for */
    bool intx_driven;        /* what reaches the PIRQ */
    PciMessages messages;
    void (*config_written)(void *opaque, uint16_t offset, unsigned size, uint32_t value);
    void (*config_reading)(void *opaque, uint16_t offset, unsigned size);
    void (*command_changed)(void *opaque, uint16_t command);
    void *opaque;
    GMutex *callback_lock;
};

struct PciBus {
    PciBusArgs args;
    GMutex update_lock;
    GMutex lock;
    GMutex intx_lock;
    GCond idle;                            /* with lock: some function's users reached 0 */
    PciFunction *functions[PCI_PLACES];    /* by pci_place() */
    PciFunction *bridges[PCI_BRIDGES_MAX]; /* to bus 1, 2, ... */
    unsigned bridge_count;
    unsigned pirq_count[4];
};

/* Where a function is in the table of its bus. */
static inline unsigned
pci_place(unsigned bus_index, unsigned devfn)
{
    return bus_index * PCI_BUS_DEVFNS + devfn;
}

/* The bridge it is behind, or NULL. */
static inline PciFunction *
pci_bridge_of(const PciFunction *function)
{
    return function->bus_index != 0 ? function->bus->bridges[function->bus_index - 1] : NULL;
}

static inline uint32_t
pci_get32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static inline void
pci_put32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static inline uint32_t
pci_get16(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
}

static inline void
pci_put16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

/* pci.c: a guest is inside the function between the two. NULL: there is none. */
PciFunction *pci_function_enter(PciBus *bus, unsigned place);
void pci_function_leave(PciFunction *function);

/* pci_bridge.c */
/* Calls each for every function behind a bridge. */
void pci_bridge_each(PciFunction *bridge, void (*each)(PciFunction *function));
/* Whether the bridge that a function is behind, if any, lets these addresses through. */
bool pci_bridge_passes(const PciFunction *function, bool is_io, uint64_t first, uint64_t last);
/* The bus that the guest gave this number, not 0, or PCI_NO_BUS. */
unsigned pci_bus_with_number_locked(const PciBus *bus, unsigned number);

/* pci_bar.c */
bool pci_bars_check(const PciFunctionArgs *args, GError **error);
bool pci_bars_init(PciFunction *function, const PciFunctionArgs *args, GError **error);
void pci_bars_done(PciFunction *function);
/* Regions follow BARs and COMMAND. Caller holds update_lock. */
void pci_bars_update_locked(PciFunction *function);
Region *pci_bar_map(PciFunction *function, unsigned bar, const RegionArgs *args, uint64_t offset,
                    GError **error);

/* pci_config.c */
void pci_config_init(PciFunction *function, const PciFunctionArgs *args);
/* Everything that follows from registers does so again. Caller holds update_lock. */
void pci_config_follow_locked(PciFunction *function);
uint32_t pci_config_read(PciFunction *function, uint16_t offset, unsigned size);
void pci_config_write(PciFunction *function, uint16_t offset, unsigned size, uint32_t value);
/* Tells the device what COMMAND is now. */
void pci_notify_command(PciFunction *function);
/* The driven level of INTx follows COMMAND and the message mode. Takes intx_lock. */
void pci_intx_update(PciFunction *function);

/* pci_msi.c; callers of the _locked ones hold update_lock */
void pci_messages_done(PciFunction *function);
void pci_messages_reset_locked(PciFunction *function);
/* Messages follow the capabilities' registers. */
void pci_messages_update_locked(PciFunction *function);
/* A message waits for its mask to go. */
bool pci_vector_is_pending_locked(PciFunction *function, unsigned vector);
/* Brings MSI's pending bits in configuration space up to date. */
void pci_messages_refresh_locked(PciFunction *function);
