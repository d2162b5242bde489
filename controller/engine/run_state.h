/* What the parts of a run share; for run*.c alone. From the ground up: each file calls only those before it.
 */
#ifndef SQ_ENGINE_RUN_STATE_H
#define SQ_ENGINE_RUN_STATE_H

#include "agents/agent_clock.h"
#include "common/clock.h"
#include "engine/run.h"
#include "events/event.h"
#include "loop/loop.h"
#include "model/company.h"
#include "model/hypothesis.h"
#include "probes/http.h"

#include <stddef.h>
#include <string.h>

#define SQ_RUN_TEXT_MAX 640

/* One fault's order to inject. */
struct sq_run_injection {
    uint32_t tries;
    uint64_t again_boot_ns; /* when it is given again; UINT64_MAX: it need not be */
};

struct sq_run_host {
    const struct sq_plan_host *plan;
    const char *name;
    uint32_t index; /* in the inventory: what the client calls it */
    struct sq_id instance;
    struct sq_id token; /* ours alone: what its agent asks for with every order; zero before the PREPARE */
    struct sq_agent_clock clock;
    int64_t wall_offset_ns; /* the agent's wall clock minus ours */
    char agent_version[SQ_NAME_MAX];
    char kernel[SQ_NAME_MAX];
    bool met;      /* has answered a first HELLO */
    bool answered; /* HELLO or PREPARE, whatever this phase waits for */
    struct sq_error problem;
    bool ordered;  /* a PREPARE went out: from now on it takes a proof that it is clean */
    bool prepared; /* and was accepted */
    struct sq_run_injection injections[SQ_FAULTS_MAX];
    uint64_t renewed_boot_ns; /* when the last renewal that was answered had been sent */
    uint64_t next_renew_boot_ns;
    uint64_t lease_end_boot_ns; /* by then its lease is over, whatever was lost on the way */
    bool silent;                /* the last renewal was not answered */
    bool finished;              /* every fault is over by its own time, and removed */
    bool revert_under_way;
    bool status_under_way;
    uint64_t next_try_boot_ns;
    bool clean; /* confirmed by the agent */
    uint64_t clean_boot_ns;
    bool removed;
    uint64_t removed_boot_ns;
    bool left;        /* the agent could not undo all of it, and says so */
    bool unconfirmed; /* the lease was waited out in vain */
    bool forgotten;   /* the agent knows nothing of it: it was restarted, and cleaned up before it answered */
    uint32_t report_count;
    struct sq_fault_report *reports; /* the latest, one per fault; SQ_FAULTS_MAX of them, owned */
};

/* One event that waits for the orders of its turn to have left. */
struct sq_run_queued {
    struct sq_run_event event;
    void *owned; /* what it points to and the run does not hold; NULL: nothing */
};

struct sq_run_queue {
    struct sq_run_queued *entries;
    size_t count;
    size_t size;
    uint32_t lost; /* for want of memory */
};

struct sq_run {
    struct sq_run_options options;
    const struct sq_experiment *experiment;
    const struct sq_hypothesis *hypothesis; /* NULL: none */
    struct sq_names *names;
    struct sq_http *http;
    enum sq_run_phase phase;
    uint64_t phase_boot_ns;
    uint64_t began_boot_ns;
    uint64_t real_minus_boot_ns; /* the wall clock, taken once */
    uint64_t turned_boot_ns;     /* when the last turn ended */
    uint32_t host_count;
    struct sq_run_host *hosts;
    uint32_t *host_of; /* by index in the inventory; UINT32_MAX: none of ours */
    uint32_t sequence; /* makes tags unique */

    bool ended;   /* the ending is decided */
    bool settled; /* and final */
    enum sq_exit ending;
    char *why; /* owned */

    struct sq_company company; /* of others; its `hosts` are NULL: not asked for */
    uint32_t company_awaited;  /* so many hosts have not answered yet */

