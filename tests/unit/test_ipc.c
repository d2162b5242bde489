/* libraries: sq_ipc sq_table */
#include "ipc/ipc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_HEAD offsetof(struct sq_request, faults)

static struct sq_request sent;
static struct sq_request got;
static struct sq_reply got_reply;
static struct sq_ipc_server server;
static struct sq_ipc_end front;
static struct sq_error error;

static int set_up(void **state)
{
    (void)state;
    struct sq_ipc_end injector;
    if (sq_ipc_make(&injector, &front, &error) != 0)
        fail_msg("%s", error.text);
    memset(&sent, 0, sizeof sent);
    sq_ipc_server_open(&server, &injector);
    assert_int_equal(injector.in_fd, -1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sq_ipc_server_close(&server);
    sq_ipc_end_close(&front);
    return 0;
}

static void fill(void *memory, size_t size)
{
    uint8_t *bytes = memory;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
}

/* Take what is there, as the injector's loop does, until the request is whole or nothing more comes. */
static int take(void)
{
    int result = SQ_IPC_PART;
    for (int i = 0; i < 1000 && result == SQ_IPC_PART; i++)
        result = sq_ipc_take_request(&server, &error);
    return result;
}

/* Bytes as a front in other hands may write them. */
static void say(const void *bytes, size_t length)
{
    assert_int_equal(write(front.out_fd, bytes, length), length);
}

static void say_length(size_t length)
{
    uint32_t prefix = (uint32_t)length;
    say(&prefix, sizeof prefix);
}

/* What a descriptor could be passed through would be a socket. */
static void test_pipes_pass_bytes_alone(void **state)
{
    (void)state;
    const int fds[] = {server.end.in_fd, server.end.out_fd, front.in_fd, front.out_fd};
    for (size_t i = 0; i < 4; i++) {
        struct stat status;
        struct msghdr message = {0};
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        assert_int_equal(fstat(fds[i], &status), 0);
        assert_true(S_ISFIFO(status.st_mode));
        assert_int_equal(sendmsg(fds[i], &message, 0), -1);
        assert_int_equal(errno, ENOTSOCK);
        assert_int_equal((fcntl(fds[i], F_GETFL) & O_NONBLOCK) != 0, i < 2);
    }
}

static void test_requests_of_every_size_arrive_whole(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= SQ_FAULTS_MAX; count++) {
        size_t length = REQUEST_HEAD + count * sizeof sent.faults[0];
        memset(&sent, 0, sizeof sent);
        fill(&sent, length);
        sent.fault_count = count;
        assert_int_equal(sq_ipc_send_request(&front, &sent, NULL), 0);
        assert_int_equal(take(), SQ_IPC_WHOLE);
        assert_memory_equal(&sent, &server.request, sizeof sent);
    }
}

static void test_replies_of_every_size_arrive_whole(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= SQ_FAULTS_MAX; count++) {
        memset(&server.reply, 0, sizeof server.reply);
        fill(&server.reply, offsetof(struct sq_reply, faults) + count * sizeof server.reply.faults[0]);
        server.reply.fault_count = count;
        assert_int_equal(sq_ipc_start_reply(&server, NULL), SQ_IPC_WHOLE);
        assert_int_equal(sq_ipc_receive_reply(&front, &got_reply, NULL), 1);
        assert_memory_equal(&server.reply, &got_reply, sizeof got_reply);
    }
}

/* Byte by byte: each turn of the injector takes what is there and returns. */
static void test_pieces_never_hold_the_injector_up(void **state)
{
    (void)state;
    sent.verb = SQ_VERB_STATUS;
    assert_int_equal(sq_ipc_take_request(&server, &error), SQ_IPC_PART);
    const uint32_t length = REQUEST_HEAD;
    for (size_t i = 0; i < sizeof length + REQUEST_HEAD; i++) {
        const uint8_t *bytes = (const uint8_t *)(i < sizeof length ? (const void *)&length : &sent);
        say(bytes + (i < sizeof length ? i : i - sizeof length), 1);
        int expected = i + 1 == sizeof length + REQUEST_HEAD ? SQ_IPC_WHOLE : SQ_IPC_PART;
        assert_int_equal(sq_ipc_take_request(&server, &error), expected);
    }
    assert_int_equal(server.request.verb, SQ_VERB_STATUS);
}

/* Nothing of half a frame is left for the next front's request. */
static void test_half_a_frame_dies_with_its_front(void **state)
{
    (void)state;
    say_length(sizeof sent);
    fill(&sent, sizeof sent);
    say(&sent, sizeof sent / 2);
    assert_int_equal(sq_ipc_take_request(&server, &error), SQ_IPC_PART);
    (void)tear_down(NULL);
    (void)set_up(NULL);
    static const struct sq_request nothing;
    assert_memory_equal(&server.request, &nothing, sizeof nothing);
    sent.verb = SQ_VERB_HELLO;
    assert_int_equal(sq_ipc_send_request(&front, &sent, NULL), 0);
    assert_int_equal(take(), SQ_IPC_WHOLE);
    assert_memory_equal(&sent, &server.request, sizeof sent);
}

