/* Undoing what the undo log holds: at the agent's start, before a new experiment, and for `squalld
 * --recover`. */
#ifndef SQ_INJECTOR_RECOVER_H
#define SQ_INJECTOR_RECOVER_H

#include "common/error.h"
#include "faults/fault.h"
#include "injector/config.h"
#include "injector/undo_log.h"

#include <stdbool.h>

/*
 * Open the undo log of an agent, whose lock the caller holds, with what a log of an earlier version in `run`
 * and the durable one in `state` hold. `twin` is the durable one's place. Both are borrowed and closed
 * together.
 */
int sq_recover_open_log(const struct sq_agent_config *config, struct sq_undo_log *log,
                        struct sq_undo_log *twin, struct sq_undo_content *content, struct sq_error *error);

/* `run` and its own directory in it, for a log on disk that stands there after a boot. */
int sq_recover_make_directory(const struct sq_agent_config *config, struct sq_error *error);

/* Told once for every fault that was found: its report, and whether it is undone. */
typedef void sq_recovered(void *cookie, const struct sq_undo_live *live, const struct sq_fault_report *report,
                          bool undone);

/* How long those who serve nobody wait for what settles by itself. */
#define SQ_RECOVER_WAITS_NS (10 * SQ_NS_PER_SECOND)

/*
 * Make clean everything that is live in the log, as sq_recover_log begins by doing. For before privileges are
 * dropped: to switch off what another process holds that cannot die takes CAP_SYS_ADMIN. What cannot be made
 * clean is told by the recovery after it.
 */
void sq_recover_make_clean(const struct sq_undo_content *content,
                           const struct sq_fault_ops *(*ops_by_kind)(enum sq_fault_kind kind));

/*
 * Undo everything that is live in the log: clean all, then remove all, the newest first, each with its DONE
 * record. What has not settled (packets that are delayed, processes that die slowly) is waited for at most
 * `wait_ns`, all of it together, while the rest is removed; 0: nothing is waited for. Returns 0 when nothing
 * is left, which includes that nothing was there; SQ_UNCLEAN with the first reason otherwise: what is left
 * stays in the log. `told` may be NULL.
 */
int sq_recover_log(struct sq_undo_log *log, const struct sq_undo_content *content,
                   const struct sq_fault_ops *(*ops_by_kind)(enum sq_fault_kind kind), sq_recovered *told,
                   void *cookie, uint64_t wait_ns, struct sq_error *error);

/*
 * Make clean what the log in `run` holds, and print it, without the lock and while its holder may be alive,
 * but does nothing: nothing is removed and nothing written. SQ_UNCLEAN if a fault could not be made clean, or
 * the log not be read.
 */
int sq_recover_clean(const char *run, struct sq_error *error);

/* The same, printing what became of each. */
int sq_recover_print(struct sq_undo_log *log, const struct sq_undo_content *content, struct sq_error *error);

/*
 * Whether something in the log was made in another network namespace. To undo it there takes CAP_SYS_ADMIN,
 * so that it has to be done before privileges are dropped.
 */
bool sq_recover_is_elsewhere(const struct sq_undo_log *log, const struct sq_undo_content *content);

#endif
