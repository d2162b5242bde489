/* libraries: sq_wire sq_protobuf sq_table */
#include "common/cleanup.h"
#include "common/text.h"
#include "table/params.h"
#include "wire/codec.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 300

/* ---- pseudo-random valid structures (splitmix64, the same ones on every run) ---- */

static uint64_t random_state;

static uint64_t next_random(void)
{
    uint64_t mixed = random_state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

static uint32_t below(uint32_t bound)
{
    return (uint32_t)(next_random() % bound);
}

/* Small and extreme values more often than their share. */
static uint64_t any_number(void)
{
    static const uint64_t edges[] = {0, 1, 127, 128, UINT32_MAX, UINT64_MAX};
    return below(3) == 0 ? edges[below(6)] : next_random() >> below(64);
}

/* 0 to size - 1 bytes, some of them beyond ASCII. */
static void any_text(char *text, size_t size)
{
    size_t length = below((uint32_t)size);
    size_t used = 0;
    while (used < length) {
        if (below(8) == 0 && used + 3 <= length) {
            memcpy(text + used, "\xe2\x82\xac", 3);
            used += 3;
        } else {
            text[used++] = (char)('!' + (char)below(90));
        }
    }
    text[used] = '\0';
}

static void any_id(struct sq_id *id)
{
    for (size_t i = 0; i < sizeof id->bytes; i++)
        id->bytes[i] = (uint8_t)next_random();
    id->bytes[0] |= 1;
}

static void any_cidr(struct sq_cidr *cidr)
{
    *cidr = (struct sq_cidr){.family = below(2) == 0 ? 4 : 6};
    cidr->prefix = (uint8_t)(cidr->family == 4 ? 8 * (1 + below(4)) : 8 * (2 + below(15)));
    for (size_t i = 0; i < cidr->prefix / 8u; i++)
        cidr->address[i] = (uint8_t)next_random();
    cidr->address[0] = cidr->family == 4 ? 10 : 0xfd;
}

static void any_list(struct sq_fault_spec *spec, const struct sq_param *param)
{
    uint32_t count = below(10) == 0 ? (uint32_t)param->most : 1 + below(10);
    memcpy((char *)spec + param->count_offset, &count, sizeof count);
    for (uint32_t i = 0; i < count; i++) {
        struct sq_cidr cidr;
        any_cidr(&cidr);
        memcpy((char *)spec + param->offset + i * sizeof cidr, &cidr, sizeof cidr);
    }
}

static void any_param(struct sq_fault_spec *spec, const struct sq_param *param)
{
    char *field = (char *)spec + param->offset;
    uint64_t large = (uint64_t)param->least;
    uint32_t small = (uint32_t)param->least;
    double fraction = param->least + (param->most - param->least) * below(1001) / 1000;
    switch (param->type) {
    case SQ_PARAM_CIDRS:
        any_list(spec, param);
        return;
    case SQ_PARAM_TEXT:
        any_text(field, param->size);
        if (below(2) == 0 && field[0] != '\0' && (unsigned char)field[0] < 0x80)
            field[0] = '/';
        return;
    case SQ_PARAM_PERCENT:
        memcpy(field, &fraction, sizeof fraction);
        return;
    case SQ_PARAM_SEED:
        large = any_number();
        memcpy(field, &large, sizeof large);
        return;
    case SQ_PARAM_DURATION:
    case SQ_PARAM_SIZE:
        large += any_number() % ((uint64_t)param->most - large + 1);
        memcpy(field, &large, sizeof large);
        return;
    case SQ_PARAM_CHOICE:
        for (small = 0; param->choices[small] != NULL && (small == 0 || below(3) != 0); small++)
            ;
        break;
    case SQ_PARAM_CORES:
        (void)sq_spec_set(spec, param, below(2) == 0 ? "all" : "2", NULL);
        return;
    case SQ_PARAM_SIGNAL:
        small = below(2) == 0 ? 9 : 15;
        break;
    default:
        small += below((uint32_t)param->most - small + 1);
    }
    memcpy(field, &small, sizeof small);
}

/* Of any kind there is, by the table alone: tried until it is valid. */
static void any_spec(struct sq_fault_spec *spec)
{
    const struct sq_fault_info *info = sq_fault_table[below((uint32_t)sq_fault_table_count)];
    for (int i = 0; i < 100000; i++) {
        sq_spec_init(spec, info);
        for (size_t p = 0; p < info->param_count; p++)
            if (info->params[p].required || below(3) == 0)
                any_param(spec, &info->params[p]);
        if (sq_spec_check(spec, NULL, NULL) == 0)
            return;
    }
    fail_msg("no valid %s in 100000 tries", info->name);
}

/* One that collides with none of those before it. */
static bool any_order(struct sq_request *request, uint32_t i)
{
    struct sq_fault_order *order = &request->faults[i];
    order->index = SQ_FAULTS_MAX - 1 - i;
    order->duration_ns = SQ_DURATION_MIN_NS + any_number() % (SQ_DURATION_MAX_NS - SQ_DURATION_MIN_NS);
    any_spec(&order->spec);
    if (sq_spec_check_duration(&order->spec, order->duration_ns, NULL, NULL) != 0)
        return false;
    for (uint32_t j = 0; j < i; j++)
        if (sq_spec_collides(&request->faults[j].spec, &order->spec))
            return false;
    return true;
}

static void any_request(struct sq_request *request)
{
    memset(request, 0, sizeof *request);
    request->version = SQ_PROTOCOL_VERSION;
    request->verb = 1 + below(SQ_VERB_MAX);
    any_id(&request->instance);
    any_id(&request->experiment);
    any_text(request->title, sizeof request->title);
    any_text(request->operator_name, sizeof request->operator_name);
    request->lease_ns = SQ_LEASE_MIN_NS + any_number() % (SQ_LEASE_MAX_NS - SQ_LEASE_MIN_NS);
    any_id(&request->token);
    request->not_after_boot_ns = 1 + any_number() / 2;
    request->prepared_until_boot_ns = 1 + any_number() / 2;
    request->at_boot_ns = any_number();
    request->fault_mask = below(1u << SQ_FAULTS_MAX);
    if (request->verb != SQ_VERB_PREVIEW && request->verb != SQ_VERB_PREPARE)
        return;
    uint32_t wanted = 1 + below(SQ_FAULTS_MAX);
    while (request->fault_count < wanted)
        request->fault_count += any_order(request, request->fault_count);
    memset(&request->faults[wanted], 0, (SQ_FAULTS_MAX - wanted) * sizeof request->faults[0]);
}

static void any_report(struct sq_fault_report *report)
{
    report->index = below(SQ_FAULTS_MAX);
    report->kind = below(SQ_FAULT_KIND_MAX + 1);
    report->state = below(SQ_STATE_MAX + 1);
    report->end_reason = below(SQ_END_MAX + 1);
    report->code = below(SQ_CODE_MAX + 1);
    any_text(report->message, sizeof report->message);
    report->prepared_boot_ns = any_number();
    report->injected_boot_ns = any_number();
    report->deadline_boot_ns = any_number();
    report->clean_boot_ns = any_number();
    report->removed_boot_ns = any_number();
    report->proof = below(SQ_PROOF_MAX + 1);
    report->seen_boot_ns = any_number();
    report->ends_boot_ns = any_number();
    report->touched = below(2) == 1;
    report->counter_count = below(SQ_COUNTERS_MAX + 1);
    for (uint32_t i = 0; i < report->counter_count; i++) {
        any_text(report->counters[i].name, sizeof report->counters[i].name);
        report->counters[i].value = any_number();
    }
    report->line_count = below(SQ_LINES_MAX + 1);
    report->lines_dropped = below(1000);
    for (uint32_t i = 0; i < report->line_count; i++) {
        report->lines[i].kind = 1 + below(SQ_LINE_KIND_MAX);
        any_text(report->lines[i].text, sizeof report->lines[i].text);
    }
}

static void any_hello(struct sq_hello *hello)
{
    any_text(hello->agent_version, sizeof hello->agent_version);
    any_text(hello->hostname, sizeof hello->hostname);
    any_text(hello->kernel, sizeof hello->kernel);
    any_text(hello->policy_problem, sizeof hello->policy_problem);
    any_id(&hello->boot);
    hello->protocol = 1 + below(9);
    hello->real_ns = any_number();
    hello->max_duration_ns = any_number();
    hello->certificate_ends_real_ns = any_number();
    hello->ability_count = below(SQ_ABILITIES_MAX + 1);
    for (uint32_t i = 0; i < hello->ability_count; i++) {
        hello->abilities[i].kind = 1 + below(SQ_FAULT_KIND_MAX);
        hello->abilities[i].able = below(2) == 1;
        hello->abilities[i].permitted = below(2) == 1;
        any_text(hello->abilities[i].reason, sizeof hello->abilities[i].reason);
    }
}

static void any_reply(struct sq_reply *reply)
{
    memset(reply, 0, sizeof *reply);
    reply->version = SQ_PROTOCOL_VERSION;
    reply->verb = below(SQ_VERB_MAX + 1);
    reply->code = below(3) == 0 ? below(SQ_CODE_MAX + 1) : SQ_OK;
    any_text(reply->message, sizeof reply->message);
    if (below(4) != 0)
        any_id(&reply->instance);
    if (below(2) == 0)
        any_id(&reply->experiment);
    reply->now_boot_ns = any_number();
    any_text(reply->title, sizeof reply->title);
    any_text(reply->operator_name, sizeof reply->operator_name);
    reply->lease_boot_ns = any_number();
    if (reply->verb == SQ_VERB_HELLO && reply->code == SQ_OK)
        any_hello(&reply->hello);
    reply->fault_count = below(SQ_FAULTS_MAX + 1);
    for (uint32_t i = 0; i < reply->fault_count; i++)
        any_report(&reply->faults[i]);
}

static struct sq_request request;
static struct sq_request decoded_request;
static struct sq_reply reply;
static struct sq_reply decoded_reply;

static void test_every_parameter_has_its_field(void **state)
{
    (void)state;
    struct sq_error error = {0};
    if (sq_codec_check_schema(&error) != 0)
        fail_msg("%s", error.text);
}

static void test_requests_survive_the_wire(void **state)
{
    (void)state;
    random_state = 1;
    unsigned seen = 0; /* kinds */
    for (int i = 0; i < ROUNDS; i++) {
        struct sq_error error = {0};
        sq_autofree uint8_t *bytes = NULL;
        size_t length = 0;
        any_request(&request);
        if (sq_wire_encode_request(&request, &bytes, &length, &error) != 0)
            fail_msg("round %d: %s", i, error.text);
        if (sq_wire_decode_request(bytes, length, &decoded_request, &error) != 0)
            fail_msg("round %d: %s", i, error.text);
        assert_memory_equal(&request, &decoded_request, sizeof request);
        for (uint32_t j = 0; j < request.fault_count; j++)
            seen |= 1u << request.faults[j].spec.kind;
    }
    assert_int_equal(seen, (1u << (SQ_FAULT_KIND_MAX + 1)) - 2);
}

static void test_replies_survive_the_wire(void **state)
{
    (void)state;
    random_state = 2;
    for (int i = 0; i < ROUNDS; i++) {
        struct sq_error error = {0};
        sq_autofree uint8_t *bytes = NULL;
        size_t length = 0;
        any_reply(&reply);
        if (sq_wire_encode_reply(&reply, &bytes, &length, &error) != 0)
            fail_msg("round %d: %s", i, error.text);
        if (sq_wire_decode_reply(bytes, length, &decoded_reply, &error) != 0)
            fail_msg("round %d: %s", i, error.text);
        assert_memory_equal(&reply, &decoded_reply, sizeof reply);
    }
}

/* Who asked is the connection's to say, never the message's. */
/* An agent of the version before says only whether it is proved; a controller of that version reads only
 * this. */
static void test_proof_is_told_across_versions(void **state)
{
    (void)state;
    static const enum sq_proof proofs[] = {SQ_PROOF_NONE, SQ_PROOF_PROVED};
    struct sq_error error;
    for (int proved = 0; proved < 2; proved++) {
        Squall__V1__FaultReport report = SQUALL__V1__FAULT_REPORT__INIT;
        Squall__V1__FaultReport *reports[] = {&report};
        Squall__V1__Reply message = SQUALL__V1__REPLY__INIT;
        report.message = (char *)"";
        report.proved = proved;
        message.version = SQ_PROTOCOL_VERSION;
        message.verb = SQ_VERB_STATUS;
        message.faults = reports;
        message.n_faults = 1;
        sq_autofree uint8_t *bytes = NULL;
        size_t length = 0;
        assert_int_equal(sq_codec_pack(&message.base, &bytes, &length, &error), 0);
        assert_int_equal(sq_wire_decode_reply(bytes, length, &reply, &error), 0);
        assert_int_equal(reply.faults[0].proof, proofs[proved]);
    }
    for (int proof = 0; proof <= SQ_PROOF_MAX; proof++) {
        sq_autofree uint8_t *bytes = NULL;
        size_t length = 0;
        reply.faults[0].proof = (enum sq_proof)proof;
        assert_int_equal(sq_wire_encode_reply(&reply, &bytes, &length, &error), 0);
        Squall__V1__Reply *message = squall__v1__reply__unpack(NULL, length, bytes);
        assert_non_null(message);
        assert_int_equal(message->faults[0]->proved, proof == SQ_PROOF_PROVED);
        squall__v1__reply__free_unpacked(message, NULL);
    }
}

static void test_requester_does_not_travel(void **state)
{
    (void)state;
    random_state = 3;
    any_request(&request);
    request.requester = (struct sq_requester){4, {1, 2, 3, 4}, 7433, 1000, 812};
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(sq_wire_encode_request(&request, &bytes, &length, NULL), 0);
    assert_int_equal(sq_wire_decode_request(bytes, length, &decoded_request, NULL), 0);
    static const struct sq_requester nobody;
    assert_memory_equal(&decoded_request.requester, &nobody, sizeof nobody);
}

/* A text from a process that does not speak UTF-8, or that was cut within a character, still arrives. */
static void test_texts_are_made_utf8(void **state)
{
    (void)state;
    memset(&reply, 0, sizeof reply);
    reply.version = SQ_PROTOCOL_VERSION;
    (void)sq_text_copy(reply.message, sizeof reply.message, "caf\xe9 \xe2\x82");
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(sq_wire_encode_reply(&reply, &bytes, &length, NULL), 0);
    assert_int_equal(sq_wire_decode_reply(bytes, length, &decoded_reply, NULL), 0);
    assert_string_equal(decoded_reply.message, "caf? ??");
}

/* What a fault aims at is not touched up: it is refused. */
static void test_spec_texts_must_be_utf8(void **state)
{
    (void)state;
    struct sq_error error = {0};
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    random_state = 4;
    do {
        any_request(&request);
    } while (request.fault_count == 0 || request.faults[0].spec.kind != SQ_PROCESS_KILL);
    (void)sq_text_copy(request.faults[0].spec.kill.selector.comm, SQ_COMM_MAX, "caf\xe9");
    assert_int_equal(sq_wire_encode_request(&request, &bytes, &length, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
}

/* ---- hostile bytes ---- */

static void expect_request_refused(const uint8_t *bytes, size_t length, enum sq_code code)
{
    struct sq_error error = {0};
    assert_int_equal(sq_wire_decode_request(bytes, length, &decoded_request, &error), -1);
    if (error.code != code)
        fail_msg("expected %s, got %s: %s", sq_code_name(code), sq_code_name(error.code), error.text);
    assert_true(error.text[0] != '\0');
}

#define REFUSED(code, ...)                                                                                   \
    do {                                                                                                     \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                                       \
        expect_request_refused(bytes_, sizeof bytes_, code);                                                 \
    } while (0)

static void test_malformed_requests_are_refused(void **state)
{
    (void)state;
    static const uint8_t good[] = {0x08, 1, 0x10, SQ_VERB_STATUS};
    assert_int_equal(sq_wire_decode_request(good, sizeof good, &decoded_request, NULL), 0);
    expect_request_refused(good, 0, SQ_BAD_INPUT);
    REFUSED(SQ_BAD_INPUT, 0x08, 1);                        /* no verb */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 99);              /* unknown verb */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x10);         /* cut */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x2a, 5, 'a'); /* a text longer than the message */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1);
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x2a, 3, 'a', 0, 'b');      /* a zero byte in the title */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x2a, 2, 0xc0, 0x80);       /* overlong UTF-8 */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x2a, 3, 0xed, 0xa0, 0x80); /* a surrogate */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x1a, 3, 1, 2, 3);          /* an instance id of three bytes */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x28, 1);                   /* the title as a number */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x0b);                      /* a group */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x03);                      /* field 0 */
    REFUSED(SQ_BAD_INPUT, 'G', 'E', 'T', ' ', '/');
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 2, 0x22, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
            0x5a, 4, 0x10, 0x80, 0x94, 0x3b); /* an order cut short */
}

