/*
 * The steady state for `plan` and `run`: whom the probes ask, and what each of them measures before anything
 * happens. What `run` would refuse, or could not measure, `plan` says too.
 */
#ifndef SQ_COMMANDS_STEADY_H
#define SQ_COMMANDS_STEADY_H

#include "commands/command.h"
#include "commands/options.h"
#include "common/error.h"
#include "model/access.h"
#include "model/experiment.h"
#include "model/inventory.h"
#include "probes/survey.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct sq_steady {
    struct sq_prometheus prometheus; /* no URL: there is none */
    struct sq_survey survey;
    bool measured;
};

extern const struct sq_option sq_option_prometheus;

/*
 * The Prometheus that --prometheus names (it alone: the inventory's password is not for it), else the
 * inventory's; and the passwords, tokens and certificates of it and of the probes, read now. Warnings go to
 * standard error. SQ_BAD_INPUT: a promql probe and nobody to ask, or a secret that cannot be read.
 */
int sq_steady_open(const struct sq_options *options, struct sq_experiment *experiment,
                   const struct sq_inventory *inventory, struct sq_steady *steady, struct sq_error *error);
void sq_steady_close(struct sq_steady *steady); /* one that was zeroed is fine */

/*
 * Measure every probe once, and take from Prometheus the lag of those whose file gives none. -1:
 * SQ_NOT_STEADY, SQ_NO_DATA (probes/survey.h), SQ_BAD_INPUT for a step that is too short for evidence, or
 * SQ_ABORTED when `interrupt_fd` (or -1) became readable.
 */
int sq_steady_measure(struct sq_steady *steady, struct sq_experiment *experiment, int interrupt_fd,
                      struct sq_error *error);

/* What was measured beside what is tolerated. Nothing, if nothing was. */
void sq_steady_print(const struct sq_steady *steady, const struct sq_experiment *experiment, bool colored,
                     FILE *stream);

/* Into a document of `plan`: "steady_state" and "lag_s". */
void sq_steady_json(const struct sq_steady *steady, const struct sq_experiment *experiment, json_t *document);

#endif
