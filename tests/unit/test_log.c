/* libraries: sq_common */
#include "common/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

/* All that `fd` holds now. */
static void drain(int fd, char *text, size_t size)
{
    size_t used = 0;
    ssize_t got = 0;
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (used + 1 < size && (got = read(fd, text + used, size - used - 1)) > 0)
        used += (size_t)got;
    text[used] = '\0';
}

/* Far more lines than fit, into what nobody reads. */
static void log_into(int read_fd, int write_fd)
{
    static char text[1 << 20];
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && dup2(write_fd, STDERR_FILENO) >= 0);
    sq_log_open("squalld", SQ_LOG_INFO);
    sq_log_never_wait();
    (void)alarm(20);
    for (int i = 0; i < 5000; i++)
        sq_log(SQ_LOG_INFO, "%0200d", i);
    (void)alarm(0);
    drain(read_fd, text, sizeof text);
    assert_non_null(strstr(text, "info: 0"));
    sq_log(SQ_LOG_INFO, "somebody reads again");
    drain(read_fd, text, sizeof text);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    assert_non_null(strstr(text, " lines of the log were lost"));
    assert_non_null(strstr(text, "somebody reads again"));
    /* Nobody else's descriptor has changed. */
    assert_int_equal(fcntl(write_fd, F_GETFL) & O_NONBLOCK, 0);
    (void)close(saved);
    (void)close(read_fd);
    (void)close(write_fd);
}

static void test_nobody_reads(void **state)
{
    (void)state;
    int ends[2];
    (void)unsetenv("JOURNAL_STREAM");
    assert_int_equal(pipe(ends), 0);
    log_into(ends[0], ends[1]);
    /* The journal's. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    log_into(ends[0], ends[1]);
    /* A terminal. */
    ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(ends[0] >= 0 && grantpt(ends[0]) == 0 && unlockpt(ends[0]) == 0);
    ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
    assert_true(ends[1] >= 0);
    log_into(ends[0], ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),          cmocka_unit_test(test_no_line_can_be_forged),
        cmocka_unit_test(test_for_the_journal), cmocka_unit_test(test_long_lines_are_cut),
        cmocka_unit_test(test_nobody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
