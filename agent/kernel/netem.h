/*
 * The netem queueing discipline on a device of squall's own: delay and jitter. See tc-netem(8).
 * sq_netem_look is for the revert path: nothing allocated.
 */
#ifndef SQ_KERNEL_NETEM_H
#define SQ_KERNEL_NETEM_H

#include "kernel/netlink.h"

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define SQ_NETEM_MISSING                                                                                     \
    "the kernel has no netem; try 'modprobe sch_netem', or a kernel with CONFIG_NET_SCH_NETEM (on Debian, "  \
    "the package linux-image-amd64 has it where a cloud kernel lacks it)"

/* Beyond this jitter the kernel's arithmetic, in 31 bits of nanoseconds, gives wrong delays. */
#define SQ_NETEM_JITTER_MAX_NS UINT64_C(2147483647)

struct sq_netem {
    uint64_t delay_ns;
    uint64_t jitter_ns; /* delays are drawn evenly from delay - jitter to delay + jitter */
    uint32_t limit;     /* packets held at a time; what comes beyond them is lost */
};

/* Make it the root of the device. SQ_UNABLE if the kernel has no netem, with what to do about it. */
int sq_netem_add(struct sq_netlink *netlink, uint32_t ifindex, const struct sq_netem *netem,
                 struct sq_error *error);

struct sq_netem_queue {
    uint32_t held; /* packets in it now */
    uint64_t lost; /* packets lost since it was made, because the limit was reached */
};

/* 0; -ENOENT: there is no netem at the device's root; or another -errno. */
int sq_netem_look(struct sq_netlink *netlink, uint32_t ifindex, struct sq_netem_queue *queue);

/* The bytes of this machine's memory, for the limit; 0 if that cannot be told. */
uint64_t sq_netem_memory_bytes(void);

/*
 * How many packets a queue has to hold, so that it loses none of its own: a million of them in a second (what
 * 10 Gbit/s carry in full-sized packets, and some more) for the longest delay, and a burst on top.
 */
uint64_t sq_netem_wanted(uint64_t longest_delay_ns);

/* Some queues of the same wish. */
struct sq_netem_wish {
    uint32_t queues;
    uint64_t packets; /* that each of them has to hold */
};

/*
 * The most packets that each of all these queues may hold, so that together they hold an eighth of the
 * memory, even if each packet were as large as the kernel makes them when it joins several (GSO, GRO). What
 * some do not need is the others'. 0 if there are no queues; may be less than a queue is good for.
 */
uint32_t sq_netem_share(const struct sq_netem_wish *wishes, size_t count, uint64_t memory_bytes);

/* Fewer than this, and a queue loses packets of ordinary bursts. */
#define SQ_NETEM_PACKETS_MIN 64

#endif
