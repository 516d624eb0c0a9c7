/* SPDX-License-Identifier: Apache-2.0 */
/* Standard input and output without changing what other processes share with us.
 *
 * O_NONBLOCK belongs to the open file description, and the terminal's is the shell's as well:
 * setting it breaks the shell's other children. So output goes through a description of our own,
 * opened from /proc/self/fd. Where that is refused (another user's terminal, a socket), output asks
 * poll() first and writes as little as cannot block. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A file-scope flag would outlive the plugin's instances and not be seen by another copy of it; a
 * name in the abstract namespace belongs to the process. */
static int
claim_stdio(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int length;

    if (fd < 0) {
        return -errno;
    }
    length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
                      "backplane/char-stdio/%ld", (long)getpid());
    if (bind(fd, (const struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) != 0) {
        int error = errno == EADDRINUSE ? EBUSY : errno;
        (void)close(fd);
        return -error;
    }
    return fd;
}

/* Regular files and /dev/null cannot be waited for; epoll says so. */
static uint32_t
can_poll(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint32_t result;

    if (epoll < 0) {
        return 1;
    }
    result = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 || errno != EPERM;
    (void)close(epoll);
    return result;
}

static int32_t
open_output(struct terminal *terminal)
{
    struct stat status;

    if (fstat(STDOUT_FILENO, &status) != 0) {
        terminal->out = -1; /* closed: a machine without a voice */
        return 0;
    }
    if (isatty(STDOUT_FILENO) || S_ISFIFO(status.st_mode)) {
        terminal->out = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    if (terminal->out < 0) {
        terminal->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        terminal->out_shared = !S_ISREG(status.st_mode);
    }
    if (terminal->out < 0) {
        return -errno;
    }
    terminal->out_polls = can_poll(terminal->out);
    return 0;
}

int32_t
terminal_open(struct terminal *terminal)
{
    int32_t status;

    memset(terminal, 0, sizeof(*terminal));
    terminal->out = -1;
    terminal->claim = claim_stdio();
    if (terminal->claim < 0) {
        return terminal->claim;
    }
    terminal->in = fcntl(STDIN_FILENO, F_GETFD) < 0 ? -1 : STDIN_FILENO;
    terminal->in_tty = terminal->in >= 0 && isatty(terminal->in);
    terminal->in_polls = terminal->in >= 0 && can_poll(terminal->in);
    status = open_output(terminal);
    if (status < 0) {
        terminal_close(terminal);
    }
    return status;
}

void
terminal_close(struct terminal *terminal)
{
    terminal_restore(terminal);
    if (terminal->out >= 0) {
        (void)close(terminal->out);
    }
    if (terminal->claim >= 0) {
        (void)close(terminal->claim);
    }
    terminal->out = -1;
    terminal->claim = -1;
}

uint32_t
terminal_is_ours(const struct terminal *terminal)
{
    pid_t foreground;

    if (!terminal->in_tty) {
        return 1;
    }
    foreground = tcgetpgrp(terminal->in);
    return foreground < 0 || foreground == getpgrp(); /* < 0: not our controlling terminal */
}

/* From the background, tcsetattr() would stop the process: SIGTTOU is held back meanwhile. */
static int
set_attributes(int fd, const struct termios *attributes)
{
    sigset_t block, before;
    int result;

    (void)sigemptyset(&block);
    (void)sigaddset(&block, SIGTTOU);
    (void)pthread_sigmask(SIG_BLOCK, &block, &before);
    result = tcsetattr(fd, TCSANOW, attributes);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

void
terminal_set_raw(struct terminal *terminal, uint32_t signals)
{
    struct termios raw;

    if (!terminal->in_tty || terminal->raw || !terminal_is_ours(terminal) ||
        tcgetattr(terminal->in, &terminal->before) != 0) {
        return;
    }
    raw = terminal->before;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | (signals ? 0 : ISIG));
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    /* Output processing stays on: our own messages end lines with a line feed alone. */
    terminal->raw = set_attributes(terminal->in, &raw) == 0;
}

void
terminal_restore(struct terminal *terminal)
{
    if (terminal->raw) {
        (void)set_attributes(terminal->in, &terminal->before);
        terminal->raw = 0;
    }
}

int32_t
terminal_read(struct terminal *terminal, uint8_t *data, uint32_t length)
{
    struct pollfd ready = {.fd = terminal->in, .events = POLLIN};
    ssize_t n;

    /* The description is shared and blocks: someone else may have taken what was announced. */
    if (terminal->in_polls && poll(&ready, 1, 0) != 1) {
        return -EAGAIN;
    }
    n = read(terminal->in, data, length);
    if (n < 0) {
        return errno == EINTR || errno == EAGAIN ? -EAGAIN : -EIO;
    }
    return n == 0 && terminal->in_tty && terminal->raw ? -EIO : (int32_t)n;
}

static int32_t
write_some(int fd, const uint8_t *data, uint32_t length)
{
    ssize_t n = write(fd, data, length);

    if (n >= 0) {
        return (int32_t)n;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int32_t
terminal_write(struct terminal *terminal, const uint8_t *data, uint32_t length)
{
    struct pollfd ready = {.fd = terminal->out, .events = POLLOUT};
    uint32_t done = 0;

    if (terminal->out < 0) {
        return (int32_t)length;
    }
    if (!terminal->out_shared) {
        return write_some(terminal->out, data, length);
    }
    while (done < length && poll(&ready, 1, 0) == 1) {
        int32_t n = write_some(terminal->out, data + done, 1);
        if (n < 0) {
            return n;
        }
        done += (uint32_t)n;
        if (n == 0) {
            break;
        }
    }
    return (int32_t)done;
}
