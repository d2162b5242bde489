/* The rollback: everybody at once, again until it is confirmed, and the proof that it is so. */
#include "engine/run_state.h"

#include "common/clock.h"
#include "common/text.h"

#define TRY_TIMEOUT_NS  (1 * SQ_NS_PER_SECOND)
#define TRY_PAUSE_NS    (100 * SQ_NS_PER_MILLISECOND)
#define STATUS_PAUSE_NS (50 * SQ_NS_PER_MILLISECOND)
#define PATIENCE_NS     (5 * SQ_NS_PER_SECOND)  /* for an agent that does not answer, beyond its lease */
#define INSIST_NS       (3 * SQ_NS_PER_SECOND)  /* for what an agent could not undo at once */
#define REMOVE_MOST_NS  (30 * SQ_NS_PER_SECOND) /* for what is clean to be removed as well */

static bool is_settled(const struct sq_run_host *host)
{
    return host->removed || host->left || host->unconfirmed;
}

static void send_try(struct sq_run *run, struct sq_run_host *host, enum sq_verb verb)
{
    struct sq_error error = {0};
    struct sq_request *request = &run->request;
    sq_request_clear(request);
    request->version = SQ_PROTOCOL_VERSION;
    request->verb = verb;
    request->experiment = run->options.id;
    request->instance = host->instance;
    if (verb == SQ_VERB_REVERT)
        request->token = host->token;
    uint32_t number = run->sequence++;
    uint64_t tag = sq_run_tag(verb, number, 0);
    if (verb == SQ_VERB_REVERT) {
        host->revert_under_way = true;
        sq_run_tell_request(run, host, number);
    } else {
        host->status_under_way = true;
    }
    if (sq_client_send(run->options.client, host->index, tag, request, TRY_TIMEOUT_NS, &error) != 0) {
        host->revert_under_way = false;
        host->status_under_way = false;
        host->problem = error;
        host->next_try_boot_ns = sq_run_now(run) + TRY_PAUSE_NS;
    }
}

void sq_run_revert(struct sq_run *run, uint64_t now_boot_ns)
{
    run->rollback_boot_ns = now_boot_ns;
    for (uint32_t i = 0; i < run->host_count; i++)
        if (run->hosts[i].ordered)
            send_try(run, &run->hosts[i], SQ_VERB_REVERT);
}

void sq_run_revert_due(struct sq_run *run, uint64_t now_boot_ns)
{
    for (uint32_t i = 0; i < run->host_count; i++) {
        struct sq_run_host *host = &run->hosts[i];
        if (!host->ordered || is_settled(host) || host->revert_under_way || host->status_under_way ||
            now_boot_ns < host->next_try_boot_ns)
            continue;
        send_try(run, host,
                 host->clean && !sq_run_host_is_unclean(run, host) ? SQ_VERB_STATUS : SQ_VERB_REVERT);
    }
}

static bool fault_is_clean(const struct sq_fault_report *report)
{
    switch (report->state) {
    case SQ_STATE_NONE:
    case SQ_STATE_REVERTED:
        return true;
    case SQ_STATE_REVERTING:
        return report->clean_boot_ns != 0;
    case SQ_STATE_FAILED:
        return report->clean_boot_ns != 0 || report->prepared_boot_ns == 0;
    default:
        return false;
    }
}

static bool fault_is_final(const struct sq_fault_report *report)
{
    return report->state == SQ_STATE_NONE || report->state == SQ_STATE_REVERTED ||
           report->state == SQ_STATE_FAILED;
}

static void note_clean(struct sq_run *run, struct sq_run_host *host, uint64_t seen_boot_ns)
{
    if (host->clean)
        return;
    uint64_t latest_boot_ns = 0;
    for (uint32_t i = 0; i < host->report_count; i++) {
        uint64_t clean_boot_ns = sq_agent_clock_to_ours(&host->clock, host->reports[i].clean_boot_ns);
        if (clean_boot_ns > latest_boot_ns)
            latest_boot_ns = clean_boot_ns;
    }
    host->clean = true;
    host->clean_boot_ns =
        latest_boot_ns != 0 && latest_boot_ns < seen_boot_ns ? latest_boot_ns : seen_boot_ns;
    sq_run_tell_host(run, host, "clean", host->clean_boot_ns, host->problem.text);
}

static void note_removed(struct sq_run *run, struct sq_run_host *host, uint64_t seen_boot_ns)
{
    uint64_t latest_boot_ns = 0;
    for (uint32_t i = 0; i < host->report_count; i++) {
        uint64_t removed_boot_ns = sq_agent_clock_to_ours(&host->clock, host->reports[i].removed_boot_ns);
        if (removed_boot_ns > latest_boot_ns)
            latest_boot_ns = removed_boot_ns;
    }
    host->removed = true;
    host->removed_boot_ns =
        latest_boot_ns != 0 && latest_boot_ns < seen_boot_ns ? latest_boot_ns : seen_boot_ns;
    sq_run_tell_host(run, host, "removed", host->removed_boot_ns, host->problem.text);
}

