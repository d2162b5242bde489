/*
 * An experiment file (docs/experiments.md), read into the model. Everything that can be known without an
 * agent is checked here: keys, units, ranges, tolerances, collisions within one step's own faults.
 */
#ifndef SQ_READING_EXPERIMENT_H
#define SQ_READING_EXPERIMENT_H

#include "common/error.h"
#include "model/experiment.h"
#include "reading/input.h"

#include <stddef.h>

/* What is wrong with a file: the first SQ_PROBLEMS_MAX complaints, in the order in which they were found. */
#define SQ_PROBLEMS_MAX 20
struct sq_problems {
    uint32_t count;
    uint32_t dropped; /* how many more there were */
    struct sq_error errors[SQ_PROBLEMS_MAX];
};

void sq_problems_add(struct sq_problems *problems, const struct sq_error *error);

/* Read it with parameters from --set applied. The caller frees with sq_experiment_free. */
int sq_experiment_read(const struct sq_input *input, const struct sq_setting *settings, size_t setting_count,
                       struct sq_experiment **experiment, struct sq_error *error);

/* The same from memory (a plan file, a fuzzer); `name` stands for the file in messages. */
int sq_experiment_parse(const char *name, const char *content, size_t length,
                        const struct sq_setting *settings, size_t setting_count,
                        struct sq_experiment **experiment, struct sq_error *error);

/* As sq_experiment_read, for `validate`: goes on after the first problem. 0 and an experiment only without
 * problems. */
int sq_experiment_examine(const struct sq_input *input, const struct sq_setting *settings,
                          size_t setting_count, struct sq_experiment **experiment,
                          struct sq_problems *problems);

#endif
