/* The addresses of this host, in the network namespace of a netlink socket. */
#ifndef SQ_KERNEL_ADDRESS_H
#define SQ_KERNEL_ADDRESS_H

#include "kernel/netlink.h"

#include "common/cidr.h"
#include "common/error.h"

#include <stddef.h>

#define SQ_ADDRESSES_MAX 2048

struct sq_addresses {
    size_t count;
    struct sq_cidr items[SQ_ADDRESSES_MAX];
};

/* Those that lie within one of `ranges`. SQ_LIMIT: they are more than fit. */
int sq_addresses_within(struct sq_netlink *netlink, const struct sq_cidr *ranges, size_t count,
                        struct sq_addresses *addresses, struct sq_error *error);

#endif
