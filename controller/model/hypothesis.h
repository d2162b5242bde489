/*
 * The steady-state hypothesis as a machine without clock and network: it says which probe is due when, takes
 * the measurements, and says what they mean. Times are the controller's boot-time nanoseconds, given by the
 * caller.
 *
 * A probe misses when its value is out of tolerance, or cannot be measured: no data is not good news. A
 * measurement is dated by its start. Every probe has its own clock, `every`, whatever the others do.
 *
 *   before   one miss of any probe ends it. It holds when every probe was in tolerance from the beginning
 * until hold_before later, measured at both ends. during   a probe's `abort_after_misses` misses in a row end
 * it. The last of these decides what it means: was it measured, the system deviated; was it not, we cannot
 * tell, and the run failed. A value in tolerance starts the count anew. after    it holds as soon as the
 * latest measurement of every probe, begun after the phase, is in tolerance. When recover_within is over and
 * it does not, a measured miss among the latest means that it deviated; none, that it could not be measured.
 */
#ifndef SQ_MODEL_HYPOTHESIS_H
#define SQ_MODEL_HYPOTHESIS_H

#include "common/error.h"
#include "model/experiment.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_REASON_MAX 400
#define SQ_NOTE_MAX   240

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

enum sq_verdict {
    SQ_VERDICT_OPEN,        /* go on */
    SQ_VERDICT_HOLDS,       /* before and after: it held; during: never */
    SQ_VERDICT_BROKEN,      /* measured, and out of tolerance */
    SQ_VERDICT_UNMEASURABLE /* could not be measured */
};

struct sq_probe_state {
    uint64_t next_boot_ns; /* when it is due; UINT64_MAX: no more in this phase */
    bool under_way;
    uint32_t misses;               /* in a row, this phase */
    uint64_t first_missed_boot_ns; /* start of the first of these */
    uint64_t last_missed_boot_ns;
    bool measured_once; /* in this phase, measured or not */
    struct sq_measurement last;
    uint32_t total;
    uint32_t total_misses;
};

struct sq_watch {
    const struct sq_hypothesis *hypothesis; /* borrowed */
    enum sq_hypothesis_phase phase;
    uint64_t since_boot_ns;
    enum sq_verdict verdict;
    uint32_t deciding;             /* the probe that decided, when the verdict is BROKEN or UNMEASURABLE */
    struct sq_probe_state *probes; /* one per probe, owned */
};

int sq_watch_init(struct sq_watch *watch, const struct sq_hypothesis *hypothesis, struct sq_error *error);
void sq_watch_free(struct sq_watch *watch); /* what it holds; an empty one is fine */

/*
 * Begin a phase: every probe is due now in BEFORE and AFTER. In DURING each keeps its own clock from BEFORE.
 * Results of measurements that began earlier than `now` are taken as values to show, but count for nothing.
 */
void sq_watch_begin(struct sq_watch *watch, enum sq_hypothesis_phase phase, uint64_t now_boot_ns);

/* The next probe to measure at `now`; marks it as under way and sets its next time. False: none. */
bool sq_watch_due(struct sq_watch *watch, uint64_t now_boot_ns, uint32_t *probe);

/* When something is due next; UINT64_MAX: nothing. */
uint64_t sq_watch_next_boot_ns(const struct sq_watch *watch);

/* Take a measurement, and say what is known now. */
enum sq_verdict sq_watch_take(struct sq_watch *watch, const struct sq_measurement *measurement);

/* The same without a measurement: time went on. */
enum sq_verdict sq_watch_check(struct sq_watch *watch, uint64_t now_boot_ns);

/* One sentence on the deciding probe, for the report. */
void sq_watch_explain(const struct sq_watch *watch, char *text, size_t size);

#endif
