/* Is a name of an interface taken? */
#ifndef SQ_KERNEL_LINK_NAME_H
#define SQ_KERNEL_LINK_NAME_H

#include "kernel/netlink.h"

/*
 * Whether an interface has this name, or it among its alternative ones: 1, 0 or -errno. Unlike
 * if_nametoindex, which makes the kernel run modprobe for a name that nobody has.
 */
int sq_link_is_named(struct sq_netlink *netlink, const char *name);

#endif
