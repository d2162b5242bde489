#include "engine/run.h"

#include "agents/local_agent.h"
#include "commands/everybody.h"
#include "commands/inventory.h"
#include "commands/operator.h"
#include "commands/options.h"
#include "commands/output.h"
#include "commands/records.h"
#include "commands/steady.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "model/ending.h"
#include "planning/dry_run.h"
#include "planning/plan.h"
#include "planning/plan_file.h"
#include "reading/experiment.h"
#include "record/record.h"
#include "record/runs.h"
#include "screen/plan_print.h"
#include "screen/run_screen.h"
#include "screen/style.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAST_WORDS_PATIENCE_NS (5 * SQ_NS_PER_SECOND)

/* What a run is made of, in the order in which it is made. */
struct session {
    const struct sq_options *options;
    struct sq_input input;          /* what was named */
    struct sq_plan_file *plan_file; /* NULL: an experiment was given */
    struct sq_experiment *experiment;
    struct sq_local_agent *local_agent;
    struct sq_inventory *own_inventory;
    const struct sq_inventory *inventory;
    struct sq_steady steady;
    int signal_fd;
    struct sq_loop *loop;
    struct sq_names *names;
    struct sq_client *client;
    struct sq_plan *plan;
    struct sq_id id;
    char record_path[PATH_MAX];
    char operator_name[SQ_NAME_MAX];
    struct sq_record *record;
    struct sq_console *console;
    struct sq_run_screen *screen;
    struct sq_observer observers[2];
    struct sq_loop_source *outputs[2];
    bool output_lost;
    bool output_cut; /* a full disk under it */
    struct sq_run *run;
    char brief[SQ_ERROR_TEXT_MAX]; /* of a refusal whose reasons the plan has shown */
    FILE *progress;                /* where people look: standard output, or standard error with --json */
    bool colored;
};

static void session_cleanup(struct session *session)
{
    sq_run_free(session->run);
    sq_run_screen_close(session->screen);
    for (size_t i = 0; i < sizeof(session->outputs) / sizeof(session->outputs[0]); i++)
        sq_loop_remove(session->outputs[i]);
    sq_console_close(session->console, 0);
    sq_steady_close(&session->steady);
    sq_client_close(session->client);
    sq_names_close(session->names);
    sq_loop_close(session->loop);
    sq_local_agent_stop(session->local_agent);
    sq_record_close(session->record);
    sq_plan_free(session->plan);
    sq_inventory_free(session->own_inventory);
    sq_experiment_free(session->experiment);
    sq_plan_file_free(session->plan_file);
    sq_input_free(&session->input);
    sq_cleanup_close(&session->signal_fd);
}

static int load_experiment(struct session *session, struct sq_error *error)
{
    const struct sq_options *options = session->options;
    const char *path = options->operands[0];
    if (sq_input_read(path, &session->input, error) != 0)
        return -1;
    if (!sq_plan_file_is(&session->input))
        return sq_command_read_experiment(options, &session->input, &session->experiment, error);
    if (options->setting_count > 0)
        return sq_fail(
            error, SQ_BAD_INPUT,
            "%s is a plan, whose parameters are fixed: leave out --set, or run the experiment file", path);
    if (sq_plan_file_load(&session->input, &session->plan_file, error) != 0)
        return -1;
    return sq_plan_file_experiment(session->plan_file, &session->experiment, error);
}

static int load_inventory(struct session *session, struct sq_error *error)
{
    if (session->options->local) {
        if (sq_local_agent_start(&session->local_agent, error) != 0)
            return -1;
        session->inventory = sq_local_agent_inventory(session->local_agent);
        return 0;
    }
    if (sq_command_inventory(session->options, true, &session->own_inventory, error) != 0)
        return -1;
    session->inventory = session->own_inventory;
    return 0;
}

