#include "agents/client_diagnose.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <mbedtls/net_sockets.h>

#define ACTIVE_MAX    64 /* looks under way at once */
#define STAGE_NS      SQ_NS_PER_SECOND
#define LOOK_AGAIN_NS SQ_NS_PER_SECOND

enum stage { STAGE_WAITING, STAGE_CONNECTING, STAGE_SHAKING_HANDS };

struct look {
    struct look *next;
    uint32_t host;
    enum stage stage;
    uint64_t due_boot_ns; /* WAITING: when its turn comes; else: when patience ends */
    int fd;
    short events; /* what poll waits for */
    bool has_ssl;
    mbedtls_ssl_context ssl;
};

struct sq_diagnoser {
    const struct sq_inventory *inventory;
    const struct sq_client_tls *tls;
    struct sq_diagnoser_calls calls;
    int wake_fd;
    bool started;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards `stop`, `asked` and `arrived` */
    bool stop;
    bool *asked; /* per host: a look exists */
    struct look *arrived;
    struct look *looks; /* the thread's own */
    uint32_t active;
};

static bool is_tls(const struct sq_host *host)
{
    return strncmp(host->agent, "tls+", 4) == 0;
}

static void wake(const struct sq_diagnoser *diagnoser)
{
    uint64_t one = 1;
    (void)!write(diagnoser->wake_fd, &one, sizeof(one));
}

static void look_reset(struct sq_diagnoser *diagnoser, struct look *look)
{
    if (look->has_ssl)
        mbedtls_ssl_free(&look->ssl);
    look->has_ssl = false;
    if (look->fd >= 0)
        (void)close(look->fd);
    look->fd = -1;
    if (look->stage != STAGE_WAITING)
        diagnoser->active--;
    look->stage = STAGE_WAITING;
}

/* ---- What went wrong, in words ---- */

/* Of a Unix socket that is not there: is it its folder that is missing, and which one? */
static bool folder_is_missing(const struct sq_host *host, char *folder, size_t size)
{
    const char *path = strstr(host->agent, "://");
    (void)sq_text_copy(folder, size, path == NULL ? "" : path + 3);
    char *slash = strrchr(folder, '/');
    if (slash == NULL || slash == folder)
        return false;
    *slash = '\0';
    return access(folder, F_OK) != 0 && errno == ENOENT;
}

static void explain_connect(int number, const struct sq_host *host, struct sq_error *reason)
{
    bool local = !is_tls(host);
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    if (local && number == ENOENT && folder_is_missing(host, folder, sizeof(folder)))
        (void)sq_fail(
            reason, SQ_UNREACHABLE,
            "the folder %s is missing: is squalld running, and does its configuration name the same "
            "socket?",
            folder);
    else if (local && number == ENOENT)
        (void)sq_fail(reason, SQ_UNREACHABLE, "there is no such socket: is squalld running?");
    else if (number == ECONNREFUSED)
        (void)sq_fail(reason, SQ_UNREACHABLE, "connection refused: is squalld running?");
    else if (local && number == EACCES)
        (void)sq_fail(reason, SQ_UNREACHABLE,
                      "permission denied: only root and members of the socket's group may use it");
    else if (number == ETIMEDOUT)
        (void)sq_fail(reason, SQ_TIMEOUT,
                      "nobody answers: the host is down, or a firewall drops the packets");
    else
        (void)sq_fail(reason, SQ_UNREACHABLE, "cannot connect: %s", strerror(number));
}

static void explain_certificate(const struct sq_diagnoser *diagnoser, const struct look *look, uint32_t flags,
                                struct sq_error *reason)
{
    const struct sq_host *host = &diagnoser->inventory->hosts[look->host];
    (void)sq_fail(reason, SQ_UNREACHABLE, "its certificate");
    const char *and = "";
    if (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) {
        sq_text_append(reason->text, sizeof(reason->text), " is not signed by the CA in %s",
                       diagnoser->inventory->tls_agents);
        and = ", and";
    }
    if (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) {
        char name[256] = "";
        const mbedtls_x509_crt *certificate = mbedtls_ssl_get_peer_cert(&look->ssl);
        if (certificate != NULL)
            (void)mbedtls_x509_dn_gets(name, sizeof(name), &certificate->subject);
        sq_text_make_printable(name);
        sq_text_append(reason->text, sizeof(reason->text),
                       "%s is for another name (subject %s; the inventory's name %s must stand in it)", and,
                       name, host->name);
        and = ", and";
    }
    if (flags & MBEDTLS_X509_BADCERT_EXPIRED) {
        sq_text_append(reason->text, sizeof(reason->text), "%s has expired", and);
        and = ", and";
    }
    if (flags & MBEDTLS_X509_BADCERT_FUTURE) {
        sq_text_append(reason->text, sizeof(reason->text), "%s is not yet valid (are both clocks right?)",
                       and);
        and = ", and";
    }
    uint32_t told = MBEDTLS_X509_BADCERT_NOT_TRUSTED | MBEDTLS_X509_BADCERT_CN_MISMATCH |
                    MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
    if ((flags & ~told) != 0)
        sq_text_append(reason->text, sizeof(reason->text), "%s does not verify (flags 0x%x)", and,
                       flags & ~told);
}

