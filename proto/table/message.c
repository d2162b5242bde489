#include "table/message.h"

#include "common/text.h"
#include "common/units.h"
#include "table/params.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *sq_verb_name(enum sq_verb verb)
{
    static const char *const names[] = {"none",  "hello",  "preview", "prepare", "inject",
                                        "renew", "revert", "status",  "halt"};
    _Static_assert(sizeof names / sizeof names[0] == SQ_VERB_MAX + 1, "a name for every verb");
    return (unsigned)verb > SQ_VERB_MAX ? "unknown" : names[verb];
}

const char *sq_state_name(enum sq_fault_state state)
{
    static const char *const names[] = {"NONE", "PREPARED", "INJECTED", "REVERTING", "REVERTED", "FAILED"};
    _Static_assert(sizeof names / sizeof names[0] == SQ_STATE_MAX + 1, "a name for every state");
    return (unsigned)state > SQ_STATE_MAX ? "UNKNOWN" : names[state];
}

const char *sq_end_reason_name(enum sq_end_reason reason)
{
    static const char *const names[] = {"not ended",
                                        "reverted by order",
                                        "duration over",
                                        "lease ended",
                                        "halted",
                                        "agent shut down",
                                        "failed",
                                        "recovered from the log",
                                        "forbidden by the host's new policy",
                                        "never injected"};
    _Static_assert(sizeof names / sizeof names[0] == SQ_END_MAX + 1, "a name for every reason");
    return (unsigned)reason > SQ_END_MAX ? "unknown" : names[reason];
}

const char *sq_proof_name(enum sq_proof proof)
{
    static const char *const names[] = {"not compared", "proved", "changed by others", "left"};
    _Static_assert(sizeof names / sizeof names[0] == SQ_PROOF_MAX + 1, "a name for every proof");
    return (unsigned)proof > SQ_PROOF_MAX ? "unknown" : names[proof];
}

const char *sq_line_kind_name(enum sq_line_kind kind)
{
    static const char *const names[] = {"", "touches", "spares", "note", "warning", "left", "foreign"};
    _Static_assert(sizeof names / sizeof names[0] == SQ_LINE_KIND_MAX + 1, "a name for every kind of line");
    return (unsigned)kind > SQ_LINE_KIND_MAX ? "unknown" : names[kind];
}

void sq_request_clear(struct sq_request *request)
{
    uint32_t filled = request->fault_count < SQ_FAULTS_MAX ? request->fault_count : SQ_FAULTS_MAX;
    memset(request, 0, offsetof(struct sq_request, faults) + filled * sizeof request->faults[0]);
}

void sq_reply_clear(struct sq_reply *reply)
{
    uint32_t filled = reply->fault_count < SQ_FAULTS_MAX ? reply->fault_count : SQ_FAULTS_MAX;
    memset(reply, 0, offsetof(struct sq_reply, faults) + filled * sizeof reply->faults[0]);
}

void sq_report_line(struct sq_fault_report *report, enum sq_line_kind kind, const char *format, ...)
{
    if (report->line_count >= SQ_LINES_MAX) {
        report->lines_dropped++;
        return;
    }
    struct sq_report_line *line = &report->lines[report->line_count++];
    line->kind = kind;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line->text, sizeof line->text, format, arguments);
    va_end(arguments);
    sq_text_make_printable(line->text);
}

void sq_report_count(struct sq_fault_report *report, const char *name, uint64_t value)
{
    uint32_t i = 0;
    while (i < report->counter_count && strcmp(report->counters[i].name, name) != 0)
        i++;
    if (i == SQ_COUNTERS_MAX)
        return;
    if (i == report->counter_count) {
        (void)sq_text_copy(report->counters[i].name, sizeof report->counters[i].name, name);
        report->counter_count++;
    }
    report->counters[i].value = value;
}

void sq_report_fail(struct sq_fault_report *report, const struct sq_error *error)
{
    report->code = error->code;
    (void)sq_text_copy(report->message, sizeof report->message, error->text);
    sq_text_make_printable(report->message);
}

void sq_reply_fail(struct sq_reply *reply, const struct sq_error *error)
{
    reply->code = error->code;
    (void)sq_text_copy(reply->message, sizeof reply->message, error->text);
    sq_text_make_printable(reply->message);
}

