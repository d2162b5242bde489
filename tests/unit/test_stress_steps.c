/* libraries: sq_commands */
#include "model/experiment.h"
#include "reading/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Steps of latency, loss and stress in an experiment: what is refused, and where the message points. */

static struct sq_experiment *parse(const char *text, struct sq_error *error)
{
    struct sq_experiment *experiment = NULL;
    memset(error, 0, sizeof *error);
    (void)sq_experiment_parse("e.yaml", text, strlen(text), NULL, 0, &experiment, error);
    return experiment;
}

static void step(char *text, size_t size, const char *fault, const char *with, const char *duration)
{
    (void)snprintf(
        text, size,
        "title: t\nmethod:\n- name: s\n  fault: %s\n  targets: {count: 1}\n  duration: %s\n  with: %s\n",
        fault, duration, with);
}

static void refuse(const char *fault, const char *with, const char *duration, const char *message)
{
    char text[600];
    struct sq_error error;
    step(text, sizeof text, fault, with, duration);
    assert_null(parse(text, &error));
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strncmp(error.text, message, strlen(message)) != 0)
        fail_msg("expected '%s'; got: %s", message, error.text);
}

static void test_latency(void **state)
{
    (void)state;
    const char *fault = "network.latency";
    refuse(fault, "{to: 10.0.0.1}", "10s", "e.yaml:7:9: network.latency: 'delay' is missing");
    refuse(fault, "{to: 10.0.0.1, jitter: 5ms}", "10s", "e.yaml:7:9: network.latency: 'delay' is missing");
    refuse(fault, "{to: 10.0.0.1, delay: -5ms}", "10s", "e.yaml:7:31: 'delay': '-5ms' is not a duration");
    refuse(fault, "{to: 10.0.0.1, delay: 5}", "10s", "e.yaml:7:31: 'delay': '5' is not a duration");
    refuse(fault, "{to: 10.0.0.1, delay: 5lightyears}", "10s", "e.yaml:7:31: 'delay': '5lightyears' is not");
    refuse(fault, "{to: 10.0.0.1, delay: .nan}", "10s", "e.yaml:7:31: 'delay': '.nan' is not a duration");
    refuse(fault, "{to: 10.0.0.1, delay: 5ms, jitter: 6ms}", "10s",
           "e.yaml:7:44: network.latency: a jitter of 6ms around a delay of 5ms");
    refuse(fault, "{to: 10.0.0.1, delay: 5s}", "4s",
           "e.yaml:7:31: network.latency: a delay of 5s goes beyond the fault's duration of 4s");
    refuse(fault, "{to: 10.0.0.1, delay: 3s, jitter: 2s}", "4s",
           "e.yaml:7:43: network.latency: a delay of up to 5s goes beyond the fault's duration of 4s");
}

static void test_loss(void **state)
{
    (void)state;
    const char *fault = "network.loss";
    refuse(fault, "{to: 10.0.0.1}", "10s", "e.yaml:7:9: network.loss: 'percent' is missing");
    refuse(fault, "{to: 10.0.0.1, percent: 101%}", "10s", "e.yaml:7:33: 'percent': '101%' is out of range");
    refuse(fault, "{to: 10.0.0.1, percent: -1%}", "10s", "e.yaml:7:33: 'percent': '-1%' is not a percentage");
    refuse(fault, "{to: 10.0.0.1, percent: .nan}", "10s",
           "e.yaml:7:33: 'percent': '.nan' is not a percentage");
    refuse(fault, "{to: 10.0.0.1, percent: 0%}", "10s", "e.yaml:7:33: 'percent' is out of range");
}

static void test_cpu(void **state)
{
    (void)state;
    const char *fault = "cpu.stress";
    refuse(fault, "{cores: 2}", "10s", "e.yaml:7:9: cpu.stress: 'percent' is missing");
    refuse(fault, "{percent: 0%}", "10s", "e.yaml:7:19: 'percent' is out of range; expected 0.1% to 100%");
    refuse(fault, "{percent: 120%}", "10s", "e.yaml:7:19: 'percent': '120%' is out of range");
    refuse(fault, "{percent: 50}", "10s", "e.yaml:7:19: 'percent': '50' is not a percentage");
    refuse(fault, "{percent: 50%, cores: 0}", "10s", "e.yaml:7:31: 'cores': '0' names no cores");
    refuse(fault, "{percent: 50%, cores: -1}", "10s", "e.yaml:7:31: 'cores': '-1' names no cores");
    refuse(fault, "{percent: 50%, cores: 4096}", "10s", "e.yaml:7:31: 'cores': '4096' names no cores");
    refuse(fault, "{percent: 50%, cores: [0, 1, 1]}", "10s", "e.yaml:7:38: 'cores': core 1 stands twice");
    refuse(fault, "{percent: 50%, cores: [0, all]}", "10s", "e.yaml:7:35: 'cores': 'all' names no cores");
    refuse(fault, "{percent: 50%, cores: [1024]}", "10s", "e.yaml:7:32: 'cores': '1024' names no cores");
    refuse(fault, "{percent: 50%, cores: []}", "10s", "e.yaml:7:31: 'cores' is an empty list");
    refuse(fault, "{percent: 50%, cores: {a: b}}", "10s", "e.yaml:7:31: 'cores' is a map");
    refuse(fault, "{percent: [50%]}", "10s", "e.yaml:7:19: 'percent' is a list");
    refuse(fault, "{percent: 50%, core: 1}", "10s",
           "e.yaml:7:24: cpu.stress has no parameter 'core'; did you mean 'cores'?");
}

