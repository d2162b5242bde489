/*
 * The folder of run records: where a new one goes, and which one somebody means. A run has a folder
 * <UTC time>-<first digits of its id>, of mode 0700, with its run.jsonl.
 */
#ifndef SQ_RECORD_RUNS_H
#define SQ_RECORD_RUNS_H

#include "common/error.h"
#include "common/id.h"

#include <stddef.h>
#include <stdint.h>

#define SQ_RUNS_DEFAULT "squall-runs" /* in the working directory */

/*
 * Make the run's folder in `runs`, and `runs` itself if it is missing, but no folder above it: that would be
 * somebody's mistake in writing. `path` gets the name of the record in it.
 */
int sq_runs_make(const char *runs, uint64_t real_ns, const struct sq_id *id, char *path, size_t size,
                 struct sq_error *error);

/* Take away what sq_runs_make made for a record that could not be begun; `path` as it gave it. */
void sq_runs_unmake(const char *path);

/*
 * `run` is `last` (the newest in `runs`), a path (a record, or the folder of one; "-" is standard input), or
 * the beginning of an id in `runs`. SQ_BAD_INPUT: there is none, or more than one.
 */
int sq_runs_find(const char *runs, const char *run, char *path, size_t size, struct sq_error *error);

#endif
