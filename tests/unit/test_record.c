/* libraries: sq_record PkgConfig::JANSSON Threads::Threads */
#include "told_folder.h"

#include "common/file.h"
#include "common/output.h"
#include "record/writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct sq_record *open_record(const char *where)
{
    struct sq_record *record = NULL;
    struct sq_error error = {0};
    if (sq_record_open(&told.head, where, &record, &error) != 0)
        fail_msg("%s", error.text);
    return record;
}

static void finish(struct sq_record *record)
{
    struct sq_error error = {0};
    if (sq_record_finish(record, &error) != 0)
        fail_msg("%s", error.text);
}

/* Every line of the file is an object and ends; returns how many, and the last one. */
static uint32_t check_lines(json_t **last)
{
    char *content = NULL;
    size_t length = 0;
    uint32_t count = 0;
    struct sq_error error = {0};
    assert_int_equal(sq_file_read(path, 1u << 24, &content, &length, &error), 0);
    assert_true(length > 0 && content[length - 1] == '\n');
    *last = NULL;
    for (char *line = content; *line != '\0'; count++) {
        char *end = strchr(line, '\n');
        json_decref(*last);
        *last = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        assert_true(json_is_object(*last));
        line = end + 1;
    }
    free(content);
    return count;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void test_head_is_there_at_once(void **state)
{
    (void)state;
    struct sq_record *record = open_record(path);
    json_t *head;
    assert_int_equal(check_lines(&head), 1);
    assert_string_equal(text_of(head, "format"), SQ_RECORD_FORMAT);
    assert_int_equal(json_integer_value(json_object_get(head, "version")), SQ_RECORD_VERSION);
    assert_string_equal(text_of(head, "began"), "2025-11-20T02:31:07.123Z");
    assert_string_equal(text_of(head, "operator"), "ann@ops1");
    assert_int_equal(json_array_size(json_object_get(head, "method")), 1);
    json_decref(head);
    sq_record_close(record);
}

static void test_mode_and_secrets(void **state)
{
    (void)state;
    struct stat status;
    char content[8192];
    struct sq_record *record = open_record(path);
    tell_run(sq_record_observer(record));
    finish(record);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_true(sq_file_read_into(path, content, sizeof(content)) > 0);
    assert_null(strstr(content, "secret"));
    assert_non_null(strstr(content, "10.77.0.20:9090"));
    sq_record_close(record);
}

/* A thread that took signals would take them from the run, and end it without a rollback. */
static void test_its_thread_takes_no_signals(void **state)
{
    (void)state;
    struct sq_record *record = open_record(path);
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

static void test_lines_of_a_run(void **state)
{
    (void)state;
    json_t *last;
    struct sq_record *record = open_record(path);
    tell_run(sq_record_observer(record));
    finish(record);
    /* The head; per host a plan, two requests, two states and a result; phases, measurements, decisions; the
     * end. */
    assert_int_equal(check_lines(&last), 1 + TOLD_HOSTS * 6 + 7 + 7 + 2 + 1);
    assert_string_equal(text_of(last, "type"), "ending");
    assert_string_equal(text_of(last, "ending"), "completed");
    assert_int_equal(json_integer_value(json_object_get(last, "exit_status")), 0);
    json_decref(last);
    sq_record_close(record);
}

static void test_what_came_is_on_the_file_before_the_end(void **state)
{
    (void)state;
    json_t *last;
    struct sq_record *record = open_record(path);
    struct sq_observer observer = sq_record_observer(record);
    tell_beginning(observer);
    tell_decision(observer, 2100, "deviated", "it broke");
    assert_true(sq_record_wait(record, 10 * SQ_NS_PER_SECOND));
    assert_int_equal(check_lines(&last), 1 + TOLD_HOSTS * 5 + 4 + 4 + 1);
    assert_string_equal(text_of(last, "type"), "decision");
    json_decref(last);
    sq_record_close(record);
}

/* A value keeps every digit that tells it from others; what is short stays short. */
static void test_digits(void **state)
{
    (void)state;
    char content[8192];
    struct sq_record *record = open_record(path);
    tell_measurement(sq_record_observer(record), 11, 0, SQ_PHASE_WATCH, 0.1 + 0.2, "");
    tell_measurement(sq_record_observer(record), 11, 0, SQ_PHASE_WATCH, 0.98, "");
    finish(record);
    assert_true(sq_file_read_into(path, content, sizeof(content)) > 0);
    assert_non_null(strstr(content, "\"value\":0.30000000000000004,"));
    assert_non_null(strstr(content, "\"t\":0.011,"));
    assert_non_null(strstr(content, "\"value\":0.98,"));
    sq_record_close(record);
}

static void test_ending_before_the_beginning(void **state)
{
    (void)state;
    json_t *last;
    struct sq_record *record = open_record(path);
    sq_record_end_early(record, SQ_EXIT_REFUSED, "web2: its policy says no");
    finish(record);
    assert_int_equal(check_lines(&last), 2);
    assert_string_equal(text_of(last, "ending"), "refused");
    assert_int_equal(sq_summary_exit_status(sq_record_summary(record)), SQ_EXIT_REFUSED);
    json_decref(last);
    sq_record_close(record);
}

static void test_replaces_a_record_and_nothing_else(void **state)
{
    (void)state;
    struct sq_error error = {0};
    struct sq_record *record = open_record(path);
    json_t *last;
    finish(record);
    sq_record_close(record);
    record = open_record(path);
    finish(record);
    sq_record_close(record);
    assert_int_equal(check_lines(&last), 1);
    json_decref(last);
    assert_int_equal(sq_file_write(path, "title: mine\n", 12, 0644, &error), 0);
    record = NULL;
    assert_int_equal(sq_record_open(&told.head, path, &record, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_null(record);
    char content[64];
    assert_int_equal(sq_file_read_into(path, content, sizeof(content)), 12);
}

static void test_places_that_cannot_be_written(void **state)
{
    (void)state;
    struct sq_error error = {0};
    struct sq_record *record = NULL;
    assert_int_equal(sq_record_open(&told.head, "/proc/nothing/run.jsonl", &record, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "/proc/nothing/run.jsonl"));
    assert_int_equal(sq_record_open(&told.head, "/dev/full", &record, &error), -1);
    assert_int_equal(error.code, SQ_SYSTEM);
    assert_non_null(strstr(error.text, "No space left"));
    assert_null(record);
}

static void test_device(void **state)
{
    (void)state;
    struct sq_record *record = open_record("/dev/null");
    tell_run(sq_record_observer(record));
    finish(record);
    assert_int_equal(sq_summary_exit_status(sq_record_summary(record)), 0);
    sq_record_close(record);
}

/* The reader of a FIFO reads the first line and then no more: nothing waits, and the end says so. */
static void test_reader_that_does_not_read(void **state)
{
    (void)state;
    struct sq_error error = {0};
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    struct sq_record *record = open_record(path);
    struct sq_observer observer = sq_record_observer(record);
    uint64_t began_boot_ns = sq_boot_ns();
    for (int i = 0; i < 1000; i++)
        tell_measurement(observer, 1, 0, SQ_PHASE_WATCH, 1, "");
    assert_true(sq_boot_ns() - began_boot_ns < SQ_NS_PER_SECOND);
    tell_ending(observer, 7000, SQ_EXIT_COMPLETED, "it held");
    assert_int_equal(sq_record_finish(record, &error), -1);
    assert_non_null(strstr(error.text, "in time"));
    assert_int_equal(sq_record_summary(record)->probes[0].counts[SQ_PROBE_DURING].samples, 1000);
    assert_int_equal(sq_summary_exit_status(sq_record_summary(record)), 0);
    sq_record_close(record);
    (void)close(reader);
}

static void limit_file(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What is done to the file while it is written: `path` is no whole record in the end, and that is said. */
static void finish_not_whole(void (*disturb)(void), const char *why)
{
    struct sq_error error = {0};
    struct sq_record *record = open_record(path);
    assert_true(sq_record_wait(record, 10 * SQ_NS_PER_SECOND));
    disturb();
    tell_run(sq_record_observer(record));
    assert_int_equal(sq_record_finish(record, &error), -1);
    assert_non_null(strstr(error.text, why));
    assert_int_equal(sq_summary_exit_status(sq_record_summary(record)), 0);
    sq_record_close(record);
}

static void take_away(void)
{
    assert_int_equal(unlink(path), 0);
}

static void put_another(void)
{
    char other[140];
    (void)snprintf(other, sizeof(other), "%s.1", path);
    assert_int_equal(rename(path, other), 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void cut_short(void)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void test_file_that_is_not_there_any_more(void **state)
{
    (void)state;
    finish_not_whole(take_away, "it was taken away while it was written: No such file or directory");
    finish_not_whole(put_another, "another file has taken its place");
    finish_not_whole(cut_short, "somebody cut it short");
}

/* After a line that was cut by a full disk the next one stands alone. */
static void test_lines_after_a_torn_one(void **state)
{
    (void)state;
    char text[256] = "";
    struct sq_error error = {0};
    struct sq_writer *writer = NULL;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_int_equal(sq_writer_open(fd, false, &writer, &error), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    limit_file(10);
    sq_writer_add(writer, "first\n", 6, false);
    sq_writer_add(writer, "second\n", 7, true);
    assert_true(sq_writer_wait(writer, 10 * SQ_NS_PER_SECOND));
    limit_file(RLIM_INFINITY);
    sq_writer_add(writer, "third\n", 6, false);
    assert_int_equal(sq_writer_close(writer, 10 * SQ_NS_PER_SECOND, &error), -1);
    assert_non_null(strstr(error.text, "File too large"));
    assert_true(sq_file_read_into(path, text, sizeof(text)) > 0);
    assert_string_equal(text, "first\nseco\nthird\n");
}

static void test_what_finds_no_room_is_lost_and_told(void **state)
{
    (void)state;
    int ends[2];
    struct sq_error error = {0};
    struct sq_writer *writer = NULL;
    size_t length = 1u << 20;
    char *line = calloc(1, length);
    memset(line, 'x', length);
    line[length - 1] = '\n';
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(sq_writer_open(ends[1], true, &writer, &error), 0);
    for (int i = 0; i < 40; i++)
        sq_writer_add(writer, line, length, false);
    assert_false(sq_writer_fits(writer, length));
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(sq_writer_close(writer, 50 * SQ_NS_PER_MILLISECOND, &error), -1);
    assert_non_null(strstr(error.text, "in time"));
    (void)close(ends[0]);
    free(line);
}

#define RECORD_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORD_TEST(test_head_is_there_at_once),
        RECORD_TEST(test_mode_and_secrets),
        RECORD_TEST(test_its_thread_takes_no_signals),
        RECORD_TEST(test_lines_of_a_run),
        RECORD_TEST(test_what_came_is_on_the_file_before_the_end),
        RECORD_TEST(test_ending_before_the_beginning),
        RECORD_TEST(test_digits),
        RECORD_TEST(test_replaces_a_record_and_nothing_else),
        RECORD_TEST(test_places_that_cannot_be_written),
        RECORD_TEST(test_device),
        RECORD_TEST(test_reader_that_does_not_read),
        RECORD_TEST(test_file_that_is_not_there_any_more),
        RECORD_TEST(test_lines_after_a_torn_one),
        RECORD_TEST(test_what_finds_no_room_is_lost_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
