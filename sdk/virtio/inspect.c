/* SPDX-License-Identifier: Apache-2.0 */
/* What operators may ask a virtio device (bp.inspect/1): its features, its registers, its rings.
 * The questions, their arguments and their answers have QEMU's names. Numbers: virtio 1.2, chapters
 * 2, 5 and 6. */
#include "virtio_internal.h"

#include <backplane/sdk/json.h>

#include <stdio.h>

#define DESC_BYTES 16u
#define RING_FLAGS 0u
#define RING_INDEX 2u
#define RING_ENTRY 4u

struct named_bit {
    uint32_t bit;
    const char *name;
};

static const struct named_bit transport_bits[] = {
    {24, "VIRTIO_F_NOTIFY_ON_EMPTY"},
    {27, "VIRTIO_F_ANY_LAYOUT"},
    {28, "VIRTIO_RING_F_INDIRECT_DESC"},
    {29, "VIRTIO_RING_F_EVENT_IDX"},
    {32, "VIRTIO_F_VERSION_1"},
    {33, "VIRTIO_F_IOMMU_PLATFORM"},
    {34, "VIRTIO_F_RING_PACKED"},
    {35, "VIRTIO_F_IN_ORDER"},
    {36, "VIRTIO_F_ORDER_PLATFORM"},
    {37, "VIRTIO_F_SR_IOV"},
    {38, "VIRTIO_F_NOTIFICATION_DATA"},
    {40, "VIRTIO_F_RING_RESET"},
    {0, NULL},
};

static const struct named_bit status_bits[] = {
    {0, "VIRTIO_CONFIG_S_ACKNOWLEDGE"},
    {1, "VIRTIO_CONFIG_S_DRIVER"},
    {2, "VIRTIO_CONFIG_S_DRIVER_OK"},
    {3, "VIRTIO_CONFIG_S_FEATURES_OK"},
    {6, "VIRTIO_CONFIG_S_NEEDS_RESET"},
    {7, "VIRTIO_CONFIG_S_FAILED"},
    {0, NULL},
};

static const struct named_bit net_bits[] = {
    {0, "VIRTIO_NET_F_CSUM"},
    {1, "VIRTIO_NET_F_GUEST_CSUM"},
    {2, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS"},
    {3, "VIRTIO_NET_F_MTU"},
    {5, "VIRTIO_NET_F_MAC"},
    {6, "VIRTIO_NET_F_GSO"},
    {7, "VIRTIO_NET_F_GUEST_TSO4"},
    {8, "VIRTIO_NET_F_GUEST_TSO6"},
    {9, "VIRTIO_NET_F_GUEST_ECN"},
    {10, "VIRTIO_NET_F_GUEST_UFO"},
    {11, "VIRTIO_NET_F_HOST_TSO4"},
    {12, "VIRTIO_NET_F_HOST_TSO6"},
    {13, "VIRTIO_NET_F_HOST_ECN"},
    {14, "VIRTIO_NET_F_HOST_UFO"},
    {15, "VIRTIO_NET_F_MRG_RXBUF"},
    {16, "VIRTIO_NET_F_STATUS"},
    {17, "VIRTIO_NET_F_CTRL_VQ"},
    {18, "VIRTIO_NET_F_CTRL_RX"},
    {19, "VIRTIO_NET_F_CTRL_VLAN"},
    {20, "VIRTIO_NET_F_CTRL_RX_EXTRA"},
    {21, "VIRTIO_NET_F_GUEST_ANNOUNCE"},
    {22, "VIRTIO_NET_F_MQ"},
    {23, "VIRTIO_NET_F_CTRL_MAC_ADDR"},
    {50, "VIRTIO_NET_F_DEVICE_STATS"},
    {51, "VIRTIO_NET_F_HASH_TUNNEL"},
    {52, "VIRTIO_NET_F_VQ_NOTF_COAL"},
    {53, "VIRTIO_NET_F_NOTF_COAL"},
    {54, "VIRTIO_NET_F_GUEST_USO4"},
    {55, "VIRTIO_NET_F_GUEST_USO6"},
    {56, "VIRTIO_NET_F_HOST_USO"},
    {57, "VIRTIO_NET_F_HASH_REPORT"},
    {59, "VIRTIO_NET_F_GUEST_HDRLEN"},
    {60, "VIRTIO_NET_F_RSS"},
    {61, "VIRTIO_NET_F_RSC_EXT"},
    {62, "VIRTIO_NET_F_STANDBY"},
    {63, "VIRTIO_NET_F_SPEED_DUPLEX"},
    {0, NULL},
};

static const struct named_bit blk_bits[] = {
    {0, "VIRTIO_BLK_F_BARRIER"},
    {1, "VIRTIO_BLK_F_SIZE_MAX"},
    {2, "VIRTIO_BLK_F_SEG_MAX"},
    {4, "VIRTIO_BLK_F_GEOMETRY"},
    {5, "VIRTIO_BLK_F_RO"},
    {6, "VIRTIO_BLK_F_BLK_SIZE"},
    {7, "VIRTIO_BLK_F_SCSI"},
    {9, "VIRTIO_BLK_F_FLUSH"},
    {10, "VIRTIO_BLK_F_TOPOLOGY"},
    {11, "VIRTIO_BLK_F_CONFIG_WCE"},
    {12, "VIRTIO_BLK_F_MQ"},
    {13, "VIRTIO_BLK_F_DISCARD"},
    {14, "VIRTIO_BLK_F_WRITE_ZEROES"},
    {15, "VIRTIO_BLK_F_LIFETIME"},
    {16, "VIRTIO_BLK_F_SECURE_ERASE"},
    {0, NULL},
};

static const struct named_bit scsi_bits[] = {
    {0, "VIRTIO_SCSI_F_INOUT"},
    {1, "VIRTIO_SCSI_F_HOTPLUG"},
    {2, "VIRTIO_SCSI_F_CHANGE"},
    {3, "VIRTIO_SCSI_F_T10_PI"},
    {0, NULL},
};

static const struct named_bit no_bits[] = {{0, NULL}};

static const struct {
    uint32_t type;
    const char *name;
    const struct named_bit *bits;
} types[] = {
    {BP_VIRTIO_TYPE_NET, "virtio-net", net_bits},
    {BP_VIRTIO_TYPE_BLOCK, "virtio-blk", blk_bits},
    {BP_VIRTIO_TYPE_CONSOLE, "virtio-serial", no_bits},
    {BP_VIRTIO_TYPE_RNG, "virtio-rng", no_bits},
    {BP_VIRTIO_TYPE_BALLOON, "virtio-balloon", no_bits},
    {BP_VIRTIO_TYPE_SCSI, "virtio-scsi", scsi_bits},
    {BP_VIRTIO_TYPE_9P, "virtio-9p", no_bits},
};

static const char *
type_name(const struct bp_virtio *virtio)
{
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(types); i++) {
        if (types[i].type == virtio->type) {
            return types[i].name;
        }
    }
    return "virtio-device";
}

