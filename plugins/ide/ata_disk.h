/* SPDX-License-Identifier: Apache-2.0 */
/* A hard disk on an ATA channel.
 *
 * One command at a time. Its data moves between host and backend through the arena buffer (PIO, and
 * descriptors so small that no sector fits a request) or in place (bus master). A transfer is
 * described completely by struct ata_transfer, from which the next request is made; so a request
 * that was held by the error policy, a quiesce or a saved state is simply made again. */
#pragma once

#include "ide.h"

#define ATA_BUFFER_SECTORS 256u /* arena buffer: the longest LBA28 command */
#define ATA_BUFFER_BYTES   131072u
#define ATA_MAX_MULTIPLE   16u
#define ATA_TRIM_BLOCKS    64u   /* IDENTIFY word 105 */
#define ATA_TRIM_RANGES    4096u /* in so many blocks */

#define ATA_HOST_LOGS       32u /* logs 80h-9Fh, whose content is the host's */
#define ATA_HOST_LOG_BLOCKS 16u
#define ATA_HOST_LOG_BYTES  ((size_t)ATA_HOST_LOG_BLOCKS * ATA_SECTOR)
#define ATA_SELFTESTS       21u

#define ATA_STREAMS            8u
#define ATA_STREAM_UNIT_US     10000u /* IDENTIFY words 98-99: what limits and times are counted in */
#define ATA_STREAM_MIN_SECTORS 8u     /* word 95 */
#define ATA_STREAM_SECTOR_TIME 66u    /* words 96, 104: 10 us a sector, in 1/65536 units */
#define ATA_STREAM_LATENCY     256u   /* word 97: 10 ms, in 1/256 units */
#define ATA_STREAM_LOG_BYTES   496u   /* 31 entries */

#define ATA_ROTATION_UNSET 0xffffffffu

/* As CMOS has them, and the option's choices. */
#define ATA_TRANSLATION_NONE 0u
#define ATA_TRANSLATION_LBA  1u
#define ATA_TRANSLATION_AUTO 4u

struct ata_options {
    char serial[21];
    char model[41];
    char firmware[9];
    uint64_t wwn;           /* 0: none */
    uint32_t rotation_rate; /* IDENTIFY word 217; ATA_ROTATION_UNSET: from the backend */
    uint32_t physical_size; /* bytes; 0: the backend's */
    uint32_t cylinders;     /* 0: from the capacity */
    uint32_t heads;
    uint32_t sectors;
    uint32_t logical_cylinders; /* what firmware is to show; 0: its own translation */
    uint32_t logical_heads;
    uint32_t logical_sectors;
    uint32_t translation; /* ATA_TRANSLATION_... */
    struct bp_on_error on_error;
    uint8_t write_cache;
    uint8_t discard;
    uint8_t guess_geometry;
};

/* What SET FEATURES and its kin change. */
struct ata_settings {
    uint8_t write_cache;
    uint8_t look_ahead;
    uint8_t revert;   /* CCh: a software reset restores the defaults */
    uint8_t multiple; /* sectors per block of READ/WRITE MULTIPLE, 0: disabled */
    uint8_t pio_mode;
    uint8_t dma_mode; /* SET FEATURES 03h value: 10h-12h, 20h-22h, 40h-45h, 0: none */
    uint8_t apm;      /* 0: disabled, else 1-FEh */
    uint8_t aam;      /* 0: disabled, else 80h-FEh */
    uint8_t smart;
    uint8_t smart_autosave;
    uint8_t power;         /* ATA_POWER_... */
    uint8_t standby_timer; /* as STANDBY and IDLE encode it */
    uint16_t cylinders;    /* current translation */
    uint8_t heads;
    uint8_t sectors;
};

#define ATA_POWER_ACTIVE  0xffu /* as CHECK POWER MODE tells it */
#define ATA_POWER_IDLE    0x80u
#define ATA_POWER_STANDBY 0x00u

#define ATA_CHS   0u
#define ATA_LBA28 1u
#define ATA_LBA48 2u

