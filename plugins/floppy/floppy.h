/* SPDX-License-Identifier: Apache-2.0 */
/* A floppy disk controller of the 82077AA/82078 kind with up to two drives.
 *
 * References: Intel 82077AA (290166), Intel 82078 (290474), Intel 8272A (for SCAN).
 *
 * One data command runs at a time; struct fdc_transfer says how far it is, and fdc_run() carries it
 * on from there whenever something has happened: a parameter was written, a timer expired, a
 * backend request ended, the host moved bytes, the machine goes on. So a command can be saved and
 * restored at any point. Its data is in a buffer that holds one cylinder.
 *
 * SERIAL: every callback comes under the instance's lock, so nothing here needs one. */
#pragma once

#include "fdc_regs.h"
#include "media.h"

#include <backplane/sdk/sdk.h>

#define FDC_DRIVES  2u /* that can be there */
#define FDC_SELECTS 4u /* that commands can name */

/* Ids of what the core owns: never change. */
#define FDC_REGION_BASE  0u
#define FDC_REGION_3F7   1u
#define FDC_IRQ          0u
#define FDC_ARENA_BUFFER 0u
#define FDC_TIMER_RUN    0u
#define FDC_TIMER_HOST   1u /* the host leaves the FIFO unserved */
#define FDC_TIMER_SEEK   2u /* + select */

#define FDC_SLOT_DISK 0u

#define FDC_ISA_IRQ     6u
#define FDC_DMA_CHANNEL 2u

#define FDC_BUFFER_BYTES ((size_t)FLOPPY_CYLINDER_SECTORS * FLOPPY_SECTOR_BYTES)

struct fdc;

/* --- drives -------------------------------------------------------------------------------------
 */

/* What is in a drive. */
struct fdc_medium {
    struct floppy_format format;
    uint8_t inserted;
    uint8_t readonly;
    uint8_t can_fua;
    uint8_t volatile_cache;
    uint32_t sectors; /* that the backend holds */
    /* Sectors with a deleted data mark, by cylinder, head and sector. No image format of sectors
     * keeps it, so it lasts as long as the medium is in the drive. */
    uint8_t deleted[FLOPPY_TOTAL_SECTORS / 8];
};

struct fdc_drive {
    struct fdc *fdc;
    uint32_t unit;
    uint32_t type;      /* FLOPPY_DRIVE_...; NONE: not there */
    uint32_t automatic; /* option: the first medium decides the type */
    uint32_t use;       /* of the slot */
    uint32_t named;     /* the description names a backend */
    const char *name;   /* option: what operators call it, or NULL */
    uint32_t protect;   /* option: the write protect notch */
    struct bp_on_error on_error;
    const struct bp_node *node;
    const struct bp_block_ops *ops;
    void *self; /* of ops */
    void *queue;
    char backend[64];
    uint32_t in_flight; /* a request */
    uint32_t flight_op;
    uint64_t tag;        /* of the newest request */
    struct bp_iovec iov; /* of the request in flight */
    struct fdc_medium medium;
    uint8_t head_at;   /* cylinder the heads are over */
    uint8_t changed;   /* the disk change line */
    uint8_t next_id;   /* READ ID without timing: sectors come round one after the other */
    uint64_t motor_ns; /* when the motor was switched on */
};

/* --- the controller -----------------------------------------------------------------------------
 */

/* One for each drive select code. */
struct fdc_seek {
    uint8_t busy;    /* stepping */
    uint8_t target;  /* cylinder the heads will be over */
    uint8_t pcn;     /* PCN afterwards */
    uint8_t steps;   /* step pulses: any at all */
    uint8_t status;  /* ST0 for SENSE INTERRUPT STATUS */
    uint8_t pending; /* FDC_PENDING_... */
    uint64_t deadline_ns;
};

#define FDC_PENDING_NONE 0u
#define FDC_PENDING_SEEK 1u
#define FDC_PENDING_POLL 2u /* the ready line "changed" by the reset */

