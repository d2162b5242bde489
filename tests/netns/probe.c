#include "probe.h"

#include "common/clock.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define STANDARD_WAIT_MS 300
#define SILENCES         6 /* that make the end, each a part of the wait */
#define FEW_GAP_US       3000

struct session {
    int sender;
    int receiver;
    struct sockaddr_storage to;
    socklen_t to_length;
};

static void open_session(const struct fixture *fixture, const struct probe *probe, struct session *session)
{
    int room = 8 << 20;
    session->receiver = fixture_socket(fixture, probe->to, 0, SOCK_DGRAM | SOCK_NONBLOCK);
    session->sender = fixture_socket(fixture, probe->from, 0, SOCK_DGRAM);
    session->to_length = sizeof session->to;
    (void)setsockopt(session->receiver, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    (void)setsockopt(session->sender, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    assert_int_equal(getsockname(session->receiver, (struct sockaddr *)&session->to, &session->to_length), 0);
}

static void send_one(const struct session *session)
{
    uint64_t now_ns = sq_boot_ns();
    if (sendto(session->sender, &now_ns, sizeof now_ns, 0, (const struct sockaddr *)&session->to,
               session->to_length) != (ssize_t)sizeof now_ns)
        fail_msg("a datagram could not be sent: %s", strerror(errno));
}

static void receive_all(const struct session *session, struct probe_result *result)
{
    uint64_t sent_ns;
    while (result->received < PROBE_MAX &&
           recv(session->receiver, &sent_ns, sizeof sent_ns, 0) == (ssize_t)sizeof sent_ns)
        result->delays_ms[result->received++] =
            (double)(sq_boot_ns() - sent_ns) / (double)SQ_NS_PER_MILLISECOND;
}

static void wait_until(const struct session *session, uint64_t until_ns)
{
    uint64_t now_ns = sq_boot_ns();
    if (now_ns >= until_ns)
        return;
    struct pollfd poller = {.fd = session->receiver, .events = POLLIN};
    struct timespec limit = {.tv_sec = (time_t)((until_ns - now_ns) / SQ_NS_PER_SECOND),
                             .tv_nsec = (long)((until_ns - now_ns) % SQ_NS_PER_SECOND)};
    (void)ppoll(&poller, 1, &limit, NULL);
}

/*
 * A machine that stood still lets every wait end at once when it goes on, with packets still in the netem:
 * one silence proves nothing, several in a row do. What came after the socket is closed would be answered by
 * ICMP, and the faults count that.
 */
static void await_the_last(const struct session *session, const struct probe *probe,
                           struct probe_result *result)
{
    unsigned wait_ms = probe->wait_ms != 0 ? probe->wait_ms : STANDARD_WAIT_MS;
    for (unsigned silences = 0; result->received < probe->count && silences < SILENCES; silences++) {
        unsigned before = result->received;
        wait_until(session, sq_boot_ns() + wait_ms * SQ_NS_PER_MILLISECOND / SILENCES);
        receive_all(session, result);
        if (result->received != before)
            silences = 0;
    }
}

static int compare(const void *a, const void *b)
{
    double first = *(const double *)a;
    double second = *(const double *)b;
    return (first > second) - (first < second);
}

void probe_run(const struct fixture *fixture, const struct probe *probe, struct probe_result *result)
{
    struct session session;
    assert_true(probe->count <= PROBE_MAX);
    open_session(fixture, probe, &session);
    result->received = 0;
    uint64_t next_ns = sq_boot_ns();
    for (unsigned sent = 0; sent < probe->count;) {
        if (sq_boot_ns() >= next_ns) {
            send_one(&session);
            sent++;
            next_ns += probe->gap_us * UINT64_C(1000);
        }
        receive_all(&session, result);
        wait_until(&session, next_ns);
    }
    await_the_last(&session, probe, result);
    close(session.sender);
    close(session.receiver);
    qsort(result->delays_ms, result->received, sizeof result->delays_ms[0], compare);
}

double probe_median_ms(const struct probe_result *result)
{
    assert_true(result->received > 0);
    return result->delays_ms[result->received / 2];
}

double probe_mean_ms(const struct probe_result *result)
{
    double sum = 0;
    assert_true(result->received > 0);
    for (unsigned i = 0; i < result->received; i++)
        sum += result->delays_ms[i];
    return sum / result->received;
}

double probe_deviation_ms(const struct probe_result *result)
{
    double mean = probe_mean_ms(result);
    double sum = 0;
    for (unsigned i = 0; i < result->received; i++)
        sum += (result->delays_ms[i] - mean) * (result->delays_ms[i] - mean);
    return sqrt(sum / result->received);
}

double probe_delay_ms(const struct fixture *fixture, const char *from, const char *to)
{
    static struct probe_result result;
    struct probe probe = {.from = from, .to = to, .count = PROBE_FEW, .gap_us = FEW_GAP_US, .wait_ms = 1000};
    probe_run(fixture, &probe, &result);
    if (result.received != PROBE_FEW)
        fail_msg("%u of %u datagrams from %s to %s came", result.received, PROBE_FEW, from, to);
    return result.delays_ms[0];
}
