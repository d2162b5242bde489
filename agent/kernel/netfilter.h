/*
 * Does a firewall look at packets as they come in by an interface, behind traffic control? nftables' ingress
 * chains do (families netdev and inet). A packet that an IFB gives back does not pass them a second time, nor
 * did it pass them before: a redirect would lead past the firewall.
 */
#ifndef SQ_KERNEL_NETFILTER_H
#define SQ_KERNEL_NETFILTER_H

#include "common/error.h"

/*
 * SQ_UNABLE names the chain, and says what to do. Reads only, and loads no kernel
 * module where it can be told whether that is loaded (kernel/module.h).
 */
int sq_netfilter_check_ingress(const char *interface, struct sq_error *error);

/*
 * The same of a fault that is in place, after it was checked: SQ_VANISHED names a chain that came since.
 * Allocates nothing.
 */
int sq_netfilter_look_at_ingress(const char *interface, struct sq_error *error);

#endif
