/* libraries: sq_record PkgConfig::JANSSON Threads::Threads */
#include "told_folder.h"

#include "common/file.h"
#include "record/runs.h"

#include <fcntl.h>
#include <sys/stat.h>

static void put(const char *text, size_t length)
{
    struct sq_error error = {0};
    assert_int_equal(sq_file_write(path, text, length, 0600, &error), 0);
}

static struct sq_summary *read_summary(void)
{
    struct sq_record_reader *reader = NULL;
    struct sq_summary *summary = NULL;
    struct sq_error error = {0};
    if (sq_record_reader_open(path, &reader, &error) != 0 || sq_summary_read(reader, &summary, &error) != 0)
        fail_msg("%s", error.text);
    sq_record_reader_close(reader);
    return summary;
}

static void write_run(void)
{
    struct sq_error error = {0};
    struct sq_record *record = NULL;
    assert_int_equal(sq_record_open(&told.head, path, &record, &error), 0);
    tell_run(sq_record_observer(record));
    assert_int_equal(sq_record_finish(record, &error), 0);
    sq_record_close(record);
}

static uint64_t offset_ms(const struct sq_summary *summary, enum sq_moment moment)
{
    return (sq_summary_moment(summary, moment) - summary->began_real_ns) / SQ_NS_PER_MILLISECOND;
}

static void check_run(const struct sq_summary *summary)
{
    assert_int_equal(sq_summary_exit_status(summary), SQ_EXIT_COMPLETED);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_INJECTED), 1040);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_FIRST_MISSED), 2012);
    assert_int_equal(sq_summary_moment(summary, SQ_MOMENT_LAST_ALLOWED_MISS), 0);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_ROLLBACK), 6060);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_CLEAN), 6042);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_REMOVED), 6052);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_RECOVERED), 6120);
    assert_string_equal(summary->first_missed, "success rate");
    assert_int_equal(summary->probe_count, 2);
    const struct sq_probe_summary *probe = &summary->probes[0];
    assert_int_equal(probe->counts[SQ_PROBE_BEFORE].samples, 1);
    assert_int_equal(probe->counts[SQ_PROBE_DURING].samples, 3);
    assert_int_equal(probe->counts[SQ_PROBE_DURING].misses, 2);
    assert_int_equal(probe->counts[SQ_PROBE_AFTER].samples, 1);
    assert_true(probe->worst.known && probe->worst.value > 0.92 && probe->worst.value < 0.94);
    assert_int_equal((probe->worst.real_ns - summary->began_real_ns) / SQ_NS_PER_MILLISECOND, 2000);
    assert_int_equal(json_object_size(summary->hosts), TOLD_HOSTS);
    assert_false(summary->cut);
}

static void test_reads_what_was_written(void **state)
{
    (void)state;
    write_run();
    struct sq_summary *summary = read_summary();
    check_run(summary);
    assert_int_equal(summary->state.version, 2);
    assert_int_equal(summary->state.damaged, 0);
    assert_false(summary->state.torn || summary->state.being_written);
    sq_summary_free(summary);
}

/* Killed at any moment: whatever prefix is on the disk is read, and all but the torn line of it is known. */
static void test_every_prefix(void **state)
{
    (void)state;
    char *content = NULL;
    size_t length = 0;
    struct sq_error error = {0};
    write_run();
    assert_int_equal(sq_file_read(path, 1u << 20, &content, &length, &error), 0);
    size_t head = (size_t)(strchr(content, '\n') - content);
    for (size_t cut = head; cut < length; cut += 37) {
        put(content, cut);
        struct sq_summary *summary = read_summary();
        assert_non_null(summary->head);
        assert_int_equal(summary->state.damaged, 0);
        assert_true(cut + 1 == length || summary->ending == NULL);
        /* A line that is whole but for its end is whole. */
        bool whole = content[cut - 1] == '\n' || content[cut] == '\n';
        assert_int_equal(summary->state.torn, !whole);
        sq_summary_free(summary);
    }
    put(content, length - 1);
    struct sq_summary *summary = read_summary();
    check_run(summary);
    sq_summary_free(summary);
    free(content);
}

static void test_killed_controller(void **state)
{
    (void)state;
    struct sq_error error = {0};
    struct sq_record *record = NULL;
    assert_int_equal(sq_record_open(&told.head, path, &record, &error), 0);
    tell_beginning(sq_record_observer(record));
    assert_int_equal(sq_record_finish(record, &error), 0);
    sq_record_close(record);
    struct sq_summary *summary = read_summary();
    assert_null(summary->ending);
    assert_int_equal(sq_summary_exit_status(summary), -1);
    assert_string_equal(summary->phase, "watch");
    assert_true(summary->injection_ordered);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_INJECTED), 1040);
    const json_t *fault =
        json_array_get(json_object_get(json_object_get(summary->hosts, "web2"), "faults"), 0);
    assert_string_equal(json_string_value(json_object_get(fault, "state")), "INJECTED");
    sq_summary_free(summary);
}

