#include "injector.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "faults/network_tcx.h"
#include "faults/protection.h"
#include "faults/stress_group.h"
#include "injector/abilities.h"
#include "injector/descriptors.h"
#include "injector/experiment.h"
#include "injector/front_process.h"
#include "injector/halt.h"
#include "injector/notify.h"
#include "injector/own_memory.h"
#include "injector/policy.h"
#include "injector/privileges.h"
#include "injector/recover.h"
#include "injector/run_directory.h"
#include "injector/tls_files.h"
#include "injector/undo_log.h"
#include "ipc/requester.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#define ROUNDS_MAX 16

#define HALT_CLIENTS_MAX   4
#define HALT_REMOVES_IN_NS (2 * SQ_NS_PER_SECOND)  /* what has not settled by then is removed all the same */
#define STOP_REMOVES_IN_NS (10 * SQ_NS_PER_SECOND) /* TimeoutStopSec= of the service is longer */

/* Who is at halt.sock and waits for the removal. */
struct halt_client {
    int fd;
    bool shows; /* there was something to be ended */
};

struct injector {
    const struct sq_injector_options *options;
    struct sq_policy policy;
    struct sq_tls_state tls;
    struct sq_abilities abilities;
    struct sq_undo_log log;
    struct sq_undo_log durable_log;
    struct sq_undo_content content;
    struct sq_experiments experiments;
    struct sq_front_process front;
    int lock_fd;
    int signal_fd;
    int timer_fd;
    int halt_fd;
    struct halt_client halts[HALT_CLIENTS_MAX];
    uint32_t halt_count;
    uint64_t halts_end_boot_ns; /* they are answered by then, however it stands */
    bool was_ready;             /* the front listened at least once */
    bool must_stop;
    bool holds_memory; /* more than an idle agent needs */
    bool owes_answer;  /* to the front: a PREPARE is on its way */
    uint32_t rounds;   /* served while a removal was due */
    struct sq_request request;
    struct sq_reply reply;
};

static uint64_t clock_now(void *cookie)
{
    (void)cookie;
    return sq_boot_ns();
}

static int is_able(void *cookie, const struct sq_fault_order *order, struct sq_error *error)
{
    struct injector *injector = cookie;
    sq_abilities_refresh(&injector->abilities, sq_boot_ns());
    if (sq_abilities_check(&injector->abilities, order->spec.kind, error) < 0)
        return -1;
    const struct sq_fault_ops *ops = sq_fault_ops_by_kind(order->spec.kind);
    return ops->able == NULL ? 0 : ops->able(order, error);
}

static void log_recovered(void *cookie, const struct sq_undo_live *live, const struct sq_fault_report *report,
                          bool undone)
{
    (void)cookie;
    const struct sq_fault_info *info = sq_fault_by_kind(report->kind);
    enum sq_log_level level = undone ? SQ_LOG_WARNING : SQ_LOG_ERROR;
    sq_log(level, "recovery: fault %u, %s, of an earlier experiment: %s", live->key.fault_index,
           info == NULL ? "unknown kind" : info->name, undone ? "undone" : report->message);
    for (uint32_t i = 0; i < report->line_count; i++)
        if (report->lines[i].kind == SQ_LINE_LEFT || report->lines[i].kind == SQ_LINE_FOREIGN)
            sq_log(level, "recovery: %s: %s", sq_line_kind_name(report->lines[i].kind),
                   report->lines[i].text);
}

/* Of the many tries only what they achieve is told. */
static void log_undone(void *cookie, const struct sq_undo_live *live, const struct sq_fault_report *report,
                       bool undone)
{
    if (undone)
        log_recovered(cookie, live, report, undone);
}

static int recover_rest(void *cookie, struct sq_error *error)
{
    struct injector *injector = cookie;
    if (sq_undo_log_read(&injector->log, &injector->content, error) != 0)
        return -1;
    return sq_recover_log(&injector->log, &injector->content, sq_fault_ops_by_kind, log_undone, NULL, 0,
                          error);
}

/* Before anything is served it may wait. */
static int recover_at_start(struct injector *injector, struct sq_error *error)
{
    return sq_recover_log(&injector->log, &injector->content, sq_fault_ops_by_kind, log_recovered, NULL,
                          SQ_RECOVER_WAITS_NS, error);
}