#define ATA_T_NONE         0u
#define ATA_T_PIO_IN       1u
#define ATA_T_PIO_OUT      2u
#define ATA_T_DMA_IN       3u
#define ATA_T_DMA_OUT      4u
#define ATA_T_VERIFY       5u
#define ATA_T_FLUSH        6u
#define ATA_T_TRIM         7u /* ranges by DMA, then discards */
#define ATA_T_PAGE_IN      8u /* blocks that the disk made, see ata_page.c */
#define ATA_T_PAGE_OUT     9u /* blocks for the disk itself */
#define ATA_T_PAGE_DMA_IN  10u
#define ATA_T_PAGE_DMA_OUT 11u
#define ATA_T_ERASE        12u /* zeroes from lba to the end */
#define ATA_T_KINDS        13u

#define ATA_TF_FUA     (1u << 0) /* on stable storage at completion */
#define ATA_TF_HELD    (1u << 1) /* the next request waits for start or resume */
#define ATA_TF_FLUSH   (1u << 2) /* data is through, a flush ends the command */
#define ATA_TF_FAILED  (1u << 3) /* PIO in: the sector after the buffered ones is bad */
#define ATA_TF_RANGES  (1u << 4) /* trim: the ranges are in the buffer */
#define ATA_TF_STANDBY (1u << 5) /* flush: then go to standby */
#define ATA_TF_SLEEP   (1u << 6) /* flush: then go to sleep */
#define ATA_TF_ALL     0x7fu

/* A streaming command; the second and third as in its Features. */
#define ATA_STREAM_ON       (1u << 0)
#define ATA_STREAM_FLUSH    (1u << 5) /* a write ends with a flush */
#define ATA_STREAM_CONTINUE (1u << 6) /* goes on after errors */
#define ATA_STREAM_EXPIRED  (1u << 1) /* its time is up */
#define ATA_STREAM_ALL      0x63u

struct ata_transfer {
    uint8_t kind;       /* ATA_T_... */
    uint8_t flags;      /* ATA_TF_... */
    uint8_t addressing; /* ATA_CHS ... */
    uint8_t opcode;
    uint64_t lba;  /* of the next sector to ask the backend for */
    uint32_t left; /* sectors to ask for */
    uint32_t
        limit; /* most sectors in a request: shrinks to find a bad one; trim: left of a piece */
    uint32_t block;  /* PIO: sectors in a DRQ block */
    uint32_t chunk;  /* PIO: sectors the buffer takes in this round */
    uint32_t filled; /* of them: done by the backend */
    uint32_t taken;  /* of them: done by the host */
    /* A streaming command. */
    uint8_t stream;       /* ATA_STREAM_... */
    uint8_t bad_error;    /* bits of the Error register, 0: none yet */
    uint64_t bad_lba;     /* sectors that may be in error */
    uint32_t bad_sectors; /* .. 65536 */
    /* The request in flight; made again after a hold, so never saved. */
    uint32_t request; /* sectors */
    uint32_t op;      /* BP_BLOCK_... */
    uint8_t bounced;  /* DMA through the buffer */
};

struct ata_security {
    uint8_t enabled; /* there is a user password */
    uint8_t locked;
    uint8_t frozen;
    uint8_t maximum;   /* level: the master password only erases */
    uint8_t attempts;  /* left to unlock */
    uint8_t prepared;  /* SECURITY ERASE PREPARE was the last command */
    uint16_t revision; /* of the master password */
    uint8_t user[32];
    uint8_t master[32];
};

/* The security of SET MAX. */
struct ata_max_lock {
    uint8_t active; /* there is a password */
    uint8_t locked;
    uint8_t frozen;
    uint8_t attempts;
    uint8_t password[32];
};

/* Errors that streaming commands went on after. */
struct ata_stream_log {
    uint16_t count; /* since it was read */
    uint8_t newest; /* number of the last entry, from 1 on; 0: none */
    uint8_t entries[ATA_STREAM_LOG_BYTES];
};

struct ata_streams {
    uint8_t valid[ATA_STREAMS];
    uint8_t limit[ATA_STREAMS];   /* default limit of time, 0: none */
    struct ata_stream_log log[2]; /* of reads, of writes */
};

