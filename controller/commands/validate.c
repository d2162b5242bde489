#include "agents/client_tls_check.h"
#include "commands/command.h"
#include "commands/inventory.h"
#include "commands/options.h"
#include "commands/output.h"
#include "commands/walk.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/document.h"
#include "common/problems.h"
#include "common/text.h"
#include "forms/agent_config.h"
#include "forms/policy.h"
#include "model/ending.h"
#include "planning/plan.h"
#include "planning/plan_file.h"
#include "reading/experiment.h"
#include "reading/inventory.h"
#include "reading/kind.h"
#include "screen/style.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

#define KIND_PLAN "plan"

/* What became of one file. */
struct verdict {
    const struct sq_walked *file;
    const char *kind;
    const char *skipped; /* NULL: it was judged */
    char *summary;       /* of a valid one, for people; allocated */
    json_t *facts;       /* the same for programs, an object; NULL: none */
    struct sq_problems problems;
};

/* What all verdicts rest on. */
struct judge {
    const struct sq_options *options;
    const struct sq_inventory *inventory; /* --hosts; NULL: none */
};

static void verdict_free(struct verdict *verdict)
{
    free(verdict->summary);
    json_decref(verdict->facts);
    sq_problems_free(&verdict->problems);
}

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

static void conclude(struct verdict *verdict, json_t *facts, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Takes over `facts`. */
static void conclude(struct verdict *verdict, json_t *facts, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    verdict->summary = sq_text_print(format, arguments);
    va_end(arguments);
    verdict->facts = facts;
}

static void judge_inventory(const struct sq_input *input, struct sq_document *document, bool has_hosts,
                            struct verdict *verdict)
{
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_problems *problems = &verdict->problems;
    if ((has_hosts ? sq_inventory_examine(input, &inventory, problems)
                   : sq_controller_examine(input, &inventory, problems)) != 0)
        return;
    sq_client_tls_check(inventory, sq_node_get(sq_document_root(document), "tls"), sq_real_ns(), problems);
    if (has_hosts)
        conclude(verdict, json_pack("{s:i}", "hosts", (int)inventory->host_count),
                 "an inventory of %u host%s", inventory->host_count, plural(inventory->host_count));
    else
        conclude(verdict, NULL, "settings of the controller, for inventories that are bare file_sd");
}

static void judge_experiment(const struct judge *judge, const struct sq_input *input, struct verdict *verdict)
{
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    sq_autoplan struct sq_plan *plan = NULL;
    struct sq_error error;
    if (sq_experiment_examine(input, judge->options->settings, judge->options->setting_count, &experiment,
                              &verdict->problems) != 0)
        return;
    if (judge->inventory != NULL &&
        !sq_problems_note(&verdict->problems, sq_plan_make(experiment, judge->inventory, &plan, &error),
                          &error))
        return;
    sq_autostring struct sq_string hits = {0};
    uint32_t steps = experiment->step_count;
    uint32_t probes = experiment->hypothesis.probe_count;
    json_t *facts = json_pack("{s:o, s:i, s:i}", "title", sq_json_text(experiment->title), "steps",
                              (int)steps, "probes", (int)probes);
    if (plan != NULL) {
        (void)json_object_set_new(facts, "hosts", json_integer(plan->host_count));
        sq_string_add(&hits, ", hits %u host%s", plan->host_count, plural(plan->host_count));
    }
    conclude(verdict, facts, "%s (%u step%s, %u probe%s%s)", experiment->title, steps, plural(steps), probes,
             plural(probes), sq_string_text(&hits));
}

static void judge_plan(const struct sq_input *input, struct verdict *verdict)
{
    sq_autoplan_file struct sq_plan_file *file = NULL;
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    struct sq_error error;
    if (!sq_problems_note(&verdict->problems, sq_plan_file_load(input, &file, &error), &error))
        return;
    if (sq_plan_file_experiment(file, &experiment, &error) != 0) {
        (void)sq_fail_in(&error, "%s: the experiment in the plan", input->path);
        sq_problems_add(&verdict->problems, &error);
        return;
    }
    json_t *hosts = json_object_get(json_object_get(file->content, "plan"), "hosts");
    uint32_t count = (uint32_t)json_array_size(hosts);
    conclude(verdict,
             json_pack("{s:o, s:i, s:s}", "title", sq_json_text(experiment->title), "hosts", (int)count,
                       "sha256", file->sha256),
             "a plan of \"%s\" for %u host%s, SHA-256 %s", experiment->title, count, plural(count),
             file->sha256);
}

static void judge_policy(struct sq_document *document, struct verdict *verdict)
{
    sq_autofree struct sq_policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL)
        return;
    sq_policy_examine(policy, document, &verdict->problems);
    uint32_t allowed = 0;
    for (size_t i = 0; i < sq_fault_table_count; i++)
        allowed += policy->allowed[sq_fault_table[i]->kind] ? 1 : 0;
    conclude(verdict, json_pack("{s:i}", "allowed", (int)allowed),
             "a policy that allows %u of %zu kinds of fault", allowed, sq_fault_table_count);
}