static void test_other_versions_are_told_so(void **state)
{
    (void)state;
    REFUSED(SQ_VERSION_GAP, 0x08, SQ_PROTOCOL_VERSION + 1, 0x10, 7);
    assert_int_equal(decoded_request.version, SQ_PROTOCOL_VERSION + 1);
    assert_int_equal(decoded_request.verb, SQ_VERB_STATUS);
    REFUSED(SQ_VERSION_GAP, 0x08, 99, 0xff, 0xff, 0xff); /* whatever the rest is */
    assert_int_equal(decoded_request.version, 99);
    REFUSED(SQ_VERSION_GAP, 0x10, 7); /* none */
    static const uint8_t newer[] = {0x08, 7, 0x10, 3, 0x07};
    struct sq_error error = {0};
    assert_int_equal(sq_wire_decode_reply(newer, sizeof newer, &decoded_reply, &error), -1);
    assert_int_equal(error.code, SQ_VERSION_GAP);
    assert_non_null(strstr(error.text, "7"));
}

/* To ignore a parameter that is not known here would be to do something else than was asked. */
static void test_unknown_fields_of_requests_are_refused(void **state)
{
    (void)state;
    REFUSED(SQ_VERSION_GAP, 0x08, 1, 0x10, 7, 0xa0, 6, 1);                   /* field 100 of Request */
    REFUSED(SQ_VERSION_GAP, 0x08, 1, 0x10, 7, 0x5a, 3, 0xa2, 6, 0);          /* a fault kind of number 84 */
    REFUSED(SQ_VERSION_GAP, 0x08, 1, 0x10, 7, 0x5a, 5, 0x8a, 1, 2, 0x28, 1); /* field 5 of NetworkPartition */
    /* In a reply it is news that an older controller can do without. */
    static const uint8_t reply_bytes[] = {0x08, 1, 0x10, 7, 0x98, 6, 1};
    assert_int_equal(sq_wire_decode_reply(reply_bytes, sizeof reply_bytes, &decoded_reply, NULL), 0);
}

