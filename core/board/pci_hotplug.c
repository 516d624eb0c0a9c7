/* SPDX-License-Identifier: Apache-2.0 */
#include "board/pci_hotplug.h"

#include "board/chip.h"

#define REMOVABLE (UINT32_MAX << PCI_HOTPLUG_FIRST_SLOT)

typedef struct {
    uint32_t up, down;
} HotplugBus;

struct PciHotplug {
    GMutex lock; /* protects: buses, selected */
    HotplugBus buses[PCI_HOTPLUG_BUSES];
    uint32_t selected;
    void (*notify)(void *opaque);
    void (*ejected)(void *opaque, unsigned bus, unsigned slot);
    void *opaque;
    Region *region;
};

/* The bus the registers are about; NULL: one that is not there, of which they are zero. */
static HotplugBus *
selected_bus(PciHotplug *hotplug)
{
    return hotplug->selected < PCI_HOTPLUG_BUSES ? &hotplug->buses[hotplug->selected] : NULL;
}

static uint32_t
take_up(HotplugBus *bus)
{
    uint32_t up = bus->up;

    bus->up = 0;
    return up;
}

static uint64_t
hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
    PciHotplug *hotplug = opaque;
    HotplugBus *bus = selected_bus(hotplug);

    switch (offset) {
    case PCI_HOTPLUG_UP:
        return bus != NULL ? take_up(bus) : 0;
    case PCI_HOTPLUG_DOWN:
        return bus != NULL ? bus->down : 0;
    case PCI_HOTPLUG_REMOVABLE:
        return bus != NULL ? REMOVABLE : UINT32_MAX;
    case PCI_HOTPLUG_BUS:
        return hotplug->selected;
    default:
        return 0;
    }
}

/* One slot at a time is what methods write; several bits are several slots. */
static void
eject(PciHotplug *hotplug, uint32_t slots)
{
    HotplugBus *bus = selected_bus(hotplug);
    unsigned slot;

    slots &= REMOVABLE;
    if (bus == NULL) {
        return;
    }
    bus->up &= ~slots;
    bus->down &= ~slots;
    for (slot = 0; slot < PCI_HOTPLUG_SLOTS; slot++) {
        if ((slots >> slot & 1) != 0) {
            hotplug->ejected(hotplug->opaque, hotplug->selected, slot);
        }
    }
}

static void
hotplug_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    PciHotplug *hotplug = opaque;

    if (offset == PCI_HOTPLUG_EJECT) {
        eject(hotplug, (uint32_t)value);
    } else if (offset == PCI_HOTPLUG_BUS) {
        hotplug->selected = (uint32_t)value;
    }
}

static const RegionOps hotplug_ops = {.read = hotplug_read, .write = hotplug_write, .widths = 4};

PciHotplug *
pci_hotplug_new(const PciHotplugArgs *args, GError **error)
{
    g_autoptr(PciHotplug) hotplug = g_new0(PciHotplug, 1);
    RegionArgs region = {
        .name = "pci-hotplug",
        .base = PCI_HOTPLUG_BASE,
        .length = PCI_HOTPLUG_SIZE,
        .ops = &hotplug_ops,
        .opaque = hotplug,
        .lock = &hotplug->lock,
    };

    g_mutex_init(&hotplug->lock);
    hotplug->notify = args->notify;
    hotplug->ejected = args->ejected;
    hotplug->opaque = args->opaque;
    hotplug->region = chip_claim(args->pio, &region, error);
    return hotplug->region != NULL ? g_steal_pointer(&hotplug) : NULL;
}

void
pci_hotplug_free(PciHotplug *hotplug)
{
    if (hotplug != NULL) {
        region_free(hotplug->region);
        g_mutex_clear(&hotplug->lock);
        g_free(hotplug);
    }
}

/* A system that starts finds everything that is there by itself. */
void
pci_hotplug_reset(PciHotplug *hotplug)
{
    unsigned i;

    g_mutex_lock(&hotplug->lock);
    for (i = 0; i < PCI_HOTPLUG_BUSES; i++) {
        hotplug->buses[i] = (HotplugBus){0};
    }
    hotplug->selected = 0;
    g_mutex_unlock(&hotplug->lock);
}

void
pci_hotplug_state(void *chip, ChipState *state)
{
    static const struct bp_state_field fields[] = {
        CHIP_FIELD(1, PciHotplug, selected, 0),
    };
    static const struct bp_state_field bus_fields[] = {
        CHIP_FIELD(1, HotplugBus, up, 0),
        CHIP_FIELD(2, HotplugBus, down, 0),
    };
    static const ChipObject object = CHIP_OBJECT(1, fields, PciHotplug, NULL);
    static const ChipObject bus_object = CHIP_OBJECT(2, bus_fields, HotplugBus, NULL);
    PciHotplug *hotplug = chip;
    unsigned i;

    g_mutex_lock(&hotplug->lock);
    chip_state_object(state, &object, 0, hotplug);
    for (i = 0; i < PCI_HOTPLUG_BUSES; i++) {
        chip_state_object(state, &bus_object, i, &hotplug->buses[i]);
    }
    g_mutex_unlock(&hotplug->lock);
}

void
pci_hotplug_plugged(PciHotplug *hotplug, unsigned bus, unsigned slot)
{
    g_mutex_lock(&hotplug->lock);
    hotplug->buses[bus].up |= 1u << slot;
    g_mutex_unlock(&hotplug->lock);
    hotplug->notify(hotplug->opaque);
}

void
pci_hotplug_request(PciHotplug *hotplug, unsigned bus, unsigned slot)
{
    g_mutex_lock(&hotplug->lock);
    hotplug->buses[bus].down |= 1u << slot;
    g_mutex_unlock(&hotplug->lock);
    hotplug->notify(hotplug->opaque);
}

void
pci_hotplug_unplugged(PciHotplug *hotplug, unsigned bus, unsigned slot)
{
    g_mutex_lock(&hotplug->lock);
    hotplug->buses[bus].up &= ~(1u << slot);
    hotplug->buses[bus].down &= ~(1u << slot);
    g_mutex_unlock(&hotplug->lock);
}
