/* libraries: sq_commands */
#include "model/evidence.h"
#include "model/experiment.h"
#include "reading/experiment.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND SQ_NS_PER_SECOND

static const char whole[] = "title: The shop survives the loss of one web host\n"
                            "description: HAProxy should take it out.\n"
                            "tags: [network, partition]\n"
                            "parameters: {victims: 1}\n"
                            "steady-state-hypothesis:\n"
                            "  title: Customers are served\n"
                            "  probes:\n"
                            "  - name: success rate\n"
                            "    promql: avg_over_time(probe_success{job=\"shop\"}[10s])\n"
                            "    tolerance: \">= 0.99\"\n"
                            "    every: 2s\n"
                            "    abort-after-misses: 4\n"
                            "  - name: front page\n"
                            "    http: http://10.77.0.10/\n"
                            "    tolerance: {status: 204, within: 500ms}\n"
                            "  hold-before: 5s\n"
                            "  recover-within: 20s\n"
                            "method:\n"
                            "- name: cut one web host off\n"
                            "  fault: network.partition\n"
                            "  targets: {labels: {role: web}, count: \"${victims}\", seed: 7}\n"
                            "  with: {direction: in, to: [10.77.0.0/24, \"2001:db8::/64\"]}\n"
                            "  duration: 30s\n"
                            "- name: kill nginx\n"
                            "  fault: process.kill\n"
                            "  targets: {hosts: web1, percent: 50%}\n"
                            "  with: {executable: /usr/sbin/nginx, signal: SIGTERM, percent: 10%}\n"
                            "- name: cut again\n"
                            "  fault: network.partition\n"
                            "  targets: {hosts: [web2, web3]}\n"
                            "  with: {to: 10.0.0.1}\n"
                            "  duration: 1m\n"
                            "  at: 10s\n"
                            "limits: {max-hosts: 50%}\n"
                            "lease: 2s\n";

static void check_whole_probes(const struct sq_hypothesis *hypothesis)
{
    assert_string_equal(hypothesis->title, "Customers are served");
    assert_int_equal(hypothesis->hold_before_ns, 5 * SECOND);
    assert_int_equal(hypothesis->recover_within_ns, 20 * SECOND);
    assert_int_equal(hypothesis->probe_count, 2);
    const struct sq_probe *rate = &hypothesis->probes[0];
    assert_int_equal(rate->kind, SQ_PROBE_PROMQL);
    assert_string_equal(rate->target, "avg_over_time(probe_success{job=\"shop\"}[10s])");
    assert_int_equal(rate->tolerance.kind, SQ_TOLERANCE_AT_LEAST);
    assert_int_equal(rate->every_ns, 2 * SECOND);
    assert_int_equal(rate->timeout_ns, 2 * SECOND);
    assert_int_equal(rate->abort_after_misses, 4);
    assert_int_equal(rate->line, 8);
    const struct sq_probe *page = &hypothesis->probes[1];
    assert_int_equal(page->kind, SQ_PROBE_HTTP);
    assert_int_equal(page->statuses[0].least, 204);
    assert_int_equal(page->within_ns, SECOND / 2);
    assert_int_equal(page->every_ns, SECOND);
    assert_int_equal(page->abort_after_misses, 3);
}

static void check_whole_steps(const struct sq_experiment *experiment)
{
    assert_int_equal(experiment->step_count, 3);
    const struct sq_step *cut = &experiment->steps[0];
    assert_string_equal(cut->name, "cut one web host off");
    assert_int_equal(cut->duration_ns, 30 * SECOND);
    assert_int_equal(cut->line, 19);
    assert_int_equal(cut->targets.label_count, 1);
    assert_string_equal(cut->targets.labels[0].name, "role");
    assert_string_equal(cut->targets.labels[0].value, "web");
    assert_int_equal(cut->targets.count, 1);
    assert_int_equal(cut->targets.seed, 7);
    assert_int_equal(cut->spec.kind, SQ_NETWORK_PARTITION);
    assert_int_equal(cut->spec.partition.selector.direction, SQ_DIRECTION_IN);
    assert_int_equal(cut->spec.partition.selector.to_count, 2);
    assert_int_equal(cut->spec.partition.selector.to[1].family, 6);
    const struct sq_step *kill = &experiment->steps[1];
    assert_int_equal(kill->duration_ns, SQ_KILL_WATCH_DEFAULT_NS);
    assert_int_equal(kill->spec.kill.signal, SIGTERM);
    assert_float_equal(kill->spec.kill.percent, 10, 0);
    assert_int_equal(kill->targets.host_count, 1);
    assert_float_equal(kill->targets.percent, 50, 0);
    assert_int_equal(sq_experiment_step_start_ns(experiment, 1), 30 * SECOND);
    assert_int_equal(sq_experiment_step_end_ns(experiment, 1), 40 * SECOND);
    assert_int_equal(sq_experiment_step_start_ns(experiment, 2), 10 * SECOND);
    assert_int_equal(sq_experiment_length_ns(experiment), 70 * SECOND);
    assert_int_equal(experiment->steps[2].spec.partition.selector.direction, SQ_DIRECTION_BOTH);
}

