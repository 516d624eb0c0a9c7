/* SPDX-License-Identifier: Apache-2.0 */
/* bp.inspect/1: questions that operators ask a device, for looking into it while it works. A question is
 * a command of the control socket by its own name; the core's own commands of that name go first.
 *
 * The device provides bp_inspect_ops through the class's query(). */
#ifndef BACKPLANE_INSPECT_H
#define BACKPLANE_INSPECT_H

#include <backplane/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BP_INSPECT_ID "bp.inspect/1"

struct bp_node;
struct bp_prop;

/* Every device that knows the question is asked, and their answers are the elements of one list. Without
 * it the argument "path" names the device. */
#define BP_INSPECT_ALL (1u << 0)

/* One question. Frozen: 64 bytes. A list of questions ends with a record whose name is NULL. */
struct bp_inspect_question {
    const char *name;              /* "x-query-...": lower case, words joined by '-' */
    uint32_t flags;                /* BP_INSPECT_ALL */
    uint32_t reserved;
    const struct bp_prop *options; /* arguments beside "path", or NULL */
    const char *help;              /* one line */
    uint64_t reserved2[4];
};

/* Where an answer goes. */
struct bp_inspect_answer {
    uint32_t size;
    uint32_t flags; /* 0 */
    void *opaque;   /* first argument of write() */
    /* Takes the next piece of the answer: all of them together are one JSON value in UTF-8, at most
     * 1 MiB long.
     * text: length bytes, borrowed.
     * [control] */
    void (*write)(void *opaque, const char *text, uint64_t length);
};

/* Provided by a device. Called from realize() on. */
struct bp_inspect_ops {
    uint32_t size;
    uint32_t flags;

    const struct bp_inspect_question *questions; /* lives as long as the object */
    /* Answers a question, now, and changes nothing.
     * name: of one of questions[]. options: its arguments as a group, checked, defaults filled in;
     * borrowed. answer: borrowed.
     * [control] any negative errno; explain it with log.error first. */
    int32_t (*answer)(void *self, const char *name, const struct bp_node *options,
                      const struct bp_inspect_answer *answer) BP_MUST_CHECK;
};

#ifdef __cplusplus
}
#endif

#endif
