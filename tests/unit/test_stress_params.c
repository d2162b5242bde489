/* libraries: sq_table sq_common */
#include "table/message.h"
#include "table/params.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The kinds whose parameters bound each other or the fault's duration: latency, loss, CPU and memory. */

static struct sq_fault_spec spec;
static struct sq_error error;

static void begin(const char *kind)
{
    sq_spec_init(&spec, sq_fault_by_name(kind));
    memset(&error, 0, sizeof error);
}

static const struct sq_param *param(const char *key)
{
    const struct sq_param *found = sq_param_by_key(sq_fault_by_kind(spec.kind), key);
    assert_non_null(found);
    return found;
}

static void must_set(const char *key, const char *text)
{
    if (sq_spec_set(&spec, param(key), text, &error) != 0)
        fail_msg("%s: %s", key, error.text);
}

static void expect_text(const char *part)
{
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' not in '%s'", part, error.text);
}

static void refuse(const char *key, const char *text, const char *part)
{
    struct sq_fault_spec before = spec;
    if (sq_spec_set(&spec, param(key), text, &error) != -1)
        fail_msg("%s took '%s'", key, text);
    expect_text(part);
    assert_memory_equal(&before, &spec, sizeof spec);
}

static void expect_right(void)
{
    if (sq_spec_check(&spec, NULL, &error) != 0)
        fail_msg("%s", error.text);
}

static void expect_wrong(const char *culprit, const char *part)
{
    const char *found = "unset";
    assert_int_equal(sq_spec_check(&spec, &found, &error), -1);
    expect_text(part);
    if (culprit == NULL)
        assert_null(found);
    else
        assert_string_equal(found, culprit);
}

static void expect_too_long(uint64_t duration_ns, const char *culprit, const char *part)
{
    const char *found = "unset";
    assert_int_equal(sq_spec_check_duration(&spec, duration_ns, &found, &error), -1);
    expect_text(part);
    assert_string_equal(found, culprit);
    assert_int_equal(sq_spec_check_duration(&spec, duration_ns, NULL, NULL), -1);
}

static void test_latency(void **state)
{
    (void)state;
    begin("network.latency");
    must_set("to", "10.0.0.1");
    must_set("jitter", "5ms");
    expect_wrong("delay", "'delay' is missing");
    must_set("delay", "4ms");
    expect_wrong("jitter",
                 "a jitter of 5ms around a delay of 4ms would let packets arrive before they were sent");
    must_set("delay", "5ms");
    expect_right();
    refuse("delay", "0ms", "'delay' is out of range; expected 1us to 1m");
    refuse("delay", "61s", "'delay' is out of range");
    refuse("delay", "-1ms", "'delay'");
    refuse("delay", "10", "'delay'");
    refuse("delay", "10 parsecs", "'delay'");
    refuse("delay", "nan", "'delay'");
    refuse("jitter", "0ms", "'jitter' is out of range");
    assert_int_equal(sq_spec_check_duration(&spec, 10 * SQ_NS_PER_MILLISECOND, NULL, &error), 0);
    expect_too_long(10 * SQ_NS_PER_MILLISECOND - 1, "jitter", "up to 10ms goes beyond the fault's duration");
    expect_too_long(4 * SQ_NS_PER_MILLISECOND, "delay", "a longer duration or a shorter delay");
    spec.latency.delay_ns = UINT64_MAX;
    expect_wrong("delay", "out of range");
}

static void test_loss(void **state)
{
    (void)state;
    static const double wrong[] = {NAN, INFINITY, -INFINITY, -1, 100.001, 1e-300};
    begin("network.loss");
    must_set("to", "10.0.0.1");
    expect_wrong("percent", "'percent' is missing");
    must_set("percent", "100%");
    expect_right();
    refuse("percent", "0%", "'percent' is out of range");
    refuse("percent", "-1%", "'percent'");
    refuse("percent", "100.1%", "'percent'");
    refuse("percent", "nan%", "'percent'");
    refuse("percent", "50", "is not a percentage");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        spec.loss.percent = wrong[i];
        expect_wrong("percent", "out of range");
    }
}

static void expect_cores(const char *text, const char *formatted)
{
    char back[SQ_CORES_TEXT_MAX];
    struct sq_fault_spec before = spec;
    must_set("cores", text);
    expect_right();
    assert_true(sq_param_format(&spec, param("cores"), back, sizeof back));
    assert_string_equal(back, formatted);
    struct sq_fault_spec first = spec;
    spec = before;
    must_set("cores", back);
    assert_memory_equal(&first, &spec, sizeof spec);
}

