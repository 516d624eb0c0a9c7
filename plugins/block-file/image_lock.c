/* SPDX-License-Identifier: Apache-2.0 */
/* Who may open the image at the same time: one writer, or any number of readers.
 *
 * Open-file-description locks (fcntl(2)), so they go with the descriptor and also keep two disks of
 * one machine apart. A writer locks the whole file. A reader locks two bytes, chosen so that QEMU
 * understands, whose locks are single bytes too: byte 100 + n says "I use right n", byte 200 + n
 * "nobody else may have right n", with 0 for reading and 1 for writing (seen with F_OFD_GETLK on
 * running programs). A whole-file lock, as others take it, collides with these as it should. */
#include "image.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BYTE_READS      100 /* someone reads */
#define BYTE_WRITES     101 /* someone writes */
#define BYTE_NO_WRITERS 201 /* someone wants nobody to write */

#define RETRY_NS    10000000 /* between two looks at a lock that nobody seems to have */
#define RETRIES_MAX 100

/* Returns 0 or a negative errno: -EAGAIN if another one has it. */
static int32_t
set_lock(int fd, short type, off_t start, off_t length)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    int32_t result;

    do {
        result = fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
    } while (result == -EINTR);
    return result == -EACCES ? -EAGAIN : result;
}

/* Readers may look on while others read, not while someone writes. */
static int32_t
lock_for_reading(int fd)
{
    struct flock writer = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BYTE_WRITES, .l_len = 1};
    int32_t result = set_lock(fd, F_RDLCK, BYTE_READS, 1);

    if (result == 0) {
        result = set_lock(fd, F_RDLCK, BYTE_NO_WRITERS, 1);
    }
    /* Asked after our own are there: of two that start at once, at least one sees the other. */
    if (result == 0 && fcntl(fd, F_OFD_GETLK, &writer) == 0 && writer.l_type != F_UNLCK) {
        result = -EAGAIN;
    }
    return result;
}

/* Whether /proc/<process>/fdinfo/<name> shows a lock on the inode, e.g.
 * "lock:\t1: OFDLCK  ADVISORY  WRITE -1 fe:00:1234 0 EOF". */
static uint32_t
shows_lock(const char *process, const char *name, ino_t inode)
{
    char path[2 * NAME_MAX + 32], line[256], wanted[32];
    uint32_t found = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", process, name);
    (void)snprintf(wanted, sizeof(wanted), ":%" PRIuMAX " ", (uintmax_t)inode);
    file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        found = strncmp(line, "lock:", 5) == 0 && strstr(line, wanted) != NULL;
    }
    (void)fclose(file);
    return found;
}

static uint32_t
process_has_lock(const char *process, ino_t inode)
{
    char path[NAME_MAX + 32];
    struct dirent *entry;
    uint32_t found = 0;
    DIR *directory;

    (void)snprintf(path, sizeof(path), "/proc/%s/fdinfo", process);
    directory = opendir(path);
    if (directory == NULL) {
        return 0;
    }
    while (!found && (entry = readdir(directory)) != NULL) {
        found = entry->d_name[0] != '.' && shows_lock(process, entry->d_name, inode);
    }
    (void)closedir(directory);
    return found;
}

/* The kernel does not tell whose an open-file-description lock is; /proc does, for processes that
 * we may look into. Returns a process id, or 0. */
static long
lock_owner(int fd)
{
    struct dirent *entry;
    struct stat status;
    long owner = 0;
    DIR *directory;

    if (fstat(fd, &status) < 0 || (directory = opendir("/proc")) == NULL) {
        return 0;
    }
    while (owner == 0 && (entry = readdir(directory)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]) &&
            strtol(entry->d_name, NULL, 10) != (long)getpid() &&
            process_has_lock(entry->d_name, status.st_ino)) {
            owner = strtol(entry->d_name, NULL, 10);
        }
    }
    (void)closedir(directory);
    return owner;
}

static uint32_t
we_have_lock(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && process_has_lock("self", status.st_ino);
}

static int32_t
tell_locked(const struct image *image)
{
    char who[48] = "another process";
    long owner;

    /* What a reader has locked already must not be taken for someone else's. */
    (void)set_lock(image->fd, F_UNLCK, 0, 0);
    owner = lock_owner(image->fd);
    if (owner != 0) {
        (void)snprintf(who, sizeof(who), "process %ld", owner);
    } else if (we_have_lock(image->fd)) {
        (void)snprintf(who, sizeof(who), "another backend of this machine");
    }
    return image_fail(
        image, -EBUSY, "path",
        "image '%s' is in use by %s: end that one, or set readonly = true in both, or "
        "lock = \"off\" if the guests know how to share it",
        image->path, who);
}

static int32_t
take_lock(const struct image *image)
{
    return image->readonly ? lock_for_reading(image->fd) : set_lock(image->fd, F_WRLCK, 0, 0);
}

/* A killed process's io_uring keeps its files, and so its locks, for some milliseconds after it is
 * gone. While nobody is to be seen who has the lock, it is worth waiting for. */
static int32_t
wait_for_lock(const struct image *image)
{
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    int32_t result = -EAGAIN;
    unsigned i;

    for (i = 0; result == -EAGAIN && i < RETRIES_MAX; i++) {
        (void)set_lock(image->fd, F_UNLCK, 0, 0);
        if (lock_owner(image->fd) != 0 || we_have_lock(image->fd)) {
            return -EAGAIN;
        }
        (void)nanosleep(&pause, NULL);
        result = take_lock(image);
    }
    return result;
}

void
image_unlock(const struct image *image)
{
    (void)set_lock(image->fd, F_UNLCK, 0, 0);
}

int32_t
image_lock(struct image *image)
{
    const char *option = image_text(image, "lock");
    int32_t result;

    if (strcmp(option, "off") == 0) {
        return 0;
    }
    result = take_lock(image);
    if (result == -EAGAIN) {
        result = wait_for_lock(image);
    }
    if (result == 0) {
        return 0;
    }
    if (result == -EAGAIN) {
        return tell_locked(image);
    }
    if (strcmp(option, "on") == 0) {
        return image_fail(
            image, result, "lock",
            "cannot lock '%s': %s; its file system has no locks: set lock = \"auto\" to "
            "do without",
            image->path, strerror(-result));
    }
    bp_log(image->services, BP_LOG_WARN,
           "cannot lock '%s' (%s), ignoring: nothing keeps others out", image->path,
           strerror(-result));
    return 0;
}