static const struct named_bit *
type_bits(const struct bp_virtio *virtio)
{
    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(types); i++) {
        if (types[i].type == virtio->type) {
            return types[i].bits;
        }
    }
    return no_bits;
}

/* A list of the names of those bits that are set. Returns the bits that have none. */
static uint64_t
put_bits(struct bp_json *json, const char *name, const struct named_bit *bits, uint64_t value)
{
    bp_json_open(json, name, '[');
    for (; bits->name != NULL; bits++) {
        uint64_t bit = UINT64_C(1) << bits->bit;
        if ((value & bit) != 0) {
            bp_json_text(json, NULL, bits->name);
            value &= ~bit;
        }
    }
    bp_json_close(json, ']');
    return value;
}

static void
put_features(struct bp_json *json, const char *name, const struct bp_virtio *virtio,
             uint64_t features)
{
    bp_json_open(json, name, '{');
    features = put_bits(json, "transports", transport_bits, features);
    features = put_bits(json, "dev-features", type_bits(virtio), features);
    if (features != 0) {
        bp_json_number(json, "unknown-dev-features", features);
    }
    bp_json_close(json, '}');
}

/* --- the device --------------------------------------------------------------------------------
 */

static void
put_device(struct bp_json *json, const struct bp_virtio *virtio, const char *id)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "/machine/peripheral/%s/virtio-backend", id);
    bp_json_open(json, NULL, '{');
    bp_json_text(json, "name", type_name(virtio));
    bp_json_text(json, "path", path);
    bp_json_close(json, '}');
}