/* Phases of the command in the FIFO. */
#define FDC_PHASE_COMMAND   0u /* nothing or not all of it has been written */
#define FDC_PHASE_EXECUTION 1u
#define FDC_PHASE_RESULT    2u

/* Kinds of data commands. */
#define FDC_OP_NONE         0u
#define FDC_OP_READ         1u
#define FDC_OP_WRITE        2u
#define FDC_OP_READ_TRACK   3u
#define FDC_OP_VERIFY       4u
#define FDC_OP_SCAN_EQUAL   5u
#define FDC_OP_SCAN_LOW     6u
#define FDC_OP_SCAN_HIGH    7u
#define FDC_OP_FORMAT       8u
#define FDC_OP_FORMAT_WRITE 9u
#define FDC_OP_READ_ID      10u
#define FDC_OPS             11u

/* Where a data command is: what fdc_run() does next. */
#define FDC_STEP_IDLE   0u
#define FDC_STEP_BEGIN  1u /* drive, medium, implied seek */
#define FDC_STEP_ARRIVE 2u /* the implied seek is over */
#define FDC_STEP_FIND   3u /* look for the ID */
#define FDC_STEP_LOAD   4u /* have the backend's data */
#define FDC_STEP_MOVE   5u /* to or from the host */
#define FDC_STEP_SECTOR 6u /* the sector is through */
#define FDC_STEP_NEXT   7u /* which one now */
#define FDC_STEP_FLUSH  8u /* let the backend have the data */
#define FDC_STEP_END    9u /* result phase */
#define FDC_STEPS       10u

#define FDC_T_MULTI      (1u << 0)  /* MT */
#define FDC_T_SKIP       (1u << 1)  /* SK */
#define FDC_T_DELETED    (1u << 2)  /* the command is one for deleted data */
#define FDC_T_COUNT      (1u << 3)  /* VERIFY with EC: left counts sectors */
#define FDC_T_PIO        (1u << 4)  /* no DMA */
#define FDC_T_GATE       (1u << 5)  /* no DMA because DOR says so: end of track is terminal count */
#define FDC_T_TERMINAL   (1u << 6)  /* terminal count was seen */
#define FDC_T_STOP       (1u << 7)  /* the sector's mark ends the command after it */
#define FDC_T_SINGLE     (1u << 8)  /* sector by sector, to find a bad one */
#define FDC_T_IMPOSSIBLE (1u << 9)  /* FORMAT: a layout no image can hold */
#define FDC_T_SYNC       (1u << 10) /* data is written; a flush makes it stable */
#define FDC_T_HELD       (1u << 11) /* waits for start or resume */
#define FDC_T_WAITING    (1u << 12) /* waits for FDC_TIMER_RUN */
#define FDC_T_LOST       (1u << 13) /* the medium left */
#define FDC_T_SERVICE    (1u << 14) /* the host is asked to move bytes */
#define FDC_T_SKIPPED    (1u << 15) /* the sector's mark makes it be passed over */
#define FDC_T_ALL        0xffffu

struct fdc_transfer {
    uint8_t op;     /* FDC_OP_... */
    uint8_t step;   /* FDC_STEP_... */
    uint8_t select; /* drive as the command names it */
    uint8_t unit;   /* drive it is; FDC_DRIVES: none */
    uint8_t head;   /* side in use */
    uint8_t c, h, r, n;
    uint8_t eot;
    uint8_t stride; /* SCAN: STP */
    uint8_t filler; /* FORMAT: D */
    uint8_t st1, st2;
    uint8_t st0;    /* without head and select */
    uint8_t done;   /* READ TRACK: sectors seen */
    uint8_t fifo;   /* PIO: bytes until the interrupt line drops */
    uint8_t id[4];  /* FORMAT: what the host gives */
    uint32_t flags; /* FDC_T_... */
    uint32_t left;  /* VERIFY: sectors; FORMAT: IDs */
    uint32_t moved; /* bytes of the unit under way */
    uint32_t
        awaiting;   /* a request of this command is in flight: of `count` sectors from `first` on */
    uint32_t first; /* index in the cylinder */
    uint32_t count; /* 0: a flush */
    uint32_t cylinder;         /* on the medium */
    uint64_t deadline_ns;      /* of FDC_TIMER_RUN */
    uint64_t host_deadline_ns; /* of FDC_TIMER_HOST; 0: not armed */
    /* Sectors of the cylinder, a bit each: in the buffer; to be written; formatted. */
    uint64_t valid[FLOPPY_MAX_HEADS];
    uint64_t dirty[FLOPPY_MAX_HEADS];
};

