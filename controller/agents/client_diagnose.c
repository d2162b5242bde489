#include "agents/client_diagnose.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <mbedtls/net_sockets.h>

#define ACTIVE_MAX     64 /* looks under way at once */
#define SHAKING_MAX    2  /* of those: a handshake takes the loop's thread some 15 ms of processor time */
#define STAGE_NS       SQ_NS_PER_SECOND
#define LOOK_AGAIN_NS  SQ_NS_PER_SECOND
#define KNOCK_AGAIN_NS (100 * SQ_NS_PER_MILLISECOND)

enum stage { STAGE_WAITING, STAGE_CONNECTING, STAGE_SHAKING_HANDS };

struct look {
    struct sq_diagnoser *diagnoser;
    struct look *next;
    struct look *previous;
    uint32_t host;
    enum stage stage;
    uint64_t due_boot_ns; /* WAITING: when its turn comes; else: when patience ends */
    int fd;
    struct sq_loop_source *source;
    bool knock;     /* a connection is enough, and ACTIVE_MAX does not count it */
    bool held_back; /* connected, and waits for somebody else's handshake */
    bool has_ssl;
    mbedtls_ssl_context ssl;
};

struct sq_diagnoser {
    const struct sq_inventory *inventory;
    const struct sq_client_tls *tls;
    struct sq_diagnoser_calls calls;
    struct sq_loop *loop;
    struct sq_loop_source *timer;
    bool *asked; /* per host: a look exists */
    struct look *looks;
    uint32_t active;
    uint32_t shaking;
};

static bool is_tls(const struct sq_host *host)
{
    return strncmp(host->agent, "tls+", 4) == 0;
}

