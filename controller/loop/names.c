#include "loop/names.h"

#include "common/cleanup.h"
#include "common/clock.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/time.h>

/*
 * A question or an answer that was lost costs no more than this, and a first server that is dead neither;
 * c-ares doubles it with each round. An answer that comes later than that is still taken.
 */
#define ASK_AGAIN_MS  500
#define ROUNDS        4
#define NAME_MAX_TEXT 256

/*
 * Some name servers, and firewalls before them, never answer for one of the two families. c-ares keeps the
 * other one's answer back until it has given up, so each family is asked by itself once this has passed.
 */
#define ASK_APART_NS (250 * SQ_NS_PER_MILLISECOND)

struct sq_names_query {
    struct sq_names *names;
    struct sq_names_query *next;
    struct sq_names_query *previous;
    sq_names_call call; /* NULL: nobody waits any more, but c-ares still holds it */
    void *cookie;
    uint64_t until_boot_ns;
    uint64_t apart_boot_ns; /* when each family is asked by itself; 0: it was */
    unsigned held;          /* so often by c-ares */
    bool answered;          /* by both families or none, or with addresses of one */
    int status;             /* when answered */
    struct sq_addresses *addresses;
    char host[NAME_MAX_TEXT];
};

struct socket_source {
    struct sq_names *names;
    struct socket_source *next;
    ares_socket_t socket;
    struct sq_loop_source *source;
};

struct sq_names {
    struct sq_loop *loop;
    struct sq_loop_source *timer;
    bool open; /* the channel is there */
    ares_channel channel;
    char *servers;        /* NULL: those of /etc/resolv.conf */
    struct stat resolver; /* that file, when the channel was opened */
    bool renew;           /* other servers were set since */
    bool asking_anew;     /* a channel goes whose questions another one takes over */
    struct socket_source *sockets;
    struct sq_names_query *queries;
    bool calling; /* somebody; may not be freed now */
    bool closed;
};

static void query_free(struct sq_names_query *query)
{
    if (query->previous != NULL)
        query->previous->next = query->next;
    else
        query->names->queries = query->next;
    if (query->next != NULL)
        query->next->previous = query->previous;
    free(query->addresses);
    free(query);
}

static void arm(struct sq_names *names)
{
    uint64_t now_boot_ns = sq_loop_now_boot_ns(names->loop);
    uint64_t at_boot_ns = UINT64_MAX;
    for (const struct sq_names_query *query = names->queries; query != NULL; query = query->next) {
        if (query->call == NULL)
            continue;
        uint64_t due_boot_ns = query->answered ? now_boot_ns : query->until_boot_ns;
        if (query->apart_boot_ns != 0 && query->apart_boot_ns < due_boot_ns)
            due_boot_ns = query->apart_boot_ns;
        at_boot_ns = due_boot_ns < at_boot_ns ? due_boot_ns : at_boot_ns;
    }
    if (at_boot_ns == UINT64_MAX) {
        sq_loop_arm(names->timer, 0);
        return;
    }
    struct timeval left;
    if (names->open && ares_timeout(names->channel, NULL, &left) != NULL) {
        uint64_t left_ns = (uint64_t)left.tv_sec * SQ_NS_PER_SECOND + (uint64_t)left.tv_usec * 1000 + 1000;
        uint64_t due_boot_ns = sq_ns_add(now_boot_ns, left_ns);
        at_boot_ns = due_boot_ns < at_boot_ns ? due_boot_ns : at_boot_ns;
    }
    sq_loop_arm(names->timer, at_boot_ns);
}

static void names_free(struct sq_names *names)
{
    if (names->open)
        ares_destroy(names->channel); /* tells each question it holds that it is over */
    while (names->queries != NULL)
        query_free(names->queries);
    sq_loop_remove(names->timer);
    free(names->servers);
    free(names);
}

