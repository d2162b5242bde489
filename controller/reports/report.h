/*
 * A run as its record tells it: as text for people, to be pasted into a post-mortem, and as one JSON
 * document. The end of `squall run` and `squall report RUN` are this same code.
 */
#ifndef SQ_REPORTS_REPORT_H
#define SQ_REPORTS_REPORT_H

#include "common/error.h"
#include "record/reader.h"
#include "record/summary.h"

#include <stdio.h>

/* The escape sequences around words; all of them "" for plain text. */
struct sq_report_style {
    const char *good;
    const char *bad;
    const char *warning;
    const char *faint;
    const char *end;
};

/* What a report is about, all borrowed. */
struct sq_report {
    const struct sq_summary *summary;
    const char *record_path; /* where the record is */
    const char *not_whole;   /* why something is missing there; NULL: nothing is */
};

/* Times are those of this machine's zone, which is named. A write error stays in the stream. */
void sq_report_text(const struct sq_report *report, const struct sq_report_style *style, FILE *stream);

/*
 * The document of docs/run-record.md. The events are read from `reader` as they are written; NULL leaves them
 * out. -1: out of memory, or the record could not be read to its end; a write error stays in the stream.
 */
int sq_report_json(const struct sq_report *report, struct sq_record_reader *reader, FILE *stream,
                   struct sq_error *error);

#endif
