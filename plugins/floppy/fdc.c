/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's registers, its interrupt and its resets.
 *
 * The registers are those of PS/2 mode (82077AA, 2.1), where SRA and SRB exist and the interrupt is
 * not gated; DIR shows bit 7 alone, as in PC-AT mode, because its other bits belong to the hard
 * disk controller there. */
#include "floppy.h"

#include <string.h>

/* --- interrupt ----------------------------------------------------------------------------------
 */

void
fdc_interrupt(struct fdc *fdc, uint32_t level)
{
    fdc->interrupt = level != 0;
    fdc->host.irq->set(fdc->host.instance, FDC_IRQ, fdc->interrupt);
}

void
fdc_interrupt_again(struct fdc *fdc)
{
    fdc_interrupt(fdc, 0);
    fdc_interrupt(fdc, 1);
}

/* --- resets -------------------------------------------------------------------------------------
 */

static void
drop_work(struct fdc *fdc)
{
    fdc_transfer_abort(fdc);
    fdc_seek_abort(fdc);
    fdc_command_idle(fdc);
    fdc_interrupt(fdc, 0);
}

/* 82077AA, 6.2: what a reset by DOR or DSR changes. */
static void
software_defaults(struct fdc *fdc)
{
    if (fdc->locked) {
        fdc->config &= CONFIG_NO_FIFO | CONFIG_THRESHOLD;
    } else {
        fdc->config = CONFIG_NO_FIFO;
        fdc->precomp_start = 0;
    }
    fdc->perpendicular &= (uint8_t)~PERPENDICULAR_GAP_GATE;
    memset(fdc->pcn, 0, sizeof(fdc->pcn));
    fdc->last_count = 0;
}

void
fdc_hardware_reset(struct fdc *fdc, uint32_t power_on)
{
    drop_work(fdc);
    fdc->locked = 0;
    fdc->perpendicular = 0;
    fdc->power_mode = fdc->option = 0;
    fdc->tdr = fdc->dsr = fdc->sra = fdc->srb = 0;
    memset(fdc->specify, 0, sizeof(fdc->specify));
    memset(fdc->drive_spec, 0, sizeof(fdc->drive_spec));
    software_defaults(fdc);
    /* As a self test leaves it, for a machine that starts without firmware: out of reset, DMA
     * enabled, 500 kbit/s. The chip alone would wait in reset at 250. */
    fdc->dor = DOR_NOT_RESET | DOR_DMA_GATE;
    fdc->dsr = RATE_CODE_500;
    for (uint32_t i = 0; power_on && i < FDC_DRIVES; i++) {
        fdc->drives[i].head_at = 0;
        fdc->drives[i].next_id = 0;
        fdc->drives[i].changed = 1;
    }
}

/* --- registers ----------------------------------------------------------------------------------
 */

static void
write_dor(struct fdc *fdc, uint8_t value)
{
    uint32_t released = (value & ~fdc->dor) & DOR_NOT_RESET;
    uint32_t held = (fdc->dor & ~value) & DOR_NOT_RESET;
    uint64_t now = fdc->host.timer->now(fdc->host.instance, BP_CLOCK_VIRTUAL);

    for (uint32_t i = 0; i < FDC_DRIVES; i++) {
        if ((value & ~fdc->dor) & DOR_MOTOR0 << i) {
            fdc->drives[i].motor_ns = now;
        }
    }
    fdc->dor = value;
    bp_debug(&fdc->host, "DOR %02x", value);
    if (held) {
        drop_work(fdc);
    } else if (released) {
        software_defaults(fdc);
        fdc_poll_drives(fdc);
    }
}

/* Reset, power down, precompensation and rate (82077AA, 2.1.5). */
static void
write_dsr(struct fdc *fdc, uint8_t value)
{
    fdc->dsr = value & (uint8_t)~DSR_RESET;
    if ((value & (DSR_RESET | DSR_POWER_DOWN)) && (fdc->dor & DOR_NOT_RESET)) {
        drop_work(fdc);
        software_defaults(fdc);
    }
    if ((value & DSR_RESET) && (fdc->dor & DOR_NOT_RESET)) {
        fdc->dsr &= (uint8_t)~DSR_POWER_DOWN;
        fdc_poll_drives(fdc);
    }
}

/* An access to MSR or FIFO wakes the chip up (82078, 4.2.2). */
static void
wake_up(struct fdc *fdc)
{
    fdc->dsr &= (uint8_t)~DSR_POWER_DOWN;
}

