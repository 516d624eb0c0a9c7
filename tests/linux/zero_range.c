/* SPDX-License-Identifier: Apache-2.0 */
/* zero_range DEVICE OFFSET LENGTH: BLKZEROOUT, for which busybox has no program. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    uint64_t range[2];
    int fd;

    if (argc != 4) {
        return 2;
    }
    range[0] = strtoull(argv[2], NULL, 0);
    range[1] = strtoull(argv[3], NULL, 0);
    fd = open(argv[1], O_RDWR);
    if (fd < 0 || ioctl(fd, BLKZEROOUT, range) < 0) {
        perror(argv[1]);
        return 1;
    }
    return close(fd) != 0;
}
