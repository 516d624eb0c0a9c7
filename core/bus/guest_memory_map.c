/* SPDX-License-Identifier: Apache-2.0 */
/* The host memory behind guest RAM. Memory of this process alone comes in transparent huge pages,
 * which DMA to and from a disk, and KVM, want to see: 128 KiB are one piece of a request instead of
 * 32. What other processes are to map (sandboxed devices, vhost-user) is a memfd, whose pages are
 * small on most hosts, sealed in size so that nobody makes this process fault by shrinking it; so
 * are hugetlbfs's pages. */
#include "bus/guest_memory_internal.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGEMAP_BATCH   512 /* pages */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static void
set_ram_error(GError **error, const GuestMemoryArgs *args, const char *what, int code)
{
    if (args->hugepage_bytes != 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST,
                    "cannot %s %" PRIu64 " hugepages of %" PRIu64
                    " MiB: %s (reserve them in /sys/kernel/mm/hugepages/hugepages-%" PRIu64
                    "kB/nr_hugepages)",
                    what, args->size_bytes / args->hugepage_bytes, args->hugepage_bytes / MIB,
                    g_strerror(code), args->hugepage_bytes / 1024);
    } else {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot %s %" PRIu64 " MiB of memory: %s",
                    what, args->size_bytes / MIB, g_strerror(code));
    }
}

static int
open_memfd(const GuestMemoryArgs *args)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (args->hugepage_bytes == HUGEPAGE_2M) {
        flags |= MFD_HUGETLB | MFD_HUGE_2MB;
    } else if (args->hugepage_bytes == HUGEPAGE_1G) {
        flags |= MFD_HUGETLB | MFD_HUGE_1GB;
    }
    autofd int fd = memfd_create("backplane-ram", flags);
    if (fd < 0 || ftruncate(fd, (off_t)args->size_bytes) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return -errno;
    }
    return fd_steal(&fd);
}

/* A huge page needs an address that is a multiple of its size in the guest and here alike: takes
 * more addresses than needed and gives back what lies outside. MAP_FAILED: errno. */
static void *
map_aligned(const GuestMemoryArgs *args, int fd)
{
    uint64_t align = MAX(args->hugepage_bytes, HUGEPAGE_2M);
    uint64_t room = args->size_bytes + align;
    /* With hugetlbfs the mapping reserves its pages: a lack shows here and not as SIGBUS later. */
    int flags = MAP_FIXED | (args->hugepage_bytes ? 0 : MAP_NORESERVE) |
                (fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
    uint8_t *start =
        mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return MAP_FAILED;
    }
    uint64_t before = (align - (uintptr_t)start % align) % align;
    void *hva = mmap(start + before, args->size_bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    int code = errno;
    if (hva == MAP_FAILED) {
        (void)munmap(start, room);
        errno = code;
        return MAP_FAILED;
    }
    if (before > 0) {
        (void)munmap(start, before);
    }
    (void)munmap(start + before + args->size_bytes, align - before);
    return hva;
}

/* 0 or -errno. */
static int
populate(const GuestMemory *memory)
{
    if (madvise(memory->hva, memory->size, MADV_POPULATE_WRITE) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return -errno;
    }
    /* Before Linux 5.14: at least the pages of a file exist and are ours. */
    if (memory->fd >= 0) {
        return fallocate(memory->fd, 0, 0, (off_t)memory->size) == 0 ? 0 : -errno;
    }
    for (uint64_t at = 0; at < memory->size; at += GUEST_PAGE_BYTES) {
        *(volatile uint8_t *)(memory->hva + at) = 0;
    }
    return 0;
}

bool
guest_memory_map_ram(GuestMemory *memory, const GuestMemoryArgs *args, GError **error)
{
    if (args->shared || args->hugepage_bytes != 0) {
        memory->fd = open_memfd(args);
        if (memory->fd < 0) {
            set_ram_error(error, args, "create", -memory->fd);
            return false;
        }
    }
    void *hva = map_aligned(args, memory->fd);
    if (hva == MAP_FAILED) {
        set_ram_error(error, args, "map", errno);
        return false;
    }
    memory->hva = hva;
    memory->size = args->size_bytes;
    (void)madvise(hva, memory->size, MADV_DONTDUMP); /* a guest's secrets stay out of core dumps */
    (void)madvise(hva, memory->size, MADV_HUGEPAGE); /* a wish: small pages do as well */
    int result = args->prealloc ? populate(memory) : 0;
    if (result < 0) {
        set_ram_error(error, args, "preallocate", -result);
        return false;
    }
    return true;
}

/* ---- zeroing ---- */

/* The pages of one batch of /proc/self/pagemap; those it does not tell of are taken for written.
 * Returns where the next batch begins. */
static uint8_t *
zero_pages(uint8_t *hva, const uint8_t *end, const uint64_t *entries, uint64_t known)
{
    for (uint64_t i = 0; i < PAGEMAP_BATCH && hva < end; i++) {
        uint64_t left = GUEST_PAGE_BYTES - (uintptr_t)hva % GUEST_PAGE_BYTES;
        uint64_t piece = MIN(left, (uint64_t)(end - hva));
        if (i >= known || (entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) != 0) {
            memset(hva, 0, piece);
        }
        hva += piece;
    }
    return hva;
}

/* A page that was never written is zero already. Without /proc all are taken for written. */
static void
zero_private(uint8_t *hva, uint64_t length)
{
    autofd int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    const uint8_t *end = hva + length;
    uint64_t entries[PAGEMAP_BATCH];

    while (hva < end) {
        uint64_t page = (uintptr_t)hva / GUEST_PAGE_BYTES;
        ssize_t got = pread(fd, entries, sizeof entries, (off_t)(page * sizeof entries[0]));

        hva = zero_pages(hva, end, entries, got > 0 ? (uint64_t)got / sizeof entries[0] : 0);
    }
}

/* The first part of [start, end) of the memfd that is not a hole; false: all the rest is holes,
 * which are zeroes already. A file system that cannot tell has no holes. */
static bool
find_data(int fd, uint64_t start, uint64_t end, uint64_t *ret_data, uint64_t *ret_data_end)
{
    off_t data = lseek(fd, (off_t)start, SEEK_DATA);

    if (data < 0) {
        *ret_data = start;
        *ret_data_end = end;
        return errno != ENXIO; /* ENXIO: no data up to the end of the file */
    }
    off_t hole = lseek(fd, data, SEEK_HOLE);
    *ret_data = (uint64_t)data;
    *ret_data_end = hole <= data ? end : MIN((uint64_t)hole, end);
    return *ret_data < end;
}

static void
zero_shared(const GuestMemory *memory, uint64_t at, uint64_t end)
{
    uint64_t data;
    uint64_t data_end;
    while (at < end && find_data(memory->fd, at, end, &data, &data_end)) {
        memset(memory->hva + data, 0, data_end - data);
        at = data_end;
    }
}

bool
guest_memory_zero(const GuestMemory *memory, uint64_t gpa, uint64_t length)
{
    uint8_t *hva = guest_memory_translate(memory, gpa, length);
    if (hva == NULL) {
        return false;
    }
    if (memory->fd >= 0) {
        uint64_t offset = (uint64_t)(hva - memory->hva);
        zero_shared(memory, offset, offset + length);
    } else {
        zero_private(hva, length);
    }
    return true;
}
