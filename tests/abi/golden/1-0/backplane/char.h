/* SPDX-License-Identifier: Apache-2.0 */
/* bp.char/1: a stream of bytes in both directions, provided by backends (terminal, file, socket). */
#ifndef BACKPLANE_CHAR_H
#define BACKPLANE_CHAR_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_CHAR_ID "bp.char/1"

#define BP_CHAR_EVENT_OPENED 1u /* someone is at the other end */
#define BP_CHAR_EVENT_CLOSED 2u /* nobody is: writes are taken and dropped */
#define BP_CHAR_EVENT_BREAK  3u /* a break condition was received */

#define BP_CHAR_DTR (1u << 0)
#define BP_CHAR_RTS (1u << 1)
#define BP_CHAR_CTS (1u << 2)
#define BP_CHAR_DSR (1u << 3)
#define BP_CHAR_DCD (1u << 4)
#define BP_CHAR_RI  (1u << 5)

/* What the device offers. */
struct bp_char_client {
    uint32_t size;
    uint32_t flags;
    /* Bytes arrived; never more than the credit given.
     * data: length bytes, borrowed.
     * [loop] */
    void (*receive)(void *opaque, const uint8_t *data, uint32_t length);
    /* Optional: after a write() that took less than offered, there is room again.
     * [loop] */
    void (*writable)(void *opaque);
    /* Optional. event: BP_CHAR_EVENT_...
     * [loop] */
    void (*event)(void *opaque, uint32_t event);
    /* Optional: input lines changed. lines: BP_CHAR_CTS | DSR | DCD | RI that are asserted.
     * [loop] */
    void (*lines)(void *opaque, uint32_t lines);
};

struct bp_char_connect {
    uint32_t size;
    uint32_t flags; /* 0 */
    uint32_t loop;  /* loop for the client's functions */
    uint32_t reserved;
    const struct bp_char_client *client; /* copied */
    void *opaque;   /* first argument of the client's functions */
};

struct bp_char_ops {
    uint32_t size;
    uint32_t flags;

    /* Connects the one client; no byte arrives before credit is given.
     * [control] -EBUSY: there is one already. -ENOENT: loop. */
    int32_t (*connect)(void *self, const struct bp_char_connect *args) BP_MUST_CHECK;
    /* Disconnects: synchronous, the client is not called afterwards. What was written is sent if that
     * is possible at once.
     * [control] */
    void (*disconnect)(void *self);
    /* Writes. Never blocks.
     * length: bytes; 0 is allowed and returns 0.
     * Returns how many bytes were taken, maybe 0; then writable() will come.
     * [any] */
    int32_t (*write)(void *self, const uint8_t *data, uint32_t length) BP_MUST_CHECK;
    /* Sets how many bytes the client can take now; replaces an earlier credit. receive() uses it up.
     * [any] */
    void (*credit)(void *self, uint32_t bytes);
    /* Optional: the client's output lines. lines: BP_CHAR_DTR | BP_CHAR_RTS that are asserted.
     * [any] */
    void (*set_lines)(void *self, uint32_t lines);
    /* Optional: the input lines now: BP_CHAR_CTS | DSR | DCD | RI.
     * [any] */
    uint32_t (*get_lines)(void *self);
    /* Optional: send a break.
     * [any] */
    void (*send_break)(void *self);
    /* Optional: the line's parameters changed, for a real port. rate: bits per second. data_bits 5..8,
     * parity: 0 none, 1 odd, 2 even, 3 mark, 4 space. stop_bits: 1 or 2.
     * [any] */
    void (*set_parameters)(void *self, uint32_t rate, uint32_t data_bits, uint32_t parity,
                           uint32_t stop_bits);
};

#ifdef __cplusplus
}
#endif

#endif
