#include "engine/run.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "engine/run_state.h"
#include "model/ending.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define METHOD_SLACK_NS                                                                                      \
    (50 * SQ_NS_PER_MILLISECOND) /* so that faults end by their own time, not by our order */
#define TICK_MOST_MS 200
#define WATCHED_FDS  6

/* All that by default end or stop a process and can be caught. */
static const int stopping_signals[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,   SIGTSTP,
                                       SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGXCPU};

int sq_run_block_signals(int *signal_fd, struct sq_error *error)
{
    sigset_t wanted;
    sigset_t blocked;
    (void)sigemptyset(&wanted);
    for (size_t i = 0; i < sizeof(stopping_signals) / sizeof(stopping_signals[0]); i++)
        (void)sigaddset(&wanted, stopping_signals[i]);
    blocked = wanted;
    /* Blocked, these two let a background process use its terminal instead of stopping it. */
    (void)sigaddset(&blocked, SIGTTOU);
    (void)sigaddset(&blocked, SIGTTIN);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGPIPE, &ignore, NULL) != 0 || sigaction(SIGXFSZ, &ignore, NULL) != 0)
        return sq_fail_errno(error, errno, "signals");
    int number = pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    if (number != 0)
        return sq_fail_errno(error, number, "signals");
    *signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (*signal_fd < 0)
        return sq_fail_errno(error, errno, "signalfd");
    return 0;
}

bool sq_run_is_interrupted(int signal_fd, const char **name)
{
    struct signalfd_siginfo info;
    if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return false;
    *name = sigabbrev_np((int)info.ssi_signo);
    return true;
}

void sq_run_enter(struct sq_run *run, enum sq_run_phase phase)
{
    run->phase = phase;
    run->phase_boot_ns = sq_boot_ns();
    sq_run_record_phase(run);
    if (phase != SQ_PHASE_DONE)
        sq_run_say(run, "%s", sq_run_phase_name(phase));
    sq_record_save(run->options.record);
    run->next_view_boot_ns = 0;
}

static bool is_anything_ordered(const struct sq_run *run)
{
    for (uint32_t i = 0; i < run->host_count; i++)
        if (run->hosts[i].ordered)
            return true;
    return false;
}

void sq_run_end(struct sq_run *run, enum sq_exit ending, const char *format, ...)
{
    bool first = !run->ended;
    if (first) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(run->why, sizeof(run->why), format, arguments);
        va_end(arguments);
        run->ended = true;
        run->ending = ending;
        run->ended_boot_ns = sq_boot_ns();
    }
    if (run->phase >= SQ_PHASE_REVERT) {
        if (first)
            sq_run_record_decision(run, sq_ending_name(ending), run->why);
        return;
    }
    /* The orders to revert leave before anything else is done. */
    if (is_anything_ordered(run)) {
        run->phase = SQ_PHASE_REVERT;
        sq_run_revert(run, sq_boot_ns());
        sq_run_record_decision(run, sq_ending_name(run->ending), run->why);
        if (run->ending != SQ_EXIT_COMPLETED)
            sq_run_say(run, "%s: %s", sq_ending_name(run->ending), run->why);
        sq_run_enter(run, SQ_PHASE_REVERT);
    } else {
        sq_run_record_decision(run, sq_ending_name(run->ending), run->why);
        sq_run_enter(run, SQ_PHASE_DONE);
    }
}

static void on_stop(struct sq_run *run, const char *what)
{
    run->signals++;
    sq_run_record_decision(run, "asked-to-stop", what);
    if (run->phase == SQ_PHASE_REVERT) {
        sq_run_say(run, "%s: the rollback is under way and cannot be skipped", what);
        if (run->ended && run->ending == SQ_EXIT_COMPLETED) {
            /* The method was through, but nobody will verify the recovery now. */
            run->ending = SQ_EXIT_ABORTED;
            (void)snprintf(run->why, sizeof(run->why), "stopped by %s during the rollback", what);
        }
        return;
    }
    if (run->phase == SQ_PHASE_RECOVER) {
        if (run->ending == SQ_EXIT_COMPLETED) {
            run->ending = SQ_EXIT_ABORTED;
            (void)snprintf(run->why, sizeof(run->why), "stopped by %s while the recovery was verified", what);
        }
        sq_run_enter(run, SQ_PHASE_DONE);
        return;
    }
    sq_run_end(run, SQ_EXIT_ABORTED, "stopped by %s", what);
}

