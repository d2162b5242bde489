/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/* What a neighbour's traffic notices while a partition is prepared, injected and removed beside it. */
#include "fixture.h"
#include "impairment.h"

#include "common/clock.h"
#include "kernel/tcx.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define STREAM_PORT   4242
#define PAUSE_US      20000
#define LOST_AFTER_MS 100
#define FLOOD_ROUNDS  20u
#define LATE_NS       SQ_NS_PER_MILLISECOND

/* Shared with the process that sends. */
struct stream {
    volatile int stop;
    uint64_t sent;
    uint64_t lost;
    uint64_t late; /* by more than LATE_NS, which a busy machine does as well */
};

static struct impairment fault;
static struct stream *stream;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    stream = mmap(NULL, sizeof *stream, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(stream, MAP_FAILED);
    impairment_init(&fault, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&fault, "10.9.0.2");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)munmap(stream, sizeof *stream);
    fixture_close(&lab);
    return 0;
}

static int open_datagrams(int namespace, const char *address)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(STREAM_PORT)};
    if (inet_pton(AF_INET, address, &local.sin_addr) != 1 || setns(namespace, CLONE_NEWNET) != 0)
        return -1;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return bind(fd, (struct sockaddr *)&local, sizeof local) == 0 ? fd : -1;
}

/* One datagram after the other to the neighbour, each waited for; one that does not come within 20 ms is
 * lost. */
static void run_stream(void)
{
    int receiver = open_datagrams(lab.net, "10.9.0.3");
    int sender = open_datagrams(lab.host, "10.9.0.1");
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(STREAM_PORT), .sin_addr = {htonl(0x0a090003)}};
    struct pollfd poller = {.fd = receiver, .events = POLLIN};
    if (receiver < 0 || sender < 0)
        _exit(1);
    while (!stream->stop) {
        uint64_t number = ++stream->sent;
        uint64_t received = 0;
        if (sendto(sender, &number, sizeof number, 0, (struct sockaddr *)&to, sizeof to) != sizeof number)
            _exit(1);
        while (received != number && poll(&poller, 1, LOST_AFTER_MS) == 1)
            if (recv(receiver, &received, sizeof received, 0) != sizeof received)
                _exit(1);
        if (received != number)
            stream->lost++;
    }
    _exit(0);
}

/* The whole life of a partition beside a stream to a neighbour. */
static void live_beside_stream(unsigned rounds)
{
    *stream = (struct stream){0};
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        run_stream();
    usleep(2 * PAUSE_US);
    for (unsigned i = 0; i < rounds; i++) {
        impairment_start(&fault);
        usleep(PAUSE_US);
        impairment_stop(&fault);
        usleep(PAUSE_US);
    }
    stream->stop = 1;
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(stream->sent > 100);
}

/* On a clsact that is there, a neighbour loses nothing at any moment. */
static void test_nothing_is_lost_on_a_clsact(void **state)
{
    (void)state;
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact");
    live_beside_stream(10);
    print_message("%llu datagrams, %llu lost\n", (unsigned long long)stream->sent,
                  (unsigned long long)stream->lost);
    assert_int_equal(stream->lost, 0);
    assert_false(impairment_says(&fault, SQ_LINE_WARNING, "clsact"));
}

/* Making and removing a clsact stops the device for a moment, in every Linux; the plan says so. */
static void test_making_a_clsact_is_told(void **state)
{
    (void)state;
    live_beside_stream(10);
    print_message("%llu datagrams, %llu lost while a clsact was made and removed 10 times\n",
                  (unsigned long long)stream->sent, (unsigned long long)stream->lost);
    assert_true(stream->lost <= 20); /* one each time at most: the sender waits for what it lost */
    assert_int_equal(impairment_preview(&fault), 0);
    assert_true(impairment_says(&fault, SQ_LINE_WARNING, "eth0: making its clsact, and removing it"));
}

