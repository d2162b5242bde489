/* libraries: sq_front sq_wire sq_ipc nng::nng */
/*
 * The front in a process of its own, as an unprivileged user, with a scripted injector behind it, over a Unix
 * socket and mutual TLS. Both processes are this program, started again: nng cannot be forked.
 */
#include "common/cleanup.h"
#include "common/text.h"
#include "front/front.h"
#include "front/sandbox.h"
#include "ipc/ipc.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A sanitizer's runtime needs more memory and more system calls, and has a thread of its own. */
#define WATCHED 0
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#undef WATCHED
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#undef WATCHED
#define WATCHED 1
#endif
#endif

#define HUGE_BYTES  (100u << 20)
#define GROWTH_KIB  (32 * 1024)
#define TIMEOUT_MS  3000
#define CONNECTIONS 600 /* more than the front has descriptors for */

static struct {
    char directory[64];
    char ipc_url[128];
    char ipc_path[96];
    char tls_url[128];
    uint16_t port;
    uid_t uid;
    gid_t gid;
    pid_t front;
    pid_t injector;
} lab;

static const char *file_in_lab(const char *name, char path[256])
{
    (void)snprintf(path, 256, "%s/%s", lab.directory, name);
    return path;
}

/* ---- the two processes ---- */

static int run_front(char **arguments)
{
    char certificate[256], key[256], ca[256];
    (void)sq_text_copy(lab.directory, sizeof lab.directory, arguments[0]);
    const char *listen[] = {arguments[1], arguments[2]};
    struct sq_front_options options = {
        .listen_count = 2,
        .listen = listen,
        .tls_certificate = file_in_lab("web1.pem", certificate),
        .tls_key = file_in_lab("web1.key", key),
        .tls_controllers = file_in_lab("controllers-ca.pem", ca),
        .uid = (uid_t)atoi(arguments[3]),
        .gid = (gid_t)atoi(arguments[4]),
        .socket_mode = 0660,
        .injector_fd = atoi(arguments[5]),
        .ready_fd = atoi(arguments[6]),
    };
    struct sq_error error = {0};
    int result = sq_front_run(&options, &error);
    if (result != 0)
        (void)fprintf(stderr, "%s\n", error.text);
    _exit(result == 0 ? 0 : 1);
}

/* Answers everything with what it got. */
static int run_injector(int fd)
{
    struct sq_request *request = calloc(1, sizeof *request);
    struct sq_reply *reply = calloc(1, sizeof *reply);
    while (request != NULL && reply != NULL && sq_ipc_receive_request(fd, request, NULL) == 1) {
        memset(reply, 0, sizeof *reply);
        reply->now_boot_ns = sq_boot_ns();
        struct sq_error error = {0};
        if (sq_request_check(request, &error) != 0)
            sq_reply_fail(reply, &error);
        else
            (void)snprintf(reply->message, sizeof reply->message,
                           "family %u address %u.%u.%u.%u port %u uid %u", request->requester.family,
                           request->requester.address[0], request->requester.address[1],
                           request->requester.address[2], request->requester.address[3],
                           request->requester.agent_port, request->requester.uid);
        reply->fault_count = request->fault_count;
        for (uint32_t i = 0; i < request->fault_count; i++)
            reply->faults[i].index = request->faults[i].index;
        if (sq_ipc_send_reply(fd, reply, NULL) != 0)
            break;
    }
    _exit(0);
}

static void keep_across_exec(int fd)
{
    (void)fcntl(fd, F_SETFD, 0);
}

