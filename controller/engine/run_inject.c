/*
 * The injection: ordered for a common moment, and ordered again while no answer comes. An agent takes the
 * first order that reaches it, and what is repeated changes nothing there (agent/injector/orders.c); so a
 * lost answer costs nothing, and what has become of the order is seen with the next renewal at the latest.
 */
#include "engine/run_state.h"

#include "common/clock.h"

#define MARGIN_NS (20 * SQ_NS_PER_MILLISECOND)
#define LATEST_NS                                                                                            \
    (1 * SQ_NS_PER_SECOND) /* an injection later than this would not be the one that was asked */
#define AHEAD_NS     (2 * SQ_NS_PER_SECOND)
#define CHECK_NS     (2 * SQ_NS_PER_SECOND)
#define TRY_LEAST_NS (200 * SQ_NS_PER_MILLISECOND) /* an answer that takes longer is asked for again */
#define TRY_PAUSE_NS (50 * SQ_NS_PER_MILLISECOND)

/* The moment by which every agent has the order in hand: now, where there is none. */
void sq_run_plan_injection(struct sq_run *run, uint64_t now_boot_ns)
{
    uint64_t slowest_ns = 0;
    for (uint32_t i = 0; i < run->host_count; i++)
        if (2 * run->hosts[i].clock.uncertainty_ns > slowest_ns)
            slowest_ns = 2 * run->hosts[i].clock.uncertainty_ns;
    uint64_t margin_ns = run->host_count > 0 ? MARGIN_NS : 0;
    run->inject_boot_ns = now_boot_ns + 2 * slowest_ns + margin_ns;
}

/* A few round trips, and no longer than the order may be obeyed. */
static uint64_t try_timeout_ns(const struct sq_run_host *host, uint64_t at_boot_ns, uint64_t now_boot_ns)
{
    uint64_t most_ns = sq_ns_add(sq_ns_sub(at_boot_ns, now_boot_ns), LATEST_NS);
    uint64_t try_ns = sq_ns_add(TRY_LEAST_NS, 8 * host->clock.uncertainty_ns);
    return try_ns < most_ns ? try_ns : most_ns;
}

static void inject(struct sq_run *run, struct sq_run_host *host, uint32_t fault, uint64_t now_boot_ns)
{
    uint64_t at_boot_ns = sq_run_step_start_boot_ns(run, host->plan->steps[fault]);
    struct sq_run_injection *injection = &host->injections[fault];
    struct sq_request *request = sq_run_begin_request(run, host, SQ_VERB_INJECT);
    request->fault_mask = UINT32_C(1) << fault;
    request->at_boot_ns = sq_agent_clock_to_agent(&host->clock, at_boot_ns);
    request->not_after_boot_ns = sq_agent_clock_to_agent(&host->clock, sq_ns_add(at_boot_ns, LATEST_NS));
    injection->tries++;
    injection->again_boot_ns = UINT64_MAX;
    sq_run_send_request(run, host, fault, try_timeout_ns(host, at_boot_ns, now_boot_ns));
    uint64_t look_boot_ns = sq_run_next_look_boot_ns(run, host, now_boot_ns);
    if (host->next_renew_boot_ns > look_boot_ns)
        host->next_renew_boot_ns = look_boot_ns;
}

/* When this fault is to be ordered, for the first time or again; UINT64_MAX: not at present. */
static uint64_t due_boot_ns(const struct sq_run *run, const struct sq_run_host *host, uint32_t fault)
{
    const struct sq_run_injection *injection = &host->injections[fault];
    if (injection->tries > 0)
        return injection->again_boot_ns;
    return sq_ns_sub(sq_run_step_start_boot_ns(run, host->plan->steps[fault]), AHEAD_NS);
}

