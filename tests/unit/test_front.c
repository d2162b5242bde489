/* libraries: sq_front_fixture nng::nng */
/* The front serves whom it should and nobody else, with no more privileges than it needs, and comes and goes
 * cleanly. */
#include "front_fixture.h"

#include "common/cleanup.h"
#include "front/sandbox.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- round trips ---- */

static void test_unix_socket_serves(void **state)
{
    (void)state;
    static struct sq_reply reply;
    struct sq_error error = {0};
    assert_int_equal(front_ask(NULL, &reply, &error), 0);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "family 0 address 0.0.0.0 port 0 uid %u", (unsigned)geteuid());
    assert_string_equal(reply.message, expected);
    struct stat status;
    assert_int_equal(stat(front_lab.ipc_path, &status), 0);
    assert_int_equal(status.st_mode, S_IFSOCK | 0660);
    assert_int_equal(status.st_uid, front_lab.uid);
    assert_int_equal(status.st_gid, front_lab.gid);
}

static void test_tls_serves_and_knows_the_peer(void **state)
{
    (void)state;
    static struct sq_reply reply;
    struct sq_error error = {0};
    if (front_ask(&front_operator, &reply, &error) != 0)
        fail_msg("%s", error.text);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "family 4 address 127.0.0.1 port %u uid 0", front_lab.port);
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
            FRONT_IS_WATCHED ? 64 : SQ_PEERS_MAX; /* comparing all with all takes a sanitizer seconds */
        for (uint32_t j = 0; j < selector->to_count; j++)
            selector->to[j] =
                (struct sq_cidr){6, 128, {0xfd, [13] = (uint8_t)i, (uint8_t)(j >> 8), (uint8_t)j}};
    }
    sq_autofree uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(sq_wire_encode_request(&request, &bytes, &length, &error), 0);
    nng_socket socket;
    assert_int_equal(front_dial(&front_operator, &socket), 0);
    if (front_exchange(socket, bytes, length, &reply, &error) != 0)
        fail_msg("%s", error.text);
    (void)nng_close(socket);
    assert_int_equal(reply.code, SQ_OK);
    assert_int_equal(reply.fault_count, SQ_FAULTS_MAX);
}

/* ---- who is refused ---- */

static void assert_refused(const struct front_client *client)
{
    static struct sq_reply reply;
    struct sq_error error = {0};
    assert_int_equal(front_ask(client, &reply, &error), -1);
    assert_true(error.code == SQ_UNREACHABLE || error.code == SQ_TIMEOUT);
    front_assert_served(&front_operator);
}

static void test_no_certificate_is_refused(void **state)
{
    (void)state;
    assert_refused(&(struct front_client){NULL, "web1"});
}

static void test_certificate_of_another_ca_is_refused(void **state)
{
    (void)state;
    assert_refused(&(struct front_client){"stranger", "web1"});
}

static void test_expired_certificate_is_refused(void **state)
{
    (void)state;
    assert_refused(&(struct front_client){"former", "web1"});
}

/* An agent's certificate is no controller's: the two authorities are not interchangeable. */
static void test_agent_is_no_controller(void **state)
{
    (void)state;
    assert_refused(&(struct front_client){"web1", "web1"});
}

static void test_client_refuses_wrong_host_name(void **state)
{
    (void)state;
    assert_refused(&(struct front_client){"operator", "web2"});
}

/* ---- what the front may do ---- */

static uint64_t privileges_of(const char *path)
{
    assert_int_equal(front_status_number(path, "Seccomp", 10), 2);
    assert_int_equal(front_status_number(path, "NoNewPrivs", 10), 1);
    assert_int_equal(front_status_number(path, "Uid", 10), front_lab.uid);
    return front_status_number(path, "CapEff", 16) | front_status_number(path, "CapPrm", 16) |
           front_status_number(path, "CapInh", 16) | front_status_number(path, "CapAmb", 16) |
           (geteuid() == 0 ? front_status_number(path, "CapBnd", 16) : 0);
}

