/* libraries: sq_commands sq_table sq_common PkgConfig::JANSSON */
/* A whole run against the agents of played_agents.h. The clock is the real one, durations are short. */
#include "engine/run.h"

#include "common/clock.h"
#include "common/file.h"
#include "model/experiment.h"
#include "model/inventory.h"
#include "model/plan.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/ending.h"
#include "planning/plan.h"
#include "played_agents.h"
#include "reading/experiment.h"
#include "reading/inventory.h"
#include "record/run_record.h"
#include "screen/run_report.h"
#include "screen/run_screen.h"

/* --- a web server with one answer, for the probes --- */

struct server {
    int fd;
    int port;
    pthread_t thread;
    _Atomic int status;
    _Atomic bool closing;
};

static struct server server;

static void *serve(void *cookie)
{
    (void)cookie;
    while (!server.closing) {
        int fd = accept(server.fd, NULL, NULL);
        char text[1024];
        if (fd < 0)
            break;
        (void)!read(fd, text, sizeof(text));
        int length =
            snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                     server.status);
        (void)!write(fd, text, (size_t)length);
        (void)close(fd);
    }
    return NULL;
}

static void server_start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    server.status = 200;
    server.closing = false;
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server.fd, 16), 0);
    assert_int_equal(getsockname(server.fd, (struct sockaddr *)&address, &size), 0);
    server.port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void server_stop(void)
{
    server.closing = true;
    (void)shutdown(server.fd, SHUT_RDWR);
    (void)pthread_join(server.thread, NULL);
    (void)close(server.fd);
}

/* --- a run --- */

static char folder[64];
static char record_path[128];
static int signal_fd;
static json_t *recorded;
static char report_text[16384];

static const char inventory_text[] = "hosts:\n"
                                     "- {name: web1, agent: \"ipc:///a\"}\n"
                                     "- {name: web2, agent: \"ipc:///b\"}\n"
                                     "- {name: web3, agent: \"ipc:///c\"}\n";

static const char no_hypothesis[] = "";
/* Instead of a hypothesis: two steps before the one that is always there, the second one beside the first. */
static const char more_steps[] = "- name: before\n"
                                 "  fault: network.partition\n"
                                 "  targets: {hosts: [web1]}\n"
                                 "  with: {direction: both, to: [198.51.100.0/24]}\n"
                                 "  duration: 300ms\n"
                                 "- name: beside\n"
                                 "  fault: network.partition\n"
                                 "  targets: {hosts: [web1, web2]}\n"
                                 "  with: {direction: both, to: [203.0.113.0/24]}\n"
                                 "  at: 100ms\n"
                                 "  duration: 500ms\n";
static const char http_hypothesis[] =
    "steady-state-hypothesis:\n"
    "  title: it is served\n"
    "  recover-within: 1s\n"
    "  probes:\n"
    "  - {name: front page, http: \"http://127.0.0.1:%d/\", every: 100ms, abort-after-misses: 3}\n";

static const char held_hypothesis[] = "steady-state-hypothesis:\n"
                                      "  title: it is served\n"
                                      "  hold-before: 5s\n"
                                      "  probes:\n"
                                      "  - {name: front page, http: \"http://127.0.0.1:%d/\"}\n";

static void write_experiment(char *text, size_t size, const char *hypothesis, const char *duration)
{
    char probes[512];
    /* The texts above are the only formats. */
    if (hypothesis == http_hypothesis)
        (void)snprintf(probes, sizeof(probes), http_hypothesis, server.port);
    else if (hypothesis == held_hypothesis)
        (void)snprintf(probes, sizeof(probes), held_hypothesis, server.port);
    else
        probes[0] = '\0';
    (void)snprintf(text, size,
                   "title: test\n%s"
                   "lease: 500ms\n"
                   "method:\n"
                   "%s"
                   "- name: cut\n"
                   "  fault: network.partition\n"
                   "  targets: {hosts: [web1, web2, web3]}\n"
                   "  with: {direction: both, to: [192.0.2.0/24]}\n"
                   "  duration: %s\n",
                   probes, hypothesis == more_steps ? more_steps : "", duration);
}

/* Something that happens some time after a fault went in: a signal to ourselves, or another status of the
 * server's answers. */
struct event {
    uint64_t after_ns;
    void (*what)(int value);
    int value;
    pthread_t thread;
};

static struct event events[4];
static uint32_t event_count;

static void send_signal(int number)
{
    (void)kill(getpid(), number);
}

static void set_status(int status)
{
    server.status = status;
}