static void start_front(void)
{
    int pair[2];
    int ready[2];
    assert_int_equal(sq_ipc_pair(pair, NULL), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    char uid[16], gid[16], fd[16], ready_fd[16], injector_fd[16];
    (void)snprintf(uid, sizeof uid, "%u", (unsigned)lab.uid);
    (void)snprintf(gid, sizeof gid, "%u", (unsigned)lab.gid);
    (void)snprintf(fd, sizeof fd, "%d", pair[1]);
    (void)snprintf(ready_fd, sizeof ready_fd, "%d", ready[1]);
    (void)snprintf(injector_fd, sizeof injector_fd, "%d", pair[0]);
    lab.injector = fork();
    if (lab.injector == 0) {
        keep_across_exec(pair[0]);
        (void)execl("/proc/self/exe", "test_front", "--injector", injector_fd, (char *)NULL);
        _exit(127);
    }
    lab.front = fork();
    if (lab.front == 0) {
        keep_across_exec(pair[1]);
        keep_across_exec(ready[1]);
        keep_across_exec(open(lab.directory, O_RDONLY | O_CLOEXEC));
        (void)execl("/proc/self/exe", "test_front", "--front", lab.directory, lab.ipc_url, lab.tls_url, uid,
                    gid, fd, ready_fd, (char *)NULL);
        _exit(127);
    }
    (void)close(pair[0]);
    (void)close(pair[1]);
    (void)close(ready[1]);
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void make_certificate(const char *what, const char *name, const char *address)
{
    char command[512];
    (void)snprintf(command, sizeof command, "%s/tests/lab/certificates.sh %s %s %s %s", SQ_SOURCE_DIR,
                   lab.directory, what, name, address);
    assert_int_equal(system(command), 0);
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    sq_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static int set_up(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(lab.directory, sizeof lab.directory, "%s/squall-front-XXXXXX",
                   temporary == NULL ? "/tmp" : temporary);
    if (mkdtemp(lab.directory) == NULL || chmod(lab.directory, 0755) != 0)
        return -1;
    lab.uid = geteuid() == 0 ? 65534 : geteuid();
    lab.gid = geteuid() == 0 ? 65534 : getegid();
    lab.port = free_port();
    (void)snprintf(lab.ipc_path, sizeof lab.ipc_path, "%s/run/agent.sock", lab.directory);
    (void)snprintf(lab.ipc_url, sizeof lab.ipc_url, "ipc://%s", lab.ipc_path);
    (void)snprintf(lab.tls_url, sizeof lab.tls_url, "tls+tcp://127.0.0.1:%u", lab.port);
    make_certificate("agent", "web1", "127.0.0.1");
    make_certificate("controller", "operator", "");
    make_certificate("wrong-controller", "stranger", "");
    make_certificate("expired-controller", "former", "");
    start_front();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)kill(lab.front, SIGKILL);
    (void)kill(lab.injector, SIGKILL);
    (void)waitpid(lab.front, NULL, 0);
    (void)waitpid(lab.injector, NULL, 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", lab.directory);
    return system(command);
}

/* ---- a client ---- */

struct client {
    const char *certificate; /* name in the lab's directory; NULL: none */
    const char *host;        /* the name that the agent's certificate must bear */
};

static const struct client operator_client = {"operator", "web1"};

static char *read_file(const char *name, const char *suffix)
{
    char path[256];
    char file[64];
    (void)snprintf(file, sizeof file, "%s%s", name, suffix);
    FILE *stream = fopen(file_in_lab(file, path), "re");
    assert_non_null(stream);
    char *content = calloc(1, 8192);
    assert_non_null(content);
    assert_true(fread(content, 1, 8191, stream) > 0);
    (void)fclose(stream);
    return content;
}

static void set_tls(nng_dialer dialer, const struct client *client)
{
    nng_tls_config *tls = NULL;
    sq_autofree char *ca = read_file("agents-ca", ".pem");
    assert_int_equal(nng_tls_config_alloc(&tls, NNG_TLS_MODE_CLIENT), 0);
    assert_int_equal(nng_tls_config_ca_chain(tls, ca, NULL), 0);
    assert_int_equal(nng_tls_config_auth_mode(tls, NNG_TLS_AUTH_MODE_REQUIRED), 0);
    assert_int_equal(nng_tls_config_server_name(tls, client->host), 0);
    if (client->certificate != NULL) {
        sq_autofree char *certificate = read_file(client->certificate, ".pem");
        sq_autofree char *key = read_file(client->certificate, ".key");
        assert_int_equal(nng_tls_config_own_cert(tls, certificate, key, NULL), 0);
    }
    assert_int_equal(nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, tls), 0);
    nng_tls_config_free(tls);
}

/* Connect; `client` NULL: over the Unix socket. Returns nng's number. */
static int dial(const struct client *client, nng_socket *socket)
{
    nng_dialer dialer;
    assert_int_equal(nng_req0_open(socket), 0);
    assert_int_equal(nng_socket_set_ms(*socket, NNG_OPT_SENDTIMEO, TIMEOUT_MS), 0);
    assert_int_equal(nng_socket_set_ms(*socket, NNG_OPT_RECVTIMEO, TIMEOUT_MS), 0);
    assert_int_equal(nng_dialer_create(&dialer, *socket, client == NULL ? lab.ipc_url : lab.tls_url), 0);
    if (client != NULL)
        set_tls(dialer, client);
    return nng_dialer_start(dialer, 0);
}

static int exchange(nng_socket socket, const void *bytes, size_t length, struct sq_reply *reply,
                    struct sq_error *error)
{
    nng_msg *message = NULL;
    assert_int_equal(nng_msg_alloc(&message, 0), 0);
    assert_int_equal(nng_msg_append(message, bytes, length), 0);
    int number = nng_sendmsg(socket, message, 0);
    if (number != 0) {
        nng_msg_free(message);
        return sq_fail(error, SQ_UNREACHABLE, "%s", nng_strerror(number));
    }
    if ((number = nng_recvmsg(socket, &message, 0)) != 0)
        return sq_fail(error, SQ_TIMEOUT, "%s", nng_strerror(number));
    int result = sq_wire_decode_reply(nng_msg_body(message), nng_msg_len(message), reply, error);
    nng_msg_free(message);
    return result;
}

/* Dial, ask for the status, close. */
static int ask(const struct client *client, struct sq_reply *reply, struct sq_error *error)
{
    static struct sq_request request;
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = SQ_VERB_STATUS;
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(sq_wire_encode_request(&request, &bytes, &length, error), 0);
    nng_socket socket;
    int number = dial(client, &socket);
    int result = number == 0 ? exchange(socket, bytes, length, reply, error)
                             : sq_fail(error, SQ_UNREACHABLE, "%s", nng_strerror(number));
    (void)nng_close(socket);
    return result;
}

static void assert_served(const struct client *client)
{
    static struct sq_reply reply;
    struct sq_error error = {0};
    if (ask(client, &reply, &error) != 0)
        fail_msg("not served: %s", error.text);
    assert_int_equal(reply.code, SQ_OK);
    assert_int_equal(reply.verb, SQ_VERB_STATUS);
    assert_int_equal(waitpid(lab.front, NULL, WNOHANG), 0);
}

static void pause_ms(long milliseconds)
{
    struct timespec pause = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static int connect_to_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(sq_text_copy(address.sun_path, sizeof address.sun_path, lab.ipc_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int connect_to_port(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(lab.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* True if the other side closes within the time. */
static bool is_closed_within(int fd, int milliseconds)
{
    uint64_t end_ns = sq_boot_ns() + (uint64_t)milliseconds * SQ_NS_PER_MILLISECOND;
    char bytes[512];
    while (sq_boot_ns() < end_ns) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 100) > 0 && read(fd, bytes, sizeof bytes) <= 0)
            return true;
    }
    return false;
}

/* A number from /proc/PID/status or a thread's. */
static uint64_t status_number(const char *path, const char *key, int base)
{
    sq_autofile FILE *stream = fopen(path, "re");
    char line[256];
    while (stream != NULL && fgets(line, sizeof line, stream) != NULL)
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            return strtoull(line + strlen(key) + 1, NULL, base);
    fail_msg("%s has no %s", path, key);
    return 0;
}

static uint64_t front_kib(const char *key)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)lab.front);
    return status_number(path, key, 10);
}

/* Call for every thread of the front; the sum of the answers. */
static uint64_t for_each_thread(uint64_t (*call)(const char *status_path))
{
    char path[300];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)lab.front);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    uint64_t sum = 0;
    for (struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%.20s/status", (int)lab.front, entry->d_name);
        sum += call(path);
    }
    (void)closedir(tasks);
    return sum;
}

