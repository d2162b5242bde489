/* libraries: sq_table sq_common */
#include "table/message.h"
#include "table/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sq_request request;
static struct sq_reply reply;
static struct sq_error error;

/* A PREPARE of one kill, as good as any. */
static int begin(void **state)
{
    (void)state;
    memset(&request, 0, sizeof request);
    memset(&reply, 0, sizeof reply);
    memset(&error, 0, sizeof error);
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = SQ_VERB_PREPARE;
    request.experiment.bytes[3] = 1;
    request.token.bytes[5] = 9;
    request.not_after_boot_ns = 1;
    request.prepared_until_boot_ns = 1;
    request.lease_ns = SQ_LEASE_DEFAULT_NS;
    request.fault_count = 1;
    request.faults[0].duration_ns = 10 * SQ_NS_PER_SECOND;
    sq_spec_init(&request.faults[0].spec, &sq_process_kill_info);
    (void)snprintf(request.faults[0].spec.kill.selector.comm, SQ_COMM_MAX, "nginx");
    reply.version = SQ_PROTOCOL_VERSION;
    reply.verb = SQ_VERB_PREPARE;
    reply.fault_count = 1;
    return 0;
}

static void refuse(enum sq_code code, const char *part)
{
    memset(&error, 0, sizeof error);
    assert_int_equal(sq_request_check(&request, &error), -1);
    assert_int_equal(error.code, code);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' not in '%s'", part, error.text);
    begin(NULL);
}

static void accept_request(void)
{
    if (sq_request_check(&request, &error) != 0)
        fail_msg("%s", error.text);
}

static void test_a_good_request(void **state)
{
    (void)state;
    accept_request();
    request.fault_count = 2;
    request.faults[1] = request.faults[0];
    request.faults[1].index = 7;
    (void)snprintf(request.faults[1].spec.kill.selector.comm, SQ_COMM_MAX, "haproxy");
    accept_request();
}

static void test_version_and_verb(void **state)
{
    (void)state;
    request.version = SQ_PROTOCOL_VERSION + 1;
    refuse(
        SQ_VERSION_GAP,
        "the controller speaks protocol version 3, this agent versions 1 to 2: update squalld on this host");
    request.version = 0;
    request.verb = SQ_VERB_NONE;
    refuse(SQ_VERSION_GAP, "version 0, this agent versions 1 to 2: update the controller's squall");
    assert_int_equal(sq_protocol_answer_version(1), 1);
    assert_int_equal(sq_protocol_answer_version(2), 2);
    assert_int_equal(sq_protocol_answer_version(3), SQ_PROTOCOL_VERSION);
    assert_int_equal(sq_protocol_answer_version(0), SQ_PROTOCOL_VERSION);
    static const int verbs[] = {0, 9, -1, 1000000};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        memcpy(&request.verb, &verbs[i], sizeof request.verb);
        refuse(SQ_BAD_INPUT, "unknown verb");
    }
}

static void test_texts_and_masks(void **state)
{
    (void)state;
    memset(request.title, 'x', sizeof request.title);
    refuse(SQ_BAD_INPUT, "a text is too long");
    memset(request.operator_name, 'x', sizeof request.operator_name);
    refuse(SQ_BAD_INPUT, "a text is too long");
    memset(&request.experiment, 0, sizeof request.experiment);
    refuse(SQ_BAD_INPUT, "prepare without an experiment's id");
    request.fault_mask = 1u << SQ_FAULTS_MAX;
    refuse(SQ_BAD_INPUT, "the fault mask names a fault beyond 7");
    request.requester.family = 5;
    refuse(SQ_BAD_INPUT, "family");
}

/* Who orders, and until when it holds: nobody is obeyed without, but for version 1, which has no token. */
static void test_bounds_of_orders(void **state)
{
    (void)state;
    static const enum sq_verb verbs[] = {SQ_VERB_PREPARE, SQ_VERB_INJECT, SQ_VERB_RENEW, SQ_VERB_REVERT};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        request.verb = verbs[i];
        request.fault_count = verbs[i] == SQ_VERB_PREPARE;
        accept_request();
        memset(&request.token, 0, sizeof request.token);
        refuse(SQ_BAD_INPUT, "without a token");
        request.version = 1;
        refuse(SQ_BAD_INPUT, "protocol version 1 knows no token");
        request.version = 1;
        memset(&request.token, 0, sizeof request.token);
        request.prepared_until_boot_ns = 0;
        accept_request();
        begin(NULL);
    }
    request.not_after_boot_ns = 0;
    refuse(SQ_BAD_INPUT, "prepare without a time after which it is too late");
    request.prepared_until_boot_ns = 0;
    refuse(SQ_BAD_INPUT, "prepare without a time until which it may be injected");
    request.verb = SQ_VERB_INJECT;
    request.fault_count = 0;
    request.not_after_boot_ns = 0;
    refuse(SQ_BAD_INPUT, "inject without a time after which it is too late");
}

