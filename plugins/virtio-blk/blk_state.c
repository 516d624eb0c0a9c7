/* SPDX-License-Identifier: Apache-2.0 */
/* Saved state: the write cache, then the transport's records. Requests that the error policy holds
 * are chains of their queue; they start again from there. */
#include "virtio_blk.h"

static const struct bp_state_field fields[] = {
    BP_STATE_FIELD(1, struct blk_saved, writeback, BP_FIELD_REQUIRED, 1),
    BP_STATE_FIELD(2, struct blk_saved, config_writeback, BP_FIELD_REQUIRED, 1),
};

#define FIELD_COUNT BP_ARRAY_LENGTH(fields)

static int32_t
blk_save(void *self, const struct bp_state_sink *sink)
{
    struct blk *blk = self;
    struct blk_saved saved = {
        .writeback = atomic_load(&blk->writeback),
        .config_writeback = blk->config_writeback,
    };
    int32_t result = bp_state_save(fields, FIELD_COUNT, &saved, sink);

    return result == 0 ? bp_virtio_save(blk->virtio, sink) : result;
}

static int32_t
blk_validate(void *self, uint32_t version, const void *data, uint64_t length)
{
    struct blk *blk = self;
    struct blk_saved saved;
    int32_t result =
        bp_state_restore_part(fields, FIELD_COUNT, &saved, data, length, BP_VIRTIO_STATE_TAGS);

    return result == 0 ? bp_virtio_validate(blk->virtio, data, length) : result;
}

static int32_t
blk_restore(void *self, uint32_t version, const void *data, uint64_t length)
{
    struct blk *blk = self;
    struct blk_saved saved;
    int32_t result =
        bp_state_restore_part(fields, FIELD_COUNT, &saved, data, length, BP_VIRTIO_STATE_TAGS);

    if (result == 0) {
        result = bp_virtio_restore(blk->virtio, data, length);
    }
    if (result == 0) {
        atomic_store(&blk->writeback, saved.writeback);
        blk_put_writeback(blk, saved.config_writeback);
    }
    return result;
}

static int32_t
blk_after_restore(void *self)
{
    return bp_virtio_after_restore(((struct blk *)self)->virtio);
}

const struct bp_state_ops blk_state = {
    .size = sizeof(blk_state),
    .save = blk_save,
    .validate = blk_validate,
    .restore = blk_restore,
    .after_restore = blk_after_restore,
};