#define FDC_FIFO_BYTES   16u
#define FDC_PARAMETERS   17u /* the longest command, its code included */
#define FDC_RESULT_BYTES 16u

struct fdc {
    struct bp_services host;
    const char *id;
    uint32_t loop;
    uint32_t real_time;     /* option timing */
    uint32_t unsigned_boot; /* option check_signature: not */
    uint32_t quiescing;
    uint32_t quiesce_due; /* core.quiesced is owed */
    struct fdc_drive drives[FDC_DRIVES];

    uint8_t dor;
    uint8_t tdr;
    uint8_t dsr;
    uint8_t sra; /* latched bits: STEP, DIRECTION, HEAD */
    uint8_t srb; /* latched bits: READ_DATA, WRITE_DATA */
    uint8_t interrupt;

    uint8_t phase;
    uint8_t parameter_count; /* written so far */
    uint8_t parameter_total; /* of the command */
    uint8_t parameters[FDC_PARAMETERS];
    uint8_t result_count;
    uint8_t result_next;
    uint8_t result[FDC_RESULT_BYTES];
    uint8_t result_interrupts; /* reading the result through ends the interrupt */

    uint8_t pcn[FDC_SELECTS];
    uint8_t specify[2];
    uint8_t config;
    uint8_t precomp_start;
    uint8_t perpendicular;
    uint8_t locked;
    uint8_t last_count; /* SC/EOT of DUMPREG */
    uint8_t power_mode;
    uint8_t option;
    uint8_t drive_spec[FDC_SELECTS];
    struct fdc_seek seeks[FDC_SELECTS];

    struct fdc_transfer transfer;
    uint8_t scan[FLOPPY_SECTOR_BYTES]; /* what the host gives to compare */
    uint8_t *buffer;                   /* arena: FDC_BUFFER_BYTES */
};

/* --- floppy_options.c ---------------------------------------------------------------------------
 */

extern const struct bp_prop floppy_props[];
/* Reads the options into the controller. [control] -EINVAL. */
int32_t floppy_options(struct fdc *fdc, const struct bp_node *config);

/* --- fdc_drive.c: heads, medium, lines ----------------------------------------------------------
 */

/* The drive a select code stands for, NULL if none is there. */
struct fdc_drive *fdc_drive_selected(struct fdc *fdc, uint32_t select);
/* Asks the backend what medium there is, maybe none. *ret_text: why not. */
int32_t fdc_drive_learn(struct fdc_drive *drive, const char **ret_text);
/* Opens the medium behind a slot. *ret_text: why not. */
int32_t fdc_drive_insert(struct fdc_drive *drive, const struct bp_peer *peer,
                         const char **ret_text);
/* Nothing of it is in flight. */
void fdc_drive_eject(struct fdc_drive *drive);
/* Whether the medium can be read at the data rate in force for a select code. */
uint32_t fdc_rate_matches(const struct fdc *fdc, const struct fdc_drive *drive, uint32_t select);
/* The medium's cylinder under the heads, for a command that looks for cylinder c. */
uint32_t fdc_drive_cylinder(const struct fdc_drive *drive, uint32_t c);
/* The heads come over a cylinder, with step pulses or not. */
void fdc_drive_arrive(struct fdc_drive *drive, uint32_t cylinder, uint32_t steps);
uint32_t fdc_drive_protected(const struct fdc_drive *drive);
uint32_t fdc_deleted_get(const struct fdc_medium *medium, uint32_t cylinder, uint32_t head,
                         uint32_t r);
