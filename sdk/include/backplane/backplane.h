/* SPDX-License-Identifier: Apache-2.0 */
/* The whole plugin ABI. */
#ifndef BACKPLANE_BACKPLANE_H
#define BACKPLANE_BACKPLANE_H

#include <backplane/abi.h>
#include <backplane/block.h>
#include <backplane/char.h>
#include <backplane/config.h>
#include <backplane/core.h>
#include <backplane/inspect.h>
#include <backplane/irq.h>
#include <backplane/isadma.h>
#include <backplane/life.h>
#include <backplane/log.h>
#include <backplane/loop.h>
#include <backplane/media.h>
#include <backplane/memory.h>
#include <backplane/net.h>
#include <backplane/nic.h>
#include <backplane/pci.h>
#include <backplane/plugin.h>
#include <backplane/region.h>
#include <backplane/scsi.h>
#include <backplane/state.h>
#include <backplane/timer.h>

#endif
