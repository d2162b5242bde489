/* libraries: sq_commands sq_common PkgConfig::JANSSON */
#include "record/record.h"

#include "common/file.h"
#include "json/json.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char path[128];

static int set_up(void **state)
{
    (void)state;
    (void)strcpy(folder, "/tmp/sq-test-record-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/a/b/run.json", folder);
    return 0;
}

static int tear_down(void **state)
{
    char part[160];
    (void)state;
    (void)unlink(path);
    (void)snprintf(part, sizeof(part), "%s/a/b", folder);
    (void)rmdir(part);
    (void)snprintf(part, sizeof(part), "%s/a", folder);
    (void)rmdir(part);
    return rmdir(folder);
}

static struct sq_record *open_record(void)
{
    struct sq_record *record = NULL;
    struct sq_error error = {0};
    if (sq_record_open(path, &record, &error) != 0)
        fail_msg("%s", error.text);
    return record;
}

static json_t *load(void)
{
    json_error_t problem;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL)
        fail_msg("line %d: %s", problem.line, problem.text);
    assert_string_equal(json_string_value(json_object_get(root, "format")), SQ_RECORD_FORMAT);
    assert_int_equal(json_integer_value(json_object_get(root, "version")), SQ_RECORD_VERSION);
    return root;
}

static void test_is_json_from_the_beginning(void **state)
{
    (void)state;
    struct sq_record *record = open_record();
    json_t *root = load();
    assert_int_equal(json_array_size(json_object_get(root, "events")), 0);
    assert_true(json_is_array(json_object_get(root, "events")));
    json_decref(root);
    sq_record_close(record);
}

/* A thread that took signals would take them from the run, and end it without a rollback. */
static void test_its_thread_takes_no_signals(void **state)
{
    (void)state;
    struct sq_record *record = open_record();
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    uint32_t others = 0;
    assert_non_null(tasks);
    while ((task = readdir(tasks)) != NULL) {
        char name[300];
        char status[4096];
        unsigned long long blocked = 0;
        if (task->d_name[0] == '.' || atoi(task->d_name) == getpid())
            continue;
        (void)snprintf(name, sizeof(name), "/proc/self/task/%s/status", task->d_name);
        assert_true(sq_file_read_into(name, status, sizeof(status)) > 0);
        const char *line = strstr(status, "SigBlk:");
        assert_non_null(line);
        assert_int_equal(sscanf(line, "SigBlk: %llx", &blocked), 1);
        for (int number = 1; number < 32; number++)
            assert_true(number == SIGKILL || number == SIGSTOP || (blocked >> (number - 1) & 1) == 1);
        others++;
    }
    (void)closedir(tasks);
    assert_true(others >= 1);
    sq_record_close(record);
}

static void test_events_stand_in_order(void **state)
{
    (void)state;
    struct sq_error error = {0};
    struct sq_record *record = open_record();
    uint64_t now_boot_ns = sq_boot_ns();
    for (int i = 0; i < 1000; i++) {
        json_t *fields = json_object();
        assert_int_equal(json_object_set_new(fields, "i", json_integer(i)), 0);
        assert_int_equal(json_object_set_new(fields, "nan", sq_json_number(NAN)), 0);
        assert_int_equal(json_object_set_new(fields, "inf", sq_json_number(INFINITY)), 0);
        assert_int_equal(json_object_set_new(fields, "v", sq_json_number(0.5)), 0);
        sq_record_event(record, now_boot_ns + (uint64_t)i * 1000000, "measurement", fields);
    }
    sq_record_event(record, now_boot_ns, "bare", NULL);
    sq_record_set(record, "title", json_string("quote \" and \xc3\xa9"));
    assert_int_equal(sq_record_finish(record, &error), 0);
    json_t *root = load();
    json_t *events = json_object_get(root, "events");
    assert_int_equal(json_array_size(events), 1001);
    for (size_t i = 0; i < 1000; i++) {
        json_t *event = json_array_get(events, i);
        assert_int_equal(json_integer_value(json_object_get(event, "i")), i);
        assert_true(json_is_null(json_object_get(event, "nan")));
        assert_true(json_is_null(json_object_get(event, "inf")));
        assert_true(json_real_value(json_object_get(event, "v")) == 0.5);
        assert_int_equal(strlen(json_string_value(json_object_get(event, "at"))),
                         strlen("2026-11-20T02:31:07.123Z"));
    }
    assert_string_equal(json_string_value(json_object_get(json_array_get(events, 1000), "type")), "bare");
    assert_string_equal(json_string_value(json_object_get(root, "title")), "quote \" and \xc3\xa9");
    assert_null(json_object_get(root, "out_of_memory"));
    json_decref(root);
    sq_record_close(record);
}

static void test_saves_beside_the_run(void **state)
{
    (void)state;
    struct sq_record *record = open_record();
    sq_record_event(record, sq_boot_ns(), "phase", NULL);
    sq_record_save(record);
    sq_record_close(record); /* waits for the thread, adds nothing */
    json_t *root = load();
    assert_int_equal(json_array_size(json_object_get(root, "events")), 1);
    json_decref(root);
}

static void test_saves_now_and_then(void **state)
{
    (void)state;
    struct sq_record *record = open_record();
    uint64_t now_boot_ns = sq_boot_ns();
    sq_record_save_sometimes(record, now_boot_ns);
    sq_record_event(record, now_boot_ns, "phase", NULL);
    for (int i = 0; i < 100; i++)
        sq_record_save_sometimes(record, now_boot_ns);
    sq_record_save_sometimes(record, now_boot_ns + 10 * SQ_NS_PER_SECOND);
    sq_record_close(record);
    json_t *root = load();
    assert_int_equal(json_array_size(json_object_get(root, "events")), 1);
    json_decref(root);
}

static void test_missing_values_are_told(void **state)
{
    (void)state;
    struct sq_error error = {0};
    struct sq_record *record = open_record();
    sq_record_set(record, "lost", NULL);
    assert_int_equal(sq_record_finish(record, &error), 0);
    json_t *root = load();
    assert_true(json_is_true(json_object_get(root, "out_of_memory")));
    json_decref(root);
    sq_record_close(record);
}

static void test_unwritable_place(void **state)
{
    (void)state;
    struct sq_error error = {0};
    struct sq_record *record = NULL;
    assert_int_equal(sq_record_open("/proc/nothing/run.json", &record, &error), -1);
    assert_non_null(strstr(error.text, "/proc/nothing/run.json"));
    assert_null(record);
    assert_int_equal(sq_record_open("/proc/run.json", &record, &error), -1);
    assert_null(record);
    record = open_record();
    sq_record_close(record);
}

static void test_default_path(void **state)
{
    char text[128];
    (void)state;
    sq_record_default_path(UINT64_C(1700000000) * SQ_NS_PER_SECOND, "0123456789abcdef", text, sizeof(text));
    assert_string_equal(text, "squall-runs/20231114T221320Z-01234567/run.json");
}

#define RECORD_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORD_TEST(test_is_json_from_the_beginning), RECORD_TEST(test_its_thread_takes_no_signals),
        RECORD_TEST(test_events_stand_in_order),      RECORD_TEST(test_saves_beside_the_run),
        RECORD_TEST(test_saves_now_and_then),         RECORD_TEST(test_missing_values_are_told),
        RECORD_TEST(test_unwritable_place),           cmocka_unit_test(test_default_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
