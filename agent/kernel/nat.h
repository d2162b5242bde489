/*
 * Whose packets does this host send elsewhere? Destinations that nftables (and iptables on top of it) or IPVS
 * translate: behind them packets bear other addresses, also where traffic control looks at them. Reads only,
 * and loads no kernel module. For previews: it allocates.
 */
#ifndef SQ_KERNEL_NAT_H
#define SQ_KERNEL_NAT_H

#include "common/cidr.h"
#include "common/error.h"

#include <stdio.h>

/* One rule or service. Valid during the visit. */
struct sq_nat_rule {
    struct sq_cidr destination; /* family 0: the rule does not say, or not in a way that can be read here */
    const char *what;           /* "the nftables chain 'nat' of table 'ip edge'", "an IPVS service" */
};

typedef void (*sq_nat_visit)(const struct sq_nat_rule *rule, void *cookie);

/*
 * Visit all that can be seen. Rules that mean this host's own addresses are left out, as are those of eBPF
 * programs and of the older iptables. 0, or -1: nftables could not be read.
 */
int sq_nat_each(sq_nat_visit visit, void *cookie, struct sq_error *error);

/* The services of IPVS, from what /proc/net/ip_vs holds. */
void sq_nat_each_ipvs(FILE *file, sq_nat_visit visit, void *cookie);

#endif
