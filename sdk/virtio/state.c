/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state: registers, rings, and the chains that the device holds. */
#include "virtio_internal.h"
