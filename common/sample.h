/*
 * Seeded selection without state: each candidate's rank depends on the seed and its own name alone, and the
 * candidates with the smallest ranks are taken. The same seed picks the same hosts on every machine, and a
 * candidate that comes or goes does not reshuffle the others (rendezvous hashing, Thaler and Ravishankar
 * 1998).
 */
#ifndef SQ_COMMON_SAMPLE_H
#define SQ_COMMON_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

uint64_t sq_sample_rank(uint64_t seed, const char *name);

/* How many of `candidates` a percentage takes: rounded down, but one at least if percent > 0 and there are
 * any. */
size_t sq_sample_share(double percent, size_t candidates);

#endif