void fdc_deleted_set(struct fdc_medium *medium, uint32_t cylinder, uint32_t head, uint32_t r,
                     uint32_t deleted);

/* --- fdc_io.c: requests to the backend ----------------------------------------------------------
 */

/* Starts a request for sectors of the buffer (count 0: a flush). 0, or a negative errno: it is
 * over at once. */
int32_t fdc_io_submit(struct fdc_drive *drive, uint32_t op, uint32_t cylinder, uint32_t first,
                      uint32_t count);
extern const struct bp_block_client fdc_io_client;
/* Returns what to do about a failed request: BP_ON_ERROR_REPORT, IGNORE or STOP; tells the
 * operators. */
uint32_t fdc_io_failed(struct fdc_drive *drive, int32_t status);
/* Tells the core that the instance is at rest, if it waits for that. */
void fdc_settle(struct fdc *fdc);

/* --- fdc.c: registers ---------------------------------------------------------------------------
 */

int32_t fdc_declare(struct fdc *fdc);
void fdc_interrupt(struct fdc *fdc, uint32_t level);
/* A falling and a rising edge. */
void fdc_interrupt_again(struct fdc *fdc);
/* Power-on and system reset: as firmware's self test leaves it. */
void fdc_hardware_reset(struct fdc *fdc, uint32_t power_on);

/* --- fdc_command.c: command and result phase ----------------------------------------------------
 */

void fdc_command_write(struct fdc *fdc, uint8_t value);
uint8_t fdc_result_read(struct fdc *fdc);
/* Enters the result phase with `count` bytes in fdc->result; 0: the command is over. */
void fdc_result(struct fdc *fdc, uint32_t count, uint32_t interrupt);
/* Ready for a command. */
void fdc_command_idle(struct fdc *fdc);

/* --- fdc_control.c: commands without data -------------------------------------------------------
 */

void fdc_specify(struct fdc *fdc);
void fdc_sense_drive(struct fdc *fdc);
void fdc_configure(struct fdc *fdc);
void fdc_version(struct fdc *fdc);
void fdc_dumpreg(struct fdc *fdc);
void fdc_lock(struct fdc *fdc);
void fdc_perpendicular(struct fdc *fdc);
void fdc_part_id(struct fdc *fdc);
void fdc_power_mode(struct fdc *fdc);
void fdc_option(struct fdc *fdc);
void fdc_save_command(struct fdc *fdc);
void fdc_restore_command(struct fdc *fdc);
void fdc_drive_spec(struct fdc *fdc);
void fdc_invalid(struct fdc *fdc);

/* --- fdc_seek.c ---------------------------------------------------------------------------------
 */

void fdc_seek_command(struct fdc *fdc);
void fdc_relative_seek(struct fdc *fdc);
void fdc_recalibrate(struct fdc *fdc);
void fdc_sense_interrupt(struct fdc *fdc);
void fdc_seek_expired(struct fdc *fdc, uint32_t select);
/* Raises the line for seeks that ended and were not asked about: one that ended while a data
 * command had the line waited for this. */
void fdc_seek_remind(struct fdc *fdc);
/* The interrupt of the simulated ready line after a reset (82077AA, 7.4). */
void fdc_poll_drives(struct fdc *fdc);
/* Forgets seeks and their interrupts. */
void fdc_seek_abort(struct fdc *fdc);
/* Time for a number of steps at the programmed rate, ns; 0 without timing. */
uint64_t fdc_step_time(const struct fdc *fdc, uint32_t select, uint32_t steps);

/* --- fdc_transfer.c: data commands --------------------------------------------------------------
 */

