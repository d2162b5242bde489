#include "fixture.h"

#include "common/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED         77
#define COMMAND_MAX     1024
#define WAIT_MS         150
#define DATAGRAM_MAX    16384
#define CONNECT_WAIT_MS 2000
#define MEASURE_TRIES   4

void fixture_require_root(void)
{
    if (geteuid() != 0) {
        printf("skipped: network namespaces need root\n");
        exit(SKIPPED);
    }
    pid_t child = fork();
    if (child == 0)
        _exit(unshare(CLONE_NEWNET) == 0 ? 0 : 1);
    int status = 1;
    (void)waitpid(child, &status, 0);
    if (status != 0) {
        printf("skipped: this kernel or its permissions allow no network namespaces\n");
        exit(SKIPPED);
    }
}

/* In a process of its own: makes a netem queue in a network namespace that ends with it. */
bool fixture_has_netem(void)
{
    return system(
               "unshare -n sh -c 'ip link add ifb9 type ifb && tc qdisc add dev ifb9 root netem delay 1ms' "
               "2>/dev/null") == 0;
}

void fixture_require_netem(bool wanted)
{
    fixture_require_root();
    if (fixture_has_netem() == wanted)
        return;
    printf("skipped: this kernel has %s\n", wanted ? "no netem" : "netem, and nothing is missing");
    exit(SKIPPED);
}

