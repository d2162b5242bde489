/*
 * Which packets does a network fault mean? Attached by cls_bpf to both sides of clsact, or by tcx.
 *
 * The deadline is the fault's life: nothing matches when the boot-time clock has passed it, or when it is 0,
 * whoever is or is not alive in user space. A packet that is not meant goes on to the next filter or program
 * as if this one were not there.
 */
#include "classifier.h"

#include <linux/bpf.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAGMENT_OFFSET_MASK  0x1fff /* RFC 791: in units of 8 bytes */
#define FRAGMENT_MORE         0x2000
#define FRAGMENT_OFFSET_MASK6 0xfff8 /* RFC 8200, section 4.5 */
#define FRAGMENT_MORE6        0x0001
#define EXTENSIONS_MAX        6
#define VLAN_TAGS_MAX         2
#define MAC_TYPE_OFFSET       12
#define UDP_LITE              136
#define MLD_FIRST             130 /* RFC 2710: listener query, report, done */
#define ND_LAST               137 /* RFC 4861: 133 to 137 */
#define MLD_REPORT_V2         143 /* RFC 3810 */

/* Set by the loader before the programs are verified, so that what a fault does not use costs it nothing. */
const volatile struct sq_classifier_constants constants = {0};

/* Mapped into the loader's memory: moving the deadline is one store. */
struct sq_classifier_shared shared = {0};

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, SQ_CLASSIFIER_PEERS_MAX);
    __type(key, struct sq_prefix4);
    __type(value, __u8);
} peers4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, SQ_CLASSIFIER_PEERS_MAX);
    __type(key, struct sq_prefix6);
    __type(value, __u8);
} peers6 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, SQ_CLASSIFIER_EXEMPT_MAX);
    __type(key, struct sq_prefix4);
    __type(value, __u8);
} exempt4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, SQ_CLASSIFIER_EXEMPT_MAX);
    __type(key, struct sq_prefix6);
    __type(value, __u8);
} exempt6 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SQ_CLASSIFIER_PORTS_MAX);
    __type(key, __u64); /* host byte order */
    __type(value, __u8);
} protected_ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SQ_CLASSIFIER_SESSIONS_MAX);
    __type(key, struct sq_session);
    __type(value, __u8);
} sessions SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SQ_CLASSIFIER_DIRECTIONS);
    __type(key, __u32);
    __type(value, struct sq_classifier_counters);
} counters SEC(".maps");

/* By the number of the IFB. One map for all faults of an agent. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SQ_CLASSIFIER_DETOURS);
    __type(key, __u32);
    __type(value, struct sq_classifier_detour);
} detours SEC(".maps");

/* What is read of a packet beyond its addresses. */
struct transport {
    __u32 base;   /* enum bpf_hdr_start_off that offset counts from */
    __u32 offset; /* of the transport header */
    __u8 protocol;
    __u8 is_fragment;
    __u8 later_fragment; /* it has no transport header */
};

/*
 * Where the IP header is. It starts at the network header on devices with and without a link layer, unless
 * tags of virtual LANs are still in the packet's data.
 */
static __always_inline __be16 find_network_header(struct __sk_buff *skb, __u32 *base, __u32 *offset)
{
    __be16 type = (__be16)skb->protocol;
    *base = BPF_HDR_START_NET;
    *offset = 0;
    if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
        return type;
    *base = BPF_HDR_START_MAC;
    *offset = ETH_HLEN;
#pragma unroll
    for (int i = 0; i < VLAN_TAGS_MAX; i++) {
        if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
            break;
        __be16 inner; /* not `type` itself, whose value is known here */
        if (bpf_skb_load_bytes_relative(skb, *offset + 2, &inner, sizeof inner, *base) != 0)
            return 0;
        type = inner;
        *offset += 4;
    }
    return type;
}

/* Neighbour discovery and the multicast listeners it relies on: what ARP is to IPv4. */
static __always_inline int is_neighbour_discovery(__u8 type)
{
    return (type >= MLD_FIRST && type <= ND_LAST) || type == MLD_REPORT_V2;
}

/*
 * What the IFB gives back passes the egress filters a second time, marked so that the kernel skips the
 * actions of the first filter that matches, and accepts. That has to be ours, also after the deadline:
 * unmatched, the mark would go on and make foreign actions behind us be skipped. Incoming packets never come
 * by twice.
 */