static void test_untaken_answers_are_continued(void **state)
{
    (void)state;
    (void)fcntl(server.end.out_fd, F_SETPIPE_SZ, 4096);
    memset(&server.reply, 0, sizeof server.reply);
    fill(&server.reply, sizeof server.reply);
    server.reply.fault_count = SQ_FAULTS_MAX;
    assert_int_equal(sq_ipc_start_reply(&server, &error), SQ_IPC_PART);
    assert_true(sq_ipc_reply_is_under_way(&server));
    assert_int_equal(sq_ipc_continue_reply(&server, &error), SQ_IPC_PART);
    pid_t child = fork();
    if (child == 0)
        _exit(sq_ipc_receive_reply(&front, &got_reply, NULL) == 1 &&
                      memcmp(&got_reply, &server.reply, sizeof got_reply) == 0
                  ? 0
                  : 1);
    while (sq_ipc_reply_is_under_way(&server)) {
        struct pollfd room = {.fd = server.end.out_fd, .events = POLLOUT};
        assert_int_equal(poll(&room, 1, 5000), 1);
        assert_true(sq_ipc_continue_reply(&server, &error) > 0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_who_asks_before_it_has_listened_is_refused(void **state)
{
    (void)state;
    memset(&server.reply, 0, sizeof server.reply);
    assert_int_equal(sq_ipc_send_request(&front, &sent, NULL), 0);
    assert_int_equal(take(), SQ_IPC_WHOLE);
    assert_int_equal(sq_ipc_start_reply(&server, &error), SQ_IPC_WHOLE);
    assert_int_equal(sq_ipc_send_request(&front, &sent, NULL), 0);
    assert_int_equal(take(), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
}

/* Say these bytes as a frame; expect them to be refused, and nothing of them to be left. */
static void check_malformed(const void *bytes, size_t length)
{
    (void)set_up(NULL);
    say_length(length);
    if (length > 0 && length <= sizeof sent)
        say(bytes, length);
    assert_int_equal(take(), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_true(error.text[0] != '\0');
    static const struct sq_request nothing;
    assert_memory_equal(&server.request, &nothing, sizeof nothing);
    (void)tear_down(NULL);
}

static void test_wrong_lengths_are_refused(void **state)
{
    (void)state;
    const size_t entry = sizeof sent.faults[0];
    check_malformed(&got, 0);
    check_malformed(&got, 1);
    check_malformed(&got, REQUEST_HEAD - 1);
    check_malformed(&got, REQUEST_HEAD + 1);
    check_malformed(&got, REQUEST_HEAD + entry);
    got.fault_count = 1;
    check_malformed(&got, REQUEST_HEAD);
    check_malformed(&got, REQUEST_HEAD + entry - 1);
    check_malformed(&got, REQUEST_HEAD + 2 * entry);
    got.fault_count = SQ_FAULTS_MAX + 1;
    check_malformed(&got, sizeof got);
    got.fault_count = UINT32_MAX;
    check_malformed(&got, sizeof got);
    check_malformed(&got, sizeof got + 1);
    check_malformed(&got, INT32_MAX);
    check_malformed(&got, UINT32_MAX);
}

static void test_too_many_faults_are_not_sent(void **state)
{
    (void)state;
    sent.fault_count = server.reply.fault_count = SQ_FAULTS_MAX + 1;
    assert_int_equal(sq_ipc_send_request(&front, &sent, &error), -1);
    assert_int_equal(error.code, SQ_INTERNAL);
    assert_int_equal(sq_ipc_start_reply(&server, &error), -1);
    server.reply.fault_count = 0;
}

static void test_end_of_the_other_side(void **state)
{
    (void)state;
    sq_ipc_end_close(&front);
    assert_int_equal(sq_ipc_take_request(&server, &error), SQ_IPC_GONE);
    assert_int_equal(sq_ipc_start_reply(&server, &error), SQ_IPC_GONE);
    assert_false(sq_ipc_reply_is_under_way(&server));
}

static void test_end_of_the_injector(void **state)
{
    (void)state;
    assert_int_equal(sq_ipc_send_request(&front, &sent, NULL), 0);
    sq_ipc_server_close(&server);
    assert_int_equal(sq_ipc_receive_reply(&front, &got_reply, NULL), 0);
    assert_int_equal(sq_ipc_send_request(&front, &sent, &error), -1);
    assert_int_equal(error.code, SQ_SYSTEM);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    /* The first alarm only interrupts; the second brings what is waited for. */
    if (++alarms == 2)
        (void)sq_ipc_start_reply(&server, NULL);
}

static void test_signals_do_not_disturb(void **state)
{
    (void)state;
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval twice = {.it_interval.tv_usec = 20000, .it_value.tv_usec = 20000};
    const struct itimerval never = {0};
    memset(&server.reply, 0, sizeof server.reply);
    server.reply.verb = SQ_VERB_STATUS;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &twice, NULL), 0);
    assert_int_equal(sq_ipc_receive_reply(&front, &got_reply, NULL), 1);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(got_reply.verb, SQ_VERB_STATUS);
    assert_true(alarms >= 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(test_pipes_pass_bytes_alone),
        TEST(test_requests_of_every_size_arrive_whole),
        TEST(test_replies_of_every_size_arrive_whole),
        TEST(test_pieces_never_hold_the_injector_up),
        TEST(test_half_a_frame_dies_with_its_front),
        TEST(test_untaken_answers_are_continued),
        TEST(test_who_asks_before_it_has_listened_is_refused),
        cmocka_unit_test(test_wrong_lengths_are_refused),
        TEST(test_too_many_faults_are_not_sent),
        TEST(test_end_of_the_other_side),
        TEST(test_end_of_the_injector),
        TEST(test_signals_do_not_disturb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
