/*
 * Datagrams that carry the time at which they were sent: how long each was on its way, as a program at the
 * other end sees it, and how many never came.
 */
#ifndef SQ_TESTS_NETNS_PROBE_H
#define SQ_TESTS_NETNS_PROBE_H

#include "fixture.h"

#include <stdint.h>

#define PROBE_MAX 20000
#define PROBE_FEW 15u

struct probe {
    const char *from;
    const char *to;
    unsigned count;
    unsigned gap_us;  /* between two datagrams */
    unsigned wait_ms; /* for the last of them; 0: 300 */
};

struct probe_result {
    unsigned received;
    double delays_ms[PROBE_MAX]; /* sorted */
};

/* Send and receive at the same time; ends the test if a datagram cannot be sent. */
void probe_run(const struct fixture *fixture, const struct probe *probe, struct probe_result *result);

double probe_median_ms(const struct probe_result *result);
double probe_mean_ms(const struct probe_result *result);
double probe_deviation_ms(const struct probe_result *result); /* standard deviation */

/*
 * The shortest of a few datagrams, which a busy machine falsifies least: netem lets none go early. Fails the
 * test if one is lost.
 */
double probe_delay_ms(const struct fixture *fixture, const char *from, const char *to);

#endif