static void test_every_thread_is_unprivileged(void **state)
{
    (void)state;
    assert_int_equal(front_for_each_thread(privileges_of), 0);
}

/* Sockets, pipes and the like are its own; files it has none, though its process was started with one. */
static void test_no_inherited_descriptors(void **state)
{
    (void)state;
    char path[300];
    char target[300];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)front_lab.front);
    DIR *fds = opendir(path);
    if (fds == NULL && errno == EACCES && geteuid() != 0) {
        print_message("not checked: only root may look into the front's /proc entry\n");
        skip();
    }
    assert_non_null(fds);
    for (struct dirent *entry = readdir(fds); entry != NULL; entry = readdir(fds)) {
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%.20s", (int)front_lab.front, entry->d_name);
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
    return front_wait_for(child);
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
        bool is_for_the_runtime = FRONT_IS_WATCHED && calls[i] == call_open;
        if (!is_killed && !is_refused && !is_for_the_runtime)
            fail_msg("call %zu was let through (status %#x)", i, (unsigned)status);
    }
}

static uint64_t switches_of(const char *path)
{
    return front_status_number(path, "voluntary_ctxt_switches", 10) +
           front_status_number(path, "nonvoluntary_ctxt_switches", 10);
}

/* SQ_IDLE_SECONDS makes it longer. A thread that makes a system call that waits, or is woken, is switched. */
static void test_idle_front_sleeps(void **state)
{
    (void)state;
    if (FRONT_IS_WATCHED) {
        print_message("not checked: the sanitizer's own threads wake up\n");
        skip();
    }
    const char *seconds = getenv("SQ_IDLE_SECONDS");
    front_pause_ms(500);
    uint64_t before = front_for_each_thread(switches_of);
    front_pause_ms(1000 * (seconds == NULL ? 3 : atol(seconds)));
    assert_int_equal(front_for_each_thread(switches_of), before);
}

/* ---- ends and beginnings ---- */

static void test_front_leaves_with_the_injector(void **state)
{
    (void)state;
    assert_int_equal(kill(front_lab.injector, SIGKILL), 0);
    (void)front_wait_for(front_lab.injector);
    assert_int_equal(front_wait_for(front_lab.front), 0);
    assert_int_equal(access(front_lab.ipc_path, F_OK), -1);
    front_start();
    front_assert_served(NULL);
    front_assert_served(&front_operator);
}

static void test_socket_of_a_killed_front_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(kill(front_lab.front, SIGKILL), 0);
    (void)front_wait_for(front_lab.front);
    (void)front_wait_for(front_lab.injector);
    assert_int_equal(access(front_lab.ipc_path, F_OK), 0);
    front_start();
    front_assert_served(NULL);
    front_assert_served(&front_operator);
}

int main(int argument_count, char **arguments)
{
    front_take_role(argument_count, arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unix_socket_serves),
        cmocka_unit_test(test_tls_serves_and_knows_the_peer),
        cmocka_unit_test(test_largest_request_passes),
        cmocka_unit_test(test_no_certificate_is_refused),
        cmocka_unit_test(test_certificate_of_another_ca_is_refused),
        cmocka_unit_test(test_expired_certificate_is_refused),
        cmocka_unit_test(test_agent_is_no_controller),
        cmocka_unit_test(test_client_refuses_wrong_host_name),
        cmocka_unit_test(test_every_thread_is_unprivileged),
        cmocka_unit_test(test_no_inherited_descriptors),
        cmocka_unit_test(test_sandbox_stops_what_is_not_listed),
        cmocka_unit_test(test_idle_front_sleeps),
        cmocka_unit_test(test_front_leaves_with_the_injector),
        cmocka_unit_test(test_socket_of_a_killed_front_is_replaced),
    };
    return cmocka_run_group_tests(tests, front_set_up, front_tear_down);
}
