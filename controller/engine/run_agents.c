/* What a run says to its agents until the rollback, and what it makes of their answers. */
#include "engine/run_state.h"

#include "common/clock.h"
#include "common/text.h"
#include "common/units.h"
#include "model/ending.h"

#include <string.h>

#define HELLO_TIMEOUT_NS   (5 * SQ_NS_PER_SECOND)
#define PREPARE_TIMEOUT_NS (10 * SQ_NS_PER_SECOND)
#define RENEW_MOST_NS                                                                                        \
    (1 * SQ_NS_PER_SECOND) /* states and counters are seen this often, whatever the lease                    \
                            */
#define RETRY_LEAST_NS   (50 * SQ_NS_PER_MILLISECOND)
#define LEASE_SLACK_NS   (1 * SQ_NS_PER_SECOND)
#define ANSWERS_PER_TURN 64

void sq_run_say_hello(struct sq_run *run)
{
    for (uint32_t i = 0; i < run->host_count; i++) {
        struct sq_run_host *host = &run->hosts[i];
        host->answered = false;
        (void)sq_run_begin_request(run, host, SQ_VERB_HELLO);
        sq_run_send_request(run, host, 0, HELLO_TIMEOUT_NS);
    }
}

/* Until when the last step may be injected: whoever prepares does not hold a host for longer. */
static uint64_t prepared_until_boot_ns(const struct sq_run *run, uint64_t now_boot_ns)
{
    uint64_t wait_ns = sq_experiment_wait_ns(run->experiment);
    return sq_ns_add(now_boot_ns, sq_ns_add(wait_ns, SQ_EXPERIMENT_SLACK_NS));
}

void sq_run_prepare(struct sq_run *run)
{
    for (uint32_t i = 0; i < run->host_count && !run->ended; i++) {
        struct sq_run_host *host = &run->hosts[i];
        struct sq_error error;
        if (sq_id_make(&host->token, &error) != 0) {
            sq_run_note_ending(run, SQ_EXIT_FAILED, "%s", error.text);
            return;
        }
        struct sq_request *request = sq_run_begin_request(run, host, SQ_VERB_PREPARE);
        uint64_t now_boot_ns = sq_run_now(run);
        uint32_t plan_index = (uint32_t)(host->plan - run->options.plan->hosts);
        (void)sq_text_copy(request->title, sizeof(request->title), run->experiment->title);
        (void)sq_text_copy(request->operator_name, sizeof(request->operator_name),
                           run->options.operator_name);
        request->lease_ns = run->experiment->lease_ns;
        request->not_after_boot_ns =
            sq_agent_clock_to_agent(&host->clock, sq_ns_add(now_boot_ns, PREPARE_TIMEOUT_NS));
        request->prepared_until_boot_ns =
            sq_agent_clock_to_agent(&host->clock, prepared_until_boot_ns(run, now_boot_ns));
        sq_plan_orders(run->options.plan, plan_index, request->faults, &request->fault_count);
        host->answered = false;
        host->ordered = true;
        host->lease_end_boot_ns =
            sq_ns_add(now_boot_ns, PREPARE_TIMEOUT_NS + run->experiment->lease_ns + LEASE_SLACK_NS);
        sq_run_send_request(run, host, 0, PREPARE_TIMEOUT_NS);
    }
}

static uint64_t renew_interval_ns(const struct sq_run *run)
{
    uint64_t third_ns = run->experiment->lease_ns / 3;
    return third_ns < RENEW_MOST_NS ? third_ns : RENEW_MOST_NS;
}

void sq_run_renew_due(struct sq_run *run, uint64_t now_boot_ns)
{
    for (uint32_t i = 0; i < run->host_count && !run->ended; i++) {
        struct sq_run_host *host = &run->hosts[i];
        if (!host->prepared || host->finished || now_boot_ns < host->next_renew_boot_ns)
            continue;
        struct sq_request *request = sq_run_begin_request(run, host, SQ_VERB_RENEW);
        request->lease_ns = run->experiment->lease_ns;
        uint64_t look_boot_ns = sq_run_next_look_boot_ns(run, host, now_boot_ns);
        host->next_renew_boot_ns = now_boot_ns + renew_interval_ns(run);
        if (host->next_renew_boot_ns > look_boot_ns)
            host->next_renew_boot_ns = look_boot_ns;
        uint64_t end_boot_ns = sq_ns_add(now_boot_ns, run->experiment->lease_ns + LEASE_SLACK_NS);
        if (end_boot_ns > host->lease_end_boot_ns)
            host->lease_end_boot_ns = end_boot_ns;
        sq_run_send_request(run, host, 0, run->experiment->lease_ns);
    }
}