static void test_lease(void **state)
{
    (void)state;
    static const uint64_t wrong[] = {0, SQ_LEASE_MIN_NS - 1, SQ_LEASE_MAX_NS + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        request.lease_ns = wrong[i];
        refuse(SQ_BAD_INPUT, "the lease is out of range; expected 500ms to 10m");
    }
    request.lease_ns = SQ_LEASE_MIN_NS;
    accept_request();
    request.lease_ns = SQ_LEASE_MAX_NS;
    accept_request();
    request.verb = SQ_VERB_RENEW;
    request.fault_count = 0;
    accept_request();
    request.lease_ns = 0;
    refuse(SQ_BAD_INPUT, "the lease");
    request.verb = SQ_VERB_PREVIEW;
    request.lease_ns = 0;
    accept_request();
}

static void test_orders(void **state)
{
    (void)state;
    request.fault_count = 0;
    refuse(SQ_BAD_INPUT, "0 faults in one request; expected 1 to 8");
    request.fault_count = SQ_FAULTS_MAX + 1;
    refuse(SQ_BAD_INPUT, "9 faults in one request");
    request.fault_count = UINT32_MAX;
    refuse(SQ_BAD_INPUT, "4294967295 faults");
    request.faults[0].index = SQ_FAULTS_MAX;
    refuse(SQ_BAD_INPUT, "fault index 8 is out of range");
    static const uint64_t durations[] = {0, SQ_DURATION_MIN_NS - 1, SQ_DURATION_MAX_NS + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        request.faults[0].duration_ns = durations[i];
        refuse(SQ_BAD_INPUT, "fault 0: the duration is out of range");
    }
    request.faults[0].index = 3;
    request.faults[0].spec.kill.selector.comm[0] = '\0';
    refuse(SQ_BAD_INPUT, "fault 3: no process is named");
    request.fault_count = 2;
    request.faults[1] = request.faults[0];
    refuse(SQ_BAD_INPUT, "fault index 0 stands twice");
}

static void test_verbs_without_faults(void **state)
{
    (void)state;
    static const enum sq_verb verbs[] = {SQ_VERB_HELLO,  SQ_VERB_INJECT, SQ_VERB_RENEW,
                                         SQ_VERB_REVERT, SQ_VERB_STATUS, SQ_VERB_HALT};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        request.verb = verbs[i];
        request.fault_count = 0;
        accept_request();
        request.fault_count = 1;
        refuse(SQ_BAD_INPUT, "carries faults");
    }
    request.fault_count = 0;
    request.verb = SQ_VERB_HALT;
    memset(&request.experiment, 0, sizeof request.experiment);
    accept_request();
}

static void refuse_reply(enum sq_code code, const char *part)
{
    memset(&error, 0, sizeof error);
    assert_int_equal(sq_reply_check(&reply, &error), -1);
    assert_int_equal(error.code, code);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' not in '%s'", part, error.text);
    begin(NULL);
}

static void test_replies(void **state)
{
    (void)state;
    if (sq_reply_check(&reply, &error) != 0)
        fail_msg("%s", error.text);
    reply.version = 7;
    refuse_reply(SQ_VERSION_GAP,
                 "the agent speaks protocol version 7, this squall versions 1 to 2: update this");
    reply.version = 0;
    refuse_reply(SQ_VERSION_GAP, "version 0, this squall versions 1 to 2: update squalld on that host");
    reply.version = 1;
    assert_int_equal(sq_reply_check(&reply, &error), 0);
    reply.code = (enum sq_code)(SQ_CODE_MAX + 1);
    refuse_reply(SQ_BAD_INPUT, "malformed");
    reply.verb = (enum sq_verb)(SQ_VERB_MAX + 1);
    refuse_reply(SQ_BAD_INPUT, "malformed");
    memset(reply.message, 'x', sizeof reply.message);
    refuse_reply(SQ_BAD_INPUT, "malformed");
    memset(reply.title, 'x', sizeof reply.title);
    refuse_reply(SQ_BAD_INPUT, "malformed");
    memset(reply.operator_name, 'x', sizeof reply.operator_name);
    refuse_reply(SQ_BAD_INPUT, "malformed");
    reply.fault_count = SQ_FAULTS_MAX + 1;
    refuse_reply(SQ_BAD_INPUT, "malformed");
    memset(reply.hello.hostname, 'x', sizeof reply.hello.hostname);
    refuse_reply(SQ_BAD_INPUT, "malformed");
    memset(reply.hello.policy_problem, 'x', sizeof reply.hello.policy_problem);
    refuse_reply(SQ_BAD_INPUT, "malformed");
    reply.hello.ability_count = SQ_ABILITIES_MAX + 1;
    refuse_reply(SQ_BAD_INPUT, "malformed");
    reply.hello.ability_count = 1;
    memset(reply.hello.abilities[0].reason, 'x', sizeof reply.hello.abilities[0].reason);
    refuse_reply(SQ_BAD_INPUT, "malformed");
}

