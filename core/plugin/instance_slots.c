/* SPDX-License-Identifier: Apache-2.0 */
/* What is attached to an instance, and how it comes to rest when that changes. */
#include "plugin/instance.h"
#include "plugin/peer.h"

#include <errno.h>

static Peer *
find_peer(const Instance *instance, unsigned slot, unsigned use)
{
    unsigned i;

    for (i = 0; i < instance->peers->len; i++) {
        Peer *peer = instance->peers->pdata[i];
        if (peer_slot(peer) == slot && peer_use(peer) == use) {
            return peer;
        }
    }
    return NULL;
}

const void *
instance_peer_at(const Instance *instance, unsigned slot, unsigned use)
{
    return find_peer(instance, slot, use);
}

Instance *
instance_backend_at(const Instance *instance, unsigned slot, unsigned use)
{
    const Peer *peer = find_peer(instance, slot, use);

    return peer != NULL && peer_is_attached(peer) ? peer_backend(peer) : NULL;
}

static void
detach(Instance *instance, Peer *peer)
{
    DeviceCall call;

    peer_set_attached(peer, false);
    if (instance->life.detach == NULL) {
        return;
    }
    instance_lock(instance, &call);
    instance->life.detach(instance->self, peer_slot(peer), peer_use(peer));
    device_call_leave(&call);
}

void
instance_detach(Instance *instance, unsigned slot, unsigned use)
{
    Peer *peer = find_peer(instance, slot, use);

    if (peer == NULL) {
        return;
    }
    if (peer_is_attached(peer)) {
        detach(instance, peer);
    }
    (void)g_ptr_array_remove(instance->peers, peer);
}

void
instance_detach_all(Instance *instance)
{
    unsigned i;

    for (i = instance->peers->len; i > 0; i--) {
        Peer *peer = instance->peers->pdata[i - 1];
        if (peer_is_attached(peer)) {
            detach(instance, peer);
        }
    }
}

bool
instance_attach(Instance *instance, const PlanSlotUse *use, Instance *backend, GError **error)
{
    Peer *peer = peer_new(instance, backend, use, error);
    struct bp_peer description;
    int32_t result = -EOPNOTSUPP;
    DeviceCall call;

    if (peer == NULL) {
        return false;
    }
    g_ptr_array_add(instance->peers, peer);
    peer_describe(peer, &description);
    if (instance->life.attach != NULL) {
        instance_lock(instance, &call);
        result = instance->life.attach(instance->self, use->slot, use->use, &description);
        device_call_leave(&call);
    }
    if (result < 0) {
        instance->failure_node =
            instance->failure_node != NULL ? instance->failure_node : use->node;
        instance_set_error(instance, "cannot attach the backend", result, error);
        (void)g_ptr_array_remove(instance->peers, peer);
        return false;
    }
    peer_set_attached(peer, true);
    return true;
}

int32_t
instance_quiesce(Instance *instance, uint64_t deadline_ns)
{
    int32_t result = 0;
    DeviceCall call;

    if (instance->life.quiesce != NULL) {
        instance_lock(instance, &call);
        result = instance->life.quiesce(instance->self, deadline_ns);
        device_call_leave(&call);
    }
    return result;
}

void
instance_resume(Instance *instance)
{
    DeviceCall call;

    if (instance->life.resume != NULL) {
        instance_lock(instance, &call);
        instance->life.resume(instance->self);
        device_call_leave(&call);
    }
}
