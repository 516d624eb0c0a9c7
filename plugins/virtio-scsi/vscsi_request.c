/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on their way from the ring to their unit and back. Everything here runs under the ring's
 * lock. */
#include "vscsi.h"

#include <string.h>

#define INQUIRY       0x12u
#define REQUEST_SENSE 0x03u
#define REPORT_LUNS   0xa0u

#define ATTRIBUTE_ACA 3u

#define USER_INDEX_BITS 16u

/* --- answers -----------------------------------------------------------------------------------
 */

static void
respond(struct bp_virtio_chain *chain, uint32_t response, uint32_t status, uint32_t sense_length,
        uint64_t in_residual, uint64_t out_residual)
{
    struct vscsi_request *request = chain->request;
    uint8_t head[VSCSI_RESPONSE_BYTES] = {0};
    uint64_t residual = in_residual + out_residual;
    uint64_t written = request->in_length - in_residual;

    sense_length = bp_min_u32(sense_length, request->sense_size);
    bp_store_le(head, 4, sense_length);
    bp_store_le(head + 4, 4, bp_min_u64(residual, UINT32_MAX));
    head[10] = (uint8_t)status;
    head[11] = (uint8_t)response;
    (void)bp_iovec_write(request->response, request->response_count, 0, head, sizeof(head));
    (void)bp_iovec_write(request->response, request->response_count, sizeof(head), request->sense,
                         sense_length);
    written += VSCSI_RESPONSE_BYTES + request->sense_size;
    bp_virtqueue_push(chain, (uint32_t)bp_min_u64(written, UINT32_MAX));
}

void
vscsi_finish(struct bp_virtio_chain *chain, uint32_t response, uint32_t status, uint64_t data_in)
{
    const struct vscsi_request *request = chain->request;

    respond(chain, response, status, 0, request->in_length - data_in, request->out_length);
}

void
vscsi_check(struct bp_virtio_chain *chain, uint8_t key, uint16_t code)
{
    struct vscsi_request *request = chain->request;
    const uint8_t sense[18] = {
        0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, (uint8_t)(code >> 8), (uint8_t)code};

    memcpy(request->sense, sense, sizeof(sense));
    respond(chain, VSCSI_S_OK, BP_SCSI_CHECK_CONDITION, sizeof(sense), request->in_length,
            request->out_length);
}

static uint32_t
response_of(int32_t result, const struct vscsi_unit *unit)
{
    switch (result) {
    case 0:
        return VSCSI_S_OK;
    case -EOVERFLOW:
        return VSCSI_S_OVERRUN;
    case -ECANCELED:
        return atomic_load(&unit->resets) != 0 ? VSCSI_S_RESET : VSCSI_S_ABORTED;
    case -ENODEV:
        return VSCSI_S_BAD_TARGET;
    case -EIO:
        return VSCSI_S_TRANSPORT_FAILURE;
    default:
        return VSCSI_S_FAILURE;
    }
}

static void
completed(struct bp_virtio_chain *chain, const struct bp_scsi_completion *completion)
{
    struct vscsi_request *request = chain->request;
    uint32_t response = response_of(completion->result, request->path->unit);
    uint64_t in_residual = bp_min_u64(completion->in_residual, request->in_length);
    uint64_t out_residual = bp_min_u64(completion->out_residual, request->out_length);

    if (completion->result != 0) {
        respond(chain, response, BP_SCSI_GOOD, 0, request->in_length, request->out_length);
    } else {
        respond(chain, response, completion->status, completion->sense_length, in_residual,
                out_residual);
    }
}

void
vscsi_complete(void *opaque, const struct bp_scsi_completion *completions, uint32_t count)
{
    struct vscsi_path *path = opaque;
    struct bp_virtqueue *ring = path->queue->ring;

    bp_virtqueue_enter(ring);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = completions[i].user & ((1u << USER_INDEX_BITS) - 1);
        struct bp_virtio_chain *chain = bp_virtqueue_chain(ring, index);
        struct vscsi_request *request = chain != NULL ? chain->request : NULL;

        if (request == NULL || request->user != completions[i].user || request->path != path) {
            continue; /* the unit made it up */
        }
        request->user = 0;
        (void)atomic_fetch_sub_explicit(&path->in_flight, 1, memory_order_relaxed);
        if (bp_virtqueue_stale(chain)) {
            bp_virtqueue_push(chain, 0);
        } else {
            completed(chain, &completions[i]);
        }
    }
    bp_virtqueue_leave(ring);
}

/* --- what the driver wants ---------------------------------------------------------------------
 */

