/* SPDX-License-Identifier: Apache-2.0 */
/* The SDK's static library: comfort for plugins, compiled into each of them. It stands on the ABI
 * and is no part of it: it may change with every release, and a plugin that is built stays as it
 * is. Needs libc only. */
#ifndef BACKPLANE_SDK_SDK_H
#define BACKPLANE_SDK_SDK_H

#include <backplane/backplane.h>
#include <backplane/sdk/bits.h>
#include <backplane/sdk/char_port.h>
#include <backplane/sdk/fifo.h>
#include <backplane/sdk/iovec.h>
#include <backplane/sdk/on_error.h>
#include <backplane/sdk/services.h>
#include <backplane/sdk/state.h>

#endif
