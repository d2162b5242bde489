/*
 * Agents that are played, by the clock of a played loop: played_agents.c defines the functions of
 * agents/client.h, so that the library's own are not linked. For test programs of the engine.
 */
#ifndef SQ_TESTS_PLAYED_AGENTS_H
#define SQ_TESTS_PLAYED_AGENTS_H

#include "agents/client.h"
#include "common/clock.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define HOSTS 3 /* of the plan; the one after them is in the inventory alone */
#define MS    SQ_NS_PER_MILLISECOND

/* --- the agents --- */

enum mood {
    WELL,
    GONE,            /* answers nothing, failures come at the timeout */
    REFUSES_PREPARE, /* by policy */
    OLD,             /* speaks another version */
    FAILS_TO_INJECT,
    LEAVES_SOMETHING,  /* cannot undo all of it */
    SAYS_LEFT,         /* all is removed, but the comparison says that something is left */
    COMPARES_NOTHING,  /* all is removed, but what was there before could not be looked at */
    FINDS_IT_GONE,     /* somebody else took away what it made */
    GOES_AFTER_INJECT, /* dies once the fault is in */
    RESTARTS_AFTER_INJECT,
    HALTED_AFTER_INJECT,
    FORBIDDEN_WHILE_PREPARED, /* its policy is read again */
    FORBIDDEN_AFTER_INJECT,
    SLOW_TO_PREPARE,
};

struct fault {
    struct sq_fault_report report;
    uint64_t duration_ns;
    uint64_t inject_at_boot_ns;
};

struct agent {
    enum mood mood;
    uint32_t fault_count;
    struct fault faults[SQ_FAULTS_MAX];
    uint64_t lease_ns;
    uint64_t lease_end_boot_ns;
    struct sq_id experiment;
    struct sq_id token;       /* of who prepared it: nobody else is obeyed */
    uint64_t back_after_ns;   /* what it kills comes back so long after; 0: never */
    uint64_t clock_offset_ns; /* every agent has booted at another time */
    uint32_t reverts;
    uint32_t injects;
    uint32_t prepares;
    uint32_t renewals;
    uint32_t requests_to_lose[SQ_VERB_MAX + 1]; /* so many of the next ones never arrive */
    uint32_t answers_to_lose[SQ_VERB_MAX + 1];  /* so many of the next ones never come back */
};

extern struct agent agents[HOSTS + 1];
extern int raise_at_prepare; /* a signal to send to ourselves when the first PREPARE comes */
extern int raise_at_revert;
extern struct sq_loop *played_loop;                     /* to be opened first, and closed last */
extern void (*on_first_order)(uint64_t inject_boot_ns); /* to inject; by the controller's clock */

/* All well, booted at different times, and nothing on them. */
void agents_reset(void);

#endif
