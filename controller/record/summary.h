/*
 * What a run came to, gathered line by line from its record, or from the lines on their way there: reports
 * are made of this alone, so that the end of a run and `squall report` are the same, whatever the disk did.
 * Memory is bounded: it grows with hosts, faults and probes, not with measurements.
 */
#ifndef SQ_RECORD_SUMMARY_H
#define SQ_RECORD_SUMMARY_H

#include "common/error.h"
#include "events/event.h"
#include "model/tolerance.h"
#include "record/reader.h"

#include <jansson.h>

#define SQ_SUMMARY_BYTES_MAX (64u << 20) /* of lines that are kept: head, plan, results */

enum sq_moment {
    SQ_MOMENT_INJECTED,
    SQ_MOMENT_FIRST_MISSED,
    SQ_MOMENT_LAST_ALLOWED_MISS,
    SQ_MOMENT_ROLLBACK,
    SQ_MOMENT_CLEAN,
    SQ_MOMENT_REMOVED,
    SQ_MOMENT_RECOVERED,
    SQ_MOMENTS
};

const char *sq_moment_key(enum sq_moment moment); /* "last_allowed_miss" */

/* A probe in one phase. */
struct sq_probe_count {
    uint64_t samples;
    uint64_t misses;     /* of the samples; those that were not judged among them */
    uint64_t unjudged;   /* misses that were reported and not judged: while it settled, or too late */
    uint64_t unmeasured; /* misses that could not be measured */
};

enum sq_probe_time { SQ_PROBE_BEFORE, SQ_PROBE_DURING, SQ_PROBE_AFTER, SQ_PROBE_TIMES };

struct sq_probe_worst {
    bool known;
    double badness; /* the larger, the worse */
    bool within;
    bool has_value;
    double value;
    double took_s;
    uint64_t real_ns;
    char reason[SQ_REASON_MAX];
};

struct sq_probe_summary {
    const json_t *form; /* the head's entry, borrowed */
    const char *name;
    bool by_value; /* the worst is told by value and tolerance, else by how long it took */
    struct sq_tolerance tolerance;
    struct sq_probe_count counts[SQ_PROBE_TIMES];
    struct sq_probe_worst worst; /* while faults were in */
};

struct sq_summary {
    json_t *head;   /* NULL: none came */
    json_t *plan;   /* by host name: name, agent, faults */
    json_t *hosts;  /* by name: what is known of each last; the keys are those of docs/run-record.md */
    json_t *ending; /* the last line; NULL: none came */
    uint64_t began_real_ns;
    uint64_t last_real_ns;        /* of the latest line */
    bool injection_ordered;       /* an INJECT went out */
    char phase[16];               /* the last that began; "": none */
    uint64_t moments[SQ_MOMENTS]; /* wall clock; 0: never. CLEAN, REMOVED, INJECTED: see sq_summary_moment */
    char first_missed[SQ_TITLE_MAX]; /* of which probe */
    uint32_t probe_count;
    struct sq_probe_summary *probes;
    size_t kept;                  /* bytes */
    bool cut;                     /* more would have had to be kept */
    bool lost;                    /* memory ran out */
    struct sq_record_state state; /* of the file it was read from; version 0: of none */
};

struct sq_summary *sq_summary_new(void); /* NULL: out of memory */
void sq_summary_free(struct sq_summary *summary);

/* Take one line (a JSON object, borrowed) of about `length` bytes. What it does not know it passes over. */
void sq_summary_take(struct sq_summary *summary, const json_t *line, size_t length);

/* All of a record. */
int sq_summary_read(struct sq_record_reader *reader, struct sq_summary **summary, struct sq_error *error);

/* When it came to that, by the wall clock; 0: never, or not known. */
uint64_t sq_summary_moment(const struct sq_summary *summary, enum sq_moment moment);

/* The exit status of its ending; -1: it has none. */
int sq_summary_exit_status(const struct sq_summary *summary);

/* A time of one of the JSON objects; 0: none. */
uint64_t sq_summary_time(const json_t *object, const char *key);

#endif
