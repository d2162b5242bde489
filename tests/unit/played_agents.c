#include "played_agents.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define PENDING 64

struct sq_client {
    int fd; /* an eventfd: readable when an answer is due */
    struct sq_loop_source *timer;
    struct {
        bool used;
        uint64_t due_boot_ns;
        struct sq_answer *answer;
    } pending[PENDING];
};

struct agent agents[HOSTS + 1];
int raise_at_prepare;
int raise_at_revert;
struct sq_loop *played_loop;
void (*on_first_order)(uint64_t inject_boot_ns);

static struct sq_client fake;
static bool ordered_once; /* to inject */

void agents_reset(void)
{
    memset(agents, 0, sizeof(agents));
    for (size_t i = 0; i < HOSTS; i++)
        agents[i].clock_offset_ns = (i * 86400 + 5) * SQ_NS_PER_SECOND;
    raise_at_prepare = 0;
    raise_at_revert = 0;
    on_first_order = NULL;
    ordered_once = false;
}

static uint64_t agent_now(const struct agent *agent)
{
    return sq_loop_now_boot_ns(played_loop) + agent->clock_offset_ns;
}

static void end_fault(const struct agent *agent, struct fault *fault, enum sq_end_reason reason)
{
    struct sq_fault_report *report = &fault->report;
    if (report->state != SQ_STATE_PREPARED && report->state != SQ_STATE_INJECTED)
        return;
    report->end_reason = reason;
    report->clean_boot_ns = agent_now(agent);
    if (agent->mood == LEAVES_SOMETHING) {
        report->state = SQ_STATE_FAILED;
        report->code = SQ_UNCLEAN;
        (void)strcpy(report->message, "not all of it could be undone");
        sq_report_line(report, SQ_LINE_LEFT, "device ifb7: ip link delete ifb7");
        return;
    }
    report->removed_boot_ns = agent_now(agent);
    report->proof = SQ_PROOF_PROVED;
    if (agent->mood == SAYS_LEFT)
        report->proof = SQ_PROOF_LEFT;
    if (agent->mood == COMPARES_NOTHING)
        report->proof = SQ_PROOF_NONE;
    report->state = SQ_STATE_REVERTED;
    if (agent->mood != FINDS_IT_GONE)
        return;
    report->state = SQ_STATE_FAILED;
    report->code = SQ_VANISHED;
    report->proof = SQ_PROOF_CHANGED;
    report->seen_boot_ns = report->injected_boot_ns;
    (void)strcpy(report->message, "somebody took it away");
}

static void forbid(const struct agent *agent, struct fault *fault)
{
    (void)strcpy(fault->report.message, "the policy does not allow network.partition");
    end_fault(agent, fault, SQ_END_POLICY);
}

static void inject_fault(struct agent *agent, struct fault *fault)
{
    fault->report.state = SQ_STATE_INJECTED;
    fault->report.injected_boot_ns = fault->inject_at_boot_ns;
    fault->report.touched = true;
    if (fault->report.kind == SQ_PROCESS_KILL) {
        sq_report_count(&fault->report, "signalled", 1);
        sq_report_count(&fault->report, "killed", 1);
    } else {
        sq_report_count(&fault->report, "dropped-in", 7);
    }
    if (agent->mood == GOES_AFTER_INJECT)
        agent->mood = GONE;
    if (agent->mood == FORBIDDEN_AFTER_INJECT)
        forbid(agent, fault);
    if (agent->mood == HALTED_AFTER_INJECT)
        end_fault(agent, fault, SQ_END_HALT);
    if (agent->mood == FAILS_TO_INJECT) {
        (void)strcpy(fault->report.message, "the device went away");
        end_fault(agent, fault, SQ_END_FAILURE);
        fault->report.state = SQ_STATE_FAILED;
        fault->report.code = SQ_SYSTEM;
    }
    if (agent->mood == RESTARTS_AFTER_INJECT) {
        memset(&agent->experiment, 0, sizeof(agent->experiment));
        memset(agent->faults, 0, sizeof(agent->faults));
    }
}

/* What was killed is started again in time. */
static void bring_back(const struct agent *agent, struct fault *fault)
{
    uint64_t back_ns = fault->report.injected_boot_ns + agent->back_after_ns;
    if (fault->report.kind != SQ_PROCESS_KILL || fault->report.state != SQ_STATE_INJECTED ||
        agent->back_after_ns == 0 || agent_now(agent) < back_ns)
        return;
    sq_report_count(&fault->report, "came-back", 1);
    sq_report_count(&fault->report, "back-after-ms", agent->back_after_ns / MS);
}

