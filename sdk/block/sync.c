/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that the control thread waits for: when images are opened, committed, resized. */
#include <backplane/sdk/block_stack.h>

static void
sync_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count)
{
    struct bp_block_sync *sync = opaque;

    if (count > 0) {
        sync->status = completions[count - 1].status;
    }
}

int32_t
bp_block_sync_open(struct bp_block_sync *sync, const struct bp_services *services,
                   const struct bp_block_ops *ops, void *self)
{
    static const struct bp_block_client client = {.size = sizeof(client),
                                                  .complete = sync_complete};
    struct bp_block_queue_args args = {
        .size = sizeof(args), .depth = 1, .client = &client, .opaque = sync};

    sync->services = services;
    sync->ops = ops;
    sync->self = self;
    sync->queue = NULL;
    args.loop = services->loop->home(services->instance);
    return ops->queue_open(self, &args, &sync->queue);
}

void
bp_block_sync_close(struct bp_block_sync *sync)
{
    if (sync->queue != NULL) {
        sync->ops->queue_close(sync->self, sync->queue);
        sync->queue = NULL;
    }
}

int32_t
bp_block_sync_io(struct bp_block_sync *sync, uint32_t op, uint32_t flags, uint64_t offset,
                 void *data, uint64_t length)
{
    struct bp_iovec iov = {data, length};
    struct bp_block_request request = {.user = 1, .op = op, .flags = flags};
    int32_t taken;

    if (op != BP_BLOCK_FLUSH) {
        request.offset = offset;
        request.length = length;
    }
    if (data != NULL) {
        request.iov = &iov;
        request.iov_count = 1;
    }
    sync->status = -EIO;
    taken = sync->ops->submit(sync->self, sync->queue, &request, 1);
    if (taken != 1) {
        return taken < 0 ? taken : -EIO;
    }
    /* The drain orders what the loop wrote before what is read here. */
    sync->ops->drain(sync->self, sync->queue);
    return sync->status;
}
