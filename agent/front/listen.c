#include "front/listen.h"

#include "common/log.h"
#include "common/text.h"
#include "front/handshakes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>
#include <nng/transport/ipc/ipc.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IPC_SCHEME       "ipc://"
#define TLS_SCHEME       "tls+tcp://"
#define SEND_PATIENCE_MS 100 /* one answer takes microseconds to leave, unless its reader does not read */

/*
 * nng's sendmsg. nng 1.5 reads EPIPE as "this listener was closed" and accepts nobody any more, so that
 * whoever connects to the Unix socket and leaves at once would make the agent deaf. As a lost connection,
 * which it is, it costs that connection alone. libnng finds this definition before libc's.
 */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t sent = syscall(SYS_sendmsg, fd, message, flags);
    if (sent < 0 && errno == EPIPE)
        errno = ECONNRESET;
    return sent;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool sq_front_needs_tls(const struct sq_front_options *options)
{
    for (uint32_t i = 0; i < options->listen_count; i++)
        if (starts_with(options->listen[i], TLS_SCHEME))
            return true;
    return false;
}

static int check_directory(const char *url, const char *path, gid_t gid, struct sq_error *error)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return 0;
    return sq_fail(
        error, SQ_BAD_INPUT,
        "cannot listen on %s: the folder %s is missing; make it (root's, group %u, mode 1775), or put "
        "the socket into the folder that 'run' names, which squalld makes",
        url, path, (unsigned)gid);
}

int sq_front_check_directories(const struct sq_front_options *options, struct sq_error *error)
{
    for (uint32_t i = 0; i < options->listen_count; i++) {
        if (!starts_with(options->listen[i], IPC_SCHEME))
            continue;
        char path[PATH_MAX];
        (void)sq_text_copy(path, sizeof path, options->listen[i] + strlen(IPC_SCHEME));
        char *slash = strrchr(path, '/');
        if (path[0] != '/' || slash == NULL)
            return sq_fail(error, SQ_BAD_INPUT, "%s: expected ipc:// and an absolute path",
                           options->listen[i]);
        if (slash == path)
            continue;
        *slash = '\0';
        if (check_directory(options->listen[i], path, options->gid, error) != 0)
            return -1;
    }
    return 0;
}

/* Called by nng's own threads, when a handshake is complete. */
static void admit_pipe(nng_pipe pipe, nng_pipe_ev event, void *cookie)
{
    nng_sockaddr remote;
    bool fits = true;
    (void)event;
    (void)cookie;
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &remote) != 0)
        return;
    if (remote.s_family == NNG_AF_INET) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = remote.s_in.sa_port};
        v4.sin_addr.s_addr = remote.s_in.sa_addr;
        fits = sq_handshakes_complete_tls((const struct sockaddr *)&v4);
    } else if (remote.s_family == NNG_AF_INET6) {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = remote.s_in6.sa_port};
        memcpy(&v6.sin6_addr, remote.s_in6.sa_addr, sizeof v6.sin6_addr);
        fits = sq_handshakes_complete_tls((const struct sockaddr *)&v6);
    } else {
        fits = !sq_handshakes_unix_is_full();
    }
    if (!fits)
        (void)nng_pipe_close(pipe);
}

static int fail_nng(struct sq_error *error, int number, const char *what)
{
    return sq_fail(error, SQ_SYSTEM, "%s: %s", what, nng_strerror(number));
}

static int make_tls_config(const struct sq_front_options *options, const struct sq_tls_files *files,
                           nng_tls_config **config, struct sq_error *error)
{
    int number = nng_tls_config_alloc(config, NNG_TLS_MODE_SERVER);
    if (number != 0)
        return fail_nng(error, number, "cannot set TLS up");
    if (nng_tls_config_own_cert(*config, files->certificate, files->key, NULL) != 0)
        return sq_fail(
            error, SQ_BAD_INPUT,
            "%s and %s are not a certificate with its key that TLS accepts; expected PEM without a "
            "password",
            options->tls_certificate, options->tls_key);
    if (nng_tls_config_ca_chain(*config, files->controllers, NULL) != 0)
        return sq_fail(error, SQ_BAD_INPUT, "%s is not a CA certificate that TLS accepts",
                       options->tls_controllers);
    /* mbed TLS decides on the best that both sides have, 1.2 at least. */
    if ((number = nng_tls_config_auth_mode(*config, NNG_TLS_AUTH_MODE_REQUIRED)) != 0 ||
        (number = nng_tls_config_version(*config, NNG_TLS_1_2, NNG_TLS_1_3)) != 0)
        return fail_nng(error, number, "cannot require certificates and TLS 1.2");
    return 0;
}

/* The words for what goes wrong in practice. */
static int fail_listen(const struct sq_front_options *options, const char *url, int number,
                       struct sq_error *error)
{
    if (number == NNG_EADDRINUSE)
        return sq_fail(error, SQ_CONFLICT,
                       "cannot listen on %s: somebody else does; is another squalld running?", url);
    if (number == NNG_EPERM && starts_with(url, IPC_SCHEME))
        return sq_fail(
            error, SQ_SYSTEM,
            "cannot listen on %s: user %u may not make it there; give the directory to group %u with "
            "mode 1775, and remove a socket of another user",
            url, (unsigned)options->uid, (unsigned)options->gid);
    return sq_fail(error, SQ_SYSTEM, "cannot listen on %s: %s", url, nng_strerror(number));
}

