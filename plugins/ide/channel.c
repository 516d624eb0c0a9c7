/* SPDX-License-Identifier: Apache-2.0 */
/* One channel: Command Block and Control Block registers in ISA-compatible places, selection
 * between two devices, the interrupt line.
 *
 * The ports are decoded unless IDETIM bit 15 is cleared (290550, 2.5.3). On a PIIX3 it is 0 after
 * reset, here 1: software for virtual machines counts on ports that work from power-on. What is not
 * decoded reads as all ones. References: ATA/ATAPI-7 V2 for two devices on one cable. */
#include "ide.h"

#include <string.h>

static const uint16_t command_port[IDE_CHANNELS] = {0x1f0, 0x170};
static const uint16_t control_port[IDE_CHANNELS] = {0x3f6, 0x376};
static const uint32_t isa_irq[IDE_CHANNELS] = {14, 15};

#define IDETIM_DECODE 0x8000u

void
ide_channel_update_irq(struct ide_channel *channel)
{
    const struct ide_device *device = ide_channel_device(channel);
    uint8_t level = device != NULL && device->intrq && !(channel->control & ATA_CONTROL_NIEN);

    if (level == channel->line) {
        return;
    }
    channel->line = level;
    if (level) {
        channel->bm.status |= 0x04; /* latched on the rising edge (Bus Master IDE 1.0, 2.2) */
    }
    channel->ide->host.irq->set(channel->ide->host.instance, channel->number, level);
}

void
ide_channel_try_dma(struct ide_channel *channel)
{
    if (!ide_bus_master_running(&channel->bm)) {
        return;
    }
    for (uint32_t unit = 0; unit < IDE_UNITS; unit++) {
        struct ide_device *device = channel->devices[unit];
        if (device != NULL && device->dmarq) {
            device->dmarq = 0;
            device->ops->dma(device);
        }
    }
}

/* The device whose registers answer: device 0 answers for an absent device 1 (ATA/ATAPI-7 V2,
 * "single device configurations"), nobody for an absent device 0. */
static struct ide_device *
responder(const struct ide_channel *channel)
{
    struct ide_device *device = ide_channel_device(channel);

    return device != NULL ? device : channel->selected == 1 ? channel->devices[0] : NULL;
}

static uint8_t
read_status(const struct ide_channel *channel)
{
    const struct ide_device *device = ide_channel_device(channel);

    return device != NULL ? device->regs.status : 0;
}

static uint8_t
read_register(struct ide_channel *channel, uint32_t number)
{
    struct ide_device *device = responder(channel);
    uint32_t previous = (channel->control & ATA_CONTROL_HOB) ? 1 : 0;

    if (device == NULL) {
        return 0;
    }
    switch (number) {
    case ATA_REG_ERROR:
        return device->regs.error;
    case ATA_REG_COUNT:
        return device->regs.count[previous];
    case ATA_REG_LOW:
        return device->regs.low[previous];
    case ATA_REG_MID:
        return device->regs.mid[previous];
    case ATA_REG_HIGH:
        return device->regs.high[previous];
    case ATA_REG_DEVICE:
        return device->regs.device | ATA_DEVICE_OBS;
    default:
        return 0;
    }
}

/* Reading Status, unlike Alternate Status, acknowledges the interrupt (ATA/ATAPI-7 V1, 5.14). */
static uint8_t
read_and_acknowledge(struct ide_channel *channel)
{
    struct ide_device *device = ide_channel_device(channel);
    uint8_t status = read_status(channel);

    if (device != NULL) {
        device->intrq = 0;
        ide_channel_update_irq(channel);
    }
    return status;
}

static void
push(uint8_t reg[2], uint8_t value)
{
    reg[1] = reg[0];
    reg[0] = value;
}

static void
write_device_register(struct ide_registers *regs, uint32_t number, uint8_t value)
{
    switch (number) {
    case ATA_REG_ERROR:
        push(regs->features, value);
        break;
    case ATA_REG_COUNT:
        push(regs->count, value);
        break;
    case ATA_REG_LOW:
        push(regs->low, value);
        break;
    case ATA_REG_MID:
        push(regs->mid, value);
        break;
    case ATA_REG_HIGH:
        push(regs->high, value);
        break;
    default:
        regs->device = value;
        break;
    }
}

/* Both devices take every write (ATA/ATAPI-7 V1, 5.2), but not in the middle of a command, where it
 * would have no defined meaning. */
