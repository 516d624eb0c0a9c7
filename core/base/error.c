/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

/* The name is no expression, as clang-format would have it. */
/* clang-format off */
G_DEFINE_QUARK(backplane-error-quark, backplane_error)
/* clang-format on */