/* Feature sets that the overlay can hide: its word 7 (ATA/ATAPI-7 V1, 6.10.3). */
#define ATA_DCO_SMART          (1u << 0)
#define ATA_DCO_SMART_SELFTEST (1u << 1)
#define ATA_DCO_SMART_ERRORS   (1u << 2)
#define ATA_DCO_SECURITY       (1u << 3)
#define ATA_DCO_AAM            (1u << 6)
#define ATA_DCO_HPA            (1u << 7)
#define ATA_DCO_48BIT          (1u << 8)
#define ATA_DCO_STREAMING      (1u << 9)
#define ATA_DCO_FUA            (1u << 11)
#define ATA_DCO_ALL            0x0bcfu
#define ATA_DCO_STREAMS        (ATA_DCO_STREAMING | ATA_DCO_48BIT)

/* Device configuration overlay: what is left to see. */
struct ata_dco {
    uint8_t modified;
    uint8_t frozen;
    uint8_t multiword; /* modes, as word 1 */
    uint8_t ultra;     /* word 2 */
    uint16_t features; /* ATA_DCO_... */
    uint64_t sectors;  /* 0: all */
};

/* The way to the backend; one request at a time. */
struct ata_io {
    const struct bp_block_ops *ops;
    void *self;
    void *queue;
    uint64_t tag; /* of the request in flight */
    uint8_t in_flight;
    uint8_t dropped; /* its command was given up */
    uint8_t waited;  /* ata_io_read_first() waits for it */
    int32_t waited_status;
    uint8_t reset_due; /* ready again when it ends */
    uint8_t dma_read;  /* it writes guest memory in place */
    uint8_t can_fua;
    uint8_t volatile_cache;
    uint8_t can_discard;
    uint8_t zero_discard;
    uint8_t rotational;
    uint32_t physical_size;
    uint64_t max_sectors; /* of a request */
    uint64_t max_discard; /* sectors */
    struct ide_sg sg;
    struct bp_iovec buffer_iov;
};

struct ata_disk {
    struct ide_device device; /* first member: ops functions cast */
    struct ata_options options;
    struct ata_settings settings;
    struct ata_security security;
    struct ata_max_lock max_lock;
    struct ata_dco dco;
    struct ata_streams streams;
    struct ata_transfer transfer;
    struct ata_io io;
    uint64_t capacity;       /* sectors of the backend */
    uint64_t native_sectors; /* what of them the overlay leaves */
    uint64_t sectors;        /* what the host may address: SET MAX */
    uint64_t kept_sectors;   /* what it is after a hard reset: SET MAX with VV = 1 */
    uint64_t active_ns;      /* virtual time of the last command, for the standby timer */
    uint32_t timer;          /* of streaming commands */
    uint8_t native_read;     /* READ NATIVE MAX was the last command: SET MAX is allowed */
    uint8_t selftest_status; /* SMART self-test execution status */
    uint8_t selftest_count;  /* entries of the log */
    uint8_t selftest_log[ATA_SELFTESTS]; /* kinds of test, newest last */
    uint16_t selftest_hours[ATA_SELFTESTS];
    uint8_t *buffer;                   /* arena: ATA_BUFFER_BYTES */
    uint8_t *host_logs;                /* ATA_HOST_LOGS times ATA_HOST_LOG_BYTES */
    uint8_t sector_buffer[ATA_SECTOR]; /* content of READ BUFFER, WRITE BUFFER */
};

static inline uint32_t
ata_has(const struct ata_disk *disk, uint32_t features)
{
    return (disk->dco.features & features) == features;
}

/* --- ata_disk.c ------------------------------------------------------------------------------ */

/* Makes a disk for one element of "drives". *device: set even on failure, to be destroyed.
 * [control] -ENOMEM, errors of arena_alloc. */
int32_t ata_disk_new(struct ide *ide, const struct ata_options *options, uint32_t arena,
                     struct ide_device **device) BP_MUST_CHECK;
/* The command in progress ends with bits of the Error register. */
void ata_disk_abort(struct ata_disk *disk, uint8_t error);
/* Time passed or a command came: brings the power state up to date. */
void ata_disk_touch(struct ata_disk *disk, uint32_t media);
void ata_settings_default(struct ata_disk *disk);

/* --- ata_transfer.c -------------------------------------------------------------------------- */

/* Starts a command that the fields of disk->transfer describe: kind, flags, addressing, lba,
 * left. */
