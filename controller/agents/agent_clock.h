/*
 * An agent's boot-time clock, as told from answers that carry it: sent and answered on ours, `now_boot_ns` on
 * its own somewhere between. Assuming the middle errs by half the round trip at most (Cristian, Distributed
 * Computing 1989).
 */
#ifndef SQ_AGENTS_AGENT_CLOCK_H
#define SQ_AGENTS_AGENT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: nothing known yet. */
struct sq_agent_clock {
    bool known;
    int64_t offset_ns;       /* the agent's clock minus ours */
    uint64_t uncertainty_ns; /* how far off that may be, either way */
};

/* Learn from one answer; the estimate with the smallest uncertainty is kept. An answer that came before it
   was sent is ignored. */
static inline void sq_agent_clock_learn(struct sq_agent_clock *clock, uint64_t sent_boot_ns,
                                        uint64_t answered_boot_ns, uint64_t agent_boot_ns)
{
    if (agent_boot_ns == 0 || answered_boot_ns < sent_boot_ns)
        return;
    uint64_t half_ns = (answered_boot_ns - sent_boot_ns + 1) / 2;
    if (clock->known && clock->uncertainty_ns <= half_ns)
        return;
    clock->known = true;
    clock->uncertainty_ns = half_ns;
    clock->offset_ns = (int64_t)(agent_boot_ns - (sent_boot_ns + half_ns));
}

/* Ours to the agent's and back; 0 ("never", "not yet") stays 0, and what would be before boot becomes 1. */
static inline uint64_t sq_agent_clock_shift(uint64_t boot_ns, int64_t by_ns)
{
    if (boot_ns == 0)
        return 0;
    uint64_t distance = by_ns < 0 ? (uint64_t) - (by_ns + 1) + 1 : (uint64_t)by_ns;
    if (by_ns < 0)
        return boot_ns > distance ? boot_ns - distance : 1;
    return boot_ns <= UINT64_MAX - distance ? boot_ns + distance : UINT64_MAX;
}

static inline uint64_t sq_agent_clock_to_agent(const struct sq_agent_clock *clock, uint64_t our_boot_ns)
{
    return sq_agent_clock_shift(our_boot_ns, clock->offset_ns);
}

static inline uint64_t sq_agent_clock_to_ours(const struct sq_agent_clock *clock, uint64_t agent_boot_ns)
{
    return sq_agent_clock_shift(agent_boot_ns, -clock->offset_ns);
}

#endif
