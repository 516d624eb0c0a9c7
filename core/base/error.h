/* SPDX-License-Identifier: Apache-2.0 */
/* The error domain of the core's set-up paths. Text is for the user, written once, where the facts
 * are; it names what failed, why, and what to do. */
#pragma once

#include <glib.h>

#define BACKPLANE_ERROR (backplane_error_quark())
GQuark backplane_error_quark(void);

typedef enum {
    ERROR_CONFIG,      /* the machine description, an option or a command line is wrong */
    ERROR_PLUGIN,      /* a plugin is missing, refused or failed to start */
    ERROR_HOST,        /* the host lacks or refuses something: /dev/kvm, memory, a file */
    ERROR_UNSUPPORTED, /* asked for something this build or host cannot do */
    ERROR_NOT_FOUND,   /* an operator named a device that is not there */
    ERROR_STATE,       /* it cannot be done now: a locked tray, a backend in use, a time-out */
} BackplaneError;
