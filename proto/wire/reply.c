#include "wire/codec.h"
#include "wire/wire.h"

#include <string.h>

/* The largest numbers that a controller of each version knows; it refuses an answer with others. */
struct known {
    uint32_t kind;
    uint32_t code;
    uint32_t end_reason;
    uint32_t line;
};

static struct known known_to(uint32_t version)
{
    if (version >= SQ_PROTOCOL_VERSION)
        return (struct known){SQ_FAULT_KIND_MAX, SQ_CODE_MAX, SQ_END_MAX, SQ_LINE_KIND_MAX};
    return (struct known){SQ_MEMORY_STRESS, SQ_INTERNAL, SQ_END_RECOVERY, SQ_LINE_FOREIGN};
}

static int put_counters(struct sq_arena *arena, const struct sq_fault_report *report,
                        Squall__V1__FaultReport *message)
{
    message->counters = sq_arena_allocate(arena, report->counter_count * sizeof *message->counters);
    if (message->counters == NULL)
        return -1;
    for (uint32_t i = 0; i < report->counter_count; i++) {
        Squall__V1__Counter *counter = sq_codec_new(arena, &squall__v1__counter__descriptor);
        if (counter == NULL)
            return -1;
        counter->name = sq_codec_put_text(arena, report->counters[i].name, sizeof report->counters[i].name);
        counter->value = report->counters[i].value;
        message->counters[i] = counter;
        if (counter->name == NULL)
            return -1;
    }
    message->n_counters = report->counter_count;
    return 0;
}

static int put_lines(struct sq_arena *arena, const struct sq_fault_report *report, const struct known *known,
                     Squall__V1__FaultReport *message)
{
    message->lines = sq_arena_allocate(arena, report->line_count * sizeof *message->lines);
    if (message->lines == NULL)
        return -1;
    for (uint32_t i = 0; i < report->line_count; i++) {
        Squall__V1__ReportLine *line = sq_codec_new(arena, &squall__v1__report_line__descriptor);
        if (line == NULL)
            return -1;
        line->kind = report->lines[i].kind <= known->line ? report->lines[i].kind : SQ_LINE_NOTE;
        line->text = sq_codec_put_text(arena, report->lines[i].text, sizeof report->lines[i].text);
        message->lines[i] = line;
        if (line->text == NULL)
            return -1;
    }
    message->n_lines = report->line_count;
    return 0;
}

static Squall__V1__FaultReport *put_report(struct sq_arena *arena, const struct sq_fault_report *report,
                                           const struct known *known)
{
    Squall__V1__FaultReport *message = sq_codec_new(arena, &squall__v1__fault_report__descriptor);
    if (message == NULL)
        return NULL;
    message->index = report->index;
    message->kind = report->kind <= known->kind ? report->kind : SQ_FAULT_NONE;
    message->state = report->state;
    message->end_reason = report->end_reason <= known->end_reason ? report->end_reason : SQ_END_FAILURE;
    message->code = report->code <= known->code ? report->code : SQ_SYSTEM;
    message->message = sq_codec_put_text(arena, report->message, sizeof report->message);
    message->prepared_boot_ns = report->prepared_boot_ns;
    message->injected_boot_ns = report->injected_boot_ns;
    message->deadline_boot_ns = report->deadline_boot_ns;
    message->ends_boot_ns = report->ends_boot_ns;
    message->clean_boot_ns = report->clean_boot_ns;
    message->removed_boot_ns = report->removed_boot_ns;
    message->proved = report->proof == SQ_PROOF_PROVED;
    message->proof = report->proof;
    message->seen_boot_ns = report->seen_boot_ns;
    message->touched = report->touched;
    message->lines_dropped = report->lines_dropped;
    if (message->message == NULL || put_counters(arena, report, message) != 0 ||
        put_lines(arena, report, known, message) != 0)
        return NULL;
    return message;
}

static Squall__V1__Ability *put_ability(struct sq_arena *arena, const struct sq_ability *ability)
{
    Squall__V1__Ability *message = sq_codec_new(arena, &squall__v1__ability__descriptor);
    if (message == NULL)
        return NULL;
    message->kind = ability->kind;
    message->able = ability->able;
    message->permitted = ability->permitted;
    message->reason = sq_codec_put_text(arena, ability->reason, sizeof ability->reason);
    return message->reason == NULL ? NULL : message;
}

