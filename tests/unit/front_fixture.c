#include "front_fixture.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "front/front.h"
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
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct front_lab front_lab;
static int held_port = -1;

static const char *file_in_lab(const char *name, char path[256])
{
    (void)snprintf(path, 256, "%s/%s", front_lab.directory, name);
    return path;
}

/* ---- the two processes ---- */

static _Noreturn void run_front(char **arguments)
{
    char certificate[256], key[256], ca[256];
    (void)sq_text_copy(front_lab.directory, sizeof front_lab.directory, arguments[0]);
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
        .in_fd = atoi(arguments[5]),
        .out_fd = atoi(arguments[6]),
        .ready_fd = atoi(arguments[7]),
    };
    struct sq_error error = {0};
    int result = sq_front_run(&options, &error);
    if (result != 0)
        (void)fprintf(stderr, "%s\n", error.text);
    _exit(result == 0 ? 0 : 1);
}

static void fill_reply(const struct sq_request *request, struct sq_reply *reply)
{
    struct sq_error error = {0};
    sq_reply_clear(reply);
    reply->now_boot_ns = sq_boot_ns();
    if (sq_request_check(request, &error) != 0)
        sq_reply_fail(reply, &error);
    else
        (void)snprintf(reply->message, sizeof reply->message, "family %u address %u.%u.%u.%u port %u uid %u",
                       request->requester.family, request->requester.address[0],
                       request->requester.address[1], request->requester.address[2],
                       request->requester.address[3], request->requester.agent_port, request->requester.uid);
    reply->fault_count = request->fault_count;
    for (uint32_t i = 0; i < request->fault_count; i++)
        reply->faults[i].index = request->faults[i].index;
}

/* Answers everything with what it got. */
static _Noreturn void run_injector(int in_fd, int out_fd)
{
    static struct sq_ipc_server server;
    struct sq_ipc_end end = {.in_fd = in_fd, .out_fd = out_fd};
    (void)signal(SIGPIPE, SIG_IGN);
    sq_ipc_server_open(&server, &end);
    for (int result = SQ_IPC_PART; result > SQ_IPC_GONE;) {
        bool replies = sq_ipc_reply_is_under_way(&server);
        struct pollfd waiting = {.fd = replies ? out_fd : in_fd, .events = replies ? POLLOUT : POLLIN};
        (void)poll(&waiting, 1, -1);
        if (replies) {
            result = sq_ipc_continue_reply(&server, NULL);
        } else if ((result = sq_ipc_take_request(&server, NULL)) == SQ_IPC_WHOLE) {
            fill_reply(&server.request, &server.reply);
            result = sq_ipc_start_reply(&server, NULL);
        }
    }
    _exit(0);
}

static void keep_across_exec(int fd)
{
    (void)fcntl(fd, F_SETFD, 0);
}

/* A process of this program in another role, with descriptors that it keeps. */
static pid_t start_role(const int *kept, size_t count, char *const *arguments)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    for (size_t i = 0; i < count; i++)
        keep_across_exec(kept[i]);
    (void)execv("/proc/self/exe", arguments);
    _exit(127);
}