void ata_transfer_start(struct ata_disk *disk);
/* The next request, or what was held. */
void ata_transfer_advance(struct ata_disk *disk);
/* Makes a held request now. */
void ata_transfer_retry(struct ata_disk *disk);
/* Offers the next block of the buffer (PIO); interrupts if told so. */
void ata_transfer_offer(struct ata_disk *disk, uint32_t interrupt);
void ata_transfer_block_done(struct ide_device *device);
void ata_transfer_dma(struct ide_device *device);
/* A request of the transfer ended. */
void ata_transfer_completed(struct ata_disk *disk, int32_t status);
void ata_transfer_finish(struct ata_disk *disk);
void ata_transfer_fail(struct ata_disk *disk, uint8_t error);
/* A command is not begun: what ata_address_read() returned, or what else is wrong. */
void ata_transfer_refuse(struct ata_disk *disk, uint8_t error);
/* The command is over, the registers apart from status and error are as they shall be. */
void ata_transfer_end(struct ata_disk *disk, uint8_t error, uint32_t interrupt);
/* The table of the bus master ended early (error 0) or led nowhere (error 1). */
void ata_transfer_bus_error(struct ata_disk *disk, uint32_t error);

/* --- ata_page.c ------------------------------------------------------------------------------ */

/* Blocks at the start of disk->buffer to the host, or from the host to it. kind: ATA_T_PAGE_... */
void ata_page_start(struct ata_disk *disk, uint8_t kind, uint32_t blocks);
void ata_page_block_done(struct ata_disk *disk);
void ata_page_dma(struct ata_disk *disk);

/* --- ata_log.c ------------------------------------------------------------------------------- */

/* READ and WRITE LOG EXT and their DMA forms, SMART READ and WRITE LOG. */
void ata_log_read(struct ata_disk *disk, uint32_t dma);
void ata_log_write(struct ata_disk *disk, uint32_t dma);
/* The blocks that were written are in the buffer. Returns 0 or bits of the Error register. */
uint8_t ata_log_received(struct ata_disk *disk);
/* The host has what it asked for by READ LOG (DMA) EXT. */
void ata_log_delivered(struct ata_disk *disk);

/* --- ata_security.c -------------------------------------------------------------------------- */

void ata_security_init(struct ata_disk *disk);
void ata_security_reset(struct ata_disk *disk);
/* IDENTIFY word 128. */
uint16_t ata_security_word(const struct ata_disk *disk);
/* SECURITY commands, by opcode. */
void ata_security(struct ata_disk *disk, uint8_t opcode);
/* The block with a password is in the buffer. Returns 0 or bits of the Error register. */
uint8_t ata_security_received(struct ata_disk *disk);
/* SECURITY ERASE UNIT: the next piece; the end. */
void ata_erase_advance(struct ata_disk *disk);
void ata_erase_finished(struct ata_disk *disk);

/* --- ata_io.c -------------------------------------------------------------------------------- */

/* Hands one request over. -EIO: the backend did not take it. */
int32_t ata_io_submit(struct ata_disk *disk, uint32_t op, uint64_t lba, uint64_t sectors,
                      struct bp_iovec *iov, uint32_t iov_count) BP_MUST_CHECK;
/* Asks for the end of the request in flight; it completes, one way or the other. */
void ata_io_cancel(struct ata_disk *disk);
int32_t ata_io_open(struct ata_disk *disk, const struct bp_peer *peer) BP_MUST_CHECK;
void ata_io_close(struct ata_disk *disk);
/* Reads the first sector into the buffer and waits for it; no command is in progress. [control] */
int32_t ata_io_read_first(struct ata_disk *disk) BP_MUST_CHECK;

/* --- ata_dco.c ------------------------------------------------------------------------------- */

void ata_dco_init(struct ata_disk *disk);
/* DEVICE CONFIGURATION commands, by the Features register. */
void ata_dco(struct ata_disk *disk);
/* The structure of DEVICE CONFIGURATION SET is in the buffer. Returns 0 or ATA_ABRT. */
uint8_t ata_dco_received(struct ata_disk *disk);
/* Capacity that the overlay leaves. */
uint64_t ata_dco_sectors(const struct ata_disk *disk);
/* A DMA mode (a value of SET FEATURES 03h): the default one; whether there is one. */
uint8_t ata_dco_default_mode(const struct ata_disk *disk);
uint32_t ata_dco_has_mode(const struct ata_disk *disk, uint8_t mode);
/* Whether a restored overlay can be. */
uint32_t ata_dco_valid(const struct ata_disk *disk);