static void judge_agent(struct sq_document *document, struct verdict *verdict)
{
    sq_autofree struct sq_agent_config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return;
    sq_agent_config_examine(document, config, &verdict->problems);
    conclude(verdict, json_pack("{s:i}", "listeners", (int)config->listen_count),
             "an agent's configuration, listening on %u address%s (its users and files: `squalld --check` on "
             "the host)",
             config->listen_count, config->listen_count == 1 ? "" : "es");
}

static void judge_unknown(const struct sq_input *input, struct sq_document *document, struct verdict *verdict)
{
    struct sq_error error;
    if (verdict->file->was_found) {
        verdict->skipped = "it has no key of any file of squall's";
        return;
    }
    (void)sq_fail(
        &error, SQ_BAD_INPUT,
        "%s: %s; expected an experiment (title, method), a plan, an inventory (hosts, or a list as of "
        "file_sd), a policy (allow) or an agent's configuration (listen)",
        input->path,
        sq_node_is_there(sq_document_root(document)) ? "nothing in it tells what it is meant as"
                                                     : "the file is empty");
    sq_problems_add(&verdict->problems, &error);
}

static void judge_document(const struct judge *judge, const struct sq_input *input,
                           struct sq_document *document, struct verdict *verdict)
{
    enum sq_file_kind kind = sq_file_kind_of(document);
    verdict->kind = sq_file_kind_name(kind);
    switch (kind) {
    case SQ_FILE_EXPERIMENT:
        judge_experiment(judge, input, verdict);
        break;
    case SQ_FILE_INVENTORY:
    case SQ_FILE_CONTROLLER:
        judge_inventory(input, document, kind == SQ_FILE_INVENTORY, verdict);
        break;
    case SQ_FILE_POLICY:
        judge_policy(document, verdict);
        break;
    case SQ_FILE_AGENT:
        judge_agent(document, verdict);
        break;
    default:
        judge_unknown(input, document, verdict);
    }
}

static void judge_file(const struct judge *judge, struct verdict *verdict)
{
    sq_autoinput struct sq_input input = {0};
    sq_autodocument struct sq_document *document = NULL;
    struct sq_error error;
    verdict->kind = sq_file_kind_name(SQ_FILE_UNKNOWN);
    verdict->skipped = verdict->file->skipped;
    if (verdict->skipped != NULL ||
        !sq_problems_note(&verdict->problems, sq_input_read(verdict->file->path, &input, &error), &error))
        return;
    if (sq_plan_file_is(&input)) {
        verdict->kind = KIND_PLAN;
        judge_plan(&input, verdict);
    } else if (sq_problems_note(&verdict->problems, sq_input_document(&input, &document, &error), &error)) {
        judge_document(judge, &input, document, verdict);
    }
    sq_problems_sort(&verdict->problems);
}

static void print_verdict(const struct sq_options *options, const struct verdict *verdict)
{
    bool colored = sq_style_is_wanted(options->color, stdout);
    sq_output_problems(options, &verdict->problems);
    if (verdict->problems.error_count > 0)
        return;
    sq_autofree char *path = strdup(verdict->file->path);
    if (path == NULL)
        return;
    sq_text_make_printable(path);
    if (verdict->skipped != NULL)
        (void)printf("%s: %sskipped%s: %s\n", path, sq_style_begin(colored, SQ_STYLE_FAINT),
                     sq_style_end(colored), verdict->skipped);
    else
        (void)printf("%s: %svalid%s: %s\n", path, sq_style_begin(colored, SQ_STYLE_GOOD),
                     sq_style_end(colored), verdict->summary == NULL ? verdict->kind : verdict->summary);
}

static json_t *problem_json(const struct verdict *verdict, const struct sq_problem *problem)
{
    json_t *object = sq_output_problem(problem->error.code, problem->error.text);
    (void)json_object_set_new(object, "severity", json_string(problem->is_warning ? "warning" : "error"));
    (void)json_object_set_new(object, "kind", json_string(verdict->kind));
    if (json_object_get(object, "file") == NULL)
        (void)json_object_set_new(object, "file", sq_json_text(verdict->file->path));
    return object;
}