static void explain_handshake(const struct sq_diagnoser *diagnoser, int code, struct sq_error *reason)
{
    const struct sq_inventory *inventory = diagnoser->inventory;
    if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE || code == MBEDTLS_ERR_SSL_CONN_EOF ||
        code == MBEDTLS_ERR_NET_CONN_RESET)
        (void)sq_fail(
            reason, SQ_UNREACHABLE,
            "it ended the TLS handshake: it refused our certificate %s (expired, or not signed by the CA in "
            "its `controllers:` file), or is no squalld",
            inventory->tls_certificate);
    else if (code == MBEDTLS_ERR_SSL_INVALID_RECORD)
        (void)sq_fail(reason, SQ_UNREACHABLE, "what answers does not speak TLS: is it squalld?");
    else
        (void)sq_fail(reason, SQ_UNREACHABLE, "the TLS handshake failed (mbed TLS error -0x%04x)",
                      (unsigned)-code);
}

/* ---- One look ---- */

static int bio_send(void *context, const unsigned char *bytes, size_t size)
{
    const struct look *look = context;
    ssize_t sent = send(look->fd, bytes, size, MSG_NOSIGNAL);
    if (sent >= 0)
        return (int)sent;
    if (errno == EAGAIN || errno == EINTR)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    return errno == EPIPE || errno == ECONNRESET ? MBEDTLS_ERR_NET_CONN_RESET : MBEDTLS_ERR_NET_SEND_FAILED;
}

static int bio_receive(void *context, unsigned char *bytes, size_t size)
{
    const struct look *look = context;
    ssize_t received = recv(look->fd, bytes, size, 0);
    if (received >= 0)
        return (int)received;
    if (errno == EAGAIN || errno == EINTR)
        return MBEDTLS_ERR_SSL_WANT_READ;
    return errno == ECONNRESET ? MBEDTLS_ERR_NET_CONN_RESET : MBEDTLS_ERR_NET_RECV_FAILED;
}

/* "tls+tcp://address:port" or "tls+tcp://[address]:port"; a name instead of an address is looked up, which
 * blocks. */
static int resolve(const char *url, struct addrinfo **addresses, struct sq_error *reason)
{
    char host[SQ_AGENT_URL_MAX];
    const char *start = strstr(url, "://");
    (void)sq_text_copy(host, sizeof(host), start != NULL ? start + 3 : url);
    char *colon = strrchr(host, ':');
    if (colon == NULL)
        return sq_fail(reason, SQ_UNREACHABLE, "the URL has no port");
    *colon = '\0';
    char *name = host;
    size_t length = strlen(name);
    if (length >= 2 && name[0] == '[' && name[length - 1] == ']') {
        name[length - 1] = '\0';
        name++;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    int code = getaddrinfo(name, colon + 1, &hints, addresses);
    if (code == EAI_NONAME) {
        hints.ai_flags = AI_NUMERICSERV;
        code = getaddrinfo(name, colon + 1, &hints, addresses);
    }
    return code == 0 ? 0 : sq_fail(reason, SQ_UNREACHABLE, "cannot find '%s': %s", name, gai_strerror(code));
}

/* Start a non-blocking connection. Returns 0 (under way or there) or -1 with the reason. */
static int look_connect(const struct sq_host *host, struct look *look, struct sq_error *reason)
{
    struct sockaddr_storage storage = {0};
    socklen_t size;
    if (is_tls(host)) {
        struct addrinfo *addresses = NULL;
        if (resolve(host->agent, &addresses, reason) != 0)
            return -1;
        size = addresses->ai_addrlen;
        memcpy(&storage, addresses->ai_addr, size);
        freeaddrinfo(addresses);
    } else {
        struct sockaddr_un *address = (struct sockaddr_un *)&storage;
        address->sun_family = AF_UNIX;
        if (!sq_text_copy(address->sun_path, sizeof(address->sun_path), host->agent + strlen("ipc://")))
            return sq_fail(reason, SQ_UNREACHABLE, "the socket's path is longer than %zu bytes",
                           sizeof(address->sun_path) - 1);
        size = sizeof(*address);
    }
    look->fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (look->fd < 0)
        return sq_fail_errno(reason, errno, "cannot make a socket");
    if (connect(look->fd, (const struct sockaddr *)&storage, size) != 0 && errno != EINPROGRESS &&
        errno != EAGAIN) {
        explain_connect(errno, host, reason);
        return -1;
    }
    look->events = POLLOUT;
    return 0;
}

/* Go on with a handshake. 1: done, or failed with `reason` filled in; 0: under way. */
static int look_shake_hands(const struct sq_diagnoser *diagnoser, struct look *look, struct sq_error *reason)
{
    const struct sq_host *host = &diagnoser->inventory->hosts[look->host];
    if (!look->has_ssl) {
        mbedtls_ssl_init(&look->ssl);
        look->has_ssl = true;
        if (mbedtls_ssl_setup(&look->ssl, &diagnoser->tls->config) != 0 ||
            mbedtls_ssl_set_hostname(&look->ssl, host->name) != 0) {
            (void)sq_fail(reason, SQ_TIMEOUT, "out of memory");
            return 1;
        }
        mbedtls_ssl_set_bio(&look->ssl, look, bio_send, bio_receive, NULL);
    }
    int code = mbedtls_ssl_handshake(&look->ssl);
    look->events = code == MBEDTLS_ERR_SSL_WANT_WRITE ? POLLOUT : POLLIN;
    if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE)
        return 0;
    /* The verdict on its certificate comes first: an agent with a wrong one would have refused us as well. */
    uint32_t flags = mbedtls_ssl_get_verify_result(&look->ssl);
    if (flags != 0 && flags != UINT32_MAX)
        explain_certificate(diagnoser, look, flags, reason);
    else if (code != 0)
        explain_handshake(diagnoser, code, reason);
    else
        (void)mbedtls_ssl_close_notify(&look->ssl);
    return 1;
}