static void test_cores(void **state)
{
    (void)state;
    begin("cpu.stress");
    expect_wrong("percent", "'percent' is missing");
    must_set("percent", "50%");
    expect_right();
    assert_int_equal(spec.cpu.cores.mode, SQ_CORES_ALL);
    expect_cores("2", "2");
    assert_int_equal(spec.cpu.cores.mode, SQ_CORES_COUNT);
    assert_int_equal(spec.cpu.cores.count, 2);
    expect_cores("0-3", "0-3");
    assert_int_equal(spec.cpu.cores.mode, SQ_CORES_LIST);
    assert_int_equal(spec.cpu.cores.count, 4);
    expect_cores("5-5", "5-5");
    expect_cores("0, 2,5", "0,2,5");
    expect_cores("63-64,1023", "63-64,1023");
    assert_true(sq_cores_has(&spec.cpu.cores, 64));
    assert_false(sq_cores_has(&spec.cpu.cores, 65));
    assert_false(sq_cores_has(&spec.cpu.cores, SQ_CORES_MAX));
    expect_cores("1024", "1024");
    expect_cores("all", "all");
    static const char *const wrong[] = {"",     "0",
                                        "1025", "-1",
                                        "1-",   "0-1024",
                                        "1.5",  "two",
                                        "1,",   ",1",
                                        "1 2",  "ALL",
                                        "1--2", "all,1",
                                        "1e3",  " 1",
                                        "-",    ",",
                                        "0x1",  "nan",
                                        "+1",   "99999999999999999999-99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refuse("cores", wrong[i],
               "names no cores; expected all, a number of cores from 1 to 1024, or a list");
    refuse("cores", "3-1", "runs backwards; expected 1-3");
    refuse("cores", "1,0-2", "core 1 stands twice");
}

static void test_cores_as_a_list(void **state)
{
    (void)state;
    begin("cpu.stress");
    must_set("percent", "50%");
    assert_int_equal(sq_spec_set_item(&spec, param("cores"), "2", &error), 0);
    assert_int_equal(spec.cpu.cores.mode, SQ_CORES_LIST);
    assert_int_equal(spec.cpu.cores.count, 1);
    assert_int_equal(sq_spec_set_item(&spec, param("cores"), "4-6", &error), 0);
    assert_int_equal(spec.cpu.cores.count, 4);
    assert_int_equal(sq_spec_set_item(&spec, param("cores"), "5", &error), -1);
    expect_text("'cores': core 5 stands twice");
    assert_int_equal(sq_spec_set_item(&spec, param("cores"), "all", &error), -1);
    expect_right();
    assert_true(sq_param_takes_list(param("cores")));
    assert_false(sq_param_takes_list(param("percent")));
}

static void test_cores_from_afar(void **state)
{
    (void)state;
    begin("cpu.stress");
    must_set("percent", "50%");
    struct sq_fault_spec right = spec;
    spec.cpu.cores.mode = 0;
    expect_wrong("cores", "no valid choice of cores");
    spec.cpu.cores.mode = 4;
    expect_wrong("cores", "no valid choice");
    spec = right;
    spec.cpu.cores.count = 1;
    expect_wrong("cores", "no valid choice");
    spec = right;
    spec.cpu.cores = (struct sq_cores){.mode = SQ_CORES_COUNT, .count = 1025};
    expect_wrong("cores", "no valid choice");
    spec.cpu.cores = (struct sq_cores){.mode = SQ_CORES_LIST, .count = 2, .set = {1}};
    expect_wrong("cores", "no valid choice");
    spec.cpu.cores = (struct sq_cores){.mode = SQ_CORES_LIST};
    expect_wrong("cores", "no valid choice");
    memset(&spec, 0xff, sizeof spec);
    spec.kind = SQ_CPU_STRESS;
    assert_int_equal(sq_spec_check(&spec, NULL, &error), -1);
}

static void test_cpu_percent(void **state)
{
    (void)state;
    begin("cpu.stress");
    refuse("percent", "0%", "'percent' is out of range; expected 0.1% to 100%");
    refuse("percent", "101%", "'percent': '101%' is out of range");
    refuse("percent", "-5%", "'percent'");
    refuse("percent", "NaN%", "'percent'");
    refuse("percent", "half", "'percent'");
    spec.cpu.percent = NAN;
    expect_wrong("percent", "out of range");
}