static void test_whole(void **state)
{
    (void)state;
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    struct sq_error error = {0};
    if (sq_experiment_parse("e.yaml", whole, strlen(whole), NULL, 0, &experiment, &error) != 0)
        fail_msg("%s", error.text);
    assert_string_equal(experiment->path, "e.yaml");
    assert_int_equal(experiment->tag_count, 2);
    assert_string_equal(experiment->tags[1], "partition");
    assert_true(experiment->has_hypothesis);
    assert_float_equal(experiment->limits.max_hosts_percent, 50, 0);
    assert_int_equal(experiment->lease_ns, 2 * SECOND);
    check_whole_probes(&experiment->hypothesis);
    check_whole_steps(experiment);
}

static void test_least(void **state)
{
    (void)state;
    static const char nothing[] =
        "title: nothing\nmethod: []\nsteady-state-hypothesis: {probes: [{name: p, http: 'http://a/'}]}\n";
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    assert_int_equal(sq_experiment_parse("e", nothing, strlen(nothing), NULL, 0, &experiment, NULL), 0);
    assert_int_equal(experiment->step_count, 0);
    assert_true(experiment->has_hypothesis);
    assert_int_equal(experiment->lease_ns, SQ_LEASE_DEFAULT_NS);
    assert_int_equal(sq_experiment_length_ns(experiment), 0);
}

/* A fragment in the place of one line of a valid experiment, and what must be said of it. */
struct bad {
    const char *text;
    const char *message;
};

static void expect_refused(const char *text, const char *message)
{
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    struct sq_error error = {0};
    if (sq_experiment_parse("e.yaml", text, strlen(text), NULL, 0, &experiment, &error) == 0)
        fail_msg("accepted:\n%s", text);
    assert_null(experiment);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strncmp(error.text, message, strlen(message)) != 0)
        fail_msg("expected '%s'; got: %s", message, error.text);
}

static void test_bad_files(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"", "e.yaml: the file is empty"},
        {"[1, 2]", "e.yaml:1:1: the experiment is a list; expected a map"},
        {"title: [unclosed\nmethod: []\n", "e.yaml:2:7: not valid YAML"},
        {"title: t\n\tmethod: []\n", "e.yaml:2:1: not valid YAML"},
        {"title: t\ntitle: u\nmethod: []\n",
         "e.yaml:2:1: the key 'title' stands here twice; it was first on line 1"},
        {"title: t\nmethod: []\n---\ntitle: u\n", "e.yaml:4:1: a second YAML document"},
        {"title: t\nmetod: []\n",
         "e.yaml:2:1: unknown key 'metod' in the experiment; did you mean 'method'?"},
        {"title: t\nmethod: []\nzzz: 1\n",
         "e.yaml:3:1: unknown key 'zzz' in the experiment; expected one of title"},
        {"method: []\n", "e.yaml:1:1: 'title' is missing"},
        {"title: ''\nmethod: []\n", "e.yaml:1:8: 'title' is empty"},
        {"title: t\n", "e.yaml:1:1: there is neither a 'method' nor a 'steady-state-hypothesis'"},
        {"title: t\nmethod: {}\n", "e.yaml:2:9: 'method' is a map"},
        {"title: t\nmethod: []\n",
         "e.yaml:2:9: 'method' is empty, and there is no 'steady-state-hypothesis': nothing to do"},
        {"title: t\nmethod: []\nlease: 10\n", "e.yaml:3:8: '10' is not a duration"},
        {"title: t\nmethod: []\nlease: 100ms\n",
         "e.yaml:3:8: 'lease' is out of range; expected 500ms to 10m"},
        {"title: t\nmethod: []\nlease: 11m\n", "e.yaml:3:8: 'lease' is out of range; expected 500ms to 10m"},
        {"title: t\nmethod: []\nlimits: {max-host: 1}\n",
         "e.yaml:3:10: unknown key 'max-host' in 'limits'; did you mean"},
        {"title: t\nmethod: []\nlimits: {max-hosts: 0}\n", "e.yaml:3:21: 'max-hosts' allows nobody"},
        {"title: t\nmethod: []\nlimits: {max-hosts: 0%}\n", "e.yaml:3:21: 'max-hosts' allows nobody"},
        {"title: t\nmethod: []\nlimits: {max-hosts: 150%}\n", "e.yaml:3:21: '150%' is out of range"},
        {"title: t\nmethod: []\nlimits: {max-hosts: few}\n",
         "e.yaml:3:21: 'max-hosts' is 'few'; expected a number"},
        {"title: t\nmethod: []\nlimits: {alone: perhaps}\n",
         "e.yaml:3:17: 'alone' is 'perhaps'; expected yes or no"},
        {"title: t\nmethod: []\ntags: [a, [b]]\n", "e.yaml:3:11: a tag is a list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refused(cases[i].text, cases[i].message);
}