/* Take a look one step further. 1: it has a result in `reason`; 0: not yet. */
static int look_go_on(struct sq_diagnoser *diagnoser, struct look *look, uint64_t now_ns, bool ready,
                      struct sq_error *reason)
{
    const struct sq_host *host = &diagnoser->inventory->hosts[look->host];
    if (look->stage == STAGE_WAITING) {
        look->stage = STAGE_CONNECTING;
        look->due_boot_ns = sq_ns_add(now_ns, STAGE_NS);
        diagnoser->active++;
        return look_connect(host, look, reason) != 0;
    }
    if (!ready) {
        if (now_ns < look->due_boot_ns)
            return 0;
        if (look->stage == STAGE_CONNECTING)
            explain_connect(ETIMEDOUT, host, reason);
        else
            (void)sq_fail(
                reason, SQ_TIMEOUT,
                "it accepts connections but does not go on with TLS: the agent hangs, or is no squalld");
        return 1;
    }
    if (look->stage == STAGE_CONNECTING) {
        int number = 0;
        socklen_t size = sizeof(number);
        if (getsockopt(look->fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
            number = errno;
        if (number != 0) {
            explain_connect(number, host, reason);
            return 1;
        }
        if (!is_tls(host) || diagnoser->tls == NULL)
            return 1;
        look->stage = STAGE_SHAKING_HANDS;
        look->due_boot_ns = sq_ns_add(now_ns, STAGE_NS);
    }
    return look_shake_hands(diagnoser, look, reason);
}

/* ---- The thread ---- */

/* Take in what was asked since. False: stop. */
static bool take_arrived(struct sq_diagnoser *diagnoser)
{
    uint64_t count;
    (void)!read(diagnoser->wake_fd, &count, sizeof(count));
    (void)pthread_mutex_lock(&diagnoser->mutex);
    while (diagnoser->arrived != NULL) {
        struct look *look = diagnoser->arrived;
        diagnoser->arrived = look->next;
        look->next = diagnoser->looks;
        diagnoser->looks = look;
    }
    bool stop = diagnoser->stop;
    (void)pthread_mutex_unlock(&diagnoser->mutex);
    return !stop;
}

static void forget(struct sq_diagnoser *diagnoser, struct look **place)
{
    struct look *look = *place;
    *place = look->next;
    (void)pthread_mutex_lock(&diagnoser->mutex);
    diagnoser->asked[look->host] = false;
    (void)pthread_mutex_unlock(&diagnoser->mutex);
    free(look);
}

/* Give one look its turn. True: it is over. */
static bool turn(struct sq_diagnoser *diagnoser, struct look *look, bool ready)
{
    uint64_t now_ns = sq_boot_ns();
    if (look->stage == STAGE_WAITING) {
        if (now_ns < look->due_boot_ns || diagnoser->active >= ACTIVE_MAX)
            return false;
        if (!diagnoser->calls.wanted(diagnoser->calls.cookie, look->host))
            return true;
    }
    struct sq_error reason = {.code = SQ_OK};
    if (look_go_on(diagnoser, look, now_ns, ready, &reason) == 0)
        return false;
    look_reset(diagnoser, look);
    diagnoser->calls.found(diagnoser->calls.cookie, look->host, &reason);
    if (reason.code != SQ_TIMEOUT)
        return true;
    look->due_boot_ns = sq_ns_add(sq_boot_ns(), LOOK_AGAIN_NS);
    return false;
}

static void *diagnose(void *argument)
{
    struct sq_diagnoser *diagnoser = argument;
    while (take_arrived(diagnoser)) {
        struct pollfd fds[1 + ACTIVE_MAX] = {{.fd = diagnoser->wake_fd, .events = POLLIN}};
        struct look *polled[1 + ACTIVE_MAX] = {NULL};
        nfds_t count = 1;
        uint64_t next_boot_ns = UINT64_MAX;
        for (struct look *look = diagnoser->looks; look != NULL; look = look->next) {
            bool blocked = look->stage == STAGE_WAITING && diagnoser->active >= ACTIVE_MAX;
            if (!blocked && look->due_boot_ns < next_boot_ns)
                next_boot_ns = look->due_boot_ns;
            if (look->stage != STAGE_WAITING) {
                polled[count] = look;
                fds[count++] = (struct pollfd){.fd = look->fd, .events = look->events};
            }
        }
        uint64_t left_ns = sq_ns_sub(next_boot_ns, sq_boot_ns());
        int wait_ms =
            next_boot_ns == UINT64_MAX ? -1 : (int)(left_ns / SQ_NS_PER_MILLISECOND) + (left_ns > 0);
        if (poll(fds, count, wait_ms) < 0)
            continue;
        for (struct look **place = &diagnoser->looks; *place != NULL;) {
            bool ready = false;
            for (nfds_t i = 1; i < count; i++)
                ready = ready || (polled[i] == *place && fds[i].revents != 0);
            if (turn(diagnoser, *place, ready))
                forget(diagnoser, place);
            else
                place = &(*place)->next;
        }
    }
    return NULL;
}

/* The thread takes no signals: those are the main thread's. */
static int start_thread(struct sq_diagnoser *diagnoser)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&diagnoser->thread, NULL, diagnose, diagnoser);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    diagnoser->started = code == 0;
    return code == 0 ? 0 : -1;
}

