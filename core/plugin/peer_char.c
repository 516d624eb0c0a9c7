/* SPDX-License-Identifier: Apache-2.0 */
/* bp.char/1 for a SERIAL consumer: what arrives comes under the consumer's lock. */
#include "base/device_call.h"
#include "plugin/args.h"
#include "plugin/peer.h"

#include <errno.h>

typedef struct {
    struct bp_char_ops ops; /* the consumer's table */
    const struct bp_char_ops *below;
    void *below_self;
    Instance *consumer;
    struct bp_char_client client;
    void *opaque;
} CharShim;

/* The thread is a loop's and inside no device, or inside this one in drain(), which has let go. */
static void
enter(Instance *consumer, DeviceCall *call)
{
    device_call_enter_always(call, consumer->loop_lock);
}

static void
client_receive(void *opaque, const uint8_t *data, uint32_t length)
{
    CharShim *shim = opaque;
    DeviceCall call;

    enter(shim->consumer, &call);
    shim->client.receive(shim->opaque, data, length);
    device_call_leave(&call);
}

static void
client_writable(void *opaque)
{
    CharShim *shim = opaque;
    DeviceCall call;

    enter(shim->consumer, &call);
    shim->client.writable(shim->opaque);
    device_call_leave(&call);
}

static void
client_event(void *opaque, uint32_t event)
{
    CharShim *shim = opaque;
    DeviceCall call;

    enter(shim->consumer, &call);
    shim->client.event(shim->opaque, event);
    device_call_leave(&call);
}

static void
client_lines(void *opaque, uint32_t lines)
{
    CharShim *shim = opaque;
    DeviceCall call;

    enter(shim->consumer, &call);
    shim->client.lines(shim->opaque, lines);
    device_call_leave(&call);
}

static int32_t
shim_connect(void *self, const struct bp_char_connect *given)
{
    CharShim *shim = self;
    struct bp_char_connect args;
    struct bp_char_client client = {.size = sizeof(client)};
    int result = args_copy(&args, sizeof(args), given);

    if (result != 0) {
        return result;
    }
    if (table_copy(&shim->client, sizeof(shim->client), args.client) != 0 ||
        shim->client.receive == NULL) {
        return -EINVAL;
    }
    shim->opaque = args.opaque;
    client.receive = client_receive;
    client.writable = shim->client.writable != NULL ? client_writable : NULL;
    client.event = shim->client.event != NULL ? client_event : NULL;
    client.lines = shim->client.lines != NULL ? client_lines : NULL;
    args.size = sizeof(args);
    args.client = &client;
    args.opaque = shim;
    return shim->below->connect(shim->below_self, &args);
}

/* As in peer_block.c: a callback on its way needs the lock that the caller holds. */
static void
shim_disconnect(void *self)
{
    CharShim *shim = self;

    g_mutex_unlock(shim->consumer->loop_lock);
    shim->below->disconnect(shim->below_self);
    g_mutex_lock(shim->consumer->loop_lock);
}

static int32_t
shim_write(void *self, const uint8_t *data, uint32_t length)
{
    const CharShim *shim = self;

    return shim->below->write(shim->below_self, data, length);
}

static void
shim_credit(void *self, uint32_t bytes)
{
    const CharShim *shim = self;

    shim->below->credit(shim->below_self, bytes);
}

static void
shim_set_lines(void *self, uint32_t lines)
{
    const CharShim *shim = self;

    shim->below->set_lines(shim->below_self, lines);
}

static uint32_t
shim_get_lines(void *self)
{
    const CharShim *shim = self;

    return shim->below->get_lines(shim->below_self);
}

static void
shim_send_break(void *self)
{
    const CharShim *shim = self;

    shim->below->send_break(shim->below_self);
}

static void
shim_set_parameters(void *self, uint32_t rate, uint32_t data_bits, uint32_t parity,
                    uint32_t stop_bits)
{
    const CharShim *shim = self;

    shim->below->set_parameters(shim->below_self, rate, data_bits, parity, stop_bits);
}

void
peer_char_shim(PeerShim *out, Instance *consumer, const struct bp_char_ops *below, void *below_self)
{
    CharShim *shim = g_new0(CharShim, 1);

    shim->consumer = consumer;
    shim->below = below;
    shim->below_self = below_self;
    shim->ops = (struct bp_char_ops){
        .size = sizeof(shim->ops),
        .connect = shim_connect,
        .disconnect = shim_disconnect,
        .write = shim_write,
        .credit = shim_credit,
        .set_lines = below->set_lines != NULL ? shim_set_lines : NULL,
        .get_lines = below->get_lines != NULL ? shim_get_lines : NULL,
        .send_break = below->send_break != NULL ? shim_send_break : NULL,
        .set_parameters = below->set_parameters != NULL ? shim_set_parameters : NULL,
    };
    out->table = &shim->ops;
    out->self = shim;
    out->free_self = g_free;
}
