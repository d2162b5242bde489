/* libraries: sq_table sq_common */
#include "table/params.h"

#include "common/units.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sq_fault_spec spec;
static struct sq_error error;

static int begin(const struct sq_fault_info *info)
{
    sq_spec_init(&spec, info);
    memset(&error, 0, sizeof error);
    return 0;
}

static int begin_partition(void **state)
{
    (void)state;
    return begin(&sq_network_partition_info);
}

static int begin_kill(void **state)
{
    (void)state;
    return begin(&sq_process_kill_info);
}

static int set(const char *key, const char *text)
{
    const struct sq_param *param = sq_param_by_key(sq_fault_by_kind(spec.kind), key);
    assert_non_null(param);
    return sq_spec_set(&spec, param, text, &error);
}

static void must_set(const char *key, const char *text)
{
    if (set(key, text) != 0)
        fail_msg("%s: %s", key, error.text);
}

static void refuse_set(const char *key, const char *text, const char *part)
{
    struct sq_fault_spec before = spec;
    memset(&error, 0, sizeof error);
    if (set(key, text) != -1)
        fail_msg("%s took '%s'", key, text);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' not in '%s'", part, error.text);
    assert_memory_equal(&before, &spec, sizeof spec);
}

static void expect_culprit(const char *expected, const char *part)
{
    const char *culprit = "unset";
    memset(&error, 0, sizeof error);
    assert_int_equal(sq_spec_check(&spec, &culprit, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, part) == NULL)
        fail_msg("'%s' not in '%s'", part, error.text);
    if (expected == NULL)
        assert_null(culprit);
    else
        assert_string_equal(culprit, expected);
    assert_int_equal(sq_spec_check(&spec, NULL, NULL), -1);
}

static void expect_right(void)
{
    const char *culprit = "unset";
    if (sq_spec_check(&spec, &culprit, &error) != 0)
        fail_msg("%s", error.text);
    assert_null(culprit);
}

/* What every table has to keep: other code relies on it without looking. */
static void test_tables_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < sq_fault_table_count; i++) {
        const struct sq_fault_info *info = sq_fault_table[i];
        assert_int_equal(info->kind, i + 1);
        assert_ptr_equal(sq_fault_by_kind(info->kind), info);
        assert_ptr_equal(sq_fault_by_name(info->name), info);
        assert_non_null(strchr(info->name, '.'));
        for (size_t p = 0; p < info->param_count; p++) {
            const struct sq_param *param = &info->params[p];
            assert_ptr_equal(sq_param_by_key(info, param->key), param);
            assert_true(strlen(param->help) > 10);
            assert_true(param->offset < sizeof spec);
            assert_true(param->least <= param->most);
            if (param->standard != NULL) {
                begin(info);
                if (sq_spec_set(&spec, param, param->standard, &error) != 0)
                    fail_msg("%s: %s", param->key, error.text);
            }
            if (param->type == SQ_PARAM_CHOICE || param->type == SQ_PARAM_SIGNAL)
                assert_true(param->required || param->standard != NULL);
            /* Zero means "not given", so no number may be set to it unless that is its default. */
            if (param->type == SQ_PARAM_PERCENT || param->type == SQ_PARAM_COUNT)
                assert_true(param->least > 0);
        }
    }
    assert_null(sq_fault_by_kind(SQ_FAULT_NONE));
    assert_null(sq_fault_by_kind((enum sq_fault_kind)99));
    assert_null(sq_fault_by_name("network"));
    assert_null(sq_fault_by_name(""));
    assert_null(sq_param_by_key(&sq_process_kill_info, "Comm"));
}

static void test_unknown_names(void **state)
{
    (void)state;
    assert_int_equal(sq_fault_name_fail("network.partiton", &error), -1);
    assert_string_equal(error.text, "unknown fault 'network.partiton'; did you mean 'network.partition'?");
    assert_int_equal(sq_fault_name_fail("disk.full", &error), -1);
    assert_string_equal(error.text,
                        "unknown fault 'disk.full'; expected one of network.partition, process.kill, "
                        "network.latency, network.loss, cpu.stress, memory.stress");
}

static void test_partition_defaults(void **state)
{
    (void)state;
    assert_int_equal(spec.kind, SQ_NETWORK_PARTITION);
    assert_int_equal(spec.partition.selector.direction, SQ_DIRECTION_BOTH);
    expect_culprit("to", "'to' is missing");
    must_set("to", "10.0.0.0/24");
    must_set("to", "2001:db8::/64");
    expect_right();
    assert_int_equal(spec.partition.selector.to_count, 2);
    assert_int_equal(spec.partition.selector.to[1].family, 6);
    must_set("direction", "in");
    assert_int_equal(spec.partition.selector.direction, SQ_DIRECTION_IN);
    must_set("direction", "out");
    assert_int_equal(spec.partition.selector.direction, SQ_DIRECTION_OUT);
    must_set("interface", "bond0");
    expect_right();
}

