/*
 * The steady-state hypothesis as a machine without clock and network: it says which probe is due when, takes
 * the measurements, and says what they mean. Times are the controller's boot-time nanoseconds, given by the
 * caller.
 *
 * A probe misses when its value is out of tolerance, or cannot be measured: no data is not good news. So
 * does while faults are in what was due and not begun, because whoever should have begun it stood still. A
 * measurement belongs to the moment at which it began, whenever it is answered.
 *
 *   before   One miss of any probe ends it. It holds when every probe was in tolerance from the beginning
 *            until hold_before later, measured at both ends.
 *   during   Judged per span: a step, later each phase of one. Each probe is measured right after a span
 *            begins, by its own clock, and once more in time to be answered before it ends. Misses within
 *            `settle` are not judged; a value in tolerance within settle and `lag` is no evidence. A row of
 *            abort_after_misses misses ends it, and so does one miss more in a span than max_misses allows of
 *            the measurements that it can still have. A span is closed when what began in it is answered:
 *            then every probe must have shown in it that it held. Too many misses mean that the system
 *            deviated if one of them was measured, else that nobody can tell.
 *   after    It holds as soon as the latest measurement of every probe, begun after the rollback, is in
 *            tolerance. Measured at least every second. What began within recover_within is waited for; then
 *            a measured miss among the latest means that it deviated; none, that it could not be measured.
 */
#ifndef SQ_MODEL_HYPOTHESIS_H
#define SQ_MODEL_HYPOTHESIS_H

#include "common/error.h"
#include "model/experiment.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_REASON_MAX      400
#define SQ_NOTE_MAX        240
#define SQ_EXPLANATION_MAX 640
#define SQ_FLIGHTS_MAX     16 /* measurements of one probe under way at once */

struct sq_measurement {
    uint32_t probe; /* its index in the hypothesis */
    uint64_t started_boot_ns;
    uint64_t ended_boot_ns;
    bool measured; /* there is a value, or a service was seen not to answer */
    bool within;   /* in tolerance; never when not measured */
    bool has_value;
    double value;               /* promql: the value; http: the status */
    uint64_t took_ns;           /* what the answer took by the probe's own measure; 0: there is none */
    char reason[SQ_REASON_MAX]; /* when it is a miss: why, for a person */
    char note[SQ_NOTE_MAX];     /* what was remarked beside a value and does not spoil it; "": nothing */
};

enum sq_hypothesis_phase { SQ_HYPOTHESIS_BEFORE, SQ_HYPOTHESIS_DURING, SQ_HYPOTHESIS_AFTER };
#define SQ_HYPOTHESIS_PHASES 3

enum sq_verdict {
    SQ_VERDICT_OPEN,        /* go on */
    SQ_VERDICT_HOLDS,       /* it held */
    SQ_VERDICT_BROKEN,      /* measured, and out of tolerance */
    SQ_VERDICT_UNMEASURABLE /* nobody can tell: it could not be measured, or was not */
};

/* What a measurement counts as. */
enum sq_judged {
    SQ_JUDGED_NOT,      /* it began when nothing was judged: between faults, or between phases */
    SQ_JUDGED_EVIDENCE, /* in tolerance */
    SQ_JUDGED_MISS,
    SQ_JUDGED_LAG,   /* in tolerance, too soon after an injection to say anything of it */
    SQ_JUDGED_SETTLE /* a miss while the system was given time to settle */
};

const char *sq_judged_name(enum sq_judged judged); /* "evidence", "miss", "within lag", ... */

/* What is judged by itself while faults are in. */
struct sq_span {
    const char *name; /* of the step; borrowed */
    uint64_t begin_boot_ns;
    uint64_t end_boot_ns;
    uint64_t in_boot_ns; /* by then the last of its faults was in: kept by the machine */
};

/* What is known of one probe in one span, or before, or after. */
struct sq_tally {
    uint32_t measured; /* how often, whatever came of it */
    uint32_t evidence;
    uint32_t misses;          /* that were judged */
    uint32_t misses_measured; /* of these: with a value, or a service seen not to answer */
    uint32_t too_soon;        /* in tolerance, within settle or lag */
    uint32_t settling;        /* misses within settle */
    uint64_t last_evidence_boot_ns;
    bool has_worst;
    struct sq_measurement worst; /* of those that were measured */
    bool closed;                 /* a span: nothing more can come */
    bool asked_first;            /* a span: measured right after it began */
    bool asked_last;             /* a span: measured once more before its end */
};

/* Misses in a row, as far as they are judged. */
struct sq_row {
    uint32_t misses;
    uint32_t misses_measured;
    uint64_t first_boot_ns;     /* start of the first of these */
    struct sq_measurement last; /* the latest miss, also when the row is over */
};

