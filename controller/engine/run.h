/*
 * One run of an experiment: prepare everywhere, verify the steady state, inject at a common moment, watch,
 * roll back, verify, in one thread on the event loop. It tells observers what happens, and neither prints nor
 * records. docs/running.md tells it for people.
 *
 * From the first PREPARE on there is one way out of sq_run_execute, and it leads through the rollback.
 */
#ifndef SQ_ENGINE_RUN_H
#define SQ_ENGINE_RUN_H

#include "agents/client.h"
#include "common/error.h"
#include "common/id.h"
#include "events/event.h"
#include "loop/loop.h"
#include "model/access.h"
#include "model/ending.h"
#include "model/plan.h"

#include <stdbool.h>

struct sq_run;

/* Everything is borrowed for the life of the run. */
struct sq_run_options {
    const struct sq_plan *plan; /* with its experiment and inventory */
    struct sq_client *client;
    struct sq_prometheus prometheus; /* its access is loaded; no URL: there is none */
    struct sq_loop *loop;
    const struct sq_observer *observers; /* observer_count of them */
    uint32_t observer_count;
    struct sq_id id; /* of the experiment, new */
    const char *operator_name;
    int signal_fd; /* a signalfd with the signals of sq_run_block_signals */
};

/*
 * Block every signal that would end or stop the process, in this thread and those it starts later, and make a
 * signalfd for those that mean something. SIGPIPE is ignored. Call before nng starts its threads.
 */
int sq_run_block_signals(int *signal_fd, struct sq_error *error);

/* Takes one signal that waits on `signal_fd`; false: none does. `name` is "INT", or NULL if it has none. */
bool sq_run_is_interrupted(int signal_fd, const char **name);

int sq_run_new(const struct sq_run_options *options, struct sq_run **run, struct sq_error *error);
void sq_run_free(struct sq_run *run); /* NULL is fine */

/* Run it to its end, whatever that is. */
enum sq_exit sq_run_execute(struct sq_run *run);

/*
 * Somebody or something asks for the end: `what` ("SIGINT", "the loss of the terminal") stopped it. For calls
 * of the loop. A rollback that is under way cannot be skipped; after the end nothing happens.
 */
void sq_run_stop(struct sq_run *run, const char *what);

#endif