static int open_record(struct session *session, struct sq_error *error)
{
    const struct sq_options *options = session->options;
    uint64_t now_real_ns = sq_real_ns();
    if (sq_id_make(&session->id, error) != 0)
        return -1;
    if (options->record_path != NULL && !sq_text_copy(session->record_path, PATH_MAX, options->record_path))
        return sq_fail(error, SQ_BAD_INPUT, "--record: the path is too long");
    if (options->record_path == NULL &&
        sq_runs_make(sq_records_folder(options, session->inventory), now_real_ns, &session->id,
                     session->record_path, PATH_MAX, error) != 0)
        return -1;
    sq_operator_name(session->operator_name);
    const struct sq_plan_file *plan_file = session->plan_file;
    struct sq_record_head head = {
        .began_boot_ns = sq_boot_ns(),
        .began_real_ns = now_real_ns,
        .id = session->id,
        .operator_name = session->operator_name,
        .prometheus_url = session->steady.prometheus.url,
        .experiment_path = options->operands[0],
        .experiment_text = plan_file != NULL ? plan_file->experiment_text : session->input.text,
        .plan_sha256 = plan_file != NULL ? plan_file->sha256 : NULL,
        .plan = session->plan,
    };
    if (sq_record_open(&head, session->record_path, &session->record, error) == 0)
        return 0;
    if (options->record_path == NULL)
        sq_runs_unmake(session->record_path);
    return -1;
}

static int refuse_unasked(const struct session *session, struct sq_error *error)
{
    const struct sq_options *options = session->options;
    if (session->plan_file != NULL)
        return sq_fail(error, SQ_BAD_INPUT,
                       "there is no terminal to ask on: to run the plan as it was shown, give --yes");
    return sq_fail(error, SQ_BAD_INPUT,
                   "there is no terminal to ask on: look at the blast radius with `squall plan %s%s`%s, then "
                   "run with --yes",
                   options->local ? "--local " : "", options->operands[0],
                   options->setting_count > 0 ? " and the same --set" : "");
}

/* Everything that can be wrong without an agent. */
static int make_ready(struct session *session, struct sq_error *error)
{
    if (load_experiment(session, error) != 0 || load_inventory(session, error) != 0 ||
        sq_steady_open(session->options, session->experiment, session->inventory, &session->steady, error) !=
            0 ||
        sq_plan_make(session->experiment, session->inventory, &session->plan, error) != 0)
        return -1;
    if (!session->options->yes && isatty(STDIN_FILENO) != 1)
        return refuse_unasked(session, error);
    /* Before any thread is started, since threads inherit the mask. */
    if (sq_run_block_signals(&session->signal_fd, error) != 0 || open_record(session, error) != 0)
        return -1;
    return sq_agents_open(session->inventory, &session->loop, &session->names, &session->client, error);
}

static int check_plan(struct session *session, struct sq_error *error)
{
    sq_autofree char *differences = NULL;
    sq_auto(sq_dry_run_close) struct sq_dry_run dry_run = {0};
    if (sq_dry_run_open(session->plan, &dry_run, error) != 0)
        return -1;
    if (session->local_agent != NULL)
        (void)fprintf(session->progress, "%s\n", sq_local_agent_note(session->local_agent));
    int status = sq_dry_run_ask(session->plan, session->client, session->signal_fd, &dry_run, error);
    if (status == 0 || error->code != SQ_ABORTED)
        sq_plan_print(session->plan, dry_run.problems, &dry_run.company, false, session->colored,
                      session->progress);
    (void)fflush(session->progress);
    if (status != 0) {
        sq_dry_run_brief(&dry_run, session->plan, error, session->brief);
        return -1;
    }
    status = sq_steady_measure(&session->steady, session->experiment, session->signal_fd, error);
    sq_steady_print(&session->steady, session->experiment, session->colored, session->progress);
    (void)fflush(session->progress);
    if (status != 0)
        return -1;
    if (session->plan_file == NULL)
        return 0;
    if (sq_plan_file_compare(session->plan_file, session->plan, &differences, error) == 0)
        return 0;
    (void)fprintf(session->progress, "%s", differences != NULL ? differences : "");
    (void)fflush(session->progress);
    return -1;
}

static void on_ready(void *cookie, uint32_t events)
{
    (void)events;
    *(bool *)cookie = true;
}

/* For a line, the end of the input, or a signal. */
static int wait_for_answer(struct session *session, struct sq_error *error)
{
    struct sq_loop_source *input = NULL;
    struct sq_loop_source *signal = NULL;
    bool ready = false;
    int status = sq_loop_add_fd(session->loop, STDIN_FILENO, EPOLLIN, on_ready, &ready, &input, error);
    if (status == 0)
        status = sq_loop_add_fd(session->loop, session->signal_fd, EPOLLIN, on_ready, &ready, &signal, error);
    while (status == 0 && !ready)
        status = sq_loop_turn(session->loop, UINT64_MAX, error);
    sq_loop_remove(input);
    sq_loop_remove(signal);
    return status;
}