static void
put_status(struct bp_json *json, struct bp_virtio *virtio)
{
    uint32_t status = atomic_load(&virtio->status);
    uint32_t is_legacy = virtio->legacy != 0;
    uint64_t unknown;

    bp_json_open(json, NULL, '{');
    bp_json_text(json, "name", type_name(virtio));
    bp_json_number(json, "device-id", virtio->type);
    bp_json_bool(json, "vhost-started", 0);
    bp_json_text(json, "device-endian", "little");
    put_features(json, "guest-features", virtio, bp_virtio_features(virtio));
    put_features(json, "host-features", virtio, virtio_offered(virtio, is_legacy));
    put_features(json, "backend-features", virtio, 0);
    bp_json_number(json, "num-vqs", virtio->queue_count);
    bp_json_open(json, "status", '{');
    unknown = put_bits(json, "statuses", status_bits, status);
    if (unknown != 0) {
        bp_json_number(json, "unknown-statuses", unknown);
    }
    bp_json_close(json, '}');
    pthread_mutex_lock(&virtio->irq_lock);
    bp_json_number(json, "isr", virtio->isr);
    pthread_mutex_unlock(&virtio->irq_lock);
    bp_json_number(json, "queue-sel", virtio->queue_select);
    bp_json_bool(json, "vm-running", !atomic_load(&virtio->stopped));
    bp_json_bool(json, "broken", atomic_load(&virtio->broken));
    bp_json_bool(json, "disabled", 0);
    bp_json_bool(json, "use-started", 1);
    bp_json_bool(json, "started", (status & BP_VIRTIO_DRIVER_OK) != 0);
    bp_json_bool(json, "start-on-kick", 0);
    bp_json_bool(json, "disable-legacy-check", 0);
    bp_json_text(json, "bus-name", "virtio-bus");
    bp_json_bool(json, "use-guest-notifier-mask", 1);
    bp_json_close(json, '}');
}

/* --- a queue -----------------------------------------------------------------------------------
 */

/* A packed ring counts with a wrap counter above its 15 bits (virtio 1.2, 2.8.1). [queue] */
static uint32_t
position(const struct bp_virtqueue *queue, uint16_t index, uint8_t wrap)
{
    return queue->packed ? (uint32_t)index | (uint32_t)wrap << 15 : index;
}

static void
put_queue(struct bp_json *json, struct bp_virtqueue *queue)
{
    bp_json_open(json, NULL, '{');
    bp_json_text(json, "name", type_name(queue->virtio));
    bp_json_number(json, "queue-index", queue->index);
    pthread_mutex_lock(&queue->lock);
    bp_json_number(json, "inuse", queue->in_flight);
    bp_json_number(json, "vring-num", queue->live ? queue->entries : queue->size);
    bp_json_number(json, "vring-num-default", queue->max_size);
    bp_json_number(json, "vring-align", UINT32_C(1) << VIRTIO_PAGE_SHIFT);
    bp_json_number(json, "vring-desc", queue->live ? queue->ring.desc_gpa : 0);
    bp_json_number(json, "vring-avail", queue->live ? queue->ring.driver_gpa : 0);
    bp_json_number(json, "vring-used", queue->live ? queue->ring.device_gpa : 0);
    bp_json_number(json, "last-avail-idx", position(queue, queue->last_avail, queue->avail_wrap));
    if (!queue->packed) {
        bp_json_number(json, "shadow-avail-idx", queue->avail_seen);
    }
    bp_json_number(json, "used-idx", position(queue, queue->used, queue->used_wrap));
    bp_json_number(json, "signalled-used", (uint16_t)(queue->used - queue->unsignalled));
    bp_json_bool(json, "signalled-used-valid", queue->live && queue->events);
    pthread_mutex_unlock(&queue->lock);
    bp_json_close(json, '}');
}

/* --- a request in a queue ----------------------------------------------------------------------
 */

static void
put_descriptor(struct bp_json *json, const struct virtio_desc *desc)
{
    static const struct named_bit flags[] = {{0, "next"}, {1, "write"}, {2, "indirect"}, {0, NULL}};

    bp_json_open(json, NULL, '{');
    bp_json_number(json, "addr", desc->gpa);
    bp_json_number(json, "len", desc->length);
    (void)put_bits(json, "flags", flags, desc->flags);
    bp_json_close(json, '}');
}

/* The descriptors of a chain, and of the table it may end in; a chain that is wrong ends where it
 * is wrong. [queue] */
static void
put_chain(struct bp_json *json, const struct bp_virtqueue *queue, uint32_t head)
{
    const uint8_t *table = queue->ring.desc;
    uint32_t count = queue->entries;
    uint32_t at = head;

    bp_json_open(json, "descs", '[');
    for (uint32_t seen = 0; table != NULL && at < count && seen < 2 * BP_VIRTIO_MAX_QUEUE_SIZE;
         seen++) {
        struct virtio_desc desc = ring_load_desc(table + (size_t)at * DESC_BYTES);
        put_descriptor(json, &desc);
        at = desc.flags & VIRTIO_DESC_NEXT ? desc.next : UINT32_MAX;
        if ((desc.flags & VIRTIO_DESC_INDIRECT) && table == queue->ring.desc) {
            table = bp_ram_translate(queue->view, desc.gpa, desc.length, 0);
            count = desc.length / DESC_BYTES;
            at = 0;
        }
    }
    bp_json_close(json, ']');
}