static void take_signals(struct sq_run *run)
{
    const char *name;
    char what[32];
    while (sq_run_is_interrupted(run->options.signal_fd, &name)) {
        (void)snprintf(what, sizeof(what), "SIG%s", name != NULL ? name : "?");
        on_stop(run, what);
    }
}

/* All have answered: go on, or say everything that stands in the way. */
static void judge_answers(struct sq_run *run, void (*next)(struct sq_run *run))
{
    char text[SQ_RUN_TEXT_MAX] = "";
    enum sq_exit ending = SQ_EXIT_COMPLETED;
    uint32_t problems = 0;
    size_t used = 0;
    for (uint32_t i = 0; i < run->host_count; i++) {
        const struct sq_run_host *host = &run->hosts[i];
        if (!host->answered)
            return;
        if (host->problem.code == SQ_OK)
            continue;
        enum sq_exit own = sq_exit_of(host->problem.code);
        /* An agent that calls our order malformed is no mistake of the command line. */
        if (own == SQ_EXIT_WRONG)
            own = SQ_EXIT_FAILED;
        /* What an earlier experiment left there stands in our way; we have done nothing. */
        if (own == SQ_EXIT_UNCLEAN)
            own = SQ_EXIT_REFUSED;
        if (ending == SQ_EXIT_COMPLETED || own == SQ_EXIT_REFUSED)
            ending = own;
        if (problems++ > 0)
            sq_run_say(run, "%s", host->problem.text);
        else
            used = (size_t)snprintf(text, sizeof(text), "%s", host->problem.text);
    }
    if (problems == 0) {
        next(run);
        return;
    }
    if (problems > 1 && used < sizeof(text))
        (void)snprintf(text + used, sizeof(text) - used, " (and %u more)", problems - 1);
    sq_run_end(run, ending, "%s", text);
}

static void begin_prepare(struct sq_run *run)
{
    sq_run_enter(run, SQ_PHASE_PREPARE);
    sq_run_prepare(run);
}

static void begin_steady(struct sq_run *run)
{
    sq_run_enter(run, SQ_PHASE_STEADY);
    run->before_held = run->hypothesis == NULL;
    sq_run_watch_begin(run, SQ_HYPOTHESIS_BEFORE, sq_boot_ns());
}

static void begin_injection(struct sq_run *run)
{
    uint64_t now_boot_ns = sq_boot_ns();
    sq_run_plan_injection(run, now_boot_ns);
    sq_run_watch_begin(run, SQ_HYPOTHESIS_DURING, now_boot_ns);
    run->phase = SQ_PHASE_WATCH;
    sq_run_inject_due(run, now_boot_ns);
    if (!run->ended)
        sq_run_enter(run, SQ_PHASE_WATCH);
}

static bool method_is_over(const struct sq_run *run, uint64_t now_boot_ns)
{
    bool all_finished = true;
    for (uint32_t i = 0; i < run->host_count; i++)
        all_finished = all_finished && run->hosts[i].finished;
    uint64_t length_ns = sq_experiment_length_ns(run->experiment);
    uint64_t end_boot_ns = sq_ns_add(run->inject_boot_ns, length_ns);
    return now_boot_ns >= sq_ns_add(end_boot_ns, METHOD_SLACK_NS) ||
           (all_finished && now_boot_ns >= end_boot_ns);
}

static void after_rollback(struct sq_run *run)
{
    bool verify = run->hypothesis != NULL && run->hypothesis->probe_count > 0 && run->inject_boot_ns != 0 &&
                  (run->ending == SQ_EXIT_COMPLETED || run->ending == SQ_EXIT_DEVIATED);
    if (!verify) {
        sq_run_enter(run, SQ_PHASE_DONE);
        return;
    }
    sq_run_watch_begin(run, SQ_HYPOTHESIS_AFTER, sq_boot_ns());
    sq_run_enter(run, SQ_PHASE_RECOVER);
}

static void take_recovery(struct sq_run *run)
{
    if (!run->after_checked)
        return;
    if (!run->after_held && run->ending == SQ_EXIT_COMPLETED) {
        run->ending = run->watch.verdict == SQ_VERDICT_BROKEN ? SQ_EXIT_DEVIATED : SQ_EXIT_FAILED;
        (void)snprintf(run->why, sizeof(run->why), "%s", run->after_why);
    }
    sq_run_enter(run, SQ_PHASE_DONE);
}