/* What is said to an agent of version 1 is what version 1 knows. */
static void test_requests_of_version_1(void **state)
{
    (void)state;
    struct sq_error error = {0};
    sq_autofree uint8_t *bytes = NULL;
    sq_autofree uint8_t *old = NULL;
    size_t length = 0;
    random_state = 6;
    do {
        any_request(&request);
    } while (request.verb != SQ_VERB_PREPARE);
    assert_int_equal(sq_wire_encode_request(&request, &bytes, &length, &error), 0);
    if (sq_wire_translate_request(bytes, length, 1, &old, &length, &error) != 0)
        fail_msg("%s", error.text);
    if (sq_wire_decode_request(old, length, &decoded_request, &error) != 0)
        fail_msg("%s", error.text);
    request.version = 1;
    memset(&request.token, 0, sizeof request.token);
    request.prepared_until_boot_ns = 0;
    assert_memory_equal(&request, &decoded_request, sizeof request);
    /* Half old and half new is nothing: a token in a message of version 1. */
    REFUSED(SQ_BAD_INPUT, 0x08, 1, 0x10, 7, 0x62, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
}

/* A controller of version 1 refuses an answer with numbers that it does not know. */
static void test_replies_of_version_1(void **state)
{
    (void)state;
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    memset(&reply, 0, sizeof reply);
    reply.version = 1;
    reply.code = SQ_VANISHED;
    reply.fault_count = 1;
    struct sq_fault_report *report = &reply.faults[0];
    report->kind = SQ_MEMORY_STRESS;
    report->code = SQ_VANISHED;
    report->end_reason = SQ_END_POLICY;
    sq_report_line(report, SQ_LINE_FOREIGN, "as it is");
    assert_int_equal(sq_wire_encode_reply(&reply, &bytes, &length, NULL), 0);
    assert_int_equal(sq_wire_decode_reply(bytes, length, &decoded_reply, NULL), 0);
    assert_int_equal(decoded_reply.version, 1);
    assert_int_equal(decoded_reply.code, SQ_SYSTEM);
    report = &decoded_reply.faults[0];
    assert_int_equal(report->kind, SQ_MEMORY_STRESS);
    assert_int_equal(report->code, SQ_SYSTEM);
    assert_int_equal(report->end_reason, SQ_END_FAILURE);
    assert_int_equal(report->lines[0].kind, SQ_LINE_FOREIGN);
}

static void test_texts_that_are_too_long_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[4 + 3 + SQ_TITLE_MAX] = {0x08, 1, 0x10, 7, 0x2a, 0x80, 1};
    memset(bytes + 7, 'x', SQ_TITLE_MAX);
    expect_request_refused(bytes, sizeof bytes, SQ_BAD_INPUT);
    bytes[5] = 0xff;
    bytes[6] = 0;
    assert_int_equal(sq_wire_decode_request(bytes, sizeof bytes - 1, &decoded_request, NULL), 0);
    assert_int_equal(strlen(decoded_request.title), SQ_TITLE_MAX - 1);
}