/* What time does to an agent. */
static void live_on(struct agent *agent)
{
    uint64_t now_boot_ns = agent_now(agent);
    for (uint32_t i = 0; i < agent->fault_count; i++) {
        struct fault *fault = &agent->faults[i];
        if (fault->report.state == SQ_STATE_PREPARED && fault->inject_at_boot_ns != 0 &&
            now_boot_ns >= fault->inject_at_boot_ns)
            inject_fault(agent, fault);
        bring_back(agent, fault);
        if (fault->report.state == SQ_STATE_INJECTED &&
            now_boot_ns >= fault->report.injected_boot_ns + fault->duration_ns)
            end_fault(agent, fault, SQ_END_DURATION);
        if (agent->lease_end_boot_ns != 0 && now_boot_ns >= agent->lease_end_boot_ns)
            end_fault(agent, fault, SQ_END_LEASE);
    }
}

static void prepare(struct agent *agent, const struct sq_request *request, struct sq_reply *reply)
{
    agent->prepares++;
    if (agent->mood == REFUSES_PREPARE) {
        reply->code = SQ_POLICY;
        (void)strcpy(reply->message, "the policy does not allow network.partition");
        return;
    }
    agent->experiment = request->experiment;
    agent->token = request->token;
    assert_true(request->prepared_until_boot_ns > request->not_after_boot_ns);
    assert_true(request->prepared_until_boot_ns - agent_now(agent) < SQ_PREPARED_MAX_NS);
    assert_true(request->not_after_boot_ns - agent_now(agent) <= SQ_NOT_AFTER_MAX_NS);
    agent->lease_ns = request->lease_ns;
    agent->fault_count = request->fault_count;
    for (uint32_t i = 0; i < request->fault_count; i++) {
        agent->faults[i].duration_ns = request->faults[i].duration_ns;
        agent->faults[i].inject_at_boot_ns = 0;
        agent->faults[i].report = (struct sq_fault_report){
            .index = request->faults[i].index,
            .kind = request->faults[i].spec.kind,
            .state = SQ_STATE_PREPARED,
            .prepared_boot_ns = agent_now(agent),
        };
    }
    if (raise_at_prepare != 0)
        (void)kill(getpid(), raise_at_prepare);
}

static void act(struct agent *agent, const struct sq_request *request, struct sq_reply *reply)
{
    bool known = sq_id_equal(&agent->experiment, &request->experiment) && !sq_id_is_zero(&agent->experiment);
    struct sq_error error;
    if (sq_request_check(request, &error) != 0)
        fail_msg("%s", error.text);
    if (known && (request->verb == SQ_VERB_INJECT || request->verb == SQ_VERB_RENEW ||
                  request->verb == SQ_VERB_REVERT))
        assert_true(sq_id_equal_secret(&agent->token, &request->token));
    if (agent->mood == FORBIDDEN_WHILE_PREPARED && request->verb == SQ_VERB_RENEW)
        forbid(agent, &agent->faults[0]);
    if (request->verb == SQ_VERB_PREPARE)
        prepare(agent, request, reply);
    else if (request->verb != SQ_VERB_HELLO && !known &&
             (request->verb != SQ_VERB_STATUS || !sq_id_is_zero(&request->experiment)))
        reply->code = SQ_UNKNOWN;
    else if (request->verb == SQ_VERB_INJECT) {
        agent->injects++;
        for (uint32_t i = 0; i < agent->fault_count; i++)
            if ((request->fault_mask == 0 || (request->fault_mask >> i & 1) != 0) &&
                agent->faults[i].inject_at_boot_ns == 0)
                agent->faults[i].inject_at_boot_ns =
                    request->at_boot_ns > agent_now(agent) ? request->at_boot_ns : agent_now(agent);
    } else if (request->verb == SQ_VERB_REVERT) {
        for (uint32_t i = 0; i < agent->fault_count; i++)
            end_fault(agent, &agent->faults[i], SQ_END_ORDERED);
        if (raise_at_revert != 0)
            (void)kill(getpid(), raise_at_revert);
    }
    if (request->verb == SQ_VERB_REVERT)
        agent->reverts++;
    if (request->verb == SQ_VERB_RENEW)
        agent->renewals++;
    if (request->verb == SQ_VERB_PREPARE || request->verb == SQ_VERB_RENEW)
        agent->lease_end_boot_ns = agent_now(agent) + agent->lease_ns;
    live_on(agent);
    if (!sq_id_is_zero(&agent->experiment)) {
        reply->experiment = agent->experiment;
        (void)strcpy(reply->operator_name, "eve@desk");
        reply->fault_count = agent->fault_count;
        for (uint32_t i = 0; i < agent->fault_count; i++)
            reply->faults[i] = agent->faults[i].report;
    }
}

