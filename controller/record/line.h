/*
 * What a run tells of itself as lines of its record: JSON objects, docs/run-record.md has them all. Pure but
 * for memory.
 */
#ifndef SQ_RECORD_LINE_H
#define SQ_RECORD_LINE_H

#include "events/event.h"

#include <jansson.h>

#define SQ_RECORD_FORMAT  "squall-run-record"
#define SQ_RECORD_VERSION 2 /* of the lines; the document that is made of them is version 1 */

/* What is known before any agent is asked: the first line. All is borrowed. */
struct sq_record_head {
    uint64_t began_boot_ns; /* the two at one moment: all times follow from them */
    uint64_t began_real_ns;
    struct sq_id id;
    const char *operator_name;
    const char *prometheus_url;  /* NULL or empty: none */
    const char *experiment_path; /* as it was named */
    const char *experiment_text; /* NULL: not known */
    const char *plan_sha256;     /* NULL: no plan file was run */
    const struct sq_plan *plan;  /* lives as long as the record: hosts are named from it */
};

/* Times of a record: RFC 3339 in UTC for a moment of the controller's boot-time clock. */
void sq_record_time_format(const struct sq_record_head *head, uint64_t boot_ns, char text[SQ_TIMESTAMP_MAX]);

/* The functions below call `take` with each line, which is borrowed; *lost is set when memory ran out. */
typedef void sq_take_line(void *cookie, const json_t *line);

struct sq_line_maker {
    const struct sq_record_head *head;
    sq_take_line *take;
    void *cookie;
    bool lost;
};

void sq_line_head(struct sq_line_maker *maker);

/* One line for most events, one per host and one more for the first and the last, none for some. */
void sq_line_event(struct sq_line_maker *maker, const struct sq_run_event *event);

/* The last line of a run that ended before it began: refused in the preview, not confirmed. */
void sq_line_ended_early(struct sq_line_maker *maker, uint64_t boot_ns, enum sq_exit ending, const char *why);

#endif
