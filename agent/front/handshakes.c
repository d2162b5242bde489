#include "front/handshakes.h"

#include "common/clock.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define TABLE_SIZE      1024
#define SILENT_WITHIN_S 30 /* in the kernel; it counts by retransmissions, and makes 31 of it */
#define WAITING_MAX     4096
#define DROPPED_MAX     64 /* that nng has not closed yet */
#define GRACE_NS        (50 * SQ_NS_PER_MILLISECOND)
#define PAUSE_NS        SQ_NS_PER_MILLISECOND
#define OPENING_BYTES   8 /* what opens a connection of nng's over a Unix socket */
#define REFUSED_MAX     8

enum state { NOT_OURS, UNDER_WAY, DROPPED, COMPLETE };
enum transport { TLS, UNIX, TRANSPORTS };

/* One row per descriptor. A descriptor is closed while the lock is held, so a row is never another one's. */
struct connection {
    enum state state;
    enum transport transport;
    uint64_t since_boot_ns;
    size_t heard_bytes;
    uint32_t uid;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } remote;
};

static struct {
    pthread_mutex_t lock;
    bool is_on;
    bool is_tended; /* somebody will look again without being woken */
    int wake_fd;
    int highest_fd;
    unsigned counts[TRANSPORTS][COMPLETE + 1];
    struct connection rows[TABLE_SIZE];
    struct sq_refused refused[REFUSED_MAX];
    unsigned refused_count;
    unsigned untold;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake_fd = -1};

static const unsigned handshakes_max[TRANSPORTS] = {SQ_TLS_HANDSHAKES_MAX, SQ_UNIX_HANDSHAKES_MAX};

/* ---- with the lock held ---- */

static void wake(void)
{
    const uint64_t one = 1;
    (void)!write(table.wake_fd, &one, sizeof one);
}

static unsigned under_way(void)
{
    return table.counts[TLS][UNDER_WAY] + table.counts[UNIX][UNDER_WAY];
}

static void set_state(struct connection *row, enum state state)
{
    table.counts[row->transport][row->state]--;
    row->state = state;
    table.counts[row->transport][state]++;
    /* The first one starts the clock, the last one stops it. */
    if ((under_way() > 0) != table.is_tended)
        wake();
}

static void tell(const struct connection *row, enum sq_refusal why)
{
    if (table.refused_count == REFUSED_MAX) {
        table.untold++;
        return;
    }
    struct sq_refused *refused = &table.refused[table.refused_count++];
    *refused = (struct sq_refused){.why = why, .from.uid = row->uid};
    if (row->remote.any.sa_family == AF_INET) {
        refused->from.family = 4;
        memcpy(refused->from.address, &row->remote.v4.sin_addr, 4);
    } else if (row->remote.any.sa_family == AF_INET6) {
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(&row->remote.v6.sin6_addr);
        refused->from.family = is_mapped ? 4 : 6;
        memcpy(refused->from.address, row->remote.v6.sin6_addr.s6_addr + (is_mapped ? 12 : 0),
               is_mapped ? 4 : 16);
    }
    wake();
}

/* nng sees the end of it, and closes it. */
static void drop(int fd, enum sq_refusal why)
{
    (void)shutdown(fd, SHUT_RDWR);
    tell(&table.rows[fd], why);
    set_state(&table.rows[fd], DROPPED);
}

static int oldest(enum transport transport)
{
    int found = -1;
    for (int fd = 0; fd <= table.highest_fd; fd++) {
        const struct connection *row = &table.rows[fd];
        if (row->state == UNDER_WAY && row->transport == transport &&
            (found < 0 || row->since_boot_ns < table.rows[found].since_boot_ns))
            found = fd;
    }
    return found;
}

/*
 * Whoever is accepted has a moment before a newcomer takes its place, and nng gets to close those that were
 * dropped; meanwhile newcomers wait in the kernel. Otherwise a crowd would push out everybody in no time.
 */
static bool is_crowded(enum transport transport)
{
    const unsigned *counts = table.counts[transport];
    if (counts[DROPPED] >= DROPPED_MAX)
        return true;
    return counts[UNDER_WAY] >= handshakes_max[transport] &&
           table.rows[oldest(transport)].since_boot_ns + GRACE_NS > sq_boot_ns();
}

static void admit(int fd, enum transport transport, const struct sockaddr_storage *remote)
{
    struct connection *row = &table.rows[fd];
    *row = (struct connection){.transport = transport, .since_boot_ns = sq_boot_ns(), .remote.room = *remote};
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (transport == UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        row->uid = peer.uid;
    if (fd > table.highest_fd)
        table.highest_fd = fd;
    if (table.counts[transport][UNDER_WAY] >= handshakes_max[transport])
        drop(oldest(transport), SQ_REFUSAL_CROWDED);
    set_state(row, UNDER_WAY);
}

static enum transport transport_of(int fd)
{
    int domain = AF_UNIX;
    socklen_t size = sizeof domain;
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    return domain == AF_UNIX ? UNIX : TLS;
}

/* ---- in the place of the system calls, called by nng's threads and by everybody else ---- */

/*
 * ThreadSanitizer follows descriptors by the functions that it puts in front of libc's: past them, one that
 * is used again looks like a race.
 */
#ifdef __SANITIZE_THREAD__
static int close_now(int fd)
{
    int (*next)(int) = NULL;
    *(void **)&next = dlsym(RTLD_NEXT, "close");
    return next(fd);
}
#else
static int close_now(int fd)
{
    return (int)syscall(SYS_close, fd);
}
#endif

int listen(int fd, int backlog)
{
    int seconds = SILENT_WITHIN_S;
    if (table.is_on && transport_of(fd) == TLS)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
    return (int)syscall(SYS_listen, fd, table.is_on ? WAITING_MAX : backlog);
}

/* For nng: there is nobody; it asks again at once, so not too often. */
static int nobody_now(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    (void)nanosleep(&pause, NULL);
    errno = EAGAIN;
    return -1;
}

int accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict length)
{
    if (!table.is_on)
        return (int)syscall(SYS_accept, fd, address, length);
    enum transport transport = transport_of(fd);
    (void)pthread_mutex_lock(&table.lock);
    bool waits = is_crowded(transport);
    (void)pthread_mutex_unlock(&table.lock);
    if (waits)
        return nobody_now();
    struct sockaddr_storage remote = {0};
    socklen_t size = sizeof remote;
    int accepted = (int)syscall(SYS_accept4, fd, &remote, &size, SOCK_CLOEXEC);
    if (accepted >= TABLE_SIZE) {
        (void)close_now(accepted);
        return nobody_now();
    }
    if (accepted < 0)
        return accepted;
    (void)pthread_mutex_lock(&table.lock);
    admit(accepted, transport, &remote);
    (void)pthread_mutex_unlock(&table.lock);
    return accepted;
}