static void
write_register(struct ide_channel *channel, uint32_t number, uint8_t value)
{
    if (read_status(channel) & (ATA_BSY | ATA_DRQ)) {
        return;
    }
    channel->control &= (uint8_t)~ATA_CONTROL_HOB;
    for (uint32_t unit = 0; unit < IDE_UNITS; unit++) {
        if (channel->devices[unit] != NULL) {
            write_device_register(&channel->devices[unit]->regs, number, value);
        }
    }
    if (number == ATA_REG_DEVICE) {
        channel->selected = (value & ATA_DEVICE_DEV) ? 1 : 0;
        ide_channel_update_irq(channel);
    }
}

/* Addressed to both devices whatever is selected; device 0 interrupts for both (ATA/ATAPI-7 V1,
 * EXECUTE DEVICE DIAGNOSTIC). */
static void
execute_diagnostic(struct ide_channel *channel)
{
    for (uint32_t unit = 0; unit < IDE_UNITS; unit++) {
        struct ide_device *device = channel->devices[unit];
        if (device != NULL) {
            device->ops->abandon(device);
            device->ops->reset(device, IDE_RESET_DIAGNOSTIC);
        }
    }
    channel->selected = 0;
    if (channel->devices[0] != NULL) {
        ide_device_interrupt(channel->devices[0]);
    }
    ide_channel_update_irq(channel);
}

/* The one command that a PACKET device takes at any time, busy and asleep too; without an interrupt
 * (ATA/ATAPI-7 V1, DEVICE RESET). */
static void
device_reset(struct ide_device *device)
{
    device->ops->abandon(device);
    device->ops->reset(device, IDE_RESET_DEVICE);
}

static void
write_command(struct ide_channel *channel, uint8_t opcode)
{
    struct ide_device *device = ide_channel_device(channel);

    if (channel->control & ATA_CONTROL_SRST) {
        return; /* held in reset: DEVICE RESET does not get through, either */
    }
    if (opcode == ATA_DEVICE_RESET && device != NULL && device->slot == IDE_SLOT_CDROM) {
        channel->control &= (uint8_t)~ATA_CONTROL_HOB;
        device_reset(device);
        return;
    }
    if (read_status(channel) & (ATA_BSY | ATA_DRQ)) {
        return;
    }
    channel->control &= (uint8_t)~ATA_CONTROL_HOB;
    if (opcode == ATA_EXECUTE_DIAGNOSTIC) {
        execute_diagnostic(channel);
    } else if (device != NULL && !device->asleep) {
        device->intrq = 0;
        ide_channel_update_irq(channel);
        device->ops->command(device, opcode);
    }
}

static void
write_control(struct ide_channel *channel, uint8_t value)
{
    uint8_t rising = value & (uint8_t)~channel->control & ATA_CONTROL_SRST;
    uint8_t falling = channel->control & (uint8_t)~value & ATA_CONTROL_SRST;

    channel->control = value & (ATA_CONTROL_HOB | ATA_CONTROL_SRST | ATA_CONTROL_NIEN);
    for (uint32_t unit = 0; unit < IDE_UNITS; unit++) {
        struct ide_device *device = channel->devices[unit];
        if (device == NULL) {
            continue;
        }
        if (rising || falling) {
            device->ops->abandon(device);
        }
        if (falling) {
            device->ops->reset(device, IDE_RESET_SOFT);
        }
    }
    if (falling) {
        channel->selected = 0; /* the Device register is part of the signature */
    }
    ide_channel_update_irq(channel);
}

/* --- ports ----------------------------------------------------------------------------------- */

void
ide_channel_look_at_timing(struct ide_channel *channel)
{
    struct ide *ide = channel->ide;
    uint32_t timing = ide->host.pci->peek(ide->host.instance, 0x40 + 2 * channel->number, 2);

    channel->hidden = !(timing & IDETIM_DECODE);
}

static uint64_t
read_data(struct ide_channel *channel, uint32_t width)
{
    struct ide_device *device = ide_channel_device(channel);
    uint8_t bytes[8] = {0};
    uint64_t value;

    if (device != NULL) {
        (void)ide_device_read_data(device, bytes, width);
    }
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint64_t
command_read(void *opaque, uint64_t offset, uint32_t width)
{
    struct ide_channel *channel = opaque;
    uint64_t value = 0;

    if (channel->hidden) {
        return UINT64_MAX;
    }
    if (offset == ATA_REG_DATA) {
        return read_data(channel, width);
    }
    for (uint32_t i = 0; i < width; i++) {
        uint32_t number = (uint32_t)offset + i;
        uint64_t byte = number < ATA_REG_STATUS    ? read_register(channel, number)
                        : number == ATA_REG_STATUS ? read_and_acknowledge(channel)
                                                   : 0xff;
        value |= byte << (8 * i);
    }
    return value;
}

static void
command_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    struct ide_channel *channel = opaque;

    if (channel->hidden) {
        return;
    }
    if (offset == ATA_REG_DATA) {
        struct ide_device *device = ide_channel_device(channel);
        uint8_t bytes[8];
        memcpy(bytes, &value, sizeof(bytes));
        if (device != NULL) {
            (void)ide_device_write_data(device, bytes, width);
        }
        return;
    }
    for (uint32_t i = 0; i < width; i++) {
        uint32_t number = (uint32_t)offset + i;
        uint8_t byte = (uint8_t)(value >> (8 * i));
        if (number < ATA_REG_STATUS) {
            write_register(channel, number, byte);
        } else if (number == ATA_REG_STATUS) {
            write_command(channel, byte);
        }
    }
}