static Squall__V1__Hello *put_hello(struct sq_arena *arena, const struct sq_hello *hello)
{
    Squall__V1__Hello *message = sq_codec_new(arena, &squall__v1__hello__descriptor);
    if (message == NULL)
        return NULL;
    message->agent_version = sq_codec_put_text(arena, hello->agent_version, sizeof hello->agent_version);
    message->hostname = sq_codec_put_text(arena, hello->hostname, sizeof hello->hostname);
    message->kernel = sq_codec_put_text(arena, hello->kernel, sizeof hello->kernel);
    message->policy_problem = sq_codec_put_text(arena, hello->policy_problem, sizeof hello->policy_problem);
    message->protocol = hello->protocol;
    message->real_ns = hello->real_ns;
    message->max_duration_ns = hello->max_duration_ns;
    message->certificate_ends_real_ns = hello->certificate_ends_real_ns;
    message->abilities = sq_arena_allocate(arena, hello->ability_count * sizeof *message->abilities);
    if (message->agent_version == NULL || message->hostname == NULL || message->kernel == NULL ||
        message->policy_problem == NULL || message->abilities == NULL ||
        sq_codec_put_id(arena, &hello->boot, &message->boot) != 0)
        return NULL;
    for (uint32_t i = 0; i < hello->ability_count; i++) {
        message->abilities[i] = put_ability(arena, &hello->abilities[i]);
        if (message->abilities[i] == NULL)
            return NULL;
    }
    message->n_abilities = hello->ability_count;
    return message;
}

static int put_faults(struct sq_arena *arena, const struct sq_reply *reply, Squall__V1__Reply *message)
{
    const struct known known = known_to(reply->version);
    message->faults = sq_arena_allocate(arena, reply->fault_count * sizeof *message->faults);
    if (message->faults == NULL)
        return -1;
    for (uint32_t i = 0; i < reply->fault_count; i++) {
        message->faults[i] = put_report(arena, &reply->faults[i], &known);
        if (message->faults[i] == NULL)
            return -1;
    }
    message->n_faults = reply->fault_count;
    return 0;
}

static bool counts_are_bounded(const struct sq_reply *reply)
{
    if (reply->fault_count > SQ_FAULTS_MAX || reply->hello.ability_count > SQ_ABILITIES_MAX)
        return false;
    for (uint32_t i = 0; i < reply->fault_count; i++)
        if (reply->faults[i].counter_count > SQ_COUNTERS_MAX || reply->faults[i].line_count > SQ_LINES_MAX)
            return false;
    return true;
}

int sq_wire_encode_reply(const struct sq_reply *reply, uint8_t **bytes, size_t *length,
                         struct sq_error *error)
{
    if (!counts_are_bounded(reply))
        return sq_fail(error, SQ_INTERNAL,
                       "a reply with more faults, lines or counters than its structure holds");
    sq_autoarena struct sq_arena arena;
    sq_arena_init(&arena);
    Squall__V1__Reply message = SQUALL__V1__REPLY__INIT;
    message.version = reply->version;
    message.verb = reply->verb;
    message.code = reply->code <= known_to(reply->version).code ? reply->code : SQ_SYSTEM;
    message.message = sq_codec_put_text(&arena, reply->message, sizeof reply->message);
    message.now_boot_ns = reply->now_boot_ns;
    message.title = sq_codec_put_text(&arena, reply->title, sizeof reply->title);
    message.operator_name = sq_codec_put_text(&arena, reply->operator_name, sizeof reply->operator_name);
    message.lease_boot_ns = reply->lease_boot_ns;
    if (message.message == NULL || message.title == NULL || message.operator_name == NULL ||
        sq_codec_put_id(&arena, &reply->instance, &message.instance) != 0 ||
        sq_codec_put_id(&arena, &reply->experiment, &message.experiment) != 0 ||
        put_faults(&arena, reply, &message) != 0)
        return sq_codec_no_memory(error);
    if (reply->verb == SQ_VERB_HELLO && reply->code == SQ_OK) {
        message.hello = put_hello(&arena, &reply->hello);
        if (message.hello == NULL)
            return sq_codec_no_memory(error);
    }
    return sq_codec_pack(&message.base, bytes, length, error);
}

