/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin "scsi-iscsi": options, creation, description. See iscsi.h.
 *
 * Threads: PARALLEL; a lock of its own. */
#include "iscsi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN_VERSION "1.0"

/* --- options -----------------------------------------------------------------------------------
 */

static int32_t
read_text(struct unit *unit, const struct bp_node *options, const char *name, char *to,
          uint32_t size)
{
    const char *text = bp_option_str(&unit->services, options, name, "");

    if (strlen(text) >= size) {
        return bp_fail(&unit->services, -EINVAL, bp_option(&unit->services, options, name),
                       "%s has at most %u characters", name, size - 1);
    }
    memcpy(to, text, strlen(text) + 1);
    return 0;
}

/* A secret is the first line of a file, so that it stands in no description and on no command line.
 */
static int32_t
read_secret(struct unit *unit, const struct bp_node *options, const char *name, char *to)
{
    const struct bp_services *services = &unit->services;
    const char *path = bp_option_str(services, options, name, NULL);
    int32_t fd;
    ssize_t n;

    if (path == NULL) {
        return 0;
    }
    fd = services->core->open(services->instance, path, BP_OPEN_READ);
    if (fd < 0) {
        return bp_fail(services, fd, bp_option(services, options, name), "cannot open '%s': %s",
                       path, strerror(-fd));
    }
    n = read(fd, to, ISCSI_SECRET_BYTES - 1);
    (void)close(fd);
    to[n > 0 ? n : 0] = 0;
    to[strcspn(to, "\r\n")] = 0;
    if (to[0] == 0) {
        return bp_fail(services, -EINVAL, bp_option(services, options, name),
                       "'%s' has no secret in its first line", path);
    }
    return 0;
}

/* FNV-1a of the names: the same port after a restart, another one for another unit. */
static uint32_t
port_number(const char *id, const char *initiator)
{
    uint32_t hash = 0x811c9dc5;

    for (; *initiator != 0; initiator++) {
        hash = (hash ^ (uint8_t)*initiator) * 0x01000193;
    }
    for (; *id != 0; id++) {
        hash = (hash ^ (uint8_t)*id) * 0x01000193;
    }
    return (hash ^ hash >> 24) & 0xffffff;
}

static int32_t
check_name(struct unit *unit, const struct bp_node *options, const char *option, const char *name)
{
    if ((strncmp(name, "iqn.", 4) == 0 || strncmp(name, "eui.", 4) == 0 ||
         strncmp(name, "naa.", 4) == 0) &&
        name[4] != 0) {
        return 0;
    }
    return bp_fail(&unit->services, -EINVAL, bp_option(&unit->services, options, option),
                   "%s is an iSCSI name (iqn.2026-11.org.example:name), not '%s'", option, name);
}

static int32_t
read_credentials(struct unit *unit, const struct bp_node *options)
{
    int32_t r = read_text(unit, options, "user", unit->user, sizeof(unit->user));

    r = r == 0
            ? read_text(unit, options, "target_user", unit->target_user, sizeof(unit->target_user))
            : r;
    r = r == 0 ? read_secret(unit, options, "secret", unit->secret) : r;
    r = r == 0 ? read_secret(unit, options, "target_secret", unit->target_secret) : r;
    if (r != 0) {
        return r;
    }
    if ((unit->user[0] != 0) != (unit->secret[0] != 0) ||
        (unit->target_user[0] != 0) != (unit->target_secret[0] != 0) ||
        (unit->target_user[0] != 0 && unit->user[0] == 0)) {
        return bp_fail(
            &unit->services, -EINVAL, NULL,
            "CHAP needs user and secret; mutual CHAP target_user and target_secret, too");
    }
    return 0;
}

static int32_t
read_options(struct unit *unit, const struct bp_node *options, const char *id)
{
    const struct bp_services *services = &unit->services;
    const char *digest = bp_option_str(services, options, "header_digest", "auto");
    int32_t r = read_text(unit, options, "portal", unit->portal, sizeof(unit->portal));

    r = r == 0 ? read_text(unit, options, "target", unit->target, sizeof(unit->target)) : r;
    r = r == 0 ? read_text(unit, options, "initiator", unit->initiator, sizeof(unit->initiator))
               : r;
    r = r == 0 ? check_name(unit, options, "target", unit->target) : r;
    r = r == 0 ? check_name(unit, options, "initiator", unit->initiator) : r;
    r = r == 0 ? read_credentials(unit, options) : r;
    unit->lun = (uint32_t)bp_option_u64(services, options, "lun", 0);
    unit->timeout = (uint32_t)bp_option_u64(services, options, "timeout", 30);
    unit->patience = (uint32_t)bp_option_u64(services, options, "patience", 60);
    unit->digest = strcmp(digest, "crc32c") == 0 ? ISCSI_HEADER_DIGEST_CRC32C
                   : strcmp(digest, "none") == 0 ? ISCSI_HEADER_DIGEST_NONE
                                                 : ISCSI_HEADER_DIGEST_NONE_CRC32C;
    unit->isid = port_number(id, unit->initiator);
    return r;
}