static uint8_t
read_sra(struct fdc *fdc)
{
    const struct fdc_drive *drive = fdc_drive_selected(fdc, fdc->dor & DOR_SELECT);
    uint32_t value = fdc->sra | SRA_NOT_INDEX;

    value |= fdc->interrupt ? SRA_INTERRUPT : 0;
    value |= fdc->drives[1].type == FLOPPY_DRIVE_NONE ? SRA_NOT_DRV2 : 0;
    value |= drive == NULL || drive->head_at != 0 ? SRA_NOT_TRK0 : 0;
    value |= drive == NULL || !fdc_drive_protected(drive) ? SRA_NOT_WP : 0;
    return (uint8_t)value;
}

static uint8_t
read_srb(const struct fdc *fdc)
{
    uint32_t value = SRB_ONES | fdc->srb;

    value |= fdc->dor / DOR_MOTOR0 & SRB_MOTORS;
    value |= (fdc->dor & 1) ? SRB_SELECT0 : 0;
    return (uint8_t)value;
}

static uint8_t
read_msr(struct fdc *fdc)
{
    const struct fdc_transfer *t = &fdc->transfer;
    uint32_t value = 0;

    if (!(fdc->dor & DOR_NOT_RESET)) {
        return 0;
    }
    wake_up(fdc);
    for (uint32_t i = 0; i < FDC_SELECTS; i++) {
        value |= fdc->seeks[i].busy ? 1u << i : 0;
    }
    switch (fdc->phase) {
    case FDC_PHASE_COMMAND:
        return (uint8_t)(value | MSR_REQUEST | (fdc->parameter_count != 0 ? MSR_BUSY : 0));
    case FDC_PHASE_RESULT:
        return (uint8_t)(value | MSR_REQUEST | MSR_TO_HOST | MSR_BUSY);
    default:
        break;
    }
    value |= MSR_BUSY;
    value |= t->step == FDC_STEP_ARRIVE && fdc_seeks_first(fdc) ? 1u << t->select : 0;
    if (t->flags & FDC_T_PIO) {
        value |= MSR_NON_DMA;
        value |= fdc_moves_to_host(t) ? MSR_TO_HOST : 0;
        value |= t->flags & FDC_T_SERVICE ? MSR_REQUEST : 0;
    }
    return (uint8_t)value;
}

static uint8_t
read_fifo(struct fdc *fdc)
{
    if (!(fdc->dor & DOR_NOT_RESET)) {
        return 0;
    }
    wake_up(fdc);
    if (fdc->phase == FDC_PHASE_RESULT) {
        return fdc_result_read(fdc);
    }
    return fdc->phase == FDC_PHASE_EXECUTION ? fdc_pio_read(fdc) : 0;
}

static void
write_fifo(struct fdc *fdc, uint8_t value)
{
    if (!(fdc->dor & DOR_NOT_RESET)) {
        return;
    }
    wake_up(fdc);
    if (fdc->phase == FDC_PHASE_COMMAND) {
        fdc_command_write(fdc, value);
    } else if (fdc->phase == FDC_PHASE_EXECUTION) {
        fdc_pio_write(fdc, value);
    }
}

static uint8_t
read_dir(struct fdc *fdc)
{
    const struct fdc_drive *drive = fdc_drive_selected(fdc, fdc->dor & DOR_SELECT);

    return drive != NULL && (drive->changed || !drive->medium.inserted) ? DIR_CHANGED : 0;
}

static uint64_t
port_read(void *opaque, uint64_t offset, uint32_t width)
{
    struct fdc *fdc = opaque;

    switch (offset) {
    case FDC_PORT_SRA:
        return read_sra(fdc);
    case FDC_PORT_SRB:
        return read_srb(fdc);
    case FDC_PORT_DOR:
        return fdc->dor;
    case FDC_PORT_TDR:
        return fdc->tdr;
    case FDC_PORT_MSR:
        return read_msr(fdc);
    default:
        return read_fifo(fdc);
    }
}

static void
port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    struct fdc *fdc = opaque;

    switch (offset) {
    case FDC_PORT_DOR:
        write_dor(fdc, (uint8_t)value);
        break;
    case FDC_PORT_TDR:
        fdc->tdr = (uint8_t)value & (TDR_TAPE | TDR_BOOT_SEL);
        break;
    case FDC_PORT_DSR:
        write_dsr(fdc, (uint8_t)value);
        break;
    case FDC_PORT_FIFO:
        write_fifo(fdc, (uint8_t)value);
        break;
    default: /* SRA and SRB cannot be written */
        break;
    }
}

