#include "planning/plan.h"

#include "common/cleanup.h"
#include "common/units.h"
#include "model/company.h"
#include "model/select.h"

#include <stdlib.h>
#include <string.h>

/* What is gathered while the steps are selected: one entry per host of the inventory. */
struct gathering {
    uint32_t *fault_count;
    uint32_t (*steps)[SQ_FAULTS_MAX];
    uint32_t *chosen;
};

static void gathering_free(struct gathering *gathering)
{
    free(gathering->fault_count);
    free(gathering->steps);
    free(gathering->chosen);
}

static int fail_collision(const struct sq_experiment *experiment, uint32_t earlier, uint32_t later,
                          const struct sq_host *host, struct sq_error *error)
{
    const struct sq_step *a = &experiment->steps[earlier];
    const struct sq_step *b = &experiment->steps[later];
    char times[4][SQ_UNIT_TEXT_MAX];
    sq_duration_format(sq_experiment_step_start_ns(experiment, earlier), times[0]);
    sq_duration_format(sq_experiment_step_end_ns(experiment, earlier), times[1]);
    sq_duration_format(sq_experiment_step_start_ns(experiment, later), times[2]);
    sq_duration_format(sq_experiment_step_end_ns(experiment, later), times[3]);
    char kinds[2 * SQ_NAME_MAX];
    if (a->spec.kind == b->spec.kind)
        (void)snprintf(kinds, sizeof kinds, "both are %s", sq_fault_by_kind(b->spec.kind)->name);
    else
        (void)snprintf(kinds, sizeof kinds, "%s and %s are", sq_fault_by_kind(b->spec.kind)->name,
                       sq_fault_by_kind(a->spec.kind)->name);
    return sq_fail(error, SQ_BAD_INPUT,
                   "%s:%zu:%zu: the step '%.50s' (%s to %s) collides on host %s with '%.50s' on line %zu (%s "
                   "to %s): %s of the same targets; let one end before the other starts ('at'), or choose "
                   "other hosts or "
                   "other targets in 'with'",
                   experiment->path, b->line, b->column, b->name, times[2], times[3], host->name, a->name,
                   a->line, times[0], times[1], kinds);
}

static int add_fault(const struct sq_experiment *experiment, const struct sq_inventory *inventory,
                     struct gathering *gathering, uint32_t host, uint32_t step, struct sq_error *error)
{
    uint32_t count = gathering->fault_count[host];
    if (count == SQ_FAULTS_MAX)
        return sq_fail(
            error, SQ_LIMIT, "%s:%zu:%zu: the step '%.60s' is the fault number %d on host %s; at most %d fit",
            experiment->path, experiment->steps[step].line, experiment->steps[step].column,
            experiment->steps[step].name, SQ_FAULTS_MAX + 1, inventory->hosts[host].name, SQ_FAULTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = gathering->steps[host][i];
        if (sq_experiment_steps_overlap(experiment, other, step) &&
            sq_spec_collides(&experiment->steps[other].spec, &experiment->steps[step].spec))
            return fail_collision(experiment, other, step, &inventory->hosts[host], error);
    }
    gathering->steps[host][count] = step;
    gathering->fault_count[host]++;
    return 0;
}

static int gather(const struct sq_experiment *experiment, const struct sq_inventory *inventory,
                  struct gathering *gathering, struct sq_error *error)
{
    for (uint32_t step = 0; step < experiment->step_count; step++) {
        uint32_t count = 0;
        if (sq_select_hosts(experiment, &experiment->steps[step].targets, inventory, gathering->chosen,
                            &count, error) != 0)
            return -1;
        for (uint32_t i = 0; i < count; i++)
            if (add_fault(experiment, inventory, gathering, gathering->chosen[i], step, error) != 0)
                return -1;
    }
    return 0;
}

static int check_limits(const struct sq_experiment *experiment, const struct sq_inventory *inventory,
                        uint32_t hit, struct sq_error *error)
{
    const struct sq_limits *limits = &experiment->limits;
    uint32_t most = sq_limits_most(limits, inventory);
    char percent[SQ_UNIT_TEXT_MAX];
    if (hit <= most)
        return 0;
    if (!(limits->max_hosts_percent > 0))
        return sq_fail(error, SQ_LIMIT, "%s: the plan hits %u hosts; 'limits: max-hosts' allows %u",
                       experiment->path, hit, most);
    sq_percent_format(limits->max_hosts_percent, percent);
    return sq_fail(error, SQ_LIMIT, "%s: the plan hits %u hosts; 'limits: max-hosts' allows %u (%s of %u)",
                   experiment->path, hit, most, percent, inventory->host_count);
}

static int fill(struct sq_plan *plan, const struct gathering *gathering, struct sq_error *error)
{
    const struct sq_inventory *inventory = plan->inventory;
    uint32_t hit = 0;
    for (uint32_t h = 0; h < inventory->host_count; h++)
        hit += gathering->fault_count[h] > 0;
    if (check_limits(plan->experiment, inventory, hit, error) != 0)
        return -1;
    plan->hosts = calloc((size_t)hit + 1, sizeof *plan->hosts);
    if (plan->hosts == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (uint32_t h = 0; h < inventory->host_count; h++) {
        if (gathering->fault_count[h] == 0)
            continue;
        struct sq_plan_host *host = &plan->hosts[plan->host_count++];
        host->host = &inventory->hosts[h];
        host->fault_count = gathering->fault_count[h];
        memcpy(host->steps, gathering->steps[h], sizeof host->steps);
    }
    return 0;
}

int sq_plan_make(const struct sq_experiment *experiment, const struct sq_inventory *inventory,
                 struct sq_plan **plan, struct sq_error *error)
{
    size_t hosts = (size_t)inventory->host_count + 1;
    sq_autoplan struct sq_plan *fresh = calloc(1, sizeof *fresh);
    sq_auto(gathering_free) struct gathering gathering = {
        .fault_count = calloc(hosts, sizeof *gathering.fault_count),
        .steps = calloc(hosts, sizeof *gathering.steps),
        .chosen = calloc(hosts, sizeof *gathering.chosen),
    };
    if (fresh == NULL || gathering.fault_count == NULL || gathering.steps == NULL || gathering.chosen == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    fresh->experiment = experiment;
    fresh->inventory = inventory;
    if (gather(experiment, inventory, &gathering, error) != 0 || fill(fresh, &gathering, error) != 0)
        return -1;
    *plan = sq_take(fresh);
    return 0;
}