static int check_lease(uint64_t lease_ns, struct sq_error *error)
{
    if (lease_ns >= SQ_LEASE_MIN_NS && lease_ns <= SQ_LEASE_MAX_NS)
        return 0;
    char least[SQ_UNIT_TEXT_MAX];
    char most[SQ_UNIT_TEXT_MAX];
    sq_duration_format(SQ_LEASE_MIN_NS, least);
    sq_duration_format(SQ_LEASE_MAX_NS, most);
    return sq_fail(error, SQ_BAD_INPUT, "the lease is out of range; expected %s to %s", least, most);
}

static int check_order(const struct sq_request *request, uint32_t i, struct sq_error *error)
{
    const struct sq_fault_order *order = &request->faults[i];
    if (order->index >= SQ_FAULTS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "fault index %u is out of range", order->index);
    if (order->duration_ns < SQ_DURATION_MIN_NS || order->duration_ns > SQ_DURATION_MAX_NS)
        return sq_fail(error, SQ_BAD_INPUT, "fault %u: the duration is out of range; expected 1ms to 24h",
                       order->index);
    if (sq_spec_check(&order->spec, NULL, error) != 0)
        return sq_fail_in(error, "fault %u", order->index);
    if (sq_spec_check_duration(&order->spec, order->duration_ns, NULL, error) != 0)
        return sq_fail_in(error, "fault %u", order->index);
    for (uint32_t j = 0; j < i; j++)
        if (request->faults[j].index == order->index)
            return sq_fail(error, SQ_BAD_INPUT, "fault index %u stands twice", order->index);
    return 0;
}

static int check_orders(const struct sq_request *request, struct sq_error *error)
{
    if (request->fault_count == 0 || request->fault_count > SQ_FAULTS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "%u faults in one request; expected 1 to %d",
                       request->fault_count, SQ_FAULTS_MAX);
    for (uint32_t i = 0; i < request->fault_count; i++)
        if (check_order(request, i, error) != 0)
            return -1;
    return 0;
}

static bool is_spoken(uint32_t version)
{
    return version >= SQ_PROTOCOL_VERSION_LEAST && version <= SQ_PROTOCOL_VERSION;
}

int sq_protocol_check_request(uint32_t version, struct sq_error *error)
{
    if (is_spoken(version))
        return 0;
    return sq_fail(error, SQ_VERSION_GAP,
                   "the controller speaks protocol version %u, this agent versions %d to %d: update %s; one "
                   "version apart they work together",
                   version, SQ_PROTOCOL_VERSION_LEAST, SQ_PROTOCOL_VERSION,
                   version > SQ_PROTOCOL_VERSION ? "squalld on this host" : "the controller's squall");
}

int sq_protocol_check_reply(uint32_t version, struct sq_error *error)
{
    if (is_spoken(version))
        return 0;
    return sq_fail(error, SQ_VERSION_GAP,
                   "the agent speaks protocol version %u, this squall versions %d to %d: update %s; one "
                   "version apart they work together",
                   version, SQ_PROTOCOL_VERSION_LEAST, SQ_PROTOCOL_VERSION,
                   version > SQ_PROTOCOL_VERSION ? "this squall" : "squalld on that host");
}

uint32_t sq_protocol_answer_version(uint32_t asked)
{
    return is_spoken(asked) ? asked : SQ_PROTOCOL_VERSION;
}

/* Who orders, and until when the order holds. */
static int check_bounds_of_order(const struct sq_request *request, struct sq_error *error)
{
    enum sq_verb verb = request->verb;
    bool is_owners =
        verb == SQ_VERB_PREPARE || verb == SQ_VERB_INJECT || verb == SQ_VERB_RENEW || verb == SQ_VERB_REVERT;
    if (request->version < 2 && (!sq_id_is_zero(&request->token) || request->prepared_until_boot_ns != 0))
        return sq_fail(error, SQ_BAD_INPUT, "protocol version %u knows no token", request->version);
    if (request->version >= 2 && is_owners && sq_id_is_zero(&request->token))
        return sq_fail(error, SQ_BAD_INPUT, "%s without a token", sq_verb_name(verb));
    if ((verb == SQ_VERB_PREPARE || verb == SQ_VERB_INJECT) && request->not_after_boot_ns == 0)
        return sq_fail(error, SQ_BAD_INPUT, "%s without a time after which it is too late",
                       sq_verb_name(verb));
    if (request->version >= 2 && verb == SQ_VERB_PREPARE && request->prepared_until_boot_ns == 0)
        return sq_fail(error, SQ_BAD_INPUT, "prepare without a time until which it may be injected");
    return 0;
}