/* ---- round trips ---- */

static void test_unix_socket_serves(void **state)
{
    (void)state;
    static struct sq_reply reply;
    struct sq_error error = {0};
    assert_int_equal(ask(NULL, &reply, &error), 0);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "family 0 address 0.0.0.0 port 0 uid %u", (unsigned)geteuid());
    assert_string_equal(reply.message, expected);
    struct stat status;
    assert_int_equal(stat(lab.ipc_path, &status), 0);
    assert_int_equal(status.st_mode, S_IFSOCK | 0660);
    assert_int_equal(status.st_uid, lab.uid);
    assert_int_equal(status.st_gid, lab.gid);
}

static void test_tls_serves_and_knows_the_peer(void **state)
{
    (void)state;
    static struct sq_reply reply;
    struct sq_error error = {0};
    if (ask(&operator_client, &reply, &error) != 0)
        fail_msg("%s", error.text);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "family 4 address 127.0.0.1 port %u uid 0", lab.port);
    assert_string_equal(reply.message, expected);
}

/* The largest request that there is: eight faults of 1024 peers each. */
static void test_largest_request_passes(void **state)
{
    (void)state;
    static struct sq_request request;
    static struct sq_reply reply;
    struct sq_error error = {0};
    request = (struct sq_request){.version = SQ_PROTOCOL_VERSION, .verb = SQ_VERB_PREVIEW};
    request.experiment.bytes[0] = 1;
    request.fault_count = SQ_FAULTS_MAX;
    for (uint32_t i = 0; i < SQ_FAULTS_MAX; i++) {
        struct sq_fault_order *order = &request.faults[i];
        order->index = i;
        order->duration_ns = SQ_NS_PER_SECOND;
        order->spec.kind = SQ_NETWORK_PARTITION;
        struct sq_network_selector *selector = &order->spec.partition.selector;
        selector->direction = SQ_DIRECTION_BOTH;
        selector->to_count =
            WATCHED ? 64 : SQ_PEERS_MAX; /* comparing all with all takes a sanitizer seconds */
        for (uint32_t j = 0; j < selector->to_count; j++)
            selector->to[j] =
                (struct sq_cidr){6, 128, {0xfd, [13] = (uint8_t)i, (uint8_t)(j >> 8), (uint8_t)j}};
    }
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(sq_wire_encode_request(&request, &bytes, &length, &error), 0);
    nng_socket socket;
    assert_int_equal(dial(&operator_client, &socket), 0);
    if (exchange(socket, bytes, length, &reply, &error) != 0)
        fail_msg("%s", error.text);
    (void)nng_close(socket);
    assert_int_equal(reply.code, SQ_OK);
    assert_int_equal(reply.fault_count, SQ_FAULTS_MAX);
}

