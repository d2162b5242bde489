/*
 * Agents that are played: this file defines the functions of agents/client.h, so that the library's own
 * are not linked. For one test program alone.
 */
#ifndef SQ_TESTS_PLAYED_AGENTS_H
#define SQ_TESTS_PLAYED_AGENTS_H

#include "agents/client.h"
#include "common/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define HOSTS   3
#define PENDING 64
#define MS      SQ_NS_PER_MILLISECOND

/* --- the agents --- */

enum mood {
    WELL,
    GONE,            /* answers nothing, failures come at the timeout */
    REFUSES_PREPARE, /* by policy */
    OLD,             /* speaks another version */
    FAILS_TO_INJECT,
    LEAVES_SOMETHING,  /* cannot undo all of it */
    FINDS_IT_GONE,     /* somebody else took away what it made */
    GOES_AFTER_INJECT, /* dies once the fault is in */
    RESTARTS_AFTER_INJECT,
    HALTED_AFTER_INJECT,
    FORBIDDEN_WHILE_PREPARED, /* its policy is read again */
    FORBIDDEN_AFTER_INJECT,
    SLOW_TO_PREPARE,
};

struct fault {
    struct sq_fault_report report;
    uint64_t duration_ns;
    uint64_t inject_at_boot_ns;
};

struct agent {
    enum mood mood;
    uint32_t fault_count;
    struct fault faults[SQ_FAULTS_MAX];
    uint64_t lease_ns;
    uint64_t lease_end_boot_ns;
    struct sq_id experiment;
    struct sq_id token;       /* of who prepared it: nobody else is obeyed */
    uint64_t clock_offset_ns; /* every agent has booted at another time */
    uint32_t reverts;
    uint32_t injects;
    uint32_t prepares;
    uint32_t renewals;
};

struct sq_client {
    int fd;
    struct {
        bool used;
        uint64_t due_boot_ns;
        struct sq_answer *answer;
    } pending[PENDING];
};

static struct agent agents[HOSTS];
static struct sq_client fake;
static int raise_at_prepare; /* a signal to send to ourselves when the first PREPARE comes */
static int raise_at_revert;
static _Atomic bool injected_once; /* a fault is in, or was */

static uint64_t agent_now(const struct agent *agent)
{
    return sq_boot_ns() + agent->clock_offset_ns;
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
    injected_once = true;
    sq_report_count(&fault->report, "dropped-in", 7);
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

/* What time does to an agent. */
static void live_on(struct agent *agent)
{
    uint64_t now_boot_ns = agent_now(agent);
    for (uint32_t i = 0; i < agent->fault_count; i++) {
        struct fault *fault = &agent->faults[i];
        if (fault->report.state == SQ_STATE_PREPARED && fault->inject_at_boot_ns != 0 &&
            now_boot_ns >= fault->inject_at_boot_ns)
            inject_fault(agent, fault);
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
    else if (request->verb != SQ_VERB_HELLO && !known)
        reply->code = SQ_UNKNOWN;
    else if (request->verb == SQ_VERB_INJECT) {
        agent->injects++;
        for (uint32_t i = 0; i < agent->fault_count; i++)
            if (request->fault_mask == 0 || (request->fault_mask >> i & 1) != 0)
                agent->faults[i].inject_at_boot_ns = request->at_boot_ns;
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
        reply->fault_count = agent->fault_count;
        for (uint32_t i = 0; i < agent->fault_count; i++)
            reply->faults[i] = agent->faults[i].report;
    }
}

/* --- agents/client.h --- */

int sq_client_open(const struct sq_inventory *inventory, struct sq_client **client, struct sq_error *error)
{
    (void)inventory;
    (void)error;
    memset(&fake, 0, sizeof(fake));
    fake.fd = eventfd(1, EFD_CLOEXEC);
    *client = &fake;
    return 0;
}

void sq_client_close(struct sq_client *client)
{
    for (size_t i = 0; i < PENDING; i++) {
        free(client->pending[i].answer);
        client->pending[i].answer = NULL;
    }
    (void)close(client->fd);
}

int sq_client_fd(const struct sq_client *client)
{
    return client->fd; /* always readable: the loop then looks all the time */
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
    answer->sent_boot_ns = sq_boot_ns();
    client->pending[i].used = true;
    client->pending[i].answer = answer;
    client->pending[i].due_boot_ns = answer->sent_boot_ns + MS;
    live_on(agent);
    if (agent->mood == SLOW_TO_PREPARE && request->verb == SQ_VERB_PREPARE)
        client->pending[i].due_boot_ns += 400 * MS;
    if (agent->mood == GONE || agent->mood == OLD) {
        answer->failed = true;
        (void)sq_fail(&answer->error, agent->mood == GONE ? SQ_TIMEOUT : SQ_VERSION_GAP, "web%u: %s",
                      host + 1, agent->mood == GONE ? "no answer" : "speaks version 9");
        client->pending[i].due_boot_ns = answer->sent_boot_ns + (agent->mood == GONE ? timeout_ns : MS);
        return 0;
    }
    answer->reply.version = SQ_PROTOCOL_VERSION;
    answer->reply.verb = request->verb;
    answer->reply.instance.bytes[0] = (uint8_t)(host + 1);
    answer->reply.now_boot_ns = agent_now(agent);
    answer->reply.hello.real_ns = sq_real_ns();
    act(agent, request, &answer->reply);
    return 0;
}

bool sq_client_next(struct sq_client *client, struct sq_answer *answer)
{
    uint64_t now_boot_ns = sq_boot_ns();
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
    return false;
}

#endif