static json_t *verdict_json(const struct verdict *verdict)
{
    json_t *problems = json_array();
    for (uint32_t i = 0; i < verdict->problems.count; i++)
        (void)json_array_append_new(problems, problem_json(verdict, verdict->problems.list[i]));
    json_t *result = json_pack("{s:o, s:s, s:o}", "file", sq_json_text(verdict->file->path), "kind",
                               verdict->kind, "problems", problems);
    if (verdict->skipped != NULL)
        (void)json_object_set_new(result, "skipped", json_string(verdict->skipped));
    else
        (void)json_object_set_new(result, "valid", json_boolean(verdict->problems.error_count == 0));
    if (verdict->problems.error_count == 0 && verdict->facts != NULL)
        (void)json_object_update(result, verdict->facts);
    return result;
}

static int judge_all(const struct judge *judge, const struct sq_walk *walk)
{
    const struct sq_options *options = judge->options;
    json_t *results = options->json ? json_array() : NULL;
    int status = SQ_EXIT_COMPLETED;
    for (size_t i = 0; i < walk->count; i++) {
        struct verdict verdict = {.file = &walk->files[i]};
        judge_file(judge, &verdict);
        if (verdict.problems.error_count > 0)
            status = SQ_EXIT_WRONG;
        if (options->json)
            (void)json_array_append_new(results, verdict_json(&verdict));
        else
            print_verdict(options, &verdict);
        verdict_free(&verdict);
    }
    return options->json ? sq_output_json(json_pack("{s:o}", "files", results), status, NULL)
                         : sq_output_text(status);
}

/* A folder in which there is nothing to check is a slip, and must not pass a pipeline. */
static int check_is_something(const struct sq_options *options, const struct sq_walk *walk,
                              struct sq_error *error)
{
    for (size_t i = 0; i < walk->count; i++)
        if (walk->files[i].skipped == NULL)
            return 0;
    return sq_fail(
        error, SQ_BAD_INPUT,
        "there is nothing to check in %.200s%s; expected a file that ends in .yaml, .yml, .json or "
        ".plan",
        options->operands[0], options->operand_count > 1 ? " and the others" : "");
}

static int run_validate(const struct sq_options *options)
{
    sq_autoinventory struct sq_inventory *inventory = NULL;
    sq_auto(sq_walk_free) struct sq_walk walk = {0};
    struct sq_error error;
    if (options->hosts_given && sq_command_inventory(options, false, &inventory, &error) != 0)
        return sq_command_fail(options, &error);
    for (uint32_t i = 0; i < options->operand_count; i++)
        if (sq_walk_add(&walk, options->operands[i], &error) != 0)
            return sq_command_fail(options, &error);
    if (check_is_something(options, &walk, &error) != 0)
        return sq_command_fail(options, &error);
    const struct judge judge = {.options = options, .inventory = inventory};
    return judge_all(&judge, &walk);
}

static const struct sq_option *const option_table[] = {&sq_option_hosts_alone, &sq_option_set,
                                                       &sq_option_json, NULL};

const struct sq_command sq_command_validate = {
    .name = "validate",
    .synopsis = "validate FILE...",
    .help =
        "check files of every kind; touches nothing and asks nobody\n"
        "\n"
        "Each FILE is known by its form: an experiment, a plan, an inventory (squall's or Prometheus "
        "file_sd), a host's policy, an agent's configuration, the controller's settings. A folder stands "
        "for every .yaml, .yml, .json and .plan below it, `-` for standard input.\n"
        "\n"
        "Everything is checked that can be known without an agent: keys, fault kinds, parameters with their "
        "units and ranges, tolerances, URLs, times, faults that collide; the hash of a plan; of an "
        "inventory also its TLS files, that they fit and how long they are valid. Says all it finds, as "
        "file:line:column: what is wrong and what was expected.\n"
        "\n"
        "With --hosts, experiments are also checked against that inventory: each step finds its hosts, no "
        "host gets two faults that collide, and the limits are kept.\n"
        "\n"
        "Examples:\n"
        "  squall validate experiments/ hosts.yaml\n"
        "  squall validate partition.yaml --set victims=2 --hosts hosts.yaml\n"
        "  ssh web1 cat /etc/squall/policy.yaml | squall validate -\n"
        "\n"
        "Exit status: 0 when every file is valid (there may be warnings), else 2.\n",
    .options = option_table,
    .operands_least = 1,
    .operands_most = 10000,
    .run = run_validate,
};
