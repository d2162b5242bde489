/* libraries: sq_commands sq_wire nng::nng PkgConfig::JANSSON */
#include "planning/dry_run.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "planning/plan.h"
#include "planning/plan_json.h"
#include "reading/experiment.h"
#include "reading/inventory.h"
#include "screen/plan_print.h"
#include "wire/wire.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>

#define HOSTS  3 /* of the plan */
#define AGENTS 4 /* of the inventory: the last one is in no plan */

static char directory[] = "/tmp/squall-preview.XXXXXX";

/* What a host's agent does when it is asked for a preview. */
enum manner { PROMISES, REFUSES_FAULT, REFUSES_ALL, FORGETS_FAULT, ABSENT, HAS_COMPANY };

struct agent {
    enum manner manner;
    const char *name;
    nng_socket socket;
    pthread_t thread;
    uint32_t asked;
};

static struct agent agents[AGENTS] = {{.name = "web1"}, {.name = "web2"}, {.name = "web3"}, {.name = "db1"}};
static const char *limits = "";

static void fill_status(const struct agent *agent, struct sq_reply *reply)
{
    if (agent->manner != HAS_COMPANY)
        return;
    reply->experiment.bytes[0] = 7;
    (void)sq_text_copy(reply->title, sizeof(reply->title), "The other shop");
    (void)sq_text_copy(reply->operator_name, sizeof(reply->operator_name), "eve@desk");
    reply->fault_count = 1;
    reply->faults[0].kind = SQ_NETWORK_PARTITION;
    reply->faults[0].state = SQ_STATE_PREPARED;
}

static void fill_reply(const struct agent *agent, const struct sq_request *request, struct sq_reply *reply)
{
    reply->version = SQ_PROTOCOL_VERSION;
    reply->verb = request->verb;
    if (request->verb == SQ_VERB_STATUS) {
        fill_status(agent, reply);
        return;
    }
    if (agent->manner == REFUSES_ALL) {
        reply->code = SQ_CONFLICT;
        (void)sq_text_copy(reply->message, sizeof(reply->message), "another experiment is here");
        return;
    }
    reply->fault_count = request->fault_count - (agent->manner == FORGETS_FAULT);
    for (uint32_t i = 0; i < reply->fault_count; i++) {
        struct sq_fault_report *report = &reply->faults[i];
        report->index = request->faults[i].index;
        report->kind = request->faults[i].spec.kind;
        sq_report_line(report, SQ_LINE_TOUCHES, "fault %u on %s", i, agent->name);
        if (agent->manner == REFUSES_FAULT && i == 1) {
            report->code = SQ_POLICY;
            (void)sq_text_copy(report->message, sizeof(report->message), "the policy forbids it");
        }
    }
}

static void *respond(void *argument)
{
    struct agent *agent = argument;
    sq_autofree struct sq_request *request = calloc(1, sizeof(*request));
    sq_autofree struct sq_reply *reply = calloc(1, sizeof(*reply));
    nng_msg *message = NULL;
    while (nng_recvmsg(agent->socket, &message, 0) == 0) {
        struct sq_error error;
        if (sq_wire_decode_request(nng_msg_body(message), nng_msg_len(message), request, &error) != 0)
            fail_msg("%s", error.text);
        assert_true(request->verb == SQ_VERB_PREVIEW || request->verb == SQ_VERB_STATUS);
        agent->asked += request->verb == SQ_VERB_PREVIEW;
        memset(reply, 0, sizeof(*reply));
        fill_reply(agent, request, reply);
        sq_autofree uint8_t *bytes = NULL;
        size_t length = 0;
        assert_int_equal(sq_wire_encode_reply(reply, &bytes, &length, NULL), 0);
        nng_msg_clear(message);
        assert_int_equal(nng_msg_append(message, bytes, length), 0);
        if (nng_sendmsg(agent->socket, message, 0) != 0)
            nng_msg_free(message);
    }
    return NULL;
}

static void agent_start(struct agent *agent)
{
    char url[128];
    agent->asked = 0;
    if (agent->manner == ABSENT)
        return;
    (void)snprintf(url, sizeof(url), "ipc://%s/%s", directory, agent->name);
    assert_int_equal(nng_rep0_open(&agent->socket), 0);
    assert_int_equal(nng_listen(agent->socket, url, NULL, 0), 0);
    assert_int_equal(pthread_create(&agent->thread, NULL, respond, agent), 0);
}

static void agent_stop(struct agent *agent)
{
    if (agent->manner == ABSENT)
        return;
    (void)nng_close(agent->socket);
    (void)pthread_join(agent->thread, NULL);
}

