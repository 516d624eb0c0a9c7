/* SPDX-License-Identifier: Apache-2.0 */
/* The IDE function of the PIIX3 as one instance: two channels, each with a bus master and up to two
 * devices. A channel (channel.c) knows ports, selection and interrupts; a device (ide_device) knows
 * commands. A hard disk (ata_disk.h) is one kind of device, a CD/DVD drive (atapi.h) the other.
 * References: Intel 82371FB/82371SB (PIIX/PIIX3) data sheet, 290550; Programming Interface for Bus
 * Master IDE Controller, revision 1.0; ATA/ATAPI-7.
 * Threads: the class is SERIAL, so every function here runs under the instance's lock. */
#pragma once

#include "ata.h"

#include <backplane/sdk/sdk.h>

#define IDE_CHANNELS 2u
#define IDE_UNITS    2u /* devices of a channel */

struct ide;
struct ide_channel;
struct ide_device;

/* Where in the table of physical region descriptors the bus master stands. */
struct ide_prd_cursor {
    uint32_t next;    /* address of the next descriptor */
    uint32_t budget;  /* descriptors that may still be fetched */
    uint32_t address; /* of the rest of the current region */
    uint32_t left;    /* bytes of the current region */
    uint8_t last;     /* the current region is the last */
};

struct ide_bus_master {
    uint8_t command;  /* BMICX */
    uint8_t status;   /* BMISX */
    uint8_t stopping; /* START was cleared while a request was in flight */
    uint32_t table;   /* BMIDTPX */
    struct ide_prd_cursor cursor;
};

/* Guest memory of one DMA request. */
struct ide_sg {
    struct bp_iovec *iov;
    uint64_t *gpa;     /* guest-physical address of each piece */
    uint32_t *lengths; /* of each piece: who takes iov may change it */
    uint32_t max;      /* room in all three */
    uint32_t count;
    uint64_t bytes;
    struct ide_prd_cursor end; /* where the bus master stands after these bytes */
};

/* The registers of one device. Index 0: as written last; 1: the content before that ("previous",
 * ATA/ATAPI-7 V1 5.2, what HOB makes readable). */
struct ide_registers {
    uint8_t features[2];
    uint8_t count[2];
    uint8_t low[2];
    uint8_t mid[2];
    uint8_t high[2];
    uint8_t device;
    uint8_t status;
    uint8_t error;
};

#define IDE_RESET_HARD       0u /* power-on or RESET- */
#define IDE_RESET_SOFT       1u /* SRST */
#define IDE_RESET_DIAGNOSTIC 2u /* EXECUTE DEVICE DIAGNOSTIC */
#define IDE_RESET_DEVICE     3u /* DEVICE RESET: PACKET devices only */

/* What a kind of device does. */
struct ide_device_ops {
    /* The host wrote a command; the device is selected, not busy, and its interrupt is cleared. */
    void (*command)(struct ide_device *device, uint8_t opcode);
    /* The host moved the last byte of the data block given by ide_device_data(). */
    void (*block_done)(struct ide_device *device);
    /* The bus master was started and the device had asked for it. */
    void (*dma)(struct ide_device *device);
    /* Gives up the command in progress and sets BSY. What a request in flight brings is dropped. */
    void (*abandon)(struct ide_device *device);
    /* After abandon: back to the defaults that kind (IDE_RESET_...) restores, then the signature;
     * BSY stays set until no request is in flight. */
    void (*reset)(struct ide_device *device, uint32_t kind);
    /* Returns 1 while a request of the device may touch guest memory, now or after a retry. */
    uint32_t (*in_flight)(const struct ide_device *device);
    /* Returns 1 while any request is in flight. */
    uint32_t (*busy)(const struct ide_device *device);

    /* The backend behind the drive. [control] errors are explained. */
    int32_t (*attach)(struct ide_device *device, const struct bp_peer *peer);
    void (*detach)(struct ide_device *device);
    /* Nothing is in flight when it returns, and nothing will be delivered. [control] */
    void (*drain)(struct ide_device *device);
    /* No further request is made. Optional: ide->quiescing says it, too. */
    void (*quiesce)(struct ide_device *device);
    /* Makes requests that were held. */
    void (*retry)(struct ide_device *device);
    void (*destroy)(struct ide_device *device);

    /* bp.state/1: the records of this device. apply 0: only checks. */
    int32_t (*save)(const struct ide_device *device, const struct bp_state_sink *sink);
    int32_t (*load)(struct ide_device *device, const void *data, uint64_t length, uint32_t apply);
};

