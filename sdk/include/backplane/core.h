/* SPDX-License-Identifier: Apache-2.0 */
/* bp.core/1: what an instance asks of the machine as a whole. */
#ifndef BACKPLANE_CORE_H
#define BACKPLANE_CORE_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_CORE_ID "bp.core/1"

#define BP_REQUEST_QUIT     1u /* end the program, as a user's command */
#define BP_REQUEST_STOP     2u /* pause the machine until someone resumes it: error policy "stop" */
#define BP_REQUEST_RESET    3u /* reset the machine */
#define BP_REQUEST_POWEROFF 4u /* the guest switched itself off */
#define BP_REQUEST_PANIC_STOP 5u /* the guest says that it has died: pause until someone looks */
#define BP_REQUEST_PANIC_END  6u /* likewise: end the program */

#define BP_OPEN_READ   (1u << 0)
#define BP_OPEN_WRITE  (1u << 1)
#define BP_OPEN_CREATE (1u << 2) /* make the file if it is missing, mode 0666 & ~umask */
#define BP_OPEN_TRUNC  (1u << 3)
#define BP_OPEN_DIRECT (1u << 4) /* O_DIRECT */
#define BP_OPEN_DSYNC  (1u << 5) /* O_DSYNC */
#define BP_OPEN_APPEND (1u << 6)
#define BP_OPEN_EXCL   (1u << 7) /* O_EXCL: of a device node, -EBUSY if somebody has it; not with CREATE */

struct bp_isa_resource {
    uint32_t size;
    uint32_t flags;        /* 0 */
    const char *hid;       /* ACPI hardware id: "PNP0501" */
    uint32_t uid;
    uint16_t io_base[2];   /* up to two port ranges; length 0: unused */
    uint16_t io_length[2];
    int32_t irq;           /* -1: none */
    int32_t dma;           /* -1: none */
};

struct bp_core_host {
    uint32_t size;
    uint32_t flags;

    /* Reports something to the machine's operators: an event on the control socket.
     * name: upper case, words joined by '_'. json: an object as text, or NULL.
     * A block request that failed is BLOCK_IO_ERROR: {"device": "ide0:0.0" as in boot.order,
     * "node-name": the backend's id, "operation": "read" or "write", "action": "report", "ignore" or
     * "stop", "nospace": boolean, "reason": text for people}. After "stop" comes
     * request(BP_REQUEST_STOP): the device keeps the request, and makes it again at life.start.
     * [any] */
    void (*event)(struct bp_instance *instance, const char *name, const char *json);
    /* Asks for a change of the machine's state; acted on soon, by the control thread. reason: for the
     * log, borrowed.
     * [any] -EINVAL: what. */
    int32_t (*request)(struct bp_instance *instance, uint32_t what, const char *reason);
    /* Completes a life.quiesce that returned BP_LIFE_PENDING. status: 0 or a negative errno.
     * [any] */
    void (*quiesced)(struct bp_instance *instance, int32_t status);
    /* Opens a file through the core, so that a sandboxed instance needs no path. Close-on-exec; the
     * descriptor is the plugin's to close. Does not wait for the other end of a named pipe: look
     * with fstat(2) whether it is a file.
     * path: absolute, as config.get_str gives it. open_flags: BP_OPEN_...
     * Returns the descriptor.
     * [control] the negative errno of open(2). */
    int32_t (*open)(struct bp_instance *instance, const char *path,
                    uint32_t open_flags) BP_MUST_CHECK;
    /* Sets a CMOS cell that firmware reads, at create() or realize(). cell: 10h-2Dh, 38h-3Ch: those
     * that describe devices, and flags for starting from them. mask: which bits.
     * [control] -EINVAL: a cell that is not a device's. */
    int32_t (*cmos)(struct bp_instance *instance, uint32_t cell, uint32_t mask,
                    uint32_t value) BP_MUST_CHECK;
    /* Adds a fw_cfg file for firmware, at create() or realize(); data is copied. name: at most 55
     * characters.
     * [control] -EEXIST. -ENAMETOOLONG. -ENOSPC. */
    int32_t (*firmware_file)(struct bp_instance *instance, const char *name, const void *data,
                             uint64_t length) BP_MUST_CHECK;
    /* Says where firmware finds a boot device of this instance: unit: as the user names it in boot.order
     * after a colon ("0.0", "" for the whole instance); path: relative to the instance's place in the
     * firmware's device tree ("drive@0/disk@0" below an IDE function; for an ISA device the path below
     * the ISA bridge).
     * [control] -EINVAL. */
    int32_t (*boot_path)(struct bp_instance *instance, const char *unit,
                         const char *path) BP_MUST_CHECK;
    /* Describes an ISA device to ACPI, at create() or realize().
     * [control] -EINVAL. */
    int32_t (*isa_resource)(struct bp_instance *instance,
                            const struct bp_isa_resource *resource) BP_MUST_CHECK;
    /* Finds another instance's interface by id, for what slots cannot express.
     * *peer_self: the first argument of the table's functions.
     * Returns NULL if there is none. Valid until that instance goes; life.detach is not called for it.
     * [control] */
    const void *(*peer)(struct bp_instance *instance, const char *id, const char *interface_id,
                        void **peer_self);
};

#ifdef __cplusplus
}
#endif

#endif
