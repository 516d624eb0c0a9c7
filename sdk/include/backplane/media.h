/* SPDX-License-Identifier: Apache-2.0 */
/* bp.media/1: drives of a device whose media come and go while the machine runs.
 *
 * A drive is one use of one of the device's slots; its medium is the backend attached there. The slot has
 * BP_SLOT_HOTPLUG if media are removable. A medium goes in with life.attach and out with life.detach,
 * between life.quiesce and life.resume, and never while a tray is closed:
 *
 *   change:  open (if closed) -> quiesce -> detach old -> attach new -> resume -> close
 *
 * A tray may be open with a medium in it: the guest then finds no medium, and the same one again when it
 * closes the tray. A drive without a tray (floppy) has its medium changed at any time, and the guest
 * notices by the means of that drive.
 *
 * The device provides bp_media_ops through the class's query(); the core answers host->query() with
 * bp_media_host. Operators name a drive as boot.order does, "instance:unit", or by the drive's own
 * name. */
#ifndef BACKPLANE_MEDIA_H
#define BACKPLANE_MEDIA_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_MEDIA_ID      "bp.media/1"
#define BP_MEDIA_HOST_ID "bp.media-host/1"

#define BP_MEDIA_REMOVABLE       (1u << 0) /* media come and go; else a fixed disk, listed only */
#define BP_MEDIA_TRAY            (1u << 1) /* has a tray: open and close do something */
#define BP_MEDIA_OPEN            (1u << 2) /* the tray is open now */
#define BP_MEDIA_LOCKED          (1u << 3) /* the guest has locked it: PREVENT MEDIUM REMOVAL */
#define BP_MEDIA_PRESENT         (1u << 4) /* the guest finds a medium: attached, and not in an open tray */
#define BP_MEDIA_EJECT_REQUESTED (1u << 5) /* the guest was asked to let go, and has not yet */
#define BP_MEDIA_READ_ONLY       (1u << 6) /* the drive cannot write: media are opened for reading */

/* What a drive is and how it stands. Out struct. */
struct bp_media_drive {
    uint32_t size;
    uint32_t flags;   /* BP_MEDIA_... */
    uint32_t slot;    /* index in the class's slots[] */
    uint32_t use;     /* number of the use that life.attach and life.detach name */
    const char *unit; /* as in boot.order after the colon: "1.0"; valid until destroy() */
    const char *name; /* that the description gives the drive, or NULL; valid until destroy() */
};

#define BP_MEDIA_FORCE (1u << 0) /* open: whatever the guest has locked */

#define BP_MEDIA_REFUSED 1 /* open: locked; the guest was told that someone wants the medium out */

/* Provided by a device. Called from realize() on. */
struct bp_media_ops {
    uint32_t size;
    uint32_t flags;

    /* Tells about a drive, now. index: 0, 1, ...; which drive an index, its slot, use, unit and name
     * belong to never changes after realize().
     * drive: the caller sets size.
     * [control] -ENOENT: past the last one. */
    int32_t (*drive)(void *self, uint32_t index, struct bp_media_drive *drive) BP_MUST_CHECK;
    /* The eject button. A tray that is open stays so. flags: BP_MEDIA_FORCE: opens, and unlocks, a
     * locked one; else the guest is told of a request and BP_MEDIA_REFUSED returned. NULL if no drive
     * has a tray.
     * [control] -EOPNOTSUPP: no tray. -ENOENT: index. */
    int32_t (*open)(void *self, uint32_t index, uint32_t flags) BP_MUST_CHECK;
    /* Pushes the tray in; with a medium in it the guest sees a new one. One that is closed stays so.
     * NULL if no drive has a tray.
     * [control] -EOPNOTSUPP: no tray. -ENOENT: index. */
    int32_t (*close)(void *self, uint32_t index) BP_MUST_CHECK;
};

/* Offered by the core. */
struct bp_media_host {
    uint32_t size;
    uint32_t flags;

    /* The tray of a drive has moved, whoever moved it: operators see DEVICE_TRAY_MOVED. index: as in
     * bp_media_ops.drive. open: 1 or 0, where it is now.
     * [any] */
    void (*tray_moved)(struct bp_instance *instance, uint32_t index, uint32_t open);
};

#ifdef __cplusplus
}
#endif

#endif
