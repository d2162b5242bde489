#include "commands/command.h"
#include "commands/options.h"
#include "commands/output.h"
#include "common/document.h"
#include "model/ending.h"
#include "model/experiment.h"
#include "model/inventory.h"
#include "model/plan.h"
#include "planning/plan.h"
#include "reading/experiment.h"
#include "reading/inventory.h"
#include "screen/style.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

struct verdict {
    const char *path;
    bool is_inventory;
    char title[SQ_TITLE_MAX];
    uint32_t steps;
    uint32_t probes;
    uint32_t hosts; /* of an inventory; of an experiment with --hosts: how many it hits */
    struct sq_problems problems;
};

/* An inventory is a list, or a map with `hosts` or `file_sd`; everything else is meant as an experiment. */
static bool looks_like_inventory(const struct sq_input *input)
{
    sq_autodocument struct sq_document *document = NULL;
    if (sq_input_document(input, &document, NULL) != 0)
        return false;
    struct sq_node root = sq_document_root(document);
    return sq_node_type(root) == SQ_NODE_LIST || sq_node_is_there(sq_node_get(root, "hosts")) ||
           sq_node_is_there(sq_node_get(root, "file_sd"));
}

static void judge_inventory(const struct sq_input *input, struct verdict *verdict)
{
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error;
    if (sq_inventory_read(input, &inventory, &error) != 0)
        sq_problems_add(&verdict->problems, &error);
    else
        verdict->hosts = inventory->host_count;
}

static void judge_experiment(const struct sq_options *options, const struct sq_inventory *inventory,
                             const struct sq_input *input, struct verdict *verdict)
{
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    if (sq_experiment_examine(input, options->settings, options->setting_count, &experiment,
                              &verdict->problems) != 0)
        return;
    (void)snprintf(verdict->title, sizeof verdict->title, "%s", experiment->title);
    verdict->steps = experiment->step_count;
    verdict->probes = experiment->hypothesis.probe_count;
    if (inventory == NULL)
        return;
    sq_autoplan struct sq_plan *plan = NULL;
    struct sq_error error;
    if (sq_plan_make(experiment, inventory, &plan, &error) != 0)
        sq_problems_add(&verdict->problems, &error);
    else
        verdict->hosts = plan->host_count;
}

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

static void print_verdict(const struct sq_options *options, const struct verdict *verdict, bool with_hosts)
{
    const struct sq_problems *problems = &verdict->problems;
    sq_output_problems(options, problems);
    if (problems->error_count > 0)
        return;
    bool colored = sq_style_is_wanted(options->color, stdout);
    (void)printf("%s: %svalid%s: ", verdict->path, sq_style_begin(colored, SQ_STYLE_GOOD),
                 sq_style_end(colored));
    if (verdict->is_inventory) {
        (void)printf("an inventory of %u host%s\n", verdict->hosts, plural(verdict->hosts));
        return;
    }
    (void)printf("%s (%u step%s, %u probe%s", verdict->title, verdict->steps, plural(verdict->steps),
                 verdict->probes, plural(verdict->probes));
    if (with_hosts)
        (void)printf(", hits %u host%s", verdict->hosts, plural(verdict->hosts));
    (void)puts(")");
}

static json_t *verdict_json(const struct verdict *verdict, bool with_hosts)
{
    json_t *problems = json_array();
    json_t *warnings = json_array();
    for (uint32_t i = 0; i < verdict->problems.count; i++) {
        const struct sq_problem *problem = verdict->problems.list[i];
        (void)json_array_append_new(problem->is_warning ? warnings : problems,
                                    sq_output_problem(problem->error.code, problem->error.text));
    }
    json_t *result =
        json_pack("{s:o, s:s, s:b, s:o, s:o}", "file", sq_json_text(verdict->path), "kind",
                  verdict->is_inventory ? "inventory" : "experiment", "valid",
                  verdict->problems.error_count == 0, "problems", problems, "warnings", warnings);
    if (result == NULL || verdict->problems.error_count > 0)
        return result;
    if (!verdict->is_inventory) {
        (void)json_object_set_new(result, "title", sq_json_text(verdict->title));
        (void)json_object_set_new(result, "steps", json_integer(verdict->steps));
        (void)json_object_set_new(result, "probes", json_integer(verdict->probes));
    }
    if (verdict->is_inventory || with_hosts)
        (void)json_object_set_new(result, "hosts", json_integer(verdict->hosts));
    return result;
}

static int run_validate(const struct sq_options *options)
{
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error;
    if (options->hosts_given && sq_inventory_load(options->hosts_path, &inventory, &error) != 0)
        return sq_command_fail(options, &error);
    json_t *results = options->json ? json_array() : NULL;
    int status = SQ_EXIT_COMPLETED;
    for (uint32_t i = 0; i < options->operand_count; i++) {
        struct verdict verdict = {.path = options->operands[i]};
        sq_autoinput struct sq_input input = {0};
        bool is_read = sq_input_read(verdict.path, &input, &error) == 0;
        verdict.is_inventory = is_read && looks_like_inventory(&input);
        if (!is_read)
            sq_problems_add(&verdict.problems, &error);
        else if (verdict.is_inventory)
            judge_inventory(&input, &verdict);
        else
            judge_experiment(options, inventory, &input, &verdict);
        if (verdict.problems.error_count > 0)
            status = SQ_EXIT_WRONG;
        if (options->json)
            (void)json_array_append_new(results, verdict_json(&verdict, inventory != NULL));
        else
            print_verdict(options, &verdict, inventory != NULL);
        sq_problems_free(&verdict.problems);
    }
    return options->json ? sq_output_json(json_pack("{s:o}", "files", results), status, NULL)
                         : sq_output_text(status);
}

static const struct sq_option *const option_table[] = {&sq_option_hosts, &sq_option_set, &sq_option_json,
                                                       NULL};

const struct sq_command sq_command_validate = {
    .name = "validate",
    .synopsis = "validate FILE...",
    .help =
        "check experiment files and inventories; touches nothing and asks nobody\n"
        "\n"
        "Reads each FILE, an experiment or an inventory, and checks everything that can be known without an\n"
        "agent: keys, fault kinds, parameters with their units and ranges, tolerances, URLs, times, and "
        "faults\n"
        "that collide. Says all it finds, as file:line:column: what is wrong and what was expected.\n"
        "\n"
        "With --hosts, experiments are also checked against that inventory: each step finds its hosts, no "
        "host\n"
        "gets two faults that collide, and the limits are kept.\n"
        "\n"
        "Examples:\n"
        "  squall validate experiments/*.yaml\n"
        "  squall validate partition.yaml --set victims=2 --hosts hosts.yaml\n"
        "\n"
        "Exit status: 0 when every file is valid, else 2.\n",
    .options = option_table,
    .operands_least = 1,
    .operands_most = 10000,
    .run = run_validate,
};
