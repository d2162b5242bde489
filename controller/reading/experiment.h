/*
 * An experiment file (docs/experiments.md), read into the model. Everything that can be known without an
 * agent is checked here: keys, units, ranges, tolerances, collisions within one step's own faults.
 */
#ifndef SQ_READING_EXPERIMENT_H
#define SQ_READING_EXPERIMENT_H

#include "common/error.h"
#include "common/problems.h"
#include "model/experiment.h"
#include "reading/input.h"

#include <stddef.h>

/* Read it with parameters from --set applied. The caller frees with sq_experiment_free. */
int sq_experiment_read(const struct sq_input *input, const struct sq_setting *settings, size_t setting_count,
                       struct sq_experiment **experiment, struct sq_error *error);

/* The same from memory (a plan file, a fuzzer); `name` stands for the file in messages. */
int sq_experiment_parse(const char *name, const char *content, size_t length,
                        const struct sq_setting *settings, size_t setting_count,
                        struct sq_experiment **experiment, struct sq_error *error);

/* As sq_experiment_read, for `validate`: goes on after the first problem. 0 and an experiment only without
 * errors; there may be warnings. */
int sq_experiment_examine(const struct sq_input *input, const struct sq_setting *settings,
                          size_t setting_count, struct sq_experiment **experiment,
                          struct sq_problems *problems);

extern const char *const sq_experiment_keys[]; /* of the file, and NULL */

#endif
