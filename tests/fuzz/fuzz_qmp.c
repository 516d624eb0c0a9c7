/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer over the control socket: each input is what one client sends to a whole machine, in
 * pieces cut at the bytes 01h, after it has negotiated. The machine and its server live on; devices
 * and backends an input made are removed before the next. If it removed one of the description's,
 * the next finds a new machine.
 *
 * BACKPLANE_FUZZ_MACHINE names the description. No input may reach a file of the host: those with a
 * slash, or with an escape that could be one, are skipped, and the working directory is a fresh
 * one. */
#include "base/log.h"
#include "control/qmp_server.h"
#include "machine/machine_backends.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ROUNDS_MAX  2000
#define DEVICES_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static MachinePlan *plan;
static Machine *machine;
static QmpServer *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static guint backends_first, devices_first; /* those of the description */
static char ids[DEVICES_MAX][32];
static const char *description;

/* A plugin that goes would take its coverage counters with it, which libFuzzer has pointers to. */
int
dlclose(void *handle)
{
    return 0;
}

static void
begin(void)
{
    g_autoptr(ErrorList) errors = error_list_new();
    g_autoptr(GError) error = NULL;
    MachineArgs args = {.test = true};
    guint i;

    plan = description != NULL ? machine_plan_new(description, NULL, NULL, errors) : NULL;
    if (plan == NULL) {
        error_list_print(errors, stderr);
        abort();
    }
    machine = machine_new(plan, &args, &error);
    if (machine == NULL || !machine_start(machine, &error) ||
        (server = qmp_server_new(machine, address.sun_path, &error)) == NULL) {
        (void)fprintf(stderr, "%s\n", error->message);
        abort();
    }
    backends_first = machine_backends(machine)->len;
    devices_first = machine_devices(machine)->len;
    for (i = 0; i < devices_first && i < DEVICES_MAX; i++) {
        const Instance *device = machine_devices(machine)->pdata[i];
        (void)g_strlcpy(ids[i], device->id, sizeof(ids[i]));
    }
}

static void
finish(void)
{
    qmp_server_free(server);
    machine_free(machine);
    machine_plan_free(plan);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    g_autofree char *directory = g_dir_make_tmp("backplane-fuzz-XXXXXX", NULL);

    description = getenv("BACKPLANE_FUZZ_MACHINE");
    log_configure(LOG_ERROR, NULL);
    if (directory == NULL || chdir(directory) != 0) {
        abort();
    }
    (void)g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/qmp", directory);
    begin();
    return 0;
}

/* A slash, as it is or as an escape. */
static bool
may_name_a_file(const uint8_t *data, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        if (data[i] == '/' || (data[i] == '\\' && i + 1 < size && data[i + 1] == 'u')) {
            return true;
        }
    }
    return false;
}

static void
let_it_work(int fd)
{
    char answer[65536];
    unsigned rounds = 0;

    while (rounds++ < ROUNDS_MAX && g_main_context_iteration(machine_context(machine), FALSE)) {
        if (fd >= 0) {
            (void)!recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
        }
    }
}

static void
ignore(void *opaque, const GError *error)
{
}

/* False: those of the description, which came first, are not all there. */
static bool
remove_devices(void)
{
    const GPtrArray *devices = machine_devices(machine);
    unsigned i;

    for (i = 0; i < devices_first; i++) {
        if (i >= devices->len || machine_device_find(machine, ids[i]) != devices->pdata[i]) {
            return false;
        }
    }
    for (i = devices->len; i > devices_first; i--) {
        machine_device_remove(machine, devices->pdata[i - 1], ignore, NULL);
    }
    return devices->len == devices_first;
}

static void
remove_backends(void)
{
    unsigned i, pass;

    for (pass = 0; pass < 4; pass++) { /* what stands on others goes first */
        for (i = machine_backends(machine)->len; i > 0; i--) {
            Instance *backend = machine_backends(machine)->pdata[i - 1];
            g_autoptr(MachineSlot) slot = machine_slot_of_backend(machine, backend);
            if (slot == NULL && machine_backends(machine)->len > backends_first) {
                (void)machine_backend_remove(machine, backend, NULL);
            }
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
    const uint8_t *end = data + size;
    int fd;

    if (may_name_a_file(data, size)) {
        return -1;
    }
    machine_resume(machine);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        abort();
    }
    (void)send(fd, hello, strlen(hello), MSG_NOSIGNAL | MSG_DONTWAIT);
    let_it_work(fd);
    while (data < end) {
        const uint8_t *cut = memchr(data, 1, (size_t)(end - data));
        size_t piece = (size_t)((cut != NULL ? cut : end) - data);
        (void)send(fd, data, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
        let_it_work(fd);
        data += piece + (cut != NULL);
    }
    (void)close(fd);
    let_it_work(-1);
    remove_backends();
    if (!remove_devices() || machine_backends(machine)->len != backends_first) {
        finish();
        begin();
    }
    return 0;
}
