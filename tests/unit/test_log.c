/* libraries: sq_common */
#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What sq_log writes to standard error. */
static char *capture(enum sq_log_level level, const char *text)
{
    static char output[4096];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    (void)close(ends[1]);
    sq_log(level, "%s", text);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    size_t used = 0;
    for (ssize_t got; (got = read(ends[0], output + used, sizeof output - used - 1)) > 0;)
        used += (size_t)got;
    (void)close(ends[0]);
    output[used] = '\0';
    return output;
}

static void test_levels(void **state)
{
    (void)state;
    (void)unsetenv("JOURNAL_STREAM");
    sq_log_open("squalld", SQ_LOG_INFO);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "Z squalld[%d] warning: careful\n", (int)getpid());
    const char *line = capture(SQ_LOG_WARNING, "careful");
    assert_non_null(strstr(line, expected));
    assert_int_equal(line[4], '-');
    assert_int_equal(line[10], 'T');
    assert_non_null(strstr(capture(SQ_LOG_ERROR, "x"), " error: x\n"));
    assert_non_null(strstr(capture(SQ_LOG_INFO, "x"), " info: x\n"));
    assert_string_equal(capture(SQ_LOG_DEBUG, "x"), "");
    sq_log_open("squalld", SQ_LOG_DEBUG);
    assert_non_null(strstr(capture(SQ_LOG_DEBUG, "x"), " debug: x\n"));
    sq_log_open("squalld", SQ_LOG_ERROR);
    assert_string_equal(capture(SQ_LOG_WARNING, "x"), "");
}

static void test_no_line_can_be_forged(void **state)
{
    (void)state;
    (void)unsetenv("JOURNAL_STREAM");
    sq_log_open("squalld", SQ_LOG_INFO);
    const char *line = capture(SQ_LOG_INFO, "a\n2026-01-01T00:00:00.000Z squalld[1] error: forged\x1b[2J");
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_null(strchr(line, '\x1b'));
}

static void test_for_the_journal(void **state)
{
    (void)state;
    assert_int_equal(setenv("JOURNAL_STREAM", "8:1", 1), 0);
    sq_log_open("squalld", SQ_LOG_INFO);
    assert_string_equal(capture(SQ_LOG_WARNING, "careful"), "<4>careful\n");
    (void)unsetenv("JOURNAL_STREAM");
}

static void test_long_lines_are_cut(void **state)
{
    (void)state;
    static char text[3000];
    memset(text, 'x', sizeof text - 1);
    sq_log_open("a program's name that is much longer than there is room for", SQ_LOG_INFO);
    const char *line = capture(SQ_LOG_INFO, text);
    assert_true(strlen(line) < 1200);
    assert_int_equal(line[strlen(line) - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_no_line_can_be_forged),
        cmocka_unit_test(test_for_the_journal),
        cmocka_unit_test(test_long_lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
