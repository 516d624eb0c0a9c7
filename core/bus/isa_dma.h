/* SPDX-License-Identifier: Apache-2.0 */
/* The ISA DMA channels as devices see them; the 8237 pair in core/board implements it. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct IsaDma IsaDma;

typedef enum {
    ISA_DMA_VERIFY = 0,
    ISA_DMA_TO_MEMORY = 1,   /* "write transfer": device to memory */
    ISA_DMA_FROM_MEMORY = 2, /* "read transfer": memory to device */
    ISA_DMA_ILLEGAL = 3,
} IsaDmaDirection;

typedef struct {
    IsaDmaDirection direction;
    bool masked;
    bool autoinit;
    bool decrement;
    uint8_t mode;             /* 0 demand, 1 single, 2 block, 3 cascade */
    uint32_t remaining_bytes; /* until terminal count: 1..65536 (131072 on 16-bit channels) */
} IsaDmaStatus;

/* ready: called (any thread, no lock of the controller held) when a channel whose DREQ is high
 * becomes unmasked or is reprogrammed, so that the device may go on. -EBUSY: taken; -EINVAL: no
 * such channel or channel 4. [control] */
int isa_dma_claim(IsaDma *dma, unsigned channel, void (*ready)(void *opaque), void *opaque);
void isa_dma_release(IsaDma *dma, unsigned channel);
void isa_dma_set_dreq(IsaDma *dma, unsigned channel, bool level);         /* [any] */
void isa_dma_status(IsaDma *dma, unsigned channel, IsaDmaStatus *status); /* [any] */
/* Moves up to length bytes between data and memory in the channel's programmed direction, stops at
 * terminal count (*terminal set). Returns bytes moved; 0 while masked. Verify moves no data but
 * counts. Addresses wrap within the 64 KiB (128 KiB) page, as on the chip. [any] */
uint32_t isa_dma_transfer(IsaDma *dma, unsigned channel, void *data, uint32_t length,
                          bool *terminal);
