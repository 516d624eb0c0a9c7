/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer's side of a char backend: see <backplane/sdk/char_port.h>. */
#include <backplane/sdk/char_port.h>

#include <string.h>

int32_t
bp_char_port_init(struct bp_char_port *port)
{
    memset(port, 0, sizeof(*port));
    if (pthread_mutex_init(&port->lock, NULL) != 0) {
        return -ENOMEM;
    }
    if (pthread_cond_init(&port->idle, NULL) != 0) {
        pthread_mutex_destroy(&port->lock);
        return -ENOMEM;
    }
    return 0;
}

void
bp_char_port_done(struct bp_char_port *port)
{
    pthread_cond_destroy(&port->idle);
    pthread_mutex_destroy(&port->lock);
}

int32_t
bp_char_port_connect(struct bp_char_port *port, const struct bp_char_connect *args)
{
    const struct bp_char_client *client = args->client;
    int32_t result = 0;

    if (args->flags != 0 || client == NULL || !BP_HAS(client, receive)) {
        return -EINVAL;
    }
    pthread_mutex_lock(&port->lock);
    if (port->connected) {
        result = -EBUSY;
    } else {
        memset(&port->client, 0, sizeof(port->client));
        memcpy(&port->client, client,
               client->size < sizeof(port->client) ? client->size : sizeof(port->client));
        port->opaque = args->opaque;
        port->credit = 0;
        port->connected = 1;
    }
    pthread_mutex_unlock(&port->lock);
    return result;
}

void
bp_char_port_disconnect(struct bp_char_port *port)
{
    pthread_mutex_lock(&port->lock);
    port->connected = 0;
    port->credit = 0;
    while (port->calling > 0 && !pthread_equal(port->caller, pthread_self())) {
        pthread_cond_wait(&port->idle, &port->lock);
    }
    pthread_mutex_unlock(&port->lock);
}

void
bp_char_port_set_credit(struct bp_char_port *port, uint32_t bytes)
{
    pthread_mutex_lock(&port->lock);
    port->credit = port->connected ? bytes : 0;
    pthread_mutex_unlock(&port->lock);
}

uint32_t
bp_char_port_credit(struct bp_char_port *port)
{
    uint32_t credit;

    pthread_mutex_lock(&port->lock);
    credit = port->credit;
    pthread_mutex_unlock(&port->lock);
    return credit;
}

/* Begins a call: a copy of the client's table to call through, or 0 if there is nobody. Locked. */
static uint32_t
call_begin(struct bp_char_port *port, struct bp_char_client *client, void **opaque)
{
    if (!port->connected) {
        return 0;
    }
    *client = port->client;
    *opaque = port->opaque;
    port->calling++;
    port->caller = pthread_self();
    return 1;
}

static void
call_end(struct bp_char_port *port)
{
    pthread_mutex_lock(&port->lock);
    if (--port->calling == 0) {
        pthread_cond_broadcast(&port->idle);
    }
    pthread_mutex_unlock(&port->lock);
}

uint32_t
bp_char_port_receive(struct bp_char_port *port, const uint8_t *data, uint32_t length)
{
    struct bp_char_client client;
    void *opaque;
    uint32_t calls;

    pthread_mutex_lock(&port->lock);
    length = length < port->credit ? length : port->credit;
    calls = length > 0 && call_begin(port, &client, &opaque);
    port->credit -= calls ? length : 0;
    pthread_mutex_unlock(&port->lock);
    if (!calls) {
        return 0;
    }
    client.receive(opaque, data, length);
    call_end(port);
    return length;
}

void
bp_char_port_writable(struct bp_char_port *port)
{
    struct bp_char_client client;
    void *opaque;
    uint32_t calls;

    pthread_mutex_lock(&port->lock);
    calls = call_begin(port, &client, &opaque);
    pthread_mutex_unlock(&port->lock);
    if (!calls) {
        return;
    }
    if (client.writable != NULL) {
        client.writable(opaque);
    }
    call_end(port);
}

void
bp_char_port_event(struct bp_char_port *port, uint32_t event)
{
    struct bp_char_client client;
    void *opaque;
    uint32_t calls;

    pthread_mutex_lock(&port->lock);
    calls = call_begin(port, &client, &opaque);
    pthread_mutex_unlock(&port->lock);
    if (!calls) {
        return;
    }
    if (client.event != NULL) {
        client.event(opaque, event);
    }
    call_end(port);
}
