/* SPDX-License-Identifier: Apache-2.0 */
/* Runs in the guest: format_cylinder DEVICE CYLINDER formats both tracks by the driver's FDFMTTRK,
 * as fdformat does for all of them. */
#include <fcntl.h>
#include <linux/fd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    int fd = argc == 3 ? open(argv[1], O_WRONLY) : -1;

    if (fd < 0 || ioctl(fd, FDFMTBEG, NULL) != 0) {
        perror("format_cylinder");
        return 1;
    }
    for (unsigned head = 0; head < 2; head++) {
        struct format_descr track = {.head = head, .track = (unsigned)atoi(argv[2])};
        if (ioctl(fd, FDFMTTRK, &track) != 0) {
            perror("FDFMTTRK");
            return 1;
        }
    }
    if (ioctl(fd, FDFMTEND, NULL) != 0) {
        perror("FDFMTEND");
        return 1;
    }
    return close(fd) == 0 ? 0 : 1;
}
