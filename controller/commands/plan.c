#include "planning/plan.h"
#include "agents/client.h"
#include "agents/local_agent.h"
#include "commands/command.h"
#include "commands/everybody.h"
#include "commands/inventory.h"
#include "commands/options.h"
#include "commands/output.h"
#include "commands/steady.h"
#include "common/cleanup.h"
#include "common/text.h"
#include "model/ending.h"
#include "planning/dry_run.h"
#include "planning/plan_file.h"
#include "planning/plan_json.h"
#include "reading/experiment.h"
#include "screen/plan_print.h"
#include "screen/style.h"
#include "json/json.h"

#include <stdlib.h>

struct planning {
    struct sq_experiment *experiment;
    struct sq_local_agent *local_agent;
    struct sq_inventory *own_inventory;
    const struct sq_inventory *inventory;
    struct sq_plan *plan;
    struct sq_loop *loop;
    struct sq_names *names;
    struct sq_client *client;
    struct sq_dry_run dry_run;
    bool refused_by_hosts; /* rather than by the steady state */
    struct sq_steady steady;
    struct sq_input input; /* the experiment's file */
    char sha256[SQ_SHA256_TEXT_MAX];
};

static void planning_cleanup(struct planning *planning)
{
    sq_client_close(planning->client);
    sq_names_close(planning->names);
    sq_loop_close(planning->loop);
    sq_local_agent_stop(planning->local_agent);
    sq_plan_free(planning->plan);
    sq_inventory_free(planning->own_inventory);
    sq_experiment_free(planning->experiment);
    sq_dry_run_close(&planning->dry_run);
    sq_steady_close(&planning->steady);
    sq_input_free(&planning->input);
}

static int load(const struct sq_options *options, struct planning *planning, struct sq_error *error)
{
    const char *path = options->operands[0];
    if (options->output_path != NULL && sq_plan_file_check_path(options->output_path, error) != 0)
        return sq_fail_in(error, "-o");
    if (sq_input_read(path, &planning->input, error) != 0)
        return -1;
    if (sq_plan_file_is(&planning->input))
        return sq_fail(
            error, SQ_BAD_INPUT,
            "%s is a plan already: `squall run %s` does what it says; to plan anew, name the experiment",
            path, path);
    if (sq_command_read_experiment(options, &planning->input, &planning->experiment, error) != 0)
        return -1;
    if (options->local) {
        if (options->offline)
            return sq_fail(error, SQ_BAD_INPUT,
                           "--local asks an agent and --offline asks none: take one of them");
        if (sq_local_agent_start(&planning->local_agent, error) != 0)
            return -1;
        planning->inventory = sq_local_agent_inventory(planning->local_agent);
        (void)fprintf(stderr, "squall: %s\n", sq_local_agent_note(planning->local_agent));
    } else {
        if (sq_command_inventory(options, !options->offline, &planning->own_inventory, error) != 0)
            return -1;
        planning->inventory = planning->own_inventory;
    }
    if (!options->offline &&
        sq_steady_open(options, planning->experiment, planning->inventory, &planning->steady, error) != 0)
        return -1;
    if (sq_plan_make(planning->experiment, planning->inventory, &planning->plan, error) != 0)
        return -1;
    return sq_dry_run_open(planning->plan, &planning->dry_run, error);
}

static int finish_json(const struct sq_options *options, const struct planning *planning,
                       const struct sq_error *refusal)
{
    json_t *result = sq_plan_json(planning->plan, planning->dry_run.problems);
    if (!options->offline)
        (void)json_object_set_new(result, "company", sq_company_json(&planning->dry_run.company));
    sq_steady_json(&planning->steady, planning->experiment, result);
    if (planning->sha256[0] != '\0') {
        (void)json_object_set_new(result, "plan_file", sq_json_text(options->output_path));
        (void)json_object_set_new(result, "sha256", json_string(planning->sha256));
    }
    int status = refusal != NULL ? (int)sq_exit_of(refusal->code) : SQ_EXIT_COMPLETED;
    return sq_output_json(result, status, refusal);
}