static int get_lines(const Squall__V1__FaultReport *message, struct sq_fault_report *report,
                     struct sq_error *error)
{
    if (message->n_lines > SQ_LINES_MAX || message->n_counters > SQ_COUNTERS_MAX)
        return sq_fail(error, SQ_BAD_INPUT,
                       "the agent's report has %zu lines and %zu counters; expected %d and %d",
                       message->n_lines, message->n_counters, SQ_LINES_MAX, SQ_COUNTERS_MAX);
    for (size_t i = 0; i < message->n_lines; i++) {
        struct sq_report_line *line = &report->lines[i];
        if (message->lines[i]->kind == 0 || message->lines[i]->kind > SQ_LINE_KIND_MAX)
            return sq_fail(error, SQ_BAD_INPUT, "the agent's report has a line of unknown kind %u",
                           message->lines[i]->kind);
        line->kind = message->lines[i]->kind;
        if (sq_codec_get_text(message->lines[i]->text, line->text, sizeof line->text, "line", error) != 0)
            return -1;
    }
    report->line_count = (uint32_t)message->n_lines;
    for (size_t i = 0; i < message->n_counters; i++) {
        struct sq_counter *counter = &report->counters[i];
        counter->value = message->counters[i]->value;
        if (sq_codec_get_text(message->counters[i]->name, counter->name, sizeof counter->name,
                              "counter's name", error) != 0)
            return -1;
    }
    report->counter_count = (uint32_t)message->n_counters;
    return 0;
}

/* Agents that know no field 17 say only whether it is proved. */
static enum sq_proof get_proof(const Squall__V1__FaultReport *message)
{
    if (message->proof == SQ_PROOF_NONE && message->proved)
        return SQ_PROOF_PROVED;
    return message->proof;
}

static int get_report(const Squall__V1__FaultReport *message, struct sq_fault_report *report,
                      struct sq_error *error)
{
    if (sq_codec_check_number(message->index, SQ_FAULTS_MAX - 1, "fault index", error) != 0 ||
        sq_codec_check_number(message->kind, SQ_FAULT_KIND_MAX, "fault kind", error) != 0 ||
        sq_codec_check_number(message->state, SQ_STATE_MAX, "fault state", error) != 0 ||
        sq_codec_check_number(message->end_reason, SQ_END_MAX, "reason for an end", error) != 0 ||
        sq_codec_check_number(message->code, SQ_CODE_MAX, "code", error) != 0 ||
        sq_codec_check_number(message->proof, SQ_PROOF_MAX, "proof", error) != 0 ||
        sq_codec_get_text(message->message, report->message, sizeof report->message, "fault message",
                          error) != 0)
        return -1;
    report->index = message->index;
    report->kind = message->kind;
    report->state = message->state;
    report->end_reason = message->end_reason;
    report->code = message->code;
    report->prepared_boot_ns = message->prepared_boot_ns;
    report->injected_boot_ns = message->injected_boot_ns;
    report->deadline_boot_ns = message->deadline_boot_ns;
    report->ends_boot_ns = message->ends_boot_ns;
    report->clean_boot_ns = message->clean_boot_ns;
    report->removed_boot_ns = message->removed_boot_ns;
    report->seen_boot_ns = message->seen_boot_ns;
    report->proof = get_proof(message);
    report->touched = message->touched;
    report->lines_dropped = message->lines_dropped;
    return get_lines(message, report, error);
}

/* An ability of a kind that this controller does not know cannot be ordered by it, and is left out. */
static int get_abilities(const Squall__V1__Hello *message, struct sq_hello *hello, struct sq_error *error)
{
    for (size_t i = 0; i < message->n_abilities; i++) {
        const Squall__V1__Ability *source = message->abilities[i];
        if (source->kind == SQ_FAULT_NONE || source->kind > SQ_FAULT_KIND_MAX)
            continue;
        if (hello->ability_count == SQ_ABILITIES_MAX)
            return sq_fail(error, SQ_BAD_INPUT, "the agent names more than %d abilities", SQ_ABILITIES_MAX);
        struct sq_ability *ability = &hello->abilities[hello->ability_count++];
        ability->kind = source->kind;
        ability->able = source->able;
        ability->permitted = source->permitted;
        if (sq_codec_get_text(source->reason, ability->reason, sizeof ability->reason, "ability's reason",
                              error) != 0)
            return -1;
    }
    return 0;
}