static void tell(struct sq_names_query *query)
{
    struct sq_error error = {0};
    if (query->addresses == NULL) {
        if (!query->answered)
            (void)sq_fail(&error, SQ_TIMEOUT, "the name %s was not resolved in time", query->host);
        else if (query->status == ARES_ENOTFOUND || query->status == ARES_ENODATA ||
                 query->status == ARES_ENONAME)
            (void)sq_fail(&error, SQ_UNREACHABLE, "no such name: %s", query->host);
        else
            (void)sq_fail(&error, SQ_UNREACHABLE, "the name %s does not resolve: %s", query->host,
                          ares_strerror(query->status));
    }
    sq_names_call call = query->call;
    query->call = NULL;
    call(query->cookie, query->addresses, &error);
}

static struct sq_names_query *next_to_tell(const struct sq_names *names, uint64_t now_boot_ns)
{
    for (struct sq_names_query *query = names->queries; query != NULL; query = query->next)
        if (query->held == 0 ||
            (query->call != NULL && (query->answered || query->until_boot_ns <= now_boot_ns)))
            return query;
    return NULL;
}

/* Tell all who have an answer or waited long enough. A call may ask, cancel and close. */
static void tell_all(struct sq_names *names)
{
    uint64_t now_boot_ns = sq_loop_now_boot_ns(names->loop);
    struct sq_names_query *query;
    names->calling = true;
    while (!names->closed && (query = next_to_tell(names, now_boot_ns)) != NULL) {
        if (query->call != NULL)
            tell(query);
        if (query->held == 0)
            query_free(query);
    }
    names->calling = false;
    if (names->closed)
        names_free(names);
    else
        arm(names);
}