static void *happen(void *cookie)
{
    const struct event *event = cookie;
    struct timespec pause = {.tv_sec = (time_t)(event->after_ns / SQ_NS_PER_SECOND),
                             .tv_nsec = (long)(event->after_ns % SQ_NS_PER_SECOND)};
    while (!injected_once)
        (void)usleep(1000);
    (void)nanosleep(&pause, NULL);
    event->what(event->value);
    return NULL;
}

static void later(uint64_t after_ns, void (*what)(int value), int value)
{
    struct event *event = &events[event_count++];
    *event = (struct event){.after_ns = after_ns, .what = what, .value = value};
    assert_int_equal(pthread_create(&event->thread, NULL, happen, event), 0);
}

static void wait_for_events(void)
{
    while (event_count > 0)
        (void)pthread_join(events[--event_count].thread, NULL);
}

static enum sq_exit run(const char *hypothesis, const char *duration)
{
    char text[2048];
    struct sq_error error = {0};
    struct sq_experiment *experiment = NULL;
    struct sq_inventory *inventory = NULL;
    struct sq_plan *plan = NULL;
    struct sq_client *client = NULL;
    struct sq_loop *loop = NULL;
    struct sq_console *console = NULL;
    struct sq_record *record = NULL;
    struct sq_run_record *run_record = NULL;
    struct sq_run_screen *screen = NULL;
    struct sq_run_report *report = NULL;
    struct sq_run *engine = NULL;
    write_experiment(text, sizeof(text), hypothesis, duration);
    if (sq_experiment_parse("test.yaml", text, strlen(text), NULL, 0, &experiment, &error) != 0 ||
        sq_inventory_parse("hosts.yaml", inventory_text, strlen(inventory_text), &inventory, &error) != 0 ||
        sq_plan_make(experiment, inventory, &plan, &error) != 0 ||
        sq_client_open(inventory, &client, &error) != 0 || sq_loop_open(&loop, &error) != 0 ||
        sq_console_open(STDERR_FILENO, false, &console, &error) != 0 ||
        sq_record_open(record_path, &record, &error) != 0 ||
        sq_run_record_open(record, &run_record, &error) != 0 ||
        sq_run_report_open(false, &report, &error) != 0)
        fail_msg("%s", error.text);
    struct sq_run_screen_options looks = {.loop = loop, .console = console};
    assert_int_equal(sq_run_screen_open(&looks, &screen, &error), 0);
    struct sq_observer observers[] = {sq_run_record_observer(run_record), sq_run_screen_observer(screen),
                                      sq_run_report_observer(report)};
    struct sq_run_options options = {.plan = plan,
                                     .client = client,
                                     .loop = loop,
                                     .observers = observers,
                                     .observer_count = sizeof(observers) / sizeof(observers[0]),
                                     .operator_name = "tester@here",
                                     .signal_fd = signal_fd};
    assert_int_equal(sq_id_make(&options.id, &error), 0);
    assert_int_equal(sq_run_new(&options, &engine, &error), 0);
    enum sq_exit ending = sq_run_execute(engine);
    wait_for_events();
    assert_int_equal(sq_record_finish(record, &error), 0);
    (void)snprintf(report_text, sizeof(report_text), "%s", sq_run_report_text(report));
    sq_run_free(engine);
    sq_run_record_close(run_record);
    sq_run_screen_close(screen);
    sq_run_report_close(report);
    sq_record_close(record);
    sq_console_close(console, 0);
    sq_client_close(client);
    sq_loop_close(loop);
    sq_plan_free(plan);
    sq_inventory_free(inventory);
    sq_experiment_free(experiment);
    json_error_t problem;
    json_decref(recorded);
    recorded = json_load_file(record_path, JSON_REJECT_DUPLICATES, &problem);
    if (recorded == NULL)
        fail_msg("the record is not JSON: line %d: %s", problem.line, problem.text);
    assert_int_equal(json_integer_value(json_object_get(recorded, "exit_status")), ending);
    return ending;
}

static size_t count_events(const char *type, const char *key, const char *value)
{
    size_t i;
    size_t count = 0;
    json_t *event;
    json_array_foreach(json_object_get(recorded, "events"), i, event)
    {
        const char *text = key != NULL ? json_string_value(json_object_get(event, key)) : "";
        if (strcmp(json_string_value(json_object_get(event, "type")), type) == 0 &&
            (key == NULL || (text != NULL && strcmp(text, value) == 0)))
            count++;
    }
    return count;
}

