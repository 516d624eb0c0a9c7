/* SPDX-License-Identifier: Apache-2.0 */
/* What every block backend does with its arguments. */
#include <backplane/sdk/block.h>

#include <string.h>

/* Copies an argument struct: what is missing is zero, what is unknown must be.
 * Returns 0 or -E2BIG. */
static int32_t
copy_sized(void *to, uint32_t to_size, const void *from, uint32_t from_size)
{
    const uint8_t *bytes = (const uint8_t *)from;
    uint32_t i;

    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
    for (i = to_size; i < from_size; i++) {
        if (bytes[i] != 0) {
            return -E2BIG;
        }
    }
    return 0;
}

int32_t
bp_block_queue_args_copy(struct bp_block_queue_args *args, struct bp_block_client *client,
                         const struct bp_block_queue_args *given)
{
    int32_t result = copy_sized(args, sizeof(*args), given, given->size);

    if (result != 0) {
        return result;
    }
    if (args->flags != 0 || args->depth == 0 || args->depth > BP_BLOCK_MAX_DEPTH ||
        args->client == NULL) {
        return -EINVAL;
    }
    result = copy_sized(client, sizeof(*client), args->client, args->client->size);
    if (result != 0) {
        return result;
    }
    args->client = client;
    return client->flags == 0 && client->complete != NULL ? 0 : -EINVAL;
}

void
bp_block_info_copy(struct bp_block_info *to, const struct bp_block_info *from)
{
    uint32_t size = to->size;

    memcpy(to, from, size < sizeof(*from) ? size : sizeof(*from));
    to->size = size;
}

static uint32_t
allowed_flags(uint32_t op)
{
    switch (op) {
    case BP_BLOCK_WRITE:
        return BP_BLOCK_FUA;
    case BP_BLOCK_WRITE_ZEROES:
        return BP_BLOCK_FUA | BP_BLOCK_UNMAP;
    default:
        return 0;
    }
}

static int32_t
check_buffers(const struct bp_block_request *request, const struct bp_block_info *info)
{
    uint64_t sum = 0;
    uint32_t i;

    if (request->length > info->max_transfer || request->iov_count == 0 ||
        request->iov_count > info->max_iov || request->iov == NULL) {
        return -EINVAL;
    }
    for (i = 0; i < request->iov_count; i++) {
        if (request->iov[i].length > request->length - sum) {
            return -EINVAL;
        }
        sum += request->iov[i].length;
    }
    return sum == request->length ? 0 : -EINVAL;
}

int32_t
bp_block_check(const struct bp_block_request *request, const struct bp_block_info *info)
{
    if (request->op < BP_BLOCK_READ || request->op > BP_BLOCK_WRITE_ZEROES ||
        (request->flags & ~allowed_flags(request->op)) != 0) {
        return -EINVAL;
    }
    if (request->op == BP_BLOCK_FLUSH) {
        return 0;
    }
    if (request->length == 0 || ((request->offset | request->length) % info->block_size) != 0 ||
        request->offset > info->capacity || request->length > info->capacity - request->offset) {
        return -EINVAL;
    }
    if (request->op != BP_BLOCK_READ && (info->flags & BP_BLOCK_READONLY) != 0) {
        return -EROFS;
    }
    if (request->op == BP_BLOCK_READ || request->op == BP_BLOCK_WRITE) {
        return check_buffers(request, info);
    }
    return 0;
}
