/* SPDX-License-Identifier: Apache-2.0 */
/* The file: pcapng as of draft-ietf-opsawg-pcapng, in the host's byte order; and its thread. */
#include "capture.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUFFER_BYTES (256u << 10)

#define BLOCK_SECTION    0x0a0d0d0au
#define BLOCK_INTERFACE  1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET     6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINK_ETHERNET    1u

#define OPTION_END          0u
#define OPTION_SECTION_APPL 4u /* shb_userappl */
#define OPTION_IF_NAME      2u
#define OPTION_IF_TSRESOL   9u
#define OPTION_EPB_FLAGS    2u
#define OPTION_ISB_IFRECV   4u
#define OPTION_ISB_IFDROP   5u
#define TSRESOL_NANOSECONDS 9u
#define MOST_BLOCK          (BP_NET_MAX_FRAME + 128u)

/* --- writing --------------------------------------------------------------------------------- */

static void
give_up(struct capture *capture, const char *why)
{
    atomic_store(&capture->failed, 1);
    capture->used = 0;
    bp_error(capture->host, "cannot write the capture: %s; it ends here", why);
}

static void
flush_buffer(struct capture *capture)
{
    uint32_t at = 0;

    while (at < capture->used && !atomic_load(&capture->failed)) {
        ssize_t n = write(capture->fd, capture->buffer + at, capture->used - at);
        if (n > 0) {
            at += (uint32_t)n;
        } else if (n == 0 || errno != EINTR) {
            give_up(capture, n == 0 ? "the file takes no more" : strerror(errno));
        }
    }
    capture->written += at;
    capture->used = 0;
}

static void
put_bytes(struct capture *capture, const void *data, uint32_t length)
{
    memcpy(capture->buffer + capture->used, data, length);
    capture->used += length;
    while (capture->used % 4 != 0) {
        capture->buffer[capture->used++] = 0;
    }
}

static void
put32(struct capture *capture, uint32_t value)
{
    put_bytes(capture, &value, sizeof(value));
}

static void
put_time(struct capture *capture, uint64_t ns)
{
    put32(capture, (uint32_t)(ns >> 32));
    put32(capture, (uint32_t)ns);
}

static void
put_option(struct capture *capture, uint32_t code, const void *data, uint32_t length)
{
    const uint16_t head[2] = {(uint16_t)code, (uint16_t)length};

    put_bytes(capture, head, sizeof(head));
    put_bytes(capture, data, length);
}

/* Returns where it begins. */
static uint32_t
begin_block(struct capture *capture, uint32_t type)
{
    if (capture->used + MOST_BLOCK > BUFFER_BYTES) {
        flush_buffer(capture);
    }
    put32(capture, type);
    put32(capture, 0);
    return capture->used - 8;
}

static void
end_block(struct capture *capture, uint32_t start)
{
    uint32_t length;

    put32(capture, OPTION_END);
    length = capture->used + 4 - start;
    put32(capture, length);
    memcpy(capture->buffer + start + 4, &length, sizeof(length));
}

static void
write_heads(struct capture *capture, const char *name)
{
    static const char program[] = "Backplane filter-pcap";
    static const uint8_t resolution = TSRESOL_NANOSECONDS;
    const uint64_t unknown = UINT64_MAX; /* length of the section */
    uint32_t start = begin_block(capture, BLOCK_SECTION);

    put32(capture, BYTE_ORDER_MAGIC);
    put32(capture, 1); /* version 1.0 */
    put_bytes(capture, &unknown, sizeof(unknown));
    put_option(capture, OPTION_SECTION_APPL, program, sizeof(program) - 1);
    end_block(capture, start);
    start = begin_block(capture, BLOCK_INTERFACE);
    put32(capture, LINK_ETHERNET);
    put32(capture, capture->snap_length);
    put_option(capture, OPTION_IF_NAME, name, (uint32_t)strlen(name));
    put_option(capture, OPTION_IF_TSRESOL, &resolution, 1);
    end_block(capture, start);
    flush_buffer(capture);
}

