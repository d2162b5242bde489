/*
 * Two network namespaces: this process becomes a host, the other end of its interfaces is elsewhere.
 * Everything goes with the process.
 */
#ifndef SQ_TESTS_BENCH_PAIR_H
#define SQ_TESTS_BENCH_PAIR_H

#include <stdint.h>

struct pair {
    int host; /* descriptors of the namespaces */
    int peer;
};

void pair_open(struct pair *pair);

/* An interface `name` with 10.9.N.1/24 on the host; the other end has 10.9.N.2. */
void pair_link(const struct pair *pair, const char *name, unsigned n);

/* A UDP socket of one of the two namespaces, bound to an address and port (0: any). */
int pair_socket(int namespace, const char *address, uint16_t port);

#endif
