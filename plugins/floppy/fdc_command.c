/* SPDX-License-Identifier: Apache-2.0 */
/* Command phase and result phase (82077AA, 4.1 and 4.3). */
#include "floppy.h"

#include <stdio.h>
#include <string.h>

struct command {
    uint8_t mask;
    uint8_t code;
    uint8_t bytes; /* of the command phase, the code included; 0: as many as it takes */
    void (*run)(struct fdc *fdc);
};

#define DRIVE_SPEC_CODE 0x8eu

/* 82077AA, table 5-1; 82078, table 5-1. The first that matches counts. Where MT, MFM and SK have no
 * meaning the chip expects zeroes; bit 7 of FORMAT TRACK is set by MS-DOS, and any of them of WRITE
 * DATA by BeOS, so these are not decoded. */
static const struct command commands[] = {
    {0xff, 0x03, 3, fdc_specify},
    {0xff, 0x04, 2, fdc_sense_drive},
    {0xff, 0x07, 2, fdc_recalibrate},
    {0xff, 0x08, 1, fdc_sense_interrupt},
    {0xff, 0x0e, 1, fdc_dumpreg},
    {0xff, 0x0f, 3, fdc_seek_command},
    {0xbf, 0x8f, 3, fdc_relative_seek},
    {0xff, 0x10, 1, fdc_version},
    {0xff, 0x12, 2, fdc_perpendicular},
    {0xff, 0x13, 4, fdc_configure},
    {0x7f, 0x14, 1, fdc_lock},
    {0xff, 0x17, 2, fdc_power_mode},
    {0xff, 0x18, 1, fdc_part_id},
    {0xff, 0x2e, 1, fdc_save_command},
    {0xff, 0x33, 2, fdc_option},
    {0xff, 0x4e, 17, fdc_restore_command},
    {0xff, DRIVE_SPEC_CODE, 0, fdc_drive_spec},
    {0xbf, 0x0a, 2, fdc_start_read_id},
    {0xbf, 0x02, 9, fdc_start_read_track},
    {0x1f, 0x05, 9, fdc_start_write},
    {0x3f, 0x09, 9, fdc_start_write}, /* deleted */
    {0x1f, 0x06, 9, fdc_start_read},
    {0x1f, 0x0c, 9, fdc_start_read}, /* deleted */
    {0x1f, 0x16, 9, fdc_start_verify},
    {0x1f, 0x11, 9, fdc_start_scan},
    {0x1f, 0x19, 9, fdc_start_scan},
    {0x1f, 0x1d, 9, fdc_start_scan},
    {0x3f, 0x0d, 6, fdc_start_format},
    {0xbf, 0xad, 6, fdc_start_format}, /* and write */
};

static const struct command *
find(uint8_t code)
{
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(commands); i++) {
        if ((code & commands[i].mask) == commands[i].code) {
            return &commands[i];
        }
    }
    return NULL;
}

void
fdc_command_idle(struct fdc *fdc)
{
    fdc->phase = FDC_PHASE_COMMAND;
    fdc->parameter_count = fdc->parameter_total = 0;
    fdc->result_count = fdc->result_next = 0;
    fdc->result_interrupts = 0;
}

/* For developers: what drivers really send. */
static void
log_bytes(const struct fdc *fdc, const char *what, const uint8_t *bytes, uint32_t count)
{
    char text[3 * FDC_PARAMETERS + 1] = "";

    if (!fdc->host.log->enabled(fdc->host.instance, BP_LOG_DEBUG)) {
        return;
    }
    for (uint32_t i = 0; i < count && i < FDC_PARAMETERS; i++) {
        (void)snprintf(text + (size_t)3 * i, 4, " %02x", bytes[i]);
    }
    bp_debug(&fdc->host, "%s%s", what, text);
}

/* DRIVE SPECIFICATION goes on until a byte says that it is the last; each is acted on at once, so
 * nothing has to be kept. */
static uint32_t
is_complete(const struct fdc *fdc)
{
    if (fdc->parameters[0] == DRIVE_SPEC_CODE) {
        return fdc->parameter_count > 1;
    }
    return fdc->parameter_count == fdc->parameter_total;
}

void
fdc_command_write(struct fdc *fdc, uint8_t value)
{
    const struct command *command;

    if (fdc->parameter_count == 0) {
        command = find(value);
        fdc->parameter_total = command != NULL ? command->bytes : 1;
    } else {
        command = find(fdc->parameters[0]);
    }
    if (fdc->parameter_count >= FDC_PARAMETERS) {
        return; /* cannot be: no command is longer */
    }
    fdc->parameters[fdc->parameter_count++] = value;
    if (!is_complete(fdc)) {
        return;
    }
    log_bytes(fdc, "command", fdc->parameters, fdc->parameter_count);
    if (command != NULL) {
        command->run(fdc);
    } else {
        fdc_invalid(fdc);
    }
}

void
fdc_result(struct fdc *fdc, uint32_t count, uint32_t interrupt)
{
    fdc_command_idle(fdc);
    if (count == 0) {
        return;
    }
    log_bytes(fdc, "result", fdc->result, count);
    fdc->phase = FDC_PHASE_RESULT;
    fdc->result_count = (uint8_t)bp_min_u32(count, FDC_RESULT_BYTES);
    fdc->result_interrupts = interrupt != 0;
    if (interrupt) {
        fdc_interrupt(fdc, 1);
    }
}

uint8_t
fdc_result_read(struct fdc *fdc)
{
    uint8_t value = fdc->result[fdc->result_next % FDC_RESULT_BYTES];

    fdc->result_next++;
    if (fdc->result_next >= fdc->result_count) {
        uint32_t interrupt = fdc->result_interrupts;
        fdc_command_idle(fdc);
        if (interrupt) {
            fdc_interrupt(fdc, 0);
            fdc_seek_remind(fdc);
        }
    }
    return value;
}
