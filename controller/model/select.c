#include "model/select.h"

#include "common/cleanup.h"
#include "common/nearest.h"
#include "common/sample.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>

struct candidate {
    uint64_t rank;
    const char *name;
    uint32_t index;
};

static int fail_here(const struct sq_experiment *experiment, const struct sq_targets *targets,
                     struct sq_error *error)
{
    return sq_fail_in(error, "%s:%zu:%zu", experiment->path, targets->line, targets->column);
}

static int check_names(const struct sq_targets *targets, const struct sq_inventory *inventory,
                       struct sq_error *error)
{
    for (uint32_t i = 0; i < targets->host_count; i++) {
        bool found = false;
        for (uint32_t h = 0; h < inventory->host_count && !found; h++)
            found = strcmp(inventory->hosts[h].name, targets->hosts[i]) == 0;
        if (found)
            continue;
        sq_autofree const char **names = calloc(inventory->host_count + 1, sizeof *names);
        if (names == NULL)
            return sq_fail(error, SQ_SYSTEM, "out of memory");
        for (uint32_t h = 0; h < inventory->host_count; h++)
            names[h] = inventory->hosts[h].name;
        const char *nearest = sq_nearest(targets->hosts[i], names, inventory->host_count);
        return sq_fail(error, SQ_BAD_INPUT, "the inventory %s has no host '%s'%s%s%s", inventory->path,
                       targets->hosts[i], nearest == NULL ? "" : "; did you mean '",
                       nearest == NULL ? "" : nearest, nearest == NULL ? "" : "'?");
    }
    return 0;
}

static bool is_meant(const struct sq_targets *targets, const struct sq_host *host)
{
    for (uint32_t i = 0; i < targets->label_count; i++) {
        const char *value = sq_host_label(host, targets->labels[i].name);
        if (value == NULL || strcmp(value, targets->labels[i].value) != 0)
            return false;
    }
    for (uint32_t i = 0; i < targets->host_count; i++)
        if (strcmp(targets->hosts[i], host->name) == 0)
            return true;
    return targets->host_count == 0;
}

/* Says which of the labels is the one that nobody carries, if it is one alone. */
static int fail_nobody(const struct sq_targets *targets, const struct sq_inventory *inventory,
                       struct sq_error *error)
{
    sq_autostring struct sq_string wanted = {0};
    for (uint32_t i = 0; i < targets->label_count; i++) {
        const struct sq_setting *label = &targets->labels[i];
        sq_string_add(&wanted, "%s%s=%s", i == 0 ? "" : ", ", label->name, label->value);
        bool has_name = false;
        bool has_value = false;
        for (uint32_t h = 0; h < inventory->host_count && !has_value; h++) {
            const char *value = sq_host_label(&inventory->hosts[h], label->name);
            has_name = has_name || value != NULL;
            has_value = value != NULL && strcmp(value, label->value) == 0;
        }
        if (!has_name)
            return sq_fail(error, SQ_NOBODY, "no host matches: none of the %u hosts of %s has a label '%s'",
                           inventory->host_count, inventory->path, label->name);
        if (!has_value)
            return sq_fail(error, SQ_NOBODY, "no host matches: none of the %u hosts of %s has %s=%.60s",
                           inventory->host_count, inventory->path, label->name, label->value);
    }
    return sq_fail(error, SQ_NOBODY, "no host matches: none of the %u hosts of %s fits all of %s%s",
                   inventory->host_count, inventory->path, sq_string_text(&wanted),
                   targets->host_count == 0    ? ""
                   : targets->label_count == 0 ? "the names"
                                               : " and the names");
}

static int by_rank(const void *left, const void *right)
{
    const struct candidate *a = left;
    const struct candidate *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int by_index(const void *left, const void *right)
{
    const uint32_t *a = left;
    const uint32_t *b = right;
    return *a < *b ? -1 : *a > *b;
}

static int pick(const struct sq_targets *targets, uint32_t wanted, const struct sq_inventory *inventory,
                uint32_t *chosen, uint32_t *chosen_count, struct sq_error *error)
{
    sq_autofree struct candidate *candidates = calloc(*chosen_count, sizeof *candidates);
    if (candidates == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (uint32_t i = 0; i < *chosen_count; i++) {
        const char *name = inventory->hosts[chosen[i]].name;
        candidates[i] =
            (struct candidate){.rank = sq_sample_rank(targets->seed, name), .name = name, .index = chosen[i]};
    }
    qsort(candidates, *chosen_count, sizeof *candidates, by_rank);
    for (uint32_t i = 0; i < wanted; i++)
        chosen[i] = candidates[i].index;
    *chosen_count = wanted;
    qsort(chosen, wanted, sizeof *chosen, by_index);
    return 0;
}

int sq_select_hosts(const struct sq_experiment *experiment, const struct sq_targets *targets,
                    const struct sq_inventory *inventory, uint32_t *chosen, uint32_t *chosen_count,
                    struct sq_error *error)
{
    if (check_names(targets, inventory, error) != 0)
        return fail_here(experiment, targets, error);
    uint32_t count = 0;
    for (uint32_t h = 0; h < inventory->host_count; h++)
        if (is_meant(targets, &inventory->hosts[h]))
            chosen[count++] = h;
    if (count == 0) {
        (void)fail_nobody(targets, inventory, error);
        return fail_here(experiment, targets, error);
    }
    if (targets->count > count) {
        (void)sq_fail(error, SQ_NOBODY, "%u host%s, %u asked for", count, count == 1 ? " matches" : "s match",
                      targets->count);
        return fail_here(experiment, targets, error);
    }
    uint32_t wanted = count;
    if (targets->count > 0)
        wanted = targets->count;
    else if (targets->percent > 0)
        wanted = (uint32_t)sq_sample_share(targets->percent, count);
    *chosen_count = count;
    return wanted == count ? 0 : pick(targets, wanted, inventory, chosen, chosen_count, error);
}

uint32_t sq_select_count(const struct sq_experiment *experiment, const struct sq_targets *targets,
                         const struct sq_inventory *inventory)
{
    struct sq_targets all = *targets;
    all.count = 0;
    all.percent = 0;
    sq_autofree uint32_t *chosen = calloc((size_t)inventory->host_count + 1, sizeof(*chosen));
    uint32_t count = 0;
    struct sq_error ignored;
    if (chosen == NULL || sq_select_hosts(experiment, &all, inventory, chosen, &count, &ignored) != 0)
        return 0;
    return count;
}
