/* libraries: sq_common */
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

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/sq-file-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf -- %s", directory);
    return system(command);
}

static const char *in_directory(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void test_write_and_read(void **state)
{
    (void)state;
    const char *path = in_directory("f");
    struct sq_error error = {0};
    assert_int_equal(sq_file_write(path, "one\0two", 7, 0600, &error), 0);
    char *content = NULL;
    size_t length = 0;
    assert_int_equal(sq_file_read(path, 7, &content, &length, &error), 0);
    assert_int_equal(length, 7);
    assert_memory_equal(content, "one\0two", 8);
    free(content);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);

    assert_int_equal(sq_file_write(path, "", 0, 0644, &error), 0);
    assert_int_equal(sq_file_read(path, 0, &content, &length, &error), 0);
    assert_int_equal(length, 0);
    assert_string_equal(content, "");
    free(content);
}

static void test_read_bounds(void **state)
{
    (void)state;
    const char *path = in_directory("large");
    static char large[10000];
    struct sq_error error = {0};
    memset(large, 'x', sizeof large);
    assert_int_equal(sq_file_write(path, large, sizeof large, 0600, &error), 0);
    char *content = NULL;
    size_t length = 0;
    assert_int_equal(sq_file_read(path, sizeof large, &content, &length, &error), 0);
    assert_int_equal(length, sizeof large);
    free(content);
    content = NULL;
    assert_int_equal(sq_file_read(path, sizeof large - 1, &content, &length, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_non_null(strstr(error.text, "larger than 9999 bytes"));
    assert_int_equal(sq_file_read("/dev/zero", 5000, &content, &length, &error), -1);
    assert_null(content);
    char small[16];
    assert_int_equal(sq_file_read_into(path, small, sizeof small), 15);
    assert_string_equal(small, "xxxxxxxxxxxxxxx");
    assert_int_equal(sq_file_read_into(in_directory("missing"), small, sizeof small), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(sq_file_read_into(directory, small, sizeof small), -1);
    assert_int_equal(errno, EISDIR);
}

static void test_proc_has_no_sizes(void **state)
{
    (void)state;
    char *content = NULL;
    size_t length = 0;
    struct sq_error error;
    assert_int_equal(sq_file_read("/proc/self/stat", 4096, &content, &length, &error), 0);
    assert_true(length > 20);
    free(content);
}

static void test_failures_say_the_path(void **state)
{
    (void)state;
    char *content = NULL;
    size_t length = 0;
    struct sq_error error = {0};
    assert_int_equal(sq_file_read("/nonexistent", 10, &content, &length, &error), -1);
    assert_int_equal(error.code, SQ_SYSTEM);
    assert_string_equal(error.text, "cannot open /nonexistent: No such file or directory");
    assert_int_equal(sq_file_write("/nonexistent/f", "x", 1, 0600, &error), -1);
    assert_non_null(strstr(error.text, "/nonexistent/f"));
    char monster[5000];
    memset(monster, 'x', sizeof monster - 1);
    monster[sizeof monster - 1] = '\0';
    assert_int_equal(sq_file_write(monster, "x", 1, 0600, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_int_equal(sq_directory_make(monster, 0700, &error), -1);
}

/* Over a directory the rename fails: the old content stays, and no temporary file is left behind. */
static void test_a_failed_write_leaves_nothing(void **state)
{
    (void)state;
    char place[128];
    (void)snprintf(place, sizeof place, "%s", in_directory("place"));
    struct sq_error error;
    assert_int_equal(sq_directory_make(in_directory("place/full"), 0700, &error), 0);
    assert_int_equal(sq_file_write(place, "x", 1, 0600, &error), -1);
    char temporary[200];
    (void)snprintf(temporary, sizeof temporary, "%s.new.%d", place, (int)getpid());
    assert_int_equal(access(temporary, F_OK), -1);
}

static void test_a_trap_is_not_followed(void **state)
{
    (void)state;
    char victim[128];
    (void)snprintf(victim, sizeof victim, "%s", in_directory("victim"));
    char path[128];
    (void)snprintf(path, sizeof path, "%s", in_directory("target"));
    char trap[200];
    (void)snprintf(trap, sizeof trap, "%s.new.%d", path, (int)getpid());
    struct sq_error error;
    assert_int_equal(sq_file_write(victim, "precious", 8, 0600, &error), 0);
    assert_int_equal(link(victim, trap), 0);
    assert_int_equal(sq_file_write(path, "x", 1, 0600, &error), 0);
    char content[16];
    assert_int_equal(sq_file_read_into(victim, content, sizeof content), 8);
    assert_string_equal(content, "precious");
}

static void test_directories(void **state)
{
    (void)state;
    struct sq_error error = {0};
    struct stat status;
    assert_int_equal(sq_directory_make(in_directory("a/b//c/"), 0750, &error), 0);
    assert_int_equal(stat(in_directory("a/b/c"), &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(sq_directory_make(in_directory("a/b/c"), 0750, &error), 0);
    assert_int_equal(sq_directory_make("/", 0750, &error), 0);
    assert_int_equal(sq_directory_make("", 0750, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_int_equal(sq_file_write(in_directory("a/f"), "x", 1, 0600, &error), 0);
    assert_int_equal(sq_directory_make(in_directory("a/f"), 0750, &error), -1);
    assert_non_null(strstr(error.text, "Not a directory"));
    assert_int_equal(sq_directory_make(in_directory("a/f/g"), 0750, &error), -1);
}

static void test_write_all(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_int_equal(sq_write_all(full, "x", 1), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(sq_write_all(full, "x", 0), 0);
    (void)close(full);
    struct sq_error error = {0};
    assert_int_equal(sq_file_write("/dev/full/x", "x", 1, 0600, &error), -1);
    assert_int_equal(error.code, SQ_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_read_bounds),
        cmocka_unit_test(test_proc_has_no_sizes),
        cmocka_unit_test(test_failures_say_the_path),
        cmocka_unit_test(test_a_failed_write_leaves_nothing),
        cmocka_unit_test(test_a_trap_is_not_followed),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_write_all),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