/* REP INS: whole data blocks at a time. What the device does not offer reads as zero. */
static void
command_read_block(void *opaque, uint64_t offset, uint32_t width, uint32_t count, void *data)
{
    struct ide_channel *channel = opaque;
    struct ide_device *device = ide_channel_device(channel);
    uint8_t *out = data;
    uint64_t left = (uint64_t)count * width;

    if (offset != ATA_REG_DATA || channel->hidden) {
        for (uint32_t i = 0; i < count; i++, out += width) {
            uint64_t value = command_read(opaque, offset, width);
            memcpy(out, &value, width);
        }
        return;
    }
    while (left != 0) {
        uint32_t want = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
        uint32_t n = device != NULL ? ide_device_read_data(device, out, want) : 0;
        if (n == 0) {
            memset(out, 0, left);
            return;
        }
        out += n;
        left -= n;
    }
}

static void
command_write_block(void *opaque, uint64_t offset, uint32_t width, uint32_t count, const void *data)
{
    struct ide_channel *channel = opaque;
    struct ide_device *device = ide_channel_device(channel);
    const uint8_t *in = data;
    uint64_t left = (uint64_t)count * width;

    if (offset != ATA_REG_DATA || channel->hidden) {
        for (uint32_t i = 0; i < count; i++, in += width) {
            uint64_t value = 0;
            memcpy(&value, in, width);
            command_write(opaque, offset, width, value);
        }
        return;
    }
    while (left != 0 && device != NULL) {
        uint32_t want = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
        uint32_t n = ide_device_write_data(device, in, want);
        if (n == 0) {
            return;
        }
        in += n;
        left -= n;
    }
}

static uint64_t
control_read(void *opaque, uint64_t offset, uint32_t width)
{
    const struct ide_channel *channel = opaque;

    return channel->hidden ? UINT64_MAX : read_status(channel);
}

static void
control_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
    struct ide_channel *channel = opaque;

    if (!channel->hidden) {
        write_control(channel, (uint8_t)value);
    }
}

static const struct bp_region_ops command_ops = {
    .size = sizeof(command_ops),
    .read = command_read,
    .write = command_write,
    .read_block = command_read_block,
    .write_block = command_write_block,
};

static const struct bp_region_ops control_ops = {
    .size = sizeof(control_ops),
    .read = control_read,
    .write = control_write,
};

int32_t
ide_channel_declare(struct ide_channel *channel)
{
    struct ide *ide = channel->ide;
    const struct bp_region_args command = {
        .size = sizeof(command),
        .id = channel->number * 2,
        .space = BP_SPACE_PIO,
        .widths = BP_WIDTH_1 | BP_WIDTH_2 | BP_WIDTH_4,
        .base = command_port[channel->number],
        .length = 8,
        .ops = &command_ops,
        .opaque = channel,
    };
    const struct bp_region_args control = {
        .size = sizeof(control),
        .id = channel->number * 2 + 1,
        .space = BP_SPACE_PIO,
        .widths = BP_WIDTH_1,
        .base =
            control_port[channel->number], /* the byte after it belongs to the floppy controller */
        .length = 1,
        .ops = &control_ops,
        .opaque = channel,
    };
    const struct bp_irq_args irq = {
        .size = sizeof(irq),
        .id = channel->number,
        .kind = BP_IRQ_ISA,
        .number = isa_irq[channel->number],
    };
    int32_t r = ide->host.region->create(ide->host.instance, &command);

    if (r == 0) {
        r = ide->host.region->create(ide->host.instance, &control);
    }
    return r == 0 ? ide->host.irq->line(ide->host.instance, &irq) : r;
}

void
ide_channel_reset(struct ide_channel *channel)
{
    ide_bus_master_reset(&channel->bm);
    channel->hidden = 0;
    channel->control = 0;
    channel->selected = 0;
    for (uint32_t unit = 0; unit < IDE_UNITS; unit++) {
        struct ide_device *device = channel->devices[unit];
        if (device != NULL) {
            device->ops->abandon(device);
            device->ops->reset(device, IDE_RESET_HARD);
        }
    }
    ide_channel_update_irq(channel);
}
