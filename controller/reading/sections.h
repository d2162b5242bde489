/* The readers of an experiment's larger sections; internal to the experiment reader. Values are substituted
 * already. */
#ifndef SQ_READING_SECTIONS_H
#define SQ_READING_SECTIONS_H

#include "common/document.h"
#include "reading/experiment.h"

/* `steady-state-hypothesis`, a map. Goes on with the next probe after a problem. */
void sq_read_hypothesis(struct sq_node node, struct sq_hypothesis *hypothesis, struct sq_problems *problems);

/* `method`, a list; allocates experiment->steps. Goes on with the next step after a problem. */
void sq_read_method(struct sq_node node, struct sq_experiment *experiment, struct sq_problems *problems);

#endif