static int add_listener(const struct sq_front_options *options, const char *url, nng_tls_config *tls,
                        nng_socket socket, struct sq_error *error)
{
    bool is_tls = starts_with(url, TLS_SCHEME);
    if (!is_tls && !starts_with(url, IPC_SCHEME))
        return sq_fail(error, SQ_BAD_INPUT, "%s: expected ipc:///PATH or tls+tcp://ADDRESS:PORT", url);
    nng_listener listener = NNG_LISTENER_INITIALIZER;
    int number = nng_listener_create(&listener, socket, url);
    if (number == 0)
        number = nng_listener_set_size(listener, NNG_OPT_RECVMAXSZ, SQ_WIRE_BYTES_MAX);
    if (number == 0 && is_tls)
        number = nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, tls);
    if (number == 0 && !is_tls)
        number = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, (int)(options->socket_mode & 07777));
    if (number == 0)
        number = nng_listener_start(listener, 0);
    if (number != 0)
        return fail_listen(options, url, number, error);
    sq_log(SQ_LOG_INFO, "listening on %s", url);
    return 0;
}

static int add_listeners(const struct sq_front_options *options, const struct sq_tls_files *files,
                         nng_socket socket, struct sq_error *error)
{
    nng_tls_config *tls = NULL;
    int result = 0;
    if (sq_front_needs_tls(options))
        result = make_tls_config(options, files, &tls, error);
    for (uint32_t i = 0; i < options->listen_count && result == 0; i++)
        result = add_listener(options, options->listen[i], tls, socket, error);
    if (tls != NULL)
        nng_tls_config_free(tls); /* the listeners hold it */
    return result;
}

int sq_front_listen(const struct sq_front_options *options, const struct sq_tls_files *files,
                    nng_socket *socket, struct sq_error *error)
{
    int number = nng_rep0_open(socket);
    if (number != 0)
        return fail_nng(error, number, "cannot open the reply socket");
    /* 0 would mean any size. */
    number = nng_socket_set_size(*socket, NNG_OPT_RECVMAXSZ, SQ_WIRE_BYTES_MAX);
    if (number == 0)
        number = nng_socket_set_ms(*socket, NNG_OPT_SENDTIMEO, SEND_PATIENCE_MS);
    if (number == 0)
        number = nng_pipe_notify(*socket, NNG_PIPE_EV_ADD_PRE, admit_pipe, NULL);
    /* nng makes what tells of requests when it is asked for: before a connection can be in the midst of it.
     */
    int receive_fd = -1;
    if (number == 0)
        number = nng_socket_get_int(*socket, NNG_OPT_RECVFD, &receive_fd);
    int result = number == 0 ? add_listeners(options, files, *socket, error)
                             : fail_nng(error, number, "cannot bound the reply socket");
    if (result != 0)
        (void)nng_close(*socket);
    return result;
}

void sq_front_remove_sockets(const struct sq_front_options *options)
{
    for (uint32_t i = 0; i < options->listen_count; i++)
        if (starts_with(options->listen[i], IPC_SCHEME))
            (void)unlink(options->listen[i] + strlen(IPC_SCHEME));
}

/* Connections to an IPv6 listener from IPv4 peers carry mapped addresses (RFC 4291, 2.5.5.2). */
static void set_ipv6(struct sq_requester *requester, const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool is_mapped = memcmp(address, mapped, sizeof mapped) == 0;
    requester->family = is_mapped ? 4 : 6;
    memcpy(requester->address, is_mapped ? address + 12 : address, is_mapped ? 4 : 16);
}

int sq_front_requester(nng_msg *message, struct sq_requester *requester)
{
    memset(requester, 0, sizeof *requester);
    nng_pipe pipe = nng_msg_get_pipe(message);
    nng_sockaddr remote;
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &remote) != 0)
        return -1;
    if (remote.s_family == NNG_AF_IPC || remote.s_family == NNG_AF_UNSPEC) {
        uint64_t uid = 0;
        if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &uid) != 0)
            return -1;
        requester->uid = (uint32_t)uid;
        uint64_t pid = 0;
        if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_PID, &pid) == 0 && pid <= INT32_MAX)
            requester->pid = (uint32_t)pid;
        return 0;
    }
    nng_sockaddr local;
    if (nng_pipe_get_addr(pipe, NNG_OPT_LOCADDR, &local) != 0)
        return -1;
    if (remote.s_family == NNG_AF_INET) {
        requester->family = 4;
        memcpy(requester->address, &remote.s_in.sa_addr, 4);
    } else if (remote.s_family == NNG_AF_INET6) {
        set_ipv6(requester, remote.s_in6.sa_addr);
    } else {
        return -1;
    }
    requester->agent_port = ntohs(local.s_family == NNG_AF_INET6 ? local.s_in6.sa_port : local.s_in.sa_port);
    return 0;
}
