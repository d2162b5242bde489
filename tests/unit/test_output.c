/* libraries: sq_common */
#include "common/output.h"

#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/sq-output-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf -- %s", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static bool is_own(const char *beginning, size_t length)
{
    return length >= 4 && strncmp(beginning, "OURS", 4) == 0;
}

static const struct sq_output_form form = {.what = "list", .mode = 0600, .is_own = is_own};

static void put(const char *path, const char *text, mode_t mode)
{
    struct sq_error error = {0};
    assert_int_equal(sq_file_write(path, text, strlen(text), mode, &error), 0);
}

static void expect_content(const char *path, const char *text)
{
    char content[256];
    assert_int_equal(sq_file_read_into(path, content, sizeof content), strlen(text));
    assert_string_equal(content, text);
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    return status.st_mode;
}

/* Both ways of writing, for what they have in common. */
static int write_both(const char *path, const char *text, struct sq_error *error)
{
    bool stream;
    int fd = -1;
    struct sq_error other = {0};
    int opened = sq_output_open(path, &form, &fd, &stream, &other);
    if (opened == 0) {
        assert_int_equal(sq_output_write(fd, text, strlen(text), 0), strlen(text));
        (void)close(fd);
    }
    int written = sq_output_write_file(path, &form, text, strlen(text), error);
    assert_int_equal(opened, written);
    if (opened != 0) {
        assert_int_equal(other.code, error->code);
        assert_string_equal(other.text, error->text);
    }
    return written;
}

static void test_new_file_has_its_mode(void **state)
{
    (void)state;
    struct sq_error error = {0};
    const char *path = in_folder("new");
    assert_int_equal(write_both(path, "OURS 1", &error), 0);
    expect_content(path, "OURS 1");
    assert_int_equal(mode_of(path) & 0777, 0600);
    assert_int_equal(write_both(path, "OURS", &error), 0);
    expect_content(path, "OURS");
}

static void test_what_others_wrote_stays(void **state)
{
    (void)state;
    struct sq_error error = {0};
    const char *path = in_folder("experiment.yaml");
    put(path, "title: mine", 0644);
    assert_int_equal(write_both(path, "OURS", &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "no list of squall's"));
    expect_content(path, "title: mine");
    const char *link = in_folder("link");
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(write_both(link, "OURS", &error), -1);
    expect_content(path, "title: mine");
}

/* What is wrong with a path is told beforehand, in the same words, and checking leaves nothing. */
static void test_checked_beforehand(void **state)
{
    (void)state;
    struct sq_error error = {0};
    const char *theirs = in_folder("experiment.yaml");
    const char *new = in_folder("new");
    put(theirs, "title: mine", 0644);
    static const char *const wrong[] = {".", "/dev/null/x", "/nowhere/at/all"};
    for (size_t i = 0; i < 3; i++) {
        struct sq_error other = {0};
        assert_int_equal(sq_output_check(wrong[i], &form, &error), -1);
        assert_int_equal(error.code, SQ_BAD_INPUT);
        assert_int_equal(sq_output_write_file(wrong[i], &form, "OURS", 4, &other), -1);
        assert_string_equal(other.text, error.text);
    }
    assert_int_equal(sq_output_check(in_folder("no/"), &form, &error), -1);
    assert_int_equal(sq_output_check(theirs, &form, &error), -1);
    assert_non_null(strstr(error.text, "no list of squall's"));
    assert_int_equal(sq_output_check("/dev/null", &form, &error), 0);
    assert_int_equal(sq_output_check(new, &form, &error), 0);
    assert_int_equal(access(new, F_OK), -1);
}

static void test_own_file_becomes_as_secret_as_a_new_one(void **state)
{
    (void)state;
    struct sq_error error = {0};
    bool stream;
    int fd;
    const char *path = in_folder("old");
    put(path, "OURS of a version that let everybody read", 0644);
    assert_int_equal(sq_output_open(path, &form, &fd, &stream, &error), 0);
    assert_false(stream);
    assert_int_equal(mode_of(path) & 0777, 0600);
    expect_content(path, "");
    (void)close(fd);
}

static void test_symbolic_link_stays(void **state)
{
    (void)state;
    struct sq_error error = {0};
    const char *link = in_folder("link");
    assert_int_equal(symlink("target", link), 0);
    assert_int_equal(write_both(link, "OURS", &error), 0);
    assert_true(S_ISLNK(mode_of(link)));
    expect_content(in_folder("target"), "OURS");
}

static void test_device_stays(void **state)
{
    (void)state;
    struct sq_error error = {0};
    assert_int_equal(write_both("/dev/null", "OURS", &error), 0);
    assert_true(S_ISCHR(mode_of("/dev/null")));
    assert_int_equal(sq_output_write_file("/dev/full", &form, "OURS", 4, &error), -1);
    assert_int_equal(error.code, SQ_SYSTEM);
    assert_non_null(strstr(error.text, "No space left"));
    assert_true(S_ISCHR(mode_of("/dev/full")));
}

static void test_fifo_without_reader_is_refused(void **state)
{
    (void)state;
    struct sq_error error = {0};
    const char *path = in_folder("fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(write_both(path, "OURS", &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "nobody reads"));
}

static void test_fifo_is_written_and_waits_within_bounds(void **state)
{
    (void)state;
    struct sq_error error = {0};
    char text[16];
    bool stream = false;
    int fd;
    const char *path = in_folder("fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(sq_output_open(path, &form, &fd, &stream, &error), 0);
    assert_true(stream);
    assert_int_equal(sq_output_write(fd, "OURS", 4, 0), 4);
    assert_int_equal(read(reader, text, sizeof text), 4);
    static char much[1u << 20];
    assert_true(sq_output_write(fd, much, sizeof much, 1) < sizeof much);
    assert_int_equal(errno, ETIMEDOUT);
    (void)close(reader);
    (void)close(fd);
}

static void test_two_writers(void **state)
{
    (void)state;
    struct sq_error error = {0};
    bool stream;
    int first;
    int second;
    const char *path = in_folder("shared");
    assert_int_equal(sq_output_open(path, &form, &first, &stream, &error), 0);
    assert_int_equal(sq_output_write(first, "OURS", 4, 0), 4);
    assert_int_equal(sq_output_open(path, &form, &second, &stream, &error), -1);
    assert_non_null(strstr(error.text, "another squall"));
    expect_content(path, "OURS");
    (void)close(first);
}

static void test_wrong_places(void **state)
{
    (void)state;
    struct sq_error error = {0};
    assert_int_equal(write_both(folder, "OURS", &error), -1);
    assert_non_null(strstr(error.text, "is a folder"));
    bool stream;
    int fd;
    assert_int_equal(sq_output_open(in_folder("no/such/folder"), &form, &fd, &stream, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_int_equal(access(in_folder("no"), F_OK), -1);
}

#define OUTPUT_TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OUTPUT_TEST(test_new_file_has_its_mode),
        OUTPUT_TEST(test_what_others_wrote_stays),
        OUTPUT_TEST(test_checked_beforehand),
        OUTPUT_TEST(test_own_file_becomes_as_secret_as_a_new_one),
        OUTPUT_TEST(test_symbolic_link_stays),
        OUTPUT_TEST(test_device_stays),
        OUTPUT_TEST(test_fifo_without_reader_is_refused),
        OUTPUT_TEST(test_fifo_is_written_and_waits_within_bounds),
        OUTPUT_TEST(test_two_writers),
        OUTPUT_TEST(test_wrong_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