int sq_diagnoser_start(const struct sq_inventory *inventory, const struct sq_client_tls *tls,
                       const struct sq_diagnoser_calls *calls, struct sq_diagnoser **result,
                       struct sq_error *error)
{
    struct sq_diagnoser *diagnoser = calloc(1, sizeof(*diagnoser));
    if (diagnoser == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    diagnoser->inventory = inventory;
    diagnoser->tls = tls;
    diagnoser->calls = *calls;
    (void)pthread_mutex_init(&diagnoser->mutex, NULL);
    diagnoser->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    diagnoser->asked = calloc(inventory->host_count > 0 ? inventory->host_count : 1, sizeof(bool));
    if (diagnoser->wake_fd < 0 || diagnoser->asked == NULL || start_thread(diagnoser) != 0) {
        sq_diagnoser_stop(diagnoser);
        return sq_fail(error, SQ_SYSTEM, "out of memory, threads or file descriptors");
    }
    *result = diagnoser;
    return 0;
}

void sq_diagnoser_stop(struct sq_diagnoser *diagnoser)
{
    if (diagnoser == NULL)
        return;
    if (diagnoser->started) {
        (void)pthread_mutex_lock(&diagnoser->mutex);
        diagnoser->stop = true;
        (void)pthread_mutex_unlock(&diagnoser->mutex);
        wake(diagnoser);
        (void)pthread_join(diagnoser->thread, NULL);
        (void)take_arrived(diagnoser);
    }
    while (diagnoser->looks != NULL) {
        struct look *look = diagnoser->looks;
        diagnoser->looks = look->next;
        look_reset(diagnoser, look);
        free(look);
    }
    if (diagnoser->wake_fd >= 0)
        (void)close(diagnoser->wake_fd);
    free(diagnoser->asked);
    (void)pthread_mutex_destroy(&diagnoser->mutex);
    free(diagnoser);
}

void sq_diagnoser_ask(struct sq_diagnoser *diagnoser, uint32_t host, uint64_t after_ns)
{
    struct look *look = calloc(1, sizeof(*look));
    if (look == NULL)
        return; /* the request then ends with its timeout, unexplained */
    look->host = host;
    look->fd = -1;
    look->due_boot_ns = sq_ns_add(sq_boot_ns(), after_ns);
    (void)pthread_mutex_lock(&diagnoser->mutex);
    bool known = diagnoser->asked[host];
    if (!known) {
        diagnoser->asked[host] = true;
        look->next = diagnoser->arrived;
        diagnoser->arrived = look;
    }
    (void)pthread_mutex_unlock(&diagnoser->mutex);
    if (known)
        free(look);
    else
        wake(diagnoser);
}