static void expect_probes_refused(const struct bad *cases, size_t count)
{
    char text[600];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "title: t\nsteady-state-hypothesis:\n  probes:\n  - %s\n",
                       cases[i].text);
        expect_refused(text, cases[i].message);
    }
}

static void test_bad_judgements(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"{name: p, promql: up, tolerance: '> 0', max-misses: few}",
         "e.yaml:4:57: 'max-misses' is 'few'; expected 0 to 10000, or a percentage such as 10%"},
        {"{name: p, promql: up, tolerance: '> 0', max-misses: 101%}", "e.yaml:4:57: '101%' is out of range"},
        {"{name: p, promql: up, tolerance: '> 0', max-misses: [1]}", "e.yaml:4:57: 'max-misses' is a list"},
        {"{name: p, promql: up, tolerance: '> 0', settle: 2}", "e.yaml:4:53: '2' is not a duration"},
        {"{name: p, promql: up, tolerance: '> 0', lag: 25h}",
         "e.yaml:4:50: 'lag' is out of range; expected 0s to 1d"},
    };
    expect_probes_refused(cases, sizeof cases / sizeof cases[0]);
}

static void test_bad_probes(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"{promql: up, tolerance: '> 0'}", "e.yaml:4:5: 'name' is missing"},
        {"{name: p, tolerance: '> 0'}",
         "e.yaml:4:5: a probe has no kind; expected exactly one of 'promql' and 'http'"},
        {"{name: p, promql: up, http: 'http://a/', tolerance: '> 0'}",
         "e.yaml:4:5: a probe has several kinds; expected exactly one of"},
        {"{name: p, promq: up, tolerance: '> 0'}",
         "e.yaml:4:15: unknown key 'promq' in a probe; did you mean 'promql'?"},
        {"{name: p, promql: up}", "e.yaml:4:5: 'tolerance' is missing"},
        {"{name: p, promql: '', tolerance: '> 0'}", "e.yaml:4:23: 'promql' is empty"},
        {"{name: p, promql: up, tolerance: high}", "e.yaml:4:38: 'high' is not a tolerance"},
        {"{name: p, promql: up, tolerance: '>= nan'}", "e.yaml:4:38: '>= nan' is not a tolerance"},
        {"{name: p, promql: up, tolerance: {status: 200}}",
         "e.yaml:4:38: the tolerance of a promql probe is a text"},
        {"{name: p, promql: up, tolerance: '> 0', every: 99ms}",
         "e.yaml:4:52: 'every' is out of range; expected 100ms"},
        {"{name: p, promql: up, tolerance: '> 0', every: -1s}", "e.yaml:4:52: '-1s' is not a duration"},
        {"{name: p, promql: up, tolerance: '> 0', every: 1 s}", "e.yaml:4:52: '1 s' is not a duration"},
        {"{name: p, promql: up, tolerance: '> 0', timeout: 2s}",
         "e.yaml:4:54: the timeout of 2s is longer than 'every'"},
        {"{name: p, promql: up, tolerance: '> 0', abort-after-misses: 0}",
         "e.yaml:4:65: 'abort-after-misses' is out of range; expected 1"},
        {"{name: p, http: 'ftp://a/'}", "e.yaml:4:21: 'ftp://a/' is not an HTTP URL"},
        {"{name: p, http: 'http://a:0/'}", "e.yaml:4:21: 'http://a:0/' has no valid port"},
        {"{name: p, http: 'http://a/', tolerance: '200'}",
         "e.yaml:4:45: the tolerance of an http probe is a map"},
        {"{name: p, http: 'http://a/', tolerance: {status: 99}}",
         "e.yaml:4:54: 'status' is '99'; expected a status"},
        {"{name: p, http: 'http://a/', tolerance: {status: [200, 6xx]}}", "e.yaml:4:60: 'status' is '6xx'"},
        {"{name: p, http: 'http://a/', tolerance: {status: []}}", "e.yaml:4:54: 'status' has 0 entries"},
        {"{name: p, http: 'http://a/', tolerance: {within: 2s}}",
         "e.yaml:4:54: 'within' is longer than the probe's"},
        {"{name: p, http: 'http://a/', tolerance: {withn: 2s}}", "e.yaml:4:46: unknown key 'withn'"},
    };
    expect_probes_refused(cases, sizeof cases / sizeof cases[0]);
    expect_refused("title: t\nsteady-state-hypothesis: {probes: []}\n",
                   "e.yaml:2:35: 'probes' has 0 entries");
    expect_refused("title: t\nsteady-state-hypothesis: {title: x}\n", "e.yaml:2:26: 'probes' is missing");
    expect_refused("title: t\nsteady-state-hypothesis:\n  probes:\n  - {name: p, http: 'http://a'}\n"
                   "  - {name: p, http: 'http://b'}\n",
                   "e.yaml:5:12: a second probe 'p'; the first stands on line 4");
    expect_refused(
        "title: t\nsteady-state-hypothesis:\n  probes:\n  - {name: p, http: 'http://a'}\n  hold-before: 5\n",
        "e.yaml:5:16: '5' is not a duration");
    /* It could never be kept. */
    expect_refused("title: t\nsteady-state-hypothesis:\n  probes:\n  - {name: p, http: 'http://a'}\n"
                   "  recover-within: 0s\n",
                   "e.yaml:5:19: 'recover-within' is out of range; expected 1ms to 1d");
}