static const char *const digests[] = {"auto", "none", "crc32c", NULL};

static const struct bp_prop iscsi_props[] = {
    {.name = "portal",
     .type = BP_PROP_STRING,
     .flags = BP_PROP_REQUIRED,
     .help = "host[:port] of the target"},
    {.name = "target",
     .type = BP_PROP_STRING,
     .flags = BP_PROP_REQUIRED,
     .help = "iSCSI name of the target"},
    {.name = "lun", .type = BP_PROP_UINT, .def = "0", .max = 16383, .help = "LUN at the target"},
    {.name = "initiator",
     .type = BP_PROP_STRING,
     .flags = BP_PROP_REQUIRED,
     .help = "iSCSI name of this machine; no other may use it"},
    {.name = "user", .type = BP_PROP_STRING, .help = "CHAP: name of the initiator"},
    {.name = "secret",
     .type = BP_PROP_PATH,
     .help = "CHAP: file whose first line is the initiator's secret"},
    {.name = "target_user", .type = BP_PROP_STRING, .help = "mutual CHAP: name of the target"},
    {.name = "target_secret",
     .type = BP_PROP_PATH,
     .help = "mutual CHAP: file whose first line is the target's secret"},
    {.name = "header_digest",
     .type = BP_PROP_ENUM,
     .def = "auto",
     .choices = digests,
     .help = "CRC32C of headers; auto: if the target wants it"},
    {.name = "timeout",
     .type = BP_PROP_UINT,
     .def = "30",
     .min = 1,
     .max = 3600,
     .help = "seconds that a command may take"},
    {.name = "patience",
     .type = BP_PROP_UINT,
     .def = "60",
     .max = 86400,
     .help = "seconds that commands wait for a connection that was lost"},
    {.name = NULL},
};

/* --- life --------------------------------------------------------------------------------------
 */

static void
iscsi_destroy(void *self)
{
    struct unit *unit = self;

    session_close(unit);
    bp_scsi_front_done(&unit->front);
    explicit_bzero(unit, sizeof(*unit));
    free(unit);
}

static int32_t
iscsi_create(const struct bp_create *args, void **self)
{
    struct unit *unit = calloc(1, sizeof(*unit));
    int32_t r;

    if (unit == NULL) {
        return -ENOMEM;
    }
    bp_services_init(&unit->services, args->host, args->instance);
    bp_scsi_front_init(&unit->front, &unit->services, &iscsi_front_ops);
    unit->fd = -1;
    r = read_options(unit, args->config, args->id);
    if (r == 0) {
        r = session_open(unit);
    }
    if (r != 0) {
        iscsi_destroy(unit);
        return r;
    }
    *self = unit;
    return 0;
}

static const void *
iscsi_query(void *self, const char *interface_id)
{
    return bp_same_id(interface_id, BP_SCSI_ID) ? &iscsi_ops : NULL;
}

static const char *const iscsi_provides[] = {BP_SCSI_ID, NULL};

static const struct bp_class iscsi_class = {
    .size = sizeof(iscsi_class),
    .kind = BP_KIND_BACKEND,
    .name = "scsi-iscsi",
    .thread_model = BP_THREADS_PARALLEL,
    .state_version = 1,
    .state_min = 1,
    .bus = BP_BUS_NONE,
    .help = "logical unit of an iSCSI target",
    .props = iscsi_props,
    .provides = iscsi_provides,
    .create = iscsi_create,
    .destroy = iscsi_destroy,
    .query = iscsi_query,
};

static const struct bp_class *const iscsi_classes[] = {&iscsi_class, NULL};

BP_PLUGIN_NOTE(.id = "scsi-iscsi", .version = PLUGIN_VERSION,
               .classes = {{"scsi-iscsi", BP_KIND_BACKEND, BP_THREADS_PARALLEL, 0, 1, 1, 0}},
               .needs = {BP_NEED(BP_LOG_ID, struct bp_log_host),
                         BP_NEED(BP_CONFIG_ID, struct bp_config_host),
                         BP_NEED(BP_CORE_ID, struct bp_core_host),
                         BP_NEED(BP_TIMER_ID, struct bp_timer_host),
                         BP_NEED(BP_LOOP_ID, struct bp_loop_host)});

BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {
    .magic = BP_PLUGIN_MAGIC,
    .size = sizeof(backplane_plugin_v1),
    .abi_major = BP_ABI_MAJOR,
    .abi_minor = BP_ABI_MINOR,
    .id = "scsi-iscsi",
    .version = PLUGIN_VERSION,
    .license = "Apache-2.0",
    .help = "logical unit of an iSCSI target",
    .classes = iscsi_classes,
};
