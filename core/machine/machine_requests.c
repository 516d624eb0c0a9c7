/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and events from other threads, carried to the control thread. */
#include "machine/machine_private.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <glib-unix.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MAX 1024 /* queued; more than that and a guest is flooding us */

static const char *const request_names[] = {
    [MACHINE_REQUEST_QUIT] = "quit",
    [MACHINE_REQUEST_STOP] = "stop",
    [MACHINE_REQUEST_SIGNAL] = "quit",
    [MACHINE_REQUEST_IO_ERROR] = "stop",
    [MACHINE_REQUEST_RESUME] = "resume",
    [MACHINE_REQUEST_RESET] = "reset",
    [MACHINE_REQUEST_HOST_RESET] = "reset",
    [MACHINE_REQUEST_POWEROFF] = "power off",
    [MACHINE_REQUEST_POWER_BUTTON] = "power button",
    [MACHINE_REQUEST_SUSPEND] = "suspend",
    [MACHINE_REQUEST_WAKE] = "wake",
    [MACHINE_REQUEST_PANIC_STOP] = "stop",
    [MACHINE_REQUEST_PANIC_END] = "quit",
    [MACHINE_REQUEST_FAIL] = "failure",
};

static void
pending_event_free(void *value)
{
    PendingEvent *event = value;

    g_free(event->who);
    g_free(event->name);
    g_free(event->json);
    g_free(event);
}

/* A device that stops the machine over a request says so in its event. */
static void
note_io_failure(Machine *machine, const char *name, const char *json)
{
    g_autoptr(JsonNode) node = NULL;
    JsonObject *data;
    bool is_full;

    if (strcmp(name, "BLOCK_IO_ERROR") != 0 || json == NULL) {
        return;
    }
    node = json_from_string(json, NULL);
    if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node)) {
        return;
    }
    data = json_node_get_object(node);
    if (g_strcmp0(json_object_get_string_member_with_default(data, "action", ""), "stop") != 0) {
        return;
    }
    is_full = json_object_get_boolean_member_with_default(data, "nospace", FALSE);
    (void)g_hash_table_insert(
        machine->io_failures,
        g_strdup(json_object_get_string_member_with_default(data, "device", "")),
        (gpointer)(uintptr_t)(is_full ? "nospace" : "failed"));
}

const char *
machine_io_status(const Machine *machine, const char *drive)
{
    const char *status = g_hash_table_lookup(machine->io_failures, drive);

    return status != NULL ? status : "ok";
}

void
machine_emit(Machine *machine, const char *who, const char *name, const char *json)
{
    note_io_failure(machine, name, json);
    log_debug("event", "%s: %s %s", who, name, json != NULL ? json : "");
    if (machine->event_func != NULL) {
        machine->event_func(machine->event_opaque, who, name, json);
    }
}

void
machine_notify(Machine *machine)
{
    (void)eventfd_write(machine->request_fd, 1);
}

void
machine_queue_event(Machine *machine, const char *who, const char *name, const char *json)
{
    PendingEvent *event = g_new0(PendingEvent, 1);

    event->who = g_strdup(who);
    event->name = g_strdup(name);
    event->json = g_strdup(json);
    g_mutex_lock(&machine->lock);
    if (g_queue_get_length(&machine->events) < EVENTS_MAX) {
        g_queue_push_tail(&machine->events, g_steal_pointer(&event));
    }
    g_mutex_unlock(&machine->lock);
    if (event != NULL) {
        pending_event_free(event);
    }
    machine_notify(machine);
}

void
machine_request(Machine *machine, MachineRequest request, const char *who, const char *reason)
{
    if (request == MACHINE_REQUEST_FAIL) {
        log_error(who, "%s", reason);
    } else {
        log_debug("machine", "%s asks for: %s (%s)", who, request_names[request], reason);
    }
    g_mutex_lock(&machine->lock);
    machine->requests |= 1u << request;
    g_mutex_unlock(&machine->lock);
    machine_notify(machine);
}

void
machine_end(Machine *machine, int exit_status)
{
    if (machine->running) {
        machine_pause(machine);
    }
    machine->exit_status = MAX(machine->exit_status, exit_status);
    g_main_loop_quit(machine->main_loop);
}

static void
shut_down(Machine *machine, const char *data, int exit_status)
{
    machine_emit(machine, "machine", "SHUTDOWN", data);
    machine_end(machine, exit_status);
}

