/*
 * Probes that are played, by the clock of a played loop: played_probes.c defines the functions by which the
 * engine measures (probes/table.h, probes/http.h), so that the library's own are not linked.
 */
#ifndef SQ_TESTS_PLAYED_PROBES_H
#define SQ_TESTS_PLAYED_PROBES_H

#include <stdint.h>

/* What every probe measures: a page that answers with this status, after that time. */
struct page {
    uint32_t status; /* 0: it cannot be measured */
    uint64_t takes_ns;
};

extern struct page page;

#endif
