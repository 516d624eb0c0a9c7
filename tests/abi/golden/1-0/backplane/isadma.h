/* SPDX-License-Identifier: Apache-2.0 */
/* bp.isadma/1: a channel of the 8237s. Reference: Intel 8237A data sheet. */
#ifndef BACKPLANE_ISADMA_H
#define BACKPLANE_ISADMA_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_ISADMA_ID "bp.isadma/1"

#define BP_ISADMA_VERIFY      0u /* counts, moves nothing */
#define BP_ISADMA_TO_MEMORY   1u /* the 8237's "write transfer" */
#define BP_ISADMA_FROM_MEMORY 2u /* the 8237's "read transfer" */
#define BP_ISADMA_ILLEGAL     3u

/* Out struct. */
struct bp_isadma_status {
    uint32_t size;
    uint32_t flags;     /* 0 */
    uint32_t direction; /* BP_ISADMA_... as programmed */
    uint32_t masked;    /* 0 or 1 */
    uint32_t autoinit;  /* 0 or 1 */
    uint32_t mode;      /* 0 demand, 1 single, 2 block, 3 cascade */
    uint64_t remaining; /* bytes until terminal count: 1..65536, 131072 on channels 5-7 */
};

struct bp_isadma_host {
    uint32_t size;
    uint32_t flags;

    /* Takes a channel. channel: 0-3 (8 bit), 5-7 (16 bit). loop: where ready is called. ready: the
     * channel was unmasked or programmed while its DREQ is high, so transfer() may move data now;
     * optional. Released by the core before destroy().
     * [control] -EBUSY: another device has it. -EINVAL: channel. -ENOENT: loop. */
    int32_t (*claim)(struct bp_instance *instance, uint32_t channel, uint32_t loop,
                     void (*ready)(void *opaque), void *opaque) BP_MUST_CHECK;
    /* Drives the request line. level: 0 or 1.
     * [any] */
    void (*dreq)(struct bp_instance *instance, uint32_t channel, uint32_t level);
    /* Tells how the guest programmed the channel.
     * [any] -EINVAL: a channel that was not claimed. */
    int32_t (*status)(struct bp_instance *instance, uint32_t channel,
                      struct bp_isadma_status *status) BP_MUST_CHECK;
    /* Moves up to length bytes between data and guest memory, in the programmed direction, up to
     * terminal count. data: the device's buffer. *terminal: set to 1 when terminal count was reached
     * with the last byte, else 0.
     * Returns the number of bytes moved; 0 while the channel is masked.
     * [any] -EINVAL: a channel that was not claimed. */
    int32_t (*transfer)(struct bp_instance *instance, uint32_t channel, void *data, uint32_t length,
                        uint32_t *terminal) BP_MUST_CHECK;
};

#ifdef __cplusplus
}
#endif

#endif
