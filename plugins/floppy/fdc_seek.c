/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that move heads, and the interrupts they end with (82077AA, 5.2.2 to 5.2.4, 5.2.8). */
#include "floppy.h"

#include <string.h>

#define RECALIBRATE_STEPS 79u
#define SETTLE_NS         15000000u
#define HALF_MS_NS        500000u
#define RELATIVE_IN       0x40u

uint64_t
fdc_step_time(const struct fdc *fdc, uint32_t select, uint32_t steps)
{
    /* SPECIFY, SRT: 0.5 ms units at 1 Mbit/s, longer at slower rates (82077AA, table 5-11) */
    static const uint32_t unit_ns[] = {
        [RATE_CODE_1000] = HALF_MS_NS,
        [RATE_CODE_500] = 2 * HALF_MS_NS,
        [RATE_CODE_300] = 1670000,
        [RATE_CODE_250] = 4 * HALF_MS_NS,
    };

    if (!fdc->real_time || steps == 0) {
        return 0;
    }
    return (uint64_t)steps * (16u - (fdc->specify[0] >> 4)) * unit_ns[fdc->dsr & DSR_RATE] +
           SETTLE_NS;
}

/* Where the heads end up when the controller steps from PCN to another number. */
static uint8_t
head_target(const struct fdc_drive *drive, uint32_t from, uint32_t to)
{
    uint32_t at = drive->head_at;

    if (to >= from) {
        return (uint8_t)bp_min_u32(at + (to - from), floppy_drive_cylinders(drive->type) - 1);
    }
    return (uint8_t)(at > from - to ? at - (from - to) : 0);
}

static int32_t
find_pending(const struct fdc *fdc, uint32_t kind)
{
    for (uint32_t i = 0; i < FDC_SELECTS; i++) {
        if (fdc->seeks[i].pending == kind) {
            return (int32_t)i;
        }
    }
    return -1;
}

/* A data command has the interrupt line until its result is read. */
static uint32_t
data_command_goes_on(const struct fdc *fdc)
{
    return fdc->phase == FDC_PHASE_EXECUTION ||
           (fdc->phase == FDC_PHASE_RESULT && fdc->result_interrupts);
}

static void
finish(struct fdc *fdc, uint32_t select)
{
    struct fdc_seek *seek = &fdc->seeks[select];
    struct fdc_drive *drive = fdc_drive_selected(fdc, select);

    seek->busy = 0;
    if (drive != NULL) {
        fdc_drive_arrive(drive, seek->target, seek->steps);
    }
    fdc->pcn[select] = seek->pcn;
    seek->pending = FDC_PENDING_SEEK;
    if (!data_command_goes_on(fdc)) {
        fdc_interrupt_again(fdc);
    }
}

void
fdc_seek_remind(struct fdc *fdc)
{
    if (find_pending(fdc, FDC_PENDING_SEEK) >= 0) {
        fdc_interrupt(fdc, 1);
    }
}

void
fdc_seek_expired(struct fdc *fdc, uint32_t select)
{
    if (fdc->seeks[select].busy) {
        finish(fdc, select);
        fdc_run(fdc); /* a command may wait for the drive */
    }
}

/* The command is over at once; the drive goes on for a while. */
static void
begin(struct fdc *fdc, uint32_t select, uint32_t steps)
{
    uint64_t time = fdc_step_time(fdc, select, steps);
    struct fdc_seek *seek = &fdc->seeks[select];

    seek->busy = 1;
    seek->steps = (uint8_t)bp_min_u32(steps, UINT8_MAX);
    seek->pending = FDC_PENDING_NONE;
    fdc->sra |= steps != 0 ? SRA_STEP : 0;
    fdc_result(fdc, 0, 0);
    if (time == 0) {
        finish(fdc, select);
        return;
    }
    seek->deadline_ns = fdc->host.timer->now(fdc->host.instance, BP_CLOCK_VIRTUAL) + time;
    fdc->host.timer->arm(fdc->host.instance, FDC_TIMER_SEEK + select, seek->deadline_ns);
}

static void
set_direction(struct fdc *fdc, uint32_t inwards)
{
    fdc->sra = (uint8_t)((fdc->sra & ~SRA_DIRECTION) | (inwards ? SRA_DIRECTION : 0));
}

