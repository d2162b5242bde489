/*
 * The whole agent, both processes, in the network namespace of a fixture, with a tmpfs of its own, spoken to
 * over its Unix socket. Failures end the running cmocka test.
 */
#ifndef SQ_TESTS_NETNS_AGENT_H
#define SQ_TESTS_NETNS_AGENT_H

#include "fixture.h"

#include "table/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SQUALLD SQ_BINARY_DIR "/agent/squalld"

extern char directory[64];
extern char config_path[128];
extern char url[128];
extern pid_t agent;
extern const char *agent_group; /* the control group that `start` puts squalld into; NULL: the test's own */
extern char *tc_before;
extern struct sq_request request;
extern struct sq_reply reply;
extern struct sq_id instance;
extern uint8_t whose; /* of the tokens: another number is another controller's */

void write_file(const char *name, const char *text);

/* Start squalld with one more argument or NULL; its output goes to `output` in the directory if that is
 * given. */
pid_t start(const char *argument, const char *output);

/* Wait for its end; 128 and the signal if one ended it. */
int exit_status(pid_t pid);

/* The exit status of squalld with this argument; it says what it says to the file "output". */
int run(const char *argument);
/* The same without CAP_SYS_ADMIN, as in a container. */
int run_without_admin(const char *argument);
void assert_output_says(const char *name, const char *text);
void assert_output_fits(const char *name, size_t columns); /* no line is longer */

/* Send `request` and wait for the answer in `reply`; false if there is none. */
bool try_ask(enum sq_verb verb, uint8_t experiment);
enum sq_code ask(enum sq_verb verb, uint8_t experiment);
void wait_until_it_serves(void);
void start_agent(void);
pid_t front_of_agent(void);

/* Make `request` an order to cut the peers 10.9.0.2 and fd09::2 off. */
void order(uint64_t lease_ns, uint64_t duration_ns);
/* As one more fault of it, 5 % of one core for 60 s. */
void order_stress_too(void);

/* Prepare that. */
void prepare(uint8_t experiment, uint64_t lease_ns, uint64_t duration_ns);
void assert_cut(void);
void assert_passes(void);
/* The same, injected. */
void cut(uint8_t experiment, uint64_t lease_ns);

/* Fault 0 ends for this reason, and what was there before is there again. */
void expect_removed(uint8_t experiment, enum sq_end_reason reason);

/* For cmocka. */
int set_up(void **state);

/* Make a process one that cannot die, until thaw. False: it cannot be done here. */
bool freeze(const char *pid);
bool freeze_too(const char *pid); /* together with that one */
void thaw(void);
int tear_down(void **state);

#endif
