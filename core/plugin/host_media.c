/* SPDX-License-Identifier: Apache-2.0 */
/* bp.media-host/1: what a device with drives tells. */
#include "plugin/instance.h"

#include <json-glib/json-glib.h>

/* Operators know a tray by its drive's name; one that moves in create() or realize() has none yet,
 * and nobody listens. */
static void
media_host_tray_moved(Instance *instance, uint32_t index, uint32_t open)
{
    Services *services = instance->services;
    g_autoptr(JsonObject) object = json_object_new();
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);
    g_autofree char *json = NULL;

    if (!instance->realized || index >= instance->drives->len) {
        return;
    }
    json_object_set_string_member(object, "device", instance->drives->pdata[index]);
    json_object_set_string_member(object, "id", instance->drives->pdata[index]);
    json_object_set_boolean_member(object, "tray-open", open != 0);
    json = json_to_string(node, FALSE);
    services->event(services->opaque, instance->id, "DEVICE_TRAY_MOVED", json);
}

const struct bp_media_host host_media = {
    .size = sizeof(host_media),
    .tray_moved = media_host_tray_moved,
};
