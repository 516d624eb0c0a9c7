/* SPDX-License-Identifier: Apache-2.0 */
/* Runs in the guest: reads block 0 of every disk sd*, whose label must be where the disk is, and
 * writes a sample with fsync to every sixteenth. argv[1]: host number of the adapter. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512

static int
use(const char *name, unsigned target, unsigned lun)
{
    static char block[BLOCK] __attribute__((aligned(BLOCK)));
    char path[512], label[32];
    int fd, good;

    (void)snprintf(path, sizeof(path), "/dev/%s", name);
    (void)snprintf(label, sizeof(label), "disk %u.%u", target, lun);
    fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        perror(path);
        return 0;
    }
    good = pread(fd, block, BLOCK, 0) == BLOCK && strcmp(block, label) == 0;
    if (good && (target * 4 + lun) % 16 == 0) {
        (void)snprintf(block, sizeof(block), "written to %u.%u", target, lun);
        good = pwrite(fd, block, BLOCK, BLOCK) == BLOCK && fsync(fd) == 0;
    }
    (void)close(fd);
    return good;
}

int
main(int argc, char **argv)
{
    unsigned wanted = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    unsigned found = 0, good = 0;
    const struct dirent *entry;
    DIR *directory = opendir("/sys/class/scsi_disk");

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        unsigned host, channel, target, lun;
        char path[512];
        const struct dirent *block;
        DIR *blocks;

        if (sscanf(entry->d_name, "%u:%u:%u:%u", &host, &channel, &target, &lun) != 4 ||
            host != wanted) {
            continue;
        }
        found++;
        (void)snprintf(path, sizeof(path), "/sys/class/scsi_disk/%s/device/block", entry->d_name);
        blocks = opendir(path);
        while (blocks != NULL && (block = readdir(blocks)) != NULL) {
            good += block->d_name[0] == 's' && use(block->d_name, target, lun);
        }
        if (blocks != NULL) {
            (void)closedir(blocks);
        }
    }
    printf("FACT disks=%u\nFACT used=%u\n", found, good);
    return 0;
}