/* ---- who is refused ---- */

static void assert_refused(const struct client *client)
{
    static struct sq_reply reply;
    struct sq_error error = {0};
    assert_int_equal(ask(client, &reply, &error), -1);
    assert_true(error.code == SQ_UNREACHABLE || error.code == SQ_TIMEOUT);
    assert_served(&operator_client);
}

static void test_no_certificate_is_refused(void **state)
{
    (void)state;
    assert_refused(&(struct client){NULL, "web1"});
}

static void test_certificate_of_another_ca_is_refused(void **state)
{
    (void)state;
    assert_refused(&(struct client){"stranger", "web1"});
}

static void test_expired_certificate_is_refused(void **state)
{
    (void)state;
    assert_refused(&(struct client){"former", "web1"});
}

/* An agent's certificate is no controller's: the two authorities are not interchangeable. */
static void test_agent_is_no_controller(void **state)
{
    (void)state;
    assert_refused(&(struct client){"web1", "web1"});
}

static void test_client_refuses_wrong_host_name(void **state)
{
    (void)state;
    assert_refused(&(struct client){"operator", "web2"});
}

static void test_plain_bytes_on_the_tls_port(void **state)
{
    (void)state;
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    sq_autoclose int fd = connect_to_port();
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    assert_true(is_closed_within(fd, TIMEOUT_MS));
    assert_served(&operator_client);
}