#define IDE_SLOT_DISK  0u
#define IDE_SLOT_CDROM 1u

struct ide_device {
    const struct ide_device_ops *ops;
    struct ide *ide;
    struct ide_channel *channel;
    uint32_t unit;
    uint32_t slot;    /* IDE_SLOT_...: what kind of drive it is */
    uint32_t use;     /* number of the slot's use */
    char place[8];    /* "1.0", as in boot.order */
    char backend[64]; /* id of what is attached, for messages */
    struct ide_registers regs;
    uint8_t intrq;     /* wants an interrupt */
    uint8_t dmarq;     /* wants the bus master */
    uint8_t asleep;    /* SLEEP: takes nothing but a reset */
    uint8_t data_in;   /* data block: 1 to the host, 0 from the host */
    uint8_t *data;     /* data block */
    uint32_t data_pos; /* bytes of it moved */
    uint32_t data_end; /* its length */
};

struct ide_channel {
    struct ide *ide;
    uint32_t number;
    struct ide_device *devices[IDE_UNITS]; /* NULL: absent */
    uint8_t selected;                      /* unit whose registers are read */
    uint8_t control;                       /* Device Control as written last */
    uint8_t line;                          /* level of the interrupt line */
    uint8_t hidden;                        /* its ports are not decoded */
    struct ide_bus_master bm;
};

struct ide {
    struct bp_services host;
    const char *id;
    uint32_t loop;       /* on which completions arrive */
    uint8_t piix4;       /* its function instead of the PIIX3's */
    uint8_t quiescing;   /* submit nothing */
    uint8_t quiesce_due; /* core->quiesced() is owed */
    uint32_t drive_count;
    struct ide_device *drives[IDE_CHANNELS * IDE_UNITS]; /* as described */
    struct ide_channel channels[IDE_CHANNELS];
};

/* --- channel.c: what devices ask of their channel -------------------------------------------- */

/* Declares ports and interrupt line. [control] errors of region.create and irq.line. */
int32_t ide_channel_declare(struct ide_channel *channel) BP_MUST_CHECK;
/* IDETIM may have changed: whether the ports are decoded. */
void ide_channel_look_at_timing(struct ide_channel *channel);
/* All devices and the bus master as after power-on; nothing is in flight. */
void ide_channel_reset(struct ide_channel *channel);
/* Sets the line to what the selected device wants. */
void ide_channel_update_irq(struct ide_channel *channel);
/* Starts the transfer if a device waits for the bus master and that is running. */
void ide_channel_try_dma(struct ide_channel *channel);

static inline struct ide_device *
ide_channel_device(const struct ide_channel *channel)
{
    return channel->devices[channel->selected];
}

/* --- device.c: common to all kinds of devices ------------------------------------------------ */

/* Ends a command: BSY and DRQ go, DRDY comes, error 0 or bits of the Error register; interrupts. */
void ide_device_done(struct ide_device *device, uint8_t error);
/* As ide_device_done(), without the interrupt. */
void ide_device_idle(struct ide_device *device, uint8_t error);
void ide_device_busy(struct ide_device *device);
void ide_device_interrupt(struct ide_device *device);
/* Offers a block of data (DRQ) and interrupts if told so. */
void ide_device_data(struct ide_device *device, uint8_t *data, uint32_t length, uint8_t to_host,
                     uint32_t interrupt);
/* Tells operators of a request that failed, and asks for the machine to stop if that is the action.
 * op: BP_BLOCK_...; action: BP_ON_ERROR_... */
void ide_tell_error(const struct ide_device *device, uint32_t op, int32_t status, uint32_t action);
/* Waits for the bus master. */
void ide_device_request_dma(struct ide_device *device);
/* Drops data block, DMA request and interrupt; sets BSY. */
void ide_device_abandon(struct ide_device *device);
/* What a reset leaves in the registers: diagnostic code and signature (ATA/ATAPI-7 V1, 5.15). */
void ide_device_signature(struct ide_device *device, uint8_t mid, uint8_t high);
/* Moves up to length bytes of the data block; returns how many. */
uint32_t ide_device_read_data(struct ide_device *device, uint8_t *data, uint32_t length);
uint32_t ide_device_write_data(struct ide_device *device, const uint8_t *data, uint32_t length);

/* --- words of IDENTIFY (PACKET) DEVICE: ata_identify.c --------------------------------------- */