/* What was made in another network namespace is undone while that may still be entered. */
static int recover_elsewhere(struct injector *injector, struct sq_error *error)
{
    struct sq_error unclean; /* is told when the rest is recovered */
    if (!sq_recover_is_elsewhere(&injector->log, &injector->content))
        return 0;
    (void)recover_at_start(injector, &unclean);
    return sq_undo_log_read(&injector->log, &injector->content, error);
}

static void log_unmatched(const char *sentence, void *cookie)
{
    (void)cookie;
    sq_log(SQ_LOG_WARNING, "%s", sentence);
}

static void load_policy(struct injector *injector)
{
    sq_policy_load(&injector->policy, injector->options->config->policy);
    if (injector->policy.problem[0] != '\0')
        sq_log(SQ_LOG_WARNING, "%s", injector->policy.problem);
    sq_protection_each_unmatched(&injector->policy.protection, log_unmatched, NULL);
}

static void fill_hello(struct injector *injector, struct sq_hello *hello)
{
    struct utsname names;
    sq_abilities_refresh(&injector->abilities, sq_boot_ns());
    (void)sq_text_copy(hello->agent_version, sizeof hello->agent_version, SQ_VERSION);
    if (uname(&names) == 0) {
        (void)sq_text_copy(hello->hostname, sizeof hello->hostname, names.nodename);
        (void)sq_text_copy(hello->kernel, sizeof hello->kernel, names.release);
    }
    hello->protocol = SQ_PROTOCOL_VERSION;
    hello->boot = injector->log.boot;
    hello->max_duration_ns = injector->policy.max_duration_ns;
    (void)sq_text_copy(hello->policy_problem, sizeof hello->policy_problem, injector->policy.problem);
    hello->ability_count = sq_abilities_list(&injector->abilities, &injector->policy, hello->abilities);
    hello->real_ns = sq_real_ns();
    hello->certificate_ends_real_ns = injector->tls.facts.ends_real_ns;
}

/* The address is the connection's; the operator is who the controller says it is. */
static void log_halt(const struct sq_request *request)
{
    char from[SQ_REQUESTER_TEXT_MAX];
    sq_requester_format(&request->requester, from);
    sq_log(SQ_LOG_WARNING, "halted from %s%s%s", from, request->operator_name[0] == '\0' ? "" : " by ",
           request->operator_name);
}

/* False: the answer is owed. */
static bool answer(struct injector *injector, const struct sq_request *request, struct sq_reply *reply)
{
    struct sq_error error;
    /* The front has checked already; the injector trusts nothing. */
    if (sq_request_check(request, &error) != 0) {
        sq_experiments_fill_reply(&injector->experiments, SQ_VERB_NONE, reply);
        sq_reply_fail(reply, &error);
    } else if (request->verb == SQ_VERB_HELLO) {
        sq_experiments_fill_reply(&injector->experiments, SQ_VERB_HELLO, reply);
        fill_hello(injector, &reply->hello);
        reply->now_boot_ns = sq_boot_ns();
    } else {
        if (request->verb == SQ_VERB_HALT && sq_experiments_is_live(&injector->experiments))
            log_halt(request);
        return sq_experiments_handle(&injector->experiments, request, reply);
    }
    return true;
}

static void send_answer(struct injector *injector)
{
    struct sq_ipc_server *ipc = &injector->front.ipc;
    /* A halt fills an answer of its own, and must not need new memory for it: see to that now. */
    if (ipc->request.verb == SQ_VERB_PREPARE) {
        injector->reply = ipc->reply;
        sq_request_clear(&injector->request);
    }
    sq_front_process_reply(&injector->front);
}

static void pay_answer(struct injector *injector)
{
    if (!injector->owes_answer ||
        !sq_experiments_answer_prepare(&injector->experiments, &injector->front.ipc.request,
                                       &injector->front.ipc.reply))
        return;
    injector->owes_answer = false;
    send_answer(injector);
}

/* One request from the front, one answer to it. */
static void serve_front(struct injector *injector)
{
    struct sq_ipc_server *ipc = &injector->front.ipc;
    if (!sq_front_process_take_request(&injector->front, sq_boot_ns()))
        return;
    if (answer(injector, &ipc->request, &ipc->reply))
        send_answer(injector);
    else
        injector->owes_answer = true;
}

/* The last word on a halt: what became of everything that was there. */
static void finish_halt(struct injector *injector, struct halt_client *client)
{
    if (client->shows) {
        sq_request_clear(&injector->request);
        injector->request.version = SQ_PROTOCOL_VERSION;
        injector->request.verb = SQ_VERB_STATUS;
        injector->request.experiment = injector->experiments.current->id;
        (void)sq_experiments_handle(&injector->experiments, &injector->request, &injector->reply);
    }
    sq_halt_answer(client->fd, &injector->reply);
    sq_cleanup_close(&client->fd);
}