/* nng's own handshake without TLS: plain TCP has no way in. */
static void test_plain_nng_on_the_tls_port(void **state)
{
    (void)state;
    static const char hello[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    sq_autoclose int fd = connect_to_port();
    assert_int_equal(write(fd, hello, sizeof hello), sizeof hello);
    assert_true(is_closed_within(fd, 12000));
    assert_served(&operator_client);
}

static void check_garbage(const struct client *client)
{
    static struct sq_reply reply;
    static const char garbage[] = "these bytes are no message";
    static const uint8_t version_99[] = {0x08, 99, 0x10, 7};
    struct sq_error error = {0};
    nng_socket socket;
    assert_int_equal(dial(client, &socket), 0);
    assert_int_equal(exchange(socket, garbage, sizeof garbage, &reply, &error), 0);
    assert_int_equal(reply.code, SQ_BAD_INPUT);
    assert_true(reply.message[0] != '\0');
    assert_int_equal(exchange(socket, "", 0, &reply, &error), 0);
    assert_int_equal(reply.code, SQ_BAD_INPUT);
    assert_int_equal(exchange(socket, version_99, sizeof version_99, &reply, &error), 0);
    assert_int_equal(reply.code, SQ_VERSION_GAP);
    assert_int_equal(reply.verb, SQ_VERB_STATUS);
    assert_non_null(strstr(reply.message, "99"));
    (void)nng_close(socket);
    assert_served(client);
}

static void test_garbage_is_answered(void **state)
{
    (void)state;
    check_garbage(NULL);
    check_garbage(&operator_client);
}

static size_t front_descriptors(void)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)lab.front);
    DIR *fds = opendir(path);
    if (fds == NULL && errno == EACCES && geteuid() != 0)
        return 0; /* the front is not dumpable: only root may look */
    assert_non_null(fds);
    size_t count = 0;
    while (readdir(fds) != NULL)
        count++;
    (void)closedir(fds);
    return count;
}

/* Connections that are over take nothing with them. */
static void assert_descriptors_return_to(size_t count)
{
    for (int i = 0; i < 300 && front_descriptors() > count; i++)
        pause_ms(100);
    assert_true(front_descriptors() <= count);
}

/* A process of its own, since nng's closing of a socket with half a message sent may never return. Exit 0:
 * dropped. */
static void run_flood(const char *directory, const char *url, const char *is_tls)
{
    nng_socket flood;
    nng_msg *message = NULL;
    (void)sq_text_copy(lab.directory, sizeof lab.directory, directory);
    (void)sq_text_copy(lab.ipc_url, sizeof lab.ipc_url, url);
    (void)sq_text_copy(lab.tls_url, sizeof lab.tls_url, url);
    if (dial(is_tls[0] == '1' ? &operator_client : NULL, &flood) != 0 ||
        nng_msg_alloc(&message, HUGE_BYTES) != 0)
        _exit(2);
    (void)nng_socket_set_ms(flood, NNG_OPT_RECVTIMEO, 1000);
    (void)nng_sendmsg(flood, message, 0);
    _exit(nng_recvmsg(flood, &message, 0) == 0 ? 1 : 0);
}

