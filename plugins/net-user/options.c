/* SPDX-License-Identifier: Apache-2.0 */
/* The network's description: addresses, names, boot files, forwards. */
#include "net_user.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define MAX_SEARCH 16u
#define TEXT_MAX   300u

static int32_t
read_address(struct net_user *user, const char *name, const char *text, int family, void *address)
{
    if (inet_pton(family, text, address) == 1) {
        return 0;
    }
    return bp_fail(&user->host, -EINVAL, bp_option(&user->host, user->options, name),
                   "%s: \"%s\" is no IPv%d address", name, text, family == AF_INET ? 4 : 6);
}

static const char *
option(const struct net_user *user, const char *name, const char *fallback)
{
    return bp_option_str(&user->host, user->options, name, fallback);
}

/* "10.0.2.0/24" */
static int32_t
read_network(struct net_user *user, SlirpConfig *config)
{
    const char *text = option(user, "network", "10.0.2.0/24"), *slash = strchr(text, '/');
    char address[INET_ADDRSTRLEN];
    uint32_t base, bits = slash != NULL ? (uint32_t)atoi(slash + 1) : 0;

    if (slash == NULL || slash - text >= (int)sizeof(address) || bits < 8 || bits > 28) {
        return bp_fail(&user->host, -EINVAL, bp_option(&user->host, user->options, "network"),
                       "network must be like \"10.0.2.0/24\", with 8 to 28 bits, not \"%s\"", text);
    }
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    if (read_address(user, "network", address, AF_INET, &config->vnetwork) != 0) {
        return -EINVAL;
    }
    config->vnetmask.s_addr = htonl(UINT32_MAX << (32 - bits));
    config->vnetwork.s_addr &= config->vnetmask.s_addr;
    base = ntohl(config->vnetwork.s_addr);
    config->vhost.s_addr = htonl(base + 2);
    config->vnameserver.s_addr = htonl(base + 3);
    config->vdhcp_start.s_addr = htonl(base + (bits < 28 ? 15 : 4));
    return 0;
}

static int32_t
read_hosts(struct net_user *user, SlirpConfig *config)
{
    static const struct {
        const char *name;
        size_t offset;
    } hosts[] = {{"host", offsetof(SlirpConfig, vhost)},
                 {"dns", offsetof(SlirpConfig, vnameserver)},
                 {"dhcp_start", offsetof(SlirpConfig, vdhcp_start)}};

    for (uint32_t i = 0; i < BP_ARRAY_LENGTH(hosts); i++) {
        struct in_addr *address = (struct in_addr *)(void *)((uint8_t *)config + hosts[i].offset);
        const char *text = option(user, hosts[i].name, NULL);
        if (text == NULL) {
            continue;
        }
        if (read_address(user, hosts[i].name, text, AF_INET, address) != 0) {
            return -EINVAL;
        }
        if ((address->s_addr & config->vnetmask.s_addr) != config->vnetwork.s_addr) {
            return bp_fail(&user->host, -EINVAL,
                           bp_option(&user->host, user->options, hosts[i].name),
                           "%s: %s is not in the network", hosts[i].name, text);
        }
    }
    return 0;
}

/* --- forwards: "tcp:127.0.0.1:2222-:22", "udp::53-10.0.2.15:53", "unix:/run/x-:22" ------------ */

/* "address:port", the address may be missing. Returns 0 on a mistake. */
static int
read_endpoint(const char *text, size_t length, struct sockaddr_in *out)
{
    char copy[64];
    char *colon, *end;
    unsigned long port;

    if (length >= sizeof(copy)) {
        return 0;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    colon = strrchr(copy, ':');
    if (colon == NULL) {
        return 0;
    }
    *colon = '\0';
    port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || port > 65535) {
        return 0;
    }
    memset(out, 0, sizeof(*out));
    out->sin_family = AF_INET;
    out->sin_port = htons((uint16_t)port);
    return copy[0] == '\0' || inet_pton(AF_INET, copy, &out->sin_addr) == 1;
}