struct ide_words {
    uint16_t w[256];
};

/* Two characters a word, the first in the high byte, padded with blanks. */
void ide_words_string(struct ide_words *id, uint32_t first, uint32_t count, const char *text);
/* Word 93: what the hardware reset found. */
uint16_t ide_words_reset_result(const struct ide_device *device);
/* Words 62, 63, 88: supported modes, and the selected one (a value of SET FEATURES 03h). */
void ide_words_dma_modes(struct ide_words *id, uint8_t mode);
/* Writes the 512 bytes, with the integrity word. */
void ide_words_store(const struct ide_words *id, uint8_t *page);

/* --- bus_master.c ---------------------------------------------------------------------------- */

/* Declares the ports of both channels' bus masters. [control] errors of region.create. */
int32_t ide_bus_master_declare(struct ide *ide) BP_MUST_CHECK;
void ide_bus_master_reset(struct ide_bus_master *bm);
uint32_t ide_bus_master_running(const struct ide_bus_master *bm);

#define IDE_SG_PIECES 1024u

#define IDE_SG_OK    0 /* as many bytes as wanted, or a multiple of the grain */
#define IDE_SG_SHORT 1 /* the table ended before; sg->bytes says what there is */
#define IDE_SG_FULL  2 /* no room for even one grain: use ide_bus_master_copy() */
#define IDE_SG_FAULT 3 /* a descriptor or region is not RAM */

/* Memory for the pieces of requests; ide_sg_done() takes one that was never made, too. */
int32_t ide_sg_init(struct ide_sg *sg) BP_MUST_CHECK;
void ide_sg_done(struct ide_sg *sg);
/* Collects guest memory for up to `want` bytes without moving the cursor: all of them, or a
 * multiple of grain. to_memory: the memory will be written. */
int32_t ide_bus_master_gather(struct ide_channel *channel, uint64_t want, uint32_t grain,
                              uint32_t to_memory, struct ide_sg *sg);
/* The memory was written. */
void ide_sg_mark_dirty(struct ide *ide, const struct ide_sg *sg);
/* Whether the function may access memory by itself (PCI COMMAND, Bus Master Enable). */
uint32_t ide_may_master(struct ide *ide);
/* Copies between a buffer and guest memory from the cursor on; *end: where it stopped.
 * Returns IDE_SG_OK, _SHORT or _FAULT; *copied: bytes. */
int32_t ide_bus_master_copy(struct ide_channel *channel, uint8_t *buffer, uint32_t length,
                            uint32_t to_memory, struct ide_prd_cursor *end, uint32_t *copied);
/* What was transferred: the cursor moves on. */
void ide_bus_master_commit(struct ide_channel *channel, const struct ide_prd_cursor *end);
/* The device has ended its transfer; nothing is in flight. Active stays set while the table goes
 * on. */
void ide_bus_master_finish(struct ide_channel *channel);
/* A request in flight ended whose command was given up. */
void ide_bus_master_settle(struct ide_channel *channel);
/* The table ended too early (error 0) or memory could not be reached (error 1): stops. */
void ide_bus_master_fail(struct ide_channel *channel, uint32_t error);

/* --- ide.c ----------------------------------------------------------------------------------- */

/* A device has nothing in flight any more: ends a quiesce that waits for that. */
void ide_settle(struct ide *ide);

/* --- ide_firmware.c -------------------------------------------------------------------------- */

/* Tells firmware of the drives, at realize(). [control] errors are explained. */
int32_t ide_firmware_describe(struct ide *ide) BP_MUST_CHECK;

/* --- ide_media.c ----------------------------------------------------------------------------- */

extern const struct bp_media_ops ide_media_ops;

/* --- ide_errors.c ---------------------------------------------------------------------------- */

/* What to do about a request that failed. The order is that of the options' choices. */
#define IDE_ON_ERROR_REPORT 0u
#define IDE_ON_ERROR_IGNORE 1u
#define IDE_ON_ERROR_STOP   2u
#define IDE_ON_ERROR_ENOSPC 3u /* stop when there is no space, else report */

/* A policy applied to an error: IDE_ON_ERROR_REPORT, _IGNORE or _STOP. */
uint32_t ide_error_action(uint32_t policy, int32_t status);
/* Log, event, and the request that the machine stops. op: BP_BLOCK_... */
void ide_error_report(const struct ide_device *device, uint32_t op, int32_t status,
                      uint32_t action);