static void test_too_large_is_refused_unread(void **state)
{
    (void)state;
    sq_autofree uint8_t *bytes = calloc(1, SQ_WIRE_BYTES_MAX + 1);
    assert_non_null(bytes);
    bytes[0] = 0x08;
    bytes[1] = 1;
    expect_request_refused(bytes, SQ_WIRE_BYTES_MAX + 1, SQ_BAD_INPUT);
}

/* Bytes that unpack to many times their size: empty orders, two bytes each. */
static void test_unpacking_is_bounded(void **state)
{
    (void)state;
    sq_autofree uint8_t *bytes = calloc(1, SQ_WIRE_BYTES_MAX);
    assert_non_null(bytes);
    bytes[0] = 0x08;
    bytes[1] = 1;
    for (size_t i = 2; i + 1 < SQ_WIRE_BYTES_MAX; i += 2)
        bytes[i] = 0x5a;
    expect_request_refused(bytes, SQ_WIRE_BYTES_MAX, SQ_BAD_INPUT);
    struct sq_arena arena;
    sq_arena_init(&arena);
    assert_null(sq_arena_allocate(&arena, SQ_ARENA_BYTES_MAX + 1));
    assert_null(sq_arena_allocate(&arena, SIZE_MAX));
    size_t blocks = 0;
    while (sq_arena_allocate(&arena, 1000) != NULL)
        blocks++;
    assert_true(blocks > 3000 && arena.used_bytes <= SQ_ARENA_BYTES_MAX);
    sq_arena_release(&arena);
}

