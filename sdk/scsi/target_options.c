/* SPDX-License-Identifier: Apache-2.0 */
/* What targets have in common among their options: who they are. */
#include <backplane/sdk/scsi_target.h>

#include <stdlib.h>
#include <string.h>

static int32_t
read_text(const struct bp_services *services, const struct bp_node *options, const char *name,
          const char *fallback, char *to, uint32_t size)
{
    const char *text = bp_option_str(services, options, name, fallback);
    size_t length = strlen(text);

    if (length >= size) {
        return bp_fail(services, -EINVAL, bp_option(services, options, name),
                       "%s has at most %u characters, not %zu", name, size - 1, length);
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e) {
            return bp_fail(services, -EINVAL, bp_option(services, options, name),
                           "%s consists of printable ASCII characters", name);
        }
    }
    memcpy(to, text, length + 1);
    return 0;
}

/* NAA 2, 3, 5: 64 bits (SPC-4 7.8.6.6). */
static int32_t
read_wwn(const struct bp_services *services, const struct bp_node *options, const char *name,
         uint64_t *ret_wwn)
{
    const char *text = bp_option_str(services, options, name, NULL);
    char *end = NULL;
    uint64_t wwn;

    if (text == NULL || text[0] == 0) {
        return 0;
    }
    wwn = strtoull(text, &end, 16);
    if (*end != 0 || (wwn >> 60 != 2 && wwn >> 60 != 3 && wwn >> 60 != 5)) {
        return bp_fail(services, -EINVAL, bp_option(services, options, name),
                       "%s is 16 hexadecimal digits that begin with 2, 3 or 5, not '%s'", name,
                       text);
    }
    *ret_wwn = wwn;
    return 0;
}

int32_t
bp_scsi_target_identity(const struct bp_services *services, const struct bp_node *options,
                        const char *id, struct bp_scsi_identity *identity)
{
    char serial[sizeof(identity->serial)] = {0};
    int32_t r =
        read_text(services, options, "vendor", "", identity->vendor, sizeof(identity->vendor));

    /* the default is cut: a key may be longer than a serial number */
    strncpy(serial, id, sizeof(serial) - 1);
    if (r == 0) {
        r = read_text(services, options, "product", "", identity->product,
                      sizeof(identity->product));
    }
    if (r == 0) {
        r = read_text(services, options, "revision", "", identity->revision,
                      sizeof(identity->revision));
    }
    if (r == 0) {
        r = read_text(services, options, "serial", serial, identity->serial,
                      sizeof(identity->serial));
    }
    if (r == 0) {
        r = read_wwn(services, options, "wwn", &identity->wwn);
    }
    if (r == 0) {
        r = read_wwn(services, options, "port_wwn", &identity->port_wwn);
    }
    identity->port_index = 1;
    return r;
}