/* Takes `skip` bytes off the front of a list. */
static void
cut_front(struct bp_iovec **iov, uint32_t *count, uint64_t skip)
{
    while (skip > 0 && *count > 0) {
        struct bp_iovec *piece = *iov;
        uint64_t part = bp_min_u64(piece->length, skip);

        skip -= part;
        piece->base = (uint8_t *)piece->base + part;
        piece->length -= part;
        if (piece->length == 0) {
            (*iov)++;
            (*count)--;
        }
    }
}

/* Remembers where the first `length` bytes are. UINT32_MAX: in more pieces than there is room for.
 */
static uint32_t
keep_front(const struct bp_iovec *iov, uint32_t count, uint64_t length, struct bp_iovec *kept)
{
    uint32_t keeps = 0;

    for (uint32_t i = 0; i < count && length > 0; i++) {
        if (keeps == VSCSI_RESPONSE_IOV) {
            return UINT32_MAX;
        }
        kept[keeps].base = iov[i].base;
        kept[keeps].length = bp_min_u64(iov[i].length, length);
        length -= kept[keeps++].length;
    }
    return keeps;
}

static void
take_header(struct vscsi_request *request, const struct bp_virtio_chain *chain, uint32_t cdb_size)
{
    uint8_t header[VSCSI_HEADER_BYTES];

    (void)bp_iovec_read(chain->iov, chain->out_count, 0, header, sizeof(header));
    request->cdb_length = bp_min_u32(cdb_size, BP_SCSI_MAX_CDB);
    (void)bp_iovec_read(chain->iov, chain->out_count, sizeof(header), request->cdb,
                        request->cdb_length);
    memcpy(request->lun, header, 8);
    request->tag = bp_load_le(header + 8, 8);
    request->attribute = header[16];
    request->priority = header[17] & 15;
}

/* Header, data out | response, data in, wherever the pieces begin (2.7.4). 0: the chain is no
 * command; the device is broken. */
static uint32_t
parse(struct vscsi *vscsi, struct bp_virtio_chain *chain)
{
    struct vscsi_request *request = chain->request;
    uint32_t cdb_size = atomic_load_explicit(&vscsi->cdb_size, memory_order_relaxed);
    uint32_t sense_size = atomic_load_explicit(&vscsi->sense_size, memory_order_relaxed);
    uint64_t header = VSCSI_HEADER_BYTES + (uint64_t)cdb_size;
    uint64_t response = VSCSI_RESPONSE_BYTES + (uint64_t)sense_size;

    if (chain->out_bytes < header || chain->in_bytes < response) {
        bp_virtio_broken(vscsi->virtio, "a command of %u bytes with room for %u of response",
                         (unsigned)chain->out_bytes, (unsigned)chain->in_bytes);
        return 0;
    }
    take_header(request, chain, cdb_size);
    request->sense_size = sense_size;
    request->out_iov = chain->iov;
    request->out_count = chain->out_count;
    request->in_iov = chain->iov + chain->out_count;
    request->in_count = chain->in_count;
    request->out_length = chain->out_bytes - header;
    request->in_length = chain->in_bytes - response;
    cut_front(&request->out_iov, &request->out_count, header);
    request->response_count =
        keep_front(request->in_iov, request->in_count, response, request->response);
    cut_front(&request->in_iov, &request->in_count, response);
    if (request->response_count == UINT32_MAX) {
        bp_virtio_broken(vscsi->virtio, "a response in more than %u pieces", VSCSI_RESPONSE_IOV);
        return 0;
    }
    return 1;
}

/* --- to the unit -------------------------------------------------------------------------------
 */

/* One call for the batch. What a unit does not take is over its depth (SAM-5 5.3.1). */
static void
submit(struct vscsi_queue *queue)
{
    struct vscsi_path *path = queue->batch_path;
    uint32_t count = queue->batched;
    int32_t taken;

    if (count == 0) {
        return;
    }
    queue->batched = 0;
    taken = path->unit->ops->submit(path->unit->self, path->backend, queue->batch, count);
    for (uint32_t i = taken > 0 ? (uint32_t)taken : 0; i < count; i++) {
        uint64_t index = queue->batch[i].user & ((1u << USER_INDEX_BITS) - 1);
        struct bp_virtio_chain *chain = bp_virtqueue_chain(queue->ring, index);

        if (chain != NULL) {
            ((struct vscsi_request *)chain->request)->user = 0;
            (void)atomic_fetch_sub_explicit(&path->in_flight, 1, memory_order_relaxed);
            vscsi_finish(chain, VSCSI_S_OK, BP_SCSI_TASK_SET_FULL, 0);
        }
    }
}

