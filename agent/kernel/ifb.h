/*
 * Intermediate functional blocks: devices that packets are redirected to by a `mirred` action, that hold them
 * in a queueing discipline of their own, and that give them back to where they came from, incoming packets to
 * the receiving side and outgoing ones to the sending side. So the queues of the real interface stay what
 * they are, and several interfaces may share one.
 *
 * An IFB of squall's is known by its index, kind and hardware address, all of which it has from the moment
 * it exists, and by its alias; its name is for people. Functions that return an int without struct sq_error
 * are for the revert path: 0 or -errno, nothing allocated.
 */
#ifndef SQ_KERNEL_IFB_H
#define SQ_KERNEL_IFB_H

#include "kernel/netlink.h"
#include "kernel/tc.h"

#include "common/error.h"
#include "common/id.h"

#include <stdint.h>

#define SQ_IFB_MISSING "the kernel has no IFB device; try 'modprobe ifb', or a kernel with CONFIG_IFB"

#define SQ_IFB_NAME_MAX    16 /* IFNAMSIZ of <linux/if.h> */
#define SQ_IFB_ADDRESS_LEN 6  /* ETH_ALEN of <linux/if_ether.h> */

/* Plain data: stands in undo records. */
struct sq_ifb {
    uint32_t ifindex; /* 0: there is none */
    uint8_t address[SQ_IFB_ADDRESS_LEN];
    uint8_t reserved[6];
    char name[SQ_IFB_NAME_MAX]; /* squall-SLOT-in, squall-SLOT-out */
};

/*
 * Choose an index and a name that nobody has, far away from those that the kernel gives by itself, and the
 * address. Makes nothing. SQ_CONFLICT if all that squall tries are taken.
 */
int sq_ifb_choose(struct sq_netlink *netlink, const struct sq_id *experiment, uint32_t slot,
                  enum sq_tc_side side, struct sq_ifb *ifb, struct sq_error *error);

/*
 * Make it, switched off, silent (no address, no IPv6 autoconfiguration) and with the alias. SQ_CONFLICT if
 * index or name have been taken meanwhile, SQ_UNABLE if the kernel has no IFB.
 */
int sq_ifb_make(struct sq_netlink *netlink, const struct sq_ifb *ifb, const char *alias,
                struct sq_error *error);

/* Switch it on. With a queueing discipline on it already, the kernel gives it no default one. */
int sq_ifb_start(struct sq_netlink *netlink, const struct sq_ifb *ifb, struct sq_error *error);

enum sq_ifb_finding { SQ_IFB_ABSENT = 0, SQ_IFB_OURS = 1, SQ_IFB_FOREIGN = 2 };

/* What stands at its index: an `enum sq_ifb_finding`, or -errno. An alias that was not set yet may be
 * missing. */
int sq_ifb_find(struct sq_netlink *netlink, const struct sq_ifb *ifb, const char *alias);

/*
 * Whether what has this index bears squall's marks, whichever fault it was for: its index, kind and name, and
 * its alias if it has one. 1, 0 or -errno.
 */
int sq_ifb_bears_marks(struct sq_netlink *netlink, uint32_t ifindex);

/* Delete what stands at its index, with its queue and all that it holds. -ENODEV: nothing does. */
int sq_ifb_remove(struct sq_netlink *netlink, const struct sq_ifb *ifb);

#endif