static void look_reset(struct look *look)
{
    struct sq_diagnoser *diagnoser = look->diagnoser;
    if (look->has_ssl)
        mbedtls_ssl_free(&look->ssl);
    look->has_ssl = false;
    sq_loop_remove(look->source);
    look->source = NULL;
    sq_cleanup_close(&look->fd);
    look->fd = -1;
    diagnoser->active -= look->stage != STAGE_WAITING && !look->knock;
    diagnoser->shaking -= look->stage == STAGE_SHAKING_HANDS;
    look->stage = STAGE_WAITING;
    look->held_back = false;
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

static int address_of(const struct look *look, struct sockaddr_storage *storage, socklen_t *size,
                      struct sq_error *reason)
{
    const struct sq_diagnoser *diagnoser = look->diagnoser;
    const struct sq_host *host = &diagnoser->inventory->hosts[look->host];
    if (is_tls(host)) {
        const struct sockaddr_storage *known = diagnoser->calls.address(diagnoser->calls.cookie, look->host);
        if (known == NULL)
            return sq_fail(reason, SQ_TIMEOUT, "its address is not known yet");
        *storage = *known;
        *size = known->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        return 0;
    }
    struct sockaddr_un *address = (struct sockaddr_un *)storage;
    address->sun_family = AF_UNIX;
    *size = sizeof(*address);
    if (!sq_text_copy(address->sun_path, sizeof(address->sun_path), host->agent + strlen("ipc://")))
        return sq_fail(reason, SQ_UNREACHABLE, "the socket's path is longer than %zu bytes",
                       sizeof(address->sun_path) - 1);
    return 0;
}

static void on_ready(void *cookie, uint32_t events);

/* Start a non-blocking connection. Returns 0 (under way or there) or -1 with the reason. */
static int look_connect(struct look *look, struct sq_error *reason)
{
    struct sockaddr_storage storage = {0};
    socklen_t size = 0;
    if (address_of(look, &storage, &size, reason) != 0)
        return -1;
    look->fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (look->fd < 0) {
        (void)sq_fail_errno(reason, errno, "cannot make a socket");
        reason->code = SQ_TIMEOUT; /* others' may be closed by then */
        return -1;
    }
    if (connect(look->fd, (const struct sockaddr *)&storage, size) != 0 && errno != EINPROGRESS &&
        errno != EAGAIN) {
        explain_connect(errno, &look->diagnoser->inventory->hosts[look->host], reason);
        return -1;
    }
    return sq_loop_add_fd(look->diagnoser->loop, look->fd, EPOLLOUT, on_ready, look, &look->source, reason);
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
    if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE) {
        uint32_t events = code == MBEDTLS_ERR_SSL_WANT_WRITE ? EPOLLOUT : EPOLLIN;
        return sq_loop_set_events(look->source, events, reason) != 0;
    }
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

/* Patience is over. */
static void give_up(const struct look *look, struct sq_error *reason)
{
    if (look->stage == STAGE_CONNECTING)
        explain_connect(ETIMEDOUT, &look->diagnoser->inventory->hosts[look->host], reason);
    else
        (void)sq_fail(
            reason, SQ_TIMEOUT,
            "it accepts connections but does not go on with TLS: the agent hangs, or is no squalld");
}

/* The connection is there, or failed. As in look_go_on. */
static int look_connected(struct look *look, uint64_t now_boot_ns, struct sq_error *reason)
{
    struct sq_diagnoser *diagnoser = look->diagnoser;
    const struct sq_host *host = &diagnoser->inventory->hosts[look->host];
    int number = 0;
    socklen_t size = sizeof(number);
    if (getsockopt(look->fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
        number = errno;
    if (number != 0) {
        explain_connect(number, host, reason);
        return 1;
    }
    if (look->knock || !is_tls(host) || diagnoser->tls == NULL)
        return 1;
    look->due_boot_ns = sq_ns_add(now_boot_ns, STAGE_NS);
    look->held_back = diagnoser->shaking >= SHAKING_MAX;
    if (look->held_back)
        return sq_loop_set_events(look->source, 0, reason) != 0;
    look->stage = STAGE_SHAKING_HANDS;
    diagnoser->shaking++;
    return look_shake_hands(diagnoser, look, reason);
}

/* Take a look one step further. 1: it has a result in `reason`; 0: not yet. */
static int look_go_on(struct look *look, uint64_t now_boot_ns, bool ready, struct sq_error *reason)
{
    if (look->stage == STAGE_WAITING) {
        look->stage = STAGE_CONNECTING;
        look->due_boot_ns = sq_ns_add(now_boot_ns, STAGE_NS);
        look->diagnoser->active += !look->knock;
        return look_connect(look, reason) != 0;
    }
    if (ready || (look->held_back && look->diagnoser->shaking < SHAKING_MAX))
        return look->stage == STAGE_CONNECTING ? look_connected(look, now_boot_ns, reason)
                                               : look_shake_hands(look->diagnoser, look, reason);
    if (look->held_back || now_boot_ns < look->due_boot_ns)
        return 0;
    give_up(look, reason);
    return 1;
}

/* ---- All looks ---- */

static void forget(struct look *look)
{
    struct sq_diagnoser *diagnoser = look->diagnoser;
    look_reset(look);
    diagnoser->asked[look->host] = false;
    if (look->previous != NULL)
        look->previous->next = look->next;
    else
        diagnoser->looks = look->next;
    if (look->next != NULL)
        look->next->previous = look->previous;
    free(look);
}

/* Give one look its turn; it may be over then, and gone. */
static void turn(struct look *look, bool ready)
{
    struct sq_diagnoser *diagnoser = look->diagnoser;
    uint64_t now_boot_ns = sq_loop_now_boot_ns(diagnoser->loop);
    if (look->stage == STAGE_WAITING) {
        if (now_boot_ns < look->due_boot_ns || (!look->knock && diagnoser->active >= ACTIVE_MAX))
            return;
        if (!diagnoser->calls.wanted(diagnoser->calls.cookie, look->host)) {
            forget(look);
            return;
        }
    }
    struct sq_error reason = {.code = SQ_OK};
    if (look_go_on(look, now_boot_ns, ready, &reason) == 0)
        return;
    uint32_t host = look->host;
    look_reset(look);
    look->due_boot_ns = sq_ns_add(now_boot_ns, look->knock ? KNOCK_AGAIN_NS : LOOK_AGAIN_NS);
    if (reason.code != SQ_TIMEOUT)
        forget(look);
    diagnoser->calls.found(diagnoser->calls.cookie, host, &reason); /* may ask for another look at it */
}

/* When somebody's turn comes, or patience ends. */
static void arm(struct sq_diagnoser *diagnoser)
{
    uint64_t next_boot_ns = UINT64_MAX;
    for (const struct look *look = diagnoser->looks; look != NULL; look = look->next) {
        bool blocked = look->stage == STAGE_WAITING ? !look->knock && diagnoser->active >= ACTIVE_MAX
                                                    : look->held_back && diagnoser->shaking >= SHAKING_MAX;
        if (!blocked && look->due_boot_ns < next_boot_ns)
            next_boot_ns = look->due_boot_ns;
        if (look->held_back && !blocked)
            next_boot_ns = 1; /* at once */
    }
    sq_loop_arm(diagnoser->timer, next_boot_ns == UINT64_MAX ? 0 : next_boot_ns);
}

static void on_ready(void *cookie, uint32_t events)
{
    struct look *look = cookie;
    struct sq_diagnoser *diagnoser = look->diagnoser;
    (void)events;
    turn(look, true);
    arm(diagnoser);
}

static void on_time(void *cookie)
{
    struct sq_diagnoser *diagnoser = cookie;
    for (struct look *look = diagnoser->looks, *next; look != NULL; look = next) {
        next = look->next;
        turn(look, false);
    }
    arm(diagnoser);
}

int sq_diagnoser_open(struct sq_loop *loop, const struct sq_inventory *inventory,
                      const struct sq_client_tls *tls, const struct sq_diagnoser_calls *calls,
                      struct sq_diagnoser **result, struct sq_error *error)
{
    struct sq_diagnoser *diagnoser = calloc(1, sizeof(*diagnoser));
    if (diagnoser == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    diagnoser->loop = loop;
    diagnoser->inventory = inventory;
    diagnoser->tls = tls;
    diagnoser->calls = *calls;
    diagnoser->asked = calloc(inventory->host_count > 0 ? inventory->host_count : 1, sizeof(bool));
    if (diagnoser->asked == NULL ||
        sq_loop_add_timer(loop, on_time, diagnoser, &diagnoser->timer, error) != 0) {
        sq_diagnoser_close(diagnoser);
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    }
    *result = diagnoser;
    return 0;
}

void sq_diagnoser_close(struct sq_diagnoser *diagnoser)
{
    if (diagnoser == NULL)
        return;
    while (diagnoser->looks != NULL)
        forget(diagnoser->looks);
    sq_loop_remove(diagnoser->timer);
    free(diagnoser->asked);
    free(diagnoser);
}

/* NULL: out of memory. */
static struct look *look_new(struct sq_diagnoser *diagnoser, uint32_t host)
{
    struct look *look = calloc(1, sizeof(*look));
    if (look == NULL)
        return NULL;
    look->diagnoser = diagnoser;
    look->host = host;
    look->fd = -1;
    look->next = diagnoser->looks;
    if (look->next != NULL)
        look->next->previous = look;
    diagnoser->looks = look;
    diagnoser->asked[host] = true;
    return look;
}

void sq_diagnoser_ask(struct sq_diagnoser *diagnoser, uint32_t host, uint64_t after_ns)
{
    struct look *look = diagnoser->asked[host] ? NULL : look_new(diagnoser, host);
    if (look == NULL)
        return; /* or the request ends with its timeout, unexplained */
    look->due_boot_ns = sq_ns_add(sq_loop_now_boot_ns(diagnoser->loop), after_ns);
    arm(diagnoser);
}

void sq_diagnoser_knock(struct sq_diagnoser *diagnoser, uint32_t host)
{
    struct look *look = diagnoser->asked[host] ? diagnoser->looks : look_new(diagnoser, host);
    while (look != NULL && look->host != host)
        look = look->next;
    if (look == NULL)
        return;
    look_reset(look);
    look->knock = true;
    look->due_boot_ns = sq_loop_now_boot_ns(diagnoser->loop);
    arm(diagnoser);
}
