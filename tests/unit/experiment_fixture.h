/*
 * The injector's experiments with a clock that the test sets and faults that only take notes.
 */
#ifndef SQ_TESTS_EXPERIMENT_FIXTURE_H
#define SQ_TESTS_EXPERIMENT_FIXTURE_H

#include "injector/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND SQ_NS_PER_SECOND

/* What the fake faults did, one letter a call: v preview, p prepare, i inject, n renew, j allowed, c clean, r
 * remove, x release, q prepared, t attend. */
extern char calls[512];
extern uint64_t deadline_ns; /* the last one that a fake fault was given */
extern char fail_call;       /* this call fails ... */
extern uint32_t fail_slot;   /* ... for the fault of this slot */
extern bool is_recorded_when_prepared;
extern uint64_t now_ns;
extern struct sq_undo_log undo_log;
extern struct sq_policy policy;
extern struct sq_experiments experiments;
extern struct sq_request request;
extern struct sq_request sent; /* the last one as it was handed over: a PREPARE on its way */
extern struct sq_reply reply;
extern uint64_t settled_ns; /* until then, something of a clean fault is still on its way */
/* Not zero: what is drafted from now on is prepared at that time, and wants to be attended to each second. */
extern uint64_t ready_ns;
extern bool is_taken_away; /* by somebody else: what a fake fault made is not there any more */
extern int recoveries;
extern uint32_t ports_before; /* how many protected ports `allowed` was last told of, then and now */
extern uint32_t ports_now;
extern uint32_t version; /* that the controller speaks */

int set_up(void **state);
int tear_down(void **state);
/*
 * Hand over `request` with this verb and an experiment of this id; the code of `reply`. Where `request` names
 * no token or time, it gets the id's own token, and times that are fine.
 */
enum sq_code ask(enum sq_verb verb, uint8_t id);
/* The same, without waiting for a PREPARE: false if it has only begun. */
bool hand_over(enum sq_verb verb, uint8_t id);
/* Make `request` an order of that many faults, which have the indices 2, 3, ... */
void order(uint32_t count, uint64_t duration_ns);
void prepare(uint8_t id, uint32_t count, uint64_t duration_ns);
void inject(uint8_t id);
void remove_all(void);
/* Set the clock and let the experiments see it, as the event loop does. */
void pass(uint64_t duration_ns);
/* That the fake faults did this since the last call. */
void expect_calls(const char *expected);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