ssize_t readv(int fd, const struct iovec *parts, int count)
{
    ssize_t got = syscall(SYS_readv, fd, parts, count);
    if (got <= 0 || !table.is_on || fd >= TABLE_SIZE)
        return got;
    int number = errno;
    (void)pthread_mutex_lock(&table.lock);
    struct connection *row = &table.rows[fd];
    if (row->state == UNDER_WAY) {
        row->heard_bytes += (size_t)got;
        if (row->transport == UNIX && row->heard_bytes >= OPENING_BYTES)
            set_state(row, COMPLETE);
    }
    (void)pthread_mutex_unlock(&table.lock);
    errno = number;
    return got;
}

int close(int fd)
{
    if (!table.is_on || fd < 0 || fd >= TABLE_SIZE)
        return close_now(fd);
    (void)pthread_mutex_lock(&table.lock);
    struct connection *row = &table.rows[fd];
    if (row->state != NOT_OURS) {
        /* Who says nothing and goes only looks whether the port is open, as monitoring does. */
        if (row->state == UNDER_WAY && row->heard_bytes > 0)
            tell(row, SQ_REFUSAL_ENDED);
        set_state(row, NOT_OURS);
    }
    int result = close_now(fd);
    int number = errno;
    (void)pthread_mutex_unlock(&table.lock);
    errno = number;
    return result;
}

/* ---- for the front ---- */

int sq_handshakes_watch(int *wake_fd, struct sq_error *error)
{
    table.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (table.wake_fd < 0)
        return sq_fail_errno(error, errno, "cannot watch connections");
    table.is_on = true;
    *wake_fd = table.wake_fd;
    return 0;
}

uint64_t sq_handshakes_tend(uint64_t now_boot_ns)
{
    uint64_t wakes;
    uint64_t next_ns = 0;
    (void)!read(table.wake_fd, &wakes, sizeof wakes);
    (void)pthread_mutex_lock(&table.lock);
    for (int fd = 0; fd <= table.highest_fd && under_way() > 0; fd++) {
        const struct connection *row = &table.rows[fd];
        uint64_t end_ns = row->since_boot_ns + SQ_HANDSHAKE_WITHIN_NS;
        if (row->state != UNDER_WAY)
            continue;
        if (end_ns <= now_boot_ns)
            drop(fd, SQ_REFUSAL_SLOW);
        else if (next_ns == 0 || end_ns < next_ns)
            next_ns = end_ns;
    }
    table.is_tended = under_way() > 0;
    (void)pthread_mutex_unlock(&table.lock);
    return next_ns;
}

static bool is_same(const struct sockaddr *one, const struct connection *row)
{
    if (one->sa_family != row->remote.any.sa_family)
        return false;
    if (one->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, one, sizeof v4);
        return v4.sin_port == row->remote.v4.sin_port && v4.sin_addr.s_addr == row->remote.v4.sin_addr.s_addr;
    }
    struct sockaddr_in6 v6;
    memcpy(&v6, one, sizeof v6);
    return v6.sin6_port == row->remote.v6.sin6_port &&
           memcmp(&v6.sin6_addr, &row->remote.v6.sin6_addr, sizeof v6.sin6_addr) == 0;
}

bool sq_handshakes_complete_tls(const struct sockaddr *remote)
{
    (void)pthread_mutex_lock(&table.lock);
    for (int fd = 0; fd <= table.highest_fd; fd++) {
        struct connection *row = &table.rows[fd];
        if (row->state == UNDER_WAY && row->transport == TLS && is_same(remote, row)) {
            set_state(row, COMPLETE);
            break;
        }
    }
    bool fits = table.counts[TLS][COMPLETE] <= SQ_TLS_CONNECTIONS_MAX;
    (void)pthread_mutex_unlock(&table.lock);
    return fits;
}

bool sq_handshakes_unix_is_full(void)
{
    (void)pthread_mutex_lock(&table.lock);
    bool is_full = table.counts[UNIX][COMPLETE] > SQ_UNIX_CONNECTIONS_MAX;
    (void)pthread_mutex_unlock(&table.lock);
    return is_full;
}

bool sq_handshakes_refused(struct sq_refused *refused, unsigned *untold)
{
    (void)pthread_mutex_lock(&table.lock);
    bool is_there = table.refused_count > 0;
    if (is_there)
        *refused = table.refused[--table.refused_count];
    *untold = is_there ? 0 : table.untold;
    if (!is_there)
        table.untold = 0;
    (void)pthread_mutex_unlock(&table.lock);
    return is_there;
}
