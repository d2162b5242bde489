/*
 * What a run tells of itself, as it happens: the words between the engine and whoever watches it (the record,
 * the screen, later webhooks). The engine prints and records nothing.
 *
 * Observers are called after the orders of a turn have left, one event after the other, in the order in which
 * they happened. What an event points to is borrowed for the call. An observer must not block and never calls
 * back; if it fails it keeps that to itself until it is asked at the end: it can change neither the ending
 * nor the rollback.
 */
#ifndef SQ_EVENTS_EVENT_H
#define SQ_EVENTS_EVENT_H

#include "common/error.h"
#include "common/id.h"
#include "model/ending.h"
#include "model/experiment.h"
#include "model/hypothesis.h"
#include "model/plan.h"
#include "table/message.h"

#include <stdbool.h>
#include <stdint.h>

enum sq_run_phase {
    SQ_PHASE_HELLO,   /* who is there, what is their time */
    SQ_PHASE_PREPARE, /* everywhere, or nowhere */
    SQ_PHASE_STEADY,  /* the hypothesis before */
    SQ_PHASE_WATCH,   /* faults are in */
    SQ_PHASE_REVERT,
    SQ_PHASE_RECOVER, /* the hypothesis after */
    SQ_PHASE_DONE
};

const char *sq_run_phase_name(enum sq_run_phase phase); /* for people: "faults are in" */
const char *sq_run_phase_word(enum sq_run_phase phase); /* for records: "watch" */

enum sq_run_event_kind {
    SQ_EVENT_BEGIN,    /* first of all: what is run */
    SQ_EVENT_PHASE,    /* a phase begins */
    SQ_EVENT_REQUEST,  /* an order or a question leaves for an agent; renewals are left out */
    SQ_EVENT_ANSWER,   /* its answer, or that there was none; of renewals only what is no success */
    SQ_EVENT_FAULT,    /* a fault has come to another state, as its agent says */
    SQ_EVENT_COUNTERS, /* of.fault: the same state, but its agent was heard again: counters may have moved */
    SQ_EVENT_MEASUREMENT, /* a probe was measured */
    SQ_EVENT_DECISION,    /* what was decided, and why: an ending's name, "asked-to-stop", "recovered", ... */
    SQ_EVENT_HOST,  /* a host is "clean", "removed", "left", "unconfirmed", "silent", "back" (no more) */
    SQ_EVENT_NOTE,  /* a line for people that is nothing of the above */
    SQ_EVENT_ENDING /* last of all: what came of it */
};

struct sq_run_begin {
    const struct sq_plan *plan; /* with its experiment and inventory */
    struct sq_id id;
    const char *operator_name;
    const char *prometheus_url; /* NULL or empty: none */
    uint64_t real_ns; /* the wall clock at the event's boot_ns: all wall-clock times follow from it */
};

struct sq_run_request_sent {
    uint32_t host; /* index in the plan, here and below */
    enum sq_verb verb;
    uint32_t number;      /* of the request, in its run */
    uint32_t fault_mask;  /* INJECT: bit i for the host's fault i */
    uint64_t for_boot_ns; /* INJECT: the common moment, by our clock; 0: none */
};

struct sq_run_answered {
    uint32_t host;
    enum sq_verb verb;
    uint32_t number;
    uint64_t took_ns;
    enum sq_code code;
    const char *message; /* "" if there is none */
    /* Of an answered HELLO, else NULL. */
    const struct sq_id *instance;
    const char *agent_version;
    const char *kernel;
};

struct sq_run_fault {
    uint32_t host;
    uint32_t fault; /* its index on the host */
    const struct sq_step *step;
    enum sq_fault_state state;
    enum sq_end_reason reason; /* SQ_END_NONE: it has not ended */
    const char *message;       /* "" if there is none */
    const struct sq_fault_report
        *report;               /* the agent's latest, which may be newer; its times by its own clock */
    uint64_t since_boot_ns;    /* when it came to this state, by our clock; 0: unknown */
    uint64_t injected_boot_ns; /* by our clock; 0: never */
};

struct sq_run_measured {
    const struct sq_probe *probe;
    const struct sq_measurement *measurement;
    enum sq_run_phase phase; /* in which it began */
    uint32_t misses_in_a_row;
    bool deciding;      /* it ended the run */
    const char *judged; /* what it counts as: sq_judged_name */
};

/* One fault of one host as it was last known, its times by our clock. */
struct sq_run_last_fault {
    const struct sq_step *step;
    const struct sq_fault_report *report; /* NULL: no agent ever said anything of it */
    uint64_t prepared_boot_ns;
    uint64_t injected_boot_ns;
    uint64_t clean_boot_ns;
    uint64_t removed_boot_ns;
    uint64_t seen_boot_ns;
};

struct sq_run_last_host {
    uint32_t host;
    uint64_t round_trip_ns;
    int64_t wall_offset_ns; /* the host's wall clock minus ours */
    bool ordered;           /* a PREPARE went out */
    bool unclean;
    bool forgotten;         /* its agent was restarted, and undid what its log held before it answered */
    bool unconfirmed;       /* the lease was waited out in vain */
    uint64_t clean_boot_ns; /* 0: not confirmed */
    uint64_t removed_boot_ns;
    const char *problem; /* "" if there is none */
    uint32_t fault_count;
    const struct sq_run_last_fault *faults;
};

struct sq_run_ended {
    enum sq_exit ending;
    const char *why;               /* the sentence after the ending's name */
    const char *had_ended_because; /* unclean: what ended it before that was seen; else "" */
    bool verified;                 /* a hypothesis was judged while faults were in */
    const struct sq_watch *watch;  /* NULL: none; sq_watch_tally says of each step and probe what was seen */
    bool recovery_checked;
    bool recovered;
    const char *not_recovered_because; /* "" if there is nothing to say */
    uint32_t host_count;
    const struct sq_run_last_host *hosts;
};

struct sq_run_event {
    enum sq_run_event_kind kind;
    uint64_t boot_ns; /* when, by the controller's boot-time clock */
    union {
        struct sq_run_begin begin;
        struct {
            enum sq_run_phase phase;
            uint64_t inject_boot_ns; /* WATCH: the common moment */
            uint64_t until_boot_ns;  /* when it ends if nothing else ends it; 0: unknown */
        } phase;
        struct sq_run_request_sent request;
        struct sq_run_answered answer;
        struct sq_run_fault fault;
        struct sq_run_measured measurement;
        struct {
            const char *what;
            const char *text;
        } decision;
        struct {
            uint32_t host;
            const char *what;
            uint64_t since_boot_ns;
            const char *problem; /* "" if there is none */
        } host;
        const char *note;
        struct sq_run_ended ending;
    } of;
};

struct sq_observer {
    void (*see)(void *cookie, const struct sq_run_event *event);
    void *cookie;
};

#endif