static void
write_packet(struct capture *capture, const struct capture_record *record)
{
    uint32_t start = begin_block(capture, BLOCK_PACKET);

    put32(capture, 0);
    put_time(capture, record->wall_ns);
    put32(capture, record->captured);
    put32(capture, record->original);
    put_bytes(capture, record + 1, record->captured);
    put_option(capture, OPTION_EPB_FLAGS, &record->flags, sizeof(record->flags));
    end_block(capture, start);
}

static void
write_statistics(struct capture *capture)
{
    uint64_t seen = 0, lost = 0;
    uint32_t start = begin_block(capture, BLOCK_STATISTICS);

    for (uint32_t i = 0; i < BP_NET_MAX_QUEUES; i++) {
        seen += atomic_load(&capture->rings[i].seen);
        lost += atomic_load(&capture->rings[i].lost);
    }
    put32(capture, 0);
    put_time(capture, capture->host->timer->now(capture->host->instance, BP_CLOCK_WALL));
    put_option(capture, OPTION_ISB_IFRECV, &seen, sizeof(seen));
    put_option(capture, OPTION_ISB_IFDROP, &lost, sizeof(lost));
    end_block(capture, start);
    flush_buffer(capture);
    if (lost > 0) {
        bp_warn(capture->host, "%llu of %llu frames are missing in the capture",
                (unsigned long long)lost, (unsigned long long)seen);
    }
}

/* --- the thread ------------------------------------------------------------------------------ */

/* The ring with the oldest frame; NULL: all are empty. */
static struct capture_ring *
oldest(struct capture *capture)
{
    uint32_t count = atomic_load_explicit(&capture->ring_count, memory_order_acquire);
    struct capture_ring *found = NULL;
    uint64_t wall_ns = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct capture_record *record =
            capture->rings[i].memory != NULL ? capture_peek(&capture->rings[i]) : NULL;
        if (record != NULL && (found == NULL || record->wall_ns < wall_ns)) {
            found = &capture->rings[i];
            wall_ns = record->wall_ns;
        }
    }
    return found;
}

static void
write_while_it_fits(struct capture *capture, const struct capture_record *record)
{
    if (atomic_load(&capture->failed)) {
        return;
    }
    write_packet(capture, record);
    if (capture->max_size != 0 &&
        capture->written + capture->used + MOST_BLOCK > capture->max_size) {
        flush_buffer(capture);
        bp_info(capture->host, "the capture is as large as max_size lets it be");
        atomic_store(&capture->failed, 1);
    }
}

static void
drain(struct capture *capture)
{
    struct capture_ring *ring;

    while ((ring = oldest(capture)) != NULL) {
        write_while_it_fits(capture, capture_peek(ring));
        capture_pop(ring);
    }
    flush_buffer(capture);
}

void
capture_thread(void *opaque)
{
    struct capture *capture = opaque;
    struct pollfd wake = {.fd = capture->wake, .events = POLLIN};
    uint64_t count;

    while (!atomic_load(&capture->stopping)) {
        drain(capture);
        atomic_store(&capture->sleeping, 1);
        if (oldest(capture) == NULL && !atomic_load(&capture->stopping)) {
            (void)poll(&wake, 1, -1);
            (void)!read(capture->wake, &count, sizeof(count)); /* back to 0 */
        }
        atomic_store(&capture->sleeping, 0);
    }
    drain(capture);
}

void
capture_stop(void *opaque)
{
    struct capture *capture = opaque;
    uint64_t one = 1;

    atomic_store(&capture->stopping, 1);
    (void)!write(capture->wake, &one, sizeof(one));
}

int32_t
capture_begin(struct capture *capture, const char *name)
{
    capture->buffer = malloc(BUFFER_BYTES);
    capture->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (capture->buffer == NULL || capture->wake < 0) {
        return -ENOMEM;
    }
    write_heads(capture, name);
    return atomic_load(&capture->failed) ? -EIO : 0;
}

void
capture_end(struct capture *capture)
{
    if (capture->fd >= 0) {
        if (capture->buffer != NULL && !atomic_load(&capture->failed)) {
            write_statistics(capture);
        }
        (void)close(capture->fd);
    }
    if (capture->wake >= 0) {
        (void)close(capture->wake);
    }
    free(capture->buffer);
    for (uint32_t i = 0; i < BP_NET_MAX_QUEUES; i++) {
        free(capture->rings[i].memory);
    }
}
