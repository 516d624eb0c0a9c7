/* SPDX-License-Identifier: Apache-2.0 */
/* bp.pci/1, bp.msi/1 and bp.msix/1: one PCI function for an instance. The core owns configuration
 * space, BAR placement, the MSI-X table and pending bits; the plugin declares and is notified.
 * References: PCI Local Bus 3.0; MSI 6.8.1; MSI-X 6.8.2. */
#ifndef BACKPLANE_PCI_H
#define BACKPLANE_PCI_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_PCI_ID  "bp.pci/1"
#define BP_MSI_ID  "bp.msi/1"
#define BP_MSIX_ID "bp.msix/1"

#define BP_PCI_BAR_IO       (1u << 0) /* I/O space; else memory */
#define BP_PCI_BAR_64       (1u << 1) /* 64-bit memory; takes the next BAR too */
#define BP_PCI_BAR_PREFETCH (1u << 2)

/* Frozen: 16 bytes. */
struct bp_pci_bar {
    uint64_t size;  /* 0: absent; a power of two, at least 4 (I/O) or 16 (memory) */
    uint32_t flags; /* BP_PCI_BAR_... */
    uint32_t reserved;
};

/* Receives what the guest does to configuration space. */
struct bp_pci_ops {
    uint32_t size;
    uint32_t flags;
    /* Optional: a write to registers 40h-FFh that the plugin declared took effect.
     * offset: first byte. width: 1, 2 or 4.
     * [vcpu] */
    void (*config_written)(void *opaque, uint32_t offset, uint32_t width, uint32_t value);
    /* Optional: COMMAND changed. command: bit 0 I/O, 1 memory, 2 bus master, 10 INTx disable.
     * [vcpu] */
    void (*command_changed)(void *opaque, uint32_t command);
    /* Optional: the guest reads in 40h-FFh. What the plugin pokes now is what it gets.
     * offset: first byte. width: 1, 2 or 4.
     * [vcpu] */
    void (*config_reading)(void *opaque, uint32_t offset, uint32_t width);
};

struct bp_pci_args {
    uint32_t size;
    uint32_t flags;                    /* 0 */
    uint16_t vendor_id;
    uint16_t device_id;
    uint16_t subsystem_vendor_id;
    uint16_t subsystem_id;
    uint8_t base_class;
    uint8_t sub_class;
    uint8_t prog_if;
    uint8_t revision;
    uint8_t interrupt_pin;             /* 0 none, 1 INTA .. 4 INTD */
    uint8_t reserved[3];
    struct bp_pci_bar bars[6];
    const char *rom_path;              /* expansion ROM image, or NULL; the ids in it become the
                                        * function's */
    const struct bp_pci_ops *ops;      /* copied; or NULL */
    void *opaque;
};

struct bp_pci_host {
    uint32_t size;
    uint32_t flags;

    /* Makes the instance's function, at the address the description or the class's preference gives.
     * Once per instance; only classes with BP_BUS_PCI.
     * [control] -EEXIST: it has one already. -EBUSY: the address is taken. -ENOSPC: the bus is full.
     * -EINVAL: BARs, pin, class. -EIO: rom_path cannot be read. */
    int32_t (*function)(struct bp_instance *instance, const struct bp_pci_args *args) BP_MUST_CHECK;
    /* Adds a capability. id: PCI capability id. offset: where, or 0 for the first free place. length:
     * of data, the two header bytes not counted. write_mask: which bits the guest may change, length
     * bytes; NULL: none.
     * Returns the offset of the capability.
     * [control] -ENOENT: no function yet. -ENOSPC: no room. -EINVAL: offset or length. */
    int32_t (*add_capability)(struct bp_instance *instance, uint32_t id, uint32_t offset,
                              uint32_t length, const uint8_t *data,
                              const uint8_t *write_mask) BP_MUST_CHECK;
    /* Declares registers of the device's own: value after reset, bits the guest may write (NULL: none),
     * bits a written one clears (NULL: none). offset 40h-FFh; registers 04h-3Fh may be redeclared where
     * a chip differs from the usual.
     * [control] -ENOENT: no function yet. -EINVAL: out of range or over a capability. */
    int32_t (*config)(struct bp_instance *instance, uint32_t offset, uint32_t length,
                      const uint8_t *value, const uint8_t *write_mask,
                      const uint8_t *clear_mask) BP_MUST_CHECK;
    /* Reads what the guest sees. width: 1, 2 or 4. Returns all ones if there is no function.
     * [any] */
    uint32_t (*peek)(struct bp_instance *instance, uint32_t offset, uint32_t width);
    /* Changes what the guest reads, whatever the masks say. width: 1, 2 or 4.
     * [any] */
    void (*poke)(struct bp_instance *instance, uint32_t offset, uint32_t width, uint32_t value);
    /* COMMAND as it is now: bit 2 says whether the function may master the bus.
     * [any] */
    uint32_t (*command)(struct bp_instance *instance);
    /* The function's address: bus << 8 | slot << 3 | function.
     * [any] -ENOENT: no function. */
    int32_t (*address)(struct bp_instance *instance);
    /* Says whether the guest enabled MSI-X (2) or MSI (1) or neither (0: use the INTx line).
     * [any] */
    int32_t (*message_mode)(struct bp_instance *instance);
};

struct bp_msi_host {
    uint32_t size;
    uint32_t flags;

    /* Adds an MSI capability. vectors: 1, 2, 4, 8, 16 or 32.
     * [control] -ENOENT: no function. -EEXIST: done already. -EINVAL: vectors. -ENOSPC. */
    int32_t (*enable)(struct bp_instance *instance, uint32_t vectors) BP_MUST_CHECK;
    /* Sends message `vector`, modulo the number the guest allowed; held back while masked.
     * [any] */
    void (*fire)(struct bp_instance *instance, uint32_t vector);
};

struct bp_msix_host {
    uint32_t size;
    uint32_t flags;

    /* Adds an MSI-X capability whose table and pending bits the core keeps in a BAR the function
     * declared. vectors: 1..2048. The offsets: multiples of 8, not overlapping each other nor a region
     * of the plugin in that BAR.
     * [control] -ENOENT: no function or BAR. -EEXIST: done already. -EINVAL. -ENOSPC. */
    int32_t (*enable)(struct bp_instance *instance, uint32_t vectors, uint32_t bar,
                      uint32_t table_offset, uint32_t pba_offset) BP_MUST_CHECK;
    /* Sends a vector's message; sets its pending bit while it is masked.
     * [any] */
    void (*fire)(struct bp_instance *instance, uint32_t vector);
    /* An eventfd that does the same as fire() when written: stable whatever the guest programs. The
     * core owns it.
     * Returns the descriptor.
     * [control] -ENOENT: MSI-X is not enabled. -EINVAL: vector. -EMFILE. */
    int32_t (*eventfd)(struct bp_instance *instance, uint32_t vector) BP_MUST_CHECK;
};

#ifdef __cplusplus
}
#endif

#endif
