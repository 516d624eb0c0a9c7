/* SPDX-License-Identifier: Apache-2.0 */
/* What every ATA device does with its registers: status, interrupt request, data block. */
#include "ide.h"

#include <stdio.h>
#include <string.h>

void
ide_device_interrupt(struct ide_device *device)
{
    device->intrq = 1;
    ide_channel_update_irq(device->channel);
}

void
ide_device_busy(struct ide_device *device)
{
    device->regs.status = ATA_BSY | ATA_DRDY | ATA_DSC;
}

void
ide_device_idle(struct ide_device *device, uint8_t error)
{
    device->regs.status = ATA_DRDY | ATA_DSC | (error != 0 ? ATA_ERR : 0);
    device->regs.error = error;
    device->dmarq = 0;
    device->data_pos = device->data_end = 0;
}

void
ide_device_done(struct ide_device *device, uint8_t error)
{
    ide_device_idle(device, error);
    ide_device_interrupt(device);
}

void
ide_device_data(struct ide_device *device, uint8_t *data, uint32_t length, uint8_t to_host,
                uint32_t interrupt)
{
    device->data = data;
    device->data_pos = 0;
    device->data_end = length;
    device->data_in = to_host;
    device->regs.status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    if (interrupt) {
        ide_device_interrupt(device);
    }
}

void
ide_device_request_dma(struct ide_device *device)
{
    device->regs.status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    device->dmarq = 1;
    ide_channel_try_dma(device->channel);
}

void
ide_device_abandon(struct ide_device *device)
{
    device->intrq = 0;
    device->dmarq = 0;
    device->data_pos = device->data_end = 0;
    device->regs.status = ATA_BSY;
    ide_channel_update_irq(device->channel);
}

void
ide_device_signature(struct ide_device *device, uint8_t mid, uint8_t high)
{
    struct ide_registers *regs = &device->regs;

    memset(regs, 0, sizeof(*regs));
    regs->error = ATA_DIAGNOSTIC_PASSED;
    regs->count[0] = 1;
    regs->low[0] = 1;
    regs->mid[0] = mid;
    regs->high[0] = high;
    regs->status = ATA_BSY;
}

/* Moves the block's position; when the block is through, the device goes on. */
static void
data_moved(struct ide_device *device, uint32_t length)
{
    device->data_pos += length;
    if (device->data_pos == device->data_end) {
        device->data_pos = device->data_end = 0;
        device->ops->block_done(device);
    }
}

static uint32_t
data_available(const struct ide_device *device, uint8_t to_host, uint32_t length)
{
    uint32_t left = device->data_end - device->data_pos;

    if (!(device->regs.status & ATA_DRQ) || device->data_in != to_host) {
        return 0;
    }
    return length < left ? length : left;
}

uint32_t
ide_device_read_data(struct ide_device *device, uint8_t *data, uint32_t length)
{
    uint32_t n = data_available(device, 1, length);

    if (n != 0) {
        memcpy(data, device->data + device->data_pos, n);
        data_moved(device, n);
    }
    return n;
}

uint32_t
ide_device_write_data(struct ide_device *device, const uint8_t *data, uint32_t length)
{
    uint32_t n = data_available(device, 0, length);

    if (n != 0) {
        memcpy(device->data + device->data_pos, data, n);
        data_moved(device, n);
    }
    return n;
}

void
ide_tell_error(const struct ide_device *device, uint32_t op, int32_t status, uint32_t action)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "%s:%s", device->ide->id, device->place);
    bp_on_error_tell(&device->ide->host, name, device->backend, op, status, action);
}
