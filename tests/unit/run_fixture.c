#include "run_fixture.h"

#include "common/text.h"
#include "model/experiment.h"
#include "model/inventory.h"
#include "model/plan.h"
#include "planning/plan.h"
#include "reading/experiment.h"
#include "reading/inventory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SEEN_MAX   16384
#define LATERS_MAX 8

const char no_hypothesis[] = "";
const char http_hypothesis[] = "steady-state-hypothesis:\n"
                               "  title: it is served\n"
                               "  recover-within: 1s\n"
                               "  probes:\n"
                               "  - {name: front page, http: \"http://127.0.0.1/\", every: 100ms}\n";
const char held_hypothesis[] = "steady-state-hypothesis:\n"
                               "  title: it is served\n"
                               "  hold-before: 5s\n"
                               "  probes:\n"
                               "  - {name: front page, http: \"http://127.0.0.1/\"}\n";
const char more_steps[] = "- name: before\n"
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

static const char inventory_text[] = "hosts:\n"
                                     "- {name: web1, agent: \"ipc:///a\"}\n"
                                     "- {name: web2, agent: \"ipc:///b\"}\n"
                                     "- {name: web3, agent: \"ipc:///c\"}\n"
                                     "- {name: db1, agent: \"ipc:///d\"}\n";

const char *limits = "";
int signal_fd;
struct sq_run *the_run;
struct seen seen[SEEN_MAX];
size_t seen_count;
struct ended ended;
void (*on_event)(const struct sq_run_event *event);

struct later {
    uint64_t after_ns;
    void (*what)(int value);
    int value;
    struct sq_loop_source *timer;
};

static struct later laters[LATERS_MAX];
static uint32_t later_count;

void send_signal(int number)
{
    (void)kill(getpid(), number);
}

void set_status(int status)
{
    page.status = (uint32_t)status;
}

void set_takes_ms(int takes_ms)
{
    page.takes_ns = (uint64_t)takes_ms * MS;
}

void later(uint64_t after_ns, void (*what)(int value), int value)
{
    assert_true(later_count < LATERS_MAX);
    laters[later_count++] = (struct later){.after_ns = after_ns, .what = what, .value = value};
}

static void on_later(void *cookie)
{
    const struct later *later = cookie;
    later->what(later->value);
}

static void arm_laters(uint64_t inject_boot_ns)
{
    struct sq_error error;
    for (uint32_t i = 0; i < later_count; i++) {
        assert_int_equal(sq_loop_add_timer(played_loop, on_later, &laters[i], &laters[i].timer, &error), 0);
        sq_loop_arm(laters[i].timer, inject_boot_ns + laters[i].after_ns);
    }
}

/* --- the observer --- */

static uint32_t all_reverts(void)
{
    uint32_t reverts = 0;
    for (size_t i = 0; i < HOSTS; i++)
        reverts += agents[i].reverts;
    return reverts;
}

static void note(struct seen *entry, uint32_t host, const char *what, const char *text)
{
    entry->host = host;
    (void)sq_text_copy(entry->what, sizeof(entry->what), what);
    (void)sq_text_copy(entry->text, sizeof(entry->text), text);
}

static void note_ending(const struct sq_run_ended *last)
{
    ended = (struct ended){.ending = last->ending,
                           .verified = last->verified,
                           .recovery_checked = last->recovery_checked,
                           .recovered = last->recovered};
    (void)sq_text_copy(ended.why, sizeof(ended.why), last->why);
    (void)sq_text_copy(ended.had_ended_because, sizeof(ended.had_ended_because), last->had_ended_because);
    (void)sq_text_copy(ended.not_recovered_because, sizeof(ended.not_recovered_because),
                       last->not_recovered_because);
    assert_true(last->host_count == HOSTS || last->host_count == 0);
    for (size_t i = 0; i < last->host_count; i++) {
        ended.unclean[i] = last->hosts[i].unclean;
        ended.clean_boot_ns[i] = last->hosts[i].clean_boot_ns;
        ended.removed_boot_ns[i] = last->hosts[i].removed_boot_ns;
        ended.injected_boot_ns[i] = last->hosts[i].faults[0].injected_boot_ns;
    }
}

