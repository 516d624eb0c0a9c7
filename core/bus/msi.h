/* SPDX-License-Identifier: Apache-2.0 */
/* Message-signalled interrupts. An MsiVector is a message with an eventfd in front of it: the
 * eventfd stays the same for the vector's life, whatever the guest programs or masks. With KVM the
 * eventfd is an irqfd and firing it never enters this program; without KVM the message is a memory
 * write. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MsiController MsiController;
typedef struct MsiVector MsiVector;

/* Implemented by core/kvm (irqfd, routing) and by core/board (memory write). */
typedef struct {
    MsiVector *(*vector_new)(void *opaque, GError **error);
    void (*vector_free)(void *opaque, MsiVector *vector);
    /* enabled false: masked or not programmed; what arrives meanwhile is reported by pending(). */
    void (*vector_set)(void *opaque, MsiVector *vector, bool enabled, uint64_t address,
                       uint32_t data);
    void (*vector_fire)(void *opaque, MsiVector *vector); /* [any] */
    int (*vector_eventfd)(void *opaque, MsiVector *vector);
    /* True if it was fired while disabled; clears the mark. */
    bool (*vector_take_pending)(void *opaque, MsiVector *vector);
} MsiOps;

struct MsiController {
    const MsiOps *ops;
    void *opaque;
};