static void check(struct sq_run *run, const struct sq_run_host *host, uint32_t fault, uint64_t now_boot_ns)
{
    const struct sq_fault_report *report = sq_run_report_of(host, fault);
    uint64_t at_boot_ns = sq_run_step_start_boot_ns(run, host->plan->steps[fault]);
    uint32_t tries = host->injections[fault].tries;
    if (tries > 0 && report != NULL && report->state == SQ_STATE_PREPARED &&
        now_boot_ns > sq_ns_add(at_boot_ns, CHECK_NS))
        sq_run_note_ending(run, SQ_EXIT_FAILED, "%s did not inject \"%s\" at its time, ordered %u time%s",
                           host->name, sq_run_step_of(run, host, fault)->name, tries, tries == 1 ? "" : "s");
}

void sq_run_inject_due(struct sq_run *run, uint64_t now_boot_ns)
{
    for (uint32_t i = 0; i < run->host_count; i++) {
        struct sq_run_host *host = &run->hosts[i];
        for (uint32_t fault = 0; fault < host->plan->fault_count && !run->ended; fault++) {
            if (now_boot_ns >= due_boot_ns(run, host, fault))
                inject(run, host, fault, now_boot_ns);
            check(run, host, fault, now_boot_ns);
        }
    }
}

uint64_t sq_run_inject_next_boot_ns(const struct sq_run *run)
{
    uint64_t next_boot_ns = UINT64_MAX;
    for (uint32_t i = 0; i < run->host_count; i++)
        for (uint32_t fault = 0; fault < run->hosts[i].plan->fault_count; fault++) {
            uint64_t at_boot_ns = due_boot_ns(run, &run->hosts[i], fault);
            if (at_boot_ns < next_boot_ns)
                next_boot_ns = at_boot_ns;
        }
    return next_boot_ns;
}

/* Nobody knows whether the order arrived: again, as long as it may be obeyed. */
static void order_again(const struct sq_run *run, struct sq_run_host *host, uint32_t fault,
                        const struct sq_answer *answer)
{
    uint64_t at_boot_ns = sq_run_step_start_boot_ns(run, host->plan->steps[fault]);
    uint64_t again_boot_ns = sq_ns_add(answer->sent_boot_ns, TRY_PAUSE_NS);
    uint64_t now_boot_ns = sq_run_now(run);
    if (again_boot_ns < now_boot_ns)
        again_boot_ns = now_boot_ns;
    host->problem = answer->error;
    if (again_boot_ns < sq_ns_add(at_boot_ns, LATEST_NS))
        host->injections[fault].again_boot_ns = again_boot_ns;
}

static bool is_lost(const struct sq_answer *answer)
{
    return answer->failed && (answer->error.code == SQ_TIMEOUT || answer->error.code == SQ_UNREACHABLE);
}

static bool has_left_prepared(const struct sq_run_host *host, uint32_t fault)
{
    const struct sq_fault_report *report = sq_run_report_of(host, fault);
    return report != NULL && report->injected_boot_ns != 0;
}

void sq_run_take_inject(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer)
{
    uint32_t fault = sq_run_tag_fault(answer->tag);
    sq_run_tell_answer(run, host, answer);
    if (run->phase != SQ_PHASE_WATCH || fault >= host->plan->fault_count)
        return;
    if (is_lost(answer)) {
        order_again(run, host, fault, answer);
        return;
    }
    if (answer->failed) {
        sq_run_note_ending(run, SQ_EXIT_FAILED, "the injection was not confirmed: %s", answer->error.text);
        return;
    }
    sq_run_note_reports(run, host, &answer->reply);
    sq_run_judge_reports(run, host);
    /* A repeated order may come too late for an injection that the one before it brought about. */
    bool repeated = host->injections[fault].tries > 1;
    if (answer->reply.code == SQ_OK || has_left_prepared(host, fault) ||
        (repeated && answer->reply.code == SQ_STALE))
        return;
    sq_run_note_ending(run, SQ_EXIT_FAILED, "%s does not inject: %s", host->name, answer->reply.message);
}
