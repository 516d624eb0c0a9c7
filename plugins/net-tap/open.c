/* SPDX-License-Identifier: Apache-2.0 */
/* Making, finding and preparing the interface. */
#include "net_tap.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE "/dev/net/tun"

/* Younger than the C library's kernel headers may be: Linux 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20u
#define TUN_F_USO6 0x40u
#endif

/* --- offloads -------------------------------------------------------------------------------- */

static uint32_t
to_kernel(uint32_t features)
{
    static const struct {
        uint32_t ours, theirs;
    } map[] = {{BP_NET_CSUM, TUN_F_CSUM},   {BP_NET_TSO4, TUN_F_TSO4}, {BP_NET_TSO6, TUN_F_TSO6},
               {BP_NET_ECN, TUN_F_TSO_ECN}, {BP_NET_UFO, TUN_F_UFO},   {BP_NET_USO4, TUN_F_USO4},
               {BP_NET_USO6, TUN_F_USO6}};
    uint32_t bits = 0, i;

    for (i = 0; i < BP_ARRAY_LENGTH(map); i++) {
        bits |= (features & map[i].ours) != 0 ? map[i].theirs : 0;
    }
    if ((bits & (TUN_F_USO4 | TUN_F_USO6)) != (TUN_F_USO4 | TUN_F_USO6)) {
        bits &= ~(TUN_F_USO4 | TUN_F_USO6); /* the kernel takes both or none: it segments then */
    }
    if ((bits & (TUN_F_TSO4 | TUN_F_TSO6)) == 0) {
        bits &= ~(uint32_t)TUN_F_TSO_ECN;
    }
    return bits;
}

/* An offload is the interface's, not the queue's: any descriptor will do. */
int32_t
tap_set_offloads(struct net_tap *tap, uint32_t features)
{
    if ((features & ~tap->features) != 0) {
        return -EINVAL;
    }
    if ((features & BP_NET_CSUM) == 0) {
        features = 0; /* the others need it */
    }
    atomic_store(&tap->wanted, features);
    if (tap->header != 0 &&
        ioctl(tap->queue[0].fd, TUNSETOFFLOAD, (unsigned long)to_kernel(features)) != 0 &&
        !atomic_load(&tap->gone)) {
        return -EINVAL;
    }
    return 0;
}

static void
find_offloads(struct net_tap *tap)
{
    static const uint32_t steps[] = {BP_NET_CSUM, BP_NET_TSO4 | BP_NET_TSO6 | BP_NET_ECN,
                                     BP_NET_UFO, BP_NET_USO4 | BP_NET_USO6};
    uint32_t i;

    for (i = 0; tap->header != 0 && i < BP_ARRAY_LENGTH(steps); i++) {
        uint32_t more = tap->features | steps[i];
        if (ioctl(tap->queue[0].fd, TUNSETOFFLOAD, (unsigned long)to_kernel(more)) == 0) {
            tap->features = more;
        }
    }
    if (tap->header != 0) {
        (void)ioctl(tap->queue[0].fd, TUNSETOFFLOAD, 0ul);
    }
}

/* --- descriptors ----------------------------------------------------------------------------- */