/* As many datagrams to the neighbour as this processor can send, each with its time. */
static void run_flood(void)
{
    int receiver = open_datagrams(lab.net, "10.9.0.3");
    int sender = open_datagrams(lab.host, "10.9.0.1");
    int room = 8 << 20;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(STREAM_PORT), .sin_addr = {htonl(0x0a090003)}};
    if (receiver < 0 || sender < 0 ||
        setsockopt(receiver, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        _exit(1);
    uint64_t received = 0;
    uint64_t sent_ns;
    bool stopped = false;
    struct pollfd poller = {.fd = receiver, .events = POLLIN};
    for (;;) {
        stopped = stream->stop != 0;
        uint64_t now_ns = sq_boot_ns();
        /* A device that is stopped takes it without a word, and it is lost. */
        if (!stopped && sendto(sender, &now_ns, sizeof now_ns, 0, (struct sockaddr *)&to, sizeof to) ==
                            (ssize_t)sizeof now_ns)
            stream->sent++;
        while (recv(receiver, &sent_ns, sizeof sent_ns, MSG_DONTWAIT) == (ssize_t)sizeof sent_ns) {
            uint64_t late_ns = sq_boot_ns() - sent_ns;
            received++;
            stream->late += late_ns > LATE_NS;
        }
        if (stopped && poll(&poller, 1, LOST_AFTER_MS) == 0)
            break;
    }
    stream->lost = stream->sent - received;
    _exit(0);
}

struct disturbance {
    uint64_t sent;
    uint64_t lost;
    uint64_t late;
    double prepare_ms; /* for which the injector was busy, in the mean */
};

static struct disturbance flood_beside(bool on_tcx, unsigned rounds)
{
    *stream = (struct stream){0};
    sq_tcx_use(on_tcx);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        run_flood();
    usleep(PAUSE_US);
    uint64_t busy_ns = 0;
    for (unsigned i = 0; i < rounds; i++) {
        assert_int_equal(impairment_preview(&fault), 0);
        uint64_t start_ns = sq_boot_ns();
        assert_int_equal(impairment_begin(&fault), 0);
        busy_ns += sq_boot_ns() - start_ns;
        assert_int_equal(impairment_await(&fault), 0);
        impairment_inject(&fault, 60000);
        impairment_stop(&fault);
    }
    stream->stop = 1;
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    sq_tcx_use(false);
    return (struct disturbance){.sent = stream->sent,
                                .lost = stream->lost,
                                .late = stream->late,
                                .prepare_ms = (double)busy_ns / rounds / SQ_NS_PER_MILLISECOND};
}

/* On tcx no packet of a neighbour's is lost, of as many as can be sent; on clsact, in the same run, some are.
 */
static void test_nothing_is_lost_on_tcx(void **state)
{
    (void)state;
    sq_tcx_try();
    if (!sq_tcx_is_used()) {
        print_message("not checked: this kernel has no tcx\n");
        skip();
    }
    struct disturbance on_clsact = flood_beside(false, FLOOD_ROUNDS);
    struct disturbance on_tcx = flood_beside(true, FLOOD_ROUNDS);
    print_message("%u partitions prepared and removed: clsact lost %llu of %llu datagrams (%llu late), tcx "
                  "%llu of %llu "
                  "(%llu late); prepare kept the injector %.2f and %.2f ms\n",
                  FLOOD_ROUNDS, (unsigned long long)on_clsact.lost, (unsigned long long)on_clsact.sent,
                  (unsigned long long)on_clsact.late, (unsigned long long)on_tcx.lost,
                  (unsigned long long)on_tcx.sent, (unsigned long long)on_tcx.late, on_clsact.prepare_ms,
                  on_tcx.prepare_ms);
    assert_int_equal(on_tcx.lost, 0);
    assert_true(on_tcx.sent > 10000);
    assert_true(on_clsact.lost > 0);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_is_lost_on_a_clsact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_making_a_clsact_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_lost_on_tcx, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