/* What the reports say, once the agent has answered about our experiment. */
static void judge(struct sq_run *run, struct sq_run_host *host, uint64_t seen_boot_ns)
{
    bool clean = true;
    bool final = true;
    for (uint32_t i = 0; i < host->report_count; i++) {
        clean = clean && fault_is_clean(&host->reports[i]);
        final = final && fault_is_final(&host->reports[i]);
    }
    host->next_try_boot_ns = seen_boot_ns + STATUS_PAUSE_NS;
    if (clean)
        note_clean(run, host, seen_boot_ns);
    if (final && sq_run_host_is_unclean(run, host)) {
        /* A REVERT makes the agent try again what it could not undo. */
        host->left = seen_boot_ns >= sq_ns_add(run->rollback_boot_ns, INSIST_NS);
        host->next_try_boot_ns = seen_boot_ns + TRY_PAUSE_NS;
        if (host->left)
            sq_run_tell_host(run, host, "left", seen_boot_ns, host->problem.text);
    } else if (clean && final) {
        note_removed(run, host, seen_boot_ns);
    }
}

void sq_run_take_revert(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer)
{
    host->revert_under_way = false;
    if (run->phase != SQ_PHASE_REVERT)
        return;
    sq_run_tell_answer(run, host, answer);
    if (answer->failed) {
        host->problem = answer->error;
        host->next_try_boot_ns = answer->answered_boot_ns + TRY_PAUSE_NS;
        return;
    }
    if (answer->reply.code == SQ_OK && sq_id_equal(&answer->reply.experiment, &run->options.id)) {
        judge(run, host, answer->answered_boot_ns);
        return;
    }
    if (answer->reply.code == SQ_LIMIT) {
        /* It cannot promise to refuse our PREPARE should that still come: asked again until it can. */
        (void)sq_fail(&host->problem, SQ_LIMIT, "%s: %s", host->name, answer->reply.message);
        host->next_try_boot_ns = answer->answered_boot_ns + TRY_PAUSE_NS;
        return;
    }
    /* It knows nothing of it, or is another life of the agent: STATUS, which is asked of whoever lives,
     * tells. */
    send_try(run, host, SQ_VERB_STATUS);
}

void sq_run_take_status(struct sq_run *run, struct sq_run_host *host, const struct sq_answer *answer)
{
    const struct sq_reply *reply = &answer->reply;
    host->status_under_way = false;
    if (run->phase != SQ_PHASE_REVERT || is_settled(host))
        return;
    if (!answer->failed && sq_id_equal(&reply->experiment, &run->options.id)) {
        judge(run, host, answer->answered_boot_ns);
        return;
    }
    if (answer->failed || (reply->code != SQ_OK && reply->code != SQ_UNKNOWN && reply->code != SQ_STALE)) {
        host->problem = answer->error;
        if (!answer->failed)
            (void)sq_fail(&host->problem, reply->code, "%s: %s", host->name, reply->message);
        host->next_try_boot_ns = answer->answered_boot_ns + TRY_PAUSE_NS;
        return;
    }
    /*
     * Nothing of ours is there. An agent undoes what its undo log holds before it answers anybody, so that is
     * as good as a confirmation, though without the comparison.
     */
    host->forgotten = host->prepared;
    note_clean(run, host, answer->answered_boot_ns);
    note_removed(run, host, answer->answered_boot_ns);
}

static void give_up(struct sq_run *run, struct sq_run_host *host, const char *what)
{
    host->unconfirmed = true;
    sq_run_tell_note(run, "%s: %s: %s", host->name, what,
                     host->problem.text[0] != '\0' ? host->problem.text : "no answer");
    sq_run_tell_host(run, host, "unconfirmed", sq_run_now(run), host->problem.text);
}

bool sq_run_is_rolled_back(struct sq_run *run, uint64_t now_boot_ns)
{
    bool done = true;
    for (uint32_t i = 0; i < run->host_count; i++) {
        struct sq_run_host *host = &run->hosts[i];
        if (!host->ordered || is_settled(host))
            continue;
        uint64_t patience_boot_ns = sq_ns_add(run->rollback_boot_ns, PATIENCE_NS);
        uint64_t until_boot_ns =
            host->lease_end_boot_ns > patience_boot_ns ? host->lease_end_boot_ns : patience_boot_ns;
        if (!host->clean && now_boot_ns > until_boot_ns)
            give_up(run, host, "not confirmed as clean, though its lease is over");
        else if (host->clean && now_boot_ns > sq_ns_add(run->rollback_boot_ns, REMOVE_MOST_NS) &&
                 now_boot_ns > until_boot_ns)
            give_up(run, host, "clean, but not confirmed as removed");
        else
            done = false;
    }
    return done;
}

uint64_t sq_run_revert_next_boot_ns(const struct sq_run *run)
{
    uint64_t next_boot_ns = UINT64_MAX;
    for (uint32_t i = 0; i < run->host_count; i++) {
        const struct sq_run_host *host = &run->hosts[i];
        if (host->ordered && !is_settled(host) && host->next_try_boot_ns < next_boot_ns &&
            !host->revert_under_way && !host->status_under_way)
            next_boot_ns = host->next_try_boot_ns;
    }
    return next_boot_ns;
}
