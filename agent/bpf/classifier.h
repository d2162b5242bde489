/*
 * What the classifier in the kernel and its loader (kernel/classifier.c) agree on. Plain fixed-size types:
 * included by BPF C and by C.
 */
#ifndef SQ_BPF_CLASSIFIER_H
#define SQ_BPF_CLASSIFIER_H

#include <linux/types.h>

#define SQ_CLASSIFIER_PEERS_MAX    1024
#define SQ_CLASSIFIER_EXEMPT_MAX   512 /* `except` and the policy's protected peers */
#define SQ_CLASSIFIER_PORTS_MAX    64
#define SQ_CLASSIFIER_SESSIONS_MAX 8

/* What becomes of a packet that the fault means. */
enum sq_classifier_mode {
    /* Direct action: the program consumes it without a trace, so that a local sender sees no error. */
    SQ_CLASSIFIER_CONSUME = 1,
    /* The program only says "match", and the filter's own actions (mirred to an IFB) do the rest. */
    SQ_CLASSIFIER_CLASSIFY = 2
};

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
    __u32 family;   /* 4 or 6 */
    __u32 agent_port; /* host byte order */
};

enum sq_classifier_direction { SQ_CLASSIFIER_IN = 0, SQ_CLASSIFIER_OUT = 1, SQ_CLASSIFIER_DIRECTIONS = 2 };

/* Per CPU and direction, counted only while the fault is on. */
struct sq_classifier_counters {
    __u64 matched; /* packets from or to the peers, the spared ones included */
    __u64 hit;     /* of them, those the fault was applied to */
};

#endif