/* Everything is clean when this returns; whoever asked is told so, and told more when all is removed. */
static void serve_halt(struct injector *injector)
{
    struct halt_client client = {.fd = sq_halt_accept(injector->halt_fd)};
    if (client.fd < 0)
        return;
    sq_request_clear(&injector->request);
    injector->request.version = SQ_PROTOCOL_VERSION;
    injector->request.verb = SQ_VERB_HALT;
    (void)sq_experiments_handle(&injector->experiments, &injector->request, &injector->reply);
    sq_halt_acknowledge(client.fd);
    client.shows = injector->reply.fault_count > 0;
    uint64_t end_ns = sq_ns_add(sq_boot_ns(), HALT_REMOVES_IN_NS);
    sq_experiments_hurry(&injector->experiments, end_ns);
    if (!sq_experiments_removal_is_due(&injector->experiments) || injector->halt_count == HALT_CLIENTS_MAX) {
        finish_halt(injector, &client);
        return;
    }
    if (injector->halt_count == 0)
        injector->halts_end_boot_ns = sq_ns_add(end_ns, SQ_NS_PER_SECOND);
    injector->halts[injector->halt_count++] = client;
}

static void finish_halts(struct injector *injector)
{
    if (injector->halt_count == 0 ||
        (sq_experiments_removal_is_due(&injector->experiments) && sq_boot_ns() < injector->halts_end_boot_ns))
        return;
    for (uint32_t i = 0; i < injector->halt_count; i++)
        finish_halt(injector, &injector->halts[i]);
    injector->halt_count = 0;
}

/* Files that cannot serve change nothing: the front goes on with what it has. */
static void reload_certificates(struct injector *injector)
{
    struct sq_error error;
    bool is_new;
    if (sq_tls_state_load(&injector->tls, injector->options->config, &is_new, &error) != 0)
        sq_log(SQ_LOG_ERROR, "the certificates are not read again: %s", error.text);
    else if (is_new)
        sq_front_process_replace(&injector->front);
}

static void take_signals(struct injector *injector)
{
    struct signalfd_siginfo info;
    while (read(injector->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGHUP) {
            injector->must_stop = true;
            continue;
        }
        load_policy(injector);
        if (injector->policy.problem[0] == '\0')
            sq_log(SQ_LOG_INFO, "the policy %s was read again", injector->policy.path);
        sq_experiments_judge(&injector->experiments);
        reload_certificates(injector);
    }
}

/* The front died. At the very first start that is the end: its own message has said why. */
static int bury_front(struct injector *injector, struct sq_error *error)
{
    sq_front_process_bury(&injector->front, sq_boot_ns());
    injector->experiments.world.front_pid = 0;
    injector->owes_answer = false;
    if (injector->was_ready)
        return 0;
    return sq_fail(error, SQ_SYSTEM, "the front could not start listening; its message above says why");
}

static int start_front(struct injector *injector, struct sq_error *error)
{
    if (sq_front_process_start(&injector->front, error) != 0)
        return -1;
    injector->experiments.world.front_pid = injector->front.pid;
    return 0;
}

static void front_is_ready(struct injector *injector)
{
    if (!sq_front_process_take_ready(&injector->front))
        return;
    if (!injector->was_ready)
        sq_notify("READY=1");
    injector->was_ready = true;
}

/* No timer runs while there is nothing to wait for: an idle agent does not wake up. */
static void arm_timer(struct injector *injector, uint64_t front_boot_ns)
{
    uint64_t next_ns = sq_sooner_boot_ns(sq_experiments_next_boot_ns(&injector->experiments), front_boot_ns);
    if (injector->halt_count > 0)
        next_ns = sq_sooner_boot_ns(next_ns, injector->halts_end_boot_ns);
    if (sq_timer_arm(injector->timer_fd, next_ns) != 0)
        sq_log(SQ_LOG_ERROR, "cannot arm the timer: %s", strerror(errno));
}

static void restart_front_if_due(struct injector *injector)
{
    struct sq_error error;
    uint64_t now_ns = sq_boot_ns();
    if (injector->front.restart_boot_ns == 0 || now_ns < injector->front.restart_boot_ns)
        return;
    if (start_front(injector, &error) == 0)
        return;
    injector->front.restart_boot_ns = sq_ns_add(now_ns, SQ_NS_PER_SECOND);
    sq_log(SQ_LOG_ERROR, "%s", error.text);
}

