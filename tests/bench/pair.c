#include "pair.h"

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COMMAND_MAX 512

static int this_namespace(void)
{
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        bench_die("/proc/self/ns/net: %s", strerror(errno));
    return fd;
}

static void enter(int namespace)
{
    if (setns(namespace, CLONE_NEWNET) != 0)
        bench_die("setns: %s", strerror(errno));
}

static void new_namespace(void)
{
    if (unshare(CLONE_NEWNET) != 0)
        bench_die("cannot make a network namespace (root is needed): %s", strerror(errno));
    bench_shell("ip link set lo up");
}

void pair_open(struct pair *pair)
{
    new_namespace();
    pair->peer = this_namespace();
    new_namespace();
    pair->host = this_namespace();
}

void pair_link(const struct pair *pair, const char *name, unsigned n)
{
    char command[COMMAND_MAX];
    (void)snprintf(command, sizeof command,
                   "ip link add %s type veth peer name %s netns /proc/%d/fd/%d && "
                   "ip address add 10.9.%u.1/24 dev %s && ip link set %s up",
                   name, name, (int)getpid(), pair->peer, n, name, name);
    bench_shell(command);
    enter(pair->peer);
    (void)snprintf(command, sizeof command, "ip address add 10.9.%u.2/24 dev %s && ip link set %s up", n,
                   name, name);
    bench_shell(command);
    enter(pair->host);
}

int pair_socket(int namespace, const char *address, uint16_t port)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
    int before = this_namespace();
    enter(namespace);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &own.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&own, sizeof own) != 0)
        bench_die("a socket on %s: %s", address, strerror(errno));
    enter(before);
    (void)close(before);
    return fd;
}