static void expect_reported(const char *text)
{
    if (strstr(report_text, text) == NULL)
        fail_msg("the report does not say \"%s\":\n%s", text, report_text);
}

/* Nobody has anything in, and whoever prepared was told to revert. */
static void expect_all_clean(void)
{
    for (size_t i = 0; i < HOSTS; i++)
        for (uint32_t fault = 0; fault < agents[i].fault_count; fault++) {
            enum sq_fault_state state = agents[i].faults[fault].report.state;
            assert_int_not_equal(state, SQ_STATE_PREPARED);
            assert_int_not_equal(state, SQ_STATE_INJECTED);
            assert_true(state == SQ_STATE_NONE || agents[i].reverts > 0);
        }
}

static void expect_nothing_injected(void)
{
    for (size_t i = 0; i < HOSTS; i++) {
        assert_int_equal(agents[i].injects, 0);
        assert_true(agents[i].faults[0].report.injected_boot_ns == 0);
    }
    expect_reported("nothing was injected");
    /* Whoever searches a record for an injection finds none. */
    size_t length;
    char *text = NULL;
    assert_int_equal(sq_file_read(record_path, 1 << 20, &text, &length, NULL), 0);
    assert_null(strstr(text, "\"injected\""));
    assert_null(strstr(text, "\"inject\""));
    free(text);
}

static int set_up(void **state)
{
    (void)state;
    memset(agents, 0, sizeof(agents));
    for (size_t i = 0; i < HOSTS; i++)
        agents[i].clock_offset_ns = (i * 86400 + 5) * SQ_NS_PER_SECOND;
    injected_once = false;
    raise_at_prepare = 0;
    raise_at_revert = 0;
    server_start();
    (void)strcpy(folder, "/tmp/sq-test-run-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(record_path, sizeof(record_path), "%s/run.json", folder);
    return 0;
}

static int tear_down(void **state)
{
    const char *name;
    (void)state;
    server_stop();
    while (sq_run_is_interrupted(signal_fd, &name))
        continue;
    (void)unlink(record_path);
    (void)rmdir(folder);
    return 0;
}

static void test_completed(void **state)
{
    (void)state;
    assert_int_equal(run(http_hypothesis, "300ms"), SQ_EXIT_COMPLETED);
    expect_all_clean();
    uint64_t first_boot_ns = agents[0].faults[0].inject_at_boot_ns - agents[0].clock_offset_ns;
    for (size_t i = 0; i < HOSTS; i++) {
        uint64_t at_boot_ns = agents[i].faults[0].inject_at_boot_ns - agents[i].clock_offset_ns;
        uint64_t apart_ns =
            at_boot_ns > first_boot_ns ? at_boot_ns - first_boot_ns : first_boot_ns - at_boot_ns;
        /* One moment on three clocks, as exact as half a round trip of the fake wire. */
        assert_true(apart_ns < 20 * MS);
        assert_int_equal(agents[i].injects, 1);
        assert_int_equal(agents[i].faults[0].report.end_reason, SQ_END_DURATION);
    }
    expect_reported("completed: the hypothesis held before, during and after");
    expect_reported("dropped-in 7");
    expect_reported("proved: nothing left, compared");
    assert_true(count_events("measurement", "probe", "front page") >= 5);
    assert_int_equal(count_events("request", "verb", "inject"), 3);
    assert_int_equal(count_events("request", "verb", "revert"), 3);
    assert_int_equal(count_events("state", "state", "INJECTED"), 3);
    assert_int_equal(count_events("phase", NULL, NULL), 7);
}

static void test_no_hypothesis(void **state)
{
    (void)state;
    assert_int_equal(run(no_hypothesis, "200ms"), SQ_EXIT_COMPLETED);
    expect_all_clean();
}

static void test_deviated(void **state)
{
    (void)state;
    later(500 * MS, set_status, 503);
    later(1500 * MS, set_status, 200);
    assert_int_equal(run(http_hypothesis, "20s"), SQ_EXIT_DEVIATED);
    expect_all_clean();
    for (size_t i = 0; i < HOSTS; i++)
        assert_int_equal(agents[i].faults[0].report.end_reason, SQ_END_ORDERED);
    expect_reported("deviated: probe \"front page\" missed 3 times in a row");
    expect_reported("first miss, of probe \"front page\"");
    expect_reported("last allowed miss");
    expect_reported("every host was clean");
    expect_reported("everything was removed");
    expect_reported("the hypothesis held again");
}

static void test_deviated_and_not_recovered(void **state)
{
    (void)state;
    later(300 * MS, set_status, 503);
    assert_int_equal(run(http_hypothesis, "20s"), SQ_EXIT_DEVIATED);
    expect_all_clean();
    expect_reported("it did not recover: probe \"front page\" did not hold again within 1s");
    assert_true(json_is_false(json_object_get(recorded, "recovered")));
}

static void test_held_but_not_recovered(void **state)
{
    (void)state;
    /* Two misses are allowed; then the faults end, and it stays bad. */
    later(250 * MS, set_status, 503);
    assert_int_equal(run(http_hypothesis, "400ms"), SQ_EXIT_DEVIATED);
    expect_all_clean();
    expect_reported("did not hold again");
}

static void test_not_steady(void **state)
{
    (void)state;
    server.status = 500;
    assert_int_equal(run(http_hypothesis, "20s"), SQ_EXIT_REFUSED);
    expect_all_clean();
    expect_nothing_injected();
    expect_reported(
        "refused: probe \"front page\" is out of tolerance before anything was injected: status 500");
}

static void test_one_refuses(void **state)
{
    (void)state;
    agents[1].mood = REFUSES_PREPARE;
    agents[2].mood = SLOW_TO_PREPARE;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_REFUSED);
    assert_int_equal(agents[0].prepares, 1);
    expect_all_clean();
    expect_nothing_injected();
    expect_reported("refused: web2: the policy does not allow network.partition");
}

