/* libraries: sq_screen sq_record PkgConfig::JANSSON */
/* What a person sees of a run that is told by hand, by the clock of a played loop: lines and the live view.
 */
#include "told_run.h"

#include "screen/run_screen.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>

static struct sq_loop *loop;
static struct sq_console *console;
static struct sq_run_screen *screen;
static struct sq_observer observer;
static int reader;
static int writer;
static char text[65536];
static size_t text_length;

static void on_lost(void *cookie)
{
    *(bool *)cookie = true;
}

static bool lost;
static bool is_terminal;

static int open_screen(bool live)
{
    struct sq_error error;
    if (setenv("TZ", "CET-1CEST", 1) != 0 || setenv("LC_ALL", "C", 1) != 0)
        return -1;
    text_length = 0;
    is_terminal = live;
    lost = false;
    told_make();
    assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    if (sq_loop_open_played(TOLD_BEGAN_NS, &loop, &error) != 0 ||
        sq_console_open(writer, live, &console, &error) != 0)
        return -1;
    struct sq_run_screen_options options = {
        .loop = loop, .console = console, .lost = on_lost, .cookie = &lost};
    if (sq_run_screen_open(&options, &screen, &error) != 0)
        return -1;
    observer = sq_run_screen_observer(screen);
    return 0;
}

static int set_up_pipe(void **state)
{
    int fds[2];
    (void)state;
    if (pipe(fds) != 0)
        return -1;
    reader = fds[0];
    writer = fds[1];
    return open_screen(false);
}

static int set_up_terminal(void **state)
{
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    (void)state;
    if (openpty(&reader, &writer, NULL, NULL, &size) != 0)
        return -1;
    return open_screen(true);
}

static int tear_down(void **state)
{
    (void)state;
    sq_run_screen_close(screen);
    sq_console_close(console, 0);
    sq_loop_close(loop);
    (void)close(reader);
    (void)close(writer);
    return 0;
}

/* What has come out until then, all of it. */
static void look_at(uint64_t at_ms)
{
    struct sq_error error;
    ssize_t count = 0;
    for (bool over = false; !over;) {
        over = sq_loop_now_boot_ns(loop) >= told_at(at_ms);
        if (!over)
            assert_int_equal(sq_loop_turn(loop, told_at(at_ms), &error), 0);
        /* What was written to a terminal comes to its other end by the kernel's leisure. */
        struct pollfd ready = {.fd = reader, .events = POLLIN};
        (void)poll(&ready, 1, is_terminal ? 5 : 0);
        while (text_length < sizeof(text) - 1 &&
               (count = read(reader, text + text_length, sizeof(text) - 1 - text_length)) > 0)
            text_length += (size_t)count;
    }
    text[text_length] = '\0';
}

static void expect_seen(const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, text);
}

#define ALL "3 hosts: web1\xe2\x80\xa6web3"

static void test_lines(void **state)
{
    (void)state;
    tell_beginning(observer);
    look_at(1200);
    expect_seen("01:00:00.000  times are those of 1970-01-01, CET (UTC+01:00)\n");
    expect_seen("  " ALL ": \"cut off\" is PREPARED\n");
    expect_seen("  " ALL ": \"cut off\" is INJECTED\n");
    /* What was seen before is said before. */
    assert_true(strstr(text, "INJECTED") < strstr(text, "misses, 0 of 3: 0.93 where"));
    assert_null(strstr(text, "\033"));
    assert_null(strstr(text, " left; "));
}

static void test_how_it_stands(void **state)
{
    (void)state;
    tell_beginning(observer);
    look_at(5500);
    assert_null(strstr(text, "faults are in for"));
    look_at(6100);
    /* Who misses comes first. */
    expect_seen(
        "  faults are in for 5.00s; \"success rate\" MISS 0.93, 0 of 3 misses; \"front page\" status 200 "
        "in 11.0ms, 0 of 3 misses\n");
    look_at(11100);
    expect_seen("  faults are in for 10.0s; ");
}

static void test_what_ends_together_is_said_together(void **state)
{
    (void)state;
    tell_beginning(observer);
    look_at(4000);
    tell_state(observer, 4000, 0, SQ_STATE_REVERTED, SQ_END_DURATION);
    tell_state(observer, 4050, 2, SQ_STATE_REVERTED, SQ_END_DURATION);
    tell_state(observer, 4200, 1, SQ_STATE_FAILED, SQ_END_FAILURE);
    look_at(4400);
    expect_seen("  2 hosts: web1, web3: \"cut off\" is REVERTED (duration over)\n");
    expect_seen("  web2: \"cut off\" is FAILED (");
    tell_decision(observer, 4500, "failed", "web2: it failed");
    expect_seen("duration over)\n");
}

static void test_live(void **state)
{
    (void)state;
    tell_beginning(observer);
    look_at(3040);
    expect_seen("verifying the steady state\r\n");
    expect_seen("faults are in  1.96s  The shop survives the loss of its web hosts\r\n");
    expect_seen("  web3  INJECTED");
    expect_seen("  MISS success rate  0.93");
    assert_null(strstr(text, "faults are in for"));
    text_length = 0;
    tell(observer, (struct sq_run_event){.kind = SQ_EVENT_ENDING, .boot_ns = told_at(3050)});
    look_at(5000);
    /* Taken away, and never drawn again. */
    assert_string_equal(text + strlen(text) - strlen("\033[J"), "\033[J");
}

static void test_a_reader_that_is_gone_is_told_once(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    tell_beginning(observer);
    look_at(1200);
    (void)close(reader);
    reader = open("/dev/null", O_RDONLY | O_CLOEXEC);
    tell_state(observer, 1300, 0, SQ_STATE_REVERTED, SQ_END_DURATION);
    struct sq_error error;
    for (int turns = 0; turns < 50 && sq_loop_now_boot_ns(loop) < told_at(1600); turns++)
        assert_int_equal(sq_loop_turn(loop, told_at(1600), &error), 0);
    assert_true(lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, set_up_pipe, tear_down),
        cmocka_unit_test_setup_teardown(test_how_it_stands, set_up_pipe, tear_down),
        cmocka_unit_test_setup_teardown(test_what_ends_together_is_said_together, set_up_pipe, tear_down),
        cmocka_unit_test_setup_teardown(test_live, set_up_terminal, tear_down),
        cmocka_unit_test_setup_teardown(test_a_reader_that_is_gone_is_told_once, set_up_pipe, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
