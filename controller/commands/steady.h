/* The steady state for `plan` and `run`: whom the probes ask, and what they measure before anything happens.
 */
#ifndef SQ_COMMANDS_STEADY_H
#define SQ_COMMANDS_STEADY_H

#include "commands/command.h"
#include "common/error.h"
#include "model/access.h"
#include "model/experiment.h"
#include "model/inventory.h"

/*
 * The Prometheus that --prometheus names (it alone: the inventory's password is not for it), else the
 * inventory's; and the passwords, tokens and certificates of it and of the probes, read now. Warnings go to
 * standard error. SQ_BAD_INPUT: a promql probe and nobody to ask, or a secret that cannot be read.
 */
int sq_steady_open(const struct sq_options *options, struct sq_experiment *experiment,
                   const struct sq_inventory *inventory, struct sq_prometheus *prometheus,
                   struct sq_error *error);

#endif