static uint64_t
port_3f7_read(void *opaque, uint64_t offset, uint32_t width)
{
    return read_dir(opaque);
}

static void
port_3f7_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    struct fdc *fdc = opaque;

    fdc->dsr = (uint8_t)((fdc->dsr & ~DSR_RATE) | (value & DSR_RATE));
}

static const struct bp_region_ops port_ops = {
    .size = sizeof(port_ops),
    .read = port_read,
    .write = port_write,
};

static const struct bp_region_ops port_3f7_ops = {
    .size = sizeof(port_3f7_ops),
    .read = port_3f7_read,
    .write = port_3f7_write,
};

/* --- declaration --------------------------------------------------------------------------------
 */

static void
run_expired(void *opaque)
{
    struct fdc *fdc = opaque;

    fdc->transfer.flags &= ~FDC_T_WAITING;
    fdc_run(fdc);
}

static void
seek0_expired(void *opaque)
{
    fdc_seek_expired(opaque, 0);
}

static void
seek1_expired(void *opaque)
{
    fdc_seek_expired(opaque, 1);
}

static void
seek2_expired(void *opaque)
{
    fdc_seek_expired(opaque, 2);
}

static void
seek3_expired(void *opaque)
{
    fdc_seek_expired(opaque, 3);
}

static int32_t
declare_timers(struct fdc *fdc)
{
    static void (*const expired[])(void *) = {
        [FDC_TIMER_RUN] = run_expired,        [FDC_TIMER_HOST] = fdc_host_expired,
        [FDC_TIMER_SEEK] = seek0_expired,     [FDC_TIMER_SEEK + 1] = seek1_expired,
        [FDC_TIMER_SEEK + 2] = seek2_expired, [FDC_TIMER_SEEK + 3] = seek3_expired,
    };

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(expired); i++) {
        const struct bp_timer_args args = {
            .size = sizeof(args),
            .id = i,
            .clock = BP_CLOCK_VIRTUAL,
            .loop = fdc->loop,
            .expired = expired[i],
            .opaque = fdc,
        };
        int32_t r = fdc->host.timer->create(fdc->host.instance, &args);
        if (r != 0) {
            return bp_fail(&fdc->host, r, NULL, "no timers for the controller");
        }
    }
    return 0;
}

static int32_t
declare_ports(struct fdc *fdc)
{
    const struct bp_region_args ports = {
        .size = sizeof(ports),
        .id = FDC_REGION_BASE,
        .space = BP_SPACE_PIO,
        .base = 0x3f0,
        .length = 6,
        .ops = &port_ops,
        .opaque = fdc,
    };
    const struct bp_region_args port_3f7 = {
        .size = sizeof(port_3f7),
        .id = FDC_REGION_3F7,
        .space = BP_SPACE_PIO,
        .base = 0x3f7,
        .length = 1,
        .ops = &port_3f7_ops,
        .opaque = fdc,
    };
    int32_t r = fdc->host.region->create(fdc->host.instance, &ports);

    if (r == 0) {
        r = fdc->host.region->create(fdc->host.instance, &port_3f7);
    }
    return r == 0
               ? 0
               : bp_fail(&fdc->host, r, NULL, "ports 3F0h-3F5h or 3F7h belong to another device");
}

int32_t
fdc_declare(struct fdc *fdc)
{
    const struct bp_irq_args irq = {
        .size = sizeof(irq),
        .id = FDC_IRQ,
        .kind = BP_IRQ_ISA,
        .number = FDC_ISA_IRQ,
    };
    int32_t r = declare_ports(fdc);

    if (r != 0) {
        return r;
    }
    r = fdc->host.irq->line(fdc->host.instance, &irq);
    if (r != 0) {
        return bp_fail(&fdc->host, r, NULL, "IRQ %u belongs to another device", FDC_ISA_IRQ);
    }
    r = fdc->host.isadma->claim(fdc->host.instance, FDC_DMA_CHANNEL, fdc->loop, fdc_dma_ready, fdc);
    if (r != 0) {
        return bp_fail(&fdc->host, r, NULL, "DMA channel %u belongs to another device",
                       FDC_DMA_CHANNEL);
    }
    return declare_timers(fdc);
}