static __always_inline int came_back(struct __sk_buff *skb, __u32 direction)
{
    return (direction == SQ_CLASSIFIER_OUT || constants.loopback != 0) && constants.detour_out != 0 &&
           skb->ingress_ifindex == constants.detour_out;
}

/* The clock is asked only about packets of the peers: all others go by without. */
static __always_inline int is_on(struct __sk_buff *skb, __u32 direction)
{
    return came_back(skb, direction) || bpf_ktime_get_boot_ns() < shared.deadline_boot_ns;
}

/* Whether the agent itself listens on a port of this host. */
static __always_inline int is_agent_port(__u64 port)
{
    union {
        struct sq_session session;
        __u64 words[3];
    } key;
    key.words[0] = 0;
    key.words[1] = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    key.words[2] = port << 32;
#else
    key.words[2] = port;
#endif
    return bpf_map_lookup_elem(&sessions, &key) != NULL;
}

/* Packets that pass although their address matches. */
static __always_inline int is_spared(struct __sk_buff *skb, const struct transport *transport,
                                     __u64 peer_first, __u64 peer_last, __u32 family, __u32 direction)
{
    /*
     * A later fragment has no ports to be judged by. What drops lets it pass, which makes no difference:
     * without its first fragment, which is judged, no datagram arrives. On a detour that would be a loss, as
     * whoever puts the datagram together does not wait long. So all its fragments take it, whatever the
     * ports: the first as well, which gains nothing by being early.
     */
    if (transport->is_fragment && constants.redirects)
        return 0;
    if (transport->later_fragment)
        return 1;
    __u8 protocol = transport->protocol;
    if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_SCTP &&
        protocol != IPPROTO_DCCP && protocol != UDP_LITE)
        return 0;
    __be16 ports[2]; /* source, destination */
    if (bpf_skb_load_bytes_relative(skb, transport->offset, ports, sizeof ports, transport->base) != 0)
        return 0;
    __u64 local = bpf_ntohs(direction == SQ_CLASSIFIER_OUT ? ports[0] : ports[1]);
    __u64 remote = bpf_ntohs(direction == SQ_CLASSIFIER_OUT ? ports[1] : ports[0]);
    if (bpf_map_lookup_elem(&protected_ports, &local) != NULL ||
        bpf_map_lookup_elem(&protected_ports, &remote) != NULL)
        return 1;
    if (constants.session_count == 0 || protocol != IPPROTO_TCP)
        return 0;
    union {
        struct sq_session session;
        __u64 words[3];
    } key;
    key.words[0] = peer_first;
    key.words[1] = peer_last;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    key.words[2] = local << 32 | family;
#else
    key.words[2] = (__u64)family << 32 | local;
#endif
    return bpf_map_lookup_elem(&sessions, &key) != NULL || is_agent_port(local) ||
           (constants.loopback != 0 && is_agent_port(remote));
}

static __always_inline int decide(struct __sk_buff *skb, const struct transport *transport, __u64 peer_first,
                                  __u64 peer_last, __u32 family, __u32 direction, int loses)
{
    __u32 key = direction; /* whose value the compiler need not know; direction's it has to */
    struct sq_classifier_counters *counter = bpf_map_lookup_elem(&counters, &key);
    if (counter == NULL)
        return constants.verdict_miss; /* cannot be: the key is within the array */
    __u64 first_time = !came_back(skb, direction);
    counter->matched += first_time;
    if (constants.has_ports && is_spared(skb, transport, peer_first, peer_last, family, direction))
        return constants.verdict_miss;
    counter->hit += first_time;
    if (loses) {
        __u64 number = __sync_fetch_and_add(&shared.exposed[direction], 1);
        if (sq_classifier_draw(constants.loss_seed, direction, number) >= constants.loss_threshold)
            return constants.verdict_miss;
        counter->lost++;
    }
    /* To no interface: the kernel drops it, and no sender hears of it (kernel/tcx.c tries that). */
    if (constants.redirects_nowhere && (direction == SQ_CLASSIFIER_OUT || constants.loopback != 0))
        return (int)bpf_redirect(0, 0);
    return constants.verdict_hit;
}

/* The address of the other side, in an IP header. */
static __always_inline __u32 address4_at(__u32 direction)
{
    return direction == SQ_CLASSIFIER_OUT ? offsetof(struct iphdr, daddr) : offsetof(struct iphdr, saddr);
}

static __always_inline __u32 address6_at(__u32 direction)
{
    return direction == SQ_CLASSIFIER_OUT ? offsetof(struct ipv6hdr, daddr) : offsetof(struct ipv6hdr, saddr);
}