static void test_run_that_goes_on(void **state)
{
    (void)state;
    struct sq_error error = {0};
    struct sq_record *record = NULL;
    assert_int_equal(sq_record_open(&told.head, path, &record, &error), 0);
    struct sq_summary *summary = read_summary();
    assert_true(summary->state.being_written);
    sq_summary_free(summary);
    sq_record_close(record);
}

static void test_damaged_lines_are_counted(void **state)
{
    (void)state;
    char *content = NULL;
    size_t length = 0;
    struct sq_error error = {0};
    write_run();
    assert_int_equal(sq_file_read(path, 1u << 20, &content, &length, &error), 0);
    char *second = strchr(content, '\n') + 1;
    char *third = strchr(second, '\n') + 1;
    memset(second, '\0', 20);
    third[0] = '[';
    put(content, length);
    struct sq_summary *summary = read_summary();
    assert_int_equal(summary->state.damaged, 2);
    assert_int_equal(sq_summary_exit_status(summary), SQ_EXIT_COMPLETED);
    sq_summary_free(summary);
    free(content);
}

static void expect_refusal(const char *text, const char *message)
{
    struct sq_record_reader *reader = NULL;
    struct sq_error error = {0};
    put(text, strlen(text));
    assert_int_equal(sq_record_reader_open(path, &reader, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, message) == NULL)
        fail_msg("%s", error.text);
    assert_null(reader);
}

static void test_what_is_no_record(void **state)
{
    (void)state;
    expect_refusal("", "is empty");
    expect_refusal("title: mine\n", "is no run record");
    expect_refusal("{\"format\":\"squall-plan\",\"version\":1}\n", "is no run record");
    expect_refusal("{\"format\":\"squall-run-record\",\"version\":3,\"squall\":\"9.1\"}\n", "squall 9.1");
    expect_refusal("{\"format\":\"squall-run-record\",\"versi", "is no run record");
    struct sq_error error = {0};
    struct sq_record_reader *reader = NULL;
    assert_int_equal(sq_record_reader_open("/nothing/here", &reader, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_int_equal(sq_record_reader_open(folder, &reader, &error), -1);
    assert_non_null(strstr(error.text, "directory"));
}

/* A document as squall 0.1.0 wrote it, and what it says. */
static void test_version_1(void **state)
{
    (void)state;
    static const char document[] =
        "{\n \"format\": \"squall-run-record\", \"version\": 1, \"squall\": \"0.1.0\",\n"
        " \"began\": \"2026-11-20T02:31:07.000Z\", \"id\": \"abcdef\", \"title\": \"T\", \"operator\": "
        "\"ann@ops1\",\n"
        " \"lease_s\": 10.0, \"hypothesis\": {\"title\": \"H\", \"probes\": [{\"name\": \"p\", \"promql\": "
        "\"up\",\n"
        "  \"tolerance\": \">= 1\"}]}, \"method\": [], \"plan\": [{\"name\": \"web1\", \"agent\": "
        "\"ipc:///a\",\n"
        "  \"faults\": [{\"step\": \"cut\", \"fault\": \"network.partition\"}]}],\n"
        " \"ending\": \"deviated\", \"exit_status\": 1, \"why\": \"it broke\", \"ended\": "
        "\"2026-11-20T02:31:17.000Z\",\n"
        " \"moments\": {\"injected\": \"2026-11-20T02:31:08.000Z\", \"last_allowed_miss\": "
        "\"2026-11-20T02:31:12.000Z\"},\n"
        " \"recovered\": true,\n"
        " \"hosts\": [{\"name\": \"web1\", \"ordered\": true, \"faults\": [{\"step\": \"cut\", \"fault\":\n"
        "  \"network.partition\", \"state\": \"REVERTED\", \"injected\": \"2026-11-20T02:31:08.000Z\"}]}],\n"
        " \"events\": [\n"
        "  {\"at\": \"2026-11-20T02:31:08.000Z\", \"t\": 1.0, \"type\": \"phase\", \"phase\": \"watch\"},\n"
        "  {\"at\": \"2026-11-20T02:31:09.000Z\", \"t\": 2.0, \"type\": \"measurement\", \"probe\": \"p\",\n"
        "   \"took_s\": 0.5, \"measured\": true, \"within\": false, \"value\": 0.0, \"reason\": \"bad\"}]}\n";
    put(document, sizeof(document) - 1);
    struct sq_summary *summary = read_summary();
    assert_int_equal(summary->state.version, 1);
    assert_string_equal(summary->state.squall, "0.1.0");
    assert_int_equal(sq_summary_exit_status(summary), SQ_EXIT_DEVIATED);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_INJECTED), 1000);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_LAST_ALLOWED_MISS), 5000);
    assert_int_equal(offset_ms(summary, SQ_MOMENT_FIRST_MISSED), 2500);
    assert_int_equal(summary->probes[0].counts[SQ_PROBE_DURING].misses, 1);
    assert_int_equal((summary->last_real_ns - summary->began_real_ns) / SQ_NS_PER_SECOND, 10);
    sq_summary_free(summary);
}