/* [y/N] on the terminal, with the signals still heard. */
static int ask(struct session *session, struct sq_error *error)
{
    char answer[64] = "";
    const char *signal_name;
    if (session->options->yes)
        return 0;
    uint32_t hosts = session->plan->host_count;
    (void)fprintf(session->progress, "Run this on %u host%s? [y/N] ", hosts, hosts == 1 ? "" : "s");
    (void)fflush(session->progress);
    if (wait_for_answer(session, error) != 0)
        return -1;
    if (sq_run_is_interrupted(session->signal_fd, &signal_name)) {
        (void)fprintf(session->progress, "\n");
        return sq_fail(error, SQ_ABORTED, "stopped by SIG%s before anything was done",
                       signal_name != NULL ? signal_name : "?");
    }
    ssize_t length = read(STDIN_FILENO, answer, sizeof(answer) - 1);
    if (length > 0)
        answer[strcspn(answer, "\r\n")] = '\0';
    if (length <= 0 || (strcasecmp(answer, "y") != 0 && strcasecmp(answer, "yes") != 0))
        return sq_fail(error, SQ_ABORTED, "not confirmed: nothing was done");
    return 0;
}

static int end_early(struct session *session, const struct sq_error *error)
{
    struct sq_error problem = {0};
    if (session->record != NULL) {
        sq_record_end_early(session->record, sq_exit_of(error->code), error->text);
        if (sq_record_finish(session->record, &problem) != 0)
            (void)fprintf(stderr, "squall: the record %s is not whole: %s\n", session->record_path,
                          problem.text);
    }
    /* What the plan has shown is not said again; programs get all of it. */
    struct sq_error said = *error;
    if (session->brief[0] != '\0' && !session->options->json)
        (void)sq_text_copy(said.text, sizeof(said.text), session->brief);
    return sq_command_fail(session->options, &said);
}

static void on_output_lost(struct session *session, const char *what)
{
    if (session->output_lost || session->run == NULL)
        return;
    session->output_lost = true;
    sq_run_stop(session->run, what);
}

static void on_screen_lost(void *cookie)
{
    on_output_lost(cookie, "the loss of the terminal or pipe that progress goes to");
}

/* Watched for no events: told only when the reader or the terminal is gone. */
static void on_hang_up(void *cookie, uint32_t events)
{
    struct session *session = cookie;
    (void)events;
    for (size_t i = 0; i < sizeof(session->outputs) / sizeof(session->outputs[0]); i++) {
        sq_loop_remove(session->outputs[i]);
        session->outputs[i] = NULL;
    }
    on_output_lost(session, "the loss of the terminal or pipe of its output");
}

static int open_screen(struct session *session, struct sq_error *error)
{
    int fd = fileno(session->progress);
    bool live = isatty(fd) == 1 && sq_style_terminal_is_capable();
    if (sq_console_open(fd, live, &session->console, error) != 0)
        return -1;
    struct sq_run_screen_options options = {.loop = session->loop,
                                            .console = session->console,
                                            .colored = session->colored,
                                            .lost = on_screen_lost,
                                            .cookie = session};
    return sq_run_screen_open(&options, &session->screen, error);
}

static int make_run(struct session *session, struct sq_error *error)
{
    if (open_screen(session, error) != 0)
        return -1;
    session->observers[0] = sq_record_observer(session->record);
    session->observers[1] = sq_run_screen_observer(session->screen);
    struct sq_run_options options = {
        .plan = session->plan,
        .client = session->client,
        .prometheus = session->steady.prometheus,
        .loop = session->loop,
        .observers = session->observers,
        .observer_count = sizeof(session->observers) / sizeof(session->observers[0]),
        .id = session->id,
        .operator_name = session->operator_name,
        .signal_fd = session->signal_fd,
    };
    if (sq_run_new(&options, &session->run, error) != 0)
        return -1;
    /* One that is closed from the start is nobody's loss. */
    (void)sq_loop_add_fd(session->loop, STDOUT_FILENO, 0, on_hang_up, session, &session->outputs[0], NULL);
    (void)sq_loop_add_fd(session->loop, STDERR_FILENO, 0, on_hang_up, session, &session->outputs[1], NULL);
    return 0;
}

