/*
 * The run record, run.jsonl (docs/run-record.md): one JSON object a line, appended as things happen, by an
 * observer of the run. A killed controller leaves what was known; a slow or full disk delays nothing. The
 * same lines feed the summary that the report is made of.
 */
#ifndef SQ_RECORD_RECORD_H
#define SQ_RECORD_RECORD_H

#include "common/error.h"
#include "events/event.h"
#include "record/line.h"
#include "record/summary.h"

struct sq_record;

/*
 * Begin a record in `path` with its first line, which is on the disk when this returns, so that a place that
 * cannot be written is known before anything is injected. `path` is taken as common/output.h says: a record
 * of an earlier run is replaced, anything else is not. What `head` points to is borrowed until
 * sq_record_close.
 */
int sq_record_open(const struct sq_record_head *head, const char *path, struct sq_record **record,
                   struct sq_error *error);
void sq_record_close(struct sq_record *record); /* NULL is fine; finishes what was not finished */

/* Sees every event of the run. Never waits, but at the very end for a queue that is full. */
struct sq_observer sq_record_observer(struct sq_record *record);

/* Wait until all that was seen so far is written, or lost; false: not within `most_ns`. */
bool sq_record_wait(struct sq_record *record, uint64_t most_ns);

/* Instead of the run: it ended before it began. */
void sq_record_end_early(struct sq_record *record, enum sq_exit ending, const char *why);

/*
 * Wait until all is on the disk, and close the file. -1 and why: the record is not whole, and is not to be
 * called one. May be called again for the same answer.
 */
int sq_record_finish(struct sq_record *record, struct sq_error *error);

const struct sq_summary *sq_record_summary(const struct sq_record *record); /* borrowed */

#endif