/* What can be read but once. */
static void test_fifo(void **state)
{
    (void)state;
    char fifo[128];
    char command[400];
    write_run();
    (void)snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    (void)snprintf(command, sizeof(command), "cat %s >%s &", path, fifo);
    assert_int_equal(system(command), 0);
    (void)strcpy(path, fifo);
    struct sq_summary *summary = read_summary();
    check_run(summary);
    sq_summary_free(summary);
}

static void make_run(const char *runs, uint64_t second, uint8_t first_digits)
{
    char file[256];
    struct sq_error error = {0};
    struct sq_record *record = NULL;
    told.head.id.bytes[0] = first_digits;
    told.head.id.bytes[15] = (uint8_t)second;
    if (sq_runs_make(runs, TOLD_REAL_NS + second * SQ_NS_PER_SECOND, &told.head.id, file, sizeof(file),
                     &error) != 0 ||
        sq_record_open(&told.head, file, &record, &error) != 0)
        fail_msg("%s", error.text);
    sq_record_close(record);
}

static void expect_found(const char *runs, const char *run, const char *end)
{
    char found[512];
    struct sq_error error = {0};
    if (sq_runs_find(runs, run, found, sizeof(found), &error) != 0)
        fail_msg("%s: %s", run, error.text);
    assert_true(strlen(found) > strlen(end));
    assert_string_equal(found + strlen(found) - strlen(end), end);
}

static void expect_none(const char *runs, const char *run, const char *message)
{
    char found[512];
    struct sq_error error = {0};
    assert_int_equal(sq_runs_find(runs, run, found, sizeof(found), &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    if (strstr(error.text, message) == NULL)
        fail_msg("%s: %s", run, error.text);
}

static void test_finding_a_run(void **state)
{
    (void)state;
    char runs[128];
    struct stat status;
    struct sq_error error = {0};
    char file[512];
    (void)snprintf(runs, sizeof(runs), "%s/runs", folder);
    expect_none(runs, "last", "No such file");
    make_run(runs, 2, 0xaa);
    make_run(runs, 1, 0xab);
    make_run(runs, 3, 0x0b);
    make_run(runs, 4, 0x0b);
    assert_int_equal(stat(runs, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    expect_found(runs, "last", "20251120T023111Z-0bcdef01/run.jsonl");
    expect_found(runs, "aa", "20251120T023109Z-aacdef01/run.jsonl");
    expect_found(runs, "ABcd", "20251120T023108Z-abcdef01/run.jsonl");
    expect_found(runs, "0bcdef01230000000000000000000003", "20251120T023110Z-0bcdef01/run.jsonl");
    expect_none(runs, "a", "2 runs");
    expect_none(runs, "0b", "2 runs");
    expect_none(runs, "77", "no run");
    expect_none(runs, "web1", "'web1'; expected a path");
    expect_none(runs, "web1", runs);
    (void)snprintf(file, sizeof(file), "%s/20251120T023111Z-0bcdef01", runs);
    expect_found(runs, file, "20251120T023111Z-0bcdef01/run.jsonl");
    (void)strcat(file, "/run.jsonl");
    expect_found("/nowhere", file, "20251120T023111Z-0bcdef01/run.jsonl");
    expect_found("/nowhere", "-", "");
    expect_none(runs, folder, "no run.jsonl");
    (void)snprintf(runs, sizeof(runs), "%s/no/runs", folder);
    assert_int_equal(sq_runs_make(runs, TOLD_REAL_NS, &told.head.id, file, sizeof(file), &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "--runs names another"));
}

#define READER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        READER_TEST(test_reads_what_was_written),
        READER_TEST(test_every_prefix),
        READER_TEST(test_killed_controller),
        READER_TEST(test_run_that_goes_on),
        READER_TEST(test_damaged_lines_are_counted),
        READER_TEST(test_what_is_no_record),
        READER_TEST(test_version_1),
        READER_TEST(test_fifo),
        READER_TEST(test_finding_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