static void take_order(struct agent *agent, const struct sq_request *request)
{
    if (request->verb != SQ_VERB_INJECT || ordered_once)
        return;
    ordered_once = true;
    if (on_first_order != NULL)
        on_first_order(request->at_boot_ns - agent->clock_offset_ns);
}

static bool loses(uint32_t *to_lose)
{
    if (*to_lose == 0)
        return false;
    (*to_lose)--;
    return true;
}

/* --- agents/client.h --- */

static void on_answers_due(void *cookie)
{
    struct sq_client *client = cookie;
    (void)eventfd_write(client->fd, 1);
}

static void arm_answers(struct sq_client *client)
{
    uint64_t first_boot_ns = 0;
    for (size_t i = 0; i < PENDING; i++)
        if (client->pending[i].used && (first_boot_ns == 0 || client->pending[i].due_boot_ns < first_boot_ns))
            first_boot_ns = client->pending[i].due_boot_ns;
    sq_loop_arm(client->timer, first_boot_ns);
}

int sq_client_open(const struct sq_inventory *inventory, struct sq_loop *loop, struct sq_names *names,
                   struct sq_client **client, struct sq_error *error)
{
    (void)loop;
    (void)names;
    (void)inventory;
    memset(&fake, 0, sizeof(fake));
    fake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *client = &fake;
    return sq_loop_add_timer(played_loop, on_answers_due, &fake, &fake.timer, error);
}

void sq_client_close(struct sq_client *client)
{
    for (size_t i = 0; i < PENDING; i++) {
        free(client->pending[i].answer);
        client->pending[i].answer = NULL;
    }
    sq_loop_remove(client->timer);
    (void)close(client->fd);
}

int sq_client_fd(const struct sq_client *client)
{
    return client->fd;
}

static void fail_answer(struct sq_answer *answer, const struct agent *agent, uint32_t host)
{
    bool is_old = agent->mood == OLD;
    answer->failed = true;
    (void)sq_fail(&answer->error, is_old ? SQ_VERSION_GAP : SQ_TIMEOUT, "web%u: %s", host + 1,
                  is_old ? "speaks version 9" : "no answer");
}

int sq_client_send(struct sq_client *client, uint32_t host, uint64_t tag, const struct sq_request *request,
                   uint64_t timeout_ns, struct sq_error *error)
{
    struct agent *agent = &agents[host];
    size_t i = 0;
    (void)error;
    while (i < PENDING && client->pending[i].used)
        i++;
    assert_true(i < PENDING);
    struct sq_answer *answer = calloc(1, sizeof(*answer));
    assert_non_null(answer);
    answer->host = host;
    answer->tag = tag;
    answer->sent_boot_ns = sq_loop_now_boot_ns(played_loop);
    client->pending[i].used = true;
    client->pending[i].answer = answer;
    client->pending[i].due_boot_ns = answer->sent_boot_ns + MS;
    live_on(agent);
    if (agent->mood == SLOW_TO_PREPARE && request->verb == SQ_VERB_PREPARE)
        client->pending[i].due_boot_ns += 400 * MS;
    take_order(agent, request);
    bool arrives =
        agent->mood != GONE && agent->mood != OLD && !loses(&agent->requests_to_lose[request->verb]);
    if (arrives) {
        answer->reply.version = SQ_PROTOCOL_VERSION;
        answer->reply.verb = request->verb;
        answer->reply.instance.bytes[0] = (uint8_t)(host + 1);
        answer->reply.now_boot_ns = agent_now(agent);
        answer->reply.hello.real_ns = sq_real_ns();
        act(agent, request, &answer->reply);
    }
    if (!arrives || loses(&agent->answers_to_lose[request->verb])) {
        fail_answer(answer, agent, host);
        if (agent->mood != OLD)
            client->pending[i].due_boot_ns = answer->sent_boot_ns + timeout_ns;
    }
    arm_answers(client);
    return 0;
}

bool sq_client_next(struct sq_client *client, struct sq_answer *answer)
{
    uint64_t now_boot_ns = sq_loop_now_boot_ns(played_loop);
    eventfd_t count;
    for (size_t i = 0; i < PENDING; i++) {
        if (!client->pending[i].used || client->pending[i].due_boot_ns > now_boot_ns)
            continue;
        *answer = *client->pending[i].answer;
        answer->answered_boot_ns = now_boot_ns;
        free(client->pending[i].answer);
        client->pending[i].answer = NULL;
        client->pending[i].used = false;
        return true;
    }
    (void)eventfd_read(client->fd, &count);
    arm_answers(client);
    return false;
}
