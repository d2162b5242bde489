#include "agents/preview.h"

#include "common/cleanup.h"

#include <stdlib.h>
#include <string.h>

static uint32_t host_index(const struct sq_plan *plan, uint32_t i)
{
    return (uint32_t)(plan->hosts[i].host - plan->inventory->hosts);
}

static int send_all(struct sq_plan *plan, struct sq_client *client, struct sq_error *error)
{
    sq_autofree struct sq_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    request->verb = SQ_VERB_PREVIEW;
    if (sq_id_make(&request->experiment, error) != 0)
        return -1;
    for (uint32_t i = 0; i < plan->host_count; i++) {
        sq_plan_orders(plan, i, request->faults, &request->fault_count);
        if (sq_client_send(client, host_index(plan, i), i, request, SQ_PREVIEW_TIMEOUT_NS, error) != 0)
            return -1;
    }
    return 0;
}

/* The report of fault `index`, or NULL. */
static const struct sq_fault_report *report_of(const struct sq_reply *reply, uint32_t index)
{
    for (uint32_t i = 0; i < reply->fault_count; i++)
        if (reply->faults[i].index == index)
            return &reply->faults[i];
    return NULL;
}

/* Keep what the agent said about each fault, in their order. */
static int keep_reports(const struct sq_plan *plan, struct sq_plan_host *planned,
                        const struct sq_reply *reply, struct sq_error *error)
{
    if (planned->reports == NULL)
        planned->reports = calloc(planned->fault_count, sizeof(*planned->reports));
    if (planned->reports == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (uint32_t i = 0; i < planned->fault_count; i++) {
        const struct sq_fault_report *report = report_of(reply, i);
        enum sq_fault_kind kind = plan->experiment->steps[planned->steps[i]].spec.kind;
        if (report == NULL || report->kind != kind)
            return sq_fail(error, SQ_BAD_INPUT,
                           "%s (%s): the agent's preview says nothing about fault %u of %u",
                           planned->host->name, planned->host->agent, i + 1, planned->fault_count);
        planned->reports[i] = *report;
    }
    planned->report_count = planned->fault_count;
    planned->previewed = true;
    return 0;
}

/* Turn one answer into reports and, if something is wrong, the host's problem. */
static void take(const struct sq_plan *plan, struct sq_plan_host *planned, const struct sq_answer *answer,
                 struct sq_error *problem)
{
    if (answer->failed) {
        *problem = answer->error;
        return;
    }
    const struct sq_reply *reply = &answer->reply;
    if (reply->code != SQ_OK && reply->fault_count == 0) {
        (void)sq_fail(problem, reply->code, "%s refuses: %s", planned->host->name, reply->message);
        return;
    }
    if (keep_reports(plan, planned, reply, problem) != 0)
        return;
    for (uint32_t i = 0; i < planned->report_count; i++) {
        const struct sq_fault_report *report = &planned->reports[i];
        if (report->code == SQ_OK)
            continue;
        (void)sq_fail(problem, report->code, "%s refuses step \"%s\": %s", planned->host->name,
                      plan->experiment->steps[planned->steps[i]].name, report->message);
        return;
    }
    if (reply->code != SQ_OK)
        (void)sq_fail(problem, reply->code, "%s refuses: %s", planned->host->name, reply->message);
}

/* A refusal is final and decides the exit status; somebody who cannot be reached may come back. */
static bool is_refusal(enum sq_code code)
{
    return code == SQ_POLICY || code == SQ_CONFLICT || code == SQ_UNABLE || code == SQ_NOBODY ||
           code == SQ_LIMIT;
}

static int sum_up(const struct sq_plan *plan, const struct sq_error *problems, struct sq_error *error)
{
    uint32_t count = 0;
    const struct sq_error *worst = NULL;
    for (uint32_t i = 0; i < plan->host_count; i++) {
        if (problems[i].code == SQ_OK)
            continue;
        count++;
        if (worst == NULL || (is_refusal(problems[i].code) && !is_refusal(worst->code)))
            worst = &problems[i];
    }
    if (worst == NULL)
        return 0;
    /* An agent's nonsense is no mistake in a file of the person's. */
    enum sq_code code = worst->code == SQ_BAD_INPUT ? SQ_UNREACHABLE : worst->code;
    if (count == 1)
        return sq_fail(error, code, "%s", worst->text);
    return sq_fail(error, code, "%u of %u hosts cannot take part; %s", count, plan->host_count, worst->text);
}

static int collect(struct sq_plan *plan, struct sq_client *client, int interrupt_fd,
                   struct sq_error *problems, struct sq_error *error)
{
    sq_autofree struct sq_answer *answer = malloc(sizeof(*answer));
    if (answer == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (uint32_t left = plan->host_count; left > 0;) {
        if (sq_client_next(client, answer)) {
            if (answer->tag < plan->host_count) {
                take(plan, &plan->hosts[answer->tag], answer, &problems[answer->tag]);
                left--;
            }
            continue;
        }
        if (sq_client_wait(client, interrupt_fd, UINT64_MAX, error) != 0)
            return sq_fail_in(error, "while waiting for the previews of %u hosts", left);
    }
    return 0;
}

int sq_preview(struct sq_plan *plan, struct sq_client *client, int interrupt_fd, struct sq_error *problems,
               struct sq_error *error)
{
    memset(problems, 0, plan->host_count * sizeof(*problems));
    if (send_all(plan, client, error) != 0 || collect(plan, client, interrupt_fd, problems, error) != 0)
        return -1;
    return sum_up(plan, problems, error);
}