static void test_what_is_judged(void **state)
{
    (void)state;
    static const char text[] = "title: t\nsteady-state-hypothesis:\n  probes:\n"
                               "  - {name: a, http: 'http://a/', settle: 2s, lag: 1s, max-misses: 5}\n"
                               "  - {name: b, promql: up, tolerance: '> 0', lag: 0s, max-misses: 12.5%}\n"
                               "  - {name: c, promql: up, tolerance: '> 0'}\n"
                               "  - {name: d, http: 'http://a/', max-misses: 0}\n";
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    assert_int_equal(sq_experiment_parse("e.yaml", text, strlen(text), NULL, 0, &experiment, NULL), 0);
    const struct sq_probe *probes = experiment->hypothesis.probes;
    assert_int_equal(probes[0].settle_ns, 2 * SECOND);
    assert_int_equal(probes[0].lag_ns, SECOND);
    assert_true(probes[0].max_misses.given);
    assert_int_equal(probes[0].max_misses.count, 5);
    assert_true(probes[1].has_lag);
    assert_int_equal(probes[1].lag_ns, 0);
    assert_true(probes[1].max_misses.is_percent);
    assert_float_equal(probes[1].max_misses.percent, 12.5, 0);
    /* To be taken from Prometheus. */
    assert_false(probes[2].has_lag);
    assert_false(probes[2].max_misses.given);
    assert_true(probes[3].has_lag);
    assert_int_equal(probes[3].lag_ns, 0);
    assert_true(probes[3].max_misses.given);
    assert_int_equal(probes[3].max_misses.count, 0);
}

/* An experiment with one probe and one step. */
static void examine(const char *probe, const char *duration, struct sq_problems *problems)
{
    static char text[800];
    static char name[] = "e.yaml";
    (void)snprintf(text, sizeof text,
                   "title: t\nsteady-state-hypothesis:\n  probes:\n  - {name: p, %s}\nmethod:\n"
                   "- {name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1}, "
                   "duration: %s}\n",
                   probe, duration);
    struct sq_input input = {.path = name, .text = text, .length = strlen(text)};
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    (void)sq_experiment_examine(&input, NULL, 0, &experiment, problems);
    assert_int_equal(experiment != NULL, problems->error_count == 0);
}