static void note_silence(struct sq_run *run, struct sq_run_host *host, const char *why)
{
    host->silent = true;
    sq_run_tell_host(run, host, "silent", host->renewed_boot_ns, why);
}

void sq_run_check_leases(struct sq_run *run, uint64_t now_boot_ns)
{
    char lease[SQ_UNIT_TEXT_MAX];
    for (uint32_t i = 0; i < run->host_count && !run->ended; i++) {
        struct sq_run_host *host = &run->hosts[i];
        uint64_t silent_ns = sq_ns_sub(now_boot_ns, host->renewed_boot_ns);
        if (!host->prepared || host->finished)
            continue;
        /* An answer that is merely on its way is no news. */
        if (!host->silent && silent_ns > run->experiment->lease_ns / 2 + renew_interval_ns(run))
            note_silence(run, host, "no answer yet to the last renewals");
        if (silent_ns < run->experiment->lease_ns)
            continue;
        sq_duration_format(run->experiment->lease_ns, lease);
        sq_run_note_ending(run, SQ_EXIT_FAILED,
                           "%s did not answer for a whole lease (%s), so its faults have ended%s%s",
                           host->name, lease, host->problem.text[0] != '\0' ? ": " : "", host->problem.text);
    }
}

static bool is_over(const struct sq_run_host *host)
{
    for (uint32_t i = 0; i < host->plan->fault_count; i++) {
        const struct sq_fault_report *report = sq_run_report_of(host, i);
        if (report == NULL || report->state != SQ_STATE_REVERTED)
            return false;
    }
    return true;
}

static void take_renewal(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer)
{
    const struct sq_reply *reply = &answer->reply;
    if (answer->failed) {
        host->problem = answer->error;
        if (!host->silent && answer->sent_boot_ns > host->renewed_boot_ns) {
            note_silence(run, host, answer->error.text);
            sq_run_tell_answer(run, host, answer);
        }
        uint64_t pause_ns = renew_interval_ns(run) / 4;
        uint64_t retry_boot_ns = sq_run_now(run) + (pause_ns > RETRY_LEAST_NS ? pause_ns : RETRY_LEAST_NS);
        if (host->next_renew_boot_ns > retry_boot_ns)
            host->next_renew_boot_ns = retry_boot_ns;
        return;
    }
    sq_run_note_reports(run, host, reply);
    host->finished = is_over(host);
    sq_run_judge_reports(run, host);
    sq_run_judge_expectations(run, host, reply->now_boot_ns);
    if (reply->code != SQ_OK && !host->finished && !run->ended) {
        sq_run_tell_answer(run, host, answer);
        sq_run_note_ending(run, SQ_EXIT_FAILED, "%s renews no lease: %s", host->name, reply->message);
        return;
    }
    if (host->silent)
        sq_run_tell_host(run, host, "back", answer->answered_boot_ns, "");
    host->silent = false;
    host->problem = (struct sq_error){0};
    if (answer->sent_boot_ns > host->renewed_boot_ns)
        host->renewed_boot_ns = answer->sent_boot_ns;
}

static void note_hello(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer)
{
    const struct sq_reply *reply = &answer->reply;
    uint64_t middle_boot_ns =
        answer->sent_boot_ns + sq_ns_sub(answer->answered_boot_ns, answer->sent_boot_ns) / 2;
    host->instance = reply->instance;
    (void)sq_text_copy(host->agent_version, sizeof(host->agent_version), reply->hello.agent_version);
    (void)sq_text_copy(host->kernel, sizeof(host->kernel), reply->hello.kernel);
    host->wall_offset_ns = (int64_t)(reply->hello.real_ns - (middle_boot_ns + run->real_minus_boot_ns));
}

