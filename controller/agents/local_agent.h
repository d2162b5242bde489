/*
 * `--local`: an agent on this machine for one run alone, in a private directory under /run, reached by its
 * Unix socket, under the host's own policy if it has one. Where it has none, what does not end by itself
 * (process.kill) is not allowed. Needs root.
 */
#ifndef SQ_AGENTS_LOCAL_AGENT_H
#define SQ_AGENTS_LOCAL_AGENT_H

#include "common/error.h"
#include "model/inventory.h"

struct sq_local_agent;

/*
 * Start squalld and wait until its socket is there. The agent ends with this process, whatever happens to it,
 * and undoes its faults then. Call from the thread that lives longest: the agent ends with that thread.
 */
int sq_local_agent_start(struct sq_local_agent **agent, struct sq_error *error);

/* Stop it (SIGTERM, then wait: it reverts what is there) and remove its directory. NULL is fine. */
void sq_local_agent_stop(struct sq_local_agent *agent);
void sq_local_agent_cleanup(struct sq_local_agent **agent);
#define sq_autolocal_agent __attribute__((cleanup(sq_local_agent_cleanup)))

/* One host, named as this machine, with the label local: "true". Owned by the agent. */
const struct sq_inventory *sq_local_agent_inventory(const struct sq_local_agent *agent);

/* What a person should know: which policy it runs under. */
const char *sq_local_agent_note(const struct sq_local_agent *agent);

#endif