static void expect_examined(const char *probe, const char *duration, uint32_t errors, const char *message)
{
    sq_autoproblems struct sq_problems problems = {0};
    examine(probe, duration, &problems);
    assert_int_equal(problems.error_count, errors);
    if (message == NULL)
        assert_int_equal(problems.count, 0);
    else if (problems.count == 0 || strstr(problems.list[0]->error.text, message) == NULL)
        fail_msg("expected '%s'; got: %s", message,
                 problems.count ? problems.list[0]->error.text : "nothing");
}

static void test_steps_too_short_for_evidence(void **state)
{
    (void)state;
    static const char slow[] = "http: 'http://a/', every: 30s, settle: 2s, lag: 1s, abort-after-misses: 2";
    expect_examined(slow, "13s", 0, NULL);
    expect_examined(
        slow, "8s", 1,
        "e.yaml:6:92: \"s\" is too short to show that probe \"p\" holds: it lasts 8s, where 13s are "
        "needed, the probe's settle (2s), lag (1s) and timeout (10s)");
    /* How far Prometheus looks back is known to `plan` alone, unless the file says it. */
    expect_examined("promql: up, tolerance: '> 0', abort-after-misses: 1", "1s", 0, NULL);
    expect_examined("promql: up, tolerance: '> 0', abort-after-misses: 1", "999ms", 1, "lag (0s)");
    expect_examined("promql: up, tolerance: '> 0', lag: 15s", "15s", 1, "16s are needed");
    expect_examined("promql: up, tolerance: '> 0', lag: 15s", "16s", 0, NULL);
    /* An instant fault's step lasts as long as it is watched. */
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    struct sq_error error = {0};
    static const char kill[] =
        "title: t\nsteady-state-hypothesis: {probes: [{name: p, http: 'http://a/', settle: 10s}]}\nmethod:\n"
        "- {name: s, fault: process.kill, targets: {count: 1}, with: {comm: x}}\n";
    assert_int_equal(sq_experiment_parse("e.yaml", kill, strlen(kill), NULL, 0, &experiment, &error), -1);
    assert_non_null(strstr(error.text, "e.yaml:4:3: \"s\" is too short"));
    assert_non_null(strstr(error.text, "it lasts 10s, where 11s are needed"));
}

static void test_rows_that_never_come(void **state)
{
    (void)state;
    expect_examined("http: 'http://a/'", "3s", 0, NULL);
    expect_examined("http: 'http://a/'", "2s", 0,
                    "e.yaml:6:92: \"s\" lasts 2s, in which probe \"p\" is judged 2 times: no row of 3 misses "
                    "comes together that would end it ('abort-after-misses'), only 'max-misses' can");
    expect_examined("http: 'http://a/', settle: 1s", "3s", 0, "is judged 2 times");
    expect_examined("http: 'http://a/', abort-after-misses: 100", "7s", 0, "no row of 100 misses");
}

/* `plan` and `run`, once Prometheus has said it. */
static void test_lags_that_prometheus_says(void **state)
{
    (void)state;
    static const char text[] =
        "title: t\nsteady-state-hypothesis: {probes: [{name: p, promql: up, tolerance: '> 0'}]}\nmethod:\n"
        "- {name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1}, duration: 15s}\n";
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    struct sq_error error = {0};
    assert_int_equal(sq_experiment_parse("e.yaml", text, strlen(text), NULL, 0, &experiment, &error), 0);
    experiment->hypothesis.probes[0].lag_ns = 15 * SECOND;
    assert_int_equal(sq_evidence_check_first(experiment, false, &error), 0);
    assert_int_equal(sq_evidence_check_first(experiment, true, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "e.yaml:4:92: \"s\" is too short"));
    assert_non_null(strstr(error.text, "lag (15s, as Prometheus says or by default; 'lag' overrides it)"));
    experiment->hypothesis.probes[0].lag_ns = 14 * SECOND;
    assert_int_equal(sq_evidence_check_first(experiment, true, &error), 0);
}