static int get_hello(const Squall__V1__Hello *message, struct sq_hello *hello, struct sq_error *error)
{
    hello->protocol = message->protocol != 0 ? message->protocol : SQ_PROTOCOL_VERSION_LEAST;
    hello->real_ns = message->real_ns;
    hello->max_duration_ns = message->max_duration_ns;
    hello->certificate_ends_real_ns = message->certificate_ends_real_ns;
    if (sq_codec_get_text(message->agent_version, hello->agent_version, sizeof hello->agent_version,
                          "version", error) != 0 ||
        sq_codec_get_text(message->hostname, hello->hostname, sizeof hello->hostname, "host name", error) !=
            0 ||
        sq_codec_get_text(message->kernel, hello->kernel, sizeof hello->kernel, "kernel", error) != 0 ||
        sq_codec_get_text(message->policy_problem, hello->policy_problem, sizeof hello->policy_problem,
                          "policy problem", error) != 0 ||
        sq_codec_get_id(&message->boot, &hello->boot, "boot", error) != 0)
        return -1;
    return get_abilities(message, hello, error);
}

static int get_reply(const Squall__V1__Reply *message, struct sq_reply *reply, struct sq_error *error)
{
    reply->version = message->version;
    if (sq_codec_check_number(message->verb, SQ_VERB_MAX, "verb", error) != 0 ||
        sq_codec_check_number(message->code, SQ_CODE_MAX, "code", error) != 0 ||
        sq_codec_get_text(message->message, reply->message, sizeof reply->message, "message", error) != 0 ||
        sq_codec_get_text(message->title, reply->title, sizeof reply->title, "title", error) != 0 ||
        sq_codec_get_text(message->operator_name, reply->operator_name, sizeof reply->operator_name,
                          "operator_name", error) != 0 ||
        sq_codec_get_id(&message->instance, &reply->instance, "instance", error) != 0 ||
        sq_codec_get_id(&message->experiment, &reply->experiment, "experiment", error) != 0)
        return -1;
    reply->verb = message->verb;
    reply->code = message->code;
    reply->now_boot_ns = message->now_boot_ns;
    reply->lease_boot_ns = message->lease_boot_ns;
    if (message->n_faults > SQ_FAULTS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "the agent reports %zu faults; expected %d at most",
                       message->n_faults, SQ_FAULTS_MAX);
    for (size_t i = 0; i < message->n_faults; i++)
        if (get_report(message->faults[i], &reply->faults[i], error) != 0)
            return -1;
    reply->fault_count = (uint32_t)message->n_faults;
    if (reply->verb != SQ_VERB_HELLO || reply->code != SQ_OK)
        return sq_reply_check(reply, error);
    if (message->hello == NULL)
        return sq_fail(error, SQ_BAD_INPUT, "the agent's hello says nothing of itself");
    if (get_hello(message->hello, &reply->hello, error) != 0)
        return -1;
    return sq_reply_check(reply, error);
}

int sq_wire_decode_reply(const uint8_t *bytes, size_t length, struct sq_reply *reply, struct sq_error *error)
{
    memset(reply, 0, sizeof *reply);
    uint32_t version = 0;
    uint32_t verb = 0;
    if (sq_codec_peek(bytes, length, &version, &verb)) {
        reply->version = version;
        reply->verb = verb <= SQ_VERB_MAX ? verb : SQ_VERB_NONE;
        if (sq_protocol_check_reply(version, error) != 0)
            return -1;
    }
    sq_autoarena struct sq_arena arena;
    sq_arena_init(&arena);
    ProtobufCMessage *message = NULL;
    if (sq_codec_unpack(&squall__v1__reply__descriptor, &arena, bytes, length, false, "reply", &message,
                        error) != 0)
        return -1;
    return get_reply((const Squall__V1__Reply *)message, reply, error);
}