static void test_one_is_old(void **state)
{
    (void)state;
    agents[2].mood = OLD;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_FAILED);
    assert_int_equal(agents[0].prepares, 0);
    expect_nothing_injected();
    expect_reported("failed: web3: speaks version 9");
}

static void test_one_fails_to_inject(void **state)
{
    (void)state;
    agents[1].mood = FAILS_TO_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_FAILED);
    expect_all_clean();
    expect_reported("the device went away");
}

static void test_one_goes_away(void **state)
{
    (void)state;
    agents[0].mood = GOES_AFTER_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_UNCLEAN);
    assert_int_equal(agents[1].faults[0].report.state, SQ_STATE_REVERTED);
    assert_int_equal(agents[2].faults[0].report.state, SQ_STATE_REVERTED);
    expect_reported("web1 did not answer for a whole lease (500ms)");
    expect_reported("web1: not confirmed as clean: web1: no answer");
    expect_reported("squalld --recover");
    assert_null(strstr(report_text, "every host was clean"));
}

static void test_one_restarts(void **state)
{
    (void)state;
    agents[0].mood = RESTARTS_AFTER_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_FAILED);
    expect_all_clean();
    expect_reported("web1 renews no lease");
}

static void test_one_is_halted(void **state)
{
    (void)state;
    agents[2].mood = HALTED_AFTER_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
    expect_all_clean();
    expect_reported("aborted: somebody halted web3");
}

/* A host's policy is read again: before anything was injected that is a refusal, after it a failure. */
static void test_one_forbids(void **state)
{
    (void)state;
    agents[1].mood = FORBIDDEN_AFTER_INJECT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_FAILED);
    expect_all_clean();
    expect_reported("web2 ended \"cut\": forbidden by the host's new policy: the policy does not allow");
}

static void test_one_forbids_beforehand(void **state)
{
    (void)state;
    agents[1].mood = FORBIDDEN_WHILE_PREPARED;
    assert_int_equal(run(held_hypothesis, "20s"), SQ_EXIT_REFUSED);
    expect_all_clean();
    expect_reported("web2 ended \"cut\": forbidden by the host's new policy: the policy does not allow");
    assert_int_equal(agents[0].injects + agents[1].injects, 0);
}

static void test_something_is_left(void **state)
{
    (void)state;
    agents[1].mood = LEAVES_SOMETHING;
    assert_int_equal(run(no_hypothesis, "200ms"), SQ_EXIT_UNCLEAN);
    assert_true(agents[1].reverts > 1);
    expect_reported("device ifb7: ip link delete ifb7");
    assert_null(strstr(report_text, "everything was removed"));
}

/* Only when it is to be taken away does the agent find that it was not there any more. */
static void test_something_vanished(void **state)
{
    (void)state;
    agents[1].mood = FINDS_IT_GONE;
    assert_int_equal(run(no_hypothesis, "200ms"), SQ_EXIT_FAILED);
    expect_reported("web2: \"cut\" failed: somebody took it away");
    expect_reported("it was last seen in place at ");
    expect_reported("changed by others: nothing left of squall's own");
}