static void describe(struct seen *entry, const struct sq_run_event *event)
{
    switch (event->kind) {
    case SQ_EVENT_PHASE:
        note(entry, 0, sq_run_phase_word(event->of.phase.phase), "");
        break;
    case SQ_EVENT_REQUEST:
        note(entry, event->of.request.host, sq_verb_name(event->of.request.verb), "");
        break;
    case SQ_EVENT_ANSWER:
        note(entry, event->of.answer.host, sq_verb_name(event->of.answer.verb), event->of.answer.message);
        break;
    case SQ_EVENT_FAULT:
    case SQ_EVENT_COUNTERS:
        note(entry, event->of.fault.host, sq_state_name(event->of.fault.state), event->of.fault.message);
        break;
    case SQ_EVENT_MEASUREMENT:
        note(entry, 0, event->of.measurement.probe->name, event->of.measurement.measurement->reason);
        break;
    case SQ_EVENT_DECISION:
        note(entry, 0, event->of.decision.what, event->of.decision.text);
        break;
    case SQ_EVENT_HOST:
        note(entry, event->of.host.host, event->of.host.what, event->of.host.problem);
        break;
    case SQ_EVENT_NOTE:
        note(entry, 0, "", event->of.note);
        break;
    case SQ_EVENT_ENDING:
        note_ending(&event->of.ending);
        break;
    default:
        break;
    }
}

static void see(void *cookie, const struct sq_run_event *event)
{
    (void)cookie;
    assert_true(seen_count < SEEN_MAX);
    struct seen *entry = &seen[seen_count++];
    *entry = (struct seen){.kind = event->kind, .boot_ns = event->boot_ns, .reverts = all_reverts()};
    describe(entry, event);
    if (on_event != NULL)
        on_event(event);
}

size_t count_events(enum sq_run_event_kind kind, const char *what)
{
    size_t count = 0;
    for (size_t i = 0; i < seen_count; i++)
        if (seen[i].kind == kind && (what == NULL || strcmp(seen[i].what, what) == 0))
            count++;
    return count;
}

/* Decisions and the ending never contradict each other: the last decision that names an ending is the one. */
static void check_decisions(void)
{
    const char *last = NULL;
    size_t endings = 0;
    for (size_t i = 0; i < seen_count; i++) {
        if (seen[i].kind != SQ_EVENT_DECISION)
            continue;
        for (int ending = SQ_EXIT_COMPLETED; ending <= SQ_EXIT_UNCLEAN; ending++) {
            if (strcmp(seen[i].what, sq_ending_name((enum sq_exit)ending)) != 0)
                continue;
            /* After one that is final only "unclean" may follow, after "completed" what is worse. */
            assert_true(last == NULL || strcmp(last, "completed") == 0 || ending == SQ_EXIT_UNCLEAN);
            last = seen[i].what;
            endings++;
        }
    }
    assert_true(endings > 0);
    assert_string_equal(last, sq_ending_name(ended.ending));
    assert_int_equal(seen[0].kind, SQ_EVENT_BEGIN);
    assert_int_equal(seen[seen_count - 1].kind, SQ_EVENT_ENDING);
}

/* --- a run --- */

static void write_experiment(char *text, size_t size, const char *method, const char *duration)
{
    bool is_hypothesis = strncmp(method, "steady-state", strlen("steady-state")) == 0;
    if (duration == NULL)
        (void)snprintf(text, size, "title: test\n%smethod: []\n", method);
    else
        (void)snprintf(text, size,
                       "title: test\n%s"
                       "lease: 500ms\n"
                       "method:\n"
                       "%s"
                       "- name: cut\n"
                       "  fault: network.partition\n"
                       "  targets: {hosts: [web1, web2, web3]}\n"
                       "  with: {direction: both, to: [192.0.2.0/24]}\n"
                       "  duration: %s\n"
                       "%s",
                       is_hypothesis ? method : "", is_hypothesis ? "" : method, duration, limits);
}