static const char experiment_text[] =
    "title: Try two\n"
    "method:\n"
    "- {name: cut, fault: network.partition, targets: {labels: {role: web}}, with: {to: 10.0.0.0/8}, "
    "duration: 10s}\n"
    "- {name: kill, fault: process.kill, targets: {labels: {role: web}}, with: {comm: nginx}, duration: "
    "2s}\n";

struct outcome {
    int status;
    struct sq_error error;
    struct sq_dry_run dry_run;
    char *text; /* what is printed */
    char brief[SQ_ERROR_TEXT_MAX];
    json_t *json;
    uint32_t previewed;
};

static void preview(const enum manner manners[AGENTS], struct outcome *outcome)
{
    char text[1024] = "hosts:\n";
    char experiment_file[1024];
    memset(outcome, 0, sizeof(*outcome));
    (void)snprintf(experiment_file, sizeof(experiment_file), "%s%s", experiment_text, limits);
    for (int i = 0; i < AGENTS; i++) {
        sq_text_append(text, sizeof(text), "- {name: %s, agent: 'ipc://%s/%s', labels: {role: %s}}\n",
                       agents[i].name, directory, agents[i].name, i < HOSTS ? "web" : "db");
        agents[i].manner = manners[i];
        agent_start(&agents[i]);
    }
    sq_autoinventory struct sq_inventory *inventory = NULL;
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    sq_autoplan struct sq_plan *plan = NULL;
    struct sq_loop *loop = NULL;
    struct sq_names *names = NULL;
    struct sq_client *client = NULL;
    struct sq_error error;
    if (sq_inventory_parse("hosts.yaml", text, strlen(text), &inventory, &error) != 0 ||
        sq_experiment_parse("two.yaml", experiment_file, strlen(experiment_file), NULL, 0, &experiment,
                            &error) != 0 ||
        sq_plan_make(experiment, inventory, &plan, &error) != 0 ||
        sq_dry_run_open(plan, &outcome->dry_run, &error) != 0 || sq_loop_open(&loop, &error) != 0 ||
        sq_names_open(loop, &names, &error) != 0 ||
        sq_client_open(inventory, loop, names, &client, &error) != 0)
        fail_msg("%s", error.text);
    outcome->status = sq_dry_run_ask(plan, client, -1, &outcome->dry_run, &outcome->error);
    size_t length = 0;
    FILE *stream = open_memstream(&outcome->text, &length);
    assert_non_null(stream);
    sq_plan_print(plan, outcome->dry_run.problems, &outcome->dry_run.company, false, false, stream);
    (void)fclose(stream);
    outcome->json = sq_plan_json(plan, outcome->dry_run.problems);
    assert_non_null(outcome->json);
    for (uint32_t i = 0; i < plan->host_count; i++)
        outcome->previewed += plan->hosts[i].previewed;
    sq_dry_run_brief(&outcome->dry_run, plan, &outcome->error, outcome->brief);
    sq_client_close(client);
    sq_names_close(names);
    sq_loop_close(loop);
    for (int i = 0; i < AGENTS; i++)
        agent_stop(&agents[i]);
}

static void outcome_free(struct outcome *outcome)
{
    free(outcome->text);
    sq_dry_run_close(&outcome->dry_run);
    json_decref(outcome->json);
}

