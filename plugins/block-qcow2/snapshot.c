/* SPDX-License-Identifier: Apache-2.0 */
/* Internal snapshots: the table of them, and the disk as it was in one. [control] */
#include "image.h"

#include <string.h>

#define SNAPSHOT_BYTES 40u
#define EXTRA_MAX      65536u

int32_t
snapshot_read(struct image *image, uint64_t *offset, const char *wanted, struct snapshot *snapshot)
{
    uint8_t fixed[SNAPSHOT_BYTES] = {0}, extra[16] = {0};
    char text[2][256] = {"", ""};
    uint32_t sizes[2], extra_size, i;
    uint64_t at = *offset + SNAPSHOT_BYTES;
    int32_t result = sync_read(image, *offset, fixed, sizeof(fixed));

    extra_size = get32(fixed + 36);
    if (result != 0 || extra_size > EXTRA_MAX || *offset > image->file_size) {
        return image_refuse(image, -EINVAL, "its snapshot table is damaged");
    }
    result = sync_read(image, at, extra, extra_size < 16 ? extra_size : 16);
    at += extra_size;
    for (i = 0; i < 2 && result == 0; i++) {
        sizes[i] = get16(fixed + 12 + (uint64_t)i * 2);
        result = sync_read(image, at, text[i], sizes[i] < 255 ? sizes[i] : 255);
        at += sizes[i];
    }
    if (result != 0) {
        return image_refuse(image, result, "its snapshot table cannot be read");
    }
    *offset = (at + 7) & ~UINT64_C(7);
    snapshot->l1_offset = get64(fixed);
    snapshot->l1_size = get32(fixed + 8);
    snapshot->size = extra_size >= 16 ? get64(extra + 8) : image->header.size;
    return strcmp(text[0], wanted) == 0 || strcmp(text[1], wanted) == 0;
}

int32_t
snapshot_use(struct image *image, const char *wanted)
{
    uint64_t offset = image->header.snapshots_offset;
    struct snapshot snapshot = {0, 0, 0};
    int32_t found = 0;
    uint32_t i;

    for (i = 0; i < image->header.snapshots && found == 0; i++) {
        found = snapshot_read(image, &offset, wanted, &snapshot);
    }
    if (found < 0) {
        return found;
    }
    if (found == 0) {
        return bp_fail(&image->services, -ENOENT,
                       bp_option(&image->services, image->options, "snapshot"),
                       "the image has no snapshot \"%s\" (of %u)", wanted, image->header.snapshots);
    }
    if (snapshot.l1_size > L1_MAX_BYTES / 8 || snapshot.size > UINT64_C(1) << 60 ||
        header_l1_needed(&image->header, snapshot.size) > snapshot.l1_size ||
        snapshot.l1_offset > image->file_size ||
        (uint64_t)snapshot.l1_size * 8 > image->file_size - snapshot.l1_offset) {
        return image_refuse(image, -EINVAL, "the snapshot is damaged");
    }
    image->readonly = 1;
    image->header.l1_offset = snapshot.l1_offset;
    image->l1_size = snapshot.l1_size;
    image->size = (snapshot.size + BP_BLOCK_SECTOR - 1) & ~(uint64_t)(BP_BLOCK_SECTOR - 1);
    return 0;
}