static void
hand_over(struct vscsi_queue *queue, struct bp_virtio_chain *chain, struct vscsi_unit *unit)
{
    /* Order: the driver's (5.6.6.1): SIMPLE, ORDERED, HEAD OF QUEUE. */
    static const uint8_t attributes[] = {BP_SCSI_SIMPLE, BP_SCSI_ORDERED, BP_SCSI_HEAD_OF_QUEUE};
    struct vscsi_request *request = chain->request;
    struct vscsi_path *path = &unit->paths[queue - queue->vscsi->queues];
    struct bp_scsi_request *to;

    if (queue->batched == VSCSI_BATCH || queue->batch_path != path) {
        submit(queue);
        queue->batch_path = path;
    }
    request->path = path;
    request->user = ++queue->sequence << USER_INDEX_BITS | chain->index;
    (void)atomic_fetch_add_explicit(&path->in_flight, 1, memory_order_relaxed);
    to = &queue->batch[queue->batched++];
    *to = (struct bp_scsi_request){
        .user = request->user,
        .cdb_length = request->cdb_length,
        .attribute = attributes[request->attribute],
        .out_iov = request->out_iov,
        .in_iov = request->in_iov,
        .out_count = request->out_count,
        .in_count = request->in_count,
        .out_length = request->out_length,
        .in_length = request->in_length,
        .sense = request->sense,
        .sense_size = request->sense_size,
        .priority = request->priority,
    };
    memcpy(to->cdb, request->cdb, request->cdb_length);
}

/* SPC-4 6.33, SAM-5 5.14: these three do not report what is pending. */
static uint32_t
inventory_attention(struct vscsi_unit *unit, uint8_t opcode)
{
    return atomic_load_explicit(&unit->changed, memory_order_relaxed) != 0 && opcode != INQUIRY &&
           opcode != REQUEST_SENSE && atomic_exchange(&unit->changed, 0) != 0;
}

/* The driver was told how many it may send (SAM-5 5.3.1). */
static uint32_t
is_full(const struct vscsi_queue *queue, const struct vscsi_unit *unit)
{
    const struct vscsi_path *path = &unit->paths[queue - queue->vscsi->queues];

    return atomic_load_explicit(&path->in_flight, memory_order_relaxed) >=
           queue->vscsi->cmd_per_lun;
}

static void
to_unit(struct vscsi_queue *queue, struct bp_virtio_chain *chain, struct vscsi_unit *unit)
{
    const struct vscsi_request *request = chain->request;

    if (request->attribute >= ATTRIBUTE_ACA) { /* no unit establishes an ACA */
        vscsi_check(chain, 0x05, 0x4900);
    } else if (request->in_count > unit->max_iov || request->out_count > unit->max_iov) {
        vscsi_finish(chain, VSCSI_S_FAILURE, BP_SCSI_GOOD, 0);
    } else if (is_full(queue, unit)) {
        vscsi_finish(chain, VSCSI_S_OK, BP_SCSI_TASK_SET_FULL, 0);
    } else if (inventory_attention(unit, request->cdb[0])) {
        vscsi_check(chain, 0x06, 0x3f0e);
    } else {
        hand_over(queue, chain, unit);
    }
}

static void
begin(struct vscsi_queue *queue, struct bp_virtio_chain *chain)
{
    struct vscsi *vscsi = queue->vscsi;
    struct vscsi_request *request = chain->request;
    struct vscsi_unit *unit = NULL;
    uint32_t where;

    if (!parse(vscsi, chain)) {
        bp_virtqueue_push(chain, 0);
        return;
    }
    if (request->in_length != 0 && request->out_length != 0 &&
        !(bp_virtio_features(vscsi->virtio) & VSCSI_F_INOUT)) {
        vscsi_finish(chain, VSCSI_S_FAILURE, BP_SCSI_GOOD, 0);
        return;
    }
    where = vscsi_find(vscsi, request->lun, &unit);
    if (where == VSCSI_AT_NOTHING) {
        vscsi_finish(chain, VSCSI_S_BAD_TARGET, BP_SCSI_GOOD, 0);
    } else if (request->cdb[0] == REPORT_LUNS) {
        vscsi_report_luns(vscsi, chain, where);
    } else if (unit == NULL) {
        vscsi_absent(chain, where);
    } else {
        to_unit(queue, chain, unit);
    }
}

/* Not more than a ring full at a time: task management calls this, too. */
void
vscsi_run_requests(struct vscsi_queue *queue)
{
    uint32_t most = bp_virtqueue_max_size(queue->ring);
    struct bp_virtio_chain *chain;

    for (uint32_t i = 0; i < most && (chain = bp_virtqueue_pop(queue->ring)) != NULL; i++) {
        begin(queue, chain);
    }
    submit(queue);
}