static void on_socket_ready(void *cookie, uint32_t events)
{
    struct socket_source *socket = cookie;
    struct sq_names *names = socket->names;
    ares_socket_t fd = socket->socket;
    bool in = (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
    ares_process_fd(names->channel, in ? fd : ARES_SOCKET_BAD,
                    (events & EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
    tell_all(names);
}

/* From c-ares: what it waits for on a socket of its own; nothing: it is about to close it. */
static void on_socket_state(void *cookie, ares_socket_t fd, int readable, int writable)
{
    struct sq_names *names = cookie;
    uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
    struct socket_source **at = &names->sockets;
    while (*at != NULL && (*at)->socket != fd)
        at = &(*at)->next;
    struct socket_source *socket = *at;
    if (socket != NULL && events == 0) {
        *at = socket->next;
        sq_loop_remove(socket->source);
        free(socket);
    } else if (socket != NULL) {
        (void)sq_loop_set_events(socket->source, events, NULL);
    } else if (events != 0) {
        socket = calloc(1, sizeof(*socket));
        if (socket == NULL)
            return; /* the question ends by its timeout */
        *socket = (struct socket_source){.names = names, .socket = fd, .next = names->sockets};
        if (sq_loop_add_fd(names->loop, fd, events, on_socket_ready, socket, &socket->source, NULL) != 0) {
            free(socket);
            return;
        }
        names->sockets = socket;
    }
}

static void keep(struct sq_addresses *addresses, const struct sockaddr *address, size_t bytes)
{
    if (addresses->count < SQ_ADDRESSES_MAX && bytes <= sizeof(addresses->addresses[0]))
        memcpy(&addresses->addresses[addresses->count++], address, bytes);
}

static void take(struct sq_names_query *query, const struct ares_addrinfo *answer)
{
    query->status = ARES_ENODATA;
    query->addresses = calloc(1, sizeof(*query->addresses));
    if (query->addresses == NULL)
        query->status = ARES_ENOMEM;
    for (const struct ares_addrinfo_node *node = answer->nodes; query->addresses != NULL && node != NULL;
         node = node->ai_next)
        keep(query->addresses, node->ai_addr, node->ai_addrlen);
    if (query->addresses != NULL && query->addresses->count == 0) {
        free(query->addresses);
        query->addresses = NULL;
    }
}

static void on_answer(void *cookie, int status, int timeouts, struct ares_addrinfo *answer)
{
    (void)timeouts;
    struct sq_names_query *query = cookie;
    query->held--;
    if (!query->answered && !query->names->asking_anew) {
        query->answered = true;
        query->status = status;
        if (status == ARES_SUCCESS && query->call != NULL)
            take(query, answer);
    }
    if (answer != NULL)
        ares_freeaddrinfo(answer);
}

/* Of one family: what it does not know the other may. */
static void on_family_answer(void *cookie, int status, int timeouts, struct ares_addrinfo *answer)
{
    (void)timeouts;
    struct sq_names_query *query = cookie;
    query->held--;
    if (!query->answered && status == ARES_SUCCESS && query->call != NULL) {
        take(query, answer);
        query->answered = query->addresses != NULL;
    }
    if (answer != NULL)
        ares_freeaddrinfo(answer);
}

static void ask(struct sq_names_query *query, int family, ares_addrinfo_callback call)
{
    const struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    query->held++;
    ares_getaddrinfo(query->names->channel, query->host, NULL, &hints, call, query);
}

static void ask_apart(const struct sq_names *names)
{
    static const int families[] = {AF_INET, AF_INET6};
    uint64_t now_boot_ns = sq_loop_now_boot_ns(names->loop);
    for (struct sq_names_query *query = names->queries; query != NULL; query = query->next) {
        if (query->apart_boot_ns == 0 || query->apart_boot_ns > now_boot_ns)
            continue;
        query->apart_boot_ns = 0;
        for (size_t i = 0; i < 2 && query->call != NULL && !query->answered; i++)
            ask(query, families[i], on_family_answer);
    }
}

static void on_time(void *cookie)
{
    struct sq_names *names = cookie;
    if (names->open) {
        ares_process_fd(names->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        ask_apart(names);
    }
    tell_all(names);
}

int sq_names_open(struct sq_loop *loop, struct sq_names **names_out, struct sq_error *error)
{
    struct sq_names *names = calloc(1, sizeof(*names));
    if (names == NULL)
        return sq_fail_errno(error, ENOMEM, "resolver");
    names->loop = loop;
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status != ARES_SUCCESS) {
        free(names);
        return sq_fail(error, SQ_SYSTEM, "resolver: %s", ares_strerror(status));
    }
    if (sq_loop_add_timer(loop, on_time, names, &names->timer, error) != 0) {
        free(names);
        return -1;
    }
    *names_out = names;
    return 0;
}

void sq_names_close(struct sq_names *names)
{
    if (names == NULL)
        return;
    names->closed = true;
    for (struct sq_names_query *query = names->queries; query != NULL; query = query->next)
        query->call = NULL;
    if (!names->calling)
        names_free(names);
}

int sq_names_set_servers(struct sq_names *names, const char *servers, struct sq_error *error)
{
    char *copy = strdup(servers);
    if (copy == NULL)
        return sq_fail_errno(error, ENOMEM, "resolver");
    free(names->servers);
    names->servers = copy;
    names->renew = true;
    return 0;
}

static bool somebody_waits(const struct sq_names *names)
{
    const struct sq_names_query *query = names->queries;
    while (query != NULL && query->call == NULL)
        query = query->next;
    return query != NULL;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/*
 * Anew whenever nobody waits, so that no old socket is asked, and when /etc/resolv.conf changed: with some
 * server silent there may always be somebody who waits. What waits is then asked again, within its time.
 */
static int channel_make_ready(struct sq_names *names, struct sq_error *error)
{
    struct stat resolver;
    if (stat("/etc/resolv.conf", &resolver) != 0)
        memset(&resolver, 0, sizeof(resolver));
    if (names->open && somebody_waits(names) && !names->renew && is_same(&resolver, &names->resolver))
        return 0;
    names->asking_anew = true;
    if (names->open)
        ares_destroy(names->channel);
    names->asking_anew = false;
    names->open = false;
    names->renew = false;
    names->resolver = resolver;
    struct ares_options options = {
        .timeout = ASK_AGAIN_MS,
        .tries = ROUNDS,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = names,
    };
    int status = ares_init_options(&names->channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status == ARES_SUCCESS) {
        names->open = true;
        if (names->servers != NULL)
            status = ares_set_servers_ports_csv(names->channel, names->servers);
    }
    if (status != ARES_SUCCESS)
        return sq_fail(error, SQ_SYSTEM, "resolver: %s", ares_strerror(status));
    for (struct sq_names_query *query = names->queries; query != NULL; query = query->next)
        if (query->call != NULL && !query->answered)
            ask(query, AF_UNSPEC, on_answer);
    return 0;
}

/* getaddrinfo(3) asks nobody when told that the host is numeric, and knows zones. */
static bool read_numeric(const char *host, struct sq_addresses *addresses)
{
    char bare[NAME_MAX_TEXT];
    size_t length = strlen(host);
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    if (length == 0 || length >= sizeof(bare))
        return false;
    memcpy(bare, host, length);
    bare[length] = '\0';
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(bare, NULL, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *entry = list; entry != NULL; entry = entry->ai_next)
        keep(addresses, entry->ai_addr, entry->ai_addrlen);
    freeaddrinfo(list);
    return addresses->count > 0;
}

/* RFC 6761, 6.3: always this machine, whether /etc/hosts has it or not. What listens here listens on IPv4. */
static bool read_localhost(const char *host, struct sq_addresses *addresses)
{
    static const char localhost[] = "localhost";
    const struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    size_t length = strlen(host);
    if (length > 0 && host[length - 1] == '.')
        length--;
    size_t before = length - (sizeof(localhost) - 1);
    if (length < sizeof(localhost) - 1 || strncasecmp(host + before, localhost, sizeof(localhost) - 1) != 0 ||
        (before > 0 && host[before - 1] != '.'))
        return false;
    keep(addresses, (const struct sockaddr *)&four, sizeof(four));
    keep(addresses, (const struct sockaddr *)&six, sizeof(six));
    return true;
}

int sq_names_resolve(struct sq_names *names, const char *host, uint64_t timeout_ns, sq_names_call call,
                     void *cookie, struct sq_names_query **query_out, struct sq_error *error)
{
    struct sq_addresses known = {0};
    *query_out = NULL;
    if (read_numeric(host, &known) || read_localhost(host, &known)) {
        static const struct sq_error none = {0};
        call(cookie, &known, &none);
        return 0;
    }
    if (strlen(host) >= NAME_MAX_TEXT)
        return sq_fail(error, SQ_BAD_INPUT, "\"%.60s...\" is no name: it has more than 255 bytes", host);
    if (channel_make_ready(names, error) != 0)
        return -1;
    struct sq_names_query *query = calloc(1, sizeof(*query));
    if (query == NULL)
        return sq_fail_errno(error, ENOMEM, "resolver");
    query->names = names;
    query->call = call;
    query->cookie = cookie;
    query->until_boot_ns = sq_ns_add(sq_loop_now_boot_ns(names->loop), timeout_ns);
    query->apart_boot_ns = sq_ns_add(sq_loop_now_boot_ns(names->loop), ASK_APART_NS);
    memcpy(query->host, host, strlen(host) + 1);
    query->next = names->queries;
    if (query->next != NULL)
        query->next->previous = query;
    names->queries = query;
    ask(query, AF_UNSPEC, on_answer);
    arm(names); /* what /etc/hosts knew is told in the next turn, too */
    *query_out = query;
    return 0;
}

void sq_names_cancel(struct sq_names_query *query)
{
    if (query == NULL)
        return;
    query->call = NULL;
    if (query->held == 0)
        query_free(query);
}
