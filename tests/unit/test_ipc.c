/* libraries: sq_ipc sq_table */
#include "common/cleanup.h"
#include "ipc/ipc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static struct sq_request sent;
static struct sq_request got;
static struct sq_reply sent_reply;
static struct sq_reply got_reply;

static void fill(void *memory, size_t size)
{
    uint8_t *bytes = memory;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
}

static void make_pair(int fds[2])
{
    struct sq_error error = {0};
    if (sq_ipc_pair(fds, &error) != 0)
        fail_msg("%s", error.text);
}

static void test_pair_is_closed_on_exec(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    sq_autoclose int injector = fds[0];
    sq_autoclose int front = fds[1];
    assert_int_equal(fcntl(injector, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(front, F_GETFD), FD_CLOEXEC);
}

static void test_requests_of_every_size_arrive_whole(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    sq_autoclose int injector = fds[0];
    sq_autoclose int front = fds[1];
    for (uint32_t count = 0; count <= SQ_FAULTS_MAX; count++) {
        size_t length = offsetof(struct sq_request, faults) + count * sizeof sent.faults[0];
        memset(&sent, 0, sizeof sent);
        fill(&sent, length);
        sent.fault_count = count;
        assert_int_equal(sq_ipc_send_request(front, &sent, NULL), 0);
        assert_int_equal(sq_ipc_receive_request(injector, &got, NULL), 1);
        assert_memory_equal(&sent, &got, sizeof sent);
    }
}

static void test_replies_of_every_size_arrive_whole(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    sq_autoclose int injector = fds[0];
    sq_autoclose int front = fds[1];
    for (uint32_t count = 0; count <= SQ_FAULTS_MAX; count++) {
        size_t length = offsetof(struct sq_reply, faults) + count * sizeof sent_reply.faults[0];
        memset(&sent_reply, 0, sizeof sent_reply);
        fill(&sent_reply, length);
        sent_reply.fault_count = count;
        assert_int_equal(sq_ipc_send_reply(injector, &sent_reply, NULL), 0);
        assert_int_equal(sq_ipc_receive_reply(front, &got_reply, NULL), 1);
        assert_memory_equal(&sent_reply, &got_reply, sizeof sent_reply);
    }
}

/* Send these bytes, expect them to be refused and discarded, and the next good frame to arrive. */
static void check_malformed(const void *bytes, size_t length)
{
    int fds[2];
    make_pair(fds);
    sq_autoclose int injector = fds[0];
    sq_autoclose int front = fds[1];
    struct sq_error error = {0};
    assert_int_equal(send(front, bytes, length, 0), length);
    assert_int_equal(sq_ipc_receive_request(injector, &got, &error), -1);
    assert_int_equal(error.code, SQ_BAD_INPUT);
    assert_true(error.text[0] != '\0');
    static const struct sq_request nothing;
    assert_memory_equal(&got, &nothing, sizeof got);

    struct sq_request *good = calloc(1, sizeof *good);
    assert_non_null(good);
    good->verb = SQ_VERB_STATUS;
    assert_int_equal(sq_ipc_send_request(front, good, NULL), 0);
    assert_int_equal(sq_ipc_receive_request(injector, &got, NULL), 1);
    assert_int_equal(got.verb, SQ_VERB_STATUS);
    free(good);
}

static void test_wrong_lengths_are_refused(void **state)
{
    (void)state;
    const size_t head = offsetof(struct sq_request, faults);
    const size_t entry = sizeof sent.faults[0];
    static uint8_t long_frame[sizeof(struct sq_request) + 1];
    memset(&sent, 0, sizeof sent);
    check_malformed(&sent, 1);
    check_malformed(&sent, head - 1);
    check_malformed(&sent, head + 1);
    check_malformed(&sent, head + entry);
    sent.fault_count = 1;
    check_malformed(&sent, head);
    check_malformed(&sent, head + entry - 1);
    check_malformed(&sent, head + 2 * entry);
    sent.fault_count = SQ_FAULTS_MAX + 1;
    check_malformed(&sent, sizeof sent);
    sent.fault_count = UINT32_MAX;
    check_malformed(&sent, sizeof sent);
    sent.fault_count = SQ_FAULTS_MAX;
    memcpy(long_frame, &sent, sizeof sent);
    check_malformed(long_frame, sizeof long_frame);
}

static void test_too_many_faults_are_not_sent(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    sq_autoclose int injector = fds[0];
    sq_autoclose int front = fds[1];
    memset(&sent, 0, sizeof sent);
    memset(&sent_reply, 0, sizeof sent_reply);
    sent.fault_count = sent_reply.fault_count = SQ_FAULTS_MAX + 1;
    struct sq_error error = {0};
    assert_int_equal(sq_ipc_send_request(front, &sent, &error), -1);
    assert_int_equal(error.code, SQ_INTERNAL);
    assert_int_equal(sq_ipc_send_reply(injector, &sent_reply, &error), -1);
}

static void test_end_of_the_other_side(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    sq_autoclose int injector = fds[0];
    memset(&sent_reply, 0, sizeof sent_reply);
    (void)close(fds[1]);
    struct sq_error error = {0};
    assert_int_equal(sq_ipc_receive_request(injector, &got, &error), 0);
    /* With SIGPIPE at its default, a plain write would end this program here. */
    assert_int_equal(sq_ipc_send_reply(injector, &sent_reply, &error), -1);
    assert_int_equal(error.code, SQ_SYSTEM);
}

/* A side that dies with a frame of the other unread is an end, too, not an error. */
static void test_end_with_a_frame_unread(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    sq_autoclose int front = fds[1];
    memset(&sent, 0, sizeof sent);
    assert_int_equal(sq_ipc_send_request(front, &sent, NULL), 0);
    (void)close(fds[0]);
    assert_int_equal(sq_ipc_receive_reply(front, &got_reply, NULL), 0);
}

static volatile sig_atomic_t alarms;
static int alarm_fd;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    static const struct sq_request status = {.verb = SQ_VERB_STATUS};
    /* The first alarm only interrupts; the second brings what is waited for. */
    if (++alarms == 2)
        (void)send(alarm_fd, &status, offsetof(struct sq_request, faults), MSG_NOSIGNAL);
}

static void test_signals_do_not_disturb(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    sq_autoclose int injector = fds[0];
    sq_autoclose int front = fds[1];
    alarm_fd = front;
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval twice = {.it_interval.tv_usec = 20000, .it_value.tv_usec = 20000};
    const struct itimerval never = {0};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &twice, NULL), 0);
    assert_int_equal(sq_ipc_receive_request(injector, &got, NULL), 1);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(got.verb, SQ_VERB_STATUS);
    assert_true(alarms >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pair_is_closed_on_exec),
        cmocka_unit_test(test_requests_of_every_size_arrive_whole),
        cmocka_unit_test(test_replies_of_every_size_arrive_whole),
        cmocka_unit_test(test_wrong_lengths_are_refused),
        cmocka_unit_test(test_too_many_faults_are_not_sent),
        cmocka_unit_test(test_end_of_the_other_side),
        cmocka_unit_test(test_end_with_a_frame_unread),
        cmocka_unit_test(test_signals_do_not_disturb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
