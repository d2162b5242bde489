/*
 * The parameters of an experiment: `parameters:` with --set applied, put in place of ${name} in every value
 * of the file but those of `parameters` itself. $${ stands for a plain ${. Internal to the experiment reader.
 */
#ifndef SQ_READING_PARAMETERS_H
#define SQ_READING_PARAMETERS_H

#include "common/document.h"
#include "reading/experiment.h"

/*
 * Read the map `parameters` (which may be not there) into the experiment and apply the settings. A setting
 * for a parameter that the file does not declare is refused with the nearest declared one. False if something
 * was wrong.
 */
bool sq_parameters_read(struct sq_node parameters, const struct sq_setting *settings, size_t setting_count,
                        struct sq_experiment *experiment, struct sq_problems *problems);

/* Substitute in every value of `root`; each unknown parameter is told at its place, and false returned. */
bool sq_parameters_substitute(struct sq_node root, const struct sq_experiment *experiment,
                              struct sq_problems *problems);

#endif
