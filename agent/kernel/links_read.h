/* What the kernel says of all network interfaces, taken apart. For kernel/links.c alone. */
#ifndef SQ_KERNEL_LINKS_READ_H
#define SQ_KERNEL_LINKS_READ_H

#include "kernel/links.h"

/* Fill entries and aliases, in the kernel's order. 0 or -errno; sq_links_free frees in either case. */
int sq_links_dump(struct sq_netlink *netlink, struct sq_links *links);

#endif