    struct sq_watch watch;
    bool before_held;
    bool after_checked;
    bool after_held;
    const char *after_why; /* the watch's; "": nothing to say */

    uint64_t inject_boot_ns; /* the common moment; 0: never */
    uint64_t rollback_boot_ns;

    struct sq_run_queue queue;
    struct sq_run_last_host *last_hosts;   /* for the last event of all */
    struct sq_run_last_fault *last_faults; /* SQ_FAULTS_MAX for each host */
    struct sq_loop_source *sources[4];     /* descriptors that are watched */
    uint32_t source_count;

    struct sq_request request; /* scratch: too large for the stack */
    struct sq_answer answer;
};

/* The clock of the run's loop. */
static inline uint64_t sq_run_now(const struct sq_run *run)
{
    return sq_loop_now_boot_ns(run->options.loop);
}

/* What a request's answer is known by: its verb, its number, and for INJECT the fault. */
static inline uint64_t sq_run_tag(enum sq_verb verb, uint32_t number, uint32_t fault)
{
    return (uint64_t)verb | (uint64_t)number << 8 | (uint64_t)fault << 40;
}

static inline enum sq_verb sq_run_tag_verb(uint64_t tag)
{
    return (enum sq_verb)(tag & 0xff);
}

static inline uint32_t sq_run_tag_number(uint64_t tag)
{
    return (uint32_t)(tag >> 8 & UINT32_MAX);
}

static inline uint32_t sq_run_tag_fault(uint64_t tag)
{
    return (uint32_t)(tag >> 40);
}

/* When a step starts and ends, if nothing ends it earlier; once the common moment is planned. */
static inline uint64_t sq_run_step_start_boot_ns(const struct sq_run *run, uint32_t step)
{
    return sq_ns_add(run->inject_boot_ns, sq_experiment_step_start_ns(run->experiment, step));
}

static inline uint64_t sq_run_step_end_boot_ns(const struct sq_run *run, uint32_t step)
{
    return sq_ns_add(run->inject_boot_ns, sq_experiment_step_end_ns(run->experiment, step));
}

/* run_state.c: what can be asked of it */
const struct sq_step *sq_run_step_of(const struct sq_run *run, const struct sq_run_host *host,
                                     uint32_t fault);
const struct sq_fault_report *sq_run_report_of(const struct sq_run_host *host,
                                               uint32_t fault); /* NULL: none yet */
/* Just after the next moment at which one of the host's faults starts or ends. */
uint64_t sq_run_next_look_boot_ns(const struct sq_run *run, const struct sq_run_host *host,
                                  uint64_t now_boot_ns);
bool sq_run_host_is_unclean(const struct sq_run *run, const struct sq_run_host *host);
bool sq_run_expects(const struct sq_run *run);        /* any step anything? */
bool sq_run_watch_verified(const struct sq_run *run); /* was it judged while faults were in? */
const char *sq_run_why(const struct sq_run *run);     /* of an ending that was noted */

/* run_events.c: what is told to the observers, and when */
bool sq_run_events_open(struct sq_run *run);
void sq_run_events_close(struct sq_run *run);
void sq_run_hand_over(struct sq_run *run); /* after the orders of a turn left */
void sq_run_tell_begin(struct sq_run *run);
void sq_run_enter(struct sq_run *run, enum sq_run_phase phase); /* the phase begins, and is told */
void sq_run_tell_request(struct sq_run *run, const struct sq_run_host *host, uint32_t number);
void sq_run_tell_answer(struct sq_run *run, const struct sq_run_host *host, const struct sq_answer *answer);
void sq_run_tell_fault(struct sq_run *run, const struct sq_run_host *host,
                       const struct sq_fault_report *report, bool changed);
void sq_run_tell_measurement(struct sq_run *run, const struct sq_run_measured *told);
void sq_run_tell_decision(struct sq_run *run, const char *what, const char *text);
void sq_run_tell_host(struct sq_run *run, const struct sq_run_host *host, const char *what,
                      uint64_t since_boot_ns, const char *problem);