/* What it came to, on the screen and as JSON. Returns the exit status: 4 for a success that is not recorded.
 */
static int report(struct session *session, enum sq_exit ending, const char *not_whole)
{
    struct sq_error error = {0};
    struct sq_report report = {.summary = sq_record_summary(session->record),
                               .record_path = session->record_path,
                               .not_whole = not_whole};
    struct sq_report_style style = sq_records_style(session->colored);
    (void)fprintf(session->progress, "\n");
    sq_report_text(&report, &style, session->progress);
    bool shown = fflush(session->progress) == 0 && !session->output_cut;
    if (session->options->json && sq_report_json(&report, NULL, stdout, &error) != 0)
        shown = false;
    return ending == SQ_EXIT_COMPLETED && (not_whole != NULL || !shown) ? SQ_EXIT_FAILED : (int)ending;
}

static int run_through(struct session *session)
{
    struct sq_error problem = {0};
    enum sq_exit ending = sq_run_execute(session->run);
    bool whole = sq_record_finish(session->record, &problem) == 0;
    sq_run_screen_close(session->screen);
    session->screen = NULL;
    session->output_cut = sq_console_is_cut(session->console);
    sq_console_close(session->console, LAST_WORDS_PATIENCE_NS);
    session->console = NULL;
    return report(session, ending, whole ? NULL : problem.text);
}

static int run_run(const struct sq_options *options)
{
    struct sq_error error = {0};
    sq_auto(session_cleanup) struct session session = {
        .options = options,
        .signal_fd = -1,
        .progress = options->json ? stderr : stdout,
    };
    session.colored = sq_style_is_wanted(options->color, session.progress);
    if (make_ready(&session, &error) != 0 || check_plan(&session, &error) != 0 ||
        ask(&session, &error) != 0 || make_run(&session, &error) != 0)
        return end_early(&session, &error);
    return run_through(&session);
}

static const struct sq_option option_yes = {
    .name = "yes",
    .letter = 'y',
    .help = "do not ask before the faults are injected; for CI",
    .place = offsetof(struct sq_options, yes),
};
static const struct sq_option option_record = {
    .name = "record",
    .value = "FILE",
    .help =
        "write the run record here instead of into the folder of runs; a device or FIFO is written through, "
        "and a file that is no run record stays as it is",
    .place = offsetof(struct sq_options, record_path),
};
static const struct sq_option *const option_table[] = {
    &sq_option_hosts, &sq_option_set,  &sq_option_prometheus, &option_yes, &sq_option_local,
    &option_record,   &sq_option_runs, &sq_option_json,       NULL};

const struct sq_command sq_command_run = {
    .name = "run",
    .synopsis = "run FILE|PLAN",
    .help = "run an experiment, or a plan that `squall plan -o` wrote\n"
            "\n"
            "The agents are asked what the experiment would do, the blast radius is shown, and on a terminal "
            "squall asks\n"
            "before it goes on; --yes answers for pipelines. Then every host prepares (one refusal, and "
            "nothing is\n"
            "injected anywhere), the steady state is verified, the faults are injected at a common moment, "
            "and the\n"
            "hypothesis is watched. At the end of the method, when the hypothesis breaks, when something "
            "fails, and when\n"
            "you stop it (Ctrl-C, Ctrl-Z, a closed terminal), everything is rolled back on all hosts at "
            "once, and the\n"
            "agents prove that nothing is left. A rollback cannot be skipped.\n"
            "\n"
            "A plan is run exactly as it was shown, or refused with the difference.\n"
            "\n"
            "Everything that happened goes to the run record, squall-runs/<time>-<id>/run.jsonl, from which "
            "`squall report last`\n"
            "shows again what the run came to.\n"
            "\n"
            "Exit status: 0 completed, 1 deviated, 2 wrong usage or file, 3 refused, 4 failed, 5 aborted, 6 "
            "unclean.\n"
            "\n"
            "Example:\n"
            "  squall run --hosts lab.yaml --set victims=1 experiments/web-partition.yaml\n",
    .options = option_table,
    .operands_least = 1,
    .operands_most = 1,
    .run = run_run,
};
