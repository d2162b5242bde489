#include "faults/process_survey.h"

#include "common/sample.h"
#include "common/text.h"
#include "kernel/process_walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The surveys of one request, and what making them takes. */
static struct {
    uint64_t request_number; /* 0: none that could be shared */
    bool has_parts;
    uint32_t count;
    struct sq_process_survey surveys[SQ_FAULTS_MAX];
    struct sq_process_guard guard;
    struct sq_process_walk walk;
    struct sq_process_view view;
} shared;

static bool is_behind(const struct sq_process_candidate *a, const struct sq_process_candidate *b)
{
    return a->rank != b->rank ? a->rank > b->rank : a->id.pid > b->id.pid;
}

static void add_candidate(struct sq_process_survey *survey, const struct sq_process *process)
{
    /* pid and start time: the same victims in the plan and in the run, as long as the host stays as it is. */
    char name[64];
    (void)snprintf(name, sizeof name, "%d:%" PRIu64, (int)process->id.pid, process->id.start_ticks);
    struct sq_process_candidate candidate = {.rank = sq_sample_rank(survey->seed, name), .id = process->id};
    (void)sq_text_copy(candidate.comm, sizeof candidate.comm, process->comm);
    if (survey->count < SQ_VICTIMS_MAX) {
        survey->candidates[survey->count++] = candidate;
        return;
    }
    struct sq_process_candidate *last = &survey->candidates[0];
    for (uint32_t i = 1; i < survey->count; i++)
        if (is_behind(&survey->candidates[i], last))
            last = &survey->candidates[i];
    if (is_behind(last, &candidate))
        *last = candidate;
}

static void add_spared(struct sq_process_survey *survey, const struct sq_process *process, const char *why)
{
    if (survey->spared < SQ_SPARED_LINES_MAX)
        (void)snprintf(survey->spared_lines[survey->spared], SQ_LINE_MAX, "%.40s[%d]: %.140s", process->comm,
                       (int)process->id.pid, why);
    survey->spared++;
}

/* Of one process: to whom it belongs of those that match, and whether it is spared at all. */
static void look_at(struct sq_process_view *view)
{
    char why[160];
    bool is_judged = false;
    bool is_spared = false;
    for (uint32_t i = 0; i < shared.count; i++) {
        struct sq_process_survey *survey = &shared.surveys[i];
        if (!sq_process_matches(&survey->pattern, view))
            continue;
        if (!is_judged) {
            struct sq_process again;
            is_judged = true;
            is_spared = sq_process_is_spared(&shared.guard, view, why, sizeof why);
            if (is_spared && (sq_process_read_at(view->proc_fd, view->pid, &again) != 0 || again.is_exiting))
                return; /* it exited meanwhile */
        }
        survey->matched++;
        if (is_spared)
            add_spared(survey, &view->process, why);
        else
            add_candidate(survey, &view->process);
    }
}

static int each_process(void (*visit)(struct sq_process_view *view), struct sq_error *error)
{
    pid_t pid = -1;
    if (sq_process_walk_start(&shared.walk, error) != 0)
        return -1;
    while ((pid = sq_process_walk_next(&shared.walk, error)) > 0) {
        sq_process_view_begin(&shared.view, shared.walk.proc_fd, pid);
        visit(&shared.view);
    }
    sq_process_walk_end(&shared.walk);
    return pid;
}

static void begin_survey(const struct sq_fault_order *order)
{
    struct sq_process_survey *survey = &shared.surveys[shared.count++];
    survey->order_index = order->index;
    survey->seed = order->spec.kill.seed;
    sq_process_pattern_init(&survey->pattern, &order->spec.kill.selector);
    survey->matched = survey->spared = survey->count = 0;
    memset(&survey->parts, 0, sizeof survey->parts);
}

static const struct sq_process_survey *find_survey(const struct sq_fault_order *order)
{
    for (uint32_t i = 0; i < shared.count; i++)
        if (shared.surveys[i].order_index == order->index)
            return &shared.surveys[i];
    return NULL;
}

int sq_process_survey(const struct sq_fault_order *order, const struct sq_fault_env *env,
                      const struct sq_process_survey **survey, struct sq_error *error)
{
    bool is_taken = env->request_number != 0 && env->request_number == shared.request_number;
    if (is_taken && (*survey = find_survey(order)) != NULL)
        return 0;
    shared.request_number = 0;
    shared.has_parts = false;
    shared.count = 0;
    for (uint32_t i = 0; i < env->order_count && i < SQ_FAULTS_MAX; i++)
        if (env->orders[i].spec.kind == SQ_PROCESS_KILL)
            begin_survey(&env->orders[i]);
    if (find_survey(order) == NULL) {
        shared.count = 0;
        begin_survey(order);
    }
    sq_process_guard_init(&shared.guard, env);
    if (each_process(look_at, error) != 0)
        return -1;
    shared.request_number = env->request_number;
    *survey = find_survey(order);
    return 0;
}

static void count_parts(struct sq_process_view *view)
{
    for (uint32_t i = 0; i < shared.count; i++) {
        struct sq_process_survey *survey = &shared.surveys[i];
        struct sq_process_verdict verdict;
        if (survey->matched > 0)
            continue;
        (void)sq_process_judge(&survey->pattern, view, &verdict);
        survey->parts.seen++;
        survey->parts.by_executable += verdict.executable;
        survey->parts.by_comm += verdict.comm;
        survey->parts.by_command_line += verdict.command_line;
        survey->parts.unreadable += verdict.unreadable;
    }
}

static int fail_unmatched(const struct sq_process_survey *survey, struct sq_error *error)
{
    const struct sq_process_selector *selector = &survey->pattern.selector;
    const struct sq_process_parts *parts = &survey->parts;
    char text[400] = "";
    if (!shared.has_parts && each_process(count_parts, error) != 0)
        return -1;
    shared.has_parts = true;
    if (selector->executable[0] != '\0')
        sq_text_append(text, sizeof text, ", %u run %.100s%s", parts->by_executable, selector->executable,
                       access(selector->executable, F_OK) == 0 ? "" : " (no such file here)");
    if (selector->comm[0] != '\0')
        sq_text_append(text, sizeof text, ", %u have the comm '%s'", parts->by_comm, selector->comm);
    if (selector->command_line[0] != '\0')
        sq_text_append(text, sizeof text, ", %u match the command line '%.100s'", parts->by_command_line,
                       selector->command_line);
    if (parts->unreadable > 0)
        sq_text_append(text, sizeof text, ", %u could not be read (is CAP_SYS_PTRACE missing?)",
                       parts->unreadable);
    return sq_fail(error, SQ_NOBODY, "no process matches: of %u looked at%s", parts->seen, text);
}

int sq_process_survey_fail(const struct sq_process_survey *survey, struct sq_error *error)
{
    if (survey->matched == 0)
        return fail_unmatched(survey, error);
    const char *first = survey->spared_lines[0];
    if (survey->matched == 1)
        return sq_fail(error, SQ_NOBODY, "one process matches, and it is spared (%.120s)", first);
    return sq_fail(error, SQ_NOBODY, "%u processes match, and all of them are spared (the first: %.120s)",
                   survey->matched, first);
}
