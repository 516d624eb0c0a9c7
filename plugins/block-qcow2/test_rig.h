/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a real file as a block backend, and a qcow2 image on it. */
#ifndef BLOCK_QCOW2_RIG_H
#define BLOCK_QCOW2_RIG_H

#include "image.h"

#include <backplane/testhost.h>

struct file_queue;
struct unflushed;

struct file_disk {
    struct bp_block_ops ops;
    struct bp_instance *user; /* whose loop delivers */
    struct image *image;
    int fd;
    uint32_t readonly;
    uint32_t fail_header; /* the n-th write of the file's first sector fails */
    struct file_queue *closed;
    uint64_t discarded; /* bytes: they become garbage */
    /* A volatile cache: what no completed flush covers, newest first. */
    uint32_t is_volatile;
    uint64_t flushes;
    struct unflushed *unflushed;
    /* Called after every so many requests, in the middle of things; and what it is given. */
    void (*interrupt)(void *opaque);
    void *opaque;
    uint32_t interrupt_in;
};

struct rig {
    struct th_host *th;
    struct bp_instance *qcow2;
    const struct bp_block_ops *ops;
    struct th_queue *queue;
    struct file_disk file;
    struct th_block *backing;
};

/* Opens an image; backing: NULL or the raw contents of its backing disk. Returns 0 or what
 * realize() said; then only rig_close() is allowed. */
int32_t rig_open(struct rig *rig, const char *path, const char *options, const char *backing);
/* Copies the file as it could be after a power failure now: of the sectors that no flush covers,
 * any may have been written or not. */
void rig_power_failure(struct rig *rig, const char *path);
/* Closes it in order. */
void rig_close(struct rig *rig);

#endif