/*
 * Is it certain that an Ethernet frame is to or from no peer? Reads the packet where it lies, without a call.
 * Not certain of what has tags in its data, or whose header is not in the packet's first buffer.
 */
static __always_inline int is_nobody(const struct __sk_buff *skb, __u32 direction)
{
    const unsigned char *data = (void *)(long)skb->data;
    const unsigned char *end = (void *)(long)skb->data_end;
    if (data + ETH_HLEN + sizeof(struct iphdr) > end)
        return 0;
    __be16 type = *(const __be16 *)(data + MAC_TYPE_OFFSET);
    if (__builtin_expect(type == bpf_htons(ETH_P_IP), 1)) {
        __u64 peer = *(const __u32 *)(data + ETH_HLEN + address4_at(direction));
        return shared.marks[sq_classifier_mark_place(peer & constants.mask4, 0)] == 0;
    }
    if (type != bpf_htons(ETH_P_IPV6) || data + ETH_HLEN + sizeof(struct ipv6hdr) > end)
        return 0;
    const __u64 *peer = (const void *)(data + ETH_HLEN + address6_at(direction));
    return shared
               .marks[sq_classifier_mark_place(peer[0] & constants.mask6[0], peer[1] & constants.mask6[1])] ==
           0;
}

/*
 * What this host forwards has neither end here, and what the policy protects may be at the one that is not
 * the peer's.
 */
static __always_inline int is_other_exempt4(struct __sk_buff *skb, __u32 base, __u32 offset, __u32 direction)
{
    struct sq_prefix4 other; /* not initialised: see classify4_loopback */
    if (bpf_skb_load_bytes_relative(skb, offset + address4_at(!direction), other.address,
                                    sizeof other.address, base) != 0)
        return 0;
    other.bits = 32;
    const __u8 *ends = bpf_map_lookup_elem(&exempt4, &other);
    return ends != NULL && (*ends & SQ_CLASSIFIER_EXEMPT_OTHER) != 0;
}

static __always_inline int is_other_exempt6(struct __sk_buff *skb, __u32 base, __u32 offset, __u32 direction)
{
    struct sq_prefix6 other; /* not initialised: see classify6_loopback */
    if (bpf_skb_load_bytes_relative(skb, offset + address6_at(!direction), other.address,
                                    sizeof other.address, base) != 0)
        return 0;
    other.bits = 128;
    const __u8 *ends = bpf_map_lookup_elem(&exempt6, &other);
    return ends != NULL && (*ends & SQ_CLASSIFIER_EXEMPT_OTHER) != 0;
}

static __always_inline int classify4(struct __sk_buff *skb, __u32 base, __u32 offset, __u32 direction,
                                     int loses)
{
    struct sq_prefix4 key;
    if (bpf_skb_load_bytes_relative(skb, offset + address4_at(direction), key.address, sizeof key.address,
                                    base) != 0)
        return constants.verdict_miss;
    key.bits = 32;
    if (bpf_map_lookup_elem(&peers4, &key) == NULL || !is_on(skb, direction))
        return constants.verdict_miss;
    if (constants.has_exempt && bpf_map_lookup_elem(&exempt4, &key) != NULL)
        return constants.verdict_miss;
    if (constants.has_protected && is_other_exempt4(skb, base, offset, direction))
        return constants.verdict_miss;
    struct iphdr header;
    if (bpf_skb_load_bytes_relative(skb, offset, &header, sizeof header, base) != 0 || header.version != 4)
        return constants.verdict_miss;

    struct transport transport = {
        .base = base,
        .offset = offset + header.ihl * 4u,
        .protocol = header.protocol,
        .is_fragment = (header.frag_off & bpf_htons(FRAGMENT_OFFSET_MASK | FRAGMENT_MORE)) != 0,
        .later_fragment = (header.frag_off & bpf_htons(FRAGMENT_OFFSET_MASK)) != 0,
    };
    __u32 peer = direction == SQ_CLASSIFIER_OUT ? header.daddr : header.saddr;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return decide(skb, &transport, peer, 0, 4, direction, loses);
#else
    return decide(skb, &transport, (__u64)peer << 32, 0, 4, direction, loses);
#endif
}