/* [queue] */
static void
put_element(struct bp_json *json, const struct bp_virtqueue *queue, uint32_t index)
{
    const uint8_t *avail = queue->ring.driver, *used = queue->ring.device;
    uint32_t head = ring_load16(avail + RING_ENTRY + (size_t)2 * (index % queue->entries));

    bp_json_open(json, NULL, '{');
    bp_json_text(json, "name", type_name(queue->virtio));
    bp_json_number(json, "index", head);
    put_chain(json, queue, head);
    bp_json_open(json, "avail", '{');
    bp_json_number(json, "flags", ring_load16(avail + RING_FLAGS));
    bp_json_number(json, "idx", ring_load16(avail + RING_INDEX));
    bp_json_number(json, "ring", head);
    bp_json_close(json, '}');
    bp_json_open(json, "used", '{');
    bp_json_number(json, "flags", ring_load16(used + RING_FLAGS));
    bp_json_number(json, "idx", ring_load16(used + RING_INDEX));
    bp_json_close(json, '}');
    bp_json_close(json, '}');
}

static int32_t
answer_element(struct bp_json *json, struct bp_virtqueue *queue, const struct bp_node *options)
{
    const struct bp_services *host = queue->virtio->host;
    const char *problem = NULL;

    pthread_mutex_lock(&queue->lock);
    if (!queue->live) {
        problem = "does not run";
    } else if (queue->packed) {
        problem = "is a packed ring, which has no places by index";
    } else {
        put_element(json, queue,
                    (uint32_t)bp_option_u64(host, options, "index", queue->last_avail));
    }
    pthread_mutex_unlock(&queue->lock);
    return problem == NULL ? 0 : bp_fail(host, -EINVAL, NULL, "queue %u %s", queue->index, problem);
}

/* --- questions ---------------------------------------------------------------------------------
 */

#define QUEUE_OPTION                                                                               \
    {                                                                                              \
        .name = "queue", .type = BP_PROP_UINT, .flags = BP_PROP_REQUIRED, .max = 65535             \
    }

static const struct bp_prop queue_options[] = {QUEUE_OPTION, {.name = NULL}};

static const struct bp_prop element_options[] = {
    QUEUE_OPTION,
    {.name = "index", .type = BP_PROP_UINT, .max = 65535, .help = "default: the next to be taken"},
    {.name = NULL},
};

enum { ASK_LIST, ASK_STATUS, ASK_QUEUE, ASK_ELEMENT, ASK_VHOST };

const struct bp_inspect_question bp_virtio_questions[] = {
    [ASK_LIST] = {.name = "x-query-virtio", .flags = BP_INSPECT_ALL, .help = "virtio devices"},
    [ASK_STATUS] = {.name = "x-query-virtio-status",
                    .help = "features and registers of a virtio device"},
    [ASK_QUEUE] = {.name = "x-query-virtio-queue-status",
                   .options = queue_options,
                   .help = "where a virtqueue is, and how far"},
    [ASK_ELEMENT] = {.name = "x-query-virtio-queue-element",
                     .options = element_options,
                     .help = "the descriptors of a request in a virtqueue"},
    [ASK_VHOST] = {.name = "x-query-virtio-vhost-queue-status",
                   .options = queue_options,
                   .help = "refused: no device's queues are served by vhost"},
    {.name = NULL},
};

static int32_t
answer_queue(struct bp_virtio *virtio, uint32_t question, struct bp_json *json,
             const struct bp_node *options)
{
    uint64_t number = bp_option_u64(virtio->host, options, "queue", 0);
    struct bp_virtqueue *queue = number < virtio->queue_count ? &virtio->queues[number] : NULL;

    if (question == ASK_VHOST) {
        return bp_fail(virtio->host, -EOPNOTSUPP, NULL, "its queues are not served by vhost");
    }
    if (queue == NULL) {
        return bp_fail(virtio->host, -EINVAL, NULL, "it has queues 0 to %u",
                       virtio->queue_count - 1);
    }
    if (question == ASK_ELEMENT) {
        return answer_element(json, queue, options);
    }
    put_queue(json, queue);
    return 0;
}

int32_t
bp_virtio_answer(struct bp_virtio *virtio, const char *id, const char *name,
                 const struct bp_node *options, const struct bp_inspect_answer *answer)
{
    struct bp_json json;
    uint32_t question = 0;

    while (bp_virtio_questions[question].name != NULL &&
           !bp_same_id(bp_virtio_questions[question].name, name)) {
        question++;
    }
    bp_json_init(&json, answer);
    switch (question) {
    case ASK_LIST:
        put_device(&json, virtio, id);
        return 0;
    case ASK_STATUS:
        put_status(&json, virtio);
        return 0;
    case ASK_QUEUE:
    case ASK_ELEMENT:
    case ASK_VHOST:
        return answer_queue(virtio, question, &json, options);
    default:
        return -EINVAL;
    }
}
