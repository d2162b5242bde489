/*
 * What the classifier in the kernel and its loader (kernel/classifier.c) agree on. Plain fixed-size types:
 * included by BPF C and by C.
 */
#ifndef SQ_BPF_CLASSIFIER_H
#define SQ_BPF_CLASSIFIER_H

#include <linux/types.h>

#define SQ_CLASSIFIER_PEERS_MAX    1024
#define SQ_CLASSIFIER_EXEMPT_MAX   4096 /* `except`, the policy's protected peers, own addresses among them */
#define SQ_CLASSIFIER_PORTS_MAX    64
#define SQ_CLASSIFIER_SESSIONS_MAX 16

/* What is left alone, as the values of exempt4 and exempt6: bits. */
#define SQ_CLASSIFIER_EXEMPT_PEER  1 /* packets from or to it as a peer */
#define SQ_CLASSIFIER_EXEMPT_OTHER 2 /* what it exchanges with peers through this host */

/* Keys of the longest-prefix maps: the prefix length in bits, then the address in network byte order. */
struct sq_prefix4 {
    __u32 bits;
    __u8 address[4];
};

struct sq_prefix6 {
    __u32 bits;
    __u8 address[16];
};

/*
 * A TCP connection of the control plane, which every fault spares in both directions. In words of 64 bits, as
 * are the keys of ports: see classifier.bpf.c.
 */
struct sq_session {
    __u64
        address[2]; /* the controller's, as its bytes stand in memory; an IPv4 address takes the first four */
    __u32 family;   /* 4 or 6; 0, with no address: whoever it is */
    __u32 agent_port; /* host byte order */
};

enum sq_classifier_direction { SQ_CLASSIFIER_IN = 0, SQ_CLASSIFIER_OUT = 1, SQ_CLASSIFIER_DIRECTIONS = 2 };

/*
 * Nearly every packet is somebody else's, and is to find out at the least cost, whatever the number of peers.
 * So before the tries are asked, one byte of a table is looked at (a filter as in Bloom, "Space/Time
 * Trade-offs in Hash Coding with Allowable Errors", 1970, with a single hash). The networks of the peers, cut
 * to the shortest prefix of their family, have theirs set: what finds 0 is no peer's. What shares a peer's by
 * chance, one in 65 with 1,000 peers, goes on to the trie.
 */
#define SQ_CLASSIFIER_MARK_BITS 16
#define SQ_CLASSIFIER_MARKS     (1u << SQ_CLASSIFIER_MARK_BITS)

/* The place of a network, its address taken as it stands in memory: `first` alone is IPv4. */
static inline __attribute__((always_inline)) __u64 sq_classifier_mark_place(__u64 first, __u64 last)
{
    return (first * 0x9e3779b97f4a7c15ull + last * 0xc2b2ae3d27d4eb4full) >> (64 - SQ_CLASSIFIER_MARK_BITS);
}

/*
 * Chance: the draw of the packet with this number in this direction, evenly from 0 to 2^32 - 1. A function of
 * nothing else, so that the same seed loses the same packets again (the finalizer of SplitMix64; Steele, Lea
 * and Flood, "Fast splittable pseudorandom number generators", 2014).
 */
static inline __attribute__((always_inline)) __u64 sq_classifier_draw(__u64 seed, __u32 direction,
                                                                      __u64 number)
{
    __u64 state = seed + (number * 2 + direction + 1) * 0x9e3779b97f4a7c15ull;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ull;
    state = (state ^ (state >> 27)) * 0x94d049bb133111ebull;
    return (state ^ (state >> 31)) >> 32;
}

#define SQ_CLASSIFIER_DRAWS 4294967296.0 /* that many different ones */

/* The upper half of the index of every IFB that squall makes: kernel/ifb.c. The lower half is its number. */
#define SQ_CLASSIFIER_DETOUR_MARK        0x5351u
#define SQ_CLASSIFIER_DETOURS            128
#define SQ_CLASSIFIER_DETOUR_DEVICES_MAX 8

/* The devices whose outgoing packets one IFB takes, and gives back to; 0: no more. */
struct sq_classifier_detour {
    __u32 devices[SQ_CLASSIFIER_DETOUR_DEVICES_MAX];
};

/* What is known when the programs are loaded. */
struct sq_classifier_constants {
    __u64 mask4; /* the peers' shortest prefix, in network byte order; as wide as what it is hashed in */
    __u64 mask6[2];
    __s32 verdict_miss;  /* of a packet that the fault does not mean */
    __s32 verdict_hit;   /* of one that it means */
    __u32 redirects;     /* the filter's action leads it away, to come back */
    __u32 has_ports;     /* protected ports or spared sessions exist */
    __u32 has_exempt;    /* exempt4 or exempt6 holds something */
    __u32 has_protected; /* some of it at the other end as well */
    __u32 session_count;
    __u32 detour_out; /* index of the IFB that outgoing packets are redirected to; 0: none */
    __u32 loopback;   /* on lo, whose packets are met on their way out alone: bits of the directions that are
                         meant; 0: not lo */
    __u32 redirects_nowhere; /* what the fault means is dropped on the way out by that, not by verdict_hit */
    __u64 loss_seed;
    __u64 loss_threshold; /* draws below it are lost; SQ_CLASSIFIER_DRAWS: all */
};

/* What the loader writes. */
struct sq_classifier_shared {
    __u8 marks[SQ_CLASSIFIER_MARKS];         /* complete before anything is attached */
    volatile __u64 deadline_boot_ns;         /* the kernel's own boot-time clock; 0 is off */
    __s64 ahead_ns;                          /* how far that is ahead of the loader's: a time namespace */
    __u64 exposed[SQ_CLASSIFIER_DIRECTIONS]; /* the number of the next packet that may be lost */
};

/* Per CPU and direction, counted only while the fault is on. */
struct sq_classifier_counters {
    __u64 matched; /* packets from or to the peers, the spared ones included */
    __u64 hit;     /* of them, those the fault was applied to */
    __u64 lost;    /* of them, those that chance took */
};

#endif