/* Walk the extension headers (RFC 8200, section 4) to the transport header. */
static __always_inline void find_transport6(struct __sk_buff *skb, struct transport *transport)
{
#pragma unroll
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        __u8 head[4];
        __u8 protocol = transport->protocol;
        if (protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_ROUTING && protocol != IPPROTO_DSTOPTS &&
            protocol != IPPROTO_FRAGMENT && protocol != IPPROTO_AH)
            return;
        if (bpf_skb_load_bytes_relative(skb, transport->offset, head, sizeof head, transport->base) != 0) {
            transport->protocol = IPPROTO_NONE;
            return;
        }
        transport->protocol = head[0];
        if (protocol == IPPROTO_FRAGMENT) {
            transport->offset += 8;
            __u16 position = (__u16)((head[2] << 8) | head[3]);
            transport->is_fragment = (position & (FRAGMENT_OFFSET_MASK6 | FRAGMENT_MORE6)) != 0;
            if ((position & FRAGMENT_OFFSET_MASK6) != 0) {
                transport->later_fragment = 1;
                return;
            }
        } else if (protocol == IPPROTO_AH) {
            transport->offset += (head[1] + 2u) * 4;
        } else {
            transport->offset += (head[1] + 1u) * 8;
        }
    }
}

static __always_inline int classify6(struct __sk_buff *skb, __u32 base, __u32 offset, __u32 direction,
                                     int loses)
{
    struct sq_prefix6 key;
    __u32 at = address6_at(direction);
    if (bpf_skb_load_bytes_relative(skb, offset + at, key.address, sizeof key.address, base) != 0)
        return constants.verdict_miss;
    key.bits = 128;
    if (bpf_map_lookup_elem(&peers6, &key) == NULL || !is_on(skb, direction))
        return constants.verdict_miss;
    if (constants.has_exempt && bpf_map_lookup_elem(&exempt6, &key) != NULL)
        return constants.verdict_miss;
    if (constants.has_protected && is_other_exempt6(skb, base, offset, direction))
        return constants.verdict_miss;
    struct ipv6hdr header;
    if (bpf_skb_load_bytes_relative(skb, offset, &header, sizeof header, base) != 0 || header.version != 6)
        return constants.verdict_miss;

    struct transport transport = {.base = base, .offset = offset + sizeof header, .protocol = header.nexthdr};
    find_transport6(skb, &transport);
    if (transport.protocol == IPPROTO_ICMPV6 && !transport.later_fragment) {
        __u8 type = 0;
        if (bpf_skb_load_bytes_relative(skb, transport.offset, &type, sizeof type, base) == 0 &&
            is_neighbour_discovery(type))
            return constants.verdict_miss;
    }
    __u64 peer[2];
    if (bpf_skb_load_bytes_relative(skb, offset + at, peer, sizeof peer, base) != 0)
        return constants.verdict_miss;
    return decide(skb, &transport, peer[0], peer[1], 6, direction, loses);
}

/*
 * On lo both ends are this host, and what one sends comes by twice: on its way out, and coming in. It is met
 * on its way out alone, as one to a peer or else as one from a peer, and left alone for the sake of either
 * end.
 */
static __always_inline int classify4_loopback(struct __sk_buff *skb, __u32 base, __u32 offset, int loses)
{
    struct sq_prefix4 to; /* not initialised: the address would be written into the half of a spilled word */
    struct sq_prefix4 from;
    if (bpf_skb_load_bytes_relative(skb, offset + address4_at(SQ_CLASSIFIER_OUT), to.address,
                                    sizeof to.address, base) != 0 ||
        bpf_skb_load_bytes_relative(skb, offset + address4_at(SQ_CLASSIFIER_IN), from.address,
                                    sizeof from.address, base) != 0)
        return constants.verdict_miss;
    to.bits = 32;
    from.bits = 32;
    if (constants.has_exempt &&
        (bpf_map_lookup_elem(&exempt4, &to) != NULL || bpf_map_lookup_elem(&exempt4, &from) != NULL))
        return constants.verdict_miss;
    if ((constants.loopback & (1u << SQ_CLASSIFIER_OUT)) != 0 && bpf_map_lookup_elem(&peers4, &to) != NULL)
        return classify4(skb, base, offset, SQ_CLASSIFIER_OUT, loses);
    if ((constants.loopback & (1u << SQ_CLASSIFIER_IN)) != 0)
        return classify4(skb, base, offset, SQ_CLASSIFIER_IN, loses);
    return constants.verdict_miss;
}

