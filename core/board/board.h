/* SPDX-License-Identifier: Apache-2.0 */
/* The PC board: i440FX host bridge, PIIX3 ISA bridge, PIIX4 power management, 8237s, RTC/CMOS,
 * i8042, fw_cfg, ACPI and SMBIOS tables; and, where KVM does not provide them, 8259s, IOAPIC and
 * PIT. */
#pragma once

#include "bus/irq.h"
#include "bus/isa_dma.h"
#include "bus/msi.h"
#include "bus/pci.h"
#include "bus/physical.h"
#include "loop/loop.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Board Board;

/* The guest asks the machine for something; called from a vCPU thread (or the control thread in the
 * test protocol), with no lock held; acted on later by the control thread. */
typedef enum {
    BOARD_REQUEST_RESET,    /* CF9, i8042 FEh, port 92h, ... */
    BOARD_REQUEST_POWEROFF, /* S5 */
    BOARD_REQUEST_SUSPEND,  /* S3 (RAM kept); the machine resets the vCPUs only, on wake-up */
} BoardRequest;

typedef struct {
    const char *uuid; /* RFC 4122 text or NULL: all zeroes */
    const char *name;
    const char *smbios_manufacturer, *smbios_product, *smbios_version, *smbios_serial;
    const char *smbios_sku, *smbios_family;
    const char *const *smbios_oem_strings; /* NULL-terminated, or NULL */
} BoardIdentity;

typedef struct {
    const PhysicalBus *bus;
    IrqLines *irqs;
    MsiController *msi; /* NULL: the board's own (memory writes) */
    Loop *loop;         /* RTC, PM timer, PIT timers */
    VirtualClock *clock;
    unsigned cpus;
    bool own_irqchip;      /* model 8259s, IOAPIC and PIT here (test protocol, split irqchip) */
    ClockSource rtc_clock; /* VIRTUAL: base time + virtual clock; WALL: follows the host */
    int64_t rtc_base_s;    /* seconds since 1970 (UTC) shown at virtual time 0 */
    int32_t rtc_offset_s;  /* local time: added to what the guest reads */
    bool acpi;             /* tables and PM function */
    bool hotplug;          /* of PCI slots; with acpi */
    const unsigned *pci_bridges; /* device and function of each */
    unsigned pci_bridge_count;
    BoardIdentity identity;
    void (*request)(void *opaque, BoardRequest request);
    /* The guest lets go of the functions of a PCI slot; like request. Needed with hotplug. */
    void (*ejected)(void *opaque, unsigned slot);
    /* own_irqchip with vCPUs: the 8259's INTR output changed. NULL: nobody listens. */
    void (*extint)(void *opaque, bool level);
    void *opaque;
} BoardArgs;

Board *board_new(const BoardArgs *args, GError **error);
void board_free(Board *board);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Board, board_free)

/* Power-on or warm reset of everything on the board (CMOS content survives). [control] */
void board_reset(Board *board);

PciBus *board_pci(Board *board);
IsaDma *board_isa_dma(Board *board);
MsiController *board_msi(Board *board);

/* CMOS cells the devices and the boot configuration fill (10h floppy types, 12h disks, ...). */
void board_cmos_set(Board *board, uint8_t cell, uint8_t value);
uint8_t board_cmos_get(Board *board, uint8_t cell);

/* fw_cfg files; data is copied. ERROR_CONFIG: name longer than 55, given twice. [control] */
bool board_fw_cfg_add_file(Board *board, const char *name, const void *data, size_t length,
                           GError **error);
void board_fw_cfg_set_u16(Board *board, uint16_t key, uint16_t value);

/* Boot order in fw_cfg's `bootorder` and CMOS 38h/3Dh; paths as SeaBIOS matches them. */
typedef struct {
    const char *const *paths; /* NULL-terminated OpenFirmware-like paths */
    bool strict;              /* end with HALT: nothing else is tried */
    bool menu;
    uint32_t menu_wait_ms; /* 0: the firmware's own */
    /* For firmware that looks into CMOS: BOARD_BIOS_*, first to third; all 0: disk, removable,
     * CD. */
    uint8_t bios_devices[3];
} BoardBootOrder;
enum {
    BOARD_BIOS_REMOVABLE = 1,
    BOARD_BIOS_DISK = 2,
    BOARD_BIOS_CD = 3,
    BOARD_BIOS_NETWORK = 4,
};
/* Once, before board_finalize(). ERROR_CONFIG: an empty path or one with a line break. [control] */
bool board_set_boot_order(Board *board, const BoardBootOrder *order, GError **error);

/* An ISA device of fixed resources that operating systems find in the DSDT. */
#define BOARD_ISA_IO_MAX 4
typedef struct {
    const char *hid; /* "PNP0B00" or another ACPI id; copied */
    uint32_t uid;    /* tells devices of one hid apart */
    struct {
        uint16_t base;
        uint8_t length; /* 0: not used */
    } io[BOARD_ISA_IO_MAX];
    int irq; /* 0-15, or -1 */
    int dma; /* 0-3, 5-7, or -1 */
} BoardIsaDevice;
/* Before board_finalize(). ERROR_CONFIG: a resource that no ISA device can have. [control] */
bool board_add_isa_device(Board *board, const BoardIsaDevice *device, GError **error);

/* After all devices exist, before the first reset: builds ACPI, SMBIOS, e820, CMOS memory cells. */
bool board_finalize(Board *board, GError **error);
/* Direct boot: places the ACPI tables (and, without ACPI, an MP table) into guest memory; returns
 * the RSDP's address, 0 without ACPI. At each reset. */
uint64_t board_place_tables(Board *board);
/* Direct boot: what firmware would have programmed (PIRQ routes, ELCR, PM base, BARs, PAM open). */
void board_setup_direct_boot(Board *board);
/* ELCR after that: IRQs 10 and 11, which PCI shares, are level-triggered. KVM's 8259s have an ELCR
 * of their own, in place of the board's. */
#define BOARD_DIRECT_BOOT_ELCR 0x0C00u

/* Hot-plug. False: this board has none, or not for this slot. [control] */
bool board_can_hotplug(const Board *board, unsigned slot);
void board_plugged(Board *board, unsigned slot);        /* the guest hears of a new device */
void board_unplug_request(Board *board, unsigned slot); /* it is asked to let go; see ejected() */
void board_unplugged(Board *board, unsigned slot);      /* whatever it was asked is settled */

void board_power_button(Board *board); /* [control] */
/* The end of S3, after board_reset(): tells the guest that it woke, and firmware (CMOS 0Fh) to go
 * on where the system was left. [control] */
void board_wake(Board *board, bool by_button);
/* Keyboard and mouse input, see i8042.h. [any] */
bool board_key(Board *board, uint16_t key, bool down);
void board_mouse(Board *board, int32_t dx, int32_t dy, int32_t dz, uint8_t buttons);
/* own_irqchip: acknowledge the pending 8259 vector, or -1; EOI from a local APIC. */
int board_pic_ack(Board *board);
void board_ioapic_eoi(Board *board, uint8_t vector);
/* The machine stopped or goes on: RTC and PIT follow the clock by themselves; nothing else. */
