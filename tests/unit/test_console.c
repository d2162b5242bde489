/* libraries: sq_commands sq_common */
#include "screen/console.h"
#include "screen/style.h"

#include "common/clock.h"

#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

static char text[1 << 21];

static struct sq_console *open_console(int fd, bool live)
{
    struct sq_console *console = NULL;
    assert_int_equal(sq_console_open(fd, live, &console, NULL), 0);
    return console;
}

/* What has come out so far. */
static size_t drain(int fd)
{
    size_t length = 0;
    ssize_t count;
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (length < sizeof(text) - 1 && (count = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)count;
    text[length] = '\0';
    return length;
}

static void test_lines(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct sq_console *console = open_console(fds[1], false);
    sq_console_line(console, "one %d", 1);
    sq_console_view(console, "never shown\n");
    sq_console_line(console, "\033[31mred\033[0m a\nb\tc\033Xd\x7f");
    assert_false(sq_console_wants_to_write(console));
    (void)drain(fds[0]);
    assert_string_equal(text, "one 1\n\033[31mred\033[0m a?b?c?Xd?\n");
    sq_console_close(console, 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void test_a_reader_that_does_not_read_delays_nothing(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct sq_console *console = open_console(fds[1], false);
    uint64_t began_boot_ns = sq_boot_ns();
    for (int i = 0; i < 100000; i++)
        sq_console_line(console, "line %d", i);
    assert_true(sq_boot_ns() - began_boot_ns < 5 * SQ_NS_PER_SECOND);
    assert_true(sq_console_wants_to_write(console));
    assert_false(sq_console_is_broken(console));
    /* What fitted comes in order and whole once somebody reads. */
    size_t lines = 0;
    size_t length = drain(fds[0]);
    while (length > 0) {
        for (char *line = strtok(text, "\n"); line != NULL && lines < 50;
             line = strtok(NULL, "\n"), lines++) {
            char expected[32];
            (void)snprintf(expected, sizeof(expected), "line %zu", lines);
            assert_string_equal(line, expected);
        }
        sq_console_flush(console);
        length = drain(fds[0]);
    }
    assert_int_equal(lines, 50);
    began_boot_ns = sq_boot_ns();
    for (int i = 0; i < 20000; i++)
        sq_console_line(console, "again %d", i);
    sq_console_close(console, 100 * SQ_NS_PER_MILLISECOND);
    assert_true(sq_boot_ns() - began_boot_ns < 5 * SQ_NS_PER_SECOND);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void test_a_closed_pipe_is_noticed(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct sq_console *console = open_console(fds[1], false);
    sq_console_line(console, "one");
    assert_false(sq_console_is_broken(console));
    (void)close(fds[0]);
    sq_console_line(console, "two");
    assert_true(sq_console_is_broken(console));
    assert_false(sq_console_wants_to_write(console));
    sq_console_close(console, SQ_NS_PER_SECOND);
    (void)close(fds[1]);
}

static void test_a_lost_terminal_is_noticed(void **state)
{
    int master;
    int terminal;
    (void)state;
    assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    struct sq_console *console = open_console(terminal, true);
    sq_console_line(console, "one");
    (void)close(master);
    sq_console_line(console, "two");
    assert_true(sq_console_is_broken(console));
    sq_console_close(console, SQ_NS_PER_SECOND);
    (void)close(terminal);
}

static void set_columns(int terminal, unsigned short columns)
{
    struct winsize size = {.ws_col = columns, .ws_row = 24};
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
}

static void test_the_view_is_redrawn_in_place(void **state)
{
    int master;
    int terminal;
    uint32_t columns;
    uint32_t rows;
    (void)state;
    assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    set_columns(terminal, 40);
    struct sq_console *console = open_console(terminal, true);
    sq_console_size(console, &columns, &rows);
    assert_int_equal(columns, 40);
    assert_int_equal(rows, 24);
    sq_console_view(console, "first\nsecond\n");
    (void)drain(master);
    assert_string_equal(text, "first\r\nsecond\r\n");
    /* The same again draws nothing. */
    sq_console_view(console, "first\nsecond\n");
    assert_int_equal(drain(master), 0);
    sq_console_view(console, "third\n");
    (void)drain(master);
    assert_string_equal(text, "\r\033[2A\033[Jthird\r\n");
    /* A line goes above the view. */
    sq_console_line(console, "news");
    sq_console_flush(console);
    (void)drain(master);
    assert_string_equal(text, "\r\033[1A\033[Jnews\r\nthird\r\n");
    /* In a window that became narrow, the old view takes more rows: 16 columns, not counting colours, in 10.
     */
    sq_console_view(console, "\033[31m0123456789\033[0mabcdef\n");
    (void)drain(master);
    set_columns(terminal, 10);
    sq_console_view(console, "x\n");
    (void)drain(master);
    assert_string_equal(text, "\r\033[2A\033[Jx\r\n");
    /* Six characters of two columns each are twelve: two rows. */
    sq_console_view(console, "\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\xe6\x97\xa5\xe6\x9c\xac\n");
    (void)drain(master);
    sq_console_close(console, SQ_NS_PER_SECOND);
    (void)drain(master);
    assert_string_equal(text, "\r\033[2A\033[J");
    (void)close(terminal);
    (void)close(master);
}

/* A full disk is nobody's loss: what is lost is told at the end, and the run goes on. */
static void test_a_full_disk_is_no_lost_reader(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    struct sq_console *console = open_console(full, false);
    assert_false(sq_console_is_cut(console));
    sq_console_line(console, "lost");
    assert_true(sq_console_is_cut(console));
    assert_false(sq_console_is_broken(console));
    assert_false(sq_console_wants_to_write(console));
    sq_console_close(console, SQ_NS_PER_SECOND);
    (void)close(full);
}

/* A view without escape sequences would be a heap of lines: none at all is better. */
static void test_what_no_terminal_is_said_to_be(void **state)
{
    (void)state;
    assert_int_equal(setenv("TERM", "xterm", 1), 0);
    assert_true(sq_style_terminal_is_capable());
    assert_int_equal(setenv("TERM", "dumb", 1), 0);
    assert_false(sq_style_terminal_is_capable());
    assert_int_equal(setenv("TERM", "", 1), 0);
    assert_false(sq_style_terminal_is_capable());
    assert_int_equal(unsetenv("TERM"), 0);
    assert_false(sq_style_terminal_is_capable());
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_a_reader_that_does_not_read_delays_nothing),
        cmocka_unit_test(test_a_closed_pipe_is_noticed),
        cmocka_unit_test(test_a_lost_terminal_is_noticed),
        cmocka_unit_test(test_the_view_is_redrawn_in_place),
        cmocka_unit_test(test_a_full_disk_is_no_lost_reader),
        cmocka_unit_test(test_what_no_terminal_is_said_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