void
fdc_seek_command(struct fdc *fdc)
{
    uint32_t select = fdc->parameters[1] & SELECT_DRIVE;
    uint32_t from = fdc->pcn[select], to = fdc->parameters[2];
    const struct fdc_drive *drive = fdc_drive_selected(fdc, select);
    struct fdc_seek *seek = &fdc->seeks[select];

    set_direction(fdc, to > from);
    seek->target = drive != NULL ? head_target(drive, from, to) : 0;
    seek->pcn = (uint8_t)to;
    seek->status = (uint8_t)(ST0_SEEK_END | select);
    begin(fdc, select, to > from ? to - from : from - to);
}

/* Outwards it stops at track 0; PCN counts modulo 256. */
void
fdc_relative_seek(struct fdc *fdc)
{
    uint32_t select = fdc->parameters[1] & SELECT_DRIVE;
    uint32_t steps = fdc->parameters[2];
    uint32_t inwards = fdc->parameters[0] & RELATIVE_IN;
    const struct fdc_drive *drive = fdc_drive_selected(fdc, select);
    struct fdc_seek *seek = &fdc->seeks[select];
    uint32_t at = drive != NULL ? drive->head_at : fdc->pcn[select];

    set_direction(fdc, inwards);
    if (!inwards) {
        steps = bp_min_u32(steps, at);
    }
    seek->target = drive == NULL ? 0
                   : inwards     ? head_target(drive, 0, steps)
                                 : head_target(drive, steps, 0);
    seek->pcn = (uint8_t)(inwards ? fdc->pcn[select] + steps : fdc->pcn[select] - steps);
    seek->status = (uint8_t)(ST0_SEEK_END | select);
    begin(fdc, select, steps);
}

/* Up to 79 steps outwards until the drive says track 0; a drive that is not there never does. */
void
fdc_recalibrate(struct fdc *fdc)
{
    uint32_t select = fdc->parameters[1] & SELECT_DRIVE;
    const struct fdc_drive *drive = fdc_drive_selected(fdc, select);
    struct fdc_seek *seek = &fdc->seeks[select];
    uint32_t steps = drive != NULL ? drive->head_at : RECALIBRATE_STEPS + 1;
    uint32_t found = steps <= RECALIBRATE_STEPS;

    set_direction(fdc, 0);
    steps = bp_min_u32(steps, RECALIBRATE_STEPS);
    seek->target = drive != NULL ? head_target(drive, steps, 0) : 0;
    seek->pcn = 0;
    seek->status = (uint8_t)(ST0_SEEK_END | select);
    if (!found) {
        seek->status |= ST0_ABNORMAL | ST0_CHECK;
    }
    begin(fdc, select, steps);
}

/* --- interrupts ---------------------------------------------------------------------------------
 */

/* One answer for each drive. What a seek left goes before what a reset left, so that a driver which
 * does not ask four times after a reset still gets its own. */
void
fdc_sense_interrupt(struct fdc *fdc)
{
    int32_t select = find_pending(fdc, FDC_PENDING_SEEK);

    if (select < 0) {
        select = find_pending(fdc, FDC_PENDING_POLL);
    }
    if (select < 0) {
        fdc_invalid(fdc);
        return;
    }
    fdc->result[0] = fdc->seeks[select].status;
    fdc->result[1] = fdc->pcn[select];
    fdc->seeks[select].pending = FDC_PENDING_NONE;
    fdc_interrupt(fdc, 0);
    fdc_result(fdc, 2, 0);
    fdc_seek_remind(fdc);
}

void
fdc_poll_drives(struct fdc *fdc)
{
    if (fdc->config & CONFIG_NO_POLLING) {
        return;
    }
    for (uint32_t i = 0; i < FDC_SELECTS; i++) {
        fdc->seeks[i].pending = FDC_PENDING_POLL;
        fdc->seeks[i].status = (uint8_t)(ST0_POLLING | i);
    }
    fdc_interrupt(fdc, 1);
}

void
fdc_seek_abort(struct fdc *fdc)
{
    for (uint32_t i = 0; i < FDC_SELECTS; i++) {
        if (fdc->seeks[i].busy) {
            fdc->host.timer->cancel(fdc->host.instance, FDC_TIMER_SEEK + i);
        }
    }
    memset(fdc->seeks, 0, sizeof(fdc->seeks));
}