static void advance(struct sq_run *run, uint64_t now_boot_ns)
{
    switch (run->phase) {
    case SQ_PHASE_HELLO:
        judge_answers(run, begin_prepare);
        break;
    case SQ_PHASE_PREPARE:
        judge_answers(run, begin_steady);
        break;
    case SQ_PHASE_STEADY:
        if (run->before_held)
            begin_injection(run);
        break;
    case SQ_PHASE_WATCH:
        sq_run_inject_due(run, now_boot_ns);
        if (!run->ended && method_is_over(run, now_boot_ns))
            sq_run_end(run, SQ_EXIT_COMPLETED, "the method ran to its end");
        break;
    case SQ_PHASE_REVERT:
        sq_run_revert_due(run, now_boot_ns);
        if (sq_run_is_rolled_back(run, now_boot_ns))
            after_rollback(run);
        break;
    case SQ_PHASE_RECOVER:
        take_recovery(run);
        break;
    case SQ_PHASE_DONE:
        break;
    }
}

static void look_after_leases(struct sq_run *run, uint64_t now_boot_ns)
{
    if (run->phase == SQ_PHASE_PREPARE || run->phase == SQ_PHASE_STEADY || run->phase == SQ_PHASE_WATCH) {
        sq_run_renew_due(run, now_boot_ns);
        sq_run_check_leases(run, now_boot_ns);
    }
}

static void tick(struct sq_run *run)
{
    uint64_t now_boot_ns = sq_boot_ns();
    if (sq_console_is_broken(run->options.console) && !run->console_lost) {
        run->console_lost = true;
        on_stop(run, "the loss of the terminal or pipe that progress goes to");
    }
    look_after_leases(run, now_boot_ns);
    sq_run_watch_due(run, now_boot_ns);
    advance(run, now_boot_ns);
    sq_run_show(run, now_boot_ns);
    if (run->phase == SQ_PHASE_WATCH || run->phase == SQ_PHASE_STEADY)
        sq_record_save_sometimes(run->options.record, now_boot_ns);
}

static int wait_ms(const struct sq_run *run)
{
    uint64_t now_boot_ns = sq_boot_ns();
    uint64_t next_boot_ns = now_boot_ns + TICK_MOST_MS * SQ_NS_PER_MILLISECOND;
    uint64_t candidates[4] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    if (run->phase < SQ_PHASE_REVERT)
        candidates[0] = sq_run_agents_next_boot_ns(run, now_boot_ns);
    if (run->phase == SQ_PHASE_WATCH)
        candidates[1] =
            sq_ns_add(run->inject_boot_ns, sq_experiment_length_ns(run->experiment) + METHOD_SLACK_NS);
    if (run->phase == SQ_PHASE_REVERT)
        candidates[2] = sq_run_revert_next_boot_ns(run);
    if (run->hypothesis != NULL && run->phase != SQ_PHASE_REVERT && run->phase >= SQ_PHASE_STEADY)
        candidates[3] = sq_watch_next_boot_ns(&run->watch);
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
        if (candidates[i] < next_boot_ns)
            next_boot_ns = candidates[i];
    uint64_t wait_ns = sq_ns_sub(next_boot_ns, now_boot_ns);
    return (int)((wait_ns + SQ_NS_PER_MILLISECOND - 1) / SQ_NS_PER_MILLISECOND);
}

/* As far as it goes without waiting: what is empty is over at once. */
static void go_on(struct sq_run *run)
{
    enum sq_run_phase before;
    do {
        before = run->phase;
        tick(run);
    } while (run->phase != before && run->phase != SQ_PHASE_DONE);
}

static void turn(struct sq_run *run)
{
    struct pollfd fds[WATCHED_FDS] = {
        {.fd = sq_client_fd(run->options.client), .events = POLLIN},
        {.fd = run->options.signal_fd, .events = POLLIN},
        {.fd = run->http != NULL ? sq_http_fd(run->http) : -1, .events = POLLIN},
        /* No events: told only when the reader or the terminal is gone. */
        {.fd = run->console_lost ? -1 : STDOUT_FILENO},
        {.fd = run->console_lost ? -1 : STDERR_FILENO},
        {.fd = sq_console_wants_to_write(run->options.console) ? sq_console_fd(run->options.console) : -1,
         .events = POLLOUT},
    };
    (void)poll(fds, WATCHED_FDS, wait_ms(run));
    take_signals(run);
    sq_run_take_answers(run);
    if (run->http != NULL)
        sq_http_step(run->http);
    if (((fds[3].revents | fds[4].revents) & (POLLERR | POLLHUP)) != 0 && !run->console_lost) {
        run->console_lost = true;
        on_stop(run, "the loss of the terminal or pipe of its output");
    }
    go_on(run);
}