static void test_partition_refuses(void **state)
{
    (void)state;
    refuse_set("direction", "sideways",
               "'sideways' is not a value of 'direction'; expected one of in, out, both");
    refuse_set("direction", "", "is not a value");
    refuse_set("direction", "IN", "is not a value");
    refuse_set("to", "web1", "'to': 'web1' is not an address");
    refuse_set("to", "10.0.0.1/24", "did you mean 10.0.0.0/24?");
    refuse_set("interface", "", "'interface' is empty");
    char long_name[SQ_INTERFACE_TEXT_MAX + 1] = "";
    memset(long_name, 'x', sizeof long_name - 1);
    refuse_set("interface", long_name, "longer than 127 bytes");
    must_set("interface", "an-alternative-name-is-longer-than-fifteen");
}

static void test_partition_exclusions(void **state)
{
    (void)state;
    must_set("to", "10.0.0.0/24");
    must_set("except", "10.0.0.1");
    expect_right();
    must_set("except", "10.0.1.1");
    expect_culprit("except", "10.0.1.1/32, which is not within any range of 'to'");
    spec.partition.selector.except_count = 0;
    must_set("except", "10.0.0.0/16");
    expect_culprit("except", "takes back all of 10.0.0.0/24");
    spec.partition.selector.except_count = 0;
    must_set("except", "10.0.0.0/24");
    expect_culprit("except", "takes back all of");
}

/* That one holds another is fine. */
static void test_peers_are_named_once(void **state)
{
    (void)state;
    must_set("to", "10.0.0.0/8");
    must_set("to", "10.0.0.0/16");
    must_set("to", "10.0.0.0");
    must_set("to", "::/0");
    refuse_set("to", "10.0.0.0/16", "'to' names 10.0.0.0/16 twice");
    refuse_set("to", "10.0.0.0/32", "'to' names 10.0.0.0/32 twice");
    must_set("except", "10.0.0.1");
    refuse_set("except", "10.0.0.1", "'except' names 10.0.0.1/32 twice");
    expect_right();
    /* The same from afar, where nobody read a text. */
    struct sq_network_selector *selector = &spec.partition.selector;
    selector->to[1] = selector->to[3];
    expect_culprit("to", "'to' names ::/0 twice");
    for (selector->to_count = 0; selector->to_count < SQ_PEERS_MAX; selector->to_count++)
        selector->to[selector->to_count] = (struct sq_cidr){.family = 4};
    expect_culprit("to", "'to' names 0.0.0.0/0 twice");
}

static void test_lists_are_bounded(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SQ_PEERS_MAX; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "10.1.%u.%u", i / 256, i % 256);
        must_set("to", text);
    }
    refuse_set("to", "10.2.0.0", "'to' has more than 1024 entries");
    expect_right();
    for (unsigned i = 0; i <= SQ_EXCEPT_MAX; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "10.1.%u.%u", i / 256, i % 256);
        assert_int_equal(set("except", text), i < SQ_EXCEPT_MAX ? 0 : -1);
    }
    assert_int_equal(spec.partition.selector.except_count, SQ_EXCEPT_MAX);
    char text[64];
    const struct sq_param *to = sq_param_by_key(&sq_network_partition_info, "to");
    assert_true(sq_param_format(&spec, to, text, sizeof text));
    assert_true(strlen(text) < sizeof text);
    assert_true(sq_param_format_item(&spec, to, 1023, text, sizeof text));
    assert_string_equal(text, "10.1.3.255/32");
    assert_false(sq_param_format_item(&spec, to, 1024, text, sizeof text));
}

/* Specs arrive over the wire too, with anything in them. */
static void test_partition_from_afar(void **state)
{
    (void)state;
    must_set("to", "10.0.0.0/24");
    struct sq_fault_spec right = spec;
    spec.partition.selector.to_count = SQ_PEERS_MAX + 1;
    expect_culprit("to", "more than 1024 entries");
    spec.partition.selector.to_count = UINT32_MAX;
    expect_culprit("to", "more than 1024 entries");
    spec = right;
    spec.partition.selector.except_count = UINT32_MAX;
    expect_culprit("except", "more than 256 entries");
    spec = right;
    spec.partition.selector.to[0].prefix = 33;
    expect_culprit("to", "entry 1 of 'to' is not an address range");
    spec = right;
    spec.partition.selector.direction = 0;
    expect_culprit("direction", "no valid value");
    spec.partition.selector.direction = 4;
    expect_culprit("direction", "no valid value");
    spec = right;
    memset(spec.partition.selector.interface, 'x', sizeof spec.partition.selector.interface);
    expect_culprit("interface", "longer than 127 bytes");
    spec = right;
    spec.kind = (enum sq_fault_kind)77;
    expect_culprit(NULL, "fault kind 77 is unknown here");
    spec.kind = SQ_FAULT_NONE;
    expect_culprit(NULL, "unknown here");
}

