/*
 * The one experiment of this host: its faults' states, its lease, and what happens when time passes. Knows
 * nothing of sockets, processes or signals: the clock, the fault table and the undo log are handed in, so
 * that tests drive it with their own. Requests are answered in requests.c, prepare.c and orders.c.
 *
 * What always holds:
 * - REVERTED and FAILED are final. Nothing leads from REVERTING back.
 * - Ending is two steps. Clean: every fault, at once, with no allocation and nothing that blocks. Remove: one
 * fault at a time, whenever the event loop has nothing else to do; its DONE record comes last. What cannot be
 * removed is tried again by timer, with growing pauses, until it is gone.
 * - The kernel's deadline of a fault is never beyond its lease, nor beyond injection + duration.
 */
#ifndef SQ_INJECTOR_EXPERIMENT_H
#define SQ_INJECTOR_EXPERIMENT_H

#include "common/error.h"
#include "faults/fault.h"
#include "injector/ended.h"
#include "injector/policy.h"
#include "injector/undo_log.h"
#include "table/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the experiments stand on. Everything is borrowed and outlives them. */
struct sq_experiment_world {
    uint64_t (*now_boot_ns)(void *cookie);
    const struct sq_fault_ops *(*ops_by_kind)(enum sq_fault_kind kind);
    /* Can this host? As `able` in fault.h. */
    int (*able)(void *cookie, const struct sq_fault_order *order, struct sq_error *error);
    /* Undo whatever the log still holds of earlier experiments; 0 when nothing is left. */
    int (*recover)(void *cookie, struct sq_error *error);
    /* How many descriptors may faults still take? NULL: as many as they want. */
    uint64_t (*descriptors_left)(void);
    void *cookie;
    struct sq_undo_log *log;
    const struct sq_policy *policy;
    struct sq_id instance;
    pid_t front_pid;           /* may change; 0: none */
    uint32_t agent_port_count; /* TCP ports on which the front listens */
    uint16_t agent_ports[SQ_AGENT_PORTS_MAX];
    uid_t stressor_uid; /* the front's: what a process that a fault starts becomes */
    gid_t stressor_gid;
};

/* What could not be removed, and when that is tried again. */
struct sq_removal_retry {
    uint32_t failures;   /* in a row; each doubles the pause */
    uint64_t at_boot_ns; /* 0: nothing is to be tried again */
    uint32_t line_count; /* of the report before the first try: each says anew what is left */
    uint32_t lines_dropped;
    struct sq_error before; /* why the fault failed before that; SQ_OK: it did not */
};

struct sq_experiment_fault {
    struct sq_fault_order order;
    const struct sq_fault_ops *ops;
    void *state;
    struct sq_undo undo;
    struct sq_fault_env env;
    struct sq_undo_log *log;
    struct sq_fault_report report;
    bool is_being_prepared;      /* begun, but not all of it is there yet */
    uint64_t inject_at_boot_ns;  /* 0: no INJECT has come yet */
    uint64_t attend_at_boot_ns;  /* when it wants to be attended to; 0: not by itself */
    bool recorded;               /* its undo record is in the log and not DONE */
    bool removal_is_due;         /* clean, or could not be cleaned; remove is still to be called */
    uint64_t removal_at_boot_ns; /* not before, while nobody insists; 0: at once */
    uint64_t removal_by_boot_ns; /* then it is removed whether it has settled or not; 0: no hurry */
    struct sq_removal_retry retry;
};

struct sq_experiment {
    struct sq_id id; /* zero: none */
    char title[SQ_TITLE_MAX];
    char operator_name[SQ_NAME_MAX];
    struct sq_requester requester; /* who prepared it */
    struct sq_id token; /* of who prepared it; zero: by a controller of version 1, which knows none */
    uint64_t lease_boot_ns;
    uint64_t prepared_until_boot_ns; /* what is not injected by then is reverted */
    struct sq_protection protection; /* as the policy had it when this was prepared */
    uint32_t fault_count;
    struct sq_experiment_fault faults[SQ_FAULTS_MAX];
};

/* A PREPARE on its way: one fault is begun in each turn of the event loop, so that a halt is never far. */
struct sq_preparing {
    bool is_on;
    uint32_t next;           /* the fault that is begun next */
    uint64_t next_boot_ns;   /* when there is something to do */
    uint64_t until_boot_ns;  /* by then they have to be */
    struct sq_error outcome; /* of the last one that is over; SQ_OK: all of it is there */
};

/* Large: allocate it once, zeroed, before anything is served. */
struct sq_experiments {
    struct sq_experiment_world world;
    struct sq_preparing preparing; /* of `current` */
    struct sq_experiment *current; /* the last one stays here when it is over: its report is asked for */
    struct sq_experiment *draft;   /* where a PREPARE or PREVIEW is put together */
    struct sq_experiment storage[2];
    struct sq_ended ended; /* what is never prepared (again) */
    uint64_t
        draft_number; /* counts PREVIEWs and PREPAREs: what is looked at once for a request is told by it */
    bool awaits_room; /* a PREPARE waits until what was before is removed ... */
    struct sq_id waiting;      /* ... of this experiment */
    uint64_t recover_boot_ns;  /* when what an earlier life left is tried again */
    uint32_t recover_failures; /* in a row */
};

void sq_experiments_init(struct sq_experiments *experiments, const struct sq_experiment_world *world);