static void test_memory(void **state)
{
    (void)state;
    begin("memory.stress");
    expect_wrong(NULL, "no amount of memory is given; expected one of 'bytes', 'percent' and 'leave'");
    must_set("rate", "10MiB");
    expect_wrong(NULL, "no amount of memory is given");
    must_set("bytes", "1GiB");
    expect_right();
    must_set("leave", "1GiB");
    expect_wrong("leave", "'bytes' and 'leave' exclude each other");
    spec.memory.bytes = 0;
    expect_right();
    must_set("percent", "50%");
    expect_wrong("leave", "'percent' and 'leave' exclude each other");
    spec.memory.leave_bytes = 0;
    expect_right();
    refuse("bytes", "0B", "'bytes' is out of range; expected 4KiB");
    refuse("bytes", "-1GiB", "'bytes'");
    refuse("bytes", "12", "'bytes'");
    refuse("bytes", "1GiBit", "'bytes'");
    refuse("bytes", "2048TiB", "'bytes' is out of range");
    refuse("bytes", "99999999TiB", "'bytes'");
    refuse("percent", "101%", "'percent'");
    refuse("leave", "nan", "'leave'");
    refuse("rate", "0B", "'rate' is out of range");
    spec.memory.percent = NAN;
    expect_wrong("percent", "out of range");
    spec.memory.percent = -1;
    expect_wrong("percent", "out of range");
    spec.memory.percent = 0;
    spec.memory.bytes = UINT64_MAX;
    expect_wrong("bytes", "out of range");
}

static void test_memory_growth_fits_the_duration(void **state)
{
    (void)state;
    begin("memory.stress");
    must_set("bytes", "1GiB");
    must_set("rate", "64MiB");
    assert_int_equal(sq_spec_check_duration(&spec, 16 * SQ_NS_PER_SECOND, NULL, &error), 0);
    expect_too_long(
        16 * SQ_NS_PER_SECOND - 1, "rate",
        "growing by 64MiB a second it takes 16s to hold 1GiB, which goes beyond the fault's duration");
    spec.memory.rate_bytes = 0;
    assert_int_equal(sq_spec_check_duration(&spec, 1, NULL, &error), 0);
}

/* Over the wire too the injector sees the duration. */
static void test_request_with_a_delay_beyond_its_duration(void **state)
{
    (void)state;
    static struct sq_request request;
    memset(&request, 0, sizeof request);
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = SQ_VERB_PREVIEW;
    request.experiment.bytes[0] = 1;
    request.fault_count = 1;
    request.faults[0].duration_ns = 2 * SQ_NS_PER_SECOND;
    begin("network.latency");
    must_set("to", "10.0.0.1");
    must_set("delay", "2s");
    request.faults[0].spec = spec;
    if (sq_request_check(&request, &error) != 0)
        fail_msg("%s", error.text);
    request.faults[0].spec.latency.delay_ns++;
    assert_int_equal(sq_request_check(&request, &error), -1);
    expect_text("fault 0: a delay of 2s1ns goes beyond the fault's duration of 2s");
}

static struct sq_fault_spec made(const char *kind, const char *key, const char *text)
{
    begin(kind);
    must_set(key, text);
    return spec;
}

static void expect_collision(const struct sq_fault_spec *a, const struct sq_fault_spec *b, bool expected)
{
    assert_int_equal(sq_spec_collides(a, b), expected);
    assert_int_equal(sq_spec_collides(b, a), expected);
}

static void test_collisions_across_kinds(void **state)
{
    (void)state;
    static const char *const network[] = {"network.partition", "network.latency", "network.loss"};
    static struct sq_fault_spec a;
    static struct sq_fault_spec b;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 3; j++) {
            a = made(network[i], "to", "10.0.0.0/24");
            b = made(network[j], "to", "10.0.0.9");
            expect_collision(&a, &b, i == j);
            b = made(network[j], "to", "10.0.1.9");
            expect_collision(&a, &b, false);
        }
    }
    a = made("cpu.stress", "cores", "0-1");
    b = made("cpu.stress", "cores", "2-3");
    expect_collision(&a, &b, false);
    b = made("cpu.stress", "cores", "1-2");
    expect_collision(&a, &b, true);
    b = made("cpu.stress", "cores", "all");
    expect_collision(&a, &b, true);
    b = made("cpu.stress", "cores", "1");
    expect_collision(&a, &b, true);
    b = made("memory.stress", "bytes", "1MiB");
    expect_collision(&a, &b, false);
    expect_collision(&b, &b, true);
    a = made("network.loss", "to", "0.0.0.0/0");
    expect_collision(&a, &b, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_cores),
        cmocka_unit_test(test_cores_as_a_list),
        cmocka_unit_test(test_cores_from_afar),
        cmocka_unit_test(test_cpu_percent),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_growth_fits_the_duration),
        cmocka_unit_test(test_request_with_a_delay_beyond_its_duration),
        cmocka_unit_test(test_collisions_across_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
