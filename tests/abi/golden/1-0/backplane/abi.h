/* SPDX-License-Identifier: Apache-2.0 */
/* The rules every table and record of the plugin ABI follows.
 *
 * Tables. Each interface table starts with `uint32_t size; uint32_t flags;`. Members are appended,
 * never moved or changed; the reader asks BP_HAS() before it uses a member that was appended after
 * 1.0. A changed meaning gets a new interface id ("bp.block/2").
 *
 * Argument structs start with `size` too: a shorter one stands for zeroes in what is missing, a longer
 * one must be zero in its unknown tail, else -E2BIG. Zero means "as before". Unknown flags: -EINVAL.
 * Out structs: the caller sets size, the callee fills at most that much and leaves size alone.
 *
 * Records in arrays have a frozen size. Padding is explicit and zero.
 *
 * Results are int32_t: 0 or a documented positive value, or a negative errno number of Linux.
 *
 * Threads. Every function carries one tag:
 *   [control] the one control thread; calls into one instance never overlap.
 *   [vcpu]    any vCPU thread, or the control thread in the test protocol. For SERIAL and PER_QUEUE
 *             classes the core holds the instance's lock.
 *   [loop]    the loop thread named at registration. For SERIAL classes under the instance's lock; that
 *             includes what a backend calls in its client (complete, receive ...), because the table
 *             that a slot gets is the core's, which takes the lock and passes on. So a backend holds
 *             no lock of its own that its [any] functions take while it calls its client.
 *   [any]     any thread; thread-safe; may be called under the caller's locks; never calls back.
 * Nothing may block longer than about a millisecond in [vcpu] or [loop]. No completion, timer or
 * descriptor callback is delivered inside a host call of the same instance. Instance locks never
 * nest: the core holds at most one while it is inside a plugin.
 *
 * Strings are UTF-8, zero-terminated, borrowed for the call unless a comment says longer. */
#ifndef BACKPLANE_ABI_H
#define BACKPLANE_ABI_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_ABI_MAJOR 1u
#define BP_ABI_MINOR 0u

/* True if the table behind the pointer has the member and the member is not NULL or zero. */
#define BP_HAS(table, member)                                                                      \
    ((table)->size >= offsetof(__typeof__(*(table)), member) + sizeof((table)->member) &&          \
     (table)->member != 0)

#define BP_MUST_CHECK __attribute__((warn_unused_result))
#define BP_EXPORT     __attribute__((visibility("default")))

/* A handle of the core: one created object of a plugin's class. Host functions take it first. */
struct bp_instance;

/* A piece of memory in the plugin's address space. Frozen: 16 bytes. */
struct bp_iovec {
    void *base;
    uint64_t length; /* bytes */
};

#ifdef __cplusplus
}
#endif

#endif