static void
serve_reset(Machine *machine, const char *data)
{
    if (machine->args.no_reboot) {
        shut_down(machine, data, 0);
        return;
    }
    if (machine_reset(machine)) {
        machine_emit(machine, "machine", "RESET", data);
    }
}

/* status: QEMU's word for why it stands. */
static void
stop_for(Machine *machine, const char *status)
{
    machine->stopped_by = status;
    machine_pause(machine);
}

static void
serve_request(Machine *machine, MachineRequest request)
{
    switch (request) {
    case MACHINE_REQUEST_QUIT:
        shut_down(machine, "{\"guest\": false, \"reason\": \"host-qmp-quit\"}", 0);
        break;
    case MACHINE_REQUEST_SIGNAL:
        shut_down(machine, "{\"guest\": false, \"reason\": \"host-signal\"}", 0);
        break;
    case MACHINE_REQUEST_POWEROFF:
        shut_down(machine, "{\"guest\": true, \"reason\": \"guest-shutdown\"}", 0);
        break;
    case MACHINE_REQUEST_FAIL:
        machine_emit(machine, "machine", "GUEST_PANICKED", "{\"action\": \"poweroff\"}");
        shut_down(machine, "{\"guest\": true, \"reason\": \"guest-panic\"}", 1);
        break;
    case MACHINE_REQUEST_RESET:
        serve_reset(machine, "{\"guest\": true, \"reason\": \"guest-reset\"}");
        break;
    case MACHINE_REQUEST_HOST_RESET:
        serve_reset(machine, "{\"guest\": false, \"reason\": \"host-qmp-system-reset\"}");
        break;
    case MACHINE_REQUEST_STOP:
        machine_pause(machine);
        break;
    case MACHINE_REQUEST_IO_ERROR:
        stop_for(machine, "io-error");
        break;
    case MACHINE_REQUEST_PANIC_STOP:
        stop_for(machine, "guest-panicked");
        break;
    case MACHINE_REQUEST_PANIC_END:
        shut_down(machine, "{\"guest\": true, \"reason\": \"guest-panic\"}", 0);
        break;
    case MACHINE_REQUEST_RESUME:
        machine_resume(machine);
        break;
    case MACHINE_REQUEST_POWER_BUTTON:
        if (machine->suspended) {
            machine_wake(machine);
            break;
        }
        board_power_button(machine->services.board);
        machine_emit(machine, "machine", "POWERDOWN", NULL);
        break;
    case MACHINE_REQUEST_SUSPEND:
        machine_suspend(machine);
        break;
    case MACHINE_REQUEST_WAKE:
        machine_wake(machine);
        break;
    case MACHINE_REQUEST_COUNT:
        break;
    }
}

static gboolean
serve(gint fd, GIOCondition condition, gpointer opaque)
{
    Machine *machine = opaque;
    eventfd_t count;
    unsigned requests, i;
    GQueue events = G_QUEUE_INIT;
    PendingEvent *event;

    (void)eventfd_read(fd, &count);
    g_mutex_lock(&machine->lock);
    requests = machine->requests;
    machine->requests = 0;
    events = machine->events;
    g_queue_init(&machine->events);
    g_mutex_unlock(&machine->lock);
    while ((event = g_queue_pop_head(&events)) != NULL) {
        machine_emit(machine, event->who, event->name, event->json);
        pending_event_free(event);
    }
    machine_quiesce_serve(machine);
    machine_devices_serve(machine);
    for (i = 0; i < MACHINE_REQUEST_COUNT; i++) {
        if ((requests & (1u << i)) != 0) {
            serve_request(machine, (MachineRequest)i);
        }
    }
    return G_SOURCE_CONTINUE;
}

bool
machine_requests_init(Machine *machine, GError **error)
{
    g_autoptr(GSource) source = NULL;

    g_mutex_init(&machine->lock);
    g_queue_init(&machine->events);
    machine->request_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (machine->request_fd < 0) {
        g_set_error(error, BACKPLANE_ERROR, ERROR_HOST, "cannot make an eventfd: %s",
                    g_strerror(errno));
        return false;
    }
    source = g_unix_fd_source_new(machine->request_fd, G_IO_IN);
    g_source_set_callback(source, G_SOURCE_FUNC(serve), machine, NULL);
    (void)g_source_attach(source, machine->context);
    return true;
}

void
machine_requests_done(Machine *machine)
{
    PendingEvent *event;

    while ((event = g_queue_pop_head(&machine->events)) != NULL) {
        pending_event_free(event);
    }
    if (machine->request_fd >= 0) {
        (void)close(machine->request_fd);
    }
    g_mutex_clear(&machine->lock);
}
