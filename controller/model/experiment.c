#include "model/experiment.h"

#include "common/clock.h"

#include <stdlib.h>

void sq_experiment_free(struct sq_experiment *experiment)
{
    if (experiment == NULL)
        return;
    for (uint32_t i = 0; i < experiment->hypothesis.probe_count; i++)
        sq_access_free(experiment->hypothesis.probes[i].access);
    free(experiment->hypothesis.probes);
    free(experiment->steps);
    free(experiment);
}

void sq_experiment_cleanup(struct sq_experiment **experiment)
{
    sq_experiment_free(*experiment);
}

uint64_t sq_experiment_step_start_ns(const struct sq_experiment *experiment, uint32_t i)
{
    uint64_t start_ns = 0;
    for (uint32_t step = 0; step <= i && step < experiment->step_count; step++) {
        if (experiment->steps[step].has_at)
            start_ns = experiment->steps[step].at_ns;
        else if (step > 0)
            start_ns = sq_ns_add(start_ns, experiment->steps[step - 1].duration_ns);
    }
    return start_ns;
}

uint64_t sq_experiment_step_end_ns(const struct sq_experiment *experiment, uint32_t i)
{
    return sq_ns_add(sq_experiment_step_start_ns(experiment, i), experiment->steps[i].duration_ns);
}

uint64_t sq_experiment_wait_ns(const struct sq_experiment *experiment)
{
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < experiment->step_count; i++) {
        uint64_t start_ns = sq_experiment_step_start_ns(experiment, i);
        last_ns = start_ns > last_ns ? start_ns : last_ns;
    }
    uint64_t hold_ns = experiment->has_hypothesis ? experiment->hypothesis.hold_before_ns : 0;
    return experiment->step_count == 0 ? 0 : sq_ns_add(hold_ns, last_ns);
}

bool sq_experiment_steps_overlap(const struct sq_experiment *experiment, uint32_t a, uint32_t b)
{
    return sq_experiment_step_start_ns(experiment, a) < sq_experiment_step_end_ns(experiment, b) &&
           sq_experiment_step_start_ns(experiment, b) < sq_experiment_step_end_ns(experiment, a);
}

uint64_t sq_experiment_length_ns(const struct sq_experiment *experiment)
{
    uint64_t length_ns = 0;
    for (uint32_t i = 0; i < experiment->step_count; i++) {
        uint64_t end_ns = sq_experiment_step_end_ns(experiment, i);
        length_ns = end_ns > length_ns ? end_ns : length_ns;
    }
    return length_ns;
}