static void test_memory(void **state)
{
    (void)state;
    const char *fault = "memory.stress";
    refuse(fault, "{}", "10s", "e.yaml:7:9: memory.stress: no amount of memory is given");
    refuse(fault, "{rate: 1MiB}", "10s", "e.yaml:7:9: memory.stress: no amount of memory is given");
    refuse(fault, "{bytes: 0B}", "10s", "e.yaml:7:17: 'bytes' is out of range");
    refuse(fault, "{bytes: -1GiB}", "10s", "e.yaml:7:17: 'bytes': '-1GiB' is not a size");
    refuse(fault, "{bytes: 1000}", "10s", "e.yaml:7:17: 'bytes': '1000' is not a size");
    refuse(fault, "{bytes: 1GiB, percent: 10%}", "10s",
           "e.yaml:7:32: memory.stress: 'bytes' and 'percent' exclude each other");
    refuse(fault, "{percent: 10%, leave: 1GiB}", "10s",
           "e.yaml:7:31: memory.stress: 'percent' and 'leave' exclude each other");
    refuse(fault, "{percent: 100.5%}", "10s", "e.yaml:7:19: 'percent': '100.5%' is out of range");
    refuse(fault, "{bytes: 1GiB, rate: 100MiB}", "10s",
           "e.yaml:7:29: memory.stress: growing by 100MiB a second it takes 10.24s to hold 1GiB");
}

static void accept_cores(const char *cores, uint32_t mode, uint32_t count)
{
    char with[64];
    char text[600];
    struct sq_error error;
    (void)snprintf(with, sizeof with, "{percent: 50%%, cores: %s}", cores);
    step(text, sizeof text, "cpu.stress", with, "10s");
    sq_autoexperiment struct sq_experiment *experiment = parse(text, &error);
    if (experiment == NULL)
        fail_msg("%s", error.text);
    assert_int_equal(experiment->steps[0].spec.cpu.cores.mode, mode);
    assert_int_equal(experiment->steps[0].spec.cpu.cores.count, count);
}

/* A number is how many; in a list it is which. */
static void test_cores(void **state)
{
    (void)state;
    accept_cores("all", SQ_CORES_ALL, 0);
    accept_cores("2", SQ_CORES_COUNT, 2);
    accept_cores("[2]", SQ_CORES_LIST, 1);
    accept_cores("[0, 2, 5]", SQ_CORES_LIST, 3);
    accept_cores("[0-3, 8]", SQ_CORES_LIST, 5);
    accept_cores("0-3", SQ_CORES_LIST, 4);
    accept_cores("\"0-1,3\"", SQ_CORES_LIST, 3);
}

static void test_collisions_across_kinds(void **state)
{
    (void)state;
    struct sq_error error;
    assert_null(
        parse("title: t\nmethod:\n"
              "- {name: a, fault: network.latency, targets: {count: 1}, with: {to: 10.0.0.0/8, delay: 1ms}, "
              "duration: 10s}\n"
              "- {name: b, fault: network.latency, targets: {count: 1}, with: {to: 10.0.0.1, delay: 2ms}, "
              "duration: 10s, at: 5s}\n",
              &error));
    static const char network[] =
        "e.yaml:4:3: the step 'b' collides with 'a' on line 3: the same hosts, the same "
        "targets of network.latency, and overlapping times; let one end before the other starts ('at'), or "
        "choose other hosts or other targets in 'with'";
    if (strcmp(error.text, network) != 0)
        fail_msg("%s", error.text);
    assert_null(parse(
        "title: t\nmethod:\n"
        "- {name: a, fault: memory.stress, targets: {count: 1}, with: {percent: 10%}, duration: 10s}\n"
        "- {name: b, fault: memory.stress, targets: {count: 1}, with: {bytes: 1GiB}, duration: 10s, at: "
        "5s}\n",
        &error));
    assert_non_null(strstr(error.text, "the same targets of memory.stress, and overlapping times"));
    sq_autoexperiment struct sq_experiment *apart =
        parse("title: t\nmethod:\n"
              "- {name: a, fault: cpu.stress, targets: {count: 1}, with: {percent: 10%, cores: [0]}, "
              "duration: 10s}\n"
              "- {name: b, fault: cpu.stress, targets: {count: 1}, with: {percent: 10%, cores: [1]}, "
              "duration: 10s, "
              "at: 5s}\n",
              &error);
    if (apart == NULL)
        fail_msg("%s", error.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency), cmocka_unit_test(test_loss),
        cmocka_unit_test(test_cpu),     cmocka_unit_test(test_memory),
        cmocka_unit_test(test_cores),   cmocka_unit_test(test_collisions_across_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