static void test_kill(void **state)
{
    (void)state;
    expect_culprit(NULL, "no process is named; expected 'executable', 'comm' or 'command-line'");
    must_set("comm", "nginx");
    expect_right();
    assert_int_equal(spec.kill.signal, 9);
    must_set("executable", "usr/sbin/nginx");
    expect_culprit("executable", "is not an absolute path");
    must_set("executable", "/usr/sbin/nginx");
    must_set("count", "3");
    expect_right();
    must_set("percent", "50%");
    expect_culprit("percent", "exclude each other");
    spec.kill.count = 0;
    expect_right();
    must_set("seed", "18446744073709551615");
    assert_true(spec.kill.seed == UINT64_MAX);
    must_set("signal", "SIGTERM");
    assert_int_equal(spec.kill.signal, 15);
    expect_right();
}

static void test_kill_refuses(void **state)
{
    (void)state;
    must_set("comm", "nginx");
    refuse_set("comm", "sixteen-bytes-xx", "'comm' is longer than 15 bytes");
    refuse_set("count", "0", "'count' is out of range; expected 1 to 10000");
    refuse_set("count", "10001", "expected 1 to 10000");
    refuse_set("count", "4294967297", "'count': '4294967297' is out of range");
    refuse_set("count", "3.5", "is not a whole number");
    refuse_set("count", "-1", "is not a whole number");
    /* Zero would mean "not given", and that means all of them. */
    refuse_set("percent", "0%", "'percent' is out of range; expected 0.01% to 100%");
    refuse_set("percent", "0.000000001%", "out of range");
    refuse_set("percent", "101%", "'percent': '101%' is out of range");
    refuse_set("percent", "50", "is not a percentage");
    refuse_set("seed", "18446744073709551616", "'seed'");
    refuse_set("signal", "STOP", "'STOP' is not a signal that may be sent; expected one of KILL, TERM");
}

static void test_kill_from_afar(void **state)
{
    (void)state;
    must_set("comm", "nginx");
    struct sq_fault_spec right = spec;
    static const double percents[] = {NAN, INFINITY, -INFINITY, -1, 100.5, 1e-300};
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        spec.kill.percent = percents[i];
        expect_culprit("percent", "out of range");
    }
    spec = right;
    spec.kill.count = 10001;
    expect_culprit("count", "out of range");
    static const uint32_t signals[] = {0, 17, 18, 19, 20, 21, 22, 64, 65, UINT32_MAX};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        spec = right;
        spec.kill.signal = signals[i];
        expect_culprit("signal", "not a signal that may be sent");
    }
    spec = right;
    memset(spec.kill.selector.command_line, 'x', sizeof spec.kill.selector.command_line);
    expect_culprit("command-line", "longer than 255 bytes");
    memset(&spec, 0xff, sizeof spec);
    spec.kind = SQ_PROCESS_KILL;
    assert_int_equal(sq_spec_check(&spec, NULL, &error), -1);
}

static void expect_text(const char *key, const char *expected)
{
    char text[300] = "";
    const struct sq_param *param = sq_param_by_key(sq_fault_by_kind(spec.kind), key);
    bool given = sq_param_format(&spec, param, text, sizeof text);
    assert_int_equal(given, expected != NULL);
    if (expected != NULL)
        assert_string_equal(text, expected);
}

static void test_formats_read_back(void **state)
{
    (void)state;
    expect_text("comm", NULL);
    expect_text("count", NULL);
    expect_text("percent", NULL);
    expect_text("seed", "0");
    expect_text("signal", "KILL");
    must_set("comm", "nginx");
    must_set("percent", "0.1%");
    must_set("seed", "10");
    must_set("command-line", "nginx: *");
    expect_text("comm", "nginx");
    expect_text("percent", "0.1%");
    expect_text("seed", "10");
    must_set("count", "10");
    expect_text("count", "10");
    struct sq_fault_spec before = spec;
    for (size_t p = 0; p < sq_process_kill_info.param_count; p++) {
        char text[300];
        if (sq_param_format(&spec, &sq_process_kill_info.params[p], text, sizeof text))
            must_set(sq_process_kill_info.params[p].key, text);
    }
    assert_memory_equal(&before, &spec, sizeof spec);
    spec.kill.signal = 0;
    expect_text("signal", NULL);
    begin(&sq_network_partition_info);
    expect_text("to", NULL);
    must_set("to", "10.0.0.1");
    must_set("to", "::/0");
    expect_text("to", "10.0.0.1/32, ::/0");
    expect_text("direction", "both");
    spec.partition.selector.direction = 9;
    expect_text("direction", NULL);
}