int sq_request_check(const struct sq_request *request, struct sq_error *error)
{
    if (sq_protocol_check_request(request->version, error) != 0)
        return -1;
    enum sq_verb verb = request->verb;
    if ((int)verb <= SQ_VERB_NONE || verb > SQ_VERB_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "unknown verb %d", (int)verb);
    if (!sq_text_is_terminated(request->title, sizeof request->title) ||
        !sq_text_is_terminated(request->operator_name, sizeof request->operator_name))
        return sq_fail(error, SQ_BAD_INPUT, "a text is too long");
    bool has_experiment = verb >= SQ_VERB_PREVIEW && verb <= SQ_VERB_REVERT;
    if (has_experiment && sq_id_is_zero(&request->experiment))
        return sq_fail(error, SQ_BAD_INPUT, "%s without an experiment's id", sq_verb_name(verb));
    if (check_bounds_of_order(request, error) != 0)
        return -1;
    if (request->requester.family != 0 && request->requester.family != 4 && request->requester.family != 6)
        return sq_fail(error, SQ_BAD_INPUT, "a request from an address of no known family");
    if (request->fault_mask >= 1u << SQ_FAULTS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "the fault mask names a fault beyond %d", SQ_FAULTS_MAX - 1);
    if ((verb == SQ_VERB_PREPARE || verb == SQ_VERB_RENEW) && check_lease(request->lease_ns, error) != 0)
        return -1;
    if (verb == SQ_VERB_PREVIEW || verb == SQ_VERB_PREPARE)
        return check_orders(request, error);
    if (request->fault_count != 0)
        return sq_fail(error, SQ_BAD_INPUT, "%s carries faults", sq_verb_name(verb));
    return 0;
}

static bool report_is_bounded(const struct sq_fault_report *report)
{
    if (report->index >= SQ_FAULTS_MAX || (unsigned)report->state > SQ_STATE_MAX ||
        (unsigned)report->end_reason > SQ_END_MAX || (unsigned)report->code > SQ_CODE_MAX ||
        (unsigned)report->proof > SQ_PROOF_MAX ||
        !sq_text_is_terminated(report->message, sizeof report->message) ||
        report->counter_count > SQ_COUNTERS_MAX || report->line_count > SQ_LINES_MAX)
        return false;
    for (uint32_t i = 0; i < report->counter_count; i++)
        if (!sq_text_is_terminated(report->counters[i].name, sizeof report->counters[i].name))
            return false;
    for (uint32_t i = 0; i < report->line_count; i++)
        if (!sq_text_is_terminated(report->lines[i].text, sizeof report->lines[i].text))
            return false;
    return true;
}

static bool hello_is_bounded(const struct sq_hello *hello)
{
    if (!sq_text_is_terminated(hello->agent_version, sizeof hello->agent_version) ||
        !sq_text_is_terminated(hello->hostname, sizeof hello->hostname) ||
        !sq_text_is_terminated(hello->kernel, sizeof hello->kernel) ||
        !sq_text_is_terminated(hello->policy_problem, sizeof hello->policy_problem) ||
        hello->ability_count > SQ_ABILITIES_MAX)
        return false;
    for (uint32_t i = 0; i < hello->ability_count; i++)
        if (!sq_text_is_terminated(hello->abilities[i].reason, sizeof hello->abilities[i].reason))
            return false;
    return true;
}

int sq_reply_check(const struct sq_reply *reply, struct sq_error *error)
{
    if (sq_protocol_check_reply(reply->version, error) != 0)
        return -1;
    if ((unsigned)reply->code > SQ_CODE_MAX || (unsigned)reply->verb > SQ_VERB_MAX ||
        !sq_text_is_terminated(reply->message, sizeof reply->message) ||
        !sq_text_is_terminated(reply->title, sizeof reply->title) ||
        !sq_text_is_terminated(reply->operator_name, sizeof reply->operator_name) ||
        !hello_is_bounded(&reply->hello) || reply->fault_count > SQ_FAULTS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "the agent's answer is malformed");
    for (uint32_t i = 0; i < reply->fault_count; i++)
        if (!report_is_bounded(&reply->faults[i]))
            return sq_fail(error, SQ_BAD_INPUT, "the agent's report on fault %u is malformed", i);
    return 0;
}
