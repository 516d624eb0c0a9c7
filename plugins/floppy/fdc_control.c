/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that move no data and no heads (82077AA, 5.2; 82078, 5.2). */
#include "floppy.h"

#include <string.h>

void
fdc_invalid(struct fdc *fdc)
{
    fdc->result[0] = ST0_INVALID;
    fdc_result(fdc, 1, 0);
}

/* Step rate, head unload; head load, non-DMA. Head load times are not added to anything. */
void
fdc_specify(struct fdc *fdc)
{
    memcpy(fdc->specify, fdc->parameters + 1, sizeof(fdc->specify));
    fdc_result(fdc, 0, 0);
}

/* ST3: its bits 5 and 3 are always 1 (82077AA, 6.1.4). */
void
fdc_sense_drive(struct fdc *fdc)
{
    const struct fdc_drive *drive = fdc_drive_selected(fdc, fdc->parameters[1]);
    uint32_t st3 = ST3_ONES | (fdc->parameters[1] & (SELECT_HEAD | SELECT_DRIVE));

    if (drive != NULL) {
        st3 |= drive->head_at == 0 ? ST3_TRACK0 : 0;
        st3 |= fdc_drive_protected(drive) ? ST3_PROTECTED : 0;
    }
    fdc->result[0] = (uint8_t)st3;
    fdc_result(fdc, 1, 0);
}

void
fdc_configure(struct fdc *fdc)
{
    fdc->config = fdc->parameters[2] &
                  (CONFIG_IMPLIED_SEEK | CONFIG_NO_FIFO | CONFIG_NO_POLLING | CONFIG_THRESHOLD);
    fdc->precomp_start = fdc->parameters[3];
    fdc_result(fdc, 0, 0);
}

void
fdc_version(struct fdc *fdc)
{
    fdc->result[0] = VERSION_ENHANCED;
    fdc_result(fdc, 1, 0);
}

void
fdc_part_id(struct fdc *fdc)
{
    fdc->result[0] = PART_ID_82078;
    fdc_result(fdc, 1, 0);
}

static uint8_t
lock_and_perpendicular(const struct fdc *fdc)
{
    return (uint8_t)((fdc->locked ? LOCK_BIT : 0) | fdc->perpendicular);
}

void
fdc_dumpreg(struct fdc *fdc)
{
    memcpy(fdc->result, fdc->pcn, sizeof(fdc->pcn));
    memcpy(fdc->result + 4, fdc->specify, sizeof(fdc->specify));
    fdc->result[6] = fdc->last_count;
    fdc->result[7] = lock_and_perpendicular(fdc);
    fdc->result[8] = fdc->config;
    fdc->result[9] = fdc->precomp_start;
    fdc_result(fdc, 10, 0);
}

/* Keeps EFIFO, FIFOTHR and PRETRK over software resets (82077AA, 5.2.10). */
void
fdc_lock(struct fdc *fdc)
{
    fdc->locked = (fdc->parameters[0] & LOCK_BIT) != 0;
    fdc->result[0] = fdc->locked ? 0x10 : 0;
    fdc_result(fdc, 1, 0);
}

/* What it changes on the medium has no meaning for an image. */
void
fdc_perpendicular(struct fdc *fdc)
{
    uint8_t value = fdc->parameters[1];
    uint32_t drives =
        value & PERPENDICULAR_OVERWRITE ? value : fdc->perpendicular; /* OW: drives, too */

    fdc->perpendicular =
        (uint8_t)((drives & PERPENDICULAR_DRIVES) | (value & PERPENDICULAR_GAP_GATE));
    fdc_result(fdc, 0, 0);
}

/* 82078, 5.2.14: the value is reported back. */
void
fdc_power_mode(struct fdc *fdc)
{
    fdc->power_mode = fdc->parameters[1];
    fdc->result[0] = fdc->power_mode;
    fdc_result(fdc, 1, 0);
}

/* ISO format: no index address mark. Nothing of an image. */
void
fdc_option(struct fdc *fdc)
{
    fdc->option = fdc->parameters[1] & 1;
    fdc_result(fdc, 0, 0);
}

/* 82078, 5.2.12: what software needs to put the chip back after its supply was off. */
void
fdc_save_command(struct fdc *fdc)
{
    memset(fdc->result, 0, sizeof(fdc->result));
    fdc->result[0] = fdc->dsr & (DSR_RATE | DSR_PRECOMP | DSR_PD_OSC);
    fdc->result[1] = fdc->option;
    memcpy(fdc->result + 2, fdc->pcn, sizeof(fdc->pcn));
    memcpy(fdc->result + 6, fdc->specify, sizeof(fdc->specify));
    fdc->result[8] = fdc->last_count;
    fdc->result[9] = lock_and_perpendicular(fdc);
    fdc->result[10] = fdc->config;
    fdc->result[11] = fdc->precomp_start;
    fdc->result[12] = fdc->power_mode;
    fdc_result(fdc, 16, 0);
}

void
fdc_restore_command(struct fdc *fdc)
{
    const uint8_t *saved = fdc->parameters + 1;

    fdc->dsr = saved[0] & (DSR_RATE | DSR_PRECOMP | DSR_PD_OSC);
    fdc->option = saved[1] & 1;
    memcpy(fdc->pcn, saved + 2, sizeof(fdc->pcn));
    memcpy(fdc->specify, saved + 6, sizeof(fdc->specify));
    fdc->last_count = saved[8];
    fdc->locked = (saved[9] & LOCK_BIT) != 0;
    fdc->perpendicular = saved[9] & (PERPENDICULAR_DRIVES | PERPENDICULAR_GAP_GATE);
    fdc->config =
        saved[10] & (CONFIG_IMPLIED_SEEK | CONFIG_NO_FIFO | CONFIG_NO_POLLING | CONFIG_THRESHOLD);
    fdc->precomp_start = saved[11];
    fdc->power_mode = saved[12];
    fdc_result(fdc, 0, 0);
}

/* A byte for each drive, the last one says so and whether there is a result (82078, 5.2.11). */
void
fdc_drive_spec(struct fdc *fdc)
{
    uint8_t value = fdc->parameters[1];

    if (!(value & DRIVE_SPEC_DONE)) {
        fdc->drive_spec[value >> 5 & SELECT_DRIVE] = value & 0x1f;
        fdc->parameter_count = 1; /* the next one takes its place */
        return;
    }
    memcpy(fdc->result, fdc->drive_spec, sizeof(fdc->drive_spec));
    fdc_result(fdc, value & DRIVE_SPEC_NO_RESULT ? 0 : FDC_SELECTS, 0);
}