struct sq_probe_state {
    uint64_t next_boot_ns; /* its next beat; UINT64_MAX: none in this phase */
    uint64_t free_boot_ns; /* nothing hindered it any more from being measured again */
    uint32_t flight_count;
    uint64_t flights[SQ_FLIGHTS_MAX]; /* when what is under way began, in this order */
    uint32_t given_up;                /* measurements that were not waited for any longer */
    struct sq_row rows[SQ_HYPOTHESIS_PHASES];
    struct sq_measurement last; /* the latest by its start */
    enum sq_judged judged;      /* what the one taken last counted as */
    uint32_t total;
    uint32_t total_misses;
    struct sq_tally before;
    struct sq_tally after;
};

struct sq_watch {
    const struct sq_hypothesis *hypothesis; /* borrowed */
    enum sq_hypothesis_phase phase;
    uint64_t since_boot_ns;                          /* when it began */
    uint64_t began_boot_ns[SQ_HYPOTHESIS_PHASES];    /* when each began; 0: not yet */
    enum sq_verdict verdicts[SQ_HYPOTHESIS_PHASES];  /* of each phase */
    uint32_t deciding[SQ_HYPOTHESIS_PHASES];         /* the probe that decided, when BROKEN or UNMEASURABLE */
    uint64_t deciding_boot_ns[SQ_HYPOTHESIS_PHASES]; /* when what decided was known */
    char explanations[SQ_HYPOTHESIS_PHASES][SQ_EXPLANATION_MAX];
    struct sq_probe_state *probes; /* one per probe, owned */
    uint32_t span_count;
    struct sq_span *spans;    /* owned */
    struct sq_tally *tallies; /* span by span, one per probe; owned */
    uint64_t slack_ns;
    uint64_t beats_until_boot_ns; /* nothing is due any more in this phase */
    bool asked;                   /* somebody asks what is due, so what he does not begin is missed */
    /* Told of what was due in DURING, still undecided then, and not measured: a miss. NULL: nobody. */
    void (*missed)(void *cookie, const struct sq_measurement *missed);
    void *missed_cookie;
};

int sq_watch_init(struct sq_watch *watch, const struct sq_hypothesis *hypothesis, struct sq_error *error);
void sq_watch_free(struct sq_watch *watch); /* what it holds; an empty one is fine */

/* Begin BEFORE or AFTER: every probe is due now. What is under way goes on, and counts where it began. */
void sq_watch_begin(struct sq_watch *watch, enum sq_hypothesis_phase phase, uint64_t now_boot_ns);

/*
 * Begin DURING with the spans to be judged (copied; their names borrowed). Within `slack_ns` of its ends a
 * span's fault may be in or not (clocks): misses there count, evidence does not begin there.
 */
int sq_watch_begin_during(struct sq_watch *watch, const struct sq_span *spans, uint32_t count,
                          uint64_t slack_ns, uint64_t now_boot_ns, struct sq_error *error);

/*
 * A fault of a span came in at that moment, or later by as much as the clocks may be off. Where that is later
 * than was planned, what was measured before it shows nothing, and is measured again.
 */
void sq_watch_injected(struct sq_watch *watch, uint32_t span, uint64_t at_boot_ns);

/* Nothing more is measured in DURING: the run is being rolled back. What is under way still counts. */
void sq_watch_stop(struct sq_watch *watch, uint64_t now_boot_ns);

/* The next probe to measure at `now`; marks it as under way and sets its next time. False: none. */
bool sq_watch_due(struct sq_watch *watch, uint64_t now_boot_ns, uint32_t *probe);

/* When something is due next; UINT64_MAX: nothing. */
uint64_t sq_watch_next_boot_ns(const struct sq_watch *watch);

/*
 * Take a measurement; what it counts as is then in its probe's `judged`. Returns the verdict of the present
 * phase; that of DURING may still come in AFTER, by what began in a span: see `verdicts`.
 */
enum sq_verdict sq_watch_take(struct sq_watch *watch, const struct sq_measurement *measurement);

/* The same without a measurement: time went on. */
enum sq_verdict sq_watch_check(struct sq_watch *watch, uint64_t now_boot_ns);

/* In which phase it began: BEFORE for what is older than all. */
enum sq_hypothesis_phase sq_watch_phase_at(const struct sq_watch *watch, uint64_t boot_ns);

const struct sq_tally *sq_watch_tally(const struct sq_watch *watch, uint32_t span, uint32_t probe);

/* One sentence on what decided a phase, for the report; "" while nothing has. */
const char *sq_watch_explain(const struct sq_watch *watch, enum sq_hypothesis_phase phase);

#endif
