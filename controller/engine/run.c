#include "engine/run.h"

#include "engine/run_state.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define TURN_MOST_NS   (200 * SQ_NS_PER_MILLISECOND)
#define STUCK_PAUSE_NS (10 * SQ_NS_PER_MILLISECOND)

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

static void on_signal(void *cookie, uint32_t events)
{
    struct sq_run *run = cookie;
    const char *name;
    char what[32];
    (void)events;
    while (sq_run_is_interrupted(run->options.signal_fd, &name)) {
        (void)snprintf(what, sizeof(what), "SIG%s", name != NULL ? name : "?");
        sq_run_stop(run, what);
    }
}

static void on_answers(void *cookie, uint32_t events)
{
    (void)events;
    sq_run_take_answers(cookie);
}

static int listen_to(struct sq_run *run, int fd, sq_loop_fd_call call, struct sq_error *error)
{
    if (sq_loop_add_fd(run->options.loop, fd, EPOLLIN, call, run, &run->sources[run->source_count], error) !=
        0)
        return -1;
    run->source_count++;
    return 0;
}

static bool has_probes(const struct sq_run *run)
{
    return run->hypothesis != NULL && run->hypothesis->probe_count > 0;
}

static int listen_to_all(struct sq_run *run, struct sq_error *error)
{
    if (listen_to(run, run->options.signal_fd, on_signal, error) != 0 ||
        listen_to(run, sq_client_fd(run->options.client), on_answers, error) != 0)
        return -1;
    if (!has_probes(run))
        return 0;
    if (sq_names_open(run->options.loop, &run->names, error) != 0)
        return -1;
    return sq_http_open(run->options.loop, run->names, &run->http, error);
}

static void look_after_leases(struct sq_run *run, uint64_t now_boot_ns)
{
    if (run->phase == SQ_PHASE_PREPARE || run->phase == SQ_PHASE_STEADY || run->phase == SQ_PHASE_WATCH) {
        sq_run_renew_due(run, now_boot_ns);
        sq_run_check_leases(run, now_boot_ns);
        sq_run_follow_ending(run);
    }
}

/* As far as it goes without waiting: what is empty is over at once. */
static void go_on(struct sq_run *run)
{
    enum sq_run_phase before;
    sq_run_wake(run);
    do {
        uint64_t now_boot_ns = sq_run_now(run);
        before = run->phase;
        look_after_leases(run, now_boot_ns);
        sq_run_watch_due(run, now_boot_ns);
        sq_run_advance(run, now_boot_ns);
    } while (run->phase != before && run->phase != SQ_PHASE_DONE);
    run->turned_boot_ns = sq_run_now(run);
    sq_run_hand_over(run);
}

static uint64_t next_boot_ns(const struct sq_run *run)
{
    uint64_t now_boot_ns = sq_run_now(run);
    uint64_t first_boot_ns = now_boot_ns + TURN_MOST_NS;
    uint64_t candidates[] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    if (run->phase < SQ_PHASE_REVERT)
        candidates[0] = sq_run_agents_next_boot_ns(run);
    if (run->phase == SQ_PHASE_WATCH) {
        candidates[1] = sq_run_method_end_boot_ns(run);
        candidates[4] = sq_run_inject_next_boot_ns(run);
    }
    if (run->phase == SQ_PHASE_REVERT)
        candidates[2] = sq_run_revert_next_boot_ns(run);
    if (run->hypothesis != NULL && run->phase != SQ_PHASE_REVERT && run->phase >= SQ_PHASE_STEADY)
        candidates[3] = sq_watch_next_boot_ns(&run->watch);
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++)
        if (candidates[i] < first_boot_ns)
            first_boot_ns = candidates[i];
    return first_boot_ns;
}

static void turn(struct sq_run *run)
{
    struct sq_error error = {0};
    if (sq_loop_turn(run->options.loop, next_boot_ns(run), &error) != 0) {
        /* Nothing wakes us any more; what came is still to be had by asking. */
        const struct timespec pause = {.tv_nsec = (long)STUCK_PAUSE_NS};
        sq_run_note_ending(run, SQ_EXIT_FAILED, "%s", error.text);
        (void)nanosleep(&pause, NULL);
        on_signal(run, 0);
        sq_run_take_answers(run);
    }
    go_on(run);
}

enum sq_exit sq_run_execute(struct sq_run *run)
{
    run->began_boot_ns = sq_run_now(run);
    run->turned_boot_ns = run->began_boot_ns;
    run->real_minus_boot_ns = sq_real_ns() - run->began_boot_ns;
    sq_run_tell_begin(run);
    sq_run_enter(run, SQ_PHASE_HELLO);
    sq_run_say_hello(run);
    go_on(run);
    while (run->phase != SQ_PHASE_DONE)
        turn(run);
    sq_run_settle(run);
    sq_run_hand_over(run);
    return run->ending;
}

static bool make_hosts(struct sq_run *run)
{
    const struct sq_plan *plan = run->options.plan;
    run->host_count = plan->host_count;
    run->hosts = calloc(plan->host_count + 1, sizeof(*run->hosts));
    run->host_of = calloc(plan->inventory->host_count + 1, sizeof(*run->host_of));
    bool made = run->hosts != NULL && run->host_of != NULL;
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
    return made;
}

int sq_run_new(const struct sq_run_options *options, struct sq_run **run_out, struct sq_error *error)
{
    struct sq_run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory for the run");
    run->options = *options;
    run->after_why = "";
    run->experiment = options->plan->experiment;
    if (run->experiment->has_hypothesis)
        run->hypothesis = &run->experiment->hypothesis;
    if (!make_hosts(run) || !sq_run_events_open(run)) {
        sq_run_free(run);
        return sq_fail(error, SQ_SYSTEM, "out of memory for the run");
    }
    if ((run->hypothesis != NULL && sq_watch_init(&run->watch, run->hypothesis, error) != 0) ||
        listen_to_all(run, error) != 0) {
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
    while (run->source_count > 0)
        sq_loop_remove(run->sources[--run->source_count]);
    sq_http_close(run->http);
    sq_names_close(run->names);
    sq_watch_free(&run->watch);
    sq_company_close(&run->company);
    sq_run_events_close(run);
    for (uint32_t i = 0; run->hosts != NULL && i < run->host_count; i++)
        free(run->hosts[i].reports);
    free(run->hosts);
    free(run->host_of);
    free(run->why);
    free(run);
}