static int this_namespace(void)
{
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void enter(int namespace)
{
    assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
}

__attribute__((format(printf, 2, 0))) static int run(int namespace, const char *format, va_list arguments)
{
    char command[COMMAND_MAX];
    assert_true((size_t)vsnprintf(command, sizeof command, format, arguments) < sizeof command);
    int before = this_namespace();
    enter(namespace);
    int status = system(command);
    enter(before);
    close(before);
    if (status != 0)
        print_message("exit status %d: %s\n", WEXITSTATUS(status), command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int fixture_run(int namespace, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int status = run(namespace, format, arguments);
    va_end(arguments);
    return status;
}

void fixture_must(int namespace, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int status = run(namespace, format, arguments);
    va_end(arguments);
    assert_int_equal(status, 0);
}

char *fixture_output(int namespace, const char *format, ...)
{
    char command[COMMAND_MAX];
    va_list arguments;
    va_start(arguments, format);
    assert_true((size_t)vsnprintf(command, sizeof command, format, arguments) < sizeof command);
    va_end(arguments);
    int before = this_namespace();
    enter(namespace);
    FILE *pipe = popen(command, "r");
    enter(before);
    close(before);
    assert_non_null(pipe);
    size_t room = 1u << 20;
    char *text = malloc(room);
    assert_non_null(text);
    size_t used = fread(text, 1, room - 1, pipe);
    text[used] = '\0';
    (void)pclose(pipe);
    return text;
}

void fixture_open(struct fixture *fixture)
{
    fixture->original = this_namespace();
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    fixture->net = this_namespace();
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    fixture->host = this_namespace();
    fixture_must(
        fixture->host,
        "ip link set lo up && ip link add eth0 type veth peer name eth0 netns /proc/%d/fd/%d && "
        "ip addr add 10.9.0.1/24 dev eth0 && ip addr add fd09::1/64 dev eth0 nodad && ip link set eth0 up",
        getpid(), fixture->net);
    fixture_must(fixture->net,
                 "ip link set lo up && for i in 2 3 4; do ip addr add 10.9.0.$i/24 dev eth0 && "
                 "ip addr add fd09::$i/64 dev eth0 nodad || exit 1; done && ip link set eth0 up");
    /*
     * Until both ends have noticed their carrier, IPv6 sends nothing; and of what is sent before the peer's
     * hardware address is known, the kernel keeps no more than some 90 packets.
     */
    for (int i = 0; i < 50 && (fixture_out6(fixture, "2") != FIXTURE_COUNT ||
                               fixture_out4(fixture, "2") != FIXTURE_COUNT);
         i++)
        usleep(20000);
}

void fixture_close(struct fixture *fixture)
{
    enter(fixture->original);
    close(fixture->host);
    close(fixture->net);
    close(fixture->original);
}

struct fixture lab;

int fixture_set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    return 0;
}

int fixture_tear_down(void **state)
{
    (void)state;
    fixture_close(&lab);
    return 0;
}

void fixture_add_link(struct fixture *fixture, const char *name, unsigned n)
{
    fixture_must(
        fixture->host,
        "ip link add %s type veth peer name %s netns /proc/%d/fd/%d && ip addr add 10.8.%u.1/24 dev %s && "
        "ip link set %s up",
        name, name, getpid(), fixture->net, n, name, name);
    fixture_must(fixture->net, "ip addr add 10.8.%u.2/24 dev %s && ip link set %s up", n, name, name);
}

char *fixture_tc(const char *interface)
{
    int here = this_namespace();
    char *text = fixture_output(here,
                                "tc -d qdisc show dev %s; tc -d class show dev %s; tc -d filter show dev %s; "
                                "tc -d filter show dev %s ingress 2>&1; tc -d filter show dev %s egress 2>&1",
                                interface, interface, interface, interface, interface);
    close(here);
    return text;
}

void fixture_assert_tc(const char *interface, char *before)
{
    char *after = fixture_tc(interface);
    assert_string_equal(after, before);
    free(after);
    free(before);
}

static bool is_host(const char *address)
{
    size_t length = strlen(address);
    return (strncmp(address, "10.", 3) == 0 && strcmp(address + length - 2, ".1") == 0) ||
           strcmp(address, "fd09::1") == 0;
}

static socklen_t fill_address(struct sockaddr_storage *storage, const char *address, uint16_t port)
{
    memset(storage, 0, sizeof *storage);
    struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof *v6;
}

int fixture_socket(const struct fixture *fixture, const char *address, uint16_t port, int type)
{
    struct sockaddr_storage storage;
    socklen_t length = fill_address(&storage, address, port);
    int before = this_namespace();
    enter(is_host(address) ? fixture->host : fixture->net);
    int fd = socket(storage.ss_family, type | SOCK_CLOEXEC, 0);
    enter(before);
    close(before);
    assert_true(fd >= 0);
    int on = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    if (bind(fd, (struct sockaddr *)&storage, length) != 0)
        fail_msg("bind %s: %s", address, strerror(errno));
    return fd;
}

unsigned fixture_send(const struct fixture *fixture, const struct fixture_flow *flow)
{
    static char datagram[DATAGRAM_MAX];
    unsigned size = flow->size != 0 ? flow->size : 64;
    assert_true(size <= sizeof datagram);
    int receiver = fixture_socket(fixture, flow->to, flow->to_port, SOCK_DGRAM);
    int sender = fixture_socket(fixture, flow->from, flow->from_port, SOCK_DGRAM);
    struct sockaddr_storage to;
    socklen_t length = sizeof to;
    assert_int_equal(getsockname(receiver, (struct sockaddr *)&to, &length), 0);
    for (unsigned i = 0; i < flow->count; i++)
        if (sendto(sender, datagram, size, 0, (struct sockaddr *)&to, length) != (ssize_t)size)
            fail_msg("sending from %s to %s failed: %s", flow->from, flow->to, strerror(errno));
    unsigned received = 0;
    struct pollfd poller = {.fd = receiver, .events = POLLIN};
    while (received < flow->count && poll(&poller, 1, WAIT_MS) == 1 &&
           recv(receiver, datagram, sizeof datagram, 0) == (ssize_t)size)
        received++;
    close(sender);
    close(receiver);
    return received;
}

uint64_t fixture_last_lost_ns(const struct fixture *fixture, const char *from, const char *to,
                              uint64_t most_ns)
{
    struct fixture_flow one = {.from = from, .to = to, .count = 1};
    uint64_t start_ns = sq_boot_ns();
    uint64_t lost_ns = start_ns;
    for (;;) {
        uint64_t sent_ns = sq_boot_ns();
        if (fixture_send(fixture, &one) == 1)
            return lost_ns;
        lost_ns = sent_ns;
        assert_true(sent_ns - start_ns < most_ns);
    }
}

bool fixture_measure_again(unsigned *tries, bool in_time)
{
    if (in_time || ++*tries >= MEASURE_TRIES)
        return false;
    print_message("measured again: the machine may have been busy\n");
    return true;
}

static unsigned send_between(const struct fixture *fixture, const char *from, const char *to)
{
    struct fixture_flow flow = {.from = from, .to = to, .count = FIXTURE_COUNT};
    return fixture_send(fixture, &flow);
}

unsigned fixture_out4(const struct fixture *fixture, const char *peer)
{
    char address[32];
    (void)snprintf(address, sizeof address, "10.9.0.%s", peer);
    return send_between(fixture, "10.9.0.1", address);
}

unsigned fixture_in4(const struct fixture *fixture, const char *peer)
{
    char address[32];
    (void)snprintf(address, sizeof address, "10.9.0.%s", peer);
    return send_between(fixture, address, "10.9.0.1");
}

unsigned fixture_out6(const struct fixture *fixture, const char *peer)
{
    char address[32];
    (void)snprintf(address, sizeof address, "fd09::%s", peer);
    return send_between(fixture, "fd09::1", address);
}

unsigned fixture_in6(const struct fixture *fixture, const char *peer)
{
    char address[32];
    (void)snprintf(address, sizeof address, "fd09::%s", peer);
    return send_between(fixture, address, "fd09::1");
}

static bool ready(int fd, short events)
{
    struct pollfd poller = {.fd = fd, .events = events};
    return poll(&poller, 1, CONNECT_WAIT_MS) == 1 && (poller.revents & events) != 0;
}

static bool exchange_byte(int a, int b)
{
    char byte = 'x';
    return send(a, &byte, 1, MSG_NOSIGNAL) == 1 && ready(b, POLLIN) && recv(b, &byte, 1, 0) == 1 &&
           send(b, &byte, 1, MSG_NOSIGNAL) == 1 && ready(a, POLLIN) && recv(a, &byte, 1, 0) == 1;
}

/* By a reset: closed in order it may send its last packet again, into what is counted next. */
static void cut(int connection)
{
    const struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(connection);
}

bool fixture_tcp_works(const struct fixture *fixture, const char *from, const char *to, uint16_t port)
{
    int listener = fixture_socket(fixture, to, port, SOCK_STREAM);
    assert_int_equal(listen(listener, 1), 0);
    int client = fixture_socket(fixture, from, 0, SOCK_STREAM | SOCK_NONBLOCK);
    struct sockaddr_storage address;
    socklen_t length = fill_address(&address, to, port);
    bool works = false;
    (void)connect(client, (struct sockaddr *)&address, length);
    if (ready(listener, POLLIN)) {
        int server = accept(listener, NULL, NULL);
        works = server >= 0 && ready(client, POLLOUT) && exchange_byte(client, server);
        cut(server);
    }
    cut(client);
    close(listener);
    return works;
}
