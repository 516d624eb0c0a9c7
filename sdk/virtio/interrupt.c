/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts: a vector's message while MSI-X is on, else ISR and the INTx line (virtio 1.2,
 * 4.1.4.5, 4.1.5.1.2). */
#include "virtio_internal.h"

#define MODE_MSIX 2

/* The line follows the ISR: both change under one lock, so that a status read cannot lower what a
 * loop has just raised. */
void
virtio_interrupt(struct bp_virtio *virtio, uint32_t vector, uint32_t isr)
{
    const struct bp_services *host = virtio->host;

    if (host->pci->message_mode(host->instance) == MODE_MSIX) {
        if (vector != VIRTIO_NO_VECTOR) {
            host->msix->fire(host->instance, vector);
        }
        return;
    }
    pthread_mutex_lock(&virtio->irq_lock);
    virtio->isr |= isr;
    host->irq->set(host->instance, VIRTIO_LINE, 1);
    pthread_mutex_unlock(&virtio->irq_lock);
}

uint32_t
virtio_read_isr(struct bp_virtio *virtio)
{
    const struct bp_services *host = virtio->host;
    uint32_t isr;

    pthread_mutex_lock(&virtio->irq_lock);
    isr = virtio->isr;
    virtio->isr = 0;
    host->irq->set(host->instance, VIRTIO_LINE, 0);
    pthread_mutex_unlock(&virtio->irq_lock);
    return isr;
}

void
virtio_clear_isr(struct bp_virtio *virtio)
{
    (void)virtio_read_isr(virtio);
}

/* Before DRIVER_OK nobody listens (2.1.2). */
void
virtio_config_interrupt(struct bp_virtio *virtio)
{
    if (atomic_load(&virtio->status) & BP_VIRTIO_DRIVER_OK) {
        virtio_interrupt(virtio, atomic_load(&virtio->config_vector), VIRTIO_ISR_CONFIG);
    }
}