static const struct bad bad_steps[] = {
    {"{}", "e.yaml:3:3: 'name' is missing"},
    {"{name: s}", "e.yaml:3:3: 'fault' is missing"},
    {"{name: s, fault: network.partiton}",
     "e.yaml:3:20: unknown fault 'network.partiton'; did you mean 'network.partition'?"},
    {"{name: s, fault: disk.fire}",
     "e.yaml:3:20: unknown fault 'disk.fire'; expected one of network.partition"},
    {"{name: s, fautl: x}", "e.yaml:3:13: unknown key 'fautl' in a step; did you mean 'fault'?"},
    {"{name: s, fault: network.partition, with: {to: 10.0.0.1}, duration: 1s}",
     "e.yaml:3:3: 'targets' is missing"},
    {"{name: s, fault: network.partition, duration: 1s, with: {to: 10.0.0.1}, targets: {}}",
     "e.yaml:3:84: 'targets' names nobody; the blast radius must be explicit"},
    {"{name: s, fault: network.partition, duration: 1s, with: {to: 10.0.0.1}, targets: {seed: 1}}",
     "e.yaml:3:84: 'targets' names nobody; the blast radius must be explicit"},
    {"{name: s, fault: network.partition, targets: {count: 1, percent: 5%}}",
     "e.yaml:3:68: 'count' and 'percent' exclude each other"},
    {"{name: s, fault: network.partition, targets: {count: 0}}",
     "e.yaml:3:56: 'count' is out of range; expected 1"},
    {"{name: s, fault: network.partition, targets: {count: -1}}", "e.yaml:3:56: '-1' is not a whole number"},
    {"{name: s, fault: network.partition, targets: {percent: 101%}}", "e.yaml:3:58: '101%' is out of range"},
    {"{name: s, fault: network.partition, targets: {percent: 50}}", "e.yaml:3:58: '50' is not a percentage"},
    {"{name: s, fault: network.partition, targets: {percent: 0%}}",
     "e.yaml:3:58: 'percent' is 0%, which hits nobody"},
    {"{name: s, fault: network.partition, targets: {label: {a: b}}}",
     "e.yaml:3:49: unknown key 'label' in 'targets'"},
    {"{name: s, fault: network.partition, targets: {hosts: [a, a]}}",
     "e.yaml:3:60: the host 'a' stands here twice"},
    {"{name: s, fault: network.partition, targets: {hosts: []}}", "e.yaml:3:56: 'hosts' has 0 entries"},
    {"{name: s, fault: network.partition, targets: {labels: {}}}", "e.yaml:3:57: 'labels' is empty"},
    {"{name: s, fault: network.partition, targets: {count: 1}, duration: 1s}",
     "e.yaml:3:3: network.partition: 'to' is missing"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {dirction: in}}",
     "e.yaml:3:67: network.partition has no parameter 'dirction'; did you mean 'direction'?"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {percent: 5%}}",
     "e.yaml:3:67: network.partition has no parameter 'percent'; expected one of direction, to, except, "
     "interface"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {direction: up}}",
     "e.yaml:3:78: 'up' is not a value of 'direction'; expected one of in, out, both"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {direction: [in]}}",
     "e.yaml:3:78: 'direction' is a list"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: [10.0.0.1, 10.0.0.256]}}",
     "e.yaml:3:82: 'to': '10.0.0.256' is not an address"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: [10.0.0.1, \"::/0\", "
     "10.0.0.1/32]}}",
     "e.yaml:3:90: 'to' names 10.0.0.1/32 twice"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1/8}}",
     "e.yaml:3:71: 'to': '10.0.0.1/8' has bits set behind its prefix; did you mean 10.0.0.0/8?"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.0/8, except: "
     "11.0.0.0/8}}",
     "e.yaml:3:91: network.partition: 'except' names 11.0.0.0/8"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1, interface: "
     "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxy"
     "z"
     "abcdefghijklmnopqrstuvwxyz}}",
     "e.yaml:3:92: 'interface' is longer than 127 bytes"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1}}",
     "e.yaml:3:3: 'duration' is missing"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1}, duration: 30}",
     "e.yaml:3:92: '30' is not a duration"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1}, duration: 30sec}",
     "e.yaml:3:92: '30sec' is not a duration"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1}, duration: 25h}",
     "e.yaml:3:92: 'duration' is out of range; expected 1ms to 1d"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1}, duration: 1s, at: "
     "5s}",
     "e.yaml:3:100: the first step starts the experiment"},
    {"{name: s, fault: process.kill, targets: {count: 1}}", "e.yaml:3:3: process.kill: no process is named"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {executable: nginx}}",
     "e.yaml:3:74: process.kill: 'nginx' is not an absolute path"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x, signal: STOP}}",
     "e.yaml:3:79: 'STOP' is not a signal that may be sent"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x, percent: 0%}}",
     "e.yaml:3:80: 'percent' is out of range; expected 0.01% to 100%"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x, percent: 120%}}",
     "e.yaml:3:80: 'percent': '120%' is out of range"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x, count: 0}}",
     "e.yaml:3:78: 'count' is out of range; expected 1 to 10000"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x, count: 1, percent: 5%}}",
     "e.yaml:3:90: process.kill: 'count' and 'percent' exclude each other"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x}, expect: {came-back-within: 1s}}",
     "e.yaml:3:80: 'expect' is a map"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x}, expect: []}",
     "e.yaml:3:80: 'expect' is empty"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x}, expect: [{}]}",
     "e.yaml:3:81: an entry of 'expect' is empty"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x}, expect: [{came-back: 1s}]}",
     "e.yaml:3:82: unknown key 'came-back' in an entry of 'expect'; expected one of came-back-within"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x}, expect: [{came-back-within: 0s}]}",
     "e.yaml:3:100: 'came-back-within' is out of range"},
    {"{name: s, fault: process.kill, targets: {count: 1}, with: {comm: x}, expect: [{came-back-within: 1s}, "
     "{came-back-within: 1s}]}",
     "e.yaml:3:105: 'came-back-within' stands here twice"},
    {"{name: s, fault: network.partition, targets: {count: 1}, with: {to: 10.0.0.1}, duration: 1s, expect: "
     "[{came-back-within: 1s}]}",
     "e.yaml:3:105: network.partition ends no process"},
};