void sq_run_tell_note(struct sq_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sq_run_tell_ending(struct sq_run *run, const char *why);

/* run_revert.c */
void sq_run_revert(struct sq_run *run, uint64_t now_boot_ns); /* to everybody who may have something, now */
void sq_run_revert_due(struct sq_run *run, uint64_t now_boot_ns);
bool sq_run_is_rolled_back(struct sq_run *run, uint64_t now_boot_ns);
void sq_run_take_revert(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer);
void sq_run_take_status(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer);
uint64_t sq_run_revert_next_boot_ns(const struct sq_run *run);

/*
 * run_ending.c. Anything may note an ending: the first one stands, but for COMPLETED, in whose place may come
 * what turns out to be worse until all is over. Noting does nothing else; whoever took something in (an
 * answer, a measurement, a signal, the time) follows it before he takes in the next thing, and that starts
 * the rollback.
 */
void sq_run_note_ending(struct sq_run *run, enum sq_exit ending, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sq_run_follow_ending(struct sq_run *run);
void sq_run_wake(struct sq_run *run); /* what comes first whenever the run is woken */

/* run_requests.c: the scratch request, begun; valid until the next one is. Then it is sent; `fault` goes into
 * its tag. */
struct sq_request *sq_run_begin_request(struct sq_run *run, const struct sq_run_host *host,
                                        enum sq_verb verb);
void sq_run_send_request(struct sq_run *run, struct sq_run_host *host, uint32_t fault, uint64_t timeout_ns);

/* run_watch.c */
void sq_run_watch_begin(struct sq_run *run, enum sq_hypothesis_phase phase, uint64_t now_boot_ns);
int sq_run_watch_begin_during(struct sq_run *run, uint64_t now_boot_ns, struct sq_error *error);
void sq_run_watch_injected(struct sq_run *run, const struct sq_run_host *host,
                           const struct sq_fault_report *report); /* a fault is in, as its agent says */
void sq_run_watch_due(struct sq_run *run, uint64_t now_boot_ns);
/* Is nothing waited for any more that began while faults were in? */
bool sq_run_watch_is_judged(const struct sq_run *run);

/* run_reports.c */
void sq_run_note_reports(struct sq_run *run, struct sq_run_host *host, const struct sq_reply *reply);
void sq_run_judge_reports(struct sq_run *run, const struct sq_run_host *host);

/* run_expect.c: of one host, from its latest reports; `now_boot_ns` by its agent's clock, when they were made
 */
void sq_run_judge_expectations(struct sq_run *run, const struct sq_run_host *host, uint64_t now_boot_ns);

/* run_settle.c */
void sq_run_settle(struct sq_run *run);

/* run_inject.c */
void sq_run_plan_injection(struct sq_run *run, uint64_t now_boot_ns);
void sq_run_inject_due(struct sq_run *run, uint64_t now_boot_ns);
uint64_t sq_run_inject_next_boot_ns(const struct sq_run *run);
void sq_run_take_inject(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer);

/* run_company.c: nothing is injected while `company_awaited` is not 0 */
void sq_run_ask_company(struct sq_run *run);
void sq_run_take_company(struct sq_run *run, const struct sq_answer *answer);

/* run_agents.c */
void sq_run_say_hello(struct sq_run *run);
void sq_run_prepare(struct sq_run *run);
void sq_run_renew_due(struct sq_run *run, uint64_t now_boot_ns);
void sq_run_check_leases(struct sq_run *run, uint64_t now_boot_ns);
void sq_run_take_answers(struct sq_run *run);
uint64_t sq_run_agents_next_boot_ns(const struct sq_run *run);

/* run_phases.c */
void sq_run_advance(struct sq_run *run, uint64_t now_boot_ns);
uint64_t sq_run_method_end_boot_ns(const struct sq_run *run);

#endif