/*
 * Any verb but HELLO. The request has passed sq_request_check. True: *reply is filled whole. False: a PREPARE
 * that has begun; its answer is to be asked for after each tick.
 */
bool sq_experiments_handle(struct sq_experiments *experiments, const struct sq_request *request,
                           struct sq_reply *reply);

/* True when that PREPARE is over, however it went: *reply is filled whole. `request` is the same. */
bool sq_experiments_answer_prepare(struct sq_experiments *experiments, const struct sq_request *request,
                                   struct sq_reply *reply);

/* The reply's common fields: version, verb, instance, clock, and what is on this host. */
void sq_experiments_fill_reply(const struct sq_experiments *experiments, enum sq_verb verb,
                               struct sq_reply *reply);

/*
 * When sq_experiments_tick or a removal has something to do: leases, durations, injections at a time, a
 * PREPARE on its way, faults that want to be attended to. 0: never.
 */
uint64_t sq_experiments_next_boot_ns(const struct sq_experiments *experiments);
void sq_experiments_tick(struct sq_experiments *experiments);

/*
 * The policy was read again: revert what it does not allow any more, prepared or in; a PREPARE on its way has
 * failed. (judge.c)
 */
void sq_experiments_judge(struct sq_experiments *experiments);

/* Clean every fault that is not over; a PREPARE on its way has failed. */
void sq_experiments_end(struct sq_experiments *experiments, enum sq_end_reason reason);

/* --- removal.c --- */

/* Remove one fault that is due, the one made last first, whether it has settled or not. False: none is. */
bool sq_experiments_remove_next(struct sq_experiments *experiments);

/*
 * One step of removal that needs no waiting: a fault that has settled, or else one more try of what could not
 * be removed before, or of what an earlier life of the agent left. False: there was none.
 */
bool sq_experiments_remove_settled(struct sq_experiments *experiments);

/* There may be such a step now; there is something that was not tried yet. */
bool sq_experiments_removal_is_ready(const struct sq_experiments *experiments);
bool sq_experiments_removal_is_due(const struct sq_experiments *experiments);

/* Remove what is due by then at the latest, whether it has settled or not. */
void sq_experiments_hurry(struct sq_experiments *experiments, uint64_t by_boot_ns);

/* The log holds more than what the current experiment accounts for: of an earlier life of the agent. */
bool sq_experiments_has_leftovers(const struct sq_experiments *experiments);

/* True while a fault is PREPARED or INJECTED. */
bool sq_experiments_is_live(const struct sq_experiments *experiments);

/* True if a fault of the current experiment could not be undone. */
bool sq_experiments_is_unclean(const struct sq_experiments *experiments);

/* --- for requests.c, prepare.c and orders.c --- */

uint64_t sq_experiments_now(const struct sq_experiments *experiments); /* boot-time clock */

bool sq_experiment_is_live(const struct sq_experiment *experiment);

struct sq_undo_key sq_experiment_key(const struct sq_experiment_fault *fault);

/* Begin to prepare the faults of the current experiment, which has been previewed. (making.c) */
void sq_experiments_start_preparing(struct sq_experiments *experiments);

/* Go on with it: begin one more fault, or ask whether all are there. Nothing is left of one that failed. */
void sq_experiments_go_on_preparing(struct sq_experiments *experiments);

/* PREPARED to INJECTED, now. On failure the fault is ended. */
int sq_experiment_inject(struct sq_experiments *experiments, struct sq_experiment_fault *fault);

/* Look, and end the fault if it is not all there. */
int sq_experiment_insist_on(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                            struct sq_error *error);

/* Move an injected fault's deadline in the kernel to where lease and duration put it. On failure the fault is
 * ended. */
int sq_experiment_renew(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                        struct sq_error *error);

/* Revert a fault that the policy forbids by now; the report and the log say why. */
void sq_experiment_forbid(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                          const struct sq_error *error);

/* Make one fault clean. Harmless when it is already. */
void sq_experiment_clean(struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                         enum sq_end_reason reason);

/* Remove at once what could not be made clean. To be called when everything that can be clean is. */
void sq_experiments_remove_unclean(struct sq_experiments *experiments);

/* The same, and try again now what could not be removed before. */
void sq_experiments_insist(struct sq_experiments *experiments);

/* Undo what the log holds, when nothing is live: of an earlier life, and of the current experiment. Once;
 * waits for nothing. 0: nothing is left. */
int sq_experiments_recover(struct sq_experiments *experiments, struct sq_error *error);

/* When sq_experiments_remove_settled has something to do; 0: never. */
uint64_t sq_experiments_next_removal_boot_ns(const struct sq_experiments *experiments);

/* The earlier of two times of which 0 means never. */
uint64_t sq_sooner_boot_ns(uint64_t a_boot_ns, uint64_t b_boot_ns);

const char *sq_experiment_kind_name(const struct sq_experiment_fault *fault);

/*
 * Is it still there and in front? 0, and report.seen_boot_ns is now; or -1, and *error (SQ_VANISHED) says
 * what is missing and when all of it was seen last.
 */
int sq_experiment_look(const struct sq_experiments *experiments, struct sq_experiment_fault *fault,
                       struct sq_error *error);

/* Give the run-time state back. */
void sq_experiment_release(struct sq_experiment_fault *fault);

/* Release what an experiment that is over holds, and forget it. */
void sq_experiment_reset(struct sq_experiment *experiment);

/* Bring counters and notes of the faults that are in up to date. */
void sq_experiment_refresh(struct sq_experiment *experiment);

#endif