/* What is expected is watched for long enough. */
static void test_expect(void **state)
{
    (void)state;
    static const struct {
        const char *times;
        uint64_t duration_ns;
    } cases[] = {
        {"expect: [{came-back-within: 3s}]", 10 * SQ_NS_PER_SECOND},
        {"expect: [{came-back-within: 10s}]", 11 * SQ_NS_PER_SECOND},
        {"duration: 2s, expect: [{came-back-within: 10s}]", 11 * SQ_NS_PER_SECOND},
        {"duration: 1m, expect: [{came-back-within: 10s}]", 60 * SQ_NS_PER_SECOND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[400];
        struct sq_error error;
        sq_autoexperiment struct sq_experiment *experiment = NULL;
        (void)snprintf(
            text, sizeof text,
            "title: t\nmethod:\n- {name: s, fault: process.kill, targets: {count: 1}, with: {comm: "
            "x}, %s}\n",
            cases[i].times);
        if (sq_experiment_parse("e.yaml", text, strlen(text), NULL, 0, &experiment, &error) != 0)
            fail_msg("%s", error.text);
        assert_true(experiment->steps[0].came_back_within_ns == (i == 0 ? 3 : 10) * SQ_NS_PER_SECOND);
        assert_true(experiment->steps[0].duration_ns == cases[i].duration_ns);
    }
}

static void test_bad_steps(void **state)
{
    (void)state;
    char text[600];
    for (size_t i = 0; i < sizeof bad_steps / sizeof bad_steps[0]; i++) {
        (void)snprintf(text, sizeof text, "title: t\nmethod:\n- %s\n", bad_steps[i].text);
        expect_refused(text, bad_steps[i].message);
    }
}

#define CUT(name, targets, rest)                                                                             \
    "- {name: " name ", fault: network.partition, targets: " targets                                         \
    ", with: {to: 10.0.0.0/8}, duration: 10s" rest "}\n"

static void test_collisions_without_an_inventory(void **state)
{
    (void)state;
    static const char message[] = "e.yaml:4:3: the step 'b' collides with 'a' on line 3: the same hosts, the "
                                  "same targets of network.partition";
    expect_refused("title: t\nmethod:\n" CUT("a", "{labels: {r: w}}", "")
                       CUT("b", "{labels: {r: w}}", ", at: 9s"),
                   message);
    expect_refused("title: t\nmethod:\n" CUT("a", "{count: 1}", "") CUT("b", "{count: 2}", ", at: 9s"),
                   message);
    expect_refused("title: t\nmethod:\n" CUT("a", "{hosts: [x, y]}", "") CUT("b", "{hosts: y}", ", at: 9s"),
                   message);
    expect_refused("title: t\nmethod:\n" CUT("a", "{count: 1}", "") CUT("a", "{count: 1}", ", at: 1m"),
                   "e.yaml:4:10: a second step 'a'; the first stands on line 3");
    static const char *const fine[] = {
        "title: t\nmethod:\n" CUT("a", "{count: 1}", "") CUT("b", "{count: 1}", ""),
        "title: t\nmethod:\n" CUT("a", "{count: 1}", "") CUT("b", "{count: 1}", ", at: 10s"),
        "title: t\nmethod:\n" CUT("a", "{hosts: x}", "") CUT("b", "{hosts: y}", ", at: 1s"),
        "title: t\nmethod:\n" CUT("a", "{count: 1, seed: 1}", "") CUT("b", "{count: 1, seed: 2}", ", at: 1s"),
    };
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        sq_autoexperiment struct sq_experiment *experiment = NULL;
        struct sq_error error = {0};
        if (sq_experiment_parse("e.yaml", fine[i], strlen(fine[i]), NULL, 0, &experiment, &error) != 0)
            fail_msg("%s", error.text);
    }
}