/* Once after the start and after each experiment, when nothing of it is left. */
static void give_back_when_idle(struct injector *injector)
{
    if (injector->log.live_count > 0 || sq_experiments_removal_is_due(&injector->experiments) ||
        !injector->was_ready) {
        injector->holds_memory = true;
    } else if (injector->holds_memory) {
        sq_own_memory_give_back();
        injector->holds_memory = false;
    }
}

enum { POLL_SIGNAL, POLL_TIMER, POLL_HALT, POLL_PID, POLL_READY, POLL_REQUEST, POLL_REPLY, POLL_COUNT };

/* Whatever ends something comes before whatever asks for something. */
static int serve_once(struct injector *injector, struct sq_error *error)
{
    struct pollfd polls[POLL_COUNT] = {
        [POLL_SIGNAL] = {.fd = injector->signal_fd, .events = POLLIN},
        [POLL_TIMER] = {.fd = injector->timer_fd, .events = POLLIN},
        [POLL_HALT] = {.fd = injector->halt_fd, .events = POLLIN},
        [POLL_PID] = {.fd = injector->front.pid_fd, .events = POLLIN},
        [POLL_READY] = {.fd = injector->front.ready_fd, .events = POLLIN},
    };
    uint64_t expirations;
    /* Here, whatever made them possible: nothing else may ever happen. */
    pay_answer(injector);
    finish_halts(injector);
    uint64_t front_boot_ns =
        sq_front_process_fill_polls(&injector->front, sq_boot_ns(), &polls[POLL_REQUEST], &polls[POLL_REPLY]);
    if (injector->owes_answer) /* it has one answer at a time to wait for */
        polls[POLL_REQUEST].fd = -1;
    give_back_when_idle(injector);
    arm_timer(injector, front_boot_ns);
    /* What is clean already is removed when nobody asks for anything. */
    int ready = poll(polls, POLL_COUNT, sq_experiments_removal_is_ready(&injector->experiments) ? 0 : -1);
    if (ready < 0 && errno != EINTR)
        return sq_fail_errno(error, errno, "cannot wait for requests");
    if (ready <= 0) {
        (void)sq_experiments_remove_settled(&injector->experiments);
        return 0;
    }
    if (polls[POLL_TIMER].revents != 0)
        (void)!read(injector->timer_fd, &expirations, sizeof expirations);
    if (polls[POLL_SIGNAL].revents != 0)
        take_signals(injector);
    if (injector->must_stop)
        return 0;
    if (polls[POLL_HALT].revents != 0)
        serve_halt(injector);
    sq_experiments_tick(&injector->experiments);
    if (polls[POLL_READY].revents != 0)
        front_is_ready(injector);
    if (polls[POLL_REPLY].revents != 0)
        sq_front_process_continue_reply(&injector->front);
    if (polls[POLL_REQUEST].revents != 0)
        serve_front(injector);
    if (polls[POLL_PID].revents != 0 && bury_front(injector, error) != 0)
        return -1;
    restart_front_if_due(injector);
    /* Whoever never stops asking puts a removal off, but not for ever. */
    if (sq_experiments_removal_is_ready(&injector->experiments) && ++injector->rounds >= ROUNDS_MAX) {
        (void)sq_experiments_remove_settled(&injector->experiments);
        injector->rounds = 0;
    }
    return 0;
}

static int open_events(struct injector *injector, struct sq_error *error)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGQUIT);
    (void)sigaddset(&set, SIGHUP);
    (void)signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return sq_fail_errno(error, errno, "cannot block signals");
    injector->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    injector->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (injector->signal_fd < 0 || injector->timer_fd < 0)
        return sq_fail_errno(error, errno, "cannot make a signalfd and a timerfd");
    return sq_halt_listen(injector->options->config->run, &injector->halt_fd, error);
}

