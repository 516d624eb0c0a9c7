/* SPDX-License-Identifier: Apache-2.0 */
/* Frames in and out of datagrams, several in one system call. */
#include "net_dgram.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/uio.h>

#define SEND_BATCH  64u
#define SEND_PIECES 1024u

/* --- to the guest ---------------------------------------------------------------------------- */

/* Whether a datagram is for the guest: in a group not one of ours; else of the other end, which is
 * the only one that the kernel lets in once it is connected to. */
static int
is_welcome(const struct net_dgram *dgram, const struct msghdr *message)
{
    if (dgram->self.length > 0) {
        return message->msg_namelen != dgram->self.length ||
               memcmp(message->msg_name, &dgram->self.address, sizeof(struct sockaddr_in)) != 0;
    }
    return dgram->connected != 0;
}

static uint8_t *
frame_at(struct net_dgram *dgram, uint32_t index)
{
    return dgram->frames + (size_t)index * BP_NET_MAX_FRAME;
}

/* Moves frames into posted buffers. Returns how many. */
static uint32_t
move_frames(struct net_dgram *dgram)
{
    uint32_t first = dgram->next;

    while (dgram->next < dgram->count) {
        uint32_t length = dgram->lengths[dgram->next];
        if (length != 0 &&
            bp_net_rx_copy(&dgram->queue, frame_at(dgram, dgram->next), length, NULL) == 0) {
            break;
        }
        dgram->next++;
    }
    return dgram->next - first;
}

/* Returns 0: some still wait. */
int
dgram_deliver(struct net_dgram *dgram)
{
    uint32_t moved;

    do {
        moved = move_frames(dgram);
        bp_net_rx_deliver(&dgram->queue); /* may post more */
    } while (moved > 0 && dgram->next < dgram->count);
    return dgram->next == dgram->count;
}

int
dgram_read(struct net_dgram *dgram)
{
    struct sockaddr_storage names[DGRAM_BATCH];
    struct mmsghdr messages[DGRAM_BATCH];
    struct iovec iov[DGRAM_BATCH];
    int count;

    if (!dgram_deliver(dgram) || bp_net_queue_posted(&dgram->queue) == 0) {
        return 0;
    }
    memset(messages, 0, sizeof(messages));
    for (uint32_t i = 0; i < DGRAM_BATCH; i++) {
        iov[i] = (struct iovec){frame_at(dgram, i), BP_NET_MAX_FRAME};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &names[i],
                                              .msg_namelen = sizeof(names[i]),
                                              .msg_iov = &iov[i],
                                              .msg_iovlen = 1};
    }
    count = recvmmsg(dgram->fd, messages, DGRAM_BATCH, MSG_DONTWAIT, NULL);
    if (count <= 0) {
        return count < 0 && errno != EAGAIN; /* an error that was waiting: the next one is read */
    }
    dgram->next = 0;
    dgram->count = (uint32_t)count;
    for (uint32_t i = 0; i < dgram->count; i++) {
        uint32_t length = messages[i].msg_len;
        int whole = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) == 0;
        dgram->lengths[i] =
            length >= BP_NET_ETH_HEADER && whole && is_welcome(dgram, &messages[i].msg_hdr) ? length
                                                                                            : 0;
    }
    return dgram_deliver(dgram) && dgram->count == DGRAM_BATCH;
}

/* --- from the guest -------------------------------------------------------------------------- */

/* Returns how many frames are in it; wrong ones are among them, without a message. */
static uint32_t
gather(const struct bp_net_frame *frames, uint32_t count, struct mmsghdr *messages,
       struct iovec *iov, uint32_t *gathered)
{
    uint32_t used = 0, i, k;

    *gathered = 0;
    for (i = 0; i < count && *gathered < SEND_BATCH; i++) {
        if (!bp_net_frame_ok(&frames[i], 0)) {
            continue;
        }
        if (used + frames[i].iov_count > SEND_PIECES) {
            break;
        }
        memset(&messages[*gathered], 0, sizeof(messages[0]));
        messages[*gathered].msg_hdr.msg_iov = iov + used;
        messages[*gathered].msg_hdr.msg_iovlen = frames[i].iov_count;
        for (k = 0; k < frames[i].iov_count; k++) {
            iov[used++] = (struct iovec){frames[i].iov[k].base, frames[i].iov[k].length};
        }
        (*gathered)++;
    }
    return i;
}

/* Sends messages. Returns how many are gone, or dropped: who cannot be reached, and what is too
 * long, stops nobody. */
static uint32_t
send_all(struct net_dgram *dgram, struct mmsghdr *messages, uint32_t count)
{
    uint32_t at = 0, refused = 0;

    while (at < count) {
        int n = sendmmsg(dgram->sender, messages + at, count - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            at += (uint32_t)n;
            refused = 0;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            break;
        } else if (errno == ECONNREFUSED && refused++ == 0 &&
                   dgram->local.address.ss_family != AF_UNIX) {
            continue; /* of the one before: this one was not even tried */
        } else if (errno != EINTR) {
            at++;
            refused = 0;
        }
    }
    return at;
}

uint32_t
dgram_send(struct net_dgram *dgram, const struct bp_net_frame *frames, uint32_t count)
{
    struct mmsghdr messages[SEND_BATCH];
    struct iovec iov[SEND_PIECES];
    uint32_t gathered, taken = gather(frames, count, messages, iov, &gathered), gone, i;

    if (!dgram->connected) {
        return taken; /* a cable that ends nowhere */
    }
    gone = send_all(dgram, messages, gathered);
    if (gone == gathered) {
        return taken;
    }
    for (i = 0; i < taken; i++) { /* those before the first that waits */
        if (bp_net_frame_ok(&frames[i], 0) && gone-- == 0) {
            break;
        }
    }
    return i;
}