/* Whatever is changed in a valid message: it is refused with words, or what comes out is valid. */
static void test_mutations_never_get_past(void **state)
{
    (void)state;
    random_state = 5;
    unsigned refused = 0;
    for (int i = 0; i < ROUNDS; i++) {
        sq_autofree uint8_t *bytes = NULL;
        size_t length = 0;
        bool is_reply = i % 2 == 0;
        if (is_reply)
            any_reply(&reply);
        else
            any_request(&request);
        assert_int_equal(is_reply ? sq_wire_encode_reply(&reply, &bytes, &length, NULL)
                                  : sq_wire_encode_request(&request, &bytes, &length, NULL),
                         0);
        for (int j = 0; j < 30; j++) {
            struct sq_error error = {0};
            bytes[below((uint32_t)length)] = (uint8_t)next_random();
            size_t cut = below(4) == 0 ? below((uint32_t)length) : length;
            int result = is_reply ? sq_wire_decode_reply(bytes, cut, &decoded_reply, &error)
                                  : sq_wire_decode_request(bytes, cut, &decoded_request, &error);
            if (result == 0)
                assert_int_equal(is_reply ? sq_reply_check(&decoded_reply, NULL)
                                          : sq_request_check(&decoded_request, NULL),
                                 0);
            else
                assert_true(error.text[0] != '\0' && error.code != SQ_OK);
            refused += result != 0;
        }
    }
    assert_true(refused > ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_parameter_has_its_field),
        cmocka_unit_test(test_requests_survive_the_wire),
        cmocka_unit_test(test_replies_survive_the_wire),
        cmocka_unit_test(test_proof_is_told_across_versions),
        cmocka_unit_test(test_requester_does_not_travel),
        cmocka_unit_test(test_texts_are_made_utf8),
        cmocka_unit_test(test_spec_texts_must_be_utf8),
        cmocka_unit_test(test_malformed_requests_are_refused),
        cmocka_unit_test(test_other_versions_are_told_so),
        cmocka_unit_test(test_unknown_fields_of_requests_are_refused),
        cmocka_unit_test(test_requests_of_version_1),
        cmocka_unit_test(test_replies_of_version_1),
        cmocka_unit_test(test_texts_that_are_too_long_are_refused),
        cmocka_unit_test(test_too_large_is_refused_unread),
        cmocka_unit_test(test_unpacking_is_bounded),
        cmocka_unit_test(test_mutations_never_get_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
