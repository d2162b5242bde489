/*
 * A name server on loopback, served by the loop of the test itself. By the first label of the name that is
 * asked for: "here..." is 127.0.0.1 (and has no IPv6 address), "slow..." the same after a while, "half..."
 * the same but for IPv6, for which there is no answer, "silent..." is not answered, and everything else does
 * not exist.
 */
#ifndef SQ_PLAYED_NAMES_H
#define SQ_PLAYED_NAMES_H

#include "common/clock.h"
#include "loop/loop.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLAYED_SLOW_NS (30 * SQ_NS_PER_MILLISECOND)

struct played_names {
    int fd;
    char servers[64]; /* for sq_names_set_servers */
    unsigned asked;   /* questions so far */
    struct sq_loop *loop;
    struct sq_loop_source *source;
    struct sq_loop_source *timer;
    uint8_t late[4][600];
    size_t late_bytes[4];
    struct sockaddr_in late_to[4];
    unsigned late_count;
};

static inline void played_names_late(void *cookie)
{
    struct played_names *played = cookie;
    for (unsigned i = 0; i < played->late_count; i++)
        (void)sendto(played->fd, played->late[i], played->late_bytes[i], 0,
                     (struct sockaddr *)&played->late_to[i], sizeof(played->late_to[i]));
    played->late_count = 0;
}

/* RFC 1035, 4.1: the question again, flags, and at most one address. */
static inline void played_names_asked(void *cookie, uint32_t events)
{
    static const uint8_t address[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1};
    (void)events;
    struct played_names *played = cookie;
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof(from);
    uint8_t message[600];
    ssize_t got =
        recvfrom(played->fd, message, sizeof(message) - sizeof(address), 0, (void *)&from, &from_bytes);
    if (got < 17)
        return;
    played->asked++;
    const char *label = (const char *)&message[13];
    size_t end = 12;
    while (end + 5 < (size_t)got && message[end] != 0)
        end += (size_t)message[end] + 1;
    if (end + 5 > (size_t)got || strncmp(label, "silent", 6) == 0)
        return;
    bool half = strncmp(label, "half", 4) == 0;
    bool known = strncmp(label, "here", 4) == 0 || strncmp(label, "slow", 4) == 0 || half;
    bool wants_a = message[end + 2] == 1;
    if (half && !wants_a)
        return;
    size_t bytes = end + 5;
    message[2] = 0x81;                /* an answer; recursion was desired */
    message[3] = known ? 0x80 : 0x83; /* 3: no such name */
    memset(&message[6], 0, 6);
    if (known && wants_a) {
        message[7] = 1;
        memcpy(&message[bytes], address, sizeof(address));
        bytes += sizeof(address);
    }
    if (strncmp(label, "slow", 4) == 0 && played->late_count < 4) {
        unsigned i = played->late_count++;
        memcpy(played->late[i], message, bytes);
        played->late_bytes[i] = bytes;
        played->late_to[i] = from;
        sq_loop_arm(played->timer, sq_ns_add(sq_loop_now_boot_ns(played->loop), PLAYED_SLOW_NS));
        return;
    }
    (void)sendto(played->fd, message, bytes, 0, (struct sockaddr *)&from, sizeof(from));
}

/* 0, or -1 with errno. */
static inline int played_names_start(struct played_names *played, struct sq_loop *loop)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    memset(played, 0, sizeof(*played));
    played->loop = loop;
    played->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (played->fd < 0 || bind(played->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(played->fd, (struct sockaddr *)&address, &bytes) != 0)
        return -1;
    (void)snprintf(played->servers, sizeof(played->servers), "127.0.0.1:%u", ntohs(address.sin_port));
    if (sq_loop_add_timer(loop, played_names_late, played, &played->timer, NULL) != 0)
        return -1;
    return sq_loop_add_fd(loop, played->fd, EPOLLIN, played_names_asked, played, &played->source, NULL);
}

static inline void played_names_stop(struct played_names *played)
{
    sq_loop_remove(played->source);
    sq_loop_remove(played->timer);
    (void)close(played->fd);
}

#endif