static void test_reports(void **state)
{
    (void)state;
    struct sq_fault_report *report = &reply.faults[0];
    report->index = SQ_FAULTS_MAX;
    refuse_reply(SQ_BAD_INPUT, "the agent's report on fault 0 is malformed");
    report->state = (enum sq_fault_state)(SQ_STATE_MAX + 1);
    refuse_reply(SQ_BAD_INPUT, "report on fault 0");
    report->end_reason = (enum sq_end_reason)(SQ_END_MAX + 1);
    refuse_reply(SQ_BAD_INPUT, "report on fault 0");
    report->code = (enum sq_code)(SQ_CODE_MAX + 1);
    refuse_reply(SQ_BAD_INPUT, "report on fault 0");
    memset(report->message, 'x', sizeof report->message);
    refuse_reply(SQ_BAD_INPUT, "report on fault 0");
    report->counter_count = SQ_COUNTERS_MAX + 1;
    refuse_reply(SQ_BAD_INPUT, "report on fault 0");
    report->counter_count = 1;
    memset(report->counters[0].name, 'x', sizeof report->counters[0].name);
    refuse_reply(SQ_BAD_INPUT, "report on fault 0");
    report->line_count = SQ_LINES_MAX + 1;
    refuse_reply(SQ_BAD_INPUT, "report on fault 0");
    report->line_count = 1;
    memset(report->lines[0].text, 'x', sizeof report->lines[0].text);
    refuse_reply(SQ_BAD_INPUT, "report on fault 0");
}

static void test_report_lines(void **state)
{
    (void)state;
    static struct sq_fault_report report;
    memset(&report, 0, sizeof report);
    sq_report_line(&report, SQ_LINE_NOTE, "%s\n[%d]", "a\x1b\xff", 3);
    assert_string_equal(report.lines[0].text, "a???[3]");
    assert_int_equal(report.lines[0].kind, SQ_LINE_NOTE);
    for (int i = 0; i < 100; i++)
        sq_report_line(&report, SQ_LINE_NOTE, "%0300d", i);
    assert_int_equal(report.line_count, SQ_LINES_MAX);
    assert_int_equal(report.lines_dropped, 101 - SQ_LINES_MAX);
    assert_int_equal(strlen(report.lines[5].text), SQ_LINE_MAX - 1);

    for (int i = 0; i < 20; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "counter%d", i);
        sq_report_count(&report, name, (uint64_t)i);
    }
    assert_int_equal(report.counter_count, SQ_COUNTERS_MAX);
    sq_report_count(&report, "counter3", 99);
    assert_int_equal(report.counter_count, SQ_COUNTERS_MAX);
    assert_int_equal(report.counters[3].value, 99);

    (void)sq_fail(&error, SQ_POLICY, "no\x1b[2J");
    sq_report_fail(&report, &error);
    assert_int_equal(report.code, SQ_POLICY);
    assert_string_equal(report.message, "no?[2J");
    sq_reply_fail(&reply, &error);
    assert_int_equal(reply.code, SQ_POLICY);
    assert_string_equal(reply.message, "no?[2J");
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(sq_verb_name(SQ_VERB_HALT), "halt");
    assert_string_equal(sq_verb_name((enum sq_verb)99), "unknown");
    assert_string_equal(sq_state_name(SQ_STATE_FAILED), "FAILED");
    assert_string_equal(sq_state_name((enum sq_fault_state)99), "UNKNOWN");
    assert_string_equal(sq_end_reason_name(SQ_END_LEASE), "lease ended");
    assert_string_equal(sq_end_reason_name((enum sq_end_reason)99), "unknown");
    assert_string_equal(sq_line_kind_name(SQ_LINE_FOREIGN), "foreign");
    assert_string_equal(sq_line_kind_name((enum sq_line_kind)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_good_request, begin),
        cmocka_unit_test_setup(test_version_and_verb, begin),
        cmocka_unit_test_setup(test_texts_and_masks, begin),
        cmocka_unit_test_setup(test_bounds_of_orders, begin),
        cmocka_unit_test_setup(test_lease, begin),
        cmocka_unit_test_setup(test_orders, begin),
        cmocka_unit_test_setup(test_verbs_without_faults, begin),
        cmocka_unit_test_setup(test_replies, begin),
        cmocka_unit_test_setup(test_reports, begin),
        cmocka_unit_test_setup(test_report_lines, begin),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