static void check_huge(const struct client *client)
{
    assert_served(client);
    uint64_t before_kib = front_kib("VmRSS");
    size_t descriptors = front_descriptors();
    pid_t flood = fork();
    if (flood == 0) {
        (void)execl("/proc/self/exe", "test_front", "--flood", lab.directory,
                    client == NULL ? lab.ipc_url : lab.tls_url, client == NULL ? "0" : "1", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(wait_for(flood), 0);
    assert_served(client);
    assert_true(WATCHED || front_kib("VmHWM") < before_kib + GROWTH_KIB);
    assert_descriptors_return_to(descriptors);
}

static void test_100_mb_are_dropped(void **state)
{
    (void)state;
    check_huge(NULL);
    check_huge(&operator_client);
}

/* ---- nobody holds up the others ---- */

static void test_client_that_never_reads(void **state)
{
    (void)state;
    /* nng's handshake of a requester, then one request after another: length, request id, body. */
    static const unsigned char hello[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    static const unsigned char request[] = {1, 0, 0, 0, 0, 0, 0, 0, 8, 0x80, 0, 0, 1, 0x08, 1, 0x10, 7};
    size_t descriptors = front_descriptors();
    int fd = connect_to_socket();
    assert_int_equal(write(fd, hello, sizeof hello), sizeof hello);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    int sent = 0;
    for (int idle = 0; sent < 20000 && idle < 20;) {
        if (write(fd, request, sizeof request) == (ssize_t)sizeof request) {
            sent++;
        } else {
            idle++;
            pause_ms(10);
        }
    }
    assert_true(sent > 100);
    assert_served(NULL);
    assert_served(&operator_client);
    (void)close(fd);
    assert_descriptors_return_to(descriptors);
}

static void test_connections_that_say_nothing(void **state)
{
    (void)state;
    static int fds[CONNECTIONS];
    nng_socket connected;
    size_t descriptors = front_descriptors();
    assert_int_equal(dial(NULL, &connected), 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(lab.port)};
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&address, sizeof address);
    }
    pause_ms(500);
    /* Whoever was connected goes on being served: leases are renewed. */
    static struct sq_reply reply;
    static const uint8_t status[] = {0x08, 1, 0x10, SQ_VERB_STATUS};
    struct sq_error error = {0};
    if (exchange(connected, status, sizeof status, &reply, &error) != 0)
        fail_msg("%s", error.text);
    assert_true(WATCHED || front_kib("VmRSS") < 128 * 1024);
    for (int i = 0; i < CONNECTIONS; i++)
        (void)close(fds[i]);
    (void)nng_close(connected);
    assert_descriptors_return_to(descriptors);
    assert_served(&operator_client);
}

/* ---- what the front may do ---- */

static uint64_t privileges_of(const char *path)
{
    assert_int_equal(status_number(path, "Seccomp", 10), 2);
    assert_int_equal(status_number(path, "NoNewPrivs", 10), 1);
    assert_int_equal(status_number(path, "Uid", 10), lab.uid);
    return status_number(path, "CapEff", 16) | status_number(path, "CapPrm", 16) |
           status_number(path, "CapInh", 16) | status_number(path, "CapAmb", 16) |
           (geteuid() == 0 ? status_number(path, "CapBnd", 16) : 0);
}

static void test_every_thread_is_unprivileged(void **state)
{
    (void)state;
    assert_int_equal(for_each_thread(privileges_of), 0);
}

/* Sockets, pipes and the like are its own; files it has none, though its process was started with one. */
static void test_no_inherited_descriptors(void **state)
{
    (void)state;
    char path[300];
    char target[300];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)lab.front);
    DIR *fds = opendir(path);
    if (fds == NULL && errno == EACCES && geteuid() != 0)
        skip();
    assert_non_null(fds);
    for (struct dirent *entry = readdir(fds); entry != NULL; entry = readdir(fds)) {
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%.20s", (int)lab.front, entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length <= 0 || atoi(entry->d_name) <= STDERR_FILENO)
            continue;
        target[length] = '\0';
        assert_true(target[0] != '/');
    }
    (void)closedir(fds);
}

/* How a child that entered the sandbox fared with one call: its wait status; exit 0: the call was let
 * through. */
static int sandboxed(long (*call)(void))
{
    pid_t child = fork();
    if (child == 0) {
        struct sq_error error = {0};
        if (sq_front_sandbox_enter(&error) != 0) {
            (void)fprintf(stderr, "%s\n", error.text);
            _exit(99);
        }
        _exit(call() < 0 ? 1 : 0);
    }
    return wait_for(child);
}

static long call_execve(void)
{
    char *nothing[] = {NULL};
    return syscall(SYS_execve, "/bin/true", nothing, nothing);
}

static long call_fork(void)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    return child;
}

static long call_ptrace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long call_bpf(void)
{
    return syscall(SYS_bpf, 0, NULL, 0);
}

static long call_mount(void)
{
    return syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
}

static long call_unshare(void)
{
    return syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */);
}

static long call_kill(void)
{
    return kill(getpid(), 0);
}