static int32_t
add_forward(struct net_user *user, const struct bp_node *node, const char *text,
            const SlirpConfig *config)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } from;
    struct sockaddr_in to;
    const char *dash = strrchr(text, '-'), *colon = strchr(text, ':');
    int is_udp = strncmp(text, "udp:", 4) == 0, is_unix = strncmp(text, "unix:", 5) == 0;
    socklen_t length = sizeof(from.in);

    memset(&from, 0, sizeof(from));
    if (dash == NULL || colon == NULL || dash < colon ||
        (!is_udp && !is_unix && strncmp(text, "tcp:", 4) != 0) ||
        !read_endpoint(dash + 1, strlen(dash + 1), &to) ||
        (!is_unix && !read_endpoint(colon + 1, (size_t)(dash - colon - 1), &from.in)) ||
        (is_unix && (size_t)(dash - colon) > sizeof(from.un.sun_path))) {
        return bp_fail(&user->host, -EINVAL, node,
                       "forward must be like \"tcp:127.0.0.1:2222-:22\", \"udp::53-:53\" or "
                       "\"unix:/path-:22\", not \"%s\"",
                       text);
    }
    if (is_unix) {
        from.un.sun_family = AF_UNIX;
        memcpy(from.un.sun_path, colon + 1, (size_t)(dash - colon - 1));
        length = sizeof(from.un);
    }
    if (to.sin_addr.s_addr == 0) {
        to.sin_addr = config->vdhcp_start;
    }
    if (slirp_add_hostxfwd(user->slirp, &from.sa, length, (struct sockaddr *)&to, sizeof(to),
                           is_udp ? SLIRP_HOSTFWD_UDP : 0) != 0) {
        return bp_fail(&user->host, -EADDRINUSE, node, "cannot listen for \"%s\": %s", text,
                       strerror(errno));
    }
    return 0;
}

/* "tcp:10.0.2.100:80-unix:/path" or "tcp:10.0.2.100:80-cmd:command" */
static int32_t
add_guest_forward(struct net_user *user, const struct bp_node *node, const char *text)
{
    const char *dash = strchr(text, '-');
    struct sockaddr_in to;
    int result = -1;

    if (dash == NULL || strncmp(text, "tcp:", 4) != 0 ||
        !read_endpoint(text + 4, (size_t)(dash - text - 4), &to) || to.sin_addr.s_addr == 0 ||
        (strncmp(dash, "-unix:", 6) != 0 && strncmp(dash, "-cmd:", 5) != 0)) {
        return bp_fail(&user->host, -EINVAL, node,
                       "guest_forward must be like \"tcp:10.0.2.100:80-unix:/path\" or "
                       "\"tcp:10.0.2.100:80-cmd:command\", not \"%s\"",
                       text);
    }
    if (dash[1] == 'u') {
        result = slirp_add_unix(user->slirp, dash + 6, &to.sin_addr, ntohs(to.sin_port));
    } else {
        result = slirp_add_exec(user->slirp, dash + 5, &to.sin_addr, ntohs(to.sin_port));
    }
    if (result != 0) {
        return bp_fail(&user->host, -EINVAL, node,
                       "guest_forward \"%s\": its address is taken or not in the network", text);
    }
    return 0;
}

static int32_t
add_forwards(struct net_user *user, const SlirpConfig *config)
{
    const struct bp_services *host = &user->host;
    const struct bp_node *list = bp_option(host, user->options, "forward");
    const struct bp_node *guest = bp_option(host, user->options, "guest_forward");
    int32_t result = 0;

    for (uint32_t i = 0; list != NULL && i < host->config->count(host->instance, list) && !result;
         i++) {
        const struct bp_node *node = host->config->at(host->instance, list, i);
        result = add_forward(user, node, host->config->get_str(host->instance, node), config);
    }
    for (uint32_t i = 0; guest != NULL && i < host->config->count(host->instance, guest) && !result;
         i++) {
        const struct bp_node *node = host->config->at(host->instance, guest, i);
        result = add_guest_forward(user, node, host->config->get_str(host->instance, node));
    }
    return result;
}