/* Everything that can be refused is refused before the front is there to take requests. */
static int set_up(struct injector *injector, struct sq_error *error)
{
    const struct sq_agent_config *config = injector->options->config;
    struct sq_error unclean;
    bool is_new;
    if (sq_tls_state_load(&injector->tls, config, &is_new, error) != 0)
        return -1;
    sq_descriptors_raise();
    sq_network_try_host();
    if (sq_run_directory_make(config, error) != 0 ||
        sq_run_directory_lock(config->run, &injector->lock_fd, error) != 0 ||
        open_events(injector, error) != 0)
        return -1;
    sq_stress_take_group();
    if (sq_recover_open_log(config, &injector->log, &injector->durable_log, &injector->content, error) != 0 ||
        recover_elsewhere(injector, error) != 0)
        return -1;
    sq_recover_make_clean(&injector->content, sq_fault_ops_by_kind);
    if (sq_injector_privileges_drop(error) != 0)
        return -1;
    if (!sq_run_directory_is_tmpfs(config->run))
        sq_log(SQ_LOG_WARNING,
               "%s is not on a tmpfs: a failing disk could delay a revert; choose another 'run:'",
               config->run);
    struct sq_experiment_world world = {
        .now_boot_ns = clock_now,
        .ops_by_kind = sq_fault_ops_by_kind,
        .able = is_able,
        .recover = recover_rest,
        .descriptors_left = sq_descriptors_left,
        .cookie = injector,
        .log = &injector->log,
        .policy = &injector->policy,
        .stressor_uid = config->uid,
        .stressor_gid = config->gid,
    };
    world.agent_port_count = sq_agent_config_ports(config, world.agent_ports, SQ_AGENT_PORTS_MAX);
    if (sq_id_make(&world.instance, error) != 0)
        return -1;
    sq_experiments_init(&injector->experiments, &world);
    if (recover_at_start(injector, &unclean) != 0)
        sq_log(SQ_LOG_ERROR,
               "recovery: %s; that is tried again, and until it is undone nothing is injected here",
               unclean.text);
    load_policy(injector);
    sq_abilities_refresh(&injector->abilities, sq_boot_ns());
    return start_front(injector, error);
}

/* A loop of its own: nobody is served any more. What has settled goes first, and all waits are one. */
static void remove_all(struct injector *injector)
{
    uint64_t until_ns = sq_ns_add(sq_boot_ns(), STOP_REMOVES_IN_NS);
    sq_experiments_hurry(&injector->experiments, until_ns);
    while (sq_experiments_removal_is_due(&injector->experiments)) {
        if (sq_experiments_remove_settled(&injector->experiments))
            continue;
        if (sq_boot_ns() > until_ns && !sq_experiments_remove_next(&injector->experiments))
            break;
        (void)poll(NULL, 0, 1);
    }
    sq_experiments_insist(&injector->experiments);
}

/* Clean all at once, then remove, then let the front go. */
static int shut_down(struct injector *injector, struct sq_error *error)
{
    sq_experiments_end(&injector->experiments, SQ_END_SHUTDOWN);
    sq_notify("STOPPING=1");
    remove_all(injector);
    finish_halts(injector);
    sq_front_process_kill(&injector->front);
    if (injector->log.live_count == 0)
        return 0;
    return sq_fail(error, SQ_UNCLEAN,
                   "not everything could be undone; see above, then run `squalld --recover`");
}

int sq_injector_run(const struct sq_injector_options *options, struct sq_error *error)
{
    /* Static, so that nothing has to be allocated while a fault is in. */
    static struct injector injector;
    /*
     * One by one: the rest is zero already, and what is never touched takes no memory. What a fault needs is
     * touched when it is drafted (prepare.c), before it exists.
     */
    injector.options = options;
    injector.lock_fd = injector.signal_fd = injector.timer_fd = injector.halt_fd = -1;
    injector.log.fd = -1;
    int result = sq_front_process_init(&injector.front, options->config, error);
    if (result == 0)
        result = set_up(&injector, error);
    while (result == 0 && !injector.must_stop)
        result = serve_once(&injector, error);
    struct sq_error unclean;
    if (injector.experiments.current != NULL && shut_down(&injector, &unclean) != 0 && result == 0)
        result = sq_fail(error, unclean.code, "%s", unclean.text);
    if (injector.halt_fd >= 0) {
        char path[PATH_MAX];
        if (sq_run_directory_path(options->config->run, "halt.sock", path, NULL) == 0)
            (void)unlink(path);
    }
    sq_front_process_close(&injector.front);
    sq_stress_leave_group();
    sq_undo_log_close(&injector.log);
    sq_cleanup_close(&injector.halt_fd);
    sq_cleanup_close(&injector.timer_fd);
    sq_cleanup_close(&injector.signal_fd);
    sq_cleanup_close(&injector.lock_fd);
    return result;
}