static long call_open(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static long call_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static long call_packet(void)
{
    return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static long call_nothing(void)
{
    return 0;
}

static void test_sandbox_stops_what_is_not_listed(void **state)
{
    (void)state;
    assert_int_equal(sandboxed(call_nothing), 0);
    static long (*const calls[])(void) = {call_execve,  call_fork, call_ptrace, call_bpf,     call_mount,
                                          call_unshare, call_kill, call_open,   call_netlink, call_packet};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        int status = sandboxed(calls[i]);
        bool is_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
        bool is_refused = WIFEXITED(status) && WEXITSTATUS(status) == 1;
        bool is_for_the_runtime = WATCHED && calls[i] == call_open;
        if (!is_killed && !is_refused && !is_for_the_runtime)
            fail_msg("call %zu was let through (status %#x)", i, (unsigned)status);
    }
}

static uint64_t switches_of(const char *path)
{
    return status_number(path, "voluntary_ctxt_switches", 10) +
           status_number(path, "nonvoluntary_ctxt_switches", 10);
}

/* SQ_IDLE_SECONDS makes it longer. A thread that makes a system call that waits, or is woken, is switched. */
static void test_idle_front_sleeps(void **state)
{
    (void)state;
    if (WATCHED)
        skip();
    const char *seconds = getenv("SQ_IDLE_SECONDS");
    pause_ms(500);
    uint64_t before = for_each_thread(switches_of);
    pause_ms(1000 * (seconds == NULL ? 3 : atol(seconds)));
    assert_int_equal(for_each_thread(switches_of), before);
}

/* ---- ends and beginnings ---- */

static void test_front_leaves_with_the_injector(void **state)
{
    (void)state;
    assert_int_equal(kill(lab.injector, SIGKILL), 0);
    (void)wait_for(lab.injector);
    assert_int_equal(wait_for(lab.front), 0);
    assert_int_equal(access(lab.ipc_path, F_OK), -1);
    start_front();
    assert_served(NULL);
    assert_served(&operator_client);
}

static void test_socket_of_a_killed_front_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(kill(lab.front, SIGKILL), 0);
    (void)wait_for(lab.front);
    (void)wait_for(lab.injector);
    assert_int_equal(access(lab.ipc_path, F_OK), 0);
    start_front();
    assert_served(NULL);
    assert_served(&operator_client);
}

int main(int argument_count, char **arguments)
{
    if (argument_count == 9 && strcmp(arguments[1], "--front") == 0)
        return run_front(arguments + 2);
    if (argument_count == 5 && strcmp(arguments[1], "--flood") == 0)
        run_flood(arguments[2], arguments[3], arguments[4]);
    if (argument_count == 3 && strcmp(arguments[1], "--injector") == 0)
        return run_injector(atoi(arguments[2]));
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unix_socket_serves),
        cmocka_unit_test(test_tls_serves_and_knows_the_peer),
        cmocka_unit_test(test_largest_request_passes),
        cmocka_unit_test(test_no_certificate_is_refused),
        cmocka_unit_test(test_certificate_of_another_ca_is_refused),
        cmocka_unit_test(test_expired_certificate_is_refused),
        cmocka_unit_test(test_agent_is_no_controller),
        cmocka_unit_test(test_client_refuses_wrong_host_name),
        cmocka_unit_test(test_plain_bytes_on_the_tls_port),
        cmocka_unit_test(test_plain_nng_on_the_tls_port),
        cmocka_unit_test(test_garbage_is_answered),
        cmocka_unit_test(test_100_mb_are_dropped),
        cmocka_unit_test(test_client_that_never_reads),
        cmocka_unit_test(test_connections_that_say_nothing),
        cmocka_unit_test(test_every_thread_is_unprivileged),
        cmocka_unit_test(test_no_inherited_descriptors),
        cmocka_unit_test(test_sandbox_stops_what_is_not_listed),
        cmocka_unit_test(test_idle_front_sleeps),
        cmocka_unit_test(test_front_leaves_with_the_injector),
        cmocka_unit_test(test_socket_of_a_killed_front_is_replaced),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