/* Starts the data command in fdc->parameters. */
void fdc_start_read(struct fdc *fdc);
void fdc_start_write(struct fdc *fdc);
void fdc_start_read_track(struct fdc *fdc);
void fdc_start_verify(struct fdc *fdc);
void fdc_start_scan(struct fdc *fdc);
void fdc_start_format(struct fdc *fdc);
void fdc_start_read_id(struct fdc *fdc);
/* Goes on as far as possible. */
void fdc_run(struct fdc *fdc);
/* A request of the command ended; fdc_run() has to follow. */
void fdc_transfer_completed(struct fdc *fdc, int32_t status);
/* The medium of a drive leaves: a command that uses it ends. */
void fdc_transfer_medium_left(struct fdc *fdc, const struct fdc_drive *drive);
/* Drops the command; requests in flight end unheard. */
void fdc_transfer_abort(struct fdc *fdc);
/* The command ends abnormally with these bits, after what was written is flushed. */
uint32_t fdc_fail(struct fdc *fdc, uint32_t st0, uint32_t st1, uint32_t st2);
/* Waits for the timer before the next step; 0: no time to wait. */
uint32_t fdc_pause(struct fdc *fdc, uint64_t delay_ns);
struct fdc_drive *fdc_transfer_drive(struct fdc *fdc);
/* Index in the cylinder of the sector under way. */
uint32_t fdc_sector_index(struct fdc *fdc);

/* --- fdc_steps.c, fdc_sector.c: what fdc_run() does
 * ------------------------------------------------------------
 */

/* Return 1 to go on, 0 to wait. */
uint32_t fdc_step_begin(struct fdc *fdc);
uint32_t fdc_step_arrive(struct fdc *fdc);
uint32_t fdc_step_find(struct fdc *fdc);
uint32_t fdc_step_load(struct fdc *fdc);
uint32_t fdc_step_sector(struct fdc *fdc);
uint32_t fdc_step_next(struct fdc *fdc);
uint32_t fdc_step_flush(struct fdc *fdc);
uint32_t fdc_step_end(struct fdc *fdc);
/* Whether the command has an implied seek before it. */
uint32_t fdc_seeks_first(const struct fdc *fdc);
uint32_t fdc_is_write(const struct fdc_transfer *t);
/* Only a medium that turns, is formatted here and was written at this data rate has address marks.
 */
uint32_t fdc_has_marks(const struct fdc *fdc, const struct fdc_drive *drive);
/* No address mark, no sector: known after the index hole was seen twice (82077AA, 5.1.1). */
uint32_t fdc_fail_after_two_turns(struct fdc *fdc, uint32_t st1, uint32_t st2);
/* Time until the end of the n-th sector of the track passes the head, ns. */
uint64_t fdc_until_sector_end(const struct fdc *fdc, const struct fdc_drive *drive, uint32_t n);
/* Makes a request. Returns what the step returns: a request that is refused is over. */
uint32_t fdc_submit(struct fdc *fdc, struct fdc_drive *drive, uint32_t op, uint32_t first,
                    uint32_t count);

/* --- fdc_move.c: between the FIFO and the host --------------------------------------------------
 */

uint32_t fdc_step_move(struct fdc *fdc);
/* Whether the command's bytes go to the host. */
uint32_t fdc_moves_to_host(const struct fdc_transfer *transfer);
/* PIO. */
uint8_t fdc_pio_read(struct fdc *fdc);
void fdc_pio_write(struct fdc *fdc, uint8_t value);
/* The DMA channel was unmasked or programmed. */
void fdc_dma_ready(void *opaque);
/* The time of the host begins again, if it is asked for anything. */
void fdc_watch_host(struct fdc *fdc);
/* The host left the FIFO alone for too long. */
void fdc_host_expired(void *opaque);
/* The host is not wanted any more. */
void fdc_service_end(struct fdc *fdc);

/* --- floppy_media.c -----------------------------------------------------------------------------
 */

extern const struct bp_media_ops floppy_media_ops;

/* --- floppy_state.c -----------------------------------------------------------------------------
 */

extern const struct bp_state_ops floppy_state_ops;
