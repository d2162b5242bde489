/*
 * When does traffic flow? Numbered datagrams, each one fresh: nothing is retransmitted, so nothing of TCP's
 * back-off blurs the measurement.
 *
 *   prober now                               the boot-time clock in nanoseconds
 *   prober echo PORT                         answer every datagram (UDP, IPv4 and IPv6)
 *   prober count ADDRESS PORT DATAGRAMS      one datagram every 2 ms; prints how many were answered
 *   prober watch ADDRESS PORT [SECONDS]      as many; prints "flows NS LAST" and "cut NS LAST" at every
 * change
 *
 * NS is when the first datagram with (without) an answer was sent, and LAST the one before it. The change
 * came between them: 2 ms apart, or more where the machine was busy and had no time for this program.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS   2000000
#define PATIENCE_NS 200000000 /* a later answer is lost: 0.1 ms, and what `echo` waits for the processor */
#define WINDOW      1024      /* datagrams that may be under way; far more than PATIENCE_NS / PERIOD_NS */

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int die(const char *what)
{
    fprintf(stderr, "prober: %s: %s\n", what, strerror(errno));
    return 1;
}

static int echo(const char *port)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = any6.sin6_port};
    if (fd >= 0) {
        if (bind(fd, (struct sockaddr *)&any6, sizeof any6) != 0)
            return die("bind");
    } else { /* a kernel without IPv6 */
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&any4, sizeof any4) != 0)
            return die("bind");
    }
    for (;;) {
        char datagram[64];
        struct sockaddr_storage from;
        socklen_t from_size = sizeof from;
        ssize_t size = recvfrom(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &from_size);
        if (size > 0) /* while we are cut off, the kernel may refuse to send: that is a lost answer */
            (void)!sendto(fd, datagram, (size_t)size, 0, (struct sockaddr *)&from, from_size);
    }
}

static int connect_to(const char *address, const char *port)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM}, *found;
    if (getaddrinfo(address, port, &hints, &found) != 0)
        return -1;
    int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        (void)close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static uint64_t sent_ns[WINDOW];
static bool answered[WINDOW];

/* Note every answer that waits, until `until_ns`. Returns when it looked last; what came later is not noted
 * yet. */
static uint64_t receive_until(int fd, uint64_t until_ns, uint64_t next, uint64_t *answers)
{
    for (;;) {
        uint64_t number;
        uint64_t now = now_ns();
        while (recv(fd, &number, sizeof number, 0) == (ssize_t)sizeof number)
            if (number < next && next - number < WINDOW && !answered[number % WINDOW]) {
                answered[number % WINDOW] = true;
                ++*answers;
            }
        if (now >= until_ns)
            return now;
        struct timespec rest = {.tv_nsec = (long)(until_ns - now)};
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        (void)ppoll(&readable, 1, &rest, NULL);
    }
}

static void send_one(int fd, uint64_t number)
{
    sent_ns[number % WINDOW] = now_ns();
    answered[number % WINDOW] = false;
    (void)!send(fd, &number, sizeof number, 0);
}

static int watch(const char *address, const char *port, uint64_t seconds)
{
    int fd = connect_to(address, port);
    if (fd < 0)
        return die(address);
    uint64_t end_ns = seconds == 0 ? UINT64_MAX : now_ns() + seconds * 1000000000;
    uint64_t next = 0, judged = 0, answers = 0, last_ns = 0;
    int flows = -1;
    for (uint64_t at_ns = now_ns(); at_ns < end_ns; at_ns += PERIOD_NS) {
        send_one(fd, next++);
        uint64_t looked_ns = receive_until(fd, at_ns + PERIOD_NS, next, &answers);
        for (; judged < next; judged++) {
            uint64_t slot = judged % WINDOW;
            if (!answered[slot] && looked_ns < sent_ns[slot] + PATIENCE_NS)
                break;
            if (flows != answered[slot])
                printf("%s %" PRIu64 " %" PRIu64 "\n", answered[slot] ? "flows" : "cut", sent_ns[slot],
                       last_ns);
            flows = answered[slot];
            last_ns = sent_ns[slot];
        }
    }
    return 0;
}

static int count(const char *address, const char *port, uint64_t datagrams)
{
    int fd = connect_to(address, port);
    if (fd < 0)
        return die(address);
    uint64_t answers = 0;
    for (uint64_t next = 0; next < datagrams; next++) {
        send_one(fd, next);
        (void)receive_until(fd, sent_ns[next % WINDOW] + PERIOD_NS, next + 1, &answers);
    }
    (void)receive_until(fd, now_ns() + PATIENCE_NS, datagrams, &answers);
    printf("%" PRIu64 "\n", answers);
    return 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *command = argc > 1 ? argv[1] : "";
    if (argc == 2 && strcmp(command, "now") == 0)
        return printf("%" PRIu64 "\n", now_ns()) < 0;
    if (argc == 3 && strcmp(command, "echo") == 0)
        return echo(argv[2]);
    if ((argc == 4 || argc == 5) && strcmp(command, "watch") == 0)
        return watch(argv[2], argv[3], argc == 5 ? strtoull(argv[4], NULL, 10) : 0);
    if (argc == 5 && strcmp(command, "count") == 0)
        return count(argv[2], argv[3], strtoull(argv[4], NULL, 10));
    fputs("usage: prober now | echo PORT | watch ADDRESS PORT [SECONDS] | count ADDRESS PORT DATAGRAMS\n",
          stderr);
    return 2;
}