/* Agents hold what is prepared for 24 hours at most, everything included. */
static void test_last_step_comes_within_a_day(void **state)
{
    (void)state;
    struct sq_error error = {0};
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    static const char fine[] =
        "title: t\nmethod:\n" CUT("a", "{count: 1}", "") CUT("b", "{count: 1}", ", at: 23h50m");
    if (sq_experiment_parse("e.yaml", fine, strlen(fine), NULL, 0, &experiment, &error) != 0)
        fail_msg("%s", error.text);
    expect_refused("title: t\nmethod:\n" CUT("a", "{count: 1}", "") CUT("b", "{count: 1}", ", at: 23h50m1s"),
                   "e.yaml:3:1: the last step begins 23h50m1s after the hosts were prepared");
    expect_refused("title: t\nsteady-state-hypothesis: {hold-before: 1h, probes: [{name: p, http: "
                   "\"http://h/\"}]}\nmethod:\n" CUT("a", "{count: 1}", "")
                       CUT("b", "{count: 1}", ", at: 23h"),
                   "e.yaml:4:1: the last step begins 1d after the hosts were prepared");
}

static void test_all_problems_are_told(void **state)
{
    (void)state;
    const char *path = SQ_SOURCE_DIR "/tests/unit/data/many-problems.yaml";
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    sq_autoproblems struct sq_problems problems = {0};
    sq_autoinput struct sq_input input = {0};
    assert_int_equal(sq_input_read(path, &input, NULL), 0);
    assert_int_equal(sq_experiment_examine(&input, NULL, 0, &experiment, &problems), -1);
    assert_null(experiment);
    assert_int_equal(problems.count, 6);
    static const char *const messages[] = {"did you mean 'description'?",
                                           "'lease' is out of range",
                                           "is not a tolerance",
                                           "several kinds; expected exactly one of 'promql' and 'http'",
                                           "unknown fault",
                                           "out of range"};
    for (uint32_t i = 0; i < problems.count; i++)
        if (strstr(problems.list[i]->error.text, messages[i]) == NULL)
            fail_msg("expected '%s' in: %s", messages[i], problems.list[i]->error.text);
}

static void test_titles(void **state)
{
    (void)state;
    expect_refused("title: \"a\\e[31mred\"\nmethod: []\n", "e.yaml:1:8: 'title' has a line break, an escape");
    expect_refused("title: |\n  two\n  lines\nmethod: []\n", "e.yaml:1:8: 'title' has a line break");
    expect_refused("title: t\nmethod:\n- {name: \"a\\tb\", fault: cpu.stress}\n",
                   "e.yaml:3:10: 'name' has a line break");
    expect_refused("parameters: {x: \"\\e\"}\ntitle: \"${x}\"\nmethod: []\n",
                   "e.yaml:2:8: 'title' has a line break");
}

static void test_too_many(void **state)
{
    (void)state;
    static char text[32768];
    size_t used = (size_t)snprintf(text, sizeof text, "title: t\nmethod:\n");
    for (int i = 0; i <= SQ_STEPS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "- {name: s%d, fault: x}\n", i);
    expect_refused(text, "e.yaml:3:1: more than 32 steps");
    used = (size_t)snprintf(text, sizeof text, "title: t\nsteady-state-hypothesis:\n  probes:\n");
    for (int i = 0; i <= SQ_PROBES_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "  - {name: s%d, http: 'http://a'}\n", i);
    expect_refused(text, "e.yaml:4:3: 'probes' has 257 entries; expected 1 to 256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_bad_probes),
        cmocka_unit_test(test_what_is_judged),
        cmocka_unit_test(test_bad_judgements),
        cmocka_unit_test(test_steps_too_short_for_evidence),
        cmocka_unit_test(test_rows_that_never_come),
        cmocka_unit_test(test_lags_that_prometheus_says),
        cmocka_unit_test(test_bad_steps),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_collisions_without_an_inventory),
        cmocka_unit_test(test_last_step_comes_within_a_day),
        cmocka_unit_test(test_all_problems_are_told),
        cmocka_unit_test(test_titles),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