static enum sq_exit execute(const struct sq_plan *plan, const struct sq_inventory *inventory)
{
    struct sq_error error = {0};
    struct sq_client *client = NULL;
    struct sq_observer observer = {.see = see};
    struct sq_run_options options = {.plan = plan,
                                     .loop = played_loop,
                                     .observers = &observer,
                                     .observer_count = 1,
                                     .operator_name = "tester@here",
                                     .signal_fd = signal_fd};
    if (sq_client_open(inventory, NULL, NULL, &client, &error) != 0)
        fail_msg("%s", error.text);
    options.client = client;
    assert_int_equal(sq_id_make(&options.id, &error), 0);
    if (sq_run_new(&options, &the_run, &error) != 0)
        fail_msg("%s", error.text);
    enum sq_exit ending = sq_run_execute(the_run);
    sq_run_free(the_run);
    the_run = NULL;
    sq_client_close(client);
    return ending;
}

enum sq_exit run(const char *method, const char *duration)
{
    char text[2048];
    struct sq_error error = {0};
    struct sq_experiment *experiment = NULL;
    struct sq_inventory *inventory = NULL;
    struct sq_plan *plan = NULL;
    seen_count = 0;
    on_first_order = arm_laters;
    write_experiment(text, sizeof(text), method, duration);
    if (sq_experiment_parse("test.yaml", text, strlen(text), NULL, 0, &experiment, &error) != 0 ||
        sq_inventory_parse("hosts.yaml", inventory_text, strlen(inventory_text), &inventory, &error) != 0 ||
        sq_plan_make(experiment, inventory, &plan, &error) != 0)
        fail_msg("%s", error.text);
    enum sq_exit ending = execute(plan, inventory);
    for (uint32_t i = 0; i < later_count; i++)
        sq_loop_remove(laters[i].timer);
    later_count = 0;
    sq_plan_free(plan);
    sq_inventory_free(inventory);
    sq_experiment_free(experiment);
    assert_int_equal(ending, ended.ending);
    check_decisions();
    return ending;
}

void expect_why(const char *text)
{
    const char *why = ended.ending == SQ_EXIT_UNCLEAN ? ended.had_ended_because : ended.why;
    if (strstr(why, text) == NULL)
        fail_msg("it does not say \"%s\", but: %s", text, why);
}

void expect_all_clean(void)
{
    for (size_t i = 0; i < HOSTS; i++)
        for (uint32_t fault = 0; fault < agents[i].fault_count; fault++) {
            enum sq_fault_state state = agents[i].faults[fault].report.state;
            assert_int_not_equal(state, SQ_STATE_PREPARED);
            assert_int_not_equal(state, SQ_STATE_INJECTED);
            assert_true(state == SQ_STATE_NONE || agents[i].reverts > 0);
        }
}

void expect_nothing_injected(void)
{
    for (size_t i = 0; i < HOSTS; i++) {
        assert_int_equal(agents[i].injects, 0);
        assert_true(agents[i].faults[0].report.injected_boot_ns == 0);
        assert_true(ended.injected_boot_ns[i] == 0);
    }
    /* Whoever searches for an injection finds none. */
    assert_int_equal(count_events(SQ_EVENT_REQUEST, "inject"), 0);
    assert_int_equal(count_events(SQ_EVENT_FAULT, "INJECTED"), 0);
}

int set_up(void **state)
{
    struct sq_error error;
    (void)state;
    agents_reset();
    limits = "";
    page = (struct page){.status = 200, .takes_ns = MS};
    on_event = NULL;
    later_count = 0;
    return sq_loop_open_played(1000 * SQ_NS_PER_SECOND, &played_loop, &error);
}

int tear_down(void **state)
{
    const char *name;
    (void)state;
    sq_loop_close(played_loop);
    while (sq_run_is_interrupted(signal_fd, &name))
        continue;
    return 0;
}
