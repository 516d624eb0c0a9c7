/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that prepare the interface and clean up after it. */
#include "net_tap.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 30000

extern char **environ;

/* Waits on a descriptor of the process, so that nobody else's child is waited for. */
static int32_t
wait_for(pid_t pid)
{
    struct pollfd watch = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    int status = 0, ready = -1;

    if (watch.fd >= 0) {
        do {
            ready = poll(&watch, 1, LIMIT_MS);
        } while (ready < 0 && errno == EINTR);
        (void)close(watch.fd);
        if (ready == 0) {
            (void)kill(pid, SIGKILL);
        }
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    if (ready == 0) {
        return -ETIMEDOUT;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int32_t
tap_run_script(const char *path, const char *name)
{
    char program[PATH_MAX], interface[IFNAMSIZ];
    char *const arguments[] = {program, interface, NULL};
    pid_t pid;
    int result;

    (void)snprintf(program, sizeof(program), "%s", path);
    (void)snprintf(interface, sizeof(interface), "%s", name);
    result = posix_spawn(&pid, path, NULL, NULL, arguments, environ);
    return result != 0 ? -result : wait_for(pid);
}
