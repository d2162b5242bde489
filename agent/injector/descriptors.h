/*
 * The injector's own file descriptors. Faults hold some from prepare to release (a kill one per victim); what
 * reverting, a new front and a halt need is never given away.
 */
#ifndef SQ_INJECTOR_DESCRIPTORS_H
#define SQ_INJECTOR_DESCRIPTORS_H

#include <stdint.h>

/* For a new front (pipes, pidfd, the files of its start), netlink sockets, /proc and a client of --halt. */
#define SQ_DESCRIPTORS_RESERVE 64

/* Raise the soft limit to the hard one. */
void sq_descriptors_raise(void);

/* The soft limit. */
uint64_t sq_descriptors_limit(void);

/* How many faults may still take. */
uint64_t sq_descriptors_left(void);

#endif