static int finish_text(const struct sq_options *options, const struct planning *planning,
                       const struct sq_error *refusal)
{
    sq_plan_print(planning->plan, planning->dry_run.problems, &planning->dry_run.company, options->offline,
                  sq_style_is_wanted(options->color, stdout), stdout);
    sq_steady_print(&planning->steady, planning->experiment, sq_style_is_wanted(options->color, stdout),
                    stdout);
    (void)printf("Nothing was injected, nothing was changed%s.\n",
                 options->output_path == NULL ? ", nothing was written" : " on any host");
    if (refusal == NULL) {
        if (planning->sha256[0] != '\0')
            (void)printf("The plan stands in %s, SHA-256 %s.\nRun exactly this with: squall run %s\n",
                         options->output_path, planning->sha256, options->output_path);
        return sq_output_text(SQ_EXIT_COMPLETED);
    }
    int status = sq_output_text((int)sq_exit_of(refusal->code));
    struct sq_error brief = {.code = refusal->code};
    if (planning->refused_by_hosts)
        sq_dry_run_brief(&planning->dry_run, planning->plan, refusal, brief.text);
    else
        (void)sq_text_copy(brief.text, sizeof(brief.text), refusal->text);
    (void)sq_command_fail(options, &brief);
    if (options->output_path != NULL)
        (void)fprintf(stderr, "squall: %s was not written\n", options->output_path);
    return status;
}

/* Ask the hosts, and measure the steady state, whatever the hosts say; a refusal of theirs comes first. */
static int ask(struct planning *planning, struct sq_error *error)
{
    struct sq_error unsteady;
    int status = sq_dry_run_ask(planning->plan, planning->client, -1, &planning->dry_run, error);
    planning->refused_by_hosts = status != 0;
    if (sq_steady_measure(&planning->steady, planning->experiment, -1, &unsteady) == 0)
        return status;
    if (status == 0)
        *error = unsteady;
    return -1;
}

static int run_plan(const struct sq_options *options)
{
    sq_auto(planning_cleanup) struct planning planning = {0};
    struct sq_error error;
    if (load(options, &planning, &error) != 0)
        return sq_command_fail(options, &error);
    int status = 0;
    if (!options->offline) {
        if (sq_agents_open(planning.inventory, &planning.loop, &planning.names, &planning.client, &error) !=
            0)
            return sq_command_fail(options, &error);
        status = ask(&planning, &error);
    }
    /* A plan with a problem is shown, and not kept: it could not be run. */
    if (status == 0 && options->output_path != NULL &&
        sq_plan_file_write(options->output_path, planning.plan, options->offline, planning.input.text,
                           options->settings, options->setting_count, planning.sha256, &error) != 0)
        return sq_command_fail(options, &error);
    const struct sq_error *refusal = status != 0 ? &error : NULL;
    return options->json ? finish_json(options, &planning, refusal)
                         : finish_text(options, &planning, refusal);
}

static const struct sq_option option_output = {
    .name = "output",
    .letter = 'o',
    .value = "PLAN",
    .help = "write the plan to this file, which `squall run` takes",
    .place = offsetof(struct sq_options, output_path),
};
static const struct sq_option option_offline = {
    .name = "offline",
    .help = "ask no agent: show what the inventory alone can tell",
    .place = offsetof(struct sq_options, offline),
};
static const struct sq_option *const option_table[] = {
    &sq_option_hosts,      &sq_option_set,   &option_output,  &option_offline,
    &sq_option_prometheus, &sq_option_local, &sq_option_json, NULL};

const struct sq_command sq_command_plan = {
    .name = "plan",
    .synopsis = "plan FILE",
    .help = "show what an experiment would do, host by host, without doing it\n"
            "\n"
            "A dry run on the live agents: each is asked what its part would touch and what\n"
            "it would spare, by the code that a run uses, under its host's own policy.\n"
            "Nothing is injected, changed or written on any host. Per step: the fault, its\n"
            "time, which hosts were chosen out of how many that match. Per host: the\n"
            "interfaces, peers and processes that would be hit, and what is spared. Every\n"
            "probe is measured once, and shown beside its tolerance.\n"
            "\n"
            "With -o PLAN the plan is written with its SHA-256; `squall run PLAN` then does\n"
            "exactly that, or refuses and shows what has changed. With --offline nobody is\n"
            "asked: the inventory alone tells the hosts.\n"
            "\n"
            "Examples:\n"
            "  squall plan partition.yaml --set victims=2\n"
            "  squall plan partition.yaml -o friday.plan && squall run friday.plan\n"
            "\n"
            "Exit status: 0 when it could be run as it stands, 2 for a wrong file, 3 when a\n"
            "host refuses (policy, conflict, limit, nobody to hit) or the steady state is\n"
            "measured as bad, 4 when a host cannot be reached or a probe not be measured.\n",
    .options = option_table,
    .operands_least = 1,
    .operands_most = 1,
    .run = run_plan,
};