static int32_t
read_ip6(struct net_user *user, SlirpConfig *config)
{
    const char *prefix = option(user, "prefix6", "fec0::");

    config->in6_enabled = bp_option_bool(&user->host, user->options, "ipv6", 1) != 0;
    config->vprefix_len = 64;
    if (read_address(user, "prefix6", prefix, AF_INET6, &config->vprefix_addr6) != 0) {
        return -EINVAL;
    }
    memset(config->vprefix_addr6.s6_addr + 8, 0, 8);
    config->vhost6 = config->vprefix_addr6;
    config->vhost6.s6_addr[15] = 2;
    config->vnameserver6 = config->vprefix_addr6;
    config->vnameserver6.s6_addr[15] = 3;
    return 0;
}

int32_t
user_make_network(struct net_user *user)
{
    SlirpConfig config;

    memset(&config, 0, sizeof(config));
    config.version = 4;
    config.restricted = (int)bp_option_bool(&user->host, user->options, "restrict", 0);
    config.in_enabled = bp_option_bool(&user->host, user->options, "ipv4", 1) != 0;
    config.vhostname = option(user, "hostname", NULL);
    config.vdomainname = option(user, "domain", NULL);
    config.tftp_path = option(user, "tftp", NULL);
    config.bootfile = option(user, "bootfile", NULL);
    config.tftp_server_name = option(user, "tftp_server_name", NULL);
    if (read_network(user, &config) != 0 || read_hosts(user, &config) != 0 ||
        read_ip6(user, &config) != 0) {
        return -EINVAL;
    }
    user->slirp = slirp_new(&config, &user_callbacks, user);
    if (user->slirp == NULL) {
        return bp_fail(&user->host, -EINVAL, NULL, "libslirp refuses this network");
    }
    return add_forwards(user, &config);
}

static const struct bp_prop forward_element = {.type = BP_PROP_STRING, .help = "one forward"};

const struct bp_prop user_props[] = {
    {.name = "network", .type = BP_PROP_STRING, .def = "10.0.2.0/24", .help = "its IPv4 network"},
    {.name = "host", .type = BP_PROP_STRING, .help = "the router's address; network + 2"},
    {.name = "dns", .type = BP_PROP_STRING, .help = "the name server's address; network + 3"},
    {.name = "dhcp_start",
     .type = BP_PROP_STRING,
     .help = "the first address dealt out; network + 15"},
    {.name = "ipv4", .type = BP_PROP_BOOL, .def = "true", .help = "speak IPv4"},
    {.name = "ipv6", .type = BP_PROP_BOOL, .def = "true", .help = "speak IPv6"},
    {.name = "prefix6",
     .type = BP_PROP_STRING,
     .def = "fec0::",
     .help = "its IPv6 prefix, 64 bits"},
    {.name = "restrict",
     .type = BP_PROP_BOOL,
     .def = "false",
     .help = "nothing but forwards leaves the network"},
    {.name = "hostname", .type = BP_PROP_STRING, .help = "name the guest is told by DHCP"},
    {.name = "domain", .type = BP_PROP_STRING, .help = "domain the guest is told by DHCP"},
    {.name = "tftp", .type = BP_PROP_PATH, .help = "directory to serve by TFTP"},
    {.name = "tftp_server_name", .type = BP_PROP_STRING, .help = "TFTP server told by DHCP"},
    {.name = "bootfile", .type = BP_PROP_STRING, .help = "boot file told by DHCP"},
    {.name = "forward",
     .type = BP_PROP_LIST,
     .max = 256,
     .children = &forward_element,
     .help = "ports of the host for the guest: \"tcp:127.0.0.1:2222-:22\""},
    {.name = "guest_forward",
     .type = BP_PROP_LIST,
     .max = 256,
     .children = &forward_element,
     .help = "addresses in the network for sockets of the host: \"tcp:10.0.2.100:80-unix:/path\""},
    {.name = NULL},
};