/* --- ata_stream.c ---------------------------------------------------------------------------- */

/* Makes the timer, with an id of its own. [control] errors of timer.create. */
int32_t ata_stream_init(struct ata_disk *disk, uint32_t timer) BP_MUST_CHECK;
/* No streams, empty logs. */
void ata_stream_reset(struct ata_disk *disk);
void ata_stream_configure(struct ata_disk *disk);
/* Whether there is a stream. */
uint32_t ata_stream_configured(const struct ata_disk *disk);
/* The command in disk->transfer.opcode is a streaming one: its clock runs. */
void ata_stream_begin(struct ata_disk *disk, uint32_t write);
/* Sectors of a streaming command may be in error. error: bits of the Error register. */
void ata_stream_note(struct ata_disk *disk, uint8_t error, uint64_t lba, uint32_t sectors);
/* Ends the command if its time is up. Returns whether it did. */
uint32_t ata_stream_expired(struct ata_disk *disk);
/* A streaming command ends: fills the registers. Returns bits of the Error register; *status: bits
 * of the Status register. */
uint8_t ata_stream_end(struct ata_disk *disk, uint8_t *status);
/* Logs 20h, 21h (of writes) and 22h. page: zeroes. */
void ata_stream_make_performance(const struct ata_disk *disk, uint8_t *page);
void ata_stream_make_errors(const struct ata_disk *disk, uint32_t write, uint8_t *page);
void ata_stream_forget_errors(struct ata_disk *disk, uint32_t write);

/* --- ata_address.c --------------------------------------------------------------------------- */

/* Address and count of the command in the registers. Returns 0, or bits of the Error register. */
uint8_t ata_address_read(struct ata_disk *disk, uint8_t addressing);
/* Puts an address into the registers, as the command's kind of addressing has it. */
void ata_address_write(struct ata_disk *disk, uint8_t addressing, uint64_t lba);
/* CHS, or 28-bit LBA: what the Device register says. */
uint8_t ata_address_kind(const struct ata_disk *disk);
/* Default translation for the capacity and options. */
void ata_geometry_default(const struct ata_disk *disk, uint32_t *cylinders, uint32_t *heads,
                          uint32_t *sectors);

/* --- the rest -------------------------------------------------------------------------------- */

/* Fills the 512 bytes of IDENTIFY DEVICE. ata_identify.c */
void ata_identify(const struct ata_disk *disk, uint8_t *page);
/* SET FEATURES 03h: takes a transfer mode over. Returns 0 or ATA_ABRT. ata_features.c */
uint8_t ata_transfer_mode(uint8_t value, uint8_t *pio_mode, uint8_t *dma_mode);
/* SET FEATURES. Returns 0 or bits of the Error register. ata_features.c */
uint8_t ata_set_features(struct ata_disk *disk);
/* Power commands, by opcode of either set. ata_features.c */
void ata_power(struct ata_disk *disk, uint8_t opcode);
/* SMART, by the Features register. ata_smart.c */
void ata_smart(struct ata_disk *disk);
/* The checksum of a page, in its last byte. */
void ata_close_page(uint8_t *page);
/* READ NATIVE MAX, SET MAX. ata_max.c */
void ata_read_native_max(struct ata_disk *disk, uint8_t addressing);
void ata_set_max(struct ata_disk *disk, uint8_t addressing);
uint8_t ata_set_max_received(struct ata_disk *disk);
void ata_max_lock_reset(struct ata_disk *disk);
/* DATA SET MANAGEMENT. ata_trim.c */
void ata_trim(struct ata_disk *disk);
void ata_trim_advance(struct ata_disk *disk);
void ata_trim_completed(struct ata_disk *disk);
/* bp.state/1. ata_state.c */
int32_t ata_disk_save(const struct ide_device *device, const struct bp_state_sink *sink);
int32_t ata_disk_load(struct ide_device *device, const void *data, uint64_t length, uint32_t apply);