static void expect_aborted(void)
{
    expect_all_clean();
    expect_reported("aborted: stopped by SIG");
    for (size_t i = 0; i < HOSTS; i++)
        assert_true(agents[i].reverts > 0);
}

static void test_signals_end_with_a_rollback(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1};
    (void)state;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        uint64_t began_boot_ns = sq_boot_ns();
        memset(agents, 0, sizeof(agents));
        injected_once = false;
        later(300 * MS, send_signal, signals[i]);
        assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
        expect_aborted();
        assert_true(agents[0].injects == 1);
        assert_true(sq_boot_ns() - began_boot_ns < 2 * SQ_NS_PER_SECOND);
    }
}

static void test_signal_while_preparing(void **state)
{
    (void)state;
    agents[2].mood = SLOW_TO_PREPARE;
    raise_at_prepare = SIGINT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
    expect_aborted();
    expect_nothing_injected();
}

static void test_signals_do_not_skip_the_rollback(void **state)
{
    (void)state;
    later(300 * MS, send_signal, SIGINT);
    raise_at_revert = SIGINT;
    assert_int_equal(run(no_hypothesis, "20s"), SQ_EXIT_ABORTED);
    expect_aborted();
    assert_true(count_events("decision", "what", "asked-to-stop") >= 2);
}

static void test_many_leases_long(void **state)
{
    (void)state;
    assert_int_equal(run(no_hypothesis, "1700ms"), SQ_EXIT_COMPLETED);
    for (size_t i = 0; i < HOSTS; i++) {
        assert_int_equal(agents[i].faults[0].report.end_reason, SQ_END_DURATION);
        assert_true(agents[i].renewals >= 9);
    }
}

static uint64_t injected_after_ns(size_t agent, uint32_t fault)
{
    return agents[agent].faults[fault].report.injected_boot_ns - agents[agent].clock_offset_ns -
           (agents[0].faults[0].report.injected_boot_ns - agents[0].clock_offset_ns);
}

static void expect_injected_after(size_t agent, uint32_t fault, uint64_t after_ns)
{
    uint64_t seen_ns = injected_after_ns(agent, fault);
    assert_int_equal(agents[agent].faults[fault].report.end_reason, SQ_END_DURATION);
    assert_true(seen_ns + 20 * MS > after_ns && seen_ns < after_ns + 20 * MS);
}

/* before: 0 to 300 ms on web1; beside: 100 to 600 ms on web1 and web2; cut: from 600 ms on all three. */
static void test_steps_have_their_times(void **state)
{
    (void)state;
    assert_int_equal(run(more_steps, "200ms"), SQ_EXIT_COMPLETED);
    expect_all_clean();
    assert_int_equal(agents[0].fault_count, 3);
    assert_int_equal(agents[2].fault_count, 1);
    expect_injected_after(0, 0, 0);
    expect_injected_after(0, 1, 100 * MS);
    expect_injected_after(1, 0, 100 * MS);
    expect_injected_after(0, 2, 600 * MS);
    expect_injected_after(1, 1, 600 * MS);
    expect_injected_after(2, 0, 600 * MS);
    assert_int_equal(count_events("request", "verb", "inject"), 6);
    assert_int_equal(count_events("state", "state", "INJECTED"), 6);
}

#define RUN_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    struct sq_error error;
    if (sq_run_block_signals(&signal_fd, &error) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        RUN_TEST(test_completed),
        RUN_TEST(test_no_hypothesis),
        RUN_TEST(test_deviated),
        RUN_TEST(test_deviated_and_not_recovered),
        RUN_TEST(test_held_but_not_recovered),
        RUN_TEST(test_not_steady),
        RUN_TEST(test_one_refuses),
        RUN_TEST(test_one_is_old),
        RUN_TEST(test_one_fails_to_inject),
        RUN_TEST(test_one_goes_away),
        RUN_TEST(test_one_restarts),
        RUN_TEST(test_one_is_halted),
        RUN_TEST(test_one_forbids),
        RUN_TEST(test_one_forbids_beforehand),
        RUN_TEST(test_something_is_left),
        RUN_TEST(test_something_vanished),
        RUN_TEST(test_signals_end_with_a_rollback),
        RUN_TEST(test_signal_while_preparing),
        RUN_TEST(test_signals_do_not_skip_the_rollback),
        RUN_TEST(test_many_leases_long),
        RUN_TEST(test_steps_have_their_times),
    };
    int status = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(recorded);
    return status;
}
