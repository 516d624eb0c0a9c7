/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of block-file share: an image in the build directory, an instance on the fake
 * core, one queue, and requests with buffers as odd as wanted. */
#ifndef BLOCK_FILE_TEST_RIG_H
#define BLOCK_FILE_TEST_RIG_H

#include "block_file.h"

#include <backplane/sdk/bits.h>
#include <backplane/testhost.h>

#define RIG_ARENA (8u << 20)

struct rig {
    struct th_host *th;
    struct bp_instance *instance;
    struct th_queue *queue;
    uint8_t *arena; /* RIG_ARENA bytes, aligned to 4096 */
    char path[512];
    uint64_t next_user;
};

/* A file name in the build directory that no other test process uses. */
void rig_path(char *path, size_t size, const char *name);
/* Makes a file of this length with a byte pattern that tells each place. */
void rig_make_file(const char *path, uint64_t length);
uint8_t rig_pattern(uint64_t offset);
/* Makes the image, and the instance with more options ("cache = \"none\";"). */
void rig_open(struct rig *rig, uint64_t length, const char *options);
/* Only the host and the instance, on a path; instance is NULL if create fails. */
void rig_plug(struct rig *rig, const char *path, const char *options);
/* Closes everything; removes the image if remove is not 0. */
void rig_close(struct rig *rig, int remove_image);
struct block_file *rig_file(struct rig *rig);
struct image *rig_image(struct rig *rig);

/* One request, waited for. data: copied to or from the arena at a place `skew` bytes past an
 * aligned one. */
int32_t rig_io(struct rig *rig, uint32_t op, uint32_t flags, uint64_t offset, void *data,
               uint64_t length, uint32_t skew);
int32_t rig_read(struct rig *rig, uint64_t offset, void *data, uint64_t length);
int32_t rig_write(struct rig *rig, uint64_t offset, const void *data, uint64_t length);
int32_t rig_op(struct rig *rig, uint32_t op, uint32_t flags, uint64_t offset, uint64_t length);
/* Reads the file itself. */
void rig_read_file(const char *path, uint64_t offset, void *data, uint64_t length);
uint64_t rig_file_size(const char *path);
uint64_t rig_file_blocks(const char *path); /* of 512 bytes, allocated */

#endif
