/* SPDX-License-Identifier: Apache-2.0 */
/* The side of a char backend that its consumer sees: the one client, its credit, and calls to it
 * that disconnect() can wait for. Every function is thread-safe; none is called with the port's own
 * lock held, and none calls the client with it. */
#ifndef BACKPLANE_SDK_CHAR_PORT_H
#define BACKPLANE_SDK_CHAR_PORT_H

#include <backplane/char.h>

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bp_char_port {
    pthread_mutex_t lock; /* protects: all below */
    pthread_cond_t idle;  /* calling has become 0 */
    struct bp_char_client client;
    void *opaque;
    uint32_t connected;
    uint32_t credit;
    uint32_t calling; /* calls into the client that have not returned */
    pthread_t caller; /* who made the last of them */
};

/* Returns 0 or -ENOMEM. */
int32_t bp_char_port_init(struct bp_char_port *port) BP_MUST_CHECK;
void bp_char_port_done(struct bp_char_port *port);

/* bp_char_ops.connect: -EBUSY, -EINVAL. The loop is the backend's to check. */
int32_t bp_char_port_connect(struct bp_char_port *port,
                             const struct bp_char_connect *args) BP_MUST_CHECK;
/* bp_char_ops.disconnect: returns when no call into the client is under way,
 * except its caller's. */
void bp_char_port_disconnect(struct bp_char_port *port);
/* bp_char_ops.credit. */
void bp_char_port_set_credit(struct bp_char_port *port, uint32_t bytes);
/* Bytes the client can take now; 0 without a client. */
uint32_t bp_char_port_credit(struct bp_char_port *port);

/* Calls of the client; nothing happens without one, or if it does not want that call. On its loop
 * only. receive: gives as much as the credit allows. Returns how much. */
uint32_t bp_char_port_receive(struct bp_char_port *port, const uint8_t *data, uint32_t length);
void bp_char_port_writable(struct bp_char_port *port);
void bp_char_port_event(struct bp_char_port *port, uint32_t event);

#ifdef __cplusplus
}
#endif

#endif