static void take_hello(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer)
{
    if (run->phase == SQ_PHASE_HELLO && !answer->failed && answer->reply.code == SQ_OK)
        note_hello(run, host, answer);
    sq_run_tell_answer(run, host, answer);
    if (run->phase != SQ_PHASE_HELLO)
        return;
    /* The first exchange held the connection and the TLS handshake; the second one tells the time. */
    if (!answer->failed && answer->reply.code == SQ_OK && !host->met) {
        host->met = true;
        (void)sq_run_begin_request(run, host, SQ_VERB_HELLO);
        sq_run_send_request(run, host, 0, HELLO_TIMEOUT_NS);
        return;
    }
    host->answered = true;
    if (answer->failed) {
        host->problem = answer->error;
    } else if (answer->reply.code != SQ_OK) {
        (void)sq_fail(&host->problem, answer->reply.code, "%s: %s", host->name, answer->reply.message);
    }
}

/* The whole refusal, or the first fault's that was refused. */
static void note_refusal(struct sq_run_host *host, const struct sq_reply *reply)
{
    const char *message = reply->message;
    for (uint32_t i = 0; i < reply->fault_count && message[0] == '\0'; i++)
        message = reply->faults[i].message;
    (void)sq_fail(&host->problem, reply->code, "%s: %s", host->name, message);
}

static void take_prepare(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer)
{
    sq_run_tell_answer(run, host, answer);
    host->answered = true;
    if (answer->failed) {
        host->problem = answer->error;
        return;
    }
    sq_run_note_reports(run, host, &answer->reply);
    if (answer->reply.code != SQ_OK) {
        note_refusal(host, &answer->reply);
        return;
    }
    if (run->phase != SQ_PHASE_PREPARE) {
        /* It came after the rollback began: whatever was confirmed before it does not count. */
        host->clean = false;
        host->removed = false;
        host->next_try_boot_ns = 0;
        return;
    }
    host->prepared = true;
    host->lease_end_boot_ns = sq_ns_add(answer->answered_boot_ns, run->experiment->lease_ns + LEASE_SLACK_NS);
    host->renewed_boot_ns = answer->sent_boot_ns;
    host->next_renew_boot_ns = answer->sent_boot_ns + renew_interval_ns(run);
}

static void take_answer(struct sq_run *run, const struct sq_answer *answer)
{
    uint32_t own = run->host_of[answer->host];
    if (own == UINT32_MAX) {
        sq_run_take_company(run, answer);
        return;
    }
    struct sq_run_host *host = &run->hosts[own];
    enum sq_verb verb = sq_run_tag_verb(answer->tag);
    if (!answer->failed)
        sq_agent_clock_learn(&host->clock, answer->sent_boot_ns, answer->answered_boot_ns,
                             answer->reply.now_boot_ns);
    switch (verb) {
    case SQ_VERB_HELLO:
        take_hello(run, host, answer);
        break;
    case SQ_VERB_PREPARE:
        take_prepare(run, host, answer);
        break;
    case SQ_VERB_INJECT:
        sq_run_take_inject(run, host, answer);
        break;
    case SQ_VERB_RENEW:
        if (run->phase < SQ_PHASE_REVERT)
            take_renewal(run, host, answer);
        break;
    case SQ_VERB_REVERT:
        if (!answer->failed)
            sq_run_note_reports(run, host, &answer->reply);
        sq_run_take_revert(run, host, answer);
        break;
    case SQ_VERB_STATUS:
        if (!answer->failed)
            sq_run_note_reports(run, host, &answer->reply);
        sq_run_take_status(run, host, answer);
        break;
    default:
        break;
    }
}

void sq_run_take_answers(struct sq_run *run)
{
    sq_run_wake(run);
    /* What is left over is ready in the next turn: a measurement that decides does not wait behind the
     * answers of a thousand renewals, and what is told of one turn stays within bounds. */
    for (uint32_t i = 0; i < ANSWERS_PER_TURN && sq_client_next(run->options.client, &run->answer); i++) {
        take_answer(run, &run->answer);
        sq_run_follow_ending(run);
    }
}

uint64_t sq_run_agents_next_boot_ns(const struct sq_run *run)
{
    uint64_t next_boot_ns = UINT64_MAX;
    for (uint32_t i = 0; i < run->host_count; i++) {
        const struct sq_run_host *host = &run->hosts[i];
        if (host->prepared && !host->finished && host->next_renew_boot_ns < next_boot_ns)
            next_boot_ns = host->next_renew_boot_ns;
    }
    return next_boot_ns;
}
