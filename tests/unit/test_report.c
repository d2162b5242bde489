/* libraries: sq_reports PkgConfig::JANSSON Threads::Threads */
#include "told_run.h"

#include "common/file.h"
#include "reports/report.h"

#include <time.h>

static const struct sq_report_style plain = {"", "", "", "", ""};
static char path[64];
static char text[16384];
static struct sq_record *record;
static struct sq_observer observer;

static int set_up(void **state)
{
    struct sq_error error = {0};
    (void)state;
    (void)strcpy(path, "/tmp/sq-test-report-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    (void)close(fd);
    told_make();
    (void)setenv("TZ", "Europe/Berlin", 1);
    tzset();
    if (sq_record_open(&told.head, path, &record, &error) != 0)
        return -1;
    observer = sq_record_observer(record);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sq_record_close(record);
    return unlink(path);
}

static void print(const struct sq_summary *summary, const char *where, const char *not_whole)
{
    FILE *stream = fmemopen(text, sizeof(text), "w");
    struct sq_report report = {.summary = summary, .record_path = where, .not_whole = not_whole};
    sq_report_text(&report, &plain, stream);
    (void)fclose(stream);
}

/* What the run prints at its end, and what its record says later, are the same. */
static void expect_text(const char *expected)
{
    struct sq_error error = {0};
    struct sq_record_reader *reader = NULL;
    struct sq_summary *summary = NULL;
    assert_int_equal(sq_record_finish(record, &error), 0);
    print(sq_record_summary(record), "FILE", NULL);
    if (strcmp(text, expected) != 0)
        fail_msg("it says:\n%s\nand not:\n%s", text, expected);
    assert_int_equal(sq_record_reader_open(path, &reader, &error), 0);
    assert_int_equal(sq_summary_read(reader, &summary, &error), 0);
    print(summary, "FILE", NULL);
    sq_summary_free(summary);
    sq_record_reader_close(reader);
    if (strcmp(text, expected) != 0)
        fail_msg("the record says:\n%s\nand not:\n%s", text, expected);
}

static void expect_said(const char *words)
{
    if (strstr(text, words) == NULL)
        fail_msg("it does not say \"%s\":\n%s", words, text);
}

#define HEAD                                                                                                 \
    "\n"                                                                                                     \
    "  experiment  The shop survives the loss of its web hosts\n"                                            \
    "  file        shop.yaml\n"                                                                              \
    "  parameters  victims=3\n"                                                                              \
    "  run         abcdef01230000000000000000000000\n"                                                       \
    "  operator    ann@ops1\n"

static void test_completed(void **state)
{
    (void)state;
    tell_run(observer);
    expect_text(
        "completed: the hypothesis held before, during and after\n" HEAD
        "  time        2025-11-20 03:31:07.123 to 03:31:13.245, 6.122 s; all times in UTC+01:00 (CET)\n"
        "\n"
        "  03:31:08.163     +0.000 s  the first fault was in\n"
        "  03:31:09.135     +0.972 s  first miss, of probe \"success rate\"\n"
        "  03:31:13.165     +5.002 s  every host was clean\n"
        "  03:31:13.175     +5.012 s  everything was removed\n"
        "  03:31:13.183     +5.020 s  the method was over\n"
        "  03:31:13.243     +5.080 s  the hypothesis held again\n"
        "\n"
        "  3 hosts: web1…web3: cut off, network.partition: REVERTED (duration over); on each dropped-out 10 "
        "to 12\n"
        "    in from 03:31:08.163 (the last one +0.002 s) until 03:31:13.163 (the last one +0.002 s), "
        "5.002 s\n"
        "    proved: nothing left, compared with what was there before\n"
        "\n"
        "  probe \"success rate\", tolerated: >= 0.99\n"
        "    before: measured 1 time, no miss\n"
        "    while faults were in: measured 3 times, missed 2\n"
        "      the worst: 0.93 at 03:31:09.123: 0.93 where >= 0.99 was expected\n"
        "    after: measured 1 time, no miss\n"
        "  probe \"front page\", tolerated: status 200 within 500ms\n"
        "    before: measured 1 time, no miss\n"
        "    while faults were in: measured 1 time, no miss\n"
        "      the worst: answer after 0.011 s at 03:31:09.123\n"
        "\n"
        "  record: FILE\n");
}

static void test_controller_was_killed(void **state)
{
    (void)state;
    tell_beginning(observer);
    expect_text(
        "no ending: the record ends 2.000 s after its beginning (faults are in): its controller died, was "
        "killed, or "
        "could not write any more\n"
        "  What was injected has ended by itself when its lease did, at most 10 s later, without the "
        "controller.\n"
        "  To see that nothing is left: squall status; to end what is: squall halt\n" HEAD
        "  time        2025-11-20 03:31:07.123 to 03:31:09.123, 2.000 s; all times in UTC+01:00 (CET)\n"
        "\n"
        "  03:31:08.163     +0.000 s  the first fault was in\n"
        "  03:31:09.135     +0.972 s  first miss, of probe \"success rate\"\n"
        "\n"
        "  3 hosts: web1…web3: cut off, network.partition: last seen as INJECTED\n"
        "    in from 03:31:08.163 (the last one +0.002 s), until when is not known\n"
        "\n"
        "  probe \"success rate\", tolerated: >= 0.99\n"
        "    before: measured 1 time, no miss\n"
        "    while faults were in: measured 1 time, missed 1\n"
        "      the worst: 0.93 at 03:31:09.123: 0.93 where >= 0.99 was expected\n"
        "  probe \"front page\", tolerated: status 200 within 500ms\n"
        "    before: measured 1 time, no miss\n"
        "    while faults were in: measured 1 time, no miss\n"
        "      the worst: answer after 0.011 s at 03:31:09.123\n"
        "\n"
        "  record: FILE\n");
}

static void test_ended_before_it_began(void **state)
{
    (void)state;
    sq_record_end_early(record, SQ_EXIT_REFUSED, "web2: its policy forbids it");
    struct sq_error error = {0};
    assert_int_equal(sq_record_finish(record, &error), 0);
    print(sq_record_summary(record), "FILE", NULL);
    expect_said("refused: web2: its policy forbids it\n");
    expect_said("  nothing was injected\n");
    expect_said("probe \"success rate\", tolerated: >= 0.99\n    never measured\n");
}

static void test_record_that_is_not_whole(void **state)
{
    (void)state;
    tell_run(observer);
    print(sq_record_summary(record), "FILE", "No space left on device");
    expect_said("the record FILE is not whole: No space left on device\n");
    assert_null(strstr(text, "record: FILE"));
}

/* What gave no answer is not said to have answered. */
static void test_worst_without_an_answer(void **state)
{
    (void)state;
    struct sq_error error = {0};
    tell_beginning(observer);
    tell_measurement(observer, 2500, 1, SQ_PHASE_WATCH, 0, "no answer within 500ms");
    assert_int_equal(sq_record_finish(record, &error), 0);
    print(sq_record_summary(record), "FILE", NULL);
    expect_said("      the worst: after 0.011 s at 03:31:09.623: no answer within 500ms\n");
}

static void see_nothing(void *cookie, const struct sq_run_event *event)
{
    (void)cookie;
    (void)event;
}

/* What differs is told apart; what is bad stands out. */
static void test_hosts_that_differ(void **state)
{
    (void)state;
    tell_beginning(observer);
    tell_ending((struct sq_observer){.see = see_nothing}, 7000, SQ_EXIT_UNCLEAN, "");
    sq_report_count(&told.reports[0], "killed", 3);
    sq_report_count(&told.reports[0], "came-back", 1);
    told.reports[1].state = SQ_STATE_FAILED;
    told.reports[1].proof = SQ_PROOF_LEFT;
    (void)strcpy(told.reports[1].message, "an escape \033[2J sequence");
    sq_report_line(&told.reports[1], SQ_LINE_LEFT, "the filter of eth0");
    told.last_hosts[2].unconfirmed = true;
    told.last_hosts[2].clean_boot_ns = 0;
    told.last_hosts[2].problem = "it does not answer";
    struct sq_run_event event = {.kind = SQ_EVENT_ENDING, .boot_ns = told_at(7001)};
    event.of.ending = (struct sq_run_ended){.ending = SQ_EXIT_UNCLEAN,
                                            .why = "something could not be undone",
                                            .had_ended_because = "the method was over",
                                            .not_recovered_because = "",
                                            .host_count = TOLD_HOSTS,
                                            .hosts = told.last_hosts};
    tell(observer, event);
    struct sq_error error = {0};
    assert_int_equal(sq_record_finish(record, &error), 0);
    print(sq_record_summary(record), "FILE", NULL);
    expect_said("  web1: cut off, network.partition: REVERTED (duration over), dropped-out 10, killed 3, "
                "came-back 1\n");
    expect_said("    DID NOT COME BACK: 2 of 3 that were killed\n");
    expect_said("  web2: cut off, network.partition: FAILED (duration over), dropped-out 11\n"
                "    an escape ?[2J sequence\n");
    expect_said("    left: the filter of eth0\n    left: something that squall made is still there\n");
    expect_said("  web3: cut off, network.partition: last seen as REVERTED");
    expect_said("  web3: not confirmed as clean: it does not answer\n");
    expect_said("on web3: squalld --recover");
    assert_null(strstr(text, "every host was clean"));
}

/* Of many hosts the same is said once. */
/* The order to revert comes before what it brings about. */
static void test_what_is_of_one_millisecond(void **state)
{
    struct sq_error error = {0};
    (void)state;
    tell_beginning(observer);
    struct sq_run_event event = {.kind = SQ_EVENT_PHASE, .boot_ns = told_at(6042) + 400000};
    event.of.phase.phase = SQ_PHASE_REVERT;
    tell(observer, event);
    tell_ending(observer, 6122, SQ_EXIT_ABORTED, "stopped by SIGINT");
    assert_int_equal(sq_record_finish(record, &error), 0);
    print(sq_record_summary(record), "FILE", NULL);
    expect_said("  03:31:13.165     +5.002 s  the rollback began\n"
                "  03:31:13.165     +5.002 s  every host was clean\n");
}

static void test_many_unconfirmed(void **state)
{
    struct sq_error error = {0};
    (void)state;
    tell_beginning(observer);
    tell_ending((struct sq_observer){.see = see_nothing}, 7000, SQ_EXIT_UNCLEAN, "");
    static const char *const problems[] = {"web1 (tls+tcp://10.77.0.11:7433): connection refused",
                                           "web2 (tls+tcp://10.77.0.12:7433): connection refused",
                                           "web3 (tls+tcp://10.77.0.13:7433): connection refused"};
    for (uint32_t i = 0; i < TOLD_HOSTS; i++) {
        told.last_hosts[i].unconfirmed = true;
        told.last_hosts[i].problem = problems[i];
    }
    struct sq_run_event event = {.kind = SQ_EVENT_ENDING, .boot_ns = told_at(7001)};
    event.of.ending = (struct sq_run_ended){.ending = SQ_EXIT_UNCLEAN,
                                            .why = "something could not be undone",
                                            .had_ended_because = "",
                                            .not_recovered_because = "",
                                            .host_count = TOLD_HOSTS,
                                            .hosts = told.last_hosts};
    tell(observer, event);
    assert_int_equal(sq_record_finish(record, &error), 0);
    print(sq_record_summary(record), "FILE", NULL);
    expect_said("  3 hosts: web1…web3: not confirmed as clean: connection refused\n");
    expect_said("To finish, on each of them: squalld --recover");
}

static json_t *document(const char *where)
{
    struct sq_error error = {0};
    struct sq_record_reader *reader = NULL;
    struct sq_summary *summary = NULL;
    char *bytes = NULL;
    size_t size = 0;
    if (sq_record_reader_open(where, &reader, &error) != 0 || sq_summary_read(reader, &summary, &error) != 0)
        fail_msg("%s", error.text);
    FILE *stream = open_memstream(&bytes, &size);
    struct sq_report report = {.summary = summary, .record_path = where};
    assert_int_equal(sq_report_json(&report, reader, stream, &error), 0);
    (void)fclose(stream);
    json_error_t problem;
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL)
        fail_msg("line %d: %s", problem.line, problem.text);
    assert_int_equal(sq_file_write(path, bytes, size, 0600, &error), 0);
    free(bytes);
    sq_summary_free(summary);
    sq_record_reader_close(reader);
    return root;
}

