/* SPDX-License-Identifier: Apache-2.0 */
/* Built instead of loop_uring.c where liburing is missing. */
#include "loop/loop_internal.h"

const LoopEngineOps *
loop_uring_engine(void)
{
    return NULL;
}