void front_start(void)
{
    struct sq_ipc_end injector;
    struct sq_ipc_end front;
    int ready[2];
    assert_int_equal(sq_ipc_make(&injector, &front, NULL), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    int numbers[] = {(int)front_lab.uid, (int)front_lab.gid, front.in_fd,    front.out_fd,
                     ready[1],           injector.in_fd,     injector.out_fd};
    char texts[7][16];
    for (size_t i = 0; i < 7; i++)
        (void)snprintf(texts[i], sizeof texts[i], "%d", numbers[i]);
    char program[] = "test_front", as_injector[] = "--injector", as_front[] = "--front";
    char *const injector_arguments[] = {program, as_injector, texts[5], texts[6], NULL};
    char *const front_arguments[] = {program,
                                     as_front,
                                     front_lab.directory,
                                     front_lab.ipc_url,
                                     front_lab.tls_url,
                                     texts[0],
                                     texts[1],
                                     texts[2],
                                     texts[3],
                                     texts[4],
                                     NULL};
    /* Another one for the front to have inherited. */
    sq_autoclose int directory = open(front_lab.directory, O_RDONLY | O_CLOEXEC);
    front_lab.injector = start_role((int[]){injector.in_fd, injector.out_fd}, 2, injector_arguments);
    front_lab.front = start_role((int[]){front.in_fd, front.out_fd, ready[1], directory}, 4, front_arguments);
    sq_ipc_end_close(&injector);
    sq_ipc_end_close(&front);
    (void)close(ready[1]);
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
}

int front_wait_for(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void make_certificate(const char *what, const char *name, const char *address)
{
    char command[512];
    (void)snprintf(command, sizeof command, "%s/tests/lab/certificates.sh %s %s %s %s", SQ_SOURCE_DIR,
                   front_lab.directory, what, name, address);
    assert_int_equal(system(command), 0);
}

/* A port that stays ours also while the front is not there: to others it is taken, and the front, which binds
 * with SO_REUSEADDR as this one has it from then on, may listen. */
static int hold_port(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

int front_set_up(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(front_lab.directory, sizeof front_lab.directory, "%s/squall-front-XXXXXX",
                   temporary == NULL ? "/tmp" : temporary);
    if (mkdtemp(front_lab.directory) == NULL || chmod(front_lab.directory, 0755) != 0)
        return -1;
    front_lab.uid = geteuid() == 0 ? 65534 : geteuid();
    front_lab.gid = geteuid() == 0 ? 65534 : getegid();
    held_port = hold_port(&front_lab.port);
    (void)snprintf(front_lab.ipc_path, sizeof front_lab.ipc_path, "%s/run/agent.sock", front_lab.directory);
    (void)snprintf(front_lab.ipc_url, sizeof front_lab.ipc_url, "ipc://%s", front_lab.ipc_path);
    (void)snprintf(front_lab.tls_url, sizeof front_lab.tls_url, "tls+tcp://127.0.0.1:%u", front_lab.port);
    char run[96];
    (void)snprintf(run, sizeof run, "%s/run", front_lab.directory);
    if (mkdir(run, 0755) != 0 || (geteuid() == 0 && chown(run, 0, front_lab.gid) != 0) ||
        chmod(run, 01775) != 0)
        return -1;
    make_certificate("agent", "web1", "127.0.0.1");
    make_certificate("controller", "operator", "");
    make_certificate("wrong-controller", "stranger", "");
    make_certificate("expired-controller", "former", "");
    front_start();
    return 0;
}

int front_tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)kill(front_lab.front, SIGKILL);
    (void)kill(front_lab.injector, SIGKILL);
    (void)waitpid(front_lab.front, NULL, 0);
    (void)waitpid(front_lab.injector, NULL, 0);
    (void)close(held_port);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", front_lab.directory);
    return system(command);
}

const struct front_client front_operator = {"operator", "web1"};

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

static void set_tls(nng_dialer dialer, const struct front_client *client)
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
int front_dial(const struct front_client *client, nng_socket *socket)
{
    nng_dialer dialer;
    assert_int_equal(nng_req0_open(socket), 0);
    assert_int_equal(nng_socket_set_ms(*socket, NNG_OPT_SENDTIMEO, FRONT_TIMEOUT_MS), 0);
    assert_int_equal(nng_socket_set_ms(*socket, NNG_OPT_RECVTIMEO, FRONT_TIMEOUT_MS), 0);
    assert_int_equal(
        nng_dialer_create(&dialer, *socket, client == NULL ? front_lab.ipc_url : front_lab.tls_url), 0);
    if (client != NULL)
        set_tls(dialer, client);
    return nng_dialer_start(dialer, 0);
}

int front_exchange(nng_socket socket, const void *bytes, size_t length, struct sq_reply *reply,
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
int front_ask(const struct front_client *client, struct sq_reply *reply, struct sq_error *error)
{
    static struct sq_request request;
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = SQ_VERB_STATUS;
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(sq_wire_encode_request(&request, &bytes, &length, error), 0);
    nng_socket socket;
    int number = front_dial(client, &socket);
    int result = number == 0 ? front_exchange(socket, bytes, length, reply, error)
                             : sq_fail(error, SQ_UNREACHABLE, "%s", nng_strerror(number));
    (void)nng_close(socket);
    return result;
}

void front_assert_served(const struct front_client *client)
{
    static struct sq_reply reply;
    struct sq_error error = {0};
    if (front_ask(client, &reply, &error) != 0)
        fail_msg("not served: %s", error.text);
    assert_int_equal(reply.code, SQ_OK);
    assert_int_equal(reply.verb, SQ_VERB_STATUS);
    assert_int_equal(waitpid(front_lab.front, NULL, WNOHANG), 0);
}

void front_pause_ms(long milliseconds)
{
    struct timespec pause = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

int front_connect_to_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(sq_text_copy(address.sun_path, sizeof address.sun_path, front_lab.ipc_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

int front_connect_to_port(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(front_lab.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* True if the other side closes within the time. */
bool front_is_closed_within(int fd, int milliseconds)
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
uint64_t front_status_number(const char *path, const char *key, int base)
{
    sq_autofile FILE *stream = fopen(path, "re");
    char line[256];
    while (stream != NULL && fgets(line, sizeof line, stream) != NULL)
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            return strtoull(line + strlen(key) + 1, NULL, base);
    fail_msg("%s has no %s", path, key);
    return 0;
}

uint64_t front_kib(const char *key)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)front_lab.front);
    return front_status_number(path, key, 10);
}

/* Call for every thread of the front; the sum of the answers. */
uint64_t front_for_each_thread(uint64_t (*call)(const char *status_path))
{
    char path[300];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)front_lab.front);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    uint64_t sum = 0;
    for (struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%.20s/status", (int)front_lab.front, entry->d_name);
        sum += call(path);
    }
    (void)closedir(tasks);
    return sum;
}

size_t front_descriptors(void)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)front_lab.front);
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
void front_assert_descriptors_return_to(size_t count)
{
    for (int i = 0; i < 300 && front_descriptors() > count; i++)
        front_pause_ms(100);
    assert_true(front_descriptors() <= count);
}

void front_take_role(int argument_count, char **arguments)
{
    if (argument_count == 10 && strcmp(arguments[1], "--front") == 0)
        run_front(arguments + 2);
    if (argument_count == 4 && strcmp(arguments[1], "--injector") == 0)
        run_injector(atoi(arguments[2]), atoi(arguments[3]));
    (void)signal(SIGPIPE, SIG_IGN);
}
