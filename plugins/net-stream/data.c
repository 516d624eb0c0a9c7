/* SPDX-License-Identifier: Apache-2.0 */
/* Frames in and out of the stream. */
#include "net_stream.h"

#include <string.h>
#include <sys/uio.h>

#define MAX_PIECES 512
#define MAX_FRAMES 64u

/* Moves the next frame into posted buffers. Returns 1; 0: it is not whole yet, or there is no room;
 * negative: the other end does not speak our language. */
static int
deliver_one(struct net_stream *stream)
{
    const uint8_t *at = stream->input + stream->in_head;
    uint32_t there = stream->in_tail - stream->in_head, length;

    if (there < STREAM_LENGTH_BYTES) {
        return 0;
    }
    length = bp_net_load32(at);
    if (length == 0 || length > BP_NET_MAX_FRAME) {
        bp_warn(&stream->host, "'%s' sent a frame of %u bytes, dropping the connection",
                stream->sock.place.text, length);
        return -EPROTO;
    }
    if (there < STREAM_LENGTH_BYTES + length ||
        bp_net_rx_copy(&stream->queue, at + STREAM_LENGTH_BYTES, length, NULL) == 0) {
        return 0;
    }
    stream->in_head += STREAM_LENGTH_BYTES + length;
    return 1;
}

/* Moves whole frames into posted buffers. Returns 0: the other end does not speak our language. */
int
stream_deliver(struct net_stream *stream)
{
    uint32_t before, head;
    int more;

    do {
        head = stream->in_head;
        do {
            more = deliver_one(stream);
        } while (more > 0);
        before = stream->in_head;
        bp_net_rx_deliver(&stream->queue); /* may post more */
        if (more < 0) {
            return 0;
        }
    } while (before != head && bp_net_queue_posted(&stream->queue) > 0 && stream->sock.peer >= 0);
    if (stream->in_head > 0) {
        memmove(stream->input, stream->input + stream->in_head, stream->in_tail - stream->in_head);
        stream->in_tail -= stream->in_head;
        stream->in_head = 0;
    }
    return 1;
}

int
stream_read(struct net_stream *stream)
{
    ssize_t n = recv(stream->sock.peer, stream->input + stream->in_tail,
                     STREAM_INPUT - stream->in_tail, MSG_DONTWAIT);

    if (n > 0) {
        stream->in_tail += (uint32_t)n;
        return stream_deliver(stream);
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

int
stream_write_rest(struct net_stream *stream)
{
    ssize_t n;

    if (stream->out_at == stream->out_end) {
        return 1;
    }
    n = send(stream->sock.peer, stream->output + stream->out_at, stream->out_end - stream->out_at,
             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    stream->out_at += (uint32_t)n;
    return 1;
}

/* Keeps what is left of a frame of which `sent` bytes are out. */
static void
keep_rest(struct net_stream *stream, const struct bp_net_frame *frame, const uint8_t *length,
          uint64_t sent)
{
    memcpy(stream->output, length, STREAM_LENGTH_BYTES);
    (void)bp_net_iov_copy(frame->iov, frame->iov_count, 0, stream->output + STREAM_LENGTH_BYTES,
                          frame->length);
    stream->out_at = (uint32_t)sent;
    stream->out_end = (uint32_t)frame->length + STREAM_LENGTH_BYTES;
}

/* Gathers up to `count` frames. Returns how many; wrong ones are among them, without pieces. */
static uint32_t
gather(const struct bp_net_frame *frames, uint32_t count, uint8_t (*lengths)[STREAM_LENGTH_BYTES],
       struct iovec *iov, uint32_t *pieces)
{
    uint32_t i, k, used = 0;

    for (i = 0; i < count && i < MAX_FRAMES; i++) {
        if (!bp_net_frame_ok(&frames[i], 0)) {
            continue;
        }
        if (used + 1 + frames[i].iov_count > 2 * MAX_PIECES) {
            break;
        }
        bp_net_store32(lengths[i], (uint32_t)frames[i].length);
        iov[used++] = (struct iovec){lengths[i], STREAM_LENGTH_BYTES};
        for (k = 0; k < frames[i].iov_count; k++) {
            iov[used++] = (struct iovec){frames[i].iov[k].base, frames[i].iov[k].length};
        }
    }
    *pieces = used;
    return i;
}

/* Returns how many frames are gone or kept. */
uint32_t
stream_send(struct net_stream *stream, const struct bp_net_frame *frames, uint32_t count)
{
    uint8_t lengths[MAX_FRAMES][STREAM_LENGTH_BYTES];
    struct iovec iov[2 * MAX_PIECES];
    struct msghdr message = {.msg_iov = iov};
    uint32_t pieces, gathered = gather(frames, count, lengths, iov, &pieces), i;
    ssize_t n;

    if (pieces == 0) {
        return gathered;
    }
    message.msg_iovlen = pieces;
    n = sendmsg(stream->sock.peer, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        /* Cut off: the loop will see it; until then frames go nowhere. */
        return errno == EAGAIN || errno == EINTR ? 0 : gathered;
    }
    for (i = 0; i < gathered; i++) {
        uint64_t size = frames[i].length + STREAM_LENGTH_BYTES;
        if (!bp_net_frame_ok(&frames[i], 0)) {
            continue;
        }
        if ((uint64_t)n >= size) {
            n -= (ssize_t)size;
        } else if (n > 0) {
            keep_rest(stream, &frames[i], lengths[i], (uint64_t)n);
            return i + 1;
        } else {
            return i;
        }
    }
    return gathered;
}
