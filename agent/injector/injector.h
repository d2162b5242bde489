/*
 * The privileged half of the agent: one thread, one poll loop, no nng, no protobuf, nothing from afar that
 * the front has not decoded. It decides (permits, policy, leases), records (undo log) and calls the fault
 * table.
 */
#ifndef SQ_INJECTOR_INJECTOR_H
#define SQ_INJECTOR_INJECTOR_H

#include "common/error.h"
#include "injector/config.h"

struct sq_injector_options {
    const struct sq_agent_config *config;
};

/*
 * squalld --config FILE: recover what the log holds, then serve until SIGTERM or SIGINT; everything is
 * reverted before it returns. 0, or -1 with what went wrong.
 */
int sq_injector_run(const struct sq_injector_options *options, struct sq_error *error);

/* squalld --recover: undo what the log holds; refuses while an agent is alive. SQ_UNCLEAN if something is
 * left. */
int sq_injector_recover(const struct sq_agent_config *config, struct sq_error *error);

/*
 * squalld --recover --sweep: undo what the log holds if it can be read, then find by squall's marks, without
 * it, what else is here, and remove it; a log that could not be read is then thrown away. SQ_UNCLEAN if
 * something is left.
 */
int sq_injector_sweep(const struct sq_agent_config *config, struct sq_error *error);

/*
 * squalld --halt: end everything on this host now, through the agent if one is alive, else as --recover does.
 * Prints what was ended. SQ_UNCLEAN if something is left.
 */
int sq_injector_halt(const struct sq_agent_config *config, struct sq_error *error);

/* squalld --check: print what this host can do and why not (text, or JSON). */
int sq_injector_check(const struct sq_agent_config *config, bool json, struct sq_error *error);

#endif