/* The document of version 1, which is read again as a record of that version and gives itself. */
static void test_document(void **state)
{
    struct sq_error error = {0};
    (void)state;
    tell_run(observer);
    assert_int_equal(sq_record_finish(record, &error), 0);
    json_t *first = document(path);
    json_t *second = document(path);
    assert_true(json_equal(first, second));
    assert_int_equal(json_integer_value(json_object_get(first, "version")), 1);
    assert_string_equal(json_string_value(json_object_get(first, "ending")), "completed");
    assert_int_equal(json_integer_value(json_object_get(first, "exit_status")), 0);
    assert_true(json_is_true(json_object_get(first, "verified")));
    assert_string_equal(json_string_value(json_object_get(first, "ended")), "2025-11-20T02:31:13.245Z");
    const json_t *moments = json_object_get(first, "moments");
    assert_string_equal(json_string_value(json_object_get(moments, "clean")), "2025-11-20T02:31:13.165Z");
    assert_int_equal(json_array_size(json_object_get(first, "hosts")), TOLD_HOSTS);
    assert_int_equal(json_array_size(json_object_get(first, "plan")), TOLD_HOSTS);
    assert_int_equal(json_array_size(json_object_get(first, "events")), 7 + 4 * TOLD_HOSTS + 7 + 2);
    const json_t *event = json_array_get(json_object_get(first, "events"), 0);
    assert_string_equal(json_string_value(json_object_get(event, "type")), "phase");
    json_decref(first);
    json_decref(second);
}

static void test_document_without_an_ending(void **state)
{
    struct sq_error error = {0};
    (void)state;
    tell_beginning(observer);
    assert_int_equal(sq_record_finish(record, &error), 0);
    json_t *root = document(path);
    assert_true(json_is_null(json_object_get(root, "ending")));
    assert_true(json_is_null(json_object_get(root, "exit_status")));
    json_decref(root);
}

#define REPORT_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REPORT_TEST(test_completed),
        REPORT_TEST(test_controller_was_killed),
        REPORT_TEST(test_ended_before_it_began),
        REPORT_TEST(test_record_that_is_not_whole),
        REPORT_TEST(test_worst_without_an_answer),
        REPORT_TEST(test_hosts_that_differ),
        REPORT_TEST(test_what_is_of_one_millisecond),
        REPORT_TEST(test_many_unconfirmed),
        REPORT_TEST(test_document),
        REPORT_TEST(test_document_without_an_ending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