static int32_t
make_queues(struct net_tap *tap, uint32_t count)
{
    tap->queue = calloc(count, sizeof(*tap->queue));
    if (tap->queue == NULL) {
        return -ENOMEM;
    }
    tap->count = count;
    for (uint32_t i = 0; i < count; i++) {
        tap->queue[i].tap = tap;
        tap->queue[i].index = i;
        tap->queue[i].fd = -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        tap->queue[i].held = malloc(BP_NET_MAX_FRAME);
        if (tap->queue[i].held == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int32_t
set_modes(struct net_tap *tap, int fd, const struct bp_node *node)
{
    int size = TAP_HEADER, little = 1, send_buffer = (int)tap->send_buffer;

    if (send_buffer != 0 && ioctl(fd, TUNSETSNDBUF, &send_buffer) != 0) {
        return bp_fail(&tap->host, -errno, node, "cannot set the send buffer of '%s': %s",
                       tap->name, strerror(errno));
    }

    if (tap->header != 0 &&
        (ioctl(fd, TUNSETVNETHDRSZ, &size) != 0 || ioctl(fd, TUNSETVNETLE, &little) != 0)) {
        return bp_fail(&tap->host, -errno, node,
                       "the kernel does not take the header's form for '%s': set vnet_hdr = false",
                       tap->name);
    }
    return 0;
}

static int32_t
explain_attach(struct net_tap *tap, int error, const struct bp_node *node)
{
    const char *multi = tap->count > 1 ? " multi_queue" : "";

    switch (error) {
    case EPERM:
        return bp_fail(&tap->host, -error, node,
                       "no permission for interface '%s': have root make it for you with 'ip "
                       "tuntap add dev %s mode tap user NAME vnet_hdr%s', or give the program "
                       "CAP_NET_ADMIN, or use net-user",
                       tap->name, tap->name[0] != '\0' ? tap->name : "tap0", multi);
    case EBUSY:
        return bp_fail(&tap->host, -error, node,
                       "interface '%s' is in use by another program, or is no TAP interface",
                       tap->name);
    case EINVAL:
        return bp_fail(&tap->host, -error, node,
                       "interface '%s' is there already, but not as a TAP interface%s", tap->name,
                       tap->count > 1 ? " with multi_queue, which queues > 1 needs" : "");
    default:
        return bp_fail(&tap->host, -error, node, "cannot use interface '%s': %s", tap->name,
                       strerror(error));
    }
}

static int
attach_flags(int fd, struct ifreq *request, uint32_t flags)
{
    request->ifr_flags = (short)flags; /* 16 bits by the kernel's definition */
    return ioctl(fd, TUNSETIFF, request);
}

static int32_t
open_queue(struct net_tap *tap, uint32_t index, const struct bp_node *node)
{
    const struct bp_services *host = &tap->host;
    uint32_t flags = IFF_TAP | IFF_NO_PI | (tap->header != 0 ? IFF_VNET_HDR : 0);
    struct ifreq request = {0};
    int fd = host->core->open(host->instance, DEVICE, BP_OPEN_READ | BP_OPEN_WRITE);

    if (fd < 0) {
        return bp_fail(host, fd, node,
                       fd == -ENOENT || fd == -ENODEV || fd == -ENXIO
                           ? DEVICE " is not there (%s): load the module with 'modprobe tun', or "
                                    "use net-user"
                           : "cannot open " DEVICE " (%s): ask for access to it, or for an open "
                             "descriptor (option fds), or use net-user",
                       strerror(-fd));
    }
    tap->queue[index].fd = fd;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        return -errno;
    }
    memcpy(request.ifr_name, tap->name, sizeof(request.ifr_name));
    if (tap->multi || attach_flags(fd, &request, flags) != 0) {
        /* One queue of an interface that was made for several is fine, too. */
        if ((!tap->multi && errno != EINVAL) ||
            attach_flags(fd, &request, flags | IFF_MULTI_QUEUE) != 0) {
            return explain_attach(tap, errno, node);
        }
        tap->multi = 1;
    }
    memcpy(tap->name, request.ifr_name, sizeof(tap->name));
    tap->name[sizeof(tap->name) - 1] = '\0';
    return set_modes(tap, fd, node);
}

static int32_t
take_queue(struct net_tap *tap, uint32_t index, const struct bp_node *node)
{
    const struct bp_services *host = &tap->host;
    struct ifreq request = {0};
    uint64_t given = 0;
    uint32_t flags;
    int fd;

    if (host->config->get_u64(host->instance, node, &given) != 0 || given > INT32_MAX ||
        ioctl((int)given, TUNGETIFF, &request) != 0) {
        return bp_fail(host, -EBADF, node, "descriptor %d is not one of a TAP interface",
                       (int)given);
    }
    flags = (uint16_t)request.ifr_flags;
    if ((flags & IFF_TAP) == 0 || (flags & IFF_NO_PI) == 0) {
        return bp_fail(host, -EINVAL, node,
                       "descriptor %d must have been made with IFF_TAP and IFF_NO_PI", (int)given);
    }
    if (index == 0) {
        memcpy(tap->name, request.ifr_name, sizeof(tap->name));
        tap->name[sizeof(tap->name) - 1] = '\0';
        tap->header = tap->header != 0 && (flags & IFF_VNET_HDR) != 0 ? TAP_HEADER : 0;
        tap->multi = (flags & IFF_MULTI_QUEUE) != 0;
    } else if (strncmp(tap->name, request.ifr_name, sizeof(tap->name)) != 0) {
        return bp_fail(host, -EINVAL, node, "descriptor %d is of interface '%.15s', not of '%s'",
                       (int)given, request.ifr_name, tap->name);
    }
    if ((flags & IFF_VNET_HDR) != 0 && tap->header == 0) {
        return bp_fail(host, -EINVAL, node,
                       "descriptor %d has IFF_VNET_HDR, which vnet_hdr = false excludes",
                       (int)given);
    }
    fd = fcntl((int)given, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        return bp_fail(host, -errno, node, "cannot use descriptor %d: %s", (int)given,
                       strerror(errno));
    }
    tap->queue[index].fd = fd;
    return set_modes(tap, fd, node);
}

static int32_t
get_queues(struct net_tap *tap, const struct bp_node *options)
{
    const struct bp_services *host = &tap->host;
    const struct bp_node *fds = bp_option(host, options, "fds");
    const struct bp_node *interface = bp_option(host, options, "interface");
    const char *name = bp_option_str(host, options, "interface", "");
    uint32_t given = fds != NULL ? host->config->count(host->instance, fds) : 0, i;
    int32_t result =
        make_queues(tap, given > 0 ? given : (uint32_t)bp_option_u64(host, options, "queues", 1));

    if (result != 0) {
        return result;
    }
    tap->send_buffer = (uint32_t)bp_option_u64(host, options, "send_buffer", 0);
    tap->header = bp_option_bool(host, options, "vnet_hdr", 1) ? TAP_HEADER : 0;
    tap->multi = given == 0 && tap->count > 1;
    if (given > 0 && interface != NULL) {
        return bp_fail(host, -EINVAL, fds, "give it an interface or fds, not both");
    }
    if (strlen(name) >= sizeof(tap->name)) {
        return bp_fail(host, -ENAMETOOLONG, interface,
                       "'%s' is longer than the name of an interface may be (%d characters)", name,
                       IFNAMSIZ - 1);
    }
    memcpy(tap->name, name, strlen(name));
    for (i = 0; i < tap->count && result == 0; i++) {
        result = given > 0 ? take_queue(tap, i, host->config->at(host->instance, fds, i))
                           : open_queue(tap, i, interface);
    }
    return result;
}

/* --- the interface --------------------------------------------------------------------------- */

static int32_t
join_bridge(struct net_tap *tap, int control, const struct bp_node *node, const char *bridge)
{
    struct ifreq request = {0};
    uint32_t index = if_nametoindex(tap->name);
    int error;

    if (strlen(bridge) >= sizeof(request.ifr_name)) {
        return bp_fail(&tap->host, -ENAMETOOLONG, node, "'%s' is no name of a bridge", bridge);
    }
    memcpy(request.ifr_name, bridge, strlen(bridge));
    request.ifr_ifindex = (int)index;
    if (ioctl(control, SIOCBRADDIF, &request) == 0) {
        return 0;
    }
    error = errno;
    if (error == EBUSY) {
        return 0; /* it is a bridge's already: whoever made it so had the right to */
    }
    return bp_fail(&tap->host, -error, node,
                   error == ENODEV  ? "there is no bridge '%s': make it with 'ip link add %s "
                                      "type bridge'"
                   : error == EPERM ? "no permission to put the interface on bridge '%s': have "
                                      "root do it with 'ip link set TAP master %s'"
                   : error == EOPNOTSUPP ? "'%s' is no bridge"
                                         : "cannot use bridge '%s'",
                   bridge, bridge);
}

static int32_t
set_mtu(struct net_tap *tap, int control, const struct bp_node *node, uint32_t mtu)
{
    struct ifreq request = {0};

    memcpy(request.ifr_name, tap->name, sizeof(request.ifr_name));
    if (ioctl(control, SIOCGIFMTU, &request) == 0) {
        tap->mtu = (uint32_t)request.ifr_mtu;
    }
    if (mtu == 0 || mtu == tap->mtu) {
        return 0;
    }
    request.ifr_mtu = (int)mtu;
    if (ioctl(control, SIOCSIFMTU, &request) != 0) {
        return bp_fail(&tap->host, -errno, node, "cannot set the MTU of '%s' to %u: %s", tap->name,
                       mtu, strerror(errno));
    }
    tap->mtu = mtu;
    return 0;
}

static void
bring_up(struct net_tap *tap, int control)
{
    struct ifreq request = {0};

    memcpy(request.ifr_name, tap->name, sizeof(request.ifr_name));
    if (ioctl(control, SIOCGIFFLAGS, &request) != 0 || (request.ifr_flags & IFF_UP) != 0) {
        return;
    }
    request.ifr_flags |= IFF_UP;
    if (ioctl(control, SIOCSIFFLAGS, &request) != 0) {
        bp_warn(&tap->host,
                "interface '%s' is down and may not be set up here (%s), going on: run 'ip link "
                "set %s up'",
                tap->name, strerror(errno), tap->name);
    }
}

static int32_t
run_up_script(struct net_tap *tap, const struct bp_node *options)
{
    const char *script = bp_option_str(&tap->host, options, "script", NULL);
    int32_t result = script != NULL ? tap_run_script(script, tap->name) : 0;

    if (result == 0) {
        return 0;
    }
    return bp_fail(&tap->host, result < 0 ? result : -EIO, bp_option(&tap->host, options, "script"),
                   result < 0 ? "cannot run '%s': %s" : "'%s' ended with a failure%.0s", script,
                   strerror(result < 0 ? -result : 0));
}

static int32_t
prepare_interface(struct net_tap *tap, int control, const struct bp_node *options)
{
    const struct bp_services *host = &tap->host;
    const char *bridge = bp_option_str(host, options, "bridge", NULL);
    int32_t result = set_mtu(tap, control, bp_option(host, options, "mtu"),
                             (uint32_t)bp_option_u64(host, options, "mtu", 0));

    if (result == 0 && bridge != NULL) {
        result = join_bridge(tap, control, bp_option(host, options, "bridge"), bridge);
    }
    if (result == 0) {
        result = run_up_script(tap, options);
    }
    if (result != 0) {
        return result;
    }
    tap->down_script = bp_option_str(host, options, "down_script", NULL);
    bring_up(tap, control);
    return 0;
}

int32_t
tap_set_up(struct net_tap *tap, const struct bp_node *options)
{
    int32_t result = get_queues(tap, options);
    uint32_t i;
    int control;

    if (result != 0) {
        return result;
    }
    control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (control < 0) {
        return -errno;
    }
    result = prepare_interface(tap, control, options);
    (void)close(control);
    if (result != 0) {
        return result;
    }
    find_offloads(tap);
    for (i = 0; i < tap->count; i++) {
        tap_take_part(&tap->queue[i], 0); /* until somebody opens it: nothing is lost in it */
    }
    return 0;
}

void
tap_take_down(struct net_tap *tap)
{
    uint32_t i;

    if (tap->down_script != NULL && tap_run_script(tap->down_script, tap->name) != 0) {
        bp_warn(&tap->host, "'%s' failed, ignoring it", tap->down_script);
    }
    for (i = 0; i < tap->count; i++) {
        if (tap->queue[i].fd >= 0) {
            (void)close(tap->queue[i].fd);
        }
        free(tap->queue[i].held);
    }
    free(tap->queue);
}

void
tap_take_part(struct tap_queue *queue, uint32_t enabled)
{
    struct ifreq request = {.ifr_flags = enabled ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

    /* Refused where it is so already. */
    if (queue->tap->multi) {
        (void)ioctl(queue->fd, TUNSETQUEUE, &request);
    }
}