/* What was gone when it was to be taken away cannot have been in until then: nothing held under it. */
static void judge_vanished(struct sq_run *run, const struct sq_run_host *host)
{
    for (uint32_t i = 0; i < host->report_count && run->ending == SQ_EXIT_COMPLETED; i++) {
        const struct sq_fault_report *report = &host->reports[i];
        if (report->state != SQ_STATE_FAILED || report->injected_boot_ns == 0)
            continue;
        run->ending = SQ_EXIT_FAILED;
        run->why[0] = '\0';
        sq_text_append(run->why, sizeof(run->why), "%s: \"%s\" failed: %s", host->name,
                       sq_run_step_of(run, host, report->index)->name, report->message);
        sq_run_record_decision(run, sq_ending_name(run->ending), run->why);
    }
}

static void settle(struct sq_run *run)
{
    for (uint32_t i = 0; i < run->host_count; i++)
        judge_vanished(run, &run->hosts[i]);
    for (uint32_t i = 0; i < run->host_count; i++) {
        if (!sq_run_host_is_unclean(&run->hosts[i]))
            continue;
        sq_run_record_decision(run, "unclean", run->hosts[i].name);
        run->ending = SQ_EXIT_UNCLEAN;
    }
}

enum sq_exit sq_run_execute(struct sq_run *run)
{
    run->began_boot_ns = sq_boot_ns();
    sq_run_record_begin(run);
    sq_run_enter(run, SQ_PHASE_HELLO);
    sq_run_say_hello(run);
    go_on(run);
    while (run->phase != SQ_PHASE_DONE)
        turn(run);
    sq_console_view(run->options.console, "");
    settle(run);
    sq_run_record_hosts(run);
    return run->ending;
}

static bool needs_http(const struct sq_run *run)
{
    return run->hypothesis != NULL && run->hypothesis->probe_count > 0;
}

int sq_run_new(const struct sq_run_options *options, struct sq_run **run_out, struct sq_error *error)
{
    const struct sq_plan *plan = options->plan;
    struct sq_run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for the run");
    run->options = *options;
    run->experiment = plan->experiment;
    run->host_count = plan->host_count;
    run->hosts = calloc(plan->host_count + 1, sizeof(*run->hosts));
    run->host_of = calloc(plan->inventory->host_count + 1, sizeof(*run->host_of));
    bool made = run->hosts != NULL && run->host_of != NULL;
    if (plan->experiment->has_hypothesis) {
        run->hypothesis = &plan->experiment->hypothesis;
        made = sq_watch_init(&run->watch, run->hypothesis, error) == 0 && made;
    }
    for (uint32_t i = 0; made && i < plan->inventory->host_count; i++)
        run->host_of[i] = UINT32_MAX;
    for (uint32_t i = 0; made && i < plan->host_count; i++) {
        struct sq_run_host *host = &run->hosts[i];
        host->plan = &plan->hosts[i];
        host->name = host->plan->host->name;
        host->index = (uint32_t)(host->plan->host - plan->inventory->hosts);
        run->host_of[host->index] = i;
        host->reports = calloc(SQ_FAULTS_MAX, sizeof(*host->reports));
        made = host->reports != NULL;
    }
    if (!made) {
        sq_run_free(run);
        return sq_fail(error, SQ_SYSTEM, "out of memory for the run");
    }
    if (needs_http(run) && sq_http_open(&run->http, error) != 0) {
        sq_run_free(run);
        return -1;
    }
    *run_out = run;
    return 0;
}

void sq_run_free(struct sq_run *run)
{
    if (run == NULL)
        return;
    sq_http_close(run->http);
    for (uint32_t i = 0; run->hosts != NULL && i < run->host_count; i++)
        free(run->hosts[i].reports);
    free(run->hosts);
    free(run->host_of);
    sq_watch_free(&run->watch);
    free(run);
}
