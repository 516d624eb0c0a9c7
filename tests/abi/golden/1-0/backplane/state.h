/* SPDX-License-Identifier: Apache-2.0 */
/* bp.state/1: saving and restoring an instance, provided by the plugin.
 *
 * State is a sequence of records: uint16 tag, uint16 reserved (0), uint32 length, then length bytes,
 * padded with zeroes to a multiple of 8; everything little endian. A tag with BP_STATE_MUST must be
 * understood; other unknown tags are skipped. A new field is a new optional tag with a default; the
 * class's state_version rises only when a meaning changes. Never a raw C struct.
 *
 * The core keeps IRQ levels, configuration space, MSI-X, regions and timers' deadlines itself; a plugin
 * saves what is left. */
#ifndef BACKPLANE_STATE_H
#define BACKPLANE_STATE_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_STATE_ID "bp.state/1"

#define BP_STATE_MUST 0x8000u /* bit 15 of a tag */

/* Where records go. Append with put(sink, ...). */
struct bp_state_sink {
    uint32_t size;
    uint32_t flags;
    /* Appends one record; data is copied. tag: 1..FFFFh. length: up to 1 GiB.
     * [control] -EINVAL: tag or length. -ENOSPC: more than the core takes. */
    int32_t (*put)(const struct bp_state_sink *sink, uint32_t tag, const void *data,
                   uint64_t length) BP_MUST_CHECK;
};

struct bp_state_ops {
    uint32_t size;
    uint32_t flags;

    /* Writes the instance's state; it is quiesced.
     * [control] any negative errno. */
    int32_t (*save)(void *self, const struct bp_state_sink *sink) BP_MUST_CHECK;
    /* Checks a state without changing anything: data is untrusted.
     * version: the state_version it was written with. data: length bytes of records, borrowed.
     * [control] -EINVAL: malformed or impossible. -EPROTO: an unknown BP_STATE_MUST tag. */
    int32_t (*validate)(void *self, uint32_t version, const void *data,
                        uint64_t length) BP_MUST_CHECK;
    /* Takes over a state that validate() accepted. Touches no peer, raises no line.
     * [control] as validate. */
    int32_t (*restore)(void *self, uint32_t version, const void *data,
                       uint64_t length) BP_MUST_CHECK;
    /* Everyone is restored: drive lines, resubmit requests.
     * [control] any negative errno. */
    int32_t (*after_restore)(void *self) BP_MUST_CHECK;
};

#ifdef __cplusplus
}
#endif

#endif
