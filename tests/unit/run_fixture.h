/*
 * A whole run, played: agents, probes and the clock are the test's own, so that no test of the engine waits.
 * The hosts are web1, web2 and web3, and in the inventory alone db1; the lease is 500 ms.
 */
#ifndef SQ_TESTS_RUN_FIXTURE_H
#define SQ_TESTS_RUN_FIXTURE_H

#include "engine/run.h"
#include "played_agents.h"
#include "played_probes.h"

#include <stddef.h>

extern const char no_hypothesis[];
extern const char http_hypothesis[]; /* a page every 100 ms, three misses; recovers within 1s */
extern const char held_hypothesis[]; /* a page every second, held for 5s before */
extern const char more_steps[];      /* none, but two steps before the one that is always there */

extern const char *limits; /* what ends the experiment's file; "" again before each test */

extern int signal_fd;
extern struct sq_run *the_run; /* while run() runs */

/* What an observer saw, one event after the other. */
struct seen {
    enum sq_run_event_kind kind;
    uint64_t boot_ns;
    char what[64];  /* a phase, verb, state, probe; of a decision or a host what it is */
    char text[640]; /* of an answer, decision, host or note */
    uint32_t host;
    uint32_t reverts; /* how many the agents had been given when this was seen */
};

extern struct seen seen[];
extern size_t seen_count;

/* What the last event said, copied. */
struct ended {
    enum sq_exit ending;
    char why[640];
    char had_ended_because[640];
    bool verified;
    bool recovery_checked;
    bool recovered;
    char not_recovered_because[640];
    bool unclean[HOSTS];
    uint64_t clean_boot_ns[HOSTS];
    uint64_t removed_boot_ns[HOSTS];
    uint64_t injected_boot_ns[HOSTS]; /* of the first fault */
};

extern struct ended ended;

/* Called by the observer with each event, after it was noted; NULL: nobody. */
extern void (*on_event)(const struct sq_run_event *event);

/* Something that happens some time after the common moment of injection. */
void later(uint64_t after_ns, void (*what)(int value), int value);
void send_signal(int number);
void set_status(int status);
void set_takes_ms(int takes_ms);

/* A run to its end; `method` is one of the texts above, or another hypothesis; `duration` that of its (last)
 * step, NULL: there is no step. */
enum sq_exit run(const char *method, const char *duration);

size_t count_events(enum sq_run_event_kind kind, const char *what); /* NULL: whatever it is */
void expect_why(const char *text);                                  /* in the sentence that ended it */

/* Nobody has anything in, and whoever prepared was told to revert. */
void expect_all_clean(void);
void expect_nothing_injected(void);

int set_up(void **state);
int tear_down(void **state);

#define RUN_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

#endif