static __always_inline int classify6_loopback(struct __sk_buff *skb, __u32 base, __u32 offset, int loses)
{
    struct sq_prefix6 to; /* not initialised: the address would be written into the half of a spilled word */
    struct sq_prefix6 from;
    if (bpf_skb_load_bytes_relative(skb, offset + address6_at(SQ_CLASSIFIER_OUT), to.address,
                                    sizeof to.address, base) != 0 ||
        bpf_skb_load_bytes_relative(skb, offset + address6_at(SQ_CLASSIFIER_IN), from.address,
                                    sizeof from.address, base) != 0)
        return constants.verdict_miss;
    to.bits = 128;
    from.bits = 128;
    if (constants.has_exempt &&
        (bpf_map_lookup_elem(&exempt6, &to) != NULL || bpf_map_lookup_elem(&exempt6, &from) != NULL))
        return constants.verdict_miss;
    if ((constants.loopback & (1u << SQ_CLASSIFIER_OUT)) != 0 && bpf_map_lookup_elem(&peers6, &to) != NULL)
        return classify6(skb, base, offset, SQ_CLASSIFIER_OUT, loses);
    if ((constants.loopback & (1u << SQ_CLASSIFIER_IN)) != 0)
        return classify6(skb, base, offset, SQ_CLASSIFIER_IN, loses);
    return constants.verdict_miss;
}

/*
 * What a detour gives back to this device went out by it before, and was drawn for then. What it gave back to
 * a device above, such as a virtual LAN, comes here for the first time, and still tells of the same IFB.
 */
static __always_inline int ran_the_risk(struct __sk_buff *skb)
{
    __u32 from = skb->ingress_ifindex;
    if (from >> 16 != SQ_CLASSIFIER_DETOUR_MARK)
        return 0;
    __u32 number = from & 0xffff;
    const struct sq_classifier_detour *detour = bpf_map_lookup_elem(&detours, &number);
    if (detour == NULL)
        return 0;
#pragma unroll
    for (int i = 0; i < SQ_CLASSIFIER_DETOUR_DEVICES_MAX; i++)
        if (detour->devices[i] == skb->ifindex)
            return 1;
    return 0;
}

static __always_inline int classify(struct __sk_buff *skb, __u32 direction, int is_ethernet, int loses)
{
    if (is_ethernet && is_nobody(skb, direction))
        return constants.verdict_miss;
    if (loses && ran_the_risk(skb))
        return constants.verdict_miss;
    __u32 base;
    __u32 offset;
    __be16 type = find_network_header(skb, &base, &offset);
    if (!is_ethernet && direction == SQ_CLASSIFIER_OUT && constants.loopback != 0) {
        if (type == bpf_htons(ETH_P_IP))
            return classify4_loopback(skb, base, offset, loses);
        if (type == bpf_htons(ETH_P_IPV6))
            return classify6_loopback(skb, base, offset, loses);
        return constants.verdict_miss;
    }
    if (type == bpf_htons(ETH_P_IP))
        return classify4(skb, base, offset, direction, loses);
    if (type == bpf_htons(ETH_P_IPV6))
        return classify6(skb, base, offset, direction, loses);
    return constants.verdict_miss; /* ARP and whatever else is not IP */
}

/*
 * One program for each side, once for any interface, whatever stands before the IP header, and once for
 * interfaces whose packets are Ethernet frames. Those that lose by chance are programs of their own, because
 * kernels before 5.12 refuse an atomic fetch, even one that is never reached.
 */
#define PROGRAM(name, direction, is_ethernet, loses)                                                         \
    SEC("tc") int name(struct __sk_buff *skb)                                                                \
    {                                                                                                        \
        return classify(skb, direction, is_ethernet, loses);                                                 \
    }

PROGRAM(sq_in, SQ_CLASSIFIER_IN, 0, 0)
PROGRAM(sq_out, SQ_CLASSIFIER_OUT, 0, 0)
PROGRAM(sq_in_ethernet, SQ_CLASSIFIER_IN, 1, 0)
PROGRAM(sq_out_ethernet, SQ_CLASSIFIER_OUT, 1, 0)
PROGRAM(sq_lose_in, SQ_CLASSIFIER_IN, 0, 1)
PROGRAM(sq_lose_out, SQ_CLASSIFIER_OUT, 0, 1)
PROGRAM(sq_lose_in_eth, SQ_CLASSIFIER_IN, 1, 1)
PROGRAM(sq_lose_out_eth, SQ_CLASSIFIER_OUT, 1, 1)

char sq_license[] SEC("license") = "Dual BSD/GPL";
