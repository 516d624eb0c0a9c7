/* SPDX-License-Identifier: Apache-2.0 */
/* The file of shared reservations: see reserve_file.h. */
#include "reserve_file.h"

#include <backplane/sdk/bits.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LOCKS       (UINT64_C(1) << 40) /* where the locked bytes begin */
#define NAMES       (UINT64_C(1) << 32)
#define SLOT_BYTES  4096u
#define SEQUENCE_AT 16u

int32_t
reserve_file_lock(int32_t fd, uint64_t what, uint32_t how)
{
    static const short types[] = {F_UNLCK, F_RDLCK, F_WRLCK};
    struct flock lock = {
        .l_type = types[how], .l_whence = SEEK_SET, .l_start = (off_t)(LOCKS + what), .l_len = 1};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        return 0;
    }
    return errno == EACCES ? -EAGAIN : -errno;
}

/* FNV-1a, 64 bits. */
uint64_t
reserve_file_name(const uint8_t *id, uint32_t length)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (uint32_t i = 0; i < length; i++) {
        hash = (hash ^ id[i]) * 0x100000001b3;
    }
    return RESERVE_LOCK_NAMES + (hash ^ hash >> 32) % NAMES;
}

/* Reads all of it, or what there is: the rest is zeroes. */
static int32_t
read_at(int32_t fd, uint64_t offset, uint8_t *data, uint32_t length)
{
    uint32_t done = 0;

    memset(data, 0, length);
    while (done < length) {
        ssize_t n = pread(fd, data + done, length - done, (off_t)(offset + done));

        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        done += n > 0 ? (uint32_t)n : 0;
    }
    return 0;
}

/* Three changes on, one of them has been to the image that this one is not in. */
uint32_t
reserve_file_changed(int32_t fd, const struct bp_scsi_reservations *state)
{
    uint8_t sequence[8];

    return read_at(fd, (state->sequence + 1) % 2 * SLOT_BYTES + SEQUENCE_AT, sequence,
                   sizeof(sequence)) != 0 ||
           bp_load_le(sequence, 8) > state->sequence;
}

static uint32_t
is_empty(const uint8_t *image)
{
    uint8_t sum = 0;

    for (uint32_t i = 0; i < RESERVE_IMAGE_BYTES; i++) {
        sum |= image[i];
    }
    return sum == 0;
}

int32_t
reserve_file_read(int32_t fd, struct bp_scsi_reservations *ret_state)
{
    struct bp_scsi_reservations newest = {0};
    uint32_t empty = 0, whole = 0;

    for (uint32_t i = 0; i < 2; i++) {
        struct bp_scsi_reservations state;
        uint8_t image[RESERVE_IMAGE_BYTES];
        int32_t r = read_at(fd, (uint64_t)i * SLOT_BYTES, image, sizeof(image));

        if (r != 0) {
            return r;
        }
        empty += is_empty(image);
        if (reserve_decode(&state, image) == 0) {
            whole++;
            newest = state.sequence > newest.sequence ? state : newest;
        }
    }
    /* the very first change may have been torn */
    if (whole == 0 && empty == 0) {
        return -EUCLEAN;
    }
    *ret_state = newest;
    return 0;
}

int32_t
reserve_file_write(int32_t fd, const struct bp_scsi_reservations *state)
{
    uint8_t image[RESERVE_IMAGE_BYTES];
    uint64_t offset = state->sequence % 2 * SLOT_BYTES;
    uint32_t done = 0;

    reserve_encode(state, image);
    while (done < sizeof(image)) {
        ssize_t n = pwrite(fd, image + done, sizeof(image) - done, (off_t)(offset + done));

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        done += n > 0 ? (uint32_t)n : 0;
    }
    return fdatasync(fd) == 0 ? 0 : -errno;
}
