/* SPDX-License-Identifier: Apache-2.0 */
/* Receive side scaling: the Toeplitz hash over the fields of a frame (virtio 1.2, 5.1.6.4.3). */
#include <backplane/sdk/net.h>

#include <string.h>

uint32_t
bp_net_toeplitz(const uint8_t *key, uint32_t key_length, const uint8_t *data, uint32_t length)
{
    uint32_t hash = 0, i, bit;
    uint64_t window; /* the key's 32 bits that count, then the next 8 */

    if (key_length < 4) {
        return 0;
    }
    window = (uint64_t)bp_net_load32(key) << 8;
    for (i = 0; i < length; i++) {
        window |= i + 4 < key_length ? key[i + 4] : 0;
        for (bit = 0; bit < 8; bit++) {
            hash ^= data[i] & (0x80u >> bit) ? (uint32_t)(window >> 8) : 0;
            window <<= 1;
        }
    }
    return hash;
}

/* The ports follow the addresses in what is hashed. */
static uint32_t
finish(const struct bp_net_hash_rules *rules, uint8_t *input, uint32_t length, const uint8_t *ports)
{
    if (ports != NULL) {
        memcpy(input + length, ports, 4);
        length += 4;
    }
    return bp_net_toeplitz(rules->key, rules->key_length, input, length);
}

struct choice {
    uint32_t type;   /* the hash type that must be enabled */
    uint32_t report; /* virtio 1.2, 5.1.6.4.4 */
    uint32_t with_ports;
    uint32_t extended; /* the addresses of the extension headers */
};

static uint32_t
hash_ip4(const uint8_t *data, const struct bp_net_headers *headers,
         const struct bp_net_hash_rules *rules, uint32_t *hash)
{
    uint32_t types = rules->types;
    uint8_t input[12];
    int has_ports = headers->payload != 0 && !headers->fragment;

    memcpy(input, data + headers->l3 + 12, 8);
    if (has_ports && headers->protocol == BP_NET_IP_TCP && (types & BP_NET_HASH_TCP4)) {
        *hash = finish(rules, input, 8, data + headers->l4);
        return 2;
    }
    if (has_ports && headers->protocol == BP_NET_IP_UDP && (types & BP_NET_HASH_UDP4)) {
        *hash = finish(rules, input, 8, data + headers->l4);
        return 3;
    }
    if (types & BP_NET_HASH_IP4) {
        *hash = finish(rules, input, 8, NULL);
        return 1;
    }
    return 0;
}

/* The first of two that is enabled, or NULL. */
static const struct choice *
enabled(const struct choice *pair, uint32_t types)
{
    return types & pair[0].type ? &pair[0] : types & pair[1].type ? &pair[1] : NULL;
}

static uint32_t
hash_ip6(const uint8_t *data, const struct bp_net_headers *headers,
         const struct bp_net_hash_rules *rules, uint32_t *hash)
{
    static const struct choice tcp[] = {{BP_NET_HASH_TCP6EX, 8, 1, 1}, {BP_NET_HASH_TCP6, 5, 1, 0}};
    static const struct choice udp[] = {{BP_NET_HASH_UDP6EX, 9, 1, 1}, {BP_NET_HASH_UDP6, 6, 1, 0}};
    static const struct choice ip[] = {{BP_NET_HASH_IP6EX, 7, 0, 1}, {BP_NET_HASH_IP6, 4, 0, 0}};
    const struct choice *choice = NULL;
    uint8_t input[36];

    if (headers->payload != 0 && !headers->fragment) {
        choice = enabled(headers->protocol == BP_NET_IP_TCP ? tcp : udp, rules->types);
    }
    choice = choice != NULL ? choice : enabled(ip, rules->types);
    if (choice == NULL) {
        return 0;
    }
    memcpy(input, data + headers->l3 + 8, 32);
    if (choice->extended && headers->home != 0) {
        memcpy(input, data + headers->home, 16);
    }
    if (choice->extended && headers->route != 0) {
        memcpy(input + 16, data + headers->route, 16);
    }
    *hash = finish(rules, input, 32, choice->with_ports ? data + headers->l4 : NULL);
    return choice->report;
}

uint32_t
bp_net_hash(const uint8_t *data, uint32_t length, const struct bp_net_headers *headers,
            const struct bp_net_hash_rules *rules, uint32_t *hash)
{
    *hash = 0;
    if (headers->version == 4 && length >= headers->l3 + 20u) {
        return hash_ip4(data, headers, rules, hash);
    }
    if (headers->version == 6 && length >= headers->l3 + 40u) {
        return hash_ip6(data, headers, rules, hash);
    }
    return 0;
}