static void expect_text(const struct outcome *outcome, const char *part)
{
    if (strstr(outcome->text, part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, outcome->text);
}

static void test_all_promise(void **state)
{
    (void)state;
    struct outcome outcome;
    preview((const enum manner[AGENTS]){PROMISES, PROMISES, PROMISES}, &outcome);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(outcome.previewed, HOSTS);
    for (int i = 0; i < HOSTS; i++)
        assert_int_equal(agents[i].asked, 1);
    expect_text(&outcome, "Try two");
    expect_text(&outcome, "3 of 3 that match (role=web): web1\xe2\x80\xa6web3");
    expect_text(&outcome, "cannot be undone");
    expect_text(&outcome, "touches  fault 1 on web3");
    json_t *hosts = json_object_get(outcome.json, "hosts");
    assert_int_equal(json_array_size(hosts), HOSTS);
    json_t *faults = json_object_get(json_array_get(hosts, 1), "faults");
    json_t *line = json_array_get(json_object_get(json_array_get(faults, 0), "preview"), 0);
    assert_string_equal(json_string_value(json_object_get(line, "text")), "fault 0 on web2");
    assert_null(json_object_get(json_array_get(hosts, 1), "problem"));
    outcome_free(&outcome);
}

static void test_refusal_outranks_absence(void **state)
{
    (void)state;
    struct outcome outcome;
    preview((const enum manner[AGENTS]){ABSENT, REFUSES_FAULT, PROMISES}, &outcome);
    assert_int_equal(outcome.status, -1);
    assert_int_equal(outcome.error.code, SQ_POLICY);
    assert_non_null(strstr(outcome.error.text, "2 of 3 hosts cannot take part"));
    assert_non_null(strstr(outcome.error.text, "web2 refuses step \"kill\": the policy forbids it"));
    assert_int_equal(outcome.dry_run.problems[0].code, SQ_UNREACHABLE);
    assert_int_equal(outcome.dry_run.problems[1].code, SQ_POLICY);
    assert_int_equal(outcome.dry_run.problems[2].code, SQ_OK);
    expect_text(&outcome, "is squalld running?");
    /* Once, under the step that is refused; who said nothing has no empty headings. */
    expect_text(&outcome, "  step 2: kill\n    refused  the policy forbids it\n");
    const char *first = strstr(outcome.text, "the policy forbids it");
    assert_null(strstr(first + 1, "the policy forbids it"));
    assert_string_equal(outcome.brief,
                        "refused: 2 hosts: web1, web2 cannot take part, for what is said above");
    expect_text(&outcome, "touches  fault 0 on web2"); /* the step that was not refused */
    assert_null(strstr(outcome.text, "fault 1 on web2"));
    expect_text(&outcome, "touches  fault 1 on web3");
    outcome_free(&outcome);
}

static void test_absence_alone(void **state)
{
    (void)state;
    struct outcome outcome;
    preview((const enum manner[AGENTS]){PROMISES, ABSENT, PROMISES}, &outcome);
    assert_int_equal(outcome.status, -1);
    assert_int_equal(outcome.error.code, SQ_UNREACHABLE);
    assert_non_null(strstr(outcome.error.text, "web2 (ipc://"));
    assert_int_equal(outcome.previewed, 2);
    outcome_free(&outcome);
}

static void test_odd_answers(void **state)
{
    (void)state;
    struct outcome outcome;
    preview((const enum manner[AGENTS]){REFUSES_ALL, FORGETS_FAULT, PROMISES}, &outcome);
    assert_int_equal(outcome.status, -1);
    assert_int_equal(outcome.error.code, SQ_CONFLICT);
    assert_non_null(strstr(outcome.dry_run.problems[0].text, "web1 refuses: another experiment is here"));
    assert_int_equal(outcome.dry_run.problems[1].code, SQ_BAD_INPUT);
    assert_non_null(strstr(outcome.dry_run.problems[1].text, "says nothing about fault 2 of 2"));
    assert_int_equal(outcome.previewed, 1);
    outcome_free(&outcome);
}

/* Nobody in the plan has anything against it, but the inventory is larger than the plan. */
static void test_company(void **state)
{
    (void)state;
    struct outcome outcome;
    static const enum manner busy[AGENTS] = {PROMISES, PROMISES, PROMISES, HAS_COMPANY};
    static const enum manner silent[AGENTS] = {PROMISES, PROMISES, PROMISES, ABSENT};
    limits = "";
    preview(busy, &outcome);
    assert_int_equal(outcome.status, 0);
    expect_text(&outcome, "others   db1: \"The other shop\" of eve@desk (experiment 07000000), prepared");
    outcome_free(&outcome);
    limits = "limits: {max-hosts: 75%}\n";
    preview(busy, &outcome);
    assert_int_equal(outcome.status, -1);
    assert_int_equal(outcome.error.code, SQ_LIMIT);
    assert_non_null(strstr(outcome.error.text, "db1: prepared by eve@desk, \"The other shop\""));
    outcome_free(&outcome);
    preview(silent, &outcome);
    assert_int_equal(outcome.status, -1);
    assert_int_equal(outcome.error.code, SQ_LIMIT);
    expect_text(&outcome, "others   db1: no answer, counted as disturbed");
    outcome_free(&outcome);
    limits = "limits: {alone: yes}\n";
    preview(busy, &outcome);
    assert_int_equal(outcome.error.code, SQ_LIMIT);
    outcome_free(&outcome);
    preview((const enum manner[AGENTS]){PROMISES, PROMISES, PROMISES, PROMISES}, &outcome);
    assert_int_equal(outcome.status, 0);
    outcome_free(&outcome);
    limits = "";
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_promise),   cmocka_unit_test(test_refusal_outranks_absence),
        cmocka_unit_test(test_absence_alone), cmocka_unit_test(test_odd_answers),
        cmocka_unit_test(test_company),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
