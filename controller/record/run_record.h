/* The observer that writes a run into its record, run.json (docs/run-record.md). */
#ifndef SQ_RECORD_RUN_RECORD_H
#define SQ_RECORD_RUN_RECORD_H

#include "common/error.h"
#include "events/event.h"
#include "record/record.h"

struct sq_run_record;

/* `record` is borrowed for the life of the observer. */
int sq_run_record_open(struct sq_record *record, struct sq_run_record **run_record, struct sq_error *error);
void sq_run_record_close(struct sq_run_record *run_record); /* NULL is fine */

struct sq_observer sq_run_record_observer(struct sq_run_record *run_record);

#endif
