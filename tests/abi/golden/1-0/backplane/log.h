/* SPDX-License-Identifier: Apache-2.0 */
/* bp.log/1: messages. The SDK's static library adds printf-style helpers. */
#ifndef BACKPLANE_LOG_H
#define BACKPLANE_LOG_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_LOG_ID "bp.log/1"

#define BP_LOG_ERROR 0u /* what the user asked for did not happen */
#define BP_LOG_WARN  1u /* odd, went on */
#define BP_LOG_INFO  2u /* a rare change of state */
#define BP_LOG_DEBUG 3u /* for developers: -D <instance id> */

struct bp_node;

struct bp_log_host {
    uint32_t size;
    uint32_t flags;

    /* Writes one line, prefixed with the instance's id. Warnings and errors of one instance are
     * limited in rate, so a guest cannot fill the host's log.
     * level: BP_LOG_ERROR .. BP_LOG_DEBUG. text: length bytes of UTF-8, no line end; control characters
     * are escaped.
     * [any] */
    void (*write)(struct bp_instance *instance, uint32_t level, const char *text, uint64_t length);
    /* Tells whether a message of this level would be written.
     * Returns 1 or 0.
     * [any] */
    int32_t (*enabled)(struct bp_instance *instance, uint32_t level);
    /* Gives the text for the failure the current create(), realize(), attach() or restore() is about to
     * return; shown with file and line of the option. The first one of a call wins.
     * code: the negative errno that will be returned. node: the option at fault, or NULL for the
     * instance itself. text: what is wrong and what to do.
     * [control] */
    void (*error)(struct bp_instance *instance, int32_t code, const struct bp_node *node,
                  const char *text);
};

#ifdef __cplusplus
}
#endif

#endif