static struct sq_fault_spec partition(const char *direction, const char *to)
{
    begin(&sq_network_partition_info);
    must_set("direction", direction);
    must_set("to", to);
    return spec;
}

static void expect_collision(const struct sq_fault_spec *a, const struct sq_fault_spec *b, bool expected)
{
    assert_int_equal(sq_spec_collides(a, b), expected);
    assert_int_equal(sq_spec_collides(b, a), expected);
}

static void test_collisions(void **state)
{
    (void)state;
    static struct sq_fault_spec a;
    static struct sq_fault_spec b;
    a = partition("both", "10.0.0.0/24");
    b = partition("in", "10.0.0.7");
    expect_collision(&a, &b, true);
    a = partition("out", "10.0.0.0/24");
    expect_collision(&a, &b, false);
    a = partition("in", "10.0.1.0/24");
    expect_collision(&a, &b, false);
    a = partition("in", "::/0");
    expect_collision(&a, &b, false);
    begin(&sq_process_kill_info);
    must_set("comm", "nginx");
    a = spec;
    expect_collision(&a, &b, false);
    b = spec;
    expect_collision(&a, &b, true);
    b.kill.seed = 99;
    b.kill.selector.comm[10] = 'x'; /* behind the end of the text */
    expect_collision(&a, &b, true);
    must_set("comm", "haproxy");
    expect_collision(&a, &spec, false);
}

/* What protocol version 1 knew, for ever; whatever else is in the table has to say when it came. */
static const char *const version_1[] = {
    "network.partition direction to except interface",
    "process.kill executable comm command-line signal count percent seed",
    "network.latency direction to except interface delay jitter",
    "network.loss direction to except interface percent",
    "cpu.stress percent cores",
    "memory.stress bytes percent leave rate",
};

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static void test_what_came_later_says_so(void **state)
{
    (void)state;
    for (size_t f = 0; f < sq_fault_table_count; f++) {
        const struct sq_fault_info *info = sq_fault_table[f];
        const char *words = f < sizeof version_1 / sizeof version_1[0] ? version_1[f] : "";
        if (has_word(words, info->name) != (info->since == 0))
            fail_msg("%s: 'since' is %u", info->name, info->since);
        for (size_t i = 0; i < info->param_count && info->since == 0; i++)
            if (has_word(words, info->params[i].key) != (info->params[i].since == 0))
                fail_msg("'%s' of %s: 'since' is %u", info->params[i].key, info->name, info->params[i].since);
    }
}

/* An agent that is too old for a kind or a parameter: named, where the parameter is given at all. */
static void test_what_came_later_is_named(void **state)
{
    (void)state;
    memset(&error, 0, sizeof error);
    static struct sq_param params[8];
    struct sq_fault_info info = sq_memory_stress_info;
    sq_spec_init(&spec, &info);
    assert_true(info.param_count <= sizeof params / sizeof params[0]);
    memcpy(params, info.params, info.param_count * sizeof params[0]);
    info.params = params;
    size_t rate = (size_t)(sq_param_by_key(&sq_memory_stress_info, "rate") - sq_memory_stress_info.params);
    params[rate].since = 9;
    assert_int_equal(sq_spec_check_version_of(&info, &spec, 8, &error), 0);
    spec.memory.rate_bytes = 1 << 20;
    assert_int_equal(sq_spec_check_version_of(&info, &spec, 9, &error), 0);
    assert_int_equal(sq_spec_check_version_of(&info, &spec, 8, &error), -1);
    assert_int_equal(error.code, SQ_UNABLE);
    assert_non_null(strstr(error.text, "protocol version 8 and knows no 'rate' of memory.stress"));
    info.since = 9;
    assert_int_equal(sq_spec_check_version_of(&info, &spec, 8, &error), -1);
    assert_non_null(strstr(error.text, "knows no memory.stress, which came with version 9; update squalld"));
    assert_int_equal(sq_spec_check_version(&spec, 1, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_came_later_is_named),
        cmocka_unit_test(test_what_came_later_says_so),
        cmocka_unit_test(test_tables_are_sound),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test_setup(test_partition_defaults, begin_partition),
        cmocka_unit_test_setup(test_partition_refuses, begin_partition),
        cmocka_unit_test_setup(test_partition_exclusions, begin_partition),
        cmocka_unit_test_setup(test_peers_are_named_once, begin_partition),
        cmocka_unit_test_setup(test_lists_are_bounded, begin_partition),
        cmocka_unit_test_setup(test_partition_from_afar, begin_partition),
        cmocka_unit_test_setup(test_kill, begin_kill),
        cmocka_unit_test_setup(test_kill_refuses, begin_kill),
        cmocka_unit_test_setup(test_kill_from_afar, begin_kill),
        cmocka_unit_test_setup(test_formats_read_back, begin_kill),
        cmocka_unit_test(test_collisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
