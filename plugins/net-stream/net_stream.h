/* SPDX-License-Identifier: Apache-2.0 */
/* net-stream from the inside: frames over a stream socket, each behind its length in four bytes,
 * most significant first, as QEMU's stream and socket networks and passt have it. Everything but
 * the making happens on the queue's loop. */
#pragma once

#include <backplane/sdk/net.h>
#include <backplane/sdk/net_socket.h>

#define STREAM_LENGTH_BYTES 4u
#define STREAM_INPUT        (256u << 10)
#define STREAM_OUTPUT       (BP_NET_MAX_FRAME + STREAM_LENGTH_BYTES)

struct net_stream {
    struct bp_services host;
    struct bp_net_socket sock;
    struct bp_net_queue queue;
    uint32_t open;
    _Atomic(uint32_t) connected;

    uint8_t *input; /* STREAM_INPUT bytes: [in_head, in_tail) came and was not delivered */
    uint32_t in_head, in_tail;
    uint8_t *output; /* the rest of a frame that was sent in part */
    uint32_t out_at, out_end;
    uint32_t deliver_planned;
};

/* data.c: frames. Those that return int return 0 when the connection is over. */
int stream_read(struct net_stream *stream);
int stream_deliver(struct net_stream *stream);
int stream_write_rest(struct net_stream *stream);
uint32_t stream_send(struct net_stream *stream, const struct bp_net_frame *frames, uint32_t count);
